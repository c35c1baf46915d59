package serving

import "math"

// MetricsDelta is what a server did between two snapshots of its metrics.
// Readings are sums over engines and models; the per-series rows are in
// Counters, Gauges and Histograms. A reading that the later snapshot lacks is not
// recorded; counters that only the later one has count from 0, as they appear with
// their first event.
type MetricsDelta struct {
	BeforeFile string   `json:"before_file"`
	AfterFile  string   `json:"after_file"`
	EngineName string   `json:"engine"` // "vllm" or "sglang"
	Models     []string `json:"models,omitempty"`
	Engines    []string `json:"engines,omitempty"` // engine label values: data-parallel ranks

	Requests      Fact[float64] `json:"requests,omitzero"` // finished, any reason
	Aborted       Fact[float64] `json:"aborted,omitzero"`
	PromptTokens  Fact[float64] `json:"prompt_tokens,omitzero"`
	OutputTokens  Fact[float64] `json:"output_tokens,omitzero"`
	CachedTokens  Fact[float64] `json:"cached_prompt_tokens,omitzero"`
	Preemptions   Fact[float64] `json:"preemptions,omitzero"`
	Steps         Fact[float64] `json:"steps,omitzero"`       // engine steps that ran a batch
	StepTokens    Fact[float64] `json:"step_tokens,omitzero"` // tokens scheduled in them
	PrefixQueries Fact[float64] `json:"prefix_queries,omitzero"`
	PrefixHits    Fact[float64] `json:"prefix_hits,omitzero"`
	Drafts        Fact[float64] `json:"spec_drafts,omitzero"`
	DraftTokens   Fact[float64] `json:"spec_draft_tokens,omitzero"`
	AcceptedDraft Fact[float64] `json:"spec_accepted_tokens,omitzero"`

	// Request latencies as the server saw them, in seconds.
	TTFT      HistogramDelta `json:"ttft_s"`
	ITL       HistogramDelta `json:"itl_s"`
	TPOT      HistogramDelta `json:"tpot_s"`
	E2E       HistogramDelta `json:"e2e_s"`
	Queue     HistogramDelta `json:"queue_s"`
	Inference HistogramDelta `json:"inference_s"`
	Prefill   HistogramDelta `json:"prefill_s"`
	Decode    HistogramDelta `json:"decode_s"`
	// TokensPerStep is the distribution of a step's scheduled tokens.
	TokensPerStep HistogramDelta `json:"tokens_per_step"`
	// PromptLen and OutputLen are tokens per finished request.
	PromptLen HistogramDelta `json:"prompt_len"`
	OutputLen HistogramDelta `json:"output_len"`

	// Gauges at the two moments. They say nothing about the time between.
	Running         GaugePair `json:"running"`
	Waiting         GaugePair `json:"waiting"`
	WaitingCapacity GaugePair `json:"waiting_capacity"` // reason="capacity"
	WaitingDeferred GaugePair `json:"waiting_deferred"` // reason="deferred"
	KVUsage         GaugePair `json:"kv_usage"`         // 0..1, mean over engines

	Counters   []CounterDelta   `json:"counters,omitempty"`   // by name, then labels
	Gauges     []GaugeSeries    `json:"gauges,omitempty"`     // by name, then labels
	Histograms []HistogramDelta `json:"histograms,omitempty"` // by name, then labels

	Warnings []Warning `json:"warnings,omitempty"`
}

// Label is one name and value of a series.
type Label struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// CounterDelta is the growth of one counter series.
type CounterDelta struct {
	Name   string  `json:"name"`
	Labels []Label `json:"labels,omitempty"` // by name
	Before float64 `json:"before"`
	After  float64 `json:"after"`
	Delta  float64 `json:"delta"`
	Source Source  `json:"source"`
}

// GaugeSeries is one gauge series at the two moments.
type GaugeSeries struct {
	Name   string  `json:"name"`
	Labels []Label `json:"labels,omitempty"`
	GaugePair
}

// GaugePair is a gauge before and after.
type GaugePair struct {
	Before Fact[float64] `json:"before,omitzero"`
	After  Fact[float64] `json:"after,omitzero"`
}

// HistogramDelta is the growth of a histogram between the snapshots.
type HistogramDelta struct {
	Name    string   `json:"name,omitempty"`
	Labels  []Label  `json:"labels,omitempty"` // empty for sums over series
	Known   bool     `json:"known"`
	Count   float64  `json:"count"`
	Sum     float64  `json:"sum"`
	Buckets []Bucket `json:"buckets,omitempty"` // ascending upper bound, the last is +Inf
	Source  Source   `json:"source,omitzero"`
}

// Bucket is one histogram bucket; N is its own count, not cumulative.
type Bucket struct {
	Upper Bound   `json:"le"`
	N     float64 `json:"n"`
}

// Bound is a bucket bound; its JSON form is the text that Prometheus prints.
type Bound float64

// MarshalJSON writes the bound as Prometheus does, "+Inf" included.
func (b Bound) MarshalJSON() ([]byte, error) { return []byte(`"` + formatFloat(float64(b)) + `"`), nil }

// Mean is Sum/Count; not recorded without observations.
func (h HistogramDelta) Mean() Fact[float64] {
	if !h.Known || h.Count <= 0 || math.IsNaN(h.Sum) || math.IsInf(h.Sum, 0) {
		return Fact[float64]{}
	}
	return NewFact(h.Sum/h.Count, h.Source)
}

// Estimate is a quantile read from buckets: the true value lies in Low..High.
// High is +Inf where the quantile falls into the last bucket; Value is then
// Low, a lower bound.
type Estimate struct {
	Value, Low, High float64
}

// Quantile estimates quantile q (0..1) by linear interpolation inside the
// bucket, as Prometheus does. It is not recorded without observations.
func (h HistogramDelta) Quantile(q float64) Fact[Estimate] {
	if !h.Known || h.Count <= 0 || len(h.Buckets) == 0 || !(q >= 0 && q <= 1) {
		return Fact[Estimate]{}
	}
	total := 0.0
	for _, b := range h.Buckets {
		total += b.N
	}
	if total <= 0 {
		return Fact[Estimate]{}
	}
	rank, seen := q*total, 0.0
	last := 0
	for i, b := range h.Buckets {
		if b.N > 0 {
			last = i
			if seen+b.N >= rank {
				break
			}
		}
		seen += b.N
	}
	low := 0.0
	if last > 0 {
		low = float64(h.Buckets[last-1].Upper)
	} else if u := float64(h.Buckets[0].Upper); u <= 0 {
		low = u
	}
	high := float64(h.Buckets[last].Upper)
	e := Estimate{Low: low, High: high, Value: low}
	if !math.IsInf(high, 1) {
		before := 0.0
		for _, b := range h.Buckets[:last] {
			before += b.N
		}
		part := (rank - before) / h.Buckets[last].N
		e.Value = low + (high-low)*math.Min(math.Max(part, 0), 1)
	}
	return NewFact(e, h.Source)
}

// RunningMean is the mean number of requests in execution over durationS
// seconds by Little's law: the time that finished requests spent running,
// divided by the wall time. It is low by the requests that were cut by the
// interval's ends.
func (d *MetricsDelta) RunningMean(durationS float64) Fact[float64] {
	return d.Inference.perSecond(durationS)
}

// WaitingMean is the mean number of queued requests, by the same law.
func (d *MetricsDelta) WaitingMean(durationS float64) Fact[float64] {
	return d.Queue.perSecond(durationS)
}

func (h HistogramDelta) perSecond(durationS float64) Fact[float64] {
	if !h.Known || !(durationS > 0) || math.IsNaN(h.Sum) || math.IsInf(h.Sum, 0) {
		return Fact[float64]{}
	}
	return NewFact(h.Sum/durationS, h.Source)
}
