package knob_test

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/device"
	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/internal/captest"
	"github.com/stepscope/stepscope/internal/proftest"
	"github.com/stepscope/stepscope/serving"
)

// updating reports whether -update is given; the catalogue's tests define the flag.
func updating() bool { return flag.Lookup("update").Value.String() == "true" }

// pair is a capture and the same load on the server with one thing changed.
type pair struct {
	capture, finding string
	advice           string // prefix of the flag, or the name of what the client changes
	after            string // folder of the changed server's benchmark
	note             string
	model            string // public model of this shape, where the server's name for it is not known
}

// pairs are the planted causes whose advice was measured as it was given.
var pairs = []pair{
	{"eager1b-G", diagnose.HostLaunchBound, "--enforce-eager", "base1b-G", "host-bound: the same server varies by 10 to 50 % between runs", ""},
	{"base1b-H", diagnose.HostLaunchBound, "--compilation-config.cudagraph_capture_sizes", "graphs128_1b-H",
		"the sizes 96 and 128 were added, the advice adds 128; at this rate the client receives several tokens at once, so the median gap is above the time per token", ""},
	{"nosync1b-G", diagnose.HostStepGap, "--async-scheduling", "base1b-G-ref", "no effect measured: host speed varies more; the range says so", ""},
	{"base8b-A", diagnose.MemoryBandwidth, "--quantization fp8", "fp8-A", "", ""},
	{"base8b-kineto-A", diagnose.MemoryBandwidth, "--quantization fp8", "fp8-A", "the same server seen by the PyTorch profiler", ""},
	{"base8b-A", diagnose.MemoryBandwidth, "client concurrency", "base8b-B", "160 requests fill two and a half waves of 64", ""},
	{"base8b-F", diagnose.AttentionKVBound, "--kv-cache-dtype fp8", "kvfp8-F", "", ""},
	{"seqs4-B", diagnose.QueueLimited, "--max-num-seqs", "base8b-B", "", ""},
	{"kvsmall-A", diagnose.KVCacheLimited, "--num-gpu-blocks-override", "base8b-A-ref", "", ""},
	{"batched256-E", diagnose.PrefillChunkLimited, "--max-num-batched-tokens", "base8b-E-ref", "no filled step is in the capture: its rate comes from the model's operations", ""},
	{"guard1b-J", diagnose.SyncStall, "--logits-processors", "runner1_1b-J-ref", "four starts of the server without it took 1.74 to 2.64 ms: the host's pace wanders", ""},
	{"offload8b-K", diagnose.TransferBound, "--offload-group-size", "base8b-K-ref", "", ""},
	{"uva8b-L", diagnose.TransferBound, "--cpu-offload-gb", "base8b-K-ref", "12 requests of the same load, on another machine with the same GPU", ""},
	{"ship1b-J", diagnose.TransferBound, "--logits-processors", "runner1_1b-J-ref", "as guard1b-J", ""},
	{"guard8b-J", diagnose.SyncStall, "--logits-processors", "base8b-J-ref", "", ""},
	{"blocking1b-J", diagnose.SyncStall, "CUDA_LAUNCH_BLOCKING", "base1b-J-ref", "a host whose pace wanders as much", ""},
	{"moe30b-A", diagnose.MemoryBandwidth, "client concurrency", "moe30b-B-ref", "experts; the model's shape was given, no filled prefill step is in the capture", "Qwen/Qwen3-30B-A3B"},
}

// unmeasured are planted pairs whose measurement does not answer the advice, with the reason.
var unmeasured = [][3]string{
	{"base8b-P", "--max-num-batched-tokens 2048", "measured with 256 (batched256-P): p99 of the token gap 61.6 -> 30.2 ms, but output fell by 30 %, because steps above 64 tokens run without CUDA graphs on this server"},
	{"base1b-S", "VLLM_USE_FLASHINFER_SAMPLER=1", "measured against greedy requests (base1b-T), which is another load"},
	{"base8b-D-ref", "--speculative-config", "no number is given, as acceptance decides; every draft of ngram8b-D is accepted, an artefact of random weights"},
	{"base8b-C, base8b-U", "more load", "no number is given, as the load decides"},
	{"prefetch8b-O", "none", "the planted flag had no effect; nothing was wrong with this server"},
}

// measured returns what a benchmark says of a predicted metric.
func measured(b *serving.Bench, metric string) (float64, bool) {
	var f serving.Fact[float64]
	switch metric {
	case "itl_ms":
		f = b.ITL.Percentile(50)
	case "tpot_ms":
		f = b.TPOT.Mean
	case "ttft_ms":
		f = b.TTFT.Mean
	case "output_tokens_per_s":
		f = b.OutputRate
	}
	return f.Value, f.Known
}

const columns = "| capture | finding | change | metric | before | predicted | range | measured | error | in range | note |"

func (p pair) row(t *testing.T) (string, bool) {
	t.Helper()
	var o captest.Options
	if p.model != "" {
		s, m := device.Known(p.model)
		if !m.OK {
			t.Fatalf("%s is not a model whose shape is known", p.model)
		}
		o.Shape = s
	}
	r := captest.Diagnose(t, p.capture, o)
	run, err := serving.LoadFolder(os.DirFS(proftest.Capture(t, p.after)))
	if err != nil || run.Bench == nil {
		t.Fatalf("%s: %v", p.after, err)
	}
	f := r.Finding(p.finding)
	if f == nil {
		t.Fatalf("%s: no %s", p.capture, p.finding)
	}
	for _, a := range f.Advice {
		name := a.Flag
		if name == "" {
			name = a.Knob
		}
		if !strings.HasPrefix(name, p.advice) {
			continue
		}
		x := a.Predicted
		if x == nil {
			t.Fatalf("%s: %s has no number: %s", p.capture, name, a.Unpredicted)
		}
		m, ok := measured(run.Bench, x.Metric)
		if !ok {
			t.Fatalf("%s: %s was not measured", p.after, x.Metric)
		}
		within := x.Low <= m && m <= x.High
		mark := map[bool]string{true: "yes", false: "**no**"}[within]
		change := name
		switch {
		case a.To == "not set":
			change = "drop " + name
		case a.Flag == "":
			change = fmt.Sprintf("%s %s -> %s", a.Knob, a.From, a.To)
		}
		return fmt.Sprintf("| %s -> %s | %s | `%s` | %s | %s | %s | %s to %s | %s | %+.1f %% | %s | %s |", p.capture, p.after, p.finding, change, x.Metric,
			num(x.Before), num(x.After), num(x.Low), num(x.High), num(m), 100*(m/x.After-1), mark, p.note), within
	}
	t.Fatalf("%s: no advice %s, only %v", p.capture, p.advice, captest.Flags(f))
	return "", false
}

func num(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// doc renders the page around the rows.
func doc(rows []string) string {
	var b strings.Builder
	b.WriteString(`# Predictions against measurements

Generated by ` + "`go test ./knob -run TestPredictions -update`" + ` from the captures in testdata/captures and their counterfactuals; a
test keeps it current. No number on this page was typed by hand, except in the notes.

Every capture is a server with one known cause. stepscope read the capture and the server's evidence, and predicted what a
change that it advises for the cause would give. The change was made on a GPU of the same type, and the same load was measured
without the profiler. Error is measured over predicted, less one, as in the ledger. ITL is the median time between chunks at
the client.
All on NVIDIA H100 80GB HBM3 with vLLM 0.24.0; models of random weights, so speeds are real and texts are not.

`)
	b.WriteString(columns + "\n|" + strings.Repeat("---|", strings.Count(columns, "|")-1) + "\n")
	var errs []float64
	in := 0
	for _, r := range rows {
		b.WriteString(r + "\n")
		c := strings.Split(r, "|")
		var e float64
		fmt.Sscanf(strings.TrimSpace(c[9]), "%f", &e)
		errs = append(errs, math.Abs(e))
		if strings.TrimSpace(c[10]) == "yes" {
			in++
		}
	}
	slices.Sort(errs)
	fmt.Fprintf(&b, "\n%d of %d measurements lie in the predicted range. The median error is %.1f %%, the largest %.1f %%.\n", in, len(rows), errs[len(errs)/2], errs[len(errs)-1])
	b.WriteString(`
The largest errors are those of host-bound servers (a 1B model), whose step time varies by 10 to 50 % from run to run with
nothing changed; the constants behind the other predictions (90 % of the 16-bit bandwidth for 8-bit GEMMs, 62 % of attention's
time with an 8-bit cache, 60 % of peak arithmetic for filled prefill) were set with these models on this type of GPU in view,
so other models and GPUs are the real test: ` + "`stepscope try`" + ` measures, and the ledger keeps prediction and result side by side.

**This page is a fit, not a blind test.** The measurements were there while the models were written, and four of these rows
were misses or near misses first, until the model behind them was corrected:

- a larger token budget was predicted as a shorter time to first token, by the share of the wall; the measured value lay at
  the very end of the range. It is now the output of a closed loop, from the cost of a request in small and in filled steps;
- asynchronous scheduling was predicted to remove the whole gap between steps, and the measured value lay outside the range.
  It now hides the host's work behind the GPU's, and the range holds the variation of host-bound servers;
- twice the requests on a mixture of experts was a quarter too high, as more tokens wake more experts and prefill of experts is
  slower than of dense layers; both are now in the model, the latter with a constant from this very server;
- more requests than the largest captured CUDA graph holds was predicted as a gain, where a similar load (base1b-H) made half of
  the output; graphs of that size are now a precondition of the advice.

## Planted pairs without a comparable number

| capture | advice | why |
|---|---|---|
`)
	for _, u := range unmeasured {
		fmt.Fprintf(&b, "| %s | `%s` | %s |\n", u[0], u[1], u[2])
	}
	return b.String()
}

func TestPredictions(t *testing.T) {
	path := filepath.Join("..", "docs", "experiments", "predictions.md")
	have := map[string]string{} // pair -> row of the page
	if data, err := os.ReadFile(path); err == nil {
		for _, l := range strings.Split(string(data), "\n") {
			if c := strings.Split(l, " | "); strings.Contains(c[0], " -> ") && len(c) > 5 {
				have[c[0]+c[2]] = l
			}
		}
	} else if !updating() {
		t.Fatal(err)
	}
	key := func(row string) string {
		c := strings.Split(row, " | ")
		return c[0] + c[2]
	}
	rows := make([]string, len(pairs))
	for i, p := range pairs {
		t.Run(p.capture+" to "+p.after, func(t *testing.T) {
			row, within := p.row(t)
			rows[i] = row
			if !within && !strings.Contains(row, "**no**") {
				t.Error("a miss is not marked")
			}
			if !updating() && have[key(row)] != row {
				t.Errorf("the page is not current (go test ./knob -run TestPredictions -update):\nhave %s\nwant %s", have[key(row)], row)
			}
		})
	}
	if updating() {
		for i, r := range rows {
			if r == "" {
				t.Fatalf("%s to %s: the captures are not here, so the page cannot be written", pairs[i].capture, pairs[i].after)
			}
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(doc(rows)), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	// The page around the rows, with the rows that it has: words and sums are current too.
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, l := range strings.Split(string(data), "\n") {
		if strings.HasPrefix(l, "| ") && strings.Contains(strings.Split(l, " | ")[0], " -> ") {
			all = append(all, l)
		}
	}
	if len(all) != len(pairs) {
		t.Fatalf("the page has %d of %d pairs", len(all), len(pairs))
	}
	if got := doc(all); got != string(data) {
		t.Error("the page's words or sums are not current (go test ./knob -run TestPredictions -update)")
	}
}

// A prediction that measurement has refuted must not come back: every pair stays within its range, or within a fifth of it.
func TestPredictionsHold(t *testing.T) {
	for _, p := range pairs {
		t.Run(p.capture+" to "+p.after, func(t *testing.T) {
			row, within := p.row(t)
			var e float64
			fmt.Sscanf(strings.TrimSpace(strings.Split(row, "|")[9]), "%f", &e)
			if !within && math.Abs(e) > 20 {
				t.Error(row)
			}
		})
	}
}
