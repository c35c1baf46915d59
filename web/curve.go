package web

import (
	"math"
	"sort"

	"github.com/stepscope/stepscope/interval"
)

// curve is a value over time: samples of a counter, levels that hold until the next one, or the busy share of a set.
type curve struct {
	unit string
	max  float64 // of the scale, at least the largest value
	hold bool    // a value stands until the next; else it is a sample
	// interval is the usual distance of samples, ns: after four of them without a sample nothing is known.
	interval int64

	times  []int64
	value  func(i int) float64
	blocks []sampleBlock

	busy *interval.Mipmap // instead of samples: the share of time that is covered
}

// sampleBlock summarises blockSamples samples.
type sampleBlock struct{ min, max, sum float64 }

const blockSamples = 64

// newCurve prepares samples, whose times are sorted.
func newCurve(unit string, times []int64, value func(i int) float64) *curve {
	c := &curve{unit: unit, times: times, value: value, max: 0}
	for lo := 0; lo < len(times); lo += blockSamples {
		b := sampleBlock{math.Inf(1), math.Inf(-1), 0}
		for i := lo; i < min(lo+blockSamples, len(times)); i++ {
			v := value(i)
			b.min, b.max, b.sum = min(b.min, v), max(b.max, v), b.sum+v
		}
		c.blocks = append(c.blocks, b)
		c.max = max(c.max, b.max)
	}
	if unit == unitPercent {
		c.max = max(c.max, 100)
	}
	if n := len(times); n > 1 {
		c.interval = (times[n-1] - times[0]) / int64(n-1)
	}
	return c
}

// Units of curves; the front end knows how to print them.
const (
	unitPercent = "percent"
	unitBytes   = "bytes"
)

// newBusyCurve shows the share of time that s covers.
func newBusyCurve(s interval.Set) *curve {
	r := setRow(s)
	mip, err := interval.NewMipmap(r, 1)
	if err != nil {
		return nil
	}
	return &curve{unit: unitPercent, max: 100, busy: mip}
}

// setRow is an interval.Set as a Sequence of one tag.
type setRow interval.Set

func (s setRow) Len() int                        { return len(s) }
func (s setRow) At(i int) (interval.Span, uint8) { return s[i], 0 }

// point is the value of a curve in one bin.
type point struct {
	bin            int
	min, mean, max float64
}

// bins returns the values of the n bins of width ns from t0 on; bins without a sample are left out. before is the value
// that stood at t0, NaN if there was none.
func (c *curve) bins(t0, width int64, n int) (before float64, out []point) {
	if c.busy != nil {
		at := 0
		c.busy.Bins(t0, width, n, 0, func(b interval.Bin) {
			for ; at < b.Index; at++ {
				out = append(out, point{bin: at})
			}
			v := 100 * float64(b.Ns[0]) / float64(width)
			out = append(out, point{b.Index, v, v, v})
			at = b.Index + 1
		})
		for ; at < n; at++ {
			out = append(out, point{bin: at})
		}
		return math.NaN(), out
	}
	lo := sort.Search(len(c.times), func(i int) bool { return c.times[i] >= t0 })
	before = math.NaN()
	if lo > 0 && (c.hold || t0-c.times[lo-1] <= 4*c.interval) {
		before = c.value(lo - 1)
	}
	for b := 0; b < n && lo < len(c.times); b++ {
		if skip := (c.times[lo] - t0) / width; skip > int64(b) {
			b = int(min(skip, int64(n)))
			if b >= n {
				break
			}
		}
		end := t0 + int64(b+1)*width
		hi := lo + sort.Search(len(c.times)-lo, func(i int) bool { return c.times[lo+i] >= end })
		if hi > lo {
			out = append(out, c.summary(b, lo, hi))
		}
		lo = hi
	}
	return before, out
}

// summary describes samples [lo, hi) with hi > lo.
func (c *curve) summary(bin, lo, hi int) point {
	p := point{bin, math.Inf(1), 0, math.Inf(-1)}
	var sum float64
	scan := func(lo, hi int) {
		for i := lo; i < hi; i++ {
			v := c.value(i)
			p.min, p.max, sum = min(p.min, v), max(p.max, v), sum+v
		}
	}
	first, last := (lo+blockSamples-1)/blockSamples, hi/blockSamples
	if first >= last {
		scan(lo, hi)
	} else {
		scan(lo, first*blockSamples)
		for _, b := range c.blocks[first:last] {
			p.min, p.max, sum = min(p.min, b.min), max(p.max, b.max), sum+b.sum
		}
		scan(last*blockSamples, hi)
	}
	p.mean = sum / float64(hi-lo)
	return p
}
