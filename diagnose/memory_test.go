package diagnose_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/internal/captest"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/serving"
)

const mib = int64(1) << 20

// A processor that keeps a copy of every second step's logits, 16 x 128256 numbers of 4 bytes: 3.9 MiB a step, which the
// allocator takes in blocks of 20 MiB.
func TestLeakOfACapture(t *testing.T) {
	r := captest.Diagnose(t, "leak1b-J", captest.Options{})
	f := r.Finding(diagnose.MemoryGrowth)
	if f == nil || f.Severity != diagnose.High || f.Confidence != "high" {
		t.Fatalf("%+v", f)
	}
	ls := r.Context.Leaks()
	if len(ls) != 1 {
		t.Fatalf("%+v", ls)
	}
	l := ls[0]
	if got := l.PerStep / float64(mib); got < 3.9 || got > 5 {
		t.Errorf("%.2f MiB a step", got)
	}
	if l.Parts < 6 || l.Steps < 150 {
		t.Errorf("%+v", l)
	}
	// A tenth of 79 GiB was left free, and 0.83 GiB grew.
	if gib := float64(l.Left) / (1 << 30); gib < 7 || gib > 7.2 || !strings.Contains(f.Summary, "after at most") {
		t.Errorf("%.2f GiB left: %s", gib, f.Summary)
	}
	r = captest.Diagnose(t, "leak1b-J", captest.Options{Without: captest.Log | captest.Metrics})
	if f = r.Finding(diagnose.MemoryGrowth); f == nil || f.Severity != diagnose.High || strings.Contains(f.Summary, "after at most") {
		t.Errorf("what the server may take is not recorded: %+v", f)
	}
	// No other capture leaks, those with allocation events among them.
	for _, name := range captest.Names(t) {
		if name == "leak1b-J" {
			continue
		}
		if ls := captest.Diagnose(t, name, captest.Options{}).Context.Leaks(); len(ls) > 0 {
			t.Errorf("%s: %+v", name, ls)
		}
	}
}

// block is one allocation of a step, freed in a later one or never (0); old frees what was there before the capture.
type block struct {
	step  int
	bytes int64
	freed int
	old   bool
}

// served runs 40 steps and puts allocations into them.
func served(t *testing.T, turn func(step int) turn, blocks []block) *profile.Profile {
	t.Helper()
	e := newEngine()
	var at []int64
	for n := range 40 {
		tn := turn(n)
		at = append(at, e.host+tn.gap)
		e.step(tn)
	}
	p := e.profile(t)
	type event struct {
		at, bytes int64
		address   uint64
		free      bool
	}
	var events []event
	for i, b := range blocks {
		address := uint64(i+1) << 32
		events = append(events, event{at[b.step] + int64(i%8+1)*100, b.bytes, address, b.old})
		if b.freed > 0 {
			events = append(events, event{at[b.freed] + int64(i%8+1)*100, b.bytes, address, true})
		}
	}
	slices.SortFunc(events, func(x, y event) int { return int(x.at - y.at) })
	m := &p.MemEvents
	for _, v := range events {
		m.Start, m.Bytes, m.Address, m.Free = append(m.Start, v.at), append(m.Bytes, v.bytes), append(m.Address, v.address), append(m.Free, v.free)
		m.Process, m.Device, m.Mem = append(m.Process, 0), append(m.Device, 0), append(m.Mem, profile.MemDevice)
	}
	return p
}

// every returns blocks of bytes in each n-th step from one step to another.
func every(n, from, to int, bytes int64) []block {
	var out []block
	for s := from; s < to; s += n {
		out = append(out, block{step: s, bytes: bytes})
	}
	return out
}

func TestLeaks(t *testing.T) {
	same := func(int) turn { return turn{marker: decode(8), ops: layers(6, 20*us, 300*us), graph: true} }
	kept := func(lag int, blocks []block) []block {
		for i := range blocks {
			if s := blocks[i].step + lag; s < 40 {
				blocks[i].freed = s
			}
		}
		return blocks
	}
	part := func(parts ...int) []block { // 5 steps each
		var out []block
		for _, p := range parts {
			out = append(out, every(1, 5*p+1, 5*p+5, 40*mib)...)
		}
		return out
	}
	for _, c := range []struct {
		name   string
		turn   func(int) turn
		blocks []block
		leak   bool
		grows  bool // told as growth, without alarm of the first rank
	}{
		{"a block in each second step", same, every(2, 1, 40, 20*mib), true, false},
		{"in five parts with the last", same, part(0, 2, 3, 5, 7), true, false},
		{"in four parts", same, part(0, 3, 5, 7), false, true},
		{"not in the last part", same, part(0, 1, 2, 3, 4, 5, 6), false, true},
		{"60 MiB", same, every(4, 3, 40, 6*mib), false, false},
		{"70 MiB", same, every(4, 3, 40, 7*mib), true, false},
		{"seven blocks", same, every(5, 9, 40, 40*mib), false, true},
		{"one late block", same, []block{{step: 37, bytes: 512 * mib}}, false, true},
		{"it fades", same, append(every(1, 1, 20, 60*mib), every(4, 20, 40, 20*mib)...), false, true},
		{"freed three steps later", same, kept(3, every(1, 1, 40, 100*mib)), false, true},
		{"given back as much", same, append(every(2, 1, 40, 20*mib), func() []block {
			out := every(2, 2, 40, 20*mib)
			for i := range out {
				out[i].old = true
			}
			return out
		}()...), false, false},
		{"a new composition in every step", func(n int) turn {
			tn := same(n)
			tn.marker = decode(8 + n)
			return tn
		}, every(1, 1, 40, 40*mib), false, true},
		{"prompts of new lengths in every second step, the memory in these", func(n int) turn {
			tn := same(n)
			if n%2 == 1 {
				tn.marker = mixed(1, 100+n, 8)
			}
			return tn
		}, every(2, 1, 40, 40*mib), false, true},
		{"the same steps, the memory in the others", func(n int) turn {
			tn := same(n)
			if n%2 == 1 {
				tn.marker = mixed(1, 100+n, 8)
			}
			return tn
		}, every(2, 2, 40, 40*mib), true, false},
		{"nothing", same, nil, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := diagnoseOn(t, served(t, c.turn, c.blocks), nil)
			ls := r.Context.Leaks()
			if (len(ls) == 1) != c.leak {
				t.Errorf("leaks %+v", ls)
			}
			f := r.Finding(diagnose.MemoryGrowth)
			switch {
			case (f != nil) != (c.leak || c.grows):
				t.Errorf("finding %+v", f)
			case c.leak && (f.Severity != diagnose.High || f.Confidence == "low"):
				t.Errorf("%v, %s", f.Severity, f.Confidence)
			case c.grows && (f.Severity > diagnose.Medium || f.Confidence != "low"):
				t.Errorf("%v, %s", f.Severity, f.Confidence)
			}
			captest.Check(t, c.name, r)
		})
	}
}

// Growth in steps with first-use effects is warm-up, however often.
func TestColdStepsDoNotLeak(t *testing.T) {
	turns := func(cold bool) func(int) turn {
		return func(n int) turn {
			tn := turn{marker: decode(8), ops: layers(6, 20*us, 300*us), slow: 10 * us}
			if cold && n%3 == 1 {
				tn.slow = 4 * ms
			}
			return tn
		}
	}
	for _, cold := range []bool{false, true} {
		r := diagnoseOn(t, served(t, turns(cold), every(3, 1, 40, 40*mib)), nil)
		if got := len(r.Context.Leaks()) == 1; got == cold {
			t.Errorf("cold %v: %+v", cold, r.Context.Leaks())
		}
	}
}

// Weights that live in host memory are the same large copies in every step.
func TestOffloadedWeights(t *testing.T) {
	with := func(bytes int64, n int) []op {
		ops := layers(6, 100*us, 300*us)
		for range n {
			ops = append(ops, op{dur: 200 * us, bytes: bytes})
		}
		return ops
	}
	for _, c := range []struct {
		name string
		ops  func(step int) []op
		want int64 // 0 = none
	}{
		{"four layers", func(int) []op { return with(10*mib, 4) }, 40 * mib},
		{"four layers and small parts", func(int) []op { return append(with(10*mib, 4), with(mib, 1)[12:]...) }, 41 * mib},
		{"a layer fewer now and then", func(n int) []op { return with(10*mib, 4-btoi(n%10 == 0)) }, 40*mib - mib},
		{"inputs", func(int) []op { return with(32<<10, 4) }, 0},
		{"blocks of a cache", func(int) []op { return with(512<<10, 40) }, 0},
		{"in every third step", func(n int) []op { return with(10*mib, 4*btoi(n%3 == 0)) }, 0},
		{"as many as there are requests", func(n int) []op { return with(10*mib, 1+n%5) }, 0},
	} {
		e := newEngine()
		for n := range 31 {
			e.step(turn{marker: decode(8), ops: c.ops(n)})
		}
		got, ok := e.diagnose(t, nil).Context.OffloadedWeights()
		if ok != (c.want > 0) || math.Abs(float64(got-c.want)) > 0.03*float64(c.want) {
			t.Errorf("%s: %d %v, want %d", c.name, got, ok, c.want)
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// The weights that the server loaded and those that each step copies make up the model: its shape holds, and the link's
// time is part of the limits.
func TestShapeOfOffloadedModel(t *testing.T) {
	r := captest.Diagnose(t, "offload8b-K", captest.Options{})
	if !r.Context.HasShape || !strings.Contains(r.Context.ShapeNote, "1.62 GiB of weights copied from host memory in every step, 13.33 GiB of weights loaded") {
		t.Fatalf("%v: %s", r.Context.HasShape, r.Context.ShapeNote)
	}
	for _, p := range r.Limits.Phases {
		// 1.745 GB at the 63 GB/s of the link.
		if p.Bound != diagnose.BoundBus || math.Abs(p.BusBytes-1.7448e9) > 1e6 || math.Abs(float64(p.IdealNs)-27.7e6) > 1e5 {
			t.Errorf("%+v", p)
		}
	}
	if len(r.Limits.Phases) != 2 {
		t.Errorf("%d phases", len(r.Limits.Phases))
	}
	loaded := func(gib float64) func(*serving.Run) {
		return func(run *serving.Run) {
			run.Engine.WeightsGiB = serving.NewFact(gib, serving.Source{File: "server.log", Line: 1})
		}
	}
	for _, c := range []struct {
		name string
		o    captest.Options
		want string
	}{
		{"fewer weights than that", captest.Options{Run: loaded(10)}, "loaded 10.0 GiB, and steps copy 1.62 GiB of weights from host memory each, which does not make up for it"},
		{"no copy", captest.Options{Edit: func(p *profile.Profile) { p.Copies = profile.Copies{} }}, "loaded 13.3 GiB: the rest is offloaded, and neither copies nor settings tell how much that is"},
		{"no copy and no option", captest.Options{Set: "vllm serve /models/llama8b", Run: loaded(13.33), Edit: func(p *profile.Profile) { p.Copies = profile.Copies{} }}, "loaded 13.3 GiB"},
	} {
		r := captest.Diagnose(t, "offload8b-K", c.o)
		if note := r.Context.ShapeNote; r.Context.HasShape || !strings.HasSuffix(note, c.want) {
			t.Errorf("%s: %v %q", c.name, r.Context.HasShape, note)
		}
		captest.Check(t, fmt.Sprint(c.name), r)
	}
}

// Weights that GEMMs read in place from host memory make no copy: the same GEMMs of other layers show what it costs.
func TestWeightsInPlace(t *testing.T) {
	r := captest.Diagnose(t, "uva8b-L", captest.Options{})
	f := r.Finding(diagnose.TransferBound)
	if f == nil || f.Severity != diagnose.High || f.Confidence != "high" || r.First() != diagnose.TransferBound || r.Limits.Bound != diagnose.BoundBus {
		t.Fatalf("%+v, first %s", f, r.First())
	}
	// 4 GiB were asked for; the offloader goes on to the end of a parameter.
	if gib := r.Context.HostBytes() / (1 << 30); gib < 4 || gib > 4.2 || !r.Context.HasShape {
		t.Errorf("%.2f GiB: %s", gib, r.Context.ShapeNote)
	}
	if d := r.Limits.Phases[0]; d.Bound != diagnose.BoundBus || d.BusyNs < d.IdealNs || float64(d.IdealNs) < 0.7*float64(d.BusyNs) {
		t.Errorf("%+v", d)
	}
	// Without the server's word it is still seen, and how much it is stays open.
	r = captest.Diagnose(t, "uva8b-L", captest.Options{Without: captest.Everything})
	if f := r.Finding(diagnose.TransferBound); f == nil || f.Severity != diagnose.High || f.Confidence != "medium" || r.Context.HostBytes() != 0 {
		t.Errorf("%+v, %g bytes", f, r.Context.HostBytes())
	}
	for _, name := range []string{"base8b-A", "moe30b-A", "fp8-A", "base8b-F", "prefetch8b-O"} {
		if b := captest.Diagnose(t, name, captest.Options{}).Context.HostBytes(); b != 0 {
			t.Errorf("%s: %g bytes in host memory", name, b)
		}
	}
	r = captest.Diagnose(t, "uva8b-L", captest.Options{Run: func(run *serving.Run) {
		run.Engine.WeightsGiB = serving.NewFact(8.0, serving.Source{File: "server.log", Line: 1})
	}})
	if r.Context.HasShape || !strings.HasSuffix(r.Context.ShapeNote, "neither copies nor settings tell how much that is") {
		t.Errorf("4 GiB do not make up for 7: %s", r.Context.ShapeNote)
	}
}
