package bench

import (
	"context"
	"math"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// A runner is one Run.
type runner struct {
	cfg      Config
	http     *http.Client
	endpoint string
	has      features

	mu       sync.Mutex // serialises progress
	progress Progress

	model      string
	maxLen     int // the server's context length, 0 when not known
	filePrompt []prompt
	skipped    int
	scale      wordScale
	warnings   []Warning
	idleWake   []float64

	rawBytes atomic.Int64
}

// lateParsing bounds the raw answers kept until the load is over. What comes after
// is parsed when its request ends, which costs the client a little in between.
const lateParsing = 256 << 20

func newRunner(cfg Config, progress Progress) *runner {
	conns := cfg.Concurrency
	if conns == 0 {
		conns = 1024
	}
	path := "/v1/completions"
	if cfg.API == Chat {
		path = "/v1/chat/completions"
	}
	return &runner{cfg: cfg, progress: progress, endpoint: cfg.URL + path, model: cfg.Model,
		http: &http.Client{Transport: newTransport(conns),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		has: features{ids: cfg.API == Completions && cfg.Prompts.random() && !cfg.Prompts.Words, ignoreEOS: !cfg.StopAtEOS,
			usage: true, continuous: cfg.ContinuousUsage}}
}

func (r *runner) close() { r.http.CloseIdleConnections() }

func (r *runner) warn(id, text string) {
	r.warnings = append(r.warnings, Warning{ID: id, Text: text})
}

func (r *runner) report(e Event) {
	if r.progress == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress(e)
}

// A job is a request to make.
type job struct {
	body  []byte
	asked int // output tokens
}

// jobs makes n requests for a purpose. The same seed, purpose and server make the
// same ones.
func (r *runner) jobs(n int, purpose uint64) ([]job, error) {
	out := make([]job, n)
	random := rng(r.cfg.Seed, purpose)
	order := rng(r.cfg.Seed, forShuffle).Perm(len(r.filePrompt))
	for i := range out {
		var p prompt
		if r.cfg.Prompts.random() {
			p = r.randomPrompt(random.Uint64(), r.cfg.Prompts.InputLen)
		} else {
			k := i
			if purpose == forWarmup { // from the other end, so that the measured ones are new to the server
				k = len(order) - 1 - i%len(order)
			}
			p = r.filePrompt[order[k%len(order)]]
		}
		asked := r.outputLen(p)
		b, err := r.body(p, asked)
		if err != nil {
			return nil, err
		}
		out[i] = job{b, asked}
	}
	return out, nil
}

func (r *runner) outputLen(p prompt) int {
	switch {
	case r.cfg.OutputLen > 0:
		return r.cfg.OutputLen
	case p.output > 0:
		return p.output
	}
	return DefaultOutputLen
}

func (r *runner) randomPrompt(seed uint64, tokens int) prompt {
	random := rng(seed, 0)
	if r.has.ids {
		vocab := r.cfg.Prompts.VocabSize
		if vocab == 0 {
			vocab = defaultVocab
		}
		return prompt{ids: randomIDs(random, tokens, vocab)}
	}
	return prompt{text: randomWords(random, r.scale.words(tokens))}
}

// measure warms up, runs the load and makes the result.
func (r *runner) measure(ctx context.Context) (*Result, error) {
	warm, err := r.jobs(r.cfg.Warmup, forWarmup)
	if err != nil {
		return nil, err
	}
	jobs, err := r.jobs(r.cfg.Requests, forMeasured)
	if err != nil {
		return nil, err
	}
	// A collection in the middle of the load would delay stamps; the load itself
	// makes little garbage. The limit that the user set, if any, still holds.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	if len(warm) > 0 {
		r.load(ctx, WarmingUp, warm)
	}
	specBefore := r.specMetrics(ctx)
	probe := startWakeProbe(loadedProbePeriod)
	started := r.cfg.Now()
	l := r.load(ctx, Measuring, jobs)
	wake := probe.stop()
	res := r.result(l, started)
	if specBefore != nil {
		res.SpecDecode = specDelta(specBefore, r.specMetrics(context.WithoutCancel(ctx)))
	}
	res.Overhead = l.overhead(r.idleWake, wake, res.ITL.Mean)
	res.addWarnings(r)
	return res, nil
}

// A loaded is what a load left.
type loaded struct {
	start, end int64
	jobs       []job
	requests   []Request // of those that were started; the others have no Start
	started    []bool
	handling   []float64 // ns from socket read to stored, one a chunk
}

// load sends the jobs, in a closed or an open loop, and waits for all of them.
func (r *runner) load(ctx context.Context, phase Phase, jobs []job) *loaded {
	l := &loaded{jobs: jobs, requests: make([]Request, len(jobs)), started: make([]bool, len(jobs))}
	recs := make([]*recording, len(jobs))
	var done, failed, next atomic.Int64
	var chunks atomic.Int64
	r.report(Event{Phase: phase, Total: len(jobs)})
	one := func(i int, scheduled int64) {
		rec := r.send(ctx, jobs[i].body, scheduled, &chunks)
		if rec.kind != "" {
			failed.Add(1)
		}
		if r.rawBytes.Add(int64(len(rec.data))) > lateParsing {
			l.requests[i] = r.request(rec, jobs[i])
			rec.data, rec.ends = nil, nil
		}
		recs[i] = rec
		r.report(Event{Phase: phase, Done: int(done.Add(1)), Failed: int(failed.Load()), Total: len(jobs), Chunks: int(chunks.Load())})
	}
	var wg sync.WaitGroup
	l.start = now()
	if r.cfg.Rate > 0 && phase == Measuring {
		r.openLoop(ctx, l, &wg, one)
	} else {
		for range min(max(r.cfg.Concurrency, 1), len(jobs)) {
			wg.Go(func() {
				for ctx.Err() == nil {
					i := int(next.Add(1) - 1)
					if i >= len(jobs) {
						return
					}
					one(i, 0)
				}
			})
		}
	}
	wg.Wait()
	l.end = now()
	for i, rec := range recs {
		if rec == nil {
			continue
		}
		l.started[i] = true
		if rec.ends != nil || l.requests[i].StartNS == 0 {
			l.requests[i] = r.request(rec, jobs[i])
		}
		l.requests[i].StartNS = rec.start - l.start
		l.requests[i].QueueNS = rec.start - rec.scheduled
		for k := range rec.at {
			l.handling = append(l.handling, float64(rec.handled[k]-rec.at[k]))
		}
	}
	r.rawBytes.Store(0)
	return l
}

// request parses a recording. An error that the server wrote into its stream may
// hold anything, the key too.
func (r *runner) request(rec *recording, j job) Request {
	q := rec.request(j.asked, r.cfg.KeepTexts)
	if rec.kind == "" { // else send has cleaned it
		q.Error = r.clean(q.Error)
	}
	return q
}

// openLoop starts every job at its time, on its own goroutine.
func (r *runner) openLoop(ctx context.Context, l *loaded, wg *sync.WaitGroup, one func(int, int64)) {
	var slots chan struct{}
	if r.cfg.Concurrency > 0 {
		slots = make(chan struct{}, r.cfg.Concurrency)
	}
	timer := time.NewTimer(math.MaxInt64)
	defer timer.Stop()
	for i, offset := range arrivals(len(l.jobs), r.cfg.Rate, r.cfg.Seed) {
		at := l.start + offset
		if wait := at - now(); wait > 0 {
			timer.Reset(time.Duration(wait))
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
		}
		if ctx.Err() != nil {
			return
		}
		wg.Go(func() {
			if slots != nil {
				select {
				case slots <- struct{}{}:
					defer func() { <-slots }()
				case <-ctx.Done():
					return
				}
			}
			one(i, at)
		})
	}
}

// arrivals returns the times of n arrivals of a Poisson process in nanoseconds,
// scaled so that the last is at n/rate.
func arrivals(n int, rate float64, seed uint64) []int64 {
	random := rng(seed, forArrivals)
	at := make([]float64, n)
	sum := 0.0
	for i := range at {
		sum += random.ExpFloat64()
		at[i] = sum
	}
	out := make([]int64, n)
	for i := range at {
		out[i] = int64(at[i] / sum * float64(n) / rate * 1e9)
	}
	return out
}
