package diagnose

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

// stallMin is the share of the steps' wall from which stalls are told: healthy servers show up to 1.3 %, where a sampler
// with top-k and top-p reads a value.
const stallMin = 0.03

var syncStall = Rule{
	ID: SyncStall, Title: "The launching thread waits for the GPU inside steps",
	Measures: "Host time of steps in which the launching thread waits in a synchronising call until the GPU has run dry, while " +
		"the step still has work of the model or the sampler to launch, and idle.sync: GPU idle time under a synchronising " +
		"call. A step without would take the larger of the GPU's work and the host's other work. Launches that return " +
		"only once their work is done (CUDA_LAUNCH_BLOCKING=1) count as such calls. Reported from 3 % of the wall on. Waiting " +
		"for sampled tokens once everything is launched is no stall: every engine does it once a step.",
	Wrong: "Host work between two such waits that launches next to nothing is taken for a part of reading the values. The " +
		"reason for a call (a .item(), a copy to the host, a logits processor) is in the Python code and only visible with stacks.",
	Fix: "Remove host reads of device values from the step: custom logits processors that look at logits, debugging settings; " +
		"pinned, non-blocking copies.",
	Needs: "API calls.", Source: "step budget, idle.sync; API calls between a step's launches",
	Check: func(c *Context) ([]Finding, string) {
		if why := c.hostEvidence(); why != "" {
			return nil, why
		}
		gain, steps, calls := c.heldGain((*hold).waits)
		warm := c.warm()
		idle := warm.Ns(step.IdleSync)
		share := ratio(max(gain, idle), c.Wall)
		if share < stallMin {
			return nil, ""
		}
		var f Finding
		switch {
		case c.blockingLaunches > 0:
			f = finding(share, sure, "Every launch waits until its work is done, as with CUDA_LAUNCH_BLOCKING=1: host and GPU work in turn (idle.launch and idle.scheduler in the budget), for up to %s of the time.", percent(share))
			f.Evidence = append(f.Evidence, Evidence{"launches that returned after their work had ended", float64(c.blockingLaunches), "launches", c.rowsOf(&c.All)})
		case gain > idle:
			f = finding(share, likely, "The launching thread waits inside steps until the GPU has run dry, %s a step: host and GPU work in turn (idle.launch and idle.scheduler in the budget), for up to %s of the time.",
				times(calls, max(1, steps)), percent(share))
		default:
			f = finding(share, likely, "The launching thread waits in synchronising calls while the GPU is idle: %s of the time.", percent(share))
		}
		if gain > 0 {
			g := c.typicalOrWarm()
			f.Evidence = append(f.Evidence, Evidence{"waiting inside the step, per typical step", ms(c.heldPerStep(g, (*hold).waits)), "ms", c.rowsOf(g)},
				Evidence{"steps that wait", float64(steps), "steps", fmt.Sprintf("of %d", len(warm.Steps))})
		}
		if idle > 0 && gain <= idle {
			f.Evidence = append(f.Evidence, Evidence{"idle during a synchronising call, per step", ms(c.perStep(&c.All, step.IdleSync)), "ms", c.rowsOf(&c.All)})
		}
		if c.blockingLaunches > 0 {
			return []Finding{f}, ""
		}
		if gain > idle {
			f.Evidence = append(f.Evidence, c.heldCalls((*hold).waits)...)
		} else {
			f.Evidence = append(f.Evidence, c.syncCalls()...)
		}
		return []Finding{f}, ""
	},
}

// times says how often something happens a step.
func times(n, steps int) string {
	switch x := float64(n) / float64(steps); {
	case n == steps:
		return "once"
	case x < 9.95:
		return fmt.Sprintf("%.3g times", x)
	default:
		return fmt.Sprintf("%.0f times", x)
	}
}

// heldCalls lists the functions that hold up steps by the time that their calls cost.
func (c *Context) heldCalls(keep func(*hold) bool) []Evidence {
	type agg struct {
		n          int
		gain, host int64
		longest    int64
		row        int64
	}
	p := c.P
	by := map[string]*agg{}
	for i := range c.held {
		h := &c.held[i]
		if !keep(h) || h.call == profile.None {
			continue
		}
		name := kernel.StripAPIVersion(p.Strings.At(p.Calls.Name[h.call]))
		a := by[name]
		if a == nil {
			a = &agg{}
			by[name] = a
		}
		a.n += h.n
		a.gain += h.gain
		a.host += h.host
		if d := p.Calls.Dur[h.call]; d > a.longest {
			a.longest, a.row = d, p.Calls.Row.At(int(h.call))
		}
	}
	names := slices.SortedFunc(maps.Keys(by), func(x, y string) int { return cmp.Or(cmp.Compare(by[y].gain, by[x].gain), cmp.Compare(x, y)) })
	var out []Evidence
	for _, n := range names[:min(3, len(names))] {
		a := by[n]
		out = append(out, Evidence{fmt.Sprintf("%s: %s inside steps", n, count(a.n, "call")), ms(a.host), "ms",
			fmt.Sprintf("longest in API row %d", a.row)})
	}
	return out
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
	Measures: "Calls from 1 ms on that are neither launches, copies nor synchronisation (allocation, code loading, queries, library " +
		"calls), and launches that take at least 20 times their function's median: the GPU idle time that they overlap. And " +
		"shorter calls of the launching thread that take or free memory, load code or build graphs inside steps: what the steps " +
		"would be shorter by without. From 2 % of the wall on. Calls in cold steps are told by cold-start.",
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
		if !r.Engine0 || len(durs) == 0 {
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
	held, steps, calls := c.heldGain((*hold).resource)
	share := ratio(total+held, c.Wall)
	if share < 0.02 {
		return nil, ""
	}
	var f Finding
	if held > total {
		f = finding(share, likely, "Taking and freeing memory, loading code or building graphs inside steps costs up to %s of the time: %s in %d of %d steps.",
			percent(share), count(calls, "call"), steps, len(c.warm().Steps))
		f.Evidence = c.heldCalls((*hold).resource)
	} else {
		f = finding(share, likely, "A few slow API calls hold up the GPU: %s of the time.", percent(share))
	}
	names := slices.SortedFunc(maps.Keys(by), func(x, y string) int { return cmp.Or(cmp.Compare(by[y].idle, by[x].idle), cmp.Compare(x, y)) })
	for _, n := range names[:min(3, len(names))] {
		a := by[n]
		f.Evidence = append(f.Evidence, Evidence{fmt.Sprintf("%s: %d slow calls, the longest %.1f ms; GPU idle meanwhile", n, a.n, ms(a.max)),
			ms(a.idle), "ms", fmt.Sprintf("longest in API row %d", a.row)})
	}
	return []Finding{f}, ""
}
