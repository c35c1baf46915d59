package proftest

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// corpus returns the folder of the captures that come with the repository.
func corpus() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "testdata", "captures")
}

// Capture returns the folder of a real capture: one of testdata/captures, which every clone has, else one of the shared
// captures. It skips the test where neither holds it.
func Capture(t testing.TB, name string) string {
	t.Helper()
	dir := filepath.Join(corpus(), name)
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	return SharedCapture(t, name)
}

// Captures lists the captures that are here, by name: those of the repository and the shared ones. Folders that hold a
// benchmark only are left out.
func Captures(t testing.TB) []string {
	t.Helper()
	var out []string
	seen := map[string]bool{}
	for _, dir := range []string{corpus(), captures()} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if seen[e.Name()] || !hasProfile(filepath.Join(dir, e.Name())) {
				continue
			}
			seen[e.Name()] = true
			out = append(out, e.Name())
		}
	}
	if len(out) == 0 {
		t.Fatal("no capture is here: testdata/captures is missing")
	}
	return out
}

func hasProfile(dir string) bool {
	for _, name := range []string{"profile.sqlite.zst", "trace.json.gz"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}
