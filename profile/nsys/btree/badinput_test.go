//go:build unix

package btree

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stepscope/stepscope/internal/proftest/scale"
)

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	good := build(t, "CREATE TABLE t(a INTEGER, b TEXT); INSERT INTO t SELECT n, 'row ' || n FROM "+numbers(3000))
	content, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	patch := func(at int, b ...byte) []byte {
		c := append([]byte(nil), content...)
		copy(c[at:], b)
		return c
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Skip(err)
	}
	secret := file("secret", content)
	if err := os.Chmod(secret, 0); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path string
		is         error
		says       string
	}{
		{"missing", filepath.Join(dir, "none"), os.ErrNotExist, "no such file"},
		{"directory", dir, ErrNotDatabase, "it is a directory"},
		{"fifo", fifo, ErrNotDatabase, "it is a named pipe"},
		{"empty", file("empty", nil), ErrNotDatabase, "the file is empty"},
		{"text", file("text", []byte("hello")), ErrNotDatabase, "not a SQLite database"},
		{"header only", file("short", content[:60]), ErrCorrupt, "inside its header"},
		{"one page", file("page", content[:4096]), ErrCorrupt, "cut short"},
		{"half", file("half", content[:len(content)/2]), ErrCorrupt, "cut short"},
		{"less a byte", file("less", content[:len(content)-1]), ErrCorrupt, "cut short"},
		{"page size 3", file("size3", patch(16, 0, 3)), ErrCorrupt, "page size 3"},
		{"page size 0", file("size0", patch(16, 0, 0)), ErrCorrupt, "page size 0"},
		{"all reserved", file("reserved", patch(16, 2, 0, 1, 1, 255)), ErrCorrupt, "reserved"},
		{"schema page zeroed", file("zero", patch(100, make([]byte, 3000)...)), ErrCorrupt, "malformed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := Open(t.Context(), c.path, Options{})
			if err == nil {
				d.Close()
				t.Fatal("no error")
			}
			if !errors.Is(err, c.is) {
				t.Errorf("%v is no %v", err, c.is)
			}
			if !strings.Contains(err.Error(), c.says) || strings.Count(err.Error(), c.path) != 1 {
				t.Errorf("error %q should name the file once and say %q", err, c.says)
			}
		})
	}
	if os.Geteuid() != 0 {
		if _, err := Open(t.Context(), secret, Options{}); !errors.Is(err, os.ErrPermission) {
			t.Errorf("unreadable file: %v", err)
		}
	}
}

// A file cut at any page boundary, or inside a page, is an error or reads the same as with the library.
func TestTruncated(t *testing.T) {
	path := build(t, "PRAGMA page_size = 512; CREATE TABLE t(a INTEGER, b TEXT); CREATE TABLE u(a INTEGER); "+
		"INSERT INTO t SELECT n, printf('%.*c', n % 900, 'x') FROM "+numbers(60)+"; INSERT INTO u SELECT n FROM "+numbers(300))
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut.sqlite")
	try := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(cut, b, 0o600); err != nil {
			t.Fatal(err)
		}
		sameAsLibrary(t, cut)
	}
	for at := 0; at < len(content); at += 512 {
		try(content[:at])
		try(content[:at+77])
		// The same with a header that makes no promise about the size, as old writers left it.
		old := append([]byte(nil), content[:at]...)
		if len(old) > 96 {
			copy(old[92:], []byte{0, 0, 0, 0})
			try(old)
		}
	}
}

// Wherever one byte is wrong, both ways of reading agree or the fast path gives up.
func TestByteFlips(t *testing.T) {
	path := build(t, "PRAGMA page_size = 512; CREATE TABLE t(a INTEGER, b TEXT, c REAL); "+
		"INSERT INTO t SELECT n * n * n, printf('%.*c', n * 20 % 700, 'x'), n / 3.0 FROM "+numbers(12))
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	step := 3
	if testing.Short() || scale.Race {
		step = 29
	}
	bad := filepath.Join(t.TempDir(), "bad.sqlite")
	at, flip := 0, byte(0)
	defer func() {
		if t.Failed() {
			t.Logf("at byte %d ^ %#x", at, flip)
		}
	}()
	for ; at < len(content); at += step {
		flip = []byte{0x01, 0x80, 0xff}[at/step%3]
		b := append([]byte(nil), content...)
		b[at] ^= flip
		if err := os.WriteFile(bad, b, 0o600); err != nil {
			t.Fatal(err)
		}
		sameAsLibrary(t, bad)
	}
}

// pointAllToFirst makes every interior page whose tree belongs to root point to its first child only, so that each level
// multiplies the rows.
func pointAllToFirst(t *testing.T, content []byte, root int) {
	t.Helper()
	const size = 512
	levels := 0
	for page := root; ; levels++ {
		at := (page - 1) * size
		head := at
		if page == 1 {
			head += 100
		}
		if content[head] != interiorTable {
			break
		}
		cells := int(content[head+3])<<8 | int(content[head+4])
		first := at + (int(content[head+12])<<8 | int(content[head+13]))
		child := append([]byte(nil), content[first:first+4]...)
		for i := range cells {
			cell := at + (int(content[head+12+2*i])<<8 | int(content[head+13+2*i]))
			copy(content[cell:], child)
		}
		copy(content[head+8:], child)
		page = int(child[0])<<24 | int(child[1])<<16 | int(child[2])<<8 | int(child[3])
	}
	if levels < 2 {
		t.Fatalf("the tree has %d levels above its leaves, the test needs two", levels)
	}
}

// A small file in which pages point to one page from many places claims any number of rows.
func TestPagesWithManyParents(t *testing.T) {
	path := build(t, "PRAGMA page_size = 512; CREATE TABLE t(a INTEGER, b TEXT); INSERT INTO t SELECT n, printf('%.*c', 200, 'x') FROM "+numbers(20000))
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pointAllToFirst(t, content, 2)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, libraryOnly := range []bool{false, true} {
		d, err := Open(t.Context(), path, Options{LibraryOnly: libraryOnly})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		var rows rowCounter
		if _, err := d.Read(t.Context(), "t", []Want{{"a", false}}, 1, &rows); err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("library only %v: %v", libraryOnly, err)
		}
		if most := int64(len(content) / 512 * 84); int64(rows) > most {
			t.Errorf("library only %v: %d rows from a file that can hold %d", libraryOnly, rows, most)
		}
	}
}

type rowCounter int64

func (c *rowCounter) Begin(int, int64)            { *c = 0 }
func (c *rowCounter) Batch(_ int, b *Batch) error { *c += rowCounter(b.Len); return nil }

func TestSchemaPagesWithManyParents(t *testing.T) {
	var script strings.Builder
	script.WriteString("PRAGMA page_size = 512; ")
	for i := range 600 {
		fmt.Fprintf(&script, "CREATE TABLE t%d(a INTEGER, b TEXT, c /* %s */ INTEGER); ", i, strings.Repeat("long ", 10))
	}
	path := build(t, script.String())
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pointAllToFirst(t, content, 1)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Open(t.Context(), path, Options{})
	if err == nil {
		d.Close()
	}
	if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "two parents") {
		t.Errorf("got %v", err)
	}
}

// changing is a Sink that modifies the file while it is read.
type changing struct {
	collected
	change func()
	once   sync.Once // parts are delivered concurrently
}

func (c *changing) Batch(part int, b *Batch) error {
	c.once.Do(c.change)
	return nil
}

func TestFileChangesWhileRead(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"shrinks": func(path string) error { return os.Truncate(path, 8192) },
		"grows": func(path string) error {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.Write(make([]byte, 4096))
			return err
		},
	} {
		for _, libraryOnly := range []bool{false, true} {
			path := build(t, "CREATE TABLE t(a INTEGER, b TEXT); INSERT INTO t SELECT n, printf('%.*c', 500, 'x') FROM "+numbers(9000))
			d, err := Open(t.Context(), path, Options{LibraryOnly: libraryOnly})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			sink := &changing{change: func() {
				if err := change(path); err != nil {
					t.Error(err)
				}
			}}
			_, err = d.Read(t.Context(), "t", []Want{{"a", false}, {"b", true}}, 1, sink)
			if !errors.Is(err, ErrChanged) {
				t.Errorf("%s (library only %v): got %v", name, libraryOnly, err)
			}
		}
	}
}

func TestCancelled(t *testing.T) {
	path := build(t, "CREATE TABLE t(a INTEGER, b TEXT); INSERT INTO t SELECT n, printf('%.*c', 500, 'x') FROM "+numbers(9000))
	for _, libraryOnly := range []bool{false, true} {
		d, err := Open(t.Context(), path, Options{LibraryOnly: libraryOnly})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		ctx, cancel := context.WithCancel(t.Context())
		_, err = d.Read(ctx, "t", []Want{{"a", false}}, 2, &changing{change: cancel})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("library only %v: got %v", libraryOnly, err)
		}
	}
}

func TestMissing(t *testing.T) {
	path := build(t, "CREATE TABLE t(a INTEGER)")
	d, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.Read(t.Context(), "u", nil, 1, &collected{}); err == nil || !strings.Contains(err.Error(), "no table u") {
		t.Errorf("missing table: %v", err)
	}
	if _, err := d.Read(t.Context(), "t", []Want{{"b", false}}, 1, &collected{}); err == nil || !strings.Contains(err.Error(), "no column b") {
		t.Errorf("missing column: %v", err)
	}
	if table, err := d.Table("T"); err != nil || table == nil || !table.Has("A") || table.Has("b") {
		t.Errorf("names must compare without regard to case: %v %v", table, err)
	}
}
