package compare_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stepscope/stepscope/compare"
	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/stat"
)

// starts makes n starts of a server whose rate varies by spread between starts.
func starts(n, bursts int, rate, spread float64, seed uint64) []compare.Start {
	rng := rand.New(rand.NewPCG(seed, 3))
	src := serving.Source{File: "bench.json"}
	var out []compare.Start
	for range n {
		v := rate * (1 + spread*(rng.Float64()-0.5))
		s := compare.Start{Usage: &compare.Usage{GPUMemBytes: []float64{70 << 30, 70 << 30}, CPUCores: []float64{2, 2.1}}}
		for range bursts {
			w := v * (1 + 0.002*(rng.Float64()-0.5))
			b := &serving.Bench{OutputRate: serving.NewFact(w, src), Completed: serving.NewFact(int64(20), src), Failed: serving.NewFact(int64(0), src)}
			b.TPOT.Median = serving.NewFact(8000/w, src)
			r := &serving.Run{Bench: b}
			r.Engine.KVCacheTokens = serving.NewFact(int64(1000), src)
			s.Runs = append(s.Runs, r)
		}
		out = append(out, s)
	}
	return out
}

func rounds(b, a []compare.Start) []compare.Round {
	out := make([]compare.Round, max(len(b), len(a)))
	for i := range out {
		if i < len(b) {
			out[i].Before = b[i]
		}
		if i < len(a) {
			out[i].After = a[i]
		}
	}
	return out
}

func TestRounds(t *testing.T) {
	for _, tc := range []struct {
		name   string
		n      int
		gain   float64
		spread float64
		want   stat.Verdict
	}{
		{"three starts, a clear gain", 3, 1.3, 0.01, stat.Better},
		{"three starts, a clear loss", 3, 0.8, 0.01, stat.Worse},
		{"three starts, nothing", 3, 1.0, 0.004, stat.Same},
		{"three starts that vary more than the gain", 3, 1.05, 0.3, stat.Unclear},
		{"eight starts, a small gain", 8, 1.05, 0.01, stat.Better},
		{"two starts, a clear gain", 2, 1.3, 0.002, stat.Better},
		{"one start, a clear gain of its bursts", 1, 1.3, 0.01, stat.Better},
	} {
		c := compare.Rounds(compare.Side{}, compare.Side{}, rounds(starts(tc.n, 3, 1000, tc.spread, 1), starts(tc.n, 3, 1000*tc.gain, tc.spread, 2)), compare.Options{})
		m := metric(t, c, compare.Benchmark, "output_tokens_per_s")
		if m.Verdict != tc.want {
			t.Errorf("%s: %s (%s), n %d+%d", tc.name, m.Verdict, m.Reason, m.Before.N, m.After.N)
		}
		if k := metric(t, c, compare.Memory, "kv_cache_tokens"); k.Verdict != stat.Same || k.Basis != compare.ByExact {
			t.Errorf("%s: capacity %s by %s", tc.name, k.Verdict, k.Basis)
		}
		if len(c.Warnings) == 0 && tc.n < 6 {
			t.Errorf("%s: nothing says what %d starts cannot show", tc.name, tc.n)
		}
	}
}

// The share of false alarms on starts of one and the same server stays below the level.
func TestRoundsRaiseFewFalseAlarms(t *testing.T) {
	const trials = 300
	wrong := 0
	for i := range uint64(trials) {
		c := compare.Rounds(compare.Side{}, compare.Side{}, rounds(starts(3, 1, 1000, 0.1, 2*i+10), starts(3, 1, 1000, 0.1, 2*i+11)), compare.Options{})
		if c.Verdict == compare.Better || c.Verdict == compare.Worse || c.Verdict == compare.Mixed {
			wrong++
		}
	}
	if wrong > trials/12 {
		t.Errorf("%d of %d comparisons of one server with itself raise an alarm", wrong, trials)
	}
}

func TestRunValuesAreMediansOfBursts(t *testing.T) {
	r := rounds(starts(2, 3, 1000, 0, 1), starts(1, 3, 2000, 0, 2))
	b, a, dir, ok := compare.RunValues(r, "output_tokens_per_s")
	if !ok || len(b) != 2 || len(a) != 1 || dir != stat.HigherIsBetter || !near(a[0], 2000, 0.01) {
		t.Errorf("%v %v %v %v", b, a, dir, ok)
	}
	if _, _, _, ok := compare.RunValues(r, "no such metric"); ok {
		t.Error("an unknown metric has values")
	}
}

// A goal is one hypothesis that was fixed beforehand; the other metrics of its group do not weaken it.
func TestRoundsTestTheGoalAlone(t *testing.T) {
	// Starts of a host-bound server, measured on an H100.
	at := func(rates ...float64) (out []compare.Start) {
		for i, r := range rates {
			out = append(out, starts(1, 1, r, 0, uint64(i)+1)...)
		}
		return out
	}
	r := rounds(at(44.3, 75.6), at(196.9, 196.5))
	with := compare.Rounds(compare.Side{}, compare.Side{}, r, compare.Options{Goal: "output_tokens_per_s"})
	without := compare.Rounds(compare.Side{}, compare.Side{}, r, compare.Options{})
	if m := metric(t, with, compare.Benchmark, "output_tokens_per_s"); m.Verdict != stat.Better || *m.P > 0.05 {
		t.Errorf("goal: %s, p %v", m.Verdict, *m.P)
	}
	if m := metric(t, without, compare.Benchmark, "output_tokens_per_s"); m.Verdict != stat.Unclear {
		t.Errorf("no goal: %s (%s)", m.Verdict, m.Reason)
	}
	if with.Verdict != compare.Better {
		t.Errorf("the whole: %s (%s)", with.Verdict, with.Summary)
	}
}

// A server that makes three times the tokens with the same cores in use is cheaper, not costlier.
func TestRoundsTellCPUPerToken(t *testing.T) {
	before, after := starts(3, 1, 1000, 0.004, 1), starts(3, 1, 3000, 0.004, 2)
	for i := range after {
		after[i].Usage.CPUCores = []float64{2.6, 2.7}
	}
	c := compare.Rounds(compare.Side{}, compare.Side{}, rounds(before, after), compare.Options{})
	if m := metric(t, c, compare.CPU, "cpu_cores"); m.Verdict != compare.Differs {
		t.Errorf("cores: %s", m.Verdict)
	}
	if m := metric(t, c, compare.CPU, "cpu_ms_per_output_token"); m.Verdict != stat.Better || !near(m.Before.Center, 2.05, 0.02) {
		t.Errorf("per token: %s, before %v", m.Verdict, m.Before.Center)
	}
}
