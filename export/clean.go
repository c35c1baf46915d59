package export

import (
	"strings"
	"unicode/utf8"
)

// maxName bounds a name, in bytes.
const maxName = 4096

// clean makes a name valid UTF-8 on one line and bounds it.
func clean(s string) string {
	if len(s) <= maxName && plain(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if b.Len()+utf8.UTFMax > maxName {
			b.WriteString("…")
			break
		}
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			r = utf8.RuneError
		}
		b.WriteRune(r) // invalid bytes come as the replacement character
	}
	return b.String()
}

// plain reports whether s is printable ASCII, as nearly all names are.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
