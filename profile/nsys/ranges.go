package nsys

import (
	"context"

	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/profile/nsys/btree"
)

// NVTX event types. Categories (33), the end of a domain (76) and the extensions after it are nothing that ran.
const (
	nvtxMark       = 34
	nvtxThreadName = 39
	nvtxPushPop    = 59
	nvtxStartEnd   = 60
	nvtxDomain     = 75
)

type domainKey struct{ process, id int64 }

// rangeTable collects NVTX_EVENTS. A name is written out in the row or registered, and one file holds both.
type rangeTable struct {
	*tally
	cols    columns
	out     profile.Ranges
	names   *labels
	threads *interner[int64]
	domains *interner[domainKey]

	ends        []rangeEnd
	domainNames []namedDomain
	threadNames []namedThread
}

type rangeEnd struct{ index, thread int32 }

type namedDomain struct {
	key   domainKey
	label int32
}

type namedThread struct {
	tid   int64
	label int32
}

func loadRanges(ctx context.Context, r *reader) (part, error) {
	cols, missing := pick(r.src, tabNVTX, "text")
	if missing != "" {
		return r.unusable(tabNVTX, missing), nil
	}
	var t *rangeTable
	err := r.src.scan(ctx, tabNVTX, cols.want, func(rows int64) { t = newRangeTable(cols, rows) }, func(b *btree.Batch) error { return t.batch(b) })
	if err != nil {
		return part{}, err
	}
	return part{tally: t.tally, need: t.names.need, merge: t.merge}, nil
}

func newRangeTable(cols columns, rows int64) *rangeTable {
	t := &rangeTable{tally: newTally(tabNVTX, rows), cols: cols, names: newLabels(), threads: newInterner[int64](), domains: newInterner[domainKey]()}
	reserve(&t.out.Start, rows)
	reserve(&t.out.Dur, rows)
	reserve(&t.out.Text, rows)
	reserve(&t.out.Thread, rows)
	reserve(&t.out.Domain, rows)
	reserve(&t.out.Kind, rows)
	return t
}

func (t *rangeTable) batch(b *btree.Batch) error {
	c := &t.cols
	when, text := c.times(b), c.vec(b, "text")
	kinds, textID := c.ints(b, "eventType", 0), c.ints(b, "textId", noString)
	tids, endTids, domains := c.ints(b, "globalTid", 0), c.ints(b, "endGlobalTid", 0), c.ints(b, "domainId", 0)
	isOpen := c.vec(b, "end") == nil
	base, n := len(t.out.Start), 0
	start, dur := room(&t.out.Start, b.Len), room(&t.out.Dur, b.Len)
	names, threads := room(&t.out.Text, b.Len), room(&t.out.Thread, b.Len)
	domain, kind := room(&t.out.Domain, b.Len), room(&t.out.Kind, b.Len)
	for i := range b.Len {
		var name int32
		if text != nil && text.Kinds[i] == btree.Text {
			name = t.names.byText(text.Text[i])
		} else {
			name = t.names.byID(at(textID, i, noString))
		}
		tid, domainID := at(tids, i, 0), at(domains, i, 0)
		switch at(kinds, i, nvtxPushPop) {
		case nvtxPushPop:
			kind[n] = profile.PushPop
		case nvtxStartEnd:
			kind[n] = profile.StartEnd
		case nvtxMark:
			kind[n] = profile.Mark
		case nvtxDomain:
			t.domainNames = append(t.domainNames, namedDomain{domainKey{pidOf(tid), domainID}, name})
			continue
		case nvtxThreadName:
			t.threadNames = append(t.threadNames, namedThread{tid, name})
			continue
		default:
			continue
		}
		d, ok := int64(0), false
		switch {
		case kind[n] == profile.Mark:
			_, ok = t.dur(times{when.start, when.start}, i)
		case isOpen || when.end.Kinds[i] == btree.Null:
			_, ok = t.dur(times{when.start, when.start}, i)
			d = profile.Open
		default:
			d, ok = t.dur(when, i)
		}
		if !ok {
			continue
		}
		t.keep(base+n, b.Rowid[i])
		start[n], dur[n], names[n] = when.start.Ints[i], d, profile.StringID(name)
		threads[n] = t.threads.of(tid)
		domain[n] = profile.None
		if domainID != 0 {
			domain[n] = t.domains.of(domainKey{pidOf(tid), domainID})
		}
		if e := at(endTids, i, 0); e != 0 && e != tid && kind[n] == profile.StartEnd {
			t.ends = append(t.ends, rangeEnd{int32(base + n), t.threads.of(e)})
		}
		n++
	}
	n += base
	o := &t.out
	o.Start, o.Dur, o.Text, o.Thread, o.Domain, o.Kind = o.Start[:n], o.Dur[:n], o.Text[:n], o.Thread[:n], o.Domain[:n], o.Kind[:n]
	return nil
}

// move keeps ends truthful through a reordering.
func (r *reordering) move(ends []rangeEnd) {
	if r == nil || len(ends) == 0 {
		return
	}
	to := make(map[int32]int32, len(ends))
	for _, e := range ends {
		to[e.index] = profile.None
	}
	for i, from := range r.perm {
		if _, ok := to[from]; ok {
			to[from] = int32(i)
		}
	}
	for i := range ends {
		ends[i].index = to[ends[i].index]
	}
}

func (t *rangeTable) merge(r *reader) {
	g := &t.out
	o := r.sorter.sort(g.Start)
	reorder(o, g.Start)
	reorder(o, g.Dur)
	reorder(o, g.Text)
	reorder(o, g.Thread)
	reorder(o, g.Domain)
	reorder(o, g.Kind)
	g.Row = o.rows(t.rows, g.Len())
	o.move(t.ends)
	labels := final(t.names.keys, r.label)
	for i, v := range g.Text {
		g.Text[i] = labels[v]
	}
	threads := final(t.threads.keys, r.thread)
	apply(g.Thread, threads)
	remap(t.domains, g.Domain, func(k domainKey) int32 { return r.b.Domain(k.process, k.id) })
	for _, e := range t.ends {
		if g.EndThread == nil {
			g.EndThread = map[int32]int32{}
		}
		g.EndThread[e.index] = threads[e.thread]
	}
	for _, d := range t.domainNames {
		r.p.Domains[r.b.Domain(d.key.process, d.key.id)].Name = r.p.Strings.At(labels[d.label])
	}
	for _, n := range t.threadNames {
		r.p.Threads[r.thread(n.tid)].Name = r.p.Strings.At(labels[n.label])
	}
	r.p.Ranges = *g
}
