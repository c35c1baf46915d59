package nsys

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stepscope/stepscope/profile"
)

// Whatever the order of the rows, the result is the stable sort of them.
func TestSorter(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var s sorter
	for name, at := range map[string]func(i, n int) int64{
		"sorted":     func(i, n int) int64 { return int64(i) },
		"equal":      func(i, n int) int64 { return 7 },
		"reversed":   func(i, n int) int64 { return int64(n - i) },
		"neighbours": func(i, n int) int64 { return int64(i ^ 1) },
		"two runs":   func(i, n int) int64 { return int64(i % (n/2 + 1)) },
		"few values": func(i, n int) int64 { return rng.Int64N(5) - 2 },
		"random":     func(i, n int) int64 { return rng.Int64N(1 << 40) },
		"extremes":   func(i, n int) int64 { return []int64{math.MinInt64, math.MaxInt64, 0, -1, 1}[rng.IntN(5)] },
	} {
		for _, n := range []int{0, 1, 2, 3, 64, 65, 1000, 5000} {
			start, row := make([]int64, n), make([]int32, n)
			for i := range start {
				start[i], row[i] = at(i, n), int32(i)
			}
			want := slices.Clone(row)
			slices.SortStableFunc(want, func(a, b int32) int { return cmp.Compare(start[a], start[b]) })
			r := s.sort(start)
			if (r == nil) != slices.IsSorted(start) {
				t.Fatalf("%s of %d: nothing to do: %v", name, n, r == nil)
			}
			rows := r.rows(nil, n)
			reorder(r, start)
			reorder(r, row)
			if !slices.Equal(row, want) || !slices.IsSorted(start) {
				t.Errorf("%s of %d: order %v, want %v", name, n, row[:min(n, 20)], want[:min(n, 20)])
			}
			for i := range rows {
				if rows[i] != uint32(want[i])+1 {
					t.Fatalf("%s of %d: row %d is %d, want %d", name, n, i, rows[i], want[i]+1)
				}
			}
		}
	}
	var none *reordering
	if rows := none.rows(profile.Rows{3}, 1); rows[0] != 3 {
		t.Error("rows of a sorted table must stay")
	}
}
