package report

import (
	"fmt"
	"html/template"
	"math"
	"slices"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/step"
)

// Bounds of what is drawn one by one, so that a report stays small.
const (
	maxPoints       = 1500
	maxCompositions = 12
)

// stepsSection is the steps by phase, their periods over time, and their batches.
type stepsSection struct {
	Note         string
	Head         []string
	Rows         [][]string
	Scatter      template.HTML
	ScatterNote  string
	Compositions []compositionRow
	CompNote     string
}

type compositionRow struct {
	Swatch                                               template.HTML
	Phase, Prefill, PrefillTokens, Decode, Count, Median string
}

func (h *htmlReport) steps() *stepsSection {
	d := h.d
	names := phaseNames(d)
	if len(names) == 0 {
		return nil
	}
	s := &stepsSection{Note: stepsNote(d), Head: slices.Clone(phaseHead)}
	for _, n := range names {
		f := d.Steps.ByPhase[n]
		s.Rows = append(s.Rows, append([]string{n}, phaseCells(&f, d.Budget.WallNs)...))
	}
	s.Scatter, s.ScatterNote = h.scatter()
	type comp struct {
		diagnose.Composition
		phase string
	}
	var all []comp
	for _, n := range names {
		for _, c := range d.Steps.ByPhase[n].Compositions {
			all = append(all, comp{c, n})
		}
	}
	slices.SortStableFunc(all, func(a, b comp) int { return b.Count - a.Count })
	count := func(n int64) string {
		if n < 0 {
			return "-"
		}
		return fmt.Sprint(n)
	}
	for i, c := range all {
		if i == maxCompositions {
			s.CompNote = fmt.Sprintf("The %d most frequent of %d batches.", i, len(all))
			break
		}
		median := "-"
		if c.MedianNs >= 0 {
			median = Dur(c.MedianNs)
		}
		s.Compositions = append(s.Compositions, compositionRow{h.phaseSwatch(c.phase), c.phase, count(c.Prefill), count(c.PrefillTokens), count(c.Decode), fmt.Sprint(c.Count), median})
	}
	return s
}

// phaseShape is the marker of each phase.
var phaseShape = map[string]int{"decode": 0, "prefill": 1, "mixed": 2}

func shapeOf(phase string) int {
	if s, ok := phaseShape[phase]; ok {
		return s
	}
	return 3
}

// scatter draws each step's period over the time of its start, and below it what the step scheduled.
func (h *htmlReport) scatter() (template.HTML, string) {
	a := h.in.Analysis
	if a == nil {
		return "", ""
	}
	var steps []*step.Step
	origin := a.P.Window.Start
	lo, hi := math.Inf(1), 0.0
	var span interval.Span
	batches := false
	for _, i := range a.Primary {
		s := &a.Steps[i]
		if s.Period <= 0 {
			continue
		}
		steps = append(steps, s)
		lo, hi = min(lo, float64(s.Period)), max(hi, float64(s.Period))
		if len(steps) == 1 {
			span = s.GPU
		}
		span.Start, span.End = min(span.Start, s.GPU.Start), max(span.End, s.GPU.End)
		batches = batches || s.Batch.Requests() >= 0
	}
	if len(steps) < 2 {
		return "", ""
	}
	const top, plotH, lowH = 26, 250, 110
	height := float64(top + plotH + 40)
	if batches {
		height += lowH + 34
	}
	x := scale{float64(span.Start), float64(span.End), 80, chartWidth - 20, false}
	y := scale{0, hi * 1.05, top + plotH, top, false}
	if hi > 12*lo {
		y = scale{lo / 1.3, hi * 1.3, top + plotH, top, true}
	}
	counts := map[string]int{}
	for _, s := range steps {
		counts[s.Phase.String()]++
	}
	desc := fmt.Sprintf("%d steps, %s to %s from one step's start to the next one's.", len(steps), Dur(int64(lo)), Dur(int64(hi)))
	c := newCanvas(h.id("scatter"), chartWidth, height, "Step time over time, by phase", desc)
	for _, v := range y.ticks(6) {
		c.line(80, y.at(v), chartWidth-20, y.at(v), "grid")
		c.label(74, y.at(v)+4, Dur(int64(v)), "end", "tick")
	}
	timeTicks(c, x, origin, top, height-22)
	c.label(80, top-10, "time from a step's start to the next one's"+logNote(y.log), "start", "strong")
	at := float64(chartWidth - 20)
	for _, n := range slices.Backward(phaseNames(h.d)) {
		if counts[n] == 0 {
			continue
		}
		sw := swatchOf(phaseSwatches, n)
		text := fmt.Sprintf("%s (%d)", sw.Label, counts[n])
		at -= 7 * float64(len(text))
		c.label(at, top-10, text, "start", "lane")
		at -= 12
		c.marker(at+4, top-14, 4, shapeOf(n), paint{"", sw.Fill}, "")
		at -= 14
	}
	note := ""
	shown := thin(len(steps), func(i int) (int, float64, float64) {
		s := steps[i]
		return int(s.Phase), x.at(float64(s.GPU.Start)), y.at(float64(s.Period))
	})
	if len(shown) < len(steps) {
		note = fmt.Sprintf("%d of %d steps are drawn: the others of the same phase lie within a few pixels of these.", len(shown), len(steps))
	}
	cold, radius := 0, 3.2
	if len(shown) < 150 {
		radius = 4.4
	}
	for _, i := range shown {
		s := steps[i]
		sw := swatchOf(phaseSwatches, s.Phase.String())
		p := paint{"pt", sw.Fill}
		if s.Cold {
			p.class = "pt cold"
			cold++
		}
		c.marker(x.at(float64(s.GPU.Start)), y.at(float64(s.Period)), radius, shapeOf(s.Phase.String()), p, stepTip(s, origin))
	}
	if cold > 0 {
		note = joinNonEmpty(" ", note, "Cold steps are ringed.")
	}
	if batches {
		h.batchPanel(c, steps, x, top+plotH+34, lowH)
		note = joinNonEmpty(" ", note, "Below: requests that each step scheduled, decode from the base line up and prefill on top of it.")
	}
	return c.done(), note
}

func logNote(log bool) string {
	if log {
		return " (logarithmic)"
	}
	return ""
}

// timeTicks draws the vertical grid of a time axis that counts from origin, with its labels below bottom.
func timeTicks(c *canvas, x scale, origin int64, top, bottom float64) {
	rel := scale{x.lo - float64(origin), x.hi - float64(origin), x.from, x.to, false}
	for _, v := range rel.ticks(9) {
		c.line(rel.at(v), top, rel.at(v), bottom, "grid")
		c.label(rel.at(v), bottom+14, Dur(int64(math.Round(v))), "middle", "tick")
	}
}

func stepTip(s *step.Step, origin int64) string {
	t := fmt.Sprintf("step %d at %s: %s", s.Index, Dur(s.GPU.Start-origin), s.Phase)
	b := s.Batch
	if b.PrefillRequests > 0 {
		t += fmt.Sprintf(", %d prefill (%d tokens)", b.PrefillRequests, b.PrefillTokens)
	}
	if b.DecodeRequests > 0 {
		t += fmt.Sprintf(", %d decode", b.DecodeRequests)
	}
	if s.Period >= 0 {
		t += ", " + Dur(s.Period)
	}
	t += ", GPU busy " + Dur(s.Budget.Busy())
	if s.Cold {
		t += ", cold: " + s.ColdWhy
	}
	return t
}

// thin returns the indices of points to draw: one per group and cell, with cells that grow until few enough are left.
func thin(n int, point func(int) (group int, x, y float64)) []int {
	for cell := 1.0; ; cell *= 1.5 {
		type key struct {
			group int
			x, y  int
		}
		seen := map[key]bool{}
		var out []int
		for i := range n {
			g, x, y := point(i)
			k := key{g, int(x / cell), int(y / cell)}
			if n > maxPoints && seen[k] {
				continue
			}
			seen[k] = true
			out = append(out, i)
		}
		if len(out) <= maxPoints || cell > 1000 {
			return out
		}
	}
}

// batchPanel draws the scheduled requests of each step as two stacked areas.
func (h *htmlReport) batchPanel(c *canvas, steps []*step.Step, x scale, top, height float64) {
	most := 1.0
	for _, s := range steps {
		most = max(most, float64(s.Batch.Requests()))
	}
	y := scale{0, most * 1.1, top + height, top, false}
	for _, v := range y.ticks(3) {
		if v != math.Trunc(v) {
			continue
		}
		c.line(80, y.at(v), chartWidth-20, y.at(v), "grid")
		c.label(74, y.at(v)+4, fmt.Sprint(int64(v)), "end", "tick")
	}
	c.label(80, top-6, "requests in the step", "start", "strong")
	// Columns of one pixel hold the largest batch among the steps that start in them.
	type column struct{ decode, prefill int64 }
	cols := make([]column, chartWidth)
	for _, s := range steps {
		if s.Batch.Requests() < 0 {
			continue
		}
		i, j := int(x.at(float64(s.GPU.Start))), int(x.at(float64(s.GPU.End)))
		for k := max(0, i); k <= min(j, len(cols)-1) && (k < j || k == i); k++ {
			if s.Batch.Requests() >= cols[k].decode+cols[k].prefill {
				cols[k] = column{s.Batch.DecodeRequests, s.Batch.PrefillRequests}
			}
		}
	}
	var decode, prefill pathData
	for i := 0; i < len(cols); {
		j := i + 1
		for j < len(cols) && cols[j] == cols[i] {
			j++
		}
		base := y.at(0)
		if n := cols[i].decode; n > 0 {
			decode.rect(float64(i), y.at(float64(n)), float64(j-i), base-y.at(float64(n)))
		}
		if n := cols[i].prefill; n > 0 {
			from := y.at(float64(cols[i].decode))
			to := y.at(float64(cols[i].decode + n))
			prefill.rect(float64(i), to, float64(j-i), from-to)
		}
		i = j
	}
	c.path(decode.String(), paint{"", phaseSwatches["decode"].Fill}, "requests in decode")
	c.path(prefill.String(), paint{"", phaseSwatches["prefill"].Fill}, "requests in prefill")
}
