package device

import "testing"

// The parameter counts are those that the hub publishes for the checkpoints (safetensors metadata), so they check the
// shape arithmetic independently.
func TestKnownModelsHavePublishedParameterCounts(t *testing.T) {
	for _, k := range knownModels() {
		if err := k.Shape.CheckValid(); err != nil {
			t.Errorf("%s: %v", k.Names[0], err)
		}
		if k.Params == 0 {
			continue
		}
		if got := k.Shape.Params().Total(); got != k.Params {
			t.Errorf("%s: %d parameters, published %d (off by %d)", k.Names[0], got, k.Params, got-k.Params)
		}
	}
}

// Checkpoints that hold more than the language model: a vision tower, a layer for speculation, quantisation scales. The
// published count must lie above the shape's, by no more than that can be.
func TestKnownModelsFitLargerCheckpoints(t *testing.T) {
	for _, c := range []struct {
		name      string
		published int64 // safetensors metadata of the hub
		rest      float64
		why       string
	}{
		{"llama-4-scout-17b-16e", 108641793536, 0.01, "vision tower"},
		{"gemma-3-4b", 4300079472, 0.11, "vision tower"},
		{"gemma-3-12b", 12187325040, 0.04, "vision tower"},
		{"gemma-3-27b", 27432406640, 0.02, "vision tower"},
		{"mistral-small-24b", 24011361280, 0.02, "vision tower"},
		{"deepseek-v3", 684531386000, 0.021, "multi-token prediction layer and scales"},
		{"kimi-k2", 1026408235864, 0.001, "scales"},
		{"qwen3-next-80b-a3b", 81324862720, 0.025, "multi-token prediction layer"},
		{"glm-4.5", 358337791296, 0.02, "multi-token prediction layer"},
		{"glm-4.5-air", 110468824832, 0.035, "multi-token prediction layer"},
	} {
		k, ok := knownExact(c.name)
		if !ok {
			t.Errorf("%s is not known", c.name)
			continue
		}
		got := k.Shape.Params().Total()
		if rest := float64(c.published-got) / float64(c.published); rest < 0 || rest > c.rest {
			t.Errorf("%s: %d parameters of %d published leave %.4f for the %s, want 0..%g", c.name, got, c.published, rest, c.why, c.rest)
		}
	}
}

func TestKnownNames(t *testing.T) {
	for _, c := range []struct {
		in, want string
		assumed  bool
		weight   DType
	}{
		{"meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b", false, ""},
		{"meta-llama/Meta-Llama-3-8B", "llama-3.1-8b", false, ""},
		{"meta-llama/Llama-4-Scout-17B-16E-Instruct", "llama-4-scout-17b-16e", false, ""},
		{"meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8", "llama-4-maverick-17b-128e", false, FP8},
		{"RedHatAI/Llama-4-Scout-17B-16E-Instruct-quantized.w4a16", "llama-4-scout-17b-16e", false, INT4},
		{"Qwen/Qwen3-Next-80B-A3B-Thinking-FP8", "qwen3-next-80b-a3b", false, FP8},
		{"Qwen/Qwen3-235B-A22B-Instruct-2507-FP8", "qwen3-235b-a22b", false, FP8},
		{"/models/Llama-3.2-1B/", "llama-3.2-1b", false, ""},
		{"/models/llama8b", "llama-3.1-8b", true, ""},
		{"/models/llama1b", "llama-3.2-1b", true, ""},
		{"/home/user/.cache/huggingface/hub/models--Qwen--Qwen2.5-7B-Instruct/snapshots/a09a35458c702b33eeacc393d103063234e8bc28", "qwen2.5-7b", false, ""},
		{"RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8", "llama-3.1-8b", false, FP8},
		{"neuralmagic/Meta-Llama-3.1-70B-Instruct-FP8-dynamic", "llama-3.3-70b", false, FP8},
		{"Qwen/Qwen2.5-32B-Instruct-AWQ", "qwen2.5-32b", false, INT4},
		{"Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", "qwen2.5-7b", false, INT4},
		{"RedHatAI/Qwen2.5-7B-Instruct-quantized.w8a8", "qwen2.5-7b", false, INT8},
		{"Qwen/Qwen3-30B-A3B-FP8", "qwen3-30b-a3b", false, FP8},
		{"mistralai/Mistral-7B-Instruct-v0.3", "mistral-7b-v0.3", false, ""},
		{"mistralai/Mixtral-8x7B-Instruct-v0.1", "mixtral-8x7b-v0.1", false, ""},
		{"deepseek-ai/DeepSeek-R1-0528", "deepseek-v3", false, FP8},
		{"openai/gpt-oss-120b", "gpt-oss-120b", false, ""},
		{"google/gemma-3-27b-it", "gemma-3-27b", false, ""},
		{"microsoft/Phi-3-mini-4k-instruct", "phi-3-mini-4k", false, ""},
		{"TinyLlama/TinyLlama-1.1B-Chat-v1.0", "tinyllama-1.1b", false, ""},
		{`C:\models\Qwen3-0.6B`, "qwen3-0.6b", false, ""},
		{"qwen3_8b", "qwen3-8b", false, ""},
	} {
		s, m := Known(c.in)
		if !m.OK || m.Name != c.want || m.Assumed != c.assumed || s.WeightDType != c.weight || s.Name != c.want {
			t.Errorf("%s: %+v, weights %q", c.in, m, s.WeightDType)
		}
	}
	for _, in := range []string{"", "/", "/models/", "gpt-4o", "my-model", "llama-9b", "instruct", "-instruct-instruct-instruct", "fp8"} {
		if _, m := Known(in); m.OK {
			t.Errorf("%q is known as %s", in, m.Name)
		}
	}
}

func FuzzKnown(f *testing.F) {
	f.Add("RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8")
	f.Add("/hub/models--Qwen--Qwen2.5-7B-Instruct/snapshots/0")
	f.Fuzz(func(t *testing.T, name string) {
		s, m := Known(name)
		if m.OK {
			if err := s.CheckValid(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
