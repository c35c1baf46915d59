package diagnose_test

import (
	"strings"
	"testing"

	"github.com/stepscope/stepscope/diagnose"
)

// A host that stands still now and then is told from one that is slow in every step.
func TestFewPauses(t *testing.T) {
	for _, c := range []struct {
		name        string
		pause, each int64 // gap of every tenth step, and of all others
		pauses      int
	}{
		{"pauses", 20 * ms, 0, 5},
		{"slow everywhere", 2 * ms, 2 * ms, 0},
		{"pauses on a slow host", 20 * ms, 2 * ms, 0}, // most of the time is lost in every step
		{"too short to be one", ms / 2, 0, 0},
	} {
		e := newEngine()
		for range 5 {
			e.run(9, turn{marker: decode(8), ops: layers(6, 100*us, 300*us), graph: true, gap: c.each})
			e.step(turn{marker: decode(8), ops: layers(6, 100*us, 300*us), graph: true, gap: c.pause})
		}
		e.run(9, turn{marker: decode(8), ops: layers(6, 100*us, 300*us), graph: true, gap: c.each})
		f := e.diagnose(t, nil).Finding(diagnose.HostStepGap)
		switch {
		case f == nil:
			if c.pause >= ms {
				t.Errorf("%s: nothing found", c.name)
			}
		case strings.Contains(f.Summary, "pauses of about") != (c.pauses > 0):
			t.Errorf("%s: %s", c.name, f.Summary)
		case c.pauses > 0 && (!strings.Contains(f.Summary, "most of it in 5 pauses of about 20.0 ms") || !strings.HasPrefix(f.Advice[0].Knob, "nsys profile")):
			t.Errorf("%s: %s %+v", c.name, f.Summary, f.Advice)
		}
	}
}

// Calls that make up a third of what the host is late by are its cause.
func TestSlowCallsExplainTheHost(t *testing.T) {
	for _, c := range []struct {
		name   string
		alloc  int64
		caused bool
	}{{"much of the waiting", 90 * us, true}, {"a little of it", 15 * us, false}} {
		r := newEngine().run(30, turn{marker: decode(8), ops: layers(12, 20*us, 20*us), alloc: c.alloc, launch: 30 * us}).diagnose(t, nil)
		f, g := r.Finding(diagnose.HostLaunchBound), r.Finding(diagnose.APILatency)
		if f == nil || g == nil || (f.Caused == diagnose.APILatency) != c.caused || (g.Caused == diagnose.HostLaunchBound) == c.caused {
			t.Errorf("%s: %+v\n%+v", c.name, f, g)
		}
	}
}
