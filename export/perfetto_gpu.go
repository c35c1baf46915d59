package export

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

// gpus writes a group of tracks per device: lifecycle once, then steps, batch, streams and counters.
func (t *trace) gpus() {
	t.lifecycle()
	byDevice := map[int32][]int{}
	var devices []int32
	need := func(d int32) {
		if !slices.Contains(devices, d) {
			devices = append(devices, d)
		}
	}
	for i := range t.a.Ranks {
		d := t.a.Ranks[i].Device
		need(d)
		byDevice[d] = append(byDevice[d], i)
	}
	for i := range t.p.Counters {
		need(t.p.Counters[i].Device)
	}
	for _, d := range t.p.MemEvents.Device {
		need(d)
	}
	slices.Sort(devices)
	for _, d := range devices {
		title := "GPU (number not recorded)"
		if d != profile.None {
			title = fmt.Sprintf("GPU %d %s", t.p.Devices[d].ID, t.p.Devices[d].Name)
		}
		parent := t.track(0, title, ordered)
		for k, ri := range byDevice[d] {
			t.rank(parent, ri, 100*k)
		}
		t.counters(parent, d)
	}
}

func (t *trace) lifecycle() {
	if len(t.a.Lifecycle) == 0 {
		return
	}
	g := &lanes{t: t, nest: true, make: func(int) uint64 { return t.track(0, "Lifecycle", nil) }}
	all := slices.Clone(t.a.Lifecycle)
	slices.SortStableFunc(all, func(x, y step.LifecyclePhase) int {
		return cmp.Or(cmp.Compare(x.Start, y.Start), cmp.Compare(y.Dur, x.Dur))
	})
	for _, l := range all {
		track := g.place(l.Start, l.Start+l.Dur)
		if l.Source != "" {
			t.detail("seen by", name{text: l.Source})
		}
		t.begin(track, l.Start, name{text: l.Phase}, "lifecycle", nil)
	}
	g.finish()
}

// rank writes the steps and the streams of one process on one device.
func (t *trace) rank(parent uint64, ri, order int) {
	r := &t.a.Ranks[ri]
	who := ""
	if r.Process >= 0 {
		who = fmt.Sprintf(" (pid %d)", t.p.Processes[r.Process].PID)
	}
	t.steps(parent, ri, who, order)
	t.streams(parent, ri, who, order+10)
}

func (t *trace) steps(parent uint64, ri int, who string, order int) {
	r := &t.a.Ranks[ri]
	if len(r.Steps) == 0 {
		return
	}
	g := &lanes{t: t, make: func(int) uint64 { return t.track(parent, "Steps"+who, ranked(order)) }}
	for _, i := range r.Steps {
		s := &t.a.Steps[i]
		track := g.place(s.GPU.Start, s.GPU.End)
		label := s.Phase.String()
		if n := s.Batch.Requests(); n >= 0 {
			label += fmt.Sprintf(" %d", n)
		}
		t.number("step", int64(s.Index))
		b := &s.Batch
		for _, x := range []struct {
			key string
			v   int64
		}{{"prefill requests", b.PrefillRequests}, {"prefill tokens", b.PrefillTokens}, {"decode requests", b.DecodeRequests}, {"decode tokens", b.DecodeTokens}} {
			if x.v >= 0 {
				t.number(x.key, x.v)
			}
		}
		for _, p := range step.Parts() {
			if ns := s.Budget[p]; ns > 0 {
				t.number(p.String()+" ns", ns)
			}
		}
		t.number("kernels", int64(s.Kernels))
		t.number("launches", int64(s.Launches+s.GraphLaunches))
		if s.Cold {
			t.detail("cold", name{text: s.ColdWhy})
		}
		t.detail("found by", name{text: r.Source.String()})
		t.begin(track, s.GPU.Start, name{text: label}, "step", nil)
	}
	g.finish()
	for k, c := range []struct {
		title string
		of    func(*step.Step) int64
	}{
		{"Decode requests" + who, func(s *step.Step) int64 { return s.Batch.DecodeRequests }},
		{"Prefill requests" + who, func(s *step.Step) int64 { return s.Batch.PrefillRequests }},
		{"Scheduled tokens" + who, func(s *step.Step) int64 { return s.Batch.Tokens() }},
	} {
		track, last := uint64(0), int64(-1)
		for _, i := range r.Steps {
			s := &t.a.Steps[i]
			v := c.of(s)
			if v < 0 || v == last {
				continue
			}
			if track == 0 {
				track = t.counter(parent, c.title, "count", order+1+k)
			}
			t.value(track, s.GPU.Start, v)
			last = v
		}
		if track != 0 && last != 0 {
			t.value(track, r.Wall.End, 0)
		}
	}
}

// streams writes the device operations of a rank, a track per stream.
func (t *trace) streams(parent uint64, ri int, who string, order int) {
	r := &t.a.Ranks[ri]
	tracks := map[int32]*lanes{}
	var queues []int32
	for j, o := range r.Ops {
		q := t.a.QueueOf(o)
		g := tracks[q]
		if g == nil {
			title := fmt.Sprintf("Stream %d%s", t.p.Queues[q].Stream, who)
			rank := order + len(queues)
			g = &lanes{t: t, make: func(int) uint64 { return t.track(parent, title, ranked(rank)) }}
			tracks[q] = g
			queues = append(queues, q)
		}
		s := t.a.Span(o)
		track := g.place(s.Start, s.End)
		if i := r.OpStep[j]; i != profile.None {
			t.number("step", int64(t.a.Steps[i].Index))
		}
		var flows func(func(uint64))
		if t.a.CallOf(o) != profile.None {
			flows = func(yield func(uint64)) { yield(flowID(o)) }
			t.counts.Flows++
		}
		n, category := t.describe(o)
		t.begin(track, s.Start, n, category, flows)
	}
	for _, q := range queues {
		tracks[q].finish()
	}
}

// describe names an operation and notes its details.
func (t *trace) describe(o step.Op) (name, string) {
	p, i := t.p, o.Index()
	switch o.Kind() {
	case step.OpKernel:
		f := &p.Funcs[p.Kernels.Func[i]]
		t.detail("stage", name{text: t.a.Stage[i].String()})
		if f.Name != f.Short {
			t.detail("function", name{id: f.Name})
		}
		c := &p.Configs[p.Kernels.Config[i]]
		t.detail("grid", name{text: fmt.Sprintf("%d x %d x %d", c.Grid[0], c.Grid[1], c.Grid[2])})
		t.detail("block", name{text: fmt.Sprintf("%d x %d x %d", c.Block[0], c.Block[1], c.Block[2])})
		t.number("correlation", int64(p.Kernels.Correlation[i]))
		if n := p.Kernels.GraphNode[i]; n != 0 && n != profile.UnknownNode {
			t.number("graph", int64(n>>32))
			t.number("graph node", int64(n&(1<<32-1)))
		}
		short := f.Short
		if p.Strings.At(short) == "" {
			short = f.Name
		}
		return name{id: short}, "kernel"
	case step.OpCopy:
		t.number("bytes", p.Copies.Bytes[i])
		t.number("correlation", int64(p.Copies.Correlation[i]))
		return name{text: "copy " + t.a.PartOf(o).String()[len("gpu.copy-"):]}, "copy"
	case step.OpMemset:
		t.number("bytes", p.Memsets.Bytes[i])
		t.number("correlation", int64(p.Memsets.Correlation[i]))
		return name{text: "memset"}, "memset"
	}
	t.number("graph", p.GraphTraces.Graph[i])
	t.number("correlation", int64(p.GraphTraces.Correlation[i]))
	return name{text: "CUDA graph"}, "graph"
}

// counters writes the sampled metrics of a device and its recorded allocations.
func (t *trace) counters(parent uint64, d int32) {
	rank := 10_000
	for i := range t.p.Counters {
		c := &t.p.Counters[i]
		if c.Device != d || len(c.Times) == 0 {
			continue
		}
		rank++
		unit := c.Unit
		if unit == "percent" {
			unit = "%"
		}
		track := t.counter(parent, c.Name, unit, rank)
		for k, at := range c.Times {
			// A value holds until the next one.
			if k == 0 || c.Values[k] != c.Values[k-1] || k == len(c.Times)-1 {
				t.value(track, at, c.Values[k])
			}
		}
	}
	v := &t.p.MemEvents
	var track uint64
	var sum int64
	for i, at := range v.Start {
		if v.Device[i] != d || v.Mem[i] != profile.MemDevice && v.Mem[i] != profile.MemDeviceStatic && v.Mem[i] != profile.MemManaged {
			continue
		}
		if track == 0 {
			track = t.counter(parent, "Memory allocated since the recording began", "bytes", 20_000)
		}
		if v.Free[i] {
			sum -= v.Bytes[i]
		} else {
			sum += v.Bytes[i]
		}
		t.value(track, at, sum)
	}
}
