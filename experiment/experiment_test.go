//go:build unix

package experiment_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/bench"
	"github.com/stepscope/stepscope/capture"
	"github.com/stepscope/stepscope/experiment"
	"github.com/stepscope/stepscope/internal/fakeengine"
	"github.com/stepscope/stepscope/knob"
	"github.com/stepscope/stepscope/ledger"
	"github.com/stepscope/stepscope/stat"
)

func TestMain(m *testing.M) {
	fakeengine.Main()
	os.Exit(m.Run())
}

// slow makes what a change does to the fake server large beside the stalls of a busy
// machine.
const slow = "45ms"

// options are those of a quick experiment with the fake server.
func options(t *testing.T, extra ...string) experiment.Options {
	t.Helper()
	bin := fakeengine.Install(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	t.Setenv("FAKE_ITL", "15ms")
	return experiment.Options{
		Argv:    append([]string{filepath.Join(bin, "vllm"), "serve", "/m", "--port", strconv.Itoa(port), "--hf-token", fakeengine.Secret}, extra...),
		Engine:  knob.Engine{Name: knob.VLLM, Version: "0.24.0"},
		Repeats: 2, Bursts: 1, NvidiaSMI: filepath.Join(bin, "nvidia-smi"),
		Ledger: ledger.Open(filepath.Join(t.TempDir(), ".stepscope")),
		Load: func(string) (bench.Config, func(), error) {
			return bench.Config{Requests: 6, Concurrency: 3, OutputLen: 8, Prompts: bench.Prompts{InputLen: 8}, Seed: 1}, nil, nil
		},
	}
}

func nothingLeft(t *testing.T, o experiment.Options) {
	t.Helper()
	if runtime.GOOS != "linux" {
		return
	}
	found, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range found {
		b, err := os.ReadFile(f)
		stat, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "stat"))
		if err == nil && bytes.Contains(b, []byte(filepath.Dir(o.Argv[0]))) && !bytes.Contains(stat, []byte(") Z ")) {
			t.Errorf("still running: %s", bytes.ReplaceAll(b, []byte{0}, []byte{' '}))
		}
	}
}

func effect(r *experiment.Result, name string) *ledger.SideEffect {
	for i := range r.SideEffects {
		if r.SideEffects[i].Name == name {
			return &r.SideEffects[i]
		}
	}
	return nil
}

func TestTryAGain(t *testing.T) {
	o := options(t)
	t.Setenv("FAKE_ITL", slow)
	o.Changes = []string{"quantization=fp8"}
	o.Goal, o.Repeats = "tpot_ms", 3
	o.Predicted = &ledger.Prediction{Metric: "tpot_ms", Unit: "ms", Before: ledger.Float(45), After: ledger.Float(15), Low: ledger.Float(12), High: ledger.Float(27), Assumption: "the fake's"}
	o.Dir = filepath.Join(t.TempDir(), "kept")
	var sides []string
	res, err := experiment.Run(context.Background(), o, func(e capture.Event) {
		side, _, _ := strings.Cut(e.Text, ":")
		if len(sides) == 0 || sides[len(sides)-1] != side {
			sides = append(sides, side)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, o)
	if res.Verdict != stat.Better || res.Rounds != 3 {
		t.Errorf("%s in %d rounds: %s", res.Verdict, res.Rounds, res.Reason)
	}
	if want := []string{"baseline 1 of 3", "change 1 of 3", "change 2 of 3", "baseline 2 of 3", "baseline 3 of 3", "change 3 of 3"}; !slices.Equal(sides, want) {
		t.Errorf("order %v, want %v", sides, want)
	}
	if e := effect(res, "answers_equal_share"); e == nil || *e.After != 0 || e.Verdict != "worse" || *e.Before != 1 {
		t.Errorf("other answers go unseen: %+v", e)
	}
	if e := effect(res, "kv_cache_tokens"); e == nil || e.Verdict != "same" {
		t.Errorf("capacity %+v", e)
	}
	if e := effect(res, "ready_s"); e == nil {
		t.Error("start-up is not watched")
	}
	records, problems, err := o.Ledger.List(context.Background())
	if err != nil || len(problems) > 0 || len(records) != 2 {
		t.Fatalf("%d records, %v, %v", len(records), problems, err)
	}
	base, change := records[0].Entry, records[1].Entry
	if base.Kind != ledger.KindBaseline || change.Kind != ledger.KindChange || change.Ref != base.ID || change.Knob != "--quantization" || change.From != "not set" || change.To != "fp8" {
		t.Errorf("baseline %s, change %s of %s", base.Kind, change.Knob, change.Ref)
	}
	if change.Verdict != "better" || change.PredictionError == nil || change.InRange == nil || change.GPU != "1x NVIDIA H100 80GB HBM3" || change.Engine != "vllm@0.24.0" || len(base.Metrics) == 0 {
		t.Errorf("change: %s, %v, %v, %q, %q", change.Verdict, change.PredictionError, change.InRange, change.GPU, change.Engine)
	}
	for _, r := range records {
		if bytes.Contains(r.Raw, []byte(fakeengine.Secret)) {
			t.Error("the ledger holds a secret")
		}
		for _, a := range r.Entry.Artefacts {
			f, err := o.Ledger.Artefact(a)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(f)
			f.Close()
			if err != nil || bytes.Contains(b, []byte(fakeengine.Secret)) {
				t.Errorf("artefact %s: %v, or it holds a secret", a.Name, err)
			}
		}
	}
	if n := len(base.Artefacts); n != 6 { // three starts with a log and a result each
		t.Errorf("%d artefacts of the baseline: %+v", n, base.Artefacts)
	} else if base.Artefacts[0].Name != "baseline-1-burst-1-bench.json" {
		t.Errorf("the first artefact is %s", base.Artefacts[0].Name)
	}
	if b, err := os.ReadFile(filepath.Join(o.Dir, "change-2", "server.log")); err != nil || bytes.Contains(b, []byte(fakeengine.Secret)) {
		t.Errorf("the kept log: %v, or it holds a secret", err)
	}
}

func TestTryALoss(t *testing.T) {
	o := options(t)
	t.Setenv("FAKE_ITL", slow)
	o.Changes, o.Repeats = []string{"max-num-seqs=4"}, 3
	res, err := experiment.Run(context.Background(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.Verdict != stat.Worse || res.Goal != "output_tokens_per_s" {
		t.Errorf("%s of %s: %s", res.Verdict, res.Goal, res.Reason)
	}
	if e := effect(res, "answers_equal_share"); e == nil || e.Verdict != "same" {
		t.Errorf("answers %+v", e)
	}
}

// A change under which the server does not run is a result, and no error.
func TestTryWhatDoesNotRun(t *testing.T) {
	for change, text := range map[string]string{"kv-cache-dtype=fp8": "out of memory", "scheduling-policy=priority": "memory"} {
		o := options(t)
		o.Changes = []string{change}
		res, err := experiment.Run(context.Background(), o, nil)
		if err != nil {
			t.Fatalf("%s: %v", change, err)
		}
		nothingLeft(t, o)
		if res.Verdict != stat.Worse || !strings.Contains(res.Reason, text) {
			t.Errorf("%s: %s: %s", change, res.Verdict, res.Reason)
		}
		if !res.DoesNotRun {
			t.Errorf("%s runs", change)
		}
		if res.Change == nil || res.Change.Entry.Verdict != "worse" || effect(res, "server_runs") == nil {
			t.Errorf("%s is not in the ledger: %+v", change, res.Change)
		}
	}
}

func TestBaselineThatDoesNotRunIsAnError(t *testing.T) {
	o := options(t, "--kv-cache-dtype", "fp8")
	o.Changes = []string{"max-num-seqs=4"}
	_, err := experiment.Run(context.Background(), o, nil)
	if !errors.Is(err, capture.ErrOutOfMemory) || !strings.Contains(err.Error(), "baseline-1") {
		t.Errorf("%v", err)
	}
	if records, _, _ := o.Ledger.List(context.Background()); len(records) != 0 {
		t.Error("a failed baseline is in the ledger")
	}
}

func TestTwoKnobsNeedForce(t *testing.T) {
	o := options(t)
	o.Changes = []string{"quantization=fp8", "max-num-seqs=64"}
	if _, err := experiment.Run(context.Background(), o, nil); !errors.Is(err, experiment.ErrTwoKnobs) {
		t.Errorf("%v", err)
	}
	o.Force, o.Repeats = true, 1
	res, err := experiment.Run(context.Background(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if e := res.Change.Entry; len(e.Also) != 1 || e.Also[0].Knob != "--max-num-seqs" || !slices.ContainsFunc(e.Warnings, func(w string) bool { return strings.Contains(w, "2 knobs") }) {
		t.Errorf("the ledger does not say that two were changed: %+v %v", e.Also, e.Warnings)
	}
}

// Stopped in the first round nothing is written; stopped later, what was measured is.
func TestInterrupt(t *testing.T) {
	for at, records := range map[string]int{"baseline 1 of 3": 0, "change 1 of 3": 0, "baseline 2 of 3": 2, "change 2 of 3": 2} {
		o := options(t)
		o.Repeats = 3
		o.Changes = []string{"max-num-seqs=4"}
		ctx, cancel := context.WithCancel(context.Background())
		res, err := experiment.Run(ctx, o, func(e capture.Event) {
			if strings.HasPrefix(e.Text, at) && e.Stage == capture.Measuring {
				cancel()
			}
		})
		cancel()
		nothingLeft(t, o)
		if records == 0 && !capture.IsInterrupted(err) {
			t.Errorf("%s: %v", at, err)
		}
		if records > 0 && (err != nil || !res.Interrupted || !slices.ContainsFunc(res.Warnings, func(w string) bool { return strings.Contains(w, "interrupted after 1 of 3") })) {
			t.Errorf("%s: %v, %+v", at, err, res)
		}
		if got, _, _ := o.Ledger.List(context.Background()); len(got) != records {
			t.Errorf("%s: %d records in the ledger, want %d", at, len(got), records)
		}
	}
}

func TestCapturesOfBothSides(t *testing.T) {
	o := options(t)
	o.Repeats = 1
	o.Changes = []string{"max-num-seqs=4"}
	o.CaptureDir = filepath.Join(t.TempDir(), "captures")
	t.Setenv("FAKE_MARK", filepath.Join(t.TempDir(), "mark"))
	o.Capture = capture.Options{Profiler: capture.Nsys, Nsys: capture.Program{Path: filepath.Join(filepath.Dir(o.Argv[0]), "nsys"), Version: "2025.3.2"}, Window: 50e6}
	res, err := experiment.Run(context.Background(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Captures) != 2 {
		t.Fatalf("captures %v, warnings %v", res.Captures, res.Warnings)
	}
	for _, dir := range res.Captures {
		if _, err := capture.ReadManifest(os.DirFS(dir)); err != nil {
			t.Error(err)
		}
	}
}

func TestPlan(t *testing.T) {
	o := options(t)
	o.Changes = []string{"quantization=fp8"}
	p, err := experiment.MakePlan(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	one := "one start a side: no test is possible"
	if slices.ContainsFunc(p.Warnings, func(w string) bool { return strings.Contains(w, one) }) {
		t.Errorf("two starts a side are warned of: %v", p.Warnings)
	}
	o.Repeats = 1
	if p, err := experiment.MakePlan(context.Background(), o); err != nil || !slices.ContainsFunc(p.Warnings, func(w string) bool { return strings.Contains(w, one) }) {
		t.Errorf("one start a side: %+v, %v", p, err)
	}
	if !strings.Contains(p.After, "--quantization fp8") || strings.Contains(p.Before, "--quantization") || strings.Contains(p.Before+p.After, fakeengine.Secret) || len(p.Risk) == 0 {
		t.Errorf("%+v", p)
	}
}

// A ledger that takes nothing is found before the first start, also by a plan.
func TestLedgerIsProbedFirst(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o := options(t)
	o.Changes, o.Ledger = []string{"max-num-seqs=4"}, ledger.Open(filepath.Join(file, "led"))
	started := false
	_, err := experiment.Run(context.Background(), o, func(e capture.Event) { started = started || e.Stage == capture.Starting })
	if err == nil || !strings.Contains(err.Error(), file+" is a file") || started {
		t.Errorf("started %v: %v", started, err)
	}
	if _, err := experiment.MakePlan(context.Background(), o); err == nil || !strings.Contains(err.Error(), file+" is a file") {
		t.Errorf("plan: %v", err)
	}
}

// What cannot be written down is still told, and its logs stay.
func TestUnwrittenResult(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	o := options(t)
	o.Changes, o.Repeats = []string{"max-num-seqs=4"}, 1
	objects := filepath.Join(o.Ledger.Dir(), "objects")
	var broken error
	res, err := experiment.Run(context.Background(), o, func(e capture.Event) {
		if e.Stage == capture.Measuring { // after the probe
			if broken = os.RemoveAll(objects); broken == nil {
				broken = os.WriteFile(objects, nil, 0o600)
			}
		}
	})
	if broken != nil {
		t.Fatal(broken)
	}
	var lost *experiment.WriteError
	if !errors.As(err, &lost) || lost.Ledger != o.Ledger.Dir() || res == nil || res.Comparison == nil || res.Verdict == "" || res.Change != nil {
		t.Fatalf("%v, %+v", err, res)
	}
	if !slices.ContainsFunc(res.Warnings, func(w string) bool { return strings.Contains(w, "not written to the ledger") }) {
		t.Errorf("warnings %v", res.Warnings)
	}
	if _, err := os.Stat(filepath.Join(lost.Folder, "change-1", "burst-1", "bench.json")); err != nil {
		t.Error(err)
	}
}
