package nsys

import (
	"context"

	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/profile/nsys/btree"
)

// queueKey is a queue as rows name it.
type queueKey struct{ globalPid, device, context, green, stream int64 }

// placed are the columns that every table of device work shares.
type placed struct{ device, context, green, stream, corr, globalPid []int64 }

func (c *columns) placed(b *btree.Batch) placed {
	return placed{c.ints(b, "deviceId", 0), c.ints(b, "contextId", 0), c.ints(b, "greenContextId", -1), c.ints(b, "streamId", 0),
		c.ints(b, "correlationId", 0), c.ints(b, "globalPid", 0)}
}

func (p *placed) key(i int) queueKey {
	return queueKey{at(p.globalPid, i, 0), at(p.device, i, 0), at(p.context, i, 0), at(p.green, i, -1), at(p.stream, i, 0)}
}

func (p *placed) correlation(i int) uint32 { return correlation(at(p.corr, i, 0)) }

// correlation keeps ids of CUPTI's 32 bits; what is none joins nothing.
func correlation(v int64) uint32 {
	if v != int64(uint32(v)) {
		return 0
	}
	return uint32(v)
}

// narrow keeps a value that fits 32 bits; no launch shape has more.
func narrow(v int64) int32 {
	if v != int64(int32(v)) {
		return 0
	}
	return int32(v)
}

// deviceTable is what the tables of device work have in common.
type deviceTable struct {
	*tally
	cols   columns
	queues *interner[queueKey]
}

func newDeviceTable(name string, cols columns, rows int64) deviceTable {
	return deviceTable{newTally(name, rows), cols, newInterner[queueKey]()}
}

func (t *deviceTable) pids() []int64 {
	out := make([]int64, 0, len(t.queues.keys))
	for _, k := range t.queues.keys {
		out = append(out, k.globalPid)
	}
	return out
}

// kernelTable collects CUPTI_ACTIVITY_KIND_KERNEL.
type kernelTable struct {
	deviceTable
	out     profile.Kernels
	funcs   *interner[[3]int64] // demangled, short and mangled name
	configs *configs
}

func loadKernels(ctx context.Context, r *reader) (part, error) {
	cols, missing := pick(r.src, tabKernel)
	if missing != "" {
		return r.unusable(tabKernel, missing), nil
	}
	var t *kernelTable
	err := r.src.scan(ctx, tabKernel, cols.want, func(rows int64) { t = newKernelTable(cols, rows) }, func(b *btree.Batch) error { return t.batch(b) })
	if err != nil {
		return part{}, err
	}
	return part{tally: t.tally, pids: t.pids(), need: t.need, merge: t.merge}, nil
}

func newKernelTable(cols columns, rows int64) *kernelTable {
	t := &kernelTable{deviceTable: newDeviceTable(tabKernel, cols, rows), funcs: newInterner[[3]int64](), configs: newConfigs()}
	reserve(&t.out.Start, rows)
	reserve(&t.out.Dur, rows)
	reserve(&t.out.Func, rows)
	reserve(&t.out.Config, rows)
	reserve(&t.out.Queue, rows)
	reserve(&t.out.Correlation, rows)
	reserve(&t.out.GraphNode, rows)
	return t
}

func (t *kernelTable) batch(b *btree.Batch) error {
	c := &t.cols
	when, place := c.times(b), c.placed(b)
	name, short, mangled := c.ints(b, "demangledName", noString), c.ints(b, "shortName", noString), c.ints(b, "mangledName", noString)
	gx, gy, gz := c.ints(b, "gridX", 0), c.ints(b, "gridY", 0), c.ints(b, "gridZ", 0)
	bx, by, bz := c.ints(b, "blockX", 0), c.ints(b, "blockY", 0), c.ints(b, "blockZ", 0)
	cx, cy, cz := c.ints(b, "clusterX", 0), c.ints(b, "clusterY", 0), c.ints(b, "clusterZ", 0)
	regs, static, dynamic := c.ints(b, "registersPerThread", 0), c.ints(b, "staticSharedMemory", 0), c.ints(b, "dynamicSharedMemory", 0)
	local, kind, node := c.ints(b, "localMemoryPerThread", 0), c.ints(b, "launchType", 0), c.ints(b, "graphNodeId", 0)
	k := &t.out
	for i := range b.Len {
		d, ok := t.dur(when, i)
		if !ok {
			continue
		}
		cfg := profile.LaunchConfig{
			Grid:      [3]int32{narrow(at(gx, i, 0)), narrow(at(gy, i, 0)), narrow(at(gz, i, 0))},
			Block:     [3]int32{narrow(at(bx, i, 0)), narrow(at(by, i, 0)), narrow(at(bz, i, 0))},
			Cluster:   [3]int32{narrow(at(cx, i, 0)), narrow(at(cy, i, 0)), narrow(at(cz, i, 0))},
			Registers: narrow(at(regs, i, 0)), StaticShared: narrow(at(static, i, 0)), DynamicShared: narrow(at(dynamic, i, 0)),
			LocalPerThr: narrow(at(local, i, 0)), LaunchType: narrow(at(kind, i, 0)),
		}
		t.keep(len(k.Start), b.Rowid[i])
		k.Start, k.Dur = append(k.Start, when.start.Ints[i]), append(k.Dur, d)
		k.Func = append(k.Func, t.funcs.of([3]int64{at(name, i, noString), at(short, i, noString), at(mangled, i, noString)}))
		k.Config = append(k.Config, t.configs.of(&cfg))
		k.Queue = append(k.Queue, t.queues.of(place.key(i)))
		k.Correlation = append(k.Correlation, place.correlation(i))
		k.GraphNode = append(k.GraphNode, uint64(at(node, i, 0)))
	}
	return nil
}

func (t *kernelTable) need(ids map[int64]bool) {
	for _, f := range t.funcs.keys {
		for _, id := range f {
			if id != noString {
				ids[id] = true
			}
		}
	}
}

func (t *kernelTable) merge(r *reader) {
	k := &t.out
	o := r.sorter.sort(k.Start)
	reorder(o, k.Start)
	reorder(o, k.Dur)
	reorder(o, k.Func)
	reorder(o, k.Config)
	reorder(o, k.Queue)
	reorder(o, k.Correlation)
	reorder(o, k.GraphNode)
	k.Row = o.rows(t.rows, k.Len())
	remap(t.queues, k.Queue, r.queue)
	remap(&t.configs.interner, k.Config, r.b.Config)
	remap(t.funcs, k.Func, func(n [3]int64) int32 {
		f := profile.Func{Name: r.strings[n[0]], Short: r.strings[n[1]], Mangled: r.strings[n[2]]}
		if f.Name == 0 {
			f.Name = f.Mangled
		}
		if f.Name == 0 {
			f.Name = f.Short
		}
		if f.Short == 0 {
			f.Short = r.p.Strings.ID(profile.BaseName(r.p.Strings.At(f.Name)))
		}
		return r.b.Func(f)
	})
	r.p.Kernels = *k
}

// unusable says that a table lacks a required column and reads nothing of it.
func (r *reader) unusable(table, column string) part {
	return part{merge: func(r *reader) {
		r.p.Diagnostics = append(r.p.Diagnostics, profile.Diagnostic{Severity: profile.Warning, Source: "reader",
			Text: "table " + table + " has no column " + column + " and is left out"})
	}}
}
