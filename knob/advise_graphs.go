package knob

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/step"
)

// graphCeiling is the largest batch, in tokens, for which vLLM captures CUDA graphs by default.
func (a *adviser) graphCeiling() int64 {
	if a.c.Sheet.ComputeMajor == 10 && a.Engine.AtLeast("0.28.0") {
		return 1024
	}
	return 512
}

// graphsTop returns the largest batch, in tokens, that has a CUDA graph; ok is false where it is not known.
func (a *adviser) graphsTop() (top int64, ok bool) {
	s := a.c.Engine.CaptureSizes
	if !s.Known || len(s.Value) == 0 {
		return 0, false
	}
	return slices.Max(s.Value), true
}

// graphsFor says what a batch of n needs so that its steps keep their CUDA graph; "" when they have one, or when no step
// has one now.
func (a *adviser) graphsFor(n int64) string {
	if eager, known := a.c.Eager(); known && eager {
		return ""
	}
	top, ok := a.graphsTop()
	if !ok {
		top = a.graphCeiling()
	}
	if n <= top {
		return ""
	}
	return fmt.Sprintf("CUDA graphs for batches of %d (%s): larger ones than %d are launched kernel by kernel, which a host-bound step pays dearly", n, a.graphOption(n), top)
}

// graphsForCap is graphsFor for a batch of n under a new cap on running requests: where nobody chose the sizes, vLLM
// captures up to twice the cap, so a larger cap brings its graphs along.
func (a *adviser) graphsForCap(n, limit int64) string {
	if a.graphsFollowCap() && n <= min(2*limit, a.graphCeiling()) {
		return ""
	}
	return a.graphsFor(n)
}

// graphsFollowCap tells whether the captured sizes come from the cap: no option set them, and the largest is the one that
// the cap gives.
func (a *adviser) graphsFollowCap() bool {
	for _, n := range []string{"--cudagraph-capture-sizes", "--max-cudagraph-capture-size", "--cuda-graph-sizes", "--compilation-config"} {
		if a.unset(n) != holds {
			return false
		}
	}
	top, known := a.graphsTop()
	limit, set := a.currentInt("--max-num-seqs")
	return known && set && top == min(2*limit, a.graphCeiling())
}

// graphOption names the option that extends CUDA graphs to n tokens as the engine's version has it.
func (a *adviser) graphOption(n int64) string {
	ch := a.graphChange(n)
	return ch.name + " " + ch.to
}

// graphChange extends the captured sizes to n tokens: the list that was given, else the largest size, else a list.
func (a *adviser) graphChange(n int64) change {
	ch := change{name: "--max-cudagraph-capture-size", to: fmt.Sprint(n)}
	s, given := a.Settings.Ints("--cudagraph-capture-sizes")
	if !given && AvailableName(ch.name, a.Engine).Safe() {
		return ch
	}
	ch.name = "--compilation-config.cudagraph_capture_sizes"
	var list []string
	last := int64(0)
	for _, v := range s {
		if int64(v) < n {
			list, last = append(list, fmt.Sprint(v)), max(last, int64(v))
		}
	}
	// Batches are padded to the next size, so the sizes between must not be far apart.
	for k := powerOfTwo(last + 1); k < n; k *= 2 {
		list = append(list, fmt.Sprint(k))
	}
	ch.to = "[" + strings.Join(append(list, fmt.Sprint(n)), ",") + "]"
	return ch
}

// captured reports whether the engine recorded CUDA graphs at all: some step launches one, or the capture saw them made.
func (a *adviser) captured() bool {
	for _, l := range a.c.A.Lifecycle {
		if l.Phase == step.PhaseGraphCapture {
			return true
		}
	}
	for _, i := range a.c.A.Primary {
		if s := &a.c.A.Steps[i]; s.GraphLaunches > 0 || s.GraphKernels > 0 {
			return true
		}
	}
	return false
}

// powerOfTwo returns the smallest power of two that is not below n.
func powerOfTwo(n int64) int64 {
	to := int64(1)
	for to < n {
		to *= 2
	}
	return to
}

// captureSizes proposes graphs for decode batches that run without one because they are larger than the largest captured
// size.
func (a *adviser) captureSizes() {
	a.decideGraphs()
	batch := a.c.Batch()
	if batch <= 0 {
		return
	}
	top, known := a.graphsTop()
	if known && batch <= top {
		return
	}
	ch := a.graphChange(powerOfTwo(batch))
	ch.predict, ch.why = a.graphGain(), "the launches of the model's layers cannot be told from the others in this capture"
	if known {
		ch.from = fmt.Sprint(top)
		ch.text = fmt.Sprintf("Capture CUDA graphs up to %d tokens: decode batches of %d are larger than the largest captured size, %d, and run without a graph.", powerOfTwo(batch), batch, top)
	} else {
		ch.text = fmt.Sprintf("Capture CUDA graphs up to %d tokens: the engine made graphs, and decode batches of %d run without one.", powerOfTwo(batch), batch)
		ch.only = "the largest captured size is below the batch (not known: the server's log tells)"
		if !a.captured() {
			ch.text = fmt.Sprintf("Capture CUDA graphs up to %d tokens: decode batches of %d run without one, and vLLM captures none above %d by itself.", powerOfTwo(batch), batch, a.graphCeiling())
			ch.only = "CUDA graphs are on, without --enforce-eager (not known)"
		}
	}
	a.propose(ch)
}

// graphsForPrefill proposes graphs for steps with prefill that are launched kernel by kernel though they are small enough
// to have one.
func (a *adviser) graphsForPrefill() {
	a.decideGraphs()
	c := a.c
	var tokens, wait []int64
	for _, g := range []*diagnose.Group{&c.Prefill, &c.Mixed} {
		for _, i := range g.Steps {
			s := &c.A.Steps[i]
			if n := s.Batch.Tokens(); n > 0 && n <= a.graphCeiling() && s.GraphLaunches == 0 {
				tokens, wait = append(tokens, n), append(wait, s.Budget[step.IdleLaunch])
			}
		}
	}
	top, known := a.graphsTop()
	if len(tokens) == 0 || known && slices.Max(tokens) <= top || !a.captured() {
		return
	}
	to := min(a.graphCeiling(), powerOfTwo(slices.Max(tokens)))
	ch := a.graphChange(to)
	ch.text = fmt.Sprintf("Capture CUDA graphs up to %d tokens: steps with prefill of %d tokens run without one and wait %.1f ms for launches each.",
		to, medianInt(tokens), float64(medianInt(wait))*a.stretch()/1e6)
	if known {
		ch.from = fmt.Sprint(top)
	}
	ch.shown = true
	ch.why = "how many such steps a first token waits for is not recorded"
	a.propose(ch)
}

// decideGraphs keeps the catalogue from proposing what was decided here.
func (a *adviser) decideGraphs() {
	for _, n := range []string{"--cudagraph-capture-sizes", "--max-cudagraph-capture-size", "--cuda-graph-sizes"} {
		a.decided[n] = true
	}
}
