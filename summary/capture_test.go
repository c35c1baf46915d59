package summary

import (
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/internal/proftest"
	"github.com/stepscope/stepscope/interval"
)

// TestCurvesAgainstOracles compares the integrals of the curves with totals that other code computed from the captures.
func TestCurvesAgainstOracles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.golden.gz")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		capture := strings.TrimSuffix(filepath.Base(f), ".golden.gz")
		t.Run(capture, func(t *testing.T) {
			proftest.SharedCapture(t, capture)
			var oracle struct {
				Devices map[string]struct {
					Kernels int64 `json:"union_kernel_busy_ns"`
					All     int64 `json:"union_kernel_memcpy_memset_busy_ns"`
					Graphs  int64 `json:"union_kernel_memcpy_memset_graph_busy_ns"`
					First   int64 `json:"first_kernel_start"`
					Last    int64 `json:"last_kernel_end"`
				}
				Copies map[string]struct{ Bytes int64 } `json:"memcpy_by_kind"`
				Memset struct{ Bytes int64 }
				Window struct {
					Dur int64 `json:"duration_ns"`
				} `json:"profile_window"`
				Busy    float64                           `json:"busy_fraction_of_profile_window"`
				Metrics map[string]struct{ Mean float64 } `json:"gpu_metrics_mean_between_first_and_last_kernel"`
				Graphs  int64                             `json:"graph_trace_rows"`
			}
			proftest.Oracle(t, capture, &oracle)
			p := openCapture(t, capture)
			c := curves(t, p, CurveOptions{BinNs: 7_777_777})
			if len(c.Devices) != len(oracle.Devices) {
				t.Fatalf("%d devices, want %d", len(c.Devices), len(oracle.Devices))
			}
			for i := range c.Devices {
				d := &c.Devices[i]
				want := oracle.Devices[strconv.FormatInt(d.ID, 10)]
				busy := d.Find(GPUBusy)
				if busy.CoveredNs != oracle.Window.Dur || math.Abs(busy.Mean-oracle.Busy) > 0.0006 {
					t.Errorf("busy %.4f of %d ns, want %.3f of %d", busy.Mean, busy.CoveredNs, oracle.Busy, oracle.Window.Dur)
				}
				all := want.All
				if oracle.Graphs > 0 {
					all = want.Graphs
				} else if got := d.Find(KernelBusy).Integral; got != float64(want.Kernels) {
					t.Errorf("kernels busy %v ns, want %d", got, want.Kernels)
				}
				if busy.Integral != float64(all) {
					t.Errorf("busy %v ns, want %d", busy.Integral, all)
				}
				for id, kind := range map[string]string{CopyHtoD: "1:Host-to-Device", CopyDtoH: "2:Device-to-Host"} {
					if got := d.Find(id).Integral; math.Abs(got-float64(oracle.Copies[kind].Bytes)) > 0.001 {
						t.Errorf("%s: %v bytes, want %d", id, got, oracle.Copies[kind].Bytes)
					}
				}
				dtod := float64(oracle.Copies["8:Device-to-Device"].Bytes + oracle.Memset.Bytes)
				if x := d.Find(CopyDtoD); x != nil && math.Abs(x.Integral-dtod) > 0.001 {
					t.Errorf("%s: %v bytes, want %v", CopyDtoD, x.Integral, dtod)
				}
				// The counters' means are of samples, ours of time.
				between := curves(t, p, CurveOptions{BinNs: 1_000_000, Window: interval.Span{Start: want.First, End: want.Last}})
				checked := 0
				for name, m := range oracle.Metrics {
					for _, s := range counterSeries {
						if strings.HasPrefix(strings.ToLower(name), s.names[0]) && strings.Contains(name, "%") {
							checked++
							if x := between.Devices[i].Find(s.id); x == nil || math.Abs(100*x.Mean-m.Mean) > 0.1 {
								t.Errorf("%s: %+v, want %.3f %%", s.id, x, m.Mean)
							}
						}
					}
				}
				if len(oracle.Metrics) > 0 && checked < 8 {
					t.Errorf("only %d counters compared", checked)
				}
				if x := between.Devices[i].Find(MemBandwidth); (x != nil) != (len(oracle.Metrics) > 0) {
					t.Error("memory bandwidth without counters, or none with them")
				}
			}
		})
	}
}
