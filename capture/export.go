package capture

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// reportNumber is the number that nsys gives reports of repeated ranges: report.1.nsys-rep.
var reportNumber = regexp.MustCompile(`^report(?:\.(\d+))?\.nsys-rep$`)

// export turns the report into profile.sqlite without private data.
func (r *resolved) export(ctx context.Context, m *Manifest, progress Progress) error {
	progress.event(Exporting, "nsys export")
	reports, err := filepath.Glob(r.path("report*.nsys-rep"))
	if err != nil {
		return err
	}
	reports = slices.DeleteFunc(reports, func(p string) bool { return !reportNumber.MatchString(filepath.Base(p)) })
	if len(reports) == 0 {
		return r.noReport()
	}
	number := func(p string) int {
		n, _ := strconv.Atoi(reportNumber.FindStringSubmatch(filepath.Base(p))[1])
		return n
	}
	slices.SortFunc(reports, func(a, b string) int { return cmp.Compare(number(a), number(b)) })
	if len(reports) > 1 {
		m.Warnings = append(m.Warnings, fmt.Sprintf("the profiler left %d reports; the first one is used", len(reports)))
	}
	out := r.path("profile.sqlite")
	text, err := run(ctx, nil, r.o.Nsys.Path, "export", "--type", "sqlite", "-o", out, "-f", "true", reports[0])
	if _, serr := os.Stat(out); err != nil || serr != nil {
		if ctx.Err() != nil {
			return &Failure{Stage: Exporting, Kind: ctx.Err(), Text: "stopped while the report was exported"}
		}
		return &Failure{Stage: Exporting, Kind: ErrNoReport, Text: fmt.Sprintf("nsys could not export %s: %s", filepath.Base(reports[0]), shown(lastLines(text, 3), 400))}
	}
	progress.event(Exporting, "taking private data out")
	s, err := strip(ctx, out)
	if err != nil {
		return err
	}
	name, err := leak(out, append(os.Environ(), r.env...))
	if err != nil {
		return err
	}
	if name != "" {
		os.Remove(out)
		return &Failure{Stage: Exporting, Kind: ErrNoReport, Text: fmt.Sprintf("the exported profile holds the value of %s in a place where this version does not take it out, and was removed: unset the variable for the capture", name)}
	}
	m.Stripped = &s
	if v := exportedBy(out); v != "" { // what nsys says of itself may differ where it comes with another tool
		m.Profiler.Version = v
	}
	if r.o.KeepReport {
		if err := os.Rename(reports[0], r.path("profile.nsys-rep")); err != nil {
			return fmt.Errorf("writing %s: %w", r.partial, cause(err))
		}
		m.Warnings = append(m.Warnings, "profile.nsys-rep holds the server's environment, command line and output: do not share it")
		reports = reports[1:]
	}
	for _, p := range reports {
		os.Remove(p)
	}
	return nil
}

// noReport explains a missing report.
func (r *resolved) noReport() error {
	f := &Failure{Stage: Exporting, Kind: ErrNoReport, Log: r.path(logName), Tail: logTail(r.path(logName), 8)}
	if raw, _ := filepath.Glob(r.path("*.qdstrm")); len(raw) > 0 {
		f.Text = "nsys recorded, but could not turn its stream into a report: its importer lacks libraries (see what `ldd` says of QdstrmImporter beside nsys)"
	} else {
		f.Text = "nsys wrote none: the capture range was never opened in a process that it traces, or it was killed before it could write"
	}
	return f
}

// traces moves the torch profiler's traces into the folder. Writing them goes on after the server has answered.
func (r *resolved) traces(m *Manifest) error {
	dir := r.path("torch")
	found, err := filepath.Glob(filepath.Join(dir, "*.json*"))
	if err != nil {
		return err
	}
	more, _ := filepath.Glob(filepath.Join(dir, "*", "*.json*"))
	found = slices.DeleteFunc(append(found, more...), func(p string) bool { return !strings.HasSuffix(p, ".json") && !strings.HasSuffix(p, ".json.gz") })
	slices.Sort(found)
	if len(found) == 0 {
		return &Failure{Stage: Exporting, Kind: ErrNoReport, Text: "the torch profiler wrote no trace", Log: r.path(logName), Tail: logTail(r.path(logName), 8)}
	}
	for i, p := range found {
		name := "trace.json"
		if strings.HasSuffix(p, ".gz") {
			name += ".gz"
		}
		if len(found) > 1 { // one a rank: each keeps its name
			name = filepath.Base(p)
			if slices.ContainsFunc(found[:i], func(o string) bool { return filepath.Base(o) == name }) {
				name = fmt.Sprintf("%d-%s", i, name)
			}
		}
		if err := os.Rename(p, r.path(name)); err != nil {
			return fmt.Errorf("writing %s: %w", r.path(name), cause(err))
		}
	}
	return os.RemoveAll(dir)
}

// settled waits until the traces in the folder do not grow any more, at most limit.
func (r *resolved) settled(ctx context.Context, limit time.Duration) {
	var last int64 = -1
	for deadline := time.Now().Add(limit); time.Now().Before(deadline) && ctx.Err() == nil; {
		var size int64
		_ = filepath.Walk(r.path("torch"), func(_ string, info os.FileInfo, err error) error {
			if err == nil && !info.IsDir() {
				size += info.Size()
			}
			return nil
		})
		if size > 0 && size == last {
			return
		}
		last = size
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	if t := strings.Join(lines, " | "); t != "" {
		return t
	}
	return "it printed nothing"
}
