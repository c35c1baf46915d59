package web

import (
	"fmt"

	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

// describePeers links a collective to the same one on the other ranks of its engine, and tells how long it waits for
// them: the shortest of them is the transfer, as its rank came last.
func (m *Model) describePeers(d *Detail, i, ri int) {
	st := m.stepOf[i]
	if st == profile.None || m.a.Ranks[ri].Engine < 0 || m.a.Stage[i] != kernel.Collective {
		return
	}
	own := m.collectives(st)
	nth := -1
	for k, j := range own {
		if j == i {
			nth = k
		}
	}
	if nth < 0 {
		return
	}
	k := &m.p.Kernels
	least, ranks := k.Dur[i], 1
	for r := range m.a.Ranks {
		if r == ri || m.a.Ranks[r].Engine != m.a.Ranks[ri].Engine {
			continue
		}
		peer := m.sameStep(r, st)
		if peer == profile.None {
			continue
		}
		// The order of collectives within a step is the same on all ranks, and all run until the last has come. Where that does
		// not hold, as in a capture that begins within a step of one rank, nothing is claimed.
		theirs := m.collectives(peer)
		if len(theirs) != len(own) {
			continue
		}
		j := theirs[nth]
		if m.p.Funcs[k.Func[j]].Name != m.p.Funcs[k.Func[i]].Name || !m.a.Span(step.NewOp(step.OpKernel, j)).Overlaps(m.a.Span(step.NewOp(step.OpKernel, i))) {
			continue
		}
		least = min(least, k.Dur[j])
		ranks++
		lane, ok := m.streamOf[k.Queue[j]]
		d.link(m, fmt.Sprintf("the same on %s, %s", m.rankName(r), duration(k.Dur[j])), lane, ok, uint32(step.NewOp(step.OpKernel, j)), false)
	}
	switch wait := k.Dur[i] - least; {
	case ranks == 1:
	case wait == 0:
		d.fact("Across ranks", "shortest of %d: this rank came last, the others wait for it", ranks)
	default:
		d.fact("Across ranks", "shortest of %d takes %s; the rest here, %s, waits for others", ranks, duration(least), duration(wait))
	}
}

// collectives lists the kernels of a step that communicate, by start.
func (m *Model) collectives(st int32) []int {
	s := &m.a.Steps[st]
	r := &m.a.Ranks[s.Rank]
	var out []int
	for j := int(s.FirstOp); j <= int(s.LastOp) && j < len(r.Ops); j++ {
		if o := r.Ops[j]; o.Kind() == step.OpKernel && m.a.Stage[o.Index()] == kernel.Collective && r.OpStep[j] == st {
			out = append(out, o.Index())
		}
	}
	return out
}

// sameStep returns the step of rank r with the number of step st.
func (m *Model) sameStep(r int, st int32) int32 {
	for _, s := range m.a.Ranks[r].Steps {
		if m.a.Steps[s].Index == m.a.Steps[st].Index {
			return s
		}
	}
	return profile.None
}
