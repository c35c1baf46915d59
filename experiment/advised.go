package experiment

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/stepscope/stepscope/knob"
)

// ErrOtherStart says that an advice was made for a server that ran with another value of the knob.
var ErrOtherStart = errors.New("another value to begin with")

// Advised is the server that an advice was made for.
type Advised struct {
	From      string         // the knob's value in force, as the diagnosis says it
	Settings  *knob.Settings // the server's, nil when only the diagnosis is known
	Engine    knob.Engine
	GPUName   string // for defaults that depend on the GPU
	GPUMemory int64  // bytes
}

// check compares the value that the advice begins with to the one that is in force in s. The error wraps ErrOtherStart; the
// note says that it could not be told.
func (a *Advised) check(name string, s knob.Settings, eng knob.Engine) (note string, err error) {
	if eng.Version == "" && eng.Name == a.Engine.Name {
		eng.Version = a.Engine.Version
	}
	have := a.inForce(name, s, eng)
	was := inForce{value: a.From, known: a.From != "" && a.From != knob.Masked}
	differs := false
	if a.Settings != nil {
		was = a.inForce(name, *a.Settings, a.Engine)
		switch {
		case have.known && was.known:
			differs = !sameValue(have.value, was.value)
		default: // a default that is not known is the same on both sides, and not what was chosen
			differs = have.set != was.set
		}
	} else {
		switch {
		case !was.known:
		case a.From == "set":
			differs = !have.set
		case have.known:
			differs = !sameValue(have.value, a.From)
		default:
			return fmt.Sprintf("the advice is for a server with %s %s, and this command's default is not known", name, a.From), nil
		}
	}
	if !differs {
		return "", nil
	}
	return "", fmt.Errorf("%w: the advice is for a server with %s %s, and this command has %s", ErrOtherStart, name, was, have)
}

// inForce is a value of a knob.
type inForce struct {
	value      string
	set, known bool
	reason     string
}

func (v inForce) String() string {
	switch {
	case !v.known:
		return "it not set"
	case v.reason != "":
		return fmt.Sprintf("%s (not set; %s)", v.value, v.reason)
	}
	return v.value
}

func (a *Advised) inForce(name string, s knob.Settings, eng knob.Engine) inForce {
	if v, ok := s.Shown(name); ok {
		return inForce{value: v, set: true, known: true}
	}
	d := s.Effective(name, eng, a.GPUMemory, a.GPUName)
	if !strings.HasPrefix(d.Reason, "default ") {
		d.Reason = "default: " + d.Reason
	}
	return inForce{value: d.Value, known: d.Known, reason: d.Reason}
}

// sameValue reports whether two values mean the same: texts without regard to case, numbers, and a list by its largest, as a
// diagnosis says of the sizes of CUDA graphs.
func sameValue(x, y string) bool {
	if strings.EqualFold(strings.TrimSpace(x), strings.TrimSpace(y)) {
		return true
	}
	a, okA := number(x)
	b, okB := number(y)
	return okA && okB && a == b
}

func number(s string) (float64, bool) {
	var list []float64
	if json.Unmarshal([]byte(s), &list) == nil && len(list) > 0 {
		most := list[0]
		for _, v := range list {
			most = max(most, v)
		}
		return most, true
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	return v, err == nil
}
