package compare

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/stepscope/stepscope/stat"
	"github.com/stepscope/stepscope/step"
)

// Composition compares the steps of one batch that both sides ran.
type Composition struct {
	Label  string `json:"label"`
	Phase  string `json:"phase"`
	Before int    `json:"steps_before"`
	After  int    `json:"steps_after"`
	// ShareBefore and ShareAfter are the steps' part of each side's wall.
	ShareBefore float64 `json:"share_before"`
	ShareAfter  float64 `json:"share_after"`
	// Metrics are of the step as a whole, Parts of its budget: GPU work by stage and idle time by cause.
	Metrics  []Metric       `json:"metrics"`
	Parts    []Metric       `json:"parts"`
	Warnings []stat.Warning `json:"warnings,omitempty"`

	before, after []int32
}

// tokenTolerance is how far apart in scheduled tokens two prefill or mixed steps may be to count as the same batch: their
// time follows the tokens.
const tokenTolerance = 1.05

// batchKey is what two steps of one composition have in common.
type batchKey struct {
	phase          step.Phase
	requests, toks int64 // decode: exact; otherwise 0 and filled by clustering
	known          bool
}

func (k batchKey) less(o batchKey) int {
	return cmp.Or(cmp.Compare(k.phase, o.phase), cmp.Compare(k.requests, o.requests), cmp.Compare(k.toks, o.toks))
}

// grouped are the closed, warm steps of one side by composition.
type grouped struct {
	exact map[batchKey][]int32
	loose map[step.Phase][]int32 // steps with prefill, clustered over both sides later
}

// steady reports whether a step counts: it scheduled something, is closed and not cold.
func steady(s *step.Step) bool {
	return !s.Open && !s.Cold && s.Phase != step.Empty && s.Wall() > 0
}

func group(a *Digest) grouped {
	g := grouped{exact: map[batchKey][]int32{}, loose: map[step.Phase][]int32{}}
	if a == nil {
		return g
	}
	for pos := range a.steps {
		i, s := int32(pos), &a.steps[pos]
		if !steady(s) {
			continue
		}
		b := s.Batch
		switch {
		case s.Phase == step.Decode && b.DecodeRequests > 0:
			k := batchKey{phase: s.Phase, requests: b.DecodeRequests, toks: b.DecodeTokens, known: true}
			g.exact[k] = append(g.exact[k], i)
		case (s.Phase == step.Prefill || s.Phase == step.Mixed) && b.Tokens() > 0:
			g.loose[s.Phase] = append(g.loose[s.Phase], i)
		default:
			k := batchKey{phase: s.Phase}
			g.exact[k] = append(g.exact[k], i)
		}
	}
	return g
}

func wallOf(a *Digest, steps []int32) (ns int64) {
	for _, i := range steps {
		ns += a.steps[i].Wall()
	}
	return ns
}

// matchSteps pairs the compositions of both sides; what only one side has is returned apart.
func matchSteps(before, after *Digest) (common []Composition, onlyBefore, onlyAfter []BatchCount) {
	gb, ga := group(before), group(after)
	var keys []batchKey
	for k := range gb.exact {
		keys = append(keys, k)
	}
	for k := range ga.exact {
		if _, ok := gb.exact[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, batchKey.less)
	add := func(label string, phase step.Phase, b, a []int32) {
		c := Composition{Label: label, Phase: phase.String(), Before: len(b), After: len(a), before: b, after: a}
		if before != nil && before.wall > 0 {
			c.ShareBefore = float64(wallOf(before, b)) / float64(before.wall)
		}
		if after != nil && after.wall > 0 {
			c.ShareAfter = float64(wallOf(after, a)) / float64(after.wall)
		}
		switch {
		case len(b) > 0 && len(a) > 0:
			common = append(common, c)
		case len(b) > 0:
			onlyBefore = append(onlyBefore, BatchCount{label, len(b), c.ShareBefore})
		default:
			onlyAfter = append(onlyAfter, BatchCount{label, len(a), c.ShareAfter})
		}
	}
	for _, k := range keys {
		add(k.label(), k.phase, gb.exact[k], ga.exact[k])
	}
	for _, phase := range []step.Phase{step.Prefill, step.Mixed} {
		for _, c := range cluster(before, after, gb.loose[phase], ga.loose[phase]) {
			add(c.label(phase), phase, c.before, c.after)
		}
	}
	slices.SortStableFunc(common, func(x, y Composition) int {
		return cmp.Compare(min(y.ShareBefore, y.ShareAfter), min(x.ShareBefore, x.ShareAfter))
	})
	byShare := func(x, y BatchCount) int { return cmp.Compare(y.Share, x.Share) }
	slices.SortStableFunc(onlyBefore, byShare)
	slices.SortStableFunc(onlyAfter, byShare)
	return common, onlyBefore, onlyAfter
}

func (k batchKey) label() string {
	if !k.known {
		return k.phase.String() + " steps, batch not recorded"
	}
	l := fmt.Sprintf("decode of %d requests", k.requests)
	if k.toks > 0 && k.toks != k.requests {
		l += fmt.Sprintf(", %d tokens", k.toks)
	}
	return l
}

// tokenCluster are steps of about equal scheduled tokens.
type tokenCluster struct {
	lo, hi        int64
	before, after []int32
}

func (c tokenCluster) label(p step.Phase) string {
	if c.lo == c.hi {
		return fmt.Sprintf("%s of %d tokens", p, c.lo)
	}
	return fmt.Sprintf("%s of %d-%d tokens", p, c.lo, c.hi)
}

// cluster groups steps with prefill by their scheduled tokens: a group spans at most tokenTolerance.
func cluster(before, after *Digest, sb, sa []int32) []tokenCluster {
	type item struct {
		tokens int64
		after  bool
		step   int32
	}
	var items []item
	for _, i := range sb {
		items = append(items, item{before.steps[i].Batch.Tokens(), false, i})
	}
	for _, i := range sa {
		items = append(items, item{after.steps[i].Batch.Tokens(), true, i})
	}
	slices.SortStableFunc(items, func(x, y item) int { return cmp.Compare(x.tokens, y.tokens) })
	var out []tokenCluster
	for _, it := range items {
		if n := len(out); n == 0 || float64(it.tokens) > tokenTolerance*float64(out[n-1].lo) {
			out = append(out, tokenCluster{lo: it.tokens})
		}
		c := &out[len(out)-1]
		c.hi = it.tokens
		if it.after {
			c.after = append(c.after, it.step)
		} else {
			c.before = append(c.before, it.step)
		}
	}
	for i := range out { // back into order of time
		slices.Sort(out[i].before)
		slices.Sort(out[i].after)
	}
	return out
}

// compareSteps fills the metrics of a composition.
func (c *comparer) compareSteps(m *Composition) {
	b, a := c.before.p, c.after.p
	series := func(f func(*step.Step) float64) (x, y []float64) {
		for _, i := range m.before {
			x = append(x, f(&b.steps[i]))
		}
		for _, i := range m.after {
			y = append(y, f(&a.steps[i]))
		}
		return x, y
	}
	wall := max(meanOf(b, m.before, (*step.Step).Wall), meanOf(a, m.after, (*step.Step).Wall))
	hostShare := max(idleShare(b, m.before), idleShare(a, m.after))
	noise := c.t.NoiseGPU*(1-hostShare) + c.t.NoiseHost*hostShare
	abs, idleAbs := c.t.ShareOfStep*wall/1e6, c.t.NoiseGPU*wall/1e6
	why := fmt.Sprintf("GPU time repeats within %s between starts, host time (%.0f %% of this step) within %s",
		percent(c.t.NoiseGPU), 100*hostShare, percent(c.t.NoiseHost))
	ms := func(f func(*step.Step) int64) func(*step.Step) float64 {
		return func(s *step.Step) float64 { return float64(f(s)) / 1e6 }
	}

	f := family{t: c.t}
	x, y := series(ms((*step.Step).Wall))
	f.series(spec{group: StepTime, name: "step_ms", title: "step time", unit: "ms", min: noise, allowance: why, factor: true}, x, y, mean, "median")
	x, y = series(ms(func(s *step.Step) int64 { return s.Budget.Busy() }))
	f.series(spec{group: StepTime, name: "gpu_busy_ms", title: "GPU busy per step", unit: "ms", min: c.t.NoiseGPU, abs: abs, factor: true, neutral: !c.sameGranularity}, x, y, mean, "median")
	x, y = series(ms(func(s *step.Step) int64 { return s.Budget.Idle() }))
	f.series(spec{group: StepTime, name: "gpu_idle_ms", title: "GPU idle per step", unit: "ms", min: c.t.NoiseHost, abs: idleAbs, neutral: !c.sameGranularity}, x, y, mean, "median")
	c.stepCounts(&f, series)
	m.Metrics = f.judge()

	p := family{t: c.t}
	for _, part := range step.Parts() {
		if !part.Idle() && !c.sameGranularity {
			continue
		}
		x, y = series(ms(func(s *step.Step) int64 { return s.Budget[part] }))
		if zero(x) && zero(y) {
			continue
		}
		s := spec{group: StepParts, name: part.String() + "_ms", title: part.String(), unit: "ms", min: c.t.NoiseGPU, abs: abs}
		if part.Idle() {
			s.min, s.abs, s.neutral = c.t.NoiseHost, idleAbs, !c.sameGranularity
		}
		p.series(s, x, y, mean, "median")
	}
	m.Parts = p.judge()
	if n := min(len(m.before), len(m.after)); n < minBlocks {
		m.Warnings = append(m.Warnings, stat.Warning{ID: stat.WarnTooFew, Text: fmt.Sprintf(
			"%d steps of this batch before and %d after: the parts of a step need about %d a side to be told apart", len(m.before), len(m.after), minBlocks)})
	}
}

// stepCounts compares what must not vary within one composition. More of it is neither good nor bad: one graph launch in
// place of 200 kernel launches, or one kernel more that saves another's time, only the time can judge.
func (c *comparer) stepCounts(f *family, series func(func(*step.Step) float64) (x, y []float64)) {
	counts := []struct {
		name, title string
		of          func(*step.Step) float64
		ok          bool
	}{
		{"kernels_per_step", "kernels per step", func(s *step.Step) float64 { return float64(s.Kernels) }, c.sameGranularity},
		{"launches_per_step", "launches per step", func(s *step.Step) float64 { return float64(s.Launches) }, true},
		{"graph_launches_per_step", "graph launches per step", func(s *step.Step) float64 { return float64(s.GraphLaunches) }, true},
	}
	for _, k := range counts {
		x, y := series(k.of)
		if !k.ok || zero(x) && zero(y) {
			continue
		}
		s := spec{group: StepTime, name: k.name, title: k.title, min: c.t.Exact, neutral: true}
		if constant(x) && constant(y) {
			f.exact(s, x[0], y[0])
			f.rows[len(f.rows)-1].m.Before.N, f.rows[len(f.rows)-1].m.After.N = len(x), len(y)
			continue
		}
		f.series(s, x, y, mean, "median")
	}
}

func meanOf(a *Digest, steps []int32, f func(*step.Step) int64) float64 {
	if len(steps) == 0 {
		return 0
	}
	var sum float64
	for _, i := range steps {
		sum += float64(f(&a.steps[i]))
	}
	return sum / float64(len(steps))
}

func idleShare(a *Digest, steps []int32) float64 {
	var idle, wall int64
	for _, i := range steps {
		idle += a.steps[i].Budget.Idle()
		wall += a.steps[i].Wall()
	}
	if wall == 0 {
		return 0
	}
	return float64(idle) / float64(wall)
}

func zero(v []float64) bool {
	return !slices.ContainsFunc(v, func(x float64) bool { return x != 0 })
}

func constant(v []float64) bool {
	return len(v) > 0 && !slices.ContainsFunc(v, func(x float64) bool { return x != v[0] })
}
