package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/align"
	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

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
