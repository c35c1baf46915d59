package report

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/compare"
	"github.com/stepscope/stepscope/internal/captest"
)

func sideOf(t testing.TB, name string) compare.Side {
	t.Helper()
	r := captest.Diagnose(t, name, captest.Options{})
	return compare.Side{Name: name, Analysis: r.Analysis, Diagnosis: r.Diagnosis, Run: r.Run, Settings: []compare.Setting{{Name: "--x", Value: name}}}
}

func renderCompare(t testing.TB, in CompareHTMLInput) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := CompareHTML(&b, in); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestCompareHTMLCaptures(t *testing.T) {
	names := captures(t)
	for _, pair := range [][2]string{{"base8b-F", "kvfp8-F"}, {"base1b-H", "graphs128_1b-H"}, {"base8b-P", "batched256-E"}, {"coldstart1b-W", "eager1b-G"}, {"base1b-graphlevel-G", "eager1b-G"}} {
		if !slices.Contains(names, pair[0]) || !slices.Contains(names, pair[1]) {
			continue
		}
		t.Run(pair[0]+" "+pair[1], func(t *testing.T) {
			in := CompareHTMLInput{Before: sideOf(t, pair[0]), After: sideOf(t, pair[1])}
			in.Comparison = compare.Compare(in.Before, in.After, compare.Options{})
			page := renderCompare(t, in)
			if len(page) >= 2_000_000 {
				t.Errorf("%d bytes", len(page))
			}
			root := checkPage(t, page)
			var text strings.Builder
			root.walk(func(n *node) { text.WriteString(n.text + "\n") })
			for i := range in.Comparison.Metrics {
				if m := &in.Comparison.Metrics[i]; !strings.Contains(text.String(), m.Title) || !strings.Contains(text.String(), compareValue(m, m.After.Center)) {
					t.Errorf("metric %s is not told", m.Name)
				}
			}
			if !strings.Contains(text.String(), in.Comparison.Summary) || !bytes.Equal(page, renderCompare(t, in)) {
				t.Error("no summary, or the same comparison gives other bytes")
			}
		})
	}
}

func TestCompareHTMLHostile(t *testing.T) {
	c := &compare.Comparison{}
	n := 0
	hostile(reflect.ValueOf(c).Elem(), &n)
	d := hostileDiagnosis()
	for _, in := range []CompareHTMLInput{
		{Comparison: c},
		{Comparison: c, Before: compare.Side{Name: hostileTexts[0], Diagnosis: d}, After: compare.Side{Name: hostileTexts[3], Diagnosis: d, Analysis: hostileAnalysis(t)}},
		{Comparison: compare.Compare(compare.Side{Name: "a"}, compare.Side{Name: "b"}, compare.Options{})},
		{Comparison: &compare.Comparison{}},
	} {
		page := renderCompare(t, in)
		checkPage(t, page)
		for _, bad := range []string{"<img", "<svg onload", "alert(2)</script>", "\u202e"} {
			if bytes.Contains(page, []byte(bad)) {
				t.Errorf("page holds %q", bad)
			}
		}
	}
}

func TestBrowserCompare(t *testing.T) {
	d := hostileDiagnosis()
	c := &compare.Comparison{}
	n := 0
	hostile(reflect.ValueOf(c).Elem(), &n)
	_, console := browser(t, renderCompare(t, CompareHTMLInput{Comparison: c, Before: compare.Side{Diagnosis: d, Analysis: hostileAnalysis(t)}, After: compare.Side{Diagnosis: d}}))
	if console != "" {
		t.Errorf("console: %s", console)
	}
}
