package diagnose_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/device"
	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/internal/captest"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/step"
)

// weights are the stages whose kernels read weights.
var weights = []step.Part{step.Part(kernel.QKV), step.Part(kernel.OProj), step.Part(kernel.MLP), step.Part(kernel.MoE), step.Part(kernel.LMHead), step.Part(kernel.Gemm)}

func llama8b(t *testing.T) device.Shape {
	t.Helper()
	s, m := device.Known("meta-llama/Llama-3.1-8B")
	if !m.OK {
		t.Fatal("the shape of a common model is not known")
	}
	return s
}

func TestMemoryBandwidthBound(t *testing.T) {
	t.Run("GEMM share", func(t *testing.T) {
		s := threshold{t: t, id: diagnose.MemoryBandwidth, limit: 0.45, slack: 0.02}
		for attention := 200 * us; attention < 600*us; attention += 5 * us {
			r := newEngine().run(20, turn{marker: decode(8), ops: layers(6, attention, 300*us), graph: true}).diagnose(t, nil)
			g := &r.Context.Typical
			s.check(r, float64(g.Ns(weights...))/float64(g.Budget.Busy()))
		}
		s.done()
	})
	t.Run("busy share", func(t *testing.T) {
		s := threshold{t: t, id: diagnose.MemoryBandwidth, limit: 0.6, slack: 0.02}
		for gap := int64(0); gap < 2500*us; gap += 20 * us {
			r := newEngine().run(20, turn{marker: decode(8), ops: layers(6, 20*us, 300*us), graph: true, gap: gap}).diagnose(t, nil)
			g := &r.Context.Typical
			s.check(r, float64(g.Budget.Busy())/float64(g.Wall))
		}
		s.done()
	})
	t.Run("ridge", func(t *testing.T) {
		for _, c := range []struct {
			batch int
			found bool
		}{{1, true}, {295, true}, {296, false}, {1024, false}} {
			r := decoding(20, c.batch).diagnose(t, nil)
			if f := r.Finding(diagnose.MemoryBandwidth); (f != nil) != c.found {
				t.Errorf("%d tokens at a ridge of %.1f: found %v", c.batch, r.Context.RidgeTokens(), f != nil)
			}
		}
	})
	t.Run("bandwidth", func(t *testing.T) {
		s := threshold{t: t, id: diagnose.MemoryBandwidth, limit: 0.4, slack: 0.02}
		for gemm := 100 * us; gemm < 600*us; gemm += 5 * us {
			p := newEngine().run(20, turn{marker: decode(4), ops: layers(32, 10*us, gemm), graph: true}).profile(t)
			b := bench(4, float64(32*(gemm+10*us))/1e6, 20, 10)
			r := captest.DiagnoseProfile(t, p, &serving.Run{Bench: b}, captest.Options{GPU: "H100 SXM", Shape: llama8b(t)})
			if r.Context.Limits.MBU == nil { // faster than the memory: the shape is not believed
				if gemm > 130*us {
					t.Errorf("GEMMs of %d us: %s", gemm/us, r.Context.Limits.Why)
				}
				continue
			}
			s.check(r, *r.Context.Limits.MBU)
			if f := r.Finding(s.id); f != nil && f.Confidence != "high" {
				t.Errorf("with the shape and %.0f %% of peak: confidence %s", 100**r.Context.Limits.MBU, f.Confidence)
			}
		}
		s.done()
	})
	t.Run("abstains", func(t *testing.T) {
		for _, c := range []struct {
			name, why string
			e         *engine
		}{
			{"two decode steps", "fewer than three steady decode steps", decoding(3, 8)}, // the last one is open
			{"no marker", "nothing tells decode steps from others", newEngine().run(20, turn{ops: append(layers(12, 20*us, 300*us), op{name: samplingKernel, dur: 20 * us}), graph: false})},
		} {
			r := c.e.diagnose(t, nil)
			if f := r.Finding(diagnose.MemoryBandwidth); f != nil || !strings.Contains(r.Why(diagnose.MemoryBandwidth), c.why) {
				t.Errorf("%s: %v, %q", c.name, f, r.Why(diagnose.MemoryBandwidth))
			}
		}
	})
}

// A utilisation above the peak says that model or GPU is not what it is taken for: no number is told.
func TestImpossibleLimits(t *testing.T) {
	p := newEngine().run(20, turn{marker: decode(4), ops: layers(32, 10*us, 60*us), graph: true}).profile(t)
	r := captest.DiagnoseProfile(t, p, &serving.Run{Bench: bench(4, 2.3, 3, 2.3)}, captest.Options{GPU: "H100 SXM", Shape: llama8b(t)})
	if r.Limits.MBU != nil || len(r.Limits.Phases) != 0 || !strings.Contains(r.Limits.Why, "not what it is taken for") {
		t.Errorf("limits %+v", r.Limits)
	}
	if strings.Contains(r.Verdict, "peak bandwidth") {
		t.Error(r.Verdict)
	}
	captest.Check(t, "impossible", r)
}

// Without the lengths of the contexts the bandwidth is a lower bound and says so.
func TestUnknownContexts(t *testing.T) {
	p := newEngine().run(20, turn{marker: decode(48), ops: layers(32, 200*us, 160*us), graph: true}).profile(t)
	r := captest.DiagnoseProfile(t, p, nil, captest.Options{GPU: "H100 SXM", Shape: llama8b(t)})
	if r.Limits.MBU == nil || *r.Limits.MBU > 0.4 {
		t.Fatalf("the weights alone: %v", r.Limits.MBU)
	}
	f := r.Finding(diagnose.AttentionKVBound)
	if f == nil || f.Confidence != "medium" {
		t.Fatalf("attention: %+v", f)
	}
	for _, e := range f.Evidence {
		if strings.Contains(e.Text, "bandwidth of attention") {
			t.Errorf("bytes of unknown contexts: %+v", e)
		}
	}
	q := newEngine().run(20, turn{marker: decode(8), ops: layers(32, 20*us, 300*us), graph: true}).profile(t)
	r = captest.DiagnoseProfile(t, q, nil, captest.Options{GPU: "H100 SXM", Shape: llama8b(t)})
	if f := r.Finding(diagnose.MemoryBandwidth); f == nil || !strings.Contains(f.Summary, "at least") {
		t.Errorf("memory: %+v", f)
	}
}

func TestAttentionKVBound(t *testing.T) {
	s := threshold{t: t, id: diagnose.AttentionKVBound, limit: 0.35, slack: 0.02}
	for attention := 100 * us; attention < 300*us; attention += 5 * us {
		r := newEngine().run(20, turn{marker: decode(8), ops: layers(6, attention, 300*us), graph: true}).diagnose(t, nil)
		g := &r.Context.Decode
		s.check(r, float64(g.Ns(step.Part(kernel.Attention)))/float64(g.Budget.Busy()))
	}
	s.done()
	// The kernel's name is explained by what it does.
	r := newEngine().run(20, turn{marker: decode(8), ops: layers(6, 500*us, 300*us), graph: true}).diagnose(t, nil)
	if f := r.Finding(diagnose.DominantKernel); f == nil || f.Caused != diagnose.AttentionKVBound {
		t.Errorf("dominant attention kernel: %+v", f)
	}
	// An 8-bit cache is there already: context, and no advice to set it.
	run := &serving.Run{}
	run.Engine.KVCacheDType = serving.NewFact("fp8", serving.Source{File: "server.log"})
	f := newEngine().run(20, turn{marker: decode(8), ops: layers(6, 500*us, 300*us), graph: true}).diagnose(t, run).Finding(s.id)
	if f == nil || f.Share > 0.10 {
		t.Fatalf("8-bit cache: %+v", f)
	}
	for _, a := range f.Advice {
		if strings.Contains(a.Flag, "kv-cache-dtype") {
			t.Errorf("advice %s", a.Flag)
		}
	}
}

func TestSamplingBound(t *testing.T) {
	s := threshold{t: t, id: diagnose.SamplingBound, limit: 0.10, slack: 0.01}
	for d := 100 * us; d < 400*us; d += 5 * us {
		r := newEngine().run(20, turn{marker: decode(8), ops: append(layers(6, 50*us, 300*us), op{name: samplingKernel, dur: d}), graph: true}).diagnose(t, nil)
		g := &r.Context.Decode
		s.check(r, float64(g.Ns(step.Part(kernel.Sampling)))/float64(g.Budget.Busy()))
	}
	s.done()
	// A tenth of little GPU time is not worth a word: 3 % of the wall is the least.
	s = threshold{t: t, id: diagnose.SamplingBound, limit: 0.03, slack: 0.003}
	for gap := 3 * ms; gap < 12*ms; gap += 100 * us {
		r := newEngine().run(20, turn{marker: decode(8), ops: append(layers(6, 50*us, 300*us), op{name: samplingKernel, dur: 280 * us}), graph: true, gap: gap}).diagnose(t, nil)
		s.check(r, r.Context.Decode.Part(step.Part(kernel.Sampling)))
	}
	s.done()
}

func TestDominantKernel(t *testing.T) {
	for _, c := range []struct {
		other    int64 // time beside 1 ms of one kernel
		gap      int64
		severity diagnose.Severity
		found    bool
	}{
		{1010 * us, 0, 0, false},
		{990 * us, 0, diagnose.Low, true},
		{435 * us, 0, diagnose.Low, true},
		{422 * us, 0, diagnose.Medium, true},
		{422 * us, 2 * ms, diagnose.Low, true}, // the GPU is mostly idle: not what to fix
	} {
		r := newEngine().run(20, turn{marker: decode(8), ops: []op{{name: otherKernel, dur: ms}, {name: "some_other_kernel", dur: c.other / 2}, {name: "a_third_kernel", dur: c.other / 2}}, graph: true, gap: c.gap}).diagnose(t, nil)
		f := r.Finding(diagnose.DominantKernel)
		if (f != nil) != c.found || f != nil && f.Severity != c.severity {
			t.Errorf("%d us beside it, gap %d us: %+v", c.other/us, c.gap/us, f)
		}
	}
	// A graph-level capture hides kernels.
	e := newEngine().run(20, turn{marker: decode(8), ops: []op{{name: otherKernel, dur: ms}}, graph: true})
	e.b.Graph(e.gpu+10*us, e.gpu+50*us, e.b.Call("cudaGraphLaunch_v10000", e.host, e.host+5*us))
	e.host, e.gpu = e.host+100*us, e.gpu+50*us
	r := e.diagnose(t, nil)
	for _, id := range []string{diagnose.DominantKernel, diagnose.MemoryBandwidth, diagnose.AttentionKVBound} {
		if r.Finding(id) != nil || !strings.Contains(r.Why(id), "inside CUDA graphs are not recorded") {
			t.Errorf("%s: %v, %q", id, r.Finding(id), r.Why(id))
		}
	}
}

// prefills makes rounds of one mixed step and n decode steps.
func prefills(rounds, n int, tokens int, attention, gemm int64) *engine {
	e := newEngine()
	for range rounds {
		e.step(turn{marker: mixed(1, tokens, 8), ops: layers(6, attention, gemm), launch: 8 * us})
		e.run(n, turn{marker: decode(8), ops: layers(6, 20*us, 300*us), graph: true})
	}
	return e
}

func TestComputeBound(t *testing.T) {
	s := threshold{t: t, id: diagnose.ComputeBound, limit: 0.15, slack: 0.02}
	for n := 2; n < 60; n++ {
		r := prefills(6, n, 2048, 100*us, 2*ms).diagnose(t, nil)
		var work int64
		for _, i := range r.Context.A.Primary {
			if st := &r.Context.A.Steps[i]; st.Phase == step.Mixed {
				work += st.Budget[step.Part(kernel.Attention)]
				for _, p := range weights {
					work += st.Budget[p]
				}
			}
		}
		s.check(r, float64(work)/float64(r.Context.Wall))
	}
	s.done()
	for _, c := range []struct {
		tokens int
		found  bool
	}{{280, false}, {290, true}} { // with eight decode tokens 288 and 298, at a ridge of 295
		if f := prefills(6, 4, c.tokens, 100*us, 2*ms).diagnose(t, nil).Finding(diagnose.ComputeBound); (f != nil) != c.found {
			t.Errorf("%d prompt tokens: found %v", c.tokens, f != nil)
		}
	}
	// A GPU that idles in these steps is not bound by arithmetic.
	e := newEngine()
	for range 6 {
		e.step(turn{marker: mixed(1, 2048, 8), ops: layers(6, 100*us, 2*ms), launch: 2 * ms})
		e.run(4, turn{marker: decode(8), ops: layers(6, 20*us, 300*us), graph: true})
	}
	if f := e.diagnose(t, nil).Finding(diagnose.ComputeBound); f != nil {
		t.Errorf("idle steps: %s", f.Summary)
	}
}

// twoRanks makes a tensor-parallel engine: two processes on two devices run the same steps.
func twoRanks(n int, ops func(rank, i int) []op) *engine {
	e := newEngine()
	end := int64(0)
	for i := range n {
		at := end
		for rank := range 2 {
			e.b.PID, e.b.TID, e.b.Device = int64(100+rank), int64(100+rank), int64(rank)
			e.host, e.gpu = at, at
			e.step(turn{marker: decode(8), ops: ops(rank, i), graph: true})
			end = max(end, e.host)
		}
	}
	return e
}

func TestCollectiveBound(t *testing.T) {
	s := threshold{t: t, id: diagnose.CollectiveBound, limit: 0.10, slack: 0.01}
	for d := 10 * us; d < 80*us; d += us {
		r := twoRanks(20, func(int, int) []op {
			var out []op
			for range 6 {
				out = append(out, op{name: gemmKernel, dur: 300 * us}, op{name: collectiveKernel, dur: d})
			}
			return out
		}).diagnose(t, nil)
		if has(r, "slow-rank") {
			t.Errorf("equal ranks: %s", r.Verdict)
		}
		if r.Diagnosis.Engine.Ranks != 2 || r.Diagnosis.Engine.Engines != 1 {
			t.Fatalf("%d ranks, %d engines", r.Diagnosis.Engine.Ranks, r.Diagnosis.Engine.Engines)
		}
		s.check(r, r.Context.All.Part(step.Part(kernel.Collective), step.IdlePeer))
	}
	s.done()
}

// Waiting for other ranks shows where a collective is short on one rank and long on the other.
func TestPeerWait(t *testing.T) {
	// The rank that the other waits for stands for the engine: its collectives hold no waiting.
	r := twoRanks(20, func(rank, _ int) []op {
		wait := int64(rank) * 200 * us // rank 1 arrives early and waits
		return []op{{name: gemmKernel, dur: ms - wait}, {name: collectiveKernel, dur: 200*us + wait}}
	}).diagnose(t, nil)
	f := r.Finding(diagnose.CollectiveBound)
	if f == nil {
		t.Fatal("not found")
	}
	if !has(r, "slow-rank") || !strings.Contains(r.Verdict, "GPU 0 takes 25.0 % longer for its own work than GPU 1") || strings.Contains(f.Summary, "waiting") {
		t.Errorf("%s", r.Verdict)
	}
	if !has(r, "waiting-rank") || f.Share < 0.16 || f.Share > 0.17 { // 200 of 1200 us
		t.Errorf("share %.3f: %v", f.Share, r.Verdict)
	}
	// The same on the first rank: the second stands for both.
	r = twoRanks(20, func(rank, _ int) []op {
		wait := int64(1-rank) * 200 * us
		return []op{{name: gemmKernel, dur: ms - wait}, {name: collectiveKernel, dur: 200*us + wait}}
	}).diagnose(t, nil)
	if f = r.Finding(diagnose.CollectiveBound); f == nil || f.Share < 0.16 || f.Share > 0.17 || !strings.Contains(r.Verdict, "GPU 1 takes 25.0 % longer for its own work than GPU 0") {
		t.Errorf("%s", r.Verdict)
	}
	// Each waits for the other in turn.
	r = twoRanks(20, func(rank, i int) []op {
		wait := int64((rank+i)%2) * 200 * us
		return []op{{name: gemmKernel, dur: ms - wait}, {name: collectiveKernel, dur: 200*us + wait}}
	}).diagnose(t, nil)
	f = r.Finding(diagnose.CollectiveBound)
	if f == nil || has(r, "waiting-rank") || !strings.Contains(f.Summary, "33.3 % of it waiting for other ranks") { // 200 of 200 + 400 us
		t.Fatalf("%s", r.Verdict)
	}
	// One rank cannot tell.
	one := newEngine().run(20, turn{marker: decode(8), ops: []op{{name: gemmKernel, dur: ms}, {name: collectiveKernel, dur: 300 * us}}, graph: true}).diagnose(t, nil)
	for _, e := range one.Finding(diagnose.CollectiveBound).Evidence {
		if strings.Contains(e.Text, "other ranks") {
			t.Errorf("one rank: %s", e.Text)
		}
	}
	if f = one.Finding(diagnose.CollectiveBound); f.Confidence != "low" || !strings.Contains(f.Summary, "not in the capture may be part of it") {
		t.Errorf("one rank: %s, %s", f.Confidence, f.Summary)
	}
}

func TestMoEImbalance(t *testing.T) {
	s := threshold{t: t, id: diagnose.MoEImbalance, limit: 0.15, slack: 0.01}
	for more := int64(0); more < 600*us; more += 10 * us {
		r := twoRanks(20, func(rank, _ int) []op {
			wait := int64(1-rank) * more
			return []op{{name: moeKernel, dur: ms + int64(rank)*more}, {name: collectiveKernel, dur: 100*us + wait}}
		}).diagnose(t, nil)
		s.check(r, float64(ms+more)/(float64(2*ms+more)/2)-1)
	}
	s.done()
	one := newEngine().run(20, turn{marker: decode(8), ops: []op{{name: moeKernel, dur: ms}}, graph: true}).diagnose(t, nil)
	if one.Finding(s.id) != nil || !strings.Contains(one.Why(s.id), "one rank in the capture") {
		t.Errorf("one rank: %q", one.Why(s.id))
	}
	// Data-parallel engines have different batches; that is no imbalance of experts.
	e := newEngine()
	for rank := range 2 {
		e.b.PID, e.b.TID, e.b.Device = int64(100+rank), int64(100+rank), int64(rank)
		e.host, e.gpu = 0, 0
		e.run(20, turn{marker: decode(8 + 24*rank), ops: []op{{name: moeKernel, dur: ms * int64(1+rank)}}, graph: true})
	}
	r := e.diagnose(t, nil)
	if r.Diagnosis.Engine.Engines != 2 || r.Finding(s.id) != nil {
		t.Errorf("%d engines: %v", r.Diagnosis.Engine.Engines, r.Finding(s.id))
	}
	captest.Check(t, "two engines", r)
}

func TestWeightBits(t *testing.T) {
	for _, c := range []struct {
		name string
		bits float64
		most float64
	}{
		{gemmKernel, 16, 0.4},
		{"void cutlass::device_kernel<vllm::cutlass_3x_gemm_sm90_fp8<cutlass::float_e4m3_t, cutlass::bfloat16_t, vllm::c3x::ScaledEpilogue>::GemmKernel>", 8, 0.2},
	} {
		var ops []op
		for i := range 96 {
			ops = append(ops, op{name: attentionKernel, dur: 5 * us}, op{name: c.name, dur: 50*us + int64(i%3)})
		}
		r := newEngine().run(20, turn{marker: decode(8), ops: ops, graph: true}).diagnose(t, nil)
		f := r.Finding(diagnose.MemoryBandwidth)
		if f == nil || f.Share > c.most {
			t.Errorf("%.40s: %+v", c.name, f)
		}
		if b := r.Context.WeightBits(); b != 0 && b != c.bits {
			t.Errorf("%.40s: %g bits", c.name, b)
		}
		for _, flag := range captest.Flags(f) {
			if c.bits < 16 && strings.Contains(flag, "quantization") {
				t.Errorf("%s for 8-bit weights", flag)
			}
		}
	}
}

// Memory that grows while the server serves.
func TestMemoryGrowth(t *testing.T) {
	for _, c := range []struct {
		bytes int64
		found bool
	}{{256<<20 - 1, false}, {256 << 20, true}} {
		e := decoding(20, 8)
		p := e.profile(t)
		m := &p.MemEvents
		for i, b := range []int64{1 << 30, c.bytes} {
			m.Start = append(m.Start, []int64{-1000, e.gpu / 2}[i])
			m.Bytes, m.Address, m.Free = append(m.Bytes, b), append(m.Address, uint64(i+1)<<32), append(m.Free, false)
			m.Process, m.Device = append(m.Process, 0), append(m.Device, 0)
			m.Mem = append(m.Mem, profile.MemDevice)
		}
		r := diagnoseOn(t, p, nil)
		if f := r.Finding(diagnose.MemoryGrowth); (f != nil) != c.found {
			t.Errorf("%d bytes: %+v", c.bytes, f)
		}
		captest.Check(t, fmt.Sprint(c.bytes), r)
	}
}

// The log's word for running out of memory is an alarm; other notices of the log are none.
func TestOutOfMemory(t *testing.T) {
	for category, found := range map[string]bool{serving.NoticeOOM: true, serving.NoticeKVPressure: false} {
		n := serving.Notice{Category: category, N: 2, Source: serving.Source{File: "server.log", Line: 70}}
		r := decoding(20, 8).diagnose(t, &serving.Run{Log: &serving.Log{File: "server.log", Notices: []serving.Notice{n}}})
		f := r.Finding(diagnose.MemoryGrowth)
		if (f != nil) != found || f != nil && f.Severity != diagnose.High {
			t.Errorf("%s: %+v", category, f)
		}
		captest.Check(t, category, r)
	}
}

// TestMemoryBandwidthWithoutMarkers: steps without a marker count by the tokens that they write to the KV cache.
func TestMemoryBandwidthWithoutMarkers(t *testing.T) {
	const write = "void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16, __nv_bfloat16, (vllm::Fp8KVCacheDataType)0>(__nv_bfloat16 const*)"
	for _, c := range []struct {
		name       string
		tokens     func(step int) int32 // 0 = the kernel is missing
		confidence string               // "" = no finding
		why        string
	}{
		{"few tokens", func(int) int32 { return 32 }, "low", ""},
		{"at the ridge", func(int) int32 { return 295 }, "low", ""},
		{"beyond the ridge", func(int) int32 { return 296 }, "", ""},
		{"every step another number", func(k int) int32 { return int32(10 + k) }, "", "nothing tells decode steps from others"},
		{"a few steps with a prompt", func(k int) int32 {
			if k%4 == 3 {
				return 4000
			}
			return 32
		}, "low", ""},
		{"the kernel is missing", func(int) int32 { return 0 }, "", "nothing tells decode steps from others"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ops := append([]op{{name: write, dur: 5 * us}}, layers(6, 20*us, 300*us)...)
			if c.tokens(0) == 0 {
				ops = ops[1:]
			}
			ops = append(ops, op{name: samplingKernel, dur: 10 * us})
			p := newEngine().run(24, turn{ops: ops, gap: 30 * us}).profile(t)
			configs := slices.Clone(p.Kernels.Config)
			k := 0
			for i, f := range p.Kernels.Func {
				if p.Strings.At(p.Funcs[f].Name) == write {
					p.Configs = append(p.Configs, profile.LaunchConfig{Grid: [3]int32{c.tokens(k), 1, 1}, Block: [3]int32{128, 1, 1}})
					configs[i] = int32(len(p.Configs) - 1)
					k++
				}
			}
			p.Kernels.Config = configs
			r := diagnoseOn(t, p, nil)
			if len(r.Analysis.Primary) != 24 || r.Analysis.Source() != step.ByKernels {
				t.Fatalf("%d steps by %v", len(r.Analysis.Primary), r.Analysis.Source())
			}
			f := r.Finding(diagnose.MemoryBandwidth)
			if (f != nil) != (c.confidence != "") || f != nil && f.Confidence != c.confidence || r.Why(diagnose.MemoryBandwidth) != c.why {
				t.Errorf("finding %+v, why %q", f, r.Why(diagnose.MemoryBandwidth))
			}
			if f != nil && !strings.Contains(f.Summary, fmt.Sprintf("A step of %d tokens is bound", c.tokens(0))) {
				t.Error(f.Summary)
			}
		})
	}
}

// Bandwidth needs no arithmetic peak: a GPU without one for the model's type has MBU, and no MFU instead of a zero. What is
// not computed says the real reason.
func TestLimitsWithoutPeak(t *testing.T) {
	shape, m := device.Known("meta-llama/Llama-3.2-1B")
	if !m.OK {
		t.Fatal("the shape is not known")
	}
	e := decoding(20, 16)
	p := e.profile(t)
	for _, c := range []struct {
		gpu, why string
		mbu, mfu bool
	}{
		{"H100 SXM", "", true, true},
		{"V100", "no peak for arithmetic in bf16", true, false},
		{"T4", "of the peak of NVIDIA T4, so the model's shape or the GPU is not what it is taken for", false, false},
	} {
		l := captest.DiagnoseProfile(t, p, nil, captest.Options{GPU: c.gpu, Shape: shape}).Limits
		if (c.why == "") != (l.Why == "") || !strings.Contains(l.Why, c.why) {
			t.Errorf("%s: not computed because %q", c.gpu, l.Why)
		}
		if (l.MBU != nil) != c.mbu || c.mbu != (len(l.Phases) == 1) {
			t.Fatalf("%s: %+v", c.gpu, l)
		}
		if !c.mbu {
			continue
		}
		d := l.Phases[0]
		if (d.MFU >= 0) != c.mfu || (d.IdealNs > 0) != c.mfu || d.MBU <= 0 || (d.Bound == diagnose.BoundUnknown) == c.mfu {
			t.Errorf("%s: %+v", c.gpu, d)
		}
	}
}
