package summary

import (
	"cmp"
	"slices"
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
	open := openEnd(r, isRange)
	ids := make([]int32, r.Len())
	for i := range ids {
		ids[i] = -1
		if keep(r.Kind[i]) {
			ids[i] = rangeKey{names.of[i], r.Kind[i]}.id()
		}
	}
	values := partition(ids, 2*len(names.labels.keys), func(i int) int64 { return rangeEnd(r, int32(i), open) - r.Start[i] })
	groups := summarise(values, names.byName)
	if open == noEnd {
		for i := range groups {
			groups[i].unknown = true
		}
	}
	return groups, names
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

// tree tells which range lies in which.
type tree struct {
	parent   []int32 // per range, the range around it, None at the top or for ranges that are not part of the tree
	level    []int32
	children []int32
	inner    []int64 // summed duration of the direct children
}

// treeOf puts every range that keep accepts below the shortest one of its thread that contains it. As with nsys, domains do
// not matter, nor does the kind beyond what keep says, so start/end ranges may nest with push/pop ranges.
func treeOf(p *profile.Profile, open int64, keep func(i int32) bool) tree {
	r := &p.Ranges
	n := r.Len()
	t := tree{make([]int32, n), make([]int32, n), make([]int32, n), make([]int64, n)}
	for i := range t.parent {
		t.parent[i] = profile.None
	}
	// active holds the ranges that may contain later ones, by falling end; shortest is the shortest of all up to there,
	// which in properly nested ranges is the last one.
	type entry struct {
		end      int64
		rng      int32
		shortest int32
	}
	dur := func(i int32) int64 { return rangeEnd(r, i, open) - r.Start[i] }
	for _, ranges := range byThread(r.Thread, len(p.Threads), keep) {
		sortByStart(r, ranges, open)
		var active []entry
		for _, i := range ranges {
			start, end := r.Start[i], rangeEnd(r, i, open)
			for len(active) > 0 && active[len(active)-1].end < start {
				active = active[:len(active)-1]
			}
			at := len(active)
			for at > 0 && active[at-1].end < end {
				at--
			}
			e := entry{end, i, i}
			if at > 0 {
				up := active[at-1].shortest
				t.parent[i], t.level[i] = up, t.level[up]+1
				t.children[up]++
				t.inner[up] += end - start
				if dur(up) < dur(i) {
					e.shortest = up
				}
			}
			active = slices.Insert(active, at, e)
			for k := at + 1; k < len(active); k++ {
				if before := active[k-1].shortest; dur(before) <= dur(active[k].rng) {
					active[k].shortest = before
				} else {
					active[k].shortest = active[k].rng
				}
			}
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
	pushPop := func(k profile.RangeKind) bool { return k == profile.PushPop }
	open := openEnd(r, pushPop)
	st := treeOf(p, open, func(i int32) bool { return pushPop(r.Kind[i]) })
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
		v = append(v, Int(r.Start[i]), Int(end), Int(end-r.Start[i]), Int(st.inner[i]), Int(end-r.Start[i]-st.inner[i]))
		if open == noEnd {
			v = append(v[:1], Null, Null, Int(0), Null)
		}
		return append(v, Str(label), Int(p.Processes[th.Process].PID), Int(th.TID), Int(int64(st.level[i])), Int(int64(st.children[i])),
			Int(r.Row.At(int(i))), parent, Str(string(st.stack(p, i, nil))),
			Str(strings.Repeat("--", int(st.level[i]))+label))
	})
}
