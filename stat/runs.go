package stat

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

func sortBy(idx []int, key func(int) float64) {
	slices.SortStableFunc(idx, func(a, b int) int { return cmp.Compare(key(a), key(b)) })
}

// A Block is one repeat of an interleaved A/B experiment: the request-level
// values of a run before and of a run after the change, made next to each other in
// time so that slow drift (clocks, temperature, neighbours) hits both.
type Block struct {
	Before, After []float64
}

// A BlockComparison looks at repeated runs from both sides.
type BlockComparison struct {
	// Runs compares one value per run, the median of its requests. It is the test
	// to believe: runs are what was repeated.
	Runs Comparison
	// Paired is the signed-rank test of the blocks' log ratios (differences when a
	// value is not positive). It removes drift between blocks, and needs six of
	// them to reach 0.05. Method is "" with fewer than two blocks.
	Paired Comparison
	// Requests compares all requests as if they were independent, which they are
	// not; it always warns. It is the only one left with a single block.
	Requests Comparison
	// ICC is the share of the variance that lies between runs of the same side
	// (intraclass correlation, one-way analysis of variance, floored at 0). NaN
	// with fewer than two runs a side.
	ICC float64
	// EffectiveN1 and EffectiveN2 are how many independent values the requests
	// are worth, given ICC; the plain counts when ICC is not known.
	EffectiveN1, EffectiveN2 float64
	// Warnings are about the blocks; each comparison has its own.
	Warnings []Warning
}

// Best returns the comparison to judge by: run-level when its test can reach
// alpha at all, request-level otherwise, with its warning.
func (b BlockComparison) Best() Comparison {
	if minP(b.Runs.N1, b.Runs.N2) <= b.Runs.Alpha {
		return b.Runs
	}
	return b.Requests
}

// CompareBlocks compares the two sides of an interleaved experiment. A block with
// only one side still counts for Runs and Requests, not for Paired.
func CompareBlocks(blocks []Block, o Options) BlockComparison {
	var beforeRuns, afterRuns, before, after []float64
	var pairs [][2]float64
	var groups1, groups2 [][]float64
	half := 0
	for _, b := range blocks {
		s1, s2 := NewSample(b.Before, AssumeNothing), NewSample(b.After, AssumeNothing)
		if s1.N() > 0 {
			beforeRuns, before, groups1 = append(beforeRuns, s1.Median()), append(before, s1.Values...), append(groups1, s1.Values)
		}
		if s2.N() > 0 {
			afterRuns, after, groups2 = append(afterRuns, s2.Median()), append(after, s2.Values...), append(groups2, s2.Values)
		}
		switch {
		case s1.N() > 0 && s2.N() > 0:
			pairs = append(pairs, [2]float64{s1.Median(), s2.Median()})
		case s1.N() > 0 || s2.N() > 0:
			half++
		}
	}
	runOpt, reqOpt := o, o
	runOpt.Dependent, reqOpt.Dependent = false, len(beforeRuns) <= 1 || len(afterRuns) <= 1
	out := BlockComparison{
		Runs:     Compare(NewSample(beforeRuns, AssumeNothing), NewSample(afterRuns, AssumeNothing), runOpt),
		Paired:   ComparePairs(pairs, o),
		Requests: Compare(NewSample(before, AssumeNothing), NewSample(after, AssumeNothing), reqOpt),
		ICC:      intraclass(groups1, groups2),
	}
	if half > 0 {
		out.Warnings = append(out.Warnings, Warning{WarnUnpaired, fmt.Sprintf("%d of %d blocks have one side only", half, len(blocks))})
	}
	out.EffectiveN1, out.EffectiveN2 = effectiveN(groups1, out.ICC), effectiveN(groups2, out.ICC)
	if !reqOpt.Dependent {
		out.Requests.warn(WarnDependent, "requests of one run are not independent: %d and %d requests are worth about %.0f and %.0f; judge by the runs",
			len(before), len(after), out.EffectiveN1, out.EffectiveN2)
	}
	if out.ICC > 0.1 {
		out.Warnings = append(out.Warnings, Warning{WarnRunVariance, fmt.Sprintf("%.0f%% of the variance lies between runs of the same side", 100*out.ICC)})
	}
	return out
}

// ComparePairs compares pairs {before, after} of run-level values with the exact
// Wilcoxon signed-rank test (normal approximation beyond 50 pairs) on log
// ratios, or on differences when a value is not positive. Delta and Ratio are the
// Hodges-Lehmann estimates over Walsh averages.
func ComparePairs(pairs [][2]float64, o Options) Comparison {
	alpha, confidence := o.levels()
	inf, nan := math.Inf(1), math.NaN()
	n := len(pairs)
	c := Comparison{P: 1, N1: n, N2: n, Alpha: alpha, Confidence: confidence, Before: nan, After: nan,
		Delta: nan, DeltaLo: -inf, DeltaHi: inf, Ratio: nan, RatioLo: nan, RatioHi: nan}
	if n < 2 {
		c.warn(WarnTooFew, "need >= %d pairs to detect any difference at level %v, have %d", pairsNeeded(alpha), alpha, n)
		return c
	}
	diffs, logs := make([]float64, n), make([]float64, n)
	b, a := make([]float64, n), make([]float64, n)
	positive := true
	for i, p := range pairs {
		b[i], a[i] = p[0], p[1]
		diffs[i] = p[1] - p[0]
		positive = positive && p[0] > 0 && p[1] > 0
		logs[i] = math.Log(p[1]) - math.Log(p[0])
	}
	slices.Sort(b)
	slices.Sort(a)
	c.Before, c.After = median(b), median(a)
	c.Method = "Wilcoxon signed-rank"
	tested := diffs
	if positive {
		tested = logs
	}
	c.P = signedRank(tested)
	k := signedRankOrder(n, confidence)
	c.Delta, c.DeltaLo, c.DeltaHi = walsh(diffs, k)
	if positive {
		e, lo, hi := walsh(logs, k)
		c.Ratio, c.RatioLo, c.RatioHi = math.Exp(e), math.Exp(lo), math.Exp(hi)
	}
	if math.Pow(2, float64(1-n)) > alpha*(1+1e-9) {
		c.warn(WarnTooFew, "need >= %d pairs to detect any difference at level %v, have %d", pairsNeeded(alpha), alpha, n)
	}
	return c
}

func pairsNeeded(alpha float64) int {
	n := 1
	for n < 1000 && math.Pow(2, float64(1-n)) > alpha*(1+1e-9) {
		n++
	}
	return n
}

// signedRank returns the two-sided p of the signed-rank test with mid-ranks; zero
// differences are dropped (Wilcoxon's way).
func signedRank(diffs []float64) float64 {
	d := slices.DeleteFunc(slices.Clone(diffs), func(v float64) bool { return v == 0 })
	n := len(d)
	if n == 0 {
		return 1
	}
	slices.SortFunc(d, func(x, y float64) int { return cmp.Compare(math.Abs(x), math.Abs(y)) })
	rank2 := make([]int, n)
	var plus int
	for i := 0; i < n; {
		j := i
		for j < n && math.Abs(d[j]) == math.Abs(d[i]) {
			j++
		}
		for k := i; k < j; k++ {
			rank2[k] = i + j + 1 // doubled mean of ranks i+1..j
			if d[k] > 0 {
				plus += rank2[k]
			}
		}
		i = j
	}
	if n > exactLimit {
		var mean, v float64
		for _, r := range rank2 {
			mean += float64(r) / 2
			v += float64(r) * float64(r) / 4
		}
		z := max(math.Abs(float64(plus)-mean)-1, 0) / math.Sqrt(v)
		return min(1, 2*normalCDF(-z))
	}
	prob := signedRankDist(rank2)
	var lower, upper float64
	for s, p := range prob {
		if s <= plus {
			lower += p
		}
		if s >= plus {
			upper += p
		}
	}
	return min(1, 2*min(lower, upper))
}

// signedRankDist returns the null distribution of the sum of the ranks given a plus.
func signedRankDist(ranks []int) []float64 {
	total := 0
	for _, r := range ranks {
		total += r
	}
	prob := make([]float64, total+1)
	prob[0] = 1
	for _, r := range ranks {
		for s := total; s >= 0; s-- {
			prob[s] /= 2
			if s >= r {
				prob[s] += prob[s-r] / 2
			}
		}
	}
	return prob
}

// signedRankOrder is hodgesLehmannOrder for Walsh averages.
func signedRankOrder(n int, confidence float64) int {
	tail := (1 - confidence) / 2 * (1 + 1e-9)
	if n > exactLimit {
		f := float64(n)
		sigma := math.Sqrt(f * (f + 1) * (2*f + 1) / 24)
		return max(0, int(math.Floor(f*(f+1)/4+0.5+normalQuantile((1-confidence)/2)*sigma)))
	}
	ranks := make([]int, n)
	for i := range ranks {
		ranks[i] = i + 1
	}
	var p float64
	for k, q := range signedRankDist(ranks) {
		if p += q; p > tail {
			return k
		}
	}
	return 0
}

// walsh returns the median, k-th smallest and k-th largest of the averages of all
// pairs of values, each with itself too.
func walsh(values []float64, k int) (est, lo, hi float64) {
	n := len(values)
	w := make([]float64, 0, n*(n+1)/2)
	for i := range n {
		for j := i; j < n; j++ {
			w = append(w, values[i]+(values[j]-values[i])/2)
		}
	}
	slices.Sort(w)
	est, lo, hi = median(w), math.Inf(-1), math.Inf(1)
	if k > 0 {
		lo, hi = w[k-1], w[len(w)-k]
	}
	return est, lo, hi
}

// intraclass estimates the share of variance between runs of the same side by
// one-way analysis of variance, pooled over both sides; NaN with fewer than two
// runs on either or no spare requests.
func intraclass(sides ...[][]float64) float64 {
	var between, within, dfB, dfW, n0 float64
	for _, groups := range sides {
		if len(groups) < 2 {
			return math.NaN()
		}
		var all []float64
		var sq float64
		for _, g := range groups {
			all = append(all, g...)
			within += sumSquares(g)
			dfW += float64(len(g) - 1)
			sq += float64(len(g)) * float64(len(g))
		}
		grand, n, k := Mean(all), float64(len(all)), float64(len(groups))
		for _, g := range groups {
			d := Mean(g) - grand
			between += float64(len(g)) * d * d
		}
		dfB += k - 1
		n0 += n - sq/n
	}
	if dfW == 0 {
		return math.NaN()
	}
	n0 /= dfB
	msB, msW := between/dfB, within/dfW
	if msB == 0 && msW == 0 {
		return 0
	}
	return max(0, (msB-msW)/(msB+(n0-1)*msW))
}

// effectiveN divides the number of values by the design effect 1 + (m-1)*icc.
func effectiveN(groups [][]float64, icc float64) float64 {
	var n float64
	for _, g := range groups {
		m := float64(len(g))
		if math.IsNaN(icc) {
			n += m
		} else {
			n += m / (1 + (m-1)*icc)
		}
	}
	return n
}
