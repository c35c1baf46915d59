package experiment

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/bench"
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
	p := &Plan{Before: x.settings[baseline].String(), After: x.settings[changed].String(), Goal: x.goal, Repeats: x.o.Repeats, Bursts: x.o.Bursts, Predicted: x.o.Predicted, Warnings: x.warnings}
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

// Run makes the experiment. An error means that nothing could be measured; a change that does not run is no error. When it
// returns, every server has ended. Stopped after a complete round, it returns and writes down what it has.
func Run(ctx context.Context, o Options, progress Progress) (*Result, error) {
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
		defer os.RemoveAll(x.dir)
	} else if err := emptyFolder(x.dir); err != nil {
		return nil, err
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
	res := x.result(decision, interrupted)
	if o.CaptureDir != "" && !interrupted && x.broken == nil {
		x.captures(ctx, res)
	}
	if o.Ledger != nil {
		// What was measured is written down, whatever stops the program meanwhile.
		if err := x.writeDown(context.WithoutCancel(ctx), res); err != nil {
			return res, err
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

// measure makes the rounds until the plan stops it.
func (x *experiment) measure(ctx context.Context) (stat.Decision, error) {
	var d stat.Decision
	for i := range x.o.Repeats {
		var r compare.Round
		start, err := x.start(ctx, i, baseline)
		if err != nil {
			return d, err
		}
		r.Before = start
		x.rounds = append(x.rounds, r)
		start, err = x.start(ctx, i, changed)
		if err != nil {
			var f *capture.Failure
			if errors.As(err, &f) && !capture.IsInterrupted(err) {
				x.broken = f // a result: the change does not run
				return d, nil
			}
			return d, err
		}
		x.rounds[i].After = start
		before, after, dir, _ := compare.RunValues(x.rounds, x.goal)
		if d = x.plan.Decide(before, after, dir, x.o.MinEffect); d.Stop {
			break
		}
	}
	return d, nil
}

// start starts one server, asks it for answers, sends the bursts and ends it.
func (x *experiment) start(ctx context.Context, round int, s sideOf) (out compare.Start, err error) {
	title := fmt.Sprintf("%s %d of %d", s, round+1, x.o.Repeats)
	dir := filepath.Join(x.dir, fmt.Sprintf("%s-%d", s, round+1))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return out, fmt.Errorf("writing %s: %w", dir, err)
	}
	log := filepath.Join(dir, "server.log")
	env, argv := capture.SplitEnv(x.settings[s].Argv())
	sampler := capture.StartSampler(ctx, x.smi)
	named := named(x.progress, title)
	sampler.Mark(capture.Starting)
	srv, err := capture.StartServer(ctx, capture.ServerSpec{Argv: argv, Env: env, Log: log, URL: x.url, Startup: x.o.Startup}, named)
	if err != nil {
		sampler.Finish()
		return out, x.failure(err, dir, log)
	}
	sampler.Follow(srv)
	var samples *capture.Samples
	end := func() {
		if samples == nil {
			srv.Stop(ctx)
			samples = sampler.Finish()
		}
	}
	defer end()
	err = x.serve(ctx, srv, sampler, s, round, dir, named, &out)
	end()
	if err != nil {
		return out, x.failure(err, dir, log)
	}
	if x.gpusUsed == 0 {
		x.gpusUsed = len(samples.GPUs())
	}
	out.Usage = samples.Usage(capture.Measuring)
	if out.Usage == nil {
		out.Usage = &compare.Usage{}
	}
	out.Usage.StartupS = &srv.StartupS
	return out, x.readLog(log, &out, s)
}

// failure keeps the log of a failed start where the user finds it.
func (x *experiment) failure(err error, dir, log string) error {
	var f *capture.Failure
	if !errors.As(err, &f) {
		return fmt.Errorf("%s: %w", filepath.Base(dir), err)
	}
	if x.o.Dir == "" && f.Log == log {
		f.Log = "" // the folder goes with the experiment
	}
	f.Text = filepath.Base(dir) + ": " + f.Text
	return err
}

// named puts a title in front of the texts of events.
func named(p Progress, title string) Progress {
	if p == nil {
		return nil
	}
	return func(e capture.Event) {
		e.Text = title + ": " + e.Text
		p(e)
	}
}

// serve asks for answers and sends the bursts.
func (x *experiment) serve(ctx context.Context, srv *capture.Server, sampler *capture.Sampler, s sideOf, round int, dir string, progress Progress, out *compare.Start) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-srv.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	for i := range x.o.Bursts {
		folder := filepath.Join(dir, fmt.Sprintf("burst-%d", i+1))
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return fmt.Errorf("writing %s: %w", folder, err)
		}
		res, err := x.burst(ctx, srv, sampler, round*x.o.Bursts+i, i == 0, folder, progress)
		if err != nil {
			return err
		}
		sampler.Mark("")
		run, err := serving.LoadFolder(os.DirFS(folder))
		if err != nil {
			return fmt.Errorf("reading %s: %w", folder, err)
		}
		out.Runs = append(out.Runs, run)
		if x.model == "" {
			x.model = res.Model
		}
		if x.runs[s] == nil {
			x.runs[s] = run
		}
	}
	x.ask(ctx, s)
	return srv.Alive(capture.Measuring)
}

// burst sends one load between two readings of /metrics. The prompts are the same on both sides, and new in every burst.
func (x *experiment) burst(ctx context.Context, srv *capture.Server, sampler *capture.Sampler, number int, warm bool, folder string, progress Progress) (*bench.Result, error) {
	cfg, closeLoad, err := x.config()
	if err != nil {
		return nil, err
	}
	defer closeLoad()
	cfg.Seed += uint64(number) << 32
	if !warm {
		cfg.Warmup = -1
	}
	if x.load == "" {
		x.load = loadText(cfg)
	}
	metrics := false
	res, err := bench.Run(ctx, cfg, func(e bench.Event) {
		if e.Phase == bench.Measuring && e.Done == 0 {
			metrics = srv.Metrics(ctx, string(cfg.Key), filepath.Join(folder, "metrics_before.txt")) == nil
			sampler.Mark(capture.Measuring)
		}
		if progress != nil {
			progress(capture.Event{Stage: stageOf(e.Phase), Text: string(e.Phase), Done: int64(e.Done), Total: int64(e.Total)})
		}
	})
	stopped := ctx.Err() // looked at first: the end of the server ends ctx too
	dead := srv.Alive(capture.Measuring)
	if dead == nil && stopped == nil && (err != nil || res.Failed > 0) {
		dead = srv.Failed(capture.Measuring)
	}
	switch {
	case dead != nil:
		return nil, dead
	case stopped != nil:
		return nil, &capture.Failure{Stage: capture.Measuring, Kind: stopped, Text: "stopped during the load"}
	case err != nil:
		return nil, &capture.Failure{Stage: capture.Measuring, Kind: capture.ErrLoad, Text: ledger.MaskText(err.Error())}
	case res.Completed == 0:
		return nil, &capture.Failure{Stage: capture.Measuring, Kind: capture.ErrLoad, Text: "no request completed"}
	}
	if !metrics || srv.Metrics(ctx, string(cfg.Key), filepath.Join(folder, "metrics_after.txt")) != nil {
		os.Remove(filepath.Join(folder, "metrics_before.txt"))
	}
	f, err := os.Create(filepath.Join(folder, "bench.json"))
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", folder, err)
	}
	err = res.WriteJSON(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", folder, err)
	}
	return res, nil
}

func stageOf(p bench.Phase) capture.Stage {
	if p == bench.Measuring {
		return capture.Measuring
	}
	return capture.WarmingUp
}

// config makes the configuration of a burst.
func (x *experiment) config() (bench.Config, func(), error) {
	cfg, closeLoad, err := x.o.Load(x.url)
	if closeLoad == nil {
		closeLoad = func() {}
	}
	if err != nil {
		closeLoad()
		return cfg, func() {}, err
	}
	cfg.URL = x.url
	if cfg.Key == "" {
		cfg.Key = bench.Secret(capture.APIKey(x.settings[baseline]))
	}
	return cfg, closeLoad, nil
}

// ask collects the answers to the fixed prompts. A server that answers none is no failure: the check is then not made.
func (x *experiment) ask(ctx context.Context, s sideOf) {
	cfg, closeLoad, err := x.config()
	if err != nil {
		return
	}
	closeLoad()
	a, err := ask(ctx, cfg, x.model)
	if err != nil {
		if ctx.Err() == nil {
			x.warn("answers at temperature 0 were not compared: %v", err)
		}
		return
	}
	x.answers[s] = append(x.answers[s], a)
}

func (x *experiment) warn(format string, args ...any) {
	text := ledger.MaskText(fmt.Sprintf(format, args...))
	if !slices.Contains(x.warnings, text) {
		x.warnings = append(x.warnings, text)
	}
}

// readLog takes engine and capacity from the log of a start that has ended, and masks it.
func (x *experiment) readLog(path string, out *compare.Start, s sideOf) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	defer f.Close()
	log, err := serving.ReadLog(filepath.Base(path), f)
	if err != nil {
		x.warn("the log of a %s says nothing that is known here", s)
		return nil
	}
	for _, r := range out.Runs {
		r.Log, r.Engine = log, log.Engine
	}
	return x.maskFile(path)
}

// maskFile takes secrets out of a log.
func (x *experiment) maskFile(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	masked := x.maskLines(string(b))
	if masked == string(b) {
		return nil
	}
	if err := os.WriteFile(path, []byte(masked), 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
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

// loadText describes a load in a few words.
func loadText(c bench.Config) string {
	requests := c.Requests
	if requests == 0 {
		requests = bench.DefaultRequests
	}
	how := fmt.Sprintf("%d clients", max(c.Concurrency, 1))
	if c.Rate > 0 {
		how = fmt.Sprintf("%g requests/s", c.Rate)
	}
	in, out := "prompts of "+filepath.Base(c.Prompts.Name), ""
	if c.Prompts.Text == nil && c.Prompts.JSONL == nil {
		n := c.Prompts.InputLen
		if n == 0 {
			n = bench.DefaultInputLen
		}
		in = fmt.Sprintf("%d in", n)
	}
	n := c.OutputLen
	if n == 0 && c.Prompts.JSONL == nil {
		n = bench.DefaultOutputLen
	}
	if n > 0 {
		out = fmt.Sprintf(", %d out", n)
	}
	return fmt.Sprintf("%d requests, %s, %s%s", requests, how, in, out)
}
