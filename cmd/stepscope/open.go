package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/demo"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/profile/kineto"
	"github.com/stepscope/stepscope/profile/nsys"
	"github.com/stepscope/stepscope/serving"
)

// input is what a PROFILE argument led to.
type input struct {
	profile *profile.Profile
	folder  string // the capture folder, "" when a file was named
	run     *serving.Run
	demo    bool
}

// label says on stderr that the embedded demo stands in for a profile: a script whose variable is not set would take it
// for its own. It is for the verbs whose output does not say so itself.
func (e *env) label(in *input) {
	if in.demo {
		fmt.Fprintf(e.stderr, "stepscope: no PROFILE was given: this is the embedded capture %s\n", demo.Name)
	}
}

// openInput reads what path names: a profile file, a capture folder with the server's evidence, a folder of trace files of
// one run's ranks or of Parquet tables; "" is the embedded demo.
func (e *env) openInput(path string, opt readOptions) (*input, error) {
	return e.openServed(path, opt, servingFlags{})
}

// openServed is openInput with the server's evidence that flags name before what the folder holds.
func (e *env) openServed(path string, opt readOptions, f servingFlags) (*input, error) {
	in, err := e.openProfile(path, opt)
	if err != nil {
		return nil, err
	}
	return in, in.loadServing(f)
}

// openProfile is openInput without the server's evidence.
func (e *env) openProfile(path string, opt readOptions) (*input, error) {
	if path == "" {
		return e.openDemo(opt)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, pathCause(err))
	}
	switch {
	case info.IsDir():
		return e.openFolder(path, opt)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("reading %s: not a regular file: give a .sqlite, .nsys-rep or trace file, or a folder", path)
	case info.Size() == 0:
		return nil, fmt.Errorf("reading %s: the file is empty", path)
	}
	p, err := e.openFile(path, opt)
	if err != nil {
		return nil, err
	}
	return &input{profile: p}, nil
}

// readOptions are the options that every verb with a PROFILE takes.
type readOptions struct {
	Nsys    string `name:"nsys" placeholder:"PATH" help:"The nsys program that exports .nsys-rep files (default: found on PATH and in the usual folders)."`
	Library bool   `name:"sqlite-library" hidden:"" help:"Read SQLite tables with the SQL engine only."`
}

// openFile tries the readers in order; the first that recognises the file decides.
func (e *env) openFile(path string, opt readOptions) (*profile.Profile, error) {
	bar := e.progress()
	defer bar.done()
	p, err := nsys.Open(e.ctx, path, nsys.Options{Nsys: opt.Nsys, LibraryOnly: opt.Library, Progress: bar.update})
	if err == nil || !errors.Is(err, profile.ErrUnrecognised) {
		return p, err
	}
	p, kerr := kineto.Open(e.ctx, path, kineto.Options{})
	if kerr == nil || !errors.Is(kerr, profile.ErrUnrecognised) {
		return p, kerr
	}
	return nil, fmt.Errorf("reading %s: %w: give an Nsight Systems report (.nsys-rep) or its SQLite or Parquet export, or a PyTorch profiler trace (.json, .json.gz)", path, profile.ErrUnrecognised)
}

// profileNames are the files of a capture folder that hold the profile, best first.
var profileNames = []string{"profile.sqlite", "profile.sqlite.zst", "profile.sqlite.gz", "profile.nsys-rep", "trace.json.gz", "trace.json"}

// openFolder reads the profile of a capture folder, a folder of per-rank traces, or a Parquet export.
func (e *env) openFolder(dir string, opt readOptions) (*input, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", dir, pathCause(err))
	}
	names := make([]string, 0, len(entries))
	for _, d := range entries {
		if !d.IsDir() {
			names = append(names, d.Name())
		}
	}
	in := &input{folder: dir}
	if name := pickProfile(names); name != "" {
		in.profile, err = e.openFile(filepath.Join(dir, name), opt)
	} else if slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(n, ".parquet") }) {
		in.profile, err = nsys.Open(e.ctx, dir, nsys.Options{Nsys: opt.Nsys})
	} else {
		in.profile, err = kineto.OpenDir(e.ctx, dir, kineto.Options{})
		if errors.Is(err, profile.ErrUnrecognised) {
			err = fmt.Errorf("reading %s: no profile in this folder: looked for %s, one *.sqlite or *.nsys-rep, *.trace.json(.gz) and *.parquet", dir, strings.Join(profileNames, ", "))
		}
	}
	if err != nil {
		return nil, err
	}
	return in, nil
}

// pickProfile returns the profile of a capture folder, "" if it has none or several of equal rank.
func pickProfile(names []string) string {
	for _, want := range profileNames {
		if slices.Contains(names, want) {
			return want
		}
	}
	for _, ext := range []string{".sqlite", ".nsys-rep", ".sqlite.zst"} {
		var hit []string
		for _, n := range names {
			if strings.HasSuffix(n, ext) {
				hit = append(hit, n)
			}
		}
		if len(hit) == 1 {
			return hit[0]
		}
	}
	return ""
}

// openDemo unpacks the embedded capture beside nothing of the user's: into a private temporary folder that is gone when
// the profile is read.
func (e *env) openDemo(opt readOptions) (*input, error) {
	files := demo.FS()
	dir, err := os.MkdirTemp("", "stepscope-demo-")
	if err != nil {
		return nil, fmt.Errorf("unpacking the demo: %w", err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, demo.Name+".sqlite.zst")
	if err := copyOut(files, "profile.sqlite.zst", path); err != nil {
		return nil, fmt.Errorf("unpacking the demo: %w", err)
	}
	p, err := nsys.Open(e.ctx, path, nsys.Options{CacheDir: dir, LibraryOnly: opt.Library})
	if err != nil {
		return nil, err
	}
	p.Source = "demo capture " + demo.Name
	return &input{profile: p, demo: true}, nil
}

func copyOut(files fs.FS, name, to string) error {
	src, err := files.Open(name)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(dst, src); err != nil {
		dst.Close()
		return err
	}
	return dst.Close()
}

// pathCause drops the operation and path that os puts around an error: the message names the path already.
func pathCause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// loadServing reads the server's evidence: what the capture folder or the demo holds, and what flags name in its place. What
// cannot be read of a folder is a warning of the run, not the end, as the profile still speaks; a file that was asked for
// is an error.
func (in *input) loadServing(f servingFlags) error {
	named := append([]string{f.Bench, f.MetricsBefore, f.MetricsAfter, f.ServerLog}, f.Spans...)
	named = slices.DeleteFunc(named, func(n string) bool { return n == "" })
	switch {
	case len(named) == 0 && in.demo:
		run, err := serving.LoadFolder(demo.FS())
		in.run = run
		return err
	case len(named) == 0 && in.folder == "":
		return nil
	case len(named) == 0:
		in.run, _ = serving.LoadFolder(os.DirFS(in.folder))
		return nil
	}
	files := serving.Files{}
	if in.folder != "" {
		if found, err := serving.Folder(os.DirFS(in.folder)); err == nil {
			files = found
			for _, p := range []*string{&files.Bench, &files.BenchDuringCapture, &files.MetricsBefore, &files.MetricsAfter, &files.ServerLog, &files.Command} {
				if *p != "" {
					*p = filepath.Join(in.folder, *p)
				}
			}
			for i := range files.Traces {
				files.Traces[i] = filepath.Join(in.folder, files.Traces[i])
			}
		}
	}
	if (f.MetricsBefore == "") != (f.MetricsAfter == "") && (files.MetricsBefore == "" || files.MetricsAfter == "") {
		return errors.New("--metrics-before and --metrics-after go together: counters mean something only as a difference")
	}
	for _, o := range []struct {
		flag string
		to   *string
	}{{f.Bench, &files.Bench}, {f.MetricsBefore, &files.MetricsBefore}, {f.MetricsAfter, &files.MetricsAfter}, {f.ServerLog, &files.ServerLog}} {
		if o.flag != "" {
			*o.to = o.flag
		}
	}
	files.Traces = append(files.Traces, f.Spans...)
	run, err := serving.Load(openRegular, files)
	in.run = run
	if err != nil && !slices.ContainsFunc(run.Warnings, func(w serving.Warning) bool {
		return (w.ID == "unreadable" || w.ID == "metrics-mismatch") && slices.Contains(named, w.Source.File)
	}) {
		return nil // only of what lies in the folder
	}
	return err
}

// openRegular opens a file that is one: opening a FIFO would wait for its writer.
func openRegular(name string) (io.ReadCloser, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, pathCause(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	return os.Open(name)
}
