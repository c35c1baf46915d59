package serving

import (
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
)

// latencyKeys are the names that results give to the four latencies.
var latencyKeys = []struct {
	name string
	of   func(*Bench) *Distribution
}{
	{"ttft", func(b *Bench) *Distribution { return &b.TTFT }},
	{"tpot", func(b *Bench) *Distribution { return &b.TPOT }},
	{"itl", func(b *Bench) *Distribution { return &b.ITL }},
	{"e2el", func(b *Bench) *Distribution { return &b.E2E }},
	{"e2e_latency", func(b *Bench) *Distribution { return &b.E2E }},
}

// latencyKey splits "p99_ttft_ms" into "p99" and the latency.
func latencyKey(key string) (stat string, of func(*Bench) *Distribution) {
	rest, ok := strings.CutSuffix(key, "_ms")
	if !ok {
		return "", nil
	}
	for _, l := range latencyKeys {
		if s, ok := strings.CutSuffix(rest, "_"+l.name); ok {
			switch s {
			case "mean", "median", "std", "min", "max":
				return s, l.of
			}
			if p, ok := strings.CutPrefix(s, "p"); ok {
				if v, err := strconv.ParseFloat(p, 64); err == nil && v >= 0 && v <= 100 {
					return s, l.of
				}
			}
		}
	}
	return "", nil
}

func (rec *benchRecord) isServe() bool {
	if rec.isNumber("completed") && (rec.isNumber("duration") || rec.isNumber("request_throughput")) {
		return true
	}
	for key, n := range rec.f {
		if _, of := latencyKey(key); of != nil && n.isNumber() {
			return true
		}
	}
	return false
}

// serveMeaning are the keys of a serving result that have a field; the rest
// goes to Extra.
var serveMeaning = map[string]bool{
	"model_id": true, "model": true, "backend": true, "endpoint_type": true, "label": true, "tag": true, "date": true,
	"num_prompts": true, "max_concurrency": true, "request_rate": true, "burstiness": true, "input_len": true,
	"output_len": true, "random_input_len": true, "random_output_len": true, "completed": true, "failed": true,
	"duration": true, "total_input_tokens": true, "total_output_tokens": true, "request_throughput": true,
	"output_throughput": true, "total_token_throughput": true, "total_throughput": true, "max_output_tokens_per_s": true,
	"request_goodput": true, "request_goodput:": true, "concurrency": true, "max_concurrent_requests": true,
	"cache_hit_rate_pct": true, "accept_length": true, "spec_decode_acceptance_rate": true,
	"spec_decode_acceptance_length": true,
}

// serve reads the keys of vllm bench serve and sglang.bench_serving, old and
// new, and of load generators that write the same.
func (rec *benchRecord) serve() *Bench {
	b := &Bench{Kind: VLLMServe, Source: Source{File: rec.file, Line: rec.line}, Warnings: rec.warns}
	for _, k := range []string{"mean_e2e_latency_ms", "total_output_tokens_retokenized", "total_throughput", "server_info"} {
		if rec.f[k] != nil {
			b.Kind = SGLangServe
		}
	}
	b.Model = rec.text("model_id", "model")
	b.Backend = rec.text("backend", "endpoint_type")
	b.Label = rec.text("label", "tag")
	b.Date = rec.text("date")
	b.NumPrompts = rec.int("num_prompts")
	b.MaxConcurrency = rec.int("max_concurrency")
	b.RequestRate = rec.num("request_rate")
	if t := rec.text("request_rate"); t.Known && strings.EqualFold(t.Value, "inf") {
		b.RequestRate = NewFact(math.Inf(1), t.Source)
	}
	b.Burstiness = rec.num("burstiness")
	b.InputLen = rec.int("input_len", "random_input_len")
	b.OutputLen = rec.int("output_len", "random_output_len")

	b.Completed = rec.int("completed")
	b.Failed = rec.int("failed")
	if !b.Failed.Known && b.NumPrompts.Known && b.Completed.Known && b.Completed.Value <= b.NumPrompts.Value {
		b.Failed = NewFact(b.NumPrompts.Value-b.Completed.Value, rec.src("num_prompts, completed"))
	}
	b.DurationS = rec.num("duration")
	b.InputTokens = rec.int("total_input_tokens")
	b.OutputTokens = rec.int("total_output_tokens")
	b.RequestRateDone = rec.num("request_throughput")
	b.OutputRate = rec.num("output_throughput")
	b.TotalRate = rec.num("total_token_throughput", "total_throughput")
	b.PeakOutputRate = rec.num("max_output_tokens_per_s")
	b.Goodput = rec.num("request_goodput", "request_goodput:")
	b.MeanConcurrency = rec.num("concurrency")
	b.PrefixHitRate = share(rec.num("cache_hit_rate_pct"), 100)
	b.AcceptanceLength = rec.num("spec_decode_acceptance_length", "accept_length")
	b.AcceptanceRate = rec.acceptance()
	b.deriveRates(rec.src)

	rec.summaries(b)
	rec.details(b)
	rec.peak(b)
	rec.sglangServer(b)
	rec.extra(b)
	for text, n := range rec.errs {
		b.Errors = append(b.Errors, Count{text, n})
	}
	sort.Slice(b.Errors, func(i, k int) bool {
		if b.Errors[i].N != b.Errors[k].N {
			return b.Errors[i].N > b.Errors[k].N
		}
		return b.Errors[i].Text < b.Errors[k].Text
	})
	return b
}

// share divides a percentage, keeping "not recorded".
func share(f Fact[float64], by float64) Fact[float64] {
	if f.Known {
		f.Value /= by
	}
	return f
}

// acceptance prefers the counts to the rate, which some versions give in
// percent.
func (rec *benchRecord) acceptance() Fact[float64] {
	drafted, accepted := rec.num("spec_decode_draft_tokens"), rec.num("spec_decode_accepted_tokens")
	if drafted.Known && accepted.Known && drafted.Value > 0 {
		return NewFact(accepted.Value/drafted.Value, rec.src("spec_decode_accepted_tokens, spec_decode_draft_tokens"))
	}
	rate := rec.num("spec_decode_acceptance_rate")
	if rate.Value > 1 {
		return share(rate, 100)
	}
	return rate
}

// deriveRates fills throughputs that follow from counts and duration.
func (b *Bench) deriveRates(src func(string) Source) {
	if !(b.DurationS.Value > 0) || b.DurationS.Value > mostSeconds {
		return
	}
	d := b.DurationS.Value
	if !b.RequestRateDone.Known && b.Completed.Known {
		b.RequestRateDone = NewFact(float64(b.Completed.Value)/d, src("completed, duration"))
	}
	if !b.OutputRate.Known && b.OutputTokens.Known {
		b.OutputRate = NewFact(float64(b.OutputTokens.Value)/d, src("total_output_tokens, duration"))
	}
	if !b.TotalRate.Known && b.OutputTokens.Known && b.InputTokens.Known {
		b.TotalRate = NewFact(float64(b.OutputTokens.Value+b.InputTokens.Value)/d, src("total_input_tokens, total_output_tokens, duration"))
	}
}

// summaries reads {mean,median,std,p99,...}_{ttft,tpot,itl,e2el}_ms.
func (rec *benchRecord) summaries(b *Bench) {
	for _, key := range (&node{fields: rec.f}).keys() {
		stat, of := latencyKey(key)
		v := rec.num(key)
		if of == nil || !v.Known {
			continue
		}
		d := of(b)
		switch stat {
		case "mean":
			d.Mean = v
		case "median":
			d.Median = v
		case "std":
			d.Std = v
		case "min":
			d.Min = v
		case "max":
			d.Max = v
		default:
			p, _ := strconv.ParseFloat(stat[1:], 64)
			d.Percentiles = append(d.Percentiles, Percentile{P: p, Value: v.Value, Source: v.Source})
		}
	}
	for _, d := range []*Distribution{&b.TTFT, &b.TPOT, &b.ITL, &b.E2E} {
		d.tidy()
	}
	// A summary of TTFT and E2E is over the completed requests.
	for _, d := range []*Distribution{&b.TTFT, &b.E2E} {
		if d.Recorded() {
			d.N = b.Completed
		}
	}
}

// tidy orders percentiles and takes the median from p50 where it is missing.
func (d *Distribution) tidy() {
	sort.SliceStable(d.Percentiles, func(i, k int) bool { return d.Percentiles[i].P < d.Percentiles[k].P })
	if !d.Median.Known {
		for _, p := range d.Percentiles {
			if p.P == 50 {
				d.Median = NewFact(p.Value, p.Source)
			}
		}
	}
}

// addSamples sets the samples and fills the summary values that are missing.
func (d *Distribution) addSamples(samples []float64, src Source) {
	if len(samples) == 0 {
		return
	}
	d.Samples = samples
	d.N = NewFact(int64(len(samples)), src)
	sum, lo, hi := 0.0, samples[0], samples[0]
	for _, v := range samples {
		sum += v
		lo, hi = math.Min(lo, v), math.Max(hi, v)
	}
	mean := sum / float64(len(samples))
	if !d.Mean.Known {
		d.Mean = NewFact(mean, src)
	}
	if !d.Std.Known {
		sq := 0.0
		for _, v := range samples {
			sq += (v - mean) * (v - mean)
		}
		d.Std = NewFact(math.Sqrt(sq/float64(len(samples))), src)
	}
	if !d.Min.Known {
		d.Min = NewFact(lo, src)
	}
	if !d.Max.Known {
		d.Max = NewFact(hi, src)
	}
	if !d.Median.Known {
		d.Median = d.Percentile(50)
	}
}

// details reads the arrays of --save-detailed and --output-details, which are
// in seconds. Failed requests are not samples.
func (rec *benchRecord) details(b *Bench) {
	at := func(col string, i int) float64 {
		if c := rec.cols[col]; i < len(c) {
			return c[i]
		}
		return math.NaN()
	}
	n := max(len(rec.cols["ttfts"]), len(rec.cols["latencies"]), len(rec.itls), len(rec.cols["output_lens"]))
	for name, col := range rec.cols {
		if len(col) > 0 && len(col) < n {
			b.Warnings = append(b.Warnings, Warning{ID: "uneven-arrays", Text: fmt.Sprintf("%s has %d entries, another array has %d", name, len(col), n), Source: rec.src(name)})
		}
	}
	sort.Slice(b.Warnings, func(i, k int) bool { return b.Warnings[i].Text < b.Warnings[k].Text })
	var ttft, tpot, itl, e2e, queue []float64
	dropped, beyond := 0, 0
	for i := range n {
		first, latency, out := at("ttfts", i), at("latencies", i), at("output_lens", i)
		var gaps []float64
		if i < len(rec.itls) {
			gaps = rec.itls[i]
		}
		failed := i < len(rec.failed) && rec.failed[i] || !(first > 0) && len(gaps) == 0 && !(latency > 0) && !(out > 0)
		sum := 0.0
		for _, g := range gaps {
			sum += g
		}
		if math.IsNaN(latency) && rec.hasITL && first >= 0 {
			latency = first + sum
		}
		q := at("server_queue_times", i)
		if math.IsNaN(q) {
			q = at("queue_times", i)
		}
		if i < maxRequests {
			b.Requests = append(b.Requests, Request{
				Clock: ClockMonotonic, StartNS: secondsNS(at("start_times", i)),
				E2ENS: secondsNS(latency), TTFTNS: secondsNS(first), QueueNS: secondsNS(q),
				PrefillNS: NotRecorded, InferenceNS: NotRecorded, DecodeNS: secondsNS(latency - first),
				PromptTokens: count(at("input_lens", i)), OutputTokens: count(out),
				Failed: failed, Source: rec.src("[" + strconv.Itoa(i) + "]"),
			})
		}
		if failed {
			continue
		}
		add := func(to *[]float64, v float64) {
			switch {
			case v >= 0 && v <= mostSeconds:
				*to = append(*to, v*1000)
			case v < 0:
				dropped++
			case v > mostSeconds:
				beyond++
			}
		}
		if first != 0 { // 0: the client did not stream
			add(&ttft, first)
		}
		add(&e2e, latency)
		add(&queue, q)
		if out > 1 && first != 0 {
			add(&tpot, (latency-first)/(out-1))
		}
		for _, g := range gaps {
			add(&itl, g)
		}
	}
	b.TTFT.addSamples(ttft, rec.src("ttfts"))
	e2eField := "ttfts, itls"
	if len(rec.cols["latencies"]) > 0 {
		e2eField = "latencies"
	}
	b.E2E.addSamples(e2e, rec.src(e2eField))
	b.TPOT.addSamples(tpot, rec.src(e2eField+", output_lens"))
	b.ITL.addSamples(itl, rec.src("itls"))
	queueField := "server_queue_times"
	if rec.cols[queueField] == nil {
		queueField = "queue_times"
	}
	b.Queue.addSamples(queue, rec.src(queueField))
	if dropped > 0 {
		b.Warnings = append(b.Warnings, Warning{ID: "negative-latency", Text: fmt.Sprintf("%d negative latencies were left out", dropped), Source: Source{File: rec.file, Line: rec.line}})
	}
	if beyond > 0 {
		b.Warnings = append(b.Warnings, Warning{ID: "implausible", Text: fmt.Sprintf("%d latencies of more than a year were left out", beyond), Source: Source{File: rec.file, Line: rec.line}})
	}
	if m, s := b.TTFT.Mean, b.TTFT.Samples; m.Known && len(s) > 0 {
		mean := 0.0
		for _, v := range s {
			mean += v / float64(len(s))
		}
		if math.Abs(mean-m.Value) > 0.02*math.Max(mean, m.Value) {
			b.Warnings = append(b.Warnings, Warning{ID: "summary-differs", Text: fmt.Sprintf("mean TTFT is stated as %.4g ms, its samples have %.4g ms", m.Value, mean), Source: m.Source})
		}
	}
}

// peak sets the most requests under way at once, from their starts and latencies. The
// result's own max_concurrent_requests counts those that were under way at any time
// within one second: of short requests that is many times the clients, and nothing
// that was ever at once. Without details it stands in only where it could be true.
func (rec *benchRecord) peak(b *Bench) {
	type edge struct {
		at    int64
		delta int
	}
	var edges []edge
	for _, r := range b.Requests {
		if r.Failed {
			continue
		}
		if r.StartNS == NotRecorded || r.E2ENS == NotRecorded {
			edges = nil
			break
		}
		edges = append(edges, edge{r.StartNS, 1}, edge{r.StartNS + r.E2ENS, -1})
	}
	if len(edges) > 0 && len(b.Requests) < maxRequests {
		sort.Slice(edges, func(i, k int) bool {
			if edges[i].at != edges[k].at {
				return edges[i].at < edges[k].at
			}
			return edges[i].delta < edges[k].delta
		})
		under, most := 0, 0
		for _, e := range edges {
			under += e.delta
			most = max(most, under)
		}
		b.PeakConcurrency = NewFact(float64(most), rec.src("start_times, ttfts, itls"))
		return
	}
	if v := rec.num("max_concurrent_requests"); v.Known && !(b.MaxConcurrency.Known && v.Value > float64(b.MaxConcurrency.Value)) {
		b.PeakConcurrency = v
	}
}

// secondsNS converts seconds to ns; what is not a non-negative time that fits
// is not recorded.
func secondsNS(s float64) int64 {
	if !(s >= 0) || s > 9e9 {
		return NotRecorded
	}
	return int64(math.Round(s * 1e9))
}

func count(v float64) int64 {
	if !(v >= 0) || v > 1<<62 {
		return NotRecorded
	}
	return int64(v)
}

// extra keeps scalar keys without a meaning here, such as the user's metadata.
func (rec *benchRecord) extra(b *Bench) {
	for _, key := range (&node{fields: rec.f}).keys() {
		n := rec.f[key]
		if _, of := latencyKey(key); of != nil || serveMeaning[key] || len(b.Extra) >= 64 {
			continue
		}
		value := ""
		switch {
		case n.kind == 's':
			value = n.str
		case n.kind == 'n':
			value = formatFloat(n.num)
		case n.kind == 'b':
			value = strconv.FormatBool(n.bool)
		default:
			continue
		}
		pair := mask(key + "=" + value)
		_, value, _ = strings.Cut(pair, "=")
		b.Extra = append(b.Extra, KeyValue{clip(key, 80), clip(value, 200)})
	}
}

// sglangServer takes the server's settings from server_info.
func (rec *benchRecord) sglangServer(b *Bench) {
	info := rec.f["server_info"]
	if info == nil || info.kind != 'o' {
		return
	}
	e := &b.Engine
	get := func(key string) (node, Source, bool) {
		n := info.fields[key]
		if n == nil {
			return node{}, Source{}, false
		}
		return *n, rec.src("server_info." + key), true
	}
	setText := func(f *Fact[string], key string) {
		if n, src, ok := get(key); ok && n.kind == 's' && n.str != "" {
			*f = NewFact(clip(mask(n.str), maxText), src)
		}
	}
	setInt := func(f *Fact[int64], key string) {
		if n, src, ok := get(key); ok && n.kind == 'n' && n.num >= 0 && n.num < 1<<53 {
			*f = NewFact(int64(n.num), src)
		}
	}
	e.Name = NewFact("sglang", rec.src("server_info"))
	setText(&e.Version, "version")
	setText(&e.Model, "model_path")
	setText(&e.ServedModelName, "served_model_name")
	setText(&e.DType, "dtype")
	setText(&e.Quantization, "quantization")
	setText(&e.KVCacheDType, "kv_cache_dtype")
	setText(&e.AttentionBackend, "attention_backend")
	setInt(&e.TensorParallel, "tp_size")
	setInt(&e.PipelineParallel, "pp_size")
	setInt(&e.DataParallel, "dp_size")
	setInt(&e.MaxNumSeqs, "max_running_requests")
	setInt(&e.MaxNumBatchedTokens, "chunked_prefill_size")
	setInt(&e.KVCacheTokens, "max_total_num_tokens")
	setInt(&e.MaxModelLen, "context_length")
	if !b.Model.Known {
		b.Model = e.Model
	}
}
