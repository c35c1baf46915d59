package interval

import (
	"fmt"
	"math"
	"sort"
)

// Sequence is a list of disjoint spans in order of time, each with a small tag: span i starts at or after the end of
// span i-1. Spans of length 0 are allowed; they are instants.
type Sequence interface {
	Len() int
	At(i int) (s Span, tag uint8)
}

// Mipmap answers questions about any stretch of a Sequence without walking it: how much time each tag takes, bin by bin
// or in total, and which spans are at least so long. Answers are exact at every zoom; the cost of one depends on what is
// asked for and not on the length of the sequence.
//
// It keeps the start, running totals per tag and the longest duration of every block of spans, which is 8*(tags+2)/64
// bytes per span, and refers to the sequence for the rest. It is safe for concurrent use if the sequence is.
type Mipmap struct {
	seq     Sequence
	n, tags int
	starts  []int64   // by block: start of its first span
	sums    []int64   // by block and tag: time before the block
	longest [][]int64 // longest duration: of each block, then of each group of blocks, up to one
}

const (
	blockSpans = 64 // spans of one block
	groupSize  = 16 // blocks of one group, groups of one group of groups
	fewSpans   = 32 // up to so many spans are walked one by one
)

// NewMipmap prepares seq, whose tags are below tags. It returns an error where seq breaks its order or a tag is out of
// range.
func NewMipmap(seq Sequence, tags int) (*Mipmap, error) {
	n := seq.Len()
	blocks := (n + blockSpans - 1) / blockSpans
	m := &Mipmap{seq: seq, n: n, tags: tags, starts: make([]int64, blocks), sums: make([]int64, (blocks+1)*tags)}
	long := make([]int64, blocks)
	end := int64(math.MinInt64)
	for b := range blocks {
		run := m.sums[(b+1)*tags : (b+2)*tags]
		copy(run, m.sums[b*tags:])
		var top int64
		for i := b * blockSpans; i < min(n, (b+1)*blockSpans); i++ {
			s, tag := seq.At(i)
			if s.Start < end || s.End < s.Start {
				return nil, fmt.Errorf("span %d [%d, %d) is out of order: the one before ends at %d", i, s.Start, s.End, end)
			}
			if int(tag) >= tags {
				return nil, fmt.Errorf("span %d: tag %d of %d", i, tag, tags)
			}
			if i == b*blockSpans {
				m.starts[b] = s.Start
			}
			end = s.End
			run[tag] += s.End - s.Start
			top = max(top, s.End-s.Start)
		}
		long[b] = top
	}
	m.longest = append(m.longest, long)
	for len(long) > 1 {
		up := make([]int64, (len(long)+groupSize-1)/groupSize)
		for i, d := range long {
			up[i/groupSize] = max(up[i/groupSize], d)
		}
		m.longest = append(m.longest, up)
		long = up
	}
	return m, nil
}

// Len returns the number of spans.
func (m *Mipmap) Len() int { return m.n }

// At returns span i and its tag.
func (m *Mipmap) At(i int) (Span, uint8) { return m.seq.At(i) }

// Bounds returns the smallest span that contains all spans; it is empty when there are none.
func (m *Mipmap) Bounds() Span {
	if m.n == 0 {
		return Span{}
	}
	first, _ := m.seq.At(0)
	last, _ := m.seq.At(m.n - 1)
	return Span{first.Start, last.End}
}

// Find returns the indices [lo, hi) of the spans that have an instant in w, and of the instants in w.
func (m *Mipmap) Find(w Span) (lo, hi int) {
	first := m.starting(w.Start, 0)
	return m.reaching(w.Start, first), m.starting(w.End, first)
}

// reaching returns first, the first span that starts at t or later, or the one before if that reaches beyond t.
func (m *Mipmap) reaching(t int64, first int) int {
	if first > 0 {
		if s, _ := m.seq.At(first - 1); s.End > t {
			return first - 1
		}
	}
	return first
}

// starting returns the first span from index from on that starts at t or later, Len if none. The blocks' starts lead to
// its block, as they lie side by side in memory and the spans of a large sequence do not.
func (m *Mipmap) starting(t int64, from int) int {
	own := from / blockSpans
	b := gallop(own+1, len(m.starts), 1, func(b int) bool { return m.starts[b] >= t })
	lo, step := from, 1
	if b-1 > own {
		lo, step = (b-1)*blockSpans, blockSpans
	}
	return gallop(lo, min(b*blockSpans, m.n), step, func(i int) bool {
		s, _ := m.seq.At(i)
		return s.Start >= t
	})
}

// gallop returns the first index in [lo, hi) at which f is true, hi if none. f is false up to some index and true from
// there on. The distance is doubled from step on until it holds the answer, which is expected near.
func gallop(lo, hi, step int, f func(int) bool) int {
	for lo < hi && !f(min(lo+step, hi)-1) {
		lo = min(lo+step, hi)
		step *= 2
	}
	if lo >= hi {
		return max(lo, hi)
	}
	return lo + sort.Search(min(step, hi-lo), func(i int) bool { return f(lo + i) })
}

// Totals adds to sums, which has one entry per tag, the time in ns that the spans of each tag take of w. It returns
// the number of spans that Find finds.
func (m *Mipmap) Totals(w Span, sums []int64) int {
	if w.Empty() {
		return 0
	}
	lo, hi := m.Find(w)
	m.add(lo, hi, w, sums)
	return hi - lo
}

// add adds the time of spans [lo, hi), which all touch w, inside w.
func (m *Mipmap) add(lo, hi int, w Span, sums []int64) {
	if hi-lo <= fewSpans {
		for i := lo; i < hi; i++ {
			s, tag := m.seq.At(i)
			sums[tag] += s.Clip(w).Dur()
		}
		return
	}
	run := running{m: m, ns: make([]int64, m.tags)}
	run.add(lo, hi, w, sums)
}

// running is the time of all spans before one, by tag.
type running struct {
	m  *Mipmap
	at int
	ns []int64
}

// move makes r the time before span to: from where it is or from the nearest edge of a block, whichever is nearer.
func (r *running) move(to int) {
	m := r.m
	b := (to + blockSpans/2) / blockSpans
	edge := min(b*blockSpans, m.n)
	if max(to-r.at, r.at-to) > max(to-edge, edge-to) {
		r.at = edge
		copy(r.ns, m.sums[b*m.tags:(b+1)*m.tags])
	}
	for ; r.at < to; r.at++ {
		s, tag := m.seq.At(r.at)
		r.ns[tag] += s.Dur()
	}
	for r.at > to {
		r.at--
		s, tag := m.seq.At(r.at)
		r.ns[tag] -= s.Dur()
	}
}

// add adds the time of spans [lo, hi), at least one, which all touch w, inside w. It leaves r at hi.
func (r *running) add(lo, hi int, w Span, sums []int64) {
	r.move(lo)
	for t, ns := range r.ns {
		sums[t] -= ns
	}
	r.move(hi)
	for t, ns := range r.ns {
		sums[t] += ns
	}
	// As spans are disjoint, only the first may begin before w and only the last end after it.
	if s, tag := r.m.seq.At(lo); s.Start < w.Start {
		sums[tag] -= w.Start - s.Start
	}
	if s, tag := r.m.seq.At(hi - 1); s.End > w.End {
		sums[tag] -= s.End - w.End
	}
}

// Long calls visit for every span that Find finds in w whose whole duration is at least d, in order, until visit returns
// false.
func (m *Mipmap) Long(w Span, d int64, visit func(i int) bool) {
	if w.Empty() || m.n == 0 {
		return
	}
	lo, hi := m.Find(w)
	m.long(lo, hi, d, visit)
}

func (m *Mipmap) long(lo, hi int, d int64, visit func(i int) bool) {
	for i := lo; i < hi; {
		// Skip blocks and groups that hold nothing so long.
		if i == lo || i%blockSpans == 0 {
			if next := m.skip(i/blockSpans, d) * blockSpans; next > i {
				i = next
				continue
			}
		}
		if s, _ := m.seq.At(i); s.Dur() >= d && !visit(i) {
			return
		}
		i++
	}
}

// skip returns the first block from b on that may hold a span of duration d, as far as whole groups tell.
func (m *Mipmap) skip(b int, d int64) int {
	for b < len(m.longest[0]) {
		level, at, width := 0, b, 1
		if m.longest[0][b] >= d {
			return b
		}
		for level+1 < len(m.longest) && at%groupSize == 0 && m.longest[level+1][at/groupSize] < d {
			level, at, width = level+1, at/groupSize, width*groupSize
		}
		b += width
	}
	return b
}

// Bin is the content of one bin.
type Bin struct {
	Index int
	// Starts is the number of spans that start in the bin.
	Starts int
	// Ns is the time of the bin that each tag takes; it is valid until the next bin.
	Ns []int64
}

// Bins calls visit, in order, for each of n bins of width ns from t0 on in which a span shorter than long lies. Spans
// whose whole duration is at least long are left out; long 0 leaves out none.
func (m *Mipmap) Bins(t0, width int64, n int, long int64, visit func(Bin)) {
	if width <= 0 || n <= 0 || m.n == 0 {
		return
	}
	if long <= 0 {
		long = math.MaxInt64
	}
	sums := make([]int64, m.tags)
	run := running{m: m, ns: make([]int64, m.tags)}
	first := m.starting(t0, 0) // the first span that starts in the bin or after it
	for b := 0; b < n; b++ {
		w := Span{t0 + int64(b)*width, t0 + int64(b+1)*width}
		lo, hi := m.reaching(w.Start, first), m.starting(w.End, first)
		first = hi
		if lo >= m.n {
			return
		}
		if lo == hi {
			// Nothing here: go on at the bin of the next span.
			next, _ := m.seq.At(lo)
			if skip := (next.Start - t0) / width; skip > int64(b) {
				b = int(min(skip, int64(n))) - 1
			}
			continue
		}
		clear(sums)
		starts, any := 0, false
		if hi-lo <= fewSpans {
			for i := lo; i < hi; i++ {
				s, tag := m.seq.At(i)
				if s.End-s.Start >= long {
					continue
				}
				any = true
				sums[tag] += s.Clip(w).Dur()
				if s.Start >= w.Start {
					starts++
				}
			}
		} else {
			run.add(lo, hi, w, sums)
			starts = hi - lo
			if s, _ := m.seq.At(lo); s.Start < w.Start {
				starts--
			}
			m.long(lo, hi, long, func(i int) bool {
				s, tag := m.seq.At(i)
				sums[tag] -= s.Clip(w).Dur()
				if s.Start >= w.Start {
					starts--
				}
				return true
			})
			any = true
		}
		if any {
			visit(Bin{Index: b, Starts: starts, Ns: sums})
		}
	}
}
