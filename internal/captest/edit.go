package captest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

// WithoutRanges removes the annotations, as a capture without NVTX has none.
func WithoutRanges(p *profile.Profile) { p.Ranges = profile.Ranges{} }

// WithoutCalls removes every API call.
func WithoutCalls(p *profile.Profile) { KeepCalls(p, func(int) bool { return false }) }

// KeepCalls removes the API calls that keep does not want, and the links to them.
func KeepCalls(p *profile.Profile, keep func(i int) bool) {
	to := make([]int32, p.Calls.Len())
	var idx []int32
	for i := range to {
		to[i] = profile.None
		if keep(i) {
			to[i] = int32(len(idx))
			idx = append(idx, int32(i))
		}
	}
	c := p.Calls
	p.Calls = profile.Calls{Start: pick(c.Start, idx), Dur: pick(c.Dur, idx), Name: pick(c.Name, idx), Thread: pick(c.Thread, idx),
		Correlation: pick(c.Correlation, idx), Result: pick(c.Result, idx), Class: pick(c.Class, idx), External: pick(c.External, idx), Row: pick(c.Row, idx)}
	for _, col := range []*[]int32{&p.Kernels.Call, &p.Copies.Call, &p.Memsets.Call, &p.GraphTraces.Call, &p.Syncs.Call} {
		out := make([]int32, len(*col))
		for i, v := range *col {
			out[i] = profile.None
			if v != profile.None {
				out[i] = to[v]
			}
		}
		*col = out
	}
}

// KeepKernels removes the kernels that keep does not want.
func KeepKernels(p *profile.Profile, keep func(i int) bool) {
	k := p.Kernels
	var idx []int32
	for i := range k.Start {
		if keep(i) {
			idx = append(idx, int32(i))
		}
	}
	p.Kernels = profile.Kernels{Start: pick(k.Start, idx), Dur: pick(k.Dur, idx), Func: pick(k.Func, idx), Config: pick(k.Config, idx), Queue: pick(k.Queue, idx),
		Correlation: pick(k.Correlation, idx), Call: pick(k.Call, idx), GraphNode: pick(k.GraphNode, idx), Row: pick(k.Row, idx)}
}

// OldMarkers gives the steps the markers of vLLM 0.12 and 0.13, which count new and cached requests and no tokens. Requests
// whose prompt comes in several chunks are new in the first only; later says how many steps with prefill keep one.
func OldMarkers(p *profile.Profile, later func(step int) bool) {
	text := slices.Clone(p.Ranges.Text)
	var own profile.Strings // the copy of a profile shares its table with the original
	for id := range p.Strings.Len() {
		own.ID(p.Strings.At(profile.StringID(id)))
	}
	p.Strings = own
	n := 0
	for i, id := range text {
		b, _, ok := step.ParseMarker(p.Strings.At(id))
		if !ok {
			continue
		}
		fresh, cached := b.PrefillRequests, b.DecodeRequests
		if fresh > 0 {
			if later(n) {
				fresh, cached = 0, cached+fresh
			}
			n++
		}
		text[i] = p.Strings.ID(fmt.Sprintf("execute_new_%d_cached_%d", fresh, cached))
	}
	p.Ranges.Text = text
}

// WholeGraphs puts one row per graph launch in place of the kernels inside, as --cuda-graph-trace=graph records them.
func WholeGraphs(p *profile.Profile) {
	k := &p.Kernels
	inside := func(i int) bool { return k.GraphNode[i] != 0 && k.Call[i] != profile.None }
	at := map[int32]int{}
	var g profile.GraphTraces
	for i, call := range k.Call {
		if !inside(i) {
			continue
		}
		n, ok := at[call]
		if !ok {
			n = len(g.Start)
			at[call] = n
			g.Start, g.Dur, g.Queue = append(g.Start, k.Start[i]), append(g.Dur, 0), append(g.Queue, k.Queue[i])
			g.Correlation, g.Call = append(g.Correlation, k.Correlation[i]), append(g.Call, call)
			g.Graph, g.Exec = append(g.Graph, 0), append(g.Exec, 0)
		}
		g.Dur[n] = max(g.Dur[n], k.Start[i]+k.Dur[i]-g.Start[n])
	}
	old := *k
	KeepKernels(p, func(i int) bool { return old.GraphNode[i] == 0 || old.Call[i] == profile.None })
	p.GraphTraces = g
}

// WithoutKVWrites removes the kernels that write the KV cache: nothing then tells how many tokens a step without a marker
// holds.
func WithoutKVWrites(p *profile.Profile) {
	KeepKernels(p, func(i int) bool {
		return !strings.Contains(p.Strings.At(p.Funcs[p.Kernels.Func[i]].Name), "_and_cache_")
	})
}

// CutDevice keeps the device work that starts in the window: a report cut by time.
func CutDevice(p *profile.Profile, w interval.Span) {
	KeepKernels(p, func(i int) bool { return w.Contains(p.Kernels.Start[i]) })
	c := p.Copies
	var idx []int32
	for i := range c.Start {
		if w.Contains(c.Start[i]) {
			idx = append(idx, int32(i))
		}
	}
	p.Copies = profile.Copies{Start: pick(c.Start, idx), Dur: pick(c.Dur, idx), Bytes: pick(c.Bytes, idx), Kind: pick(c.Kind, idx), Src: pick(c.Src, idx), Dst: pick(c.Dst, idx),
		Queue: pick(c.Queue, idx), Correlation: pick(c.Correlation, idx), Call: pick(c.Call, idx), GraphNode: pick(c.GraphNode, idx), Row: pick(c.Row, idx)}
	p.Memsets, p.GraphTraces = profile.Memsets{}, profile.GraphTraces{}
}

// Part returns the part of the device work's time between the fractions a and b.
func Part(p *profile.Profile, a, b float64) interval.Span {
	if p.Kernels.Len() == 0 {
		return p.Window
	}
	lo, d := p.Kernels.Start[0], float64(p.Kernels.End(p.Kernels.Len()-1)-p.Kernels.Start[0])
	return interval.Span{Start: lo + int64(a*d), End: lo + int64(b*d)}
}

// pick returns the values at idx; an absent column stays absent.
func pick[S ~[]T, T any](col S, idx []int32) S {
	if len(col) == 0 {
		return nil
	}
	out := make(S, len(idx))
	for i, j := range idx {
		out[i] = col[j]
	}
	return out
}
