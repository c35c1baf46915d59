package summary

import (
	"math"
	"math/bits"
	"slices"
	"strconv"
)

// appendFixed adds v with a fixed number of digits after the point. An exact half rounds away from zero, as in SQLite,
// which rounds the figures of nsys' reports, and not to even as in strconv.
func appendFixed(b []byte, v float64, digits int) []byte {
	// A half of the last digit is exact in binary only where v is an odd multiple of 2^-(digits+1).
	x := math.Ldexp(v, digits+1)
	if x != math.Trunc(x) || math.IsInf(x, 0) || math.Mod(x, 2) == 0 {
		return strconv.AppendFloat(b, v, 'f', digits, 64)
	}
	if math.Signbit(v) {
		b = append(b, '-')
	}
	at := len(b)
	b = strconv.AppendFloat(b, math.Abs(v), 'f', digits+1, 64)
	b = b[:len(b)-1] // the 5
	if digits == 0 {
		b = b[:len(b)-1]
	}
	for i := len(b) - 1; i >= at; i-- {
		if b[i] == '.' {
			continue
		}
		if b[i] != '9' {
			b[i]++
			return b
		}
		b[i] = '0'
	}
	return slices.Insert(b, at, '1')
}

// stats are the figures that every summary prints about one group of values.
type stats struct {
	n             int
	sum, min, max int64
	avg, med, std float64
}

// describe computes the stats of v and reorders v. The sum is exact (it saturates at the ends of int64), the standard
// deviation is that of a sample and 0 for one value; v must not be empty.
func describe(v []int64) stats {
	s := stats{n: len(v), min: v[0], max: v[0]}
	for _, x := range v {
		s.sum = addSat(s.sum, x)
		s.min, s.max = min(s.min, x), max(s.max, x)
	}
	s.avg = float64(s.sum) / float64(s.n)
	s.med = median(v)
	s.std = stdDev(v, s)
	return s
}

func addSat(a, b int64) int64 {
	c := a + b
	if a > 0 && b > 0 && c < 0 {
		return math.MaxInt64
	}
	if a < 0 && b < 0 && c >= 0 {
		return math.MinInt64
	}
	return c
}

// stdDev sums the squares of the distances from the whole number next to the mean, exactly in 128 bits, so that it does
// not lose digits on long and nearly equal durations as a sum of squares would.
func stdDev(v []int64, s stats) float64 {
	if s.n < 2 {
		return 0
	}
	c := int64(math.Round(s.avg))
	if far := max(absDiff(s.max, c), absDiff(s.min, c)); far >= 1<<48 {
		var m2 float64
		for _, x := range v {
			d := float64(x) - s.avg
			m2 += d * d
		}
		return math.Sqrt(m2 / float64(s.n-1))
	}
	var hi, lo uint64 // sum of squares of x-c
	var d1 int64      // sum of x-c
	for _, x := range v {
		d := x - c
		d1 += d
		u := uint64(d)
		if d < 0 {
			u = uint64(-d)
		}
		h, l := bits.Mul64(u, u)
		var carry uint64
		lo, carry = bits.Add64(lo, l, 0)
		hi, _ = bits.Add64(hi, h, carry)
	}
	sq := float64(hi)*(1<<64) + float64(lo)
	m2 := sq - float64(d1)*float64(d1)/float64(s.n)
	if m2 <= 0 {
		return 0
	}
	return math.Sqrt(m2 / float64(s.n-1))
}

func absDiff(a, b int64) uint64 {
	if a < b {
		a, b = b, a
	}
	return uint64(a) - uint64(b)
}

// median returns the middle of v, for an even count the mean of the two middle values. It reorders v.
func median(v []int64) float64 {
	k := len(v) / 2
	hi := nth(v, k)
	if len(v)%2 == 1 {
		return float64(hi)
	}
	lo := slices.Max(v[:k])
	return (float64(lo) + float64(hi)) / 2
}

// nth brings the k-th smallest value of v to v[k], with nothing larger before it and nothing smaller after it.
func nth(v []int64, k int) int64 {
	lo, hi := 0, len(v)-1
	for round := 0; lo < hi; round++ {
		if hi-lo < 16 || round > 64 {
			slices.Sort(v[lo : hi+1])
			break
		}
		p := pivot(v, lo, hi)
		// Three-way split, as durations repeat: v[lo:i] < p, v[i:j+1] == p, v[j+1:hi+1] > p.
		i, j := lo, hi
		for at := lo; at <= j; {
			switch x := v[at]; {
			case x < p:
				v[at], v[i] = v[i], x
				at++
				i++
			case x > p:
				v[at], v[j] = v[j], x
				j--
			default:
				at++
			}
		}
		switch {
		case k < i:
			hi = i - 1
		case k > j:
			lo = j + 1
		default:
			return v[k]
		}
	}
	return v[k]
}

// pivot is the median of three medians of three, spread over v[lo:hi+1].
func pivot(v []int64, lo, hi int) int64 {
	step := (hi - lo) / 8
	m3 := func(a, b, c int64) int64 { return max(min(a, b), min(max(a, b), c)) }
	at := func(i int) int64 { return v[lo+i*step] }
	return m3(m3(at(0), at(1), at(2)), m3(at(3), at(4), at(5)), m3(at(6), at(7), v[hi]))
}

// partition sorts values into consecutive slices by group: ids[i] is the group of value(i), or negative to leave it
// out. The slices share one backing array.
func partition[T any](ids []int32, groups int, value func(i int) T) [][]T {
	at := make([]int, groups+1)
	for _, g := range ids {
		if g >= 0 {
			at[g+1]++
		}
	}
	for g := range groups {
		at[g+1] += at[g]
	}
	all := make([]T, at[groups])
	out := make([][]T, groups)
	for g := range groups {
		out[g] = all[at[g]:at[g]:at[g+1]]
	}
	for i, g := range ids {
		if g >= 0 {
			out[g] = append(out[g], value(i))
		}
	}
	return out
}
