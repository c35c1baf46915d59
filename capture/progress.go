package capture

// Stage is what a run is doing. Stages come in this order; some are left out.
type Stage string

// Stages.
const (
	Checking  Stage = "check"   // port, GPU, profiler, engine version
	Starting  Stage = "start"   // the server until it answers
	WarmingUp Stage = "warm-up" // first requests, not measured
	Measuring Stage = "measure" // the unprofiled burst
	Profiling Stage = "profile" // the burst with the window
	Stopping  Stage = "stop"    // the server and the profiler
	Exporting Stage = "export"  // the report into a profile
	Writing   Stage = "write"   // digests and manifest
)

// An Event tells how far a run has come.
type Event struct {
	Stage Stage
	Text  string
	Done  int64 // requests, or milliseconds of a wait
	Total int64 // 0 = not known
}

// Progress receives events, one at a time. It may be nil and must be quick.
type Progress func(Event)

func (p Progress) event(s Stage, text string) {
	if p != nil {
		p(Event{Stage: s, Text: text})
	}
}

func (p Progress) count(s Stage, text string, done, total int64) {
	if p != nil {
		p(Event{s, text, done, total})
	}
}
