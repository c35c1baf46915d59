// Package align lays the engine's own trace beside the GPU timeline: requests from spans and iterations from the server's
// log, in the profile's clock.
//
// Spans carry wall-clock times in nanoseconds and the capture knows the wall clock of its time 0, so requests are placed
// by that. The log prints whole seconds, which is hundreds of steps; iterations are therefore matched to steps by what
// they scheduled, in order, and the time is only used to choose between equal places. An alignment states its error, and
// what cannot be placed is left out with a reason.
package align

import (
	"fmt"
	"slices"

	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/step"
)

// Request is a request in the profile's clock, which is negative before the capture; nil is not recorded.
type Request struct {
	ID           string `json:"id"`
	StartNs      int64  `json:"start_ns"`
	ScheduledNs  *int64 `json:"scheduled_ns,omitempty"` // left the queue
	FirstTokenNs *int64 `json:"first_token_ns,omitempty"`
	EndNs        *int64 `json:"end_ns,omitempty"`
	PromptTokens int64  `json:"prompt_tokens"`
	OutputTokens int64  `json:"output_tokens"`
}

// Alignment is the result of Align.
type Alignment struct {
	Requests []Request
	// Iteration is the index into serving.Log.Iterations of each of Analysis.Primary, -1 where none matches.
	Iteration []int
	// RequestErrNs bounds how far requests may be off, -1 when they are not placed.
	RequestErrNs int64
	// MatchedIterations counts the steps that have an iteration.
	MatchedIterations int
	Notes             []string
}

// wallClockErr is what two programs on one machine that read the same system clock may differ by: the capture's time 0 is
// taken once at its start, and the profiler's own clock drifts against the system clock by some parts per million.
const wallClockErr = 1_000_000

// Align places what the run knows. It never fails: Notes say what could not be placed.
func Align(a *step.Analysis, run *serving.Run) *Alignment {
	al := &Alignment{RequestErrNs: -1, Iteration: make([]int, len(a.Primary))}
	for i := range al.Iteration {
		al.Iteration[i] = -1
	}
	if run == nil {
		al.note("no spans and no server log are given")
		return al
	}
	al.requests(a, run)
	al.iterations(a, run)
	return al
}

func (al *Alignment) note(format string, args ...any) {
	al.Notes = append(al.Notes, fmt.Sprintf(format, args...))
}

func (al *Alignment) requests(a *step.Analysis, run *serving.Run) {
	reqs := run.Requests()
	unix := 0
	for _, r := range reqs {
		if r.Clock != serving.ClockUnix {
			continue
		}
		unix++
		if a.P.SessionStartUnixNs == 0 {
			continue
		}
		start := r.StartNS - a.P.SessionStartUnixNs
		at := func(rel int64) *int64 {
			if rel < 0 {
				return nil
			}
			t := start + rel
			return &t
		}
		q := Request{ID: r.ID, StartNs: start, ScheduledNs: at(r.QueueNS), FirstTokenNs: at(r.TTFTNS), EndNs: at(r.E2ENS),
			PromptTokens: r.PromptTokens, OutputTokens: r.OutputTokens}
		if q.EndNs != nil && *q.EndNs < a.P.Window.Start || q.StartNs > a.P.Window.End {
			continue
		}
		al.Requests = append(al.Requests, q)
	}
	switch {
	case unix == 0:
		al.note("no request has a wall-clock time: give OpenTelemetry spans (--otlp-traces-endpoint of the server)")
	case a.P.SessionStartUnixNs == 0:
		al.note("the capture does not record the wall clock of its start: %d requests cannot be placed", unix)
	case len(al.Requests) == 0:
		al.note("none of %d requests lies in the capture", unix)
	default:
		al.RequestErrNs = wallClockErr
		al.note("%d of %d requests placed by wall clock, within about %d ms", len(al.Requests), unix, wallClockErr/1_000_000)
	}
	slices.SortStableFunc(al.Requests, func(x, y Request) int { return int(min(1, max(-1, x.StartNs-y.StartNs))) })
}

// minRun is the shortest sequence of equal compositions that counts as a match: shorter ones occur by chance.
const minRun = 4

// iterations matches the log's iteration lines to the steps: the offset between the two sequences under which most steps
// have an equal composition, at least minRun and four of five. Where several offsets are equally good (a server that
// decodes the same batch for long), the log's time decides, and without it nothing is matched.
func (al *Alignment) iterations(a *step.Analysis, run *serving.Run) {
	if run.Log == nil || len(run.Log.Iterations) == 0 {
		al.note("the server log has no iteration lines: --enable-logging-iteration-details")
		return
	}
	its := make([]int, 0, len(run.Log.Iterations))
	var logged []composition
	for i, it := range run.Log.Iterations {
		if !it.Dummy && it.PrefillRequests+it.DecodeRequests > 0 {
			its = append(its, i)
			logged = append(logged, composition{it.PrefillRequests, it.PrefillTokens, it.DecodeRequests, it.DecodeTokens})
		}
	}
	n := len(a.Primary)
	ran := make([]composition, n)
	for k, s := range a.Primary {
		b := a.Steps[s].Batch
		ran[k] = composition{b.PrefillRequests, b.PrefillTokens, b.DecodeRequests, b.DecodeTokens}
	}
	counts := alike(ran, logged)
	best, hits, ties := 0, -1, 0
	var bestTime int64 = -1
	clock := run.LogStart.Known && a.P.SessionStartUnixNs != 0
	start := run.LogStart.Value - a.P.SessionStartUnixNs // wall clock of the log's time 0 against the capture's, ns
	for off := -n + 1; off < len(its); off++ {
		h := counts[off+n-1]
		away := int64(-1)
		if clock && n > 0 && len(its) > 0 {
			away = run.Log.Iterations[its[max(0, off)]].AtNS + start - a.Steps[a.Primary[max(0, -off)]].GPU.End
			away = max(away, -away)
		}
		switch {
		case h > hits:
			best, hits, ties, bestTime = off, h, 0, away
		case h == hits:
			ties++
			if away >= 0 && (bestTime < 0 || away < bestTime) {
				best, bestTime = off, away
			}
		}
	}
	switch {
	case hits < minRun || hits*5 < min(n, len(its))*4:
		al.note("the log's %d iterations do not match the steps: at most %d of %d are alike", len(its), max(0, hits), n)
		return
	case ties > 0 && bestTime < 0:
		al.note("the log's iterations match the steps at %d places and nothing tells which one is right", ties+1)
		return
	}
	for k := range n {
		if i := best + k; i >= 0 && i < len(its) && ran[k].equal(logged[i]) {
			al.Iteration[k] = its[i]
			al.MatchedIterations++
		}
	}
	how := "by what they scheduled"
	if ties > 0 {
		how += fmt.Sprintf(" and by time among %d equal places: off by whole steps within a second", ties+1)
	}
	al.note("%d of %d steps have an iteration of the log, %s", al.MatchedIterations, n, how)
}

// composition is what a step scheduled; tokens are negative where its marker does not say them.
type composition struct{ prefillRequests, prefillTokens, decodeRequests, decodeTokens int64 }

// equal reports whether a step's composition is that of an iteration, as far as the step's is known.
func (c composition) equal(it composition) bool {
	return c.prefillRequests == it.prefillRequests && c.decodeRequests == it.decodeRequests &&
		(c.prefillTokens < 0 || c.prefillTokens == it.prefillTokens) && (c.decodeTokens < 0 || c.decodeTokens == it.decodeTokens)
}

// stretch is a run of equal compositions at positions [from, to).
type stretch struct {
	composition
	from, to int
}

func stretches(list []composition) []stretch {
	var out []stretch
	for i, c := range list {
		if n := len(out); n > 0 && out[n-1].composition == c {
			out[n-1].to++
			continue
		}
		out = append(out, stretch{c, i, i + 1})
	}
	return out
}

// alike counts, for every offset from -len(ran)+1 on, the steps that equal the iteration at their position plus the
// offset. Servers schedule the same for long, so the count goes by stretches: a pair of equal ones adds a trapezoid over
// the offsets, which is four entries of its second difference. Every offset against every step would take seconds for a
// long log.
func alike(ran, logged []composition) []int {
	type requests struct{ prefill, decode int64 }
	of := map[requests][]stretch{}
	for _, l := range stretches(logged) {
		k := requests{l.prefillRequests, l.decodeRequests}
		of[k] = append(of[k], l)
	}
	n := len(ran)
	counts := make([]int, n+len(logged)+1)
	for _, r := range stretches(ran) {
		for _, l := range of[requests{r.prefillRequests, r.decodeRequests}] {
			if !r.equal(l.composition) {
				continue
			}
			counts[l.from-r.to+n]++
			counts[l.from-r.from+n]--
			counts[l.to-r.to+n]--
			counts[l.to-r.from+n]++
		}
	}
	sum, slope := 0, 0
	for i, d := range counts {
		slope += d
		sum += slope
		counts[i] = sum
	}
	return counts
}

// At returns the requests that were running during the span of step s: scheduled before its end and not finished before
// its start.
func (al *Alignment) At(s *step.Step) []Request {
	var out []Request
	for _, q := range al.Requests {
		from := q.StartNs
		if q.ScheduledNs != nil {
			from = *q.ScheduledNs
		}
		if from < s.GPU.End && (q.EndNs == nil || *q.EndNs >= s.GPU.Start) {
			out = append(out, q)
		}
	}
	return out
}
