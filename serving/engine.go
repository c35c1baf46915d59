package serving

// EngineInfo is what is known about the engine and its settings. Settings are
// the effective ones where the log prints them after resolution (the engine's
// configuration line), else what the user asked for.
type EngineInfo struct {
	Name    Fact[string] `json:"name,omitzero"`    // "vllm" or "sglang"
	Version Fact[string] `json:"version,omitzero"` // without a leading v
	Core    Fact[string] `json:"core,omitzero"`    // vLLM's engine core, "V1" or "V0"

	Model           Fact[string] `json:"model,omitzero"`
	ServedModelName Fact[string] `json:"served_model_name,omitzero"`
	Arch            Fact[string] `json:"arch,omitzero"`
	DType           Fact[string] `json:"dtype,omitzero"` // bfloat16, float16, ...
	Quantization    Fact[string] `json:"quantization,omitzero"`
	KVCacheDType    Fact[string] `json:"kv_cache_dtype,omitzero"`
	LoadFormat      Fact[string] `json:"load_format,omitzero"`

	AttentionBackend      Fact[string] `json:"attention_backend,omitzero"`
	FlashAttentionVersion Fact[int64]  `json:"flash_attention_version,omitzero"`
	MoEBackend            Fact[string] `json:"moe_backend,omitzero"`

	MaxModelLen         Fact[int64] `json:"max_model_len,omitzero"`
	MaxNumSeqs          Fact[int64] `json:"max_num_seqs,omitzero"` // only when set or printed: vLLM does not log its default
	MaxNumBatchedTokens Fact[int64] `json:"max_num_batched_tokens,omitzero"`
	BlockSize           Fact[int64] `json:"block_size,omitzero"`

	AsyncScheduling   Fact[bool] `json:"async_scheduling,omitzero"`
	EnforceEager      Fact[bool] `json:"enforce_eager,omitzero"`
	ChunkedPrefill    Fact[bool] `json:"chunked_prefill,omitzero"`
	PrefixCaching     Fact[bool] `json:"prefix_caching,omitzero"`
	V2Runner          Fact[bool] `json:"v2_runner,omitzero"`
	CustomAllReduce   Fact[bool] `json:"custom_all_reduce,omitzero"`
	FlashInferSampler Fact[bool] `json:"flashinfer_sampler,omitzero"`

	GPUMemoryUtilization Fact[float64] `json:"gpu_memory_utilization,omitzero"`
	WeightsGiB           Fact[float64] `json:"weights_gib,omitzero"` // model memory after loading, per worker
	KVCacheGiB           Fact[float64] `json:"kv_cache_gib,omitzero"`
	KVCacheTokens        Fact[int64]   `json:"kv_cache_tokens,omitzero"`
	KVCacheBlocks        Fact[int64]   `json:"kv_cache_blocks,omitzero"`
	MaxConcurrency       Fact[float64] `json:"max_concurrency,omitzero"` // KV tokens / max_model_len
	GraphMemoryGiB       Fact[float64] `json:"graph_memory_gib,omitzero"`

	CompilationMode Fact[string]  `json:"compilation_mode,omitzero"` // NONE, VLLM_COMPILE, or a level
	CudagraphMode   Fact[string]  `json:"cudagraph_mode,omitzero"`   // NONE, PIECEWISE, FULL, FULL_AND_PIECEWISE, ...
	CaptureSizes    Fact[[]int64] `json:"capture_sizes,omitzero"`    // ascending

	TensorParallel   Fact[int64] `json:"tensor_parallel,omitzero"`
	PipelineParallel Fact[int64] `json:"pipeline_parallel,omitzero"`
	DataParallel     Fact[int64] `json:"data_parallel,omitzero"`
	ExpertParallel   Fact[bool]  `json:"expert_parallel,omitzero"`

	// SpecDecode is the speculative method and its tokens per step; "none"
	// when the engine says there is none.
	SpecDecode       Fact[string] `json:"spec_decode,omitzero"`
	SpecDecodeTokens Fact[int64]  `json:"spec_decode_tokens,omitzero"`

	// NonDefaultArgs is the raw text of the settings that the user changed
	// ({'model': ...}), secrets masked.
	NonDefaultArgs Fact[string] `json:"non_default_args,omitzero"`
}
