package interval

import (
	"cmp"
	"container/heap"
	"slices"
)

// Layered is a span with a precedence and a tag, the input of Attribute.
type Layered struct {
	Span
	Rank int32 // the higher rank owns an instant that several spans cover
	Tag  int32 // carried to the result
}

// Owned is one piece of a partition: the span and the tag of the input that owns it.
type Owned struct {
	Span
	Tag int32
}

// Attribute splits the union of in into pieces that each belong to exactly one input: to the one of the highest Rank,
// among equals to the one that started first, then to the one that comes first in in. The pieces are sorted, disjoint
// and cover the union exactly, so the sum of their lengths equals Union(in).Total(): overlap is counted once.
// Neighbouring pieces of the same input are joined. in is not changed.
func Attribute(in []Layered) []Owned {
	idx := make([]int32, 0, len(in))
	for i := range in {
		if !in[i].Empty() {
			idx = append(idx, int32(i))
		}
	}
	byStart := func(a, b int32) int {
		if c := cmp.Compare(in[a].Start, in[b].Start); c != 0 {
			return c
		}
		return cmp.Compare(a, b)
	}
	if !slices.IsSortedFunc(idx, byStart) {
		slices.SortFunc(idx, byStart)
	}
	var out []Owned
	var last int32 = -1
	emit := func(s Span, who int32) {
		if n := len(out); n > 0 && last == who && out[n-1].End == s.Start {
			out[n-1].End = s.End
			return
		}
		out = append(out, Owned{s, in[who].Tag})
		last = who
	}
	h := &ownerHeap{in: in}
	next := 0
	var at int64
	for next < len(idx) || len(h.idx) > 0 {
		if len(h.idx) == 0 {
			at = in[idx[next]].Start
		}
		for next < len(idx) && in[idx[next]].Start <= at {
			heap.Push(h, idx[next])
			next++
		}
		top := h.idx[0]
		if in[top].End <= at {
			heap.Pop(h)
			continue
		}
		end := in[top].End
		// A later start can only take over when it outranks the owner; stop there and look again.
		if next < len(idx) && in[idx[next]].Start < end {
			end = in[idx[next]].Start
		}
		emit(Span{at, end}, top)
		at = end
	}
	return out
}

type ownerHeap struct {
	in  []Layered
	idx []int32
}

func (h *ownerHeap) Len() int { return len(h.idx) }
func (h *ownerHeap) Less(i, j int) bool {
	a, b := &h.in[h.idx[i]], &h.in[h.idx[j]]
	if a.Rank != b.Rank {
		return a.Rank > b.Rank
	}
	if a.Start != b.Start {
		return a.Start < b.Start
	}
	return h.idx[i] < h.idx[j]
}
func (h *ownerHeap) Swap(i, j int) { h.idx[i], h.idx[j] = h.idx[j], h.idx[i] }
func (h *ownerHeap) Push(x any)    { h.idx = append(h.idx, x.(int32)) }
func (h *ownerHeap) Pop() any {
	n := len(h.idx) - 1
	x := h.idx[n]
	h.idx = h.idx[:n]
	return x
}

// Bins adds up how much of s falls into each of n equal bins of width ns that start at t0; the unit of the result is ns.
func Bins(s Set, t0, width int64, n int) []int64 {
	out := make([]int64, n)
	if width <= 0 || n <= 0 {
		return out
	}
	w := Span{t0, t0 + width*int64(n)}
	for _, x := range s {
		c := x.Clip(w)
		if c.Empty() {
			continue
		}
		for b := (c.Start - t0) / width; b < int64(n); b++ {
			bin := Span{t0 + b*width, t0 + (b+1)*width}
			if bin.Start >= c.End {
				break
			}
			out[b] += c.Clip(bin).Dur()
		}
	}
	return out
}
