package step

import (
	"strings"

	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
)

// describeBatches fills in what steps without a marker scheduled, from the launch shapes of the engine's own
// bookkeeping kernels: vLLM's V2 model runner launches _prepare_pos_seq_lens_kernel with one block per request and one
// more, prepares prefill inputs only when a request is in prefill, and normalises one token per block. It abstains
// where the kernels are absent. Prefill and decode requests of a mixed step cannot be told apart this way, so the
// requests of a step with prefill stay -1; only its phase is known.
func (a *Analysis) describeBatches(ri int) {
	r := &a.Ranks[ri]
	if r.Source == ByMarker || r.Source == NoSteps {
		return
	}
	var fn [4]map[int32]bool
	for i, name := range []string{"_prepare_pos_seq_lens_kernel", "_prepare_prefill_inputs_kernel", "_compute_slot_mappings_kernel"} {
		fn[i] = map[int32]bool{}
		for f := range a.P.Funcs {
			if strings.HasPrefix(a.P.Strings.At(a.P.Funcs[f].Name), name) {
				fn[i][int32(f)] = true
			}
		}
	}
	graphs := 0
	for _, s := range r.Steps {
		if a.Steps[s].GraphLaunches > 0 {
			graphs++
		}
	}
	for _, s := range r.Steps {
		st := &a.Steps[s]
		requests, prefill, tokens := int64(-1), false, int64(-1)
		for j := st.FirstOp; j <= st.LastOp; j++ {
			o := r.Ops[j]
			if o.Kind() != OpKernel || r.OpStep[j] != s {
				continue
			}
			i := o.Index()
			f, c := a.P.Kernels.Func[i], &a.P.Configs[a.P.Kernels.Config[i]]
			switch {
			case fn[0][f]:
				requests = int64(c.Grid[0]) - 1
			case fn[1][f]:
				prefill = true
			case a.Classes[f].Stage == kernel.Norm && c.Grid[1] == 1 && c.Grid[2] == 1:
				tokens = max(tokens, int64(c.Grid[0]))
			}
		}
		switch {
		case requests > 0 && !prefill:
			st.Batch = Batch{0, 0, requests, requests, -1, -1}
			st.BatchFrom = "kernels"
		case requests > 0 && prefill:
			// A step without decode tokens cannot be told from a mixed one here; both wait on prefill work.
			st.Phase, st.BatchFrom = Mixed, "kernels"
			continue
		case graphs > len(r.Steps)/2 && st.GraphLaunches == 1:
			// A whole step under one graph is a decode step: engines capture full graphs for decode only.
			st.Phase = Decode
			continue
		default:
			continue
		}
		st.Phase = st.Batch.Phase()
	}
}

// StepOfKernel returns the step of each kernel, profile.None outside steps.
func (a *Analysis) StepOfKernel() []int32 {
	out := make([]int32, a.P.Kernels.Len())
	for i := range out {
		out[i] = profile.None
	}
	for ri := range a.Ranks {
		r := &a.Ranks[ri]
		for j, o := range r.Ops {
			if o.Kind() == OpKernel {
				out[o.Index()] = r.OpStep[j]
			}
		}
	}
	return out
}
