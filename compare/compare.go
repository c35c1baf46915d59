package compare

import (
	"fmt"
	"slices"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/stat"
	"github.com/stepscope/stepscope/step"
)

// side is a Side with what is looked up often.
type side struct {
	Side
	p *Digest // of the profile, nil = none
}

func newSide(s Side) *side {
	out := &side{Side: s, p: s.Digest}
	if out.p == nil && s.Analysis != nil {
		out.p = NewDigest(s.Analysis)
	}
	return out
}

func (s *side) bench() *serving.Bench {
	if s.Run == nil {
		return nil
	}
	return s.Run.Bench
}

func (s *side) delta() *serving.MetricsDelta {
	if s.Run == nil {
		return nil
	}
	return s.Run.Delta
}

func (s *side) log() *serving.Log {
	if s.Run == nil {
		return nil
	}
	return s.Run.Log
}

// comparer carries a comparison through its parts.
type comparer struct {
	before, after   *side
	t               Thresholds
	out             *Comparison
	sameGranularity bool    // the device work of both captures is told at the same granularity
	hostBound       float64 // GPU idle over wall of the steps, the larger side's; -1 = not known
	unit            string  // the unit of work of captures without common steps
	goal            string  // Options.Goal
	footing         footing
	batches         *Difference // how the batches differ where no load is known, nil = not
}

func (c *comparer) warn(id, format string, args ...any) {
	c.out.Warnings = append(c.out.Warnings, stat.Warning{ID: id, Text: fmt.Sprintf(format, args...)})
}

func (c *comparer) hasSteps() bool {
	return c.before.p.trusted() && c.after.p.trusted()
}

func newComparer(before, after Side, o Options) *comparer {
	c := &comparer{before: newSide(before), after: newSide(after), t: o.Thresholds.fill(), hostBound: -1}
	c.out = &Comparison{Schema: Schema, Tool: o.Tool, Before: sideInfo(c.before), After: sideInfo(c.after), Thresholds: c.t,
		Regressions: []string{}, Improvements: []string{}, Workflow: []Passed{}, Metrics: []Metric{}, Compositions: []Composition{},
		Kernels: []KernelChange{}, Residue: []Difference{}, Warnings: []stat.Warning{},
		Findings: FindingChange{Gone: []string{}, New: []string{}, Stays: []string{}}}
	return c
}

// finish adds what follows from the metrics.
func (c *comparer) finish() {
	c.findings()
	c.residue()
	c.sortMetrics()
	c.withhold()
	c.workflow()
	c.overall()
}

// Compare compares two runs. It never fails: what a side lacks is not compared, and says so.
func Compare(before, after Side, o Options) *Comparison {
	c := newComparer(before, after, o)
	c.stand()
	profiles := c.before.p != nil && c.after.p != nil
	if profiles {
		c.hostBound = max(1-c.before.p.busyShare(), 1-c.after.p.busyShare())
	}
	c.compareBench()
	c.compareServer()
	if profiles {
		c.compareProfiles(o.Kernels)
	} else if c.before.p != nil || c.after.p != nil {
		c.warn("one-profile", "only one side has a profile: steps and kernels cannot be compared")
	}
	c.finish()
	return c.out
}

func sideInfo(s *side) SideInfo {
	i := SideInfo{Name: s.Name, Profile: s.p != nil}
	if s.Run != nil && s.Run.Bench != nil {
		i.Bench = true
		i.Samples = len(s.Run.Bench.TPOT.Samples) > 1 || len(s.Run.Bench.TTFT.Samples) > 1
	}
	if s.p != nil {
		i.Steps, i.StepsBy, i.WindowNs = len(s.p.steps), s.p.source.String(), s.p.window
	}
	if s.Diagnosis != nil {
		i.Verdict = s.Diagnosis.Verdict
	}
	return i
}

func (c *comparer) compareProfiles(limit int) {
	b, a := c.before.p, c.after.p
	gb, ga := b.budget[step.Graph] > 0, a.budget[step.Graph] > 0
	c.sameGranularity = gb == ga
	if gb != ga {
		c.warn("granularity-differs", "one capture records whole CUDA graphs and the other their kernels: GPU work is compared as a whole, stages and kernels are not (--cuda-graph-trace)")
	}
	c.warn("one-capture-a-side", "one capture a side: tests speak of these two captures; what another start of the same server would change is allowed for by the smallest effect that counts")
	c.compareWork()
	var common []Composition
	if c.hasSteps() {
		common, c.out.OnlyBefore, c.out.OnlyAfter = matchSteps(b, a)
		for i := range common {
			c.compareSteps(&common[i])
		}
		if len(common) > 0 {
			c.out.Compositions = common
		} else {
			rest := "; see the rates"
			if c.footing.limited() {
				rest = ", and rates are those of different work"
			}
			c.warn("no-common-batch", "no batch was run on both sides, so steps cannot be compared one to one%s", rest)
		}
	} else {
		c.warn("no-steps", "the steps of at least one capture are not known: the unit of work is %s", or(c.unit, "the call of a kernel"))
	}
	if !c.sameGranularity || b.kernels == 0 || a.kernels == 0 {
		return
	}
	var m *Composition
	c.out.KernelsOf = "all calls in the capture"
	if len(common) > 0 {
		m = &common[0]
		c.out.KernelsOf = m.Label
	}
	rows := c.compareKernels(m)
	if limit == 0 {
		limit = 60
	}
	kept := make([]KernelChange, 0, min(limit, len(rows)))
	for _, counts := range []bool{true, false} { // what changed is never left out for what did not
		for i := range rows {
			if rows[i].counts() == counts && len(kept) < limit {
				kept = append(kept, rows[i])
			}
		}
	}
	c.out.KernelsOmitted = len(rows) - len(kept)
	c.out.Kernels = kept
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// findings compares the alarms of the two diagnoses.
func (c *comparer) findings() {
	b, a := c.before.Diagnosis, c.after.Diagnosis
	if b == nil || a == nil {
		return
	}
	alarms := func(d *diagnose.Diagnosis) (ids []string) {
		for _, f := range d.Findings {
			if f.Severity > diagnose.Info && f.Caused == "" && f.ID != diagnose.CaptureQuality && !slices.Contains(ids, f.ID) {
				ids = append(ids, f.ID)
			}
		}
		return ids
	}
	ib, ia := alarms(b), alarms(a)
	for _, id := range ib {
		if slices.Contains(ia, id) {
			c.out.Findings.Stays = append(c.out.Findings.Stays, id)
		} else {
			c.out.Findings.Gone = append(c.out.Findings.Gone, id)
		}
	}
	for _, id := range ia {
		if !slices.Contains(ib, id) {
			c.out.Findings.New = append(c.out.Findings.New, id)
		}
	}
}

// groupOrder is the order of Comparison.Metrics.
var groupOrder = []Group{Benchmark, Server, Work, Utilisation, CPU, Memory, StartUp}

func (c *comparer) sortMetrics() {
	slices.SortStableFunc(c.out.Metrics, func(x, y Metric) int {
		return slices.Index(groupOrder, x.Group) - slices.Index(groupOrder, y.Group)
	})
}
