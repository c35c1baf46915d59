package btree

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"os"
	"strings"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// maxValue bounds one text or blob. The longest text of a profile is a server's captured log.
const maxValue = 64 << 20

// connect opens the database file with the SQL engine.
func (d *Database) connect(ctx context.Context) (*sqlite.Conn, error) {
	uri := url.URL{Scheme: "file", Opaque: (&url.URL{Path: slashed(d.dbPath)}).EscapedPath(), RawQuery: "mode=ro&immutable=1"}
	conn, err := sqlite.OpenConn(uri.String(), sqlite.OpenReadOnly|sqlite.OpenURI)
	if err != nil {
		return nil, err
	}
	conn.SetInterrupt(ctx.Done())
	conn.Limit(sqlite.LimitLength, maxValue)
	for _, pragma := range []string{
		// The schema of a stranger's file may call functions: none of them is needed to read a table.
		"PRAGMA trusted_schema = off",
		"PRAGMA query_only = on",
		"PRAGMA mmap_size = 0",
		// Without it, a cell that ends past its page is read together with whatever lies behind it in memory, and two
		// reads of one damaged file differ.
		"PRAGMA cell_size_check = on",
	} {
		if err := sqlitex.ExecuteTransient(conn, pragma, nil); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return conn, nil
}

// slashed returns path in the form of a file URI.
func slashed(path string) string {
	if os.PathSeparator == '/' {
		return path
	}
	path = strings.ReplaceAll(path, string(os.PathSeparator), "/")
	if len(path) > 1 && path[1] == ':' {
		path = "/" + path
	}
	return path
}

// libraryError names the two result codes of SQLite that say what is wrong with the input.
func libraryError(err error) error {
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultCorrupt, sqlite.ResultFormat:
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	case sqlite.ResultNotADB:
		return fmt.Errorf("%w: %w", ErrNotDatabase, err)
	case sqlite.ResultInterrupt:
		return context.Canceled
	}
	return err
}

// readLibrary delivers the table through the SQL engine, as one part.
func (d *Database) readLibrary(ctx context.Context, t *Table, cols []Want, deliver func(*Batch) error) error {
	conn, err := d.connect(ctx)
	if err != nil {
		return libraryError(err)
	}
	defer conn.Close()
	var sql strings.Builder
	sql.WriteString("SELECT ")
	if t.rowid != "" {
		sql.WriteString(t.rowid)
	} else {
		sql.WriteString("0")
	}
	for _, c := range cols {
		sql.WriteString(", ")
		sql.WriteString(quoteName(t.Columns[t.position[fold(c.Name)]].Name))
	}
	// An index that covers the columns would give another order.
	sql.WriteString(" FROM main." + quoteName(t.Name) + " NOT INDEXED")
	stmt, _, err := conn.PrepareTransient(sql.String())
	if err != nil {
		return libraryError(err)
	}
	defer stmt.Finalize()
	b := newBatch(cols)
	var arena []byte
	// Pages that point to one page from many places make a small file look like any number of rows.
	most := int64(d.header.pages) * int64((d.header.pageSize-8)/6)
	for ordinal := int64(1); ; ordinal++ {
		more, err := stmt.Step()
		if err != nil {
			return libraryError(err)
		}
		if !more {
			break
		}
		if ordinal > most {
			return fmt.Errorf("%w: more rows than its %d pages can hold", ErrCorrupt, d.header.pages)
		}
		if t.rowid != "" {
			b.Rowid[b.Len] = stmt.ColumnInt64(0)
		} else {
			b.Rowid[b.Len] = ordinal
		}
		for i := range cols {
			v := &b.Cols[i]
			value, kind := int64(0), Null
			switch stmt.ColumnType(i + 1) {
			case sqlite.TypeInteger:
				value, kind = stmt.ColumnInt64(i+1), Int
			case sqlite.TypeFloat:
				value, kind = int64(math.Float64bits(stmt.ColumnFloat(i+1))), Real
			case sqlite.TypeText:
				kind = Text
			case sqlite.TypeBlob:
				kind = Blob
			}
			v.Ints[b.Len], v.Kinds[b.Len] = value, kind
			v.Seen |= 1 << kind
			if v.Text == nil {
				continue
			}
			v.Text[b.Len] = nil
			if kind == Text || kind == Blob {
				start := len(arena)
				arena = d.appendValue(arena, stmt, i+1, kind)
				v.Text[b.Len] = arena[start:len(arena):len(arena)]
			}
		}
		b.Len++
		if b.Len == batchRows || len(arena) > arenaSize {
			if err := deliver(b); err != nil {
				return err
			}
			b.reset()
			arena = arena[:0]
		}
	}
	if b.Len > 0 {
		return deliver(b)
	}
	return nil
}

// appendValue appends the text or blob of column col. Slices of an arena that had to grow keep their old backing array,
// which holds the same bytes.
func (d *Database) appendValue(arena []byte, stmt *sqlite.Stmt, col int, kind Kind) []byte {
	if kind == Text && !d.header.utf8 {
		return append(arena, stmt.ColumnText(col)...)
	}
	start, n := len(arena), stmt.ColumnLen(col)
	for cap(arena)-start < n {
		arena = append(arena[:cap(arena)], 0)
	}
	arena = arena[:start+n]
	stmt.ColumnBytes(col, arena[start:])
	return arena
}

func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
