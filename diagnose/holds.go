package diagnose

import (
	"cmp"
	"slices"
	"sort"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

// hold is host time inside a step that the launching thread spent waiting for the GPU to run dry although the step had
// more to launch: in a call that synchronises, in a copy that waits for all earlier work, or in launches that wait for
// their own work.
type hold struct {
	step int32
	call int32 // the call that waited, the longest one where several form a loop
	n    int   // calls that waited
	kind kernel.APIKind
	host int64 // ns of the launching thread that would not be spent
	gain int64 // by how much the step's wall would be shorter without, ns
}

// loopOps is the number of operations that a thread launches at most between two waits of one loop over values that it
// reads: a reduction, a copy, and what an operator adds.
const loopOps = 4

// launched is one launch call of a step with the time of its work.
type launched struct {
	call  interval.Span
	work  interval.Span
	model bool // holds a kernel of the model or of sampling: the step is not over before it
	row   int32
}

// findHolds finds the waits inside the steady steps of the engines. A step whose host did not wait would take the larger of
// the GPU's work and the host's other work.
func (c *Context) findHolds() {
	if c.P.Calls.Len() == 0 {
		return
	}
	var buf []launched
	var all, within int
	var longest int64
	var blocking []hold
	for _, i := range c.A.Primary {
		s := &c.A.Steps[i]
		r := &c.A.Ranks[s.Rank]
		if s.Cold || s.Open || r.Thread == profile.None {
			continue
		}
		buf = c.launches(buf[:0], i, r)
		if len(buf) == 0 {
			continue
		}
		idle := s.Budget[step.IdleLaunch] + s.Budget[step.IdleSync] + s.Budget[step.IdleScheduler] + s.Budget[step.IdleCopy]
		copied := idle
		for _, p := range copyParts {
			copied += s.Budget[p]
		}
		for _, h := range append(c.drains(buf, r), c.resourceCalls(s, r)...) {
			room := &idle
			if h.copies() {
				room = &copied // without the copy the GPU is free of it too
			}
			h.step, h.gain = i, min(h.host, *room)
			idle, copied = idle-h.gain, copied-h.gain
			c.held = append(c.held, h)
		}
		b := hold{step: i, kind: kernel.APILaunch, call: profile.None}
		for _, l := range buf {
			if k := c.A.CallKind(l.row); k != kernel.APILaunch && k != kernel.APIGraphLaunch {
				continue // copies are asynchronous all the same
			}
			all++
			if l.call.End < l.work.End {
				continue
			}
			within++
			wait := l.call.End - max(l.call.Start, l.work.Start)
			longest = max(longest, l.work.Dur())
			if b.call == profile.None || wait > b.host/max(1, int64(b.n)) {
				b.call = l.row
			}
			b.host += wait
			b.n++
		}
		if b.gain = min(b.host, idle); b.gain > 0 {
			blocking = append(blocking, b)
		}
	}
	// Launches return before their work is done, by far, unless they are made to wait for it. A short kernel on an idle GPU
	// can end before its launch returns; a long one cannot.
	if all >= 50 && within*10 >= all*9 && longest >= blockingWork {
		c.blockingLaunches, c.held = within, append(c.held, blocking...)
	}
}

// resourceCalls lists the calls of a step's host time that take or give back memory, load code or build graphs: a step at
// work needs none. Calls from slowCall on are api-latency's single slow calls and not in the list.
func (c *Context) resourceCalls(s *step.Step, r *step.Rank) []hold {
	calls := &c.P.Calls
	var out []hold
	var end int64
	lo := sort.Search(calls.Len(), func(i int) bool { return calls.Start[i] >= s.Host.Start })
	for i := lo; i < calls.Len() && calls.Start[i] < s.Host.End; i++ {
		if calls.Thread[i] != r.Thread || calls.Dur[i] >= slowCall {
			continue
		}
		switch k := c.A.CallKind(int32(i)); k {
		case kernel.APIAlloc, kernel.APIFree, kernel.APIModuleLoad, kernel.APIGraphBuild:
			if calls.Start[i] >= end { // not a driver call within the runtime's
				out = append(out, hold{call: int32(i), n: 1, kind: k, host: calls.Dur[i]})
				end = calls.End(i)
			}
		}
	}
	return out
}

// waits, copies and resource tell the holds of sync-stall, transfer-bound and api-latency apart.
func (h *hold) waits() bool    { return h.kind == kernel.APILaunch || h.kind.Sync() }
func (h *hold) copies() bool   { return h.kind == kernel.APIMemcpy }
func (h *hold) resource() bool { return !h.waits() && !h.copies() }

// heldGain sums what steps would be shorter by without the holds that keep picks, in ns, and counts the steps that have one.
func (c *Context) heldGain(keep func(*hold) bool) (gain int64, steps, calls int) {
	seen := map[int32]bool{}
	for i := range c.held {
		h := &c.held[i]
		if !keep(h) {
			continue
		}
		gain += h.gain
		calls += h.n
		seen[h.step] = true
	}
	return gain, len(seen), calls
}

// heldMost reports whether most steady steps have a hold that keep picks.
func (c *Context) heldMost(keep func(*hold) bool) bool {
	_, steps, _ := c.heldGain(keep)
	return 2*steps > c.closedSteps()
}

// HeldPerStep is the median host time of a typical step that waits for the GPU inside the step, ns; 0 where fewer than half
// of the typical steps wait.
func (c *Context) HeldPerStep() int64 { return c.heldPerStep(&c.Typical, (*hold).waits) }

// CopiesHeldPerStep is the same for copies that the launching thread waits for.
func (c *Context) CopiesHeldPerStep() int64 { return c.heldPerStep(&c.Typical, (*hold).copies) }

// typicalOrWarm is the group that a number per step is told of.
func (c *Context) typicalOrWarm() *Group {
	if len(c.Typical.Steps) > 0 {
		return &c.Typical
	}
	warm := c.warm()
	return &warm
}

func (c *Context) heldPerStep(g *Group, keep func(*hold) bool) int64 {
	by := map[int32]int64{}
	for i := range c.held {
		if h := &c.held[i]; keep(h) {
			by[h.step] += h.host
		}
	}
	return c.quantiles(g, func(s *step.Step) (int64, bool) { return by[c.A.Ranks[s.Rank].Steps[s.Index]], true }).Median
}

// LaunchesBlock reports whether launches wait for their own work.
func (c *Context) LaunchesBlock() bool { return c.blockingLaunches > 0 }

// blockingWork is the shortest work that must have ended within its launch call for launches to be called blocking, ns.
const blockingWork = 50_000

// launches lists the launch calls of step i by the rank's launching thread, in order.
func (c *Context) launches(buf []launched, i int32, r *step.Rank) []launched {
	s, calls := &c.A.Steps[i], &c.P.Calls
	last := profile.None
	for j := s.FirstOp; j <= s.LastOp; j++ {
		if r.OpStep[j] != i {
			continue
		}
		o := r.Ops[j]
		call := c.A.CallOf(o)
		if call == profile.None || calls.Thread[call] != r.Thread {
			continue
		}
		p := c.A.PartOf(o)
		model := p == step.Graph || int(p) < kernel.NumStages && p != step.Part(kernel.Other) && p != step.Part(kernel.Bookkeeping) && p != step.Part(kernel.Copy)
		w := c.A.Span(o)
		if call == last { // the rest of a graph
			b := &buf[len(buf)-1]
			b.work = interval.Span{Start: min(b.work.Start, w.Start), End: max(b.work.End, w.End)}
			b.model = b.model || model
			continue
		}
		buf = append(buf, launched{call: interval.Span{Start: calls.Start[call], End: calls.End(int(call))}, work: w, model: model, row: call})
		last = call
	}
	slices.SortFunc(buf, func(x, y launched) int {
		return cmp.Or(cmp.Compare(x.call.Start, y.call.Start), cmp.Compare(x.row, y.row))
	})
	// A graph whose kernels interleave with other work appears more than once.
	out := buf[:0]
	for _, l := range buf {
		if n := len(out); n > 0 && out[n-1].row == l.row {
			out[n-1].work = interval.Span{Start: min(out[n-1].work.Start, l.work.Start), End: max(out[n-1].work.End, l.work.End)}
			out[n-1].model = out[n-1].model || l.model
			continue
		}
		out = append(out, l)
	}
	return out
}

// drains finds the calls of the step's launching thread that returned when the GPU had run dry, between launches of the
// step, before its last launch of the model's or the sampler's work.
func (c *Context) drains(ls []launched, r *step.Rank) []hold {
	calls := &c.P.Calls
	end := -1
	for k := range ls {
		if ls[k].model {
			end = k
		}
	}
	if end < 1 {
		return nil
	}
	var out []hold
	var prev interval.Span // the last wait
	prevAt := -1           // launches before it
	lo := sort.Search(calls.Len(), func(i int) bool { return calls.Start[i] > ls[0].call.Start })
	k := 0         // launches before the call
	var done int64 // when their work ends
	for i := lo; i < calls.Len() && calls.Start[i] < ls[end].call.Start; i++ {
		if calls.Thread[i] != r.Thread {
			continue
		}
		kind := c.A.CallKind(int32(i))
		span := interval.Span{Start: calls.Start[i], End: calls.End(i)}
		for ; k < len(ls) && ls[k].call.Start <= span.Start; k++ {
			done = max(done, ls[k].work.End)
		}
		switch {
		case kind.Sync():
		case kind == kernel.APIMemcpy && k > 0 && ls[k-1].row == int32(i) && span.Dur() >= step.BlockingCopy && span.End >= ls[k-1].work.End:
			if span.Dur() > 4*ls[k-1].work.Dur() {
				kind = kernel.APISyncStream // it waits for what was launched before, as a read of one value does
			}
		default:
			continue
		}
		if k == 0 || k > end || done <= span.Start || done > span.End {
			continue // the GPU had nothing to do already, or still has
		}
		if span.End <= prev.End {
			continue // the driver's call within the runtime's
		}
		if n := len(out); n > 0 && out[n-1].kind == kind && k-prevAt <= loopOps {
			h := &out[n-1]
			h.host += span.End - prev.End // the loop's body is there for the reading
			h.n++
			if span.Dur() > calls.Dur[h.call] {
				h.call = int32(i)
			}
		} else {
			out = append(out, hold{call: int32(i), n: 1, kind: kind, host: span.Dur()})
		}
		prev, prevAt = span, k
	}
	return out
}
