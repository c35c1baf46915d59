package knob

import (
	"slices"
	"strings"
	"testing"
)

func TestServing(t *testing.T) {
	for _, c := range []struct{ name, line, want string }{
		{"JSON", `vllm serve m --profiler-config '{"profiler": "cuda"}' --seed 0`, "vllm serve m --seed 0"},
		{"field", "vllm serve m --profiler-config.profiler cuda --profiler-config.torch_profiler_dir=/t", "vllm serve m"},
		{"variables", "VLLM_NVTX_SCOPES_FOR_PROFILING=1 VLLM_TORCH_PROFILER_DIR=/t HF_HOME=/h vllm serve m", "HF_HOME=/h vllm serve m"},
		{"layers", "vllm serve m --enable-layerwise-nvtx-tracing --enforce-eager", "vllm serve m --enforce-eager"},
		{"container", "docker run -e VLLM_TORCH_PROFILER_DIR=/t -e A=1 vllm/vllm-openai:v0.11.0 --model m", "docker run -e A=1 vllm/vllm-openai:v0.11.0 --model m"},
		{"under nsys", "A=1 nsys profile -t cuda,nvtx --trace-fork-before-exec=true --cuda-graph-trace node -o /o numactl -N 0 vllm serve m", "A=1 numactl -N 0 vllm serve m"},
		{"SGLang", "SGLANG_TORCH_PROFILER_DIR=/t python -m sglang.launch_server --model-path m --enable-layerwise-nvtx-marker", "python -m sglang.launch_server --model-path m"},
		{"nothing to leave out", "vllm serve m --max-num-seqs 8", "vllm serve m --max-num-seqs 8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := ParseCommand(c.line)
			if err != nil {
				t.Fatal(err)
			}
			before := s.String()
			got := s.Serving()
			if got.String() != c.want || len(got.Profiling()) > 0 {
				t.Errorf("have %s (%v), want %s", got, got.Profiling(), c.want)
			}
			if s.String() != before {
				t.Errorf("the settings themselves became %s", s)
			}
		})
	}
}

// Cutting nsys out never takes the server away.
func TestWithoutNsysKeepsTheServer(t *testing.T) {
	for _, line := range []string{"nsys profile -o", "nsys profile --stats vllm serve", "nsys", "nsys profile", "nsys stats x", ""} {
		words := strings.Fields(line)
		got := withoutNsys(slices.Clone(words))
		if len(words) > 0 && len(got) == 0 {
			t.Errorf("%q: nothing is left", line)
		}
	}
}
