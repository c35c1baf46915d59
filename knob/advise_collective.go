package knob

import (
	"fmt"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/step"
)

// collectiveBound: replicas in place of ranks where one GPU holds the model: they exchange nothing. What the engine's own
// options do to collectives no capture shows; the catalogue ranks them.
func (a *adviser) collectiveBound() {
	a.decided["--tensor-parallel-size"], a.decided["--data-parallel-size"] = true, true
	if on, set := a.Settings.Bool("--disable-custom-all-reduce"); set && on {
		a.propose(change{name: "--disable-custom-all-reduce", drop: true, why: "what the engine's own all-reduce takes here is not recorded",
			text: "Let the engine use its own all-reduce for small messages: NCCL's takes longer for them."})
	}
	e := a.c.Engine
	tp := e.TensorParallel.Or(0)
	if c := a.c; c.All.Part(step.IdlePeer) > 0 && c.Pipelined() {
		a.pipeline()
		return
	}
	if tp < 2 || !a.c.Exchange() || e.PipelineParallel.Or(1) > 1 || a.moe() || !e.WeightsGiB.Known {
		return
	}
	for _, n := range []string{"--tensor-parallel-size", "--data-parallel-size"} {
		if !AvailableName(n, a.Engine).Safe() {
			return
		}
	}
	dp, ok := a.currentInt("--data-parallel-size")
	if !ok {
		dp = 1
	}
	fits, room := a.room(e.WeightsGiB.Value * float64(tp-1) * (1 << 30))
	p := a.replicas(tp)
	if fits == fails || p == nil {
		return // the model needs several GPUs, or they are worth their exchange for this load
	}
	v := diagnose.Advice{Knob: "tensor-parallel-size", From: fmt.Sprint(tp), To: fmt.Sprintf("1, with --data-parallel-size %d", dp*tp), Predicted: p,
		Text:     fmt.Sprintf("Serve %d replicas of one GPU each in place of one model over %d: they exchange nothing, and each reads all weights for its share of the requests.", tp, tp),
		Requires: join(room, "as many requests as now, spread over the replicas"),
		Risk:     "memory: each GPU holds all weights; latency: a request that is alone takes longer"}
	v.Command = a.command(a.Settings.With("--tensor-parallel-size", "1").With("--data-parallel-size", fmt.Sprint(dp*tp)),
		fmt.Sprintf("vllm serve MODEL ... --tensor-parallel-size 1 --data-parallel-size %d", dp*tp))
	a.out = append(a.out, v)
}

// pipeline: more batches fill the stages, and tensor parallelism has none.
func (a *adviser) pipeline() {
	a.client("Send more requests at once: a pipeline is full when as many batches as it has stages are under way.", "", "", nil,
		"how many batches the engine keeps under way the capture does not tell")
	tp, pp := a.c.Engine.TensorParallel.Or(1), a.c.Engine.PipelineParallel.Or(1)
	if pp < 2 {
		return
	}
	to := fmt.Sprint(tp * pp)
	a.decided["--pipeline-parallel-size"] = true
	a.out = append(a.out, diagnose.Advice{Knob: "tensor-parallel-size", From: fmt.Sprint(tp), To: to + ", with --pipeline-parallel-size 1",
		Text:        "Split every layer over the GPUs in place of the layers: all of them work on every step.",
		Unpredicted: "what the exchange in every layer takes between these GPUs is not recorded",
		Requires:    "attention heads that divide by " + to, Risk: "latency: an exchange in every layer, which is slow where GPUs have no direct link",
		Command: a.command(a.Settings.With("--tensor-parallel-size", to).With("--pipeline-parallel-size", "1"),
			"vllm serve MODEL ... --tensor-parallel-size "+to+" --pipeline-parallel-size 1")})
}

// replicas predicts the rate of tp replicas with a part of the requests each: the exposed exchange is gone, a GPU reads tp
// times the weights, attention does all heads for fewer requests, and the rest stays. It is nil where that gives nothing.
func (a *adviser) replicas(tp int64) *diagnose.Prediction {
	c := a.c
	batch := c.Batch()
	if batch < tp || len(c.Typical.Steps) == 0 || float64(batch) > c.RidgeTokens() {
		return nil
	}
	now := float64(c.Period(&c.Typical).Median)
	exposed := float64(c.PerStep(&c.Typical, step.Part(kernel.Collective), step.IdlePeer))
	weights := float64(c.PerStep(&c.Typical, append([]step.Part{step.Part(kernel.LMHead)}, diagnose.LinearStages...)...))
	then := now - exposed + float64(tp-1)*weights
	rate, from := float64(batch)/(now/1e9)*c.AtOnce(&c.Typical), "capture"
	if b := c.Bench(); b != nil && b.OutputRate.Known {
		rate, from = b.OutputRate.Value, "benchmark"
	}
	after := rate * now / then
	if exposed <= 0 || weights <= 0 || after < 1.05*rate {
		return nil
	}
	return prediction("output_tokens_per_s", "tokens/s", rate, after, max(rate, 0.85*after), 1.1*after,
		"%s; a step without its exposed exchange (%.2f ms) and with %d times the time of its weight GEMMs (%.2f ms), for all requests; not checked against a measurement",
		from, exposed/1e6, tp, weights/1e6)
}
