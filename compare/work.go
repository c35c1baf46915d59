package compare

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/stat"
	"github.com/stepscope/stepscope/step"
)

// mixTolerance is how far the shares of wall in prefill, mixed and decode steps may differ before rates over all steps
// say more about where the windows fell than about the server.
const mixTolerance = 0.15

// minPrefill is the smallest prefill chunk, in tokens, whose time per token is the prefill's and not the step's fixed cost.
const minPrefill = 512

// compareWork compares work per second of serving. The time without any request, and that which the profiler took, is
// not serving.
func (c *comparer) compareWork() {
	b, a := c.before.p, c.after.p
	f := family{t: c.t}
	host := max(1-b.busyShare(), 1-a.busyShare())
	noise := c.t.NoiseGPU*(1-host) + c.t.NoiseHost*host
	why := fmt.Sprintf("host time is %.0f %% of the wall", 100*host)
	differ := mixDistance(b, a)

	rate := func(name, title, unit string, of func(*step.Step) float64, keep func(*step.Step) bool, mixed bool) {
		x, okB := rates(b, of, keep)
		y, okA := rates(a, of, keep)
		if !okB || !okA {
			return
		}
		f.rates(spec{group: Work, name: name, title: title, unit: unit, dir: stat.HigherIsBetter, min: noise, allowance: why, factor: true}, x, y)
		if mixed && differ > mixTolerance {
			r := &f.rows[len(f.rows)-1]
			f.settle(r)
			r.done = true
			r.m.Verdict, r.m.Basis = stat.Unclear, ByNothing
			r.m.Reason = fmt.Sprintf("the captures hold different mixes of prefill and decode (%.0f %% of the wall differs): see the steps of equal batch", 100*differ)
		}
	}
	any := func(s *step.Step) bool { return s.Phase != step.Empty }
	known := func(s *step.Step) bool { return s.Batch.Tokens() > 0 }
	decode := func(s *step.Step) bool { return s.Phase == step.Decode && s.Batch.DecodeTokens > 0 }
	rate("steps_per_s", "steps per second", "1/s", func(*step.Step) float64 { return 1 }, any, true)
	rate("tokens_per_s", "scheduled tokens per second", "1/s", func(s *step.Step) float64 { return float64(s.Batch.Tokens()) }, known, true)
	rate("decode_tokens_per_s", "tokens per second of decode steps", "1/s", func(s *step.Step) float64 { return float64(s.Batch.DecodeTokens) }, decode, false)
	prefill := func(s *step.Step) bool { return s.Batch.PrefillTokens >= minPrefill }
	rate("prefill_tokens_per_s", "prefill tokens per second of steps with prefill", "1/s", func(s *step.Step) float64 { return float64(s.Batch.PrefillTokens) }, prefill, false)
	c.layerRepeats(&f, noise, why)
	c.out.Metrics = append(c.out.Metrics, f.judge()...)

	u := family{t: c.t}
	c.utilisation(&u)
	c.out.Metrics = append(c.out.Metrics, u.judge()...)
}

// pair is an amount of work and the time it took.
type pair struct{ work, ns float64 }

// rates lists work and serving time of a side's steps, in order of time.
func rates(a *Digest, of func(*step.Step) float64, keep func(*step.Step) bool) ([]pair, bool) {
	var out []pair
	var walls []interval.Span
	for i := range a.steps {
		s := &a.steps[i]
		if !steady(s) || !keep(s) {
			continue
		}
		walls = append(walls, s.GPU)
		if ns := s.Wall() - s.Budget[step.IdleRequests] - s.Budget[step.IdleProfiler]; ns > 0 {
			out = append(out, pair{of(s), float64(ns)})
		}
	}
	// Steps of several engines run at once: each has its part of the time in which any ran.
	if sum, elapsed := total(walls), interval.Union(walls).Total(); elapsed < sum {
		for i := range out {
			out[i].ns *= float64(elapsed) / float64(sum)
		}
	}
	return out, len(out) > 0
}

func total(spans []interval.Span) int64 {
	var n int64
	for _, s := range spans {
		n += s.Dur()
	}
	return n
}

// rates compares work over time: a block's rate is its work over its time, which weighs long steps as the clock does.
func (f *family) rates(s spec, before, after []pair) {
	perNs := func(v []pair) []float64 {
		out := make([]float64, len(v))
		for i, p := range v {
			out[i] = p.work / p.ns
		}
		return out
	}
	blocked := func(v []pair) blocked {
		b := blocks(perNs(v), mean)
		at := 0
		for i := range b.values {
			end := at + b.length
			if i == len(b.values)-1 {
				end = len(v)
			}
			var work, ns float64
			for _, p := range v[at:end] {
				work += p.work
				ns += p.ns
			}
			b.values[i] = work / ns * 1e9
			at = end
		}
		return b
	}
	b, a := blocked(before), blocked(after)
	m := s.metric()
	m.Before, m.After = valueOf(b, len(before), "median"), valueOf(a, len(after), "median")
	c := stat.Compare(stat.NewSample(b.values, stat.AssumeNothing), stat.NewSample(a.values, stat.AssumeNothing), stat.Options{Alpha: f.t.Alpha})
	for _, w := range c.Warnings {
		if w.ID != stat.WarnAllEqual {
			m.Warnings = append(m.Warnings, w)
		}
	}
	if w, ok := correlated(b, a); ok {
		m.Warnings = append(m.Warnings, w)
	}
	f.rows = append(f.rows, judged{m: m, spec: s, c: c})
}

// mixDistance is the share of wall by which two captures' mixes of phases differ, 0..1.
func mixDistance(b, a *Digest) float64 {
	shares := func(x *Digest) map[step.Phase]float64 {
		out, total := map[step.Phase]float64{}, 0.0
		for i := range x.steps {
			if s := &x.steps[i]; steady(s) {
				out[s.Phase] += float64(s.Wall())
				total += float64(s.Wall())
			}
		}
		for p := range out {
			out[p] /= total
		}
		return out
	}
	sb, sa := shares(b), shares(a)
	var d float64
	for p := step.Unknown; p <= step.Empty; p++ {
		d += math.Abs(sb[p] - sa[p])
	}
	return d / 2
}

func (c *comparer) utilisation(f *family) {
	b, a := c.before.p, c.after.p
	share := func(x *Digest) []float64 {
		var out []float64
		for i := range x.steps {
			if s := &x.steps[i]; steady(s) {
				out = append(out, float64(s.Budget.Busy())/float64(s.Wall()))
			}
		}
		return out
	}
	s := spec{group: Utilisation, name: "gpu_busy_share", title: "GPU busy", unit: "share", dir: stat.HigherIsBetter, abs: c.t.UtilisationMoved / 2}
	x, y := share(b), share(a)
	if len(x) == 0 || len(y) == 0 {
		x, y = binned(b), binned(a)
		s.title += " (no steps: time between first and last device operation)"
	}
	u := max(b.busyShare(), a.busyShare(), 0.01)
	s.min = (1 - u) * c.t.NoiseHost
	s.neutral = !c.sameGranularity // a graph's span holds the gaps between its kernels
	f.series(s, x, y, mean, "median")
}

// binned is the utilisation of each device in equal stretches between its first and last operation.
func binned(d *Digest) []float64 {
	var out []float64
	for _, u := range d.devices {
		out = append(out, u.bins...)
	}
	return out
}

// layerRepeats compares how often the model's repeating kernel runs per second and device: the unit of work of captures
// whose steps are not known, and a check on those whose are. It is the attention kernel with the most time that both
// sides run, else the function with the most time; variants of one template count as one.
func (c *comparer) layerRepeats(f *family, noise float64, why string) {
	if c.before.p.budget[step.Graph] > 0 || c.after.p.budget[step.Graph] > 0 {
		return // the kernels of graphs are not recorded
	}
	name, title, attention, ok := c.anchor()
	if !ok || c.hasSteps() && !attention {
		return
	}
	x, nx := repeats(c.before.p, name)
	y, ny := repeats(c.after.p, name)
	if nx < 3 || ny < 3 {
		return
	}
	s := spec{group: Work, name: "layer_repeats_per_s", title: title + " per second and GPU", unit: "1/s", dir: stat.HigherIsBetter, min: noise, allowance: why, factor: true}
	f.rates(s, x, y)
	r := &f.rows[len(f.rows)-1]
	if c.hasSteps() { // steps tell more; the repeats follow from them and from the mix of the window
		s.neutral = true
		r.spec, r.m.Direction = s, "none"
	}
	c.unit = title
}

// anchor picks the repeating function, by its template.
func (c *comparer) anchor() (name, title string, attention, ok bool) {
	type total struct {
		ns        int64
		attention bool
	}
	totals := func(d *Digest) map[string]total {
		out := map[string]total{}
		for i := range d.calls {
			c := &d.calls[i]
			t := out[c.template]
			for _, ns := range c.dur {
				t.ns += int64(ns)
			}
			t.attention = t.attention || c.stage == kernel.Attention
			out[c.template] = t
		}
		return out
	}
	tb, ta := totals(c.before.p), totals(c.after.p)
	var common []string
	for n := range tb {
		if _, ok := ta[n]; ok {
			common = append(common, n)
		}
	}
	if len(common) == 0 {
		return "", "", false, false
	}
	slices.SortFunc(common, func(x, y string) int {
		return cmp.Or(-boolCompare(tb[x].attention, tb[y].attention), cmp.Compare(tb[y].ns+ta[y].ns, tb[x].ns+ta[x].ns), cmp.Compare(x, y))
	})
	n := common[0]
	shown := strings.TrimSuffix(n, "<")
	title = "calls of " + shown
	if tb[n].attention {
		title = "repeats of a layer (" + shown + ")"
	}
	return n, title, tb[n].attention, true
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// repeats lists, device by device, one unit of work and the time to the next call of the function: start to start, so that
// where the window begins and ends does not count.
func repeats(d *Digest, template string) (out []pair, calls int) {
	starts := map[int32][]int64{}
	for i := range d.calls {
		if c := &d.calls[i]; c.template == template {
			starts[c.device] = append(starts[c.device], c.start...)
			calls += len(c.start)
		}
	}
	for _, u := range d.devices {
		s := starts[u.id]
		slices.Sort(s)
		for i := 1; i < len(s); i++ {
			if gap := s[i] - s[i-1]; gap > 0 {
				out = append(out, pair{1, float64(gap)})
			} else if len(out) > 0 {
				out[len(out)-1].work++
			}
		}
	}
	return out, calls
}
