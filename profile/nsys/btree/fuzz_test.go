package btree

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stepscope/stepscope/internal/proftest/scale"
)

// FuzzAgainstLibrary feeds whole databases: both ways of reading agree, or the fast path gives up.
func FuzzAgainstLibrary(f *testing.F) {
	for _, trap := range traps {
		b, err := os.ReadFile(build(f, trap.script))
		if err != nil {
			f.Fatal(err)
		}
		if len(b) <= 64<<10 {
			f.Add(b)
		}
	}
	path := filepath.Join(f.TempDir(), "fuzz.sqlite")
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 256<<10 {
			t.Skip()
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		sameAsLibrary(t, path)
	})
}

// FuzzPages keeps the schema intact and damages what lies behind it, where a mutation of the whole file seldom gets:
// at each offset that the input names, it overwrites a byte.
func FuzzPages(f *testing.F) {
	bases := []string{
		"PRAGMA page_size = 512; CREATE TABLE t(a INTEGER, b TEXT, c REAL); INSERT INTO t SELECT n*n*n, printf('%.*c', n*20 % 700, 'x'), n/3.0 FROM " + numbers(40),
		"CREATE TABLE t(id INTEGER PRIMARY KEY, b TEXT); INSERT INTO t SELECT n*7, 'kernel ' || n FROM " + numbers(600),
		"CREATE TABLE t(a INTEGER, b INTEGER, c INTEGER); INSERT INTO t SELECT n*123456789, NULL, n % 2 FROM " + numbers(2000),
	}
	var files [][]byte
	for _, s := range bases {
		b, err := os.ReadFile(build(f, s))
		if err != nil {
			f.Fatal(err)
		}
		files = append(files, b)
	}
	f.Add(uint8(0), []byte{2, 0, 13, 0, 2, 3, 0, 200})
	f.Add(uint8(1), []byte{1, 0, 5, 0, 1, 3, 255, 255, 1, 12, 0, 3})
	f.Add(uint8(2), []byte{3, 0, 8, 1, 3, 9, 0, 0})
	f.Add(uint8(104), []byte("707\xff")) // a cell that ends past its page
	path := filepath.Join(f.TempDir(), "fuzz.sqlite")
	f.Fuzz(func(t *testing.T, base uint8, edits []byte) {
		b := append([]byte(nil), files[int(base)%len(files)]...)
		size := 4096
		if base%3 == 0 {
			size = 512
		}
		// An edit is page, offset (two bytes) and value; the first page holds the schema and is left alone.
		for i := 0; i+4 <= len(edits); i += 4 {
			page := 1 + int(edits[i])%(len(b)/size-1)
			at := page*size + (int(edits[i+1])<<8|int(edits[i+2]))%size
			b[at] = edits[i+3]
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		sameAsLibrary(t, path)
	})
}

// FuzzCapture damages a real capture at up to three places.
func FuzzCapture(f *testing.F) {
	real, err := os.ReadFile(scale.Unpack(f, "base1b-graphlevel-G"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(4096*40), byte(0xff), uint32(4096*80+9), byte(1), uint32(4096*120+700), byte(0x80))
	f.Add(uint32(4096*7+3), byte(0), uint32(4096*60+5), byte(5), uint32(4096*150+4000), byte(0))
	path := filepath.Join(f.TempDir(), "fuzz.sqlite")
	f.Fuzz(func(t *testing.T, at1 uint32, v1 byte, at2 uint32, v2 byte, at3 uint32, v3 byte) {
		b := append([]byte(nil), real...)
		b[int(at1)%len(b)], b[int(at2)%len(b)], b[int(at3)%len(b)] = v1, v2, v3
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		sameAsLibrary(t, path)
	})
}
