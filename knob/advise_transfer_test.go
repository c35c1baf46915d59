package knob_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/internal/captest"
	"github.com/stepscope/stepscope/knob"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/serving"
)

// engineFact changes what the server's log said.
func engineFact(change func(e *serving.EngineInfo)) func(*serving.Run) {
	return func(r *serving.Run) { change(&r.Engine) }
}

func gib(v float64) serving.Fact[float64] {
	return serving.NewFact(v, serving.Source{File: "server.log", Line: 1})
}

// An eighth of the layers lives in host memory though the GPU has room for it. The same server without the two options
// took 6.52 ms a token.
func TestOffloadIsDropped(t *testing.T) {
	r := captest.Diagnose(t, "offload8b-K", captest.Options{})
	f := r.Finding(diagnose.TransferBound)
	a := advice(t, f, "--offload-group-size")
	if f.Advice[0].Flag != a.Flag || a.To != "not set" || a.From != "8" {
		t.Errorf("%v: %+v", captest.Flags(f), a)
	}
	if strings.Contains(a.Command, "offload") || !strings.HasSuffix(a.Command, "--max-num-seqs 16") {
		t.Errorf("%s", a.Command)
	}
	if p := a.Predicted; p == nil || p.Before < 36.3 || p.Before > 36.4 || p.After < 6.3 || p.After > 6.7 || p.Low > 6.52 || p.High < 6.52 || p.High > 8 {
		t.Errorf("%+v", p)
	}
	if !strings.Contains(a.Text, "--offload-group-size, --offload-num-in-group: 1.62 GiB") || !strings.Contains(a.Text, "shrinks from 56.5 to 54.9 GiB") {
		t.Errorf("%s", a.Text)
	}
	for _, flag := range captest.Flags(f) {
		for _, n := range []string{"--offload-backend", "--quantization", "--tensor-parallel-size"} {
			if strings.HasPrefix(flag, n) {
				t.Errorf("%s, though the weights fit and groups are fetched by copies already", flag)
			}
		}
	}
}

// What the advice rests on, changed one by one.
func TestOffloadAdvice(t *testing.T) {
	const server = "vllm serve /models/llama8b --max-model-len 4096 --gpu-memory-utilization 0.9 --max-num-seqs 16 "
	small := func(cache float64) func(*serving.Run) {
		return engineFact(func(e *serving.EngineInfo) { e.KVCacheGiB = gib(cache) })
	}
	unknown := engineFact(func(e *serving.EngineInfo) {
		e.KVCacheGiB, e.WeightsGiB, e.GPUMemoryUtilization = serving.Fact[float64]{}, serving.Fact[float64]{}, serving.Fact[float64]{}
	})
	for _, c := range []struct {
		name  string
		o     captest.Options
		first string
		never []string
		text  string // of the first
		needs string
	}{
		// 4096 tokens of a Llama of 8 billion take half a GiB, and the batch less.
		{"just enough cache is left", captest.Options{Run: small(1.625 + 0.51)}, "--offload-group-size", []string{"--quantization"}, "has room for them", ""},
		{"too little cache would be left", captest.Options{Run: small(1.625 + 0.49)}, "--quantization fp8", []string{"--offload-group-size", "--offload-prefetch-step"}, "drop the offload options with it", ""},
		{"no cache would be left, and half the weights are too many", captest.Options{Run: engineFact(func(e *serving.EngineInfo) { e.KVCacheGiB, e.WeightsGiB = gib(0.3), gib(1) })},
			"--quantization fp8", []string{"--offload-group-size"}, "half of the bytes that cross the bus.", ""},
		{"the room is not known", captest.Options{Run: unknown}, "--offload-group-size", nil, "in every step.", "the weights fit into the GPU's memory"},
		{"by weights and utilisation", captest.Options{Run: engineFact(func(e *serving.EngineInfo) { e.KVCacheGiB = serving.Fact[float64]{} })}, "--offload-group-size", nil, "15.0 GiB of weights of the 71", ""},
		{"both mechanisms", captest.Options{Set: server + "--cpu-offload-gb 4 --offload-backend prefetch --offload-group-size 8 --offload-params mlp --offload-prefetch-step 2"},
			"--offload-group-size", nil, "--offload-prefetch-step", ""},
		{"by bytes", captest.Options{Set: server + "--cpu-offload-gb 4 --cpu-offload-params experts"}, "--cpu-offload-gb", nil, "Drop --cpu-offload-gb, --cpu-offload-params: 1.62 GiB", ""},
		{"bytes by the backend", captest.Options{Set: server + "--cpu-offload-gb 4 --offload-group-size 8 --offload-backend uva"}, "--cpu-offload-gb", nil, "", ""},
		{"neither is set", captest.Options{Set: server}, "", []string{"--offload-group-size", "--cpu-offload-gb", "--offload-backend"}, "", ""},
		{"nothing is known", captest.Options{Without: captest.Everything}, "cpu-offload-gb", []string{"--offload-group-size"}, "Look for --cpu-offload-gb and --offload-group-size", ""},
		{"what is copied are no weights", captest.Options{Edit: func(p *profile.Profile) {
			b := slices.Clone(p.Copies.Bytes)
			for i := range b {
				b[i] = min(b[i], 4<<20-1)
			}
			p.Copies.Bytes = b
		}}, "", []string{"--offload-group-size"}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := captest.Diagnose(t, "offload8b-K", c.o)
			captest.Check(t, c.name, r)
			f := r.Finding(diagnose.TransferBound)
			if f == nil {
				t.Fatal("no finding")
			}
			flags := captest.Flags(f)
			for _, flag := range flags {
				for _, n := range c.never {
					if strings.HasPrefix(flag, n) {
						t.Errorf("%s in %v", flag, flags)
					}
				}
			}
			if c.first == "" {
				return
			}
			if len(flags) == 0 || flags[0] != c.first {
				t.Fatalf("%v, want %s first", flags, c.first)
			}
			a := f.Advice[0]
			if !strings.Contains(a.Text, c.text) || !strings.Contains(a.Requires, c.needs) {
				t.Errorf("%q needs %q", a.Text, a.Requires)
			}
			if a.To == "not set" && strings.Contains(a.Command, "offload") {
				t.Errorf("%s", a.Command)
			}
			if a.To == "not set" && a.Predicted == nil || strings.HasPrefix(c.first, "--quantization") && a.Predicted != nil {
				t.Errorf("%+v", a.Predicted)
			}
		})
	}
}

// Copies further ahead are proposed where the bus has time left, and nowhere else.
func TestFetchAhead(t *testing.T) {
	for divide, want := range map[int64]bool{1: false, 10: true} {
		r := captest.Diagnose(t, "offload8b-K", captest.Options{
			Run: engineFact(func(e *serving.EngineInfo) { e.KVCacheGiB = gib(1) }),
			Edit: func(p *profile.Profile) {
				d := slices.Clone(p.Copies.Dur)
				for i := range d {
					d[i] = max(1, d[i]/divide)
				}
				p.Copies.Dur = d
			},
		})
		f := r.Finding(diagnose.TransferBound)
		if f == nil {
			t.Fatal("no finding")
		}
		if got := slices.Contains(captest.Flags(f), "--offload-prefetch-step 2"); got != want {
			t.Errorf("copies %d times as fast: %v", divide, captest.Flags(f))
		}
		captest.Check(t, "fetch ahead", r)
	}
}

// Options that have no effect, and servers without them, get no advice about weights in host memory.
func TestNoOffloadAdvice(t *testing.T) {
	for _, name := range []string{"prefetch8b-O", "base8b-A", "base8b-F"} {
		for _, f := range captest.Diagnose(t, name, captest.Options{}).Findings {
			for _, flag := range captest.Flags(&f) {
				if strings.Contains(flag, "offload") {
					t.Errorf("%s: %s under %s", name, flag, f.ID)
				}
			}
		}
	}
}

// An option that is removed takes with it what the engine takes only beside it.
func TestWithoutDependents(t *testing.T) {
	s, err := knob.ParseCommandFor("vllm serve m --cpu-offload-gb 4 --offload-group-size 8 --offload-backend prefetch --offload-num-in-group 2 --seed 1", knob.Engine{Name: knob.VLLM})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"--offload-group-size":   "vllm serve m --cpu-offload-gb 4 --seed 1",
		"--cpu-offload-gb":       "vllm serve m --offload-group-size 8 --offload-backend prefetch --offload-num-in-group 2 --seed 1",
		"--offload-num-in-group": "vllm serve m --cpu-offload-gb 4 --offload-group-size 8 --offload-backend prefetch --seed 1",
	} {
		if got := s.Without(name).String(); got != want {
			t.Errorf("without %s: %s", name, got)
		}
	}
}

// Where memory leaks, code that is not the engine's is left out first; nothing else ends a leak.
func TestLeakAdvice(t *testing.T) {
	const server = "vllm serve /models/llama1b --gpu-memory-utilization 0.9 "
	for _, c := range []struct {
		set  string // "" = as recorded
		want []string
	}{
		{"", []string{"--logits-processors"}},
		{server + "--worker-extension-cls my.Extension --logits-processors guard:History", []string{"--logits-processors", "--worker-extension-cls"}},
		{server + "--worker-cls my.Worker", []string{"--worker-cls"}},
		{server + "--worker-cls auto", nil},
		{"VLLM_PLUGINS=mine " + server, []string{"VLLM_PLUGINS"}},
		{server, nil},
	} {
		r := captest.Diagnose(t, "leak1b-J", captest.Options{Set: c.set})
		f := r.Finding(diagnose.MemoryGrowth)
		if f == nil {
			t.Fatal("no finding")
		}
		if got := captest.Flags(f); !slices.Equal(got, c.want) {
			t.Errorf("%q: %v, want %v", c.set, got, c.want)
		}
		for _, a := range f.Advice {
			if a.Predicted != nil || a.Flag != "" && strings.Contains(a.Command, a.Flag) {
				t.Errorf("%+v", a)
			}
		}
		captest.Check(t, "leak "+c.set, r)
	}
	// Growth that is no leak has no such answer.
	r := captest.Diagnose(t, "leak1b-J", captest.Options{Edit: func(p *profile.Profile) {
		m := p.MemEvents
		bytes := slices.Clone(m.Bytes)
		for i := range bytes {
			if m.Start[i] > p.Window.Start+p.Window.Dur()/2 {
				bytes[i] = 0
			}
		}
		m.Bytes = bytes
		p.MemEvents = m
	}})
	if f := r.Finding(diagnose.MemoryGrowth); f == nil || f.Severity > diagnose.Medium || len(f.Advice) > 0 {
		t.Errorf("%+v", f)
	}
}

// Weights that are read in place have the same answer; the server without the option took 6.52 ms a token.
func TestInPlaceIsDropped(t *testing.T) {
	r := captest.Diagnose(t, "uva8b-L", captest.Options{})
	f := r.Finding(diagnose.TransferBound)
	a := advice(t, f, "--cpu-offload-gb")
	if f.Advice[0].Flag != a.Flag || strings.Contains(a.Command, "offload") {
		t.Errorf("%v: %s", captest.Flags(f), a.Command)
	}
	if p := a.Predicted; p == nil || p.Before < 90 || p.After < 6.2 || p.After > 6.7 || p.Low > 6.52 || p.High < 6.52 || p.High > 8 {
		t.Errorf("%+v", p)
	}
	r = captest.Diagnose(t, "uva8b-L", captest.Options{Run: engineFact(func(e *serving.EngineInfo) { e.KVCacheGiB = gib(4) })})
	if flags := captest.Flags(r.Finding(diagnose.TransferBound)); len(flags) == 0 || flags[0] != "--quantization fp8" || slices.Contains(flags, "--cpu-offload-gb") {
		t.Errorf("no room: %v", flags)
	}
	captest.Check(t, "in place, no room", r)
}
