package ncu

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/profile"
)

// Basis is what a match rests on, from the surest down.
type Basis uint8

// Bases of a match.
const (
	ByName  Basis = iota // full name, grid and block agree
	ByBase               // plain function name, grid and block agree: the tools spell the rest differently
	ByOrder              // as ByBase, and several kernels fit; order and durations told them apart
	ByCode               // the name agrees, the grid does not: the same code on another amount of work
)

// String returns the stable id of b.
func (b Basis) String() string { return [...]string{"name", "base", "order", "code"}[b] }

// MarshalText returns the stable id.
func (b Basis) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// Match is one function with one launch configuration of a profile and the launches of Nsight Compute that describe it.
type Match struct {
	Func, Config int32 // of the profile
	Launches     int64 // in the profile
	GPUNs        int64 // summed time in the profile
	Instances    []int // indices into File.Kernels, in the order of the file
	Basis        Basis // the weakest among the instances
	// Ambiguous says why the instances may describe another kernel; "" = they do not.
	Ambiguous string
}

// Joined is a profile's kernels with Nsight Compute's beside them.
type Joined struct {
	File      *File
	Matches   []Match // by GPU time, the largest first
	Unmatched []int   // kernels of the file that the profile does not have
	TotalNs   int64   // GPU time of all kernels of the profile
	MatchedNs int64   // GPU time of those with a match that is not ambiguous
	Warnings  []error
}

// pair is a function with one configuration.
type pair struct{ fn, config int32 }

type pairTime struct {
	pair
	launches, ns int64
	loose, base  string
	grid, block  [3]int32
	registers    int32
}

// Join lays the kernels of f beside those of p: by name, grid and block, and by order where that leaves a choice.
func Join(p *profile.Profile, f *File) *Joined {
	j := &Joined{File: f}
	pairs := pairTimes(p)
	for _, t := range pairs {
		j.TotalNs += t.ns
	}
	byLoose, byBase := map[string][]int{}, map[string][]int{}
	for i := range pairs {
		byLoose[pairs[i].loose] = append(byLoose[pairs[i].loose], i)
		byBase[pairs[i].base] = append(byBase[pairs[i].base], i)
	}
	type found struct {
		at    []int
		basis Basis
	}
	hits := make([]found, len(f.Kernels))
	for n := range f.Kernels {
		at, basis := candidates(&f.Kernels[n], pairs, byLoose, byBase)
		if len(at) == 0 {
			j.Unmatched = append(j.Unmatched, n)
			continue
		}
		hits[n] = found{at, basis}
	}
	// Kernels with the same choice of several functions are told apart by order, if at all.
	groups := map[string][]int{}
	for n, h := range hits {
		if functions(pairs, h.at) > 1 && !spelledOut(&f.Kernels[n]) {
			groups[fmt.Sprint(h.at)] = append(groups[fmt.Sprint(h.at)], n)
		}
	}
	for _, key := range sortedKeys(groups) {
		members := groups[key]
		if to := byOrder(p, f, pairs, hits[members[0]].at, members); to != nil {
			for i, n := range members {
				hits[n] = found{[]int{to[i]}, ByOrder}
			}
		}
	}
	matches := map[int]*Match{}
	for n, h := range hits {
		ambiguous := ""
		if c := functions(pairs, h.at); c > 1 {
			ambiguous = fmt.Sprintf("%d kernels of the profile fit %s with grid %v: %s", c, f.Kernels[n].Base, f.Kernels[n].Grid, rivals(p, pairs, h.at))
		} else if h.basis == ByBase && c == 1 && spelledOut(&f.Kernels[n]) && strings.Contains(pairs[h.at[0]].loose, "<") {
			ambiguous = fmt.Sprintf("name, grid and block agree, the template arguments do not, so it may be another instance: %s; %s",
				list([]string{f.Kernels[n].Name}, 1), rivals(p, pairs, h.at))
		}
		for _, i := range h.at {
			m, ok := matches[i]
			if !ok {
				m = &Match{Func: pairs[i].fn, Config: pairs[i].config, Launches: pairs[i].launches, GPUNs: pairs[i].ns}
				matches[i] = m
			}
			m.Instances = append(m.Instances, n)
			m.Basis = max(m.Basis, h.basis)
			if m.Ambiguous == "" {
				m.Ambiguous = ambiguous
			}
		}
	}
	for _, m := range matches {
		slices.Sort(m.Instances)
		j.Matches = append(j.Matches, *m)
		if m.Ambiguous == "" && m.Basis != ByCode {
			j.MatchedNs += m.GPUNs
		}
	}
	slices.SortFunc(j.Matches, func(a, b Match) int {
		return cmp.Or(cmp.Compare(b.GPUNs, a.GPUNs), cmp.Compare(a.Func, b.Func), cmp.Compare(a.Config, b.Config))
	})
	if n := len(j.Unmatched); n > 0 {
		names := map[string]bool{}
		for _, i := range j.Unmatched {
			names[f.Kernels[i].Base] = true
		}
		j.Warnings = append(j.Warnings, fmt.Errorf("%d of %d kernels of %s are not in the profile: %s", n, len(f.Kernels), f.Name, list(sortedKeys(names), 5)))
	}
	return j
}

// pairTimes returns the function-configuration pairs of p with their time, in order of function and configuration.
func pairTimes(p *profile.Profile) []pairTime {
	at := map[pair]int{}
	var out []pairTime
	loose := make([]string, len(p.Funcs))
	base := make([]string, len(p.Funcs))
	for i, f := range p.Funcs {
		name := p.Strings.At(f.Name)
		loose[i], base[i] = looseName(name), profile.BaseName(name)
	}
	for i, fn := range p.Kernels.Func {
		k := pair{fn, p.Kernels.Config[i]}
		n, ok := at[k]
		if !ok {
			n = len(out)
			at[k] = n
			c := p.Configs[k.config]
			out = append(out, pairTime{pair: k, loose: loose[fn], base: base[fn], grid: c.Grid, block: c.Block, registers: c.Registers})
		}
		out[n].launches++
		out[n].ns += p.Kernels.Dur[i]
	}
	slices.SortFunc(out, func(a, b pairTime) int { return cmp.Or(cmp.Compare(a.fn, b.fn), cmp.Compare(a.config, b.config)) })
	return out
}

// candidates returns the pairs that fit k best.
func candidates(k *Kernel, pairs []pairTime, byLoose, byBase map[string][]int) ([]int, Basis) {
	shape := func(from []int, grid bool) (at []int) {
		for _, i := range from {
			if same(k.Block, pairs[i].block) && (!grid || same(k.Grid, pairs[i].grid)) {
				at = append(at, i)
			}
		}
		return at
	}
	loose := looseName(k.Name)
	for _, c := range []struct {
		from  []int
		grid  bool
		basis Basis
	}{
		{byLoose[loose], true, ByName},
		{byBase[k.Base], true, ByBase},
		{byLoose[loose], false, ByCode},
	} {
		if at := registers(k, pairs, shape(c.from, c.grid)); len(at) > 0 {
			return at, c.basis
		}
	}
	return nil, 0
}

// same reports whether two shapes agree; one that is not recorded agrees with any.
func same(a, b [3]int32) bool { return a == b || a == [3]int32{} || b == [3]int32{} }

// registers narrows candidates down to those with the kernel's register count, where that helps.
func registers(k *Kernel, pairs []pairTime, at []int) []int {
	r, ok := k.Registers()
	if !ok || len(at) < 2 {
		return at
	}
	var keep []int
	for _, i := range at {
		if int64(pairs[i].registers) == r {
			keep = append(keep, i)
		}
	}
	if len(keep) > 0 {
		return keep
	}
	return at
}

// spelledOut reports whether a name has its template arguments, so that it names one function only.
func spelledOut(k *Kernel) bool { return strings.Contains(k.Name, "<") }

// functions counts the distinct functions among pairs.
func functions(pairs []pairTime, at []int) int {
	seen := map[int32]bool{}
	for _, i := range at {
		seen[pairs[i].fn] = true
	}
	return len(seen)
}

func rivals(p *profile.Profile, pairs []pairTime, at []int) string {
	var names []string
	for _, i := range at {
		n := p.Strings.At(p.Funcs[pairs[i].fn].Name)
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return list(names, 3)
}

// list prints the first n of names, each cut to a readable length.
func list(names []string, n int) string {
	out := make([]string, 0, n)
	for _, s := range names[:min(n, len(names))] {
		if len(s) > 120 {
			s = strings.ToValidUTF8(s[:120], "") + "..."
		}
		out = append(out, s)
	}
	if len(names) > n {
		out = append(out, fmt.Sprintf("and %d more", len(names)-n))
	}
	return strings.Join(out, ", ")
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Value returns the median of a metric over the instances of a match and how many instances hold it; ok is false when
// none does.
func (j *Joined) Value(m *Match, metric Metric) (median float64, n int, ok bool) {
	var v []float64
	for _, i := range m.Instances {
		if x, ok := metric.Of(&j.File.Kernels[i]); ok {
			v = append(v, x)
		}
	}
	if len(v) == 0 {
		return 0, 0, false
	}
	slices.Sort(v)
	mid := len(v) / 2
	if len(v)%2 == 1 {
		return v[mid], len(v), true
	}
	return (v[mid-1] + v[mid]) / 2, len(v), true
}
