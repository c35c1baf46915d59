// Package diagnose turns steps and server evidence into findings: what limits the server, how sure that is, and the rows
// that show it.
//
// Rules are rows of one table (see Rules), in files by subject. A rule reads a Context, which holds what the capture and the
// server's own evidence say, and returns findings or abstains with a reason; it never guesses around missing data.
// Findings are weighed against each other afterwards (see weigh), so that a report tells one story: a batch held at a cap
// is told as a queue, not as slow memory. They are ordered by the wall time that fixing them could return.
package diagnose

import (
	"cmp"
	"fmt"

	"github.com/stepscope/stepscope/step"
)

// Schema is the version of the JSON form of Diagnosis. Fields may be added under the same version; none changes meaning.
const Schema = "stepscope.diagnosis/1"

// Diagnosis is the result: everything a report shows.
type Diagnosis struct {
	Schema      string                `json:"schema"`
	Tool        Tool                  `json:"tool"`
	Profile     ProfileInfo           `json:"profile"`
	Verdict     string                `json:"verdict"` // one or two sentences for people
	Engine      EngineFacts           `json:"engine"`
	Lifecycle   []step.LifecyclePhase `json:"lifecycle"`
	Steps       StepFacts             `json:"steps"`
	Budget      BudgetFacts           `json:"budget"`
	Limits      Limits                `json:"limits"`
	Findings    []Finding             `json:"findings"`
	Checklist   []CheckItem           `json:"checklist"`
	Kernels     []KernelFacts         `json:"kernels"`
	APIs        []APIFacts            `json:"apis"`
	Transfers   []TransferFacts       `json:"transfers"`
	NotRecorded []Missing             `json:"not_recorded"`
	// Memory follows the device memory where allocations are recorded.
	Memory      []MemoryFacts `json:"memory,omitempty"`
	TypicalStep *TypicalStep  `json:"typical_step,omitempty"`
	// KernelMetrics are counters of Nsight Compute joined to the profile's kernels; empty when none were given.
	KernelMetrics []KernelMetrics `json:"kernel_metrics,omitempty"`
	Abstained     []Abstention    `json:"abstained"`
}

// TypicalStep is one real step near the median, piece by piece in order of time.
type TypicalStep struct {
	Phase  string  `json:"phase"`
	Step   int32   `json:"step"` // index within its rank
	DurNs  int64   `json:"dur_ns"`
	Pieces []Piece `json:"pieces"`
	Whole  bool    `json:"whole"` // false when the step has more pieces than are listed
}

// Piece is a stretch of a step's wall with the part that owns it; starts count from the step's start.
type Piece struct {
	Part    string `json:"part"`
	StartNs int64  `json:"start_ns"`
	DurNs   int64  `json:"dur_ns"`
}

// Tool names the program that made the diagnosis.
type Tool struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// ProfileInfo describes the capture.
type ProfileInfo struct {
	Source   string    `json:"source"`
	Format   string    `json:"format"`
	Producer string    `json:"producer,omitempty"`
	GPU      []GPU     `json:"gpu"`
	WindowNs int64     `json:"window_ns"`
	Quality  []Quality `json:"quality"`
}

// GPU is one device of the capture.
type GPU struct {
	ID         int64   `json:"id"`
	Name       string  `json:"name,omitempty"`
	SMs        int32   `json:"sms,omitempty"`
	Memory     int64   `json:"memory_bytes,omitempty"`
	Bandwidth  int64   `json:"bandwidth_bytes_per_s,omitempty"`
	BusyNs     int64   `json:"busy_ns"`
	BusyShare  float64 `json:"busy_share"` // of the window
	Kernels    int     `json:"kernels"`
	KernelSum  int64   `json:"kernel_sum_ns"`
	SheetMatch string  `json:"sheet_match,omitempty"`
}

// Quality is one note on what the capture can and cannot show.
type Quality struct {
	ID       string `json:"id"`
	Severity string `json:"severity"`
	Text     string `json:"text"`
	Remedy   string `json:"remedy,omitempty"`
}

// EngineFacts is what is known about the server.
type EngineFacts struct {
	Name       string `json:"name,omitempty"`
	Version    string `json:"version,omitempty"`
	Model      string `json:"model,omitempty"`
	Shape      string `json:"shape,omitempty"`  // how the model's shape was found; empty = unknown
	Ranks      int    `json:"ranks"`            // ranks per engine seen in the capture
	Engines    int    `json:"engines"`          // data-parallel engines seen in the capture
	StepSource string `json:"step_source"`      // what steps were found by
	StepWhy    string `json:"step_why"`         // in words
	Layers     int    `json:"layers,omitempty"` // from the kernels' repetition
	Eager      *bool  `json:"eager,omitempty"`  // decode runs without CUDA graphs; absent = unknown
	AsyncSched *bool  `json:"async_scheduling,omitempty"`
}

// StepFacts counts steps and describes their periods by phase.
type StepFacts struct {
	Count   int                   `json:"count"`
	Empty   int                   `json:"empty"` // markers that scheduled no token
	Cold    int                   `json:"cold"`
	ByPhase map[string]PhaseFacts `json:"by_phase"`
}

// PhaseFacts describes the steps of one phase. Distributions leave out cold steps and the last, open one.
type PhaseFacts struct {
	Count        int           `json:"count"`
	WallNs       int64         `json:"wall_ns"`
	PeriodNs     Quantiles     `json:"period_ns"`
	BusyNs       Quantiles     `json:"busy_ns"`
	Requests     Quantiles     `json:"requests"`
	Tokens       Quantiles     `json:"tokens"`
	Kernels      Quantiles     `json:"kernels"`
	Launches     Quantiles     `json:"launches"`
	TokensPerS   float64       `json:"tokens_per_s,omitempty"` // scheduled tokens over the time in which closed steps ran; 0 = not recorded
	Parts        []PartTime    `json:"parts"`
	Compositions []Composition `json:"compositions"`
}

// Composition counts steps of equal batch.
type Composition struct {
	Prefill       int64 `json:"prefill_requests"`
	PrefillTokens int64 `json:"prefill_tokens"`
	Decode        int64 `json:"decode_requests"`
	DecodeTokens  int64 `json:"decode_tokens"`
	Count         int   `json:"count"`
	MedianNs      int64 `json:"median_period_ns"` // -1 = no closed step
}

// Quantiles of a distribution; N = 0 means not recorded and leaves the others 0.
type Quantiles struct {
	N      int   `json:"n"`
	Median int64 `json:"median"`
	P10    int64 `json:"p10"`
	P90    int64 `json:"p90"`
	P95    int64 `json:"p95"`
	P99    int64 `json:"p99"`
	Max    int64 `json:"max"`
}

// BudgetFacts is the wall time of all steps in exclusive parts.
type BudgetFacts struct {
	WallNs int64      `json:"wall_ns"`
	Parts  []PartTime `json:"parts"`
	// OverlappedCollectiveNs is collective time beside compute; it is inside the compute parts.
	OverlappedCollectiveNs int64 `json:"overlapped_collective_ns"`
}

// PartTime is one part of a budget. Shares are of the budget's wall.
type PartTime struct {
	ID    string  `json:"id"`
	Ns    int64   `json:"ns"`
	Share float64 `json:"share"`
}

// Limits is how far the steady decode and prefill steps are from the hardware.
type Limits struct {
	GPU     string       `json:"gpu,omitempty"`
	Peak    Peak         `json:"peak"`
	MBU     *float64     `json:"mbu,omitempty"` // median steady decode step; absent = not computable
	MFU     *float64     `json:"mfu,omitempty"` // largest prefill or mixed steps; absent = not computable
	Bound   string       `json:"bound"`         // host, memory, compute, bus, network, requests or unknown
	Phases  []PhaseLimit `json:"phases"`
	Checked string       `json:"checked,omitempty"` // what measured counters say about the model, in words
	Checks  []LimitCheck `json:"checks,omitempty"`  // the same in numbers
	Why     string       `json:"why,omitempty"`     // why something is absent
}

// Peak names the data sheet's figures that shares refer to.
type Peak struct {
	BandwidthBytesPerS float64 `json:"bandwidth_bytes_per_s,omitempty"`
	FLOPs              float64 `json:"flops,omitempty"`
	DType              string  `json:"dtype,omitempty"`
	Source             string  `json:"source,omitempty"`
}

// PhaseLimit is the roofline position of one phase's typical step.
type PhaseLimit struct {
	Phase       string      `json:"phase"`
	Tokens      int64       `json:"tokens"`
	BusyNs      int64       `json:"busy_ns"`
	WeightBytes float64     `json:"weight_bytes"`
	KVBytes     float64     `json:"kv_bytes"`
	KVFrom      string      `json:"kv_from"` // where the context lengths come from
	FLOPs       float64     `json:"flops"`
	IdealNs     int64       `json:"ideal_ns"` // at the data sheet's peaks; -1 = no peak for this arithmetic
	MBU         float64     `json:"mbu"`
	MFU         float64     `json:"mfu"` // -1 = no peak for this arithmetic
	Intensity   float64     `json:"flops_per_byte"`
	Bound       string      `json:"bound"`
	BusBytes    float64     `json:"bus_bytes,omitempty"` // weights that cross the host link, counted in IdealNs at its peak
	Stages      []StageRoof `json:"stages,omitempty"`
}

// StageRoof is one stage of a step against the roofline.
type StageRoof struct {
	Stage string  `json:"stage"`
	Ns    int64   `json:"ns"`
	Bytes float64 `json:"bytes"`
	FLOPs float64 `json:"flops"`
	MBU   float64 `json:"mbu"`
	MFU   float64 `json:"mfu"` // -1 = no peak for this arithmetic
}

// Finding is one conclusion.
type Finding struct {
	ID         string     `json:"id"`
	Severity   Severity   `json:"severity"`
	Confidence string     `json:"confidence"` // high, medium or low
	Share      float64    `json:"share"`      // of the steps' wall that fixing it could return; 0 = latency only or unknown
	Summary    string     `json:"summary"`
	Evidence   []Evidence `json:"evidence"`
	Advice     []Advice   `json:"advice"`
	// Caused names the finding that explains this one; it is then context and no alarm of its own.
	Caused string `json:"caused_by,omitempty"`
}

// Evidence is one measured fact with the rows that it comes from.
type Evidence struct {
	Text  string  `json:"text"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Rows  string  `json:"rows,omitempty"` // table and rows of the capture, or file and line of the server's evidence
}

// Advice is one change to try.
type Advice struct {
	Knob      string      `json:"knob"`
	Flag      string      `json:"flag"` // the engine's full option, with its value after a space where it takes one
	From      string      `json:"from"`
	To        string      `json:"to"`
	Text      string      `json:"text"`
	Command   string      `json:"command,omitempty"` // the server's, with the change and without what was set for the capture alone
	Risk      string      `json:"risk,omitempty"`
	Requires  string      `json:"requires,omitempty"`
	Predicted *Prediction `json:"predicted,omitempty"`
	// Unpredicted says why there is no number.
	Unpredicted string `json:"unpredicted,omitempty"`
}

// Prediction is what a change is expected to do.
type Prediction struct {
	Metric     string  `json:"metric"` // itl_ms, tpot_ms, ttft_ms or output_tokens_per_s
	Unit       string  `json:"unit"`
	Before     float64 `json:"before"`
	After      float64 `json:"after"`
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	Assumption string  `json:"assumption"`
}

var metricWords = map[string]string{"itl_ms": "inter-token latency", "tpot_ms": "time per output token", "ttft_ms": "time to first token",
	"output_tokens_per_s": "output"}

// Words tells the metric in words, for a number with its unit to follow.
func (p *Prediction) Words() string { return cmp.Or(metricWords[p.Metric], p.Metric) }

// CheckItem is one line of the workflow's checklist.
type CheckItem struct {
	Item  string `json:"item"`
	State string `json:"state"` // done, found, not recorded
	Text  string `json:"text"`
}

// KernelFacts is one device function's share.
type KernelFacts struct {
	Name      string  `json:"name"`
	Stage     string  `json:"stage"`
	Family    string  `json:"family,omitempty"`
	Instances int     `json:"instances"`
	TotalNs   int64   `json:"total_ns"`
	MedianNs  int64   `json:"median_ns"`
	Share     float64 `json:"share"` // of all kernel time
}

// KernelMetrics is one device function with one launch shape, with Nsight Compute's counters (medians over the profiled
// instances). A counter that was not collected is absent. GPU time is the profile's: under Nsight Compute kernels run
// alone, at fixed clocks and with cold caches.
type KernelMetrics struct {
	Name      string   `json:"name"`
	Stage     string   `json:"stage"`
	Grid      [3]int32 `json:"grid"`
	Launches  int64    `json:"launches"`
	GPUNs     int64    `json:"gpu_ns"`
	Share     float64  `json:"share"`     // of all kernel time
	Instances int      `json:"instances"` // profiled
	Basis     string   `json:"basis"`     // what the match rests on
	Ambiguous string   `json:"ambiguous,omitempty"`

	IPC               *float64 `json:"ipc,omitempty"`
	BranchEfficiency  *float64 `json:"branch_efficiency_percent,omitempty"`
	DivergentBranches *float64 `json:"divergent_branches,omitempty"`
	WarpEfficiency    *float64 `json:"warp_execution_efficiency_percent,omitempty"`
	Occupancy         *float64 `json:"achieved_occupancy_percent,omitempty"`
	L1                *float64 `json:"l1_throughput_percent,omitempty"`
	L2                *float64 `json:"l2_throughput_percent,omitempty"`
	DRAM              *float64 `json:"dram_throughput_percent,omitempty"`
	Tensor            *float64 `json:"tensor_pipe_percent,omitempty"`
}

// APIFacts is one API function on one thread.
type APIFacts struct {
	Process string  `json:"process"`
	PID     int64   `json:"pid"`
	TID     int64   `json:"tid"`
	Library string  `json:"library"`
	Name    string  `json:"name"`
	Kind    string  `json:"kind"`
	Calls   int     `json:"calls"`
	TotalNs int64   `json:"total_ns"`
	P50Ns   int64   `json:"p50_ns"`
	P99Ns   int64   `json:"p99_ns"`
	MaxNs   int64   `json:"max_ns"`
	MaxRow  int64   `json:"max_row"` // row of the longest call
	PerStep float64 `json:"per_step"`
}

// TransferFacts sums copies of one direction and memory kind.
type TransferFacts struct {
	Part      string  `json:"part"`
	Count     int     `json:"count"`
	Bytes     int64   `json:"bytes"`
	Ns        int64   `json:"ns"`
	ExposedNs int64   `json:"exposed_ns"` // while nothing else ran, in steps
	GBs       float64 `json:"gb_per_s"`
	Largest   int64   `json:"largest_bytes"`
	Purpose   string  `json:"purpose"` // weights, kv-cache, batch inputs, outputs or unknown
}

// Missing is something that the capture does not hold.
type Missing struct {
	What   string `json:"what"`
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"`
}

// Abstention is a rule that could not decide, and why.
type Abstention struct {
	Rule string `json:"rule"`
	Why  string `json:"why"`
}

// Severity grades a finding.
type Severity uint8

// Severities, lowest first. Info is context and no alarm.
const (
	Info Severity = iota
	Low
	Medium
	High
)

var severityNames = [...]string{"info", "low", "medium", "high"}

// String returns the stable id.
func (s Severity) String() string { return severityNames[s] }

// MarshalText returns the stable id.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a stable id, so that a diagnosis in JSON can be read back.
func (s *Severity) UnmarshalText(text []byte) error {
	v, ok := ParseSeverity(string(text))
	if !ok {
		return fmt.Errorf("no severity %q", text)
	}
	*s = v
	return nil
}

// ParseSeverity reads a stable id.
func ParseSeverity(v string) (Severity, bool) {
	for i, n := range severityNames {
		if n == v {
			return Severity(i), true
		}
	}
	return Info, false
}

// severityFrom is the share of wall time that fixing must be able to return for each severity.
var severityFrom = [...]float64{Low: 0.03, Medium: 0.10, High: 0.25}

// severityOf grades by the share of wall time that fixing could return.
func severityOf(share float64) Severity {
	for s := High; s > Info; s-- {
		if share >= severityFrom[s] {
			return s
		}
	}
	return Info
}
