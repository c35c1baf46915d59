package compare

import (
	"fmt"
	"math"
	"slices"

	"github.com/stepscope/stepscope/stat"
)

// Limits of blocking: at least minBlocks blocks where a series is long enough for them, as a test on fewer cannot decide
// anything after correction; at most maxBlocks, as more add only work.
const (
	minBlocks = 8
	maxBlocks = 64
	maxSeries = 4096
)

// blocked is a series of dependent values as a sample of independent ones.
type blocked struct {
	values []float64
	length int     // values a block
	tau    float64 // integrated autocorrelation time of the series, in values
}

// blocks puts a series in order of time into contiguous blocks as long as its values are correlated (batch means; see
// Law, Simulation Modeling and Analysis, 9.5). A slow trend, such as the growing context of a decode window, is not
// counted as correlation, as it is the same in both captures; it stays in the values and widens the intervals.
// Values that are not finite are dropped.
func blocks(series []float64, agg func([]float64) float64) blocked {
	series = slices.DeleteFunc(slices.Clone(series), func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) })
	n := len(series)
	tau := autocorrelation(series)
	length := max(int(math.Ceil(tau)), (n+maxBlocks-1)/maxBlocks, 1)
	length = min(length, max(1, n/minBlocks))
	b := blocked{length: length, tau: tau}
	for at := 0; at < n; {
		end := at + length
		if n-end < length {
			end = n // the rest joins the last block
		}
		b.values = append(b.values, agg(series[at:end]))
		at = end
	}
	return b
}

// correlated warns when the blocks are shorter than the correlation.
func correlated(b, a blocked) (stat.Warning, bool) {
	if b.tau > 1.5*float64(b.length) || a.tau > 1.5*float64(a.length) {
		return stat.Warning{ID: stat.WarnDependent, Text: fmt.Sprintf(
			"neighbouring values stay alike over about %.0f of them, longer than a block of %d and %d: the interval is too narrow; a longer capture would help",
			max(b.tau, a.tau), b.length, a.length)}, true
	}
	return stat.Warning{}, false
}

// autocorrelation returns the integrated autocorrelation time of a series after removing a straight trend: 1 for
// independent values. The sum is cut where the window reaches five times the estimate (Sokal's rule).
func autocorrelation(series []float64) float64 {
	if k := len(series) / maxSeries; k > 1 { // of a long series the means of short stretches tell as much
		short := make([]float64, 0, maxSeries+k)
		for at := 0; at+k <= len(series); at += k {
			short = append(short, stat.Mean(series[at:at+k]))
		}
		return float64(k) * autocorrelation(short)
	}
	n := len(series)
	if n < 2*minBlocks {
		return 1
	}
	rest := detrend(series)
	var c0 float64
	for _, v := range rest {
		c0 += v * v
	}
	if c0 <= 1e-18*float64(n) {
		return 1
	}
	tau := 1.0
	for lag := 1; lag < n/2; lag++ {
		var c float64
		for i := lag; i < n; i++ {
			c += rest[i] * rest[i-lag]
		}
		tau += 2 * c / c0
		if float64(lag) >= 5*tau {
			break
		}
	}
	return max(1, tau)
}

// detrend subtracts the least-squares line.
func detrend(y []float64) []float64 {
	n := float64(len(y))
	mx := (n - 1) / 2
	var my, sxy, sxx float64
	for _, v := range y {
		my += v
	}
	my /= n
	for i, v := range y {
		d := float64(i) - mx
		sxy += d * (v - my)
		sxx += d * d
	}
	slope := 0.0
	if sxx > 0 {
		slope = sxy / sxx
	}
	out := make([]float64, len(y))
	for i, v := range y {
		out[i] = v - my - slope*(float64(i)-mx)
	}
	return out
}

// mean and middle sum up a block.
func mean(v []float64) float64 { return stat.Mean(v) }

func middle(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return stat.Percentile(s, 50, stat.Linear)
}
