package nsys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/profile/nsys/btree"
)

// parquetSource reads a Parquet export: one file per table, named after it.
type parquetSource struct {
	dir   string
	files map[string]*parquetTable
}

type parquetTable struct {
	file *os.File
	pq   *parquet.File
	cols map[string]int // leaf column index by name
}

func openParquet(ctx context.Context, dir string, o Options) (_ *profile.Profile, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", dir, cause(err))
	}
	s := &parquetSource{dir: dir, files: map[string]*parquetTable{}}
	defer s.close()
	for _, e := range entries {
		table, ok := strings.CutSuffix(e.Name(), ".parquet")
		if !ok || !e.Type().IsRegular() {
			continue
		}
		t, err := openParquetTable(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		s.files[table] = t
	}
	if len(s.files) == 0 {
		return nil, fmt.Errorf("reading %s: %w: no .parquet file in the folder", dir, profile.ErrUnrecognised)
	}
	return readSource(ctx, s, dir, "nsys-parquet", o)
}

func openParquetTable(path string) (_ *parquetTable, err error) {
	defer func() {
		// The library panics on some damaged files; to the user that is a broken file like any other.
		if p := recover(); p != nil {
			err = fmt.Errorf("reading %s: %w: %v", path, profile.ErrMalformed, p)
		}
	}()
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, cause(err))
	}
	info, err := f.Stat()
	if err == nil {
		var pq *parquet.File
		if pq, err = parquet.OpenFile(f, info.Size()); err == nil {
			t := &parquetTable{file: f, pq: pq, cols: map[string]int{}}
			for i, path := range pq.Schema().Columns() {
				if len(path) == 1 {
					t.cols[path[0]] = i
				}
			}
			return t, nil
		}
	}
	f.Close()
	return nil, fmt.Errorf("reading %s: %w: %w", path, profile.ErrMalformed, err)
}

func (s *parquetSource) has(table string) bool { return s.files[table] != nil }

func (s *parquetSource) hasColumn(table, column string) bool {
	t := s.files[table]
	if t == nil {
		return false
	}
	_, ok := t.cols[column]
	return ok
}

func (s *parquetSource) close() error {
	var errs []error
	for _, t := range s.files {
		errs = append(errs, t.file.Close())
	}
	return errors.Join(errs...)
}

const parquetBatch = 2048

func (s *parquetSource) scan(ctx context.Context, table string, want []btree.Want, reset func(int64), row func(*btree.Batch) error) (err error) {
	t := s.files[table]
	path := filepath.Join(s.dir, table+".parquet")
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("reading %s: %w: %v", path, profile.ErrMalformed, p)
		}
	}()
	reset(t.pq.NumRows())
	rowid := int64(0)
	for _, group := range t.pq.RowGroups() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if rowid, err = scanGroup(t, group, want, rowid, row); err != nil {
			if errors.Is(err, context.Canceled) {
				return err
			}
			return fmt.Errorf("reading %s: %w: row group at row %d: %w", path, profile.ErrMalformed, rowid+1, err)
		}
	}
	return nil
}

// scanGroup reads the wanted columns of a row group side by side.
func scanGroup(t *parquetTable, group parquet.RowGroup, want []btree.Want, rowid int64, row func(*btree.Batch) error) (int64, error) {
	chunks := group.ColumnChunks()
	readers := make([]*columnReader, len(want))
	for i, w := range want {
		readers[i] = &columnReader{pages: chunks[t.cols[w.Name]].Pages(), text: w.Text}
		defer readers[i].pages.Close()
	}
	left := group.NumRows()
	b := &btree.Batch{Rowid: make([]int64, parquetBatch), Cols: make([]btree.Vector, len(want))}
	for i, w := range want {
		b.Cols[i].Kinds, b.Cols[i].Ints = make([]btree.Kind, parquetBatch), make([]int64, parquetBatch)
		if w.Text {
			b.Cols[i].Text = make([][]byte, parquetBatch)
		}
	}
	for left > 0 {
		n := int(min(left, parquetBatch))
		for i := range readers {
			if err := readers[i].fill(&b.Cols[i], n); err != nil {
				return rowid, err
			}
		}
		for i := range n {
			rowid++
			b.Rowid[i] = rowid
		}
		b.Len = n
		if err := row(b); err != nil {
			return rowid, err
		}
		left -= int64(n)
	}
	return rowid, nil
}

// columnReader delivers a column's values in order.
type columnReader struct {
	pages  parquet.Pages
	values parquet.ValueReader
	buf    [256]parquet.Value
	have   []parquet.Value
	text   bool
}

func (c *columnReader) next() (parquet.Value, error) {
	for len(c.have) == 0 {
		if c.values == nil {
			page, err := c.pages.ReadPage()
			if err != nil {
				if errors.Is(err, io.EOF) {
					return parquet.Value{}, io.ErrUnexpectedEOF
				}
				return parquet.Value{}, err
			}
			c.values = page.Values()
		}
		n, err := c.values.ReadValues(c.buf[:])
		c.have = c.buf[:n]
		if err != nil {
			c.values = nil
			if !errors.Is(err, io.EOF) {
				return parquet.Value{}, err
			}
		}
	}
	v := c.have[0]
	c.have = c.have[1:]
	return v, nil
}

func (c *columnReader) fill(v *btree.Vector, n int) error {
	v.Seen = 0
	for i := range n {
		x, err := c.next()
		if err != nil {
			return err
		}
		kind := btree.Null
		v.Ints[i] = 0
		if !x.IsNull() {
			switch x.Kind() {
			case parquet.Boolean:
				kind = btree.Int
				if x.Boolean() {
					v.Ints[i] = 1
				}
			case parquet.Int32:
				kind, v.Ints[i] = btree.Int, int64(x.Int32())
			case parquet.Int64:
				kind, v.Ints[i] = btree.Int, x.Int64()
			case parquet.Float:
				kind, v.Ints[i] = btree.Real, int64(math.Float64bits(float64(x.Float())))
			case parquet.Double:
				kind, v.Ints[i] = btree.Real, int64(math.Float64bits(x.Double()))
			default:
				kind = btree.Text
				if c.text {
					v.Text[i] = append([]byte(nil), x.ByteArray()...)
				}
			}
		}
		v.Kinds[i] = kind
		v.Seen |= 1 << kind
	}
	return nil
}
