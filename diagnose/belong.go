package diagnose

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/step"
)

// Limits of what may differ between a capture and a benchmark of the same load.
const (
	// gapBelowBusy is the share of the GPU's work per step below which a token gap cannot be one of these steps: GPU work
	// repeats within 2 %, and the batch of the benchmark's median step may be a little smaller.
	gapBelowBusy = 0.85
	// busyBound is the GPU's share of a step from which on the host cannot stretch it.
	busyBound = 0.90
	// gapAboveStep is how many times a decode step that the GPU fills the token gap of as many clients may be: contexts grow
	// and clocks fall during a run, and neither makes a step half as long again.
	gapAboveStep = 1.5
	// slowerThanStep is the same from which on it is told: GPU-bound servers repeat within 3 %.
	slowerThanStep = 1.1
	// otherLoad is how often a count of the server may exceed the client's before it is no longer the same load.
	otherLoad = 2.0
	// moreThanFits is how far the client's averages may exceed what the server or the client itself can hold.
	moreThanFits = 1.25
)

// belong finds evidence that is not of this capture. What contradicts the capture is left out of every rule, and the
// capture's quality says so; the capture itself is always believed.
func (c *Context) belong() {
	if c.Run == nil {
		return
	}
	c.engineWhy = c.foreignEngine()
	if c.engineWhy != "" {
		c.Engine = serving.EngineInfo{Name: c.Engine.Name}
	}
	c.benchWhy = c.foreignBench()
	c.deltaWhy = c.foreignMetrics()
}

// foreignEngine says what shows that log or command line are of another server, "" when nothing does.
func (c *Context) foreignEngine() string {
	e := c.Engine
	if c.A.Engine != "" && e.Name.Known && !strings.EqualFold(c.A.Engine, e.Name.Value) {
		return fmt.Sprintf("the engine is %s there, and the capture's step markers are those of %s", e.Name.Value, c.A.Engine)
	}
	var requests, tokens int64
	graphs := false
	for _, i := range c.A.Primary {
		s := &c.A.Steps[i]
		requests, tokens = max(requests, s.Batch.Requests()), max(tokens, s.Batch.Tokens())
		graphs = graphs || s.GraphLaunches > 0 || s.GraphKernels > 0
	}
	if m := e.MaxNumSeqs; m.Known && m.Value > 0 && requests > m.Value && !assumed(m.Source) {
		return fmt.Sprintf("max-num-seqs is %d there, and a step of the capture runs %d requests", m.Value, requests)
	}
	if m := e.MaxNumBatchedTokens; m.Known && m.Value > 0 && tokens > m.Value && !assumed(m.Source) {
		return fmt.Sprintf("max-num-batched-tokens is %d there, and a step of the capture holds %d tokens", m.Value, tokens)
	}
	if v := e.EnforceEager; v.Known && v.Value && graphs {
		return "enforce-eager is on there, and steps of the capture launch CUDA graphs"
	}
	// Without shared prefixes every request needs room for its own prompt.
	if kv, in := e.KVCacheTokens, c.promptLen(); kv.Known && kv.Value > 0 && in > 0 && e.PrefixCaching.Known && !e.PrefixCaching.Value {
		if n := c.Batch(); n > 1 && float64(n-1)*in > float64(kv.Value) {
			return fmt.Sprintf("the KV cache holds %d tokens there, and a step of the capture decodes %d requests with prompts of %.0f tokens", kv.Value, n, in)
		}
	}
	if v := e.Version; v.Known && c.A.Engine == "vLLM" {
		if minor, ok := vllmMinor(v.Value); ok {
			if style, since, until := c.markerStyle(); style != "" && (minor < since || minor > until) {
				return fmt.Sprintf("the version is %s there, and the capture's step markers (%s) are of 0.%d%s", v.Value, style, since, to(until))
			}
		}
	}
	return ""
}

// promptLen returns the mean prompt of the load by the benchmark, whose tokens are the client's own count; 0 = not recorded.
func (c *Context) promptLen() float64 {
	b := c.Run.Bench
	switch {
	case b == nil:
		return 0
	case b.Completed.Or(0) > 0 && b.InputTokens.Known:
		return float64(b.InputTokens.Value) / float64(b.Completed.Value)
	}
	return float64(b.InputLen.Or(0))
}

// assumed reports whether a setting is the default of a version and not something that the server said or was told.
func assumed(s serving.Source) bool {
	return strings.HasPrefix(s.Field, "--") && !strings.HasSuffix(s.Field, ", set")
}

func to(until int) string {
	if until > 1000 {
		return " or later"
	}
	return fmt.Sprintf(" to 0.%d", until)
}

// markerStyle tells which versions of vLLM write step markers as the capture has them: 0.12 and 0.13 count new and cached
// requests, 0.14 and later prefill and decode; the detailed form came with 0.28.
func (c *Context) markerStyle() (style string, since, until int) {
	const open = 1 << 20
	seen := map[profile.StringID]bool{}
	for _, id := range c.P.Ranges.Text {
		if seen[id] {
			continue
		}
		seen[id] = true
		t := c.P.Strings.At(id)
		if _, engine, ok := step.ParseMarker(t); !ok || engine != "vLLM" {
			continue
		}
		switch {
		case strings.HasPrefix(t, "execute_new_"):
			return "execute_new_*", 12, 13
		case strings.Contains(t, "(sq"):
			return "execute_*sq*", 28, open
		default:
			style, since, until = "execute_context_*", 14, open
		}
	}
	return style, since, until
}

// vllmMinor returns the minor version of 0.x releases.
func vllmMinor(v string) (int, bool) {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(v, "v"), "0.")
	if !ok {
		return 0, false
	}
	if i := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		rest = rest[:i]
	}
	n, err := strconv.Atoi(rest)
	return n, err == nil
}

// foreignMetrics says what shows that the metrics are of another run than the benchmark or of another server than the log.
func (c *Context) foreignMetrics() string {
	d, b := c.Run.Delta, c.Run.Bench
	switch {
	case d == nil:
		return ""
	case b == nil:
	case c.benchWhy != "":
		// What contradicts a benchmark that is not of this capture may well be of the capture, and a model's name alone says
		// nothing about metrics that bear another.
		if c.otherModel() == "" && sameRun(d, b) {
			return "they count the same requests as the benchmark, which is left out"
		}
	case b.Completed.Known && b.Completed.Value > 0 && d.Requests.Known:
		client, server := float64(b.Completed.Value), d.Requests.Value
		if server < 0.99*client || server > otherLoad*client+2 {
			return fmt.Sprintf("the client completed %.0f requests and the server counted %.0f between the snapshots", client, server)
		}
		if in := inFlight(d, b); b.MaxConcurrency.Or(0) > 0 && in > moreThanFits*float64(b.MaxConcurrency.Value)+1 {
			return fmt.Sprintf("by the times of its requests %.0f were at the server at once, and the benchmark keeps at most %d in flight", in, b.MaxConcurrency.Value)
		}
	}
	for _, w := range c.Run.Warnings {
		switch w.ID {
		case "engines-differ", "kv-size-differs":
			return w.Text
		case "models-differ":
			if b == nil || w.Source.File != b.Source.File {
				return w.Text
			}
		}
	}
	return ""
}

// inFlight is how many of the client's requests the server held at once on average, by Little's law over the times that the
// metrics give; 0 = not recorded. Means per request do not mind a few requests that the client does not count.
func inFlight(d *serving.MetricsDelta, b *serving.Bench) float64 {
	q, run := d.Queue.Mean(), d.Inference.Mean()
	if !q.Known || !b.Completed.Known || b.DurationS.Or(0) <= 0 {
		return 0
	}
	return (q.Value + max(0, run.Or(0))) * float64(b.Completed.Value) / b.DurationS.Value
}

// sameRun reports whether the metrics are of the benchmark's run: as many requests, and tokens as far apart.
func sameRun(d *serving.MetricsDelta, b *serving.Bench) bool {
	near := func(x, y, by float64) bool { return x <= y*by && y <= x*by }
	if !b.Completed.Known || !d.Requests.Known || !near(float64(b.Completed.Value), d.Requests.Value, 1.05) {
		return false
	}
	m := d.ITL.Mean()
	return !m.Known || !b.ITL.Mean.Known || near(1e3*m.Value, b.ITL.Mean.Value, moreThanFits)
}

// otherModel says that the benchmark names another model than the server, "" where it does not.
func (c *Context) otherModel() string {
	for _, w := range c.Run.Warnings {
		if w.ID == "models-differ" && w.Source.File == c.Run.Bench.Source.File {
			return w.Text
		}
	}
	return ""
}

// foreignBench says what shows that the benchmark is of another server or load.
func (c *Context) foreignBench() string {
	b := c.Run.Bench
	if b == nil {
		return ""
	}
	if why := c.otherModel(); why != "" {
		return why
	}
	itl, tpot := b.ITL.Percentile(50), b.TPOT.Mean
	if why := c.moreThanBatch(b); why != "" {
		return why
	}
	if len(c.Typical.Steps) < 8 || c.specDecode() || !itl.Known || itl.Value <= 0 {
		return ""
	}
	gap := itl.Value
	if tpot.Known {
		// Chunks that reach the client together have no gap between them; the mean per token is free of that.
		gap = max(gap, tpot.Value)
	}
	period, busy := ms(c.Period(&c.Typical).Median), ms(c.Busy(&c.Typical).Median)
	if gap < gapBelowBusy*busy {
		return fmt.Sprintf("its tokens come every %.2f ms, and a decode step of the capture keeps the GPU busy for %.2f ms", gap, busy)
	}
	if gap, ok := c.gapOfSteps(b); ok && gap > gapAboveStep*period {
		return fmt.Sprintf("its tokens come every %.2f ms, and a decode step of the capture takes %.2f ms for as many requests, of which the GPU works %.2f ms: nothing there could wait so long", gap, period, busy)
	}
	return ""
}

// moreThanBatch says what shows that more requests decoded at once in the benchmark than the captured server runs.
func (c *Context) moreThanBatch(b *serving.Bench) string {
	rate, tpot := b.OutputRate.Or(0), b.TPOT.Mean.Or(0)
	if rate <= 0 {
		return ""
	}
	engines := float64(max(1, int64(len(c.engines())), c.Engine.DataParallel.Or(1)))
	if d := c.Run.Delta; d != nil {
		engines = max(engines, float64(len(d.Engines)))
	}
	if m := c.Engine.MaxNumSeqs; m.Known && m.Value > 0 && !assumed(m.Source) {
		if n := rate * tpot / 1e3; n > moreThanFits*float64(m.Value)*engines+1 {
			return fmt.Sprintf("its rate of %.0f tokens/s at %.2f ms per token takes %.0f requests at once, and max-num-seqs is %d", rate, tpot, n, m.Value)
		}
	}
	// A batch that stays below the client's requests is held by something; it could not make more tokens in the benchmark.
	batch, pinned := c.pinnedBatch()
	n, closed := inLoop(b)
	busy := c.Busy(&c.Typical).Median
	if !pinned || !closed || float64(n) <= otherLoad*float64(batch)*engines || c.Batch() != batch || len(c.Typical.Steps) < 8 || busy <= 0 || c.specDecode() {
		return ""
	}
	if most := float64(batch) * engines / (float64(busy) / 1e9); rate > otherLoad*most {
		return fmt.Sprintf("its rate is %.0f tokens/s, and the capture's steps of %s, %.2f ms of GPU work each, make %.0f at most", rate, requests(batch), ms(busy), most)
	}
	return ""
}

// gapOfSteps returns the token gap of a benchmark whose median token must have waited for a decode step like the capture's, ms:
// as many clients as the step has requests, a GPU that fills the step, and too few prompts for most tokens to wait behind
// prefill. ok is false where the gap may be anything.
func (c *Context) gapOfSteps(b *serving.Bench) (gap float64, ok bool) {
	itl, tpot := b.ITL.Percentile(50), b.TPOT.Mean
	n, closed := inLoop(b)
	if len(c.Typical.Steps) < 8 || c.specDecode() || c.Pipelined() || !closed || !itl.Known || itl.Value <= 0 {
		return 0, false
	}
	period, busy := float64(c.Period(&c.Typical).Median), float64(c.Busy(&c.Typical).Median)
	batch := float64(c.Batch()) * float64(max(1, len(c.engines())))
	in, out := float64(b.InputLen.Or(0)), float64(b.OutputLen.Or(0))
	if k := float64(b.Completed.Or(0)); k > 0 && b.InputTokens.Known && b.OutputTokens.Known {
		in, out = float64(b.InputTokens.Value)/k, float64(b.OutputTokens.Value)/k
	}
	if busy <= busyBound*period || batch <= 0 || math.Abs(float64(n)-batch) > 0.1*batch || in <= 0 || out <= 0 {
		return 0, false
	}
	// While a request decodes, each other client starts about one: so many steps hold prefill at the most.
	budget := float64(max(1, c.Engine.MaxNumBatchedTokens.Or(leastBudget)))
	if float64(n)*math.Ceil(in/budget) > 0.5*out {
		return 0, false
	}
	gap = itl.Value
	if tpot.Known && tpot.Value > 0 {
		gap = min(gap, tpot.Value)
	}
	return gap, true
}

// slowerBench returns the token gap of a benchmark that is slower than the capture's steps allow, though not so much that it
// must be of another run, ms.
func (c *Context) slowerBench() (gap float64, ok bool) {
	b := c.Bench()
	if b == nil {
		return 0, false
	}
	gap, ok = c.gapOfSteps(b)
	return gap, ok && gap > slowerThanStep*ms(c.Period(&c.Typical).Median)
}

// leastBudget is the smallest default of any version of vLLM for the tokens of a step.
const leastBudget = 2048

// Foreign says why log and command line were set aside, "" when they were not.
func (c *Context) Foreign() string { return c.engineWhy }

// log returns the server's log, nil when there is none or it is of another server.
func (c *Context) log() *serving.Log {
	if c.Run == nil || c.engineWhy != "" {
		return nil
	}
	return c.Run.Log
}

// closedLoop returns how many requests the client keeps in flight, and false where the load is not known to be a closed
// loop: with a rate of arrivals the number is only a ceiling.
func (c *Context) closedLoop() (int64, bool) {
	if b := c.Bench(); b != nil {
		return inLoop(b)
	}
	return 0, false
}

func inLoop(b *serving.Bench) (int64, bool) {
	if !b.MaxConcurrency.Known || b.MaxConcurrency.Value <= 0 {
		return 0, false
	}
	if r := b.RequestRate; r.Known && r.Value > 0 && r.Value < 1e6 {
		return 0, false
	}
	return b.MaxConcurrency.Value, true
}

// ClosedLoop returns how many requests the client keeps in flight; ok is false where arrivals set the pace or it is not
// recorded.
func (c *Context) ClosedLoop() (n int64, ok bool) { return c.closedLoop() }
