package nsys

import (
	"context"

	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/profile/nsys/btree"
)

// Event classes of CUPTI_ACTIVITY_KIND_RUNTIME and OSRT_API.
const (
	classRuntime   = 0
	classOSRuntime = 27
	classDriver    = 1
)

// callTable collects CUPTI_ACTIVITY_KIND_RUNTIME, which holds the calls of the driver API too.
type callTable struct {
	*tally
	cols    columns
	out     profile.Calls
	threads *interner[int64]
	names   *labels
}

func loadCalls(ctx context.Context, r *reader) (part, error) {
	cols, missing := pick(r.src, tabRuntime)
	if missing != "" {
		return r.unusable(tabRuntime, missing), nil
	}
	var t *callTable
	err := r.src.scan(ctx, tabRuntime, cols.want, func(rows int64) { t = newCallTable(cols, rows) }, func(b *btree.Batch) error { return t.batch(b) })
	if err != nil {
		return part{}, err
	}
	return part{tally: t.tally, pids: t.threads.keys, need: t.names.need, merge: t.merge}, nil
}

func newCallTable(cols columns, rows int64) *callTable {
	t := &callTable{tally: newTally(tabRuntime, rows), cols: cols, threads: newInterner[int64](), names: newLabels()}
	reserve(&t.out.Start, rows)
	reserve(&t.out.Dur, rows)
	reserve(&t.out.Name, rows)
	reserve(&t.out.Thread, rows)
	reserve(&t.out.Correlation, rows)
	reserve(&t.out.Result, rows)
	reserve(&t.out.Class, rows)
	return t
}

func (t *callTable) batch(b *btree.Batch) error {
	c := &t.cols
	when := c.times(b)
	classes, tids, corr := c.ints(b, "eventClass", classRuntime), c.ints(b, "globalTid", 0), c.ints(b, "correlationId", 0)
	ids, results := c.ints(b, "nameId", noString), c.ints(b, "returnValue", 0)
	o := &t.out
	base, n := len(o.Start), 0
	start, dur := room(&o.Start, b.Len), room(&o.Dur, b.Len)
	name, thread, class := room(&o.Name, b.Len), room(&o.Thread, b.Len), room(&o.Class, b.Len)
	correl, result := room(&o.Correlation, b.Len), room(&o.Result, b.Len)
	for i := range b.Len {
		d, ok := t.dur(when, i)
		if !ok {
			continue
		}
		t.keep(base+n, b.Rowid[i])
		start[n], dur[n] = when.start.Ints[i], d
		name[n] = profile.StringID(t.names.byID(at(ids, i, noString)))
		thread[n] = t.threads.of(at(tids, i, 0))
		correl[n], result[n] = correlation(at(corr, i, 0)), int32(at(results, i, 0))
		switch at(classes, i, classRuntime) {
		case classRuntime:
			class[n] = profile.RuntimeAPI
		case classDriver:
			class[n] = profile.DriverAPI
		default:
			class[n] = profile.OtherAPI
		}
		n++
	}
	n += base
	o.Start, o.Dur, o.Name, o.Thread = o.Start[:n], o.Dur[:n], o.Name[:n], o.Thread[:n]
	o.Class, o.Correlation, o.Result = o.Class[:n], o.Correlation[:n], o.Result[:n]
	return nil
}

func (t *callTable) merge(r *reader) {
	c := &t.out
	o := r.sorter.sort(c.Start)
	reorder(o, c.Start)
	reorder(o, c.Dur)
	reorder(o, c.Name)
	reorder(o, c.Thread)
	reorder(o, c.Correlation)
	reorder(o, c.Result)
	reorder(o, c.Class)
	c.Row = o.rows(t.rows, c.Len())
	remap(t.threads, c.Thread, r.thread)
	c.Name = r.labelColumn(t.names, c.Name)
	r.p.Calls = *c
}

// spanTable collects a table of named host intervals.
type spanTable struct {
	*tally
	cols    columns
	out     profile.Spans
	threads *interner[int64]
	names   *labels
}

// loadSpans returns the loader of a table whose rows go to the column that pick chooses.
func loadSpans(table string, column func(*profile.Profile) *profile.Spans) func(context.Context, *reader) (part, error) {
	return func(ctx context.Context, r *reader) (part, error) {
		cols, missing := pick(r.src, table)
		if missing != "" {
			return r.unusable(table, missing), nil
		}
		var t *spanTable
		err := r.src.scan(ctx, table, cols.want, func(rows int64) {
			t = &spanTable{tally: newTally(table, rows), cols: cols, threads: newInterner[int64](), names: newLabels()}
		}, func(b *btree.Batch) error { return t.batch(b) })
		if err != nil {
			return part{}, err
		}
		return part{tally: t.tally, need: t.names.need, merge: func(r *reader) { t.merge(r, column(r.p)) }}, nil
	}
}

func (t *spanTable) batch(b *btree.Batch) error {
	c := &t.cols
	when := c.times(b)
	tids, ids := c.ints(b, "globalTid", 0), c.ints(b, "nameId", noString)
	classes := c.ints(b, "eventClass", classOSRuntime)
	s := &t.out
	for i := range b.Len {
		if at(classes, i, classOSRuntime) != classOSRuntime {
			continue // markers of the tracer among the calls
		}
		d, ok := t.dur(when, i)
		if !ok {
			continue
		}
		t.keep(len(s.Start), b.Rowid[i])
		s.Start, s.Dur = append(s.Start, when.start.Ints[i]), append(s.Dur, d)
		s.Name = append(s.Name, profile.StringID(t.names.byID(at(ids, i, noString))))
		if tid := at(tids, i, 0); tid == 0 {
			s.Thread = append(s.Thread, profile.None)
		} else {
			s.Thread = append(s.Thread, t.threads.of(tid))
		}
	}
	return nil
}

// merge adds the table to a column that may already hold another one.
func (t *spanTable) merge(r *reader, to *profile.Spans) {
	remap(t.threads, t.out.Thread, r.thread)
	t.out.Name = r.labelColumn(t.names, t.out.Name)
	t.out.Row = t.tally.rows
	if len(to.Start) == 0 {
		*to = t.out
		return
	}
	rows := append(explicit(to.Row, len(to.Start)), explicit(t.out.Row, len(t.out.Start))...)
	*to = profile.Spans{
		Start: append(to.Start, t.out.Start...), Dur: append(to.Dur, t.out.Dur...), Name: append(to.Name, t.out.Name...),
		Thread: append(to.Thread, t.out.Thread...), Row: rows,
	}
}

// explicit spells out the rows of a table of n rows.
func explicit(rows profile.Rows, n int) profile.Rows {
	if rows != nil {
		return rows
	}
	out := make(profile.Rows, n)
	for i := range out {
		out[i] = uint32(i) + 1
	}
	return out
}
