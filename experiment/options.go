package experiment

import (
	"time"

	"github.com/stepscope/stepscope/bench"
	"github.com/stepscope/stepscope/capture"
	"github.com/stepscope/stepscope/compare"
	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/knob"
	"github.com/stepscope/stepscope/ledger"
	"github.com/stepscope/stepscope/stat"
)

// Defaults of Options.
const (
	DefaultRepeats = 3
	DefaultBursts  = 3
	DefaultGoal    = "output_tokens_per_s"
)

// Options say what to try.
type Options struct {
	Argv    []string // the server's command as it is now
	Changes []string // KNOB=VALUE; more than one needs Force
	Force   bool     // try names, values and combinations that would be refused

	// Repeats is how often each side is started, Bursts how many loads each start serves; 0 takes the default. Four repeats
	// or more can stop early (stat.Plan).
	Repeats, Bursts int
	// Load makes the load for a server; it is called once a burst. Its seed is varied by burst, equally on both sides.
	Load func(url string) (cfg bench.Config, close func(), err error)
	// Goal is the metric that the change is about, a name of compare's benchmark metrics (output_tokens_per_s, tpot_ms,
	// itl_ms, ttft_ms, e2e_ms, goodput_requests_per_s ...); "" takes the prediction's, else DefaultGoal.
	Goal      string
	Predicted *ledger.Prediction
	// Advised is the server that Changes were advised for. Where the command begins with another value, the change is refused,
	// and with Force made without the prediction. nil = nothing is compared.
	Advised *Advised
	// MinEffect is the smallest relative change that counts; 0 = 2 %.
	MinEffect float64

	Ledger *ledger.Ledger // nil = nothing is written down
	Text   string         // a remark for the ledger

	Engine    knob.Engine // without a version the installation is asked
	NvidiaSMI string
	AnyGPU    bool
	Startup   time.Duration // bound of a start; 0 = capture.DefaultStartup
	// Dir is a new or empty folder for logs and benchmark results of every start; "" uses a temporary folder that is gone afterwards.
	Dir string
	// CaptureDir takes a capture of each side after the measurement, into CaptureDir/baseline and CaptureDir/change, with
	// Capture's settings for the profiler; "" takes none.
	CaptureDir string
	Capture    capture.Options

	Tool diagnose.Tool
}

// A Result is a finished experiment.
type Result struct {
	Changes    []Change
	Rounds     int // complete ones
	Comparison *compare.Comparison
	// Verdict is that of the goal: better, worse, same or unclear; a change that does not run is worse. Reason says why.
	Verdict stat.Verdict
	Reason  string
	Goal    string
	// DoesNotRun says that the server does not run with the change; Comparison has what was measured before that, if anything.
	DoesNotRun  bool
	SideEffects []ledger.SideEffect
	Predicted   *ledger.Prediction
	Measured    *ledger.Measurement
	Warnings    []string

	Command, CommandBefore []string // masked
	Engine, Model, GPU     string
	Load                   string

	// Baseline and Change are the ledger's records, nil without a ledger. Repaired is a repair that the ledger needed first.
	Baseline, Change *ledger.Record
	Repaired         *ledger.Record
	// Captures are the folders of CaptureDir, baseline first.
	Captures []string

	Interrupted bool // stopped, from outside or by a failing baseline, after at least one complete round
}

// Progress receives events; Text names the side and round.
type Progress = capture.Progress
