package kineto

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/profile"
)

// samples are the files in testdata, each with one oddity. The golden beside each holds every column that comes of it.
var samples = []struct {
	name string
	what string // what happens
	err  error  // nil = a Profile comes out
	// kernels and calls that come out, and what the reader says
	kernels, calls int
	says           []string
	silent         bool // nothing above Info is said
}{
	{name: "eager.json", what: "every kind of event is read", kernels: 1, calls: 3, silent: true},
	{name: "graph.json", what: "graph nodes keep their ids; without ids they are of an unknown node", kernels: 2, calls: 1, silent: true},
	{name: "rocm.json", what: "HIP calls, empty device names, kernels without grid, mangled names; no profiler span, so a tool cut the file",
		kernels: 2, calls: 2, says: []string{"the profiler's own span is missing"}},
	{name: "device-numbers.json", what: "a device number that the list of equal devices does not have", kernels: 2, calls: 2,
		says: []string{"the profiler's own span is missing"}},
	{name: "categories-2021.json", what: "the categories, keys and string tids of 2021", kernels: 1, calls: 1, silent: true},
	{name: "bare-array.json", what: "an array of events without a head: no device names, no wall clock", kernels: 1, calls: 1, silent: true},
	{name: "leading-space.json", what: "white space before the document", kernels: 1, calls: 1, silent: true},
	{name: "bom.json", what: "a byte order mark before the document", kernels: 1, calls: 1, silent: true},
	{name: "head-last.json", what: "device properties and base time behind the events", kernels: 1, calls: 1, silent: true},
	{name: "epoch.json", what: "no base time: timestamps count from the epoch and keep their nanoseconds", kernels: 1, calls: 1, silent: true},
	{name: "trailing-comma.json", what: "commas before closing brackets are passed over", kernels: 1, calls: 1, silent: true},
	{name: "escaped-keys.json", what: "escapes in keys are resolved", kernels: 1, calls: 1, silent: true},
	{name: "number-forms.json", what: "exponents, and digits beyond the nanosecond rounded half away from zero", kernels: 3, silent: true},
	{name: "string-pids.json", what: "quoted numbers are numbers, other texts are processes of their own", kernels: 1, calls: 1, silent: true},
	{name: "merged-ranks.json", what: "SGLang's merged file: a process and a device per rank, joined within the rank", kernels: 2, calls: 2, silent: true},
	{name: "container-pid.json", what: "process 1 is not GPU 1", kernels: 1, calls: 1, silent: true},
	{name: "several-processes.json", what: "kernels go to the process whose call has their correlation id", kernels: 3, calls: 3, silent: true},
	{name: "memory.json", what: "allocations and releases, on the device and the host", kernels: 1, calls: 1, silent: true},
	{name: "syncs.json", what: "synchronisations of streams, events and contexts", kernels: 1, calls: 2, silent: true},
	{name: "duplicate-ids.json", what: "two calls of one correlation id: the outer one is the launch; two kernels may share it", kernels: 2, calls: 2, silent: true},
	{name: "duplicate-keys.json", what: "the last value of a key counts, an args object replaces an earlier one whole", kernels: 1, calls: 1, silent: true},
	{name: "python-stacks.json", what: "frames are counted and skipped", kernels: 1, calls: 1, silent: true},
	{name: "graph-capture.json", what: "launches during graph capture have no kernels and are no loss", kernels: 1, calls: 33, silent: true},
	{name: "profiler-log.json", what: "the profiler's own warnings are passed on", kernels: 1, calls: 1, says: []string{"Failed to record 12 activities", "CUPTI_ERROR_INVALID_KIND"}},
	{name: "only-begin.json", what: "an annotation without end stays open, a kernel without end is dropped", calls: 1, says: []string{"without a partner"}},
	{name: "begin-end.json", what: "begin and end events pair up by time within their thread", says: []string{"without a partner"}},
	{name: "truncated-in-string.json", what: "the events before the cut are read", kernels: 1, calls: 1, says: []string{"cut off: the text ends early at byte", "after 4 complete events"}},
	{name: "truncated-in-number.json", what: "a number that may go on is no number", kernels: 1, calls: 1, says: []string{"after 4 complete events"}},
	{name: "truncated-between-events.json", what: "the missing end is said", kernels: 1, calls: 1, says: []string{"after 4 complete events"}},
	{name: "truncated-before-end.json", what: "the missing last brace is said", kernels: 1, calls: 1, says: []string{"after 4 complete events"}},
	{name: "truncated-in-head.json", what: "nothing is there to read", err: profile.ErrMalformed},
	{name: "negative-duration.json", what: "negative durations become 0", kernels: 2, calls: 1, says: []string{"negative durations were set to 0"}},
	{name: "huge-duration.json", what: "times out of range are dropped, a duration beyond the window is cut at its end", kernels: 1, calls: 1,
		says: []string{"beyond 70 years were dropped", "were cut at its end"}},
	{name: "no-timestamp.json", what: "no timestamp: dropped; no duration: 0; quoted numbers are read", kernels: 2, calls: 1,
		says: []string{"without a readable timestamp", "without a readable duration"}},
	{name: "invalid-utf8.json", what: "bytes that are no UTF-8 become U+FFFD", kernels: 1, calls: 1, says: []string{"invalid UTF-8"}},
	{name: "control-characters.json", what: "raw control characters and unknown escapes become U+FFFD", kernels: 1, calls: 1, says: []string{"control characters"}},
	{name: "nan.json", what: "NaN and Infinity are passed over where nobody needs them, and are no times", kernels: 2, calls: 1,
		says: []string{"without a readable timestamp", "without a readable duration"}},
	{name: "odd-elements.json", what: "elements that are no events are skipped and counted", kernels: 1, calls: 1, says: []string{"are no events"}},
	{name: "concatenated.json", what: "the first document is read, the second is named", kernels: 1, calls: 1, says: []string{"a second document begins at byte"}},
	{name: "trailing-garbage.json", what: "text behind the end is named", kernels: 1, calls: 1, says: []string{"text behind the end"}},
	{name: "garbage-between.json", what: "reading stops at the damage", kernels: 1, calls: 1, says: []string{"damaged: no valid JSON at byte", "after 3 complete events"}},
	{name: "garbage-first.json", what: "damage before the first event is an error", err: profile.ErrMalformed},
	{name: "cut-out.json", what: "launches without kernels: a tool cut the file, which is said", kernels: 1, calls: 31, says: []string{"30 of 31 launches have no device work"}},
	{name: "no-events.json", what: "an empty trace records nothing"},
	{name: "no-trace-events-key.json", what: "a head without events", says: []string{"no traceEvents array"}},
	{name: "foreign-chrome.json", what: "a trace of another program", err: profile.ErrUnrecognised},
	{name: "not-a-trace.json", what: "other JSON", err: profile.ErrUnrecognised},
}

func TestSamples(t *testing.T) {
	listed := map[string]bool{}
	for _, s := range samples {
		listed[s.name] = true
		t.Run(s.name, func(t *testing.T) {
			p, err := Open(context.Background(), filepath.Join("testdata", s.name), Options{})
			if s.err != nil {
				if !errors.Is(err, s.err) {
					t.Fatalf("error %v, want %v", err, s.err)
				}
				golden(t, s.name+".golden", s.what+"\nerror: "+err.Error()+"\n")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if p.Kernels.Len() != s.kernels || p.Calls.Len() != s.calls {
				t.Errorf("%d kernels and %d calls, want %d and %d", p.Kernels.Len(), p.Calls.Len(), s.kernels, s.calls)
			}
			for _, text := range s.says {
				if !says(p, text) {
					t.Errorf("nothing says %q: %v", text, p.Diagnostics)
				}
			}
			for _, d := range p.Diagnostics {
				if s.silent && d.Severity > profile.Info {
					t.Errorf("%s: %s", d.Severity, d.Text)
				}
			}
			golden(t, s.name+".golden", s.what+"\n"+dump(p))
		})
	}
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !listed[filepath.Base(f)] {
			t.Errorf("%s has no test", f)
		}
	}
}

// TestSamplesThroughSmallWindows reads every sample through windows that end anywhere: inside keys, numbers, escapes.
func TestSamplesThroughSmallWindows(t *testing.T) {
	for _, s := range samples {
		text, err := os.ReadFile(filepath.Join("testdata", s.name))
		if err != nil {
			t.Fatal(err)
		}
		if !Sniff(text[:min(len(text), 64)]) {
			continue // a window of 64 bytes cannot tell what it is
		}
		want, err := outcome(s.name, text, windowSize)
		for _, window := range []int{64, 65, 67, 71, 73, 97, 256} {
			got, err2 := outcome(s.name, text, window)
			if (err == nil) != (err2 == nil) || got != want {
				t.Errorf("%s through %d bytes: %v\n%s", s.name, window, err2, diff(want, got))
			}
		}
	}
}

func outcome(name string, text []byte, window int) (string, error) {
	d, err := readWindow(context.Background(), name, strings.NewReader(string(text)), Options{}, window, max(window, 1<<20))
	if err != nil {
		return "", err
	}
	return dump(d.b.p), nil
}

func says(p *profile.Profile, text string) bool {
	for _, d := range p.Diagnostics {
		if strings.Contains(d.Text, text) {
			return true
		}
	}
	return false
}
