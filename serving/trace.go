package serving

// Trace is what OpenTelemetry spans say: finished requests and the parts of
// the engine's start-up. Times are ns since 1970 UTC.
type Trace struct {
	File     string    `json:"file"`
	Requests []Request `json:"-"`                 // by start
	Startup  []Span    `json:"startup,omitempty"` // by start
	// Spans counts all spans; Other those that are neither requests nor start-up.
	Spans    int64     `json:"spans"`
	Other    int64     `json:"other"`
	Service  []string  `json:"service,omitempty"` // service.name values, sorted
	Warnings []Warning `json:"warnings,omitempty"`
}

// Span is one named span.
type Span struct {
	Name    string `json:"name"`
	StartNS int64  `json:"start_ns"`
	DurNS   int64  `json:"dur_ns"` // NotRecorded when unfinished
	Source  Source `json:"source"`
}
