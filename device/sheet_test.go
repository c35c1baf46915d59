package device

import (
	"math"
	"strings"
	"testing"
)

// published are figures of the most used parts, found in public tables other than the documents that the sheets name, by
// the name that the driver gives the GPU. Where a table prints rates with sparsity, the figure here is half of it. Zero
// means that the table does not state it, -1 that the part does not have it.
var published = []struct {
	name                       string
	sms                        int
	bandwidth                  float64 // GB/s
	fp16, bf16, fp8, int8, fp4 float64 // TFLOP/s and TOP/s, dense, with FP32 accumulation
	source                     string
}{
	{"Tesla V100-SXM2-16GB", 80, 900, 125, -1, -1, 0, -1, "PyTorch Lightning throughput table"},
	{"Tesla V100-PCIE-32GB", 80, 900, 112, -1, -1, 0, -1, "PyTorch Lightning throughput table"},
	{"Tesla T4", 40, 320, 65, -1, -1, 130, -1, "PyTorch Lightning throughput table"},
	{"NVIDIA A10", 72, 600.2, 125, 125, -1, 250, -1, "winston-zhang-orz/gpu-specs"},
	{"NVIDIA A10G", 80, 600, 69.5, 69.5, -1, 0, -1, "CUDA device properties; measured GEMM rates in zzc0721/torch-performance-test-data"},
	{"NVIDIA A2", 10, 200, 18.13, 18.13, -1, 36.25, -1, "hmc-tech.com"},
	{"NVIDIA A16", 10, 200, 17.9, 17.9, -1, 35.9, -1, "reseller print of the A16 data sheet"},
	{"NVIDIA A30", 56, 933, 165, 165, -1, 0, -1, "feifeibear/LLMRoofline"},
	{"NVIDIA A40", 84, 696, 149.7, 149.7, -1, 299.3, -1, "reseller print of the A40 data sheet"},
	{"NVIDIA A100-SXM4-40GB", 108, 1555, 312, 312, -1, 624, -1, "Paderborn Center for Parallel Computing, with deviceQuery"},
	{"NVIDIA A100-SXM4-80GB", 108, 2039, 312, 312, -1, 624, -1, "glennklockwood.com A100"},
	{"NVIDIA A100-PCIE-40GB", 108, 1555, 312, 312, -1, 624, -1, "winston-zhang-orz/gpu-specs"},
	{"NVIDIA A100 80GB PCIe", 108, 1935, 312, 312, -1, 624, -1, "winston-zhang-orz/gpu-specs"},
	{"NVIDIA L4", 58, 300, 121, 121, 242.5, 242.5, -1, "reseller print of the L4 data sheet (485 with sparsity)"},
	{"NVIDIA L20", 92, 864, 119.5, 119.5, 0, 0, -1, "topcpu.net, feifeibear/LLMRoofline"},
	{"NVIDIA L40", 142, 864, 181.05, 181.05, 362, 362, -1, "reseller print of the L40 data sheet"},
	{"NVIDIA L40S", 142, 864, 362.05, 362.05, 733, 733, -1, "reseller print of the L40S data sheet"},
	{"NVIDIA GeForce RTX 3090", 82, 936.2, 71.2, 71.2, -1, 284.7, -1, "half of the FP16-accumulation rate of 142 in the GA102 whitepaper"},
	{"NVIDIA GeForce RTX 4090", 128, 1008, 165.15, 165.15, 330.3, 660.6, -1, "waredb.com"},
	{"NVIDIA GeForce RTX 5090", 170, 1792, 209.5, 209.5, 419, 838, 1676, "spheron.network (838, 1677 and 3352 with sparsity and FP16 accumulation)"},
	{"NVIDIA RTX PRO 6000 Blackwell Workstation Edition", 188, 1792, 503.8, 503.8, 1010, 1010, 2020, "hmc-tech.com"},
	{"NVIDIA RTX PRO 6000 Blackwell Server Edition", 188, 0, 0, 0, 0, 0, 0, "CUDA device properties"},
	{"NVIDIA H100 80GB HBM3", 132, 3350, 989.4, 989.4, 1978.9, 1978.9, -1, "glennklockwood.com H100"},
	{"NVIDIA H100 PCIe", 114, 2000, 756, 756, 1513, 1513, -1, "HPC Tech print of the H100 data sheet"},
	{"NVIDIA H100 NVL", 132, 3930, 0, 0, 0, 0, -1, "nvidia-smi mig -lgip listing; 3.9 TB/s in print"},
	{"NVIDIA H200", 132, 4800, 989, 989, 1979, 1979, -1, "AnandTech, CUDA device properties"},
	{"NVIDIA H20", 78, 4000, 148, 148, 296, 296, -1, "feifeibear/LLMRoofline, Geekbench listing"},
	{"NVIDIA GH200 480GB", 132, 4000, 989.5, 989.5, 0, 0, -1, "feifeibear/LLMRoofline"},
	{"NVIDIA B200", 148, 8000, 2250, 2250, 4500, 4500, 9000, "glennklockwood.com B200, CUDA device properties"},
	{"NVIDIA GB200", 152, 8000, 2500, 2500, 5000, 5000, 10000, "glennklockwood.com B200"},
	{"NVIDIA B300 SXM6 AC", 0, 8000, 2250, 2250, 4500, 150, 13500, "verda.com (13.1 to 14 PFLOP/s of FP4 in print)"},
	{"NVIDIA GB300", 0, 8000, 2500, 2500, 5000, 165, 15000, "verda.com"},
	{"AMD Instinct MI300X", 304, 5300, 1307.4, 1307.4, 2614.9, 0, -1, "ROCm GPU specifications, public roofline tables"},
	{"AMD Instinct MI325X", 304, 6000, 0, 0, 0, 0, -1, "ROCm GPU specifications"},
	{"AMD Instinct MI355X", 256, 8000, 2516.6, 2516.6, 5033.2, 0, 10066.4, "ROCm GPU specifications, tomshardware.com (20.1 PFLOP/s with sparsity)"},
	{"AMD Instinct MI350X", 256, 8000, 0, 0, 0, 0, 9225, "tomshardware.com (18.45 PFLOP/s with sparsity)"},
}

func TestSheetsAgainstPublicTables(t *testing.T) {
	for _, c := range published {
		s, m := Lookup(c.name, Hints{})
		if !m.OK {
			t.Errorf("%s: not found", c.name)
			continue
		}
		if c.sms > 0 && s.SMs != c.sms {
			t.Errorf("%s: %d SMs, %s: %d", c.name, s.SMs, c.source, c.sms)
		}
		if c.bandwidth > 0 && math.Abs(s.Bandwidth/1e9/c.bandwidth-1) > 0.02 {
			t.Errorf("%s: %g GB/s, %s: %g", c.name, s.Bandwidth/1e9, c.source, c.bandwidth)
		}
		for d, want := range map[DType]float64{FP16: c.fp16, BF16: c.bf16, FP8: c.fp8, INT8: c.int8, FP4: c.fp4} {
			got, ok := s.Peak(d)
			switch {
			case want < 0 && ok:
				t.Errorf("%s: has a peak for %s", c.name, d)
			case want > 0 && math.Abs(got/1e12/want-1) > 0.01:
				t.Errorf("%s: %g TFLOP/s in %s, %s: %g", c.name, got/1e12, d, c.source, want)
			}
		}
	}
}

// What CUDA reports of whole boards: the driver keeps some memory (for error correction on GDDR boards up to a tenth).
// None of it may make a board look like a slice or like another part.
func TestDriverFactsFitTheSheet(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name     string
		h        Hints
		l2       int64 // MiB, 0 where not reported
		sheetFor string
	}{
		{"NVIDIA H100 80GB HBM3", Hints{SMs: 132, MemoryBytes: 81089 * mib, ComputeMajor: 9}, 50, "NVIDIA H100 SXM5 80GB"},
		{"NVIDIA H100 NVL", Hints{SMs: 132, MemoryBytes: 99456909312, ComputeMajor: 9}, 0, "NVIDIA H100 NVL"},
		{"NVIDIA H200", Hints{SMs: 132, MemoryBytes: 143156 * mib, ComputeMajor: 9}, 60, "NVIDIA H200 SXM 141GB"},
		{"NVIDIA B200", Hints{SMs: 148, MemoryBytes: 182642 * mib, ComputeMajor: 10}, 126, "NVIDIA B200"},
		{"NVIDIA A100-SXM4-40GB", Hints{SMs: 108, MemoryBytes: 42405855232, ClockHz: 1410e6, ComputeMajor: 8}, 40, "NVIDIA A100 SXM4 40GB"},
		{"NVIDIA A10G", Hints{SMs: 80, MemoryBytes: 22723 * mib, ComputeMajor: 8, ComputeMinor: 6}, 0, "NVIDIA A10G"},
		{"NVIDIA L40S", Hints{SMs: 142, MemoryBytes: 45589 * mib, ComputeMajor: 8, ComputeMinor: 9}, 0, "NVIDIA L40S"},
		{"NVIDIA RTX A5000", Hints{SMs: 64, MemoryBytes: 24138 * mib, ComputeMajor: 8, ComputeMinor: 6}, 6, "NVIDIA RTX A5000"},
		{"NVIDIA GeForce RTX 3060", Hints{SMs: 28, MemoryBytes: 11938 * mib, ComputeMajor: 8, ComputeMinor: 6}, 0, "NVIDIA GeForce RTX 3060"},
		{"NVIDIA GeForce RTX 3080", Hints{SMs: 68, MemoryBytes: 10240 * mib, ComputeMajor: 8, ComputeMinor: 6}, 0, "NVIDIA GeForce RTX 3080"},
		{"NVIDIA GeForce RTX 3090", Hints{SMs: 82, MemoryBytes: 24575 * mib, ComputeMajor: 8, ComputeMinor: 6}, 0, "NVIDIA GeForce RTX 3090"},
		{"NVIDIA GeForce RTX 4070 Ti SUPER", Hints{SMs: 66, MemoryBytes: 15974 * mib, ComputeMajor: 8, ComputeMinor: 9}, 48, "NVIDIA GeForce RTX 4070 Ti SUPER"},
		{"NVIDIA RTX PRO 6000 Blackwell Server Edition", Hints{SMs: 188, MemoryBytes: 97250 * mib, ComputeMajor: 12}, 128, "NVIDIA RTX PRO 6000 Blackwell Server Edition"},
	} {
		s, m := Lookup(c.name, c.h)
		full, _ := Lookup(c.sheetFor, Hints{})
		if !m.OK || s.Name != c.sheetFor || len(m.Adjusted) != 0 || len(m.Notes) != 0 || s.Bandwidth != full.Bandwidth {
			t.Errorf("%s: %s, %g GB/s, %+v", c.name, s.Name, s.Bandwidth/1e9, m)
		}
		if c.l2 > 0 && s.L2Bytes != c.l2*mib {
			t.Errorf("%s: %d MiB of L2, the driver says %d", c.name, s.L2Bytes/mib, c.l2)
		}
		a, _ := s.Peak(FP16)
		b, _ := full.Peak(FP16)
		if a != b {
			t.Errorf("%s: peak %g, the sheet %g", c.name, a, b)
		}
		if r := float64(c.h.MemoryBytes) / float64(full.MemoryBytes); r < 0.9 || r > 1.02 {
			t.Errorf("%s: the driver reports %.3f of the sheet's memory: such a board is not found by its facts", c.name, r)
		}
	}
}

// The fastest 16-bit matrix multiplications that people measured with PyTorch on whole boards (TFLOP/s, with FP32
// accumulation, from zzc0721/torch-performance-test-data): a dense peak lies above them, a peak with sparsity or with
// FP16 accumulation would lie twice as far. GeForce boards run above the boost clock that they are rated at.
func TestPeaksAreAboveMeasuredRates(t *testing.T) {
	for name, measured := range map[string]float64{
		"Tesla V100-SXM2-16GB":  97.36,
		"Tesla V100S-PCIE-32GB": 88.92,
		"Tesla T4":              42.71,
		"NVIDIA A10G":           69.47,
		"NVIDIA A40":            122.29,
		"NVIDIA A100-PCIE-40GB": 241.49,
		"NVIDIA A100-SXM4-40GB": 247.63,
		"NVIDIA A100-SXM4-80GB": 264.53,
		"NVIDIA A800-SXM4-80GB": 266.48,
		"NVIDIA RTX A6000":      123.34,
		"NVIDIA L4":             70.89,
		"NVIDIA L20":            114.14,
		"NVIDIA L40S":           269.15,
		"NVIDIA H20":            141.86,
		"NVIDIA H100 80GB HBM3": 789.24,
		"NVIDIA H200":           790.29,
		"NVIDIA B200":           1696.03,
		"NVIDIA RTX PRO 6000 Blackwell Workstation Edition": 417.98,
		"NVIDIA RTX PRO 6000 Blackwell Server Edition":      409.42,
		"NVIDIA GeForce RTX 3080":                           64.68,
		"NVIDIA GeForce RTX 3080 Ti":                        76.47,
		"NVIDIA GeForce RTX 3090":                           76.68,
		"NVIDIA GeForce RTX 4060":                           32.64,
		"NVIDIA GeForce RTX 4060 Ti":                        47.80,
		"NVIDIA GeForce RTX 4070 SUPER":                     76.76,
		"NVIDIA GeForce RTX 4090":                           173.31,
		"NVIDIA GeForce RTX 4090 D":                         155.50,
		"NVIDIA GeForce RTX 5090":                           242.18,
	} {
		s, _ := Lookup(name, Hints{})
		peak, ok := s.Peak(FP16)
		lo, hi := 0.55, 1.0
		if strings.Contains(name, "GeForce") {
			lo, hi = 0.9, 1.17
		}
		if r := measured * 1e12 / peak; !ok || r < lo || r > hi {
			t.Errorf("%s: measured %g TFLOP/s are %.3f of the peak, want %g..%g", name, measured, r, lo, hi)
		}
	}
}

// On a GH200 copies from the host run at 346 GB/s (NVIDIA/nvbandwidth issue 23): over five times what PCIe could carry.
func TestHostLink(t *testing.T) {
	for name, want := range map[string]float64{
		"NVIDIA A100-SXM4-80GB": 31.5, "NVIDIA H100 80GB HBM3": 63, "NVIDIA L4": 31.5, "Tesla T4": 15.75,
		"NVIDIA GH200 480GB": 450, "NVIDIA GB200": 0, "NVIDIA GB300": 0, "NVIDIA GB10": 0,
	} {
		if s, _ := Lookup(name, Hints{}); math.Abs(s.PCIe/1e9-want) > 0.05 {
			t.Errorf("%s: host link %g GB/s, want %g", name, s.PCIe/1e9, want)
		}
	}
}
