package serving

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func readLog(t *testing.T, text string) *Log {
	t.Helper()
	l, err := ReadLog("server.log", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

const statText = "Engine 000: Avg prompt throughput: 8714.2 tokens/s, Avg generation throughput: 2038.6 tokens/s, Running: 32 reqs, Waiting: 5 reqs, GPU KV cache usage: 4.3%, Prefix cache hit rate: 50.0%"

func TestLogPrefixes(t *testing.T) {
	want := StatLine{AtNS: 0, Engine: 0, PromptRate: 8714.2, OutputRate: 2038.6, Running: 32, Waiting: 5, Deferred: -1, Preemptions: -1, KVUsage: 0.043, PrefixHitRate: 0.5, Line: 1}
	for name, prefix := range map[string]string{
		"0.9 to 0.33":     "(APIServer pid=2709) INFO 11-24 06:40:51 [loggers.py:273] ",
		"0.8":             "INFO 11-24 06:40:51 [loggers.py:87] ",
		"before 0.8":      "INFO 11-24 06:40:51 loggers.py:87] ",
		"no stamp":        "INFO [loggers.py:87] ",
		"debug path":      "(APIServer pid=2709) INFO 11-24 06:40:51 [v1/metrics/loggers.py:273] ",
		"worker rank":     "(VllmWorker rank=1 pid=275) INFO 11-24 06:40:51 [loggers.py:87] ",
		"stage":           "(Worker pid=55658) [Stage-2] INFO 11-24 06:40:51 [loggers.py:87] ",
		"colours":         "\x1b[0;36m(APIServer pid=1)\x1b[0;0m \x1b[32mINFO\x1b[0m \x1b[90m11-24 06:40:51\x1b[0m \x1b[90m[loggers.py:87]\x1b[0m ",
		"title escape":    "\x1b]0;title\x07INFO 11-24 06:40:51 [loggers.py:87] ",
		"docker":          "2026-11-24T06:40:51.331095044Z (APIServer pid=1) INFO 11-24 06:40:51 [loggers.py:271] ",
		"collector":       "2026-11-24 07:40:51.693 | (APIServer pid=1) INFO 11-24 06:40:51 [vllm.py:840] ",
		"compose":         "vllm-1  | (APIServer pid=1) INFO 11-24 06:40:51 [loggers.py:271] ",
		"journal":         "Nov 24 06:40:51 host vllm[742]: (APIServer pid=742) INFO 11-24 06:40:51 [loggers.py:271] ",
		"job":             "06:40:51 [INFO] [job] [LOG] (APIServer pid=1) INFO 11-24 06:40:51 [loggers.py:271] ",
		"after tqdm":      "Capturing CUDA graphs: 100%|██| 8/8 [00:00<00:00, 17it/s]\r(APIServer pid=1) INFO 11-24 06:40:51 [loggers.py:271] ",
		"glued to tqdm":   "Capturing CUDA graphs: 100%|██| 8/8 [00:00<00:00, 17it/s](APIServer pid=1) INFO 11-24 06:40:51 [loggers.py:271] ",
		"carriage return": "\rINFO 11-24 06:40:51 [loggers.py:271] ",
	} {
		t.Run(name, func(t *testing.T) {
			l := readLog(t, prefix+statText+"\r\n")
			w := want
			if name == "no stamp" {
				w.AtNS = NotRecorded
			}
			if len(l.Stats) != 1 || !reflect.DeepEqual(l.Stats[0], w) {
				t.Errorf("stats = %+v", l.Stats)
			}
			if l.Start.Known == (name == "no stamp") {
				t.Errorf("start = %+v", l.Start)
			}
		})
	}
}

func TestLogStatLines(t *testing.T) {
	none := func(s StatLine) StatLine {
		s.Line = 1
		return s
	}
	for name, c := range map[string]struct {
		text string
		want StatLine
	}{
		"0.33": {"INFO 11-24 06:40:51 [l.py:1] Engine 003: Avg prompt throughput: 1.0 tokens/s, Avg generation throughput: 2.0 tokens/s, Running: 3 reqs, Waiting: 4 reqs, Deferred: 5 reqs, KV fetch: 1, Preemptions: 6, GPU KV cache usage: 7.0%, Prefix cache hit rate: 8.0%, External prefix cache hit rate: 9.0%, MM cache hit rate: 1.0%",
			StatLine{Engine: 3, PromptRate: 1, OutputRate: 2, Running: 3, Waiting: 4, Deferred: 5, Preemptions: 6, KVUsage: 0.07, PrefixHitRate: 0.08}},
		"V0": {"INFO 11-24 06:40:51 [metrics.py:486] Avg prompt throughput: 1.0 tokens/s, Avg generation throughput: 2.0 tokens/s, Running: 3 reqs, Swapped: 0 reqs, Pending: 4 reqs, GPU KV cache usage: 92.1%, CPU KV cache usage: 0.0%.",
			StatLine{Engine: -1, PromptRate: 1, OutputRate: 2, Running: 3, Waiting: 4, Deferred: -1, Preemptions: -1, KVUsage: 0.921, PrefixHitRate: -1}},
		"nan": {"INFO 11-24 06:40:51 [l.py:1] Engine 000: Avg prompt throughput: nan tokens/s, Avg generation throughput: -1.0 tokens/s, Running: x reqs, GPU KV cache usage: nan%",
			StatLine{Engine: 0, PromptRate: -1, OutputRate: -1, Running: -1, Waiting: -1, Deferred: -1, Preemptions: -1, KVUsage: -1, PrefixHitRate: -1}},
	} {
		t.Run(name, func(t *testing.T) {
			l := readLog(t, c.text+"\n")
			if len(l.Stats) != 1 || !reflect.DeepEqual(l.Stats[0], none(c.want)) {
				t.Errorf("got  %+v\nwant %+v", l.Stats, none(c.want))
			}
		})
	}
	l := readLog(t, "INFO 11-24 06:40:51 [metrics.py:486] Avg prompt throughput: 1.0 tokens/s, Running: 3 reqs\nINFO 11-24 06:40:51 [metrics.py:502] Prefix cache hit rate: GPU: 63.05%, CPU: 0.00%\n")
	near(t, "V0 hit rate", NewFact(l.Stats[0].PrefixHitRate, Source{}), 0.6305, 1e-9)
	// Two writers, one line.
	l = readLog(t, "INFO 07-28 06:41:09 [loggers.py:118] "+statText+"INFO 07-28 06:41:19 [loggers.py:118] "+statText+"(APIServer pid=4) INFO 07-28 06:41:29 [loggers.py:118] "+statText+"\n")
	if len(l.Stats) != 3 || l.Stats[1].AtNS != 10e9 || l.Stats[2].AtNS != 20e9 || l.Stats[0].PrefixHitRate != 0.5 || l.Stats[1].PrefixHitRate != 0.5 {
		t.Errorf("glued lines: %+v", l.Stats)
	}
}

func TestLogSpecAndIterations(t *testing.T) {
	l := readLog(t, `INFO 11-24 06:00:00 [metrics.py:101] SpecDecoding metrics: Mean acceptance length: 3.03, Accepted throughput: 3.87 tokens/s, Drafted throughput: 5.72 tokens/s, Accepted: 337 tokens, Drafted: 498 tokens, Per-position acceptance rate: 0.837, 0.669, 0.524, Avg Draft acceptance rate: 67.7%
INFO 11-24 06:00:10 [metrics.py:61] SpecDecoding metrics: Draft acceptance rate: 58.6%, Mean acceptance length: 2.17, Accepted: 41 tokens, Drafted: 70 tokens, Per-position acceptance rate: 0.743, 0.429
INFO 11-24 06:00:20 [metrics.py:101] Engine 000: SpecDecoding metrics: Mean acceptance length: nan, Accepted: 0 tokens, Drafted: 0 tokens, Per-position acceptance rate: nan, Avg Draft acceptance rate: nan%
(APIServer pid=1) INFO 11-24 06:00:21 [loggers.py:1] Engine 001: Iteration(17): 9 context requests, 8155 context tokens, 37 generation requests, 37 generation tokens, iteration elapsed time: 26.35 ms, GPU KV cache usage: 12.3%
(EngineCore_DP2 pid=7) INFO 11-24 06:00:22 [core.py:1] Iteration(18): 0 context requests, 0 context tokens, 1 generation requests, 1 generation tokens, iteration elapsed time: 1.50 ms (dummy)
INFO 11-24 06:00:23 [core.py:1] Iteration(19
`)
	spec := []SpecLine{
		{0, 3.03, 3.87, 5.72, 337, 498, 0.677, []float64{0.837, 0.669, 0.524}, 1},
		{10e9, 2.17, -1, -1, 41, 70, 0.586, []float64{0.743, 0.429}, 2},
		{20e9, -1, -1, -1, 0, 0, -1, nil, 3},
	}
	for i := range spec {
		got := l.SpecDecode[i]
		if fmt.Sprintf("%.6v", got) != fmt.Sprintf("%.6v", spec[i]) {
			t.Errorf("got  %+v\nwant %+v", got, spec[i])
		}
	}
	its := []Iteration{
		{21e9, 1, 17, 9, 8155, 37, 37, 26_350_000, 0.123, false, 4},
		{22e9, 2, 18, 0, 0, 1, 1, 1_500_000, -1, true, 5},
	}
	if !reflect.DeepEqual(l.Iterations, its) {
		t.Errorf("iterations = %+v", l.Iterations)
	}
}

const start085 = `INFO 05-02 10:00:00 [__init__.py:239] Automatically detected platform cuda.
INFO 05-02 10:00:05 [api_server.py:1043] vLLM API server version 0.8.5.post1
INFO 05-02 10:00:05 [api_server.py:1044] args: Namespace(subparser='serve', model='Qwen/Qwen2.5-7B', api_key=['sk-verysecretkey'], hf_token='hf_abcdefghijklmnopqrstuv', max_num_seqs=128, max_num_batched_tokens=None, tensor_parallel_size=2, served_model_name=['qwen'], enforce_eager=False)
INFO 05-02 10:00:12 [config.py:717] This model supports multiple tasks: {'generate'}. Defaulting to 'generate'.
INFO 05-02 10:00:12 [config.py:2003] Chunked prefill is enabled with max_num_batched_tokens=2048.
INFO 05-02 10:00:20 [core.py:58] Initializing a V1 LLM engine (v0.8.5.post1) with config: model='Qwen/Qwen2.5-7B', speculative_config=None, tokenizer='a, b=(c', dtype=torch.float16, max_seq_len=32768, download_dir=None, load_format=LoadFormat.AUTO, tensor_parallel_size=2, pipeline_parallel_size=1, disable_custom_all_reduce=True, quantization=gptq, enforce_eager=False, kv_cache_dtype=fp8,  device_config=cuda, decoding_config=DecodingConfig(guided_decoding_backend='auto', reasoning_backend=None), seed=None, served_model_name=qwen, enable_prefix_caching=True, chunked_prefill_enabled=True, use_async_output_proc=True, pooler_config=None, compilation_config={"level":3,"custom_ops":["none"],"splitting_ops":["vllm.unified_attention"],"use_inductor":true,"compile_sizes":[],"use_cudagraph":true,"cudagraph_num_of_warmups":1,"cudagraph_capture_sizes":[8,4,2,1],"max_capture_size":8}
(VllmWorker rank=0 pid=100) INFO 05-02 10:00:30 [cuda.py:221] Using Flash Attention backend on V1 engine.
(VllmWorker rank=0 pid=100) INFO 05-02 10:00:40 [loader.py:458] Loading weights took 5.00 seconds
(VllmWorker rank=1 pid=101) INFO 05-02 10:00:42 [loader.py:458] Loading weights took 6.00 seconds
(VllmWorker rank=0 pid=100) INFO 05-02 10:00:41 [gpu_model_runner.py:1329] Model loading took 7.1 GiB and 9.000000 seconds
(VllmWorker rank=1 pid=101) INFO 05-02 10:00:43 [gpu_model_runner.py:1329] Model loading took 7.2 GiB and 10.000000 seconds
(VllmWorker rank=0 pid=100) INFO 05-02 10:00:53 [backends.py:430] Dynamo bytecode transform time: 9.80 s
(VllmWorker rank=0 pid=100) INFO 05-02 10:01:10 [backends.py:144] Compiling a graph for general shape takes 17.00 s
(VllmWorker rank=0 pid=100) INFO 05-02 10:01:20 [monitor.py:33] torch.compile takes 30.00 s in total
INFO 05-02 10:01:25 [kv_cache_utils.py:634] GPU KV cache size: 1,131,008 tokens
INFO 05-02 10:01:25 [kv_cache_utils.py:637] Maximum concurrency for 32,768 tokens per request: 34.52x
INFO 05-02 10:01:25 [kv_cache_utils.py:634] GPU KV cache size: 1,131,000 tokens
INFO 05-02 10:01:25 [kv_cache_utils.py:637] Maximum concurrency for 32,768 tokens per request: 34.51x
(VllmWorker rank=0 pid=100) INFO 05-02 10:01:50 [gpu_model_runner.py:1686] Graph capturing finished in 24 secs, took 0.45 GiB
INFO 05-02 10:01:51 [core.py:159] init engine (profile, create kv cache, warmup model) took 68.00 seconds
INFO 05-02 10:01:53 [api_server.py:1090] Starting vLLM API server on http://0.0.0.0:8000
INFO:     Application startup complete.
`

func TestLog085(t *testing.T) {
	l := readLog(t, start085)
	e := l.Engine
	got := fmt.Sprint(e.Name, e.Version, e.Model, e.ServedModelName, e.DType, e.Quantization, e.KVCacheDType, e.LoadFormat, e.AttentionBackend, e.MaxModelLen, e.MaxNumSeqs, e.MaxNumBatchedTokens,
		e.AsyncScheduling, e.EnforceEager, e.PrefixCaching, e.V2Runner, e.CustomAllReduce, e.WeightsGiB, e.KVCacheTokens, e.MaxConcurrency, e.CompilationMode, e.CudagraphMode, e.CaptureSizes, e.TensorParallel, e.SpecDecode, e.GraphMemoryGiB)
	want := fmt.Sprint("vllm ", "0.8.5.post1 ", "Qwen/Qwen2.5-7B ", "qwen ", "float16 ", "gptq ", "fp8 ", "AUTO ", "FLASH_ATTN ", "32768 ", "128 ", "2048 ",
		"not recorded ", "false ", "true ", "not recorded ", "false ", "7.2 ", "1131000 ", "34.51 ", "VLLM_COMPILE ", "PIECEWISE ", "[1 2 4 8] ", "2 ", "none ", "0.45")
	if got != want {
		t.Errorf("engine\ngot  %s\nwant %s", got, want)
	}
	if s := e.NonDefaultArgs.Value; strings.Contains(s, "sk-very") || strings.Contains(s, "hf_abc") || !strings.Contains(s, "max_num_batched_tokens=None") {
		t.Errorf("args = %s", s)
	}
	if got := e.DType.Source.String(); got != "server.log:6: config.dtype" {
		t.Errorf("source = %s", got)
	}
	type p struct {
		id      string
		at, dur float64
		stated  bool
		workers int
	}
	var phases []p
	for _, x := range l.Phases {
		phases = append(phases, p{x.ID, float64(x.AtNS) / 1e9, float64(x.DurNS) / 1e9, x.Stated, x.Workers})
	}
	wantPhases := []p{
		{PhaseStart, 0, 20, false, 1},
		{PhaseLoad, 32, 11, true, 2},
		{PhaseWeights, 35, 7, true, 2},
		{PhaseEngineInit, 43, 68, true, 1},
		{PhaseDynamo, 43.2, 9.8, true, 1},
		{PhaseCompile, 50, 30, true, 1},
		{PhaseInductor, 53, 17, true, 1},
		{PhaseKVSizing, 80, 5, false, 1},
		{PhaseGraphCapture, 86, 24, true, 1},
		{PhaseWarmUp, 110, 1, false, 1},
		{PhaseAPIStart, 111, 2, false, 1},
		{PhaseReady, 113, 0, false, 1},
	}
	if !reflect.DeepEqual(phases, wantPhases) {
		t.Errorf("phases\ngot  %v\nwant %v", phases, wantPhases)
	}
}

func TestLogEngineVariants(t *testing.T) {
	config := func(s string) string {
		return "INFO 11-24 06:00:00 [core.py:1] Initializing a V1 LLM engine (v0.20.1rc1.dev91+ga749a33d8) with config: " + s + "\n"
	}
	for name, c := range map[string]struct {
		text string
		get  func(EngineInfo) any
		want string
	}{
		"full and piecewise": {config("compilation_config={'mode': <CompilationMode.VLLM_COMPILE: 3>, 'cudagraph_mode': <CUDAGraphMode.FULL_AND_PIECEWISE: (2, 1)>, 'cudagraph_capture_sizes': [1, 2]}"), func(e EngineInfo) any { return e.CudagraphMode }, "FULL_AND_PIECEWISE"},
		"numbers":            {config(`compilation_config={"level":3,"cudagraph_mode":[2,0]}`), func(e EngineInfo) any { return e.CudagraphMode }, "FULL_DECODE_ONLY"},
		"one number":         {config(`compilation_config={"level":3,"cudagraph_mode":1}`), func(e EngineInfo) any { return e.CudagraphMode }, "PIECEWISE"},
		"old eager":          {config(`enforce_eager=True, compilation_config={"level":0,"use_cudagraph":false}`), func(e EngineInfo) any { return e.CudagraphMode }, "NONE"},
		"mode none":          {config("compilation_config={'mode': <CompilationMode.NONE: 0>}"), func(e EngineInfo) any { return e.CompilationMode }, "NONE"},
		"engine lowers mode": {config("compilation_config={'cudagraph_mode': <CUDAGraphMode.FULL_AND_PIECEWISE: (2, 1)>}") + "WARNING 11-24 06:00:01 [gpu_model_runner.py:4199] CUDAGraphMode.FULL_AND_PIECEWISE is not supported with TritonMLABackend backend; setting cudagraph_mode=PIECEWISE because attention is compiled piecewise\n", func(e EngineInfo) any { return e.CudagraphMode }, "PIECEWISE"},
		"speculation":        {config("speculative_config=SpeculativeConfig(method='mtp', model='/m', num_spec_tokens=3), quantization=fp8, quantization_config=None"), func(e EngineInfo) any { return fmt.Sprint(e.SpecDecode, e.SpecDecodeTokens, e.Quantization) }, "mtp 3 fp8"},
		"core":               {config("model='m'"), func(e EngineInfo) any { return e.Core }, "V1"},
		"core V0":            {strings.Replace(config("model='m'"), "V1", "V0", 1), func(e EngineInfo) any { return e.Core }, "V0"},
		"blocks":             {"INFO 11-24 06:00:00 [loggers.py:147] Engine 000: vllm cache_config_info with initialization after num_gpu_blocks is: 52510\n", func(e EngineInfo) any { return e.KVCacheBlocks }, "52510"},
		"version":            {config("model='m'"), func(e EngineInfo) any { return e.Version }, "0.20.1rc1.dev91+ga749a33d8"},
		"cut config":         {config("model='m', dtype=torch.bfloat16, tokenizer='unclosed"), func(e EngineInfo) any { return e.DType }, "bfloat16"},
		"v1 runner":          {"WARNING 11-24 06:00:00 [vllm.py:534] Model Runner V2 requires Triton; using the V1 model runner instead.\n" + config("model='m'"), func(e EngineInfo) any { return e.V2Runner }, "false"},
		"async off":          {"INFO 11-24 06:00:00 [vllm.py:1] Asynchronous scheduling is disabled.\n", func(e EngineInfo) any { return e.AsyncScheduling }, "false"},
		"backend enum":       {"INFO 11-24 06:00:00 [cuda.py:1] Using AttentionBackendEnum.FLASHINFER backend.\n", func(e EngineInfo) any { return e.AttentionBackend }, "FLASHINFER"},
		"backend XFormers":   {"INFO 11-24 06:00:00 [cuda.py:1] Using XFormers backend.\n", func(e EngineInfo) any { return e.AttentionBackend }, "XFORMERS"},
		"backend head size":  {"INFO 11-24 06:00:00 [cuda.py:1] Using FlexAttention backend for head_size=72 on V1 engine.\n", func(e EngineInfo) any { return e.AttentionBackend }, "FLEX_ATTENTION"},
		"moe backend":        {"INFO 11-24 06:00:00 [moe.py:1] Using TRITON Unquantized MoE backend out of potential backends: ['TRITON'].\n", func(e EngineInfo) any { return fmt.Sprint(e.MoEBackend, e.AttentionBackend) }, "TRITON not recorded"},
		"moe backend quoted": {"INFO 11-24 06:00:00 [moe.py:1] Using 'FLASHINFER_CUTLASS' Fp8 MoE backend out of potential backends: ['A'].\n", func(e EngineInfo) any { return e.MoEBackend }, "FLASHINFER_CUTLASS"},
		"other backend":      {config("model='m'") + "INFO 11-24 06:00:00 [x.py:1] Using NCCL all-reduce backend.\n", func(e EngineInfo) any { return e.AttentionBackend }, "not recorded"},
		"one line KV":        {"INFO 11-24 06:00:00 [kv.py:1] GPU KV cache size: 450,336 tokens, maximum concurrency for 4,096 tokens per request: 109.95x\n", func(e EngineInfo) any { return fmt.Sprint(e.KVCacheTokens, e.MaxConcurrency) }, "450336 109.95"},
		"V0 blocks":          {"INFO 11-24 06:00:00 [executor_base.py:112] # cuda blocks: 28123, # CPU blocks: 2048\n", func(e EngineInfo) any { return e.KVCacheBlocks }, "28123"},
		"pool memory":        {"INFO 11-24 06:00:00 [gpu_worker.py:1] CUDA graph pool memory: 0.46 GiB (actual), 0.62 GiB (estimated), difference: 0.16 GiB (35.0%).\n" + config(""), func(e EngineInfo) any { return e.GraphMemoryGiB }, "0.46"},
		"asked for seqs":     {"INFO 11-24 06:00:00 [a.py:1] non-default args: {'model': 'm', 'max_num_seqs': 4, 'compilation_config': {'mode': None, 'x': <A.B: 'c'>}, 'kv_cache_dtype': 'fp8', 'api_key': 'abc'}\n", func(e EngineInfo) any { return fmt.Sprint(e.MaxNumSeqs, e.KVCacheDType, e.Model) }, "4 fp8 m"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := fmt.Sprint(c.get(readLog(t, c.text).Engine)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestLogNotices(t *testing.T) {
	l := readLog(t, `(APIServer pid=1) INFO 11-24 06:00:00 [a.py:1] vLLM API server version 0.24.0
WARNING 11-24 06:00:01 [envs.py:1] Unknown vLLM environment variable detected: VLLM_WORKER_MULTIPROCESSING_METHOD
WARNING 11-24 06:00:02 [fused_moe.py:1] Using default MoE config. Performance might be sub-optimal! Config file not found at /x/E=8.json
INFO:     Application startup complete.
(EngineCore pid=2) WARNING 11-24 06:00:10 [jit_monitor.py:103] Triton kernel JIT compilation during inference: _zero_kv_blocks_kernel. This causes a latency spike; consider extending warmup.
(EngineCore pid=2) WARNING 11-24 06:00:12 [jit_monitor.py:103] Triton kernel JIT compilation during inference: _zero_kv_blocks_kernel. This causes a latency spike; consider extending warmup.
WARNING 11-24 06:00:13 [scheduler.py:1] Sequence group chatcmpl-1 is preempted by PreemptionMode.RECOMPUTE mode because there is not enough KV cache space.
WARNING 11-24 06:00:14 [scheduler.py:1] Sequence group chatcmpl-22 is preempted by PreemptionMode.RECOMPUTE mode because there is not enough KV cache space.
(EngineCore pid=2) ERROR 11-24 06:00:20 [core.py:1] Traceback (most recent call last):
(EngineCore pid=2) ERROR 11-24 06:00:20 [core.py:1]   File "/x/core.py", line 1, in run
(EngineCore pid=2) ERROR 11-24 06:00:20 [core.py:1]     ^^^^^^^^^
(EngineCore pid=2) ERROR 11-24 06:00:20 [core.py:1] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.
ValueError: No available memory for the cache blocks. Try increasing gpu_memory_utilization when initializing the engine.
(APIServer pid=1) ERROR 11-24 06:00:21 [x.py:1] request failed, prompt: 'private', api_key=topsecretvalue
(EngineCore pid=2) INFO 11-24 06:00:22 [shm.py:1] No available shared memory broadcast block found in 60 seconds.
`)
	type n struct {
		category, level string
		n               int64
		serving         bool
		line            int
	}
	var got []n
	for _, x := range l.Notices {
		got = append(got, n{x.Category, x.Level, x.N, x.Serving, x.Source.Line})
	}
	want := []n{
		{NoticeUnknownEnv, "WARNING", 1, false, 2},
		{NoticeMoEConfig, "WARNING", 1, false, 3},
		{NoticeJIT, "WARNING", 2, true, 5},
		{NoticePreemption, "WARNING", 2, true, 7},
		{NoticeOOM, "ERROR", 1, true, 12},
		{NoticeNoKVMemory, "ERROR", 1, true, 13},
		{NoticeOther, "ERROR", 1, true, 14},
		{NoticeTimeout, "WARNING", 1, true, 15},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("notices\ngot  %v\nwant %v", got, want)
	}
	if text := l.Notices[6].Text; strings.Contains(text, "private") || strings.Contains(text, "topsecret") {
		t.Errorf("text = %s", text)
	}
	if j := l.FirstNotice(NoticeJIT); j.FirstNS != 10e9 || j.LastNS != 12e9 {
		t.Errorf("%+v", j)
	}
}

func TestLogRestarts(t *testing.T) {
	one := func(version, from string) string {
		return "(APIServer pid=" + from + ") INFO 11-24 06:0" + from + ":00 [a.py:1] vLLM API server version " + version + "\n" +
			"(APIServer pid=" + from + ") INFO 11-24 06:0" + from + ":00 [a.py:1] non-default args: {'model': 'm" + from + "'}\n" +
			"(APIServer pid=" + from + ") INFO 11-24 06:0" + from + ":10 [loggers.py:1] " + statText + "\n"
	}
	l := readLog(t, one("0.1.0", "1")+one("0.2.0", "2"))
	if l.Engine.Version.Value != "0.2.0" || l.Engine.Model.Value != "m2" || len(l.Stats) != 1 || l.Stats[0].AtNS != 70e9 || !reflect.DeepEqual(ids(l.Warnings), []string{"several-starts"}) {
		t.Errorf("%+v %v", l.Engine, l.Warnings)
	}
}

func TestLogClock(t *testing.T) {
	at := func(stamps ...string) *Log {
		text := ""
		for _, s := range stamps {
			text += "INFO " + s + " [loggers.py:1] " + statText + "\n"
		}
		return readLog(t, text)
	}
	l := at("12-31 23:59:50", "01-01 00:00:10")
	if l.Stats[1].AtNS != 20e9 {
		t.Errorf("over New Year: %d", l.Stats[1].AtNS)
	}
	l = at("11-24 06:00:10", "11-24 06:00:09", "11-24 06:00:12")
	if l.Stats[1].AtNS != 0 || l.Stats[2].AtNS != 2e9 || len(l.Warnings) > 0 {
		t.Errorf("out of order by a second: %+v %v", l.Stats, l.Warnings)
	}
	l = at("11-24 06:10:00", "11-24 06:00:00")
	if !reflect.DeepEqual(ids(l.Warnings), []string{"clock-step"}) {
		t.Errorf("ten minutes back: %v", l.Warnings)
	}
	l = at("11-24 06:00:00")
	ref := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	if got := l.Wall(5e9, ref, time.FixedZone("", 3600)); got.UTC().Format(time.RFC3339) != "2026-11-24T05:00:05Z" {
		t.Errorf("wall = %v", got)
	}
	l = at("12-31 23:00:00")
	if got := l.Wall(0, time.Date(2027, 1, 1, 1, 0, 0, 0, time.UTC), nil); got.Year() != 2026 {
		t.Errorf("wall before New Year = %v", got)
	}
	if !l.Wall(-1, ref, nil).IsZero() {
		t.Error("a moment that is not recorded has a wall time")
	}
	l = readLog(t, "2026-11-24T06:40:51.5+01:00 INFO 11-24 05:40:51 [loggers.py:1] "+statText+"\n2026-11-24T06:40:52.25+01:00 INFO 11-24 05:40:52 [loggers.py:1] "+statText+"\n")
	if got := l.Wall(l.Stats[1].AtNS, time.Time{}, nil); l.Stats[1].AtNS != 750e6 || got.UTC().Format(time.RFC3339Nano) != "2026-11-24T05:40:52.25Z" {
		t.Errorf("collector's stamps: %d, %v", l.Stats[1].AtNS, got)
	}
	for _, bad := range []string{"13-01 00:00:00", "00-10 00:00:00", "11-32 00:00:00", "11-24 24:00:00", "11-24 06:60:00", "1x-24 06:00:00"} {
		if l, err := ReadLog("l", strings.NewReader("INFO "+bad+" [loggers.py:1] "+statText+"\n")); err == nil && l.Start.Known {
			t.Errorf("%s is a stamp", bad)
		}
	}
}

const sglangLog = `[2025-11-24 06:11:28] server_args=ServerArgs(model_path='meta/llama', tokenizer_path='meta/llama', api_key='verysecret', dtype='auto', quantization=None, kv_cache_dtype='fp8_e5m2', context_length=None, max_running_requests=128, chunked_prefill_size=8192, tp_size=2, dp_size=1, attention_backend='fa3', disable_radix_cache=False, disable_cuda_graph=False, cuda_graph_bs=[4, 2, 1], speculative_algorithm=None, disable_overlap_schedule=True)
[2025-11-24 06:11:36 TP0] Load weight begin. avail mem=78.50 GB
[2025-11-24 06:11:40 TP0] Load weight end. elapsed=3.50 s, type=LlamaForCausalLM, dtype=torch.bfloat16, avail mem=61.90 GB, mem usage=14.98 GB.
[2025-11-24 06:11:41 TP0] KV Cache is allocated. #tokens: 452516, K size: 27.62 GB, V size: 27.62 GB
[2025-11-24 06:11:42 TP0] Capture cuda graph begin. This can take up to several minutes. avail mem=5.00 GB
[2025-11-24 06:11:52 TP0] Capture cuda graph end. Time elapsed: 9.50 s. mem usage=1.20 GB. avail mem=3.80 GB.
[2025-11-24 06:11:53 TP0] max_total_num_tokens=452516, chunked_prefill_size=8192, max_prefill_tokens=16384, max_running_requests=128, context_len=131072, available_gpu_mem=3.80 GB
INFO:     Application startup complete.
[2025-11-24 06:11:54] The server is fired up and ready to roll!
[2025-11-24 06:12:00 TP0] Prefill batch, #new-seq: 4, #new-token: 2048, #cached-token: 16, token usage: 0.02, #running-req: 3, #queue-req: 7, input throughput (token/s): 1234.50, cuda graph: False
[2025-11-24 06:12:01 TP0] Decode batch [40], #running-req: 7, #token: 4096, token usage: 0.03, accept len: 2.50, accept rate: 0.80, cuda graph: True, gen throughput (token/s): 812.30, #queue-req: 1
[2025-11-24 06:12:02 TP0] INFO scheduler_metrics_mixin.py:222: Decode batch. #running-req: 7, #full token: 4096, full token usage: 0.04, mamba num: 1, mamba usage: 0.50, gen throughput (token/s): 812.30, #queue-req: 1
[2025-11-24 06:12:03 TP0] KV cache pool is full. Retract requests. #retracted_reqs: 1, #new_token_ratio: 0.5 -> 0.6
[2025-11-24 06:12:04] WARNING model_config.py:1098: Something odd
`

func TestSGLangLog(t *testing.T) {
	l := readLog(t, sglangLog)
	e := l.Engine
	got := fmt.Sprint(e.Name, e.Model, e.Arch, e.DType, e.Quantization, e.KVCacheDType, e.AttentionBackend, e.MaxModelLen, e.MaxNumSeqs, e.MaxNumBatchedTokens, e.AsyncScheduling, e.PrefixCaching, e.TensorParallel, e.KVCacheTokens, e.KVCacheGiB, e.WeightsGiB, e.GraphMemoryGiB, e.CaptureSizes, e.SpecDecode)
	want := "sglang meta/llama LlamaForCausalLM bfloat16 none fp8_e5m2 fa3 131072 128 8192 false true 2 452516 55.24 14.98 1.2 [1 2 4] none"
	if got != want {
		t.Errorf("engine\ngot  %s\nwant %s", got, want)
	}
	if strings.Contains(e.NonDefaultArgs.Value, "verysecret") {
		t.Error("secret kept")
	}
	batches := []BatchLine{
		{32e9, true, 4, 2048, 16, 3, 7, -1, 0.02, 1234.5, -1, 0, 10},
		{33e9, false, -1, -1, -1, 7, 1, 4096, 0.03, 812.3, 2.5, 1, 11},
		{34e9, false, -1, -1, -1, 7, 1, 4096, 0.04, 812.3, -1, -1, 12},
	}
	if !reflect.DeepEqual(l.Batches, batches) {
		t.Errorf("batches = %+v", l.Batches)
	}
	if n := l.FirstNotice(NoticeKVPressure); n == nil || !n.Serving || l.FirstNotice(NoticeOther) == nil {
		t.Errorf("notices = %+v", l.Notices)
	}
	if p := l.Phase(PhaseReady); p == nil || p.AtNS != 26e9 {
		t.Errorf("ready = %+v", p)
	}
	if p := l.Phase(PhaseGraphCapture); p == nil || p.DurNS != 9.5e9 {
		t.Errorf("graph capture = %+v", p)
	}
	if !l.Start.HasYear || l.Wall(0, time.Time{}, nil).Format("2006-01-02 15:04") != "2025-11-24 06:11" {
		t.Errorf("start = %+v", l.Start)
	}
}

func TestLogRequestsAreNotKept(t *testing.T) {
	l := readLog(t, "INFO 05-11 18:04:22 [logger.py:39] Received request chatcmpl-1: prompt: 'private INFO 05-11 18:04:22 [x.py:1] Avg prompt throughput: 1.0 tokens/s', params: SamplingParams(n=1)\nINFO 05-11 18:04:23 [l.py:1] "+statText+"\n")
	if l.RequestsReceived != 1 || len(l.Stats) != 1 {
		t.Errorf("received %d, stats %+v", l.RequestsReceived, l.Stats)
	}
	if readLog(t, "INFO 05-11 18:04:23 [l.py:1] "+statText).RequestsReceived != NotRecorded {
		t.Error("no request logging is not zero requests")
	}
}

func TestLogMalformed(t *testing.T) {
	for name, text := range map[string]string{
		"empty":     "",
		"other log": "INFO 11-24 06:11:28 [main.py:7] hello\n",
		"json":      `{"a": 1}`,
		"binary":    "\x00\x01\x02\xff\n",
		"newlines":  "\n\n\r\r\n",
		"escape":    "\x1b",
		"open CSI":  "\x1b[",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ReadLog("server.log", strings.NewReader(text)); !errors.Is(err, ErrUnrecognised) || !strings.Contains(err.Error(), "server.log") {
				t.Errorf("error = %v", err)
			}
		})
	}
}

func TestLogLongLine(t *testing.T) {
	l := readLog(t, "INFO 05-11 18:04:23 [l.py:1] "+statText+"\nINFO 05-11 18:04:24 [l.py:1] x"+strings.Repeat("y", 3<<20)+"\nINFO 05-11 18:04:25 [l.py:1] "+statText+"\n")
	if len(l.Stats) != 2 || l.Stats[1].Line != 3 || !reflect.DeepEqual(ids(l.Warnings), []string{"long-lines"}) {
		t.Errorf("%+v %v", l.Stats, l.Warnings)
	}
}

func TestPyPairs(t *testing.T) {
	for text, want := range map[string]string{
		`a=1, b=C(x=1, y=[2, 3]), c='d, e=f'`: "a|1;b|C(x=1, y=[2, 3]);c|'d, e=f'",
		`a=1) tail, b=2`:                      "a|1",
		`a='open, b=1`:                        "a|'open, b=1",
		`a=<E.F: (1, 2)>, b=None`:             "a|<E.F: (1, 2)>;b|None",
		`, ,a`:                                "",
		`a="it's", b='say \'x\', y'`:          `a|"it's";b|'say \'x\', y'`,
		``:                                    "",
	} {
		var got []string
		pyPairs(text, '=', func(k, v string) { got = append(got, k+"|"+v) })
		if strings.Join(got, ";") != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestMask(t *testing.T) {
	for in, want := range map[string]string{
		"--api-key abc --port 80":                       "--api-key *** --port 80",
		"--api-key=abc --port 80":                       "--api-key=*** --port 80",
		"--api-key a1 a2 --port 80":                     "--api-key *** --port 80",
		"{'api_key': ['x', 'y'], 'port': 80}":           "{'api_key': ***, 'port': 80}",
		"api_key=None, hf_token=None":                   "api_key=None, hf_token=None",
		"HF_TOKEN=hf_abcdefgh vllm serve m":             "HF_TOKEN=*** vllm serve m",
		"AWS_SECRET_ACCESS_KEY=a/b+c x":                 "AWS_SECRET_ACCESS_KEY=*** x",
		"max_num_batched_tokens=8192, tokenizer='a'":    "max_num_batched_tokens=8192, tokenizer='a'",
		"--max-num-batched-tokens 8192 --tokenizer x":   "--max-num-batched-tokens 8192 --tokenizer x",
		"'num_speculative_tokens': 3, 'token_usage': 1": "'num_speculative_tokens': 3, 'token_usage': 1",
		"http://user:pw@host:1/x":                       "http://***@host:1/x",
		"Authorization: Bearer abcdefghijk":             "Authorization: ***",
		"use hf_abcdefghijklmnopqrst now":               "use *** now",
		"GPU KV cache usage: 4.3%, key: value":          "GPU KV cache usage: 4.3%, key: value",
		`"password": "a\"b", "x": 1`:                    `"password": ***, "x": 1`,
		"--ssl-keyfile-password pw -tp 2":               "--ssl-keyfile-password *** -tp 2",
	} {
		if got := mask(in); got != want {
			t.Errorf("mask(%s)\n got %s\nwant %s", in, got, want)
		}
	}
}
