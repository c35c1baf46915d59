package diagnose

import (
	"cmp"
	"slices"

	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

// maxCompositions bounds the list of batch compositions in a report; the rest is counted in the phase's totals.
const maxCompositions = 12

// stepFacts describes the steps by phase.
func (c *Context) stepFacts() StepFacts {
	f := StepFacts{Empty: c.A.EmptyMarkers, ByPhase: map[string]PhaseFacts{}}
	for _, i := range c.A.Primary {
		if c.A.Steps[i].Cold {
			f.Cold++
		}
	}
	f.Count = len(c.A.Primary)
	for _, p := range []step.Phase{step.Decode, step.Prefill, step.Mixed, step.Unknown} {
		g := c.group(func(s *step.Step) bool { return s.Phase == p })
		if len(g.Steps) > 0 {
			f.ByPhase[p.String()] = c.phaseFacts(g)
		}
	}
	return f
}

func (c *Context) phaseFacts(g Group) PhaseFacts {
	warm := g
	warm.Steps = slices.DeleteFunc(slices.Clone(g.Steps), func(i int32) bool { return c.A.Steps[i].Cold || c.A.Steps[i].Open })
	known := func(v int64) (int64, bool) { return v, v >= 0 }
	f := PhaseFacts{
		Count: len(g.Steps), WallNs: g.Wall,
		PeriodNs: c.Period(&warm), BusyNs: c.Busy(&warm),
		Requests: c.quantiles(&warm, func(s *step.Step) (int64, bool) { return known(s.Batch.Requests()) }),
		Tokens:   c.quantiles(&warm, func(s *step.Step) (int64, bool) { return known(s.Tokens()) }),
		Kernels:  c.quantiles(&warm, func(s *step.Step) (int64, bool) { return int64(s.Kernels), true }),
		Launches: c.quantiles(&warm, func(s *step.Step) (int64, bool) { return int64(s.Launches + s.GraphLaunches), true }),
		Parts:    PartTimes(&g.Budget, g.Wall),
	}
	var tokens int64
	var counted []int32
	type key struct{ a, b, c, d int64 }
	comp := map[key][]int64{}
	for _, i := range g.Steps {
		s := &c.A.Steps[i]
		// The last step's wall lacks the wait for its successor, and its end where the capture cuts it: no rate.
		if t := s.Tokens(); t >= 0 && !s.Open {
			tokens += t
			counted = append(counted, i)
		}
		k := key{s.Batch.PrefillRequests, s.Batch.PrefillTokens, s.Batch.DecodeRequests, s.Batch.DecodeTokens}
		if _, ok := comp[k]; !ok {
			comp[k] = nil
		}
		comp[k] = append(comp[k], s.Period)
	}
	if wall := c.elapsed(counted); wall > 0 && tokens > 0 {
		f.TokensPerS = float64(tokens) / (float64(wall) * 1e-9)
	}
	for k, periods := range comp {
		closed := slices.DeleteFunc(slices.Clone(periods), func(p int64) bool { return p < 0 })
		m := int64(-1)
		if len(closed) > 0 {
			m = quantiles(closed).Median
		}
		f.Compositions = append(f.Compositions, Composition{k.a, k.b, k.c, k.d, len(periods), m})
	}
	slices.SortFunc(f.Compositions, func(x, y Composition) int {
		return cmp.Or(cmp.Compare(y.Count, x.Count), cmp.Compare(y.PrefillTokens, x.PrefillTokens),
			cmp.Compare(y.Decode, x.Decode), cmp.Compare(y.Prefill, x.Prefill), cmp.Compare(y.DecodeTokens, x.DecodeTokens))
	})
	if len(f.Compositions) > maxCompositions {
		f.Compositions = f.Compositions[:maxCompositions]
	}
	return f
}

// PartTimes lists the parts of a budget that are not zero, in display order.
func PartTimes(b *step.Budget, wall int64) []PartTime {
	out := []PartTime{}
	for _, p := range step.Parts() {
		if b[p] != 0 {
			out = append(out, PartTime{p.String(), b[p], ratio(b[p], wall)})
		}
	}
	return out
}

func (c *Context) budgetFacts() BudgetFacts {
	f := BudgetFacts{WallNs: c.Wall, Parts: PartTimes(&c.Budget, c.Wall)}
	for _, i := range c.A.Primary {
		f.OverlappedCollectiveNs += c.A.Steps[i].Overlapped
	}
	return f
}

// maxKernelFacts bounds the list of kernels in a report.
const maxKernelFacts = 20

func (c *Context) kernelFacts() []KernelFacts {
	k := &c.P.Kernels
	type agg struct {
		n     int
		total int64
		durs  []int64
		stage *[kernel.NumStages]int64
	}
	by := make([]agg, len(c.P.Funcs))
	var all int64
	for i, f := range k.Func {
		a := &by[f]
		a.n++
		a.total += k.Dur[i]
		all += k.Dur[i]
	}
	order := make([]int32, 0, len(by))
	for f := range by {
		if by[f].n > 0 {
			order = append(order, int32(f))
		}
	}
	slices.SortFunc(order, func(x, y int32) int {
		return cmp.Or(cmp.Compare(by[y].total, by[x].total), cmp.Compare(x, y))
	})
	if len(order) > maxKernelFacts {
		order = order[:maxKernelFacts]
	}
	for _, f := range order {
		by[f].stage = new([kernel.NumStages]int64)
		by[f].durs = make([]int64, 0, by[f].n)
	}
	for i, f := range k.Func {
		if a := &by[f]; a.stage != nil {
			a.durs = append(a.durs, k.Dur[i])
			a.stage[c.A.Stage[i]] += k.Dur[i]
		}
	}
	out := []KernelFacts{}
	for _, f := range order {
		a := &by[f]
		stage, most := "", int64(-1)
		for s, ns := range a.stage {
			if ns > most {
				stage, most = kernel.Stage(s).String(), ns
			}
		}
		if most < a.total {
			stage += ", mixed"
		}
		out = append(out, KernelFacts{Name: c.P.Strings.At(c.P.Funcs[f].Name), Stage: stage, Family: c.A.Classes[f].Family,
			Instances: a.n, TotalNs: a.total, MedianNs: nth(a.durs, len(a.durs)/2), Share: ratio(a.total, all)})
	}
	return out
}

func (c *Context) profileInfo() ProfileInfo {
	p := c.P
	info := ProfileInfo{Source: p.Source, Format: p.Format, Producer: p.Producer, WindowNs: p.Window.Dur(), GPU: []GPU{}}
	for d, dev := range p.Devices {
		busy, used := c.A.Busy[int32(d)]
		if !used && len(c.A.Busy) > 0 {
			continue
		}
		g := GPU{ID: dev.ID, Name: dev.Name, SMs: dev.SMs, Memory: dev.MemoryBytes, Bandwidth: dev.BandwidthBps,
			BusyNs: busy.Total(), BusyShare: ratio(busy.Total(), p.Window.Dur())}
		for i, q := range p.Kernels.Queue {
			if p.Queues[q].Device == int32(d) {
				g.Kernels++
				g.KernelSum += p.Kernels.Dur[i]
			}
		}
		if c.SheetMatch.OK {
			g.SheetMatch = c.Sheet.Name
		}
		info.GPU = append(info.GPU, g)
	}
	return info
}

func (c *Context) engineFacts() EngineFacts {
	e := EngineFacts{Name: c.A.Engine, StepSource: c.A.Source().String(), Layers: c.A.Pattern.LayerCount}
	if c.Engine.Name.Known && e.Name == "" {
		e.Name = c.Engine.Name.Value
	}
	e.Version = c.Engine.Version.Or("")
	e.Model = c.Engine.Model.Or("")
	if c.HasShape {
		e.Shape = c.ShapeNote
	}
	ranks := map[int32]int{}
	for i := range c.A.Ranks {
		r := &c.A.Ranks[i]
		if r.Engine != profile.None {
			ranks[r.Engine]++
		}
		if e.StepWhy == "" && (r.Engine0 || len(c.A.Primary) == 0) {
			e.StepWhy = r.Why
		}
	}
	e.Engines = len(ranks)
	for _, n := range ranks {
		e.Ranks = max(e.Ranks, n)
	}
	if eager, ok := c.Eager(); ok {
		e.Eager = &eager
	}
	if c.Engine.AsyncScheduling.Known {
		v := c.Engine.AsyncScheduling.Value
		e.AsyncSched = &v
	}
	return e
}

// Eager reports whether decode steps run without CUDA graphs, from the steps themselves. ok is false when there is no
// decode step.
func (c *Context) Eager() (eager, ok bool) {
	if len(c.Decode.Steps) == 0 {
		return false, false
	}
	without := 0
	for _, i := range c.Decode.Steps {
		if s := &c.A.Steps[i]; s.GraphLaunches == 0 && s.GraphKernels == 0 {
			without++
		}
	}
	return without*10 > len(c.Decode.Steps)*9, true
}

// maxPieces bounds the pieces of the typical step in a report.
const maxPieces = 4000

// typicalStep takes the step whose period is nearest to the median of the typical decode steps, else of all steps.
func (c *Context) typicalStep() *TypicalStep {
	g := &c.Typical
	if len(g.Steps) == 0 {
		g = &c.All
	}
	if len(g.Steps) == 0 {
		return nil
	}
	m := c.Period(g).Median
	best := g.Steps[0]
	for _, i := range g.Steps {
		d, e := c.A.Steps[i].Wall()-m, c.A.Steps[best].Wall()-m
		if max(d, -d) < max(e, -e) {
			best = i
		}
	}
	s := &c.A.Steps[best]
	pieces, whole := c.A.Pieces(best, maxPieces)
	t := &TypicalStep{Phase: s.Phase.String(), Step: s.Index, DurNs: s.Wall(), Whole: whole}
	for _, p := range pieces {
		t.Pieces = append(t.Pieces, Piece{step.Part(p.Tag).String(), p.Start - s.GPU.Start, p.Dur()})
	}
	return t
}
