package knob

import (
	"errors"
	"fmt"
	"strings"
)

// ErrCommand marks a command line that cannot be read.
var ErrCommand = errors.New("command line cannot be read")

// maxCommandBytes bounds a command line; Linux allows 128 KiB for one word, real lines have a few hundred bytes.
const maxCommandBytes = 1 << 17

// splitShell splits a command line into words as a POSIX shell does, without expansions: quotes, backslashes, line
// continuations and comments. It stops at the first operator (; & | < > or an unquoted newline that does not continue
// the line) once there are words; a redirection ends the command as well.
func splitShell(s string) ([]string, error) {
	if len(s) > maxCommandBytes {
		return nil, fmt.Errorf("%w: %d bytes is too long", ErrCommand, len(s))
	}
	var words []string
	var cur strings.Builder
	in := false
	flush := func() {
		if in {
			words = append(words, cur.String())
			cur.Reset()
			in = false
		}
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\':
			if i+1 >= len(s) {
				return nil, fmt.Errorf("%w: ends with a backslash", ErrCommand)
			}
			i++
			if s[i] == '\r' && i+1 < len(s) && s[i+1] == '\n' {
				i++
			}
			if s[i] == '\n' {
				continue
			}
			cur.WriteByte(s[i])
			in = true
		case c == '\'':
			end := strings.IndexByte(s[i+1:], '\'')
			if end < 0 {
				return nil, fmt.Errorf("%w: the quote at offset %d is not closed", ErrCommand, i)
			}
			cur.WriteString(s[i+1 : i+1+end])
			in = true
			i += end + 1
		case c == '"':
			start := i
			in = true
			for i++; ; i++ {
				if i >= len(s) {
					return nil, fmt.Errorf("%w: the quote at offset %d is not closed", ErrCommand, start)
				}
				if s[i] == '"' {
					break
				}
				if s[i] == '\\' && i+1 < len(s) && strings.IndexByte("\"\\$`\n", s[i+1]) >= 0 {
					i++
					if s[i] == '\n' {
						continue
					}
				}
				cur.WriteByte(s[i])
			}
		case c == ' ' || c == '\t' || c == '\r':
			flush()
		case c == '#' && !in:
			if nl := strings.IndexByte(s[i:], '\n'); nl >= 0 {
				i += nl - 1
			} else {
				i = len(s)
			}
		case c == '\n' || c == ';' || c == '|' || c == '<' || c == '>' || c == '&':
			// "2>" is a redirection of a descriptor, not a word.
			if (c == '<' || c == '>') && in && strings.Trim(cur.String(), "0123456789") == "" {
				cur.Reset()
				in = false
			}
			flush()
			if len(words) > 0 {
				return words, nil
			}
		default:
			cur.WriteByte(c)
			in = true
		}
	}
	flush()
	return words, nil
}

// quoteShell quotes a word for a POSIX shell where it needs it.
func quoteShell(w string) string {
	if w == "" {
		return "''"
	}
	safe := true
	for i := 0; i < len(w); i++ {
		c := w[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_./:=,@%+", c) >= 0) {
			safe = false
			break
		}
	}
	if safe {
		return w
	}
	return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
}
