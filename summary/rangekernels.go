package summary

import (
	"cmp"
	"slices"

	"github.com/stepscope/stepscope/profile"
)

// rangeKernels names one line of nvtx_kern_sum: kernels of one name launched within ranges of one name on one thread.
type rangeKernels struct {
	thread int32
	rng    int32 // id of a rangeKey, None for kernels launched outside all ranges
	kernel int32
}

// rangeKernelLine is what a line adds up.
type rangeKernelLine struct {
	ranges  int64     // range instances that hold such a kernel
	kernels [][]int32 // the kernels, in parts shared with other lines; once for every range that holds the kernel
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
	within []bool // per call: lies in some range
}

// line returns the number of a line, which it adds if it is new.
func (x *rangeKernelLines) line(k rangeKernels) int32 {
	l := x.index.of(k)
	if int(l) == len(x.lines) {
		x.lines = append(x.lines, rangeKernelLine{})
	}
	return l
}

// byName orders range keys by name and style, no range first.
func (x *rangeKernelLines) byName(a, b int32) int {
	if a == profile.None || b == profile.None {
		return cmp.Compare(a, b)
	}
	return x.ranges.byName(a, b)
}

// leaf is a path of range names and a kernel name launched within it.
type leaf struct{ path, kernel int32 }

// path is a range name below another path.
type path struct{ up, rng int32 }

// add counts the kernels that calls launched within the ranges of n.
func (x *rangeKernelLines) add(n *nest, calls []int32) {
	r := &x.p.Ranges
	paths, leaves := newKeyIndex[path](), newKeyIndex[leaf]()
	pathOf := make([]int32, len(n.ranges)) // the path's number plus one, 0 until a kernel asks for it
	var find func(pos int32) int32
	find = func(pos int32) int32 {
		if pathOf[pos] == 0 {
			i := n.ranges[pos]
			k := path{profile.None, rangeKey{x.ranges.of[i], r.Kind[i]}.id()}
			if up := n.parent[pos]; up != profile.None {
				k.up = find(up)
			}
			pathOf[pos] = paths.of(k) + 1
		}
		return pathOf[pos] - 1
	}
	var lineOf, lastIn []int32 // per leaf: its line, and the last range that held such a kernel
	enter := func(path, kernel int32) int32 {
		id := leaves.of(leaf{path, kernel})
		if int(id) == len(lineOf) {
			lineOf = append(lineOf, x.line(rangeKernels{n.thread, paths.keys[path].rng, kernel}))
			lastIn = append(lastIn, profile.None)
		}
		return id
	}
	var leafOf, kernels []int32
	n.inside(r, &x.p.Calls, calls, x.open, func(pos, call int32) {
		x.within[call] = true
		for _, k := range x.of.kernels(call) {
			name := x.names.ids[k]
			id := enter(find(pos), name)
			leafOf, kernels = append(leafOf, id), append(kernels, k)
			// Ranges of one path are disjoint and come in order of time, so a range that is not the last to have held the
			// kernel never has; where it has, so have all around it.
			for at := pos; lastIn[id] != at; id = enter(find(at), name) {
				lastIn[id] = at
				x.lines[lineOf[id]].ranges++
				if at = n.parent[at]; at == profile.None {
					break
				}
			}
		}
	})
	for id, part := range partition(leafOf, len(leaves.keys), func(i int) int32 { return kernels[i] }) {
		if len(part) == 0 {
			continue
		}
		lf := leaves.keys[id]
		for at := lf.path; at != profile.None; at = paths.keys[at].up {
			l := &x.lines[x.line(rangeKernels{n.thread, paths.keys[at].rng, lf.kernel})]
			l.kernels = append(l.kernels, part)
		}
	}
}

// rest counts the kernels of calls that lie in no range, by thread and name, and those without a call by name.
func (x *rangeKernelLines) rest() {
	for k, c := range x.p.Kernels.Call {
		thread := profile.None
		if c != profile.None {
			if x.within[c] {
				continue
			}
			thread = x.p.Calls.Thread[c]
		}
		l := &x.lines[x.line(rangeKernels{thread, profile.None, x.names.ids[k]})]
		if len(l.kernels) == 0 {
			l.kernels = [][]int32{nil}
		}
		l.kernels[0] = append(l.kernels[0], int32(k))
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
	x := &rangeKernelLines{p: p, open: openEnd(&p.Ranges, isRange), names: nameKernels(p, o), ranges: newRangeNames(p),
		index: newKeyIndex[rangeKernels](), of: newCallKernels(p), within: make([]bool, p.Calls.Len())}
	calls := byThread(p.Calls.Thread, len(p.Threads), func(i int32) bool { return len(x.of.kernels(i)) > 0 })
	for _, n := range forest(p, x.open) {
		if len(calls[n.thread]) > 0 {
			x.add(&n, calls[n.thread])
		}
	}
	x.rest()
	groups := make([]group, len(x.lines))
	distinct := make([]int64, len(x.lines)) // nsys counts a kernel once, but sums it up for every range that holds it
	lastLine := make([]int32, p.Kernels.Len())
	var buf []int64
	for l := range x.lines {
		buf = buf[:0]
		for _, part := range x.lines[l].kernels {
			for _, k := range part {
				buf = append(buf, p.Kernels.Dur[k])
				if lastLine[k] != int32(l)+1 {
					lastLine[k] = int32(l) + 1
					distinct[l]++
				}
			}
		}
		groups[l] = group{stats: describe(buf), key: int32(l)}
	}
	slices.SortFunc(groups, func(a, b group) int {
		j, k := x.index.keys[a.key], x.index.keys[b.key]
		return cmp.Or(
			x.byName(j.rng, k.rng),
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
		rng, style, pid, tid := Null, Null, Null, Null
		if k.rng != profile.None {
			rng, style = Str(x.ranges.label(keyOf(k.rng).name)), Str(styles[keyOf(k.rng).kind])
		}
		if k.thread != profile.None {
			th := &p.Threads[k.thread]
			pid, tid = Int(p.Processes[th.Process].PID), Int(th.TID)
		}
		return append(v, rng, style, pid, tid, Int(x.lines[g.key].ranges), Int(distinct[g.key]), Int(g.sum), Dec(g.avg),
			Dec(g.med), Int(g.min), Int(g.max), Dec(g.std), Str(x.names.labels[k.kernel]))
	})
}
