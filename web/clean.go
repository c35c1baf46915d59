package web

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Lengths of names, in bytes.
const (
	maxLabel = 96   // in tiles
	maxName  = 4096 // in details
)

// clean makes a name from a capture harmless as text: no control characters, no marks that reorder or hide text, valid
// UTF-8, at most limit bytes. The front end sets names as text only; this keeps them readable and on one line.
func clean(s string, limit int) string {
	if len(s) <= limit && plain(s) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		if b.Len()+utf8.UTFMax > limit {
			b.WriteString("…")
			break
		}
		switch {
		case r == utf8.RuneError:
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				b.WriteRune(utf8.RuneError)
				continue
			}
			b.WriteRune(r)
		case r == '\n' || r == '\t' || r == '\r':
			b.WriteByte(' ')
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029':
			b.WriteRune(utf8.RuneError)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// plain reports whether s is printable ASCII, as nearly all names are.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f {
			return false
		}
	}
	return true
}
