package nsys

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stepscope/stepscope/internal/proftest/scale"
)

// BenchmarkOpen reads scaled captures: 16x has 2 million kernels, 3.4 million API calls and 9.75 million ranges. Time and
// memory per row must not grow with the size: run -bench Open -benchtime 1x and compare the columns. 16x takes half a
// minute to make and a gigabyte of disk, -short leaves it out.
func BenchmarkOpen(b *testing.B) {
	for _, times := range []int64{1, 4, 16} {
		b.Run(fmt.Sprintf("%dx", times), func(b *testing.B) {
			if times == 16 && testing.Short() {
				b.Skip("a gigabyte")
			}
			path, made := scale.Capture(b, "eager1b-G", scale.Target{Kernels: 125_000 * times, Calls: 212_500 * times, Ranges: 609_375 * times})
			rows := float64(made.Kernels + made.Calls + made.Ranges)
			runtime.GC()
			var before, after runtime.MemStats
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				runtime.ReadMemStats(&before)
				p, err := Open(b.Context(), path, Options{})
				if err != nil {
					b.Fatal(err)
				}
				runtime.ReadMemStats(&after)
				if int64(p.Kernels.Len()) != made.Kernels || int64(p.Calls.Len()) != made.Calls {
					b.Fatalf("%d kernels, %d calls, want %d and %d", p.Kernels.Len(), p.Calls.Len(), made.Kernels, made.Calls)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
			b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/rows, "allocated-B/row")
		})
	}
}
