package knob

import (
	"encoding/json"
	"sort"
	"strconv"
	"strings"
)

// Settings are the options that a server runs with, as far as they are known: from its command line, from the line of its
// log that prints the non-default arguments, or from the line that prints the engine's configuration.
//
// Names are the engine's full option names with two dashes; a field of a JSON option follows a dot
// ("--compilation-config.cudagraph_mode"). Values are texts: "true" and "false" for switches, JSON for lists and objects.
// A name that is not there was not set: its default applies, unless Resolved is true.
type Settings struct {
	Engine   Engine   // what the text says of the engine; the version is often unknown
	Model    string   // name or path
	Resolved bool     // the values are those in force, defaults included
	Warnings []string // what could not be read or will not work

	set     map[string]string
	env     map[string]string
	command *command // how the server was started, nil when only a log is known
}

// jsonFields are options that are also fields of a JSON option.
var jsonFields = map[string]string{
	"--cudagraph-capture-sizes":    "--compilation-config.cudagraph_capture_sizes",
	"--max-cudagraph-capture-size": "--compilation-config.max_cudagraph_capture_size",
	"--attention-backend":          "--attention-config.backend",
	"--spec-method":                "--speculative-config.method",
	"--spec-model":                 "--speculative-config.model",
	"--spec-tokens":                "--speculative-config.num_speculative_tokens",
	"--moe-backend":                "--kernel-config.moe_backend",
	"--linear-backend":             "--kernel-config.linear_backend",
	"--enable-flashinfer-autotune": "--kernel-config.enable_flashinfer_autotune",
	"--num-redundant-experts":      "--eplb-config.num_redundant_experts",
	"--gpu-memory-utilization":     "--device-memory-utilization",
}

// Value returns a setting by its option name, whichever of the equivalent spellings it was given in. An environment
// variable is asked by its own name.
func (s Settings) Value(name string) (string, bool) {
	if !strings.HasPrefix(name, "-") {
		v, ok := s.env[name]
		return v, ok
	}
	v, ok := s.set[s.given(name)]
	return v, ok
}

// Bool returns a switch and whether it was set.
func (s Settings) Bool(name string) (value, set bool) {
	v, ok := s.Value(name)
	if !ok {
		return false, false
	}
	switch strings.ToLower(v) {
	case "true", "1", "yes", "on", "":
		return true, true
	case "false", "0", "no", "off":
		return false, true
	}
	return false, false
}

// Int returns a whole number and whether it was set as one. "8k" and "8K" are read as vLLM reads them: lower case is
// decimal, upper case binary.
func (s Settings) Int(name string) (int64, bool) {
	v, ok := s.Value(name)
	if !ok {
		return 0, false
	}
	return parseInt(v)
}

func parseInt(v string) (int64, bool) {
	v = strings.TrimSpace(v)
	if n, err := strconv.ParseInt(strings.ReplaceAll(v, "_", ""), 10, 64); err == nil {
		return n, true
	}
	if len(v) > 1 {
		unit := map[byte]float64{'k': 1e3, 'm': 1e6, 'g': 1e9, 'K': 1 << 10, 'M': 1 << 20, 'G': 1 << 30}[v[len(v)-1]]
		if f, err := strconv.ParseFloat(v[:len(v)-1], 64); unit > 0 && err == nil && f >= 0 && f*unit < 1<<62 {
			return int64(f * unit), true
		}
	}
	return 0, false
}

// Float returns a number and whether it was set as one.
func (s Settings) Float(name string) (float64, bool) {
	v, ok := s.Value(name)
	if !ok {
		return 0, false
	}
	f, err := strconv.ParseFloat(v, 64)
	return f, err == nil
}

// Ints returns a list of whole numbers and whether it was set as one.
func (s Settings) Ints(name string) ([]int, bool) {
	v, ok := s.Value(name)
	if !ok {
		return nil, false
	}
	var out []int
	if json.Unmarshal([]byte(v), &out) == nil && out != nil {
		return out, true
	}
	for _, f := range strings.FieldsFunc(v, func(r rune) bool { return r == ' ' || r == ',' }) {
		n, err := strconv.Atoi(f)
		if err != nil {
			return nil, false
		}
		out = append(out, n)
	}
	return out, len(out) > 0
}

// Names lists what is set, sorted: options first, then environment variables.
func (s Settings) Names() []string {
	out := sortedKeys(s.set)
	return append(out, sortedKeys(s.env)...)
}

// Shown returns a setting as it may be shown: secrets are masked.
func (s Settings) Shown(name string) (string, bool) {
	v, ok := s.Value(name)
	if !ok {
		return "", false
	}
	return maskValue(name, v), true
}

// Empty reports whether nothing is known.
func (s Settings) Empty() bool { return len(s.set) == 0 && len(s.env) == 0 && s.Model == "" }

// Merge returns the settings with those of o added; where both know a name, o wins. The command to edit is kept, or taken
// from o when there is none.
func (s Settings) Merge(o Settings) Settings {
	out := s
	out.set, out.env = map[string]string{}, map[string]string{}
	for _, m := range []map[string]string{s.set, o.set} {
		for k, v := range m {
			out.set[k] = v
		}
	}
	for _, m := range []map[string]string{s.env, o.env} {
		for k, v := range m {
			out.env[k] = v
		}
	}
	if o.Model != "" && s.Model == "" {
		out.Model = o.Model
	}
	if o.Engine.Name != "" && out.Engine.Name == "" {
		out.Engine.Name = o.Engine.Name
	}
	if o.Engine.Version != "" {
		out.Engine.Version = o.Engine.Version
	}
	out.Resolved = s.Resolved || o.Resolved
	if out.command == nil {
		out.command = o.command
	}
	out.Warnings = append(append([]string(nil), s.Warnings...), o.Warnings...)
	return out
}

func sortedKeys(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// put stores a setting, and the fields of a JSON object under their own names too.
func (s *Settings) put(name, value string) {
	if s.set == nil {
		s.set = map[string]string{}
	}
	s.set[name] = value
	if !strings.HasPrefix(strings.TrimSpace(value), "{") {
		return
	}
	var obj map[string]any
	dec := json.NewDecoder(strings.NewReader(value))
	dec.UseNumber()
	if dec.Decode(&obj) != nil || dec.More() {
		s.Warnings = append(s.Warnings, name+": the value is not valid JSON")
		return
	}
	s.putFields(name, obj, 0)
}

func (s *Settings) putFields(prefix string, obj map[string]any, depth int) {
	if depth > 4 {
		return
	}
	for k, v := range obj {
		name := prefix + "." + k
		if in, ok := v.(map[string]any); ok {
			s.putFields(name, in, depth+1)
			continue
		}
		if text, ok := jsonText(v); ok {
			s.set[name] = text
		}
	}
}

// jsonText is a JSON value as a setting; null is not set.
func jsonText(v any) (string, bool) {
	switch x := v.(type) {
	case nil:
		return "", false
	case string:
		return x, true
	case bool:
		return strconv.FormatBool(x), true
	case json.Number:
		return x.String(), true
	}
	b, err := json.Marshal(v)
	return string(b), err == nil
}
