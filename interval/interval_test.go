package interval

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// bits is the brute-force form of a set: one flag per nanosecond of [0, size).
const size = 64

func bitsOf(spans []Span) (b [size]bool) {
	for _, s := range spans {
		for t := max(0, s.Start); t < min(size, s.End); t++ {
			b[t] = true
		}
	}
	return b
}

func spans(t *rapid.T, label string) []Span {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Span {
		s := rapid.Int64Range(0, size-1).Draw(t, "start")
		return Span{s, s + rapid.Int64Range(-2, 12).Draw(t, "dur")}
	}), 0, 12).Draw(t, label)
}

func TestSetLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		as, bs := spans(t, "a"), spans(t, "b")
		for i := range as {
			as[i].End = min(as[i].End, size)
		}
		for i := range bs {
			bs[i].End = min(bs[i].End, size)
		}
		a, b := Union(as), Union(bs)
		w := Span{rapid.Int64Range(0, size).Draw(t, "lo"), rapid.Int64Range(0, size).Draw(t, "hi")}
		ab, bb := bitsOf(as), bitsOf(bs)
		check := func(name string, got Set, want func(i int) bool) {
			if !got.Valid() {
				t.Fatalf("%s is not in set form: %v", name, got)
			}
			var n int64
			g := bitsOf(got)
			for i := range size {
				if g[i] != want(i) {
					t.Fatalf("%s at %d: got %v", name, i, g[i])
				}
				if want(i) {
					n++
				}
			}
			if got.Total() != n {
				t.Fatalf("%s total %d, want %d", name, got.Total(), n)
			}
		}
		in := func(i int) bool { return w.Contains(int64(i)) }
		check("union", a, func(i int) bool { return ab[i] })
		check("intersect", Intersect(a, b), func(i int) bool { return ab[i] && bb[i] })
		check("subtract", Subtract(a, b), func(i int) bool { return ab[i] && !bb[i] })
		check("clip", Clip(a, w), func(i int) bool { return ab[i] && in(i) })
		check("gaps", Gaps(a, w), func(i int) bool { return !ab[i] && in(i) })
		if got, want := Busy(a, w), Clip(a, w).Total(); got != want {
			t.Fatalf("busy %d, want %d", got, want)
		}
	})
}

func TestAttributeOwnsEveryInstantOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ss := spans(t, "spans")
		in := make([]Layered, len(ss))
		for i, s := range ss {
			in[i] = Layered{Span: s, Rank: rapid.Int32Range(0, 2).Draw(t, "rank"), Tag: int32(i)}
		}
		out := Attribute(in)
		owner := map[int64]int32{}
		var total int64
		for i, o := range out {
			if o.Empty() || (i > 0 && out[i-1].End > o.Start) {
				t.Fatalf("pieces are not ordered and disjoint: %v", out)
			}
			total += o.Dur()
			for x := o.Start; x < o.End; x++ {
				owner[x] = o.Tag
			}
		}
		if want := Union(ss).Total(); total != want {
			t.Fatalf("pieces sum to %d, the union to %d", total, want)
		}
		for x, tag := range owner {
			best := int32(-1)
			for i := range in {
				if !in[i].Contains(x) || in[i].Empty() {
					continue
				}
				if best < 0 || in[i].Rank > in[best].Rank || (in[i].Rank == in[best].Rank && in[i].Start < in[best].Start) {
					best = int32(i)
				}
			}
			if best != tag {
				t.Fatalf("instant %d belongs to %d, want %d", x, tag, best)
			}
		}
	})
}

func TestBins(t *testing.T) {
	got := Bins(Set{{5, 25}, {38, 100}}, 0, 10, 4)
	if diff := cmp.Diff([]int64{5, 10, 5, 2}, got); diff != "" {
		t.Error(diff)
	}
	if got := Bins(Set{{0, 5}}, 0, 0, 3); len(got) != 3 {
		t.Errorf("bins of width 0: %v", got)
	}
}

func TestUnionJoinsTouchingSpans(t *testing.T) {
	if diff := cmp.Diff(Set{{0, 10}, {12, 15}}, Union([]Span{{5, 10}, {12, 15}, {0, 5}, {7, 7}, {20, 10}})); diff != "" {
		t.Error(diff)
	}
}
