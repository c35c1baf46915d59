package web

import (
	"slices"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
	"github.com/stepscope/stepscope/web/internal/synth"
)

func parallelModel(t testing.TB, ranks int) *Model {
	t.Helper()
	p, run := synth.Parallel(ranks, 12)
	if err := p.CheckValid(); err != nil {
		t.Fatal(err)
	}
	return NewModel(step.Analyze(p, step.Options{}), nil, run)
}

// TestRanksSideBySide has names that tell ranks apart, and of each rank the lane that shows where its time goes.
func TestRanksSideBySide(t *testing.T) {
	j := parallelModel(t, 3).json()
	if got := strings.Join(j.GPUs, ", "); got != "3 × NVIDIA H100 80GB HBM3" {
		t.Errorf("GPUs: %s", got)
	}
	var titles []string
	for _, g := range j.Groups {
		if !strings.HasPrefix(g.Key, "rank") {
			continue
		}
		titles = append(titles, g.Title)
		var open []string
		for _, n := range g.Lanes {
			if j.Lanes[n].Open {
				open = append(open, j.Lanes[n].Title)
			}
		}
		if !g.Open || !slices.Contains(open, "Where the time goes") || len(titles) > 1 && len(open) != 1 {
			t.Errorf("%s, open %v, shows %v", g.Title, g.Open, open)
		}
		if !strings.Contains(g.Hint, "VLLM::Worker_TP") || !strings.Contains(g.Hint, "NVIDIA") {
			t.Errorf("%s: %s", g.Title, g.Hint)
		}
	}
	// The last rank is the slow one: the others wait for it, and it stands for the engine.
	if want := []string{"GPU 2 · rank 2", "GPU 0 · rank 0", "GPU 1 · rank 1"}; !slices.Equal(titles, want) {
		t.Errorf("groups %v", titles)
	}
	if one := parallelModel(t, 1).json(); len(one.GPUs) != 1 || one.GPUs[0] != "GPU 0 · NVIDIA H100 80GB HBM3" {
		t.Errorf("one GPU: %v", one.GPUs)
	}
}

// TestCollectivesOfAllRanks compares what a detail says with the columns.
func TestCollectivesOfAllRanks(t *testing.T) {
	m := parallelModel(t, 3)
	k := &m.p.Kernels
	byRank := map[int32][]int{} // all collectives by device, in order
	for i := range k.Start {
		if m.a.Stage[i] == kernel.Collective && m.stepOf[i] != profile.None {
			d := m.p.Queues[k.Queue[i]].Device
			byRank[d] = append(byRank[d], i)
		}
	}
	last := 0
	for own, others := range map[int32][2]int32{1: {0, 2}, 2: {0, 1}} {
		for n, i := range byRank[own] {
			ref, ok := m.eventRef(searchKernels, i)
			if !ok {
				t.Fatal("a collective is not on a lane")
			}
			d, ok := m.detail(ref.Lane, ref.Row, ref.At)
			if !ok {
				t.Fatal("no detail")
			}
			peers := slices.DeleteFunc(slices.Clone(d.Links), func(l Ref) bool { return !strings.HasPrefix(l.Label, "the same on GPU") })
			if len(peers) != 2 {
				t.Fatalf("collective %d links to %d others", n, len(peers))
			}
			least := k.Dur[i]
			for p, l := range peers {
				j := byRank[others[p]][n]
				if l.Start != k.Start[j]-m.origin || l.Dur != k.Dur[j] {
					t.Errorf("collective %d leads to %+v on rank %d, want %d", n, l, others[p], k.Start[j]-m.origin)
				}
				least = min(least, k.Dur[j])
			}
			want := "shortest of 3 takes " + duration(least) + "; the rest here, " + duration(k.Dur[i]-least)
			if k.Dur[i] == least {
				want = "shortest of 3: this rank came last"
				last++
			}
			f := d.Facts[slices.IndexFunc(d.Facts, func(f Fact) bool { return f.Label == "Across ranks" })]
			if !strings.HasPrefix(f.Value, want) {
				t.Errorf("collective %d: %s, want %s", n, f.Value, want)
			}
		}
	}
	if n := len(byRank[1]); n < 50 || last < n/2 {
		t.Errorf("%d collectives, rank 2 comes last %d times", n, last)
	}
}

// TestSearchFindsStages types what the legend says: the GEMMs of a stage share their names with those of others.
func TestSearchFindsStages(t *testing.T) {
	m := parallelModel(t, 2)
	for q, stage := range map[string]kernel.Stage{"mlp": kernel.MLP, "QKV proj": kernel.QKV, "kv write": kernel.KVWrite} {
		var want []int
		for i := range m.p.Kernels.Start {
			if m.a.Stage[i] == stage {
				want = append(want, i)
			}
		}
		got := m.search(q)
		hits := 0
		for _, n := range got.Hits {
			hits += n
		}
		if len(want) < 100 || got.Events != len(want) || hits != len(want) || !slices.Equal(got.Stages, []int{int(stage)}) {
			t.Errorf("%s: %d events, %d hits, stages %v; want %d", q, got.Events, hits, got.Stages, len(want))
		}
		first, ok := m.find(q, m.origin-1, true)
		last, ok2 := m.find(q, m.end, false)
		k := m.p.Kernels.Start
		if !ok || !ok2 || first.Start != k[want[0]]-m.origin || last.Start != k[want[len(want)-1]]-m.origin {
			t.Errorf("%s: from %+v to %+v, want from %d to %d", q, first, last, k[want[0]], k[want[len(want)-1]])
		}
	}
}
