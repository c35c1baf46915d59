package diagnose_test

import (
	"strings"
	"testing"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/internal/captest"
	"github.com/stepscope/stepscope/serving"
)

// layered are the kernels of a step of so many layers, with collectives in each: n after the attention and behind the MLP.
func layered(layers int, collectives bool) []op {
	const norm = "void vllm::fused_add_rms_norm_kernel<c10::BFloat16, 8>"
	var out []op
	reduce := func() {
		if collectives {
			out = append(out, op{name: collectiveKernel, dur: 5 * us})
		}
	}
	for range layers {
		out = append(out, op{name: norm, dur: 2 * us}, op{name: gemmKernel, dur: 20 * us}, op{name: attentionKernel, dur: 10 * us}, op{name: gemmKernel, dur: 15 * us})
		reduce()
		out = append(out, op{name: norm, dur: 2 * us}, op{name: gemmKernel, dur: 60 * us},
			op{name: "void vllm::act_and_mul_kernel<c10::BFloat16, &vllm::silu_kernel>", dur: 3 * us}, op{name: gemmKernel, dur: 40 * us})
		reduce()
	}
	return append(out, op{name: norm, dur: 2 * us}, op{name: gemmKernel, dur: 100 * us})
}

// Over how many GPUs a model is split is what the engine was told, else what ranks show that reduce in every layer.
func TestHowTheModelIsSplit(t *testing.T) {
	told := func(tp, pp int64) *serving.Run {
		src := serving.Source{File: "server.log", Line: 1}
		return &serving.Run{Engine: serving.EngineInfo{TensorParallel: serving.NewFact(tp, src), PipelineParallel: serving.NewFact(pp, src)}}
	}
	one := func(ops []op) *engine { return newEngine().run(20, turn{marker: decode(8), ops: ops, graph: true}) }
	two := func(ops []op) *engine { return twoRanks(20, func(int, int) []op { return ops }) }
	few := append(layered(32, false), op{name: collectiveKernel, dur: 5 * us})
	for _, c := range []struct {
		name   string
		of     *engine
		run    *serving.Run
		tp, pp int
		note   string
	}{
		{"one GPU", one(layered(32, false)), nil, 0, 0, ""},
		{"two ranks", two(layered(32, true)), nil, 2, 0, "split over the 2 ranks of the capture"},
		{"two engines", two(layered(32, false)), nil, 0, 0, ""},
		{"two ranks that hand on", two(few), nil, -1, 0, "nothing says how the model is split"},
		{"one rank of several", one(layered(32, true)), nil, -1, 0, "nothing says how the model is split"},
		{"one rank of four, told", one(layered(32, true)), told(4, 1), 4, 0, ""},
		{"a pipeline of two, told", two(few), told(1, 2), 0, 2, ""},
	} {
		r := captest.DiagnoseProfile(t, c.of.profile(t), c.run, captest.Options{GPU: "H100 SXM", Shape: llama8b(t)})
		if n := r.Analysis.Pattern.LayerCount; n != 32 {
			t.Fatalf("%s: %d layers seen", c.name, n)
		}
		s, ok := r.Context.ModelShape()
		if ok != (c.tp >= 0) || ok && (s.TP != c.tp || s.PP != c.pp) || !strings.Contains(r.Context.ShapeNote, c.note) {
			t.Errorf("%s: %v, TP %d, PP %d: %s", c.name, ok, s.TP, s.PP, r.Context.ShapeNote)
		}
	}
}

// A named model is compared with the layers that a stage of the pipeline has.
func TestLayersOfAPipeline(t *testing.T) {
	run := func(pp int64) *serving.Run {
		src := serving.Source{File: "server.log", Line: 1}
		return &serving.Run{Engine: serving.EngineInfo{Model: serving.NewFact("meta-llama/Llama-3.1-8B-Instruct", src), PipelineParallel: serving.NewFact(pp, src)}}
	}
	for _, c := range []struct {
		layers int
		pp     int64
		ok     bool
	}{{32, 1, true}, {16, 1, false}, {16, 2, true}, {15, 2, true}, {32, 2, false}, {31, 1, false}} {
		e := newEngine().run(20, turn{marker: decode(8), ops: layered(c.layers, false), graph: true})
		r := captest.DiagnoseProfile(t, e.profile(t), run(c.pp), captest.Options{GPU: "H100 SXM"})
		if r.Context.HasShape != c.ok {
			t.Errorf("%d layers, PP %d: %v, %s", c.layers, c.pp, r.Context.HasShape, r.Context.ShapeNote)
		}
	}
}

// What is compared across ranks is compared for the steps that all of them ran.
func TestRanksOfUnequalWindows(t *testing.T) {
	e := newEngine()
	end := int64(0)
	for i := range 24 {
		at := end
		for rank := range 2 {
			if rank == 1 && i < 4 {
				continue
			}
			e.b.PID, e.b.TID, e.b.Device = int64(100+rank), int64(100+rank), int64(rank)
			e.host, e.gpu = at, at
			wait := int64(rank) * 200 * us
			e.step(turn{marker: decode(8), ops: []op{{name: moeKernel, dur: ms - wait}, {name: collectiveKernel, dur: 200*us + wait}}, graph: true})
			end = max(end, e.host)
		}
	}
	r := e.diagnose(t, nil)
	f := r.Finding(diagnose.CollectiveBound)
	if r.Diagnosis.Engine.Ranks != 2 || f == nil || len(f.Evidence) < 2 || f.Evidence[1].Text != "of it waiting for other ranks" || f.Confidence != "medium" {
		t.Fatalf("%d ranks: %v", r.Diagnosis.Engine.Ranks, f)
	}
	// 1.0 against 0.8 ms of the same 20 steps: 11 % over the mean. All 24 of the first would make it 20 %.
	if f := r.Finding(diagnose.MoEImbalance); f != nil {
		t.Errorf("%s", f.Summary)
	}
}

// Two engines on GPUs of different speed are no GPU that changes its speed.
func TestSpeedIsOfOneGPU(t *testing.T) {
	speed := func(change int64) *captest.Result {
		e := newEngine()
		for rank := range 2 {
			e.b.PID, e.b.TID, e.b.Device = int64(100+rank), int64(100+rank), int64(rank)
			e.host, e.gpu = 0, 0
			for i := range 40 {
				d := ms + int64(rank)*250*us
				if rank == 1 && i >= 20 {
					d += change
				}
				e.step(turn{marker: decode(8), ops: []op{{name: attentionKernel, dur: 50 * us}, {name: gemmKernel, dur: d}}, graph: true})
			}
		}
		return e.diagnose(t, nil)
	}
	if r := speed(0); r.Diagnosis.Engine.Engines != 2 || has(r, "gpu-speed") {
		t.Errorf("%d engines: %s", r.Diagnosis.Engine.Engines, r.Verdict)
	}
	if r := speed(250 * us); !has(r, "gpu-speed") || !strings.Contains(r.Verdict, "GPU 1 is 1.20 times slower in the second half") {
		t.Errorf("%s", r.Verdict)
	}
}

// What a server of several engines makes is what all of them make.
func TestRateOfSeveralEngines(t *testing.T) {
	rate := func(engines int) float64 {
		e := newEngine()
		for n := range engines {
			e.b.PID, e.b.TID, e.b.Device = int64(100+n), int64(100+n), int64(n)
			e.host, e.gpu = int64(n)*300*us, 0
			e.run(40, turn{marker: decode(8), ops: []op{{name: attentionKernel, dur: 50 * us}, {name: gemmKernel, dur: ms}}, graph: true})
		}
		r := e.diagnose(t, nil)
		if r.Diagnosis.Engine.Engines != engines {
			t.Fatalf("%d engines, want %d", r.Diagnosis.Engine.Engines, engines)
		}
		return r.Steps.ByPhase["decode"].TokensPerS
	}
	one, two := rate(1), rate(2)
	if two < 1.9*one || two > 2*one {
		t.Errorf("one engine %.0f tokens/s, two %.0f", one, two)
	}
}

// Engines that are not loaded alike are told, and then nothing is called the hardware's limit.
func TestEnginesOfUnequalLoad(t *testing.T) {
	two := func(steps, batch int) *captest.Result {
		e := newEngine()
		for n, c := range [][2]int{{60, 32}, {steps, batch}} {
			e.b.PID, e.b.TID, e.b.Device = int64(100+n), int64(100+n), int64(n)
			e.host, e.gpu = 0, 0
			e.run(c[0], turn{marker: decode(c[1]), ops: []op{{name: attentionKernel, dur: 50 * us}, {name: gemmKernel, dur: 3 * ms}}, graph: true})
		}
		return e.diagnose(t, nil)
	}
	for _, c := range []struct {
		steps, batch int
		want         string
	}{
		{60, 32, ""}, {60, 24, ""}, {50, 32, ""},
		{60, 16, "a decode step has 32 requests on GPU 0 and 16 requests on GPU 1"},
		{6, 32, "GPU 0 runs steps 100.0 % of the time and GPU 1 10.0 %"},
	} {
		r := two(c.steps, c.batch)
		if c.want == "" && strings.Contains(r.Verdict, "alike") || !strings.Contains(r.Verdict, c.want) || has(r, "engines-differ") != (c.want != "") {
			t.Errorf("%d steps of %d: %s", c.steps, c.batch, r.Verdict)
		}
	}
	// The log knows of an engine that ran nothing.
	src := serving.Source{File: "server.log", Line: 1}
	run := &serving.Run{Engine: serving.EngineInfo{DataParallel: serving.NewFact(int64(2), src), TensorParallel: serving.NewFact(int64(2), src)}}
	e := newEngine().run(60, turn{marker: decode(32), ops: []op{{name: attentionKernel, dur: 50 * us}, {name: gemmKernel, dur: 3 * ms}}, graph: true})
	if r := e.diagnose(t, run); !has(r, "engines-missing") || !has(r, "ranks-missing") || strings.Contains(r.Verdict, "not a fault") {
		t.Errorf("%s", r.Verdict)
	}
}
