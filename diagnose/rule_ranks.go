package diagnose

import (
	"fmt"
	"maps"
	"slices"

	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/step"
)

// waitMost is the part of collective time from which on waiting for other ranks is what it is about.
const waitMost = 0.3

var collectiveBound = Rule{
	ID: CollectiveBound, Title: "Communication between GPUs holds up the step",
	Measures: "Exposed collective time (while no compute runs) plus waits for the other stages of a pipeline, as a share of the wall, from 10 % on. It " +
		"is that of the rank which waits least for the others.",
	Wrong: "With one rank in the capture, transfer and waiting for peers cannot be told apart. Spinning kernels hide imbalance.",
	Fix: "Smaller tensor-parallel size, custom or fused all-reduce, expert or data parallelism instead, NVLink; for a pipeline " +
		"more requests at once or tensor parallelism instead.",
	Needs: "Collective kernels.", Source: "step budget, gpu.collective",
	Check: func(c *Context) ([]Finding, string) {
		p := step.Part(kernel.Collective)
		share := c.All.Part(p, step.IdlePeer)
		if share < 0.10 {
			return nil, ""
		}
		if peer := c.All.Part(step.IdlePeer); 2*peer > share {
			f := finding(share, likely, "The GPU waits %s of the time for the other stages of the pipeline: while one works, the others have nothing to do.", percent(peer))
			f.Evidence = []Evidence{{"waiting for other stages per step", ms(c.perStep(&c.All, step.IdlePeer)), "ms", c.rowsOf(&c.All)},
				{"exposed collective time per step", ms(c.perStep(&c.All, p)), "ms", c.rowsOf(&c.All)}}
			return []Finding{f}, ""
		}
		f := finding(share, likely, "Exposed communication takes %s of the time.", percent(share))
		f.Evidence = []Evidence{{"exposed collective time per step", ms(c.perStep(&c.All, p)), "ms", c.rowsOf(&c.All)}}
		wait, ok := c.peerWait()
		if ok {
			if wait > waitMost {
				f.Summary = fmt.Sprintf("Exposed communication takes %s of the time, %s of it waiting for other ranks.", percent(share), percent(wait))
			}
			f.Evidence = append(f.Evidence, Evidence{"of it waiting for other ranks", 100 * wait, "%", "same collective on the ranks of the capture"})
		}
		if !ok || c.ranksMissing() != "" {
			f.Confidence = perhaps
			f.Summary += " Waiting for GPUs that are not in the capture may be part of it."
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
		for _, e := range c.engines() {
			members, steps := c.A.Shared(e)
			per := make([]int64, len(members))
			for k := range steps[0] {
				if slices.ContainsFunc(steps, func(of []int32) bool { return c.A.Steps[of[k]].Cold }) {
					continue
				}
				for i := range members {
					per[i] += c.A.Steps[steps[i][k]].Budget[moe]
				}
			}
			byEngine[e] = slices.DeleteFunc(per, func(n int64) bool { return n == 0 })
		}
		// Data-parallel engines run different batches; only ranks of one engine share a step's tokens.
		ranks, over := 0, 0.0
		var top, mean float64
		for _, e := range slices.Sorted(maps.Keys(byEngine)) {
			per := byEngine[e]
			if len(per) == 0 {
				continue
			}
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
		if ranks < 2 && c.Engines() > 1 {
			return nil, "each engine in the capture runs batches of its own on one GPU: the balance between experts cannot be seen"
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

// peerWait returns the part of its collective time that the rank which stands for the engine spends waiting for others:
// where the same collective is matched across ranks by its order within the step, its shortest duration is the transfer and
// the rest is waiting. Steps with other numbers of collectives on some rank are left out; more of them than of the others, and
// nothing can be told.
func (c *Context) peerWait() (share float64, ok bool) {
	var wait, all int64
	used, unequal := 0, 0
	for _, e := range c.engines() {
		members, steps := c.A.Shared(e)
		if len(members) < 2 {
			continue
		}
		durs := make([]map[int32][]int64, len(members))
		lead := 0
		for i, ri := range members {
			if c.A.Ranks[ri].Engine0 {
				lead = i
			}
			durs[i] = c.collectives(&c.A.Ranks[ri])
		}
		for k := range steps[0] {
			of := make([][]int64, len(members))
			for i := range members {
				of[i] = durs[i][steps[i][k]]
			}
			if slices.ContainsFunc(of, func(d []int64) bool { return len(d) != len(of[0]) }) {
				unequal++
				continue
			}
			used++
			for n, d := range of[lead] {
				least := d
				for _, other := range of {
					least = min(least, other[n])
				}
				wait += d - least
				all += d
			}
		}
	}
	return ratio(wait, all), all > 0 && used > unequal
}

// collectives returns the durations of a rank's collective kernels by step, in order of start.
func (c *Context) collectives(r *step.Rank) map[int32][]int64 {
	out := map[int32][]int64{}
	for j, o := range r.Ops {
		if s := r.OpStep[j]; s >= 0 && o.Kind() == step.OpKernel && c.A.Stage[o.Index()] == kernel.Collective {
			out[s] = append(out[s], c.P.Kernels.Dur[o.Index()])
		}
	}
	return out
}

// engines are the engines of the capture.
func (c *Context) engines() []int32 {
	var out []int32
	for i := range c.A.Ranks {
		if r := &c.A.Ranks[i]; r.Engine0 {
			out = append(out, r.Engine)
		}
	}
	return out
}
