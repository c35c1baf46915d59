package serving

import "sort"

// BenchKind says which program wrote a benchmark result.
type BenchKind string

// Kinds of benchmark results.
const (
	VLLMServe      BenchKind = "vllm-serve"      // vllm bench serve, and load generators with its keys
	VLLMLatency    BenchKind = "vllm-latency"    // vllm bench latency: offline, one batch at a time
	VLLMThroughput BenchKind = "vllm-throughput" // vllm bench throughput: offline
	SGLangServe    BenchKind = "sglang-serve"    // sglang.bench_serving
	GuideLLM       BenchKind = "guidellm"
	AIPerf         BenchKind = "aiperf"
)

// Bench is one benchmark result. Latencies are milliseconds, throughputs are
// per second of the whole run. Generated texts are never kept.
type Bench struct {
	Kind   BenchKind `json:"kind"`
	Source Source    `json:"source"`

	Model    Fact[string] `json:"model,omitzero"`
	Backend  Fact[string] `json:"backend,omitzero"`
	Label    Fact[string] `json:"label,omitzero"`
	Date     Fact[string] `json:"date,omitzero"` // as written
	Producer Fact[string] `json:"producer,omitzero"`

	// What was asked for.
	NumPrompts     Fact[int64]   `json:"num_prompts,omitzero"`
	MaxConcurrency Fact[int64]   `json:"max_concurrency,omitzero"` // closed loop; not recorded: unlimited or absent
	RequestRate    Fact[float64] `json:"request_rate,omitzero"`    // requests/s; +Inf: all at once
	Burstiness     Fact[float64] `json:"burstiness,omitzero"`
	InputLen       Fact[int64]   `json:"input_len,omitzero"`  // asked for, per request
	OutputLen      Fact[int64]   `json:"output_len,omitzero"` // asked for, per request

	// What happened.
	Completed        Fact[int64]   `json:"completed,omitzero"`
	Failed           Fact[int64]   `json:"failed,omitzero"`
	DurationS        Fact[float64] `json:"duration_s,omitzero"`
	InputTokens      Fact[int64]   `json:"input_tokens,omitzero"`
	OutputTokens     Fact[int64]   `json:"output_tokens,omitzero"`
	RequestRateDone  Fact[float64] `json:"requests_per_s,omitzero"`
	OutputRate       Fact[float64] `json:"output_tokens_per_s,omitzero"`
	TotalRate        Fact[float64] `json:"total_tokens_per_s,omitzero"`
	PeakOutputRate   Fact[float64] `json:"peak_output_tokens_per_s,omitzero"`
	Goodput          Fact[float64] `json:"goodput_requests_per_s,omitzero"`
	MeanConcurrency  Fact[float64] `json:"mean_concurrency,omitzero"`
	PeakConcurrency  Fact[float64] `json:"peak_concurrency,omitzero"`
	PrefixHitRate    Fact[float64] `json:"prefix_hit_rate,omitzero"`   // 0..1
	AcceptanceRate   Fact[float64] `json:"acceptance_rate,omitzero"`   // accepted / drafted tokens, 0..1
	AcceptanceLength Fact[float64] `json:"acceptance_length,omitzero"` // tokens per step, the bonus token included

	TTFT  Distribution `json:"ttft_ms"`
	TPOT  Distribution `json:"tpot_ms"`
	ITL   Distribution `json:"itl_ms"`
	E2E   Distribution `json:"e2e_ms"`
	Queue Distribution `json:"queue_ms"` // server-side queue time where the client got it

	// Engine is what the result says about the server (SGLang's server_info).
	Engine EngineInfo `json:"engine,omitzero"`
	// Requests are the details where they were saved. Capped.
	Requests []Request `json:"-"`
	// Errors counts the error texts of failed requests, most frequent first.
	Errors []Count `json:"errors,omitempty"`
	// Extra holds scalar keys without a meaning here (user metadata), sorted.
	Extra []KeyValue `json:"extra,omitempty"`

	Warnings []Warning `json:"warnings,omitempty"`
}

// Count is how often a text occurred.
type Count struct {
	Text string `json:"text"`
	N    int64  `json:"n"`
}

// KeyValue is a scalar that is passed on as text.
type KeyValue struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Distribution is the summary of a latency, with its samples where the result
// has them. Unit: milliseconds.
type Distribution struct {
	Mean        Fact[float64] `json:"mean,omitzero"`
	Median      Fact[float64] `json:"median,omitzero"`
	Std         Fact[float64] `json:"std,omitzero"`
	Min         Fact[float64] `json:"min,omitzero"`
	Max         Fact[float64] `json:"max,omitzero"`
	Percentiles []Percentile  `json:"percentiles,omitempty"` // ascending P
	N           Fact[int64]   `json:"n,omitzero"`            // samples that the summary is made of
	Samples     []float64     `json:"-"`                     // in the order of the file; capped
}

// Percentile is one recorded percentile, P in 0..100.
type Percentile struct {
	P      float64 `json:"p"`
	Value  float64 `json:"value"`
	Source Source  `json:"source,omitzero"`
}

// Recorded reports whether the result said anything about this latency.
func (d Distribution) Recorded() bool {
	return d.Mean.Known || d.Median.Known || len(d.Percentiles) > 0 || len(d.Samples) > 0
}

// Percentile is the recorded percentile p (0..100); without one it is computed
// from the samples by linear interpolation; without those it is not recorded.
func (d Distribution) Percentile(p float64) Fact[float64] {
	for _, q := range d.Percentiles {
		if q.P == p {
			return NewFact(q.Value, q.Source)
		}
	}
	if p == 50 && d.Median.Known {
		return d.Median
	}
	if len(d.Samples) == 0 || p < 0 || p > 100 {
		return Fact[float64]{}
	}
	sorted := append([]float64(nil), d.Samples...)
	sort.Float64s(sorted)
	return NewFact(quantile(sorted, p/100), Source{File: d.N.Source.File, Field: d.N.Source.Field})
}

// quantile interpolates linearly between the two nearest ranks of sorted,
// like numpy's default.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	frac := at - float64(i)
	return sorted[i]*(1-frac) + sorted[i+1]*frac
}
