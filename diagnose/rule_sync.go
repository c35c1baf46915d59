package diagnose

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

var syncStall = Rule{
	ID: SyncStall, Title: "The launching thread is blocked in a synchronising call while the GPU is idle",
	Measures: "idle.sync: GPU idle time during which the thread that launches the next work sat in an event, stream or device " +
		"synchronisation. Waiting for a GPU that works is no stall: every engine waits for its sampled tokens once a step.",
	Wrong: "The call that is blamed is the one that overlaps the idle time; the reason for making it (a .item(), a copy to " +
		"the host, a logits processor) is in the Python code and only visible with stacks.",
	Fix:   "Remove host reads of device values from the step; asynchronous scheduling; pinned, non-blocking copies.",
	Needs: "API calls.", Source: "step budget, idle.sync",
	Check: func(c *Context) ([]Finding, string) {
		if why := c.hostEvidence(); why != "" {
			return nil, why
		}
		warm := c.warm()
		share := ratio(warm.Ns(step.IdleSync), c.Wall)
		if share < 0.03 {
			return nil, ""
		}
		f := finding(share, likely, "The launching thread waits in synchronising calls while the GPU is idle: %s of the time.", percent(share))
		f.Evidence = append(f.Evidence, Evidence{"idle during a synchronising call, per step", ms(c.perStep(&c.All, step.IdleSync)), "ms", c.rowsOf(&c.All)})
		f.Evidence = append(f.Evidence, c.syncCalls()...)
		return []Finding{f}, ""
	},
}

// syncCalls lists the synchronising functions by the GPU idle time that they overlap.
func (c *Context) syncCalls() []Evidence {
	p := c.P
	type agg struct {
		name    string
		n       int
		idle    int64
		longest int64
		row     int64
		tid     int64
	}
	type key struct {
		name profile.StringID
		tid  int64
	}
	by := map[key]*agg{}
	for ri := range c.A.Ranks {
		r := &c.A.Ranks[ri]
		if !r.Engine0 {
			continue
		}
		idle := interval.Gaps(r.Busy, r.Wall)
		for i, n := range p.Calls.Name {
			t := p.Calls.Thread[i]
			if p.Threads[t].Process != r.Process {
				continue
			}
			if !c.A.CallKind(int32(i)).Sync() {
				continue
			}
			s := interval.Span{Start: p.Calls.Start[i], End: p.Calls.Start[i] + p.Calls.Dur[i]}
			k := key{n, p.Threads[t].TID}
			a := by[k]
			if a == nil {
				a = &agg{name: kernel.StripAPIVersion(p.Strings.At(n)), tid: k.tid}
				by[k] = a
			}
			a.n++
			b := interval.Busy(idle, s)
			a.idle += b
			if b > a.longest {
				a.longest, a.row = b, p.Calls.Row.At(i)
			}
		}
	}
	list := make([]*agg, 0, len(by))
	for _, a := range by {
		if a.idle > 0 {
			list = append(list, a)
		}
	}
	slices.SortFunc(list, func(x, y *agg) int {
		return cmp.Or(cmp.Compare(y.idle, x.idle), cmp.Compare(x.name, y.name), cmp.Compare(x.tid, y.tid))
	})
	var out []Evidence
	for _, a := range list[:min(3, len(list))] {
		out = append(out, Evidence{fmt.Sprintf("%s on thread %d: %d calls, GPU idle meanwhile", a.name, a.tid, a.n), ms(a.idle), "ms",
			fmt.Sprintf("longest in API row %d", a.row)})
	}
	return out
}

var apiLatency = Rule{
	ID: APILatency, Title: "Single API calls take far longer than usual and hold up the GPU",
	Measures: "Calls that are neither launches, copies nor synchronisation (allocation, code loading, queries, library calls), " +
		"and launches that take at least 20 times their function's median and over 1 ms: the GPU idle time that they overlap, from " +
		"2 % of the wall on. Calls in cold steps are told by cold-start.",
	Wrong: "A long call can be the operating system taking the thread off its core; without scheduling data the two look alike.",
	Fix:   "Warm-up that covers the shapes in use; no allocation or code loading inside steps (JIT, lazy loading); CPU pinning.",
	Needs: "API calls.", Source: "API table; CUDA lazy loading",
	Check: func(c *Context) ([]Finding, string) {
		if why := c.hostEvidence(); why != "" {
			return nil, why
		}
		return c.slowCalls()
	},
}

// coldSpans is the host time of a rank's cold steps: their slow calls are first-use effects, which cold-start tells.
func (c *Context) coldSpans(r *step.Rank) interval.Set {
	var out []interval.Span
	for _, i := range r.Steps {
		if s := &c.A.Steps[i]; s.Cold && !s.Host.Empty() {
			out = append(out, s.Host)
		}
	}
	return interval.Union(out)
}

// slowCall is the shortest call that api-latency looks at, ns.
const slowCall = 1_000_000

func (c *Context) slowCalls() ([]Finding, string) {
	p := c.P
	durs := map[profile.StringID][]int64{}
	for i, n := range p.Calls.Name {
		if p.Calls.Dur[i] >= slowCall {
			durs[n] = nil
		}
	}
	if len(durs) == 0 {
		return nil, ""
	}
	for i, n := range p.Calls.Name {
		if d, ok := durs[n]; ok {
			durs[n] = append(d, p.Calls.Dur[i])
		}
	}
	usual := map[profile.StringID]int64{}
	for n, d := range durs {
		usual[n] = nth(d, len(d)/2)
	}
	type agg struct {
		n    int
		idle int64
		max  int64
		row  int64
	}
	by := map[string]*agg{}
	var total int64
	for ri := range c.A.Ranks {
		r := &c.A.Ranks[ri]
		if !r.Engine0 {
			continue
		}
		idle := interval.Gaps(r.Busy, r.Wall)
		cold := c.coldSpans(r)
		for i, n := range p.Calls.Name {
			d := p.Calls.Dur[i]
			if d < slowCall || p.Threads[p.Calls.Thread[i]].Process != r.Process || interval.Busy(cold, interval.Span{Start: p.Calls.Start[i], End: p.Calls.Start[i] + 1}) > 0 {
				continue
			}
			kind := c.A.CallKind(int32(i))
			if kind.Sync() || kind == kernel.APIMemcpy || kind == kernel.APIProfiler {
				continue
			}
			if (kind == kernel.APILaunch || kind == kernel.APIGraphLaunch) && (d < 20*usual[n] || len(durs[n]) < 8) {
				continue
			}
			b := interval.Busy(idle, interval.Span{Start: p.Calls.Start[i], End: p.Calls.Start[i] + d})
			if b == 0 {
				continue
			}
			short := kernel.StripAPIVersion(p.Strings.At(n))
			a := by[short]
			if a == nil {
				a = &agg{}
				by[short] = a
			}
			a.n++
			a.idle += b
			total += b
			if d > a.max {
				a.max, a.row = d, p.Calls.Row.At(i)
			}
		}
	}
	share := ratio(total, c.Wall)
	if share < 0.02 {
		return nil, ""
	}
	f := finding(share, likely, "A few slow API calls hold up the GPU: %s of the time.", percent(share))
	names := make([]string, 0, len(by))
	for n := range by {
		names = append(names, n)
	}
	slices.SortFunc(names, func(x, y string) int { return cmp.Or(cmp.Compare(by[y].idle, by[x].idle), cmp.Compare(x, y)) })
	for _, n := range names[:min(3, len(names))] {
		a := by[n]
		f.Evidence = append(f.Evidence, Evidence{fmt.Sprintf("%s: %d slow calls, the longest %.1f ms; GPU idle meanwhile", n, a.n, ms(a.max)),
			ms(a.idle), "ms", fmt.Sprintf("longest in API row %d", a.row)})
	}
	return []Finding{f}, ""
}
