package report

import (
	"slices"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

// stripParts is the number of columns of a bin: the parts of a budget, and device work outside of steps.
const stripParts = step.NumParts + 1

// strip is a stretch of the capture in bins of equal length. Each bin holds the exact time of each part, so nothing in a
// picture of it is sampled.
type strip struct {
	span  interval.Span
	width int64 // ns per bin; the last one may be cut by the span's end
	ranks []stripRank
}

type stripRank struct {
	rank   int
	parts  [][stripParts]int64 // by bin
	phases [][phaseCount]int64 // by bin
}

const phaseCount = 5 // step.Unknown to step.Empty

// newStrip makes at most bins bins over span for the given ranks.
func newStrip(span interval.Span, bins int, ranks []int) *strip {
	s := &strip{span: span, width: max(1, (span.Dur()-1)/int64(bins)+1)}
	n := s.bins()
	for _, r := range ranks {
		s.ranks = append(s.ranks, stripRank{r, make([][stripParts]int64, n), make([][phaseCount]int64, n)})
	}
	return s
}

// bins returns the number of bins.
func (s *strip) bins() int { return int((s.span.Dur()-1)/s.width + 1) }

// each calls f for every bin that x touches with the ns of x in it.
func (s *strip) each(x interval.Span, f func(bin int, ns int64)) {
	x = x.Clip(s.span)
	for !x.Empty() {
		i := (x.Start - s.span.Start) / s.width
		end := min(x.End, s.span.Start+(i+1)*s.width)
		f(int(i), end-x.Start)
		x.Start = end
	}
}

// stripChunk is how many operations are split into parts at a time, which bounds the memory that takes.
const stripChunk = 1 << 18

// fill adds the steps of a to the strips.
func fill(a *step.Analysis, strips []*strip) {
	b := *a
	b.Steps = append(slices.Clone(a.Steps), step.Step{})
	whole := int32(len(b.Steps) - 1)
	var need interval.Span
	ranks := map[int]bool{}
	for _, s := range strips {
		if need.Empty() {
			need = s.span
		}
		need.Start, need.End = min(need.Start, s.span.Start), max(need.End, s.span.End)
		for _, r := range s.ranks {
			ranks[r.rank] = true
		}
	}
	for ri := range a.Ranks {
		if !ranks[ri] {
			continue
		}
		r := &a.Ranks[ri]
		to := func(f func(*strip, *stripRank)) {
			for _, s := range strips {
				for k := range s.ranks {
					if s.ranks[k].rank == ri {
						f(s, &s.ranks[k])
					}
				}
			}
		}
		for _, i := range r.Steps {
			st := &a.Steps[i]
			to(func(s *strip, k *stripRank) {
				s.each(st.GPU, func(bin int, ns int64) { k.phases[bin][min(int(st.Phase), phaseCount-1)] += ns })
			})
		}
		for _, busy := range r.Busy {
			for _, out := range [2]interval.Span{{Start: busy.Start, End: min(busy.End, r.Wall.Start)}, {Start: max(busy.Start, r.Wall.End), End: busy.End}} {
				if out.Empty() || r.Wall.Empty() && out.Start != busy.Start {
					continue
				}
				to(func(s *strip, k *stripRank) {
					s.each(out, func(bin int, ns int64) { k.parts[bin][step.NumParts] += ns })
				})
			}
		}
		// Pieces splits one step; a step that stands for a run of them is split in one go, host evidence read once.
		for i := 0; i < len(r.Steps); {
			s := a.Steps[r.Steps[i]]
			for i++; i < len(r.Steps); i++ {
				next := &a.Steps[r.Steps[i]]
				if int(next.LastOp-s.FirstOp) > stripChunk {
					break
				}
				s.GPU.End = next.GPU.End
				s.FirstOp, s.LastOp = min(s.FirstOp, next.FirstOp), max(s.LastOp, next.LastOp)
			}
			if !s.GPU.Overlaps(need) {
				continue
			}
			b.Steps[whole] = s
			list, _ := b.Pieces(whole, int(^uint32(0)>>1))
			for _, p := range list {
				to(func(s *strip, k *stripRank) { s.each(p.Span, func(bin int, ns int64) { k.parts[bin][p.Tag] += ns }) })
			}
		}
	}
}

// stackPaths turns bins into one path per column, stacked from the bottom up in the given order: x counts bins, y runs
// from 0 (top) to height. Columns that stay empty give "".
func stackPaths(bins int, width int64, order []int, at func(bin, column int) int64, height float64) []string {
	out := make([]pathData, len(order))
	type run struct{ from, y, h float64 }
	open := make([]run, len(order))
	flush := func(k, bin int) {
		if r := open[k]; r.h > 0 {
			out[k].rect(r.from, r.y, float64(bin)-r.from, r.h)
		}
		open[k] = run{}
	}
	for i := range bins {
		var below int64
		for k, col := range order {
			ns := at(i, col)
			// Edges are rounded, not heights, so that neighbours meet.
			lo, hi := stackEdge(below, width, height), stackEdge(below+ns, width, height)
			below += ns
			y, h := height-hi, hi-lo
			if open[k].h == h && open[k].y == y && h > 0 {
				continue
			}
			flush(k, i)
			if h > 0 {
				open[k] = run{float64(i), y, h}
			}
		}
	}
	paths := make([]string, len(order))
	for k := range order {
		flush(k, bins)
		paths[k] = out[k].String()
	}
	return paths
}

func stackEdge(ns, width int64, height float64) float64 {
	return float64(int64(float64(ns)/float64(width)*height + 0.5))
}

// primaryRanks lists the ranks that stand for their engines, at most n of them.
func primaryRanks(a *step.Analysis, n int) []int {
	var out []int
	for i := range a.Ranks {
		if a.Ranks[i].Engine0 && len(out) < n {
			out = append(out, i)
		}
	}
	if out == nil {
		// Without steps, the ranks with the most work still show when the GPU was busy.
		for i := range a.Ranks {
			if len(out) < n {
				out = append(out, i)
			}
		}
	}
	return out
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

// curve is the mean of a counter by bin, -1 where no sample lies in it.
func (s *strip) curve(c *profile.Counter) []float64 {
	n := s.bins()
	sum, count := make([]float64, n), make([]int, n)
	for i, t := range c.Times {
		if s.span.Contains(t) {
			b := int((t - s.span.Start) / s.width)
			sum[b] += float64(c.Values[i])
			count[b]++
		}
	}
	for i := range sum {
		if count[i] == 0 {
			sum[i] = -1
			continue
		}
		sum[i] /= float64(count[i])
	}
	return sum
}
