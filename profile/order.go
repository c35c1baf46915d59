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
	{
		k := &p.Kernels
		o := Order(k.Start)
		k.Start, k.Dur, k.Func, k.Config = Permute(k.Start, o), Permute(k.Dur, o), Permute(k.Func, o), Permute(k.Config, o)
		k.Queue, k.Correlation, k.Call = Permute(k.Queue, o), Permute(k.Correlation, o), Permute(k.Call, o)
		k.GraphNode, k.Row = Permute(k.GraphNode, o), rowsOf(k.Row, o)
	}
	{
		m := &p.Copies
		o := Order(m.Start)
		m.Start, m.Dur, m.Bytes, m.Kind = Permute(m.Start, o), Permute(m.Dur, o), Permute(m.Bytes, o), Permute(m.Kind, o)
		m.Src, m.Dst, m.Queue = Permute(m.Src, o), Permute(m.Dst, o), Permute(m.Queue, o)
		m.Correlation, m.Call = Permute(m.Correlation, o), Permute(m.Call, o)
		m.GraphNode, m.Row = Permute(m.GraphNode, o), rowsOf(m.Row, o)
	}
	{
		s := &p.Memsets
		o := Order(s.Start)
		s.Start, s.Dur, s.Bytes, s.Mem = Permute(s.Start, o), Permute(s.Dur, o), Permute(s.Bytes, o), Permute(s.Mem, o)
		s.Queue, s.Correlation, s.Call = Permute(s.Queue, o), Permute(s.Correlation, o), Permute(s.Call, o)
		s.GraphNode, s.Row = Permute(s.GraphNode, o), rowsOf(s.Row, o)
	}
	{
		a := &p.Calls
		o := Order(a.Start)
		a.Start, a.Dur, a.Name, a.Thread = Permute(a.Start, o), Permute(a.Dur, o), Permute(a.Name, o), Permute(a.Thread, o)
		a.Correlation, a.Result = Permute(a.Correlation, o), Permute(a.Result, o)
		a.Class, a.External, a.Row = Permute(a.Class, o), Permute(a.External, o), rowsOf(a.Row, o)
	}
	{
		y := &p.Syncs
		o := Order(y.Start)
		y.Start, y.Dur, y.Kind, y.Queue = Permute(y.Start, o), Permute(y.Dur, o), Permute(y.Kind, o), Permute(y.Queue, o)
		y.Correlation, y.Call, y.Row = Permute(y.Correlation, o), Permute(y.Call, o), rowsOf(y.Row, o)
	}
	{
		r := &p.Ranges
		o := Order(r.Start)
		if o != nil && len(r.EndThread) > 0 {
			moved := make(map[int32]int32, len(r.EndThread))
			for i, j := range o {
				if t, ok := r.EndThread[j]; ok {
					moved[int32(i)] = t
				}
			}
			r.EndThread = moved
		}
		r.Start, r.Dur, r.Text, r.Thread = Permute(r.Start, o), Permute(r.Dur, o), Permute(r.Text, o), Permute(r.Thread, o)
		r.Domain, r.Kind, r.Row = Permute(r.Domain, o), Permute(r.Kind, o), rowsOf(r.Row, o)
	}
	{
		t := &p.Ops
		o := Order(t.Start)
		t.Start, t.Dur, t.Name, t.Thread = Permute(t.Start, o), Permute(t.Dur, o), Permute(t.Name, o), Permute(t.Thread, o)
		t.External, t.Dims, t.Types, t.Row = Permute(t.External, o), Permute(t.Dims, o), Permute(t.Types, o), rowsOf(t.Row, o)
	}
	for _, s := range []*Spans{&p.OSCalls, &p.LibCalls, &p.Overheads, &p.Frames} {
		o := Order(s.Start)
		s.Start, s.Dur, s.Name = Permute(s.Start, o), Permute(s.Dur, o), Permute(s.Name, o)
		s.Thread, s.Row = Permute(s.Thread, o), rowsOf(s.Row, o)
	}
	{
		g := &p.GraphTraces
		o := Order(g.Start)
		g.Start, g.Dur, g.Queue, g.Correlation = Permute(g.Start, o), Permute(g.Dur, o), Permute(g.Queue, o), Permute(g.Correlation, o)
		g.Call, g.Graph, g.Exec, g.Row = Permute(g.Call, o), Permute(g.Graph, o), Permute(g.Exec, o), rowsOf(g.Row, o)
	}
	{
		e := &p.GraphEvents
		o := Order(e.Start)
		e.Start, e.Dur, e.Kind, e.Thread = Permute(e.Start, o), Permute(e.Dur, o), Permute(e.Kind, o), Permute(e.Thread, o)
		e.Graph, e.Node, e.Original, e.Row = Permute(e.Graph, o), Permute(e.Node, o), Permute(e.Original, o), rowsOf(e.Row, o)
	}
	{
		v := &p.MemEvents
		o := Order(v.Start)
		v.Start, v.Bytes, v.Address, v.Mem = Permute(v.Start, o), Permute(v.Bytes, o), Permute(v.Address, o), Permute(v.Mem, o)
		v.Free, v.Process, v.Device, v.Name = Permute(v.Free, o), Permute(v.Process, o), Permute(v.Device, o), Permute(v.Name, o)
		v.PoolBytes, v.Row = Permute(v.PoolBytes, o), rowsOf(v.Row, o)
	}
}

// FuncName returns the demangled name of kernel i.
func (p *Profile) FuncName(i int) string { return p.Strings.At(p.Funcs[p.Kernels.Func[i]].Name) }

// CallName returns the recorded name of call i.
func (p *Profile) CallName(i int) string { return p.Strings.At(p.Calls.Name[i]) }
