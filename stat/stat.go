// Package stat summarises and compares samples of latency, throughput and counts.
//
// It holds an opinion. Latencies of a server are skewed, have several modes and
// drift, so the default assumes nothing about their distribution: the centre is
// the median, its interval comes from order statistics, two samples are compared
// with the Mann-Whitney U test and the size of a difference is the Hodges-Lehmann
// estimate. A caller who knows more says so: AssumeExact for counts that must not
// vary (kernels per step), AssumeNormal for a handful of run-level means where
// no rank test can decide.
//
// Warnings are data. A result never fails because a sample is small; it says what
// the sample cannot show and how many values would show it. A difference that the
// test does not support is no difference: Comparison.FormatDelta prints "~".
//
// The unit of a sample is the caller's. What the values are matters more than how
// many there are: requests of one run share the server, the batch and the clock
// state, so a thousand of them are still one run. CompareBlocks and Plan work on
// runs; Compare on request-level samples of one run says so in its warnings when
// asked with Options.Dependent.
//
// The package is a leaf. It reads no clock and no random source.
package stat

import (
	"fmt"
	"math"
	"slices"
)

// A Warning is something that a result cannot show, as data: ID is stable and
// meant for programs, Text is one English clause for people.
type Warning struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

func (w Warning) Error() string { return w.Text }

// Warning ids.
const (
	WarnEmpty       = "empty"        // no values at all
	WarnNotFinite   = "not-finite"   // NaN or infinite values were left out
	WarnTooFew      = "too-few"      // too few values for the interval or the test
	WarnAllEqual    = "all-equal"    // both samples hold one and the same value
	WarnNotExact    = "not-exact"    // values that should be equal differ
	WarnDependent   = "dependent"    // values of one run are not independent
	WarnAssumption  = "assumption"   // the test leans on an assumption that few values cannot check
	WarnUnpaired    = "unpaired"     // blocks with only one side were left out
	WarnTail        = "tail"         // a tail percentile rests on very few values
	WarnRunVariance = "run-variance" // runs differ by more than requests within a run explain
)

// Assumption is what the caller knows about how a sample's values spread.
type Assumption int

const (
	// AssumeNothing: median, order-statistic interval, Mann-Whitney U test,
	// Hodges-Lehmann difference. The default.
	AssumeNothing Assumption = iota
	// AssumeExact: every value must be the same; any difference between two
	// samples is a difference.
	AssumeExact
	// AssumeNormal: mean, Student's t interval, Welch's t test. For a few
	// run-level means; three runs a side can decide with it, and no rank test can.
	AssumeNormal
	// AssumeRelative: the logarithms are normal, and both samples of a comparison
	// have one relative spread: geometric mean, Student's t test of the logarithms
	// with the spreads pooled. For two or three starts of a server a side, where
	// Welch's test has one degree of freedom and calls a fivefold gain unclear. A
	// comparison with a value that is not positive falls back to AssumeNormal.
	AssumeRelative
)

func (a Assumption) String() string {
	switch a {
	case AssumeNothing:
		return "nothing"
	case AssumeExact:
		return "exact"
	case AssumeNormal:
		return "normal"
	case AssumeRelative:
		return "relative"
	}
	return fmt.Sprintf("Assumption(%d)", int(a))
}

// CenterLabel names the centre that a Summary under this assumption holds.
func (a Assumption) CenterLabel() string {
	switch a {
	case AssumeExact:
		return "exact"
	case AssumeNormal:
		return "mean"
	case AssumeRelative:
		return "geometric mean"
	}
	return "median"
}

// A Sample is a set of values of one metric in one unit.
type Sample struct {
	// Values are finite and in ascending order.
	Values []float64
	// Assume says how Summary and Compare treat the sample.
	Assume Assumption
	// Warnings say what was wrong with the input.
	Warnings []Warning
}

// NewSample returns a sample of a sorted copy of values. NaN and infinite values
// stand for "not recorded"; they are left out, with a warning.
func NewSample(values []float64, assume Assumption) *Sample {
	s := &Sample{Values: make([]float64, 0, len(values)), Assume: assume}
	for _, v := range values {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			s.Values = append(s.Values, v)
		}
	}
	slices.Sort(s.Values)
	if n := len(values) - len(s.Values); n > 0 {
		s.Warnings = append(s.Warnings, Warning{WarnNotFinite,
			fmt.Sprintf("%d of %d values are not finite and were left out", n, len(values))})
	}
	return s
}

// N is the number of values.
func (s *Sample) N() int { return len(s.Values) }

// Mean returns the arithmetic mean, NaN for an empty sample.
func (s *Sample) Mean() float64 { return Mean(s.Values) }

// Std returns the population standard deviation (divisor n, as numpy.std and
// therefore as the std_* keys of vLLM's benchmark), NaN for an empty sample.
func (s *Sample) Std() float64 { return Std(s.Values) }

// Mean returns the arithmetic mean of values, NaN when there are none.
func Mean(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	// The running form neither overflows nor depends on the size of the sum.
	var mean float64
	for i, v := range values {
		mean += (v - mean) / float64(i+1)
	}
	return mean
}

// Std returns the population standard deviation (divisor n) of values, NaN when
// there are none.
func Std(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return math.NaN()
	}
	return math.Sqrt(sumSquares(values) / float64(n))
}

// variance returns the unbiased variance (divisor n-1); the caller ensures n > 1.
func variance(values []float64) float64 {
	return sumSquares(values) / float64(len(values)-1)
}

// sumSquares returns the sum of squared deviations from the mean.
func sumSquares(values []float64) float64 {
	mean := Mean(values)
	var ss float64
	for _, v := range values {
		ss += (v - mean) * (v - mean)
	}
	return ss
}
