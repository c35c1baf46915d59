package profile

import (
	"cmp"
	"slices"
)

// Join fills the Call column of every device table by (process, correlation id) and returns how many device rows have
// a launch row. Calls must be complete and sorted. Correlation ids repeat across processes, so an id alone never joins.
// Where two calls of one process share an id (a runtime call and the driver call inside it), the first one wins: it is
// the outer one, whose start is the moment the program asked. Correlation 0 is "not recorded" and joins nothing.
func (p *Profile) Join() (joined, total int) {
	idx := newCallIndex(p)
	for _, t := range []struct {
		corr  []uint32
		queue []int32
		call  *[]int32
	}{
		{p.Kernels.Correlation, p.Kernels.Queue, &p.Kernels.Call},
		{p.Copies.Correlation, p.Copies.Queue, &p.Copies.Call},
		{p.Memsets.Correlation, p.Memsets.Queue, &p.Memsets.Call},
		{p.GraphTraces.Correlation, p.GraphTraces.Queue, &p.GraphTraces.Call},
		{p.Syncs.Correlation, p.Syncs.Queue, &p.Syncs.Call},
	} {
		out := *t.call
		if len(out) != len(t.corr) {
			out = make([]int32, len(t.corr))
		}
		device := t.call != &p.Syncs.Call
		for i, c := range t.corr {
			out[i] = None
			if q := t.queue[i]; q != None {
				out[i] = idx.find(p.Queues[q].Process, c)
			}
			if device {
				total++
				if out[i] != None {
					joined++
				}
			}
		}
		*t.call = out
	}
	return joined, total
}

// callIndex finds a call by process and correlation id: one direct table per process where ids are dense, as profilers
// hand them out, else a sorted list.
type callIndex struct {
	direct map[int32]*directTable
	sorted map[int32][]corrCall
}

type directTable struct {
	base  uint32
	calls []int32
}

type corrCall struct {
	corr uint32
	call int32
}

func newCallIndex(p *Profile) *callIndex {
	type extent struct {
		lo, hi uint32
		n      int
	}
	proc := make([]int32, len(p.Threads))
	for i, t := range p.Threads {
		proc[i] = t.Process
	}
	ext := map[int32]*extent{}
	var last *extent
	lastProc := None
	for i, c := range p.Calls.Correlation {
		if c == 0 {
			continue
		}
		pr := proc[p.Calls.Thread[i]]
		if pr != lastProc {
			e, ok := ext[pr]
			if !ok {
				e = &extent{lo: c, hi: c}
				ext[pr] = e
			}
			last, lastProc = e, pr
		}
		last.lo, last.hi = min(last.lo, c), max(last.hi, c)
		last.n++
	}
	idx := &callIndex{direct: map[int32]*directTable{}, sorted: map[int32][]corrCall{}}
	for pr, e := range ext {
		if span := uint64(e.hi-e.lo) + 1; span <= uint64(e.n)*8+1024 {
			t := &directTable{base: e.lo, calls: make([]int32, span)}
			for i := range t.calls {
				t.calls[i] = None
			}
			idx.direct[pr] = t
		} else {
			idx.sorted[pr] = make([]corrCall, 0, e.n)
		}
	}
	for i, c := range p.Calls.Correlation {
		if c == 0 {
			continue
		}
		pr := proc[p.Calls.Thread[i]]
		if t := idx.direct[pr]; t != nil {
			if at := c - t.base; t.calls[at] == None {
				t.calls[at] = int32(i)
			}
			continue
		}
		idx.sorted[pr] = append(idx.sorted[pr], corrCall{c, int32(i)})
	}
	for _, s := range idx.sorted {
		slices.SortStableFunc(s, func(a, b corrCall) int { return cmp.Compare(a.corr, b.corr) })
	}
	return idx
}

func (x *callIndex) find(process int32, corr uint32) int32 {
	if corr == 0 {
		return None
	}
	if t := x.direct[process]; t != nil {
		if corr < t.base || uint64(corr-t.base) >= uint64(len(t.calls)) {
			return None
		}
		return t.calls[corr-t.base]
	}
	s := x.sorted[process]
	at, ok := slices.BinarySearchFunc(s, corr, func(x corrCall, corr uint32) int { return cmp.Compare(x.corr, corr) })
	if !ok {
		return None
	}
	return s[at].call
}
