package web

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

// maxThreads is how many threads get lanes, those that work with the GPU first.
const maxThreads = 256

// threadLane is a table's events of one thread.
type threadLane struct {
	*columnSource
	thread  int32
	library string // of call lanes
}

// hostGroups makes one group per thread: its annotations, operators, API calls by library and operating system calls.
func (m *Model) hostGroups() []*group {
	p := m.p
	byThread := make([]*group, len(p.Threads))
	weight := make([]int, len(p.Threads)) // device operations that the thread launched
	for _, col := range [][]int32{p.Kernels.Call, p.Copies.Call, p.GraphTraces.Call} {
		for _, c := range col {
			if c != profile.None {
				weight[p.Calls.Thread[c]]++
			}
		}
	}
	other := &group{key: "untied", title: "Host, not tied to a thread"}
	add := func(thread int32, l *lane) {
		if l.count == 0 {
			return
		}
		if thread == profile.None {
			other.lanes = append(other.lanes, l)
			return
		}
		if byThread[thread] == nil {
			byThread[thread] = &group{key: fmt.Sprintf("thread%d", thread), title: m.threadName(thread), hint: m.processName(p.Threads[thread].Process)}
		}
		byThread[thread].lanes = append(byThread[thread].lanes, l)
	}
	for _, t := range m.hostTables() {
		m.tableLanes(t, add)
	}
	var groups []*group
	order := make([]int32, 0, len(p.Threads))
	events := make([]int, len(p.Threads))
	for t, g := range byThread {
		if g == nil {
			continue
		}
		order = append(order, int32(t))
		for _, l := range g.lanes {
			events[t] += l.count
		}
	}
	slices.SortStableFunc(order, func(x, y int32) int {
		return cmp.Or(cmp.Compare(weight[y], weight[x]), cmp.Compare(events[y], events[x]))
	})
	launchers := map[int32]bool{}
	for i := range m.a.Ranks {
		if r := &m.a.Ranks[i]; r.Engine0 && r.Thread != profile.None {
			launchers[r.Thread] = true
		}
	}
	for k, t := range order {
		if k == maxThreads {
			m.note("%d quiet threads have no lanes", len(order)-maxThreads)
			break
		}
		g := byThread[t]
		g.open = k == 0 || launchers[t] && k < 4
		groups = append(groups, g)
	}
	if len(other.lanes) > 0 {
		groups = append(groups, other)
	}
	return groups
}

func (m *Model) threadName(t int32) string {
	th := &m.p.Threads[t]
	if th.Name != "" {
		return fmt.Sprintf("%s (tid %d)", th.Name, th.TID)
	}
	return fmt.Sprintf("Thread %d", th.TID)
}

// hostTable is one table of the profile that has lanes per thread.
type hostTable struct {
	key, title, hint string
	src              columnSource
	thread           []int32
	tags             int
	set              string
	role             laneRole
	open             bool
	split            func(name string) string // lane of a name; nil: one lane per thread
}

// hostTables lists the tables in the order of lanes within a thread.
func (m *Model) hostTables() []hostTable {
	p := m.p
	spans := func(kind columnKind, s *profile.Spans, tagOf []uint8, tag uint8) columnSource {
		return columnSource{p: p, kind: kind, start: s.Start, dur: s.Dur, name: s.Name, tagOf: tagOf, tag: tag, end: m.end}
	}
	return []hostTable{
		{"nvtx", "NVTX", "annotations of the program", columnSource{p: p, kind: columnRange, start: p.Ranges.Start, dur: p.Ranges.Dur,
			name: p.Ranges.Text, tagOf: m.tags(rangeTag, p.Ranges.Text), end: m.end}, p.Ranges.Thread, len(rangeCategories), setRange, roleRanges, true, nil},
		{"ops", "Operators", "framework operators", columnSource{p: p, kind: columnOp, start: p.Ops.Start, dur: p.Ops.Dur, name: p.Ops.Name,
			tagOf: m.tags(tint, p.Ops.Name), end: m.end}, p.Ops.Thread, len(rangeCategories), setRange, roleOps, true, nil},
		{"api", "API", "calls by kind", columnSource{p: p, kind: columnCall, start: p.Calls.Start, dur: p.Calls.Dur, name: p.Calls.Name,
			tagOf: m.tags(apiTag, p.Calls.Name), end: m.end}, p.Calls.Thread, len(apiColors), setAPI, roleCalls, true, libraryOf},
		{"lib", "Library calls", "cuBLAS, cuDNN and others", spans(columnLib, &p.LibCalls, m.tags(apiTag, p.LibCalls.Name), 0), p.LibCalls.Thread,
			len(apiColors), setAPI, roleLib, true, nil},
		{"os", "OS calls", "operating system calls", spans(columnOS, &p.OSCalls, nil, hostOS), p.OSCalls.Thread, len(hostCategories), setHost, roleOS, true, nil},
		{"frames", "Python", "call stack", spans(columnFrame, &p.Frames, m.tags(tint, p.Frames.Name), 0), p.Frames.Thread, len(rangeCategories),
			setRange, roleNone, false, nil},
		{"profiler", "Profiler", "time that the profiler itself took", spans(columnOverhead, &p.Overheads, nil, hostProfiler), p.Overheads.Thread,
			len(hostCategories), setHost, roleNone, true, nil},
	}
}

func rangeTag(text string) uint8 {
	if _, _, ok := step.ParseMarker(text); ok {
		return 0
	}
	return tint(text)
}

func apiTag(name string) uint8 { return uint8(kernel.KindOf(name)) }

// libraryTitles names the lanes of calls by kernel.Library.
var libraryTitles = map[string]string{
	"runtime": "CUDA runtime", "driver": "CUDA driver", "hip": "HIP", "hsa": "HSA", "cublas": "cuBLAS", "cudnn": "cuDNN",
	"cusparse": "cuSPARSE", "cusolver": "cuSOLVER", "cufft": "cuFFT", "cutensor": "cuTENSOR", "nccl": "NCCL", "nvshmem": "NVSHMEM",
	"nvrtc": "NVRTC", "other": "Other API",
}

func libraryOf(name string) string { return kernel.Library(kernel.StripAPIVersion(name)) }

// tags gives every name that occurs in col its tag.
func (m *Model) tags(of func(string) uint8, col []profile.StringID) []uint8 {
	out := make([]uint8, m.p.Strings.Len())
	seen := make([]bool, len(out))
	for _, n := range col {
		if !seen[n] {
			seen[n] = true
			out[n] = of(m.p.Strings.At(n))
		}
	}
	return out
}

// tableLanes makes the lanes of one table.
func (m *Model) tableLanes(t hostTable, add func(thread int32, l *lane)) {
	n := len(t.src.start)
	if n == 0 {
		return
	}
	// Lanes are numbered as they come: by thread, and by library where the table is split.
	var libs []string
	libOf := make([]uint8, 0)
	if t.split != nil {
		libOf = make([]uint8, m.p.Strings.Len())
		seen := make([]bool, len(libOf))
		for _, name := range t.src.name {
			if seen[name] {
				continue
			}
			seen[name] = true
			lib := t.split(m.p.Strings.At(name))
			k := slices.Index(libs, lib)
			if k < 0 {
				k = len(libs)
				libs = append(libs, lib)
			}
			libOf[name] = uint8(k)
		}
	}
	per := max(1, len(libs))
	laneOf := make([]int32, (len(m.p.Threads)+1)*per)
	for i := range laneOf {
		laneOf[i] = -1
	}
	type place struct {
		thread int32
		lib    int
	}
	var places []place
	slot := func(i int) int {
		s := (int(t.thread[i]) + 1) * per // profile.None is -1
		if t.split != nil {
			s += int(libOf[t.src.name[i]])
		}
		return s
	}
	for i := range n {
		if s := slot(i); laneOf[s] < 0 {
			laneOf[s] = int32(len(places))
			places = append(places, place{t.thread[i], s % per})
		}
	}
	src := t.src
	whole := m.span()
	packs := pack(n, len(places), maxRows, func(i int) (int32, uint32, interval.Span) {
		s, _ := src.at(uint32(i))
		if s.Start >= whole.End || s.End < whole.Start {
			return -1, 0, s
		}
		return laneOf[slot(i)], uint32(i), s
	})
	for k, pl := range places {
		l := &lane{key: fmt.Sprintf("%s%d", t.key, pl.thread), title: t.title, hint: t.hint, set: t.set, height: heightHost, open: t.open, role: t.role}
		owner := &threadLane{columnSource: &src, thread: pl.thread}
		if t.split != nil {
			owner.library = libs[pl.lib]
			l.key = fmt.Sprintf("%s%d.%s", t.key, pl.thread, owner.library)
			l.title = libraryTitles[owner.library]
		}
		l.fill(owner, t.tags, packs[k])
		packs[k] = packed{}
		add(pl.thread, l)
	}
}
