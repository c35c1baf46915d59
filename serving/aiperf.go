package serving

import (
	"strconv"
	"strings"
)

// aiperfDistributions are AIPerf's (and GenAI-Perf's) names. Their
// inter_token_latency is (latency - TTFT)/(tokens - 1) per request, which is
// TPOT here; inter_chunk_latency is the gap between chunks.
var aiperfDistributions = []struct {
	metric string
	of     func(*Bench) *Distribution
}{
	{"time_to_first_token", func(b *Bench) *Distribution { return &b.TTFT }},
	{"inter_token_latency", func(b *Bench) *Distribution { return &b.TPOT }},
	{"inter_chunk_latency", func(b *Bench) *Distribution { return &b.ITL }},
	{"request_latency", func(b *Bench) *Distribution { return &b.E2E }},
}

func (rec *benchRecord) isAIPerf() bool {
	for _, key := range []string{"request_throughput", "request_latency", "request_count", "time_to_first_token", "output_token_throughput"} {
		if u := rec.f[key].field("unit"); u != nil && u.kind == 's' {
			return true
		}
	}
	return false
}

// milliseconds is the factor from a unit; 0 for what is not a time.
func milliseconds(unit string) float64 {
	switch strings.ToLower(unit) {
	case "ns", "nanoseconds":
		return 1e-6
	case "us", "microseconds":
		return 1e-3
	case "ms", "milliseconds":
		return 1
	case "s", "sec", "seconds":
		return 1000
	}
	return 0
}

// aiperf reads profile_export_aiperf.json (or profile_export_genai_perf.json).
func (rec *benchRecord) aiperf() *Bench {
	b := &Bench{Kind: AIPerf, Source: Source{File: rec.file, Line: rec.line}, Warnings: rec.warns}
	avg := func(keys ...string) Fact[float64] {
		for _, k := range keys {
			if n := rec.f[k].field("avg"); n.isNumber() && n.num >= 0 {
				return NewFact(n.num, rec.src(k+".avg"))
			}
		}
		return Fact[float64]{}
	}
	if v := rec.text("aiperf_version"); v.Known {
		b.Producer = NewFact("aiperf "+v.Value, v.Source)
	}
	b.Date = rec.text("start_time")
	b.Completed = toInt(avg("request_count"))
	b.Failed = toInt(avg("error_request_count"))
	if d := avg("benchmark_duration"); d.Known {
		if u := rec.f["benchmark_duration"].field("unit"); u != nil && milliseconds(u.str) > 0 {
			d.Value *= milliseconds(u.str) / 1000
			b.DurationS = d
		}
	}
	b.InputTokens = toInt(avg("total_isl"))
	b.OutputTokens = toInt(avg("total_osl", "total_output_tokens"))
	b.RequestRateDone = avg("request_throughput")
	b.OutputRate = avg("output_token_throughput")
	b.TotalRate = avg("total_token_throughput")
	b.Goodput = avg("goodput")
	b.AcceptanceLength = avg("spec_decode_token_weighted_acceptance_length", "spec_decode_acceptance_length")
	for _, m := range aiperfDistributions {
		n := rec.f[m.metric]
		unit := n.field("unit")
		if unit == nil || milliseconds(unit.str) == 0 {
			continue
		}
		scale, d := milliseconds(unit.str), m.of(b)
		for _, key := range n.keys() {
			v := n.fields[key]
			if !v.isNumber() || v.num < 0 {
				continue
			}
			fact := NewFact(v.num*scale, rec.src(m.metric+"."+key))
			switch key {
			case "avg":
				d.Mean = fact
			case "std":
				d.Std = fact
			case "min":
				d.Min = fact
			case "max":
				d.Max = fact
			case "count":
				d.N = toInt(NewFact(v.num, fact.Source))
			default:
				if p, err := strconv.ParseFloat(strings.TrimPrefix(key, "p"), 64); err == nil && key[0] == 'p' && p >= 0 && p <= 100 {
					d.Percentiles = append(d.Percentiles, Percentile{P: p, Value: fact.Value, Source: fact.Source})
				}
			}
		}
		d.tidy()
	}
	rec.aiperfConfig(b)
	b.deriveRates(rec.src)
	return b
}

// aiperfConfig finds the load's settings in input_config, whose layout differs
// between versions: the names are stable, the nesting is not.
func (rec *benchRecord) aiperfConfig(b *Bench) {
	cfg := rec.f["input_config"]
	if n, path := find(cfg, "input_config", "concurrency"); n.isNumber() && n.num > 0 {
		b.MaxConcurrency = toInt(NewFact(n.num, rec.src(path)))
	}
	for _, name := range []string{"request_rate", "rate"} {
		if n, path := find(cfg, "input_config", name); n.isNumber() && n.num > 0 && !b.RequestRate.Known {
			b.RequestRate = NewFact(n.num, rec.src(path))
		}
	}
	for _, name := range []string{"model_names", "model", "models"} {
		n, path := find(cfg, "input_config", name)
		for n != nil && (n.kind == 'a' && len(n.items) > 0 || n.kind == 'o') {
			if n.kind == 'a' {
				n = n.items[0]
			} else if next := n.field("name"); next != nil {
				n = next
			} else {
				n = n.field("items")
			}
		}
		if n != nil && n.kind == 's' && n.str != "" && !b.Model.Known {
			b.Model = NewFact(clip(mask(n.str), maxText), rec.src(path))
		}
	}
}

// find is the first field of that name, breadth first and in key order.
func find(n *node, path, name string) (*node, string) {
	type at struct {
		n    *node
		path string
	}
	queue := []at{{n, path}}
	for len(queue) > 0 {
		head := queue[0]
		queue = queue[1:]
		if head.n == nil || head.n.kind != 'o' {
			continue
		}
		if c := head.n.fields[name]; c != nil && c.kind != '0' {
			return c, head.path + "." + name
		}
		for _, k := range head.n.keys() {
			queue = append(queue, at{head.n.fields[k], head.path + "." + k})
		}
	}
	return nil, ""
}

// aiperfRecords gathers the lines of profile_export.jsonl, one per request.
type aiperfRecords struct {
	n                   int64
	requests            []Request
	ttft, tpot, itl, e2 []float64
	failed              int64
	first, last         int64
	line                int
}

// add takes the record if it is one of AIPerf's requests.
func (a *aiperfRecords) add(rec *benchRecord) bool {
	meta, metrics := rec.f["metadata"], rec.f["metrics"]
	start, end := meta.field("request_start_ns"), meta.field("request_end_ns")
	if !start.isNumber() || !end.isNumber() || metrics == nil {
		return false
	}
	if phase := meta.field("benchmark_phase"); phase != nil && phase.kind == 's' && phase.str == "warmup" {
		return true
	}
	if a.n == 0 {
		a.line = rec.line
		a.first = count(start.num)
	}
	a.n++
	r := Request{Clock: ClockUnix, StartNS: count(start.num), E2ENS: NotRecorded, QueueNS: NotRecorded, TTFTNS: NotRecorded, PrefillNS: NotRecorded,
		DecodeNS: NotRecorded, InferenceNS: NotRecorded, PromptTokens: NotRecorded, OutputTokens: NotRecorded, Source: rec.src("")}
	a.first, a.last = min(a.first, r.StartNS), max(a.last, count(end.num))
	if id := meta.field("x_request_id"); id != nil && id.kind == 's' {
		r.ID = clip(id.str, 100)
	}
	if e := rec.f["error"]; e != nil && e.kind != '0' {
		r.Failed = true
		a.failed++
	}
	value := func(name string) (ms float64, ok bool) {
		v, unit := metrics.field(name, "value"), metrics.field(name, "unit")
		if !v.isNumber() || v.num < 0 || unit == nil {
			return 0, false
		}
		if f := milliseconds(unit.str); f > 0 {
			return v.num * f, true
		}
		return v.num, true
	}
	take := func(name string, to *int64, samples *[]float64) {
		if ms, ok := value(name); ok && !r.Failed {
			if to != nil {
				*to = secondsNS(ms / 1000)
			}
			if len(*samples) < maxSamples {
				*samples = append(*samples, ms)
			}
		}
	}
	take("time_to_first_token", &r.TTFTNS, &a.ttft)
	take("request_latency", &r.E2ENS, &a.e2)
	take("inter_token_latency", nil, &a.tpot)
	for _, g := range metrics.field("inter_chunk_latency", "value").list() {
		unit := metrics.field("inter_chunk_latency", "unit")
		if g.isNumber() && unit != nil && len(a.itl) < maxSamples {
			a.itl = append(a.itl, g.num*milliseconds(unit.str))
		}
	}
	if v, ok := value("input_sequence_length"); ok {
		r.PromptTokens = count(v)
	}
	if v, ok := value("output_sequence_length"); ok {
		r.OutputTokens = count(v)
	}
	if r.E2ENS >= 0 && r.TTFTNS >= 0 && r.E2ENS >= r.TTFTNS {
		r.DecodeNS = r.E2ENS - r.TTFTNS
	}
	if len(a.requests) < maxRequests {
		a.requests = append(a.requests, r)
	}
	return true
}

func (n *node) list() []*node {
	if n == nil {
		return nil
	}
	return n.items
}

// bench is the summary of the records, nil without any.
func (a *aiperfRecords) bench(file string) *Bench {
	if a.n == 0 {
		return nil
	}
	src := func(field string) Source { return Source{File: file, Line: a.line, Field: field} }
	b := &Bench{Kind: AIPerf, Source: src(""), Requests: a.requests}
	sortRequests(b.Requests)
	b.Completed = NewFact(a.n-a.failed, src("metadata"))
	b.Failed = NewFact(a.failed, src("error"))
	if a.last > a.first {
		b.DurationS = NewFact(float64(a.last-a.first)/1e9, src("metadata.request_start_ns, request_end_ns"))
	}
	in, out := int64(0), int64(0)
	haveIn, haveOut := false, false
	for _, r := range a.requests {
		if r.PromptTokens >= 0 && !r.Failed {
			in, haveIn = in+r.PromptTokens, true
		}
		if r.OutputTokens >= 0 && !r.Failed {
			out, haveOut = out+r.OutputTokens, true
		}
	}
	if haveIn {
		b.InputTokens = NewFact(in, src("metrics.input_sequence_length"))
	}
	if haveOut {
		b.OutputTokens = NewFact(out, src("metrics.output_sequence_length"))
	}
	b.TTFT.addSamples(a.ttft, src("metrics.time_to_first_token"))
	b.TPOT.addSamples(a.tpot, src("metrics.inter_token_latency"))
	b.ITL.addSamples(a.itl, src("metrics.inter_chunk_latency"))
	b.E2E.addSamples(a.e2, src("metrics.request_latency"))
	b.deriveRates(src)
	return b
}
