package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/stepscope/stepscope/diagnose"
)

// TextOptions control the text report.
type TextOptions struct {
	Colour bool
	// Verbose prints every finding's evidence, context findings and the whole checklist.
	Verbose bool
}

// Text writes a diagnosis for people: the verdict first, then where the time goes, the findings with what to try next,
// the checklist and what the capture cannot show.
func Text(w io.Writer, d *diagnose.Diagnosis, o TextOptions) error {
	t := &text{w: bufio.NewWriter(w), p: palette{o.Colour}, o: o}
	t.header(d)
	t.verdict(d)
	t.typicalStep(d)
	t.budget(d)
	t.steps(d)
	t.findings(d)
	t.limits(d)
	t.kernelMetrics(d)
	t.apis(d)
	t.transfers(d)
	t.lifecycle(d)
	t.checklist(d)
	t.quality(d)
	return t.w.Flush()
}

type text struct {
	w *bufio.Writer
	p palette
	o TextOptions
}

func (t *text) line(format string, args ...any) { fmt.Fprintf(t.w, format+"\n", args...) }

func (t *text) title(s string) { t.line("\n%s", t.p.head(strings.ToUpper(s))) }

func (t *text) para(indent int, s string) {
	for _, l := range wrap(clean(s), Width-indent) {
		t.line("%s%s", strings.Repeat(" ", indent), l)
	}
}

func (t *text) header(d *diagnose.Diagnosis) {
	parts := []string{clean(d.Profile.Source)}
	if d.Profile.Producer != "" {
		parts = append(parts, clean(d.Profile.Producer))
	}
	for _, k := range gpuKinds(d) {
		parts = append(parts, clean(k))
	}
	if s := parallel(&d.Engine); s != "" {
		parts = append(parts, s)
	}
	if e := d.Engine; e.Name != "" {
		parts = append(parts, strings.TrimSpace(clean(e.Name+" "+e.Version)))
	}
	if d.Engine.Model != "" {
		parts = append(parts, clean(d.Engine.Model))
	}
	parts = append(parts, "window "+Dur(d.Profile.WindowNs))
	lines := joinWithin(parts, " · ", Width-len("stepscope "))
	t.line("%s %s", t.p.bold("stepscope"), lines[0])
	for _, l := range lines[1:] {
		t.line("          %s", l)
	}
}

func (t *text) verdict(d *diagnose.Diagnosis) {
	t.title("verdict")
	for _, l := range wrap(clean(d.Verdict), Width-2) {
		t.line("  %s", t.p.bold(l))
	}
	if a := firstAdvice(d); a != nil {
		next := a.Text
		if a.Predicted != nil {
			next += " Expect " + predicted(a.Predicted) + "."
		}
		t.para(2, "Next: "+next)
	}
}

func predicted(p *diagnose.Prediction) string {
	return fmt.Sprintf("%s %s -> %s %s (%s to %s)", p.Words(), number(p.Before), number(p.After), p.Unit, number(p.Low), number(p.High))
}

func number(v float64) string {
	switch a := max(v, -v); {
	case a >= 1000:
		return fmt.Sprintf("%.0f", v)
	case a >= 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// budget prints busy and idle with their parts, largest first.
func (t *text) budget(d *diagnose.Diagnosis) {
	b := d.Budget
	if b.WallNs == 0 {
		return
	}
	engines := ""
	if n := d.Engine.Engines; n > 1 {
		engines = fmt.Sprintf(" of %d engines", n)
	}
	t.title(fmt.Sprintf("where the time goes (%d steps, %s of wall%s)", d.Steps.Count, Dur(b.WallNs), engines))
	per := func(ns int64) string { return Dur(ns / int64(max(1, d.Steps.Count))) }
	for _, h := range halves(b.Parts) {
		colour := t.p.gpu
		if h.Idle {
			colour = t.p.idle
		}
		t.line("  %s %s %s  %s", pad(h.Name, 24), left(fmt.Sprintf("%.1f %%", 100*h.Sum.Share), 7), left(per(h.Sum.Ns), 10), colour(bar(h.Sum.Share, 50)))
		rest := diagnose.PartTime{}
		for i, p := range h.Parts {
			if !t.o.Verbose && (i >= 9 || p.Share < 0.001) {
				rest.Ns += p.Ns
				rest.Share += p.Share
				continue
			}
			t.line("    %s %s %s  %s", pad(p.ID, 22), left(fmt.Sprintf("%.1f %%", 100*p.Share), 7), left(per(p.Ns), 10), colour(bar(p.Share, 50)))
		}
		if rest.Ns > 0 {
			t.line("    %s %s %s", pad("(smaller parts)", 22), left(fmt.Sprintf("%.1f %%", 100*rest.Share), 7), left(per(rest.Ns), 10))
		}
	}
	t.line("  %s", t.p.dim("Shares are of the steps' wall; times are means per step. Parts sum to the wall exactly."))
}

func (t *text) steps(d *diagnose.Diagnosis) {
	if d.Steps.Count == 0 {
		return
	}
	t.title("steps")
	t.line("  %s", t.p.dim(pad("phase", 9)+left("count", 6)+left("requests", 10)+left("tokens", 9)+left("period p50", 12)+left("p95", 10)+left("GPU busy", 11)+left("of wall", 9)+left("tokens/s", 11)+left("launches", 10)))
	for _, name := range phaseOrder {
		f, ok := d.Steps.ByPhase[name]
		if !ok {
			continue
		}
		q := func(v diagnose.Quantiles) string {
			if v.N == 0 {
				return "-"
			}
			return fmt.Sprint(v.Median)
		}
		period, p95, busy := "-", "-", "-"
		if f.PeriodNs.N > 0 {
			period, p95, busy = Dur(f.PeriodNs.Median), Dur(f.PeriodNs.P95), Dur(f.BusyNs.Median)
		}
		rate := "-"
		if f.TokensPerS > 0 {
			rate = fmt.Sprintf("%.0f", f.TokensPerS)
		}
		t.line("  %s%s%s%s%s%s%s%s%s%s", pad(name, 9), left(fmt.Sprint(f.Count), 6), left(q(f.Requests), 10), left(q(f.Tokens), 9), left(period, 12),
			left(p95, 10), left(busy, 11), left(fmt.Sprintf("%.1f %%", 100*ratio(f.WallNs, d.Budget.WallNs)), 9), left(rate, 11), left(q(f.Launches), 10))
	}
	note := "Steps by " + d.Engine.StepSource + "."
	if d.Steps.Cold > 0 {
		note += " " + counted(d.Steps.Cold, "cold step is", "cold steps are") + " left out of the distributions."
	}
	if d.Steps.Empty > 0 {
		note += " " + counted(d.Steps.Empty, "marker", "markers") + " scheduled nothing."
	}
	t.line("  %s", t.p.dim(note))
}

func ratio(a, b int64) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

func (t *text) severity(s diagnose.Severity) string {
	v := strings.ToUpper(s.String())
	switch s {
	case diagnose.High:
		return t.p.alarm(v)
	case diagnose.Medium:
		return t.p.idle(v)
	case diagnose.Low:
		return t.p.gpu(v)
	}
	return t.p.dim(v)
}

func (t *text) findings(d *diagnose.Diagnosis) {
	t.title("findings")
	shown := 0
	var context []string
	for _, f := range d.Findings {
		if f.ID == diagnose.CaptureQuality && !t.o.Verbose {
			continue // told under "capture"
		}
		if !t.o.Verbose && (f.Severity == diagnose.Info || f.Caused != "") {
			label := f.ID
			if f.Caused != "" {
				label += " (explained by " + f.Caused + ")"
			}
			context = append(context, label)
			continue
		}
		shown++
		t.finding(shown, f)
	}
	if shown == 0 {
		t.para(2, noFindings(d))
	}
	if len(context) > 0 {
		t.para(2, "Context, no alarm: "+strings.Join(context, ", ")+". -v shows them.")
	}
}

func (t *text) finding(n int, f diagnose.Finding) {
	share := ""
	if f.Share > 0 {
		share = fmt.Sprintf(", up to %.0f %% of the wall could return", 100*f.Share)
	}
	t.line("  %d. %s %s  %s", n, t.severity(f.Severity), t.p.bold(f.ID), t.p.dim("confidence "+f.Confidence+share))
	t.para(5, f.Summary)
	for i, e := range f.Evidence {
		if i >= 6 && !t.o.Verbose {
			break
		}
		if e.Unit == "" && e.Value == 0 {
			t.para(7, "- "+e.Text)
			continue
		}
		t.evidence(e)
	}
	if len(f.Advice) == 0 && f.ID != diagnose.CaptureQuality && f.Severity > diagnose.Info {
		t.line("     %s %s", t.p.good("->"), noAdvice(&f))
	}
	for i, a := range f.Advice {
		label := "Try first"
		if i > 0 {
			label = "Then"
		}
		flag := clean(a.Flag)
		if flag != "" {
			change := ""
			if a.From != "" && a.From != "not set" {
				change = " (now " + clean(a.From) + ")"
			}
			if a.To == "not set" {
				flag = "drop " + flag
				change = ""
			}
			t.line("     %s %s%s", t.p.good("-> "+label+":"), t.p.bold(Cut(flag, 66)), t.p.dim(Cut(change, 24)))
		} else {
			t.line("     %s %s", t.p.good("-> "+label+":"), t.p.bold(clean(a.Knob)))
		}
		t.para(8, a.Text)
		if a.Predicted != nil {
			t.para(8, "Predicted: "+predicted(a.Predicted)+". Assumes: "+a.Predicted.Assumption+".")
		} else if a.Unpredicted != "" {
			t.para(8, "No number: "+a.Unpredicted+".")
		}
		if a.Risk != "" {
			t.para(8, "Risk: "+a.Risk)
		}
		if a.Requires != "" {
			t.para(8, "Needs: "+a.Requires)
		}
		if a.Command != "" && i == 0 {
			for _, l := range commandLines("$ "+clean(a.Command), Width-8) {
				t.line("        %s", t.p.dim(l))
			}
		}
	}
}

// evidenceText is how wide the words of a piece of evidence are before they take a line of their own.
const evidenceText = 52

// evidence prints what was measured, its value and where it was read. Neither is cut: a row's number that lacks its end is
// another row.
func (t *text) evidence(e diagnose.Evidence) {
	words := clean(e.Text)
	if utf8.RuneCountInString(words) > evidenceText {
		lines := wrap(words, Width-7)
		for _, l := range lines {
			t.line("       %s", l)
		}
		words = ""
	}
	v := left(value(e.Value, e.Unit), 14)
	rows := clean(e.Rows)
	for _, cut := range []string{"longest in ", "largest in ", "last in "} {
		rows = strings.TrimPrefix(rows, cut)
	}
	room := Width - 60 - utf8.RuneCountInString(v) - 4
	switch {
	case rows == "":
		t.line("       %s %s", pad(words, evidenceText), v)
	case utf8.RuneCountInString(rows) <= room:
		t.line("       %s %s%s", pad(words, evidenceText), v, t.p.dim("  ["+rows+"]"))
	default:
		t.line("       %s %s", pad(words, evidenceText), v)
		for _, l := range wrap("["+rows+"]", Width-11) {
			t.line("           %s", t.p.dim(l))
		}
	}
}

func (t *text) checklist(d *diagnose.Diagnosis) {
	t.title("checklist")
	items := d.Checklist
	if !t.o.Verbose {
		items = joinItems(items)
	}
	for _, c := range items {
		mark := t.p.good("[x]")
		switch c.State {
		case "found":
			mark = t.p.alarm("[!]")
		case "not recorded":
			mark = t.p.dim("[-]")
		}
		txt := c.Text
		if !t.o.Verbose && c.State != "not recorded" { // what would record it must be read to its end
			txt = Cut(clean(txt), Width-37)
			t.line("  %s %s %s", mark, pad(c.Item, 29), txt)
			continue
		}
		for i, l := range wrap(clean(txt), Width-37) {
			if i == 0 {
				t.line("  %s %s %s", mark, pad(c.Item, 29), l)
			} else {
				t.line("  %s %s %s", "   ", pad("", 29), l)
			}
		}
	}
	t.line("  %s", t.p.dim("[x] checked, nothing to fix  [!] found  [-] this capture cannot show it"))
}

func (t *text) quality(d *diagnose.Diagnosis) {
	t.title("capture")
	quiet := 0
	for _, q := range d.Profile.Quality {
		if !t.o.Verbose && q.ID == "profiler-message" && q.Severity == diagnose.Info.String() {
			quiet++ // the profiler's usual messages
			continue
		}
		for i, l := range wrap(clean(q.Text), Width-4) {
			t.line("  %s %s", []string{"-", " "}[min(i, 1)], l)
		}
		if q.Remedy != "" {
			t.para(4, "Remedy: "+q.Remedy)
		}
	}
	if quiet > 0 {
		t.line("  %s", t.p.dim("("+counted(quiet, "message", "messages")+" of the profiler without effect; -v shows them)"))
	}
	if len(d.NotRecorded) > 0 {
		t.line("  Not recorded:")
		for _, m := range d.NotRecorded {
			s := missingText(m)
			if m.Remedy != "" {
				s += " -> " + m.Remedy
			}
			t.para(4, s)
		}
	}
}
