package diagnose

import (
	"fmt"
	"math"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

// What makes engines of one capture different: decode steps that take so many times as long, work for so much less of the
// time, or so many times the requests in a step.
const (
	enginesSlower = 1.3
	enginesIdler  = 0.7
	enginesFuller = 1.5
)

// load is what an engine did in the time in which any of them ran steps.
type load struct {
	gpu      string
	period   int64 // median of decode steps, 0 where there are none
	requests int64 // median of decode steps, -1 not recorded
	active   float64
}

// loads are the engines of the capture, in order.
func (c *Context) loads() []load {
	from, to := int64(math.MaxInt64), int64(math.MinInt64)
	for _, i := range c.A.Primary {
		s := &c.A.Steps[i]
		from, to = min(from, s.GPU.Start), max(to, s.GPU.End)
	}
	var out []load
	for ri := range c.A.Ranks {
		r := &c.A.Ranks[ri]
		if !r.Engine0 {
			continue
		}
		l := load{gpu: c.gpu(int32(ri)), requests: -1}
		var periods, requests []int64
		var ns int64
		for _, i := range r.Steps {
			s := &c.A.Steps[i]
			if in := min(s.GPU.End, to) - max(s.GPU.Start, from); in > 0 {
				ns += max(0, in-s.Budget[step.IdleRequests])
			}
			if s.Phase != step.Decode {
				continue
			}
			if s.Period >= 0 {
				periods = append(periods, s.Period)
			}
			if n := s.Batch.DecodeRequests; n >= 0 {
				requests = append(requests, n)
			}
		}
		if len(periods) > 0 {
			l.period = quantiles(periods).Median
		}
		if len(requests) > 0 {
			l.requests = quantiles(requests).Median
		}
		l.active = ratio(ns, to-from)
		out = append(out, l)
	}
	return out
}

// enginesDiffer says in what the engines of a capture are not alike, "" where they are.
func (c *Context) enginesDiffer() string {
	loads := c.loads()
	if len(loads) < 2 {
		return ""
	}
	extremes := func(of func(*load) float64) (lo, hi *load) {
		for i := range loads {
			l := &loads[i]
			if of(l) <= 0 {
				continue
			}
			if lo == nil || of(l) < of(lo) {
				lo = l
			}
			if hi == nil || of(l) > of(hi) {
				hi = l
			}
		}
		return lo, hi
	}
	active := func(l *load) float64 { return l.active }
	if lo, hi := extremes(active); lo != nil && lo.active < enginesIdler*hi.active {
		return fmt.Sprintf("The engines are not loaded alike: %s runs steps %s of the time and %s %s.", hi.gpu, percent(hi.active), lo.gpu, percent(lo.active))
	}
	if lo, hi := extremes(func(l *load) float64 { return float64(l.requests) }); lo != nil && float64(hi.requests) >= enginesFuller*float64(lo.requests) {
		return fmt.Sprintf("The engines are not loaded alike: a decode step has %s on %s and %s on %s.", requests(hi.requests), hi.gpu, requests(lo.requests), lo.gpu)
	}
	if lo, hi := extremes(func(l *load) float64 { return float64(l.period) }); lo != nil && float64(hi.period) > enginesSlower*float64(lo.period) {
		return fmt.Sprintf("The engines are not equally fast: a decode step takes %.2f ms on %s and %.2f ms on %s.", ms(hi.period), hi.gpu, ms(lo.period), lo.gpu)
	}
	return ""
}

// enginesMissing says which part of the server's data-parallel engines ran no step in the capture.
func (c *Context) enginesMissing() string {
	dp, have := c.Engine.DataParallel, len(c.engines())
	if !dp.Known || have == 0 || int64(have) >= dp.Value {
		return ""
	}
	return fmt.Sprintf("%d of the server's %d data-parallel engines ran steps in the capture: whether the others work, and how requests are spread, it cannot show.", have, dp.Value)
}

// ranksMissing says which ranks of an engine are not in the capture.
func (c *Context) ranksMissing() string {
	tp, pp := c.Engine.TensorParallel.Or(1), c.Engine.PipelineParallel.Or(1)
	for _, e := range c.engines() {
		ranks, _ := c.A.Shared(e)
		if n := int64(len(ranks)); n < tp*pp {
			return fmt.Sprintf("%d of the %d GPUs of the engine are in the capture: how long GPUs wait for one another, it cannot show.", n, tp*pp)
		}
	}
	return ""
}

// elapsed is the time in which any of the steps ran: the sum of their walls for one engine, less where several run at once.
func (c *Context) elapsed(steps []int32) int64 {
	spans := make([]interval.Span, len(steps))
	for i, s := range steps {
		spans[i] = c.A.Steps[s].GPU
	}
	return interval.Union(spans).Total()
}

// AtOnce is how many engines ran the group's steps at once, in the mean of the time in which any did: what one step's rate
// must be multiplied with to be the server's.
func (c *Context) AtOnce(g *Group) float64 {
	return max(1, ratio(float64(g.Wall), float64(c.elapsed(g.Steps))))
}

// Engines is the number of engines in the capture.
func (c *Context) Engines() int { return len(c.engines()) }

// Pipelined reports whether the ranks of an engine run one after another, a token then takes several steps. Settings tell
// where one rank alone is in the capture.
func (c *Context) Pipelined() bool {
	for i := range c.A.Ranks {
		if c.A.Ranks[i].Pipeline {
			return true
		}
	}
	return c.Engine.PipelineParallel.Or(1) > 1
}

// Exchange reports whether the collectives of the capture are known to be exchange, and not waiting for a rank that is late.
func (c *Context) Exchange() bool {
	wait, ok := c.peerWait()
	return ok && wait <= waitMost && c.ranksMissing() == ""
}

// rankWait is the rank that waits longest in collectives for the one that stands for its engine.
type rankWait struct {
	gpu, lead string
	share     float64 // of the wall of the steps that both ran; 0 = not worth telling
}

func (w rankWait) String() string {
	return fmt.Sprintf("%s waits %s of the time in collectives for %s.", w.gpu, percent(w.share), w.lead)
}

// waitMin is the part of the wall from which on waiting for another rank is told.
const waitMin = 0.05

func (c *Context) rankWait() rankWait {
	var out rankWait
	for _, e := range c.engines() {
		ranks, steps := c.A.Shared(e)
		lead, wall := profile.None, int64(0)
		for i, r := range ranks {
			if c.A.Ranks[r].Engine0 {
				lead = r
				for _, s := range steps[i] {
					wall += c.A.Steps[s].Wall()
				}
			}
		}
		for _, r := range ranks {
			if c.A.Ranks[r].Pipeline {
				continue // a stage that receives waits for the one that sends
			}
			if share := ratio(c.A.Ranks[r].Waits-c.A.Ranks[lead].Waits, wall); share > max(waitMin, out.share) {
				out = rankWait{c.gpu(r), c.gpu(lead), share}
			}
		}
	}
	return out
}

// engineNotes says what of several engines and ranks makes figures over all of them mean less.
func (c *Context) engineNotes(add func(id string, sev Severity, remedy, format string, args ...any)) {
	if v := c.uneven.waiting; v.share > 0 {
		add("waiting-rank", Low, "find what holds that GPU or its process up: its steps stand for the engine here", "%s", v.String())
	}
	if s := c.uneven.engines; s != "" {
		add("engines-differ", Low, "look at each engine's steps (stepscope steps), and at how requests are routed to the engines", "%s Medians are over all of them.", s)
	}
	if s := c.uneven.missing; s != "" {
		add("engines-missing", Low, "record all engines of the server, or read this one for itself", "%s", s)
	}
	if s := c.ranksMissing(); s != "" {
		add("ranks-missing", Low, "record all processes of the engine (nsys --trace-fork-before-exec=true, VLLM_WORKER_MULTIPROC_METHOD=spawn; all ranks' traces in one folder)", "%s", s)
	}
}
