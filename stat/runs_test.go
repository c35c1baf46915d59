package stat

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// simulate draws blocks in which every run has its own level: runSD is the spread
// between runs, 1 % the one within.
func simulate(rng *rand.Rand, blocks, requests int, gain, runSD, driftSD float64) []Block {
	out := make([]Block, blocks)
	for i := range out {
		drift := driftSD * rng.NormFloat64()
		for side := range 2 {
			level := 10 * math.Exp(drift+runSD*rng.NormFloat64())
			if side == 1 {
				level *= gain
			}
			v := make([]float64, requests)
			for j := range v {
				v[j] = level * math.Exp(0.01*rng.NormFloat64())
			}
			if side == 0 {
				out[i].Before = v
			} else {
				out[i].After = v
			}
		}
	}
	return out
}

// TestRequestsCryWolf shows why runs and not requests are judged: with nothing
// changed and runs that differ by 3 %, the request-level test alarms most of the
// time, the run-level tests hardly ever.
func TestRequestsCryWolf(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	const trials = 300
	var requests, runs, paired int
	for range trials {
		c := CompareBlocks(simulate(rng, 6, 20, 1, 0.03, 0), Options{})
		if c.Requests.Significant() {
			requests++
		}
		if c.Runs.Significant() {
			runs++
		}
		if c.Paired.Significant() {
			paired++
		}
		if c.ICC < 0.5 {
			t.Fatalf("ICC %v", c.ICC)
		}
	}
	limit := 0.05 + 4*math.Sqrt(0.05*0.95/trials)
	if share := float64(runs) / trials; share > limit {
		t.Errorf("run-level false alarms %v", share)
	}
	if share := float64(paired) / trials; share > limit {
		t.Errorf("paired false alarms %v", share)
	}
	if share := float64(requests) / trials; share < 0.3 {
		t.Errorf("request-level false alarms %v: the simulation shows nothing", share)
	}
}

func TestPairingRemovesDrift(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	c := CompareBlocks(simulate(rng, 8, 20, 0.93, 0.002, 0.15), Options{})
	if !c.Paired.Significant() || c.Runs.Significant() {
		t.Errorf("paired %v, runs %v", c.Paired, c.Runs)
	}
	if math.Abs(c.Paired.Ratio-0.93) > 0.01 {
		t.Errorf("paired ratio %v", c.Paired.Ratio)
	}
}

func TestBlocksOfOne(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	c := CompareBlocks(simulate(rng, 1, 20, 0.5, 0.01, 0), Options{})
	if !hasWarning(c.Requests.Warnings, WarnDependent) || c.Paired.Method != "" || !math.IsNaN(c.ICC) {
		t.Errorf("%+v", c)
	}
	if best := c.Best(); best.N1 != 20 {
		t.Errorf("best is not request-level: %+v", best)
	}
	if c := CompareBlocks(simulate(rng, 4, 20, 0.5, 0.01, 0), Options{}); c.Best().N1 != 4 || !c.Best().Significant() {
		t.Errorf("four blocks: %+v", c.Best())
	}
	if c := CompareBlocks(nil, Options{}); c.Runs.Method != "" || c.Best().Method != "" {
		t.Errorf("no blocks: %+v", c)
	}
	half := CompareBlocks([]Block{{Before: []float64{1, 2}}, {Before: []float64{1, 2}, After: []float64{3}}}, Options{})
	if !hasWarning(half.Warnings, WarnUnpaired) || half.Runs.N1 != 2 || half.Runs.N2 != 1 {
		t.Errorf("half a block: %+v", half)
	}
}

func TestSignedRankAgainstEnumeration(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := rapid.SliceOfN(rapid.Map(rapid.IntRange(-6, 6), func(i int) float64 { return float64(i) }), 1, 8).Draw(t, "d")
		var nz []float64
		for _, v := range d {
			if v != 0 {
				nz = append(nz, v)
			}
		}
		rank := make([]float64, len(nz))
		var seen float64
		for i, v := range nz {
			for _, w := range nz {
				switch {
				case math.Abs(w) < math.Abs(v):
					rank[i]++
				case math.Abs(w) == math.Abs(v):
					rank[i] += 0.5
				}
			}
			rank[i] += 0.5
			if v > 0 {
				seen += rank[i]
			}
		}
		var lower, upper float64
		for m := range 1 << len(nz) {
			var s float64
			for i, r := range rank {
				if m>>i&1 == 1 {
					s += r
				}
			}
			if s <= seen {
				lower++
			}
			if s >= seen {
				upper++
			}
		}
		want := min(1, 2*min(lower, upper)/float64(int(1)<<len(nz)))
		if got := signedRank(d); !near(got, want, 1e-9) {
			t.Fatalf("p = %v, enumeration %v", got, want)
		}
	})
}

func TestPlanSpendsNoMoreThanAlpha(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		alpha := rapid.Float64Range(0.001, 0.2).Draw(t, "alpha")
		p := NewPlan(rapid.IntRange(0, 20).Draw(t, "max"), alpha)
		var spent float64
		last := 0
		for _, l := range p.Looks {
			spent += l.Alpha
			if l.Repeats <= last || l.Repeats > p.MaxRepeats || minP(l.Repeats, l.Repeats) > l.Alpha*(1+1e-6) {
				t.Fatalf("look %+v in %+v", l, p)
			}
			last = l.Repeats
		}
		if spent > alpha*(1+1e-6) {
			t.Fatalf("spent %v of %v", spent, alpha)
		}
		if len(p.Looks) == 0 && len(p.Warnings) == 0 {
			t.Fatal("no look and no warning")
		}
	})
}

// TestPlanErrorRate runs the whole experiment many times with nothing changed,
// and with a gain.
func TestPlanErrorRate(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for _, maxRepeats := range []int{4, 5, 8, 12} {
		p := NewPlan(maxRepeats, 0.05)
		run := func(gain float64) (v Verdict, repeats int) {
			var before, after []float64
			for {
				before = append(before, 10*math.Exp(0.03*rng.NormFloat64()))
				after = append(after, 10*gain*math.Exp(0.03*rng.NormFloat64()))
				if d := p.Decide(before, after, LowerIsBetter, 0.001); d.Stop {
					return d.Verdict, len(before)
				}
				if len(before) > maxRepeats {
					t.Fatal("does not stop")
				}
			}
		}
		const trials = 2000
		wrong := 0
		for range trials {
			if v, _ := run(1); v == Better || v == Worse {
				wrong++
			}
		}
		if share := float64(wrong) / trials; share > 0.05+4*math.Sqrt(0.05*0.95/trials) {
			t.Errorf("max %d: false verdicts %v", maxRepeats, share)
		}
		right, used := 0, 0
		for range 200 {
			v, n := run(0.8)
			if v == Better {
				right++
			}
			used += n
		}
		if right < 190 {
			t.Errorf("max %d: a gain of 20%% found %d of 200 times", maxRepeats, right)
		}
		if maxRepeats == 12 && float64(used)/200 > 9 {
			t.Errorf("max %d: a clear gain took %v repeats on average", maxRepeats, float64(used)/200)
		}
	}
}

func TestPlanTooSmall(t *testing.T) {
	p := NewPlan(3, 0)
	if len(p.Looks) != 0 || !hasWarning(p.Warnings, WarnTooFew) {
		t.Errorf("%+v", p)
	}
	d := p.Decide([]float64{1, 2, 3}, []float64{7, 8, 9}, LowerIsBetter, 0)
	if !d.Stop || d.Verdict != Unclear {
		t.Errorf("%+v", d)
	}
	if d := p.Decide([]float64{1}, []float64{7}, LowerIsBetter, 0); d.Stop || d.Next != 3 {
		t.Errorf("%+v", d)
	}
}
