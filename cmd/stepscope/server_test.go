//go:build unix

package main

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/internal/fakeengine"
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

func TestTryTakesTheFirstAdvice(t *testing.T) {
	command := server(t)
	code, stdout, stderr := program(t, append([]string{"try", "--advice", filepath.Join("..", "..", "testdata", "captures", "kvsmall-A"), "--dry-run", "--engine", "vllm@0.24.0", "--format", "json"},
		append(command, "--num-gpu-blocks-override", "100")...)...)
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
	if plan.Schema != trySchema || plan.Goal != "output_tokens_per_s" || len(plan.Changes) != 1 || !strings.HasPrefix(plan.Changes[0], "--num-gpu-blocks-override: 100 -> ") {
		t.Errorf("plan %+v", plan)
	}
}

func TestTryTakesThePredictionForAChange(t *testing.T) {
	command := server(t)
	code, stdout, stderr := program(t, append([]string{"try", "num-gpu-blocks-override=default", "--advice", filepath.Join("..", "..", "testdata", "captures", "kvsmall-A"), "--dry-run", "--engine", "vllm@0.24.0"},
		append(command, "--num-gpu-blocks-override", "100")...)...)
	if code != exitOK || !strings.Contains(stdout, "predicted: output_tokens_per_s ") || !strings.Contains(stdout, "--num-gpu-blocks-override: 100 -> default") {
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
