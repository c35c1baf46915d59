package scale

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/stepscope/stepscope/internal/proftest"
)

// Unpack decompresses the SQLite export of a shared capture into a folder of the test and returns its path. It skips
// the test where the captures are not there.
func Unpack(t testing.TB, capture string) string {
	t.Helper()
	in, err := os.Open(filepath.Join(proftest.SharedCapture(t, capture), "profile.sqlite.zst"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	z, err := zstd.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	path := filepath.Join(t.TempDir(), "profile.sqlite")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, z); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// Capture is File for a shared capture, into a folder of the test.
func Capture(t testing.TB, capture string, target Target) (string, Result) {
	t.Helper()
	from := Unpack(t, capture)
	to := filepath.Join(filepath.Dir(from), "scaled.sqlite")
	res, err := File(context.Background(), from, to, target)
	if err != nil {
		t.Fatal(err)
	}
	return to, res
}
