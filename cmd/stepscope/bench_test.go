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
