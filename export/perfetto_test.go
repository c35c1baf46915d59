package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"github.com/stepscope/stepscope/internal/captest"
	"github.com/stepscope/stepscope/internal/proftest"
	"github.com/stepscope/stepscope/internal/proftest/scale"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

const ms = 1_000_000

func sample(t testing.TB) *step.Analysis {
	b := proftest.NewBuilder(100 * ms)
	b.Range("begins before the capture", -5*ms, ms/2)
	for i := range int64(4) {
		at := 10 * ms * i
		b.Range("execute_context_0(0)_generation_8(8)", at, at+2*ms)
		b.Range("inner", at+100, at+ms)
		b.Range("crosses the end of inner", at+500_000, at+3*ms/2)
		b.Copy(profile.CopyHtoD, profile.MemPinned, profile.MemDevice, 64, at+ms, at+ms+1000, b.Call("cudaMemcpyAsync_v3020", at, at+1000))
		graph := b.Call("cudaGraphLaunch_v10000", at+2000, at+9000)
		for k := range int64(5) {
			// Branches of a graph overlap on one stream.
			b.KernelConfig("flash_fwd_kernel", at+2*ms+k*100_000, at+2*ms+k*100_000+150_000, graph, profile.LaunchConfig{Grid: [3]int32{int32(k), 1, 1}}, uint64(1)<<32|uint64(k))
		}
		b.Launch("<script>alert(1)</script>\xff\n", at+10_000, at+4*ms, at+4*ms)
	}
	b.Range("never closed", 90*ms, -1)
	p := b.Build(t)
	p.Counters = []profile.Counter{{Device: 0, Name: "DRAM Read", Unit: "percent", Times: []int64{-10, 0, 10, 20}, Values: []int64{5, 5, 5, 7}}}
	return step.Analyze(p, step.Options{})
}

// read is what a reader of a trace sees: the same questions as testdata/perfetto_check.py answers.
type read struct {
	Categories map[string]counted `json:"categories"`
	Flows      int64              `json:"flows"`
	Counters   map[string]struct {
		N   int64 `json:"n"`
		Sum int64 `json:"sum"`
	} `json:"counters"`
	Errors map[string]int64 `json:"errors"`
	By     string           `json:"by"`

	names  map[string]int // slices by name
	tracks int
}

type counted struct {
	N    int64 `json:"n"`
	Ns   int64 `json:"ns"`
	Open int64 `json:"open"`
}

// fields yields the fields of a message.
func fields(t testing.TB, b []byte, f func(n protowire.Number, v uint64, body []byte)) {
	t.Helper()
	for len(b) > 0 {
		n, kind, k := protowire.ConsumeTag(b)
		if k < 0 {
			t.Fatal(protowire.ParseError(k))
		}
		b = b[k:]
		var v uint64
		var body []byte
		switch kind {
		case protowire.VarintType:
			v, k = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			v, k = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			body, k = protowire.ConsumeBytes(b)
		default:
			t.Fatalf("wire type %d", kind)
		}
		if k < 0 {
			t.Fatal(protowire.ParseError(k))
		}
		b = b[k:]
		f(n, v, body)
	}
}

// decode reads a trace back in the order of its packets, which is the order of time on each track.
func decode(t testing.TB, data []byte) *read {
	t.Helper()
	type begun struct {
		ts       uint64
		category string
	}
	r := &read{Categories: map[string]counted{}, Errors: map[string]int64{}, names: map[string]int{}}
	labels, categories, tracks := map[uint64]string{}, map[uint64]string{}, map[uint64]bool{}
	open, last, flows := map[uint64][]begun{}, map[uint64]uint64{}, map[uint64]int{}
	add := func(category string, ns, open int64) {
		c := r.Categories[category]
		c.N, c.Ns, c.Open = c.N+1, c.Ns+ns, c.Open+open
		r.Categories[category] = c
	}
	entry := func(b []byte) (id uint64, s string) {
		fields(t, b, func(n protowire.Number, v uint64, body []byte) {
			if n == 1 {
				id = v
			} else {
				s = string(body)
			}
		})
		if !utf8.ValidString(s) || strings.ContainsAny(s, "\n\x00") {
			t.Errorf("name %q", s)
		}
		return id, s
	}
	fields(t, data, func(_ protowire.Number, _ uint64, packet []byte) {
		var ts, flags uint64
		var event []byte
		fields(t, packet, func(n protowire.Number, v uint64, body []byte) {
			switch n {
			case packetTimestamp:
				ts = v
			case packetFlags:
				flags = v
			case packetTrackEvent:
				event = body
			case packetDescriptor:
				r.tracks++
				fields(t, body, func(n protowire.Number, v uint64, _ []byte) {
					switch {
					case n == trackUUID && tracks[v]:
						r.Errors["track described twice"]++
					case n == trackUUID:
						tracks[v] = true
					case n == trackParent && !tracks[v]:
						r.Errors["parent comes later"]++
					}
				})
			case packetInterned:
				fields(t, body, func(n protowire.Number, _ uint64, b []byte) {
					id, s := entry(b)
					switch n {
					case internedNames:
						labels[id] = s
					case internedCategories:
						categories[id] = s
					}
				})
			}
		})
		if event == nil {
			return
		}
		if flags != flagNeeds {
			r.Errors["flags"]++
		}
		var kind, track, name, category uint64
		fields(t, event, func(n protowire.Number, v uint64, _ []byte) {
			switch n {
			case eventType:
				kind = v
			case eventTrack:
				track = v
			case eventName:
				name = v
			case eventCategories:
				category = v
			case eventFlows:
				flows[v]++
			}
		})
		if !tracks[track] {
			r.Errors["track not described"]++
		}
		if ts < last[track] {
			r.Errors["track goes back in time"]++
		}
		last[track] = ts
		switch kind {
		case typeBegin:
			if labels[name] == "" || categories[category] == "" {
				r.Errors["not interned"]++
			}
			r.names[labels[name]]++
			open[track] = append(open[track], begun{ts, categories[category]})
		case typeInstant:
			add(categories[category], 0, 0)
		case typeEnd:
			stack := open[track]
			if len(stack) == 0 {
				r.Errors["end without begin"]++
				return
			}
			b := stack[len(stack)-1]
			open[track] = stack[:len(stack)-1]
			add(b.category, int64(ts-b.ts), 0)
		}
	})
	for _, stack := range open {
		for _, b := range stack {
			add(b.category, 0, 1)
		}
	}
	for _, n := range flows {
		if n == 2 {
			r.Flows++
		} else {
			r.Errors["flow with one end"]++
		}
	}
	return r
}

// want is what a trace of a must hold, from the tables of the profile alone.
func want(a *step.Analysis) (categories map[string]counted, flows int64) {
	p := a.P
	categories = map[string]counted{}
	add := func(category string, dur int64) {
		c := categories[category]
		c.N++
		if dur == profile.Open {
			c.Open++
		} else {
			c.Ns += dur
		}
		categories[category] = c
	}
	for category, t := range map[string]struct {
		dur  []int64
		call []int32
	}{"kernel": {p.Kernels.Dur, p.Kernels.Call}, "copy": {p.Copies.Dur, p.Copies.Call}, "memset": {p.Memsets.Dur, p.Memsets.Call}, "graph": {p.GraphTraces.Dur, p.GraphTraces.Call}} {
		for i, d := range t.dur {
			add(category, d)
			if t.call[i] != profile.None {
				flows++
			}
		}
	}
	for i, n := range p.Calls.Name {
		add(kernel.Library(p.Strings.At(n)), p.Calls.Dur[i])
	}
	for i, k := range p.Ranges.Kind {
		if k == profile.Mark {
			add("nvtx", 0)
		} else {
			add("nvtx", p.Ranges.Dur[i])
		}
	}
	for category, s := range map[string]*profile.Spans{"library": &p.LibCalls, "os": &p.OSCalls, "overhead": &p.Overheads, "python": &p.Frames} {
		for _, d := range s.Dur {
			add(category, d)
		}
	}
	for _, d := range p.Ops.Dur {
		add("operator", d)
	}
	for i := range a.Steps {
		add("step", a.Steps[i].Wall())
	}
	for _, l := range a.Lifecycle {
		add("lifecycle", l.Dur)
	}
	return categories, flows
}

func perfettoOf(t testing.TB, a *step.Analysis) ([]byte, PerfettoCounts) {
	t.Helper()
	var out bytes.Buffer
	counts, err := Perfetto(&out, a)
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), counts
}

func checkTrace(t testing.TB, a *step.Analysis, got *read, counts PerfettoCounts) {
	t.Helper()
	categories, flows := want(a)
	var slices, ns int64
	for c, w := range categories {
		if got.Categories[c] != w {
			t.Errorf("%s: %+v, the profile has %+v", c, got.Categories[c], w)
		}
		slices += w.N
		ns += w.Ns
	}
	if len(got.Categories) != len(categories) {
		t.Errorf("categories %v, the profile has %v", slicesOf(got.Categories), slicesOf(categories))
	}
	if got.Flows != flows || counts.Flows != flows {
		t.Errorf("%d flows, %d counted, the profile has %d joined launches", got.Flows, counts.Flows, flows)
	}
	if counts.Slices+counts.Instants != slices {
		t.Errorf("%d slices and instants counted, want %d", counts.Slices+counts.Instants, slices)
	}
	if len(got.Errors) > 0 {
		t.Errorf("defects: %v", got.Errors)
	}
}

func slicesOf(m map[string]counted) []string { return slices.Sorted(maps.Keys(m)) }

func TestPerfettoHoldsTheProfile(t *testing.T) {
	a := sample(t)
	data, counts := perfettoOf(t, a)
	if again, _ := perfettoOf(t, a); !bytes.Equal(data, again) {
		t.Error("two exports differ")
	}
	got := decode(t, data)
	checkTrace(t, a, got, counts)
	if n := got.names["flash_fwd_kernel"]; n != 20 {
		t.Errorf("%d kernels named flash_fwd_kernel, want 20", n)
	}
	// Two values of the metric and its last sample, and the batch of four equal steps and its end: decode requests,
	// prefill requests (none all along), tokens.
	if want := int64(2 + 2 + 1 + 2); counts.Counters != want || int64(got.tracks) != counts.Tracks || int64(len(data)) != counts.Bytes {
		t.Errorf("%d counter values, want %d; %d tracks of %d; %d bytes of %d", counts.Counters, want, got.tracks, counts.Tracks, len(data), counts.Bytes)
	}
	if counts.Shift != 5*ms {
		t.Errorf("times shifted by %d", counts.Shift)
	}
}

// names lists the captures to test on: all, or a few under the race detector, which slows reading down.
func names(t *testing.T) []string {
	all := captest.Names(t)
	if scale.Race || testing.Short() {
		few := []string{"eager1b-G", "base8b-E", "base1b-graphlevel-G"}
		return slices.DeleteFunc(all, func(n string) bool { return !slices.Contains(few, n) })
	}
	return all
}

func TestPerfettoCaptures(t *testing.T) {
	for _, name := range names(t) {
		p, run := captest.Load(t, name)
		a := step.Analyze(p, step.Options{})
		data, counts := perfettoOf(t, a)
		checkTrace(t, a, decode(t, data), counts)
		if _, err := PerfettoWithRequests(io.Discard, a, run); err != nil {
			t.Errorf("%s with requests: %v", name, err)
		}
	}
}

// TestPerfettoRandom holds random profiles to the same law: no event is lost, whatever overlaps what.
func TestPerfettoRandom(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := proftest.NewBuilder(1000)
		span := func() (int64, int64) {
			s := rapid.Int64Range(-20, 100).Draw(rt, "start")
			return s, s + rapid.Int64Range(0, 40).Draw(rt, "dur")
		}
		for range rapid.IntRange(0, 40).Draw(rt, "n") {
			s, e := span()
			b.TID = rapid.Int64Range(1, 3).Draw(rt, "thread")
			b.Stream = rapid.Int64Range(1, 2).Draw(rt, "stream")
			switch rapid.IntRange(0, 3).Draw(rt, "kind") {
			case 0:
				b.Call("cudaLaunchKernel", s, e)
			case 1:
				b.Kernel("k", s, e, rapid.Uint32Range(0, 10).Draw(rt, "correlation"))
			case 2:
				b.Range("r", s, e)
			default:
				b.Range("open", s, -1)
			}
		}
		p := b.Build(t)
		for i := range p.Ranges.Kind {
			p.Ranges.Kind[i] = profile.RangeKind(rapid.IntRange(0, 1).Draw(rt, "range kind"))
		}
		a := step.Analyze(p, step.Options{})
		data, counts := perfettoOf(t, a)
		checkTrace(t, a, decode(t, data), counts)
	})
}

// TestPerfettoOverlap puts thousands of ranges that all overlap on tracks, and times at the limits.
func TestPerfettoOverlap(t *testing.T) {
	b := proftest.NewBuilder(1_000_000)
	for i := range int64(3000) {
		b.Range("r", i, 500_000+i)
	}
	b.Kernel("far", profile.MaxTime-10, profile.MaxTime, 0)
	b.Kernel("early", -profile.MaxTime, -profile.MaxTime+5, 0)
	a := step.Analyze(b.Build(t), step.Options{})
	data, counts := perfettoOf(t, a)
	checkTrace(t, a, decode(t, data), counts)
}

func TestPerfettoFailingWriter(t *testing.T) {
	if _, err := Perfetto(full{}, sample(t)); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("error %v", err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, fmt.Errorf("no space left") }

// TestPerfettoOfficial reads traces back with the official Python package: STEPSCOPE_PERFETTO_PYTHON names an interpreter
// that has it.
func TestPerfettoOfficial(t *testing.T) {
	python := os.Getenv("STEPSCOPE_PERFETTO_PYTHON")
	if python == "" {
		t.Skip("STEPSCOPE_PERFETTO_PYTHON is not set")
	}
	for _, name := range []string{"", "eager1b-G", "base8b-P", "base8b-gpumetrics-A", "moe30b-A"} {
		a := sample(t)
		if name != "" {
			if !slices.Contains(captest.Names(t), name) {
				continue
			}
			p, _ := captest.Load(t, name)
			a = step.Analyze(p, step.Options{})
		}
		data, counts := perfettoOf(t, a)
		path := filepath.Join(t.TempDir(), "trace")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(python, filepath.Join("testdata", "perfetto_check.py"), path)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got read
		if err := json.Unmarshal(out[bytes.LastIndexByte(bytes.TrimSpace(out), '\n')+1:], &got); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		checkTrace(t, a, &got, counts)
		values := int64(0)
		for _, c := range got.Counters {
			values += c.N
		}
		if values != counts.Counters {
			t.Errorf("%s: %d counter values, want %d", name, values, counts.Counters)
		}
		t.Logf("%s: %d slices, %d flows, %d counter values, read by %s", name, counts.Slices, counts.Flows, counts.Counters, got.By)
	}
}

func BenchmarkPerfetto(b *testing.B) {
	p, _ := captest.Load(b, "eager1b-G")
	a := step.Analyze(p, step.Options{})
	var counts PerfettoCounts
	b.ReportAllocs()
	for b.Loop() {
		counts, _ = Perfetto(io.Discard, a)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(counts.Slices), "ns/slice")
	b.ReportMetric(float64(counts.Bytes)/float64(counts.Slices), "B/slice")
}
