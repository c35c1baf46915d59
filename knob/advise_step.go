package knob

import (
	"fmt"
	"strings"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

var linearParts = []step.Part{step.Part(kernel.QKV), step.Part(kernel.OProj), step.Part(kernel.MLP), step.Part(kernel.MoE), step.Part(kernel.Gemm)}

// Efficiency of 8-bit weight GEMMs against 16-bit ones of the same capture, as the share of the bandwidth that the
// latter reach: 0.89 for a Llama 8B at a batch of 32 on an H100; the range covers perfect scaling and a quarter lost.
const (
	fp8Efficiency    = 0.90
	fp8EfficiencyLow = 0.75
)

// launchBound: CUDA graphs where there are none, else more work per launch.
func (a *adviser) launchBound() {
	a.decided["--enforce-eager"] = true
	eager, known := a.c.Eager()
	if known && eager {
		on, set := a.Settings.Bool("--enforce-eager")
		if e := a.c.Engine.EnforceEager; !set && e.Known {
			on, set = e.Value, true
		}
		if on || !set {
			needs := ""
			if !set {
				needs = "the server runs with --enforce-eager (not recorded; decode steps launch no CUDA graph)"
			}
			a.propose(change{name: "--enforce-eager", drop: true, from: "true", needs: needs, predict: a.graphGain(),
				text: "Drop --enforce-eager: CUDA graphs launch a whole decode step at once, and torch.compile fuses small kernels.",
				why:  "the launches of the model's layers cannot be told from the others in this capture"})
			return
		}
		if mode, ok := a.Settings.Value("--compilation-config.cudagraph_mode"); ok && (mode == "NONE" || mode == "none") {
			a.propose(change{name: "--compilation-config.cudagraph_mode", to: "FULL_AND_PIECEWISE", predict: a.graphGain(),
				text: "Turn CUDA graphs on: cudagraph_mode is NONE.", why: "no decode step to compare with"})
			return
		}
		a.captureSizes()
		return
	}
	if known {
		a.captureSizes()
	}
	a.moreRequests()
}

// captureSizes proposes graphs for the batch that runs without one because it is larger than the largest captured size.
func (a *adviser) captureSizes() {
	a.decided["--cudagraph-capture-sizes"], a.decided["--max-cudagraph-capture-size"] = true, true
	sizes := a.c.Engine.CaptureSizes
	batch := a.c.Batch()
	if !sizes.Known || len(sizes.Value) == 0 || batch <= 0 {
		return
	}
	top := sizes.Value[len(sizes.Value)-1]
	if batch <= top {
		return
	}
	to := int64(1)
	for to < batch {
		to *= 2
	}
	ch := change{name: "--max-cudagraph-capture-size", to: fmt.Sprint(to), from: fmt.Sprint(top), predict: a.graphGain(),
		text: fmt.Sprintf("Capture CUDA graphs up to %d tokens: decode batches of %d are larger than the largest captured size, %d, and run without a graph.", to, batch, top),
		why:  "the launches of the model's layers cannot be told from the others in this capture"}
	if s, ok := a.Settings.Ints("--cudagraph-capture-sizes"); ok && len(s) > 0 {
		list := "["
		for _, v := range s {
			list += fmt.Sprintf("%d,", v)
		}
		ch.name, ch.to = "--compilation-config.cudagraph_capture_sizes", fmt.Sprintf("%s%d]", list, to)
	}
	a.propose(ch)
}

// graphGain predicts the step with the model's launches replaced by one graph launch: the larger of the GPU's work and
// the host time that is left.
func (a *adviser) graphGain() *diagnose.Prediction {
	c := a.c
	left, n := a.hostLeft()
	if n == 0 {
		return nil
	}
	busy := float64(c.Busy(&c.Typical).Median)
	before, from := a.itl()
	// The host part runs as fast as it did in the benchmark; GPU work does not change with tracing.
	scale := a.stretch()
	after := max(busy, left*scale) / 1e6
	low, high := max(busy, left*scale*0.6)/1e6, max(busy*1.1, left*scale*1.5)/1e6
	return prediction("itl_ms", "ms", before, after, low, high,
		"%s; the larger of GPU work (%.2f ms) and the host time outside the layers' launches (%.2f ms) with a graph launch of %.2f ms added",
		from, busy/1e6, left*scale/1e6, graphLaunchNs/1e6)
}

// graphLaunchNs is one launch of a decode graph without node tracing, in ns: 0.1 ms for 160 to 400 nodes in captures on
// an H100 at graph granularity.
const graphLaunchNs = 0.11e6

// hostLeft returns the median host time per step outside the launches of the model's layers, plus one graph launch: what
// CUDA graphs cannot remove. n is the number of steps that it rests on.
func (a *adviser) hostLeft() (ns float64, n int) {
	c := a.c
	var left []int64
	for _, i := range c.Typical.Steps {
		s := &c.A.Steps[i]
		r := &c.A.Ranks[s.Rank]
		first, last := profile.None, profile.None
		for j := s.FirstOp; j <= s.LastOp; j++ {
			o := r.Ops[j]
			if r.OpStep[j] != i || o.Kind() != step.OpKernel {
				continue
			}
			k := o.Index()
			if c.A.Layer[k] < 0 {
				continue
			}
			call := c.A.CallOf(o)
			if call == profile.None {
				continue
			}
			if first == profile.None {
				first = call
			}
			last = call
		}
		if first == profile.None || first == last || s.Period <= 0 {
			continue
		}
		layers := c.P.Calls.End(int(last)) - c.P.Calls.Start[first]
		left = append(left, max(0, s.Period-layers))
	}
	if len(left) < 3 {
		return 0, 0
	}
	return float64(medianInt(left)) + graphLaunchNs, len(left)
}

// stepGap: asynchronous scheduling where it is off, else more work per step.
func (a *adviser) stepGap() {
	a.decided["--async-scheduling"] = true
	c := a.c
	if cur := a.current("--async-scheduling"); cur.Known && cur.Value == "false" {
		before, from := a.itl()
		period := float64(c.Period(&c.Typical).Median)
		gap := 0.0
		for _, i := range c.Typical.Steps {
			gap += float64(c.A.Steps[i].Budget[step.IdleScheduler])
		}
		gap /= float64(max(1, len(c.Typical.Steps)))
		busy := float64(c.Busy(&c.Typical).Median)
		after := max(busy, period-gap) * a.stretch() / 1e6
		best := max(busy, (period-gap)*0.9) * a.stretch() / 1e6
		a.propose(change{name: "--async-scheduling",
			text: "Schedule the next step while the GPU works on this one.",
			predict: prediction("itl_ms", "ms", before, min(after, before), min(best, before), before,
				"%s; scheduling of %.2f ms moves beside the GPU's work (%.2f ms)", from, gap/1e6, busy/1e6)})
	}
	a.moreRequests()
}

// moreRequests says how much more load the same steps would carry: a host-bound step takes as long with more requests in
// it until the GPU becomes the limit.
func (a *adviser) moreRequests() {
	c := a.c
	batch := c.Batch()
	if batch <= 0 || len(c.Typical.Steps) == 0 {
		return
	}
	if eager, ok := c.Eager(); ok && eager {
		return // graphs first: what a step costs without them says little about a larger batch
	}
	period, busy := float64(c.Period(&c.Typical).Median)*a.stretch(), float64(c.Busy(&c.Typical).Median)
	if busy*1.3 > period {
		return
	}
	to := 2 * batch
	rate, from := 0.0, "capture"
	if b := c.Bench(); b != nil && b.OutputRate.Known {
		rate, from = b.OutputRate.Value, "benchmark"
	} else {
		rate = float64(batch) / (period / 1e9)
	}
	grown, _, ok := c.StepAt(float64(to))
	if !ok {
		return
	}
	now, _, _ := c.StepAt(float64(batch))
	gpu := busy + max(0, grown-now)
	// Scheduling and output handling grow a little with the requests, so a tenth of the doubling is taken off.
	full := rate * 2 * period / max(period, gpu)
	after := 0.9 * full
	a.client(fmt.Sprintf("Send more requests at once: the GPU works %.2f ms of a %.2f ms step, so %d requests would take about as long as %d. No server option makes the host faster.",
		busy/1e6, period/1e6, to, batch), fmt.Sprint(batch), fmt.Sprint(to),
		prediction("output_tokens_per_s", "tokens/s", rate, after, 0.7*full, full,
			"%s; the host's time per step grows by a tenth when the batch doubles", from), "")
}

// weightsBound: fewer bytes per weight, then more tokens per read.
func (a *adviser) weightsBound() {
	c := a.c
	a.decided["--quantization"], a.decided["--dtype"] = true, true
	bits := c.WeightBits()
	if bits == 0 || bits >= 16 {
		a.propose(change{name: "--quantization", to: "fp8", predict: a.fp8Gain(),
			text: "Quantise the linear layers to 8-bit floating point when loading: half of the bytes per decode step.",
			why:  "no typical decode step to scale"})
	}
	before, from := a.itl()
	if a.untunedMoE() && c.Typical.Part(step.Part(kernel.MoE)) > 0.3 {
		a.propose(change{name: "VLLM_TUNED_CONFIG_FOLDER", to: "/path/to/configs",
			text: "Tune the MoE kernel for this GPU and model: the log says that vLLM found no tuned configuration and uses a default one.",
			why:  "the gain depends on how far the default is from the best; benchmarks/kernels/benchmark_moe.py --tune of vLLM finds out"})
	}
	if batch := c.Batch(); batch > 0 {
		if rate, to, ok := a.roomForBatch(batch); ok {
			a.client(fmt.Sprintf("Send more requests at once: a step of %d requests reads the same weights as one of %d.", to, batch),
				fmt.Sprint(batch), fmt.Sprint(to), rate, "")
		}
	}
	a.propose(change{name: "--speculative-config", to: `{"method":"ngram","num_speculative_tokens":3}`,
		text:  "Speculative decoding spends idle arithmetic on several tokens per weight read.",
		why:   fmt.Sprintf("the gain depends on the acceptance rate of your prompts (now %.2f ms per token, %s)", before, from),
		needs: "output that repeats its prompt (n-gram), or a draft model"})
}

// untunedMoE reports whether the log warns that the MoE kernel runs with a default configuration.
func (a *adviser) untunedMoE() bool {
	if a.c.Run == nil || a.c.Run.Log == nil {
		return false
	}
	for _, n := range a.c.Run.Log.Notices {
		if strings.Contains(n.Text, "default MoE config") {
			return true
		}
	}
	return false
}

// fp8Gain scales the linear layers' time by their bytes and the measured efficiency of 8-bit GEMMs, and adds the
// quantisation of activations, four small kernels a layer.
func (a *adviser) fp8Gain() *diagnose.Prediction {
	c := a.c
	g := &c.Typical
	if len(g.Steps) == 0 {
		return nil
	}
	linear := float64(g.Ns(linearParts...)) / float64(len(g.Steps))
	if linear == 0 {
		return nil
	}
	before, from := a.itl()
	quant := a.smallKernel() * 4 * float64(max(1, c.A.Pattern.LayerCount))
	if !native8(c.Sheet) {
		quant = 0 // weight-only: activations stay in 16 bits
	}
	// GPU work is the same with and without tracing, so the difference needs no correction.
	f := func(eff, q float64) float64 { return before - (linear*(1-0.5/eff)-q)/1e6 }
	return prediction("itl_ms", "ms", before, f(fp8Efficiency, quant), f(1, 0), f(fp8EfficiencyLow, quant*1.5),
		"%s; linear layers (%.2f ms of the step) read half of the bytes at %.0f %% of the bandwidth they reach now, lm_head and attention stay, %.2f ms of quantisation kernels are added",
		from, linear/1e6, 100*fp8Efficiency, quant/1e6)
}

// smallKernel returns the mean time of an elementwise kernel between the GEMMs of the typical step, ns.
func (a *adviser) smallKernel() float64 {
	var sum int64
	n := 0
	k := &a.c.P.Kernels
	for i, s := range a.c.A.Stage {
		if s == kernel.Activation || s == kernel.Norm {
			if k.Dur[i] < 20_000 {
				sum += k.Dur[i]
				n++
			}
		}
	}
	if n == 0 {
		return 2000
	}
	return float64(sum) / float64(n)
}

// roomForBatch predicts the throughput of twice the batch where memory for its KV cache is known to be free.
func (a *adviser) roomForBatch(batch int64) (*diagnose.Prediction, int64, bool) {
	c := a.c
	to := 2 * batch
	if t := c.Engine.KVCacheTokens; t.Known {
		in, out, ok := a.lengths()
		if !ok || float64(to)*(in+out) > 0.9*float64(t.Value) {
			return nil, 0, false
		}
	} else {
		return nil, 0, false
	}
	if m, ok := a.currentInt("--max-num-seqs"); ok && m < to {
		return nil, 0, false
	}
	b := c.Bench()
	if b == nil || !b.OutputRate.Known {
		return nil, 0, false
	}
	after, assumption, ok := a.throughput(float64(batch), float64(to), b.OutputRate.Value)
	if !ok {
		return nil, 0, false
	}
	if after < 1.1*b.OutputRate.Value {
		return nil, 0, false
	}
	gain := after - b.OutputRate.Value
	return prediction("output_tokens_per_s", "tokens/s", b.OutputRate.Value, after, b.OutputRate.Value+0.5*gain, after*1.1, "%s", assumption), to, true
}

// cacheBound: fewer bytes per cached token.
func (a *adviser) cacheBound() {
	c := a.c
	a.decided["--kv-cache-dtype"] = true
	att := float64(c.Typical.Ns(step.Part(kernel.Attention))) / float64(max(1, len(c.Typical.Steps)))
	before, from := a.itl()
	f := func(keep float64) float64 { return before - att*(1-keep)/1e6 }
	a.propose(change{name: "--kv-cache-dtype", to: "fp8",
		text: "Keep the KV cache in 8-bit floating point: half of the bytes that attention reads, and twice the tokens in the same memory.",
		predict: prediction("itl_ms", "ms", before, f(0.62), f(0.5), f(0.95),
			"%s; attention (%.2f ms of the step) keeps 62 %% of its time: half of the bytes at four fifths of the bandwidth; some backends gain nothing", from, att/1e6)})
}

func medianInt(v []int64) int64 {
	s := append([]int64(nil), v...)
	sortInts(s)
	return s[len(s)/2]
}
