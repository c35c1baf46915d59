package knob_test

import (
	"strings"
	"testing"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/internal/captest"
)

// vLLM captures graphs up to twice the cap on running requests: a larger cap needs no option for them. The trial of this
// very advice made 3397 tokens/s of 1124 with --max-num-seqs alone.
func TestALargerCapBringsItsGraphs(t *testing.T) {
	a := advice(t, captest.Diagnose(t, "seqs8-I", captest.Options{}).Finding(diagnose.QueueLimited), "--max-num-seqs")
	if a.To != "32" || strings.Contains(a.Requires, "CUDA graphs") {
		t.Errorf("to %s, needs %q", a.To, a.Requires)
	}
	if p := a.Predicted; p == nil || p.Low > 3397 || p.High < 3397 {
		t.Errorf("predicted %+v", p)
	}
}
