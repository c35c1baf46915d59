package knob

import (
	"fmt"

	"github.com/stepscope/stepscope/diagnose"
)

// launchBlocking is the CUDA runtime's own debugging switch, which no engine sets.
const launchBlocking = "CUDA_LAUNCH_BLOCKING"

// syncStall: take away what makes the host wait. Code in the step that reads values of the GPU is named where an option
// brought it in.
func (a *adviser) syncStall() {
	a.decided["--logits-processors"], a.decided[launchBlocking] = true, true
	p := a.withoutWaits()
	if a.c.LaunchesBlock() {
		// The other answers are about single waits.
		for _, n := range []string{"--async-scheduling", "VLLM_GPU_SYNC_CHECK", "VLLM_USE_V2_MODEL_RUNNER", "VLLM_USE_FLASHINFER_SAMPLER"} {
			a.decided[n] = true
		}
		if v, ok := a.Settings.Value(launchBlocking); ok && v != "0" {
			a.propose(change{name: launchBlocking, drop: true, from: v, predict: p,
				text: "Drop CUDA_LAUNCH_BLOCKING: it is for finding errors, and makes the host wait for every kernel.",
				why:  "no typical decode step to compare with"})
			return
		}
		a.look(launchBlocking, "Look for CUDA_LAUNCH_BLOCKING=1 in the server's environment, and for a debugger or a sanitizer around it: launches wait for their work.",
			"what makes launches wait is not recorded")
		return
	}
	a.dropProcessors(p, "code of the step that reads a value of the GPU (.item(), .tolist(), if on a tensor) waits for all work before it. If it is needed, let it decide on the GPU (torch.where) or read a step later.",
		"the processor is what reads the values: no other code of the step is custom")
	if len(a.out) == 0 && a.Engine.Version != "" {
		a.asyncScheduling() // drafts that the host must see are read within the step without it
		a.needs("the waits are the engine's own, as for drafted tokens: other code that reads values waits all the same")
	}
	if len(a.out) == 0 && !a.Engine.AtLeast("0.28.0") { // later ones have VLLM_GPU_SYNC_CHECK
		a.look("nsys profile --python-backtrace", "Find the line that waits: no option that is set brings custom code into the step. Nsight Systems records the Python stack of each wait with --python-backtrace=cuda --cudabacktrace=sync and CPU sampling on; keep the report and open it in its window.",
			"which line waits is not recorded")
	}
}

// dropProcessors proposes to run without custom processors of the logits, where there are any: text says what they do
// wrong, needs what must hold.
func (a *adviser) dropProcessors(p *diagnose.Prediction, text, needs string) {
	v, ok := a.Settings.Value("--logits-processors")
	if !ok {
		if a.untold("--logits-processors") {
			a.look("--logits-processors", "Look for custom code in the step (--logits-processors, --worker-extension-cls, plugins): "+text, "the server's options are not known")
		}
		return
	}
	if shown, _ := a.Settings.Shown("--logits-processors"); shown != "" {
		v = shown
	}
	a.propose(change{name: "--logits-processors", drop: true, predict: p, needs: needs, why: "no typical decode step to compare with",
		text: fmt.Sprintf("Run without the custom logits processor (%s): %s", v, text)})
}

// withoutWaits predicts the token gap without the waits inside the step: the host's other work or the GPU's, whichever
// takes longer.
func (a *adviser) withoutWaits() *diagnose.Prediction {
	return a.without(float64(a.c.HeldPerStep())/1e6, float64(a.c.Busy(&a.c.Typical).Median)/1e6)
}

// without is the prediction for so many ms of waiting less and so many of GPU work left.
func (a *adviser) without(held, busy float64) *diagnose.Prediction {
	before, from := a.itl()
	if held <= 0 || before <= 0 {
		return nil
	}
	after := max(min(busy, before), before-held)
	// Host work goes by a pace that differs by up to 1.6 between starts of one server on one machine.
	return prediction("itl_ms", "ms", before, after, max(min(busy, before), 0.6*after), before,
		"%s; the step becomes the larger of GPU work (%.2f ms) and the host's time without its waits inside the step (%.2f ms of them)", from, busy, held)
}
