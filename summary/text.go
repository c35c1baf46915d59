package summary

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Widths to which text columns are cut: the last one, which has the name, only below nameText when nothing else can give way.
const (
	minText  = 12
	someText = 20
	nameText = 40
)

// giveWay are the columns that a table leaves out when its names would get too narrow, first to last. A word is a whole name; a
// statistic stands at its end.
var giveWay = [][]string{
	{"*StdDev"}, {"GreenCtx", "CorrId", "CorrID", "Ctx", "RangeId", "ParentId"}, {"StcSMem", "DymSMem", "Reg/Trd"}, {"SrcMemKd", "DstMemKd"},
	{"PID", "TID", "Pid", "Tid", "DevId"}, {"Throughput"}, {"*Min"}, {"Style", "Category"}, {"*Max"}, {"Device"}, {"*Med"},
	{"BlkX", "BlkY", "BlkZ", "BlockXYZ"}, {"GrdX", "GrdY", "GrdZ", "GridXYZ"},
	{"Orig Start", "Orig Duration", "Avg Range Lvl", "Avg Num Child", "Lvl", "NumChild", "DurChild", "RangeStack", "Thread Name"},
	{"End", "Queue Start", "Kernel Start", "QCount", "Result", "Strm", "Total Range Time", "Avg GPU Ops"},
}

// WriteText writes t for people: its title, and an aligned table with times of three digits in a unit that suits them and other
// digits grouped, which fits into width columns. For that, columns of detail are left out while names would be narrower than
// 40, as the line with the title says, and the widest texts are cut in the middle. Width 0 means unlimited. Control characters
// in names are printed as escapes.
func (t *Table) WriteText(w io.Writer, width int) error {
	bw := bufio.NewWriterSize(w, 1<<16)
	l := t.layout(width)
	head := t.Title
	if t.Report != "" {
		head = strings.TrimSpace(head + " (" + t.Report + ")")
	}
	if len(l.left) > 0 {
		if rest := "; not shown: " + strings.Join(l.left, ", "); utf8.RuneCountInString(head+rest) <= width {
			head += rest
		} else {
			head += fmt.Sprintf("; %d columns not shown", len(l.left))
		}
	}
	if _, err := bw.WriteString(head + "\n"); err != nil {
		return err
	}
	var line strings.Builder
	put := func(cell func(i int) string) error {
		line.Reset()
		for n, i := range l.columns {
			s := cell(i)
			pad := strings.Repeat(" ", max(0, l.widths[i]-utf8.RuneCountInString(s)))
			if n > 0 {
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
	if err := put(func(i int) string { return cut(heading(t.Columns[i]), l.widths[i]) }); err != nil {
		return err
	}
	if err := put(func(i int) string { return strings.Repeat("-", l.widths[i]) }); err != nil {
		return err
	}
	for row := range t.rows {
		if err := put(func(i int) string { return l.fit(t.cell(row[i], i), i) }); err != nil {
			return err
		}
	}
	return bw.Flush()
}

// layout is how a table is printed.
type layout struct {
	columns []int    // that are printed
	left    []string // names of the others
	widths  []int
	short   []map[string]string // of each text column that is cut: what is printed for a text
}

// layout measures the cells and decides what is left out and cut.
func (t *Table) layout(width int) layout {
	l := layout{widths: make([]int, len(t.Columns)), short: make([]map[string]string, len(t.Columns))}
	filled := make([]bool, len(t.Columns))
	texts := make([]map[string]bool, len(t.Columns))
	for i, c := range t.Columns {
		l.columns = append(l.columns, i)
		l.widths[i] = utf8.RuneCountInString(heading(c))
		if c.Kind == Text {
			texts[i] = map[string]bool{}
		}
	}
	for row := range t.rows {
		for i, v := range row {
			s := t.cell(v, i)
			filled[i] = filled[i] || s != ""
			l.widths[i] = max(l.widths[i], utf8.RuneCountInString(s))
			if texts[i] != nil {
				texts[i][s] = true
			}
		}
	}
	if width <= 0 {
		return l
	}
	least := t.least(l.widths)
	drop := func(gone func(i int) bool) {
		total := 2 * (len(l.columns) - 1)
		for _, i := range l.columns {
			total += least[i]
		}
		if total <= width {
			return
		}
		kept := l.columns[:0:0]
		for _, i := range l.columns {
			if gone(i) {
				l.left = append(l.left, t.Columns[i].Name)
			} else {
				kept = append(kept, i)
			}
		}
		l.columns = kept
	}
	if t.n > 0 {
		drop(func(i int) bool { return !filled[i] })
	}
	for _, group := range giveWay {
		drop(func(i int) bool {
			return slices.ContainsFunc(group, func(g string) bool {
				if end, ok := strings.CutPrefix(g, "*"); ok {
					return strings.HasSuffix(t.Columns[i].Name, end)
				}
				return t.Columns[i].Name == g
			})
		})
	}
	natural := slices.Clone(l.widths)
	l.shrink(t, least, width)
	l.shrink(t, make([]int, len(least)), width)
	for _, i := range l.columns {
		if texts[i] != nil && l.widths[i] < natural[i] {
			l.short[i] = shorten(slices.Sorted(maps.Keys(texts[i])), l.widths[i])
		}
	}
	return l
}

// least is the width below which a column is not cut while others can give way.
func (t *Table) least(widths []int) []int {
	out := slices.Clone(widths)
	last := -1
	for i, c := range t.Columns {
		if c.Kind == Text {
			out[i] = min(widths[i], someText)
			last = i
		}
	}
	if last >= 0 {
		out[last] = min(widths[last], nameText)
	}
	return out
}

// fit is a cell as it is printed.
func (l *layout) fit(s string, i int) string {
	if m := l.short[i]; m != nil {
		return m[s]
	}
	return s
}

// shrink lowers the widths of text columns, the widest first and none below its least, until the table fits.
func (l *layout) shrink(t *Table, least []int, width int) {
	total := 2 * (len(l.columns) - 1)
	for _, i := range l.columns {
		total += l.widths[i]
	}
	for total > width {
		widest, next := -1, 0
		for _, i := range l.columns {
			if t.Columns[i].Kind == Text && l.widths[i] > max(least[i], minText) && (widest < 0 || l.widths[i] > l.widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		// Down to the next widest, or as far as needed.
		next = max(least[widest], minText)
		for _, i := range l.columns {
			if t.Columns[i].Kind == Text && i != widest && l.widths[i] < l.widths[widest] {
				next = max(next, l.widths[i])
			}
		}
		by := max(1, min(total-width, l.widths[widest]-next))
		l.widths[widest] -= by
		total -= by
	}
}

// shorten cuts texts to n runes. Those that would read alike keep more of their end, where the names of GEMM kernels differ.
func shorten(texts []string, n int) map[string]string {
	out := make(map[string]string, len(texts))
	for _, part := range []int{3, 2} {
		seen := map[string]int{}
		for _, s := range texts {
			if part == 3 {
				out[s] = cutEnd(s, n, part)
			}
			seen[out[s]]++
		}
		for _, s := range texts {
			if part == 2 && seen[out[s]] > 1 {
				out[s] = cutEnd(s, n, part)
			}
		}
	}
	return out
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
	// A value that rounds up to 1000 goes to the next unit.
	switch a := max(ns, -ns); {
	case a >= 999.5e6:
		return threeDigits(ns/1e9) + " s"
	case a >= 999.5e3:
		return threeDigits(ns/1e6) + " ms"
	case a >= 999.5:
		return threeDigits(ns/1e3) + " us"
	case a == math.Trunc(a):
		return strconv.FormatFloat(ns, 'f', 0, 64) + " ns"
	}
	return threeDigits(ns) + " ns"
}

// threeDigits prints a number with three significant digits, and with all before the point.
func threeDigits(v float64) string {
	decimals := 0
	switch a := max(v, -v); {
	case a < 9.995:
		decimals = 2
	case a < 99.95:
		decimals = 1
	}
	return groupDigits(strconv.FormatFloat(v, 'f', decimals, 64))
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
func cut(s string, n int) string { return cutEnd(s, n, 3) }

// cutEnd is cut where the end keeps one part in so many.
func cutEnd(s string, n, part int) string {
	count := utf8.RuneCountInString(s)
	if count <= n {
		return s
	}
	if n < 4 {
		return string([]rune(s)[:n])
	}
	r := []rune(s)
	tail := (n - 1) / part
	return string(r[:n-1-tail]) + "…" + string(r[len(r)-tail:])
}
