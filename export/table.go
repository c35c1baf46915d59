package export

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

// Create opens the file of one table for writing; the caller decides where it lies.
type Create func(name string) (io.WriteCloser, error)

// kind is the type of a column.
type kind uint8

const (
	integer kind = iota
	text
	truth
)

// value is a cell of any type. What is not recorded is null.
type value struct {
	null bool
	n    int64 // integer; 0 or 1 for truth

	s string
}

func intOf(n int64) value { return value{n: n} }

// known is n, or null where n is negative: counts and ids use -1 for what is not recorded.
func known(n int64) value {
	if n < 0 {
		return value{null: true}
	}
	return value{n: n}
}

func textOf(s string) value {
	if s == "" {
		return value{null: true}
	}
	return value{s: clean(s)}
}

func truthOf(b bool) value {
	if b {
		return value{n: 1}
	}
	return value{}
}

// column is one column of a table; at returns the cell of a row.
type column struct {
	name string
	kind kind
	at   func(i int) value
}

// table is rows of columns, made when they are asked for.
type table struct {
	name    string
	rows    int
	columns []column
}

func (t *table) ints(name string, at func(i int) int64) {
	t.columns = append(t.columns, column{name, integer, func(i int) value { return intOf(at(i)) }})
}

func (t *table) known(name string, at func(i int) int64) {
	t.columns = append(t.columns, column{name, integer, func(i int) value { return known(at(i)) }})
}

func (t *table) texts(name string, at func(i int) string) {
	t.columns = append(t.columns, column{name, text, func(i int) value { return textOf(at(i)) }})
}

// labels is texts for few distinct ones that were made clean before.
func (t *table) labels(name string, at func(i int) string) {
	t.columns = append(t.columns, column{name, text, func(i int) value {
		s := at(i)
		return value{null: s == "", s: s}
	}})
}

func (t *table) truths(name string, at func(i int) bool) {
	t.columns = append(t.columns, column{name, truth, func(i int) value { return truthOf(at(i)) }})
}

// tables are the tables of an analysis that have rows. The names of their columns carry the unit; times are ns in the
// capture's clock, and row leads to the row or event of the input.
func tables(a *step.Analysis) []*table {
	x := &tabler{a: a, p: a.P, stepOf: opSteps(a)}
	all := []*table{x.steps(), x.kernels(), x.copies(), x.memsets(), x.graphs(), x.calls(), x.syncs(), x.ranges(), x.operators(),
		x.spans("library_calls", &a.P.LibCalls), x.spans("os_calls", &a.P.OSCalls), x.spans("profiler_overhead", &a.P.Overheads), x.counters(), x.memory()}
	return slices.DeleteFunc(all, func(t *table) bool { return t.rows == 0 })
}

// TableNames lists the tables that an analysis exports, in order.
func TableNames(a *step.Analysis) []string {
	var out []string
	for _, t := range tables(a) {
		out = append(out, t.name)
	}
	return out
}

type tabler struct {
	a      *step.Analysis
	p      *profile.Profile
	stepOf [4][]int32
}

// opSteps gives the step of each device operation, by kind and index; None outside steps.
func opSteps(a *step.Analysis) [4][]int32 {
	p := a.P
	var out [4][]int32
	for k, n := range map[step.OpKind]int{step.OpKernel: p.Kernels.Len(), step.OpCopy: p.Copies.Len(), step.OpMemset: p.Memsets.Len(), step.OpGraph: p.GraphTraces.Len()} {
		out[k] = make([]int32, n)
		for i := range out[k] {
			out[k][i] = profile.None
		}
	}
	for ri := range a.Ranks {
		r := &a.Ranks[ri]
		for j, o := range r.Ops {
			out[o.Kind()][o.Index()] = r.OpStep[j]
		}
	}
	return out
}

// device adds what all device operations have: time, place, launch and step.
func (x *tabler) device(t *table, k step.OpKind, row profile.Rows, start, dur []int64, queue []int32, correlation []uint32, call []int32) {
	p := x.p
	t.ints("row", row.At)
	t.ints("start_ns", func(i int) int64 { return start[i] })
	t.ints("dur_ns", func(i int) int64 { return dur[i] })
	t.columns = append(t.columns, column{"pid", integer, func(i int) value {
		if q := p.Queues[queue[i]].Process; q != profile.None {
			return intOf(p.Processes[q].PID)
		}
		return value{null: true}
	}})
	t.ints("device", func(i int) int64 { return p.Devices[p.Queues[queue[i]].Device].ID })
	t.ints("context", func(i int) int64 { return p.Queues[queue[i]].Context })
	t.ints("stream", func(i int) int64 { return p.Queues[queue[i]].Stream })
	t.columns = append(t.columns, column{"correlation", integer, func(i int) value {
		if correlation[i] == 0 {
			return value{null: true}
		}
		return intOf(int64(correlation[i]))
	}}, column{"call_row", integer, func(i int) value {
		if call[i] == profile.None {
			return value{null: true}
		}
		return intOf(p.Calls.Row.At(int(call[i])))
	}})
	t.columns = append(t.columns, column{"step", integer, func(i int) value {
		if s := x.stepOf[k][i]; s != profile.None {
			return intOf(int64(x.a.Steps[s].Index))
		}
		return value{null: true}
	}}, column{"rank", integer, func(i int) value {
		if s := x.stepOf[k][i]; s != profile.None {
			return intOf(int64(x.a.Steps[s].Rank))
		}
		return value{null: true}
	}})
}

func (x *tabler) node(t *table, node []uint64) {
	t.columns = append(t.columns, column{"graph", integer, func(i int) value {
		if n := node[i]; n == 0 || n == profile.UnknownNode {
			return value{null: true}
		}
		return intOf(int64(node[i] >> 32))
	}}, column{"graph_node", integer, func(i int) value {
		if n := node[i]; n == 0 || n == profile.UnknownNode {
			return value{null: true}
		}
		return intOf(int64(node[i] & (1<<32 - 1)))
	}})
	t.truths("in_graph", func(i int) bool { return node[i] != 0 })
}

func (x *tabler) kernels() *table {
	p, a, k := x.p, x.a, &x.p.Kernels
	t := &table{name: "kernels", rows: k.Len()}
	x.device(t, step.OpKernel, k.Row, k.Start, k.Dur, k.Queue, k.Correlation, k.Call)
	full, short := make([]string, len(p.Funcs)), make([]string, len(p.Funcs))
	for i, f := range p.Funcs {
		name := p.Strings.At(f.Name)
		if short[i] = clean(p.Strings.At(f.Short)); short[i] == "" {
			short[i] = clean(profile.BaseName(name))
		}
		full[i] = clean(name)
	}
	t.labels("name", func(i int) string { return full[k.Func[i]] })
	t.labels("short_name", func(i int) string { return short[k.Func[i]] })
	t.labels("stage", func(i int) string { return a.Stage[i].String() })
	t.labels("role", func(i int) string {
		if a.Role[i] == kernel.NoRole {
			return ""
		}
		return a.Role[i].String()
	})
	t.known("layer", func(i int) int64 { return int64(a.Layer[i]) })
	config := func(i int) *profile.LaunchConfig { return &p.Configs[k.Config[i]] }
	for d, axis := range [3]string{"x", "y", "z"} {
		t.ints("grid_"+axis, func(i int) int64 { return int64(config(i).Grid[d]) })
	}
	for d, axis := range [3]string{"x", "y", "z"} {
		t.ints("block_"+axis, func(i int) int64 { return int64(config(i).Block[d]) })
	}
	t.ints("registers_per_thread", func(i int) int64 { return int64(config(i).Registers) })
	t.ints("static_shared_bytes", func(i int) int64 { return int64(config(i).StaticShared) })
	t.ints("dynamic_shared_bytes", func(i int) int64 { return int64(config(i).DynamicShared) })
	x.node(t, k.GraphNode)
	return t
}

var copyKinds = [...]string{profile.CopyUnknown: "", profile.CopyHtoD: "HtoD", profile.CopyDtoH: "DtoH", profile.CopyHtoA: "HtoA", profile.CopyAtoH: "AtoH",
	profile.CopyAtoA: "AtoA", profile.CopyAtoD: "AtoD", profile.CopyDtoA: "DtoA", profile.CopyDtoD: "DtoD", profile.CopyHtoH: "HtoH", profile.CopyPtoP: "PtoP",
	profile.CopyUVMHtoD: "UVM HtoD", profile.CopyUVMDtoH: "UVM DtoH", profile.CopyUVMDtoD: "UVM DtoD"}

var memKinds = [...]string{profile.MemPageable: "pageable", profile.MemPinned: "pinned", profile.MemDevice: "device", profile.MemArray: "array", profile.MemManaged: "managed",
	profile.MemDeviceStatic: "device static", profile.MemManagedStatic: "managed static", profile.MemUnknown: ""}

// nameIn is names[i], "" beyond them.
func nameIn[T ~uint8](names []string, i T) string {
	if int(i) < len(names) {
		return names[i]
	}
	return ""
}

func (x *tabler) copies() *table {
	c := &x.p.Copies
	t := &table{name: "copies", rows: c.Len()}
	x.device(t, step.OpCopy, c.Row, c.Start, c.Dur, c.Queue, c.Correlation, c.Call)
	t.ints("bytes", func(i int) int64 { return c.Bytes[i] })
	t.texts("kind", func(i int) string { return nameIn(copyKinds[:], c.Kind[i]) })
	t.texts("source_memory", func(i int) string { return nameIn(memKinds[:], c.Src[i]) })
	t.texts("target_memory", func(i int) string { return nameIn(memKinds[:], c.Dst[i]) })
	t.texts("part", func(i int) string { return x.a.PartOf(step.NewOp(step.OpCopy, i)).String() })
	x.node(t, c.GraphNode)
	return t
}

func (x *tabler) memsets() *table {
	c := &x.p.Memsets
	t := &table{name: "memsets", rows: c.Len()}
	x.device(t, step.OpMemset, c.Row, c.Start, c.Dur, c.Queue, c.Correlation, c.Call)
	t.ints("bytes", func(i int) int64 { return c.Bytes[i] })
	t.texts("memory", func(i int) string { return nameIn(memKinds[:], c.Mem[i]) })
	x.node(t, c.GraphNode)
	return t
}

func (x *tabler) graphs() *table {
	g := &x.p.GraphTraces
	t := &table{name: "graphs", rows: len(g.Start)}
	x.device(t, step.OpGraph, g.Row, g.Start, g.Dur, g.Queue, g.Correlation, g.Call)
	t.ints("graph", func(i int) int64 { return g.Graph[i] })
	t.ints("executable", func(i int) int64 { return g.Exec[i] })
	return t
}

// host adds what events of threads have.
func (x *tabler) host(t *table, row profile.Rows, start, dur []int64, thread []int32) {
	p := x.p
	t.ints("row", row.At)
	t.ints("start_ns", func(i int) int64 { return start[i] })
	t.columns = append(t.columns, column{"dur_ns", integer, func(i int) value {
		if dur[i] == profile.Open {
			return value{null: true}
		}
		return intOf(dur[i])
	}})
	of := func(name string, k kind, f func(*profile.Thread) value) {
		t.columns = append(t.columns, column{name, k, func(i int) value {
			if thread[i] == profile.None {
				return value{null: true}
			}
			return f(&p.Threads[thread[i]])
		}})
	}
	of("pid", integer, func(th *profile.Thread) value { return intOf(p.Processes[th.Process].PID) })
	of("tid", integer, func(th *profile.Thread) value { return intOf(th.TID) })
	of("process", text, func(th *profile.Thread) value { return textOf(p.Processes[th.Process].Name) })
	of("thread", text, func(th *profile.Thread) value { return textOf(th.Name) })
}

func (x *tabler) calls() *table {
	p, c := x.p, &x.p.Calls
	t := &table{name: "calls", rows: c.Len()}
	x.host(t, c.Row, c.Start, c.Dur, c.Thread)
	type api struct{ name, recorded, library, kind string }
	apis := map[profile.StringID]api{}
	for _, n := range c.Name {
		if _, ok := apis[n]; !ok {
			s := p.Strings.At(n)
			apis[n] = api{clean(kernel.StripAPIVersion(s)), clean(s), kernel.Library(s), kernel.KindOf(s).String()}
		}
	}
	t.labels("name", func(i int) string { return apis[c.Name[i]].name })
	t.labels("recorded_name", func(i int) string { return apis[c.Name[i]].recorded })
	t.labels("library", func(i int) string { return apis[c.Name[i]].library })
	t.labels("kind", func(i int) string { return apis[c.Name[i]].kind })
	t.ints("correlation", func(i int) int64 { return int64(c.Correlation[i]) })
	t.ints("result", func(i int) int64 { return int64(c.Result[i]) })
	return t
}

var syncKinds = [...]string{profile.SyncUnknown: "", profile.SyncEvent: "event", profile.SyncStreamWait: "stream wait", profile.SyncStream: "stream", profile.SyncContext: "context"}

func (x *tabler) syncs() *table {
	p, s := x.p, &x.p.Syncs
	t := &table{name: "syncs", rows: s.Len()}
	t.ints("row", s.Row.At)
	t.ints("start_ns", func(i int) int64 { return s.Start[i] })
	t.ints("dur_ns", func(i int) int64 { return s.Dur[i] })
	t.texts("kind", func(i int) string { return nameIn(syncKinds[:], s.Kind[i]) })
	t.columns = append(t.columns, column{"stream", integer, func(i int) value {
		if s.Queue[i] == profile.None {
			return value{null: true}
		}
		return intOf(p.Queues[s.Queue[i]].Stream)
	}}, column{"call_row", integer, func(i int) value {
		if s.Call[i] == profile.None {
			return value{null: true}
		}
		return intOf(p.Calls.Row.At(int(s.Call[i])))
	}})
	return t
}

var rangeKinds = [...]string{profile.PushPop: "push/pop", profile.StartEnd: "start/end", profile.Mark: "mark"}

func (x *tabler) ranges() *table {
	p, r := x.p, &x.p.Ranges
	t := &table{name: "ranges", rows: r.Len()}
	x.host(t, r.Row, r.Start, r.Dur, r.Thread)
	t.texts("text", func(i int) string { return p.Strings.At(r.Text[i]) })
	t.texts("kind", func(i int) string { return nameIn(rangeKinds[:], r.Kind[i]) })
	t.texts("domain", func(i int) string {
		if d := r.Domain[i]; d != profile.None {
			return p.Domains[d].Name
		}
		return ""
	})
	return t
}

func (x *tabler) operators() *table {
	p, o := x.p, &x.p.Ops
	t := &table{name: "operators", rows: o.Len()}
	x.host(t, o.Row, o.Start, o.Dur, o.Thread)
	t.texts("name", func(i int) string { return p.Strings.At(o.Name[i]) })
	t.texts("shapes", func(i int) string { return p.Strings.At(o.Dims[i]) })
	t.texts("types", func(i int) string { return p.Strings.At(o.Types[i]) })
	return t
}

func (x *tabler) spans(name string, s *profile.Spans) *table {
	t := &table{name: name, rows: s.Len()}
	x.host(t, s.Row, s.Start, s.Dur, s.Thread)
	t.texts("name", func(i int) string { return x.p.Strings.At(s.Name[i]) })
	return t
}

// counters holds one row per sample.
func (x *tabler) counters() *table {
	p := x.p
	from := make([]int, len(p.Counters)+1)
	for i := range p.Counters {
		from[i+1] = from[i] + len(p.Counters[i].Times)
	}
	t := &table{name: "counters", rows: from[len(p.Counters)]}
	at := 0
	find := func(i int) (*profile.Counter, int) {
		for i < from[at] {
			at--
		}
		for i >= from[at+1] {
			at++
		}
		return &p.Counters[at], i - from[at]
	}
	t.ints("time_ns", func(i int) int64 { c, k := find(i); return c.Times[k] })
	t.columns = append(t.columns, column{"device", integer, func(i int) value {
		if c, _ := find(i); c.Device != profile.None {
			return intOf(p.Devices[c.Device].ID)
		}
		return value{null: true}
	}})
	t.texts("name", func(i int) string { c, _ := find(i); return c.Name })
	t.texts("unit", func(i int) string { c, _ := find(i); return c.Unit })
	t.ints("value", func(i int) int64 { c, k := find(i); return c.Values[k] })
	return t
}

func (x *tabler) memory() *table {
	p, v := x.p, &x.p.MemEvents
	t := &table{name: "memory_events", rows: v.Len()}
	t.ints("row", v.Row.At)
	t.ints("time_ns", func(i int) int64 { return v.Start[i] })
	t.columns = append(t.columns, column{"pid", integer, func(i int) value {
		if v.Process[i] == profile.None {
			return value{null: true}
		}
		return intOf(p.Processes[v.Process[i]].PID)
	}}, column{"device", integer, func(i int) value {
		if v.Device[i] == profile.None {
			return value{null: true}
		}
		return intOf(p.Devices[v.Device[i]].ID)
	}})
	t.truths("free", func(i int) bool { return v.Free[i] })
	t.ints("bytes", func(i int) int64 { return v.Bytes[i] })
	t.texts("memory", func(i int) string { return nameIn(memKinds[:], v.Mem[i]) })
	t.known("pool_bytes", func(i int) int64 { return v.PoolBytes[i] })
	return t
}

// steps holds one row per step of every rank, with the budget as columns that sum to wall_ns.
func (x *tabler) steps() *table {
	a, p := x.a, x.p
	t := &table{name: "steps", rows: len(a.Steps)}
	rank := func(i int) *step.Rank { return &a.Ranks[a.Steps[i].Rank] }
	t.ints("step", func(i int) int64 { return int64(a.Steps[i].Index) })
	t.ints("rank", func(i int) int64 { return int64(a.Steps[i].Rank) })
	t.known("engine", func(i int) int64 { return int64(rank(i).Engine) })
	t.truths("stands_for_engine", func(i int) bool { return rank(i).Engine0 })
	t.columns = append(t.columns, column{"pid", integer, func(i int) value {
		if q := rank(i).Process; q != profile.None {
			return intOf(p.Processes[q].PID)
		}
		return value{null: true}
	}})
	t.ints("device", func(i int) int64 { return p.Devices[rank(i).Device].ID })
	t.texts("phase", func(i int) string { return a.Steps[i].Phase.String() })
	for _, c := range []struct {
		name string
		of   func(*step.Batch) int64
	}{
		{"prefill_requests", func(b *step.Batch) int64 { return b.PrefillRequests }}, {"prefill_tokens", func(b *step.Batch) int64 { return b.PrefillTokens }},
		{"decode_requests", func(b *step.Batch) int64 { return b.DecodeRequests }}, {"decode_tokens", func(b *step.Batch) int64 { return b.DecodeTokens }},
		{"prefill_kv_tokens", func(b *step.Batch) int64 { return b.PrefillKV }}, {"decode_kv_tokens", func(b *step.Batch) int64 { return b.DecodeKV }},
	} {
		t.known(c.name, func(i int) int64 { return c.of(&a.Steps[i].Batch) })
	}
	t.ints("start_ns", func(i int) int64 { return a.Steps[i].GPU.Start })
	t.ints("wall_ns", func(i int) int64 { return a.Steps[i].Wall() })
	t.known("period_ns", func(i int) int64 { return a.Steps[i].Period })
	t.ints("gpu_busy_ns", func(i int) int64 { return a.Steps[i].Budget.Busy() })
	t.ints("gpu_idle_ns", func(i int) int64 { return a.Steps[i].Budget.Idle() })
	t.ints("overlapped_collective_ns", func(i int) int64 { return a.Steps[i].Overlapped })
	t.ints("kernels", func(i int) int64 { return int64(a.Steps[i].Kernels) })
	t.ints("launches", func(i int) int64 { return int64(a.Steps[i].Launches) })
	t.ints("graph_launches", func(i int) int64 { return int64(a.Steps[i].GraphLaunches) })
	t.ints("copies", func(i int) int64 { return int64(a.Steps[i].Copies) })
	t.truths("cold", func(i int) bool { return a.Steps[i].Cold })
	t.texts("cold_why", func(i int) string { return a.Steps[i].ColdWhy })
	t.texts("found_by", func(i int) string { return rank(i).Source.String() })
	for _, part := range step.Parts() {
		t.ints(partColumn(part), func(i int) int64 { return a.Steps[i].Budget[part] })
	}
	return t
}

// partColumn is the name of a part as a column: SQL needs no quotes for it.
func partColumn(p step.Part) string {
	return strings.NewReplacer(".", "_", "-", "_").Replace(p.String()) + "_ns"
}

// writeTo creates the file of a table, hands it to write, and closes it; errors name the file.
func (t *table) writeTo(create Create, extension string, write func(io.Writer) error) error {
	name := t.name + extension
	f, err := create(name)
	if err != nil {
		return err
	}
	err = write(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}
