package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
)

// Schema names the format of the "stepscope" member of the result file.
const Schema = "stepscope.bench/1"

// WriteJSON writes the result as one JSON object with the keys and units of
// `vllm bench serve --save-result --save-detailed`: latencies in milliseconds,
// details in seconds. What has no counterpart there is in the member "stepscope". A
// figure that was not measured is null where vLLM's has a place for null, and absent
// otherwise. Per-request lists have one entry for each request that was started;
// those of failed requests are 0 or empty, as vLLM's are.
func (r *Result) WriteJSON(w io.Writer) error {
	o := &object{}
	backend := "openai"
	if r.API == Chat {
		backend = "openai-chat"
	}
	o.add("date", r.Date.Format("20060102-150405"))
	o.add("endpoint_type", backend)
	o.add("backend", backend)
	o.add("label", nullIf(r.Label, ""))
	o.add("model_id", r.Model)
	o.add("tokenizer_id", nil)
	o.add("num_prompts", r.NumPrompts)
	if r.Rate > 0 {
		o.add("request_rate", r.Rate)
	} else {
		o.add("request_rate", "inf")
	}
	o.add("burstiness", 1.0)
	o.add("max_concurrency", nullIf(r.Concurrency, 0))
	o.add("duration", r.seconds())
	o.add("completed", r.Completed)
	o.add("failed", r.Failed)
	if r.InputTokens >= 0 {
		o.add("total_input_tokens", r.InputTokens)
	}
	o.add("total_output_tokens", r.OutputTokens)
	o.add("request_throughput", r.RequestThroughput())
	o.add("request_goodput", number(r.Goodput()))
	o.add("output_throughput", r.OutputThroughput())
	o.addNumber("total_token_throughput", r.TotalThroughput())
	o.addNumber("output_throughput_per_gpu", r.OutputThroughputPerGPU())
	if r.GPUs > 0 {
		o.addNumber("total_token_throughput_per_gpu", r.TotalThroughput()/float64(r.GPUs))
	}
	if r.Completed > 0 {
		o.add("max_output_tokens_per_s", r.PeakOutput)
		o.add("max_concurrent_requests", r.BusiestSecond)
	}
	o.add("rtfx", 0.0) // of audio transcription; vLLM writes 0 for text
	if d := r.SpecDecode; d != nil {
		o.add("spec_decode_acceptance_rate", 100*d.AcceptanceRate()) // vLLM's is in per cent
		o.add("spec_decode_acceptance_length", d.AcceptanceLength())
		o.add("spec_decode_num_drafts", d.Drafts)
		o.add("spec_decode_draft_tokens", d.DraftTokens)
		o.add("spec_decode_accepted_tokens", d.AcceptedTokens)
		o.add("spec_decode_per_position_acceptance_rates", d.PerPosition)
	}
	for _, l := range []struct {
		name string
		l    Latency
	}{{"ttft", r.TTFT}, {"tpot", r.TPOT}, {"itl", r.ITL}, {"e2el", r.E2E}} {
		o.addNumber("mean_"+l.name+"_ms", l.l.Mean)
		o.addNumber("median_"+l.name+"_ms", l.l.Median)
		o.addNumber("std_"+l.name+"_ms", l.l.Std)
		for i, p := range r.Percentiles {
			o.addNumber("p"+strconv.FormatFloat(p, 'f', -1, 64)+"_"+l.name+"_ms", l.l.Percentiles[i])
		}
	}
	r.addDetails(o)
	o.add("stepscope", r.extension())
	for _, k := range slices.Sorted(maps.Keys(r.Metadata)) { // the result's own keys win
		o.add(k, r.Metadata[k])
	}
	if o.err != nil {
		return fmt.Errorf("encoding the benchmark result: %w", o.err)
	}
	_, err := w.Write(o.bytes())
	return err
}

// addDetails adds the per-request lists, in seconds.
func (r *Result) addDetails(o *object) {
	n := len(r.Requests)
	inputs, outputs := make([]int, n), make([]int, n)
	ttfts, latencies, starts, queues := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	itls := make([][]float64, n)
	errs, texts := make([]string, n), make([]string, n)
	kept := false
	for i, q := range r.Requests {
		itls[i] = []float64{}
		starts[i], queues[i] = float64(q.StartNS)/1e9, float64(q.QueueNS)/1e9
		inputs[i] = max(q.InputTokens, 0)
		texts[i] = q.Text
		kept = kept || q.Text != ""
		if !q.OK() {
			errs[i] = string(q.Kind) + ": " + q.Error
			continue
		}
		outputs[i] = q.OutputTokens
		ttfts[i], latencies[i] = float64(q.TTFTNS)/1e9, float64(q.E2ENS)/1e9
		for _, g := range q.GapsNS {
			itls[i] = append(itls[i], float64(g)/1e9)
		}
	}
	o.add("input_lens", inputs)
	o.add("output_lens", outputs)
	o.add("ttfts", ttfts)
	o.add("itls", itls)
	o.add("latencies", latencies)
	o.add("start_times", starts)
	if r.Rate > 0 && r.Concurrency > 0 { // elsewhere no request waits in the client
		o.add("queue_times", queues)
	}
	if kept {
		o.add("generated_texts", texts)
	}
	o.add("errors", errs)
}

// extension is the member "stepscope".
func (r *Result) extension() *object {
	o := &object{}
	o.add("schema", Schema)
	o.add("started_unix_ns", r.Date.UnixNano())
	o.add("percentile_method", "linear")
	o.add("prompts", r.PromptKind)
	o.add("input_len", nullIf(r.InputLen, 0))
	o.add("output_len", nullIf(r.OutputLen, 0))
	o.add("ignore_eos", r.IgnoreEOS)
	o.add("seed", r.Seed)
	o.add("warmup_requests", r.Warmup)
	o.add("gpus", nullIf(r.GPUs, 0))
	if r.SLO.set() {
		s := &object{}
		for _, b := range []struct {
			name string
			v    float64
		}{{"ttft_ms", r.SLO.TTFTMS}, {"tpot_ms", r.SLO.TPOTMS}, {"itl_ms", r.SLO.ITLMS}, {"e2el_ms", r.SLO.E2EMS}} {
			if b.v > 0 {
				s.add(b.name, b.v)
			}
		}
		o.add("slo", s)
	}
	o.add("interrupted", r.Interrupted)
	o.add("unfinished", r.Unfinished)
	o.add("not_started", r.NotStarted)
	kinds := &object{}
	for _, k := range slices.Sorted(maps.Keys(r.Errors)) {
		kinds.add(string(k), r.Errors[k])
	}
	o.add("errors_by_kind", kinds)
	o.addNumber("mean_concurrency", r.MeanConcurrency())
	if r.Completed > 0 {
		o.add("peak_concurrency", r.PeakRequests)
	}
	o.addNumber("tokens_per_chunk", r.TokensPerChunk())
	counted := false
	chunkTokens := make([][]int, len(r.Requests))
	for i, q := range r.Requests {
		chunkTokens[i] = q.ChunkTokens
		if chunkTokens[i] == nil {
			chunkTokens[i] = []int{}
		}
		counted = counted || q.ChunkTokens != nil
	}
	if counted && r.TokensPerChunk() > 1 {
		o.add("chunk_tokens", chunkTokens)
	}
	o.add("client_overhead", r.Overhead.object())
	warnings := r.Warnings
	if warnings == nil {
		warnings = []Warning{}
	}
	o.add("warnings", warnings)
	return o
}

func (v Overhead) object() *object {
	o := &object{}
	o.add("chunks", v.Chunks)
	o.addNumber("clock_ns", v.ClockNS)
	for _, s := range []struct {
		name string
		s    Spread
	}{{"handling", v.Handling}, {"wake_idle", v.WakeIdle}, {"wake_loaded", v.WakeLoaded}} {
		o.addNumber(s.name+"_p50_ns", s.s.P50NS)
		o.addNumber(s.name+"_p95_ns", s.s.P95NS)
		o.addNumber(s.name+"_p99_ns", s.s.P99NS)
	}
	o.addNumber("handling_share_of_itl", v.ShareOfITL)
	o.addNumber("wake_jitter_share_of_itl", v.JitterOfITL)
	return o
}

// An object is a JSON object whose members keep their order. A name is taken once;
// the first wins.
type object struct {
	buf   bytes.Buffer
	names map[string]bool
	err   error
}

func (o *object) add(name string, v any) {
	if o.names[name] || o.err != nil {
		return
	}
	if o.names == nil {
		o.names = map[string]bool{}
	}
	o.names[name] = true
	key, err := json.Marshal(name)
	var val []byte
	if err == nil {
		val, err = json.Marshal(v)
	}
	if err != nil {
		o.err = fmt.Errorf("%s: %w", name, err)
		return
	}
	if o.buf.Len() > 0 {
		o.buf.WriteString(",\n")
	}
	o.buf.Write(key)
	o.buf.WriteString(": ")
	o.buf.Write(val)
}

// addNumber leaves out what is not a number.
func (o *object) addNumber(name string, v float64) {
	if n := number(v); n != nil {
		o.add(name, n)
	}
}

func (o *object) bytes() []byte { return []byte("{\n" + o.buf.String() + "\n}\n") }

// MarshalJSON makes an object a member of another one.
func (o *object) MarshalJSON() ([]byte, error) {
	if o.err != nil {
		return nil, o.err
	}
	return []byte("{" + o.buf.String() + "}"), nil
}

// number is nil for NaN and infinities, which JSON lacks.
func number(v float64) any {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return v
}

func nullIf[T comparable](v, absent T) any {
	if v == absent {
		return nil
	}
	return v
}
