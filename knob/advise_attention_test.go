package knob_test

import (
	"strings"
	"testing"

	"github.com/stepscope/stepscope/device"
	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/internal/captest"
)

// A narrower cache is advised where the memory limits attention, not where the kernel does.
func TestAttentionAdvice(t *testing.T) {
	shape, m := device.Known("meta-llama/Llama-3.1-8B")
	if !m.OK {
		t.Fatal("the model is not known")
	}
	narrow := shape
	narrow.KVHeads = 1 // an eighth of the bytes in the same time
	for _, c := range []struct {
		name  string
		shape device.Shape
		knob  string
	}{{"as it is", shape, "kv-cache-dtype"}, {"an eighth of the bandwidth", narrow, "attention-backend"}} {
		f := captest.Diagnose(t, "base8b-F", captest.Options{Shape: c.shape}).Finding(diagnose.AttentionKVBound)
		if f == nil || len(f.Advice) == 0 || f.Advice[0].Knob != c.knob || (f.Advice[0].Predicted != nil) != (c.knob == "kv-cache-dtype") {
			t.Errorf("%s: %+v", c.name, f)
		}
		if f != nil && strings.Contains(f.Summary, "the kernel limits the step") != (c.knob != "kv-cache-dtype") {
			t.Errorf("%s: %s", c.name, f.Summary)
		}
	}
}
