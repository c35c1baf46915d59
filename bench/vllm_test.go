package bench

import (
	"bytes"
	"encoding/json"
	"math"
	"path/filepath"
	"testing"

	"github.com/stepscope/stepscope/internal/packed"
	"github.com/stepscope/stepscope/serving"
)

// TestFiguresOfVLLM recomputes the figures of a result of `vllm bench serve` 0.24 on an
// H100 from its own details, by the definitions of this package: they must be the same
// figures. The file is as vLLM wrote it, with times rounded to nanoseconds and without
// the generated texts.
func TestFiguresOfVLLM(t *testing.T) {
	text := packed.Gunzip(t, filepath.Join("testdata", "vllm-0.24.json.gz"))
	theirs, err := serving.ReadBench("vllm.json", bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if theirs.Kind != serving.VLLMServe || len(theirs.Requests) != 48 || len(theirs.Warnings) > 0 {
		t.Fatalf("%s, %d requests, %v", theirs.Kind, len(theirs.Requests), theirs.Warnings)
	}
	if theirs.PeakConcurrency.Value != 8 {
		t.Errorf("%v requests at once of 8 clients", theirs.PeakConcurrency.Value)
	}
	r := Result{DurationNS: int64(math.Round(theirs.DurationS.Value * 1e9)), NumPrompts: 48}
	var ttft, tpot, itl, e2e []float64
	gaps := theirs.ITL.Samples
	for _, q := range theirs.Requests {
		n := int(q.OutputTokens) - 1 // a chunk was a token
		own := Request{StartNS: q.StartNS, TTFTNS: q.TTFTNS, E2ENS: q.E2ENS, InputTokens: int(q.PromptTokens), OutputTokens: n + 1}
		for _, ms := range gaps[:n] {
			own.GapsNS = append(own.GapsNS, int64(math.Round(ms*1e6)))
			itl = append(itl, ms)
		}
		gaps = gaps[n:]
		ttft, e2e, tpot = append(ttft, float64(own.TTFTNS)/1e6), append(e2e, float64(own.E2ENS)/1e6), append(tpot, own.TPOTNS()/1e6)
		r.Requests = append(r.Requests, own)
		r.Completed++
		r.InputTokens += int64(own.InputTokens)
		r.OutputTokens += int64(own.OutputTokens)
	}
	if len(gaps) != 0 {
		t.Errorf("%d gaps are left", len(gaps))
	}
	p := []float64{99}
	r.TTFT, r.TPOT, r.ITL, r.E2E = latency(ttft, p), latency(tpot, p), latency(itl, p), latency(e2e, p)
	r.PeakOutput, r.PeakRequests, r.BusiestSecond = peaks(r.Requests)
	// vLLM reads its clock once more for the latency than for the gaps, which takes a
	// quarter of a microsecond off each TPOT's request.
	for _, c := range []struct {
		name      string
		ours      Latency
		theirs    serving.Distribution
		tolerance float64
	}{{"ttft", r.TTFT, theirs.TTFT, 1e-7}, {"tpot", r.TPOT, theirs.TPOT, 3e-6}, {"itl", r.ITL, theirs.ITL, 1e-6}} {
		for name, v := range map[string][2]float64{"mean": {c.ours.Mean, c.theirs.Mean.Value}, "median": {c.ours.Median, c.theirs.Median.Value},
			"std": {c.ours.Std, c.theirs.Std.Value}, "p99": {c.ours.Percentiles[0], c.theirs.Percentiles[0].Value}} {
			if !(math.Abs(v[0]-v[1]) <= c.tolerance*v[1]) {
				t.Errorf("%s_%s_ms is %v, vLLM has %v", name, c.name, v[0], v[1])
			}
		}
	}
	var o struct {
		Requests float64 `json:"request_throughput"`
		Output   float64 `json:"output_throughput"`
		Total    float64 `json:"total_token_throughput"`
		Peak     float64 `json:"max_output_tokens_per_s"`
		Busiest  int     `json:"max_concurrent_requests"`
	}
	if err := json.Unmarshal(text, &o); err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string][2]float64{"request_throughput": {r.RequestThroughput(), o.Requests}, "output_throughput": {r.OutputThroughput(), o.Output},
		"total_token_throughput": {r.TotalThroughput(), o.Total}, "max_output_tokens_per_s": {r.PeakOutput, o.Peak},
		"max_concurrent_requests": {float64(r.BusiestSecond), float64(o.Busiest)}, "requests at once": {float64(r.PeakRequests), 8}} {
		if !(math.Abs(v[0]-v[1]) <= 1e-9*v[1]) {
			t.Errorf("%s is %v, vLLM has %v", name, v[0], v[1])
		}
	}
}
