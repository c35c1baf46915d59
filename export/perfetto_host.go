package export

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/align"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/serving"
)

// byThread lists the rows of a table by thread, in order of start; at equal starts the longer row comes first, so that
// what encloses is opened before what it holds. Rows without a thread come under profile.None.
type byThread struct {
	threads []int32
	rows    map[int32][]int32
}

func groupByThread(start, dur []int64, thread []int32, keep func(int) bool) byThread {
	g := byThread{rows: map[int32][]int32{}}
	count := map[int32]int32{}
	for i, t := range thread {
		if keep == nil || keep(i) {
			count[t]++
		}
	}
	for t, n := range count {
		g.threads = append(g.threads, t)
		g.rows[t] = make([]int32, 0, n)
	}
	slices.Sort(g.threads)
	for i, t := range thread {
		if keep == nil || keep(i) {
			g.rows[t] = append(g.rows[t], int32(i))
		}
	}
	for _, rows := range g.rows {
		for lo := 0; lo < len(rows); {
			hi := lo + 1
			for hi < len(rows) && start[rows[hi]] == start[rows[lo]] {
				hi++
			}
			if hi-lo > 1 {
				slices.SortStableFunc(rows[lo:hi], func(a, b int32) int {
					return cmp.Compare(until(start[b], dur[b]), until(start[a], dur[a]))
				})
			}
			lo = hi
		}
	}
	return g
}

// hosts writes the processes with their threads: one track per kind of event.
func (t *trace) hosts() {
	p := t.p
	kinds := t.callKinds()
	t.table("CUDA API", 1, true, p.Calls.Start, p.Calls.Dur, p.Calls.Thread, nil, func(track uint64, i int) {
		id := p.Calls.Name[i]
		var flows func(func(uint64))
		if ops := t.launches.of(i); len(ops) > 0 {
			flows = func(yield func(uint64)) {
				for _, o := range ops {
					yield(flowID(o))
				}
			}
		}
		t.number("correlation", int64(p.Calls.Correlation[i]))
		if r := p.Calls.Result[i]; r != 0 {
			t.number("result", int64(r))
		}
		t.begin(track, p.Calls.Start[i], name{text: kinds[id].name}, kinds[id].library, flows)
	})
	t.table("cuBLAS and cuDNN", 2, true, p.LibCalls.Start, p.LibCalls.Dur, p.LibCalls.Thread, nil, func(track uint64, i int) {
		t.begin(track, p.LibCalls.Start[i], name{id: p.LibCalls.Name[i]}, "library", nil)
	})
	ranges := &p.Ranges
	rangeOf := func(category string) func(uint64, int) {
		return func(track uint64, i int) {
			if d := ranges.Domain[i]; d != profile.None && p.Domains[d].Name != "" {
				t.detail("domain", name{text: p.Domains[d].Name})
			}
			if ranges.Kind[i] == profile.Mark {
				t.instant(track, ranges.Start[i], name{id: ranges.Text[i]}, category)
				return
			}
			t.begin(track, ranges.Start[i], name{id: ranges.Text[i]}, category, nil)
		}
	}
	kind := func(k profile.RangeKind) func(int) bool { return func(i int) bool { return ranges.Kind[i] == k } }
	t.table("NVTX", 0, true, ranges.Start, ranges.Dur, ranges.Thread, kind(profile.PushPop), rangeOf("nvtx"))
	t.table("NVTX start/end ranges", 3, false, ranges.Start, ranges.Dur, ranges.Thread, kind(profile.StartEnd), rangeOf("nvtx"))
	t.marks(kind(profile.Mark), rangeOf("nvtx"))
	t.table("Operators", 4, true, p.Ops.Start, p.Ops.Dur, p.Ops.Thread, nil, func(track uint64, i int) {
		if p.Ops.Dims[i] != 0 {
			t.detail("shapes", name{id: p.Ops.Dims[i]})
		}
		t.begin(track, p.Ops.Start[i], name{id: p.Ops.Name[i]}, "operator", nil)
	})
	t.table("Python", 5, true, p.Frames.Start, p.Frames.Dur, p.Frames.Thread, nil, func(track uint64, i int) {
		t.begin(track, p.Frames.Start[i], name{id: p.Frames.Name[i]}, "python", nil)
	})
	t.table("OS runtime", 6, true, p.OSCalls.Start, p.OSCalls.Dur, p.OSCalls.Thread, nil, func(track uint64, i int) {
		t.begin(track, p.OSCalls.Start[i], name{id: p.OSCalls.Name[i]}, "os", nil)
	})
	t.table("Profiler overhead", 7, true, p.Overheads.Start, p.Overheads.Dur, p.Overheads.Thread, nil, func(track uint64, i int) {
		t.begin(track, p.Overheads.Start[i], name{id: p.Overheads.Name[i]}, "overhead", nil)
	})
}

// apiName is what the API calls of one name are written as.
type apiName struct{ name, library string }

func (t *trace) callKinds() map[profile.StringID]apiName {
	out := map[profile.StringID]apiName{}
	for _, n := range t.p.Calls.Name {
		if _, ok := out[n]; !ok {
			s := t.p.Strings.At(n)
			x := apiName{kernel.StripAPIVersion(s), kernel.Library(s)}
			if x.name == "" {
				x.name = "(no name)"
			}
			out[n] = x
		}
	}
	return out
}

// table writes the rows of a table that keep accepts, a track per thread and further ones where rows do not nest.
func (t *trace) table(title string, rank int, nest bool, start, dur []int64, thread []int32, keep func(int) bool, write func(track uint64, i int)) {
	groups := groupByThread(start, dur, thread, keep)
	for _, th := range groups.threads {
		g := &lanes{t: t, nest: nest, make: func(int) uint64 { return t.track(t.parentOf(th), title, ranked(rank)) }}
		for _, i := range groups.rows[th] {
			track := g.place(start[i], until(start[i], dur[i]))
			write(track, int(i))
		}
		g.finish()
	}
}

// parentOf returns the thread's track; what is tied to no thread stands by itself.
func (t *trace) parentOf(thread int32) uint64 {
	if thread == profile.None {
		return 0
	}
	return t.thread(thread)
}

// marks writes NVTX marks, which take no time.
func (t *trace) marks(keep func(int) bool, write func(uint64, int)) {
	groups := groupByThread(t.p.Ranges.Start, t.p.Ranges.Dur, t.p.Ranges.Thread, keep)
	for _, th := range groups.threads {
		track := t.track(t.parentOf(th), "NVTX marks", ranked(3))
		for _, i := range groups.rows[th] {
			write(track, int(i))
		}
	}
}

// server writes the requests that the server's own trace places in the capture's time.
func (t *trace) server(run *serving.Run) {
	if run == nil {
		return
	}
	al := align.Align(t.a, run)
	if al.RequestErrNs < 0 {
		return
	}
	requests := slices.DeleteFunc(slices.Clone(al.Requests), func(q align.Request) bool { return q.EndNs == nil || *q.EndNs < q.StartNs })
	slices.SortStableFunc(requests, func(x, y align.Request) int { return cmp.Compare(x.StartNs, y.StartNs) })
	if len(requests) == 0 {
		return
	}
	parent := uint64(0)
	g := &lanes{t: t, make: func(int) uint64 {
		if parent == 0 {
			parent = t.track(0, "Requests", nil)
		}
		return t.track(parent, "Requests", nil)
	}}
	for i := range requests {
		q := &requests[i]
		track := g.place(q.StartNs, *q.EndNs)
		if q.PromptTokens >= 0 {
			t.number("prompt tokens", q.PromptTokens)
		}
		if q.OutputTokens >= 0 {
			t.number("output tokens", q.OutputTokens)
		}
		if q.FirstTokenNs != nil {
			t.number("time to first token ns", *q.FirstTokenNs-q.StartNs)
		}
		if q.ScheduledNs != nil {
			t.number("queue ns", *q.ScheduledNs-q.StartNs)
		}
		t.number("placed within ns", al.RequestErrNs)
		t.begin(track, q.StartNs, name{text: strings.TrimSpace(fmt.Sprintf("request %s", q.ID))}, "request", nil)
	}
	g.finish()
}
