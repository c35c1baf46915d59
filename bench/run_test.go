package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stepscope/stepscope/internal/fakeopenai"
)

func hasWarning(r *Result, id string) bool {
	return slices.ContainsFunc(r.Warnings, func(w Warning) bool { return w.ID == id })
}

// run runs against a server and checks what holds for every result.
func run(t *testing.T, s *fakeopenai.Server, cfg Config) *Result {
	t.Helper()
	cfg.URL = s.URL
	before := runtime.NumGoroutine()
	res, err := Run(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	checkResult(t, res)
	s.CloseClientConnections()
	for range 200 { // no goroutine outlives the run, those of the server aside
		if runtime.NumGoroutine() <= before+2 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	return res
}

func checkResult(t *testing.T, res *Result) {
	t.Helper()
	if res.Completed+res.Failed+res.Unfinished+res.NotStarted != res.NumPrompts {
		t.Errorf("%d + %d + %d + %d of %d requests", res.Completed, res.Failed, res.Unfinished, res.NotStarted, res.NumPrompts)
	}
	for i, q := range res.Requests {
		var gaps int64
		for _, g := range q.GapsNS {
			if g < 0 {
				t.Errorf("request %d: negative gap", i)
			}
			gaps += g
		}
		if q.OK() && (q.TTFTNS <= 0 || q.E2ENS < q.TTFTNS+gaps || q.StartNS < 0 || q.StartNS+q.E2ENS > res.DurationNS) {
			t.Errorf("request %d: ttft %d, gaps %d, e2e %d, start %d of %d", i, q.TTFTNS, gaps, q.E2ENS, q.StartNS, res.DurationNS)
		}
	}
	var b bytes.Buffer
	if err := res.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	if !json.Valid(b.Bytes()) {
		t.Errorf("not JSON: %s", b.String())
	}
}

func TestClosedLoop(t *testing.T) {
	s := fakeopenai.New(t, fakeopenai.Config{TTFT: 20 * time.Millisecond, ITL: 2 * time.Millisecond})
	var events []Event
	res, err := Run(t.Context(), Config{URL: s.URL + "/v1/", Requests: 12, Concurrency: 4, OutputLen: 20, GPUs: 2, Prompts: Prompts{InputLen: 64},
		SLO: SLO{TTFTMS: 1e6}}, func(e Event) { events = append(events, e) })
	if err != nil {
		t.Fatal(err)
	}
	checkResult(t, res)
	if res.Completed != 12 || res.OutputTokens != 240 || res.InputTokens != 12*64 || res.Model != "fake" || res.PromptKind != "random token ids" {
		t.Errorf("%+v", res)
	}
	// The server's own delays are lower bounds. There is no upper one: on a busy machine
	// tokens are read late, and several in one read.
	if res.TTFT.Median < 20 || res.E2E.Median < 58 || math.Abs(res.TTFT.Mean+19*res.ITL.Mean-res.E2E.Mean) > 1e-6 {
		t.Errorf("TTFT %v ITL %v E2E %v", res.TTFT.Mean, res.ITL.Mean, res.E2E.Mean)
	}
	if res.ITL.N != 12*19 || res.TPOT.N != 12 || len(res.ITL.Percentiles) != 4 {
		t.Errorf("ITL %d TPOT %d", res.ITL.N, res.TPOT.N)
	}
	if s.Peak() != 4 || res.PeakRequests != 4 || res.MeanConcurrency() > 4 || res.MeanConcurrency() < 1 {
		t.Errorf("concurrency: server %d, peak %d, mean %v", s.Peak(), res.PeakRequests, res.MeanConcurrency())
	}
	if got := res.OutputThroughputPerGPU() * 2; math.Abs(got-res.OutputThroughput()) > 1e-6 {
		t.Errorf("per GPU %v", got)
	}
	if res.Good != 12 || res.Goodput() <= 0 {
		t.Errorf("goodput %d", res.Good)
	}
	if !hasWarning(res, "tail") || hasWarning(res, "tokens-per-chunk") || hasWarning(res, "new-connections") {
		t.Errorf("warnings %v", res.Warnings)
	}
	// 1 probe, 4 warm-up requests, 12 measured: all prompts differ, and all are greedy,
	// streaming and of fixed length.
	bodies := s.Bodies()
	if len(bodies) != 1+4+12 {
		t.Errorf("%d requests", len(bodies))
	}
	seen := map[string]bool{}
	for _, b := range bodies {
		seen[string(b["prompt"])] = true
		if string(b["temperature"]) != "0" || string(b["ignore_eos"]) != "true" || string(b["stream"]) != "true" {
			t.Errorf("body %v", b)
		}
	}
	if len(seen) != len(bodies) {
		t.Errorf("%d different prompts in %d requests", len(seen), len(bodies))
	}
	last := events[len(events)-1]
	if last.Phase != Measuring || last.Done != 12 || last.Total != 12 || last.Chunks != 240+12 {
		t.Errorf("last event %+v", last)
	}
}

func TestOpenLoop(t *testing.T) {
	s := fakeopenai.New(t, fakeopenai.Config{TTFT: 50 * time.Millisecond})
	res := run(t, s, Config{Requests: 20, Rate: 100, OutputLen: 2, Seed: 7})
	// Twenty requests in 0.2 s, each taking at least 0.05 s: an open loop does not wait.
	if res.Completed != 20 || res.DurationNS < 200e6 || res.PeakRequests < 3 {
		t.Errorf("%d in %v, %d at once", res.Completed, time.Duration(res.DurationNS), res.PeakRequests)
	}
	bounded := run(t, s, Config{Requests: 20, Rate: 1000, Concurrency: 2, OutputLen: 2})
	if bounded.PeakRequests != 2 || !hasWarning(bounded, "late-arrivals") {
		t.Errorf("bounded: peak %d, %v", bounded.PeakRequests, bounded.Warnings)
	}
}

// TestGoodputCountsFromWhenARequestWasDue: what a bound on concurrency held back was late for its user.
func TestGoodputCountsFromWhenARequestWasDue(t *testing.T) {
	ms := func(n int64) int64 { return n * 1e6 }
	for _, c := range []struct {
		slo  SLO
		q    Request
		want bool
	}{
		{SLO{TTFTMS: 100}, Request{TTFTNS: ms(60), E2ENS: ms(80)}, true},
		{SLO{TTFTMS: 100}, Request{QueueNS: ms(50), TTFTNS: ms(60), E2ENS: ms(80)}, false},
		{SLO{E2EMS: 100}, Request{QueueNS: ms(10), TTFTNS: ms(60), E2ENS: ms(80)}, true},
		{SLO{E2EMS: 100}, Request{QueueNS: ms(50), TTFTNS: ms(60), E2ENS: ms(80)}, false},
		{SLO{TPOTMS: 30}, Request{QueueNS: ms(50), TTFTNS: ms(60), E2ENS: ms(80), OutputTokens: 2}, true},
	} {
		if got := c.slo.met(&c.q); got != c.want {
			t.Errorf("%+v of %+v: %v", c.slo, c.q, got)
		}
	}
}

func TestArrivals(t *testing.T) {
	a := arrivals(50_000, 10, 1)
	if got := float64(a[len(a)-1]) / 1e9; math.Abs(got-5000) > 1e-6 {
		t.Errorf("the last at %v s", got)
	}
	// Gaps of a Poisson process: mean 1/rate, standard deviation the same.
	var sum, sq float64
	for i := 1; i < len(a); i++ {
		g := float64(a[i]-a[i-1]) / 1e9
		sum, sq = sum+g, sq+g*g
	}
	n := float64(len(a) - 1)
	mean, sd := sum/n, math.Sqrt(sq/n-sum*sum/n/n)
	if math.Abs(mean-0.1) > 0.001 || math.Abs(sd-0.1) > 0.003 {
		t.Errorf("gaps: mean %v, standard deviation %v", mean, sd)
	}
	if !slices.Equal(a, arrivals(50_000, 10, 1)) || slices.Equal(a, arrivals(50_000, 10, 2)) {
		t.Error("the seed does not decide")
	}
}

func TestChat(t *testing.T) {
	for _, extra := range []bool{false, true} {
		s := fakeopenai.New(t, fakeopenai.Config{ITL: time.Millisecond, ChatOverhead: 11, ExtraFinish: extra})
		res := run(t, s, Config{API: Chat, Requests: 5, Concurrency: 2, OutputLen: 9, Prompts: Prompts{InputLen: 100}})
		// The opening chunk is no token; a last chunk without one is none either.
		if res.Completed != 5 || res.OutputTokens != 45 || res.ITL.N != 5*8 || res.TokensPerChunk() != 1 {
			t.Errorf("extra finish %v: %d tokens, %d gaps, %v per chunk", extra, res.OutputTokens, res.ITL.N, res.TokensPerChunk())
		}
		// Words are counted out so that template and prompt have the length asked for.
		if res.InputTokens != 500 || res.PromptKind != "random words" {
			t.Errorf("%d input tokens of %s", res.InputTokens, res.PromptKind)
		}
	}
}

func TestSeveralTokensPerChunk(t *testing.T) {
	for _, continuous := range []bool{false, true} {
		for _, extra := range []bool{false, true} {
			s := fakeopenai.New(t, fakeopenai.Config{ITL: 2 * time.Millisecond, TokensPerChunk: 4, ExtraFinish: extra})
			res := run(t, s, Config{Requests: 4, Concurrency: 2, OutputLen: 18, ContinuousUsage: continuous})
			if res.OutputTokens != 72 || res.ITL.N != 4*4 || !hasWarning(res, "tokens-per-chunk") || math.Abs(res.TokensPerChunk()-3.6) > 1e-9 {
				t.Errorf("continuous %v, extra %v: %d tokens, %d gaps, %v per chunk, %v", continuous, extra, res.OutputTokens, res.ITL.N, res.TokensPerChunk(), res.Warnings)
			}
			// Four gaps hold the time of 17 tokens; a chunk without a token comes after it.
			if gaps, tokens := 4*res.ITL.Mean, 17*res.TPOT.Mean; gaps > tokens+1e-9 || !extra && gaps < tokens-1e-9 {
				t.Errorf("extra %v: %v ms in the gaps of a request, %v ms in its tokens", extra, gaps, tokens)
			}
			want := []int(nil)
			if continuous {
				want = []int{4, 4, 4, 4, 2}
			}
			if got := res.Requests[0].ChunkTokens; !slices.Equal(got, want) {
				t.Errorf("continuous %v, extra %v: chunk tokens %v", continuous, extra, got)
			}
		}
	}
}

func TestServersThatRefuse(t *testing.T) {
	for _, c := range []struct {
		name   string
		server fakeopenai.Config
		cfg    Config
		kind   string
		warn   string
		eos    bool
	}{
		{"token ids", fakeopenai.Config{TextOnly: true}, Config{}, "random words", "not-accepted", true},
		{"ignore_eos", fakeopenai.Config{Strict: true}, Config{}, "random token ids", "not-accepted", false},
		{"usage", fakeopenai.Config{NoUsage: true}, Config{}, "random token ids", "no-usage", true},
		{"usage and ids", fakeopenai.Config{NoUsage: true, TextOnly: true}, Config{}, "random words", "prompt-length", true},
		{"small vocabulary", fakeopenai.Config{VocabSize: 1200}, Config{}, "random words", "not-accepted", true},
		{"small vocabulary, told", fakeopenai.Config{VocabSize: 1200}, Config{Prompts: Prompts{VocabSize: 1200}}, "random token ids", "", true},
		{"max_tokens", fakeopenai.Config{NewChatLen: true}, Config{API: Chat}, "random words", "not-accepted", true},
		{"everything", fakeopenai.Config{Strict: true, TextOnly: true, NoUsage: true}, Config{ContinuousUsage: true}, "random words", "not-accepted", false},
		{"the done mark", fakeopenai.Config{NoDone: true}, Config{}, "random token ids", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.cfg.Requests, c.cfg.OutputLen, c.cfg.Concurrency = 3, 4, 2
			res := run(t, fakeopenai.New(t, c.server), c.cfg)
			if res.Completed != 3 || res.OutputTokens != 12 || res.PromptKind != c.kind || res.IgnoreEOS != c.eos {
				t.Errorf("%d completed, %d tokens, %s, ignore_eos %v, %v", res.Completed, res.OutputTokens, res.PromptKind, res.IgnoreEOS, res.Errors)
			}
			if c.warn != "" && !hasWarning(res, c.warn) {
				t.Errorf("no warning %s in %v", c.warn, res.Warnings)
			}
		})
	}
}

func TestNoMeasurement(t *testing.T) {
	const key = "sk-very-secret-key"
	guarded := fakeopenai.New(t, fakeopenai.Config{APIKey: key})
	short := fakeopenai.New(t, fakeopenai.Config{MaxModelLen: 256})
	plain := fakeopenai.New(t, fakeopenai.Config{NoChat: true})
	broken := fakeopenai.New(t, fakeopenai.Config{Fault: func(int) fakeopenai.Fault {
		return fakeopenai.Fault{Kind: fakeopenai.FaultStatus, Status: 503, Body: "no worker for " + key}
	}})
	for _, c := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"no address", Config{}, "no server address"},
		{"bad scheme", Config{URL: "ftp://x"}, "only http"},
		{"key in the address", Config{URL: "http://me:" + key + "@host"}, "give the key separately"},
		{"nobody there", Config{URL: "http://127.0.0.1:1"}, "reaching the server"},
		{"no key", Config{URL: guarded.URL}, "wants an API key"},
		{"wrong key", Config{URL: guarded.URL, Key: key + "x", Model: "fake"}, "wants an API key"},
		{"too long", Config{URL: short.URL}, "context length of 256"},
		{"unknown model", Config{URL: plain.URL, Model: "nope"}, "is the model \"nope\" served"},
		{"no such endpoint", Config{URL: plain.URL, API: Chat}, "/v1/chat/completions"},
		{"down", Config{URL: broken.URL, Key: key}, "503"},
		{"endpoint", Config{URL: "x", API: "embeddings"}, "not known"},
		{"rate", Config{URL: "x", Rate: -1}, "rate"},
		{"requests", Config{URL: "x", Requests: -1}, "requests of -1"},
		{"percentile", Config{URL: "x", Percentiles: []float64{101}}, "percentile 101"},
		{"slo", Config{URL: "x", SLO: SLO{TTFTMS: -1}}, "service level"},
		{"vocabulary", Config{URL: "x", Prompts: Prompts{VocabSize: 10}}, "vocabulary of 10"},
		{"two files", Config{URL: "x", Prompts: Prompts{Text: strings.NewReader("a"), JSONL: strings.NewReader("{}")}}, "choose one"},
		{"empty file", Config{URL: plain.URL, Prompts: Prompts{Text: strings.NewReader("\n"), Name: "p.txt"}}, "reading p.txt: no prompt"},
		{"bad file", Config{URL: plain.URL, Prompts: Prompts{JSONL: strings.NewReader("{\"prompt\":\"a\"}\n{"), Name: "p.jsonl"}}, "entry 2"},
	} {
		res, err := Run(t.Context(), c.cfg, nil)
		if err == nil || res != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), key) {
			t.Errorf("%s: the error shows the key: %v", c.name, err)
		}
	}
	if res, err := Run(t.Context(), Config{URL: guarded.URL, Key: key, Requests: 2, OutputLen: 2}, nil); err != nil || res.Completed != 2 {
		t.Errorf("with the key: %v", err)
	}
}

func TestFailures(t *testing.T) {
	const first = 1 + 2 // probe and warm-up
	faults := []struct {
		f    fakeopenai.Fault
		kind ErrorKind
	}{
		{fakeopenai.Fault{Kind: fakeopenai.FaultStatus, Status: 429}, "http-429"},
		{fakeopenai.Fault{Kind: fakeopenai.FaultStatus, Status: 500, Body: "boom key-in-the-answer"}, "http-500"},
		{fakeopenai.Fault{Kind: fakeopenai.FaultDie, After: 2}, ErrCut},
		{fakeopenai.Fault{Kind: fakeopenai.FaultHang, After: 2}, ErrStalled},
		{fakeopenai.Fault{Kind: fakeopenai.FaultGarbage, After: 1}, ErrBadStream},
		{fakeopenai.Fault{Kind: fakeopenai.FaultError, After: 2}, ErrServer},
		{fakeopenai.Fault{Kind: fakeopenai.FaultHuge, After: 1}, ErrTooLarge},
		{fakeopenai.Fault{Kind: fakeopenai.FaultNoToken}, ErrEmpty},
		{fakeopenai.Fault{Kind: fakeopenai.FaultJSON}, ErrBadStream},
		{fakeopenai.Fault{Kind: fakeopenai.FaultAbort}, ErrServer},
		{fakeopenai.Fault{}, ""},
	}
	s := fakeopenai.New(t, fakeopenai.Config{APIKey: "key-in-the-answer", Fault: func(n int) fakeopenai.Fault {
		if n < first {
			return fakeopenai.Fault{}
		}
		return faults[(n-first)%len(faults)].f
	}})
	res := run(t, s, Config{Key: "key-in-the-answer", Requests: len(faults), Concurrency: 1, Warmup: 2, OutputLen: 4, Stall: 2 * time.Second, MaxResponse: 1 << 20})
	if res.Completed != 1 || res.Failed != len(faults)-1 || res.OutputTokens != 4 || !hasWarning(res, "failed") {
		t.Errorf("%d completed, %d failed, %d tokens", res.Completed, res.Failed, res.OutputTokens)
	}
	for i, f := range faults {
		if got := res.Requests[i]; got.Kind != f.kind || (got.Error == "") != (f.kind == "") || strings.Contains(got.Error, "key-in") {
			t.Errorf("fault %d: kind %q (%s), want %q", i, got.Kind, got.Error, f.kind)
		}
	}
	// Nothing of a failed request is in the figures.
	if res.TTFT.N != 1 || res.ITL.N != 3 {
		t.Errorf("TTFT of %d, ITL of %d", res.TTFT.N, res.ITL.N)
	}
	var o struct {
		Errors []string
		Ttfts  []float64
		Itls   [][]float64
	}
	var b bytes.Buffer
	if err := res.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b.Bytes(), &o); err != nil || len(o.Errors) != len(faults) || o.Ttfts[0] != 0 || o.Errors[len(faults)-1] != "" {
		t.Errorf("%v %+v", err, o)
	}
	if bytes.Contains(b.Bytes(), []byte("key-in")) {
		t.Error("the result shows the key")
	}
}

func TestServerDies(t *testing.T) {
	s := fakeopenai.Start(fakeopenai.Config{ITL: 5 * time.Millisecond})
	done := false
	res, err := Run(t.Context(), Config{URL: s.URL, Requests: 60, Concurrency: 2, OutputLen: 20}, func(e Event) {
		if e.Phase == Measuring && e.Done == 2 && !done {
			done = true
			go func() {
				s.Listener.Close()
				s.CloseClientConnections()
			}()
		}
	})
	defer s.Close()
	if err != nil {
		t.Fatal(err)
	}
	checkResult(t, res)
	if res.Completed < 2 || res.Failed < 2 || res.Interrupted || res.Errors[ErrConnect]+res.Errors[ErrCut] != res.Failed {
		t.Errorf("%d completed, %v", res.Completed, res.Errors)
	}
}

func TestTimeout(t *testing.T) {
	s := fakeopenai.New(t, fakeopenai.Config{ITL: 20 * time.Millisecond})
	res := run(t, s, Config{Requests: 2, Concurrency: 2, Warmup: -1, OutputLen: 100, Timeout: 300 * time.Millisecond})
	if res.Completed != 0 || res.Errors[ErrTimeout] != 2 {
		t.Errorf("%d completed, %v", res.Completed, res.Errors)
	}
	// With nothing measured there is nothing to print, least of all 0.
	var b bytes.Buffer
	if err := res.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"mean_ttft_ms", "p99_itl_ms", "total_input_tokens"} {
		if strings.Contains(b.String(), k) {
			t.Errorf("%s without a completed request", k)
		}
	}
}

func TestInterrupted(t *testing.T) {
	s := fakeopenai.New(t, fakeopenai.Config{ITL: 10 * time.Millisecond})
	for _, rate := range []float64{0, 20} {
		ctx, cancel := context.WithCancel(t.Context())
		res, err := Run(ctx, Config{URL: s.URL, Requests: 50, Concurrency: 2, Rate: rate, OutputLen: 20}, func(e Event) {
			if e.Phase == Measuring && e.Done == 3 {
				cancel()
			}
		})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		checkResult(t, res)
		if !res.Interrupted || res.Completed < 3 || res.Failed != 0 || res.NotStarted < 30 || !hasWarning(res, "interrupted") {
			t.Errorf("rate %v: %d completed, %d failed, %d unfinished, %d not started", rate, res.Completed, res.Failed, res.Unfinished, res.NotStarted)
		}
		var b bytes.Buffer
		if err := res.WriteJSON(&b); err != nil || !strings.Contains(b.String(), `"interrupted":true`) {
			t.Errorf("%v %s", err, b.String())
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, Config{URL: s.URL}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped before it began: %v", err)
	}
}

func TestSLO(t *testing.T) {
	q := Request{TTFTNS: 100e6, E2ENS: 300e6, OutputTokens: 11, GapsNS: []int64{100e6, 100e6}}
	for _, c := range []struct {
		s    SLO
		want bool
	}{
		{SLO{}, true}, {SLO{TTFTMS: 100}, true}, {SLO{TTFTMS: 99}, false}, {SLO{TPOTMS: 20}, true}, {SLO{TPOTMS: 19}, false},
		{SLO{ITLMS: 99}, false}, {SLO{ITLMS: 100, E2EMS: 300}, true}, {SLO{E2EMS: 299}, false},
	} {
		if got := c.s.met(&q); got != c.want {
			t.Errorf("%+v: %v", c.s, got)
		}
	}
	one := Request{TTFTNS: 1e6, E2ENS: 1e6, OutputTokens: 1}
	if !(SLO{TPOTMS: 1, ITLMS: 1}).met(&one) {
		t.Error("a single token missed a TPOT it does not have")
	}
}

func TestPeaks(t *testing.T) {
	s := int64(time.Second)
	tokens, concurrent, busiest := peaks([]Request{
		{StartNS: 0, TTFTNS: s / 2, E2ENS: s, OutputTokens: 4, GapsNS: []int64{s / 4, s}},                             // 4/3 tokens at 0.5, 0.75, 1.75
		{StartNS: s, TTFTNS: s / 2, E2ENS: s, OutputTokens: 6, GapsNS: []int64{s / 4}, ChunkTokens: []int{1, 5}},      // at 1.5, 1.75; starts as the other ends
		{StartNS: s + s/2, TTFTNS: 1, E2ENS: 2 * s, OutputTokens: 1},                                                  // at 1.5
		{StartNS: 0, TTFTNS: 1, E2ENS: 9 * s, OutputTokens: 1000, GapsNS: []int64{1}, Kind: ErrCut, Error: "ignored"}, // failed
	})
	if math.Abs(tokens-(4.0/3+6+1)) > 1e-9 || concurrent != 2 || busiest != 3 {
		t.Errorf("%v tokens, %d requests, %d in a second", tokens, concurrent, busiest)
	}
}

func TestPromptFiles(t *testing.T) {
	s := fakeopenai.New(t, fakeopenai.Config{})
	res := run(t, s, Config{Requests: 4, Warmup: 1, Concurrency: 1, Prompts: Prompts{Text: strings.NewReader("one two three\n\n  four five \nsix\n"), Name: "p.txt"}, OutputLen: 3})
	if res.PromptKind != "file" || res.Completed != 4 || !hasWarning(res, "prompts-repeat") {
		t.Errorf("%+v", res.Warnings)
	}
	jsonl := `{"conversations":[{"from":"system","value":"x"},{"from":"human","value":"tell me a story"},{"from":"gpt","value":"Once upon a time there was"}]}
{"messages":[{"role":"system","content":"be brief"},{"role":"user","content":"hello there"},{"role":"assistant","content":"hi"}],"output_len":5}
{"prompt":"plain","max_tokens":7}
{"nothing":1}
{"conversations":[]}
`
	for _, in := range []string{jsonl, "\n [" + strings.ReplaceAll(strings.TrimSpace(jsonl), "\n", ",\n") + "]"} {
		ps, skipped, err := Prompts{JSONL: strings.NewReader(in)}.readPrompts()
		if err != nil || len(ps) != 3 || skipped != 2 {
			t.Fatalf("%d prompts, %d skipped, %v", len(ps), skipped, err)
		}
		if ps[0].text != "tell me a story" || ps[0].output != 6 || !ps[0].guessed || ps[1].text != "be brief\n\nhello there" || len(ps[1].messages) != 2 || ps[1].output != 5 || ps[2].output != 7 {
			t.Errorf("%+v", ps)
		}
	}
	res = run(t, s, Config{API: Chat, Requests: 3, Warmup: -1, Concurrency: 1, Prompts: Prompts{JSONL: strings.NewReader(jsonl)}})
	if res.OutputTokens != 6+5+7 || !hasWarning(res, "prompts-skipped") || !hasWarning(res, "output-guessed") {
		t.Errorf("%d tokens, %v", res.OutputTokens, res.Warnings)
	}
	if _, _, err := (Prompts{Text: strings.NewReader("a\n\xff\xfe\n")}).readPrompts(); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("binary file: %v", err)
	}
	if _, _, err := (Prompts{JSONL: strings.NewReader("[{\"prompt\":1}, 5]")}).readPrompts(); err == nil {
		t.Error("a number is no entry")
	}
}

func TestSameSeedSameLoad(t *testing.T) {
	bodies := func(seed uint64) string {
		s := fakeopenai.New(t, fakeopenai.Config{})
		run(t, s, Config{Requests: 3, Concurrency: 1, Warmup: 1, OutputLen: 1, Seed: seed, Prompts: Prompts{InputLen: 8}})
		return fmt.Sprint(s.Bodies())
	}
	first, again, other := bodies(1), bodies(1), bodies(2)
	if first != again {
		t.Error("the same seed sent other prompts")
	}
	if first == other {
		t.Error("another seed sent the same prompts")
	}
}

func TestSecretStaysSecret(t *testing.T) {
	c := Config{Key: "hush"}
	b, err := json.Marshal(struct{ Key Secret }{c.Key})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{fmt.Sprint(c), fmt.Sprintf("%+v %#v %s %v %q", c, c.Key, c.Key, c.Key, c.Key), string(b)} {
		if strings.Contains(s, "hush") {
			t.Errorf("%s", s)
		}
	}
}

func TestExtraAndMetadata(t *testing.T) {
	s := fakeopenai.New(t, fakeopenai.Config{EOSAfter: 2})
	res := run(t, s, Config{Requests: 2, Concurrency: 1, OutputLen: 6, StopAtEOS: true, KeepTexts: true, Extra: map[string]any{"top_k": 1}, Label: "x",
		Metadata: map[string]string{"gpu": "none", "duration": "no"}})
	if got := string(s.Bodies()[0]["top_k"]); got != "1" {
		t.Errorf("top_k %s", got)
	}
	if res.OutputTokens != 4 || !hasWarning(res, "short-output") || res.Requests[0].Text == "" {
		t.Errorf("%d tokens, %v", res.OutputTokens, res.Warnings)
	}
	var b bytes.Buffer
	if err := res.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var o map[string]any
	if err := json.Unmarshal(b.Bytes(), &o); err != nil || o["gpu"] != "none" || o["duration"] == "no" || o["label"] != "x" || o["generated_texts"] == nil {
		t.Errorf("%v %s", err, b.String())
	}
}

// An error within the stream is shown like any other: without the key, on one
// line, and short.
func TestStreamErrorIsCleaned(t *testing.T) {
	const key = "hush-hush"
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		if n.Add(1) == 1 { // the probe
			io.WriteString(w, `data: {"choices":[{"text":"a","finish_reason":"length"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}`+"\n\ndata: [DONE]\n\n")
			return
		}
		fmt.Fprintf(w, "data: {\"error\":{\"message\":\"%s\\n%s %s\"}}\n\n", strings.Repeat("x", maxErrorText-len(key)), key, strings.Repeat("y", 1000))
	}))
	defer s.Close()
	res, err := Run(t.Context(), Config{URL: s.URL, Model: "m", Key: key, Requests: 1, Warmup: -1, Prompts: Prompts{Text: strings.NewReader("hello")}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	q := res.Requests[0]
	if q.Kind != ErrServer || len(q.Error) > maxErrorText+len("...") || strings.ContainsAny(q.Error, "\n") || strings.Contains(q.Error, key[:5]) {
		t.Errorf("%s: %q", q.Kind, q.Error)
	}
}

func TestTailIsOneWarning(t *testing.T) {
	for _, c := range []struct {
		completed   int
		percentiles []float64
		want        string
	}{
		{64, []float64{50, 90, 95, 99}, "p95 and p99 of TTFT, TPOT and E2E are little more than the largest of 64 values (p99 of 64 values has 0.64 values above it; 500 values give 5)"},
		{200, []float64{90, 95, 99}, "p99 of 200 values has 2 values above it; 500 values give 5: of TTFT, TPOT and E2E it is little more than the largest value"},
		{500, []float64{90, 95, 99}, ""},
		{0, []float64{99}, ""},
	} {
		var got []string
		r := Result{Completed: c.completed, Percentiles: c.percentiles}
		r.warnTail(func(id, format string, args ...any) { got = append(got, fmt.Sprintf(format, args...)) })
		if strings.Join(got, "|") != c.want {
			t.Errorf("%d: %q, want %q", c.completed, got, c.want)
		}
	}
}
