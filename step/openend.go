package step

import "github.com/stepscope/stepscope/profile"

// Limits of the last step's work. Nothing follows the last step that would end it, so what comes later (steps whose
// markers were lost, tear-down work after a pause) would count as its work and its wall. It is held to what the steps
// before it show; with fewer than openEndSteps of them there is no measure and it keeps everything.
const (
	openEndSteps = 3
	// openEndSlack is added to twice the longest time that an earlier step went on launching after its marker, ns.
	openEndSlack = 1_000_000
	// openEndRows is added to twice the most rows without launch call of an earlier step.
	openEndRows = 16
	// openEndGap is how many times the longest pause inside earlier steps ends the last one where there are no markers.
	openEndGap = 4
)

// boundLast takes work out of the last step that cannot be its own by the markers: launched long after its marker had
// ended, or without launch calls and far more of it than any step before had.
func (a *Analysis) boundLast(r *Rank, bs []boundary) {
	last := int32(-1)
	for i, b := range bs {
		if b.batch.Phase() != Empty {
			last = int32(i)
		}
	}
	if last < 0 {
		return
	}
	var (
		tail     int64 // longest time from a marker's end to the step's last launch
		unlinked = make([]int, len(bs))
		linked   = make([]bool, len(bs))
		end      int64 // start of the last step's last operation with a launch call
	)
	each := func(f func(j int, s, call int32)) {
		for j, s := range r.OpStep {
			if s != profile.None {
				f(j, s, a.call(r.Ops[j]))
			}
		}
	}
	each(func(j int, s, call int32) {
		if call == profile.None {
			unlinked[s]++
			return
		}
		linked[s] = true
		if s < last {
			tail = max(tail, a.P.Calls.Start[call]-bs[s].marker.End)
		}
	})
	earlier, rows, own := 0, 0, 0
	for i := range bs {
		switch {
		case int32(i) >= last:
			own += unlinked[i]
		case linked[i]:
			earlier++
			rows = max(rows, unlinked[i])
		}
	}
	if earlier < openEndSteps {
		return
	}
	limit := bs[last].marker.End + 2*tail + openEndSlack
	late := map[int32]bool{} // queues whose later rows without launch call follow work that was taken out
	each(func(j int, s, call int32) {
		if s < last {
			return
		}
		switch {
		case call != profile.None && a.P.Calls.Start[call] > limit:
			r.OpStep[j] = profile.None
			late[a.queue(r.Ops[j])] = true
		case call != profile.None:
			end = a.span(r.Ops[j]).Start
		case late[a.queue(r.Ops[j])]:
			r.OpStep[j] = profile.None
		}
	})
	if own <= 2*rows+openEndRows {
		return
	}
	each(func(j int, s, call int32) {
		if s >= last && call == profile.None && a.span(r.Ops[j]).Start > end {
			r.OpStep[j] = profile.None
		}
	})
}

// lastEnd returns the position in serving at which the last of the steps that begin at starts ends: at a pause far longer
// than any inside the steps before, else at the end.
func (a *Analysis) lastEnd(r *Rank, serving, starts []int32) int {
	n := len(starts)
	if n <= openEndSteps {
		return len(serving)
	}
	var longest, end int64
	next := 1
	for k := int(starts[0]); k < len(serving); k++ {
		s := a.span(r.Ops[serving[k]])
		begins := next < n && k == int(starts[next])
		if begins {
			next++
		}
		if gap := s.Start - end; k > int(starts[0]) && !begins {
			if next == n && gap > max(quietMin, openEndGap*longest) {
				return k
			}
			if next < n {
				longest = max(longest, gap)
			}
		}
		end = max(end, s.End)
	}
	return len(serving)
}
