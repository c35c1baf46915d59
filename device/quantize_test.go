package device

import "testing"

func TestLoadedBytesAgreeWithRealLogs(t *testing.T) {
	// What vLLM 0.24.0 logged for these shapes on an H100, in GiB.
	for _, c := range []struct {
		model, quant string
		gib          float64
	}{
		{"llama-3.1-8b", "", 14.96},
		{"llama-3.1-8b", "fp8", 8.46},
		{"llama-3.2-1b", "", 2.30},
	} {
		s, _ := Known(c.model)
		s, ok := s.WithQuantization(c.quant)
		if !ok {
			t.Fatalf("%s %s", c.model, c.quant)
		}
		near(t, c.model+" "+c.quant, s.LoadedBytes()/(1<<30), c.gib, 0.002)
	}
}

func TestWithQuantization(t *testing.T) {
	for _, c := range []struct {
		model, method   string
		weights, expert DType
		ok              bool
	}{
		{"llama-3.1-8b", "fp8", FP8, FP8, true},
		{"llama-3.1-8b", "None", BF16, BF16, true},
		{"llama-3.1-8b", "awq_marlin", INT4, INT4, true},
		{"llama-3.1-8b", "compressed-tensors", BF16, BF16, false},
		{"llama-3.1-8b", "mxfp4", BF16, BF16, false},
		{"gpt-oss-20b", "mxfp4", BF16, MXFP4, true},
		{"gpt-oss-20b", "gpt_oss_mxfp4", BF16, MXFP4, true},
		{"qwen3-30b-a3b", "experts_int8", BF16, INT8, true},
		{"qwen3-30b-a3b", "fp8", FP8, FP8, true},
		{"qwen3-30b-a3b", "int8_per_channel_weight_only", BF16, INT8, true},
		{"llama-3.1-8b", "int8_per_channel_weight_only", BF16, BF16, true},
		{"llama-3.1-8b", "nvfp4_per_token", BF16, BF16, true},
		{"llama-3.1-8b", "online", BF16, BF16, false},
		{"deepseek-v3", "fp8", FP8, FP8, true},
	} {
		s, _ := Known(c.model)
		got, ok := s.WithQuantization(c.method)
		if ok != c.ok || got.LinearDType() != c.weights || got.MoEDType() != c.expert {
			t.Errorf("%s %s: %s, experts %s, %v", c.model, c.method, got.LinearDType(), got.MoEDType(), ok)
		}
	}
	s, _ := Known("llama-3.1-8b")
	if got, ok := s.WithKVCacheDType("fp8_e4m3"); !ok || got.KVBytesPerToken() != 65536 {
		t.Errorf("fp8 cache: %g bytes per token", got.KVBytesPerToken())
	}
	if _, ok := s.WithKVCacheDType("turboquant_k8v4"); ok {
		t.Error("an unknown cache type was accepted")
	}
}
