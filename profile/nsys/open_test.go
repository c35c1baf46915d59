//go:build unix

package nsys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/stepscope/stepscope/profile"
)

func compress(t testing.TB, kind string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&b)
	if kind == "zst" {
		z, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		w = z
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func write(t testing.TB, path string, content []byte) string {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCompressed(t *testing.T) {
	content, err := os.ReadFile(decode("3.20.3").Write(t))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, kind := range []string{"zst", "gz"} {
		packed := compress(t, kind, content)
		p, err := Open(t.Context(), write(t, filepath.Join(dir, "profile.sqlite."+kind), packed), Options{})
		if err != nil || p.Kernels.Len() != 2 || p.Source != "profile.sqlite."+kind {
			t.Errorf("%s: %v", kind, err)
		}
		for cut := 0; cut < len(packed); cut += 1 + len(packed)/50 {
			if cut < 4 {
				continue
			}
			path := write(t, filepath.Join(dir, "cut.sqlite."+kind), packed[:cut])
			if _, err := Open(t.Context(), path, Options{}); !errors.Is(err, profile.ErrMalformed) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s cut after %d bytes: %v", kind, cut, err)
			}
		}
		other := compress(t, kind, []byte(`{"traceEvents": [`+strings.Repeat(" ", 100)))
		if _, err := Open(t.Context(), write(t, filepath.Join(dir, "trace.json."+kind), other), Options{}); !errors.Is(err, profile.ErrUnrecognised) {
			t.Errorf("something else in %s: %v", kind, err)
		}
	}
}

// A small file must not fill the disk.
func TestDecompressionBomb(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 64 MiB")
	}
	content, err := os.ReadFile(decode("3.20.3").Write(t))
	if err != nil {
		t.Fatal(err)
	}
	packed := compress(t, "zst", append(content, make([]byte, 200<<20)...))
	path := write(t, filepath.Join(t.TempDir(), "bomb.sqlite.zst"), packed)
	if _, err := Open(t.Context(), path, Options{}); !errors.Is(err, profile.ErrMalformed) || !strings.Contains(err.Error(), "more than 200 times") {
		t.Errorf("%d bytes that unpack to 200 MiB: %v", len(packed), err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	conn, err := sqlite.OpenConn(filepath.Join(dir, "other.sqlite"), sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	if err := sqlitex.ExecuteScript(conn, "CREATE TABLE users(name TEXT); INSERT INTO users VALUES ('x')", nil); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(decode("3.20.3").Write(t))
	if err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(dir, "fifo.sqlite")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Skip(err)
	}
	for _, c := range []struct {
		path string
		is   error
		says string
	}{
		{filepath.Join(dir, "none.sqlite"), os.ErrNotExist, "no such file"},
		{fifo, profile.ErrUnrecognised, "not a regular file"},
		{dir, profile.ErrUnrecognised, "no .parquet file"},
		{write(t, filepath.Join(dir, "empty.sqlite"), nil), profile.ErrUnrecognised, ""},
		{write(t, filepath.Join(dir, "text.sqlite"), []byte("hello")), profile.ErrUnrecognised, ""},
		{write(t, filepath.Join(dir, "page.sqlite"), good[:4096]), profile.ErrMalformed, "cut short"},
		{write(t, filepath.Join(dir, "byte.sqlite"), good[:len(good)-1]), profile.ErrMalformed, "cut short"},
		{filepath.Join(dir, "other.sqlite"), profile.ErrUnrecognised, "none of Nsight Systems' tables"},
	} {
		p, err := Open(t.Context(), c.path, Options{})
		if p != nil || !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) || strings.Count(err.Error(), c.path) != 1 {
			t.Errorf("%s: got %v, want %v that says %q and names the file once", filepath.Base(c.path), err, c.is, c.says)
		}
	}
}

// The reader leaves a capture and its folder as they are, and sees what only the write-ahead log holds.
func TestFilesStayAsTheyAre(t *testing.T) {
	path := decode("3.20.3").Write(t)
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := sqlitex.ExecuteTransient(conn, "PRAGMA journal_mode = wal", nil); err != nil {
		t.Fatal(err)
	}
	if err := sqlitex.ExecuteTransient(conn, "INSERT INTO "+kernels+"(start, end, demangledName) VALUES (1900, 1910, 1)", nil); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		b, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "profile.sqlite"+suffix), b)
	}
	before := folder(t, dir)
	p, err := Open(t.Context(), filepath.Join(dir, "profile.sqlite"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Kernels.Len() != 3 {
		t.Errorf("%d kernels, want the two of the file and the one of its log", p.Kernels.Len())
	}
	if after := folder(t, dir); after != before {
		t.Errorf("the folder changed from\n%s\nto\n%s", before, after)
	}
}

func folder(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var s strings.Builder
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&s, e.Name(), info.Size(), info.ModTime(), info.Mode(), bytes.Count(content, []byte{0}), len(content))
	}
	return s.String()
}

func TestCancelled(t *testing.T) {
	path := decode("3.20.3").Write(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, path, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// The same file gives the same profile, whatever the order in which its tables were ready.
func TestDeterministic(t *testing.T) {
	path := decode("3.20.3").Write(t)
	first, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%+v", first)
	for deadline := time.Now().Add(300 * time.Millisecond); time.Now().Before(deadline); {
		p, err := Open(t.Context(), path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%+v", p); got != want {
			t.Fatal("two reads differ")
		}
	}
}
