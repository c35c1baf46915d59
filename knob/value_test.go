package knob

import "testing"

func TestCheckValue(t *testing.T) {
	for _, c := range []struct {
		name, value string
		ok          bool
	}{
		{"--gpu-memory-utilization", "9", false},
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
