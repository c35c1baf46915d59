// Package interval is the algebra of half-open time spans [Start, End) in integer nanoseconds.
//
// Everything that says "busy", "idle" or "overlapped" in stepscope is computed here, once: a Set is a sorted list of
// disjoint, non-touching, non-empty spans, and every function that returns a Set returns it in that form, so totals
// never count a nanosecond twice. The package imports nothing of stepscope.
package interval

import (
	"cmp"
	"slices"
	"sort"
)

// Span is the half-open time interval [Start, End) in nanoseconds. A Span with End <= Start is empty.
type Span struct {
	Start, End int64
}

// Dur returns the length of s in ns, 0 when it is empty.
func (s Span) Dur() int64 {
	if s.End <= s.Start {
		return 0
	}
	return s.End - s.Start
}

// Empty reports whether s contains no instant.
func (s Span) Empty() bool { return s.End <= s.Start }

// Contains reports whether instant t lies in s.
func (s Span) Contains(t int64) bool { return s.Start <= t && t < s.End }

// Overlaps reports whether s and o share an instant.
func (s Span) Overlaps(o Span) bool {
	return s.Start < o.End && o.Start < s.End && !s.Empty() && !o.Empty()
}

// Clip returns the part of s inside w; it is empty when they do not overlap.
func (s Span) Clip(w Span) Span {
	c := Span{max(s.Start, w.Start), min(s.End, w.End)}
	if c.End < c.Start {
		c.End = c.Start
	}
	return c
}

// Set is a sorted list of disjoint, non-touching, non-empty spans.
type Set []Span

// Valid reports whether s has the form that the package promises.
func (s Set) Valid() bool {
	for i, x := range s {
		if x.Empty() || (i > 0 && s[i-1].End >= x.Start) {
			return false
		}
	}
	return true
}

// Total returns the summed length of s in ns.
func (s Set) Total() int64 {
	var n int64
	for _, x := range s {
		n += x.End - x.Start
	}
	return n
}

// Bounds returns the smallest span that contains s; it is empty when s is.
func (s Set) Bounds() Span {
	if len(s) == 0 {
		return Span{}
	}
	return Span{s[0].Start, s[len(s)-1].End}
}

// endingAfter returns the index of the first span of s that ends after t, len(s) if none does.
func (s Set) endingAfter(t int64) int {
	return sort.Search(len(s), func(i int) bool { return s[i].End > t })
}

// Union merges spans in any order into a Set. Empty spans vanish, touching spans join.
func Union(spans []Span) Set {
	in := make([]Span, 0, len(spans))
	sorted := true
	for _, s := range spans {
		if s.Empty() {
			continue
		}
		if len(in) > 0 && in[len(in)-1].Start > s.Start {
			sorted = false
		}
		in = append(in, s)
	}
	if !sorted {
		slices.SortFunc(in, func(a, b Span) int { return cmp.Compare(a.Start, b.Start) })
	}
	out := in[:0]
	for _, s := range in {
		if n := len(out); n > 0 && out[n-1].End >= s.Start {
			out[n-1].End = max(out[n-1].End, s.End)
			continue
		}
		out = append(out, s)
	}
	return Set(out)
}

// Intersect returns the instants that are in both a and b.
func Intersect(a, b Set) Set {
	var out Set
	for i, j := 0, 0; i < len(a) && j < len(b); {
		if c := (Span{max(a[i].Start, b[j].Start), min(a[i].End, b[j].End)}); c.Start < c.End {
			out = append(out, c)
		}
		if a[i].End < b[j].End {
			i++
		} else {
			j++
		}
	}
	return out
}

// Subtract returns the instants of a that are not in b.
func Subtract(a, b Set) Set {
	var out Set
	j := 0
	for _, s := range a {
		for j < len(b) && b[j].End <= s.Start {
			j++
		}
		at := s.Start
		for k := j; k < len(b) && b[k].Start < s.End; k++ {
			if b[k].Start > at {
				out = append(out, Span{at, b[k].Start})
			}
			at = max(at, b[k].End)
		}
		if at < s.End {
			out = append(out, Span{at, s.End})
		}
	}
	return out
}

// Clip returns the part of s inside w as a new Set.
func Clip(s Set, w Span) Set {
	if w.Empty() {
		return nil
	}
	lo := s.endingAfter(w.Start)
	hi := lo
	for hi < len(s) && s[hi].Start < w.End {
		hi++
	}
	if lo == hi {
		return nil
	}
	out := slices.Clone(s[lo:hi])
	out[0].Start = max(out[0].Start, w.Start)
	out[len(out)-1].End = min(out[len(out)-1].End, w.End)
	return out
}

// Gaps returns the instants of w that are not in s.
func Gaps(s Set, w Span) Set {
	if w.Empty() {
		return nil
	}
	return Subtract(Set{w}, s)
}

// Busy returns the time that s covers inside w, in ns, without building a Set.
func Busy(s Set, w Span) int64 {
	if w.Empty() {
		return 0
	}
	var n int64
	for lo := s.endingAfter(w.Start); lo < len(s) && s[lo].Start < w.End; lo++ {
		n += min(s[lo].End, w.End) - max(s[lo].Start, w.Start)
	}
	return n
}
