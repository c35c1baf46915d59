package kineto

import (
	"errors"

	"github.com/stepscope/stepscope/profile"
)

// pending is the duration of a row that a B event opened, until its E event is found.
const pending int64 = -2

// errTooMany is returned when a file holds more events than Options.MaxEvents.
var errTooMany = errors.New("too many events")

// builder turns events into the columns of a Profile. Times stay as they are in the file until finish.
type builder struct {
	p   *profile.Profile
	opt Options

	names  map[string]profile.StringID // by source text
	shapes map[string]profile.StringID // compacted arrays, by source text
	cats   map[string]namedCategory    // by source text
	last   namedCategory

	ids     *identities
	funcs   []int32 // by StringID
	copies  []copyName
	configs map[profile.LaunchConfig]int32
	config  profile.LaunchConfig // the last one
	configI int32

	pairs pairs

	ordinal uint32 // of the event within traceEvents, from 1
	kept    int
	window  spanOf // hull of the Trace spans
	hull    spanOf // of the kept events
	start   spanOf // of "Iteration Start"
	count   counts
}

// counts is what is said about a file besides its rows.
type counts struct {
	deviceAnnotations, frames, flows                     int64
	noTime, negativeDur, noDur, hugeTime, clampedDur     int64
	notObjects, oversized, otherPhase, oddText, unpaired int64
	noCorrelation                                        int64
	unknown                                              map[string]int64
}

// spanOf grows to hold spans; set is false while it holds none.
type spanOf struct {
	lo, hi int64
	set    bool
}

func (s *spanOf) add(lo, hi int64) {
	if !s.set {
		*s = spanOf{lo, hi, true}
		return
	}
	s.lo, s.hi = min(s.lo, lo), max(s.hi, hi)
}

func newBuilder(name string, opt Options) *builder {
	p := &profile.Profile{Format: "kineto-json", Source: name}
	return &builder{
		p:       p,
		opt:     opt,
		names:   map[string]profile.StringID{},
		shapes:  map[string]profile.StringID{},
		cats:    map[string]namedCategory{},
		configs: map[profile.LaunchConfig]int32{},
		configI: profile.None,
		ids:     newIdentities(p),
		count:   counts{unknown: map[string]int64{}},
	}
}

// add takes one event over. The event's texts are not kept.
func (b *builder) add(ev *event) error {
	b.ordinal++
	switch ev.ph {
	case 'X', 'B':
		b.span(ev)
	case 'E':
		if ts, st := micros(ev.ts.number()); st == numOK {
			b.pairs.end(b.ids.threadKey(ev), ts)
		} else {
			b.count.noTime++
		}
	case 'i', 'I', 'R':
		b.instant(ev)
	case 'M':
		b.metadata(ev)
	case 's', 't', 'f':
		b.count.flows++
	default:
		b.count.otherPhase++
	}
	if b.kept > b.opt.MaxEvents {
		return errTooMany
	}
	return nil
}

// span takes an event with a duration over.
func (b *builder) span(ev *event) {
	cat := b.category(ev.cat)
	if !b.wanted(cat, ev) {
		if ev.ph == 'B' { // its end must find it
			if ts, st := micros(ev.ts.number()); st == numOK {
				b.pairs.begin(b.ids.threadKey(ev), ts, noTable, 0)
			}
		}
		return
	}
	ts, dur, ok := b.times(ev)
	if !ok {
		return
	}
	if cat == traceSpan {
		b.window.add(ts, ts+dur)
		return
	}
	row, table := b.row(cat, ev, ts, dur)
	if dur == pending {
		b.pairs.begin(b.ids.threadKey(ev), ts, table, row)
		dur = 0
	}
	b.hull.add(ts, ts+dur)
	b.kept++
}

// wanted counts an event of a category and reports whether it makes a row.
func (b *builder) wanted(cat category, ev *event) bool {
	switch cat {
	case unknownCategory:
		var name []byte // "" also for what is no text
		if ev.cat.kind == kindString {
			name = ev.cat.plain()
		}
		if len(b.count.unknown) < 1000 || b.count.unknown[string(name)] > 0 {
			b.count.unknown[string(name)]++
		}
		return false
	case ignored, instantEvent, flow:
		return false
	case deviceAnnotation:
		b.count.deviceAnnotations++
		return false
	case pythonFrame:
		b.count.frames++
		return b.opt.Stacks
	case traceSpan:
		return ev.ph == 'X'
	}
	return true
}

// times reads ts and dur. An event without a usable start, or one so far out that sums overflow, is dropped.
func (b *builder) times(ev *event) (ts, dur int64, ok bool) {
	ts, st := micros(ev.ts.number())
	switch st {
	case numInvalid:
		b.count.noTime++
		return 0, 0, false
	case numOverflow:
		b.count.hugeTime++
		return 0, 0, false
	}
	if ev.ph == 'B' {
		return ts, pending, true
	}
	dur, st = micros(ev.dur.number())
	switch {
	case st == numInvalid:
		b.count.noDur++
		return ts, 0, true
	case st == numOverflow && len(ev.dur.raw) > 0 && ev.dur.raw[0] != '-':
		b.count.hugeTime++
		return 0, 0, false
	case st == numOverflow || dur < 0:
		b.count.negativeDur++
		return ts, 0, true
	}
	return ts, dur, true
}

// row appends the event to its table.
func (b *builder) row(cat category, ev *event, ts, dur int64) (row int32, table tableID) {
	p := b.p
	switch cat {
	case kernelEvent:
		k := &p.Kernels
		k.Start, k.Dur = append(k.Start, ts), append(k.Dur, dur)
		k.Func = append(k.Func, b.function(ev.name))
		k.Config = append(k.Config, b.launchConfig(ev))
		k.Queue = append(k.Queue, b.queue(ev))
		k.Correlation = append(k.Correlation, b.correlation(ev))
		k.GraphNode = append(k.GraphNode, graphNode(ev))
		k.Row = append(k.Row, b.ordinal)
		return int32(len(k.Start) - 1), kernelTable
	case copyEvent:
		m := &p.Copies
		c := b.copyName(b.name(ev.name))
		m.Start, m.Dur = append(m.Start, ts), append(m.Dur, dur)
		m.Bytes = append(m.Bytes, size(ev.bytes))
		m.Kind, m.Src, m.Dst = append(m.Kind, c.kind), append(m.Src, c.src), append(m.Dst, c.dst)
		m.Queue = append(m.Queue, b.queue(ev))
		m.Correlation = append(m.Correlation, b.correlation(ev))
		m.GraphNode = append(m.GraphNode, graphNode(ev))
		m.Row = append(m.Row, b.ordinal)
		return int32(len(m.Start) - 1), copyTable
	case memsetEvent:
		s := &p.Memsets
		s.Start, s.Dur = append(s.Start, ts), append(s.Dur, dur)
		s.Bytes = append(s.Bytes, size(ev.bytes))
		s.Mem = append(s.Mem, memKind(parenthesised(p.Strings.At(b.name(ev.name)))))
		s.Queue = append(s.Queue, b.queue(ev))
		s.Correlation = append(s.Correlation, b.correlation(ev))
		s.GraphNode = append(s.GraphNode, graphNode(ev))
		s.Row = append(s.Row, b.ordinal)
		return int32(len(s.Start) - 1), memsetTable
	case runtimeCall, driverCall:
		a := &p.Calls
		class := profile.RuntimeAPI
		if cat == driverCall {
			class = profile.DriverAPI
		}
		a.Start, a.Dur = append(a.Start, ts), append(a.Dur, dur)
		a.Name = append(a.Name, b.name(ev.name))
		a.Thread = append(a.Thread, b.ids.thread(ev))
		a.Correlation = append(a.Correlation, b.correlation(ev))
		a.Result = append(a.Result, 0)
		a.Class = append(a.Class, class)
		a.External = append(a.External, external(ev))
		a.Row = append(a.Row, b.ordinal)
		return int32(len(a.Start) - 1), callTable
	case operator:
		o := &p.Ops
		o.Start, o.Dur = append(o.Start, ts), append(o.Dur, dur)
		o.Name = append(o.Name, b.name(ev.name))
		o.Thread = append(o.Thread, b.ids.thread(ev))
		o.External = append(o.External, external(ev))
		o.Dims, o.Types = append(o.Dims, b.shape(ev.dims)), append(o.Types, b.shape(ev.types))
		o.Row = append(o.Row, b.ordinal)
		return int32(len(o.Start) - 1), opTable
	case annotation:
		r := &p.Ranges
		r.Start, r.Dur = append(r.Start, ts), append(r.Dur, dur)
		r.Text = append(r.Text, b.name(ev.name))
		r.Thread = append(r.Thread, b.ids.thread(ev))
		r.Domain = append(r.Domain, profile.None)
		r.Kind = append(r.Kind, profile.PushPop)
		r.Row = append(r.Row, b.ordinal)
		return int32(len(r.Start) - 1), rangeTable
	case syncEvent:
		y := &p.Syncs
		y.Start, y.Dur = append(y.Start, ts), append(y.Dur, dur)
		y.Kind = append(y.Kind, syncKind(p.Strings.At(b.name(ev.name))))
		q := profile.None
		if _, stream, _ := b.ids.place(ev); stream >= 0 {
			q = b.queue(ev)
		}
		y.Queue = append(y.Queue, q)
		y.Correlation = append(y.Correlation, b.correlation(ev))
		y.Row = append(y.Row, b.ordinal)
		return int32(len(y.Start) - 1), syncTable
	case pythonFrame:
		return b.hostSpan(&p.Frames, ev, ts, dur), frameTable
	default:
		return b.hostSpan(&p.Overheads, ev, ts, dur), overheadTable
	}
}

func (b *builder) hostSpan(s *profile.Spans, ev *event, ts, dur int64) int32 {
	s.Start, s.Dur = append(s.Start, ts), append(s.Dur, dur)
	s.Name = append(s.Name, b.name(ev.name))
	t := profile.None
	if pid, ok := ev.pid.int(); !ok || pid >= 0 { // -1 is Kineto's own track
		t = b.ids.thread(ev)
	}
	s.Thread = append(s.Thread, t)
	s.Row = append(s.Row, b.ordinal)
	return int32(len(s.Start) - 1)
}

// namedCategory is a category with the source text that it was found by.
type namedCategory struct {
	text string
	cat  category
}

// category finds the category of a "cat" text; runs of one category are the rule.
func (b *builder) category(t text) category {
	if t.kind != kindString || len(t.raw) == 0 {
		return unknownCategory
	}
	if string(t.raw) == b.last.text {
		return b.last.cat
	}
	c, ok := b.cats[string(t.raw)]
	if !ok {
		name, _ := unquote(t.raw)
		c = namedCategory{string(t.raw), categoryOf(string(name))}
		if len(b.cats) < 1000 {
			b.cats[c.text] = c
		}
	}
	b.last = c
	return c.cat
}

// name interns a string by its source text, so that escapes are resolved once per distinct name.
func (b *builder) name(t text) profile.StringID {
	if t.kind != kindString && t.kind != kindNumber {
		return b.p.Strings.ID("")
	}
	if id, ok := b.names[string(t.raw)]; ok {
		return id
	}
	s, odd := unquote(t.raw)
	if odd {
		b.count.oddText++
	}
	id := b.p.Strings.BytesID(s)
	b.names[string(t.raw)] = id
	return id
}

// shape interns an array as compact JSON.
func (b *builder) shape(t text) profile.StringID {
	if t.kind != kindArray {
		return 0
	}
	if id, ok := b.shapes[string(t.raw)]; ok {
		return id
	}
	id := b.p.Strings.BytesID(compact(t.raw))
	b.shapes[string(t.raw)] = id
	return id
}

func (b *builder) function(t text) int32 {
	id := b.name(t)
	for int(id) >= len(b.funcs) {
		b.funcs = append(b.funcs, profile.None)
	}
	if b.funcs[id] == profile.None {
		p := b.p
		name := p.Strings.At(id)
		f := profile.Func{Name: id, Short: p.Strings.ID(profile.BaseName(name))}
		if len(name) > 2 && name[:2] == "_Z" {
			f.Mangled = id
		}
		b.funcs[id] = int32(len(p.Funcs))
		p.Funcs = append(p.Funcs, f)
	}
	return b.funcs[id]
}

func (b *builder) copyName(id profile.StringID) copyName {
	for int(id) >= len(b.copies) {
		b.copies = append(b.copies, copyName{})
	}
	if !b.copies[id].read {
		b.copies[id] = parseCopyName(b.p.Strings.At(id))
	}
	return b.copies[id]
}

func (b *builder) launchConfig(ev *event) int32 {
	c := profile.LaunchConfig{Grid: ev.grid.triple(), Block: ev.block.triple()}
	c.Registers = small(ev.registers)
	c.DynamicShared = small(ev.shared)
	if c == b.config && b.configI != profile.None {
		return b.configI
	}
	i, ok := b.configs[c]
	if !ok {
		i = int32(len(b.p.Configs))
		b.p.Configs = append(b.p.Configs, c)
		b.configs[c] = i
	}
	b.config, b.configI = c, i
	return i
}

func small(t text) int32 {
	n, ok := t.int()
	if !ok || n < 0 || n > 1<<31-1 {
		return 0
	}
	return int32(n)
}

func size(t text) int64 {
	n, ok := t.int()
	if !ok || n < 0 {
		return 0
	}
	return n
}

// correlation returns the correlation id, 0 for none. Ids are 32 bits wide.
func (b *builder) correlation(ev *event) uint32 {
	n, ok := ev.correlation.int()
	if !ok || n <= 0 || n > 1<<32-1 {
		b.count.noCorrelation++
		return 0
	}
	return uint32(n)
}

// external returns the External id, 0 for none.
func external(ev *event) int64 {
	n, ok := ev.external.int()
	if !ok || n < 0 || n >= 1<<externalBits {
		return 0
	}
	return n
}

// externalBits is the width of External ids; the number of the file stands above it where several are merged.
const externalBits = 40

// graphNode returns graph id << 32 | node. CUPTI's node ids carry the graph in their upper half already.
func graphNode(ev *event) uint64 {
	node, ok := unsigned(ev.node.number())
	if !ok || node == 1<<64-1 {
		return 0
	}
	if graph, ok := unsigned(ev.graph.number()); ok && node>>32 == 0 && graph > 0 && graph < 1<<32 {
		node |= graph << 32
	}
	return node
}
