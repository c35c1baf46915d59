package step

import (
	"strings"

	"github.com/stepscope/stepscope/profile"
)

// describeBatches fills in what steps without a marker scheduled, from the launch shapes of the engine's own
// bookkeeping kernels: vLLM's V2 model runner launches _prepare_pos_seq_lens_kernel with one block per request and one
// more, and prepares prefill inputs only when a request is in prefill. It abstains where the kernels are absent. Prefill
// and decode requests of a mixed step cannot be told apart this way, so the requests of a step with prefill stay -1; only
// its phase is known. Any runner of vLLM tells the tokens of a step by the kernel that writes the KV cache.
func (a *Analysis) describeBatches(ri int) {
	r := &a.Ranks[ri]
	if r.Source == NoSteps {
		return
	}
	marked := r.Source == ByMarker
	positions, prefills, writes := make([]bool, len(a.P.Funcs)), make([]bool, len(a.P.Funcs)), make([]bool, len(a.P.Funcs))
	for f := range a.P.Funcs {
		name := a.P.Strings.At(a.P.Funcs[f].Name)
		positions[f] = strings.HasPrefix(name, "_prepare_pos_seq_lens_kernel")
		prefills[f] = strings.HasPrefix(name, "_prepare_prefill_inputs_kernel")
		// vLLM launches one block per token.
		writes[f] = strings.Contains(name, "reshape_and_cache_flash_kernel") || strings.Contains(name, "concat_and_cache_mla_kernel")
	}
	graphs := 0
	for _, s := range r.Steps {
		if a.Steps[s].GraphLaunches > 0 {
			graphs++
		}
	}
	for _, s := range r.Steps {
		st := &a.Steps[s]
		if marked && st.Batch.Tokens() >= 0 {
			continue
		}
		requests, prefill := int64(-1), false
		for j := st.FirstOp; j <= st.LastOp; j++ {
			o := r.Ops[j]
			if o.Kind() != OpKernel || r.OpStep[j] != s {
				continue
			}
			i := o.Index()
			switch f := a.P.Kernels.Func[i]; {
			case positions[f]:
				requests = int64(a.P.Configs[a.P.Kernels.Config[i]].Grid[0]) - 1
			case prefills[f]:
				prefill = true
			case writes[f] && st.Written < 0:
				// A step that launches any graph, a whole one or pieces, is padded to the size that was captured.
				st.Written, st.Padded = int64(a.P.Configs[a.P.Kernels.Config[i]].Grid[0]), st.GraphLaunches > 0 || st.GraphKernels > 0
			}
		}
		switch {
		case marked:
			st.completeBatch()
		case requests > 0 && !prefill:
			st.Batch = Batch{0, 0, requests, requests, -1, -1}
			st.Phase, st.BatchFrom = Decode, "kernels"
		case requests > 0 && prefill:
			// A step without decode tokens cannot be told from a mixed one here; both wait on prefill work.
			st.Phase, st.BatchFrom = Mixed, "kernels"
		case graphs > len(r.Steps)/2 && st.GraphLaunches == 1:
			// A whole step under one graph is a decode step: engines capture full graphs for decode only.
			st.Phase = Decode
		}
	}
}

// Limits of what a marker without tokens can mean: vLLM 0.12 and 0.13 count new and cached requests, and a cached one
// decodes or is in a later chunk of its prompt.
const (
	// decodedMost is how many tokens a decoding request can have in a step: one, and those of speculation.
	decodedMost = 8
	// paddedSlack is added where captured sizes are far apart: the usual ones are 1, 2, 4 and multiples of 8.
	paddedSlack = 16
)

// completeBatch adds the tokens written to the KV cache to a batch whose marker counts only requests.
func (s *Step) completeBatch() {
	b := &s.Batch
	n := b.Requests()
	if s.Written < 0 || n <= 0 {
		return
	}
	switch {
	case b.PrefillRequests == 0 && s.Written > decodedMost*n+paddedSlack:
		// Chunks of prompts are among them, and which of the requests they belong to is not recorded.
		s.Batch, s.Phase = NotRecorded, Mixed
	case b.PrefillRequests == 0 && !s.Padded:
		b.PrefillTokens, b.DecodeTokens = 0, s.Written
	case b.PrefillRequests == 0 && s.Written >= n && s.Written <= 2*n+paddedSlack:
		b.PrefillTokens, b.DecodeTokens = 0, n
	case b.DecodeRequests == 0 && !s.Padded:
		b.PrefillTokens, b.DecodeTokens = s.Written, 0
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
