package knob

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// CheckValue returns an error that says what the entry takes when value cannot be one: a text for a number, or a number far
// out of range. It passes what it cannot judge, names of backends above all.
func CheckValue(e Entry, value string) error {
	value = strings.TrimSpace(value)
	want := ""
	switch e.Takes {
	case "requests", "tokens", "GPUs", "engines", "stages", "adapters", "rank", "processes", "micro-batches", "threads", "layers", "steps", "integer", "bytes":
		least := int64(-1) // some take -1 or 0 for "no bound"
		switch {
		case e.Name == "--max-num-seqs", e.Name == "--max-num-batched-tokens", e.Name == "--max-running-requests",
			e.Takes == "GPUs", e.Takes == "engines", e.Takes == "stages", e.Takes == "processes":
			least = 1
		}
		if n, ok := parseInt(value); !ok || n < least {
			want = "a whole number"
			if least == 1 {
				want += " from 1 on"
			}
			if !map[string]bool{"integer": true, "rank": true}[e.Takes] {
				want += " of " + e.Takes
			}
		}
	case "tokens, or auto":
		if n, ok := parseInt(value); value != "auto" && (!ok || n < -1 || n == 0) {
			want = "a whole number of tokens, or auto"
		}
	case "fraction":
		if f, err := strconv.ParseFloat(value, 64); err != nil || !(f >= 0 && f <= 1) {
			want = "a fraction from 0 to 1"
		}
	case "GiB", "GiB per GPU", "seconds", "factor", "number":
		if f, err := strconv.ParseFloat(value, 64); err != nil || !(f >= 0) {
			want = "a number"
			if e.Takes != "number" {
				want += " (" + e.Takes + ")"
			}
		}
	case "0 to 3":
		if len(value) != 1 || value < "0" || value > "3" {
			want = "0 to 3"
		}
	case "0 or 1", "true or false":
		switch strings.ToLower(value) {
		case "0", "1", "true", "false":
		default:
			want = e.Takes
		}
	case "list of sizes":
		if !isSizes(value) {
			want = "a list of sizes, such as [1,2,4,8]"
		}
	}
	if want == "" && strings.HasPrefix(value, "{") && !json.Valid([]byte(value)) {
		want = "valid JSON"
	}
	if want == "" {
		return nil
	}
	return fmt.Errorf("%s takes %s, and not %s", e.Name, want, maskValue(e.Name, clip(value)))
}

// isSizes reports whether a value is a list of positive whole numbers, as JSON or with spaces or commas between.
func isSizes(value string) bool {
	var list []int
	if json.Unmarshal([]byte(value), &list) != nil {
		for _, f := range strings.FieldsFunc(value, func(r rune) bool { return r == ' ' || r == ',' }) {
			n, err := strconv.Atoi(f)
			if err != nil {
				return false
			}
			list = append(list, n)
		}
	}
	for _, n := range list {
		if n < 1 {
			return false
		}
	}
	return len(list) > 0
}
