package diagnose

import "github.com/stepscope/stepscope/step"

// A wait is a matter of a few pauses where those are most of it: longer than pauseMin and pauseTimes the usual one, in at
// most pauseFew of the steps, and pauseMost of the time together.
const (
	pauseMin   = 1_000_000 // ns
	pauseTimes = 5
	pauseFew   = 0.25
	pauseMost  = 0.6
)

// Pauses are waits of one cause that few steps have: the host stood still, where a slow host is slow in every step.
type Pauses struct {
	N      int   // 0 = the wait is spread over the steps
	Median int64 // ns
	Steps  int   // steps looked at
}

// Pauses tells a wait that comes in few long pauses from one that every step has.
func (c *Context) Pauses(part step.Part) Pauses {
	var all, long []int64
	var held int64
	for _, i := range c.Decode.Steps { // steps with prefill are few, and wait for reasons of their own
		all = append(all, c.A.Steps[i].Budget[part])
	}
	warm := c.warm()
	total := warm.Ns(part)
	if len(all) < 4*fewestSteps || total == 0 {
		return Pauses{}
	}
	usual := quantiles(all).Median
	for _, ns := range all {
		if ns >= pauseMin && ns > pauseTimes*usual {
			long = append(long, ns-usual)
			held += ns - usual
		}
	}
	if len(long) < 2 || float64(len(long)) > pauseFew*float64(len(all)) || float64(held) < pauseMost*float64(total) {
		return Pauses{}
	}
	return Pauses{N: len(long), Median: quantiles(long).Median, Steps: len(all)}
}
