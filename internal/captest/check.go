package captest

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/device"
	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/knob"
	"github.com/stepscope/stepscope/step"
)

// Check reports what must never be wrong with a diagnosis, whatever it was made from: order, ranges and words of the
// findings, and advice that the engine, its settings and the GPU allow.
func Check(t testing.TB, label string, r *Result) {
	t.Helper()
	c := checker{t, label, r}
	c.diagnosis()
	c.findings()
	for _, f := range r.Findings {
		for _, a := range f.Advice {
			c.advice(f, a)
		}
	}
}

type checker struct {
	t     testing.TB
	label string
	r     *Result
}

func (c checker) errorf(format string, args ...any) {
	c.t.Helper()
	c.t.Errorf(c.label+": "+format, args...)
}

// text reports broken wording.
func (c checker) text(what, s string) {
	c.t.Helper()
	for _, bad := range []string{"%!", "NaN", "Inf ", "  ", "<nil>", " ,", "..", " 1 steps", " 1 requests", "a 0.00 ms"} {
		if strings.Contains(strings.ReplaceAll(s, "...", ""), bad) && !(bad == ".." && strings.Contains(s, "steps ")) {
			c.errorf("%s: %q in %q", what, bad, s)
		}
	}
	if s == "" {
		c.errorf("%s is empty", what)
	}
}

func (c checker) diagnosis() {
	c.t.Helper()
	d := c.r.Diagnosis
	if _, err := json.Marshal(d); err != nil {
		c.errorf("no JSON: %v", err)
	}
	c.text("verdict", d.Verdict)
	var sum int64
	for _, p := range d.Budget.Parts {
		sum += p.Ns
		if p.Share < 0 || p.Share > 1 {
			c.errorf("share of %s is %g", p.ID, p.Share)
		}
	}
	if sum != d.Budget.WallNs {
		c.errorf("parts sum to %d of %d ns", sum, d.Budget.WallNs)
	}
	for _, i := range d.Checklist {
		if !slices.Contains([]string{"done", "found", "not recorded"}, i.State) {
			c.errorf("checklist item %s has state %q", i.Item, i.State)
		}
		c.text("checklist "+i.Item, i.Text)
	}
	for _, p := range d.Limits.Phases {
		if p.MBU < 0 || p.MBU > 1.1 || p.MFU < 0 && p.MFU != -1 || p.MFU > 1.1 {
			c.errorf("%s: MBU %g, MFU %g", p.Phase, p.MBU, p.MFU)
		}
		for _, s := range p.Stages {
			if s.MBU < 0 || s.MBU > 1.1 || s.MFU < 0 && s.MFU != -1 || s.MFU > 1.1 {
				c.errorf("%s, %s: MBU %g, MFU %g", p.Phase, s.Stage, s.MBU, s.MFU)
			}
		}
		if len(p.Stages) > 0 && p.Phase == "decode" && c.r.Context.Typical.Part(step.Graph) > 0 {
			c.errorf("stages of %s although graphs hide kernels: %+v", p.Phase, p.Stages)
		}
	}
	for _, q := range d.Profile.Quality {
		c.text("quality "+q.ID, q.Text)
		if _, ok := diagnose.ParseSeverity(q.Severity); !ok {
			c.errorf("quality %s has severity %q", q.ID, q.Severity)
		}
	}
	for _, a := range d.Abstained {
		c.text("abstention of "+a.Rule, a.Why)
		if c.r.Finding(a.Rule) != nil {
			c.errorf("%s both found and abstained", a.Rule)
		}
	}
}

// hardware findings name a limit of the hardware at work.
var hardware = []string{diagnose.MemoryBandwidth, diagnose.ComputeBound, diagnose.AttentionKVBound}

func (c checker) findings() {
	c.t.Helper()
	fs := c.r.Findings
	for i, f := range fs {
		if i > 0 && less(f, fs[i-1]) {
			c.errorf("%s stands behind %s", f.ID, fs[i-1].ID)
		}
		if _, ok := diagnose.FindRule(f.ID); !ok {
			c.errorf("no rule is called %s", f.ID)
		}
		if !(f.Share >= 0 && f.Share <= 1) {
			c.errorf("%s: share %g", f.ID, f.Share)
		}
		if !slices.Contains([]string{"high", "medium", "low"}, f.Confidence) {
			c.errorf("%s: confidence %q", f.ID, f.Confidence)
		}
		c.text(f.ID, f.Summary)
		switch {
		case f.Caused != "" && f.Severity != diagnose.Info:
			c.errorf("%s is explained by %s and still an alarm", f.ID, f.Caused)
		case f.Caused != "" && c.r.Finding(f.Caused) == nil:
			c.errorf("%s is explained by %s, which was not found", f.ID, f.Caused)
		case (f.Severity == diagnose.Info || f.Caused != "") && len(f.Advice) > 0:
			c.errorf("context %s has advice", f.ID)
		case slices.Contains(hardware, f.ID) && f.Severity > diagnose.Medium:
			c.errorf("%s: a limit of the hardware is no alarm of the first rank", f.ID)
		case f.Caused == "" && f.Share >= 0.25 && f.Severity < diagnose.Medium:
			c.errorf("%s: %v although %.0f %% of the wall could return", f.ID, f.Severity, 100*f.Share)
		case f.Severity == diagnose.High && f.Share < 0.10 && f.ID != diagnose.CaptureQuality && f.ID != diagnose.MemoryGrowth:
			c.errorf("%s: high for %.1f %%", f.ID, 100*f.Share)
		}
		if len(f.Evidence) == 0 {
			c.errorf("%s has no evidence", f.ID)
		}
		for _, e := range f.Evidence {
			c.text(f.ID+" evidence", e.Text)
			if math.IsNaN(e.Value) || math.IsInf(e.Value, 0) {
				c.errorf("%s: %s is %g", f.ID, e.Text, e.Value)
			}
			if f.ID != diagnose.CaptureQuality && (e.Rows == "" || e.Unit == "") {
				c.errorf("%s: %q has rows %q and unit %q", f.ID, e.Text, e.Rows, e.Unit)
			}
		}
	}
}

// less is the order of findings: explained ones last, context before them, the others by what fixing could return.
func less(x, y diagnose.Finding) bool {
	if (x.Caused != "") != (y.Caused != "") {
		return x.Caused == ""
	}
	if (x.Severity == diagnose.Info) != (y.Severity == diagnose.Info) {
		return x.Severity != diagnose.Info
	}
	if x.EndsServer() != y.EndsServer() {
		return x.EndsServer()
	}
	return x.Share > y.Share
}

var units = map[string]string{"itl_ms": "ms", "tpot_ms": "ms", "ttft_ms": "ms", "output_tokens_per_s": "tokens/s"}

func (c checker) advice(f diagnose.Finding, a diagnose.Advice) {
	c.t.Helper()
	name := a.Flag
	if name == "" {
		name = a.Knob
	}
	label := f.ID + " -> " + name
	c.text(label, a.Text)
	switch p := a.Predicted; {
	case p == nil && a.Unpredicted == "":
		c.errorf("%s: neither a number nor why there is none", label)
	case p != nil && a.Unpredicted != "":
		c.errorf("%s: a number, and why there is none", label)
	case p != nil:
		for _, v := range []float64{p.Before, p.After, p.Low, p.High} {
			if math.IsNaN(v) || math.IsInf(v, 0) || v <= 0 {
				c.errorf("%s: predicted %+v", label, p)
			}
		}
		if p.Low > p.After || p.After > p.High {
			c.errorf("%s: %g is outside %g to %g", label, p.After, p.Low, p.High)
		}
		if units[p.Metric] != p.Unit || p.Unit == "" {
			c.errorf("%s: %s in %q", label, p.Metric, p.Unit)
		}
		if better := p.After - p.Before; p.Unit == "ms" && better > 0 || p.Unit != "ms" && better <= 0 {
			c.errorf("%s: advised though it makes things worse: %+v", label, p)
		}
		c.text(label+" assumption", p.Assumption)
	}
	if a.Flag == "" {
		return
	}
	option, value, _ := strings.Cut(a.Flag, " ")
	if !strings.HasPrefix(option, "-") {
		option, value, _ = strings.Cut(a.Flag, "=")
	}
	eng := c.r.Situation.Engine
	if markers := strings.ToLower(c.r.Analysis.Engine); c.r.Context.Foreign() != "" || markers != "" && markers != eng.Name {
		if eng = (knob.Engine{Name: markers}); markers == "" {
			eng.Name = knob.VLLM
		}
	} else if now, set := c.r.Situation.Settings.Value(option); set && strings.EqualFold(now, a.To) {
		c.errorf("%s: set already", label)
	}
	if av := knob.AvailableName(option, eng); !av.Safe() {
		c.errorf("%s: %s has no %s: %s", label, eng, option, av.Note)
	}
	if a.Command == "" {
		c.errorf("%s: no command to try", label)
	}
	if a.To == "not set" {
		if strings.Contains(a.Command, option+" ") && strings.HasPrefix(a.Command, "vllm") {
			c.errorf("%s: still in the command %q", label, a.Command)
		}
		return
	}
	sheet := c.r.Context.Sheet
	narrow := strings.HasPrefix(value, "fp8") && (option == "--quantization" || option == "--kv-cache-dtype")
	if narrow && sheet.FP8().Kind != device.Native && sheet.FP8().Kind != device.Unknown {
		c.errorf("%s: %s cannot", label, sheet.Name)
	}
	if narrow && sheet.FP8().Kind == device.Unknown && !strings.Contains(a.Requires, "8.9") {
		c.errorf("%s: the GPU is not known, and the condition is not told: %q", label, a.Requires)
	}
}
