package nsys

import (
	"context"
	"fmt"

	"github.com/stepscope/stepscope/profile/nsys/btree"
)

// source is where tables come from: a SQLite file or a folder of Parquet files.
type source interface {
	has(table string) bool
	hasColumn(table, column string) bool
	// scan delivers the rows of a table in the file's order. reset is called before the first row, and again when what
	// was delivered so far is void.
	scan(ctx context.Context, table string, cols []btree.Want, reset func(rows int64), row func(b *btree.Batch) error) error
	close() error
}

// sqliteSource reads a SQLite export.
type sqliteSource struct {
	db     *btree.Database
	debug  func(string)
	tables map[string]bool
}

func newSQLiteSource(db *btree.Database) *sqliteSource {
	s := &sqliteSource{db: db, tables: map[string]bool{}}
	for _, t := range db.Tables() {
		s.tables[t] = true
	}
	return s
}

func (s *sqliteSource) has(table string) bool { return s.tables[table] }

func (s *sqliteSource) hasColumn(table, column string) bool {
	t, err := s.db.Table(table)
	return err == nil && t != nil && t.Has(column)
}

func (s *sqliteSource) close() error { return s.db.Close() }

func (s *sqliteSource) scan(ctx context.Context, table string, cols []btree.Want, reset func(int64), row func(*btree.Batch) error) error {
	info, err := s.db.Read(ctx, table, cols, 1, &sink{reset, row})
	if err == nil && !info.Fast && s.debug != nil {
		s.debug(fmt.Sprintf("table %s was read with the SQL engine: %s", table, info.Reason))
	}
	return err
}

// sink adapts one-part reads.
type sink struct {
	reset func(int64)
	row   func(*btree.Batch) error
}

func (s *sink) Begin(_ int, rows int64)           { s.reset(rows) }
func (s *sink) Batch(_ int, b *btree.Batch) error { return s.row(b) }
