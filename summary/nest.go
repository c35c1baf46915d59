package summary

import (
	"cmp"
	"slices"

	"github.com/stepscope/stepscope/profile"
)

// nest is a family of ranges of one thread in which any two are nested or disjoint, so that a range's ancestors are
// exactly the ranges around it. Push/pop ranges of one domain form one nest; start/end ranges, which may overlap, are
// spread over as many as it takes.
type nest struct {
	ranges []int32 // indices into Ranges, by rising start, the longer first
	parent []int32 // position in ranges of the innermost range around it, profile.None at the top
}

// nests builds the nests of ranges, which are indices of one thread's ranges in any order. Ranges without an end are
// taken to last until openEnd.
func nests(r *profile.Ranges, ranges []int32, openEnd int64) []nest {
	if len(ranges) == 0 {
		return nil
	}
	end := func(i int32) int64 { return rangeEnd(r, i, openEnd) }
	byStart := func(a, b int32) int {
		if c := cmp.Compare(r.Start[a], r.Start[b]); c != 0 {
			return c
		}
		if c := cmp.Compare(end(b), end(a)); c != 0 {
			return c
		}
		return cmp.Compare(a, b)
	}
	if !slices.IsSortedFunc(ranges, byStart) {
		slices.SortFunc(ranges, byStart)
	}
	out := []nest{{ranges: make([]int32, 0, len(ranges)), parent: make([]int32, 0, len(ranges))}}
	last := []int32{profile.None} // per nest, the position of the innermost range that may still be open
	for _, i := range ranges {
		start, stop := r.Start[i], end(i)
		placed := false
		for k := range out {
			n, at := &out[k], last[k]
			for at != profile.None && end(n.ranges[at]) < stop && end(n.ranges[at]) <= start {
				at = n.parent[at]
			}
			if at != profile.None && end(n.ranges[at]) < stop {
				last[k] = at
				continue // overlaps without nesting
			}
			last[k] = int32(len(n.ranges))
			n.ranges, n.parent = append(n.ranges, i), append(n.parent, at)
			placed = true
			break
		}
		if !placed {
			out = append(out, nest{ranges: []int32{i}, parent: []int32{profile.None}})
			last = append(last, 0)
		}
	}
	return out
}

func rangeEnd(r *profile.Ranges, i int32, openEnd int64) int64 {
	if r.Dur[i] == profile.Open {
		return max(openEnd, r.Start[i])
	}
	return r.Start[i] + r.Dur[i]
}

// inside calls visit with every call that lies within a range of n, and the position of the innermost such range.
// calls are indices of the thread's calls by rising start.
func (n *nest) inside(r *profile.Ranges, c *profile.Calls, calls []int32, openEnd int64, visit func(pos, call int32)) {
	next := 0
	for _, call := range calls {
		start, stop := c.Start[call], c.Start[call]+c.Dur[call]
		for next < len(n.ranges) && r.Start[n.ranges[next]] <= start {
			next++
		}
		pos := int32(next) - 1
		for pos >= 0 && rangeEnd(r, n.ranges[pos], openEnd) < stop {
			pos = n.parent[pos]
		}
		if pos >= 0 {
			visit(pos, call)
		}
	}
}

// byThread lists the indices of a table by thread, in the table's order. keep may leave rows out.
func byThread(thread []int32, threads int, keep func(i int32) bool) [][]int32 {
	count := make([]int, threads)
	for i, t := range thread {
		if keep(int32(i)) {
			count[t]++
		}
	}
	out := make([][]int32, threads)
	for t, n := range count {
		if n > 0 {
			out[t] = make([]int32, 0, n)
		}
	}
	for i, t := range thread {
		if keep(int32(i)) {
			out[t] = append(out[t], int32(i))
		}
	}
	return out
}

// sameThread tells whether a range is a push/pop or start/end range that ends on the thread it began on; only such
// ranges say anything about the calls of a thread.
func sameThread(r *profile.Ranges, i int32) bool {
	if r.Kind[i] == profile.Mark {
		return false
	}
	if len(r.EndThread) == 0 {
		return true
	}
	t, moved := r.EndThread[i]
	return !moved || t == r.Thread[i]
}

// openEnd is the time at which ranges without an end are taken to end: the last instant of the capture.
func openEnd(p *profile.Profile) int64 {
	last := p.Window.End
	for _, t := range []struct{ start, dur []int64 }{
		{p.Kernels.Start, p.Kernels.Dur}, {p.Calls.Start, p.Calls.Dur}, {p.Ranges.Start, p.Ranges.Dur},
	} {
		for i, s := range t.start {
			last = max(last, s+max(0, t.dur[i]))
		}
	}
	return last
}

// innermost returns for every call the range that most closely encloses it on its thread, profile.None where none
// does. Of ranges in different nests the one that began last is the innermost.
func innermost(p *profile.Profile) []int32 {
	r := &p.Ranges
	out := make([]int32, p.Calls.Len())
	for i := range out {
		out[i] = profile.None
	}
	open := openEnd(p)
	ranges := byThread(r.Thread, len(p.Threads), func(i int32) bool { return sameThread(r, i) })
	calls := byThread(p.Calls.Thread, len(p.Threads), func(int32) bool { return true })
	for t := range ranges {
		if len(calls[t]) == 0 {
			continue
		}
		for _, n := range nests(r, ranges[t], open) {
			n.inside(r, &p.Calls, calls[t], open, func(pos, call int32) {
				i := n.ranges[pos]
				if was := out[call]; was == profile.None || r.Start[i] > r.Start[was] ||
					r.Start[i] == r.Start[was] && rangeEnd(r, i, open) < rangeEnd(r, was, open) {
					out[call] = i
				}
			})
		}
	}
	return out
}

// rangeNames numbers ranges by their printed name, "domain:text".
type rangeNames struct {
	labels *keyIndex[string]
	index  map[rangeName]int32
}

type rangeName struct {
	domain int32
	text   profile.StringID
}

func newRangeNames() *rangeNames {
	return &rangeNames{labels: newKeyIndex[string](), index: map[rangeName]int32{}}
}

// of returns the number of range i's name. Domains of different processes that share a name print the same.
func (x *rangeNames) of(p *profile.Profile, i int32) int32 {
	d := p.Ranges.Domain[i]
	k := rangeName{d, p.Ranges.Text[i]}
	if id, ok := x.index[k]; ok {
		return id
	}
	domain := ""
	if d != profile.None {
		domain = p.Domains[d].Name
	}
	id := x.labels.of(domain + ":" + p.Strings.At(p.Ranges.Text[i]))
	x.index[k] = id
	return id
}

func (x *rangeNames) label(id int32) string { return x.labels.keys[id] }
