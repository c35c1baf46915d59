package step

import (
	"fmt"
	"slices"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
)

// findWithoutMarkers looks for steps in what every engine does once per step: it samples; it launches a graph; it
// pauses. Each is weaker evidence than the one before, and Rank.Why says which one was used.
func (a *Analysis) findWithoutMarkers(ri int) {
	r := &a.Ranks[ri]
	skip := a.captureScopes(r)
	serving := make([]int32, 0, len(r.Ops))
	for j, o := range r.Ops {
		if len(skip) > 0 {
			if c := a.call(o); c != profile.None && interval.Busy(skip, interval.Span{Start: a.P.Calls.Start[c], End: a.P.Calls.Start[c] + 1}) > 0 {
				continue
			}
		}
		serving = append(serving, int32(j))
	}
	for _, try := range []struct {
		source Source
		cut    func(*Rank, []int32) []int32
	}{{ByKernels, a.cutBySampling}, {ByGraphs, a.cutByGraphs}, {ByGaps, a.cutByGaps}} {
		starts := try.cut(r, serving)
		if len(starts) < 3 {
			continue
		}
		r.Source = try.source
		r.Why = fmt.Sprintf("no step markers; %d steps from %s", len(starts), try.source)
		a.buildFromStarts(ri, serving, starts)
		a.launchThread(r)
		return
	}
	r.Source = NoSteps
	r.Why = "no step markers, and neither sampling kernels, graph launches nor gaps that repeat"
}

// captureScopes returns the time of graph-capture scopes of the rank's process: they are not serving.
func (a *Analysis) captureScopes(r *Rank) interval.Set {
	var spans []interval.Span
	known := map[profile.StringID]bool{}
	for i, text := range a.P.Ranges.Text {
		is, ok := known[text]
		if !ok {
			is = IsCaptureMarker(a.P.Strings.At(text))
			known[text] = is
		}
		if is && a.P.Ranges.Dur[i] > 0 && a.P.Threads[a.P.Ranges.Thread[i]].Process == r.Process {
			spans = append(spans, interval.Span{Start: a.P.Ranges.Start[i], End: a.P.Ranges.Start[i] + a.P.Ranges.Dur[i]})
		}
	}
	return interval.Union(spans)
}

// cutBySampling starts a step at the largest pause between the last sampling kernel of a step and the next work of the
// model. It returns positions in serving.
func (a *Analysis) cutBySampling(r *Rank, serving []int32) []int32 {
	var starts []int32
	sampled := -1
	ends := a.endKernels()
	for k, j := range serving {
		o := r.Ops[j]
		switch a.role(o, ends) {
		case sampling:
			sampled = k
		case model:
			if sampled < 0 {
				if len(starts) == 0 {
					starts = append(starts, a.back(r, serving, k, 0))
				}
				continue
			}
			starts = append(starts, a.back(r, serving, k, sampled+1))
			sampled = -1
		}
	}
	return starts
}

// back returns the position in (low-1, k] that follows the largest idle pause: where the step that reaches the model at
// k began its preparation.
func (a *Analysis) back(r *Rank, serving []int32, k, low int) int32 {
	best, widest := k, int64(-1)
	for i := k; i >= low && i > 0; i-- {
		gap := a.span(r.Ops[serving[i]]).Start - a.span(r.Ops[serving[i-1]]).End
		if gap > widest {
			best, widest = i, gap
		}
	}
	return int32(best)
}

type opRole uint8

const (
	neither opRole = iota
	sampling
	model
)

// endKernels tells, by function, which kernels run once at the end of a step. Softmax, sort and top-k also route
// experts, so they count only where no kernel of a sampler proper is recorded.
func (a *Analysis) endKernels() []bool {
	ends := make([]bool, len(a.P.Funcs))
	any := false
	for f := range ends {
		ends[f] = kernel.BoundaryOf(a.P.Strings.At(a.P.Funcs[f].Name)) == kernel.StepEnd
		any = any || ends[f]
	}
	if !any {
		for f := range ends {
			ends[f] = a.Classes[f].Stage == kernel.Sampling
		}
	}
	return ends
}

// role tells sampling from model work; everything else may be on either side of a step's edge.
func (a *Analysis) role(o Op, ends []bool) opRole {
	if o.Kind() == OpGraph {
		return model
	}
	if o.Kind() != OpKernel {
		return neither
	}
	i := o.Index()
	if a.P.Kernels.GraphNode[i] != 0 {
		return model
	}
	f := a.P.Kernels.Func[i]
	if ends[f] {
		return sampling
	}
	switch a.Classes[f].Stage {
	case kernel.Attention, kernel.KVWrite, kernel.Rope, kernel.Activation, kernel.Norm:
		return model
	}
	return neither
}

// cutByGraphs starts a step at every graph launch, after the largest pause since the graph before. It only holds where
// a whole step is one graph, so it abstains when launches come in bursts.
func (a *Analysis) cutByGraphs(r *Rank, serving []int32) []int32 {
	var starts []int32
	prevCall, prevAt := profile.None, 0
	for k, j := range serving {
		o := r.Ops[j]
		graph := o.Kind() == OpGraph || (o.Kind() == OpKernel && a.P.Kernels.GraphNode[o.Index()] != 0)
		if !graph {
			continue
		}
		c := a.call(o)
		if o.Kind() == OpKernel && c == prevCall && c != profile.None {
			prevAt = k
			continue
		}
		starts = append(starts, a.back(r, serving, k, prevAt+1))
		prevCall, prevAt = c, k
	}
	if len(starts) < 3 {
		return nil
	}
	period := make([]int64, 0, len(starts))
	for i := 1; i < len(starts); i++ {
		period = append(period, a.span(r.Ops[serving[starts[i]]]).Start-a.span(r.Ops[serving[starts[i-1]]]).Start)
	}
	if m := median(period); m < 500_000 { // half a millisecond: pieces of a step, not steps
		return nil
	}
	return starts
}

// cutByGaps starts a step after every pause that is long against the usual one.
func (a *Analysis) cutByGaps(r *Rank, serving []int32) []int32 {
	if len(serving) < 16 {
		return nil
	}
	var gaps []int64
	end := a.span(r.Ops[serving[0]]).End
	gap := make([]int64, len(serving))
	for k, j := range serving[1:] {
		s := a.span(r.Ops[j])
		if g := s.Start - end; g > 0 {
			gaps = append(gaps, g)
			gap[k+1] = g
		}
		end = max(end, s.End)
	}
	if len(gaps) < 8 {
		return nil
	}
	slices.Sort(gaps)
	limit := max(50_000, 8*gaps[len(gaps)/2])
	starts := []int32{0}
	for k := range gap {
		if gap[k] > limit {
			starts = append(starts, int32(k))
		}
	}
	return starts
}

func (a *Analysis) buildFromStarts(ri int, serving, starts []int32) {
	r := &a.Ranks[ri]
	bs := make([]boundary, len(starts))
	last := a.lastEnd(r, serving, starts)
	for i, s := range starts {
		o := r.Ops[serving[s]]
		bs[i] = boundary{host: a.span(o).Start, batch: NotRecorded}
		if c := a.call(o); c != profile.None {
			bs[i].host = a.P.Calls.Start[c]
		}
		end := last
		if i+1 < len(starts) {
			end = int(starts[i+1])
		}
		for k := int(s); k < end; k++ {
			r.OpStep[serving[k]] = int32(i)
		}
	}
	a.buildSteps(ri, bs)
	for i, s := range r.Steps {
		st := &a.Steps[s]
		st.Host = interval.Span{Start: bs[i].host, End: st.GPU.End}
		if i+1 < len(bs) {
			st.Host.End = max(bs[i].host, bs[i+1].host)
		}
	}
}

// launchThread sets the thread that launched most of the rank's work.
func (a *Analysis) launchThread(r *Rank) {
	n := map[int32]int{}
	last := profile.None
	for _, o := range r.Ops {
		if c := a.call(o); c != profile.None && c != last {
			n[a.P.Calls.Thread[c]]++
			last = c
		}
	}
	best := 0
	for t, c := range n {
		if c > best || (c == best && t < r.Thread) {
			best, r.Thread = c, t
		}
	}
}
