package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/capture"
	"github.com/stepscope/stepscope/compare"
	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/knob"
	"github.com/stepscope/stepscope/report"
	"github.com/stepscope/stepscope/serving"
)

type compareCmd struct {
	Before string `arg:"" help:"Profile, capture folder or benchmark result before the change."`
	After  string `arg:"" help:"The same after it."`
	Format string `short:"f" enum:"text,json,md,html" default:"text" help:"text, json, md or html."`
	Output string `short:"o" placeholder:"F" help:"Write to a file."`
	FailOn string `enum:"none,regression" default:"none" placeholder:"WHAT" help:"regression: exit with 1 when something is worse (default: none)."`
	contextFlags
	readOptions
	Verbose bool `short:"v" help:"Every metric."`
}

// errRegression is returned when --fail-on regression finds one: the result is printed, the exit code is 1.
var errRegression = fmt.Errorf("%w: a regression", errFinding)

// Run executes the verb.
func (c *compareCmd) Run(e *env) error {
	before, err := c.side(e, c.Before)
	if err != nil {
		return err
	}
	after, err := c.side(e, c.After)
	if err != nil {
		return err
	}
	before.Name, after.Name = sideNames(c.Before, c.After)
	res := compare.Compare(before, after, compare.Options{Tool: diagnose.Tool{Name: "stepscope", Version: e.version}})
	out, err := e.output(c.Output)
	if err != nil {
		return err
	}
	var werr error
	switch c.Format {
	case "json":
		werr = report.JSON(out, res)
	case "md":
		werr = report.CompareMarkdown(out, res)
	case "html":
		werr = report.CompareHTML(out, report.CompareHTMLInput{Comparison: res, Before: before, After: after})
	default:
		werr = report.CompareText(out, res, report.TextOptions{Colour: c.Output == "" && colour(e.stdout), Verbose: c.Verbose})
	}
	if err := out.close(werr); err != nil {
		return err
	}
	if c.FailOn == "regression" && len(res.Regressions) > 0 {
		return errRegression
	}
	return nil
}

// side reads one side of a comparison: a profile, a capture folder, a folder with server evidence only, or a benchmark
// result. Only the page draws from whole profiles; otherwise a digest stays, and two large ones need not be held at once.
func (c *compareCmd) side(e *env, path string) (compare.Side, error) {
	s := compare.Side{Name: base(strings.TrimRight(path, "/\\"))}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		manifest, usage, err := capture.Sidecar(os.DirFS(path))
		if err != nil {
			return s, fmt.Errorf("reading %s: %w", path, err)
		}
		s.Usage = usage
		if manifest != nil {
			s.Facts = manifest.Facts()
		}
	}
	in, err := e.openInput(path, c.readOptions)
	if err != nil {
		if holdsProfile(path) {
			return s, err
		}
		run, berr := e.evidenceOnly(path)
		if berr != nil {
			return s, err
		}
		s.Run = run
		s.Settings = shownSettings(knob.SituationOf(nil, run).Settings)
		return s, nil
	}
	res, err := e.diagnose(in, c.contextFlags)
	if err != nil {
		return s, err
	}
	s.Diagnosis, s.Run = res.Diagnosis, res.Run
	s.Settings = shownSettings(res.Situation.Settings)
	if c.Format == "html" {
		s.Analysis = res.Analysis
		return s, nil
	}
	s.Digest = compare.NewDigest(res.Analysis)
	debug.FreeOSMemory()
	return s, nil
}

// sideNames are what tells the two arguments apart: the file or folder, or, where these are called alike, the folders
// that they lie in.
func sideNames(before, after string) (string, string) {
	before, after = strings.TrimRight(before, "/\\"), strings.TrimRight(after, "/\\")
	if base(before) != base(after) {
		return base(before), base(after)
	}
	parts := func(path string) []string {
		if abs, err := filepath.Abs(path); err == nil {
			path = abs
		}
		return strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '\\' })
	}
	b, a := parts(before), parts(after)
	for n := 2; n <= max(len(b), len(a)); n++ {
		x, y := b[max(0, len(b)-n):], a[max(0, len(a)-n):]
		if !slices.Equal(x, y) {
			return foldersOf(x, before), foldersOf(y, after)
		}
	}
	return base(before), base(after)
}

// foldersOf joins the end of a path, without the name of a file.
func foldersOf(parts []string, path string) string {
	if info, err := os.Stat(path); len(parts) > 1 && (err != nil || !info.IsDir()) {
		parts = parts[:len(parts)-1]
	}
	return strings.Join(parts, "/")
}

// holdsProfile reports whether a folder has a file that is named as a profile, whatever is in it: one that cannot be
// read is an error there, not a side without a profile.
func holdsProfile(dir string) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(entries, func(d os.DirEntry) bool {
		n := d.Name()
		return !d.IsDir() && (slices.Contains(profileNames, n) || profileFile.MatchString(n))
	})
}

var profileFile = regexp.MustCompile(`\.(sqlite(\.zst|\.gz)?|nsys-rep|parquet|trace\.json(\.gz)?)$`)

// evidenceOnly reads what has no profile: a folder of benchmark, metrics and log, or a benchmark result.
func (e *env) evidenceOnly(path string) (*serving.Run, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		run, err := serving.LoadFolder(os.DirFS(path))
		if run == nil || run.Bench == nil && run.Delta == nil && run.Log == nil {
			return nil, errors.Join(errors.New("no benchmark, metrics or log"), err)
		}
		return run, nil
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := serving.ReadBench(base(path), f)
	if err != nil {
		return nil, err
	}
	return &serving.Run{Bench: b}, nil
}

// shownSettings lists the server's options as they may be shown: nil when they are not known, empty when the server is
// known to run without any.
func shownSettings(s knob.Settings) []compare.Setting {
	if s.Empty() {
		return nil
	}
	out := []compare.Setting{}
	for _, name := range s.Names() {
		if v, ok := s.Shown(name); ok {
			out = append(out, compare.Setting{Name: name, Value: v})
		}
	}
	return out
}
