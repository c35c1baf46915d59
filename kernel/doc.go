// Package kernel says what a GPU kernel does in an LLM engine's step.
//
// It answers two questions that are kept apart on purpose.
//
// Classify looks at one name. It knows the stage of every kernel whose name
// says so (attention, norm, rotary embedding, collectives, sampling, ...), the
// library family and the arithmetic type. It cannot know which projection a
// dense GEMM computes: the same nvjet or Cijk kernel serves qkv, output and
// MLP projections, often within one layer. Such kernels get stage Gemm.
//
// AssignRoles looks at the order of one step's kernels. A decoder layer has a
// fixed order (norm, qkv, rope, kv-write, attention, output projection, norm,
// gate_up, activation, down), so the kernels that Classify does recognise
// anchor the ones it does not. Every answer has a Confidence, and where the
// anchors allow no answer the stage stays Gemm: a wrong role would mislead
// more than a missing one.
//
// Guarantees: results depend on the arguments alone; names are treated as
// hostile input (RE2 or plain substring search, length-capped); no function
// panics. The package imports nothing of this module.
package kernel
