package knob

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	reNonDefault   = regexp.MustCompile(`non-default args:\s*`)
	reNamespace    = regexp.MustCompile(`\bargs:\s*Namespace\(`)
	reEngineConfig = regexp.MustCompile(`Initializing (?:a V[01]|an) LLM engine \(v?([^)]*)\) with config:\s*`)
	reANSI         = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")
)

// maxLogLine bounds a log line that is parsed; real ones have some ten kilobytes.
const maxLogLine = 1 << 20

// ParseNonDefaultArgs reads what a vLLM server logs of its arguments: a line with `non-default args: {...}`, the
// dictionary alone, or the older `args: Namespace(...)`, which holds all arguments with their defaults. Arguments whose
// value is None are not set. A cut-off line is an error.
func ParseNonDefaultArgs(line string) (Settings, error) {
	line = reANSI.ReplaceAllString(line, "")
	if len(line) > maxLogLine {
		return Settings{}, fmt.Errorf("%w: %d bytes is too long for a log line", ErrRepr, len(line))
	}
	resolved := false
	switch {
	case reNonDefault.MatchString(line):
		line = line[reNonDefault.FindStringIndex(line)[1]:]
	case reNamespace.MatchString(line):
		line = line[reNamespace.FindStringIndex(line)[1]-len("Namespace("):]
		resolved = true
	}
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "{") && !strings.HasPrefix(line, "Namespace(") {
		return Settings{}, fmt.Errorf("%w: no arguments in it, want `non-default args: {...}`", ErrRepr)
	}
	v, _, err := parseRepr(line)
	if err != nil {
		return Settings{}, err
	}
	if v.kind != pyDict && v.kind != pyObject {
		return Settings{}, fmt.Errorf("%w: a set, want a dictionary of arguments", ErrRepr)
	}
	s := Settings{Engine: Engine{Name: VLLM}, Resolved: resolved, set: map[string]string{}, env: map[string]string{}}
	s.take(v)
	return s, nil
}

// ParseEngineConfig reads the line in which a vLLM engine logs the configuration that is in force: `Initializing a V1 LLM
// engine (v0.24.0) with config: model='...', ...`. The result is Resolved, and names the engine's version.
func ParseEngineConfig(line string) (Settings, error) {
	line = reANSI.ReplaceAllString(line, "")
	if len(line) > maxLogLine {
		return Settings{}, fmt.Errorf("%w: %d bytes is too long for a log line", ErrRepr, len(line))
	}
	m := reEngineConfig.FindStringSubmatchIndex(line)
	if m == nil {
		return Settings{}, fmt.Errorf("%w: no engine configuration in it, want `Initializing a V1 LLM engine (v...) with config: ...`", ErrRepr)
	}
	s := Settings{Engine: Engine{Name: VLLM}, Resolved: true, set: map[string]string{}, env: map[string]string{}}
	if ver := strings.TrimSpace(line[m[2]:m[3]]); ver != "" {
		if _, ok := parseVersion(ver); ok {
			s.Engine.Version = ver
		}
	}
	p := &pyParser{s: strings.TrimRight(line[m[1]:], " ,\r\n")}
	v := pyValue{kind: pyObject, items: map[string]pyValue{}}
	if err := p.fields(&v, 0); err != nil {
		return Settings{}, err
	}
	s.take(v)
	return s, nil
}

// logNames are log fields whose option has another name.
var logNames = map[string]string{"max_seq_len": "--max-model-len", "model_tag": "", "subparser": "", "dispatch_function": "", "device_config": ""}

// take stores the fields of a dictionary or object as options.
func (s *Settings) take(v pyValue) {
	for _, k := range v.sortedKeys() {
		item := v.items[k]
		if item.kind == pyNone {
			continue
		}
		switch k {
		case "model_tag":
			s.Model = item.plain()
		case "model":
			if s.Model == "" || s.Model == item.plain() {
				s.Model = item.plain()
			}
		}
		name, special := logNames[k]
		if !special {
			name = "--" + strings.ReplaceAll(k, "_", "-")
		}
		if name == "" || SecretName(name) {
			if name != "" {
				s.put(name, Masked)
			}
			continue
		}
		s.put(name, item.plain())
	}
}
