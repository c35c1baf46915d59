package ncu

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"
)

// The files real-*.csv are three of 75 kernels of a vLLM 0.24 prefill (2 layers of the Llama-3.1-8B shape, 4 requests of
// 128 tokens) on an H100, printed by Nsight Compute 2025.3.1: --page raw, --page raw --print-units base (a seventh of
// its columns), --page details, --print-summary per-kernel. NVTX ranges were on, clocks not fixed.

func open(t *testing.T, name string) *File {
	t.Helper()
	f, err := Open(context.Background(), "testdata/"+name)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range f.Warnings {
		t.Errorf("%s: %v", name, w)
	}
	return f
}

func TestReal(t *testing.T) {
	raw := open(t, "real-raw.csv")
	if len(raw.Kernels) != 3 {
		t.Fatalf("%d kernels", len(raw.Kernels))
	}
	for i, want := range []struct {
		base        string
		grid, block [3]int32
		metrics     map[string]float64
	}{
		{"device_kernel", [3]int32{132, 1, 1}, [3]int32{384, 1, 1}, nil},
		{"fused_add_rms_norm_kernel", [3]int32{512, 1, 1}, [3]int32{256, 1, 1}, nil},
		{"nvjet_sm90_tst_176x128_64x5_1x2_h_bz_TNN", [3]int32{2, 66, 1}, [3]int32{384, 1, 1}, nil},
	} {
		k := &raw.Kernels[i]
		if k.Base != want.base || k.Grid != want.grid || k.Block != want.block || k.GPU != "NVIDIA H100 80GB HBM3" || k.CC != "9.0" || k.Device != 0 {
			t.Errorf("kernel %d: %s %v %v on %q %s %d", i, k.Base, k.Grid, k.Block, k.GPU, k.CC, k.Device)
		}
		if !slices.Equal(k.Ranges, []string{"llm_engine step: get_output", "execute_context_4(512)_generation_0(0)"}) {
			t.Errorf("kernel %d: ranges %q", i, k.Ranges)
		}
		for _, m := range Metrics {
			v, ok := m.Of(k)
			if !ok {
				t.Errorf("kernel %d: %s is not recorded", i, m.ID)
			}
			if m.Unit == "%" && (v < 0 || v > 100.5) {
				t.Errorf("kernel %d: %s is %v", i, m.ID, v)
			}
		}
	}
	// A GEMM of prefill keeps the tensor cores busy, a norm does not.
	gemm, norm := &raw.Kernels[2], &raw.Kernels[1]
	if v, _ := gemm.TensorPipe(); v < 50 {
		t.Errorf("tensor pipe of the GEMM: %v %%", v)
	}
	if v, _ := norm.TensorPipe(); v > 2 {
		t.Errorf("tensor pipe of the norm: %v %%", v)
	}
}

// TestRealPagesAgree: what both pages print is the same number, up to the digits printed.
func TestRealPagesAgree(t *testing.T) {
	raw, details := open(t, "real-raw.csv"), open(t, "real-details.csv")
	if len(details.Kernels) != len(raw.Kernels) {
		t.Fatalf("%d kernels, want %d", len(details.Kernels), len(raw.Kernels))
	}
	common := 0
	for i := range raw.Kernels {
		a, b := &raw.Kernels[i], &details.Kernels[i]
		if a.Name != b.Name || a.ID != b.ID || a.Grid != b.Grid || a.Block != b.Block || !slices.Equal(a.Ranges, b.Ranges) {
			t.Errorf("kernel %d: %s %v, %s %v", i, a.Name, a.Ranges, b.Name, b.Ranges)
		}
		for name, v := range b.Metrics {
			w, ok := a.Metrics[name]
			if !ok {
				if !strings.Contains(name, " ") {
					t.Errorf("%s is a raw name that the raw page does not have", name)
				}
				continue
			}
			common++
			// Two decimals of a scaled unit, of which the smallest step is a hundredth of a thousand.
			if math.Abs(v.Value-w.Value) > 0.0051*math.Max(1, math.Abs(w.Value)) || v.Unit != w.Unit {
				t.Errorf("kernel %d, %s: details %v %s, raw %v %s", i, name, v.Value, v.Unit, w.Value, w.Unit)
			}
		}
	}
	if common < 3*60 {
		t.Errorf("only %d values are on both pages", common)
	}
}

// TestRealUnits: --print-units base and automatic units are the same values.
func TestRealUnits(t *testing.T) {
	raw, base := open(t, "real-raw.csv"), open(t, "real-raw-base.csv")
	common := 0
	for i := range base.Kernels {
		for name, v := range base.Kernels[i].Metrics {
			w, ok := raw.Kernels[i].Metrics[name]
			if !ok {
				t.Errorf("%s is in base units only", name)
				continue
			}
			if strings.HasPrefix(name, "derived__pct_occupancy_per_") {
				continue // an index of a chart, whose unit "%/Kbyte" ncu scales the wrong way round
			}
			common++
			if math.Abs(v.Value-w.Value) > 0.0051*math.Max(1, math.Abs(w.Value)) || v.Unit != w.Unit {
				t.Errorf("kernel %d, %s: base %v %q, scaled %v %q", i, name, v.Value, v.Unit, w.Value, w.Unit)
			}
		}
	}
	if common < 300 {
		t.Errorf("only %d values compared", common)
	}
}

// TestRealSummary: averages over launches of one kernel and grid.
func TestRealSummary(t *testing.T) {
	raw, sum := open(t, "real-raw.csv"), open(t, "real-summary.csv")
	if !slices.Equal(sum.Pages, []string{"summary"}) || len(sum.Kernels) != 3 {
		t.Fatalf("pages %v, %d kernels", sum.Pages, len(sum.Kernels))
	}
	for i := range sum.Kernels {
		s := &sum.Kernels[i]
		at := slices.IndexFunc(raw.Kernels, func(k Kernel) bool { return k.Name == s.Name && k.Grid == s.Grid })
		if at < 0 || s.Invocations < 1 {
			t.Fatalf("kernel %d: %s %v, %d invocations", i, s.Name, s.Grid, s.Invocations)
		}
		got, ok := s.Duration()
		one, _ := raw.Kernels[at].Duration()
		if !ok || got < one/2 || got > one*2 {
			t.Errorf("%s: %d ns on average, %d ns in one launch", s.Base, got, one)
		}
		for _, m := range Metrics {
			if _, ok := m.Of(s); !ok && m.ID != "tensor_pipe_pct" {
				t.Errorf("%s: %s is not recorded", s.Base, m.ID)
			}
		}
	}
}

func TestRanges(t *testing.T) {
	for in, want := range map[string][]string{
		"": nil,
		`13236  "<default domain>:llm_engine step: get_output:none:none:RGB:0xff:REGISTERED:llm_engine step: get_output"  "<default domain>:execute_context_4(512)_generation_0(0):none:none:none:none:none:none" `: {"llm_engine step: get_output", "execute_context_4(512)_generation_0(0)"},
		`1 "my domain:a:INT64:5:ARGB:0xff00ff:ASCII:a"`: {"a"},
		`1 "no colon"`:       nil,
		`1 "d:odd`:           {"odd"},
		`1 "d:plain:text:x"`: {"plain:text:x"},
	} {
		if got := ranges(in); !slices.Equal(got, want) {
			t.Errorf("ranges(%q) = %q, want %q", in, got, want)
		}
	}
}
