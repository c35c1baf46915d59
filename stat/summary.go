package stat

import (
	"encoding/json"
	"fmt"
	"math"
)

// A Summary is the centre of a sample and a confidence interval around it.
type Summary struct {
	// Center is the median, the mode (AssumeExact), the mean (AssumeNormal) or the geometric mean (AssumeRelative); NaN
	// without values.
	Center float64
	// Lo and Hi bound the interval. They are infinite when the sample is too small
	// for the confidence that was asked for.
	Lo, Hi float64
	// Confidence is the interval's actual level, at least the one asked for unless
	// the interval is infinite or a normal approximation.
	Confidence float64
	// N is the number of values.
	N int
	// Warnings hold the sample's own and those of the summary.
	Warnings []Warning
}

// MarshalJSON writes NaN and infinite numbers as null, which JSON has and they are.
func (s Summary) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Center     *float64  `json:"center"`
		Lo         *float64  `json:"lo"`
		Hi         *float64  `json:"hi"`
		Confidence float64   `json:"confidence"`
		N          int       `json:"n"`
		Warnings   []Warning `json:"warnings,omitempty"`
	}{finite(s.Center), finite(s.Lo), finite(s.Hi), s.Confidence, s.N, s.Warnings})
}

func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// Summary returns the sample's centre and its confidence interval at the level
// confidence (0 to 1, usually 0.95).
func (s *Sample) Summary(confidence float64) Summary {
	out := Summary{Center: math.NaN(), Lo: math.Inf(-1), Hi: math.Inf(1), Confidence: 1, N: s.N()}
	out.Warnings = append(out.Warnings, s.Warnings...)
	if s.N() == 0 {
		out.Warnings = append(out.Warnings, Warning{WarnEmpty, "no values"})
		return out
	}
	switch s.Assume {
	case AssumeExact:
		return s.exactSummary(out)
	case AssumeNormal:
		return s.normalSummary(out, confidence)
	case AssumeRelative:
		return s.relativeSummary(out, confidence)
	}
	ci := s.QuantileCI(0.5, confidence)
	ci.Warnings = append(out.Warnings, ci.Warnings...)
	return ci
}

// QuantileCI returns the q-quantile (0 < q < 1, Linear) and its distribution-free
// confidence interval: the narrowest pair of order statistics, grown from the
// quantile outwards, that covers it with at least the given probability
// (binomial; David and Nagaraja, Order Statistics, 7.1). A tail quantile of a
// small sample has no upper bound at all: the warning says from how many values
// on it has one.
func (s *Sample) QuantileCI(q, confidence float64) Summary {
	n := s.N()
	out := Summary{Center: math.NaN(), Lo: math.Inf(-1), Hi: math.Inf(1), Confidence: 1, N: n}
	if n == 0 {
		out.Warnings = append(out.Warnings, Warning{WarnEmpty, "no values"})
		return out
	}
	if q == 0.5 {
		out.Center = s.Median()
	} else {
		out.Center = s.Percentile(100*q, Linear)
	}
	lo, hi, level := quantileOrders(n, q, confidence)
	out.Confidence = level
	if lo >= 1 {
		out.Lo = s.Values[lo-1]
	}
	if hi <= n {
		out.Hi = s.Values[hi-1]
	}
	if lo < 1 || hi > n {
		out.Warnings = append(out.Warnings, Warning{WarnTooFew, fmt.Sprintf(
			"need %s values for an interval of %s at level %v, have %d", quantileNeed(q, confidence), quantileName(q), confidence, n)})
	}
	return out
}

func quantileName(q float64) string {
	if q == 0.5 {
		return "the median"
	}
	return fmt.Sprintf("p%.6g", 100*q)
}

// quantileOrders returns 1-based order statistics lo < hi such that the interval
// [X(lo), X(hi)] holds the q-quantile with probability level >= confidence. lo = 0
// and hi = n+1 stand for no bound.
//
// The number of values below the quantile is Binomial(n, q); [X(lo), X(hi)]
// covers when lo <= B < hi. Starting at the (lower) mode, the side with the larger
// probability is added until the level is reached, the left one of two equals.
// That is benchstat's choice too, so the two agree on samples of up to 30 values;
// beyond, benchstat approximates.
func quantileOrders(n int, q, confidence float64) (lo, hi int, level float64) {
	const equal = 1 - 1e-9 // the two sides of a symmetric distribution, rounded
	mode := min(max(int(math.Ceil(float64(n+1)*q-1e-9))-1, 0), n)
	lo, hi = mode, mode+1
	level = binomialPMF(n, mode, q)
	for level < confidence && (lo > 0 || hi <= n) {
		below, above := -1.0, -1.0
		if lo > 0 {
			below = binomialPMF(n, lo-1, q)
		}
		if hi <= n {
			above = binomialPMF(n, hi, q)
		}
		if below >= above*equal && below >= 0 {
			lo, level = lo-1, level+below
		} else {
			hi, level = hi+1, level+above
		}
	}
	return lo, hi, min(level, 1)
}

// quantileNeed names the smallest sample size with a bounded interval.
func quantileNeed(q, confidence float64) string {
	const limit = 100_000
	tail := max(q, 1-q)
	// Below this size even the whole range misses: q^n + (1-q)^n > 1-confidence.
	n := 2
	for n < limit && math.Pow(q, float64(n))+math.Pow(1-q, float64(n)) > 1-confidence {
		n++
	}
	// The search above is a lower bound; the grown interval may need a few more.
	step := max(1, int(0.002/(1-tail)))
	for ; n < limit; n += step {
		if lo, hi, _ := quantileOrders(n, q, confidence); lo >= 1 && hi <= n {
			return fmt.Sprintf(">= %d", n)
		}
	}
	return fmt.Sprintf("> %d", limit)
}

func binomialPMF(n, k int, p float64) float64 {
	return math.Exp(logChoose(n, k) + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
}

func logChoose(n, k int) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c
}

// exactSummary returns the most frequent value (the smallest of several) and the
// whole range.
func (s *Sample) exactSummary(out Summary) Summary {
	best, count := s.Values[0], 0
	for i := 0; i < len(s.Values); {
		j := i
		for j < len(s.Values) && s.Values[j] == s.Values[i] {
			j++
		}
		if j-i > count {
			best, count = s.Values[i], j-i
		}
		i = j
	}
	out.Center, out.Lo, out.Hi, out.Confidence = best, s.Values[0], s.Values[len(s.Values)-1], 1
	if count != len(s.Values) {
		out.Warnings = append(out.Warnings, Warning{WarnNotExact,
			fmt.Sprintf("an exact value was expected, but values range from %v to %v", out.Lo, out.Hi)})
	}
	return out
}
