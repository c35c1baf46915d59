package kineto

import (
	"cmp"
	"slices"

	"github.com/stepscope/stepscope/profile"
)

// tableID names a table of the Profile whose rows B events open.
type tableID uint8

const (
	kernelTable tableID = iota
	copyTable
	memsetTable
	callTable
	opTable
	rangeTable
	syncTable
	frameTable
	overheadTable
	noTable // of a begin event that makes no row
)

// pairs matches the begin and end events of every track, which is one row of the timeline: they nest within it. Files hold
// them in any order, so they are matched at the end, by time.
type pairs struct {
	marks []mark
}

type mark struct {
	track threadKey
	ts    int64
	row   int32
	table tableID
	end   bool
}

func (p *pairs) begin(t threadKey, ts int64, table tableID, row int32) {
	p.marks = append(p.marks, mark{t, ts, row, table, false})
}

func (p *pairs) end(t threadKey, ts int64) {
	p.marks = append(p.marks, mark{track: t, ts: ts, end: true})
}

// close sets the durations of opened rows and returns how many begins and ends found no partner. A begin without an
// end leaves its row pending.
func (p *pairs) close(dur func(tableID) []int64) (unpaired int64, hull spanOf) {
	slices.SortStableFunc(p.marks, func(a, b mark) int {
		return cmp.Or(cmp.Compare(a.track.scope, b.track.scope), cmp.Compare(a.track.pid, b.track.pid),
			cmp.Compare(a.track.tid, b.track.tid), cmp.Compare(a.ts, b.ts))
	})
	var stack []mark
	for i, m := range p.marks {
		if i > 0 && m.track != p.marks[i-1].track {
			unpaired += int64(len(stack))
			stack = stack[:0]
		}
		if !m.end {
			stack = append(stack, m)
			continue
		}
		if len(stack) == 0 {
			unpaired++
			continue
		}
		open := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if open.table != noTable {
			dur(open.table)[open.row] = m.ts - open.ts
			hull.add(open.ts, m.ts)
		}
	}
	return unpaired + int64(len(stack)), hull
}

// durations returns the duration column of a table.
func durations(p *profile.Profile) func(tableID) []int64 {
	return func(t tableID) []int64 {
		switch t {
		case kernelTable:
			return p.Kernels.Dur
		case copyTable:
			return p.Copies.Dur
		case memsetTable:
			return p.Memsets.Dur
		case callTable:
			return p.Calls.Dur
		case opTable:
			return p.Ops.Dur
		case rangeTable:
			return p.Ranges.Dur
		case syncTable:
			return p.Syncs.Dur
		case frameTable:
			return p.Frames.Dur
		}
		return p.Overheads.Dur
	}
}
