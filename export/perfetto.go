package export

import (
	"fmt"
	"io"
	"math"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/step"
)

// PerfettoCounts says what was written, so that it can be checked against the profile.
type PerfettoCounts struct {
	Packets, Tracks int64
	Bytes           int64
	Slices          int64
	Instants        int64 // marks, which take no time
	Flows           int64 // one per device operation whose launch is recorded
	Counters        int64 // values; one that repeats the value before it is left out, the last one is written
	// Shift is what was added to the capture's times, as Perfetto's are not negative, ns.
	Shift int64
}

// Perfetto writes the capture as a Perfetto trace: for each GPU its steps, streams and counters, for each process its
// threads with their API calls, annotations and operating system calls, and a flow from each launch to each operation that
// it started.
//
// Overlapping work of one stream, and ranges that do not nest, are put on further tracks of the same name, which the UI
// shows as one. Every event of the profile's tables becomes one slice or instant, except synchronisation records, which
// repeat API calls, and creations of graph nodes.
func Perfetto(w io.Writer, a *step.Analysis) (PerfettoCounts, error) {
	return PerfettoWithRequests(w, a, nil)
}

// PerfettoWithRequests is Perfetto with the requests that the server's own trace places in the capture's time.
func PerfettoWithRequests(w io.Writer, a *step.Analysis, run *serving.Run) (PerfettoCounts, error) {
	t := newTrace(w, a)
	t.start()
	t.gpus()
	t.hosts()
	t.server(run)
	err := t.out.flush()
	t.counts.Bytes = t.out.bytes
	return t.counts, err
}

// trace is a Perfetto trace in the making.
type trace struct {
	out    *packets
	a      *step.Analysis
	p      *profile.Profile
	counts PerfettoCounts
	shift  int64
	uuid   uint64 // of the last track

	names, texts internTable // by string id, then by derived
	keys         map[string]uint64
	categories   map[string]uint64

	processTrack []uint64 // by process, 0 = not made yet
	threadTrack  []uint64

	launches launchIndex
	notes    []annotation // of the event being built
}

func newTrace(w io.Writer, a *step.Analysis) *trace {
	p := a.P
	t := &trace{out: newPackets(w), a: a, p: p, keys: map[string]uint64{}, categories: map[string]uint64{},
		processTrack: make([]uint64, len(p.Processes)), threadTrack: make([]uint64, len(p.Threads))}
	n := p.Strings.Len()
	t.names, t.texts = newInternTable(n), newInternTable(n)
	t.shift = -earliest(a)
	t.counts.Shift = t.shift
	t.launches = indexLaunches(p)
	return t
}

// earliest is the lowest time of anything that is written, at most 0, so that a trace of usual captures keeps their times.
func earliest(a *step.Analysis) int64 {
	p := a.P
	low := min(0, p.Window.Start)
	for _, start := range [][]int64{p.Kernels.Start, p.Copies.Start, p.Memsets.Start, p.GraphTraces.Start, p.Calls.Start, p.Ranges.Start,
		p.Ops.Start, p.OSCalls.Start, p.LibCalls.Start, p.Overheads.Start, p.Frames.Start, p.MemEvents.Start} {
		if len(start) > 0 {
			low = min(low, start[0])
		}
	}
	for i := range p.Counters {
		if len(p.Counters[i].Times) > 0 {
			low = min(low, p.Counters[i].Times[0])
		}
	}
	for _, l := range a.Lifecycle {
		low = min(low, l.Start)
	}
	return low
}

// time shifts a time of the capture; a time far before everything else does not wrap.
func (t *trace) time(ns int64) uint64 { return uint64(max(0, ns+t.shift)) }

// start writes the first packet of the sequence and, where the capture knows it, the wall clock.
func (t *trace) start() {
	o := t.out
	o.packet = appendUint(o.packet, packetSequence, sequence)
	o.packet = appendUint(o.packet, packetFlags, flagCleared)
	o.packet = appendUint(o.packet, packetFirst, 1)
	t.emit()
	if t.p.SessionStartUnixNs <= 0 || t.p.SessionStartUnixNs > math.MaxInt64-t.shift {
		return
	}
	clock := func(id, ns uint64) {
		o.scratch = appendUint(o.scratch[:0], clockID, id)
		o.scratch = appendUint(o.scratch, clockTime, ns)
		o.event = appendBytes(o.event, clockOfSnapshot, o.scratch)
	}
	o.event = o.event[:0]
	clock(clockBoottime, t.time(0))
	clock(clockRealtime, uint64(t.p.SessionStartUnixNs))
	o.packet = appendUint(o.packet, packetSequence, sequence)
	o.packet = appendUint(o.packet, packetTimestamp, t.time(0))
	o.packet = appendBytes(o.packet, packetClockSnapshot, o.event)
	t.emit()
}

func (t *trace) emit() {
	t.out.emit()
	t.counts.Packets++
}

// internTable remembers which names were written. Strings of the profile have their id + 1, derived ones follow.
type internTable struct {
	seen    []uint64 // bits by string id
	derived map[string]uint64
	base    uint64
}

func newInternTable(n int) internTable {
	return internTable{make([]uint64, n/64+1), map[string]uint64{}, uint64(n) + 1}
}

// of returns the id of a string of the profile, and whether it must be written now.
func (x *internTable) of(id profile.StringID) (iid uint64, fresh bool) {
	w, b := id/64, uint64(1)<<(id%64)
	fresh = x.seen[w]&b == 0
	x.seen[w] |= b
	return uint64(id) + 1, fresh
}

func (x *internTable) text(s string) (iid uint64, fresh bool) {
	iid, ok := x.derived[s]
	if !ok {
		iid = x.base + uint64(len(x.derived))
		x.derived[s] = iid
	}
	return iid, !ok
}

// intern adds an entry to the packet's interned data.
func (t *trace) intern(field protowire.Number, iid uint64, s string) {
	o := t.out
	o.scratch = appendUint(o.scratch[:0], 1, iid)
	o.scratch = appendText(o.scratch, 2, clean(s))
	o.intern = appendBytes(o.intern, field, o.scratch)
}

// name is an event's name: a string of the profile, or text of its own where text is not empty.
type name struct {
	id   profile.StringID
	text string
}

func (t *trace) nameID(n name) uint64 {
	if n.text != "" {
		iid, fresh := t.names.text(n.text)
		if fresh {
			t.intern(internedNames, iid, n.text)
		}
		return iid
	}
	iid, fresh := t.names.of(n.id)
	if fresh {
		s := t.p.Strings.At(n.id)
		if s == "" {
			s = "(no name)"
		}
		t.intern(internedNames, iid, s)
	}
	return iid
}

func (t *trace) keyID(s string) uint64 {
	iid, ok := t.keys[s]
	if !ok {
		iid = uint64(len(t.keys)) + 1
		t.keys[s] = iid
		t.intern(internedKeys, iid, s)
	}
	return iid
}

func (t *trace) categoryID(s string) uint64 {
	iid, ok := t.categories[s]
	if !ok {
		iid = uint64(len(t.categories)) + 1
		t.categories[s] = iid
		t.intern(internedCategories, iid, s)
	}
	return iid
}

// annotation is one detail of an event: a number, or a text where isText is set.
type annotation struct {
	key    string
	number int64
	text   name
	isText bool
}

func (t *trace) number(key string, v int64) {
	t.notes = append(t.notes, annotation{key: key, number: v})
}

func (t *trace) detail(key string, v name) {
	t.notes = append(t.notes, annotation{key: key, text: v, isText: true})
}

func (t *trace) annotate() {
	o := t.out
	for _, n := range t.notes {
		key := t.keyID(n.key)
		var body []byte
		if n.isText {
			iid, fresh, s := uint64(0), false, n.text.text
			if s != "" {
				iid, fresh = t.texts.text(s)
			} else {
				iid, fresh = t.texts.of(n.text.id)
				s = t.p.Strings.At(n.text.id)
			}
			if fresh {
				t.intern(internedTexts, iid, s)
			}
			body = appendUint(appendUint(o.scratch[:0], annotationName, key), annotationInText, iid)
		} else {
			body = appendUint(appendUint(o.scratch[:0], annotationName, key), annotationInt, uint64(n.number))
		}
		o.scratch = body
		o.event = appendBytes(o.event, eventAnnotations, body)
	}
	t.notes = t.notes[:0]
}

// event writes the event that t.out.event holds at a time.
func (t *trace) event(ns int64) {
	o := t.out
	o.packet = appendUint(o.packet, packetTimestamp, t.time(ns))
	o.packet = appendUint(o.packet, packetSequence, sequence)
	o.packet = appendUint(o.packet, packetFlags, flagNeeds)
	if len(o.intern) > 0 {
		o.packet = appendBytes(o.packet, packetInterned, o.intern)
		o.intern = o.intern[:0]
	}
	o.packet = appendBytes(o.packet, packetTrackEvent, o.event)
	o.event = o.event[:0]
	t.emit()
}

// begin opens a slice with the notes collected so far. flows are ids that connect it with others.
func (t *trace) begin(track uint64, ns int64, n name, category string, flows func(yield func(uint64))) {
	t.open(track, ns, n, category, typeBegin, flows)
	t.counts.Slices++
}

func (t *trace) instant(track uint64, ns int64, n name, category string) {
	t.open(track, ns, n, category, typeInstant, nil)
	t.counts.Instants++
}

func (t *trace) open(track uint64, ns int64, n name, category string, kind uint64, flows func(yield func(uint64))) {
	o := t.out
	o.event = appendUint(o.event[:0], eventCategories, t.categoryID(category))
	o.event = appendUint(o.event, eventType, kind)
	o.event = appendUint(o.event, eventName, t.nameID(n))
	o.event = appendUint(o.event, eventTrack, track)
	t.annotate()
	if flows != nil {
		flows(func(id uint64) { o.event = appendFixed(o.event, eventFlows, id) })
	}
	t.event(ns)
}

func (t *trace) end(track uint64, ns int64) {
	o := t.out
	o.event = appendUint(o.event[:0], eventType, typeEnd)
	o.event = appendUint(o.event, eventTrack, track)
	t.event(ns)
}

func (t *trace) value(track uint64, ns, v int64) {
	o := t.out
	o.event = appendUint(o.event[:0], eventType, typeCounter)
	o.event = appendUint(o.event, eventTrack, track)
	o.event = appendUint(o.event, eventCounter, uint64(v))
	t.event(ns)
	t.counts.Counters++
}

// track describes a new track and returns its id.
func (t *trace) track(parent uint64, name string, more func(b []byte) []byte) uint64 {
	t.uuid++
	o := t.out
	o.event = appendUint(o.event[:0], trackUUID, t.uuid)
	if parent != 0 {
		o.event = appendUint(o.event, trackParent, parent)
	}
	if name != "" {
		o.event = appendText(o.event, trackName, clean(name))
	}
	if more != nil {
		o.event = more(o.event)
	}
	o.packet = appendUint(o.packet, packetSequence, sequence)
	o.packet = appendBytes(o.packet, packetDescriptor, o.event)
	o.event = o.event[:0]
	t.emit()
	t.counts.Tracks++
	return t.uuid
}

// ranked makes siblings appear in the order of their ranks.
func ranked(rank int) func([]byte) []byte {
	return func(b []byte) []byte { return appendUint(b, trackRank, uint64(rank)) }
}

func ordered(b []byte) []byte { return appendUint(b, trackOrdering, orderingExplicit) }

// counter describes a counter track.
func (t *trace) counter(parent uint64, name, unit string, rank int) uint64 {
	return t.track(parent, name, func(b []byte) []byte {
		var c []byte
		switch unit {
		case "bytes":
			c = appendUint(c, counterUnit, unitBytes)
		case "", "count":
			c = appendUint(c, counterUnit, unitCount)
		default:
			c = appendText(c, counterUnitName, unit)
		}
		return appendUint(appendBytes(b, trackCounter, c), trackRank, uint64(rank))
	})
}

// process returns the track of a process.
func (t *trace) process(i int32) uint64 {
	if t.processTrack[i] != 0 {
		return t.processTrack[i]
	}
	p := &t.p.Processes[i]
	title := fmt.Sprintf("%s %d", p.Name, p.PID)
	t.processTrack[i] = t.track(0, "", func(b []byte) []byte {
		if p.PID < 0 || p.PID > math.MaxInt32 {
			return appendText(b, trackName, clean(strings.TrimSpace("process "+title)))
		}
		d := appendUint(nil, processPID, uint64(p.PID))
		if p.Name != "" {
			d = appendText(d, processName, clean(p.Name))
		}
		return appendBytes(b, trackProcess, d)
	})
	return t.processTrack[i]
}

// thread returns the track of a thread.
func (t *trace) thread(i int32) uint64 {
	if t.threadTrack[i] != 0 {
		return t.threadTrack[i]
	}
	th := &t.p.Threads[i]
	p := &t.p.Processes[th.Process]
	parent := t.process(th.Process)
	regular := p.PID >= 0 && p.PID <= math.MaxInt32 && th.TID >= 0 && th.TID <= math.MaxInt32
	t.threadTrack[i] = t.track(parent, "", func(b []byte) []byte {
		if !regular {
			return appendText(b, trackName, clean(strings.TrimSpace(fmt.Sprintf("thread %d %s", th.TID, th.Name))))
		}
		d := appendUint(appendUint(nil, threadPID, uint64(p.PID)), threadTID, uint64(th.TID))
		if th.Name != "" {
			d = appendText(d, threadName, clean(th.Name))
		}
		return appendBytes(b, trackThread, d)
	})
	return t.threadTrack[i]
}

// until is the end of a row; one that was still open ends nowhere.
func until(start, dur int64) int64 {
	if dur == profile.Open {
		return math.MaxInt64
	}
	return start + dur
}
