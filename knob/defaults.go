package knob

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// KnownDefault is the default of a knob for a version and a GPU.
//
// Known is false where the version's rule was not read or the GPU is not known; Reason then says why.
type KnownDefault struct {
	Value  string `json:"value,omitempty"`
	Known  bool   `json:"known"`
	Reason string `json:"reason"`
}

const gib = 1 << 30

// DefaultFor returns the default of a vLLM server's knob. gpuMem is the memory of one GPU in bytes as the driver reports
// it, gpuName its name; 0 and "" mean "not known". It answers for --max-num-batched-tokens, --max-num-seqs,
// --gpu-memory-utilization, --async-scheduling, --optimization-level, --enable-prefix-caching, --enable-chunked-prefill,
// --compilation-config.cudagraph_mode, and for every knob whose catalogue default is one plain value.
func DefaultFor(knob string, eng Engine, gpuMem int64, gpuName string) KnownDefault {
	if eng.Name != VLLM {
		return KnownDefault{Reason: "defaults of " + eng.Name + " are not described by GPU"}
	}
	if a := AvailableName(knob, eng); a.Presence == Absent {
		return KnownDefault{Reason: knob + ": " + a.Note}
	}
	switch knob {
	case "--max-num-batched-tokens", "--max-num-seqs":
		return batchDefault(knob, eng, gpuMem, gpuName)
	case "--async-scheduling":
		switch {
		case eng.AtLeast("0.14.0"):
			return KnownDefault{"true", true, "automatic since 0.14: on unless the model, executor or speculation excludes it"}
		case eng.AtLeast("0.11.0") && eng.Before("0.13.1"):
			return KnownDefault{"false", true, "off until 0.13"}
		}
		return KnownDefault{Reason: "the version's default was not read"}
	}
	e, ok := find(knob, VLLM)
	if !ok {
		return KnownDefault{Reason: "not described in the catalogue"}
	}
	text, ok := DefaultText(e, eng)
	if !ok {
		return KnownDefault{Reason: "the default changed between inspected versions, or the version is not known"}
	}
	switch {
	case text == "on", text == "on where the model supports it", text == "on in the V1 engine", text == "on where supported":
		return KnownDefault{"true", true, text}
	case text == "off":
		return KnownDefault{"false", true, text}
	case strings.Contains(text, " "):
		return KnownDefault{Reason: text}
	}
	return KnownDefault{text, true, "default of " + eng.String()}
}

// batchDefault is vLLM's rule for the two batch caps under `vllm serve`, read in every inspected version from 0.11 on.
// GPUs with at least 160 GiB have a row of their own since 0.28, and the GB10, whose memory is large and whose arithmetic is
// not, joins the small ones in 0.33.
func batchDefault(knob string, eng Engine, gpuMem int64, gpuName string) KnownDefault {
	tokens := knob == "--max-num-batched-tokens"
	if !eng.AtLeast("0.11.0") {
		return KnownDefault{Reason: "the rule was read from 0.11 on, and the version is older or not known"}
	}
	if gpuMem <= 0 {
		return KnownDefault{Reason: "depends on the GPU's memory, which is not known"}
	}
	low := strings.ToLower(gpuName)
	after24, after28 := eng.AtLeast("0.24.1rc0"), eng.AtLeast("0.28.1rc0") // versions after these may have the later rule
	switch {
	case gpuMem >= 160*gib && eng.AtLeast("0.28.0"):
		return pick(tokens, "16384", "1024", "GPU with at least 160 GiB")
	case gpuMem >= 160*gib && tokens && after24:
		return KnownDefault{Reason: "changed from 8192 to 16384 between 0.24 and 0.28 for GPUs with at least 160 GiB"}
	case gpuMem < 70*gib:
		return pick(tokens, "2048", "256", "GPU below 70 GiB")
	case gpuName == "" && gpuMem < 90*gib:
		return KnownDefault{Reason: "depends on whether the GPU is an A100, and its name is not known"}
	case strings.Contains(low, "a100"):
		return pick(tokens, "2048", "256", "A100")
	case strings.Contains(low, "gb10") && eng.AtLeast("0.33.0"):
		return pick(tokens, "2048", "256", "GB10")
	case strings.Contains(low, "gb10") && after28:
		return KnownDefault{Reason: "changed for the GB10 between 0.28 and 0.33"}
	case gpuName == "" && after28 && gpuMem < 130*gib:
		return KnownDefault{Reason: "depends on whether the GPU is a GB10, and its name is not known"}
	}
	return pick(tokens, "8192", "1024", "GPU with at least 70 GiB")
}

func pick(tokens bool, t, s, reason string) KnownDefault {
	if tokens {
		return KnownDefault{t, true, reason}
	}
	return KnownDefault{s, true, reason}
}

// Effective returns the value of a knob that is in force: the one that was set, else the default for the version and GPU
// with the settings that move it (the throughput mode doubles the batch caps; a small context bounds the token budget; data
// parallel experts over a low-latency all-to-all have a small budget). The version is that of eng, or of the settings when
// eng has none.
//
// Not seen here: multimodal models that attend to a whole image at once raise the budget to the largest item, and models
// without chunked prefill raise it to the context length.
func (s Settings) Effective(knob string, eng Engine, gpuMem int64, gpuName string) KnownDefault {
	if v, ok := s.Value(knob); ok {
		return KnownDefault{maskValue(knob, v), true, "set"}
	}
	if eng.Version == "" {
		eng.Version = s.Engine.Version
	}
	if eng.Name == "" {
		eng.Name = s.Engine.Name
	}
	switch {
	case eng.Name == VLLM && knob == "--max-num-batched-tokens":
		return s.budget(eng, gpuMem, gpuName)
	case eng.Name == VLLM && knob == "--max-num-seqs":
		d := s.doubled(knob, DefaultFor(knob, eng, gpuMem, gpuName))
		budget := s.budget(eng, gpuMem, gpuName)
		if v, ok := s.Int("--max-num-batched-tokens"); ok && v > 0 {
			budget = KnownDefault{strconv.FormatInt(v, 10), true, "--max-num-batched-tokens"}
		}
		have, ok := d.number()
		if most, known := budget.number(); ok && known && most < have {
			d.Value, d.Reason = budget.Value, "bounded by the token budget: "+budget.Reason
		}
		return d
	}
	return DefaultFor(knob, eng, gpuMem, gpuName)
}

// number is the value as a number.
func (d KnownDefault) number() (int64, bool) {
	n, err := strconv.ParseInt(d.Value, 10, 64)
	return n, err == nil && d.Known
}

// doubled is the default of a batch cap that nobody set under the performance mode.
func (s Settings) doubled(knob string, d KnownDefault) KnownDefault {
	n, ok := d.number()
	if mode, _ := s.Value("--performance-mode"); ok && mode == "throughput" {
		if _, set := s.Value(knob); !set {
			return KnownDefault{strconv.FormatInt(2*n, 10), true, d.Reason + ", doubled by --performance-mode throughput"}
		}
	}
	return d
}

// budget is the token budget of a step where --max-num-batched-tokens is not set.
func (s Settings) budget(eng Engine, gpuMem int64, gpuName string) KnownDefault {
	const knob = "--max-num-batched-tokens"
	d := DefaultFor(knob, eng, gpuMem, gpuName)
	if s.lowLatencyExperts() && d.Known {
		switch {
		case eng.AtLeast("0.20.2"):
			d = KnownDefault{"256", true, "data parallel experts over a low-latency all-to-all"}
		case eng.AtLeast("0.18.1"):
			return KnownDefault{Reason: "changed to 256 between 0.18 and 0.20 for data parallel experts over a low-latency all-to-all"}
		}
	}
	d = s.doubled(knob, d)
	n, ok := d.number()
	if !ok {
		return d
	}
	length, haveLen := s.Int("--max-model-len")
	if on, set := s.Bool("--enable-chunked-prefill"); set && !on {
		if !haveLen {
			return KnownDefault{Reason: "chunked prefill is off, so the budget is the context length, which is not known"}
		}
		switch {
		case !eng.AtLeast("0.12.0"):
			return KnownDefault{strconv.FormatInt(length, 10), true, "chunked prefill is off: the context length"}
		case length > n:
			n, d.Reason = length, "chunked prefill is off: at least the context length"
		}
	}
	seqs, ok := s.Int("--max-num-seqs")
	if !ok {
		seqs, ok = s.doubled("--max-num-seqs", DefaultFor("--max-num-seqs", eng, gpuMem, gpuName)).number()
	}
	if ok && haveLen && eng.AtLeast("0.12.0") && seqs > 0 && length > 0 && length < n && seqs < n && seqs*length < n {
		n, d.Reason = seqs*length, "max_num_seqs times max_model_len"
	}
	d.Value = strconv.FormatInt(n, 10)
	return d
}

// lowLatencyExperts reports whether experts are spread over data parallel engines with an all-to-all of fixed batches.
func (s Settings) lowLatencyExperts() bool {
	backend, _ := s.Value("--all2all-backend")
	experts, _ := s.Bool("--enable-expert-parallel")
	engines, _ := s.Int("--data-parallel-size")
	return (backend == "deepep_low_latency" || backend == "nixl_ep") && experts && engines > 1
}

// GraphRule is what vLLM's default list of CUDA graph sizes follows from.
type GraphRule struct {
	MaxNumSeqs    int  // cap on running requests
	SpecTokens    int  // speculative tokens per request
	TokenBudget   int  // tokens per step, 0 for no bound below the ceiling
	Interactivity bool // --performance-mode interactivity
	SM100         bool // the GPU has compute capability 10.x
}

// CaptureSizes returns the batch sizes, in tokens, that get a CUDA graph where nobody chose them, in ascending order: 1, 2,
// 4, then by 8 below 256 and by 16 up to twice the largest decode batch, at most 512. It reports false where the version's
// rule was not read (before 0.12, and between two inspected versions whose lists for the rule differ). Sequence parallelism
// drops the sizes that it cannot divide, which is not seen here.
func CaptureSizes(g GraphRule, eng Engine) ([]int, bool) {
	if eng.Name != VLLM || g.MaxNumSeqs <= 0 || g.SpecTokens < 0 || g.TokenBudget < 0 || g.MaxNumSeqs > 1<<20 || g.SpecTokens > 1<<10 {
		return nil, false
	}
	// An inspected version, else both of its neighbours must agree.
	v, ok := parseVersion(eng.Version)
	if !ok || eng.Version == "" || v.compare(mustVersion("0.12.0")) < 0 {
		return nil, false
	}
	older, newer := "", ""
	for _, have := range Inspected {
		if mustVersion(have).compare(v) <= 0 {
			older = have
		} else if newer == "" {
			newer = have
		}
	}
	if w := mustVersion(older); w == v || newer == "" && w[0] == v[0] && w[1] == v[1] {
		return g.sizes(Engine{VLLM, older}), true
	}
	if newer == "" {
		return nil, false // newer than what was read
	}
	a, b := g.sizes(Engine{VLLM, older}), g.sizes(Engine{VLLM, newer})
	return a, slices.Equal(a, b)
}

// sizes is the list in an inspected version.
func (g GraphRule) sizes(eng Engine) []int {
	query := 1 + g.SpecTokens
	if !eng.AtLeast("0.13.0") {
		query = 1
	}
	ceiling := 512
	if g.SM100 && eng.AtLeast("0.28.0") {
		ceiling = 1024
	}
	top := min(ceiling, g.MaxNumSeqs*query*2)
	var decode []int // whole decode batches, which need not lie on the grid
	switch {
	case !eng.AtLeast("0.33.0"):
	case query > 1:
		most := min(g.MaxNumSeqs, ceiling)
		for _, n := range append(grid(most), most) {
			if n*query <= top {
				decode = append(decode, n*query)
			}
		}
	case g.MaxNumSeqs <= top:
		decode = []int{g.MaxNumSeqs}
	}
	if g.TokenBudget > 0 {
		top = min(top, g.TokenBudget)
	}
	out := grid(top)
	if g.Interactivity && eng.AtLeast("0.18.0") {
		for n := 1; n <= min(top, 32); n++ {
			out = append(out, n)
		}
	}
	if g.TokenBudget > 0 && g.TokenBudget == top && eng.AtLeast("0.20.2") {
		out = append(out, top)
	}
	for _, n := range decode {
		if g.TokenBudget == 0 || n <= g.TokenBudget {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// grid is 1, 2, 4, then by 8 below 256 and by 16 up to the largest.
func grid(top int) []int {
	var out []int
	for _, n := range []int{1, 2, 4} {
		if n <= top {
			out = append(out, n)
		}
	}
	for n := 8; n <= min(top, 255); n += 8 {
		out = append(out, n)
	}
	for n := 256; n <= top; n += 16 {
		out = append(out, n)
	}
	return out
}

// PadTo returns the captured size that a batch is padded to, and false when it is above the largest and runs without a
// graph.
func PadTo(sizes []int, batch int) (int, bool) {
	best := 0
	for _, n := range sizes {
		if n >= batch && (best == 0 || n < best) {
			best = n
		}
	}
	return best, best > 0
}

// String is the default in words.
func (d KnownDefault) String() string {
	if !d.Known {
		return "not known: " + d.Reason
	}
	return fmt.Sprintf("%s (%s)", d.Value, d.Reason)
}
