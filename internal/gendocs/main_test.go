package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestPagesAreCurrent fails when a rule changed and its page was not generated again.
func TestPagesAreCurrent(t *testing.T) {
	want, err := pages()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join("..", "..", "docs", "findings")
	for name, text := range want {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != string(text) {
			t.Errorf("%s is out of date: go run ./internal/gendocs", name)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, ok := want[e.Name()]; !ok {
			t.Errorf("%s belongs to no rule", e.Name())
		}
	}
}
