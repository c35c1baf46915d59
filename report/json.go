package report

import (
	"encoding/json"
	"io"
)

// JSON writes any result with a schema field: indented, without HTML escaping, a newline at the end.
func JSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
