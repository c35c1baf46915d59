package stat

import (
	"fmt"
	"math"
)

// A Plan is a stop rule for repeats of an A/B experiment, fixed before the first
// run: looking after every repeat at 0.05 and stopping at the first success would
// call a change a gain far too often.
//
// Each side gets at most MaxRepeats runs. At the looks in Looks the run-level
// samples are compared with Mann-Whitney's exact test at that look's own level.
// The levels come from the Pocock-type spending function of Lan and DeMets (1983),
// alpha*ln(1+(e-1)t) with t the share of repeats done. A look's level is the
// largest one that the discrete test can attain within what is left, and only that is
// spent; a look that could not succeed is not taken. The levels add up to at most
// alpha, so that by Bonferroni's inequality the chance of a false better or worse
// stays below alpha however the looks depend on each other.
type Plan struct {
	Alpha      float64   `json:"alpha"`
	MaxRepeats int       `json:"max_repeats"`
	Looks      []Look    `json:"looks"`
	Warnings   []Warning `json:"warnings,omitempty"`
}

// A Look is one interim comparison: after Repeats runs a side, at level Alpha.
type Look struct {
	Repeats int     `json:"repeats"`
	Alpha   float64 `json:"alpha"`
}

// NewPlan returns the plan for at most maxRepeats runs a side at level alpha (0
// means 0.05). With fewer than four repeats no look is possible at 0.05; the plan
// says so and every decision will be unclear.
func NewPlan(maxRepeats int, alpha float64) Plan {
	if alpha == 0 {
		alpha = 0.05
	}
	p := Plan{Alpha: alpha, MaxRepeats: maxRepeats}
	spent := 0.0
	for n := 2; n <= maxRepeats; n++ {
		t := float64(n) / float64(maxRepeats)
		budget := alpha*math.Log1p((math.E-1)*t) - spent
		if n == maxRepeats {
			budget = alpha - spent
		}
		if level := attainable(n, budget); level > 0 {
			p.Looks = append(p.Looks, Look{n, level})
			spent += level
		}
	}
	if len(p.Looks) == 0 {
		p.Warnings = append(p.Warnings, Warning{WarnTooFew, fmt.Sprintf(
			"%d repeats a side cannot show a difference at level %v; %d can", maxRepeats, alpha, ranksNeeded(alpha))})
	}
	return p
}

// attainable returns the largest two-sided p at most budget that the exact test of
// n against n distinct values can give, 0 when there is none.
func attainable(n int, budget float64) float64 {
	budget *= 1 + 1e-9
	if minP(n, n) > budget {
		return 0
	}
	if n > exactLimit {
		return budget
	}
	d := newUDist(n, n, noTies(2*n))
	level, tail := 0.0, 0.0
	for k := 0; k < len(d.prob); k += 2 {
		tail += d.prob[k]
		if 2*tail > budget {
			break
		}
		level = 2 * tail
	}
	return level
}

// A Decision is what to do after some repeats.
type Decision struct {
	// Stop is true when the experiment is over.
	Stop bool
	// Verdict is Unclear until a look decides.
	Verdict Verdict
	// Reason says why in one clause.
	Reason string
	// Comparison is that of the run-level values at the look's level; its Method is
	// "" when this number of repeats is no look.
	Comparison Comparison
	// Next is the number of repeats a side at which to look again, 0 after Stop.
	Next int
}

// Decide judges the run-level values (one per run, in the order made) of both
// sides. It stops for better or worse as soon as a look shows it, for same as soon
// as the look's whole interval lies within minEffect, and at MaxRepeats. Extra
// values on one side, from an unfinished repeat, are ignored.
func (p Plan) Decide(before, after []float64, dir Direction, minEffect float64) Decision {
	n := min(len(before), len(after), p.MaxRepeats)
	d := Decision{Verdict: Unclear}
	for _, l := range p.Looks {
		if l.Repeats > n && d.Next == 0 {
			d.Next = l.Repeats
		}
		if l.Repeats != n {
			continue
		}
		// The interval at the look's level keeps "same" under the same budget.
		d.Comparison = Compare(NewSample(before[:n], AssumeNothing), NewSample(after[:n], AssumeNothing),
			Options{Alpha: l.Alpha * (1 + 1e-9)})
		d.Verdict, d.Reason = d.Comparison.Verdict(dir, minEffect)
	}
	switch {
	case d.Verdict != Unclear:
		d.Stop, d.Next = true, 0
	case d.Next == 0:
		d.Stop = true
		d.Reason = fmt.Sprintf("nothing shown after %d of %d repeats", n, p.MaxRepeats)
		if len(p.Looks) == 0 {
			d.Reason = p.Warnings[0].Text
			d.Stop = n >= p.MaxRepeats
			if !d.Stop {
				d.Next = p.MaxRepeats
			}
		}
	case d.Reason == "":
		d.Reason = fmt.Sprintf("the next look is after %d repeats", d.Next)
	}
	return d
}
