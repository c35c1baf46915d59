package report

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/stepscope/stepscope/diagnose"
)

func TestJoinItems(t *testing.T) {
	item := func(name, state, text string) diagnose.CheckItem {
		return diagnose.CheckItem{Item: name, State: state, Text: text}
	}
	in := []diagnose.CheckItem{
		item("a", "done", "x"), item("b", "done", "x"), item("c", "done", "x"),
		item("d", "not recorded", "x"), item("e", "not recorded", "x"),
		item("f", "found", "y"),
		item("g", "not recorded", "z"), item("h", "not recorded", "z"), item("i", "not recorded", "z"), item("j", "not recorded", "other"),
	}
	want := append(append([]diagnose.CheckItem{}, in[:6]...), item("3 items", "not recorded", "z (g, h, i)"), in[9])
	if diff := cmp.Diff(want, joinItems(in)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := joinItems(nil); got != nil {
		t.Errorf("%v from nothing", got)
	}
}

// TestEveryAlarmSaysWhatNext: a finding without advice points to its page, in every format and within the width.
func TestEveryAlarmSaysWhatNext(t *testing.T) {
	for _, r := range diagnose.Rules() {
		d := &diagnose.Diagnosis{Steps: diagnose.StepFacts{Count: 3}, Findings: []diagnose.Finding{{ID: r.ID, Severity: diagnose.Medium, Confidence: "high", Summary: "Something."}}}
		var text, md, html bytes.Buffer
		if err := Text(&text, d, TextOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := Markdown(&md, d); err != nil {
			t.Fatal(err)
		}
		if err := HTML(&html, HTMLInput{Diagnosis: d}); err != nil {
			t.Fatal(err)
		}
		want := "diagnose --explain " + r.ID
		if r.ID == diagnose.CaptureQuality {
			continue // its notes carry their remedies
		}
		for format, out := range map[string]string{"text": text.String(), "markdown": md.String(), "html": html.String()} {
			if !strings.Contains(out, want) {
				t.Errorf("%s of %s lacks %q", format, r.ID, want)
			}
		}
		for _, l := range strings.Split(text.String(), "\n") {
			if utf8.RuneCountInString(l) > Width {
				t.Errorf("%s: a line has %d columns: %s", r.ID, utf8.RuneCountInString(l), l)
			}
		}
	}
}

func TestNothingToJudgeIsNoCleanBill(t *testing.T) {
	for steps, want := range map[int]string{0: "there is nothing to judge", 5: "No limit worth fixing"} {
		d := &diagnose.Diagnosis{Steps: diagnose.StepFacts{Count: steps}}
		var text, md bytes.Buffer
		if err := Text(&text, d, TextOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := Markdown(&md, d); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text.String(), want) || !strings.Contains(md.String(), want) {
			t.Errorf("%d steps: lacks %q", steps, want)
		}
	}
}

func TestValue(t *testing.T) {
	for _, c := range []struct {
		v    float64
		unit string
		want string
	}{
		{32, "tokens", "32 tokens"}, {1180.6, "tokens", "1181 tokens"}, {15.97, "requests", "15.97 requests"}, {3.29e-5, "requests", "< 0.001 requests"},
		{0, "calls", "0 calls"}, {7.59, "ms", "7.59 ms"}, {0.0201, "ms", "0.0201 ms"}, {147.13, "ms", "147.1 ms"}, {41337.4, "tokens/s", "41337 tokens/s"}, {69.338, "% of peak", "69.34 % of peak"},
	} {
		if got := value(c.v, c.unit); got != c.want {
			t.Errorf("%v %s: %q, want %q", c.v, c.unit, got, c.want)
		}
	}
}

func TestGPUsAndEngines(t *testing.T) {
	var d diagnose.Diagnosis
	for _, n := range []string{"H100", "L4", "H100", "", "A", "B", "C"} {
		d.Profile.GPU = append(d.Profile.GPU, diagnose.GPU{Name: n})
	}
	if got := strings.Join(gpuKinds(&d), ", "); got != "2 x H100, L4, A, B" {
		t.Error(got)
	}
	for want, e := range map[string]diagnose.EngineFacts{
		"": {}, "1 engine of 2 ranks": {Engines: 1, Ranks: 2}, "3 engines of 1 rank": {Engines: 3, Ranks: 1}, "2 engines of up to 2 ranks": {Engines: 2, Ranks: 2},
	} {
		if got := parallel(&e); got != want {
			t.Errorf("%+v: %q", e, got)
		}
	}
}

func TestJoinWithin(t *testing.T) {
	got := joinWithin([]string{"a", "bb", "ccc", "a long one that is cut"}, " · ", 9)
	if diff := cmp.Diff([]string{"a · bb", "ccc", "a long o…"}, got); diff != "" {
		t.Error(diff)
	}
	if got := joinWithin(nil, ",", 9); len(got) != 1 || got[0] != "" {
		t.Error(got)
	}
}

// A share whose peak is not known is no share of zero.
func TestUtilisation(t *testing.T) {
	if got := utilisation(-1) + " " + idealTime(-1); got != "- -" {
		t.Errorf("without a peak: %q", got)
	}
	if got := utilisation(0.704) + ", " + idealTime(5_200_000); got != "70.4 %, 5.20 ms" {
		t.Errorf("with one: %q", got)
	}
}
