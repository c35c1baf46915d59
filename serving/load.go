package serving

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sort"
	"strings"
)

// Files names the inputs of a run; empty names are not recorded.
type Files struct {
	Bench              string
	BenchDuringCapture string
	MetricsBefore      string
	MetricsAfter       string
	ServerLog          string
	Command            string
	Traces             []string // OTLP files
}

// Opener opens one of the files, for example os.Open.
type Opener func(name string) (io.ReadCloser, error)

// Load reads the files into a Run and checks them against each other. The Run
// is never nil: what could be read is there. The error joins the errors of
// files that could not be read or compared; each is also a warning of the Run
// ("unreadable", "metrics-mismatch"), so that a caller who may go on without a
// file can ignore it.
func Load(open Opener, files Files) (*Run, error) {
	r := &Run{}
	var failed []error
	fail := func(id, file string, err error) {
		failed = append(failed, err)
		r.warn(id, Source{File: file}, err.Error())
	}
	read := func(name string, fn func(io.Reader) error) {
		if name == "" {
			return
		}
		f, err := open(name)
		if err != nil {
			fail("unreadable", name, fmt.Errorf("reading %s: %w", name, err))
			return
		}
		defer f.Close()
		if err := fn(f); err != nil {
			fail("unreadable", name, err)
		}
	}
	read(files.Bench, func(f io.Reader) (err error) { r.Bench, err = ReadBench(files.Bench, f); return })
	read(files.BenchDuringCapture, func(f io.Reader) (err error) {
		r.BenchDuringCapture, err = ReadBench(files.BenchDuringCapture, f)
		return
	})
	read(files.MetricsBefore, func(f io.Reader) (err error) { r.Before, err = ReadMetrics(files.MetricsBefore, f); return })
	read(files.MetricsAfter, func(f io.Reader) (err error) { r.After, err = ReadMetrics(files.MetricsAfter, f); return })
	read(files.ServerLog, func(f io.Reader) (err error) { r.Log, err = ReadLog(files.ServerLog, f); return })
	read(files.Command, func(f io.Reader) (err error) { r.Command, err = ReadCommand(files.Command, f); return })
	for _, name := range files.Traces {
		read(name, func(f io.Reader) error {
			t, err := ReadTrace(name, f)
			if err == nil {
				r.addTrace(t)
			}
			return err
		})
	}
	if r.Before != nil && r.After != nil {
		d, err := Diff(r.Before, r.After)
		if err != nil {
			fail("metrics-mismatch", files.MetricsAfter, err)
		}
		r.Delta = d
	}
	r.mergeEngine()
	r.check()
	return r, errors.Join(failed...)
}

// LoadFolder reads a capture folder: bench.json, bench_during_capture.json,
// metrics_before.txt, metrics_after.txt, server.log, command.txt and spans
// (spans*, traces*, otlp* with the ending json, jsonl, pb, bin or proto), each
// plain or .gz. What is not there is not recorded. A folder that a capture has
// marked as unfinished gets the warning "incomplete-capture". Errors are as for [Load].
func LoadFolder(fsys fs.FS) (*Run, error) {
	files, err := Folder(fsys)
	if err != nil {
		return &Run{}, err
	}
	r, err := Load(func(name string) (io.ReadCloser, error) { return fsys.Open(name) }, files)
	if _, serr := fs.Stat(fsys, incompleteMark); serr == nil {
		r.warn("incomplete-capture", Source{File: incompleteMark}, "the capture was stopped or failed before it was whole: numbers may be of a part of it; take it again")
	}
	return r, err
}

// incompleteMark is the file that marks a capture folder as unfinished.
const incompleteMark = "INCOMPLETE"

// Folder finds the files of a capture folder by their names.
func Folder(fsys fs.FS) (Files, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return Files{}, fmt.Errorf("reading capture folder: %w", err)
	}
	have := map[string]bool{}
	var files Files
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		name := e.Name()
		have[name] = true
		if isTrace(name) {
			files.Traces = append(files.Traces, name)
		}
	}
	sort.Strings(files.Traces)
	pick := func(names ...string) string {
		for _, n := range names {
			for _, n := range []string{n, n + ".gz"} {
				if have[n] {
					return n
				}
			}
		}
		return ""
	}
	files.Bench = pick("bench.json", "bench.jsonl")
	files.BenchDuringCapture = pick("bench_during_capture.json", "bench_during_capture.jsonl")
	files.MetricsBefore = pick("metrics_before.txt", "metrics_before.prom")
	files.MetricsAfter = pick("metrics_after.txt", "metrics_after.prom")
	files.ServerLog = pick("server.log", "server.txt")
	files.Command = pick("command.txt")
	return files, nil
}

func isTrace(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, ".gz"))
	switch path.Ext(name) {
	case ".json", ".jsonl", ".pb", ".bin", ".proto":
	default:
		return false
	}
	for _, p := range []string{"spans", "traces", "otlp", "otel"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// ReadCommand reads the file with the server's command line, up to 1 MiB.
// Secrets are masked; the text is kept otherwise as it is.
func ReadCommand(file string, r io.Reader) (Fact[string], error) {
	br, err := openText(file, r, maxCommandBytes)
	if err != nil {
		return Fact[string]{}, err
	}
	b, err := io.ReadAll(br)
	if err != nil {
		return Fact[string]{}, fmt.Errorf("reading %s: %w", file, err)
	}
	text := strings.TrimSpace(string(b))
	if text == "" {
		return Fact[string]{}, unrecognised(file, 0, "empty: want the server's command line")
	}
	if strings.ContainsRune(text, 0) {
		return Fact[string]{}, unrecognised(file, 0, "binary data: want the server's command line")
	}
	return NewFact(mask(strings.ToValidUTF8(text, "\uFFFD")), Source{File: file}), nil
}

func (r *Run) warn(id string, src Source, text string) {
	r.Warnings = append(r.Warnings, Warning{ID: id, Text: text, Source: src})
}

// addTrace joins the spans of several files.
func (r *Run) addTrace(t *Trace) {
	if r.Trace == nil {
		r.Trace = t
		return
	}
	a := r.Trace
	a.File += ", " + t.File
	a.Requests = append(a.Requests, t.Requests...)
	a.Startup = append(a.Startup, t.Startup...)
	a.Spans += t.Spans
	a.Other += t.Other
	services := map[string]bool{}
	for _, s := range append(a.Service, t.Service...) {
		services[s] = true
	}
	a.Service = sortedKeys(services)
	a.Warnings = append(a.Warnings, t.Warnings...)
	sortRequests(a.Requests)
	sort.SliceStable(a.Startup, func(i, k int) bool { return a.Startup[i].StartNS < a.Startup[k].StartNS })
}

// Requests are the requests of the run, from the server's spans if there are
// any, else from the benchmark's details.
func (r *Run) Requests() []Request {
	switch {
	case r.Trace != nil && len(r.Trace.Requests) > 0:
		return r.Trace.Requests
	case r.Bench != nil:
		return r.Bench.Requests
	}
	return nil
}

// AllWarnings are the warnings of the run and of every input, in that order.
func (r *Run) AllWarnings() []Warning {
	out := append([]Warning(nil), r.Warnings...)
	for _, b := range []*Bench{r.Bench, r.BenchDuringCapture} {
		if b != nil {
			out = append(out, b.Warnings...)
		}
	}
	switch {
	case r.Delta != nil: // holds those of both snapshots
		out = append(out, r.Delta.Warnings...)
	default:
		for _, m := range []*Metrics{r.Before, r.After} {
			if m != nil {
				out = append(out, m.Warnings...)
			}
		}
	}
	if r.Log != nil {
		out = append(out, r.Log.Warnings...)
	}
	if r.Trace != nil {
		out = append(out, r.Trace.Warnings...)
	}
	return out
}
