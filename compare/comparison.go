package compare

import (
	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/stat"
	"github.com/stepscope/stepscope/step"
)

// Schema is the version of the JSON form of Comparison. Fields may be added under the same version; none changes meaning.
const Schema = "stepscope.comparison/1"

// A Side is what is known about one of the two runs. Every part may be missing.
type Side struct {
	// Name is how reports call it: the file or folder that was named.
	Name string
	// Analysis is the profile's steps, Diagnosis what was found in them. A Diagnosis without an Analysis serves for the
	// findings only.
	Analysis  *step.Analysis
	Diagnosis *diagnose.Diagnosis
	// Digest stands for Analysis where the profile was let go.
	Digest *Digest
	// Run is the server's own evidence and the load generator's result.
	Run *serving.Run
	// Usage is what was sampled beside the run.
	Usage *Usage
	// Settings are the options that the server ran with, as they may be shown, in any order; nil = not known.
	Settings []Setting
	// Facts are everything else that is known about how the run was made: driver, host, load.
	Facts []Fact
}

// A Setting is one option of the server. Secrets are masked by whoever passes it.
type Setting struct {
	Name, Value string
}

// A Fact is one circumstance of a run.
type Fact struct {
	Group       Circumstance
	Name, Value string
}

// Circumstance groups what may differ between two runs.
type Circumstance string

// Circumstances, in the order in which reports show them.
const (
	OfHardware Circumstance = "hardware"
	OfSoftware Circumstance = "software"
	OfModel    Circumstance = "model"
	OfSettings Circumstance = "setting" // options of the server
	OfLoad     Circumstance = "load"
	OfCapture  Circumstance = "capture" // how the profile was taken
	OfEngine   Circumstance = "engine"  // what the engine made of its settings
)

// Usage is what was sampled while the unprofiled burst ran: series in order of time, empty where not recorded.
type Usage struct {
	CPUCores     []float64 // of the server's processes together, in cores
	HostBytes    []float64 // resident memory of the server's processes
	GPUUtil      []float64 // share of time with a kernel, as the driver reports it, mean over GPUs, 0..1
	GPUMemBytes  []float64 // used memory, sum over GPUs
	PowerW       []float64 // sum over GPUs
	ClockMHz     []float64 // SM clock, mean over GPUs
	StartupS     *float64  // process start to the first answer of /health
	MemGrowBytes *float64  // growth of GPU memory over the burst
}

// Options configure Compare. The zero value is the default.
type Options struct {
	Thresholds Thresholds // zero fields take their defaults
	Tool       diagnose.Tool
	// Kernels bounds the rows of Comparison.Kernels; 0 = 60. What is left out is counted.
	Kernels int
	// Goal is the benchmark metric that repeated runs (Rounds) were made for, "" for none. A hypothesis that was fixed
	// beforehand needs no correction for the other metrics.
	Goal string
}

// A Comparison is the result.
type Comparison struct {
	Schema string        `json:"schema"`
	Tool   diagnose.Tool `json:"tool"`
	Before SideInfo      `json:"before"`
	After  SideInfo      `json:"after"`

	// Verdict is that of the whole: better, worse, same, unclear, mixed where main metrics contradict each other, or not
	// comparable where the loads or models differ and no step of equal batch speaks.
	Verdict Overall `json:"verdict"`
	Summary string  `json:"summary"`
	// Regressions and Improvements name the metrics that got worse and better, group and name, single kernels and parts of
	// a step left out; of runs with different loads, the steps of equal batch alone. Title tells them in words.
	Regressions  []string `json:"regressions"`
	Improvements []string `json:"improvements"`
	// Workflow says which of the workflow's own thresholds were passed.
	Workflow []Passed `json:"workflow"`

	// Metrics are in order of their group.
	Metrics []Metric `json:"metrics"`
	// Compositions compares steps of equal batch, the ones with the most time first.
	Compositions []Composition `json:"compositions"`
	OnlyBefore   []BatchCount  `json:"only_before,omitempty"` // batches that only one side has
	OnlyAfter    []BatchCount  `json:"only_after,omitempty"`

	// Kernels are those of Compositions[0], or of a unit of work where no composition is common; KernelsOf says which.
	Kernels        []KernelChange `json:"kernels"`
	KernelsOf      string         `json:"kernels_of,omitempty"`
	KernelsOmitted int            `json:"kernels_omitted,omitempty"` // rows without a change that counts, left out

	// Residue is what else differs. One side not recording something is no difference; it is counted in Unknown.
	Residue []Difference `json:"residue"`
	Unknown []string     `json:"residue_unknown,omitempty"`

	Findings FindingChange `json:"findings"`

	Thresholds Thresholds     `json:"thresholds"`
	Warnings   []stat.Warning `json:"warnings"`
}

// SideInfo names a side.
type SideInfo struct {
	Name     string `json:"name"`
	Profile  bool   `json:"profile"`
	Bench    bool   `json:"bench"`
	Samples  bool   `json:"request_samples"` // the benchmark kept its requests
	Steps    int    `json:"steps,omitempty"`
	StepsBy  string `json:"steps_by,omitempty"`
	WindowNs int64  `json:"window_ns,omitempty"` // for information; nothing is compared by it
	Verdict  string `json:"diagnosis,omitempty"`
}

// Overall is a verdict on the whole.
type Overall string

// Overall verdicts.
const (
	Better  Overall = "better"
	Worse   Overall = "worse"
	Same    Overall = "same"
	Unclear Overall = "unclear"
	Mixed   Overall = "mixed"
	// NotComparable is the verdict on runs of different loads or models.
	NotComparable Overall = "not comparable"
)

// Passed is one of the workflow's thresholds and whether the change passes it.
type Passed struct {
	Threshold string  `json:"threshold"` // field of Thresholds
	Limit     float64 `json:"limit"`
	Metric    string  `json:"metric"`
	Moved     float64 `json:"moved"` // in the limit's unit
	Passed    bool    `json:"passed"`
	// NotTested says why the threshold could not be held against the change; absent where it was.
	NotTested string `json:"not_tested,omitempty"`
	Text      string `json:"text"`
}

// BatchCount is a batch that one side lacks.
type BatchCount struct {
	Label string  `json:"label"`
	Steps int     `json:"steps"`
	Share float64 `json:"share"` // of the side's wall
}

// FindingChange compares the two diagnoses by the ids of findings that are alarms.
type FindingChange struct {
	Gone  []string `json:"gone"`
	New   []string `json:"new"`
	Stays []string `json:"stays"`
}
