package diagnose

import (
	"fmt"
	"maps"
	"slices"

	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
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
	Rank   int32
}

// speed compares the weights' GEMMs of the typical decode steps of a GPU, which do the same work in each: a change is one
// of clocks, power, or of another process on the GPU. Attention is left out: it grows with the contexts. Of several
// engines the one that changes most counts.
func (c *Context) speed() Speed {
	var most Speed
	if c.Batch() < 0 {
		return most
	}
	by := map[int32][]int32{}
	for _, s := range c.Typical.Steps {
		rank := c.A.Steps[s].Rank
		by[rank] = append(by[rank], s)
	}
	half := func(part []int32) int64 {
		g := Group{Steps: part}
		return c.perStep(&g, weightStages...)
	}
	for _, rank := range slices.Sorted(maps.Keys(by)) {
		steps := by[rank]
		if len(steps) < speedSteps {
			continue
		}
		a, b := half(steps[:len(steps)/2]), half(steps[len(steps)/2:])
		if a <= 0 || b <= 0 {
			continue
		}
		if times := ratio(float64(max(a, b)), float64(min(a, b))); times > most.Times {
			most = Speed{Times: times, Later: b > a, SlowNs: max(a, b), FastNs: min(a, b), Rank: rank}
		}
	}
	return most
}

// gpu names the GPU at the start of a sentence, with its number where there are several.
func (c *Context) gpu(rank int32) string {
	if d := c.A.Ranks[rank].Device; len(c.A.Busy) > 1 && d != profile.None {
		return fmt.Sprintf("GPU %d", c.P.Devices[d].ID)
	}
	return "The GPU"
}

// half names the slower half of the steps.
func (v Speed) half() string {
	if v.Later {
		return "second"
	}
	return "first"
}

// uneven is what makes medians over the capture mean less.
type uneven struct {
	speed   Speed
	slow    slowRank
	others  []other
	engines string // how the engines differ, "" where they do not
	missing string // of the server, what of its engines is not in the capture
	waiting rankWait
}

// speedMin is the change from which it is told. Real captures show up to 1.03.
const speedMin = 1.1

// strange are the parts that kernels of no known role fall into, and those that only move or reshape.
var strange = []step.Part{step.Part(kernel.Other), step.Part(kernel.Activation), step.Part(kernel.Copy), step.Part(kernel.Bookkeeping)}

// atLimit reports whether the decode steps look as a server at the hardware's limit does: its GEMMs at a usual share of the
// bandwidth, hardly any other kernels, a GPU of one speed that is its own, and engines that are alike.
func (c *Context) atLimit() bool {
	if u := &c.uneven; u.speed.Times >= speedMin || len(u.others) > 0 || u.engines != "" || u.missing != "" || u.slow.over > 0 || u.waiting.share > 0 {
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

// slowRankMin is how much longer a rank's own work must take than that of the fastest rank of its engine to be told.
const slowRankMin = 1.1

// slowRank is the rank that takes longest for its own work, without collectives and what comes of waiting; over is by how
// much it exceeds the fastest of its engine, 0 where ranks are alike or alone.
type slowRank struct {
	gpu, fastest int64
	over         float64
}

func (c *Context) slowRank() slowRank {
	type own struct {
		gpu, ns int64
	}
	by := map[int32][]own{}
	for i := range c.A.Ranks {
		r := &c.A.Ranks[i]
		if r.Engine == profile.None || r.Device == profile.None || r.Pipeline || len(r.Steps) < fewestSteps { // stages have other work each
			continue
		}
		var v []int64
		for _, s := range r.Steps {
			st := &c.A.Steps[s]
			if !st.Cold && !st.Open {
				v = append(v, st.Budget.Busy()-st.Budget[step.Part(kernel.Collective)])
			}
		}
		if len(v) >= fewestSteps {
			by[r.Engine] = append(by[r.Engine], own{c.P.Devices[r.Device].ID, quantiles(v).Median})
		}
	}
	var out slowRank
	for _, ranks := range by {
		lo, hi := ranks[0], ranks[0]
		for _, r := range ranks[1:] {
			if r.ns < lo.ns {
				lo = r
			}
			if r.ns > hi.ns {
				hi = r
			}
		}
		if over := ratio(float64(hi.ns), float64(lo.ns)); over >= slowRankMin && over-1 > out.over {
			out = slowRank{hi.gpu, lo.gpu, over - 1}
		}
	}
	return out
}
