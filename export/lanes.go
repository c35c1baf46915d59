package export

import (
	"container/heap"
	"math"
)

// maxNested is how many tracks of properly nested slices a group may have before what is left goes to tracks without
// nesting, which are found faster.
const maxNested = 16

// lanes puts events that come in order of start on as few tracks as it needs, so that slices of one track nest. Perfetto
// closes the innermost slice of a track, so slices that overlap without nesting cannot share one.
type lanes struct {
	t    *trace
	make func(n int) uint64 // describes the n-th track of the group
	nest bool
	all  []*lane
	flat laneHeap // by end
}

type lane struct {
	track uint64
	ends  []int64 // of the open slices, innermost last
}

// busyUntil is the end of the outermost open slice.
func (l *lane) busyUntil() int64 {
	if len(l.ends) == 0 {
		return math.MinInt64
	}
	return l.ends[0]
}

type laneHeap []*lane

func (h laneHeap) Len() int { return len(h) }
func (h laneHeap) Less(i, j int) bool {
	if x, y := h[i].busyUntil(), h[j].busyUntil(); x != y {
		return x < y
	}
	return h[i].track < h[j].track
}
func (h laneHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *laneHeap) Push(x any)   { *h = append(*h, x.(*lane)) }
func (h *laneHeap) Pop() any {
	old := *h
	l := old[len(old)-1]
	*h = old[:len(old)-1]
	return l
}

// place returns the track for an event [start, end), after closing what ended there. Starts never go back.
func (g *lanes) place(start, end int64) uint64 {
	if g.nest {
		for _, l := range g.all[:min(len(g.all), maxNested)] {
			g.close(l, start)
			if len(l.ends) == 0 || l.ends[len(l.ends)-1] >= end {
				l.ends = append(l.ends, end)
				return l.track
			}
		}
		if len(g.all) < maxNested {
			return g.add(end).track
		}
	}
	if len(g.flat) > 0 && g.flat[0].busyUntil() <= start {
		l := g.flat[0]
		g.close(l, start)
		l.ends = append(l.ends, end)
		heap.Fix(&g.flat, 0)
		return l.track
	}
	l := g.add(end)
	heap.Push(&g.flat, l)
	return l.track
}

func (g *lanes) add(end int64) *lane {
	l := &lane{track: g.make(len(g.all)), ends: []int64{end}}
	g.all = append(g.all, l)
	return l
}

// close ends the slices of l that are over at t.
func (g *lanes) close(l *lane, t int64) {
	for n := len(l.ends); n > 0 && l.ends[n-1] <= t; n-- {
		g.t.end(l.track, l.ends[n-1])
		l.ends = l.ends[:n-1]
	}
}

// finish ends what is open. A slice whose end was not recorded stays open: Perfetto shows it so.
func (g *lanes) finish() {
	for _, l := range g.all {
		g.close(l, math.MaxInt64-1)
	}
}
