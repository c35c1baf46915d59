package diagnose

import (
	"strings"

	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

// measuredDRAM compares the model's bandwidth with the DRAM counters where they are recorded: the mean of read and
// write over the typical steps, in per cent of peak, and the model's value over the same wall.
func (c *Context) measuredDRAM() []Evidence {
	read, ok := c.counterMean("DRAM Read")
	if !ok {
		return nil
	}
	out := []Evidence{{"DRAM reads measured over the typical steps", read, "% of peak", "GPU metrics"}}
	if write, ok := c.counterMean("DRAM Write"); ok {
		out = append(out, Evidence{"DRAM writes measured over the typical steps", write, "% of peak", "GPU metrics"})
	}
	if c.Limits.MBU != nil {
		// MBU is over busy time; counters run over the wall.
		busy := ratio(c.Typical.Budget.Busy(), c.Typical.Wall)
		out = append(out, Evidence{"bandwidth that the model's bytes mean over the same wall", 100 * *c.Limits.MBU * busy, "% of peak", "MBU x busy share"})
	}
	return out
}

// counterMean averages a percent counter over the typical steps' walls; samples are equally spaced.
func (c *Context) counterMean(prefix string) (mean float64, ok bool) {
	if len(c.Typical.Steps) == 0 {
		return 0, false
	}
	for i := range c.P.Counters {
		n := &c.P.Counters[i]
		if !strings.HasPrefix(n.Name, prefix) || n.Unit != "percent" {
			continue
		}
		if m, ok := meanIn(n, c.A, c.Typical.Steps); ok {
			return m, true
		}
	}
	return 0, false
}

func meanIn(n *profile.Counter, a *step.Analysis, steps []int32) (float64, bool) {
	var sum float64
	count, at := 0, 0
	for _, s := range steps {
		w := a.Steps[s].GPU
		for at < len(n.Times) && n.Times[at] < w.Start {
			at++
		}
		for ; at < len(n.Times) && n.Times[at] < w.End; at++ {
			sum += float64(n.Values[at])
			count++
		}
	}
	if count == 0 {
		return 0, false
	}
	return sum / float64(count), true
}
