package step

import (
	"hash/maphash"
	"slices"

	"github.com/stepscope/stepscope/kernel"
)

// assignStages gives every kernel a stage. Kernels of a step get theirs from the order within the step; steps with the
// same sequence of functions and shapes share one assignment, so a decode graph replayed a thousand times is looked at
// once. Kernels outside steps get what their name says.
func (a *Analysis) assignStages() {
	n := a.P.Kernels.Len()
	a.Stage = make([]kernel.Stage, n)
	a.Role = make([]kernel.Role, n)
	a.Layer = make([]int16, n)
	a.Confidence = make([]kernel.Confidence, n)
	for i, f := range a.P.Kernels.Func {
		a.Stage[i] = a.Classes[f].Stage
		a.Confidence[i] = a.Classes[f].Confidence
		a.Layer[i] = -1
	}
	type entry struct {
		seq   []uint64
		roles kernel.Roles
		count int
	}
	memo := map[uint64]*entry{}
	seed := maphash.MakeSeed()
	var seq []uint64
	var idx []int32
	var best *entry
	for ri := range a.Ranks {
		r := &a.Ranks[ri]
		for _, s := range r.Steps {
			st := &a.Steps[s]
			seq, idx = seq[:0], idx[:0]
			for j := st.FirstOp; j <= st.LastOp; j++ {
				if o := r.Ops[j]; r.OpStep[j] == s && o.Kind() == OpKernel {
					i := o.Index()
					seq = append(seq, uint64(a.P.Kernels.Func[i])<<32|uint64(uint32(a.P.Kernels.Config[i])))
					idx = append(idx, int32(i))
				}
			}
			if len(idx) == 0 {
				continue
			}
			var h maphash.Hash
			h.SetSeed(seed)
			for _, v := range seq {
				maphash.WriteComparable(&h, v)
			}
			key := h.Sum64()
			e := memo[key]
			if e == nil || !slices.Equal(e.seq, seq) {
				e = &entry{seq: append([]uint64(nil), seq...), roles: kernel.AssignRoles(a.launches(idx))}
				memo[key] = e
			}
			e.count++
			if (best == nil || e.count > best.count) && (st.Phase == Decode || st.Phase == Unknown) {
				best = e
			}
			for k, i := range idx {
				as := e.roles.Kernels[k]
				a.Stage[i], a.Role[i], a.Confidence[i] = as.Stage, as.Role, as.Confidence
				a.Layer[i] = int16(max(-1, min(as.Layer, 1<<14)))
			}
		}
	}
	if best != nil {
		a.Pattern = best.roles.Pattern
	}
}

func (a *Analysis) launches(idx []int32) []kernel.Launch {
	out := make([]kernel.Launch, len(idx))
	for k, i := range idx {
		f := a.P.Kernels.Func[i]
		c := &a.P.Configs[a.P.Kernels.Config[i]]
		out[k] = kernel.Launch{Name: uint32(f), Class: &a.Classes[f], Grid: c.Grid, Block: c.Block, Dur: a.P.Kernels.Dur[i]}
	}
	return out
}
