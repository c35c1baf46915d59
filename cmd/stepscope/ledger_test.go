package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/ledger"
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

// A record that was acknowledged and is cut short stops writers until its damage is accepted; nothing is lost by that.
func TestAcceptDamage(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "my led")
	book := ledger.Open(dir)
	for range 3 {
		if _, err := book.Append(ctx, ledger.Entry{Kind: ledger.KindBaseline, Engine: "vllm@0.24.0"}); err != nil {
			t.Fatal(err)
		}
	}
	records := filepath.Join(dir, "ledger.jsonl")
	b, err := os.ReadFile(records)
	if err != nil {
		t.Fatal(err)
	}
	cut := b[:len(b)-30]
	if err := os.WriteFile(records, cut, 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs := program(t, "ledger", "--dir", dir, "note", "e1", "x")
	if code != exitInput || !strings.Contains(errs, "`stepscope ledger verify --dir '"+dir+"'`") || !strings.Contains(errs, "--accept-damage") {
		t.Errorf("the refusal names no way out: code %d, %s", code, errs)
	}
	if code, out, errs := program(t, "ledger", "verify", "--dir", dir); code != exitInput || !strings.Contains(out, "missing-tail: record 3 was acknowledged") || !strings.Contains(errs, "--accept-damage") {
		t.Errorf("code %d\n%s%s", code, out, errs)
	}
	if now, _ := os.ReadFile(records); !bytes.Equal(now, cut) {
		t.Error("looking changed the ledger")
	}
	code, out, errs := program(t, "ledger", "verify", "--dir", dir, "--accept-damage")
	if code != exitOK || !strings.Contains(errs, "record e3 says what it was") || !strings.Contains(out, "repaired by e3: ") || !strings.Contains(out, "record 3 was acknowledged, but the last whole one is 2; artefact ") {
		t.Errorf("code %d\n%s%s", code, out, errs)
	}
	got, _, err := book.List(ctx)
	if err != nil || len(got) != 3 || got[2].Entry.Kind != ledger.KindRepair {
		t.Fatalf("%+v %v", got, err)
	}
	r, err := book.Artefact(got[2].Entry.Artefacts[0])
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if kept, err := io.ReadAll(r); err != nil || !bytes.Equal(kept, cut) {
		t.Errorf("the artefact is not what was there: %q %v", kept, err)
	}
	if code, _, errs := program(t, "ledger", "--dir", dir, "note", "e2", "x"); code != exitOK {
		t.Errorf("note: code %d, %s", code, errs)
	}
	if code, out, errs := program(t, "ledger", "verify", "--dir", dir, "--accept-damage"); code != exitOK || !strings.Contains(errs, "nothing was accepted") {
		t.Errorf("again: code %d\n%s%s", code, out, errs)
	}
}
