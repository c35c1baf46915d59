package kineto

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// The functions of this file tokenize JSON in a byte slice whose last byte is a 0 that the source put there. They
// check brackets, quotes and the order of keys and values, and are lenient inside what is skipped. A status of short
// means that the slice ended inside a token: the caller reads more and starts the value again.

type status uint8

const (
	scanOK status = iota
	short
	bad
	deep // nested deeper than maxDepth
)

// maxDepth bounds nesting; encoding/json has the same bound.
const maxDepth = 10000

// kind is the type of a JSON value.
type kind uint8

const (
	kindNone kind = iota
	kindString
	kindNumber
	kindWord // true, false, null, NaN, Infinity
	kindArray
	kindObject
)

// text is the source text of a value: without quotes for strings, escapes not resolved.
type text struct {
	raw  []byte
	kind kind
}

// end tells a 0 byte of the sentinel from one in the data.
func end(b []byte, i int) status {
	if i >= len(b)-1 {
		return short
	}
	return bad
}

// skipSpace returns the index of the first byte that is no white space.
func skipSpace(b []byte, i int) int {
	for {
		switch b[i] {
		case ' ', '\n', '\r', '\t':
			i++
		default:
			return i
		}
	}
}

// stringEnd returns the index of the quote that closes the string whose first byte is b[i].
func stringEnd(b []byte, i int) (int, status) {
	// Most strings are short keys: a loop beats a call for them.
	stop := min(i+16, len(b))
	for ; i < stop; i++ {
		switch b[i] {
		case '"':
			return i, scanOK
		case '\\':
			return stringEndEscaped(b, i)
		}
	}
	q := bytes.IndexByte(b[i:], '"')
	if q < 0 {
		return 0, short
	}
	if e := bytes.IndexByte(b[i:i+q], '\\'); e >= 0 {
		return stringEndEscaped(b, i+e)
	}
	return i + q, scanOK
}

func stringEndEscaped(b []byte, i int) (int, status) {
	for i < len(b) {
		switch b[i] {
		case '"':
			return i, scanOK
		case '\\':
			i += 2
		default:
			i++
		}
	}
	return 0, short
}

// scanValue reads one value that starts at b[i] and returns it and the index behind it.
func scanValue(b []byte, i int) (text, int, status) {
	switch c := b[i]; {
	case c == '"':
		e, st := stringEnd(b, i+1)
		if st != scanOK {
			return text{}, 0, st
		}
		return text{b[i+1 : e], kindString}, e + 1, scanOK
	case c == '{' || c == '[':
		e, st := skipContainer(b, i)
		if st != scanOK {
			return text{}, 0, st
		}
		k := kindArray
		if c == '{' {
			k = kindObject
		}
		return text{b[i:e], k}, e, scanOK
	case c-'0' <= 9 || c == '-' || c == '+' || c == '.':
		j := i + 1
		for numberByte[b[j]] {
			j++
		}
		if j == i+1 && (c == '-' || c == '+') && isLetter(b[j]) { // -Infinity
			return scanWord(b, i, j)
		}
		if j >= len(b)-1 {
			return text{}, 0, short // the number may go on
		}
		return text{b[i:j], kindNumber}, j, scanOK
	case isLetter(c):
		return scanWord(b, i, i)
	}
	return text{}, 0, end(b, i)
}

func scanWord(b []byte, from, i int) (text, int, status) {
	j := i
	for isLetter(b[j]) {
		j++
	}
	if j >= len(b)-1 {
		return text{}, 0, short
	}
	switch string(b[i:j]) {
	case "true", "false", "null", "NaN", "nan", "Infinity", "inf", "Inf":
		return text{b[from:j], kindWord}, j, scanOK
	}
	return text{}, 0, bad
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

var numberByte = func() (t [256]bool) {
	for _, c := range "0123456789+-.eE" {
		t[c] = true
	}
	return t
}()

// structural marks the bytes that matter while skipping a container.
var structural = func() (t [256]bool) {
	for _, c := range "\"[]{}\x00" {
		t[c] = true
	}
	return t
}()

// brackets is a stack of open brackets, a bit each: 1 = object.
type brackets struct {
	low  uint64
	more []uint64
	n    int
}

func (s *brackets) push(object bool) bool {
	if s.n >= maxDepth {
		return false
	}
	if s.n > 0 && s.n%64 == 0 {
		s.more = append(s.more, s.low)
		s.low = 0
	}
	s.low <<= 1
	if object {
		s.low |= 1
	}
	s.n++
	return true
}

func (s *brackets) pop(object bool) bool {
	if s.n == 0 || s.low&1 == 1 != object {
		return false
	}
	s.low >>= 1
	s.n--
	if s.n > 0 && s.n%64 == 0 {
		s.low = s.more[len(s.more)-1]
		s.more = s.more[:len(s.more)-1]
	}
	return true
}

// skipContainer returns the index behind the array or object that opens at b[i].
func skipContainer(b []byte, i int) (int, status) {
	var open brackets
	for {
		for !structural[b[i]] {
			i++
		}
		switch c := b[i]; c {
		case '"':
			e, st := stringEnd(b, i+1)
			if st != scanOK {
				return 0, st
			}
			i = e
		case '{', '[':
			if !open.push(c == '{') {
				return 0, deep
			}
		case '}', ']':
			if !open.pop(c == '}') {
				return 0, bad
			}
			if open.n == 0 {
				return i + 1, scanOK
			}
		default:
			return 0, end(b, i)
		}
		i++
	}
}

// unquote resolves the escapes of a string's text the way encoding/json does. What is no valid UTF-8 and control
// characters that should have been escaped become U+FFFD; odd reports that there were such.
func unquote(raw []byte) (s []byte, odd bool) {
	clean := true
	for _, c := range raw {
		if c < 0x20 || c >= 0x80 || c == '\\' {
			clean = false
			break
		}
	}
	if clean {
		return raw, false
	}
	out := make([]byte, 0, len(raw)+8)
	for i := 0; i < len(raw); {
		c := raw[i]
		switch {
		case c == '\\':
			var r rune
			var n int
			r, n, odd = unescape(raw[i:], odd)
			out = utf8.AppendRune(out, r)
			i += n
		case c < 0x20:
			out = utf8.AppendRune(out, utf8.RuneError)
			odd = true
			i++
		case c < 0x80:
			out = append(out, c)
			i++
		default:
			r, n := utf8.DecodeRune(raw[i:])
			if r == utf8.RuneError && n == 1 {
				odd = true
			}
			out = utf8.AppendRune(out, r)
			i += n
		}
	}
	return out, odd
}

// unescape resolves the escape at the start of s. An unknown one becomes U+FFFD.
func unescape(s []byte, odd bool) (rune, int, bool) {
	if len(s) < 2 {
		return utf8.RuneError, len(s), true
	}
	switch s[1] {
	case '"', '\\', '/':
		return rune(s[1]), 2, odd
	case 'b':
		return '\b', 2, odd
	case 'f':
		return '\f', 2, odd
	case 'n':
		return '\n', 2, odd
	case 'r':
		return '\r', 2, odd
	case 't':
		return '\t', 2, odd
	case 'u':
		r, ok := hex4(s[2:])
		if !ok {
			return utf8.RuneError, 2, true
		}
		if utf16.IsSurrogate(r) {
			if len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
				if lo, ok := hex4(s[8:]); ok {
					if r := utf16.DecodeRune(r, lo); r != utf8.RuneError {
						return r, 12, odd
					}
				}
			}
			return utf8.RuneError, 6, odd
		}
		return r, 6, odd
	}
	return utf8.RuneError, 2, true
}

func hex4(s []byte) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range s[:4] {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// compact returns the text of a value without the white space between its tokens, as valid UTF-8.
func compact(raw []byte) []byte {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; c {
		case ' ', '\n', '\r', '\t':
		case '"':
			j := i + 1
			for j < len(raw) && raw[j] != '"' {
				if raw[j] == '\\' {
					j++
				}
				j++
			}
			j = min(j+1, len(raw))
			out = append(out, raw[i:j]...)
			i = j - 1
		default:
			out = append(out, c)
		}
	}
	return bytes.ToValidUTF8(out, []byte("\uFFFD"))
}
