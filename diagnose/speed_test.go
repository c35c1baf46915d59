package diagnose_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/internal/captest"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

func has(r *captest.Result, note string) bool {
	return slices.ContainsFunc(r.Diagnosis.Profile.Quality, func(q diagnose.Quality) bool { return q.ID == note })
}

// A GPU that takes longer for the same work from some point on is told, in the verdict too.
func TestSpeedOfTheGPU(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after int64 // us of a GEMM
		told          string
	}{
		{"steady", 300, 300, ""},
		{"a twentieth slower", 300, 315, ""},
		{"throttled", 300, 480, "1.60 times slower in the second half"},
		{"slow at first", 480, 300, "1.60 times slower in the first half"},
	} {
		e := newEngine()
		e.run(12, turn{marker: decode(8), ops: layers(12, 20*us, c.before*us), graph: true})
		e.run(12, turn{marker: decode(8), ops: layers(12, 20*us, c.after*us), graph: true})
		r := e.diagnose(t, nil)
		if has(r, "gpu-speed") != (c.told != "") || c.told != "" && !strings.Contains(r.Verdict, c.told) {
			t.Errorf("%s: %s", c.name, r.Verdict)
		}
	}
	for _, name := range captest.Names(t) {
		if r := captest.Diagnose(t, name, captest.Options{}); has(r, "gpu-speed") || has(r, "shared-gpu") || has(r, "engines-differ") {
			t.Errorf("%s: %+v", name, r.Diagnosis.Profile.Quality)
		}
	}
}

// Another process on the GPU is no engine, and a server beside it is not called healthy.
func TestAnotherProcessOnTheGPU(t *testing.T) {
	const name = "base8b-A"
	alone := captest.Diagnose(t, name, captest.Options{})
	if !strings.Contains(alone.Verdict, "not a fault") {
		t.Fatalf("alone: %s", alone.Verdict)
	}
	r := captest.Diagnose(t, name, captest.Options{Edit: func(p *profile.Profile) {
		p.Processes = append(slices.Clone(p.Processes), profile.Process{PID: 4242, Name: "other", Rank: profile.None})
		q := p.Queues[p.Kernels.Queue[0]]
		q.Process, q.Context, q.Stream = int32(len(p.Processes)-1), 2, 77
		p.Queues = append(slices.Clone(p.Queues), q)
		// Every seventh kernel in the middle of a layer is the other's.
		queue, call := slices.Clone(p.Kernels.Queue), slices.Clone(p.Kernels.Call)
		for i := 3; i < len(queue); i += 7 {
			queue[i], call[i] = int32(len(p.Queues)-1), profile.None
		}
		p.Kernels.Queue, p.Kernels.Call = queue, call
	}})
	if !has(r, "shared-gpu") || !strings.Contains(r.Verdict, "Process 4242 works on the same GPU") || strings.Contains(r.Verdict, "not a fault") {
		t.Errorf("%s", r.Verdict)
	}
	if r.Context.A.Source() != step.ByMarker || len(r.Context.A.Primary) != len(alone.Context.A.Primary) || r.Diagnosis.Engine.Engines != 1 {
		t.Errorf("%d steps by %s of %d engines, %d alone", len(r.Context.A.Primary), r.Context.A.Source(), r.Diagnosis.Engine.Engines, len(alone.Context.A.Primary))
	}
}

// A step that an unknown kernel takes much of is not at the hardware's limit.
func TestUnknownKernelsAreNoLimit(t *testing.T) {
	for _, c := range []struct {
		name    string
		us      int64
		healthy bool
	}{{"none", 0, true}, {"a tenth", 60, true}, {"a quarter", 180, false}} {
		var ops []op
		for range 12 {
			ops = append(ops, op{name: "triton_red_fused_fused_add_rms_norm_0", dur: 2 * us}, op{name: gemmKernel, dur: 100 * us},
				op{name: attentionKernel, dur: 20 * us}, op{name: gemmKernel, dur: 100 * us}, op{name: "triton_red_fused_fused_add_rms_norm_1", dur: 2 * us},
				op{name: gemmKernel, dur: 200 * us}, op{name: "triton_poi_fused_mul_silu_1", dur: 2 * us}, op{name: gemmKernel, dur: 100 * us})
			if c.us > 0 {
				ops = append(ops, op{name: "acme_rescore_kernel", dur: c.us * us})
			}
		}
		r := newEngine().run(30, turn{marker: decode(8), ops: ops, graph: true}).diagnose(t, nil)
		v := r.Verdict
		if got := strings.Contains(v, "not a fault") || strings.Contains(v, "is not recorded"); got != c.healthy {
			t.Errorf("%s: %s", c.name, v)
		}
	}
}

// A batch that varies over the window is told with the one that the verdict is about.
func TestVaryingBatch(t *testing.T) {
	steady := newEngine().run(20, turn{marker: decode(8), ops: layers(6, 100*us, 300*us), graph: true}).diagnose(t, nil)
	e := newEngine()
	for n := 24; n > 4; n-- {
		e.run(2, turn{marker: decode(n), ops: layers(6, 100*us, 300*us), graph: true})
	}
	if v := e.diagnose(t, nil).Verdict; !strings.Contains(v, "(the most frequent batch of 5 to 24)") || strings.Contains(steady.Verdict, "most frequent") {
		t.Errorf("%s\n%s", v, steady.Verdict)
	}
}

// Engines of different speed are told; engines that are alike, or one engine's ranks, are not.
func TestEnginesDiffer(t *testing.T) {
	for _, c := range []struct {
		name   string
		second int64 // us of a GEMM on the second engine
		told   bool
	}{{"alike", 300, false}, {"a fifth slower", 360, false}, {"twice as long", 600, true}} {
		e := newEngine()
		var ends [2]int64
		for range 20 {
			for engine, gemm := range []int64{300, c.second} {
				e.b.PID, e.b.TID, e.b.Device = int64(100+engine), int64(100+engine), int64(engine)
				e.host, e.gpu = ends[engine], ends[engine]
				// Other batches: data-parallel engines, and not the ranks of one.
				e.step(turn{marker: decode(8 + engine), ops: layers(6, 100*us, gemm*us), graph: true})
				ends[engine] = e.host
			}
		}
		e.host = max(ends[0], ends[1])
		r := e.diagnose(t, nil)
		if r.Diagnosis.Engine.Engines != 2 || has(r, "engines-differ") != c.told {
			t.Errorf("%s: %d engines, %+v", c.name, r.Diagnosis.Engine.Engines, r.Diagnosis.Profile.Quality)
		}
	}
}
