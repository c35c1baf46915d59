package web

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

// target is where the timeline goes to show something: the stretch to zoom to, and inside it what to point at. Times are
// ns from the model's origin.
type target struct {
	Start     int64 `json:"start_ns"`
	Dur       int64 `json:"dur_ns"`
	MarkStart int64 `json:"mark_start_ns"`
	MarkDur   int64 `json:"mark_dur_ns"` // 0 = nothing to point at
	Lane      int   `json:"lane"`        // where the mark lies, -1 = all lanes
	Event     *Ref  `json:"event,omitempty"`
	// Text says what is shown, one line; Mark what the mark points at.
	Text string `json:"text"`
	Mark string `json:"mark,omitempty"`
}

// finding is a finding of the diagnosis with the places that show it.
type finding struct {
	ID         string            `json:"id"`
	Title      string            `json:"title"`
	Severity   diagnose.Severity `json:"severity"`
	Confidence string            `json:"confidence"`
	Share      float64           `json:"share"`
	Summary    string            `json:"summary"`
	Caused     string            `json:"caused_by,omitempty"`
	Evidence   []evidence        `json:"evidence"`
	Advice     []advice          `json:"advice"`
	Target     *target           `json:"target,omitempty"`
}

type evidence struct {
	Text   string  `json:"text"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Rows   string  `json:"rows,omitempty"`
	Target *target `json:"target,omitempty"`
}

type advice struct {
	Text      string `json:"text"`
	Flag      string `json:"flag,omitempty"`
	Command   string `json:"command,omitempty"`
	Risk      string `json:"risk,omitempty"`
	Predicted string `json:"predicted,omitempty"`
}

// gemmParts are the stages whose time goes by the weights.
var gemmParts = []step.Part{step.Part(kernel.QKV), step.Part(kernel.OProj), step.Part(kernel.MLP), step.Part(kernel.MoE), step.Part(kernel.LMHead), step.Part(kernel.Gemm)}

// findingParts lists the parts of the wall that a finding is about: the most telling step is typical in them, and the
// longest stretch of them in it is pointed at.
var findingParts = map[string][]step.Part{
	diagnose.HostLaunchBound:  {step.IdleLaunch},
	diagnose.HostStepGap:      {step.IdleScheduler},
	diagnose.SyncStall:        {step.IdleSync, step.IdleLaunch},
	diagnose.TransferBound:    {step.CopyHtoDPageable, step.CopyDtoHPageable, step.CopyHtoDPinned, step.CopyDtoHPinned, step.CopyOther, step.IdleCopy},
	diagnose.APILatency:       {step.IdleLaunch, step.IdleScheduler, step.IdleSync},
	diagnose.MemoryBandwidth:  gemmParts,
	diagnose.ComputeBound:     gemmParts,
	diagnose.AttentionKVBound: {step.Part(kernel.Attention)},
	diagnose.Underloaded:      {step.IdleRequests},
	diagnose.CollectiveBound:  {step.Part(kernel.Collective), step.IdlePeer},
	diagnose.MoEImbalance:     {step.Part(kernel.MoE)},
	diagnose.SamplingBound:    {step.Part(kernel.Sampling)},
}

// partsNames says what the parts of a finding are together, where they are several.
var partsNames = map[string]string{
	diagnose.TransferBound: "copies and waits for them", diagnose.APILatency: "waits for the host", diagnose.MemoryBandwidth: "weight GEMMs",
	diagnose.ComputeBound: "GEMMs", diagnose.SyncStall: "waits for the host", diagnose.CollectiveBound: "collectives and waits for ranks",
}

// limitFindings are limits of the server that no single place shows: a step of the usual length stands for all.
var limitFindings = map[string]bool{diagnose.QueueLimited: true, diagnose.KVCacheLimited: true}

// prefillFindings are about steps that prefill: they are shown by the longest one.
var prefillFindings = map[string]bool{diagnose.PrefillInterference: true, diagnose.PrefillChunkLimited: true, diagnose.ComputeBound: true}

// findingTargets places the findings of the diagnosis on the timeline.
func (m *Model) findingTargets() []finding {
	out := []finding{}
	if m.d == nil {
		return out
	}
	for i := range m.d.Findings {
		f := &m.d.Findings[i]
		x := finding{ID: f.ID, Title: f.ID, Severity: f.Severity, Confidence: f.Confidence, Share: f.Share,
			Summary: clean(f.Summary, maxName), Caused: f.Caused, Evidence: []evidence{}, Advice: []advice{}}
		if r, ok := diagnose.FindRule(f.ID); ok && r.Title != "" {
			x.Title = r.Title
		}
		var steps []int32
		for _, e := range f.Evidence {
			ev := evidence{clean(e.Text, maxName), e.Value, clean(e.Unit, maxLabel), clean(e.Rows, maxName), m.rowsTarget(e.Rows)}
			if s := m.stepsOf(e.Rows); len(s) > 0 && steps == nil {
				steps = s
			}
			x.Evidence = append(x.Evidence, ev)
		}
		for _, a := range f.Advice {
			v := advice{Text: clean(a.Text, maxName), Flag: clean(a.Flag, maxName), Command: clean(a.Command, maxName), Risk: clean(a.Risk, maxName)}
			if p := a.Predicted; p != nil {
				v.Predicted = fmt.Sprintf("%s %.4g → %.4g %s (%.4g to %.4g)", p.Words(), p.Before, p.After, p.Unit, p.Low, p.High)
			} else if a.Unpredicted != "" {
				v.Predicted = "no prediction: " + clean(a.Unpredicted, maxName)
			}
			x.Advice = append(x.Advice, v)
		}
		if x.Target = m.findingTarget(f.ID, steps); f.ID == diagnose.DominantKernel {
			x.Target = m.dominantTarget()
		}
		for _, e := range x.Evidence {
			// A wait inside steps is the call that waits; what is idle comes after it.
			if e.Target != nil && (x.Target == nil || f.ID == diagnose.SyncStall && strings.Contains(e.Rows, "API row")) {
				x.Target = e.Target
				break
			}
		}
		out = append(out, x)
	}
	return out
}

// findingTarget picks the step that shows a finding best. steps are the finding's own, nil = not known.
func (m *Model) findingTarget(id string, steps []int32) *target {
	if len(steps) == 0 {
		steps = m.a.Primary
	}
	if len(steps) == 0 {
		return nil
	}
	if prefillFindings[id] {
		best := int32(-1)
		for _, s := range steps {
			if ph := m.a.Steps[s].Phase; ph != step.Prefill && ph != step.Mixed {
				continue
			}
			if best < 0 || m.a.Steps[s].Wall() > m.a.Steps[best].Wall() {
				best = s
			}
		}
		if best >= 0 {
			return m.stepTarget(best, nil, "", 0.5)
		}
	}
	parts := findingParts[id]
	if parts == nil {
		if !limitFindings[id] {
			return nil
		}
		in := slices.Clone(steps)
		slices.SortStableFunc(in, func(x, y int32) int { return cmp.Compare(m.a.Steps[x].Wall(), m.a.Steps[y].Wall()) })
		return m.stepTarget(in[len(in)/2], nil, "", 1)
	}
	cost := func(s int32) (n int64) {
		for _, p := range parts {
			n += m.a.Steps[s].Budget[p]
		}
		return n
	}
	var in []int32
	for _, s := range steps {
		if cost(s) > 0 && !m.a.Steps[s].Cold {
			in = append(in, s)
		}
	}
	if len(in) == 0 {
		return nil
	}
	slices.SortStableFunc(in, func(x, y int32) int { return cmp.Compare(cost(x), cost(y)) })
	pick := in[len(in)/2]
	if id == diagnose.Underloaded || id == diagnose.TransferBound {
		pick = in[len(in)-1] // these hit few steps: the worst tells most
	}
	return m.stepTarget(pick, parts, partsNames[id], 0.2)
}

// dominantTarget shows an instance of usual length of the kernel that takes most time.
func (m *Model) dominantTarget() *target {
	if len(m.d.Kernels) == 0 {
		return nil
	}
	top, k := &m.d.Kernels[0], &m.p.Kernels
	best := -1
	off := func(i int) int64 { return max(k.Dur[i]-top.MedianNs, top.MedianNs-k.Dur[i]) }
	for i, f := range k.Func {
		if (best < 0 || off(i) < off(best)) && m.p.Strings.At(m.p.Funcs[f].Name) == top.Name {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	r, ok := m.eventRef(searchKernels, best)
	if !ok {
		return nil
	}
	return m.eventTarget(r, "one of "+strconv.Itoa(top.Instances)+" instances")
}

// eventTarget zooms to an event and points at it.
func (m *Model) eventTarget(r Ref, text string) *target {
	t := m.spanTarget(interval.Span{Start: m.origin + r.Start, End: m.origin + r.Start + max(r.Dur, 100)}, 1.5)
	t.MarkStart, t.MarkDur, t.Lane, t.Event = r.Start, r.Dur, r.Lane, &r
	t.Text, t.Mark = text, fmt.Sprintf("%s, %s", text, duration(r.Dur))
	return t
}

// stepTarget zooms to a step with margin times its length on both sides, and points at its longest stretch of parts, or
// at the step where they are many short ones. name is what the parts are together, "" = the largest one's.
func (m *Model) stepTarget(s int32, parts []step.Part, name string, margin float64) *target {
	st := &m.a.Steps[s]
	t := m.spanTarget(st.GPU, margin)
	t.Text = fmt.Sprintf("step %d, %s, %s", st.Index, batchText(st), duration(st.Wall()))
	lane := m.rankOf[st.Rank].steps
	if r, ok := m.ref(lane, true, uint32(s)); ok {
		t.Event = &r
	}
	t.MarkStart, t.MarkDur, t.Lane = st.GPU.Start-m.origin, st.Wall(), lane
	t.Mark = fmt.Sprintf("%s, %s", batchText(st), duration(st.Wall()))
	if parts == nil {
		return t
	}
	budget := m.rankOf[st.Rank].budget
	if budget < 0 {
		return t
	}
	row := m.lanes[budget].rows[0]
	lo, hi := row.mip.Find(st.GPU)
	var longest interval.Span
	var which uint8
	sums := make([]int64, step.NumParts)
	var total int64
	for i := lo; i < hi; i++ {
		x, tag := row.At(i)
		if !slices.Contains(parts, step.Part(tag)) {
			continue
		}
		x = x.Clip(st.GPU)
		total += x.Dur()
		sums[tag] += x.Dur()
		if x.Dur() > longest.Dur() {
			longest, which = x, tag
		}
	}
	if longest.Empty() {
		return t
	}
	if longest.Dur()*2 < total {
		// Many short stretches: the step as a whole is what to look at.
		if name == "" {
			name = m.sets[setPart][slices.Index(sums, slices.Max(sums))].Label
		}
		t.Lane = budget
		t.Mark = fmt.Sprintf("%s, %s of %s", name, duration(total), duration(st.Wall()))
		return t
	}
	t.MarkStart, t.MarkDur, t.Lane = longest.Start-m.origin, longest.Dur(), budget
	if step.Part(which).Idle() {
		t.Lane = m.rankOf[st.Rank].idle
	}
	t.Mark = fmt.Sprintf("%s, %s", m.sets[setPart][which].Label, duration(longest.Dur()))
	return t
}

// spanTarget zooms to s with margin times its length on both sides.
func (m *Model) spanTarget(s interval.Span, margin float64) *target {
	pad := int64(float64(s.Dur()) * margin)
	w := interval.Span{Start: s.Start - pad, End: s.End + pad}.Clip(m.span())
	return &target{Start: w.Start - m.origin, Dur: max(1, w.Dur()), Lane: -1}
}

// The forms in which evidence names rows.
var (
	reSteps = regexp.MustCompile(`^steps (\d+)\.\.(\d+) \((\d+)\)$`)
	reRow   = regexp.MustCompile(`\b(kernel|memcpy|memset|graph|API|NVTX|memory event) row (\d+)$`)
)

// stepsOf returns the steps that evidence names by index, of the ranks that stand for their engines: first, last and how
// many there are. Where more lie between than are meant, those between cannot be told apart and are all returned.
func (m *Model) stepsOf(rows string) []int32 {
	g := reSteps.FindStringSubmatch(rows)
	if g == nil {
		return nil
	}
	lo, err1 := strconv.Atoi(g[1])
	hi, err2 := strconv.Atoi(g[2])
	n, err3 := strconv.Atoi(g[3])
	if err1 != nil || err2 != nil || err3 != nil {
		return nil
	}
	var out []int32
	for _, s := range m.a.Primary {
		if i := int(m.a.Steps[s].Index); i == lo || i == hi || i > lo && i < hi && n > 2 {
			out = append(out, s)
		}
	}
	return out
}

// rowsTarget finds the place that evidence names, nil where it names none.
func (m *Model) rowsTarget(rows string) *target {
	if steps := m.stepsOf(rows); len(steps) > 0 {
		s := m.a.Steps[steps[0]].GPU
		for _, i := range steps {
			s.Start, s.End = min(s.Start, m.a.Steps[i].GPU.Start), max(s.End, m.a.Steps[i].GPU.End)
		}
		t := m.spanTarget(s, 0.02)
		t.Text = fmt.Sprintf("%d steps", len(steps))
		return t
	}
	g := reRow.FindStringSubmatch(rows)
	if g == nil {
		return nil
	}
	n, err := strconv.ParseInt(g[2], 10, 64)
	if err != nil {
		return nil
	}
	p := m.p
	if g[1] == "memory event" {
		i, found := indexOfRow(p.MemEvents.Row, n, p.MemEvents.Len())
		if !found {
			return nil
		}
		t := m.spanTarget(interval.Span{Start: p.MemEvents.Start[i] - 500_000, End: p.MemEvents.Start[i] + 500_000}, 0)
		t.MarkStart, t.MarkDur, t.Text, t.Mark = p.MemEvents.Start[i]-m.origin, 1, g[0], g[0]
		return t
	}
	var r Ref
	ok := false
	op := func(kind step.OpKind, table profile.Rows, count int, queue []int32) {
		i, found := indexOfRow(table, n, count)
		if !found {
			return
		}
		o := step.NewOp(kind, i)
		if kind == step.OpKernel || kind == step.OpGraph {
			lane, known := m.streamOf[queue[i]]
			r, ok = m.ref(lane, known, uint32(o))
			return
		}
		r, ok = m.ref(m.rankOf[m.rankOfOp(o)].copies, true, uint32(o))
	}
	switch g[1] {
	case "kernel":
		op(step.OpKernel, p.Kernels.Row, p.Kernels.Len(), p.Kernels.Queue)
	case "memcpy":
		op(step.OpCopy, p.Copies.Row, p.Copies.Len(), p.Copies.Queue)
	case "memset":
		op(step.OpMemset, p.Memsets.Row, p.Memsets.Len(), p.Memsets.Queue)
	case "graph":
		op(step.OpGraph, p.GraphTraces.Row, p.GraphTraces.Len(), p.GraphTraces.Queue)
	case "API":
		if i, found := indexOfRow(p.Calls.Row, n, p.Calls.Len()); found {
			r, ok = m.eventRef(searchCalls, i)
			g[0] += ", " + clean(kernel.StripAPIVersion(p.CallName(i)), maxLabel)
		}
	case "NVTX":
		if i, found := indexOfRow(p.Ranges.Row, n, p.Ranges.Len()); found {
			r, ok = m.eventRef(searchRanges, i)
		}
	}
	if !ok {
		return nil
	}
	return m.eventTarget(r, g[0])
}

// indexOfRow is the reverse of profile.Rows.At.
func indexOfRow(rows profile.Rows, row int64, n int) (int, bool) {
	if rows == nil {
		return int(row - 1), row >= 1 && row <= int64(n)
	}
	for i := range rows {
		if int64(rows[i]) == row {
			return i, true
		}
	}
	return 0, false
}
