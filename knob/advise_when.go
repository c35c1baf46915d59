package knob

import (
	"slices"
	"strings"

	"github.com/stepscope/stepscope/kernel"
)

// verdict is what the evidence says about a condition of the catalogue.
type verdict uint8

const (
	cannotTell verdict = iota // stated with the advice
	holds
	fails
)

func when(known, ok bool) verdict {
	switch {
	case !known:
		return cannotTell
	case ok:
		return holds
	}
	return fails
}

// must turns "cannot tell" into "fails": advice to undo a setting that may not be made helps nobody.
func must(v verdict) verdict {
	if v == holds {
		return holds
	}
	return fails
}

// conditions judge the catalogue's conditions by the capture and the server's evidence, by knob and the condition's words.
// What is not listed cannot be told from any evidence.
var conditions = map[string]map[string]func(*adviser) verdict{
	"--speculative-config": {"few requests run at once": func(a *adviser) verdict {
		if async := a.current("--async-scheduling"); !async.Known || async.Value == "true" {
			return fails // drafting by n-grams turns it off: the slow host would do more in each step
		}
		return when(a.c.Batch() > 0, a.c.Batch() <= maxHostSpeculated && !a.c.SpecDecode())
	}},
	"--performance-mode": {
		"small batches are padded to the next graph": (*adviser).paddedSmall,
		"caps are at their defaults":                 func(a *adviser) verdict { return must(a.unset("--max-num-seqs")) },
		"the budget is at its default":               func(a *adviser) verdict { return must(a.unset("--max-num-batched-tokens")) },
	},
	"--distributed-executor-backend": {"a single node runs under ray": func(a *adviser) verdict {
		v, _ := a.Settings.Value("--distributed-executor-backend")
		return must(when(true, strings.EqualFold(v, "ray")))
	}},
	"OMP_NUM_THREADS":    {"workers have more threads than cores": (*adviser).workers},
	"--numa-bind":        {"copies cross the CPU sockets": (*adviser).workers, "the machine has several NUMA nodes": (*adviser).workers},
	"--async-scheduling": {"it is off": func(a *adviser) verdict { return must(when(a.offNow("--async-scheduling"), a.asyncPossible())) }},
	"--enable-prefix-caching": {"prompts share prefixes and it is off": func(a *adviser) verdict {
		if a.offNow("--enable-prefix-caching") {
			return cannotTell // whether prompts share prefixes
		}
		return fails
	}},
	// Blocks are hashed once a request arrives, and only where the cache of prefixes is on.
	"--prefix-caching-hash-algo": {"scheduling is dominated by long prompts": func(a *adviser) verdict {
		prompt, _, from := a.c.Lengths()
		return must(when(from != "", prompt >= longPrompt && !a.offNow("--enable-prefix-caching")))
	}},
	"--enable-chunked-prefill": {"it is switched off": func(a *adviser) verdict { return must(when(true, a.offNow("--enable-chunked-prefill"))) }},
	"--scheduler-reserve-full-isl": {"it is switched off and requests are preempted": func(a *adviser) verdict {
		return must(when(true, a.offNow("--scheduler-reserve-full-isl")))
	}},
	"--enable-flashinfer-autotune": {"it is off and a FlashInfer kernel dominates": func(a *adviser) verdict {
		return must(when(a.offNow("--enable-flashinfer-autotune"), strings.Contains(strings.ToLower(a.topKernel()), "flashinfer")))
	}},
	"--quantization": {
		"weights take a large part of the memory":                 func(a *adviser) verdict { return when(a.c.WeightBits() > 0, a.c.WeightBits() >= 16) },
		"weights are offloaded because they do not fit":           (*adviser).offloaded,
		"the model is 16-bit and the GPU computes in FP8":         func(a *adviser) verdict { return when(a.c.WeightBits() > 0, a.c.WeightBits() >= 16) },
		"a quantised checkpoint is served with the method pinned": func(*adviser) verdict { return fails },
	},
	"--offload-backend": {"weights must stay offloaded": (*adviser).offloaded},
	"--kv-cache-dtype":  {"": func(a *adviser) verdict { return when(true, !a.narrowCache()) }},
	"--dtype": {
		"the server runs in float32":                      (*adviser).float32,
		"the kernel is an FP32 GEMM without tensor cores": (*adviser).float32,
	},
	"VLLM_USE_V2_MODEL_RUNNER": {"the log does not say `Using V2 Model Runner`": func(a *adviser) verdict {
		// The log is there, says nothing of it, and nothing is in use that the runner does not support.
		return must(when(a.c.Engine.Version.Known && !a.c.Engine.V2Runner.Known, !a.c.SpecDecode() && !a.moe()))
	}},
	"VLLM_USE_DEEP_GEMM":       {"a block-FP8 GEMM dominates and DeepGEMM is off": (*adviser).float8Kernel},
	"VLLM_MOE_USE_DEEP_GEMM":   {"a block-FP8 expert kernel dominates and it is off": (*adviser).float8Kernel},
	"--enable-expert-parallel": {"expert GEMMs are cut too thin by tensor parallelism": func(a *adviser) verdict { return when(true, a.GPUs > 1) }},
	"--stream-interval":        {"the API server's CPU is the limit": func(*adviser) verdict { return cannotTell }},
	"VLLM_USE_FLASHINFER_SAMPLER": {"the sampler's sort waits for the host": func(a *adviser) verdict {
		return must(when(true, a.c.Engine.FlashInferSampler.Known && !a.c.Engine.FlashInferSampler.Value))
	}},
	"--enable-batch-sharded-sampling": {"sampling repeats on every GPU": func(a *adviser) verdict { return when(true, a.GPUs > 1) }},
	"--all2all-backend":               {"expert exchange dominates decode": func(a *adviser) verdict { return when(true, a.GPUs > 1) }},
	"--enable-dbo":                    {"expert exchange is exposed": func(a *adviser) verdict { return when(true, a.GPUs > 1) }},
}

// maxHostSpeculated is the largest batch for which drafting is proposed against slow launches: each step then yields
// several tokens, but drafting and its checks are host work of every request.
const maxHostSpeculated = 8

// longPrompt is the mean prompt, in tokens, from which hashing its blocks can show between steps.
const longPrompt = 4096

// judge returns what the evidence says about a catalogue entry's condition.
func (a *adviser) judge(name, condition string) verdict {
	if f := conditions[name][condition]; f != nil {
		return f(a)
	}
	return cannotTell
}

// offNow reports whether an option is known to be off.
func (a *adviser) offNow(name string) bool {
	cur := a.current(name)
	return cur.Known && (cur.Value == "false" || cur.Value == "off")
}

// unset tells whether an option is at its default: known only where the command line or the log's arguments are.
func (a *adviser) unset(name string) verdict {
	_, set := a.Settings.Value(name)
	return when(!a.Settings.Empty(), !set)
}

// paddedSmall tells whether the typical batch is small and has no graph of its own size.
func (a *adviser) paddedSmall() verdict {
	s := a.c.Engine.CaptureSizes
	if eager, ok := a.c.Eager(); ok && eager {
		return fails
	}
	b := a.c.Batch()
	return must(when(s.Known && b > 0, b <= 32 && !slices.Contains(s.Value, b)))
}

// workers tells whether there are worker processes to bind: a single GPU's engine runs in one process.
func (a *adviser) workers() verdict {
	if a.GPUs > 1 {
		return cannotTell
	}
	return fails
}

func (a *adviser) offloaded() verdict {
	for _, n := range []string{"--cpu-offload-gb", "--offload-backend", "--offload-group-size", "--kv-offloading-size"} {
		if v, ok := a.Settings.Value(n); ok && v != "0" {
			return holds
		}
	}
	return must(cannotTell)
}

// cacheWrites tells by the kernels that write the KV cache whether it holds 8 bits or fewer; known is false where their
// names do not say. vLLM's have the kind of cache as a template argument, 0 for the model's own type.
func (a *adviser) cacheWrites() (narrow, known bool) {
	const kind = "KVCacheDataType)"
	for i, cl := range a.c.A.Classes {
		if cl.Stage != kernel.KVWrite {
			continue
		}
		name := a.c.P.Strings.At(a.c.P.Funcs[i].Name)
		if j := strings.Index(name, kind); j >= 0 && len(name) > j+len(kind) {
			narrow, known = narrow || name[j+len(kind)] != '0', true
		}
	}
	return narrow, known
}

// narrowCache reports whether the cache is stored in 8 bits or fewer.
func (a *adviser) narrowCache() bool {
	if narrow, known := a.cacheWrites(); known {
		return narrow
	}
	cur := a.current("--kv-cache-dtype")
	return cur.Known && (strings.HasPrefix(cur.Value, "fp8") || strings.HasPrefix(cur.Value, "int") || strings.HasPrefix(cur.Value, "nvfp4"))
}

// top returns the index of the device function with the most time, -1 without kernels.
func (a *adviser) top() int {
	sum := make([]int64, len(a.c.P.Funcs))
	k := &a.c.P.Kernels
	best := -1
	for i, f := range k.Func {
		if sum[f] += k.Dur[i]; best < 0 || sum[f] > sum[best] {
			best = int(f)
		}
	}
	return best
}

func (a *adviser) topKernel() string {
	if i := a.top(); i >= 0 {
		return a.c.P.Strings.At(a.c.P.Funcs[i].Name)
	}
	return ""
}

// float32 tells whether the GEMMs that take most of the time run in float32.
func (a *adviser) float32() verdict {
	d := a.c.Engine.DType
	return must(when(true, d.Known && (d.Value == "float32" || d.Value == "float" || d.Value == "torch.float32")))
}

// float8Kernel tells whether the kernel with the most time is an FP8 GEMM.
func (a *adviser) float8Kernel() verdict {
	i := a.top()
	if i < 0 {
		return fails
	}
	cl := a.c.A.Classes[i]
	return must(when(true, (cl.Gemm || cl.Stage == kernel.MoE) && strings.HasPrefix(strings.ToLower(cl.DType), "fp8")))
}
