package report

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Width is the number of columns that text reports fit into.
const Width = 100

// palette colours text for a terminal; the zero value leaves it plain.
type palette struct{ on bool }

func (p palette) paint(code, s string) string {
	if !p.on || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p palette) bold(s string) string  { return p.paint("1", s) }
func (p palette) dim(s string) string   { return p.paint("2", s) }
func (p palette) gpu(s string) string   { return p.paint("34", s) }
func (p palette) idle(s string) string  { return p.paint("33", s) }
func (p palette) head(s string) string  { return p.paint("1;36", s) }
func (p palette) good(s string) string  { return p.paint("32", s) }
func (p palette) alarm(s string) string { return p.paint("1;31", s) }

// clean makes text from a capture safe for a terminal and for one line: control characters become a visible mark.
func clean(s string) string {
	ok := true
	for _, r := range s {
		if r < 0x20 || r == 0x7f || (r >= 0x80 && r < 0xa0) || r == utf8.RuneError || isBidi(r) {
			ok = false
			break
		}
	}
	if ok {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || (r >= 0x80 && r < 0xa0) || isBidi(r) {
			return '\u00bf'
		}
		return r
	}, strings.ToValidUTF8(s, "\u00bf"))
}

// isBidi reports characters that reorder a line.
func isBidi(r rune) bool {
	return r == 0x200e || r == 0x200f || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069)
}

// Cut shortens s to n columns.
func Cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	return string(r[:n-1]) + "…"
}

// wrap breaks s into lines of at most width columns at spaces; words that are longer are broken.
func wrap(s string, width int) []string {
	var lines []string
	line := ""
	for _, w := range strings.Fields(s) {
		for utf8.RuneCountInString(w) > width {
			if line != "" {
				lines = append(lines, line)
				line = ""
			}
			r := []rune(w)
			lines = append(lines, string(r[:width]))
			w = string(r[width:])
		}
		switch {
		case line == "":
			line = w
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(w) <= width:
			line += " " + w
		default:
			lines = append(lines, line)
			line = w
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// Dur scales nanoseconds for people.
func Dur(ns int64) string {
	f := float64(ns)
	switch a := max(f, -f); {
	case a >= 10e9:
		return fmt.Sprintf("%.1f s", f/1e9)
	case a >= 1e9:
		return fmt.Sprintf("%.2f s", f/1e9)
	case a >= 100e6:
		return fmt.Sprintf("%.0f ms", f/1e6)
	case a >= 10e6:
		return fmt.Sprintf("%.1f ms", f/1e6)
	case a >= 1e6:
		return fmt.Sprintf("%.2f ms", f/1e6)
	case a >= 1e3:
		return fmt.Sprintf("%.1f us", f/1e3)
	}
	return fmt.Sprintf("%d ns", ns)
}

// Bytes scales a size in bytes with binary prefixes.
func Bytes(n int64) string {
	f := float64(n)
	switch {
	case f >= 1<<30:
		return fmt.Sprintf("%.2f GiB", f/(1<<30))
	case f >= 1<<20:
		return fmt.Sprintf("%.2f MiB", f/(1<<20))
	case f >= 1<<10:
		return fmt.Sprintf("%.1f KiB", f/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}

// counts are the units of things that are whole, so that an exact number of them has no decimals.
var counts = map[string]bool{"steps": true, "calls": true, "requests": true, "kernels": true, "preemptions": true, "tokens": true}

// value prints an evidence value with its unit.
func value(v float64, unit string) string {
	var s string
	switch a := max(v, -v); {
	case counts[unit] && (v == float64(int64(v)) || a >= 100):
		s = fmt.Sprintf("%.0f", v)
	case a >= 10000:
		s = fmt.Sprintf("%.0f", v)
	case a >= 100:
		s = fmt.Sprintf("%.1f", v)
	case a >= 1:
		s = fmt.Sprintf("%.2f", v)
	case a == 0:
		s = "0"
	case v > 0 && v < 0.001:
		s = "< 0.001"
	default:
		s = fmt.Sprintf("%.3g", v)
	}
	if unit == "" {
		return s
	}
	return s + " " + unit
}

// bar draws share (0..1) of width cells with eighths.
func bar(share float64, width int) string {
	share = max(0, min(1, share))
	n := int(share*float64(width)*8 + 0.5)
	s := strings.Repeat("█", n/8)
	if r := n % 8; r > 0 {
		s += string([]rune("▏▎▍▌▋▊▉")[r-1])
	}
	if s == "" && share > 0 {
		s = "▏"
	}
	return s
}

func pad(s string, n int) string {
	if k := utf8.RuneCountInString(s); k < n {
		return s + strings.Repeat(" ", n-k)
	}
	return s
}

func left(s string, n int) string {
	if k := utf8.RuneCountInString(s); k < n {
		return strings.Repeat(" ", n-k) + s
	}
	return s
}
