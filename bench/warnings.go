package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/stepscope/stepscope/stat"
)

// addWarnings says what the reader of the result has to know.
func (r *Result) addWarnings(run *runner) {
	r.Warnings = append(r.Warnings, run.warnings...)
	warn := func(id, format string, args ...any) {
		r.Warnings = append(r.Warnings, Warning{ID: id, Text: fmt.Sprintf(format, args...)})
	}
	if r.Interrupted {
		warn("interrupted", "the run was stopped: %d of %d requests were under way and %d not started; the figures are of the %d that completed",
			r.Unfinished, r.NumPrompts, r.NotStarted, r.Completed)
	}
	if r.Failed > 0 {
		var kinds []string
		for k, n := range r.Errors {
			kinds = append(kinds, fmt.Sprintf("%d %s", n, k))
		}
		slices.Sort(kinds)
		warn("failed", "%d of %d requests failed (%s); no figure but their number contains them", r.Failed, r.NumPrompts, strings.Join(kinds, ", "))
	}
	if run.skipped > 0 {
		warn("prompts-skipped", "%d entries of the prompt file have no usable prompt", run.skipped)
	}
	if n := len(run.filePrompt); n > 0 {
		if n < r.NumPrompts+r.Warmup {
			warn("prompts-repeat", "%d prompts for %d requests and %d warm-up requests: repeated ones hit the prefix cache", n, r.NumPrompts, r.Warmup)
		}
		if run.cfg.OutputLen == 0 && slices.ContainsFunc(run.filePrompt, func(p prompt) bool { return p.guessed }) {
			warn("output-guessed", "output lengths are guessed from the recorded answers at four characters a token")
		}
	}
	r.warnTokens(warn)
	r.warnClient(run, warn)
	r.warnTail(warn)
}

// warnTail names the percentiles that rest on fewer than five values above them.
func (r *Result) warnTail(warn func(id, format string, args ...any)) {
	var names []string
	var last string
	for _, p := range r.Percentiles {
		if w, ok := stat.TailWarning(r.Completed, p); ok && p > 90 {
			names = append(names, fmt.Sprintf("p%v", p))
			last = w.Text
		}
	}
	switch n := len(names); n {
	case 0:
	case 1:
		warn(stat.WarnTail, "%s: of TTFT, TPOT and E2E it is little more than the largest value", last)
	default:
		warn(stat.WarnTail, "%s and %s of TTFT, TPOT and E2E are little more than the largest of %d values (%s)", strings.Join(names[:n-1], ", "), names[n-1], r.Completed, last)
	}
}

// warnTokens is about what was asked for and what came.
func (r *Result) warnTokens(warn func(id, format string, args ...any)) {
	if k := r.TokensPerChunk(); k > 1.005 {
		warn("tokens-per-chunk", "chunks hold %.2f tokens on average: ITL is between chunks, not tokens; TPOT is per token", k)
	}
	var short, early, cached, input, withInput, uncounted int
	for _, q := range r.Requests {
		if !q.OK() {
			continue
		}
		if q.OutputTokens < q.Asked {
			short++
		}
		if q.EarlyStop {
			early++
		}
		if !q.Counted {
			uncounted++
		}
		if q.InputTokens >= 0 {
			withInput++
			input += q.InputTokens
			cached += max(q.CachedTokens, 0)
		}
	}
	if short > 0 {
		warn("short-output", "%d of %d outputs are shorter than asked for (%d by a stop token)", short, r.Completed, early)
	}
	if uncounted > 0 && uncounted < r.Completed {
		warn("no-usage", "the server counted no tokens for %d of %d requests: their chunks are taken for one token each", uncounted, r.Completed)
	}
	if cached > 0 && input > 0 {
		warn("prefix-cache", "%.0f%% of the input tokens came from the prefix cache", 100*float64(cached)/float64(input))
	}
	if withInput > 0 && r.InputLen > 0 {
		if mean := float64(input) / float64(withInput); math.Abs(mean-float64(r.InputLen)) > 0.05*float64(r.InputLen)+4 {
			warn("input-length", "prompts have %.0f tokens on average, %d were asked for", mean, r.InputLen)
		}
	}
}

// warnClient is about the client's own part in the figures.
func (r *Result) warnClient(run *runner, warn func(id, format string, args ...any)) {
	o := r.Overhead
	if o.ShareOfITL > 0.01 {
		warn("client-overhead", "handling a chunk takes the client %.1f us, %.1f%% of the mean ITL", o.Handling.P50NS/1e3, 100*o.ShareOfITL)
	}
	if o.JitterOfITL > 0.1 {
		warn("client-jitter", "waking up takes the client %.0f us in the median and %.0f us at p95, a spread of %.0f%% of the mean ITL: use a less busy machine for single gaps, medians are sound",
			o.WakeLoaded.P50NS/1e3, o.WakeLoaded.P95NS/1e3, 100*o.JitterOfITL)
	}
	if math.IsNaN(o.WakeLoaded.P50NS) {
		warn("client-overhead", "the client's wake-up time could not be measured")
	}
	fresh := 0
	var late []float64
	for _, q := range r.Requests {
		if q.NewConn {
			fresh++
		}
		late = append(late, float64(q.QueueNS))
	}
	if fresh > 0 {
		warn("new-connections", "%d requests had to connect first, which is in their TTFT", fresh)
	}
	if r.Rate > 0 && len(late) > 0 {
		s := stat.NewSample(late, stat.AssumeNothing)
		if p95 := time.Duration(s.Percentile(95, stat.NearestRank)); p95 > 10*time.Millisecond {
			why := "the client was busy"
			if r.Concurrency > 0 {
				why = "the bound on concurrency or a busy client held them back"
			}
			warn("late-arrivals", "p95 of the requests started %v after their time (%s): the load was not what was asked for, and latencies leave that wait out, goodput counts it", p95.Round(time.Millisecond), why)
		}
	}
	if r.Rate == 0 && r.Concurrency > r.NumPrompts {
		warn("concurrency", "%d requests cannot keep %d clients busy", r.NumPrompts, r.Concurrency)
	}
}
