package kernel

import "strings"

// Boundary says at which edge of a step a kernel runs.
type Boundary uint8

// The edges.
const (
	NoBoundary Boundary = iota
	StepStart           // once per step, before the model runs
	StepEnd             // once per step, after the model has run
)

var boundaryNames = [...]string{NoBoundary: "none", StepStart: "start", StepEnd: "end"}

// String returns none, start or end.
func (b Boundary) String() string { return enumName(boundaryNames[:], uint8(b), "boundary") }

// boundaries are kernels of which a step runs exactly one (per sampled batch).
// Those of vLLM's V2 model runner were counted in profiles of vLLM 0.24: each
// occurs as often as there are steps with tokens. Kernels that run only for
// some steps (_prepare_prefill_inputs_kernel, _apply_write_kernel, penalties)
// are left out, and so are softmax, sort and top-k, which MoE routing uses too.
var boundaries = []struct {
	phrase string
	edge   Boundary
}{
	{" prepare pos seq lens ", StepStart},
	{" combine sampled and draft tokens ", StepStart},
	{" gather block tables ", StepStart},
	{" compute slot mappings ", StepStart},
	{" advance step ", StepStart},
	{" gumbel sample ", StepEnd},
	{" get num sampled and rejected ", StepEnd},
	{" post update ", StepEnd},
	{" arg max ops ", StepEnd},
	{" sampling from prob", StepEnd},
	{" sampling from logits", StepEnd},
	{" topk topp sampling from", StepEnd},
	{" rejection greedy sample ", StepEnd},
	{" rejection random sample ", StepEnd},
}

// BoundaryOf says whether a kernel of this name runs once per step at one of
// its edges. Speculative decoding samples more than once in a step, so an
// end is the last of several.
func BoundaryOf(name string) Boundary {
	w := words(Normalise(name))
	for _, b := range boundaries {
		if strings.Contains(w, b.phrase) {
			return b.edge
		}
	}
	return NoBoundary
}

// IsStepBoundary reports whether the kernel marks an edge of a step: the
// fingerprint kernels of vLLM's V2 model runner and the samplers.
func IsStepBoundary(name string) bool { return BoundaryOf(name) != NoBoundary }
