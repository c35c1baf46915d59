package experiment

import (
	"errors"
	"testing"

	"github.com/stepscope/stepscope/knob"
)

func TestAdviceBeginsWithTheSameValue(t *testing.T) {
	eng := knob.Engine{Name: knob.VLLM, Version: "0.24.0"}
	parse := func(line string) *knob.Settings {
		s, err := knob.ParseCommandFor(line, eng)
		if err != nil {
			t.Fatal(err)
		}
		return &s
	}
	const h100 = 80 << 30
	for _, c := range []struct {
		knob, from, captured, command string
		differs, note                 bool
	}{
		{"--max-num-seqs", "4", "vllm serve m --max-num-seqs 4", "vllm serve m", true, false},
		{"--max-num-seqs", "4", "vllm serve m --max-num-seqs 4", "vllm serve m --max-num-seqs=4", false, false},
		{"--max-num-seqs", "1024", "vllm serve m", "vllm serve m", false, false},
		{"--max-num-seqs", "1024", "vllm serve m", "vllm serve m --max-num-seqs 1024", false, false},
		{"--max-num-seqs", "1024", "vllm serve m", "vllm serve m --max-num-seqs 4", true, false},
		// The diagnosis says the largest size.
		{"--compilation-config.cudagraph_capture_sizes", "64", `vllm serve m -cc '{"cudagraph_capture_sizes":[1,64]}'`, `vllm serve m -cc.cudagraph_capture_sizes=[1,64]`, false, false},
		{"--compilation-config.cudagraph_capture_sizes", "64", "", `vllm serve m -cc.cudagraph_capture_sizes=[1,64]`, false, false},
		{"--compilation-config.cudagraph_capture_sizes", "64", "", `vllm serve m -cc.cudagraph_capture_sizes=[1,32]`, true, false},
		// Only the diagnosis is known.
		{"--max-num-seqs", "4", "", "vllm serve m", true, false},
		{"--max-num-seqs", "4", "", "vllm serve m --max-num-seqs 4", false, false},
		{"--logits-processors", "set", "", "vllm serve m", true, false},
		{"--num-gpu-blocks-override", "420", "", "vllm serve m", true, false}, // none by default
		{"--allowed-origins", "x", "", "vllm serve m", false, true},
		{"--num-gpu-blocks-override", "420", "vllm serve m --num-gpu-blocks-override 420", "vllm serve m", true, false},
		{"--api-server-count", "", "", "vllm serve m", false, false},
		{"--kv-cache-dtype", "AUTO", "", "vllm serve m --kv-cache-dtype auto", false, false},
	} {
		a := Advised{From: c.from, Engine: eng, GPUName: "NVIDIA H100 80GB HBM3", GPUMemory: h100}
		if c.captured != "" {
			a.Settings = parse(c.captured)
		}
		note, err := a.check(c.knob, *parse(c.command), knob.Engine{Name: knob.VLLM})
		if errors.Is(err, ErrOtherStart) != c.differs || (note != "") != c.note {
			t.Errorf("%s from %q of %q for %q: %v, %q", c.knob, c.from, c.captured, c.command, err, note)
		}
	}
}
