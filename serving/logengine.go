package serving

import (
	"strconv"
	"strings"
)

// version reads "version 0.24.0" or "version v0.24.0".
func (l *logReader) version(m message, word string) {
	_, rest, ok := strings.Cut(m.text, word)
	if !ok {
		return
	}
	if w := strings.Fields(rest); len(w) > 0 {
		l.started(m)
		e := &l.log.Engine
		field := strings.TrimLeft(strings.TrimSpace(word), "█ ")
		e.Name = NewFact("vllm", l.src(m, field))
		e.Version = NewFact(clip(strings.TrimPrefix(w[0], "v"), 80), l.src(m, field))
	}
}

// banner reads the two lines of the logo that carry words.
func (l *logReader) banner(m message, _ int) {
	if !strings.Contains(m.text, "█") && !strings.Contains(m.text, "▄") {
		return
	}
	l.recognised = true
	if strings.Contains(m.text, "█  version ") {
		l.version(m, "█  version ")
	}
	if _, rest, ok := strings.Cut(m.text, "█  model "); ok && strings.TrimSpace(rest) != "" {
		setOnce(&l.log.Engine.Model, clip(strings.TrimSpace(rest), maxText), l.src(m, "banner"))
	}
}

// args reads "non-default args: {...}" and the older "args: Namespace(...)".
// They are what the user asked for; what the engine printed after it resolved
// them is kept.
func (l *logReader) args(m message, word string) {
	l.started(m)
	l.mark.args.set(m)
	l.mark.argsProc = m.proc
	e := &l.log.Engine
	setOnce(&e.Name, "vllm", l.src(m, strings.TrimRight(word, ": ")))
	body, open, sep := strings.TrimPrefix(m.text, word), byte('{'), byte(':')
	if strings.HasSuffix(word, "Namespace") {
		open, sep = '(', '='
	}
	e.NonDefaultArgs = NewFact(clip(mask(body), maxArgs), l.src(m, strings.TrimRight(word, ": ")))
	pyPairs(inside(body, open), sep, func(key, value string) {
		src := l.src(m, strings.TrimRight(word, ": ")+"."+key)
		text := func(f *Fact[string]) {
			if v := pyText(value); v != "" && v != "auto" {
				setOnce(f, clip(mask(v), maxText), src)
			}
		}
		number := func(f *Fact[int64]) {
			if n, err := strconv.ParseInt(value, 10, 64); err == nil && n >= 0 {
				setOnce(f, n, src)
			}
		}
		boolean := func(f *Fact[bool]) {
			if v, ok := pyBool(value); ok {
				setOnce(f, v, src)
			}
		}
		switch key {
		case "model":
			text(&e.Model)
		case "served_model_name":
			if v := strings.Trim(value, "[]"); v != "" && !strings.Contains(v, ",") {
				value = v
				text(&e.ServedModelName)
			}
		case "max_num_seqs":
			number(&e.MaxNumSeqs)
		case "max_num_batched_tokens":
			number(&e.MaxNumBatchedTokens)
		case "max_model_len":
			number(&e.MaxModelLen)
		case "block_size":
			number(&e.BlockSize)
		case "tensor_parallel_size":
			number(&e.TensorParallel)
		case "pipeline_parallel_size":
			number(&e.PipelineParallel)
		case "data_parallel_size":
			number(&e.DataParallel)
		case "gpu_memory_utilization":
			if v, err := strconv.ParseFloat(value, 64); err == nil && v > 0 {
				setOnce(&e.GPUMemoryUtilization, v, src)
			}
		case "async_scheduling":
			boolean(&e.AsyncScheduling)
		case "enforce_eager":
			boolean(&e.EnforceEager)
		case "enable_chunked_prefill":
			boolean(&e.ChunkedPrefill)
		case "enable_prefix_caching":
			boolean(&e.PrefixCaching)
		case "enable_expert_parallel":
			boolean(&e.ExpertParallel)
		case "quantization":
			text(&e.Quantization)
		case "kv_cache_dtype":
			text(&e.KVCacheDType)
		case "attention_backend":
			if v := pyEnum(value); v != "" && v != "None" {
				setOnce(&e.AttentionBackend, clip(v, maxText), src)
			}
		}
	})
}

// engineConfig reads "Initializing a V1 LLM engine (v0.24.0) with config: ...",
// the settings after resolution.
func (l *logReader) engineConfig(m message, _ int) {
	if !strings.Contains(m.text, "LLM engine") {
		return
	}
	l.mark.engine.set(m)
	e := &l.log.Engine
	setOnce(&e.Name, "vllm", l.src(m, "LLM engine"))
	if _, rest, ok := strings.Cut(m.text, "LLM engine ("); ok {
		if v, _, ok := strings.Cut(rest, ")"); ok {
			e.Version = NewFact(clip(strings.TrimPrefix(v, "v"), 80), l.src(m, "LLM engine"))
		}
	}
	if w := strings.Fields(m.text); len(w) > 2 && len(w[2]) == 2 && w[2][0] == 'V' {
		e.Core = NewFact(w[2], l.src(m, "LLM engine"))
	}
	_, config, ok := strings.Cut(m.text, "with config: ")
	if !ok {
		return
	}
	pyPairs(config, '=', func(key, value string) { l.setting(m, key, value) })
	if e.EnforceEager.Value && !e.CudagraphMode.Known {
		e.CudagraphMode = NewFact("NONE", e.EnforceEager.Source)
	}
}

func (l *logReader) setting(m message, key, value string) {
	e := &l.log.Engine
	src := l.src(m, "config."+key)
	text := func(f *Fact[string], none string) { setText(f, value, none, src) }
	number := func(f *Fact[int64]) { setNumber(f, value, 0, src) }
	boolean := func(f *Fact[bool]) { setBool(f, value, true, src) }
	switch key {
	case "model":
		text(&e.Model, "")
	case "served_model_name":
		text(&e.ServedModelName, "")
	case "dtype":
		value = strings.TrimPrefix(value, "torch.")
		text(&e.DType, "")
	case "max_seq_len":
		number(&e.MaxModelLen)
	case "load_format":
		value = pyEnum(value)
		text(&e.LoadFormat, "")
	case "tensor_parallel_size":
		number(&e.TensorParallel)
	case "pipeline_parallel_size":
		number(&e.PipelineParallel)
	case "data_parallel_size":
		number(&e.DataParallel)
	case "disable_custom_all_reduce":
		setBool(&e.CustomAllReduce, value, false, src)
	case "quantization":
		text(&e.Quantization, "none")
	case "enforce_eager":
		boolean(&e.EnforceEager)
	case "kv_cache_dtype":
		text(&e.KVCacheDType, "")
	case "enable_prefix_caching":
		boolean(&e.PrefixCaching)
	case "enable_chunked_prefill", "chunked_prefill_enabled":
		boolean(&e.ChunkedPrefill)
	case "speculative_config":
		if value == "None" {
			e.SpecDecode = NewFact("none", src)
			return
		}
		body, sep := body(value)
		pyPairs(body, sep, func(k, v string) {
			switch k {
			case "method":
				if v = pyText(v); v != "" {
					e.SpecDecode = NewFact(clip(v, 80), src)
				}
			case "num_spec_tokens", "num_speculative_tokens":
				setNumber(&e.SpecDecodeTokens, v, 0, src)
			}
		})
	case "compilation_config":
		l.compilation(value, src)
	case "kernel_config":
		pyPairs(inside(value, '('), '=', func(k, v string) {
			if k == "moe_backend" && pyText(v) != "auto" && pyText(v) != "" {
				e.MoEBackend = NewFact(clip(pyText(v), 80), src)
			}
		})
	}
}

// setText sets a fact to the text of a repr. none stands for None; "" leaves the
// fact alone.
func setText(f *Fact[string], value, none string, src Source) {
	v := pyText(value)
	if v == "" {
		v = none
	}
	if v != "" {
		*f = NewFact(clip(mask(v), maxText), src)
	}
}

// setNumber sets a fact to an integer of at least least.
func setNumber(f *Fact[int64], value string, least int64, src Source) {
	if n, err := strconv.ParseInt(value, 10, 64); err == nil && n >= least {
		*f = NewFact(n, src)
	}
}

// setBool sets a fact to whether value is want: false for "disable_..." options.
func setBool(f *Fact[bool], value string, want bool, src Source) {
	if v, ok := pyBool(value); ok {
		*f = NewFact(v == want, src)
	}
}

// body is what pyPairs needs to walk a dict "{...}" or an object "C(...)".
func body(value string) (string, byte) {
	if strings.HasPrefix(value, "{") {
		return value[1:], ':'
	}
	return inside(value, '('), '='
}

// compilationModes are the names of the numbers that older versions print.
var compilationModes = map[string]string{"0": "NONE", "1": "STOCK_TORCH_COMPILE", "2": "DYNAMO_TRACE_ONCE", "3": "VLLM_COMPILE"}

var cudagraphModes = map[string]string{
	"0": "NONE", "1": "PIECEWISE", "2": "FULL", "[2,0]": "FULL_DECODE_ONLY", "[2,1]": "FULL_AND_PIECEWISE",
	"(2,0)": "FULL_DECODE_ONLY", "(2,1)": "FULL_AND_PIECEWISE",
}

// compilation reads compilation_config, a dict or, in older versions, JSON.
func (l *logReader) compilation(value string, src Source) {
	e := &l.log.Engine
	sub := func(k string) Source { s := src; s.Field += "." + k; return s }
	useGraph, haveMode := "", false
	fields, sep := body(value)
	pyPairs(fields, sep, func(k, v string) {
		switch k {
		case "mode", "level":
			mode := pyEnum(v)
			if name := compilationModes[mode]; name != "" {
				mode = name
			}
			if mode != "" && mode != "None" {
				e.CompilationMode = NewFact(clip(mode, 80), sub(k))
			}
		case "cudagraph_mode":
			mode := cudagraphModes[strings.ReplaceAll(v, " ", "")]
			if mode == "" {
				mode = pyEnum(v)
			}
			if mode != "" && mode != "None" {
				e.CudagraphMode, haveMode = NewFact(clip(mode, 80), sub(k)), true
			}
		case "use_cudagraph":
			useGraph = v
		case "cudagraph_capture_sizes":
			if sizes := pyInts(v); sizes != nil {
				e.CaptureSizes = NewFact(sizes, sub(k))
			}
		}
	})
	// Before cudagraph_mode there was only piecewise, or nothing.
	if on, ok := pyBool(useGraph); ok && !haveMode && !e.CudagraphMode.Known {
		switch {
		case !on || e.EnforceEager.Value:
			e.CudagraphMode = NewFact("NONE", sub("use_cudagraph"))
		case e.CompilationMode.Value == "VLLM_COMPILE":
			e.CudagraphMode = NewFact("PIECEWISE", sub("use_cudagraph"))
		}
	}
}

// backendNames are the names of attention backends in the sentences of older
// versions.
var backendNames = map[string]string{
	"Flash Attention": "FLASH_ATTN", "FlashInfer": "FLASHINFER", "Triton": "TRITON_ATTN", "Triton Attention": "TRITON_ATTN", "XFormers": "XFORMERS",
	"FlexAttention": "FLEX_ATTENTION", "FlashMLA": "FLASHMLA", "Triton MLA": "TRITON_MLA", "Cutlass MLA": "CUTLASS_MLA", "Torch SDPA": "TORCH_SDPA",
	"FlashAttention MLA": "FLASH_ATTN_MLA", "FlashInfer MLA": "FLASHINFER_MLA",
}

// backend reads the sentences that name the attention or MoE backend:
//
//	Using FLASH_ATTN attention backend out of potential backends: [...]
//	Using AttentionBackendEnum.FLASH_ATTN backend.
//	Using Flash Attention backend on V1 engine.
//	Using TRITON Unquantized MoE backend out of potential backends: [...]
func (l *logReader) backend(m message, _ int) {
	rest := strings.TrimPrefix(m.text, "Using ")
	i := strings.Index(rest, " backend")
	if i < 0 || i > 80 {
		return
	}
	name, tail := rest[:i], rest[i+len(" backend"):]
	e := &l.log.Engine
	if kind, ok := strings.CutSuffix(name, " MoE"); ok {
		if w := strings.Fields(kind); len(w) > 0 {
			e.MoEBackend = NewFact(clip(strings.Trim(pyEnum(w[0]), "'"), 80), l.src(m, "Using ... MoE backend"))
			l.recognised = true
		}
		return
	}
	attention := strings.HasSuffix(name, " attention")
	name = strings.TrimSuffix(name, " attention")
	if known := backendNames[name]; known != "" {
		name = known
	} else {
		name = pyEnum(name)
	}
	plain := strings.HasPrefix(tail, ".") || strings.TrimSpace(tail) == "" || strings.HasPrefix(tail, " on V1 engine") || strings.HasPrefix(tail, " for head_size")
	if name == "" || strings.ContainsAny(name, " :") || strings.ToUpper(name) != name || !attention && !plain {
		return
	}
	l.recognised = true
	e.AttentionBackend = NewFact(clip(name, 80), l.src(m, "Using ... backend"))
}

// sglangArgs reads "server_args=ServerArgs(model_path='...', ...)".
func (l *logReader) sglangArgs(m message) {
	l.started(m)
	l.mark.args.set(m)
	l.mark.argsProc = m.proc
	_, body, ok := strings.Cut(m.text, "ServerArgs(")
	if !ok {
		return
	}
	e := &l.log.Engine
	e.Name = NewFact("sglang", l.src(m, "server_args"))
	e.NonDefaultArgs = NewFact(clip(mask("ServerArgs("+body), maxArgs), l.src(m, "server_args"))
	pyPairs(body, '=', func(key, value string) {
		src := l.src(m, "server_args."+key)
		text := func(f *Fact[string], none string) { setText(f, value, none, src) }
		number := func(f *Fact[int64]) { setNumber(f, value, 1, src) }
		switch key {
		case "model_path":
			text(&e.Model, "")
		case "served_model_name":
			text(&e.ServedModelName, "")
		case "dtype":
			text(&e.DType, "")
		case "quantization":
			text(&e.Quantization, "none")
		case "kv_cache_dtype":
			text(&e.KVCacheDType, "")
		case "load_format":
			text(&e.LoadFormat, "")
		case "attention_backend":
			text(&e.AttentionBackend, "")
		case "moe_runner_backend":
			text(&e.MoEBackend, "")
		case "context_length":
			number(&e.MaxModelLen)
		case "max_running_requests":
			number(&e.MaxNumSeqs)
		case "chunked_prefill_size":
			number(&e.MaxNumBatchedTokens)
		case "page_size":
			number(&e.BlockSize)
		case "tp_size":
			number(&e.TensorParallel)
		case "pp_size":
			number(&e.PipelineParallel)
		case "dp_size":
			number(&e.DataParallel)
		case "speculative_algorithm":
			text(&e.SpecDecode, "none")
		case "speculative_num_draft_tokens":
			number(&e.SpecDecodeTokens)
		case "cuda_graph_bs":
			if sizes := pyInts(value); sizes != nil {
				e.CaptureSizes = NewFact(sizes, src)
			}
		case "disable_cuda_graph":
			if v, ok := pyBool(value); ok && v {
				e.CudagraphMode = NewFact("NONE", src)
			}
		case "disable_radix_cache":
			setBool(&e.PrefixCaching, value, false, src)
		case "disable_overlap_schedule":
			setBool(&e.AsyncScheduling, value, false, src)
		case "disable_custom_all_reduce":
			setBool(&e.CustomAllReduce, value, false, src)
		}
	})
}

// sglangLoaded reads "Load weight end. elapsed=2.8 s, type=LlamaForCausalLM,
// dtype=torch.bfloat16, avail mem=61.9 GB, mem usage=14.98 GB."
func (l *logReader) sglangLoaded(m message, _ int) {
	e := &l.log.Engine
	if v, ok := numberAfter(m.text, "elapsed="); ok {
		l.stated(PhaseLoad, m, v, "Load weight end")
	}
	if v, ok := numberAfter(m.text, "mem usage="); ok && v > 0 && (!e.WeightsGiB.Known || v > e.WeightsGiB.Value) {
		e.WeightsGiB = NewFact(v, l.src(m, "Load weight end"))
	}
	pyPairs(strings.TrimPrefix(m.text, "Load weight end. "), '=', func(k, v string) {
		switch k {
		case "type":
			setOnce(&e.Arch, clip(v, maxText), l.src(m, "Load weight end.type"))
		case "dtype":
			e.DType = NewFact(clip(strings.TrimPrefix(v, "torch."), 80), l.src(m, "Load weight end.dtype"))
		}
	})
	l.mark.loaded.set(m)
}

// sglangKV reads "KV Cache is allocated. #tokens: 452516, K size: 27.62 GB, V
// size: 27.62 GB".
func (l *logReader) sglangKV(m message, _ int) {
	e := &l.log.Engine
	l.number(&e.KVCacheTokens, m, "#tokens: ")
	k, okK := numberAfter(m.text, "K size: ")
	v, okV := numberAfter(m.text, "V size: ")
	if okK && okV {
		e.KVCacheGiB = NewFact(k+v, l.src(m, "KV Cache is allocated"))
	}
	l.mark.kv.set(m)
}

// sglangLimits reads "max_total_num_tokens=452516, chunked_prefill_size=8192,
// max_prefill_tokens=16384, max_running_requests=4096, context_len=131072".
func (l *logReader) sglangLimits(m message, _ int) {
	e := &l.log.Engine
	l.number(&e.KVCacheTokens, m, "max_total_num_tokens=")
	l.number(&e.MaxNumBatchedTokens, m, "chunked_prefill_size=")
	l.number(&e.MaxNumSeqs, m, "max_running_requests=")
	l.number(&e.MaxModelLen, m, "context_len=")
	l.mark.inited.set(m)
}
