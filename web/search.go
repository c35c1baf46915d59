package web

import (
	"cmp"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/interval"
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

// stageOf is what the legend calls the stage of a function.
func (m *Model) stageOf(f uint32) string {
	return m.sets[setPart][step.Part(m.a.Classes[f].Stage)].Label
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
}

const (
	maxQuery   = 200
	maxMatches = 50
	searchBins = 512
)

// matching marks the keys of each kind whose name contains q, or whose stage does, without regard to case.
func (m *Model) matching(q string) (keys [numSearchKinds][]bool, found []searchName) {
	q = strings.ToLower(q)
	for i := range m.names {
		n := &m.names[i]
		if !strings.Contains(strings.ToLower(m.nameOf(n)), q) && !(n.kind == searchKernels && strings.Contains(strings.ToLower(m.stageOf(n.key)), q)) {
			continue
		}
		found = append(found, *n)
		if keys[n.kind] == nil {
			size := m.p.Strings.Len()
			if n.kind == searchKernels {
				size = len(m.p.Funcs)
			}
			keys[n.kind] = make([]bool, size)
		}
		keys[n.kind][n.key] = true
	}
	return keys, found
}

// search finds names that contain q: kernels first, then by time.
func (m *Model) search(q string) SearchResult {
	res := SearchResult{Matches: []Match{}, Hits: make([]int, searchBins)}
	if q == "" || len(q) > maxQuery {
		return res
	}
	keys, found := m.matching(q)
	res.Names = len(found)
	slices.SortStableFunc(found, func(x, y searchName) int { return cmp.Or(cmp.Compare(x.kind, y.kind), cmp.Compare(y.ns, x.ns)) })
	for i := range found {
		n := &found[i]
		res.Events += n.count
		if len(res.Matches) < maxMatches {
			res.Matches = append(res.Matches, Match{searchKindNames[n.kind], n.key, clean(m.nameOf(n), maxName), n.count, n.ns})
		}
	}
	width := max(1, (m.extent()+searchBins-1)/searchBins)
	for kind, in := range keys {
		if in == nil {
			continue
		}
		start, key := m.searchTable(searchKind(kind))
		for i, t := range start {
			if in[key(i)] {
				if b := (t - m.origin) / width; b >= 0 && b < searchBins {
					res.Hits[b]++
				}
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

// find returns the next event after t, or the last one before it, whose name contains q. Where kernels match, only they
// are visited, else the first kind that does.
func (m *Model) find(q string, t int64, forward bool) (Ref, bool) {
	if q == "" || len(q) > maxQuery {
		return Ref{}, false
	}
	keys, _ := m.matching(q)
	for kind, in := range keys {
		if in == nil {
			continue
		}
		start, key := m.searchTable(searchKind(kind))
		lo, hi := searchRange(start, interval.Span{Start: t, End: t + 1})
		if forward {
			for i := hi; i < len(start); i++ {
				if in[key(i)] {
					if r, ok := m.eventRef(searchKind(kind), i); ok {
						return r, true
					}
				}
			}
			continue
		}
		for i := lo - 1; i >= 0; i-- {
			if in[key(i)] {
				if r, ok := m.eventRef(searchKind(kind), i); ok {
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
