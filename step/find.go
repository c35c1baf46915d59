package step

import (
	"cmp"
	"fmt"
	"slices"
	"sort"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
)

// boundary is the host instant at which a step begins.
type boundary struct {
	host   int64
	marker interval.Span
	batch  Batch
}

// findSteps cuts the ranks' operations into steps, by the best evidence there is. Where some ranks have step markers, the
// others are no part of the engine: another process on the same GPU.
func (a *Analysis) findSteps() {
	marked := false
	without := make([]int, 0, len(a.Ranks))
	for ri := range a.Ranks {
		if a.findByMarkers(ri) {
			marked = true
		} else {
			without = append(without, ri)
		}
	}
	for _, ri := range without {
		if marked {
			if r := &a.Ranks[ri]; r.Why == "" {
				r.Why = "no step markers, while another process has them"
			}
			continue
		}
		a.findWithoutMarkers(ri)
	}
}

// findByMarkers reports whether the rank has step markers that launched work.
func (a *Analysis) findByMarkers(ri int) bool {
	r := &a.Ranks[ri]
	if bs, thread := a.markerBoundaries(r); len(bs) > 0 {
		r.Source, r.Thread = ByMarker, thread
		r.Why = fmt.Sprintf("%d step markers of %s on one thread", len(bs), a.Engine)
		a.assignByHost(r, bs)
		a.boundLast(r, bs)
		a.buildSteps(ri, bs)
		if len(r.Steps) > 0 {
			return true
		}
		r.Why = fmt.Sprintf("%d step markers, none of which launched device work that was recorded", len(bs))
	}
	return false
}

// markerBoundaries returns the step markers of the rank's process, from the thread that has most of them. Markers
// inside another marker are dropped.
func (a *Analysis) markerBoundaries(r *Rank) ([]boundary, int32) {
	p := a.P
	parsed := a.markerTexts()
	if len(parsed) == 0 {
		return nil, profile.None
	}
	byThread := map[int32][]boundary{}
	for i, text := range p.Ranges.Text {
		b, ok := parsed[text]
		if !ok || p.Ranges.Kind[i] == profile.Mark {
			continue
		}
		t := p.Ranges.Thread[i]
		if p.Threads[t].Process != r.Process {
			continue
		}
		s := interval.Span{Start: p.Ranges.Start[i], End: p.Ranges.Start[i]}
		if p.Ranges.Dur[i] == profile.Open {
			s.End = max(s.Start, p.Window.End)
		} else {
			s.End += p.Ranges.Dur[i]
		}
		list := byThread[t]
		if n := len(list); n > 0 && s.Start < list[n-1].marker.End && p.Ranges.Dur[i] != profile.Open {
			continue
		}
		byThread[t] = append(list, boundary{host: s.Start, marker: s, batch: b})
	}
	best := profile.None
	for t, list := range byThread {
		if best == profile.None || len(list) > len(byThread[best]) || (len(list) == len(byThread[best]) && t < best) {
			best = t
		}
	}
	if best == profile.None {
		return nil, profile.None
	}
	return byThread[best], best
}

// markerTexts parses every distinct annotation once.
func (a *Analysis) markerTexts() map[profile.StringID]Batch {
	if a.markers != nil {
		return a.markers
	}
	a.markers = map[profile.StringID]Batch{}
	used := make([]bool, a.P.Strings.Len())
	for _, t := range a.P.Ranges.Text {
		used[t] = true
	}
	for id, u := range used {
		if !u {
			continue
		}
		if b, engine, ok := ParseMarker(a.P.Strings.At(profile.StringID(id))); ok {
			a.markers[profile.StringID(id)] = b
			a.Engine = engine
		}
	}
	return a.markers
}

// assignByHost gives each operation the last boundary before its launch call. Operations without a launch row follow
// their predecessor in the same queue: work of one queue runs in the order of its launches.
func (a *Analysis) assignByHost(r *Rank, bs []boundary) {
	last := map[int32]int32{}
	at := 0
	for j, o := range r.Ops {
		c := a.call(o)
		if c == profile.None {
			s, ok := last[a.queue(o)]
			if !ok {
				s = profile.None
			}
			r.OpStep[j] = s
			continue
		}
		t := a.P.Calls.Start[c]
		for at > 0 && bs[at].host > t {
			at--
		}
		for at+1 < len(bs) && bs[at+1].host <= t {
			at++
		}
		s := int32(at)
		if bs[at].host > t {
			s = profile.None
		}
		r.OpStep[j] = s
		last[a.queue(o)] = s
	}
}

// buildSteps turns boundary numbers in OpStep into Steps. A marker that scheduled nothing and launched nothing inside
// itself is no step: what was launched after it (the tail of asynchronous scheduling) belongs to the step before.
func (a *Analysis) buildSteps(ri int, bs []boundary) {
	r := &a.Ranks[ri]
	real := make([]bool, len(bs))
	for i, b := range bs {
		real[i] = b.batch.Phase() != Empty
		if !real[i] {
			a.EmptyMarkers++
		}
	}
	into := make([]int32, len(bs)) // boundary -> position among the kept ones
	kept := int32(-1)
	var keep []int32
	for i := range bs {
		if real[i] {
			kept++
			keep = append(keep, int32(i))
		}
		into[i] = kept
	}
	n := len(keep)
	first := make([]int64, n)
	ops := make([]int, n)
	for j, s := range r.OpStep {
		if s == profile.None {
			continue
		}
		k := into[s]
		r.OpStep[j] = k
		if k < 0 {
			continue
		}
		if ops[k] == 0 {
			first[k] = a.span(r.Ops[j]).Start
		}
		ops[k]++
	}
	base := int32(len(a.Steps))
	toStep := make([]int32, n)
	prevStart := int64(0)
	for k, bi := range keep {
		toStep[k] = profile.None
		if ops[k] == 0 {
			continue // its work lies outside the window or was lost: not recorded, so neither busy nor idle
		}
		if len(r.Steps) > 0 && first[k] < prevStart {
			first[k] = prevStart
		}
		prevStart = first[k]
		toStep[k] = base + int32(len(r.Steps))
		b := bs[bi]
		s := Step{
			Rank: int32(ri), Index: int32(len(r.Steps)), Batch: b.batch, Phase: b.batch.Phase(), Marker: b.marker,
			GPU: interval.Span{Start: first[k], End: first[k]}, Period: -1, Written: -1, FirstOp: profile.None, LastOp: profile.None,
		}
		if b.marker.End > b.marker.Start {
			s.BatchFrom = "marker"
			s.Host = interval.Span{Start: b.host, End: a.P.Window.End}
			if int(bi)+1 < len(bs) {
				s.Host.End = bs[bi+1].host
			}
		}
		r.Steps = append(r.Steps, base+int32(len(r.Steps)))
		a.Steps = append(a.Steps, s)
	}
	for j, k := range r.OpStep {
		if k == profile.None || k < 0 {
			r.OpStep[j] = profile.None
			continue
		}
		r.OpStep[j] = toStep[k]
	}
	a.closeSteps(r)
}

// closeSteps sets the walls, periods and counts of a rank's steps.
func (a *Analysis) closeSteps(r *Rank) {
	lastCall := map[int32]int32{} // queue -> last call, to count launches
	for j, s := range r.OpStep {
		if s == profile.None {
			continue
		}
		st := &a.Steps[s]
		if st.FirstOp == profile.None {
			st.FirstOp = int32(j)
			st.LastEnd = st.GPU.Start
		}
		st.LastOp = int32(j)
		o := r.Ops[j]
		st.LastEnd = max(st.LastEnd, a.span(o).End)
		switch o.Kind() {
		case OpKernel:
			st.Kernels++
			if a.P.Kernels.GraphNode[o.Index()] != 0 {
				st.GraphKernels++
			}
		case OpCopy:
			st.Copies++
		}
		if c := a.call(o); c != profile.None && lastCall[a.queue(o)] != c+1 {
			lastCall[a.queue(o)] = c + 1
			if a.isGraphLaunch(c) {
				st.GraphLaunches++
			} else {
				st.Launches++
			}
		}
	}
	for k, s := range r.Steps {
		st := &a.Steps[s]
		if k+1 < len(r.Steps) {
			next := a.Steps[r.Steps[k+1]].GPU.Start
			st.GPU.End = next
			st.Period = next - st.GPU.Start
			continue
		}
		st.Open = true
		st.GPU.End = max(st.GPU.Start, st.LastEnd)
	}
	if n := len(r.Steps); n > 0 {
		r.Wall = interval.Span{Start: a.Steps[r.Steps[0]].GPU.Start, End: a.Steps[r.Steps[n-1]].GPU.End}
	}
}

// searchStart returns the first index of sorted start that is >= t.
func searchStart(start []int64, t int64) int {
	return sort.Search(len(start), func(i int) bool { return start[i] >= t })
}

func median[T cmp.Ordered](v []T) T {
	var zero T
	if len(v) == 0 {
		return zero
	}
	s := slices.Clone(v)
	slices.Sort(s)
	return s[len(s)/2]
}
