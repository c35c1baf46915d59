package compare_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/compare"
	"github.com/stepscope/stepscope/internal/proftest"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/stat"
	"github.com/stepscope/stepscope/step"
)

const (
	us = 1000
	ms = 1000 * us
)

// server is a made-up engine: every step launches its kernels one after the other.
type server struct {
	steps   int
	marker  string // of every step
	kernels []fakeKernel
	gap     int64 // idle between steps, ns
	jitter  int64 // added to the gap, up to
	seed    uint64
}

type fakeKernel struct {
	name string
	dur  int64
	grid int32
}

var llama = []fakeKernel{
	{"void flash_fwd_splitkv_kernel<Flash_fwd_kernel_traits<128>>(Flash_fwd_params)", 1000 * us, 32},
	{"nvjet_tst_64x8_qkv", 700 * us, 132},
	{"nvjet_tst_128x8_mlp", 2500 * us, 264},
	{"void vllm::rms_norm_kernel<c10::BFloat16>(c10::BFloat16*)", 100 * us, 8},
}

func (s server) analyse(t testing.TB) *step.Analysis {
	rng := rand.New(rand.NewPCG(s.seed, 1))
	b := proftest.NewBuilder(1 << 40)
	at := int64(ms)
	for range s.steps {
		start := at
		calls := make([]uint32, len(s.kernels))
		for i := range s.kernels {
			calls[i] = b.Call("cudaLaunchKernel_v7000", start-900*us+int64(i)*10*us, start-900*us+int64(i)*10*us+5*us)
		}
		b.Range(s.marker, start-950*us, start-100*us)
		for i, k := range s.kernels {
			b.KernelConfig(k.name, at, at+k.dur, calls[i], profile.LaunchConfig{Grid: [3]int32{k.grid, 1, 1}, Block: [3]int32{128, 1, 1}}, 0)
			at += k.dur
		}
		at += s.gap + 1000*us
		if s.jitter > 0 {
			at += rng.Int64N(s.jitter)
		}
	}
	return step.Analyze(b.Build(t), step.Options{})
}

func decode(steps int, change func(*server)) server {
	s := server{steps: steps, marker: "execute_context_0(0)_generation_8(8)", kernels: slices.Clone(llama), jitter: 60 * us, seed: uint64(steps)}
	if change != nil {
		change(&s)
	}
	return s
}

func TestCaptureLengthIsNoDifference(t *testing.T) {
	// The same server, captured for 30 steps and for 90.
	c := compare.Compare(compare.Side{Name: "short", Analysis: decode(30, nil).analyse(t)}, compare.Side{Name: "long", Analysis: decode(90, nil).analyse(t)}, compare.Options{})
	if c.Verdict != compare.Same {
		t.Errorf("verdict %s: %s", c.Verdict, c.Summary)
	}
	if len(c.Regressions)+len(c.Improvements) != 0 {
		t.Errorf("worse %v, better %v", c.Regressions, c.Improvements)
	}
	for _, k := range c.Kernels {
		if k.State != compare.Matched || k.Metric.Verdict != stat.Same {
			t.Errorf("%s: %s %s", k.Name, k.State, k.Metric.Verdict)
		}
	}
}

func TestOneKernelSlower(t *testing.T) {
	slow := decode(40, func(s *server) { s.kernels[2].dur = 3500 * us })
	c := compare.Compare(compare.Side{Analysis: decode(40, nil).analyse(t)}, compare.Side{Analysis: slow.analyse(t)}, compare.Options{})
	if c.Verdict != compare.Worse {
		t.Fatalf("verdict %s: %s", c.Verdict, c.Summary)
	}
	k := c.Kernels[0]
	if k.Name != "nvjet_tst_128x8_mlp" || k.Metric.Verdict != stat.Worse || math.Abs(k.DeltaNs-1000*us) > 1 {
		t.Errorf("first kernel %s %s by %.0f ns", k.Name, k.Metric.Verdict, k.DeltaNs)
	}
	worse := 0
	for _, p := range c.Compositions[0].Parts {
		if p.Verdict == stat.Worse {
			worse++
		}
	}
	if worse != 1 { // whichever GEMM stage it is taken for
		t.Errorf("%d parts of the step got worse: %+v", worse, c.Compositions[0].Parts)
	}
	if m := stepMetric(t, c.Compositions[0], "step_ms"); m.Verdict != stat.Worse || m.Basis != compare.ByTest {
		t.Errorf("step: %s by %s: %s", m.Verdict, m.Basis, m.Reason)
	}
}

func TestKernelStates(t *testing.T) {
	after := decode(40, func(s *server) {
		s.kernels[1].grid = 66                                                                         // reshaped
		s.kernels[0].name = "void flash_fwd_splitkv_kernel<Flash_fwd_kernel_traits<64>>(Flash_params)" // another instance of the template
		s.kernels[3].name = "triton_red_fused_rms_norm_0"                                              // replaced
	})
	c := compare.Compare(compare.Side{Analysis: decode(40, nil).analyse(t)}, compare.Side{Analysis: after.analyse(t)}, compare.Options{})
	got := map[string]compare.KernelState{}
	for _, k := range c.Kernels {
		got[profile.BaseName(k.Name)] = k.State
	}
	want := map[string]compare.KernelState{"nvjet_tst_64x8_qkv": compare.Reshaped, "flash_fwd_splitkv_kernel": compare.Variant, "nvjet_tst_128x8_mlp": compare.Matched,
		"rms_norm_kernel": compare.Removed, "triton_red_fused_rms_norm_0": compare.Added}
	for n, s := range want {
		if got[n] != s {
			t.Errorf("%s is %q, want %q", n, got[n], s)
		}
	}
	for _, k := range c.Kernels {
		if (k.State == compare.Added || k.State == compare.Removed) != (k.Metric == nil) {
			t.Errorf("%s (%s): metric %v", k.Name, k.State, k.Metric)
		}
	}
}

func TestBatchesAreNotMixed(t *testing.T) {
	// Twice the batch at 1.2 times the step: no step is common, decoding gives more tokens per second.
	big := decode(40, func(s *server) {
		s.marker = "execute_context_0(0)_generation_16(16)"
		for i := range s.kernels {
			s.kernels[i].dur = s.kernels[i].dur * 12 / 10
		}
	})
	// The bursts were equal, so the batch is what the server made of them.
	run := &serving.Run{Bench: &serving.Bench{MaxConcurrency: serving.NewFact(int64(16), serving.Source{})}}
	c := compare.Compare(compare.Side{Analysis: decode(40, nil).analyse(t), Run: run}, compare.Side{Analysis: big.analyse(t), Run: run}, compare.Options{})
	if len(c.Compositions) != 0 || len(c.OnlyBefore) != 1 || len(c.OnlyAfter) != 1 {
		t.Fatalf("compositions %d, only %v | %v", len(c.Compositions), c.OnlyBefore, c.OnlyAfter)
	}
	if m := metric(t, c, compare.Work, "decode_tokens_per_s"); m.Verdict != stat.Better {
		t.Errorf("decode tokens per second %s: %s", m.Verdict, m.Reason)
	}
	for _, k := range c.Kernels {
		if k.Metric != nil && (k.Metric.Verdict == stat.Worse || k.Metric.Verdict == stat.Better) {
			t.Errorf("%s of another batch is called %s", k.Name, k.Metric.Verdict)
		}
	}
	if c.Verdict != compare.Better {
		t.Errorf("verdict %s: %s", c.Verdict, c.Summary)
	}
}

func TestWindowOfAnotherMixIsNoDifference(t *testing.T) {
	// One window holds decode only, the other a prefill too: rates over all steps must not speak.
	mixed := decode(40, nil)
	a := mixed.analyse(t)
	b := proftest.NewBuilder(1 << 40)
	at := int64(ms)
	for i := range 40 {
		marker, long := "execute_context_0(0)_generation_8(8)", int64(1)
		if i%4 == 0 {
			marker, long = "execute_context_4(4096)_generation_8(8)", 30
		}
		corr := b.Call("cudaLaunchKernel_v7000", at-900*us, at-890*us)
		b.Range(marker, at-950*us, at-100*us)
		b.Kernel("flash_fwd_kernel", at, at+long*4*ms, corr)
		at += long*4*ms + ms
	}
	p := step.Analyze(b.Build(t), step.Options{})
	c := compare.Compare(compare.Side{Analysis: a}, compare.Side{Analysis: p}, compare.Options{})
	for _, name := range []string{"steps_per_s", "tokens_per_s"} {
		if m := metric(t, c, compare.Work, name); m.Verdict != stat.Unclear || !strings.Contains(m.Reason, "mix") {
			t.Errorf("%s: %s: %s", name, m.Verdict, m.Reason)
		}
	}
}

// training builds a capture without any marker, step kernel or graph: attention and a collective, over and over, on two
// devices, within one and the same window.
func training(t testing.TB, attention, collective, idle int64) *step.Analysis {
	const window = 300 * ms
	b := proftest.NewBuilder(window)
	for d := range int64(2) {
		b.Device = d
		for at := int64(ms); at+attention+collective < window; {
			b.Kernel("flash_fwd_kernel", at, at+attention, b.Call("cudaLaunchKernel_v7000", at-100*us, at-95*us))
			at += attention
			b.Kernel("ncclDevKernel_SendRecv(ncclDevKernelArgsStorage<4096>)", at, at+collective, b.Call("cudaLaunchKernel_v7000", at-100*us, at-95*us))
			at += collective + idle
		}
	}
	return step.Analyze(b.Build(t), step.Options{})
}

func TestWorkPerSecondOfACaptureWithoutSteps(t *testing.T) {
	// Windows of one length, the sum of GPU time falls, and yet the server got slower: fewer repeats a second.
	before, after := training(t, 7600*us, 385*us, 800*us), training(t, 7600*us, 544*us, 1750*us)
	c := compare.Compare(compare.Side{Analysis: before}, compare.Side{Analysis: after}, compare.Options{})
	if b, a := before.Busy[0].Total(), after.Busy[0].Total(); a >= b {
		t.Fatalf("busy %d -> %d: the case is not the one meant", b, a)
	}
	m := metric(t, c, compare.Work, "layer_repeats_per_s")
	if m.Verdict != stat.Worse {
		t.Errorf("repeats per second %.1f -> %.1f is %s: %s", m.Before.Center, m.After.Center, m.Verdict, m.Reason)
	}
	if c.Verdict != compare.Worse {
		t.Errorf("verdict %s: %s", c.Verdict, c.Summary)
	}
	found := false
	for _, k := range c.Kernels {
		found = found || strings.HasPrefix(k.Name, "nccl") && k.Metric != nil && k.Metric.Verdict == stat.Worse
		if strings.HasPrefix(k.Name, "flash") && k.Metric.Verdict != stat.Same {
			t.Errorf("attention per call is %s", k.Metric.Verdict)
		}
	}
	if !found {
		t.Error("the collective got slower per call and nothing says so")
	}
}

// burst is a benchmark result with its requests.
func burst(n int, clients int64, tpot, ttft float64, jitter float64, seed uint64) *serving.Bench {
	rng := rand.New(rand.NewPCG(seed, 9))
	src := serving.Source{File: "bench.json"}
	b := &serving.Bench{Kind: serving.VLLMServe, MaxConcurrency: serving.NewFact(clients, src), RequestRate: serving.NewFact(math.Inf(1), src), Completed: serving.NewFact(int64(n), src), Failed: serving.NewFact(int64(0), src)}
	var tokens int64
	end := 0.0
	for i := range n {
		noise := func() float64 { return 1 + jitter*(rng.Float64()-0.5) }
		f, p := ttft*noise(), tpot*noise()
		e2e := f + 99*p
		start := float64(i) / float64(clients) * (ttft + 99*tpot)
		end = max(end, start+e2e)
		b.TTFT.Samples, b.TPOT.Samples, b.E2E.Samples = append(b.TTFT.Samples, f), append(b.TPOT.Samples, p), append(b.E2E.Samples, e2e)
		for range 99 {
			b.ITL.Samples = append(b.ITL.Samples, p*noise())
		}
		b.Requests = append(b.Requests, serving.Request{StartNS: int64(start * ms), E2ENS: int64(e2e * ms), OutputTokens: 100, PromptTokens: 512})
		tokens += 100
	}
	b.OutputTokens = serving.NewFact(tokens, src)
	b.OutputRate = serving.NewFact(float64(tokens)/(end/1000), src)
	return b
}

func TestBenchWithRequestSamples(t *testing.T) {
	run := func(b *serving.Bench) compare.Side { return compare.Side{Run: &serving.Run{Bench: b}} }
	base := burst(96, 8, 10, 200, 0.1, 1)
	for _, tc := range []struct {
		name    string
		after   *serving.Bench
		overall compare.Overall
		tpot    stat.Verdict
	}{
		{"30 % faster", burst(96, 8, 7, 200, 0.1, 2), compare.Better, stat.Better},
		{"30 % slower", burst(96, 8, 13, 200, 0.1, 2), compare.Worse, stat.Worse},
		{"the same", burst(96, 8, 10.05, 200, 0.1, 2), compare.Same, stat.Same},
		{"another load", burst(96, 32, 13, 200, 0.1, 2), compare.NotComparable, stat.Unclear},
	} {
		c := compare.Compare(run(base), run(tc.after), compare.Options{})
		if m := metric(t, c, compare.Benchmark, "tpot_ms"); m.Verdict != tc.tpot || m.Before.N != 96 {
			t.Errorf("%s: tpot %s of %d: %s", tc.name, m.Verdict, m.Before.N, m.Reason)
		}
		if c.Verdict != tc.overall {
			t.Errorf("%s: %s: %s", tc.name, c.Verdict, c.Summary)
		}
	}
}

func TestSummariesAreUnclearBelowTheFactor(t *testing.T) {
	side := func(tpot, rate float64) compare.Side {
		src := serving.Source{File: "bench.json"}
		b := &serving.Bench{OutputRate: serving.NewFact(rate, src), Completed: serving.NewFact(int64(96), src)}
		b.TPOT.Median = serving.NewFact(tpot, src)
		return compare.Side{Run: &serving.Run{Bench: b}}
	}
	for _, tc := range []struct {
		tpot, rate float64
		want       stat.Verdict
		basis      compare.Basis
	}{
		{7, 1400, stat.Unclear, compare.ByNothing},
		{10, 1000, stat.Unclear, compare.ByNothing},
		{5, 2000, stat.Better, compare.ByThreshold},
		{20, 500, stat.Worse, compare.ByThreshold},
		{10.1, 1000, stat.Unclear, compare.ByNothing},
	} {
		c := compare.Compare(side(10, 1000), side(tc.tpot, tc.rate), compare.Options{})
		if m := metric(t, c, compare.Benchmark, "tpot_ms"); m.Verdict != tc.want || m.Basis != tc.basis || m.Change != nil {
			t.Errorf("%g ms: %s by %s, change %v: %s", tc.tpot, m.Verdict, m.Basis, m.Change, m.Reason)
		}
	}
}

func TestTailStatesItsSample(t *testing.T) {
	run := func(b *serving.Bench) compare.Side { return compare.Side{Run: &serving.Run{Bench: b}} }
	c := compare.Compare(run(burst(20, 8, 10, 200, 0.1, 1)), run(burst(20, 8, 10, 300, 0.1, 2)), compare.Options{})
	m := metric(t, c, compare.Benchmark, "p99_ttft_ms")
	if m.Verdict != stat.Unclear || m.Before.N != 20 || m.Before.Hi != nil || len(m.Warnings) == 0 {
		t.Errorf("p99 of 20 values: %s, hi %v, %v", m.Verdict, m.Before.Hi, m.Warnings)
	}
	if m := metric(t, c, compare.Benchmark, "ttft_ms"); m.Verdict != stat.Worse {
		t.Errorf("median of 20 values 1.5 times as large: %s: %s", m.Verdict, m.Reason)
	}
}

func TestResidueCallsOutTwoKnobs(t *testing.T) {
	side := func(s ...compare.Setting) compare.Side { return compare.Side{Settings: s} }
	b := side(compare.Setting{"--max-num-seqs", "64"}, compare.Setting{"--port", "8000"}, compare.Setting{"--compilation-config", "{}"}, compare.Setting{"--compilation-config.mode", "3"})
	one := side(compare.Setting{"--max-num-seqs", "128"}, compare.Setting{"--port", "8001"}, compare.Setting{"--compilation-config", "{}"}, compare.Setting{"--compilation-config.mode", "3"})
	two := side(compare.Setting{"--max-num-seqs", "128"}, compare.Setting{"--port", "8001"}, compare.Setting{"--compilation-config", "{\"mode\":0}"}, compare.Setting{"--compilation-config.mode", "0"})
	has := func(c *compare.Comparison, id string) bool {
		return slices.ContainsFunc(c.Warnings, func(w stat.Warning) bool { return w.ID == id })
	}
	c := compare.Compare(b, one, compare.Options{})
	if has(c, "several-knobs") || len(c.Residue) != 2 || c.Residue[0].Name != "--max-num-seqs" || !c.Residue[0].Matters || c.Residue[1].Matters {
		t.Errorf("one knob: %+v %v", c.Residue, c.Warnings)
	}
	c = compare.Compare(b, two, compare.Options{})
	if !has(c, "several-knobs") {
		t.Errorf("two knobs: %+v %v", c.Residue, c.Warnings)
	}
	for _, d := range c.Residue {
		if d.Name == "--compilation-config" {
			t.Error("a JSON option is told twice")
		}
	}
	one.Facts = []compare.Fact{{compare.OfHardware, "driver", "580"}}
	b.Facts = []compare.Fact{{compare.OfHardware, "driver", "570"}, {compare.OfHardware, "host CPU", "x"}}
	c = compare.Compare(b, one, compare.Options{})
	if !has(c, "also-differs") || !slices.Contains(c.Unknown, "hardware: host CPU") {
		t.Errorf("driver: %v, unknown %v", c.Warnings, c.Unknown)
	}
}

func TestNoOptionsAreSettings(t *testing.T) {
	none, unknown, some := []compare.Setting{}, []compare.Setting(nil), []compare.Setting{{"--max-num-seqs", "64"}}
	for _, c := range []struct {
		name          string
		before, after []compare.Setting
		warns, not    string
	}{
		{"known on both sides and empty", none, none, "no-options", "settings-not-known"},
		{"known on one side", none, unknown, "settings-not-known", "no-options"},
		{"known on neither", unknown, unknown, "settings-not-known", "no-options"},
		{"one option added", none, some, "", "no-options"},
	} {
		got := compare.Compare(compare.Side{Settings: c.before}, compare.Side{Settings: c.after}, compare.Options{})
		has := func(id string) bool {
			return slices.ContainsFunc(got.Warnings, func(w stat.Warning) bool { return w.ID == id })
		}
		if c.warns != "" && !has(c.warns) || has(c.not) {
			t.Errorf("%s: %v", c.name, got.Warnings)
		}
		if added := len(got.Residue) == 1 && got.Residue[0].Before == "not set"; added != (len(c.after) > 0) {
			t.Errorf("%s: residue %+v", c.name, got.Residue)
		}
	}
}

func TestNothingToCompare(t *testing.T) {
	for _, s := range []compare.Side{{}, {Run: &serving.Run{}}, {Run: &serving.Run{Bench: &serving.Bench{}, Delta: &serving.MetricsDelta{}, Log: &serving.Log{}}}, {Analysis: step.Analyze(&profile.Profile{}, step.Options{})}} {
		for _, o := range []compare.Side{s, {}, {Analysis: decode(3, nil).analyse(t)}} {
			c := compare.Compare(s, o, compare.Options{})
			if c.Verdict != compare.Unclear {
				t.Errorf("verdict %s", c.Verdict)
			}
			if b, err := json.Marshal(c); err != nil || !bytes.Contains(b, []byte(`"schema":"stepscope.comparison/1"`)) {
				t.Errorf("%s, %v", b, err)
			}
		}
	}
}

func TestCountsOfRareEvents(t *testing.T) {
	side := func(p, n float64) compare.Side {
		d := &serving.MetricsDelta{Preemptions: serving.NewFact(p, serving.Source{}), Requests: serving.NewFact(n, serving.Source{})}
		return compare.Side{Run: &serving.Run{Delta: d}}
	}
	for _, tc := range []struct {
		b, nb, a, na float64
		want         stat.Verdict
	}{
		{0, 100, 0, 100, stat.Same}, {0, 100, 1, 100, stat.Unclear}, {0, 100, 40, 100, stat.Worse}, {40, 100, 2, 100, stat.Better}, {40, 100, 80, 200, stat.Unclear},
	} {
		c := compare.Compare(side(tc.b, tc.nb), side(tc.a, tc.na), compare.Options{})
		if m := metric(t, c, compare.Server, "preemptions"); m.Verdict != tc.want {
			t.Errorf("%v: %s: %s", tc, m.Verdict, m.Reason)
		}
	}
}

// A digest stands for the profile that it was made from.
func TestDigestIsEnough(t *testing.T) {
	b, a := decode(30, nil).analyse(t), decode(35, func(s *server) { s.kernels[0].name = "other"; s.gap = 300 * us }).analyse(t)
	whole, err := json.Marshal(compare.Compare(compare.Side{Analysis: b}, compare.Side{Analysis: a}, compare.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	digest, err := json.Marshal(compare.Compare(compare.Side{Digest: compare.NewDigest(b)}, compare.Side{Digest: compare.NewDigest(a)}, compare.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(whole, digest) {
		t.Error("a comparison of digests differs from one of the profiles")
	}
}

func TestSameInputSameBytes(t *testing.T) {
	b, a := decode(30, nil).analyse(t), decode(35, func(s *server) { s.kernels[0].name = "other"; s.gap = 300 * us }).analyse(t)
	var first []byte
	for range 5 {
		out, err := json.Marshal(compare.Compare(compare.Side{Analysis: b}, compare.Side{Analysis: a}, compare.Options{}))
		if err != nil {
			t.Fatal(err)
		}
		if first != nil && !bytes.Equal(first, out) {
			t.Fatal("two comparisons of one pair differ")
		}
		first = out
	}
}

func ExampleCompare() {
	rate := func(v float64) compare.Side {
		b := &serving.Bench{OutputRate: serving.NewFact(v, serving.Source{File: "bench.json"})}
		return compare.Side{Name: fmt.Sprintf("%g", v), Run: &serving.Run{Bench: b}}
	}
	fmt.Println(compare.Compare(rate(1000), rate(2500), compare.Options{}).Summary)
	fmt.Println(compare.Compare(rate(1000), rate(1300), compare.Options{}).Summary)
	// Output:
	// Better: output tokens per second 1000 -> 2500 (x2.50).
	// Not shown either way: output tokens per second.
}
