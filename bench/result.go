package bench

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/stepscope/stepscope/stat"
)

// Warning is something about a result that its reader has to know.
type Warning = stat.Warning

// A Result is what a run measured.
type Result struct {
	Date        time.Time // when the measured requests began
	API         API
	Model       string
	Label       string
	NumPrompts  int // asked for
	Concurrency int // 0: not bounded
	Rate        float64
	Warmup      int
	Seed        uint64
	PromptKind  string // "random token ids", "random words", "file"
	InputLen    int    // asked for, 0 for a file's own
	OutputLen   int    // asked for, 0 for a file's own
	IgnoreEOS   bool
	GPUs        int
	SLO         SLO
	Percentiles []float64
	Metadata    map[string]string

	// DurationNS is from the start of the load to the end of its last request.
	DurationNS int64
	Completed  int
	Failed     int
	// Interrupted is set when the run was stopped. Unfinished requests were under way
	// then, NotStarted were not; neither counts as failed.
	Interrupted bool
	Unfinished  int
	NotStarted  int
	Errors      map[ErrorKind]int // failed requests

	// Requests are all that were started, in the order of their number.
	Requests []Request

	InputTokens  int64 // of completed requests; -1 when the server did not count
	OutputTokens int64
	Good         int // completed requests within the SLO
	PeakOutput   float64
	PeakRequests int // under way at once
	// BusiestSecond is the most requests under way at any time within one clock
	// second: what vLLM's benchmark calls max_concurrent_requests. Eight clients whose
	// requests take a quarter of a second have 32.
	BusiestSecond int

	TTFT, TPOT, ITL, E2E Latency

	// SpecDecode is nil when the server shows no speculative decoding.
	SpecDecode *SpecDecode
	Overhead   Overhead
	Warnings   []Warning
}

// A Request is one request. Times are nanoseconds; -1 is not recorded.
type Request struct {
	StartNS int64 // since the start of the load
	QueueNS int64 // that an open-loop request waited in the client
	TTFTNS  int64
	E2ENS   int64
	// GapsNS are between consecutive chunks with tokens.
	GapsNS []int64
	// ChunkTokens are the tokens in each chunk, nil when the server did not count them.
	ChunkTokens  []int
	InputTokens  int // -1: not counted
	CachedTokens int // of the input, from the prefix cache; -1: not said
	OutputTokens int
	Asked        int  // output tokens asked for
	Counted      bool // OutputTokens is the server's count and not that of chunks
	EarlyStop    bool
	Truncated    bool // the stream had neither a finish reason nor [DONE]
	NewConn      bool
	Kind         ErrorKind // "" for a completed request
	Error        string
	Text         string // with Config.KeepTexts
}

// OK reports whether the request completed.
func (q *Request) OK() bool { return q.Kind == "" }

// TPOTNS is the time per output token after the first, NaN for a single one.
func (q *Request) TPOTNS() float64 {
	if q.OutputTokens < 2 {
		return math.NaN()
	}
	return float64(q.E2ENS-q.TTFTNS) / float64(q.OutputTokens-1)
}

// request parses a recording. The text of an error is as the server sent it.
func (r *recording) request(asked int, keepText bool) Request {
	q := Request{StartNS: r.start, TTFTNS: -1, E2ENS: -1, InputTokens: -1, CachedTokens: -1, Asked: asked, NewConn: r.newConn,
		Kind: r.kind, Error: r.err}
	if len(r.ends) == 0 && r.kind != "" {
		return q
	}
	a, kind, err := r.parse()
	if q.Kind == "" && kind == "" && !a.finished && !r.done {
		kind, err = ErrCut, fmt.Errorf("the stream ended after %d chunks with neither a finish reason nor [DONE]", len(a.times))
	}
	if q.Kind == "" && kind != "" {
		q.Kind, q.Error = kind, err.Error()
	}
	q.InputTokens, q.CachedTokens, q.OutputTokens, q.Counted, q.EarlyStop = a.prompt, a.cached, a.output, a.usage, a.earlyStop
	if keepText {
		q.Text = a.text.String()
	}
	if len(a.times) == 0 {
		return q
	}
	q.TTFTNS, q.E2ENS = a.times[0]-r.start, a.lastAt-r.start
	for i := 1; i < len(a.times); i++ {
		q.GapsNS = append(q.GapsNS, a.times[i]-a.times[i-1])
	}
	if a.counted {
		q.ChunkTokens = a.tokens
	}
	return q
}

// A Latency is the distribution of one latency over completed requests, in
// milliseconds. Everything is NaN when N is 0.
type Latency struct {
	N                 int
	Mean, Median, Std float64
	Percentiles       []float64 // in the order of Result.Percentiles, Linear
	SamplesMS         []float64 // ascending
}

func latency(ms, percentiles []float64) Latency {
	s := stat.NewSample(ms, stat.AssumeNothing)
	l := Latency{N: s.N(), Mean: s.Mean(), Median: s.Median(), Std: s.Std(), SamplesMS: s.Values}
	for _, p := range percentiles {
		l.Percentiles = append(l.Percentiles, s.Percentile(p, stat.Linear))
	}
	return l
}

func (r *runner) result(l *loaded, started time.Time) *Result {
	c := r.cfg
	res := &Result{Date: started, API: c.API, Model: r.model, Label: c.Label, NumPrompts: c.Requests, Concurrency: c.Concurrency, Rate: c.Rate,
		Warmup: c.Warmup, Seed: c.Seed, PromptKind: "random token ids", InputLen: c.Prompts.InputLen, OutputLen: c.OutputLen, IgnoreEOS: r.has.ignoreEOS,
		GPUs: c.GPUs, SLO: c.SLO, Percentiles: slices.Clone(c.Percentiles), Metadata: c.Metadata, Errors: map[ErrorKind]int{}, DurationNS: l.end - l.start}
	switch {
	case !c.Prompts.random():
		res.PromptKind, res.InputLen = "file", 0
	case !r.has.ids:
		res.PromptKind = "random words"
	}
	if c.OutputLen == 0 && !slices.ContainsFunc(r.filePrompt, func(p prompt) bool { return p.output > 0 }) {
		res.OutputLen = DefaultOutputLen
	}
	var ttft, tpot, itl, e2e []float64
	inputKnown := true
	for i, q := range l.requests {
		if !l.started[i] {
			res.NotStarted++
			continue
		}
		res.Requests = append(res.Requests, q)
		switch {
		case q.Kind == ErrInterrupted:
			res.Unfinished++
			continue
		case !q.OK():
			res.Failed++
			res.Errors[q.Kind]++
			continue
		}
		res.Completed++
		res.OutputTokens += int64(q.OutputTokens)
		inputKnown = inputKnown && q.InputTokens >= 0
		res.InputTokens += int64(q.InputTokens)
		ttft = append(ttft, float64(q.TTFTNS)/1e6)
		e2e = append(e2e, float64(q.E2ENS)/1e6)
		if t := q.TPOTNS(); !math.IsNaN(t) {
			tpot = append(tpot, t/1e6)
		}
		for _, g := range q.GapsNS {
			itl = append(itl, float64(g)/1e6)
		}
		if c.SLO.met(&q) {
			res.Good++
		}
	}
	res.Interrupted = res.Unfinished+res.NotStarted > 0
	if !inputKnown || res.Completed == 0 {
		res.InputTokens = -1
	}
	res.TTFT, res.TPOT = latency(ttft, c.Percentiles), latency(tpot, c.Percentiles)
	res.ITL, res.E2E = latency(itl, c.Percentiles), latency(e2e, c.Percentiles)
	res.PeakOutput, res.PeakRequests, res.BusiestSecond = peaks(res.Requests)
	return res
}

// met reports whether a completed request is within the bounds. TTFT and E2E count
// from when the request was due: one that a bound on concurrency or a busy client
// held back was late for its user, whatever the server did. A request of one token
// has no TPOT or ITL, and cannot miss them.
func (s SLO) met(q *Request) bool {
	under := func(bound, ns float64) bool { return bound == 0 || math.IsNaN(ns) || ns <= bound*1e6 }
	var gap float64
	for _, g := range q.GapsNS {
		gap += float64(g) / float64(len(q.GapsNS))
	}
	return under(s.TTFTMS, float64(q.QueueNS+q.TTFTNS)) && under(s.TPOTMS, q.TPOTNS()) && under(s.ITLMS, gap) && under(s.E2EMS, float64(q.QueueNS+q.E2ENS))
}

// peaks returns, over completed requests, the most output tokens in a whole second
// since the first start, the most requests under way at once, and the most that any
// whole second saw. Tokens and seconds are as vLLM's benchmark has them, but that a
// chunk whose tokens were not counted is one token there; here a request's tokens are
// spread evenly over its chunks.
func peaks(requests []Request) (tokens float64, concurrent, busiest int) {
	type edge struct {
		at    int64
		delta int
	}
	var edges []edge
	first := int64(math.MaxInt64)
	for _, q := range requests {
		if q.OK() {
			edges = append(edges, edge{q.StartNS, 1}, edge{q.StartNS + q.E2ENS, -1})
			first = min(first, q.StartNS)
		}
	}
	slices.SortFunc(edges, func(a, b edge) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.delta, b.delta))
	})
	under := 0
	for _, e := range edges {
		under += e.delta
		concurrent = max(concurrent, under)
	}
	seconds, seen := map[int64]float64{}, map[int64]int{}
	for _, q := range requests {
		if !q.OK() {
			continue
		}
		for s := (q.StartNS - first) / 1e9; s <= (q.StartNS+q.E2ENS-first)/1e9; s++ {
			seen[s]++
			busiest = max(busiest, seen[s])
		}
		at := q.StartNS + q.TTFTNS - first
		each := float64(q.OutputTokens) / float64(len(q.GapsNS)+1)
		for i := 0; i <= len(q.GapsNS); i++ {
			n := each
			if q.ChunkTokens != nil {
				n = float64(q.ChunkTokens[i])
			}
			seconds[at/1e9] += n
			if i < len(q.GapsNS) {
				at += q.GapsNS[i]
			}
		}
	}
	for _, n := range seconds {
		tokens = max(tokens, n)
	}
	return tokens, concurrent, busiest
}

func (r *Result) seconds() float64 { return float64(r.DurationNS) / 1e9 }

// RequestThroughput is completed requests per second.
func (r *Result) RequestThroughput() float64 { return float64(r.Completed) / r.seconds() }

// OutputThroughput is output tokens of completed requests per second.
func (r *Result) OutputThroughput() float64 { return float64(r.OutputTokens) / r.seconds() }

// TotalThroughput counts input tokens too; NaN when they were not counted.
func (r *Result) TotalThroughput() float64 {
	if r.InputTokens < 0 {
		return math.NaN()
	}
	return float64(r.InputTokens+r.OutputTokens) / r.seconds()
}

// OutputThroughputPerGPU is NaN when the number of GPUs is not known.
func (r *Result) OutputThroughputPerGPU() float64 {
	if r.GPUs == 0 {
		return math.NaN()
	}
	return r.OutputThroughput() / float64(r.GPUs)
}

// Goodput is requests within the SLO per second; NaN without one.
func (r *Result) Goodput() float64 {
	if !r.SLO.set() {
		return math.NaN()
	}
	return float64(r.Good) / r.seconds()
}

// MeanConcurrency is the mean number of completed requests under way.
func (r *Result) MeanConcurrency() float64 {
	var busy float64
	for _, q := range r.Requests {
		if q.OK() {
			busy += float64(q.E2ENS)
		}
	}
	return busy / float64(r.DurationNS)
}

// TokensPerChunk is output tokens over token chunks of completed requests, NaN
// without any. Above 1, ITL counts chunks and not tokens.
func (r *Result) TokensPerChunk() float64 {
	chunks := 0
	for _, q := range r.Requests {
		if q.OK() {
			chunks += len(q.GapsNS) + 1
		}
	}
	if chunks == 0 {
		return math.NaN()
	}
	return float64(r.OutputTokens) / float64(chunks)
}
