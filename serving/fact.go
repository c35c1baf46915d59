package serving

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// NotRecorded stands in rows of a series for a value that the input lacks. All
// quantities of such rows are non-negative, so it cannot be confused with one.
const NotRecorded = -1

// Errors of readers and comparisons, wrapped with the files and, where it is
// known, the place.
var (
	// ErrUnrecognised means that the input is not of the format asked for.
	ErrUnrecognised = errors.New("format not recognised")
	// ErrMalformed means that the input is of the format, but broken.
	ErrMalformed = errors.New("malformed input")
	// ErrMismatch means that two inputs do not belong to one run.
	ErrMismatch = errors.New("inputs do not belong together")
)

// Source says where a value came from.
type Source struct {
	File  string `json:"file,omitempty"`  // name given to the reader
	Line  int    `json:"line,omitempty"`  // 1-based; 0 where the format has no useful lines
	Field string `json:"field,omitempty"` // key, metric or pattern; "a, b" when derived from both
}

// String is "file:line: field", without the parts that are not known.
func (s Source) String() string {
	out := s.File
	if s.Line > 0 {
		out += ":" + strconv.Itoa(s.Line)
	}
	switch {
	case s.Field == "":
		return out
	case out == "":
		return s.Field
	}
	return out + ": " + s.Field
}

// Fact is a value that may be absent, with its source. The zero Fact is "not
// recorded"; test Known before using Value.
type Fact[T any] struct {
	Value  T
	Known  bool
	Source Source
}

// NewFact is a known value.
func NewFact[T any](v T, src Source) Fact[T] { return Fact[T]{Value: v, Known: true, Source: src} }

// Or is the value, or other where it is not recorded.
func (f Fact[T]) Or(other T) T {
	if f.Known {
		return f.Value
	}
	return other
}

// IsZero lets encoding/json omit facts that are not recorded (omitzero).
func (f Fact[T]) IsZero() bool { return !f.Known }

// String is the value, or "not recorded".
func (f Fact[T]) String() string {
	if !f.Known {
		return "not recorded"
	}
	return fmt.Sprint(f.Value)
}

// MarshalJSON writes null, or {"value": v, "source": s}. Infinite numbers are
// the strings "inf" and "-inf", because JSON has no word for them.
func (f Fact[T]) MarshalJSON() ([]byte, error) {
	if !f.Known {
		return []byte("null"), nil
	}
	var v any = f.Value
	if x, ok := v.(float64); ok {
		switch {
		case math.IsInf(x, 1):
			v = "inf"
		case math.IsInf(x, -1):
			v = "-inf"
		case math.IsNaN(x):
			v = nil
		}
	}
	return json.Marshal(struct {
		Value  any    `json:"value"`
		Source string `json:"source"`
	}{v, f.Source.String()})
}

// Warning is a defect of the input, or a disagreement between two inputs,
// that limits what may be concluded. IDs are stable.
type Warning struct {
	ID     string `json:"id"`
	Text   string `json:"text"`
	Source Source `json:"source,omitzero"`
}

func (w Warning) String() string {
	if src := w.Source.String(); src != "" {
		return src + ": " + w.Text
	}
	return w.Text
}
