package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stepscope/stepscope/internal/fakeopenai"
)

func TestOpenLoopHasNoBoundUnlessAsked(t *testing.T) {
	s := fakeopenai.New(t, fakeopenai.Config{TTFT: 300 * time.Millisecond})
	load := []string{"bench", s.URL, "--requests", "30", "--rate", "200", "--output-len", "1", "--input-len", "4"}
	code, out, errs := program(t, load...)
	if code != exitOK || s.Peak() <= 8 || strings.Contains(out, "in flight") {
		t.Errorf("code %d, %d at once: an open loop does not wait\n%s%s", code, s.Peak(), out, errs)
	}
	bounded := fakeopenai.New(t, fakeopenai.Config{TTFT: 100 * time.Millisecond})
	load[1] = bounded.URL
	code, out, errs = program(t, append(load, "--concurrency", "8", "--slo", "ttft:180")...)
	if code != exitOK || bounded.Peak() != 8 || !strings.Contains(out, "with at most 8 in flight") || !strings.Contains(out, "goodput counts it") {
		t.Errorf("bounded: code %d, %d at once\n%s%s", code, bounded.Peak(), out, errs)
	}
	// Each is answered within 0.18 s of its sending, but only the first are sent when they are due.
	if strings.Contains(out, "(30 within the bounds)") {
		t.Errorf("what the bound held back counts as good:\n%s", out)
	}
}

func TestBenchFailsWhenMostRequestsFail(t *testing.T) {
	for _, c := range []struct {
		dies, code int
		want       string
	}{
		{4, exitInput, " of 20 requests failed, most of them with http-500 ("},
		{18, exitOK, " of 20 requests failed, most of them with http-500 ("},
	} {
		s := fakeopenai.New(t, fakeopenai.Config{})
		first := -1
		cfg := fakeopenai.Config{Fault: func(n int) fakeopenai.Fault {
			if first >= 0 && n >= first+c.dies {
				return fakeopenai.Fault{Kind: fakeopenai.FaultStatus, Status: 500, Body: "engine dead"}
			}
			return fakeopenai.Fault{}
		}}
		// How many requests come before the measured ones is found out first.
		program(t, "bench", s.URL, "--requests", "20", "--concurrency", "1", "--warmup=-1", "--output-len", "1", "--input-len", "4")
		first = s.Requests() - 20
		s = fakeopenai.New(t, cfg)
		file := filepath.Join(t.TempDir(), "b.json")
		code, out, errs := program(t, "bench", s.URL, "--requests", "20", "--concurrency", "1", "--warmup=-1", "--output-len", "1", "--input-len", "4", "-f", "json", "-o", file)
		if code != c.code || !strings.Contains(errs, c.want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("dies after %d: code %d\n%s%s", c.dies, code, out, errs)
		}
		if b, err := os.ReadFile(file); err != nil || !json.Valid(b) {
			t.Errorf("dies after %d: no result: %v", c.dies, err)
		}
	}
}

func TestBenchRefusesNoRequests(t *testing.T) {
	s := fakeopenai.New(t, fakeopenai.Config{})
	if code, _, errs := program(t, "bench", s.URL, "--requests", "0"); code != exitInput || !strings.Contains(errs, "--requests 0") || s.Requests() != 0 {
		t.Errorf("code %d after %d requests: %s", code, s.Requests(), errs)
	}
}

// The lengths of a prompt file are asked for, unless the user asks for another.
func TestBenchTakesTheFilesLengths(t *testing.T) {
	dir := t.TempDir()
	lengths, plain := filepath.Join(dir, "p.jsonl"), filepath.Join(dir, "q.txt")
	if err := os.WriteFile(lengths, []byte(`{"prompt":"one two","output_len":3}`+"\n"+`{"prompt":"three four","max_tokens":3}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(plain, []byte("one two\nthree four\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := fakeopenai.New(t, fakeopenai.Config{})
	for _, c := range []struct {
		file, text string
		args       []string
		tokens     int
	}{
		{file: lengths, tokens: 6, text: "prompts of a file in, lengths of a file out"},
		{file: lengths, tokens: 10, text: "prompts of a file in, 5 out", args: []string{"--output-len", "5"}},
		{file: plain, tokens: 256, text: "prompts of a file in, 128 out"},
	} {
		args := append([]string{"bench", s.URL, "--requests", "2", "--concurrency", "1", "--warmup", "-1", "--prompts", c.file, "-o", filepath.Join(dir, "r.json")}, c.args...)
		code, out, errs := program(t, args...)
		b, err := os.ReadFile(filepath.Join(dir, "r.json"))
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Tokens    int `json:"total_output_tokens"`
			Stepscope struct {
				Warmup int `json:"warmup_requests"`
			}
		}
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if code != exitOK || got.Tokens != c.tokens || got.Stepscope.Warmup != 0 || !strings.Contains(strings.Join(strings.Fields(out), " "), c.text) {
			t.Errorf("%v: code %d, %+v\n%s%s", args, code, got, out, errs)
		}
	}
}

func TestBenchRefuses(t *testing.T) {
	s := fakeopenai.New(t, fakeopenai.Config{})
	t.Setenv("STEPSCOPE_EMPTY_KEY", "")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--key-env", "STEPSCOPE_EMPTY_KEY"}, "STEPSCOPE_EMPTY_KEY is not set"},
		{[]string{"--slo", "ttft:100,ttft:200"}, "ttft has a bound already, 100 ms"},
		{[]string{"--slo", "ttft:NaN"}, "NAME:MS"},
		{[]string{"--slo", "foo:1"}, "ttft, tpot, itl and e2e"},
		{[]string{"--output-len", "-5"}, "output length of -5"},
	} {
		code, _, errs := program(t, append([]string{"bench", s.URL}, c.args...)...)
		if code != exitInput || !strings.Contains(errs, c.want) || s.Requests() != 0 {
			t.Errorf("%v: code %d after %d requests: %s", c.args, code, s.Requests(), errs)
		}
	}
}
