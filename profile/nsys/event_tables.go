package nsys

import (
	"context"

	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/profile/nsys/btree"
)

// Event classes of CUDA_GRAPH_EVENTS and CUDA_GRAPH_NODE_EVENTS.
const (
	classNodeCreation  = 77
	classExecCreation  = 94
	classGraphCreation = 95
	classGraphClone    = 96
)

// graphEventTable collects creations of graphs, executables and nodes. Older exports keep the nodes among the graphs.
type graphEventTable struct {
	*tally
	cols    columns
	class   int64 // of rows without one
	out     profile.GraphEvents
	threads *interner[int64]
}

func loadGraphEvents(table string, class int64) func(context.Context, *reader) (part, error) {
	return func(ctx context.Context, r *reader) (part, error) {
		cols, missing := pick(r.src, table)
		if missing != "" {
			return r.unusable(table, missing), nil
		}
		var t *graphEventTable
		err := r.src.scan(ctx, table, cols.want, func(rows int64) {
			t = &graphEventTable{tally: newTally(table, rows), cols: cols, class: class, threads: newInterner[int64]()}
		}, func(b *btree.Batch) error { return t.batch(b) })
		if err != nil {
			return part{}, err
		}
		return part{tally: t.tally, merge: t.merge}, nil
	}
}

func (t *graphEventTable) batch(b *btree.Batch) error {
	c := &t.cols
	when := c.times(b)
	classes, tids := c.ints(b, "eventClass", t.class), c.ints(b, "globalTid", 0)
	graphs, execs := c.ints(b, "graphId", 0), c.ints(b, "graphExecId", 0)
	nodes, originals := c.ints(b, "graphNodeId", 0), c.ints(b, "originalGraphNodeId", 0)
	e := &t.out
	for i := range b.Len {
		w := when
		if w.end.Kinds[i] == btree.Null {
			w.end = w.start
		}
		d, ok := t.dur(w, i)
		if !ok {
			continue
		}
		t.keep(len(e.Start), b.Rowid[i])
		kind, id := profile.GraphCreated, at(graphs, i, 0)
		switch class := at(classes, i, t.class); {
		case class == classNodeCreation || at(nodes, i, 0) != 0:
			kind = profile.GraphNodeCreated
		case class == classExecCreation:
			kind, id = profile.GraphInstantiated, at(execs, i, 0)
		case class == classGraphClone:
			kind = profile.GraphCloned
		}
		e.Start, e.Dur, e.Kind, e.Graph = append(e.Start, w.start.Ints[i]), append(e.Dur, d), append(e.Kind, kind), append(e.Graph, id)
		e.Node, e.Original = append(e.Node, uint64(at(nodes, i, 0))), append(e.Original, uint64(at(originals, i, 0)))
		if tid := at(tids, i, 0); tid == 0 {
			e.Thread = append(e.Thread, profile.None)
		} else {
			e.Thread = append(e.Thread, t.threads.of(tid))
		}
	}
	return nil
}

func (t *graphEventTable) merge(r *reader) {
	remap(t.threads, t.out.Thread, r.thread)
	t.out.Row = t.rows
	to, from := &r.p.GraphEvents, &t.out
	if to.Len() == 0 {
		*to = *from
		return
	}
	rows := append(explicit(to.Row, to.Len()), explicit(from.Row, from.Len())...)
	*to = profile.GraphEvents{
		Start: append(to.Start, from.Start...), Dur: append(to.Dur, from.Dur...), Kind: append(to.Kind, from.Kind...),
		Thread: append(to.Thread, from.Thread...), Graph: append(to.Graph, from.Graph...), Node: append(to.Node, from.Node...),
		Original: append(to.Original, from.Original...), Row: rows,
	}
}

// memoryTable collects CUDA_GPU_MEMORY_USAGE_EVENTS.
type memoryTable struct {
	*tally
	cols   columns
	enums  *enums
	out    profile.MemEvents
	places *interner[memoryPlace]
	where  []int32
	names  *labels
}

type memoryPlace struct{ globalPid, device int64 }

func loadMemEvents(ctx context.Context, r *reader) (part, error) {
	cols, missing := pick(r.src, tabMemUse, "name")
	if missing != "" {
		return r.unusable(tabMemUse, missing), nil
	}
	var t *memoryTable
	err := r.src.scan(ctx, tabMemUse, cols.want, func(rows int64) {
		t = &memoryTable{tally: newTally(tabMemUse, rows), cols: cols, enums: &r.enums, places: newInterner[memoryPlace](), names: newLabels()}
	}, func(b *btree.Batch) error { return t.batch(b) })
	if err != nil {
		return part{}, err
	}
	return part{tally: t.tally, merge: t.merge}, nil
}

func (t *memoryTable) batch(b *btree.Batch) error {
	c := &t.cols
	start, name := c.vec(b, "start"), c.vec(b, "name")
	pids, devices := c.ints(b, "globalPid", 0), c.ints(b, "deviceId", 0)
	addresses, bytes, pools := c.ints(b, "address", 0), c.ints(b, "bytes", 0), c.ints(b, "localMemoryPoolSize", -1)
	kinds, operations := c.ints(b, "memKind", noValue), c.ints(b, "memoryOperationType", 0)
	m := &t.out
	for i := range b.Len {
		if _, ok := t.dur(times{start, start}, i); !ok {
			continue
		}
		t.keep(len(m.Start), b.Rowid[i])
		m.Start, m.Bytes = append(m.Start, start.Ints[i]), append(m.Bytes, amount(at(bytes, i, 0)))
		m.Address = append(m.Address, uint64(at(addresses, i, 0)))
		m.Mem = append(m.Mem, profile.MemKind(t.enums.mem.of(at(kinds, i, noValue))))
		m.Free = append(m.Free, at(operations, i, 0) == 1)
		m.PoolBytes = append(m.PoolBytes, max(-1, at(pools, i, -1)))
		t.where = append(t.where, t.places.of(memoryPlace{at(pids, i, 0), at(devices, i, 0)}))
		id := t.names.byID(noString)
		if name != nil && name.Kinds[i] == btree.Text {
			id = t.names.byText(name.Text[i])
		}
		m.Name = append(m.Name, profile.StringID(id))
	}
	return nil
}

func (t *memoryTable) merge(r *reader) {
	m := &t.out
	m.Row = t.rows
	m.Name = r.labelColumn(t.names, m.Name)
	m.Process, m.Device = make([]int32, len(t.where)), t.where
	copy(m.Process, t.where)
	remap(t.places, m.Process, func(k memoryPlace) int32 { return r.b.Process(r.pid(k.globalPid)) })
	remap(t.places, m.Device, func(k memoryPlace) int32 { return r.device(r.pid(k.globalPid), k.device) })
	r.p.MemEvents = *m
}
