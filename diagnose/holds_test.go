package diagnose_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/internal/captest"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/step"
)

// waits returns what the wall would be shorter by without the calls of a kind, step by step: the calls' time, but no more
// than the GPU idles. The calls must not overlap.
func waits(r *captest.Result, kind func(kernel.APIKind) bool) float64 {
	a, calls := r.Context.A, &r.Profile.Calls
	var gain int64
	for _, i := range a.Primary {
		s := &a.Steps[i]
		if s.Open || s.Cold {
			continue
		}
		var host int64
		for c := range calls.Len() {
			// The wait at the end of a step, for its tokens, is an event's.
			if k := a.CallKind(int32(c)); kind(k) && calls.Start[c] >= s.Host.Start && calls.Start[c] < s.Host.End {
				host += calls.Dur[c]
			}
		}
		gain += min(host, s.Budget.Idle())
	}
	return float64(gain) / float64(r.Context.Wall)
}

// One wait inside each step, for a GPU that then idles.
func TestSyncStall(t *testing.T) {
	s := threshold{t: t, id: diagnose.SyncStall, limit: 0.03, slack: 0.006}
	for wait := int64(0); wait < 400*us; wait += 5 * us {
		r := newEngine().run(30, turn{marker: decode(8), ops: layers(6, 100*us, 300*us), wait: wait}).diagnose(t, nil)
		if r.Context.Budget[step.IdleSync] > 0 != (wait > 0) {
			t.Errorf("%d us of waiting: idle.sync %d", wait, r.Context.Budget[step.IdleSync])
		}
		s.check(r, max(float64(r.Context.Budget[step.IdleSync])/float64(r.Context.Wall), waits(r, func(k kernel.APIKind) bool { return k == kernel.APISyncStream })))
		if f := r.Finding(s.id); f != nil && !strings.Contains(fmt.Sprint(f.Evidence), "cudaStreamSynchronize") {
			t.Errorf("the blamed call: %v", f.Evidence)
		}
	}
	s.done()
}

// A sampler's helper that reads values one by one: the cause of the waiting for launches, and named first.
func TestReadingValuesInsideSteps(t *testing.T) {
	sampling := op{name: samplingKernel, dur: 20 * us}
	for _, c := range []struct {
		name  string
		turn  turn
		reads int
		found bool
	}{
		{"none", turn{}, 0, false},
		{"one", turn{}, 1, true},
		{"eight", turn{}, 8, true},
		{"thirty on a slow host", turn{launch: 40 * us}, 30, true},
		{"after everything is launched", turn{late: true}, 8, false},
	} {
		u := c.turn
		u.marker, u.ops, u.reads = decode(8), append(layers(6, 20*us, 60*us), sampling), c.reads
		r := newEngine().run(30, u).diagnose(t, nil)
		f := r.Finding(diagnose.SyncStall)
		if (f != nil) != c.found {
			t.Errorf("%s: found %v: %+v", c.name, f != nil, f)
		}
		if f == nil {
			continue
		}
		want := fmt.Sprintf(", %d times a step", c.reads)
		if c.reads == 1 {
			want = ", once a step"
		}
		if !strings.Contains(f.Summary, want) {
			t.Errorf("%s: %s", c.name, f.Summary)
		}
		if f.Share > 0.2 && r.First() != diagnose.SyncStall {
			t.Errorf("%s: first is %s", c.name, r.First())
		}
		// Without the reads the engine is faster by what the finding says, not by less.
		twice := newEngine()
		twice.driver = true
		if g := twice.run(30, u).diagnose(t, nil).Finding(diagnose.SyncStall); g == nil || g.Share != f.Share || g.Summary != f.Summary {
			t.Errorf("%s: with the driver's calls recorded: %+v, want %+v", c.name, g, f)
		}
		u.reads = 0
		without := newEngine().run(30, u).diagnose(t, nil)
		gain := 1 - float64(without.Context.Wall)/float64(r.Context.Wall)
		if f.Share > gain*1.05 || f.Share < gain*0.7 {
			t.Errorf("%s: could return %.3f, measured %.3f", c.name, f.Share, gain)
		}
	}
}

// Launches that wait for their work are told apart from a slow host, and from short kernels that end within their launch.
func TestLaunchesThatBlock(t *testing.T) {
	for _, c := range []struct {
		name  string
		turn  turn
		found bool
	}{
		{"blocking", turn{ops: layers(12, 100*us, 400*us), block: true}, false}, // the GPU hardly waits: nothing to gain
		{"blocking, short kernels", turn{ops: append(layers(60, 4*us, 6*us), op{name: samplingKernel, dur: 60 * us}), block: true}, true},
		{"slow host", turn{ops: layers(60, 10*us, 60*us), launch: 100 * us}, false},
		{"blocking, too short to tell", turn{ops: layers(60, 2*us, 3*us), block: true}, false},
	} {
		c.turn.marker = decode(8)
		r := newEngine().run(20, c.turn).diagnose(t, nil)
		if r.Context.LaunchesBlock() != c.turn.block && c.found {
			t.Errorf("%s: blocking %v", c.name, r.Context.LaunchesBlock())
		}
		f := r.Finding(diagnose.SyncStall)
		if (f != nil) != c.found {
			t.Errorf("%s: %+v", c.name, f)
		}
		if f != nil && (!strings.Contains(f.Summary, "CUDA_LAUNCH_BLOCKING") || r.First() != diagnose.SyncStall || f.Share < 0.3) {
			t.Errorf("%s: first %s: %s", c.name, r.First(), f.Summary)
		}
	}
}

// Many short allocations inside steps cost as much as a few long calls.
func TestAllocationsInsideSteps(t *testing.T) {
	s := threshold{t: t, id: diagnose.APILatency, limit: 0.02, slack: 0.004}
	for alloc := us; alloc < 30*us; alloc += us / 4 {
		// A host as fast as the GPU, so that what it does more shows.
		r := newEngine().run(30, turn{marker: decode(8), ops: layers(12, 20*us, 20*us), alloc: alloc, launch: 20 * us}).diagnose(t, nil)
		s.check(r, waits(r, func(k kernel.APIKind) bool { return k == kernel.APIAlloc }))
		if f := r.Finding(s.id); f != nil && !strings.Contains(fmt.Sprint(f.Summary, f.Evidence), "cudaMalloc: 58 calls") {
			t.Errorf("%s %v", f.Summary, f.Evidence)
		}
	}
	s.done()
}

// Real servers with a planted wait: a logits processor that reads every row's maximum, and CUDA_LAUNCH_BLOCKING=1.
func TestWaitsOnCaptures(t *testing.T) {
	for _, c := range []struct {
		name, knob, summary string
	}{
		{"guard1b-J", "logits-processors", "16 times a step"},
		{"blocking1b-J", "CUDA_LAUNCH_BLOCKING", "Every launch waits"},
		{"guard8b-J", "logits-processors", "once a step"},
	} {
		r := captest.Diagnose(t, c.name, captest.Options{})
		f := r.Finding(diagnose.SyncStall)
		if f == nil || r.First() != diagnose.SyncStall || f.Severity != diagnose.High || !strings.Contains(f.Summary, c.summary) {
			t.Errorf("%s: first %s: %+v", c.name, r.First(), f)
			continue
		}
		if v := f.Advice[0]; v.Knob != c.knob || v.Predicted == nil {
			t.Errorf("%s: %+v", c.name, v)
		}
		// The waiting for launches is a consequence, whatever its share.
		if g := r.Finding(diagnose.HostLaunchBound); g == nil || g.Caused != diagnose.SyncStall {
			t.Errorf("%s: %+v", c.name, g)
		}
	}
}

// The leak's allocations are slow calls as well, and told as such beside the slow host.
func TestAllocationsOnCaptures(t *testing.T) {
	for name, want := range map[string]string{"leak1b-J": "cudaMalloc: 42 calls inside steps", "runner1_1b-J": "", "base8b-F": ""} {
		f := captest.Diagnose(t, name, captest.Options{}).Finding(diagnose.APILatency)
		if (f != nil) != (want != "") || f != nil && !strings.Contains(fmt.Sprint(f.Evidence), want) {
			t.Errorf("%s: %+v", name, f)
		}
	}
}
