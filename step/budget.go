package step

import (
	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
)

// budgets splits the wall of each of the rank's steps into parts.
func (a *Analysis) budgets(ri int) {
	r := &a.Ranks[ri]
	if len(r.Steps) == 0 {
		return
	}
	w := splitter{a: a, r: r}
	a.split(r, newIdleCauses(a, r), 0, len(r.Ops), r.Wall, w.add, w.overlap)
}

// Pieces returns the wall of step s in order of time, each piece with the part that owns it; the pieces cover the wall
// exactly. At most limit pieces are returned; ok is false when there are more.
func (a *Analysis) Pieces(s int32, limit int) (pieces []interval.Owned, ok bool) {
	st := &a.Steps[s]
	return a.pieces(&a.Ranks[st.Rank], st.FirstOp, st.LastOp, st.GPU, limit)
}

// RunPieces is Pieces of a rank's consecutive steps, those at [from, to) in Rank.Steps: their walls follow one another, and
// the host's evidence is read once for all of them. A piece may cross the border of two steps.
func (a *Analysis) RunPieces(rank, from, to, limit int) (pieces []interval.Owned, ok bool) {
	r := &a.Ranks[rank]
	if from >= to {
		return nil, true
	}
	run := a.Steps[r.Steps[from]]
	for _, s := range r.Steps[from+1 : to] {
		st := &a.Steps[s]
		run.GPU.End = st.GPU.End
		run.FirstOp, run.LastOp = min(run.FirstOp, st.FirstOp), max(run.LastOp, st.LastOp)
	}
	return a.pieces(r, run.FirstOp, run.LastOp, run.GPU, limit)
}

// pieces splits a stretch of wall in which the operations from first to last run.
func (a *Analysis) pieces(r *Rank, first, last int32, wall interval.Span, limit int) (pieces []interval.Owned, ok bool) {
	ok = true
	add := func(x interval.Span, p Part) {
		if n := len(pieces); n > 0 && pieces[n-1].Tag == int32(p) && pieces[n-1].End == x.Start {
			pieces[n-1].End = x.End
			return
		}
		if len(pieces) >= limit {
			ok = false
			return
		}
		pieces = append(pieces, interval.Owned{Span: x, Tag: int32(p)})
	}
	// Work that began before may reach into the wall; operations of a queue do not overlap, so a few suffice.
	const reach = 256
	a.split(r, newIdleCauses(a, r), max(0, int(first)-reach), min(len(r.Ops), int(last)+reach), wall, add, func([]interval.Layered) {})
	return pieces, ok
}

// split walks the operations [lo, hi) of r and hands every piece of wall to add, in order: work by precedence, gaps by
// cause. What follows the last operation is unknown. overlap sees each cluster of concurrent operations.
func (a *Analysis) split(r *Rank, idle *idleCauses, lo, hi int, wall interval.Span, add func(interval.Span, Part), overlap func([]interval.Layered)) {
	var cluster []interval.Layered
	clusterEnd := wall.Start
	lastOp := int32(-1) // operation that ended last so far: the one before a gap
	flush := func() {
		switch len(cluster) {
		case 0:
		case 1:
			add(cluster[0].Span, Part(cluster[0].Tag))
		default:
			for _, o := range interval.Attribute(cluster) {
				add(o.Span, Part(o.Tag))
			}
			overlap(cluster)
		}
		cluster = cluster[:0]
	}
	for j := lo; j < hi; j++ {
		o := r.Ops[j]
		s := a.span(o)
		if s.Start >= wall.End {
			if clusterEnd < wall.End {
				flush()
				a.gap(r, idle, interval.Span{Start: clusterEnd, End: wall.End}, lastOp, int32(j), add)
				clusterEnd = wall.End
			}
			break
		}
		c := s.Clip(wall)
		if c.Empty() {
			if s.End <= wall.Start {
				lastOp = int32(j)
			}
			continue
		}
		if c.Start >= clusterEnd {
			flush()
			if c.Start > clusterEnd {
				a.gap(r, idle, interval.Span{Start: clusterEnd, End: c.Start}, lastOp, int32(j), add)
			}
		}
		p := a.part(o)
		cluster = append(cluster, interval.Layered{Span: c, Rank: p.rank(), Tag: int32(p)})
		if c.End >= clusterEnd {
			clusterEnd, lastOp = c.End, int32(j)
		}
	}
	flush()
	if clusterEnd < wall.End {
		add(interval.Span{Start: clusterEnd, End: wall.End}, IdleUnknown)
	}
}

// gap splits an idle gap between two operations by cause. prev is -1 when nothing ran before.
func (a *Analysis) gap(r *Rank, idle *idleCauses, g interval.Span, prev, next int32, add func(interval.Span, Part)) {
	between := prev >= 0 && r.OpStep[prev] != r.OpStep[next] && r.OpStep[next] != profile.None
	idle.split(g, prev, next, between, add)
}

// splitter hands pieces of wall time, in order, to the steps they lie in.
type splitter struct {
	a  *Analysis
	r  *Rank
	at int // position in r.Steps
}

// add gives span s of part p to the steps it crosses. Spans arrive in order of time.
func (w *splitter) add(s interval.Span, p Part) {
	for !s.Empty() && w.at < len(w.r.Steps) {
		st := &w.a.Steps[w.r.Steps[w.at]]
		if s.Start >= st.GPU.End {
			w.at++
			continue
		}
		end := min(s.End, st.GPU.End)
		st.Budget[p] += end - s.Start
		s.Start = end
	}
}

// overlap counts collective time that ran beside compute.
func (w *splitter) overlap(cluster []interval.Layered) {
	var coll, compute []interval.Span
	for _, c := range cluster {
		switch {
		case Part(c.Tag) == Part(kernel.Collective):
			coll = append(coll, c.Span)
		case int(c.Tag) < kernel.NumStages:
			compute = append(compute, c.Span)
		}
	}
	if len(coll) == 0 || len(compute) == 0 {
		return
	}
	hidden := interval.Intersect(interval.Union(coll), interval.Union(compute)).Total()
	if w.at < len(w.r.Steps) {
		w.a.Steps[w.r.Steps[w.at]].Overlapped += hidden
	}
}
