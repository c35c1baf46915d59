package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/report"
)

var update = flag.Bool("update", false, "write the goldens")

// program runs the program in this process.
func program(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(context.Background(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test ./cmd/stepscope -update)", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestDemo(t *testing.T) {
	for _, c := range []struct {
		golden string
		args   []string
	}{
		{"demo.txt", []string{"diagnose"}},
		{"demo-verbose.txt", []string{"diagnose", "-v"}},
		{"demo-steps.csv", []string{"steps", "--format", "csv"}},
		{"demo-steps.txt", []string{"steps"}},
		{"demo-curves.csv", []string{"curves", "--format", "csv", "--bin", "50ms"}},
	} {
		t.Run(c.golden, func(t *testing.T) {
			code, out, errs := program(t, c.args...)
			label := "stepscope: no PROFILE was given: this is the embedded capture eager1b-G\n"
			if c.args[0] == "diagnose" { // its first line names the capture
				label = ""
			}
			if code != 0 || errs != label {
				t.Fatalf("exit %d: %s", code, errs)
			}
			golden(t, c.golden, out)
			if strings.HasSuffix(c.golden, ".txt") {
				for i, l := range strings.Split(out, "\n") {
					if n := utf8.RuneCountInString(l); n > report.Width {
						t.Errorf("line %d has %d columns: %s", i+1, n, l)
					}
				}
			}
			if _, again, _ := program(t, c.args...); again != out {
				t.Error("two runs differ")
			}
		})
	}
}

func TestDemoJSONTellsTheStory(t *testing.T) {
	code, out, errs := program(t, "diagnose", "--format", "json")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	var d struct {
		Schema   string `json:"schema"`
		Findings []struct {
			ID       string `json:"id"`
			Severity string `json:"severity"`
			Advice   []struct {
				Flag      string `json:"flag"`
				Predicted *struct {
					Metric        string
					Before, After float64
					Low, High     float64
				} `json:"predicted"`
			} `json:"advice"`
		} `json:"findings"`
		Budget struct {
			Wall  int64 `json:"wall_ns"`
			Parts []struct {
				ID string `json:"id"`
				Ns int64  `json:"ns"`
			} `json:"parts"`
		} `json:"budget"`
		Steps struct {
			Count int `json:"count"`
		} `json:"steps"`
	}
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatal(err)
	}
	if d.Schema != "stepscope.diagnosis/1" || d.Steps.Count != 35 {
		t.Errorf("schema %q, %d steps", d.Schema, d.Steps.Count)
	}
	f := d.Findings[0]
	if f.ID != diagnose.HostLaunchBound || f.Severity != "high" || f.Advice[0].Flag != "--enforce-eager" {
		t.Errorf("first finding %+v", f)
	}
	// Measured without the flag: 2.92 ms.
	if p := f.Advice[0].Predicted; p == nil || p.Low > 2.92 || p.High < 2.92 {
		t.Errorf("prediction %+v misses what was measured", p)
	}
	var sum int64
	for _, p := range d.Budget.Parts {
		sum += p.Ns
	}
	if sum != d.Budget.Wall {
		t.Errorf("parts sum to %d, wall is %d", sum, d.Budget.Wall)
	}
}

// TestKnobsTakesOptionsBehindTheName: a name with dashes does not swallow what follows it.
func TestKnobsTakesOptionsBehindTheName(t *testing.T) {
	code, out, errs := program(t, "knobs", "--max-num-seqs", "--engine", "sglang@0.5", "-f", "json")
	if code != exitOK || !strings.Contains(out, `"engine": "sglang@0.5"`) || !strings.Contains(out, "--max-running-requests") {
		t.Errorf("code %d\n%s%s", code, out, errs)
	}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"diagnose", "--fail-on", "high"}, exitFinding},
		{[]string{"diagnose", "--fail-on", "none"}, exitOK},
		{[]string{"diagnose", "--explain", "queue-limited"}, exitOK},
		{[]string{"diagnose", "--explain", "nothing"}, exitInput},
		{[]string{"diagnose", "--window", "1s"}, exitInput},
		{[]string{"diagnose", "--gpu", "H1000"}, exitInput},
		{[]string{"nonsense"}, exitInput},
		{[]string{"--version"}, exitOK},
		{[]string{"stats", "--list", "x"}, exitOK},
		{[]string{"knobs", "--flash-attn"}, exitOK},
		{[]string{"knobs", "--scheduler=bh"}, exitOK},
		{[]string{"knobs", "sys", "graph"}, exitOK},
		{[]string{"knobs", "max-num-seq"}, exitInput},
		{[]string{"ledger", "verify"}, exitInput},
		{[]string{"curves", "--bin", "0"}, exitInput},
		{[]string{"curves", "--bin", "1ns"}, exitInput},
		// Steps and curves are measured, not judged: what only the limits need is no option of theirs.
		{[]string{"steps", "--gpu", "H100"}, exitInput},
		{[]string{"curves", "--engine", "vllm@0.24.0"}, exitInput},
		{[]string{"steps", "--model-config", "config.json"}, exitInput},
		{[]string{"steps", "--window", "0s..0.2s"}, exitOK},
	} {
		if code, _, errs := program(t, c.args...); code != c.want {
			t.Errorf("%v: exit %d, want %d (%s)", c.args, code, c.want, errs)
		}
	}
}

// TestBadInput gives every verb with a PROFILE what users give by mistake: one line of error that names the file, exit 2.
func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	empty := filepath.Join(dir, "folder")
	if err := os.Mkdir(empty, 0o700); err != nil {
		t.Fatal(err)
	}
	inputs := map[string]string{
		"missing":        filepath.Join(dir, "none.sqlite"),
		"empty":          write("empty.sqlite", ""),
		"text":           write("notes.txt", "hello\n"),
		"binary":         write("x.bin", "\x00\x01\x02\x03\x04\x05\x06\x07"),
		"sqlite header":  write("cut.sqlite", "SQLite format 3\x00"),
		"json":           write("x.json", `{"a": 1}`),
		"json cut":       write("y.json", `{"traceEvents": [`),
		"zstd of rubish": write("z.sqlite.zst", "\x28\xb5\x2f\xfd\x00\x00"),
		"gzip cut":       write("z.json.gz", "\x1f\x8b\x08\x00"),
		"report":         write("r.nsys-rep", "not a report"),
		"folder":         empty,
	}
	if fifo := filepath.Join(dir, "fifo"); makeFIFO(fifo) == nil {
		inputs["fifo"] = fifo
	}
	t.Setenv("PATH", dir)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	for what, path := range inputs {
		for _, verb := range [][]string{{"diagnose"}, {"steps"}, {"stats", "-r", "cuda_gpu_kern_sum"}, {"curves"}} {
			code, out, errs := program(t, append(verb, path)...)
			if code != exitInput || out != "" {
				t.Errorf("%s of %s: exit %d, output %.60q", verb[0], what, code, out)
			}
			if !strings.Contains(errs, filepath.Base(path)) || strings.Contains(errs, "goroutine") {
				t.Errorf("%s of %s: the error does not name the file: %s", verb[0], what, errs)
			}
		}
	}
}

func TestOutputFileAppearsWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "d.json")
	if code, out, errs := program(t, "diagnose", "--format", "json", "-o", path); code != 0 || out != "" {
		t.Fatalf("exit %d, %q, %s", code, out, errs)
	}
	data, err := os.ReadFile(path)
	if err != nil || !json.Valid(data) {
		t.Errorf("%v, valid %v", err, json.Valid(data))
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 1 {
		t.Errorf("%d files left", len(entries))
	}
	if code, _, _ := program(t, "diagnose", "-o", filepath.Join(dir, "no", "such", "folder")); code != exitInput {
		t.Errorf("exit %d for a folder that is not there", code)
	}
}

// TestNoSecretsInOutput: what captures hold of environments and keys never reaches a result.
func TestNoSecretsInOutput(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"command.txt": "HF_TOKEN=hf_abcdefghijklmnop vllm serve m --api-key sk-verysecret --enforce-eager\n",
		"server.log":  "(APIServer pid=1) INFO 11-24 06:39:23 [api_utils.py:273] non-default args: {'model': 'm', 'api_key': ['sk-verysecret'], 'enforce_eager': True}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(filepath.Join("..", "..", "demo", "eager1b-G", "profile.sqlite.zst"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "profile.sqlite.zst"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"text", "json"} {
		code, out, errs := program(t, "diagnose", dir, "-v", "--format", format)
		if code != 0 {
			t.Fatalf("exit %d: %s", code, errs)
		}
		if strings.Contains(out, "verysecret") || strings.Contains(out, "hf_abcdef") {
			t.Errorf("%s output holds a secret", format)
		}
	}
}

func TestCaptureStartsNothing(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "vllm"), []byte("#!/bin/sh\necho 0.24.0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	out := filepath.Join(dir, "out")
	code, stdout, stderr := program(t, "capture", "--dry-run", "--out", out, "--", "vllm", "serve", "M", "--port", "8123", "--api-key", "sk-secret")
	if code != exitOK || !strings.Contains(stdout, "--capture-range=cudaProfilerApi") || !strings.Contains(stdout, `"profiler":"cuda"`) || !strings.Contains(stdout, "Nothing was started.") {
		t.Errorf("dry run: code %d\n%s%s", code, stdout, stderr)
	}
	if strings.Contains(stdout+stderr, "sk-secret") {
		t.Errorf("the key is shown:\n%s", stdout)
	}
	if left, _ := filepath.Glob(out + "*"); len(left) > 0 {
		t.Errorf("a dry run wrote %v", left)
	}
	code, stdout, stderr = program(t, "capture", "--ncu-plan", "")
	if code != exitInput || !strings.Contains(stderr, "no server was given") {
		t.Errorf("no server: code %d\n%s%s", code, stdout, stderr)
	}
	code, _, stderr = program(t, "capture", "--profiler", "torch", "--", "docker", "run", "vllm")
	if code != exitInput || !strings.Contains(stderr, "docker starts the server elsewhere") {
		t.Errorf("docker: code %d, %s", code, stderr)
	}
}

func TestNCUPlanOfACapture(t *testing.T) {
	capture := filepath.Join("..", "..", "testdata", "captures", "base8b-F")
	code, stdout, stderr := program(t, "capture", "--ncu-plan", capture, "--format", "json")
	if code != exitOK {
		t.Fatalf("code %d: %s", code, stderr)
	}
	var plan struct {
		Schema, Command string
		Covered         float64
	}
	if err := json.Unmarshal([]byte(stdout), &plan); err != nil {
		t.Fatal(err)
	}
	// 48 requests were decoding, and a handful of GEMMs and attention is most of the time of a dense model.
	if plan.Schema != "stepscope.ncu-plan/1" || !strings.Contains(plan.Command, "--batch-size 48 ") || plan.Covered < 0.9 || plan.Covered > 1 {
		t.Errorf("plan: %+v", plan)
	}
	if code, stdout, _ := program(t, "capture", "--ncu-plan", capture); code != exitOK || !strings.Contains(stdout, "ncu --profile-from-start off") {
		t.Errorf("text: code %d\n%s", code, stdout)
	}
}
