package knob

import (
	"slices"
	"testing"
)

func TestDefaultFor(t *testing.T) {
	h100, a100, l4, b200 := int64(85017493504), int64(85094825984), int64(23609475072), int64(191514017792)
	for _, c := range []struct {
		knob, version string
		mem           int64
		gpu           string
		want          string
		known         bool
	}{
		{"--max-num-batched-tokens", "0.24.0", h100, "NVIDIA H100 80GB HBM3", "8192", true},
		{"--max-num-seqs", "0.24.0", h100, "NVIDIA H100 80GB HBM3", "1024", true},
		{"--max-num-batched-tokens", "0.24.0", a100, "NVIDIA A100-SXM4-80GB", "2048", true},
		{"--max-num-seqs", "0.24.0", a100, "NVIDIA A100-SXM4-80GB", "256", true},
		{"--max-num-batched-tokens", "0.24.0", l4, "NVIDIA L4", "2048", true},
		{"--max-num-batched-tokens", "0.24.0", b200, "NVIDIA B200", "8192", true},
		{"--max-num-batched-tokens", "0.25.1", b200, "NVIDIA B200", "", false},
		{"--max-num-batched-tokens", "0.28.0", b200, "NVIDIA B200", "16384", true},
		{"--max-num-batched-tokens", "0.30.0", b200, "NVIDIA B200", "16384", true},
		{"--max-num-batched-tokens", "0.33.0", b200, "NVIDIA B200", "16384", true},
		{"--max-num-batched-tokens", "0.24.0", 150754820096, "NVIDIA H200", "8192", true},
		{"--max-num-batched-tokens", "0.33.0", 150754820096, "NVIDIA H200", "8192", true},
		{"--max-num-batched-tokens", "0.24.0", a100, "NVIDIA A800-SXM4-80GB", "8192", true},
		{"--max-num-seqs", "0.24.0", l4, "", "256", true},
		{"--max-num-seqs", "0.24.0", 15835660288, "Tesla T4", "256", true},
		{"--max-num-seqs", "0.30.0", b200, "NVIDIA B200", "1024", true},
		{"--max-num-batched-tokens", "0.24.0", 119 * gib, "NVIDIA GB10", "8192", true},
		{"--max-num-seqs", "0.28.0", 119 * gib, "NVIDIA GB10", "1024", true},
		{"--max-num-batched-tokens", "0.30.0", 119 * gib, "NVIDIA GB10", "", false},
		{"--max-num-batched-tokens", "0.30.0", 119 * gib, "", "", false},
		{"--max-num-batched-tokens", "0.33.0", 119 * gib, "NVIDIA GB10", "2048", true},
		{"--max-num-batched-tokens", "0.8.5", h100, "NVIDIA H100 80GB HBM3", "", false},
		{"--max-num-batched-tokens", "", h100, "NVIDIA H100 80GB HBM3", "", false},
		{"--max-num-batched-tokens", "0.24.0", 0, "", "", false},
		{"--max-num-batched-tokens", "0.24.0", h100, "", "", false},
		{"--gpu-memory-utilization", "0.18.0", 0, "", "0.9", true},
		{"--gpu-memory-utilization", "0.19.0", 0, "", "", false},
		{"--gpu-memory-utilization", "0.24.0", 0, "", "0.92", true},
		{"--async-scheduling", "0.12.0", 0, "", "false", true},
		{"--async-scheduling", "0.24.0", 0, "", "true", true},
		{"--async-scheduling", "0.8.5", 0, "", "", false},
		{"--enforce-eager", "0.24.0", 0, "", "false", true},
		{"--optimization-level", "0.24.0", 0, "", "2", true},
		{"--prefill-schedule-interval", "0.20.2", 0, "", "", false},
		{"--nonsense", "0.24.0", 0, "", "", false},
	} {
		got := DefaultFor(c.knob, Engine{VLLM, c.version}, c.mem, c.gpu)
		if got.Known != c.known || got.Value != c.want || got.Reason == "" {
			t.Errorf("%s of %s on %s: %+v", c.knob, c.version, c.gpu, got)
		}
	}
	// vLLM 0.24's own arithmetic on the same arguments.
	for _, c := range []struct{ args, version, knob, want string }{
		{"--performance-mode throughput", "0.24.0", "--max-num-seqs", "2048"},
		{"--performance-mode throughput", "0.24.0", "--max-num-batched-tokens", "16384"},
		{"--performance-mode throughput --max-num-seqs 300", "0.24.0", "--max-num-batched-tokens", "16384"},
		{"--max-num-seqs 2 --max-model-len 1024", "0.24.0", "--max-num-batched-tokens", "2048"},
		{"--max-num-seqs 2 --max-model-len 1024", "0.11.0", "--max-num-batched-tokens", "8192"},
		{"--max-model-len 4", "0.24.0", "--max-num-batched-tokens", "4096"},
		{"--max-model-len 448 --max-num-seqs 2", "0.24.0", "--max-num-batched-tokens", "896"},
		{"--no-enable-chunked-prefill --max-model-len 32768", "0.24.0", "--max-num-batched-tokens", "32768"},
		{"--no-enable-chunked-prefill --max-model-len 4096", "0.24.0", "--max-num-batched-tokens", "8192"},
		{"--no-enable-chunked-prefill --max-model-len 4096", "0.11.0", "--max-num-batched-tokens", "4096"},
		{"--no-enable-chunked-prefill", "0.24.0", "--max-num-batched-tokens", ""},
		{"--max-num-batched-tokens 512", "0.24.0", "--max-num-seqs", "512"},
		{"-dp 8 --enable-expert-parallel --all2all-backend deepep_low_latency", "0.24.0", "--max-num-batched-tokens", "256"},
		{"-dp 8 --enable-expert-parallel --all2all-backend deepep_low_latency", "0.24.0", "--max-num-seqs", "256"},
		{"-dp 8 --enable-expert-parallel --all2all-backend deepep_low_latency", "0.18.0", "--max-num-batched-tokens", "8192"},
		{"-dp 8 --enable-expert-parallel --all2all-backend deepep_low_latency", "0.19.0", "--max-num-batched-tokens", ""},
		{"-dp 8 --enable-expert-parallel", "0.24.0", "--max-num-batched-tokens", "8192"},
	} {
		s := parse(t, "vllm serve m "+c.args)
		if d := s.Effective(c.knob, Engine{VLLM, c.version}, h100, "NVIDIA H100 80GB HBM3"); d.Value != c.want || d.Known != (c.want != "") || d.Reason == "" {
			t.Errorf("%s of %q in %s: %+v, want %s", c.knob, c.args, c.version, d, c.want)
		}
	}
}

func TestCaptureSizes(t *testing.T) {
	e := Engine{VLLM, "0.24.0"}
	sizes, ok := CaptureSizes(GraphRule{MaxNumSeqs: 1024, TokenBudget: 8192}, e)
	if !ok || len(sizes) != 3+31+17 || sizes[len(sizes)-1] != 512 || sizes[3] != 8 || sizes[34] != 256 || sizes[35] != 272 {
		t.Errorf("%v", sizes)
	}
	for _, c := range []struct {
		rule    GraphRule
		version string
		want    []int
	}{
		{GraphRule{MaxNumSeqs: 4}, "0.24.0", []int{1, 2, 4, 8}},
		{GraphRule{MaxNumSeqs: 4, SpecTokens: 2}, "0.24.0", []int{1, 2, 4, 8, 16, 24}},
		{GraphRule{MaxNumSeqs: 4, SpecTokens: 2}, "0.12.0", []int{1, 2, 4, 8}},
		{GraphRule{MaxNumSeqs: 4, SpecTokens: 2}, "0.12.1", nil},
		{GraphRule{MaxNumSeqs: 4, SpecTokens: 2}, "0.33.0", []int{1, 2, 3, 4, 6, 8, 12, 16, 24}},
		{GraphRule{MaxNumSeqs: 12}, "0.24.0", []int{1, 2, 4, 8, 16, 24}},
		{GraphRule{MaxNumSeqs: 12}, "0.33.2", []int{1, 2, 4, 8, 12, 16, 24}},
		{GraphRule{MaxNumSeqs: 12}, "0.30.0", nil},
		{GraphRule{MaxNumSeqs: 16}, "0.30.0", []int{1, 2, 4, 8, 16, 24, 32}},
		{GraphRule{MaxNumSeqs: 64, TokenBudget: 20}, "0.24.0", []int{1, 2, 4, 8, 16, 20}},
		{GraphRule{MaxNumSeqs: 64, TokenBudget: 20}, "0.18.0", []int{1, 2, 4, 8, 16}},
		{GraphRule{MaxNumSeqs: 4, Interactivity: true}, "0.24.0", []int{1, 2, 3, 4, 5, 6, 7, 8}},
		{GraphRule{MaxNumSeqs: 1024}, "0.8.5", nil},
		{GraphRule{MaxNumSeqs: 1024}, "0.34.0", nil},
		{GraphRule{MaxNumSeqs: 1024}, "", nil},
		{GraphRule{}, "0.24.0", nil},
	} {
		got, ok := CaptureSizes(c.rule, Engine{VLLM, c.version})
		if ok != (c.want != nil) || ok && !slices.Equal(got, c.want) {
			t.Errorf("%+v in %s: %v %v, want %v", c.rule, c.version, got, ok, c.want)
		}
	}
	blackwell := GraphRule{MaxNumSeqs: 1024, SM100: true}
	for version, want := range map[string]int{"0.24.0": 512, "0.28.0": 1024, "0.33.0": 1024, "0.26.0": 0} {
		sizes, ok := CaptureSizes(blackwell, Engine{VLLM, version})
		if ok != (want > 0) || ok && sizes[len(sizes)-1] != want {
			t.Errorf("compute capability 10.0 in %s: %v %v", version, sizes, ok)
		}
	}
	if n, ok := PadTo([]int{1, 2, 4, 8, 16}, 5); n != 8 || !ok {
		t.Errorf("%d %v", n, ok)
	}
	if _, ok := PadTo([]int{1, 2, 4}, 5); ok {
		t.Error("above the largest size")
	}
}
