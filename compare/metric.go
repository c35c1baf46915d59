package compare

import (
	"fmt"
	"math"
	"slices"

	"github.com/stepscope/stepscope/stat"
)

// Group is a family of metrics that are judged together.
type Group string

// Groups in the order of reports.
const (
	Benchmark   Group = "benchmark"   // what the load generator measured
	Server      Group = "server"      // what the server counted
	Work        Group = "work"        // work per second of serving, from the profile
	Utilisation Group = "utilisation" // GPU busy over wall
	CPU         Group = "cpu"
	Memory      Group = "memory"
	StartUp     Group = "start-up"
	StepTime    Group = "step"  // one composition
	StepParts   Group = "parts" // of one composition's step
	KernelTime  Group = "kernel"
)

// Basis says what a verdict rests on.
type Basis string

// Bases.
const (
	ByTest      Basis = "test"      // a statistical test supports it
	ByExact     Basis = "exact"     // a reading that does not vary
	ByThreshold Basis = "threshold" // no test possible; beyond a named threshold of the workflow
	ByNothing   Basis = "none"      // no test possible
	// ByNoFooting is that of a metric that two different loads, batches or models do not allow to be compared.
	ByNoFooting Basis = "not comparable"
)

// Differs is the verdict on a supported change of a metric of which neither direction is better, such as the number of
// kernels in a step.
const Differs stat.Verdict = "differs"

// A Value is one side of a metric.
type Value struct {
	Center float64 `json:"center"`
	// Lo and Hi bound the centre; absent when the sample is too small for a bound.
	Lo *float64 `json:"lo,omitempty"`
	Hi *float64 `json:"hi,omitempty"`
	// N is the number of values, Blocks how many independent ones they were taken for (0 = not blocked).
	N      int    `json:"n"`
	Blocks int    `json:"blocks,omitempty"`
	Label  string `json:"label"` // median, mean, p99, exact, sum
}

// A Metric is one quantity before and after.
type Metric struct {
	Group     Group        `json:"group"`
	Name      string       `json:"name"` // stable, unit at the end
	Title     string       `json:"title"`
	Unit      string       `json:"unit"`
	Direction string       `json:"direction"` // that is better: lower, higher or none
	Before    Value        `json:"before"`
	After     Value        `json:"after"`
	Verdict   stat.Verdict `json:"verdict"`
	Basis     Basis        `json:"basis"`
	Reason    string       `json:"reason"`
	// Change is the relative change with its interval, present only when a test was made.
	Change   *float64 `json:"change,omitempty"`
	ChangeLo *float64 `json:"change_lo,omitempty"`
	ChangeHi *float64 `json:"change_hi,omitempty"`
	// P is corrected for the number of metrics in the group; Method names the test.
	P      *float64 `json:"p,omitempty"`
	Method string   `json:"method,omitempty"`
	// MinEffect is the smallest relative change that counts, MinChange the smallest in the metric's unit; Allowance says why.
	MinEffect float64        `json:"min_effect"`
	MinChange float64        `json:"min_change,omitempty"`
	Allowance string         `json:"allowance,omitempty"`
	Warnings  []stat.Warning `json:"warnings,omitempty"`
}

// Supported reports whether the metric's change is supported: better, worse or same.
func (m *Metric) Supported() bool { return m.Verdict != stat.Unclear && m.Verdict != "" }

// Ratio returns after over before, false when it does not exist.
func (m *Metric) Ratio() (float64, bool) {
	if !(m.Before.Center > 0) || math.IsInf(m.After.Center, 0) {
		return 0, false
	}
	return m.After.Center / m.Before.Center, true
}

// spec is what a metric is, without its values.
type spec struct {
	group     Group
	name      string
	title     string
	unit      string
	dir       stat.Direction
	min       float64 // relative
	abs       float64 // absolute, in the metric's unit
	allowance string
	factor    bool // LatencyFactor decides where no test can
	neutral   bool // neither direction is better
}

func (s spec) metric() Metric {
	m := Metric{Group: s.group, Name: s.name, Title: s.title, Unit: s.unit, Direction: "lower", MinEffect: s.min, MinChange: s.abs, Allowance: s.allowance,
		Verdict: stat.Unclear, Basis: ByNothing}
	switch {
	case s.neutral:
		m.Direction = "none"
	case s.dir == stat.HigherIsBetter:
		m.Direction = "higher"
	}
	return m
}

// judged is a metric whose verdict waits for the correction over its group.
type judged struct {
	m    Metric
	spec spec
	c    stat.Comparison
	done bool // verdict is final
}

// family collects metrics that are tested together.
type family struct {
	t    Thresholds
	size int    // number of tests to correct for, where it decides which test can be made
	goal string // name of the metric that was fixed beforehand: no correction
	rows []judged
}

// series compares values in order of time: steps of a capture, requests of a burst. agg sums up a block.
func (f *family) series(s spec, before, after []float64, agg func([]float64) float64, label string) {
	b, a := blocks(before, agg), blocks(after, agg)
	m := s.metric()
	c := stat.Compare(stat.NewSample(b.values, stat.AssumeNothing), stat.NewSample(a.values, stat.AssumeNothing), stat.Options{Alpha: f.t.Alpha})
	m.Before, m.After = valueOf(b, len(before), label), valueOf(a, len(after), label)
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

// tail compares a percentile by the intervals of both sides.
func (f *family) tail(s spec, before, after []float64, p float64) {
	m := s.metric()
	sb, sa := stat.NewSample(before, stat.AssumeNothing), stat.NewSample(after, stat.AssumeNothing)
	level := 1 - f.t.Alpha
	qb, qa := sb.QuantileCI(p/100, level), sa.QuantileCI(p/100, level)
	label := fmt.Sprintf("p%g", p)
	m.Before, m.After = value(qb, label), value(qa, label)
	m.Method = "order-statistic intervals"
	for side, smp := range []*stat.Sample{sb, sa} {
		if w, ok := stat.TailWarning(smp.N(), p); ok {
			m.Warnings = append(m.Warnings, stat.Warning{ID: w.ID, Text: []string{"before: ", "after: "}[side] + w.Text})
		}
	}
	change := math.NaN()
	if qb.Center > 0 {
		change = qa.Center/qb.Center - 1
	}
	bounded := !math.IsInf(qb.Lo, 0) && !math.IsInf(qb.Hi, 0) && !math.IsInf(qa.Lo, 0) && !math.IsInf(qa.Hi, 0)
	m.Basis = ByTest
	switch {
	case !bounded || math.IsNaN(change):
		m.Basis, m.Method = ByNothing, ""
		m.Verdict, m.Reason = stat.Unclear, fmt.Sprintf("%s of %d and %d values has no upper bound", label, sb.N(), sa.N())
		f.byFactor(&m, s)
	case qa.Lo > qb.Hi || qa.Hi < qb.Lo:
		m.Change = ptr(change)
		if math.Abs(change) >= s.min {
			m.Verdict, m.Reason = sign(change, s.dir), "the intervals of both sides do not meet"
		} else {
			m.Verdict, m.Reason = stat.Unclear, fmt.Sprintf("less than the %s that counts", percent(s.min))
		}
	case qa.Hi <= qb.Lo*(1+s.min) && qa.Lo >= qb.Hi*(1-s.min):
		m.Change = ptr(change)
		m.Verdict, m.Reason = stat.Same, fmt.Sprintf("both intervals lie within %s of each other", percent(s.min))
	default:
		m.Verdict, m.Reason = stat.Unclear, "the intervals of both sides meet"
	}
	f.rows = append(f.rows, judged{m: m, spec: s, done: true})
}

// single compares one number a side: no test is possible.
func (f *family) single(s spec, before, after float64, n1, n2 int, label string) {
	m := s.metric()
	m.Before, m.After = Value{Center: before, N: n1, Label: label}, Value{Center: after, N: n2, Label: label}
	m.Verdict = stat.Unclear
	m.Reason = "one number a side: no test is possible"
	if before > 0 && after > 0 {
		if r := math.Abs(after/before - 1); s.neutral {
			m.Reason += fmt.Sprintf("; %.0f %% apart", 100*r)
		} else if r > s.min {
			m.Reason += fmt.Sprintf("; %.0f %% apart, beyond the %s by which runs of one server differ: repeat both runs, or keep the requests, to prove it", 100*r, percent(s.min))
		} else {
			m.Reason += fmt.Sprintf("; within the %s by which runs of one server differ", percent(s.min))
		}
	}
	f.byFactor(&m, s)
	f.rows = append(f.rows, judged{m: m, spec: s, done: true})
}

// byFactor lets the workflow's factor decide where no test can.
func (f *family) byFactor(m *Metric, s spec) {
	r, ok := m.Ratio()
	if !s.factor || !ok || r <= 0 {
		return
	}
	if r >= f.t.LatencyFactor || r <= 1/f.t.LatencyFactor {
		m.Basis = ByThreshold
		m.Verdict = sign(r-1, s.dir)
		x := max(r, 1/r)
		m.Reason = fmt.Sprintf("a factor of %.1f; no test is possible, but it passes the workflow's factor of %g", x, f.t.LatencyFactor)
	}
}

// exact compares readings that do not vary from run to run.
func (f *family) exact(s spec, before, after float64) {
	m := s.metric()
	m.Before, m.After = Value{Center: before, N: 1, Label: "exact"}, Value{Center: after, N: 1, Label: "exact"}
	m.Basis = ByExact
	switch {
	case before == after:
		m.Verdict, m.Reason = stat.Same, "equal"
	case math.Abs(after-before) < s.abs:
		m.Verdict, m.Reason = stat.Same, "less than the smallest change that counts"
	case before == 0:
		m.Verdict, m.Reason = sign(after, s.dir), "was zero"
	default:
		change := after/before - 1
		m.Change = ptr(change)
		if math.Abs(change) < s.min {
			m.Verdict, m.Reason = stat.Same, fmt.Sprintf("within %s", percent(s.min))
		} else {
			m.Verdict, m.Reason = sign(change, s.dir), fmt.Sprintf("%+.1f %%", 100*change)
		}
	}
	f.rows = append(f.rows, judged{m: m, spec: s, done: true})
}

// counts compares how often something rare happened over an amount of exposure (requests), exactly.
func (f *family) counts(s spec, before, after int64, n1, n2 float64) {
	m := s.metric()
	m.Before, m.After = Value{Center: float64(before), N: int(n1), Label: "count"}, Value{Center: float64(after), N: int(n2), Label: "count"}
	m.Basis, m.Method = ByTest, "exact binomial"
	if before == 0 && after == 0 {
		m.Basis, m.Method = ByExact, ""
		m.Verdict, m.Reason = stat.Same, "none on either side"
		f.rows = append(f.rows, judged{m: m, spec: s, done: true})
		return
	}
	p := poissonP(before, after, n1, n2)
	m.P = ptr(p)
	rate := float64(after)/n2 - float64(before)/n1
	switch {
	case p <= f.t.Alpha:
		m.Verdict, m.Reason = sign(rate, s.dir), fmt.Sprintf("%d of %.0f against %d of %.0f (p=%.3g)", after, n2, before, n1, p)
	default:
		m.Verdict, m.Reason = stat.Unclear, fmt.Sprintf("%d of %.0f against %d of %.0f may be chance (p=%.2f)", after, n2, before, n1, p)
	}
	f.rows = append(f.rows, judged{m: m, spec: s, done: true})
}

// judge corrects the tests of the family for their number and settles the verdicts.
func (f *family) judge() []Metric {
	ps := make([]float64, len(f.rows))
	for i := range f.rows {
		ps[i] = math.NaN()
		if r := &f.rows[i]; !r.done && r.c.Method != "" && !f.isGoal(r.m.Name) {
			ps[i] = r.c.P
		}
	}
	adjusted := stat.Holm(ps)
	out := make([]Metric, len(f.rows))
	for i := range f.rows {
		r := &f.rows[i]
		if !r.done {
			if !math.IsNaN(adjusted[i]) {
				r.c.P = adjusted[i]
			}
			f.settle(r)
		}
		if v := r.m.Verdict; r.spec.neutral && (v == stat.Better || v == stat.Worse) {
			r.m.Verdict = Differs
		}
		out[i] = r.m
	}
	return out
}

func (f *family) isGoal(name string) bool { return f.goal != "" && f.goal == name }

func (f *family) settle(r *judged) {
	m, c := &r.m, r.c
	if c.Method == "" {
		m.Reason = "no test is possible"
		if m.Before.N == 0 || m.After.N == 0 {
			m.Reason = "nothing to compare on one side"
		} else if m.Before.N == 1 && m.After.N == 1 {
			m.Reason = "one value a side: no test is possible"
		}
		f.byFactor(m, r.spec)
		return
	}
	m.Method, m.P, m.Basis = c.Method, ptr(c.P), ByTest
	min := r.spec.min
	if r.spec.abs > 0 && c.Before > 0 {
		min = math.Max(min, r.spec.abs/c.Before)
	}
	if e, lo, hi, ok := c.Effect(); ok {
		m.Change, m.ChangeLo, m.ChangeHi = ptr(e), finite(lo), finite(hi)
	}
	m.Verdict, m.Reason = c.Verdict(r.spec.dir, min)
	if e, lo, hi, ok := c.Effect(); ok && m.Verdict == stat.Same && c.Significant() && min > f.t.NoiseBench && math.Max(-lo, hi) > f.t.NoiseBench {
		// A real difference between these two runs, and yet no more than two starts of one server differ by.
		m.Verdict, m.Reason = stat.Unclear, fmt.Sprintf("%+.1f%% (%s), but two starts of one server may differ by %s: repeat both runs to tell", 100*e, c, percent(min))
	}
	if r.spec.abs > 0 && math.Abs(c.DeltaLo) < r.spec.abs && math.Abs(c.DeltaHi) < r.spec.abs {
		m.Verdict, m.Reason = stat.Same, "less than the smallest change that counts"
	} else if r.spec.abs > 0 && m.Change == nil && math.Abs(c.Delta) < r.spec.abs && m.Verdict != stat.Same {
		m.Verdict, m.Reason = stat.Unclear, "less than the smallest change that counts"
	}
	if m.Verdict == stat.Unclear && tooFew(c) {
		f.byFactor(m, r.spec)
	}
}

func tooFew(c stat.Comparison) bool {
	return slices.ContainsFunc(c.Warnings, func(w stat.Warning) bool { return w.ID == stat.WarnTooFew })
}

// sign turns the direction of a change into a verdict.
func sign(change float64, dir stat.Direction) stat.Verdict {
	if (change < 0) == (dir == stat.LowerIsBetter) {
		return stat.Better
	}
	return stat.Worse
}

func valueOf(b blocked, n int, label string) Value {
	v := value(stat.NewSample(b.values, stat.AssumeNothing).Summary(0.95), label)
	v.N = n
	if b.length > 1 {
		v.Blocks = len(b.values)
	}
	return v
}

func value(s stat.Summary, label string) Value {
	v := Value{Center: s.Center, N: s.N, Lo: finite(s.Lo), Hi: finite(s.Hi), Label: label}
	if math.IsNaN(v.Center) {
		v.Center = 0
	}
	return v
}

func ptr(v float64) *float64 { return finite(v) }

// finite returns a pointer to v, nil for what JSON has no number for.
func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

func percent(share float64) string { return fmt.Sprintf("%.3g %%", 100*share) }
