package knob

import (
	"slices"
	"strings"
	"testing"
)

// Every row of the table of names that guides get wrong: what is written, what kind of mistake it is, and the real names
// that the answer must give.
func TestLookupAnswersNamesThatGuidesGetWrong(t *testing.T) {
	for _, c := range []struct {
		asked string
		kind  MatchKind
		real  []string
		says  string
	}{
		{"--batch_size", WrongName, []string{"--max-num-seqs", "--max-num-batched-tokens"}, "bench latency"},
		{"--batch-size", WrongName, []string{"--max-num-seqs", "--max-num-batched-tokens"}, ""},
		{"max_batch_size", WrongName, []string{"--max-num-seqs", "--max-num-batched-tokens"}, "TensorRT-LLM"},
		{"--rope_scaling", Removed, []string{"--hf-overrides"}, "up to 0.11.0, gone by 0.12.0"},
		{"--rope-theta", Removed, []string{"--hf-overrides"}, "gone by 0.12.0"},
		{"--flash_attention", WrongName, []string{"--attention-backend", "--attention-config", "VLLM_ATTENTION_BACKEND"}, ""},
		{"--flash-attn", WrongName, []string{"--attention-backend"}, ""},
		{"VLLM_ATTENTION_BACKEND", Removed, []string{"--attention-backend"}, "0.14"},
		{"--tensor_parallelism", WrongName, []string{"--tensor-parallel-size"}, ""},
		{"--pipeline_parallelism", WrongName, []string{"--pipeline-parallel-size"}, ""},
		{"--kv_cache_dtype fp16", WrongValue, []string{"--kv-cache-dtype"}, ""},
		{"--kv_cache_dtype int8", WrongValue, []string{"--kv-cache-dtype"}, ""},
		{"--kv-cache-dtype=int8", WrongValue, []string{"--kv-cache-dtype"}, ""},
		{"--calculate-kv-scales", Removed, []string{"--kv-cache-dtype"}, "up to 0.24.0, gone by 0.28.0"},
		{"max_seq_len", WrongName, []string{"--max-model-len"}, ""},
		{"--max-seq-len", WrongName, []string{"--max-model-len"}, "--max-seq-len-to-capture"},
		{"--max-seq-len-to-capture", Removed, []string{"--max-cudagraph-capture-size", "--cuda-graph-sizes"}, "0.8.5"},
		{"--cuda-graph-sizes", Removed, []string{"--cudagraph-capture-sizes"}, "0.12.0"},
		{"num_concurrent", WrongName, []string{"--max-num-seqs", "--max-concurrency"}, ""},
		{"--concurrency", WrongName, []string{"--max-num-seqs", "--max-concurrency"}, ""},
		{"--dtype=float16", Exact, nil, ""},
		{"--dtype=bfloat16", Exact, nil, ""},
		{"--quantization int8", WrongValue, []string{"--quantization"}, "compressed-tensors"},
		{"-q int8", WrongValue, []string{"--quantization"}, ""},
		{"--quantization awq", Misused, []string{"--quantization"}, "Marlin"},
		{"--quantization gptq", Misused, []string{"--quantization"}, "Marlin"},
		{"--scheduler=bh", WrongName, []string{"--async-scheduling", "--scheduling-policy", "--scheduler-cls"}, "ambiguous"},
		{"--scheduler=async", WrongName, []string{"--async-scheduling"}, ""},
		{"--num-scheduler-steps", Removed, []string{"--async-scheduling"}, "0.8.5"},
		{"--max_wait_time=1ms", WrongName, []string{"--prefill-schedule-interval", "--max-num-queued-tokens", "--scheduler-delay-factor"}, "Triton"},
		{"max_queue_delay", WrongName, []string{"--prefill-schedule-interval"}, ""},
		{"--swap-space", Removed, []string{"--kv-offloading-size"}, "up to 0.16.0"},
		{"--preemption-mode", Removed, nil, "gone by 0.11.0"},
		{"--use-v2-block-manager", Removed, nil, "gone by 0.11.0"},
		{"--tokenizer-pool-size", Removed, nil, "gone by 0.11"},
		{"--device", Removed, nil, "gone by 0.11.0"},
		{"--max-num-partial-prefills", Removed, []string{"--long-prefill-token-threshold"}, "gone by 0.28.0"},
		{"--max-long-partial-prefills", Removed, []string{"--long-prefill-token-threshold"}, "gone by 0.28.0"},
		{"--disable-log-requests", Removed, []string{"--enable-log-requests"}, "up to 0.16.0"},
		{"--task", Removed, []string{"--runner", "--convert"}, "gone by 0.13"},
		{"--guided-decoding-backend", Removed, []string{"--structured-outputs-config"}, "0.8.5"},
		{"--enable-reasoning", Removed, []string{"--reasoning-parser"}, "0.8.5"},
		{"VLLM_USE_FLASHINFER_MOE_FP8", Removed, []string{"--moe-backend"}, "0.20"},
		{"VLLM_USE_FLASHINFER_MOE_*", Removed, []string{"--moe-backend"}, ""},
		{"VLLM_WORKER_MULTIPROCESSING_METHOD", WrongName, []string{"VLLM_WORKER_MULTIPROC_METHOD"}, "warns"},
		{"VLLM_TORCH_PROFILER_DIR", Removed, []string{"--profiler-config"}, "gone by 0.16"},
		{"HF_TRACE=1", WrongName, []string{"--profiler-config", "VLLM_TRACE_FUNCTION", "--otlp-traces-endpoint"}, "never"},
		{"HF_TRACE", WrongName, []string{"--profiler-config"}, ""},
		{"vllm serve --model OpenAI/gpt-4o", Misused, []string{"--model"}, "no public weights"},
		{"--gpu-memory-utilization 0.9", Misused, []string{"--gpu-memory-utilization"}, "0.92"},
		{"nsys stats --display=NVIDIA_GPU --delimiter=,", OtherTool, []string{"--report", "--format"}, "no such options"},
		{"nsys stats --display", OtherTool, []string{"--report"}, ""},
		{"nsys stats --report gpukernsum,cudaapisum", OtherTool, []string{"cuda_gpu_kern_sum", "cuda_api_sum"}, "2022.4"},
		{"sys graph -f json", OtherTool, []string{"--type"}, "no such program"},
		{"sys graph", OtherTool, []string{"--type"}, ""},
		{"nsys profile vllm serve M", OtherTool, []string{"--cuda-graph-trace", "--trace-fork-before-exec", "--capture-range"}, "granularity"},
		{"--enable-layerwise-nvtx-tracing", Misused, []string{"--profiler-config"}, "V2"},
		{"ncu -o ncu.traces --set full vllm serve", OtherTool, []string{"--kernel-name", "--profile-from-start"}, "replay"},
		{"gpu_cache_usage_perc", Removed, []string{"vllm:kv_cache_usage_perc"}, "up to 0.11.0"},
		{"vllm:gpu_prefix_cache_hits_total", Removed, []string{"vllm:prefix_cache_hits_total"}, "up to 0.11.0"},
		{"time_per_output_token_seconds", Removed, []string{"vllm:request_time_per_output_token_seconds", "vllm:inter_token_latency_seconds"}, "up to 0.11.0"},
		// Flags that went between two inspected versions.
		{"--disable-async-output-proc", Removed, nil, "V0"},
		{"--multi-step-stream-outputs", Removed, nil, "V0"},
		{"--scheduler-delay-factor", Removed, []string{"--prefill-schedule-interval"}, "0.8.5"},
		{"--lora-extra-vocab-size", Removed, nil, "0.11"},
		{"--num-lookahead-slots", Removed, nil, "V0"},
		{"--eplb-window-size", Removed, []string{"--eplb-config"}, "0.11"},
		{"--num-redundant-experts", Removed, []string{"--eplb-config"}, "0.11"},
		{"--override-attention-dtype", Removed, []string{"--attention-config"}, "0.28"},
	} {
		e, m := Lookup(c.asked)
		if m.Kind != c.kind {
			t.Errorf("%s: %s, want %s (%+v)", c.asked, m.Kind, c.kind, m)
			continue
		}
		var got []string
		for _, r := range m.Real {
			got = append(got, r.Name)
		}
		for _, want := range c.real {
			if !slices.Contains(got, want) {
				t.Errorf("%s: answers %q, lacks %s", c.asked, got, want)
			}
		}
		if !strings.Contains(m.Reason, c.says) {
			t.Errorf("%s: reason %q lacks %q", c.asked, m.Reason, c.says)
		}
		if c.kind != Exact && m.Reason == "" {
			t.Errorf("%s: no reason", c.asked)
		}
		if len(c.real) > 0 && e.Name == "" {
			t.Errorf("%s: no entry for %q", c.asked, got)
		}
	}
}

func TestMisnomerExamplesMatchTheirRow(t *testing.T) {
	for _, row := range misnomers() {
		if verdicts[row.Verdict] == "" || row.Reason == "" {
			t.Errorf("%s: verdict %q, reason %q", row.Match, row.Verdict, row.Reason)
		}
		for _, ex := range row.Examples {
			if _, m := Lookup(ex); m.Reason != row.Reason {
				t.Errorf("%s: answered by another row: %+v", ex, m)
			}
		}
		for _, r := range row.Real {
			known := false
			for _, eng := range []string{VLLM, Nsys, NCU} {
				_, ok := find(r.Name, eng)
				known = known || ok
			}
			_, named := names()[r.Name]
			if !known && !named {
				t.Errorf("%s: the real name %s is not known", row.Match, r.Name)
			}
		}
	}
}

// No real name may be caught by a row for wrong ones, unless the row says what is special about it.
func TestRealNamesFindThemselves(t *testing.T) {
	for n, row := range names() {
		_, m := Lookup(n)
		if !m.Known() || m.Name != n && m.Kind != Removed && m.Kind != Misused && m.Kind != Alias {
			t.Errorf("%s: %+v", n, m)
		}
		if m.Kind == WrongName || m.Kind == WrongValue || m.Kind == OtherTool {
			t.Errorf("%s is real in %s and called %s", n, row.span.text(), m.Kind)
		}
	}
	for _, e := range Entries() {
		if e.Engine != VLLM {
			continue
		}
		if got, m := Lookup(e.Name); got.Name != e.Name && m.Kind != Removed && m.Kind != Misused {
			t.Errorf("%s: %s %+v", e.Name, got.Name, m)
		}
		for _, al := range e.Aliases {
			if got, m := Lookup(al); got.Name != e.Name || m.Kind != Alias {
				t.Errorf("%s: %s %+v", al, got.Name, m)
			}
		}
	}
}

func TestLookupSpellings(t *testing.T) {
	for asked, want := range map[string]string{
		"max-num-seqs": "--max-num-seqs", "max_num_seqs": "--max-num-seqs", "--max_num_seqs=64": "--max-num-seqs", "MAX_NUM_SEQS": "--max-num-seqs",
		"-tp": "--tensor-parallel-size", "-tp 2": "--tensor-parallel-size", "tensor-parallel-size": "--tensor-parallel-size", "-O": "--optimization-level",
		"-cc": "--compilation-config", "-cc.cudagraph_mode": "--compilation-config.cudagraph_mode", "--compilation-config.cudagraph_mode=FULL": "--compilation-config.cudagraph_mode",
		"vllm_use_v2_model_runner": "VLLM_USE_V2_MODEL_RUNNER", "--no-enable-prefix-caching": "--enable-prefix-caching", "num_requests_waiting": "vllm:num_requests_waiting",
		"vllm:num_preemptions": "vllm:num_preemptions_total", "cuda_gpu_kern_sum": "cuda_gpu_kern_sum", "--cuda-graph-trace": "--cuda-graph-trace", "`--enforce-eager`": "--enforce-eager",
		"vllm:time_to_first_token_seconds_bucket": "vllm:time_to_first_token_seconds",
	} {
		if e, m := Lookup(asked); e.Name != want || !m.Known() {
			t.Errorf("%s: %s %+v", asked, e.Name, m)
		}
	}
	// What is wrong in vLLM is right in SGLang.
	if e, m := Lookup("--mem-fraction-static", Engine{Name: SGLang}); m.Kind != Exact || e.Engine != SGLang {
		t.Errorf("sglang: %+v %+v", e, m)
	}
	if e, m := Lookup("--mem-fraction-static"); m.Kind != WrongName || e.Name != "--gpu-memory-utilization" {
		t.Errorf("vllm: %s %+v", e.Name, m)
	}
}

func TestLookupNearMisses(t *testing.T) {
	for asked, want := range map[string]string{
		"--max-num-seq": "--max-num-seqs", "--max-nun-seqs": "--max-num-seqs", "--gpu-memory-utilisation": "--gpu-memory-utilization",
		"--enforce-egaer": "--enforce-eager", "--tensor-parallel": "--tensor-parallel-size", "--max-batched-tokens": "--max-num-batched-tokens",
		"--prefix-caching": "--enable-prefix-caching", "VLLM_USE_V2_RUNNER": "VLLM_USE_V2_MODEL_RUNNER", "kv_cache_usage": "vllm:kv_cache_usage_perc",
		"--enable-async-scheduling": "--async-scheduling",
	} {
		_, m := Lookup(asked)
		if m.Kind != NearMiss || !slices.Contains(m.Suggestions, want) {
			t.Errorf("%s: %+v, want %s", asked, m, want)
		}
	}
	for _, asked := range []string{"", "-", "--", "x", "--qqqqqqqq", "日本語", strings.Repeat("a", 5000), "--=1", "="} {
		if _, m := Lookup(asked); m.Known() {
			t.Errorf("%q is known: %+v", asked, m)
		}
	}
}

func FuzzLookup(f *testing.F) {
	for _, row := range misnomers() {
		for _, ex := range row.Examples {
			f.Add(ex)
		}
	}
	f.Add("-cc.cudagraph_mode=FULL")
	f.Fuzz(func(t *testing.T, s string) {
		e, m := Lookup(s)
		if m.Kind == "" {
			t.Fatal("no kind")
		}
		if m.Known() && m.Name == "" && m.Reason == "" {
			t.Fatalf("known without a name or a reason: %+v %+v", e, m)
		}
	})
}

// The answer names what the asked version has before what it lacks.
func TestLookupPrefersWhatTheVersionHas(t *testing.T) {
	for _, c := range []struct{ asked, version, first string }{
		{"--max_wait_time=1ms", "0.24.0", "--prefill-schedule-interval"},
		{"--max_wait_time=1ms", "0.8.5", "--scheduler-delay-factor"},
		{"--flash-attn", "0.24.0", "--attention-backend"},
		{"--flash-attn", "0.11.0", "VLLM_ATTENTION_BACKEND"},
		{"--max-seq-len-to-capture", "0.24.0", "--max-cudagraph-capture-size"},
		{"--max-seq-len-to-capture", "0.11.0", "--cuda-graph-sizes"},
		{"--scheduler=bh", "0.8.5", "--scheduling-policy"},
	} {
		_, m := Lookup(c.asked, Engine{VLLM, c.version})
		if len(m.Real) == 0 || m.Real[0].Name != c.first {
			t.Errorf("%s in %s: %+v, want %s first", c.asked, c.version, m.Real, c.first)
		}
	}
}

func TestLookupSaysWhoseOptionItIs(t *testing.T) {
	for _, c := range []struct {
		asked, engine, name, reason string
		other                       string
	}{
		{"max-num-seqs", "sglang@0.5", "--max-num-seqs", "vLLM's, and not SGLang's, whose counterpart is --max-running-requests", "--max-running-requests"},
		{"--gpu_memory_utilization", "sglang", "--gpu-memory-utilization", "--mem-fraction-static", "--mem-fraction-static"},
		{"--async-scheduling", "sglang", "--async-scheduling", "only those that answer a finding", ""},
		{"max-num-seqs", "trtllm", "--max-num-seqs", "not TensorRT-LLM's, whose options are not in the catalogue", ""},
		{"max-num-seqs", "vllm@0.24.0", "--max-num-seqs", "", ""},
		{"max-num-seqs", "nsys", "--max-num-seqs", "", ""},
		{"quantization", "sglang", "--quantization", "", ""}, // SGLang has one of its own
	} {
		eng, err := ParseEngine(c.engine)
		if err != nil {
			t.Fatal(err)
		}
		e, m := Lookup(c.asked, eng)
		if e.Name != c.name || !m.Known() || !strings.Contains(m.Reason, c.reason) || c.reason == "" && m.Reason != "" {
			t.Errorf("%s of %s: %s, %q", c.asked, c.engine, e.Name, m.Reason)
		}
		if other := len(m.Real) > 0 && m.Real[0].Name == c.other; other != (c.other != "") {
			t.Errorf("%s of %s: use %v", c.asked, c.engine, m.Real)
		}
		if text := DescribeMatch(e, m, eng); c.other != "" && !strings.Contains(text, c.other) {
			t.Errorf("%s of %s is described as\n%s", c.asked, c.engine, text)
		}
	}
	for ours, theirs := range counterparts {
		if _, ok := find(ours, VLLM); !ok {
			t.Errorf("%s is not in the catalogue", ours)
		}
		if _, ok := find(theirs, SGLang); !ok {
			t.Errorf("%s is not in the catalogue", theirs)
		}
	}
}

func TestOptimisationLevels(t *testing.T) {
	for asked, want := range map[string]string{"-O3": "--optimization-level=3", "-O=2": "--optimization-level=2", "-O 1": "--optimization-level=1",
		"-O.cudagraph_mode=FULL": "--compilation-config.cudagraph_mode=FULL"} {
		e, m := Lookup(asked, Engine{VLLM, "0.24.0"})
		if e.Name+"="+m.Value != want || m.Asked != asked {
			t.Errorf("%s: %s %+v", asked, e.Name, m)
		}
	}
}

func TestAbbreviationsSuggestOptionsFirst(t *testing.T) {
	for asked, want := range map[string]string{"gpu_mem_util": "--gpu-memory-utilization", "max-num-batch-tok": "--max-num-batched-tokens", "gpu-util": "--gpu-memory-utilization"} {
		if _, m := Lookup(asked); m.Kind != NearMiss || len(m.Suggestions) == 0 || m.Suggestions[0] != want {
			t.Errorf("%s: %s %v", asked, m.Kind, m.Suggestions)
		}
	}
}

func TestUnknownEngineNamesServersOnly(t *testing.T) {
	if _, err := ParseEngine("foo"); err == nil || strings.Contains(err.Error(), "nsys") || strings.Contains(err.Error(), "ncu") {
		t.Errorf("%v", err)
	}
}
