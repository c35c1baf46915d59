package experiment

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/capture"
	"github.com/stepscope/stepscope/compare"
	"github.com/stepscope/stepscope/knob"
	"github.com/stepscope/stepscope/ledger"
	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/stat"
)

// sideOf names the two sides.
type sideOf int

const (
	baseline sideOf = iota
	changed
)

func (s sideOf) String() string { return [...]string{"baseline", "change"}[s] }

// experiment is a run with every decision taken.
type experiment struct {
	o        Options
	changes  []Change
	settings [2]knob.Settings
	engine   knob.Engine
	url      string
	goal     string
	plan     stat.Plan
	gpus     []capture.GPUInfo
	smi      string
	dir      string
	progress Progress

	rounds   []compare.Round
	answers  [2][]answers
	gpusUsed int
	model    string
	load     string
	runs     [2]*serving.Run // the first of each side
	broken   *capture.Failure
	warnings []string
}

// Plan says what an experiment would do, secrets masked.
type Plan struct {
	Before  string   `json:"before"` // command lines
	After   string   `json:"after"`
	Changes []string `json:"changes"`
	Goal    string   `json:"goal"`
	Repeats int      `json:"repeats"`
	Bursts  int      `json:"bursts"`
	// Predicted is what was foretold about the goal, nil without a prediction.
	Predicted *ledger.Prediction `json:"predicted,omitempty"`
	Risk      []string           `json:"risk,omitempty"`
	Warnings  []string           `json:"warnings,omitempty"`
}

// MakePlan takes every decision without starting anything.
func MakePlan(ctx context.Context, o Options) (*Plan, error) {
	x, err := resolve(ctx, o, nil)
	if err != nil {
		return nil, err
	}
	if o.Ledger != nil {
		if err := o.Ledger.Check(ctx); err != nil {
			return nil, err
		}
	}
	p := &Plan{Before: x.settings[baseline].String(), After: x.settings[changed].String(), Goal: x.goal, Repeats: x.o.Repeats, Bursts: x.o.Bursts, Predicted: x.o.Predicted, Warnings: x.warnings}
	if x.o.Repeats == 1 {
		p.Warnings = append(p.Warnings, "one start a side: no test is possible, as what another start of the same server would change is not known; --repeat 2 or more allows one")
	}
	for _, c := range x.changes {
		p.Changes = append(p.Changes, fmt.Sprintf("%s: %s -> %s", c.Name, c.From, c.To()))
		if c.Risk != "" {
			p.Risk = append(p.Risk, c.Name+": "+c.Risk)
		}
	}
	return p, nil
}

// resolve takes the decisions.
func resolve(ctx context.Context, o Options, progress Progress) (*experiment, error) {
	if o.Load == nil {
		return nil, errors.New("no load was given")
	}
	if len(o.Argv) == 0 {
		return nil, errors.New("no server command was given; write it behind --, for example: -- vllm serve MODEL")
	}
	if len(o.Changes) == 0 {
		return nil, fmt.Errorf("%w was named: write KNOB=VALUE, for example quantization=fp8", ErrKnob)
	}
	if len(o.Changes) > 1 && !o.Force {
		return nil, fmt.Errorf("%w (%s): changed together they prove nothing about either; try one, or use --force", ErrTwoKnobs, strings.Join(o.Changes, ", "))
	}
	if o.Repeats <= 0 {
		o.Repeats = DefaultRepeats
	}
	if o.Bursts <= 0 {
		o.Bursts = DefaultBursts
	}
	if o.MinEffect <= 0 {
		o.MinEffect = compare.Defaults().Repeats
	}
	x := &experiment{o: o, progress: progress, engine: o.Engine, goal: o.Goal}
	s, err := capture.ParseCommand(o.Argv, o.Engine)
	if err != nil {
		return nil, err
	}
	if x.engine.Name == "" {
		x.engine = s.Engine
	}
	if x.engine.Version == "" {
		env, argv := capture.SplitEnv(o.Argv)
		x.engine.Version = capture.EngineVersion(ctx, x.engine, argv, env)
	}
	if x.engine.Version == "" {
		x.warnings = append(x.warnings, "the engine's version is not known: whether it has the knob was not checked")
	}
	s.Engine = x.engine
	x.settings = [2]knob.Settings{s, s}
	for _, text := range o.Changes {
		c, err := ParseChange(text, x.engine, o.Force)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(x.changes, func(d Change) bool { return d.Name == c.Name }) {
			return nil, fmt.Errorf("%s is changed twice", c.Name)
		}
		if x.settings[changed], err = c.apply(x.settings[changed], x.engine); err != nil {
			return nil, err
		}
		if o.Advised != nil {
			switch note, err := o.Advised.check(c.Name, s, x.engine); {
			case err != nil && !o.Force:
				return nil, fmt.Errorf("%w: give the captured server's own command, or --force to try %s without a prediction", err, c)
			case err != nil:
				x.warnings = append(x.warnings, strings.TrimPrefix(err.Error(), ErrOtherStart.Error()+": ")+": its prediction was left out")
				if x.goal == "" && o.Predicted != nil {
					x.goal = o.Predicted.Metric
				}
				x.o.Predicted = nil
			case note != "":
				x.warnings = append(x.warnings, note)
			}
		}
		if c.Doubt != "" {
			x.warnings = append(x.warnings, c.Doubt)
		}
		x.changes = append(x.changes, c)
	}
	if len(x.changes) > 1 {
		x.warnings = append(x.warnings, fmt.Sprintf("%d knobs were changed at once: the result proves nothing about either", len(x.changes)))
	}
	x.url = capture.ServerURL(s)
	if other := capture.ServerURL(x.settings[changed]); other != x.url {
		return nil, fmt.Errorf("%w: %s only moves the server to %s", ErrNoChange, x.changes[0], other)
	}
	return x, x.chooseGoal()
}

func (x *experiment) chooseGoal() error {
	if x.goal == "" && x.o.Predicted != nil {
		x.goal = x.o.Predicted.Metric
	}
	if x.goal == "" {
		x.goal = DefaultGoal
	}
	if _, _, _, ok := compare.RunValues(nil, x.goal); !ok {
		return fmt.Errorf("no metric %q to aim at; for example output_tokens_per_s, tpot_ms, itl_ms, ttft_ms, e2e_ms", x.goal)
	}
	x.plan = stat.NewPlan(x.o.Repeats, 0)
	return nil
}

// A WriteError says that a finished experiment could not be written down. The Result that comes with it stands.
type WriteError struct {
	Err    error
	Ledger string // its folder
	Folder string // where logs and benchmark results of every start are
}

func (e *WriteError) Error() string {
	return fmt.Sprintf("the result was not written to the ledger %s: %v; logs and benchmark results of every start are in %s", e.Ledger, e.Err, e.Folder)
}

func (e *WriteError) Unwrap() error { return e.Err }

// Run makes the experiment. An error means that nothing could be measured, except a *WriteError, with which the result is returned; a
// change that does not run is no error. When it returns, every server has ended. Stopped after a complete round, it returns and
// writes down what it has.
func Run(ctx context.Context, o Options, progress Progress) (res *Result, err error) {
	x, err := resolve(ctx, o, progress)
	if err != nil {
		return nil, err
	}
	if x.gpus, x.smi, err = capture.CheckGPU(ctx, o.NvidiaSMI, o.AnyGPU); err != nil {
		return nil, err
	}
	if x.dir = o.Dir; x.dir == "" {
		if x.dir, err = os.MkdirTemp("", "stepscope-try-"); err != nil {
			return nil, fmt.Errorf("making a temporary folder: %w", err)
		}
		defer func() {
			var w *WriteError
			if !errors.As(err, &w) { // what could not be written down is there, and nowhere else
				os.RemoveAll(x.dir)
			}
		}()
	} else if err := emptyFolder(x.dir); err != nil {
		return nil, err
	}
	if o.Ledger != nil {
		// Starts of a server take minutes: a ledger that takes no result is better found before them.
		if err := o.Ledger.Probe(ctx); err != nil {
			return nil, err
		}
	}
	decision, err := x.measure(ctx)
	interrupted := false
	if err != nil {
		if x.complete() == 0 {
			return nil, err
		}
		// What was measured until then stands, and is worth writing down.
		interrupted = true
		why := "interrupted"
		if !capture.IsInterrupted(err) {
			why = "stopped by a failure of the baseline (" + err.Error() + ")"
		}
		x.warn("%s after %d of %d rounds", why, x.complete(), x.o.Repeats)
	}
	res = x.result(decision, interrupted)
	if o.CaptureDir != "" && !interrupted && x.broken == nil {
		x.captures(ctx, res)
	}
	if o.Ledger != nil {
		// What was measured is written down, whatever stops the program meanwhile.
		if err := x.writeDown(context.WithoutCancel(ctx), res); err != nil {
			w := &WriteError{Err: err, Ledger: o.Ledger.Dir(), Folder: x.dir}
			x.warn("%v", w)
			res.Warnings = x.warnings
			return res, w
		}
	}
	return res, nil
}

// complete counts the rounds with both sides.
func (x *experiment) complete() (n int) {
	for _, r := range x.rounds {
		if len(r.Before.Runs) > 0 && len(r.After.Runs) > 0 {
			n++
		}
	}
	return n
}

// measure makes the rounds until the plan stops it. Every second round begins with the change, so that a machine that gets
// faster or slower meanwhile favours neither side; the first begins with the baseline, which must run.
func (x *experiment) measure(ctx context.Context) (stat.Decision, error) {
	var d stat.Decision
	for i := range x.o.Repeats {
		x.rounds = append(x.rounds, compare.Round{})
		r := &x.rounds[i]
		order := []sideOf{baseline, changed}
		if i%2 == 1 {
			slices.Reverse(order)
		}
		for _, side := range order {
			start, err := x.start(ctx, i, side)
			var f *capture.Failure
			switch {
			case err == nil && side == baseline:
				r.Before = start
			case err == nil:
				r.After = start
			case side == changed && errors.As(err, &f) && !capture.IsInterrupted(err):
				x.broken = f // a result: the change does not run
				return d, nil
			default:
				return d, err
			}
		}
		before, after, dir, _ := compare.RunValues(x.rounds, x.goal)
		if d = x.plan.Decide(before, after, dir, x.o.MinEffect); d.Stop {
			break
		}
	}
	return d, nil
}

func (x *experiment) warn(format string, args ...any) {
	text := ledger.MaskText(fmt.Sprintf(format, args...))
	if !slices.Contains(x.warnings, text) {
		x.warnings = append(x.warnings, text)
	}
}

// emptyFolder makes a folder; one that holds something is the user's.
func emptyFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("writing %s: %w", dir, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("reading %s: %w", dir, err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty: name another folder", dir)
	}
	return nil
}
