package report

import (
	"strings"
	"unicode/utf8"
)

// commandLines breaks a command into lines of at most width columns that a shell reads as one command: at spaces outside
// quotes, with a backslash at the end of each line but the last. A word that is longer stays whole.
func commandLines(s string, width int) []string {
	const indent = "  "
	var lines []string
	line := ""
	for _, w := range commandWords(s) {
		switch {
		case line == "":
			line = w
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(w)+2 <= width:
			line += " " + w
		default:
			lines = append(lines, line+` \`)
			line = indent + w
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// commandWords splits at spaces that are outside quotes; quotes and backslashes stay as they are.
func commandWords(s string) []string {
	var words []string
	var b strings.Builder
	quote := rune(0)
	escaped := false
	flush := func() {
		if b.Len() > 0 {
			words = append(words, b.String())
			b.Reset()
		}
	}
	for _, r := range s {
		switch {
		case escaped:
			escaped = false
		case r == '\\' && quote != '\'':
			escaped = true
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '\'' || r == '"':
			quote = r
		case r == ' ' || r == '\t' || r == '\n':
			flush()
			continue
		}
		b.WriteRune(r)
	}
	flush()
	return words
}
