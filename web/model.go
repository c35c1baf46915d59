package web

import (
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/step"
)

// maxExtent bounds the time that the timeline spans, so that every time is exact in a browser's numbers.
const maxExtent = int64(1) << 52

// Model is everything the timeline shows. It refers to the profile and copies little: about 8 bytes per event for rows
// and mipmaps, and 9 bytes per stretch of GPU time of one part (one to two per kernel). It is safe for concurrent use.
type Model struct {
	p   *profile.Profile
	a   *step.Analysis
	d   *diagnose.Diagnosis // nil = not given
	run *serving.Run        // nil = not given

	origin, end int64 // the shown time, in the clock of the capture
	groups      []*group
	lanes       []*lane // of all groups, numbered
	groupOf     []int   // by lane
	sets        map[string][]Category
	findings    []finding
	life        []lifeChip

	noteMu sync.Mutex
	notes  []string // what is not shown, and why

	streamOf map[int32]int // queue -> lane number
	callOf   map[callLane]int
	rangeOf  map[int32]int // thread -> lane number
	opOf     map[int32]int
	rankOf   []rankLanes // by rank

	stepOf []int32 // step of each kernel
	names  []searchName
}

type callLane struct {
	thread  int32
	library string
}

// rankLanes are the lane numbers of one rank, -1 where it has none.
type rankLanes struct{ steps, budget, idle, copies int }

// NewModel prepares an analysis for the timeline. The diagnosis and the run may be nil: then there are no findings, and
// nothing of the server beside the profile.
func NewModel(a *step.Analysis, d *diagnose.Diagnosis, run *serving.Run) *Model {
	m := &Model{p: a.P, a: a, d: d, run: run, sets: categories(), streamOf: map[int32]int{}, callOf: map[callLane]int{},
		rangeOf: map[int32]int{}, opOf: map[int32]int{}}
	m.setExtent()
	var gpu, host, server []*group
	var wg sync.WaitGroup
	for _, build := range []func(){
		func() { gpu = m.gpuGroups() },
		func() { host = m.hostGroups() },
		func() { server = m.serverGroups() },
		func() { m.stepOf = a.StepOfKernel() },
		func() { m.names = m.searchNames() },
	} {
		wg.Go(build)
	}
	wg.Wait()
	m.addGroups(m.lifecycleGroup())
	m.addGroups(gpu...)
	m.addGroups(server...)
	m.addGroups(host...)
	m.index()
	slices.Sort(m.notes)
	m.life = m.lifeChips()
	m.findings = m.findingTargets()
	return m
}

// setExtent finds the shown time: the recording's window and what lies around it.
func (m *Model) setExtent() {
	p := m.p
	lo, hi := int64(math.MaxInt64), int64(math.MinInt64)
	if !p.Window.Empty() {
		lo, hi = p.Window.Start, p.Window.End
	}
	for _, t := range []struct{ start, dur []int64 }{
		{p.Kernels.Start, p.Kernels.Dur}, {p.Copies.Start, p.Copies.Dur}, {p.Memsets.Start, p.Memsets.Dur},
		{p.GraphTraces.Start, p.GraphTraces.Dur}, {p.Calls.Start, p.Calls.Dur}, {p.Ranges.Start, p.Ranges.Dur},
		{p.Ops.Start, p.Ops.Dur}, {p.OSCalls.Start, p.OSCalls.Dur}, {p.LibCalls.Start, p.LibCalls.Dur},
		{p.Overheads.Start, p.Overheads.Dur}, {p.Frames.Start, p.Frames.Dur},
	} {
		if len(t.start) == 0 {
			continue
		}
		lo = min(lo, t.start[0])
		for i, s := range t.start {
			hi = max(hi, s+max(0, t.dur[i]))
		}
	}
	for i := range p.Counters {
		if t := p.Counters[i].Times; len(t) > 0 {
			lo, hi = min(lo, t[0]), max(hi, t[len(t)-1])
		}
	}
	if lo >= hi {
		lo, hi = 0, 1
	}
	if !p.Window.Empty() {
		// A stray event far away must not squeeze the recording into one pixel column, nor leave exact numbers.
		lo = max(lo, p.Window.Start-maxExtent/4)
	}
	m.origin, m.end = lo, min(hi, lo+maxExtent)
}

// note adds a remark on what is not shown. Builders run side by side, so notes are sorted before they are shown.
func (m *Model) note(format string, args ...any) {
	m.noteMu.Lock()
	defer m.noteMu.Unlock()
	m.notes = append(m.notes, fmt.Sprintf(format, args...))
}

// extent returns the length of the shown time in ns.
func (m *Model) extent() int64 { return m.end - m.origin }

// span returns the shown time.
func (m *Model) span() interval.Span { return interval.Span{Start: m.origin, End: m.end} }

// home returns the stretch that a fitted view shows: the recording's window where it is known.
func (m *Model) home() interval.Span {
	if w := m.p.Window.Clip(m.span()); !w.Empty() {
		return w
	}
	return m.span()
}

func (m *Model) addGroups(groups ...*group) {
	for _, g := range groups {
		if g == nil || len(g.lanes) == 0 {
			continue
		}
		for _, l := range g.lanes {
			m.lanes = append(m.lanes, l)
			m.groupOf = append(m.groupOf, len(m.groups))
		}
		m.groups = append(m.groups, g)
	}
}

// index notes where the lanes that links lead to are.
func (m *Model) index() {
	m.rankOf = make([]rankLanes, len(m.a.Ranks))
	for i := range m.rankOf {
		m.rankOf[i] = rankLanes{-1, -1, -1, -1}
	}
	for n, l := range m.lanes {
		switch s := l.src.(type) {
		case *opSource:
			switch l.role {
			case roleStream:
				m.streamOf[s.queue] = n
			case roleCopies:
				m.rankOf[s.rank].copies = n
			}
		case *stepSource:
			if l.role == roleSteps {
				m.rankOf[s.rank].steps = n
			}
		case *pieceSource:
			if l.role == roleBudget {
				m.rankOf[s.rank].budget = n
			} else {
				m.rankOf[s.rank].idle = n
			}
		case *threadLane:
			switch l.role {
			case roleRanges:
				m.rangeOf[s.thread] = n
			case roleOps:
				m.opOf[s.thread] = n
			case roleCalls:
				m.callOf[callLane{s.thread, s.library}] = n
			}
		}
	}
}
