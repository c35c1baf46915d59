package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/step"
)

// Bounds of the embedded timeline.
const (
	stripBins      = 940
	stripBinsMore  = 320 // with several ranks
	maxStripRanks  = 8
	maxStripSteps  = 320 // drawn one by one; more are drawn as shares of a bin
	closeUpSteps   = 3
	maxRequestRows = 16
	maxPhaseRows   = 4
	maxLifecycle   = 60
)

// timelineSection is the down-sampled timeline: the whole capture, its steps, and a few steps close up.
type timelineSection struct {
	Strips []stripFigure
	Before []lifeChip
	Life   [][]string
	Legend []legendEntry
	Data   template.JS
}

type stripFigure struct {
	Title, Note string
	Chart       template.HTML
}

type lifeChip struct {
	Swatch      template.HTML
	Phase, Text string
}

type legendEntry struct {
	Swatch template.HTML
	Label  string
}

// hoverStrip is what the script needs to tell the bin under the pointer; times are ns from the capture's start.
type hoverStrip struct {
	ID    string      `json:"id"`
	Start int64       `json:"start"`
	Dur   int64       `json:"dur"`
	Left  float64     `json:"left"` // of the drawing, in user units
	Right float64     `json:"right"`
	Ranks []hoverRank `json:"ranks"`
}

type hoverRank struct {
	Y     float64 `json:"y"`
	H     float64 `json:"h"`
	Width []int64 `json:"width"` // ns of each bin; one number where all but the last are equal
	Bins  [][]int `json:"bins"`  // pairs of part and per mille of the bin
}

func (h *htmlReport) timeline() *timelineSection {
	s := &timelineSection{}
	h.lifecycle(s)
	a := h.in.Analysis
	if a == nil {
		if len(s.Life) == 0 {
			return nil
		}
		return s
	}
	var hover []hoverStrip
	s.Strips, hover = h.strips()
	if len(s.Strips) == 0 {
		if len(s.Life) == 0 {
			return nil
		}
		return s
	}
	s.Legend = h.legend()
	s.Data = hoverData(hover)
	return s
}

// strips draws the whole capture, its steps where they are a small part of it, and a few steps close up.
func (h *htmlReport) strips() (figures []stripFigure, hover []hoverStrip) {
	a := h.in.Analysis
	ranks := primaryRanks(a, maxStripRanks)
	bins := stripBins
	if len(ranks) > 1 {
		bins = stripBinsMore
	}
	window, serving := a.P.Window, stepsSpan(a)
	if window.Empty() {
		window = serving
	}
	if window.Empty() || len(ranks) == 0 && len(packLifecycle(a.Lifecycle, window)) == 0 {
		return nil, nil
	}
	var strips []*strip
	add := func(span interval.Span, title string, bySteps bool) {
		s := newStrip(a, span, bins, ranks, bySteps)
		note := fmt.Sprintf("Each bin is %s long and holds the exact share of each part.", Dur(s.least))
		if len(ranks) == 0 {
			note = "No GPU work is recorded."
		} else if bySteps {
			note = fmt.Sprintf("Each bin is one step, or %s where steps are shorter; it holds the exact share of each part, not their order.", Dur(s.least))
		}
		strips = append(strips, s)
		figures = append(figures, stripFigure{Title: title, Note: note})
	}
	add(window, "The whole capture, "+Dur(window.Dur()), true)
	if in := serving.Clip(window); !in.Empty() && float64(in.Dur()) < 0.6*float64(window.Dur()) {
		add(in, "The steps, "+Dur(in.Dur()), true)
	}
	if near, n := h.closeUp(); !near.Empty() && n < len(a.Primary) {
		add(near, fmt.Sprintf("Close up: %d steps around the typical one, %s", n, Dur(near.Dur())), false)
	}
	fill(a, strips)
	for i, s := range strips {
		chart, hs := h.drawStrip(fmt.Sprintf("strip%d", i), s, figures[i].Title, i == 0)
		figures[i].Chart = chart
		hover = append(hover, hs)
	}
	return figures, hover
}

// legend lists the parts that were drawn.
func (h *htmlReport) legend() []legendEntry {
	var out []legendEntry
	for _, p := range append(partIDs(), outsideSteps) {
		if h.used[p] {
			out = append(out, legendEntry{h.swatch(p), swatchOf(partSwatches, p).Label})
		}
	}
	return out
}

// partIDs lists the parts by number, as the bins do.
func partIDs() []string {
	ids := make([]string, step.NumParts)
	for i := range ids {
		ids[i] = step.Part(i).String()
	}
	return ids
}

func hoverData(strips []hoverStrip) template.JS {
	labels := make([]string, 0, stripParts)
	for _, id := range partIDs() {
		labels = append(labels, swatchOf(partSwatches, id).Label)
	}
	labels = append(labels, partSwatches[outsideSteps].Label)
	b, err := json.Marshal(struct {
		Labels []string     `json:"labels"`
		Strips []hoverStrip `json:"strips"`
	}{labels, strips})
	if err != nil {
		return "{}" // numbers and constant labels only: it cannot fail
	}
	return template.JS(b) // encoding/json escapes <, > and &
}

// lifecycle lists the phases; those before the recorded window cannot be drawn to its scale and become chips.
func (h *htmlReport) lifecycle(s *timelineSection) {
	var start int64
	if h.in.Analysis != nil {
		start = h.in.Analysis.P.Window.Start
	}
	for i, l := range h.d.Lifecycle {
		if i == maxLifecycle {
			s.Life = append(s.Life, []string{fmt.Sprintf("%d more", len(h.d.Lifecycle)-i), "", "", ""})
			break
		}
		sw := swatchOf(lifecycleSwatches, l.Phase)
		s.Life = append(s.Life, []string{sw.Label, Dur(l.Start - start), Dur(l.Dur), clean(Cut(l.Source, 200))})
		if l.Start+l.Dur <= start {
			h.use(l.Phase)
			s.Before = append(s.Before, lifeChip{swatchIcon(sw, l.Phase), sw.Label, fmt.Sprintf("%s, ended %s before the capture", Dur(l.Dur), Dur(start-l.Start-l.Dur))})
		}
	}
}

// closeUp is the time of a few consecutive steps around the typical one.
func (h *htmlReport) closeUp() (interval.Span, int) {
	a, t := h.in.Analysis, h.d.TypicalStep
	if t == nil || len(a.Primary) == 0 {
		return interval.Span{}, 0
	}
	at := slices.IndexFunc(a.Primary, func(i int32) bool {
		s := &a.Steps[i]
		return s.Index == t.Step && s.Wall() == t.DurNs
	})
	if at < 0 {
		return interval.Span{}, 0
	}
	r := a.Steps[a.Primary[at]].Rank
	lo, hi := at, at
	n := 1
	for n < closeUpSteps {
		grown := false
		for k := hi + 1; k < len(a.Primary) && n < closeUpSteps; k++ {
			if a.Steps[a.Primary[k]].Rank == r {
				hi, grown = k, true
				n++
				break
			}
		}
		for k := lo - 1; k >= 0 && n < closeUpSteps; k-- {
			if a.Steps[a.Primary[k]].Rank == r {
				lo, grown = k, true
				n++
				break
			}
		}
		if !grown {
			break
		}
	}
	return interval.Span{Start: a.Steps[a.Primary[lo]].GPU.Start, End: a.Steps[a.Primary[hi]].GPU.End}, n
}

// Heights of the lanes of a strip.
const (
	laneLife    = 16
	laneSteps   = 20
	laneParts   = 62
	laneCurve   = 34
	laneRequest = 7
	laneGap     = 6
	stripTop    = 8
	stripLeft   = 150
	stripRight  = chartWidth - 10
)

func (h *htmlReport) drawStrip(id string, s *strip, title string, first bool) (template.HTML, hoverStrip) {
	a := h.in.Analysis
	var life [][]step.LifecyclePhase
	if first {
		life = packLifecycle(a.Lifecycle, s.span)
	}
	requests := h.requestRows(s.span)
	curves := stripCurves(a.P, s.span)
	levels := memoryLevels(a.P, s.span)
	height := float64(stripTop + len(life)*laneLife + laneGap + len(s.ranks)*(laneSteps+laneParts+laneGap) + (len(curves)+len(levels))*(laneCurve+laneGap) + 24)
	if len(requests) > 0 {
		height += float64(len(requests)*laneRequest + laneGap)
	}
	c := newCanvas(h.id(id), chartWidth, height, title, h.stripDesc(s))
	x := scale{float64(s.span.Start), float64(s.span.End), stripLeft, stripRight, false}
	timeTicks(c, x, a.P.Window.Start, stripTop, height-20)
	y := float64(stripTop)
	if len(life) > 0 {
		c.label(stripLeft-8, y+12, "lifecycle", "end", "lane")
	}
	for _, row := range life {
		for _, l := range row {
			in := interval.Span{Start: l.Start, End: l.Start + l.Dur}.Clip(s.span)
			sw := swatchOf(lifecycleSwatches, l.Phase)
			h.use(l.Phase)
			x1, x2 := x.at(float64(in.Start)), x.at(float64(in.End))
			c.rect(x1, y, max(1, x2-x1), laneLife-3, withClass(sw.paint(l.Phase), "seg"), fmt.Sprintf("%s, %s: %s", sw.Label, Dur(l.Dur), l.Source))
			if x2-x1 > 7*float64(len(sw.Label)) && !sw.Hatch {
				c.inked((x1+x2)/2, y+10, sw.Label, "middle", "in", ink(sw.Fill))
			}
		}
		y += laneLife
	}
	y += laneGap
	hover := hoverStrip{ID: h.id(id), Start: s.span.Start - a.P.Window.Start, Dur: s.span.Dur(), Left: x.from, Right: x.to, Ranks: []hoverRank{}}
	for k := range s.ranks {
		r := &s.ranks[k]
		name := "GPU"
		if len(s.ranks) > 1 || len(a.Ranks) > 1 {
			name = h.rankName(r.rank)
		}
		c.label(stripLeft-8, y+13, "steps", "end", "lane")
		h.stepLane(c, s, r, x, y)
		y += laneSteps
		c.label(stripLeft-8, y+laneParts/2, name, "end", "strong")
		c.label(stripLeft-8, y+laneParts/2+14, "by part", "end", "tick")
		h.partLane(c, r, x, y)
		hover.Ranks = append(hover.Ranks, hoverRank{round1(y), laneParts, hoverWidths(r), hoverBins(r)})
		y += laneParts + laneGap
	}
	for _, row := range curves {
		h.curveLane(c, s, row, x, y)
		y += laneCurve + laneGap
	}
	for i := range levels {
		levels[i].draw(c, s.span, x, y)
		y += laneCurve + laneGap
	}
	if len(requests) > 0 {
		c.label(stripLeft-8, y+10, "requests", "end", "lane")
		for _, row := range requests {
			for _, q := range row {
				h.drawRequest(c, &q, x, y, s.span)
			}
			y += laneRequest
		}
	}
	return c.done(), hover
}

func withClass(p paint, class string) paint {
	p.class = class
	return p
}

func round1(v float64) float64 { return math.Round(v*10) / 10 }

func (h *htmlReport) rankName(ri int) string {
	a := h.in.Analysis
	r := &a.Ranks[ri]
	s := fmt.Sprintf("GPU %d", a.P.Devices[r.Device].ID)
	if r.Process >= 0 {
		s += fmt.Sprintf(", pid %d", a.P.Processes[r.Process].PID)
	}
	return s
}

func (h *htmlReport) stripDesc(s *strip) string {
	var b strings.Builder
	for k := range s.ranks {
		var sum [stripParts]int64
		var all int64
		for i := range s.ranks[k].parts {
			for p, ns := range s.ranks[k].parts[i] {
				sum[p] += ns
				all += ns
			}
		}
		type share struct {
			p  int
			ns int64
		}
		var top []share
		for p, ns := range sum {
			if ns > 0 {
				top = append(top, share{p, ns})
			}
		}
		slices.SortStableFunc(top, func(x, y share) int { return cmp.Compare(y.ns, x.ns) })
		fmt.Fprintf(&b, "%s: ", h.rankName(s.ranks[k].rank))
		for i, t := range top {
			if i == 5 {
				break
			}
			fmt.Fprintf(&b, "%s %s, ", partLabel(t.p), percentText(ratio(t.ns, all)))
		}
	}
	return strings.TrimSuffix(b.String(), ", ") + "."
}

func partLabel(p int) string {
	if p >= step.NumParts {
		return partSwatches[outsideSteps].Label
	}
	return swatchOf(partSwatches, step.Part(p).String()).Label
}

// packLifecycle puts phases that overlap into rows.
func packLifecycle(all []step.LifecyclePhase, span interval.Span) [][]step.LifecyclePhase {
	var rows [][]step.LifecyclePhase
	var ends []int64
	n := 0
	for _, l := range all {
		if !(interval.Span{Start: l.Start, End: l.Start + l.Dur}).Overlaps(span) || n == 4*maxLifecycle {
			continue
		}
		n++
		k := slices.IndexFunc(ends, func(e int64) bool { return e <= l.Start })
		if k < 0 {
			if len(rows) == maxPhaseRows {
				continue
			}
			k = len(rows)
			rows, ends = append(rows, nil), append(ends, 0)
		}
		rows[k] = append(rows[k], l)
		ends[k] = l.Start + l.Dur
	}
	return rows
}
