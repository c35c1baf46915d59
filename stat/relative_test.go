package stat

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The expected values are scipy's: ttest_ind of the logarithms with equal_var, and its confidence interval.
func TestRelativeAgreesWithScipy(t *testing.T) {
	for _, c := range []struct {
		before, after    []float64
		p, ratio, lo, hi float64
	}{
		{[]float64{926.81, 986.73}, []float64{4915.3, 4326.7}, 0.0020333688663626195, 4.822351745101532, 3.5521482503058497, 6.546764018501047},
		{[]float64{6.5, 6.6, 6.55}, []float64{4.4, 4.5, 4.42}, 1.1573051300645415e-06, 0.6778437912792502, 0.6626689934079224, 0.6933660846464084},
		{[]float64{10, 11, 12}, []float64{10.5, 11.5}, 0.9832383904380889, 1.0017336420957523, 0.7866306923269014, 1.2756561617728068},
	} {
		got := Compare(NewSample(c.before, AssumeRelative), NewSample(c.after, AssumeRelative), Options{})
		for _, v := range [][2]float64{{got.P, c.p}, {got.Ratio, c.ratio}, {got.RatioLo, c.lo}, {got.RatioHi, c.hi}} {
			if math.Abs(v[0]/v[1]-1) > 1e-9 {
				t.Errorf("%v and %v: %v, scipy has %v", c.before, c.after, v[0], v[1])
			}
		}
	}
}

// Starts that spread as real ones do and differ in nothing must not be called different more often than the level says,
// also where one side happens to spread twice as far; a fivefold gain with two starts a side must be seen.
func TestRelativeFalseAlarms(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	draw := func(n int, centre, spread float64) []float64 {
		v := make([]float64, n)
		for i := range v {
			v[i] = centre * math.Exp(spread*rng.NormFloat64())
		}
		return v
	}
	const trials = 4000
	for _, c := range []struct {
		n          int
		s1, s2     float64
		atMost     float64
		gainsFound float64
	}{
		{2, 0.05, 0.05, 0.062, 0.95},
		{3, 0.05, 0.05, 0.062, 0.99},
		{3, 0.03, 0.06, 0.075, 0.99}, // the assumption broken by a factor of two costs little
	} {
		alarms, found := 0, 0
		for range trials {
			a, b := draw(c.n, 100, c.s1), draw(c.n, 100, c.s2)
			if Compare(NewSample(a, AssumeRelative), NewSample(b, AssumeRelative), Options{}).Significant() {
				alarms++
			}
			b = draw(c.n, 500, c.s2)
			if Compare(NewSample(a, AssumeRelative), NewSample(b, AssumeRelative), Options{}).Significant() {
				found++
			}
		}
		if share := float64(alarms) / trials; share > c.atMost {
			t.Errorf("%d starts, spreads %v and %v: false alarms %v", c.n, c.s1, c.s2, share)
		}
		if share := float64(found) / trials; share < c.gainsFound {
			t.Errorf("%d starts, spreads %v and %v: a fivefold gain found in %v", c.n, c.s1, c.s2, share)
		}
	}
}

func TestRelativeEdges(t *testing.T) {
	rel := func(v ...float64) *Sample { return NewSample(v, AssumeRelative) }
	if c := Compare(rel(0, 1), rel(2, 3), Options{}); c.Method != "Welch t" {
		t.Errorf("a value without a logarithm: %q", c.Method)
	}
	if c := Compare(rel(5, 5), rel(5, 5), Options{}); c.Significant() || c.Ratio != 1 {
		t.Errorf("equal constants: %+v", c)
	}
	if c := Compare(rel(5, 5), rel(6, 6), Options{}); c.P != 0 || len(c.Warnings) == 0 {
		t.Errorf("two constants: %+v", c)
	}
	if c := Compare(rel(5), rel(6, 7), Options{}); c.Significant() || !c.tooFew() {
		t.Errorf("one value: %+v", c)
	}
	s := rel(2, 8).Summary(0.95)
	if math.Abs(s.Center-4) > 1e-12 || !(s.Lo < 2) || !(s.Hi > 8) {
		t.Errorf("summary %+v", s)
	}
	if s := rel(3).Summary(0.95); s.Center < 2.999 || s.Center > 3.001 || !math.IsInf(s.Hi, 1) {
		t.Errorf("one value: %+v", s)
	}
}
