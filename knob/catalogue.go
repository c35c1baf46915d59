package knob

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"sync"

	"github.com/stepscope/stepscope/device"
)

// Kind says what sort of name an entry is.
type Kind string

// Flag is an option of the server, Env an environment variable, Metric a series of /metrics, Profiler an option or report
// of nsys or ncu, Client an option of the load generator.
const (
	Flag     Kind = "flag"
	Env      Kind = "env"
	Metric   Kind = "metric"
	Profiler Kind = "profiler"
	Client   Kind = "client"
)

// Action is the direction in which a knob answers a finding.
type Action string

// Raise and Lower move a number. Set gives a value, or switches a boolean on. Drop removes the option, or negates it where
// its default is on.
const (
	Raise Action = "raise"
	Lower Action = "lower"
	Set   Action = "set"
	Drop  Action = "drop"
)

// Answer says that a knob helps with a finding.
type Answer struct {
	Finding string `json:"finding"`
	Action  Action `json:"action"`
	Rank    int    `json:"rank"`           // 1 is the first to try for this finding
	To      string `json:"to,omitempty"`   // a value, or in words how to find it
	When    string `json:"when,omitempty"` // the condition under which it helps; empty means always
}

// Value is one of the values that an option takes.
type Value struct {
	Value string `json:"value"`
	Since string `json:"since,omitempty"`  // first inspected version that takes it; empty means as long as the option
	Until string `json:"until,omitempty"`  // last inspected version that takes it
	MinCC int    `json:"min_cc,omitempty"` // compute capability that it needs, 89 for 8.9
	ROCm  string `json:"rocm,omitempty"`   // AMD architecture that it needs, gfx942 or later
	Note  string `json:"note,omitempty"`
}

// Default is the default from a version on.
type Default struct {
	Since string `json:"since"`
	Value string `json:"value"`
}

// Instead names what to use where an entry is gone or does not do what its name promises.
type Instead struct {
	Name  string `json:"name,omitempty"` // empty: nothing is needed
	Since string `json:"since,omitempty"`
	Note  string `json:"note,omitempty"`
}

// Risk says what can get worse, by kind. An empty text means that nothing is known to.
type Risk struct {
	Accuracy string `json:"accuracy,omitempty"`
	Memory   string `json:"memory,omitempty"`
	Latency  string `json:"latency,omitempty"`
}

// Entry is one name of the catalogue.
type Entry struct {
	Name        string    `json:"name"`
	Engine      string    `json:"engine,omitempty"` // empty in the file means vllm
	Kind        Kind      `json:"kind"`
	Aliases     []string  `json:"aliases,omitempty"`
	Does        string    `json:"does"`
	Trades      string    `json:"trades,omitempty"`
	Takes       string    `json:"takes,omitempty"` // what it is given, empty for a switch
	Values      []Value   `json:"values,omitempty"`
	Closed      bool      `json:"closed,omitempty"` // Values are all there are: the engine's own type lists them, and nothing adds to it
	Defaults    []Default `json:"defaults,omitempty"`
	DefaultText string    `json:"default_text,omitempty"` // where versions were not inspected
	Requires    []string  `json:"requires,omitempty"`
	MinCC       int       `json:"min_cc,omitempty"`    // compute capability that it needs to have an effect
	MoE         bool      `json:"moe,omitempty"`       // only for mixture-of-experts models
	MultiGPU    bool      `json:"multi_gpu,omitempty"` // only with more than one GPU
	Risk        Risk      `json:"risk,omitzero"`
	Answers     []Answer  `json:"answers,omitempty"`
	Check       string    `json:"check,omitempty"` // how to see that it worked
	Instead     []Instead `json:"instead,omitempty"`
	Since       string    `json:"since,omitempty"` // first inspected version
	Until       string    `json:"until,omitempty"` // last inspected version
	SinceText   string    `json:"since_text,omitempty"`
	External    bool      `json:"external,omitempty"`   // not the engine's own name
	Confidence  string    `json:"confidence,omitempty"` // empty means read in the packages
}

// Answer returns how the entry answers a finding.
func (e Entry) Answer(finding string) (Answer, bool) {
	for _, a := range e.Answers {
		if a.Finding == finding {
			return a, true
		}
	}
	return Answer{}, false
}

// Switch reports whether the entry takes no value.
func (e Entry) Switch() bool {
	if n, ok := names()[e.Name]; ok && n.takes != "field" {
		return n.takes == "bool"
	}
	return e.Takes == "" && (e.Kind == Flag || e.Kind == Profiler)
}

//go:embed catalogue.json
var catalogueJSON []byte

var catalogue = sync.OnceValue(func() []Entry {
	dec := json.NewDecoder(bytes.NewReader(catalogueJSON))
	dec.DisallowUnknownFields()
	var out []Entry
	if err := dec.Decode(&out); err != nil {
		panic("knob: embedded catalogue.json: " + err.Error())
	}
	for i := range out {
		e := &out[i]
		if e.Engine == "" {
			e.Engine = VLLM
		}
		if n, ok := names()[e.Name]; ok && e.Engine == VLLM && e.Since == "" {
			e.Since, e.Until = n.span.first, n.span.last
		}
		if e.Since != "" && e.Until == "" && e.Engine == VLLM {
			e.Until = Inspected[len(Inspected)-1]
		}
	}
	return out
})

// Entries returns the whole catalogue in its order. The slice is the caller's, the texts are shared.
func Entries() []Entry { return append([]Entry(nil), catalogue()...) }

// name is one row of names.txt.
type name struct {
	span  span
	takes string // bool, value, list, field, env
}

//go:embed names.txt
var namesText string

var names = sync.OnceValue(func() map[string]name {
	out := make(map[string]name, 800)
	for i, line := range strings.Split(namesText, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Fields(line)
		if len(f) != 4 {
			panic(fmt.Sprintf("knob: embedded names.txt:%d: %q", i+1, line))
		}
		out[f[0]] = name{span{f[1], f[2]}, f[3]}
	}
	return out
})

// find returns the entry of an engine by its exact name or alias.
func find(n, engine string) (Entry, bool) {
	for _, e := range catalogue() {
		if e.Engine == engine && e.Name == n {
			return e, true
		}
	}
	for _, e := range catalogue() {
		if e.Engine != engine {
			continue
		}
		for _, a := range e.Aliases {
			if a == n {
				return e, true
			}
		}
	}
	return Entry{}, false
}

// Available tells whether the engine has the entry. For an entry of another engine it is absent; for engines whose
// versions were not inspected (SGLang, the profilers) it is present with a note.
func Available(e Entry, eng Engine) Availability {
	switch {
	case e.Kind == Client:
		return Availability{Present, "an option of the load generator, whatever the server"}
	case e.Engine != eng.Name && e.Kind != Profiler:
		return Availability{Absent, "a name of " + e.Engine + ", not of " + eng.Name}
	case e.Engine != VLLM:
		return Availability{Present, "not inspected by version"}
	case e.External:
		return Availability{Present, "not the engine's own name"}
	case e.Since == "":
		return Availability{Uncertain, "its versions were not inspected"}
	}
	return span{e.Since, e.Until}.in(eng)
}

// AvailableName tells whether a vLLM version has a flag, a field of a JSON option ("--compilation-config.mode") or an
// environment variable, whether or not the catalogue describes it.
func AvailableName(n string, eng Engine) Availability {
	// The table first: what is an alias today may have been no name before.
	if row, ok := names()[n]; ok && eng.Name == VLLM {
		return row.span.in(eng)
	}
	if e, ok := find(n, eng.Name); ok {
		return Available(e, eng)
	}
	if base, _, dotted := strings.Cut(n, "."); dotted && eng.Name == VLLM {
		a := AvailableName(base, eng)
		if a.Presence == Present {
			return Availability{Uncertain, "a field of " + base + " whose versions were not inspected"}
		}
		return a
	}
	return Availability{Absent, "not a name of " + eng.Name}
}

// Fit is whether a GPU can use a knob.
type Fit struct {
	OK      bool   `json:"ok"`
	Unknown bool   `json:"unknown,omitempty"` // the GPU is not known well enough to say; OK is then false
	Reason  string `json:"reason,omitempty"`
}

// Fits tells whether a GPU can use the entry with the value (empty for none), and whether gpus GPUs are enough for it.
// gpus 0 means that their number is not known.
func Fits(e Entry, value string, s device.Sheet, gpus int) Fit {
	if e.MultiGPU && gpus == 1 && (e.Name != "--tensor-parallel-size" && e.Name != "--data-parallel-size" && e.Name != "--pipeline-parallel-size" && e.Name != "--tp-size") {
		return Fit{Reason: "works between GPUs, and there is one"}
	}
	need, rocm := e.MinCC, ""
	for _, v := range e.Values {
		if v.Value == value {
			need = max(need, v.MinCC)
			rocm = v.ROCm
		}
	}
	if need == 0 {
		return Fit{OK: true}
	}
	switch {
	case s.Vendor == "AMD":
		if rocm != "" && s.Architecture >= rocm {
			return Fit{OK: true}
		}
		return Fit{Reason: "not on " + s.Name}
	case s.ComputeMajor == 0:
		return Fit{Unknown: true, Reason: fmt.Sprintf("needs compute capability %d.%d, and the GPU's is not known", need/10, need%10)}
	case s.ComputeCapability() < need:
		return Fit{Reason: fmt.Sprintf("needs compute capability %d.%d, the GPU has %d.%d", need/10, need%10, s.ComputeMajor, s.ComputeMinor)}
	}
	return Fit{OK: true}
}

// ForFinding returns the entries that answer a finding in an engine's version, best first. Only names that the version
// certainly has are returned; with an unknown version those that every inspected version has.
func ForFinding(finding string, eng Engine) []Entry {
	type ranked struct {
		e Entry
		r int
	}
	var hit []ranked
	for _, e := range catalogue() {
		a, ok := e.Answer(finding)
		if !ok || !Available(e, eng).Safe() {
			continue
		}
		hit = append(hit, ranked{e, a.Rank})
	}
	sort.SliceStable(hit, func(i, j int) bool {
		if hit[i].r != hit[j].r {
			return hit[i].r < hit[j].r
		}
		return hit[i].e.Name < hit[j].e.Name
	})
	out := make([]Entry, len(hit))
	for i, h := range hit {
		out[i] = h.e
	}
	return out
}

// DefaultText is the default of an entry in a version in words, and whether it is known.
func DefaultText(e Entry, eng Engine) (string, bool) {
	if e.DefaultText != "" {
		return e.DefaultText, true
	}
	v, ok := parseVersion(eng.Version)
	if !ok || eng.Version == "" {
		if len(e.Defaults) == 1 {
			return e.Defaults[0].Value, true
		}
		return "", false
	}
	text, next := "", ""
	for i, d := range e.Defaults {
		if v.compare(mustVersion(d.Since)) >= 0 || (i == 0 && v[0] == 0 && v[1] == 8) {
			text = d.Value
			next = ""
			if i+1 < len(e.Defaults) {
				next = e.Defaults[i+1].Since
			}
		}
	}
	if text == "" {
		return "", false
	}
	if next != "" {
		// The default changed somewhere after the last inspected version before next.
		if i := inspectedIndex(next); i > 0 && v.compare(mustVersion(Inspected[i-1])) > 0 {
			return "", false
		}
	}
	return text, true
}
