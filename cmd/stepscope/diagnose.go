package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/stepscope/stepscope/device"
	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/knob"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/report"
	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/step"
)

// servingFlags name the server's own evidence.
type servingFlags struct {
	Bench         string   `placeholder:"F" help:"Result of an unprofiled benchmark of the same load."`
	MetricsBefore string   `placeholder:"F" help:"/metrics before the measured run."`
	MetricsAfter  string   `placeholder:"F" help:"/metrics after it."`
	ServerLog     string   `placeholder:"F" help:"The server's log."`
	Spans         []string `placeholder:"F" help:"OpenTelemetry spans (OTLP JSON or protobuf)."`
}

// windowFlag takes a part of the capture.
type windowFlag struct {
	Window string `placeholder:"A..B" help:"Only this part of the capture, with the steps that start in it (0.5s..1.2s; ns without a unit)."`
}

// contextFlags say what the capture may not: the GPU, the engine, the model.
type contextFlags struct {
	GPU         string `name:"gpu" placeholder:"NAME" help:"The GPU, where the capture does not name it; a GPU that it names is believed first."`
	Engine      string `placeholder:"NAME@VERSION" help:"The engine, where the log does not tell its version (vllm@0.24.0)."`
	ModelConfig string `placeholder:"F" help:"The model's config.json, for the limits."`
	windowFlag
}

type diagnoseCmd struct {
	Profile string `arg:"" optional:"" help:"Profile file or capture folder."`
	servingFlags
	contextFlags
	readOptions
	Format  string `short:"f" enum:"text,json,md,html" default:"text" help:"text, json, md or html."`
	Output  string `short:"o" placeholder:"F" help:"Write to a file."`
	NCU     string `name:"ncu" placeholder:"F" help:"Nsight Compute's CSV (ncu --csv --page raw or details) of the same kernels."`
	FailOn  string `enum:"none,low,medium,high" default:"none" placeholder:"SEVERITY" help:"Exit with 1 when a finding is at or over this severity: low, medium or high (default: none)."`
	Verbose bool   `short:"v" help:"All evidence, context findings and the whole checklist."`
	Explain string `placeholder:"ID" help:"Print the page of a rule and exit."`
}

// Run executes the verb.
func (c *diagnoseCmd) Run(e *env) error {
	if c.Explain != "" {
		r, ok := diagnose.FindRule(c.Explain)
		if !ok {
			var ids []string
			for _, r := range diagnose.Rules() {
				ids = append(ids, r.ID)
			}
			return fmt.Errorf("no rule %q; the rules are %s", c.Explain, strings.Join(ids, ", "))
		}
		return report.RulePage(e.stdout, r)
	}
	in, err := e.openServed(c.Profile, c.readOptions, c.servingFlags)
	if err != nil {
		return err
	}
	res, err := e.diagnose(in, c.contextFlags)
	if err != nil {
		return err
	}
	if c.NCU != "" {
		if err := e.addKernelMetrics(res, c.NCU); err != nil {
			return err
		}
	}
	out, err := e.output(c.Output)
	if err != nil {
		return err
	}
	if err := out.close(c.write(out, res, c.Output == "" && colour(e.stdout))); err != nil {
		return err
	}
	if at, ok := diagnose.ParseSeverity(c.FailOn); ok && at > diagnose.Info {
		for _, f := range res.Diagnosis.Findings {
			if f.Caused == "" && f.Severity >= at {
				return errFinding
			}
		}
	}
	return nil
}

func (c *diagnoseCmd) write(w io.Writer, r *result, paint bool) error {
	switch c.Format {
	case "json":
		return report.JSON(w, r.Diagnosis)
	case "md":
		return report.Markdown(w, r.Diagnosis)
	case "html":
		return report.HTML(w, report.HTMLInput{Diagnosis: r.Diagnosis, Analysis: r.Analysis, Run: r.Run, Context: r.Context})
	}
	return report.Text(w, r.Diagnosis, report.TextOptions{Colour: paint, Verbose: c.Verbose})
}

// result is a finished diagnosis with what it was made from.
type result struct {
	Diagnosis *diagnose.Diagnosis
	Analysis  *step.Analysis
	Context   *diagnose.Context
	Run       *serving.Run
	Situation knob.Situation
}

// diagnose analyses an opened input.
func (e *env) diagnose(in *input, f contextFlags) (*result, error) {
	a, err := analyze(in, f.Window)
	if err != nil {
		return nil, err
	}
	di := diagnose.Input{Analysis: a, Run: in.run, Tool: diagnose.Tool{Name: "stepscope", Version: e.version}}
	sit, err := situation(in, a, f, &di)
	if err != nil {
		return nil, err
	}
	if in.run != nil {
		sit.Complete(&in.run.Engine)
	}
	var more []diagnose.Quality
	if di.Sheet, di.SheetMatch, more, err = sheet(in.profile, f.GPU); err != nil {
		return nil, err
	}
	di.Notes = append(di.Notes, more...)
	if f.GPU != "" && len(more) == 0 {
		sit.GPUName = f.GPU
	}
	if f.ModelConfig != "" {
		data, err := readSmall(f.ModelConfig, 4<<20)
		if err != nil {
			return nil, err
		}
		if di.Shape, err = device.ParseHFConfig(data); err != nil {
			return nil, fmt.Errorf("reading %s: %w", f.ModelConfig, err)
		}
		di.ShapeFrom = "config " + base(f.ModelConfig)
	}
	ctx := diagnose.NewContext(di)
	d := diagnose.Diagnose(ctx)
	knob.Advise(d, ctx, sit)
	return &result{d, a, ctx, in.run, sit}, nil
}

// analyze finds the steps of an opened input, those in a window if one is given.
func analyze(in *input, window string) (*step.Analysis, error) {
	var opt step.Options
	if window != "" {
		w, err := parseWindow(window, in.profile.Window)
		if err != nil {
			return nil, err
		}
		opt.Window = w
	}
	return step.Analyze(in.profile, opt), nil
}

// situation is what flags say of the engine on top of the capture's own evidence, which is believed first: a version that
// the log names cannot be another one by a flag. A note in di says so where the two differ.
func situation(in *input, a *step.Analysis, f contextFlags, di *diagnose.Input) (knob.Situation, error) {
	s := knob.SituationOf(in.profile.Devices, in.run)
	if f.Engine == "" {
		return s, nil
	}
	e, err := parseEngine(f.Engine)
	if err != nil {
		return s, err
	}
	s.Given = e
	said, from, notes := knob.Engine{Name: strings.ToLower(a.Engine)}, "step markers", &di.Notes
	if in.run != nil && in.run.Engine.Name.Known {
		said, from, notes = s.Engine, "log", &di.LogNotes
		if file := in.run.Engine.Name.Source.File; file != "" {
			from = base(file)
		}
	}
	if said.Name != "" && said.Name != e.Name || said.Version != "" && e.Version != "" && !sameVersion(said, e) {
		*notes = append(*notes, contradiction("--engine "+f.Engine, said.String(), from, "give --server-log of the server that was captured, or drop --engine"))
		return s, nil
	}
	if said.Version == "" {
		s.Engine = e
	}
	return s, nil
}

// sameVersion reports whether two versions are equal in order; 0.24 and 0.24.0 are.
func sameVersion(x, y knob.Engine) bool { return x.AtLeast(y.Version) && y.AtLeast(x.Version) }

// contradiction is the note on a flag that says another thing than the capture.
func contradiction(flag, said, from, remedy string) diagnose.Quality {
	return diagnose.Quality{ID: "flag-contradicted", Severity: diagnose.Low.String(), Remedy: remedy,
		Text: fmt.Sprintf("%s was given, but the capture says %s (%s): the capture is believed.", flag, said, from)}
}

// parseEngine reads the value of --engine.
func parseEngine(v string) (knob.Engine, error) {
	e, err := knob.ParseEngine(v)
	if err != nil {
		return e, fmt.Errorf("--engine %s: %w", v, err)
	}
	return e, nil
}

// sheet finds the data sheet of the GPU that worked: the one that the capture names, else the one that the user names.
// The note says so where the user's name is of another part than the capture's.
func sheet(p *profile.Profile, name string) (device.Sheet, device.Match, []diagnose.Quality, error) {
	var d profile.Device
	for _, x := range p.Devices {
		if !x.NotInDeviceList {
			d = x
			break
		}
	}
	h := device.Hints{SMs: int(d.SMs), MemoryBytes: d.MemoryBytes, Bandwidth: float64(d.BandwidthBps), ClockHz: float64(d.ClockHz),
		L2Bytes: d.L2Bytes, ComputeMajor: int(d.ComputeMajor), ComputeMinor: int(d.ComputeMinor)}
	s, m := device.Lookup(d.Name, h)
	if name == "" {
		return s, m, nil, nil
	}
	named, nm := device.Lookup(name, h)
	if !nm.OK {
		err := fmt.Errorf("--gpu %s: not a GPU that is known here", name)
		if len(nm.Suggestions) > 0 {
			err = fmt.Errorf("%w; did you mean %s?", err, strings.Join(nm.Suggestions, ", "))
		}
		return s, m, nil, err
	}
	switch {
	case d.Name == "" || !m.OK:
		return named, nm, nil, nil
	case named.Name != s.Name:
		return s, m, []diagnose.Quality{contradiction("--gpu "+name, d.Name, "its own list of GPUs", "drop --gpu, or give the profile of the other GPU")}, nil
	}
	return s, m, nil, nil
}

// parseWindow reads A..B: times from the start of the window, with a unit or in ns; either side may be empty.
func parseWindow(v string, w interval.Span) (interval.Span, error) {
	lo, hi, ok := strings.Cut(v, "..")
	if !ok {
		return w, fmt.Errorf("--window %s: write A..B, for example 0.2s..0.8s", v)
	}
	out := w
	for _, s := range []struct {
		text string
		to   *int64
	}{{lo, &out.Start}, {hi, &out.End}} {
		if s.text == "" {
			continue
		}
		ns, err := parseNs(s.text)
		if err != nil {
			return w, fmt.Errorf("--window %s: %w", v, err)
		}
		*s.to = w.Start + ns
	}
	if out.Empty() {
		return w, fmt.Errorf("--window %s: it ends before it starts", v)
	}
	return out, nil
}

// readSmall reads a file of at most limit bytes.
func readSmall(path string, limit int64) ([]byte, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("reading %s: larger than %d MiB", path, limit>>20)
	}
	return data, nil
}

func base(path string) string {
	if i := strings.LastIndexFunc(path, func(r rune) bool { return r < 0x80 && os.IsPathSeparator(uint8(r)) }); i >= 0 {
		return path[i+1:]
	}
	return path
}

var errNoSteps = errors.New("no engine steps were found")
