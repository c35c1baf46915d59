package knob

import (
	"encoding/json"
	"fmt"
	"slices"
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
			e.Name == "--max-num-partial-prefills", e.Name == "--max-long-partial-prefills", e.Name == "--max-loras", e.Name == "--stream-interval",
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
		some := e.Name == "--gpu-memory-utilization" || e.Name == "--mem-fraction-static" // nothing runs with none
		if f, err := strconv.ParseFloat(value, 64); err != nil || !(f >= 0 && f <= 1) || some && f == 0 {
			want = "a fraction from 0 to 1"
			if some {
				want = "a fraction over 0 and up to 1"
			}
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
	if strings.HasPrefix(e.Takes, "JSON") && json.Valid([]byte(value)) && !strings.HasPrefix(value, "{") && value != "null" {
		// Older versions take an optimisation level in the place of the compilation's fields.
		if e.Name != "--compilation-config" || len(value) != 1 || value > "3" {
			want = "a JSON object"
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

// ValueAvailable tells whether the engine's version takes the value for the entry. Entries without a list of values take
// any. A value that is not in a closed list is absent from the versions that were inspected, with the list and the nearest value in the
// note; from an open list, which plugins or other platforms add to, it is uncertain.
func ValueAvailable(e Entry, value string, eng Engine) Availability {
	entry := Available(e, eng)
	listed := slices.IndexFunc(e.Values, func(v Value) bool { return v.Value == value })
	switch {
	case entry.Presence == Absent, entry.Presence == Uncertain && (listed >= 0 || len(e.Values) == 0):
		return entry
	case len(e.Values) == 0:
		return Availability{Present, ""}
	case listed >= 0:
		return e.Values[listed].in(eng)
	}
	var have []string
	near, distance := "", max(1, len(value)/3)+1
	for _, v := range e.Values {
		if v.in(eng).Presence == Absent {
			continue
		}
		if alike(v.Value, value) {
			return Availability{Uncertain, fmt.Sprintf("%s writes it %s", eng, v.Value)} // some options take any case
		}
		have = append(have, v.Value)
		if d := editDistance(strings.ToLower(value), strings.ToLower(v.Value)); d < distance {
			near, distance = v.Value, d
		}
	}
	text := fmt.Sprintf("%s is not a value of %s that is known here; there are %s", clip(value), e.Name, strings.Join(have, ", "))
	if near != "" {
		text += "; the nearest is " + near
	}
	if _, err := strconv.Atoi(value); e.Closed && eng.inspected() && err != nil && !alike(value, "none") && !alike(value, "null") {
		return Availability{Absent, text}
	}
	return Availability{Uncertain, text}
}

// in tells whether an engine's version takes the value, for an option that it has.
func (v Value) in(eng Engine) Availability {
	if v.Since == "" || eng.Name != VLLM {
		return Availability{Present, v.Note}
	}
	until := v.Until
	if until == "" {
		until = Inspected[len(Inspected)-1]
	}
	a := span{v.Since, until}.in(eng)
	if a.Note == "" {
		a.Note = v.Note
	}
	return a
}

// alike reports whether two values differ in case and dashes alone.
func alike(a, b string) bool {
	return strings.EqualFold(strings.ReplaceAll(a, "-", "_"), strings.ReplaceAll(b, "-", "_"))
}

// inspected reports whether the engine's version is one whose package was read, or a patch of it. A release between two of them may
// have had a value for itself.
func (e Engine) inspected() bool {
	v, ok := parseVersion(e.Version)
	return ok && e.Name == VLLM && v[3] == 0 && slices.ContainsFunc(Inspected, func(s string) bool {
		w := mustVersion(s)
		return v[0] == w[0] && v[1] == w[1]
	})
}

// NeverAValue returns the text that says why a value, which guides give for the entry, was never one, and what is; "" for any other.
func NeverAValue(e Entry, value string, eng Engine) string {
	_, m := Lookup(e.Name+" "+value, eng)
	if m.Kind != WrongValue {
		return ""
	}
	var real []string
	for _, r := range m.Real {
		if r.Name == e.Name && r.Note != "" && (eng.Version == "" || r.Since == "" || eng.AtLeast(r.Since)) {
			real = append(real, r.Note)
		}
	}
	text := strings.TrimSuffix(m.Reason, ".")
	if len(real) > 0 {
		text += "; it takes " + strings.Join(real, "; ")
	}
	return text
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
