package nsys

import (
	"context"

	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/profile/nsys/btree"
)

// copyTable collects CUPTI_ACTIVITY_KIND_MEMCPY.
type copyTable struct {
	deviceTable
	out   profile.Copies
	enums *enums
}

func loadCopies(ctx context.Context, r *reader) (part, error) {
	cols, missing := pick(r.src, tabMemcpy)
	if missing != "" {
		return r.unusable(tabMemcpy, missing), nil
	}
	var t *copyTable
	err := r.src.scan(ctx, tabMemcpy, cols.want, func(rows int64) {
		t = &copyTable{deviceTable: newDeviceTable(tabMemcpy, cols, rows), enums: &r.enums}
	}, func(b *btree.Batch) error { return t.batch(b) })
	if err != nil {
		return part{}, err
	}
	return part{tally: t.tally, pids: t.pids(), merge: t.merge}, nil
}

func (t *copyTable) batch(b *btree.Batch) error {
	c := &t.cols
	when, place := c.times(b), c.placed(b)
	bytes, kind, node := c.ints(b, "bytes", 0), c.ints(b, "copyKind", noValue), c.ints(b, "graphNodeId", 0)
	src, dst := c.ints(b, "srcKind", noValue), c.ints(b, "dstKind", noValue)
	m := &t.out
	for i := range b.Len {
		d, ok := t.dur(when, i)
		if !ok {
			continue
		}
		t.keep(len(m.Start), b.Rowid[i])
		m.Start, m.Dur, m.Bytes = append(m.Start, when.start.Ints[i]), append(m.Dur, d), append(m.Bytes, amount(at(bytes, i, 0)))
		m.Kind = append(m.Kind, profile.CopyKind(t.enums.copies.of(at(kind, i, noValue))))
		m.Src = append(m.Src, profile.MemKind(t.enums.mem.of(at(src, i, noValue))))
		m.Dst = append(m.Dst, profile.MemKind(t.enums.mem.of(at(dst, i, noValue))))
		m.Queue = append(m.Queue, t.queues.of(place.key(i)))
		m.Correlation = append(m.Correlation, place.correlation(i))
		m.GraphNode = append(m.GraphNode, uint64(at(node, i, 0)))
	}
	return nil
}

func (t *copyTable) merge(r *reader) {
	t.out.Row = t.rows
	remap(t.queues, t.out.Queue, r.queue)
	r.p.Copies = t.out
}

// amount keeps a number of bytes that one event can have moved; sums of more would overflow.
func amount(v int64) int64 {
	const most = 1 << 50
	if v < 0 || v > most {
		return 0
	}
	return v
}

// memsetTable collects CUPTI_ACTIVITY_KIND_MEMSET.
type memsetTable struct {
	deviceTable
	out   profile.Memsets
	enums *enums
}

func loadMemsets(ctx context.Context, r *reader) (part, error) {
	cols, missing := pick(r.src, tabMemset)
	if missing != "" {
		return r.unusable(tabMemset, missing), nil
	}
	var t *memsetTable
	err := r.src.scan(ctx, tabMemset, cols.want, func(rows int64) {
		t = &memsetTable{deviceTable: newDeviceTable(tabMemset, cols, rows), enums: &r.enums}
	}, func(b *btree.Batch) error { return t.batch(b) })
	if err != nil {
		return part{}, err
	}
	return part{tally: t.tally, pids: t.pids(), merge: t.merge}, nil
}

func (t *memsetTable) batch(b *btree.Batch) error {
	c := &t.cols
	when, place := c.times(b), c.placed(b)
	bytes, kind, node := c.ints(b, "bytes", 0), c.ints(b, "memKind", noValue), c.ints(b, "graphNodeId", 0)
	s := &t.out
	for i := range b.Len {
		d, ok := t.dur(when, i)
		if !ok {
			continue
		}
		t.keep(len(s.Start), b.Rowid[i])
		s.Start, s.Dur, s.Bytes = append(s.Start, when.start.Ints[i]), append(s.Dur, d), append(s.Bytes, amount(at(bytes, i, 0)))
		s.Mem = append(s.Mem, profile.MemKind(t.enums.mem.of(at(kind, i, noValue))))
		s.Queue = append(s.Queue, t.queues.of(place.key(i)))
		s.Correlation = append(s.Correlation, place.correlation(i))
		s.GraphNode = append(s.GraphNode, uint64(at(node, i, 0)))
	}
	return nil
}

func (t *memsetTable) merge(r *reader) {
	t.out.Row = t.rows
	remap(t.queues, t.out.Queue, r.queue)
	r.p.Memsets = t.out
}

// syncTable collects CUPTI_ACTIVITY_KIND_SYNCHRONIZATION.
type syncTable struct {
	deviceTable
	out   profile.Syncs
	enums *enums
}

func loadSyncs(ctx context.Context, r *reader) (part, error) {
	cols, missing := pick(r.src, tabSync)
	if missing != "" {
		return r.unusable(tabSync, missing), nil
	}
	var t *syncTable
	err := r.src.scan(ctx, tabSync, cols.want, func(rows int64) {
		t = &syncTable{deviceTable: newDeviceTable(tabSync, cols, rows), enums: &r.enums}
	}, func(b *btree.Batch) error { return t.batch(b) })
	if err != nil {
		return part{}, err
	}
	return part{tally: t.tally, pids: t.pids(), merge: t.merge}, nil
}

func (t *syncTable) batch(b *btree.Batch) error {
	c := &t.cols
	when, place := c.times(b), c.placed(b)
	kind := c.ints(b, "syncType", noValue)
	y := &t.out
	for i := range b.Len {
		d, ok := t.dur(when, i)
		if !ok {
			continue
		}
		t.keep(len(y.Start), b.Rowid[i])
		y.Start, y.Dur = append(y.Start, when.start.Ints[i]), append(y.Dur, d)
		y.Kind = append(y.Kind, profile.SyncKind(t.enums.syncs.of(at(kind, i, noValue))))
		y.Queue = append(y.Queue, t.queues.of(place.key(i)))
		y.Correlation = append(y.Correlation, place.correlation(i))
	}
	return nil
}

func (t *syncTable) merge(r *reader) {
	t.out.Row = t.rows
	remap(t.queues, t.out.Queue, r.queue)
	r.p.Syncs = t.out
}

// graphTraceTable collects CUPTI_ACTIVITY_KIND_GRAPH_TRACE.
type graphTraceTable struct {
	deviceTable
	out profile.GraphTraces
}

func loadGraphTraces(ctx context.Context, r *reader) (part, error) {
	cols, missing := pick(r.src, tabGraph)
	if missing != "" {
		return r.unusable(tabGraph, missing), nil
	}
	var t *graphTraceTable
	err := r.src.scan(ctx, tabGraph, cols.want, func(rows int64) {
		t = &graphTraceTable{deviceTable: newDeviceTable(tabGraph, cols, rows)}
	}, func(b *btree.Batch) error { return t.batch(b) })
	if err != nil {
		return part{}, err
	}
	return part{tally: t.tally, pids: t.pids(), merge: t.merge}, nil
}

func (t *graphTraceTable) batch(b *btree.Batch) error {
	c := &t.cols
	when, place := c.times(b), c.placed(b)
	graph, exec := c.ints(b, "graphId", 0), c.ints(b, "graphExecId", 0)
	g := &t.out
	for i := range b.Len {
		d, ok := t.dur(when, i)
		if !ok {
			continue
		}
		t.keep(len(g.Start), b.Rowid[i])
		g.Start, g.Dur = append(g.Start, when.start.Ints[i]), append(g.Dur, d)
		g.Queue = append(g.Queue, t.queues.of(place.key(i)))
		g.Correlation = append(g.Correlation, place.correlation(i))
		g.Graph, g.Exec = append(g.Graph, at(graph, i, 0)), append(g.Exec, at(exec, i, 0))
	}
	return nil
}

func (t *graphTraceTable) merge(r *reader) {
	t.out.Row = t.rows
	remap(t.queues, t.out.Queue, r.queue)
	r.p.GraphTraces = t.out
}
