package diagnose

import (
	"fmt"

	"github.com/stepscope/stepscope/device"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/step"
)

// Bounds of a step. The words are those of the workflow: bus is host-device transfer, network is collectives.
const (
	BoundHost     = "host"
	BoundMemory   = "memory"
	BoundCompute  = "compute"
	BoundBus      = "bus"
	BoundNetwork  = "network"
	BoundRequests = "requests"
	BoundUnknown  = "unknown"
)

// limits places the typical decode step and the largest prefill steps on the roofline. What a step must move and do
// comes from the model's shape and the batch; without either it abstains and says which one is missing.
func (c *Context) limits() {
	l := &c.Limits
	l.Bound, l.Why = c.bound(), c.ShapeNote
	if !c.SheetMatch.OK {
		l.Why = "the GPU is not recorded or not known: name it with --gpu"
		return
	}
	l.GPU = c.Sheet.Name
	l.Peak = Peak{BandwidthBytesPerS: c.Sheet.Bandwidth, Source: c.Sheet.Source}
	act := device.BF16
	if c.HasShape {
		act = c.shape.LinearDType().Arithmetic(c.shape.ActivationDType(), c.Sheet)
	}
	if p, ok := c.Sheet.Peak(act); ok {
		l.Peak.FLOPs, l.Peak.DType = p, string(act)
	}
	if !c.HasShape {
		return
	}
	p, why := c.phaseLimit("decode", &c.Typical)
	if l.Why = why; why == "" {
		l.Phases = append(l.Phases, p)
		l.MBU = &p.MBU
	}
	big := c.largestPrefill()
	if p, why := c.phaseLimit("prefill", &big); why == "" {
		l.Phases = append(l.Phases, p)
		if p.MFU >= 0 {
			l.MFU = &p.MFU
		}
	}
	if len(l.Phases) > 0 && l.Why == "" && l.Phases[0].MFU < 0 {
		l.Why = fmt.Sprintf("MFU and the time at peak, as the data sheet of %s has no peak for arithmetic in %s", c.Sheet.Name, act)
	}
	for _, p := range l.Phases {
		if u := max(p.MBU, p.MFU); u > impossible {
			// No kernel beats the peak: the model is smaller than assumed, or the GPU is another one.
			*l = Limits{GPU: l.GPU, Peak: l.Peak, Bound: l.Bound, Why: fmt.Sprintf(
				"a %s step would run at %s of the peak of %s, so the model's shape or the GPU is not what it is taken for", p.Phase, percent(u), c.Sheet.Name)}
			return
		}
	}
}

// impossible is the utilisation from which on a limit is not believed: data sheets and clocks differ by a few per cent.
const impossible = 1.10

// decodeMBU words the bandwidth that typical decode steps reach; ok is false where it is not known. Without the length of
// the contexts the bytes of the KV cache are missing from it, and it is a lower bound.
func (c *Context) decodeMBU() (text string, lower, ok bool) {
	p := c.decodeLimit()
	switch {
	case p == nil:
		return "", false, false
	case p.KVFrom == kvLeftOut:
		return fmt.Sprintf("at least %s of peak bandwidth (KV cache not counted)", percent(p.MBU)), true, true
	case p.KVBytes > muchCache*p.WeightBytes:
		return percent(p.MBU) + " of peak bandwidth (weights and KV cache together)", false, true
	}
	return percent(p.MBU) + " of peak bandwidth", false, true
}

// muchCache is the KV cache's part of the weights' bytes from which on a bandwidth must say that it is of both.
const muchCache = 0.25

// decodeLimit returns the roofline position of the typical decode step, nil where it is not known.
func (c *Context) decodeLimit() *PhaseLimit {
	for i := range c.Limits.Phases {
		if p := &c.Limits.Phases[i]; p.Phase == "decode" {
			return p
		}
	}
	return nil
}

// cacheOutweighs reports whether decode steps read more of the KV cache than of the weights: by bytes, else by time.
func (c *Context) cacheOutweighs() bool {
	if c.SlowAttention() {
		return false // its time is not the memory's
	}
	if p := c.decodeLimit(); p != nil && p.KVFrom != kvLeftOut {
		return p.KVBytes > p.WeightBytes
	}
	return c.Typical.Ns(step.Part(kernel.Attention)) > c.Typical.Ns(weightStages...)
}

// kvLeftOut stands for the source of context lengths where there is none.
const kvLeftOut = "not recorded, left out"

// largestPrefill returns the steps with prefill whose tokens are within a tenth of the most: what the GPU does when a
// step is full.
func (c *Context) largestPrefill() Group {
	most := int64(0)
	with := func(s *step.Step) bool {
		return !s.Cold && !s.Open && s.Batch.PrefillTokens > 0 && s.Batch.Tokens() > 0
	}
	for _, i := range c.A.Primary {
		if s := &c.A.Steps[i]; with(s) {
			most = max(most, s.Batch.Tokens())
		}
	}
	return c.group(func(s *step.Step) bool { return with(s) && s.Batch.Tokens()*10 >= most*9 })
}

// ContextTokens estimates the summed context length of a step's decode requests: from the marker where it says so,
// else requests times (prompt + half of the output) of the measured load. from is "" when neither is known, and when
// attention was too fast to have read that much.
func (c *Context) ContextTokens(s *step.Step) (tokens int64, from string) {
	if s.Batch.DecodeKV >= 0 {
		return s.Batch.DecodeKV, "step marker"
	}
	if s.Batch.DecodeRequests < 0 {
		return 0, ""
	}
	in, out, from := c.Lengths()
	if from == "" {
		return 0, ""
	}
	tokens = int64(float64(s.Batch.DecodeRequests) * (in + out/2))
	// The mean request says little about the ones that decode where long and short ones are mixed: attention cannot have
	// read more than its time allows.
	if ns := s.Budget[step.Part(kernel.Attention)]; ns > 0 && s.Budget[step.Graph] == 0 && c.HasShape && c.Sheet.Bandwidth > 0 && s.Batch.PrefillRequests == 0 &&
		float64(tokens)*c.shape.KVBytesPerToken() > impossible*float64(ns)*1e-9*c.Sheet.Bandwidth {
		return 0, ""
	}
	return tokens, from
}

// Lengths returns the mean prompt and output tokens of a request.
func (c *Context) Lengths() (in, out float64, from string) {
	if d := c.Delta(); d != nil {
		p, o := d.PromptLen.Mean(), d.OutputLen.Mean()
		if p.Known && o.Known {
			return p.Value, o.Value, "mean request of the metrics, half of the output"
		}
	}
	if b := c.Bench(); b != nil {
		if b.Completed.Or(0) > 0 && b.InputTokens.Known && b.OutputTokens.Known {
			n := float64(b.Completed.Value)
			return float64(b.InputTokens.Value) / n, float64(b.OutputTokens.Value) / n, "mean request of the benchmark, half of the output"
		}
		if b.InputLen.Known && b.OutputLen.Known {
			return float64(b.InputLen.Value), float64(b.OutputLen.Value), "requested lengths of the benchmark, half of the output"
		}
	}
	return 0, 0, ""
}

// DeviceBatch translates a step's batch for the cost model.
func (c *Context) DeviceBatch(s *step.Step) (b device.Batch, kvFrom string, ok bool) {
	t := s.Batch
	if t.Tokens() < 0 {
		return b, "", false
	}
	b = device.Batch{PrefillSeqs: max(0, t.PrefillRequests), PrefillTokens: t.PrefillTokens, PrefillKVTokens: max(0, t.PrefillKV),
		DecodeSeqs: max(0, t.DecodeRequests), DecodeTokens: t.DecodeTokens}
	if b.PrefillSeqs > 0 && b.PrefillKVTokens == 0 {
		b.PrefillKVTokens = t.PrefillTokens // at least the chunk itself
	}
	kv, from := c.ContextTokens(s)
	b.DecodeKVTokens = kv
	return b, from, true
}

// phaseLimit places a group's median step; why says what is missing, "" where it is placed.
func (c *Context) phaseLimit(phase string, g *Group) (p PhaseLimit, why string) {
	notRecorded := fmt.Sprintf("no %s step whose batch is recorded", phase)
	if len(g.Steps) == 0 {
		return p, notRecorded
	}
	// The step with the median GPU time speaks for the group.
	busy := c.Busy(g).Median
	best := g.Steps[0]
	for _, i := range g.Steps {
		d, e := c.A.Steps[i].Budget.Busy()-busy, c.A.Steps[best].Budget.Busy()-busy
		if max(d, -d) < max(e, -e) {
			best = i
		}
	}
	s := &c.A.Steps[best]
	b, from, ok := c.DeviceBatch(s)
	if !ok {
		return p, notRecorded
	}
	cost := c.shape.StepCost(b)
	act := c.shape.ActivationDType()
	ns := float64(s.Budget.Busy())
	p = PhaseLimit{Phase: phase, Tokens: b.Tokens(), BusyNs: s.Budget.Busy(), WeightBytes: cost.WeightBytes,
		KVBytes: cost.KVReadBytes + cost.KVWriteBytes, KVFrom: from, FLOPs: cost.FLOPs()}
	if from == "" {
		p.KVFrom = kvLeftOut
	}
	p.Intensity = cost.Work().Intensity()
	mbu, ok := cost.MBU(c.Sheet, ns)
	switch {
	case ns <= 0:
		return p, fmt.Sprintf("no %s step whose GPU work is recorded", phase)
	case !ok:
		return p, fmt.Sprintf("the data sheet of %s has no memory bandwidth", c.Sheet.Name)
	}
	// Bandwidth needs no arithmetic peak: where only that is missing, what rests on it is left out.
	p.MBU, p.MFU, p.IdealNs, p.Bound = mbu, -1, -1, BoundUnknown
	mfu, ok1 := cost.MFU(c.Sheet, act, ns)
	ideal, ok2 := cost.IdealNs(c.Sheet, act)
	if ok1 && ok2 {
		p.MFU, p.IdealNs, p.Bound = mfu, int64(ideal), BoundMemory
		if mfu > mbu {
			p.Bound = BoundCompute
		}
	}
	if bytes := c.HostBytes(); bytes > 0 && c.Sheet.PCIe > 0 {
		// The link works beside the kernels: at the peaks the slower of the two sets the step.
		p.BusBytes = bytes
		if bus := int64(p.BusBytes / c.Sheet.PCIe * 1e9); p.IdealNs >= 0 && bus > p.IdealNs {
			p.IdealNs, p.Bound = bus, BoundBus
		}
	}
	for _, part := range cost.Parts {
		t := c.stageNs(s, part.Stage)
		if t <= 0 || s.Budget[step.Graph] > 0 {
			continue // inside a graph that is recorded whole there may be more of the stage
		}
		r := StageRoof{Stage: part.Stage, Ns: t, Bytes: part.WeightBytes + part.KVBytes, FLOPs: part.FLOPs, MFU: -1}
		if c.Sheet.Bandwidth > 0 {
			r.MBU = r.Bytes / (float64(t) * 1e-9 * c.Sheet.Bandwidth)
		}
		d := act
		if part.Storage != "" {
			d = part.Storage.Arithmetic(act, c.Sheet)
		}
		if peak, ok := c.Sheet.Peak(d); ok {
			r.MFU = part.FLOPs / (float64(t) * 1e-9 * peak)
		}
		if max(r.MBU, r.MFU) > impossible {
			continue // some of the stage's kernels are not known as such, or its bytes came from a cache
		}
		p.Stages = append(p.Stages, r)
	}
	return p, ""
}

// stageNs returns the time of a stage in a step's budget.
func (c *Context) stageNs(s *step.Step, stage string) int64 {
	for _, k := range kernel.Stages() {
		if k.String() == stage {
			return s.Budget[step.Part(k)]
		}
	}
	return 0
}

// weightStages are the stages whose time goes by the weights: the dense and expert GEMMs.
var weightStages = []step.Part{step.Part(kernel.QKV), step.Part(kernel.OProj), step.Part(kernel.MLP), step.Part(kernel.MoE),
	step.Part(kernel.LMHead), step.Part(kernel.Gemm)}

// LinearStages are those of the weight stages that quantisation narrows: the vocabulary projection keeps its width.
var LinearStages = []step.Part{step.Part(kernel.QKV), step.Part(kernel.OProj), step.Part(kernel.MLP), step.Part(kernel.MoE), step.Part(kernel.Gemm)}

// copyParts are transfers between host and device.
var copyParts = []step.Part{step.CopyHtoDPinned, step.CopyHtoDPageable, step.CopyDtoHPinned, step.CopyDtoHPageable}

// hostParts are idle causes that the host answers for.
var hostParts = []step.Part{step.IdleLaunch, step.IdleScheduler, step.IdleSync}

// bound names what most of the wall waits for, from the budget alone.
func (c *Context) bound() string {
	if c.Wall == 0 || len(c.A.Primary) < 2 {
		return BoundUnknown
	}
	w := &c.All
	host, requests, unknown := w.Part(hostParts...), w.Part(step.IdleRequests), w.Part(step.IdleUnknown)
	bus, net := w.Part(copyParts...)+w.Part(step.IdleCopy), w.Part(step.Part(kernel.Collective), step.IdlePeer)
	gpu := ratio(w.Budget.Busy(), w.Wall) - w.Part(copyParts...) - w.Part(step.Part(kernel.Collective))
	switch best := max(host, requests, bus, net, gpu, unknown); best {
	case unknown:
		return BoundUnknown
	case requests:
		return BoundRequests
	case host:
		return BoundHost
	case bus:
		return BoundBus
	case net:
		return BoundNetwork
	}
	if w.Part(step.Graph) > graphMost {
		return BoundUnknown
	}
	// GPU work: prefill steps with many tokens compute, decode steps read.
	if ratio(c.Prefill.Wall+c.Mixed.Wall, c.Wall) > 0.5 && c.computeTokens(&c.Prefill, &c.Mixed) {
		return BoundCompute
	}
	if ratio(c.Decode.Wall, c.Wall) > 0.5 && c.A.Source() != step.NoSteps {
		return BoundMemory
	}
	return BoundUnknown
}

// graphMost is the part of the wall under graphs recorded as whole launches above which the stages do not tell the bound.
const graphMost = 0.3

// RidgeTokens is the number of tokens above which a 16-bit GEMM of a step stops being limited by reading its weights:
// peak operations over peak bandwidth, as each weight is used once per token for two operations per two bytes. Where
// the GPU is unknown it is the value of the GPUs with the highest ridge, so that nothing is called compute-bound early.
func (c *Context) RidgeTokens() float64 {
	if c.SheetMatch.OK {
		for _, d := range []device.DType{device.BF16, device.FP16} {
			if r, ok := c.Sheet.Ridge(d); ok {
				return r
			}
		}
	}
	return 400
}

// computeTokens reports whether the groups' steps hold enough tokens, by wall time, to be above the ridge.
func (c *Context) computeTokens(groups ...*Group) bool {
	var above, all int64
	for _, g := range groups {
		for _, i := range g.Steps {
			s := &c.A.Steps[i]
			all += s.Wall()
			if float64(s.Tokens()) > c.RidgeTokens() {
				above += s.Wall()
			}
		}
	}
	return all > 0 && above*2 > all
}

// requests words a number of requests.
func requests(n int64) string { return count(n, "request") }

// count words a number of things.
func count[T int | int64](n T, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func percent(x float64) string { return fmt.Sprintf("%.1f %%", 100*x) }
func ms(ns int64) float64      { return float64(ns) / 1e6 }
