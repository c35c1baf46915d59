package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/stepscope/stepscope/bench"
	"github.com/stepscope/stepscope/capture"
	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/profile/ncu"
	"github.com/stepscope/stepscope/profile/nsys"
	"github.com/stepscope/stepscope/report"
	"github.com/stepscope/stepscope/step"
)

type captureCmd struct {
	Out     string `short:"o" placeholder:"DIR" help:"Folder to make (default: capture-DATE-TIME)."`
	URL     string `name:"url" placeholder:"URL" help:"Load a server that runs already: benchmark and metrics, no profile."`
	DryRun  bool   `help:"Print what would happen and start nothing."`
	Format  string `short:"f" enum:"text,json" default:"text" help:"text or json."`
	NCUPlan string `name:"ncu-plan" placeholder:"PROFILE" help:"Print how to profile the kernels of PROFILE that matter with Nsight Compute, and start nothing."`

	Profiler    string        `enum:"nsys,torch,none" default:"nsys" help:"nsys, torch (the engine's own profiler) or none."`
	Nsys        string        `name:"nsys" placeholder:"PATH" help:"The nsys program (default: found on PATH and in the usual folders)."`
	Engine      string        `placeholder:"NAME@VERSION" help:"The engine, where its installation does not tell (vllm@0.24.0)."`
	Window      time.Duration `default:"0s" help:"How long to record (0: about 80 decode steps)."`
	Startup     time.Duration `default:"15m" help:"How long the server may take to start."`
	GraphLevel  bool          `help:"Record CUDA graphs as a whole: less overhead, no kernels inside."`
	GPUMetrics  bool          `name:"gpu-metrics" help:"Sample hardware counters (needs the permission for them)."`
	MemoryUsage bool          `help:"Record allocations."`
	OSRuntime   bool          `name:"osrt" help:"Record system calls."`
	Scopes      bool          `help:"Record the ranges of vLLM's scheduler (needs the nvtx Python package)."`
	NsysArg     []string      `name:"nsys-arg" sep:"none" placeholder:"ARG" help:"A further option for nsys profile; may be repeated."`
	KeepReport  bool          `help:"Keep the .nsys-rep. It holds the server's environment: do not share it."`
	AnyGPU      bool          `name:"any-gpu" help:"Go on where no GPU is visible."`
	loadFlags
}

// Run executes the verb. The exit code is 2, too, when most of a burst failed: the folder is whole, and of what was left.
func (c *captureCmd) Run(e *env) error {
	if c.NCUPlan != "" {
		return c.ncuPlan(e)
	}
	o, err := c.options(e)
	if err != nil {
		return err
	}
	if c.DryRun {
		plan, err := capture.MakePlan(e.ctx, o)
		if err != nil {
			return err
		}
		if c.Format == "json" {
			return report.JSON(e.stdout, plan)
		}
		return writePlan(e.stdout, plan)
	}
	bar := e.progress()
	res, err := capture.Run(e.ctx, o, func(ev capture.Event) { bar.update(string(ev.Stage)+": "+ev.Text, ev.Done, ev.Total) })
	bar.done()
	if err != nil {
		return captureError(err)
	}
	if c.Format == "json" {
		err = report.JSON(e.stdout, res.Manifest)
	} else {
		err = writeCapture(e.stdout, res)
	}
	for _, burst := range []struct {
		name string
		r    *bench.Result
	}{{"unprofiled", res.Measured}, {"profiled", res.Profiled}} {
		if err == nil && burst.r != nil {
			if failed := mostFailed(burst.r); failed != nil {
				err = fmt.Errorf("the %s burst: %w; the folder %s is whole", burst.name, failed, res.Folder)
			}
		}
	}
	return err
}

// options translates the flags.
func (c *captureCmd) options(e *env) (capture.Options, error) {
	command := e.command
	if len(command) == 0 && c.URL == "" {
		return capture.Options{}, errors.New("no server was given: write its command behind --, for example: stepscope capture -- vllm serve MODEL; or --url for one that runs")
	}
	o := capture.Options{Argv: command, URL: c.URL, Out: c.Out, Profiler: capture.Profiler(c.Profiler), Window: c.Window, Startup: c.Startup,
		GraphLevel: c.GraphLevel, GPUMetrics: c.GPUMetrics, MemoryUsage: c.MemoryUsage, OSRuntime: c.OSRuntime, Scopes: c.Scopes,
		NsysArgs: c.NsysArg, KeepReport: c.KeepReport, AnyGPU: c.AnyGPU, Tool: diagnose.Tool{Name: "stepscope", Version: e.version},
		Load: func(url string) (bench.Config, func(), error) { return c.config(url) }}
	if o.Out == "" {
		o.Out = "capture-" + time.Now().Format("20060102-150405")
	}
	if c.Engine != "" {
		engine, err := parseEngine(c.Engine)
		if err != nil {
			return o, err
		}
		o.Engine = engine
	}
	if o.Profiler == capture.Nsys && o.URL == "" {
		path, version, err := nsys.FindNsys(e.ctx, c.Nsys)
		switch {
		case err == nil:
			o.Nsys = capture.Program{Path: path, Version: version}
		case c.DryRun && c.Nsys == "":
			o.Nsys = capture.Program{Path: "nsys"} // a plan may be made where nothing is installed
		default:
			return o, fmt.Errorf("%w; or use --profiler torch", err)
		}
	}
	return o, nil
}

// captureError says where a failed run was, and what it left.
func captureError(err error) error {
	var f *capture.Failure
	switch {
	case capture.IsInterrupted(err) && errors.As(err, &f) && f.Folder != "":
		return fmt.Errorf("interrupted; everything that was started has ended, the unfinished folder is %s", f.Folder)
	case capture.IsInterrupted(err):
		return errors.New("interrupted; everything that was started has ended")
	}
	return err
}

func writePlan(w io.Writer, p *capture.Plan) error {
	for i, s := range p.Steps {
		paragraph(w, fmt.Sprintf("%d. ", i+1), fmt.Sprintf("%s: %s", s.Stage, s.Text))
		if s.Command != "" {
			fmt.Fprintf(w, "   $ %s\n", s.Command)
		}
	}
	for _, n := range p.Notes {
		paragraph(w, "note: ", n)
	}
	_, err := fmt.Fprintln(w, "Nothing was started.")
	return err
}

func writeCapture(w io.Writer, r *capture.Result) error {
	if r.Measured != nil {
		if err := writeBench(w, r.Measured); err != nil {
			return err
		}
	}
	m := r.Manifest
	for _, n := range m.Warnings {
		paragraph(w, "note: ", n)
	}
	var bytes int64
	for _, f := range m.Files {
		bytes += f.Bytes
	}
	fmt.Fprintf(w, "%s: %d files, %.1f MB\n", r.Folder, len(m.Files), float64(bytes)/1e6)
	if m.Profiler.Kind == capture.None {
		return nil
	}
	_, err := fmt.Fprintf(w, "next: stepscope diagnose %s\n", r.Folder)
	return err
}

// ncuPlan prints how to look into the kernels of a profile.
func (c *captureCmd) ncuPlan(e *env) error {
	in, err := e.openInput(c.NCUPlan, readOptions{Nsys: c.Nsys})
	if err != nil {
		return err
	}
	opt := ncu.PlanOptions{Model: c.Model}
	if opt.Model == "" && in.run != nil && in.run.Log != nil {
		opt.Model = in.run.Log.Engine.Model.Value
	}
	opt.Batch = typicalBatch(step.Analyze(in.profile, step.Options{}))
	plan, err := ncu.NewPlan(in.profile, opt)
	if err != nil {
		return fmt.Errorf("reading %s: %w", c.NCUPlan, err)
	}
	if c.Format == "json" {
		return report.JSON(e.stdout, plan)
	}
	return writeNCUPlan(e.stdout, plan)
}

// typicalBatch is the median number of requests of the decode steps, 0 if it is not recorded: grids depend on it.
func typicalBatch(a *step.Analysis) int {
	var n []int64
	for i := range a.Steps {
		if s := &a.Steps[i]; s.Phase == step.Decode && s.Batch.DecodeRequests > 0 {
			n = append(n, s.Batch.DecodeRequests)
		}
	}
	if len(n) == 0 {
		return 0
	}
	slices.Sort(n)
	return int(n[len(n)/2])
}

func writeNCUPlan(w io.Writer, p *ncu.Plan) error {
	fmt.Fprintf(w, "%.0f %% of the GPU time is in these kernels and grids:\n", 100*p.Covered)
	row := func(k ncu.Candidate) {
		fmt.Fprintf(w, "  %5.1f %%  %6d launches  grid %-16s  %s\n", 100*k.Share, k.Launches, fmt.Sprintf("%d,%d,%d", k.Grid[0], k.Grid[1], k.Grid[2]), report.Cut(k.Base, 46))
	}
	for _, k := range p.Candidates {
		row(k)
	}
	if len(p.Excluded) > 0 {
		fmt.Fprintln(w, "\nCannot be replayed (collectives wait for their peers):")
		for _, k := range p.Excluded {
			row(k)
		}
	}
	fmt.Fprintf(w, "\n$ %s\n$ %s\n", p.Command, p.Export)
	for _, n := range p.Notes {
		paragraph(w, "note: ", n)
	}
	if len(p.Why) > 0 {
		fmt.Fprintln(w, "\nNot \"ncu vllm serve\":")
		for _, y := range p.Why {
			paragraph(w, "  - ", y)
		}
	}
	_, err := fmt.Fprintln(w, "\nthen: stepscope diagnose PROFILE --ncu FILE.csv")
	return err
}
