package ncu

import (
	"math"
	"strconv"
	"strings"
)

// Nsight Compute prints numbers in the locale of its process: 1,215,000.50 or 1.215.000,50 or 1 215 000,50. Which one
// it was is read off the file as a whole, as "1,215" alone may be either.

// grouping are characters that only group digits.
var grouping = strings.NewReplacer(" ", "", "\u00a0", "", "\u202f", "", "'", "", "\u2019", "")

// decimalComma reports whether the file's decimal mark is the comma. sure is false when there is proof for both.
func decimalComma(fields []field) (comma, sure bool) {
	points, commas := 0, 0
	for _, f := range fields {
		switch mark(f.text) {
		case '.':
			points++
		case ',':
			commas++
		}
	}
	return commas > points, commas == 0 || points == 0
}

// mark returns the character that must be the decimal mark of a number, 0 when it cannot be told.
func mark(s string) byte {
	s = strings.TrimLeft(grouping.Replace(s), "+-")
	point, comma := strings.Count(s, "."), strings.Count(s, ",")
	if point+comma == 0 || strings.Trim(s, "0123456789.,eE+-") != "" {
		return 0
	}
	if point > 0 && comma > 0 {
		if strings.LastIndexByte(s, '.') > strings.LastIndexByte(s, ',') {
			return '.'
		}
		return ','
	}
	only := byte('.')
	if comma > 0 {
		only = ','
	}
	if point+comma > 1 {
		return '.' + ',' - only // the repeated one groups, so the other is the mark
	}
	whole, rest, _ := strings.Cut(s, string(only))
	if len(rest) != 3 || len(whole) > 3 || whole == "" || whole[0] == '0' || strings.ContainsAny(rest, "eE") {
		return only
	}
	return 0
}

// number reads a number with the given decimal mark. Texts and marks of absence are none.
func number(s string, comma bool) (float64, bool) {
	s = grouping.Replace(strings.TrimSpace(s))
	// Instanced metrics print their instances behind the value: "12 (3; 4; 5)".
	if i := strings.IndexByte(s, '('); i > 0 {
		s = s[:i]
	}
	if comma {
		s = strings.ReplaceAll(s, ".", "")
		s = strings.ReplaceAll(s, ",", ".")
	} else {
		s = strings.ReplaceAll(s, ",", "")
	}
	if s == "" || s[0] > '9' {
		return 0, false // nan, inf, n/a
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) || strings.ContainsAny(s, "xXpP_") {
		return 0, false
	}
	return v, true
}

// scales turn printed units into base units. Nsight Compute's prefixes are decimal.
var scales = map[string]Value{
	"nsecond": {1, "ns"}, "nsec": {1, "ns"}, "ns": {1, "ns"},
	"usecond": {1e3, "ns"}, "usec": {1e3, "ns"}, "us": {1e3, "ns"},
	"msecond": {1e6, "ns"}, "msec": {1e6, "ns"}, "ms": {1e6, "ns"},
	"second": {1e9, "ns"}, "sec": {1e9, "ns"}, "s": {1e9, "ns"},
}

var prefixes = map[byte]float64{'K': 1e3, 'k': 1e3, 'M': 1e6, 'G': 1e9, 'T': 1e12, 'P': 1e15}

// baseUnit converts a value to the base of its unit.
func baseUnit(v Value) Value {
	if s, ok := scales[v.Unit]; ok {
		return Value{v.Value * s.Value, s.Unit}
	}
	unit, per := v.Unit, ""
	for _, sep := range []string{"/", " per "} {
		if a, b, ok := strings.Cut(unit, sep); ok {
			unit, per = a, b
			break
		}
	}
	scale := 1.0
	for _, base := range []string{"byte", "hz"} {
		if rest, ok := cutFold(unit, base); ok {
			switch {
			case rest == "":
				unit = base
			case len(rest) == 1 && prefixes[rest[0]] != 0:
				unit, scale = base, prefixes[rest[0]]
			}
			break
		}
	}
	switch per {
	case "":
	case "second", "sec", "s":
		unit += "/s"
	case "nsecond", "ns":
		unit, scale = unit+"/s", scale*1e9
	case "usecond", "us":
		unit, scale = unit+"/s", scale*1e6
	case "msecond", "ms":
		unit, scale = unit+"/s", scale*1e3
	default:
		unit += "/" + per
	}
	return Value{v.Value * scale, unit}
}

// cutFold returns what stands before base at the end of s, whatever the case of base's first letter.
func cutFold(s, base string) (string, bool) {
	n := len(s) - len(base)
	if n < 0 || !strings.EqualFold(s[n:], base) {
		return "", false
	}
	return s[:n], true
}
