package report

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/diagnose"
)

// Rows that the Markdown report shows of lists that may be long, so that it fits an issue.
const (
	mdEvidence = 6
	mdAPIs     = 8
	mdKernels  = 8
	mdPhases   = 8
	mdNotes    = 10
	mdName     = 80 // runes of a name
	mdFindings = 8
)

// Markdown writes a diagnosis for an issue or a pull request on GitHub: the verdict first, tables, details folded. What
// comes from the capture is escaped: it can make no markup, link, mention or reference.
func Markdown(w io.Writer, d *diagnose.Diagnosis) error {
	m := &markdown{w: bufio.NewWriter(w)}
	m.head(d)
	m.budget(d)
	m.steps(d)
	m.findings(d)
	m.limits(d)
	m.checklist(d)
	m.details(d)
	m.capture(d)
	return m.w.Flush()
}

type markdown struct{ w *bufio.Writer }

func (m *markdown) line(format string, args ...any) { fmt.Fprintf(m.w, format+"\n", args...) }

// table writes a table; cells are Markdown. Columns of align 'r' are aligned right.
func (m *markdown) table(align string, head []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	m.line("\n| %s |", strings.Join(head, " | "))
	rule := make([]string, len(head))
	for i := range rule {
		rule[i] = "---"
		if align[i] == 'r' {
			rule[i] = "---:"
		}
	}
	m.line("| %s |", strings.Join(rule, " | "))
	for _, r := range rows {
		for i := range r {
			r[i] = strings.ReplaceAll(r[i], "|", `\|`)
		}
		m.line("| %s |", strings.Join(r, " | "))
	}
	m.line("")
}

func (m *markdown) head(d *diagnose.Diagnosis) {
	m.line("## stepscope: %s\n", mdCode(d.Profile.Source))
	m.line("> **%s**", mdText(d.Verdict))
	if a := firstAdvice(d); a != nil {
		next := mdText(a.Text)
		if a.Predicted != nil {
			next += " Expect " + mdText(predicted(a.Predicted)) + "."
		}
		m.line(">\n> **Next:** %s", next)
	}
	for _, q := range qualityWarnings(d) {
		m.line(">\n> **Capture:** %s", mdText(q))
	}
	var rows [][]string
	add := func(k, v string) {
		if v != "" {
			rows = append(rows, []string{k, v})
		}
	}
	add("Capture", joinNonEmpty(", ", mdText(d.Profile.Producer), "window "+Dur(d.Profile.WindowNs)))
	add("GPU", mdText(strings.Join(gpuKinds(d), ", ")))
	engine := joinNonEmpty(" ", mdText(d.Engine.Name), mdText(d.Engine.Version))
	if d.Engine.Model != "" {
		engine = joinNonEmpty(", ", engine, mdCode(d.Engine.Model))
	}
	engine = joinNonEmpty(", ", engine, parallel(&d.Engine))
	add("Engine", engine)
	if d.Steps.Count > 0 {
		add("Steps", fmt.Sprintf("%d by %s", d.Steps.Count, mdText(d.Engine.StepSource)))
		add("Bound by", "**"+mdText(d.Limits.Bound)+"**")
	}
	m.table("ll", []string{"", ""}, rows)
}

// firstAdvice is what to try first: that of the first finding that is an alarm of its own. Where it has none, what helps
// against another one is not what the verdict calls for.
func firstAdvice(d *diagnose.Diagnosis) *diagnose.Advice {
	for i := range d.Findings {
		f := &d.Findings[i]
		if f.Caused != "" || f.Severity < diagnose.Low || f.ID == diagnose.CaptureQuality && len(f.Advice) == 0 {
			continue
		}
		if len(f.Advice) == 0 {
			return nil
		}
		return &f.Advice[0]
	}
	return nil
}

// budgetHalf is the busy or the idle half of a budget, largest part first.
type budgetHalf struct {
	Name  string
	Idle  bool
	Parts []diagnose.PartTime
	Sum   diagnose.PartTime
}

// halves splits a budget into GPU busy and GPU idle.
func halves(parts []diagnose.PartTime) [2]budgetHalf {
	out := [2]budgetHalf{{Name: "GPU busy"}, {Name: "GPU idle", Idle: true}}
	for _, p := range parts {
		h := &out[0]
		if strings.HasPrefix(p.ID, "idle.") {
			h = &out[1]
		}
		h.Parts = append(h.Parts, p)
		h.Sum.Ns += p.Ns
		h.Sum.Share += p.Share
	}
	for i := range out {
		slices.SortStableFunc(out[i].Parts, func(x, y diagnose.PartTime) int { return cmp.Compare(y.Ns, x.Ns) })
	}
	return out
}

func (m *markdown) budget(d *diagnose.Diagnosis) {
	if d.Budget.WallNs == 0 {
		return
	}
	m.line("### Where the time goes\n")
	m.line("%d steps, %s of wall. Shares are of that wall, times are per step, and the parts sum to it exactly.", d.Steps.Count, Dur(d.Budget.WallNs))
	per := func(ns int64) string { return Dur(ns / int64(max(1, d.Steps.Count))) }
	var rows [][]string
	for _, h := range halves(d.Budget.Parts) {
		rows = append(rows, []string{"**" + h.Name + "**", fmt.Sprintf("**%.1f %%**", 100*h.Sum.Share), "**" + per(h.Sum.Ns) + "**", mdBar(h.Sum.Share)})
		var rest diagnose.PartTime
		for i, p := range h.Parts {
			if i >= 9 || p.Share < 0.001 {
				rest.Ns += p.Ns
				rest.Share += p.Share
				continue
			}
			rows = append(rows, []string{mdCode(p.ID), fmt.Sprintf("%.1f %%", 100*p.Share), per(p.Ns), mdBar(p.Share)})
		}
		if rest.Ns > 0 {
			rows = append(rows, []string{"smaller parts", fmt.Sprintf("%.1f %%", 100*rest.Share), per(rest.Ns), ""})
		}
	}
	m.table("lrrl", []string{"part", "share", "per step", ""}, rows)
}

func mdBar(share float64) string {
	if b := bar(share, 25); b != "" {
		return "`" + b + "`"
	}
	return ""
}

// phaseOrder is the order in which phases are told.
var phaseOrder = []string{"decode", "mixed", "prefill", "unknown"}

func (m *markdown) steps(d *diagnose.Diagnosis) {
	var rows [][]string
	for _, name := range phaseOrder {
		f, ok := d.Steps.ByPhase[name]
		if !ok {
			continue
		}
		rows = append(rows, append([]string{name}, phaseCells(&f, d.Budget.WallNs)...))
	}
	if len(rows) == 0 {
		return
	}
	m.line("### Steps")
	m.table("lrrrrrrrrr", append([]string{"phase"}, phaseHead...), rows)
	m.line("%s", mdText(stepsNote(d)))
}

var phaseHead = []string{"count", "requests", "tokens", "period p50", "p95", "GPU busy p50", "of wall", "tokens/s", "launches"}

// phaseCells are the figures of one phase, "-" where not recorded.
func phaseCells(f *diagnose.PhaseFacts, wall int64) []string {
	count := func(q diagnose.Quantiles) string {
		if q.N == 0 {
			return "-"
		}
		return fmt.Sprint(q.Median)
	}
	period, p95, busy, rate := "-", "-", "-", "-"
	if f.PeriodNs.N > 0 {
		period, p95 = Dur(f.PeriodNs.Median), Dur(f.PeriodNs.P95)
	}
	if f.BusyNs.N > 0 {
		busy = Dur(f.BusyNs.Median)
	}
	if f.TokensPerS > 0 {
		rate = fmt.Sprintf("%.0f", f.TokensPerS)
	}
	return []string{fmt.Sprint(f.Count), count(f.Requests), count(f.Tokens), period, p95, busy, fmt.Sprintf("%.1f %%", 100*ratio(f.WallNs, wall)), rate, count(f.Launches)}
}

// stepsNote says how the steps were found and what is left out.
func stepsNote(d *diagnose.Diagnosis) string {
	note := "Steps by " + d.Engine.StepSource
	if d.Engine.StepWhy != "" {
		note += ": " + d.Engine.StepWhy
	}
	note += "."
	if d.Steps.Cold > 0 {
		note += " " + counted(d.Steps.Cold, "cold step is", "cold steps are") + " left out of the distributions."
	}
	if d.Steps.Empty > 0 {
		note += " " + counted(d.Steps.Empty, "marker", "markers") + " scheduled nothing."
	}
	return note
}

func (m *markdown) findings(d *diagnose.Diagnosis) {
	m.line("\n### Findings")
	shown := 0
	var context []string
	for i := range d.Findings {
		f := &d.Findings[i]
		switch {
		case f.ID == diagnose.CaptureQuality: // told under "Capture"
		case f.Caused != "":
			context = append(context, mdCode(f.ID)+" (explained by "+mdCode(f.Caused)+")")
		case f.Severity == diagnose.Info || shown == mdFindings:
			context = append(context, mdCode(f.ID))
		default:
			shown++
			m.finding(shown, f)
		}
	}
	if shown == 0 {
		m.line("\n%s", noFindings(d))
	}
	if len(context) > 0 {
		m.line("\nContext, no alarm: %s.", strings.Join(context, ", "))
	}
	m.line("")
}

func (m *markdown) finding(n int, f *diagnose.Finding) {
	share := ""
	if f.Share > 0 {
		share = fmt.Sprintf(", up to %.0f %% of the wall could return", 100*f.Share)
	}
	m.line("\n#### %d. %s %s\n", n, strings.ToUpper(f.Severity.String()), mdCode(f.ID))
	m.line("%s _Confidence %s%s._", mdText(f.Summary), mdText(f.Confidence), share)
	var rows [][]string
	for i, e := range f.Evidence {
		if i == mdEvidence {
			break
		}
		v := ""
		if e.Unit != "" || e.Value != 0 {
			v = mdText(value(e.Value, e.Unit))
		}
		rows = append(rows, []string{mdText(e.Text), v, mdText(Cut(clean(e.Rows), mdName))})
	}
	m.table("lrl", []string{"evidence", "value", "from"}, rows)
	if len(f.Advice) == 0 && f.ID != diagnose.CaptureQuality && f.Severity > diagnose.Info {
		m.line("- %s", mdText(noAdvice(f)))
	}
	for i := range f.Advice {
		m.advice(i, &f.Advice[i])
	}
}

func (m *markdown) advice(i int, a *diagnose.Advice) {
	label := "Try first"
	if i > 0 {
		label = "Then"
	}
	m.line("- **%s: %s**%s %s", label, mdAdviceName(a), mdText(adviceFrom(a)), mdText(a.Text))
	switch {
	case a.Predicted != nil:
		m.line("  - Predicted: **%s**. Assumes: %s.", mdText(predicted(a.Predicted)), mdText(a.Predicted.Assumption))
	case a.Unpredicted != "":
		m.line("  - No number: %s.", mdText(a.Unpredicted))
	}
	if a.Risk != "" {
		m.line("  - Risk: %s", mdText(a.Risk))
	}
	if a.Requires != "" {
		m.line("  - Needs: %s", mdText(a.Requires))
	}
	if a.Command != "" && i == 0 {
		c := clean(a.Command)
		fence := strings.Repeat("`", max(3, longestRun(c, '`')+1))
		m.line("\n  %ssh\n  %s\n  %s\n", fence, c, fence)
	}
}

func mdAdviceName(a *diagnose.Advice) string {
	switch {
	case a.Flag == "":
		return mdText(a.Knob)
	case a.To == "not set":
		return "drop " + mdCode(a.Flag)
	}
	return mdCode(a.Flag)
}

// adviceFrom says what the setting is now, " (now none)." or ".".
func adviceFrom(a *diagnose.Advice) string {
	if a.Flag == "" || a.From == "" || a.From == "not set" || a.To == "not set" {
		return "."
	}
	return " (now " + a.From + ")."
}

func (m *markdown) limits(d *diagnose.Diagnosis) {
	l := &d.Limits
	if len(l.Phases) == 0 && l.Why == "" {
		return
	}
	m.line("### Limits\n")
	if s := peakText(l); s != "" {
		m.line("%s.", mdText(s))
	}
	var rows [][]string
	for _, p := range l.Phases {
		rows = append(rows, []string{mdText(p.Phase), fmt.Sprint(p.Tokens), Dur(p.BusyNs), idealTime(p.IdealNs), utilisation(p.MBU), utilisation(p.MFU), mdText(p.Bound)})
	}
	m.table("lrrrrrl", []string{"phase", "tokens", "GPU time", "at peak", "MBU", "MFU", "bound"}, rows)
	if l.Checked != "" {
		m.line("%s\n", mdText(l.Checked))
	}
	if l.Why != "" {
		m.line("Not computed: %s.\n", mdText(l.Why))
	}
}

// peakText names the peaks that shares refer to, "" when the GPU is not known.
func peakText(l *diagnose.Limits) string {
	if l.GPU == "" {
		return ""
	}
	s := l.GPU
	if l.Peak.BandwidthBytesPerS > 0 {
		s += fmt.Sprintf(": %.2f TB/s", l.Peak.BandwidthBytesPerS/1e12)
	}
	if l.Peak.FLOPs > 0 {
		s += fmt.Sprintf(", %.0f TFLOP/s dense %s", l.Peak.FLOPs/1e12, l.Peak.DType)
	}
	return s
}

func (m *markdown) checklist(d *diagnose.Diagnosis) {
	var rows [][]string
	for _, c := range d.Checklist {
		rows = append(rows, []string{mdText(c.Item), "**" + mdText(c.State) + "**", mdText(Cut(clean(c.Text), 160))})
		if c.State != "found" {
			rows[len(rows)-1][1] = mdText(c.State)
		}
	}
	if len(rows) > 0 {
		m.line("### Checklist")
		m.table("lll", []string{"item", "state", ""}, rows)
	}
}

// details folds the tables that back the story.
func (m *markdown) details(d *diagnose.Diagnosis) {
	var kernels, apis, transfers, life [][]string
	for _, k := range d.Kernels[:min(len(d.Kernels), mdKernels)] {
		kernels = append(kernels, []string{mdCode(functionLabel(k.Name, mdName)), mdText(k.Stage), fmt.Sprint(k.Instances), Dur(k.TotalNs), Dur(k.MedianNs), fmt.Sprintf("%.1f %%", 100*k.Share)})
	}
	for _, a := range d.APIs[:min(len(d.APIs), mdAPIs)] {
		apis = append(apis, []string{mdCode(Cut(clean(a.Name), mdName)), mdText(a.Library), fmt.Sprint(a.TID), fmt.Sprint(a.Calls), Dur(a.TotalNs), Dur(a.P50Ns), Dur(a.P99Ns), Dur(a.MaxNs)})
	}
	for _, x := range d.Transfers {
		transfers = append(transfers, []string{mdCode(x.Part), fmt.Sprint(x.Count), Bytes(x.Bytes), Dur(x.Ns), Dur(x.ExposedNs), fmt.Sprintf("%.2f", x.GBs), mdText(x.Purpose)})
	}
	for _, l := range d.Lifecycle[:min(len(d.Lifecycle), mdPhases)] {
		life = append(life, []string{mdText(l.Phase), Dur(l.Start), Dur(l.Dur), mdText(Cut(clean(l.Source), mdName))})
	}
	if len(kernels)+len(apis)+len(transfers)+len(life) == 0 {
		return
	}
	m.line("<details><summary>Kernels, API calls, transfers, lifecycle</summary>")
	m.table("llrrrr", []string{"kernel", "stage", "instances", "total", "median", "of kernel time"}, kernels)
	m.table("llrrrrrr", []string{"API function", "library", "thread", "calls", "total", "p50", "p99", "max"}, apis)
	m.table("lrrrrrl", []string{"transfer", "copies", "bytes", "time", "exposed", "GB/s", "carries"}, transfers)
	m.table("lrrl", []string{"lifecycle", "from", "for", "seen by"}, life)
	m.line("</details>\n")
}

func (m *markdown) capture(d *diagnose.Diagnosis) {
	m.line("### Capture\n")
	for i, q := range d.Profile.Quality {
		if i == mdNotes {
			m.line("- %d more notes.", len(d.Profile.Quality)-i)
			break
		}
		s := mdText(q.Text)
		if q.Severity != "info" {
			s = "**" + mdText(q.Severity) + "** " + s
		}
		if q.Remedy != "" {
			s += " Remedy: " + mdText(q.Remedy) + "."
		}
		m.line("- %s", s)
	}
	for i, n := range d.NotRecorded {
		if i == mdNotes {
			m.line("- %d more things are not recorded.", len(d.NotRecorded)-i)
			break
		}
		s := "Not recorded: " + mdText(missingText(n)) + "."
		if n.Remedy != "" {
			s += " Records it: " + mdCode(n.Remedy) + "."
		}
		m.line("- %s", s)
	}
	m.line("\n_%s %s, %s_", mdText(d.Tool.Name), mdText(d.Tool.Version), mdText(d.Schema))
}
