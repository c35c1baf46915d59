// Package step turns a profile into the engine's steps and says where each one's wall time went.
//
// A step is one scheduler iteration, one model execution over a batch. It owns device work by correlation: the host call
// that launched the work lies between the step's marker and the next one. Time containment would be wrong, as the host
// runs ahead of the GPU. A step's wall runs from its first device operation to the first one of the next step, so walls
// are contiguous and a step includes the wait for its successor.
//
// The budget law: each step's wall is split into exclusive parts (see Part) that sum to it exactly, in integer ns.
// Where several operations run at once, compute owns the instant before communication and communication before copies;
// among equals the one that started first. Every idle nanosecond gets a cause from host evidence, or idle.unknown.
package step

import (
	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
)

// Source says what steps were found by.
type Source uint8

// Sources, best first.
const (
	NoSteps    Source = iota
	ByMarker          // the engine's annotations
	ByKernels         // the engine's own step kernels and sampling
	ByGraphs          // CUDA graph launches
	ByGaps            // idle gaps; a guess
	numSources = iota
)

var sourceNames = [numSources]string{"none", "markers", "step kernels", "graph launches", "gaps"}

// String returns a short name.
func (s Source) String() string { return sourceNames[s] }

// MarshalText returns the short name.
func (s Source) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Step is one scheduler iteration on one rank.
type Step struct {
	Rank  int32 // index into Analysis.Ranks
	Index int32 // order within the rank
	Phase Phase
	Batch Batch
	// BatchFrom says where Batch comes from: "marker", "kernels" (grids of the engine's bookkeeping kernels) or "".
	BatchFrom string
	// Written is the number of tokens whose keys and values the step put into the cache, by the launch shape of the kernel
	// that does it, where no marker tells the tokens; -1 = not recorded. Padded says that the step ran CUDA graphs: it is then the
	// captured size, which the step's tokens are padded to.
	Written int64
	Padded  bool
	Marker  interval.Span // the annotation; empty where steps come from something else
	Host    interval.Span // from this step's first host instant to the next step's; empty if not recorded
	GPU     interval.Span // the wall
	Open    bool          // nothing follows: the wall ends with the step's own last work and Period is -1
	Period  int64         // start to start of consecutive steps of the rank, ns; -1 when not recorded
	Cold    bool          // first-of-its-kind effects (module loading, compilation) fall into it; kept out of steady state
	ColdWhy string

	Kernels, GraphLaunches, Launches, Copies int32
	FirstOp, LastOp                          int32 // index range in the rank's Ops
	LastEnd                                  int64 // end of the step's own last work, ns
	// GraphKernels is the number of kernels that ran inside CUDA graphs.
	GraphKernels int32

	Budget Budget
	// Overlapped is collective time during which compute ran too, ns.
	Overlapped int64
}

// Tokens returns the scheduled tokens: those of the batch, else those written to the KV cache; -1 where neither is exact.
func (s *Step) Tokens() int64 {
	if n := s.Batch.Tokens(); n >= 0 || s.Padded {
		return n
	}
	return s.Written
}

// Wall returns the step's wall time in ns.
func (s *Step) Wall() int64 { return s.GPU.Dur() }

// OpKind is the table that an operation is a row of.
type OpKind uint8

// Operation kinds.
const (
	OpKernel OpKind = iota
	OpCopy
	OpMemset
	OpGraph
)

// Op refers to one device operation: the kind in the upper two bits, the index in its table below.
type Op uint32

// NewOp packs kind and index.
func NewOp(k OpKind, i int) Op { return Op(k)<<30 | Op(i) }

// Kind returns the table.
func (o Op) Kind() OpKind { return OpKind(o >> 30) }

// Index returns the row's index in the table.
func (o Op) Index() int { return int(o & (1<<30 - 1)) }

// Rank is one engine process on one device: where a sequence of steps runs.
type Rank struct {
	Engine  int32 // ranks with the same Engine run the same steps together (tensor parallel)
	Process int32
	Device  int32
	Thread  int32 // launches the steps, None if not recorded
	Source  Source
	Why     string // how the steps were found, for people
	Engine0 bool   // the rank whose steps stand for the engine
	Offset  int    // the engine's step that is the first of Steps; 0 for Engine0
	Waits   int64  // in collectives, beyond what the rank that waits least spends there in the steps that all ranks ran
	// Pipeline: the ranks of the engine run one after another, each a part of the layers.
	Pipeline bool
	peers    interval.Set // work of the pipeline's other ranks, without collectives
	Steps    []int32
	Ops      []Op          // device operations in order of start
	OpStep   []int32       // step index (into Analysis.Steps) of each of Ops, None = outside all steps
	Busy     interval.Set  // union of all device operations
	Wall     interval.Span // first step's start to last step's end
}

// Analysis is the result of Analyze.
type Analysis struct {
	P     *profile.Profile
	Ranks []Rank
	Steps []Step // of all ranks; Rank.Steps lists them in order
	// Primary lists the steps that stand for the work of the server: one rank per engine, in order of time.
	Primary []int32
	// EmptyMarkers counts step markers that scheduled no token.
	EmptyMarkers int

	Classes    []kernel.Class // by profile Func
	Stage      []kernel.Stage // by kernel
	Role       []kernel.Role
	Layer      []int16
	Confidence []kernel.Confidence
	Pattern    kernel.Pattern // of the most frequent decode step

	// Engine names the engine that the markers belong to: "vLLM", "SGLang" or "".
	Engine string
	// Budget is the sum over Primary; its total is Wall.
	Budget Budget
	Wall   int64

	Lifecycle []LifecyclePhase
	// Busy is the union of device operations by device, over the whole capture.
	Busy map[int32]interval.Set
	// CallsJoined and DeviceRows are the correlation coverage: device rows with a launch row, and all.
	CallsJoined, DeviceRows int

	ops      [4]opTable                 // by OpKind
	markers  map[profile.StringID]Batch // parsed annotation texts
	apiKinds []kernel.APIKind           // by string id
}

// Options choose what is analysed.
type Options struct {
	// Window limits the analysis to steps that start inside it; the zero value takes the whole capture.
	Window interval.Span
}

// opTable is what the tables of operations have in common.
type opTable struct {
	start, dur  []int64
	call, queue []int32
}

func opTables(p *profile.Profile) [4]opTable {
	return [4]opTable{
		OpKernel: {p.Kernels.Start, p.Kernels.Dur, p.Kernels.Call, p.Kernels.Queue},
		OpCopy:   {p.Copies.Start, p.Copies.Dur, p.Copies.Call, p.Copies.Queue},
		OpMemset: {p.Memsets.Start, p.Memsets.Dur, p.Memsets.Call, p.Memsets.Queue},
		OpGraph:  {p.GraphTraces.Start, p.GraphTraces.Dur, p.GraphTraces.Call, p.GraphTraces.Queue},
	}
}

// span returns the start and end of o.
func (a *Analysis) span(o Op) interval.Span {
	t, i := &a.ops[o.Kind()], o.Index()
	return interval.Span{Start: t.start[i], End: t.start[i] + t.dur[i]}
}

// call returns the launch row of o, None if it has none.
func (a *Analysis) call(o Op) int32 { return a.ops[o.Kind()].call[o.Index()] }

func (a *Analysis) queue(o Op) int32 { return a.ops[o.Kind()].queue[o.Index()] }

// part returns the budget part of o; kernels' stages must be assigned before.
func (a *Analysis) part(o Op) Part {
	i := o.Index()
	switch o.Kind() {
	case OpKernel:
		return Part(a.Stage[i])
	case OpCopy:
		return copyPart(a.P.Copies.Kind[i], a.P.Copies.Src[i], a.P.Copies.Dst[i])
	case OpMemset:
		return Memset
	}
	return Graph
}

// Span returns the time of o.
func (a *Analysis) Span(o Op) interval.Span { return a.span(o) }

// PartOf returns the budget part of o.
func (a *Analysis) PartOf(o Op) Part { return a.part(o) }

// QueueOf returns the queue of o.
func (a *Analysis) QueueOf(o Op) int32 { return a.queue(o) }

// CallOf returns the launch call of o, profile.None if it has none.
func (a *Analysis) CallOf(o Op) int32 { return a.call(o) }

// Analyze finds the steps of p and splits their time. It never fails: a profile without steps gives an Analysis whose
// ranks say why.
func Analyze(p *profile.Profile, opt Options) *Analysis {
	a := &Analysis{P: p, ops: opTables(p)}
	a.classify()
	a.collectRanks()
	a.findSteps()
	a.assignStages()
	for r := range a.Ranks {
		a.describeBatches(r)
	}
	a.groupEngines()
	a.findPipelines()
	for r := range a.Ranks {
		a.budgets(r)
	}
	a.markCold()
	a.chooseLeads()
	a.selectSteps(opt)
	a.lifecycle()
	return a
}
