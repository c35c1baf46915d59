package kernel

// Class is what a kernel's name alone says.
type Class struct {
	Stage      Stage      `json:"stage"`
	Family     string     `json:"family"`          // library or generator, for example nvjet, cutlass, flash-attn3, inductor, nccl
	DType      string     `json:"dtype,omitempty"` // operand type of the arithmetic: bf16, f16, fp8, fp4, int8, tf32, f32, ...; "" = unknown
	Op         string     `json:"op,omitempty"`    // finer operation, for example allreduce, split-k-reduce, rms_norm, reshape_and_cache
	Gemm       bool       `json:"gemm"`            // a matrix multiplication whose FLOPs count; split-K reductions and attention are not
	Confidence Confidence `json:"confidence"`
}

// Launch is one kernel execution as AssignRoles sees it.
type Launch struct {
	Name  uint32   // interned name: equal ids mean equal names
	Class *Class   // Classify of that name; nil is treated as unknown
	Grid  [3]int32 // blocks; zero = not recorded
	Block [3]int32 // threads per block; zero = not recorded
	Dur   int64    // ns
}

// Assignment is the place of one kernel in its step.
type Assignment struct {
	Stage      Stage
	Role       Role
	Confidence Confidence
	Layer      int32 // index within the pass, -1 outside the layers
	Pass       int16 // model execution within the step: 0 the first; draft models and encoders add passes
}

// Roles is the result of AssignRoles: one Assignment per kernel, in order.
type Roles struct {
	Kernels []Assignment
	Pattern Pattern
}

// Pattern describes the repetition that the roles were derived from.
type Pattern struct {
	LayerCount    int        `json:"layer_count"`    // layers of the longest pass; 0 = none found
	PeriodKernels int        `json:"period_kernels"` // kernels of the most frequent layer
	Passes        int        `json:"passes"`         // model executions seen in the step
	Confidence    Confidence `json:"confidence"`
	Why           string     `json:"why"` // one sentence: the anchors found or what is missing
}
