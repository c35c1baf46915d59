//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/experiment"
	"github.com/stepscope/stepscope/internal/fakeengine"
	"github.com/stepscope/stepscope/knob"
)

func TestMain(m *testing.M) {
	fakeengine.Main()
	os.Exit(m.Run())
}

// server installs the stand-ins for vLLM, nsys and nvidia-smi and returns a command that starts the server.
func server(t *testing.T) []string {
	t.Helper()
	bin := fakeengine.Install(t)
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("FAKE_ITL", "6ms")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return []string{"--", "vllm", "serve", "/m", "--port", strconv.Itoa(l.Addr().(*net.TCPAddr).Port), "--hf-token", fakeengine.Secret}
}

var quick = []string{"--requests", "6", "--concurrency", "3", "--output-len", "20", "--input-len", "8"}

func TestTryWritesTheStory(t *testing.T) {
	command, ledger := server(t), filepath.Join(t.TempDir(), "led")
	args := append([]string{"try", "quantization=fp8", "--repeat", "2", "--bursts", "1", "--goal", "tpot_ms", "--engine", "vllm@0.24.0", "--dir", ledger}, quick...)
	code, stdout, stderr := program(t, append(args, command...)...)
	if code != exitOK {
		t.Fatalf("code %d\n%s%s", code, stdout, stderr)
	}
	for _, want := range []string{"--quantization: not set -> fp8\n", "measured:  tpot_ms ", "answers_equal_share worse", "written down as "} {
		if !strings.Contains(stdout, want) {
			t.Errorf("lacks %q:\n%s", want, stdout)
		}
	}
	// Two starts on a busy machine may not show the gain, but a loss they cannot.
	if !strings.Contains(stdout, "\nBETTER: ") && !strings.Contains(stdout, "\nUNCLEAR: ") {
		t.Errorf("no verdict, or a wrong one:\n%s", stdout)
	}
	code, story, stderr := program(t, "ledger", "--dir", ledger)
	if code != exitOK || !strings.Contains(story, "quantization") {
		t.Errorf("story: code %d\n%s%s", code, story, stderr)
	}
	if strings.Contains(stdout+stderr+story, fakeengine.Secret) {
		t.Error("a secret is shown")
	}
}

func TestTryRefuses(t *testing.T) {
	command := server(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"try"}, "KNOB=VALUE"},
		{[]string{"try", "quantization=fp8", "max-num-seqs=8"}, "--force"},
		{[]string{"try", "no-such-knob=1", "--engine", "vllm@0.24.0"}, "no-such-knob"},
		{[]string{"try", "max-num-seqs=7", "--advice", filepath.Join("..", "..", "testdata", "captures", "kvsmall-A")}, "does not advise max-num-seqs=7 but"},
		{[]string{"try", "quantization=fp8", "max-num-seqs=4", "--advice", filepath.Join("..", "..", "testdata", "captures", "kvsmall-A")}, "several were given"},
	} {
		code, stdout, stderr := program(t, append(c.args, command...)...)
		if code != exitInput || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: code %d, want %q in\n%s%s", c.args, code, c.want, stdout, stderr)
		}
	}
	if code, _, stderr := program(t, "try", "quantization=fp8"); code != exitInput || !strings.Contains(stderr, "behind --") {
		t.Errorf("no command: code %d, %s", code, stderr)
	}
}

// A knob may be written as on the server's command line; try's own options come first.
func TestTryKnobsWithDashes(t *testing.T) {
	command := server(t)
	for _, c := range []struct{ args, want string }{
		{"--quantization=fp8", "--quantization: not set -> fp8"},
		{"--quantization fp8 --bursts 2", "--quantization: not set -> fp8"},
		{"--repeat 2 --max_num_seqs 64 -f text", "--max-num-seqs: not set -> 64"},
		{"--max-model-len -1", "--max-model-len: not set -> -1"},
		{"--enforce-eager", "--enforce-eager: not set -> true"},
		{"--enforce-eager --no-ledger", "--enforce-eager: not set -> true"},
		{"--no-enable-prefix-caching", "--enable-prefix-caching: not set -> false"},
		{"--compilation-config.cudagraph_mode=FULL", "--compilation-config.cudagraph_mode: not set -> FULL"},
		{"seed=3 --seed 4", "--seed: not set -> 3"},
		{"--text --quantization=fp8", "expected string"}, // the remark is missing: nothing becomes one
		{"--no-such-option=1", "unknown flag --no-such-option"},
		{"--kv-cache-dtype=int8", "never a value"},
	} {
		args := append([]string{"try", "--dry-run", "--engine", "vllm@0.24.0"}, strings.Fields(c.args)...)
		_, stdout, stderr := program(t, append(args, command...)...)
		if !strings.Contains(stdout+stderr, c.want) {
			t.Errorf("%s: want %q in\n%s%s", c.args, c.want, stdout, stderr)
		}
	}
}

func TestTryTakesTheFirstAdvice(t *testing.T) {
	command := server(t)
	code, stdout, stderr := program(t, append([]string{"try", "--advice", filepath.Join("..", "..", "testdata", "captures", "kvsmall-A"), "--dry-run", "--engine", "vllm@0.24.0", "--format", "json"},
		append(command, "--num-gpu-blocks-override", "420")...)...)
	if code != exitOK {
		t.Fatalf("code %d\n%s", code, stderr)
	}
	var plan struct {
		Schema, Goal string
		Changes      []string
	}
	if err := json.Unmarshal([]byte(stdout), &plan); err != nil {
		t.Fatal(err)
	}
	if plan.Schema != trySchema || plan.Goal != "output_tokens_per_s" || len(plan.Changes) != 1 || !strings.HasPrefix(plan.Changes[0], "--num-gpu-blocks-override: 420 -> ") {
		t.Errorf("plan %+v", plan)
	}
}

func TestTryTakesThePredictionForAChange(t *testing.T) {
	command := server(t)
	code, stdout, stderr := program(t, append([]string{"try", "num-gpu-blocks-override=default", "--advice", filepath.Join("..", "..", "testdata", "captures", "kvsmall-A"), "--dry-run", "--engine", "vllm@0.24.0"},
		append(command, "--num-gpu-blocks-override", "420")...)...)
	if code != exitOK || !strings.Contains(stdout, "predicted: output_tokens_per_s ") || !strings.Contains(stdout, "--num-gpu-blocks-override: 420 -> default") {
		t.Errorf("code %d\n%s%s", code, stdout, stderr)
	}
}

func TestCaptureLeavesAFolderThatVerbsRead(t *testing.T) {
	command, out := server(t), filepath.Join(t.TempDir(), "cap")
	code, stdout, stderr := program(t, append(append([]string{"capture", "--profiler", "none", "--engine", "vllm@0.24.0", "--out", out}, quick...), command...)...)
	if code != exitOK {
		t.Fatalf("code %d\n%s%s", code, stdout, stderr)
	}
	for _, name := range []string{"manifest.json", "bench.json", "server.log", "metrics_before.txt", "metrics_after.txt", "samples.json", "command.txt"} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			t.Error(err)
		}
	}
	code, stdout, stderr = program(t, "compare", out, out)
	if code != exitOK || !strings.Contains(stdout, "output") {
		t.Errorf("compare: code %d\n%s%s", code, stdout, stderr)
	}
}

// A burst of which most failed leaves a whole folder, and is no success.
func TestCaptureOfAFailingServer(t *testing.T) {
	t.Setenv("FAKE_FULL", "6") // a probe, three to warm up, two of six
	command, out := server(t), filepath.Join(t.TempDir(), "cap")
	code, stdout, stderr := program(t, append(append([]string{"capture", "--profiler", "none", "--engine", "vllm@0.24.0", "--out", out}, quick...), command...)...)
	if code != exitInput || !strings.Contains(stderr, "the unprofiled burst: 4 of 6 requests failed, most of them with http-503 (4)") {
		t.Errorf("code %d\n%s%s", code, stdout, stderr)
	}
	if _, err := os.Stat(filepath.Join(out, "manifest.json")); err != nil {
		t.Error(err)
	}
}

// TestTryHoldsTheAdviceAgainstTheCommand: an advice is for the server that was captured, and not for another one.
func TestTryHoldsTheAdviceAgainstTheCommand(t *testing.T) {
	command := server(t)
	seqs := filepath.Join("..", "..", "testdata", "captures", "seqs8-I")
	file := filepath.Join(t.TempDir(), "d.json")
	if code, _, errs := program(t, "diagnose", seqs, "-f", "json", "-o", file); code != exitOK {
		t.Fatal(errs)
	}
	leak := filepath.Join("..", "..", "testdata", "captures", "leak1b-J")
	for _, c := range []struct {
		name   string
		args   []string
		code   int
		stdout []string
		stderr []string
	}{
		{"another value by default", append([]string{"--advice", seqs}, command...), exitInput, nil,
			[]string{"with --max-num-seqs 8", "1024 (not set", "--force", "own command"}},
		{"the same by a diagnosis file", append([]string{"--advice", file}, command...), exitInput, nil, []string{"with --max-num-seqs 8", "1024 (not set"}},
		{"another value that is set", append(append([]string{"--advice", seqs}, command...), "--max-num-seqs", "16"), exitInput, nil, []string{"this command has 16"}},
		{"forced", append([]string{"--advice", seqs, "--force"}, command...), exitOK, []string{"--max-num-seqs: not set -> ", "prediction was left out", "judged by output_tokens_per_s"}, nil},
		{"the same value", append(append([]string{"--advice", seqs}, command...), "--max-num-seqs", "8"), exitOK, []string{"--max-num-seqs: 8 -> ", "predicted: output_tokens_per_s"}, nil},
		{"the capture's own command", []string{"--advice", seqs}, exitOK, []string{"--max-num-seqs: 8 -> ", "before: VLLM_WORKER_MULTIPROC_METHOD=spawn vllm serve /models/llama8b "}, []string{"no command was given"}},
		{"a file has no command", []string{"--advice", file}, exitInput, nil, []string{"behind --"}},
		{"a leak", append([]string{"--advice", leak}, command...), exitInput, nil, []string{"proves nothing about a leak"}},
		{"a leak by name", append([]string{"logits-processors=default", "--advice", leak}, command...), exitInput, nil, []string{"proves nothing about a leak"}},
	} {
		code, stdout, stderr := program(t, append([]string{"try", "--dry-run", "--engine", "vllm@0.24.0"}, c.args...)...)
		if code != c.code {
			t.Errorf("%s: code %d\n%s%s", c.name, code, stdout, stderr)
		}
		for _, w := range c.stdout {
			if !strings.Contains(stdout, w) {
				t.Errorf("%s: lacks %q:\n%s", c.name, w, stdout)
			}
		}
		for _, w := range c.stderr {
			if !strings.Contains(stderr, w) {
				t.Errorf("%s: lacks %q:\n%s", c.name, w, stderr)
			}
		}
		if strings.Contains(stdout, "profiler-config") {
			t.Errorf("%s: what was set for the capture is tried too:\n%s", c.name, stdout)
		}
		if c.name == "forced" && strings.Contains(stdout, "predicted:") {
			t.Errorf("a prediction for another server is printed:\n%s", stdout)
		}
	}
}

func TestMaskedCommandIsNotStarted(t *testing.T) {
	for line, want := range map[string]string{
		"vllm serve m --api-key '***'":                                      "secrets masked",
		"HF_TOKEN=*** vllm serve m":                                         "secrets masked",
		"vllm serve m --seed 0 --profiler-config '{\"profiler\":\"cuda\"}'": "",
	} {
		s, err := knob.ParseCommandFor(line, knob.Engine{Name: knob.VLLM, Version: "0.24.0"})
		if err != nil {
			t.Fatal(err)
		}
		argv, err := advised{server: &experiment.Advised{Settings: &s}}.command("cap")
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) || want == "" && (err != nil || strings.Join(argv, " ") != "vllm serve m --seed 0") {
			t.Errorf("%s: %v, %v", line, argv, err)
		}
	}
}

// A ledger that breaks while servers run takes no result; the user gets it all the same.
func TestTryPrintsWhatItCannotWriteDown(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	command, led, bin := server(t), filepath.Join(t.TempDir(), "led"), t.TempDir()
	vllm, err := exec.LookPath("vllm")
	if err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\nrm -rf '%[1]s/objects'\n: > '%[1]s/objects'\nexec '%[2]s' \"$@\"\n", led, vllm)
	if err := os.WriteFile(filepath.Join(bin, "vllm"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	for format, want := range map[string]string{"text": "output_tokens_per_s", "json": `"schema": "` + trySchema + `"`} {
		os.RemoveAll(led)
		args := append([]string{"try", "max-num-seqs=4", "--repeat", "1", "--bursts", "1", "-f", format, "--engine", "vllm@0.24.0", "--dir", led}, quick...)
		code, stdout, stderr := program(t, append(args, command...)...)
		if code != exitInput || !strings.Contains(stdout, want) || strings.Contains(stdout, "written down as") {
			t.Errorf("%s: code %d\n%s", format, code, stdout)
		}
		_, kept, _ := strings.Cut(strings.TrimSpace(stderr), "of every start are in ")
		if _, err := os.Stat(filepath.Join(kept, "change-1", "server.log")); err != nil || !strings.Contains(stderr, "not written to the ledger "+led) {
			t.Errorf("%s: %v\n%s", format, err, stderr)
		}
	}
}

// A change under which the server does not run leaves nothing to compare.
func TestTryWhatDoesNotRun(t *testing.T) {
	command := server(t)
	args := append([]string{"try", "kv-cache-dtype=fp8", "--repeat", "1", "--bursts", "1", "--engine", "vllm@0.24.0", "--no-ledger"}, quick...)
	code, stdout, stderr := program(t, append(args, command...)...)
	if code != exitOK || !strings.Contains(stdout, "WORSE: the server does not run with the change: ") || strings.Contains(stdout, "VERDICT") || strings.Contains(stdout, "UNCLEAR") {
		t.Errorf("code %d\n%s%s", code, stdout, stderr)
	}
}
