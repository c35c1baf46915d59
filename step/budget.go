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
	w := splitter{a: a, r: r, idle: newIdleCauses(a, r)}
	var cluster []interval.Layered
	clusterEnd := r.Wall.Start
	lastOp := int32(-1) // operation that ended last so far: the one before a gap
	flush := func() {
		switch len(cluster) {
		case 0:
		case 1:
			w.add(cluster[0].Span, Part(cluster[0].Tag))
		default:
			for _, o := range interval.Attribute(cluster) {
				w.add(o.Span, Part(o.Tag))
			}
			w.overlap(cluster)
		}
		cluster = cluster[:0]
	}
	for j, o := range r.Ops {
		s := a.span(o)
		if s.End <= r.Wall.Start && s.End < s.Start+1 || s.End < r.Wall.Start {
			if s.End >= clusterEnd {
				lastOp = int32(j)
			}
			continue
		}
		if s.Start >= r.Wall.End {
			break
		}
		c := s.Clip(r.Wall)
		if c.Start >= clusterEnd {
			flush()
			if c.Start > clusterEnd {
				w.gap(interval.Span{Start: clusterEnd, End: c.Start}, lastOp, int32(j))
			}
		}
		if !c.Empty() {
			p := a.part(o)
			cluster = append(cluster, interval.Layered{Span: c, Rank: p.rank(), Tag: int32(p)})
		}
		if c.End >= clusterEnd {
			clusterEnd, lastOp = c.End, int32(j)
		}
	}
	flush()
	if clusterEnd < r.Wall.End {
		w.add(interval.Span{Start: clusterEnd, End: r.Wall.End}, IdleUnknown)
	}
}

// splitter hands pieces of wall time, in order, to the steps they lie in.
type splitter struct {
	a    *Analysis
	r    *Rank
	idle *idleCauses
	at   int // position in r.Steps
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

// gap splits an idle gap between two operations by cause. prev is -1 when nothing ran before.
func (w *splitter) gap(g interval.Span, prev, next int32) {
	between := prev >= 0 && w.r.OpStep[prev] != w.r.OpStep[next] && w.r.OpStep[next] != profile.None
	for _, piece := range w.idle.split(g, prev, next, between) {
		w.add(piece.Span, Part(piece.Tag))
	}
}
