package step

import (
	"sort"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
)

// Limits of the idle rules, in ns.
const (
	// dispatchMax is the longest pause that counts as the GPU switching to work it already had. Back-to-back kernels
	// of one stream start 1-2 us apart and a graph's branches some more; what is longer has another reason that the
	// capture does not show.
	dispatchMax = 20_000
	// unlinkedMax is the same for work whose launch row is missing: too short for a host round trip.
	unlinkedMax = 5_000
	// BlockingCopy is the shortest copy call that counts as blocking; enqueuing one takes 5-30 us under tracing.
	BlockingCopy = 50_000
	// blockedReach bounds how far before a gap a blocking call may end for the search to go on behind it: a driver call
	// nested in a runtime call ends a little before it.
	blockedReach = 1_000_000
	// reachBack is how many rows before a gap are looked at for one that lasts into it.
	reachBack = 512
	// quietMin is the shortest host silence that can mean "no request was running".
	quietMin = 5_000_000
)

// idleCauses explains idle gaps of one rank from host evidence.
type idleCauses struct {
	a        *Analysis
	r        *Rank
	blocked  []interval.Layered // synchronising and blocking copy calls of the process, in order; Tag is the Part
	threadOf []int32            // thread of each of blocked
	profiler interval.Set
	over     []interval.Layered // scratch of overlay
	quiet    int64              // host silence longer than this between steps means that no request was running, ns
}

func newIdleCauses(a *Analysis, r *Rank) *idleCauses {
	c := &idleCauses{a: a, r: r}
	p := a.P
	kinds := a.callKinds()
	for i, n := range p.Calls.Name {
		var part Part
		switch kinds[n] {
		case kernel.APISyncEvent, kernel.APISyncStream, kernel.APISyncDevice:
			part = IdleSync
		case kernel.APIMemcpy:
			// A copy call that takes this long waited for the copy: it was synchronous, by name or because one side
			// is pageable memory.
			if p.Calls.Dur[i] < BlockingCopy {
				continue
			}
			part = IdleCopy
		default:
			continue
		}
		t := p.Calls.Thread[i]
		if p.Threads[t].Process != r.Process {
			continue
		}
		c.blocked = append(c.blocked, interval.Layered{
			Span: interval.Span{Start: p.Calls.Start[i], End: p.Calls.Start[i] + p.Calls.Dur[i]}, Tag: int32(part)})
		c.threadOf = append(c.threadOf, t)
	}
	var over []interval.Span
	for i, t := range p.Overheads.Thread {
		if t == profile.None || p.Threads[t].Process == r.Process {
			over = append(over, interval.Span{Start: p.Overheads.Start[i], End: p.Overheads.Start[i] + p.Overheads.Dur[i]})
		}
	}
	c.profiler = interval.Union(over)
	c.quiet = c.quietLimit()
	return c
}

// quietLimit sets how long the host must be silent between two steps before the silence means that nothing was to be
// done: ten times the usual pause between steps, and at least quietMin.
func (c *idleCauses) quietLimit() int64 {
	var pauses []int64
	for k, s := range c.r.Steps {
		if k == 0 {
			continue
		}
		st, prev := &c.a.Steps[s], &c.a.Steps[c.r.Steps[k-1]]
		pauses = append(pauses, max(0, st.GPU.Start-prev.LastEnd))
	}
	return max(quietMin, 10*median(pauses))
}

// split explains the gap g before operation next. The pieces that emit gets are in order and cover g exactly.
func (c *idleCauses) split(g interval.Span, prev, next int32, between bool, emit func(interval.Span, Part)) {
	call := c.a.call(c.r.Ops[next])
	if call == profile.None {
		if g.Dur() <= unlinkedMax {
			emit(g, IdleDispatch)
			return
		}
		c.overlay(g, IdleUnknown, profile.None, emit)
		return
	}
	if prev >= 0 && c.a.call(c.r.Ops[prev]) == call {
		// Inside one graph launch: everything was enqueued at once.
		dispatch(g, emit)
		return
	}
	calls := &c.a.P.Calls
	launch := interval.Span{Start: calls.Start[call], End: calls.Start[call] + calls.Dur[call]}
	if host := (interval.Span{Start: g.Start, End: min(launch.Start, g.End)}); !host.Empty() {
		cause := IdleLaunch
		if between {
			cause = IdleScheduler
		}
		if between && host.Dur() > quietMin/2 {
			c.requests(host, prev, next, calls.Thread[call], emit)
		} else {
			c.overlay(host, cause, calls.Thread[call], emit)
		}
	}
	if in := launch.Clip(g); !in.Empty() {
		c.overlay(in, IdleLaunch, profile.None, emit)
	}
	if rest := (interval.Span{Start: max(launch.End, g.Start), End: g.End}); !rest.Empty() {
		dispatch(rest, emit)
	}
}

// dispatch is a pause with the work already enqueued.
func dispatch(g interval.Span, emit func(interval.Span, Part)) {
	if g.Dur() <= dispatchMax {
		emit(g, IdleDispatch)
		return
	}
	mid := g.Start + dispatchMax
	emit(interval.Span{Start: g.Start, End: mid}, IdleDispatch)
	emit(interval.Span{Start: mid, End: g.End}, IdleUnknown)
}

// overlay gives g to base, except where the profiler held the host, another rank of a pipeline ran its part, or the launching
// thread was blocked in a call.
func (c *idleCauses) overlay(g interval.Span, base Part, thread int32, emit func(interval.Span, Part)) {
	c.over = c.over[:0]
	if interval.Busy(c.profiler, g) > 0 {
		for _, s := range interval.Clip(c.profiler, g) {
			c.over = append(c.over, interval.Layered{Span: s, Rank: 3, Tag: int32(IdleProfiler)})
		}
	}
	// Between a pipeline's steps a rank has nothing to do while another runs its part of the layers.
	if base != IdleLaunch && interval.Busy(c.r.peers, g) > 0 {
		for _, s := range interval.Clip(c.r.peers, g) {
			c.over = append(c.over, interval.Layered{Span: s, Rank: 2, Tag: int32(IdlePeer)})
		}
	}
	if thread != profile.None {
		// Calls of one thread do not overlap by much (driver calls nest in runtime calls), so looking back from the
		// gap's end until a call ends before the gap is enough; a bounded number of steps covers nesting.
		hi := sort.Search(len(c.blocked), func(i int) bool { return c.blocked[i].Start >= g.End })
		for i, missed := hi-1, 0; i >= 0 && missed < 64; i-- {
			if c.threadOf[i] == thread {
				if s := c.blocked[i].Clip(g); !s.Empty() {
					c.over = append(c.over, interval.Layered{Span: s, Rank: 1, Tag: c.blocked[i].Tag})
					continue
				}
				if c.blocked[i].End+blockedReach < g.Start {
					break
				}
			}
			missed++
		}
	}
	if len(c.over) == 0 {
		emit(g, base)
		return
	}
	in := append([]interval.Layered{{Span: g, Rank: 0, Tag: int32(base)}}, c.over...)
	for _, o := range interval.Attribute(in) {
		emit(o.Span, Part(o.Tag))
	}
}

// requests explains a long pause between steps. No request was running when the next step starts from nothing (all
// its requests are new although the step before decoded), or while no thread of the engine did anything recorded for
// much longer than it usually pauses. A step that goes on decoding what the step before ran shows that there were requests.
func (c *idleCauses) requests(g interval.Span, prev, next, thread int32, emit func(interval.Span, Part)) {
	drained := false
	if s, ps := c.r.OpStep[next], c.r.OpStep[prev]; ps != profile.None {
		st, before := &c.a.Steps[s], &c.a.Steps[ps]
		drained = st.Phase == Prefill && before.Phase == Decode
		if n := st.Batch.DecodeRequests; n > 0 && n <= before.Batch.Requests() {
			// The step goes on with requests of the step before: they were there all the time.
			c.overlay(g, IdleScheduler, thread, emit)
			return
		}
	}
	q := c.longestSilence(g)
	if q.Dur() < c.quiet && !(drained && q.Dur() >= quietMin/2) {
		c.overlay(g, IdleScheduler, thread, emit)
		return
	}
	if a := (interval.Span{Start: g.Start, End: q.Start}); !a.Empty() {
		c.overlay(a, IdleScheduler, thread, emit)
	}
	c.overlay(q, IdleRequests, profile.None, emit)
	if b := (interval.Span{Start: q.End, End: g.End}); !b.Empty() {
		c.overlay(b, IdleScheduler, thread, emit)
	}
}

// longestSilence returns the longest stretch of g in which the rank's process made no API call and opened no
// annotation.
func (c *idleCauses) longestSilence(g interval.Span) interval.Span {
	p := c.a.P
	var busy []interval.Span
	scan := func(start, dur []int64, thread []int32) {
		from := searchStart(start, g.Start)
		// What began before may last into the gap: a call of tens of milliseconds has few others beside it.
		for i := max(0, from-reachBack); i < len(start) && start[i] < g.End; i++ {
			if t := thread[i]; t != profile.None && p.Threads[t].Process == c.r.Process {
				if s := (interval.Span{Start: start[i], End: start[i] + max(dur[i], 1)}).Clip(g); !s.Empty() {
					busy = append(busy, s)
				}
			}
		}
	}
	scan(p.Calls.Start, p.Calls.Dur, p.Calls.Thread)
	scan(p.Ranges.Start, p.Ranges.Dur, p.Ranges.Thread)
	var best interval.Span
	for _, q := range interval.Gaps(interval.Union(busy), g) {
		if q.Dur() > best.Dur() {
			best = q
		}
	}
	if best.Empty() {
		return interval.Span{Start: g.Start, End: g.Start}
	}
	return best
}
