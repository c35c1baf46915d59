package btree

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"
)

// build makes a database by running SQL scripts.
func build(t testing.TB, scripts ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "trap.sqlite")
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scripts {
		if err := execute(conn, s); err != nil {
			conn.Close()
			t.Fatalf("%s: %v", s, err)
		}
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// execute runs the statements of a script, each in its own transaction.
func execute(conn *sqlite.Conn, script string) error {
	for strings.TrimSpace(script) != "" {
		stmt, rest, err := conn.PrepareTransient(script)
		if err != nil {
			return err
		}
		script = script[len(script)-rest:]
		for more := true; more && err == nil; {
			more, err = stmt.Step()
		}
		if err := errors.Join(err, stmt.Finalize()); err != nil {
			return err
		}
	}
	return nil
}

// numbers is a table expression with the column n = 1..count.
func numbers(count int) string {
	return fmt.Sprintf("(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n < %d) SELECT n FROM c)", count)
}

// traps are databases of one oddity each. fast says whether the fast path must read table t, or must leave it.
var traps = []struct {
	name   string
	script string
	fast   bool
}{
	{"empty", "CREATE TABLE t(a INTEGER)", true},
	{"one row", "CREATE TABLE t(a INTEGER, b TEXT); INSERT INTO t VALUES (1, 'x')", true},
	{"integers of every width", `CREATE TABLE t(a INTEGER, b INTEGER);
		INSERT INTO t VALUES (0, 1), (1, 0), (-1, 2), (127, -128), (128, -129), (32767, -32768), (32768, -32769),
		(8388607, -8388608), (8388608, -8388609), (2147483647, -2147483648), (2147483648, -2147483649),
		(140737488355327, -140737488355328), (140737488355328, -140737488355329),
		(9223372036854775807, -9223372036854775808)`, true},
	{"rowid alias", "CREATE TABLE t(v TEXT, id INTEGER NOT NULL PRIMARY KEY); INSERT INTO t VALUES ('a', -5), ('b', 7), ('c', 9223372036854775807)", true},
	{"rowid alias as table constraint", "CREATE TABLE t(v TEXT, id INTEGER, PRIMARY KEY(id)); INSERT INTO t VALUES ('a', 3), ('b', 7)", true},
	{"INT is no alias", "CREATE TABLE t(id INT PRIMARY KEY, v TEXT); INSERT INTO t VALUES (30, 'a'), (NULL, 'b'), (10, 'c')", true},
	{"DESC is no alias", "CREATE TABLE t(id INTEGER PRIMARY KEY DESC, v TEXT); INSERT INTO t VALUES (30, 'a'), (NULL, 'b'), (10, 'c')", false},
	{"composite key", "CREATE TABLE t(a INTEGER, b INTEGER, v TEXT, PRIMARY KEY(a, b)); INSERT INTO t VALUES (1, 2, 'x'), (NULL, 2, 'y')", true},
	{"covering index", "CREATE TABLE t(a INTEGER, b INTEGER); CREATE INDEX i ON t(a); INSERT INTO t VALUES (3, 1), (1, 2), (2, 3)", true},
	{"added column", "CREATE TABLE t(a INTEGER); INSERT INTO t VALUES (1), (2); ALTER TABLE t ADD COLUMN b TEXT; INSERT INTO t VALUES (3, 'x')", true},
	{"added column with default", "CREATE TABLE t(a INTEGER); INSERT INTO t VALUES (1); ALTER TABLE t ADD COLUMN b INTEGER DEFAULT 42; INSERT INTO t VALUES (3, 4)", false},
	{"dropped column", "CREATE TABLE t(a INTEGER, x TEXT, b INTEGER); INSERT INTO t VALUES (1, 'q', 2); ALTER TABLE t DROP COLUMN x; INSERT INTO t VALUES (3, 4)", true},
	{"text in integer column", "CREATE TABLE t(a INTEGER, b INTEGER); INSERT INTO t VALUES (1, 'abc'), ('12', x'0102'), (1.5, NULL), (2.0, '')", true},
	{"integers in real column", "CREATE TABLE t(a REAL, b DOUBLE, c FLOATING POINT); INSERT INTO t VALUES (1, 2, 3), (1.5, 0, 1), (-7, NULL, 'x'), (1e300, 3, 1099511627776)", true},
	{"infinities", "CREATE TABLE t(a REAL, b REAL); INSERT INTO t VALUES (9e999, -9e999)", true},
	{"no types", "CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 'x'), (1.5, x''), (NULL, '')", true},
	{"strict", "CREATE TABLE t(a INTEGER, b ANY) STRICT; INSERT INTO t VALUES (1, 'x'), (2, 2.5)", true},
	{"without rowid", "CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT) WITHOUT ROWID; INSERT INTO t VALUES (2, 'x'), (1, 'y')", false},
	{"without in a comment", "CREATE TABLE t(a INTEGER /* without doubt */); INSERT INTO t VALUES (2), (1)", false},
	{"generated columns", "CREATE TABLE t(a INTEGER, b INTEGER AS (a*2) VIRTUAL, c INTEGER AS (a*3) STORED, d TEXT); INSERT INTO t(a, d) VALUES (2, 'x'), (1, 'y')", false},
	{"columns named rowid", "CREATE TABLE t(rowid INTEGER, oid TEXT); INSERT INTO t VALUES (20, 'x'), (10, 'y')", true},
	{"every rowid name taken", "CREATE TABLE t(rowid INTEGER, oid TEXT, _rowid_ TEXT); INSERT INTO t VALUES (20, 'x', 'z'), (10, 'y', 'z')", false},
	{"odd names", `CREATE TABLE t("a b" INTEGER, "c""d" TEXT, "select" TEXT, "ä" TEXT); INSERT INTO t VALUES (1, 'x', 'y', 'z')`, true},
	{"negative and sparse rowids", "CREATE TABLE t(a INTEGER); INSERT INTO t(rowid, a) VALUES (-9223372036854775808, 1), (-1, 2), (0, 3), (1000000007, 4), (9223372036854775807, 5)", true},
	{"many rows", "CREATE TABLE t(a INTEGER, b TEXT, c INTEGER); INSERT INTO t SELECT n, 'row ' || n, n*n*n FROM " + numbers(20000), true},
	{"deleted rows", "CREATE TABLE t(a INTEGER, b TEXT); INSERT INTO t SELECT n, 'row ' || n FROM " + numbers(20000) + "; DELETE FROM t WHERE a % 3 = 0 OR a BETWEEN 5000 AND 9000", true},
	{"all rows deleted", "CREATE TABLE t(a INTEGER, b TEXT); INSERT INTO t SELECT n, 'row ' || n FROM " + numbers(5000) + "; DELETE FROM t", true},
	{"interleaved tables", "CREATE TABLE t(a INTEGER, b TEXT); CREATE TABLE u(a INTEGER, b TEXT); CREATE TRIGGER x AFTER INSERT ON t BEGIN INSERT INTO u VALUES (new.a, new.b); END; INSERT INTO t SELECT n, 'row ' || n FROM " + numbers(5000), true},
	{"rows inserted backwards", "CREATE TABLE t(a INTEGER, b TEXT); INSERT INTO t(rowid, a, b) SELECT 100000 - n, n, 'row ' || n FROM " + numbers(20000), true},
	{"overflowing text", "CREATE TABLE t(a INTEGER, b TEXT, c INTEGER); INSERT INTO t SELECT n, printf('%.*c', n * 37, char(97 + n % 26)), n*1000000 FROM " + numbers(1200), true},
	{"lengths around the overflow limit", "CREATE TABLE t(b TEXT, c INTEGER); INSERT INTO t SELECT printf('%.*c', 4040 + n, 'x'), n FROM " + numbers(60), true},
	{"long blobs", "CREATE TABLE t(a BLOB, b INTEGER); INSERT INTO t SELECT zeroblob(n * 100000), n FROM " + numbers(12), true},
	{"two hundred columns", wide(200), true},
	{"record header of two bytes", wide(1500), true},
	{"small pages", "PRAGMA page_size = 512; CREATE TABLE t(a INTEGER, b TEXT, c REAL); INSERT INTO t SELECT n, printf('%.*c', n % 700, 'y'), n / 7.0 FROM " + numbers(3000), true},
	{"large pages", "PRAGMA page_size = 65536; CREATE TABLE t(a INTEGER, b TEXT, c REAL); INSERT INTO t SELECT n, printf('%.*c', n % 700, 'y'), n / 7.0 FROM " + numbers(3000), true},
	{"auto-vacuum", "PRAGMA auto_vacuum = full; CREATE TABLE t(a INTEGER, b TEXT); INSERT INTO t SELECT n, printf('%.*c', n % 9000, 'y') FROM " + numbers(2000) + "; DELETE FROM t WHERE a % 2", true},
	{"UTF-16", "PRAGMA encoding = 'UTF-16le'; CREATE TABLE t(a INTEGER, b TEXT); INSERT INTO t VALUES (1, 'größe 漢字 😀')", false},
	{"invalid UTF-8 and control characters", "CREATE TABLE t(b TEXT); INSERT INTO t VALUES (CAST(x'fffe00800a1b' AS TEXT)), ('<script>'), (char(0, 65))", true},
	{"a view and a virtual table", "CREATE TABLE t(a INTEGER); INSERT INTO t VALUES (1); CREATE VIEW v AS SELECT a FROM t; CREATE VIRTUAL TABLE f USING fts5(x)", true},
	{"schema format 1", "PRAGMA legacy_file_format = on; CREATE TABLE t(a INTEGER, b INTEGER); INSERT INTO t VALUES (0, 1), (1, 0)", true},
	{"after VACUUM", "CREATE TABLE t(a INTEGER, b TEXT); INSERT INTO t SELECT n, 'row ' || n FROM " + numbers(9000) + "; DELETE FROM t WHERE a % 5; VACUUM", true},
	{"NULLs", "CREATE TABLE t(a INTEGER, b TEXT, c REAL); INSERT INTO t VALUES (NULL, NULL, NULL), (1, NULL, 2), (NULL, 'x', NULL)", true},
	{"WAL mode without a log", "PRAGMA journal_mode = wal; CREATE TABLE t(a INTEGER); INSERT INTO t VALUES (1), (2)", true},
}

func wide(columns int) string {
	var names, values []string
	for i := range columns {
		names = append(names, fmt.Sprintf("c%d", i))
		values = append(values, fmt.Sprintf("n * %d", i))
	}
	return fmt.Sprintf("CREATE TABLE t(%s); INSERT INTO t SELECT %s FROM %s",
		strings.Join(names, ", "), strings.Join(values, ", "), numbers(40))
}

func TestTraps(t *testing.T) {
	for _, trap := range traps {
		t.Run(trap.name, func(t *testing.T) {
			path := build(t, trap.script)
			before := snapshot(t, filepath.Dir(path))
			infos := sameAsLibrary(t, path)
			info, ok := infos["t"]
			if !ok {
				t.Fatal("table t was not read")
			}
			if info.Fast != trap.fast {
				t.Errorf("fast path: got %v (%s), want %v", info.Fast, info.Reason, trap.fast)
			}
			if info.Fast && info.Reason != "" {
				t.Error(info.Reason)
			}
			if after := snapshot(t, filepath.Dir(path)); after != before {
				t.Errorf("reading changed the folder from\n%s\nto\n%s", before, after)
			}
		})
	}
}

// NaN cannot be written by SQL: SQLite stores NULL. It is patched into the file, where SQLite reads it as NULL.
func TestNaN(t *testing.T) {
	path := build(t, "CREATE TABLE t(a REAL, b INTEGER); INSERT INTO t VALUES (1234.5678, 7)")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	nan := bigEndian(math.Float64bits(math.NaN()))
	patched := strings.Replace(string(b), bigEndian(math.Float64bits(1234.5678)), nan, 1)
	if patched == string(b) {
		t.Fatal("the value was not found in the file")
	}
	if err := os.WriteFile(path, []byte(patched), 0o600); err != nil {
		t.Fatal(err)
	}
	if info := sameAsLibrary(t, path)["t"]; !info.Fast {
		t.Errorf("fast path refused: %s", info.Reason)
	}
}

func bigEndian(v uint64) string {
	var b [8]byte
	for i := range b {
		b[i] = byte(v >> (56 - 8*i))
	}
	return string(b[:])
}

// snapshot describes a folder: names, sizes, times and content of its files.
func snapshot(t testing.TB, dir string) string {
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
		fmt.Fprintf(&s, "%s %d %v %v %x\n", e.Name(), info.Size(), info.ModTime(), info.Mode(), hash(content))
	}
	return s.String()
}

func hash(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}
