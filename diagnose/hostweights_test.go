package diagnose_test

import (
	"strings"
	"testing"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/internal/captest"
)

// Layers whose weights the GPU reads from the host are told by their GEMMs, which are slower than the same GEMMs elsewhere.
func TestWeightsReadInPlace(t *testing.T) {
	const (
		wide   = "nvjet_sm90_tst_128x16_64x11_2x1_h_bz_TNT"
		narrow = "nvjet_sm90_tst_64x16_64x16_2x1_h_bz_TNT"
	)
	model := func(slow, times int64, both bool) []op {
		var out []op
		for l := range int64(12) {
			a, b := 30*us, 20*us
			if l < slow {
				a *= times
				if both {
					b *= times
				}
			}
			out = append(out, op{name: "triton_red_fused_fused_add_rms_norm_0", dur: 2 * us}, op{name: narrow, dur: b},
				op{name: attentionKernel, dur: 10 * us}, op{name: narrow, dur: b}, op{name: wide, dur: a},
				op{name: "triton_poi_fused_mul_silu_1", dur: 2 * us}, op{name: narrow, dur: b})
		}
		return append(out, op{name: samplingKernel, dur: 20 * us})
	}
	for _, c := range []struct {
		name        string
		slow, times int64
		both        bool
		layers      int
		perStep     int64
	}{
		{"none", 0, 1, true, 0, 0},
		{"three of twelve", 3, 20, true, 3, 3 * 19 * 90 * us},
		{"ten of twelve", 10, 20, true, 10, 10 * 19 * 90 * us},
		{"all: nothing to compare with", 12, 20, true, 0, 0},
		{"four times is no link", 3, 4, true, 0, 0},
		{"one kind of four", 3, 20, false, 0, 0},
	} {
		r := newEngine().run(20, turn{marker: decode(8), ops: model(c.slow, c.times, c.both), graph: true}).diagnose(t, nil)
		h := r.Context.InPlace()
		if h.Layers != c.layers || h.PerStep != c.perStep {
			t.Errorf("%s: %+v", c.name, h)
		}
		if h.Layers > 0 && (h.Of != 12 || h.Longest != 20*30*us || h.Usual != 30*us || h.Row <= 0) {
			t.Errorf("%s: %+v", c.name, h)
		}
	}
}

// 4 GB of a Llama 8B's weights on the host: 10 of 32 layers.
func TestWeightsReadInPlaceOnCaptures(t *testing.T) {
	for _, name := range captest.Names(t) {
		h := captest.Diagnose(t, name, captest.Options{}).Context.InPlace()
		switch {
		case name != "uva8b-L" && h.Layers != 0:
			t.Errorf("%s: %+v", name, h)
		case name == "uva8b-L" && (h.Layers != 10 || h.Of != 32 || h.PerStep < 84*ms || h.PerStep > 85*ms):
			t.Errorf("%s: %+v", name, h)
		}
	}
}

// With graphs recorded as a whole, the weights that are missing on the GPU and the link's speed tell most of the step.
func TestWeightsOnTheHostUnseen(t *testing.T) {
	r := captest.Diagnose(t, "uva8b-L", captest.Options{Edit: captest.WholeGraphs})
	f := r.Finding(diagnose.TransferBound)
	if f == nil || f.Severity != diagnose.High || f.Confidence != "medium" || !strings.Contains(f.Summary, "keeps 4.36 GB of weights in host memory") {
		t.Fatalf("%+v", f)
	}
	if r.First() != diagnose.TransferBound || f.Advice[0].Knob != "cpu-offload-gb" || f.Advice[0].Predicted != nil {
		t.Errorf("first %s, advice %+v", r.First(), f.Advice)
	}
	for _, o := range []captest.Options{{Edit: captest.WholeGraphs, Without: captest.Log}, {Edit: captest.WholeGraphs, GPU: "unknown"}} {
		if f := captest.Diagnose(t, "uva8b-L", o).Finding(diagnose.TransferBound); f != nil {
			t.Errorf("%+v: %s", o, f.Summary)
		}
	}
	if f := captest.Diagnose(t, "prefetch8b-O", captest.Options{Edit: captest.WholeGraphs}).Finding(diagnose.TransferBound); f != nil {
		t.Errorf("options without effect: %s", f.Summary)
	}
}
