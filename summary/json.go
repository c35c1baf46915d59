package summary

import (
	"bufio"
	"io"
	"math"
	"strconv"
	"unicode/utf8"
)

// WriteJSON writes t as an array of objects keyed by the column headings in their order: the bytes of nsys' JSON
// formatter, with the escapes that make it valid for any name. Empty cells are null.
func (t *Table) WriteJSON(w io.Writer) error {
	bw := bufio.NewWriterSize(w, 1<<16)
	keys := make([][]byte, len(t.Columns))
	for i, c := range t.Columns {
		keys[i] = append(appendJSONString([]byte("    "), c.Header()), ": "...)
	}
	line := []byte("[")
	first := true
	for row := range t.rows {
		if !first {
			line = append(line, ',')
		}
		first = false
		line = append(line, "\n  {\n"...)
		for i, v := range row {
			if i > 0 {
				line = append(line, ",\n"...)
			}
			line = append(line, keys[i]...)
			switch v.kind {
			case nullValue:
				line = append(line, "null"...)
			case textValue:
				line = appendJSONString(line, v.text)
			default:
				line = v.append(line, &t.Columns[i])
			}
		}
		line = append(line, "\n  }"...)
		if _, err := bw.Write(line); err != nil {
			return err
		}
		line = line[:0]
	}
	if _, err := bw.Write(append(line, "\n]\n"...)); err != nil {
		return err
	}
	return bw.Flush()
}

// appendJSONString adds s as a JSON string. Bytes that are no UTF-8 become U+FFFD.
func appendJSONString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\t':
			b = append(b, '\\', 't')
		case c < 0x20 || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += n
			continue
		}
		i++
	}
	return append(b, '"')
}

// appendJSONFloat adds v with at most six digits after the point; NaN, which stands for "not recorded", becomes null.
func appendJSONFloat(b []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(b, "null"...)
	}
	return strconv.AppendFloat(b, math.Round(v*1e6)/1e6, 'f', -1, 64)
}
