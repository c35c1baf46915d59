package step

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
)

// Lifecycle phase ids.
const (
	PhaseStart        = "start-up"      // process and CUDA start before anything else is recorded
	PhaseLoad         = "load"          // weights to the GPU
	PhaseCompile      = "compile"       // code built or loaded while the GPU waits
	PhaseGraphCapture = "graph-capture" // CUDA graphs recorded and instantiated
	PhaseWarmUp       = "warm-up"       // device work before the first step
	PhaseServing      = "serving"       // steps
	PhaseWaiting      = "waiting"       // no step: no request, or the profiler paused the server
)

// LifecyclePhase is one stretch of the server's life. Phases of different kinds may overlap (compiling goes on during
// graph capture).
type LifecyclePhase struct {
	Phase  string `json:"phase"`
	Start  int64  `json:"start_ns"`
	Dur    int64  `json:"dur_ns"`
	Source string `json:"source"` // what in the capture shows it
}

// Limits of the lifecycle rules.
const (
	waitMin       = 100_000_000   // shortest pause that is told as waiting, ns
	loadBytes     = 1 << 20       // a copy that counts as loading weights
	loadTotal     = 256 << 20     // and how much of them makes a load
	clusterGap    = 5_000_000_000 // events further apart than this are separate phases, ns
	compileMinGap = 200_000_000   // GPU idle longer than this with code being loaded is compiling, ns
)

// lifecycle finds the phases from device work, API calls and graph events. It says only what the capture shows: a
// window that was opened by the engine holds serving and little else.
func (a *Analysis) lifecycle() {
	p := a.P
	add := func(phase string, s interval.Span, source string) {
		if !s.Empty() {
			a.Lifecycle = append(a.Lifecycle, LifecyclePhase{phase, s.Start, s.Dur(), source})
		}
	}
	for _, c := range cluster(graphBuilds(a), clusterGap) {
		add(PhaseGraphCapture, c.span, fmt.Sprintf("%d graph creation events and calls", c.n))
	}
	var loads []interval.Span
	var bytes int64
	for i, b := range p.Copies.Bytes {
		if b >= loadBytes && (p.Copies.Kind[i] == profile.CopyHtoD) {
			loads = append(loads, interval.Span{Start: p.Copies.Start[i], End: p.Copies.Start[i] + p.Copies.Dur[i]})
			bytes += b
		}
	}
	first, last := a.servingBounds()
	for _, c := range cluster(loads, clusterGap) {
		if bytes >= loadTotal && (first.Empty() || c.span.Start < first.Start) {
			add(PhaseLoad, c.span, fmt.Sprintf("%d host-to-device copies of 1 MiB or more", c.n))
		}
	}
	if !first.Empty() {
		a.beforeServing(first, add)
		a.servingPhases(add)
		if p.Window.End-last > waitMin && last > p.Window.Start {
			add(PhaseWaiting, interval.Span{Start: last, End: p.Window.End}, "no step up to the end of the capture")
		}
	}
	slices.SortStableFunc(a.Lifecycle, func(x, y LifecyclePhase) int {
		return cmp.Or(cmp.Compare(x.Start, y.Start), cmp.Compare(x.Phase, y.Phase))
	})
}

func (a *Analysis) servingBounds() (first interval.Span, last int64) {
	for _, s := range a.Primary {
		st := &a.Steps[s]
		if first.Empty() || st.GPU.Start < first.Start {
			first = st.GPU
		}
		last = max(last, st.GPU.End)
	}
	return first, last
}

// beforeServing tells warm-up, compiling and the wait before the first step.
func (a *Analysis) beforeServing(first interval.Span, add func(string, interval.Span, string)) {
	p := a.P
	var work []interval.Span
	for ri := range a.Ranks {
		r := &a.Ranks[ri]
		for j, o := range r.Ops {
			if s := a.span(o); r.OpStep[j] == profile.None && s.End <= first.Start && o.Kind() != OpCopy {
				work = append(work, s)
			}
		}
	}
	for _, c := range cluster(work, clusterGap) {
		if c.span.Dur() > waitMin/10 && c.n > 32 {
			add(PhaseWarmUp, c.span, fmt.Sprintf("%d device operations before the first step", c.n))
		}
	}
	kinds := a.callKinds()
	var code []interval.Span
	for i, n := range p.Calls.Name {
		if kinds[n] == kernel.APIModuleLoad && p.Calls.Start[i] < first.Start {
			code = append(code, interval.Span{Start: p.Calls.Start[i], End: p.Calls.Start[i] + p.Calls.Dur[i]})
		}
	}
	for _, c := range cluster(code, clusterGap) {
		var busy int64
		for _, s := range a.Busy {
			busy += interval.Busy(s, c.span)
		}
		if c.span.Dur() > compileMinGap && busy*2 < c.span.Dur() {
			add(PhaseCompile, c.span, fmt.Sprintf("%d module loads while the GPU was mostly idle", c.n))
		}
	}
	start := p.Window.Start
	for _, l := range a.Lifecycle {
		if l.Start < first.Start {
			start = max(start, l.Start+l.Dur)
		}
	}
	if first.Start-start > waitMin/10 && start >= p.Window.Start {
		add(PhaseWaiting, interval.Span{Start: start, End: first.Start}, "no step from the start of the capture on")
	}
}

// servingPhases cuts the steps at long waits for requests.
func (a *Analysis) servingPhases(add func(string, interval.Span, string)) {
	var cur interval.Span
	steps := 0
	flush := func() {
		if !cur.Empty() {
			add(PhaseServing, cur, fmt.Sprintf("%d steps by %s", steps, a.source()))
		}
		steps = 0
	}
	for _, s := range a.Primary {
		st := &a.Steps[s]
		wall := st.GPU
		wait := st.Budget[IdleRequests]
		if wait >= waitMin {
			wall.End -= wait
		}
		if steps == 0 {
			cur = wall
		}
		cur.End = max(cur.End, wall.End)
		steps++
		if wait >= waitMin {
			flush()
			add(PhaseWaiting, interval.Span{Start: wall.End, End: st.GPU.End}, "the engine was silent between two steps")
		}
	}
	flush()
}

// source names the weakest evidence that the steps rest on.
func (a *Analysis) source() Source {
	s := NoSteps
	for i := range a.Ranks {
		if a.Ranks[i].Engine0 {
			s = max(s, a.Ranks[i].Source)
		}
	}
	return s
}

// Source returns the weakest evidence that the steps rest on, NoSteps when there are none.
func (a *Analysis) Source() Source { return a.source() }

func graphBuilds(a *Analysis) []interval.Span {
	p := a.P
	var out []interval.Span
	for i := range p.GraphEvents.Start {
		out = append(out, interval.Span{Start: p.GraphEvents.Start[i], End: p.GraphEvents.Start[i] + max(1, p.GraphEvents.Dur[i])})
	}
	kinds := a.callKinds()
	for i, n := range p.Calls.Name {
		if kinds[n] == kernel.APIGraphBuild {
			out = append(out, interval.Span{Start: p.Calls.Start[i], End: p.Calls.Start[i] + max(1, p.Calls.Dur[i])})
		}
	}
	return out
}

type clustered struct {
	span interval.Span
	n    int
}

// cluster groups spans whose distance is at most gap.
func cluster(spans []interval.Span, gap int64) []clustered {
	slices.SortFunc(spans, func(x, y interval.Span) int {
		return cmp.Or(cmp.Compare(x.Start, y.Start), cmp.Compare(x.End, y.End))
	})
	var out []clustered
	for _, s := range spans {
		if n := len(out); n > 0 && s.Start-out[n-1].span.End <= gap {
			out[n-1].span.End = max(out[n-1].span.End, s.End)
			out[n-1].n++
			continue
		}
		out = append(out, clustered{s, 1})
	}
	return out
}
