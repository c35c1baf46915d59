package knob

import (
	"fmt"
	"regexp"
	"strings"
)

// command is how a server was started: the words before its own arguments, its arguments grouped by option, and the
// variables set for it.
type command struct {
	prefix []string // everything up to and including "serve" or the module
	args   []arg
	env    []string // names of variables set in front, in order
}

// arg is one option with its value, or a positional word.
type arg struct {
	name  string // full option name; empty for a positional
	words []string
}

var (
	reAssign = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*)=(.*)$`)
	reOLevel = regexp.MustCompile(`^-O=?([0-9])$`)
	reNumber = regexp.MustCompile(`^-[0-9]`)
	reImage  = regexp.MustCompile(`(?:^|/)vllm-(?:openai|cpu|rocm|tpu)[a-z-]*(?::v?([0-9][0-9A-Za-z.+-]*))?`)
)

// shortOptions are vLLM's short names.
var shortOptions = map[string]string{
	"-tp": "--tensor-parallel-size", "-pp": "--pipeline-parallel-size", "-dp": "--data-parallel-size", "-dcp": "--decode-context-parallel-size",
	"-pcp": "--prefill-context-parallel-size", "-ep": "--enable-expert-parallel", "-q": "--quantization", "-cc": "--compilation-config",
	"-ac": "--attention-config", "-sc": "--speculative-config", "-dpn": "--data-parallel-rank", "-dpr": "--data-parallel-start-rank",
	"-dpl": "--data-parallel-size-local", "-dpa": "--data-parallel-address", "-dpp": "--data-parallel-rpc-port", "-dpb": "--data-parallel-backend",
	"-dph": "--data-parallel-hybrid-lb", "-dpe": "--data-parallel-external-lb", "-asc": "--api-server-count", "-n": "--nnodes", "-r": "--node-rank",
}

// ParseCommand reads the command line of a server: `vllm serve MODEL --option value ...`, with variables in front of it,
// behind a launcher (nsys profile, numactl, docker run with the vLLM image), as `python -m
// vllm.entrypoints.openai.api_server`, or of SGLang. Options are read as the engine's own parser reads them: `--a=b` and
// `--a b`, underscores for dashes, `--no-x`, `-O3`, short names, unique abbreviations, dotted fields and JSON. Words that
// the engine would refuse become warnings. Only the first command of a script is read.
func ParseCommand(line string) (Settings, error) { return ParseCommandFor(line, Engine{}) }

// ParseCommandFor is ParseCommand with the engine's version known, so that abbreviations and option names are judged by
// that version.
func ParseCommandFor(line string, eng Engine) (Settings, error) {
	words, err := splitShell(line)
	if err != nil {
		return Settings{}, err
	}
	s := Settings{Engine: eng, set: map[string]string{}, env: map[string]string{}, command: &command{}}
	rest, err := s.launcher(words)
	if err != nil {
		return Settings{}, err
	}
	if s.Engine.Name == VLLM {
		s.vllmArgs(rest)
	} else {
		s.plainArgs(rest)
	}
	return s, nil
}

// launcher finds where the server's own arguments start.
func (s *Settings) launcher(words []string) ([]string, error) {
	if len(words) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrCommand)
	}
	start := -1
	name := ""
	for i, w := range words {
		base := w[strings.LastIndexByte(w, '/')+1:]
		next := ""
		if i+1 < len(words) {
			next = words[i+1]
		}
		switch {
		case base == "vllm" && next == "serve":
			start, name = i+2, VLLM
		case base == "vllm" && (next == "bench" || next == "chat" || next == "complete" || next == "run-batch" || next == "collect-env"):
			return nil, fmt.Errorf("%w: `vllm %s` is not a server, want `vllm serve MODEL ...`", ErrCommand, next)
		case w == "-m" && strings.HasPrefix(next, "vllm.entrypoints."), base == "api_server.py":
			start, name = i+1, VLLM
			if w == "-m" {
				start++
			}
		case w == "-m" && strings.HasPrefix(next, "sglang.launch_server"), base == "sglang" && next == "serve":
			start, name = i+2, SGLang
		case base == "trtllm-serve":
			start, name = i+1, TRTLLM
			if next == "serve" {
				start++
			}
		}
		if start >= 0 {
			break
		}
	}
	if start < 0 {
		for i, w := range words {
			if m := reImage.FindStringSubmatch(w); m != nil {
				start, name = i+1, VLLM
				if m[1] != "" && s.Engine.Version == "" {
					if _, ok := parseVersion(m[1]); ok {
						s.Engine.Version = m[1]
					}
				}
				break
			}
		}
	}
	if start < 0 && strings.HasPrefix(words[0], "-") {
		start, name = 0, VLLM // arguments only
		if s.Engine.Name != "" {
			name = s.Engine.Name
		}
	}
	if start < 0 {
		return nil, fmt.Errorf("%w: no server in it, want `vllm serve MODEL ...`", ErrCommand)
	}
	s.Engine.Name = name
	s.command.prefix = words[:start]
	leading := true
	for i := 0; i < start; i++ {
		w := words[i]
		if (w == "-e" || w == "--env") && i+1 < start {
			w = words[i+1]
		} else if strings.HasPrefix(w, "--env=") {
			w = strings.TrimPrefix(w, "--env=")
		}
		m := reAssign.FindStringSubmatch(w)
		if m == nil {
			leading = leading && (w == "env" || w == "export")
			continue
		}
		if _, dup := s.env[m[1]]; !dup && leading {
			s.command.env = append(s.command.env, m[1])
		}
		s.env[m[1]] = m[2]
	}
	return words[start:], nil
}

// maxWarnings bounds what is said about one command line.
const maxWarnings = 50

func (s *Settings) warn(format string, args ...any) {
	if len(s.Warnings) < maxWarnings {
		s.Warnings = append(s.Warnings, fmt.Sprintf(format, args...))
	}
}

// isOption reports whether a word starts an option rather than being a value.
func isOption(w string) bool { return len(w) > 1 && w[0] == '-' && !reNumber.MatchString(w) }

// vllmArgs reads the arguments of vLLM's parser.
func (s *Settings) vllmArgs(words []string) {
	for i := 0; i < len(words); {
		w := words[i]
		if w == "--" {
			i++
			continue
		}
		if !isOption(w) {
			if s.Model == "" {
				s.Model = w
			} else {
				s.warn("%s: not an option, and the model is given already", Mask(clip(w)))
			}
			s.command.args = append(s.command.args, arg{words: words[i : i+1]})
			i++
			continue
		}
		name, value, hasValue := s.option(w)
		end := i + 1
		takes := "value"
		base, _, dotted := strings.Cut(name, ".")
		if row, ok := names()[base]; ok && !dotted {
			takes = row.takes
		} else if !ok {
			takes = s.unknown(base, words[i+1:])
		}
		switch {
		case hasValue:
		case takes == "bool":
			value = "true"
			if end < len(words) && (words[end] == "true" || words[end] == "false" || words[end] == "True" || words[end] == "False") {
				s.warn("%s takes no value; %q is ignored by the parser or refused", name, words[end])
				value = strings.ToLower(words[end])
				end++
			}
		case takes == "list":
			for end < len(words) && !isOption(words[end]) {
				end++
			}
			value = strings.Join(words[i+1:end], " ")
			if end == i+1 {
				s.warn("%s has no value", name)
			}
		case end < len(words) && !isOption(words[end]):
			value = words[end]
			end++
		default:
			s.warn("%s has no value", name)
		}
		if takes == "list" && strings.Contains(value, " ") {
			if list, ok := numberList(value); ok {
				value = list
			}
		}
		s.put(name, value)
		s.command.args = append(s.command.args, arg{name: name, words: words[i:end]})
		i = end
	}
	if s.Model == "" {
		if v, ok := s.set["--model"]; ok {
			s.Model = v
		}
	}
	if f, ok := s.set["--config"]; ok {
		s.warn("the settings in %s are not read", Mask(f))
	}
}

// numberList turns "1 2 4" into JSON.
func numberList(v string) (string, bool) {
	for _, f := range strings.Fields(v) {
		if strings.Trim(f, "0123456789") != "" {
			return "", false
		}
	}
	return "[" + strings.Join(strings.Fields(v), ",") + "]", true
}

// option brings the word of an option to its full name and cuts off a value after "=".
func (s *Settings) option(w string) (name, value string, hasValue bool) {
	if m := reOLevel.FindStringSubmatch(w); m != nil {
		return "--optimization-level", m[1], true
	}
	head, value, hasValue := strings.Cut(w, "=")
	key, field, dotted := strings.Cut(head, ".")
	if !strings.HasPrefix(key, "--") {
		if key == "-O" {
			if dotted || strings.HasPrefix(value, "{") {
				key = "--compilation-config"
			} else {
				key = "--optimization-level"
			}
		} else if full, ok := shortOptions[key]; ok {
			key = full
		}
	} else {
		key = "--" + strings.ReplaceAll(key[2:], "_", "-")
	}
	if _, ok := names()[key]; !ok {
		key = s.resolveName(key)
	}
	if dotted {
		return key + "." + strings.TrimSuffix(strings.ReplaceAll(field, "-", "_"), "+"), value, hasValue
	}
	if pos, ok := strings.CutPrefix(key, "--no-"); ok && !hasValue {
		if row, known := names()["--"+pos]; known && row.takes == "bool" {
			return "--" + pos, "false", true
		}
	}
	return key, value, hasValue
}

// resolveName finds what the parser makes of a name that is not one: an abbreviation of exactly one option of the
// version is that option.
func (s *Settings) resolveName(key string) string {
	if pos, ok := strings.CutPrefix(key, "--no-"); ok {
		if row, known := names()["--"+pos]; known && row.takes == "bool" {
			return key
		}
	}
	if len(key) < 4 {
		return key
	}
	var hits []string
	for n, row := range names() {
		if strings.HasPrefix(n, key) && row.takes != "env" && row.takes != "field" {
			if s.Engine.Version == "" || row.span.in(Engine{VLLM, s.Engine.Version}).Presence == Present {
				hits = append(hits, n)
			}
		}
	}
	if len(hits) == 1 {
		s.warn("%s is read as an abbreviation of %s", key, hits[0])
		return hits[0]
	}
	return key
}

// unknown warns of a name that the engine lacks, and guesses from what follows whether it takes a value.
func (s *Settings) unknown(name string, rest []string) string {
	var m Match
	if len(s.Warnings) < maxWarnings {
		_, m = Lookup(name)
	}
	hint := ""
	switch {
	case len(m.Real) > 0:
		hint = "; use " + m.Real[0].Name
	case len(m.Suggestions) > 0:
		hint = "; did you mean " + m.Suggestions[0]
	}
	s.warn("%s is not an option of vLLM%s", Mask(clip(name)), hint)
	if len(rest) == 0 || isOption(rest[0]) {
		return "bool"
	}
	return "value"
}

func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "..."
	}
	return s
}

// plainArgs reads the options of an engine whose parser is not described: a name takes the next word unless that is an
// option.
func (s *Settings) plainArgs(words []string) {
	for i := 0; i < len(words); {
		w := words[i]
		if !isOption(w) {
			if s.Model == "" && i == 0 {
				s.Model = w
			}
			s.command.args = append(s.command.args, arg{words: words[i : i+1]})
			i++
			continue
		}
		name, value, hasValue := strings.Cut(w, "=")
		if strings.HasPrefix(name, "--") {
			name = "--" + strings.ReplaceAll(name[2:], "_", "-")
		}
		if e, ok := find(name, s.Engine.Name); ok {
			name = e.Name
		}
		end := i + 1
		switch {
		case hasValue:
		case end < len(words) && !isOption(words[end]):
			value = words[end]
			end++
		default:
			value = "true"
		}
		s.put(name, value)
		s.command.args = append(s.command.args, arg{name: name, words: words[i:end]})
		i = end
	}
	for _, n := range []string{"--model-path", "--model"} {
		if v, ok := s.set[n]; ok && s.Model == "" {
			s.Model = v
		}
	}
}
