package serving

import (
	"fmt"
	"math"
	"strings"
)

// counterReadings are the sums that have a field, with the canonical names of
// all versions, best first: the first family that the later snapshot has
// counts, never the sum of two names.
var counterReadings = []struct {
	of           func(*MetricsDelta) *Fact[float64]
	label, value string // only series with this label value
	names        []string
}{
	{func(d *MetricsDelta) *Fact[float64] { return &d.Requests }, "", "", []string{"vllm:request_success", "sglang:num_requests"}},
	{func(d *MetricsDelta) *Fact[float64] { return &d.Aborted }, "finished_reason", "abort", []string{"vllm:request_success"}},
	{func(d *MetricsDelta) *Fact[float64] { return &d.Aborted }, "", "", []string{"sglang:num_aborted_requests"}},
	{func(d *MetricsDelta) *Fact[float64] { return &d.PromptTokens }, "", "", []string{"vllm:prompt_tokens", "sglang:prompt_tokens"}},
	{func(d *MetricsDelta) *Fact[float64] { return &d.OutputTokens }, "", "", []string{"vllm:generation_tokens", "sglang:generation_tokens"}},
	{func(d *MetricsDelta) *Fact[float64] { return &d.CachedTokens }, "", "", []string{"vllm:prompt_tokens_cached", "sglang:cached_tokens"}},
	{func(d *MetricsDelta) *Fact[float64] { return &d.Preemptions }, "", "", []string{"vllm:num_preemptions", "sglang:num_retracted_requests"}},
	{func(d *MetricsDelta) *Fact[float64] { return &d.PrefixQueries }, "", "", []string{"vllm:prefix_cache_queries", "vllm:gpu_prefix_cache_queries"}},
	{func(d *MetricsDelta) *Fact[float64] { return &d.PrefixHits }, "", "", []string{"vllm:prefix_cache_hits", "vllm:gpu_prefix_cache_hits"}},
	{func(d *MetricsDelta) *Fact[float64] { return &d.Drafts }, "", "", []string{"vllm:spec_decode_num_drafts"}},
	{func(d *MetricsDelta) *Fact[float64] { return &d.DraftTokens }, "", "", []string{"vllm:spec_decode_num_draft_tokens"}},
	{func(d *MetricsDelta) *Fact[float64] { return &d.AcceptedDraft }, "", "", []string{"vllm:spec_decode_num_accepted_tokens"}},
	{func(d *MetricsDelta) *Fact[float64] { return &d.Steps }, "", "", []string{"sglang:cuda_graph_passes"}},
}

// histogramReadings likewise. vLLM's time_per_output_token_seconds was the gap
// between tokens, which is ITL here; the value per request came later.
var histogramReadings = []struct {
	of    func(*MetricsDelta) *HistogramDelta
	names []string
}{
	{func(d *MetricsDelta) *HistogramDelta { return &d.TTFT }, []string{"vllm:time_to_first_token_seconds", "sglang:time_to_first_token_seconds"}},
	{func(d *MetricsDelta) *HistogramDelta { return &d.ITL }, []string{"vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds", "sglang:inter_token_latency_seconds", "sglang:time_per_output_token_seconds"}},
	{func(d *MetricsDelta) *HistogramDelta { return &d.TPOT }, []string{"vllm:request_time_per_output_token_seconds"}},
	{func(d *MetricsDelta) *HistogramDelta { return &d.E2E }, []string{"vllm:e2e_request_latency_seconds", "sglang:e2e_request_latency_seconds"}},
	{func(d *MetricsDelta) *HistogramDelta { return &d.Queue }, []string{"vllm:request_queue_time_seconds", "sglang:queue_time_seconds"}},
	{func(d *MetricsDelta) *HistogramDelta { return &d.Inference }, []string{"vllm:request_inference_time_seconds"}},
	{func(d *MetricsDelta) *HistogramDelta { return &d.Prefill }, []string{"vllm:request_prefill_time_seconds"}},
	{func(d *MetricsDelta) *HistogramDelta { return &d.Decode }, []string{"vllm:request_decode_time_seconds"}},
	{func(d *MetricsDelta) *HistogramDelta { return &d.TokensPerStep }, []string{"vllm:iteration_tokens_total"}},
	{func(d *MetricsDelta) *HistogramDelta { return &d.PromptLen }, []string{"vllm:request_prompt_tokens", "sglang:prompt_tokens_histogram"}},
	{func(d *MetricsDelta) *HistogramDelta { return &d.OutputLen }, []string{"vllm:request_generation_tokens", "sglang:generation_tokens_histogram"}},
}

var gaugeReadings = []struct {
	of           func(*MetricsDelta) *GaugePair
	label, value string
	mean         bool // over engines; else the sum
	names        []string
}{
	{func(d *MetricsDelta) *GaugePair { return &d.Running }, "", "", false, []string{"vllm:num_requests_running", "sglang:num_running_reqs"}},
	{func(d *MetricsDelta) *GaugePair { return &d.Waiting }, "", "", false, []string{"vllm:num_requests_waiting", "sglang:num_queue_reqs"}},
	{func(d *MetricsDelta) *GaugePair { return &d.WaitingCapacity }, "reason", "capacity", false, []string{"vllm:num_requests_waiting_by_reason"}},
	{func(d *MetricsDelta) *GaugePair { return &d.WaitingDeferred }, "reason", "deferred", false, []string{"vllm:num_requests_waiting_by_reason"}},
	{func(d *MetricsDelta) *GaugePair { return &d.KVUsage }, "", "", true, []string{"vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "sglang:token_usage"}},
}

// Diff is what happened between two snapshots of one server. Snapshots of two
// servers, of one that restarted in between, or in the wrong order are
// [ErrMismatch]: one counter that fell is enough, because the others may have
// passed their old values again since the restart. A series that vanished, or a
// histogram whose buckets changed, is a warning and a reading that is not
// recorded.
func Diff(before, after *Metrics) (*MetricsDelta, error) {
	d := &MetricsDelta{BeforeFile: before.File, AfterFile: after.File, EngineName: after.EngineName, Models: after.Models, Engines: after.Engines}
	d.Warnings = append(append(d.Warnings, before.Warnings...), after.Warnings...)
	if err := sameServer(before, after); err != nil {
		return nil, err
	}
	x := differ{d: d, before: before, after: after, broken: map[string]bool{}}
	x.series()
	switch {
	case x.fell > 0 && x.fell > x.rose:
		return nil, mismatch(before, after, fmt.Sprintf("%d counters fell and %d rose: the snapshots are in the wrong order, or the server restarted in between", x.fell, x.rose))
	case x.reset != "":
		return nil, mismatch(before, after, x.reset+", and counters never fall: the server restarted in between, so no difference between the snapshots means anything")
	}
	x.readings()
	if d.Requests.Known && d.Requests.Value == 0 && (!d.Steps.Known || d.Steps.Value == 0) {
		d.warn("no-activity", Source{File: after.File}, "the server finished no request and ran no step between the snapshots")
	}
	return d, nil
}

func (d *MetricsDelta) warn(id string, src Source, text string) {
	d.Warnings = append(d.Warnings, Warning{ID: id, Text: text, Source: src})
}

func mismatch(before, after *Metrics, reason string) error {
	return fmt.Errorf("comparing %s with %s: %w: %s", before.File, after.File, ErrMismatch, reason)
}

// sameServer refuses pairs that cannot be of one run.
func sameServer(before, after *Metrics) error {
	switch {
	case after.EngineName == "" || before.EngineName == "":
		file := after.File
		if after.EngineName != "" {
			file = before.File
		}
		return fmt.Errorf("comparing %s with %s: %w: %s holds no vllm: or sglang: metric", before.File, after.File, ErrUnrecognised, file)
	case after.EngineName != before.EngineName:
		return mismatch(before, after, "one is of "+before.EngineName+", the other of "+after.EngineName)
	}
	if len(before.Models) > 0 && len(after.Models) > 0 {
		shared := false
		for _, m := range after.Models {
			for _, n := range before.Models {
				shared = shared || m == n
			}
		}
		if !shared {
			return mismatch(before, after, fmt.Sprintf("models differ: %s and %s", strings.Join(before.Models, ", "), strings.Join(after.Models, ", ")))
		}
	}
	if b, a := before.StartTimeS, after.StartTimeS; b.Known && a.Known && math.Abs(b.Value-a.Value) > 1 {
		if b.Value > a.Value {
			return mismatch(before, after, "the first snapshot is of a server that started later: the files are swapped or of two runs")
		}
		return mismatch(before, after, "the server process was started anew between the snapshots")
	}
	return nil
}

type differ struct {
	d             *MetricsDelta
	before, after *Metrics
	rose, fell    int
	reset         string          // the first counter that fell, in words; "" = none
	broken        map[string]bool // canonical names whose reading abstains
}

// served reports whether a family belongs to the engine rather than to its
// Python process or HTTP server.
func served(name string) bool {
	return strings.HasPrefix(name, "vllm:") || strings.HasPrefix(name, "sglang:")
}

// series computes the rows of all engine families.
func (x *differ) series() {
	for _, name := range sortedKeys(x.after.families) {
		if !served(name) {
			continue
		}
		af, bf := x.after.families[name], x.before.families[name]
		if bf == nil {
			bf = &family{kind: af.kind} // appeared with its first event
		}
		if bf.kind != af.kind {
			x.abstain(name, af, "type-changed", "its type differs between the snapshots")
			continue
		}
		had := map[string]*series{}
		for i := range bf.series {
			had[bf.series[i].key] = &bf.series[i]
		}
		for i := range af.series {
			s := &af.series[i]
			b := had[s.key]
			delete(had, s.key)
			switch af.kind {
			case kindCounter:
				x.counter(name, af, s, b)
			case kindHistogram:
				x.histogram(name, af, s, b)
			case kindGauge:
				g := GaugeSeries{Name: af.name, Labels: s.labels}
				g.After = NewFact(s.value, x.after.src(af))
				if b != nil {
					g.Before = NewFact(b.value, x.before.src(bf))
				}
				x.d.Gauges = append(x.d.Gauges, g)
			}
		}
		if len(had) > 0 && af.kind != kindGauge {
			x.fell++
			x.abstain(name, af, "series-vanished", fmt.Sprintf("%d of its series are missing in the later snapshot", len(had)))
		}
	}
}

func (x *differ) abstain(name string, f *family, id, text string) {
	if !x.broken[name] {
		x.d.warn(id, x.after.src(f), text+"; it was left out")
	}
	x.broken[name] = true
}

// fall notes a counter that fell.
func (x *differ) fall(f *family, how string) {
	x.fell++
	if x.reset == "" {
		x.reset = f.name + " " + how
	}
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func (x *differ) counter(name string, f *family, s, b *series) {
	row := CounterDelta{Name: f.name, Labels: s.labels, After: s.value, Source: x.after.src(f)}
	if b != nil {
		row.Before = b.value
	}
	if !finite(row.Before) || !finite(row.After) || row.Before < 0 || row.After < 0 {
		x.abstain(name, f, "not-a-number", "a counter is not a finite number")
		return
	}
	if row.After > mostCounter {
		x.abstain(name, f, "implausible", formatShort(row.After)+" is beyond anything that can be counted")
		return
	}
	switch {
	case row.After < row.Before:
		x.fall(f, fmt.Sprintf("fell from %s to %s", formatFloat(row.Before), formatFloat(row.After)))
	case row.After > row.Before:
		x.rose++
		fallthrough
	default:
		row.Delta = row.After - row.Before
	}
	x.d.Counters = append(x.d.Counters, row)
}

func (x *differ) histogram(name string, f *family, s, b *series) {
	row := HistogramDelta{Name: f.name, Labels: s.labels, Known: true, Count: s.value, Sum: s.sum, Source: x.after.src(f)}
	row.Buckets = make([]Bucket, len(s.buckets))
	var prev []Bucket
	if b != nil {
		row.Count -= b.value
		row.Sum -= b.sum
		prev = b.buckets
		if len(prev) != len(s.buckets) {
			x.abstain(name, f, "bucket-layout", fmt.Sprintf("it has %d buckets, the earlier snapshot %d", len(s.buckets), len(prev)))
			return
		}
	}
	below := 0.0
	for i, bucket := range s.buckets {
		n := bucket.N
		if prev != nil {
			if prev[i].Upper != bucket.Upper {
				x.abstain(name, f, "bucket-layout", fmt.Sprintf("bucket bound %s was %s in the earlier snapshot", formatFloat(float64(bucket.Upper)), formatFloat(float64(prev[i].Upper))))
				return
			}
			n -= prev[i].N
		}
		row.Buckets[i] = Bucket{Upper: bucket.Upper, N: n - below}
		if n < below {
			row.Count = -1
		}
		below = n
	}
	switch {
	case row.Count < 0:
		x.fall(f, "has counts that fell")
		return
	case !finite(row.Sum):
		x.abstain(name, f, "not-a-number", "the sum of the histogram is missing or not a finite number")
		return
	case row.Count > 0 && row.Sum/row.Count > mostMean(name):
		x.abstain(name, f, "implausible", fmt.Sprintf("a sum of %s for %s values is beyond anything that can be measured", formatShort(row.Sum), formatShort(row.Count)))
		return
	case row.Sum < -1e-6*math.Abs(s.sum):
		x.fall(f, fmt.Sprintf("has a sum that fell by %s although its counts rose", formatFloat(-row.Sum)))
		return
	case row.Count > 0:
		x.rose++
	}
	row.Sum = max(row.Sum, 0)
	x.d.Histograms = append(x.d.Histograms, row)
}

// mostMean is the largest mean that a histogram can have: of seconds, or of tokens.
func mostMean(name string) float64 {
	if strings.Contains(name, "_seconds") {
		return mostSeconds
	}
	return mostCount
}

// once keeps SGLang's tensor-parallel ranks, which all report the same, from
// being added up: only rank 0 counts, and series without a rank.
func once(labels []Label) bool {
	for _, l := range labels {
		if l.Name == "tp_rank" && l.Value != "0" && l.Value != "" {
			return false
		}
	}
	return true
}

func hasLabel(labels []Label, name, value string) bool {
	if name == "" {
		return true
	}
	for _, l := range labels {
		if l.Name == name {
			return l.Value == value
		}
	}
	return false
}

// family is the first of names that the later snapshot has.
func (x *differ) family(names []string) (string, *family) {
	for _, name := range names {
		if f := x.after.families[name]; f != nil {
			return name, f
		}
	}
	return "", nil
}

// readings fills the named fields from the rows.
func (x *differ) readings() {
	d := x.d
	for _, r := range counterReadings {
		name, f := x.family(r.names)
		if f == nil || x.broken[name] || r.of(d).Known {
			continue
		}
		sum, n := 0.0, 0
		for _, c := range d.Counters {
			if c.Name == f.name && once(c.Labels) && hasLabel(c.Labels, r.label, r.value) {
				sum += c.Delta
				n++
			}
		}
		if n > 0 || r.label == "" && len(f.series) > 0 {
			*r.of(d) = NewFact(sum, x.after.src(f))
		}
	}
	for _, r := range histogramReadings {
		name, f := x.family(r.names)
		if f == nil || x.broken[name] {
			continue
		}
		total := r.of(d)
		for _, h := range d.Histograms {
			if h.Name == f.name && once(h.Labels) && !total.merge(h) {
				x.abstain(name, f, "bucket-layout", "engines have different buckets")
				*total = HistogramDelta{}
				break
			}
		}
	}
	if h := d.TokensPerStep; h.Known {
		d.Steps, d.StepTokens = NewFact(h.Count, h.Source), NewFact(h.Sum, h.Source)
	}
	for _, r := range gaugeReadings {
		_, f := x.family(r.names)
		if f == nil {
			continue
		}
		pair := r.of(d)
		pair.After = x.gauge(f.name, r.label, r.value, r.mean, true)
		pair.Before = x.gauge(f.name, r.label, r.value, r.mean, false)
	}
}

// gauge is the sum or mean over the series; NaN in any of them abstains.
func (x *differ) gauge(name, label, value string, mean, after bool) Fact[float64] {
	sum, n := 0.0, 0
	var src Source
	for _, g := range x.d.Gauges {
		v := g.Before
		if after {
			v = g.After
		}
		if g.Name != name || !v.Known || !once(g.Labels) || !hasLabel(g.Labels, label, value) {
			continue
		}
		if !finite(v.Value) {
			x.d.warn("not-a-number", v.Source, "the gauge is not a finite number")
			return Fact[float64]{}
		}
		if math.Abs(v.Value) > mostCount {
			x.d.warn("implausible", v.Source, formatShort(v.Value)+" is beyond anything that can be measured; it was left out")
			return Fact[float64]{}
		}
		sum, src = sum+v.Value, v.Source
		n++
	}
	if n == 0 {
		return Fact[float64]{}
	}
	if mean {
		sum /= float64(n)
	}
	return NewFact(sum, src)
}

// merge adds another series of the same family; false if buckets differ.
func (h *HistogramDelta) merge(o HistogramDelta) bool {
	if !h.Known {
		*h = o
		h.Labels = nil
		h.Buckets = append([]Bucket(nil), o.Buckets...)
		return true
	}
	if len(h.Buckets) != len(o.Buckets) {
		return false
	}
	for i := range h.Buckets {
		if h.Buckets[i].Upper != o.Buckets[i].Upper {
			return false
		}
	}
	for i := range h.Buckets {
		h.Buckets[i].N += o.Buckets[i].N
	}
	h.Count += o.Count
	h.Sum += o.Sum
	return true
}
