package diagnose_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/internal/captest"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/serving"
)

// sampled adds counters of constant value to a profile: name -> percent.
func sampled(p *profile.Profile, every int64, dev int32, values map[string]int64) {
	var at []int64
	for t := p.Window.Start; t < p.Window.End; t += every {
		at = append(at, t)
	}
	for _, name := range []string{"DRAM Read Bandwidth [Throughput %]", "DRAM Read Throughput [Throughput %]", "DRAM Bandwidth / Read [Throughput %]",
		"DRAM Write Bandwidth [Throughput %]", "Tensor Active [Throughput %]", "SM Instructions / Tensor Active [Throughput %]"} {
		v, ok := values[name]
		if !ok {
			continue
		}
		c := profile.Counter{Device: dev, Name: name, Unit: "percent", Times: at, Values: make([]int64, len(at))}
		for i := range c.Values {
			c.Values[i] = v
		}
		p.Counters = append(p.Counters, c)
	}
}

// TestCountersCheckTheModel: decode steps of 4 requests at 70 % of the bandwidth of an H100, by the shape of the model.
func TestCountersCheckTheModel(t *testing.T) {
	const reads, reads80, readsAlt, tensor = "DRAM Read Bandwidth [Throughput %]", "DRAM Read Throughput [Throughput %]", "DRAM Bandwidth / Read [Throughput %]", "Tensor Active [Throughput %]"
	agree, disagree := true, false
	for _, c := range []struct {
		name       string
		every      int64
		values     map[string]int64
		noShape    bool
		noBench    bool // nothing tells the length of the contexts
		device     int32
		agrees     *bool
		text       string // in Checked
		confidence string // of the bandwidth finding; "" = none
	}{
		{"agrees", 100 * us, map[string]int64{reads: 68, tensor: 6}, false, false, 0, &agree, "DRAM Read Bandwidth 68.0 % of peak where the model says", "high"},
		{"another generation's name", 100 * us, map[string]int64{reads80: 68}, false, false, 0, &agree, "DRAM Read Throughput 68.0 % of peak", "high"},
		{"a third name", 100 * us, map[string]int64{readsAlt: 68}, false, false, 0, &agree, "DRAM Bandwidth / Read 68.0 % of peak", "high"},
		{"half of the bytes", 100 * us, map[string]int64{reads: 34}, false, false, 0, &disagree, "they disagree by more than a fifth", "medium"},
		{"twice the bytes", 100 * us, map[string]int64{reads: 98}, false, false, 0, &disagree, "they disagree by more than a fifth", "medium"},
		{"more than a lower bound", 100 * us, map[string]int64{reads: 98}, false, true, 0, &agree, "needs at least", "high"},
		{"less than a lower bound", 100 * us, map[string]int64{reads: 34}, false, true, 0, &disagree, "needs at least", "medium"},
		{"tensor pipes do less than the model", 100 * us, map[string]int64{tensor: 0}, false, false, 0, &agree, "Tensor Active 0.0 % of peak where the model needs at least", "high"},
		{"no shape", 100 * us, map[string]int64{reads: 68}, true, false, 0, nil, "with no model of the step to compare with", "high"},
		{"no shape and slow reads", 100 * us, map[string]int64{reads: 20}, true, false, 0, nil, "with no model of the step to compare with", ""},
		{"too coarse", 5 * ms, map[string]int64{reads: 34}, false, false, 0, nil, "sampled every 5.0 ms, too coarsely for steps of", "high"},
		{"another device's", 100 * us, map[string]int64{reads: 34}, false, false, 1, nil, "no counter of dram read bandwidth", "high"},
		{"none", 100 * us, nil, false, false, 0, nil, "", "high"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newEngine().run(40, turn{marker: decode(4), ops: layers(32, 10*us, 197*us), graph: true}).profile(t)
			sampled(p, c.every, c.device, c.values)
			o := captest.Options{GPU: "H100 SXM", Shape: llama8b(t)}
			if c.noShape {
				o = captest.Options{GPU: "H100 SXM"}
			}
			run := &serving.Run{Bench: bench(4, 32*0.207, 40, 10)}
			if c.noBench {
				run = nil
			}
			r := captest.DiagnoseProfile(t, p, run, o)
			l := r.Limits
			if (c.text == "") != (l.Checked == "") || !strings.Contains(l.Checked, c.text) {
				t.Errorf("checked %q, want %q", l.Checked, c.text)
			}
			var got *bool
			if len(l.Checks) > 0 {
				got = l.Checks[0].Agrees
			}
			if (got == nil) != (c.agrees == nil) || got != nil && *got != *c.agrees {
				t.Errorf("agrees %v, want %v: %s", got, c.agrees, l.Checked)
			}
			f := r.Finding(diagnose.MemoryBandwidth)
			switch {
			case f == nil && c.confidence != "":
				t.Fatal("no finding")
			case f != nil && f.Confidence != c.confidence:
				t.Errorf("confidence %q, want %q", f.Confidence, c.confidence)
			}
			if f == nil {
				return
			}
			lowered := false
			for _, e := range f.Evidence {
				lowered = lowered || strings.HasPrefix(e.Text, "confidence lowered")
			}
			if want := c.agrees == &disagree; lowered != want {
				t.Errorf("the reason of lower confidence is given: %v, want %v", lowered, want)
			}
			if c.noShape && !strings.Contains(f.Summary, "of peak bandwidth (measured)") {
				t.Errorf("the measured bandwidth is not told: %s", f.Summary)
			}
		})
	}
}

// TestCountersOfARealCapture: the DRAM counter and the model's bytes, found independently, agree within a point.
func TestCountersOfARealCapture(t *testing.T) {
	r := captest.Diagnose(t, "base8b-gpumetrics-A", captest.Options{})
	if len(r.Limits.Checks) != 2 {
		t.Fatalf("checks %+v", r.Limits.Checks)
	}
	k := r.Limits.Checks[0]
	if k.Agrees == nil || !*k.Agrees || math.Abs(k.Measured-69.4) > 0.5 || math.Abs(*k.Model-69.4) > 0.5 || k.EveryNs/1000 != 100 {
		t.Errorf("DRAM reads %+v", k)
	}
	if k := r.Limits.Checks[1]; !*k.Agrees || !k.AtLeast || k.Measured < *k.Model {
		t.Errorf("tensor pipes %+v", k)
	}
	if f := r.Finding(diagnose.MemoryBandwidth); f == nil || f.Confidence != "high" {
		t.Errorf("finding %+v", f)
	}
	if r := captest.Diagnose(t, "base8b-A", captest.Options{}); r.Limits.Checked != "" || r.Limits.Checks != nil {
		t.Errorf("checked without counters: %q", r.Limits.Checked)
	}
}
