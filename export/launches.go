package export

import (
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

// launchIndex lists the device operations that each API call launched.
type launchIndex struct {
	from []uint32 // by call, one more than calls
	ops  []step.Op
}

// indexLaunches sorts the joined operations by their calls, in two passes.
func indexLaunches(p *profile.Profile) launchIndex {
	tables := [4][]int32{step.OpKernel: p.Kernels.Call, step.OpCopy: p.Copies.Call, step.OpMemset: p.Memsets.Call, step.OpGraph: p.GraphTraces.Call}
	x := launchIndex{from: make([]uint32, p.Calls.Len()+1)}
	total := uint32(0)
	for _, calls := range tables {
		for _, c := range calls {
			if c != profile.None {
				x.from[c]++
				total++
			}
		}
	}
	at := uint32(0)
	for i, n := range x.from {
		x.from[i] = at
		at += n
	}
	x.ops = make([]step.Op, total)
	next := append([]uint32(nil), x.from...)
	for kind, calls := range tables {
		for i, c := range calls {
			if c != profile.None {
				x.ops[next[c]] = step.NewOp(step.OpKind(kind), i)
				next[c]++
			}
		}
	}
	return x
}

// of returns what call launched.
func (x *launchIndex) of(call int) []step.Op {
	return x.ops[x.from[call]:x.from[call+1]]
}

// flowID is the flow from a launch to o.
func flowID(o step.Op) uint64 { return uint64(o) + 1 }
