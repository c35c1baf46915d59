package report

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"regexp"
	"strings"

	"github.com/stepscope/stepscope/compare"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/stat"
)

// CompareText writes a comparison for people: the verdict and what was changed first, then the numbers by group, with "~"
// where no test supports a difference.
func CompareText(w io.Writer, c *compare.Comparison, o TextOptions) error {
	t := &compareText{text{w: bufio.NewWriter(w), p: palette{o.Colour}, o: o}}
	t.head(c)
	t.residue(c)
	t.groups(c)
	for i := range c.Compositions {
		if i == compareBatches && !o.Verbose {
			t.line("\n  %s", t.p.dim(fmt.Sprintf("%d more batches that both sides ran; -v lists them", len(c.Compositions)-i)))
			break
		}
		t.composition(&c.Compositions[i], i == 0)
	}
	t.unmatched(c)
	t.kernels(c)
	t.workflow(c)
	t.findings(c)
	t.notes(c)
	return t.w.Flush()
}

// compareBatches is how many batches are told apart where not everything is asked for.
const compareBatches = 3

type compareText struct{ text }

func (t *compareText) head(c *compare.Comparison) {
	t.line("%s %s", t.p.bold("stepscope compare"), Cut(clean(c.Before.Name)+" -> "+clean(c.After.Name), Width-18))
	t.title("verdict")
	verdict := strings.ToUpper(string(c.Verdict))
	switch c.Verdict {
	case compare.Better:
		verdict = t.p.good(verdict)
	case compare.Worse:
		verdict = t.p.alarm(verdict)
	case compare.Mixed:
		verdict = t.p.idle(verdict)
	default:
		verdict = t.p.bold(verdict)
	}
	t.line("  %s", verdict)
	t.para(2, c.Summary)
	if len(c.Regressions) > 0 {
		t.para(2, "Got worse: "+compareWorse(c)+".")
	}
}

// compareNamed is how many metrics the verdict names.
const compareNamed = 5

// compareWorse names the metrics that got worse, as far as a reader takes them in; the tables have the rest.
func compareWorse(c *compare.Comparison) string {
	var names []string
	for i, id := range c.Regressions {
		if i == compareNamed {
			return fmt.Sprintf("%s; and %d more", strings.Join(names, "; "), len(c.Regressions)-i)
		}
		names = append(names, c.Title(id))
	}
	return strings.Join(names, "; ") // a title may hold a comma
}

func (t *compareText) residue(c *compare.Comparison) {
	t.title("what differs")
	if len(c.Residue) == 0 {
		t.para(2, "Nothing that both sides recorded.")
	}
	quiet := 0
	for _, d := range c.Residue {
		if !d.Matters && !t.o.Verbose {
			quiet++
			continue
		}
		note := ""
		if d.Text != "" {
			note = " (" + d.Text + ")"
		}
		t.para(2, fmt.Sprintf("%s: %s: %s -> %s%s", d.Group, d.Name, Cut(d.Before, 60), Cut(d.After, 60), note))
	}
	if quiet > 0 {
		t.line("  %s", t.p.dim(fmt.Sprintf("%d more that cannot move the numbers, or follow from these; -v lists them", quiet)))
	}
	if len(c.Unknown) > 0 && t.o.Verbose {
		t.para(2, "Recorded on one side only: "+strings.Join(c.Unknown, ", ")+".")
	}
}

// groups prints the metrics of the run as a whole.
func (t *compareText) groups(c *compare.Comparison) {
	var group compare.Group
	for i := range c.Metrics {
		m := &c.Metrics[i]
		if m.Group != group {
			group = m.Group
			t.heading(string(group))
		}
		t.metric(m)
	}
}

func (t *compareText) heading(s string) {
	t.title(s)
	t.line("  %s", t.p.dim(pad("", 40)+left("before", 11)+left("after", 11)+left("change", 10)+"  "+pad("verdict", 9)+"evidence"))
}

// metric prints one line; unclear ones say why when asked for, or when nothing else would.
func (t *compareText) metric(m *compare.Metric) {
	title := compareTitle(m)
	b, a := compareValue(m, m.Before.Center), compareValue(m, m.After.Center)
	t.line("  %s%s%s%s  %s%s", pad(Cut(clean(title), 40), 40), left(b, 11), left(a, 11), left(compareChange(m), 10), t.verdictWord(compareVerdict(m)), Cut(compareBasis(m), 14))
	if t.o.Verbose {
		t.para(6, m.Reason)
		for _, w := range m.Warnings {
			t.para(6, "note: "+w.Text)
		}
	}
}

// compareTitle is a metric's title with the unit where the title does not tell it.
func compareTitle(m *compare.Metric) string {
	if m.Unit == "" || m.Unit == "1/s" || m.Unit == "share" || strings.Contains(m.Title, m.Unit) && len(m.Unit) > 2 {
		return m.Title
	}
	return m.Title + ", " + m.Unit
}

// compareVerdict is a metric's verdict, "-" where the two runs do not allow one.
func compareVerdict(m *compare.Metric) stat.Verdict {
	if m.Basis == compare.ByNoFooting {
		return "-"
	}
	return m.Verdict
}

func (t *compareText) verdictWord(v stat.Verdict) string {
	w := pad(string(v), 9)
	switch v {
	case stat.Better:
		return t.p.good(w)
	case stat.Worse:
		return t.p.alarm(w)
	case stat.Same:
		return w
	}
	return t.p.dim(w)
}

// compareValue prints one side of a metric.
func compareValue(m *compare.Metric, v float64) string {
	switch {
	case m.Before.N == 0 && m.After.N == 0:
		return "-"
	case m.Unit == "share":
		return fmt.Sprintf("%.1f %%", 100*v)
	}
	return compare.Number(v)
}

// compareChange prints a metric's change as far as a test supports it: per cent, a factor from two on, "=" where it is
// smaller than what counts, "~" where no test supports any and "-" where the two runs do not allow one.
func compareChange(m *compare.Metric) string {
	switch {
	case m.Basis == compare.ByNoFooting:
		return "-"
	case m.Verdict == stat.Same:
		return "="
	case !m.Supported():
		return "~"
	}
	if m.Unit == "share" {
		return fmt.Sprintf("%+.1f pp", 100*(m.After.Center-m.Before.Center))
	}
	var r float64
	switch {
	case m.Change != nil:
		r = 1 + *m.Change
	case m.Before.Center != 0:
		r = m.After.Center / m.Before.Center
	default:
		return "new"
	}
	switch {
	case r <= 0:
		return "gone"
	case r >= 2 || r <= 0.5:
		return "x" + compare.Number(r)
	}
	return fmt.Sprintf("%+.1f %%", 100*(r-1))
}

// compareBasis names what a verdict rests on in a few characters.
func compareBasis(m *compare.Metric) string {
	switch m.Basis {
	case compare.ByExact:
		return "exact"
	case compare.ByThreshold:
		return "by factor"
	case compare.ByNothing:
		return "no test"
	case compare.ByNoFooting:
		return "not comparable"
	}
	if m.P == nil {
		return fmt.Sprintf("n=%d+%d", m.Before.N, m.After.N)
	}
	p := fmt.Sprintf("p=%.3f", *m.P)
	if *m.P < 0.001 {
		p = "p<0.001"
	}
	return p
}

func (t *compareText) composition(c *compare.Composition, first bool) {
	t.heading(fmt.Sprintf("step: %s (%d and %d steps)", c.Label, c.Before, c.After))
	for i := range c.Metrics {
		t.metric(&c.Metrics[i])
	}
	small := 0
	for i := range c.Parts {
		m := &c.Parts[i]
		moved := m.Verdict == stat.Better || m.Verdict == stat.Worse
		big := math.Max(m.Before.Center, m.After.Center) >= m.MinChange
		if !t.o.Verbose && (!moved && !big || !moved && !first) {
			small++
			continue
		}
		t.metric(m)
	}
	if small > 0 {
		t.line("  %s", t.p.dim(fmt.Sprintf("%d parts without a change that counts; -v lists them", small)))
	}
	if t.o.Verbose {
		for _, w := range c.Warnings {
			t.para(4, "note: "+w.Text)
		}
	}
}

func (t *compareText) unmatched(c *compare.Comparison) {
	if len(c.OnlyBefore)+len(c.OnlyAfter) == 0 {
		return
	}
	t.title("batches of one side only")
	for _, side := range []struct {
		name string
		rows []compare.BatchCount
	}{{"before", c.OnlyBefore}, {"after", c.OnlyAfter}} {
		var parts []string
		for i, b := range side.rows {
			if i == 6 && !t.o.Verbose {
				parts = append(parts, fmt.Sprintf("%d more", len(side.rows)-i))
				break
			}
			parts = append(parts, fmt.Sprintf("%s (%d, %.0f %% of the wall)", b.Label, b.Steps, 100*b.Share))
		}
		if len(parts) > 0 {
			t.para(2, side.name+": "+strings.Join(parts, ", "))
		}
	}
}

func (t *compareText) kernels(c *compare.Comparison) {
	if len(c.Kernels) == 0 {
		return
	}
	perStep, unit := compareKernelUnit(c)
	t.title("kernels (" + c.KernelsOf + ", " + unit + ")")
	t.line("  %s", t.p.dim(pad("function", 49)+pad("state", 9)+left("before", 10)+left("after", 10)+left("change", 9)+"  stage"))
	limit := 16
	if t.o.Verbose {
		limit = len(c.Kernels)
	}
	shown := 0
	for i := range c.Kernels {
		k := &c.Kernels[i]
		if shown == limit {
			break
		}
		if !t.o.Verbose && k.Metric != nil && k.Metric.Verdict == stat.Same && shown >= 8 {
			continue
		}
		shown++
		b, a := compareKernelTime(k.Before, perStep), compareKernelTime(k.After, perStep)
		t.line("  %s%s%s%s%s  %s", pad(Cut(compareName(k.Name), 48), 49), pad(string(k.State), 9), left(b, 10), left(a, 10), left(compareKernelChange(k), 9), Cut(k.Stage, 8))
	}
	if rest := len(c.Kernels) - shown + c.KernelsOmitted; rest > 0 {
		t.line("  %s", t.p.dim(fmt.Sprintf("%d more kernels", rest)))
	}
}

// compareKernelUnit is what the times of kernels are given per, the same for all of them.
func compareKernelUnit(c *compare.Comparison) (perStep bool, unit string) {
	if len(c.Compositions) > 0 {
		return true, "us per step"
	}
	return false, "us per call"
}

// compareKernelChange prints a kernel's change; one that a single side has is new or gone.
func compareKernelChange(k *compare.KernelChange) string {
	switch {
	case k.Metric != nil:
		return compareChange(k.Metric)
	case k.State == compare.Added:
		return "new"
	}
	return "gone"
}

func compareKernelTime(u *compare.KernelUse, perStep bool) string {
	if u == nil {
		return "-"
	}
	ns := u.NsEach
	if perStep {
		ns = u.NsStep
	}
	return compare.Number(ns / 1000)
}

// compareName shortens a device function's name to what tells it from others: parameters, and in template arguments the
// namespaces, go.
func compareName(name string) string {
	base, args := profile.SplitName(name)
	return clean(base + namespace.ReplaceAllString(args, ""))
}

var namespace = regexp.MustCompile(`\(anonymous namespace\)::|\b[A-Za-z_]\w*::|\bvoid\b|\s`)

func (t *compareText) workflow(c *compare.Comparison) {
	if len(c.Workflow) == 0 {
		return
	}
	t.title("thresholds of the workflow")
	t.line("  %s", t.p.dim("How far a reading must move to be a clear change: [x] it did, [ ] it did not, [-] not tested."))
	for _, p := range c.Workflow {
		mark := t.p.dim("[ ]")
		switch {
		case p.Passed:
			mark = t.p.good("[x]")
		case p.NotTested != "":
			mark = t.p.dim("[-]")
		}
		t.line("  %s %s %s", mark, pad(workflowLimit(&p), 10), Cut(clean(p.Text), Width-18))
	}
}

// workflowLimit is a threshold in words: shares move by points, all else by a factor.
func workflowLimit(p *compare.Passed) string {
	if strings.HasPrefix(p.Threshold, "utilisation") {
		return fmt.Sprintf("%.0f points", 100*p.Limit)
	}
	return fmt.Sprintf("factor %g", p.Limit)
}

func (t *compareText) findings(c *compare.Comparison) {
	f := c.Findings
	if len(f.Gone)+len(f.New)+len(f.Stays) == 0 {
		return
	}
	t.title("findings")
	for _, row := range []struct {
		name string
		ids  []string
	}{{"gone", f.Gone}, {"new", f.New}, {"still there", f.Stays}} {
		if len(row.ids) > 0 {
			t.para(2, row.name+": "+strings.Join(row.ids, ", "))
		}
	}
}

func (t *compareText) notes(c *compare.Comparison) {
	t.title("notes")
	for _, w := range c.Warnings {
		t.para(2, "- "+w.Text)
	}
	t.para(2, fmt.Sprintf("~ is a difference that no test supports, = one that is smaller than what counts. Steps and requests that follow each other are tested in blocks; p is corrected for the number of metrics. GPU time must move by %.0f %%, host time by %.0f %%: this much two starts of one server differ.",
		100*c.Thresholds.NoiseGPU, 100*c.Thresholds.NoiseHost))
}
