package summary

import (
	"cmp"
	"slices"

	"github.com/stepscope/stepscope/profile"
)

// launch is the launch call and the execution of one kernel.
type launch struct {
	kernel, call int32
}

// phases are the times of a launch as nsys defines them: api is the call; queue is the time from the end of the call to
// the kernel's start, which is absent where the kernel started before the call returned; total runs from the start of
// the call to the later of the two ends.
type phases struct {
	api, queue, kernel, total int64
	queueStart                int64
	queued                    bool
}

func phasesOf(p *profile.Profile, l launch) phases {
	k, c := &p.Kernels, &p.Calls
	callEnd := c.End(int(l.call))
	x := phases{api: c.Dur[l.call], kernel: k.Dur[l.kernel]}
	x.total = max(callEnd, k.End(int(l.kernel))) - c.Start[l.call]
	if q := k.Start[l.kernel] - callEnd; q > 0 {
		x.queue, x.queueStart, x.queued = q, callEnd, true
	}
	return x
}

// launches lists the kernels whose launch call was recorded, in order of the call.
func launches(p *profile.Profile) []launch {
	out := make([]launch, 0, p.Kernels.Len())
	for i, c := range p.Kernels.Call {
		if c != profile.None {
			out = append(out, launch{int32(i), c})
		}
	}
	return out
}

func kernExecTrace(p *profile.Profile, o options) *Table {
	names := nameKernels(p, o)
	ns := func(name string) Column { return Column{Name: name, Unit: "ns", Kind: Integer} }
	t := &Table{Columns: []Column{
		ns("API Start"), ns("API Dur"), ns("Queue Start"), ns("Queue Dur"), ns("Kernel Start"), ns("Kernel Dur"),
		ns("Total Dur"), {Name: "PID", Kind: Integer}, {Name: "TID", Kind: Integer}, {Name: "DevId", Kind: Integer},
		{Name: "API Function"}, {Name: "GridXYZ"}, {Name: "BlockXYZ"}, {Name: "Kernel Name"},
	}}
	rows := launches(p)
	// By the start of the call; kernels of one call in order of their start.
	slices.SortStableFunc(rows, func(a, b launch) int { return cmp.Compare(p.Calls.Start[a.call], p.Calls.Start[b.call]) })
	return t.fill(len(rows), func(i int, v []Value) []Value {
		l := rows[i]
		x := phasesOf(p, l)
		th := &p.Threads[p.Calls.Thread[l.call]]
		cfg := &p.Configs[p.Kernels.Config[l.kernel]]
		queueStart, queueDur := Null, Null
		if x.queued {
			queueStart, queueDur = Int(x.queueStart), Int(x.queue)
		}
		return append(v, Int(p.Calls.Start[l.call]), Int(x.api), queueStart, queueDur, Int(p.Kernels.Start[l.kernel]),
			Int(x.kernel), Int(x.total), Int(p.Processes[th.Process].PID), Int(th.TID),
			Int(p.Devices[p.Queues[p.Kernels.Queue[l.kernel]].Device].ID), Str(apiName(p.CallName(int(l.call)))),
			Str(dims(cfg.Grid)), Str(dims(cfg.Block)), Str(names.labels[names.ids[l.kernel]]))
	})
}

func kernExecSum(p *profile.Profile, o options) *Table {
	names := nameKernels(p, o)
	apiIDs, apiLabels := named(p, p.Calls.Name, apiName)
	type key struct{ thread, device, api, name int32 }
	keys := newKeyIndex[key]()
	rows := launches(p)
	ids := make([]int32, len(rows))
	prev, prevID := key{-1, -1, -1, -1}, int32(0)
	for i, l := range rows {
		k := key{p.Calls.Thread[l.call], p.Queues[p.Kernels.Queue[l.kernel]].Device, apiIDs[l.call], names.ids[l.kernel]}
		if k != prev {
			prev, prevID = k, keys.of(k)
		}
		ids[i] = prevID
	}
	n := len(keys.keys)
	total := summarise(partition(ids, n, func(i int) int64 { return phasesOf(p, rows[i]).total }), nil)
	slices.SortStableFunc(total, func(a, b group) int {
		j, k := keys.keys[a.key], keys.keys[b.key]
		return cmp.Or(cmp.Compare(b.avg, a.avg), cmp.Compare(j.thread, k.thread), cmp.Compare(j.device, k.device),
			cmp.Compare(apiLabels[j.api], apiLabels[k.api]), cmp.Compare(names.labels[j.name], names.labels[k.name]))
	})
	api := byKey(n, partition(ids, n, func(i int) int64 { return phasesOf(p, rows[i]).api }))
	kernel := byKey(n, partition(ids, n, func(i int) int64 { return phasesOf(p, rows[i]).kernel }))
	queuedIDs := slices.Clone(ids)
	for i, l := range rows {
		if !phasesOf(p, l).queued {
			queuedIDs[i] = -1
		}
	}
	queue := byKey(n, partition(queuedIDs, n, func(i int) int64 { return phasesOf(p, rows[i]).queue }))

	t := &Table{Columns: []Column{
		{Name: "PID", Kind: Integer}, {Name: "TID", Kind: Integer}, {Name: "DevId", Kind: Integer},
		{Name: "Count", Kind: Integer}, {Name: "QCount", Kind: Integer},
	}}
	for _, phase := range []string{"T", "A", "Q", "K"} {
		t.Columns = append(t.Columns,
			Column{Name: phase + "Avg", Unit: "ns", Kind: Decimal, Digits: 1},
			Column{Name: phase + "Med", Unit: "ns", Kind: Decimal, Digits: 1},
			Column{Name: phase + "Min", Unit: "ns", Kind: Integer},
			Column{Name: phase + "Max", Unit: "ns", Kind: Integer},
			Column{Name: phase + "StdDev", Unit: "ns", Kind: Decimal, Digits: 1})
	}
	t.Columns = append(t.Columns, Column{Name: "API Name"}, Column{Name: "Kernel Name"})
	figures := func(s stats, v []Value) []Value {
		if s.n == 0 { // no kernel was queued; nsys has no figures then, but a deviation
			return append(v, Null, Null, Null, Null, Dec(0))
		}
		return append(v, Dec(s.avg), Dec(s.med), Int(s.min), Int(s.max), Dec(s.std))
	}
	return t.fill(len(total), func(i int, v []Value) []Value {
		g := &total[i]
		k := keys.keys[g.key]
		th := &p.Threads[k.thread]
		v = append(v, Int(p.Processes[th.Process].PID), Int(th.TID), Int(p.Devices[k.device].ID), Int(int64(g.n)),
			Int(int64(queue[g.key].n)))
		v = figures(g.stats, v)
		v = figures(api[g.key], v)
		v = figures(queue[g.key], v)
		v = figures(kernel[g.key], v)
		return append(v, Str(apiLabels[k.api]), Str(names.labels[k.name]))
	})
}

// byKey describes every group; a group without values has n = 0.
func byKey(n int, values [][]int64) []stats {
	out := make([]stats, n)
	for i, v := range values {
		if len(v) > 0 {
			out[i] = describe(v)
		}
	}
	return out
}
