package device

import (
	"math"
	"testing"
)

// The SM counts and memory sizes are those that nvidia-smi mig -lgip lists for the GPUs and that CUDA reports for the
// devices: no simple share of the whole GPU.
func TestMIG(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		name      string
		h         Hints
		sms       int
		ofFull    float64 // FP16 peak relative to the whole GPU's; 0: not known
		bandwidth float64 // GB/s
		memory    float64 // GiB
	}{
		// By the name alone.
		{"NVIDIA H100 80GB HBM3 MIG 1g.10gb", Hints{}, 16, 16.0 / 132, 3350.0 / 8, 10},
		{"NVIDIA H100 80GB HBM3 MIG 1g.10gb+me", Hints{}, 16, 16.0 / 132, 3350.0 / 8, 10},
		{"NVIDIA H100 80GB HBM3 MIG 1g.20gb", Hints{}, 26, 26.0 / 132, 3350.0 / 4, 20},
		{"NVIDIA H100 80GB HBM3 MIG 3g.40gb", Hints{}, 60, 60.0 / 132, 3350.0 / 2, 40},
		{"NVIDIA H100 80GB HBM3 MIG 7g.80gb", Hints{}, 132, 1, 3350, 80},
		{"NVIDIA H100 NVL MIG 1g.12gb", Hints{}, 16, 16.0 / 132, 3938.0 / 8, 12},
		{"NVIDIA H100 PCIe MIG 3g.40gb", Hints{}, 46, 46.0 / 114, 2039.0 / 2, 40},
		{"NVIDIA H200 MIG 2g.35gb", Hints{}, 32, 32.0 / 132, 4800.0 / 4, 35},
		{"NVIDIA A100-SXM4-40GB MIG 1g.5gb", Hints{}, 14, 14.0 / 108, 1555.0 / 8, 5},
		{"NVIDIA A100-SXM4-40GB MIG 7g.40gb", Hints{}, 98, 98.0 / 108, 1555, 40},
		{"NVIDIA A100-SXM4-80GB MIG 3g.40gb", Hints{}, 42, 42.0 / 108, 2039.0 / 2, 40},
		{"NVIDIA A100-SXM4-40GB MIG 1c.3g.20gb", Hints{}, 14, 14.0 / 108, 1555.0 / 2, 20},
		{"NVIDIA A100 80GB PCIe MIG 2g.20gb", Hints{}, 28, 28.0 / 108, 1935.0 / 4, 20},
		{"NVIDIA A30 MIG 1g.6gb", Hints{}, 14, 14.0 / 56, 933.0 / 4, 6},
		{"NVIDIA A30 MIG 4g.24gb", Hints{}, 56, 1, 933, 24},
		{"NVIDIA RTX PRO 6000 Blackwell Server Edition MIG 1g.24gb", Hints{}, 46, 46.0 / 188, 1597.0 / 4, 24},
		{"NVIDIA RTX PRO 6000 Blackwell Server Edition MIG 2g.48gb+gfx", Hints{}, 94, 94.0 / 188, 1597.0 / 2, 48},
		// The capture's facts lead: a driver that reports the slice's own SM count and memory, with the bus of the whole GPU.
		{"NVIDIA H100 80GB HBM3 MIG 3g.40gb", Hints{SMs: 58, MemoryBytes: 395 * gib / 10, Bandwidth: 3352320000000, ClockHz: 1980e6}, 58, 58.0 / 132, 3352.32 / 2, 39.5},
		{"NVIDIA H200 MIG 3g.71gb", Hints{SMs: 60, MemoryBytes: 695 * gib / 10, Bandwidth: 4.8e12}, 60, 60.0 / 132, 2400, 69.5},
		// A driver that reports the slice's own bus.
		{"NVIDIA H200 MIG 1g.18gb", Hints{SMs: 16, MemoryBytes: 16 * gib, Bandwidth: 0.6e12}, 16, 16.0 / 132, 600, 16},
		// A profiler that lists the whole GPU behind the device.
		{"NVIDIA H100 80GB HBM3 MIG 2g.20gb", Hints{SMs: 132, MemoryBytes: 85017493504, Bandwidth: 3352320000000}, 32, 32.0 / 132, 3352.32 / 4, 20},
		// A slice without a profile in its name.
		{"NVIDIA A100-SXM4-40GB", Hints{SMs: 42, MemoryBytes: 195 * gib / 10, Bandwidth: 1555e9}, 42, 42.0 / 108, 1555.0 / 2, 19.5},
		// A profile whose SM count is not known: no compute peaks, never those of the whole GPU.
		{"NVIDIA B300 SXM6 AC MIG 1g.34gb", Hints{}, 0, 0, 8000.0 / 8, 34},
		{"NVIDIA B300 SXM6 AC MIG 1g.34gb", Hints{SMs: 148, MemoryBytes: 270 * gib, Bandwidth: 8e12}, 0, 0, 8000.0 / 8, 34},
		{"NVIDIA B300 SXM6 AC MIG 1g.34gb", Hints{SMs: 18, MemoryBytes: 33 * gib, Bandwidth: 8e12}, 18, 18.0 / 148, 8000.0 / 8, 33},
		{"NVIDIA B200 MIG 3g.90gb", Hints{}, 0, 0, 8000.0 / 2, 90},
	} {
		s, m := Lookup(c.name, c.h)
		if !m.OK {
			t.Errorf("%s: %+v", c.name, m)
			continue
		}
		var full Sheet
		for _, x := range Sheets() {
			if x.Name == s.Name {
				full = x
			}
		}
		want, _ := full.Peak(FP16)
		got, ok := s.Peak(FP16)
		if ok != (c.ofFull > 0) || math.Abs(got-want*c.ofFull) > 1e-6*want {
			t.Errorf("%s %+v: peak %g of %g, want the share %g", c.name, c.h, got, want, c.ofFull)
		}
		if s.SMs != c.sms || math.Abs(s.Bandwidth/1e9-c.bandwidth) > 0.01 || math.Abs(float64(s.MemoryBytes)/gib-c.memory) > 0.01 {
			t.Errorf("%s %+v: %d SMs, %g GB/s, %g GiB; want %d, %g, %g", c.name, c.h, s.SMs, s.Bandwidth/1e9, float64(s.MemoryBytes)/gib, c.sms, c.bandwidth, c.memory)
		}
		if whole := c.ofFull == 1; whole != (len(m.Adjusted)+len(m.Notes) == 0) {
			t.Errorf("%s %+v: said %+v", c.name, c.h, m)
		}
	}
}

// A part with fewer units and all of its memory is no MIG device.
func TestCutDownPartIsNoMIG(t *testing.T) {
	s, m := Lookup("NVIDIA A100-SXM4-40GB", Hints{SMs: 98, MemoryBytes: 42405855232, Bandwidth: 1555e9})
	if p, _ := s.Peak(FP16); math.Abs(p-312e12*98/108) > 1e9 || s.Bandwidth != 1555e9 || len(m.Adjusted) != 1 {
		t.Errorf("%g %g %+v", p, s.Bandwidth, m)
	}
	// A board with more units and memory than the sold one (there are A100 with 64 GB and 124 SMs).
	s, _ = Lookup("NVIDIA A100-SXM-64GB", Hints{SMs: 124, MemoryBytes: 64 << 30, Bandwidth: 1638e9})
	if p, _ := s.Peak(FP16); math.Abs(p-312e12*124/108) > 1e9 || s.Bandwidth != 1638e9 || s.MemoryBytes != 64<<30 {
		t.Errorf("%g %g", p, s.Bandwidth)
	}
}
