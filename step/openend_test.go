package step

import (
	"testing"

	"github.com/stepscope/stepscope/internal/proftest"
	"github.com/stepscope/stepscope/profile"
)

// TestLastStepKeepsToItsOwnWork: nothing ends the last step, so what comes after it must not become its work.
func TestLastStepKeepsToItsOwnWork(t *testing.T) {
	const attention, gemm, sampler = "flash_fwd_kernel", "nvjet_sm90_tst_64x8_64x16_4x1_v_bz_TNT", "_gumbel_sample_kernel"
	// work is a step of 10 ms: two kernels launched inside the marker and one 2 ms after its end.
	work := func(b *proftest.Builder, at int64) {
		b.Launch(attention, at+1*ms, at+4*ms, at+6*ms)
		b.Launch(gemm, at+2*ms, at+6*ms, at+8*ms)
		b.Launch(sampler, at+5*ms, at+8*ms, at+9*ms)
	}
	marked := func(b *proftest.Builder, at int64) {
		b.Range("execute_context_0(0)_generation_8(8)", at, at+3*ms)
		work(b, at)
	}
	const lastStart = 9*10*ms + 4*ms // the tenth step's first kernel
	for _, c := range []struct {
		name    string
		source  Source
		step    func(*proftest.Builder, int64)
		after   func(*proftest.Builder) // after ten steps of 10 ms
		kernels int32
		wall    int64
		outside int // operations that belong to no step
	}{
		{"nothing follows", ByMarker, marked, func(*proftest.Builder) {}, 3, 5 * ms, 0},
		{"markers end and steps go on", ByMarker, marked, func(b *proftest.Builder) {
			for i := range int64(8) {
				work(b, 100*ms+10*ms*i)
			}
		}, 3, 5 * ms, 24},
		{"tear-down after a pause", ByMarker, marked, func(b *proftest.Builder) { b.Launch("fill_kernel", 2100*ms, 2101*ms, 2102*ms) }, 3, 5 * ms, 1},
		{"a late launch within twice the usual", ByMarker, marked, func(b *proftest.Builder) { b.Launch(sampler, 97*ms, 99*ms, 100*ms) }, 4, 6 * ms, 0},
		{"the empty step's tail", ByMarker, marked, func(b *proftest.Builder) {
			b.Range("execute_context_0(0)_generation_0(0)", 96*ms, 97*ms)
			b.Launch(sampler, 97*ms, 99*ms, 100*ms)
		}, 4, 6 * ms, 0},
		{"markers and calls end, kernels go on", ByMarker, marked, func(b *proftest.Builder) {
			for i := range int64(30) {
				b.Kernel(gemm, 100*ms+2*ms*i, 101*ms+2*ms*i, 0)
			}
		}, 3, 5 * ms, 30},
		{"a few rows without a call", ByMarker, marked, func(b *proftest.Builder) {
			for i := range int64(10) {
				b.Kernel(gemm, 99*ms+100*us*i, 99*ms+100*us*(i+1), 0)
			}
		}, 13, 6 * ms, 0},
		{"no markers, tear-down after a pause", ByKernels, work, func(b *proftest.Builder) { b.Launch("fill_kernel", 2100*ms, 2101*ms, 2102*ms) }, 3, 5 * ms, 1},
		{"no markers, nothing follows", ByKernels, work, func(*proftest.Builder) {}, 3, 5 * ms, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := proftest.NewBuilder(0)
			for i := range int64(10) {
				c.step(b, 10*ms*i)
			}
			c.after(b)
			a := Analyze(b.Build(t), Options{})
			r := &a.Ranks[0]
			if r.Source != c.source || len(a.Steps) != 10 {
				t.Fatalf("%d steps by %v", len(a.Steps), r.Source)
			}
			s := &a.Steps[9]
			if !s.Open || s.Period != -1 || s.GPU.Start != lastStart || s.Kernels != c.kernels || s.Wall() != c.wall {
				t.Errorf("last step from %d, open %v, %d kernels, wall %d; want from %d, %d kernels, wall %d",
					s.GPU.Start, s.Open, s.Kernels, s.Wall(), int64(lastStart), c.kernels, c.wall)
			}
			outside := 0
			for _, s := range r.OpStep {
				if s == profile.None {
					outside++
				}
			}
			if outside != c.outside {
				t.Errorf("%d operations outside all steps, want %d", outside, c.outside)
			}
			if got := a.Budget.Total(); got != a.Wall {
				t.Errorf("the budget's parts sum to %d, the wall is %d", got, a.Wall)
			}
		})
	}
}
