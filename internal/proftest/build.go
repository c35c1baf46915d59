package proftest

import (
	"testing"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
)

// Builder builds small profiles by hand: one process with one thread and one stream unless said otherwise. Times are ns.
type Builder struct {
	P *profile.Profile
	b *profile.Builder

	PID, TID int64 // of the next calls and ranges
	Device   int64 // of the next device work
	Stream   int64
	corr     uint32
}

// NewBuilder starts a profile with a window of [0, dur).
func NewBuilder(dur int64) *Builder {
	p := &profile.Profile{Format: "built", Source: "built", Window: interval.Span{End: dur}}
	return &Builder{P: p, b: profile.NewBuilder(p), PID: 100, TID: 100, Stream: 7}
}

func (b *Builder) queue() int32 {
	return b.b.Queue(profile.Queue{Process: b.b.Process(b.PID), Device: b.b.Device(b.Device), Context: 1, GreenCtx: -1, Stream: b.Stream})
}

// Call adds a host API call and returns its correlation id.
func (b *Builder) Call(name string, start, end int64) uint32 {
	b.corr++
	c := &b.P.Calls
	c.Start, c.Dur = append(c.Start, start), append(c.Dur, end-start)
	c.Name = append(c.Name, b.P.Strings.ID(name))
	c.Thread = append(c.Thread, b.b.Thread(b.PID, b.TID))
	c.Correlation = append(c.Correlation, b.corr)
	c.Result = append(c.Result, 0)
	c.Class = append(c.Class, profile.RuntimeAPI)
	return b.corr
}

// Kernel adds a kernel that the call with this correlation id launched; 0 means that the launch is not recorded.
func (b *Builder) Kernel(name string, start, end int64, corr uint32) {
	b.KernelConfig(name, start, end, corr, profile.LaunchConfig{Grid: [3]int32{1, 1, 1}, Block: [3]int32{32, 1, 1}}, 0)
}

// KernelConfig is Kernel with a launch shape and a graph node (0 = outside a graph).
func (b *Builder) KernelConfig(name string, start, end int64, corr uint32, cfg profile.LaunchConfig, node uint64) {
	k := &b.P.Kernels
	id := b.P.Strings.ID(name)
	k.Start, k.Dur = append(k.Start, start), append(k.Dur, end-start)
	k.Func = append(k.Func, b.b.Func(profile.Func{Name: id, Short: id}))
	k.Config = append(k.Config, b.b.Config(cfg))
	k.Queue = append(k.Queue, b.queue())
	k.Correlation = append(k.Correlation, corr)
	k.Call = append(k.Call, profile.None)
	k.GraphNode = append(k.GraphNode, node)
}

// Launch adds a launch call at [at, at+5us) and the kernel it launched.
func (b *Builder) Launch(name string, at, start, end int64) {
	b.Kernel(name, start, end, b.Call("cudaLaunchKernel_v7000", at, at+5000))
}

// Copy adds a memory copy.
func (b *Builder) Copy(kind profile.CopyKind, src, dst profile.MemKind, bytes, start, end int64, corr uint32) {
	m := &b.P.Copies
	m.Start, m.Dur = append(m.Start, start), append(m.Dur, end-start)
	m.Bytes, m.Kind = append(m.Bytes, bytes), append(m.Kind, kind)
	m.Src, m.Dst = append(m.Src, src), append(m.Dst, dst)
	m.Queue = append(m.Queue, b.queue())
	m.Correlation, m.Call = append(m.Correlation, corr), append(m.Call, profile.None)
	m.GraphNode = append(m.GraphNode, 0)
}

// Graph adds a whole graph execution, as a capture at graph granularity records it.
func (b *Builder) Graph(start, end int64, corr uint32) {
	g := &b.P.GraphTraces
	g.Start, g.Dur = append(g.Start, start), append(g.Dur, end-start)
	g.Queue = append(g.Queue, b.queue())
	g.Correlation, g.Call = append(g.Correlation, corr), append(g.Call, profile.None)
	g.Graph, g.Exec = append(g.Graph, 1), append(g.Exec, 2)
}

// Range adds an annotation; end < 0 leaves it open.
func (b *Builder) Range(text string, start, end int64) {
	r := &b.P.Ranges
	d := end - start
	if end < 0 {
		d = profile.Open
	}
	r.Start, r.Dur = append(r.Start, start), append(r.Dur, d)
	r.Text = append(r.Text, b.P.Strings.ID(text))
	r.Thread = append(r.Thread, b.b.Thread(b.PID, b.TID))
	r.Domain, r.Kind = append(r.Domain, profile.None), append(r.Kind, profile.PushPop)
}

// Build sorts, joins and validates the profile.
func (b *Builder) Build(t testing.TB) *profile.Profile {
	t.Helper()
	b.P.Sort()
	b.P.Join()
	if err := b.P.CheckValid(); err != nil {
		t.Fatalf("built profile is not valid: %v", err)
	}
	return b.P
}
