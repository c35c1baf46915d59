package diagnose_test

import (
	"strings"
	"testing"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/internal/captest"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/step"
)

// layers returns n pairs of attention and GEMM of the given durations.
func layers(n int, attention, gemm int64) []op {
	var out []op
	for range n {
		out = append(out, op{name: attentionKernel, dur: attention}, op{name: gemmKernel, dur: gemm})
	}
	return out
}

func TestHostLaunchBound(t *testing.T) {
	s := threshold{t: t, id: diagnose.HostLaunchBound, limit: 0.05, slack: 0.01}
	for launch := 5 * us; launch < 250*us; launch += launch/200 + us/2 {
		r := newEngine().run(30, turn{marker: decode(8), ops: layers(6, 100*us, 300*us), launch: launch}).diagnose(t, nil)
		s.check(r, r.Context.All.Part(step.IdleLaunch))
		if f := r.Finding(s.id); f != nil {
			if f.Share < 0.25 && f.Confidence != "low" {
				t.Errorf("share %.3f without an unprofiled benchmark: confidence %s", f.Share, f.Confidence)
			}
			if !strings.Contains(f.Summary, "without CUDA graphs") {
				t.Errorf("eager steps: %s", f.Summary)
			}
		}
	}
	s.done()
}

// A capture that is stretched to twice the client's token gap has no host time left to blame.
func TestTracingIsTakenOff(t *testing.T) {
	e := func() *engine {
		return newEngine().run(30, turn{marker: decode(8), ops: layers(6, 100*us, 300*us), launch: 300 * us})
	}
	r := e().diagnose(t, nil)
	f := r.Finding(diagnose.HostLaunchBound)
	if f == nil {
		t.Fatal("no finding without a benchmark")
	}
	period := float64(r.Context.Period(&r.Context.Typical).Median) / 1e6
	busy := float64(r.Context.Busy(&r.Context.Typical).Median) / 1e6
	for _, c := range []struct {
		name  string
		gap   float64
		found bool
	}{
		{"representative", period, true},
		{"stretched a little", period / 1.05, true},
		{"all of the waiting comes from tracing", busy * 1.001, false},
	} {
		g := e().diagnose(t, &serving.Run{Bench: bench(8, c.gap, c.gap*1.2, c.gap)}).Finding(diagnose.HostLaunchBound)
		if (g != nil) != c.found {
			t.Errorf("%s: found %v", c.name, g != nil)
		}
		if g != nil && g.Share > f.Share*1.001 {
			t.Errorf("%s: share %.3f grew above %.3f", c.name, g.Share, f.Share)
		}
	}
}

func TestHostStepGap(t *testing.T) {
	s := threshold{t: t, id: diagnose.HostStepGap, limit: 0.05, slack: 0.01}
	for gap := int64(0); gap < 600*us; gap += 10 * us {
		r := newEngine().run(30, turn{marker: decode(8), ops: layers(6, 100*us, 300*us), gap: gap, graph: true}).diagnose(t, nil)
		s.check(r, r.Context.All.Part(step.IdleScheduler))
		if r.Finding(diagnose.Underloaded) != nil {
			t.Errorf("a gap of %d us with API calls is taken for a lack of requests", gap/us)
		}
	}
	s.done()
}

// Waiting for a GPU that works is no stall.
func TestWaitingForAWorkingGPUIsNoStall(t *testing.T) {
	r := newEngine().run(30, turn{marker: decode(8), ops: layers(12, 100*us, 300*us), graph: true}).diagnose(t, nil)
	if f := r.Finding(diagnose.SyncStall); f != nil {
		t.Errorf("%s", f.Summary)
	}
}

func TestTransferBound(t *testing.T) {
	s := threshold{t: t, id: diagnose.TransferBound, limit: 0.05, slack: 0.01}
	for dur := 10 * us; dur < 500*us; dur += 10 * us {
		ops := append([]op{{dur: dur, bytes: dur * 20, sync: true}}, layers(6, 100*us, 300*us)...)
		r := newEngine().run(30, turn{marker: decode(8), ops: ops}).diagnose(t, nil)
		s.check(r, r.Context.All.Part(step.IdleCopy, step.CopyHtoDPageable))
		if f := r.Finding(s.id); f != nil {
			var rows, pageable bool
			for _, e := range f.Evidence {
				rows = rows || e.Unit == "GB/s" && e.Value > 19.9 && e.Value < 20.1
				pageable = pageable || strings.Contains(e.Text, "pageable memory, 30 copies")
			}
			if !rows || !pageable {
				t.Errorf("rate or kind of memory missing: %v", f.Evidence)
			}
		}
	}
	s.done()
}

func TestAPILatency(t *testing.T) {
	// One query of 1.5 ms among sixty of 10 us: 0.02 of the wall when the wall is 75 ms.
	s := threshold{t: t, id: diagnose.APILatency, limit: 0.02, slack: 0.004}
	for n := 10; n < 60; n++ {
		e := newEngine()
		ops := layers(6, 100*us, 100*us)
		e.run(n, turn{marker: decode(8), ops: ops, slow: 10 * us})
		e.step(turn{marker: decode(8), ops: ops, slow: 1600 * us})
		e.run(n, turn{marker: decode(8), ops: ops, slow: 10 * us})
		r := e.diagnose(t, nil)
		idle := r.Finding(diagnose.APILatency)
		// The exact idle time under the call: it starts while the GPU works on what was launched before.
		var share float64
		for _, i := range r.Context.A.Primary {
			if st := &r.Context.A.Steps[i]; st.Budget[step.IdleLaunch] > ms/4 {
				share = float64(st.Budget[step.IdleLaunch]-5*us) / float64(r.Context.Wall)
			}
		}
		s.check(r, share)
		if idle != nil && (idle.Share < share-0.001 || !strings.Contains(idle.Evidence[0].Text, "cuKernelGetAttribute: 1 slow calls")) {
			t.Errorf("share %.4f, expected %.4f: %v", idle.Share, share, idle.Evidence)
		}
	}
	s.done()
}

// A first-use call marks its step cold: told by cold-start, not by api-latency, and kept out of the host's share.
func TestColdStart(t *testing.T) {
	e := newEngine()
	ops := layers(6, 100*us, 100*us)
	e.run(20, turn{marker: decode(8), ops: ops, slow: 10 * us})
	e.step(turn{marker: decode(8), ops: ops, slow: 30 * ms})
	e.run(20, turn{marker: decode(8), ops: ops, slow: 10 * us})
	r := e.diagnose(t, nil)
	f := r.Finding(diagnose.ColdStart)
	if f == nil || f.Severity < diagnose.High || !strings.Contains(f.Summary, "cuKernelGetAttribute took 30.0 ms") {
		t.Fatalf("cold start: %+v", f)
	}
	// Warm-up is the answer, and not what shortens the start of the server or does without graphs.
	if len(f.Advice) == 0 || f.Advice[0].Knob != "warm-up requests" {
		t.Errorf("advice %+v", f.Advice)
	}
	for _, a := range f.Advice {
		if a.Knob == "enforce-eager" || a.Knob == "safetensors-load-strategy" || a.Knob == "load-format" {
			t.Errorf("advises %s", a.Knob)
		}
	}
	for _, id := range []string{diagnose.APILatency, diagnose.HostLaunchBound, diagnose.HostStepGap} {
		if g := r.Finding(id); g != nil {
			t.Errorf("%s as well: %s", id, g.Summary)
		}
	}
	if r.First() != diagnose.ColdStart {
		t.Errorf("first finding %s", r.First())
	}
	// Just below 2 ms a call is slow, not cold.
	e = newEngine()
	e.run(10, turn{marker: decode(8), ops: ops, slow: 10 * us})
	e.step(turn{marker: decode(8), ops: ops, slow: 2*ms - us})
	e.run(10, turn{marker: decode(8), ops: ops, slow: 10 * us})
	if r := e.diagnose(t, nil); r.Finding(diagnose.ColdStart) != nil || r.Finding(diagnose.APILatency) == nil {
		t.Errorf("1.999 ms: cold %v, slow call %v", r.Finding(diagnose.ColdStart), r.Finding(diagnose.APILatency))
	}
}

// First use that costs nothing, or what nothing can be held against, is context that says so.
func TestColdStartCosts(t *testing.T) {
	long := layers(6, 100*us, 3*ms) // the GPU works on while the host is held up
	for _, c := range []struct {
		name, text string
		cold       turn
	}{
		{"behind the GPU's work", "none of these steps took longer than usual", turn{marker: decode(8), ops: long, slow: 5 * ms}},
		{"the only step of its kind", "What they cost is not known", turn{marker: mixed(1, 512, 8), ops: long, slow: 60 * ms}},
	} {
		e := newEngine().run(20, turn{marker: decode(8), ops: long, slow: 10 * us})
		e.step(c.cold)
		f := e.run(20, turn{marker: decode(8), ops: long, slow: 10 * us}).diagnose(t, nil).Finding(diagnose.ColdStart)
		if f == nil || f.Severity != diagnose.Info || !strings.Contains(f.Summary, c.text) {
			t.Errorf("%s: %+v", c.name, f)
			continue
		}
		for _, v := range f.Evidence {
			if v.Value == 0 {
				t.Errorf("%s: evidence of nothing: %+v", c.name, v)
			}
		}
	}
}

// No rule about the host decides without the host.
func TestHostRulesAbstain(t *testing.T) {
	hostRules := []string{diagnose.HostLaunchBound, diagnose.HostStepGap, diagnose.SyncStall, diagnose.APILatency, diagnose.Underloaded}
	slow := turn{marker: decode(8), ops: append(layers(6, 100*us, 300*us), op{name: samplingKernel, dur: 20 * us}), launch: 600 * us}
	for _, c := range []struct {
		name string
		edit func(*profile.Profile)
		n    int
		why  string
	}{
		{"one step", func(*profile.Profile) {}, 1, "fewer than two steps"},
		{"no API calls", captest.WithoutCalls, 20, "API calls are not recorded"},
		{"launches of the first third only", func(p *profile.Profile) {
			n := p.Calls.Len() / 3
			captest.KeepCalls(p, func(i int) bool { return i < n })
		}, 30, "of the device work has its launch call"},
	} {
		p := newEngine().run(c.n, slow).profile(t)
		c.edit(p)
		r := diagnoseOn(t, p, nil)
		for _, id := range hostRules {
			if f := r.Finding(id); f != nil {
				t.Errorf("%s: %s: %s", c.name, id, f.Summary)
			}
			if !strings.Contains(r.Why(id), c.why) {
				t.Errorf("%s: %s abstains because %q", c.name, id, r.Why(id))
			}
		}
		if r.Limits.Bound == diagnose.BoundHost && c.n > 1 {
			t.Errorf("%s: bound by %s", c.name, r.Limits.Bound)
		}
		if strings.Contains(r.Verdict, "No limit") {
			t.Errorf("%s: %s", c.name, r.Verdict)
		}
	}
}

// A capture with markers, its launches and an unprofiled benchmark of the same pace is believed without a note; one step
// fewer, a stretched pace or a lost launch is told.
func TestCaptureQuality(t *testing.T) {
	pace := float64(12*320*us) / 1e6 // ms of GPU work per step
	for _, c := range []struct {
		name, note string // "": silent
		steps      int
		itl        float64
		lost       int   // launches
		gap        int64 // host time between the steps
	}{
		{"twenty steps", "", 20, pace, 0, 0},
		{"nineteen", "few-steps", 19, pace, 0, 0},
		{"stretched less than 1.1 times", "", 20, pace / 1.05, 0, 0},
		{"stretched more", "distortion", 20, pace, 0, ms},
		{"the GPU's own work is longer", "gpu-slower", 20, pace / 1.15, 0, 0},
		{"one launch in a hundred is lost", "", 100, pace, 1, 0},
		{"three are", "launch-coverage", 100, pace, 3, 0},
	} {
		p := newEngine().run(c.steps, turn{marker: decode(8), ops: layers(12, 20*us, 300*us), graph: true, gap: c.gap}).profile(t)
		lost := 0
		captest.KeepCalls(p, func(i int) bool {
			drop := lost < c.lost && strings.HasPrefix(p.Strings.At(p.Calls.Name[i]), "cudaGraphLaunch")
			if drop {
				lost++
			}
			return !drop
		})
		f := diagnoseOn(t, p, &serving.Run{Bench: bench(8, c.itl, c.itl*1.2, c.itl)}).Finding(diagnose.CaptureQuality)
		switch {
		case c.note == "" && f != nil:
			t.Errorf("%s: %s", c.name, f.Summary)
		case c.note != "" && (f == nil || f.Evidence[0].Rows != c.note):
			t.Errorf("%s: %+v", c.name, f)
		}
	}
}

// A file that ends before any GPU work is told as such: a server without requests is another matter.
func TestFileCutBeforeGPUWork(t *testing.T) {
	for _, c := range []struct {
		name      string
		truncated bool
		text      string // of the reader
		verdict   string
		notes     int // about the file and its GPU work
	}{
		{"whole", false, "", "No GPU work is recorded", 1},
		{"cut", true, "the trace is cut off: the gzip stream is cut off at byte 99, after 7 complete events", "The file is cut off, and what could be read holds no engine step, so there is no verdict: use the whole file, or capture again. In detail: the gzip stream is cut off at byte 99", 1},
		{"damaged", true, "the trace is damaged: not JSON at byte 99, after 7 complete events", "The file is damaged, and what could be read holds no engine step", 1},
		{"cut, another reader", true, "", "The file is cut off, and what could be read holds no engine step", 1},
	} {
		e := newEngine()
		e.b.Call("cudaEventQuery_v3020", 0, 10*us)
		p := e.profile(t)
		if p.Capture.Truncated = c.truncated; c.text != "" {
			p.Diagnostics = append(p.Diagnostics, profile.Diagnostic{Severity: profile.Warning, Source: "reader", Text: c.text})
		}
		r := diagnoseOn(t, p, nil)
		if !strings.HasPrefix(r.Verdict, c.verdict) {
			t.Errorf("%s: %s", c.name, r.Verdict)
		}
		n := 0
		for _, q := range r.Diagnosis.Profile.Quality {
			if q.ID == "no-gpu-work" || q.ID == "truncated" || q.ID == "reader-message" {
				n++
			}
		}
		if q := r.Diagnosis.Profile.Quality; n != c.notes || q[0].ID != "no-gpu-work" {
			t.Errorf("%s: %+v", c.name, q)
		}
	}
}
