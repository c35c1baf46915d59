package summary

import (
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestDescribe(t *testing.T) {
	for _, tt := range []struct {
		v             []int64
		sum           int64
		avg, med, std float64
	}{
		{[]int64{7}, 7, 7, 7, 0},
		{[]int64{2971823, 333015608}, 335987431, 167993715.5, 167993715.5, 233376198.5}, // as nsys printed them
		{[]int64{3, 1, 2}, 6, 2, 2, 1},
		{[]int64{4, 1, 2, 3}, 10, 2.5, 2.5, 1.2909944487358056},
		{[]int64{5, 5, 5, 5}, 20, 5, 5, 0},
		{[]int64{0, 0}, 0, 0, 0, 0},
	} {
		s := describe(slices.Clone(tt.v))
		if s.n != len(tt.v) || s.sum != tt.sum || s.avg != tt.avg || s.med != tt.med || math.Abs(s.std-tt.std) > 0.05 {
			t.Errorf("%v: %+v", tt.v, s)
		}
		if s.min != slices.Min(tt.v) || s.max != slices.Max(tt.v) {
			t.Errorf("%v: min %d max %d", tt.v, s.min, s.max)
		}
	}
}

// TestStdDevExact holds stdDev to the same figure in exact arithmetic, on values whose sum of squares loses all digits.
func TestStdDevExact(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for round := range 300 {
		n := 2 + r.IntN(50)
		base := r.Int64N(1 << 50)
		spread := int64(1) << (1 + r.IntN(40))
		if round%10 == 0 {
			spread = 1 << 55
		}
		v := make([]int64, n)
		sum, sq := new(big.Int), new(big.Int)
		for i := range v {
			v[i] = base + r.Int64N(spread)
			x := big.NewInt(v[i])
			sum.Add(sum, x)
			sq.Add(sq, new(big.Int).Mul(x, x))
		}
		// variance = (n*sq - sum^2) / (n*(n-1))
		num := new(big.Int).Mul(sq, big.NewInt(int64(n)))
		num.Sub(num, new(big.Int).Mul(sum, sum))
		q := new(big.Float).SetPrec(200).Quo(new(big.Float).SetInt(num), new(big.Float).SetInt64(int64(n*(n-1))))
		want, _ := q.Sqrt(q).Float64()
		if got := describe(slices.Clone(v)).std; math.Abs(got-want) > 1e-9*want+1e-6 {
			t.Errorf("%d values near %d: got %v, want %v", n, base, got, want)
		}
	}
}

func TestMedianAgainstSort(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 2000 {
		n := 1 + r.IntN(300)
		v := make([]int64, n)
		for i := range v {
			switch round % 4 {
			case 0:
				v[i] = r.Int64N(5)
			case 1:
				v[i] = r.Int64()
			case 2:
				v[i] = int64(i)
			case 3:
				v[i] = int64(n - i)
			}
		}
		s := slices.Clone(v)
		slices.Sort(s)
		want := float64(s[n/2])
		if n%2 == 0 {
			want = (float64(s[n/2-1]) + float64(s[n/2])) / 2
		}
		if got := median(v); got != want {
			t.Fatalf("round %d: got %v, want %v", round, got, want)
		}
		slices.Sort(v)
		if !slices.Equal(v, s) {
			t.Fatal("median changed the values")
		}
	}
}

func TestSumSaturates(t *testing.T) {
	if s := describe([]int64{math.MaxInt64 / 2, math.MaxInt64 / 2, math.MaxInt64 / 2}); s.sum != math.MaxInt64 {
		t.Errorf("sum %d", s.sum)
	}
}

func TestPartition(t *testing.T) {
	got := partition([]int32{1, -1, 0, 1, 1}, 3, func(i int) int64 { return int64(i) })
	want := [][]int64{{2}, {0, 3, 4}, {}}
	for i := range want {
		if !slices.Equal(got[i], want[i]) {
			t.Errorf("group %d: %v", i, got[i])
		}
	}
}

func TestAppendFixed(t *testing.T) {
	for _, tt := range []struct {
		v      float64
		digits int
		want   string
	}{
		{0.25, 1, "0.3"}, {0.35, 1, "0.3"}, {4392.25, 1, "4392.3"}, {4392.75, 1, "4392.8"}, {-0.25, 1, "-0.3"}, {0.125, 2, "0.13"},
		{2.5, 0, "3"}, {0, 1, "0.0"}, {1e15 + 0.25, 1, "1000000000000000.3"}, {12.24, 1, "12.2"}, {0.0625, 3, "0.063"},
		{9.75, 1, "9.8"}, {9.96875, 4, "9.9688"}, {99.5, 0, "100"}, {-9.5, 0, "-10"}, {-99.75, 1, "-99.8"}, {223163.0 / 820, 1, "272.1"},
		{math.NaN(), 1, "NaN"}, {math.Inf(1), 1, "+Inf"},
	} {
		if got := string(appendFixed(nil, tt.v, tt.digits)); got != tt.want {
			t.Errorf("%v to %d digits: %s, want %s", tt.v, tt.digits, got, tt.want)
		}
	}
}
