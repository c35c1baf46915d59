package nsys

import (
	"math"

	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/profile/nsys/btree"
)

// columns is a view of the batches of one table by the names of the columns asked for. Columns that the table lacks are
// absent.
type columns struct {
	want []btree.Want
	at   map[string]int
}

// pick returns the columns of Schema that the table has, or the name of a required one that is missing. Those named in
// text are delivered with their bytes.
func pick(s source, table string, text ...string) (c columns, missing string) {
	c.at = map[string]int{}
	for _, spec := range specs(table) {
		if !s.hasColumn(table, spec.Column) {
			if spec.Required {
				return c, spec.Column
			}
			continue
		}
		w := btree.Want{Name: spec.Column}
		for _, t := range text {
			w.Text = w.Text || t == spec.Column
		}
		c.at[spec.Column] = len(c.want)
		c.want = append(c.want, w)
	}
	return c, ""
}

// vec returns the column of a batch, nil if the table lacks it. Floating point numbers without a fraction count as
// integers: tools that rewrite exports leave them in columns with NULLs.
func (c *columns) vec(b *btree.Batch, name string) *btree.Vector {
	i, ok := c.at[name]
	if !ok {
		return nil
	}
	v := &b.Cols[i]
	if v.Seen&(1<<btree.Real) != 0 {
		for i := range b.Len {
			if v.Kinds[i] != btree.Real {
				continue
			}
			if f := math.Float64frombits(uint64(v.Ints[i])); f == math.Trunc(f) && math.Abs(f) < 1<<53 {
				v.Ints[i], v.Kinds[i] = int64(f), btree.Int
			}
		}
	}
	return v
}

// ints returns the values of a column, nil if the table lacks it. NULL and whatever is no integer reads as def.
func (c *columns) ints(b *btree.Batch, name string, def int64) []int64 {
	v := c.vec(b, name)
	if v == nil {
		return nil
	}
	if !v.AllInts() {
		for i := range b.Len {
			if v.Kinds[i] != btree.Int {
				v.Ints[i] = def
			}
		}
	}
	return v.Ints[:b.Len]
}

// at returns col[i], or def where the column is absent.
func at(col []int64, i int, def int64) int64 {
	if col == nil {
		return def
	}
	return col[i]
}

// times are the start and end of the rows of a batch. Without an end column rows have no duration.
type times struct{ start, end *btree.Vector }

func (c *columns) times(b *btree.Batch) times {
	t := times{c.vec(b, "start"), c.vec(b, "end")}
	if t.end == nil {
		t.end = t.start
	}
	return t
}

// dropReason is why a row is left out: it contradicts itself, so nothing can be concluded from it.
type dropReason uint8

const (
	dropNoTime dropReason = iota
	dropNotInteger
	dropOutOfRange
	dropReversed
	dropNoValue
	dropReasons
)

var dropTexts = [dropReasons]string{
	"without a time", "with a time that is no integer", "with a time out of range", "that end before they start",
	"with a value that is no integer",
}

// tally is the bookkeeping of one table: which rows were kept, and how many were not.
type tally struct {
	name    string
	rows    profile.Rows // nil while row i+1 of the file is row i of the table
	size    int          // rows that the table announced
	dropped [dropReasons]int64
}

func newTally(name string, size int64) *tally {
	return &tally{name: name, size: int(min(size, reserveMost))}
}

// keep notes that the next row, which becomes index i, has that rowid in the file.
func (t *tally) keep(i int, rowid int64) {
	if t.rows == nil {
		if rowid == int64(i)+1 {
			return
		}
		t.rows = make(profile.Rows, i, max(t.size, i+64))
		for k := range i {
			t.rows[k] = uint32(k) + 1
		}
	}
	t.rows = append(t.rows, uint32(rowid))
}

// dur returns the duration of row i, or counts the row as dropped.
func (t *tally) dur(s times, i int) (int64, bool) {
	if s.start.Kinds[i] == btree.Int && s.end.Kinds[i] == btree.Int {
		from, to := s.start.Ints[i], s.end.Ints[i]
		if from <= to && from >= -profile.MaxTime && to <= profile.MaxTime {
			return to - from, true
		}
	}
	t.drop(s, i)
	return 0, false
}

func (t *tally) drop(s times, i int) {
	from, to := s.start.Ints[i], s.end.Ints[i]
	switch {
	case s.start.Kinds[i] == btree.Null || s.end.Kinds[i] == btree.Null:
		t.dropped[dropNoTime]++
	case s.start.Kinds[i] != btree.Int || s.end.Kinds[i] != btree.Int:
		t.dropped[dropNotInteger]++
	case from > profile.MaxTime || from < -profile.MaxTime || to > profile.MaxTime || to < -profile.MaxTime:
		t.dropped[dropOutOfRange]++
	default:
		t.dropped[dropReversed]++
	}
}

// reserveMost bounds what is set aside for rows before they come, as their number is taken from the file.
const reserveMost = 1 << 25

// reserve sizes a column by the rows that the table announces.
func reserve[T any](col *[]T, rows int64) {
	if rows > 0 {
		*col = make([]T, 0, min(rows, reserveMost))
	}
}

// room makes space for n more values at the end of col and returns them.
func room[T any](col *[]T, n int) []T {
	at := len(*col)
	if cap(*col)-at < n {
		grown := make([]T, at, max(at+n, at+at/4))
		copy(grown, *col)
		*col = grown
	}
	*col = (*col)[:at+n]
	return (*col)[at:]
}
