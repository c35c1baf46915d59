package diagnose

import (
	"cmp"
	"slices"

	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
)

// maxAPIFacts bounds the API table of a report.
const maxAPIFacts = 40

// apiFacts profiles host calls per thread, library and function, over the whole capture.
func (c *Context) apiFacts() []APIFacts {
	p := c.P
	type key struct {
		thread int32
		name   profile.StringID
	}
	type agg struct {
		durs   []int64
		total  int64
		max    int64
		maxRow int64
		lib    string
		kind   kernel.APIKind
	}
	by := map[key]*agg{}
	add := func(t int32, n profile.StringID, dur, row int64) {
		k := key{t, n}
		a := by[k]
		if a == nil {
			name := p.Strings.At(n)
			a = &agg{lib: kernel.Library(name), kind: kernel.KindOf(name), max: -1}
			by[k] = a
		}
		a.durs = append(a.durs, dur)
		a.total += dur
		if dur > a.max {
			a.max, a.maxRow = dur, row
		}
	}
	for i, n := range p.Calls.Name {
		add(p.Calls.Thread[i], n, p.Calls.Dur[i], p.Calls.Row.At(i))
	}
	for i, n := range p.LibCalls.Name {
		if t := p.LibCalls.Thread[i]; t != profile.None {
			add(t, n, p.LibCalls.Dur[i], p.LibCalls.Row.At(i))
		}
	}
	out := make([]APIFacts, 0, len(by))
	steps := len(c.A.Primary)
	for k, a := range by {
		q := quantiles(a.durs)
		t := p.Threads[k.thread]
		f := APIFacts{Process: p.Processes[t.Process].Name, PID: p.Processes[t.Process].PID, TID: t.TID, Library: a.lib,
			Name: kernel.StripAPIVersion(p.Strings.At(k.name)), Kind: a.kind.String(), Calls: len(a.durs), TotalNs: a.total,
			P50Ns: q.Median, P99Ns: q.P99, MaxNs: a.max, MaxRow: a.maxRow}
		if steps > 0 {
			f.PerStep = float64(len(a.durs)) / float64(steps)
		}
		out = append(out, f)
	}
	slices.SortFunc(out, func(x, y APIFacts) int {
		return cmp.Or(cmp.Compare(y.TotalNs, x.TotalNs), cmp.Compare(x.PID, y.PID), cmp.Compare(x.TID, y.TID),
			cmp.Compare(x.Name, y.Name))
	})
	if len(out) > maxAPIFacts {
		out = out[:maxAPIFacts]
	}
	return out
}
