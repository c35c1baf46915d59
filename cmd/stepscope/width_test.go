//go:build unix

package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stepscope/stepscope/report"
)

// narrow fails for lines over the usual width, commands aside: these are copied.
func narrow(t *testing.T, what, out string) {
	t.Helper()
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\n")
		command := strings.HasPrefix(strings.TrimSpace(line), "$ ") || strings.HasPrefix(line, "before: ") || strings.HasPrefix(line, "after: ")
		if n := utf8.RuneCountInString(line); n > report.Width && !command {
			t.Errorf("%s: %d columns: %s", what, n, line)
		}
	}
}

func TestTextFitsTheScreen(t *testing.T) {
	command := server(t)
	dir := filepath.Join("..", "..", "testdata", "captures", "seqs8-I")
	for _, c := range [][]string{
		append([]string{"try", "quantization=fp8", "--dry-run", "--engine", "vllm@0.24.0"}, command...),
		append([]string{"try", "max-num-seqs=64", "gpu-memory-utilization=0.5", "--force", "--dry-run", "--engine", "vllm@0.24.0"}, command...),
		append([]string{"capture", "--dry-run", "--any-gpu", "--scopes", "--gpu-metrics", "--out", "out"}, command...),
		append([]string{"capture", "--dry-run", "--any-gpu", "--profiler", "torch", "--out", "out"}, command...),
		{"capture", "--ncu-plan", dir},
		{"stats", dir},
		{"stats", dir, "-r", "cuda_gpu_trace"},
	} {
		code, out, errs := program(t, c...)
		if code != exitOK {
			t.Errorf("%v: code %d: %s", c, code, errs)
		}
		narrow(t, strings.Join(c, " "), out)
	}
}

func TestBenchNotesFitTheScreen(t *testing.T) {
	command, out := server(t), filepath.Join(t.TempDir(), "cap")
	code, stdout, stderr := program(t, append(append([]string{"capture", "--profiler", "none", "--engine", "vllm@0.24.0", "--out", out}, quick...), command...)...)
	if code != exitOK || !strings.Contains(stdout, "  note: ") {
		t.Fatalf("code %d\n%s%s", code, stdout, stderr)
	}
	narrow(t, "capture", strings.ReplaceAll(stdout, out, "cap"))
}

func TestParagraph(t *testing.T) {
	var b bytes.Buffer
	paragraph(&b, "note: ", strings.Repeat("nine char ", 12)+strings.Repeat("x", 120)+" end")
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], "note: nine") || !strings.HasPrefix(lines[1], "      char nine") || lines[2] != "      "+strings.Repeat("x", 120) || lines[3] != "      end" {
		t.Errorf("%q", lines)
	}
	b.Reset()
	if paragraph(&b, "note: ", ""); b.String() != "note: \n" {
		t.Errorf("%q", b.String())
	}
}
