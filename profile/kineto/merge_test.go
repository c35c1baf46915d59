package kineto

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/internal/proftest"
	"github.com/stepscope/stepscope/profile"
)

// folder writes files into a new directory.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		data := []byte(text)
		if strings.HasSuffix(name, ".gz") {
			data = pack(t, data)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// rankTrace is eager.json as another rank, shifted in time by its base time.
func rankTrace(t *testing.T, rank, base string) string {
	s := string(sample(t, "eager.json"))
	s = strings.Replace(s, `"rank": 3, "world_size": 8`, `"rank": `+rank+`, "world_size": 2`, 1)
	return strings.Replace(s, `"baseTimeNanoseconds": 1790857026000000000`, `"baseTimeNanoseconds": `+base, 1)
}

const (
	base0 = "1790857026000000000"
	base1 = "1790857026000010007" // 10.007 us later
	later = "1790857126000000000"
)

func TestOpenAll(t *testing.T) {
	dir := folder(t, map[string]string{
		"b.json":    rankTrace(t, "0", base0),
		"a.json.gz": rankTrace(t, "1", base1),
	})
	ctx := context.Background()
	p, err := OpenAll(ctx, []string{filepath.Join(dir, "a.json.gz"), filepath.Join(dir, "b.json")}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "two-ranks.golden", dump(p))
	again, err := OpenAll(ctx, []string{filepath.Join(dir, "b.json"), filepath.Join(dir, "a.json.gz")}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if dump(p) != dump(again) {
		t.Errorf("the order of the files changes the result:\n%s", diff(dump(p), dump(again)))
	}
	// Each rank has its process, its device and its own launches, though pids, device numbers and correlation ids agree.
	if len(p.Processes) != 2 || len(p.Devices) != 2 || p.Devices[0].ID == p.Devices[1].ID {
		t.Fatalf("processes %v, devices %v", p.Processes, p.Devices)
	}
	for i, c := range p.Kernels.Call {
		if c == profile.None || p.Threads[p.Calls.Thread[c]].Process != p.Queues[p.Kernels.Queue[i]].Process {
			t.Errorf("kernel %d joins call %d of another process", i, c)
		}
	}
	if p.Calls.External[0] == p.Calls.External[1] {
		t.Errorf("External id %d of two ranks", p.Calls.External[0])
	}
	// The window is what both cover: it starts with the later one and ends with the earlier one.
	if p.Window.Dur() != 50000-10007 || p.SessionStartUnixNs != 1790857026001010007 {
		t.Errorf("window %v from %d", p.Window, p.SessionStartUnixNs)
	}
	if d := p.Kernels.Start[1] - p.Kernels.Start[0]; d != 10007 {
		t.Errorf("the ranks' kernels lie %d ns apart, want 10007", d)
	}
}

func TestOpenAllErrors(t *testing.T) {
	ctx := context.Background()
	dir := folder(t, map[string]string{
		"rank0.json": rankTrace(t, "0", base0),
		"late.json":  rankTrace(t, "0", later),
		"bare.json":  string(sample(t, "bare-array.json")),
		"bad.json":   string(sample(t, "garbage-first.json")),
	})
	at := func(names ...string) (paths []string) {
		for _, n := range names {
			paths = append(paths, filepath.Join(dir, n))
		}
		return paths
	}
	if _, err := OpenAll(ctx, at("rank0.json", "late.json"), Options{}); !errors.Is(err, ErrDisjoint) || !strings.Contains(err.Error(), "open one session at a time") {
		t.Errorf("disjoint: %v", err)
	}
	if _, err := OpenAll(ctx, at("rank0.json", "bare.json"), Options{}); err == nil || !strings.Contains(err.Error(), "bare.json") {
		t.Errorf("no clock: %v", err)
	}
	if _, err := OpenAll(ctx, at("rank0.json", "bad.json"), Options{}); !errors.Is(err, profile.ErrMalformed) {
		t.Errorf("malformed: %v", err)
	}
	if _, err := OpenAll(ctx, nil, Options{}); err == nil {
		t.Error("no files: no error")
	}
	if p, err := OpenAll(ctx, at("rank0.json"), Options{}); err != nil || p.Source != "rank0.json" {
		t.Errorf("one file: %v", err)
	}
}

func TestOpenDir(t *testing.T) {
	front := `{"schemaVersion": 1, "deviceProperties": [{"id": 0, "name": "NVIDIA H100 80GB HBM3"}, {"id": 1, "name": "NVIDIA H100 80GB HBM3"}], "baseTimeNanoseconds": ` + base0 +
		`, "traceEvents": [{"ph": "X", "cat": "cpu_op", "name": "poll", "pid": 7, "tid": 7, "ts": 1005, "dur": 2}, {"ph": "X", "cat": "Trace", "ts": 900, "dur": 200, "pid": "Spans", "tid": "x", "name": "PyTorch Profiler (0)"}]}`
	dir := folder(t, map[string]string{
		"dp0_pp0_tp0_dcp0_ep0_rank0.1790857026100000000.pt.trace.json.gz": rankTrace(t, "0", base0),
		"dp0_pp0_tp1_dcp0_ep0_rank1.1790857026100000900.pt.trace.json.gz": rankTrace(t, "1", base1),
		"dp0_pp0_tp0_dcp0_ep0_rank0.1790850000000000000.pt.trace.json.gz": rankTrace(t, "0", "1790857000000000000"),
		"host_7.async_llm.1790857026100000500.pt.trace.json.gz":           front,
		"other.1790857126100000000.pt.trace.json":                         strings.Replace(rankTrace(t, "0", later), "5.999", "1.999", 1),
		"broken.1790857126100000000.pt.trace.json":                        string(sample(t, "garbage-first.json")),
		"bench.json":         `{"completed": 96}`,
		"profiler_out_0.txt": "table",
	})
	p, err := OpenDir(context.Background(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Kernels.Len() != 2 || len(p.Processes) != 3 || len(p.Devices) != 2 || p.Ops.Len() != 3 {
		t.Errorf("%d kernels, %d operators, processes %v, devices %v", p.Kernels.Len(), p.Ops.Len(), p.Processes, p.Devices)
	}
	for _, text := range []string{
		"traces merged, aligned by their wall-clock times",
		"older traces of the same workers are left out: dp0_pp0_tp0_dcp0_ep0_rank0.1790850000000000000",
		"recorded at another time are left out; open them alone: other.1790857126100000000",
		"left out: reading broken.1790857126100000000.pt.trace.json: malformed",
	} {
		if !says(p, text) {
			t.Errorf("nothing says %q: %v", text, p.Diagnostics)
		}
	}
	if says(p, "the job has") {
		t.Errorf("both ranks are here: %v", p.Diagnostics)
	}
}

func TestOpenDirMissingRanks(t *testing.T) {
	text := strings.Replace(rankTrace(t, "0", base0), `"world_size": 2`, `"world_size": 8`, 1)
	dir := folder(t, map[string]string{"rank0.json": text, "rank1.json": rankTrace(t, "1", base1)})
	p, err := OpenDir(context.Background(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !says(p, "the job has 8 ranks, traces of 2 are here") {
		t.Errorf("%v", p.Diagnostics)
	}
}

func TestOpenDirNothing(t *testing.T) {
	dir := folder(t, map[string]string{"bench.json": `{"completed": 96}`})
	if _, err := OpenDir(context.Background(), dir, Options{}); !errors.Is(err, profile.ErrUnrecognised) {
		t.Errorf("%v", err)
	}
	if _, err := OpenDir(context.Background(), filepath.Join(dir, "absent"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// TestOpenDirCapture opens a capture folder: its one trace among other JSON files.
func TestOpenDirCapture(t *testing.T) {
	dir := proftest.SharedCapture(t, "base8b-kineto-A")
	p, err := OpenDir(context.Background(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Source != "trace.json.gz" || p.Kernels.Len() == 0 {
		t.Errorf("%s with %d kernels", p.Source, p.Kernels.Len())
	}
}

func TestNewest(t *testing.T) {
	keep, older := newest([]string{
		"1764000000.5-TP-0.trace.json.gz", "1764000000.5-TP-1.trace.json.gz", "1763000000.1-TP-0.trace.json.gz",
		"merged-1764000000.5.trace.json.gz", "rank0.1790857026100000000.pt.trace.json", "rank0.999999999999999999.pt.trace.json", "trace.json",
	})
	if want := []string{"1764000000.5-TP-0.trace.json.gz", "1764000000.5-TP-1.trace.json.gz", "rank0.1790857026100000000.pt.trace.json", "trace.json"}; !slices.Equal(keep, want) {
		t.Errorf("keep %v", keep)
	}
	if want := []string{"1763000000.1-TP-0.trace.json.gz", "merged-1764000000.5.trace.json.gz", "rank0.999999999999999999.pt.trace.json"}; !slices.Equal(older, want) {
		t.Errorf("older %v", older)
	}
}

func TestRankOfName(t *testing.T) {
	for name, want := range map[string]int32{
		"rank0.1790857026.pt.trace.json.gz": 0, "dp0_pp0_tp1_dcp0_ep0_rank5.17.pt.trace.json.gz": 5,
		"1764000000.5-TP-3.trace.json.gz": 3, "1764-TP-2-DP-1.trace.json.gz": 2, "trace.json": -1, "frank7.json": -1,
	} {
		got, ok := rankOfName(name)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("rank of %s: %d, want %d", name, got, want)
		}
	}
}
