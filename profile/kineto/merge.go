package kineto

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
)

// ErrDisjoint is wrapped when traces that were to be merged were not recorded at the same time.
var ErrDisjoint = errors.New("the traces were recorded at different times")

// file is one trace of several.
type file struct {
	name   string
	p      *profile.Profile
	events uint32 // elements of traceEvents, to number rows on
	world  int64  // size of the job, 0 = not recorded
	err    error
}

// span returns the file's window in Unix time.
func (f *file) span() interval.Span {
	t := f.p.SessionStartUnixNs
	return interval.Span{Start: t + f.p.Window.Start, End: t + f.p.Window.End}
}

func (f *file) work() (ns int64) {
	for _, d := range f.p.Kernels.Dur {
		ns += d
	}
	return ns
}

// OpenAll reads traces of several processes of one run, one file a rank, and merges them into one Profile. Their
// clocks are laid over each other by their wall-clock times: exact on one host, as good as the hosts' clocks agree
// between hosts; a Diagnostic says so. Every file keeps a process of its own, so correlation ids never mix. The window
// is the time that every file with kernels covers, so that a rank that was not yet recording is not idle.
func OpenAll(ctx context.Context, paths []string, opt Options) (*profile.Profile, error) {
	if len(paths) == 0 {
		return nil, errors.New("no trace given")
	}
	if len(paths) == 1 {
		return Open(ctx, paths[0], opt)
	}
	files := openFiles(ctx, paths, opt)
	for _, f := range files {
		if f.err != nil {
			return nil, f.err
		}
	}
	return merge(files)
}

// OpenDir reads the traces of a folder that belong together. Of several traces of one worker the newest counts, of
// several sessions the one with most GPU work; Diagnostics name what was left out. Files that are no traces are passed
// over.
func OpenDir(ctx context.Context, dir string, opt Options) (*profile.Profile, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", filepath.Base(dir), err)
	}
	var names []string
	for _, e := range entries {
		if n := e.Name(); !e.IsDir() && (strings.HasSuffix(n, ".json") || strings.HasSuffix(n, ".json.gz")) &&
			sniffFile(ctx, filepath.Join(dir, n)) {
			names = append(names, n)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("reading %s: %w: no PyTorch profiler trace (*.json, *.json.gz) in the folder",
			filepath.Base(dir), profile.ErrUnrecognised)
	}
	names, older := newest(names)
	paths := make([]string, len(names))
	for i, n := range names {
		paths[i] = filepath.Join(dir, n)
	}
	files := openFiles(ctx, paths, opt)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var good []*file
	var notes []profile.Diagnostic
	note := func(sev profile.Severity, n int, format string, args ...any) {
		notes = append(notes, profile.Diagnostic{Severity: sev, Source: "reader", Text: fmt.Sprintf(format, args...), Count: int64(n)})
	}
	for _, f := range files {
		if f.err != nil {
			note(profile.Warning, 0, "left out: %v", f.err)
			continue
		}
		good = append(good, f)
	}
	if len(good) == 0 {
		return nil, files[0].err
	}
	if len(older) > 0 {
		note(profile.Info, len(older), "older traces of the same workers are left out: %s", list(older, 3))
	}
	good, out := session(good)
	if len(out) > 0 {
		note(profile.Warning, len(out), "traces recorded at another time are left out; open them alone: %s", list(out, 3))
	}
	if len(good) == 1 {
		p := good[0].p
		p.Diagnostics = append(p.Diagnostics, notes...)
		return p, nil
	}
	p, err := merge(good)
	if err != nil {
		return nil, err
	}
	p.Diagnostics = append(p.Diagnostics, notes...)
	return p, nil
}

// sniffFile reports whether the file starts like a trace.
func sniffFile(ctx context.Context, path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	s, err := newSource(ctx, f, sniffLen, sniffLen)
	return err == nil && Sniff(s.rest())
}

// openFiles reads files side by side. The results are in the order of paths.
func openFiles(ctx context.Context, paths []string, opt Options) []*file {
	files := make([]*file, len(paths))
	slots := make(chan struct{}, min(runtime.GOMAXPROCS(0), 4))
	var wg sync.WaitGroup
	for i, path := range paths {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			files[i] = openFile(ctx, path, opt)
		})
	}
	wg.Wait()
	return files
}

func openFile(ctx context.Context, path string, opt Options) *file {
	f := &file{name: filepath.Base(path)}
	r, err := os.Open(path)
	if err != nil {
		f.err = fmt.Errorf("reading %s: %w", f.name, err)
		return f
	}
	defer r.Close()
	d, err := readWindow(ctx, f.name, r, opt, windowSize, maxToken)
	if err != nil {
		f.err = err
		return f
	}
	f.p, f.events, f.world = d.b.p, d.b.ordinal, d.meta.world
	return f
}

// Names of traces: "<worker>.<time>.pt.trace.json.gz" of torch.profiler's handler (vLLM),
// "<time>-TP-0[-DP-0...].trace.json.gz" of SGLang.
var (
	reHandler = regexp.MustCompile(`^(.*)\.(\d{10,19})\.pt\.trace\.json(?:\.gz)?$`)
	reSGLang  = regexp.MustCompile(`^(\d{9,19}(?:\.\d+)?)-(TP-\d.*)\.trace\.json(?:\.gz)?$`)
	reRank    = regexp.MustCompile(`(?:^|[_.-])rank[_-]?(\d{1,5})(?:[_.-]|$)|(?:^|[_.-])TP-(\d{1,5})(?:[_.-]|$)`)
)

// newest keeps the newest trace of every worker, by name.
func newest(names []string) (keep, older []string) {
	type pick struct {
		name  string
		stamp float64
	}
	best := map[string]pick{}
	merged := false
	for _, n := range names {
		worker, stamp := n, 0.0
		if m := reHandler.FindStringSubmatch(n); m != nil {
			worker = m[1]
			stamp, _ = strconv.ParseFloat(m[2], 64)
		} else if m := reSGLang.FindStringSubmatch(n); m != nil {
			worker = m[2]
			stamp, _ = strconv.ParseFloat(m[1], 64)
			merged = true
		}
		old, ok := best[worker]
		switch {
		case !ok:
			best[worker] = pick{n, stamp}
		case stamp >= old.stamp:
			older = append(older, old.name)
			best[worker] = pick{n, stamp}
		default:
			older = append(older, n)
		}
	}
	for _, b := range best {
		if merged && strings.HasPrefix(b.name, "merged-") { // SGLang's sum of the parts that are here
			older = append(older, b.name)
			continue
		}
		keep = append(keep, b.name)
	}
	slices.Sort(keep)
	slices.Sort(older)
	return keep, older
}

// session keeps the files that cover a common time with the one that has most GPU work.
func session(files []*file) (keep []*file, out []string) {
	anchor := files[0]
	for _, f := range files[1:] {
		if c := cmp.Compare(f.work(), anchor.work()); c > 0 || c == 0 && f.span().End > anchor.span().End {
			anchor = f
		}
	}
	if anchor.p.SessionStartUnixNs == 0 {
		keep = []*file{anchor}
		for _, f := range files {
			if f != anchor {
				out = append(out, f.name)
			}
		}
		return keep, out
	}
	overlap := func(f *file) int64 {
		if f.p.SessionStartUnixNs == 0 {
			return 0
		}
		return anchor.span().Clip(f.span()).Dur()
	}
	order := slices.Clone(files)
	slices.SortStableFunc(order, func(a, b *file) int { return cmp.Compare(overlap(b), overlap(a)) })
	common := anchor.span()
	for _, f := range order {
		c := common.Clip(f.span())
		if f != anchor && (overlap(f) == 0 || c.Empty()) {
			out = append(out, f.name)
			continue
		}
		if f.p.Kernels.Len() > 0 {
			common = c
		}
		keep = append(keep, f)
	}
	slices.Sort(out)
	return keep, out
}

// rankOfName reads the rank out of a trace's file name: "dp0_pp0_tp1_rank1.<time>.pt.trace.json.gz", "...-TP-1.trace.json.gz".
func rankOfName(name string) (int32, bool) {
	m := reRank.FindStringSubmatch(name)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseUint(cmp.Or(m[1], m[2]), 10, 31)
	return int32(n), err == nil
}

// rank orders files: by rank, those without one last.
func (f *file) rank() int32 {
	r := int32(1<<31 - 1)
	for _, p := range f.p.Processes {
		if p.Rank != profile.None {
			r = min(r, p.Rank)
		}
	}
	return r
}

// merge joins files into one Profile.
func merge(files []*file) (*profile.Profile, error) {
	files = slices.Clone(files)
	slices.SortStableFunc(files, func(a, b *file) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.name, b.name))
	})
	window, err := commonWindow(files)
	if err != nil {
		return nil, err
	}
	out := &profile.Profile{
		Format: "kineto-json", Producer: files[0].p.Producer, Schema: files[0].p.Schema,
		Source: fmt.Sprintf("%s and %d more", files[0].name, len(files)-1),
		Window: interval.Span{Start: 0, End: window.Dur()}, SessionStartUnixNs: window.Start,
	}
	j := &joiner{out: out, b: profile.NewBuilder(out)}
	out.Capture.RecordShape = true
	for k, f := range files {
		j.add(f, int64(k), f.p.SessionStartUnixNs-window.Start)
		c := f.p.Capture
		out.Capture.Truncated = out.Capture.Truncated || c.Truncated
		out.Capture.WithStack = out.Capture.WithStack || c.WithStack
		out.Capture.RecordShape = out.Capture.RecordShape && (c.RecordShape || f.p.Kernels.Len() == 0)
		if out.Capture.GraphTrace == "" {
			out.Capture.GraphTrace = c.GraphTrace
		}
		if out.Capture.Derived == "" && c.Derived != "" {
			out.Capture.Derived = f.name + ": " + c.Derived
		}
	}
	renumbered := uniqueDevices(out)
	out.Sort()
	out.Join()
	if out.Calls.External == nil {
		out.Calls.External = []int64{}
	}
	describe(out, files, renumbered)
	if err := out.CheckValid(); err != nil {
		return nil, fmt.Errorf("%w: merging %d traces: %w", profile.ErrMalformed, len(files), err)
	}
	return out, nil
}

// commonWindow returns the Unix time that every file with kernels covers (every file, when none has kernels).
func commonWindow(files []*file) (interval.Span, error) {
	for _, f := range files {
		if f.p.SessionStartUnixNs == 0 {
			return interval.Span{}, fmt.Errorf("reading %s: the trace has no wall-clock time, so it cannot be aligned with others; open it alone", f.name)
		}
	}
	kernels := slices.ContainsFunc(files, func(f *file) bool { return f.p.Kernels.Len() > 0 })
	var w interval.Span
	var last *file
	for _, f := range files {
		if kernels && f.p.Kernels.Len() == 0 {
			continue
		}
		s := f.span()
		if last == nil {
			w, last = s, f
			continue
		}
		c := w.Clip(s)
		if c.Empty() {
			return w, fmt.Errorf("%w: %s covers no time that %s does; open one session at a time", ErrDisjoint, f.name, last.name)
		}
		w, last = c, f
	}
	return w, nil
}
