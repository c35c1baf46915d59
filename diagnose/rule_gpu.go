package diagnose

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/device"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/step"
)

var dominantKernel = Rule{
	ID: DominantKernel, Title: "One kernel takes most of the GPU time",
	Measures: "The largest share of one device function in all kernel time of a device. From 50 % on it is told; above 70 % " +
		"it is an alarm if the GPU is also busy.",
	Wrong: "A large share says where the time goes, not that it can be saved: a GEMM at the memory or compute roof is as fast " +
		"as it gets. One function name can serve several projections. Graph-level captures hide kernels.",
	Fix:   "Look at what bounds it: bytes (quantise), operations (lower precision), a wrong backend (attention, MoE).",
	Needs: "Kernels.", Source: "kernel table",
	Check: func(c *Context) ([]Finding, string) {
		if c.P.Kernels.Len() == 0 {
			return nil, "kernels are not recorded"
		}
		if c.P.GraphTraces.Len() > 0 {
			return nil, "kernels inside CUDA graphs are not recorded"
		}
		k := c.kernels[0]
		if k.Share < 0.5 {
			return nil, ""
		}
		busy := ratio(c.Budget.Busy(), c.Wall)
		f := finding(0, sure, "One kernel takes %s of all GPU kernel time (%s): %s", percent(k.Share), k.Stage, shorten(k.Name, 80))
		if k.Share > 0.7 && busy > 0.5 {
			f.Severity = Medium
		} else {
			f.Severity = Low
		}
		f.Evidence = []Evidence{
			{"share of kernel time", 100 * k.Share, "%", fmt.Sprintf("kernel table, %d instances", k.Instances)},
			{"total", ms(k.TotalNs), "ms", "kernel table, by name"},
			{"median instance", float64(k.MedianNs) / 1e3, "us", "kernel table, by name"},
		}
		return []Finding{f}, ""
	},
}

var memoryBandwidth = Rule{
	ID: MemoryBandwidth, Title: "Decode steps are limited by reading the weights from memory",
	Measures: "Steady decode steps whose GPU time is mostly weight GEMMs while the batch holds fewer tokens than the ridge of " +
		"the roofline (peak operations over peak bandwidth): each weight byte is read once per step however many tokens use " +
		"it. Where the model's shape is known the achieved bandwidth (MBU) is computed, else it is taken from GPU metrics where " +
		"they are recorded, and must reach 40 %; where CUDA graphs hide the kernels it decides alone, from 50 % on. Counters that contradict the model lower the confidence. The share is two " +
		"fifths of the linear layers' part of the wall: what 8-bit weights return of 16-bit ones (a fifth where they are 8-bit).",
	Wrong: "Below 40 % of peak bandwidth the kernels are inefficient or too small to fill the GPU, and reading fewer bytes " +
		"gains less. Without the shape the rule rests on the batch size alone and says so; without step markers it may rest on " +
		"the tokens that a step wrote to the KV cache, with low confidence. Where the KV cache is the larger part of what a " +
		"step reads, attention-kv-bound tells it. Medium at most: a limit of the hardware at work is no fault.",
	Fix:   "Fewer bytes per token: 8-bit or 4-bit weights; more tokens per read: larger batches, speculative decoding; more bandwidth: tensor parallelism, another GPU.",
	Needs: "Decode steps with kernels.", Source: "roofline model (Williams et al. 2009); data sheets in package device",
	Check: func(c *Context) ([]Finding, string) {
		if c.P.GraphTraces.Len() > 0 {
			return c.wholeStepBandwidth()
		}
		g := &c.Typical
		if len(g.Steps) < 3 {
			return nil, "fewer than three steady decode steps"
		}
		first := &c.A.Steps[g.Steps[0]]
		tokens, what, conf := first.Batch.Tokens(), "Decode of "+requests(c.Batch())+" is", likely
		if first.Phase != step.Decode || c.Batch() < 0 {
			// What reads the weights is known without the phase: the tokens of a step, where most steps hold as many.
			if first.Written <= 0 || slices.ContainsFunc(g.Steps, func(i int32) bool { return c.A.Steps[i].Written != first.Written }) {
				if first.Phase != step.Decode {
					return nil, "nothing tells decode steps from others"
				}
				return nil, "the batch of decode steps is not recorded"
			}
			tokens, what, conf = first.Written, "A step of "+count(first.Written, "token")+" is", perhaps
			if first.Phase == step.Decode {
				what, conf = "A decode step of "+count(first.Written, "token")+" is", likely
			}
		}
		unit := "tokens"
		if tokens < 0 {
			// A marker that counts only requests: each has a token or more, and a chunk of a prompt cannot be ruled out.
			tokens, unit, conf = c.Batch(), "requests", perhaps
		}
		busy := g.Budget.Busy()
		weights := g.Ns(weightStages...)
		if ratio(busy, g.Wall) < 0.6 || ratio(weights, busy) < 0.45 {
			return nil, ""
		}
		if float64(tokens) > c.RidgeTokens() {
			return nil, ""
		}
		mbu := ""
		if text, lower, ok := c.decodeMBU(); ok {
			if *c.Limits.MBU < 0.4 && !lower {
				return nil, ""
			}
			if *c.Limits.MBU >= 0.4 {
				conf = sure
			}
			mbu = ", at " + strings.TrimPrefix(text, "at ")
		} else if reads, ok := c.measuredReads(); ok {
			// Without a model of the step the counters alone tell how fast it reads.
			if reads < 0.4 {
				return nil, ""
			}
			conf, mbu = sure, fmt.Sprintf(", at %s of peak bandwidth (measured)", percent(reads))
		}
		share := c.savable() * c.Decode.Part(LinearStages...) * c.decodePart()
		f := finding(share, conf, "%s bound by reading weights from memory%s: GEMMs take %s of GPU time in a %.2f ms step.",
			what, mbu, percent(ratio(weights, busy)), ms(c.Period(g).Median))
		f.Evidence = []Evidence{
			{"weight GEMMs, per typical step", ms(c.perStep(g, weightStages...)), "ms", c.rowsOf(g)},
			{"GPU busy, per typical step", ms(c.Busy(g).Median), "ms", c.rowsOf(g)},
			{unit + " per step", float64(tokens), unit, c.rowsOf(g)},
			{"tokens at which compute becomes the limit", math.Round(c.RidgeTokens()), "tokens", "peak operations / peak bandwidth"},
		}
		for _, p := range c.Limits.Phases {
			if p.Phase == "decode" {
				f.Evidence = append(f.Evidence, Evidence{"memory bandwidth utilisation", 100 * p.MBU, "%", "of " + c.Sheet.Name + " peak, over GPU busy time"})
			}
		}
		f.Evidence = append(f.Evidence, c.measuredDRAM()...)
		for _, p := range c.Limits.Phases {
			if p.Phase == "decode" {
				f.Evidence = append(f.Evidence,
					Evidence{"weights read per step", p.WeightBytes / 1e9, "GB", c.ShapeNote})
				if p.IdealNs >= 0 {
					f.Evidence = append(f.Evidence, Evidence{"the same step at peak", ms(p.IdealNs), "ms", "roofline"})
				}
				if p.KVFrom != kvLeftOut {
					f.Evidence = append(f.Evidence, Evidence{"KV cache read per step", p.KVBytes / 1e9, "GB", p.KVFrom})
				}
			}
		}
		f.Evidence = append(f.Evidence, Evidence{"GPU busy share of decode steps", 100 * ratio(busy, g.Wall), "%", c.rowsOf(g)})
		return []Finding{f}, ""
	},
}

// wholeStepBandwidth is the rule where CUDA graphs hide the kernels: with the model's shape and the batch, the bytes of a
// whole step over its GPU time say what it waits for, without saying which kernels do.
func (c *Context) wholeStepBandwidth() ([]Finding, string) {
	const hidden = "kernels inside CUDA graphs are not recorded"
	g := &c.Typical
	var p *PhaseLimit
	for i := range c.Limits.Phases {
		if c.Limits.Phases[i].Phase == "decode" {
			p = &c.Limits.Phases[i]
		}
	}
	if p == nil || len(g.Steps) < 3 || c.A.Steps[g.Steps[0]].Phase != step.Decode || c.Batch() < 0 {
		return nil, hidden
	}
	busy, weights := ratio(g.Budget.Busy(), g.Wall), p.WeightBytes/(p.WeightBytes+p.KVBytes)
	if busy < 0.6 || p.MBU < 0.5 || weights < 0.5 || float64(p.Tokens) > c.RidgeTokens() {
		return nil, hidden
	}
	head, _ := c.shape.StepCost(device.Batch{DecodeSeqs: c.Batch(), DecodeTokens: p.Tokens}).Part(kernel.LMHead.String())
	linear := p.WeightBytes - head.WeightBytes // quantisation leaves the vocabulary projection as it is
	text, _, _ := c.decodeMBU()
	// Only the time that the bytes take at peak is known to be reading.
	reading := linear / (float64(p.BusyNs) * 1e-9 * c.Sheet.Bandwidth)
	f := finding(c.savable()*reading*busy*c.decodePart(), likely, "Decode of %s is bound by reading weights from memory, at %s: %.1f GB of weights in a step of %.2f ms. Its kernels are not recorded.",
		requests(c.Batch()), strings.TrimPrefix(text, "at "), p.WeightBytes/1e9, ms(c.Period(g).Median))
	f.Evidence = []Evidence{
		{"GPU busy, per typical step", ms(c.Busy(g).Median), "ms", c.rowsOf(g)},
		{"tokens per step", float64(p.Tokens), "tokens", c.rowsOf(g)},
		{"tokens at which compute becomes the limit", math.Round(c.RidgeTokens()), "tokens", "peak operations / peak bandwidth"},
		{"memory bandwidth utilisation", 100 * p.MBU, "%", "of " + c.Sheet.Name + " peak, over GPU busy time"},
		{"weights read per step", p.WeightBytes / 1e9, "GB", c.ShapeNote},
	}
	if p.KVFrom != kvLeftOut {
		f.Evidence = append(f.Evidence, Evidence{"KV cache read per step", p.KVBytes / 1e9, "GB", p.KVFrom})
	}
	f.Evidence = append(f.Evidence, c.measuredDRAM()...)
	return []Finding{f}, ""
}

// WeightBits is the width of most of the weights that decode reads, by GEMM time: from the kernels' operand types, else
// from the model's shape; 0 = unknown.
func (c *Context) WeightBits() float64 {
	sum := make([]int64, len(c.P.Funcs))
	k := &c.P.Kernels
	for i, r := range c.A.Role {
		if r != kernel.NoRole && r != kernel.RoleLMHead {
			sum[k.Func[i]] += k.Dur[i]
		}
	}
	by := map[string]int64{}
	var all int64
	for f, ns := range sum {
		if cl := &c.A.Classes[f]; ns > 0 && cl.Gemm && cl.DType != "" {
			by[cl.DType] += ns
			all += ns
		}
	}
	for d, ns := range by {
		if dt, ok := device.ParseDType(d); ok && ns*2 > all && dt.Bits() < 16 {
			return dt.Bits()
		}
	}
	if c.HasShape {
		return c.shape.LinearDType().Bits()
	}
	if all > 0 {
		return 16
	}
	return 0
}

// savable is the share of weight-reading time that a narrower weight format returns: half of the bytes at nine tenths of
// the bandwidth, less the quantisation kernels, leave 0.4 (measured: a Llama 8B step of 7.55 ms with 5.3 ms of linear layers
// becomes one of 5.45 ms). What formats are left after 8 or 4 bits returns less.
func (c *Context) savable() float64 {
	switch b := c.WeightBits(); {
	case b == 0 || b >= 16:
		return narrower
	case b >= 8:
		return narrower / 2
	}
	return narrower / 8
}

// narrower is the share of time that halving the bytes or the width of the arithmetic returns.
const narrower = 0.4

var computeBound = Rule{
	ID: ComputeBound, Title: "Prefill steps are limited by arithmetic",
	Measures: "Steps with prefill that hold more tokens than the ridge of the roofline and whose GPU time is mostly GEMMs and " +
		"attention, as a share of the wall. Where the shape is known the achieved arithmetic (MFU) is computed. Reported from " +
		"15 % of the wall on. Where tokens are not recorded, GEMMs three times as long as in a decode step stand for them.",
	Wrong: "A window that happens to fall into a burst of prefills overstates prefill: with a benchmark and the tokens of the " +
		"metrics the whole run's part bounds the share. " +
		"Low MFU at high token counts points at kernels, not at the hardware. Medium at most: a limit of the hardware at " +
		"work is no fault.",
	Fix:   "Fewer operations: prefix caching, 8-bit matrix arithmetic; more hardware; disaggregated prefill.",
	Needs: "Steps with prefill, and their tokens or decode steps beside them.", Source: "roofline model; data sheets",
	Check: func(c *Context) ([]Finding, string) {
		n := len(c.Prefill.Steps) + len(c.Mixed.Steps)
		if n == 0 {
			return nil, ""
		}
		many := c.manyTokens()
		big := c.group(func(s *step.Step) bool {
			return !s.Cold && (s.Phase == step.Prefill || s.Phase == step.Mixed) && many(s)
		})
		if len(big.Steps) == 0 {
			if c.A.Source() != step.ByMarker && len(c.Decode.Steps) < 3 {
				return nil, "the tokens of prefill steps are not recorded, and there are too few decode steps to compare with"
			}
			return nil, ""
		}
		parts := append([]step.Part{step.Part(kernel.Attention), step.Part(kernel.LinearAttn)}, weightStages...)
		busy := big.Budget.Busy()
		share := ratio(big.Ns(parts...), c.Wall)
		if share < 0.15 || ratio(busy, big.Wall) < 0.6 {
			return nil, ""
		}
		conf, mfu := likely, ""
		if c.Limits.MFU != nil {
			mfu = fmt.Sprintf(" at %s of peak arithmetic", percent(*c.Limits.MFU))
			conf = sure
			if *c.Limits.MFU < 0.3 {
				conf = perhaps
			}
		}
		// 8-bit arithmetic doubles the peak of the linear layers, where they are wider.
		gemm := ratio(big.Ns(LinearStages...), c.Wall)
		size := c.quantiles(&big, func(s *step.Step) (int64, bool) { return s.Tokens(), s.Tokens() >= 0 })
		of := ""
		if size.N > 0 {
			of = fmt.Sprintf(" of up to %d tokens", size.Max)
		}
		take := "take"
		if len(big.Steps) == 1 {
			take = "takes"
		}
		// The window may hold a burst of prefills, or fall between two: what the whole run spends on them bounds the gain.
		part, when := ratio(big.Wall, c.Wall), ""
		run, source, known := c.prefillPart(&big)
		if known && run < part {
			gemm *= run / part
			if run < 0.8*part {
				when = fmt.Sprintf(" in this window, and about %s over the whole benchmark", percent(run))
			}
		}
		f := finding(c.savable()*gemm, conf, "Prefill is bound by arithmetic%s: %s%s %s %s of the time%s.", mfu, count(len(big.Steps), "step"), of, take, percent(part), when)
		f.Evidence = []Evidence{
			{"steps with prefill above the ridge", float64(len(big.Steps)), "steps", c.rowsOf(&big)},
			{"their median period", ms(c.Period(&big).Median), "ms", c.rowsOf(&big)},
			{"GPU busy share in them", 100 * ratio(busy, big.Wall), "%", c.rowsOf(&big)},
			{"GEMMs and attention of GPU time", 100 * ratio(big.Ns(parts...), busy), "%", c.rowsOf(&big)},
		}
		var tokens int64
		for _, i := range big.Steps {
			tokens += max(0, c.A.Steps[i].Batch.PrefillTokens)
		}
		if tokens > 0 {
			rate := float64(tokens) / (float64(big.Wall) * 1e-9)
			f.Evidence = append(f.Evidence, Evidence{"prompt tokens per second in them", rate, "tokens/s", c.rowsOf(&big)})
			if known {
				f.Evidence = append(f.Evidence, Evidence{"part of the whole run, by its prompts at this rate", 100 * run, "%", source})
			}
		}
		if g := c.perStep(&c.Decode, weightStages...); size.N == 0 && g > 0 {
			f.Evidence = append(f.Evidence, Evidence{"their GEMMs against those of a decode step", float64(c.perStep(&big, weightStages...)) / float64(g), "x", c.rowsOf(&c.Decode)})
		}
		for _, p := range c.Limits.Phases {
			if p.Phase == "prefill" && p.MFU >= 0 {
				f.Evidence = append(f.Evidence, Evidence{"model FLOPs utilisation", 100 * p.MFU, "%", "of " + c.Sheet.Name + " dense " + c.Limits.Peak.DType + " peak"})
			}
		}
		return []Finding{f}, ""
	},
}

// prefillPart is the part of the whole measured run that its prompts take at the rate of these steps; ok is false where
// prompts, their tokens in the steps or the run's duration are not recorded.
func (c *Context) prefillPart(g *Group) (part float64, source string, ok bool) {
	var tokens int64
	for _, i := range g.Steps {
		tokens += max(0, c.A.Steps[i].Batch.PrefillTokens)
	}
	d, b := c.Delta(), c.Bench()
	if tokens == 0 || g.Wall == 0 || d == nil || b == nil || !d.PromptTokens.Known || !b.DurationS.Known || b.DurationS.Value <= 0 {
		return 0, "", false
	}
	rate := float64(tokens) / (float64(g.Wall) * 1e-9)
	return d.PromptTokens.Value / rate / b.DurationS.Value, d.PromptTokens.Source.String(), true
}

// manyTokens returns a test for steps that hold more tokens than the ridge. Where tokens are not recorded, GEMMs that take
// much longer than those of a decode step, which reads the same weights, show that arithmetic and not reading sets their
// time.
func (c *Context) manyTokens() func(*step.Step) bool {
	ridge := c.RidgeTokens()
	var read int64
	if len(c.Decode.Steps) >= 3 && c.A.Steps[c.Decode.Steps[0]].Phase == step.Decode {
		read = c.perStep(&c.Decode, weightStages...)
	}
	return func(s *step.Step) bool {
		if n := s.Tokens(); n >= 0 {
			return float64(n) > ridge
		}
		var gemm int64
		for _, p := range weightStages {
			gemm += s.Budget[p]
		}
		return read > 0 && gemm > arithmeticTimes*read
	}
}

// arithmeticTimes is how much longer than in a decode step the GEMMs must take before arithmetic is what they wait for. A
// decode batch at the ridge takes up to twice the time of a small one.
const arithmeticTimes = 3

var attentionKVBound = Rule{
	ID: AttentionKVBound, Title: "Decode steps are limited by reading the KV cache",
	Measures: "Attention's share of GPU time in steady decode steps, from 35 % on. Decode attention reads every cached key and " +
		"value of the batch once per step, so its time goes by batch times context length. The share is two fifths of attention's " +
		"part of the wall: what an 8-bit cache returns.",
	Wrong: "Attention kernels at low bandwidth (a wrong backend, many short sequences) show the same share; with the shape " +
		"known, the achieved bandwidth of attention is given and tells the two apart. Medium at most: a limit of the hardware " +
		"at work is no fault.",
	Fix:   "8-bit KV cache, fewer or shorter sequences per step, sliding-window or latent-attention models, context-parallel decode.",
	Needs: "Decode steps with kernels.", Source: "roofline model",
	Check: func(c *Context) ([]Finding, string) {
		if c.P.GraphTraces.Len() > 0 {
			return nil, "kernels inside CUDA graphs are not recorded"
		}
		g := &c.Decode
		if len(g.Steps) < 3 {
			return nil, "fewer than three steady decode steps"
		}
		if c.A.Steps[g.Steps[0]].Phase != step.Decode {
			return nil, "nothing tells decode steps from others"
		}
		att := step.Part(kernel.Attention)
		busy := g.Budget.Busy()
		part := ratio(g.Ns(att), busy)
		if part < 0.35 || ratio(busy, g.Wall) < 0.5 {
			return nil, ""
		}
		share := narrower * g.Part(att) * c.decodePart()
		if c.cacheBits() <= 8 {
			share /= 4 // the narrow cache is there already
		}
		f := finding(share, likely, "Decode attention takes %s of GPU time: reading the KV cache limits the step.", percent(part))
		if use, ok := c.AttentionUse(); ok && use < slowAttention {
			f = finding(share, likely, "Decode attention takes %s of GPU time and reads the KV cache at %s of the peak bandwidth: the kernel limits the step, not the memory.",
				percent(part), percent(use))
		}
		f.Evidence = []Evidence{
			{"attention per typical step", ms(c.perStep(&c.Typical, att)), "ms", c.rowsOf(&c.Typical)},
			{"GPU busy per typical step", ms(c.Busy(&c.Typical).Median), "ms", c.rowsOf(&c.Typical)},
		}
		for _, p := range c.Limits.Phases {
			if p.Phase != "decode" {
				continue
			}
			for _, s := range p.Stages {
				if s.Stage == kernel.Attention.String() && p.KVFrom != kvLeftOut {
					f.Evidence = append(f.Evidence, Evidence{"KV cache read per step", s.Bytes / 1e9, "GB", p.KVFrom},
						Evidence{"bandwidth of attention", 100 * s.MBU, "% of peak", c.rowsOf(&c.Typical)})
					if s.MBU > 0.5 && s.MBU < 1.1 {
						f.Confidence = sure
					}
				}
			}
		}
		return []Finding{f}, ""
	},
}

// slowAttention is the share of the peak bandwidth below which attention is limited by its kernel: at long contexts on an
// H100 it reaches 69 to 87 %.
const slowAttention = 0.3

// AttentionUse is the share of the peak bandwidth at which decode attention reads the KV cache; ok is false where the
// contexts' lengths or the model's shape are not known.
func (c *Context) AttentionUse() (share float64, ok bool) {
	for _, p := range c.Limits.Phases {
		for _, s := range p.Stages {
			if p.Phase == "decode" && s.Stage == kernel.Attention.String() && p.KVFrom != kvLeftOut {
				return s.MBU, true
			}
		}
	}
	return 0, false
}

// SlowAttention reports whether attention is known to be limited by its kernel.
func (c *Context) SlowAttention() bool {
	use, ok := c.AttentionUse()
	return ok && use < slowAttention
}

// cacheBits is the width of the cached keys and values, 16 where nothing says otherwise.
func (c *Context) cacheBits() float64 {
	if c.HasShape {
		return c.shape.CacheDType().Bits()
	}
	if d, ok := device.ParseDType(c.Engine.KVCacheDType.Or("")); ok {
		return d.Bits()
	}
	return 16
}

var samplingBound = Rule{
	ID: SamplingBound, Title: "Sampling takes a large part of the step",
	Measures: "The sampling stage (logits processing, penalties, top-k/top-p, random draw) as a share of GPU time in decode " +
		"steps, from 10 % on, if it is 3 % of their wall too.",
	Wrong: "The vocabulary projection is not counted (lm-head); with small models sampling is large by nature.",
	Fix:   "A fused sampler (FlashInfer), fewer penalties and log probabilities, no full sort for top-k/top-p.",
	Needs: "Decode steps with kernels.", Source: "kernel stages",
	Check: func(c *Context) ([]Finding, string) {
		g := &c.Decode
		if len(g.Steps) < 3 {
			return nil, "fewer than three steady decode steps"
		}
		p := step.Part(kernel.Sampling)
		if c.P.GraphTraces.Len() > 0 && g.Ns(p) == 0 {
			return nil, "kernels inside CUDA graphs are not recorded"
		}
		if ratio(g.Ns(p), g.Budget.Busy()) < 0.10 || g.Part(p) < 0.03 {
			return nil, ""
		}
		f := finding(ratio(g.Ns(p), c.Wall), sure, "Sampling takes %s of GPU time in decode steps.", percent(ratio(g.Ns(p), g.Budget.Busy())))
		f.Evidence = []Evidence{{"sampling per typical step", ms(c.perStep(&c.Typical, p)), "ms", c.rowsOf(&c.Typical)}}
		return []Finding{f}, ""
	},
}

func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}
