package kineto

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
)

// slack is how much longer than the window a duration may be before it is taken for a fault.
const slack = 1_000_000_000

// finish turns what was read into a valid Profile.
func (d *document) finish() error {
	b, p := d.b, d.b.p
	var hull spanOf
	b.count.unpaired, hull = b.pairs.close(durations(p))
	if hull.set {
		b.hull.add(hull.lo, hull.hi)
	}
	b.pairs.marks = nil
	if b.kept == 0 && !b.window.set && b.count.frames == 0 && len(b.count.unknown) > 0 {
		return fmt.Errorf("%w: a Chrome trace, but none of its %d events is of the PyTorch profiler (categories: %s)",
			profile.ErrUnrecognised, b.ordinal, list(sortedKeys(b.count.unknown), 5))
	}
	d.setWindow()
	d.clamp()
	dropPending(p)
	d.setProcesses()
	d.setDevices()
	p.Sort()
	p.Join()
	markGraphs(p)
	if b.p.Calls.External == nil && p.Calls.Len() == 0 {
		p.Calls.External = []int64{}
	}
	p.Producer, p.Schema = d.meta.producer(), d.meta.schema
	p.Capture.WithStack, p.Capture.RecordShape = d.meta.stacks || b.count.frames > 0, d.meta.shapes
	p.Capture.Truncated = d.fault != nil
	if d.fault == nil && !b.window.set && d.meta.schema != "" && p.Kernels.Len() > 0 {
		p.Capture.Derived = "the profiler's own span is missing, so a tool wrote this file out of a larger trace"
		b.note(profile.Warning, 0, "%s: times without kernels at its edges are not recorded rather than idle", p.Capture.Derived)
	}
	if hasGraphNodes(p) {
		p.Capture.GraphTrace = "node"
	}
	d.diagnose()
	d.listMissing()
	if err := p.CheckValid(); err != nil {
		return fmt.Errorf("%w: %w", profile.ErrMalformed, err)
	}
	return nil
}

// setWindow chooses time 0 and moves every start to it. The window is the profiler's own span; a file without one
// (cut off, or cut up by a tool) has the hull of its events, which is a lower bound.
func (d *document) setWindow() {
	b, p := d.b, d.b.p
	w := spanOf{}
	switch {
	case b.window.set && b.window.hi > b.window.lo && (!b.hull.set || overlaps(b.window, b.hull)):
		w = b.window
	case b.hull.set:
		w = b.hull
		if b.start.set && b.start.lo < w.lo {
			w.lo = b.start.lo // the profiler started then, whether anything ran or not
		}
		why := "the trace has no profiler span; the window is first to last event"
		if b.window.set {
			why = "the profiler's span does not hold the events; the window is first to last event"
		}
		p.NotRecorded = append(p.NotRecorded, profile.Missing{
			What: profile.WhatWindow, Text: why,
			Remedy: "use the trace file as the profiler wrote it, after stop_profile has returned",
		})
	case b.window.set:
		w = b.window
	default:
		p.NotRecorded = append(p.NotRecorded, profile.Missing{What: profile.WhatWindow, Text: "the trace holds no event"})
	}
	for _, col := range starts(p) {
		for i := range col {
			col[i] -= w.lo
		}
	}
	p.Window = interval.Span{Start: 0, End: w.hi - w.lo}
	p.SessionStartUnixNs = d.wallClock(w)
	if p.SessionStartUnixNs == 0 {
		p.NotRecorded = append(p.NotRecorded, profile.Missing{
			What: profile.WhatWallClock, Text: "the trace has no base time, so its clock cannot be laid beside others",
			Remedy: "a PyTorch of 2024 or newer writes baseTimeNanoseconds",
		})
	}
}

func overlaps(a, b spanOf) bool { return a.lo <= b.hi && b.lo <= a.hi }

// Wall-clock times before 2015 or after 2100 are other clocks (time since boot).
const (
	year2015 = 1420070400_000000000
	year2100 = 4102444800_000000000
)

// wallClock returns the Unix time of the window's start: base time plus timestamp, or the timestamp itself in older
// traces, which count from the epoch.
func (d *document) wallClock(w spanOf) int64 {
	if !w.set {
		return 0
	}
	t := w.lo
	if d.meta.hasBase && d.meta.base > 0 {
		if d.meta.base > year2100 {
			return 0
		}
		t += d.meta.base
	}
	if t < year2015 || t > year2100 {
		return 0
	}
	return t
}

// starts lists the Start columns, in the order of tableID.
func starts(p *profile.Profile) [][]int64 {
	return [][]int64{
		p.Kernels.Start, p.Copies.Start, p.Memsets.Start, p.Calls.Start, p.Ops.Start, p.Ranges.Start, p.Syncs.Start,
		p.Frames.Start, p.Overheads.Start, p.MemEvents.Start,
	}
}

// clamp cuts durations that reach far behind the recorded window: the end of such an event was never written.
func (d *document) clamp() {
	p := d.b.p
	if p.Lacks(profile.WhatWindow) {
		return
	}
	dur := durations(p)
	for t, start := range starts(p)[:overheadTable+1] {
		col := dur(tableID(t))
		for i, s := range start {
			if col[i] > p.Window.Dur()+slack && s+col[i] > p.Window.End {
				col[i] = max(0, p.Window.End-s)
				d.b.count.clampedDur++
			}
		}
	}
}

// dropPending removes the rows that were begun and never ended; ranges stay, as open ones.
func dropPending(p *profile.Profile) {
	for i, v := range p.Ranges.Dur {
		if v == pending {
			p.Ranges.Dur[i] = profile.Open
		}
	}
	keep := func(dur []int64) []int32 {
		if !slices.Contains(dur, pending) {
			return nil
		}
		rows := []int32{}
		for i, v := range dur {
			if v != pending {
				rows = append(rows, int32(i))
			}
		}
		return rows
	}
	p.Kernels.Select(keep(p.Kernels.Dur))
	p.Copies.Select(keep(p.Copies.Dur))
	p.Memsets.Select(keep(p.Memsets.Dur))
	p.Calls.Select(keep(p.Calls.Dur))
	p.Ops.Select(keep(p.Ops.Dur))
	p.Syncs.Select(keep(p.Syncs.Dur))
	p.Frames.Select(keep(p.Frames.Dur))
	p.Overheads.Select(keep(p.Overheads.Dur))
}

// markGraphs gives device work that a graph launch started a graph node where the trace names none.
func markGraphs(p *profile.Profile) {
	graph := make([]bool, p.Strings.Len())
	any := false
	for id := range graph {
		graph[id] = isGraphLaunch(p.Strings.At(profile.StringID(id)))
		any = any || graph[id]
	}
	if !any {
		return
	}
	for _, t := range []struct {
		call []int32
		node []uint64
	}{{p.Kernels.Call, p.Kernels.GraphNode}, {p.Copies.Call, p.Copies.GraphNode}, {p.Memsets.Call, p.Memsets.GraphNode}} {
		for i, c := range t.call {
			if c != profile.None && t.node[i] == 0 && graph[p.Calls.Name[c]] {
				t.node[i] = profile.UnknownNode
			}
		}
	}
}

func hasGraphNodes(p *profile.Profile) bool {
	for _, n := range p.Kernels.GraphNode {
		if n != 0 {
			return true
		}
	}
	return false
}

// setProcesses names processes and threads and gives every queue its process: the one that made the launches.
func (d *document) setProcesses() {
	ids, p := d.b.ids, d.b.p
	calls := make([]int64, len(p.Processes)) // per process
	for _, t := range p.Calls.Thread {
		calls[p.Threads[t].Process]++
	}
	for si := range ids.scopes {
		sc := &ids.scopes[si]
		used := false
		for _, k := range ids.keys {
			used = used || k.scope == int32(si)
		}
		if len(sc.processes) == 0 && used {
			ids.process(int32(si), d.namedPid(int32(si)))
			calls = append(calls, 0)
		}
	}
	owner := make([]int32, len(ids.scopes))
	several := false
	for si := range ids.scopes {
		owner[si] = profile.None
		makers := 0
		for _, pid := range sortedPids(ids.scopes[si].processes) {
			i := ids.scopes[si].processes[pid]
			if calls[i] > 0 {
				makers++
			}
			if owner[si] == profile.None || calls[i] > calls[owner[si]] {
				owner[si] = i
			}
			pr := &p.Processes[i]
			pr.Name = ids.names[processKey{int32(si), pid}]
			if r, ok := rankOfLabel(ids.scopes[si].label); ok {
				pr.Rank = r
			} else if si == 0 && d.meta.hasRank {
				pr.Rank = d.meta.rank
			} else if r, ok := rankOfName(p.Source); ok && si == 0 {
				pr.Rank = r
			}
		}
		several = several || makers > 1
	}
	for k, i := range ids.threads {
		p.Threads[i].Name = threadTitle(ids.titles[k])
	}
	for i, k := range ids.keys {
		p.Queues[i].Process = owner[k.scope]
	}
	if several {
		d.splitQueues(owner)
	}
}

// namedPid returns the pid that the metadata calls a CPU process, for a trace without host events; 0 for none.
func (d *document) namedPid(in int32) int64 {
	best, found := int64(0), false
	for k, label := range d.b.ids.labels {
		if k.scope == in && label == "CPU" && (!found || k.pid < best) {
			best, found = k.pid, true
		}
	}
	return best
}

func sortedPids(m map[int64]int32) []int64 {
	pids := make([]int64, 0, len(m))
	for pid := range m {
		pids = append(pids, pid)
	}
	slices.Sort(pids)
	return pids
}

// splitQueues handles a file in which several processes launch work: each device row goes to the process whose call
// has its correlation id, and where two have it, to the one with most calls.
func (d *document) splitQueues(owner []int32) {
	p, ids := d.b.p, d.b.ids
	type maker struct {
		corr    uint32
		process int32
	}
	var makers []maker
	for i, c := range p.Calls.Correlation {
		if c != 0 {
			makers = append(makers, maker{c, p.Threads[p.Calls.Thread[i]].Process})
		}
	}
	slices.SortFunc(makers, func(a, b maker) int {
		return cmp.Or(cmp.Compare(a.corr, b.corr), cmp.Compare(a.process, b.process))
	})
	makers = slices.Compact(makers)
	scopeOf := make([]int32, len(p.Processes))
	for si, sc := range ids.scopes {
		for _, i := range sc.processes {
			scopeOf[i] = int32(si)
		}
	}
	index := map[profile.Queue]int32{}
	for i, q := range p.Queues {
		index[q] = int32(i)
	}
	move := func(queue []int32, corr []uint32) {
		for i, q := range queue {
			if q == profile.None || corr[i] == 0 {
				continue
			}
			in := ids.keys[q].scope
			at, _ := slices.BinarySearchFunc(makers, corr[i], func(m maker, c uint32) int { return cmp.Compare(m.corr, c) })
			found := profile.None
			for ; at < len(makers) && makers[at].corr == corr[i]; at++ {
				m := makers[at].process
				if scopeOf[m] == in && (found == profile.None || m == owner[in]) {
					found = m
				}
			}
			if found == profile.None || found == p.Queues[q].Process {
				continue
			}
			k := p.Queues[q]
			k.Process = found
			n, ok := index[k]
			if !ok {
				n = int32(len(p.Queues))
				p.Queues = append(p.Queues, k)
				ids.keys = append(ids.keys, ids.keys[q])
				index[k] = n
			}
			queue[i] = n
		}
	}
	move(p.Kernels.Queue, p.Kernels.Correlation)
	move(p.Copies.Queue, p.Copies.Correlation)
	move(p.Memsets.Queue, p.Memsets.Correlation)
	move(p.Syncs.Queue, p.Syncs.Correlation)
}

// setDevices fills in the properties of the devices that worked. The head lists every device that the process could
// see; one without an event belongs to another process or was idle, which the trace cannot tell, so it is left out.
func (d *document) setDevices() {
	ids, p := d.b.ids, d.b.p
	byID := map[int64]deviceProperties{}
	for _, v := range d.meta.devices {
		byID[v.ID] = v
	}
	if len(p.Devices) == 0 {
		for _, v := range d.meta.devices {
			i := ids.device(deviceKey{0, v.ID})
			p.Devices[i] = v.device()
		}
		return
	}
	alike := len(d.meta.devices) > 0
	for _, v := range d.meta.devices {
		v.ID = d.meta.devices[0].ID
		alike = alike && v == d.meta.devices[0]
	}
	for i, k := range ids.deviceOf {
		v, ok := byID[k.device]
		if !ok && alike { // ROCm may number devices in events otherwise than in the list
			v, ok = d.meta.devices[0], true
			v.ID = k.device
		}
		if ok {
			p.Devices[i] = v.device()
		}
	}
	if n := uniqueDevices(p); n > 0 {
		d.b.note(profile.Info, int64(n), "several traced processes call their device by the same number; each has a device "+
			"of its own here, with another number")
	}
}

// uniqueDevices gives devices of equal number distinct ones and returns how many changed. Two ranks of a job never
// share a device, whatever number each calls its own by (CUDA_VISIBLE_DEVICES).
func uniqueDevices(p *profile.Profile) int {
	used := map[int64]bool{}
	for _, v := range p.Devices {
		used[v.ID] = true
	}
	seen := map[int64]bool{}
	changed := 0
	next := int64(0)
	for i := range p.Devices {
		v := &p.Devices[i]
		if !seen[v.ID] {
			seen[v.ID] = true
			continue
		}
		for used[next] {
			next++
		}
		v.ID = next
		used[next], seen[next] = true, true
		changed++
	}
	return changed
}

// list prints the first n of names.
func list(names []string, n int) string {
	for i, s := range names {
		if s == "" {
			names[i] = "none"
		}
		if len(s) > 100 {
			names[i] = s[:100] + "..."
		}
	}
	if len(names) > n {
		return strings.ToValidUTF8(strings.Join(names[:n], ", "), "?") + fmt.Sprintf(" and %d more", len(names)-n)
	}
	return strings.ToValidUTF8(strings.Join(names, ", "), "?")
}
