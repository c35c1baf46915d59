package kineto

import (
	"math"

	"github.com/stepscope/stepscope/profile"
)

// maxNs bounds times and durations as read, so that differences of two and sums of a start and a duration stay within
// profile.MaxTime. In epoch nanoseconds it is the year 2043.
const maxNs = profile.MaxTime / 2

// numState tells why a text gave no number.
type numState uint8

const (
	numOK numState = iota
	numInvalid
	numOverflow
)

// micros reads decimal microseconds as nanoseconds. It takes what JSON allows and what careless writers print: a plus
// sign, leading zeros, missing digits before or behind the point.
func micros(s []byte) (int64, numState) {
	// Fast path: at most 15 digits before the point and at most 3 behind it, no exponent.
	i, neg := 0, false
	if len(s) > 0 && s[0] == '-' {
		i, neg = 1, true
	}
	var n int64
	first := i
	for i < len(s) && s[i]-'0' <= 9 && i-first < 15 {
		n = n*10 + int64(s[i]-'0')
		i++
	}
	if i == first {
		return scaled(s, 3)
	}
	frac := 3
	if i < len(s) && s[i] == '.' {
		i++
		for i < len(s) && s[i]-'0' <= 9 && frac > 0 {
			n = n*10 + int64(s[i]-'0')
			i++
			frac--
		}
	}
	if i < len(s) {
		return scaled(s, 3)
	}
	n *= pow10[frac]
	if n > maxNs {
		return 0, numOverflow
	}
	if neg {
		n = -n
	}
	return n, numOK
}

var pow10 = [...]int64{1, 10, 100, 1000}

// integer reads a number as an integer, dropping a fraction.
func integer(s []byte) (int64, bool) {
	if len(s) == 0 || len(s) > 18 {
		return integerSlow(s)
	}
	var n int64
	i := 0
	if s[0] == '-' && len(s) > 1 {
		i = 1
	}
	for ; i < len(s); i++ {
		d := s[i] - '0'
		if d > 9 {
			return integerSlow(s)
		}
		n = n*10 + int64(d)
	}
	if s[0] == '-' {
		n = -n
	}
	return n, true
}

func integerSlow(s []byte) (int64, bool) {
	d, ok := parseDecimal(s)
	if !ok {
		return 0, false
	}
	u, _, over := d.shift(0)
	switch {
	case over || u > math.MaxInt64:
		return 0, false
	case d.neg:
		return -int64(u), true
	}
	return int64(u), true
}

// unsigned reads an integer in the range of uint64; a negative one wraps, as addresses printed signed do.
func unsigned(s []byte) (uint64, bool) {
	d, ok := parseDecimal(s)
	if !ok {
		return 0, false
	}
	u, _, over := d.shift(0)
	if over {
		return 0, false
	}
	if d.neg {
		u = -u
	}
	return u, true
}

// scaled reads a decimal times 10^scale as an integer, rounding half away from zero.
func scaled(s []byte, scale int) (int64, numState) {
	d, ok := parseDecimal(s)
	if !ok {
		return 0, numInvalid
	}
	u, next, over := d.shift(scale)
	if over {
		return 0, numOverflow
	}
	if next >= 5 {
		u++
	}
	if u > uint64(maxNs) {
		return 0, numOverflow
	}
	if d.neg {
		return -int64(u), numOK
	}
	return int64(u), numOK
}

// decimal is the value 0.digits * 10^point; digits still holds the decimal point, which is skipped.
type decimal struct {
	digits []byte
	point  int
	neg    bool
}

func parseDecimal(s []byte) (decimal, bool) {
	d := decimal{}
	i := 0
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		d.neg = s[i] == '-'
		i++
	}
	from, n, dot := i, 0, -1
	for ; i < len(s); i++ {
		if c := s[i]; c == '.' && dot < 0 {
			dot = n
		} else if c-'0' <= 9 {
			n++
		} else {
			break
		}
	}
	if n == 0 {
		return d, false
	}
	d.digits = s[from:i]
	d.point = n
	if dot >= 0 {
		d.point = dot
	}
	if i == len(s) {
		return d, true
	}
	if s[i] != 'e' && s[i] != 'E' {
		return d, false
	}
	i++
	eneg := false
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		eneg = s[i] == '-'
		i++
	}
	if i == len(s) {
		return d, false
	}
	e := 0
	for ; i < len(s); i++ {
		if s[i]-'0' > 9 {
			return d, false
		}
		// Beyond any number of digits that fits an event, the value is 0 or too large whatever follows.
		if e < 1<<30 {
			e = e*10 + int(s[i]-'0')
		}
	}
	if eneg {
		e = -e
	}
	d.point += e
	return d, true
}

// shift returns the integer part of the value times 10^scale and the digit behind it.
func (d decimal) shift(scale int) (n uint64, next byte, overflow bool) {
	point := d.point + scale
	at := 0
	for _, c := range d.digits {
		if c == '.' {
			continue
		}
		v := uint64(c - '0')
		switch {
		case at < point:
			if n > (math.MaxUint64-v)/10 {
				return 0, 0, true
			}
			n = n*10 + v
		case at == point:
			return n, byte(v), false
		default: // point < 0: zeros stand between the point and the first digit
			return 0, 0, false
		}
		at++
	}
	for ; at < point && n > 0; at++ {
		if n > math.MaxUint64/10 {
			return 0, 0, true
		}
		n *= 10
	}
	return n, 0, false
}
