package summary

import (
	"cmp"
	"math"
	"slices"

	"github.com/stepscope/stepscope/profile"
)

// nest is a family of ranges of one thread in which any two are nested or disjoint, so that a range's ancestors are
// exactly the ranges around it. The push/pop ranges of one domain form one nest; start/end ranges, which may overlap,
// are spread over as many as it takes.
type nest struct {
	thread int32
	kind   profile.RangeKind
	ranges []int32 // indices into Ranges, by rising start, the longer first
	parent []int32 // position in ranges of the innermost range around it, profile.None at the top
}

// forest builds the nests of all ranges that begin and end on one thread. Ranges without an end are taken to last until
// open.
func forest(p *profile.Profile, open int64) []nest {
	r := &p.Ranges
	var out []nest
	for t, ranges := range byThread(r.Thread, len(p.Threads), func(i int32) bool { return sameThread(r, i) }) {
		for _, family := range families(r, ranges) {
			out = append(out, nests(r, int32(t), family, open)...)
		}
	}
	return out
}

// families splits the ranges of a thread into its push/pop ranges by domain and its start/end ranges.
func families(r *profile.Ranges, ranges []int32) [][]int32 {
	type key struct {
		kind   profile.RangeKind
		domain int32
	}
	of := func(i int32) key {
		if r.Kind[i] == profile.StartEnd {
			return key{profile.StartEnd, profile.None}
		}
		return key{r.Kind[i], r.Domain[i]}
	}
	if len(ranges) == 0 {
		return nil
	}
	first, same := of(ranges[0]), true
	for _, i := range ranges {
		if of(i) != first {
			same = false
			break
		}
	}
	if same {
		return [][]int32{ranges}
	}
	x := newKeyIndex[key]()
	var out [][]int32
	for _, i := range ranges {
		k := x.of(of(i))
		if int(k) == len(out) {
			out = append(out, nil)
		}
		out[k] = append(out[k], i)
	}
	return out
}

// nests spreads ranges of one thread and kind over as few nests as a first fit finds. It takes ranges over.
func nests(r *profile.Ranges, thread int32, ranges []int32, open int64) []nest {
	sortByStart(r, ranges, open)
	kind := r.Kind[ranges[0]]
	// The first nest reuses the list that it is read from, as it never gets ahead of the reading.
	out := []nest{{thread, kind, ranges[:0], make([]int32, 0, len(ranges))}}
	last := []int32{profile.None} // per nest, the position of the innermost range that may still be open
	for _, i := range ranges {
		start, stop := r.Start[i], rangeEnd(r, i, open)
		placed := false
		for k := range out {
			n, at := &out[k], last[k]
			overlap := false
			for at != profile.None {
				end := rangeEnd(r, n.ranges[at], open)
				if end >= stop {
					break
				}
				if end > start {
					overlap = true
					break
				}
				at = n.parent[at]
			}
			if overlap {
				last[k] = at
				continue
			}
			last[k] = int32(len(n.ranges))
			n.ranges, n.parent = append(n.ranges, i), append(n.parent, at)
			placed = true
			break
		}
		if !placed {
			out = append(out, nest{thread, kind, []int32{i}, []int32{profile.None}})
			last = append(last, 0)
		}
	}
	return out
}

// sortByStart brings ranges into the order of their starts, the longer first.
func sortByStart(r *profile.Ranges, ranges []int32, open int64) {
	byStart := func(a, b int32) int {
		if r.Start[a] != r.Start[b] {
			return cmp.Compare(r.Start[a], r.Start[b])
		}
		return cmp.Or(cmp.Compare(rangeEnd(r, b, open), rangeEnd(r, a, open)), cmp.Compare(a, b))
	}
	if !slices.IsSortedFunc(ranges, byStart) {
		slices.SortFunc(ranges, byStart)
	}
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

// noEnd is what openEnd returns where no range has an end; nothing is known about durations then.
const noEnd int64 = math.MinInt64

// openEnd is the time at which ranges without an end are taken to end: the last end of a range of the kinds that keep
// accepts.
func openEnd(r *profile.Ranges, keep func(profile.RangeKind) bool) int64 {
	last := noEnd
	for i, k := range r.Kind {
		if r.Dur[i] != profile.Open && keep(k) {
			last = max(last, r.Start[i]+r.Dur[i])
		}
	}
	return last
}

// isRange tells ranges from marks.
func isRange(k profile.RangeKind) bool { return k == profile.PushPop || k == profile.StartEnd }

// innermost returns for every call the range that most closely encloses it on its thread, profile.None where none
// does. Of ranges in different nests the one that began last is the innermost.
func innermost(p *profile.Profile) []int32 {
	r := &p.Ranges
	out := make([]int32, p.Calls.Len())
	for i := range out {
		out[i] = profile.None
	}
	open := openEnd(r, isRange)
	calls := byThread(p.Calls.Thread, len(p.Threads), func(int32) bool { return true })
	for _, n := range forest(p, open) {
		n.inside(r, &p.Calls, calls[n.thread], open, func(pos, call int32) {
			i := n.ranges[pos]
			if was := out[call]; was == profile.None || r.Start[i] > r.Start[was] ||
				r.Start[i] == r.Start[was] && rangeEnd(r, i, open) < rangeEnd(r, was, open) {
				out[call] = i
			}
		})
	}
	return out
}

// rangeNames numbers ranges by their printed name, "domain:text".
type rangeNames struct {
	labels *keyIndex[string]
	of     []int32 // per range
}

func newRangeNames(p *profile.Profile) *rangeNames {
	x := &rangeNames{newKeyIndex[string](), make([]int32, p.Ranges.Len())}
	known := map[int32][]int32{} // by domain and text, the number plus one
	var texts []int32
	last := int32(-2)
	for i, d := range p.Ranges.Domain {
		if d != last {
			texts = known[d]
			if texts == nil {
				texts = make([]int32, p.Strings.Len())
				known[d] = texts
			}
			last = d
		}
		text := p.Ranges.Text[i]
		if texts[text] == 0 {
			domain := ""
			if d != profile.None {
				domain = p.Domains[d].Name
			}
			// Domains of different processes that share a name print the same.
			texts[text] = x.labels.of(domain+":"+p.Strings.At(text)) + 1
		}
		x.of[i] = texts[text] - 1
	}
	return x
}

// label returns the printed name of a number.
func (x *rangeNames) label(id int32) string { return x.labels.keys[id] }
