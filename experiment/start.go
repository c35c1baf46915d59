package experiment

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/stepscope/stepscope/bench"
	"github.com/stepscope/stepscope/capture"
	"github.com/stepscope/stepscope/compare"
	"github.com/stepscope/stepscope/ledger"
	"github.com/stepscope/stepscope/serving"
)

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

// loadText describes a load in a few words.
func loadText(c bench.Config) string {
	requests := c.Requests
	if requests == 0 {
		requests = bench.DefaultRequests
	}
	how := fmt.Sprintf("%d clients", max(c.Concurrency, 1))
	if c.Rate > 0 {
		how = fmt.Sprintf("%g requests/s", c.Rate)
		if c.Concurrency > 0 {
			how += fmt.Sprintf(" with at most %d in flight", c.Concurrency)
		}
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
