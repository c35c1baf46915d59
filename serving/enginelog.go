package serving

import "time"

// Log is what a server's log says. Rows carry AtNS, ns since Start; vLLM
// prints whole seconds, so AtNS has that resolution.
type Log struct {
	File  string   `json:"file"`
	Lines int64    `json:"lines"`
	Start LogStart `json:"start"`
	EndNS int64    `json:"end_ns"` // AtNS of the last stamped line; NotRecorded without stamps

	Engine EngineInfo `json:"engine"`

	Phases     []Phase      `json:"phases,omitempty"` // by start, then by ID
	Stats      []StatLine   `json:"stats,omitempty"`
	SpecDecode []SpecLine   `json:"spec_decode,omitempty"`
	Iterations []Iteration  `json:"iterations,omitempty"`
	Batches    []BatchLine  `json:"batches,omitempty"` // SGLang's prefill and decode lines
	Profiling  []ProfileCut `json:"profiling,omitempty"`
	Notices    []Notice     `json:"notices,omitempty"` // by first occurrence

	// RequestsReceived counts the lines of --enable-log-requests; texts are
	// not kept. NotRecorded where there are none.
	RequestsReceived int64 `json:"requests_received"`

	Warnings []Warning `json:"warnings,omitempty"`
}

// LogStart is the first time stamp of a log. vLLM prints no year.
type LogStart struct {
	Known   bool   `json:"known"`
	HasYear bool   `json:"has_year"`
	Text    string `json:"text,omitempty"` // as printed, "11-24 06:11:28"

	t    time.Time      // read as if UTC; year 2000 where there is none
	zone *time.Location // nil unless the log names it
}

// Phase ids of the server's life.
const (
	PhaseStart        = "start"         // process start, imports, configuration, until the engine core starts
	PhaseLoad         = "load"          // model construction and weights
	PhaseWeights      = "weights"       // reading weights, inside load
	PhaseCompile      = "compile"       // torch.compile in total
	PhaseDynamo       = "dynamo"        // bytecode transform, inside compile
	PhaseInductor     = "inductor"      // graphs compiled or loaded from the cache, inside compile
	PhaseProfileRun   = "profile-run"   // the largest batch once, to measure memory
	PhaseKVSizing     = "kv-sizing"     // from the profile run to the KV cache size
	PhaseGraphCapture = "graph-capture" // CUDA graph capture
	PhaseWarmUp       = "warm-up"       // after the last stated phase until the engine is initialised
	PhaseEngineInit   = "engine-init"   // profile, create KV cache, warm up model: contains the above from compile on
	PhaseAPIStart     = "api-start"     // engine initialised to the port being open
	PhaseReady        = "ready"         // a moment: requests are accepted
	PhaseShutdown     = "shutdown"      // a moment: first line of the shutdown
)

// Phase is one part of the server's life.
type Phase struct {
	ID      string `json:"phase"`
	AtNS    int64  `json:"at_ns"`  // start; NotRecorded without a stamp
	DurNS   int64  `json:"dur_ns"` // 0 for a moment; NotRecorded if neither stated nor between stamps
	Stated  bool   `json:"stated"` // the log states the duration; else it is a difference of stamps
	Workers int    `json:"workers"`
	Source  Source `json:"source"`
}

// StatLine is one periodic line of the server's own statistics. Rates are
// means over the logging interval; counts are of the moment. NotRecorded where
// the line lacks the field.
type StatLine struct {
	AtNS          int64   `json:"at_ns"`
	Engine        int     `json:"engine"` // data-parallel rank; NotRecorded in old lines
	PromptRate    float64 `json:"prompt_tok_s"`
	OutputRate    float64 `json:"output_tok_s"`
	Running       int64   `json:"running"`
	Waiting       int64   `json:"waiting"`
	Deferred      int64   `json:"deferred"`
	Preemptions   int64   `json:"preemptions"`
	KVUsage       float64 `json:"kv_usage"`        // 0..1
	PrefixHitRate float64 `json:"prefix_hit_rate"` // 0..1
	Line          int     `json:"line"`
}

// SpecLine is one periodic line of speculative decoding.
type SpecLine struct {
	AtNS             int64     `json:"at_ns"`
	AcceptanceLength float64   `json:"acceptance_length"`
	AcceptedRate     float64   `json:"accepted_tok_s"`
	DraftedRate      float64   `json:"drafted_tok_s"`
	Accepted         int64     `json:"accepted"`
	Drafted          int64     `json:"drafted"`
	AcceptanceRate   float64   `json:"acceptance_rate"` // 0..1
	PerPosition      []float64 `json:"per_position,omitempty"`
	Line             int       `json:"line"`
}

// Iteration is one step as --enable-logging-iteration-details prints it.
type Iteration struct {
	AtNS            int64   `json:"at_ns"`
	Engine          int     `json:"engine"`
	Index           int64   `json:"index"`
	PrefillRequests int64   `json:"prefill_requests"`
	PrefillTokens   int64   `json:"prefill_tokens"`
	DecodeRequests  int64   `json:"decode_requests"`
	DecodeTokens    int64   `json:"decode_tokens"`
	ElapsedNS       int64   `json:"elapsed_ns"`
	KVUsage         float64 `json:"kv_usage"` // 0..1
	Dummy           bool    `json:"dummy,omitempty"`
	Line            int     `json:"line"`
}

// BatchLine is one "Prefill batch" or "Decode batch" line of SGLang.
type BatchLine struct {
	AtNS         int64   `json:"at_ns"`
	Prefill      bool    `json:"prefill"`
	NewRequests  int64   `json:"new_requests"` // prefill
	NewTokens    int64   `json:"new_tokens"`   // prefill
	CachedTokens int64   `json:"cached_tokens"`
	Running      int64   `json:"running"`
	Queued       int64   `json:"queued"`
	Tokens       int64   `json:"tokens"`     // KV tokens in use
	KVUsage      float64 `json:"kv_usage"`   // 0..1
	Rate         float64 `json:"tok_s"`      // generation (decode) or input (prefill)
	AcceptLen    float64 `json:"accept_len"` // speculative decoding
	CUDAGraph    int     `json:"cuda_graph"` // 1, 0 or NotRecorded
	Line         int     `json:"line"`
}

// ProfileCut is a start or stop of the engine's profiler, the landmark that
// ties the log to a profile.
type ProfileCut struct {
	AtNS int64  `json:"at_ns"`
	What string `json:"what"` // starting, started, stopping, stopped
	Line int    `json:"line"`
}

// Categories of notices.
const (
	NoticeJIT           = "jit-during-inference" // kernel compiled while serving
	NoticeMoEConfig     = "default-moe-config"
	NoticeUnknownEnv    = "unknown-env"
	NoticePreemption    = "preemption"
	NoticeOOM           = "out-of-memory"
	NoticeNoKVMemory    = "no-kv-memory" // the cache does not fit
	NoticeBackend       = "backend-precluded"
	NoticeKVPressure    = "kv-pressure" // requests retracted, cache full
	NoticeTimeout       = "timeout"
	NoticeEngineDead    = "engine-dead"
	NoticeProfilerOn    = "profiler-enabled"
	NoticeEager         = "eager"
	NoticeRecompilation = "recompilation"
	NoticeOther         = "other"
)

// Notice is a warning or error of the log, once, with how often it came.
type Notice struct {
	Category string `json:"category"`
	Level    string `json:"level"` // WARNING, ERROR, CRITICAL
	Text     string `json:"text"`  // first occurrence, secrets masked
	N        int64  `json:"n"`
	FirstNS  int64  `json:"first_ns"`
	LastNS   int64  `json:"last_ns"`
	Serving  bool   `json:"serving"` // at least once after the server was ready
	Source   Source `json:"source"`
}
