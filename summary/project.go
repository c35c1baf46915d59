package summary

import (
	"github.com/stepscope/stepscope/profile"
)

// work is the device work that calls launched: from the first start to the last end, and in how many operations. All that
// one call launched is one operation, as nsys counts: a graph launch with its hundreds of kernels is one.
type work struct {
	ops         int32
	first, last int64
}

// add adds an activity of one and the same call.
func (w *work) add(start, end int64) { w.merge(work{1, start, end}); w.ops = 1 }

func (w *work) merge(o work) {
	if o.ops == 0 {
		return
	}
	if w.ops == 0 {
		*w = o
		return
	}
	w.first, w.last = min(w.first, o.first), max(w.last, o.last)
	w.ops += o.ops
}

// launched returns the work of every call.
func launched(p *profile.Profile) []work {
	out := make([]work, p.Calls.Len())
	for _, t := range []struct {
		start, dur []int64
		call       []int32
	}{
		{p.Kernels.Start, p.Kernels.Dur, p.Kernels.Call},
		{p.Copies.Start, p.Copies.Dur, p.Copies.Call},
		{p.Memsets.Start, p.Memsets.Dur, p.Memsets.Call},
	} {
		for i, c := range t.call {
			if c != profile.None {
				out[c].add(t.start[i], t.start[i]+t.dur[i])
			}
		}
	}
	return out
}

// project returns the work that was launched within every range: a call belongs to each range of its thread that
// contains it whole.
func project(p *profile.Profile, nests []nest, open int64) []work {
	ofCall := launched(p)
	out := make([]work, p.Ranges.Len())
	calls := byThread(p.Calls.Thread, len(p.Threads), func(i int32) bool { return ofCall[i].ops > 0 })
	for k := range nests {
		n := &nests[k]
		if len(calls[n.thread]) == 0 {
			continue
		}
		n.inside(&p.Ranges, &p.Calls, calls[n.thread], open, func(pos, call int32) {
			out[n.ranges[pos]].merge(ofCall[call])
		})
		for pos := len(n.ranges) - 1; pos >= 0; pos-- {
			if up := n.parent[pos]; up != profile.None {
				out[n.ranges[up]].merge(out[n.ranges[pos]])
			}
		}
	}
	return out
}

func projectionSum(p *profile.Profile, _ options) *Table {
	r := &p.Ranges
	open := openEnd(r, isRange)
	proj := project(p, forest(p, open), open)
	st := treeOf(p, open, func(i int32) bool { return proj[i].ops > 0 })
	names := newRangeNames(p)
	ids := make([]int32, r.Len())
	type extra struct{ rng, ops, level, children int64 }
	extras := make([]extra, 2*len(names.labels.keys))
	for i := range ids {
		ids[i] = -1
		if proj[i].ops == 0 {
			continue
		}
		ids[i] = rangeKey{names.of[i], r.Kind[i]}.id()
		e := &extras[ids[i]]
		e.rng = addSat(e.rng, rangeEnd(r, int32(i), open)-r.Start[i])
		e.ops += int64(proj[i].ops)
		e.level += int64(st.level[i])
		e.children += int64(st.children[i])
	}
	values := partition(ids, len(extras), func(i int) int64 { return proj[i].last - proj[i].first })
	groups := summarise(values, names.byName)
	integer := func(name, unit string) Column { return Column{Name: name, Unit: unit, Kind: Integer} }
	decimal := func(name, unit string) Column { return Column{Name: name, Unit: unit, Kind: Decimal, Digits: 1} }
	t := &Table{Columns: []Column{
		{Name: "Range"}, {Name: "Style"}, integer("Total Proj Time", "ns"), integer("Total Range Time", "ns"),
		integer("Range Instances", ""), decimal("Proj Avg", "ns"), decimal("Proj Med", "ns"), integer("Proj Min", "ns"),
		integer("Proj Max", "ns"), decimal("Proj StdDev", "ns"), integer("Total GPU Ops", ""), decimal("Avg GPU Ops", ""),
		decimal("Avg Range Lvl", ""), decimal("Avg Num Child", ""),
	}}
	return t.fill(len(groups), func(i int, v []Value) []Value {
		g := &groups[i]
		k, e, n := keyOf(g.key), &extras[g.key], float64(g.n)
		return append(v, Str(names.label(k.name)), Str(styles[k.kind]), Int(g.sum), Int(e.rng), Int(int64(g.n)), Dec(g.avg),
			Dec(g.med), Int(g.min), Int(g.max), Dec(g.std), Int(e.ops), Dec(float64(e.ops)/n), Dec(float64(e.level)/n),
			Dec(float64(e.children)/n))
	})
}

func projectionTrace(p *profile.Profile, _ options) *Table {
	r := &p.Ranges
	open := openEnd(r, isRange)
	proj := project(p, forest(p, open), open)
	st := treeOf(p, open, func(i int32) bool { return proj[i].ops > 0 })
	names := newRangeNames(p)
	integer := func(name, unit string) Column { return Column{Name: name, Unit: unit, Kind: Integer} }
	t := &Table{Columns: []Column{
		{Name: "Name"}, integer("Projected Start", "ns"), integer("Projected Duration", "ns"), integer("Orig Start", "ns"),
		integer("Orig Duration", "ns"), {Name: "Style"}, integer("PID", ""), integer("TID", ""), integer("NumGPUOps", ""),
		integer("Lvl", ""), integer("NumChild", ""), integer("RangeId", ""), integer("ParentId", ""), {Name: "RangeStack"},
	}}
	rows := make([]int32, 0, r.Len())
	for i := range proj {
		if proj[i].ops > 0 {
			rows = append(rows, int32(i))
		}
	}
	return t.fill(len(rows), func(at int, v []Value) []Value {
		i := rows[at]
		th := &p.Threads[r.Thread[i]]
		parent := Null
		if up := st.parent[i]; up != profile.None {
			parent = Int(r.Row.At(int(up)))
		}
		return append(v, Str(names.label(names.of[i])), Int(proj[i].first), Int(proj[i].last-proj[i].first),
			Int(r.Start[i]), Int(rangeEnd(r, i, open)-r.Start[i]), Str(styles[r.Kind[i]]), Int(p.Processes[th.Process].PID),
			Int(th.TID), Int(int64(proj[i].ops)), Int(int64(st.level[i])), Int(int64(st.children[i])),
			Int(r.Row.At(int(i))), parent, Str(string(st.stack(p, i, nil))))
	})
}
