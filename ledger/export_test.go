package ledger

import (
	"bytes"
	"encoding/csv"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// sampleLedger has every kind of entry. Its numbers are made up.
func sampleLedger(t *testing.T) []Record {
	t.Helper()
	l := testLedger(t)
	day := 0
	l.Now = func() time.Time { day++; return time.Date(2026, 3, day, 9, 30, 0, 0, time.UTC) }
	f := Float
	sum := func(c, lo, hi float64, n int) *Summary {
		return &Summary{Center: f(c), Lo: f(lo), Hi: f(hi), Confidence: 0.95, N: n, Label: "median"}
	}
	for _, e := range []Entry{
		{Kind: KindBaseline, Engine: "vllm@0.24.0", Model: "llama8b", GPU: "1x NVIDIA H100 80GB HBM3", Load: "32 clients, 512 in, 128 out", Goal: "tpot_ms",
			Command: []string{"vllm", "serve", "llama8b", "--api-key", "secret", "--compilation-config", `{"a": [1, 2]}`},
			Metrics: []Metric{{Name: "tpot_ms", Direction: "lower", Before: sum(8.31, 8.28, 8.35, 96)}, {Name: "output_tokens_per_s", Direction: "higher", Before: sum(3001, 2990, 3012, 5)}}},
		{Kind: KindChange, Ref: "e1", Knob: "quantization", From: "none", To: "fp8", Goal: "tpot_ms", Verdict: "better", Reason: "-27.8% (p=0.008 n=5)",
			Metrics: []Metric{
				{Name: "tpot_ms", Direction: "lower", Before: sum(8.31, 8.28, 8.35, 5), After: sum(6.0, 5.97, 6.04, 5), Change: f(-0.278), ChangeLo: f(-0.285), ChangeHi: f(-0.271), P: f(0.0079), Verdict: "better"},
				{Name: "output_tokens_per_s", Direction: "higher", Before: sum(3001, 2990, 3012, 5), After: sum(4130, 4101, 4166, 5), Change: f(0.376), P: f(0.0079), Verdict: "better"},
				{Name: "ttft_ms", Direction: "lower", Before: sum(303.5, 290, 320, 5), After: sum(222.6, 210, 260, 5), Verdict: "unclear", Warnings: []string{"need >= 6 values | for an interval"}}},
			Predicted:   &Prediction{Metric: "tpot_ms", Before: f(8.31), After: f(5.6), Low: f(5.2), High: f(6.5), Assumption: "linear weights at one byte, everything else unchanged"},
			Measured:    &Measurement{Metric: "tpot_ms", Before: f(8.31), After: f(6.0)},
			SideEffects: []SideEffect{{Name: "kv_cache_tokens", Before: f(400000), After: f(452000), Verdict: "better"}, {Name: "output_equality", Verdict: "worse", Text: "3 of 8 fixed prompts gave other tokens"}},
			Artefacts:   []Artefact{{Name: "bench.json", SHA256: strings.Repeat("ab", 32), Bytes: 12345}}},
		{Kind: KindNote, Ref: "e2", Text: "Dummy weights: the accuracy check says nothing here.\nRepeat with the real checkpoint before believing it, and look at the longest prompts first because that is where fp8 hurts."},
		{Kind: KindChange, Ref: "e2", Knob: "max-num-seqs", From: "256", To: "64", Also: []Change{{Knob: "async-scheduling", To: "off"}}, Goal: "output_tokens_per_s", Verdict: "worse",
			Metrics:   []Metric{{Name: "output_tokens_per_s", Direction: "higher", Before: sum(4130, 4101, 4166, 5), After: sum(3920.5, 3900, 3940, 5), Change: f(-0.051), Verdict: "worse"}},
			Predicted: &Prediction{Metric: "output_tokens_per_s", Before: f(4130), After: f(4130)}, Measured: &Measurement{Metric: "output_tokens_per_s", Before: f(4130), After: f(3920.5)}},
		{Kind: KindChange, Ref: "e2", Knob: "compilation-config", From: `{"cudagraph_mode":"FULL_AND_PIECEWISE"}`, To: `{"cudagraph_mode":"FULL_DECODE_ONLY"}`, Verdict: "unclear"},
	} {
		mustAppend(t, l, e)
	}
	file, err := os.OpenFile(l.path(recordsName), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(`{"seq":6,"prev":"0123`); err != nil {
		t.Fatal(err)
	}
	file.Close()
	mustAppend(t, l, Entry{Kind: KindNote, Ref: "e3", Text: "done"})
	records, problems, err := l.List(t.Context())
	if err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
	return records
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (-update rewrites it):\n%s", path, got)
	}
}

func TestExports(t *testing.T) {
	records := sampleLedger(t)
	for name, export := range map[string]func(io.Writer, []Record) error{"story.txt": Story, "export.md": Markdown, "export.csv": CSV} {
		var b, again bytes.Buffer
		if err := export(&b, records); err != nil {
			t.Fatal(err)
		}
		if err := export(&again, records); err != nil || !bytes.Equal(b.Bytes(), again.Bytes()) {
			t.Errorf("%s is not the same twice", name)
		}
		if bytes.Contains(b.Bytes(), []byte("secret")) {
			t.Errorf("%s shows a secret", name)
		}
		golden(t, name, b.Bytes())
	}
	var b bytes.Buffer
	if err := CSV(&b, records); err != nil {
		t.Fatal(err)
	}
	if rows, err := csv.NewReader(&b).ReadAll(); err != nil || len(rows) != 1+2+3+1+1+1+1+1 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
	for _, export := range []func(io.Writer, []Record) error{Story, Markdown, CSV} {
		if err := export(io.Discard, nil); err != nil {
			t.Error(err)
		}
		if err := export(brokenWriter{}, records); err == nil {
			t.Error("a failing writer went unnoticed")
		}
	}
}

// A spreadsheet that opens the CSV runs nothing that stands in it, and what is no formula stays as it is.
func TestCSVHoldsNoFormula(t *testing.T) {
	for in, want := range map[string]string{
		"=cmd|'/c calc'!A0": "'=cmd|'/c calc'!A0", "+1+2": "'+1+2", "-2+3|x": "'-2+3|x", "@SUM(A1)": "'@SUM(A1)", "\t=1": "'\t=1", "\r=1": "'\r=1",
		"--quantization|calc": "'--quantization|calc", "-": "'-",
		"--quantization": "--quantization", "--compilation-config.cudagraph_mode": "--compilation-config.cudagraph_mode", "-tp": "-tp",
		"-1": "-1", "+0.5": "+0.5", "": "", "fp8": "fp8", "a=b": "a=b",
	} {
		e := Entry{ID: "e1", Kind: KindChange, Ref: in, Knob: in, From: in, To: in, Engine: in, Model: in, GPU: in, Load: in, Text: in, Verdict: in,
			Also: []Change{{Knob: in}}, Predicted: &Prediction{Metric: in}, Metrics: []Metric{{Name: in, Unit: in, Direction: in, Verdict: in}}}
		var b bytes.Buffer
		if err := CSV(&b, []Record{{Seq: 1, Entry: e}}); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(&b).ReadAll()
		if err != nil || len(rows) != 2 {
			t.Fatal(rows, err)
		}
		hits := 0
		for i, cell := range rows[1] {
			if cell == want {
				hits++
			}
			if cell == in && cell != want {
				t.Errorf("%s is %q, want %q", rows[0][i], cell, want)
			}
		}
		if hits < 14 {
			t.Errorf("%q: %d cells of 14 are %q: %q", in, hits, want, rows[1])
		}
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestStoryFitsItsWidth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var records []Record
		for i := range rapid.IntRange(1, 6).Draw(t, "n") {
			e := Entry{ID: rapid.StringN(0, 30, -1).Draw(t, "id"), Kind: rapid.SampledFrom([]Kind{KindBaseline, KindChange, KindNote, KindRepair}).Draw(t, "kind"),
				Knob: rapid.String().Draw(t, "knob"), From: rapid.String().Draw(t, "from"), To: rapid.String().Draw(t, "to"),
				Text: rapid.StringN(0, 300, -1).Draw(t, "text"), Verdict: rapid.String().Draw(t, "verdict"),
				PredictionError: Float(rapid.Float64().Draw(t, "error")), Repair: &Repair{Problems: []string{strings.Repeat("x", 150)}}}
			v := rapid.Float64().Draw(t, "v")
			e.Metrics = []Metric{{Name: rapid.String().Draw(t, "metric"), Before: &Summary{Center: &v}, After: &Summary{Center: Float(v * 1e9)}}}
			if i > 0 {
				e.Ref = records[0].Entry.ID
			}
			records = append(records, Record{Seq: int64(i + 1), Entry: e})
		}
		var b bytes.Buffer
		if err := Story(&b, records); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > storyWidth {
				t.Fatalf("%d columns: %q", n, line)
			}
		}
		if err := Markdown(io.Discard, records); err != nil {
			t.Fatal(err)
		}
	})
}
