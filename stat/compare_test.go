package stat

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/aclements/go-moremath/stats"
	"golang.org/x/perf/benchmath"
	"pgregory.net/rapid"
)

// bruteP enumerates every assignment of the pooled values to the first sample.
func bruteP(a, b []float64) float64 {
	all := append(slices.Clone(a), b...)
	u := func(pick []bool) float64 {
		var u float64
		for i, p := range pick {
			for j, q := range pick {
				if p && !q {
					switch {
					case all[i] > all[j]:
						u++
					case all[i] == all[j]:
						u += 0.5
					}
				}
			}
		}
		return u
	}
	pick := make([]bool, len(all))
	for i := range a {
		pick[i] = true
	}
	seen := u(pick)
	var total, lower, upper float64
	for m := range 1 << len(all) {
		n := 0
		for i := range pick {
			pick[i] = m>>i&1 == 1
			if pick[i] {
				n++
			}
		}
		if n != len(a) {
			continue
		}
		total++
		switch v := u(pick); {
		case v == seen:
			lower, upper = lower+1, upper+1
		case v < seen:
			lower++
		default:
			upper++
		}
	}
	return min(1, 2*min(lower, upper)/total)
}

func TestMannWhitneyExactAgainstEnumeration(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// A small alphabet makes ties; a large one makes none.
		top := rapid.SampledFrom([]int{2, 4, 1000}).Draw(t, "alphabet")
		gen := func(name string) []float64 {
			v := rapid.SliceOfN(rapid.IntRange(0, top), 1, 5).Draw(t, name)
			f := make([]float64, len(v))
			for i := range v {
				f[i] = float64(v[i])
			}
			slices.Sort(f)
			return f
		}
		a, b := gen("a"), gen("b")
		got, exact := mannWhitney(a, b)
		if !exact {
			t.Fatal("not exact")
		}
		if want := bruteP(a, b); !near(got, want, 1e-9) {
			t.Fatalf("p = %v, enumeration %v", got, want)
		}
	})
}

// TestCompareAgreesWithBenchmath holds p against the package behind benchstat.
// With ties and unequal sizes the two differ by design (benchmath doubles one
// tail of a skew distribution), so those are compared by enumeration above.
func TestCompareAgreesWithBenchmath(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	check := func(name string, a, b []float64) {
		t.Helper()
		theirs := benchmath.AssumeNothing.Compare(
			benchmath.NewSample(slices.Clone(a), &benchmath.DefaultThresholds),
			benchmath.NewSample(slices.Clone(b), &benchmath.DefaultThresholds))
		ours := Compare(NewSample(a, AssumeNothing), NewSample(b, AssumeNothing), Options{})
		if !near(ours.P, theirs.P, 1e-9) {
			t.Errorf("%s n=%d+%d: p %v, benchmath %v", name, len(a), len(b), ours.P, theirs.P)
		}
		if ours.Significant() && theirs.P <= theirs.Alpha {
			if got, want := ours.FormatDelta(), theirs.FormatDelta(ours.Before, ours.After); (got[0] == '-') != (want[0] == '-') {
				t.Errorf("%s n=%d+%d: delta %s, benchmath %s", name, len(a), len(b), got, want)
			}
		}
	}
	draw := func(n int, shift float64, grain float64) []float64 {
		v := make([]float64, n)
		for i := range v {
			v[i] = 10 * math.Exp(0.3*rng.NormFloat64()+shift)
			if grain > 0 {
				v[i] = math.Round(v[i]/grain) * grain
			}
		}
		return v
	}
	for _, n1 := range []int{1, 2, 3, 4, 5, 6, 10, 20, 33, 50, 51, 200} {
		for _, n2 := range []int{1, 3, 4, 7, 20, 50, 60, 300} {
			for _, shift := range []float64{0, 0.2, 1} {
				check("continuous", draw(n1, 0, 0), draw(n2, shift, 0))
				if n1 > 50 || n2 > 50 {
					check("ties, large", draw(n1, 0, 1), draw(n2, shift, 1))
				}
			}
		}
	}
	for _, n := range []int{4, 8, 15, 25} {
		// Equal sizes keep the tied distribution symmetric.
		check("ties", draw(n, 0, 1), draw(n, 0.2, 1))
	}
}

func TestStudentAgreesWithMoremath(t *testing.T) {
	for _, df := range []float64{1, 1.7, 2, 4, 10, 99.5, 5000} {
		d := stats.TDist{V: df}
		for _, x := range []float64{0, 0.01, 0.7, 1.96, 5, 40} {
			if got, want := studentTail(x, df), 1-d.CDF(x); math.Abs(got-want) > 1e-10 {
				t.Errorf("tail(%v, df=%v) = %v, want %v", x, df, got, want)
			}
		}
	}
	// Tabulated 97.5 % points.
	for df, want := range map[float64]float64{1: 12.7062, 2: 4.3027, 4: 2.7764, 10: 2.2281, 30: 2.0423} {
		if got := studentQuantile(0.975, df); math.Abs(got-want) > 5e-5 {
			t.Errorf("quantile(0.975, df=%v) = %v, want %v", df, got, want)
		}
	}
	if q := normalQuantile(0.975); math.Abs(q-1.959964) > 1e-6 {
		t.Errorf("normal quantile %v", q)
	}
}

func TestHodgesLehmannAgainstAllPairs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gen := rapid.SliceOfN(rapid.Float64Range(0.001, 1000), 1, 20)
		if rapid.Bool().Draw(t, "coarse") {
			gen = rapid.SliceOfN(rapid.Map(rapid.IntRange(1, 5), func(i int) float64 { return float64(i) }), 1, 20)
		}
		a, b := gen.Draw(t, "a"), gen.Draw(t, "b")
		slices.Sort(a)
		slices.Sort(b)
		for _, op := range []func(x, y float64) float64{difference, quotient} {
			var all []float64
			for _, x := range b {
				for _, y := range a {
					all = append(all, op(x, y))
				}
			}
			slices.Sort(all)
			k := rapid.IntRange(1, len(all)).Draw(t, "k")
			if got := kthPair(a, b, k, op); got != all[k-1] {
				t.Fatalf("%d-th of %d: %v, want %v", k, len(all), got, all[k-1])
			}
			if est, _, _ := hodgesLehmann(a, b, 0, op, arithmeticMid); !near(est, median(all), 1e-12) {
				t.Fatalf("estimate %v, want %v", est, median(all))
			}
		}
	})
}

func TestCompareProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gen := rapid.SliceOfN(rapid.Float64Range(1, 100), 1, 30)
		a, b := NewSample(gen.Draw(t, "a"), AssumeNothing), NewSample(gen.Draw(t, "b"), AssumeNothing)
		c, d := Compare(a, b, Options{}), Compare(b, a, Options{})
		if !near(c.P, d.P, 1e-9) {
			t.Fatalf("p %v one way, %v the other", c.P, d.P)
		}
		if !near(c.Delta, -d.Delta, 1e-9) || !near(c.DeltaLo, -d.DeltaHi, 1e-9) || !near(c.Ratio, 1/d.Ratio, 1e-9) {
			t.Fatalf("delta %v [%v, %v] one way, %v [%v, %v] the other", c.Delta, c.DeltaLo, c.DeltaHi, d.Delta, d.DeltaLo, d.DeltaHi)
		}
		if !(c.P >= 0 && c.P <= 1) || c.DeltaLo > c.Delta || c.DeltaHi < c.Delta || c.RatioLo > c.Ratio || c.RatioHi < c.Ratio {
			t.Fatalf("%+v", c)
		}
		if self := Compare(a, a, Options{}); self.Significant() || self.Delta != 0 {
			t.Fatalf("a sample differs from itself: %+v", self)
		}
		// Verdicts mirror when the direction does.
		v, _ := c.Verdict(LowerIsBetter, 0.05)
		w, _ := c.Verdict(HigherIsBetter, 0.05)
		if (v == Better) != (w == Worse) || (v == Same) != (w == Same) {
			t.Fatalf("%v with lower, %v with higher", v, w)
		}
		if (v == Better || v == Worse) && !c.Significant() {
			t.Fatalf("%v without significance", v)
		}
	})
}

// TestShiftCoverage counts how often the interval holds the true shift and the
// test cries wolf.
func TestShiftCoverage(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, n := range [][2]int{{5, 5}, {8, 12}, {60, 70}} {
		const trials = 1500
		hit, alarms := 0, 0
		for range trials {
			a, b := make([]float64, n[0]), make([]float64, n[1])
			for i := range a {
				a[i] = 5 + rng.ExpFloat64()
			}
			for i := range b {
				b[i] = 7 + rng.ExpFloat64()
			}
			c := Compare(NewSample(a, AssumeNothing), NewSample(b, AssumeNothing), Options{})
			if c.DeltaLo <= 2 && 2 <= c.DeltaHi {
				hit++
			}
			for i := range b {
				b[i] -= 2
			}
			if Compare(NewSample(a, AssumeNothing), NewSample(b, AssumeNothing), Options{}).Significant() {
				alarms++
			}
		}
		se := 4 * math.Sqrt(0.05*0.95/trials)
		if share := float64(hit) / trials; share < 0.95-se {
			t.Errorf("n=%v: covered %v", n, share)
		}
		if share := float64(alarms) / trials; share > 0.05+se {
			t.Errorf("n=%v: false alarms %v", n, share)
		}
	}
}

func TestVerdicts(t *testing.T) {
	series := func(base, step float64, n int) []float64 {
		v := make([]float64, n)
		for i := range v {
			v[i] = base + step*float64(i)
		}
		return v
	}
	for _, c := range []struct {
		name          string
		before, after []float64
		assume        Assumption
		dir           Direction
		min           float64
		want          Verdict
		warn          string
	}{
		{"clear gain in latency", series(10, 0.01, 10), series(8, 0.01, 10), AssumeNothing, LowerIsBetter, 0.02, Better, ""},
		{"clear loss in throughput", series(10, 0.01, 10), series(8, 0.01, 10), AssumeNothing, HigherIsBetter, 0.02, Worse, ""},
		{"shown but negligible", series(10, 0.0001, 10), series(10.01, 0.0001, 10), AssumeNothing, LowerIsBetter, 0.02, Same, ""},
		{"tight and equal", series(10, 0.001, 20), series(10.0001, 0.001, 20), AssumeNothing, LowerIsBetter, 0.02, Same, ""},
		{"wide and equal", series(10, 1, 10), series(10.1, 1, 10), AssumeNothing, LowerIsBetter, 0.02, Unclear, ""},
		{"three runs a side", series(10, 0.1, 3), series(5, 0.1, 3), AssumeNothing, LowerIsBetter, 0.02, Unclear, WarnTooFew},
		{"three means a side", series(10, 0.1, 3), series(5, 0.1, 3), AssumeNormal, LowerIsBetter, 0.02, Better, WarnAssumption},
		{"constant", []float64{5, 5, 5, 5}, []float64{5, 5, 5, 5}, AssumeNothing, LowerIsBetter, 0.02, Same, WarnAllEqual},
		{"empty", nil, []float64{1}, AssumeNothing, LowerIsBetter, 0.02, Unclear, WarnEmpty},
		{"exact equal", []float64{3}, []float64{3}, AssumeExact, LowerIsBetter, 0, Same, ""},
		{"exact fewer", []float64{120}, []float64{90}, AssumeExact, LowerIsBetter, 0, Better, ""},
		{"errors from none", []float64{0}, []float64{4}, AssumeExact, LowerIsBetter, 0, Worse, ""},
		{"none stays none", []float64{0}, []float64{0}, AssumeExact, LowerIsBetter, 0, Same, ""},
		{"counts that vary", []float64{10, 14}, []float64{12, 13}, AssumeExact, LowerIsBetter, 0, Unclear, WarnNotExact},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmp := Compare(NewSample(c.before, c.assume), NewSample(c.after, c.assume), Options{})
			got, why := cmp.Verdict(c.dir, c.min)
			if got != c.want {
				t.Errorf("%s (%s), want %s: %+v", got, why, c.want, cmp)
			}
			if c.warn != "" && !hasWarning(cmp.Warnings, c.warn) {
				t.Errorf("no warning %q in %v", c.warn, cmp.Warnings)
			}
			if _, err := json.Marshal(cmp); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDependentWarns(t *testing.T) {
	a := NewSample([]float64{1, 2, 3, 4, 5}, AssumeNothing)
	if c := Compare(a, a, Options{Dependent: true}); !hasWarning(c.Warnings, WarnDependent) {
		t.Errorf("warnings %v", c.Warnings)
	}
	if c := Compare(a, a, Options{}); hasWarning(c.Warnings, WarnDependent) {
		t.Errorf("warnings %v", c.Warnings)
	}
}

func TestHolm(t *testing.T) {
	got := Holm([]float64{0.01, math.NaN(), 0.04, 0.03})
	want := []float64{0.03, math.NaN(), 0.06, 0.06}
	for i := range want {
		if !near(got[i], want[i], 1e-12) {
			t.Errorf("%v, want %v", got, want)
		}
	}
}

func TestLargeSamplesStayFast(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	a, b := make([]float64, 20000), make([]float64, 30000)
	for i := range a {
		a[i] = 10 + rng.NormFloat64()
	}
	for i := range b {
		b[i] = 10.2 + rng.NormFloat64()
	}
	c := Compare(NewSample(a, AssumeNothing), NewSample(b, AssumeNothing), Options{})
	if math.Abs(c.Delta-0.2) > 0.05 || !c.Significant() {
		t.Errorf("%+v", c)
	}
}

func BenchmarkCompare50(b *testing.B) {
	rng := rand.New(rand.NewPCG(11, 12))
	v, w := make([]float64, 50), make([]float64, 50)
	for i := range v {
		v[i], w[i] = rng.Float64(), rng.Float64()
	}
	s, u := NewSample(v, AssumeNothing), NewSample(w, AssumeNothing)
	for b.Loop() {
		Compare(s, u, Options{})
	}
}
