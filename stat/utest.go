package stat

import "math"

// exactLimit is the largest size of either sample for which the exact
// distribution of U is used, with ties or without. Beyond it the normal
// approximation is off by less than anything that matters; at it the exact
// distribution costs some tens of milliseconds.
const exactLimit = 50

// A uDist is the null distribution of twice the Mann-Whitney U statistic, given
// the tie groups: prob[k] is the probability of 2U == k.
type uDist struct{ prob []float64 }

// newUDist counts, for the pooled values with the given tie group sizes in
// ascending order, the ways to choose the n1 values of the first sample by their
// doubled mid-rank sum. (Doubled mid-ranks are integers.) It is a knapsack over
// groups: c values of a group of t can be chosen in t-over-c ways, and add c times
// the group's doubled rank.
func newUDist(n1, n2 int, ties []int) uDist {
	maxSum := n1 * (n1 + 2*n2 + 1) // doubled ranks n2+1..n1+n2
	ways := make([][]float64, n1+1)
	for j := range ways {
		ways[j] = make([]float64, maxSum+1)
	}
	ways[0][0] = 1
	first := 1 // rank of the group's first value
	for _, t := range ties {
		rank2 := 2*first + t - 1
		choose := 1.0
		chooses := make([]float64, t+1)
		for c := 1; c <= t; c++ {
			choose = choose * float64(t-c+1) / float64(c)
			chooses[c] = choose
		}
		for j := min(n1, first+t-1); j >= 1; j-- {
			row := ways[j]
			for c := 1; c <= min(t, j); c++ {
				k := j - c // chosen among the first-1 values so far
				if k > first-1 {
					continue
				}
				from, add, ch := ways[k], c*rank2, chooses[c]
				// Only these sums are reachable; everything else is zero.
				for s := k * (k + 1); s <= k*(2*(first-1)-k+1); s++ {
					row[s+add] += from[s] * ch
				}
			}
		}
		first += t
	}
	// 2U = 2R - n1(n1+1)
	shift := n1 * (n1 + 1)
	prob := ways[n1][shift:]
	var total float64
	for _, w := range prob {
		total += w
	}
	for k := range prob {
		prob[k] /= total
	}
	return uDist{prob}
}

// lower returns P(2U <= k) and upper P(2U >= k).
func (d uDist) lower(k int) float64 {
	var p float64
	for i := 0; i <= min(k, len(d.prob)-1); i++ {
		p += d.prob[i]
	}
	return min(p, 1)
}

func (d uDist) upper(k int) float64 {
	var p float64
	for i := len(d.prob) - 1; i >= max(k, 0); i-- {
		p += d.prob[i]
	}
	return min(p, 1)
}

// noTies is the tie vector of n distinct values.
func noTies(n int) []int {
	t := make([]int, n)
	for i := range t {
		t[i] = 1
	}
	return t
}

// rankSum merges two ascending samples and returns 2U of the first and the tie group
// sizes in ascending order.
func rankSum(a, b []float64) (u2 int, ties []int) {
	i, j, rank := 0, 0, 1
	var r2 int
	for i < len(a) || j < len(b) {
		var v float64
		switch {
		case i == len(a):
			v = b[j]
		case j == len(b) || a[i] <= b[j]:
			v = a[i]
		default:
			v = b[j]
		}
		na, nb := 0, 0
		for i < len(a) && a[i] == v {
			i, na = i+1, na+1
		}
		for j < len(b) && b[j] == v {
			j, nb = j+1, nb+1
		}
		t := na + nb
		r2 += na * (2*rank + t - 1)
		ties = append(ties, t)
		rank += t
	}
	return r2 - len(a)*(len(a)+1), ties
}

// mannWhitney returns the two-sided p-value for two ascending, non-empty samples.
//
// The exact p is twice the smaller tail (at most 1) of the permutation
// distribution given the ties; the approximation uses the tie and the continuity
// correction. The first sample's U counts pairs in which its value is the larger.
func mannWhitney(a, b []float64) (p float64, exact bool) {
	n1, n2 := len(a), len(b)
	u2, ties := rankSum(a, b)
	if len(ties) == 1 {
		return 1, true
	}
	if n1 <= exactLimit && n2 <= exactLimit {
		if n1 > n2 { // the smaller side is cheaper to enumerate
			n1, n2, u2 = n2, n1, 2*n1*n2-u2
		}
		d := newUDist(n1, n2, ties)
		return min(1, 2*min(d.lower(u2), d.upper(u2))), true
	}
	var t float64
	for _, k := range ties {
		f := float64(k)
		t += f*f*f - f
	}
	m := float64(n1) * float64(n2)
	n := float64(n1 + n2)
	sigma := math.Sqrt(m / 12 * (n + 1 - t/(n*(n-1))))
	d := math.Abs(float64(u2)/2 - m/2)
	if sigma == 0 {
		return 1, false
	}
	z := max(d-0.5, 0) / sigma
	return min(1, 2*normalCDF(-z)), false
}

// minP is the smallest two-sided p that n1 and n2 distinct values can give:
// complete separation, two of all arrangements.
func minP(n1, n2 int) float64 {
	return min(1, 2*math.Exp(-logChoose(n1+n2, n1)))
}

// ranksNeeded returns the smallest equal sample size whose best case reaches alpha.
func ranksNeeded(alpha float64) int {
	n := 1
	for n < 1000 && minP(n, n) > alpha*(1+1e-9) {
		n++
	}
	return n
}
