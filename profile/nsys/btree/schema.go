package btree

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// Column is a column as declared.
type Column struct {
	Name     string
	Type     string // the declared type, "" if there is none
	real     bool   // REAL affinity: integers are read as floating point numbers
	rowid    bool   // an alias of the rowid, stored as NULL
	hasValue bool   // rows that are older than the column have a default other than NULL
}

// Table is an ordinary table of the database.
type Table struct {
	Name    string
	Columns []Column

	position map[string]int // by folded name
	root     uint32
	rowid    string // a name of the rowid that no column has taken, "" = none
	refuse   string // why the fast path cannot read it, "" = it can
	sql      string
	loaded   bool
}

// Has reports whether the table has the column. Names compare without regard to case, as they do in SQL.
func (t *Table) Has(column string) bool {
	_, ok := t.position[fold(column)]
	return ok
}

// fold maps names that SQL takes as equal to one: only ASCII letters lose their case.
func fold(name string) string {
	b := []byte(name)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// Tables returns the names of all ordinary tables, sorted. Views and virtual tables are left out: reading them would run
// the file's own SQL.
func (d *Database) Tables() []string { return d.names }

// openLibrary opens the database with the SQL engine and lists its tables.
func (d *Database) openLibrary(ctx context.Context) error {
	conn, err := d.connect(ctx)
	if err != nil {
		return fmt.Errorf("reading %s: %w", d.path, libraryError(err))
	}
	d.conn = conn
	d.tables = map[string]*Table{}
	const list = "SELECT name, rootpage, sql FROM main.sqlite_schema WHERE type = 'table' AND rootpage > 0"
	err = sqlitex.ExecuteTransient(conn, list, &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
		t := &Table{Name: s.ColumnText(0), sql: s.ColumnText(2)}
		if root := s.ColumnInt64(1); root < 1<<32 {
			t.root = uint32(root)
		}
		if strings.HasPrefix(fold(t.Name), "sqlite_") {
			return nil
		}
		if key := fold(t.Name); d.tables[key] == nil {
			d.tables[key] = t
			d.names = append(d.names, t.Name)
		}
		return nil
	}})
	if err != nil {
		return fmt.Errorf("reading %s: %w", d.path, libraryError(err))
	}
	slices.Sort(d.names)
	return nil
}

// Table returns the table of that name, nil if there is none.
func (d *Database) Table(name string) (*Table, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tables[fold(name)]
	if t == nil || t.loaded {
		return t, nil
	}
	if err := t.load(d.conn); err != nil {
		return nil, fmt.Errorf("reading %s: table %s: %w", d.path, t.Name, libraryError(err))
	}
	t.loaded = true
	if d.refuse != "" {
		t.refuse = d.refuse
	}
	return t, nil
}

// load asks the SQL engine for the columns, and decides whether rows are stored in the plain form that the fast path
// reads.
func (t *Table) load(conn *sqlite.Conn) error {
	t.position = map[string]int{}
	keys, alias := 0, -1
	const columns = "SELECT name, type, dflt_value, pk, hidden FROM pragma_table_xinfo(?1, 'main')"
	err := sqlitex.ExecuteTransient(conn, columns, &sqlitex.ExecOptions{Args: []any{t.Name}, ResultFunc: func(s *sqlite.Stmt) error {
		c := Column{Name: s.ColumnText(0), Type: s.ColumnText(1), hasValue: !s.ColumnIsNull(2)}
		c.real = realAffinity(c.Type)
		if s.ColumnInt64(3) > 0 {
			keys++
			if strings.EqualFold(c.Type, "INTEGER") {
				alias = len(t.Columns)
			}
		}
		if s.ColumnInt64(4) != 0 {
			t.refuse = "the table has hidden or generated columns"
		}
		if t.Has(c.Name) {
			t.refuse = "two columns have one name"
		} else {
			t.position[fold(c.Name)] = len(t.Columns)
		}
		t.Columns = append(t.Columns, c)
		return nil
	}})
	if err != nil {
		return err
	}
	sql := strings.ToUpper(t.sql)
	switch {
	case t.refuse != "":
	case len(t.Columns) == 0:
		t.refuse = "the table has no columns"
	case hasWord(sql, "WITHOUT"):
		// WITHOUT ROWID keeps the rows in an index b-tree. The word may also stand in a comment: then only time is lost.
		t.refuse = withoutRowid
	case keys > 0 && hasWord(sql, "DESC"):
		// INTEGER PRIMARY KEY DESC is no alias of the rowid, by an old mistake that SQLite keeps.
		t.refuse = "the primary key may be DESC"
	case keys == 1 && alias >= 0:
		t.Columns[alias].rowid = true
	}
	for _, name := range []string{"rowid", "_rowid_", "oid"} {
		if !t.Has(name) {
			t.rowid = name
			break
		}
	}
	switch {
	case t.rowid == "" && t.refuse == "":
		t.refuse = "columns hide every name of the rowid"
	case t.refuse == withoutRowid && t.rowid != "" && !compiles(conn, "SELECT "+t.rowid+" FROM main."+quoteName(t.Name)):
		t.rowid = ""
	}
	return nil
}

const withoutRowid = "the table may be WITHOUT ROWID"

// hasWord reports whether word stands alone in sql, be it in a comment.
func hasWord(sql, word string) bool {
	letter := func(i int) bool {
		return i >= 0 && i < len(sql) && (sql[i] >= 'A' && sql[i] <= 'Z' || sql[i] == '_' || sql[i] >= 0x80)
	}
	for at := 0; ; {
		i := strings.Index(sql[at:], word)
		if i < 0 {
			return false
		}
		at += i + len(word)
		if !letter(at-len(word)-1) && !letter(at) {
			return true
		}
	}
}

// compiles reports whether the SQL engine accepts a statement.
func compiles(conn *sqlite.Conn, sql string) bool {
	stmt, _, err := conn.PrepareTransient(sql)
	if err != nil {
		return false
	}
	stmt.Finalize()
	return true
}

// realAffinity follows the rules of https://sqlite.org/datatype3.html section 3.1.
func realAffinity(declared string) bool {
	s := strings.ToUpper(declared)
	for _, other := range []string{"INT", "CHAR", "CLOB", "TEXT", "BLOB"} {
		if strings.Contains(s, other) {
			return false
		}
	}
	return strings.Contains(s, "REAL") || strings.Contains(s, "FLOA") || strings.Contains(s, "DOUB")
}
