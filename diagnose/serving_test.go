package diagnose_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/internal/captest"
	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/step"
)

// queued is a metrics difference in which requests waited wait seconds of their e2e seconds each.
func queued(requests, wait, e2e float64) *serving.MetricsDelta {
	src := serving.Source{File: "metrics_after.txt", Line: 1}
	h := func(mean float64) serving.HistogramDelta {
		return serving.HistogramDelta{Known: true, Count: requests, Sum: mean * requests, Source: src}
	}
	return &serving.MetricsDelta{Requests: serving.NewFact(requests, src), Queue: h(wait), E2E: h(e2e), PromptLen: h(512), OutputLen: h(128)}
}

func decoding(n, batch int) *engine {
	return newEngine().run(n, turn{marker: decode(batch), ops: layers(12, 20*us, 300*us), graph: true})
}

func TestQueueLimited(t *testing.T) {
	waits := func(mean float64) *serving.Run { // mean requests waiting over 10 s, by Little's law
		b := bench(64, 4, 5, 4)
		return &serving.Run{Bench: b, Delta: queued(256, mean*10/256, 5)}
	}
	for _, c := range []struct {
		name  string
		e     *engine
		run   *serving.Run
		found bool
		why   string
	}{
		{"metrics: 30 wait", decoding(20, 16), waits(30), true, ""},
		{"a tenth of the batch waits", decoding(20, 16), waits(1.61), true, ""},
		{"less than a tenth", decoding(20, 16), waits(1.59), false, ""},
		{"one request waits at a batch of four", decoding(20, 4), waits(1.01), true, ""},
		{"less than one", decoding(20, 4), waits(0.99), false, ""},
		{"four of five steps at the maximum", newEngine().run(16, turn{marker: decode(16), ops: layers(12, 20*us, 300*us), graph: true}).
			run(4, turn{marker: decode(15), ops: layers(12, 20*us, 300*us), graph: true}), waits(30), true, ""},
		{"fewer than that", newEngine().run(15, turn{marker: decode(16), ops: layers(12, 20*us, 300*us), graph: true}).
			run(5, turn{marker: decode(15), ops: layers(12, 20*us, 300*us), graph: true}), waits(30), false, ""},
		{"nothing says whether requests wait", decoding(20, 16), nil, false, "no metrics, log or closed-loop benchmark"},
		{"closed loop of more clients than the batch", decoding(20, 16), &serving.Run{Bench: bench(64, 4, 5, 4)}, true, ""},
		{"closed loop of as many", decoding(20, 16), &serving.Run{Bench: bench(16, 4, 5, 4)}, false, ""},
		{"open loop: a ceiling is no queue", decoding(20, 16), &serving.Run{Bench: openLoop(bench(64, 4, 5, 4), 2)}, false, "no metrics, log or closed-loop benchmark"},
		{"the cap is higher than the batch", decoding(20, 16), withSeqs(waits(30), 32), false, "something else limits admission"},
		{"the cap is the batch", decoding(20, 16), withSeqs(waits(30), 16), true, ""},
		{"the cache is full", decoding(20, 16), preempted(waits(30), 3), false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := c.e.diagnose(t, c.run)
			f := r.Finding(diagnose.QueueLimited)
			if (f != nil) != c.found {
				t.Fatalf("found %v, abstains because %q", f != nil, r.Why(diagnose.QueueLimited))
			}
			if c.why != "" && !strings.Contains(r.Why(diagnose.QueueLimited), c.why) {
				t.Errorf("abstains because %q", r.Why(diagnose.QueueLimited))
			}
			if f != nil && (f.Severity < diagnose.Medium || len(f.Evidence) < 2) {
				t.Errorf("%v with %d facts", f.Severity, len(f.Evidence))
			}
		})
	}
}

func openLoop(b *serving.Bench, rate float64) *serving.Bench {
	b.RequestRate = fact(rate)
	return b
}

func withSeqs(r *serving.Run, n int64) *serving.Run {
	r.Engine.MaxNumSeqs = serving.NewFact(n, serving.Source{File: "server.log", Line: 7})
	return r
}

func preempted(r *serving.Run, n float64) *serving.Run {
	r.Delta.Preemptions = serving.NewFact(n, serving.Source{File: "metrics_after.txt", Line: 9})
	return r
}

func rated(b *serving.Bench, rate float64) *serving.Bench {
	b.OutputRate = fact(rate)
	return b
}

// lengths gives a benchmark's requests these mean tokens.
func lengths(b *serving.Bench, in, out int64) *serving.Bench {
	b.InputTokens, b.OutputTokens = fact(b.Completed.Value*in), fact(b.Completed.Value*out)
	return b
}

// gauge is a run whose metrics show this usage of the KV cache at its end.
func gauge(r *serving.Run, usage float64) *serving.Run {
	r.Delta.KVUsage.After = serving.NewFact(usage, serving.Source{File: "metrics_after.txt", Line: 70})
	return r
}

func merge(r *serving.Run, d *serving.MetricsDelta) *serving.Run {
	r.Delta = d
	return r
}

// A preemption that other evidence contradicts hides no queue.
func TestQueueBesidePreemption(t *testing.T) {
	run := withSeqs(preempted(&serving.Run{Bench: bench(64, 4, 5, 4), Delta: queued(256, 2, 5)}, 1), 4)
	run.Log = &serving.Log{File: "server.log", Stats: []serving.StatLine{{Running: 4, Waiting: 48, KVUsage: 0.006, Preemptions: -1}}}
	r := decoding(30, 4).diagnose(t, run)
	if r.First() != diagnose.QueueLimited {
		t.Errorf("first %s: %s", r.First(), r.Verdict)
	}
	if f := r.Finding(diagnose.KVCacheLimited); f == nil || f.Severity != diagnose.Low || f.Caused != "" {
		t.Errorf("%+v", f)
	}
}

// One story: a queue explains memory reads of a small batch; a full cache explains the queue.
func TestServerLimitsExplain(t *testing.T) {
	r := decoding(30, 4).diagnose(t, withSeqs(&serving.Run{Bench: bench(64, 4, 5, 4), Delta: queued(256, 2, 5)}, 4))
	if r.First() != diagnose.QueueLimited {
		t.Fatalf("first %s: %s", r.First(), r.Verdict)
	}
	if f := r.Finding(diagnose.MemoryBandwidth); f == nil || f.Caused != diagnose.QueueLimited || f.Severity != diagnose.Info || len(f.Advice) > 0 {
		t.Errorf("memory bandwidth beside a queue: %+v", f)
	}
	r = decoding(30, 4).diagnose(t, preempted(&serving.Run{Bench: bench(64, 4, 5, 4), Delta: queued(256, 2, 5)}, 5))
	if r.First() != diagnose.KVCacheLimited || r.Finding(diagnose.QueueLimited) != nil {
		t.Errorf("first %s, queue %v", r.First(), r.Finding(diagnose.QueueLimited))
	}
}

func TestKVCacheLimited(t *testing.T) {
	src := serving.Source{File: "server.log", Line: 40}
	log := func(usage, waiting float64, preemptions int64) *serving.Run {
		l := &serving.Log{File: "server.log", Stats: []serving.StatLine{{Running: 16, Waiting: int64(waiting), KVUsage: usage, Preemptions: preemptions}}}
		return &serving.Run{Log: l}
	}
	small := func(tokens int64, usage float64) *serving.Run {
		r := log(usage, 4, 0)
		r.Engine.KVCacheTokens = serving.NewFact(tokens, src)
		r.Bench = bench(64, 4, 5, 4) // 512 in, 128 out
		return r
	}
	for _, c := range []struct {
		name string
		run  *serving.Run
		want string // the least severity of the finding, "low" for the side note, "" for none
		text string // in the side note
	}{
		{"usage of 95 % while requests wait", log(0.95, 2, 0), "medium", ""},
		{"usage of 95 % and nothing waits", log(0.95, 0, 0), "low", "hardly a request waits"},
		{"usage of 94.9 %", log(0.949, 2, 0), "", ""},
		{"preemptions in the log and requests wait", log(0.9, 2, 2), "medium", ""},
		{"preemptions in the log, usage 79.9 %", log(0.799, 2, 2), "low", "2 preemptions in the log), but it is not what limits the server: the log shows at most 79.9 % of it in use"},
		{"preemptions in the log, nothing waits", log(0.9, 0, 2), "low", "hardly a request waits"},
		{"no preemption", log(0.5, 0, 0), "", ""},
		{"one request more does not fit", small(17*640-1, 0.9), "medium", ""},
		{"it does not fit, and half of the cache is free", small(17*640-1, 0.5), "low", "at most 50.0 %"},
		{"it fits", small(17*640, 0.9), "", ""},
		{"a twentieth of the requests is preempted", preempted(&serving.Run{Delta: queued(100, 0, 5)}, 5), "medium", ""},
		{"fewer, and nothing waits", preempted(&serving.Run{Delta: queued(100, 0, 5)}, 4), "low", "4 preemptions in 100 requests), but it is not what limits the server: hardly a request waits"},
		{"one of few requests", preempted(&serving.Run{Delta: queued(4, 0, 5)}, 1), "low", "1 preemption in 4 requests"},
		{"one preemption while requests wait", preempted(&serving.Run{Bench: bench(64, 4, 5, 4), Delta: queued(256, 1, 5)}, 1), "medium", ""},
		{"the same at the cap", withSeqs(preempted(&serving.Run{Bench: bench(64, 4, 5, 4), Delta: queued(256, 1, 5)}, 1), 16), "low", "max-num-seqs 16 holds the batch"},
		{"often at the cap", withSeqs(preempted(&serving.Run{Bench: bench(64, 4, 5, 4), Delta: queued(256, 1, 5)}, 64), 16), "medium", ""},
		{"often against the log", merge(log(0.5, 9, 0), preempted(&serving.Run{Delta: queued(100, 0.5, 5)}, 20).Delta), "medium", ""},
		{"often against the log and a cache with room", func() *serving.Run {
			r := merge(log(0.5, 9, 0), preempted(&serving.Run{Delta: queued(100, 0.5, 5)}, 20).Delta)
			r.Engine.KVCacheTokens = serving.NewFact(int64(2*17*640+1), src)
			return r
		}(), "low", "at most 50.0 %"},
		{"a line of the log before the load", func() *serving.Run {
			r := preempted(&serving.Run{Delta: queued(100, 0.5, 5)}, 2)
			r.Log = &serving.Log{File: "server.log", Stats: []serving.StatLine{{Running: 7, Waiting: 0, KVUsage: 0.2, Preemptions: -1}}}
			return r
		}(), "medium", ""},
		{"preemptions before the run only", preempted(&serving.Run{Delta: queued(100, 0, 5)}, 0), "", ""},
		{"a full moment in the metrics", gauge(&serving.Run{Delta: queued(100, 0, 5)}, 1), "low", "100.0 % of it in use at one moment"},
		{"a full moment against the log", gauge(merge(log(0.04, 9, 0), queued(100, 0.5, 5)), 1), "low", "at most 4.0 %"},
		{"a full moment while requests wait", gauge(&serving.Run{Delta: queued(100, 0.5, 5)}, 1), "medium", ""},
	} {
		r := decoding(20, 16).diagnose(t, c.run)
		f := r.Finding(diagnose.KVCacheLimited)
		got := ""
		if f != nil {
			got = "low"
			if f.Severity >= diagnose.Medium {
				got = "medium"
			}
		}
		if got != c.want {
			t.Errorf("%s: %+v", c.name, f)
			continue
		}
		if c.name == "often against the log" && (f.Confidence != "low" || !strings.Contains(f.Summary, "Against it: the log shows at most 50.0 % of it in use")) {
			t.Errorf("%s: confidence %s, %s", c.name, f.Confidence, f.Summary)
		}
		if got == "low" && (!strings.Contains(f.Summary, c.text) || len(f.Advice) > 0 || f.Share != 0) {
			t.Errorf("%s: %s, advice %v", c.name, f.Summary, f.Advice)
		}
	}
	if why := decoding(20, 16).diagnose(t, nil).Why(diagnose.KVCacheLimited); !strings.Contains(why, "neither metrics nor a server log") {
		t.Errorf("without evidence: %q", why)
	}
}

func TestUnderloaded(t *testing.T) {
	s := threshold{t: t, id: diagnose.Underloaded, limit: 0.10, slack: 0.01}
	for quiet := 5 * ms; quiet < 40*ms; quiet += ms / 4 {
		e := newEngine()
		for range 4 {
			e.run(14, turn{marker: decode(1), ops: layers(12, 20*us, 300*us), graph: true})
			e.step(turn{marker: "execute_context_1(16)_generation_0(0)", ops: layers(12, 20*us, 300*us), graph: true, quiet: quiet})
		}
		r := e.diagnose(t, nil)
		s.check(r, r.Context.All.Part(step.IdleRequests))
		if f := r.Finding(diagnose.HostStepGap); f != nil && f.Caused == "" {
			t.Errorf("a silence of %d ms is taken for the scheduler", quiet/ms)
		}
	}
	s.done()
}

// A host that stands still while it has requests, as in a garbage collection, is no lack of them: the same requests go on
// decoding.
func TestPausesWithRequestsAreTheHosts(t *testing.T) {
	for _, c := range []struct {
		name, after string
		underloaded bool
	}{
		{"the same requests", decode(8), false},
		{"fewer of them", decode(5), false},
		{"more requests", decode(9), true}, // one came from somewhere, as with a remote prefill
		{"a new request beside them", mixed(1, 64, 8), false},
		{"new requests only", "execute_context_8(512)_generation_0(0)", true},
	} {
		e := newEngine()
		for range 5 {
			e.run(8, turn{marker: decode(8), ops: layers(12, 20*us, 300*us), graph: true})
			e.step(turn{marker: c.after, ops: layers(12, 20*us, 300*us), graph: true, quiet: 30 * ms})
		}
		r := e.diagnose(t, nil)
		if got := r.Finding(diagnose.Underloaded) != nil; got != c.underloaded {
			t.Errorf("%s: underloaded %v", c.name, got)
		}
		if f := r.Finding(diagnose.HostStepGap); !c.underloaded && (f == nil || r.First() != diagnose.HostStepGap) {
			t.Errorf("%s: first %s", c.name, r.First())
		}
	}
}

// A single client that thinks between its requests leaves the server without work; one that does not, does not.
func TestSingleRequestUnderload(t *testing.T) {
	load := func(think int64) *captest.Result {
		e := newEngine()
		for range 6 {
			e.step(turn{marker: "execute_context_1(512)_generation_0(0)", ops: layers(12, 100*us, 800*us), launch: 8 * us, quiet: think})
			e.run(20, turn{marker: decode(1), ops: layers(12, 20*us, 300*us), graph: true})
		}
		return e.diagnose(t, &serving.Run{Bench: bench(1, 3.9, 5, 4)})
	}
	if r := load(60 * ms); r.First() != diagnose.Underloaded || r.Limits.Bound != diagnose.BoundRequests {
		t.Errorf("thinking client: first %s, bound by %s", r.First(), r.Limits.Bound)
	}
	r := load(0)
	if r.Finding(diagnose.Underloaded) != nil || r.Finding(diagnose.HostStepGap) != nil || r.Finding(diagnose.QueueLimited) != nil {
		t.Errorf("busy client: %s", r.Verdict)
	}
	if strings.Contains(load(60*ms).Finding(diagnose.Underloaded).Summary, "in flight") {
		t.Error("a client of one request has none on its way")
	}
}

// A benchmark that is somewhat slower than steps which the GPU fills is used and told; the host can make any gap longer.
func TestSlowerBenchmark(t *testing.T) {
	busy := decoding(20, 16)
	idle := newEngine().run(20, turn{marker: decode(16), ops: layers(12, 20*us, 300*us), graph: true, gap: 2 * ms})
	for _, c := range []struct {
		name string
		e    *engine
		p50  float64
		told bool
	}{
		{"as fast", busy, 4, false},
		{"a tenth slower", busy, 4.25, true},
		{"a third slower", busy, 5, true},
		{"a third slower, on a host that keeps the GPU waiting", idle, 7.8, false},
	} {
		r := c.e.diagnose(t, &serving.Run{Bench: bench(16, c.p50, 9, c.p50)})
		said := false
		for _, q := range r.Diagnosis.Profile.Quality {
			said = said || q.ID == "distortion" && strings.Contains(q.Text, "Tracing shortens no step")
		}
		if said != c.told {
			t.Errorf("%s: %+v", c.name, r.Diagnosis.Profile.Quality)
		}
		if r.Context.Bench() == nil {
			t.Errorf("%s: the benchmark is left out", c.name)
		}
	}
}

// Evidence of another run is left out, with the reason, and never used in silence.
func TestForeignEvidence(t *testing.T) {
	src := serving.Source{File: "server.log", Line: 3}
	log := func(edit func(*serving.EngineInfo)) *serving.Run {
		r := &serving.Run{Log: &serving.Log{File: "server.log", Stats: []serving.StatLine{{Running: 4, Waiting: 9, KVUsage: 0.99, Preemptions: 4}}}}
		edit(&r.Engine)
		return r
	}
	e := decoding(20, 16)
	p := e.profile(t)
	for _, c := range []struct {
		name, text string
		run        *serving.Run
		abstains   []string
	}{
		{"log with a smaller cap", "max-num-seqs is 8 there, and a step of the capture runs 16 requests",
			log(func(e *serving.EngineInfo) { e.MaxNumSeqs = serving.NewFact(int64(8), src) }), []string{diagnose.QueueLimited, diagnose.KVCacheLimited}},
		{"log with a smaller budget", "max-num-batched-tokens is 8 there",
			log(func(e *serving.EngineInfo) { e.MaxNumBatchedTokens = serving.NewFact(int64(8), src) }), []string{diagnose.KVCacheLimited}},
		{"eager log, graphs in the capture", "enforce-eager is on there",
			log(func(e *serving.EngineInfo) { e.EnforceEager = serving.NewFact(true, src) }), []string{diagnose.KVCacheLimited}},
		{"log of an older version", "the version is 0.11.0 there",
			log(func(e *serving.EngineInfo) { e.Version = serving.NewFact("0.11.0", src) }), []string{diagnose.KVCacheLimited}},
		{"log of another engine", "the engine is sglang there",
			log(func(e *serving.EngineInfo) { e.Name = serving.NewFact("sglang", src) }), []string{diagnose.KVCacheLimited}},
		{"log of a smaller cache", "the KV cache holds 6720 tokens there, and a step of the capture decodes 16 requests with prompts of 512 tokens",
			func() *serving.Run {
				r := log(func(e *serving.EngineInfo) {
					e.KVCacheTokens, e.PrefixCaching = serving.NewFact(int64(6720), src), serving.NewFact(false, src)
				})
				r.Bench = bench(16, 4, 5, 4)
				return r
			}(), []string{diagnose.KVCacheLimited}},
		{"metrics of another cache", "the KV cache has 1 tokens in the log and 2 in the metrics",
			&serving.Run{Delta: preempted(&serving.Run{Delta: queued(64, 2, 5)}, 9).Delta, Warnings: []serving.Warning{{ID: "kv-size-differs", Text: "the KV cache has 1 tokens in the log and 2 in the metrics"}}},
			[]string{diagnose.KVCacheLimited}},
		{"metrics with fewer requests than the client", "the client completed 64 requests and the server counted 40",
			&serving.Run{Bench: bench(16, 4, 5, 4), Delta: preempted(&serving.Run{Delta: queued(40, 2, 5)}, 9).Delta}, []string{diagnose.KVCacheLimited}},
		{"metrics with three times as many", "the server counted 900",
			&serving.Run{Bench: bench(16, 4, 5, 4), Delta: preempted(&serving.Run{Delta: queued(900, 2, 5)}, 9).Delta}, []string{diagnose.KVCacheLimited}},
		{"benchmark faster than the GPU's work", "its tokens come every 2.00 ms",
			&serving.Run{Bench: bench(64, 2, 5, 2)}, []string{diagnose.QueueLimited}},
		{"benchmark of as many clients that waits for nothing", "its tokens come every 40.00 ms, and a decode step of the capture takes 3.85 ms for as many requests, of which the GPU works 3.84 ms",
			&serving.Run{Bench: bench(16, 40, 50, 40)}, []string{diagnose.QueueLimited}},
		{"benchmark of more requests than the cap", "its rate of 10000 tokens/s at 4.00 ms per token takes 40 requests at once, and max-num-seqs is 16",
			withSeqs(&serving.Run{Bench: rated(bench(64, 4, 5, 4), 10000)}, 16), []string{diagnose.QueueLimited}},
		{"benchmark of more tokens than the steps make", "its rate is 10000 tokens/s, and the capture's steps of 16 requests",
			&serving.Run{Bench: rated(bench(64, 4, 5, 4), 10000)}, []string{diagnose.QueueLimited}},
		{"metrics of more requests than clients", "by the times of its requests 45 were at the server at once, and the benchmark keeps at most 16 in flight",
			&serving.Run{Bench: bench(16, 4, 5, 4), Delta: preempted(&serving.Run{Delta: queued(64, 7, 9)}, 9).Delta}, []string{diagnose.KVCacheLimited}},
		{"metrics of the foreign benchmark's run", "they count the same requests as the benchmark, which is left out",
			&serving.Run{Bench: bench(64, 2, 5, 2), Delta: preempted(&serving.Run{Delta: queued(256, 2, 5)}, 99).Delta}, []string{diagnose.KVCacheLimited}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := diagnoseOn(t, p, c.run)
			said := false
			for _, q := range r.Diagnosis.Profile.Quality {
				said = said || q.ID == "server-evidence" && strings.Contains(q.Text, c.text) && q.Severity == "medium"
			}
			if !said {
				t.Errorf("quality notes do not say why: %+v", r.Diagnosis.Profile.Quality)
			}
			for _, id := range c.abstains {
				if f := r.Finding(id); f != nil {
					t.Errorf("%s: %s", id, f.Summary)
				}
				if !strings.Contains(r.Why(id), c.text) {
					t.Errorf("%s abstains because %q", id, r.Why(id))
				}
			}
			if r.First() != diagnose.MemoryBandwidth {
				t.Errorf("the capture itself still speaks: first %q", r.First())
			}
		})
	}
	// A benchmark of another model says nothing about the metrics, which are the server's.
	other := bench(64, 4, 5, 4)
	r := diagnoseOn(t, p, &serving.Run{Bench: other, Delta: queued(256, 2, 5), Warnings: []serving.Warning{{ID: "models-differ", Text: "the benchmark is of another model", Source: other.Source}}})
	if c := r.Context; c.Bench() != nil || c.Delta() == nil {
		t.Errorf("benchmark of another model: benchmark used %v, metrics used %v", c.Bench() != nil, c.Delta() != nil)
	}
	// Close relatives are believed.
	for name, run := range map[string]*serving.Run{
		"cap that equals the batch":                  log(func(e *serving.EngineInfo) { e.MaxNumSeqs = serving.NewFact(int64(16), src) }),
		"version with these markers":                 log(func(e *serving.EngineInfo) { e.Version = serving.NewFact("0.14.1", src) }),
		"some more requests: a warm-up":              {Bench: bench(64, 4, 5, 4), Delta: queued(300, 2, 5)},
		"benchmark of these steps":                   {Bench: bench(64, 3.86, 5, 4)},
		"a third slower, as contexts grow":           {Bench: bench(16, 5, 9, 5.3)},
		"slower at more clients, behind other steps": {Bench: bench(32, 40, 50, 40)},
		"slower behind prefill":                      {Bench: lengths(bench(16, 40, 50, 40), 512, 24)},
		"slower behind chunks of long prompts":       {Bench: lengths(bench(16, 40, 50, 40), 20480, 128)},
		"chunks of several tokens":                   {Bench: bench(16, 40, 50, 4)},
		"as many requests as the cap holds":          withSeqs(&serving.Run{Bench: rated(bench(64, 4, 5, 4), 5000)}, 16),
		"as many at the server as the client's":      {Bench: bench(64, 4, 5, 4), Delta: queued(256, 2.4, 5)},
		"a cache that holds the batch": func() *serving.Run {
			r := log(func(e *serving.EngineInfo) {
				e.KVCacheTokens, e.PrefixCaching = serving.NewFact(int64(15*512), src), serving.NewFact(false, src)
			})
			r.Bench = bench(16, 4, 5, 4)
			return r
		}(),
		"a small cache with shared prefixes": func() *serving.Run {
			r := log(func(e *serving.EngineInfo) {
				e.KVCacheTokens, e.PrefixCaching = serving.NewFact(int64(6720), src), serving.NewFact(true, src)
			})
			r.Bench = bench(16, 4, 5, 4)
			return r
		}(),
		"a default that is lower is an assumption, not a setting": func() *serving.Run {
			return log(func(e *serving.EngineInfo) {
				e.MaxNumSeqs = serving.NewFact(int64(8), serving.Source{Field: "--max-num-seqs, GPU below 70 GiB, A100 or GB10"})
			})
		}(),
	} {
		for _, q := range diagnoseOn(t, p, run).Diagnosis.Profile.Quality {
			if q.ID == "server-evidence" {
				t.Errorf("%s: %s", name, q.Text)
			}
		}
	}
}

// Histograms with NaN or infinite sums and counters that fell leave no number behind.
func TestMetricsThatMeanNothing(t *testing.T) {
	for name, edit := range map[string]func(*serving.MetricsDelta){
		"NaN": func(d *serving.MetricsDelta) {
			d.Queue.Sum, d.E2E.Sum, d.PromptLen.Sum = math.NaN(), math.NaN(), math.NaN()
		},
		"infinite": func(d *serving.MetricsDelta) { d.Queue.Sum, d.OutputLen.Sum = math.Inf(1), math.Inf(1) },
		"empty":    func(d *serving.MetricsDelta) { d.Queue.Count, d.E2E.Count, d.PromptLen.Count = 0, 0, 0 },
		"a reset": func(d *serving.MetricsDelta) {
			d.Queue, d.Preemptions = serving.HistogramDelta{}, serving.Fact[float64]{}
		},
	} {
		d := queued(256, 2, 5)
		edit(d)
		for _, b := range []*serving.Bench{nil, bench(16, 4, 5, 4)} {
			r := decoding(20, 16).diagnose(t, &serving.Run{Bench: b, Delta: d})
			if f := r.Finding(diagnose.QueueLimited); f != nil {
				t.Errorf("%s: %s", name, f.Summary)
			}
			captest.Check(t, name+" metrics", r)
		}
	}
}
