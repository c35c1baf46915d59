// Package proftest helps tests with profiles: where real captures lie, and how small ones are made.
package proftest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// captures returns the folder of the shared captures, beside the repository.
func captures() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "..", "shared", "captures")
}

// SharedCapture returns the folder of a real capture. It skips the test where the captures are not there, as in a
// plain clone of the repository.
func SharedCapture(t testing.TB, name string) string {
	t.Helper()
	dir := filepath.Join(captures(), name)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("capture %s is not here", name)
	}
	return dir
}

// Oracle reads into v what oracles.json says of a capture: totals computed without code of this module.
func Oracle(t testing.TB, name string, v any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(captures(), "oracles.json"))
	if err != nil {
		t.Skip("oracles.json is not here")
	}
	var all struct {
		Captures map[string]json.RawMessage `json:"captures"`
	}
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(all.Captures[name], v); err != nil {
		t.Fatalf("oracle of %s: %v", name, err)
	}
}
