package summary

import (
	"math/rand/v2"
	"testing"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
)

// builder makes tiny profiles.
type builder struct {
	*profile.Builder
	corr uint32
}

func newBuilder() *builder {
	p := &profile.Profile{Source: "tiny.sqlite"}
	return &builder{Builder: profile.NewBuilder(p)}
}

func (b *builder) queue(pid, device int64) int32 {
	return b.Queue(profile.Queue{Process: b.Process(pid), Device: b.Device(device), Context: 1, GreenCtx: -1, Stream: 7})
}

// call adds an API call and returns its correlation id.
func (b *builder) call(pid, tid, start, dur int64, name string) uint32 {
	b.corr++
	c := &b.P.Calls
	c.Start, c.Dur = append(c.Start, start), append(c.Dur, dur)
	c.Name = append(c.Name, b.P.Strings.ID(name))
	c.Thread = append(c.Thread, b.Thread(pid, tid))
	c.Correlation = append(c.Correlation, b.corr)
	c.Result = append(c.Result, 0)
	c.Class = append(c.Class, profile.RuntimeAPI)
	return b.corr
}

func (b *builder) kernel(pid, device, start, dur int64, name string, corr uint32) {
	b.kernelOf(pid, device, start, dur, profile.Func{Name: b.P.Strings.ID(name), Short: b.P.Strings.ID(name)}, [3]int32{1, 1, 1}, corr)
}

func (b *builder) kernelOf(pid, device, start, dur int64, f profile.Func, grid [3]int32, corr uint32) {
	k := &b.P.Kernels
	k.Start, k.Dur = append(k.Start, start), append(k.Dur, dur)
	k.Func = append(k.Func, b.Func(f))
	k.Config = append(k.Config, b.Config(profile.LaunchConfig{Grid: grid, Block: [3]int32{32, 1, 1}, Registers: 16}))
	k.Queue = append(k.Queue, b.queue(pid, device))
	k.Correlation = append(k.Correlation, corr)
	k.Call = append(k.Call, profile.None)
	k.GraphNode = append(k.GraphNode, 0)
}

func (b *builder) copy(pid, device, start, dur, bytes int64, kind profile.CopyKind, corr uint32) {
	m := &b.P.Copies
	m.Start, m.Dur, m.Bytes = append(m.Start, start), append(m.Dur, dur), append(m.Bytes, bytes)
	m.Kind, m.Src, m.Dst = append(m.Kind, kind), append(m.Src, profile.MemPageable), append(m.Dst, profile.MemDevice)
	m.Queue = append(m.Queue, b.queue(pid, device))
	m.Correlation = append(m.Correlation, corr)
	m.Call = append(m.Call, profile.None)
	m.GraphNode = append(m.GraphNode, 0)
}

func (b *builder) memset(pid, device, start, dur, bytes int64, corr uint32) {
	m := &b.P.Memsets
	m.Start, m.Dur, m.Bytes = append(m.Start, start), append(m.Dur, dur), append(m.Bytes, bytes)
	m.Mem = append(m.Mem, profile.MemDevice)
	m.Queue = append(m.Queue, b.queue(pid, device))
	m.Correlation = append(m.Correlation, corr)
	m.Call = append(m.Call, profile.None)
	m.GraphNode = append(m.GraphNode, 0)
}

// rng adds a range; domain "" is the default domain and dur may be profile.Open.
func (b *builder) rng(pid, tid, start, dur int64, kind profile.RangeKind, domain, text string) {
	r := &b.P.Ranges
	d := profile.None
	if domain != "" {
		d = b.Domain(pid, int64(len(domain)))
		b.P.Domains[d].Name = domain
	}
	r.Start, r.Dur = append(r.Start, start), append(r.Dur, dur)
	r.Text = append(r.Text, b.P.Strings.ID(text))
	r.Thread = append(r.Thread, b.Thread(pid, tid))
	r.Domain = append(r.Domain, d)
	r.Kind = append(r.Kind, kind)
}

func (b *builder) osCall(pid, tid, start, dur int64, name string) {
	o := &b.P.OSCalls
	o.Start, o.Dur = append(o.Start, start), append(o.Dur, dur)
	o.Name = append(o.Name, b.P.Strings.ID(name))
	o.Thread = append(o.Thread, b.Thread(pid, tid))
}

func (b *builder) counter(device int64, name string, times, values []int64) {
	b.P.Counters = append(b.P.Counters, profile.Counter{Device: b.Device(device), Name: name, Unit: "percent", Times: times, Values: values})
}

func (b *builder) done(t testing.TB) *profile.Profile {
	t.Helper()
	b.P.Sort()
	b.P.Join()
	if err := b.P.CheckValid(); err != nil {
		t.Fatal(err)
	}
	return b.P
}

// random makes a profile of a few threads with nested, overlapping and open ranges, calls and device work.
func random(t testing.TB, seed uint64) *profile.Profile {
	r := rand.New(rand.NewPCG(seed, 1))
	b := newBuilder()
	names := []string{"a", "b", "c"}
	for tid := int64(1); tid <= 3; tid++ {
		var nest func(lo, hi int64, depth int)
		nest = func(lo, hi int64, depth int) {
			for at := lo; at < hi; {
				start := at + r.Int64N(20)
				dur := r.Int64N(200)
				if start+dur > hi {
					return
				}
				domain := ""
				if r.IntN(4) == 0 {
					domain = "lib"
				}
				b.rng(1, tid, start, dur, profile.PushPop, domain, names[r.IntN(3)])
				if depth < 3 {
					nest(start, start+dur, depth+1)
				}
				at = start + dur
			}
		}
		nest(0, 2000, 0)
		for range 12 {
			dur := r.Int64N(500)
			if r.IntN(8) == 0 {
				dur = profile.Open
			}
			b.rng(1, tid, r.Int64N(2000), dur, profile.StartEnd, "", names[r.IntN(3)])
		}
		for at := int64(0); at < 2000; {
			start := at + r.Int64N(30)
			dur := r.Int64N(15)
			corr := b.call(1, tid, start, dur, "cudaLaunchKernel_v7000")
			for range r.IntN(3) {
				b.kernel(1, r.Int64N(2), start+r.Int64N(100), r.Int64N(50), "k"+names[r.IntN(3)], corr)
			}
			if r.IntN(5) == 0 {
				b.copy(1, 0, start+r.Int64N(50), r.Int64N(40), r.Int64N(1000), profile.CopyKind(r.IntN(14)), corr)
			}
			if r.IntN(6) == 0 {
				b.memset(1, 1, start+r.Int64N(50), r.Int64N(40), r.Int64N(1000), corr)
			}
			at = start + dur
		}
	}
	b.P.Window = interval.Span{Start: 0, End: 2100}
	return b.done(t)
}

// rows runs a report and returns its header and rows as text.
func rows(t testing.TB, p *profile.Profile, spec string) [][]string {
	t.Helper()
	tab, err := Run(p, spec)
	if err != nil {
		t.Fatalf("%s: %v", spec, err)
	}
	var out [][]string
	for row := range tab.Rows() {
		var line []string
		for i, v := range row {
			line = append(line, string(v.append(nil, &tab.Columns[i])))
		}
		out = append(out, line)
	}
	if len(out) != tab.Len() {
		t.Fatalf("%s: Len %d, %d rows", spec, tab.Len(), len(out))
	}
	return out
}
