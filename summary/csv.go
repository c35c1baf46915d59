package summary

import (
	"bufio"
	"io"
)

// WriteCSV writes t as `nsys stats -f csv` does: a header, then one line per row, fields quoted only where they hold a
// comma, a quote or a line break, lines ended by a line feed. As with nsys, a table without rows gives no bytes at all.
func (t *Table) WriteCSV(w io.Writer) error {
	if t.n == 0 {
		return nil
	}
	bw := bufio.NewWriterSize(w, 1<<16)
	line := make([]byte, 0, 512)
	for i, c := range t.Columns {
		if i > 0 {
			line = append(line, ',')
		}
		line = appendField(line, c.Header())
	}
	line = append(line, '\n')
	if _, err := bw.Write(line); err != nil {
		return err
	}
	for row := range t.rows {
		line = line[:0]
		for i, v := range row {
			if i > 0 {
				line = append(line, ',')
			}
			if v.kind == textValue {
				line = appendField(line, v.text)
				continue
			}
			line = v.append(line, &t.Columns[i])
		}
		line = append(line, '\n')
		if _, err := bw.Write(line); err != nil {
			return err
		}
	}
	return bw.Flush()
}

// appendField adds s to b, quoted if it must be.
func appendField(b []byte, s string) []byte {
	quote := false
	for i := range len(s) {
		if c := s[i]; c == ',' || c == '"' || c == '\n' || c == '\r' {
			quote = true
			break
		}
	}
	if !quote {
		return append(b, s...)
	}
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' {
			b = append(b, '"')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}
