package diagnose

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/step"
)

// Rule is one row of the rule table.
type Rule struct {
	ID       string
	Title    string
	Measures string // what it measures and the threshold
	Wrong    string // when it is wrong
	Fix      string // what usually helps, in words; real knobs come with the advice
	Needs    string // what the capture must hold
	Source   string // where the reasoning comes from

	// Check returns findings, or a reason for abstaining. A rule that looked and found nothing returns neither.
	Check func(*Context) (findings []Finding, abstain string)
}

// Finding ids, in the order of the table. They are stable.
const (
	CaptureQuality      = "capture-quality"
	HostLaunchBound     = "host-launch-bound"
	HostStepGap         = "host-step-gap"
	SyncStall           = "sync-stall"
	TransferBound       = "transfer-bound"
	APILatency          = "api-latency"
	DominantKernel      = "dominant-kernel"
	MemoryBandwidth     = "memory-bandwidth-bound"
	ComputeBound        = "compute-bound"
	AttentionKVBound    = "attention-kv-bound"
	PrefillInterference = "prefill-interference"
	PrefillChunkLimited = "prefill-chunk-limited"
	QueueLimited        = "queue-limited"
	KVCacheLimited      = "kv-cache-limited"
	Underloaded         = "underloaded"
	CollectiveBound     = "collective-bound"
	MoEImbalance        = "moe-imbalance"
	ColdStart           = "cold-start"
	SamplingBound       = "sampling-bound"
	MemoryGrowth        = "memory-growth"
)

// Rules returns the table.
func Rules() []Rule {
	return []Rule{
		captureQuality, hostLaunchBound, hostStepGap, syncStall, transferBound, apiLatency, dominantKernel,
		memoryBandwidth, computeBound, attentionKVBound, prefillInterference, prefillChunkLimited, queueLimited,
		kvCacheLimited, underloaded, collectiveBound, moeImbalance, coldStart, samplingBound, memoryGrowth,
	}
}

// FindRule returns the rule of an id.
func FindRule(id string) (Rule, bool) {
	for _, r := range Rules() {
		if r.ID == id {
			return r, true
		}
	}
	return Rule{}, false
}

// Diagnose runs every rule and weighs the findings. Advice is added by package knob.
func Diagnose(c *Context) *Diagnosis {
	d := &Diagnosis{
		Schema: Schema, Tool: c.Tool, Profile: c.profileInfo(), Engine: c.engineFacts(), Lifecycle: c.A.Lifecycle,
		Steps: c.stepFacts(), Budget: c.budgetFacts(), Limits: c.Limits, Kernels: c.kernels, APIs: c.apiFacts(),
		Transfers: c.transferFacts(), NotRecorded: c.notRecorded(), Abstained: []Abstention{}, Findings: []Finding{},
	}
	d.Profile.Quality = c.notes
	d.TypicalStep = c.typicalStep()
	d.Memory = c.memory
	if d.Lifecycle == nil {
		d.Lifecycle = []step.LifecyclePhase{}
	}
	if d.Limits.Phases == nil {
		d.Limits.Phases = []PhaseLimit{}
	}
	for _, r := range Rules() {
		var fs []Finding
		why := "no step is in the capture"
		if len(c.A.Primary) > 0 || stepless[r.ID] {
			fs, why = r.Check(c)
		}
		if why != "" {
			d.Abstained = append(d.Abstained, Abstention{r.ID, why})
		}
		for _, f := range fs {
			f.ID = r.ID
			if f.Advice == nil {
				f.Advice = []Advice{}
			}
			if f.Evidence == nil {
				f.Evidence = []Evidence{}
			}
			c.doubt(&f)
			if !told[r.ID] && c.closedSteps() < fewestSteps {
				f.Confidence = perhaps // a handful of steps may be anything
			}
			d.Findings = append(d.Findings, f)
		}
	}
	for i := range d.Findings {
		if f := &d.Findings[i]; hardware[f.ID] {
			f.Severity = min(f.Severity, Medium) // a limit of the hardware at work is no fault
		}
	}
	weigh(c, d.Findings)
	slices.SortStableFunc(d.Findings, func(x, y Finding) int {
		return cmp.Or(cmp.Compare(btoi(x.Caused != ""), btoi(y.Caused != "")), cmp.Compare(btoi(x.Severity == Info), btoi(y.Severity == Info)),
			cmp.Compare(btoi(y.EndsServer()), btoi(x.EndsServer())), cmp.Compare(y.Share, x.Share), cmp.Compare(y.Severity, x.Severity))
	})
	d.Limits.Bound = c.finalBound(d.Findings)
	d.Checklist = c.checklist(d)
	d.Verdict = c.verdict(d)
	return d
}

// EndsServer reports whether the finding stops the server sooner or later: it comes before what only slows it.
func (f *Finding) EndsServer() bool { return f.ID == MemoryGrowth && f.Severity == High }

// fewestSteps is the number of steady steps below which no finding that rests on them is more than a guess.
const fewestSteps = 5

// told are the rules that rest on the server's own evidence or on the capture as a whole, not on how many steps it holds.
var told = map[string]bool{CaptureQuality: true, DominantKernel: true, QueueLimited: true, KVCacheLimited: true, MemoryGrowth: true}

// closedSteps counts the steps that are neither cold nor open.
func (c *Context) closedSteps() int {
	return len(c.group(func(s *step.Step) bool { return !s.Cold && !s.Open }).Steps)
}

// stepless are the rules that can decide without any step: on the capture, its kernels or the server's own evidence.
var stepless = map[string]bool{CaptureQuality: true, DominantKernel: true, KVCacheLimited: true, MemoryGrowth: true}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// finding fills the fields that every rule sets alike: the severity follows from the share.
func finding(share float64, confidence, format string, args ...any) Finding {
	return Finding{Severity: severityOf(share), Confidence: confidence, Share: share, Summary: fmt.Sprintf(format, args...)}
}

// Confidence levels.
const (
	sure    = "high"
	likely  = "medium"
	perhaps = "low"
)

// explains lists which findings are consequences when the key is found: the cause is fixed first, and then the
// consequence looks different or is gone.
var explains = map[string][]string{
	// A batch held at a cap makes the weights the cost of few requests; memory speed is not what to fix.
	QueueLimited: {MemoryBandwidth, DominantKernel, AttentionKVBound, SamplingBound},
	// The same while KV blocks cap the batch. Long contexts make attention expensive too, but blocks come first.
	KVCacheLimited: {MemoryBandwidth, DominantKernel, QueueLimited},
	// Without requests the GPU waits in ways that say nothing about the server at work.
	Underloaded: {HostStepGap, DominantKernel},
	// A small budget cuts prompts into many steps: each of them delays decoding and is launched on its own.
	PrefillChunkLimited: {PrefillInterference, DominantKernel, MemoryBandwidth, HostLaunchBound, HostStepGap},
	// A slow host makes every other share of the step look larger than it will be once the host keeps up.
	HostLaunchBound: {DominantKernel, APILatency},
	TransferBound:   {MemoryBandwidth, APILatency, DominantKernel, SyncStall, HostLaunchBound, HostStepGap},
	// A host that waits for the GPU in every step cannot prepare the next one meanwhile: what the GPU then waits for is no
	// property of the host or the load.
	SyncStall: {HostLaunchBound, HostStepGap, SamplingBound, DominantKernel, APILatency},
	// A call that takes long is why the host was late.
	APILatency: {HostLaunchBound, HostStepGap, Underloaded},
	// Ranks wait for the one with most experts.
	MoEImbalance: {CollectiveBound},
	// These name the kernel's reason; the kernel's name is then only detail.
	MemoryBandwidth: {DominantKernel},
	ComputeBound:    {DominantKernel},
	// One memory reads both: where the cache is the larger part of the bytes, the weights are the rest of the same story.
	AttentionKVBound: {DominantKernel, MemoryBandwidth},
	CollectiveBound:  {DominantKernel},
}

// weigh marks consequences. A cause explains only findings that are not larger alarms by far: one that could return
// more than the cause keeps its own rank, unless the cause is one of the server's limits, which come first by nature, or a
// wait in most steps that gives half as much.
func weigh(c *Context, fs []Finding) {
	for i := range fs {
		cause := &fs[i]
		if cause.Severity < Medium || cause.Caused != "" {
			continue
		}
		for _, id := range explains[cause.ID] {
			for j := range fs {
				if id == DominantKernel && !c.explainsKernel(cause.ID) {
					continue
				}
				if fs[j].ID == id && fs[j].Caused == "" && c.outranks(cause, &fs[j]) {
					fs[j].Caused = cause.ID
					fs[j].Severity = min(fs[j].Severity, Info)
				}
			}
		}
	}
}

// apiPart is the part of a host wait that slow calls must make up to be its cause.
const apiPart = 1.0 / 3

// outranks reports whether the cause explains the effect as the two were found.
func (c *Context) outranks(cause, effect *Finding) bool {
	host := effect.ID == HostLaunchBound || effect.ID == HostStepGap
	switch cause.ID {
	case QueueLimited, KVCacheLimited, Underloaded, PrefillChunkLimited:
		return true
	case HostLaunchBound:
		if effect.ID == APILatency { // it is the cause itself where it is much of the waiting
			return effect.Share < apiPart*cause.Share
		}
	case APILatency:
		return effect.Share*apiPart <= cause.Share
	case MoEImbalance:
		return true
	case AttentionKVBound:
		if effect.ID == MemoryBandwidth && !c.cacheOutweighs() {
			return false
		}
	case SyncStall:
		if host && c.heldMost((*hold).waits) {
			return effect.Share <= 2*cause.Share
		}
	case TransferBound:
		switch {
		case host: // copies beside the host's work do not slow it
			return c.heldMost((*hold).copies) && effect.Share <= 2*cause.Share
		case effect.ID == MemoryBandwidth: // slow GEMMs are a matter of memory unless they read the host's
			return c.inPlace.Layers > 0 || cause.Share > 0.5
		}
	}
	return effect.Share <= cause.Share
}

// explainsKernel reports whether a finding is about the stage of the kernel that takes most of the time.
func (c *Context) explainsKernel(id string) bool {
	var parts []step.Part
	switch id {
	case MemoryBandwidth, ComputeBound:
		parts = weightStages
	case AttentionKVBound:
		parts = []step.Part{step.Part(kernel.Attention), step.Part(kernel.LinearAttn)}
	case CollectiveBound:
		parts = []step.Part{step.Part(kernel.Collective)}
	default:
		return true
	}
	if len(c.kernels) == 0 {
		return false
	}
	stage, _, _ := strings.Cut(c.kernels[0].Stage, ",")
	return slices.ContainsFunc(parts, func(p step.Part) bool { return p.String() == "gpu."+stage })
}

// finalBound lets server-level findings name the bound: a server that waits for requests is not bound by its hardware.
func (c *Context) finalBound(fs []Finding) string {
	for _, f := range fs {
		if f.Severity < Medium || f.Caused != "" {
			continue
		}
		switch f.ID {
		case HostLaunchBound, HostStepGap, SyncStall, APILatency:
			return BoundHost
		case MemoryBandwidth, AttentionKVBound:
			return BoundMemory
		case ComputeBound:
			return BoundCompute
		case TransferBound:
			return BoundBus
		case CollectiveBound:
			return BoundNetwork
		case Underloaded:
			return BoundRequests
		}
	}
	return c.Limits.Bound
}
