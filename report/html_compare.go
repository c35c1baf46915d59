package report

import (
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/compare"
	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/stat"
)

// Bounds of the comparison page.
const (
	compareShown   = 6  // batches told apart
	compareRows    = 40 // rows of kernels
	compareChanges = 60 // rows of what differs
)

// CompareHTMLInput is what the page of a comparison is made from. The sides may be empty: their profiles and diagnoses add
// pictures beside the numbers.
type CompareHTMLInput struct {
	Comparison    *compare.Comparison
	Before, After compare.Side
}

// CompareHTML writes a comparison as one page that needs nothing else, before and after side by side, with the same
// guarantees as HTML.
func CompareHTML(w io.Writer, in CompareHTMLInput) error {
	c := in.Comparison
	h := &compareHTML{c: c, used: map[string]bool{}}
	p := &comparePage{
		Title: "stepscope: " + joinNonEmpty(" to ", c.Before.Name, c.After.Name), Tool: joinNonEmpty(" ", c.Tool.Name, c.Tool.Version), Schema: c.Schema,
		Before: sideFacts(&c.Before), After: sideFacts(&c.After), Verdict: string(c.Verdict), Summary: c.Summary,
		Regressions: titles(c, c.Regressions), Unknown: slices.Clone(c.Unknown[:min(len(c.Unknown), maxNotes)]),
		Groups: h.groups(), Batches: h.batches(), OnlyBefore: batchLines(c.OnlyBefore), OnlyAfter: batchLines(c.OnlyAfter), Kernels: h.kernels(),
		Gone: slices.Clone(c.Findings.Gone), New: slices.Clone(c.Findings.New), Stays: slices.Clone(c.Findings.Stays),
	}
	for i, d := range c.Residue {
		if i == compareChanges {
			p.ResidueMore = len(c.Residue) - i
			break
		}
		row := residueRow{string(d.Group), d.Name, Cut(d.Before, 200), Cut(d.After, 200), d.Text, d.Matters}
		if d.Matters {
			p.Matters = append(p.Matters, row)
		} else {
			p.Quiet = append(p.Quiet, row)
		}
	}
	for _, x := range c.Workflow {
		p.Workflow = append(p.Workflow, workflowRow{workflowLimit(&x), x.Text, x.Passed})
	}
	for _, n := range c.Warnings[:min(len(c.Warnings), maxNotes)] {
		p.Notes = append(p.Notes, n.Text)
	}
	p.Noise = fmt.Sprintf("GPU time must move by %.0f %% to count, host time by %.0f %%: this much two starts of one server differ.", 100*c.Thresholds.NoiseGPU, 100*c.Thresholds.NoiseHost)
	p.Steps = h.typicalSteps(in.Before.Diagnosis, in.After.Diagnosis)
	p.Timelines, p.Legend, p.Data = h.timelines(in)
	p.Hatches = hatches(usedIDs(h.used))
	return writePage(w, "compare.html.tmpl", p, &p.frame)
}

// comparePage is what the template shows.
type comparePage struct {
	frame
	Title, Tool, Schema string
	Before, After       sideView
	Verdict, Summary    string
	Regressions         []string
	Matters, Quiet      []residueRow
	ResidueMore         int
	Unknown             []string
	Groups              []metricGroup
	Batches             []batchView
	OnlyBefore          []string
	OnlyAfter           []string
	Steps               *stepPair
	Timelines           []timelinePair
	Legend              []legendEntry
	Data                template.JS
	Kernels             *table
	Workflow            []workflowRow
	Gone, New, Stays    []string
	Notes               []string
	Noise               string
	Hatches             template.HTML
}

type sideView struct {
	Name    string
	Facts   []fact
	Verdict string
}

type residueRow struct {
	Group, Name, Before, After, Text string
	Matters                          bool
}

type residueTable struct {
	Title string
	Rows  []residueRow
}

type workflowRow struct {
	Limit, Text string
	Passed      bool
}

type metricGroup struct {
	Title   string
	Metrics []metricView
}

type metricView struct {
	Title, Before, After, Change, Verdict, Basis, Reason string
	Picture                                              template.HTML
}

type batchView struct {
	Title   string
	Chart   template.HTML
	Metrics []metricView
	Parts   []metricView
}

type stepPair struct {
	Chart template.HTML
	Note  string
}

type timelinePair struct {
	Title  string
	Strips []stripFigure
}

type compareHTML struct {
	c    *compare.Comparison
	used map[string]bool
}

func sideFacts(s *compare.SideInfo) sideView {
	v := sideView{Name: s.Name, Verdict: s.Verdict}
	if s.Profile {
		v.Facts = append(v.Facts, fact{"profile", fmt.Sprintf("%d steps by %s in %s", s.Steps, s.StepsBy, Dur(s.WindowNs))})
	} else {
		v.Facts = append(v.Facts, fact{"profile", "none"})
	}
	bench := "none"
	switch {
	case s.Bench && s.Samples:
		bench = "with its requests"
	case s.Bench:
		bench = "summary only"
	}
	v.Facts = append(v.Facts, fact{"benchmark", bench})
	return v
}

func batchLines(rows []compare.BatchCount) []string {
	var out []string
	for i, b := range rows {
		if i == 12 {
			out = append(out, fmt.Sprintf("%d more", len(rows)-i))
			break
		}
		out = append(out, fmt.Sprintf("%s (%d steps, %.0f %% of the wall)", b.Label, b.Steps, 100*b.Share))
	}
	return out
}

func metricRow(m *compare.Metric) metricView {
	return metricView{Title: compareTitle(m), Before: compareValue(m, m.Before.Center), After: compareValue(m, m.After.Center), Change: compareChange(m),
		Verdict: string(compareVerdict(m)), Basis: compareBasis(m), Reason: m.Reason, Picture: changePicture(m)}
}

func (h *compareHTML) groups() []metricGroup {
	var out []metricGroup
	for i := range h.c.Metrics {
		m := &h.c.Metrics[i]
		if n := len(out); n == 0 || out[n-1].Title != string(m.Group) {
			out = append(out, metricGroup{Title: string(m.Group)})
		}
		g := &out[len(out)-1]
		g.Metrics = append(g.Metrics, metricRow(m))
	}
	return out
}

// changeSpan is the relative change at the ends of a picture of changes.
const changeSpan = 0.5

// changePicture shows a tested change with its interval around zero; a dot without one where there was no test.
func changePicture(m *compare.Metric) template.HTML {
	var change float64
	switch r, ok := m.Ratio(); {
	case m.Change != nil:
		change = *m.Change
	case ok:
		change = r - 1
	default:
		return ""
	}
	if math.IsNaN(change) || math.IsInf(change, 0) {
		return ""
	}
	class := string(m.Verdict)
	if class == "" || !slices.Contains([]string{string(stat.Better), string(stat.Worse), string(stat.Same), string(compare.Differs)}, class) {
		class = "unclear"
	}
	const w, hgt = 150, 14
	x := scale{-changeSpan, changeSpan, 4, w - 4, false}
	at := func(v float64) float64 { return x.at(max(-changeSpan, min(changeSpan, v))) }
	c := &canvas{}
	c.b.WriteString(`<svg class="change" viewBox="0 0 150 14" width="150" height="14" aria-hidden="true" focusable="false">`)
	c.rect(0, 0, w, hgt, paint{"track", ""}, "")
	c.line(x.at(0), 0, x.at(0), hgt, "axis")
	if m.ChangeLo != nil && m.ChangeHi != nil {
		c.rect(at(*m.ChangeLo), 5, max(1, at(*m.ChangeHi)-at(*m.ChangeLo)), 4, paint{"v-" + class, ""}, "")
	}
	if math.Abs(change) > changeSpan {
		// Beyond the picture: an arrow at its end.
		end, tip := x.at(-changeSpan)+6, x.at(-changeSpan)-3
		if change > 0 {
			end, tip = x.at(changeSpan)-6, x.at(changeSpan)+3
		}
		c.path("M"+coord(end)+" 2L"+coord(tip)+" 7L"+coord(end)+" 12Z", paint{"v-" + class, ""}, "")
	} else {
		c.marker(at(change), 7, 4, 0, paint{"v-" + class, ""}, "")
	}
	c.b.WriteString("</svg>")
	return template.HTML(c.b.String())
}

func (h *compareHTML) batches() []batchView {
	var out []batchView
	for i := range h.c.Compositions[:min(len(h.c.Compositions), compareShown)] {
		k := &h.c.Compositions[i]
		v := batchView{Title: fmt.Sprintf("%s (%d and %d steps)", k.Label, k.Before, k.After), Chart: h.batchChart(i, k)}
		for j := range k.Metrics {
			v.Metrics = append(v.Metrics, metricRow(&k.Metrics[j]))
		}
		for j := range k.Parts {
			m := &k.Parts[j]
			if m.Verdict == stat.Better || m.Verdict == stat.Worse || max(m.Before.Center, m.After.Center) >= m.MinChange {
				v.Parts = append(v.Parts, metricRow(m))
			}
		}
		out = append(out, v)
	}
	return out
}

// batchChart draws the medians of a step's parts before and after, to one scale of time.
func (h *compareHTML) batchChart(i int, k *compare.Composition) template.HTML {
	type side struct {
		name string
		of   func(*compare.Metric) float64
	}
	sides := []side{{"before", func(m *compare.Metric) float64 { return m.Before.Center }}, {"after", func(m *compare.Metric) float64 { return m.After.Center }}}
	sum := [2]float64{}
	for s, x := range sides {
		for j := range k.Parts {
			if v := x.of(&k.Parts[j]); v > 0 && !math.IsInf(v, 0) {
				sum[s] += v
			}
		}
	}
	top := max(sum[0], sum[1])
	if !(top > 0) {
		return ""
	}
	const rowH, barH, y0 = 40, 28, 24
	c := newCanvas(fmt.Sprintf("c-batch%d", i), chartWidth, y0+2*rowH+4, "Time of a step before and after: "+k.Label,
		fmt.Sprintf("The parts sum to %s ms before and %s ms after.", number(sum[0]), number(sum[1])))
	x := scale{0, top, 110, plotRight, false}
	for _, v := range x.ticks(8) {
		c.line(x.at(v), y0-4, x.at(v), y0+2*rowH, "grid")
		c.label(x.at(v), y0-8, Dur(int64(v*1e6)), "middle", "tick")
	}
	for s, side := range sides {
		y := float64(y0 + rowH*s)
		c.label(100, y+18, side.name, "end", "strong")
		at := 0.0
		for _, idle := range []bool{false, true} {
			for j := range k.Parts {
				m := &k.Parts[j]
				id := strings.TrimSuffix(m.Name, "_ms")
				v := side.of(m)
				if strings.HasPrefix(id, "idle.") != idle || !(v > 0) || math.IsInf(v, 0) {
					continue
				}
				sw := swatchOf(partSwatches, id)
				h.used[id] = true
				x1, x2 := x.at(at), x.at(at+v)
				tip := fmt.Sprintf("%s (%s): %s ms before, %s ms after, %s", sw.Label, id, number(m.Before.Center), number(m.After.Center), m.Verdict)
				c.rect(x1, y, x2-x1, barH, withClass(sw.paint(id), "seg"), tip)
				c.barText(x1, x2, y, id, number(v), sw)
				at += v
			}
		}
		c.label(x.at(at)+8, y+18, number(sum[s])+" ms", "start", "strong")
	}
	return c.done()
}

// typicalSteps draws the typical step of each side, to one scale of time.
func (h *compareHTML) typicalSteps(before, after *diagnose.Diagnosis) *stepPair {
	if before == nil || after == nil || before.TypicalStep == nil || after.TypicalStep == nil {
		return nil
	}
	pair := [2]*diagnose.TypicalStep{before.TypicalStep, after.TypicalStep}
	top := max(pair[0].DurNs, pair[1].DurNs)
	if top <= 0 || pair[0].Phase != pair[1].Phase {
		return nil
	}
	const rowH, barH, y0 = 44, 32, 24
	c := newCanvas("c-typical", chartWidth, y0+2*rowH+4, "One typical step before and after",
		fmt.Sprintf("%s before, %s after.", Dur(pair[0].DurNs), Dur(pair[1].DurNs)))
	x := scale{0, float64(top), 110, plotRight, false}
	for _, v := range x.ticks(8) {
		c.line(x.at(v), y0-4, x.at(v), y0+2*rowH, "grid")
		c.label(x.at(v), y0-8, Dur(int64(math.Round(v))), "middle", "tick")
	}
	for s, t := range pair {
		y := float64(y0 + rowH*s)
		c.label(100, y+20, [2]string{"before", "after"}[s], "end", "strong")
		var ids []string
		paths := map[string]*pathData{}
		for _, p := range t.Pieces {
			d := paths[p.Part]
			if d == nil {
				d = &pathData{}
				paths[p.Part] = d
				ids = append(ids, p.Part)
			}
			a, b := x.at(float64(p.StartNs)), x.at(float64(p.StartNs+p.DurNs))
			d.rect(a, y, b-a, barH)
		}
		for _, id := range ids {
			h.used[id] = true
			sw := swatchOf(partSwatches, id)
			c.path(paths[id].b.String(), sw.paint(id), sw.Label)
		}
		c.label(x.at(float64(t.DurNs))+8, y+20, Dur(t.DurNs), "start", "strong")
	}
	return &stepPair{c.done(), fmt.Sprintf("A real %s step near the median of each side, to one scale: step %d before, step %d after.", pair[0].Phase, pair[0].Step, pair[1].Step)}
}

// timelines draws both captures one above the other.
func (h *compareHTML) timelines(in CompareHTMLInput) (out []timelinePair, legend []legendEntry, data template.JS) {
	var hover []hoverStrip
	for _, s := range []struct {
		prefix, title string
		side          *compare.Side
	}{{"b-", "Before: ", &in.Before}, {"a-", "After: ", &in.After}} {
		if s.side.Analysis == nil || s.side.Diagnosis == nil {
			continue
		}
		r := &htmlReport{in: HTMLInput{Diagnosis: s.side.Diagnosis, Analysis: s.side.Analysis}, d: s.side.Diagnosis, used: h.used, prefix: s.prefix}
		var figures []stripFigure
		figures, strips := r.strips()
		hover = append(hover, strips...)
		if len(figures) > 0 {
			out = append(out, timelinePair{s.title + s.side.Name, figures})
		}
	}
	if len(out) == 0 {
		return nil, nil, ""
	}
	r := &htmlReport{used: h.used}
	return out, r.legend(), hoverData(hover)
}

func (h *compareHTML) kernels() *table {
	c := h.c
	perStep, unit := compareKernelUnit(c)
	t := &table{Caption: "Device functions, " + c.KernelsOf + ", " + unit, Align: "lllrrr", Head: []string{"function", "stage", "state", "before", "after", "change"}}
	for i := range c.Kernels {
		if i == compareRows {
			break
		}
		k := &c.Kernels[i]
		t.Rows = append(t.Rows, []cell{{Text: Cut(compareName(k.Name), 90), Title: Cut(clean(k.Name), 600)}, {Text: k.Stage}, {Text: string(k.State)},
			num(compareKernelTime(k.Before, perStep)), num(compareKernelTime(k.After, perStep)), num(compareKernelChange(k))})
	}
	if rest := len(c.Kernels) - len(t.Rows) + c.KernelsOmitted; rest > 0 {
		t.Note = fmt.Sprintf("%d more.", rest)
	}
	return t.orNil()
}

// titles names metrics as people do.
func titles(c *compare.Comparison, ids []string) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = c.Title(id)
	}
	return out
}
