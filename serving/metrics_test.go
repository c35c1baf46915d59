package serving

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
)

func readMetrics(t *testing.T, name, text string) *Metrics {
	t.Helper()
	m, err := ReadMetrics(name, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// diff compares two texts; each gets the lines that make it a vLLM snapshot.
func diff(t *testing.T, before, after string) *MetricsDelta {
	t.Helper()
	const head = "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{engine=\"0\",model_name=\"m\"} 0\n"
	d, err := Diff(readMetrics(t, "before.txt", head+before), readMetrics(t, "after.txt", head+after))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestCounters(t *testing.T) {
	counter := func(name, labels, value string) string {
		return "# TYPE vllm:" + name + "_total counter\nvllm:" + name + "_total" + labels + " " + value + "\n"
	}
	for name, c := range map[string]struct {
		before, after string
		want          float64
		known         bool
		warning       string
	}{
		"grows":            {counter("prompt_tokens", "", "5"), counter("prompt_tokens", "", "12"), 7, true, ""},
		"appears":          {"", counter("prompt_tokens", "", "12"), 12, true, ""},
		"absent":           {"", "", 0, false, ""},
		"is NaN":           {counter("prompt_tokens", "", "5"), counter("prompt_tokens", "", "NaN"), 0, false, "not-a-number"},
		"is implausible":   {counter("prompt_tokens", "", "5"), counter("prompt_tokens", "", "1e300"), 0, false, "implausible"},
		"is infinite":      {counter("prompt_tokens", "", "5"), counter("prompt_tokens", "", "+Inf"), 0, false, "not-a-number"},
		"sums engines":     {counter("prompt_tokens", `{engine="0"}`, "1"), counter("prompt_tokens", `{engine="0"}`, "3") + "vllm:prompt_tokens_total{engine=\"1\"} 10\n", 12, true, ""},
		"loses a series":   {counter("prompt_tokens", `{engine="0"}`, "1") + "vllm:prompt_tokens_total{engine=\"1\"} 10\n", counter("prompt_tokens", `{engine="0"}`, "3"), 0, false, "series-vanished"},
		"twice":            {counter("prompt_tokens", "", "5"), counter("prompt_tokens", "", "12") + "vllm:prompt_tokens_total 99\n", 7, true, "duplicate-series"},
		"openmetrics":      {"# TYPE vllm:prompt_tokens counter\nvllm:prompt_tokens_total 5\n", "# TYPE vllm:prompt_tokens counter\nvllm:prompt_tokens_total 12 # {trace_id=\"a\"} 1.0\n# EOF\n", 7, true, ""},
		"ray":              {"# TYPE ray_vllm_prompt_tokens_total counter\nray_vllm_prompt_tokens_total 5\n", "# TYPE ray_vllm_prompt_tokens_total counter\nray_vllm_prompt_tokens_total 12\n", 7, true, ""},
		"carriage returns": {strings.ReplaceAll(counter("prompt_tokens", "", "5"), "\n", "\r\n"), strings.ReplaceAll(counter("prompt_tokens", "", "12"), "\n", "\r\n"), 7, true, ""},
		"cut last line":    {counter("prompt_tokens", "", "5"), counter("prompt_tokens", "", "12") + "vllm:prompt_tokens_total{a=\"b\"} 1", 7, true, "truncated"},
		"type changes":     {"# TYPE vllm:prompt_tokens histogram\nvllm:prompt_tokens_count 5\nvllm:prompt_tokens_sum 5\n", counter("prompt_tokens", "", "12"), 0, false, "type-changed"},
	} {
		t.Run(name, func(t *testing.T) {
			// A second counter shows that what is left out is left out alone.
			more := counter("generation_tokens", "", "1")
			moreAfter := counter("generation_tokens", "", "2")
			d := diff(t, more+c.before, moreAfter+c.after)
			if d.PromptTokens.Known != c.known || d.PromptTokens.Value != c.want {
				t.Errorf("prompt tokens = %v, want %v (known %v); %v", d.PromptTokens, c.want, c.known, d.Warnings)
			}
			if got := strings.Join(ids(d.Warnings), " "); got != c.warning {
				t.Errorf("warnings = %q, want %q", got, c.warning)
			}
			if d.OutputTokens.Value != 1 {
				t.Errorf("the other counter = %v", d.OutputTokens)
			}
		})
	}
}

func hist(name, count, sum string, buckets ...string) string {
	out := "# TYPE vllm:" + name + " histogram\n"
	for i := 0; i+1 < len(buckets); i += 2 {
		out += "vllm:" + name + `_bucket{le="` + buckets[i] + `"} ` + buckets[i+1] + "\n"
	}
	if sum != "" {
		out += "vllm:" + name + "_sum " + sum + "\n"
	}
	if count != "" {
		out += "vllm:" + name + "_count " + count + "\n"
	}
	return out
}

func TestHistograms(t *testing.T) {
	const q = "request_queue_time_seconds"
	before := hist(q, "10", "1.0", "0.1", "8", "1", "10", "+Inf", "10")
	for name, c := range map[string]struct {
		after   string
		count   float64
		known   bool
		warning string
	}{
		"grows":             {hist(q, "14", "5.0", "0.1", "9", "1", "12", "+Inf", "14"), 4, true, ""},
		"other bounds":      {hist(q, "14", "5.0", "0.1", "9", "2", "12", "+Inf", "14"), 0, false, "bucket-layout"},
		"more buckets":      {hist(q, "14", "5.0", "0.1", "9", "1", "12", "5", "13", "+Inf", "14"), 0, false, "bucket-layout"},
		"not cumulative":    {hist(q, "14", "5.0", "0.1", "9", "1", "7", "+Inf", "14"), 0, false, "broken-histogram"},
		"count disagrees":   {hist(q, "15", "5.0", "0.1", "9", "1", "12", "+Inf", "14"), 0, false, "broken-histogram"},
		"NaN sum":           {hist(q, "14", "NaN", "0.1", "9", "1", "12", "+Inf", "14"), 0, false, "not-a-number"},
		"infinite sum":      {hist(q, "14", "+Inf", "0.1", "9", "1", "12", "+Inf", "14"), 0, false, "not-a-number"},
		"huge sum":          {hist(q, "14", "1e300", "0.1", "9", "1", "12", "+Inf", "14"), 0, false, "implausible"},
		"a year each":       {hist(q, "14", "126489602", "0.1", "9", "1", "12", "+Inf", "14"), 0, false, "implausible"},
		"just below":        {hist(q, "14", "126489601", "0.1", "9", "1", "12", "+Inf", "14"), 4, true, ""},
		"no sum":            {hist(q, "14", "", "0.1", "9", "1", "12", "+Inf", "14"), 0, false, "not-a-number"},
		"NaN count":         {hist(q, "NaN", "5.0", "0.1", "9", "1", "12", "+Inf", "14"), 0, true, ""},
		"NaN bound":         {hist(q, "14", "5.0", "NaN", "9", "1", "12", "+Inf", "14"), 0, false, "bucket-layout"},
		"no infinite bound": {hist(q, "14", "5.0", "0.1", "9", "1", "12"), 4, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "NaN count" {
				c.count, c.known = 4, true // the +Inf bucket has the count
			}
			more := "# TYPE vllm:generation_tokens_total counter\nvllm:generation_tokens_total "
			d := diff(t, more+"1\n"+before, more+"2\n"+c.after)
			if d.Queue.Known != c.known || d.Queue.Count != c.count {
				t.Errorf("queue = %+v", d.Queue)
			}
			if got := strings.Join(ids(d.Warnings), " "); got != c.warning {
				t.Errorf("warnings = %q, want %q", got, c.warning)
			}
		})
	}
}

func TestHistogramReadings(t *testing.T) {
	const q = "request_queue_time_seconds"
	d := diff(t, hist(q, "10", "1.0", "0.1", "8", "1", "10", "+Inf", "10"), hist(q, "14", "5.0", "0.1", "9", "1", "12", "+Inf", "14"))
	near(t, "mean", d.Queue.Mean(), 1, 0)
	near(t, "waiting", d.WaitingMean(2), 2, 0)
	// New observations: one up to 0.1, one up to 1, two above.
	for p, want := range map[float64]Estimate{
		0: {0, 0, 0.1}, 0.25: {0.1, 0, 0.1}, 0.375: {0.55, 0.1, 1}, 0.5: {1, 0.1, 1}, 1: {1, 1, math.Inf(1)},
	} {
		got := d.Queue.Quantile(p)
		if !got.Known || math.Abs(got.Value.Value-want.Value) > 1e-12 || got.Value.Low != want.Low || got.Value.High != want.High {
			t.Errorf("quantile %v = %+v, want %+v", p, got.Value, want)
		}
	}
	for _, p := range []float64{-0.1, 1.1, math.NaN()} {
		if d.Queue.Quantile(p).Known {
			t.Errorf("quantile %v is known", p)
		}
	}
	empty := diff(t, hist(q, "10", "1.0", "1", "10", "+Inf", "10"), hist(q, "10", "1.0", "1", "10", "+Inf", "10"))
	if !empty.Queue.Known || empty.Queue.Mean().Known || empty.Queue.Quantile(0.5).Known {
		t.Errorf("a histogram without new observations has a mean or a quantile: %+v", empty.Queue)
	}
	if d.WaitingMean(0).Known || d.RunningMean(1).Known {
		t.Error("means without duration or histogram are known")
	}
	steps := diff(t, hist("iteration_tokens_total", "2", "64", "8", "1", "+Inf", "2"), hist("iteration_tokens_total", "7", "100", "8", "5", "+Inf", "7"))
	near(t, "steps", steps.Steps, 5, 0)
	near(t, "tokens", steps.StepTokens, 36, 0)
}

func TestGauges(t *testing.T) {
	g := func(name, rows string) string { return "# TYPE " + name + " gauge\n" + rows }
	d := diff(t,
		g("vllm:gpu_cache_usage_perc", "vllm:gpu_cache_usage_perc 0.25\n"),
		g("vllm:gpu_cache_usage_perc", "vllm:gpu_cache_usage_perc 0.5\n")+
			g("vllm:num_requests_waiting_by_reason", "vllm:num_requests_waiting_by_reason{reason=\"capacity\"} 3\nvllm:num_requests_waiting_by_reason{reason=\"deferred\"} 2\n")+
			g("vllm:num_requests_waiting", "vllm:num_requests_waiting{engine=\"0\"} 4\nvllm:num_requests_waiting{engine=\"1\"} NaN\n"))
	near(t, "usage before", d.KVUsage.Before, 0.25, 0)
	near(t, "usage after", d.KVUsage.After, 0.5, 0)
	near(t, "capacity", d.WaitingCapacity.After, 3, 0)
	near(t, "deferred", d.WaitingDeferred.After, 2, 0)
	if d.WaitingCapacity.Before.Known || d.Waiting.After.Known || !reflect.DeepEqual(ids(d.Warnings), []string{"not-a-number"}) {
		t.Errorf("waiting %+v, %v", d.Waiting, d.Warnings)
	}
	// Both names of one gauge: the new one counts, they are not added.
	both := g("vllm:kv_cache_usage_perc", "vllm:kv_cache_usage_perc{engine=\"0\"} 0.2\nvllm:kv_cache_usage_perc{engine=\"1\"} 0.4\n") + g("vllm:gpu_cache_usage_perc", "vllm:gpu_cache_usage_perc 0.9\n")
	near(t, "mean over engines", diff(t, both, both).KVUsage.After, 0.3, 1e-12)
}

func TestCreatedIsNoMetric(t *testing.T) {
	text := "# TYPE vllm:prompt_tokens_created gauge\nvllm:prompt_tokens_created 1.79e9\n# TYPE vllm:x gauge\nvllm:x 1\n"
	m := readMetrics(t, "m", text)
	if len(m.families) != 1 {
		t.Errorf("families = %v", m.families)
	}
}

func TestSGLangMetrics(t *testing.T) {
	text := func(n string) string {
		return `# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{model_name="q",tp_rank="0"} 7.0
sglang:num_running_reqs{model_name="q",tp_rank="1"} 7.0
# TYPE sglang:num_queue_reqs gauge
sglang:num_queue_reqs{model_name="q",tp_rank="0"} 3.0
# TYPE sglang:token_usage gauge
sglang:token_usage{model_name="q",tp_rank="0"} 0.28
# TYPE sglang:max_total_num_tokens gauge
sglang:max_total_num_tokens{model_name="q"} 452516
# TYPE sglang:num_requests_total counter
sglang:num_requests_total{model_name="q"} ` + n + `
# TYPE sglang:num_retracted_requests_total counter
sglang:num_retracted_requests_total{model_name="q"} ` + n + `
# TYPE sglang:e2e_request_latency_seconds histogram
sglang:e2e_request_latency_seconds_sum{model_name="q"} ` + n + `
sglang:e2e_request_latency_seconds_bucket{le="+Inf",model_name="q"} ` + n + `
sglang:e2e_request_latency_seconds_count{model_name="q"} ` + n + "\n"
	}
	d, err := Diff(readMetrics(t, "b", text("5")), readMetrics(t, "a", text("9")))
	if err != nil {
		t.Fatal(err)
	}
	near(t, "requests", d.Requests, 4, 0)
	near(t, "retractions", d.Preemptions, 4, 0)
	near(t, "running counts rank 0 once", d.Running.After, 7, 0)
	near(t, "queued", d.Waiting.After, 3, 0)
	near(t, "usage", d.KVUsage.After, 0.28, 0)
	near(t, "e2e", d.E2E.Mean(), 1, 0)
	if m := readMetrics(t, "a", text("9")); m.Engine.KVCacheTokens.Value != 452516 || m.EngineName != "sglang" {
		t.Errorf("%+v", m)
	}
}

func TestMetricsSettings(t *testing.T) {
	m := readMetrics(t, "m.txt", `# HELP vllm:cache_config_info x
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="16",cache_dtype="fp8",enable_prefix_caching="True",engine="0",gpu_memory_utilization="0.92",kv_cache_max_concurrency="109.9",kv_cache_size_tokens="450336",num_gpu_blocks="28146",num_cpu_blocks="None"} 1.0
`)
	e := m.Engine
	if e.BlockSize.Value != 16 || e.KVCacheTokens.Value != 450336 || e.KVCacheBlocks.Value != 28146 || e.KVCacheDType.Value != "fp8" || !e.PrefixCaching.Value {
		t.Errorf("%+v", e)
	}
	if got := e.BlockSize.Source.String(); got != "m.txt:1: vllm:cache_config_info{block_size}" {
		t.Errorf("source = %s", got)
	}
}

func TestMetricsMalformed(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		is   error
		want string
	}{
		"empty":          {"", ErrUnrecognised, "no metric"},
		"comments":       {"# only\n", ErrUnrecognised, "no metric"},
		"html":           {"<html></html>\n", ErrUnrecognised, "<html></html>"},
		"json":           {"{\"detail\":\"Not Found\"}", ErrUnrecognised, "want the text of GET /metrics"},
		"bad value":      {"a 1\nb x\n", ErrMalformed, "reading m.txt:2:"},
		"bad label":      {"a{b} 1\n", ErrMalformed, "reading m.txt:1:"},
		"open label":     {"a{b=\"c} 1\n", ErrMalformed, "m.txt"},
		"type twice":     {"# TYPE a counter\na 1\n# TYPE a gauge\n", ErrMalformed, "m.txt:3"},
		"unknown type":   {"# TYPE a nonsense\na 1\n", ErrMalformed, "m.txt:1"},
		"negative count": {"# TYPE a histogram\na_count -1\n", ErrMalformed, "m.txt:2"},
		"invalid utf-8":  {"a{b=\"\xff\"} 1\n", ErrMalformed, "m.txt:1"},
		"log":            {"INFO 11-24 06:11:28 [a.py:1] x\n", ErrMalformed, "m.txt:1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadMetrics("m.txt", strings.NewReader(c.text))
			if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want %v and %q", err, c.is, c.want)
			}
		})
	}
}

func TestHTTPHeaders(t *testing.T) {
	m := readMetrics(t, "m", "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n# TYPE vllm:x gauge\r\nvllm:x 1\r\n")
	if m.EngineName != "vllm" {
		t.Error("not read")
	}
}

func TestDiffMismatch(t *testing.T) {
	x := func(engine, model, n string) *Metrics {
		return readMetrics(t, engine+model+n, "# TYPE "+engine+":prompt_tokens_total counter\n"+engine+":prompt_tokens_total{model_name=\""+model+"\"} "+n+"\n")
	}
	// One counter of three falls: the others were counted past their old values after a restart.
	fell := func(before, after string) (b, a *Metrics) {
		const more = "# TYPE vllm:generation_tokens_total counter\nvllm:generation_tokens_total %d\n# TYPE vllm:request_success_total counter\nvllm:request_success_total %d\n"
		return readMetrics(t, "b", fmt.Sprintf(more, 1, 1)+before), readMetrics(t, "a", fmt.Sprintf(more, 2, 2)+after)
	}
	const (
		prompts = "# TYPE vllm:prompt_tokens_total counter\nvllm:prompt_tokens_total{engine=\"0\"} "
		engine1 = "\nvllm:prompt_tokens_total{engine=\"1\"} "
		queue   = "request_queue_time_seconds"
	)
	counterB, counterA := fell(prompts+"12\n", prompts+"5\n")
	engineB, engineA := fell(prompts+"1"+engine1+"10\n", prompts+"9"+engine1+"2\n")
	countB, countA := fell(hist(queue, "10", "1.0", "0.1", "8", "+Inf", "10"), hist(queue, "4", "2.0", "0.1", "3", "+Inf", "4"))
	sumB, sumA := fell(hist(queue, "10", "1.0", "0.1", "8", "+Inf", "10"), hist(queue, "14", "0.5", "0.1", "9", "+Inf", "14"))
	for name, c := range map[string]struct {
		before, after *Metrics
		is            error
		want          string
	}{
		"a counter":  {counterB, counterA, ErrMismatch, "vllm:prompt_tokens_total fell from 12 to 5, and counters never fall: the server restarted"},
		"one engine": {engineB, engineA, ErrMismatch, "fell from 10 to 2"},
		"counts":     {countB, countA, ErrMismatch, "vllm:request_queue_time_seconds has counts that fell"},
		"a sum":      {sumB, sumA, ErrMismatch, "a sum that fell by 0.5"},
		"models":     {x("vllm", "a", "1"), x("vllm", "b", "2"), ErrMismatch, "models differ: a and b"},
		"engines":    {x("vllm", "a", "1"), x("sglang", "a", "2"), ErrMismatch, "one is of vllm"},
		"order":      {x("vllm", "a", "2"), x("vllm", "a", "1"), ErrMismatch, "wrong order"},
		"not served": {readMetrics(t, "other.txt", "go_goroutines 1\n"), x("vllm", "a", "1"), ErrUnrecognised, "other.txt holds no vllm"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Diff(c.before, c.after); !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v", err)
			}
		})
	}
	same, err := Diff(x("vllm", "a", "1"), x("vllm", "a", "1"))
	if err != nil || same.Requests.Known || len(same.Warnings) > 0 {
		t.Errorf("%v %v", same, err)
	}
}
