package interval

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// tagged is the simplest Sequence.
type tagged []struct {
	Span
	Tag uint8
}

func (t tagged) Len() int               { return len(t) }
func (t tagged) At(i int) (Span, uint8) { return t[i].Span, t[i].Tag }

const testTags = 3

// sequence draws enough spans to fill several blocks, with gaps, instants and neighbours that touch.
func sequence(t *rapid.T) tagged {
	n := rapid.SampledFrom([]int{0, 1, 2, 63, 64, 65, 200, 1100, 2500}).Draw(t, "n")
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
	out := make(tagged, n)
	at := int64(r.IntN(20)) - 10
	for i := range out {
		if r.IntN(3) > 0 {
			at += r.Int64N(6)
		}
		d := r.Int64N(5)
		if r.IntN(40) == 0 {
			d *= 50
		}
		out[i].Span, out[i].Tag = Span{at, at + d}, uint8(r.IntN(testTags))
		at += d
	}
	return out
}

// touches is the meaning of Find, span by span.
func touches(s, w Span) bool {
	return s.Overlaps(w) || s.Empty() && w.Contains(s.Start)
}

func window(t *rapid.T, m *Mipmap) Span {
	b := m.Bounds()
	lo := rapid.Int64Range(b.Start-20, b.End+20).Draw(t, "lo")
	return Span{lo, lo + rapid.Int64Range(0, b.Dur()+40).Draw(t, "length")}
}

func TestMipmapAgainstEverySpan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seq := sequence(t)
		m, err := NewMipmap(seq, testTags)
		if err != nil {
			t.Fatal(err)
		}
		w := window(t, m)
		d := rapid.Int64Range(0, 220).Draw(t, "d")
		var found, long []int
		want := make([]int64, testTags)
		for i, s := range seq {
			if touches(s.Span, w) {
				found = append(found, i)
				want[s.Tag] += s.Clip(w).Dur()
				if s.Dur() >= d {
					long = append(long, i)
				}
			}
		}
		if w.Empty() {
			found, long, want = nil, nil, make([]int64, testTags)
		}
		got := make([]int64, testTags)
		if n := m.Totals(w, got); n != len(found) {
			t.Fatalf("Totals counts %d spans of %v, want %d", n, w, len(found))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("totals of %v: %s", w, diff)
		}
		if lo, hi := m.Find(w); len(found) > 0 && (lo != found[0] || hi != found[len(found)-1]+1) {
			t.Fatalf("Find(%v) = %d, %d; want %d..%d", w, lo, hi, found[0], found[len(found)-1])
		}
		var gotLong []int
		m.Long(w, d, func(i int) bool { gotLong = append(gotLong, i); return true })
		if diff := cmp.Diff(long, gotLong); diff != "" {
			t.Fatalf("spans of %d ns and longer in %v: %s", d, w, diff)
		}
	})
}

// TestMipmapFindsAmongTies asks for every edge of spans among which many instants share a start, also across blocks.
func TestMipmapFindsAmongTies(t *testing.T) {
	seq := make(tagged, 3*blockSpans+5)
	r := rand.New(rand.NewPCG(5, 6))
	at := int64(0)
	for i := range seq {
		d := max(0, r.Int64N(12)-8)
		seq[i].Span = Span{at, at + d}
		if at += d; r.IntN(8) == 0 {
			at++
		}
	}
	// The first two edges of blocks lie among instants of one time.
	for i := blockSpans - 2; i < blockSpans+2; i++ {
		seq[i].Span = Span{seq[blockSpans+2].Start, seq[blockSpans+2].Start}
	}
	for i := 2*blockSpans - 1; i < 2*blockSpans+1; i++ {
		seq[i].Span = Span{seq[2*blockSpans+1].Start, seq[2*blockSpans+1].Start}
	}
	m, err := NewMipmap(seq, testTags)
	if err != nil {
		t.Fatal(err)
	}
	b := m.Bounds()
	for from := b.Start - 1; from <= b.End+1; from++ {
		for to := from + 1; to <= b.End+2; to++ {
			var want []int
			for i, s := range seq {
				if touches(s.Span, Span{from, to}) {
					want = append(want, i)
				}
			}
			lo, hi := m.Find(Span{from, to})
			if hi-lo != len(want) || len(want) > 0 && lo != want[0] {
				t.Fatalf("Find([%d, %d)) = %d, %d; want %v", from, to, lo, hi, want)
			}
		}
	}
}

func TestMipmapBinsAgainstEverySpan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seq := sequence(t)
		m, err := NewMipmap(seq, testTags)
		if err != nil {
			t.Fatal(err)
		}
		b := m.Bounds()
		t0 := rapid.Int64Range(b.Start-20, b.End+5).Draw(t, "t0")
		width := rapid.SampledFrom([]int64{1, 2, 7, 64, 500, 5000}).Draw(t, "width")
		n := rapid.IntRange(0, 80).Draw(t, "n")
		long := rapid.SampledFrom([]int64{0, 1, 2, 3, 100}).Draw(t, "long")
		limit := long
		if limit == 0 {
			limit = 1 << 62
		}
		var want, got []string
		for i := range n {
			w := Span{t0 + int64(i)*width, t0 + int64(i+1)*width}
			sums, starts, any := make([]int64, testTags), 0, false
			for _, s := range seq {
				if !touches(s.Span, w) || s.Dur() >= limit {
					continue
				}
				any = true
				sums[s.Tag] += s.Clip(w).Dur()
				if s.Start >= w.Start {
					starts++
				}
			}
			// A bin that only holds long spans may be left out or come empty.
			if any && (starts > 0 || slices.Max(sums) > 0) {
				want = append(want, fmt.Sprint(i, starts, sums))
			}
		}
		m.Bins(t0, width, n, long, func(b Bin) {
			if b.Starts > 0 || slices.Max(b.Ns) > 0 {
				got = append(got, fmt.Sprint(b.Index, b.Starts, b.Ns))
			}
		})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("bins: %s", diff)
		}
	})
}

func TestMipmapRefusesDisorder(t *testing.T) {
	for name, seq := range map[string]tagged{
		"overlap":  {{Span{0, 10}, 0}, {Span{9, 12}, 0}},
		"backward": {{Span{5, 4}, 0}},
		"tag":      {{Span{0, 1}, testTags}},
	} {
		if _, err := NewMipmap(seq, testTags); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// columns is a Sequence as large profiles have it.
type columns struct {
	start, dur []int64
	tag        []uint8
}

func (c *columns) Len() int { return len(c.start) }
func (c *columns) At(i int) (Span, uint8) {
	return Span{c.start[i], c.start[i] + c.dur[i]}, c.tag[i]
}

func millionSpans(n int) *columns {
	r := rand.New(rand.NewPCG(1, 2))
	c := &columns{make([]int64, n), make([]int64, n), make([]uint8, n)}
	at := int64(0)
	for i := range n {
		at += r.Int64N(3000)
		c.start[i], c.dur[i], c.tag[i] = at, 1000+r.Int64N(20000), uint8(r.IntN(20))
		at += c.dur[i]
	}
	return c
}

func BenchmarkNewMipmap(b *testing.B) {
	c := millionSpans(2_000_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewMipmap(c, 20); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMipmapBins(b *testing.B) {
	c := millionSpans(2_000_000)
	m, err := NewMipmap(c, 20)
	if err != nil {
		b.Fatal(err)
	}
	for _, width := range []int64{1 << 12, 1 << 16, 1 << 20, 1 << 24, 1 << 26} {
		b.Run(fmt.Sprint(width), func(b *testing.B) {
			t0 := m.Bounds().End / 3
			for b.Loop() {
				m.Bins(t0, width, 512, 2*width, func(Bin) {})
			}
		})
	}
}
