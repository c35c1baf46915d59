package compare

import (
	"fmt"
	"math"
	"strings"

	"github.com/stepscope/stepscope/stat"
)

// find returns a metric by group and name, nil when it was not compared.
func (c *comparer) find(g Group, name string) *Metric {
	for i := range c.out.Metrics {
		if m := &c.out.Metrics[i]; m.Group == g && m.Name == name {
			return m
		}
	}
	return nil
}

// mainShare is the share of wall that a composition needs on both sides to speak for the run.
const mainShare = 0.2

// stepMetric returns a metric of the composition with the most time, nil when that is too little to speak for the run.
func (c *comparer) stepMetric(name string) *Metric {
	if len(c.out.Compositions) == 0 {
		return nil
	}
	m := &c.out.Compositions[0]
	if min(m.ShareBefore, m.ShareAfter) < mainShare && !c.footing.limited() { // else nothing else speaks
		return nil
	}
	for i := range m.Metrics {
		if m.Metrics[i].Name == name {
			return &m.Metrics[i]
		}
	}
	return nil
}

// aspect is one side of a server's speed with the metrics that may speak for it, best first.
type aspect struct {
	name    string
	metrics []*Metric
}

func (c *comparer) aspects() []aspect {
	return []aspect{
		{"throughput", []*Metric{c.find(Benchmark, "output_tokens_per_s"), c.find(Benchmark, "requests_per_s"), c.find(Work, "tokens_per_s"),
			c.find(Work, "decode_tokens_per_s"), c.find(Work, "layer_repeats_per_s")}},
		{"token latency", []*Metric{c.find(Benchmark, "tpot_ms"), c.find(Benchmark, "itl_ms"), c.find(Server, "server_itl_ms"), c.stepMetric("step_ms")}},
		{"first token", []*Metric{c.find(Benchmark, "ttft_ms"), c.find(Server, "server_ttft_ms"), c.find(Work, "prefill_tokens_per_s")}},
	}
}

// overall settles the verdict on the whole: for each aspect the first metric with a supported verdict speaks.
func (c *comparer) overall() {
	var better, worse, same, open []string
	for _, a := range c.aspects() {
		var first *Metric
		var speaks *Metric
		for _, m := range a.metrics {
			if m == nil || m.Direction == "none" {
				continue
			}
			if first == nil {
				first = m
			}
			if m.Supported() {
				speaks = m
				break
			}
		}
		switch {
		case first == nil:
		case speaks == nil:
			open = append(open, c.title(first))
		case speaks.Verdict == stat.Better:
			better = append(better, c.clause(speaks))
		case speaks.Verdict == stat.Worse:
			worse = append(worse, c.clause(speaks))
		default:
			same = append(same, c.title(speaks))
		}
	}
	o := c.out
	limited := c.footing.limited()
	switch {
	case limited && len(better)+len(worse)+len(same) == 0:
		o.Verdict = NotComparable
	case len(better) > 0 && len(worse) > 0:
		o.Verdict = Mixed
	case len(better) > 0:
		o.Verdict = Better
	case len(worse) > 0:
		o.Verdict = Worse
	case len(same) > 0 && len(open) == 0:
		o.Verdict = Same
	case len(same) > 0 && (limited || c.gpuSame()):
		o.Verdict = Same
	default:
		o.Verdict = Unclear
	}
	var text []string
	add := func(label string, v []string) {
		if len(v) > 0 {
			text = append(text, label+strings.Join(v, "; "))
		}
	}
	if s := c.footing.summary(len(o.Compositions) > 0, c.hasSteps()); s != "" {
		text, open = append(text, s), nil
	}
	add("Better: ", better)
	add("Worse: ", worse)
	add("The same: ", same)
	add("Not shown either way: ", open)
	for _, m := range o.Metrics {
		switch {
		case m.Group == Utilisation || m.Direction == "none" || limited:
		case m.Verdict == stat.Worse:
			o.Regressions = append(o.Regressions, string(m.Group)+"."+m.Name)
		case m.Verdict == stat.Better:
			o.Improvements = append(o.Improvements, string(m.Group)+"."+m.Name)
		}
	}
	for i := range o.Compositions {
		for _, m := range o.Compositions[i].Metrics {
			id := stepID(m.Name, o.Compositions[i].Label)
			switch {
			case m.Direction == "none" || m.Name == "gpu_idle_ms":
			case m.Verdict == stat.Worse:
				o.Regressions = append(o.Regressions, id)
			case m.Verdict == stat.Better:
				o.Improvements = append(o.Improvements, id)
			}
		}
	}
	if len(text) == 0 {
		text = append(text, "Nothing that both sides recorded can be compared")
	}
	o.Summary = strings.Join(text, ". ") + "."
}

// summary is what comes before everything else where the footing limits what is judged.
func (f *footing) summary(common, steps bool) string {
	var s, what string
	switch {
	case f.model != "":
		return "A different model (" + f.model + "): nothing about the server is concluded"
	case f.load != "":
		s, what = "The loads differ ("+f.load+")", "benchmark, server counters, rates and utilisation"
	case f.batch != "":
		s, what = "The batches differ ("+f.batch+") and no load is known", "rates and utilisation"
	default:
		return ""
	}
	s += ": " + what + " are not comparable"
	switch {
	case common:
		return s + ", only steps of equal batch are judged"
	case steps:
		return s + ", and no batch was run on both sides, so no speed is judged"
	}
	return s
}

func stepID(name, label string) string { return "step." + name + " (" + label + ")" }

// title is a metric's title; of a step, with its batch.
func (c *comparer) title(m *Metric) string {
	if m.Group == StepTime && len(c.out.Compositions) > 0 {
		return m.Title + " (" + c.out.Compositions[0].Label + ")"
	}
	return m.Title
}

func (c *comparer) clause(m *Metric) string {
	d := *m
	d.Title = c.title(m)
	return describe(&d)
}

// Title tells an entry of Regressions or Improvements in words; the entry itself where it is none.
func (c *Comparison) Title(id string) string {
	for i := range c.Metrics {
		if m := &c.Metrics[i]; string(m.Group)+"."+m.Name == id {
			return m.Title
		}
	}
	for i := range c.Compositions {
		k := &c.Compositions[i]
		for j := range k.Metrics {
			if stepID(k.Metrics[j].Name, k.Label) == id {
				return k.Metrics[j].Title + " (" + k.Label + ")"
			}
		}
	}
	return id
}

// gpuSame reports whether the steps of the main composition take the same time, which settles what a burst without a
// test leaves open.
func (c *comparer) gpuSame() bool {
	m := c.stepMetric("step_ms")
	return m != nil && m.Verdict == stat.Same
}

// describe tells a metric's change in a clause.
func describe(m *Metric) string {
	s := fmt.Sprintf("%s %s -> %s", m.Title, Number(m.Before.Center), Number(m.After.Center))
	if m.Unit != "" && m.Unit != "1/s" {
		s += " " + m.Unit
	}
	if r, ok := m.Ratio(); ok {
		if m.Change != nil && m.Supported() { // else the estimate may point away from the values shown
			r = 1 + *m.Change
		}
		if r >= 2 || r <= 0.5 {
			s += fmt.Sprintf(" (x%s)", Number(r))
		} else {
			s += fmt.Sprintf(" (%+.1f %%)", 100*(r-1))
		}
	}
	return s
}

// Number prints v with as many digits as a reader can use.
func Number(v float64) string {
	switch a := math.Abs(v); {
	case v == math.Trunc(v) && a < 1e6:
		return fmt.Sprintf("%.0f", v)
	case a >= 1000:
		return fmt.Sprintf("%.0f", v)
	case a >= 100:
		return fmt.Sprintf("%.1f", v)
	case a >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// workflow holds the change against the workflow's own thresholds.
func (c *comparer) workflow() {
	add := func(threshold string, limit float64, m *Metric, moved float64, text string) {
		p := Passed{Threshold: threshold, Limit: limit, Metric: string(m.Group) + "." + m.Name, Moved: moved, Text: text,
			Passed: m.Supported() && m.Verdict != stat.Same && moved >= limit}
		switch {
		case m.Basis == ByNoFooting:
			p.NotTested, _, _ = strings.Cut(m.Reason, ":")
		case !m.Supported() && moved >= limit:
			p.NotTested = "no test supports it"
		}
		if p.NotTested != "" {
			p.Text += ": not tested, " + p.NotTested
		}
		c.out.Workflow = append(c.out.Workflow, p)
	}
	for _, name := range []string{"gpu_busy_share", "gpu_util_driver"} {
		if m := c.find(Utilisation, name); m != nil {
			points := math.Abs(m.After.Center - m.Before.Center)
			text := fmt.Sprintf("%s %.1f %% -> %.1f %%", m.Title, 100*m.Before.Center, 100*m.After.Center)
			add("utilisation_moved", c.t.UtilisationMoved, m, points, text)
			add("utilisation_large", c.t.UtilisationLarge, m, points, text)
		}
	}
	for _, m := range []*Metric{c.find(Benchmark, "tpot_ms"), c.find(Benchmark, "itl_ms"), c.find(Benchmark, "ttft_ms"), c.find(Benchmark, "e2e_ms"), c.stepMetric("step_ms")} {
		if m == nil {
			continue
		}
		if r, ok := m.Ratio(); ok && r > 0 {
			add("latency_factor", c.t.LatencyFactor, m, max(r, 1/r), describe(m))
		}
	}
}
