// Package sqlitewriter writes small Nsight Systems SQLite exports as each version of nsys lays them out, so that a test
// can show one situation in a few rows:
//
//	path := sqlitewriter.New("3.20.3").
//		Strings("gemm", "cudaLaunchKernel_v7000").
//		Insert("CUPTI_ACTIVITY_KIND_KERNEL", sqlitewriter.Row{"start": 10, "end": 20, "demangledName": 1}).
//		Write(t)
//
// A table exists once something was inserted into it, as in nsys' lazy exports. Columns that a row does not name are NULL:
// what a version declares NOT NULL is declared so here only where tests rely on it, which is nowhere.
package sqlitewriter

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"
)

// Versions are the schema versions that have been seen in real files, with the version of nsys that wrote them.
var Versions = []struct{ Schema, Nsys string }{
	{"2.9.1", "2022.1.3"}, {"3.0.0", "2022.4.2"}, {"3.1.7", "2023.2.3"}, {"3.4.0", "2023.3.3"}, {"3.6.0", "2023.4.1"},
	{"3.11.3", "2024.4.2"}, {"3.16.1", "2024.6.2"}, {"3.17.2", "2025.1.3"}, {"3.20.3", "2025.3.2"}, {"3.24.0", "2025.5.2"},
	{"3.24.14", "2026.1.1"}, {"3.25.0", "2026.2.1"},
}

// Row is one row by column name. A value is nil, an integer, a float64, a string or a []byte.
type Row map[string]any

// File is an export in the making.
type File struct {
	version []int
	names   []string
	tables  map[string]*table
	errs    []error
}

type table struct {
	columns []string
	rows    []Row
}

// New returns an empty export of that schema version, with its version on record.
func New(schema string) *File {
	f := &File{tables: map[string]*table{}}
	for _, part := range strings.Split(schema, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			f.errs = append(f.errs, fmt.Errorf("schema version %q: %w", schema, err))
		}
		f.version = append(f.version, n)
	}
	nsys := "0.0.0"
	for _, v := range Versions {
		if v.Schema == schema {
			nsys = v.Nsys
		}
	}
	meta := "META_DATA_EXPORT"
	if f.before("3.4") {
		meta = "EXPORT_META_DATA"
	}
	return f.Insert(meta, Row{"name": "EXPORT_PRODUCT_VERSION", "value": nsys + ".0"}, Row{"name": "EXPORT_SCHEMA_VERSION", "value": schema})
}

// before reports whether the file's schema is older than version.
func (f *File) before(version string) bool {
	var v []int
	for _, part := range strings.Split(version, ".") {
		n, _ := strconv.Atoi(part)
		v = append(v, n)
	}
	return slices.Compare(f.version, v) < 0
}

// Strings adds values to StringIds; the first value of a file has id 0.
func (f *File) Strings(values ...string) *File {
	for _, v := range values {
		f.Insert("StringIds", Row{"id": len(f.tableOf("StringIds").rows), "value": v})
	}
	return f
}

// Table declares a table without rows, or gives it other columns than its version has. Columns may carry a type.
func (f *File) Table(name string, columns ...string) *File {
	t := f.tableOf(name)
	if len(columns) > 0 {
		t.columns = columns
	}
	return f
}

// Insert adds rows to a table.
func (f *File) Insert(name string, rows ...Row) *File {
	t := f.tableOf(name)
	t.rows = append(t.rows, rows...)
	return f
}

func (f *File) tableOf(name string) *table {
	t := f.tables[name]
	if t == nil {
		t = &table{columns: f.columns(name)}
		f.tables[name] = t
		f.names = append(f.names, name)
	}
	return t
}

// Write makes the file in a folder of the test and returns its path.
func (f *File) Write(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "profile.sqlite")
	if err := f.write(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func (f *File) write(path string) (err error) {
	for _, err := range f.errs {
		return err
	}
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := conn.Close(); err == nil {
			err = cerr
		}
	}()
	if err := run(conn, "BEGIN"); err != nil {
		return err
	}
	for _, name := range f.names {
		t := f.tables[name]
		if len(t.columns) == 0 {
			return fmt.Errorf("no columns are known of table %s", name)
		}
		if err := run(conn, "CREATE TABLE "+name+" ("+strings.Join(t.columns, ", ")+")"); err != nil {
			return fmt.Errorf("table %s: %w", name, err)
		}
		for i, row := range t.rows {
			if err := t.insert(conn, name, row); err != nil {
				return fmt.Errorf("table %s row %d: %w", name, i+1, err)
			}
		}
	}
	return run(conn, "COMMIT")
}

func (t *table) insert(conn *sqlite.Conn, name string, row Row) error {
	var columns, marks []string
	var values []any
	for _, c := range t.columns {
		bare, _, _ := strings.Cut(c, " ")
		v, ok := row[bare]
		if !ok {
			continue
		}
		columns, marks, values = append(columns, bare), append(marks, "?"), append(values, v)
	}
	if len(columns) != len(row) {
		return fmt.Errorf("of the columns of %v only %v exist in this version", row, columns)
	}
	stmt, _, err := conn.PrepareTransient("INSERT INTO " + name + " (\"" + strings.Join(columns, "\", \"") + "\") VALUES (" + strings.Join(marks, ", ") + ")")
	if err != nil {
		return err
	}
	for i, v := range values {
		switch v := v.(type) {
		case nil:
			stmt.BindNull(i + 1)
		case int:
			stmt.BindInt64(i+1, int64(v))
		case int64:
			stmt.BindInt64(i+1, v)
		case float64:
			stmt.BindFloat(i+1, v)
		case string:
			stmt.BindText(i+1, v)
		case []byte:
			stmt.BindBytes(i+1, v)
		default:
			stmt.Finalize()
			return fmt.Errorf("value %v of type %T", v, v)
		}
	}
	_, err = stmt.Step()
	if ferr := stmt.Finalize(); err == nil {
		err = ferr
	}
	return err
}

func run(conn *sqlite.Conn, sql string) error {
	stmt, _, err := conn.PrepareTransient(sql)
	if err != nil {
		return err
	}
	_, err = stmt.Step()
	if ferr := stmt.Finalize(); err == nil {
		err = ferr
	}
	return err
}
