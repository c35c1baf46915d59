package summary

import (
	"cmp"
	"fmt"

	"github.com/stepscope/stepscope/profile"
)

// kernelNames gives kernels the name under which a report's options list them.
type kernelNames struct {
	ids    []int32 // per kernel, index into labels
	labels []string
}

// nameKernels applies the options: the base name, the mangled name where it was recorded, and the innermost NVTX range
// around the launch call as a prefix, without its domain.
func nameKernels(p *profile.Profile, o options) kernelNames {
	names := newKeyIndex[string]()
	ofFunc := make([]int32, len(p.Funcs))
	for f := range p.Funcs {
		ofFunc[f] = names.of(funcLabel(p, int32(f), o))
	}
	k := &p.Kernels
	ids := make([]int32, k.Len())
	for i, f := range k.Func {
		ids[i] = ofFunc[f]
	}
	if !o.nvtxName {
		return kernelNames{ids, names.keys}
	}
	around := innermost(p)
	type pair struct{ rng, name int32 }
	pairs := newKeyIndex[pair]()
	prev, prevID := pair{-2, -2}, int32(0)
	for i := range ids {
		key := pair{profile.None, ids[i]}
		if c := k.Call[i]; c != profile.None && around[c] != profile.None {
			key.rng = int32(p.Ranges.Text[around[c]])
		}
		if key != prev {
			prev, prevID = key, pairs.of(key)
		}
		ids[i] = prevID
	}
	labels := make([]string, len(pairs.keys))
	for i, key := range pairs.keys {
		labels[i] = names.keys[key.name]
		if key.rng != profile.None {
			labels[i] = p.Strings.At(profile.StringID(key.rng)) + "/" + labels[i]
		}
	}
	return kernelNames{ids, labels}
}

// funcLabel is the name of a function under the options. A mangled or base name that was not recorded falls back to the
// demangled one.
func funcLabel(p *profile.Profile, f int32, o options) string {
	fn := p.Funcs[f]
	id := fn.Name
	switch {
	case o.base && fn.Short != 0:
		id = fn.Short
	case o.mangled && fn.Mangled != 0:
		id = fn.Mangled
	}
	return p.Strings.At(id)
}

func kernelSum(p *profile.Profile, o options) *Table {
	names := nameKernels(p, o)
	values := partition(names.ids, len(names.labels), func(i int) int64 { return p.Kernels.Dur[i] })
	groups := summarise(values, func(a, b int32) int { return cmp.Compare(names.labels[a], names.labels[b]) })
	byAverage(groups)
	return timeTable("Instances", groups, []Column{{Name: "Name"}}, func(k int32, v []Value) []Value {
		return append(v, Str(names.labels[k]))
	})
}

func kernelGridSum(p *profile.Profile, o options) *Table {
	names := nameKernels(p, o)
	type shape struct{ grid, block [3]int32 }
	shapes := newKeyIndex[shape]()
	ofConfig := make([]int32, len(p.Configs))
	for c := range p.Configs {
		ofConfig[c] = shapes.of(shape{p.Configs[c].Grid, p.Configs[c].Block})
	}
	type key struct{ name, shape int32 }
	keys := newKeyIndex[key]()
	ids := names.ids
	prev, prevID := key{-1, -1}, int32(0)
	for i, c := range p.Kernels.Config {
		k := key{ids[i], ofConfig[c]}
		if k != prev {
			prev, prevID = k, keys.of(k)
		}
		ids[i] = prevID
	}
	values := partition(ids, len(keys.keys), func(i int) int64 { return p.Kernels.Dur[i] })
	groups := summarise(values, func(a, b int32) int {
		x, y := keys.keys[a], keys.keys[b]
		if c := cmp.Compare(names.labels[x.name], names.labels[y.name]); c != 0 {
			return c
		}
		s, t := shapes.keys[x.shape], shapes.keys[y.shape]
		if c := compareDims(s.grid, t.grid); c != 0 {
			return c
		}
		return compareDims(s.block, t.block)
	})
	byAverage(groups)
	cols := []Column{{Name: "GridXYZ"}, {Name: "BlockXYZ"}, {Name: "Name"}}
	return timeTable("Instances", groups, cols, func(k int32, v []Value) []Value {
		s := shapes.keys[keys.keys[k].shape]
		return append(v, Str(dims(s.grid)), Str(dims(s.block)), Str(names.labels[keys.keys[k].name]))
	})
}

// dims prints a grid or block as nsys does, each part padded to four places.
func dims(d [3]int32) string { return fmt.Sprintf("%4d %4d %4d", d[0], d[1], d[2]) }

func compareDims(a, b [3]int32) int {
	for i := range a {
		if c := cmp.Compare(a[i], b[i]); c != 0 {
			return c
		}
	}
	return 0
}
