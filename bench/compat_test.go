package bench_test

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"sort"
	"testing"
	"time"

	"github.com/stepscope/stepscope/bench"
	"github.com/stepscope/stepscope/internal/fakeopenai"
	"github.com/stepscope/stepscope/serving"
)

// vllmKeys are the keys that `vllm bench serve --save-result --save-detailed
// --percentile-metrics ttft,tpot,itl,e2el` of vLLM 0.24 to 0.33 writes for any text
// server (latencies later than 0.24), less generated_texts (private data, only on
// request), queue_times (only where requests wait in the client) and those of options
// that were not used.
var vllmKeys = []string{"date", "endpoint_type", "backend", "label", "model_id", "tokenizer_id", "num_prompts", "request_rate", "burstiness",
	"max_concurrency", "duration", "completed", "failed", "total_input_tokens", "total_output_tokens", "request_throughput", "request_goodput",
	"output_throughput", "total_token_throughput", "max_output_tokens_per_s", "max_concurrent_requests", "rtfx",
	"mean_ttft_ms", "median_ttft_ms", "std_ttft_ms", "p99_ttft_ms", "mean_tpot_ms", "median_tpot_ms", "std_tpot_ms", "p99_tpot_ms",
	"mean_itl_ms", "median_itl_ms", "std_itl_ms", "p99_itl_ms", "mean_e2el_ms", "median_e2el_ms", "std_e2el_ms", "p99_e2el_ms",
	"input_lens", "output_lens", "ttfts", "itls", "latencies", "start_times", "errors"}

// TestResultHasVLLMsKeys recomputes every summary from the details, as vLLM would.
func TestResultHasVLLMsKeys(t *testing.T) {
	s := fakeopenai.New(t, fakeopenai.Config{TTFT: 5 * time.Millisecond, ITL: time.Millisecond})
	res, err := bench.Run(t.Context(), bench.Config{URL: s.URL, Requests: 10, Concurrency: 3, OutputLen: 8, SLO: bench.SLO{TTFTMS: 1000}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := res.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var o map[string]any
	if err := json.Unmarshal(b.Bytes(), &o); err != nil {
		t.Fatal(err)
	}
	for _, k := range vllmKeys {
		if _, ok := o[k]; !ok {
			t.Errorf("no key %s", k)
		}
	}
	if o["request_rate"] != "inf" || o["max_concurrency"] != 3.0 || o["completed"] != 10.0 {
		t.Errorf("request_rate %v, max_concurrency %v, completed %v", o["request_rate"], o["max_concurrency"], o["completed"])
	}
	floats := func(v any) []float64 {
		var out []float64
		for _, x := range v.([]any) {
			out = append(out, x.(float64))
		}
		return out
	}
	ttfts, latencies, outputs := floats(o["ttfts"]), floats(o["latencies"]), floats(o["output_lens"])
	var itls, tpots []float64
	for i, l := range o["itls"].([]any) {
		gaps := floats(l)
		sum := ttfts[i]
		for _, g := range gaps {
			sum += g
		}
		if math.Abs(sum-latencies[i]) > 1e-6 {
			t.Errorf("request %d: ttft and itls add up to %v, latency %v", i, sum, latencies[i])
		}
		itls = append(itls, gaps...)
		tpots = append(tpots, (latencies[i]-ttfts[i])/(outputs[i]-1))
	}
	for name, v := range map[string][]float64{"ttft": ttfts, "tpot": tpots, "itl": itls, "e2el": latencies} {
		sort.Float64s(v)
		var mean, sq float64
		for _, x := range v {
			mean += x / float64(len(v))
		}
		for _, x := range v {
			sq += (x - mean) * (x - mean) / float64(len(v))
		}
		percentile := func(p float64) float64 { // numpy's
			pos := p / 100 * float64(len(v)-1)
			i := min(int(pos), len(v)-2)
			return v[i] + (pos-float64(i))*(v[i+1]-v[i])
		}
		for key, want := range map[string]float64{"mean": mean, "std": math.Sqrt(sq), "median": percentile(50), "p90": percentile(90), "p95": percentile(95), "p99": percentile(99)} {
			if got := o[key+"_"+name+"_ms"].(float64); math.Abs(got-want*1000) > 1e-6*want*1000 {
				t.Errorf("%s_%s_ms is %v, the details say %v", key, name, got, want*1000)
			}
		}
	}
	if !slices.IsSorted(floats(o["start_times"])[:3]) {
		t.Log("the first requests started out of order") // allowed, only unusual
	}
	if d := o["duration"].(float64); math.Abs(o["output_throughput"].(float64)*d-80) > 1e-6 || math.Abs(o["request_throughput"].(float64)*d-10) > 1e-6 ||
		math.Abs(o["request_goodput"].(float64)*d-10) > 1e-6 {
		t.Errorf("throughputs over %v s: %v, %v, %v", d, o["output_throughput"], o["request_throughput"], o["request_goodput"])
	}
	read, err := serving.ReadBench("bench.json", &b)
	if err != nil {
		t.Fatal(err)
	}
	if read.Kind != serving.VLLMServe || read.Completed.Value != 10 || read.TTFT.Mean.Value != res.TTFT.Mean || len(read.ITL.Samples) != 70 || len(read.Warnings) > 0 ||
		read.MaxConcurrency.Value != 3 || !math.IsInf(read.RequestRate.Value, 1) {
		t.Errorf("package serving reads %+v", read)
	}
}
