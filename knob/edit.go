package knob

import (
	"encoding/json"
	"sort"
	"strings"
)

// Argv returns the words that start the server, secrets included: for running it, never for showing. Variables in front
// of the command come as NAME=VALUE words. Settings that come from a log give a command with the same options.
func (s Settings) Argv() []string { return s.words(false) }

// String is the command that starts the server as it may be shown: quoted for a shell, secrets masked.
func (s Settings) String() string {
	words := s.words(true)
	leading := true
	for i, w := range words {
		// A variable in front is quoted after its name, so that it stays an assignment.
		m := reAssign.FindStringSubmatch(w)
		leading = leading && m != nil
		if leading {
			words[i] = m[1] + "=" + quoteShell(m[2])
			continue
		}
		words[i] = quoteShell(w)
	}
	return strings.Join(words, " ")
}

// words lists the command's words.
func (s Settings) words(mask bool) []string {
	show := func(name, value string) string {
		if mask {
			return maskValue(name, value)
		}
		return value
	}
	if s.command == nil {
		return s.fromLog(show)
	}
	var out []string
	front := map[string]bool{}
	container := s.containerRun()
	for _, n := range s.command.env {
		v, ok := s.env[n]
		if !ok {
			continue
		}
		front[n] = true
		if container < 0 {
			out = append(out, n+"="+show(n, v))
		}
	}
	leading := true
	for i, w := range s.command.prefix {
		m := reAssign.FindStringSubmatch(strings.TrimPrefix(w, "--env="))
		if leading && m != nil && front[m[1]] && container < 0 {
			continue // printed in front already
		}
		if m == nil && w != "env" && w != "export" {
			leading = false
		}
		switch {
		case m != nil:
			v, still := s.env[m[1]]
			if !still {
				if n := len(out); n > 0 && (out[n-1] == "-e" || out[n-1] == "--env") {
					out = out[:n-1]
				}
				continue
			}
			w = w[:len(w)-len(m[2])] + show(m[1], v)
		case !mask:
		case i > 0 && isOption(s.command.prefix[i-1]) && SecretName(s.command.prefix[i-1]):
			w = Masked
		default:
			w = Mask(w)
		}
		out = append(out, w)
		if i == container {
			for _, n := range s.command.env {
				if v, ok := s.env[n]; ok {
					out = append(out, "-e", n+"="+show(n, v))
				}
			}
		}
	}
	for _, a := range s.command.args {
		for i, w := range a.words {
			if mask && a.name != "" {
				if i == 0 {
					head, v, ok := strings.Cut(w, "=")
					if ok {
						w = head + "=" + maskValue(a.name, v)
					}
				} else {
					w = maskValue(a.name, w)
				}
			} else if mask {
				w = Mask(w)
			}
			out = append(out, w)
		}
	}
	return out
}

// containerRun is the index of "run" when the server is started by docker or podman, where variables in front would not
// reach it; -1 otherwise.
func (s Settings) containerRun() int {
	engine := false
	for i, w := range s.command.prefix {
		switch w[strings.LastIndexByte(w, '/')+1:] {
		case "docker", "podman", "nerdctl":
			engine = true
		case "run":
			if engine {
				return i
			}
		}
	}
	return -1
}

// logFields are the fields of JSON options that a command made from a log repeats; the log prints all fields, most at
// their defaults.
var logFields = map[string][]string{
	"--compilation-config": {"cudagraph_capture_sizes", "max_cudagraph_capture_size", "cudagraph_mode", "mode", "level"},
	"--speculative-config": {"method", "model", "num_speculative_tokens", "prompt_lookup_max", "prompt_lookup_min"},
	"--profiler-config":    {"profiler", "torch_profiler_dir"},
	"--attention-config":   {"backend", "flash_attn_version"},
	"--kernel-config":      {"moe_backend", "linear_backend"},
	"--eplb-config":        {"num_redundant_experts", "window_size", "step_interval"},
}

// fromLog makes the words of a command from settings that no command line came with.
func (s Settings) fromLog(show func(name, value string) string) []string {
	var out []string
	for _, n := range sortedKeys(s.env) {
		out = append(out, n+"="+show(n, s.env[n]))
	}
	out = append(out, "vllm", "serve")
	if s.Model != "" {
		out = append(out, s.Model)
	}
	for _, n := range sortedKeys(s.set) {
		v := s.set[n]
		base, _, field := strings.Cut(n, ".")
		if n == "--model" && v == s.Model {
			continue
		}
		if field {
			if _, whole := s.set[base]; !whole {
				out = append(out, n+"="+show(n, v))
			}
			continue
		}
		if fields, ok := logFields[n]; ok && strings.HasPrefix(v, "{") {
			obj := map[string]any{}
			for _, f := range fields {
				if fv, ok := s.set[n+"."+f]; ok && fv != "" {
					obj[f] = jsonValue(fv)
				}
			}
			if len(obj) > 0 {
				out = append(out, n, show(n, compactJSON(obj)))
			}
			continue
		}
		out = append(out, optionWords(n, v, show)...)
	}
	return out
}

// optionWords writes an option with its value as words.
func optionWords(name, value string, show func(name, value string) string) []string {
	row, known := names()[name]
	switch {
	case known && row.takes == "bool" && value == "false":
		return []string{"--no-" + strings.TrimPrefix(name, "--")}
	case value == "true" && (!known && !strings.Contains(name, ".") || known && row.takes == "bool"):
		return []string{name} // a field of a JSON option takes the next word, whatever it is, and so needs its value
	case known && row.takes == "list":
		var list []any
		dec := json.NewDecoder(strings.NewReader(value))
		dec.UseNumber()
		if dec.Decode(&list) == nil && len(list) > 0 {
			out := []string{name}
			for _, x := range list {
				if t, ok := jsonText(x); ok {
					out = append(out, show(name, t))
				}
			}
			return out
		}
		out := []string{name}
		for _, f := range strings.Fields(value) {
			out = append(out, show(name, f))
		}
		return out
	case strings.Contains(name, "."):
		return []string{name + "=" + show(name, value)}
	}
	return []string{name, show(name, value)}
}

// jsonValue reads a setting as the JSON value that it most likely is.
func jsonValue(v string) any {
	dec := json.NewDecoder(strings.NewReader(v))
	dec.UseNumber()
	var x any
	if dec.Decode(&x) == nil && !dec.More() {
		switch x.(type) {
		case json.Number, bool, []any, map[string]any:
			return x
		}
	}
	return v
}

func compactJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "{}"
	}
	return string(b)
}

// clone copies what an edit changes.
func (s Settings) clone() Settings {
	out := s.Merge(Settings{})
	if s.command != nil {
		c := *s.command
		c.args = append([]arg(nil), s.command.args...)
		c.env = append([]string(nil), s.command.env...)
		out.command = &c
	}
	return out
}

// given finds the name under which an option stands in the command: itself, an equivalent field, or the JSON option that
// holds the field.
func (s Settings) given(name string) string {
	if _, ok := s.set[name]; ok {
		return name
	}
	if f := jsonFields[name]; f != "" {
		if _, ok := s.set[f]; ok {
			return f
		}
	}
	for opt, field := range jsonFields { // no two options are the same field
		if field == name {
			if _, ok := s.set[opt]; ok {
				return opt
			}
		}
	}
	return name
}

// With returns the settings with one knob changed, and everything else as it was: the option is replaced where it
// stands, a field inside the JSON value that holds it, a switch is added or negated, and a name without dashes is an
// environment variable.
func (s Settings) With(name, value string) Settings {
	out := s.clone()
	if !strings.HasPrefix(name, "-") {
		if _, ok := out.env[name]; !ok && out.command != nil {
			out.command.env = append(out.command.env, name)
		}
		out.env[name] = value
		return out
	}
	name = out.given(name)
	if base, path, obj := out.object(name); obj != nil {
		setField(obj, path, jsonValue(value))
		return out.replace(base, compactJSON(obj))
	}
	return out.replace(name, value)
}

// object reads the JSON option that holds a field: its name, the field's path in it and its value; obj is nil where the
// name is no field or its option is not given as JSON.
func (s Settings) object(name string) (base string, path []string, obj map[string]any) {
	base, field, dotted := strings.Cut(name, ".")
	whole := s.set[base]
	if !dotted || !strings.HasPrefix(whole, "{") {
		return "", nil, nil
	}
	dec := json.NewDecoder(strings.NewReader(whole))
	dec.UseNumber()
	if dec.Decode(&obj) != nil {
		return "", nil, nil
	}
	return base, strings.Split(field, "."), obj
}

// setField sets a nested field, making the objects on the way.
func setField(obj map[string]any, path []string, v any) {
	for len(path) > 1 {
		in, ok := obj[path[0]].(map[string]any)
		if !ok {
			in = map[string]any{}
			obj[path[0]] = in
		}
		obj, path = in, path[1:]
	}
	obj[path[0]] = v
}

// replace writes an option in place of the first one of its name, and drops others.
func (s Settings) replace(name, value string) Settings {
	s.put(name, value)
	if s.command == nil {
		return s
	}
	row := arg{name: name, words: optionWords(name, value, func(_, v string) string { return v })}
	done := false
	kept := s.command.args[:0:0]
	for _, a := range s.command.args {
		if a.name != name {
			kept = append(kept, a)
			continue
		}
		if !done {
			kept = append(kept, row)
			done = true
		}
	}
	if !done {
		kept = append(kept, row)
	}
	s.command.args = kept
	return s
}

// Without returns the settings with an option or variable removed, so that its default applies. A field is removed from
// the JSON value that holds it, and options that the engine takes only beside it go with it. For a switch that is on by
// default use With(name, "false").
func (s Settings) Without(name string) Settings {
	out := s.without(name)
	for _, n := range dependents[name] {
		if _, ok := out.Value(n); ok {
			out = out.without(n)
		}
	}
	return out
}

func (s Settings) without(name string) Settings {
	out := s.clone()
	if !strings.HasPrefix(name, "-") {
		delete(out.env, name)
		return out
	}
	name = out.given(name)
	if base, path, obj := out.object(name); obj != nil {
		delete(out.set, name)
		removeField(obj, path)
		if len(obj) > 0 {
			return out.replace(base, compactJSON(obj))
		}
		name = base
	}
	for _, k := range sortedKeys(out.set) {
		if k == name || strings.HasPrefix(k, name+".") {
			delete(out.set, k)
		}
	}
	if out.command != nil {
		kept := out.command.args[:0:0]
		for _, a := range out.command.args {
			if a.name != name && !strings.HasPrefix(a.name, name+".") {
				kept = append(kept, a)
			}
		}
		out.command.args = kept
	}
	return out
}

func removeField(obj map[string]any, path []string) {
	for len(path) > 1 {
		in, ok := obj[path[0]].(map[string]any)
		if !ok {
			return
		}
		obj, path = in, path[1:]
	}
	delete(obj, path[0])
}

// Diff lists the names whose values differ between two settings, sorted.
func (s Settings) Diff(o Settings) []string {
	seen := map[string]bool{}
	var out []string
	for _, n := range append(s.Names(), o.Names()...) {
		if seen[n] {
			continue
		}
		seen[n] = true
		a, okA := s.Value(n)
		b, okB := o.Value(n)
		if a != b || okA != okB {
			out = append(out, n)
		}
	}
	sort.Strings(out)
	return out
}
