package report

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/profile"
)

// wrappers are device functions whose plain name says nothing: what they run is in their template arguments.
var wrappers = map[string]bool{"device_kernel": true, "kernel": true, "Kernel": true, "Kernel2": true, "elementwise_kernel": true,
	"vectorized_elementwise_kernel": true, "unrolled_elementwise_kernel": true, "reduce_kernel": true, "operator()": true}

// functionLabel is the plain name of a device function in at most n characters, with the template arguments of wrappers.
func functionLabel(name string, n int) string {
	base, args := profile.SplitName(name)
	if wrappers[base] {
		base += args
	}
	return Cut(clean(base), n)
}

func missingText(n diagnose.Missing) string {
	if n.Text != "" {
		return n.Text
	}
	return n.What
}

func joinNonEmpty(sep string, s ...string) string {
	return strings.Join(slices.DeleteFunc(s, func(v string) bool { return v == "" }), sep)
}

// maxMarkdown bounds one text of the Markdown report, in runes.
const maxMarkdown = 1000

// emoji is what follows the first colon of an emoji code.
var emoji = regexp.MustCompile(`^[0-9_+-]*[A-Za-z][0-9A-Za-z_+-]*:|^(100|1234):`)

// mdText makes any text plain in GitHub Markdown: markup is escaped, and an empty comment parts
// what GitHub would turn into a mention, a reference or a link after rendering.
func mdText(s string) string {
	s = Cut(clean(s), maxMarkdown)
	var b strings.Builder
	rest := s
	for i, r := range s {
		rest = s[i+utf8.RuneLen(r):]
		next, _ := utf8.DecodeRuneInString(rest)
		word := unicode.IsLetter(next) || unicode.IsDigit(next)
		switch r {
		case '\\', '`', '*', '[', ']', '~', '$':
			b.WriteByte('\\')
			b.WriteRune(r)
		case '_':
			// Inside a word it is no markup, and names are easier to read without the escape.
			if before, _ := utf8.DecodeLastRuneInString(s[:i]); !word || !(unicode.IsLetter(before) || unicode.IsDigit(before)) {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
		case '<':
			b.WriteString("&lt;")
		case '>':
			if i == 0 {
				b.WriteByte('\\')
			}
			b.WriteByte('>')
		case '&':
			b.WriteString("&amp;")
		case '@':
			b.WriteString("@")
			if word {
				b.WriteString("<!-- -->")
			}
		case '#':
			if i == 0 {
				b.WriteByte('\\')
			}
			b.WriteByte('#')
			if word {
				b.WriteString("<!-- -->")
			}
		case ':':
			b.WriteByte(':')
			if strings.HasPrefix(rest, "//") || emoji.MatchString(rest) {
				b.WriteString("<!-- -->")
			}
		case '.':
			if i >= 3 && strings.EqualFold(s[i-3:i], "www") {
				b.WriteString("<!-- -->")
			}
			b.WriteByte('.')
		case '-':
			if strings.HasSuffix(strings.ToUpper(s[:i]), "GH") && word {
				b.WriteString("-<!-- -->")
				break
			}
			if i == 0 {
				b.WriteByte('\\')
			}
			b.WriteByte('-')
		case '+', '=':
			if i == 0 {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// mdCode makes a code span that holds s as it is.
func mdCode(s string) string {
	s = strings.TrimSpace(Cut(clean(s), maxMarkdown))
	if s == "" {
		return ""
	}
	s = strings.ReplaceAll(s, `\|`, `\ |`) // in a cell, the table would read it as an escape
	fence := strings.Repeat("`", longestRun(s, '`')+1)
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") {
		s = " " + s + " "
	}
	return fence + s + fence
}

// longestRun returns the length of the longest run of c in s.
func longestRun(s string, c byte) int {
	longest, run := 0, 0
	for i := range len(s) {
		if s[i] != c {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	return longest
}
