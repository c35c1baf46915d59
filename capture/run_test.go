//go:build unix

package capture_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stepscope/stepscope/capture"
	"github.com/stepscope/stepscope/internal/fakeopenai"
	"github.com/stepscope/stepscope/knob"
	"github.com/stepscope/stepscope/profile/nsys"
	"github.com/stepscope/stepscope/serving"
)

// noSecrets fails when a file of the folder holds what must not travel.
func noSecrets(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, s := range []string{secret, "topsecretvalue", "hostname-of-mine", "somebodys-browser", "/home/somebody", "abcdefghijklmnop", "foreign-thread"} {
			if bytes.Contains(b, []byte(s)) {
				t.Errorf("%s holds %q", path, s)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// nothingLeft fails when a process with one of the commands of the test is alive.
func nothingLeft(t *testing.T, o capture.Options) {
	t.Helper()
	if runtime.GOOS != "linux" {
		return
	}
	found, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range found {
		b, err := os.ReadFile(f)
		if err == nil && len(o.Argv) > 0 && filepath.IsAbs(o.Argv[0]) && bytes.Contains(b, []byte(filepath.Dir(o.Argv[0]))) {
			stat, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "stat"))
			if !bytes.Contains(stat, []byte(") Z ")) {
				t.Errorf("still running: %s", bytes.ReplaceAll(b, []byte{0}, []byte{' '}))
			}
		}
	}
}

func TestCaptureUnderNsys(t *testing.T) {
	o := options(t, "ok")
	pidFile := filepath.Join(t.TempDir(), "pid")
	t.Setenv("FAKE_ENGINE_PID", pidFile)
	var stages []capture.Stage
	res, err := capture.Run(context.Background(), o, func(e capture.Event) {
		if len(stages) == 0 || stages[len(stages)-1] != e.Stage {
			stages = append(stages, e.Stage)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, o)
	if runtime.GOOS == "linux" {
		b, err := os.ReadFile(pidFile)
		if err != nil {
			t.Fatal(err)
		}
		pid, _ := strconv.Atoi(string(b))
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && !bytes.Contains(stat, []byte(") Z ")) {
			t.Errorf("the engine process %d, in a session of its own and deaf to SIGTERM, was left", pid)
		}
	}
	var mode fs.FileMode
	for _, n := range []string{"bench.json", "bench_during_capture.json", "metrics_before.txt", "metrics_after.txt", "server.log", "command.txt", "profile.sqlite", "samples.json", "manifest.json"} {
		info, err := os.Stat(filepath.Join(o.Out, n))
		if err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", n, err)
			continue
		}
		if mode == 0 {
			mode = info.Mode()
		}
		if info.Mode() != mode { // a folder to share
			t.Errorf("%s has mode %v, others have %v", n, info.Mode(), mode)
		}
	}
	entries, _ := os.ReadDir(o.Out)
	if len(entries) != 9 {
		t.Errorf("the folder holds %v", entries)
	}
	if _, err := os.Stat(o.Out + ".partial"); err == nil {
		t.Error("the partial folder is still there")
	}
	noSecrets(t, o.Out)
	fsys := os.DirFS(o.Out)
	m, usage, err := capture.Sidecar(fsys)
	if err != nil {
		t.Fatal(err)
	}
	if p := m.Verify(fsys); len(p) > 0 || len(m.Files) != 8 {
		t.Errorf("manifest: %v, %d files", p, len(m.Files))
	}
	if usage == nil || len(usage.GPUUtil) == 0 || usage.StartupS == nil || *usage.StartupS <= 0 {
		t.Errorf("usage %+v", usage)
	}
	if m.Window == nil || m.Window.StopMs-m.Window.ReadyMs < 100 || m.Stripped.Streams != 2 || m.GPUs[0].Name != "NVIDIA H100 80GB HBM3" || m.Load.Requests != 6 || m.Load.Model != "m" {
		t.Errorf("manifest %+v", m)
	}
	for _, n := range []string{"command.txt", "manifest.json"} { // where the folder lay while it was made is nobody's business
		if b, err := os.ReadFile(filepath.Join(o.Out, n)); err != nil || bytes.Contains(b, []byte(o.Out)) || bytes.Contains(b, []byte(o.Nsys.Path)) {
			t.Errorf("%s: %v\n%s", n, err, b)
		}
	}
	if m.Wrapper[0] != "nsys" || m.Wrapper[len(m.Wrapper)-1] != "report" {
		t.Errorf("wrapper %q", m.Wrapper)
	}
	if m.Profiler.Version != "2025.3.2.0" { // as the export has it
		t.Errorf("profiler %+v", m.Profiler)
	}
	run, err := serving.LoadFolder(fsys)
	if err != nil {
		t.Fatal(err)
	}
	if run.Bench == nil || run.Bench.Completed.Value != 6 || run.BenchDuringCapture == nil {
		t.Errorf("bench %+v", run.Bench)
	}
	if run.Delta == nil || run.Delta.Requests.Known && run.Delta.Requests.Value != 6 {
		t.Errorf("warm-up is in the metrics: %+v", run.Delta)
	}
	p, err := nsys.Open(context.Background(), filepath.Join(o.Out, "profile.sqlite"), nsys.Options{})
	if err != nil || p.Kernels.Len() != 1 || p.Calls.Len() != 1 || p.Capture.GraphTrace != "node" {
		t.Errorf("profile after stripping: %v, %+v", err, p)
	}
	want := []capture.Stage{capture.Checking, capture.Starting, capture.WarmingUp, capture.Measuring, capture.Profiling, capture.Stopping, capture.Exporting, capture.Writing}
	if got := slices.Compact(slices.Clone(stages)); !slices.Equal(got, want) {
		// Warm-up's own progress is counted under the stage that it belongs to.
		for _, s := range want {
			if !slices.Contains(got, s) {
				t.Errorf("stage %s was not reported: %v", s, got)
			}
		}
	}
	if res.Measured.Completed != 6 || res.Profiled == nil {
		t.Errorf("result %+v", res)
	}
}

func TestCaptureWithTorch(t *testing.T) {
	o := options(t, "ok")
	o.Profiler, o.Nsys = capture.Torch, capture.Program{}
	if _, err := capture.Run(context.Background(), o, nil); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(o.Out, "trace.json.gz")); err != nil || string(b) != "trace" {
		t.Errorf("%q, %v", b, err)
	}
	nothingLeft(t, o)
}

func TestLoadOfARunningServer(t *testing.T) {
	srv := fakeopenai.New(t, fakeopenai.Config{})
	o := options(t, "ok")
	o.Argv, o.URL = nil, srv.URL
	if _, err := capture.Run(context.Background(), o, nil); err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir(o.Out)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"bench.json", "manifest.json", "metrics_after.txt", "metrics_before.txt", "samples.json"}; !slices.Equal(names, want) {
		t.Errorf("the folder holds %v, want %v", names, want)
	}
	if len(srv.Profiles()) > 0 {
		t.Errorf("a server that is not ours was profiled: %v", srv.Profiles())
	}
}

// Every way to fail is told apart, ends all children and leaves no folder that could be taken for a result.
func TestFailures(t *testing.T) {
	for _, tc := range []struct {
		name, mode string
		edit       func(*testing.T, *capture.Options)
		want       error
		text       string
		left       bool // the partial folder explains something
	}{
		{name: "server dies", mode: "exit", want: capture.ErrServerExited, text: "Python module", left: true},
		{name: "out of memory", mode: "oom", want: capture.ErrOutOfMemory, text: "--gpu-memory-utilization", left: true},
		{name: "no room for the cache", mode: "kv", want: capture.ErrOutOfMemory, text: "KV cache", left: true},
		{name: "unknown option", mode: "argument", want: capture.ErrUsage, text: "--no-such-option", left: true},
		{name: "never healthy", mode: "never", want: capture.ErrNeverHealthy, text: "did not answer within", left: true, edit: func(_ *testing.T, o *capture.Options) { o.Startup = 700 * time.Millisecond }},
		{name: "dies under load", mode: "die-in-load", want: capture.ErrOutOfMemory, text: "memory", left: true},
		{name: "dies in the window", mode: "die-in-window", want: capture.ErrServerExited, text: "exit status 1", left: true},
		{name: "no hook", mode: "no-hook", want: capture.ErrNoHook, text: "/start_profile", left: true},
		{name: "no report", mode: "ok", want: capture.ErrNoReport, text: "capture range", left: true, edit: func(t *testing.T, _ *capture.Options) { t.Setenv("FAKE_NSYS", "no-report") }},
		{name: "importer broken", mode: "ok", want: capture.ErrNoReport, text: "ldd", left: true, edit: func(t *testing.T, _ *capture.Options) { t.Setenv("FAKE_NSYS", "qdstrm") }},
		{name: "export fails", mode: "ok", want: capture.ErrNoReport, text: "lacks a library", left: true, edit: func(t *testing.T, _ *capture.Options) { t.Setenv("FAKE_NSYS", "no-export") }},
		{name: "no nsys", mode: "ok", want: capture.ErrNoProfiler, text: "--nsys", edit: func(_ *testing.T, o *capture.Options) { o.Nsys = capture.Program{} }},
		{name: "no GPU", mode: "ok", want: capture.ErrNoGPU, text: "nvidia-smi", edit: func(t *testing.T, _ *capture.Options) {
			if _, err := os.Stat("/dev/nvidiactl"); err == nil {
				t.Skip("this machine has a GPU")
			}
			t.Setenv("FAKE_SMI", "none")
		}},
		{name: "no such program", mode: "ok", want: capture.ErrUsage, text: "not found", edit: func(_ *testing.T, o *capture.Options) { o.Argv = []string{"no-such-program-anywhere", "serve", "/m"} }},
		{name: "container", mode: "ok", want: capture.ErrUsage, text: "inside", edit: func(_ *testing.T, o *capture.Options) { o.Argv = []string{"docker", "run", "vllm/vllm-openai"} }},
		{name: "old engine", mode: "ok", want: capture.ErrNoHook, text: "torch", edit: func(_ *testing.T, o *capture.Options) { o.Engine = knob.Engine{Name: knob.VLLM, Version: "0.11.0"} }},
		{name: "folder is there", mode: "ok", want: capture.ErrExists, text: "--out", edit: func(t *testing.T, o *capture.Options) {
			if err := os.Mkdir(o.Out, 0o755); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := options(t, tc.mode)
			if tc.edit != nil {
				tc.edit(t, &o)
			}
			_, err := capture.Run(context.Background(), o, nil)
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("%v\nwant %v with %q", err, tc.want, tc.text)
			}
			if strings.Contains(fmt.Sprint(err), secret) {
				t.Errorf("the error shows a secret: %v", err)
			}
			unfinished(t, o, tc.left)
			nothingLeft(t, o)
		})
	}
}

// unfinished checks that no whole folder is there, and that what is left says so.
func unfinished(t *testing.T, o capture.Options, left bool) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(o.Out, capture.ManifestName)); err == nil {
		t.Error("the folder is there")
	}
	_, err := os.Stat(filepath.Join(o.Out+".partial", "INCOMPLETE"))
	if left && err != nil {
		t.Errorf("nothing explains the failure: %v", err)
	}
	if _, serr := os.Stat(o.Out + ".partial"); !left && serr == nil {
		t.Error("a partial folder is left that explains nothing")
	}
	if left {
		if _, err := os.Stat(filepath.Join(o.Out+".partial", capture.ManifestName)); err == nil {
			t.Error("the partial folder has a manifest")
		}
		if _, _, err := capture.Sidecar(os.DirFS(o.Out + ".partial")); err == nil || !strings.Contains(err.Error(), "INCOMPLETE") {
			t.Errorf("the partial folder is taken for a capture: %v", err)
		}
		if run, _ := serving.LoadFolder(os.DirFS(o.Out + ".partial")); !slices.ContainsFunc(run.Warnings, func(w serving.Warning) bool { return w.ID == "incomplete-capture" }) {
			t.Errorf("nothing says that the folder is not whole: %v", run.Warnings)
		}
		noSecrets(t, o.Out+".partial")
	}
}

func TestPortTaken(t *testing.T) {
	o := options(t, "ok")
	l, err := net.Listen("tcp", "127.0.0.1:"+o.Argv[4])
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = capture.Run(context.Background(), o, nil)
	if !errors.Is(err, capture.ErrPortTaken) || !strings.Contains(err.Error(), "--port") {
		t.Errorf("%v", err)
	}
	unfinished(t, o, false)
}

// Interrupting at any stage ends everything and leaves nothing whole.
func TestInterruptAtEveryStage(t *testing.T) {
	for _, stage := range []capture.Stage{capture.Starting, capture.WarmingUp, capture.Measuring, capture.Profiling, capture.Stopping, capture.Exporting} {
		t.Run(string(stage), func(t *testing.T) {
			o := options(t, "slow-start")
			if stage == capture.Exporting {
				t.Setenv("FAKE_NSYS", "slow-export")
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			hit := false
			began := time.Now()
			_, err := capture.Run(ctx, o, func(e capture.Event) {
				if e.Stage == stage && !hit {
					hit = true
					if stage == capture.Exporting {
						time.AfterFunc(100*time.Millisecond, cancel)
						return
					}
					cancel()
				}
			})
			if !hit {
				t.Fatalf("stage %s was never reported", stage)
			}
			if !capture.IsInterrupted(err) {
				t.Errorf("%v", err)
			}
			if d := time.Since(began); d > 15*time.Second {
				t.Errorf("it took %s to stop", d)
			}
			if _, err := os.Stat(o.Out); err == nil {
				t.Error("a folder was left under its final name")
			}
			nothingLeft(t, o)
		})
	}
}

// A server that hangs in the profiler, or does not end, does not hold up an interrupt.
func TestInterruptOfWhatHangs(t *testing.T) {
	for mode, stage := range map[string]capture.Stage{"hang-in-window": capture.Profiling, "stubborn": capture.Stopping} {
		o := options(t, mode)
		t.Cleanup(capture.Shorten(time.Minute, time.Minute, 500*time.Millisecond))
		ctx, cancel := context.WithCancel(context.Background())
		began := time.Now()
		_, err := capture.Run(ctx, o, func(e capture.Event) {
			if e.Stage == stage {
				time.AfterFunc(700*time.Millisecond, cancel)
			}
		})
		cancel()
		if !capture.IsInterrupted(err) || time.Since(began) > 20*time.Second {
			t.Errorf("%s: %v after %s", mode, err, time.Since(began))
		}
		unfinished(t, o, true)
		nothingLeft(t, o)
	}
}

func TestStubbornServerIsKilled(t *testing.T) {
	o := options(t, "stubborn")
	t.Cleanup(capture.Shorten(300*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond))
	o.Profiler = capture.None
	res, err := capture.Run(context.Background(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(res.Manifest.Warnings, func(w string) bool { return strings.Contains(w, "killed") }) {
		t.Errorf("warnings %v", res.Manifest.Warnings)
	}
	nothingLeft(t, o)
}

func TestLeftoverOfAnEarlierRun(t *testing.T) {
	o := options(t, "ok")
	o.Profiler = capture.None
	// A folder of the user's that happens to have the name stays.
	if err := os.Mkdir(o.Out+".partial", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(o.Out+".partial", "thesis.txt"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := capture.Run(context.Background(), o, nil); !errors.Is(err, capture.ErrExists) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(o.Out+".partial", "thesis.txt")); err != nil {
		t.Fatal("the user's file is gone")
	}
	// One with the mark of a capture is replaced.
	if err := os.WriteFile(filepath.Join(o.Out+".partial", "INCOMPLETE"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := capture.Run(context.Background(), o, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(o.Out, "thesis.txt")); err == nil {
		t.Error("a leftover got into the capture")
	}
}

func TestPlanSaysWhatWouldRun(t *testing.T) {
	o := options(t, "ok")
	o.Engine = knob.Engine{Name: knob.VLLM, Version: "0.24.0"}
	p, err := capture.MakePlan(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, s := range p.Steps {
		fmt.Fprintf(&all, "%s: %s\n  %s\n", s.Stage, s.Text, s.Command)
	}
	for _, want := range []string{"VLLM_WORKER_MULTIPROC_METHOD=spawn", "profile -t cuda,nvtx --sample=none --cpuctxsw=none --cuda-graph-trace=node --trace-fork-before-exec=true --capture-range=cudaProfilerApi",
		`"profiler":"cuda"`, "export --type sqlite -o", "/start_profile", "6 requests (3 clients)"} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("the plan lacks %q:\n%s", want, all.String())
		}
	}
	if strings.Contains(all.String(), secret) {
		t.Errorf("the plan shows a secret:\n%s", all.String())
	}
	if _, err := os.Stat(o.Out + ".partial"); err == nil {
		t.Error("planning made a folder")
	}
}

// A plan needs no engine here.
func TestPlanWithoutTheProgram(t *testing.T) {
	o := options(t, "ok")
	o.Engine = knob.Engine{}
	o.Argv = []string{"vllm", "serve", "/m"}
	t.Setenv("PATH", t.TempDir())
	p, err := capture.MakePlan(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if all := fmt.Sprint(p.Steps); !strings.Contains(all, "vllm serve /m --profiler-config") || !strings.Contains(strings.Join(p.Notes, "\n"), "vllm is not to be found here") {
		t.Errorf("%s\n%v", all, p.Notes)
	}
	if _, err := capture.Run(context.Background(), o, nil); !errors.Is(err, capture.ErrUsage) || !strings.Contains(err.Error(), "not found") {
		t.Errorf("a run: %v", err)
	}
}

func TestHooksByVersion(t *testing.T) {
	for _, tc := range []struct {
		version  string
		profiler capture.Profiler
		want     []string
		not      []string
	}{
		{"0.33.0", capture.Nsys, []string{`"profiler":"cuda"`}, []string{"detailed_trace"}},
		{"0.13.0", capture.Nsys, []string{`"profiler":"cuda"`}, []string{"VLLM_TORCH_CUDA_PROFILE"}},
		{"0.12.0", capture.Nsys, []string{"VLLM_TORCH_CUDA_PROFILE=1"}, []string{"--profiler-config"}},
		{"0.28.0", capture.Torch, []string{`"profiler":"torch"`, `"torch_profiler_with_stack":false`, `"detailed_trace_annotation":true`}, []string{"nsys profile"}},
		{"0.24.0", capture.Torch, []string{`"profiler":"torch"`, `"ignore_frontend":true`}, []string{"detailed_trace_annotation"}},
		{"0.8.5", capture.Torch, []string{"VLLM_TORCH_PROFILER_DIR="}, []string{"--profiler-config"}},
	} {
		o := options(t, "ok")
		o.Engine, o.Profiler = knob.Engine{Name: knob.VLLM, Version: tc.version}, tc.profiler
		p, err := capture.MakePlan(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		all := fmt.Sprint(p.Steps)
		for _, w := range tc.want {
			if !strings.Contains(all, w) {
				t.Errorf("%s with %s: no %q in %s", tc.version, tc.profiler, w, all)
			}
		}
		for _, w := range tc.not {
			if strings.Contains(all, w) {
				t.Errorf("%s with %s: %q in %s", tc.version, tc.profiler, w, all)
			}
		}
	}
}

func TestSamplesOfOddMachines(t *testing.T) {
	s := capture.GPULines("0, 97, 41, 71000, 650.1, 1980, 2619, 55", "1, [N/A], [N/A], 400, [Not Supported], 1980, 2619, 40", "", "garbage", "0, 98, 41, 71000, 650.1, 1980, 2619", "x, 1, 1, 1, 1, 1, 1, 1")
	if len(s.GPU.GPU) != 2 || s.GPU.Util[1] != nil || s.GPU.PowerW[1] != nil || *s.GPU.Util[0] != 97 {
		t.Errorf("%+v", s.GPU)
	}
	s = capture.GPULines("0, 1, 1, 1000, 60, 1980, 2619, 55", "1, 1, 1, 1000, 60, 1980, 2619, 55", "0, 97, 41, 71000, 650, 1980, 2619, 55", "1, 0, 0, 1010, 60, 345, 2619, 40")
	if g := s.GPUs(); !slices.Equal(g, []int{0}) {
		t.Errorf("the server's GPUs are %v", g)
	}
	s.Stages = []capture.StageTime{{Stage: capture.Measuring, StartNs: 2, DurNs: 5}}
	u := s.Usage(capture.Measuring)
	if u == nil || len(u.GPUUtil) != 1 || u.GPUUtil[0] != 0.97 || u.PowerW[0] != 650 {
		t.Errorf("usage %+v", u)
	}
	if s.Usage(capture.Profiling) != nil {
		t.Error("usage of a stage that never ran")
	}
}
