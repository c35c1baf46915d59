package web

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/stepscope/stepscope/interval"
)

func TestCurveBinsAgainstEverySample(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{0, 1, 63, 64, 65, 700}).Draw(t, "n")
		times := make([]int64, n)
		values := make([]float64, n)
		at := rapid.Int64Range(-50, 50).Draw(t, "from")
		for i := range times {
			at += rapid.Int64Range(0, 9).Draw(t, "gap")
			times[i], values[i] = at, float64(rapid.IntRange(-5, 100).Draw(t, "value"))
		}
		c := newCurve("count", times, func(i int) float64 { return values[i] })
		c.hold = rapid.Bool().Draw(t, "hold")
		t0 := rapid.Int64Range(-60, 4000).Draw(t, "t0")
		width := rapid.SampledFrom([]int64{1, 3, 100, 2000}).Draw(t, "width")
		before, got := c.bins(t0, width, 40)
		k := 0
		for b := range 40 {
			var in []float64
			for i, x := range times {
				if x >= t0+int64(b)*width && x < t0+int64(b+1)*width {
					in = append(in, values[i])
				}
			}
			if len(in) == 0 {
				continue
			}
			if k >= len(got) || got[k].bin != b {
				t.Fatalf("bin %d is missing", b)
			}
			var sum float64
			for _, v := range in {
				sum += v
			}
			if p := got[k]; p.min != slices.Min(in) || p.max != slices.Max(in) || math.Abs(p.mean-sum/float64(len(in))) > 1e-9 {
				t.Fatalf("bin %d: %+v of %v", b, p, in)
			}
			k++
		}
		if k != len(got) {
			t.Fatalf("%d bins, want %d", len(got), k)
		}
		last := -1
		for i, x := range times {
			if x < t0 {
				last = i
			}
		}
		switch {
		case last < 0:
			if !math.IsNaN(before) {
				t.Fatalf("before the first sample stands %v", before)
			}
		case c.hold || t0-times[last] <= 4*c.interval:
			if before != values[last] {
				t.Fatalf("before is %v, want %v", before, values[last])
			}
		default:
			if !math.IsNaN(before) {
				t.Fatalf("a sample long ago still stands: %v", before)
			}
		}
	})
}

func TestBusyCurve(t *testing.T) {
	c := newBusyCurve(interval.Set{{Start: 10, End: 30}, {Start: 35, End: 40}})
	_, got := c.bins(0, 10, 6)
	for b, want := range []float64{0, 100, 100, 50, 0, 0} {
		if got[b].mean != want {
			t.Errorf("bin %d: %v %%, want %v", b, got[b].mean, want)
		}
	}
}
