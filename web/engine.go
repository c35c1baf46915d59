package web

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/stepscope/stepscope/align"
	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/serving"
)

// item is an event that is no row of the profile.
type item struct {
	span  interval.Span
	tag   uint8
	text  string
	facts []Fact
}

// itemSource is a list of items, sorted by start.
type itemSource struct {
	kind  string // what one item is
	items []item
}

func (s *itemSource) at(id uint32) (interval.Span, uint8) { return s.items[id].span, s.items[id].tag }

func (s *itemSource) label(id uint32) (uint32, string) { return id, s.items[id].text }

func (s *itemSource) describe(_ *Model, d *Detail, id uint32) {
	d.Kind, d.Facts = s.kind, s.items[id].facts
}

// itemLane makes a lane of items in any order.
func (m *Model) itemLane(l *lane, kind string, items []item, rows int) *lane {
	slices.SortStableFunc(items, func(x, y item) int { return cmp.Compare(x.span.Start, y.span.Start) })
	p := pack(len(items), 1, rows, func(i int) (int32, uint32, interval.Span) {
		if s := items[i].span; s.Start < m.end && s.End >= m.origin {
			return 0, uint32(i), s
		}
		return -1, 0, interval.Span{}
	})
	l.fill(&itemSource{kind, items}, len(m.sets[l.set]), p[0])
	return l
}

// lifecycleGroup shows what the capture itself tells of the server's life.
func (m *Model) lifecycleGroup() *group {
	var items []item
	for _, ph := range m.a.Lifecycle {
		items = append(items, item{interval.Span{Start: ph.Start, End: ph.Start + ph.Dur}, lifecycleTag(ph.Phase), ph.Phase,
			[]Fact{{"Seen from", ph.Source}}})
	}
	g := &group{key: "server", title: "Server", open: true}
	l := &lane{key: "lifecycle", title: "Lifecycle", hint: "phases that the capture shows", set: setLifecycle, height: heightBand, open: true, role: roleLifecycle}
	if m.itemLane(l, "lifecycle phase", items, 6); l.count > 0 {
		g.lanes = append(g.lanes, l)
	}
	if l := m.logPhaseLane(); l != nil {
		g.lanes = append(g.lanes, l)
	}
	return g
}

// logPhaseLane shows the phases of the server's log that fall into the shown time.
func (m *Model) logPhaseLane() *lane {
	base, ok := m.logStart()
	if !ok {
		return nil
	}
	var items []item
	for _, ph := range m.run.Log.Phases {
		c, ok := chipPhases[ph.ID]
		if !ok || ph.AtNS < 0 || ph.DurNS < 0 {
			continue
		}
		start := base + ph.AtNS
		items = append(items, item{interval.Span{Start: start, End: start + ph.DurNS}, lifecycleTag(c.category), c.label,
			[]Fact{{"Seen from", ph.Source.String()}, {"Exact to", "the second, as the log's stamps"}}})
	}
	l := &lane{key: "log-lifecycle", title: "Lifecycle in the log", hint: "to the second", set: setLifecycle, height: heightBand, open: true}
	if m.itemLane(l, "lifecycle phase", items, 6); l.count == 0 {
		return nil
	}
	return l
}

// logStart returns the capture's time at the first stamp of the log; ok is false where the two clocks do not relate.
func (m *Model) logStart() (int64, bool) {
	if m.run == nil || m.run.Log == nil || !m.run.LogStart.Known {
		return 0, false
	}
	return m.captureTime(m.run.LogStart.Value)
}

// serverGroups shows what the server and its clients recorded beside the profile, where it can be placed in time.
func (m *Model) serverGroups() []*group {
	if m.run == nil {
		return nil
	}
	g := &group{key: "requests", title: "Requests and engine", hint: "from spans and the server's log", open: true}
	al := align.Align(m.a, m.run)
	for _, n := range al.Notes {
		m.note("%s", n)
	}
	if l := m.requestLane(al); l != nil {
		g.lanes = append(g.lanes, l)
	}
	if l := m.iterationLane(al); l != nil {
		g.lanes = append(g.lanes, l)
	}
	g.lanes = append(g.lanes, m.logCurves()...)
	return []*group{g}
}

// captureTime turns wall-clock time into the capture's; ok is false where the capture does not record the relation.
func (m *Model) captureTime(unixNs int64) (int64, bool) {
	if m.p.SessionStartUnixNs == 0 {
		return 0, false
	}
	return unixNs - m.p.SessionStartUnixNs, true
}

// requestLane shows each request as queue time, prefill and decode.
func (m *Model) requestLane(al *align.Alignment) *lane {
	type placed struct {
		r *align.Request
		s interval.Span
	}
	var in []placed
	for i := range al.Requests {
		r := &al.Requests[i]
		s := interval.Span{Start: r.StartNs, End: m.end}
		if r.EndNs != nil {
			s.End = max(s.Start, *r.EndNs)
		}
		if s.Start < m.end && s.End > m.origin {
			in = append(in, placed{r, s})
		}
	}
	if len(in) == 0 {
		return nil
	}
	slices.SortStableFunc(in, func(x, y placed) int { return cmp.Compare(x.s.Start, y.s.Start) })
	// Whole requests find their rows first, then each is drawn in parts.
	p := pack(len(in), 1, maxRequestRows, func(i int) (int32, uint32, interval.Span) { return 0, uint32(i), in[i].s })
	src := &itemSource{kind: "request"}
	l := &lane{key: "requests", title: "Requests", hint: "queue, prefill and decode of each, within " + duration(al.RequestErrNs), set: setRequest,
		height: heightSmall, open: true, role: roleRequests, hidden: p[0].hidden}
	for _, ids := range p[0].ids {
		var own []uint32
		for _, id := range ids {
			for _, part := range requestParts(in[id].r, in[id].s) {
				own = append(own, uint32(len(src.items)))
				src.items = append(src.items, part)
			}
		}
		l.addRow(&row{src: src, ids: own, n: len(own)}, len(requestCategories))
	}
	l.count = len(in)
	return l
}

// requestParts splits a request at the instants that were recorded.
func requestParts(r *align.Request, s interval.Span) []item {
	since := func(label string, t *int64) Fact {
		if t == nil {
			return Fact{label, notRecorded}
		}
		return Fact{label, duration(*t - r.StartNs)}
	}
	count := func(label string, n int64) Fact {
		if n < 0 {
			return Fact{label, notRecorded}
		}
		return Fact{label, strconv.FormatInt(n, 10)}
	}
	facts := []Fact{since("Whole request", r.EndNs), since("Queue time", r.ScheduledNs), since("Time to first token", r.FirstTokenNs),
		count("Prompt tokens", r.PromptTokens), count("Output tokens", r.OutputTokens)}
	text := "request"
	if r.ID != "" {
		text += " " + r.ID
	}
	var out []item
	from := s.Start
	// until adds the part up to t, if t was recorded and lies in what is left of the request.
	until := func(t *int64, tag uint8) {
		if t != nil && *t > from && *t <= s.End {
			out = append(out, item{interval.Span{Start: from, End: *t}, tag, text, facts})
			from = *t
		}
	}
	until(r.ScheduledNs, requestQueue)
	until(r.FirstTokenNs, requestPrefill)
	rest := uint8(requestRunning)
	if r.FirstTokenNs != nil {
		rest = requestDecode
	}
	until(&s.End, rest)
	return out
}

// iterationLane shows the iterations of the engine's log where the steps are that they were matched to: the log's own
// stamps have whole seconds.
func (m *Model) iterationLane(al *align.Alignment) *lane {
	if al.MatchedIterations == 0 {
		return nil
	}
	var items []item
	for k, i := range al.Iteration {
		if i < 0 {
			continue
		}
		it, st := &m.run.Log.Iterations[i], &m.a.Steps[m.a.Primary[k]]
		host := st.Marker
		if host.Empty() {
			host = st.GPU
		}
		items = append(items, item{host, uint8(st.Phase), fmt.Sprintf("iteration %d", it.Index), []Fact{
			{"Batch", fmt.Sprintf("%d prefill requests (%d tokens), %d decode requests (%d tokens)", it.PrefillRequests, it.PrefillTokens, it.DecodeRequests, it.DecodeTokens)},
			{"Elapsed, says the log", duration(it.ElapsedNS)}, {"On the GPU", duration(st.Wall())}, {"Line of the log", strconv.Itoa(it.Line)},
		}})
	}
	l := &lane{key: "log-iterations", title: "Log iterations", hint: "of the server's log, matched to the steps by their batches", set: setPhase, height: heightBand, open: true}
	return m.itemLane(l, "iteration of the engine's log", items, 4)
}

// logCurves shows the engine's periodic statistics that fall into the shown time.
func (m *Model) logCurves() []*lane {
	base, ok := m.logStart()
	if !ok {
		return nil
	}
	byEngine := map[int][]*serving.StatLine{}
	var engines []int
	for i := range m.run.Log.Stats {
		s := &m.run.Log.Stats[i]
		if t := base + s.AtNS; s.AtNS < 0 || t < m.origin || t >= m.end {
			continue
		}
		if byEngine[s.Engine] == nil {
			engines = append(engines, s.Engine)
		}
		byEngine[s.Engine] = append(byEngine[s.Engine], s)
	}
	slices.Sort(engines)
	var out []*lane
	for _, e := range engines {
		for _, c := range []struct {
			key, title, unit string
			value            func(*serving.StatLine) float64
		}{
			{"running", "Requests running", "count", func(s *serving.StatLine) float64 { return float64(s.Running) }},
			{"waiting", "Requests waiting", "count", func(s *serving.StatLine) float64 { return float64(s.Waiting) }},
			{"kv", "KV cache in use", unitPercent, func(s *serving.StatLine) float64 { return 100 * s.KVUsage }},
		} {
			var times []int64
			var values []float64
			for _, s := range byEngine[e] {
				if v := c.value(s); v >= 0 {
					times, values = append(times, base+s.AtNS), append(values, v)
				}
			}
			if len(times) == 0 || !slices.IsSorted(times) {
				continue
			}
			curve := newCurve(c.unit, times, func(i int) float64 { return values[i] })
			curve.hold = true
			out = append(out, &lane{key: fmt.Sprintf("log-%s%d", c.key, e), title: c.title, hint: "server's log, to the second", set: setCurve, curve: curve,
				count: len(times), height: heightCurve, open: true})
		}
	}
	return out
}

// lifeChip is one stretch of the server's life as its log tells it, in order; not to the scale of the timeline.
type lifeChip struct {
	Phase   string `json:"phase"`
	Label   string `json:"label"`
	Color   string `json:"color"`
	DurNs   int64  `json:"dur_ns"` // -1 = not recorded
	Source  string `json:"source"`
	Capture bool   `json:"capture,omitempty"` // the time that the profile shows
}

// chipPhases maps phases of the log to lifecycle categories; those inside another phase are left out.
var chipPhases = map[string]struct{ category, label string }{
	serving.PhaseStart: {"start-up", "process start"}, serving.PhaseLoad: {"load", "model load"},
	serving.PhaseCompile: {"compile", "torch.compile"}, serving.PhaseProfileRun: {"warm-up", "profile run"},
	serving.PhaseGraphCapture: {"graph-capture", "graph capture"}, serving.PhaseWarmUp: {"warm-up", "warm-up"},
	serving.PhaseAPIStart: {"start-up", "API start"},
}

// lifeChips tells the server's life from its log: start-up phases, then serving with the capture in it.
func (m *Model) lifeChips() []lifeChip {
	if m.run == nil || m.run.Log == nil {
		return nil
	}
	log := m.run.Log
	color := func(category string) string { return lifecycleCategories[lifecycleTag(category)].Color }
	var out []lifeChip
	for _, ph := range log.Phases {
		c, ok := chipPhases[ph.ID]
		if !ok {
			continue
		}
		out = append(out, lifeChip{c.category, c.label, color(c.category), ph.DurNS, clean(ph.Source.String(), maxLabel), false})
	}
	ready := int64(-1)
	if ph := log.Phase(serving.PhaseReady); ph != nil {
		ready = ph.AtNS
	}
	if ready < 0 && len(out) == 0 {
		return nil
	}
	from := ready
	serve := func(until int64, source string) {
		d := int64(-1)
		if from >= 0 && until >= from {
			d = until - from
		}
		if d != 0 {
			out = append(out, lifeChip{"serving", "serving", color("serving"), d, source, false})
		}
	}
	started, stopped := profile.None, profile.None
	for i, c := range log.Profiling {
		if c.What == "starting" || c.What == "started" && started == profile.None {
			started = int32(i)
		}
		if c.What == "stopped" || c.What == "stopping" && stopped == profile.None {
			stopped = int32(i)
		}
	}
	end := log.EndNS
	if ph := log.Phase(serving.PhaseShutdown); ph != nil && ph.AtNS >= 0 {
		end = ph.AtNS
	}
	capture := lifeChip{"serving", "this capture", color("serving"), m.home().Dur(), "window of the profile", true}
	if started == profile.None || log.Profiling[started].AtNS < 0 {
		if ready >= 0 {
			serve(end, "log, from ready on")
		}
		if m.markRecorded(out, ready) {
			return out
		}
		capture.Label = "this capture (when is not in the log)"
		return append(out, capture)
	}
	begin := log.Profiling[started]
	serve(begin.AtNS, "log, from ready to the profiler's start")
	out = append(out, capture)
	from = begin.AtNS
	if stopped != profile.None && log.Profiling[stopped].AtNS >= begin.AtNS {
		from = log.Profiling[stopped].AtNS
	}
	serve(end, "log, after the profiler")
	return out
}

// markRecorded marks the phases during which the capture was recorded, where its clock and the log's relate. The last
// chip is serving, from ready on, if the log tells when that was.
func (m *Model) markRecorded(chips []lifeChip, ready int64) bool {
	base, ok := m.logStart()
	if !ok {
		return false
	}
	n := 0
	mark := func(c *lifeChip, at int64) {
		if at >= 0 && c.DurNs >= 0 && (interval.Span{Start: base + at, End: base + at + max(1, c.DurNs)}).Overlaps(m.home()) {
			c.Capture = true
			n++
		}
	}
	i := 0
	for _, ph := range m.run.Log.Phases {
		if _, ok := chipPhases[ph.ID]; ok {
			mark(&chips[i], ph.AtNS)
			i++
		}
	}
	if i < len(chips) {
		mark(&chips[i], ready)
	}
	return n > 0
}
