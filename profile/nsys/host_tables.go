package nsys

import (
	"context"

	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/profile/nsys/btree"
)

func loadCalls(ctx context.Context, r *reader) (func(), error) {
	c := &r.p.Calls
	cols, missing := pick(r.src, tabRuntime)
	if missing != "" {
		return r.unusable(tabRuntime, missing), nil
	}
	var threads, names *interner[int64]
	var thread []int32
	var name []profile.StringID
	var rows rowList
	reset := func(n int64) {
		*c = profile.Calls{}
		threads, names, rows = newInterner[int64](), newInterner[int64](), rowList{}
		thread, name = nil, nil
		reserve(&c.Start, n)
		reserve(&c.Dur, n)
		reserve(&c.Correlation, n)
		reserve(&c.Result, n)
		reserve(&c.Class, n)
		reserve(&thread, n)
		reserve(&name, n)
	}
	err := r.src.scan(ctx, tabRuntime, cols.want, reset, func(b *btree.Batch) error {
		start, end := cols.vec(b, "start"), cols.vec(b, "end")
		class, tid, corr, id, result := cols.ints(b, "eventClass"), cols.ints(b, "globalTid"), cols.ints(b, "correlationId"), cols.ints(b, "nameId"), cols.ints(b, "returnValue")
		for i := range b.Len {
			d, ok := r.span(tabRuntime, start.Ints[i], end.Ints[i], start.Kinds[i], end.Kinds[i])
			if !ok {
				continue
			}
			rows.add(len(c.Start), b.Rowid[i])
			c.Start, c.Dur = append(c.Start, start.Ints[i]), append(c.Dur, d)
			thread = append(thread, threads.of(at(tid, i, 0)))
			name = append(name, profile.StringID(names.of(at(id, i, -1))))
			c.Correlation = append(c.Correlation, uint32(at(corr, i, 0)))
			c.Result = append(c.Result, int32(at(result, i, 0)))
			cl := profile.OtherAPI
			switch at(class, i, 0) {
			case 0:
				cl = profile.RuntimeAPI
			case 1:
				cl = profile.DriverAPI
			}
			c.Class = append(c.Class, cl)
		}
		return nil
	})
	return func() {
		c.Row = rows.rows
		remap(threads, thread, r.thread)
		c.Thread = thread
		c.Name = r.names(names, name)
	}, err
}

// names translates a column of interned StringIds into the profile's strings, in place.
func (r *reader) names(n *interner[int64], col []profile.StringID) []profile.StringID {
	to := make([]profile.StringID, len(n.keys))
	for i, k := range n.keys {
		to[i] = r.strings.get(k)
	}
	for i, v := range col {
		col[i] = to[v]
	}
	return col
}

// NVTX event types.
const (
	nvtxCategory   = 33
	nvtxMark       = 34
	nvtxThreadName = 39
	nvtxPushPop    = 59
	nvtxStartEnd   = 60
	nvtxDomain     = 75
	nvtxDomainEnd  = 76
)

type domainKey struct{ globalTid, id int64 }

// textKey is an annotation's text: inline (an index of texts, id -1) or by StringIds.
type textKey struct {
	inline int32
	id     int64
}

func loadRanges(ctx context.Context, r *reader) (func(), error) {
	g := &r.p.Ranges
	cols, missing := pick(r.src, tabNVTX, "text")
	if missing != "" {
		return r.unusable(tabNVTX, missing), nil
	}
	var threads *interner[int64]
	var domains *interner[domainKey]
	var keys *interner[textKey]
	var inline *texts
	var text []profile.StringID // ids of keys until the table is merged
	var rows rowList
	type endsOn struct{ index, thread int32 }
	var ends []endsOn
	type domainName struct {
		key  domainKey
		text int32
	}
	var named []domainName
	type threadName struct {
		tid  int64
		text int32
	}
	var threadNames []threadName
	reset := func(n int64) {
		*g = profile.Ranges{}
		threads, domains, keys, inline, rows = newInterner[int64](), newInterner[domainKey](), newInterner[textKey](), newTexts(), rowList{}
		text, ends, named, threadNames = nil, nil, nil, nil
		reserve(&g.Start, n)
		reserve(&g.Dur, n)
		reserve(&text, n)
		reserve(&g.Thread, n)
		reserve(&g.Domain, n)
		reserve(&g.Kind, n)
	}
	err := r.src.scan(ctx, tabNVTX, cols.want, reset, func(b *btree.Batch) error {
		start, end, txt := cols.vec(b, "start"), cols.vec(b, "end"), cols.vec(b, "text")
		kind, textID, tid, endTid, domain := cols.ints(b, "eventType"), cols.ints(b, "textId"), cols.ints(b, "globalTid"), cols.ints(b, "endGlobalTid"), cols.ints(b, "domainId")
		for i := range b.Len {
			t := textKey{inline: -1, id: at(textID, i, -1)}
			if txt != nil && txt.Kinds[i] == btree.Text {
				t = textKey{inline: inline.of(txt.Text[i]), id: -1}
			}
			dk := domainKey{at(tid, i, 0) &^ 0xffffff, at(domain, i, 0)}
			var style profile.RangeKind
			switch at(kind, i, nvtxPushPop) {
			case nvtxPushPop:
				style = profile.PushPop
			case nvtxStartEnd:
				style = profile.StartEnd
			case nvtxMark:
				style = profile.Mark
			case nvtxDomain:
				named = append(named, domainName{dk, keys.of(t)})
				continue
			case nvtxThreadName:
				threadNames = append(threadNames, threadName{at(tid, i, 0), keys.of(t)})
				continue
			default:
				continue // categories, domain ends: nothing that ran
			}
			d := profile.Open
			switch {
			case style == profile.Mark:
				if _, ok := r.span(tabNVTX, start.Ints[i], start.Ints[i], start.Kinds[i], start.Kinds[i]); !ok {
					continue
				}
				d = 0
			case end == nil || end.Kinds[i] == btree.Null:
				if _, ok := r.span(tabNVTX, start.Ints[i], start.Ints[i], start.Kinds[i], start.Kinds[i]); !ok {
					continue
				}
			default:
				var ok bool
				if d, ok = r.span(tabNVTX, start.Ints[i], end.Ints[i], start.Kinds[i], end.Kinds[i]); !ok {
					continue
				}
			}
			n := len(g.Start)
			rows.add(n, b.Rowid[i])
			g.Start, g.Dur, g.Kind = append(g.Start, start.Ints[i]), append(g.Dur, d), append(g.Kind, style)
			text = append(text, profile.StringID(keys.of(t)))
			g.Thread = append(g.Thread, threads.of(at(tid, i, 0)))
			if dk.id == 0 {
				g.Domain = append(g.Domain, profile.None)
			} else {
				g.Domain = append(g.Domain, domains.of(dk))
			}
			if style == profile.StartEnd {
				if e := at(endTid, i, 0); e != 0 && e != at(tid, i, 0) {
					ends = append(ends, endsOn{int32(n), threads.of(e)})
				}
			}
		}
		return nil
	})
	return func() {
		g.Row = rows.rows
		to := make([]profile.StringID, len(keys.keys))
		for i, k := range keys.keys {
			if k.inline >= 0 {
				to[i] = r.p.Strings.ID(inline.keys[k.inline])
			} else {
				to[i] = r.strings.get(k.id)
			}
		}
		for i, v := range text {
			text[i] = to[v]
		}
		g.Text = text
		threadOf := make([]int32, len(threads.keys))
		for i, t := range threads.keys {
			threadOf[i] = r.thread(t)
		}
		for i, v := range g.Thread {
			g.Thread[i] = threadOf[v]
		}
		remap(domains, g.Domain, func(k domainKey) int32 { return r.b.Domain(pidOf(k.globalTid), k.id) })
		for _, e := range ends {
			if g.EndThread == nil {
				g.EndThread = map[int32]int32{}
			}
			g.EndThread[e.index] = threadOf[e.thread]
		}
		for _, d := range named {
			r.p.Domains[r.b.Domain(pidOf(d.key.globalTid), d.key.id)].Name = r.p.Strings.At(to[d.text])
		}
		for _, t := range threadNames {
			r.p.Threads[r.thread(t.tid)].Name = r.p.Strings.At(to[t.text])
		}
	}, err
}

// loadSpans reads a table of named host intervals.
func loadSpans(ctx context.Context, r *reader, table string, cols columns, out *profile.Spans) (func(), error) {
	var threads, names *interner[int64]
	var thread []int32
	var name []profile.StringID
	var part profile.Spans
	var rows rowList
	reset := func(n int64) {
		part = profile.Spans{}
		threads, names, rows = newInterner[int64](), newInterner[int64](), rowList{}
		thread, name = nil, nil
		reserve(&part.Start, n)
		reserve(&part.Dur, n)
		reserve(&thread, n)
		reserve(&name, n)
	}
	err := r.src.scan(ctx, table, cols.want, reset, func(b *btree.Batch) error {
		start, end := cols.vec(b, "start"), cols.vec(b, "end")
		tid, id := cols.ints(b, "globalTid"), cols.ints(b, "nameId")
		for i := range b.Len {
			d, ok := r.span(table, start.Ints[i], end.Ints[i], start.Kinds[i], end.Kinds[i])
			if !ok {
				continue
			}
			rows.add(len(part.Start), b.Rowid[i])
			part.Start, part.Dur = append(part.Start, start.Ints[i]), append(part.Dur, d)
			name = append(name, profile.StringID(names.of(at(id, i, -1))))
			if tid == nil || tid[i] == 0 {
				thread = append(thread, profile.None)
			} else {
				thread = append(thread, threads.of(tid[i]))
			}
		}
		return nil
	})
	return func() {
		remap(threads, thread, r.thread)
		if len(out.Start) > 0 && rows.rows == nil {
			// Two tables share the column: rows count within each, which only an explicit list can say.
			rows.rows = make(profile.Rows, len(part.Start))
			for i := range rows.rows {
				rows.rows[i] = uint32(i) + 1
			}
		}
		if rows.rows != nil && out.Row == nil && len(out.Start) > 0 {
			out.Row = make(profile.Rows, len(out.Start))
			for i := range out.Row {
				out.Row[i] = uint32(i) + 1
			}
		}
		out.Start, out.Dur = append(out.Start, part.Start...), append(out.Dur, part.Dur...)
		out.Thread, out.Name = append(out.Thread, thread...), append(out.Name, r.names(names, name)...)
		if rows.rows != nil {
			out.Row = append(out.Row, rows.rows...)
		}
	}, err
}

func loadOSCalls(ctx context.Context, r *reader) (func(), error) {
	cols, missing := pick(r.src, tabOSRT)
	if missing != "" {
		return r.unusable(tabOSRT, missing), nil
	}
	return loadSpans(ctx, r, tabOSRT, cols, &r.p.OSCalls)
}

func loadOverheads(ctx context.Context, r *reader) (func(), error) {
	cols, missing := pick(r.src, tabOverhead)
	if missing != "" {
		return r.unusable(tabOverhead, missing), nil
	}
	return loadSpans(ctx, r, tabOverhead, cols, &r.p.Overheads)
}

// loadLibrary reads the calls of a math library; its tables have the columns of the OS runtime table.
func loadLibrary(table string) func(context.Context, *reader) (func(), error) {
	return func(ctx context.Context, r *reader) (func(), error) {
		cols := columns{at: map[string]int{}}
		for _, name := range []string{"start", "end", "globalTid", "nameId"} {
			if !r.src.hasColumn(table, name) {
				return r.unusable(table, name), nil
			}
			cols.at[name] = len(cols.want)
			cols.want = append(cols.want, btree.Want{Name: name})
		}
		return loadSpans(ctx, r, table, cols, &r.p.LibCalls)
	}
}
