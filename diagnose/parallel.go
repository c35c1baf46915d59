package diagnose

import (
	"fmt"

	"github.com/stepscope/stepscope/device"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/step"
)

// withRanks says over how many GPUs the model is split: as the engine was told, else as the capture's ranks show. how is
// for people; problem says why it cannot be told.
func (c *Context) withRanks(s device.Shape) (_ device.Shape, how, problem string) {
	if tp, pp := c.Engine.TensorParallel, c.Engine.PipelineParallel; s.TP > 1 || s.PP > 1 || tp.Known || pp.Known {
		if tp.Known && tp.Value > 1 {
			s.TP = int(tp.Value)
		}
		if pp.Known && pp.Value > 1 {
			s.PP = int(pp.Value)
			s.HeadElsewhere = c.Budget[step.Part(kernel.LMHead)] == 0
		}
		return s, "", ""
	}
	ranks, perStep := 0, 0.0
	for _, e := range c.engines() {
		members, steps := c.A.Shared(e)
		of := c.collectives(&c.A.Ranks[members[0]])
		n := 0
		for _, s := range steps[0] {
			n += len(of[s])
		}
		ranks, perStep = max(ranks, len(members)), max(perStep, ratio(float64(n), float64(len(steps[0]))))
	}
	switch layers := c.A.Pattern.LayerCount; {
	case ranks > 1 && layers > 0 && perStep >= float64(layers) && s.Heads%ranks == 0:
		s.TP = ranks // every layer ends in one, as only tensor parallelism has it
		return s, fmt.Sprintf(", split over the %d ranks of the capture", ranks), ""
	case ranks > 1 || perStep >= 1:
		return s, "", "GPUs exchange data in the steps, and nothing says how the model is split over them: give the server's log or command"
	}
	return s, "", ""
}

// wholeModel makes the shape of a rank, as the operators of a trace show it, that of the model.
func (c *Context) wholeModel(s device.Shape) device.Shape {
	tp, pp := max(1, int(c.Engine.TensorParallel.Or(1))), max(1, int(c.Engine.PipelineParallel.Or(1)))
	s.Heads, s.KVHeads, s.Intermediate, s.Vocab = s.Heads*tp, s.KVHeads*tp, s.Intermediate*tp, s.Vocab*tp
	s.Layers *= pp
	if tp > 1 {
		s.TP = tp
	}
	if pp > 1 {
		s.PP = pp
	}
	return s
}
