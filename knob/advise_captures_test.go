package knob_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/internal/captest"
	"github.com/stepscope/stepscope/knob"
	"github.com/stepscope/stepscope/serving"
)

// The first advice of the first finding is the change that removes the planted cause.
func TestFirstAdvice(t *testing.T) {
	for _, c := range []struct {
		capture, finding, flag string
		without                captest.Evidence
	}{
		{"eager1b-G", diagnose.HostLaunchBound, "--enforce-eager", 0},
		{"eager1b-G", diagnose.HostLaunchBound, "--enforce-eager", captest.Everything},
		{"kvsmall-A", diagnose.KVCacheLimited, "--num-gpu-blocks-override", 0},
		{"kvsmall-A", diagnose.KVCacheLimited, "--num-gpu-blocks-override", captest.Log}, // the metrics say it
		{"batched256-E", diagnose.PrefillChunkLimited, "--max-num-batched-tokens 8192", 0},
		{"batched256-E", diagnose.PrefillChunkLimited, "--max-num-batched-tokens 2048", captest.Everything},
		{"base1b-H", diagnose.HostLaunchBound, "--compilation-config.cudagraph_capture_sizes [1,2,4,8,16,32,48,64,128]", 0},
		{"base1b-H", diagnose.HostLaunchBound, "--compilation-config.cudagraph_capture_sizes [1,2,4,8,16,32,64,128]", captest.Everything},
		{"base8b-F", diagnose.AttentionKVBound, "--kv-cache-dtype fp8", 0},
		{"base8b-P", diagnose.PrefillInterference, "--max-num-batched-tokens 2048", 0},
		{"moe30b-A", diagnose.MemoryBandwidth, "--quantization fp8", 0},
		{"base8b-C", diagnose.Underloaded, "client concurrency", 0},
		{"seqs4-B", diagnose.QueueLimited, "--max-num-seqs 64", 0},
		{"base8b-A", diagnose.MemoryBandwidth, "--quantization fp8", 0},
		{"base8b-E", diagnose.ComputeBound, "--quantization fp8", 0},
		{"fp8-A", diagnose.MemoryBandwidth, "client concurrency", 0},
		{"base1b-G", diagnose.HostLaunchBound, "client concurrency", 0},
	} {
		t.Run(fmt.Sprintf("%s %b", c.capture, c.without), func(t *testing.T) {
			r := captest.Diagnose(t, c.capture, captest.Options{Without: c.without})
			if r.First() != c.finding && c.without == 0 {
				t.Errorf("first finding %s", r.First())
			}
			if got := captest.Flags(r.Finding(c.finding)); len(got) == 0 || got[0] != c.flag {
				t.Errorf("advice %v, want %s first", got, c.flag)
			}
		})
	}
}

// Advice that a capture must not get.
func TestNeverAdvised(t *testing.T) {
	for _, c := range []struct {
		capture string
		without captest.Evidence
		never   []string
		why     string
	}{
		{"base1b-G", 0, []string{"--enforce-eager"}, "it uses CUDA graphs"},
		{"base1b-G", captest.Everything, []string{"--enforce-eager"}, "it uses CUDA graphs"},
		{"base1b-H", captest.Log, []string{"--enforce-eager"}, "graphs were captured, only not for this batch"},
		{"base1b-H", 0, []string{"--speculative-config", "client concurrency"}, "a batch of 128 that has no graph"},
		{"kvsmall-A", 0, []string{"--kv-cache-dtype", "--gpu-memory-utilization"}, "the number of blocks is fixed"},
		{"kvsmall-A", captest.Log, []string{"--kv-cache-dtype", "--gpu-memory-utilization"}, "the number of blocks is fixed"},
		{"ngram8b-D", 0, []string{"--async-scheduling", "VLLM_USE_V2_MODEL_RUNNER", "--speculative-config"}, "n-gram drafting excludes them"},
		{"ngram8b-D", captest.Log, []string{"--speculative-config"}, "the markers show several tokens per request"},
		{"graphs128_1b-H", 0, []string{"--max-num-seqs", "--speculative-config"}, "the requests do not reach the engine"},
		{"seqs4-B", 0, []string{"--performance-mode"}, "the cap was set, which wins over the mode"},
		{"kvfp8-F", 0, []string{"--kv-cache-dtype"}, "it is 8-bit already"},
		{"fp8-A", 0, []string{"--quantization"}, "they are 8-bit already"},
		{"base8b-P", captest.Log, []string{"--enable-chunked-prefill"}, "mixed steps are chunked prefill"},
		{"eager1b-G", captest.Everything, []string{"--distributed-executor-backend", "--numa-bind"}, "one process on one GPU"},
	} {
		t.Run(fmt.Sprintf("%s %b", c.capture, c.without), func(t *testing.T) {
			for _, f := range captest.Diagnose(t, c.capture, captest.Options{Without: c.without}).Findings {
				for _, flag := range captest.Flags(&f) {
					for _, n := range c.never {
						if strings.HasPrefix(flag, n) {
							t.Errorf("%s under %s, but %s", flag, f.ID, c.why)
						}
					}
				}
			}
		})
	}
}

func advice(t *testing.T, f *diagnose.Finding, prefix string) diagnose.Advice {
	t.Helper()
	if f != nil {
		for _, a := range f.Advice {
			if strings.HasPrefix(a.Flag, prefix) && a.Flag != "" || a.Knob == prefix {
				return a
			}
		}
	}
	t.Fatalf("no advice %s in %v", prefix, captest.Flags(f))
	return diagnose.Advice{}
}

// More requests than the largest CUDA graph holds would be launched kernel by kernel: 64 clients of a 1B model made 10.9 k
// tokens/s, 128 made 5.5 k until graphs of that size were captured.
func TestMoreRequestsKeepTheirGraph(t *testing.T) {
	r := captest.Diagnose(t, "base1b-S", captest.Options{})
	a := advice(t, r.Finding(diagnose.HostLaunchBound), "client concurrency")
	if a.To != "128" || !strings.Contains(a.Requires, "CUDA graphs for batches of 128 (--compilation-config.cudagraph_capture_sizes [1,2,4,8,16,32,48,64,128])") {
		t.Errorf("to %s, needs %q", a.To, a.Requires)
	}
	r = captest.Diagnose(t, "nosync1b-G", captest.Options{})
	if a := advice(t, r.Finding(diagnose.HostLaunchBound), "client concurrency"); strings.Contains(a.Requires, "CUDA graphs") {
		t.Errorf("16 requests have a graph: %q", a.Requires)
	}
}

// Asynchronous scheduling hides host time and does not shorten it; a host-bound server's own variation is in the range.
func TestAsyncSchedulingIsHonest(t *testing.T) {
	p := advice(t, captest.Diagnose(t, "nosync1b-G", captest.Options{}).Finding(diagnose.HostStepGap), "--async-scheduling").Predicted
	if p == nil || p.High <= p.Before || !strings.Contains(p.Assumption, "between runs") {
		t.Errorf("%+v", p)
	}
}

// Requests that do not arrive yield no tokens: an open loop's rate bounds the predicted one.
func TestArrivalsBoundTheRate(t *testing.T) {
	closed := captest.Diagnose(t, "kvsmall-A", captest.Options{})
	open := captest.Diagnose(t, "kvsmall-A", captest.Options{Run: func(r *serving.Run) {
		b := *r.Bench
		b.RequestRate = serving.NewFact(12.0, b.Source)
		r.Bench = &b
	}})
	rate := func(r *captest.Result) float64 {
		return advice(t, r.Finding(diagnose.KVCacheLimited), "--num-gpu-blocks-override").Predicted.After
	}
	if c, o := rate(closed), rate(open); c < 2500 || o > 12*128+1 {
		t.Errorf("closed loop %.0f, twelve requests of 128 tokens a second %.0f", c, o)
	}
}

// Settings of another server are not undone, and its version does not choose the options.
func TestForeignSettings(t *testing.T) {
	_, other := captest.Load(t, "kvsmall-A")
	r := captest.Diagnose(t, "base1b-H", captest.Options{Run: func(r *serving.Run) {
		r.Log, r.Engine, r.Command = other.Log, other.Engine, other.Command
		r.Engine.MaxNumSeqs = serving.NewFact(int64(16), serving.Source{File: "server.log", Line: 1})
	}})
	if r.Context.Foreign() == "" {
		t.Fatal("a cap of 16 and a batch of 128 go unnoticed")
	}
	for _, f := range r.Findings {
		for _, a := range f.Advice {
			if strings.Contains(a.Command, "--num-gpu-blocks-override") || strings.Contains(a.Flag, "--num-gpu-blocks-override") {
				t.Errorf("%s: %s", a.Flag, a.Command)
			}
		}
	}
	captest.Check(t, "foreign", r)

	// The version that the user names still holds, if it is of the engine that the step markers name.
	for given, want := range map[knob.Engine]string{
		{}:                                    "--compilation-config.cudagraph_capture_sizes [1,2,4,8,16,32,64,128]",
		{Name: knob.VLLM, Version: "0.24.0"}:  "--max-cudagraph-capture-size 128",
		{Name: knob.SGLang, Version: "0.5.2"}: "--compilation-config.cudagraph_capture_sizes [1,2,4,8,16,32,64,128]",
	} {
		sit := r.Situation
		sit.Given = given
		for i := range r.Findings {
			r.Findings[i].Advice = nil
		}
		knob.Advise(r.Diagnosis, r.Context, sit)
		if got := captest.Flags(r.Finding(diagnose.HostLaunchBound)); len(got) == 0 || got[0] != want {
			t.Errorf("--engine %s: advice %v, want %s first", given, got, want)
		}
	}
}

// Steps with prefill that have no graph are named, and the sizes between are captured too.
func TestGraphsForPrefill(t *testing.T) {
	f := captest.Diagnose(t, "prefetch8b-O", captest.Options{}).Finding(diagnose.HostLaunchBound)
	a := advice(t, f, "--compilation-config.cudagraph_capture_sizes")
	if !strings.Contains(f.Summary, "in steps with prefill") || !strings.HasSuffix(a.To, "64,128,256,512]") {
		t.Errorf("%s: to %s", f.Summary, a.To)
	}
}

// At most three changes per finding, one of them first; the same change is told once.
func TestOneKnobFirst(t *testing.T) {
	for _, name := range captest.Names(t) {
		r := captest.Diagnose(t, name, captest.Options{})
		var all []string
		for _, f := range r.Findings {
			if len(f.Advice) > 3 {
				t.Errorf("%s: %s has %d", name, f.ID, len(f.Advice))
			}
			for _, a := range f.Advice {
				key := a.Knob + " " + a.Flag + " " + a.Text
				if slices.Contains(all, key) {
					t.Errorf("%s: %s twice", name, key)
				}
				all = append(all, key)
			}
		}
	}
}

// More room in the cache is advised only where requests wait for it, whatever preemptions are counted.
func TestLargerCacheGains(t *testing.T) {
	for _, c := range []struct {
		name    string
		waiting float64 // requests on average
		clients int64
		advised bool
	}{
		{"nobody waits", 0, 32, false},
		{"others wait", 40, 64, true},
	} {
		r := captest.Diagnose(t, "base8b-A", captest.Options{Run: func(r *serving.Run) {
			l, d, b := *r.Log, *r.Delta, *r.Bench
			l.Stats = nil // the lines that show a nearly empty cache
			d.Preemptions = serving.NewFact(d.Requests.Value/2, serving.Source{File: "metrics_after.txt"})
			d.Queue.Sum = c.waiting * b.DurationS.Value
			b.MaxConcurrency.Value = c.clients
			r.Log, r.Delta, r.Bench = &l, &d, &b
		}})
		f := r.Finding(diagnose.KVCacheLimited)
		if f == nil || f.Severity < diagnose.Medium {
			t.Fatalf("%s: %+v", c.name, f)
		}
		flags := captest.Flags(f)
		if got := slices.Contains(flags, "--gpu-memory-utilization 0.95"); got != c.advised {
			t.Errorf("%s: advice %v", c.name, flags)
		}
		for _, a := range f.Advice {
			if p := a.Predicted; p != nil && p.After <= p.Before {
				t.Errorf("%s: %s gains nothing: %v -> %v", c.name, a.Flag, p.Before, p.After)
			}
		}
	}
}
