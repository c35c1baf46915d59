package serving

import (
	"fmt"
	"strconv"
	"strings"
)

// guideLLM reads the "benchmarks" array of a GuideLLM report (schema 1 and 2).
func (j *jsonReader) guideLLM(rec *benchRecord) error {
	ok, err := j.open("benchmarks", '[')
	if err != nil || !ok {
		return err
	}
	rec.guide = []*Bench{}
	return j.array("benchmarks", func() error {
		line := j.line()
		path := "benchmarks[" + strconv.Itoa(len(rec.guide)) + "]"
		ok, err := j.open(path, '{')
		if err != nil {
			return err
		}
		if !ok {
			return malformed(j.file, line, "%s: want an object", path)
		}
		g := guideReader{b: &Bench{Kind: GuideLLM, Source: Source{File: j.file, Line: line, Field: path}}, path: path}
		err = j.object(path, func(key string) error {
			if key == "requests" {
				return g.requests(j)
			}
			n, err := j.tree(path+"."+key, privateKeys)
			if g.f == nil {
				g.f = map[string]*node{}
			}
			g.f[key] = n
			return err
		})
		if err != nil {
			return err
		}
		if g.f["metrics"] == nil {
			return unrecognised(j.file, line, "%s has no metrics: not a GuideLLM report", path)
		}
		g.fill()
		rec.guide = append(rec.guide, g.b)
		return nil
	})
}

type guideReader struct {
	b    *Bench
	path string
	f    map[string]*node
}

func (g *guideReader) src(field string) Source {
	s := g.b.Source
	s.Field += "." + field
	return s
}

// stat is metrics.<metric>.successful.<name>.
func (g *guideReader) stat(metric, name string) Fact[float64] {
	n := g.f["metrics"].field(metric, "successful", name)
	if !n.isNumber() || n.num < 0 {
		return Fact[float64]{}
	}
	return NewFact(n.num, g.src("metrics."+metric+".successful."+name))
}

// distribution reads a metric of the successful requests; scale makes it ms.
func (g *guideReader) distribution(d *Distribution, metric string, scale float64) {
	n := g.stat(metric, "count")
	if n.Known && n.Value == 0 {
		return // GuideLLM writes zeros for a metric without observations
	}
	d.N = toInt(n)
	for name, to := range map[string]*Fact[float64]{"mean": &d.Mean, "median": &d.Median, "std_dev": &d.Std, "min": &d.Min, "max": &d.Max} {
		if v := g.stat(metric, name); v.Known {
			v.Value *= scale
			*to = v
		}
	}
	ps := g.f["metrics"].field(metric, "successful", "percentiles")
	for _, key := range ps.keys() {
		digits, ok := strings.CutPrefix(key, "p")
		v, err := strconv.ParseFloat(digits, 64)
		if !ok || err != nil || !ps.fields[key].isNumber() {
			continue
		}
		// p05 is 5, p99 is 99, p001 is 0.1, p999 is 99.9.
		for i := 2; i < len(digits); i++ {
			v /= 10
		}
		d.Percentiles = append(d.Percentiles, Percentile{P: v, Value: ps.fields[key].num * scale, Source: g.src("metrics." + metric + ".successful.percentiles." + key)})
	}
	d.tidy()
}

func (g *guideReader) fill() {
	b := g.b
	b.RequestRateDone = g.stat("requests_per_second", "mean")
	b.OutputRate = g.stat("output_tokens_per_second", "mean")
	b.TotalRate = g.stat("tokens_per_second", "mean")
	b.MeanConcurrency = g.stat("request_concurrency", "mean")
	b.PeakConcurrency = g.stat("request_concurrency", "max")
	for _, where := range [][]string{{"metrics", "request_totals"}, {"scheduler_metrics", "requests_made"}, {"run_stats", "requests_made"}} {
		totals := g.f[where[0]].field(where[1])
		if n := totals.field("successful"); n.isNumber() && !b.Completed.Known {
			b.Completed = toInt(NewFact(n.num, g.src(strings.Join(where, ".")+".successful")))
		}
		if n := totals.field("errored"); n.isNumber() && !b.Failed.Known {
			b.Failed = toInt(NewFact(n.num, g.src(strings.Join(where, ".")+".errored")))
		}
	}
	if n := g.f["duration"]; n.isNumber() && n.num > 0 {
		b.DurationS = NewFact(n.num, g.src("duration"))
	} else if s, e := g.f["start_time"], g.f["end_time"]; s.isNumber() && e.isNumber() && e.num > s.num {
		b.DurationS = NewFact(e.num-s.num, g.src("start_time, end_time"))
	}
	tokens := func(metric string) Fact[int64] {
		if v := g.stat(metric, "total_sum"); v.Known {
			return toInt(v)
		}
		mean, n := g.stat(metric, "mean"), g.stat(metric, "count")
		if mean.Known && n.Known {
			mean.Value *= n.Value
			return toInt(mean)
		}
		return Fact[int64]{}
	}
	b.InputTokens, b.OutputTokens = tokens("prompt_token_count"), tokens("output_token_count")
	g.distribution(&b.TTFT, "time_to_first_token_ms", 1)
	g.distribution(&b.ITL, "inter_token_latency_ms", 1)
	g.distribution(&b.E2E, "request_latency", 1000)
	if b.ITL.Recorded() {
		b.Warnings = append(b.Warnings, Warning{ID: "itl-of-requests", Source: g.src("metrics.inter_token_latency_ms"),
			Text: "GuideLLM's inter-token latency is each request's mean gap weighted by its tokens: its percentiles hide single slow gaps"})
	}
	for _, where := range [][]string{{"config", "strategy"}, {"args", "strategy"}, {"config", "profile"}, {"args", "profile"}} {
		s := g.f[where[0]].field(where[1])
		if n := s.field("streams"); n.isNumber() && !b.MaxConcurrency.Known {
			b.MaxConcurrency = toInt(NewFact(n.num, g.src(strings.Join(where, ".")+".streams")))
		}
		if n := s.field("rate"); n.isNumber() && !b.RequestRate.Known {
			b.RequestRate = NewFact(n.num, g.src(strings.Join(where, ".")+".rate"))
		}
		if n := s.field("type_"); n != nil && n.kind == 's' && !b.Label.Known {
			b.Label = NewFact(clip(n.str, 80), g.src(strings.Join(where, ".")+".type_"))
		}
	}
	g.samples()
}

// samples adds what the retained requests tell. They may be a sample of all.
func (g *guideReader) samples() {
	b := g.b
	sortRequests(b.Requests)
	var tpot []float64
	for _, r := range b.Requests {
		if !r.Failed && r.OutputTokens > 1 && r.DecodeNS >= 0 {
			tpot = append(tpot, float64(r.DecodeNS)/1e6/float64(r.OutputTokens-1))
		}
	}
	b.TPOT.addSamples(tpot, g.src("requests.successful"))
	if n := int64(len(b.Requests)); n > 0 && b.Completed.Known && n < b.Completed.Value {
		b.Warnings = append(b.Warnings, Warning{ID: "sampled-requests", Source: g.src("requests"),
			Text: fmt.Sprintf("details of %d of %d requests were kept; TPOT is over those", n, b.Completed.Value)})
	}
}

// requests reads {successful: [...], errored: [...], incomplete: [...]}.
func (g *guideReader) requests(j *jsonReader) error {
	path := g.path + ".requests"
	ok, err := j.open(path, '{')
	if err != nil || !ok {
		return err
	}
	return j.object(path, func(status string) error {
		path := joinPath(path, status)
		ok, err := j.open(path, '[')
		if err != nil || !ok {
			return err
		}
		i := -1
		return j.array(path, func() error {
			i++
			if len(g.b.Requests) >= maxRequests {
				j.cut = true
				return j.skip(path)
			}
			n, err := j.passing(path, privateKeys)
			if err == nil && status != "incomplete" {
				g.request(n, status == "errored", path+"["+strconv.Itoa(i)+"]")
			}
			return err
		})
	})
}

func (g *guideReader) request(n *node, failed bool, path string) {
	if n.kind != 'o' {
		return
	}
	num := func(names ...string) float64 {
		for _, name := range names {
			if v := n.field(strings.Split(name, ".")...); v.isNumber() {
				return v.num
			}
		}
		return -1
	}
	r := Request{Clock: ClockUnix, Failed: failed, QueueNS: NotRecorded, PrefillNS: NotRecorded, DecodeNS: NotRecorded, InferenceNS: NotRecorded}
	if id := n.field("request_id"); id != nil && id.kind == 's' {
		r.ID = clip(id.str, 100)
	}
	r.StartNS = secondsNS(num("request_start_time", "start_time", "info.timings.request_start"))
	r.E2ENS = secondsNS(num("request_latency"))
	r.TTFTNS = secondsNS(num("time_to_first_token_ms") / 1000)
	r.PromptTokens = count(num("prompt_tokens", "input_metrics.text_tokens"))
	r.OutputTokens = count(num("output_tokens", "output_metrics.text_tokens"))
	if r.E2ENS >= 0 && r.TTFTNS >= 0 && r.E2ENS >= r.TTFTNS {
		r.DecodeNS = r.E2ENS - r.TTFTNS
	}
	r.Source = Source{File: g.b.Source.File, Line: g.b.Source.Line, Field: path}
	g.b.Requests = append(g.b.Requests, r)
}
