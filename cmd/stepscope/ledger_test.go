package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestVerifyNeedsALedger: what does not exist is not whole.
func TestVerifyNeedsALedger(t *testing.T) {
	empty := t.TempDir()
	file := filepath.Join(empty, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{filepath.Join(empty, "none"): "does not exist", empty: "has no ledger.jsonl", file: "it is a file"} {
		for _, format := range []string{"text", "json"} {
			code, out, errs := program(t, "ledger", "--dir", dir, "verify", "-f", format)
			if code != exitInput || out != "" || !strings.Contains(errs, want) || !strings.Contains(errs, dir) {
				t.Errorf("%s: code %d\n%s%s", dir, code, out, errs)
			}
		}
	}
	whole := filepath.Join("..", "..", "docs", "experiments", "ledger")
	if code, out, errs := program(t, "ledger", "--dir", whole, "verify"); code != exitOK || !strings.Contains(out, " records, ") {
		t.Errorf("code %d\n%s%s", code, out, errs)
	}
	for _, verb := range []string{"list", "verify"} {
		if code, _, errs := program(t, "ledger", verb, whole); code != exitInput || !strings.Contains(errs, "--dir") {
			t.Errorf("%s: code %d, %s", verb, code, errs)
		}
	}
}
