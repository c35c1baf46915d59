package knob_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/internal/captest"
	"github.com/stepscope/stepscope/knob"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/serving"
)

// Whatever a capture is, and whatever of it is missing, the diagnosis keeps its laws (captest.Check).
func TestLaws(t *testing.T) {
	without := map[string]captest.Evidence{"": 0, "no benchmark": captest.Bench, "no metrics": captest.Metrics, "no log": captest.Log,
		"log only": captest.Bench | captest.Metrics, "metrics only": captest.Bench | captest.Log, "benchmark only": captest.Metrics | captest.Log, "profile only": captest.Everything}
	edits := map[string]func(*profile.Profile){
		"no annotations":        captest.WithoutRanges,
		"no API calls":          captest.WithoutCalls,
		"neither":               func(p *profile.Profile) { captest.WithoutRanges(p); captest.WithoutCalls(p) },
		"few launches":          func(p *profile.Profile) { captest.KeepCalls(p, func(i int) bool { return i%10 > 6 }) },
		"a fifth of the window": func(p *profile.Profile) { captest.CutDevice(p, captest.Part(p, 0.4, 0.6)) },
		"hardly a step":         func(p *profile.Profile) { captest.CutDevice(p, captest.Part(p, 0.5, 0.51)) },
		"unknown GPU":           func(p *profile.Profile) { p.Devices = []profile.Device{{ID: p.Devices[0].ID, ComputeMajor: 0}} },
	}
	for _, name := range captest.Names(t) {
		for label, w := range without {
			captest.Check(t, name+", "+label, captest.Diagnose(t, name, captest.Options{Without: w}))
		}
		for label, e := range edits {
			captest.Check(t, name+", "+label, captest.Diagnose(t, name, captest.Options{Edit: e}))
			captest.Check(t, name+", "+label+", profile only", captest.Diagnose(t, name, captest.Options{Edit: e, Without: captest.Everything}))
		}
	}
}

// Advice is what the engine's version has and the GPU can use.
func TestLawsOfVersionsAndGPUs(t *testing.T) {
	versions := append(captest.Versions(), "vllm", "vllm@0.9.1", "vllm@0.15.0", "vllm@0.26.0", "vllm@0.40.0", "vllm@1.0.0", "sglang@0.5.2", "tensorrt-llm")
	gpus := []string{"V100", "T4", "A100 80GB", "L4", "RTX 4090", "H100 SXM", "B200", "MI300X"}
	for _, name := range captest.Names(t) {
		for i, v := range versions {
			captest.Check(t, name+", "+v, captest.Diagnose(t, name, captest.Options{Engine: v}))
			g := gpus[i%len(gpus)]
			captest.Check(t, name+", "+v+" on "+g, captest.Diagnose(t, name, captest.Options{Engine: v, GPU: g, Without: captest.Log}))
		}
		for _, g := range gpus {
			r := captest.Diagnose(t, name, captest.Options{GPU: g})
			captest.Check(t, name+" on "+g, r)
		}
	}
}

// No version and no GPU gets 8-bit floating point that it cannot compute in; what is left of the weights is advised in
// another way.
func TestNarrowWeightsByGPU(t *testing.T) {
	for _, c := range []struct {
		gpu, engine string
		flag        string // first advice
	}{
		{"H100 SXM", "vllm@0.24.0", "--quantization fp8"},
		{"B200", "vllm@0.24.0", "--quantization fp8"},
		{"L4", "vllm@0.8.5", "--quantization fp8"},
		{"A100 80GB", "vllm@0.24.0", "checkpoint"},
		{"A100 80GB", "vllm@0.33.0", "checkpoint"}, // the integer method of this version quantises experts only
		{"T4", "vllm@0.11.0", "checkpoint"},
		{"V100", "vllm@0.8.5", "checkpoint"},
	} {
		r := captest.Diagnose(t, "prefetch8b-O", captest.Options{GPU: c.gpu, Engine: c.engine, Without: captest.Log})
		f := r.Finding("memory-bandwidth-bound")
		if f == nil || len(f.Advice) == 0 {
			t.Fatalf("%s: %v", c.gpu, f)
		}
		if got := captest.Flags(f)[0]; got != c.flag {
			t.Errorf("%s, %s: first advice %q, want %q", c.gpu, c.engine, got, c.flag)
		}
		for _, a := range f.Advice {
			if strings.Contains(a.Flag, "fp8") && c.flag != "--quantization fp8" {
				t.Errorf("%s: %s", c.gpu, a.Flag)
			}
		}
	}
}

// What is set already is not advised, and what is set is undone only by naming it.
func TestSettingsInForce(t *testing.T) {
	base := "vllm serve /models/llama8b --max-model-len 4096 "
	for _, c := range []struct {
		capture, set string
		never        string
	}{
		{"prefetch8b-O", "--quantization fp8", "--quantization"},
		{"base8b-F", "--kv-cache-dtype fp8", "--kv-cache-dtype"},
		{"base8b-P", "--max-num-batched-tokens 1024", "--max-num-batched-tokens 2048"},
		{"prefetch8b-O", `--speculative-config '{"method":"ngram","num_speculative_tokens":3}'`, "--speculative-config"},
		{"nosync1b-G", "--async-scheduling", "--async-scheduling"},
		{"base1b-S", "VLLM_USE_FLASHINFER_SAMPLER=1", "VLLM_USE_FLASHINFER_SAMPLER"},
	} {
		cmd := base + c.set
		if strings.Contains(c.set, "=1") {
			cmd = c.set + " " + base
		}
		r := captest.Diagnose(t, c.capture, captest.Options{Set: cmd, Engine: "vllm@0.24.0"})
		for _, f := range r.Findings {
			for _, a := range f.Advice {
				if strings.HasPrefix(a.Flag, c.never) {
					t.Errorf("%s with %s: %s under %s", c.capture, c.set, a.Flag, f.ID)
				}
			}
		}
		captest.Check(t, c.capture+" with "+c.set, r)
	}
}

// Every advice for an unknown engine version is one that all inspected versions have.
func TestUnknownVersion(t *testing.T) {
	for _, name := range captest.Names(t) {
		r := captest.Diagnose(t, name, captest.Options{Without: captest.Everything})
		for _, f := range r.Findings {
			for _, a := range f.Advice {
				option, _, _ := strings.Cut(strings.ReplaceAll(a.Flag, "=", " "), " ")
				for _, v := range knob.Inspected {
					if a.Flag != "" && !knob.AvailableName(option, knob.Engine{Name: knob.VLLM, Version: v}).Safe() {
						t.Errorf("%s: %s is missing in %s", name, a.Flag, v)
					}
				}
			}
		}
	}
}

// Metrics, log and benchmark of another capture are never used in silence: either they fit, or the notes say why they were
// set aside.
func TestEvidenceOfOtherCaptures(t *testing.T) {
	names := captest.Names(t)
	for i, name := range names {
		other := names[(i+5)%len(names)]
		_, run := captest.Load(t, other)
		for what, edit := range map[string]func(*serving.Run){
			"benchmark": func(r *serving.Run) { r.Bench = run.Bench },
			"metrics":   func(r *serving.Run) { r.Before, r.After, r.Delta = run.Before, run.After, run.Delta },
			"log":       func(r *serving.Run) { r.Log, r.Engine, r.Command = run.Log, run.Engine, run.Command },
			"all":       func(r *serving.Run) { *r = *run },
		} {
			captest.Check(t, fmt.Sprintf("%s with the %s of %s", name, what, other), captest.Diagnose(t, name, captest.Options{Run: edit}))
		}
	}
}
