// Package bench sends a short burst of requests to an OpenAI-compatible server and
// measures what a client sees.
//
// A burst of 20 requests shows a gain of tens of per cent; it is no load test. The
// package is strict about what it claims: every token's time is that of the socket
// read that brought it, taken before anything is parsed; answers are parsed after
// the last one has arrived; what the client itself added is measured while the load
// runs and stated in the result (Overhead); a latency that no request had is absent
// and not zero. Warm-up requests are sent first, at the same concurrency, with other
// prompts, and are not in the result.
//
// Definitions are those of `vllm bench serve`, whose JSON the result is written as:
//
//   - TTFT: from just before the request is sent to the first chunk with a token. The
//     chunk that only opens a chat message carries none.
//   - ITL: between consecutive chunks with tokens. A chunk may hold several tokens
//     (speculative decoding, --stream-interval); a warning says so.
//   - E2E: to the last chunk with a choice. TPOT: (E2E - TTFT)/(output tokens - 1).
//   - Percentiles interpolate linearly as numpy.percentile does.
//   - Throughput is over the time from the first request's start to the last one's end.
//
// The package prints nothing and writes no file. Of the environment it heeds the
// proxy variables that net/http does, and nothing else.
package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"strings"
	"time"
)

// API is the endpoint to use.
type API string

// Endpoints.
const (
	Completions API = "completions" // POST /v1/completions
	Chat        API = "chat"        // POST /v1/chat/completions
)

// Secret is a text that no formatting shows.
type Secret string

func (Secret) String() string               { return "***" }
func (Secret) GoString() string             { return "***" }
func (Secret) MarshalText() ([]byte, error) { return []byte("***"), nil }
func (Secret) LogValue() slog.Value         { return slog.StringValue("***") }

// Defaults of Config.
const (
	DefaultRequests    = 20
	DefaultConcurrency = 8
	DefaultInputLen    = 512
	DefaultOutputLen   = 128
	DefaultTimeout     = 10 * time.Minute
	DefaultStall       = 2 * time.Minute
	DefaultMaxResponse = 64 << 20
)

// Config says what to send. The zero value of every field but URL is a default.
type Config struct {
	// URL is the server's base address, with or without /v1 or the endpoint's path.
	URL string
	API API // default Completions
	// Model is the name to ask for; "" takes the first that the server lists.
	Model string
	// Key is sent as a bearer token.
	Key Secret

	Requests int // measured requests
	// Concurrency is the number of clients of the closed loop. With a Rate it bounds
	// the requests in flight; 0 is then no bound.
	Concurrency int
	// Rate > 0 makes the loop open: requests arrive as a Poisson process of so many
	// per second, whether the server keeps up or not. The arrivals depend on Seed
	// alone and are scaled to end at Requests/Rate, as vLLM's benchmark does.
	Rate float64
	// Warmup is the number of requests before the measured ones; 0 is one for each
	// client, at most 32, and negative is none.
	Warmup int
	// Seed fixes prompts and arrivals. Two runs against one server should differ in
	// it, or the second finds the first one's prompts in the prefix cache.
	Seed uint64

	Prompts Prompts
	// OutputLen is the number of tokens asked for, with end-of-sequence ignored unless
	// StopAtEOS is set. 0 takes the length that a prompt of the file brings, else 128.
	OutputLen int
	StopAtEOS bool
	// ContinuousUsage asks the server to count tokens in every chunk, which tells how
	// many a chunk holds. It costs the server a little on every token.
	ContinuousUsage bool
	// Extra members are put into every request body, over the ones made here.
	Extra map[string]any

	// Timeout bounds a request, Stall the time between two chunks, MaxResponse the
	// bytes of one answer.
	Timeout     time.Duration
	Stall       time.Duration
	MaxResponse int64

	// GPUs is how many the server runs on, for tokens per second and GPU; 0: not known.
	GPUs int
	SLO  SLO
	// Percentiles to report; default 50, 90, 95, 99.
	Percentiles []float64
	// KeepTexts keeps the generated texts in the result. They are private data.
	KeepTexts bool
	Label     string
	// Metadata is written into the result's JSON at the top level.
	Metadata map[string]string

	// Now is the wall clock for the result's date; default time.Now.
	Now func() time.Time
}

// SLO are the bounds that a request must meet to count for goodput, in
// milliseconds; 0 is no bound. TTFT and E2E count from when the request was due.
type SLO struct {
	TTFTMS float64
	TPOTMS float64
	ITLMS  float64 // of the request's mean chunk gap
	E2EMS  float64
}

func (s SLO) set() bool { return s != SLO{} }

// Phase is what a run is doing.
type Phase string

// Phases in order.
const (
	Preflight Phase = "preflight" // finding out what the server accepts
	WarmingUp Phase = "warm-up"
	Measuring Phase = "measure"
)

// An Event tells how far a run has come.
type Event struct {
	Phase  Phase
	Done   int // requests that ended, well or not
	Failed int
	Total  int // requests of this phase
	Chunks int // stream events received in this phase so far; about one a token
}

// Progress receives events, one at a time, from the run's goroutines. It must be
// quick: a slow one delays the next request. It may be nil.
type Progress func(Event)

// Run makes the requests and returns what was measured. Requests that fail are part
// of the result. When ctx ends, the run stops at once and returns what it has, with
// Result.Interrupted set. An error means that nothing was measured: the
// configuration is wrong, or the server cannot be reached or refuses every form of
// request known here.
func Run(ctx context.Context, cfg Config, progress Progress) (*Result, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	r := newRunner(cfg, progress)
	defer r.close()
	if err := r.preflight(ctx); err != nil {
		return nil, r.cleanError(err)
	}
	return r.measure(ctx)
}

// withDefaults checks the configuration and fills in what is not set.
func (c Config) withDefaults() (Config, error) {
	base, err := baseURL(c.URL)
	if err != nil {
		return c, err
	}
	c.URL = base
	if c.API == "" {
		c.API = Completions
	}
	if c.API != Completions && c.API != Chat {
		return c, fmt.Errorf("endpoint %q is not known: use %q or %q", c.API, Completions, Chat)
	}
	for _, v := range []struct {
		name string
		v    *int
		def  int
		max  int
	}{
		{"requests", &c.Requests, DefaultRequests, 1_000_000},
		{"input length", &c.Prompts.InputLen, DefaultInputLen, 10_000_000},
		{"concurrency", &c.Concurrency, 0, 65_536},
		{"output length", &c.OutputLen, 0, 10_000_000},
		{"GPUs", &c.GPUs, 0, 1_000_000},
	} {
		if *v.v < 0 || *v.v > v.max {
			return c, fmt.Errorf("%s of %d: must be between 1 and %d", v.name, *v.v, v.max)
		}
		if *v.v == 0 {
			*v.v = v.def
		}
	}
	if c.Rate < 0 || math.IsNaN(c.Rate) || math.IsInf(c.Rate, 0) {
		return c, fmt.Errorf("rate of %v requests/s: must be a positive number, or 0 for a closed loop", c.Rate)
	}
	if c.Concurrency == 0 && c.Rate == 0 {
		c.Concurrency = min(DefaultConcurrency, c.Requests)
	}
	if c.Warmup == 0 {
		c.Warmup = min(max(c.Concurrency, 1), c.Requests, 32)
	}
	c.Warmup = max(c.Warmup, 0)
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Stall <= 0 {
		c.Stall = DefaultStall
	}
	if c.MaxResponse <= 0 {
		c.MaxResponse = DefaultMaxResponse
	}
	if len(c.Percentiles) == 0 {
		c.Percentiles = []float64{50, 90, 95, 99}
	}
	for _, p := range c.Percentiles {
		if !(p > 0 && p <= 100) {
			return c, fmt.Errorf("percentile %v: must be over 0 and at most 100", p)
		}
	}
	for _, v := range []float64{c.SLO.TTFTMS, c.SLO.TPOTMS, c.SLO.ITLMS, c.SLO.E2EMS} {
		if v < 0 || math.IsNaN(v) {
			return c, fmt.Errorf("service level of %v ms: must be positive", v)
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, c.Prompts.check()
}

// baseURL strips the parts of an address that this package adds itself.
func baseURL(s string) (string, error) {
	if s == "" {
		return "", errors.New("no server address: give one such as http://localhost:8000")
	}
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return "", errors.New("the server address is not a URL: give one such as http://localhost:8000")
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("the server address has the scheme %q: only http and https are known", u.Scheme)
	}
	if u.User != nil {
		return "", errors.New("the server address holds a user name or password: give the key separately")
	}
	path := strings.TrimRight(u.Path, "/")
	for _, tail := range []string{"/chat/completions", "/completions", "/models", "/v1"} {
		path = strings.TrimSuffix(path, tail)
	}
	return u.Scheme + "://" + u.Host + path, nil
}
