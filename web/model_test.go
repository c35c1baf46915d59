package web

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stepscope/stepscope/device"
	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/internal/proftest"
	"github.com/stepscope/stepscope/knob"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/profile/kineto"
	"github.com/stepscope/stepscope/profile/nsys"
	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/step"
	"github.com/stepscope/stepscope/web/internal/synth"
)

// load reads a capture folder as the program does.
func load(t testing.TB, name string) *Model {
	t.Helper()
	dir := proftest.Capture(t, name)
	p, err := nsys.Open(context.Background(), filepath.Join(dir, "profile.sqlite.zst"), nsys.Options{CacheDir: t.TempDir()})
	if errors.Is(err, os.ErrNotExist) {
		p, err = kineto.Open(context.Background(), filepath.Join(dir, "trace.json.gz"), kineto.Options{})
	}
	if err != nil {
		t.Fatal(err)
	}
	run, err := serving.LoadFolder(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	a := step.Analyze(p, step.Options{})
	in := diagnose.Input{Analysis: a, Run: run}
	for _, d := range p.Devices {
		if d.Name != "" {
			in.Sheet, in.SheetMatch = device.Lookup(d.Name, device.Hints{SMs: int(d.SMs), MemoryBytes: d.MemoryBytes, Bandwidth: float64(d.BandwidthBps)})
			break
		}
	}
	c := diagnose.NewContext(in)
	d := diagnose.Diagnose(c)
	knob.Advise(d, c, knob.Situation{GPUs: 1, Engine: knob.Engine{Name: knob.VLLM}})
	return NewModel(a, d, run)
}

func TestBigModel(t *testing.T) {
	if testing.Short() || os.Getenv("STEPSCOPE_BIG") == "" {
		t.Skip("set STEPSCOPE_BIG=1: 15 million events")
	}
	start := time.Now()
	lap := func(what string) {
		var ms runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&ms)
		t.Logf("%-24s %8.2f s, heap %d MB", what, time.Since(start).Seconds(), ms.HeapAlloc>>20)
		start = time.Now()
	}
	p := synth.Profile(synth.Big)
	lap("generate")
	if err := p.CheckValid(); err != nil {
		t.Fatal(err)
	}
	a := step.Analyze(p, step.Options{})
	lap("analyse")
	d := diagnose.Diagnose(diagnose.NewContext(diagnose.Input{Analysis: a}))
	lap("diagnose")
	m := NewModel(a, d, nil)
	lap("model")
	for i, l := range m.lanes {
		fmt.Println(i, m.groups[m.groupOf[i]].title, "|", l.key, l.title, "rows", len(l.rows), "n", l.count, "hidden", l.hidden)
	}
	_ = profile.None
}
