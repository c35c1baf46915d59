package ledger

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Kind says what an entry is.
type Kind string

// Kinds of entries.
const (
	KindBaseline Kind = "baseline" // the server as it was, measured
	KindChange   Kind = "change"   // one knob changed, measured against a baseline
	KindNote     Kind = "note"     // a remark on another entry
	KindRepair   Kind = "repair"   // what the ledger did about damage to itself
)

// An Entry is one experiment or remark: the payload of a record. Schema and ID are
// set by Append, Time too when it is zero.
type Entry struct {
	Schema string    `json:"schema"`
	ID     string    `json:"id"` // "e" and the record's number
	Time   time.Time `json:"time"`
	Kind   Kind      `json:"kind"`
	// Ref is the id of the entry that this one speaks of: the baseline of a change,
	// the subject of a note.
	Ref  string `json:"ref,omitempty"`
	Text string `json:"text,omitempty"`

	// Knob went From To. Also holds the others if more than one was changed at
	// once, which proves nothing about either; such an entry says so wherever it is shown.
	Knob string   `json:"knob,omitempty"`
	From string   `json:"from,omitempty"`
	To   string   `json:"to,omitempty"`
	Also []Change `json:"also_changed,omitempty"`

	Command       []string `json:"command,omitempty"`        // the server's after the change; masked
	CommandBefore []string `json:"command_before,omitempty"` // masked
	Engine        string   `json:"engine,omitempty"`         // "vllm@0.24.0"
	Model         string   `json:"model,omitempty"`
	GPU           string   `json:"gpu,omitempty"` // "1x NVIDIA H100 80GB HBM3"
	Load          string   `json:"load,omitempty"`

	// Goal is the Name of the metric that the change is about.
	Goal    string   `json:"goal,omitempty"`
	Metrics []Metric `json:"metrics,omitempty"`
	// Verdict is that of the whole experiment, Reason why.
	Verdict string `json:"verdict,omitempty"`
	Reason  string `json:"reason,omitempty"`

	Predicted *Prediction  `json:"predicted,omitempty"`
	Measured  *Measurement `json:"measured,omitempty"`
	// PredictionError is set by Append from the two; see PredictionError.
	PredictionError *float64 `json:"prediction_error,omitempty"`
	// InRange says whether the measurement fell into the predicted range.
	InRange *bool `json:"in_predicted_range,omitempty"`

	SideEffects []SideEffect `json:"side_effects,omitempty"`
	Artefacts   []Artefact   `json:"artefacts,omitempty"`
	Warnings    []string     `json:"warnings,omitempty"`

	Repair *Repair `json:"repair,omitempty"`
}

// A Change is one more knob that was changed.
type Change struct {
	Knob string `json:"knob"`
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// A Metric is one quantity before and after. A baseline has Before only.
type Metric struct {
	Name      string   `json:"name"` // "tpot_ms", unit included
	Unit      string   `json:"unit,omitempty"`
	Direction string   `json:"direction,omitempty"` // "lower" or "higher" is better
	Before    *Summary `json:"before,omitempty"`
	After     *Summary `json:"after,omitempty"`
	// Change is relative: after/before - 1. ChangeLo and ChangeHi bound it.
	Change   *float64 `json:"change,omitempty"`
	ChangeLo *float64 `json:"change_lo,omitempty"`
	ChangeHi *float64 `json:"change_hi,omitempty"`
	P        *float64 `json:"p,omitempty"`
	Verdict  string   `json:"verdict,omitempty"` // better, worse, same, unclear
	Reason   string   `json:"reason,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

// A Summary is the centre of a sample and its interval; absent numbers were not
// recorded or have no bound.
type Summary struct {
	Center     *float64 `json:"center"`
	Lo         *float64 `json:"lo,omitempty"`
	Hi         *float64 `json:"hi,omitempty"`
	Confidence float64  `json:"confidence,omitempty"`
	N          int      `json:"n"`
	Label      string   `json:"label,omitempty"` // "median", "mean", "exact"
}

// A Prediction is what the advice promised, in the metric's unit.
type Prediction struct {
	Metric     string   `json:"metric"`
	Unit       string   `json:"unit,omitempty"`
	Before     *float64 `json:"before,omitempty"`
	After      *float64 `json:"after"`
	Low        *float64 `json:"low,omitempty"`
	High       *float64 `json:"high,omitempty"`
	Assumption string   `json:"assumption,omitempty"`
}

// A Measurement is what the predicted metric came to.
type Measurement struct {
	Metric string   `json:"metric"`
	Unit   string   `json:"unit,omitempty"`
	Before *float64 `json:"before,omitempty"`
	After  *float64 `json:"after"`
}

// A SideEffect is something else that moved, or was watched and did not.
type SideEffect struct {
	Name    string   `json:"name"` // "gpu_memory_gib", "preemptions", "output_equality"
	Before  *float64 `json:"before,omitempty"`
	After   *float64 `json:"after,omitempty"`
	Unit    string   `json:"unit,omitempty"`
	Verdict string   `json:"verdict,omitempty"`
	Text    string   `json:"text,omitempty"`
}

// An Artefact names bytes in the ledger's object folder.
type Artefact struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Bytes  int64  `json:"bytes"`
}

// A Repair says what was found and what was cut off.
type Repair struct {
	Problems []string `json:"problems"`
	Offset   int64    `json:"offset"` // of the first byte cut off
	Bytes    int64    `json:"bytes"`  // how many were; they are the entry's artefact
}

// Float returns a pointer to v, nil for NaN and infinities, which JSON lacks: not
// recorded is never 0.
func Float(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// prepare completes an entry before it is written.
func (e *Entry) prepare(seq int64, now func() time.Time) {
	e.Schema = Schema
	e.ID = fmt.Sprintf("e%d", seq)
	if e.Time.IsZero() {
		e.Time = now()
	}
	e.Time = e.Time.UTC().Truncate(time.Millisecond)
	e.mask()
	e.PredictionError, e.InRange = PredictionError(e.Predicted, e.Measured)
}

// mask removes secrets from everything that may have come from a command line, a log
// or a keyboard. The caller's slices stay as they are.
func (e *Entry) mask() {
	e.Command, e.CommandBefore = Mask(e.Command), Mask(e.CommandBefore)
	for _, s := range []*string{&e.Text, &e.Reason, &e.Load} {
		*s = MaskText(*s)
	}
	value := func(knob, v string) string {
		if v != "" && secretName(knob) {
			return masked
		}
		return MaskText(v)
	}
	e.From, e.To = value(e.Knob, e.From), value(e.Knob, e.To)
	e.Also = slices.Clone(e.Also)
	for i, c := range e.Also {
		e.Also[i].From, e.Also[i].To = value(c.Knob, c.From), value(c.Knob, c.To)
	}
	e.SideEffects = slices.Clone(e.SideEffects)
	for i := range e.SideEffects {
		e.SideEffects[i].Text = MaskText(e.SideEffects[i].Text)
	}
	e.Warnings = slices.Clone(e.Warnings)
	for i := range e.Warnings {
		e.Warnings[i] = MaskText(e.Warnings[i])
	}
}

// PredictionError returns how far the measured change was from the predicted one,
// relative to it, and whether it was in the predicted range.
//
// When both sides have a before value, changes are compared as ratios:
// (measured after/before) / (predicted after/before) - 1. The prediction was made
// from an earlier measurement; that the server's speed has wandered since is no
// error of the prediction. Without, the after values are compared.
func PredictionError(p *Prediction, m *Measurement) (off *float64, inRange *bool) {
	if p == nil || m == nil || p.Metric != m.Metric || !positive(p.After) || !positive(m.After) {
		return nil, nil
	}
	scale := 1.0 // from the prediction's world to the measurement's
	if positive(p.Before) && positive(m.Before) {
		scale = *m.Before / *p.Before
	}
	err := Float(*m.After/(*p.After*scale) - 1)
	if p.Low == nil || p.High == nil {
		return err, nil
	}
	lo, hi := min(*p.Low, *p.High)*scale, max(*p.Low, *p.High)*scale
	in := lo <= *m.After && *m.After <= hi
	return err, &in
}

func positive(v *float64) bool { return v != nil && *v > 0 }

// goal returns the metric that the entry is about: Goal, else the predicted one,
// else the first.
func (e *Entry) goal() (Metric, bool) {
	names := []string{e.Goal}
	if e.Predicted != nil {
		names = append(names, e.Predicted.Metric)
	}
	for _, n := range names {
		for _, m := range e.Metrics {
			if m.Name == n {
				return m, true
			}
		}
	}
	if len(e.Metrics) == 0 {
		return Metric{}, false
	}
	return e.Metrics[0], true
}

// gain is the metric's relative improvement, positive for better, whichever way
// the metric is good.
func (m Metric) gain() (float64, bool) {
	c := m.Change
	if c == nil && m.Before != nil && m.After != nil && positive(m.Before.Center) && m.After.Center != nil {
		c = Float(*m.After.Center / *m.Before.Center - 1)
	}
	if c == nil {
		return 0, false
	}
	if m.Direction == "higher" {
		return *c, true
	}
	return -*c, true
}
