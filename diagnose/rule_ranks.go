package diagnose

import (
	"fmt"
	"maps"
	"slices"

	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

var collectiveBound = Rule{
	ID: CollectiveBound, Title: "Communication between GPUs holds up the step",
	Measures: "Exposed collective time (while no compute runs) plus waits for peers, as a share of the wall, from 10 % on. It " +
		"includes waiting for the slowest rank.",
	Wrong: "With one rank in the capture, transfer and waiting for peers cannot be told apart. Spinning kernels hide imbalance.",
	Fix:   "Smaller tensor-parallel size, custom or fused all-reduce, expert or data parallelism instead, NVLink.",
	Needs: "Collective kernels.", Source: "step budget, gpu.collective",
	Check: func(c *Context) ([]Finding, string) {
		p := step.Part(kernel.Collective)
		share := c.All.Part(p, step.IdlePeer)
		if share < 0.10 {
			return nil, ""
		}
		f := finding(share, likely, "Exposed communication takes %s of the time.", percent(share))
		f.Evidence = []Evidence{{"exposed collective time per step", ms(c.perStep(&c.All, p)), "ms", c.rowsOf(&c.All)}}
		if wait, ok := c.peerWait(); ok {
			if wait > 0.3 {
				f.Summary = fmt.Sprintf("Exposed communication takes %s of the time, %s of it waiting for the slowest rank.", percent(share), percent(wait))
			}
			f.Evidence = append(f.Evidence, Evidence{"of it waiting for the slowest rank", 100 * wait, "%", "same collective on the ranks of the capture"})
		}
		return []Finding{f}, ""
	},
}

var moeImbalance = Rule{
	ID: MoEImbalance, Title: "Experts are unevenly loaded across ranks",
	Measures: "The MoE stage's time per step on each rank of an engine: the slowest rank over the mean, from 1.15 on.",
	Wrong:    "Needs every expert-parallel rank in one capture. Random weights and random prompts give balance that real ones do not.",
	Fix:      "Expert load balancing (redundant experts), another expert placement, larger batches.",
	Needs:    "Two or more ranks of one engine with MoE kernels.", Source: "step budget per rank",
	Check: func(c *Context) ([]Finding, string) {
		moe := step.Part(kernel.MoE)
		if c.Budget[moe] == 0 {
			return nil, ""
		}
		byEngine := map[int32][]int64{}
		for ri := range c.A.Ranks {
			r := &c.A.Ranks[ri]
			var n int64
			for _, s := range r.Steps {
				if st := &c.A.Steps[s]; !st.Cold {
					n += st.Budget[moe]
				}
			}
			if n > 0 && r.Engine != profile.None {
				byEngine[r.Engine] = append(byEngine[r.Engine], n)
			}
		}
		// Data-parallel engines run different batches; only ranks of one engine share a step's tokens.
		ranks, over := 0, 0.0
		var top, mean float64
		for _, e := range slices.Sorted(maps.Keys(byEngine)) {
			per := byEngine[e]
			ranks = max(ranks, len(per))
			var sum int64
			for _, n := range per {
				sum += n
			}
			m := float64(sum) / float64(len(per))
			if o := float64(slices.Max(per))/m - 1; len(per) > 1 && o > over {
				over, top, mean = o, float64(slices.Max(per)), m
			}
		}
		if ranks < 2 {
			return nil, "one rank in the capture: the balance between experts cannot be seen"
		}
		if over < 0.15 {
			return nil, ""
		}
		f := finding((top-mean)/float64(c.Wall), likely, "The busiest rank spends %.0f %% more time in experts than the mean: the others wait for it.", 100*over)
		f.Evidence = []Evidence{{"MoE time, busiest rank", top / 1e6, "ms", fmt.Sprintf("gpu.moe of %d ranks", ranks)}, {"MoE time, mean of ranks", mean / 1e6, "ms", "the same steps"}}
		return []Finding{f}, ""
	},
}

// peerWait returns the part of collective time that ranks spend waiting for the slowest one: where the same collective
// is matched across ranks by order, its shortest duration is the transfer and the rest is waiting.
func (c *Context) peerWait() (share float64, ok bool) {
	k := &c.P.Kernels
	byEngine := map[int32][][]int64{}
	for ri := range c.A.Ranks {
		r := &c.A.Ranks[ri]
		if r.Engine < 0 {
			continue
		}
		var durs []int64
		for j, o := range r.Ops {
			if o.Kind() == step.OpKernel && c.A.Stage[o.Index()] == kernel.Collective && r.OpStep[j] >= 0 {
				durs = append(durs, k.Dur[o.Index()])
			}
		}
		byEngine[r.Engine] = append(byEngine[r.Engine], durs)
	}
	var wait, all int64
	for _, ranks := range byEngine {
		if len(ranks) < 2 {
			continue
		}
		same := true
		for _, d := range ranks[1:] {
			same = same && len(d) == len(ranks[0])
		}
		if !same {
			continue
		}
		for i := range ranks[0] {
			least := ranks[0][i]
			for _, d := range ranks {
				least = min(least, d[i])
			}
			for _, d := range ranks {
				wait += d[i] - least
				all += d[i]
			}
		}
	}
	return ratio(wait, all), all > 0
}
