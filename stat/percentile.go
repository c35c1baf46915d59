package stat

import (
	"fmt"
	"math"
)

// Method is a definition of the percentile. Tools differ, and on 20 requests the
// definitions differ by more than most changes gain, so a result names its own.
type Method int

const (
	// NearestRank is the smallest value with at least p percent of the sample at
	// or below it: Values[ceil(p/100*n)-1]. Always a value that was measured.
	// Prometheus-less load generators use it; p50 of an even sample is the lower
	// of the two middle values.
	NearestRank Method = iota
	// Linear interpolates between the two values around rank p/100*(n-1). It is
	// numpy.percentile's default and so that of `vllm bench serve` and SGLang's
	// bench_serving (Hyndman and Fan's type 7). The median is Linear at 50.
	Linear
)

func (m Method) String() string {
	if m == Linear {
		return "linear"
	}
	return "nearest-rank"
}

// Percentile returns the p-th percentile (0 to 100) of the ascending values, NaN
// when there are none or p is out of range.
func Percentile(sorted []float64, p float64, m Method) float64 {
	n := len(sorted)
	if n == 0 || !(p >= 0 && p <= 100) {
		return math.NaN()
	}
	if m == NearestRank {
		// p*n/100 and not p/100*n: 95 of 20 must be exactly 19.
		i := int(math.Ceil(p*float64(n)/100)) - 1
		return sorted[min(max(i, 0), n-1)]
	}
	pos := p * float64(n-1) / 100
	i := int(pos)
	if i >= n-1 {
		return sorted[n-1]
	}
	f := pos - float64(i)
	lo, hi := sorted[i], sorted[i+1]
	if lo == hi {
		return lo
	}
	return min(lo+f*(hi-lo), hi)
}

// Percentile returns the p-th percentile (0 to 100) of the sample.
func (s *Sample) Percentile(p float64, m Method) float64 {
	return Percentile(s.Values, p, m)
}

// Median returns the middle value, or the mean of the two middle ones.
func (s *Sample) Median() float64 { return median(s.Values) }

func median(sorted []float64) float64 {
	n := len(sorted)
	switch {
	case n == 0:
		return math.NaN()
	case n%2 == 1:
		return sorted[n/2]
	}
	lo, hi := sorted[n/2-1], sorted[n/2]
	return lo + (hi-lo)/2
}

// TailWarning warns when the p-th percentile (50 to 100) of n values rests on
// fewer than five values at or above it: such a p99 is the largest outlier under
// another name. The threshold is a convention, not a theorem.
func TailWarning(n int, p float64) (Warning, bool) {
	const enough = 5
	above := float64(n) * (100 - p) / 100
	if n == 0 || above >= enough {
		return Warning{}, false
	}
	need := "no sample size suffices"
	if p < 100 {
		need = fmt.Sprintf("%d values give %d", int(math.Ceil(enough*100/(100-p)-1e-9)), enough)
	}
	return Warning{WarnTail, fmt.Sprintf("p%v of %d values has %.3g values above it; %s", p, n, above, need)}, true
}
