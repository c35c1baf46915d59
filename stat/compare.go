package stat

import (
	"encoding/json"
	"fmt"
	"math"
)

// Options configure a comparison. The zero value is the default.
type Options struct {
	// Alpha is the level below which a difference counts; 0 means 0.05.
	Alpha float64
	// Confidence is the level of the interval of the difference; 0 means 1-Alpha,
	// which makes the interval and the test say the same.
	Confidence float64
	// Dependent says that the values of a side come from a single run, so that the
	// test sees only the spread within it. The result carries a warning.
	Dependent bool
}

func (o Options) levels() (alpha, confidence float64) {
	alpha = o.Alpha
	if alpha == 0 {
		alpha = 0.05
	}
	confidence = o.Confidence
	if confidence == 0 {
		confidence = 1 - alpha
	}
	return alpha, confidence
}

// A Comparison is the result of comparing two samples.
type Comparison struct {
	// P is the two-sided probability of a difference at least this large if there
	// were none. Under AssumeExact it is 0 or 1.
	P float64
	// N1 and N2 are the sizes of the samples before and after.
	N1, N2 int
	// Alpha is the level that P was or should be held against.
	Alpha float64
	// Before and After are the samples' centres (median, exact value or mean).
	Before, After float64
	// Delta estimates the shift after - before: the Hodges-Lehmann estimate (median
	// of all pairwise differences), the difference of means (AssumeNormal) or of
	// the values (AssumeExact). DeltaLo and DeltaHi bound it, infinite when the
	// samples are too small.
	Delta, DeltaLo, DeltaHi float64
	// Ratio estimates after / before likewise (median of all pairwise ratios); NaN
	// unless every value is positive.
	Ratio, RatioLo, RatioHi float64
	// Confidence is the level of the two intervals.
	Confidence float64
	// Method names the test, "" when none could be made.
	Method string
	// Warnings hold the samples' own and those of the comparison.
	Warnings []Warning
}

// MarshalJSON writes NaN and infinite numbers as null.
func (c Comparison) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		P          *float64  `json:"p"`
		N1         int       `json:"n1"`
		N2         int       `json:"n2"`
		Alpha      float64   `json:"alpha"`
		Before     *float64  `json:"before"`
		After      *float64  `json:"after"`
		Delta      *float64  `json:"delta"`
		DeltaLo    *float64  `json:"delta_lo"`
		DeltaHi    *float64  `json:"delta_hi"`
		Ratio      *float64  `json:"ratio"`
		RatioLo    *float64  `json:"ratio_lo"`
		RatioHi    *float64  `json:"ratio_hi"`
		Confidence float64   `json:"confidence"`
		Method     string    `json:"method,omitempty"`
		Warnings   []Warning `json:"warnings,omitempty"`
	}{finite(c.P), c.N1, c.N2, c.Alpha, finite(c.Before), finite(c.After), finite(c.Delta), finite(c.DeltaLo), finite(c.DeltaHi),
		finite(c.Ratio), finite(c.RatioLo), finite(c.RatioHi), c.Confidence, c.Method, c.Warnings})
}

func (c *Comparison) warn(id, format string, args ...any) {
	c.Warnings = append(c.Warnings, Warning{id, fmt.Sprintf(format, args...)})
}

// Compare tests whether before and after differ and by how much, under the
// weaker of the two samples' assumptions (nothing, then normal, then exact).
func Compare(before, after *Sample, o Options) Comparison {
	alpha, confidence := o.levels()
	inf, nan := math.Inf(1), math.NaN()
	c := Comparison{P: 1, N1: before.N(), N2: after.N(), Alpha: alpha, Confidence: confidence,
		Before: nan, After: nan, Delta: nan, DeltaLo: -inf, DeltaHi: inf, Ratio: nan, RatioLo: nan, RatioHi: nan}
	c.Warnings = append(append(c.Warnings, before.Warnings...), after.Warnings...)
	assume := before.Assume
	if assume != after.Assume {
		assume = AssumeNormal
		if before.Assume == AssumeNothing || after.Assume == AssumeNothing {
			assume = AssumeNothing
		}
	}
	if assume == AssumeRelative && !(positive(before.Values) && positive(after.Values)) {
		assume = AssumeNormal
	}
	a, b := &Sample{Values: before.Values, Assume: assume}, &Sample{Values: after.Values, Assume: assume}
	c.Before, c.After = a.center(), b.center()
	if c.N1 == 0 || c.N2 == 0 {
		c.warn(WarnEmpty, "nothing to compare: %d values before, %d after", c.N1, c.N2)
		return c
	}
	if o.Dependent && assume != AssumeExact {
		c.warn(WarnDependent, "the %d and %d values come from one run each: the test knows the spread within a run, not that between runs; repeat the runs to be sure", c.N1, c.N2)
	}
	switch assume {
	case AssumeExact:
		c.exact(a.Values, b.Values)
	case AssumeNormal:
		c.welch(a.Values, b.Values, confidence)
	case AssumeRelative:
		c.pooled(a.Values, b.Values, confidence)
	default:
		c.ranks(a.Values, b.Values, confidence)
	}
	return c
}

func (s *Sample) center() float64 {
	if s.N() == 0 {
		return math.NaN()
	}
	switch s.Assume {
	case AssumeExact:
		return s.exactSummary(Summary{}).Center
	case AssumeNormal:
		return s.Mean()
	case AssumeRelative:
		return math.Exp(Mean(logs(s.Values)))
	}
	return s.Median()
}

// exact compares values that do not vary.
func (c *Comparison) exact(a, b []float64) {
	c.Method, c.Confidence = "exact", 1
	c.Delta = c.After - c.Before
	c.DeltaLo, c.DeltaHi = b[0]-a[len(a)-1], b[len(b)-1]-a[0]
	if c.Before > 0 {
		c.Ratio = c.After / c.Before
		if a[0] > 0 {
			c.RatioLo, c.RatioHi = b[0]/a[len(a)-1], b[len(b)-1]/a[0]
		}
	}
	if c.Delta != 0 {
		c.P = 0
	}
	for _, v := range [][]float64{a, b} {
		if v[0] != v[len(v)-1] {
			c.warn(WarnNotExact, "an exact value was expected, but values range from %v to %v", v[0], v[len(v)-1])
			// Overlapping ranges of something that does vary prove no difference.
			if c.DeltaLo <= 0 && c.DeltaHi >= 0 {
				c.P = 1
			}
		}
	}
}

// ranks compares with the Mann-Whitney U test and the Hodges-Lehmann estimate.
func (c *Comparison) ranks(a, b []float64, confidence float64) {
	var exact bool
	c.P, exact = mannWhitney(a, b)
	c.Method = "Mann-Whitney U, normal approximation"
	if exact {
		c.Method = "Mann-Whitney U, exact"
	}
	if a[0] == b[len(b)-1] && a[len(a)-1] == b[0] {
		c.warn(WarnAllEqual, "all values of both samples are equal")
	} else if least := minP(c.N1, c.N2); least > c.Alpha*(1+1e-9) {
		c.warn(WarnTooFew, "need >= %d values a side to detect any difference at level %v, have %d and %d",
			ranksNeeded(c.Alpha), c.Alpha, c.N1, c.N2)
	}
	k := hodgesLehmannOrder(c.N1, c.N2, confidence)
	c.Delta, c.DeltaLo, c.DeltaHi = hodgesLehmann(a, b, k, difference, arithmeticMid)
	if a[0] > 0 && b[0] > 0 {
		c.Ratio, c.RatioLo, c.RatioHi = hodgesLehmann(a, b, k, quotient, geometricMid)
		c.RatioLo = max(c.RatioLo, 0) // a ratio of positive values has this bound anyway
	}
}

// Significant reports whether the test supports a difference.
func (c Comparison) Significant() bool { return c.Method != "" && c.P <= c.Alpha }

// Effect returns the relative change, estimate and interval: 0.1 is ten per cent
// more than before. ok is false when before is zero or negative or not recorded.
func (c Comparison) Effect() (effect, lo, hi float64, ok bool) {
	if !math.IsNaN(c.Ratio) {
		lo, hi = c.RatioLo-1, c.RatioHi-1
		if math.IsNaN(lo) {
			lo, hi = math.Inf(-1), math.Inf(1)
		}
		return c.Ratio - 1, lo, hi, true
	}
	if !(c.Before > 0) || math.IsNaN(c.Delta) {
		return math.NaN(), math.Inf(-1), math.Inf(1), false
	}
	return c.Delta / c.Before, c.DeltaLo / c.Before, c.DeltaHi / c.Before, true
}

// FormatDelta returns the relative change in per cent, "~" when the test does not
// support one and "?" when before is zero.
func (c Comparison) FormatDelta() string {
	if !c.Significant() {
		return "~"
	}
	e, _, _, ok := c.Effect()
	if !ok {
		return "?"
	}
	return fmt.Sprintf("%+.2f%%", 100*e)
}

// String returns the test's figures, such as "p=0.003 n=20" or "p=0.003 n=20+19".
func (c Comparison) String() string {
	n := fmt.Sprintf("n=%d", c.N1)
	if c.N1 != c.N2 {
		n = fmt.Sprintf("n=%d+%d", c.N1, c.N2)
	}
	switch {
	case c.Method == "" || c.Method == "exact":
		return n
	case c.P < 0.0005:
		return "p<0.001 " + n
	}
	return fmt.Sprintf("p=%.3f %s", c.P, n)
}
