package stat

import "math"

// hodgesLehmannOrder returns k such that the k-th smallest and k-th largest of all
// n1*n2 pairwise differences bound the shift at the given confidence: the largest
// k with P(U <= k-1) <= (1-confidence)/2. 0 means that no pair does. Ties make the
// interval conservative.
func hodgesLehmannOrder(n1, n2 int, confidence float64) int {
	tail := (1 - confidence) / 2 * (1 + 1e-9)
	if n1 <= exactLimit && n2 <= exactLimit {
		if n1 > n2 {
			n1, n2 = n2, n1
		}
		d := newUDist(n1, n2, noTies(n1+n2))
		k := 0
		var p float64
		for 2*k < len(d.prob) {
			p += d.prob[2*k]
			if p > tail {
				break
			}
			k++
		}
		return k
	}
	m := float64(n1) * float64(n2)
	sigma := math.Sqrt(m / 12 * float64(n1+n2+1))
	// P(U <= k-1) with the continuity correction is Phi((k - 1/2 - m/2) / sigma).
	return max(0, int(math.Floor(m/2+0.5+normalQuantile((1-confidence)/2)*sigma)))
}

// hodgesLehmann returns the median of op over all pairs of an after and a before
// value, and the k-th smallest and k-th largest, infinite when k is 0. Both samples
// ascend; op must not fall as after grows and not grow as before grows. mid takes
// the two middle values of an even number of pairs.
func hodgesLehmann(before, after []float64, k int, op, mid func(after, before float64) float64) (est, lo, hi float64) {
	m := len(before) * len(after)
	est = kthPair(before, after, (m+1)/2, op)
	if m%2 == 0 {
		est = mid(kthPair(before, after, m/2+1, op), est)
	}
	lo, hi = math.Inf(-1), math.Inf(1)
	if k > 0 {
		lo, hi = kthPair(before, after, k, op), kthPair(before, after, m-k+1, op)
	}
	return est, lo, hi
}

// kthPair returns the k-th smallest (from 1) of all op(after, before). It bisects
// over the ordered float64s and counts pairs in linear time, so ten thousand by
// ten thousand tokens need no hundred million differences.
func kthPair(before, after []float64, k int, op func(after, before float64) float64) float64 {
	lo := ordered(op(after[0], before[len(before)-1]))
	hi := ordered(op(after[len(after)-1], before[0]))
	for lo < hi {
		mid := lo + (hi-lo)/2
		if countAtMost(before, after, unordered(mid), op) >= k {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return unordered(lo)
}

// countAtMost counts the pairs with op(after, before) <= t.
func countAtMost(before, after []float64, t float64, op func(after, before float64) float64) int {
	i, n := 0, 0
	for _, v := range after {
		for i < len(before) && !(op(v, before[i]) <= t) {
			i++
		}
		if i == len(before) {
			break
		}
		n += len(before) - i
	}
	return n
}

// ordered maps a float64 to an integer of the same order; unordered maps back.
func ordered(f float64) uint64 {
	b := math.Float64bits(f)
	if b>>63 != 0 {
		return ^b
	}
	return b | 1<<63
}

func unordered(u uint64) float64 {
	if u>>63 != 0 {
		return math.Float64frombits(u &^ (1 << 63))
	}
	return math.Float64frombits(^u)
}

// The operations of the two estimates. Ratios have a geometric middle, so that
// swapping the samples gives the reciprocal.
func difference(after, before float64) float64 { return after - before }
func quotient(after, before float64) float64   { return after / before }
func arithmeticMid(x, y float64) float64       { return x + (y-x)/2 }
func geometricMid(x, y float64) float64        { return math.Sqrt(x) * math.Sqrt(y) }
