package serving

// Run is everything known about one server and its requests beside the
// profile. Every part may be nil: not recorded.
type Run struct {
	// Bench is the load generator's result without the profiler, which is the
	// one that speaks for the server. BenchDuringCapture ran while the profile
	// was taken and includes the profiler's cost.
	Bench              *Bench `json:"bench,omitempty"`
	BenchDuringCapture *Bench `json:"bench_during_capture,omitempty"`

	// Before and After are the snapshots; Delta is what happened between them.
	Before *Metrics      `json:"-"`
	After  *Metrics      `json:"-"`
	Delta  *MetricsDelta `json:"delta,omitempty"`

	Log   *Log   `json:"log,omitempty"`
	Trace *Trace `json:"trace,omitempty"`

	// LogStart is the wall clock of the log's AtNS 0, ns since 1970 UTC, good
	// to the log's resolution (1 s for vLLM); not recorded where the log names
	// no zone and the metrics hold no process start to find it from.
	LogStart Fact[int64] `json:"log_start_unix_ns,omitzero"`

	// Engine merges the settings found in the log, the metrics and the
	// benchmark result; a line of the log wins over a label of the metrics.
	Engine EngineInfo `json:"engine"`

	// Command is the server's command line as recorded, secrets masked.
	Command Fact[string] `json:"command,omitzero"`

	// Warnings are defects of single inputs and disagreements between them.
	Warnings []Warning `json:"warnings,omitempty"`
}

// Clock names the time base of a request's StartNS.
type Clock string

// Clocks.
const (
	ClockUnknown   Clock = ""
	ClockUnix      Clock = "unix"      // ns since 1970 UTC
	ClockMonotonic Clock = "monotonic" // client's monotonic clock: differences only
)

// Request is one request as a client or the server's tracing saw it. Times are
// int64 ns; NotRecorded where the source lacks them.
type Request struct {
	ID           string `json:"id,omitempty"`
	Model        string `json:"model,omitempty"`
	Clock        Clock  `json:"clock,omitempty"`
	StartNS      int64  `json:"start_ns"`      // arrival
	E2ENS        int64  `json:"e2e_ns"`        // arrival to last token
	QueueNS      int64  `json:"queue_ns"`      // arrival (or enqueue) to first scheduling
	TTFTNS       int64  `json:"ttft_ns"`       // arrival to first token
	PrefillNS    int64  `json:"prefill_ns"`    // first scheduling to first token
	DecodeNS     int64  `json:"decode_ns"`     // first to last token
	InferenceNS  int64  `json:"inference_ns"`  // first scheduling to last token
	PromptTokens int64  `json:"prompt_tokens"` // NotRecorded if absent
	OutputTokens int64  `json:"output_tokens"` // NotRecorded if absent
	Failed       bool   `json:"failed"`        // the client counted it as failed
	Source       Source `json:"source,omitzero"`
}
