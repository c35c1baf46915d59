package knob_test

import (
	"strings"
	"testing"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/internal/captest"
	"github.com/stepscope/stepscope/knob"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/serving"
)

// A profile without command line, log and metrics is what most people have. What is advised then is said with its
// condition, and a number with the same one.
func TestAdviceForUnknownSettings(t *testing.T) {
	for _, c := range []struct {
		capture, finding, advice string
		text, needs, assumes     string // parts; "" = no such text, "-" = anything
	}{
		{"eager1b-G", diagnose.HostLaunchBound, "--enforce-eager", "If --enforce-eager is set, drop it", "--enforce-eager is set (not known", "if --enforce-eager is set;"},
		{"base1b-H", diagnose.HostLaunchBound, "--compilation-config.cudagraph_capture_sizes", "the engine made graphs", "the largest captured size is below the batch (not known", "if the largest captured size is below the batch;"},
		{"base1b-S", diagnose.SamplingBound, "VLLM_USE_FLASHINFER_SAMPLER", "FlashInfer", "VLLM_USE_FLASHINFER_SAMPLER is not set already (the server's options are not known)", "if VLLM_USE_FLASHINFER_SAMPLER is not set already;"},
		{"prefetch8b-O", diagnose.MemoryBandwidth, "--quantization", "Quantise", "", "-"}, // its kernels are 16-bit
		{"base8b-F", diagnose.AttentionKVBound, "--kv-cache-dtype", "8-bit", "-", "-"},
		{"base1b-S", diagnose.HostStepGap, "async-scheduling", "Look whether asynchronous scheduling is on", "", ""},
	} {
		t.Run(c.capture+" "+c.finding, func(t *testing.T) {
			r := captest.Diagnose(t, c.capture, captest.Options{Without: captest.Everything})
			a := advice(t, r.Finding(c.finding), c.advice)
			has := func(what, have, want string) {
				if want == "" && strings.Contains(have, "not known") || want != "" && want != "-" && !strings.Contains(have, want) {
					t.Errorf("%s %q, want %q", what, have, want)
				}
			}
			has("text", a.Text, c.text)
			has("needs", a.Requires, c.needs)
			if a.Predicted != nil {
				has("assumption", a.Predicted.Assumption, c.assumes)
			} else if c.assumes != "" && c.assumes != "-" {
				t.Error("no number")
			}
			if a.From == "none" || a.From == "auto" || a.From == "true" || a.From == "false" {
				t.Errorf("says that it is %q now", a.From)
			}
		})
	}
}

// Drafting asks more of a host that is too slow already, and may turn asynchronous scheduling off: against slow launches it
// is no guess to begin with, whatever of the capture is missing.
func TestUnknownSettingsAreNoReasonToDraft(t *testing.T) {
	edits := map[string]func(*profile.Profile){"whole": nil, "no annotations": captest.WithoutRanges}
	for _, name := range captest.Names(t) {
		for label, e := range edits {
			for _, w := range []captest.Evidence{captest.Log, captest.Everything} {
				r := captest.Diagnose(t, name, captest.Options{Without: w, Edit: e})
				for _, flag := range captest.Flags(r.Finding(diagnose.HostLaunchBound)) {
					if strings.HasPrefix(flag, "--speculative-config") {
						t.Errorf("%s, %s, without %b: %s", name, label, w, flag)
					}
				}
			}
		}
	}
}

// The kernel that writes the cache says what the cache holds.
func TestCacheWidthByItsKernel(t *testing.T) {
	r := captest.Diagnose(t, "kvfp8-F", captest.Options{Without: captest.Everything})
	for _, f := range r.Findings {
		for _, flag := range captest.Flags(&f) {
			if strings.HasPrefix(flag, "--kv-cache-dtype") {
				t.Errorf("%s under %s: the cache is 8-bit already", flag, f.ID)
			}
		}
	}
	a := advice(t, captest.Diagnose(t, "base8b-F", captest.Options{Without: captest.Everything}).Finding(diagnose.AttentionKVBound), "--kv-cache-dtype")
	if strings.Contains(a.Requires, "not known") {
		t.Errorf("needs %q, though its kernel writes 16 bits", a.Requires)
	}
}

// Steps that wait for launches without a graph, of an engine that makes graphs, point at the captured sizes also where the
// batch is not recorded.
func TestGraphsOfAnUnknownBatch(t *testing.T) {
	r := captest.Diagnose(t, "base1b-H", captest.Options{Without: captest.Everything, Edit: func(p *profile.Profile) {
		captest.WithoutRanges(p)
		captest.WithoutKVWrites(p)
		k := p.Kernels
		captest.KeepKernels(p, func(i int) bool { return !strings.HasPrefix(p.Strings.At(p.Funcs[k.Func[i]].Name), "_prepare_") })
	}})
	if r.Context.Batch() > 0 {
		t.Fatalf("a batch of %d", r.Context.Batch())
	}
	a := advice(t, r.Finding(diagnose.HostLaunchBound), "cudagraph-capture-sizes")
	if a.Predicted != nil || a.Command != "" || !strings.Contains(a.Text, "cudagraph_capture_sizes") {
		t.Errorf("%+v", a)
	}
}

// A version that is newer than every inspected one gets no option, and the reason with what the newest inspected one would
// get; a setting that is in force is named all the same.
func TestAdviceForNewerVersions(t *testing.T) {
	newest := knob.Inspected[len(knob.Inspected)-1]
	for _, c := range []struct {
		capture, finding, engine string
		text                     string // "" = options are advised as ever
	}{
		{"eager1b-G", diagnose.HostLaunchBound, "vllm@0.99", "vLLM 0.99 is newer than the versions that were looked at (newest: " + newest + "). There the first thing to try is to drop --enforce-eager, which is set on this server."},
		{"base8b-A", diagnose.MemoryBandwidth, "vllm@1.0.0", ""}, // more requests need no option
		{"base8b-F", diagnose.AttentionKVBound, "vllm@1.0.0", "is to set --kv-cache-dtype fp8."},
		{"eager1b-G", diagnose.HostLaunchBound, "vllm@" + newest, ""},
		{"eager1b-G", diagnose.HostLaunchBound, "vllm@" + newest + ".post1", ""},
	} {
		r := captest.Diagnose(t, c.capture, captest.Options{Engine: c.engine, Run: func(r *serving.Run) { r.Log = nil }})
		f := r.Finding(c.finding)
		if len(f.Advice) == 0 {
			t.Errorf("%s, %s: nothing said", c.capture, c.engine)
			continue
		}
		a := f.Advice[0]
		if told := strings.Contains(a.Text, "newer than the versions"); told != (c.text != "") || !strings.Contains(a.Text, c.text) {
			t.Errorf("%s, %s: %s", c.capture, c.engine, a.Text)
		}
		if c.text != "" && (a.Flag != "" || a.Command != "" || a.Predicted != nil || a.Unpredicted == "") {
			t.Errorf("%s, %s: claims %+v", c.capture, c.engine, a)
		}
	}
}
