package diagnose

import (
	"fmt"

	"github.com/stepscope/stepscope/step"
)

// hostMin is the share of the steps' wall below which host waits are no finding: a healthy server with asynchronous
// scheduling shows 1-4 %.
const hostMin = 0.05

// fewPrefills is the number of steps with prefill below which what they wait for is known of these few only.
const fewPrefills = 5

var hostLaunchBound = Rule{
	ID: HostLaunchBound, Title: "The GPU waits inside steps because launches come too slowly",
	Measures: "idle.launch: time inside steps in which the GPU had nothing enqueued and the host had not yet made, or was " +
		"still making, the next launch call. Reported from 5 % of the steps' wall on.",
	Wrong: "Tracing itself slows launches: a host-bound step is stretched by a quarter to two thirds in a capture, while " +
		"GPU work is not. With an unprofiled benchmark the rule says how far the capture is off; without one a share below " +
		"a quarter is reported with low confidence.",
	Fix: "CUDA graphs (drop eager mode, capture the batch sizes that occur), larger batches so that the same launches serve " +
		"more tokens, a faster or less busy CPU core.",
	Needs: "API calls and kernels with correlation ids.", Source: "step budget, idle.launch",
	Check: func(c *Context) ([]Finding, string) {
		if why := c.hostEvidence(); why != "" {
			return nil, why
		}
		share, conf, note := c.undistorted(step.IdleLaunch)
		if share < hostMin {
			return nil, ""
		}
		g := &c.Typical
		eager, known := c.Eager()
		how := ""
		switch inPrefill := c.LaunchWaitInPrefill(); {
		case inPrefill > 0.6:
			with := c.group(func(s *step.Step) bool {
				return !s.Cold && !s.Open && (s.Phase == step.Prefill || s.Phase == step.Mixed)
			})
			g = &with
			how = "nearly all of it in steps with prefill"
			if inPrefill < 0.95 {
				how = percent(inPrefill) + " of it in steps with prefill"
			}
			if c.ungraphed(g) {
				how += ", which launch every kernel on its own"
			}
			if len(g.Steps) < fewPrefills && conf == sure {
				conf = likely // a window rarely holds as many of them as the load has
			}
		case known && eager:
			how = "every kernel is launched on its own, without CUDA graphs"
		case known:
			how = "decode uses CUDA graphs, and what is launched around them takes the host longer than the GPU needs"
		default:
			how = "the host launches more slowly than the GPU works"
		}
		if p := c.Pauses(step.IdleLaunch); p.N > 0 {
			how = fmt.Sprintf("most of it in %d pauses of about %.1f ms in %d steps, in which the host stood still", p.N, ms(p.Median), p.Steps)
		}
		if len(g.Steps) == 0 {
			g = &c.All
		}
		f := finding(share, conf, "The GPU waits for launches inside steps %s of the time: %s.%s", percent(share), how, note)
		kernels := c.quantiles(g, func(s *step.Step) (int64, bool) { return int64(s.Kernels), true }).Median
		launches := c.quantiles(g, func(s *step.Step) (int64, bool) { return int64(s.Launches + s.GraphLaunches), true }).Median
		inGraphs := "kernels per step"
		if c.P.GraphTraces.Len() > 0 {
			inGraphs = "kernels per step outside of CUDA graphs"
		}
		f.Evidence = []Evidence{
			{"waiting for launches, per typical step", ms(c.perStep(g, step.IdleLaunch)), "ms", c.rowsOf(g)},
			{"GPU busy, per typical step", ms(c.Busy(g).Median), "ms", c.rowsOf(g)},
			{"step period, median", ms(c.Period(g).Median), "ms", c.rowsOf(g)},
			{"launch calls per step", float64(launches), "calls", c.rowsOf(g)},
			{inGraphs, float64(kernels), "kernels", c.rowsOf(g)},
		}
		return []Finding{f}, ""
	},
}

var hostStepGap = Rule{
	ID: HostStepGap, Title: "The GPU waits between steps for the scheduler",
	Measures: "idle.scheduler: time between a step's last GPU operation and the first one of the next step, while requests " +
		"were running: scheduling, sampling results, output handling, input preparation. Reported from 5 % of the wall on.",
	Wrong: "Annotations of the scheduler and API tracing lengthen the gap in the capture. A pause with no request running is " +
		"idle.requests and not counted, but without annotations the two are told apart only by the length of the silence.",
	Fix: "Asynchronous scheduling, larger batches, fewer scheduler-side features (structured output, log probabilities, " +
		"detokenisation in the same process), a faster core.",
	Needs: "API calls and at least two steps.", Source: "step budget, idle.scheduler",
	Check: func(c *Context) ([]Finding, string) {
		if why := c.hostEvidence(); why != "" {
			return nil, why
		}
		share, conf, note := c.undistorted(step.IdleScheduler)
		if share < hostMin {
			return nil, ""
		}
		async := ""
		if a := c.Engine.AsyncScheduling; a.Known && a.Value {
			async = " although asynchronous scheduling is on"
		} else if a.Known {
			async = "; asynchronous scheduling is off"
		}
		f := finding(share, conf, "The GPU waits between steps for scheduling and output handling %s of the time%s.%s",
			percent(share), async, note)
		if p := c.Pauses(step.IdleScheduler); p.N > 0 {
			f = finding(share, conf, "The GPU waits between steps %s of the time, most of it in %d pauses of about %.1f ms in %d steps: the host stood still while it had requests, as in a garbage collection or on a busy core.%s",
				percent(share), p.N, ms(p.Median), p.Steps, note)
		}
		g := &c.Typical
		if len(g.Steps) == 0 {
			g = &c.All
		}
		f.Evidence = []Evidence{
			{"between steps, per typical step", ms(c.perStep(g, step.IdleScheduler)), "ms", c.rowsOf(g)},
			{"step period, median", ms(c.Period(g).Median), "ms", c.rowsOf(g)},
			{"GPU busy, per typical step", ms(c.Busy(g).Median), "ms", c.rowsOf(g)},
		}
		return []Finding{f}, ""
	},
}

// hostEvidence says why host rules cannot decide, "" when they can.
func (c *Context) hostEvidence() string {
	switch {
	case len(c.A.Primary) < 2:
		return "fewer than two steps in the capture"
	case c.P.Calls.Len() == 0:
		return "API calls are not recorded"
	case c.coverage() < 0.5:
		return fmt.Sprintf("only %s of the device work has its launch call in the capture", percent(c.coverage()))
	}
	return ""
}

func (c *Context) coverage() float64 {
	if c.A.DeviceRows == 0 {
		return 0
	}
	return float64(c.A.CallsJoined) / float64(c.A.DeviceRows)
}

// LaunchWaitInPrefill is the part of the waiting for launches that falls into steps with prefill.
func (c *Context) LaunchWaitInPrefill() float64 {
	warm := c.warm()
	return ratio(c.Prefill.Ns(step.IdleLaunch)+c.Mixed.Ns(step.IdleLaunch), warm.Ns(step.IdleLaunch))
}

// ungraphed reports whether the group's steps launch no CUDA graph.
func (c *Context) ungraphed(g *Group) bool {
	for _, i := range g.Steps {
		if s := &c.A.Steps[i]; s.GraphLaunches > 0 || s.GraphKernels > 0 {
			return false
		}
	}
	return len(g.Steps) > 0
}

// warm returns every step but the cold ones: what a first use costs is no property of the server at work.
func (c *Context) warm() Group { return c.group(func(s *step.Step) bool { return !s.Cold }) }

// undistorted corrects a host wait's share for what tracing added. With an unprofiled benchmark, the time by which the
// capture's typical step is longer than the client's median token gap is taken off the host waits in proportion;
// without one the share stays and the confidence says so.
func (c *Context) undistorted(part step.Part) (share float64, confidence, note string) {
	warm := c.warm()
	share = ratio(warm.Ns(part), c.Wall)
	switch d := c.Distortion; {
	case d == 0:
		if share < 0.25 {
			if c.Bench() != nil {
				return share, perhaps, " Tracing lengthens host time, and by how much cannot be told from this benchmark."
			}
			return share, perhaps, " Tracing lengthens host time; no unprofiled benchmark tells by how much."
		}
		return share, likely, ""
	case d <= 1.05:
		return share, sure, ""
	default:
		g := &c.Typical
		host := g.Ns(hostParts...)
		if host == 0 {
			return share, likely, ""
		}
		// True wall = wall/d; the difference is host time, spread over the host's parts.
		added := float64(g.Wall) * (1 - 1/d)
		left := max(0, 1-added/float64(host))
		true1 := share * left
		// The share refers to the shorter true wall.
		true1 /= 1 - (1-1/d)*ratio(g.Wall, c.Wall)
		return true1, likely, fmt.Sprintf(" The capture stretches steps %.2f times against the unprofiled benchmark; that is taken off.", d)
	}
}

// rowsOf names the rows behind a group: its first and last step, and how many steps it has.
func (c *Context) rowsOf(g *Group) string {
	if len(g.Steps) == 0 {
		return ""
	}
	a, b := &c.A.Steps[g.Steps[0]], &c.A.Steps[g.Steps[len(g.Steps)-1]]
	return fmt.Sprintf("steps %d..%d (%d)", a.Index, b.Index, len(g.Steps))
}
