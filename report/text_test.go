package report

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stepscope/stepscope/device"
	"github.com/stepscope/stepscope/internal/captest"
	"github.com/stepscope/stepscope/serving"
)

func text1(t *testing.T, r *captest.Result, verbose bool) string {
	t.Helper()
	var b bytes.Buffer
	if err := Text(&b, r.Diagnosis, TextOptions{Verbose: verbose}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The report on three servers with a planted cause each; the demo's is a golden of the command.
func TestTextOfCaptures(t *testing.T) {
	for _, name := range []string{"kvsmall-A", "batched256-E", "base8b-C"} {
		golden(t, name+".txt", []byte(text1(t, captest.Diagnose(t, name, captest.Options{}), false)))
	}
}

// Every line fits, whatever is reported: all captures, without their evidence, with another GPU and with long names.
func TestTextFits(t *testing.T) {
	shape, _ := device.Known("meta-llama/Llama-3.1-8B")
	long := strings.Repeat("a-very-long-name-", 12)
	for label, o := range map[string]captest.Options{
		"as recorded":    {},
		"profile only":   {Without: captest.Everything},
		"no annotations": {Edit: captest.WithoutRanges},
		"no API calls":   {Edit: captest.WithoutCalls},
		"another GPU":    {GPU: "A100 80GB", Engine: "vllm@0.33.0"},
		"shape given":    {Shape: shape},
		"foreign evidence": {Run: func(r *serving.Run) {
			r.Engine.Name = serving.NewFact("sglang", serving.Source{File: long, Line: 123456})
		}},
		"long names": {Run: func(r *serving.Run) {
			r.Engine.Model = serving.NewFact("/models/"+long, serving.Source{File: long})
			r.Engine.Version = serving.NewFact("0.24.0+"+long, serving.Source{File: long})
			if r.Bench != nil {
				b := *r.Bench
				b.OutputRate.Source.File = long
				r.Bench = &b
			}
		}, Set: "vllm serve /models/" + long + " --served-model-name " + long + " --max-num-seqs 4096"},
	} {
		for _, name := range captest.Names(t) {
			r := captest.Diagnose(t, name, o)
			for _, verbose := range []bool{false, true} {
				for i, l := range strings.Split(text1(t, r, verbose), "\n") {
					// A word of a command cannot be broken without breaking the command.
					if n := utf8.RuneCountInString(l); n > Width && len(commandWords(strings.TrimSuffix(l, ` \`))) > 1 {
						t.Errorf("%s, %s, verbose %v, line %d: %d columns: %s", name, label, verbose, i+1, n, l)
					}
					if strings.HasSuffix(l, " ") {
						t.Errorf("%s, %s, verbose %v, line %d ends in a space: %q", name, label, verbose, i+1, l)
					}
				}
			}
		}
	}
}

// A report is complete: its parts stand in order, and every alarm with its advice is on it.
func TestTextIsComplete(t *testing.T) {
	for _, name := range captest.Names(t) {
		r := captest.Diagnose(t, name, captest.Options{})
		out := text1(t, r, true)
		at := 0
		for _, title := range []string{"VERDICT", "FINDINGS", "LIMITS", "CHECKLIST", "CAPTURE"} {
			i := strings.Index(out[at:], "\n"+title+"\n")
			if i < 0 {
				t.Errorf("%s: no %s after column %d", name, title, at)
				continue
			}
			at += i
		}
		flat := strings.Join(strings.Fields(out), " ")
		for i, f := range r.Findings {
			if !strings.Contains(flat, fmt.Sprintf("%d. %s %s", i+1, strings.ToUpper(f.Severity.String()), f.ID)) {
				t.Errorf("%s: finding %d, %s, is missing", name, i+1, f.ID)
			}
			for _, a := range f.Advice {
				if !strings.Contains(flat, strings.Join(strings.Fields(a.Text), " ")) {
					t.Errorf("%s: advice %q is missing", name, a.Text)
				}
			}
		}
	}
}

// A broken command is the same command: a shell joins its lines.
func TestCommandLines(t *testing.T) {
	for _, c := range []string{
		`$ vllm serve m --compilation-config '{"cudagraph_capture_sizes": [1, 2, 4]}' --profiler-config '{"profiler": "cuda"}' --max-num-seqs 256`,
		`$ A='x y' B="p \" q" vllm serve it\'s\ one --flag "two  spaces"`,
		"$ one",
		"",
	} {
		for width := 20; width < 120; width += 7 {
			lines := commandLines(c, width)
			joined := strings.ReplaceAll(strings.Join(lines, "\n"), " \\\n", " ")
			if got, want := commandWords(joined), commandWords(c); !slices.Equal(got, want) {
				t.Errorf("width %d: %q is not %q", width, got, want)
			}
			for _, l := range lines {
				if n := utf8.RuneCountInString(l); n > width && len(commandWords(strings.TrimSuffix(l, ` \`))) > 1 {
					t.Errorf("width %d: %d columns: %s", width, n, l)
				}
			}
		}
	}
	if got := commandWords(`a 'b c' "d e"f g\ h`); !slices.Equal(got, []string{"a", "'b c'", `"d e"f`, `g\ h`}) {
		t.Errorf("words %q", got)
	}
}
