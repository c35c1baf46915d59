package compare_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stepscope/stepscope/compare"
	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/internal/proftest"
	"github.com/stepscope/stepscope/knob"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/profile/kineto"
	"github.com/stepscope/stepscope/profile/nsys"
	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/stat"
	"github.com/stepscope/stepscope/step"
)

var (
	loadMu sync.Mutex
	loaded = map[string]compare.Side{}
)

// load reads a real capture as a side, once.
func load(t testing.TB, name string) compare.Side {
	t.Helper()
	dir := proftest.SharedCapture(t, name)
	loadMu.Lock()
	defer loadMu.Unlock()
	if s, ok := loaded[name]; ok {
		return s
	}
	var p *profile.Profile
	var err error
	if f := filepath.Join(dir, "profile.sqlite.zst"); exists(f) {
		p, err = nsys.Open(context.Background(), f, nsys.Options{CacheDir: t.TempDir()})
	} else {
		p, err = kineto.Open(context.Background(), filepath.Join(dir, "trace.json.gz"), kineto.Options{})
	}
	if err != nil {
		t.Fatal(err)
	}
	run, err := serving.LoadFolder(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	a := step.Analyze(p, step.Options{})
	s := compare.Side{Name: name, Analysis: a, Run: run, Diagnosis: diagnose.Diagnose(diagnose.NewContext(diagnose.Input{Analysis: a, Run: run}))}
	if set, err := knob.ParseCommand(run.Command.Value); err == nil {
		s.Settings = []compare.Setting{}
		for _, n := range set.Names() {
			v, _ := set.Shown(n)
			s.Settings = append(s.Settings, compare.Setting{Name: n, Value: v})
		}
	}
	loaded[name] = s
	return s
}

func exists(f string) bool { _, err := os.Stat(f); return err == nil }

// metric finds a metric of a comparison.
func metric(t testing.TB, c *compare.Comparison, group compare.Group, name string) compare.Metric {
	t.Helper()
	for _, m := range c.Metrics {
		if m.Group == group && m.Name == name {
			return m
		}
	}
	t.Fatalf("no metric %s.%s", group, name)
	return compare.Metric{}
}

func stepMetric(t testing.TB, c compare.Composition, name string) compare.Metric {
	t.Helper()
	for _, m := range append(append([]compare.Metric{}, c.Metrics...), c.Parts...) {
		if m.Name == name {
			return m
		}
	}
	t.Fatalf("no metric %s of %s", name, c.Label)
	return compare.Metric{}
}

// pairs of real captures with one planted change each.
var pairs = []struct {
	before, after string
	verdict       compare.Overall
	metrics       map[string]stat.Verdict // group.name of the run
	steps         map[string]stat.Verdict // of the composition with the most time
	changed       []string                // settings that matter
	warnings      []string
}{
	{
		// fp8 weights: the GPU's time per step falls by 28 % (oracle: 7.38 -> 5.30 ms), KV cache grows, GEMMs are other kernels.
		before: "base8b-A", after: "fp8-A", verdict: compare.Better,
		metrics: map[string]stat.Verdict{"work.tokens_per_s": stat.Better, "utilisation.gpu_busy_share": stat.Same, "memory.kv_cache_tokens": stat.Better,
			"memory.weights_gib": stat.Better, "benchmark.output_tokens_per_s": stat.Unclear, "benchmark.failed_requests": stat.Same, "server.preemptions": stat.Same},
		steps:   map[string]stat.Verdict{"step_ms": stat.Better, "gpu_busy_ms": stat.Better, "gpu.mlp_ms": stat.Better, "gpu.qkv_ms": stat.Better, "gpu.attention_ms": stat.Same, "gpu.lm-head_ms": stat.Same, "gpu.quant_ms": stat.Worse},
		changed: []string{"--quantization"},
	},
	{
		// Eager off: the same GPU work, a third of the step.
		before: "eager1b-G", after: "base1b-G", verdict: compare.Better,
		metrics: map[string]stat.Verdict{"work.decode_tokens_per_s": stat.Better, "utilisation.gpu_busy_share": stat.Better, "benchmark.output_tokens_per_s": stat.Better, "benchmark.tpot_ms": stat.Better, "benchmark.ttft_ms": stat.Unclear},
		steps:   map[string]stat.Verdict{"step_ms": stat.Better, "gpu_idle_ms": stat.Better, "gpu_busy_ms": stat.Same, "idle.launch_ms": stat.Better, "gpu.lm-head_ms": stat.Same, "launches_per_step": compare.Differs},
		changed: []string{"--compilation-config.cudagraph_capture_sizes", "--enforce-eager"}, warnings: []string{"several-knobs"},
	},
	{
		// A cap of 4 sequences lifted: no batch in common, the queue gone, tails worse.
		before: "seqs4-B", after: "base8b-B", verdict: compare.Better,
		metrics: map[string]stat.Verdict{"benchmark.output_tokens_per_s": stat.Better, "benchmark.ttft_ms": stat.Better, "benchmark.p99_itl_ms": stat.Worse, "server.queue_ms": stat.Better,
			"work.decode_tokens_per_s": stat.Better, "work.tokens_per_s": stat.Unclear, "utilisation.gpu_busy_share": stat.Same},
		changed: []string{"--max-num-seqs"}, warnings: []string{"no-common-batch"},
	},
	{
		// Another card, other trace options, the same server.
		before: "base8b-A", after: "base8b-gpumetrics-A", verdict: compare.Same,
		metrics: map[string]stat.Verdict{"work.tokens_per_s": stat.Same, "work.layer_repeats_per_s": stat.Same, "utilisation.gpu_busy_share": stat.Same, "memory.kv_cache_tokens": stat.Same},
		steps:   map[string]stat.Verdict{"step_ms": stat.Same, "gpu_busy_ms": stat.Same, "gpu.mlp_ms": stat.Same, "gpu.attention_ms": stat.Same, "gpu.qkv_ms": stat.Same, "kernels_per_step": stat.Same},
	},
	{
		// Another profiler, the same server: kernels are matched over the two spellings.
		before: "base8b-A", after: "base8b-kineto-A", verdict: compare.Same,
		metrics: map[string]stat.Verdict{"work.tokens_per_s": stat.Same, "utilisation.gpu_busy_share": stat.Same},
		steps:   map[string]stat.Verdict{"step_ms": stat.Same, "gpu_busy_ms": stat.Same, "gpu.mlp_ms": stat.Same},
	},
	{
		// Whole graphs against their kernels: the step can be compared, its kernels cannot.
		before: "base1b-G", after: "base1b-graphlevel-G", verdict: compare.Unclear,
		metrics: map[string]stat.Verdict{"work.tokens_per_s": stat.Unclear}, steps: map[string]stat.Verdict{"step_ms": stat.Unclear}, warnings: []string{"granularity-differs"},
	},
}

func TestRealPairs(t *testing.T) {
	for _, p := range pairs {
		t.Run(p.before+"_"+p.after, func(t *testing.T) {
			c := compare.Compare(load(t, p.before), load(t, p.after), compare.Options{})
			if c.Verdict != p.verdict {
				t.Errorf("verdict %s, want %s: %s", c.Verdict, p.verdict, c.Summary)
			}
			for name, want := range p.metrics {
				g, n, _ := strings.Cut(name, ".")
				if m := metric(t, c, compare.Group(g), n); m.Verdict != want {
					t.Errorf("%s: %s, want %s: %s", name, m.Verdict, want, m.Reason)
				}
			}
			for name, want := range p.steps {
				if m := stepMetric(t, c.Compositions[0], name); m.Verdict != want {
					t.Errorf("step %s: %s, want %s: %s", name, m.Verdict, want, m.Reason)
				}
			}
			var changed []string
			for _, d := range c.Residue {
				if d.Group == compare.OfSettings && d.Matters {
					changed = append(changed, d.Name)
				}
			}
			if !slices.Equal(changed, p.changed) {
				t.Errorf("changed settings %v, want %v", changed, p.changed)
			}
			for _, id := range p.warnings {
				if !slices.ContainsFunc(c.Warnings, func(w stat.Warning) bool { return w.ID == id }) {
					t.Errorf("no warning %s in %v", id, c.Warnings)
				}
			}
		})
	}
}

// A comparison read backwards says the opposite, with the same tests.
func TestBackwards(t *testing.T) {
	opposite := map[stat.Verdict]stat.Verdict{stat.Better: stat.Worse, stat.Worse: stat.Better}
	for _, p := range pairs[:3] {
		b, a := load(t, p.before), load(t, p.after)
		forth, back := compare.Compare(b, a, compare.Options{}), compare.Compare(a, b, compare.Options{})
		if len(forth.Metrics) != len(back.Metrics) {
			t.Fatalf("%d metrics one way, %d the other", len(forth.Metrics), len(back.Metrics))
		}
		for i, m := range forth.Metrics {
			o := back.Metrics[i]
			if want := opposite[m.Verdict]; want != "" && o.Verdict != want && o.Verdict != stat.Unclear {
				t.Errorf("%s.%s is %s one way and %s the other", m.Group, m.Name, m.Verdict, o.Verdict)
			}
		}
	}
}

// Kernel time per step, counted by the comparison, is the oracle's.
func TestBusyAgreesWithOracle(t *testing.T) {
	c := compare.Compare(load(t, "base8b-A"), load(t, "fp8-A"), compare.Options{})
	m := stepMetric(t, c.Compositions[0], "gpu_busy_ms")
	if !near(m.Before.Center, 7.38, 0.01) || !near(m.After.Center, 5.30, 0.01) {
		t.Errorf("busy %.3f -> %.3f ms a step, the oracle has 7.38 -> 5.30", m.Before.Center, m.After.Center)
	}
	var before, after float64
	for _, k := range c.Kernels {
		if k.Before != nil {
			before += k.Before.NsStep
		}
		if k.After != nil {
			after += k.After.NsStep
		}
	}
	if c.KernelsOmitted != 0 || !near(before/1e6, 7.37, 0.02) || !near(after/1e6, 5.29, 0.02) {
		t.Errorf("kernels sum to %.3f -> %.3f ms a step (%d omitted)", before/1e6, after/1e6, c.KernelsOmitted)
	}
}

func near(x, want, rel float64) bool { return x > want*(1-rel) && x < want*(1+rel) }
