package diagnose

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/device"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/step"
)

var queueLimited = Rule{
	ID: QueueLimited, Title: "Requests wait while the batch is held at a cap",
	Measures: "Steps whose number of requests sits at one maximum (four of five steps) while the server's own evidence shows " +
		"requests waiting: queue time of the metrics, waiting requests of the log, or a client with more requests in flight " +
		"than the batch. The share is what a step of the wanted batch would return per request.",
	Wrong: "A closed loop with as many clients as the batch also pins the batch; without evidence of waiting the rule " +
		"abstains. If the KV cache is full the cap is memory, which is another finding.",
	Fix:   "Raise max-num-seqs while KV cache is free and decode stays memory-bound; else more replicas.",
	Needs: "Batch sizes, and metrics, a log or a benchmark.", Source: "metrics vllm:num_requests_waiting, request_queue_time_seconds",
	Check: func(c *Context) ([]Finding, string) {
		cap0, pinned := c.pinnedBatch()
		if !pinned {
			return nil, ""
		}
		w := c.waiting()
		if !w.known {
			return nil, fmt.Sprintf("the batch stays at %s, but %s", requests(cap0), c.noEvidence("no metrics, log or closed-loop benchmark says whether others wait"))
		}
		// Bursts of arrivals queue for a step or two in any server; a cap makes requests wait all the time.
		if w.mean < max(1, 0.1*float64(cap0)) {
			return nil, ""
		}
		if n, ok := c.closedLoop(); ok && n <= cap0 {
			return nil, ""
		}
		if c.kvFull().full {
			return nil, ""
		}
		limit := "a cap"
		if m := c.Engine.MaxNumSeqs; m.Known && m.Value == cap0 {
			limit = fmt.Sprintf("max-num-seqs %d", cap0)
		} else if m.Known && m.Value > cap0 {
			return nil, fmt.Sprintf("requests wait at a batch of %d although max-num-seqs is %d: something else limits admission, such as the token budget or bursts of arrivals", cap0, m.Value)
		}
		want := float64(cap0) + w.mean
		share := c.batchGain(float64(cap0), want)
		conf := likely
		if w.fromServer && c.Engine.MaxNumSeqs.Known {
			conf = sure
		}
		f := finding(share, conf, "Requests queue: the batch is held at %d by %s while %.0f more wait on average.", cap0, limit, w.mean)
		f.Severity = max(f.Severity, Medium)
		f.Evidence = append([]Evidence{{"requests per step, in four of five steps", float64(cap0), "requests", c.rowsOf(&c.All)}}, w.evidence...)
		if u := c.kvUsage(); u.known {
			f.Evidence = append(f.Evidence, Evidence{"KV cache in use", 100 * u.value, "%", u.source})
		}
		return []Finding{f}, ""
	},
}

// pinnedBatch returns the largest number of requests per step if at least four of five steps have it.
func (c *Context) pinnedBatch() (int64, bool) {
	var sizes []int64
	for _, i := range c.A.Primary {
		if s := &c.A.Steps[i]; s.Batch.Requests() > 0 && s.Phase != step.Empty {
			sizes = append(sizes, s.Batch.Requests())
		}
	}
	if len(sizes) < 8 {
		return 0, false
	}
	most := slices.Max(sizes)
	n := 0
	for _, s := range sizes {
		if s == most {
			n++
		}
	}
	return most, n*5 >= len(sizes)*4
}

type waitFacts struct {
	known      bool
	fromServer bool
	mean       float64 // requests waiting on average
	evidence   []Evidence
}

// waiting collects how many requests waited for a place, from metrics, else the log, else the client's concurrency.
func (c *Context) waiting() waitFacts {
	var w waitFacts
	if d, b := c.Delta(), c.Bench(); d != nil {
		if q := d.Queue.Mean(); q.Known {
			w.evidence = append(w.evidence, Evidence{"mean time in queue per request", 1e3 * q.Value, "ms", q.Source.String()})
			if b != nil && b.DurationS.Known {
				if m := d.WaitingMean(b.DurationS.Value); m.Known {
					w.known, w.fromServer, w.mean = true, true, m.Value
					w.evidence = append(w.evidence, Evidence{"requests waiting on average (Little's law)", m.Value, "requests", m.Source.String()})
				}
			}
			if e := d.E2E.Mean(); !w.known && e.Known && e.Value > 0 {
				// Little's law without the duration: waiting over present is the ratio of the times.
				if run := float64(max(1, c.Batch())); run > 0 && e.Value > q.Value {
					w.known, w.fromServer, w.mean = true, true, run*q.Value/(e.Value-q.Value)
					w.evidence = append(w.evidence, Evidence{"requests waiting on average (times in proportion)", w.mean, "requests", e.Source.String()})
				}
			}
		}
	}
	if c.log() != nil && !w.known {
		var sum float64
		n := 0
		for _, s := range c.log().Stats {
			if s.Waiting >= 0 && s.Running > 0 {
				sum += float64(s.Waiting)
				n++
			}
		}
		if n > 0 {
			w.known, w.fromServer, w.mean = true, true, sum/float64(n)
			w.evidence = append(w.evidence, Evidence{"requests waiting, mean of the log's statistics", w.mean, "requests", fmt.Sprintf("%s, %d lines", c.log().File, n)})
		}
	}
	if n, closed := c.closedLoop(); closed && !w.known {
		if cap0, ok := c.pinnedBatch(); ok {
			w.known, w.mean = true, max(0, float64(n-cap0))
			w.evidence = append(w.evidence, Evidence{"client's requests in flight", float64(n), "requests", c.Bench().MaxConcurrency.Source.String()})
		}
	}
	return w
}

// noEvidence says what is missing, and what was set aside as it is of another run.
func (c *Context) noEvidence(missing string) string {
	for _, f := range []struct{ what, why string }{{"metrics are", c.deltaWhy}, {"log is", c.engineWhy}, {"benchmark is", c.benchWhy}} {
		if f.why != "" {
			return fmt.Sprintf("%s (the %s not of this capture: %s)", missing, f.what, f.why)
		}
	}
	return missing
}

// StepAt predicts the period of a decode step of b requests from the typical one: GEMM and host time stay, attention,
// KV writes and sampling grow with the batch. Attention's growth is bounded by bandwidth where the shape is known: its
// small-batch floor does not multiply. ns.
func (c *Context) StepAt(b float64) (ns float64, assumption string, ok bool) {
	g := &c.Typical
	now := float64(c.Batch())
	if len(g.Steps) == 0 || now <= 0 {
		return 0, "", false
	}
	period := float64(c.Period(g).Median)
	grow := float64(c.perStep(g, growingParts...))
	rest := period - grow
	scaled := grow * b / now
	assumption = "weights are read once per step, host time stays, attention and sampling grow with the batch"
	if c.HasShape && c.SheetMatch.OK && c.Sheet.Bandwidth > 0 {
		s := &c.A.Steps[g.Steps[len(g.Steps)/2]]
		if kv, from := c.ContextTokens(s); from != "" && kv > 0 {
			perRequest := float64(kv) / now * c.shape.KVBytesPerToken() / (kvEfficiency * c.Sheet.Bandwidth) * 1e9
			if byBytes := grow + perRequest*(b-now); byBytes < scaled {
				scaled = byBytes
				assumption += fmt.Sprintf("; KV cache read at %.0f %% of peak bandwidth", 100*kvEfficiency)
			}
		}
	}
	if c.HasShape && c.shape.IsMoE() {
		// More tokens wake more experts, until all of them are read.
		if was, is := c.expertBytes(now), c.expertBytes(b); was > 0 {
			rest += float64(c.perStep(g, step.Part(kernel.MoE))) * (is/was - 1)
			assumption += "; experts are read as far as tokens reach them"
		}
	}
	if ridge := c.RidgeTokens(); b > ridge {
		rest += float64(c.perStep(g, weightStages...)) * (b/ridge - 1)
	}
	return rest + scaled, assumption, true
}

// expertBytes returns the expert weights that a decode step of n requests reads, as many experts as random routing reaches.
func (c *Context) expertBytes(n float64) float64 {
	k := int64(math.Round(n))
	p, _ := c.shape.StepCost(device.Batch{DecodeSeqs: k, DecodeTokens: k}).Part(kernel.MoE.String())
	return p.WeightBytes
}

// kvEfficiency is the share of peak bandwidth at which decode attention reads the KV cache in batches that fill the GPU:
// 0.57 to 0.76 in captures of a Llama 8B on an H100.
const kvEfficiency = 0.65

var growingParts = growing()

// batchGain is the share of wall per request that steps of want requests instead of have would return.
func (c *Context) batchGain(have, want float64) float64 {
	now, _, ok1 := c.StepAt(have)
	then, _, ok2 := c.StepAt(want)
	if !ok1 || !ok2 || now <= 0 || want <= have {
		return 0
	}
	return max(0, 1-(then/want)/(now/have)) * ratio(c.Decode.Wall, c.Wall)
}

type known1 struct {
	known  bool
	value  float64
	source string
}

// kvUsage returns the highest KV cache usage that metrics or the log show.
func (c *Context) kvUsage() known1 {
	var u known1
	take := func(v float64, src string) {
		if !u.known || v > u.value {
			u = known1{true, v, src}
		}
	}
	if d := c.Delta(); d != nil {
		if g := d.KVUsage; g.Before.Known && g.Before.Value > 0 {
			take(g.Before.Value, g.Before.Source.String())
		}
		if g := d.KVUsage; g.After.Known && g.After.Value > 0 {
			take(g.After.Value, g.After.Source.String())
		}
	}
	if c.log() != nil {
		for _, s := range c.log().Stats {
			if s.KVUsage >= 0 {
				take(s.KVUsage, c.log().File+", statistics lines")
			}
		}
	}
	return u
}

// How much evidence makes the KV cache the limit.
const (
	// cacheFull is the usage from which on no request more finds its blocks.
	cacheFull = 0.95
	// cacheFree is the usage below which a cache that the log saw under load cannot be what requests wait for.
	cacheFree = 0.80
	// preemptedOften is the share of requests that are preempted from which on preemptions prove a full cache by
	// themselves: each costs a prompt again. A single one is a moment.
	preemptedOften = 0.05
	// waitsForBlocks is how many requests wait on average where the cache holds them up.
	waitsForBlocks = 0.5
)

// cacheFacts is what the evidence says of the KV cache together.
type cacheFacts struct {
	full    bool // the cache is what keeps requests waiting
	conf    string
	ev      []Evidence
	hints   []string // what speaks for a full cache, in words; without full it is not enough
	against []string // what speaks against it, in words
}

// kvFull weighs the evidence that the KV cache is what keeps requests waiting. Gauges and lines of the log are moments and a
// preemption is an event, so one of them alone proves nothing, and what the log saw under load overrules all of them.
func (c *Context) kvFull() cacheFacts {
	k := cacheFacts{conf: likely}
	hint := func(ev Evidence, format string, args ...any) {
		k.ev, k.hints = append(k.ev, ev), append(k.hints, fmt.Sprintf(format, args...))
	}
	preempted, often := 0.0, false
	capacity := false
	if d := c.Delta(); d != nil {
		if p := d.Preemptions; p.Known && p.Value > 0 {
			preempted = p.Value
			n := d.Requests.Or(0)
			often = n > 0 && p.Value >= preemptedOften*n && p.Value > 1
			text := count(int64(p.Value), "preemption")
			if n > 0 {
				text += fmt.Sprintf(" in %s", requests(int64(n)))
			}
			hint(Evidence{"preemptions in the measured run", p.Value, "preemptions", p.Source.String()}, "%s", text)
		}
		if w := d.WaitingCapacity.After; w.Known && w.Value > 0 {
			capacity = true
			hint(Evidence{"requests waiting for capacity", w.Value, "requests", w.Source.String()}, "%s waiting for capacity at the end of the run", requests(int64(w.Value)))
		}
	}
	logged, low := known1{}, false // the highest usage of the log's lines under the captured load
	if l := c.log(); l != nil {
		var most int64 // of one line: some versions count per line, some from the start
		for _, s := range l.Stats {
			most = max(most, s.Preemptions)
			if s.KVUsage >= 0 && s.Running > 0 && 2*s.Running >= c.Batch() && (!logged.known || s.KVUsage > logged.value) {
				logged = known1{true, s.KVUsage, l.File + ", statistics lines"}
			}
		}
		if most > 0 {
			preempted = max(preempted, float64(most))
			hint(Evidence{"preemptions in the log", float64(most), "preemptions", l.File}, "%s in the log", count(most, "preemption"))
		}
		if low = logged.known && logged.value < cacheFree; low {
			k.against = append(k.against, fmt.Sprintf("the log shows at most %s of it in use", percent(logged.value)))
		}
	}
	used := false
	if u := c.kvUsage(); u.known && u.value >= cacheFull {
		used = true
		hint(Evidence{"KV cache in use at the most", 100 * u.value, "%", u.source}, "%s of it in use at one moment", percent(u.value))
	}
	w := c.waiting()
	// Capacity by arithmetic: the running requests' tokens fill the cache while others wait.
	tight, roomy := false, false
	if t := c.Engine.KVCacheTokens; t.Known && t.Value > 0 && len(c.Typical.Steps) > 0 {
		s := &c.A.Steps[c.Typical.Steps[0]]
		in, out, from := c.Lengths()
		if from != "" && s.Batch.DecodeRequests > 0 {
			need := float64(s.Batch.DecodeRequests+1) * (in + out)
			roomy = need < 0.5*float64(t.Value)
			if need > float64(t.Value) && w.known && w.mean >= waitsForBlocks {
				tight = true
				hint(Evidence{"tokens that one request more would need at its end", need, "tokens", from}, "no room for one request more")
				k.ev = append(k.ev, Evidence{"KV cache size", float64(t.Value), "tokens", t.Source.String()})
			}
		}
	}
	waits, none := w.known && w.mean >= waitsForBlocks, w.known && w.mean < waitsForBlocks
	if none && !often {
		k.against = append(k.against, "hardly a request waits for a place")
	}
	capped := c.heldByCap()
	if capped && !often && !used && !tight {
		k.against = append(k.against, fmt.Sprintf("max-num-seqs %d holds the batch", c.Engine.MaxNumSeqs.Value))
	}
	switch {
	case low && often && !roomy:
		// Preemptions are counted over the whole run, and the log's lines are seconds apart: neither is thrown away.
		k.full, k.conf = true, perhaps
	case low:
	case often:
		k.full, k.conf = true, sure
	case used && (preempted > 0 || !none), tight, capacity && !none:
		k.full = true
		if preempted > 1 {
			k.conf = sure
		}
	case preempted > 0 && waits && !capped:
		k.full = true
	}
	return k
}

// heldByCap reports whether the batch sits at the cap that the server was told.
func (c *Context) heldByCap() bool {
	n, pinned := c.pinnedBatch()
	m := c.Engine.MaxNumSeqs
	return pinned && m.Known && m.Value == n
}

var kvCacheLimited = Rule{
	ID: KVCacheLimited, Title: "Requests wait or are preempted because the KV cache is full",
	Measures: "Preemptions of a twentieth of the requests or more; or KV usage at 95 % or more, requests waiting for capacity, a " +
		"cache too small for one request more or fewer preemptions, while requests wait. Where the server's log shows the cache " +
		"below 80 % under the captured load, only frequent preemptions count, with low confidence.",
	Wrong: "Usage gauges and lines of the log are moments: a snapshot after the run shows an empty cache, and one full moment " +
		"is no limit. What is not enough or is contradicted is told as a low note. Preemptions of an earlier load are " +
		"subtracted only with two snapshots.",
	Fix:   "More memory for the cache (gpu-memory-utilization), 8-bit KV cache, shorter max-model-len, 8-bit weights, tensor parallelism.",
	Needs: "Metrics or server log.", Source: "metrics vllm:num_preemptions, vllm:kv_cache_usage_perc",
	Check: func(c *Context) ([]Finding, string) {
		k := c.kvFull()
		w := c.waiting()
		switch {
		case len(k.hints) == 0:
			if c.Delta() == nil && c.log() == nil {
				return nil, c.noEvidence("neither metrics nor a server log is given")
			}
			return nil, ""
		case !k.full:
			f := finding(0, perhaps, "The KV cache may have been full for a moment (%s), but it is not what limits the server", strings.Join(k.hints, ", "))
			if len(k.against) > 0 {
				f.Summary += ": " + strings.Join(k.against, ", ")
			}
			f.Summary += "."
			f.Severity = Low
			f.Evidence = append(k.ev, w.evidence...)
			return []Finding{f}, ""
		}
		share := 0.0
		if b := float64(c.Batch()); b > 0 && w.known {
			share = c.batchGain(b, b+max(w.mean, 1))
		}
		f := finding(share, k.conf, "The KV cache is full: requests wait for blocks or are preempted.")
		if len(k.against) > 0 {
			f.Summary += " Against it: " + strings.Join(k.against, ", ") + "."
		}
		f.Severity = max(f.Severity, Medium)
		f.Evidence = append(k.ev, w.evidence...)
		return []Finding{f}, ""
	},
}

var underloaded = Rule{
	ID: Underloaded, Title: "The server has no requests to run",
	Measures: "idle.requests: pauses between steps in which the engine was silent, as a share of the wall, from 10 % on, with " +
		"nothing waiting.",
	Wrong: "Silence is judged by API calls and annotations; a stalled front end (tokeniser, network) leaves the engine as silent " +
		"as a lack of clients. Capture start and stop pause the server outside the steps and are not counted.",
	Fix:   "Nothing on the server: send more requests, or use fewer or smaller GPUs.",
	Needs: "API calls and two steps.", Source: "step budget, idle.requests",
	Check: func(c *Context) ([]Finding, string) {
		if why := c.hostEvidence(); why != "" {
			return nil, why
		}
		share := c.All.Part(step.IdleRequests)
		if share < 0.10 {
			return nil, ""
		}
		w := c.waiting()
		f := finding(share, likely, "The engine has no request to run %s of the time.", percent(share))
		if w.known && w.mean > 1 {
			f.Summary += fmt.Sprintf(" Yet requests wait, %.1f on average: they do not reach the engine.", w.mean)
			f.Confidence = perhaps
		}
		if n, ok := c.closedLoop(); ok && n >= c.Batch() && c.Batch() > 1 {
			f.Summary += fmt.Sprintf(" The client keeps %d in flight, so they were on their way: in the client, the network or the API server.", n)
		}
		f.Evidence = append([]Evidence{{"silence between steps", ms(c.All.Ns(step.IdleRequests)), "ms", c.rowsOf(&c.All)}}, w.evidence...)
		if b := c.Bench(); b != nil && b.RequestRateDone.Known {
			f.Evidence = append(f.Evidence, Evidence{"request rate", b.RequestRateDone.Value, "requests/s", b.RequestRateDone.Source.String()})
		}
		return []Finding{f}, ""
	},
}

// WaitingMean returns how many requests waited for a place on average, 0 when not recorded.
func (c *Context) WaitingMean() float64 { return c.waiting().mean }
