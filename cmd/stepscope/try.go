package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/stepscope/stepscope/bench"
	"github.com/stepscope/stepscope/capture"
	"github.com/stepscope/stepscope/compare"
	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/experiment"
	"github.com/stepscope/stepscope/knob"
	"github.com/stepscope/stepscope/ledger"
	"github.com/stepscope/stepscope/profile/nsys"
	"github.com/stepscope/stepscope/report"
)

// trySchema is the version of try's JSON.
const trySchema = "stepscope.experiment/1"

type tryCmd struct {
	Changes []string `arg:"" optional:"" placeholder:"KNOB=VALUE" help:"The knob with its new value; \"default\" drops it. The server's command stands behind --."`
	Advice  string   `placeholder:"PATH" help:"A profile, capture folder or diagnosis (JSON): its first advice with a knob is tried, or its prediction for KNOB=VALUE is held against the measurement."`
	Repeat  int      `default:"3" help:"Starts of each side, in turns; with 4 or more it may end early."`
	Bursts  int      `default:"3" help:"Loads that each start serves."`
	Goal    string   `placeholder:"METRIC" help:"What the change is about (default: the predicted metric, else output_tokens_per_s)."`
	Min     float64  `name:"min-effect" placeholder:"F" help:"Smallest relative change that counts (default 0.02)."`
	Force   bool     `help:"Allow several knobs at once, and names and values that are not in the catalogue. The ledger says so."`
	Dir     string   `default:".stepscope" placeholder:"DIR" help:"The ledger's folder (default: .stepscope)."`
	NoWrite bool     `name:"no-ledger" help:"Write nothing down."`
	Text    string   `placeholder:"TEXT" help:"A remark for the ledger."`
	Keep    string   `name:"keep" placeholder:"DIR" help:"Keep logs and results of every start in this folder."`
	Capture string   `name:"captures" placeholder:"DIR" help:"Take a capture of each side afterwards, into DIR/baseline and DIR/change."`
	DryRun  bool     `help:"Print what would happen and start nothing."`
	Format  string   `short:"f" enum:"text,json" default:"text" help:"text or json."`
	FailOn  string   `enum:"none,regression" default:"none" help:"none, or regression: exit with 1 when the change is worse."`

	Nsys    string        `name:"nsys" placeholder:"PATH" help:"The nsys program for --captures."`
	Engine  string        `placeholder:"NAME@VERSION" help:"The engine, where its installation does not tell (vllm@0.24.0)."`
	Startup time.Duration `default:"15m" help:"How long a server may take to start."`
	AnyGPU  bool          `name:"any-gpu" help:"Go on where no GPU is visible."`
	loadFlags
}

// Run executes the verb.
func (c *tryCmd) Run(e *env) error {
	o, err := c.options(e)
	if err != nil {
		return err
	}
	if c.DryRun {
		plan, err := experiment.MakePlan(e.ctx, o)
		if err != nil {
			return err
		}
		return c.writePlan(e, plan)
	}
	bar := e.progress()
	r, err := experiment.Run(e.ctx, o, func(ev capture.Event) { bar.update(string(ev.Stage)+": "+ev.Text, ev.Done, ev.Total) })
	bar.done()
	var unwritten *experiment.WriteError // the result stands, and is all that the user gets
	if err != nil && !errors.As(err, &unwritten) {
		return captureError(err)
	}
	if c.Format == "json" {
		err = report.JSON(e.stdout, tryJSON(r))
	} else {
		err = c.write(e.stdout, r, colour(e.stdout))
	}
	switch {
	case err != nil:
		return err
	case unwritten != nil:
		return unwritten
	case r.Interrupted:
		return errors.New("interrupted: the result covers the rounds that were complete")
	case c.FailOn == "regression" && r.Verdict == "worse":
		return errRegression
	}
	return nil
}

// options translates the flags.
func (c *tryCmd) options(e *env) (o experiment.Options, err error) {
	o = experiment.Options{Argv: e.command, Changes: c.Changes, Force: c.Force, Repeats: c.Repeat, Bursts: c.Bursts, Goal: c.Goal, MinEffect: c.Min,
		Text: c.Text, AnyGPU: c.AnyGPU, Startup: c.Startup, Dir: c.Keep, CaptureDir: c.Capture, Tool: diagnose.Tool{Name: "stepscope", Version: e.version},
		Load: func(url string) (bench.Config, func(), error) { return c.config(url) }}
	if c.Engine != "" {
		engine, err := parseEngine(c.Engine)
		if err != nil {
			return o, err
		}
		o.Engine = engine
	}
	if c.Advice != "" {
		a, err := c.advised(e, o.Engine)
		if err != nil {
			return o, err
		}
		o.Changes, o.Predicted, o.Advised = []string{a.change}, a.predicted, a.server
		if len(o.Argv) == 0 {
			if o.Argv, err = a.command(c.Advice); err != nil {
				return o, err
			}
			fmt.Fprintf(e.stderr, "stepscope: no command was given: the server of %s is started\n", c.Advice)
		}
	}
	if c.Capture != "" {
		path, version, err := nsys.FindNsys(e.ctx, c.Nsys)
		if err != nil {
			return o, fmt.Errorf("--captures: %w", err)
		}
		o.Capture = capture.Options{Profiler: capture.Nsys, Nsys: capture.Program{Path: path, Version: version}}
	}
	if !c.NoWrite {
		o.Ledger = ledger.Open(c.Dir)
	}
	return o, nil
}

// advised is a change that a diagnosis advises, with the server that it was made for.
type advised struct {
	change    string
	predicted *ledger.Prediction
	server    *experiment.Advised
}

// command is the server's own command, without what was set for the capture.
func (a advised) command(from string) ([]string, error) {
	s := a.server.Settings
	switch {
	case s == nil || s.Model == "":
		return nil, fmt.Errorf("%s does not say how its server was started: write the command behind --, for example: -- vllm serve MODEL", from)
	case slices.ContainsFunc(s.Argv(), func(w string) bool { return strings.Contains(w, knob.Masked) }):
		return nil, fmt.Errorf("%s has the server's command with its secrets masked: write the command behind --", from)
	}
	return s.Serving().Argv(), nil
}

// advised reads a diagnosis, or makes one, and returns what it advises: the first advice that names a knob, or, where a
// change was asked for, that change with the prediction for it.
func (c *tryCmd) advised(e *env, engine knob.Engine) (advised, error) {
	if len(c.Changes) > 1 {
		return advised{}, errors.New("--advice predicts one change, and several were given")
	}
	d, settings, err := c.diagnosis(e)
	if err != nil {
		return advised{}, err
	}
	server := &experiment.Advised{Settings: settings, Engine: knob.Engine{Name: strings.ToLower(d.Engine.Name), Version: d.Engine.Version}}
	if len(d.Profile.GPU) > 0 {
		server.GPUName, server.GPUMemory = d.Profile.GPU[0].Name, d.Profile.GPU[0].Memory
	}
	var others []string
	for _, f := range d.Findings {
		for _, a := range f.Advice {
			change, p, ok := experiment.FromAdvice(a)
			switch {
			case !ok:
			case len(c.Changes) == 0 || experiment.SameChange(change, c.Changes[0], engine):
				if f.ID == diagnose.MemoryGrowth && c.Goal == "" && !c.Force {
					return advised{}, fmt.Errorf("reading %s: %s is advised against memory that grows, and a trial of minutes judged by %s proves nothing about a leak: "+
						"capture the server with the change and diagnose it, or name a --goal", c.Advice, change, experiment.DefaultGoal)
				}
				server.From = a.From
				return advised{change, p, server}, nil
			default:
				others = append(others, change)
			}
		}
	}
	if len(others) > 0 {
		return advised{}, fmt.Errorf("reading %s: the diagnosis does not advise %s but %s; leave out --advice to try it without a prediction", c.Advice, c.Changes[0], strings.Join(others, ", "))
	}
	return advised{}, fmt.Errorf("reading %s: the diagnosis advises no change of a server option", c.Advice)
}

// diagnosis returns it with the settings of the server that was captured, nil where they are not known.
func (c *tryCmd) diagnosis(e *env) (*diagnose.Diagnosis, *knob.Settings, error) {
	if strings.HasSuffix(c.Advice, ".json") {
		b, err := os.ReadFile(c.Advice)
		if err != nil {
			return nil, nil, fmt.Errorf("reading %s: %w", c.Advice, pathCause(err))
		}
		var d diagnose.Diagnosis
		if err := json.Unmarshal(b, &d); err == nil && d.Schema == diagnose.Schema {
			return &d, nil, nil
		}
	}
	in, err := e.openInput(c.Advice, readOptions{Nsys: c.Nsys})
	if err != nil {
		return nil, nil, err
	}
	res, err := e.diagnose(in, contextFlags{Engine: c.Engine})
	if err != nil {
		return nil, nil, err
	}
	if res.Situation.Settings.Empty() {
		return res.Diagnosis, nil, nil
	}
	return res.Diagnosis, &res.Situation.Settings, nil
}

func (c *tryCmd) writePlan(e *env, p *experiment.Plan) error {
	if c.Format == "json" {
		return report.JSON(e.stdout, struct {
			Schema string `json:"schema"`
			*experiment.Plan
		}{trySchema, p})
	}
	w := e.stdout
	for _, ch := range p.Changes {
		paragraph(w, "", ch)
	}
	fmt.Fprintf(w, "before: %s\nafter:  %s\n", p.Before, p.After)
	fmt.Fprintf(w, "%d starts of each side in turns, %d loads each; judged by %s\n", p.Repeats, p.Bursts, p.Goal)
	if q := p.Predicted; q != nil && q.Before != nil && q.After != nil {
		fmt.Fprintf(w, "predicted: %s %.4g -> %.4g %s\n", q.Metric, *q.Before, *q.After, q.Unit)
	}
	for _, r := range p.Risk {
		paragraph(w, "risk: ", r)
	}
	for _, n := range p.Warnings {
		paragraph(w, "note: ", n)
	}
	_, err := fmt.Fprintln(w, "Nothing was started.")
	return err
}

// write prints the verdict, the prediction beside the measurement, what it cost elsewhere, and the comparison.
func (c *tryCmd) write(w io.Writer, r *experiment.Result, colour bool) error {
	names := make([]string, len(r.Changes))
	for i, ch := range r.Changes {
		names[i] = fmt.Sprintf("%s: %s -> %s", ch.Name, ch.From, ch.To())
	}
	paragraph(w, "", strings.Join(names, ", "))
	paragraph(w, "", strings.ToUpper(string(r.Verdict))+": "+r.Reason)
	if m := r.Measured; m != nil && m.Before != nil && m.After != nil {
		fmt.Fprintf(w, "measured:  %s %.4g -> %.4g %s\n", m.Metric, *m.Before, *m.After, m.Unit)
		if p := r.Predicted; p != nil && p.Before != nil && p.After != nil {
			fmt.Fprintf(w, "predicted: %s %.4g -> %.4g %s%s\n", p.Metric, *p.Before, *p.After, p.Unit, offText(r))
		}
	}
	for _, s := range r.SideEffects {
		if s.Verdict == "worse" || s.Verdict == "unclear" && s.Name == "answers_equal_share" {
			paragraph(w, "watch:     ", fmt.Sprintf("%s %s: %s", s.Name, s.Verdict, s.Text))
		}
	}
	for _, n := range r.Warnings {
		paragraph(w, "note: ", n)
	}
	if !r.DoesNotRun { // there is no other side to compare with
		fmt.Fprintln(w)
		if err := report.CompareText(w, r.Comparison, report.TextOptions{Colour: colour}); err != nil {
			return err
		}
	}
	if r.Change != nil {
		fmt.Fprintf(w, "\nwritten down as %s; stepscope ledger --dir %s shows the story\n", r.Change.Entry.ID, c.Dir)
	}
	for _, dir := range r.Captures {
		fmt.Fprintf(w, "capture: %s\n", dir)
	}
	return nil
}

// offText says how far the measurement lies from the prediction, as the ledger counts it.
func offText(r *experiment.Result) string {
	off, in := ledger.PredictionError(r.Predicted, r.Measured)
	if off == nil {
		return ""
	}
	text := fmt.Sprintf("; the measured change is %+.1f %% off", 100**off)
	if in != nil {
		text += map[bool]string{true: ", within", false: ", outside"}[*in] + " the predicted range"
	}
	return text
}

// tryJSON is the result as try prints it; the ledger's entries are what is kept.
func tryJSON(r *experiment.Result) any {
	type change struct {
		Knob string `json:"knob"`
		From string `json:"from"`
		To   string `json:"to"`
	}
	out := struct {
		Schema      string              `json:"schema"`
		Changes     []change            `json:"changes"`
		Rounds      int                 `json:"rounds"`
		Goal        string              `json:"goal"`
		Verdict     string              `json:"verdict"`
		Reason      string              `json:"reason"`
		Predicted   *ledger.Prediction  `json:"predicted,omitempty"`
		Measured    *ledger.Measurement `json:"measured,omitempty"`
		SideEffects []ledger.SideEffect `json:"side_effects"`
		Warnings    []string            `json:"warnings"`
		Interrupted bool                `json:"interrupted,omitempty"`
		Entry       string              `json:"entry,omitempty"`
		Captures    []string            `json:"captures,omitempty"`
		Comparison  *compare.Comparison `json:"comparison"`
	}{trySchema, []change{}, r.Rounds, r.Goal, string(r.Verdict), r.Reason, r.Predicted, r.Measured, r.SideEffects, r.Warnings, r.Interrupted, "", r.Captures, r.Comparison}
	for _, c := range r.Changes {
		out.Changes = append(out.Changes, change{c.Name, c.From, c.To()})
	}
	if r.Change != nil {
		out.Entry = r.Change.Entry.ID
	}
	return out
}
