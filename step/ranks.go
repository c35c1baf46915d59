package step

import (
	"cmp"
	"slices"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
)

func (a *Analysis) classify() {
	a.Classes = make([]kernel.Class, len(a.P.Funcs))
	for i, f := range a.P.Funcs {
		a.Classes[i] = kernel.Classify(a.P.Strings.At(f.Name))
	}
}

// collectRanks makes one rank per (process, device) that ran work, with its operations in order of start.
func (a *Analysis) collectRanks() {
	p := a.P
	type key struct{ process, device int32 }
	rankOf := make([]int32, len(p.Queues))
	seen := map[key]int32{}
	for i, q := range p.Queues {
		k := key{q.Process, q.Device}
		r, ok := seen[k]
		if !ok {
			r = int32(len(a.Ranks))
			seen[k] = r
			a.Ranks = append(a.Ranks, Rank{Process: q.Process, Device: q.Device, Thread: profile.None})
		}
		rankOf[i] = r
	}
	counts := make([]int, len(a.Ranks))
	for _, t := range a.ops {
		for _, q := range t.queue {
			counts[rankOf[q]]++
		}
	}
	for r := range a.Ranks {
		a.Ranks[r].Ops = make([]Op, 0, counts[r])
	}
	// Merge the four sorted tables; at equal starts kernels come first, so the result is deterministic.
	var at [4]int
	for {
		best := -1
		for k := range a.ops {
			t := &a.ops[k]
			if at[k] < len(t.start) && (best < 0 || t.start[at[k]] < a.ops[best].start[at[best]]) {
				best = k
			}
		}
		if best < 0 {
			break
		}
		r := rankOf[a.ops[best].queue[at[best]]]
		a.Ranks[r].Ops = append(a.Ranks[r].Ops, NewOp(OpKind(best), at[best]))
		at[best]++
	}
	a.Ranks = slices.DeleteFunc(a.Ranks, func(r Rank) bool { return len(r.Ops) == 0 })
	slices.SortStableFunc(a.Ranks, func(x, y Rank) int {
		return cmp.Or(cmp.Compare(x.Device, y.Device), cmp.Compare(x.Process, y.Process))
	})
	byDevice := map[int32][]interval.Span{}
	for i := range a.Ranks {
		r := &a.Ranks[i]
		spans := make([]interval.Span, len(r.Ops))
		for j, o := range r.Ops {
			spans[j] = a.span(o)
			if a.call(o) != profile.None {
				a.CallsJoined++
			}
		}
		a.DeviceRows += len(r.Ops)
		r.Busy = interval.Union(spans)
		byDevice[r.Device] = append(byDevice[r.Device], r.Busy...)
		r.OpStep = make([]int32, len(r.Ops))
		for j := range r.OpStep {
			r.OpStep[j] = profile.None
		}
	}
	a.Busy = map[int32]interval.Set{}
	for d, s := range byDevice {
		a.Busy[d] = interval.Union(s)
	}
}

// selectSteps fills Primary, the totals, and applies the window.
func (a *Analysis) selectSteps(opt Options) {
	for i := range a.Ranks {
		r := &a.Ranks[i]
		if !r.Engine0 {
			continue
		}
		for _, s := range r.Steps {
			st := &a.Steps[s]
			if !opt.Window.Empty() && !opt.Window.Contains(st.GPU.Start) {
				continue
			}
			a.Primary = append(a.Primary, s)
			a.Budget.Add(&st.Budget)
			a.Wall += st.Wall()
		}
	}
	slices.SortStableFunc(a.Primary, func(x, y int32) int {
		return cmp.Compare(a.Steps[x].GPU.Start, a.Steps[y].GPU.Start)
	})
}
