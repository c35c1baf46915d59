package experiment

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/capture"
	"github.com/stepscope/stepscope/ledger"
)

// writeDown appends the baseline and the change to the ledger, with the benchmark results, the logs and the comparison as
// artefacts.
func (x *experiment) writeDown(ctx context.Context, r *Result) error {
	l := x.o.Ledger
	artefacts, err := x.artefacts(ctx, r)
	if err != nil {
		return err
	}
	base := ledger.Entry{Kind: ledger.KindBaseline, CommandBefore: r.CommandBefore, Command: r.CommandBefore, Engine: r.Engine, Model: r.Model, GPU: r.GPU, Load: r.Load,
		Goal: r.Goal, Metrics: x.baselineMetrics(), Artefacts: artefacts[baseline]}
	a, err := l.Append(ctx, base)
	if err != nil {
		return err
	}
	r.Repaired = a.Repaired
	r.Baseline = &a.Record
	e := ledger.Entry{Kind: ledger.KindChange, Ref: a.Record.Entry.ID, Text: x.o.Text, Knob: x.changes[0].Name, From: x.changes[0].From, To: x.changes[0].To(),
		Command: r.Command, CommandBefore: r.CommandBefore, Engine: r.Engine, Model: r.Model, GPU: r.GPU, Load: r.Load, Goal: r.Goal,
		Metrics: metricsOf(r.Comparison), Verdict: string(r.Verdict), Reason: r.Reason, Predicted: r.Predicted, Measured: r.Measured,
		SideEffects: r.SideEffects, Artefacts: artefacts[changed], Warnings: r.Warnings}
	if x.broken != nil {
		e.Metrics, e.Measured = x.baselineMetrics(), nil
	}
	for _, c := range x.changes[1:] {
		e.Also = append(e.Also, ledger.Change{Knob: c.Name, From: c.From, To: c.To()})
	}
	if a, err = l.Append(ctx, e); err != nil {
		return fmt.Errorf("%w (its baseline was, as %s)", err, r.Baseline.Entry.ID)
	}
	r.Change = &a.Record
	return nil
}

// artefacts stores results and masked logs; those of the baseline belong to its entry, the rest to the change.
func (x *experiment) artefacts(ctx context.Context, r *Result) (out [2][]ledger.Artefact, err error) {
	var files []string
	err = filepath.WalkDir(x.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && (d.Name() == "bench.json" || d.Name() == "server.log") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		return out, fmt.Errorf("reading %s: %w", x.dir, err)
	}
	slices.Sort(files)
	for _, path := range files {
		name, err := filepath.Rel(x.dir, path)
		if err != nil {
			return out, err
		}
		side := baseline
		if strings.HasPrefix(name, changed.String()+"-") {
			side = changed
		} else if !strings.HasPrefix(name, baseline.String()+"-") {
			continue // not of this experiment
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return out, fmt.Errorf("reading %s: %w", path, err)
		}
		if strings.HasSuffix(name, ".log") {
			b = []byte(x.maskLines(string(b)))
		}
		a, err := x.o.Ledger.Put(ctx, strings.ReplaceAll(filepath.ToSlash(name), "/", "-"), bytes.NewReader(b))
		if err != nil {
			return out, err
		}
		out[side] = append(out[side], a)
	}
	b, err := json.MarshalIndent(r.Comparison, "", " ")
	if err != nil {
		return out, fmt.Errorf("writing the comparison: %w", err)
	}
	a, err := x.o.Ledger.Put(ctx, "comparison.json", bytes.NewReader(append(b, '\n')))
	if err != nil {
		return out, err
	}
	out[changed] = append(out[changed], a)
	return out, nil
}

// maskLines takes secrets out of a server's output: what looks like one, and the values of the variables it was given.
func (x *experiment) maskLines(s string) string {
	env := os.Environ()
	for i := range x.settings {
		more, _ := capture.SplitEnv(x.settings[i].Argv())
		env = append(env, more...)
	}
	return capture.MaskLog(s, env)
}

// captures takes a profile of each side. What fails there is a warning: the measurement stands.
func (x *experiment) captures(ctx context.Context, r *Result) {
	for _, s := range []sideOf{baseline, changed} {
		o := x.o.Capture
		o.Argv, o.URL, o.Load = x.settings[s].Argv(), "", x.o.Load
		o.Out = filepath.Join(x.o.CaptureDir, s.String())
		o.Engine, o.NvidiaSMI, o.AnyGPU, o.Startup, o.Tool = x.engine, x.o.NvidiaSMI, x.o.AnyGPU, x.o.Startup, x.o.Tool
		res, err := capture.Run(ctx, o, named(x.progress, "capture of the "+s.String()))
		if err != nil {
			x.warn("the capture of the %s failed: %v", s, err)
			r.Warnings = x.warnings
			return
		}
		r.Captures = append(r.Captures, res.Folder)
	}
}
