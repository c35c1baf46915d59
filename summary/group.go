package summary

import (
	"cmp"
	"slices"
)

// group is one line of a summary.
type group struct {
	stats
	key     int32 // index into the report's list of keys
	unknown bool  // the values were not recorded, only their number
}

// summarise describes every non-empty group and orders the groups by falling sum; equal sums keep the order of tie, or
// of the keys where tie is nil.
func summarise(values [][]int64, tie func(a, b int32) int) []group {
	out := make([]group, 0, len(values))
	for k, v := range values {
		if len(v) > 0 {
			out = append(out, group{stats: describe(v), key: int32(k)})
		}
	}
	slices.SortFunc(out, func(a, b group) int {
		if c := cmp.Compare(b.sum, a.sum); c != 0 {
			return c
		}
		if tie != nil {
			if c := tie(a.key, b.key); c != 0 {
				return c
			}
		}
		return cmp.Compare(a.key, b.key)
	})
	return out
}

// byAverage brings groups of equal sums into the order of falling averages, as the kernel reports list them; the other
// reports do not.
func byAverage(groups []group) {
	slices.SortStableFunc(groups, func(a, b group) int {
		return cmp.Or(cmp.Compare(b.sum, a.sum), cmp.Compare(b.avg, a.avg))
	})
}

// timeColumns are the columns that all summaries of durations begin with; count is the heading of the number of rows.
func timeColumns(count string, rest ...Column) []Column {
	return append([]Column{
		{Name: "Time", Unit: "%", Kind: Decimal, Digits: 1},
		{Name: "Total Time", Unit: "ns", Kind: Integer},
		{Name: count, Kind: Integer},
		{Name: "Avg", Unit: "ns", Kind: Decimal, Digits: 1},
		{Name: "Med", Unit: "ns", Kind: Decimal, Digits: 1},
		{Name: "Min", Unit: "ns", Kind: Integer},
		{Name: "Max", Unit: "ns", Kind: Integer},
		{Name: "StdDev", Unit: "ns", Kind: Decimal, Digits: 1},
	}, rest...)
}

// timeTable makes the table of a summary of durations; rest appends the cells of a key after the common ones.
func timeTable(count string, groups []group, restCols []Column, rest func(key int32, v []Value) []Value) *Table {
	t := &Table{Columns: timeColumns(count, restCols...)}
	var total int64
	for _, g := range groups {
		total = addSat(total, g.sum)
	}
	return t.fill(len(groups), func(i int, v []Value) []Value {
		g := &groups[i]
		if g.unknown {
			return rest(g.key, append(v, Null, Null, Int(int64(g.n)), Null, Null, Null, Null, Dec(0)))
		}
		v = append(v, percent(g.sum, total), Int(g.sum), Int(int64(g.n)), Dec(g.avg), Dec(g.med), Int(g.min),
			Int(g.max), Dec(g.std))
		return rest(g.key, v)
	})
}

// percent is the share of part in total, null when there is no total.
func percent(part, total int64) Value {
	if total == 0 {
		return Null
	}
	return Dec(float64(part) * 100 / float64(total))
}

// keyIndex numbers distinct keys in the order in which they are first seen.
type keyIndex[K comparable] struct {
	keys  []K
	index map[K]int32
}

func newKeyIndex[K comparable]() *keyIndex[K] { return &keyIndex[K]{index: map[K]int32{}} }

func (x *keyIndex[K]) of(k K) int32 {
	if i, ok := x.index[k]; ok {
		return i
	}
	i := int32(len(x.keys))
	x.index[k] = i
	x.keys = append(x.keys, k)
	return i
}
