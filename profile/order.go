package profile

import (
	"cmp"
	"slices"
)

// Order returns the permutation that sorts start stably, or nil if start is sorted already.
func Order(start []int64) []int32 {
	if slices.IsSorted(start) {
		return nil
	}
	perm := make([]int32, len(start))
	for i := range perm {
		perm[i] = int32(i)
	}
	slices.SortStableFunc(perm, func(a, b int32) int { return cmp.Compare(start[a], start[b]) })
	return perm
}

// Permute returns col reordered by perm; nil perm returns col itself.
func Permute[T any](col []T, perm []int32) []T {
	if perm == nil || col == nil {
		return col
	}
	out := make([]T, len(perm))
	for i, j := range perm {
		out[i] = col[j]
	}
	return out
}

// rowsOf keeps Rows truthful through a permutation.
func rowsOf(r Rows, perm []int32) Rows {
	if perm == nil {
		return r
	}
	out := make(Rows, len(perm))
	for i, j := range perm {
		if r == nil {
			out[i] = uint32(j) + 1
		} else {
			out[i] = r[j]
		}
	}
	return out
}

// Sort brings every table into order of Start and keeps Row truthful. Readers call it once, before Join.
func (p *Profile) Sort() {
	p.Kernels.Select(Order(p.Kernels.Start))
	p.Copies.Select(Order(p.Copies.Start))
	p.Memsets.Select(Order(p.Memsets.Start))
	p.Calls.Select(Order(p.Calls.Start))
	p.Syncs.Select(Order(p.Syncs.Start))
	p.Ranges.Select(Order(p.Ranges.Start))
	p.Ops.Select(Order(p.Ops.Start))
	for _, s := range []*Spans{&p.OSCalls, &p.LibCalls, &p.Overheads, &p.Frames} {
		s.Select(Order(s.Start))
	}
	p.GraphTraces.Select(Order(p.GraphTraces.Start))
	p.GraphEvents.Select(Order(p.GraphEvents.Start))
	p.MemEvents.Select(Order(p.MemEvents.Start))
}

// FuncName returns the demangled name of kernel i.
func (p *Profile) FuncName(i int) string { return p.Strings.At(p.Funcs[p.Kernels.Func[i]].Name) }

// CallName returns the recorded name of call i.
func (p *Profile) CallName(i int) string { return p.Strings.At(p.Calls.Name[i]) }
