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
	"github.com/parquet-go/parquet-go/format"

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
	cols map[string]parquetColumn // by name
}

type parquetColumn struct {
	leaf     int
	unsigned bool // 32 bits without a sign
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
			t := &parquetTable{file: f, pq: pq, cols: map[string]parquetColumn{}}
			for _, path := range pq.Schema().Columns() {
				leaf, ok := pq.Schema().Lookup(path...)
				if !ok || len(path) != 1 {
					continue
				}
				unsigned := false
				if kind := leaf.Node.Type().LogicalType(); kind != nil {
					integer, ok := kind.Value.(*format.IntType)
					unsigned = ok && !integer.IsSigned
				}
				t.cols[path[0]] = parquetColumn{leaf.ColumnIndex, unsigned}
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
		c := t.cols[w.Name]
		readers[i] = &columnReader{pages: chunks[c.leaf].Pages(), text: w.Text, unsigned: c.unsigned}
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
	pages    parquet.Pages
	page     parquet.Page
	values   parquet.ValueReader
	buf      [256]parquet.Value
	have     []parquet.Value
	text     bool
	unsigned bool
	arena    []byte // texts of the batch
}

// more reads the next values. A page that is left is given back: texts are copied before.
func (c *columnReader) more() error {
	for len(c.have) == 0 {
		if c.values == nil {
			page, err := c.pages.ReadPage()
			if errors.Is(err, io.EOF) {
				return io.ErrUnexpectedEOF
			}
			if err != nil {
				return err
			}
			c.page, c.values = page, page.Values()
		}
		n, err := c.values.ReadValues(c.buf[:])
		c.have = c.buf[:n]
		if errors.Is(err, io.EOF) {
			c.values = nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

// fill delivers the next n values.
func (c *columnReader) fill(v *btree.Vector, n int) error {
	v.Seen = 0
	c.arena = c.arena[:0]
	for i := range n {
		if len(c.have) == 0 {
			if c.values == nil && c.page != nil {
				parquet.Release(c.page)
				c.page = nil
			}
			if err := c.more(); err != nil {
				return err
			}
		}
		x := &c.have[0]
		c.have = c.have[1:]
		kind, value := btree.Null, int64(0)
		switch {
		case x.IsNull():
		case x.Kind() == parquet.Int64:
			kind, value = btree.Int, x.Int64()
		case x.Kind() == parquet.Int32 && c.unsigned:
			kind, value = btree.Int, int64(x.Uint32())
		case x.Kind() == parquet.Int32:
			kind, value = btree.Int, int64(x.Int32())
		case x.Kind() == parquet.Boolean:
			kind = btree.Int
			if x.Boolean() {
				value = 1
			}
		case x.Kind() == parquet.Float:
			kind, value = btree.Real, int64(math.Float64bits(float64(x.Float())))
		case x.Kind() == parquet.Double:
			kind, value = btree.Real, int64(math.Float64bits(x.Double()))
		case x.Kind() == parquet.ByteArray || x.Kind() == parquet.FixedLenByteArray:
			kind = btree.Text
			if c.text {
				at := len(c.arena)
				c.arena = append(c.arena, x.ByteArray()...)
				v.Text[i] = c.arena[at:len(c.arena):len(c.arena)]
			}
		default:
			kind = btree.Blob
		}
		v.Kinds[i], v.Ints[i] = kind, value
		v.Seen |= 1 << kind
	}
	return nil
}
