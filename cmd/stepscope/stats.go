package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/stepscope/stepscope/align"
	"github.com/stepscope/stepscope/report"
	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/summary"
)

type statsCmd struct {
	Profile string   `arg:"" optional:"" help:"Profile file or capture folder."`
	Reports []string `name:"report" short:"r" sep:"," placeholder:"REPORT" help:"Reports by the names of nsys stats; several with commas (default: those that nsys prints)."`
	Format  string   `short:"f" enum:"csv,table,json" default:"table" help:"csv, table (fits the screen; csv has every column) or json."`
	Output  string   `short:"o" placeholder:"F" help:"Write to a file."`
	List    bool     `help:"List the reports and exit."`
	readOptions
}

// Run executes the verb. A report whose data the capture lacks is named on stderr; if none could be made, that is an error.
func (c *statsCmd) Run(e *env) error {
	if c.List {
		for _, r := range summary.Reports() {
			fmt.Fprintf(e.stdout, "%-22s %s\n", r.Name, r.Description)
		}
		return nil
	}
	specs := c.Reports
	if len(specs) == 0 {
		specs = summary.Default()
	}
	for _, s := range specs {
		name, _, _ := strings.Cut(s, ":")
		if _, ok := summary.Find(name); !ok {
			return fmt.Errorf("no report %q: --list names them", name)
		}
	}
	in, err := e.openInput(c.Profile, c.readOptions)
	if err != nil {
		return err
	}
	e.label(in)
	out, err := e.output(c.Output)
	if err != nil {
		return err
	}
	made := 0
	werr := func() error {
		for _, s := range specs {
			t, err := summary.Run(in.profile, s)
			var skipped *summary.SkippedError
			if errors.As(err, &skipped) {
				fmt.Fprintln(e.stderr, "SKIPPED: "+skipped.Error())
				continue
			}
			if err != nil {
				return err
			}
			if made > 0 {
				fmt.Fprintln(out)
			}
			made++
			if err := writeTable(out, t, c.Format, columns(out.Writer)); err != nil {
				return err
			}
		}
		if made == 0 {
			return fmt.Errorf("reading %s: the capture holds the data of none of these reports", c.Profile)
		}
		return nil
	}()
	return out.close(werr)
}

func writeTable(w io.Writer, t *summary.Table, format string, width int) error {
	switch format {
	case "csv":
		return t.WriteCSV(w)
	case "json":
		return t.WriteJSON(w)
	}
	return t.WriteText(w, width)
}

type stepsCmd struct {
	Profile string `arg:"" optional:"" help:"Profile file or capture folder."`
	servingFlags
	windowFlag
	readOptions
	Format   string `short:"f" enum:"csv,json,table" default:"table" help:"csv, json or table."`
	Output   string `short:"o" placeholder:"F" help:"Write to a file."`
	Ranks    bool   `help:"Steps of every rank, not only of the one that stands for its engine."`
	Requests bool   `help:"Add the requests and engine iterations of spans and log to each step."`
}

// Run executes the verb.
func (c *stepsCmd) Run(e *env) error {
	in, err := e.openServed(c.Profile, c.readOptions, c.servingFlags)
	if err != nil {
		return err
	}
	e.label(in)
	a, err := analyze(in, c.Window)
	if err != nil {
		return err
	}
	if len(a.Primary) == 0 {
		why := ""
		if len(a.Ranks) > 0 {
			why = ": " + a.Ranks[0].Why
		}
		return fmt.Errorf("%w%s", errNoSteps, why)
	}
	rows := report.StepRows(a, c.Ranks)
	if c.Requests {
		if c.Ranks {
			return errors.New("--requests goes with the steps of engines, not with --ranks")
		}
		al := align.Align(a, in.run)
		for _, n := range al.Notes {
			fmt.Fprintln(e.stderr, "stepscope:", n)
		}
		var log *serving.Log
		if in.run != nil {
			log = in.run.Log
		}
		report.AddRequests(rows, a, al, log)
	}
	out, err := e.output(c.Output)
	if err != nil {
		return err
	}
	return out.close(report.Steps(out, rows, c.Format))
}

type curvesCmd struct {
	Profile string `arg:"" optional:"" help:"Profile file or capture folder."`
	Bin     string `default:"10ms" help:"Width of a bin."`
	Format  string `short:"f" enum:"json,csv,text" default:"text" help:"json, csv or text."`
	Output  string `short:"o" placeholder:"F" help:"Write to a file."`
	windowFlag
	readOptions
}

// maxBins bounds what a curve may hold.
const maxBins = 1 << 20

// Run executes the verb.
func (c *curvesCmd) Run(e *env) error {
	bin, err := parseNs(c.Bin)
	if err != nil || bin <= 0 {
		return fmt.Errorf("--bin %s: write a time such as 10ms", c.Bin)
	}
	in, err := e.openInput(c.Profile, c.readOptions)
	if err != nil {
		return err
	}
	e.label(in)
	w := in.profile.Window
	if c.Window != "" {
		if w, err = parseWindow(c.Window, w); err != nil {
			return err
		}
	}
	if w.Dur()/bin > maxBins {
		return fmt.Errorf("--bin %s: %d bins are too many for this window of %s", c.Bin, w.Dur()/bin, report.Dur(w.Dur()))
	}
	curve, err := summary.Curves(in.profile, summary.CurveOptions{BinNs: bin, Window: w})
	if err != nil {
		return err
	}
	out, err := e.output(c.Output)
	if err != nil {
		return err
	}
	var werr error
	switch c.Format {
	case "json":
		werr = curve.WriteJSON(out)
	case "csv":
		werr = curve.WriteCSV(out)
	default:
		werr = curve.WriteText(out, report.Width)
	}
	return out.close(werr)
}

// parseNs reads a duration: a Go duration, or a plain number of nanoseconds.
func parseNs(s string) (int64, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a time such as 250ms or 1.5s", s)
	}
	return d.Nanoseconds(), nil
}
