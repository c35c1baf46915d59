package compare_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/compare"
	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/stat"
)

// underLoad is the evidence of a server under so many clients, with a queue and a start.
func underLoad(clients int64, input int64, queue float64, kv int64, model string) *serving.Run {
	src := serving.Source{File: "x"}
	r := &serving.Run{Bench: burst(48, clients, 10, 200*queue, 0.1, uint64(clients)), Delta: &serving.MetricsDelta{Requests: serving.NewFact(48.0, src)}}
	if input > 0 {
		r.Bench.InputLen = serving.NewFact(input, src)
	}
	r.Delta.Queue = serving.HistogramDelta{Known: true, Sum: queue, Count: 48}
	r.Engine.KVCacheTokens = serving.NewFact(kv, src)
	if model != "" {
		r.Engine.Model = serving.NewFact(model, src)
	}
	return r
}

func usage(cores, watts float64) *compare.Usage {
	return &compare.Usage{CPUCores: slices.Repeat([]float64{cores}, 40), PowerW: slices.Repeat([]float64{watts}, 40), GPUUtil: slices.Repeat([]float64{cores / 10}, 40)}
}

func withRequests(n string) func(*server) {
	return func(s *server) { s.marker = "execute_context_0(0)_generation_" + n + "(" + n + ")" }
}

func TestWhatTheLoadDecidesIsNotJudged(t *testing.T) {
	eight := decode(40, nil)
	slow := decode(40, func(s *server) { s.kernels[2].dur = 3500 * us })
	sixteen := decode(40, withRequests("16"))
	for _, tc := range []struct {
		name            string
		before, after   compare.Side
		verdict         compare.Overall
		summary         []string // in this order
		worse           []string // Regressions
		judged          []string // group.name with a verdict
		withheld        []string
		step            stat.Verdict // of step_ms
		stepBasis       compare.Basis
		residue, absent string
	}{
		{
			name:    "other clients, no batch in common",
			before:  compare.Side{Analysis: eight.analyse(t), Run: underLoad(8, 0, 1, 1000, ""), Usage: usage(1, 200)},
			after:   compare.Side{Analysis: sixteen.analyse(t), Run: underLoad(16, 0, 9, 500, ""), Usage: usage(4, 600)},
			verdict: compare.NotComparable, summary: []string{"The loads differ (clients 8 and 16)", "no batch was run on both sides"}, worse: []string{},
			judged:   []string{"memory.kv_cache_tokens"},
			withheld: []string{"benchmark.tpot_ms", "benchmark.failed_requests", "server.queue_ms", "work.decode_tokens_per_s", "work.steps_per_s", "utilisation.gpu_busy_share", "utilisation.gpu_util_driver", "utilisation.joules_per_output_token", "cpu.cpu_ms_per_output_token", "cpu.cpu_cores"},
		},
		{
			name:    "other clients, the same batch slower",
			before:  compare.Side{Analysis: eight.analyse(t), Run: underLoad(8, 0, 1, 1000, "")},
			after:   compare.Side{Analysis: slow.analyse(t), Run: underLoad(16, 0, 9, 1000, "")},
			verdict: compare.Worse, summary: []string{"The loads differ (clients 8 and 16)", "only steps of equal batch", "Worse: step time (decode of 8 requests)"},
			worse:    []string{"step.step_ms (decode of 8 requests)", "step.gpu_busy_ms (decode of 8 requests)"},
			withheld: []string{"server.queue_ms", "work.decode_tokens_per_s"}, step: stat.Worse, stepBasis: compare.ByTest,
		},
		{
			name:    "other clients, the same batch as fast",
			before:  compare.Side{Analysis: eight.analyse(t), Run: underLoad(8, 0, 1, 1000, "")},
			after:   compare.Side{Analysis: eight.analyse(t), Run: underLoad(16, 0, 9, 1000, "")},
			verdict: compare.Same, summary: []string{"The loads differ (clients 8 and 16)", "The same: step time"}, worse: []string{},
			withheld: []string{"server.queue_ms", "work.decode_tokens_per_s"}, step: stat.Same, stepBasis: compare.ByTest,
		},
		{
			name:    "longer prompts: a step of the same batch reads more",
			before:  compare.Side{Analysis: eight.analyse(t), Run: underLoad(8, 512, 1, 1000, "")},
			after:   compare.Side{Analysis: slow.analyse(t), Run: underLoad(8, 3072, 1, 1000, "")},
			verdict: compare.NotComparable, summary: []string{"The loads differ (input tokens asked for 512 and 3072)"}, worse: []string{},
			step: stat.Unclear, stepBasis: compare.ByNoFooting,
		},
		{
			name:    "the same load",
			before:  compare.Side{Analysis: eight.analyse(t), Run: underLoad(8, 512, 1, 1000, "")},
			after:   compare.Side{Analysis: slow.analyse(t), Run: underLoad(8, 512, 9, 1000, "")},
			verdict: compare.Worse, summary: []string{"Worse: "},
			judged: []string{"server.queue_ms", "work.decode_tokens_per_s", "benchmark.ttft_ms"}, step: stat.Worse, stepBasis: compare.ByTest,
		},
		{
			name:   "profiles alone, another batch",
			before: compare.Side{Analysis: eight.analyse(t)}, after: compare.Side{Analysis: sixteen.analyse(t)},
			verdict: compare.NotComparable, summary: []string{"The batches differ (decode steps of 8 and 16 requests)", "no batch was run on both sides"}, worse: []string{},
			withheld: []string{"work.decode_tokens_per_s", "work.tokens_per_s", "utilisation.gpu_busy_share"}, residue: "requests per decode step",
		},
		{
			name:   "profiles alone, the same batch",
			before: compare.Side{Analysis: eight.analyse(t)}, after: compare.Side{Analysis: slow.analyse(t)},
			verdict: compare.Worse, summary: []string{"Worse: "}, judged: []string{"work.decode_tokens_per_s"}, step: stat.Worse, stepBasis: compare.ByTest, absent: "requests per decode step",
		},
		{
			name:    "another model",
			before:  compare.Side{Analysis: eight.analyse(t), Run: underLoad(8, 512, 1, 1000, "/models/llama1b")},
			after:   compare.Side{Analysis: slow.analyse(t), Run: underLoad(8, 512, 9, 500, "/models/llama8b")},
			verdict: compare.NotComparable, summary: []string{"A different model (llama1b and llama8b)", "nothing about the server"}, worse: []string{},
			withheld: []string{"benchmark.tpot_ms", "server.queue_ms", "work.decode_tokens_per_s", "memory.kv_cache_tokens"}, step: stat.Unclear, stepBasis: compare.ByNoFooting,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := compare.Compare(tc.before, tc.after, compare.Options{})
			if c.Verdict != tc.verdict {
				t.Errorf("verdict %s, want %s: %s", c.Verdict, tc.verdict, c.Summary)
			}
			rest := c.Summary
			for i, want := range tc.summary {
				at := strings.Index(rest, want)
				if at < 0 || i == 0 && at > 0 {
					t.Fatalf("summary %q: no %q, or not first", c.Summary, want)
				}
				rest = rest[at:]
			}
			if tc.worse != nil && !slices.Equal(c.Regressions, tc.worse) {
				t.Errorf("worse %v, want %v", c.Regressions, tc.worse)
			}
			of := func(id string) compare.Metric {
				g, n, _ := strings.Cut(id, ".")
				return metric(t, c, compare.Group(g), n)
			}
			for _, id := range tc.judged {
				if m := of(id); m.Basis == compare.ByNoFooting || !m.Supported() {
					t.Errorf("%s is %s by %s: %s", id, m.Verdict, m.Basis, m.Reason)
				}
			}
			for _, id := range tc.withheld {
				if m := of(id); m.Basis != compare.ByNoFooting || m.Supported() || m.Change != nil || m.P != nil || m.Before.N == 0 {
					t.Errorf("%s is %s by %s: %s", id, m.Verdict, m.Basis, m.Reason)
				}
			}
			if tc.step != "" {
				if m := stepMetric(t, c.Compositions[0], "step_ms"); m.Verdict != tc.step || m.Basis != tc.stepBasis {
					t.Errorf("step is %s by %s: %s", m.Verdict, m.Basis, m.Reason)
				}
			}
			has := func(name string) bool {
				return slices.ContainsFunc(c.Residue, func(d compare.Difference) bool { return d.Name == name })
			}
			if tc.residue != "" && !has(tc.residue) || tc.absent != "" && has(tc.absent) {
				t.Errorf("differs: %+v", c.Residue)
			}
			for _, p := range c.Workflow {
				g, n, _ := strings.Cut(p.Metric, ".")
				if m := findAny(c, compare.Group(g), n); m.Basis == compare.ByNoFooting && (p.NotTested == "" || p.Passed || !strings.Contains(p.Text, p.NotTested)) {
					t.Errorf("threshold %+v is not told as not tested", p)
				} else if m.Supported() && p.NotTested != "" {
					t.Errorf("threshold %+v was tested", p)
				}
			}
		})
	}
}

func findAny(c *compare.Comparison, g compare.Group, name string) compare.Metric {
	rows := c.Metrics
	if len(c.Compositions) > 0 {
		rows = append(slices.Clone(rows), c.Compositions[0].Metrics...)
	}
	for _, m := range rows {
		if m.Group == g && m.Name == name {
			return m
		}
	}
	return compare.Metric{}
}

func TestNamesOfOneModel(t *testing.T) {
	side := func(model string, weights float64) compare.Side {
		r := &serving.Run{}
		r.Engine.Model = serving.NewFact(model, serving.Source{})
		if weights > 0 {
			r.Engine.Arch, r.Engine.WeightsGiB = serving.NewFact("LlamaForCausalLM", serving.Source{}), serving.NewFact(weights, serving.Source{})
		}
		return compare.Side{Run: r}
	}
	for _, tc := range []struct {
		before, after   string
		weightB, weight float64
		other           bool
	}{
		{"meta-llama/Llama-3.1-8B", "/data/Llama-3.1-8B/", 0, 0, false},
		{"meta-llama/Llama-3.1-8B", "/c/hub/models--meta-llama--Llama-3.1-8B/snapshots/0e9e39f2", 0, 0, false},
		{"meta-llama/Llama-3.1-8B-Instruct", "neuralmagic/Llama-3.1-8B-Instruct-FP8-dynamic", 0, 0, false},
		{"Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-7B-Instruct-AWQ", 14.2, 5.2, false},
		{"meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-70B", 0, 0, true},
		{"/models/llama1b", "/models/llama8b", 2.3, 14.96, true},
		{"/models/llama8b", "meta-llama/Llama-3.1-8B", 14.96, 14.96, false}, // one shape, whatever its name
		{"/a/model", "/b/model", 0, 0, false},
	} {
		c := compare.Compare(side(tc.before, tc.weightB), side(tc.after, tc.weight), compare.Options{})
		if got := c.Verdict == compare.NotComparable; got != tc.other {
			t.Errorf("%s and %s: %s: %s", tc.before, tc.after, c.Verdict, c.Summary)
		}
	}
}

func TestTitleOfARegression(t *testing.T) {
	slow := decode(40, func(s *server) { s.kernels[2].dur = 3500 * us })
	c := compare.Compare(compare.Side{Analysis: decode(40, nil).analyse(t)}, compare.Side{Analysis: slow.analyse(t)}, compare.Options{})
	if len(c.Regressions) == 0 {
		t.Fatal("no regression")
	}
	for _, id := range c.Regressions {
		if title := c.Title(id); title == id || strings.Contains(title, "_") {
			t.Errorf("%s is called %q", id, title)
		}
	}
	if got := c.Title("step.step_ms (decode of 8 requests)"); got != "step time (decode of 8 requests)" {
		t.Errorf("%q", got)
	}
}

// Two real bursts of other sizes: nothing of the load is judged, and no batch is common.
func TestRealPairsOfOtherLoads(t *testing.T) {
	for _, p := range [][2]string{{"base8b-A", "base8b-E"}, {"base8b-E", "base8b-B"}, {"seqs4-B", "base8b-E"}} {
		b, a := load(t, p[0]), load(t, p[1])
		if c := compare.Compare(b, a, compare.Options{}); c.Verdict != compare.NotComparable || len(c.Regressions) > 0 || !strings.HasPrefix(c.Summary, "The loads differ") {
			t.Errorf("%v: %s, worse %v: %s", p, c.Verdict, c.Regressions, c.Summary)
		}
		alone := func(s compare.Side) compare.Side { return compare.Side{Name: s.Name, Analysis: s.Analysis} }
		if c := compare.Compare(alone(b), alone(a), compare.Options{}); c.Verdict == compare.Worse || c.Verdict == compare.Better || len(c.Regressions) > 0 || !strings.HasPrefix(c.Summary, "The batches differ") {
			t.Errorf("profiles of %v: %s, worse %v: %s", p, c.Verdict, c.Regressions, c.Summary)
		}
	}
}

// Of two benchmark results that do not say their loads, the batch is no reason to withhold anything.
func TestBurstsOfUnknownLoad(t *testing.T) {
	bench := func(rate float64) *serving.Run {
		return &serving.Run{Bench: &serving.Bench{OutputRate: serving.NewFact(rate, serving.Source{})}}
	}
	c := compare.Compare(compare.Side{Analysis: decode(40, nil).analyse(t), Run: bench(800)}, compare.Side{Analysis: decode(40, withRequests("16")).analyse(t), Run: bench(1700)}, compare.Options{})
	if c.Verdict != compare.Better || metric(t, c, compare.Work, "decode_tokens_per_s").Basis == compare.ByNoFooting {
		t.Errorf("%s: %s", c.Verdict, c.Summary)
	}
}

// All requests at once and no limit on the clients: their number is the load.
func TestRequestsAtOnceAreTheLoad(t *testing.T) {
	side := func(requests int64) compare.Side {
		b := burst(32, 8, 10, 200, 0.1, 3)
		b.MaxConcurrency, b.NumPrompts = serving.Fact[int64]{}, serving.NewFact(requests, serving.Source{})
		return compare.Side{Run: &serving.Run{Bench: b}}
	}
	if c := compare.Compare(side(32), side(256), compare.Options{}); c.Verdict != compare.NotComparable {
		t.Errorf("%s: %s", c.Verdict, c.Summary)
	}
	if c := compare.Compare(side(32), side(32), compare.Options{}); c.Verdict == compare.NotComparable {
		t.Errorf("%s: %s", c.Verdict, c.Summary)
	}
}
