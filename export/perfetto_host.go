package export

import (
	"fmt"
	"math"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"

	"google.golang.org/protobuf/encoding/protowire"
)

// host writes processes and threads: annotations, API calls, library and OS calls, each kind on tracks of its own, because
// they do not nest in each other.
func (p *perfetto) host() {
	prof := p.a.P
	launched := make([]bool, prof.Calls.Len())
	for ri := range p.a.Ranks {
		for _, o := range p.a.Ranks[ri].Ops {
			if c := p.a.CallOf(o); c != profile.None {
				launched[c] = true
			}
		}
	}
	for pi, proc := range prof.Processes {
		name := proc.Name
		if name == "" {
			name = fmt.Sprintf("process %d", proc.PID)
		}
		var parent uint64
		for ti, th := range prof.Threads {
			if th.Process != int32(pi) {
				continue
			}
			if parent == 0 {
				parent = p.process(proc.PID, name, 10+pi)
			}
			p.thread(parent, int32(ti), proc.PID, launched)
		}
	}
}

func (p *perfetto) thread(parent uint64, ti int32, pid int64, launched []bool) {
	prof := p.a.P
	th := prof.Threads[ti]
	made := uint64(0)
	thread := func() uint64 {
		if made == 0 {
			made = p.track(parent, "", int(ti), func(d []byte) []byte {
				t := varintField(varintField(nil, threadPID, uint64(int32(pid))), threadTID, uint64(int32(th.TID)))
				if th.Name != "" {
					t = stringField(t, threadName, th.Name)
				}
				return bytesField(d, trackThread, t)
			})
		}
		return made
	}
	kind := func(label string, rank int) lanes {
		return lanes{p: p, nest: true, more: func(n int) uint64 {
			name := label
			if n > 0 {
				name = fmt.Sprintf("%s (%d)", label, n+1)
			}
			return p.track(thread(), name, rank, nil)
		}}
	}
	ranges := kind("annotations", 0)
	var marks uint64
	for i, t := range prof.Ranges.Thread {
		if t != ti {
			continue
		}
		s := &slice{name: prof.Strings.At(prof.Ranges.Text[i]), category: "annotation", notes: []note{{key: "row", num: prof.Ranges.Row.At(i)}}}
		if prof.Ranges.Kind[i] == profile.Mark {
			if marks == 0 {
				marks = p.track(thread(), "marks", 1, nil)
			}
			p.event(marks, prof.Ranges.Start[i], typeInstant, s)
			p.counts.Instants++
			continue
		}
		end := prof.Window.End
		if d := prof.Ranges.Dur[i]; d != profile.Open {
			end = prof.Ranges.Start[i] + d
		}
		ranges.add(interval.Span{Start: prof.Ranges.Start[i], End: max(end, prof.Ranges.Start[i])}, s)
	}
	ranges.close()
	calls := kind("API calls", 2)
	for i, t := range prof.Calls.Thread {
		if t != ti {
			continue
		}
		name := prof.CallName(i)
		s := &slice{name: kernel.StripAPIVersion(name), category: "api." + kernel.Library(name),
			notes: []note{{key: "correlation", num: int64(prof.Calls.Correlation[i])}, {key: "result", num: int64(prof.Calls.Result[i])}, {key: "row", num: prof.Calls.Row.At(i)}}}
		if launched[i] {
			s.flow = uint64(i) + 1
		}
		calls.add(interval.Span{Start: prof.Calls.Start[i], End: prof.Calls.End(i)}, s)
	}
	calls.close()
	for rank, x := range []struct {
		label string
		spans *profile.Spans
	}{{"library calls", &prof.LibCalls}, {"OS calls", &prof.OSCalls}, {"profiler overhead", &prof.Overheads}} {
		l := kind(x.label, 3+rank)
		for i, t := range x.spans.Thread {
			if t == ti {
				l.add(interval.Span{Start: x.spans.Start[i], End: x.spans.Start[i] + x.spans.Dur[i]},
					&slice{name: prof.Strings.At(x.spans.Name[i]), category: x.label, notes: []note{{key: "row", num: x.spans.Row.At(i)}}})
			}
		}
		l.close()
	}
}

func (p *perfetto) counterTrack(parent uint64, name, unit string) uint64 {
	return p.track(parent, name, 100, func(d []byte) []byte { return bytesField(d, trackCounter, stringField(nil, counterUnitName, unit)) })
}

func (p *perfetto) counter(track uint64, ts, v int64) {
	e := varintField(p.inner[:0], eventType, typeCounter)
	e = varintField(e, eventTrack, track)
	e = protowire.AppendVarint(protowire.AppendTag(e, eventCounterInt, protowire.VarintType), uint64(v))
	p.inner = e
	body := varintField(nil, pktTimestamp, uint64(ts+p.offset))
	body = varintField(body, pktFlags, flagNeedsState)
	p.packet(bytesField(body, pktTrackEvent, e))
	p.counts.Counters++
}

// counters writes the sampled hardware metrics.
func (p *perfetto) counters() {
	prof := p.a.P
	parents := map[int32]uint64{}
	for _, c := range prof.Counters {
		parent, ok := parents[c.Device]
		if !ok {
			name := "GPU metrics"
			if c.Device != profile.None {
				name = fmt.Sprintf("GPU %d metrics", prof.Devices[c.Device].ID)
			}
			parent = p.track(0, name, 3, nil)
			parents[c.Device] = parent
		}
		t := p.counterTrack(parent, c.Name, c.Unit)
		last := int64(math.MinInt64)
		for i, ts := range c.Times {
			// A counter holds its value until the next sample, so an unchanged one says nothing new; the last is kept.
			if c.Values[i] == last && i+1 < len(c.Times) {
				continue
			}
			last = c.Values[i]
			p.counter(t, ts, last)
		}
	}
}
