package knob

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

// Efficiency of 8-bit weight GEMMs against 16-bit ones of the same capture, as the share of the bandwidth that the
// latter reach: 0.89 for a Llama 8B at a batch of 32 on an H100; the range covers perfect scaling and a quarter lost.
const (
	fp8Efficiency    = 0.90
	fp8EfficiencyLow = 0.75
)

// launchBound: CUDA graphs where there are none, else more work per launch.
func (a *adviser) launchBound() {
	if a.standsStill(step.IdleLaunch) {
		return
	}
	a.decided["--enforce-eager"] = true
	eager, known := a.c.Eager()
	on, set := a.Settings.Bool("--enforce-eager")
	if e := a.c.Engine.EnforceEager; !set && e.Known {
		on, set = e.Value, true
	}
	switch {
	// Graphs that were made and are not used say that the batch is too large for them, not that they are off.
	case on, known && eager && !set && !a.captured():
		if !set && a.c.Batch() > a.graphCeiling() {
			a.captureSizes() // no default captures graphs as large as these steps
			return
		}
		ch := change{name: "--enforce-eager", drop: true, from: "true", predict: a.graphGain(),
			text: "Drop --enforce-eager: CUDA graphs launch a whole decode step at once, and torch.compile fuses small kernels.",
			why:  "the launches of the model's layers cannot be told from the others in this capture"}
		if !set {
			ch.from, ch.only = "not known", "--enforce-eager is set (not known; decode steps launch no CUDA graph)"
			ch.text = "If --enforce-eager is set, drop it" + strings.TrimPrefix(ch.text, "Drop --enforce-eager") +
				" If it is not, look for cudagraph_mode NONE, and for captured sizes (cudagraph_capture_sizes) below the batch."
		}
		a.propose(ch)
	case known && eager:
		if mode, ok := a.Settings.Value("--compilation-config.cudagraph_mode"); ok && strings.EqualFold(mode, "NONE") {
			a.propose(change{name: "--compilation-config.cudagraph_mode", to: "FULL_AND_PIECEWISE", predict: a.graphGain(),
				text: "Turn CUDA graphs on: cudagraph_mode is NONE.", why: "no decode step to compare with"})
			return
		}
		a.captureSizes()
	case a.c.LaunchWaitInPrefill() > 0.6:
		a.graphsForPrefill()
	default:
		a.decideGraphs()
		a.moreRequests()
	}
	if len(a.out) == 0 && a.untold("--cudagraph-capture-sizes") && a.waitsWithoutGraph() > 0.5 {
		a.look("--cudagraph-capture-sizes", "Look at the sizes that CUDA graphs were captured for (cudagraph_capture_sizes in the server's log): most of the waiting is in steps that launch their kernels one by one, though the engine made graphs.",
			"how many tokens these steps hold, or which sizes have a graph, is not recorded")
	}
}

// waitsWithoutGraph is the part of the waiting for launches that falls into steps without a CUDA graph, 0 where the engine
// made none.
func (a *adviser) waitsWithoutGraph() float64 {
	if !a.captured() {
		return 0
	}
	var all, without int64
	for _, i := range a.c.A.Primary {
		s := &a.c.A.Steps[i]
		if s.Cold {
			continue
		}
		all += s.Budget[step.IdleLaunch]
		if s.GraphLaunches == 0 && s.GraphKernels == 0 {
			without += s.Budget[step.IdleLaunch]
		}
	}
	if all == 0 {
		return 0
	}
	return float64(without) / float64(all)
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
	// The host part runs as fast as it did in the benchmark; GPU work does not change with tracing, and a graph launch was
	// measured without it. The host's pace differs between captures by more than tracing explains: two captures of one 1B
	// model without graphs took 8.3 and 14.8 ms for the same 511 calls of its layers, and every other part of the step
	// differed as much, while the benchmarks beside them took 14.5 and 16.1 ms a token. Hence the wide range.
	host := left*a.stretch() + graphLaunchNs
	after := max(busy, host) / 1e6
	if after >= 0.95*before {
		return nil // the steps differ too much to say what their launches cost
	}
	low, high := max(busy, host*0.6)/1e6, max(busy*1.1, host*1.5)/1e6
	return prediction("itl_ms", "ms", before, after, low, high,
		"%s; the larger of GPU work (%.2f ms) and the host time outside the layers' launches (%.2f ms) with a graph launch of %.2f ms added",
		from, busy/1e6, host/1e6, graphLaunchNs/1e6)
}

// graphLaunchNs is one launch of a decode graph without node tracing, in ns: 0.1 ms for 160 to 400 nodes in captures on
// an H100 at graph granularity.
const graphLaunchNs = 0.11e6

// hostLeft returns the median host time per step outside the launches of the model's layers: what CUDA graphs cannot remove.
// n is the number of steps that it rests on.
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
	return float64(medianInt(left)), len(left)
}

// hostNoise is how much the same host-bound server's step time usually differs between two runs: 10 to 25 % on one machine. Three
// starts on another took 1.74, 2.58 and 2.64 ms a token.
const hostNoise = 1.15

// stepGap: asynchronous scheduling where it is off, else more work per step.
func (a *adviser) stepGap() {
	if a.standsStill(step.IdleScheduler) {
		return
	}
	a.asyncScheduling()
	a.moreRequests()
}

// standsStill answers a wait that comes in few long pauses: no option and no load makes a host go on that stands still.
func (a *adviser) standsStill(part step.Part) bool {
	if a.c.Pauses(part).N == 0 {
		return false
	}
	for _, e := range ForFinding(a.finding.ID, a.Engine) {
		a.decided[e.Name] = true
	}
	a.look("nsys profile --cpuctxsw", "Find out what the engine's thread did in the pauses: record again with CPU scheduling (nsys profile --sample=process-tree --cpuctxsw=process-tree), and look for garbage collection, other processes on its cores, and limits of the container's CPU time.",
		"what the host did in the pauses is not recorded")
	return true
}

// asyncScheduling proposes it where it is off and possible.
func (a *adviser) asyncScheduling() {
	a.decided["--async-scheduling"] = true
	c := a.c
	if cur := a.current("--async-scheduling"); cur.Known && cur.Value == "false" && a.asyncPossible() {
		before, from := a.itl()
		busy := float64(c.Busy(&c.Typical).Median)
		var p *diagnose.Prediction
		why := "what the launching thread does within a step is not recorded"
		if host, ok := a.hostTime(); ok {
			// Scheduling ahead hides the host's work behind the GPU's, or the GPU's behind the host's: it does not make
			// the host faster. The whole gap would go only if the host had time to spare.
			host *= a.stretch()
			after := min(before, max(busy, host)/1e6)
			p = prediction("itl_ms", "ms", before, after, min(after, max(busy, 0.9*host)/1e6), before*hostNoise,
				"%s; the step becomes the larger of the GPU's work (%.2f ms) and the host's (%.2f ms without waiting for the GPU); host speed differs by 10 to 50 %% between runs, so no gain or a loss of that size proves nothing",
				from, busy/1e6, host/1e6)
		}
		a.propose(change{name: "--async-scheduling", predict: p, why: why,
			text: "Schedule the next step while the GPU works on this one."})
	} else if !cur.Known && a.Engine.Version == "" && a.asyncPossible() {
		a.look("--async-scheduling", "Look whether asynchronous scheduling is on: it prepares the next step while the GPU works on this one. vLLM has --async-scheduling from 0.11 on, and turns it on by itself since 0.14.",
			"whether it is on is not recorded")
	}
}

// asyncPossible reports whether the engine can schedule ahead with what is set: it fails at start with drafters other
// than EAGLE, its kin and those that later versions added, before 0.16 with pipeline parallelism, and under Ray, whose
// later executor that can is not told apart here.
func (a *adviser) asyncPossible() bool {
	if v, _ := a.Settings.Value("--distributed-executor-backend"); strings.EqualFold(v, "ray") {
		return false
	}
	if pp := a.c.Engine.PipelineParallel; pp.Known && pp.Value > 1 && !a.Engine.AtLeast("0.16.0") {
		return false
	}
	if !a.c.SpecDecode() {
		return true
	}
	m := strings.ToLower(a.c.Engine.SpecDecode.Or(""))
	switch {
	case strings.Contains(m, "eagle"), strings.Contains(m, "mtp"):
		return true
	case strings.Contains(m, "ngram_gpu"):
		return a.Engine.AtLeast("0.18.0")
	case strings.Contains(m, "draft_model"):
		return a.Engine.AtLeast("0.16.0")
	}
	return false
}

// hostTime returns the median time per typical step in which the launching thread does not wait for the GPU, ns.
func (a *adviser) hostTime() (ns float64, ok bool) {
	c := a.c
	calls := &c.P.Calls
	if calls.Len() == 0 {
		return 0, false // without calls no wait is seen, and the whole step would be the host's
	}
	var waits interval.Set
	waitsOf := profile.None
	var host []int64
	for _, i := range c.Typical.Steps {
		s := &c.A.Steps[i]
		r := &c.A.Ranks[s.Rank]
		if s.Host.Empty() || r.Thread == profile.None {
			continue
		}
		if r.Thread != waitsOf {
			var spans []interval.Span
			for j, t := range calls.Thread {
				if t == r.Thread && c.A.CallKind(int32(j)).Sync() {
					spans = append(spans, interval.Span{Start: calls.Start[j], End: calls.End(j)})
				}
			}
			waits, waitsOf = interval.Union(spans), r.Thread
		}
		host = append(host, s.Host.Dur()-interval.Busy(waits, s.Host))
	}
	if len(host) < 8 {
		return 0, false
	}
	return float64(medianInt(host)), true
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
	if c.All.Part(step.IdleRequests) >= 0.10 {
		return // what limits the requests at the engine is in front of it
	}
	period, busy := float64(c.Period(&c.Typical).Median)*a.stretch(), float64(c.Busy(&c.Typical).Median)
	if busy*1.3 > period {
		return
	}
	to := 2 * batch
	if top, ok := a.graphsTop(); ok && top > batch && to > top {
		to = top
	}
	times := float64(to) / float64(batch)
	rate, from := 0.0, "capture"
	if b := c.Bench(); b != nil && b.OutputRate.Known {
		rate, from = b.OutputRate.Value, "benchmark"
	} else {
		rate = float64(batch) / (period / 1e9) * c.AtOnce(&c.Typical)
	}
	grown, _, ok := c.StepAt(float64(to))
	if !ok {
		return
	}
	now, _, _ := c.StepAt(float64(batch))
	gpu := busy + max(0, grown-now)
	// Scheduling and output handling grow a little with the requests, so a tenth of the gain's end is taken off.
	full := rate * times * period / max(period, gpu)
	after := 0.9 * full
	if after < 1.1*rate {
		return
	}
	engines, each := int64(max(1, c.Engines())), ""
	if engines > 1 {
		each = " on each engine"
	}
	a.client(fmt.Sprintf("Send more requests at once: the GPU works %.2f ms of a %.2f ms step, so %d requests%s would take about as long as %d. No server option makes the host faster.",
		busy/1e6, period/1e6, to, each, batch), fmt.Sprint(engines*batch), fmt.Sprint(engines*to),
		prediction("output_tokens_per_s", "tokens/s", rate, after, max(rate, 0.7*full), full,
			"%s; the host's time per step grows by a tenth", from), "")
	a.needs(a.graphsFor(to))
}

// needs adds a precondition to the advice added last.
func (a *adviser) needs(what string) {
	if n := len(a.out); n > 0 {
		a.out[n-1].Requires = join(a.out[n-1].Requires, what)
	}
}

// weightsBound: fewer bytes per weight, then more tokens per read.
func (a *adviser) weightsBound() {
	c := a.c
	a.decided["--quantization"], a.decided["--dtype"] = true, true
	bits := c.WeightBits()
	if bits == 0 || bits >= 16 {
		// Layers so small that quantising their inputs takes what reading fewer weights gives are left alone.
		if p := a.fp8Gain(); p == nil || p.After < 0.97*p.Before {
			if !a.propose(change{name: "--quantization", to: "fp8", predict: p,
				text:  "Quantise the linear layers to 8-bit floating point when loading: half of the bytes per decode step.",
				shown: bits >= 16,
				why:   "no typical decode step to scale"}) {
				a.narrowCheckpoint()
			}
		}
	}
	before, from := a.itl()
	if a.untunedMoE() && c.Typical.Part(step.Part(kernel.MoE)) > 0.3 {
		a.propose(change{name: "VLLM_TUNED_CONFIG_FOLDER", to: "/path/to/configs", shown: true,
			text: "Tune the MoE kernel for this GPU and model: the log says that vLLM found no tuned configuration and uses a default one.",
			why:  "the gain depends on how far the default is from the best; benchmarks/kernels/benchmark_moe.py --tune of vLLM finds out"})
	}
	if batch := c.Batch(); batch > 0 {
		if rate, to, ok := a.roomForBatch(batch); ok {
			a.client(fmt.Sprintf("Send more requests at once: a step of %d requests reads the same weights as one of %d.", to, batch),
				fmt.Sprint(batch), fmt.Sprint(to), rate, "")
			a.needs(a.graphsFor(to))
		}
	}
	a.decided["--speculative-config"] = true
	batch := c.Batch()
	if c.SpecDecode() || batch > maxSpeculated {
		return
	}
	needs := "output that repeats its prompt (n-gram), or a draft model"
	if batch <= 0 {
		needs = fmt.Sprintf("at most %d requests at once (not recorded); %s", maxSpeculated, needs)
	}
	a.propose(change{name: "--speculative-config", to: `{"method":"ngram","num_speculative_tokens":3}`, shown: batch > 0,
		text:  "Speculative decoding spends idle arithmetic on several tokens per weight read.",
		why:   fmt.Sprintf("the gain depends on the acceptance rate of your prompts (now %.2f ms per token, %s)", before, from),
		needs: needs})
}

// maxSpeculated is the largest batch for which drafting is proposed: above it the verification's arithmetic and rejected
// drafts cost more than the weights' reading saves.
const maxSpeculated = 32

// narrowCheckpoint proposes 8-bit weights where the GPU does not compute in 8-bit floating point: a checkpoint that was
// quantised before, because what vLLM quantises to integers while loading is the experts of a mixture, not the linear layers.
func (a *adviser) narrowCheckpoint() {
	if _, set := a.Settings.Value("--quantization"); set || a.c.Sheet.ComputeMajor == 0 {
		return
	}
	if a.moe() && a.propose(change{name: "--quantization", to: "int8_per_channel_weight_only", shown: a.c.WeightBits() >= 16,
		why:  "the experts' part of the step is not scaled",
		text: "Quantise the experts to 8-bit integers when loading: half of their bytes per decode step; attention and the other linear layers stay in 16 bits."}) {
		return
	}
	p := a.fp8Gain()
	a.out = append(a.out, diagnose.Advice{Knob: "checkpoint", From: "16-bit weights", To: "8-bit weights", Predicted: p,
		Text: "Serve a checkpoint of the model with 8-bit integer weights: half of the bytes per decode step. This GPU does not compute in 8-bit floating point, and vLLM recognises a quantised checkpoint without an option.",
		Risk: "accuracy: outputs change; check quality on your own task", Requires: "such a checkpoint of your model"})
	if p == nil {
		a.out[len(a.out)-1].Unpredicted = "no typical decode step to scale"
	}
}

// untunedMoE reports whether the log warns that the MoE kernel runs with a default configuration.
func (a *adviser) untunedMoE() bool {
	if a.c.Run == nil || a.c.Run.Log == nil || a.c.Foreign() != "" {
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
	linear := float64(c.PerStep(g, diagnose.LinearStages...))
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
	if a.narrowCache() {
		return
	}
	if a.c.SlowAttention() {
		a.look("--attention-backend", "Look at the attention backend (--attention-backend, and what the server's log says that it uses): the kernel reads the KV cache far below the memory's speed, so a narrower cache would gain little.",
			"how fast another backend is here is not recorded")
		return
	}
	_, shown := a.cacheWrites()
	att := float64(c.PerStep(&c.Typical, step.Part(kernel.Attention)))
	before, from := a.itl()
	f := func(keep float64) float64 { return before - att*(1-keep)/1e6 }
	a.propose(change{name: "--kv-cache-dtype", to: "fp8", shown: shown,
		text: "Keep the KV cache in 8-bit floating point: half of the bytes that attention reads, and twice the tokens in the same memory.",
		predict: prediction("itl_ms", "ms", before, f(0.62), f(0.5), f(0.95),
			"%s; attention (%.2f ms of the step) keeps 62 %% of its time: half of the bytes at four fifths of the bandwidth; some backends gain nothing", from, att/1e6)})
	// Where the weights are the smaller part of the same bytes, narrowing them comes next.
	if bits := c.WeightBits(); bits >= 16 && native8(c.Sheet) && c.Typical.Part(diagnose.LinearStages...) >= 0.25 {
		a.decided["--quantization"] = true
		a.propose(change{name: "--quantization", to: "fp8", predict: a.fp8Gain(), shown: true,
			text: "Quantise the linear layers to 8-bit floating point when loading: half of the bytes per decode step that are not the cache's.",
			why:  "no typical decode step to scale"})
	}
}

func medianInt(v []int64) int64 {
	s := slices.Clone(v)
	slices.Sort(s)
	return s[len(s)/2]
}
