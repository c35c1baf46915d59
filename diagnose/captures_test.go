package diagnose_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/internal/captest"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/step"
)

// except returns names without some.
func except(names []string, without ...string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(without, n) })
}

// Each rule on real captures: where its cause was planted or is the nature of the load, and where it is not. Rules without
// a real capture that shows them (several ranks, experts over several GPUs) are tested on the simulated engine only.
func TestRulesOnCaptures(t *testing.T) {
	for _, c := range []struct {
		rule     string
		shows    []string // an alarm, unless "explained" or "context" follows
		lacks    []string
		severity diagnose.Severity // of the first of shows, at least
	}{
		{diagnose.HostLaunchBound, []string{"eager1b-G", "base1b-H", "base1b-S", "nosync1b-G", "ngram8b-D", "base1b-G", "base1b-graphlevel-G"}, []string{"base8b-F", "base8b-P", "kvsmall-A", "moe30b-A", "base8b-A", "base8b-C", "seqs4-B"}, diagnose.High},
		{diagnose.HostStepGap, []string{"nosync1b-G", "base1b-H", "base1b-G"}, []string{"base8b-F", "base8b-P", "base8b-C", "moe30b-A", "fp8-A"}, diagnose.Medium},
		{diagnose.MemoryBandwidth, []string{"prefetch8b-O", "kvfp8-F", "moe30b-A", "base8b-A", "fp8-A", "base8b-kineto-A", "base8b-gpumetrics-A"}, []string{"base8b-F", "eager1b-G", "base1b-H", "base8b-C", "batched256-E", "base1b-G"}, diagnose.Medium},
		{diagnose.ComputeBound, []string{"base8b-E", "base8b-B", "kvsmall-A"}, []string{"base8b-F", "batched256-E", "base8b-C", "eager1b-G", "base8b-A"}, diagnose.Low},
		{diagnose.AttentionKVBound, []string{"base8b-F"}, []string{"base8b-P", "prefetch8b-O", "moe30b-A", "eager1b-G", "base8b-A"}, diagnose.Medium},
		{diagnose.PrefillInterference, []string{"base8b-P", "base8b-E", "base8b-B"}, []string{"base8b-F", "base8b-C", "eager1b-G", "moe30b-A", "base8b-A", "seqs4-B"}, diagnose.Medium},
		{diagnose.PrefillChunkLimited, []string{"batched256-E"}, []string{"base8b-P", "base8b-E", "kvsmall-A", "base8b-C", "eager1b-G"}, diagnose.High},
		{diagnose.QueueLimited, []string{"seqs4-B"}, []string{"kvsmall-A", "base8b-P", "base8b-C", "eager1b-G", "base8b-A", "base1b-S"}, diagnose.High},
		{diagnose.KVCacheLimited, []string{"kvsmall-A"}, []string{"base8b-F", "kvfp8-F", "base8b-P", "eager1b-G", "seqs4-B"}, diagnose.High},
		{diagnose.Underloaded, []string{"base8b-C", "graphs128_1b-H"}, []string{"base8b-P", "nosync1b-G", "eager1b-G", "base1b-S", "base1b-G"}, diagnose.High},
		{diagnose.SamplingBound, []string{"base1b-S"}, []string{"base1b-H", "base8b-F", "eager1b-G", "nosync1b-G"}, diagnose.Low},
		{diagnose.SyncStall, []string{"guard1b-J", "blocking1b-J", "guard8b-J"}, except(captest.Names(t), "guard1b-J", "blocking1b-J", "guard8b-J"), diagnose.High},
		{diagnose.TransferBound, []string{"offload8b-K", "uva8b-L", "ship1b-J"}, except(captest.Names(t), "offload8b-K", "uva8b-L", "ship1b-J"), diagnose.High},
		{diagnose.CollectiveBound, nil, captest.Names(t), 0},
		{diagnose.MoEImbalance, nil, captest.Names(t), 0},
		{diagnose.MemoryGrowth, []string{"leak1b-J"}, except(captest.Names(t), "leak1b-J"), diagnose.High},
	} {
		t.Run(c.rule, func(t *testing.T) {
			for i, name := range c.shows {
				t.Run(name, func(t *testing.T) {
					f := captest.Diagnose(t, name, captest.Options{}).Finding(c.rule)
					switch {
					case f == nil || f.Severity == diagnose.Info:
						t.Errorf("not found: %+v", f)
					case i == 0 && f.Severity < c.severity:
						t.Errorf("severity %v", f.Severity)
					}
				})
			}
			for _, name := range c.lacks {
				t.Run(name, func(t *testing.T) {
					if f := captest.Diagnose(t, name, captest.Options{}).Finding(c.rule); f != nil && f.Severity > diagnose.Info {
						t.Errorf("%v: %s", f.Severity, f.Summary)
					}
				})
			}
		})
	}
}

func quality(r *captest.Result) []string {
	var out []string
	for _, q := range r.Diagnosis.Profile.Quality {
		if q.Severity != "info" {
			out = append(out, q.ID)
		}
	}
	return out
}

// What a capture cannot show is told, and nothing is concluded from it.
func TestQualityOfCaptures(t *testing.T) {
	for _, c := range []struct {
		capture string
		edit    captest.Options
		notes   []string
	}{
		{"base8b-F", captest.Options{}, nil},
		{"base8b-P", captest.Options{}, nil},
		{"base8b-U", captest.Options{}, []string{"no-gpu-work"}},
		{"coldstart1b-W", captest.Options{}, []string{"no-gpu-work"}},
		{"nosync1b-G", captest.Options{}, []string{"distortion"}},
		{"base1b-graphlevel-G", captest.Options{}, []string{"graph-granularity", "distortion"}},
		{"base8b-E", captest.Options{}, []string{"few-steps"}},
		{"base8b-F", captest.Options{Edit: captest.WithoutRanges}, []string{"steps-inferred"}},
		{"base8b-F", captest.Options{Edit: captest.WithoutCalls}, []string{"launch-coverage"}},
		{"eager1b-G", captest.Options{Run: func(r *serving.Run) { r.Bench = bench(8, 0.8, 1, 0.8) }}, []string{"server-evidence"}},
	} {
		t.Run(c.capture+" "+strings.Join(c.notes, " "), func(t *testing.T) {
			got := quality(captest.Diagnose(t, c.capture, c.edit))
			for _, n := range c.notes {
				if !slices.Contains(got, n) {
					t.Errorf("notes %v lack %s", got, n)
				}
			}
			if len(c.notes) == 0 && len(got) > 0 {
				t.Errorf("a good capture has notes %v", got)
			}
		})
	}
}

// At graph granularity stages inside graphs are unknown: no claim about kernels, and no idle GPU where graphs ran.
func TestGraphGranularity(t *testing.T) {
	r := captest.Diagnose(t, "base1b-graphlevel-G", captest.Options{})
	for _, id := range []string{diagnose.DominantKernel, diagnose.MemoryBandwidth, diagnose.AttentionKVBound, diagnose.SamplingBound} {
		if f := r.Finding(id); f != nil {
			t.Errorf("%s: %s", id, f.Summary)
		}
	}
	node := captest.Diagnose(t, "base1b-G", captest.Options{})
	busy := func(r *captest.Result) float64 {
		return float64(r.Context.Busy(&r.Context.Typical).Median) / 1e6
	}
	if g, n := busy(r), busy(node); g < 0.95*n || g > 1.1*n {
		t.Errorf("GPU busy per step: %.2f ms at graph granularity, %.2f ms with nodes", g, n)
	}
}

// Measured DRAM activity stands beside the model's bandwidth, over the same wall.
func TestMeasuredDRAM(t *testing.T) {
	r := captest.Diagnose(t, "base8b-gpumetrics-A", captest.Options{})
	var read, model float64
	for _, e := range r.Finding(diagnose.MemoryBandwidth).Evidence {
		switch {
		case strings.HasPrefix(e.Text, "DRAM reads measured"):
			read = e.Value
		case strings.HasPrefix(e.Text, "bandwidth that the model's bytes mean"):
			model = e.Value
		}
	}
	if read < 60 || read > 75 || model < read-5 || model > read+5 {
		t.Errorf("measured %.1f %%, model %.1f %% of peak", read, model)
	}
}

// Without annotations and tokens, prefill is still recognised by what its GEMMs take.
func TestComputeBoundWithoutTokens(t *testing.T) {
	for _, name := range []string{"kvsmall-A", "base8b-E", "base8b-B"} {
		t.Run(name, func(t *testing.T) {
			edit := func(p *profile.Profile) { captest.WithoutRanges(p); captest.WithoutKVWrites(p) }
			r := captest.Diagnose(t, name, captest.Options{Edit: edit, Without: captest.Everything})
			f := r.Finding(diagnose.ComputeBound)
			if f == nil || f.Confidence == "high" || strings.Contains(f.Summary, "tokens") {
				t.Fatalf("%+v, abstains because %q", f, r.Why(diagnose.ComputeBound))
			}
			// The kernel that writes the KV cache tells them without annotations.
			f = captest.Diagnose(t, name, captest.Options{Edit: captest.WithoutRanges, Without: captest.Everything}).Finding(diagnose.ComputeBound)
			if f == nil || f.Confidence == "high" || !strings.Contains(f.Summary, "tokens") {
				t.Fatalf("with KV writes: %+v", f)
			}
		})
	}
}

// The queue is not known without the server's word, and then the verdict does not call the server healthy.
func TestUnknownQueue(t *testing.T) {
	r := captest.Diagnose(t, "seqs4-B", captest.Options{Without: captest.Everything})
	if strings.Contains(r.Verdict, "not a fault") || !strings.Contains(r.Verdict, "not recorded") {
		t.Error(r.Verdict)
	}
	for _, w := range []captest.Evidence{captest.Bench, captest.Metrics, captest.Log, captest.Bench | captest.Metrics, captest.Metrics | captest.Log, captest.Bench | captest.Log} {
		if got := captest.Diagnose(t, "seqs4-B", captest.Options{Without: w}).First(); got != diagnose.QueueLimited {
			t.Errorf("without %b: first %s", w, got)
		}
	}
}

// An open loop's ceiling of concurrency is no queue.
func TestOpenLoop(t *testing.T) {
	r := captest.Diagnose(t, "base8b-C", captest.Options{Without: captest.Metrics | captest.Log})
	f := r.Finding(diagnose.Underloaded)
	if f == nil || strings.Contains(f.Summary, "wait on average") || strings.Contains(f.Summary, "in flight") || r.Finding(diagnose.QueueLimited) != nil {
		t.Errorf("%+v", f)
	}
}

func item(r *captest.Result, name string) diagnose.CheckItem {
	for _, i := range r.Diagnosis.Checklist {
		if i.Item == name {
			return i
		}
	}
	return diagnose.CheckItem{}
}

// The checklist says what was checked, and nothing was where there is nothing to check.
func TestChecklist(t *testing.T) {
	for _, name := range []string{"base8b-U", "coldstart1b-W"} {
		for _, i := range captest.Diagnose(t, name, captest.Options{}).Diagnosis.Checklist {
			if i.State == "done" && i.Item != "Serve lifecycle" {
				t.Errorf("%s: %s is done in a capture without steps: %s", name, i.Item, i.Text)
			}
		}
	}
	for _, c := range []struct{ capture, item, state, text string }{
		{"kvsmall-A", "Memory bandwidth (weights)", "done", "explained by kv-cache-limited"},
		{"kvsmall-A", "Queueing", "found", "KV cache is full"},
		{"batched256-E", "Launches inside steps", "done", "explained by prefill-chunk-limited"},
		{"batched256-E", "Memory bandwidth (KV cache)", "not recorded", "fewer than three steady decode steps: a longer window"},
		{"batched256-E", "Queueing", "done", "requests wait on average"},
		{"base8b-F", "Dominant kernel", "done", "explained by attention-kv-bound"},
		{"base8b-P", "Queueing", "done", "no request waits"},
		{"base1b-graphlevel-G", "Dominant kernel", "not recorded", "--cuda-graph-trace=node"},
	} {
		t.Run(c.capture+" "+c.item, func(t *testing.T) {
			if i := item(captest.Diagnose(t, c.capture, captest.Options{}), c.item); i.State != c.state || !strings.Contains(i.Text, c.text) {
				t.Errorf("%+v", i)
			}
		})
	}
	r := captest.Diagnose(t, "base8b-F", captest.Options{Edit: captest.WithoutCalls, Without: captest.Everything})
	if i := item(r, "Launches inside steps"); i.State != "not recorded" || !strings.Contains(i.Text, "nsys profile -t cuda") {
		t.Errorf("without API calls: %+v", i)
	}
	if i := item(r, "Queueing"); i.State != "not recorded" || !strings.Contains(i.Text, "--metrics-before") {
		t.Errorf("without evidence of the server: %+v", i)
	}
}

// The log of a server with a small cache does not make another server's cache full.
func TestLogOfAnotherServer(t *testing.T) {
	_, other := captest.Load(t, "kvsmall-A")
	r := captest.Diagnose(t, "base8b-F", captest.Options{Run: func(r *serving.Run) { r.Log, r.Engine, r.Command = other.Log, other.Engine, other.Command }})
	if r.Context.Foreign() == "" || r.Finding(diagnose.KVCacheLimited) != nil || r.First() != diagnose.AttentionKVBound {
		t.Errorf("%q, first %s", r.Context.Foreign(), r.First())
	}
	if !slices.Contains(quality(r), "server-evidence") {
		t.Errorf("notes %v", quality(r))
	}
}

// Where long and short requests are mixed, the mean request says nothing about those that decode: attention is too fast to have
// read such contexts, so the KV cache is left out of the bandwidth.
func TestMeanRequestOfAMixedLoad(t *testing.T) {
	r := captest.Diagnose(t, "base8b-P", captest.Options{})
	f := r.Finding(diagnose.MemoryBandwidth)
	if f == nil || !strings.Contains(f.Summary, "at least") || r.Limits.MBU == nil || *r.Limits.MBU > 0.7 {
		t.Errorf("%+v", f)
	}
	if f := captest.Diagnose(t, "base8b-F", captest.Options{}).Finding(diagnose.MemoryBandwidth); strings.Contains(f.Summary, "at least") {
		t.Errorf("equal requests: %s", f.Summary)
	}
}

// TestPrefillOfTheWholeRun: a window that falls into a burst of prefills does not make them the server's work; where the
// run spends as much on them as the window, nothing is taken off.
func TestPrefillOfTheWholeRun(t *testing.T) {
	for _, c := range []struct {
		name         string
		window, run  string
		low, high    float64 // of the share
		withoutBench string
	}{
		{"kvsmall-A", "take 23.6 % of the time in this window", "about 12.2 % over the whole benchmark", 0.03, 0.05, "take 23.6 % of the time."},
		{"base8b-B", "take 59.5 % of the time in this window", "about 36.0 % over the whole benchmark", 0.11, 0.15, "take 59.5 % of the time."},
		{"base8b-E", "take 90.5 % of the time.", "", 0.28, 0.32, "take 90.5 % of the time."},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := captest.Diagnose(t, c.name, captest.Options{}).Finding(diagnose.ComputeBound)
			if f == nil || !strings.Contains(f.Summary, c.window) || !strings.Contains(f.Summary, c.run) || f.Share < c.low || f.Share > c.high {
				t.Errorf("%+v", f)
			}
			f = captest.Diagnose(t, c.name, captest.Options{Without: captest.Bench}).Finding(diagnose.ComputeBound)
			if f == nil || !strings.Contains(f.Summary, c.withoutBench) {
				t.Errorf("without a benchmark: %+v", f)
			}
		})
	}
}

// TestChunksOfSeveralTokens: the gap between chunks is no measure of a step when a chunk holds several tokens.
func TestChunksOfSeveralTokens(t *testing.T) {
	for name, merged := range map[string]bool{"graphs128_1b-H": true, "eager1b-G": false, "base1b-H": false, "base8b-A": false} {
		r := captest.Diagnose(t, name, captest.Options{})
		note := ""
		for _, q := range r.Diagnosis.Profile.Quality {
			if q.ID == "distortion" {
				note = q.Text
			}
		}
		if (r.Context.Distortion == 0) != merged || strings.Contains(note, "several tokens") != merged {
			t.Errorf("%s: distortion %.2f, %q", name, r.Context.Distortion, note)
		}
	}
}

// TestTokensWithoutMarkers: the launch shape of the kernel that writes the KV cache gives the tokens that the markers tell,
// and where the step runs CUDA graphs the captured size that they are padded to.
func TestTokensWithoutMarkers(t *testing.T) {
	for name, exact := range map[string]bool{"kvsmall-A": true, "base8b-E": true, "base8b-B": true, "batched256-E": true, "ngram8b-D": true, "moe30b-A": false, "base8b-P": true} {
		t.Run(name, func(t *testing.T) {
			marked := captest.Diagnose(t, name, captest.Options{}).Analysis
			a := captest.Diagnose(t, name, captest.Options{Edit: captest.WithoutRanges}).Analysis
			if len(a.Primary) != len(marked.Primary) {
				t.Fatalf("%d steps, %d with markers", len(a.Primary), len(marked.Primary))
			}
			found := 0
			for k, i := range a.Primary {
				s, want := &a.Steps[i], marked.Steps[marked.Primary[k]].Batch.Tokens()
				switch n := s.Tokens(); {
				case n >= 0 && n != want:
					t.Errorf("step %d: %d tokens, the marker says %d", k, n, want)
				case s.Padded && (s.Written < want || s.Written > 2*want):
					t.Errorf("step %d: captured size %d for %d tokens", k, s.Written, want)
				case n >= 0 && s.Batch.Tokens() < 0:
					found++
				}
			}
			if (found > 0) != exact {
				t.Errorf("%d steps' tokens are known by the KV writes alone", found)
			}
		})
	}
}

// TestRulesWithoutMarkers: tokens by the KV writes are enough to tell weights that are read and a small token budget.
func TestRulesWithoutMarkers(t *testing.T) {
	for _, c := range []struct {
		name, first, confidence, text string
		edit                          func(*profile.Profile)
	}{
		{"moe30b-A", diagnose.MemoryBandwidth, "medium", "A decode step of 32 tokens is bound by reading weights", captest.WithoutRanges},
		{"batched256-E", diagnose.PrefillChunkLimited, "high", "The token budget of 256", captest.WithoutRanges},
		{"moe30b-A", diagnose.DominantKernel, "high", "", func(p *profile.Profile) { captest.WithoutRanges(p); captest.WithoutKVWrites(p) }},
	} {
		r := captest.Diagnose(t, c.name, captest.Options{Edit: c.edit})
		f := r.Finding(c.first)
		if r.First() != c.first || f == nil || f.Confidence != c.confidence || !strings.Contains(f.Summary, c.text) {
			t.Errorf("%s: first %s, %+v", c.name, r.First(), f)
		}
	}
}

// TestFewStepsAreAGuess: a window of a handful of steps names what it shows, and with low confidence.
func TestFewStepsAreAGuess(t *testing.T) {
	for _, c := range []struct {
		name, id string
		from     float64
	}{
		{"base8b-E", diagnose.ComputeBound, 0.55}, {"base8b-A", diagnose.MemoryBandwidth, 0.95}, {"eager1b-G", diagnose.HostLaunchBound, 0.9}, {"base8b-F", diagnose.AttentionKVBound, 0.96},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, _ := captest.Load(t, c.name)
			r := captest.Diagnose(t, c.name, captest.Options{Window: captest.Part(p, c.from, 1)})
			if n := r.Steps.Count; n < 2 || n > 5 {
				t.Fatalf("%d steps in the window", n)
			}
			if f := r.Finding(c.id); f != nil && f.Confidence != "low" {
				t.Errorf("confidence %s with %d steps", f.Confidence, r.Steps.Count)
			}
			if f := captest.Diagnose(t, c.name, captest.Options{}).Finding(c.id); f == nil || f.Confidence == "low" {
				t.Errorf("whole capture: %+v", f)
			}
		})
	}
}

// TestMarkersWithoutTokens: the markers of vLLM 0.12 and 0.13 count requests only, and a chunk of a prompt is "cached" like
// decoding. The tokens written to the KV cache tell the two apart.
func TestMarkersWithoutTokens(t *testing.T) {
	for _, c := range []struct {
		name, first string
		later       func(int) bool
	}{
		{"batched256-E", diagnose.PrefillChunkLimited, func(k int) bool { return k%12 != 0 }}, // one new request in a prompt of 12 chunks
		{"base8b-E", diagnose.ComputeBound, func(int) bool { return false }},
		{"base8b-A", diagnose.MemoryBandwidth, func(int) bool { return false }},
		{"base8b-F", diagnose.AttentionKVBound, func(int) bool { return false }},
		{"moe30b-A", diagnose.MemoryBandwidth, func(int) bool { return false }},
		{"kvsmall-A", diagnose.KVCacheLimited, func(int) bool { return true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := captest.Diagnose(t, c.name, captest.Options{})
			edit := func(p *profile.Profile) { captest.OldMarkers(p, c.later) }
			r := captest.Diagnose(t, c.name, captest.Options{Edit: edit, Without: captest.Log})
			if r.First() != c.first {
				t.Errorf("first %s, want %s", r.First(), c.first)
			}
			if len(r.Analysis.Primary) != len(want.Analysis.Primary) {
				t.Fatalf("%d steps, want %d", len(r.Analysis.Primary), len(want.Analysis.Primary))
			}
			for k, i := range r.Analysis.Primary {
				s, w := &r.Analysis.Steps[i], &want.Analysis.Steps[want.Analysis.Primary[k]]
				prefill := w.Phase == step.Prefill || w.Phase == step.Mixed
				if (s.Phase == step.Prefill || s.Phase == step.Mixed) != prefill {
					t.Errorf("step %d is %v, it was %v of %+v", k, s.Phase, w.Phase, w.Batch)
				}
				if n := s.Tokens(); n >= 0 && n != w.Batch.Tokens() {
					t.Errorf("step %d: %d tokens, it had %d", k, n, w.Batch.Tokens())
				}
			}
			for _, f := range r.Findings {
				for _, e := range f.Evidence {
					if e.Value < 0 {
						t.Errorf("%s: %s is %g", f.ID, e.Text, e.Value)
					}
				}
			}
		})
	}
	// Without the kernel nothing tells the tokens: none are shown, and a guess is called one.
	edit := func(p *profile.Profile) {
		captest.OldMarkers(p, func(int) bool { return false })
		captest.WithoutKVWrites(p)
	}
	f := captest.Diagnose(t, "base8b-A", captest.Options{Edit: edit, Without: captest.Log}).Finding(diagnose.MemoryBandwidth)
	if f == nil || f.Confidence != "low" {
		t.Fatalf("%+v", f)
	}
	for _, e := range f.Evidence {
		if e.Text == "tokens per step" || e.Value < 0 {
			t.Errorf("%s: %g", e.Text, e.Value)
		}
	}
}

// TestWholeGraphs: where graphs hide the kernels, the bytes of whole steps still tell reading weights, and without the
// model's shape the verdict says what is missing and not that nothing is wrong.
func TestWholeGraphs(t *testing.T) {
	for _, c := range []struct {
		name    string
		without captest.Evidence
		found   bool
		verdict string
	}{
		{"base8b-A", 0, true, "is bound by reading weights from memory, at 6"},
		{"base8b-A", captest.Everything, false, "what it does inside CUDA graphs is not recorded: capture again with nsys profile --cuda-graph-trace=node"},
		{"base8b-F", 0, false, "what it does inside CUDA graphs is not recorded"}, // the KV cache is most of what it reads
		{"seqs4-B", 0, true, "Requests queue"},
		{"base1b-S", 0, false, "waits for launches"},
	} {
		r := captest.Diagnose(t, c.name, captest.Options{Edit: captest.WholeGraphs, Without: c.without})
		f := r.Finding(diagnose.MemoryBandwidth)
		if (f != nil) != c.found || f != nil && (f.Confidence == "high" || f.Share > 0.3) || !strings.Contains(r.Verdict, c.verdict) {
			t.Errorf("%s without %b: %+v, verdict %q", c.name, c.without, f, r.Verdict)
		}
		if f == nil && r.Why(diagnose.MemoryBandwidth) == "" {
			t.Errorf("%s: neither a finding nor a reason", c.name)
		}
	}
}
