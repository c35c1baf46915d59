package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/stepscope/stepscope/bench"
	"github.com/stepscope/stepscope/report"
)

// loadFlags describe a load; bench, capture and try share them.
type loadFlags struct {
	Model       string        `placeholder:"M" help:"Model to ask for (default: the first that the server lists)."`
	API         string        `name:"api" enum:"completions,chat" default:"completions" help:"completions or chat."`
	Requests    int           `default:"20" help:"Measured requests."`
	Concurrency *int          `placeholder:"N" help:"Clients of the closed loop (default: 8); with --rate a bound on requests in flight (default: none)."`
	Rate        float64       `placeholder:"R" help:"Open loop: Poisson arrivals of so many requests per second."`
	Warmup      int           `default:"0" help:"Requests before the measured ones (0: one for each client, -1: none)."`
	InputLen    int           `default:"512" help:"Tokens of a random prompt."`
	OutputLen   int           `placeholder:"N" help:"Tokens asked for (default: the lengths that come with the prompts of a file, else 128)."`
	StopAtEOS   bool          `help:"Let the model stop by itself."`
	Prompts     string        `placeholder:"F" help:"Prompts from a file: .jsonl (ShareGPT-like) or text, one a line."`
	Seed        uint64        `default:"1" help:"Seed of prompts and arrivals."`
	Timeout     time.Duration `default:"10m" help:"Bound on one request."`
	GPUs        int           `name:"gpus" placeholder:"N" help:"GPUs of the server, for tokens per second and GPU."`
	SLO         []string      `name:"slo" sep:"," placeholder:"ttft:200" help:"Bounds in ms for goodput: ttft, tpot, itl, e2e."`
	KeyEnv      string        `placeholder:"VAR" help:"Environment variable with the API key (default: OPENAI_API_KEY, where it is set)."`
}

// config translates the flags; close releases the prompt file.
func (f *loadFlags) config(url string) (cfg bench.Config, closeFile func(), err error) {
	closeFile = func() {}
	if f.Requests < 1 {
		return cfg, closeFile, fmt.Errorf("--requests %d: send at least 1", f.Requests)
	}
	key := os.Getenv("OPENAI_API_KEY")
	if f.KeyEnv != "" {
		if key = os.Getenv(f.KeyEnv); key == "" {
			return cfg, closeFile, fmt.Errorf("--key-env %s: the environment variable %s is not set", f.KeyEnv, f.KeyEnv)
		}
	}
	concurrency := 0
	switch {
	case f.Concurrency != nil:
		concurrency = *f.Concurrency
	case f.Rate == 0: // an open loop asks for no bound: it sends whether the server keeps up or not
		concurrency = bench.DefaultConcurrency
	}
	cfg = bench.Config{URL: url, API: bench.API(f.API), Model: f.Model, Key: bench.Secret(key), Requests: f.Requests,
		Concurrency: concurrency, Rate: f.Rate, Warmup: f.Warmup, Seed: f.Seed, OutputLen: f.OutputLen, StopAtEOS: f.StopAtEOS,
		Timeout: f.Timeout, GPUs: f.GPUs, Prompts: bench.Prompts{InputLen: f.InputLen}}
	for _, s := range f.SLO {
		name, v, _ := strings.Cut(s, ":")
		ms, err := strconv.ParseFloat(v, 64)
		if err != nil || !(ms > 0) || math.IsInf(ms, 0) {
			return cfg, closeFile, fmt.Errorf("--slo %s: write NAME:MS, for example ttft:200", s)
		}
		bound, ok := map[string]*float64{"ttft": &cfg.SLO.TTFTMS, "tpot": &cfg.SLO.TPOTMS, "itl": &cfg.SLO.ITLMS, "e2e": &cfg.SLO.E2EMS}[name]
		switch {
		case !ok:
			return cfg, closeFile, fmt.Errorf("--slo %s: the bounds are ttft, tpot, itl and e2e", s)
		case *bound > 0:
			return cfg, closeFile, fmt.Errorf("--slo %s: %s has a bound already, %g ms", s, name, *bound)
		}
		*bound = ms
	}
	if f.Prompts != "" {
		file, err := openRegular(f.Prompts)
		if err != nil {
			return cfg, closeFile, fmt.Errorf("reading %s: %w", f.Prompts, err)
		}
		closeFile = func() { file.Close() }
		cfg.Prompts.Name = base(f.Prompts)
		if strings.HasSuffix(f.Prompts, ".json") || strings.HasSuffix(f.Prompts, ".jsonl") {
			cfg.Prompts.JSONL = file
		} else {
			cfg.Prompts.Text = file
		}
	}
	return cfg, closeFile, nil
}

type benchCmd struct {
	URL    string `arg:"" help:"Base address of an OpenAI-compatible server."`
	Format string `short:"f" enum:"text,json" default:"text" help:"text, or json as vllm bench serve writes it."`
	Output string `short:"o" placeholder:"F" help:"Write the JSON result to a file."`
	loadFlags
}

// mostFailed is the error of a load of which little was measured: more than half of its requests failed.
func mostFailed(r *bench.Result) error {
	if 2*r.Failed <= r.NumPrompts {
		return nil
	}
	kind, n := commonest(r.Errors)
	return fmt.Errorf("%d of %d requests failed, most of them with %s (%d): the figures are of the %d that completed", r.Failed, r.NumPrompts, kind, n, r.Completed)
}

// Run executes the verb. What was measured is written in any case; the exit code is 2 when the run was interrupted or more than
// half of the requests failed, as the figures then are of what was left.
func (c *benchCmd) Run(e *env) error {
	cfg, closeFile, err := c.config(c.URL)
	if err != nil {
		return err
	}
	defer closeFile()
	bar := e.progress()
	res, err := bench.Run(e.ctx, cfg, func(ev bench.Event) {
		bar.update(string(ev.Phase), int64(ev.Done), int64(ev.Total))
	})
	bar.done()
	if err != nil {
		return err
	}
	if c.Output != "" {
		out, err := e.output(c.Output)
		if err != nil {
			return err
		}
		if err := out.close(res.WriteJSON(out)); err != nil {
			return err
		}
	}
	if c.Format == "json" {
		if c.Output == "" {
			err = res.WriteJSON(e.stdout)
		}
	} else {
		err = writeBench(e.stdout, res)
	}
	switch {
	case err != nil:
		return err
	case res.Interrupted:
		return errors.New("interrupted: the result covers the requests that ended before")
	case mostFailed(res) != nil:
		return mostFailed(res)
	case res.Completed == 0:
		return errors.New("no request completed")
	case res.Failed > 0 && c.Format == "json":
		kind, n := commonest(res.Errors)
		fmt.Fprintf(e.stderr, "stepscope: warning: %d of %d requests failed, most of them with %s (%d)\n", res.Failed, res.NumPrompts, kind, n)
	}
	return nil
}

// commonest is the kind of error that most requests had; of equal ones the first by name.
func commonest(errors map[bench.ErrorKind]int) (kind bench.ErrorKind, n int) {
	for k, v := range sortedCounts(errors) {
		if v > n {
			kind, n = k, v
		}
	}
	return kind, n
}

func writeBench(w io.Writer, r *bench.Result) error {
	load := fmt.Sprintf("%d clients", r.Concurrency)
	if r.Rate > 0 {
		load = fmt.Sprintf("%g requests/s", r.Rate)
		if r.Concurrency > 0 {
			load += fmt.Sprintf(" with at most %d in flight", r.Concurrency)
		}
	}
	paragraph(w, "", fmt.Sprintf("%s: %d of %d requests, %s, %s in, %s out, %s", r.Model, r.Completed, r.NumPrompts, load,
		lenText(r.InputLen, "prompts"), lenText(r.OutputLen, "lengths"), report.Dur(r.DurationNS)))
	seconds := float64(r.DurationNS) / 1e9
	if seconds > 0 {
		fmt.Fprintf(w, "  %.2f requests/s, %.1f output tokens/s", float64(r.Completed)/seconds, float64(r.OutputTokens)/seconds)
		if r.GPUs > 0 {
			fmt.Fprintf(w, " (%.1f per GPU)", float64(r.OutputTokens)/seconds/float64(r.GPUs))
		}
		fmt.Fprintln(w)
		if r.SLO != (bench.SLO{}) {
			fmt.Fprintf(w, "  goodput %.2f requests/s (%d within the bounds)\n", float64(r.Good)/seconds, r.Good)
		}
	}
	fmt.Fprintf(w, "  %-5s %9s %9s", "ms", "mean", "median")
	for _, p := range r.Percentiles {
		if p != 50 {
			fmt.Fprintf(w, " %9s", fmt.Sprintf("p%g", p))
		}
	}
	fmt.Fprintf(w, " %8s\n", "n")
	for _, l := range []struct {
		name string
		v    bench.Latency
	}{{"TTFT", r.TTFT}, {"TPOT", r.TPOT}, {"ITL", r.ITL}, {"E2E", r.E2E}} {
		if l.v.N == 0 {
			continue
		}
		fmt.Fprintf(w, "  %-5s %9.2f %9.2f", l.name, l.v.Mean, l.v.Median)
		for i, p := range r.Percentiles {
			if p != 50 && i < len(l.v.Percentiles) {
				fmt.Fprintf(w, " %9.2f", l.v.Percentiles[i])
			}
		}
		fmt.Fprintf(w, " %8d\n", l.v.N)
	}
	for kind, n := range sortedCounts(r.Errors) {
		fmt.Fprintf(w, "  error %s: %d\n", kind, n)
	}
	for _, wn := range r.Warnings {
		paragraph(w, "  note: ", wn.Text)
	}
	return nil
}

func lenText(n int, what string) string {
	if n == 0 {
		return what + " of a file"
	}
	return strconv.Itoa(n)
}
