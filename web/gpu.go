package web

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

// Heights of rows in CSS pixels.
const (
	heightBand   = 18
	heightBudget = 44
	heightPeer   = 24
	heightKernel = 20
	heightHost   = 15
	heightSmall  = 8
	heightCurve  = 34
)

// opSource is device operations by step.Op.
type opSource struct {
	a     *step.Analysis
	rank  int
	queue int32
}

func (s *opSource) at(id uint32) (interval.Span, uint8) {
	o := step.Op(id)
	return s.a.Span(o), uint8(s.a.PartOf(o))
}

// Keys of labels that are no function's.
const (
	keyGraph = 1<<31 + iota
	keyPart
)

func (s *opSource) label(id uint32) (uint32, string) {
	switch o := step.Op(id); o.Kind() {
	case step.OpKernel:
		f := s.a.P.Kernels.Func[o.Index()]
		name := shortName(s.a.P, f)
		if family := s.a.Classes[f].Family; family != "" && plainNames[name] {
			name = family + " " + name
		}
		return uint32(f), name
	case step.OpGraph:
		return keyGraph, "CUDA graph"
	default:
		part := s.a.PartOf(o)
		return keyPart + uint32(part), strings.TrimPrefix(part.String(), "gpu.")
	}
}

// plainNames are base names that many different kernels have: their library says more.
var plainNames = map[string]bool{"kernel": true, "Kernel": true, "Kernel2": true, "device_kernel": true}

// shortName is the base name of a function.
func shortName(p *profile.Profile, f int32) string {
	if s := p.Strings.At(p.Funcs[f].Short); s != "" {
		return s
	}
	return profile.BaseName(p.Strings.At(p.Funcs[f].Name))
}

// gpuGroups makes one group per rank, the ranks that stand for an engine first, and one for devices without a rank.
func (m *Model) gpuGroups() []*group {
	order := make([]int, len(m.a.Ranks))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(x, y int) int {
		a, b := &m.a.Ranks[x], &m.a.Ranks[y]
		return cmp.Or(cmp.Compare(btoi(!a.Engine0), btoi(!b.Engine0)), cmp.Compare(btoi(len(a.Steps) == 0), btoi(len(b.Steps) == 0)))
	})
	var groups []*group
	shown := map[int32]bool{} // devices whose curves are placed
	for k, r := range order {
		g := m.rankGroup(r)
		rank := &m.a.Ranks[r]
		g.open = k == 0 || rank.Engine0 && k < 4
		if !shown[rank.Device] {
			shown[rank.Device] = true
			g.lanes = append(g.lanes, m.deviceCurves(rank.Device)...)
		}
		if !g.open && len(rank.Steps) > 0 && k < maxPeers {
			g.asPeer()
		}
		groups = append(groups, g)
	}
	for d := range m.p.Devices {
		if !shown[int32(d)] {
			groups = append(groups, &group{key: fmt.Sprintf("device%d", d), title: m.deviceName(int32(d)), lanes: m.deviceCurves(int32(d))})
		}
	}
	if lanes := m.deviceCurves(profile.None); len(lanes) > 0 {
		groups = append(groups, &group{key: "counters", title: "Counters", lanes: lanes})
	}
	return groups
}

// maxPeers is how many ranks show where their time goes without being asked.
const maxPeers = 8

// asPeer shows of a rank that runs the same steps as another one only where its time goes, so that ranks are compared at
// a glance; its other lanes are one press away.
func (g *group) asPeer() {
	g.open = true
	for _, l := range g.lanes {
		if l.open = l.role == roleBudget; l.open {
			l.height = heightPeer
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (m *Model) deviceName(d int32) string {
	dev := &m.p.Devices[d]
	if dev.Name == "" {
		return fmt.Sprintf("GPU %d", dev.ID)
	}
	return fmt.Sprintf("GPU %d · %s", dev.ID, dev.Name)
}

// rankName names a process on a device in few words, different from those of all others.
func (m *Model) rankName(ri int) string {
	r := &m.a.Ranks[ri]
	name := fmt.Sprintf("GPU %d", m.p.Devices[r.Device].ID)
	if r.Process == profile.None {
		return name
	}
	if p := &m.p.Processes[r.Process]; p.Rank == profile.None {
		name += fmt.Sprintf(" · pid %d", p.PID)
	} else {
		name += fmt.Sprintf(" · rank %d", p.Rank)
	}
	return name
}

func (m *Model) processName(pr int32) string {
	if pr == profile.None {
		return "unknown process"
	}
	p := &m.p.Processes[pr]
	name := fmt.Sprintf("pid %d", p.PID)
	if p.Name != "" {
		name = fmt.Sprintf("%s (pid %d)", p.Name, p.PID)
	}
	if p.Rank != profile.None {
		name += fmt.Sprintf(", rank %d", p.Rank)
	}
	return name
}

// rankGroup makes the lanes of one process on one device.
func (m *Model) rankGroup(ri int) *group {
	r := &m.a.Ranks[ri]
	g := &group{key: fmt.Sprintf("rank%d", ri), title: m.deviceName(r.Device), hint: m.processName(r.Process)}
	if len(m.a.Ranks) > 1 {
		// What tells ranks apart comes first.
		g.title, g.hint = m.rankName(ri), strings.TrimPrefix(m.p.Devices[r.Device].Name+", "+g.hint, ", ")
	}
	if len(r.Steps) > 0 {
		g.lanes = append(g.lanes, m.stepLane(ri))
		if host := m.hostStepLane(ri); host.count > 0 {
			g.lanes = append(g.lanes, host)
		}
		budget, idle := m.budgetLanes(ri)
		g.lanes = append(g.lanes, budget, idle)
	}
	g.lanes = append(g.lanes, m.streamLanes(ri)...)
	for _, x := range []struct {
		key, title, hint string
		role             laneRole
		take             func(step.Op) bool
	}{
		{"copies", "Copies and fills", "by direction and host memory", roleCopies, func(o step.Op) bool {
			return o.Kind() == step.OpCopy || o.Kind() == step.OpMemset
		}},
		{"collectives", "Collectives", "communication between GPUs, all streams", roleCollectives, func(o step.Op) bool {
			return m.a.PartOf(o) == step.Part(kernel.Collective)
		}},
	} {
		l := &lane{key: fmt.Sprintf("%s%d", x.key, ri), title: x.title, hint: x.hint, set: setPart, height: heightBand, open: true, role: x.role}
		src := &opSource{m.a, ri, profile.None}
		p := pack(len(r.Ops), 1, maxRows, func(i int) (int32, uint32, interval.Span) {
			o := r.Ops[i]
			if !x.take(o) {
				return -1, 0, interval.Span{}
			}
			return 0, uint32(o), m.a.Span(o)
		})
		if l.fill(src, step.NumParts, p[0]); l.count > 0 {
			g.lanes = append(g.lanes, l)
		}
	}
	return g
}

// streamLanes makes one lane per stream that runs kernels or graphs, the busiest first.
func (m *Model) streamLanes(ri int) []*lane {
	r := &m.a.Ranks[ri]
	laneOf := make([]int32, len(m.p.Queues))
	for i := range laneOf {
		laneOf[i] = -1
	}
	queue := func(o step.Op) int32 {
		switch o.Kind() {
		case step.OpKernel:
			return m.p.Kernels.Queue[o.Index()]
		case step.OpGraph:
			return m.p.GraphTraces.Queue[o.Index()]
		}
		return profile.None
	}
	var queues []int32
	for _, o := range r.Ops {
		if q := queue(o); q != profile.None && laneOf[q] < 0 {
			laneOf[q] = int32(len(queues))
			queues = append(queues, q)
		}
	}
	at := func(i int) (int32, uint32, interval.Span) {
		o := r.Ops[i]
		q := queue(o)
		if q == profile.None {
			return -1, 0, interval.Span{}
		}
		return laneOf[q], uint32(o), m.a.Span(o)
	}
	lanes := make([]*lane, len(queues))
	for i, p := range pack(len(r.Ops), len(queues), maxRows, at) {
		q := &m.p.Queues[queues[i]]
		lanes[i] = &lane{key: fmt.Sprintf("stream%d", queues[i]), title: fmt.Sprintf("Stream %d", q.Stream), set: setPart,
			hint: fmt.Sprintf("kernels by stage, context %d", q.Context), height: heightKernel, role: roleStream}
		if q.GreenCtx > 0 {
			lanes[i].hint += fmt.Sprintf(", green context %d", q.GreenCtx)
		}
		lanes[i].fill(&opSource{m.a, ri, queues[i]}, step.NumParts, p)
	}
	slices.SortStableFunc(lanes, func(x, y *lane) int { return cmp.Compare(y.count, x.count) })
	for i, l := range lanes {
		l.open = i < 4
	}
	return lanes
}

// pieceChunk is how many operations are split into parts at a time, which bounds the memory that takes.
const pieceChunk = 1 << 18

// pieceSource is the wall of a rank's steps in stretches of one part; piece i ends where piece i+1 starts.
type pieceSource struct {
	rank  int
	start []int64 // one more than parts: the last is the end
	part  []uint8
}

func (s *pieceSource) at(id uint32) (interval.Span, uint8) {
	return interval.Span{Start: s.start[id], End: s.start[id+1]}, s.part[id]
}

func (s *pieceSource) label(id uint32) (uint32, string) {
	p := step.Part(s.part[id])
	return uint32(p), strings.TrimPrefix(strings.TrimPrefix(p.String(), "gpu."), "idle.")
}

// pieces splits the wall of a rank's steps, contiguous steps at a time.
func (m *Model) pieces(ri, chunk int) *pieceSource {
	r := &m.a.Ranks[ri]
	out := &pieceSource{rank: ri, start: make([]int64, 0, 2*len(r.Ops)+2), part: make([]uint8, 0, 2*len(r.Ops)+1)}
	for i := 0; i < len(r.Steps); {
		first, from := m.a.Steps[r.Steps[i]].FirstOp, i
		for i++; i < len(r.Steps) && int(m.a.Steps[r.Steps[i]].LastOp-first) <= chunk; i++ {
		}
		list, _ := m.a.RunPieces(ri, from, i, math.MaxInt)
		for _, p := range list {
			if n := len(out.part); n > 0 && out.part[n-1] == uint8(p.Tag) {
				continue // goes on across the border of two chunks
			}
			out.start = append(out.start, p.Start)
			out.part = append(out.part, uint8(p.Tag))
		}
	}
	out.start = append(out.start, r.Wall.End)
	return out
}

// budgetLanes shows where each instant of the steps' wall goes, and its idle stretches once more by cause.
func (m *Model) budgetLanes(ri int) (budget, idle *lane) {
	src := m.pieces(ri, pieceChunk)
	budget = &lane{key: fmt.Sprintf("budget%d", ri), title: "Where the time goes", set: setPart, height: heightBudget, open: true,
		hint: "every instant of the steps once: GPU work by stage, idleness by cause", role: roleBudget}
	budget.addRow(&row{src: src, n: len(src.part)}, step.NumParts)
	idle = &lane{key: fmt.Sprintf("idle%d", ri), title: "GPU idle", set: setPart, height: heightBand, open: true,
		hint: "by cause, inside and between steps", role: roleIdle}
	n := 0
	for _, p := range src.part {
		if step.Part(p).Idle() {
			n++
		}
	}
	ids := make([]uint32, 0, n)
	for i, p := range src.part {
		if step.Part(p).Idle() {
			ids = append(ids, uint32(i))
		}
	}
	idle.addRow(&row{src: src, ids: ids, n: n}, step.NumParts)
	return budget, idle
}

// stepSource is the steps of a rank by index into Analysis.Steps.
type stepSource struct {
	a    *step.Analysis
	rank int
	host bool // the time on the host instead of the GPU
}

func (s *stepSource) at(id uint32) (interval.Span, uint8) {
	st := &s.a.Steps[id]
	if s.host {
		return st.Marker, uint8(st.Phase)
	}
	return st.GPU, uint8(st.Phase)
}

func (s *stepSource) label(id uint32) (uint32, string) { return id, batchText(&s.a.Steps[id]) }

// batchText is the composition of a step's batch in a few words.
func batchText(s *step.Step) string {
	b := &s.Batch
	var t string
	switch {
	case b.Requests() < 0:
		t = s.Phase.String()
	case s.Phase == step.Decode && b.DecodeTokens >= 0 && b.DecodeTokens != b.DecodeRequests:
		t = fmt.Sprintf("decode %d (%d tokens)", b.DecodeRequests, b.DecodeTokens)
	case s.Phase == step.Decode:
		t = fmt.Sprintf("decode %d", b.DecodeRequests)
	case s.Phase == step.Prefill && b.PrefillTokens >= 0:
		t = fmt.Sprintf("prefill %d (%d tokens)", b.PrefillRequests, b.PrefillTokens)
	case s.Phase == step.Prefill:
		t = fmt.Sprintf("prefill %d", b.PrefillRequests)
	case b.PrefillTokens >= 0:
		t = fmt.Sprintf("prefill %d (%d tokens) + decode %d", b.PrefillRequests, b.PrefillTokens, b.DecodeRequests)
	default:
		t = fmt.Sprintf("prefill %d + decode %d", b.PrefillRequests, b.DecodeRequests)
	}
	if s.Cold {
		t += ", cold"
	}
	return t
}

func (m *Model) stepLane(ri int) *lane {
	r := &m.a.Ranks[ri]
	l := &lane{key: fmt.Sprintf("steps%d", ri), title: "Steps", hint: fmt.Sprintf("%d by phase, found by %s", len(r.Steps), r.Source),
		set: setPhase, height: heightKernel, open: true, role: roleSteps}
	p := pack(len(r.Steps), 1, 2, func(i int) (int32, uint32, interval.Span) {
		s := r.Steps[i]
		return 0, uint32(s), m.a.Steps[s].GPU
	})
	l.fill(&stepSource{m.a, ri, false}, len(phaseCategories), p[0])
	return l
}

// hostStepLane shows the engine's own iterations on the host, from the markers, beside the steps on the GPU.
func (m *Model) hostStepLane(ri int) *lane {
	r := &m.a.Ranks[ri]
	l := &lane{key: fmt.Sprintf("iterations%d", ri), title: "Engine iterations", hint: "the same steps on the host: the engine's markers",
		set: setPhase, height: heightBand, open: true, role: roleHostSteps}
	p := pack(len(r.Steps), 1, 4, func(i int) (int32, uint32, interval.Span) {
		s := r.Steps[i]
		if m.a.Steps[s].Marker.Empty() {
			return -1, 0, interval.Span{}
		}
		return 0, uint32(s), m.a.Steps[s].Marker
	})
	l.fill(&stepSource{m.a, ri, true}, len(phaseCategories), p[0])
	return l
}
