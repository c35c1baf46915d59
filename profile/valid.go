package profile

import (
	"fmt"
	"math"
)

// MaxTime bounds times and durations: a capture of 146 years. Readers drop rows beyond it, so sums of a table cannot
// overflow before two billion such rows.
const MaxTime int64 = math.MaxInt64 / 2

// CheckValid reports the first violation of the guarantees in the package comment, or nil. Its cost is one pass over
// every column.
func (p *Profile) CheckValid() error {
	nStr := uint32(p.Strings.Len())
	if p.Window.End < p.Window.Start {
		return fmt.Errorf("window ends (%d) before it starts (%d)", p.Window.End, p.Window.Start)
	}
	for i, t := range p.Threads {
		if t.Process < 0 || int(t.Process) >= len(p.Processes) {
			return fmt.Errorf("thread %d: process %d out of range", i, t.Process)
		}
	}
	for i, q := range p.Queues {
		if q.Process < None || int(q.Process) >= len(p.Processes) || q.Device < 0 || int(q.Device) >= len(p.Devices) {
			return fmt.Errorf("queue %d: process %d or device %d out of range", i, q.Process, q.Device)
		}
	}
	for i, f := range p.Funcs {
		if uint32(f.Name) >= nStr || uint32(f.Short) >= nStr || uint32(f.Mangled) >= nStr {
			return fmt.Errorf("function %d: name out of range", i)
		}
	}
	c := checker{}
	k := &p.Kernels
	c.table("kernels", k.Start, k.Dur, false, k.Row,
		len(k.Func), len(k.Config), len(k.Queue), len(k.Correlation), len(k.Call), len(k.GraphNode))
	c.ids("kernels.func", k.Func, len(p.Funcs), false)
	c.ids("kernels.config", k.Config, len(p.Configs), false)
	c.ids("kernels.queue", k.Queue, len(p.Queues), false)
	c.ids("kernels.call", k.Call, p.Calls.Len(), true)
	m := &p.Copies
	c.table("copies", m.Start, m.Dur, false, m.Row, len(m.Bytes), len(m.Kind), len(m.Src), len(m.Dst), len(m.Queue),
		len(m.Correlation), len(m.Call), len(m.GraphNode))
	c.ids("copies.queue", m.Queue, len(p.Queues), false)
	c.ids("copies.call", m.Call, p.Calls.Len(), true)
	s := &p.Memsets
	c.table("memsets", s.Start, s.Dur, false, s.Row, len(s.Bytes), len(s.Mem), len(s.Queue), len(s.Correlation),
		len(s.Call), len(s.GraphNode))
	c.ids("memsets.queue", s.Queue, len(p.Queues), false)
	c.ids("memsets.call", s.Call, p.Calls.Len(), true)
	a := &p.Calls
	c.table("calls", a.Start, a.Dur, false, a.Row, len(a.Name), len(a.Thread), len(a.Correlation), len(a.Result),
		len(a.Class))
	if a.External != nil && len(a.External) != a.Len() && c.err == nil {
		c.err = fmt.Errorf("calls: columns of different length (%d and %d)", a.Len(), len(a.External))
	}
	c.names("calls.name", a.Name, nStr)
	c.ids("calls.thread", a.Thread, len(p.Threads), false)
	y := &p.Syncs
	c.table("syncs", y.Start, y.Dur, false, y.Row, len(y.Kind), len(y.Queue), len(y.Correlation), len(y.Call))
	c.ids("syncs.queue", y.Queue, len(p.Queues), true)
	c.ids("syncs.call", y.Call, p.Calls.Len(), true)
	r := &p.Ranges
	c.table("ranges", r.Start, r.Dur, true, r.Row, len(r.Text), len(r.Thread), len(r.Domain), len(r.Kind))
	c.names("ranges.text", r.Text, nStr)
	c.ids("ranges.thread", r.Thread, len(p.Threads), false)
	c.ids("ranges.domain", r.Domain, len(p.Domains), true)
	o := &p.Ops
	c.table("ops", o.Start, o.Dur, false, o.Row, len(o.Name), len(o.Thread), len(o.External), len(o.Dims), len(o.Types))
	c.names("ops.name", o.Name, nStr)
	c.names("ops.dims", o.Dims, nStr)
	c.names("ops.types", o.Types, nStr)
	c.ids("ops.thread", o.Thread, len(p.Threads), false)
	for _, t := range []struct {
		name string
		s    *Spans
	}{{"os calls", &p.OSCalls}, {"library calls", &p.LibCalls}, {"overheads", &p.Overheads},
		{"frames", &p.Frames}} {
		c.table(t.name, t.s.Start, t.s.Dur, false, t.s.Row, len(t.s.Name), len(t.s.Thread))
		c.names(t.name+".name", t.s.Name, nStr)
		c.ids(t.name+".thread", t.s.Thread, len(p.Threads), true)
	}
	g := &p.GraphTraces
	c.table("graph traces", g.Start, g.Dur, false, g.Row, len(g.Queue), len(g.Correlation), len(g.Call), len(g.Graph),
		len(g.Exec))
	c.ids("graph traces.queue", g.Queue, len(p.Queues), false)
	c.ids("graph traces.call", g.Call, p.Calls.Len(), true)
	e := &p.GraphEvents
	c.table("graph events", e.Start, e.Dur, false, e.Row, len(e.Kind), len(e.Thread), len(e.Graph), len(e.Node),
		len(e.Original))
	c.ids("graph events.thread", e.Thread, len(p.Threads), true)
	v := &p.MemEvents
	c.table("memory events", v.Start, nil, false, v.Row, len(v.Bytes), len(v.Address), len(v.Mem), len(v.Free),
		len(v.Process), len(v.Device), len(v.Name), len(v.PoolBytes))
	c.names("memory events.name", v.Name, nStr)
	c.ids("memory events.process", v.Process, len(p.Processes), true)
	c.ids("memory events.device", v.Device, len(p.Devices), true)
	for i, n := range p.Counters {
		if len(n.Times) != len(n.Values) {
			return fmt.Errorf("counter %d (%s): %d times, %d values", i, n.Name, len(n.Times), len(n.Values))
		}
	}
	return c.err
}

type checker struct{ err error }

func (c *checker) table(name string, start, dur []int64, open bool, rows Rows, lens ...int) {
	if c.err != nil {
		return
	}
	n := len(start)
	if dur != nil || n == 0 {
		lens = append(lens, len(dur))
	}
	if rows != nil {
		lens = append(lens, len(rows))
	}
	for _, l := range lens {
		if l != n {
			c.err = fmt.Errorf("%s: columns of different length (%d and %d)", name, n, l)
			return
		}
	}
	for i, s := range start {
		if i > 0 && s < start[i-1] {
			c.err = fmt.Errorf("%s: not sorted by start at index %d", name, i)
			return
		}
		if s > MaxTime || s < -MaxTime {
			c.err = fmt.Errorf("%s: time %d at index %d out of range", name, s, i)
			return
		}
	}
	for i, d := range dur {
		if (d < 0 && (!open || d != Open)) || d > MaxTime {
			c.err = fmt.Errorf("%s: duration %d at index %d", name, d, i)
			return
		}
	}
}

func (c *checker) ids(name string, col []int32, n int, none bool) {
	if c.err != nil {
		return
	}
	low := int32(0)
	if none {
		low = None
	}
	for i, v := range col {
		if v < low || int(v) >= n {
			c.err = fmt.Errorf("%s: %d at index %d out of range", name, v, i)
			return
		}
	}
}

func (c *checker) names(name string, col []StringID, n uint32) {
	if c.err != nil {
		return
	}
	for i, v := range col {
		if uint32(v) >= n {
			c.err = fmt.Errorf("%s: string %d at index %d out of range", name, v, i)
			return
		}
	}
}
