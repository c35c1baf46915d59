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
	calls := groupCalls(p.Calls.Thread, p.Calls.Name, p.Calls.Dur)
	libs := groupCalls(p.LibCalls.Thread, p.LibCalls.Name, p.LibCalls.Dur)
	out := make([]APIFacts, 0, len(calls)+len(libs))
	steps := len(c.A.Primary)
	for _, set := range []struct {
		groups []callGroup
		rows   profile.Rows
	}{{calls, p.Calls.Row}, {libs, p.LibCalls.Row}} {
		for _, g := range set.groups {
			if g.thread == profile.None {
				continue
			}
			t := p.Threads[g.thread]
			name := p.Strings.At(g.name)
			f := APIFacts{Process: p.Processes[t.Process].Name, PID: p.Processes[t.Process].PID, TID: t.TID, Library: kernel.Library(name),
				Name: kernel.StripAPIVersion(name), Kind: kernel.KindOf(name).String(), Calls: len(g.durs), TotalNs: g.total,
				MaxNs: g.max, MaxRow: set.rows.At(int(g.maxAt))}
			f.P50Ns, f.P99Ns = g.median(), nth(g.durs, rankOf(0.99, len(g.durs)))
			if steps > 0 {
				f.PerStep = float64(len(g.durs)) / float64(steps)
			}
			out = append(out, f)
		}
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

// callGroup is the calls of one function on one thread.
type callGroup struct {
	thread int32
	name   profile.StringID
	durs   []int64 // in no order
	total  int64
	max    int64
	maxAt  int32 // index of the longest call
}

func (g *callGroup) median() int64 {
	n := len(g.durs)
	hi := nth(g.durs, n/2)
	if n%2 == 1 {
		return hi
	}
	lo := slices.Max(g.durs[:n/2])
	return lo + (hi-lo)/2
}

// groupCalls sorts calls into groups with two passes over the columns and one allocation for all durations.
func groupCalls(thread []int32, name []profile.StringID, dur []int64) []callGroup {
	type key struct {
		thread int32
		name   profile.StringID
	}
	ids := map[key]int32{}
	var groups []callGroup
	of := make([]int32, len(dur))
	var count []int
	// Calls come in runs and in repeating patterns, so a small cache in front of the map answers most look-ups.
	var cache [256]struct {
		k  key
		id int32
	}
	for i := range cache {
		cache[i].id = -1
	}
	for i := range dur {
		k := key{thread[i], name[i]}
		c := &cache[(uint32(k.name)*31+uint32(k.thread))&255]
		if c.id < 0 || c.k != k {
			id, ok := ids[k]
			if !ok {
				id = int32(len(groups))
				ids[k] = id
				groups = append(groups, callGroup{thread: k.thread, name: k.name, max: -1})
				count = append(count, 0)
			}
			c.k, c.id = k, id
		}
		of[i] = c.id
		count[c.id]++
	}
	flat := make([]int64, len(dur))
	at := 0
	for g := range groups {
		groups[g].durs = flat[at : at : at+count[g]]
		at += count[g]
	}
	for i, d := range dur {
		g := &groups[of[i]]
		g.durs = append(g.durs, d)
		g.total += d
		if d > g.max {
			g.max, g.maxAt = d, int32(i)
		}
	}
	return groups
}

// rankOf is the index of the nearest-rank quantile q of n values.
func rankOf(q float64, n int) int {
	return max(0, min(n-1, int(q*float64(n)+0.999999)-1))
}

// nth returns the value that sorting would put at index k, and partly sorts v around it. v must not be empty.
func nth(v []int64, k int) int64 {
	lo, hi := 0, len(v)-1
	for lo < hi {
		mid := v[lo+(hi-lo)/2]
		i, j := lo, hi
		for i <= j {
			for v[i] < mid {
				i++
			}
			for v[j] > mid {
				j--
			}
			if i <= j {
				v[i], v[j] = v[j], v[i]
				i++
				j--
			}
		}
		switch {
		case k <= j:
			hi = j
		case k >= i:
			lo = i
		default:
			return v[k]
		}
	}
	return v[k]
}
