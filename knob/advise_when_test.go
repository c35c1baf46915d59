package knob

import (
	"testing"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/serving"
)

// What --async-scheduling refuses, by version, as the versions' own checks have it.
func TestAsyncPossible(t *testing.T) {
	src := serving.Source{}
	for _, c := range []struct {
		version, set, draft string
		pipeline            int64
		want                bool
	}{
		{"0.24.0", "", "", 1, true},
		{"0.24.0", "", "", 2, true},
		{"0.14.0", "", "", 2, false},
		{"0.14.0", "", "", 1, true},
		{"0.24.0", " --distributed-executor-backend ray", "", 1, false},
		{"0.24.0", "", "eagle3", 1, true},
		{"0.24.0", "", "ngram", 1, false},
		{"0.24.0", "", "ngram_gpu", 1, true},
		{"0.16.0", "", "ngram_gpu", 1, false},
		{"0.24.0", "", "draft_model", 1, true},
		{"0.24.0", "", "suffix", 1, false},
	} {
		eng := Engine{VLLM, c.version}
		s, err := ParseCommandFor("vllm serve m"+c.set, eng)
		if err != nil {
			t.Fatal(err)
		}
		a := adviser{Situation: Situation{Engine: eng, Settings: s}, c: &diagnose.Context{}}
		a.c.Engine.PipelineParallel = serving.NewFact(c.pipeline, src)
		if c.draft != "" {
			a.c.Engine.SpecDecode = serving.NewFact(c.draft, src)
		}
		if got := a.asyncPossible(); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// Every condition that is judged must be one that the catalogue states, word by word.
func TestConditionsAreOfTheCatalogue(t *testing.T) {
	stated := map[string]map[string]bool{}
	for _, e := range Entries() {
		for _, a := range e.Answers {
			if stated[e.Name] == nil {
				stated[e.Name] = map[string]bool{}
			}
			stated[e.Name][a.When] = true
		}
	}
	for name, by := range conditions {
		for when := range by {
			if !stated[name][when] {
				t.Errorf("%s: no answer has the condition %q", name, when)
			}
		}
	}
}

func TestPowerOfTwo(t *testing.T) {
	for _, c := range [][2]int64{{0, 1}, {1, 1}, {2, 2}, {3, 4}, {64, 64}, {65, 128}} {
		if got := powerOfTwo(c[0]); got != c[1] {
			t.Errorf("%d: %d, want %d", c[0], got, c[1])
		}
	}
}

func TestGraphChange(t *testing.T) {
	for _, c := range []struct {
		command string
		engine  Engine
		n       int64
		name    string
		to      string
	}{
		{"vllm serve m", Engine{VLLM, "0.24.0"}, 128, "--max-cudagraph-capture-size", "128"},
		{"vllm serve m", Engine{VLLM, "0.11.0"}, 8, "--compilation-config.cudagraph_capture_sizes", "[1,2,4,8]"},
		{"vllm serve m", Engine{VLLM, ""}, 8, "--compilation-config.cudagraph_capture_sizes", "[1,2,4,8]"},
		{`vllm serve m --compilation-config '{"cudagraph_capture_sizes":[1,2,4,64]}'`, Engine{VLLM, "0.24.0"}, 512, "--compilation-config.cudagraph_capture_sizes", "[1,2,4,64,128,256,512]"},
		{"vllm serve m --cudagraph-capture-sizes 1 2 4 100", Engine{VLLM, "0.24.0"}, 128, "--compilation-config.cudagraph_capture_sizes", "[1,2,4,100,128]"},
	} {
		s, err := ParseCommandFor(c.command, c.engine)
		if err != nil {
			t.Fatal(err)
		}
		a := adviser{Situation: Situation{Engine: c.engine, Settings: s}}
		if ch := a.graphChange(c.n); ch.name != c.name || ch.to != c.to {
			t.Errorf("%s on %s for %d: %s %s", c.command, c.engine, c.n, ch.name, ch.to)
		}
	}
}
