package diagnose

import (
	"fmt"
	"slices"

	"github.com/stepscope/stepscope/step"
)

var prefillInterference = Rule{
	ID: PrefillInterference, Title: "Decoding requests wait behind prefill chunks in the same step",
	Measures: "Mixed steps that last at least three times a pure decode step, weighted by the requests that decode in them: the " +
		"part of all decode time (requests times step) that these requests spend beyond a pure decode step. From 10 % on. The " +
		"benchmark's mean token gap against its median says the same of the whole run.",
	Wrong: "The work must be done at some time: a smaller budget moves it, it does not remove it. A window that falls into a " +
		"burst overstates it, one between bursts shows none; the benchmark's p99 inter-token latency decides.",
	Fix:   "A smaller max-num-batched-tokens (shorter stalls, slower prefill), a limit for long prompts, disaggregated prefill.",
	Needs: "Mixed and decode steps with their composition.", Source: "step composition",
	Check: func(c *Context) ([]Finding, string) {
		if len(c.Mixed.Steps) == 0 {
			return nil, ""
		}
		if len(c.Decode.Steps) < 3 {
			return nil, "too few pure decode steps to compare with"
		}
		base := c.Period(&c.Decode).Median
		var excess, all float64
		long := c.longMixed()
		for _, i := range c.A.Primary {
			s := &c.A.Steps[i]
			if s.Batch.DecodeRequests > 0 {
				all += float64(s.Batch.DecodeRequests) * float64(s.Wall())
			}
		}
		for _, i := range long.Steps {
			s := &c.A.Steps[i]
			excess += float64(s.Batch.DecodeRequests) * float64(s.Wall()-base)
		}
		part := 0.0
		if all > 0 {
			part = excess / all
		}
		run, known := c.stalled()
		if part < 0.10 && (run < 0.10 || !c.longTail()) {
			return nil, ""
		}
		// Where prefill is most of the server's work, moving it about returns no wall time: then it is latency only.
		share := 0.0
		if max(ratio(c.Prefill.Wall+c.Mixed.Wall, c.Wall), run) < 0.5 {
			share = max(part, run)
		}
		hold := "hold"
		if len(long.Steps) == 1 {
			hold = "holds"
		}
		f := finding(share, likely, "Decoding stalls behind prefill: %s of %.0f ms against %.1f ms for a decode step %s %s of decode time",
			count(len(long.Steps), "mixed step"), ms(c.Period(&long).Median), ms(base), hold, percent(part))
		if known && run > part {
			f.Summary += fmt.Sprintf(" in this window, and %s over the whole benchmark", percent(run))
		}
		f.Summary += "."
		// What returns latency but no wall time is no alarm of the first rank.
		f.Severity = max(f.Severity, min(Medium, severityOf(max(part, run)/2)))
		f.Evidence = []Evidence{
			{"mixed step, median", ms(c.Period(&long).Median), "ms", c.rowsOf(&long)},
			{"pure decode step, median", ms(base), "ms", c.rowsOf(&c.Decode)},
			{"decode time behind prefill", 100 * part, "%", "requests x step time"},
			{"tokens in these steps, median", float64(c.quantiles(&long, func(s *step.Step) (int64, bool) { return s.Tokens(), s.Tokens() >= 0 }).Median), "tokens", c.rowsOf(&long)},
		}
		if b := c.Bench(); b != nil {
			p50, p99 := b.ITL.Percentile(50), b.ITL.Percentile(99)
			if p50.Known && p99.Known && p50.Value > 0 {
				f.Evidence = append(f.Evidence, Evidence{"p99 over median inter-token latency, unprofiled", p99.Value / p50.Value, "x", p99.Source.String()})
				if c.longTail() {
					f.Confidence = sure
				} else {
					f.Confidence = perhaps
					f.Severity = min(f.Severity, Low)
					f.Share = min(f.Share, severityFrom[Medium]-0.001)
				}
			}
		}
		return []Finding{f}, ""
	},
}

// longMixed returns the mixed steps that last at least three times a pure decode step.
func (c *Context) longMixed() Group {
	base := c.Period(&c.Decode).Median
	return c.group(func(s *step.Step) bool {
		return s.Phase == step.Mixed && !s.Cold && !s.Open && s.Batch.DecodeRequests > 0 && base > 0 && s.Wall() >= 3*base
	})
}

// longTail reports whether the benchmark's slowest token gaps are long enough to be mixed steps.
func (c *Context) longTail() bool {
	b := c.Bench()
	if b == nil {
		return false
	}
	p50, p99 := b.ITL.Percentile(50), b.ITL.Percentile(99)
	return p50.Known && p99.Known && p50.Value > 0 && p99.Value > 5*p50.Value
}

// stalled is the part of decode time that the benchmark's clients spent behind prefill: the mean token gap against the
// median one. It needs a median that is a pure decode step of the capture, and long mixed steps in the capture, as a
// long gap can have other causes.
func (c *Context) stalled() (part float64, ok bool) {
	b := c.Bench()
	if b == nil || len(c.Decode.Steps) < 3 || c.specDecode() || len(c.longMixed().Steps) == 0 {
		return 0, false
	}
	median, mean := b.ITL.Percentile(50), b.ITL.Mean
	base := ms(c.Period(&c.Decode).Median)
	if !median.Known || !mean.Known || median.Value <= 0 || mean.Value < median.Value || median.Value > 1.15*base || median.Value < 0.85*base {
		return 0, false
	}
	return 1 - median.Value/mean.Value, true
}

// decodePart is the share of the time that pure decode steps take: the window's, or the whole run's where the benchmark
// shows that the window holds less prefill than usual.
func (c *Context) decodePart() float64 {
	part := ratio(c.Decode.Wall, c.Wall)
	if run, ok := c.stalled(); ok {
		part = min(part, 1-run)
	}
	return part
}

var prefillChunkLimited = Rule{
	ID: PrefillChunkLimited, Title: "The token budget cuts prompts into many small steps",
	Measures: "Steps with prefill at the token budget: at least three of five within 3 % of max_num_batched_tokens, or of the " +
		"largest step where the setting is not known; the budget being below the count at which the GPU's arithmetic is " +
		"filled. It is the time that the same tokens would save in filled steps. Waiting requests are evidence, no condition.",
	Wrong: "A budget at the ridge or above costs little. A small budget can be wanted to protect inter-token latency; the " +
		"advice states the trade.",
	Fix:   "A larger max-num-batched-tokens.",
	Needs: "Tokens of the steps.", Source: "step composition; setting max_num_batched_tokens",
	Check: func(c *Context) ([]Finding, string) {
		g := c.group(func(s *step.Step) bool {
			return !s.Cold && !s.Open && (s.Phase == step.Prefill || s.Phase == step.Mixed) && s.Tokens() > 0
		})
		if len(g.Steps) < 4 {
			return nil, ""
		}
		var tokens []int64
		for _, i := range g.Steps {
			tokens = append(tokens, c.A.Steps[i].Tokens())
		}
		budget := slices.Max(tokens)
		if m := c.Engine.MaxNumBatchedTokens; m.Known && m.Value > 0 {
			budget = m.Value
		}
		at := 0
		for _, t := range tokens {
			if t*100 >= budget*97 && t <= budget {
				at++
			}
		}
		if at*5 < len(tokens)*3 {
			return nil, ""
		}
		full := fullPrefillTokens(c.RidgeTokens())
		if float64(budget) >= full {
			return nil, ""
		}
		// Per-token time of the full small steps against what a filled step reaches: the fixed part of a step (reading
		// the weights, launching) is paid once per step, so it shrinks with the number of steps.
		capped := c.group(func(s *step.Step) bool {
			return !s.Cold && !s.Open && (s.Phase == step.Prefill || s.Phase == step.Mixed) && s.Tokens()*100 >= budget*97
		})
		fixed := float64(0)
		if d := c.Period(&c.Decode); d.N >= 3 {
			fixed = float64(d.Median)
		} else {
			fixed = float64(c.perStep(&capped, step.IdleLaunch, step.IdleScheduler, step.IdleDispatch))
		}
		period := float64(c.Period(&capped).Median)
		if period <= 0 {
			return nil, ""
		}
		fixed = min(fixed, period)
		save := fixed / period * (1 - float64(budget)/full)
		share := save * ratio(capped.Wall, c.Wall)
		f := finding(share, likely, "The token budget of %d is hit by %d of %d steps with prefill: prompts are cut into small steps that pay the fixed cost of a step each time.",
			budget, at, len(tokens))
		if c.Engine.MaxNumBatchedTokens.Known {
			f.Confidence = sure
		}
		f.Evidence = []Evidence{
			{"tokens per step at the budget", float64(budget), "tokens", c.rowsOf(&capped)},
			{fmt.Sprintf("steps with prefill at the budget, of %d", len(tokens)), float64(at), "steps", c.rowsOf(&capped)},
			{"their median period", period / 1e6, "ms", c.rowsOf(&capped)},
			{"their share of the wall", 100 * ratio(capped.Wall, c.Wall), "%", c.rowsOf(&capped)},
			{"tokens that fill a step on this GPU", full, "tokens", "4 x ridge of the roofline"},
		}
		f.Evidence = append(f.Evidence, c.waiting().evidence...)
		return []Finding{f}, ""
	},
}

// fullPrefillTokens is the number of tokens from which larger steps gain little: four times the ridge keeps the weights'
// reading below a quarter of the arithmetic.
func fullPrefillTokens(ridge float64) float64 { return 4 * ridge }

var coldStart = Rule{
	ID: ColdStart, Title: "First-use effects fall into serving",
	Measures: "Steps during which a host call took 2 ms or more and 50 times its function's median, or device code was loaded: " +
		"their wall beyond the median of their phase. They are kept out of the steady state everywhere else.",
	Wrong: "A thread that lost its core for milliseconds looks alike.",
	Fix:   "Warm up with the shapes in use before measuring; capture later; more CUDA graph sizes.",
	Needs: "API calls.", Source: "API table",
	Check: func(c *Context) ([]Finding, string) {
		var lost int64
		n, compared := 0, 0
		first := -1
		usual := map[step.Phase]int64{}
		for _, i := range c.A.Primary {
			s := &c.A.Steps[i]
			if !s.Cold {
				continue
			}
			n++
			if first < 0 {
				first = int(i)
			}
			m, ok := usual[s.Phase]
			if !ok {
				g := c.group(func(t *step.Step) bool { return !t.Cold && !t.Open && t.Phase == s.Phase })
				m = c.Period(&g).Median
				usual[s.Phase] = m
			}
			if m > 0 {
				lost += max(0, s.Wall()-m)
				compared++
			}
		}
		if n == 0 {
			return nil, ""
		}
		share := ratio(lost, c.Wall)
		s := &c.A.Steps[first]
		f := finding(share, likely, "First-use effects (%s) fall into %d of %s, which the steady state leaves out.", s.ColdWhy, n, count(len(c.A.Primary), "step"))
		if share < 0.03 {
			f.Severity = Info
		}
		row := fmt.Sprintf("first: step %d", s.Index)
		switch {
		case compared == 0:
			// Nothing to hold them against: their whole time is all that is known.
			f.Summary += " What they cost is not known, as no other step of their kind is in the window."
			f.Evidence = []Evidence{{"steps with first-use effects", float64(n), "steps", row}}
		case lost == 0:
			f.Summary += " They cost nothing that shows: none of these steps took longer than usual."
			f.Evidence = []Evidence{{"steps with first-use effects, none longer than usual", float64(compared), "steps", row}}
		default:
			f.Evidence = []Evidence{{"time beyond the usual step", ms(lost), "ms", row}}
		}
		return []Finding{f}, ""
	},
}
