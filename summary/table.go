package summary

import (
	"iter"
	"strconv"
)

// Kind is the type of a column's values.
type Kind uint8

// Kinds of columns. A Decimal has a fixed number of digits after the point.
const (
	Text Kind = iota
	Integer
	Decimal
)

// Column describes one column of a Table.
type Column struct {
	Name   string // without the unit
	Unit   string // "ns", "%", "MB", "MB/s" or ""
	Kind   Kind
	Digits int // after the point, for Decimal

	even bool // halves round to even instead of away from zero
}

// megabytes is a column of bytes in nsys' MB, which are 10^6 bytes. nsys scales these as it prints them, so Python's
// rounding applies and not that of SQLite.
func megabytes(name, unit string) Column {
	return Column{Name: name, Unit: unit, Kind: Decimal, Digits: 3, even: true}
}

// inMegabytes scales bytes.
func inMegabytes(bytes float64) Value { return Dec(bytes / 1e6) }

// Header returns the column's heading as nsys prints it: the name with its unit in brackets.
func (c Column) Header() string {
	if c.Unit == "" {
		return c.Name
	}
	return c.Name + " (" + c.Unit + ")"
}

// Value is one cell: null, an integer, a decimal or a text.
type Value struct {
	kind valueKind
	num  int64
	dec  float64
	text string
}

type valueKind uint8

const (
	nullValue valueKind = iota
	intValue
	decValue
	textValue
)

// Null is the empty cell: the row has no such value.
var Null = Value{}

// Int returns an integer cell.
func Int(v int64) Value { return Value{kind: intValue, num: v} }

// Dec returns a decimal cell; the column says how many digits are shown.
func Dec(v float64) Value { return Value{kind: decValue, dec: v} }

// Str returns a text cell.
func Str(v string) Value { return Value{kind: textValue, text: v} }

// IsNull reports whether the cell is empty.
func (v Value) IsNull() bool { return v.kind == nullValue }

// Int64 returns an integer cell's value; ok is false for any other cell.
func (v Value) Int64() (n int64, ok bool) { return v.num, v.kind == intValue }

// Float64 returns the value of an integer or decimal cell; ok is false for any other cell.
func (v Value) Float64() (f float64, ok bool) {
	switch v.kind {
	case intValue:
		return float64(v.num), true
	case decValue:
		return v.dec, true
	}
	return 0, false
}

// String returns a text cell's value and "" for a null one; numbers are printed without a column's rounding.
func (v Value) String() string {
	switch v.kind {
	case intValue:
		return strconv.FormatInt(v.num, 10)
	case decValue:
		return strconv.FormatFloat(v.dec, 'g', -1, 64)
	}
	return v.text
}

// append adds the cell to b as nsys' CSV prints it, without quoting.
func (v Value) append(b []byte, c *Column) []byte {
	switch v.kind {
	case intValue:
		return strconv.AppendInt(b, v.num, 10)
	case decValue:
		if c.even {
			return strconv.AppendFloat(b, v.dec, 'f', c.Digits, 64)
		}
		return appendFixed(b, v.dec, c.Digits)
	case textValue:
		return append(b, v.text...)
	}
	return b
}

// Table is the result of one report.
type Table struct {
	Report  string // name with its options, e.g. "cuda_gpu_kern_sum:base"
	Title   string // heading that nsys prints above the columns
	Columns []Column

	n    int
	rows func(yield func([]Value) bool)
}

// Len returns the number of rows.
func (t *Table) Len() int { return t.n }

// Rows yields the rows in the report's order. The slice is reused between rows: clone it to keep it. Rows of trace
// reports are made as they are read, so a table of millions of rows costs no memory; Rows can be ranged over again.
func (t *Table) Rows() iter.Seq[[]Value] { return t.rows }

// fill makes t's rows from n calls of row, which appends the cells of row i to v.
func (t *Table) fill(n int, row func(i int, v []Value) []Value) *Table {
	t.n = n
	width := len(t.Columns)
	t.rows = func(yield func([]Value) bool) {
		buf := make([]Value, 0, width)
		for i := range n {
			if !yield(row(i, buf[:0])) {
				return
			}
		}
	}
	return t
}
