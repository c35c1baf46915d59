package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/stepscope/stepscope/export"
	"github.com/stepscope/stepscope/step"
)

type exportCmd struct {
	Profile string `arg:"" help:"Profile file or capture folder."`
	To      string `required:"" placeholder:"FORMAT" enum:"perfetto,parquet,csv" help:"perfetto, parquet or csv."`
	Output  string `short:"o" placeholder:"PATH" help:"File for perfetto (default trace.perfetto-trace), folder for parquet and csv (default the format's name); must not exist."`
	readOptions
}

// Run executes the verb. It writes only what does not exist yet, so no file of the user's is replaced.
func (c *exportCmd) Run(e *env) error {
	in, err := e.openInput(c.Profile, c.readOptions)
	if err != nil {
		return err
	}
	e.label(in)
	a := step.Analyze(in.profile, step.Options{})
	if c.To == "perfetto" {
		path := c.Output
		if path == "" {
			path = "trace.perfetto-trace"
		}
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("writing %s: it exists", path)
		}
		out, err := e.output(path)
		if err != nil {
			return err
		}
		n, err := export.PerfettoWithRequests(out, a, in.run)
		if err := out.close(err); err != nil {
			return err
		}
		fmt.Fprintf(e.stdout, "%s: %d slices, %d counter values, %d flows on %d tracks; open it at https://ui.perfetto.dev\n", path, n.Slices, n.Counters, n.Flows, n.Tracks)
		return nil
	}
	dir := c.Output
	if dir == "" {
		dir = c.To
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("making the folder %s: %w", dir, pathCause(err))
	}
	create := func(name string) (io.WriteCloser, error) {
		return os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	}
	if c.To == "csv" {
		err = export.CSV(a, create)
	} else {
		err = export.Parquet(a, create)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%s: %s\n", dir, strings.Join(export.TableNames(a), ", "))
	return nil
}
