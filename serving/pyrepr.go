package serving

import (
	"sort"
	"strconv"
	"strings"
)

// pyPairs calls visit for each pair at the top level of a Python repr: the
// keyword form "a=1, b=C(x=2)" for sep '=', the dict form "'a': 1, 'b': [2]"
// for sep ':'. Quotes and brackets nest; broken text ends the walk early.
func pyPairs(s string, sep byte, visit func(key, value string)) {
	start, eq, depth := 0, -1, 0
	emit := func(end int) {
		if eq >= start {
			visit(strings.Trim(strings.TrimSpace(s[start:eq]), `'"`), strings.TrimSpace(s[eq+1:end]))
		}
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '\'', '"':
			end := pyStringEnd(s, i)
			if end < 0 {
				emit(len(s))
				return
			}
			i = end
		case '(', '[', '{', '<':
			depth++
		case ')', ']', '}', '>':
			depth--
			if depth < 0 {
				emit(i)
				return
			}
		case ',':
			if depth == 0 {
				emit(i)
				start, eq = i+1, -1
			}
		case sep:
			if depth == 0 && eq < start {
				eq = i
			}
		}
	}
	emit(len(s))
}

// pyStringEnd is the index of the quote that closes the one at i, or -1.
func pyStringEnd(s string, i int) int {
	for k := i + 1; k < len(s); k++ {
		switch s[k] {
		case '\\':
			k++
		case s[i]:
			return k
		}
	}
	return -1
}

// inside is the text between the first open bracket and the end of s, for
// pyPairs, which stops at the matching close.
func inside(s string, open byte) string {
	if i := strings.IndexByte(s, open); i >= 0 {
		return s[i+1:]
	}
	return ""
}

// pyText is a string or bare word without quotes; "" for None.
func pyText(v string) string {
	if len(v) >= 2 && (v[0] == '\'' || v[0] == '"') && v[len(v)-1] == v[0] {
		return v[1 : len(v)-1]
	}
	if v == "None" || v == "null" {
		return ""
	}
	return v
}

// pyEnum is the member name of an enum repr: "<CUDAGraphMode.FULL: 2>" and
// "CUDAGraphMode.FULL" are "FULL".
func pyEnum(v string) string {
	v = strings.TrimPrefix(strings.TrimSuffix(pyText(v), ">"), "<")
	if i := strings.IndexByte(v, ':'); i >= 0 {
		v = v[:i]
	}
	if i := strings.LastIndexByte(v, '.'); i >= 0 {
		v = v[i+1:]
	}
	return strings.TrimSpace(v)
}

func pyBool(v string) (value, ok bool) {
	switch v {
	case "True", "true":
		return true, true
	case "False", "false":
		return false, true
	}
	return false, false
}

// pyInts reads "[1, 2, 4]", sorted ascending; nil when it is something else.
func pyInts(v string) []int64 {
	v = strings.TrimSpace(v)
	if len(v) < 2 || v[0] != '[' || v[len(v)-1] != ']' {
		return nil
	}
	var out []int64
	for _, f := range strings.Split(v[1:len(v)-1], ",") {
		if f = strings.TrimSpace(f); f == "" {
			continue
		}
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil || len(out) >= 4096 {
			return nil
		}
		out = append(out, n)
	}
	sort.Slice(out, func(i, k int) bool { return out[i] < out[k] })
	return out
}
