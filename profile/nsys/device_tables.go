package nsys

import (
	"context"

	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/profile/nsys/btree"
)

// placed reads the columns that every device table shares.
type placed struct {
	device, ctx, green, stream, corr, gpid []int64
}

func (c *columns) placed(b *btree.Batch) placed {
	return placed{c.ints(b, "deviceId"), c.ints(b, "contextId"), c.ints(b, "greenContextId"), c.ints(b, "streamId"),
		c.ints(b, "correlationId"), c.ints(b, "globalPid")}
}

func (p *placed) key(i int) queueKey {
	return queueKey{at(p.gpid, i, 0), at(p.device, i, 0), at(p.ctx, i, 0), at(p.green, i, -1), at(p.stream, i, 0)}
}

// corr keeps 32 bits, as CUPTI's ids have.
func (p *placed) correlation(i int) uint32 { return uint32(at(p.corr, i, 0)) }

// rowList records file rows once they differ from "index + 1".
type rowList struct {
	rows profile.Rows
}

// add appends the row of index i; rowid is the file's.
func (l *rowList) add(i int, rowid int64) {
	if l.rows == nil {
		if rowid == int64(i)+1 {
			return
		}
		l.rows = make(profile.Rows, i, 2*i+64)
		for k := range i {
			l.rows[k] = uint32(k) + 1
		}
	}
	l.rows = append(l.rows, uint32(rowid))
}

func loadKernels(ctx context.Context, r *reader) (func(), error) {
	k := &r.p.Kernels
	cols, missing := pick(r.src, tabKernel)
	if missing != "" {
		return r.unusable(tabKernel, missing), nil
	}
	var queues *interner[queueKey]
	var funcs *interner[[3]int64]
	var cfgs *configs
	var rows rowList
	reset := func(n int64) {
		*k = profile.Kernels{}
		queues, funcs, cfgs, rows = newInterner[queueKey](), newInterner[[3]int64](), newConfigs(), rowList{}
		reserve(&k.Start, n)
		reserve(&k.Dur, n)
		reserve(&k.Func, n)
		reserve(&k.Config, n)
		reserve(&k.Queue, n)
		reserve(&k.Correlation, n)
		reserve(&k.GraphNode, n)
	}
	err := r.src.scan(ctx, tabKernel, cols.want, reset, func(b *btree.Batch) error {
		start, end := cols.vec(b, "start"), cols.vec(b, "end")
		place := cols.placed(b)
		name, short, mangled := cols.ints(b, "demangledName"), cols.ints(b, "shortName"), cols.ints(b, "mangledName")
		gx, gy, gz := cols.ints(b, "gridX"), cols.ints(b, "gridY"), cols.ints(b, "gridZ")
		bx, by, bz := cols.ints(b, "blockX"), cols.ints(b, "blockY"), cols.ints(b, "blockZ")
		cx, cy, cz := cols.ints(b, "clusterX"), cols.ints(b, "clusterY"), cols.ints(b, "clusterZ")
		regs, static, dynamic := cols.ints(b, "registersPerThread"), cols.ints(b, "staticSharedMemory"), cols.ints(b, "dynamicSharedMemory")
		local, kind, node := cols.ints(b, "localMemoryPerThread"), cols.ints(b, "launchType"), cols.ints(b, "graphNodeId")
		for i := range b.Len {
			d, ok := r.span(tabKernel, start.Ints[i], end.Ints[i], start.Kinds[i], end.Kinds[i])
			if !ok {
				continue
			}
			cfg := profile.LaunchConfig{
				Grid:      [3]int32{int32(at(gx, i, 0)), int32(at(gy, i, 0)), int32(at(gz, i, 0))},
				Block:     [3]int32{int32(at(bx, i, 0)), int32(at(by, i, 0)), int32(at(bz, i, 0))},
				Cluster:   [3]int32{int32(at(cx, i, 0)), int32(at(cy, i, 0)), int32(at(cz, i, 0))},
				Registers: int32(at(regs, i, 0)), StaticShared: int32(at(static, i, 0)), DynamicShared: int32(at(dynamic, i, 0)),
				LocalPerThr: int32(at(local, i, 0)), LaunchType: int32(at(kind, i, 0)),
			}
			rows.add(len(k.Start), b.Rowid[i])
			k.Start, k.Dur = append(k.Start, start.Ints[i]), append(k.Dur, d)
			k.Func = append(k.Func, funcs.of([3]int64{at(name, i, -1), at(short, i, -1), at(mangled, i, -1)}))
			k.Config = append(k.Config, cfgs.of(&cfg))
			k.Queue = append(k.Queue, queues.of(place.key(i)))
			k.Correlation = append(k.Correlation, place.correlation(i))
			k.GraphNode = append(k.GraphNode, uint64(at(node, i, 0)))
		}
		return nil
	})
	return func() {
		k.Row = rows.rows
		k.Call = make([]int32, len(k.Start))
		remap(queues, k.Queue, r.queue)
		remap(&cfgs.interner, k.Config, r.b.Config)
		remap(funcs, k.Func, func(n [3]int64) int32 {
			f := profile.Func{Name: r.strings.get(n[0]), Short: r.strings.get(n[1]), Mangled: r.strings.get(n[2])}
			switch {
			case f.Name == 0:
				f.Name = f.Short
			case f.Short == 0:
				f.Short = r.p.Strings.ID(profile.BaseName(r.p.Strings.At(f.Name)))
			}
			return r.b.Func(f)
		})
	}, err
}

func loadCopies(ctx context.Context, r *reader) (func(), error) {
	m := &r.p.Copies
	cols, missing := pick(r.src, tabMemcpy)
	if missing != "" {
		return r.unusable(tabMemcpy, missing), nil
	}
	var queues *interner[queueKey]
	var rows rowList
	reset := func(int64) { *m, queues, rows = profile.Copies{}, newInterner[queueKey](), rowList{} }
	err := r.src.scan(ctx, tabMemcpy, cols.want, reset, func(b *btree.Batch) error {
		start, end := cols.vec(b, "start"), cols.vec(b, "end")
		place := cols.placed(b)
		bytes, kind, src, dst, node := cols.ints(b, "bytes"), cols.ints(b, "copyKind"), cols.ints(b, "srcKind"), cols.ints(b, "dstKind"), cols.ints(b, "graphNodeId")
		for i := range b.Len {
			d, ok := r.span(tabMemcpy, start.Ints[i], end.Ints[i], start.Kinds[i], end.Kinds[i])
			if !ok {
				continue
			}
			rows.add(len(m.Start), b.Rowid[i])
			m.Start, m.Dur, m.Bytes = append(m.Start, start.Ints[i]), append(m.Dur, d), append(m.Bytes, max(0, at(bytes, i, 0)))
			m.Kind = append(m.Kind, copyKind(at(kind, i, 0)))
			m.Src, m.Dst = append(m.Src, memKind(at(src, i, 7))), append(m.Dst, memKind(at(dst, i, 7)))
			m.Queue = append(m.Queue, queues.of(place.key(i)))
			m.Correlation = append(m.Correlation, place.correlation(i))
			m.GraphNode = append(m.GraphNode, uint64(at(node, i, 0)))
		}
		return nil
	})
	return func() {
		m.Row = rows.rows
		m.Call = make([]int32, len(m.Start))
		remap(queues, m.Queue, r.queue)
	}, err
}

func copyKind(v int64) profile.CopyKind {
	if v < 0 || v > int64(profile.CopyUVMDtoD) {
		return profile.CopyUnknown
	}
	return profile.CopyKind(v)
}

func memKind(v int64) profile.MemKind {
	if v < 0 || v > int64(profile.MemUnknown) {
		return profile.MemUnknown
	}
	return profile.MemKind(v)
}

func loadMemsets(ctx context.Context, r *reader) (func(), error) {
	s := &r.p.Memsets
	cols, missing := pick(r.src, tabMemset)
	if missing != "" {
		return r.unusable(tabMemset, missing), nil
	}
	var queues *interner[queueKey]
	var rows rowList
	reset := func(int64) { *s, queues, rows = profile.Memsets{}, newInterner[queueKey](), rowList{} }
	err := r.src.scan(ctx, tabMemset, cols.want, reset, func(b *btree.Batch) error {
		start, end := cols.vec(b, "start"), cols.vec(b, "end")
		place := cols.placed(b)
		bytes, kind, node := cols.ints(b, "bytes"), cols.ints(b, "memKind"), cols.ints(b, "graphNodeId")
		for i := range b.Len {
			d, ok := r.span(tabMemset, start.Ints[i], end.Ints[i], start.Kinds[i], end.Kinds[i])
			if !ok {
				continue
			}
			rows.add(len(s.Start), b.Rowid[i])
			s.Start, s.Dur, s.Bytes = append(s.Start, start.Ints[i]), append(s.Dur, d), append(s.Bytes, max(0, at(bytes, i, 0)))
			s.Mem = append(s.Mem, memKind(at(kind, i, 7)))
			s.Queue = append(s.Queue, queues.of(place.key(i)))
			s.Correlation = append(s.Correlation, place.correlation(i))
			s.GraphNode = append(s.GraphNode, uint64(at(node, i, 0)))
		}
		return nil
	})
	return func() {
		s.Row = rows.rows
		s.Call = make([]int32, len(s.Start))
		remap(queues, s.Queue, r.queue)
	}, err
}

func loadSyncs(ctx context.Context, r *reader) (func(), error) {
	y := &r.p.Syncs
	cols, missing := pick(r.src, tabSync)
	if missing != "" {
		return r.unusable(tabSync, missing), nil
	}
	var queues *interner[queueKey]
	var rows rowList
	reset := func(int64) { *y, queues, rows = profile.Syncs{}, newInterner[queueKey](), rowList{} }
	err := r.src.scan(ctx, tabSync, cols.want, reset, func(b *btree.Batch) error {
		start, end := cols.vec(b, "start"), cols.vec(b, "end")
		place := cols.placed(b)
		kind := cols.ints(b, "syncType")
		for i := range b.Len {
			d, ok := r.span(tabSync, start.Ints[i], end.Ints[i], start.Kinds[i], end.Kinds[i])
			if !ok {
				continue
			}
			rows.add(len(y.Start), b.Rowid[i])
			y.Start, y.Dur = append(y.Start, start.Ints[i]), append(y.Dur, d)
			t := at(kind, i, 0)
			if t < 0 || t > int64(profile.SyncContext) {
				t = 0
			}
			y.Kind = append(y.Kind, profile.SyncKind(t))
			y.Queue = append(y.Queue, queues.of(place.key(i)))
			y.Correlation = append(y.Correlation, place.correlation(i))
		}
		return nil
	})
	return func() {
		y.Row = rows.rows
		y.Call = make([]int32, len(y.Start))
		remap(queues, y.Queue, r.queue)
	}, err
}

func loadGraphTraces(ctx context.Context, r *reader) (func(), error) {
	g := &r.p.GraphTraces
	cols, missing := pick(r.src, tabGraph)
	if missing != "" {
		return r.unusable(tabGraph, missing), nil
	}
	var queues *interner[queueKey]
	var rows rowList
	reset := func(int64) { *g, queues, rows = profile.GraphTraces{}, newInterner[queueKey](), rowList{} }
	err := r.src.scan(ctx, tabGraph, cols.want, reset, func(b *btree.Batch) error {
		start, end := cols.vec(b, "start"), cols.vec(b, "end")
		place := cols.placed(b)
		graph, exec := cols.ints(b, "graphId"), cols.ints(b, "graphExecId")
		for i := range b.Len {
			d, ok := r.span(tabGraph, start.Ints[i], end.Ints[i], start.Kinds[i], end.Kinds[i])
			if !ok {
				continue
			}
			rows.add(len(g.Start), b.Rowid[i])
			g.Start, g.Dur = append(g.Start, start.Ints[i]), append(g.Dur, d)
			g.Queue = append(g.Queue, queues.of(place.key(i)))
			g.Correlation = append(g.Correlation, place.correlation(i))
			g.Graph, g.Exec = append(g.Graph, at(graph, i, 0)), append(g.Exec, at(exec, i, 0))
		}
		return nil
	})
	return func() {
		g.Row = rows.rows
		g.Call = make([]int32, len(g.Start))
		remap(queues, g.Queue, r.queue)
	}, err
}

// unusable says that a table lacks a required column and reads nothing of it.
func (r *reader) unusable(table, column string) func() {
	return func() {
		r.p.Diagnostics = append(r.p.Diagnostics, profile.Diagnostic{Severity: profile.Warning, Source: "reader",
			Text: "table " + table + " has no column " + column + " and is left out"})
	}
}

// reserve sizes a column by the rows that the table announces, within reason: the number comes from the file.
func reserve[T any](col *[]T, rows int64) {
	const most = 1 << 25
	if rows > 0 {
		*col = make([]T, 0, min(rows, most))
	}
}
