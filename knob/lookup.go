package knob

import (
	_ "embed"
	"encoding/json"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
)

// MatchKind says how a name was understood.
type MatchKind string

// Exact: a real name. Alias: a short form or an old spelling of one. Removed: real in older versions. WrongName: never a
// name, but guides use it. WrongValue: a real name with a value that it never took. Misused: real, but not for what guides
// use it. OtherTool: belongs to another program, or to none. NearMiss: unknown, with suggestions. NoMatch: unknown.
const (
	Exact      MatchKind = "exact"
	Alias      MatchKind = "alias"
	Removed    MatchKind = "removed"
	WrongName  MatchKind = "wrong-name"
	WrongValue MatchKind = "wrong-value"
	Misused    MatchKind = "misused"
	OtherTool  MatchKind = "other-tool"
	NearMiss   MatchKind = "near-miss"
	NoMatch    MatchKind = "none"
)

// Match is the answer to a name.
type Match struct {
	Kind        MatchKind `json:"kind"`
	Asked       string    `json:"asked"`
	Name        string    `json:"name,omitempty"`        // the real name, empty where there is none
	Value       string    `json:"value,omitempty"`       // the value that was asked with it
	Reason      string    `json:"reason,omitempty"`      // why the asked name is wrong, or what to know
	Real        []Instead `json:"real,omitempty"`        // what to use, best first
	Suggestions []string  `json:"suggestions,omitempty"` // real names that look alike
}

// Known reports whether the name is one, in some version.
func (m Match) Known() bool { return m.Kind != NearMiss && m.Kind != NoMatch }

type misnomer struct {
	Match    string    `json:"match"`
	Examples []string  `json:"examples"`
	Verdict  string    `json:"verdict"` // never, value, removed, works, other-tool
	Real     []Instead `json:"real"`
	Reason   string    `json:"reason"`
	re       *regexp.Regexp
}

//go:embed misnomers.json
var misnomersJSON []byte

var misnomers = sync.OnceValue(func() []misnomer {
	var out []misnomer
	if err := json.Unmarshal(misnomersJSON, &out); err != nil {
		panic("knob: embedded misnomers.json: " + err.Error())
	}
	for i := range out {
		out[i].re = regexp.MustCompile(out[i].Match)
	}
	return out
})

var verdicts = map[string]MatchKind{"never": WrongName, "value": WrongValue, "removed": Removed, "works": Misused, "other-tool": OtherTool}

// maxAsked bounds what is looked up; longer input is no name.
const maxAsked = 300

var reSpaces = regexp.MustCompile(`\s+`)

// plain brings a query to the form that misnomers are written in: lower case, dashes, one space before a value.
func plain(s string) string {
	s = strings.ToLower(strings.NewReplacer("`", "", `"`, "", "'", "", "=", " ").Replace(s))
	s = reSpaces.ReplaceAllString(strings.TrimSpace(s), " ")
	s = strings.ReplaceAll(s, "_", "-")
	return strings.TrimLeft(s, "-")
}

// Lookup finds what a name is: a flag, an environment variable, a metric or a profiler option, with or without dashes,
// with underscores, with a value ("--kv-cache-dtype int8"), or a phrase that guides print ("sys graph -f json"). The
// entry is that of the real name, and is empty for names that the catalogue does not describe. An engine may be given
// first choice among equal names; without one vLLM comes first. A name of vLLM's that is found for another engine says so in
// the match's reason, with that engine's own name in Real where the catalogue knows it.
func Lookup(asked string, engines ...Engine) (Entry, Match) {
	asked = strings.TrimSpace(asked)
	e, m := lookup(optimisation(asked), engines)
	m.Asked = asked
	if len(engines) > 0 && (m.Kind == Exact || m.Kind == Alias) {
		foreign(e, &m, engines[0])
	}
	return e, m
}

// servers are the engines as their own pages write them.
var servers = map[string]string{VLLM: "vLLM", SGLang: "SGLang", TRTLLM: "TensorRT-LLM"}

// counterparts are the options of SGLang that do what one of vLLM's does.
var counterparts = map[string]string{
	"--max-num-seqs": "--max-running-requests", "--max-num-batched-tokens": "--chunked-prefill-size", "--enable-chunked-prefill": "--chunked-prefill-size",
	"--gpu-memory-utilization": "--mem-fraction-static", "--enforce-eager": "--disable-cuda-graph", "--max-cudagraph-capture-size": "--cuda-graph-max-bs",
	"--cudagraph-capture-sizes": "--cuda-graph-max-bs", "--compilation-config.cudagraph_capture_sizes": "--cuda-graph-max-bs",
	"--compilation-config.max_cudagraph_capture_size": "--cuda-graph-max-bs",
}

// foreign says in m that e is a name of vLLM's where another server was asked about.
func foreign(e Entry, m *Match, eng Engine) {
	server := servers[eng.Name]
	if e.Engine != VLLM || eng.Name == VLLM || server == "" || e.External || e.Kind == Client {
		return
	}
	text := e.Name + " is vLLM's, and not " + server + "'s"
	if other, ok := counterparts[e.Name]; ok && eng.Name == SGLang {
		text += ", whose counterpart is " + other
		m.Real = []Instead{{Name: other}}
	}
	if eng.Name == SGLang {
		text += ". Of SGLang's options only those that answer a finding are in the catalogue."
	} else {
		text += ", whose options are not in the catalogue."
	}
	m.Reason = strings.TrimSpace(text + " " + m.Reason)
}

func lookup(asked string, engines []Engine) (Entry, Match) {
	m := Match{Kind: NoMatch, Asked: asked}
	if asked == "" || len(asked) > maxAsked {
		return Entry{}, m
	}
	order := searchOrder(engines)
	if order[0] == SGLang || order[0] == TRTLLM {
		// What is wrong in vLLM may be right there.
		if e, got, ok := exact(asked, order[:1]); ok {
			return e, got
		}
	}
	p := plain(expandShort(asked))
	for _, row := range misnomers() {
		if row.re.MatchString(p) {
			m.Kind, m.Reason, m.Real = verdicts[row.Verdict], row.Reason, row.Real
			_, m.Value, _ = strings.Cut(p, " ")
			return resolve(m, order, engines)
		}
	}
	if e, got, ok := exact(asked, order); ok {
		got.Real = presentFirst(got.Real, engines)
		return e, got
	}
	m.Suggestions = suggestions(p)
	if len(m.Suggestions) > 0 {
		m.Kind = NearMiss
	}
	return Entry{}, m
}

// optimisation writes vLLM's -O as an option with its value: "-O3" is "-O 3", and "-O.mode" a field of the compilation.
func optimisation(asked string) string {
	if level := reOLevel.FindStringSubmatch(asked); level != nil {
		return "-O " + level[1]
	}
	if field, ok := strings.CutPrefix(asked, "-O."); ok {
		return "--compilation-config." + field
	}
	return asked
}

// expandShort replaces a short option by its long name, so that "-tp 2" is not read as "--tp 2".
func expandShort(asked string) string {
	n, v := splitAsked(asked)
	if len(n) < 2 || n[0] != '-' || n[1] == '-' {
		return asked
	}
	if e, ok := find(n, VLLM); ok {
		return strings.TrimSpace(e.Name + " " + v)
	}
	return asked
}

func searchOrder(engines []Engine) []string {
	order := []string{}
	for _, e := range engines {
		if e.Name != "" {
			order = append(order, e.Name)
		}
	}
	for _, n := range []string{VLLM, Nsys, NCU, SGLang} {
		if !slices.Contains(order, n) {
			order = append(order, n)
		}
	}
	return order
}

// resolve fills the name and finds the entry of the first real name that the catalogue describes; with a version given,
// of the first that it has.
func resolve(m Match, order []string, engines []Engine) (Entry, Match) {
	m.Real = presentFirst(m.Real, engines)
	for _, r := range m.Real {
		for _, eng := range order {
			if e, ok := find(r.Name, eng); ok {
				m.Name = r.Name
				return e, m
			}
		}
	}
	if len(m.Real) > 0 {
		m.Name = m.Real[0].Name
	}
	return Entry{}, m
}

// presentFirst orders names so that those that the first engine's version lacks come last.
func presentFirst(real []Instead, engines []Engine) []Instead {
	if len(engines) == 0 || engines[0].Name != VLLM || engines[0].Version == "" {
		return real
	}
	var have, lack []Instead
	for _, r := range real {
		if _, ok := names()[r.Name]; ok && AvailableName(r.Name, engines[0]).Presence == Absent {
			lack = append(lack, r)
		} else {
			have = append(have, r)
		}
	}
	return append(have, lack...)
}

// exact looks the name up as it stands, in the spellings that the parsers accept.
func exact(asked string, order []string) (Entry, Match, bool) {
	name, value := splitAsked(asked)
	m := Match{Asked: asked, Value: value}
	for _, cand := range spellings(name) {
		for _, eng := range order {
			e, ok := find(cand, eng)
			if !ok {
				continue
			}
			m.Name, m.Kind = e.Name, Exact
			if e.Name != cand {
				m.Kind = Alias
			}
			if gone(e) {
				m.Kind, m.Real = Removed, e.Instead
				m.Reason = span{e.Since, e.Until}.text()
			} else if len(e.Instead) > 0 {
				m.Real = e.Instead
			}
			return e, m, true
		}
		if row, ok := names()[cand]; ok && order[0] == VLLM {
			e := Entry{Name: cand, Engine: VLLM, Kind: Flag, Since: row.span.first, Until: row.span.last}
			if row.takes == "env" {
				e.Kind = Env
			}
			m.Name, m.Kind = cand, Exact
			if gone(e) {
				m.Kind, m.Reason = Removed, row.span.text()
			}
			return e, m, true
		}
		if strings.HasPrefix(cand, "--no-") {
			if e, ok := find("--"+cand[len("--no-"):], VLLM); ok && e.Switch() {
				m.Name, m.Kind, m.Reason = e.Name, Exact, cand+" switches it off"
				return e, m, true
			}
		}
	}
	return Entry{}, Match{}, false
}

// gone reports whether the newest inspected version lacks the entry.
func gone(e Entry) bool {
	return e.Engine == VLLM && inspectedIndex(e.Until) >= 0 && e.Until != Inspected[len(Inspected)-1]
}

// splitAsked parts a name from a value given with it.
func splitAsked(asked string) (string, string) {
	if i := strings.IndexAny(asked, "= \t"); i > 0 {
		return asked[:i], strings.Trim(asked[i+1:], " \t\"'")
	}
	return asked, ""
}

var reMetricSuffix = regexp.MustCompile(`_(total|bucket|sum|count|created)$`)

// spellings are the forms in which a name may stand in the tables.
func spellings(n string) []string {
	n = strings.Trim(n, "`\"'$ ")
	out := []string{n}
	low := strings.ToLower(n)
	head, tail, dotted := strings.Cut(strings.TrimLeft(low, "-"), ".")
	flag := "--" + strings.ReplaceAll(head, "_", "-")
	switch flag {
	case "--cc":
		flag = "--compilation-config"
	case "--ac":
		flag = "--attention-config"
	case "--sc":
		flag = "--speculative-config"
	}
	if dotted {
		out = append(out, flag+"."+strings.ReplaceAll(tail, "-", "_"), flag)
	} else {
		out = append(out, flag)
	}
	if len(n) > 1 && n[0] == '-' && n[1] != '-' {
		out = append(out, low)
	} else if !strings.HasPrefix(n, "-") {
		out = append(out, "-"+low, strings.ToUpper(strings.ReplaceAll(n, "-", "_")))
	}
	metric := strings.TrimPrefix(strings.ReplaceAll(low, "-", "_"), "vllm:")
	base := reMetricSuffix.ReplaceAllString(metric, "")
	out = append(out, low, "vllm:"+metric, "vllm:"+base, "vllm:"+base+"_total")
	return out
}

// candidate is a known name in the form that suggestions compare.
type candidate struct {
	name  string
	plain string
	parts []string
}

var candidates = sync.OnceValue(func() []candidate {
	seen := map[string]bool{}
	var out []candidate
	add := func(n string) {
		if seen[n] {
			return
		}
		seen[n] = true
		c := strings.ReplaceAll(strings.TrimPrefix(strings.TrimLeft(strings.ToLower(n), "-"), "vllm:"), "_", "-")
		out = append(out, candidate{n, c, strings.Split(c, "-")})
	}
	for _, e := range catalogue() {
		if e.Engine != SGLang {
			add(e.Name)
		}
	}
	for n := range names() {
		add(n)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].name < out[j].name })
	return out
})

// suggestions returns up to five known names that look like p, best first.
func suggestions(p string) []string {
	asked, _, _ := strings.Cut(p, " ")
	asked = strings.TrimPrefix(asked, "no-")
	if len(asked) < 2 || len(asked) > 80 {
		return nil
	}
	askedParts := strings.Split(asked, "-")
	words := map[string]bool{}
	for _, w := range askedParts {
		if len(w) > 2 && !noise[w] {
			words[w] = true
		}
	}
	type scored struct {
		n string
		d float64
	}
	var all []scored
	limit := max(2, len(asked)/4)
	for _, c := range candidates() {
		common := 0
		for _, w := range c.parts {
			if words[w] {
				common++
			}
		}
		diff := len(c.plain) - len(asked)
		d := 1e9
		if diff <= limit && diff >= -limit {
			d = float64(editDistance(asked, c.plain))
		}
		switch {
		case len(askedParts) > 1 && abbreviates(askedParts, c.parts):
			d = min(d, 0.7+0.5*float64(len(c.parts)-len(askedParts)))
		case len(askedParts) > 1 && contains(c.parts, askedParts):
			d = min(d, 1+0.5*float64(len(c.parts)-len(askedParts)))
		case strings.HasPrefix(c.plain, asked) && len(asked) >= 4:
			d = min(d, 0.5) // the parser would take it as an abbreviation
		case d <= float64(limit):
		case common >= 2 && common >= len(words)-1, common == 1 && len(words) == 1 && len(c.parts) <= 3:
			d = 5 + float64(max(diff, -diff))/10 - 2*float64(common)
		default:
			continue
		}
		all = append(all, scored{c.name, d})
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].d < all[j].d })
	var out []string
	for i := 0; i < len(all) && i < 5; i++ {
		out = append(out, all[i].n)
	}
	return out
}

// abbreviates reports whether every word of short begins a word of full, in the same order.
func abbreviates(short, full []string) bool {
	k := 0
	for _, w := range short {
		for k < len(full) && (len(w) < 2 || !strings.HasPrefix(full[k], w)) {
			k++
		}
		if k == len(full) {
			return false
		}
		k++
	}
	return true
}

// contains reports whether every word of sub is in all.
func contains(all, sub []string) bool {
	for _, s := range sub {
		if !slices.Contains(all, s) {
			return false
		}
	}
	return true
}

// noise are words that too many names share to mean anything.
var noise = map[string]bool{"max": true, "num": true, "enable": true, "disable": true, "use": true, "size": true, "vllm": true, "the": true}

// editDistance is the Levenshtein distance with transpositions of neighbours counted once.
func editDistance(a, b string) int {
	prev2 := make([]int, len(b)+1)
	prev := make([]int, len(b)+1)
	cur := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j-1]+cost, prev[j]+1, cur[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}
