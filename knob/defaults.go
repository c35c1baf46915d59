package knob

import (
	"fmt"
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

// batchDefault is vLLM's rule for the two batch caps under `vllm serve`.
func batchDefault(knob string, eng Engine, gpuMem int64, gpuName string) KnownDefault {
	tokens := knob == "--max-num-batched-tokens"
	if !eng.AtLeast("0.11.0") {
		return KnownDefault{Reason: "the rule was read from 0.11 on, and the version is older or not known"}
	}
	if gpuMem <= 0 {
		return KnownDefault{Reason: "depends on the GPU's memory, which is not known"}
	}
	low := strings.ToLower(gpuName)
	small := strings.Contains(low, "a100") || strings.Contains(low, "gb10")
	if gpuName == "" && gpuMem >= 70*gib && gpuMem < 90*gib {
		return KnownDefault{Reason: "depends on whether the GPU is an A100, and its name is not known"}
	}
	switch {
	case gpuMem >= 160*gib && eng.AtLeast("0.33.0"):
		return pick(tokens, "16384", "1024", "GPU with at least 160 GiB")
	case gpuMem >= 160*gib && tokens && eng.AtLeast("0.28.1"):
		return KnownDefault{Reason: "changed from 8192 to 16384 between 0.28 and 0.33 for GPUs with at least 160 GiB"}
	case gpuMem >= 70*gib && !small:
		return pick(tokens, "8192", "1024", "GPU with at least 70 GiB")
	}
	return pick(tokens, "2048", "256", "GPU below 70 GiB, A100 or GB10")
}

func pick(tokens bool, t, s, reason string) KnownDefault {
	if tokens {
		return KnownDefault{t, true, reason}
	}
	return KnownDefault{s, true, reason}
}

// Effective returns the value of a knob that is in force: the one that was set, else the default for the version and GPU
// with the settings that move it (the throughput mode doubles the batch caps; a small context bounds the token budget).
// The version is that of eng, or of the settings when eng has none.
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
	d := DefaultFor(knob, eng, gpuMem, gpuName)
	if !d.Known || knob != "--max-num-batched-tokens" && knob != "--max-num-seqs" {
		return d
	}
	n, err := strconv.ParseInt(d.Value, 10, 64)
	if err != nil {
		return d
	}
	if mode, _ := s.Value("--performance-mode"); mode == "throughput" {
		n *= 2
		d.Reason += ", doubled by --performance-mode throughput"
	}
	if knob == "--max-num-batched-tokens" {
		length, haveLen := s.Int("--max-model-len")
		if on, set := s.Bool("--enable-chunked-prefill"); set && !on {
			if !haveLen {
				return KnownDefault{Reason: "chunked prefill is off, so the budget is the context length, which is not known"}
			}
			n = max(n, length)
			d.Reason = "chunked prefill is off: at least the context length"
		}
		if seqs, ok := s.Int("--max-num-seqs"); ok && haveLen && seqs > 0 && length > 0 && seqs*length < n {
			n = seqs * length
			d.Reason = "max_num_seqs times max_model_len"
		}
	} else if budget, ok := s.Int("--max-num-batched-tokens"); ok && budget > 0 && budget < n {
		n = budget
		d.Reason = "bounded by --max-num-batched-tokens"
	}
	d.Value = strconv.FormatInt(n, 10)
	return d
}

// CaptureSizes returns the batch sizes, in tokens, that get a CUDA graph by default, for a cap on running requests and a
// number of speculative tokens per request: 1, 2, 4, then by 8 below 256 and by 16 up to the largest size. sm100 says
// that the GPU has compute capability 10.0. The rule is that of 0.12 to 0.33; it reports false for other versions.
func CaptureSizes(maxNumSeqs, specTokens int, eng Engine, sm100 bool) ([]int, bool) {
	if eng.Name != VLLM || !eng.AtLeast("0.12.0") || maxNumSeqs <= 0 || specTokens < 0 || maxNumSeqs > 1<<20 || specTokens > 1<<10 {
		return nil, false
	}
	limit := 512
	if sm100 && eng.AtLeast("0.33.0") {
		limit = 1024
	}
	limit = min(limit, maxNumSeqs*(1+specTokens)*2)
	var out []int
	for _, n := range []int{1, 2, 4} {
		if n <= limit {
			out = append(out, n)
		}
	}
	for n := 8; n <= min(limit, 255); n += 8 {
		out = append(out, n)
	}
	for n := 256; n <= limit; n += 16 {
		out = append(out, n)
	}
	return out, true
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
