package report

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/diagnose"
)

// Sizes of the pictures, in CSS pixels at full width.
const (
	chartWidth = 1100
	plotLeft   = 190
	plotRight  = 960
)

// budgetSection is where the time goes: one bar for all steps and one per phase, and the same numbers as a table.
type budgetSection struct {
	Note  string
	Bars  template.HTML
	Cols  []string // names of the bars
	Rows  []budgetRow
	Total []budgetCell
	Step  *waterfallSection
}

type budgetRow struct {
	Swatch template.HTML
	Label  string
	ID     string
	Sum    bool // GPU busy and GPU idle: the sum of the rows below
	Cells  []budgetCell
}

type budgetCell struct{ Share, Per string }

// budgetBar is one bar: all steps or those of a phase.
type budgetBar struct {
	name, note string
	wall       int64
	count      int
	parts      []diagnose.PartTime
}

func budgetBars(d *diagnose.Diagnosis) []budgetBar {
	out := []budgetBar{{"all steps", fmt.Sprintf("%d steps, %s of wall", d.Steps.Count, Dur(d.Budget.WallNs)), d.Budget.WallNs, d.Steps.Count, d.Budget.Parts}}
	names := phaseNames(d)
	if len(names) == 1 {
		out[0].name = names[0] + " (all steps)"
		return out
	}
	for _, n := range names {
		f := d.Steps.ByPhase[n]
		if f.WallNs <= 0 {
			continue
		}
		out = append(out, budgetBar{n, fmt.Sprintf("%d steps, %.1f %% of wall", f.Count, 100*ratio(f.WallNs, d.Budget.WallNs)), f.WallNs, f.Count, f.Parts})
	}
	return out
}

// phaseNames lists the phases of the diagnosis in telling order.
func phaseNames(d *diagnose.Diagnosis) []string {
	var out []string
	for _, n := range phaseOrder {
		if _, ok := d.Steps.ByPhase[n]; ok {
			out = append(out, n)
		}
	}
	var rest []string
	for n := range d.Steps.ByPhase {
		if !slices.Contains(phaseOrder, n) {
			rest = append(rest, n)
		}
	}
	slices.Sort(rest)
	return append(out, rest...)
}

func (h *htmlReport) budget() *budgetSection {
	d := h.d
	if d.Budget.WallNs <= 0 {
		return nil
	}
	bars := budgetBars(d)
	s := &budgetSection{Note: fmt.Sprintf("Every instant of the %d steps counts once: for the work that the GPU does, or for the reason why it does none. The parts of a bar sum to its wall time exactly.", d.Steps.Count)}
	s.Bars = h.budgetChart(bars)
	for _, b := range bars {
		s.Cols = append(s.Cols, b.name)
		s.Total = append(s.Total, budgetCell{"100 %", Dur(b.wall / int64(max(1, b.count)))})
	}
	for _, half := range halves(d.Budget.Parts) {
		sum := budgetRow{Label: half.Name, Sum: true}
		for _, b := range bars {
			for _, other := range halves(b.parts) {
				if other.Idle == half.Idle {
					sum.Cells = append(sum.Cells, b.cell(other.Sum.Ns))
				}
			}
		}
		s.Rows = append(s.Rows, sum)
		for _, p := range half.Parts {
			row := budgetRow{Swatch: h.swatch(p.ID), Label: swatchOf(partSwatches, p.ID).Label, ID: p.ID}
			for _, b := range bars {
				var ns int64
				for _, q := range b.parts {
					if q.ID == p.ID {
						ns = q.Ns
					}
				}
				row.Cells = append(row.Cells, b.cell(ns))
			}
			s.Rows = append(s.Rows, row)
		}
	}
	s.Step = h.waterfall()
	return s
}

func (b *budgetBar) cell(ns int64) budgetCell {
	if ns == 0 {
		return budgetCell{"", ""}
	}
	return budgetCell{percentText(ratio(ns, b.wall)), Dur(ns / int64(max(1, b.count)))}
}

// percentText keeps small shares visible.
func percentText(x float64) string {
	if x > 0 && x < 0.0005 {
		return "<0.1 %"
	}
	return fmt.Sprintf("%.1f %%", 100*x)
}

func (h *htmlReport) budgetChart(bars []budgetBar) template.HTML {
	const rowH, barH, top = 46, 28, 22
	height := float64(top + rowH*len(bars) + 6)
	var desc strings.Builder
	for _, b := range bars {
		half := halves(b.parts)
		fmt.Fprintf(&desc, "%s: GPU busy %.1f %%, idle %.1f %%. ", b.name, 100*half[0].Sum.Share, 100*half[1].Sum.Share)
	}
	c := newCanvas(h.id("budget"), chartWidth, height, "Where the time of the steps goes", desc.String()+"The table below has the numbers.")
	x := scale{0, 1, plotLeft, plotRight, false}
	for i := range 11 {
		v := float64(i) / 10
		c.line(x.at(v), top-4, x.at(v), height-6, "grid")
		if i%2 == 0 {
			c.label(x.at(v), top-8, fmt.Sprintf("%.0f %%", 100*v), "middle", "tick")
		}
	}
	for i, b := range bars {
		y := float64(top + rowH*i)
		c.label(plotLeft-10, y+12, Cut(clean(b.name), 26), "end", "strong")
		c.label(plotLeft-10, y+27, b.note, "end", "tick")
		at := 0.0
		for _, idle := range []bool{false, true} {
			for _, p := range b.parts {
				if strings.HasPrefix(p.ID, "idle.") != idle || p.Ns <= 0 {
					continue
				}
				share := ratio(p.Ns, b.wall)
				sw := swatchOf(partSwatches, p.ID)
				h.use(p.ID)
				x1, x2 := x.at(at), x.at(at+share)
				tip := fmt.Sprintf("%s (%s): %s of the wall, %s per step", sw.Label, p.ID, percentText(share), Dur(p.Ns/int64(max(1, b.count))))
				c.rect(x1, y, x2-x1, barH, withClass(sw.paint(p.ID), "seg"), tip)
				c.barText(x1, x2, y, p.ID, fmt.Sprintf("%.0f %%", 100*share), sw)
				at += share
			}
		}
		c.label(plotRight+10, y+12, Dur(b.wall/int64(max(1, b.count)))+" per step", "start", "strong")
		c.label(plotRight+10, y+27, fmt.Sprintf("GPU busy %.1f %%", 100*halves(b.parts)[0].Sum.Share), "start", "tick")
	}
	return c.done()
}

// barText writes a part's short name and a figure into its stretch of a bar at y, where they fit.
func (c *canvas) barText(x1, x2, y float64, id, figure string, sw swatch) {
	text := strings.TrimPrefix(strings.TrimPrefix(id, "gpu."), "idle.") + " " + figure
	if !(x2-x1 > 7*float64(len(text))) {
		return
	}
	if sw.Hatch {
		c.rect((x1+x2)/2-3.4*float64(len(text)), y+6, 6.8*float64(len(text)), 16, paint{"", sw.Fill}, "")
	}
	c.inked((x1+x2)/2, y+18, text, "middle", "in", ink(sw.Fill))
}

// waterfallSection is one real step, part by part over time.
type waterfallSection struct {
	Title, Note string
	Chart       template.HTML
}

func (h *htmlReport) waterfall() *waterfallSection {
	t := h.d.TypicalStep
	if t == nil || t.DurNs <= 0 || len(t.Pieces) == 0 {
		return nil
	}
	type lane struct {
		id    string
		ns    int64
		n     int
		first int64
	}
	var lanes []lane
	for _, p := range t.Pieces {
		i := slices.IndexFunc(lanes, func(l lane) bool { return l.id == p.Part })
		if i < 0 {
			i = len(lanes)
			lanes = append(lanes, lane{id: p.Part, first: p.StartNs})
		}
		lanes[i].ns += p.DurNs
		lanes[i].n++
	}
	// GPU work first, in order of its first appearance, as a step runs; then idleness, the longest first.
	slices.SortStableFunc(lanes, func(a, b lane) int {
		ai, bi := strings.HasPrefix(a.id, "idle."), strings.HasPrefix(b.id, "idle.")
		switch {
		case ai != bi:
			if ai {
				return 1
			}
			return -1
		case ai && a.ns != b.ns:
			if a.ns > b.ns {
				return -1
			}
			return 1
		}
		return 0
	})
	const rowH, top, whole = 20, 26, 26
	height := float64(top + whole + 8 + rowH*len(lanes) + 4)
	title := fmt.Sprintf("One typical step: %s step %d, %s", t.Phase, t.Step, Dur(t.DurNs))
	var desc strings.Builder
	for _, l := range lanes {
		fmt.Fprintf(&desc, "%s %s, ", l.id, Dur(l.ns))
	}
	c := newCanvas(h.id("waterfall"), chartWidth, height, title, strings.TrimSuffix(desc.String(), ", ")+".")
	x := scale{0, float64(t.DurNs), plotLeft, plotRight, false}
	for _, v := range x.ticks(8) {
		c.line(x.at(v), top-6, x.at(v), height-4, "grid")
		c.label(x.at(v), top-10, Dur(int64(math.Round(v))), "middle", "tick")
	}
	c.label(plotLeft-10, top+18, "the whole step", "end", "strong")
	c.label(plotRight+10, top+18, Dur(t.DurNs), "start", "strong")
	for _, l := range lanes {
		var d pathData
		for _, p := range t.Pieces {
			if p.Part == l.id {
				a, b := x.at(float64(p.StartNs)), x.at(float64(p.StartNs+p.DurNs))
				d.rect(a, top, b-a, whole)
			}
		}
		h.use(l.id)
		sw := swatchOf(partSwatches, l.id)
		c.path(d.String(), sw.paint(l.id), sw.Label)
	}
	for i, l := range lanes {
		y := float64(top + whole + 8 + rowH*i)
		var d pathData
		for _, p := range t.Pieces {
			if p.Part == l.id {
				a, b := x.at(float64(p.StartNs)), x.at(float64(p.StartNs+p.DurNs))
				d.rect(a, y+3, max(0.4, b-a), rowH-6)
			}
		}
		sw := swatchOf(partSwatches, l.id)
		tip := fmt.Sprintf("%s (%s): %s in %d stretches, %s of the step", sw.Label, l.id, Dur(l.ns), l.n, percentText(ratio(l.ns, t.DurNs)))
		c.line(plotLeft, y+rowH, plotRight, y+rowH, "grid")
		c.label(plotLeft-10, y+14, Cut(clean(l.id), 26), "end", "lane")
		c.path(d.String(), sw.paint(l.id), tip)
		c.label(plotRight+10, y+14, fmt.Sprintf("%s  %s", Dur(l.ns), percentText(ratio(l.ns, t.DurNs))), "start", "lane")
	}
	s := &waterfallSection{Title: title, Chart: c.done(),
		Note: "A real step with the median time between steps. Each row is one part; a stretch is drawn where the part owns the instant, and at least 0.4 px wide in the rows."}
	if !t.Whole {
		s.Note += " The step has more stretches than are kept: what is missing at its end is left blank."
	}
	return s
}
