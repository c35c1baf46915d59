package serving

import "strings"

// anchor is one known record: what its text starts with, and what it means.
// A weak anchor is a text that other servers print too.
type anchor struct {
	prefix string
	weak   bool
	do     func(l *logReader, m message, rank int)
}

// anchors by the first byte of the text. Order within a byte matters: the
// first prefix that fits is taken.
var anchors = func() (table [256][]anchor) {
	for _, a := range anchorList() {
		table[a.prefix[0]] = append(table[a.prefix[0]], a)
	}
	return table
}()

func anchorList() []anchor {
	return []anchor{
		// Periodic lines first: they are most of a log.
		{"Avg prompt throughput: ", false, (*logReader).statLine},
		{"Prefix cache hit rate: GPU:", false, (*logReader).prefixLine},
		{"SpecDecoding metrics: ", false, (*logReader).specLine},
		{"Speculative metrics: ", false, (*logReader).specLine},
		{"Iteration(", false, (*logReader).iteration},
		{"Decode batch", false, (*logReader).batch},
		{"Prefill batch", false, (*logReader).batch},
		{"Received request ", true, func(l *logReader, _ message, _ int) {
			l.log.RequestsReceived = max(l.log.RequestsReceived, 0) + 1
		}},

		// Identity and settings.
		{"vLLM API server version ", false, func(l *logReader, m message, _ int) { l.version(m, "vLLM API server version ") }},
		{"args: Namespace(", false, func(l *logReader, m message, _ int) { l.args(m, "args: Namespace") }},
		{"non-default args: {", false, func(l *logReader, m message, _ int) { l.args(m, "non-default args: ") }},
		{" ", true, (*logReader).banner},
		{"Initializing a", false, (*logReader).engineConfig},
		{"Resolved architecture: ", false, func(l *logReader, m message, _ int) {
			l.word(&l.log.Engine.Arch, m, "Resolved architecture: ")
		}},
		{"Resolved architectures: ", false, func(l *logReader, m message, _ int) {
			l.word(&l.log.Engine.Arch, m, "Resolved architectures: ")
		}},
		{"Using max model len ", false, func(l *logReader, m message, _ int) {
			l.number(&l.log.Engine.MaxModelLen, m, "Using max model len ")
		}},
		{"Chunked prefill is enabled with max_num_batched_tokens=", false, func(l *logReader, m message, _ int) {
			l.number(&l.log.Engine.MaxNumBatchedTokens, m, "max_num_batched_tokens=")
			l.log.Engine.ChunkedPrefill = NewFact(true, l.src(m, "Chunked prefill is enabled"))
		}},
		{"Asynchronous scheduling is enabled", false, func(l *logReader, m message, _ int) {
			l.log.Engine.AsyncScheduling = NewFact(true, l.src(m, "Asynchronous scheduling is enabled"))
		}},
		{"Asynchronous scheduling is disabled", false, func(l *logReader, m message, _ int) {
			l.log.Engine.AsyncScheduling = NewFact(false, l.src(m, "Asynchronous scheduling is disabled"))
		}},
		{"Using V2 Model Runner", false, func(l *logReader, m message, _ int) {
			l.log.Engine.V2Runner = NewFact(true, l.src(m, "Using V2 Model Runner"))
		}},
		{"Using FlashAttention version ", false, func(l *logReader, m message, _ int) {
			l.number(&l.log.Engine.FlashAttentionVersion, m, "Using FlashAttention version ")
		}},
		{"Using FlashInfer for top-p", false, func(l *logReader, m message, _ int) {
			l.log.Engine.FlashInferSampler = NewFact(true, l.src(m, "Using FlashInfer for top-p"))
		}},
		{"FlashInfer top-p/top-k sampling disabled", false, func(l *logReader, m message, _ int) {
			l.log.Engine.FlashInferSampler = NewFact(false, l.src(m, "FlashInfer top-p/top-k sampling disabled"))
		}},
		{"Using ", true, (*logReader).backend},
		{"Cudagraph is disabled under eager mode", false, func(l *logReader, m message, _ int) {
			l.log.Engine.CudagraphMode = NewFact("NONE", l.src(m, "Cudagraph is disabled under eager mode"))
		}},

		// Loading.
		{"Loading weights took ", false, func(l *logReader, m message, _ int) { l.took(PhaseWeights, m, "took ") }},
		{"Model loading took ", false, (*logReader).loaded},
		{"Loading model weights took ", false, (*logReader).loaded},

		// Compilation.
		{"Dynamo bytecode transform time: ", false, func(l *logReader, m message, _ int) { l.took(PhaseDynamo, m, "time: ") }},
		{"Compiling a graph for ", false, func(l *logReader, m message, _ int) { l.took(PhaseInductor, m, "takes ") }},
		{"Directly load the compiled graph", false, func(l *logReader, m message, _ int) { l.took(PhaseInductor, m, "took ") }},
		{"torch.compile took ", false, func(l *logReader, m message, _ int) { l.compiled(m, "took ") }},
		{"torch.compile takes ", false, func(l *logReader, m message, _ int) { l.compiled(m, "takes ") }},
		{"torch.compile and initial profiling run took ", false, func(l *logReader, m message, _ int) { l.compiled(m, "took ") }},

		// Memory and graphs.
		{"Initial profiling/warmup run took ", false, func(l *logReader, m message, _ int) {
			l.took(PhaseProfileRun, m, "took ")
			l.mark.profiled.set(m)
		}},
		{"Memory profiling takes ", false, func(l *logReader, m message, _ int) {
			l.took(PhaseProfileRun, m, "takes ")
			l.mark.profiled.set(m)
		}},
		{"Available KV cache memory: ", false, func(l *logReader, m message, _ int) {
			l.least(&l.log.Engine.KVCacheGiB, m, "Available KV cache memory: ")
			l.mark.kv.set(m)
		}},
		{"GPU KV cache size: ", false, (*logReader).kvSize},
		{"Maximum concurrency for ", false, (*logReader).kvSize},
		{"vllm cache_config_info with initialization after num_gpu_blocks is: ", false, func(l *logReader, m message, _ int) {
			l.number(&l.log.Engine.KVCacheBlocks, m, "num_gpu_blocks is: ")
		}},
		{"# GPU blocks: ", false, (*logReader).kvBlocks},
		{"# cuda blocks: ", false, (*logReader).kvBlocks},
		{"Graph capturing finished in ", false, func(l *logReader, m message, _ int) {
			l.took(PhaseGraphCapture, m, "finished in ")
			l.mark.graphs.set(m)
			if v, ok := numberAfter(m.text, "took "); ok && v >= 0 {
				l.log.Engine.GraphMemoryGiB = NewFact(v, l.src(m, "Graph capturing finished"))
			}
		}},
		{"CUDA graph pool memory: ", false, func(l *logReader, m message, _ int) {
			if v, ok := numberAfter(m.text, "CUDA graph pool memory: "); ok && v >= 0 {
				l.log.Engine.GraphMemoryGiB = NewFact(v, l.src(m, "CUDA graph pool memory"))
			}
		}},

		// Ready, profiler, shutdown.
		{"init engine (", false, func(l *logReader, m message, _ int) {
			l.took(PhaseEngineInit, m, "took ")
			l.mark.inited.set(m)
		}},
		{"Starting vLLM", false, func(*logReader, message, int) {}},
		{"Application startup complete", true, func(l *logReader, m message, _ int) { l.ready(m) }},
		{"Kernel JIT monitor activated", false, func(*logReader, message, int) {}},
		{"Starting profiler", true, profilerLine("starting")},
		{"Profiler started", true, profilerLine("started")},
		{"Stopping profiler", true, profilerLine("stopping")},
		{"Profiler stopped", true, profilerLine("stopped")},
		{"[shutdown]", true, func(l *logReader, m message, _ int) {
			l.mark.shutdown.setFirst(m)
		}},

		// SGLang.
		{"server_args=ServerArgs(", false, func(l *logReader, m message, _ int) { l.sglangArgs(m) }},
		{"Load weight begin", false, func(l *logReader, m message, _ int) {
			l.mark.engine.setFirst(m)
		}},
		{"Load weight end", false, (*logReader).sglangLoaded},
		{"KV Cache is allocated. ", false, (*logReader).sglangKV},
		{"max_total_num_tokens=", false, (*logReader).sglangLimits},
		{"Capture cuda graph bs ", false, func(l *logReader, m message, _ int) {
			if sizes := pyInts(strings.TrimPrefix(m.text, "Capture cuda graph bs ")); sizes != nil {
				l.log.Engine.CaptureSizes = NewFact(sizes, l.src(m, "Capture cuda graph bs"))
			}
		}},
		{"Capture cuda graph end", false, func(l *logReader, m message, _ int) {
			l.took(PhaseGraphCapture, m, "elapsed: ")
			l.mark.graphs.set(m)
			if v, ok := numberAfter(m.text, "mem usage="); ok && v >= 0 {
				l.log.Engine.GraphMemoryGiB = NewFact(v, l.src(m, "Capture cuda graph end"))
			}
		}},
		{"The server is fired up", false, func(l *logReader, m message, _ int) {
			l.mark.ready = moment{} // SGLang warms up after its port is open
			l.ready(m)
		}},
	}
}

func profilerLine(what string) func(*logReader, message, int) {
	return func(l *logReader, m message, _ int) {
		if len(l.log.Profiling) < maxRows {
			l.log.Profiling = append(l.log.Profiling, ProfileCut{AtNS: m.at, What: what, Line: m.line})
		}
	}
}

// took adds a phase whose seconds follow word.
func (l *logReader) took(id string, m message, word string) {
	i := strings.LastIndex(m.text, word)
	if i < 0 {
		return
	}
	if v, n := leadingNumber(m.text[i+len(word):]); n > 0 {
		field, _, _ := strings.Cut(m.text, " took ")
		l.stated(id, m, v, clip(field, 60))
	}
}

// number sets a fact to the integer after word.
func (l *logReader) number(f *Fact[int64], m message, word string) {
	if v, ok := numberAfter(m.text, word); ok && v > 0 && v < 1<<53 {
		*f = NewFact(int64(v), l.src(m, strings.TrimRight(word, ":= ")))
	}
}

// least sets a fact to the number after word unless another worker had less.
func (l *logReader) least(f *Fact[float64], m message, word string) {
	if v, ok := numberAfter(m.text, word); ok && v >= 0 && (!f.Known || v < f.Value) {
		*f = NewFact(v, l.src(m, strings.TrimRight(word, ": ")))
	}
}

// word sets a fact to the word after prefix.
func (l *logReader) word(f *Fact[string], m message, prefix string) {
	if w := strings.Fields(strings.TrimPrefix(m.text, prefix)); len(w) > 0 {
		*f = NewFact(clip(strings.Trim(w[0], "[]',"), maxText), l.src(m, strings.TrimRight(prefix, ": ")))
	}
}

func (l *logReader) compiled(m message, word string) {
	l.took(PhaseCompile, m, word)
	l.mark.compiled.set(m)
}

func (l *logReader) loaded(m message, _ int) {
	e := &l.log.Engine
	if v, ok := numberAfter(m.text, "took "); ok && v >= 0 && (!e.WeightsGiB.Known || v > e.WeightsGiB.Value) {
		e.WeightsGiB = NewFact(v, l.src(m, "Model loading took"))
	}
	if _, rest, ok := strings.Cut(m.text, " and "); ok {
		if v, n := leadingNumber(rest); n > 0 {
			l.stated(PhaseLoad, m, v, "Model loading took")
		}
	}
	l.mark.loaded.set(m)
}

// kvSize reads the cache size and the concurrency, on one line or two. Of
// several workers the smallest counts.
func (l *logReader) kvSize(m message, _ int) {
	e := &l.log.Engine
	if v, ok := numberAfter(m.text, "GPU KV cache size: "); ok && v > 0 && v < 1<<53 && (!e.KVCacheTokens.Known || int64(v) < e.KVCacheTokens.Value) {
		e.KVCacheTokens = NewFact(int64(v), l.src(m, "GPU KV cache size"))
	}
	if i := strings.Index(m.text, "oncurrency for "); i >= 0 {
		if v, ok := numberAfter(m.text[i:], "per request: "); ok && v > 0 && (!e.MaxConcurrency.Known || v < e.MaxConcurrency.Value) {
			e.MaxConcurrency = NewFact(v, l.src(m, "Maximum concurrency"))
		}
	}
	l.mark.kv.set(m)
}

func (l *logReader) kvBlocks(m message, _ int) {
	l.number(&l.log.Engine.KVCacheBlocks, m, "blocks: ")
	l.mark.kv.set(m)
}
