package summary

import (
	"bufio"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// minText is the least width to which a text column is cut.
const minText = 12

// WriteText writes t as an aligned table for people, with times scaled and digits grouped, that fits into width columns:
// the widest texts are cut in the middle. Width 0 means unlimited. Numbers are never cut, so a table of many of them may still be wider. Control
// characters in names are printed as escapes.
func (t *Table) WriteText(w io.Writer, width int) error {
	bw := bufio.NewWriterSize(w, 1<<16)
	widths := make([]int, len(t.Columns))
	for i, c := range t.Columns {
		widths[i] = utf8.RuneCountInString(heading(c))
	}
	for row := range t.rows {
		for i, v := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(t.cell(v, i)))
		}
	}
	t.shrink(widths, width)
	var line strings.Builder
	put := func(cell func(i int) string) error {
		line.Reset()
		for i := range t.Columns {
			s := cut(cell(i), widths[i])
			pad := strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(s)))
			if i > 0 {
				line.WriteString("  ")
			}
			if t.Columns[i].Kind != Text {
				line.WriteString(pad)
				pad = ""
			}
			line.WriteString(s)
			line.WriteString(pad)
		}
		_, err := bw.WriteString(strings.TrimRight(line.String(), " ") + "\n")
		return err
	}
	if err := put(func(i int) string { return heading(t.Columns[i]) }); err != nil {
		return err
	}
	if err := put(func(i int) string { return strings.Repeat("-", widths[i]) }); err != nil {
		return err
	}
	for row := range t.rows {
		if err := put(func(i int) string { return t.cell(row[i], i) }); err != nil {
			return err
		}
	}
	return bw.Flush()
}

// shrink lowers the widths of text columns, the widest first, until the table fits.
func (t *Table) shrink(widths []int, width int) {
	if width <= 0 {
		return
	}
	total := 2 * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	for total > width {
		widest := -1
		for i, c := range t.Columns {
			if c.Kind == Text && widths[i] > minText && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		// Down to the next widest, or as far as needed.
		next := minText
		for i, c := range t.Columns {
			if c.Kind == Text && i != widest && widths[i] < widths[widest] {
				next = max(next, widths[i])
			}
		}
		by := max(1, min(total-width, widths[widest]-next))
		widths[widest] -= by
		total -= by
	}
}

// cell prints a value for people.
func (t *Table) cell(v Value, i int) string {
	switch v.kind {
	case nullValue:
		return ""
	case textValue:
		return printable(v.text)
	}
	c := &t.Columns[i]
	if c.Unit == "ns" {
		ns := v.dec
		if v.kind == intValue {
			ns = float64(v.num)
		}
		return scaled(ns, strings.HasSuffix(c.Name, "Start") || strings.HasSuffix(c.Name, "End"))
	}
	return groupDigits(string(v.append(nil, c)))
}

// heading is a column's heading where times carry their unit themselves.
func heading(c Column) string {
	if c.Unit == "ns" {
		return c.Name
	}
	return c.Header()
}

// scaled prints a duration with a unit that keeps it short; points in time keep one unit, so that they compare at a glance.
func scaled(ns float64, point bool) string {
	if point {
		return groupDigits(strconv.FormatFloat(ns/1e6, 'f', 3, 64)) + " ms"
	}
	switch a := max(ns, -ns); {
	case a >= 1e9:
		return strconv.FormatFloat(ns/1e9, 'f', 3, 64) + " s"
	case a >= 1e6:
		return strconv.FormatFloat(ns/1e6, 'f', 2, 64) + " ms"
	case a >= 1e3:
		return strconv.FormatFloat(ns/1e3, 'f', 2, 64) + " us"
	}
	return strconv.FormatFloat(ns, 'f', -1, 64) + " ns"
}

// groupDigits puts commas between the thousands of a decimal number.
func groupDigits(s string) string {
	whole, frac := s, ""
	if i := strings.IndexByte(s, '.'); i >= 0 {
		whole, frac = s[:i], s[i:]
	}
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	var b strings.Builder
	b.WriteString(sign)
	for i := range len(whole) {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteByte(whole[i])
	}
	return b.String() + frac
}

// printable escapes what a terminal would act on.
func printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		q := strconv.QuoteRuneToASCII(r)
		b.WriteString(q[1 : len(q)-1])
	}
	return b.String()
}

// cut shortens s to n runes, leaving out its middle: the ends of kernel names tell them apart.
func cut(s string, n int) string {
	count := utf8.RuneCountInString(s)
	if count <= n {
		return s
	}
	if n < 4 {
		return string([]rune(s)[:n])
	}
	r := []rune(s)
	tail := (n - 1) / 3
	return string(r[:n-1-tail]) + "…" + string(r[len(r)-tail:])
}
