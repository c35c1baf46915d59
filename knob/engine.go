package knob

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Engine is an inference engine or a tool with the version that a report is about. An empty version means "not known".
type Engine struct {
	Name    string `json:"name"` // vllm, sglang, tensorrt-llm, nsys, ncu
	Version string `json:"version,omitempty"`
}

// The names of engines and tools in the catalogue.
const (
	VLLM   = "vllm"
	SGLang = "sglang"
	TRTLLM = "tensorrt-llm"
	Nsys   = "nsys"
	NCU    = "ncu"
)

// ErrEngine marks an engine that cannot be read or is not known.
var ErrEngine = errors.New("unknown engine")

// Inspected are the vLLM versions whose packages were read for this catalogue, oldest first.
var Inspected = []string{"0.8.5", "0.11.0", "0.12.0", "0.13.0", "0.14.0", "0.16.0", "0.18.0", "0.20.2", "0.24.0", "0.28.0", "0.33.0"}

var engineNames = map[string]string{"vllm": VLLM, "sglang": SGLang, "sgl": SGLang, "tensorrt-llm": TRTLLM, "trtllm": TRTLLM, "trt-llm": TRTLLM,
	"tensorrtllm": TRTLLM, "nsys": Nsys, "nsight-systems": Nsys, "ncu": NCU, "nsight-compute": NCU}

var reVersion = regexp.MustCompile(`^v?([0-9]{1,4})(?:\.([0-9]{1,4}))?(?:\.([0-9]{1,4}))?((?:\.?(?:post|rc|a|b|dev)[0-9]*)*)(?:\.[0-9]+)*(?:[+-][A-Za-z0-9.+_-]*)?$`)

// ParseEngine reads "vllm@0.24.0", "vllm==0.24.0", "vllm 0.24.0", "vLLM" or "sglang@0.5.2". The version may carry a
// leading v and build suffixes.
func ParseEngine(s string) (Engine, error) {
	s = strings.TrimSpace(s)
	name, version := s, ""
	if i := strings.IndexAny(s, "@= :"); i >= 0 {
		name, version = s[:i], strings.TrimLeft(s[i:], "@= :")
	}
	canon, ok := engineNames[strings.ToLower(strings.ReplaceAll(name, "_", "-"))]
	if !ok {
		return Engine{}, fmt.Errorf("%w %.60q, want NAME or NAME@VERSION with NAME one of vllm, sglang, tensorrt-llm", ErrEngine, name)
	}
	if version == "" {
		return Engine{Name: canon}, nil
	}
	if !reVersion.MatchString(version) {
		return Engine{}, fmt.Errorf("%w version %.60q, want a number such as 0.24.0", ErrEngine, version)
	}
	return Engine{Name: canon, Version: strings.TrimPrefix(version, "v")}, nil
}

// String is NAME or NAME@VERSION.
func (e Engine) String() string {
	if e.Version == "" {
		return e.Name
	}
	return e.Name + "@" + e.Version
}

// version is major, minor, patch and -1 for a pre-release (rc, dev, alpha), so that 0.24.0rc1 sorts before 0.24.0.
type version [4]int

func parseVersion(s string) (version, bool) {
	m := reVersion.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return version{}, false
	}
	var v version
	for i := range 3 {
		if m[i+1] != "" {
			n, err := strconv.Atoi(m[i+1])
			if err != nil {
				return version{}, false
			}
			v[i] = n
		}
	}
	if m[4] != "" && !strings.Contains(m[4], "post") {
		v[3] = -1
	}
	return v, true
}

func (v version) compare(o version) int {
	for i := range v {
		if v[i] != o[i] {
			if v[i] < o[i] {
				return -1
			}
			return 1
		}
	}
	return 0
}

func mustVersion(s string) version {
	v, ok := parseVersion(s)
	if !ok {
		panic("knob: bad version in the table: " + s)
	}
	return v
}

// AtLeast reports whether the engine's version is known and not older than v.
func (e Engine) AtLeast(v string) bool {
	have, ok := parseVersion(e.Version)
	want, ok2 := parseVersion(v)
	return ok && ok2 && e.Version != "" && have.compare(want) >= 0
}

// Before reports whether the engine's version is known and older than v.
func (e Engine) Before(v string) bool {
	have, ok := parseVersion(e.Version)
	want, ok2 := parseVersion(v)
	return ok && ok2 && e.Version != "" && have.compare(want) < 0
}

// newer reports whether the engine is a vLLM of a later minor version than every inspected one.
func (e Engine) newer() bool {
	have, ok := parseVersion(e.Version)
	last := mustVersion(Inspected[len(Inspected)-1])
	return e.Name == VLLM && e.Version != "" && ok && (have[0] != last[0] || have[1] != last[1]) && have.compare(last) > 0
}

// Presence says whether a name exists in a version.
type Presence string

// Present: read in the package, or in both neighbours of the version. Absent: read to be missing, likewise. Uncertain:
// it changed somewhere between two inspected versions around this one, or the version is outside the inspected range.
const (
	Present   Presence = "present"
	Absent    Presence = "absent"
	Uncertain Presence = "uncertain"
)

// Availability is the presence of a name in an engine with the reason in words.
type Availability struct {
	Presence Presence `json:"presence"`
	Note     string   `json:"note,omitempty"`
}

// Safe reports whether the name may be advised: it is certainly there.
func (a Availability) Safe() bool { return a.Presence == Present }

// span is the range of inspected versions that have a name, inclusive.
type span struct{ first, last string }

func inspectedIndex(s string) int {
	for i, v := range Inspected {
		if v == s {
			return i
		}
	}
	return -1
}

// in tells whether a name with this span exists in a vLLM version.
func (s span) in(e Engine) Availability {
	fi, li := inspectedIndex(s.first), inspectedIndex(s.last)
	oldest, newest := 0, len(Inspected)-1
	if fi < 0 || li < 0 {
		return Availability{Uncertain, "its versions were not inspected"}
	}
	if e.Version == "" {
		if fi == oldest && li == newest {
			return Availability{Present, "in every inspected version"}
		}
		return Availability{Uncertain, s.text() + "; the engine's version is not known"}
	}
	v, ok := parseVersion(e.Version)
	if !ok {
		return Availability{Uncertain, "the version " + e.Version + " cannot be read"}
	}
	first, last := mustVersion(s.first), mustVersion(s.last)
	if low := mustVersion(Inspected[oldest]); v[0] == low[0] && v[1] == low[1] && v.compare(low) < 0 {
		v = low // 0.8.0 to 0.8.4 are taken as 0.8.5
	}
	switch {
	case v.compare(first) >= 0 && v.compare(last) <= 0:
		return Availability{Present, ""}
	case v.compare(first) < 0 && fi == oldest:
		return Availability{Uncertain, "older than the first inspected version, " + s.first}
	case v.compare(first) < 0:
		if v.compare(mustVersion(Inspected[fi-1])) <= 0 {
			return Availability{Absent, "came with " + s.first + " or between " + Inspected[fi-1] + " and it"}
		}
		return Availability{Uncertain, "came between " + Inspected[fi-1] + " and " + s.first}
	case li == newest:
		if v[0] == last[0] && v[1] == last[1] {
			return Availability{Present, ""}
		}
		return Availability{Uncertain, "newer than the last inspected version, " + s.last}
	}
	if v.compare(mustVersion(Inspected[li+1])) >= 0 {
		return Availability{Absent, "last seen in " + s.last + ", gone by " + Inspected[li+1]}
	}
	return Availability{Uncertain, "went between " + s.last + " and " + Inspected[li+1]}
}

// text is the span in words.
func (s span) text() string {
	fi, li := inspectedIndex(s.first), inspectedIndex(s.last)
	newest := len(Inspected) - 1
	switch {
	case fi == 0 && li == newest:
		return "all inspected versions, " + s.first + " to " + s.last
	case fi == 0:
		return "up to " + s.last + ", gone by " + Inspected[li+1]
	case li == newest:
		return "since " + s.first + ", not in " + Inspected[fi-1]
	case fi == li:
		return "only in " + s.first + " of the inspected versions"
	}
	return "from " + s.first + " to " + s.last + ", gone by " + Inspected[li+1]
}
