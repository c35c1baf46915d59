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

func TestStepCostPrefill(t *testing.T) {
	s := llama8b(t)
	// One prompt of 512 tokens from nothing: causal pairs are n(n+1)/2.
	c := s.StepCost(Batch{PrefillSeqs: 1, PrefillTokens: 512, PrefillKVTokens: 512})
	att, _ := c.Part("attention")
	near(t, "causal attention", att.FLOPs, 4*32*128*32*512*513/2, 1e-12)
	head, _ := c.Part("lm-head")
	near(t, "lm_head of one row", head.FLOPs, 2*525336576, 1e-12)
	// A chunk of 100 tokens at the end of 1000: each sees the 900 before it.
	c = s.StepCost(Batch{PrefillSeqs: 1, PrefillTokens: 100, PrefillKVTokens: 1000})
	att, _ = c.Part("attention")
	near(t, "chunk attention", att.FLOPs, 4*32*128*32*(100*900+100*101/2), 1e-12)
	near(t, "chunk cache", c.KVReadBytes, 1000*131072, 1e-12)
	near(t, "chunk write", c.KVWriteBytes, 100*131072, 1e-12)
	// Recorded products replace the estimate from sums: two prompts of 10 and 90 tokens.
	c = s.StepCost(Batch{PrefillSeqs: 2, PrefillTokens: 100, PrefillKVTokens: 100, PrefillSqSk: 100 + 8100, PrefillSqSq: 100 + 8100})
	att, _ = c.Part("attention")
	near(t, "two prompts", att.FLOPs, 4*32*128*32*(10*11/2+90*91/2), 1e-12)
}

func TestStepCostMissingContext(t *testing.T) {
	s := llama8b(t)
	c := s.StepCost(Batch{DecodeSeqs: 8})
	if !c.LowerBound || len(c.Missing) != 1 || c.KVReadBytes != 0 {
		t.Errorf("unknown contexts are not said: %+v", c)
	}
	if c := s.StepCost(Batch{}); len(c.Parts) != 0 || c.MustMove() != 0 {
		t.Errorf("an empty step costs %+v", c)
	}
}

func TestStepCostTensorParallel(t *testing.T) {
	s, _ := Known("llama-3.1-70b")
	one := s.StepCost(Batch{DecodeSeqs: 16, DecodeKVTokens: 16000})
	s.TP = 4
	four := s.StepCost(Batch{DecodeSeqs: 16, DecodeKVTokens: 16000})
	norm, _ := one.Part("norm")
	near(t, "weights", four.WeightBytes, (one.WeightBytes-norm.WeightBytes)/4+norm.WeightBytes, 1e-12)
	near(t, "cache", four.KVReadBytes, one.KVReadBytes/4, 1e-12)
	near(t, "operations", four.FLOPs(), one.FLOPs()/4, 1e-12)
	near(t, "all-reduces", four.CollectiveBytes, 2*80*16*8192*2, 1e-12)
	s.TP = 16 // more ranks than key-value heads: they are replicated
	if got := s.KVBytesPerToken(); got != 80*2*128*2 {
		t.Errorf("replicated cache %g", got)
	}
}

func TestStepCostMoE(t *testing.T) {
	s, _ := Known("qwen3-30b-a3b")
	c := s.StepCost(Batch{DecodeSeqs: 1, DecodeKVTokens: 100})
	near(t, "experts of one token", c.ExpertsTouched, 8, 1e-9)
	// About 3.3e9 active parameters without the embedding.
	near(t, "active weights", c.WeightBytes, 2*3.04e9, 0.05)
	all := s.StepCost(Batch{DecodeSeqs: 512, DecodeKVTokens: 51200})
	near(t, "experts of many tokens", all.ExpertsTouched, 128, 1e-6)
	near(t, "all weights", all.WeightBytes, s.WeightBytes(), 1e-6)
	moe, _ := all.Part("moe")
	near(t, "expert operations", moe.FLOPs, 48*2*512*(8*3*2048*768+128*2048), 1e-12)

	g, _ := Known("gpt-oss-20b")
	w := g.WeightBytes()
	if gib := w / (1 << 30); gib < 11.5 || gib > 13.5 {
		t.Errorf("gpt-oss-20b weighs %.2f GiB, the checkpoint about 12.8", gib)
	}
}

func TestStepCostLatentAttention(t *testing.T) {
	s, _ := Known("deepseek-v3")
	near(t, "cache per token", s.KVBytesPerToken(), 61*576*2, 1e-12)
	s.KVDType = FP8
	near(t, "fp8_ds_mla per token", s.KVBytesPerToken(), 61*656, 1e-12)
	s.TP = 8
	near(t, "latents are replicated", s.KVBytesPerToken(), 61*656, 1e-12)
}

func TestStepCostWindows(t *testing.T) {
	s, _ := Known("gemma-2-9b")
	short := s.StepCost(Batch{DecodeSeqs: 2, DecodeKVTokens: 2000})
	near(t, "inside the window", short.KVReadBytes, 2000*s.KVBytesPerToken(), 1e-12)
	long := s.StepCost(Batch{DecodeSeqs: 2, DecodeKVTokens: 2 * 16384})
	near(t, "beyond the window", long.KVReadBytes, (16384+4096)*s.KVBytesPerToken(), 1e-12)
}

func TestStepCostLinearAttention(t *testing.T) {
	s, _ := Known("qwen3-next-80b-a3b")
	a := s.StepCost(Batch{DecodeSeqs: 4, DecodeKVTokens: 4000})
	b := s.StepCost(Batch{DecodeSeqs: 4, DecodeKVTokens: 8000})
	near(t, "only full layers grow", b.KVReadBytes-a.KVReadBytes, 4000*12*2*2*256*2, 1e-12)
	lin, ok := a.Part("linear-attn")
	if !ok || lin.KVBytes != 2*4*s.StateBytesPerSequence() {
		t.Errorf("state traffic %+v", lin)
	}
}

func TestUtilisation(t *testing.T) {
	h100, _ := Lookup("NVIDIA H100 80GB HBM3", Hints{Bandwidth: 3352000000000})
	s := llama8b(t)
	c := s.StepCost(Batch{DecodeSeqs: 32, DecodeKVTokens: 32 * 576})
	// Measured on an H100: 7.38 ms of GPU time per decode step at this batch.
	mbu, ok := c.MBU(h100, 7.383568e6)
	near(t, "MBU", mbu, 0.704, 0.003)
	b := c.Work().Bound(h100, BF16)
	if !ok || b.Limit != MemoryLimit {
		t.Errorf("decode at batch 32 is %s-bound", b.Limit)
	}
	ideal, ok := c.IdealNs(h100, BF16)
	if !ok || ideal < b.IdealNs || ideal > 1.02*b.IdealNs {
		t.Errorf("ideal %g ns by stage, %g ns as a whole", ideal, b.IdealNs)
	}
	// 8192 prompt tokens take 183-201 ms there: compute-bound, at a plausible utilisation.
	p := s.StepCost(Batch{PrefillSeqs: 16, PrefillTokens: 8163, PrefillKVTokens: 8163, DecodeSeqs: 29, DecodeKVTokens: 29 * 576})
	if pb := p.Work().Bound(h100, BF16); pb.Limit != ComputeLimit || pb.Intensity < pb.Ridge {
		t.Errorf("prefill is %s-bound at %g of %g", pb.Limit, pb.Intensity, pb.Ridge)
	}
	mfu, _ := p.MFU(h100, BF16, 190e6)
	if mfu < 0.5 || mfu > 0.8 {
		t.Errorf("prefill MFU %.3f", mfu)
	}
	if _, ok := p.MFU(Sheet{Bandwidth: 1e12}, BF16, 1e6); ok {
		t.Error("MFU without a peak")
	}
	if b := c.Work().Bound(Sheet{Bandwidth: 1e12}, BF16); b.Limit != UnknownLimit || b.MemoryNs <= 0 {
		t.Errorf("bound with the bandwidth only: %+v", b)
	}
}

func TestRooflineArithmetic(t *testing.T) {
	s := Sheet{Bandwidth: 1e12, peaks: map[DType]float64{BF16: 1e14}}
	if r, ok := s.Ridge(BF16); !ok || r != 100 {
		t.Errorf("ridge %g", r)
	}
	if _, ok := s.Ridge(FP8); ok {
		t.Error("ridge without a peak")
	}
	for _, c := range []struct {
		w     Roofline
		limit Limit
		ideal float64
	}{{Roofline{1e12, 1e12}, MemoryLimit, 1e9}, {Roofline{1e15, 1e12}, ComputeLimit, 1e10}, {Roofline{0, 0}, MemoryLimit, 0}} {
		b := c.w.Bound(s, BF16)
		if b.Limit != c.limit || b.IdealNs != c.ideal {
			t.Errorf("%+v: %+v", c.w, b)
		}
	}
	if i := (Roofline{FLOPs: 1}).Intensity(); !math.IsInf(i, 1) {
		t.Errorf("intensity without bytes %g", i)
	}
	b := Roofline{1e12, 1e12}.Bound(s, BF16)
	if _, ok := b.MBU(0); ok {
		t.Error("utilisation over no time")
	}
	if m, _ := b.MBU(2e9); m != 0.5 {
		t.Errorf("MBU %g", m)
	}
}
