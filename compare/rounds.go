package compare

import (
	"fmt"
	"slices"

	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/stat"
)

// A Start is one start of a server with the bursts that it served, in order of time.
type Start struct {
	Runs  []*serving.Run
	Usage *Usage // over the bursts; nil = not sampled
}

// A Round is one repeat of an A/B experiment: a start of the server as it was and one with the change, next to each other
// in time. A side without runs did not get that far.
type Round struct {
	Before, After Start
}

// runMetric is a number that every burst has.
type runMetric struct {
	group       Group
	name, title string
	unit        string
	dir         stat.Direction
	tail        bool
	neutral     bool
	of          func(*serving.Run) serving.Fact[float64]
}

func benchFact(f func(*serving.Bench) serving.Fact[float64]) func(*serving.Run) serving.Fact[float64] {
	return func(r *serving.Run) serving.Fact[float64] {
		if r.Bench == nil {
			return serving.Fact[float64]{}
		}
		return f(r.Bench)
	}
}

func deltaFact(f func(*serving.MetricsDelta) serving.Fact[float64]) func(*serving.Run) serving.Fact[float64] {
	return func(r *serving.Run) serving.Fact[float64] {
		if r.Delta == nil {
			return serving.Fact[float64]{}
		}
		return f(r.Delta)
	}
}

// runMetrics lists what is compared over repeated runs; names are those of single runs.
func runMetrics() []runMetric {
	out := []runMetric{
		{Benchmark, "output_tokens_per_s", "output tokens per second", "1/s", stat.HigherIsBetter, false, false, benchFact(func(b *serving.Bench) serving.Fact[float64] { return b.OutputRate })},
		{Benchmark, "goodput_requests_per_s", "requests within the bounds per second", "1/s", stat.HigherIsBetter, false, false, benchFact(func(b *serving.Bench) serving.Fact[float64] { return b.Goodput })},
	}
	for _, l := range latencies {
		out = append(out, runMetric{Benchmark, l.name + "_ms", l.title, "ms", stat.LowerIsBetter, false, false,
			benchFact(func(b *serving.Bench) serving.Fact[float64] { return middleOf(l.of(b)) })})
		for _, p := range []float64{95, 99} {
			out = append(out, runMetric{Benchmark, fmt.Sprintf("p%g_%s_ms", p, l.name), fmt.Sprintf("%s, p%g", l.title, p), "ms", stat.LowerIsBetter, true, false,
				benchFact(func(b *serving.Bench) serving.Fact[float64] { return l.of(b).Percentile(p) })})
		}
	}
	return append(out,
		runMetric{Server, "queue_ms", "time in the queue", "ms", stat.LowerIsBetter, true, false, deltaFact(func(d *serving.MetricsDelta) serving.Fact[float64] { return scale(d.Queue.Mean(), 1e3) })},
		runMetric{Server, "tokens_per_step", "tokens per step", "tokens", stat.HigherIsBetter, false, true, deltaFact(func(d *serving.MetricsDelta) serving.Fact[float64] { return d.TokensPerStep.Mean() })},
		runMetric{Server, "prefix_hit_share", "prefix cache hits", "share", stat.HigherIsBetter, false, true, deltaFact(func(d *serving.MetricsDelta) serving.Fact[float64] { return over(d.PrefixHits, d.PrefixQueries) })},
		runMetric{Server, "draft_accepted_share", "accepted draft tokens", "share", stat.HigherIsBetter, false, false, deltaFact(func(d *serving.MetricsDelta) serving.Fact[float64] { return over(d.AcceptedDraft, d.DraftTokens) })},
	)
}

// middleOf is the median of a latency, its mean where no median is recorded.
func middleOf(d serving.Distribution) serving.Fact[float64] {
	if m := d.Percentile(50); m.Known {
		return m
	}
	if d.Median.Known {
		return d.Median
	}
	return d.Mean
}

// RunValues returns one value of a metric for each start of either side, the median over its bursts, in the order made.
// The name is that of a Metric of group Benchmark or Server.
func RunValues(rounds []Round, name string) (before, after []float64, dir stat.Direction, ok bool) {
	all := runMetrics()
	i := slices.IndexFunc(all, func(m runMetric) bool { return m.name == name })
	if i < 0 {
		return nil, nil, 0, false
	}
	m := all[i]
	before, after = starts(rounds, func(s Start) (float64, bool) { return startValue(s, m.of) })
	return before, after, m.dir, true
}

// starts collects one number of each start, where it has one, in the order made.
func starts(rounds []Round, of func(Start) (float64, bool)) (before, after []float64) {
	for _, r := range rounds {
		if v, ok := of(r.Before); ok {
			before = append(before, v)
		}
		if v, ok := of(r.After); ok {
			after = append(after, v)
		}
	}
	return before, after
}

// startValue is the median of a number over a start's bursts.
func startValue(s Start, of func(*serving.Run) serving.Fact[float64]) (float64, bool) {
	var v []float64
	for _, r := range s.Runs {
		if f := of(r); f.Known {
			v = append(v, f.Value)
		}
	}
	if len(v) == 0 {
		return 0, false
	}
	return middle(v), true
}

// Rounds compares repeated runs: one value a start of the server, which is what was repeated. With six starts a side or
// so, the number that a rank test needs after correction for the number of metrics, the test assumes nothing; fewer are
// compared by a t test of their logarithms with the spreads pooled, which a warning says; with one start a side its bursts
// stand in. before and after carry everything else that is known of the sides.
func Rounds(before, after Side, rounds []Round, o Options) *Comparison {
	c := newComparer(before, after, o)
	c.goal = o.Goal
	c.t.NoiseTail = max(c.t.Repeats, c.t.NoiseBench) // for the tails of repeated runs
	var nb, na int
	for _, r := range rounds {
		if len(r.Before.Runs) > 0 {
			nb++
		}
		if len(r.After.Runs) > 0 {
			na++
		}
	}
	switch n := min(nb, na); {
	case n == 1:
		c.warn("one-start", "one start a side: what another start of the same server would change is not known")
	case n > 1 && !rankDecides(nb, na, len(runMetrics()), c.t.Alpha):
		c.warn(stat.WarnAssumption, "%d starts a side: the t test takes it that both sides spread alike in per cent, which so few cannot show", n)
	}
	c.runRows(rounds)
	c.startRows(rounds)
	if c.before.p != nil && c.after.p != nil {
		c.hostBound = max(1-c.before.p.busyShare(), 1-c.after.p.busyShare())
		c.compareProfiles(o.Kernels)
	}
	c.finish()
	return c.out
}

// runRows compares what every burst measured.
func (c *comparer) runRows(rounds []Round) {
	rows := map[Group]*family{}
	var order []Group
	for _, m := range runMetrics() {
		f := rows[m.group]
		if f == nil {
			f = &family{t: c.t, goal: c.goal}
			rows[m.group], order = f, append(order, m.group)
			for _, o := range runMetrics() {
				if o.group == m.group {
					f.size++
				}
			}
		}
		s := spec{group: m.group, name: m.name, title: m.title, unit: m.unit, dir: m.dir, min: c.t.Repeats, neutral: m.neutral, factor: !m.neutral}
		if m.tail {
			s.min = c.t.NoiseTail
		}
		c.repeated(f, s, rounds, m.of)
	}
	var failed, preempted [2]int64
	var n, finished [2]float64
	known := [2]bool{true, true}
	for _, r := range rounds {
		for i, st := range []Start{r.Before, r.After} {
			for _, run := range st.Runs {
				if run.Bench != nil {
					failed[i] += run.Bench.Failed.Or(0)
					n[i] += float64(run.Bench.Failed.Or(0) + run.Bench.Completed.Or(0))
				}
				if run.Delta == nil || !run.Delta.Preemptions.Known {
					known[i] = false
					continue
				}
				preempted[i] += int64(run.Delta.Preemptions.Value)
				finished[i] += run.Delta.Requests.Or(0)
			}
		}
	}
	if n[0] > 0 && n[1] > 0 {
		rows[Benchmark].counts(spec{group: Benchmark, name: "failed_requests", title: "failed requests", unit: "requests"}, failed[0], failed[1], n[0], n[1])
	}
	if known[0] && known[1] && finished[0] > 0 && finished[1] > 0 {
		rows[Server].counts(spec{group: Server, name: "preemptions", title: "preemptions", unit: "preemptions"}, preempted[0], preempted[1], finished[0], finished[1])
	}
	for _, g := range order {
		c.out.Metrics = append(c.out.Metrics, rows[g].judge()...)
	}
}

// repeated compares one number a start; with one start a side, one a burst.
func (c *comparer) repeated(f *family, s spec, rounds []Round, of func(*serving.Run) serving.Fact[float64]) {
	x, y := starts(rounds, func(s Start) (float64, bool) { return startValue(s, of) })
	dependent := false
	if len(x) == 1 && len(y) == 1 {
		if bx, by := burstValues(rounds, of, false), burstValues(rounds, of, true); len(bx) > 1 && len(by) > 1 {
			x, y, dependent = bx, by, true
			s.min = max(s.min, c.t.NoiseBench)
		}
	}
	f.runs(s, x, y, dependent)
}

func burstValues(rounds []Round, of func(*serving.Run) serving.Fact[float64], after bool) (out []float64) {
	for _, r := range rounds {
		st := r.Before
		if after {
			st = r.After
		}
		for _, run := range st.Runs {
			if v := of(run); v.Known {
				out = append(out, v.Value)
			}
		}
	}
	return out
}

// runs compares run-level values.
func (f *family) runs(s spec, x, y []float64, dependent bool) {
	switch {
	case len(x) == 0 || len(y) == 0:
		return
	case len(x) == 1 || len(y) == 1:
		s.min = max(s.min, f.t.NoiseBench)
		f.single(s, middle(x), middle(y), len(x), len(y), "run")
		return
	}
	assume, label := stat.AssumeNothing, "median"
	tests := f.size
	if f.isGoal(s.name) {
		tests = 1
	}
	if !rankDecides(len(x), len(y), tests, f.t.Alpha) {
		assume, label = stat.AssumeRelative, "geometric mean"
	}
	a, b := stat.NewSample(x, assume), stat.NewSample(y, assume)
	m := s.metric()
	m.Before, m.After = value(a.Summary(0.95), label), value(b.Summary(0.95), label)
	cmp := stat.Compare(a, b, stat.Options{Alpha: f.t.Alpha, Dependent: dependent})
	for _, w := range cmp.Warnings {
		if w.ID != stat.WarnAllEqual && w.ID != stat.WarnAssumption {
			m.Warnings = append(m.Warnings, w)
		}
	}
	f.rows = append(f.rows, judged{m: m, spec: s, c: cmp})
}

// perToken is the mean of a series in each start's bursts per output token and second: cores in use or watts alone say
// nothing when the same server makes three times the tokens.
func perToken(rounds []Round, scale float64, series func(*Usage) []float64) (x, y []float64) {
	rate := benchFact(func(b *serving.Bench) serving.Fact[float64] { return b.OutputRate })
	return starts(rounds, func(s Start) (float64, bool) {
		tokens, ok := startValue(s, rate)
		if !ok || tokens <= 0 || s.Usage == nil || len(series(s.Usage)) == 0 {
			return 0, false
		}
		return scale * mean(series(s.Usage)) / tokens, true
	})
}

// rankDecides reports whether a rank test of n1 and n2 values can reach alpha after correction for a family of tests: its
// smallest two-sided p is 2/C(n1+n2, n1).
func rankDecides(n1, n2, tests int, alpha float64) bool {
	ways := 1.0
	for i := range min(n1, n2) {
		ways *= float64(n1+n2-i) / float64(i+1)
	}
	return 2/ways*float64(max(tests, 1)) <= alpha
}

// startRows compares what every start has once: memory, capacity, start-up, processor time.
func (c *comparer) startRows(rounds []Round) {
	mem, start, cpu := family{t: c.t, size: 2}, family{t: c.t, size: 1}, family{t: c.t, size: 6}
	engine := func(of func(*serving.EngineInfo) serving.Fact[float64]) (x, y []float64) {
		return starts(rounds, func(s Start) (float64, bool) {
			for _, r := range s.Runs {
				if v := of(&r.Engine); v.Known {
					return v.Value, true
				}
			}
			return 0, false
		})
	}
	for _, m := range []struct {
		name, title, unit string
		dir               stat.Direction
		abs               float64
		of                func(*serving.EngineInfo) serving.Fact[float64]
	}{
		{"weights_gib", "weights per GPU", "GiB", stat.LowerIsBetter, minGiB, func(e *serving.EngineInfo) serving.Fact[float64] { return e.WeightsGiB }},
		{"kv_cache_gib", "KV cache per GPU", "GiB", stat.HigherIsBetter, minGiB, func(e *serving.EngineInfo) serving.Fact[float64] { return e.KVCacheGiB }},
		{"graph_memory_gib", "CUDA graphs per GPU", "GiB", stat.LowerIsBetter, minGiB, func(e *serving.EngineInfo) serving.Fact[float64] { return e.GraphMemoryGiB }},
		{"kv_cache_tokens", "KV cache capacity", "tokens", stat.HigherIsBetter, 0, func(e *serving.EngineInfo) serving.Fact[float64] {
			return serving.Fact[float64]{Value: float64(e.KVCacheTokens.Value), Known: e.KVCacheTokens.Known}
		}},
	} {
		x, y := engine(m.of)
		if len(x) > 0 && len(y) > 0 {
			mem.exact(spec{group: Memory, name: m.name, title: m.title, unit: m.unit, dir: m.dir, min: c.t.Exact, abs: m.abs}, middle(x), middle(y))
		}
	}
	usage := func(of func(*Usage) (float64, bool)) (x, y []float64) {
		return starts(rounds, func(s Start) (float64, bool) {
			if s.Usage == nil {
				return 0, false
			}
			return of(s.Usage)
		})
	}
	meanOf := func(series func(*Usage) []float64) func(*Usage) (float64, bool) {
		return func(u *Usage) (float64, bool) { v := series(u); return mean(v), len(v) > 0 }
	}
	peakOf := func(series func(*Usage) []float64) func(*Usage) (float64, bool) {
		return func(u *Usage) (float64, bool) {
			v := series(u)
			if len(v) == 0 {
				return 0, false
			}
			return slices.Max(v) / gib, true
		}
	}
	x, y := usage(peakOf(func(u *Usage) []float64 { return u.GPUMemBytes }))
	mem.runs(spec{group: Memory, name: "gpu_memory_peak_gib", title: "GPU memory, peak", unit: "GiB", min: c.t.Repeats, abs: minGiB}, x, y, false)
	x, y = usage(peakOf(func(u *Usage) []float64 { return u.HostBytes }))
	mem.runs(spec{group: Memory, name: "host_memory_peak_gib", title: "host memory, peak", unit: "GiB", min: c.t.NoiseBench, abs: minGiB}, x, y, false)
	x, y = usage(func(u *Usage) (float64, bool) {
		if u.MemGrowBytes == nil {
			return 0, false
		}
		return *u.MemGrowBytes / gib, true
	})
	if len(x) > 0 && len(y) > 0 {
		mem.exact(spec{group: Memory, name: "gpu_memory_growth_gib", title: "growth of GPU memory in the bursts", unit: "GiB", min: c.t.Exact, abs: minGiB}, middle(x), middle(y))
	}
	x, y = usage(func(u *Usage) (float64, bool) {
		if u.StartupS == nil {
			return 0, false
		}
		return *u.StartupS, true
	})
	start.runs(spec{group: StartUp, name: "ready_s", title: "process start to the first answer", unit: "s", min: c.t.NoiseHost, abs: minStart, factor: true}, x, y, false)
	x, y = usage(meanOf(func(u *Usage) []float64 { return u.CPUCores }))
	cpu.runs(spec{group: CPU, name: "cpu_cores", title: "CPU cores in use", unit: "cores", min: c.t.NoiseBench, neutral: true}, x, y, false)
	x, y = perToken(rounds, 1e3, func(u *Usage) []float64 { return u.CPUCores })
	cpu.runs(spec{group: CPU, name: "cpu_ms_per_output_token", title: "CPU time per output token", unit: "ms", min: c.t.NoiseBench}, x, y, false)
	x, y = usage(meanOf(func(u *Usage) []float64 { return u.GPUUtil }))
	cpu.runs(spec{group: Utilisation, name: "gpu_util_driver", title: "GPU utilisation by the driver", unit: "share", dir: stat.HigherIsBetter, min: c.t.Repeats, abs: c.t.UtilisationMoved / 2}, x, y, false)
	x, y = usage(meanOf(func(u *Usage) []float64 { return u.PowerW }))
	cpu.runs(spec{group: Utilisation, name: "gpu_power_w", title: "GPU power", unit: "W", min: c.t.Repeats, neutral: true}, x, y, false)
	x, y = perToken(rounds, 1, func(u *Usage) []float64 { return u.PowerW })
	cpu.runs(spec{group: Utilisation, name: "joules_per_output_token", title: "energy per output token", unit: "J", min: c.t.Repeats}, x, y, false)
	x, y = usage(meanOf(func(u *Usage) []float64 { return u.ClockMHz }))
	cpu.runs(spec{group: Utilisation, name: "gpu_clock_mhz", title: "SM clock", unit: "MHz", dir: stat.HigherIsBetter, min: c.t.Exact, neutral: true}, x, y, false)
	for _, f := range []*family{&cpu, &mem, &start} {
		c.out.Metrics = append(c.out.Metrics, f.judge()...)
	}
}
