package summary

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stepscope/stepscope/demo"
	"github.com/stepscope/stepscope/internal/proftest"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/profile/nsys"
)

// openCapture reads a real capture. The demo capture is in every clone; the test of another one is skipped without it.
func openCapture(t testing.TB, name string) *profile.Profile {
	t.Helper()
	const file = "profile.sqlite.zst"
	var path string
	if name == demo.Name {
		b, err := fs.ReadFile(demo.FS(), file)
		if err != nil {
			t.Fatal(err)
		}
		path = filepath.Join(t.TempDir(), file)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	} else {
		path = filepath.Join(proftest.SharedCapture(t, name), file)
	}
	p, err := nsys.Open(t.Context(), path, nsys.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
