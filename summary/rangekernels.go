package summary

import (
	"cmp"
	"slices"

	"github.com/stepscope/stepscope/profile"
)

// rangeKernels names one line of nvtx_kern_sum: kernels of one name launched within ranges of one name on one thread.
type rangeKernels struct {
	thread int32
	rng    rangeKey
	kernel int32
}

// rangeKernelLine is what a line adds up.
type rangeKernelLine struct {
	ranges int64     // range instances that hold such a kernel
	durs   [][]int64 // durations of the kernels, in parts shared with other lines
}

// rangeKernelLines collects the lines. A kernel counts for every range around its launch, so plain expansion would cost
// kernels times depth in memory. Instead kernels are grouped by the path of range names around them and shared: a line
// holds the groups whose path has its range.
type rangeKernelLines struct {
	p      *profile.Profile
	open   int64
	names  kernelNames
	ranges *rangeNames
	index  *keyIndex[rangeKernels]
	lines  []rangeKernelLine
	of     callKernels
}

func (x *rangeKernelLines) line(k rangeKernels) *rangeKernelLine {
	l := x.index.of(k)
	if int(l) == len(x.lines) {
		x.lines = append(x.lines, rangeKernelLine{})
	}
	return &x.lines[l]
}

// add counts the kernels that calls launched within the ranges of n, all of one thread.
func (x *rangeKernelLines) add(thread int32, n *nest, calls []int32) {
	r := &x.p.Ranges
	type path struct {
		up  int32
		rng rangeKey
	}
	type leaf struct{ path, kernel int32 }
	type holder struct{ pos, kernel int32 }
	paths, leaves := newKeyIndex[path](), newKeyIndex[leaf]()
	pathOf := make([]int32, len(n.ranges))
	for pos, i := range n.ranges {
		k := path{profile.None, rangeKey{x.ranges.of(x.p, i), r.Kind[i]}}
		if up := n.parent[pos]; up != profile.None {
			k.up = pathOf[up]
		}
		pathOf[pos] = paths.of(k)
	}
	var leafOf []int32
	var durs []int64
	seen := map[holder]struct{}{}
	n.inside(r, &x.p.Calls, calls, x.open, func(pos, call int32) {
		for _, k := range x.of.kernels(call) {
			name := x.names.ids[k]
			leafOf = append(leafOf, leaves.of(leaf{pathOf[pos], name}))
			durs = append(durs, x.p.Kernels.Dur[k])
			// Where a range has held this kernel before, so have all around it.
			for at := pos; at != profile.None; at = n.parent[at] {
				if _, ok := seen[holder{at, name}]; ok {
					break
				}
				seen[holder{at, name}] = struct{}{}
				x.line(rangeKernels{thread, paths.keys[pathOf[at]].rng, name}).ranges++
			}
		}
	})
	values := partition(leafOf, len(leaves.keys), func(i int) int64 { return durs[i] })
	for id, lf := range leaves.keys {
		for at := lf.path; at != profile.None; at = paths.keys[at].up {
			l := x.line(rangeKernels{thread, paths.keys[at].rng, lf.kernel})
			l.durs = append(l.durs, values[id])
		}
	}
}

// callKernels lists the kernels of every call.
type callKernels struct {
	at   []int32
	list []int32
}

func newCallKernels(p *profile.Profile) callKernels {
	x := callKernels{at: make([]int32, p.Calls.Len()+1)}
	n := int32(0)
	for _, c := range p.Kernels.Call {
		if c != profile.None {
			x.at[c+1]++
			n++
		}
	}
	for i := 1; i < len(x.at); i++ {
		x.at[i] += x.at[i-1]
	}
	x.list = make([]int32, n)
	next := slices.Clone(x.at)
	for k, c := range p.Kernels.Call {
		if c != profile.None {
			x.list[next[c]] = int32(k)
			next[c]++
		}
	}
	return x
}

func (x *callKernels) kernels(call int32) []int32 { return x.list[x.at[call]:x.at[call+1]] }

func rangeKernelSum(p *profile.Profile, o options) *Table {
	r := &p.Ranges
	x := &rangeKernelLines{p: p, open: openEnd(p), names: nameKernels(p, o), ranges: newRangeNames(),
		index: newKeyIndex[rangeKernels](), of: newCallKernels(p)}
	ranges := byThread(r.Thread, len(p.Threads), func(i int32) bool { return sameThread(r, i) })
	calls := byThread(p.Calls.Thread, len(p.Threads), func(i int32) bool { return len(x.of.kernels(i)) > 0 })
	for t := range ranges {
		if len(calls[t]) == 0 {
			continue
		}
		for _, n := range nests(r, ranges[t], x.open) {
			x.add(int32(t), &n, calls[t])
		}
	}
	groups := make([]group, len(x.lines))
	var buf []int64
	for l := range x.lines {
		buf = buf[:0]
		for _, part := range x.lines[l].durs {
			buf = append(buf, part...)
		}
		groups[l] = group{describe(buf), int32(l)}
	}
	slices.SortFunc(groups, func(a, b group) int {
		j, k := x.index.keys[a.key], x.index.keys[b.key]
		return cmp.Or(
			cmp.Compare(x.ranges.label(j.rng.name), x.ranges.label(k.rng.name)),
			cmp.Compare(j.rng.kind, k.rng.kind),
			cmp.Compare(j.thread, k.thread),
			cmp.Compare(b.sum, a.sum),
			cmp.Compare(x.names.labels[j.kernel], x.names.labels[k.kernel]))
	})
	integer := func(name, unit string) Column { return Column{Name: name, Unit: unit, Kind: Integer} }
	decimal := func(name string) Column { return Column{Name: name, Unit: "ns", Kind: Decimal, Digits: 1} }
	t := &Table{Columns: []Column{
		{Name: "NVTX Range"}, {Name: "Style"}, integer("PID", ""), integer("TID", ""), integer("NVTX Inst", ""),
		integer("Kern Inst", ""), integer("Total Time", "ns"), decimal("Avg"), decimal("Med"), integer("Min", "ns"),
		integer("Max", "ns"), decimal("StdDev"), {Name: "Kernel Name"},
	}}
	return t.fill(len(groups), func(i int, v []Value) []Value {
		g := &groups[i]
		k := x.index.keys[g.key]
		th := &p.Threads[k.thread]
		return append(v, Str(x.ranges.label(k.rng.name)), Str(styles[k.rng.kind]), Int(p.Processes[th.Process].PID),
			Int(th.TID), Int(x.lines[g.key].ranges), Int(int64(g.n)), Int(g.sum), Dec(g.avg), Dec(g.med), Int(g.min),
			Int(g.max), Dec(g.std), Str(x.names.labels[k.kernel]))
	})
}
