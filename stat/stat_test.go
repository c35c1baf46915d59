package stat

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/perf/benchmath"
	"pgregory.net/rapid"
)

func near(a, b, tol float64) bool {
	if math.IsInf(a, 0) || math.IsInf(b, 0) || math.IsNaN(a) || math.IsNaN(b) {
		return a == b || math.IsNaN(a) && math.IsNaN(b)
	}
	return math.Abs(a-b) <= tol*max(1, math.Abs(a), math.Abs(b))
}

func hasWarning(ws []Warning, id string) bool {
	return slices.ContainsFunc(ws, func(w Warning) bool { return w.ID == id })
}

func TestPercentileDefinitions(t *testing.T) {
	twenty := make([]float64, 20)
	for i := range twenty {
		twenty[i] = float64(i + 1)
	}
	for _, c := range []struct {
		values []float64
		p      float64
		m      Method
		want   float64
	}{
		{twenty, 50, NearestRank, 10},
		{twenty, 95, NearestRank, 19},
		{twenty, 95.01, NearestRank, 20},
		{twenty, 99, NearestRank, 20},
		{twenty, 0, NearestRank, 1},
		{twenty, 100, NearestRank, 20},
		// numpy.percentile(range(1, 21), p)
		{twenty, 50, Linear, 10.5},
		{twenty, 90, Linear, 18.1},
		{twenty, 95, Linear, 19.05},
		{twenty, 99, Linear, 19.81},
		{twenty, 100, Linear, 20},
		{[]float64{7}, 99, Linear, 7},
		{nil, 50, Linear, math.NaN()},
		{twenty, 101, Linear, math.NaN()},
		{twenty, math.NaN(), NearestRank, math.NaN()},
	} {
		if got := Percentile(c.values, c.p, c.m); !near(got, c.want, 1e-12) {
			t.Errorf("Percentile(n=%d, %v, %v) = %v, want %v", len(c.values), c.p, c.m, got, c.want)
		}
	}
}

func TestPercentileProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SliceOfN(rapid.Float64Range(-1e6, 1e6), 1, 60).Draw(t, "values")
		s := NewSample(v, AssumeNothing)
		p := rapid.Float64Range(0, 100).Draw(t, "p")
		q := rapid.Float64Range(p, 100).Draw(t, "q")
		for _, m := range []Method{NearestRank, Linear} {
			x, y := s.Percentile(p, m), s.Percentile(q, m)
			if x > y {
				t.Fatalf("%v: p%v = %v > p%v = %v", m, p, x, q, y)
			}
			if x < s.Values[0] || y > s.Values[len(v)-1] {
				t.Fatalf("%v: outside the range", m)
			}
		}
		x := s.Percentile(p, NearestRank)
		atOrBelow := 0
		for _, w := range v {
			if w <= x {
				atOrBelow++
			}
		}
		if float64(atOrBelow)/float64(len(v))*100 < p-1e-9 {
			t.Fatalf("nearest rank p%v has %d of %d at or below", p, atOrBelow, len(v))
		}
		if !near(s.Median(), s.Percentile(50, Linear), 1e-12) {
			t.Fatalf("median %v is not linear p50 %v", s.Median(), s.Percentile(50, Linear))
		}
	})
}

func TestNewSampleLeavesInputAlone(t *testing.T) {
	in := []float64{3, math.NaN(), 1, math.Inf(1), 2}
	s := NewSample(in, AssumeNothing)
	if in[0] != 3 || in[2] != 1 {
		t.Error("input was changed")
	}
	if !slices.Equal(s.Values, []float64{1, 2, 3}) {
		t.Errorf("values %v", s.Values)
	}
	if !hasWarning(s.Warnings, WarnNotFinite) {
		t.Errorf("warnings %v", s.Warnings)
	}
}

// TestSummaryAgreesWithBenchmath holds the median and its interval against the
// package behind benchstat.
func TestSummaryAgreesWithBenchmath(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for n := 1; n <= 60; n++ {
		v := make([]float64, n)
		for i := range v {
			v[i] = math.Exp(rng.NormFloat64())
		}
		for _, conf := range []float64{0.9, 0.95, 0.99} {
			theirs := benchmath.AssumeNothing.Summary(benchmath.NewSample(slices.Clone(v), &benchmath.DefaultThresholds), conf)
			ours := NewSample(v, AssumeNothing).Summary(conf)
			if n > 30 {
				// Theirs is a normal approximation here; ours stays exact. The bounds
				// may differ by one order statistic.
				sorted := NewSample(v, AssumeNothing).Values
				for _, b := range [][2]float64{{ours.Lo, theirs.Lo}, {ours.Hi, theirs.Hi}} {
					if d := slices.Index(sorted, b[0]) - slices.Index(sorted, b[1]); d < -1 || d > 1 {
						t.Errorf("n=%d conf=%v: bound %v, benchmath %v", n, conf, b[0], b[1])
					}
				}
				continue
			}
			same := near(ours.Lo, theirs.Lo, 1e-12) && near(ours.Hi, theirs.Hi, 1e-12)
			if !same && !math.IsInf(ours.Lo, 0) && !math.IsInf(theirs.Hi, 0) {
				// Of two mirrored intervals of equal level both mean to take the left
				// one; rounding sometimes makes benchmath take the right one.
				sorted := NewSample(v, AssumeNothing).Values
				same = slices.Index(sorted, theirs.Lo) == slices.Index(sorted, ours.Lo)+1 && slices.Index(sorted, theirs.Hi) == slices.Index(sorted, ours.Hi)+1
			}
			if !near(ours.Center, theirs.Center, 1e-12) || !same {
				t.Errorf("n=%d conf=%v: ours %v [%v, %v], benchmath %v [%v, %v]", n, conf, ours.Center, ours.Lo, ours.Hi, theirs.Center, theirs.Lo, theirs.Hi)
			}
			if !near(ours.Confidence, theirs.Confidence, 1e-9) {
				t.Errorf("n=%d conf=%v: level %v, benchmath %v", n, conf, ours.Confidence, theirs.Confidence)
			}
			if (len(theirs.Warnings) > 0) != (len(ours.Warnings) > 0) {
				t.Errorf("n=%d conf=%v: warnings %v, benchmath %v", n, conf, ours.Warnings, theirs.Warnings)
			}
		}
	}
}

func TestSummarySaysHowManyAreNeeded(t *testing.T) {
	s := NewSample([]float64{1, 2, 3, 4, 5}, AssumeNothing).Summary(0.95)
	if !math.IsInf(s.Lo, -1) {
		t.Errorf("interval [%v, %v] of five values", s.Lo, s.Hi)
	}
	if len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0].Text, ">= 6") {
		t.Errorf("warnings %v", s.Warnings)
	}
	if s := NewSample([]float64{1, 2, 3, 4, 5, 6}, AssumeNothing).Summary(0.95); s.Lo != 1 || s.Hi != 6 || !near(s.Confidence, 0.96875, 1e-9) || len(s.Warnings) != 0 {
		t.Errorf("six values: %+v", s)
	}
	tail := NewSample(make([]float64, 20), AssumeNothing).QuantileCI(0.99, 0.95)
	if !math.IsInf(tail.Hi, 1) || !hasWarning(tail.Warnings, WarnTooFew) {
		t.Errorf("p99 of twenty: %+v", tail)
	}
	if w, ok := TailWarning(20, 99); !ok || !strings.Contains(w.Text, "500 values") {
		t.Errorf("TailWarning: %v %v", w, ok)
	}
	if _, ok := TailWarning(500, 99); ok {
		t.Error("500 values warn about p99")
	}
	if w, ok := TailWarning(10, 100); !ok || !strings.Contains(w.Text, "no sample size") {
		t.Errorf("p100: %v %v", w, ok)
	}
}

// TestQuantileCoverage draws many samples and counts how often the interval holds
// the true quantile.
func TestQuantileCoverage(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, q := range []float64{0.5, 0.9, 0.95} {
		const trials, n = 4000, 120
		hit := 0
		for range trials {
			v := make([]float64, n)
			for i := range v {
				v[i] = rng.ExpFloat64()
			}
			ci := NewSample(v, AssumeNothing).QuantileCI(q, 0.95)
			if truth := -math.Log(1 - q); ci.Lo <= truth && truth <= ci.Hi {
				hit++
			}
		}
		// 0.95 minus four standard errors.
		if share := float64(hit) / trials; share < 0.95-4*math.Sqrt(0.05*0.95/trials) {
			t.Errorf("q=%v: covered %v", q, share)
		}
	}
}

func TestEmptyAndExact(t *testing.T) {
	s := NewSample(nil, AssumeNothing).Summary(0.95)
	if !math.IsNaN(s.Center) || s.N != 0 || !hasWarning(s.Warnings, WarnEmpty) {
		t.Errorf("empty: %+v", s)
	}
	b, err := json.Marshal(s)
	if err != nil || !strings.Contains(string(b), `"center":null`) {
		t.Errorf("empty as JSON: %s %v", b, err)
	}
	e := NewSample([]float64{7, 7, 7}, AssumeExact).Summary(0.95)
	if e.Center != 7 || e.Lo != 7 || e.Hi != 7 || len(e.Warnings) != 0 {
		t.Errorf("exact: %+v", e)
	}
	e = NewSample([]float64{7, 8, 8}, AssumeExact).Summary(0.95)
	if e.Center != 8 || e.Lo != 7 || e.Hi != 8 || !hasWarning(e.Warnings, WarnNotExact) {
		t.Errorf("inexact: %+v", e)
	}
}

func TestMeanAndStd(t *testing.T) {
	s := NewSample([]float64{2, 4, 4, 4, 5, 5, 7, 9}, AssumeNothing)
	if !near(s.Mean(), 5, 1e-12) || !near(s.Std(), 2, 1e-12) {
		t.Errorf("mean %v std %v", s.Mean(), s.Std())
	}
	if !math.IsNaN(Mean(nil)) || !math.IsNaN(Std(nil)) {
		t.Error("empty mean or std is a number")
	}
	if m := Mean([]float64{math.MaxFloat64, math.MaxFloat64}); math.IsInf(m, 0) {
		t.Error("mean overflows")
	}
}
