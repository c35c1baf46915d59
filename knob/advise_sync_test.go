package knob_test

import (
	"strings"
	"testing"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/internal/captest"
)

// What removes a wait is named where an option brought it in, looked for where the options are not known, and left to the
// reader's code otherwise.
func TestSyncStallAdvice(t *testing.T) {
	const plain = "vllm serve /models/llama1b --max-num-seqs 64"
	for _, c := range []struct {
		name, capture string
		o             captest.Options
		knob, command string // the command holds neither the option nor a shorter one
		predicted     bool
	}{
		{"processor", "guard1b-J", captest.Options{}, "logits-processors", "--max-num-seqs 64", true},
		{"no custom code", "guard1b-J", captest.Options{Set: plain}, "nsys profile --python-backtrace", "", false},
		{"no custom code, a check in the engine", "guard1b-J", captest.Options{Set: plain, Engine: "vllm@0.30.0"}, "VLLM_GPU_SYNC_CHECK", "VLLM_GPU_SYNC_CHECK=warn", false},
		{"no custom code, no scheduling ahead", "guard8b-J", captest.Options{Set: plain + " --no-async-scheduling"}, "async-scheduling", "--async-scheduling", true},
		{"options not known", "guard1b-J", captest.Options{Without: captest.Everything}, "logits-processors", "", false},
		{"blocking", "blocking1b-J", captest.Options{}, "CUDA_LAUNCH_BLOCKING", "vllm serve", true},
		{"blocking, not by the command", "blocking1b-J", captest.Options{Set: plain}, "CUDA_LAUNCH_BLOCKING", "", false},
		{"blocking, switched off", "blocking1b-J", captest.Options{Set: "CUDA_LAUNCH_BLOCKING=0 " + plain}, "CUDA_LAUNCH_BLOCKING", "", false},
		{"copies", "ship1b-J", captest.Options{}, "logits-processors", "--max-num-seqs 64", true},
	} {
		d := captest.Diagnose(t, c.capture, c.o)
		f := d.Finding(d.First())
		if f == nil || f.ID != diagnose.SyncStall && c.capture != "ship1b-J" || len(f.Advice) == 0 {
			t.Errorf("%s: %+v", c.name, f)
			continue
		}
		v := f.Advice[0]
		if v.Knob != c.knob || (v.Predicted != nil) != c.predicted || !strings.Contains(v.Command, c.command) || c.command == "" && v.Command != "" {
			t.Errorf("%s: %+v", c.name, v)
		}
		if c.predicted && (strings.Contains(v.Command, v.Knob) != (v.To == "true") || v.Predicted.After < 1.4 || v.Predicted.After >= v.Predicted.Before) {
			t.Errorf("%s: %s, %+v", c.name, v.Command, v.Predicted)
		}
		for _, x := range f.Advice {
			if x.Knob == "VLLM_USE_FLASHINFER_SAMPLER" && x.From == "true" {
				t.Errorf("%s: what is on is turned on: %+v", c.name, x)
			}
		}
	}
}
