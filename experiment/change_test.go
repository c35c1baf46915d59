package experiment

import (
	"errors"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/knob"
)

func TestParseChange(t *testing.T) {
	eng := knob.Engine{Name: knob.VLLM, Version: "0.24.0"}
	for _, tc := range []struct {
		text, name, value string
		drop              bool
	}{
		{"quantization=fp8", "--quantization", "fp8", false},
		{"--max-num-seqs=64", "--max-num-seqs", "64", false},
		{"max_num_batched_tokens=8192", "--max-num-batched-tokens", "8192", false},
		{"enforce-eager=false", "--enforce-eager", "", true},
		{"enforce-eager", "--enforce-eager", "true", false},
		{"async-scheduling=false", "--async-scheduling", "false", false},
		{"no-enable-prefix-caching", "--enable-prefix-caching", "false", false},
		{"kv-cache-dtype=fp8", "--kv-cache-dtype", "fp8", false},
		{"max-num-seqs=default", "--max-num-seqs", "", true},
		{"compilation-config.cudagraph_mode=FULL", "--compilation-config.cudagraph_mode", "FULL", false},
		{"VLLM_USE_FLASHINFER_SAMPLER=1", "VLLM_USE_FLASHINFER_SAMPLER", "1", false},
	} {
		c, err := ParseChange(tc.text, eng, false)
		if err != nil || c.Name != tc.name || c.Value != tc.value || c.Drop != tc.drop {
			t.Errorf("%s: %+v, %v", tc.text, c, err)
		}
	}
	for text, hint := range map[string]string{
		"":                            "KNOB=VALUE",
		"max-num-seqs":                "needs a value",
		"max-num-seqs=":               "=default",
		"max-num-sequences=64":        "--max-num-seqs",
		"no-such-thing-at-all=1":      "stepscope knobs",
		"VLLM_ATTENTION_BACKEND=FOO":  "--attention-backend",
		"enforce-eager=perhaps":       "switch",
		"vllm:num_requests_waiting=1": "",
	} {
		if _, err := ParseChange(text, eng, false); !errors.Is(err, ErrKnob) || !strings.Contains(err.Error(), hint) {
			t.Errorf("%q: %v, want a hint of %q", text, err, hint)
		}
	}
	for _, text := range []string{"gpu-memory-utilization=9", "max-num-seqs=abc", "max_num_seqs=0", "max-model-len=long"} {
		for _, e := range []knob.Engine{eng, {Name: knob.VLLM}} {
			if _, err := ParseChange(text, e, false); !errors.Is(err, ErrValue) || !strings.Contains(err.Error(), "takes") {
				t.Errorf("%s: %v", text, err)
			}
		}
		if _, err := ParseChange(text, eng, true); err != nil {
			t.Errorf("%s forced: %v", text, err)
		}
	}
	for text, hint := range map[string]string{
		"kv-cache-dtype=int8": "never a value of it", "kv-cache-dtype=fp16": "the value is not", "quantization=int8": "never a value",
		"kv-cache-dtype=foo": "there are auto, bfloat16", "dtype=bfloat61": "the nearest is bfloat16", "scheduling-policy=foo": "fcfs, priority",
		"compilation-config=5": "a JSON object", "gpu-memory-utilization=0": "over 0", "kv-cache-dtype=octave_k3v3": "0.33.0",
	} {
		if _, err := ParseChange(text, eng, false); !errors.Is(err, ErrValue) || !strings.Contains(err.Error(), hint) || !strings.Contains(err.Error(), "--force") {
			t.Errorf("%s: %v, want a hint of %q", text, err, hint)
		}
		if c, err := ParseChange(text, eng, true); err != nil || c.Doubt != "" {
			t.Errorf("%s forced: %+v, %v", text, c, err)
		}
	}
	for _, text := range []string{"model=x", "--model=x", "MODEL=x", "model_tag=x", "model-path=x"} {
		for _, force := range []bool{false, true} {
			if _, err := ParseChange(text, eng, force); !errors.Is(err, ErrKnob) || !strings.Contains(err.Error(), "compare") {
				t.Errorf("%s: %v", text, err)
			}
		}
	}
	// Plugins add quantizations and attention backends, a newer version may have more: such values are tried, with a word about it.
	newer := knob.Engine{Name: knob.VLLM, Version: "0.99.0"}
	for _, c := range []struct {
		text  string
		eng   knob.Engine
		doubt bool
	}{
		{"quantization=foo", eng, true}, {"attention-backend=FOO", eng, true}, {"dtype=foo", newer, true}, {"kv-cache-dtype=fp8", newer, true},
		{"quantization=fp8", eng, false}, {"kv-cache-dtype=fp8", eng, false}, {"max-num-seqs=64", eng, false}, {"load-format=foo", eng, false},
	} {
		if got, err := ParseChange(c.text, c.eng, false); err != nil || (got.Doubt != "") != c.doubt {
			t.Errorf("%s with %s: %+v, %v", c.text, c.eng, got, err)
		}
	}
	if c, err := ParseChange("some_new_option=3", eng, true); err != nil || c.Name != "--some-new-option" || c.Value != "3" {
		t.Errorf("forced: %+v, %v", c, err)
	}
}

func TestApplyFindsWhatChangesNothing(t *testing.T) {
	eng := knob.Engine{Name: knob.VLLM, Version: "0.24.0"}
	s, err := knob.ParseCommandFor("vllm serve m --max-num-seqs 64", eng)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]error{"max-num-seqs=64": ErrNoChange, "max-num-seqs=32": nil, "max-num-seqs=default": nil, "enforce-eager=false": ErrNoChange, "quantization=fp8": nil} {
		c, err := ParseChange(text, eng, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.apply(s, eng); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
}

func TestFromAdvice(t *testing.T) {
	for _, tc := range []struct{ flag, to, want string }{
		{"--quantization fp8", "fp8", "--quantization=fp8"},
		{"--enforce-eager", "not set", "--enforce-eager=default"},
		{"--no-async-scheduling", "false", "--no-async-scheduling"},
		{"--max-num-seqs 128", "128", "--max-num-seqs=128"},
		{"--compilation-config.cudagraph_mode=FULL", "FULL", "--compilation-config.cudagraph_mode=FULL"},
	} {
		got, p, ok := FromAdvice(diagnose.Advice{Flag: tc.flag, To: tc.to, Predicted: &diagnose.Prediction{Metric: "itl_ms", Before: 7, After: 5, Low: 4, High: 6}})
		if !ok || got != tc.want || p == nil || p.Metric != "itl_ms" || *p.After != 5 {
			t.Errorf("%s: %q, %+v, %v", tc.flag, got, p, ok)
		}
		if _, err := ParseChange(got, knob.Engine{Name: knob.VLLM, Version: "0.24.0"}, false); err != nil {
			t.Errorf("%s: %v", got, err)
		}
	}
	if _, _, ok := FromAdvice(diagnose.Advice{Text: "put the client nearer"}); ok {
		t.Error("an advice without a knob can be tried")
	}
}

func TestSameChange(t *testing.T) {
	eng := knob.Engine{Name: knob.VLLM, Version: "0.24.0"}
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"async-scheduling=true", "--async_scheduling", true},
		{"enforce-eager=default", "enforce-eager=false", true},
		{"quantization=fp8", "quantization=int8", false},
		{"max-num-seqs=64", "max-num-batched-tokens=64", false},
		{"", "quantization=fp8", false},
	} {
		if got := SameChange(c.a, c.b, eng); got != c.same {
			t.Errorf("%q and %q: %v", c.a, c.b, got)
		}
	}
}

func TestEqualShare(t *testing.T) {
	a, b := answers{"1", "2", "3", ""}, answers{"1", "x", "3", "4"}
	if s, n := equalShare([]answers{a}, []answers{b}, false); n != 3 || s < 0.66 || s > 0.67 {
		t.Errorf("%v of %d", s, n)
	}
	if _, n := equalShare([]answers{a}, []answers{a}, true); n != 0 {
		t.Errorf("a start is held against itself %d times", n)
	}
	if s, n := equalShare([]answers{a, a}, []answers{a, a}, true); n != 3 || s != 1 {
		t.Errorf("%v of %d", s, n)
	}
}
