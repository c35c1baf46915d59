package report

import (
	"cmp"
	"math"
	"slices"
	"sort"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

// stripParts is the number of columns of a bin: the parts of a budget, and device work outside of steps.
const stripParts = step.NumParts + 1

const phaseCount = int(step.Empty) + 1

// strip is a stretch of the capture in bins. Each bin holds the exact time of each part, so nothing in a picture of it is
// sampled.
type strip struct {
	span  interval.Span
	least int64 // ns of the shortest bin but the last
	ranks []stripRank
}

// stripRank is one rank of a strip. Bin i runs from edges[i] to edges[i+1].
type stripRank struct {
	rank   int
	edges  []int64
	parts  [][stripParts]int64
	phases [][phaseCount]int64
}

// newStrip makes at most bins bins over span for each of the ranks: equally long ones, or one per step where bySteps is
// true and the steps are longer than that. Within a step the parts alternate with every layer, which no picture of the
// whole capture can show; the step as one bin shows its budget. A long pause after a step's work is a bin of its own.
func newStrip(a *step.Analysis, span interval.Span, bins int, ranks []int, bySteps bool) *strip {
	s := &strip{span: span, least: max(1, (span.Dur()-1)/int64(bins)+1)}
	for _, ri := range ranks {
		r := stripRank{rank: ri}
		if bySteps {
			r.edges = stepEdges(a, ri, span, s.least)
		} else {
			for t := span.Start; t < span.End; t += s.least {
				r.edges = append(r.edges, t)
			}
			r.edges = append(r.edges, span.End)
		}
		r.parts, r.phases = make([][stripParts]int64, r.bins()), make([][phaseCount]int64, r.bins())
		s.ranks = append(s.ranks, r)
	}
	return s
}

// stepEdges cuts span at the starts of steps and at the ends of their own work, no finer than least, and what lies
// between steps into bins of that length.
func stepEdges(a *step.Analysis, ri int, span interval.Span, least int64) []int64 {
	edges := []int64{span.Start}
	last := func() int64 { return edges[len(edges)-1] }
	cut := func(t int64) {
		if t-last() >= least && span.End-t >= least {
			edges = append(edges, t)
		}
	}
	for _, i := range a.Ranks[ri].Steps {
		st := &a.Steps[i]
		if !st.GPU.Overlaps(span) {
			continue
		}
		for st.GPU.Start-last() > 2*least && (len(edges) == 1 || st.GPU.Start > a.Ranks[ri].Wall.End) {
			edges = append(edges, last()+least) // before the first step
		}
		cut(st.GPU.Start)
		if st.GPU.End-st.LastEnd >= 2*least {
			cut(st.LastEnd)
		}
	}
	if w := a.Ranks[ri].Wall; w.Empty() || w.End < span.End {
		if !w.Empty() {
			cut(w.End)
		}
		for span.End-last() > 2*least {
			edges = append(edges, last()+least)
		}
	}
	return append(edges, span.End)
}

func (r *stripRank) bins() int { return len(r.edges) - 1 }

// width returns the length of a bin in ns.
func (r *stripRank) width(bin int) int64 { return r.edges[bin+1] - r.edges[bin] }

// each calls f for every bin that x touches with the ns of x in it. Calls go forward in time, so *at, the bin to begin
// with, saves the search.
func (r *stripRank) each(x interval.Span, at *int, f func(bin int, ns int64)) {
	x = x.Clip(interval.Span{Start: r.edges[0], End: r.edges[len(r.edges)-1]})
	if x.Empty() {
		return
	}
	if *at >= r.bins() || r.edges[*at] > x.Start {
		*at = sort.Search(len(r.edges), func(i int) bool { return r.edges[i] > x.Start }) - 1
	}
	for !x.Empty() {
		for r.edges[*at+1] <= x.Start {
			*at++
		}
		end := min(x.End, r.edges[*at+1])
		f(*at, end-x.Start)
		x.Start = end
	}
}

// stripChunk is how many operations are split into parts at a time, which bounds the memory that takes.
const stripChunk = 1 << 18

// fill adds the steps of a to the strips.
func fill(a *step.Analysis, strips []*strip) {
	for ri := range a.Ranks {
		var to []*stripRank
		var need []interval.Span
		for _, s := range strips {
			for k := range s.ranks {
				if s.ranks[k].rank == ri {
					to = append(to, &s.ranks[k])
					need = append(need, s.span)
				}
			}
		}
		if len(to) == 0 {
			continue
		}
		r := &a.Ranks[ri]
		at := make([]int, len(to))
		for _, i := range r.Steps {
			st := &a.Steps[i]
			for k, t := range to {
				t.each(st.GPU, &at[k], func(bin int, ns int64) { t.phases[bin][min(int(st.Phase), phaseCount-1)] += ns })
			}
		}
		at = make([]int, len(to))
		for _, busy := range r.Busy {
			before := interval.Span{Start: busy.Start, End: min(busy.End, r.Wall.Start)}
			after := interval.Span{Start: max(busy.Start, r.Wall.End), End: busy.End}
			if r.Wall.Empty() {
				before, after = busy, interval.Span{}
			}
			for k, t := range to {
				add := func(bin int, ns int64) { t.parts[bin][step.NumParts] += ns }
				t.each(before, &at[k], add)
				t.each(after, &at[k], add)
			}
		}
		fillParts(a, ri, to, need)
	}
}

// fillParts adds the parts of a rank's steps. A step that lies in one bin adds its budget; the others are split into
// pieces. Splitting reads the host's evidence once a time, so that many such steps are split in long runs.
func fillParts(a *step.Analysis, ri int, to []*stripRank, need []interval.Span) {
	r := &a.Ranks[ri]
	split := make([][]bool, len(to)) // by strip and step: must be split into pieces
	runs := 0
	for k, t := range to {
		split[k] = make([]bool, len(r.Steps))
		at := 0
		for i, s := range r.Steps {
			st := &a.Steps[s]
			if !st.GPU.Overlaps(need[k]) {
				continue
			}
			bins, bin := 0, 0
			t.each(st.GPU, &at, func(b int, _ int64) { bins, bin = bins+1, b })
			if split[k][i] = bins > 1 || st.GPU.Clip(need[k]) != st.GPU; !split[k][i] {
				for p, ns := range st.Budget {
					t.parts[bin][p] += ns
				}
			} else if i == 0 || !split[k][i-1] {
				runs++
			}
		}
	}
	at := make([]int, len(to))
	for i := 0; i < len(r.Steps); {
		first := i
		any := false
		firstOp := a.Steps[r.Steps[i]].FirstOp
		for k := range to {
			any = any || split[k][i]
		}
		for i++; i < len(r.Steps); i++ {
			next := &a.Steps[r.Steps[i]]
			more := false
			for k := range to {
				more = more || split[k][i]
			}
			if int(next.LastOp-firstOp) > stripChunk || more != any && runs <= maxSplitRuns {
				break
			}
			any = any || more
		}
		if !any {
			continue
		}
		list, _ := a.RunPieces(ri, first, i, math.MaxInt)
		in := first // the step that a piece lies in
		for _, p := range list {
			for x := p.Span; !x.Empty(); {
				for a.Steps[r.Steps[in]].GPU.End <= x.Start {
					in++
				}
				y := interval.Span{Start: x.Start, End: min(x.End, a.Steps[r.Steps[in]].GPU.End)}
				x.Start = y.End
				for k, t := range to {
					if split[k][in] {
						t.each(y, &at[k], func(bin int, ns int64) { t.parts[bin][p.Tag] += ns })
					}
				}
			}
		}
	}
}

// maxSplitRuns is how many runs of steps are split one by one.
const maxSplitRuns = 32

// stackPaths turns bins into one path per column, stacked from the bottom up in the given order, in a box of height units
// whose width is that of x. Columns that stay empty give "".
func (r *stripRank) stackPaths(x scale, order []int, at func(bin, column int) int64, top, height float64) []string {
	out := make([]pathData, len(order))
	type run struct{ from, y, h float64 }
	open := make([]run, len(order))
	flush := func(k, bin int) {
		if o := open[k]; o.h > 0 {
			out[k].rect(o.from, top+o.y, x.at(float64(r.edges[bin]))-o.from, o.h)
		}
		open[k] = run{}
	}
	for i := range r.bins() {
		var below int64
		for k, col := range order {
			ns := at(i, col)
			// Edges are rounded, not heights, so that neighbours meet.
			lo, hi := stackEdge(below, r.width(i), height), stackEdge(below+ns, r.width(i), height)
			below += ns
			y, h := height-hi, hi-lo
			if open[k].h == h && open[k].y == y && h > 0 {
				continue
			}
			flush(k, i)
			if h > 0 {
				open[k] = run{x.at(float64(r.edges[i])), y, h}
			}
		}
	}
	paths := make([]string, len(order))
	for k := range order {
		flush(k, r.bins())
		paths[k] = out[k].b.String()
	}
	return paths
}

// stackEdge is the height of ns in a bin, in steps of half a unit.
func stackEdge(ns, width int64, height float64) float64 {
	return float64(int64(2*float64(ns)/float64(width)*height+0.5)) / 2
}

// primaryRanks lists the ranks that stand for their engines, at most n of them; without steps, those with the most work,
// which still show when the GPU was busy.
func primaryRanks(a *step.Analysis, n int) []int {
	var out []int
	for i := range a.Ranks {
		if a.Ranks[i].Engine0 {
			out = append(out, i)
		}
	}
	if out == nil {
		for i := range a.Ranks {
			out = append(out, i)
		}
		slices.SortStableFunc(out, func(x, y int) int { return cmp.Compare(len(a.Ranks[y].Ops), len(a.Ranks[x].Ops)) })
	}
	return out[:min(len(out), n)]
}

// stepsSpan is the time from the first to the last step that the diagnosis is about.
func stepsSpan(a *step.Analysis) interval.Span {
	var out interval.Span
	for _, i := range a.Primary {
		g := a.Steps[i].GPU
		if out.Empty() {
			out = g
		}
		out.Start, out.End = min(out.Start, g.Start), max(out.End, g.End)
	}
	return out
}

// curve is the mean of a counter in equally long bins, -1 where it was not sampled. A sample stands for the time up to the
// next one; one that comes much later than usual leaves a hole.
func (s *strip) curve(c *profile.Counter) []float64 {
	n := int((s.span.Dur()-1)/s.least + 1)
	sum, count := make([]float64, n), make([]int, n)
	var steps []int64
	from, to := sort.Search(len(c.Times), func(i int) bool { return c.Times[i] >= s.span.Start }), sort.Search(len(c.Times), func(i int) bool { return c.Times[i] >= s.span.End })
	for i := from; i < to; i++ {
		b := int((c.Times[i] - s.span.Start) / s.least)
		sum[b] += float64(c.Values[i])
		count[b]++
		if i > from {
			steps = append(steps, c.Times[i]-c.Times[i-1])
		}
	}
	hold := 0
	if len(steps) > 0 {
		slices.Sort(steps)
		hold = int(min(int64(n), 2*steps[len(steps)/2]/s.least))
	}
	held := 0
	for i := range sum {
		switch {
		case count[i] > 0:
			sum[i] /= float64(count[i])
			held = 0
		case i > 0 && sum[i-1] >= 0 && held < hold:
			sum[i] = sum[i-1]
			held++
		default:
			sum[i] = -1
		}
	}
	return sum
}
