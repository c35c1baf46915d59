package knob

import (
	"strings"
	"testing"

	"github.com/stepscope/stepscope/device"
)

// findings are the ids that answers may name.
var findings = map[string]bool{"host-launch-bound": true, "host-step-gap": true, "sync-stall": true, "transfer-bound": true, "api-latency": true,
	"dominant-kernel": true, "memory-bandwidth-bound": true, "compute-bound": true, "attention-kv-bound": true, "prefill-interference": true,
	"prefill-chunk-limited": true, "queue-limited": true, "kv-cache-limited": true, "underloaded": true, "collective-bound": true,
	"moe-imbalance": true, "cold-start": true, "sampling-bound": true, "memory-growth": true, "capture-quality": true}

func TestCatalogueIsSound(t *testing.T) {
	seen := map[string]bool{}
	answered := map[string]int{}
	for _, e := range Entries() {
		if seen[e.Engine+e.Name+e.Does] {
			t.Errorf("%s %s: twice", e.Engine, e.Name)
		}
		seen[e.Engine+e.Name+e.Does] = true
		if e.Does == "" || e.Kind == "" {
			t.Errorf("%s: no text or kind", e.Name)
		}
		for _, text := range []string{e.Does, e.Trades, e.Check} {
			if strings.Contains(text, "  ") || strings.TrimSpace(text) != text {
				t.Errorf("%s: spaces in %q", e.Name, text)
			}
		}
		if (e.Kind == Flag || e.Kind == Client) && !strings.HasPrefix(e.Name, "--") {
			t.Errorf("%s: a flag without dashes", e.Name)
		}
		inspected := e.Engine == VLLM && e.Kind != Profiler && !e.External
		if inspected {
			_, named := names()[e.Name]
			if !named && (e.Kind == Flag && !strings.Contains(e.Name, ".") || e.Kind == Env) {
				t.Errorf("%s: not in names.txt", e.Name)
			}
			if inspectedIndex(e.Since) < 0 || inspectedIndex(e.Until) < inspectedIndex(e.Since) {
				t.Errorf("%s: versions %q to %q", e.Name, e.Since, e.Until)
			}
		}
		for i, d := range e.Defaults {
			if inspectedIndex(d.Since) < 0 || i > 0 && inspectedIndex(d.Since) <= inspectedIndex(e.Defaults[i-1].Since) {
				t.Errorf("%s: default since %q", e.Name, d.Since)
			}
			if i == 0 && inspected && inspectedIndex(d.Since) != inspectedIndex(e.Since) {
				t.Errorf("%s: first default since %s, the option since %s", e.Name, d.Since, e.Since)
			}
		}
		for _, v := range e.Values {
			if v.Since != "" && inspectedIndex(v.Since) < inspectedIndex(e.Since) {
				t.Errorf("%s %s: value since %q", e.Name, v.Value, v.Since)
			}
		}
		ranks := map[string]int{}
		for _, a := range e.Answers {
			answered[a.Finding]++
			if !findings[a.Finding] || a.Rank < 1 {
				t.Errorf("%s: answer %+v", e.Name, a)
			}
			switch a.Action {
			case Raise, Lower:
				if e.Switch() {
					t.Errorf("%s: a switch cannot be moved", e.Name)
				}
			case Set, Drop:
			default:
				t.Errorf("%s: action %q", e.Name, a.Action)
			}
			if ranks[a.Finding]++; ranks[a.Finding] > 1 {
				t.Errorf("%s: answers %s twice", e.Name, a.Finding)
			}
			// A value that is advised must be one of those listed.
			if a.Action == Set && len(e.Values) > 0 && a.To != "" && !strings.Contains(a.To, " ") {
				if got := ValueAvailable(e, a.To, Engine{e.Engine, "0.33.0"}); got.Presence == Uncertain {
					t.Errorf("%s: advises %q, which is not a listed value", e.Name, a.To)
				}
			}
		}
		for _, in := range e.Instead {
			if in.Name != "" && AvailableName(in.Name, Engine{VLLM, "0.33.0"}).Presence == Absent {
				if _, ok := names()[in.Name]; !ok {
					t.Errorf("%s: replaced by %s, which does not exist", e.Name, in.Name)
				}
			}
		}
		if gone(e) && len(e.Instead) == 0 {
			t.Errorf("%s: gone without a word on what to use", e.Name)
		}
	}
	for f := range findings {
		if answered[f] == 0 {
			t.Errorf("no knob answers %s", f)
		}
	}
}

func TestAvailableByVersion(t *testing.T) {
	for _, c := range []struct {
		name, version string
		want          Presence
	}{
		{"--max-num-seqs", "0.8.5", Present},
		{"--max-num-seqs", "0.8.2", Present},
		{"--max-num-seqs", "0.19.1", Present},
		{"--max-num-seqs", "", Present},
		{"--max-num-seqs", "0.7.3", Uncertain},
		{"--max-num-seqs", "0.40.0", Uncertain},
		{"--max-num-seqs", "0.33.4", Present},
		{"--attention-backend", "0.12.0", Absent},
		{"--attention-backend", "0.12.1", Uncertain},
		{"--attention-backend", "0.13.0", Present},
		{"--attention-backend", "0.13.0rc1", Uncertain},
		{"--attention-backend", "v0.24.0+cu130", Present},
		{"--attention-backend", "0.24.1.dev12+gabc", Present},
		{"--attention-backend", "", Uncertain},
		{"VLLM_ATTENTION_BACKEND", "0.14.0", Present},
		{"VLLM_ATTENTION_BACKEND", "0.15.0", Uncertain},
		{"VLLM_ATTENTION_BACKEND", "0.16.0", Absent},
		{"--prefill-schedule-interval", "0.20.2", Absent},
		{"--prefill-schedule-interval", "0.22.0", Uncertain},
		{"--prefill-schedule-interval", "0.24.0", Present},
		{"--max-num-active-seqs", "0.28.0", Absent},
		{"--max-num-active-seqs", "0.33.0", Present},
		{"--cuda-graph-sizes", "0.11.0", Present},
		{"--cuda-graph-sizes", "0.13.0", Absent},
		{"--max-seq-len-to-capture", "0.9.0", Uncertain},
		{"--no-such-flag", "0.24.0", Absent},
		{"--no-such-flag.field", "0.24.0", Absent},
		{"--compilation-config.cudagraph_capture_sizes", "0.8.5", Present},
		{"--compilation-config.cudagraph_mode", "0.24.0", Present},
		{"--compilation-config.custom_ops", "0.24.0", Present},
		{"--compilation-config.full_cuda_graph", "0.24.0", Absent},
		{"--compilation-config.no_such_field", "0.24.0", Uncertain},
		{"--compilation-config.pass_config.enable_sp", "0.24.0", Present},
		{"--compilation-config.pass_config.enable_sp", "0.33.0", Absent},
		{"--speculative-config.num_speculative_tokens", "", Present},
		{"--speculative-config.disable_by_batch_size", "0.24.0", Absent},
		{"--attention-config.flash_attn_version", "0.24.0", Present},
		{"--log-config-file", "0.24.0", Present},
		{"--disable-frontend-multiprocessing", "0.24.0", Absent},
		{"--headless", "0.8.5", Absent},
		{"VLLM_USE_SIMPLE_KV_OFFLOAD", "0.24.0", Present},
		{"--attention-config.backend", "0.11.0", Absent},
		{"--port", "0.24.0", Present},
		{"--lora-extra-vocab-size", "0.24.0", Absent},
	} {
		if got := AvailableName(c.name, Engine{VLLM, c.version}); got.Presence != c.want {
			t.Errorf("%s in %q: %+v, want %s", c.name, c.version, got, c.want)
		}
	}
	e, _ := find("--kv-cache-dtype", VLLM)
	for _, c := range []struct {
		value, version string
		want           Presence
	}{{"fp8", "0.8.5", Present}, {"float16", "0.16.0", Absent}, {"float16", "0.18.0", Present}, {"int8", "0.24.0", Absent}, {"int8", "0.25.0", Uncertain}, {"int8", "0.40.0", Uncertain}, {"int8", "0.24.1", Absent}, {"FP8", "0.24.0", Uncertain}, {"None", "0.24.0", Uncertain}, {"int8_per_token_head", "0.24.0", Present}, {"int8_per_token_head", "0.14.0", Absent}} {
		if got := ValueAvailable(e, c.value, Engine{VLLM, c.version}); got.Presence != c.want {
			t.Errorf("%s in %s: %+v", c.value, c.version, got)
		}
	}
}

func TestFits(t *testing.T) {
	for _, c := range []struct {
		gpu, knob, value string
		gpus             int
		ok, unknown      bool
	}{
		{"H100", "--quantization", "fp8", 1, true, false},
		{"L4", "--quantization", "fp8", 1, true, false},
		{"A100", "--quantization", "fp8", 1, false, false},
		{"T4", "--quantization", "fp8", 1, false, false},
		{"MI300X", "--quantization", "fp8", 1, true, false},
		{"MI250X", "--quantization", "fp8", 1, false, false},
		{"mystery", "--quantization", "fp8", 1, false, true},
		{"A100", "--kv-cache-dtype", "fp8", 1, false, false},
		{"A100", "--kv-cache-dtype", "auto", 1, true, false},
		{"mystery", "--max-num-seqs", "", 1, true, false},
		{"H100", "--disable-custom-all-reduce", "", 1, false, false},
		{"H100", "--disable-custom-all-reduce", "", 2, true, false},
		{"V100", "--dtype", "bfloat16", 1, false, false},
	} {
		s, _ := device.Lookup(c.gpu, device.Hints{})
		e, ok := find(c.knob, VLLM)
		if got := Fits(e, c.value, s, c.gpus); !ok || got.OK != c.ok || got.Unknown != c.unknown || (!got.OK && got.Reason == "") {
			t.Errorf("%s %s on %s: %+v", c.knob, c.value, c.gpu, got)
		}
	}
}

func first(es []Entry) string {
	if len(es) == 0 {
		return ""
	}
	return es[0].Name
}

func TestForFinding(t *testing.T) {
	for _, c := range []struct{ finding, engine, want string }{
		{"host-launch-bound", "vllm@0.24.0", "--enforce-eager"},
		{"queue-limited", "vllm@0.24.0", "--max-num-seqs"},
		{"queue-limited", "sglang@0.5.2", "--max-running-requests"},
		{"memory-bandwidth-bound", "vllm@0.8.5", "--quantization"},
		{"compute-bound", "vllm@0.33.0", "--quantization"},
		{"attention-kv-bound", "vllm@0.11.0", "--kv-cache-dtype"},
		{"kv-cache-limited", "vllm", "--gpu-memory-utilization"},
		{"prefill-interference", "vllm@0.24.0", "--max-num-batched-tokens"},
		{"prefill-chunk-limited", "vllm@0.24.0", "--max-num-batched-tokens"},
		{"host-step-gap", "vllm@0.24.0", "--async-scheduling"},
		{"transfer-bound", "vllm@0.24.0", "--cpu-offload-gb"},
		{"dominant-kernel", "vllm@0.11.0", "VLLM_ATTENTION_BACKEND"},
		{"capture-quality", "nsys", "--cuda-graph-trace"},
	} {
		eng, err := ParseEngine(c.engine)
		if err != nil {
			t.Fatal(err)
		}
		es := ForFinding(c.finding, eng)
		if first(es) != c.want && (c.engine != "nsys" && c.finding != "dominant-kernel") {
			t.Errorf("%s on %s: %s first, want %s", c.finding, c.engine, first(es), c.want)
		}
		found := false
		for _, e := range es {
			found = found || e.Name == c.want
			if !Available(e, eng).Safe() {
				t.Errorf("%s on %s: %s is not there", c.finding, c.engine, e.Name)
			}
		}
		if !found {
			t.Errorf("%s on %s: %s is missing", c.finding, c.engine, c.want)
		}
	}
	// No version is ever offered a name that it lacks.
	for _, v := range append([]string{"0.9.1", "0.15.0", "0.22.0", "0.30.0"}, Inspected...) {
		for f := range findings {
			for _, e := range ForFinding(f, Engine{VLLM, v}) {
				if row, ok := names()[e.Name]; ok && row.span.in(Engine{VLLM, v}).Presence != Present {
					t.Errorf("%s on %s offers %s", f, v, e.Name)
				}
			}
		}
	}
}

func TestParseEngine(t *testing.T) {
	for in, want := range map[string]string{"vllm@0.24.0": "vllm@0.24.0", "vLLM": "vllm", "vllm==0.11.0": "vllm@0.11.0", "vllm 0.24.0+cu130": "vllm@0.24.0+cu130",
		"vllm@v0.24.0rc2": "vllm@0.24.0rc2", "sglang@0.5.2": "sglang@0.5.2", "trtllm": "tensorrt-llm", "nsys@2025.3.2": "nsys@2025.3.2", "vllm@0.24.1.dev12+gabc1234": "vllm@0.24.1.dev12+gabc1234"} {
		got, err := ParseEngine(in)
		if err != nil || got.String() != want {
			t.Errorf("%q: %v %v", in, got, err)
		}
	}
	for _, in := range []string{"", "@", "ollama@1.0", "vllm@latest", "vllm@0.24.0; rm", "vllm@99999999999999999999"} {
		if got, err := ParseEngine(in); err == nil {
			t.Errorf("%q was read as %v", in, got)
		}
	}
}
