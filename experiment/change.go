package experiment

import (
	"errors"
	"fmt"
	"strings"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/knob"
	"github.com/stepscope/stepscope/ledger"
)

// Errors that a caller may tell apart.
var (
	ErrKnob     = errors.New("no such knob")         // unknown, gone, or not for this engine
	ErrNoChange = errors.New("nothing would change") // the server runs with that value already
	ErrValue    = errors.New("no such value")        // of a kind or size that the knob does not take
	ErrTwoKnobs = errors.New("more than one knob")   // needs force
)

// unset is the value that drops an option, so that the engine's default applies.
const unset = "default"

// A Change is one knob with its new value.
type Change struct {
	Name  string // the engine's full option or variable
	Value string // "" with Drop
	Drop  bool   // the option is removed: the default applies
	From  string // the value before, as it may be shown; set by the experiment
	Risk  string // what may get worse, in words
	Doubt string // why the engine may not take the value, in words; it is tried all the same
}

// String is KNOB=VALUE.
func (c Change) String() string {
	v := c.Value
	if c.Drop {
		v = unset
	}
	return strings.TrimLeft(c.Name, "-") + "=" + v
}

// To is the new value as it may be shown.
func (c Change) To() string {
	switch {
	case c.Drop:
		return unset
	case knob.SecretName(c.Name):
		return knob.Masked
	}
	return c.Value
}

// ParseChange reads KNOB=VALUE: an option with or without dashes, underscores allowed, or an environment variable. VALUE
// "default" drops it; a switch may stand without a value. The name must be one of the engine's version, and the value one
// that it takes, unless force is set.
func ParseChange(text string, eng knob.Engine, force bool) (Change, error) {
	name, value, hasValue := strings.Cut(strings.TrimSpace(text), "=")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if name == "" {
		return Change{}, fmt.Errorf("%w: %q: write KNOB=VALUE, for example quantization=fp8", ErrKnob, text)
	}
	switch asOption(strings.ToLower(name)) {
	case "--model", "--model-tag", "--model-path":
		return Change{}, fmt.Errorf("%w: %s is what the server serves: another model is no change of one knob; take a capture of each, and compare them", ErrKnob, name)
	}
	e, m := knob.Lookup(name, eng)
	switch {
	case m.Kind != knob.Exact && m.Kind != knob.Alias && !force, m.Kind == knob.NoMatch && !force:
		return Change{}, unknown(name, m)
	case e.Name == "" || m.Kind != knob.Exact && m.Kind != knob.Alias: // forced: as it was written
		e = knob.Entry{Name: asOption(name)}
	case e.Kind != knob.Flag && e.Kind != knob.Env:
		return Change{}, fmt.Errorf("%w: %s is a %s and no setting of the server", ErrKnob, e.Name, e.Kind)
	}
	c := Change{Name: e.Name, Value: value, Risk: riskText(e.Risk)}
	negated := strings.HasPrefix(strings.TrimLeft(strings.ReplaceAll(name, "_", "-"), "-"), "no-") && !strings.HasPrefix(strings.TrimLeft(e.Name, "-"), "no-")
	switch {
	case hasValue && strings.EqualFold(value, unset):
		c.Drop, c.Value = true, ""
	case !hasValue && !e.Switch():
		return Change{}, fmt.Errorf("%w: %s needs a value: write %s=VALUE", ErrKnob, e.Name, strings.TrimLeft(e.Name, "-"))
	case !hasValue:
		c.Value = "true"
	case value == "":
		return Change{}, fmt.Errorf("%w: %s has no value: write %s=VALUE, or =%s to drop the option", ErrKnob, text, strings.TrimLeft(e.Name, "-"), unset)
	}
	if negated && !c.Drop {
		c.Value = map[string]string{"true": "false", "false": "true"}[strings.ToLower(c.Value)]
	}
	if e.Switch() && !c.Drop {
		switch v := strings.ToLower(c.Value); v {
		case "true", "1", "on", "yes":
			c.Value = "true"
		case "false", "0", "off", "no":
			c.Value = "false"
		default:
			return Change{}, fmt.Errorf("%w: %s is a switch: write %s=true or =false", ErrKnob, e.Name, strings.TrimLeft(e.Name, "-"))
		}
		if d, known := knob.DefaultText(e, eng); c.Value == "false" && known && d == "off" {
			c.Drop, c.Value = true, "" // off by default: some versions know no option to negate it
		}
	}
	if !force && !c.Drop {
		if err := knob.CheckValue(e, c.Value); err != nil {
			return Change{}, fmt.Errorf("%w: %w; --force tries it all the same", ErrValue, err)
		}
		if text := knob.NeverAValue(e, c.Value, eng); text != "" {
			return Change{}, fmt.Errorf("%w: %s=%s: %s; --force tries it all the same", ErrValue, e.Name, c.Value, text)
		}
	}
	if force || eng.Version == "" {
		return c, nil
	}
	if a := knob.Available(e, eng); a.Presence == knob.Absent {
		return Change{}, fmt.Errorf("%w: %s is not in %s: %s", ErrKnob, e.Name, eng, a.Note)
	}
	if c.Drop {
		return c, nil
	}
	switch a := knob.ValueAvailable(e, c.Value, eng); a.Presence {
	case knob.Absent:
		return Change{}, fmt.Errorf("%w: %s does not take %q in %s: %s; --force tries it all the same", ErrValue, e.Name, c.Value, eng, a.Note)
	case knob.Uncertain:
		c.Doubt = fmt.Sprintf("it is not known whether %s takes %s %s: %s", eng, c.Name, c.To(), a.Note)
	}
	return c, nil
}

// SameChange reports whether two texts of ParseChange mean one change.
func SameChange(a, b string, eng knob.Engine) bool {
	x, err := ParseChange(a, eng, true)
	if err != nil {
		return false
	}
	y, err := ParseChange(b, eng, true)
	return err == nil && x.Name == y.Name && x.String() == y.String()
}

func unknown(name string, m knob.Match) error {
	text := m.Reason
	var real []string
	for _, r := range m.Real {
		if r.Name != "" {
			real = append(real, r.Name)
		}
	}
	if m.Name != "" && len(real) == 0 {
		real = append(real, m.Name)
	}
	if len(real) == 0 {
		real = m.Suggestions
	}
	if len(real) > 0 {
		if text != "" {
			text = strings.TrimSuffix(text, ".") + "; "
		}
		text += "try " + strings.Join(real, ", ")
	}
	if text == "" {
		text = "it is not in the catalogue (see `stepscope knobs`)"
	}
	return fmt.Errorf("%w: %s: %s", ErrKnob, name, text)
}

// asOption turns a name that the catalogue does not know into an option, or leaves it a variable.
func asOption(name string) string {
	if strings.ToUpper(name) == name && !strings.HasPrefix(name, "-") {
		return name
	}
	return "--" + strings.ReplaceAll(strings.TrimLeft(name, "-"), "_", "-")
}

func riskText(r knob.Risk) string {
	var parts []string
	for _, p := range []struct{ name, text string }{{"accuracy", r.Accuracy}, {"memory", r.Memory}, {"latency", r.Latency}} {
		if p.text != "" {
			parts = append(parts, p.name+": "+p.text)
		}
	}
	return strings.Join(parts, "; ")
}

// apply makes the change in settings; an equal value is ErrNoChange.
func (c *Change) apply(s knob.Settings, eng knob.Engine) (knob.Settings, error) {
	old, set := s.Shown(c.Name)
	c.From = old
	if !set {
		c.From = "not set"
	}
	if c.Drop {
		if !set {
			return s, fmt.Errorf("%w: %s is not set", ErrNoChange, c.Name)
		}
		return s.Without(c.Name), nil
	}
	if v, ok := s.Value(c.Name); ok && v == c.Value {
		return s, fmt.Errorf("%w: %s is %s already", ErrNoChange, c.Name, c.To())
	}
	if d := s.Effective(c.Name, eng, 0, ""); !set && d.Known && strings.EqualFold(d.Value, c.Value) {
		return s, fmt.Errorf("%w: %s is the default of %s", ErrNoChange, c, eng)
	}
	return s.With(c.Name, c.Value), nil
}

// FromAdvice turns an advice of a diagnosis into a change to try and its prediction, nil where it has none. ok is false
// for an advice without a knob.
func FromAdvice(a diagnose.Advice) (change string, p *ledger.Prediction, ok bool) {
	flag, value, hasValue := strings.Cut(strings.TrimSpace(a.Flag), " ")
	if flag == "" {
		return "", nil, false
	}
	if k, v, eq := strings.Cut(flag, "="); eq && !hasValue {
		flag, value, hasValue = k, v, true
	}
	switch {
	case a.To == "not set":
		change = flag + "=" + unset
	case hasValue:
		change = flag + "=" + strings.Trim(strings.TrimSpace(value), `'"`)
	default:
		change = flag
	}
	if a.Predicted == nil {
		return change, nil, true
	}
	q := a.Predicted
	return change, &ledger.Prediction{Metric: q.Metric, Unit: q.Unit, Before: ledger.Float(q.Before), After: ledger.Float(q.After),
		Low: ledger.Float(q.Low), High: ledger.Float(q.High), Assumption: q.Assumption}, true
}
