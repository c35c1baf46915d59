package knob

import (
	"fmt"
	"math"

	"github.com/stepscope/stepscope/device"
	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/step"
)

// lengths returns mean prompt and output tokens of a request.
func (a *adviser) lengths() (in, out float64, ok bool) {
	in, out, from := a.c.Lengths()
	return in, out, from != ""
}

// prefillRate returns prompt tokens per second of GPU time in the capture's steps with prefill; ok is false when none is
// recorded.
func (a *adviser) prefillRate() (perSecond float64, ok bool) {
	c := a.c
	base := float64(c.Period(&c.Decode).Median)
	var tokens, ns float64
	for _, g := range []*diagnose.Group{&c.Prefill, &c.Mixed} {
		for _, i := range g.Steps {
			s := &c.A.Steps[i]
			if s.Batch.PrefillTokens <= 0 {
				continue
			}
			tokens += float64(s.Batch.PrefillTokens)
			t := float64(s.Budget.Busy())
			if s.Batch.DecodeRequests > 0 {
				t -= min(base, t) * 0.5 // the decode half of a mixed step shares the weights' reading with the prefill
			}
			ns += t
		}
	}
	if tokens > 0 && ns > 0 {
		return tokens / (ns / 1e9), true
	}
	return 0, false
}

// assumedMFU is the share of the dense peak at which prefill runs where the capture holds none: 0.60 to 0.65 for a
// Llama 8B on an H100.
const assumedMFU = 0.6

// assumedMoEMFU is the same for experts: a Qwen3 30B-A3B with vLLM's default kernel configuration took 0.27 on an H100.
const assumedMoEMFU = 0.3

// throughput predicts output tokens per second when the batch goes from now to then, calibrated so that the present batch
// gives the measured rate: per request, output tokens at the batch's step time plus its prompt at the prefill rate.
func (a *adviser) throughput(now, then, measured float64) (rate float64, assumption string, ok bool) {
	c := a.c
	in, out, ok := a.lengths()
	if !ok || out <= 0 {
		return 0, "", false
	}
	s1, _, ok1 := c.StepAt(now)
	s2, how, ok2 := c.StepAt(then)
	if !ok1 || !ok2 {
		return 0, "", false
	}
	pre, seen := a.prefillRate()
	if !seen {
		if pre, _, ok = a.filledRate(); !ok {
			return 0, "", false
		}
	}
	stretch := 1.0
	if d := c.Distortion; d > 0 {
		stretch = 1 / d
	}
	cost := func(step, batch float64) float64 { return out*step*stretch/1e9/batch + in/pre }
	rate = measured * cost(s1, now) / cost(s2, then)
	assumption = fmt.Sprintf("%s; prompts at %.0f tokens/s; scaled to the measured rate", how, pre)
	return rate, assumption, true
}

// arrivals bounds a predicted rate by the load: requests that do not arrive yield no tokens.
func (a *adviser) arrivals(rate float64) float64 {
	b := a.c.Bench()
	if _, closed := a.c.ClosedLoop(); closed || b == nil || !b.RequestRate.Known || math.IsInf(b.RequestRate.Value, 0) || b.RequestRate.Value <= 0 {
		return rate
	}
	if _, out, ok := a.lengths(); ok {
		return min(rate, b.RequestRate.Value*out)
	}
	return rate
}

// waves is the share of full use that a closed loop of n equal requests reaches at a batch: the last wave is not full.
func waves(n, batch float64) float64 {
	if n <= 0 || batch <= 0 {
		return 1
	}
	w := n / batch
	return w / math.Ceil(w)
}

// queueLimited: a larger cap, as far as the KV cache holds.
func (a *adviser) queueLimited() {
	c := a.c
	a.decided["--max-num-seqs"] = true
	batch := c.Batch()
	if batch <= 0 {
		return
	}
	want := float64(batch) + c.WaitingMean()
	n, closed := c.ClosedLoop()
	if closed {
		want = max(want, float64(n))
	}
	to := powerOfTwo(int64(math.Ceil(want)))
	note := ""
	if t := c.Engine.KVCacheTokens; t.Known {
		if in, out, ok := a.lengths(); ok && in+out > 0 {
			if fit := int64(float64(t.Value) / (in + out)); fit < to {
				to, note = max(fit, batch+1), fmt.Sprintf(" (what the KV cache of %d tokens holds)", t.Value)
			}
		}
	}
	if d := DefaultFor("--max-num-seqs", a.Engine, a.GPUMem, a.GPUName); d.Known {
		var n int64
		fmt.Sscan(d.Value, &n)
		if cur, ok := a.currentInt("--max-num-seqs"); ok && n > 0 && cur < n {
			to = min(max(to, batch+1), n)
		}
	}
	var p *diagnose.Prediction
	why := "no benchmark gives the rate before"
	if b := c.Bench(); b != nil && b.OutputRate.Known {
		running := min(float64(to), want)
		if rate, how, ok := a.throughput(float64(batch), running, b.OutputRate.Value); ok {
			rate = a.arrivals(rate)
			full := rate
			if b.Completed.Known && closed {
				n := float64(b.Completed.Value)
				rate *= waves(n, running) / waves(n, float64(batch))
				how += fmt.Sprintf("; %d requests fill %.1f waves of %.0f", b.Completed.Value, n/running, running)
			}
			if before := b.OutputRate.Value; rate > before {
				p = prediction("output_tokens_per_s", "tokens/s", before, rate, rate*0.85, max(full, rate)*1.05, "%s", how)
			} else {
				why = "requests wait less, but no more output is predicted: of the load, or of a last batch that is not full"
			}
		} else {
			why = "the lengths of requests or the model's shape are not recorded"
		}
	}
	a.propose(change{name: "--max-num-seqs", to: fmt.Sprint(to), from: fmt.Sprint(batch), predict: p, why: why,
		text: fmt.Sprintf("Raise the cap on running requests to %d%s: waiting requests join the batch, which reads the same weights once.", to, note), needs: a.graphsForCap(min(to, int64(want)), to)})
}

// kvLimited: more room in the cache.
func (a *adviser) kvLimited() {
	c := a.c
	for _, n := range []string{"--gpu-memory-utilization", "--num-gpu-blocks-override", "--kv-cache-dtype"} {
		a.decided[n] = true
	}
	if a.finding.Severity < diagnose.Medium {
		// A cache that was full for a moment needs nothing.
		for _, e := range ForFinding(a.finding.ID, a.Engine) {
			a.decided[e.Name] = true
		}
		return
	}
	grow := func(ch change, factor float64) {
		p, gains := a.cacheGain(factor)
		if ch.predict = p; gains {
			a.propose(ch)
		}
	}
	if v, ok := a.Settings.Value("--num-gpu-blocks-override"); ok {
		grow(change{name: "--num-gpu-blocks-override", drop: true, from: v,
			text: "Drop --num-gpu-blocks-override: it holds the KV cache at a fixed number of blocks whatever memory is free.",
			why:  "how much memory the cache could have is not recorded"}, a.freeFactor())
	}
	// With a fixed number of blocks, more memory or smaller entries do not become more blocks.
	_, fixed := a.Settings.Value("--num-gpu-blocks-override")
	if fixed = fixed || a.fixedBlocks(); fixed {
		if len(a.out) == 0 {
			a.propose(change{name: "--num-gpu-blocks-override", drop: true, from: "set", shown: true, why: "how much memory the cache could have is not recorded",
				text: "Drop --num-gpu-blocks-override: it holds the KV cache at a fixed number of blocks whatever memory is free."})
		}
		return
	}
	if u, ok := a.Settings.Float("--gpu-memory-utilization"); ok || c.Engine.GPUMemoryUtilization.Known {
		if !ok {
			u = c.Engine.GPUMemoryUtilization.Value
		}
		if u < 0.93 {
			to := 0.95
			factor := 0.0
			if kv := c.Engine.KVCacheGiB; kv.Known && kv.Value > 0 && a.GPUMem > 0 {
				factor = 1 + (to-u)*float64(a.GPUMem)/(1<<30)/kv.Value
			}
			grow(change{name: "--gpu-memory-utilization", to: trimFloat(to), from: trimFloat(u),
				text: "Give vLLM more of the GPU's memory: all of the gain goes to the KV cache.",
				why:  "the size of the KV cache is not recorded"}, factor)
		}
	}
	_, shown := a.cacheWrites()
	if cur := a.current("--kv-cache-dtype"); !a.narrowCache() && (!cur.Known || cur.Value == "auto" || cur.Value == "bfloat16" || cur.Value == "float16") {
		grow(change{name: "--kv-cache-dtype", to: "fp8", shown: shown,
			text: "Keep the KV cache in 8-bit floating point: twice the tokens in the same memory.",
			why:  "no benchmark gives the rate before"}, 2)
	}
}

// fixedBlocks reports whether the metrics say that the number of cache blocks was forced.
func (a *adviser) fixedBlocks() bool {
	d := a.c.Delta()
	if d == nil {
		return false
	}
	for _, g := range d.Gauges {
		if g.Name != "vllm:cache_config_info" {
			continue
		}
		for _, l := range g.Labels {
			if l.Name == "num_gpu_blocks_override" && l.Value != "" && l.Value != "None" {
				return true
			}
		}
	}
	return false
}

// freeFactor is how much larger the cache could be without an override of its blocks: the memory that vLLM found free
// over what the blocks take.
func (a *adviser) freeFactor() float64 {
	c := a.c
	s, ok := c.ModelShape()
	if !ok || !c.Engine.KVCacheGiB.Known || !c.Engine.KVCacheTokens.Known || c.Engine.KVCacheTokens.Value == 0 {
		return 0
	}
	return c.Engine.KVCacheGiB.Value * (1 << 30) / s.KVBytesPerToken() / float64(c.Engine.KVCacheTokens.Value)
}

// cacheGain predicts throughput when the cache, and with it the batch, grows by a factor, up to the requests that wait.
// gains is false where a larger cache is known to give nothing, as no request waits for it; without a number it is true.
func (a *adviser) cacheGain(factor float64) (p *diagnose.Prediction, gains bool) {
	c := a.c
	b := c.Bench()
	batch := float64(c.Batch())
	if factor <= 1 || b == nil || !b.OutputRate.Known || batch <= 0 {
		return nil, true
	}
	want := batch + c.WaitingMean()
	if n, closed := c.ClosedLoop(); closed {
		want = max(batch, float64(n))
	}
	to := min(batch*factor, want)
	if to < batch+1 {
		return nil, false
	}
	rate, how, ok := a.throughput(batch, to, b.OutputRate.Value)
	if !ok {
		return nil, true
	}
	if rate = a.arrivals(rate); rate <= b.OutputRate.Value {
		return nil, false
	}
	return prediction("output_tokens_per_s", "tokens/s", b.OutputRate.Value, rate, max(b.OutputRate.Value, 0.8*rate), rate*1.15,
		"the batch grows from %.0f to %.0f; %s", batch, to, how), true
}

// prefillBound: cheaper arithmetic, then less of it.
func (a *adviser) prefillBound() {
	c := a.c
	a.decided["--quantization"], a.decided["--enable-prefix-caching"] = true, true
	if bits := c.WeightBits(); native8(c.Sheet) && (bits == 0 || bits >= 16) {
		var wall, gemm int64
		for _, g := range []*diagnose.Group{&c.Prefill, &c.Mixed} {
			wall += g.Wall
			gemm += g.Ns(diagnose.LinearStages...)
		}
		var p *diagnose.Prediction
		why := "no benchmark gives the time to first token before"
		if b := c.Bench(); b != nil && b.TTFT.Mean.Known && wall > 0 {
			before := b.TTFT.Mean.Value
			share := float64(gemm) / float64(wall)
			f := func(keep float64) float64 { return before * (1 - share*(1-keep)) }
			p = prediction("ttft_ms", "ms", before, f(0.62), f(0.5), f(0.85),
				"GEMMs take %.0f %% of the steps with prefill and 62 %% of their time in 8 bits (peak doubles, a fifth of it is lost to quantising activations); waiting shrinks alike", 100*share)
		}
		a.propose(change{name: "--quantization", to: "fp8", predict: p, why: why, shown: bits >= 16,
			text: "Quantise the linear layers to 8-bit floating point when loading: twice the arithmetic peak."})
	}
	if cur := a.current("--enable-prefix-caching"); cur.Known && cur.Value == "false" {
		a.propose(change{name: "--enable-prefix-caching", text: "Reuse the KV cache of shared prompt prefixes instead of computing it again.",
			why: "the gain depends on how much of your prompts is shared", needs: "prompts with common prefixes"})
	}
}

// tokenBudget returns the token budget of a step: the setting, else the largest step of the capture, which it cannot be
// below.
func (a *adviser) tokenBudget() (budget int64, from string, ok bool) {
	if n, ok := a.currentInt("--max-num-batched-tokens"); ok {
		return n, fmt.Sprint(n), true
	}
	var most int64
	for _, i := range a.c.A.Primary {
		most = max(most, a.c.A.Steps[i].Batch.Tokens())
	}
	return most, fmt.Sprintf("%d or more (largest step)", most), most > 0
}

// interference: smaller chunks.
func (a *adviser) interference() {
	c := a.c
	a.decided["--max-num-batched-tokens"], a.decided["--enable-chunked-prefill"] = true, true // mixed steps are chunked prefill
	cur, from0, ok := a.tokenBudget()
	if !ok {
		return
	}
	floor := int64(512)
	if r := int64(c.RidgeTokens()); r > 256 {
		floor = 1024 // below about three times the ridge prefill loses efficiency
	}
	to := max(floor, cur/4)
	if to >= cur {
		return
	}
	p, why := a.chunkStall(to)
	if p == nil && why == "" {
		return // the stalls are no longer than those of the smaller budget
	}
	a.propose(change{name: "--max-num-batched-tokens", to: fmt.Sprint(to), from: from0, predict: p, why: why,
		text: fmt.Sprintf("Lower the token budget to %d: prefill comes in shorter steps, and decoding waits less behind each. Prompts take more steps, so time to first token rises.", to)})
}

// chunkStall predicts the token gap behind a mixed step of n tokens; both results are empty when it would not shrink.
func (a *adviser) chunkStall(n int64) (*diagnose.Prediction, string) {
	c := a.c
	rate, ok := a.prefillRate()
	if !ok {
		return nil, "the prefill rate is not recorded"
	}
	base := float64(c.Period(&c.Decode).Median) / 1e6
	before, from := 0.0, ""
	if b := c.Bench(); b != nil {
		if m := b.ITL.Percentile(99); m.Known {
			before, from = m.Value, "p99 of the benchmark"
		}
	}
	if before == 0 {
		before, from = float64(c.Period(&c.Mixed).P99)/1e6, "longest mixed steps of the capture"
	}
	after := base + float64(n)/rate*1e3
	if after >= 0.95*before {
		return nil, ""
	}
	return prediction("itl_ms", "ms", before, after, after*0.8, min(after*1.3, before),
		"%s; a mixed step of %d tokens takes a decode step and %d tokens at %.0f tokens/s", from, n, n, rate), ""
}

// chunkLimited: a larger budget.
func (a *adviser) chunkLimited() {
	a.decided["--max-num-batched-tokens"] = true
	cur, from, ok := a.tokenBudget()
	if !ok {
		return
	}
	to := int64(2048) // the smallest default of any version
	if d := DefaultFor("--max-num-batched-tokens", a.Engine, a.GPUMem, a.GPUName); d.Known {
		fmt.Sscan(d.Value, &to)
	}
	if to <= cur {
		to = cur * 4
	}
	p, why := a.fuller(cur, to)
	a.propose(change{name: "--max-num-batched-tokens", to: fmt.Sprint(to), from: from, predict: p, why: why,
		text: fmt.Sprintf("Raise the token budget to %d: the same prompts take fewer steps.", to)})
}

// fuller predicts what a larger token budget gives. A closed loop gains throughput: a request costs its tokens in full
// steps of the small budget now, and then its prompt at the rate of filled steps and its output at the batch's decode
// steps. An open loop gains time to first token.
func (a *adviser) fuller(cur, to int64) (*diagnose.Prediction, string) {
	c := a.c
	b := c.Bench()
	in, out, ok := a.lengths()
	if b == nil || !ok || in <= 0 {
		return nil, "no benchmark gives the time before, or the lengths of requests are not recorded"
	}
	var period, busy []int64
	var running int64
	for _, g := range []*diagnose.Group{&c.Prefill, &c.Mixed} {
		for _, i := range g.Steps {
			s := &c.A.Steps[i]
			if n := s.Batch.Tokens(); n*100 >= cur*97 && n <= cur && s.Period > 0 {
				period, busy = append(period, s.Period), append(busy, s.Budget.Busy())
				running = max(running, s.Batch.Requests())
			}
		}
	}
	rate, how, ok := a.filledRate()
	if len(period) == 0 || !ok {
		return nil, "the rate of filled prefill steps cannot be computed: the model's shape or the GPU is not known"
	}
	small := float64(medianInt(period)) // ns per step of the small budget
	if itl := b.ITL.Percentile(50); itl.Known && itl.Value > 0 && c.Distortion == 0 {
		// While every step is full the client's median token gap is such a step, without the profiler.
		small = max(float64(medianInt(busy)), min(small, itl.Value*1e6))
	}
	decode := float64(c.Period(&c.Decode).Median)
	if decode == 0 {
		decode = float64(medianInt(busy)) // a step reads the weights once, however few its tokens
	}
	now := (in + out) / float64(cur) * small / 1e9
	n, closed := c.ClosedLoop()
	batch := float64(max(1, running))
	if closed {
		batch = float64(n)
	}
	then := in/rate + out*decode/1e9/batch
	if then >= 0.95*now {
		return nil, "steps of the small budget are as fast per token as filled ones"
	}
	if closed && b.OutputRate.Known {
		before := b.OutputRate.Value
		after := before * now / then
		return prediction("output_tokens_per_s", "tokens/s", before, after, before+0.5*(after-before), after*1.15,
			"a request's %.0f tokens in steps of %d at %.1f ms each become a prompt at %.0f tokens/s (%s) and %.0f tokens in decode steps of %.1f ms at a batch of %.0f; scaled to the measured rate",
			in+out, cur, small/1e6, rate, how, out, decode/1e6, batch), ""
	}
	if m := b.TTFT.Mean; m.Known {
		// Waiting shrinks at least as much as the prompt's own steps.
		after := m.Value * (in / rate) / (in / float64(cur) * small / 1e9)
		if after >= 0.95*m.Value {
			return nil, "prompts in steps of the small budget are as fast as in filled ones"
		}
		return prediction("ttft_ms", "ms", m.Value, after, after*0.5, m.Value,
			"a prompt of %.0f tokens takes %.0f ms at %.0f tokens/s (%s) instead of %.0f steps of %.1f ms; waiting shrinks alike",
			in, 1e3*in/rate, rate, how, math.Ceil(in/float64(cur)), small/1e6), ""
	}
	return nil, "no benchmark gives the time before"
}

// filledRate returns prompt tokens per second of a filled step: by the model's operations, as no such step is recorded
// where the budget is small.
func (a *adviser) filledRate() (perSecond float64, how string, ok bool) {
	c := a.c
	shape, known := c.ModelShape()
	if !known || !c.SheetMatch.OK {
		return 0, "", false
	}
	peak, ok := c.Sheet.Peak(shape.LinearDType().Arithmetic(shape.ActivationDType(), c.Sheet))
	const filled = 2048 // tokens; the rate hardly changes beyond
	perToken := shape.StepCost(device.Batch{PrefillSeqs: 1, PrefillTokens: filled, PrefillKVTokens: filled}).FLOPs() / filled
	if !ok || perToken <= 0 {
		return 0, "", false
	}
	mfu := assumedMFU
	if shape.IsMoE() {
		mfu = assumedMoEMFU
	}
	return mfu * peak / perToken, fmt.Sprintf("%.0f %% of peak arithmetic", 100*mfu), true
}

func (a *adviser) underloaded() {
	if n, closed := a.c.ClosedLoop(); closed && a.c.Batch() > 1 && n >= a.c.Batch() {
		a.propose(change{name: "--api-server-count", to: "2", text: "Run two API server processes: requests spend the idle time outside the engine, and one process tokenises and streams for all of them.",
			why: "whether the time passes in the API server or in the client is not recorded"})
	}
	a.client("Nothing on the server to change: send more requests, or serve this load with fewer or smaller GPUs.", "", "", nil,
		"the load decides")
}

// samplingBound: the fused sampler.
func (a *adviser) samplingBound() {
	c := a.c
	a.decided["VLLM_USE_FLASHINFER_SAMPLER"] = true
	from0 := ""
	switch e := c.Engine.FlashInferSampler; {
	case e.Known && e.Value:
		return
	case e.Known:
		from0 = "0"
	case a.current("VLLM_USE_FLASHINFER_SAMPLER").Value == "true":
		return // on by default in this version
	}
	before, from := a.itl()
	s := float64(c.PerStep(&c.Typical, step.Part(kernel.Sampling)))
	a.propose(change{name: "VLLM_USE_FLASHINFER_SAMPLER", to: "1", from: from0,
		text: "Use FlashInfer's fused top-k and top-p sampling instead of a full sort.",
		predict: prediction("itl_ms", "ms", before, before-0.6*s/1e6, before-0.8*s/1e6, before,
			"%s; sampling (%.2f ms of the step) keeps 40 %% of its time; greedy requests gain nothing", from, s/1e6),
		needs: "the flashinfer package"})
}
