package diagnose

import (
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/step"
)

// growing lists the parts of a decode step whose time goes by the number of requests.
func growing() []step.Part {
	return []step.Part{step.Part(kernel.Attention), step.Part(kernel.KVWrite), step.Part(kernel.Sampling), step.Part(kernel.Rope),
		step.Part(kernel.Activation), step.Part(kernel.LinearAttn)}
}
