package serving

import (
	"sort"
	"strconv"
)

// latency reads vllm bench latency: one batch at a time, seconds per batch.
func (rec *benchRecord) latency() *Bench {
	b := &Bench{Kind: VLLMLatency, Source: Source{File: rec.file, Line: rec.line}, Warnings: rec.warns}
	b.Model = rec.text("model_id", "model")
	b.E2E.Mean = share(rec.num("avg_latency"), 1e-3)
	p := rec.f["percentiles"]
	for _, key := range p.keys() {
		at, err := strconv.ParseFloat(key, 64)
		if v := p.fields[key]; err == nil && at >= 0 && at <= 100 && v.isNumber() && v.num >= 0 {
			b.E2E.Percentiles = append(b.E2E.Percentiles, Percentile{P: at, Value: v.num * 1000, Source: rec.src("percentiles." + key)})
		}
	}
	b.E2E.tidy()
	var ms []float64
	for _, v := range rec.cols["latencies"] {
		if v >= 0 {
			ms = append(ms, v*1000)
		}
	}
	b.E2E.addSamples(ms, rec.src("latencies"))
	rec.extra(b)
	return b
}

// throughput reads vllm bench throughput: all requests at once, offline.
func (rec *benchRecord) throughput() *Bench {
	b := &Bench{Kind: VLLMThroughput, Source: Source{File: rec.file, Line: rec.line}, Warnings: rec.warns}
	b.Model = rec.text("model_id", "model")
	b.DurationS = rec.num("elapsed_time")
	b.Completed = rec.int("num_requests")
	b.RequestRateDone = rec.num("requests_per_second")
	b.TotalRate = rec.num("tokens_per_second")
	b.deriveRates(rec.src)
	rec.extra(b)
	return b
}

// sortRequests orders by start, then by ID, so that the order does not depend
// on how a tool grouped them.
func sortRequests(rs []Request) {
	sort.SliceStable(rs, func(i, k int) bool {
		if rs[i].StartNS != rs[k].StartNS {
			return rs[i].StartNS < rs[k].StartNS
		}
		return rs[i].ID < rs[k].ID
	})
}
