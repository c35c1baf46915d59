package summary

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/internal/packed"
	"github.com/stepscope/stepscope/profile"
)

// golden is what nsys printed for one report: testdata/README.md tells how it was made.
type golden struct {
	spec, format string
	text         string // the output, or its first and last lines where sum is set
	sum          string // SHA-256 of the whole output
	lines        int
}

// goldens reads the outputs of a capture.
func goldens(t testing.TB, capture string) []golden {
	t.Helper()
	return parseGoldens(t, string(packed.Gunzip(t, filepath.Join("testdata", capture+".golden.gz"))))
}

func parseGoldens(t testing.TB, s string) []golden {
	t.Helper()
	var out []golden
	for line := range strings.Lines(s) {
		if head, ok := strings.CutPrefix(line, "-- "); ok && strings.HasSuffix(head, " --\n") {
			var g golden
			n, _ := fmt.Sscanf(head, "%s %s sha256 %s lines %d", &g.spec, &g.format, &g.sum, &g.lines)
			if n != 2 && n != 4 {
				t.Fatalf("bad line %q", line)
			}
			out = append(out, g)
			continue
		}
		out[len(out)-1].text += line
	}
	return out
}

// output makes what the command line prints for a spec.
func output(p *profile.Profile, spec, format string) (string, error) {
	t, err := Run(p, spec)
	var skip *SkippedError
	if errors.As(err, &skip) {
		return "SKIPPED: " + err.Error() + "\n", nil
	}
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if format == "json" {
		err = t.WriteJSON(&b)
	} else {
		err = t.WriteCSV(&b)
	}
	return b.String(), err
}

// TestGoldens compares every report of every capture with what nsys printed, byte by byte.
func TestGoldens(t *testing.T) {
	files, err := filepath.Glob("testdata/*.golden.gz")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d goldens, %v", len(files), err)
	}
	for _, f := range files {
		capture := strings.TrimSuffix(filepath.Base(f), ".golden.gz")
		t.Run(capture, func(t *testing.T) {
			list := goldens(t, capture)
			if len(list) < 25 {
				t.Fatalf("only %d reports", len(list))
			}
			p := openCapture(t, capture)
			p.Source = "profile.sqlite" // nsys read the decompressed file
			for _, g := range list {
				got, err := output(p, g.spec, g.format)
				if err != nil {
					t.Errorf("%s: %v", g.spec, err)
					continue
				}
				g.compare(t, got)
			}
		})
	}
}

func (g *golden) compare(t *testing.T, got string) {
	t.Helper()
	lines := slices.Collect(strings.Lines(got))
	want := slices.Collect(strings.Lines(g.text))
	if g.sum != "" {
		if h := sha256.Sum256([]byte(got)); hex.EncodeToString(h[:]) == g.sum {
			return
		}
		if len(lines) != g.lines {
			t.Errorf("%s %s: %d lines, want %d", g.spec, g.format, len(lines), g.lines)
		}
		head := len(want) - 5
		lines = append(lines[:min(len(lines), head):min(len(lines), head)], lines[max(0, len(lines)-5):]...)
	} else if got == g.text {
		return
	}
	shown := 0
	for i := range max(len(lines), len(want)) {
		a, b := "", ""
		if i < len(lines) {
			a = lines[i]
		}
		if i < len(want) {
			b = want[i]
		}
		if a != b {
			if shown++; shown > 3 {
				return
			}
			t.Errorf("%s %s line %d:\n got %.300s\nwant %.300s", g.spec, g.format, i+1, a, b)
		}
	}
	if shown == 0 {
		t.Errorf("%s %s: the first and last lines agree, the SHA-256 does not", g.spec, g.format)
	}
}
