package nsys

import (
	"context"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/profile/nsys/btree"
)

// Event classes of CUDA_GRAPH_EVENTS.
const (
	classNodeCreation  = 77
	classExecCreation  = 94
	classGraphCreation = 95
	classGraphClone    = 96
)

// graphPart collects graph events of one table.
type graphPart struct {
	ev     profile.GraphEvents
	tid    *interner[int64]
	thread []int32
	rows   profile.Rows
}

func (g *graphPart) merge(r *reader) {
	e := &r.p.GraphEvents
	remap(g.tid, g.thread, r.thread)
	e.Start, e.Dur = append(e.Start, g.ev.Start...), append(e.Dur, g.ev.Dur...)
	e.Kind, e.Thread = append(e.Kind, g.ev.Kind...), append(e.Thread, g.thread...)
	e.Graph, e.Node, e.Original = append(e.Graph, g.ev.Graph...), append(e.Node, g.ev.Node...), append(e.Original, g.ev.Original...)
	e.Row = append(e.Row, g.rows...)
}

func (g *graphPart) add(start, dur int64, kind profile.GraphEventKind, tid, graph, node, original, row int64) {
	e := &g.ev
	e.Start, e.Dur, e.Kind = append(e.Start, start), append(e.Dur, dur), append(e.Kind, kind)
	if tid == 0 {
		g.thread = append(g.thread, profile.None)
	} else {
		g.thread = append(g.thread, g.tid.of(tid))
	}
	e.Graph, e.Node, e.Original = append(e.Graph, graph), append(e.Node, uint64(node)), append(e.Original, uint64(original))
	g.rows = append(g.rows, uint32(row))
}

func loadNodeEvents(ctx context.Context, r *reader) (func(), error) {
	return loadGraphTable(ctx, r, tabNodeEv, classNodeCreation)
}

func loadGraphEvents(ctx context.Context, r *reader) (func(), error) {
	return loadGraphTable(ctx, r, tabGraphEv, classGraphCreation)
}

// loadGraphTable reads creations of graphs, executables and nodes. Older exports keep the nodes among the graphs.
func loadGraphTable(ctx context.Context, r *reader, table string, class int64) (func(), error) {
	cols, missing := pick(r.src, table)
	if missing != "" {
		return r.unusable(table, missing), nil
	}
	var g *graphPart
	reset := func(int64) { g = &graphPart{tid: newInterner[int64]()} }
	err := r.src.scan(ctx, table, cols.want, reset, func(b *btree.Batch) error {
		start, end := cols.vec(b, "start"), cols.vec(b, "end")
		classes, tid, graph, exec := cols.ints(b, "eventClass"), cols.ints(b, "globalTid"), cols.ints(b, "graphId"), cols.ints(b, "graphExecId")
		node, original := cols.ints(b, "graphNodeId"), cols.ints(b, "originalGraphNodeId")
		for i := range b.Len {
			e, ek := start.Ints[i], start.Kinds[i]
			if end != nil && end.Kinds[i] != btree.Null {
				e, ek = end.Ints[i], end.Kinds[i]
			}
			d, ok := r.span(table, start.Ints[i], e, start.Kinds[i], ek)
			if !ok {
				continue
			}
			kind, id := profile.GraphCreated, at(graph, i, 0)
			switch c := at(classes, i, class); {
			case c == classNodeCreation || at(node, i, 0) != 0:
				kind = profile.GraphNodeCreated
			case c == classExecCreation:
				kind, id = profile.GraphInstantiated, at(exec, i, 0)
			case c == classGraphClone:
				kind = profile.GraphCloned
			}
			g.add(start.Ints[i], d, kind, at(tid, i, 0), id, at(node, i, 0), at(original, i, 0), b.Rowid[i])
		}
		return nil
	})
	return func() { g.merge(r) }, err
}

func loadMemEvents(ctx context.Context, r *reader) (func(), error) {
	m := &r.p.MemEvents
	cols, missing := pick(r.src, tabMemUse, "name")
	if missing != "" {
		return r.unusable(tabMemUse, missing), nil
	}
	type place struct{ globalPid, device int64 }
	var places *interner[place]
	var inline *texts
	var where, name []int32
	var rows rowList
	reset := func(int64) {
		*m = profile.MemEvents{}
		places, inline, rows = newInterner[place](), newTexts(), rowList{}
		where, name = nil, nil
	}
	err := r.src.scan(ctx, tabMemUse, cols.want, reset, func(b *btree.Batch) error {
		start, txt := cols.vec(b, "start"), cols.vec(b, "name")
		gpid, device, addr, bytes := cols.ints(b, "globalPid"), cols.ints(b, "deviceId"), cols.ints(b, "address"), cols.ints(b, "bytes")
		kind, op, pool := cols.ints(b, "memKind"), cols.ints(b, "memoryOperationType"), cols.ints(b, "localMemoryPoolSize")
		for i := range b.Len {
			if _, ok := r.span(tabMemUse, start.Ints[i], start.Ints[i], start.Kinds[i], start.Kinds[i]); !ok {
				continue
			}
			rows.add(len(m.Start), b.Rowid[i])
			m.Start, m.Bytes, m.Address = append(m.Start, start.Ints[i]), append(m.Bytes, max(0, bytes[i])), append(m.Address, uint64(at(addr, i, 0)))
			m.Mem, m.Free = append(m.Mem, memKind(at(kind, i, 7))), append(m.Free, op[i] == 1)
			where = append(where, places.of(place{at(gpid, i, 0), at(device, i, 0)}))
			n := int32(-1)
			if txt != nil && txt.Kinds[i] == btree.Text {
				n = inline.of(txt.Text[i])
			}
			name = append(name, n)
			p := int64(-1)
			if v := at(pool, i, 0); v > 0 {
				p = v
			}
			m.PoolBytes = append(m.PoolBytes, p)
		}
		return nil
	})
	return func() {
		m.Row = rows.rows
		m.Process, m.Device = make([]int32, len(where)), make([]int32, len(where))
		for i, w := range where {
			k := places.keys[w]
			pid := pidOf(k.globalPid)
			m.Process[i], m.Device[i] = r.b.Process(pid), r.b.Device(r.gpu(pid, k.device))
		}
		m.Name = make([]profile.StringID, len(name))
		for i, n := range name {
			if n >= 0 {
				m.Name[i] = r.p.Strings.ID(inline.keys[n])
			}
		}
	}, err
}

// metricKey joins GPU_METRICS with its names: both ids are needed.
type metricKey struct{ typeID, metricID int64 }

func loadMetrics(ctx context.Context, r *reader) (func(), error) {
	cols, missing := pick(r.src, tabMetrics)
	if missing != "" {
		return r.unusable(tabMetrics, missing), nil
	}
	type series struct{ times, values []int64 }
	var keys *interner[metricKey]
	var all []series
	reset := func(int64) { keys, all = newInterner[metricKey](), nil }
	err := r.src.scan(ctx, tabMetrics, cols.want, reset, func(b *btree.Batch) error {
		ts, typ, id, val := cols.vec(b, "timestamp"), cols.ints(b, "typeId"), cols.ints(b, "metricId"), cols.vec(b, "value")
		for i := range b.Len {
			if _, ok := r.span(tabMetrics, ts.Ints[i], ts.Ints[i], ts.Kinds[i], ts.Kinds[i]); !ok {
				continue
			}
			if val.Kinds[i] != btree.Int {
				r.drop(tabMetrics, "the value is no integer")
				continue
			}
			k := keys.of(metricKey{typ[i], id[i]})
			for int(k) >= len(all) {
				all = append(all, series{})
			}
			all[k].times, all[k].values = append(all[k].times, ts.Ints[i]), append(all[k].values, val.Ints[i])
		}
		return nil
	})
	return func() {
		names := r.metricNames(ctx)
		order := make([]int, len(all))
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(x, y int) int {
			a, b := keys.keys[x], keys.keys[y]
			switch {
			case a.typeID != b.typeID:
				return int(min(1, max(-1, a.typeID-b.typeID)))
			default:
				return int(min(1, max(-1, a.metricID-b.metricID)))
			}
		})
		shared := map[int64][]int64{}
		for _, i := range order {
			k, s := keys.keys[i], all[i]
			if o := profile.Order(s.times); o != nil {
				s.times, s.values = profile.Permute(s.times, o), profile.Permute(s.values, o)
			}
			// All metrics of a type are sampled together; their times are kept once.
			if t, ok := shared[k.typeID]; ok && slices.Equal(t, s.times) {
				s.times = t
			} else {
				shared[k.typeID] = s.times
			}
			name := names[k]
			r.p.Counters = append(r.p.Counters, profile.Counter{Device: r.b.Device(k.typeID & 0xff), Name: name, Unit: metricUnit(name), Times: s.times, Values: s.values})
		}
	}, err
}

// metricUnit reads the unit off the metric's name. Clocks are in Hz although their name says MHz.
func metricUnit(name string) string {
	switch {
	case strings.Contains(name, "%"):
		return "percent"
	case strings.Contains(name, "[MHz]"):
		return "hz"
	}
	return "count"
}

func (r *reader) metricNames(ctx context.Context) map[metricKey]string {
	out := map[metricKey]string{}
	if !r.src.has(tabMetricIn) {
		return out
	}
	r.each(ctx, tabMetricIn, []string{"typeId", "metricId"}, []string{"metricName"}, func(n []int64, s []string) {
		out[metricKey{n[0], n[1]}] = s[0]
	})
	return out
}
