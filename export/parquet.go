package export

import (
	"fmt"
	"io"
	"reflect"
	"unsafe"

	"github.com/parquet-go/parquet-go"

	"github.com/stepscope/stepscope/step"
)

// Sizes that bound the memory of a Parquet export: rows of a row group, and rows handed over at once.
const (
	rowGroup   = 1 << 17
	batchOfRow = 1 << 10
)

// Parquet writes each table that has rows as a Parquet file, compressed with zstd. A field that is not recorded is null.
func Parquet(a *step.Analysis, create Create) error {
	for _, t := range tables(a) {
		if err := t.writeTo(create, ".parquet", t.parquet); err != nil {
			return err
		}
	}
	return nil
}

// schema describes the table; every column may be null.
func (t *table) schema() *parquet.Schema {
	fields := make([]reflect.StructField, len(t.columns))
	for i, c := range t.columns {
		f := reflect.StructField{Name: fmt.Sprintf("C%d", i), Type: reflect.TypeFor[*int64](), Tag: reflect.StructTag(`parquet:"` + c.name + `,zstd"`)}
		switch c.kind {
		case text:
			f.Type, f.Tag = reflect.TypeFor[*string](), reflect.StructTag(`parquet:"`+c.name+`,dict,zstd"`)
		case truth:
			f.Type = reflect.TypeFor[*bool]()
		}
		fields[i] = f
	}
	return parquet.NewSchema(t.name, parquet.SchemaOf(reflect.New(reflect.StructOf(fields)).Interface()))
}

func (t *table) parquet(out io.Writer) error {
	w := parquet.NewGenericWriter[any](out, t.schema(), parquet.MaxRowsPerRowGroup(rowGroup), parquet.CreatedBy("stepscope", "", ""))
	rows := make([]parquet.Row, 0, batchOfRow)
	cells := make([]parquet.Value, batchOfRow*len(t.columns))
	for i := range t.rows {
		row := cells[len(rows)*len(t.columns) : (len(rows)+1)*len(t.columns)]
		for c := range t.columns {
			v := t.columns[c].at(i)
			var x parquet.Value
			switch {
			case v.null:
				row[c] = parquet.NullValue().Level(0, 0, c)
				continue
			case t.columns[c].kind == text:
				x = parquet.ByteArrayValue(unsafe.Slice(unsafe.StringData(v.s), len(v.s))) // only read
			case t.columns[c].kind == truth:
				x = parquet.BooleanValue(v.n != 0)
			default:
				x = parquet.Int64Value(v.n)
			}
			row[c] = x.Level(0, 1, c)
		}
		rows = append(rows, row)
		if len(rows) == batchOfRow || i == t.rows-1 {
			if _, err := w.WriteRows(rows); err != nil {
				return err
			}
			rows = rows[:0]
		}
	}
	return w.Close()
}
