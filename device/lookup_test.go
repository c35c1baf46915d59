package device

import (
	"math"
	"strings"
	"testing"
)

func TestLookupByName(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"NVIDIA H100 80GB HBM3", "NVIDIA H100 SXM5 80GB"},
		{"H100", "NVIDIA H100 SXM5 80GB"},
		{"h100-sxm", "NVIDIA H100 SXM5 80GB"},
		{"NVIDIA H100 PCIe", "NVIDIA H100 PCIe 80GB"},
		{"NVIDIA H100 NVL", "NVIDIA H100 NVL"},
		{"NVIDIA H200", "NVIDIA H200 SXM 141GB"},
		{"NVIDIA H200 NVL", "NVIDIA H200 NVL"},
		{"NVIDIA H20", "NVIDIA H20"},
		{"NVIDIA H20-3e", "NVIDIA H20 141GB"},
		{"NVIDIA H800", "NVIDIA H800 SXM5 80GB"},
		{"NVIDIA GH200 480GB", "NVIDIA GH200 96GB"},
		{"NVIDIA GH200 144G HBM3e", "NVIDIA GH200 144GB"},
		{"NVIDIA B200", "NVIDIA B200"},
		{"NVIDIA GB200", "NVIDIA GB200"},
		{"NVIDIA B300 SXM6 AC", "NVIDIA B300"},
		{"NVIDIA GB300", "NVIDIA GB300"},
		{"NVIDIA A100-SXM4-40GB", "NVIDIA A100 SXM4 40GB"},
		{"NVIDIA A100-SXM4-80GB", "NVIDIA A100 SXM4 80GB"},
		{"NVIDIA A100-PCIE-40GB", "NVIDIA A100 PCIe 40GB"},
		{"NVIDIA A100 80GB PCIe", "NVIDIA A100 PCIe 80GB"},
		{"A100 80 GB", "NVIDIA A100 SXM4 80GB"},
		{"A100-80", "NVIDIA A100 SXM4 80GB"},
		{"A100 80", "NVIDIA A100 SXM4 80GB"},
		{"A100-40", "NVIDIA A100 SXM4 40GB"},
		{"a100 pcie 40", "NVIDIA A100 PCIe 40GB"},
		{"V100-32", "NVIDIA V100 SXM2 32GB"},
		{"H100-80", "NVIDIA H100 SXM5 80GB"},
		{"rtx 4060 ti 16", "NVIDIA GeForce RTX 4060 Ti 16GB"},
		{"NVIDIA A800-SXM4-80GB", "NVIDIA A800 SXM4 80GB"},
		{"NVIDIA A10", "NVIDIA A10"},
		{"NVIDIA A10G", "NVIDIA A10G"},
		{"NVIDIA L4", "NVIDIA L4"},
		{"NVIDIA L40", "NVIDIA L40"},
		{"NVIDIA L40S", "NVIDIA L40S"},
		{"Tesla T4", "NVIDIA T4"},
		{"Tesla V100-SXM2-16GB", "NVIDIA V100 SXM2 16GB"},
		{"Tesla V100-SXM2-32GB", "NVIDIA V100 SXM2 32GB"},
		{"Tesla V100-PCIE-16GB", "NVIDIA V100 PCIe 16GB"},
		{"NVIDIA GeForce RTX 3060", "NVIDIA GeForce RTX 3060"},
		{"NVIDIA GeForce RTX 3060 Ti", "NVIDIA GeForce RTX 3060 Ti"},
		{"NVIDIA GeForce RTX 3080", "NVIDIA GeForce RTX 3080"},
		{"NVIDIA GeForce RTX 4090", "NVIDIA GeForce RTX 4090"},
		{"NVIDIA GeForce RTX 4090 D", "NVIDIA GeForce RTX 4090 D"},
		{"NVIDIA GeForce RTX 4070 Ti SUPER", "NVIDIA GeForce RTX 4070 Ti SUPER"},
		{"rtx4060ti", "NVIDIA GeForce RTX 4060 Ti"},
		{"4090", "NVIDIA GeForce RTX 4090"},
		{"NVIDIA GeForce RTX 5090", "NVIDIA GeForce RTX 5090"},
		{"NVIDIA RTX A6000", "NVIDIA RTX A6000"},
		{"NVIDIA RTX 6000 Ada Generation", "NVIDIA RTX 6000 Ada Generation"},
		{"NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "NVIDIA RTX PRO 6000 Blackwell Workstation Edition"},
		{"NVIDIA RTX PRO 6000 Blackwell Server Edition", "NVIDIA RTX PRO 6000 Blackwell Server Edition"},
		{"NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition"},
		{"NVIDIA H100 80GB HBM2e", "NVIDIA H100 PCIe 80GB"},
		{"NVIDIA GH200 120GB", "NVIDIA GH200 96GB"},
		{"NVIDIA B200 180GB HBM3e", "NVIDIA B200"},
		{"A100-SXM4-40GB", "NVIDIA A100 SXM4 40GB"},
		{"NVIDIA A100-PCIE-80GB", "NVIDIA A100 PCIe 80GB"},
		{"NVIDIA A30", "NVIDIA A30"},
		{"NVIDIA A2", "NVIDIA A2"},
		{"NVIDIA A16", "NVIDIA A16"},
		{"NVIDIA L20", "NVIDIA L20"},
		{"AMD Instinct MI300X VF", "AMD Instinct MI300X"},
		{"AMD Instinct MI300X", "AMD Instinct MI300X"},
		{"AMD Instinct MI300X OAM", "AMD Instinct MI300X"},
		{"mi355x", "AMD Instinct MI355X"},
	} {
		s, m := Lookup(c.in, Hints{})
		if !m.OK || s.Name != c.want {
			t.Errorf("%q: %q %+v, want %q", c.in, s.Name, m, c.want)
		}
	}
}

// A name of another part must not borrow a sheet.
func TestLookupRefuses(t *testing.T) {
	for _, c := range []struct{ in, suggest string }{
		{"NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA GeForce RTX 4090"},
		{"NVIDIA H100X", "H100"},
		{"NVIDIA H101", "H100"},
		{"A1000", "A100"},
		{"NVIDIA GeForce GTX 1080 Ti", ""},
		{"NVIDIA RTX 4090 Ada", "NVIDIA GeForce RTX 4090"},
		{"AMD Instinct MI100", ""},
		{"MI300", "AMD Instinct MI300"},
		{"B20", "NVIDIA B200"},
		{"A100-60", "NVIDIA A100 SXM4 80GB"},
		{"RTX 6000", "NVIDIA RTX 6000 Ada Generation|NVIDIA RTX PRO 6000 Blackwell"},
		{"NVIDIA RTX 4000 SFF Ada Generation", "NVIDIA RTX 4000 Ada Generation"},
		{"NVIDIA GeForce RTX 5090 D v2", "NVIDIA GeForce RTX 5090 D"},
		{"NVIDIA H100L-1-12C MIG 1g.12gb", ""},
		{"GRID A100D-80C", ""},
		{"NVIDIA PG506-230", ""},
		{"NVIDIA T4G", ""},
		{"Quadro P4000", ""},
		{"xyz", ""},
	} {
		s, m := Lookup(c.in, Hints{Bandwidth: 5e11})
		if m.OK {
			t.Errorf("%q was taken as %s", c.in, s.Name)
		}
		if len(s.Peaks()) != 0 || s.Bandwidth != 5e11 {
			t.Errorf("%q: an unknown part has peaks %v, bandwidth %g", c.in, s.Peaks(), s.Bandwidth)
		}
		if got := strings.Join(m.Suggestions, "|"); c.suggest != "" && !strings.Contains(got, c.suggest) {
			t.Errorf("%q: suggestions %q lack %q", c.in, got, c.suggest)
		}
		if c.in == "RTX 6000" && strings.Contains(strings.Join(m.Suggestions, "|"), "GeForce") {
			t.Errorf("%q: suggestions %q", c.in, m.Suggestions)
		}
	}
	if _, m := Lookup("", Hints{}); m.OK || m.Kind != NoMatch {
		t.Errorf("no name and no facts: %+v", m)
	}
}

func TestLookupCaptureFactsWin(t *testing.T) {
	h := Hints{SMs: 132, MemoryBytes: 85017493504, Bandwidth: 3352320000000, ClockHz: 1980000000, L2Bytes: 52428800, ComputeMajor: 9}
	s, m := Lookup("NVIDIA H100 80GB HBM3", h)
	if s.Bandwidth != h.Bandwidth || s.MemoryBytes != h.MemoryBytes || len(m.Adjusted) != 0 || len(m.Notes) != 0 {
		t.Errorf("%+v %+v", s, m)
	}
	if p, _ := s.Peak(BF16); p != 989.4e12 {
		t.Errorf("bf16 peak %g: a highest clock above the one behind the peaks must not scale them", p)
	}
	// The same part without a name.
	if s, m := Lookup("", h); !m.OK || m.Kind != ByFacts || s.Name != "NVIDIA H100 SXM5 80GB" {
		t.Errorf("by facts: %s %+v", s.Name, m)
	}
	// ROCm gives both MI250 the same name; the compute units tell them apart.
	for sms, want := range map[int]string{104: "AMD Instinct MI250 (one GCD)", 110: "AMD Instinct MI250X (one GCD)"} {
		if s, m := Lookup("AMD Instinct MI250X/MI250", Hints{SMs: sms, MemoryBytes: 68702699520}); !m.OK || s.Name != want {
			t.Errorf("%d units: %s %+v", sms, s.Name, m)
		}
	}
	// A driver that reports less bandwidth than the sheet prints is still found by its facts.
	if s, m := Lookup("", Hints{SMs: 148, MemoryBytes: 182642 << 20, Bandwidth: 7672e9, ClockHz: 1965e6, ComputeMajor: 10}); s.Name != "NVIDIA B200" || s.Bandwidth != 7672e9 {
		t.Errorf("%s %+v", s.Name, m)
	}
	// Memory tells variants of one name apart.
	if s, _ := Lookup("NVIDIA GeForce RTX 3060", Hints{MemoryBytes: 12 << 30, Bandwidth: 360048000000}); s.Name != "NVIDIA GeForce RTX 3060" {
		t.Error(s.Name)
	}
	if s, _ := Lookup("NVIDIA GeForce RTX 4060 Ti", Hints{MemoryBytes: 16<<30 - 1<<28, Bandwidth: 288032000000}); s.Name != "NVIDIA GeForce RTX 4060 Ti 16GB" {
		t.Error(s.Name)
	}
	// A cut-down part: fewer units, lower clock.
	s, m = Lookup("NVIDIA H100 80GB HBM3", Hints{SMs: 66, ClockHz: 915e6, Bandwidth: 1.5e12})
	if p, _ := s.Peak(BF16); math.Abs(p-989.4e12/4) > 1e9 || s.Bandwidth != 1.5e12 || len(m.Adjusted) != 3 {
		t.Errorf("cut-down: %g %+v", p, m)
	}
	// Contradicting capability is said.
	if _, m = Lookup("NVIDIA L4", Hints{ComputeMajor: 9}); len(m.Notes) != 1 {
		t.Errorf("no note on another compute capability: %+v", m)
	}
}

// A clock or a bandwidth that no such part can have does not move the peaks.
func TestLookupImplausibleFacts(t *testing.T) {
	for _, h := range []Hints{
		{SMs: 132, Bandwidth: 3.35e9, ClockHz: 1980e3},  // thousandths: mistaken units
		{SMs: 132, Bandwidth: 3.35e15, ClockHz: 1980e9}, // thousands
		{SMs: 132, Bandwidth: 1.5e12, ClockHz: 100e6},
	} {
		s, m := Lookup("NVIDIA H100 80GB HBM3", h)
		if p, _ := s.Peak(BF16); p != 989.4e12 || s.Bandwidth != 3350e9 || len(m.Notes) != 2 || len(m.Adjusted) != 0 {
			t.Errorf("%+v: peak %g, bandwidth %g, %+v", h, p, s.Bandwidth, m)
		}
	}
	// More than the print is possible: an H200 reports 6144 bits at 3201 MHz.
	if s, m := Lookup("NVIDIA H200", Hints{SMs: 132, Bandwidth: 4916.7e9}); s.Bandwidth != 4916.7e9 || len(m.Notes) != 0 || len(m.Adjusted) != 1 {
		t.Errorf("%g %+v", s.Bandwidth, m)
	}
}

// Tensor rates are units x clock x operations per unit and cycle; a row that does not obey is a typing error.
func TestSheetsAreConsistent(t *testing.T) {
	perCycle := map[string]float64{"volta": 1024, "turing": 1024, "hopper": 4096, "blackwell-dc": 8192, "blackwell-ultra": 8192,
		"gfx90a": 1024, "gfx942": 2048, "gfx950": 4096}
	seen := map[string]bool{}
	for _, s := range Sheets() {
		if seen[s.Name] {
			t.Errorf("%s: twice", s.Name)
		}
		seen[s.Name] = true
		if s.Source == "" || s.Bandwidth < 2e11 || s.MemoryBytes < 8<<30 || s.SMs == 0 || (s.BoostHz < 1e9 && s.Name != "NVIDIA GB10") || s.TDPWatts == 0 || s.L2Bytes == 0 || len(s.Peaks()) == 0 || (s.PCIe == 0 && !strings.Contains(s.Note, "NVLink-C2C")) {
			t.Errorf("%s: incomplete: %+v", s.Name, s)
		}
		if got, m := Lookup(s.Name, Hints{MemoryBytes: s.MemoryBytes, SMs: s.SMs, Bandwidth: s.Bandwidth}); !strings.Contains(s.Name, "GCD") && (!m.OK || got.Name != s.Name) {
			t.Errorf("%s: found as %q %+v", s.Name, got.Name, m)
		}
		fp16, ok := s.Peak(FP16)
		if !ok {
			continue
		}
		rate := perCycle[s.Architecture]
		switch {
		case s.Architecture == "ampere" && s.ComputeMinor == 0:
			rate = 2048
		case strings.Contains(s.Name, "GeForce"), s.Name == "NVIDIA A10G", s.Name == "NVIDIA L40", s.Name == "NVIDIA L20":
			rate = 512
		case s.Architecture == "ampere", s.Architecture == "ada", s.Architecture == "blackwell":
			rate = 1024
		}
		if strings.Contains(s.Name, "H20") && !strings.Contains(s.Name, "H200") {
			continue // limited by the vendor
		}
		if got := float64(s.SMs) * s.PeakHz * rate; math.Abs(got/fp16-1) > 0.03 {
			t.Errorf("%s: fp16 %g, units x clock x %g = %g", s.Name, fp16, rate, got)
		}
		if bf16, ok := s.Peak(BF16); ok != s.SupportsBF16() || (ok && bf16 != fp16) {
			t.Errorf("%s: bf16 %g, fp16 %g", s.Name, bf16, fp16)
		}
		if fp8, ok := s.Peak(FP8); ok != s.SupportsFP8() || (ok && math.Abs(fp8/fp16-2) > 0.05) {
			t.Errorf("%s: fp8 %g is not twice fp16 %g", s.Name, fp8, fp16)
		}
		if _, ok := s.Peak(FP4); ok != s.SupportsFP4() {
			t.Errorf("%s: fp4 peak %v, supported %v", s.Name, ok, s.SupportsFP4())
		}
	}
	if len(seen) < 60 {
		t.Errorf("%d sheets", len(seen))
	}
}

func TestCapabilities(t *testing.T) {
	for _, c := range []struct {
		name              string
		bf16, fp8, fp4, k SupportKind
	}{
		{"V100", Unsupported, Unsupported, Unsupported, Unsupported},
		{"T4", Unsupported, Storage, Unsupported, Unsupported},
		{"A100", Native, Storage, Storage, Storage},
		{"RTX 3090", Native, Storage, Storage, Storage},
		{"L4", Native, Native, Storage, Native},
		{"H100", Native, Native, Storage, Native},
		{"B200", Native, Native, Native, Native},
		{"RTX 5090", Native, Native, Native, Native},
		{"MI250X", Native, Unsupported, Unsupported, Unsupported},
		{"MI300X", Native, Native, Unsupported, Native},
		{"MI355X", Native, Native, Native, Native},
		{"unheard of", Unknown, Unknown, Unknown, Unknown},
	} {
		s, _ := Lookup(c.name, Hints{})
		if s.BF16().Kind != c.bf16 || s.FP8().Kind != c.fp8 || s.FP4().Kind != c.fp4 || s.FP8KVCache().Kind != c.k {
			t.Errorf("%s: bf16 %v fp8 %v fp4 %v kv %v", c.name, s.BF16(), s.FP8(), s.FP4(), s.FP8KVCache())
		}
	}
	h100, _ := Lookup("H100", Hints{})
	a100, _ := Lookup("A100", Hints{})
	b200, _ := Lookup("B200", Hints{})
	for _, c := range []struct {
		s          Sheet
		store, run DType
	}{{h100, FP8, FP8}, {a100, FP8, BF16}, {h100, INT4, BF16}, {h100, NVFP4, BF16}, {b200, NVFP4, FP4}, {a100, INT8, INT8}, {a100, BF16, BF16}} {
		if got := c.store.Arithmetic(BF16, c.s); got != c.run {
			t.Errorf("%s on %s runs in %s, want %s", c.store, c.s.Name, got, c.run)
		}
	}
}

func FuzzLookup(f *testing.F) {
	for _, s := range Sheets() {
		f.Add(s.Name, s.SMs, s.MemoryBytes, s.Bandwidth)
	}
	f.Add("NVIDIA H100 80GB HBM3 MIG 1g.10gb", 0, int64(0), 0.0)
	f.Fuzz(func(t *testing.T, name string, sms int, mem int64, bw float64) {
		s, m := Lookup(name, Hints{SMs: sms, MemoryBytes: mem, Bandwidth: bw})
		if !m.OK && len(s.Peaks()) > 0 {
			t.Fatalf("peaks of an unknown part: %+v", s)
		}
		for _, d := range s.Peaks() {
			if p, _ := s.Peak(d); math.IsNaN(p) || math.IsInf(p, 0) {
				t.Fatalf("peak %g", p)
			}
		}
	})
}
