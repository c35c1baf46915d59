package summary

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/stepscope/stepscope/profile"
)

// styles are the names of range kinds as nsys prints them.
var styles = [...]string{profile.PushPop: "PushPop", profile.StartEnd: "StartEnd"}

// rangeKey is a name of ranges and their style. Its number is below twice the number of names.
type rangeKey struct {
	name int32
	kind profile.RangeKind
}

func (k rangeKey) id() int32 { return 2*k.name + int32(k.kind) }

func keyOf(id int32) rangeKey { return rangeKey{id / 2, profile.RangeKind(id % 2)} }

// byName orders ids of range keys by name, then style.
func (x *rangeNames) byName(a, b int32) int {
	m, n := keyOf(a), keyOf(b)
	return cmp.Or(cmp.Compare(x.label(m.name), x.label(n.name)), cmp.Compare(m.kind, n.kind))
}

// rangeGroups summarises the ranges that keep accepts by name and style; the keys of the groups are ids of range keys.
func rangeGroups(p *profile.Profile, keep func(profile.RangeKind) bool) ([]group, *rangeNames) {
	names := newRangeNames(p)
	r := &p.Ranges
	open := openEnd(p)
	ids := make([]int32, r.Len())
	for i := range ids {
		ids[i] = -1
		if keep(r.Kind[i]) {
			ids[i] = rangeKey{names.of[i], r.Kind[i]}.id()
		}
	}
	values := partition(ids, 2*len(names.labels.keys), func(i int) int64 { return rangeEnd(r, int32(i), open) - r.Start[i] })
	return summarise(values, names.byName), names
}

func rangeSum(p *profile.Profile, _ options) *Table {
	groups, names := rangeGroups(p, func(k profile.RangeKind) bool { return k != profile.Mark })
	return timeTable("Instances", groups, []Column{{Name: "Style"}, {Name: "Range"}}, func(k int32, v []Value) []Value {
		return append(v, Str(styles[keyOf(k).kind]), Str(names.label(keyOf(k).name)))
	})
}

func pushPopSum(p *profile.Profile, _ options) *Table { return styleSum(p, profile.PushPop) }

func startEndSum(p *profile.Profile, _ options) *Table { return styleSum(p, profile.StartEnd) }

func styleSum(p *profile.Profile, kind profile.RangeKind) *Table {
	groups, names := rangeGroups(p, func(k profile.RangeKind) bool { return k == kind })
	return timeTable("Instances", groups, []Column{{Name: "Range"}}, func(k int32, v []Value) []Value {
		return append(v, Str(names.label(keyOf(k).name)))
	})
}

// tree is the stack that push/pop ranges form, over all threads.
type tree struct {
	parent   []int32 // per range, the range around it in its thread and domain, None at the top
	level    []int32
	children []int32
	inner    []int64 // summed duration of the direct children
}

// stackOf reads the stacks of push/pop ranges from the nests.
func stackOf(p *profile.Profile, nests []nest, open int64) tree {
	r := &p.Ranges
	n := r.Len()
	t := tree{make([]int32, n), make([]int32, n), make([]int32, n), make([]int64, n)}
	for i := range t.parent {
		t.parent[i] = profile.None
	}
	for k := range nests {
		x := &nests[k]
		if x.kind != profile.PushPop {
			continue
		}
		for pos, i := range x.ranges {
			up := x.parent[pos]
			if up == profile.None {
				continue
			}
			q := x.ranges[up]
			t.parent[i], t.level[i] = q, t.level[q]+1
			t.children[q]++
			t.inner[q] += rangeEnd(r, i, open) - r.Start[i]
		}
	}
	return t
}

// stack prints the ids of a range and all around it, outermost first, each after a colon.
func (t *tree) stack(p *profile.Profile, i int32, buf []byte) []byte {
	if up := t.parent[i]; up != profile.None {
		buf = t.stack(p, up, buf)
	}
	buf = append(buf, ':')
	return strconv.AppendInt(buf, p.Ranges.Row.At(int(i)), 10)
}

func pushPopTrace(p *profile.Profile, _ options) *Table {
	r := &p.Ranges
	open := openEnd(p)
	st := stackOf(p, forest(p, open), open)
	names := newRangeNames(p)
	integer := func(name, unit string) Column { return Column{Name: name, Unit: unit, Kind: Integer} }
	t := &Table{Columns: []Column{
		integer("Start", "ns"), integer("End", "ns"), integer("Duration", "ns"), integer("DurChild", "ns"),
		integer("DurNonChild", "ns"), {Name: "Name"}, integer("PID", ""), integer("TID", ""), integer("Lvl", ""),
		integer("NumChild", ""), integer("RangeId", ""), integer("ParentId", ""), {Name: "RangeStack"}, {Name: "NameTree"},
	}}
	rows := make([]int32, 0, r.Len())
	for i, k := range r.Kind {
		if k == profile.PushPop {
			rows = append(rows, int32(i))
		}
	}
	return t.fill(len(rows), func(at int, v []Value) []Value {
		i := rows[at]
		end := rangeEnd(r, i, open)
		th := &p.Threads[r.Thread[i]]
		label := names.label(names.of[i])
		parent := Null
		if up := st.parent[i]; up != profile.None {
			parent = Int(r.Row.At(int(up)))
		}
		return append(v, Int(r.Start[i]), Int(end), Int(end-r.Start[i]), Int(st.inner[i]), Int(end-r.Start[i]-st.inner[i]),
			Str(label), Int(p.Processes[th.Process].PID), Int(th.TID), Int(int64(st.level[i])), Int(int64(st.children[i])),
			Int(r.Row.At(int(i))), parent, Str(string(st.stack(p, i, nil))),
			Str(strings.Repeat("--", int(st.level[i]))+label))
	})
}
