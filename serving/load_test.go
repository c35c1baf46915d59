package serving

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// folder is a consistent capture folder, changed by the test.
func folder(change map[string]string) fstest.MapFS {
	metrics := func(n int) string {
		return fmt.Sprintf(`# TYPE process_start_time_seconds gauge
process_start_time_seconds 1795502341.31
# TYPE vllm:request_success_total counter
vllm:request_success_total{finished_reason="length",model_name="m"} %d
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{model_name="m"} %d
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{kv_cache_size_tokens="1000",block_size="16",model_name="m"} 1
`, 5+n, 50+10*n)
	}
	files := map[string]string{
		"bench.json":                `{"model_id": "/models/m", "completed": 10, "duration": 2, "total_output_tokens": 100, "mean_ttft_ms": 5}`,
		"bench_during_capture.json": `{"model_id": "/models/m", "completed": 10, "duration": 5}`,
		"metrics_before.txt":        metrics(0),
		"metrics_after.txt":         metrics(10),
		"command.txt":               "HF_TOKEN=hf_secretsecretsecret vllm serve /models/m --api-key topsecret --port 80\n",
		"server.log": `WARNING 11-24 06:39:05 [cuda.py:45] Failed to import from vllm._qutlass_C
(EngineCore pid=1) INFO 11-24 06:39:43 [core.py:114] Initializing a V1 LLM engine (v0.24.0) with config: model='/models/m', dtype=torch.bfloat16, served_model_name=m
(EngineCore pid=1) INFO 11-24 06:39:48 [kv_cache_utils.py:1] GPU KV cache size: 1,000 tokens
`,
		"spans.json": spansJSON,
		"notes.txt":  "not ours",
	}
	for name, text := range change {
		if text == "-" {
			delete(files, name)
		} else {
			files[name] = text
		}
	}
	out := fstest.MapFS{}
	for name, text := range files {
		out[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return out
}

func TestLoadFolder(t *testing.T) {
	r, err := LoadFolder(folder(map[string]string{"spans.json": "-"}))
	if err != nil || len(r.Warnings) > 0 {
		t.Fatalf("%v, warnings %v", err, r.Warnings)
	}
	if r.Bench.Completed.Value != 10 || r.BenchDuringCapture.DurationS.Value != 5 || r.Delta.Requests.Value != 10 || r.Trace != nil || r.Log == nil {
		t.Errorf("%+v", r)
	}
	if got, want := r.Command.Value, "HF_TOKEN=*** vllm serve /models/m --api-key *** --port 80"; got != want {
		t.Errorf("command = %s", got)
	}
	e := r.Engine
	if e.DType.Source.File != "server.log" || e.BlockSize.Source.File != "metrics_after.txt" || e.KVCacheTokens.Source.File != "server.log" || e.MaxNumSeqs.Known {
		t.Errorf("engine = %+v", e)
	}
	if got := time.Unix(0, r.LogStart.Value).UTC().Format(time.RFC3339); got != "2026-11-24T06:39:05Z" {
		t.Errorf("log start = %s", got)
	}
	empty, err := LoadFolder(fstest.MapFS{})
	if err != nil || !reflect.DeepEqual(empty, &Run{}) {
		t.Errorf("empty folder: %+v, %v", empty, err)
	}
}

func TestLogStartInZones(t *testing.T) {
	for stamp, want := range map[string]string{
		"11-24 07:39:05": "2026-11-24T06:39:05Z", // UTC+1
		"11-23 22:39:05": "2026-11-24T06:39:05Z", // UTC-8
		"11-24 12:09:05": "2026-11-24T06:39:05Z", // UTC+5:30
		"11-24 06:44:05": "",                     // five minutes after the process
	} {
		text := folder(nil)["server.log"].Data
		log := strings.Replace(string(text), "11-24 06:39:05", stamp, 1)
		r, err := LoadFolder(folder(map[string]string{"server.log": log, "spans.json": "-"}))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if r.LogStart.Known {
			got = time.Unix(0, r.LogStart.Value).UTC().Format(time.RFC3339)
		}
		if got != want || (want == "") != (len(r.Warnings) > 0) {
			t.Errorf("%s: %s, warnings %v", stamp, got, r.Warnings)
		}
	}
}

func TestLoadDisagreements(t *testing.T) {
	base := folder(nil)
	replaced := func(file, from, to string) map[string]string {
		text := string(base[file].Data)
		if !strings.Contains(text, from) {
			t.Fatalf("%s does not contain %q", file, from)
		}
		return map[string]string{file: strings.ReplaceAll(text, from, to), "spans.json": "-"}
	}
	for name, c := range map[string]struct {
		change map[string]string
		want   string
		err    error
	}{
		"fewer requests at the server": {replaced("bench.json", `"completed": 10`, `"completed": 50`), "requests-differ", nil},
		"more requests at the server":  {replaced("bench.json", `"completed": 10`, `"completed": 4`), "requests-differ", nil},
		"one warm-up request":          {replaced("bench.json", `"completed": 10`, `"completed": 9`), "", nil},
		"output tokens":                {replaced("bench.json", `"total_output_tokens": 100`, `"total_output_tokens": 1000`), "output-tokens-differ", nil},
		"model of benchmark":           {replaced("bench.json", "/models/m", "/models/other"), "models-differ", nil},
		"model of log":                 {replaced("server.log", "served_model_name=m", "served_model_name=other"), "", nil}, // the path still fits
		"model of log, both names":     {map[string]string{"server.log": strings.ReplaceAll(strings.ReplaceAll(string(base["server.log"].Data), "served_model_name=m", "served_model_name=x"), "/models/m", "/models/y"), "spans.json": "-"}, "models-differ", nil},
		"KV size":                      {replaced("server.log", "1,000 tokens", "2,000 tokens"), "kv-size-differs", nil},
		"engine":                       {map[string]string{"server.log": sglangLog, "spans.json": "-"}, "engines-differ kv-size-differs log-not-aligned", nil},
		"spans of fewer requests":      {map[string]string{}, "spans-missing", nil},
		"swapped metrics":              {map[string]string{"metrics_before.txt": string(base["metrics_after.txt"].Data), "metrics_after.txt": string(base["metrics_before.txt"].Data), "spans.json": "-"}, "metrics-mismatch", ErrMismatch},
		"metrics of another process":   {replaced("metrics_after.txt", "1795502341.31", "1795509999"), "metrics-mismatch", ErrMismatch},
		"broken benchmark":             {map[string]string{"bench.json": "{", "spans.json": "-"}, "unreadable", ErrMalformed},
		"broken metrics":               {map[string]string{"metrics_after.txt": "x y z\n", "spans.json": "-"}, "unreadable", ErrMalformed},
		"broken log":                   {map[string]string{"server.log": "nothing\n", "spans.json": "-"}, "unreadable", ErrUnrecognised},
		"broken spans":                 {map[string]string{"spans.json": "nothing\n"}, "unreadable", ErrUnrecognised},
		"empty command":                {map[string]string{"command.txt": "\n", "spans.json": "-"}, "unreadable", ErrUnrecognised},
		"no log":                       {map[string]string{"server.log": "-", "spans.json": "-"}, "", nil},
		"no metrics":                   {map[string]string{"metrics_after.txt": "-", "metrics_before.txt": "-", "spans.json": "-"}, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := LoadFolder(folder(c.change))
			if (err == nil) != (c.err == nil) || c.err != nil && !errors.Is(err, c.err) {
				t.Errorf("error = %v, want %v", err, c.err)
			}
			if got := strings.Join(ids(r.Warnings), " "); got != c.want {
				t.Errorf("warnings = %v, want %q", r.Warnings, c.want)
			}
		})
	}
}

func TestLoadMissingFile(t *testing.T) {
	r, err := Load(nil, Files{})
	if err != nil || r.Bench != nil {
		t.Errorf("%v %v", r, err)
	}
	fsys := folder(nil)
	r, err = LoadFolder(fstest.MapFS{"bench.json": fsys["bench.json"], "spans_1.jsonl": fsys["spans.json"], "otlp-2.pb": {Data: marshal(t, spansProto())}})
	if err != nil || len(r.Trace.Requests) != 2 || r.Trace.Spans != 8 || len(r.Requests()) != 2 || len(r.Trace.Service) != 1 {
		t.Errorf("%+v %v", r.Trace, err)
	}
}

func TestAllWarnings(t *testing.T) {
	r, err := LoadFolder(folder(map[string]string{
		"bench.json":        `{"completed": 50, "completed": 50, "duration": 2}`,
		"metrics_after.txt": string(folder(nil)["metrics_after.txt"].Data) + "vllm:x 1",
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := "requests-differ spans-missing duplicate-key truncated"
	if got := strings.Join(ids(r.AllWarnings()), " "); got != want {
		t.Errorf("warnings = %q, want %q", got, want)
	}
}
