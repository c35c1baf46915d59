package experiment

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/capture"
	"github.com/stepscope/stepscope/compare"
	"github.com/stepscope/stepscope/ledger"
	"github.com/stepscope/stepscope/stat"
)

// result makes the result of what was measured.
func (x *experiment) result(d stat.Decision, interrupted bool) *Result {
	r := &Result{Changes: x.changes, Rounds: x.complete(), Goal: x.goal, Predicted: x.o.Predicted, Interrupted: interrupted, DoesNotRun: x.broken != nil,
		Engine: x.engine.String(), Model: x.modelName(), GPU: x.gpuText(), Load: x.load,
		CommandBefore: ledger.Mask(x.settings[baseline].Argv()), Command: ledger.Mask(x.settings[changed].Argv())}
	r.Comparison = compare.Rounds(x.side(baseline), x.side(changed), x.rounds, compare.Options{Tool: x.o.Tool, Thresholds: compare.Thresholds{Repeats: x.o.MinEffect}, Goal: x.goal})
	x.judge(r, d)
	x.measured(r)
	x.sideEffects(r)
	if len(x.plan.Looks) > 0 { // without one, a t test judges, and the comparison says so
		for _, w := range x.plan.Warnings {
			x.warn("%s", w.Text)
		}
	}
	for _, w := range r.Comparison.Warnings {
		if w.ID != "several-knobs" { // said already
			x.warn("%s", w.Text)
		}
	}
	r.Warnings = x.warnings
	return r
}

// side is what is known of a side beside its runs.
func (x *experiment) side(s sideOf) compare.Side {
	out := compare.Side{Name: s.String(), Run: x.runs[s], Settings: []compare.Setting{}}
	for _, n := range x.settings[s].Names() {
		v, _ := x.settings[s].Shown(n)
		out.Settings = append(out.Settings, compare.Setting{Name: n, Value: v})
	}
	return out
}

func (x *experiment) modelName() string {
	if m := x.settings[baseline].Model; m != "" {
		return m
	}
	return x.model
}

// gpuText names the GPUs that the server used.
func (x *experiment) gpuText() string {
	if len(x.gpus) == 0 {
		return ""
	}
	n := x.gpusUsed
	if n == 0 {
		n = len(x.gpus)
	}
	return fmt.Sprintf("%dx %s", n, x.gpus[0].Name)
}

// judge settles the verdict on the goal. It is the one hypothesis that was fixed beforehand, so it is tested without a
// correction for the others: by the plan's looks, else by a t test on what starts there are.
func (x *experiment) judge(r *Result, d stat.Decision) {
	if x.broken != nil {
		r.Verdict = stat.Worse
		r.Reason = "the server does not run with the change: " + capture.KindText(x.broken)
		return
	}
	before, after, dir, _ := compare.RunValues(x.rounds, x.goal)
	n := min(len(before), len(after))
	before, after = before[:n], after[:n]
	switch {
	case d.Verdict != "" && d.Comparison.Method != "" && d.Stop:
		r.Verdict, r.Reason = d.Verdict, d.Reason
	case n == 0:
		r.Verdict, r.Reason = stat.Unclear, x.goal+" was not measured on both sides"
	case n == 1:
		// One start a side: the bursts within it are all there is.
		r.Verdict, r.Reason = stat.Unclear, "one start a side shows no difference that another start would not"
		if m := findMetric(r.Comparison, x.goal); m != nil {
			r.Verdict, r.Reason = m.Verdict, m.Reason+"; one start a side"
		}
	default:
		c := stat.Compare(stat.NewSample(before, stat.AssumeRelative), stat.NewSample(after, stat.AssumeRelative), stat.Options{})
		r.Verdict, r.Reason = c.Verdict(dir, x.o.MinEffect)
		r.Reason += fmt.Sprintf(", t test on %d starts a side", n)
	}
}

func findMetric(c *compare.Comparison, name string) *compare.Metric {
	for i := range c.Metrics {
		if m := &c.Metrics[i]; m.Name == name && (m.Group == compare.Benchmark || m.Group == compare.Server) {
			return m
		}
	}
	return nil
}

// measured holds the measurement beside the prediction, in the predicted metric.
func (x *experiment) measured(r *Result) {
	name := x.goal
	if r.Predicted != nil {
		name = r.Predicted.Metric
	}
	before, after, _, ok := compare.RunValues(x.rounds, name)
	if !ok || len(before) == 0 || len(after) == 0 {
		return
	}
	m := &ledger.Measurement{Metric: name, Before: ledger.Float(median(before)), After: ledger.Float(median(after))}
	if c := findMetric(r.Comparison, name); c != nil {
		m.Unit = c.Unit
	}
	r.Measured = m
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return stat.Percentile(s, 50, stat.Linear)
}

// watched are the metrics that are side effects whatever the goal is.
var watched = map[string]bool{
	"failed_requests": true, "preemptions": true, "gpu_memory_peak_gib": true, "gpu_memory_growth_gib": true, "host_memory_peak_gib": true, "weights_gib": true,
	"kv_cache_tokens": true, "kv_cache_gib": true, "graph_memory_gib": true, "ready_s": true, "cpu_ms_per_output_token": true,
	"p99_ttft_ms": true, "p99_tpot_ms": true, "p99_itl_ms": true, "p99_e2e_ms": true, "queue_ms": true, "gpu_power_w": true,
}

// sideEffects lists what else was watched.
func (x *experiment) sideEffects(r *Result) {
	for i := range r.Comparison.Metrics {
		m := &r.Comparison.Metrics[i]
		if !watched[m.Name] || m.Name == x.goal {
			continue
		}
		e := ledger.SideEffect{Name: m.Name, Before: ledger.Float(m.Before.Center), After: ledger.Float(m.After.Center), Unit: m.Unit, Verdict: string(m.Verdict)}
		if m.Verdict == stat.Worse || m.Verdict == stat.Unclear {
			e.Text = m.Reason
		}
		r.SideEffects = append(r.SideEffects, e)
	}
	if x.broken != nil {
		r.SideEffects = append(r.SideEffects, ledger.SideEffect{Name: "server_runs", Before: ledger.Float(1), After: ledger.Float(0), Verdict: string(stat.Worse),
			Text: capture.KindText(x.broken)})
		return
	}
	if e, ok := x.equality(); ok {
		r.SideEffects = append(r.SideEffects, e)
	}
}

// equality compares the answers at temperature 0, with how far the baseline agrees with itself from start to start.
func (x *experiment) equality() (ledger.SideEffect, bool) {
	across, n := equalShare(x.answers[baseline], x.answers[changed], false)
	if n == 0 {
		return ledger.SideEffect{}, false
	}
	own, k := equalShare(x.answers[baseline], x.answers[baseline], true)
	e := ledger.SideEffect{Name: "answers_equal_share", Unit: "share", After: ledger.Float(across)}
	if k > 0 {
		e.Before = ledger.Float(own)
	} else {
		own = 1
	}
	switch {
	case across >= own-1e-9:
		e.Verdict = string(stat.Same)
		e.Text = fmt.Sprintf("answers to %d fixed prompts at temperature 0 agree as often as those of two starts of the baseline", len(fixedPrompts))
	case across >= 0.5*own:
		e.Verdict = string(stat.Unclear)
		e.Text = fmt.Sprintf("%.0f %% of the answers at temperature 0 are equal, between starts of the baseline %.0f %%: changed arithmetic does that, and so does a loss of accuracy; run an evaluation", 100*across, 100*own)
	default:
		e.Verdict = string(stat.Worse)
		e.Text = fmt.Sprintf("only %.0f %% of the answers at temperature 0 are equal, between starts of the baseline %.0f %%: run an evaluation before using this", 100*across, 100*own)
	}
	return e, true
}

// metricsOf lists a comparison's metrics for the ledger.
func metricsOf(c *compare.Comparison) []ledger.Metric {
	var out []ledger.Metric
	for i := range c.Metrics {
		m := &c.Metrics[i]
		l := ledger.Metric{Name: m.Name, Unit: m.Unit, Direction: m.Direction, Before: summaryOf(m.Before), After: summaryOf(m.After),
			Change: m.Change, ChangeLo: m.ChangeLo, ChangeHi: m.ChangeHi, P: m.P, Verdict: string(m.Verdict), Reason: m.Reason}
		for _, w := range m.Warnings {
			l.Warnings = append(l.Warnings, w.Text)
		}
		out = append(out, l)
	}
	return out
}

func summaryOf(v compare.Value) *ledger.Summary {
	if v.N == 0 {
		return nil
	}
	s := &ledger.Summary{Center: ledger.Float(v.Center), Lo: v.Lo, Hi: v.Hi, N: v.N, Label: v.Label}
	if v.Lo != nil || v.Hi != nil {
		s.Confidence = 0.95
	}
	return s
}

// baselineMetrics summarises the baseline's starts where the change never ran.
func (x *experiment) baselineMetrics() []ledger.Metric {
	var out []ledger.Metric
	for _, name := range goals() {
		before, _, dir, _ := compare.RunValues(x.rounds, name)
		if len(before) == 0 {
			continue
		}
		s := stat.NewSample(before, stat.AssumeNothing).Summary(0.95)
		d := "lower"
		if dir == stat.HigherIsBetter {
			d = "higher"
		}
		l := &ledger.Summary{Center: ledger.Float(s.Center), Lo: ledger.Float(s.Lo), Hi: ledger.Float(s.Hi), N: s.N, Label: "median"}
		if !math.IsInf(s.Lo, 0) {
			l.Confidence = s.Confidence
		}
		out = append(out, ledger.Metric{Name: name, Unit: unitOf(name), Direction: d, Before: l})
	}
	return out
}

// goals are the metrics that a baseline is described by.
func goals() []string {
	return []string{"output_tokens_per_s", "ttft_ms", "p99_ttft_ms", "tpot_ms", "p99_tpot_ms", "itl_ms", "p99_itl_ms", "e2e_ms", "p99_e2e_ms"}
}

func unitOf(name string) string {
	if strings.HasSuffix(name, "_ms") {
		return "ms"
	}
	return "1/s"
}

// GoalNames lists the metrics that an experiment may aim at.
func GoalNames() []string {
	set := map[string]bool{"goodput_requests_per_s": true}
	for _, g := range goals() {
		set[g] = true
	}
	return slices.Sorted(maps.Keys(set))
}
