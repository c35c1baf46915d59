package serving

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stepscope/stepscope/internal/proftest"
)

var captureNames = []string{
	"base8b-A", "base8b-B", "base8b-E", "eager1b-G", "base1b-G", "seqs4-B", "fp8-A", "base8b-gpumetrics-A", "base1b-graphlevel-G", "base8b-kineto-A",
}

// readmeTable holds the table "The captures" of the captures' README.
var readmeTable = map[string]struct {
	outRate, reqRate, ttft, tpot, p50, p95, p99 float64
	seconds                                     float64
}{
	"base8b-A":            {3001, 23.45, 303.5, 8.31, 7.55, 8.13, 13.52, 4.09},
	"base8b-B":            {4002, 31.27, 440.7, 10.75, 8.46, 9.89, 147.12, 5.12},
	"base8b-E":            {197, 12.29, 539.7, 49.93, 9.07, 193.32, 217.64, 5.21},
	"eager1b-G":           {583, 2.28, 59.8, 13.54, 14.49, 16.43, 18.25, 14.05},
	"base1b-G":            {2619, 10.23, 49.2, 2.87, 2.92, 4.97, 6.32, 3.13},
	"seqs4-B":             {571, 4.46, 10806.9, 6.72, 6.61, 7.07, 9.40, 35.85},
	"fp8-A":               {4130, 32.27, 222.6, 6.00, 5.45, 7.17, 12.86, 2.98},
	"base8b-gpumetrics-A": {2938, 22.95, 334.7, 8.26, 7.55, 9.46, 16.07, 4.18},
	"base1b-graphlevel-G": {2467, 9.64, 43.0, 3.08, 3.00, 5.06, 8.54, 3.32},
	"base8b-kineto-A":     {2997, 23.41, 306.6, 8.29, 7.54, 8.26, 17.22, 4.10},
}

func near(t *testing.T, what string, got Fact[float64], want, tolerance float64) {
	t.Helper()
	if !got.Known || math.Abs(got.Value-want) > tolerance {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

func TestCapturesAgreeWithOracles(t *testing.T) {
	for _, name := range captureNames {
		t.Run(name, func(t *testing.T) {
			run, err := LoadFolder(os.DirFS(proftest.SharedCapture(t, name)))
			if err != nil {
				t.Fatal(err)
			}
			var oracle struct {
				Delta struct {
					Iterations, Tokens, Preemptions, Requests float64
					Prompt                                    float64 `json:"prompt_tokens"`
					Output                                    float64 `json:"generation_tokens"`
					Queue                                     float64 `json:"queue_time_s_sum"`
					Mean                                      float64 `json:"mean_tokens_per_iteration"`
				} `json:"metrics_delta_of_measured_run"`
			}
			proftest.Oracle(t, name, &oracle)
			d, o := run.Delta, oracle.Delta
			near(t, "steps", d.Steps, o.Iterations, 0)
			near(t, "step tokens", d.StepTokens, o.Tokens, 0)
			near(t, "prompt tokens", d.PromptTokens, o.Prompt, 0)
			near(t, "output tokens", d.OutputTokens, o.Output, 0)
			near(t, "preemptions", d.Preemptions, o.Preemptions, 0)
			near(t, "requests", d.Requests, o.Requests, 0)
			near(t, "queue sum", NewFact(d.Queue.Sum, Source{}), o.Queue, 1e-6)
			near(t, "tokens per step", d.TokensPerStep.Mean(), o.Mean, 0.005)

			b, w := run.Bench, readmeTable[name]
			near(t, "output rate", b.OutputRate, w.outRate, 0.51)
			near(t, "request rate", b.RequestRateDone, w.reqRate, 0.0051)
			near(t, "mean TTFT", b.TTFT.Mean, w.ttft, 0.051)
			near(t, "mean TPOT", b.TPOT.Mean, w.tpot, 0.0051)
			near(t, "ITL p50", b.ITL.Median, w.p50, 0.0051)
			near(t, "ITL p95", b.ITL.Percentile(95), w.p95, 0.0051)
			near(t, "ITL p99", b.ITL.Percentile(99), w.p99, 0.0051)
			near(t, "duration", b.DurationS, w.seconds, 0.0051)
			if b.ITL.Percentile(90).Known {
				t.Error("ITL p90 is known, but the result does not have it")
			}
			if run.BenchDuringCapture == nil || run.BenchDuringCapture.DurationS.Value <= b.DurationS.Value {
				t.Error("the run during the capture is missing or faster than the one without")
			}
			if len(run.Warnings)+len(d.Warnings)+len(b.Warnings)+len(run.Log.Warnings) > 0 {
				t.Errorf("warnings on a consistent capture: %v %v %v %v", run.Warnings, d.Warnings, b.Warnings, run.Log.Warnings)
			}
			checkCaptureEngine(t, name, run)
			if _, err := json.Marshal(run); err != nil {
				t.Errorf("run does not encode: %v", err)
			}
		})
	}
}

func checkCaptureEngine(t *testing.T, name string, run *Run) {
	t.Helper()
	e := run.Engine
	small := strings.Contains(name, "1b")
	eager := strings.HasPrefix(name, "eager")
	text := func(what string, f Fact[string], want string) {
		if !f.Known || f.Value != want {
			t.Errorf("%s = %v (%v), want %s", what, f, f.Source, want)
		}
	}
	text("version", e.Version, "0.24.0")
	text("arch", e.Arch, "LlamaForCausalLM")
	text("backend", e.AttentionBackend, "FLASH_ATTN")
	text("dtype", e.DType, "bfloat16")
	text("served name", e.ServedModelName, "m")
	quant, graphs, seqs := "none", "FULL_AND_PIECEWISE", int64(0)
	switch {
	case name == "fp8-A":
		quant = "fp8"
	case eager:
		graphs = "NONE"
	case name == "seqs4-B":
		seqs = 4
	}
	text("quantization", e.Quantization, quant)
	text("graphs", e.CudagraphMode, graphs)
	if e.MaxNumSeqs.Value != seqs || e.MaxNumSeqs.Known != (seqs > 0) {
		t.Errorf("max num seqs = %v, want %d", e.MaxNumSeqs, seqs)
	}
	if !e.AsyncScheduling.Value || e.EnforceEager.Value != eager || !e.EnforceEager.Known || e.PrefixCaching.Value || !e.PrefixCaching.Known {
		t.Errorf("async %v, eager %v, prefix caching %v", e.AsyncScheduling, e.EnforceEager, e.PrefixCaching)
	}
	weights := 14.96
	if small {
		weights = 2.3
	} else if name == "fp8-A" {
		weights = 8.46
	}
	near(t, "weights", e.WeightsGiB, weights, 0.05)
	if e.MaxModelLen.Value != 4096 || e.MaxNumBatchedTokens.Value != 8192 || e.KVCacheTokens.Value < 400_000 || e.FlashAttentionVersion.Value != 3 {
		t.Errorf("max model len %v, batched tokens %v, KV tokens %v, FA %v", e.MaxModelLen, e.MaxNumBatchedTokens, e.KVCacheTokens, e.FlashAttentionVersion)
	}
	if got := len(e.CaptureSizes.Value); !eager && got != 8 {
		t.Errorf("capture sizes = %v", e.CaptureSizes)
	}
	if !strings.Contains(run.Command.Value, "--load-format dummy") {
		t.Errorf("command = %q", run.Command.Value)
	}
	for _, id := range []string{PhaseStart, PhaseLoad, PhaseKVSizing, PhaseEngineInit, PhaseReady} {
		if run.Log.Phase(id) == nil {
			t.Errorf("no phase %s", id)
		}
	}
	if (run.Log.Phase(PhaseCompile) == nil) != eager || (run.Log.Phase(PhaseGraphCapture) == nil) != eager {
		t.Error("compile and graph capture are there exactly when not eager")
	}
	if len(run.Log.Profiling) < 3 {
		t.Errorf("profiling marks = %v", run.Log.Profiling)
	}
	// The metrics' process start ties the log to the wall clock.
	if !run.LogStart.Known {
		t.Fatal("log is not aligned")
	}
	start := time.Unix(0, run.LogStart.Value).UTC().Format("2006-01-02 15:04:05")
	if start[5:] != run.Log.Start.Text || start[:4] != "2026" {
		t.Errorf("log starts at %s, its first line says %s", start, run.Log.Start.Text)
	}
}

func TestQueueOfSeqs4(t *testing.T) {
	run, err := LoadFolder(os.DirFS(proftest.SharedCapture(t, "seqs4-B")))
	if err != nil {
		t.Fatal(err)
	}
	s := run.Bench.DurationS.Value
	near(t, "running mean", run.Delta.RunningMean(s), 4, 0.05)
	near(t, "waiting mean", run.Delta.WaitingMean(s), 47.8, 0.05)
	near(t, "queue mean", run.Delta.Queue.Mean(), 10.7, 0.05)
	full := 0
	for _, s := range run.Log.Stats {
		if s.Running == 4 && s.Waiting > 50 && s.KVUsage < 0.01 {
			full++
		}
	}
	if full < 3 {
		t.Errorf("%d stat lines show the full batch and the queue: %+v", full, run.Log.Stats)
	}
}

func TestMetricsOfOtherRun(t *testing.T) {
	a, b := proftest.SharedCapture(t, "base8b-A"), proftest.SharedCapture(t, "base1b-G")
	open := func(dir, name string) *Metrics {
		f, err := os.Open(dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		m, err := ReadMetrics(name, f)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	before, after := open(a, "metrics_before.txt"), open(a, "metrics_after.txt")
	other := open(b, "metrics_after.txt")
	if _, err := Diff(before, other); err == nil || !strings.Contains(err.Error(), "started anew") {
		t.Errorf("another server: %v", err)
	}
	if _, err := Diff(other, after); err == nil || !strings.Contains(err.Error(), "started later") {
		t.Errorf("another server, later: %v", err)
	}
	if _, err := Diff(after, before); err == nil || !strings.Contains(err.Error(), "wrong order") {
		t.Errorf("swapped: %v", err)
	}
}
