package web

import (
	"cmp"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

// searchKind is a table that names are searched in.
type searchKind uint8

const (
	searchKernels searchKind = iota
	searchRanges
	searchOps
	searchCalls
	numSearchKinds
)

var searchKindNames = [numSearchKinds]string{"kernel", "annotation", "operator", "API call"}

// searchName is one distinct name of a table.
type searchName struct {
	kind  searchKind
	key   uint32 // function, or string
	count int
	ns    int64
}

// searchNames lists the distinct names with their totals, once.
func (m *Model) searchNames() []searchName {
	p := m.p
	var out []searchName
	collect := func(kind searchKind, n, keys int, key func(i int) uint32, dur []int64) {
		count, ns := make([]int, keys), make([]int64, keys)
		for i := range n {
			k := key(i)
			count[k]++
			ns[k] += max(0, dur[i])
		}
		for k, c := range count {
			if c > 0 {
				out = append(out, searchName{kind, uint32(k), c, ns[k]})
			}
		}
	}
	strs := p.Strings.Len()
	collect(searchKernels, p.Kernels.Len(), len(p.Funcs), func(i int) uint32 { return uint32(p.Kernels.Func[i]) }, p.Kernels.Dur)
	collect(searchRanges, p.Ranges.Len(), strs, func(i int) uint32 { return uint32(p.Ranges.Text[i]) }, p.Ranges.Dur)
	collect(searchOps, p.Ops.Len(), strs, func(i int) uint32 { return uint32(p.Ops.Name[i]) }, p.Ops.Dur)
	collect(searchCalls, p.Calls.Len(), strs, func(i int) uint32 { return uint32(p.Calls.Name[i]) }, p.Calls.Dur)
	return out
}

func (m *Model) nameOf(n *searchName) string {
	if n.kind == searchKernels {
		return m.p.Strings.At(m.p.Funcs[n.key].Name)
	}
	return m.p.Strings.At(profile.StringID(n.key))
}

// Match is one name that a search found.
type Match struct {
	Kind  string `json:"kind"`
	Key   uint32 `json:"key"` // of the labels in tiles
	Name  string `json:"name"`
	Count int    `json:"count"`
	Ns    int64  `json:"ns"`
}

// SearchResult is the names that contain a text, and where in the recording their events lie.
type SearchResult struct {
	Names   int     `json:"names"`  // distinct names that match
	Events  int     `json:"events"` // events of these names
	Matches []Match `json:"matches"`
	Hits    []int   `json:"hits"` // events that start in each of searchBins bins of the whole recording
	// Stages are the stages whose name in the legend contains the text, as indices into the set of parts. Their kernels are
	// found as well, whatever they are called.
	Stages []int `json:"stages"`
}

const (
	maxQuery   = 200
	maxMatches = 50
	searchBins = 512
)

// wanted is what a search is about: names, as keys of each kind, and stages of kernels.
type wanted struct {
	keys   [numSearchKinds][]bool
	stages []bool // nil = none
}

// has reports whether event i of a table, whose name has this key, is wanted.
func (w *wanted) has(m *Model, kind searchKind, i int, key uint32) bool {
	return w.keys[kind] != nil && w.keys[kind][key] || kind == searchKernels && w.stages != nil && w.stages[m.a.Stage[i]]
}

// any reports whether events of a kind can be wanted.
func (w *wanted) any(kind searchKind) bool {
	return w.keys[kind] != nil || kind == searchKernels && w.stages != nil
}

// matching finds what contains q, without regard to case.
func (m *Model) matching(q string) (w wanted, found []searchName) {
	q = strings.ToLower(q)
	for i := range m.names {
		n := &m.names[i]
		if !strings.Contains(strings.ToLower(m.nameOf(n)), q) {
			continue
		}
		found = append(found, *n)
		if w.keys[n.kind] == nil {
			size := m.p.Strings.Len()
			if n.kind == searchKernels {
				size = len(m.p.Funcs)
			}
			w.keys[n.kind] = make([]bool, size)
		}
		w.keys[n.kind][n.key] = true
	}
	for s := range kernel.NumStages {
		if strings.Contains(strings.ToLower(m.sets[setPart][s].Label), q) {
			if w.stages == nil {
				w.stages = make([]bool, kernel.NumStages)
			}
			w.stages[s] = true
		}
	}
	return w, found
}

// search finds names and stages that contain q: kernels first, then by time.
func (m *Model) search(q string) SearchResult {
	res := SearchResult{Matches: []Match{}, Hits: make([]int, searchBins), Stages: []int{}}
	if q == "" || len(q) > maxQuery {
		return res
	}
	w, found := m.matching(q)
	res.Names = len(found)
	slices.SortStableFunc(found, func(x, y searchName) int { return cmp.Or(cmp.Compare(x.kind, y.kind), cmp.Compare(y.ns, x.ns)) })
	for i := range min(len(found), maxMatches) {
		n := &found[i]
		res.Matches = append(res.Matches, Match{searchKindNames[n.kind], n.key, clean(m.nameOf(n), maxName), n.count, n.ns})
	}
	for s, in := range w.stages {
		if in {
			res.Stages = append(res.Stages, s)
		}
	}
	width := max(1, (m.extent()+searchBins-1)/searchBins)
	for kind := range numSearchKinds {
		if !w.any(kind) {
			continue
		}
		start, key := m.searchTable(kind)
		for i, t := range start {
			if !w.has(m, kind, i, key(i)) {
				continue
			}
			res.Events++
			if b := (t - m.origin) / width; b >= 0 && b < searchBins {
				res.Hits[b]++
			}
		}
	}
	return res
}

// searchTable returns the starts of a table's events and the keys of their names.
func (m *Model) searchTable(k searchKind) (start []int64, key func(i int) uint32) {
	p := m.p
	switch k {
	case searchKernels:
		return p.Kernels.Start, func(i int) uint32 { return uint32(p.Kernels.Func[i]) }
	case searchRanges:
		return p.Ranges.Start, func(i int) uint32 { return uint32(p.Ranges.Text[i]) }
	case searchOps:
		return p.Ops.Start, func(i int) uint32 { return uint32(p.Ops.Name[i]) }
	default:
		return p.Calls.Start, func(i int) uint32 { return uint32(p.Calls.Name[i]) }
	}
}

// find returns the next event after t, or the last one before it, that matches q: a kernel where one is left in that
// direction, else an event of the next kind.
func (m *Model) find(q string, t int64, forward bool) (Ref, bool) {
	if q == "" || len(q) > maxQuery {
		return Ref{}, false
	}
	w, _ := m.matching(q)
	for kind := range numSearchKinds {
		if !w.any(kind) {
			continue
		}
		start, key := m.searchTable(kind)
		lo, hi := searchRange(start, interval.Span{Start: t, End: t + 1})
		i, by := hi, 1
		if !forward {
			i, by = lo-1, -1
		}
		for ; i >= 0 && i < len(start); i += by {
			if w.has(m, kind, i, key(i)) {
				if r, ok := m.eventRef(kind, i); ok {
					return r, true
				}
			}
		}
	}
	return Ref{}, false
}

// eventRef leads to event i of a table.
func (m *Model) eventRef(k searchKind, i int) (Ref, bool) {
	p := m.p
	switch k {
	case searchKernels:
		lane, ok := m.streamOf[p.Kernels.Queue[i]]
		return m.ref(lane, ok, uint32(step.NewOp(step.OpKernel, i)))
	case searchRanges:
		lane, ok := m.rangeOf[p.Ranges.Thread[i]]
		return m.ref(lane, ok, uint32(i))
	case searchOps:
		lane, ok := m.opOf[p.Ops.Thread[i]]
		return m.ref(lane, ok, uint32(i))
	default:
		lane, ok := m.callOf[callLane{p.Calls.Thread[i], libraryOf(p.CallName(i))}]
		return m.ref(lane, ok, uint32(i))
	}
}
