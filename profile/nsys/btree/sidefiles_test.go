package btree

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"
)

// copyDir copies a database and its side files while a connection holds them open, as a crash would leave them.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, e.Name()), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// unfinished makes a database with statements that are in its side file only.
func unfinished(t *testing.T, finished, pending string) string {
	t.Helper()
	path := build(t, finished)
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := execute(conn, pending); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(copyDir(t, filepath.Dir(path)), filepath.Base(path))
}

func readT(t *testing.T, path string) ([]string, Info, error) {
	t.Helper()
	temp := t.TempDir()
	d, err := Open(t.Context(), path, Options{TempDir: temp})
	if err != nil {
		return nil, Info{}, err
	}
	var c collected
	info, err := d.Read(t.Context(), "t", []Want{{"a", false}}, 1, &c)
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(temp); len(left) > 0 {
		t.Errorf("left in the temporary folder: %v", left)
	}
	return c.lines(), info, err
}

func TestWriteAheadLog(t *testing.T) {
	path := unfinished(t, "PRAGMA journal_mode = wal; CREATE TABLE t(a INTEGER); INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)")
	if info, err := os.Stat(path + "-wal"); err != nil || info.Size() == 0 {
		t.Fatal("the test needs a write-ahead log with content")
	}
	before := snapshot(t, filepath.Dir(path))
	rows, info, err := readT(t, path)
	if err != nil || strings.Join(rows, " ") != "1|1:1 2|1:2" || !info.Fast {
		t.Errorf("got %v, %+v, %v", rows, info, err)
	}
	if after := snapshot(t, filepath.Dir(path)); after != before {
		t.Errorf("reading changed the folder from\n%s\nto\n%s", before, after)
	}
	// Through a symbolic link, the side files are beside the file and not beside the link.
	link := filepath.Join(t.TempDir(), "link.sqlite")
	if err := os.Symlink(path, link); err != nil {
		t.Skip(err)
	}
	if rows, _, err := readT(t, link); err != nil || len(rows) != 2 {
		t.Errorf("through a link: %v, %v", rows, err)
	}
}

func TestEmptyAndForeignSideFiles(t *testing.T) {
	for _, suffix := range []string{"-wal", "-journal", "-shm"} {
		for name, content := range map[string]string{"empty": "", "garbage": strings.Repeat("garbage ", 1000)} {
			path := build(t, "CREATE TABLE t(a INTEGER); INSERT INTO t VALUES (1), (2)")
			if err := os.WriteFile(path+suffix, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			before := snapshot(t, filepath.Dir(path))
			rows, info, err := readT(t, path)
			if err != nil || len(rows) != 2 || !info.Fast {
				t.Errorf("%s %s: %v %+v %v", name, suffix, rows, info, err)
			}
			if after := snapshot(t, filepath.Dir(path)); after != before {
				t.Errorf("%s %s: reading changed the folder from\n%s\nto\n%s", name, suffix, before, after)
			}
		}
	}
}

// hotJournal leaves a half-written transaction: pages were spilled to the database, the journal can undo it.
func hotJournal(t *testing.T) string {
	return unfinished(t, "CREATE TABLE t(a INTEGER, b TEXT); INSERT INTO t SELECT n, 'old' FROM "+numbers(5),
		"PRAGMA cache_size = 5; PRAGMA cache_spill = 1; BEGIN; UPDATE t SET a = 100; INSERT INTO t SELECT n, printf('%.*c', 900, 'x') FROM "+numbers(2000))
}

func TestHotJournal(t *testing.T) {
	path := hotJournal(t)
	if info, err := os.Stat(path + "-journal"); err != nil || info.Size() <= journalMinimum {
		t.Fatal("the test needs a journal with content")
	}
	before := snapshot(t, filepath.Dir(path))
	rows, _, err := readT(t, path)
	if err != nil || strings.Join(rows, " ") != "1|1:1 2|1:2 3|1:3 4|1:4 5|1:5" {
		t.Errorf("got %v, %v", rows, err)
	}
	if after := snapshot(t, filepath.Dir(path)); after != before {
		t.Errorf("reading changed the folder")
	}
}

// A journal can name a super-journal, which SQLite deletes after the roll-back. The name comes from the file, so any
// file of the user could be named.
func TestJournalThatNamesAnotherFile(t *testing.T) {
	path := hotJournal(t)
	victim := filepath.Join(t.TempDir(), "thesis.txt")
	if err := os.WriteFile(victim, []byte("years of work"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path+"-journal", os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	sum := uint32(0)
	for _, c := range []byte(victim) {
		sum += uint32(c)
	}
	n := uint32(len(victim))
	tail := []byte{0, 0, 0, 0} // page number of the super-journal record, not checked here
	tail = append(tail, victim...)
	tail = append(tail, byte(n>>24), byte(n>>16), byte(n>>8), byte(n), byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
	tail = append(tail, journalMagic...)
	if _, err := f.Write(tail); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, _, err := readT(t, path); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "several databases") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(victim); err != nil {
		t.Errorf("the named file is gone: %v", err)
	}
}
