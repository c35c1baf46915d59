package export

import (
	"bufio"
	"encoding/csv"
	"io"
	"strconv"

	"github.com/stepscope/stepscope/step"
)

// CSV writes each table that has rows as a file with a header line. A field that is not recorded is empty.
func CSV(a *step.Analysis, create Create) error {
	for _, t := range tables(a) {
		if err := t.writeTo(create, ".csv", t.csv); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) csv(out io.Writer) error {
	b := bufio.NewWriterSize(out, 1<<18)
	w := csv.NewWriter(b)
	record := make([]string, len(t.columns))
	for c := range t.columns {
		record[c] = t.columns[c].name
	}
	if err := w.Write(record); err != nil {
		return err
	}
	for i := range t.rows {
		for c := range t.columns {
			v := t.columns[c].at(i)
			switch {
			case v.null:
				record[c] = ""
			case t.columns[c].kind == text:
				record[c] = v.s
			case t.columns[c].kind == truth:
				record[c] = strconv.FormatBool(v.n != 0)
			default:
				record[c] = strconv.FormatInt(v.n, 10)
			}
		}
		if err := w.Write(record); err != nil {
			return err
		}
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return err
	}
	return b.Flush()
}
