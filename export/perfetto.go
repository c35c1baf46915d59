package export

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

// Field numbers of Perfetto's trace protobuf (protos/perfetto/trace in its repository), as far as they are written here.
const (
	traceField = 1

	pktTimestamp    = 8
	pktSequence     = 10
	pktTrackEvent   = 11
	pktInterned     = 12
	pktFlags        = 13
	pktTrack        = 60
	flagCleared     = 1
	flagNeedsState  = 2
	trackUUID       = 1
	trackName       = 2
	trackProcess    = 3
	trackThread     = 4
	trackParent     = 5
	trackCounter    = 8
	trackOrdering   = 11
	trackRank       = 12
	orderExplicit   = 3
	processPID      = 1
	processName     = 6
	threadPID       = 1
	threadTID       = 2
	threadName      = 5
	counterUnitName = 6

	eventCategoryIID = 3
	eventDebug       = 4
	eventType        = 9
	eventNameIID     = 10
	eventTrack       = 11
	eventCounterInt  = 30
	eventFlow        = 47
	eventFlowEnd     = 48
	typeBegin        = 1
	typeEnd          = 2
	typeInstant      = 3
	typeCounter      = 4

	internCategory = 1
	internName     = 2
	internDebug    = 3
	internedIID    = 1
	internedName   = 2

	debugNameIID = 1
	debugInt     = 4
	debugString  = 6
)

// PerfettoCounts says what was written, so that it can be checked against the profile.
type PerfettoCounts struct {
	Packets, Slices, Instants, Counters, Flows, Tracks int
}

// Perfetto writes the trace: one process track per operating-system process with its threads (API calls, ranges, OS and
// library calls), one per GPU with its streams, steps with their batch, lifecycle, hardware counters and the batch size.
// A flow leads from each launch to the first work that it launched. Work that overlaps on one stream, as the branches of a
// CUDA graph do, goes to further tracks of that stream, because slices of one track must nest.
func Perfetto(w io.Writer, a *step.Analysis) (PerfettoCounts, error) {
	p := &perfetto{w: bufio.NewWriterSize(w, 1<<20), a: a, names: map[string]uint64{}, categories: map[string]uint64{}, debugs: map[string]uint64{}}
	p.offset = -min(0, earliest(a.P))
	p.first()
	p.lifecycle()
	p.steps()
	p.devices()
	p.host()
	p.counters()
	if p.err == nil {
		p.err = p.w.Flush()
	}
	return p.counts, p.err
}

type perfetto struct {
	w      *bufio.Writer
	a      *step.Analysis
	err    error
	counts PerfettoCounts
	offset int64 // added to all times: Perfetto has no negative ones

	names, categories, debugs map[string]uint64
	pending                   []byte // interned data of the next packet
	uuid                      uint64
	buf, inner                []byte
}

// earliest returns the first time of the profile, which is negative where events precede the capture range.
func earliest(p *profile.Profile) int64 {
	first := p.Window.Start
	for _, start := range [][]int64{p.Kernels.Start, p.Copies.Start, p.Memsets.Start, p.Calls.Start, p.Ranges.Start, p.GraphTraces.Start,
		p.OSCalls.Start, p.LibCalls.Start} {
		if len(start) > 0 {
			first = min(first, start[0])
		}
	}
	for _, c := range p.Counters {
		if len(c.Times) > 0 {
			first = min(first, c.Times[0])
		}
	}
	return first
}

func (p *perfetto) packet(body []byte) {
	if p.err != nil {
		return
	}
	if len(p.pending) > 0 {
		body = bytesField(body, pktInterned, p.pending)
		p.pending = p.pending[:0]
	}
	body = varintField(body, pktSequence, 1)
	p.buf = protowire.AppendTag(p.buf[:0], traceField, protowire.BytesType)
	p.buf = protowire.AppendBytes(p.buf, body)
	_, p.err = p.w.Write(p.buf)
	p.counts.Packets++
}

func varintField(b []byte, n protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
}

func bytesField(b []byte, n protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
}

func stringField(b []byte, n protowire.Number, v string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), v)
}

// first opens the sequence: interned names are valid from here on.
func (p *perfetto) first() { p.packet(varintField(nil, pktFlags, flagCleared)) }

func (p *perfetto) intern(table map[string]uint64, field protowire.Number, name string) uint64 {
	id, ok := table[name]
	if !ok {
		id = uint64(len(table) + 1)
		table[name] = id
		entry := stringField(varintField(nil, internedIID, id), internedName, name)
		p.pending = bytesField(p.pending, field, entry)
	}
	return id
}

// track declares a track and returns its id.
func (p *perfetto) track(parent uint64, name string, rank int, more func([]byte) []byte) uint64 {
	p.uuid++
	id := p.uuid
	d := varintField(nil, trackUUID, id)
	if name != "" {
		d = stringField(d, trackName, name)
	}
	if parent != 0 {
		d = varintField(d, trackParent, parent)
	}
	d = varintField(d, trackOrdering, orderExplicit)
	d = varintField(d, trackRank, uint64(rank))
	if more != nil {
		d = more(d)
	}
	p.packet(bytesField(nil, pktTrack, d))
	p.counts.Tracks++
	return id
}

func (p *perfetto) process(pid int64, name string, rank int) uint64 {
	return p.track(0, "", rank, func(d []byte) []byte {
		return bytesField(d, trackProcess, stringField(varintField(nil, processPID, uint64(int32(pid))), processName, name))
	})
}

// note is one argument of a slice.
type note struct {
	key  string
	num  int64
	text string // used when not empty
}

// slice is what begins on a track.
type slice struct {
	name, category string
	flow, flowEnd  uint64 // 0 = none
	notes          []note
}

func (p *perfetto) event(track uint64, ts int64, kind uint64, s *slice) {
	e := varintField(p.inner[:0], eventType, kind)
	e = varintField(e, eventTrack, track)
	if s != nil {
		e = varintField(e, eventNameIID, p.intern(p.names, internName, s.name))
		e = varintField(e, eventCategoryIID, p.intern(p.categories, internCategory, s.category))
		if s.flow != 0 {
			e = protowire.AppendFixed64(protowire.AppendTag(e, eventFlow, protowire.Fixed64Type), s.flow)
			p.counts.Flows++
		}
		if s.flowEnd != 0 {
			e = protowire.AppendFixed64(protowire.AppendTag(e, eventFlowEnd, protowire.Fixed64Type), s.flowEnd)
		}
		for _, n := range s.notes {
			d := varintField(nil, debugNameIID, p.intern(p.debugs, internDebug, n.key))
			if n.text != "" {
				d = stringField(d, debugString, n.text)
			} else {
				d = varintField(d, debugInt, uint64(n.num))
			}
			e = bytesField(e, eventDebug, d)
		}
	}
	p.inner = e
	body := varintField(nil, pktTimestamp, uint64(ts+p.offset))
	body = varintField(body, pktFlags, flagNeedsState)
	p.packet(bytesField(body, pktTrackEvent, e))
}

// nested writes slices that nest properly, in order of start, onto one track; those that overlap without nesting go to
// further tracks that more makes.
type lanes struct {
	p     *perfetto
	lanes []lane
	more  func(n int) uint64
	nest  bool // slices may lie within others
}

type lane struct {
	track uint64
	open  []int64 // ends of the slices that are open, outermost first
}

func (l *lanes) add(s interval.Span, what *slice) {
	for i := range l.lanes {
		n := &l.lanes[i]
		for k := len(n.open); k > 0 && n.open[k-1] <= s.Start; k-- {
			l.p.event(n.track, n.open[k-1], typeEnd, nil)
			n.open = n.open[:k-1]
		}
	}
	at := -1
	for i := range l.lanes {
		n := &l.lanes[i]
		if len(n.open) == 0 || l.nest && n.open[len(n.open)-1] >= s.End {
			at = i
			break
		}
	}
	if at < 0 {
		l.lanes = append(l.lanes, lane{track: l.more(len(l.lanes))})
		at = len(l.lanes) - 1
	}
	n := &l.lanes[at]
	l.p.event(n.track, s.Start, typeBegin, what)
	l.p.counts.Slices++
	n.open = append(n.open, s.End)
}

func (l *lanes) close() {
	for i := range l.lanes {
		n := &l.lanes[i]
		for k := len(n.open); k > 0; k-- {
			l.p.event(n.track, n.open[k-1], typeEnd, nil)
		}
		n.open = nil
	}
}

func (p *perfetto) lifecycle() {
	if len(p.a.Lifecycle) == 0 {
		return
	}
	parent := p.track(0, "server lifecycle", 0, nil)
	l := lanes{p: p, nest: true, more: func(int) uint64 { return p.track(parent, "phase", 0, nil) }}
	for _, x := range p.a.Lifecycle {
		l.add(interval.Span{Start: x.Start, End: x.Start + x.Dur}, &slice{name: x.Phase, category: "lifecycle", notes: []note{{key: "source", text: x.Source}}})
	}
	l.close()
}

func (p *perfetto) steps() {
	for ri := range p.a.Ranks {
		r := &p.a.Ranks[ri]
		if len(r.Steps) == 0 {
			continue
		}
		name := fmt.Sprintf("steps of rank %d", ri)
		track := p.track(0, name, 1, nil)
		batch := p.counterTrack(track, "requests in the step", "requests")
		for _, i := range r.Steps {
			s := &p.a.Steps[i]
			text := s.Phase.String()
			if n := s.Batch.Requests(); n >= 0 {
				text = fmt.Sprintf("%s %d", text, n)
				p.counter(batch, s.GPU.Start, n)
			}
			notes := []note{{key: "step", num: int64(s.Index)}, {key: "prefill_requests", num: s.Batch.PrefillRequests}, {key: "prefill_tokens", num: s.Batch.PrefillTokens},
				{key: "decode_requests", num: s.Batch.DecodeRequests}, {key: "decode_tokens", num: s.Batch.DecodeTokens}, {key: "gpu_busy_ns", num: s.Budget.Busy()}}
			for part, ns := range s.Budget {
				if ns != 0 {
					notes = append(notes, note{key: step.Part(part).String() + "_ns", num: ns})
				}
			}
			p.event(track, s.GPU.Start, typeBegin, &slice{name: text, category: "step", notes: notes})
			p.event(track, s.GPU.End, typeEnd, nil)
			p.counts.Slices++
		}
	}
}

// devices writes the streams of each GPU.
func (p *perfetto) devices() {
	a, prof := p.a, p.a.P
	type key struct{ device, queue int32 }
	ops := map[key][]step.Op{}
	var order []key
	for ri := range a.Ranks {
		for _, o := range a.Ranks[ri].Ops {
			q := a.QueueOf(o)
			k := key{prof.Queues[q].Device, q}
			if _, ok := ops[k]; !ok {
				order = append(order, k)
			}
			ops[k] = append(ops[k], o)
		}
	}
	slices.SortFunc(order, func(x, y key) int {
		qx, qy := prof.Queues[x.queue], prof.Queues[y.queue]
		return cmp.Or(cmp.Compare(x.device, y.device), cmp.Compare(qx.Process, qy.Process), cmp.Compare(qx.Stream, qy.Stream), cmp.Compare(x.queue, y.queue))
	})
	steps := a.StepOfKernel()
	parents := map[int32]uint64{}
	seen := map[int32]bool{} // calls whose flow has ended
	for rank, k := range order {
		d := prof.Devices[k.device]
		parent, ok := parents[k.device]
		if !ok {
			name := fmt.Sprintf("GPU %d", d.ID)
			if d.Name != "" {
				name += " " + d.Name
			}
			parent = p.track(0, name, 2, nil)
			parents[k.device] = parent
		}
		label := fmt.Sprintf("stream %d", prof.Queues[k.queue].Stream)
		l := lanes{p: p, more: func(n int) uint64 {
			name := label
			if n > 0 {
				name = fmt.Sprintf("%s (%d)", label, n+1)
			}
			return p.track(parent, name, rank, nil)
		}}
		for _, o := range ops[k] {
			l.add(a.Span(o), p.deviceSlice(o, steps, seen))
		}
		l.close()
	}
}

func (p *perfetto) deviceSlice(o step.Op, steps []int32, seen map[int32]bool) *slice {
	a, prof, i := p.a, p.a.P, o.Index()
	s := &slice{category: a.PartOf(o).String()}
	switch o.Kind() {
	case step.OpKernel:
		c := prof.Configs[prof.Kernels.Config[i]]
		s.name = prof.FuncName(i)
		s.notes = []note{{key: "stage", text: a.Stage[i].String()}, {key: "grid", text: fmt.Sprint(c.Grid)}, {key: "block", text: fmt.Sprint(c.Block)},
			{key: "row", num: prof.Kernels.Row.At(i)}}
		if r := a.Role[i]; r != kernel.NoRole {
			s.notes = append(s.notes, note{key: "role", text: r.String()})
		}
		if a.Layer[i] >= 0 {
			s.notes = append(s.notes, note{key: "layer", num: int64(a.Layer[i])})
		}
		if n := steps[i]; n != profile.None {
			s.notes = append(s.notes, note{key: "step", num: int64(a.Steps[n].Index)})
		}
	case step.OpCopy:
		s.name = "copy"
		s.notes = []note{{key: "bytes", num: prof.Copies.Bytes[i]}, {key: "row", num: prof.Copies.Row.At(i)}}
	case step.OpMemset:
		s.name = "memset"
		s.notes = []note{{key: "bytes", num: prof.Memsets.Bytes[i]}, {key: "row", num: prof.Memsets.Row.At(i)}}
	default:
		s.name = fmt.Sprintf("graph %d", prof.GraphTraces.Graph[i])
		s.notes = []note{{key: "row", num: prof.GraphTraces.Row.At(i)}}
	}
	if c := a.CallOf(o); c != profile.None && !seen[c] {
		seen[c] = true
		s.flowEnd = uint64(c) + 1
	}
	return s
}
