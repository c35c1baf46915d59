package web

import (
	"cmp"
	"slices"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
)

// source is a table of events that rows draw from, by the table's own ids.
type source interface {
	// at returns the time of id in the clock of the capture, and its tag in the lane's category set.
	at(id uint32) (interval.Span, uint8)
	// label returns the short text to draw, not yet cleaned, and a key that is equal for events of equal text.
	label(id uint32) (key uint32, text string)
	// describe fills d, whose time, tag and title are set, with what is known about id.
	describe(m *Model, d *Detail, id uint32)
}

// row is disjoint spans of a source, drawn on one line. It is an interval.Sequence.
type row struct {
	src source
	ids []uint32 // nil: ids are 0..n-1
	n   int
	mip *interval.Mipmap
}

func (r *row) Len() int { return r.n }

func (r *row) id(i int) uint32 {
	if r.ids == nil {
		return uint32(i)
	}
	return r.ids[i]
}

// At returns span i and its tag.
func (r *row) At(i int) (interval.Span, uint8) { return r.src.at(r.id(i)) }

// lane is one labelled band of the timeline.
type lane struct {
	key   string // stable within a file: part of shared URLs
	title string
	hint  string // one line about what is shown
	set   string // category set of the tags
	src   source
	rows  []*row
	curve *curve
	// count is how many events the lane holds, hidden how many of them lie deeper than its rows.
	count, hidden int
	height        int  // of a row, CSS pixels
	open          bool // shown at first
	role          laneRole
}

// laneRole tells lanes that other parts of the model look for.
type laneRole uint8

const (
	roleNone laneRole = iota
	roleSteps
	roleBudget
	roleIdle
	roleStream
	roleCopies
	roleCollectives
	roleRanges
	roleOps
	roleCalls
	roleOS
	roleLib
	roleLifecycle
	roleRequests
	roleHostSteps
)

// group is a collapsible set of lanes.
type group struct {
	key, title, hint string
	open             bool
	lanes            []*lane
}

// Row limits by kind of lane. What is nested deeper is counted as hidden, never dropped silently.
const (
	maxRows        = 32
	maxRequestRows = 128
	noRow          = 255
)

// pack distributes events, which come in order of their start, to the lanes they belong to and to rows on which they do
// not overlap: an event takes the first row that is free, so nested annotations lie below each other. Of events that
// start at once the longest comes first. at returns the lane, -1 for none, the id and the time of event i; it is called
// twice per event.
func pack(n, lanes, rows int, at func(i int) (lane int32, id uint32, s interval.Span)) []packed {
	out := make([]packed, lanes)
	ends := make([][]int64, lanes)
	rowOf := make([]uint8, n)
	assign := func(i int, lane int32, s interval.Span) {
		e := ends[lane]
		for r := range e {
			if e[r] <= s.Start {
				e[r] = s.End
				out[lane].counts[r]++
				rowOf[i] = uint8(r)
				return
			}
		}
		if len(e) >= rows {
			rowOf[i] = noRow
			out[lane].hidden++
			return
		}
		ends[lane] = append(e, s.End)
		out[lane].counts = append(out[lane].counts, 1)
		rowOf[i] = uint8(len(e))
	}
	type tied struct {
		i    int
		lane int32
		s    interval.Span
	}
	var run []tied
	flush := func() {
		if len(run) > 1 {
			slices.SortStableFunc(run, func(a, b tied) int { return cmp.Compare(b.s.End, a.s.End) })
		}
		for _, t := range run {
			assign(t.i, t.lane, t.s)
		}
		run = run[:0]
	}
	for i := range n {
		lane, _, s := at(i)
		if lane < 0 {
			rowOf[i] = noRow
			continue
		}
		if len(run) > 0 && run[0].s.Start != s.Start {
			flush()
		}
		run = append(run, tied{i, lane, s})
	}
	flush()
	for l := range out {
		for _, c := range out[l].counts {
			out[l].ids = append(out[l].ids, make([]uint32, 0, c))
		}
	}
	for i := range n {
		if r := rowOf[i]; r != noRow {
			lane, id, _ := at(i)
			out[lane].ids[r] = append(out[lane].ids[r], id)
		}
	}
	return out
}

// packed is the rows of one lane.
type packed struct {
	ids    [][]uint32
	counts []int
	hidden int
}

// fill gives l the rows of p.
func (l *lane) fill(src source, tags int, p packed) {
	l.src = src
	for _, ids := range p.ids {
		l.addRow(&row{src: src, ids: ids, n: len(ids)}, tags)
	}
	l.hidden += p.hidden
	l.count += p.hidden
}

func (l *lane) addRow(r *row, tags int) {
	l.src = r.src
	mip, err := interval.NewMipmap(r, tags)
	l.count += r.n
	if err != nil {
		// pack made the row, so this cannot happen; if it did, showing less beats showing wrong totals.
		l.hidden += r.n
		return
	}
	r.mip = mip
	l.rows = append(l.rows, r)
}

// locate finds the row and position of event id, which starts at start.
func (l *lane) locate(id uint32, start int64) (rowIndex, at int, ok bool) {
	for ri, r := range l.rows {
		lo, hi := r.mip.Find(interval.Span{Start: start, End: start + 1})
		for i := lo; i < hi; i++ {
			if r.id(i) == id {
				return ri, i, true
			}
		}
	}
	return 0, 0, false
}

// columnSource is a table of named host intervals.
type columnSource struct {
	p          *profile.Profile
	kind       columnKind
	start, dur []int64
	name       []profile.StringID
	tagOf      []uint8 // by name; nil: all tags are tag
	tag        uint8
	end        int64 // of intervals that were still open
}

// columnKind is the table that a columnSource shows.
type columnKind uint8

const (
	columnRange columnKind = iota
	columnOp
	columnCall
	columnLib
	columnOS
	columnFrame
	columnOverhead
)

func (c *columnSource) at(id uint32) (interval.Span, uint8) {
	s := interval.Span{Start: c.start[id]}
	if d := c.dur[id]; d >= 0 {
		s.End = s.Start + d
	} else {
		s.End = max(s.Start, c.end)
	}
	if c.tagOf == nil {
		return s, c.tag
	}
	return s, c.tagOf[c.name[id]]
}

func (c *columnSource) label(id uint32) (uint32, string) {
	n := c.name[id]
	return uint32(n), c.p.Strings.At(n)
}
