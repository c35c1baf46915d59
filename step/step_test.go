package step

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stepscope/stepscope/internal/proftest"
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
)

const (
	us = 1000
	ms = 1000 * us
)

func TestParseMarker(t *testing.T) {
	for _, c := range []struct {
		text   string
		want   Batch
		engine string
		phase  Phase
	}{
		{"execute_context_0(0)_generation_32(32)", Batch{0, 0, 32, 32, -1, -1}, "vLLM", Decode},
		{"execute_context_16(8163)_generation_29(29)", Batch{16, 8163, 29, 29, -1, -1}, "vLLM", Mixed},
		{"execute_context_1(64)_generation_0(0)", Batch{1, 64, 0, 0, -1, -1}, "vLLM", Prefill},
		{"execute_context_0(0)_generation_0(0)", Batch{0, 0, 0, 0, -1, -1}, "vLLM", Empty},
		{"execute_39_context_2(sq7sk90sqsq25sqsk300)_generation_32(sq32sk9000sqsq32sqsk9000)", Batch{2, 7, 32, 32, 90, 9000}, "vLLM", Mixed},
		{"execute_context_1(888_788544)_generation_0(0)", Batch{1, 888, 0, 0, -1, -1}, "vLLM", Prefill},
		{"execute_new_3_cached_5", Batch{3, -1, 5, -1, -1, -1}, "vLLM", Mixed},
		{"step[DECODE bs=32]", Batch{0, 0, 32, 32, -1, -1}, "SGLang", Decode},
		{"step[EXTEND bs=15 toks=15360]", Batch{15, 15360, 0, 0, -1, -1}, "SGLang", Prefill},
	} {
		b, engine, ok := ParseMarker(c.text)
		if !ok || b != c.want || engine != c.engine || b.Phase() != c.phase {
			t.Errorf("%s: %v %q %v phase %v", c.text, b, engine, ok, b.Phase())
		}
	}
	for _, text := range []string{"", "execute_model", "execute_context_x(0)_generation_1(1)", "gpu_model_runner: forward", "step", "step[bs=3]"} {
		if _, _, ok := ParseMarker(text); ok {
			t.Errorf("%q is taken for a step marker", text)
		}
	}
	if !IsCaptureMarker("capture_32_FULL") || IsCaptureMarker("capture") {
		t.Error("capture scopes")
	}
}

// threeSteps builds an eager engine: marker, one copy and two kernels per step, the host ahead of the GPU by a step.
func threeSteps(t *testing.T) *Analysis {
	b := proftest.NewBuilder(100 * ms)
	for i := range int64(3) {
		host, gpu := 10*ms*i, 10*ms*i+4*ms
		b.Range("execute_context_0(0)_generation_8(8)", host, host+3*ms)
		b.Copy(profile.CopyHtoD, profile.MemPinned, profile.MemDevice, 64, gpu, gpu+100*us, b.Call("cudaMemcpyAsync_v3020", host+1*ms, host+1*ms+10*us))
		b.Launch("flash_fwd_kernel", host+2*ms, gpu+200*us, gpu+2200*us)
		b.Launch("nvjet_sm90_tst_64x8_64x16_4x1_v_bz_TNT", host+5*ms, gpu+3*ms, gpu+4*ms)
	}
	return Analyze(b.Build(t), Options{})
}

func TestStepsBelongByCorrelationNotByTime(t *testing.T) {
	a := threeSteps(t)
	if len(a.Steps) != 3 || a.Ranks[0].Source != ByMarker {
		t.Fatalf("%d steps by %v", len(a.Steps), a.Ranks[0].Source)
	}
	for i, s := range a.Steps {
		// The GEMM starts after its step's marker has ended.
		if s.Kernels != 2 || s.Copies != 1 || s.Phase != Decode || s.Launches != 3 {
			t.Errorf("step %d: %d kernels, %d copies, %d launches, %v", i, s.Kernels, s.Copies, s.Launches, s.Phase)
		}
	}
	if a.Steps[0].Period != 10*ms || a.Steps[2].Period != -1 || !a.Steps[2].Open {
		t.Errorf("periods %d, %d", a.Steps[0].Period, a.Steps[2].Period)
	}
	if got := a.Steps[2].Wall(); got != 4*ms {
		t.Errorf("the last step ends with its own work: wall %d", got)
	}
}

func TestIdleCauses(t *testing.T) {
	a := threeSteps(t)
	b := a.Steps[0].Budget
	want := Budget{}
	want[CopyHtoDPinned] = 100 * us
	want[Part(kernel.Attention)] = 2 * ms
	want[Part(a.Stage[1])] += 1 * ms // the GEMM, whatever role its order gives
	// The copy's end to the attention kernel: enqueued long before.
	want[IdleDispatch] = dispatchMax
	want[IdleUnknown] = 100*us - dispatchMax
	// The second kernel is launched at 5 ms and starts at 7 ms: 6.2 to 7 ms the work was enqueued.
	want[IdleDispatch] += dispatchMax
	want[IdleUnknown] += 800*us - dispatchMax
	// 8 ms to 14 ms: the next step's first call starts at 11 ms and takes 10 us.
	want[IdleScheduler] = 3 * ms
	want[IdleLaunch] = 10 * us
	want[IdleDispatch] += dispatchMax
	want[IdleUnknown] += 3*ms - 10*us - dispatchMax
	if diff := cmp.Diff(want, b); diff != "" {
		t.Errorf("budget of the first step (-want +got):\n%s", diff)
	}
}

func TestSyncInAGapIsASyncStall(t *testing.T) {
	b := proftest.NewBuilder(100 * ms)
	for i := range int64(4) {
		at := 10 * ms * i
		b.Range("execute_context_0(0)_generation_8(8)", at, at+9*ms)
		b.Launch("flash_fwd_kernel", at+10*us, at+20*us, at+1*ms)
		b.Call("cudaStreamSynchronize_v3020", at+500*us, at+6*ms)
		b.Launch("flash_fwd_kernel", at+6100*us, at+6110*us, at+7*ms)
	}
	a := Analyze(b.Build(t), Options{})
	s := a.Steps[1].Budget
	if s[IdleSync] != 5*ms {
		t.Errorf("blocked in the call for %d ns while idle, want 5 ms", s[IdleSync])
	}
	// From the call's return to the launch, that launch call, and the next step's first launch call.
	if s[IdleLaunch] != 100*us+5*us+5*us {
		t.Errorf("waiting for the launch: %d", s[IdleLaunch])
	}
}

func TestNoRequestsIsNotTheScheduler(t *testing.T) {
	b := proftest.NewBuilder(1000 * ms)
	at := int64(0)
	for i := range 12 {
		marker := "execute_context_0(0)_generation_1(1)"
		if i == 6 {
			marker = "execute_context_1(16)_generation_0(0)" // the one before has ended, and a new one came
		}
		b.Range(marker, at, at+1*ms)
		b.Launch("flash_fwd_kernel", at+100*us, at+200*us, at+2*ms)
		at += 3 * ms
		if i == 5 {
			at += 300 * ms
		}
	}
	a := Analyze(b.Build(t), Options{})
	var sum Budget
	for i := range a.Steps {
		sum.Add(&a.Steps[i].Budget)
	}
	if sum[IdleRequests] < 299*ms || sum[IdleScheduler] > 15*ms {
		t.Errorf("no requests %d, scheduler %d", sum[IdleRequests], sum[IdleScheduler])
	}
	waiting := false
	for _, l := range a.Lifecycle {
		waiting = waiting || l.Phase == PhaseWaiting && l.Dur > 250*ms
	}
	if !waiting {
		t.Errorf("lifecycle does not tell the wait: %v", a.Lifecycle)
	}
}

func TestEmptyMarkersAreNoSteps(t *testing.T) {
	b := proftest.NewBuilder(100 * ms)
	for i := range int64(6) {
		at := 10 * ms * i
		if i == 3 {
			b.Range("execute_context_0(0)_generation_0(0)", at, at+1*ms)
			// The sampled ids of the step before are copied after the empty marker.
			b.Copy(profile.CopyDtoH, profile.MemDevice, profile.MemPinned, 8, at+2*ms, at+2*ms+2*us, b.Call("cudaMemcpyAsync_v3020", at+1500*us, at+1600*us))
			continue
		}
		b.Range("execute_context_0(0)_generation_8(8)", at, at+1*ms)
		b.Launch("flash_fwd_kernel", at+100*us, at+200*us, at+2*ms)
	}
	a := Analyze(b.Build(t), Options{})
	if len(a.Steps) != 5 || a.EmptyMarkers != 1 {
		t.Fatalf("%d steps, %d empty markers", len(a.Steps), a.EmptyMarkers)
	}
	if a.Steps[2].Copies != 1 {
		t.Error("what was launched after an empty marker belongs to the step before")
	}
}

func TestStepsWithoutRecordedWorkAreNotIdle(t *testing.T) {
	b := proftest.NewBuilder(100 * ms)
	for i := range int64(6) {
		at := 10 * ms * i
		b.Range("execute_context_0(0)_generation_8(8)", at, at+1*ms)
		if i < 4 { // the kernels of the last two steps lie outside the window
			b.Launch("flash_fwd_kernel", at+100*us, at+200*us, at+9*ms)
		}
	}
	a := Analyze(b.Build(t), Options{})
	if len(a.Steps) != 4 {
		t.Fatalf("%d steps, want the 4 whose work is recorded", len(a.Steps))
	}
	if a.Budget.Idle() > 4*ms {
		t.Errorf("idle %d: the unrecorded steps count as idle", a.Budget.Idle())
	}
}

func TestTensorParallelRanksAreOneEngine(t *testing.T) {
	b := proftest.NewBuilder(200 * ms)
	for rank := range int64(2) {
		b.PID, b.TID, b.Device = 100+rank, 100+rank, rank
		for i := range int64(10) {
			at := 10*ms*i + rank*20*us
			b.Range("execute_context_0(0)_generation_8(8)", at, at+1*ms)
			b.Launch("flash_fwd_kernel", at+100*us, at+200*us, at+5*ms)
			b.Launch("ncclDevKernel_AllReduce_Sum_bf16_RING_LL", at+150*us, at+5*ms, at+6*ms)
		}
	}
	a := Analyze(b.Build(t), Options{})
	if len(a.Ranks) != 2 || a.Ranks[0].Engine != a.Ranks[1].Engine || len(a.Primary) != 10 || len(a.Steps) != 20 {
		t.Fatalf("%d ranks, %d primary of %d steps", len(a.Ranks), len(a.Primary), len(a.Steps))
	}
}

func TestDataParallelEnginesStayApart(t *testing.T) {
	b := proftest.NewBuilder(400 * ms)
	for rank := range int64(2) {
		b.PID, b.TID, b.Device = 100+rank, 100+rank, rank
		for i := range int64(10) {
			at := (10+rank*3)*ms*i + rank*7*ms
			text := "execute_context_0(0)_generation_8(8)"
			if rank == 1 {
				text = "execute_context_0(0)_generation_5(5)"
			}
			b.Range(text, at, at+1*ms)
			b.Launch("flash_fwd_kernel", at+100*us, at+200*us, at+5*ms)
		}
	}
	if a := Analyze(b.Build(t), Options{}); len(a.Primary) != 20 {
		t.Fatalf("%d steps of two engines, want 20", len(a.Primary))
	}
}

func TestOverlappedCommunicationIsCountedOnce(t *testing.T) {
	b := proftest.NewBuilder(100 * ms)
	for i := range int64(3) {
		at := 10 * ms * i
		b.Range("execute_context_0(0)_generation_8(8)", at, at+1*ms)
		b.Stream = 7
		b.Launch("flash_fwd_kernel", at+100*us, at+1*ms, at+4*ms)
		b.Stream = 8
		b.Launch("ncclDevKernel_AllReduce_Sum_bf16_RING_LL", at+110*us, at+3*ms, at+6*ms)
	}
	s := Analyze(b.Build(t), Options{}).Steps[1]
	if s.Budget[Part(kernel.Attention)] != 3*ms || s.Budget[Part(kernel.Collective)] != 2*ms || s.Overlapped != 1*ms {
		t.Errorf("attention %d, exposed %d, overlapped %d", s.Budget[Part(kernel.Attention)], s.Budget[Part(kernel.Collective)], s.Overlapped)
	}
}

func TestCutByGapsNeedsNoNames(t *testing.T) {
	b := proftest.NewBuilder(1000 * ms)
	for i := range int64(20) {
		at := 10 * ms * i
		for k := range int64(10) {
			b.Kernel("some_kernel", at+k*100*us, at+k*100*us+99*us, 0)
		}
	}
	a := Analyze(b.Build(t), Options{})
	if a.Ranks[0].Source != ByGaps || len(a.Steps) != 20 {
		t.Errorf("%d steps by %v", len(a.Steps), a.Ranks[0].Source)
	}
}

// TestBudgetLaw is the central law: whatever a capture holds, each step's parts sum to its wall, walls of a rank are
// contiguous, and the pieces of a step are its budget.
func TestBudgetLaw(t *testing.T) {
	names := []string{"flash_fwd_kernel", "nvjet_sm90_tst_64x8_64x16_4x1_v_bz_TNT", "ncclDevKernel_AllReduce_Sum_bf16_RING_LL",
		"_gumbel_sample_kernel", "vectorized_elementwise_kernel", "unheard of"}
	calls := []string{"cudaStreamSynchronize_v3020", "cudaMemcpy_v3020", "cudaEventQuery_v3020", "cuModuleLoadData"}
	rapid.Check(t, func(rt *rapid.T) {
		b := proftest.NewBuilder(50 * ms)
		n := rapid.IntRange(0, 40).Draw(rt, "events")
		at := int64(0)
		for range n {
			at += rapid.Int64Range(0, 3*ms).Draw(rt, "pause")
			b.Stream = rapid.Int64Range(7, 9).Draw(rt, "stream")
			b.Device = rapid.Int64Range(0, 1).Draw(rt, "device")
			d := rapid.Int64Range(0, 4*ms).Draw(rt, "dur")
			switch rapid.IntRange(0, 6).Draw(rt, "kind") {
			case 0:
				b.Range("execute_context_0(0)_generation_8(8)", at, at+d)
			case 1:
				b.Range("execute_context_0(0)_generation_0(0)", at, at+d)
			case 2:
				b.Call(rapid.SampledFrom(calls).Draw(rt, "call"), at, at+d)
			case 3:
				b.Copy(profile.CopyKind(rapid.IntRange(0, 13).Draw(rt, "copy")), profile.MemKind(rapid.IntRange(0, 7).Draw(rt, "src")),
					profile.MemPinned, 1, at, at+d, 0)
			case 4:
				b.Graph(at, at+d, b.Call("cudaGraphLaunch_v10000", at-10*us, at))
			default:
				lag := rapid.Int64Range(-1*ms, 5*ms).Draw(rt, "lag")
				corr := uint32(0)
				if rapid.Bool().Draw(rt, "linked") {
					corr = b.Call("cudaLaunchKernel_v7000", at-lag, at-lag+rapid.Int64Range(0, ms).Draw(rt, "call"))
				}
				b.Kernel(rapid.SampledFrom(names).Draw(rt, "name"), at, at+d, corr)
			}
		}
		b.P.Sort()
		b.P.Join()
		if err := b.P.CheckValid(); err != nil {
			rt.Fatal(err)
		}
		checkLaws(rt, Analyze(b.P, Options{}))
	})
}

type fataler interface {
	Fatalf(format string, args ...any)
}

func checkLaws(t fataler, a *Analysis) {
	var total int64
	for i := range a.Steps {
		s := &a.Steps[i]
		if s.Budget.Total() != s.Wall() {
			t.Fatalf("step %d: parts sum to %d, wall is %d", i, s.Budget.Total(), s.Wall())
		}
		for p, v := range s.Budget {
			if v < 0 {
				t.Fatalf("step %d: %v is negative", i, Part(p))
			}
		}
		pieces, whole := a.Pieces(int32(i), 1<<20)
		var sum Budget
		at := s.GPU.Start
		for _, p := range pieces {
			if p.Start != at || p.Empty() {
				t.Fatalf("step %d: pieces are not contiguous", i)
			}
			at = p.End
			sum[p.Tag] += p.Dur()
		}
		if whole && (sum.Total() != s.Wall() || s.Kernels < 200 && sum.Busy() != s.Budget.Busy()) {
			t.Fatalf("step %d: pieces %v, budget %v", i, sum, s.Budget)
		}
	}
	for _, i := range a.Primary {
		total += a.Steps[i].Wall()
	}
	if total != a.Wall || a.Budget.Total() != a.Wall {
		t.Fatalf("wall %d, steps %d, budget %d", a.Wall, total, a.Budget.Total())
	}
	for ri, r := range a.Ranks {
		// A run of steps has the pieces of its steps; one may cross a border.
		pieces, _ := a.RunPieces(ri, 0, len(r.Steps), 1<<20)
		at := r.Wall.Start
		var sum Budget
		for _, p := range pieces {
			if p.Start != at || p.Empty() {
				t.Fatalf("rank %d: pieces of the run are not contiguous", ri)
			}
			at = p.End
			sum[p.Tag] += p.Dur()
		}
		var steps Budget
		for _, s := range r.Steps {
			steps.Add(&a.Steps[s].Budget)
		}
		if at != r.Wall.End || sum != steps {
			t.Fatalf("rank %d: pieces of the run %v until %d, steps %v until %d", ri, sum, at, steps, r.Wall.End)
		}
		for k, s := range r.Steps {
			if k > 0 && a.Steps[r.Steps[k-1]].GPU.End != a.Steps[s].GPU.Start {
				t.Fatalf("walls of a rank are not contiguous at step %d", s)
			}
		}
	}
}
