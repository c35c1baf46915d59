package compare

import (
	"fmt"
	"math"
	"slices"

	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/stat"
)

// latency is one latency of a benchmark result.
type latency struct {
	name, title string
	of          func(*serving.Bench) serving.Distribution
	noise       func(Thresholds) float64
}

var latencies = []latency{
	{"ttft", "time to first token", func(b *serving.Bench) serving.Distribution { return b.TTFT }, func(t Thresholds) float64 { return t.NoiseTTFT }},
	{"tpot", "time per output token", func(b *serving.Bench) serving.Distribution { return b.TPOT }, func(t Thresholds) float64 { return t.NoiseBench }},
	{"itl", "inter-token latency", func(b *serving.Bench) serving.Distribution { return b.ITL }, func(t Thresholds) float64 { return t.NoiseBench }},
	{"e2e", "request latency", func(b *serving.Bench) serving.Distribution { return b.E2E }, func(t Thresholds) float64 { return t.NoiseBench }},
}

// compareBench compares the unprofiled bursts.
func (c *comparer) compareBench() {
	b, a := c.before.bench(), c.after.bench()
	if b == nil || a == nil {
		return
	}
	f := family{t: c.t}
	noise := func(base float64) (float64, string) {
		if c.hostBound < 0 {
			return base, "how much of the time is the host's is not known; a GPU-bound server repeats within less, a host-bound one within more"
		}
		n := c.t.NoiseGPU*(1-c.hostBound) + c.t.NoiseHost*c.hostBound
		if base > n {
			return base, ""
		}
		return n, fmt.Sprintf("host time is %.0f %% of the steps' wall", 100*c.hostBound)
	}
	min, why := noise(c.t.NoiseBench)
	c.throughput(&f, b, a, min, why)
	for _, l := range latencies {
		min, why := noise(l.noise(c.t))
		s := spec{group: Benchmark, name: l.name + "_ms", title: l.title, unit: "ms", min: min, allowance: why, factor: true}
		c.latency(&f, s, l, b, a)
	}
	if f1, f2 := b.Failed, a.Failed; f1.Known && f2.Known {
		n1, n2 := float64(b.Completed.Or(0)+f1.Value), float64(a.Completed.Or(0)+f2.Value)
		if n1 > 0 && n2 > 0 {
			f.counts(spec{group: Benchmark, name: "failed_requests", title: "failed requests", unit: "requests"}, f1.Value, f2.Value, n1, n2)
		}
	}
	c.out.Metrics = append(c.out.Metrics, f.judge()...)
}

// throughput compares output tokens per second. The rate of a run is one number; in a closed loop it is the sum of what
// the clients get, so the requests' own rates can be tested for it.
func (c *comparer) throughput(f *family, b, a *serving.Bench, min float64, why string) {
	s := spec{group: Benchmark, name: "output_tokens_per_s", title: "output tokens per second", unit: "1/s", dir: stat.HigherIsBetter, min: min, allowance: why, factor: true}
	x, y := b.OutputRate, a.OutputRate
	if x.Known && y.Known {
		rb, ra := clientRates(b), clientRates(a)
		if len(rb) > 1 && len(ra) > 1 {
			f.series(s, rb, ra, mean, "run")
			m := &f.rows[len(f.rows)-1].m
			m.Before.Center, m.After.Center = x.Value, y.Value
			m.Before.Lo, m.Before.Hi, m.After.Lo, m.After.Hi = nil, nil, nil, nil
			m.Warnings = append(m.Warnings, stat.Warning{ID: stat.WarnAssumption, Text: "tested on each request's tokens per second times the clients: in a closed loop they add up to the rate"})
		} else {
			f.single(s, x.Value, y.Value, int(b.Completed.Or(0)), int(a.Completed.Or(0)), "run")
		}
	}
	if x, y := b.RequestRateDone, a.RequestRateDone; x.Known && y.Known && !(b.OutputRate.Known && a.OutputRate.Known) {
		s.name, s.title = "requests_per_s", "requests per second"
		f.single(s, x.Value, y.Value, int(b.Completed.Or(0)), int(a.Completed.Or(0)), "run")
	}
	if x, y := b.Goodput, a.Goodput; x.Known && y.Known {
		s.name, s.title = "goodput_requests_per_s", "requests within the bounds per second"
		f.single(s, x.Value, y.Value, int(b.Completed.Or(0)), int(a.Completed.Or(0)), "run")
	}
	if x, y := perGPU(b, c.before), perGPU(a, c.after); x > 0 && y > 0 && gpus(c.before) != gpus(c.after) {
		s.name, s.title = "output_tokens_per_s_per_gpu", "output tokens per second and GPU"
		f.single(s, x, y, int(b.Completed.Or(0)), int(a.Completed.Or(0)), "run")
	}
}

// clientRates are the requests' output tokens per second times the number of clients, in order of start; nil for an open
// loop, where the rate is what was sent.
func clientRates(b *serving.Bench) []float64 {
	clients := b.MaxConcurrency
	if !clients.Known || b.RequestRate.Known && !math.IsInf(b.RequestRate.Value, 1) {
		return nil
	}
	var out []float64
	for _, r := range byStart(b.Requests) {
		if !r.Failed && r.E2ENS > 0 && r.OutputTokens > 0 {
			out = append(out, float64(clients.Value)*float64(r.OutputTokens)/(float64(r.E2ENS)/1e9))
		}
	}
	return out
}

func byStart(r []serving.Request) []serving.Request {
	out := slices.Clone(r)
	slices.SortStableFunc(out, func(x, y serving.Request) int {
		switch {
		case x.StartNS < y.StartNS:
			return -1
		case x.StartNS > y.StartNS:
			return 1
		}
		return 0
	})
	return out
}

func gpus(s *side) int64 {
	if s.Run == nil {
		return 0
	}
	e := s.Run.Engine
	if !e.TensorParallel.Known && !e.PipelineParallel.Known && !e.DataParallel.Known {
		return 0
	}
	return e.TensorParallel.Or(1) * e.PipelineParallel.Or(1) * e.DataParallel.Or(1)
}

func perGPU(b *serving.Bench, s *side) float64 {
	n := gpus(s)
	if n == 0 || !b.OutputRate.Known {
		return 0
	}
	return b.OutputRate.Value / float64(n)
}

// latency compares the middle and the tail of one latency: with a test where both results kept their requests.
func (c *comparer) latency(f *family, s spec, l latency, b, a *serving.Bench) {
	x, y := l.of(b), l.of(a)
	sx, sy := samples(l, b, x), samples(l, a, y)
	tail := s
	tail.min = math.Max(c.t.NoiseTail, s.min)
	if len(sx) > 1 && len(sy) > 1 {
		f.series(s, sx, sy, middle, "median")
		m := &f.rows[len(f.rows)-1].m
		center(&m.Before, x)
		center(&m.After, y)
		for _, p := range []float64{95, 99} {
			tail.name, tail.title = fmt.Sprintf("p%g_%s", p, s.name), fmt.Sprintf("%s, p%g", s.title, p)
			f.tail(tail, x.Samples, y.Samples, p)
		}
		return
	}
	n1, n2 := int(b.Completed.Or(x.N.Or(1))), int(a.Completed.Or(y.N.Or(1)))
	if mx, my := x.Percentile(50), y.Percentile(50); mx.Known && my.Known {
		f.single(s, mx.Value, my.Value, n1, n2, "median")
	} else if x.Median.Known && y.Median.Known {
		f.single(s, x.Median.Value, y.Median.Value, n1, n2, "median")
	} else if x.Mean.Known && y.Mean.Known {
		f.single(s, x.Mean.Value, y.Mean.Value, n1, n2, "mean")
	}
	for _, p := range []float64{95, 99} {
		if px, py := x.Percentile(p), y.Percentile(p); px.Known && py.Known {
			tail.name, tail.title = fmt.Sprintf("p%g_%s", p, s.name), fmt.Sprintf("%s, p%g", s.title, p)
			f.single(tail, px.Value, py.Value, n1, n2, fmt.Sprintf("p%g", p))
		}
	}
}

// center replaces a median of blocks by the recorded median of all values, which is what people look for.
func center(v *Value, d serving.Distribution) {
	m := d.Median
	if !m.Known {
		m = d.Percentile(50)
	}
	if !m.Known {
		return
	}
	v.Center = m.Value
	if v.Lo != nil && *v.Lo > m.Value || v.Hi != nil && *v.Hi < m.Value {
		v.Lo, v.Hi = nil, nil // the interval is that of block medians
	}
}

// samples are the values of one latency in order of time. Gaps between tokens are put together by request: those of one
// request follow each other, and those of one step are the same for every request in it.
func samples(l latency, b *serving.Bench, d serving.Distribution) []float64 {
	if l.name != "itl" || len(d.Samples) < 2 {
		return d.Samples
	}
	var out []float64
	at := 0
	for _, r := range b.Requests {
		n := int(r.OutputTokens) - 1
		if r.Failed || n < 1 {
			continue
		}
		if at+n > len(d.Samples) {
			out = nil // chunks of several tokens: lengths are not those of the requests
			break
		}
		out = append(out, middle(d.Samples[at:at+n]))
		at += n
	}
	if at == len(d.Samples) && len(out) > 1 {
		return out
	}
	want := max(2, len(b.Requests))
	per := max(1, (len(d.Samples)+want-1)/want)
	out = nil
	for at := 0; at+per <= len(d.Samples); at += per {
		out = append(out, middle(d.Samples[at:at+per]))
	}
	return out
}
