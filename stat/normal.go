package stat

import (
	"fmt"
	"math"
)

// normalSummary is the mean with Student's t interval.
func (s *Sample) normalSummary(out Summary, confidence float64) Summary {
	n := s.N()
	out.Center = s.Mean()
	if n < 2 {
		out.Warnings = append(out.Warnings, Warning{WarnTooFew,
			fmt.Sprintf("need >= 2 values for an interval of the mean, have %d", n)})
		return out
	}
	half := studentQuantile((1+confidence)/2, float64(n-1)) * math.Sqrt(variance(s.Values)/float64(n))
	out.Lo, out.Hi, out.Confidence = out.Center-half, out.Center+half, confidence
	return out
}

// welch compares two samples with Welch's t test.
func (c *Comparison) welch(before, after []float64, confidence float64) {
	c.Method = "Welch t"
	n1, n2 := float64(len(before)), float64(len(after))
	m1, m2 := Mean(before), Mean(after)
	c.Delta = m2 - m1
	if n1 < 2 || n2 < 2 {
		c.warn(WarnTooFew, "need >= 2 values a side for a t test, have %d and %d", len(before), len(after))
		return
	}
	if min(n1, n2) < 10 {
		c.warn(WarnAssumption, "the t test assumes a normal distribution, which %d and %d values cannot check", len(before), len(after))
	}
	v1, v2 := variance(before)/n1, variance(after)/n2
	se := math.Sqrt(v1 + v2)
	if se == 0 {
		if m1 == m2 {
			c.P, c.DeltaLo, c.DeltaHi = 1, 0, 0
			c.warn(WarnAllEqual, "all values of both samples are equal")
			return
		}
		// Two constants: the t statistic is infinite, and no spread to judge it by.
		c.P, c.DeltaLo, c.DeltaHi = 0, c.Delta, c.Delta
		c.warn(WarnAssumption, "neither sample varies, so the test knows no error")
		c.ratioOfMeans(m1)
		return
	}
	df := (v1 + v2) * (v1 + v2) / (v1*v1/(n1-1) + v2*v2/(n2-1))
	c.P = 2 * studentTail(math.Abs(c.Delta)/se, df)
	half := studentQuantile((1+confidence)/2, df) * se
	c.DeltaLo, c.DeltaHi = c.Delta-half, c.Delta+half
	c.ratioOfMeans(m1)
}

// relativeSummary is the geometric mean with Student's t interval of the logarithms.
func (s *Sample) relativeSummary(out Summary, confidence float64) Summary {
	if !positive(s.Values) {
		return s.normalSummary(out, confidence)
	}
	out = (&Sample{Values: logs(s.Values)}).normalSummary(out, confidence)
	out.Center, out.Lo, out.Hi = math.Exp(out.Center), math.Exp(out.Lo), math.Exp(out.Hi)
	if s.N() < 2 {
		out.Lo, out.Hi = math.Inf(-1), math.Inf(1) // as an unknown bound is written everywhere
	}
	return out
}

// pooled compares the logarithms of two samples of positive values with Student's t test, their variances pooled.
func (c *Comparison) pooled(before, after []float64, confidence float64) {
	c.Method = "Student t of logarithms, spread pooled"
	n1, n2 := float64(len(before)), float64(len(after))
	x, y := logs(before), logs(after)
	effect := Mean(y) - Mean(x)
	c.Delta, c.Ratio = c.After-c.Before, math.Exp(effect)
	df := n1 + n2 - 2
	if n1 < 2 || n2 < 2 {
		c.warn(WarnTooFew, "need >= 2 values a side for a t test, have %d and %d", len(before), len(after))
		return
	}
	if min(n1, n2) < 10 {
		c.warn(WarnAssumption, "the t test assumes that both sides spread alike in per cent, which %d and %d values cannot check", len(before), len(after))
	}
	se := math.Sqrt(((n1-1)*variance(x) + (n2-1)*variance(y)) / df * (1/n1 + 1/n2))
	half := 0.0
	switch {
	case se > 0:
		c.P = 2 * studentTail(math.Abs(effect)/se, df)
		half = studentQuantile((1+confidence)/2, df) * se
	case effect == 0:
		c.P = 1
		c.warn(WarnAllEqual, "all values of both samples are equal")
	default:
		c.P = 0
		c.warn(WarnAssumption, "neither sample varies, so the test knows no error")
	}
	c.RatioLo, c.RatioHi = math.Exp(effect-half), math.Exp(effect+half)
	// The difference takes the centre before as known, as ratioOfMeans does.
	c.DeltaLo, c.DeltaHi = c.Before*(c.RatioLo-1), c.Before*(c.RatioHi-1)
}

// positive reports whether all values have a logarithm.
func positive(v []float64) bool {
	for _, x := range v {
		if !(x > 0) {
			return false
		}
	}
	return true
}

func logs(v []float64) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = math.Log(x)
	}
	return out
}

// ratioOfMeans turns the interval of the difference into one of the ratio,
// taking the before mean as known. Its own error is left out, so the interval is
// a little narrow; fine for the few per cent that runs spread.
func (c *Comparison) ratioOfMeans(before float64) {
	if before > 0 {
		c.Ratio, c.RatioLo, c.RatioHi = 1+c.Delta/before, 1+c.DeltaLo/before, 1+c.DeltaHi/before
	}
}

// normalCDF is the standard normal distribution function.
func normalCDF(z float64) float64 { return math.Erfc(-z/math.Sqrt2) / 2 }

// normalQuantile is its inverse.
func normalQuantile(p float64) float64 { return -math.Sqrt2 * math.Erfcinv(2*p) }

// studentTail returns P(T > t) for t >= 0 and df degrees of freedom.
func studentTail(t, df float64) float64 {
	return betaRegularized(df/(df+t*t), df/2, 0.5) / 2
}

// studentQuantile returns the p-quantile, p >= 0.5, by bisection.
func studentQuantile(p, df float64) float64 {
	if p >= 1 {
		return math.Inf(1)
	}
	lo, hi := 0.0, 1.0
	for studentTail(hi, df) > 1-p && hi < 1e300 {
		hi *= 2
	}
	for range 200 {
		mid := lo + (hi-lo)/2
		if mid == lo || mid == hi {
			break
		}
		if studentTail(mid, df) > 1-p {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}

// betaRegularized is the regularised incomplete beta function I_x(a, b), by its
// continued fraction (Abramowitz and Stegun 26.5.8, evaluated with Lentz's method).
func betaRegularized(x, a, b float64) float64 {
	switch {
	case x <= 0:
		return 0
	case x >= 1:
		return 1
	}
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	lab, _ := math.Lgamma(a + b)
	front := math.Exp(lab - la - lb + a*math.Log(x) + b*math.Log1p(-x))
	if x < (a+1)/(a+b+2) {
		return front * betaFraction(x, a, b) / a
	}
	return 1 - front*betaFraction(1-x, b, a)/b
}

func betaFraction(x, a, b float64) float64 {
	const tiny = 1e-300
	guard := func(v float64) float64 {
		if math.Abs(v) < tiny {
			return tiny
		}
		return v
	}
	c, d := 1.0, 1/guard(1-(a+b)*x/(a+1))
	h := d
	for m := 1.0; m <= 500; m++ {
		even := m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m))
		d = 1 / guard(1+even*d)
		c = guard(1 + even/c)
		h *= d * c
		odd := -(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1))
		d = 1 / guard(1+odd*d)
		c = guard(1 + odd/c)
		h *= d * c
		if math.Abs(d*c-1) < 1e-15 {
			break
		}
	}
	return h
}
