// Package captest runs the whole chain, from a capture folder to findings with advice, for tests of the analysis: on real
// captures as they are, and on changed copies of them (no annotations, a cut window, another engine or GPU).
package captest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/stepscope/stepscope/demo"
	"github.com/stepscope/stepscope/device"
	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/internal/proftest"
	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/knob"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/profile/kineto"
	"github.com/stepscope/stepscope/profile/nsys"
	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/step"
)

// Options change what a diagnosis is made from.
type Options struct {
	Without Evidence               // leave these inputs out
	Edit    func(*profile.Profile) // change a copy of the profile; columns must be replaced, not written to
	Run     func(*serving.Run)     // change a copy of the server's evidence
	Engine  string                 // "vllm@0.11.0": instead of the recorded one
	GPU     string                 // instead of the recorded one: its data sheet and compute capability
	Shape   device.Shape           // the model's shape, as from --model-config
	Window  interval.Span
	Set     string // a command line instead of the recorded one
}

// Evidence is a set of inputs.
type Evidence uint8

// The server's evidence beside the profile.
const (
	Bench Evidence = 1 << iota
	Metrics
	Log        // the log and the command line
	Everything = Bench | Metrics | Log
)

// Result is a finished diagnosis with what it was made from.
type Result struct {
	Profile   *profile.Profile
	Run       *serving.Run
	Analysis  *step.Analysis
	Context   *diagnose.Context
	Situation knob.Situation
	*diagnose.Diagnosis
}

type loaded struct {
	once     sync.Once
	p        *profile.Profile
	run      *serving.Run
	analysis *step.Analysis // of the profile as it is
	err      error
}

var (
	mu    sync.Mutex
	cache = map[string]*loaded{}
)

// Load reads a capture once per process. Neither result may be changed.
func Load(t testing.TB, name string) (*profile.Profile, *serving.Run) {
	t.Helper()
	var dir string
	if name != demo.Name {
		dir = proftest.Capture(t, name)
	}
	mu.Lock()
	l := cache[name]
	if l == nil {
		l = &loaded{}
		cache[name] = l
	}
	mu.Unlock()
	l.once.Do(func() {
		if l.p, l.run, l.err = read(dir); l.err == nil {
			l.analysis = step.Analyze(l.p, step.Options{})
		}
	})
	if l.err != nil {
		t.Fatalf("%s: %v", name, l.err)
	}
	return l.p, l.run
}

// read reads a capture folder; "" is the demo.
func read(dir string) (*profile.Profile, *serving.Run, error) {
	ctx := context.Background()
	if dir == "" {
		tmp, err := os.MkdirTemp("", "captest")
		if err != nil {
			return nil, nil, err
		}
		defer os.RemoveAll(tmp)
		if err := os.CopyFS(tmp, demo.FS()); err != nil {
			return nil, nil, err
		}
		return read(tmp)
	}
	run, err := serving.LoadFolder(os.DirFS(dir))
	if err != nil {
		return nil, nil, err
	}
	p, err := nsys.Open(ctx, filepath.Join(dir, "profile.sqlite.zst"), nsys.Options{})
	if errors.Is(err, os.ErrNotExist) {
		p, err = kineto.Open(ctx, filepath.Join(dir, "trace.json.gz"), kineto.Options{})
	}
	return p, run, err
}

// Names lists the captures that are here, the demo among them.
func Names(t testing.TB) []string {
	t.Helper()
	names := proftest.Captures(t)
	if !slices.Contains(names, demo.Name) {
		names = append(names, demo.Name)
	}
	slices.Sort(names)
	return names
}

// Diagnose runs the chain on a capture.
func Diagnose(t testing.TB, name string, o Options) *Result {
	t.Helper()
	p, run := Load(t, name)
	var a *step.Analysis
	if o.Edit == nil && o.Window.Empty() {
		mu.Lock()
		a = cache[name].analysis
		mu.Unlock()
	}
	return diagnoseProfile(t, p, a, run, o)
}

// DiagnoseProfile runs the chain on a profile; run may be nil.
func DiagnoseProfile(t testing.TB, p *profile.Profile, run *serving.Run, o Options) *Result {
	t.Helper()
	return diagnoseProfile(t, p, nil, run, o)
}

// diagnoseProfile is DiagnoseProfile with the analysis, where it is made already.
func diagnoseProfile(t testing.TB, p *profile.Profile, a *step.Analysis, run *serving.Run, o Options) *Result {
	t.Helper()
	if o.Edit != nil {
		c := *p
		o.Edit(&c)
		if err := c.CheckValid(); err != nil {
			t.Fatalf("the edited profile is not valid: %v", err)
		}
		p = &c
	}
	run = reduce(run, o.Without)
	if run != nil {
		c := *run
		if o.Set != "" {
			c.Command = serving.NewFact(o.Set, serving.Source{File: "command.txt"})
			c.Engine = serving.EngineInfo{Name: c.Engine.Name, Version: c.Engine.Version}
		}
		if o.Run != nil {
			o.Run(&c)
		}
		run = &c
	}
	sit := knob.SituationOf(p.Devices, run)
	if o.Engine != "" {
		e, err := knob.ParseEngine(o.Engine)
		if err != nil {
			t.Fatal(err)
		}
		sit.Engine = e
	}
	if run != nil {
		sit.Complete(&run.Engine)
	}
	if a == nil {
		a = step.Analyze(p, step.Options{Window: o.Window})
	}
	in := diagnose.Input{Run: run, Analysis: a, Tool: diagnose.Tool{Name: "stepscope", Version: "test"}}
	in.Sheet, in.SheetMatch = Sheet(p, o.GPU)
	if o.GPU != "" {
		sit.GPUName, sit.GPUMem = in.Sheet.Name, in.Sheet.MemoryBytes
	}
	if o.Shape.Layers > 0 {
		in.Shape, in.ShapeFrom = o.Shape, "config config.json"
	}
	r := &Result{Profile: p, Run: run, Analysis: in.Analysis, Context: diagnose.NewContext(in), Situation: sit}
	r.Diagnosis = diagnose.Diagnose(r.Context)
	knob.Advise(r.Diagnosis, r.Context, sit)
	return r
}

// Sheet finds the data sheet by name, or by what the capture says of its first device when name is "".
func Sheet(p *profile.Profile, name string) (device.Sheet, device.Match) {
	if name != "" {
		return device.Lookup(name, device.Hints{})
	}
	for _, d := range p.Devices {
		if d.NotInDeviceList {
			continue
		}
		return device.Lookup(d.Name, device.Hints{SMs: int(d.SMs), MemoryBytes: d.MemoryBytes, Bandwidth: float64(d.BandwidthBps), ClockHz: float64(d.ClockHz),
			L2Bytes: d.L2Bytes, ComputeMajor: int(d.ComputeMajor), ComputeMinor: int(d.ComputeMinor)})
	}
	return device.Sheet{}, device.Match{}
}

// reduce leaves inputs out and joins the rest anew, as reading only the remaining files would.
func reduce(run *serving.Run, without Evidence) *serving.Run {
	if run == nil || without == Everything {
		return nil
	}
	if without == 0 {
		return run
	}
	c := *run
	if without&Bench != 0 {
		c.Bench, c.BenchDuringCapture = nil, nil
	}
	if without&Metrics != 0 {
		c.Before, c.After, c.Delta = nil, nil, nil
	}
	if without&Log != 0 {
		c.Log, c.Command, c.Engine = nil, serving.Fact[string]{}, serving.EngineInfo{}
		for _, m := range []*serving.Metrics{c.After, c.Before} {
			if m != nil {
				c.Engine = m.Engine
				break
			}
		}
	}
	return &c
}

// Finding returns the finding with this id, nil if there is none.
func (r *Result) Finding(id string) *diagnose.Finding {
	for i := range r.Findings {
		if r.Findings[i].ID == id {
			return &r.Findings[i]
		}
	}
	return nil
}

// First returns the first alarm that is not about the capture, "" if there is none.
func (r *Result) First() string {
	for _, f := range r.Findings {
		if f.ID != diagnose.CaptureQuality && f.Caused == "" && f.Severity >= diagnose.Low {
			return f.ID
		}
	}
	return ""
}

// Why returns why a rule abstained, "" if it did not.
func (r *Result) Why(id string) string {
	for _, a := range r.Diagnosis.Abstained {
		if a.Rule == id {
			return a.Why
		}
	}
	return ""
}

// Flags lists the advice of a finding: the options, or the name in words where the advice is no option.
func Flags(f *diagnose.Finding) []string {
	var out []string
	if f == nil {
		return nil
	}
	for _, a := range f.Advice {
		if a.Flag == "" {
			out = append(out, a.Knob)
			continue
		}
		out = append(out, a.Flag)
	}
	return out
}

// Versions lists engines to vary over, oldest first.
func Versions() []string {
	var out []string
	for _, v := range knob.Inspected {
		out = append(out, knob.VLLM+"@"+v)
	}
	return out
}
