package web

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/step"
)

// Selection is the totals of a stretch of time. Times are ns from the model's origin.
type Selection struct {
	Start  int64   `json:"start_ns"`
	Dur    int64   `json:"dur_ns"`
	Text   string  `json:"text"` // one or two sentences
	Tables []Table `json:"tables"`
}

// Limits of a selection's tables.
const (
	maxSelectionTables = 24
	maxTopKernels      = 12
)

// selection adds up what happened in w, clipped at its ends.
func (m *Model) selection(w interval.Span) Selection {
	w = w.Clip(m.span())
	s := Selection{Start: w.Start - m.origin, Dur: w.Dur(), Tables: []Table{}}
	text := duration(w.Dur()) + " selected"
	for ri := range m.a.Ranks {
		r := &m.a.Ranks[ri]
		if len(s.Tables) >= maxSelectionTables {
			break
		}
		name := ""
		if len(m.a.Ranks) > 1 {
			name = ", " + m.rankName(ri)
		}
		if b := m.rankOf[ri].budget; b >= 0 {
			sums := make([]int64, step.NumParts)
			m.lanes[b].rows[0].mip.Totals(w, sums)
			t := m.table("Time of the steps by part"+name, setPart, sums, sum(sums))
			if t.TotalNs > 0 {
				s.Tables = append(s.Tables, t)
			}
		}
		if r.Engine0 || len(m.a.Primary) == 0 {
			text += m.rankText(ri, w)
		}
		if t, ok := m.laneTable(m.rankOf[ri].copies, "Copies"+name, w); ok {
			s.Tables = append(s.Tables, t)
		}
	}
	for n, l := range m.lanes {
		if len(s.Tables) >= maxSelectionTables {
			break
		}
		switch l.role {
		case roleStream:
			if t, ok := m.laneTable(n, "Kernel time by stage, "+l.title+" of "+m.groups[m.groupOf[n]].title, w); ok {
				s.Tables = append(s.Tables, t)
			}
		case roleCalls:
			if m.groups[m.groupOf[n]].open {
				if t, ok := m.laneTable(n, l.title+" calls, "+m.groups[m.groupOf[n]].title, w); ok {
					s.Tables = append(s.Tables, t)
				}
			}
		}
	}
	if t := m.topKernels(w); len(t.Rows) > 0 {
		s.Tables = append(s.Tables, t)
	}
	for i := range s.Tables {
		s.Tables[i].Title = clean(s.Tables[i].Title, maxName)
	}
	s.Text = clean(text, maxName)
	return s
}

func sum(v []int64) (n int64) {
	for _, x := range v {
		n += x
	}
	return n
}

// laneTable adds up a lane's rows by category.
func (m *Model) laneTable(lane int, title string, w interval.Span) (Table, bool) {
	if lane < 0 {
		return Table{}, false
	}
	l := m.lanes[lane]
	sums := make([]int64, len(m.sets[l.set]))
	n := 0
	for _, r := range l.rows {
		n += r.mip.Totals(w, sums)
	}
	if n == 0 {
		return Table{}, false
	}
	return m.table(fmt.Sprintf("%s (%d)", title, n), l.set, sums, sum(sums)), true
}

// rankText says in words what a rank did in w.
func (m *Model) rankText(ri int, w interval.Span) string {
	r := &m.a.Ranks[ri]
	name := m.deviceName(r.Device)
	if len(m.a.Ranks) > 1 {
		name = m.rankName(ri)
	}
	text := fmt.Sprintf("; %s busy %.1f %%", name, 100*float64(interval.Busy(m.a.Busy[r.Device], w))/float64(max(1, w.Dur())))
	if len(r.Steps) == 0 {
		return text
	}
	byPhase := map[step.Phase]int{}
	n := 0
	for _, s := range r.Steps {
		if st := &m.a.Steps[s]; st.GPU.Overlaps(w) {
			byPhase[st.Phase]++
			n++
		}
	}
	text += fmt.Sprintf(", %d steps", n)
	sep := " ("
	for _, p := range []step.Phase{step.Prefill, step.Mixed, step.Decode, step.Unknown, step.Empty} {
		if c := byPhase[p]; c > 0 {
			text += fmt.Sprintf("%s%d %s", sep, c, p)
			sep = ", "
		}
	}
	if n > 0 {
		text += ")"
	}
	sums := make([]int64, step.NumParts)
	m.lanes[m.rankOf[ri].idle].rows[0].mip.Totals(w, sums)
	most := slices.Index(sums, slices.Max(sums))
	if sums[most] > 0 {
		text += fmt.Sprintf(", largest idle cause: %s, %s", m.sets[setPart][most].Label, duration(sums[most]))
	}
	return text
}

// topKernels lists the functions that take most of w. Kernels count by the part of them inside w.
func (m *Model) topKernels(w interval.Span) Table {
	k := &m.p.Kernels
	type agg struct {
		ns    int64
		count int
		at    int // one of them
	}
	by := make([]agg, len(m.p.Funcs))
	var total int64
	for _, l := range m.lanes {
		if l.role != roleStream {
			continue
		}
		for _, r := range l.rows {
			lo, hi := r.mip.Find(w)
			for i := lo; i < hi; i++ {
				o := step.Op(r.id(i))
				if o.Kind() != step.OpKernel {
					continue
				}
				s, _ := r.At(i)
				a := &by[k.Func[o.Index()]]
				ns := s.Clip(w).Dur()
				a.ns, a.count, a.at = a.ns+ns, a.count+1, o.Index()
				total += ns
			}
		}
	}
	order := make([]int, 0, len(by))
	for f := range by {
		if by[f].count > 0 {
			order = append(order, f)
		}
	}
	slices.SortFunc(order, func(x, y int) int { return cmp.Or(cmp.Compare(by[y].ns, by[x].ns), cmp.Compare(x, y)) })
	t := Table{Title: "Kernels by name", TotalNs: total, Rows: []Amount{}}
	for _, f := range order[:min(len(order), maxTopKernels)] {
		a := &by[f]
		row := Amount{Label: clean(shortName(m.p, int32(f)), maxLabel), Color: m.sets[setPart][m.a.Stage[a.at]].Color, Ns: a.ns, Count: a.count}
		if total > 0 {
			row.Share = float64(a.ns) / float64(total)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// jump finds the step after or before t on the lane of the first rank with steps: the start of the wanted step.
func (m *Model) jump(t int64, forward bool) (Ref, bool) {
	for ri := range m.a.Ranks {
		r := &m.a.Ranks[ri]
		if !r.Engine0 || len(r.Steps) == 0 {
			continue
		}
		k, found := slices.BinarySearchFunc(r.Steps, t, func(s int32, t int64) int { return cmp.Compare(m.a.Steps[s].GPU.Start, t) })
		if forward {
			if found {
				k++
			}
		} else {
			k--
		}
		if k < 0 || k >= len(r.Steps) {
			return Ref{}, false
		}
		return m.ref(m.rankOf[ri].steps, true, uint32(r.Steps[k]))
	}
	return Ref{}, false
}

// near finds an event of a row: the one at t, else the nearest.
func (m *Model) near(lane, row int, t int64) (Ref, bool) {
	if lane < 0 || lane >= len(m.lanes) || row < 0 || row >= len(m.lanes[lane].rows) {
		return Ref{}, false
	}
	r := m.lanes[lane].rows[row]
	if r.n == 0 {
		return Ref{}, false
	}
	lo, hi := r.mip.Find(interval.Span{Start: t, End: t + 1})
	at := lo
	if lo == hi {
		// Nothing here: the nearer of the two neighbours.
		at = min(lo, r.n-1)
		if at > 0 {
			next, _ := r.At(at)
			prev, _ := r.At(at - 1)
			if next.Start < t || t-prev.End < next.Start-t {
				at--
			}
		}
	}
	s, _ := r.At(at)
	return Ref{Lane: lane, Row: row, At: at, Start: s.Start - m.origin, Dur: s.Dur()}, true
}
