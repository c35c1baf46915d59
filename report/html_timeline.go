package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/align"
	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
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

// stepLane draws the steps one by one where there are few, else their phases by bin.
func (h *htmlReport) stepLane(c *canvas, s *strip, r *stripRank, x scale, y float64) {
	a := h.in.Analysis
	var in []*step.Step
	for _, i := range a.Ranks[r.rank].Steps {
		if st := &a.Steps[i]; st.GPU.Overlaps(s.span) {
			in = append(in, st)
		}
	}
	if len(in) > maxStripSteps {
		order := []int{int(step.Decode), int(step.Mixed), int(step.Prefill), int(step.Unknown), int(step.Empty)}
		paths := r.stackPaths(x, order, func(bin, p int) int64 { return r.phases[bin][p] }, y, laneSteps-4)
		for k, p := range paths {
			if p != "" {
				id := step.Phase(order[k]).String()
				h.use(id)
				c.path(p, swatchOf(phaseSwatches, id).paint(id), swatchOf(phaseSwatches, id).Label)
			}
		}
		return
	}
	for _, st := range in {
		g := st.GPU.Clip(s.span)
		id := st.Phase.String()
		sw := swatchOf(phaseSwatches, id)
		h.use(id)
		x1, x2 := x.at(float64(g.Start)), x.at(float64(g.End))
		c.rect(x1, y, x2-x1, laneSteps-4, withClass(sw.paint(id), "seg"), stepTip(st, a.P.Window.Start))
		text := id
		if n := st.Batch.Requests(); n >= 0 {
			text += fmt.Sprintf(" %d", n)
		}
		if x2-x1 > 7*float64(len(text)) && !sw.Hatch {
			c.inked((x1+x2)/2, y+12, text, "middle", "in", ink(sw.Fill))
		}
	}
}

// stackOrder is the order of a stack from the bottom up: GPU work in the order of a step, work outside steps, idleness.
func stackOrder() []int {
	var order []int
	for _, p := range step.Parts() {
		if !p.Idle() {
			order = append(order, int(p))
		}
	}
	order = append(order, step.NumParts)
	for _, p := range step.Parts() {
		if p.Idle() {
			order = append(order, int(p))
		}
	}
	return order
}

func (h *htmlReport) partLane(c *canvas, r *stripRank, x scale, y float64) {
	order := stackOrder()
	paths := r.stackPaths(x, order, func(b, p int) int64 { return r.parts[b][p] }, y, laneParts)
	c.rect(x.from, y, x.to-x.from, laneParts, paint{"track", ""}, "")
	for k, p := range paths {
		if p == "" {
			continue
		}
		id := outsideSteps
		if order[k] < step.NumParts {
			id = step.Part(order[k]).String()
		}
		h.use(id)
		sw := swatchOf(partSwatches, id)
		c.path(p, sw.paint(id), sw.Label)
	}
}

// hoverWidths lists the lengths of the bins, shortly where they are equal.
func hoverWidths(r *stripRank) []int64 {
	equal := true
	out := make([]int64, r.bins())
	for i := range out {
		out[i] = r.width(i)
		equal = equal && (out[i] == out[0] || i == len(out)-1)
	}
	if equal {
		return out[:1]
	}
	return out
}

// hoverBins lists each bin's parts of at least one per mille, as pairs.
func hoverBins(r *stripRank) [][]int {
	out := make([][]int, r.bins())
	for i := range out {
		out[i] = []int{}
		for p, ns := range r.parts[i] {
			if m := int(1000*float64(ns)/float64(r.width(i)) + 0.5); m > 0 {
				out[i] = append(out[i], p, m)
			}
		}
	}
	return out
}

// curveNames are the counters that a strip shows, by the start of their name.
var curveNames = []string{"SMs Active", "SM Active", "Tensor Active", "DRAM Read Bandwidth", "DRAM Write Bandwidth", "PCIe RX", "PCIe TX"}

const maxCurves = 6

func stripCurves(p *profile.Profile, span interval.Span) []*profile.Counter {
	var out []*profile.Counter
	for _, n := range curveNames {
		for i := range p.Counters {
			c := &p.Counters[i]
			if len(out) < maxCurves && c.Unit == "percent" && strings.HasPrefix(c.Name, n) &&
				slices.ContainsFunc(c.Times, span.Contains) {
				out = append(out, c)
			}
		}
	}
	return out
}

func (h *htmlReport) curveLane(c *canvas, s *strip, counter *profile.Counter, x scale, y float64) {
	name, _, _ := strings.Cut(counter.Name, " [")
	c.label(stripLeft-8, y+laneCurve/2+2, Cut(clean(name), 22), "end", "lane")
	device := ""
	if counter.Device >= 0 && len(h.in.Analysis.P.Devices) > 1 {
		device = fmt.Sprintf("GPU %d, ", h.in.Analysis.P.Devices[counter.Device].ID)
	}
	c.label(stripLeft-8, y+laneCurve/2+14, device+"0..100 %", "end", "tick")
	var d pathData
	values := s.curve(counter)
	for i := 0; i < len(values); {
		v, from := values[i], i
		for i < len(values) && values[i] == v {
			i++
		}
		if v > 0 {
			v = min(100, v)
			x1 := x.at(float64(s.span.Start + int64(from)*s.least))
			x2 := x.at(float64(min(s.span.Start+int64(i)*s.least, s.span.End)))
			d.rect(x1, y+laneCurve*(1-v/100), x2-x1, laneCurve*v/100)
		}
	}
	c.rect(x.from, y, x.to-x.from, laneCurve, paint{"track", ""}, "")
	c.path(d.String(), paint{"curve", ""}, counter.Name)
}

// memoryLevel is the device memory in use over time, from the recorded allocations of one device.
type memoryLevel struct {
	device    int64
	times     []int64
	values    []int64 // from the lowest level on
	low, high int64
}

const maxMemoryLanes = 4

func memoryLevels(p *profile.Profile, span interval.Span) []memoryLevel {
	v := &p.MemEvents
	at := map[int32]int{}
	sum := map[int32]int64{}
	var out []memoryLevel
	for i, t := range v.Start {
		d := v.Device[i]
		if d == profile.None || t >= span.End || v.Mem[i] != profile.MemDevice && v.Mem[i] != profile.MemDeviceStatic && v.Mem[i] != profile.MemManaged {
			continue
		}
		k, ok := at[d]
		if !ok {
			if len(out) == maxMemoryLanes {
				continue
			}
			k = len(out)
			at[d] = k
			out = append(out, memoryLevel{device: p.Devices[d].ID})
		}
		if v.Free[i] {
			sum[d] -= v.Bytes[i]
		} else {
			sum[d] += v.Bytes[i]
		}
		l := &out[k]
		l.times, l.values = append(l.times, t), append(l.values, sum[d])
		l.low, l.high = min(l.low, sum[d]), max(l.high, sum[d])
	}
	return slices.DeleteFunc(out, func(l memoryLevel) bool { return l.high <= l.low })
}

// draw fills the area below the level, in columns of a pixel that hold its highest value.
func (l *memoryLevel) draw(c *canvas, span interval.Span, x scale, y float64) {
	c.label(stripLeft-8, y+laneCurve/2+2, fmt.Sprintf("memory, GPU %d", l.device), "end", "lane")
	c.label(stripLeft-8, y+laneCurve/2+14, "0.."+Bytes(l.high-l.low), "end", "tick")
	cols := make([]int64, int(x.to-x.from))
	level, at := -l.low, 0
	for i := range cols {
		end := span.Start + int64(float64(span.Dur())*float64(i+1)/float64(len(cols)))
		cols[i] = level
		for at < len(l.times) && l.times[at] < end {
			level = l.values[at] - l.low
			cols[i] = max(cols[i], level)
			at++
		}
	}
	var d pathData
	for i := 0; i < len(cols); {
		j := i
		for j < len(cols) && cols[j] == cols[i] {
			j++
		}
		if hgt := laneCurve * ratio(cols[i], l.high-l.low); hgt > 0 {
			d.rect(x.from+float64(i), y+laneCurve-hgt, float64(j-i), hgt)
		}
		i = j
	}
	c.rect(x.from, y, x.to-x.from, laneCurve, paint{"track", ""}, "")
	c.path(d.b.String(), paint{"curve", ""}, "device memory in use, from the recorded allocations")
}

// requestRows packs the requests that the engine's own spans place into the stretch.
func (h *htmlReport) requestRows(span interval.Span) [][]align.Request {
	if h.alignment == nil || h.alignment.RequestErrNs < 0 {
		return nil
	}
	in := slices.Clone(h.alignment.Requests)
	slices.SortStableFunc(in, func(x, y align.Request) int { return cmp.Compare(x.StartNs, y.StartNs) })
	var rows [][]align.Request
	var ends []int64
	for _, q := range in {
		if q.EndNs == nil || !(interval.Span{Start: q.StartNs, End: *q.EndNs}).Overlaps(span) {
			continue
		}
		k := slices.IndexFunc(ends, func(e int64) bool { return e <= q.StartNs })
		if k < 0 {
			if len(rows) == maxRequestRows {
				continue
			}
			k = len(rows)
			rows, ends = append(rows, nil), append(ends, 0)
		}
		if len(rows[k]) < 200 {
			rows[k] = append(rows[k], q)
			ends[k] = *q.EndNs
		}
	}
	return rows
}

func (h *htmlReport) drawRequest(c *canvas, q *align.Request, x scale, y float64, span interval.Span) {
	tip := fmt.Sprintf("request %s: %s", Cut(clean(q.ID), 60), Dur(*q.EndNs-q.StartNs))
	cuts := []struct {
		end   *int64
		class string
	}{{q.ScheduledNs, "req-queue"}, {q.FirstTokenNs, "req-prefill"}, {q.EndNs, "req-decode"}}
	from := q.StartNs
	for _, k := range cuts {
		if k.end == nil || *k.end <= from {
			continue
		}
		if in := (interval.Span{Start: from, End: *k.end}).Clip(span); !in.Empty() {
			x1, x2 := x.at(float64(in.Start)), x.at(float64(in.End))
			c.rect(x1, y, max(0.5, x2-x1), laneRequest-2, paint{k.class, ""}, tip)
		}
		from = *k.end
	}
}
