package serving

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
)

func readBench(t *testing.T, text string) *Bench {
	t.Helper()
	b, err := ReadBench("bench.json", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ids are the IDs of warnings.
func ids(ws []Warning) []string {
	var out []string
	for _, w := range ws {
		out = append(out, w.ID)
	}
	return out
}

const serveResult = `{"date": "20261124-064053", "endpoint_type": "openai", "backend": "openai", "label": null, "model_id": "meta/llama",
 "tokenizer_id": "meta/llama", "num_prompts": 10, "tp": "4", "request_rate": "inf", "burstiness": 1.0, "max_concurrency": null,
 "duration": 2.0, "completed": 9, "failed": 1, "total_input_tokens": 900, "total_output_tokens": 180, "request_throughput": 4.5,
 "request_goodput": null, "output_throughput": 90.0, "total_token_throughput": 540.0, "max_output_tokens_per_s": 120.0,
 "max_concurrent_requests": 10, "rtfx": 0.0,
 "mean_ttft_ms": 50.5, "median_ttft_ms": 48.0, "std_ttft_ms": NaN, "p90_ttft_ms": 70.0, "p99_ttft_ms": 80.0, "p99.9_ttft_ms": 81.0,
 "mean_itl_ms": 10.0, "median_itl_ms": 9.5, "std_itl_ms": 1.0, "p99_itl_ms": 20.0,
 "spec_decode_acceptance_rate": 71.5, "spec_decode_draft_tokens": 200, "spec_decode_accepted_tokens": 150, "spec_decode_acceptance_length": 2.5}`

func TestVLLMServe(t *testing.T) {
	b := readBench(t, serveResult)
	near(t, "mean TTFT", b.TTFT.Mean, 50.5, 0)
	near(t, "median TTFT", b.TTFT.Percentile(50), 48, 0)
	near(t, "p99.9 TTFT", b.TTFT.Percentile(99.9), 81, 0)
	near(t, "request rate", b.RequestRate, math.Inf(1), 0)
	near(t, "acceptance", b.AcceptanceRate, 0.75, 0)
	if b.Kind != VLLMServe || b.Model.Value != "meta/llama" || b.Completed.Value != 9 || b.Failed.Value != 1 {
		t.Errorf("%+v", b)
	}
	for what, known := range map[string]bool{
		"std of NaN": b.TTFT.Std.Known, "null concurrency": b.MaxConcurrency.Known, "null goodput": b.Goodput.Known,
		"absent TPOT": b.TPOT.Recorded(), "absent E2E": b.E2E.Recorded(), "null label": b.Label.Known, "p95 without samples": b.TTFT.Percentile(95).Known,
	} {
		if known {
			t.Errorf("%s is known", what)
		}
	}
	if got := b.TTFT.Mean.Source.String(); got != "bench.json:1: mean_ttft_ms" {
		t.Errorf("source = %s", got)
	}
	want := []KeyValue{{"rtfx", "0"}, {"tokenizer_id", "meta/llama"}, {"tp", "4"}}
	var extra []KeyValue
	for _, e := range b.Extra {
		if !strings.HasPrefix(e.Key, "spec_decode") {
			extra = append(extra, e)
		}
	}
	if !reflect.DeepEqual(extra, want) {
		t.Errorf("extra = %v", extra)
	}
}

func TestVLLMServeDetails(t *testing.T) {
	b := readBench(t, `{"completed": 3, "duration": 1.0, "num_prompts": 4, "total_output_tokens": 6,
 "input_lens": [5, 5, 5, 5], "output_lens": [3, 2, 0, 1], "ttfts": [0.1, 0.2, 0.0, 0.3], "itls": [[0.01, 0.03], [0.02], [], []],
 "start_times": [100.0, 100.5, 100.6, 100.7], "generated_texts": ["secret text", "", "", ""],
 "errors": ["", "", "Traceback...\nTimeoutError: Bearer abcdefghijkl", ""], "server_queue_times": [0.001, null, null, 0.003]}`)
	near(t, "TTFT mean", b.TTFT.Mean, 200, 1e-9)
	near(t, "TTFT median", b.TTFT.Median, 200, 1e-9)
	near(t, "E2E max", b.E2E.Max, 300, 1e-9)
	near(t, "E2E min", b.E2E.Min, 140, 1e-9)
	near(t, "TPOT mean", b.TPOT.Mean, 20, 1e-9)
	near(t, "ITL p50", b.ITL.Percentile(50), 20, 1e-9)
	near(t, "ITL p75", b.ITL.Percentile(75), 25, 1e-9)
	near(t, "queue mean", b.Queue.Mean, 2, 1e-9)
	near(t, "request rate", b.RequestRateDone, 3, 0)
	if b.TTFT.N.Value != 3 || b.ITL.N.Value != 3 || b.TPOT.N.Value != 2 || b.Failed.Value != 1 {
		t.Errorf("N: TTFT %v ITL %v TPOT %v, failed %v", b.TTFT.N, b.ITL.N, b.TPOT.N, b.Failed)
	}
	if len(b.Requests) != 4 || !b.Requests[2].Failed || b.Requests[0].E2ENS != 140_000_000 || b.Requests[1].StartNS != 100_500_000_000 || b.Requests[0].Clock != ClockMonotonic {
		t.Errorf("requests = %+v", b.Requests)
	}
	if want := []Count{{"TimeoutError: Bearer ***", 1}}; !reflect.DeepEqual(b.Errors, want) {
		t.Errorf("errors = %v", b.Errors)
	}
	if len(b.Warnings) > 0 {
		t.Errorf("warnings = %v", b.Warnings)
	}
}

func TestBenchKinds(t *testing.T) {
	t.Run("old serve", func(t *testing.T) {
		b := readBench(t, `{"completed": 8, "num_prompts": 10, "duration": 4, "request_goodput:": 1.5, "request_rate": 2.5, "total_input_tokens": 40, "total_output_tokens": 80}`)
		near(t, "goodput", b.Goodput, 1.5, 0)
		near(t, "rate", b.RequestRate, 2.5, 0)
		near(t, "total rate", b.TotalRate, 30, 0)
		if b.Failed.Value != 2 || b.Failed.Source.Field != "num_prompts, completed" {
			t.Errorf("failed = %v", b.Failed)
		}
	})
	t.Run("pooling has no output", func(t *testing.T) {
		b := readBench(t, `{"completed": 8, "duration": 4, "total_input_tokens": 40, "mean_e2el_ms": 3, "p99_e2el_ms": 4}`)
		if b.OutputTokens.Known || b.OutputRate.Known || b.TotalRate.Known {
			t.Error("output tokens are known")
		}
		near(t, "E2E", b.E2E.Mean, 3, 0)
	})
	t.Run("latency", func(t *testing.T) {
		b := readBench(t, `{"avg_latency": 0.5, "latencies": [0.4, 0.6], "percentiles": {"10": 0.4, "50": 0.5, "99": 0.6}}`)
		near(t, "mean", b.E2E.Mean, 500, 0)
		near(t, "p99", b.E2E.Percentile(99), 600, 1e-9)
		if b.Kind != VLLMLatency || b.E2E.N.Value != 2 {
			t.Errorf("%+v", b)
		}
	})
	t.Run("throughput", func(t *testing.T) {
		b := readBench(t, `{"elapsed_time": 2.0, "num_requests": 100, "total_num_tokens": 5000, "requests_per_second": 50.0, "tokens_per_second": 2500.0}`)
		near(t, "tokens", b.TotalRate, 2500, 0)
		if b.Kind != VLLMThroughput || b.Completed.Value != 100 {
			t.Errorf("%+v", b)
		}
	})
	t.Run("sglang", func(t *testing.T) {
		b := readBench(t, `{"tag": null, "backend": "sglang", "dataset_name": "random", "request_rate": "trace", "max_concurrency": 16,
 "random_input_len": 1024, "server_info": {"model_path": "Qwen/Qwen3-8B", "version": "0.5.9", "api_key": "sk-1234567890abcdefghij", "tp_size": 2, "max_running_requests": 128},
 "duration": 10, "completed": 100, "total_input_tokens": 1000, "total_output_tokens": 2000, "total_output_tokens_retokenized": 2001,
 "request_throughput": 10, "input_throughput": 100, "output_throughput": 200, "total_throughput": 300, "mean_e2e_latency_ms": 800.5,
 "p90_e2e_latency_ms": 900, "mean_ttft_ms": 33, "p95_itl_ms": 12, "concurrency": 15.2, "accept_length": null, "cache_hit_rate_pct": 25}`+"\n")
		near(t, "e2e", b.E2E.Mean, 800.5, 0)
		near(t, "e2e p90", b.E2E.Percentile(90), 900, 0)
		near(t, "itl p95", b.ITL.Percentile(95), 12, 0)
		near(t, "concurrency", b.MeanConcurrency, 15.2, 0)
		near(t, "hit rate", b.PrefixHitRate, 0.25, 0)
		near(t, "total", b.TotalRate, 300, 0)
		if b.Kind != SGLangServe || b.Engine.Version.Value != "0.5.9" || b.Model.Value != "Qwen/Qwen3-8B" || b.RequestRate.Known || b.Engine.TensorParallel.Value != 2 {
			t.Errorf("%+v", b)
		}
	})
	t.Run("guidellm", func(t *testing.T) {
		b := readBench(t, `{"metadata": {"version": 2, "guidellm_version": "0.8.1"}, "config": {}, "benchmarks": [{"type_": "generative_benchmark",
 "config": {"strategy": {"type_": "concurrent", "streams": 8}}, "duration": 30.5, "scheduler_metrics": {"requests_made": {"successful": 2, "errored": 1, "incomplete": 3, "total": 6}},
 "metrics": {"requests_per_second": {"successful": {"mean": 4.5, "count": 2}}, "request_latency": {"successful": {"mean": 1.5, "median": 1.4, "std_dev": 0.1, "min": 1, "max": 2, "count": 2,
   "percentiles": {"p001": 1.0, "p05": 1.05, "p50": 1.4, "p99": 1.99, "p999": 2.0}, "pdf": [[1, 0.5], [2, 0.5]]}},
  "time_to_first_token_ms": {"successful": {"mean": 40, "count": 2}}, "inter_token_latency_ms": {"successful": {"mean": 0, "count": 0}},
  "output_tokens_per_second": {"successful": {"mean": 99}}, "prompt_token_count": {"successful": {"mean": 10, "count": 2, "total_sum": 20}}, "output_token_count": {"successful": {"mean": 5, "count": 2}}},
 "requests": {"successful": [{"request_id": "a", "output": "private", "request_start_time": 1764000000.5, "request_latency": 1.0, "time_to_first_token_ms": 200, "prompt_tokens": 10, "output_tokens": 5}],
  "errored": [{"request_id": "b", "request_latency": null}], "incomplete": [{"request_id": "c"}]}}]}`)
		near(t, "latency", b.E2E.Mean, 1500, 0)
		near(t, "p0.1", b.E2E.Percentile(0.1), 1000, 0)
		near(t, "p5", b.E2E.Percentile(5), 1050, 1e-9)
		near(t, "p99.9", b.E2E.Percentile(99.9), 2000, 0)
		near(t, "TPOT", b.TPOT.Mean, 200, 1e-9)
		near(t, "duration", b.DurationS, 30.5, 0)
		if b.ITL.Recorded() || b.Completed.Value != 2 || b.Failed.Value != 1 || b.MaxConcurrency.Value != 8 || b.OutputTokens.Value != 10 || b.InputTokens.Value != 20 || len(b.Requests) != 2 {
			t.Errorf("%+v", b)
		}
		if b.Producer.Value != "guidellm 0.8.1" || b.Kind != GuideLLM || b.E2E.Mean.Source.Field != "benchmarks[0].metrics.request_latency.successful.mean" {
			t.Errorf("producer %v, source %v", b.Producer, b.E2E.Mean.Source)
		}
	})
	t.Run("aiperf", func(t *testing.T) {
		b := readBench(t, `{"schema_version": "1.4", "aiperf_version": "0.13.0", "request_throughput": {"unit": "requests/sec", "avg": 12.5}, "request_count": {"unit": "requests", "avg": 50},
 "error_request_count": {"unit": "requests", "avg": 2}, "request_latency": {"unit": "ms", "avg": 800, "p50": 790, "p99": 990, "min": 700, "max": 1000, "std": 10, "count": 50},
 "time_to_first_token": {"unit": "us", "avg": 40000}, "inter_token_latency": {"unit": "ms", "avg": 7.5, "p95": 8}, "benchmark_duration": {"unit": "ms", "avg": 4000},
 "output_token_throughput": {"unit": "tokens/sec", "avg": 1000}, "total_osl": {"unit": "tokens", "avg": 4000}, "goodput": null,
 "input_config": {"endpoint": {"model_names": ["m"], "api_key": "secret"}, "loadgen": {"concurrency": 32, "request_rate": null}}}`)
		near(t, "ttft", b.TTFT.Mean, 40, 1e-9)
		near(t, "tpot", b.TPOT.Percentile(95), 8, 0)
		near(t, "e2e", b.E2E.Median, 790, 0)
		near(t, "duration", b.DurationS, 4, 1e-9)
		if b.Kind != AIPerf || b.MaxConcurrency.Value != 32 || b.RequestRate.Known || b.Model.Value != "m" || b.Completed.Value != 50 || b.ITL.Recorded() || b.E2E.N.Value != 50 {
			t.Errorf("%+v", b)
		}
	})
	t.Run("aiperf records", func(t *testing.T) {
		b := readBench(t, `{"metadata": {"request_start_ns": 1764000000000000000, "request_end_ns": 1764000001000000000, "benchmark_phase": "warmup"}, "metrics": {}, "error": null}
{"metadata": {"x_request_id": "a", "request_start_ns": 1764000002000000000, "request_end_ns": 1764000003000000000, "benchmark_phase": "profiling"}, "metrics": {"request_latency": {"value": 1000, "unit": "ms"}, "time_to_first_token": {"value": 100, "unit": "ms"}, "inter_token_latency": {"value": 10, "unit": "ms"}, "inter_chunk_latency": {"value": [9, 11], "unit": "ms"}, "output_sequence_length": {"value": 91, "unit": "tokens"}, "input_sequence_length": {"value": 7, "unit": "tokens"}}, "error": null}
{"metadata": {"request_start_ns": 1764000002000000000, "request_end_ns": 1764000004000000000}, "metrics": {}, "error": {"code": 500}}`)
		near(t, "ttft", b.TTFT.Mean, 100, 1e-9)
		near(t, "itl", b.ITL.Max, 11, 1e-9)
		near(t, "duration", b.DurationS, 2, 1e-9)
		if b.Completed.Value != 1 || b.Failed.Value != 1 || b.OutputTokens.Value != 91 || len(b.Requests) != 2 {
			t.Errorf("%+v", b)
		}
	})
	t.Run("json lines", func(t *testing.T) {
		b := readBench(t, "{\"completed\":1,\"duration\":1}\n{\"completed\":2,\"duration\":1}\n")
		if b.Completed.Value != 2 || !reflect.DeepEqual(ids(b.Warnings), []string{"several-results"}) || b.Source.Line != 2 {
			t.Errorf("%+v", b)
		}
	})
	t.Run("json array", func(t *testing.T) {
		bs, err := ReadBenches("s.json", strings.NewReader(`[{"completed":1,"duration":1},{"completed":2,"duration":1}]`))
		if err != nil || len(bs) != 2 || bs[0].Completed.Value != 1 {
			t.Errorf("%v %v", bs, err)
		}
	})
	t.Run("cut json lines", func(t *testing.T) {
		b := readBench(t, "{\"completed\":1,\"duration\":1}\n{\"completed\":2,\"dura")
		if b.Completed.Value != 1 || !reflect.DeepEqual(ids(b.Warnings), []string{"truncated"}) {
			t.Errorf("%+v", b)
		}
	})
	t.Run("gzip and BOM", func(t *testing.T) {
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		_, _ = w.Write([]byte("\xef\xbb\xbf" + serveResult))
		_ = w.Close()
		b, err := ReadBench("b.json.gz", &z)
		if err != nil || b.Completed.Value != 9 {
			t.Errorf("%v %v", b, err)
		}
	})
	t.Run("duplicate key", func(t *testing.T) {
		b := readBench(t, `{"completed":1,"completed":5,"duration":1}`)
		if b.Completed.Value != 1 || !reflect.DeepEqual(ids(b.Warnings), []string{"duplicate-key"}) {
			t.Errorf("%+v", b)
		}
	})
	t.Run("uneven arrays and negative latency", func(t *testing.T) {
		b := readBench(t, `{"completed":2,"duration":1,"ttfts":[0.1,-0.5,0.2],"output_lens":[2,2,2,2],"itls":[[0.1],[0.1],[-0.1],[0.1]]}`)
		if !reflect.DeepEqual(ids(b.Warnings), []string{"uneven-arrays", "negative-latency"}) || b.TTFT.N.Value != 2 {
			t.Errorf("%v, N %v", b.Warnings, b.TTFT.N)
		}
	})
	t.Run("summary differs from samples", func(t *testing.T) {
		b := readBench(t, `{"completed":2,"duration":1,"mean_ttft_ms":500,"ttfts":[0.1,0.1]}`)
		if !reflect.DeepEqual(ids(b.Warnings), []string{"summary-differs"}) {
			t.Errorf("%v", b.Warnings)
		}
	})
	t.Run("wrong types are not recorded", func(t *testing.T) {
		b := readBench(t, `{"completed":"2","duration":1,"request_throughput":[1],"mean_ttft_ms":{"a":1},"p99_ttft_ms":-5,"mean_itl_ms":1e999,"mean_tpot_ms":4,"ttfts":7,"itls":"x","errors":{"a":1},"request_rate":1e309}`)
		if b.Completed.Known || b.TTFT.Recorded() || b.ITL.Recorded() || !b.TPOT.Recorded() || b.RequestRate.Known {
			t.Errorf("%+v", b)
		}
	})
}

func TestBenchMalformed(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		is   error
		want string
	}{
		"empty":                    {"", ErrUnrecognised, "empty"},
		"white space":              {" \n\n", ErrUnrecognised, "empty"},
		"html":                     {"<html>", ErrUnrecognised, "want JSON of a benchmark result"},
		"number":                   {"42", ErrUnrecognised, "want JSON"},
		"empty array":              {"[]", ErrUnrecognised, "empty"},
		"array of texts":           {`["a"]`, ErrUnrecognised, "array of benchmark results"},
		"empty object":             {"{}", ErrUnrecognised, "keys (none)"},
		"other object":             {`{"traceEvents": [], "displayTimeUnit": "ms"}`, ErrUnrecognised, "displayTimeUnit, traceEvents"},
		"cut in string":            {`{"completed": 1, "model_id": "ab`, ErrMalformed, "bench.json:1: malformed input: field model_id: the file ends inside a value"},
		"cut in array":             {"{\"completed\": 1,\n \"ttfts\": [0.1,", ErrMalformed, "bench.json:2"},
		"cut in object":            {"{\"completed\": 1", ErrMalformed, "the file ends inside"},
		"trailing comma":           {"{\"completed\": 1,\n}", ErrMalformed, "bench.json:2"},
		"no value":                 {"{\"completed\": }", ErrMalformed, "completed"},
		"garbage after":            {"{\"completed\": 1, \"duration\": 1}\n%%", ErrMalformed, "bench.json:2"},
		"nested arrays":            {strings.Repeat("[", 1_000_000), ErrMalformed, "nested too deeply"},
		"nested objects":           {`{"a":` + strings.Repeat(`{"a":`, 1_000_000), ErrMalformed, "nested too deeply"},
		"utf-16":                   {"\xff\xfe{\x00}\x00", ErrUnrecognised, "UTF-16"},
		"bad gzip":                 {"\x1f\x8b\x08\x00", ErrMalformed, "gzip"},
		"guidellm without metrics": {`{"benchmarks": [{"a": 1}]}`, ErrUnrecognised, "no metrics"},
		"guidellm of numbers":      {`{"benchmarks": [1]}`, ErrMalformed, "want an object"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadBench("bench.json", strings.NewReader(c.text))
			if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "reading bench.json") {
				t.Errorf("error = %.300v, want %v and %q", err, c.is, c.want)
			}
		})
	}
}

func TestBenchInvalidUTF8(t *testing.T) {
	b := readBench(t, "{\"completed\":1,\"duration\":1,\"model_id\":\"a\xff\"}")
	if b.Model.Value != "a\uFFFD" {
		t.Errorf("model = %q", b.Model.Value)
	}
}

func TestQuantile(t *testing.T) {
	s := []float64{1, 2, 3, 4}
	for q, want := range map[float64]float64{0: 1, 0.5: 2.5, 1: 4, 0.25: 1.75} {
		if got := quantile(s, q); got != want {
			t.Errorf("quantile(%v) = %v, want %v", q, got, want)
		}
	}
}

func TestPythonJSON(t *testing.T) {
	in := `{"a": NaN, "b": -Infinity, "c": Infinity, "d": "NaN \" Infinity", "e": -1, "f": [NaN]}`
	want := `{"a": null, "b": null, "c": null, "d": "NaN \" Infinity", "e": -1, "f": [null]}`
	for _, size := range []int{1, 2, 3, 7, 1000} {
		got := readSlowly(t, in, size)
		if got != want {
			t.Errorf("blocks of %d: %s", size, got)
		}
	}
}

func readSlowly(t *testing.T, in string, size int) string {
	t.Helper()
	var out bytes.Buffer
	p := &pythonJSON{r: &slowReader{strings.NewReader(in), size}}
	if _, err := out.ReadFrom(p); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

type slowReader struct {
	r    *strings.Reader
	size int
}

func (s *slowReader) Read(p []byte) (int, error) { return s.r.Read(p[:min(len(p), s.size)]) }

func TestLongStringsAreCut(t *testing.T) {
	for _, text := range []string{strings.Repeat("x", 3<<20), strings.Repeat(`\"`, 2<<20), strings.Repeat(`\u00e4`, 1<<19), strings.Repeat(`\\`, 2<<20), strings.Repeat("\xe4", 2<<20)} {
		in := `{"generated_texts": ["` + text + `"], "completed": 1, "duration": 2, "model_id": "m"}`
		b := readBench(t, in)
		if b.Model.Value != "m" || b.Completed.Value != 1 {
			t.Errorf("%.10s: %+v", text, b)
		}
		var out bytes.Buffer
		if _, err := out.ReadFrom(&pythonJSON{r: strings.NewReader(in)}); err != nil || out.Len() > maxJSONToken+200 || !json.Valid(out.Bytes()) {
			t.Errorf("%.10s: %d bytes, %v, valid %v", text, out.Len(), err, json.Valid(out.Bytes()))
		}
	}
}
