package knob

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "write the golden files")

func TestDescribeGolden(t *testing.T) {
	var b strings.Builder
	for _, c := range []struct{ asked, engine string }{
		{"--max-num-seqs", "vllm@0.24.0"},
		{"--quantization", "vllm@0.24.0"},
		{"--kv-cache-dtype", "vllm"},
		{"--enforce-eager", "vllm@0.8.5"},
		{"--prefill-schedule-interval", "vllm@0.20.2"},
		{"--prefill-schedule-interval", "vllm@0.22.0"},
		{"VLLM_USE_V2_MODEL_RUNNER", "vllm@0.33.0"},
		{"--compilation-config.cudagraph_mode", "vllm@0.24.0"},
		{"-tp", "vllm@0.24.0"},
		{"--scheduler=bh", "vllm@0.24.0"},
		{"--kv-cache-dtype int8", "vllm@0.24.0"},
		{"VLLM_ATTENTION_BACKEND", "vllm@0.24.0"},
		{"--max-seq-len-to-capture", "vllm@0.24.0"},
		{"HF_TRACE=1", "vllm@0.24.0"},
		{"nsys stats --display=NVIDIA_GPU", "vllm@0.24.0"},
		{"sys graph -f json", "vllm"},
		{"gpu_cache_usage_perc", "vllm@0.24.0"},
		{"--mem-fraction-static", "sglang@0.5.2"},
		{"--seed", "vllm@0.24.0"},
		{"--max-nun-seqs", "vllm@0.24.0"},
		{"--gibberish-name", "vllm@0.24.0"},
		{"--api-key sekret-that-is-long", "vllm@0.24.0"},
	} {
		eng, err := ParseEngine(c.engine)
		if err != nil {
			t.Fatal(err)
		}
		e, m := Lookup(c.asked, eng)
		fmt.Fprintf(&b, "$ %s, %s\n%s\n", Mask(strings.Fields(c.asked)[0]), c.engine, DescribeMatch(e, m, eng))
	}
	path := filepath.Join("testdata", "describe.golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("%s differs; run with -update and read the difference:\n%s", path, b.String())
	}
}

func TestDescribeFitsTheColumns(t *testing.T) {
	check := func(what, text string) {
		for _, l := range strings.Split(text, "\n") {
			if utf8.RuneCountInString(l) > Width || strings.TrimRight(l, " ") != l {
				t.Errorf("%s: %d columns: %q", what, utf8.RuneCountInString(l), l)
			}
		}
	}
	for _, e := range Entries() {
		for _, v := range []string{"", "0.8.5", "0.22.0", "0.33.0"} {
			check(e.Name, Describe(e, Engine{e.Engine, v}))
		}
	}
	for _, row := range misnomers() {
		for _, ex := range row.Examples {
			e, m := Lookup(ex)
			check(ex, DescribeMatch(e, m, Engine{VLLM, "0.24.0"}))
		}
	}
	e, m := Lookup(strings.Repeat("x", 250))
	check("long", DescribeMatch(e, m, Engine{Name: VLLM}))
}
