package stat

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Sizes up to which benchstat computes instead of approximating: the interval of
// the median, and the U test with ties.
const (
	benchstatExactCI   = 30
	benchstatExactTies = 25
)

// A benchstatRow is what benchstat says about one benchmark in two files.
type benchstatRow struct {
	before, after     float64
	ciBefore, ciAfter string
	delta             string
	p                 float64
	n1, n2            int
}

// A pairOfSamples is one benchmark of the files that benchstat gets.
type pairOfSamples struct {
	name          string
	before, after []float64
}

// TestBenchstat gives the same samples to the benchstat command and to this package
// and compares the medians, their intervals, p, n and the decision. benchmath, the
// package behind it, is compared without the command in TestCompareAgreesWithBenchmath
// and TestSummaryAgreesWithBenchmath.
func TestBenchstat(t *testing.T) {
	bin := os.Getenv("STEPSCOPE_BENCHSTAT")
	if bin == "" {
		t.Skip("STEPSCOPE_BENCHSTAT does not name the benchstat command")
	}
	pairs := append(requestSamples(t), drawnSamples()...)
	rows := runBenchstat(t, bin, pairs)
	if len(rows) != len(pairs) {
		t.Fatalf("benchstat has %d rows, want %d", len(rows), len(pairs))
	}
	var significant, approximated, skew int
	for _, pair := range pairs {
		row, ok := rows[pair.name]
		if !ok {
			t.Errorf("%s: no row", pair.name)
			continue
		}
		a, b := NewSample(pair.before, AssumeNothing), NewSample(pair.after, AssumeNothing)
		c := Compare(a, b, Options{})
		if row.n1 != c.N1 || row.n2 != c.N2 {
			t.Errorf("%s: n %d+%d, benchstat %d+%d", pair.name, c.N1, c.N2, row.n1, row.n2)
		}
		if !near(c.Before, row.before, 1e-12) || !near(c.After, row.after, 1e-12) {
			t.Errorf("%s: medians %v and %v, benchstat %v and %v", pair.name, c.Before, c.After, row.before, row.after)
		}
		checkInterval(t, pair.name+" before", a, row.ciBefore)
		checkInterval(t, pair.name+" after", b, row.ciAfter)

		_, ties := rankSum(a.Values, b.Values)
		tied := len(ties) < c.N1+c.N2
		large := max(c.N1, c.N2)
		want := c.P
		switch {
		case tied && large > benchstatExactTies && large <= exactLimit:
			// Known difference: benchstat approximates, this package counts. With a
			// handful of values on one side that makes p 0.19 of 0.44.
			approximated++
			want = approximateP(a.Values, b.Values)
			if min(c.N1, c.N2) >= 20 && math.Abs(want-c.P) > 0.01 {
				t.Errorf("%s: exact p %v, approximation %v", pair.name, c.P, want)
			}
		case tied && c.N1 != c.N2 && large <= benchstatExactTies:
			// Known difference: benchstat doubles the lower tail of a distribution that
			// is not symmetric, whichever side it looked from.
			want = doubledTail(a.Values, b.Values)
			if math.Abs(want-c.P) > 0.001 {
				skew++
			}
		}
		// Three decimals are printed.
		if math.Abs(row.p-want) > 0.0005+1e-9 {
			t.Errorf("%s: p %.6f, benchstat %.3f", pair.name, want, row.p)
		}
		if got, theirs := c.FormatDelta() == "~", row.delta == "~"; want == c.P && got != theirs {
			t.Errorf("%s: delta %s, benchstat %s (p %v)", pair.name, c.FormatDelta(), row.delta, c.P)
		}
		if row.delta != "~" {
			significant++
		}
	}
	// A test of nothing but noise, or without the known differences, would show little.
	if significant < 20 || significant > len(pairs)-20 || approximated == 0 || skew == 0 {
		t.Errorf("of %d comparisons %d significant, %d approximated by benchstat, %d of skew distributions", len(pairs), significant, approximated, skew)
	}
	t.Logf("compared with benchstat: %d pairs of samples, %d of them significant; %d with ties that benchstat approximates, %d where it doubles the tail of a skew distribution",
		len(pairs), significant, approximated, skew)
}

// checkInterval holds the interval of the median against benchstat's, which is
// printed as the larger distance from the median in per cent of it.
func checkInterval(t *testing.T, name string, s *Sample, theirs string) {
	t.Helper()
	ours := s.Summary(0.95)
	got := rangePercent(ours.Center, ours.Lo, ours.Hi)
	if got == theirs {
		return
	}
	// Known differences of one order statistic: from 31 values on benchstat
	// approximates, and of two mirrored intervals of the same level its rounding
	// sometimes takes the right one.
	lo, hi, _ := quantileOrders(s.N(), 0.5, 0.95)
	moves := [][2]int{{1, 1}}
	if s.N() > benchstatExactCI {
		moves = append(moves, [2]int{-1, 0}, [2]int{1, 0}, [2]int{0, -1}, [2]int{0, 1}, [2]int{-1, 1}, [2]int{1, -1}, [2]int{-1, -1})
	}
	for _, m := range moves {
		if i, j := lo+m[0], hi+m[1]; i >= 1 && j <= s.N() && rangePercent(ours.Center, s.Values[i-1], s.Values[j-1]) == theirs {
			return
		}
	}
	t.Errorf("%s: n=%d, interval %s of the median, benchstat %s", name, s.N(), got, theirs)
}

func rangePercent(center, lo, hi float64) string {
	if math.IsInf(lo, 0) || math.IsInf(hi, 0) {
		return "∞"
	}
	return fmt.Sprintf("%.0f%%", 100*max(hi/center-1, 1-lo/center))
}

// approximateP is the two-sided normal approximation with tie and continuity
// correction.
func approximateP(a, b []float64) float64 {
	u2, ties := rankSum(a, b)
	n1, n2 := float64(len(a)), float64(len(b))
	n := n1 + n2
	var t float64
	for _, k := range ties {
		t += float64(k*k*k - k)
	}
	sigma := math.Sqrt(n1 * n2 / 12 * (n + 1 - t/(n*(n-1))))
	if sigma == 0 {
		return 1
	}
	return math.Erfc(max(math.Abs(float64(u2)/2-n1*n2/2)-0.5, 0) / sigma / math.Sqrt2)
}

// doubledTail is twice P(U <= u) of the first sample's U with u the smaller of the
// two samples' U.
func doubledTail(a, b []float64) float64 {
	u2, ties := rankSum(a, b)
	if whole := 2 * len(a) * len(b); len(ties) == 1 || 2*u2 == whole {
		return 1
	} else {
		u2 = min(u2, whole-u2)
	}
	return 2 * newUDist(len(a), len(b), ties).lower(u2)
}

// requestSamples returns latencies of real requests: vLLM 0.24 on an H100, before and
// after one changed flag, and of two starts of one command. All of a run, and its
// first twenty, which are few enough for benchstat to be exact.
func requestSamples(t *testing.T) []pairOfSamples {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "h100.json"))
	if err != nil {
		t.Fatal(err)
	}
	var runs []struct {
		Try    string
		Metric string
		Before []float64 `json:"before_ms"`
		After  []float64 `json:"after_ms"`
	}
	if err := json.Unmarshal(data, &runs); err != nil {
		t.Fatal(err)
	}
	tenths := func(v []float64) []float64 {
		out := make([]float64, len(v))
		for i := range v {
			out[i] = math.Round(10*v[i]) / 10
		}
		return out
	}
	var out []pairOfSamples
	for _, r := range runs {
		name := r.Try + "/" + r.Metric
		out = append(out,
			pairOfSamples{name + "/all", r.Before, r.After},
			pairOfSamples{name + "/20", r.Before[:20], r.After[:20]},
			pairOfSamples{name + "/12+20", r.Before[:12], r.After[:20]},
			// Latencies that another tool printed with one decimal have ties.
			pairOfSamples{name + "/tenths", tenths(r.Before), tenths(r.After)},
			pairOfSamples{name + "/tenths-20", tenths(r.Before[:20]), tenths(r.After[:20])},
			pairOfSamples{name + "/tenths-9+17", tenths(r.Before[:9]), tenths(r.After[:17])})
	}
	return out
}

// drawnSamples returns random samples of many sizes, with ties and without, and
// samples whose printed interval tells which order statistics it consists of.
func drawnSamples() []pairOfSamples {
	rng := rand.New(rand.NewPCG(13, 14))
	draw := func(n int, shift, grain float64) []float64 {
		v := make([]float64, n)
		for i := range v {
			v[i] = 10 * math.Exp(0.3*rng.NormFloat64()+shift)
			if grain > 0 {
				v[i] = max(math.Round(v[i]/grain), 1) * grain
			}
		}
		return v
	}
	var out []pairOfSamples
	sizes := []int{1, 2, 3, 4, 5, 6, 8, 13, 20, 25, 26, 30, 31, 40, 50, 51, 80}
	for _, n1 := range sizes {
		for _, n2 := range sizes {
			for _, shift := range []float64{0, 0.2, 0.6} {
				name := fmt.Sprintf("drawn/%d+%d/%v", n1, n2, shift)
				out = append(out, pairOfSamples{name, draw(n1, 0, 0), draw(n2, shift, 0)},
					pairOfSamples{name + "/tied", draw(n1, 0, 2), draw(n2, shift, 2)})
			}
		}
	}
	for n := 2; n <= 60; n++ {
		low, high := make([]float64, n), make([]float64, n)
		for i := range n {
			// The distance to the centre is of the upper bound in one sample and of the
			// lower bound in the other, each with its own percentage.
			high[i] = 1 + 0.2*float64(i*i)/float64(n)
			low[i] = 1000 - 900*math.Pow(1-float64(i)/float64(n), 2)
		}
		out = append(out, pairOfSamples{fmt.Sprintf("orders/%d", n), high, low})
	}
	out = append(out, pairOfSamples{"equal", []float64{5, 5, 5, 5}, []float64{5, 5, 5, 5}})
	return out
}

// runBenchstat writes the samples in Go's benchmark format and returns benchstat's rows
// by benchmark.
func runBenchstat(t *testing.T, bin string, pairs []pairOfSamples) map[string]benchstatRow {
	t.Helper()
	dir := t.TempDir()
	write := func(file string, side func(pairOfSamples) []float64) string {
		var b bytes.Buffer
		for _, p := range pairs {
			for _, v := range side(p) {
				fmt.Fprintf(&b, "Benchmark%s 1 %s ms\n", p.name, strconv.FormatFloat(v, 'g', -1, 64))
			}
		}
		path := filepath.Join(dir, file)
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	before := write("before", func(p pairOfSamples) []float64 { return p.before })
	after := write("after", func(p pairOfSamples) []float64 { return p.after })
	var stderr bytes.Buffer
	cmd := exec.Command(bin, "-format", "csv", before, after)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", bin, err, stderr.Bytes())
	}
	r := csv.NewReader(bytes.NewReader(out))
	r.FieldsPerRecord = -1
	records, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	head := slices.IndexFunc(records, func(f []string) bool { return slices.Equal(f, strings.Split(",ms,CI,ms,CI,vs base,P", ",")) })
	if head < 0 {
		t.Fatalf("benchstat's output has no table of ms:\n%.500s", out)
	}
	rows := make(map[string]benchstatRow)
	for _, f := range records[head+1:] {
		if f[0] == "geomean" {
			break
		}
		var row benchstatRow
		row.ciBefore, row.ciAfter, row.delta = f[2], f[4], f[5]
		if row.before, err = strconv.ParseFloat(f[1], 64); err != nil {
			t.Fatalf("%v: %v", f, err)
		}
		if row.after, err = strconv.ParseFloat(f[3], 64); err != nil {
			t.Fatalf("%v: %v", f, err)
		}
		for _, part := range strings.Fields(f[6]) { // p is left out when it is 0
			key, value, _ := strings.Cut(part, "=")
			switch key {
			case "p":
				if row.p, err = strconv.ParseFloat(value, 64); err != nil {
					t.Fatalf("%v: %v", f, err)
				}
			case "n":
				first, second, two := strings.Cut(value, "+")
				if !two {
					second = first
				}
				if row.n1, err = strconv.Atoi(first); err != nil {
					t.Fatalf("%v: %v", f, err)
				}
				if row.n2, err = strconv.Atoi(second); err != nil {
					t.Fatalf("%v: %v", f, err)
				}
			}
		}
		rows[f[0]] = row
	}
	return rows
}
