package capture

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"strings"
)

// Kinds of failure. A Failure wraps one of them.
var (
	ErrServerExited = errors.New("the server ended")
	ErrOutOfMemory  = errors.New("the server ran out of memory")
	ErrPortTaken    = errors.New("the port is in use")
	ErrNeverHealthy = errors.New("the server did not become ready")
	ErrNoProfiler   = errors.New("no profiler was found")
	ErrNoGPU        = errors.New("no GPU is visible")
	ErrNoHook       = errors.New("the engine cannot start a profiler on request")
	ErrNoReport     = errors.New("the profiler left no report")
	ErrLoad         = errors.New("the load was not answered")
	ErrExists       = errors.New("the folder exists")
	ErrUsage        = errors.New("the command cannot be captured")
)

// A Failure is why a run did not end well: where it was, what happened, the end of the server's log and the way out.
type Failure struct {
	Stage  Stage
	Kind   error  // one of the Err values, or the context's
	Text   string // one or two sentences, the way out included
	Log    string // path of the server's log, "" = none
	Tail   []string
	Folder string // the incomplete folder that was left, "" = none
}

func (f *Failure) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v: %s", f.Kind, f.Text)
	if len(f.Tail) > 0 {
		b.WriteString("; the log ends with:")
		for _, l := range f.Tail {
			b.WriteString("\n  " + l)
		}
	}
	if f.Log != "" {
		b.WriteString("\nthe whole log: " + f.Log)
	}
	return b.String()
}

// Unwrap returns the kind.
func (f *Failure) Unwrap() error { return f.Kind }

// cause drops what os and exec put around an error, where the message names the file already.
func cause(err error) error {
	var pe *fs.PathError
	var ee *exec.Error
	switch {
	case errors.As(err, &pe):
		return pe.Err
	case errors.As(err, &ee):
		return ee.Err
	}
	return err
}

// KindText is a failure in one line: what happened and the reason, without the log.
func KindText(f *Failure) string { return f.Kind.Error() + ": " + f.Text }
