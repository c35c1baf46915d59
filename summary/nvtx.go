package summary

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/stepscope/stepscope/profile"
)

// styles are the names of range kinds as nsys prints them.
var styles = [...]string{profile.PushPop: "PushPop", profile.StartEnd: "StartEnd"}

// rangeGroups summarises the ranges that keep accepts by name and style.
func rangeGroups(p *profile.Profile, keep func(profile.RangeKind) bool) (groups []group, keys []rangeKey, names *rangeNames) {
	names = newRangeNames()
	x := newKeyIndex[rangeKey]()
	r := &p.Ranges
	open := openEnd(p)
	ids := make([]int32, r.Len())
	for i := range ids {
		ids[i] = -1
		if keep(r.Kind[i]) {
			ids[i] = x.of(rangeKey{names.of(p, int32(i)), r.Kind[i]})
		}
	}
	values := partition(ids, len(x.keys), func(i int) int64 { return rangeEnd(r, int32(i), open) - r.Start[i] })
	groups = summarise(values, func(a, b int32) int {
		m, n := x.keys[a], x.keys[b]
		if c := cmp.Compare(names.label(m.name), names.label(n.name)); c != 0 {
			return c
		}
		return cmp.Compare(m.kind, n.kind)
	})
	return groups, x.keys, names
}

type rangeKey struct {
	name int32
	kind profile.RangeKind
}

func rangeSum(p *profile.Profile, _ options) *Table {
	groups, keys, names := rangeGroups(p, func(k profile.RangeKind) bool { return k != profile.Mark })
	return timeTable("Instances", groups, []Column{{Name: "Style"}, {Name: "Range"}}, func(k int32, v []Value) []Value {
		return append(v, Str(styles[keys[k].kind]), Str(names.label(keys[k].name)))
	})
}

func pushPopSum(p *profile.Profile, _ options) *Table { return styleSum(p, profile.PushPop) }

func startEndSum(p *profile.Profile, _ options) *Table { return styleSum(p, profile.StartEnd) }

func styleSum(p *profile.Profile, kind profile.RangeKind) *Table {
	groups, keys, names := rangeGroups(p, func(k profile.RangeKind) bool { return k == kind })
	return timeTable("Instances", groups, []Column{{Name: "Range"}}, func(k int32, v []Value) []Value {
		return append(v, Str(names.label(keys[k].name)))
	})
}

// tree is the stack that push/pop ranges form, over all threads.
type tree struct {
	parent   []int32 // per range, the range around it in its thread and domain, None at the top
	level    []int32
	children []int32
	inner    []int64 // summed duration of the direct children
	listed   []bool  // is a push/pop range
}

// stackOf builds the stacks of push/pop ranges by thread and domain.
func stackOf(p *profile.Profile, open int64) tree {
	r := &p.Ranges
	n := r.Len()
	t := tree{make([]int32, n), make([]int32, n), make([]int32, n), make([]int64, n), make([]bool, n)}
	for i := range t.parent {
		t.parent[i] = profile.None
	}
	threads := byThread(r.Thread, len(p.Threads), func(i int32) bool { return r.Kind[i] == profile.PushPop })
	for _, ranges := range threads {
		for _, inDomain := range byDomain(r, ranges) {
			for _, n := range nests(r, inDomain, open) {
				for pos, i := range n.ranges {
					t.listed[i] = true
					if up := n.parent[pos]; up != profile.None {
						q := n.ranges[up]
						t.parent[i], t.level[i] = q, t.level[q]+1
						t.children[q]++
						t.inner[q] += rangeEnd(r, i, open) - r.Start[i]
					}
				}
			}
		}
	}
	return t
}

// byDomain splits ranges by domain, keeping their order.
func byDomain(r *profile.Ranges, ranges []int32) [][]int32 {
	x := newKeyIndex[int32]()
	for _, i := range ranges {
		if len(x.keys) == 0 || r.Domain[i] != x.keys[len(x.keys)-1] {
			x.of(r.Domain[i])
		}
	}
	if len(x.keys) <= 1 {
		return [][]int32{ranges}
	}
	out := make([][]int32, len(x.keys))
	for _, i := range ranges {
		d := x.of(r.Domain[i])
		out[d] = append(out[d], i)
	}
	return out
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
	st := stackOf(p, open)
	names := newRangeNames()
	integer := func(name, unit string) Column { return Column{Name: name, Unit: unit, Kind: Integer} }
	t := &Table{Columns: []Column{
		integer("Start", "ns"), integer("End", "ns"), integer("Duration", "ns"), integer("DurChild", "ns"),
		integer("DurNonChild", "ns"), {Name: "Name"}, integer("PID", ""), integer("TID", ""), integer("Lvl", ""),
		integer("NumChild", ""), integer("RangeId", ""), integer("ParentId", ""), {Name: "RangeStack"}, {Name: "NameTree"},
	}}
	rows := make([]int32, 0, r.Len())
	for i, ok := range st.listed {
		if ok {
			rows = append(rows, int32(i))
		}
	}
	return t.fill(len(rows), func(at int, v []Value) []Value {
		i := rows[at]
		end := rangeEnd(r, i, open)
		th := &p.Threads[r.Thread[i]]
		label := names.label(names.of(p, i))
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
