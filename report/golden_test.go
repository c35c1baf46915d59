package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stepscope/stepscope/diagnose"
)

var update = flag.Bool("update", false, "write the goldens")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test ./report -update)", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// stored reads a finished diagnosis.
func stored(t testing.TB, name string) *diagnose.Diagnosis {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".diagnosis.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d diagnose.Diagnosis
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	return &d
}

func TestMarkdown(t *testing.T) {
	for _, name := range []string{"eager1b-G", "base8b-P"} {
		var b bytes.Buffer
		if err := Markdown(&b, stored(t, name)); err != nil {
			t.Fatal(err)
		}
		golden(t, name+".md", b.Bytes())
		if n := strings.Count(b.String(), "\n"); n >= 200 {
			t.Errorf("%s: %d lines, want fewer than 200", name, n)
		}
	}
}
