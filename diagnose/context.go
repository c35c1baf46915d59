package diagnose

import (
	"slices"

	"github.com/stepscope/stepscope/device"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/step"
)

// Input is what a diagnosis is made from. Everything but Analysis may be missing.
type Input struct {
	Analysis *step.Analysis
	Run      *serving.Run // the server's own evidence; nil = none given

	// Sheet is the GPU's data sheet; its zero value makes limits abstain.
	Sheet      device.Sheet
	SheetMatch device.Match

	// Shape is the model's shape where the user gave its configuration.
	Shape     device.Shape
	ShapeFrom string // "" = not given

	// Notes are about what was given beside the capture, such as a GPU that contradicts it; they join the quality notes.
	Notes []Quality
	// LogNotes are the same about what the server's log contradicts; they are dropped where the log is of another server.
	LogNotes []Quality

	Tool Tool
}

// Context is the evidence that rules read: computed once, never changed by a rule.
type Context struct {
	Input
	P      *profile.Profile
	A      *step.Analysis
	Engine serving.EngineInfo // settings known from log, command line or metrics; empty facts where not

	Wall   int64       // ns of all steps of the engines
	Budget step.Budget // over the same steps

	Decode  Group // steady decode steps: closed, not cold
	Prefill Group // steady steps with prefill only
	Mixed   Group // steady steps with both
	All     Group // every step, cold and open ones included
	Typical Group // the decode steps of the most frequent batch size

	// Distortion is the median typical decode step in the capture over the median inter-token latency of the
	// unprofiled benchmark; 0 = not recorded, or not a matter of the host, see slowerGPU.
	Distortion float64

	HasShape  bool
	ShapeNote string
	Limits    Limits

	shape   device.Shape
	kernels []KernelFacts // device functions by time, the most first
	notes   []Quality     // what the capture may be believed for, see quality
	memory  []MemoryFacts
	inPlace HostWeights
	uneven  uneven
	held    []hold // waits inside steady steps, see findHolds

	offloaded        int64 // see OffloadedWeights; 0 = none
	blockingLaunches int   // launches that waited for their work, 0 where launches do not

	engineWhy, deltaWhy, benchWhy string // why evidence was set aside, see belong
}

// Group is a set of steps with their summed budget.
type Group struct {
	Steps  []int32 // indices into Analysis.Steps
	Wall   int64
	Budget step.Budget
}

// Share returns the group's part of wall, 0 when wall is.
func (g *Group) Share(wall int64) float64 { return ratio(g.Wall, wall) }

// Part returns the share of parts in the group's wall.
func (g *Group) Part(parts ...step.Part) float64 { return ratio(g.Ns(parts...), g.Wall) }

// Ns returns the summed time of parts.
func (g *Group) Ns(parts ...step.Part) int64 {
	var n int64
	for _, p := range parts {
		n += g.Budget[p]
	}
	return n
}

func (c *Context) group(keep func(*step.Step) bool) Group {
	var g Group
	for _, i := range c.A.Primary {
		s := &c.A.Steps[i]
		if !keep(s) {
			continue
		}
		g.Steps = append(g.Steps, i)
		g.Wall += s.Wall()
		g.Budget.Add(&s.Budget)
	}
	return g
}

// NewContext computes the evidence.
func NewContext(in Input) *Context {
	c := &Context{Input: in, A: in.Analysis, P: in.Analysis.P, Wall: in.Analysis.Wall, Budget: in.Analysis.Budget}
	if in.Run != nil {
		c.Engine = in.Run.Engine
	}
	steady := func(s *step.Step) bool { return !s.Cold && !s.Open }
	c.All = c.group(func(*step.Step) bool { return true })
	c.Decode = c.group(func(s *step.Step) bool { return steady(s) && s.Phase == step.Decode })
	c.Prefill = c.group(func(s *step.Step) bool { return steady(s) && s.Phase == step.Prefill })
	c.Mixed = c.group(func(s *step.Step) bool { return steady(s) && s.Phase == step.Mixed })
	if len(c.Decode.Steps) == 0 && len(c.Prefill.Steps) == 0 && len(c.Mixed.Steps) == 0 {
		// Nothing tells the phases apart; what repeats most is the engine's steady work, and rules that need the phase
		// still see it as unknown in each step.
		c.Decode = c.group(steady)
	}
	c.Typical = c.typical()
	c.kernels = c.kernelFacts()
	c.memory = c.memoryFacts()
	c.findHolds()
	c.hostWeights()
	c.offloaded, _ = c.findOffloaded()
	c.uneven = uneven{c.speed(), c.slowRank(), c.others(), c.enginesDiffer(), c.enginesMissing(), c.rankWait()}
	c.belong()
	c.Distortion = c.distortion()
	c.findShape()
	c.limits()
	c.checkLimits()
	c.notes = c.quality()
	return c
}

// typical returns the decode steps of the most frequent number of requests. Where requests are not recorded it returns
// those of the most frequent number of tokens, if most steps hold as many, and else all of them.
func (c *Context) typical() Group {
	size := func(s *step.Step) int64 {
		if n := s.Batch.DecodeRequests; n >= 0 || s.Written < 0 {
			return n
		}
		return -2 - s.Written // apart from numbers of requests
	}
	count := map[int64]int{}
	for _, i := range c.Decode.Steps {
		count[size(&c.A.Steps[i])]++
	}
	best, n := int64(-1), 0
	for b, k := range count { // the larger one of two that are as frequent
		if k > n || (k == n && b > best) {
			best, n = b, k
		}
	}
	if best < -1 && n*10 < len(c.Decode.Steps)*6 {
		return c.Decode
	}
	var g Group
	for _, i := range c.Decode.Steps {
		if s := &c.A.Steps[i]; size(s) == best {
			g.Steps = append(g.Steps, i)
			g.Wall += s.Wall()
			g.Budget.Add(&s.Budget)
		}
	}
	return g
}

// Batch returns the number of requests of the typical decode step, -1 when not recorded.
func (c *Context) Batch() int64 {
	if len(c.Typical.Steps) == 0 {
		return -1
	}
	return c.A.Steps[c.Typical.Steps[0]].Batch.DecodeRequests
}

// Bench returns the unprofiled benchmark, nil when there is none or it is of another load.
func (c *Context) Bench() *serving.Bench {
	if c.Run == nil || c.benchWhy != "" {
		return nil
	}
	return c.Run.Bench
}

// Delta returns the difference of the two metrics snapshots, nil when there is none or it is of another run.
func (c *Context) Delta() *serving.MetricsDelta {
	if c.Run == nil || c.deltaWhy != "" {
		return nil
	}
	return c.Run.Delta
}

// distortion compares steps with the inter-token latency that a client saw without the profiler. It needs chunks of one
// token: with speculative decoding a chunk holds several.
func (c *Context) distortion() float64 {
	b := c.Bench()
	if b == nil || len(c.Typical.Steps) < 8 || c.specDecode() || c.Pipelined() || mergedChunks(b) {
		return 0
	}
	itl := b.ITL.Percentile(50)
	if !itl.Known || itl.Value <= 0 {
		return 0
	}
	period, busy := float64(c.Period(&c.Typical).Median), float64(c.Busy(&c.Typical).Median)
	if itl.Value*1e6 < gapBelowBusy*busy || busy > busyBound*period && itl.Value*1e6 > period*1.1 {
		// The gap is not that of these steps: chunks came together, or the benchmark's median token waited for a larger
		// batch or for prefill. Tracing cannot shorten a step whose time is the GPU's.
		return 0
	}
	if c.slowerGPU() > 0 {
		return 0
	}
	return period / (itl.Value * 1e6)
}

// slowerGPU is how many times as long as the benchmark's median token the typical step is where the GPU's own work alone takes
// longer than that token: the GPU or its link was slower in the window, which tracing of the host does not explain, and how
// far the host was stretched cannot be told. 0 otherwise.
func (c *Context) slowerGPU() float64 {
	b := c.Bench()
	if b == nil || len(c.Typical.Steps) < 8 || c.specDecode() || mergedChunks(b) {
		return 0
	}
	gap := b.ITL.Percentile(50).Or(0) * 1e6
	period, busy := float64(c.Period(&c.Typical).Median), float64(c.Busy(&c.Typical).Median)
	if gap <= 0 || busy < gapBelowGPU*gap || period < distortedBy*gap {
		return 0
	}
	return period / gap
}

// gapBelowGPU is the GPU's work per step over the benchmark's token gap from which on the GPU itself was slower: the same work
// repeats within 2 %.
const gapBelowGPU = 1.03

// mergedChunks reports whether the client's chunks held several tokens each: the gap between chunks is then far longer than
// the time per token, which prefill makes longer and nothing else makes shorter.
func mergedChunks(b *serving.Bench) bool {
	itl, tpot := b.ITL.Percentile(50), b.TPOT.Mean
	return itl.Known && tpot.Known && tpot.Value > 0 && tpot.Value < mergedBelow*itl.Value
}

// mergedBelow is the time per token over the median gap of chunks below which chunks hold several tokens. A host whose
// speed wanders during the run has shown 0.93.
const mergedBelow = 0.8

// specDecode reports whether steps check several tokens per request: by the settings, the step markers or the metrics.
func (c *Context) specDecode() bool {
	if s := c.Engine.SpecDecode; s.Known && s.Value != "" && s.Value != "none" {
		return true
	}
	for _, i := range c.Typical.Steps {
		if b := c.A.Steps[i].Batch; b.PrefillRequests == 0 && b.DecodeTokens > b.DecodeRequests && b.DecodeRequests > 0 {
			return true
		}
	}
	return c.Run != nil && c.Run.Delta != nil && c.Run.Delta.Drafts.Or(0) > 0
}

// SpecDecode reports whether steps check several tokens per request.
func (c *Context) SpecDecode() bool { return c.specDecode() }

// Period returns the distribution of the group's periods.
func (c *Context) Period(g *Group) Quantiles {
	return c.quantiles(g, func(s *step.Step) (int64, bool) { return s.Period, s.Period >= 0 })
}

// Busy returns the distribution of GPU time per step of the group.
func (c *Context) Busy(g *Group) Quantiles {
	return c.quantiles(g, func(s *step.Step) (int64, bool) { return s.Budget.Busy(), !s.Open })
}

func (c *Context) quantiles(g *Group, f func(*step.Step) (int64, bool)) Quantiles {
	v := make([]int64, 0, len(g.Steps))
	for _, i := range g.Steps {
		if x, ok := f(&c.A.Steps[i]); ok {
			v = append(v, x)
		}
	}
	return quantiles(v)
}

// quantiles uses the nearest rank; the median of an even count is the mean of the middle two, rounded down.
func quantiles(v []int64) Quantiles {
	n := len(v)
	if n == 0 {
		return Quantiles{}
	}
	s := slices.Clone(v)
	slices.Sort(s)
	at := func(q float64) int64 { return s[rankOf(q, n)] }
	mid := s[n/2]
	if n%2 == 0 {
		mid = s[n/2-1] + (s[n/2]-s[n/2-1])/2
	}
	return Quantiles{N: n, Median: mid, P10: at(.10), P90: at(.90), P95: at(.95), P99: at(.99), Max: s[n-1]}
}

// perStep returns the median of a part's time over the group's steps, in ns.
func (c *Context) perStep(g *Group, parts ...step.Part) int64 {
	return c.quantiles(g, func(s *step.Step) (int64, bool) {
		var n int64
		for _, p := range parts {
			n += s.Budget[p]
		}
		return n, true
	}).Median
}

// PerStep returns the median time of parts over the group's steps, in ns.
func (c *Context) PerStep(g *Group, parts ...step.Part) int64 { return c.perStep(g, parts...) }

func ratio[T int64 | float64](a, b T) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}
