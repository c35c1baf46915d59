package summary

import (
	"os"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/profile"
)

// situations is a profile of what captures rarely hold: ranges that overlap, nest in their own name, are open, end on
// another thread or belong to a domain; kernels without a launch call, launched during the call, on a second device or
// with the correlation id of another process; a call within a call; copies of every length. The same rows were put
// into an export and given to nsys.
func situations(t testing.TB) *profile.Profile {
	b := newBuilder()
	b.AddDevice(profile.Device{ID: 0, Name: "NVIDIA H100 80GB HBM3"})
	p := b.P
	fn := map[string]profile.Func{}
	for _, f := range [][3]string{{"void ka<int, 1>(T1)", "ka", "_Z2kaIiEv"}, {"void kb(int)", "kb", "_Z2kbi"}, {"zc(float)", "zc", ""}} {
		fn[f[1]] = profile.Func{Name: p.Strings.ID(f[0]), Short: p.Strings.ID(f[1]), Mangled: p.Strings.ID(f[2])}
	}
	pid := func(tid int64) int64 { return tid / 100 * 100 }
	for _, c := range []struct {
		tid, start, end int64
		corr            uint32
		name            string
	}{
		{101, 1000, 1100, 1, "cudaLaunchKernel_v7000"}, {102, 1000, 1150, 11, "cudaLaunchKernel_v7000"},
		{201, 1000, 1500, 1, "cudaLaunchKernel_v7000"}, {101, 1200, 1300, 2, "cudaLaunchKernel_v7000"},
		{101, 1400, 1500, 3, "cudaGraphLaunch_v10000"}, {101, 1600, 1700, 4, "cudaMemcpyAsync_v3020"},
		{101, 1800, 1900, 5, "cuLaunchKernel"}, {101, 2000, 2100, 6, "cudaLaunchKernel_v7000"},
		{101, 2200, 2300, 7, "cudaMemcpyAsync_ptsz_v7000"}, {101, 2400, 2500, 8, "cudaMemcpyAsync_v3020"},
		{101, 2600, 2700, 9, "cudaMemcpy_v3020"}, {102, 3000, 3150, 12, "cuLaunchKernel"},
		{102, 3300, 3450, 13, "cudaLaunchKernel_v10000"}, {201, 5000, 5100, 2, "cudaMemcpyAsync_v3020"},
		{101, 7000, 7050, 70, "cudaLaunchKernel_v7000"}, {101, 7010, 7020, 71, "cuLaunchKernel"},
		{101, 8000, 8100, 80, "cudaLaunchKernel_v7000"}, {101, 9000, 9100, 81, "cudaLaunchKernel_v7000"},
		{101, 9200, 9300, 82, "cudaLaunchKernel_v7000"},
	} {
		b.call(pid(c.tid), c.tid, c.start, c.end-c.start, c.name)
		p.Calls.Correlation[p.Calls.Len()-1] = c.corr
	}
	small, wide, huge, one := [3]int32{148, 1, 1}, [3]int32{2, 3, 4}, [3]int32{12345, 1, 1}, [3]int32{1, 1, 1}
	for _, k := range []struct {
		pid, device, start, end int64
		fn                      string
		grid                    [3]int32
		corr                    uint32
	}{
		{100, 0, 1050, 1350, "ka", small, 1}, {200, 0, 1100, 1200, "zc", one, 1}, {100, 0, 1400, 1500, "kb", wide, 2},
		{100, 0, 1600, 1700, "ka", small, 3}, {100, 0, 1700, 1850, "kb", wide, 3}, {100, 0, 1850, 1900, "zc", huge, 3},
		{100, 0, 1950, 2050, "ka", small, 5}, {100, 0, 2010, 2010, "kb", wide, 6}, {100, 1, 2500, 2600, "ka", one, 11},
		{100, 0, 3500, 3700, "ka", small, 12}, {100, 0, 3800, 4000, "kb", wide, 13}, {100, 0, 6000, 6100, "ka", small, 999},
		{100, 0, 7030, 7100, "kb", wide, 71}, {100, 0, 8200, 8300, "zc", one, 80}, {100, 0, 9300, 9400, "zc", one, 81},
		{100, 0, 9500, 9600, "zc", one, 82},
	} {
		b.kernelOf(k.pid, k.device, k.start, k.end-k.start, fn[k.fn], k.grid, k.corr)
	}
	for _, c := range []struct {
		pid, start, end, bytes int64
		kind                   profile.CopyKind
		src, dst               profile.MemKind
		corr                   uint32
	}{
		{100, 1720, 1820, 500, profile.CopyHtoD, profile.MemPageable, profile.MemDevice, 4},
		{100, 2320, 2420, 2500, profile.CopyDtoH, profile.MemDevice, profile.MemPinned, 7},
		{100, 2520, 2520, 1500, profile.CopyDtoD, profile.MemDevice, profile.MemDevice, 8},
		{100, 2720, 2770, 4500, profile.CopyPtoP, profile.MemDevice, profile.MemDevice, 9},
		{200, 5120, 5170, 7, profile.CopyHtoD, profile.MemManaged, profile.MemDeviceStatic, 2},
		{100, 5200, 1005300, 100, profile.CopyUnknown, profile.MemUnknown, profile.MemManagedStatic, 997},
		{100, 5400, 2000005400, 3000000, profile.CopyHtoH, profile.MemPageable, profile.MemPinned, 996},
	} {
		b.copy(c.pid, 0, c.start, c.end-c.start, c.bytes, c.kind, c.corr)
		n := p.Copies.Len() - 1
		p.Copies.Src[n], p.Copies.Dst[n] = c.src, c.dst
	}
	b.memset(100, 0, 1720, 50, 16, 990)
	b.memset(100, 0, 2900, 50, 20, 991)
	p.Memsets.Mem[1] = profile.MemManaged
	const open = -1
	for _, r := range []struct {
		tid, start, end int64
		kind            profile.RangeKind
		domain, text    string
	}{
		{201, 800, 1600, profile.PushPop, "", "outer"}, {201, 850, 1550, profile.PushPop, "", "outer"},
		{101, 900, 3000, profile.PushPop, "", "outer"}, {102, 900, 3500, profile.PushPop, "", "outer"},
		{101, 950, 1900, profile.PushPop, "", "inner"}, {101, 980, 1550, profile.PushPop, "", "inner"},
		{101, 990, 1120, profile.PushPop, "NCCL", "NCCLtext"}, {101, 1000, 1100, profile.PushPop, "", "exact"},
		{101, 1190, 1550, profile.StartEnd, "", "se"}, {101, 1250, 2150, profile.StartEnd, "", "overlap"},
		{101, 1290, 2600, profile.StartEnd, "", "cross"}, {101, 1350, 1350, profile.Mark, "", "mark"},
		{101, 1950, open, profile.PushPop, "", "openpp"}, {101, 1960, open, profile.StartEnd, "", "opense"},
		{101, 1970, 2400, profile.PushPop, "", "inopen"}, {102, 2900, 3200, profile.StartEnd, "NCCL", "NCCLtext"},
		{201, 4000, 4100, profile.PushPop, "", "tie b"}, {201, 4200, 4250, profile.PushPop, "", "tie a"},
		{201, 4300, 4350, profile.PushPop, "", "tie a"}, {201, 4400, 4450, profile.PushPop, "", ""},
		{201, 4500, 4500, profile.PushPop, "", "zero"}, {201, 4600, 4700, profile.StartEnd, "NCCL", "tie b"},
		{101, 7000, 7100, profile.PushPop, "", "around"}, {101, 7005, 7015, profile.PushPop, "", "partial"},
		{101, 7900, 9150, profile.PushPop, "", "pp"}, {101, 7950, 9050, profile.StartEnd, "", "half"},
		{101, 8990, 9350, profile.StartEnd, "", "later"}, {101, 9190, 9310, profile.PushPop, "", "A dom0"},
		{101, 9195, 9305, profile.PushPop, "NCCL", "B nccl"},
	} {
		dur := r.end - r.start
		if r.end == open {
			dur = profile.Open
		}
		if r.text == "cross" {
			p.Ranges.EndThread = map[int32]int32{int32(p.Ranges.Len()): b.Thread(100, 102)}
		}
		b.rng(pid(r.tid), r.tid, r.start, dur, r.kind, r.domain, r.text)
		p.Ranges.Row = append(p.Ranges.Row, uint32(p.Ranges.Len()+2)) // two rows name domains
	}
	for i := range p.Configs {
		p.Configs[i].Registers, p.Configs[i].StaticShared, p.Configs[i].DynamicShared = 32, 500, 1500
		if p.Configs[i].Grid == wide {
			p.Configs[i].Block = [3]int32{64, 8, 1}
		}
		if p.Configs[i].Grid == huge {
			p.Configs[i].Block = [3]int32{1024, 1, 1}
		}
	}
	return b.done(t)
}

// TestSituations compares reports of situations with testdata/situations.golden.
func TestSituations(t *testing.T) {
	b, err := os.ReadFile("testdata/situations.golden")
	if err != nil {
		t.Fatal(err)
	}
	list := parseGoldens(t, string(b))
	if len(list) < 10 {
		t.Fatalf("only %d reports", len(list))
	}
	p := situations(t)
	for _, g := range list {
		got, err := output(p, g.spec, g.format)
		if err != nil {
			t.Errorf("%s: %v", g.spec, err)
			continue
		}
		g.compare(t, got)
		if strings.Count(got, "\n") < 3 {
			t.Errorf("%s: hardly any rows", g.spec)
		}
	}
}
