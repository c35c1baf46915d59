package scale

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stepscope/stepscope/internal/packed"
	"github.com/stepscope/stepscope/internal/proftest"
)

// Unpack decompresses the SQLite export of a shared capture into a folder of the test and returns its path. It skips
// the test where the captures are not there.
func Unpack(t testing.TB, capture string) string {
	t.Helper()
	return packed.Unzstd(t, filepath.Join(proftest.SharedCapture(t, capture), "profile.sqlite.zst"))
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
