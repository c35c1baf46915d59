package knob

import (
	"strings"
	"testing"
)

func TestCheckValue(t *testing.T) {
	for _, c := range []struct {
		name, value string
		ok          bool
	}{
		{"--gpu-memory-utilization", "9", false},
		{"--gpu-memory-utilization", "0", false},
		{"--watermark", "0", true},
		{"--gpu-memory-utilization", "-0.1", false},
		{"--gpu-memory-utilization", "NaN", false},
		{"--gpu-memory-utilization", "0.95", true},
		{"--gpu-memory-utilization", "1", true},
		{"--max-num-seqs", "abc", false},
		{"--max-num-seqs", "0", false},
		{"--max-num-seqs", "6.5", false},
		{"--max-num-seqs", "64", true},
		{"--max-num-batched-tokens", "8k", true},
		{"--max-num-batched-tokens", "many", false},
		{"--max-model-len", "auto", true},
		{"--max-model-len", "-1", true},
		{"--max-model-len", "long", false},
		{"--tensor-parallel-size", "two", false},
		{"--long-prefill-token-threshold", "0", true},
		{"--cpu-offload-gb", "4", true},
		{"--cpu-offload-gb", "4G", false},
		{"--optimization-level", "4", false},
		{"--optimization-level", "3", true},
		{"--cudagraph-capture-sizes", "1 2 4", true},
		{"--cudagraph-capture-sizes", "[1,2,4]", true},
		{"--cudagraph-capture-sizes", "[1,two]", false},
		{"--compilation-config", `{"mode":3`, false},
		{"--compilation-config", `{"mode":3}`, true},
		{"--compilation-config", "3", true},
		{"--compilation-config", "5", false},
		{"--compilation-config", "[1]", false},
		{"--kv-transfer-config", "true", false},
		{"--hf-overrides", "null", true},
		{"--limit-mm-per-prompt", "image=2", true},
		{"VLLM_USE_FLASHINFER_SAMPLER", "1", true},
		{"VLLM_USE_FLASHINFER_SAMPLER", "maybe", false},
		{"--attention-backend", "ANY_NAME", true},
	} {
		e, ok := find(c.name, VLLM)
		if !ok {
			t.Fatalf("%s is not in the catalogue", c.name)
		}
		if err := CheckValue(e, c.value); (err == nil) != c.ok {
			t.Errorf("%s=%s: %v", c.name, c.value, err)
		}
	}
	// What the catalogue itself advises and gives as a default must pass.
	for _, e := range Entries() {
		for _, v := range e.Values {
			if err := CheckValue(e, v.Value); err != nil {
				t.Errorf("a value of the catalogue is refused: %v", err)
			}
		}
	}
}

func TestUnlistedValues(t *testing.T) {
	eng := Engine{VLLM, "0.24.0"}
	for _, c := range []struct {
		name, value string
		want        Presence
		note        string
	}{
		{"--dtype", "foo", Absent, "there are auto, half, float16"},
		{"--dtype", "bfloat61", Absent, "the nearest is bfloat16"},
		{"--scheduling-policy", "foo", Absent, "fcfs, priority"},
		{"--kv-cache-dtype", "fp8_e4m4", Absent, "the nearest is fp8_e4m3"},
		{"--kv-cache-dtype", "octave_k3v4", Absent, "came with 0.33.0"},
		{"--moe-backend", "deep-gemm", Uncertain, "deep_gemm"},
		{"--compilation-config.cudagraph_mode", "full_decode_only", Uncertain, "FULL_DECODE_ONLY"},
		{"--compilation-config.cudagraph_mode", "2", Uncertain, ""},
		{"--compilation-config.cudagraph_mode", "FULL", Present, ""},
		{"--quantization", "foo", Uncertain, "not a value"},         // a plugin may have registered it
		{"--attention-backend", "FOO", Uncertain, "not a value"},    // likewise
		{"--attention-backend", "CUSTOM", Uncertain, "not a value"}, // the list is a choice of the useful ones
		{"--distributed-executor-backend", "my.Executor", Uncertain, ""},
	} {
		e, ok := find(c.name, VLLM)
		if !ok {
			t.Fatalf("%s is not in the catalogue", c.name)
		}
		if a := ValueAvailable(e, c.value, eng); a.Presence != c.want || !strings.Contains(a.Note, c.note) {
			t.Errorf("%s=%s: %+v, want %s with %q", c.name, c.value, a, c.want, c.note)
		}
	}
	e, _ := find("--scheduling-policy", VLLM)
	if a := ValueAvailable(e, "foo", Engine{VLLM, "0.99.0"}); a.Presence != Uncertain || !strings.Contains(a.Note, "fcfs, priority") {
		t.Errorf("a newer version: %+v", a)
	}
	// A closed list is the whole list of the version that states its own.
	for n, o := range options024(t) {
		if e, ok := find(n, VLLM); ok && e.Name == n && e.Closed {
			for _, v := range o.choices {
				if a := ValueAvailable(e, v, eng); a.Presence != Present {
					t.Errorf("%s=%s: %+v", n, v, a)
				}
			}
		}
	}
	for _, e := range Entries() {
		if e.Closed && (len(e.Values) == 0 || partial[e.Name] || e.Engine != VLLM) {
			t.Errorf("%s cannot be closed", e.Name)
		}
	}
}

func TestNeverAValue(t *testing.T) {
	for _, c := range []struct{ name, value, version, with, without string }{
		{"--kv-cache-dtype", "int8", "0.24.0", "int8_per_token_head", ""},
		{"--kv-cache-dtype", "int8", "0.8.5", "fp8", "int8_per_token_head"},
		{"--kv-cache-dtype", "fp16", "", "float16", ""},
		{"--quantization", "int8", "0.24.0", "compressed-tensors", ""},
	} {
		e, _ := find(c.name, VLLM)
		text := NeverAValue(e, c.value, Engine{VLLM, c.version})
		if !strings.Contains(text, c.with) || c.without != "" && strings.Contains(text, c.without) {
			t.Errorf("%s=%s in %s: %q", c.name, c.value, c.version, text)
		}
	}
	// Nothing that the catalogue lists is called wrong.
	for _, e := range Entries() {
		for _, v := range e.Values {
			if text := NeverAValue(e, v.Value, Engine{e.Engine, ""}); text != "" {
				t.Errorf("%s=%s: %s", e.Name, v.Value, text)
			}
		}
	}
}
