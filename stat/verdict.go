package stat

import (
	"fmt"
	"math"
)

// Direction says which way a metric is good.
type Direction int

const (
	// LowerIsBetter: latency, memory, errors.
	LowerIsBetter Direction = iota
	// HigherIsBetter: throughput, utilisation.
	HigherIsBetter
)

func (d Direction) String() string {
	if d == HigherIsBetter {
		return "higher is better"
	}
	return "lower is better"
}

// Verdict is what a comparison says about a metric.
type Verdict string

// Verdicts.
const (
	Better  Verdict = "better"
	Worse   Verdict = "worse"
	Same    Verdict = "same"
	Unclear Verdict = "unclear"
)

// Verdict judges the comparison for a metric with the given direction. minEffect
// is the smallest relative change worth having (0.02 is two per cent).
//
//   - better, worse: the test supports a difference and its estimate is at least
//     minEffect.
//   - same: the whole interval lies within minEffect either side of no change.
//     This is the stronger statement: absence of proof alone is unclear.
//   - unclear: everything else.
//
// The second result says why in one clause.
func (c Comparison) Verdict(dir Direction, minEffect float64) (Verdict, string) {
	if c.Method == "" {
		return Unclear, "no test was possible"
	}
	effect, lo, hi, ok := c.Effect()
	sig := c.Significant()
	if !ok {
		// From zero (or below) there is no relative change: any supported shift counts.
		switch {
		case c.Delta == 0 && c.DeltaLo == 0 && c.DeltaHi == 0:
			return Same, "no change"
		case !sig || c.Delta == 0 || math.IsNaN(c.Delta):
			return Unclear, fmt.Sprintf("no difference shown (%s)", c)
		}
		return direction(c.Delta, dir), fmt.Sprintf("changed by %+.4g from %.4g (%s)", c.Delta, c.Before, c)
	}
	within := lo >= -minEffect && hi <= minEffect
	pct := fmt.Sprintf("%+.1f%%", 100*effect)
	switch {
	case within && (minEffect > 0 || effect == 0):
		return Same, fmt.Sprintf("%s, within %.3g%% either way (%s)", pct, 100*minEffect, c)
	case sig && effect != 0 && math.Abs(effect) >= minEffect:
		return direction(effect, dir), fmt.Sprintf("%s (%s)", pct, c)
	case sig:
		return Unclear, fmt.Sprintf("%s, less than the %.3g%% that counts, but the interval reaches further (%s)", pct, 100*minEffect, c)
	case c.tooFew():
		return Unclear, fmt.Sprintf("%s, too few values to tell (%s)", pct, c)
	}
	return Unclear, fmt.Sprintf("%s, no difference shown (%s)", pct, c)
}

func (c Comparison) tooFew() bool {
	for _, w := range c.Warnings {
		if w.ID == WarnTooFew {
			return true
		}
	}
	return false
}

func direction(change float64, dir Direction) Verdict {
	if (change < 0) == (dir == LowerIsBetter) {
		return Better
	}
	return Worse
}

// Holm returns the p-values adjusted for testing several metrics at once (Holm's
// step-down method: the chance of any false alarm stays below alpha, whatever
// the dependence). The order is that of ps; NaN stays NaN and counts for nothing.
func Holm(ps []float64) []float64 {
	idx := make([]int, 0, len(ps))
	out := make([]float64, len(ps))
	for i, p := range ps {
		out[i] = p
		if !math.IsNaN(p) {
			idx = append(idx, i)
		}
	}
	sortBy(idx, func(i int) float64 { return ps[i] })
	floor := 0.0
	for rank, i := range idx {
		floor = max(floor, min(1, ps[i]*float64(len(idx)-rank)))
		out[i] = floor
	}
	return out
}
