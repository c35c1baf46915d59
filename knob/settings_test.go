package knob

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/internal/proftest"
)

func parse(t *testing.T, line string) Settings {
	t.Helper()
	s, err := ParseCommand(line)
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return s
}

func TestParseCommand(t *testing.T) {
	for _, c := range []struct {
		name, line, model string
		want              map[string]string
		warns             int
	}{
		{"separate and joined values", `vllm serve meta-llama/Llama-3.1-8B --max-num-seqs 64 --max-model-len=4096`, "meta-llama/Llama-3.1-8B",
			map[string]string{"--max-num-seqs": "64", "--max-model-len": "4096"}, 0},
		{"underscores", `vllm serve m --max_num_seqs 64 --gpu_memory_utilization=0.9`, "m",
			map[string]string{"--max-num-seqs": "64", "--gpu-memory-utilization": "0.9"}, 0},
		{"switches", `vllm serve m --enforce-eager --no-enable-prefix-caching --trust-remote-code`, "m",
			map[string]string{"--enforce-eager": "true", "--enable-prefix-caching": "false", "--trust-remote-code": "true"}, 0},
		{"model after a switch", `vllm serve --enforce-eager m`, "m", map[string]string{"--enforce-eager": "true"}, 0},
		{"short names", `vllm serve m -tp 2 -q fp8 -pp=2 -dp 4 -ep`, "m",
			map[string]string{"--tensor-parallel-size": "2", "--quantization": "fp8", "--pipeline-parallel-size": "2", "--data-parallel-size": "4", "--enable-expert-parallel": "true"}, 0},
		{"levels", `vllm serve m -O3`, "m", map[string]string{"--optimization-level": "3"}, 0},
		{"level with a space", `vllm serve m -O 1`, "m", map[string]string{"--optimization-level": "1"}, 0},
		{"dotted", `vllm serve m -cc.cudagraph_mode=FULL --compilation-config.pass_config.fuse_allreduce_rms=true --profiler-config.profiler cuda`, "m",
			map[string]string{"--compilation-config.cudagraph_mode": "FULL", "--compilation-config.pass_config.fuse_allreduce_rms": "true", "--profiler-config.profiler": "cuda"}, 0},
		{"json", `vllm serve m --compilation-config '{"cudagraph_capture_sizes":[1,2,4], "pass_config":{"fuse_attn_quant":true}}' --speculative-config '{"method":"ngram","num_speculative_tokens":3,"model":null}'`, "m",
			map[string]string{"--cudagraph-capture-sizes": "[1,2,4]", "--compilation-config.pass_config.fuse_attn_quant": "true", "--spec-tokens": "3", "--spec-method": "ngram"}, 0},
		{"lists", `vllm serve m --cudagraph-capture-sizes 1 2 4 --served-model-name a b --port 1`, "m",
			map[string]string{"--cudagraph-capture-sizes": "[1,2,4]", "--served-model-name": "a b", "--port": "1"}, 0},
		{"negative number", `vllm serve m --max-model-len -1`, "m", map[string]string{"--max-model-len": "-1"}, 0},
		{"abbreviation", `vllm serve m --max-num-seq 8`, "m", map[string]string{"--max-num-seqs": "8"}, 1},
		{"abbreviation of an option with fields", `vllm serve m --compilation-conf {}`, "m", map[string]string{"--compilation-config": "{}"}, 1},
		{"ambiguous abbreviation", `vllm serve m --scheduler bh`, "m", map[string]string{"--scheduler": "bh"}, 1},
		{"wrong name", `vllm serve m --flash-attn --port 1`, "m", map[string]string{"--flash-attn": "true", "--port": "1"}, 1},
		{"last one wins", `vllm serve m --max-num-seqs 8 --max-num-seqs 16`, "m", map[string]string{"--max-num-seqs": "16"}, 0},
		{"variables", `VLLM_USE_V1=1 CUDA_VISIBLE_DEVICES=0,1 vllm serve m`, "m", map[string]string{"VLLM_USE_V1": "1", "CUDA_VISIBLE_DEVICES": "0,1"}, 0},
		{"env", `env A=b vllm serve m`, "m", map[string]string{"A": "b"}, 0},
		{"behind nsys", `nsys profile -t cuda,nvtx -o rep vllm serve m --max-num-seqs 4`, "m", map[string]string{"--max-num-seqs": "4"}, 0},
		{"full path", `/opt/venv/bin/vllm serve m --port 1`, "m", map[string]string{"--port": "1"}, 0},
		{"module", `python3 -m vllm.entrypoints.openai.api_server --model m --dtype bfloat16`, "m", map[string]string{"--dtype": "bfloat16"}, 0},
		{"docker", `docker run --gpus all -e HF_TOKEN=hf_abcdefghijklmnop -p 8000:8000 vllm/vllm-openai:v0.24.0 --model m --max-num-seqs 4`, "m", map[string]string{"--max-num-seqs": "4", "HF_TOKEN": "hf_abcdefghijklmnop"}, 0},
		{"continued lines", "vllm serve m \\\n  --max-num-seqs 4 \\\n  --port 1\necho done --port 2", "m", map[string]string{"--max-num-seqs": "4", "--port": "1"}, 0},
		{"comments and operators", "# start\nvllm serve m --port 1 2>&1 | tee log --port 3", "m", map[string]string{"--port": "1"}, 0},
		{"quotes", `vllm serve "my model" --chat-template '{{ a }}' --host=127.0.0."1"`, "my model", map[string]string{"--chat-template": "{{ a }}", "--host": "127.0.0.1"}, 1},
		{"arguments only", `--model m --max-num-seqs 4`, "m", map[string]string{"--max-num-seqs": "4"}, 0},
		{"config file", `vllm serve m --config f.yaml`, "m", nil, 1},
		{"no value", `vllm serve m --max-num-seqs --port 1`, "m", map[string]string{"--port": "1"}, 1},
		{"broken json", `vllm serve m --compilation-config '{"a":'`, "m", nil, 1},
		{"human numbers", `vllm serve m --max-num-batched-tokens 8k --max-model-len 4K`, "m", map[string]string{"--max-num-batched-tokens": "8k"}, 0},
		{"sglang", `python -m sglang.launch_server --model-path m --tp 2 --mem-fraction-static 0.8 --disable-cuda-graph`, "m", map[string]string{"--tp-size": "2", "--mem-fraction-static": "0.8", "--disable-cuda-graph": "true"}, 0},
	} {
		s, err := ParseCommand(c.line)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if s.Model != c.model {
			t.Errorf("%s: model %q", c.name, s.Model)
		}
		for k, want := range c.want {
			if got, ok := s.Value(k); !ok || got != want {
				t.Errorf("%s: %s is %q (%v), want %q; has %q", c.name, k, got, ok, want, s.Names())
			}
		}
		if c.name == "quotes" { // the JSON-looking template is no JSON
			continue
		}
		if len(s.Warnings) != c.warns {
			t.Errorf("%s: warnings %q", c.name, s.Warnings)
		}
	}
	s := parse(t, `docker run vllm/vllm-openai:v0.24.0 --model m --max-num-batched-tokens 8k`)
	if s.Engine != (Engine{VLLM, "0.24.0"}) {
		t.Errorf("engine %v", s.Engine)
	}
	if n, ok := s.Int("--max-num-batched-tokens"); !ok || n != 8000 {
		t.Errorf("8k is %d", n)
	}
	if s := parse(t, `python -m sglang.launch_server --model-path m`); s.Engine.Name != SGLang {
		t.Errorf("engine %v", s.Engine)
	}
}

func TestParseCommandRefuses(t *testing.T) {
	for _, line := range []string{"", "   ", "# only a comment", "vllm bench serve --model m", "python train.py", `vllm serve 'm`, `vllm serve "m`, `vllm serve m \`, strings.Repeat("x", 2<<20)} {
		if s, err := ParseCommand(line); !errors.Is(err, ErrCommand) {
			t.Errorf("%.40q was read: %+v %v", line, s, err)
		}
	}
}

func TestVersionDecidesAbbreviations(t *testing.T) {
	s, err := ParseCommandFor("vllm serve m --max-seq-len 4096", Engine{VLLM, "0.8.5"})
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := s.Value("--max-seq-len-to-capture"); !ok || v != "4096" {
		t.Errorf("in 0.8.5 the parser takes it as --max-seq-len-to-capture: %q", s.Names())
	}
	s, err = ParseCommandFor("vllm serve m --max-seq-len 4096", Engine{VLLM, "0.24.0"})
	if err != nil || len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "--max-model-len") {
		t.Errorf("in 0.24 it is an error: %q %v", s.Warnings, err)
	}
}

func TestSecretsAreMasked(t *testing.T) {
	secrets := []string{"sekret123456", "hf_abcdefghijklmnopqrst", "pass-word-9"}
	for _, line := range []string{
		`vllm serve m --api-key sekret123456 --max-num-batched-tokens 8192`,
		`vllm serve m --api-key=sekret123456`,
		`vllm serve m --api-key sekret123456 pass-word-9 --port 1`,
		`vllm serve m --hf-token hf_abcdefghijklmnopqrst`,
		`HF_TOKEN=hf_abcdefghijklmnopqrst VLLM_API_KEY='sekret123456' vllm serve m`,
		`docker run -e HF_TOKEN=hf_abcdefghijklmnopqrst vllm/vllm-openai --model m`,
		`docker run --env=HF_TOKEN=hf_abcdefghijklmnopqrst vllm/vllm-openai --model m`,
		`vllm serve m --kv-transfer-config '{"kv_connector":"x","kv_connector_extra_config":{"password":"pass-word-9"}}'`,
		`vllm serve m --kv-transfer-config.password=pass-word-9`,
		`vllm serve m --otlp-traces-endpoint https://user:pass-word-9@host/x`,
		`vllm serve m --additional-config '{"headers":"Authorization: Bearer sekret123456"}'`,
		`vllm serve m stray hf_abcdefghijklmnopqrst`,
		`curl-wrapper --token sekret123456 vllm serve m`,
	} {
		s := parse(t, line)
		shown := s.String() + strings.Join(s.Warnings, " ")
		for _, n := range s.Names() {
			v, _ := s.Shown(n)
			shown += " " + v
		}
		for _, secret := range secrets {
			if strings.Contains(shown, secret) {
				t.Errorf("%s\n shows %s in: %s", line, secret, shown)
			}
		}
		if strings.Contains(line, secrets[0]) && !strings.Contains(strings.Join(s.Argv(), " "), secrets[0]) {
			t.Errorf("%s: the command to run lost its key: %q", line, s.Argv())
		}
		if strings.Contains(line, "8192") && !strings.Contains(shown, "--max-num-batched-tokens 8192") {
			t.Errorf("a token count was masked: %s", shown)
		}
	}
	for name, want := range map[string]bool{"--api-key": true, "--hf-token": true, "HF_TOKEN": true, "AWS_SECRET_ACCESS_KEY": true, "--max-num-batched-tokens": false,
		"--spec-tokens": false, "--tokenizer": false, "--tokenizer-mode": false, "--ssl-keyfile": false, "--max-logprobs": false, "S3_ACCESS_KEY_ID": true,
		"--speculative-config.num_speculative_tokens": false, "--return-tokens-as-token-ids": false, "OPENAI_API_KEY": true} {
		if got := SecretName(name); got != want {
			t.Errorf("%s: secret %v", name, got)
		}
	}
}

const nonDefault = `(APIServer pid=5082) INFO 11-24 06:47:52 [api_utils.py:273] non-default args: {'model_tag': '/models/llama1b', 'host': '127.0.0.1', 'port': 8356, 'model': '/models/llama1b', 'max_model_len': 4096, 'served_model_name': ['m'], 'api_key': ['sekret123456'], 'gpu_memory_utilization': 0.9, 'enable_prefix_caching': False, 'compilation_config': {'mode': None, 'cache_dir': '', 'custom_ops': [], 'cudagraph_mode': <CUDAGraphMode.FULL: 2>, 'cudagraph_capture_sizes': [1, 2, 4], 'pass_config': {}, 'dynamic_shapes_config': {'type': <DynamicShapesType.BACKED: 'backed'>, 'evaluate_guards': False}}, 'profiler_config': ProfilerConfig(profiler='cuda', torch_profiler_dir='', delay_iterations=0)}`

func TestParseNonDefaultArgs(t *testing.T) {
	s, err := ParseNonDefaultArgs(nonDefault)
	if err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]string{"--port": "8356", "--max-model-len": "4096", "--gpu-memory-utilization": "0.9", "--enable-prefix-caching": "false",
		"--compilation-config.cudagraph_mode": "FULL", "--cudagraph-capture-sizes": "[1,2,4]", "--profiler-config.profiler": "cuda", "--served-model-name": `["m"]`, "--api-key": Masked} {
		if got, ok := s.Value(k); !ok || got != want {
			t.Errorf("%s: %q, %v", k, got, ok)
		}
	}
	if _, ok := s.Value("--compilation-config.mode"); ok {
		t.Error("None counts as set")
	}
	if s.Model != "/models/llama1b" || s.Resolved {
		t.Errorf("model %q resolved %v", s.Model, s.Resolved)
	}
	want := `vllm serve /models/llama1b --api-key '***' --compilation-config '{"cudagraph_capture_sizes":[1,2,4],"cudagraph_mode":"FULL"}' --no-enable-prefix-caching --gpu-memory-utilization 0.9 --host 127.0.0.1 --max-model-len 4096 --port 8356 --profiler-config '{"profiler":"cuda"}' --served-model-name m`
	if got := s.String(); got != want {
		t.Errorf("command from the log:\n%s\nwant\n%s", got, want)
	}
	// The command reads back as the same settings.
	back := parse(t, s.With("--api-key", "k").String())
	for _, n := range []string{"--max-model-len", "--enable-prefix-caching", "--cudagraph-capture-sizes", "--compilation-config.cudagraph_mode", "--profiler-config.profiler"} {
		a, _ := s.Value(n)
		b, _ := back.Value(n)
		if a != b {
			t.Errorf("%s: %q became %q", n, a, b)
		}
	}
	old, err := ParseNonDefaultArgs(`INFO args: Namespace(subparser='serve', model_tag='m', config='', port=8000, dtype='auto', max_num_seqs=None, enforce_eager=True, dispatch_function=<function ServeSubcommand.cmd at 0x7f>, allowed_origins=['*'])`)
	if err != nil || !old.Resolved || old.Model != "m" {
		t.Fatalf("%+v %v", old, err)
	}
	if on, set := old.Bool("--enforce-eager"); !on || !set {
		t.Error("enforce_eager")
	}
	if _, ok := old.Value("--max-num-seqs"); ok {
		t.Error("None counts as set")
	}
	for _, in := range []string{"", "hello", "non-default args: {'a': ", "non-default args: {'a': 'b", "non-default args: {'a' 1}", "non-default args: [1]", "non-default args: {'a': <b}",
		"non-default args: " + strings.Repeat("{'a':", 200), "non-default args: {1, 2}", "non-default args: {'a': '\\x'}"} {
		if s, err := ParseNonDefaultArgs(in); !errors.Is(err, ErrRepr) {
			t.Errorf("%.60q was read: %+v %v", in, s, err)
		}
	}
}

func TestParseEngineConfig(t *testing.T) {
	s, err := ParseEngineConfig("\x1b[36m(EngineCore pid=1)\x1b[0;0m INFO [core.py:114] Initializing a V1 LLM engine (v0.24.0) with config: model='/models/m', speculative_config=None, dtype=torch.bfloat16, max_seq_len=4096, tensor_parallel_size=2, quantization=fp8, enforce_eager=False, kv_cache_dtype=auto, observability_config=ObservabilityConfig(cudagraph_metrics=False), seed=0, enable_chunked_prefill=True, compilation_config={'cudagraph_mode': <CUDAGraphMode.FULL_AND_PIECEWISE: (2, 1)>, 'cudagraph_capture_sizes': [1, 2], 'max_cudagraph_capture_size': 2}, kernel_config=KernelConfig(moe_backend='auto')")
	if err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]string{"--quantization": "fp8", "--max-model-len": "4096", "--tensor-parallel-size": "2", "--enforce-eager": "false", "--dtype": "torch.bfloat16",
		"--compilation-config.cudagraph_mode": "FULL_AND_PIECEWISE", "--max-cudagraph-capture-size": "2", "--moe-backend": "auto"} {
		if got, ok := s.Value(k); !ok || got != want {
			t.Errorf("%s: %q, %v", k, got, ok)
		}
	}
	if s.Engine != (Engine{VLLM, "0.24.0"}) || !s.Resolved || s.Model != "/models/m" {
		t.Errorf("%+v", s)
	}
	if _, ok := s.Value("--speculative-config"); ok {
		t.Error("None counts as set")
	}
	for _, in := range []string{"", "Initializing", "Initializing a V1 LLM engine (v0.24.0) with config: a=", "Initializing a V1 LLM engine (v0.24.0) with config: a='b"} {
		if _, err := ParseEngineConfig(in); !errors.Is(err, ErrRepr) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// Command and log of real servers say the same.
func TestRealServers(t *testing.T) {
	for _, name := range []string{"base8b-A", "seqs4-B", "eager1b-G", "fp8-A", "base8b-kineto-A"} {
		dir := proftest.SharedCapture(t, name)
		line, err := os.ReadFile(filepath.Join(dir, "command.txt"))
		if err != nil {
			t.Fatal(err)
		}
		cmd := parse(t, string(line))
		if len(cmd.Warnings) > 0 {
			t.Errorf("%s: %q", name, cmd.Warnings)
		}
		log, err := os.ReadFile(filepath.Join(dir, "server.log"))
		if err != nil {
			t.Fatal(err)
		}
		var args, conf Settings
		for _, l := range strings.Split(string(log), "\n") {
			if strings.Contains(l, "non-default args") {
				if args, err = ParseNonDefaultArgs(l); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			if strings.Contains(l, "with config: ") {
				if conf, err = ParseEngineConfig(l); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
		}
		for _, n := range cmd.Names() {
			want, _ := cmd.Value(n)
			got, ok := args.Value(n)
			switch {
			case n == "--seed" || n == "--compilation-config" || n == "--profiler-config":
				continue // a default that the command repeats; the log prints all fields
			case n == "--served-model-name":
				want = `["` + want + `"]`
			}
			if !ok || got != want {
				t.Errorf("%s: %s is %q on the command line and %q in the log", name, n, want, got)
			}
		}
		if conf.Engine != (Engine{VLLM, "0.24.0"}) || conf.Model != cmd.Model {
			t.Errorf("%s: engine %v, model %q", name, conf.Engine, conf.Model)
		}
		eager, _ := conf.Bool("--enforce-eager")
		if eager != (name == "eager1b-G") {
			t.Errorf("%s: eager %v", name, eager)
		}
		if q, _ := conf.Value("--quantization"); (q == "fp8") != (name == "fp8-A") {
			t.Errorf("%s: quantization %q", name, q)
		}
		all := conf.Merge(args).Merge(cmd)
		seqs := all.Effective("--max-num-seqs", Engine{}, 85017493504, "NVIDIA H100 80GB HBM3")
		if want := map[bool]string{true: "4", false: "1024"}[name == "seqs4-B"]; seqs.Value != want {
			t.Errorf("%s: max_num_seqs %v", name, seqs)
		}
		if d := all.Effective("--max-num-batched-tokens", Engine{}, 85017493504, "NVIDIA H100 80GB HBM3"); d.Value != "8192" || !strings.Contains(string(log), "max_num_batched_tokens="+d.Value) {
			t.Errorf("%s: budget %v", name, d)
		}
		sizes, ok := all.Ints("--cudagraph-capture-sizes")
		if name != "eager1b-G" && (!ok || !slices.Equal(sizes, []int{1, 2, 4, 8, 16, 32, 48, 64})) {
			t.Errorf("%s: capture sizes %v", name, sizes)
		}
	}
}

// vLLM's parser takes the word after a dotted name for its value, also where that is the next option.
func TestFieldsKeepTheirValue(t *testing.T) {
	for name, want := range map[string]string{
		"--compilation-config.pass_config.fuse_allreduce_rms": "--compilation-config.pass_config.fuse_allreduce_rms=true",
		"--additional-config.anything":                        "--additional-config.anything=true",
		"--enforce-eager":                                     "--enforce-eager",
	} {
		if got := strings.Join(optionWords(name, "true", func(_, v string) string { return v }), " "); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestEdits(t *testing.T) {
	base := `vllm serve m --max-num-seqs 4 --enforce-eager --compilation-config '{"cudagraph_capture_sizes":[1,2]}' --port 8000`
	for _, c := range []struct {
		name string
		edit func(Settings) Settings
		want string
	}{
		{"replace", func(s Settings) Settings { return s.With("--max-num-seqs", "64") }, `vllm serve m --max-num-seqs 64 --enforce-eager --compilation-config '{"cudagraph_capture_sizes":[1,2]}' --port 8000`},
		{"append", func(s Settings) Settings { return s.With("--quantization", "fp8") }, `vllm serve m --max-num-seqs 4 --enforce-eager --compilation-config '{"cudagraph_capture_sizes":[1,2]}' --port 8000 --quantization fp8`},
		{"drop a switch", func(s Settings) Settings { return s.Without("--enforce-eager") }, `vllm serve m --max-num-seqs 4 --compilation-config '{"cudagraph_capture_sizes":[1,2]}' --port 8000`},
		{"negate", func(s Settings) Settings { return s.With("--enable-prefix-caching", "false") }, `vllm serve m --max-num-seqs 4 --enforce-eager --compilation-config '{"cudagraph_capture_sizes":[1,2]}' --port 8000 --no-enable-prefix-caching`},
		{"switch on", func(s Settings) Settings { return s.With("--async-scheduling", "true") }, `vllm serve m --max-num-seqs 4 --enforce-eager --compilation-config '{"cudagraph_capture_sizes":[1,2]}' --port 8000 --async-scheduling`},
		{"inside JSON", func(s Settings) Settings { return s.With("--cudagraph-capture-sizes", "[1,2,4,8]") }, `vllm serve m --max-num-seqs 4 --enforce-eager --compilation-config '{"cudagraph_capture_sizes":[1,2,4,8]}' --port 8000`},
		{"another field", func(s Settings) Settings { return s.With("--compilation-config.cudagraph_mode", "FULL") }, `vllm serve m --max-num-seqs 4 --enforce-eager --compilation-config '{"cudagraph_capture_sizes":[1,2],"cudagraph_mode":"FULL"}' --port 8000`},
		{"drop a field", func(s Settings) Settings { return s.Without("--cudagraph-capture-sizes") }, `vllm serve m --max-num-seqs 4 --enforce-eager --port 8000`},
		{"variable", func(s Settings) Settings { return s.With("VLLM_USE_FLASHINFER_SAMPLER", "1") }, `VLLM_USE_FLASHINFER_SAMPLER=1 vllm serve m --max-num-seqs 4 --enforce-eager --compilation-config '{"cudagraph_capture_sizes":[1,2]}' --port 8000`},
		{"JSON value", func(s Settings) Settings {
			return s.With("--speculative-config", `{"method":"ngram","num_speculative_tokens":3}`)
		}, `vllm serve m --max-num-seqs 4 --enforce-eager --compilation-config '{"cudagraph_capture_sizes":[1,2]}' --port 8000 --speculative-config '{"method":"ngram","num_speculative_tokens":3}'`},
	} {
		s := parse(t, base)
		before := s.String()
		got := c.edit(s)
		if got.String() != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
		if s.String() != before || before != base {
			t.Errorf("%s: the original changed: %s", c.name, s)
		}
		if d := s.Diff(got); len(d) == 0 {
			t.Errorf("%s: no difference", c.name)
		}
		again := parse(t, got.String())
		if d := again.Diff(got); len(d) > 0 {
			t.Errorf("%s: reads back with other %q", c.name, d)
		}
	}
	d := parse(t, `docker run --gpus all -e A=1 vllm/vllm-openai:v0.24.0 --model m`)
	if got := d.With("VLLM_USE_V2_MODEL_RUNNER", "1").String(); got != `docker run -e VLLM_USE_V2_MODEL_RUNNER=1 --gpus all -e A=1 vllm/vllm-openai:v0.24.0 --model m` {
		t.Error(got)
	}
	if got := d.Without("A").String(); got != `docker run --gpus all vllm/vllm-openai:v0.24.0 --model m` {
		t.Error(got)
	}
	e := parse(t, `A=1 B=2 vllm serve m`)
	if got := e.Without("A").With("B", "x y").String(); got != `B='x y' vllm serve m` {
		t.Error(got)
	}
	if got := parse(t, `vllm serve m --max-num-seqs 4 --max-num-seqs 8`).With("--max-num-seqs", "9").String(); got != `vllm serve m --max-num-seqs 9` {
		t.Error(got)
	}
}

func FuzzParseCommand(f *testing.F) {
	f.Add(`vllm serve m --max-num-seqs 4 -O3 -cc.x=y --compilation-config '{"a":{"b":[1]}}' --no-enable-prefix-caching`)
	f.Add(`HF_TOKEN=hf_abcdefghijklmnop docker run -e A=b vllm/vllm-openai:v0.24.0 --model m --api-key k`)
	f.Add(`python -m sglang.launch_server --model-path m --tp 2`)
	f.Add("vllm serve 'a\nb' \\\n --x=\"y\\\"\" # c")
	f.Add("env A=\"x y\" vllm serve -- --cudagraph-capture-sizes 1 2")
	f.Fuzz(func(t *testing.T, line string) {
		s, err := ParseCommand(line)
		if err != nil {
			if !errors.Is(err, ErrCommand) {
				t.Fatalf("another error: %v", err)
			}
			return
		}
		for _, n := range s.Names() {
			if v, ok := s.Value(n); ok && SecretName(n) && len(v) > 12 && !strings.Contains(n, ".") {
				if shown, _ := s.Shown(n); shown == v {
					t.Fatalf("%s is shown", n)
				}
			}
		}
		// What is written reads back as the same settings.
		edited := s.With("--max-num-seqs", "7")
		words := edited.Argv()
		for i, w := range words {
			words[i] = quoteShell(w)
		}
		if v, ok := edited.Value("--max-num-seqs"); !ok || v != "7" {
			t.Fatalf("edit lost: %q", edited.Names())
		}
		_ = s.String()
		_ = edited.Without("--max-num-seqs").String()
	})
}

func FuzzParseNonDefaultArgs(f *testing.F) {
	f.Add(nonDefault)
	f.Add(`args: Namespace(a=1, b=[None, True], c=<X.Y: 1>, d=f(1), e=b'x', g={1, 2}, h=('a',))`)
	f.Add(`{'a': "it's", "b": 'c\'d', 'e': -1e-5, 'f': inf}`)
	f.Fuzz(func(t *testing.T, line string) {
		s, err := ParseNonDefaultArgs(line)
		if err != nil {
			if !errors.Is(err, ErrRepr) {
				t.Fatalf("another error: %v", err)
			}
			return
		}
		_ = s.String()
		_, _ = ParseEngineConfig("Initializing a V1 LLM engine (v0.24.0) with config: " + line)
	})
}

// A field has one option, so a look-up by field has one answer.
func TestFieldsAreUnique(t *testing.T) {
	seen := map[string]string{}
	for opt, field := range jsonFields {
		if other, ok := seen[field]; ok {
			t.Errorf("%s and %s are both %s", opt, other, field)
		}
		seen[field] = opt
	}
}
