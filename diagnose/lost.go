package diagnose

import (
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

// lostMin is the share of launch calls without device work from which a capture is said to have lost rows.
const lostMin = 0.02

// lostFew is the number of lost launches that may be anything.
const lostFew = 3

// lostWork counts the launches of kernels or of graphs, whichever lost more, in the engines' steps, and those whose device
// work is not in the capture: rows that the profiler dropped look like an idle GPU.
func (c *Context) lostWork() (lost, all int) {
	p := c.P
	if p.Calls.Len() == 0 || len(c.A.Primary) == 0 {
		return 0, 0
	}
	has := make([]bool, p.Calls.Len())
	for ri := range c.A.Ranks {
		for _, o := range c.A.Ranks[ri].Ops {
			if k := o.Kind(); k != step.OpKernel && k != step.OpGraph {
				continue // a graph's fills and copies may be there without its kernels
			}
			if call := c.A.CallOf(o); call != profile.None {
				has[call] = true
			}
		}
	}
	serving := map[int32]bool{} // threads that launch steps
	var from, to int64
	for k, i := range c.A.Primary {
		s := &c.A.Steps[i]
		serving[c.A.Ranks[s.Rank].Thread] = true
		if k == 0 || s.Host.Start < from {
			from = s.Host.Start
		}
		// The last steps' work may end after the window.
		if !s.Open && !s.Host.Empty() && s.Host.End <= p.Window.End {
			to = max(to, s.Host.Start)
		}
	}
	counts := map[kernel.APIKind][2]int{} // lost, all
	for i, t := range p.Calls.Thread {
		if !serving[t] || p.Calls.Start[i] < from || p.Calls.Start[i] >= to {
			continue
		}
		k := c.A.CallKind(int32(i))
		if k != kernel.APILaunch && k != kernel.APIGraphLaunch {
			continue
		}
		n := counts[k]
		n[1]++
		if !has[i] {
			n[0]++
		}
		counts[k] = n
	}
	for _, k := range []kernel.APIKind{kernel.APIGraphLaunch, kernel.APILaunch} {
		if n := counts[k]; n[0] > lostFew && (all == 0 || n[0]*all > lost*n[1]) {
			lost, all = n[0], n[1]
		}
	}
	return lost, all
}

// early counts the device work that starts before its launch call, which no clock that is right shows.
func (c *Context) early() (n, all int) {
	for _, i := range c.A.Primary {
		s := &c.A.Steps[i]
		r := &c.A.Ranks[s.Rank]
		for j := s.FirstOp; j <= s.LastOp && j >= 0; j++ {
			o := r.Ops[j]
			call := c.A.CallOf(o)
			if r.OpStep[j] != i || call == profile.None || o.Kind() == step.OpMemset {
				continue
			}
			all++
			if c.A.Span(o).Start < c.P.Calls.Start[call]-earlySlack {
				n++
			}
		}
	}
	return n, all
}

// earlyMost is the share of early work from which clocks are called wrong: real captures show up to 0.7 %.
const earlyMost = 0.05

// earlySlack is how far clocks of host and device may be apart, ns.
const earlySlack = 20_000
