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

// columns is a view of one batch by the names of the columns asked for. Columns that the table lacks are absent.
type columns struct {
	want []btree.Want
	at   map[string]int
}

// pick returns the columns of specs that the table has; ok is false when a required one is missing, with its name.
func pick(s source, table string, text ...string) (c columns, missing string) {
	c.at = map[string]int{}
	isText := map[string]bool{}
	for _, t := range text {
		isText[t] = true
	}
	for _, spec := range specs(table) {
		if !s.hasColumn(table, spec.Column) {
			if spec.Required {
				return c, spec.Column
			}
			continue
		}
		c.at[spec.Column] = len(c.want)
		c.want = append(c.want, btree.Want{Name: spec.Column, Text: isText[spec.Column]})
	}
	return c, ""
}

// vec returns the column of a batch, nil if the table lacks it.
func (c *columns) vec(b *btree.Batch, name string) *btree.Vector {
	i, ok := c.at[name]
	if !ok {
		return nil
	}
	return &b.Cols[i]
}

// ints returns the values of a column, nil if the table lacks it. NULL and anything but an integer reads as 0.
func (c *columns) ints(b *btree.Batch, name string) []int64 {
	v := c.vec(b, name)
	if v == nil {
		return nil
	}
	if v.Seen&^(1<<btree.Int|1<<btree.Null) != 0 {
		for i := range b.Len {
			if v.Kinds[i] != btree.Int {
				v.Ints[i] = 0
			}
		}
	}
	return v.Ints[:b.Len]
}

// at returns col[i], or def where the column is absent.
func at(col []int64, i int, def int64) int64 {
	if col == nil {
		return def
	}
	return col[i]
}
