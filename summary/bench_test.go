package summary

import (
	"fmt"
	"io"
	"runtime"
	"testing"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
)

// large makes a profile of n kernels with the proportions of a serving capture with many ranges: 1.7 calls and 4.9
// ranges a kernel, four ranges deep, 60 kernel names, 200 steps' worth of range names.
func large(b testing.TB, n int) *profile.Profile {
	x := newBuilder()
	p := x.P
	fn := make([]profile.Func, 60)
	for i := range fn {
		id := p.Strings.ID(fmt.Sprintf("void kernel_%d<int, %d>(T1 *)", i, i))
		fn[i] = profile.Func{Name: id, Short: p.Strings.ID(fmt.Sprintf("kernel_%d", i))}
	}
	at := int64(0)
	for k := 0; k < n; {
		step := at
		var inner []int64
		for range 20 {
			layer := at
			for range 5 {
				op := at
				for range 4 {
					corr := x.call(1, 1, at, 300, "cudaLaunchKernel_v7000")
					x.kernelOf(1, 0, at+2000, 500+int64(k%700), fn[k*7%60], [3]int32{int32(1 + k%40), 1, 1}, corr)
					at += 400
					if k%10 < 7 {
						x.call(1, 1, at, 90, "cudaStreamIsCapturing_v10000")
						at += 100
					}
					for range 4 {
						x.rng(1, 1, at, 5, profile.PushPop, "", "schedule: allocate_slots")
						at += 10
					}
					k++
				}
				x.rng(1, 1, op, at-op, profile.PushPop, "", fmt.Sprintf("op %d", k%30))
			}
			x.rng(1, 1, layer, at-layer, profile.PushPop, "", "layer")
			inner = append(inner, layer)
		}
		x.rng(1, 1, step, at-step, profile.PushPop, "", fmt.Sprintf("execute_context_0(0)_generation_%d(8)", len(inner)+k/400%200))
	}
	p.Window = interval.Span{End: at + 5000}
	return x.done(b)
}

func BenchmarkReports(b *testing.B) {
	p := large(b, 2_000_000)
	b.Logf("%d kernels, %d calls, %d ranges", p.Kernels.Len(), p.Calls.Len(), p.Ranges.Len())
	runtime.GC()
	for _, spec := range allSpecs() {
		if spec == "osrt_sum" {
			continue
		}
		b.Run(spec, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Run(p, spec); err != nil {
					b.Skip(err)
				}
			}
		})
	}
	b.Run("curves", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Curves(p, CurveOptions{BinNs: 10_000_000}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("trace.csv", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			t, err := Run(p, "cuda_gpu_trace")
			if err != nil {
				b.Fatal(err)
			}
			if err := t.WriteCSV(io.Discard); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkScale shows that cost grows linearly: time per kernel at 1x, 4x and 16x.
func BenchmarkScale(b *testing.B) {
	for _, n := range []int{125_000, 500_000, 2_000_000} {
		p := large(b, n)
		for _, spec := range []string{"cuda_gpu_kern_sum:nvtx-name", "nvtx_gpu_proj_sum", "nvtx_kern_sum"} {
			b.Run(fmt.Sprintf("%s/%d", spec, n), func(b *testing.B) {
				for b.Loop() {
					if _, err := Run(p, spec); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/kernel")
			})
		}
	}
}
