package diagnose

import (
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/step"
)

// speedSteps is the number of equal steps from which the GPU's speed is compared over the window.
const speedSteps = 16

// Speed is how much longer the GPU takes in one half of the window for the same work than in the other.
type Speed struct {
	Times  float64 // slower half over faster half, 0 = not enough steps to tell
	Later  bool    // the second half is the slower one
	SlowNs int64   // median time of the weights' GEMMs in a step there
	FastNs int64
}

// speed compares the weights' GEMMs of the typical decode steps, which do the same work in each: a change is one of
// clocks, power, or of another process on the GPU. Attention is left out: it grows with the contexts.
func (c *Context) speed() Speed {
	steps := c.Typical.Steps
	if len(steps) < speedSteps || c.Batch() < 0 {
		return Speed{}
	}
	half := func(part []int32) int64 {
		g := Group{Steps: part}
		return c.perStep(&g, weightStages...)
	}
	a, b := half(steps[:len(steps)/2]), half(steps[len(steps)/2:])
	if a <= 0 || b <= 0 {
		return Speed{}
	}
	return Speed{Times: ratio(float64(max(a, b)), float64(min(a, b))), Later: b > a, SlowNs: max(a, b), FastNs: min(a, b)}
}

// speedMin is the change from which it is told. Real captures show up to 1.03.
const speedMin = 1.1

// strange are the parts that kernels of no known role fall into, and those that only move or reshape.
var strange = []step.Part{step.Part(kernel.Other), step.Part(kernel.Activation), step.Part(kernel.Copy), step.Part(kernel.Bookkeeping)}

// atLimit reports whether the decode steps look as a server at the hardware's limit does: its GEMMs at a usual share of the
// bandwidth, hardly any other kernels, a GPU of one speed that is its own, and engines that are alike.
func (c *Context) atLimit() bool {
	if c.speed().Times >= speedMin || len(c.others()) > 0 || c.enginesDiffer() {
		return false
	}
	if g := &c.Typical; len(g.Steps) > 0 && ratio(g.Ns(strange...), g.Budget.Busy()) > 0.15 {
		return false
	}
	for i := range c.Limits.Phases {
		if p := &c.Limits.Phases[i]; p.Phase == "decode" && p.MBU < 0.5 && p.MFU < 0.5 {
			return false
		}
	}
	return true
}

// enginesDiffer reports whether one engine's decode steps take 1.3 times as long as another's.
func (c *Context) enginesDiffer() bool {
	by := map[int32][]int64{}
	for _, i := range c.Decode.Steps {
		s := &c.A.Steps[i]
		if e := c.A.Ranks[s.Rank].Engine; s.Period >= 0 {
			by[e] = append(by[e], s.Period)
		}
	}
	var lo, hi int64
	for _, v := range by {
		m := quantiles(v).Median
		if lo == 0 || m < lo {
			lo = m
		}
		hi = max(hi, m)
	}
	return lo > 0 && float64(hi) > 1.3*float64(lo)
}
