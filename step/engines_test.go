package step

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stepscope/stepscope/internal/proftest"
	"github.com/stepscope/stepscope/profile"
)

const allReduce = "ncclDevKernel_AllReduce_Sum_bf16_RING_LL"

// A pair is two ranks that run decode steps of 8 requests.
type pair struct {
	collectives bool
	graphs      bool     // recorded as a whole
	names       []string // of their processes
	second      []int64  // steps of the second rank, all 20 by default
	late        int64    // how much later it runs them
	short       bool     // half of the second rank's batches are smaller
}

func (c pair) analyze(t *testing.T) *Analysis {
	b := proftest.NewBuilder(400 * ms)
	all := make([]int64, 20)
	for i := range all {
		all[i] = int64(i)
	}
	for rank, steps := range [][]int64{all, c.second} {
		if steps == nil {
			steps = all
		}
		b.PID, b.TID, b.Device = int64(100+rank), int64(100+rank), int64(rank)
		for _, i := range steps {
			at := 10*ms*i + int64(rank)*(20*us+c.late)
			batch := 8
			if c.short && rank == 1 && i%2 == 1 {
				batch = 7
			}
			b.Range(fmt.Sprintf("execute_context_0(0)_generation_%d(%d)", batch, batch), at, at+1*ms)
			if c.graphs {
				b.Graph(at+200*us, at+5*ms, b.Call("cudaGraphLaunch_v10000", at+100*us, at+110*us))
				continue
			}
			b.Launch("flash_fwd_kernel", at+100*us, at+200*us, at+5*ms)
			if c.collectives {
				b.Launch(allReduce, at+150*us, at+5*ms, at+6*ms)
			}
		}
	}
	p := b.Build(t)
	for i, n := range c.names {
		p.Processes[i].Name = n
	}
	return Analyze(p, Options{})
}

func TestEngines(t *testing.T) {
	later := []int64{5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19}
	early := []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	one := []string{"VLLM::Worker_TP", "VLLM::Worker_TP"}
	cores := []string{"VLLM::EngineCor", "VLLM::EngineCor"}
	for _, c := range []struct {
		name   string
		of     pair
		ranks  int // of the first engine
		offset int // of the second rank
		shared []int64
	}{
		{"tensor parallel", pair{collectives: true, names: one}, 2, 0, nil},
		{"no names", pair{collectives: true}, 2, 0, nil},
		{"the second joins in later", pair{collectives: true, names: one, second: later}, 2, 5, later},
		{"the second leaves early", pair{collectives: true, second: early}, 2, 0, early},
		{"full titles", pair{collectives: true, names: []string{"VLLM::Worker_DP1_TP0", "VLLM::Worker_DP1_TP1"}}, 2, 0, nil},
		{"recorded by graph", pair{graphs: true, names: one}, 2, 0, nil},

		{"equal loads without communication", pair{}, 1, 0, nil},
		{"the same, half a step apart", pair{late: 5 * ms}, 1, 0, nil},
		{"engine cores that exchange tokens of experts", pair{collectives: true, names: cores}, 1, 0, nil},
		{"engine cores recorded by graph", pair{graphs: true, names: cores}, 1, 0, nil},
		{"data parallel experts", pair{collectives: true, names: []string{"VLLM::Worker_DP0_EP0", "VLLM::Worker_DP1_EP1"}}, 1, 0, nil},
		{"other batches", pair{collectives: true, names: one, short: true}, 1, 0, nil},
		{"a few steps only", pair{collectives: true, names: one, second: []int64{19}}, 1, 0, nil},
	} {
		a := c.of.analyze(t)
		if len(a.Ranks) != 2 {
			t.Fatalf("%s: %d ranks", c.name, len(a.Ranks))
		}
		members, steps := a.Shared(a.Ranks[0].Engine)
		if len(members) != c.ranks || a.Ranks[1].Offset != c.offset || a.Ranks[1].Engine0 != (c.ranks == 1) {
			t.Errorf("%s: %d ranks, the second from step %d of the engine on", c.name, len(members), a.Ranks[1].Offset)
			continue
		}
		if c.ranks == 1 {
			continue
		}
		if want := len(c.shared); want > 0 && len(steps[0]) != want || len(steps[0]) != len(steps[1]) {
			t.Errorf("%s: %d and %d shared steps", c.name, len(steps[0]), len(steps[1]))
		}
		for k := range steps[0] {
			if d := a.Steps[steps[1][k]].GPU.Start - a.Steps[steps[0][k]].GPU.Start; d != 20*us {
				t.Errorf("%s: shared step %d is %d ns apart", c.name, k, d)
			}
		}
	}
}

// Two ranks with nothing in common share nothing, and an engine that is not there has no ranks.
func TestSharedOfNothing(t *testing.T) {
	a := pair{collectives: true}.analyze(t)
	a.Ranks[1].Offset = 40
	if _, steps := a.Shared(a.Ranks[0].Engine); len(steps) != 2 || len(steps[0]) != 0 || len(steps[1]) != 0 {
		t.Errorf("%v", steps)
	}
	if ranks, steps := a.Shared(profile.None); !slices.Equal(ranks, nil) || steps != nil {
		t.Errorf("%v %v", ranks, steps)
	}
}

// The rank that the others wait for stands for the engine, from a wait on that matters.
func TestLead(t *testing.T) {
	for _, c := range []struct {
		wait int64 // of the first rank in each step of 10 ms
		lead int
	}{{0, 0}, {400 * us, 0}, {600 * us, 1}, {3 * ms, 1}} {
		b := proftest.NewBuilder(400 * ms)
		for rank := range int64(2) {
			b.PID, b.TID, b.Device = 100+rank, 100+rank, rank
			for i := range int64(20) {
				at := 10 * ms * i
				b.Range("execute_context_0(0)_generation_8(8)", at, at+1*ms)
				late := rank * c.wait // the second rank's kernels come late, and the first waits in the collective
				b.Launch("flash_fwd_kernel", at+100*us, at+200*us+late, at+3*ms+late)
				b.Launch(allReduce, at+150*us, at+3*ms+late, at+4*ms+c.wait)
			}
		}
		a := Analyze(b.Build(t), Options{})
		if len(a.Primary) != 20 {
			t.Fatalf("%d steps", len(a.Primary))
		}
		for r := range a.Ranks {
			if a.Ranks[r].Engine0 != (r == c.lead) || a.Steps[a.Primary[3]].Rank != int32(c.lead) {
				t.Errorf("wait of %d: rank %d, lead %v", c.wait, r, a.Ranks[r].Engine0)
			}
		}
		if got, want := a.Ranks[0].Waits, 20*c.wait; got != want || a.Ranks[1].Waits != 0 {
			t.Errorf("wait of %d: %d and %d, want %d", c.wait, got, a.Ranks[1].Waits, want)
		}
	}
}
