package compare

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/stat"
	"github.com/stepscope/stepscope/step"
)

// KernelState says how a device function was matched.
type KernelState string

// States.
const (
	Matched  KernelState = "matched"  // same function, same grid and block
	Reshaped KernelState = "reshaped" // same function, launched with other grids or blocks
	Variant  KernelState = "variant"  // same function template, built with other arguments
	Added    KernelState = "added"
	Removed  KernelState = "removed"
)

// A KernelChange is one device function before and after.
type KernelChange struct {
	Name   string      `json:"name"`             // spelled alike for every tool
	Stage  string      `json:"stage"`            // several joined by +, most time first
	Launch string      `json:"launch,omitempty"` // grid and block; absent when there are several
	State  KernelState `json:"state"`
	Before *KernelUse  `json:"before,omitempty"`
	After  *KernelUse  `json:"after,omitempty"`
	// DeltaNs is the change of the kernel's time per step (per call where there is no common step).
	DeltaNs float64 `json:"delta_ns"`
	// Metric is the test of matched and reshaped kernels.
	Metric *Metric `json:"metric,omitempty"`
}

// KernelUse is what one side spends on a kernel.
type KernelUse struct {
	Calls   int     `json:"calls"`
	PerStep float64 `json:"calls_per_step,omitempty"`
	NsEach  float64 `json:"median_ns"`
	NsStep  float64 `json:"ns_per_step,omitempty"`
	Share   float64 `json:"share"` // of all kernel time looked at
}

// maxShapes is the number of launch shapes of one function above which it is matched by name alone: its grid follows the
// batch.
const maxShapes = 32

// kernelKey identifies a function with a launch shape.
type kernelKey struct {
	name  string
	grid  [3]int32
	block [3]int32
	any   bool // shapes are not told apart
}

func (k kernelKey) launch() string {
	if k.any {
		return ""
	}
	return fmt.Sprintf("grid %dx%dx%d block %dx%dx%d", k.grid[0], k.grid[1], k.grid[2], k.block[0], k.block[1], k.block[2])
}

// kernelRow is the evidence of one key on one side.
type kernelRow struct {
	stages  [kernel.NumStages]int64 // ns by stage: one function may serve several
	each    []float64               // duration of each call, ns
	perStep []float64               // per step of the composition, ns; nil in call mode
	calls   int
}

// stage names the stages that the kernel serves, the one with the most time first.
func (r *kernelRow) stage() string {
	var ids []int
	for s, ns := range r.stages {
		if ns > 0 {
			ids = append(ids, s)
		}
	}
	slices.SortStableFunc(ids, func(x, y int) int { return cmp.Compare(r.stages[y], r.stages[x]) })
	names := make([]string, len(ids))
	for i, s := range ids {
		names[i] = kernel.Stage(s).String()
	}
	return strings.Join(names, "+")
}

// kernelTable gathers the kernels of the given steps, or of the whole capture when steps is nil.
func kernelTable(d *Digest, steps []int32, anyShape map[string]bool) map[kernelKey]*kernelRow {
	out := map[kernelKey]*kernelRow{}
	var at []int32 // position of a step among steps, -1 = not among them
	if steps != nil {
		at = make([]int32, len(d.steps))
		for i := range at {
			at[i] = -1
		}
		for pos, s := range steps {
			at[s] = int32(pos)
		}
	}
	for i := range d.calls {
		c := &d.calls[i]
		key := kernelKey{name: c.name, any: true}
		if !anyShape[c.name] {
			key = kernelKey{name: c.name, grid: c.grid, block: c.block}
		}
		for n, ns := range c.dur {
			pos := int32(-1)
			if steps != nil {
				if s := c.step[n]; s < 0 || at[s] < 0 {
					continue
				}
				pos = at[c.step[n]]
			}
			r := out[key]
			if r == nil {
				r = &kernelRow{}
				if steps != nil {
					r.perStep = make([]float64, len(steps))
				}
				out[key] = r
			}
			r.add(c.stage, ns, pos)
		}
	}
	return out
}

// add counts one call of ns in a stage, in the step at pos.
func (r *kernelRow) add(s kernel.Stage, ns uint32, pos int32) {
	r.calls++
	r.stages[s] += int64(ns)
	r.each = append(r.each, float64(ns))
	if r.perStep != nil {
		r.perStep[pos] += float64(ns)
	}
}

// manyShapes finds the functions of a profile whose launch shapes are not worth telling apart.
func manyShapes(d *Digest, into map[string]bool) {
	type shape struct{ grid, block [3]int32 }
	shapes := map[string]map[shape]bool{}
	for i := range d.calls {
		c := &d.calls[i]
		if shapes[c.name] == nil {
			shapes[c.name] = map[shape]bool{}
		}
		shapes[c.name][shape{c.grid, c.block}] = true
	}
	for n, s := range shapes {
		if len(s) > maxShapes {
			into[n] = true
		}
	}
}

// compareKernels compares device functions within composition m, or over whole captures by call when m is nil.
func (c *comparer) compareKernels(m *Composition) []KernelChange {
	b, a := c.before.p, c.after.p
	anyShape := map[string]bool{}
	manyShapes(b, anyShape)
	manyShapes(a, anyShape)
	var sb, sa []int32
	var abs float64
	if m != nil {
		sb, sa = m.before, m.after
		abs = c.t.ShareOfStep * max(meanOf(b, sb, (*step.Step).Wall), meanOf(a, sa, (*step.Step).Wall))
	}
	tb, ta := kernelTable(b, sb, anyShape), kernelTable(a, sa, anyShape)
	var rows []kernelPair
	for k, r := range tb {
		if o := ta[k]; o != nil {
			rows = append(rows, kernelPair{k, Matched, r, o})
			delete(ta, k)
			delete(tb, k)
		}
	}
	rows = append(rows, leftovers(tb, ta)...)
	slices.SortFunc(rows, func(x, y kernelPair) int {
		return cmp.Or(cmp.Compare(x.key.name, y.key.name), cmp.Compare(x.key.launch(), y.key.launch()), cmp.Compare(x.state, y.state))
	})
	return c.kernelRows(rows, m, abs, len(sb), len(sa))
}

type kernelPair struct {
	key           kernelKey
	state         KernelState
	before, after *kernelRow
}

// leftovers matches by name what had no counterpart of its shape, then by looser names, and says what is new and gone.
func leftovers(tb, ta map[kernelKey]*kernelRow) []kernelPair {
	var rows []kernelPair
	mb, ma := pool(tb), pool(ta)
	for _, pass := range []struct {
		state KernelState
		key   func(merged) string
	}{
		{Reshaped, func(m merged) string { return m.key.name }},
		{Matched, func(m merged) string { return looseName(m.key.name) + m.key.launch() }},
		{Reshaped, func(m merged) string { return looseName(m.key.name) }},
		{Variant, func(m merged) string { return m.row.stage() + " " + template(m.key.name) }},
	} {
		gb, ga := regroup(mb, pass.key), regroup(ma, pass.key)
		mb, ma = mb[:0:0], ma[:0:0]
		for _, k := range slices.Sorted(maps.Keys(gb)) {
			x, y := gb[k], ga[k]
			if y == nil {
				mb = append(mb, x...)
				continue
			}
			m := join(x)
			rows = append(rows, kernelPair{m.key, pass.state, m.row, join(y).row})
		}
		for _, k := range slices.Sorted(maps.Keys(ga)) {
			if gb[k] == nil {
				ma = append(ma, ga[k]...)
			}
		}
	}
	one := func(m merged) string { return m.key.name }
	for _, x := range regroup(mb, one) {
		m := join(x)
		rows = append(rows, kernelPair{m.key, Removed, m.row, nil})
	}
	for _, x := range regroup(ma, one) {
		m := join(x)
		rows = append(rows, kernelPair{m.key, Added, nil, m.row})
	}
	return rows
}

// merged is a row under the key that speaks for it.
type merged struct {
	key kernelKey
	row *kernelRow
}

// pool lists the rows of a table in a fixed order.
func pool(t map[kernelKey]*kernelRow) []merged {
	out := make([]merged, 0, len(t))
	for k, r := range t {
		out = append(out, merged{k, r})
	}
	slices.SortFunc(out, func(x, y merged) int {
		return cmp.Or(cmp.Compare(x.key.name, y.key.name), cmp.Compare(x.key.launch(), y.key.launch()))
	})
	return out
}

func regroup(rows []merged, key func(merged) string) map[string][]merged {
	out := map[string][]merged{}
	for _, m := range rows {
		out[key(m)] = append(out[key(m)], m)
	}
	return out
}

// join adds up rows; the first one's name stands for them.
func join(rows []merged) merged {
	if len(rows) == 1 {
		return rows[0]
	}
	sum := &kernelRow{}
	for _, m := range rows {
		for s, ns := range m.row.stages {
			sum.stages[s] += ns
		}
		sum.calls += m.row.calls
		sum.each = append(sum.each, m.row.each...)
		if m.row.perStep != nil {
			if sum.perStep == nil {
				sum.perStep = make([]float64, len(m.row.perStep))
			}
			for i, v := range m.row.perStep {
				sum.perStep[i] += v
			}
		}
	}
	return merged{kernelKey{name: rows[0].key.name, any: true}, sum}
}

func (c *comparer) kernelRows(rows []kernelPair, m *Composition, abs float64, nb, na int) []KernelChange {
	var totalB, totalA float64
	for _, r := range rows {
		totalB += sumOf(r.before)
		totalA += sumOf(r.after)
	}
	f := family{t: c.t}
	out := make([]KernelChange, 0, len(rows))
	var tested []int
	for _, r := range rows {
		ch := KernelChange{Name: r.key.name, Launch: r.key.launch(), State: r.state, Before: use(r.before, totalB, nb), After: use(r.after, totalA, na)}
		if r.before != nil {
			ch.Stage = r.before.stage()
		} else {
			ch.Stage = r.after.stage()
		}
		switch {
		case m != nil:
			ch.DeltaNs = perStep(ch.After) - perStep(ch.Before)
		case r.before != nil && r.after != nil:
			ch.DeltaNs = ch.After.NsEach - ch.Before.NsEach
		}
		if r.before != nil && r.after != nil {
			s := spec{group: KernelTime, name: "us_per_call", title: r.key.name, unit: "us", min: c.t.NoiseGPU}
			x, y := r.before.each, r.after.each
			if m != nil {
				s.name, s.abs = "us_per_step", abs/1e3
				x, y = r.before.perStep, r.after.perStep
			} else {
				// Another shape is other work, and so is another batch under the same shape.
				s.neutral = r.state != Matched || c.hasSteps()
			}
			f.series(s, scaled(x, 1e-3), scaled(y, 1e-3), mean, "median")
			tested = append(tested, len(out))
		}
		out = append(out, ch)
	}
	for i, met := range f.judge() {
		out[tested[i]].Metric = &met
	}
	weight := func(k *KernelChange) float64 {
		w := math.Abs(k.DeltaNs)
		if m == nil {
			switch { // time gained or lost over the capture, as far as the counts are alike
			case k.Before != nil && k.After != nil:
				w *= float64(min(k.Before.Calls, k.After.Calls))
			case k.Before != nil:
				w = k.Before.NsEach * float64(k.Before.Calls)
			default:
				w = k.After.NsEach * float64(k.After.Calls)
			}
		}
		return w
	}
	slices.SortStableFunc(out, func(x, y KernelChange) int { return cmp.Compare(weight(&y), weight(&x)) })
	return out
}

// counts reports whether the row shows a change worth a reader's time.
func (k *KernelChange) counts() bool {
	if k.Metric == nil {
		return true
	}
	v := k.Metric.Verdict
	return v == stat.Better || v == stat.Worse || v == Differs
}

func sumOf(r *kernelRow) (ns float64) {
	if r != nil {
		for _, v := range r.each {
			ns += v
		}
	}
	return ns
}

func use(r *kernelRow, total float64, steps int) *KernelUse {
	if r == nil {
		return nil
	}
	u := &KernelUse{Calls: r.calls, NsEach: middle(r.each)}
	if total > 0 {
		u.Share = sumOf(r) / total
	}
	if r.perStep != nil && steps > 0 {
		u.PerStep = float64(r.calls) / float64(steps)
		u.NsStep = mean(r.perStep)
	}
	return u
}

func perStep(u *KernelUse) float64 {
	if u == nil {
		return 0
	}
	return u.NsStep
}

func scaled(v []float64, by float64) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = x * by
	}
	return out
}
