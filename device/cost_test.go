package device

import (
	"math"
	"testing"
)

func llama8b(t *testing.T) Shape {
	t.Helper()
	s, m := Known("meta-llama/Llama-3.1-8B-Instruct")
	if !m.OK {
		t.Fatal("Llama-3.1-8B is not known")
	}
	return s
}

func near(t *testing.T, what string, got, want, rel float64) {
	t.Helper()
	if math.Abs(got-want) > rel*math.Abs(want) {
		t.Errorf("%s = %.6g, want %.6g", what, got, want)
	}
}

func TestLlama8BDecodeStep(t *testing.T) {
	s := llama8b(t)
	p := s.Params()
	if p.Linear() != 6979321856 || p.Norm != 266240 || p.LMHead != 525336576 {
		t.Errorf("params %+v", p)
	}
	if got := s.WeightBytes(); got != 15009849344 {
		t.Errorf("weights %.0f bytes, want 15009849344", got)
	}
	if got := s.KVBytesPerToken(); got != 131072 {
		t.Errorf("cache %.0f bytes per token, want 131072", got)
	}
	c := s.StepCost(Batch{DecodeSeqs: 32, DecodeKVTokens: 32 * 576})
	if c.WeightBytes != 15009849344 {
		t.Errorf("step weights %.0f", c.WeightBytes)
	}
	if c.KVReadBytes != 2415919104 {
		t.Errorf("step cache %.0f, want 2415919104", c.KVReadBytes)
	}
	if c.LowerBound {
		t.Errorf("lower bound with known contexts: %v", c.Missing)
	}
	// 2 operations per parameter and token, plus attention: 4 x heads x head_dim x context per layer.
	want := 2*float64(p.Linear()+p.LMHead)*32 + 4*32*128*32*float64(32*576)
	near(t, "operations", c.FLOPs(), want, 1e-12)

	fp8 := s
	fp8.WeightDType = FP8
	if got := fp8.WeightBytes(); got != 8030527488 {
		t.Errorf("fp8 weights %.0f, want 8030527488", got)
	}
}
