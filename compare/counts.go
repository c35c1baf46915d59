package compare

import "math"

// poissonP is the two-sided probability that two counts of rare events, over exposures n1 and n2, differ at least this
// much by chance when their rates are equal: given their sum, the second is binomial with share n2/(n1+n2). Outcomes at
// most as likely as the one seen count (the exact conditional test of Przyborowski and Wilenski).
func poissonP(k1, k2 int64, n1, n2 float64) float64 {
	n := k1 + k2
	if n <= 0 || !(n1 > 0) || !(n2 > 0) {
		return 1
	}
	share := n2 / (n1 + n2)
	if n > 100000 { // the normal approximation is exact to the digits shown
		z := (math.Abs(float64(k2)-float64(n)*share) - 0.5) / math.Sqrt(float64(n)*share*(1-share))
		return math.Erfc(max(0, z) / math.Sqrt2)
	}
	seen := logBinomial(n, k2, share)
	var p float64
	for k := int64(0); k <= n; k++ {
		if l := logBinomial(n, k, share); l <= seen+1e-9 {
			p += math.Exp(l)
		}
	}
	return math.Min(1, p)
}

func logBinomial(n, k int64, p float64) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p)
}
