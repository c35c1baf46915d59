package web

import (
	"cmp"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/stepscope/stepscope/internal/proftest"
	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/step"
)

func TestPackKeepsEveryEventApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type event struct {
			s    interval.Span
			lane int32
		}
		events := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) event {
			s := rapid.Int64Range(0, 40).Draw(t, "start")
			return event{interval.Span{Start: s, End: s + rapid.Int64Range(0, 15).Draw(t, "dur")}, rapid.Int32Range(-1, 2).Draw(t, "lane")}
		}), 0, 60).Draw(t, "events")
		slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.s.Start, b.s.Start) })
		rows := rapid.IntRange(1, 5).Draw(t, "rows")
		at := func(i int) (int32, uint32, interval.Span) { return events[i].lane, uint32(i), events[i].s }
		seen := make([]bool, len(events))
		placed, hidden, want := 0, 0, 0
		for lane, p := range pack(len(events), 3, rows, at) {
			hidden += p.hidden
			if len(p.ids) > rows {
				t.Fatalf("%d rows, %d allowed", len(p.ids), rows)
			}
			for _, ids := range p.ids {
				var end int64
				for _, id := range ids {
					if e := events[id]; seen[id] || e.lane != int32(lane) || e.s.Start < end {
						t.Fatalf("event %d is placed twice, on a foreign lane or over another", id)
					}
					seen[id], end = true, events[id].s.End
					placed++
				}
			}
		}
		for _, e := range events {
			if e.lane >= 0 {
				want++
			}
		}
		if placed+hidden != want {
			t.Fatalf("%d placed and %d hidden of %d", placed, hidden, want)
		}
	})
}

func TestPackNestsLongerFirst(t *testing.T) {
	spans := []interval.Span{{Start: 0, End: 5}, {Start: 0, End: 20}, {Start: 6, End: 9}, {Start: 20, End: 22}}
	p := pack(len(spans), 1, 8, func(i int) (int32, uint32, interval.Span) { return 0, uint32(i), spans[i] })
	if len(p[0].ids) != 2 || !slices.Equal(p[0].ids[0], []uint32{1, 3}) || !slices.Equal(p[0].ids[1], []uint32{0, 2}) {
		t.Errorf("rows %v", p[0].ids)
	}
}

// TestPiecesAreTheBudget holds the lane of time against the steps' budgets, on every capture, also when the steps are
// split in many chunks.
func TestPiecesAreTheBudget(t *testing.T) {
	for _, name := range proftest.Captures(t) {
		t.Run(name, func(t *testing.T) {
			m := load(t, name)
			for ri := range m.a.Ranks {
				r := &m.a.Ranks[ri]
				if len(r.Steps) == 0 {
					continue
				}
				var want step.Budget
				for _, s := range r.Steps {
					want.Add(&m.a.Steps[s].Budget)
				}
				for _, chunk := range []int{pieceChunk, 700} {
					src := m.pieces(ri, chunk)
					var got step.Budget
					for i, p := range src.part {
						s, _ := src.at(uint32(i))
						if s.Empty() {
							t.Fatalf("piece %d is empty", i)
						}
						got[p] += s.Dur()
					}
					if src.start[0] != r.Wall.Start || got.Total() != r.Wall.Dur() {
						t.Fatalf("pieces cover %d ns from %d on, the wall is %v", got.Total(), src.start[0], r.Wall)
					}
					for p := range got {
						if got[p] != want[p] {
							t.Errorf("chunk %d: %s is %d ns, the budgets say %d", chunk, step.Part(p), got[p], want[p])
						}
					}
				}
			}
		})
	}
}

// TestEveryEventHasAPlace counts the events of each table on the lanes.
func TestEveryEventHasAPlace(t *testing.T) {
	for _, name := range proftest.Captures(t) {
		t.Run(name, func(t *testing.T) {
			m := load(t, name)
			on := map[laneRole]int{}
			for _, l := range m.lanes {
				on[l.role] += l.count
				for _, r := range l.rows {
					for i := range r.n {
						s, _ := r.At(i)
						if row, at, ok := l.locate(r.id(i), s.Start); !ok || l.rows[row].id(at) != r.id(i) {
							t.Fatalf("%s: event %d is not found where it is", l.key, i)
						}
					}
				}
			}
			for role, want := range map[laneRole]int{
				roleStream: m.p.Kernels.Len() + m.p.GraphTraces.Len(), roleCopies: m.p.Copies.Len() + m.p.Memsets.Len(), roleRanges: m.p.Ranges.Len(),
				roleCalls: m.p.Calls.Len(), roleOS: m.p.OSCalls.Len(), roleSteps: len(m.a.Steps),
			} {
				if on[role] != want {
					t.Errorf("role %d: %d events on lanes, %d in the profile", role, on[role], want)
				}
			}
		})
	}
}
