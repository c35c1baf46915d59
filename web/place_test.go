package web

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/internal/proftest"
	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/step"
)

// TestFindingsHavePlaces looks where the findings of real captures lead.
func TestFindingsHavePlaces(t *testing.T) {
	// Findings that are about the capture or the server as a whole have no place in time.
	placeless := map[string]bool{diagnose.CaptureQuality: true, diagnose.ColdStart: true}
	for _, name := range proftest.Captures(t) {
		t.Run(name, func(t *testing.T) {
			m := load(t, name)
			for _, f := range m.findings {
				if f.Target == nil {
					if !placeless[f.ID] && len(m.a.Primary) > 0 {
						t.Errorf("%s has no place", f.ID)
					}
					continue
				}
				checkTarget(t, m, f.ID, f.Target)
				for _, e := range f.Evidence {
					if e.Target != nil {
						checkTarget(t, m, f.ID+": "+e.Text, e.Target)
					} else if strings.HasPrefix(e.Rows, "steps ") || strings.Contains(e.Rows, " row ") {
						t.Errorf("%s: rows %q lead nowhere", f.ID, e.Rows)
					}
				}
			}
		})
	}
}

// A wait inside steps leads to the call that waited longest.
func TestSyncStallTarget(t *testing.T) {
	m := load(t, "guard8b-J")
	for _, f := range m.findings {
		if f.ID != diagnose.SyncStall {
			continue
		}
		if x := f.Target; x == nil || x.Event == nil || x.Event.Dur < 6_000_000 || !strings.HasPrefix(x.Text, "API row ") || !strings.HasSuffix(x.Text, ", cudaStreamSynchronize") {
			t.Errorf("leads to %+v", f.Target)
		}
		return
	}
	t.Error("no sync-stall")
}

func checkTarget(t *testing.T, m *Model, what string, x *target) {
	t.Helper()
	if x.Start < 0 || x.Dur <= 0 || x.Start+x.Dur > m.extent() || x.Text == "" {
		t.Errorf("%s: target %+v of a recording of %d ns", what, x, m.extent())
	}
	if x.MarkDur > 0 && (x.MarkStart < x.Start || x.MarkStart+x.MarkDur > x.Start+x.Dur || x.Mark == "") {
		t.Errorf("%s: the mark lies outside the view: %+v", what, x)
	}
	if x.Event != nil {
		if d, ok := m.detail(x.Event.Lane, x.Event.Row, x.Event.At); !ok || d.Start != x.Event.Start || d.Dur != x.Event.Dur {
			t.Errorf("%s: event %+v is %+v", what, x.Event, d)
		}
	}
}

// TestHostLaunchTarget checks the place of the known finding of the demo capture by its numbers.
func TestHostLaunchTarget(t *testing.T) {
	m := load(t, "eager1b-G")
	f := m.findings[0]
	if f.ID != diagnose.HostLaunchBound {
		t.Fatalf("first finding %s", f.ID)
	}
	if x := f.Target; x.MarkDur < 10e6 || x.MarkDur > 13e6 || !strings.Contains(x.Mark, "waits for the next launch, 8.") || m.lanes[x.Lane].role != roleBudget {
		t.Errorf("target %+v", x)
	}
	for _, f := range m.findings {
		if f.ID == diagnose.HostStepGap {
			if x := f.Target; x.MarkDur < 300e3 || x.MarkDur > 3e6 || m.lanes[x.Lane].role != roleIdle {
				t.Errorf("the gap between steps: %+v", x)
			}
		}
	}
}

func TestRowsTarget(t *testing.T) {
	b := proftest.NewBuilder(1e9)
	for i := range int64(4) {
		at := 1e6 + i*10e6
		b.Range("execute_context_0(0)_generation_4(4)", at, at+5e6)
		b.Launch("kernel", at+1000, at+10000, at+4000000)
		b.Copy(profile.CopyDtoH, profile.MemDevice, profile.MemPageable, 64, at+4100000, at+4200000, b.Call("cudaMemcpyAsync", at+2000, at+5000))
	}
	p := b.Build(t)
	p.MemEvents.Start, p.MemEvents.Mem, p.MemEvents.Free = []int64{5e6}, []profile.MemKind{profile.MemDevice}, []bool{false}
	p.MemEvents.Bytes, p.MemEvents.Device, p.MemEvents.PoolBytes = []int64{1}, []int32{0}, []int64{-1}
	p.MemEvents.Address, p.MemEvents.Process, p.MemEvents.Name = []uint64{1}, []int32{0}, []profile.StringID{0}
	m := NewModel(step.Analyze(p, step.Options{}), nil, nil)
	for rows, want := range map[string]interval.Span{
		"kernel row 2": {Start: 11010000, End: 15000000}, "memcpy row 1": {Start: 5100000, End: 5200000}, "longest in API row 3": {Start: 11001000, End: 11006000},
		"largest in memcpy row 4": {Start: 35100000, End: 35200000}, "NVTX row 1": {Start: 1e6, End: 6e6}, "memory event row 1": {Start: 5e6, End: 5e6 + 1},
	} {
		x := m.rowsTarget(rows)
		if x == nil || x.MarkStart+m.origin != want.Start || x.MarkDur != want.Dur() {
			t.Errorf("%s leads to %+v, want %v", rows, x, want)
		}
	}
	for _, rows := range []string{"", "metrics_after.txt:3: vllm:x", "kernel row 0", "kernel row 5", "kernel row 99999999999999999999", "graph row 1", "memset row 1", "memory event row 2", "steps 7..9 (3)", "steps x..y (3)"} {
		if x := m.rowsTarget(rows); x != nil {
			t.Errorf("%q leads to %+v", rows, x)
		}
	}
	if x := m.rowsTarget("steps 0..3 (2)"); x == nil || len(m.stepsOf("steps 0..3 (2)")) != 2 || len(m.stepsOf("steps 1..3 (3)")) != 3 {
		t.Errorf("steps lead to %+v", x)
	}
}

// TestSelectionAddsUp holds the totals of random stretches against every event.
func TestSelectionAddsUp(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 1))
	for _, name := range proftest.Captures(t)[:6] {
		t.Run(name, func(t *testing.T) {
			m := load(t, name)
			for range 6 {
				lo := m.origin + r.Int64N(m.extent())
				w := interval.Span{Start: lo, End: lo + r.Int64N(m.end-lo+1)}
				s := m.selection(w)
				kernels := map[string]int64{}
				for i := range m.p.Kernels.Start {
					k := interval.Span{Start: m.p.Kernels.Start[i], End: m.p.Kernels.End(i)}
					if k.Overlaps(w) || k.Empty() && w.Contains(k.Start) {
						kernels[m.sets[setPart][m.a.Stage[i]].Label] += k.Clip(w).Dur()
					}
				}
				got := map[string]int64{}
				for _, table := range s.Tables {
					var total int64
					for _, row := range table.Rows {
						total += row.Ns
						if strings.HasPrefix(table.Title, "Kernel time by stage") && row.Label != m.sets[setPart][step.Graph].Label {
							got[row.Label] += row.Ns
						}
					}
					if table.Title != "Kernels by name" && total != table.TotalNs {
						t.Errorf("%s: rows sum to %d, total %d", table.Title, total, table.TotalNs)
					}
					if strings.HasPrefix(table.Title, "Time of the steps") && len(m.a.Ranks) == 1 {
						if want := m.a.Ranks[0].Wall.Clip(w).Dur(); table.TotalNs != want {
							t.Errorf("parts of the steps sum to %d, the wall in the selection is %d", table.TotalNs, want)
						}
					}
				}
				for stage, ns := range kernels {
					if ns != got[stage] {
						t.Errorf("%s: %d ns, want %d", stage, got[stage], ns)
					}
				}
			}
		})
	}
}

func TestSearchAndFind(t *testing.T) {
	m := load(t, "eager1b-G")
	res := m.search("RMS_Norm")
	var want []int
	for i := range m.p.Kernels.Start {
		if strings.Contains(strings.ToLower(m.p.FuncName(i)), "rms_norm") {
			want = append(want, i)
		}
	}
	if len(want) == 0 || res.Matches[0].Kind != "kernel" || res.Events != len(want) {
		t.Fatalf("%d events, want %d", res.Events, len(want))
	}
	hits := 0
	for _, n := range res.Hits {
		hits += n
	}
	if hits != len(want) {
		t.Errorf("%d hits over time, want %d", hits, len(want))
	}
	at := m.origin - 1
	for k, i := range want {
		ref, ok := m.find("rms_norm", at, true)
		if !ok || m.origin+ref.Start != m.p.Kernels.Start[i] {
			t.Fatalf("hit %d: %+v, want %d", k, ref, m.p.Kernels.Start[i])
		}
		at = m.origin + ref.Start
	}
	if _, ok := m.find("rms_norm", at, true); ok {
		t.Error("a hit after the last")
	}
	for k := len(want) - 2; k >= 0; k-- {
		ref, ok := m.find("rms_norm", at, false)
		if !ok || m.origin+ref.Start != m.p.Kernels.Start[want[k]] {
			t.Fatalf("backwards, hit %d: %+v", k, ref)
		}
		at = m.origin + ref.Start
	}
	for _, q := range []string{"", strings.Repeat("x", maxQuery+1), "no such name"} {
		if r := m.search(q); r.Events != 0 {
			t.Errorf("%.20q finds %d", q, r.Events)
		}
	}
}

func TestJumpVisitsEveryStep(t *testing.T) {
	m := load(t, "base8b-P")
	var seen []int64
	for at := m.origin - 1; ; {
		ref, ok := m.jump(at, true)
		if !ok {
			break
		}
		at = m.origin + ref.Start
		seen = append(seen, at)
	}
	var want []int64
	for _, s := range m.a.Primary {
		want = append(want, m.a.Steps[s].GPU.Start)
	}
	if !slices.Equal(seen, want) {
		t.Errorf("%d steps visited, %d there are", len(seen), len(want))
	}
	if ref, ok := m.jump(want[1], false); !ok || m.origin+ref.Start != want[0] {
		t.Errorf("back from the second: %+v", ref)
	}
}

// TestDetailsLinkBothWays follows launches to kernels and back.
func TestDetailsLinkBothWays(t *testing.T) {
	for _, name := range []string{"eager1b-G", "base8b-P", "base1b-graphlevel-G"} {
		t.Run(name, func(t *testing.T) {
			m := load(t, name)
			checked := 0
			for n, l := range m.lanes {
				if l.role != roleStream && l.role != roleCopies {
					continue
				}
				for ri, r := range l.rows {
					for i := 0; i < r.n; i += 1 + r.n/40 {
						d, ok := m.detail(n, ri, i)
						if !ok {
							t.Fatalf("no detail of %s %d", l.key, i)
						}
						for _, link := range d.Links {
							if !link.Arrow {
								continue
							}
							back, ok := m.detail(link.Lane, link.Row, link.At)
							if !ok || back.Kind != "API call" || back.Start != link.Start {
								t.Fatalf("the launch of %s is %+v", d.Title, back)
							}
							if back.Start > d.Start {
								t.Errorf("%s starts before its launch", d.Title)
							}
							if !slices.ContainsFunc(back.Tables, func(t Table) bool { return t.Title == "Launched GPU time" }) {
								t.Errorf("%s launched nothing", back.Title)
							}
							checked++
						}
					}
				}
			}
			if checked < 20 {
				t.Errorf("%d launches checked", checked)
			}
		})
	}
}

// TestEveryDetailIsDescribed asks for details on every lane of every capture.
func TestEveryDetailIsDescribed(t *testing.T) {
	for _, name := range proftest.Captures(t) {
		m := load(t, name)
		for n, l := range m.lanes {
			for ri, r := range l.rows {
				for i := 0; i < r.n; i += 1 + r.n/5 {
					d, ok := m.detail(n, ri, i)
					if !ok || d.Kind == "" || d.Title == "" || d.Category == "" {
						t.Errorf("%s, %s %d: %+v", name, l.key, i, d)
					}
					if _, err := json.Marshal(d); err != nil {
						t.Error(err)
					}
				}
			}
		}
	}
}

// TestRequestsInTheCapturesClock places requests of spans and shows their parts.
func TestRequestsInTheCapturesClock(t *testing.T) {
	b := proftest.NewBuilder(1e9)
	b.Launch("kernel", 1000, 10000, 40000)
	p := b.Build(t)
	p.SessionStartUnixNs = 1_700_000_000_000_000_000
	run := &serving.Run{Trace: &serving.Trace{Requests: []serving.Request{
		{ID: "a", Clock: serving.ClockUnix, StartNS: p.SessionStartUnixNs + 100e6, E2ENS: 500e6, QueueNS: 50e6, TTFTNS: 150e6, PromptTokens: 7, OutputTokens: -1},
		{ID: "b", Clock: serving.ClockUnix, StartNS: p.SessionStartUnixNs + 200e6, E2ENS: 300e6, QueueNS: -1, TTFTNS: -1, PromptTokens: -1, OutputTokens: 3},
		{ID: "c", Clock: serving.ClockMonotonic, StartNS: 5, E2ENS: 5},
	}}}
	m := NewModel(step.Analyze(p, step.Options{}), nil, run)
	i := slices.IndexFunc(m.lanes, func(l *lane) bool { return l.role == roleRequests })
	if i < 0 {
		t.Fatal("no lane of requests")
	}
	var got []string
	for ri, r := range m.lanes[i].rows {
		for k := range r.n {
			s, tag := r.At(k)
			_, text := r.src.label(r.id(k))
			got = append(got, fmt.Sprintf("%d %s %s %d..%d", ri, text, requestCategories[tag].ID, s.Start/1e6, s.End/1e6))
		}
	}
	want := []string{"0 request a queue 100..150", "0 request a prefill 150..250", "0 request a decode 250..600", "1 request b running 200..500"}
	if !slices.Equal(got, want) {
		t.Errorf("requests %q, want %q", got, want)
	}
	d, _ := m.detail(i, 0, 1)
	text := fmt.Sprint(d.Facts)
	for _, part := range []string{"{Queue time 50.00 ms}", "{Time to first token 150.0 ms}", "{Output tokens not recorded}", "{Prompt tokens 7}"} {
		if !strings.Contains(text, part) {
			t.Errorf("facts %s lack %s", text, part)
		}
	}
}

func TestServersLife(t *testing.T) {
	m := load(t, "base8b-P")
	var got []string
	for _, c := range m.life {
		got = append(got, c.Label)
	}
	for _, want := range []string{"model load", "torch.compile", "graph capture", "this capture", "serving"} {
		if !slices.Contains(got, want) {
			t.Errorf("the server's life %q lacks %s", got, want)
		}
	}
	// A capture of the whole start, whose log does not tell when the profiler ran: the clocks do.
	whole := load(t, "coldstart1b-W")
	in := 0
	for _, c := range whole.life {
		if c.Capture {
			in++
		}
	}
	if in < 4 || !slices.ContainsFunc(whole.lanes, func(l *lane) bool { return l.key == "log-lifecycle" && l.count >= 5 }) {
		t.Errorf("%d phases in the capture of a whole start: %+v", in, whole.life)
	}
	if small := NewModel(step.Analyze(&profile.Profile{}, step.Options{}), nil, nil); small.life != nil {
		t.Errorf("life without a log: %v", small.life)
	}
}

// TestEmptyProfiles are captures that hold nothing, or nothing that the timeline could break on.
func TestEmptyProfiles(t *testing.T) {
	far := proftest.NewBuilder(0)
	far.Range("far", profile.MaxTime-10, profile.MaxTime)
	far.Range("near", -5, 20)
	for name, p := range map[string]*profile.Profile{"nothing": {}, "window only": {Window: interval.Span{Start: 5, End: 9e9}}, "146 years": far.Build(t)} {
		m := NewModel(step.Analyze(p, step.Options{}), nil, nil)
		if m.extent() <= 0 || m.extent() > maxExtent {
			t.Errorf("%s: extent %d", name, m.extent())
		}
		body, err := json.Marshal(m.json())
		if err != nil || strings.Contains(string(body), ":null") {
			t.Errorf("%s: %v, %s", name, err, body)
		}
		m.selection(m.span())
		for n := range m.lanes {
			m.tiles(tileRequest{maxLevel, 0, []int{n}})
		}
		if _, ok := m.jump(0, true); ok {
			t.Errorf("%s has a step", name)
		}
	}
}

// TestSameInputSameBytes builds the model twice.
func TestSameInputSameBytes(t *testing.T) {
	for _, name := range []string{"eager1b-G", "moe30b-A"} {
		one, two := load(t, name), load(t, name)
		a, err := json.Marshal(one.json())
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(two.json())
		if err != nil {
			t.Fatal(err)
		}
		if string(a) != string(b) {
			t.Errorf("%s: two models differ", name)
		}
		all := make([]int, len(one.lanes))
		for i := range all {
			all[i] = i
		}
		if string(one.tiles(tileRequest{16, 2, all})) != string(two.tiles(tileRequest{16, 2, all})) {
			t.Errorf("%s: two tiles differ", name)
		}
	}
}

// TestCollectivesHaveTheirLane puts communication beside compute.
func TestCollectivesHaveTheirLane(t *testing.T) {
	b := proftest.NewBuilder(1e9)
	b.Launch("nvjet_tst_64x8_64x16_4x1_v_bz_TNT", 1000, 10000, 50000)
	b.Stream = 21
	b.Launch("ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)", 2000, 20000, 40000)
	b.Launch("ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)", 3000, 30000, 60000) // overlaps the first
	m := NewModel(step.Analyze(b.Build(t), step.Options{}), nil, nil)
	for _, l := range m.lanes {
		if l.role == roleCollectives {
			if l.count != 2 || len(l.rows) != 2 {
				t.Errorf("%d collectives on %d rows", l.count, len(l.rows))
			}
			return
		}
	}
	t.Error("no lane of collectives")
}

func TestLaneKeysAreUnique(t *testing.T) {
	for _, name := range proftest.Captures(t) {
		seen := map[string]bool{}
		for _, l := range load(t, name).lanes {
			if seen[l.key] {
				t.Errorf("%s: two lanes %s", name, l.key)
			}
			seen[l.key] = true
		}
	}
}
