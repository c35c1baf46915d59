package diagnose_test

import (
	"strings"
	"testing"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/internal/captest"
	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/step"
)

// stallPart computes the part of decode time beyond a pure decode step in mixed steps of three times its length or more.
func stallPart(r *captest.Result) float64 {
	base := r.Context.Period(&r.Context.Decode).Median
	var excess, all int64
	for _, i := range r.Context.A.Primary {
		s := &r.Context.A.Steps[i]
		all += s.Batch.DecodeRequests * s.Wall()
		if s.Phase == step.Mixed && !s.Open && s.Wall() >= 3*base {
			excess += s.Batch.DecodeRequests * (s.Wall() - base)
		}
	}
	return float64(excess) / float64(all)
}

func TestPrefillInterference(t *testing.T) {
	s := threshold{t: t, id: diagnose.PrefillInterference, limit: 0.10, slack: 0.01}
	for n := 20; n < 90; n++ {
		r := prefills(6, n, 2048, 100*us, 2*ms).diagnose(t, nil)
		s.check(r, stallPart(r))
	}
	s.done()
	for _, c := range []struct {
		gemm  int64
		found bool
	}{{850 * us, false}, {890 * us, true}} { // 6 x (0.1 + gemm) against three times 6 x 0.32 ms
		if f := prefills(6, 4, 400, 100*us, c.gemm).diagnose(t, nil).Finding(diagnose.PrefillInterference); (f != nil) != c.found {
			t.Errorf("mixed steps with GEMMs of %d us: found %v", c.gemm/us, f != nil)
		}
	}
	if why := newEngine().run(2, turn{marker: decode(8), ops: layers(6, 20*us, 300*us), graph: true}).
		run(6, turn{marker: mixed(1, 2048, 8), ops: layers(6, 100*us, 2*ms)}).diagnose(t, nil).Why(diagnose.PrefillInterference); !strings.Contains(why, "too few pure decode steps") {
		t.Errorf("two decode steps: %q", why)
	}
}

// The benchmark's token gaps decide: a long tail confirms, a short one weakens, and a mean far above the median shows that
// the window holds fewer stalls than the run.
func TestInterferenceAgainstTheBenchmark(t *testing.T) {
	base := 1.93 // ms per decode step
	for _, c := range []struct {
		name       string
		rounds     int
		p99, mean  float64
		found      bool
		confidence string
		severity   diagnose.Severity
	}{
		{"confirmed", 20, 13, 2.4, true, "high", diagnose.Medium},
		{"no tail: the window fell into a burst", 20, 5 * base, 2.0, true, "low", diagnose.Low},
		{"few stalls here, a quarter of the run", 90, 13, base / 0.76, true, "high", diagnose.Medium},
		{"few stalls here and in the run", 90, 13, base / 0.95, false, "", 0},
		{"few stalls here, a mean without a tail", 90, 5, base / 0.75, false, "", 0},
	} {
		r := prefills(5, c.rounds, 2048, 100*us, 2*ms).diagnose(t, &serving.Run{Bench: bench(8, base, c.p99, c.mean)})
		f := r.Finding(diagnose.PrefillInterference)
		if (f != nil) != c.found {
			t.Errorf("%s: found %v, part %.3f", c.name, f != nil, stallPart(r))
			continue
		}
		if f != nil && (f.Confidence != c.confidence || f.Severity != c.severity) {
			t.Errorf("%s: %v, confidence %s: %s", c.name, f.Severity, f.Confidence, f.Summary)
		}
		captest.Check(t, c.name, r)
	}
}

// Where prefill is most of the work, arithmetic comes first and the stalls are about latency only.
func TestPrefillDominates(t *testing.T) {
	r := prefills(8, 3, 4096, 100*us, 4*ms).diagnose(t, nil)
	f := r.Finding(diagnose.PrefillInterference)
	if r.First() != diagnose.ComputeBound || f == nil || f.Share != 0 || f.Severity > diagnose.Medium {
		t.Errorf("first %s, interference %+v", r.First(), f)
	}
}

func TestPrefillChunkLimited(t *testing.T) {
	run := func(budget int64) *serving.Run {
		r := &serving.Run{}
		r.Engine.MaxNumBatchedTokens = serving.NewFact(budget, serving.Source{File: "server.log", Line: 12})
		return r
	}
	chunks := func(n int, tokens ...int) *engine {
		e := newEngine()
		for range n {
			for _, k := range tokens {
				e.step(turn{marker: mixed(1, k-8, 8), ops: layers(6, 50*us, 400*us), launch: 8 * us})
			}
		}
		return e.run(5, turn{marker: decode(8), ops: layers(6, 20*us, 300*us), graph: true})
	}
	for _, c := range []struct {
		name  string
		e     *engine
		run   *serving.Run
		found bool
	}{
		{"every step at the budget", chunks(8, 256), run(256), true},
		{"the same without the setting", chunks(8, 256), nil, true},
		{"three of five at the budget", chunks(4, 256, 256, 256, 100, 100), run(256), true},
		{"fewer than three of five", chunks(4, 256, 256, 100, 100), run(256), false},
		{"three steps", chunks(3, 256), run(256), false},
		{"97 % of the budget count", chunks(8, 249), run(256), true},
		{"96 % do not", chunks(8, 247), run(256), false},
		{"a budget that fills the GPU: four times the ridge of 295.3", chunks(8, 1182), run(1182), false},
		{"one below", chunks(8, 1181), run(1181), true},
		{"steps below the budget", chunks(8, 256), run(8192), false},
	} {
		r := c.e.diagnose(t, c.run)
		f := r.Finding(diagnose.PrefillChunkLimited)
		if (f != nil) != c.found {
			t.Errorf("%s: found %v", c.name, f != nil)
		}
		if f != nil && c.run != nil != (f.Confidence == "high") {
			t.Errorf("%s: confidence %s", c.name, f.Confidence)
		}
		captest.Check(t, c.name, r)
	}
}

// Small chunks make steps that are launch-bound too: one story, told by the budget.
func TestSmallChunksExplainLaunches(t *testing.T) {
	e := newEngine()
	for range 20 {
		e.step(turn{marker: mixed(1, 248, 8), ops: layers(6, 50*us, 200*us), launch: 400 * us})
	}
	r := e.diagnose(t, nil)
	f := r.Finding(diagnose.HostLaunchBound)
	if r.First() != diagnose.PrefillChunkLimited || f == nil || f.Caused != diagnose.PrefillChunkLimited {
		t.Errorf("first %s, launches %+v", r.First(), f)
	}
}
