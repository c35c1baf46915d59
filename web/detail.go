package web

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

const notRecorded = "not recorded"

// Fact is one line of a detail.
type Fact struct {
	Label string `json:"label"`
	Value string `json:"value"`
}

// Ref leads to an event: a lane, a row of it, and the position in the row. Times are ns from the model's origin.
type Ref struct {
	Label string `json:"label,omitempty"`
	Lane  int    `json:"lane"`
	Row   int    `json:"row"`
	At    int    `json:"at"`
	Start int64  `json:"start_ns"`
	Dur   int64  `json:"dur_ns"`
	Arrow bool   `json:"arrow,omitempty"` // draw an arrow: from or to the event, in the order of time
}

// Amount is a share of something by category.
type Amount struct {
	Label string  `json:"label"`
	Color string  `json:"color,omitempty"`
	Hatch bool    `json:"hatch,omitempty"`
	Ns    int64   `json:"ns"`
	Count int     `json:"count,omitempty"`
	Share float64 `json:"share"` // of the table's total, 0..1
}

// Table is amounts under a title.
type Table struct {
	Title   string   `json:"title"`
	TotalNs int64    `json:"total_ns"`
	Rows    []Amount `json:"rows"`
}

// Detail is everything known about one event.
type Detail struct {
	Ref
	Kind     string  `json:"kind"`
	Title    string  `json:"title"` // full name
	Category string  `json:"category"`
	Facts    []Fact  `json:"facts"`
	Links    []Ref   `json:"links"`
	Tables   []Table `json:"tables,omitempty"`
}

func (d *Detail) fact(label, format string, args ...any) {
	d.Facts = append(d.Facts, Fact{label, fmt.Sprintf(format, args...)})
}

// link adds a reference, if the event is on a lane.
func (d *Detail) link(m *Model, label string, lane int, ok bool, id uint32, arrow bool) {
	if r, found := m.ref(lane, ok, id); found {
		r.Label, r.Arrow = label, arrow
		d.Links = append(d.Links, r)
	}
}

// ref finds event id on a lane.
func (m *Model) ref(lane int, ok bool, id uint32) (Ref, bool) {
	if !ok || lane < 0 || lane >= len(m.lanes) || m.lanes[lane].src == nil {
		return Ref{}, false
	}
	s, _ := m.lanes[lane].src.at(id)
	row, at, ok := m.lanes[lane].locate(id, s.Start)
	return Ref{Lane: lane, Row: row, At: at, Start: s.Start - m.origin, Dur: s.Dur()}, ok
}

// detail describes the event at a position; ok is false where there is none.
func (m *Model) detail(lane, row, at int) (d Detail, ok bool) {
	if lane < 0 || lane >= len(m.lanes) || row < 0 || row >= len(m.lanes[lane].rows) || at < 0 || at >= m.lanes[lane].rows[row].n {
		return d, false
	}
	l := m.lanes[lane]
	r := l.rows[row]
	s, tag := r.At(at)
	_, text := r.src.label(r.id(at))
	d = Detail{Ref: Ref{Lane: lane, Row: row, At: at, Start: s.Start - m.origin, Dur: s.Dur()}, Title: text,
		Category: m.sets[l.set][tag].Label, Facts: []Fact{}, Links: []Ref{}}
	r.src.describe(m, &d, r.id(at))
	d.Title = clean(d.Title, maxName)
	for i := range d.Facts {
		d.Facts[i].Value = clean(d.Facts[i].Value, maxName)
	}
	return d, true
}

// duration prints ns for people, to about four digits; format.ts prints the same way.
func duration(ns int64) string {
	v := float64(max(ns, -ns))
	for _, u := range []struct {
		from float64
		name string
	}{{1e9, "s"}, {1e6, "ms"}, {1e3, "µs"}} {
		if v < u.from {
			continue
		}
		if v < 100*u.from {
			return fmt.Sprintf("%.2f %s", float64(ns)/u.from, u.name)
		}
		return fmt.Sprintf("%.1f %s", float64(ns)/u.from, u.name)
	}
	return fmt.Sprintf("%d ns", ns)
}

func byteCount(n int64) string {
	switch {
	case n < 10<<10:
		return fmt.Sprintf("%d B", n)
	case n < 10<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 10<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}

func (s *opSource) describe(m *Model, d *Detail, id uint32) {
	o := step.Op(id)
	i := o.Index()
	p := m.p
	var queue int32
	var corr uint32
	var node uint64
	var row int64
	table := ""
	switch o.Kind() {
	case step.OpKernel:
		s.describeKernel(m, d, i)
		m.describePeers(d, i, s.rank)
		queue, corr, node, row, table = p.Kernels.Queue[i], p.Kernels.Correlation[i], p.Kernels.GraphNode[i], p.Kernels.Row.At(i), "kernel"
	case step.OpCopy:
		d.Kind, d.Title = "memory copy", m.sets[setPart][s.a.PartOf(o)].Label
		d.fact("Bytes", "%d (%s)", p.Copies.Bytes[i], byteCount(p.Copies.Bytes[i]))
		if ns := p.Copies.Dur[i]; ns > 0 {
			d.fact("Rate", "%.2f GB/s", float64(p.Copies.Bytes[i])/float64(ns))
		}
		queue, corr, node, row, table = p.Copies.Queue[i], p.Copies.Correlation[i], p.Copies.GraphNode[i], p.Copies.Row.At(i), "memcpy"
	case step.OpMemset:
		d.Kind, d.Title = "memory fill", "memory fill"
		d.fact("Bytes", "%d (%s)", p.Memsets.Bytes[i], byteCount(p.Memsets.Bytes[i]))
		queue, corr, node, row, table = p.Memsets.Queue[i], p.Memsets.Correlation[i], p.Memsets.GraphNode[i], p.Memsets.Row.At(i), "memset"
	case step.OpGraph:
		d.Kind, d.Title = "CUDA graph execution", "CUDA graph, its kernels are not recorded"
		d.fact("Graph", "%d, executable %d", p.GraphTraces.Graph[i], p.GraphTraces.Exec[i])
		queue, corr, row, table = p.GraphTraces.Queue[i], p.GraphTraces.Correlation[i], p.GraphTraces.Row.At(i), "graph"
	}
	q := &p.Queues[queue]
	d.fact("Stream", "%d, context %d on %s", q.Stream, q.Context, m.deviceName(q.Device))
	if node != 0 {
		if node == profile.UnknownNode {
			d.fact("CUDA graph", "yes, node not recorded")
		} else {
			d.fact("CUDA graph", "executable %d, node %d", node>>32, node&0xffffffff)
		}
	}
	if call := s.a.CallOf(o); call != profile.None {
		t := p.Calls.Thread[call]
		name := kernel.StripAPIVersion(p.CallName(int(call)))
		at, _ := s.at(id)
		d.fact("Launch", "%s, %s; launch latency %s", name, duration(p.Calls.Dur[call]), duration(at.Start-p.Calls.Start[call]))
		lane, ok := m.callOf[callLane{t, libraryOf(name)}]
		d.link(m, "launch: "+name, lane, ok, uint32(call), true)
	} else {
		d.fact("Launch", notRecorded)
	}
	if corr != 0 {
		d.fact("Correlation id", "%d", corr)
	}
	if st := m.stepOfOp(o, s.rank); st != profile.None {
		m.linkStep(d, st)
	} else {
		d.fact("Step", "outside all steps")
	}
	d.fact("Row", "%s row %d", table, row)
}

func (s *opSource) describeKernel(m *Model, d *Detail, i int) {
	p := m.p
	f := p.Kernels.Func[i]
	d.Kind, d.Title = "kernel", p.Strings.At(p.Funcs[f].Name)
	stage := s.a.Stage[i].String()
	if r := s.a.Role[i].String(); r != "" && r != stage {
		stage += ", " + r
	}
	if l := s.a.Layer[i]; l >= 0 {
		stage += fmt.Sprintf(", layer %d", l)
	}
	d.fact("Stage", "%s (confidence %s)", stage, s.a.Confidence[i])
	c := &s.a.Classes[f]
	if family := strings.Trim(c.Family+", "+c.DType, ", "); family != "" {
		d.fact("Family", "%s", family)
	}
	g := &p.Configs[p.Kernels.Config[i]]
	d.fact("Grid", "%d × %d × %d blocks of %d × %d × %d threads", g.Grid[0], g.Grid[1], g.Grid[2], g.Block[0], g.Block[1], g.Block[2])
	if g.Cluster[0] > 1 || g.Cluster[1] > 1 || g.Cluster[2] > 1 {
		d.fact("Cluster", "%d × %d × %d blocks", g.Cluster[0], g.Cluster[1], g.Cluster[2])
	}
	if g.Registers > 0 {
		d.fact("Registers", "%d per thread", g.Registers)
	}
	if g.StaticShared > 0 || g.DynamicShared > 0 {
		d.fact("Shared memory", "%d B static, %d B dynamic", g.StaticShared, g.DynamicShared)
	}
}

// stepOfOp returns the step that an operation belongs to.
func (m *Model) stepOfOp(o step.Op, rank int) int32 {
	if o.Kind() == step.OpKernel {
		return m.stepOf[o.Index()]
	}
	r := &m.a.Ranks[rank]
	at := m.a.Span(o).Start
	for j := m.firstOpFrom(r, at); j < len(r.Ops) && m.a.Span(r.Ops[j]).Start == at; j++ {
		if r.Ops[j] == o {
			return r.OpStep[j]
		}
	}
	return profile.None
}

// firstOpFrom returns the position in r.Ops of the first operation that starts at t or later.
func (m *Model) firstOpFrom(r *step.Rank, t int64) int {
	return sort.Search(len(r.Ops), func(j int) bool { return m.a.Span(r.Ops[j]).Start >= t })
}

// linkStep names a step and links to it on the GPU.
func (m *Model) linkStep(d *Detail, st int32) {
	s := &m.a.Steps[st]
	d.fact("Step", "%d, %s", s.Index, batchText(s))
	d.link(m, fmt.Sprintf("step %d", s.Index), m.rankOf[s.Rank].steps, true, uint32(st), false)
}

func (s *stepSource) describe(m *Model, d *Detail, id uint32) {
	st := &s.a.Steps[id]
	d.Kind, d.Title = "step", fmt.Sprintf("step %d: %s", st.Index, batchText(st))
	if s.host {
		d.Kind = "engine iteration on the host"
		m.linkStep(d, int32(id))
		return
	}
	d.fact("Phase", "%s", st.Phase)
	b := &st.Batch
	number := func(label string, n int64) {
		if n < 0 {
			d.fact(label, notRecorded)
		} else {
			d.fact(label, "%d", n)
		}
	}
	number("Prefill requests", b.PrefillRequests)
	number("Prefill tokens", b.PrefillTokens)
	number("Decode requests", b.DecodeRequests)
	number("Decode tokens", b.DecodeTokens)
	if st.BatchFrom != "" {
		d.fact("Batch known from", "%s", st.BatchFrom)
	}
	if st.Period >= 0 {
		d.fact("Period", "%s to the next step", duration(st.Period))
	} else {
		d.fact("Period", "the last step: %s", notRecorded)
	}
	if wall := st.Wall(); wall > 0 {
		d.fact("GPU busy", "%s, %.1f %% of the step", duration(st.Budget.Busy()), 100*float64(st.Budget.Busy())/float64(wall))
	}
	d.fact("Work", "%d kernels (%d in CUDA graphs), %d copies", st.Kernels, st.GraphKernels, st.Copies)
	d.fact("Launches", "%d calls, %d graph launches", st.Launches, st.GraphLaunches)
	if st.Overlapped > 0 {
		d.fact("Collectives beside compute", "%s", duration(st.Overlapped))
	}
	if st.Cold {
		d.fact("Cold", "%s", st.ColdWhy)
	}
	d.Tables = append(d.Tables, m.budgetTable("The step's time", &st.Budget))
	if !st.Marker.Empty() {
		for n, l := range m.lanes {
			if o, ok := l.src.(*stepSource); ok && o.host && o.rank == int(st.Rank) {
				d.link(m, "on the host", n, true, id, true)
			}
		}
	}
}

// budgetTable lists the parts of a budget, the largest first.
func (m *Model) budgetTable(title string, b *step.Budget) Table {
	return m.table(title, setPart, b[:], b.Total())
}

// table lists sums by tag of a set, the largest first.
func (m *Model) table(title, set string, sums []int64, total int64) Table {
	t := Table{Title: title, TotalNs: total, Rows: []Amount{}}
	for tag, ns := range sums {
		if ns == 0 {
			continue
		}
		c := &m.sets[set][tag]
		a := Amount{Label: c.Label, Color: c.Color, Hatch: c.Hatch, Ns: ns}
		if total > 0 {
			a.Share = float64(ns) / float64(total)
		}
		t.Rows = append(t.Rows, a)
	}
	slices.SortStableFunc(t.Rows, func(x, y Amount) int { return cmp.Compare(y.Ns, x.Ns) })
	return t
}

func (s *pieceSource) describe(m *Model, d *Detail, id uint32) {
	p := step.Part(s.part[id])
	d.Title = m.sets[setPart][p].Label
	d.Kind = "GPU time"
	if p.Idle() {
		d.Kind = "GPU idle"
	}
	d.fact("Part", "%s", p)
	at, _ := s.at(id)
	r := &m.a.Ranks[s.rank]
	if st := m.stepAt(r, at.Start); st != profile.None {
		m.linkStep(d, st)
	}
	// The operations around a gap tell what was waited for.
	if !p.Idle() {
		return
	}
	if j := m.firstOpFrom(r, at.End); j < len(r.Ops) {
		m.linkOp(d, "what ran next", r.Ops[j], s.rank)
		if call := m.a.CallOf(r.Ops[j]); call != profile.None {
			name := kernel.StripAPIVersion(m.p.CallName(int(call)))
			lane, ok := m.callOf[callLane{m.p.Calls.Thread[call], libraryOf(name)}]
			d.link(m, "its launch: "+name, lane, ok, uint32(call), true)
		}
	}
}

// linkOp links to a device operation on its lane.
func (m *Model) linkOp(d *Detail, label string, o step.Op, rank int) {
	switch o.Kind() {
	case step.OpKernel:
		lane, ok := m.streamOf[m.p.Kernels.Queue[o.Index()]]
		d.link(m, label+": "+clean(shortName(m.p, m.p.Kernels.Func[o.Index()]), maxLabel), lane, ok, uint32(o), false)
	case step.OpGraph:
		lane, ok := m.streamOf[m.p.GraphTraces.Queue[o.Index()]]
		d.link(m, label+": CUDA graph", lane, ok, uint32(o), false)
	default:
		d.link(m, label+": copy", m.rankOf[rank].copies, true, uint32(o), false)
	}
}

// stepAt returns the step of r whose wall contains t.
func (m *Model) stepAt(r *step.Rank, t int64) int32 {
	k, _ := slices.BinarySearchFunc(r.Steps, t, func(s int32, t int64) int {
		if m.a.Steps[s].GPU.End <= t {
			return -1
		}
		return 1
	})
	if k < len(r.Steps) && m.a.Steps[r.Steps[k]].GPU.Contains(t) {
		return r.Steps[k]
	}
	return profile.None
}

func (s *threadLane) describe(m *Model, d *Detail, id uint32) {
	i := int(id)
	if s.thread != profile.None {
		d.fact("Thread", "%s of %s", m.threadName(s.thread), m.processName(m.p.Threads[s.thread].Process))
	}
	switch s.kind {
	case columnCall:
		s.describeCall(m, d, i)
	case columnRange:
		d.Kind = "annotation"
		r := &m.p.Ranges
		if dom := r.Domain[i]; dom != profile.None && m.p.Domains[dom].Name != "" {
			d.fact("Domain", "%s", m.p.Domains[dom].Name)
		}
		if r.Dur[i] == profile.Open {
			d.fact("End", "%s: the range was still open", notRecorded)
		}
		d.fact("Row", "NVTX row %d", r.Row.At(i))
		m.launchedIn(d, s, i)
	case columnOp:
		d.Kind = "operator"
		for _, f := range []struct {
			label string
			id    profile.StringID
		}{{"Input shapes", m.p.Ops.Dims[i]}, {"Input types", m.p.Ops.Types[i]}} {
			if v := m.p.Strings.At(f.id); v != "" {
				d.fact(f.label, "%s", v)
			}
		}
		m.launchedIn(d, s, i)
	case columnLib:
		d.Kind = "library call"
		m.launchedIn(d, s, i)
	case columnOS:
		d.Kind = "operating system call"
	case columnFrame:
		d.Kind = "Python frame"
	case columnOverhead:
		d.Kind = "profiler overhead"
	}
}

// maxLaunched bounds the links from one call to what it launched; a graph launch starts hundreds of kernels.
const maxLaunched = 12

func (s *threadLane) describeCall(m *Model, d *Detail, i int) {
	c := &m.p.Calls
	d.Kind, d.Title = "API call", kernel.StripAPIVersion(d.Title)
	d.fact("Library", "%s", libraryTitles[s.library])
	if c.Result[i] != 0 {
		d.fact("Result", "error %d", c.Result[i])
	}
	if c.Correlation[i] != 0 {
		d.fact("Correlation id", "%d", c.Correlation[i])
	}
	d.fact("Row", "API row %d", c.Row.At(i))
	ops := m.launched(d, "Launched GPU time", func(call int) bool { return call == i })
	for k, o := range ops[:min(len(ops), maxLaunched)] {
		n := len(d.Links)
		m.linkOp(d, "launched", o, m.rankOfOp(o))
		for ; n < len(d.Links); n++ {
			d.Links[n].Arrow = k < 4
		}
	}
}

// launched lists the device work that the calls launched which take accepts, with a table of its time.
func (m *Model) launched(d *Detail, title string, take func(call int) bool) []step.Op {
	var ops []step.Op
	sums := make([]int64, step.NumParts)
	var total int64
	for kind, col := range [][]int32{step.OpKernel: m.p.Kernels.Call, step.OpCopy: m.p.Copies.Call, step.OpMemset: m.p.Memsets.Call, step.OpGraph: m.p.GraphTraces.Call} {
		for j, call := range col {
			if call == profile.None || !take(int(call)) {
				continue
			}
			o := step.NewOp(step.OpKind(kind), j)
			ns := m.a.Span(o).Dur()
			sums[m.a.PartOf(o)] += ns
			total += ns
			ops = append(ops, o)
		}
	}
	if len(ops) > 0 {
		d.fact("Launched", "%d device operations", len(ops))
		d.Tables = append(d.Tables, m.table(title, setPart, sums, total))
	}
	return ops
}

// rankOfOp returns the rank that ran o, 0 if none did.
func (m *Model) rankOfOp(o step.Op) int {
	q := &m.p.Queues[m.a.QueueOf(o)]
	for r := range m.a.Ranks {
		if m.a.Ranks[r].Process == q.Process && m.a.Ranks[r].Device == q.Device {
			return r
		}
	}
	return 0
}

// launchedIn sums the device work that the thread launched during event i.
func (m *Model) launchedIn(d *Detail, s *threadLane, i int) {
	if s.thread == profile.None {
		return
	}
	at, _ := s.at(uint32(i))
	c := &m.p.Calls
	lo, hi := searchRange(c.Start, at)
	if lo == hi {
		return
	}
	m.launched(d, "GPU time launched inside", func(call int) bool { return call >= lo && call < hi && c.Thread[call] == s.thread })
}

// searchRange returns the indices of sorted start inside w.
func searchRange(start []int64, w interval.Span) (lo, hi int) {
	lo, _ = slices.BinarySearch(start, w.Start)
	hi, _ = slices.BinarySearch(start, w.End)
	return lo, max(lo, hi)
}
