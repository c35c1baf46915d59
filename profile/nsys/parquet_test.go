package nsys

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/parquet-go/parquet-go"

	"github.com/stepscope/stepscope/internal/proftest/scale"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/profile/nsys/btree"
)

// toParquet writes every table of a SQLite export as nsys export --type parquetdir does: one file a table, named after
// it. The column named unsigned is written as 32 bits without a sign.
func toParquet(t testing.TB, db, unsigned string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "report_pqtdir")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := btree.Open(t.Context(), db, btree.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, name := range d.Tables() {
		table, err := d.Table(name)
		if err != nil {
			t.Fatal(err)
		}
		group := parquet.Group{}
		var want []btree.Want
		for _, c := range table.Columns {
			node := parquet.Int(64)
			switch {
			case c.Type == "TEXT":
				node = parquet.String()
			case c.Type == "REAL":
				node = parquet.Leaf(parquet.DoubleType)
			case c.Name == unsigned:
				node = parquet.Uint(32)
			}
			group[c.Name] = parquet.Optional(node)
			want = append(want, btree.Want{Name: c.Name, Text: true})
		}
		schema := parquet.NewSchema(name, group)
		f, err := os.Create(filepath.Join(dir, name+".parquet"))
		if err != nil {
			t.Fatal(err)
		}
		w := parquet.NewGenericWriter[any](f, schema, parquet.Compression(&parquet.Snappy), parquet.MaxRowsPerRowGroup(20000))
		if _, err := d.Read(t.Context(), name, want, 1, &parquetSink{w: w, schema: schema, want: want, unsigned: unsigned}); err != nil {
			t.Fatalf("table %s: %v", name, err)
		}
		if err := errors.Join(w.Close(), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

type parquetSink struct {
	w        *parquet.GenericWriter[any]
	schema   *parquet.Schema
	want     []btree.Want
	unsigned string
}

func (*parquetSink) Begin(int, int64) {}

func (s *parquetSink) Batch(_ int, b *btree.Batch) error {
	for i := range b.Len {
		row := make(parquet.Row, len(s.want))
		for c := range s.want {
			leaf, ok := s.schema.Lookup(s.want[c].Name)
			if !ok {
				return fmt.Errorf("no column %s", s.want[c].Name)
			}
			v := &b.Cols[c]
			value, level := parquet.NullValue(), 1
			switch v.Kinds[i] {
			case btree.Null:
				level = 0
			case btree.Int:
				value = parquet.Int64Value(v.Ints[i])
				if s.want[c].Name == s.unsigned {
					value = parquet.Int32Value(int32(v.Ints[i]))
				}
			case btree.Real:
				return errors.New("no REAL value expected")
			default:
				value = parquet.ByteArrayValue(v.Text[i])
			}
			row[leaf.ColumnIndex] = value.Level(0, level, leaf.ColumnIndex)
		}
		if _, err := s.w.WriteRows([]parquet.Row{row}); err != nil {
			return err
		}
	}
	return nil
}

// A Parquet export tells what the SQLite export of the same report tells.
func TestParquetEqualsSQLite(t *testing.T) {
	for _, name := range []string{"base1b-graphlevel-G", "base8b-gpumetrics-A"} {
		t.Run(name, func(t *testing.T) {
			if scale.Race && name != "base1b-graphlevel-G" {
				t.Skip("one is enough for a slow run")
			}
			db := scale.Unpack(t, name)
			sqlite, err := Open(t.Context(), db, Options{})
			if err != nil {
				t.Fatal(err)
			}
			pq, err := Open(t.Context(), toParquet(t, db, ""), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if pq.Format != "nsys-parquet" {
				t.Errorf("format %s", pq.Format)
			}
			if diff := cmp.Diff(sqlite, pq, cmpopts.IgnoreFields(profile.Profile{}, "Format", "Source", "Strings")); diff != "" {
				t.Errorf("(-sqlite +parquet):\n%.3000s", diff)
			}
			for i := range sqlite.Strings.Len() {
				if a, b := sqlite.Strings.At(profile.StringID(i)), pq.Strings.At(profile.StringID(i)); a != b {
					t.Errorf("string %d: %q and %q", i, a, b)
				}
			}
		})
	}
}

// Correlation ids are 32 bits without a sign: those of the upper half must not turn negative.
func TestParquetUnsigned(t *testing.T) {
	f := decode("3.20.3").Insert(kernels, row{"start": 1700, "end": 1800, "correlationId": int64(4_000_000_000), "globalPid": global(100, 0), "demangledName": 1})
	p, err := Open(t.Context(), toParquet(t, f.Write(t), "correlationId"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "correlation ids", []uint32{5, 5, 4_000_000_000}, p.Kernels.Correlation)
}

func TestParquetRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(t.Context(), dir, Options{}); !errors.Is(err, profile.ErrUnrecognised) {
		t.Errorf("empty folder: %v", err)
	}
	good := toParquet(t, decode("3.20.3").Write(t), "")
	content, err := os.ReadFile(filepath.Join(good, kernels+".parquet"))
	if err != nil {
		t.Fatal(err)
	}
	for _, cut := range []int{0, 3, 4, len(content) / 2, len(content) - 1} {
		if err := os.WriteFile(filepath.Join(good, kernels+".parquet"), content[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), good, Options{}); !errors.Is(err, profile.ErrMalformed) || !strings.Contains(err.Error(), kernels+".parquet") {
			t.Errorf("cut after %d bytes: %v", cut, err)
		}
	}
	step := 31
	if testing.Short() || scale.Race {
		step = 301
	}
	for at := 0; at < len(content); at += step {
		b := append([]byte(nil), content...)
		b[at] ^= 0xff
		if err := os.WriteFile(filepath.Join(good, kernels+".parquet"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), good, Options{}); err != nil && !errors.Is(err, profile.ErrMalformed) && !errors.Is(err, profile.ErrUnrecognised) {
			t.Errorf("byte %d wrong: %v", at, err)
		}
	}
}
