package ncu

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/internal/proftest"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/profile/kineto"
)

// row is one kernel of an inline profile.
type row struct {
	name        string
	grid, block [3]int32
	registers   int32
	dur         int64
}

func inline(rows ...row) *profile.Profile {
	p := &profile.Profile{}
	b := profile.NewBuilder(p)
	q := b.Queue(profile.Queue{Process: b.Process(1), Device: b.Device(0)})
	k := &p.Kernels
	for i, r := range rows {
		id := p.Strings.ID(r.name)
		k.Start, k.Dur = append(k.Start, int64(i)*1000000), append(k.Dur, r.dur)
		k.Func = append(k.Func, b.Func(profile.Func{Name: id, Short: p.Strings.ID(profile.BaseName(r.name))}))
		k.Config = append(k.Config, b.Config(profile.LaunchConfig{Grid: r.grid, Block: r.block, Registers: r.registers}))
		k.Queue = append(k.Queue, q)
		k.Correlation, k.Call, k.GraphNode = append(k.Correlation, 0), append(k.Call, profile.None), append(k.GraphNode, 0)
	}
	return p
}

// counters is one kernel of an inline file.
func counters(id int64, name string, grid, block [3]int32, metrics map[string]float64) Kernel {
	k := Kernel{ID: id, Name: name, Base: profile.BaseName(name), Grid: grid, Block: block, Device: 0, Invocations: 1, Metrics: map[string]Value{}}
	for n, v := range metrics {
		k.Metrics[n] = Value{Value: v}
	}
	return k
}

var (
	g96, g32 = [3]int32{96, 1, 1}, [3]int32{32, 1, 1}
	b384     = [3]int32{384, 1, 1}
	none     = [3]int32{}
)

func TestJoin(t *testing.T) {
	const (
		kinetoName = "void ns::gemm<4, true, float const>(float const*)"
		ncuName    = "void ns::gemm<(int)4, (bool)1, float const>(const float *)"
		other      = "void ns::gemm<8, true, float const>(float const*)"
	)
	for _, c := range []struct {
		name      string
		profile   []row
		kernels   []Kernel
		want      string // matches: function/grid=instances:basis, ! = ambiguous; ? lists the unmatched
		matchedNs int64
	}{
		{
			name:      "spelled in two ways",
			profile:   []row{{kinetoName, g96, b384, 0, 10}, {kinetoName, g32, b384, 0, 5}, {"other", g96, b384, 0, 1}},
			kernels:   []Kernel{counters(0, ncuName, g96, b384, nil), counters(1, ncuName, g32, b384, nil), counters(2, ncuName, g96, b384, nil)},
			want:      "gemm/96=[0 2]:name gemm/32=[1]:name",
			matchedNs: 15,
		},
		{
			name:      "ncu prints the function's name only",
			profile:   []row{{kinetoName, g96, b384, 0, 10}, {"other", g96, b384, 0, 1}},
			kernels:   []Kernel{counters(0, "gemm", g96, b384, nil)},
			want:      "gemm/96=[0]:base",
			matchedNs: 10,
		},
		{
			name:    "function's name only, and two instances of the template fit",
			profile: []row{{kinetoName, g96, b384, 0, 10}, {other, g96, b384, 0, 3}},
			kernels: []Kernel{counters(0, "gemm", g96, b384, nil)},
			want:    "gemm/96=[0]:base! gemm/96=[0]:base!",
		},
		{
			name:      "registers tell them apart",
			profile:   []row{{kinetoName, g96, b384, 168, 10}, {other, g96, b384, 96, 3}},
			kernels:   []Kernel{counters(0, "gemm", g96, b384, map[string]float64{registersMetric: 96})},
			want:      "gemm/96=[0]:base",
			matchedNs: 3,
		},
		{
			name:    "another instance of the template with the same shape",
			profile: []row{{kinetoName, g96, b384, 0, 10}},
			kernels: []Kernel{counters(0, "void ns::gemm<8, 0, float const>(const float *)", g96, b384, nil)},
			want:    "gemm/96=[0]:base!",
		},
		{
			name:    "another grid is the same code",
			profile: []row{{kinetoName, g96, b384, 0, 10}},
			kernels: []Kernel{counters(0, ncuName, [3]int32{64, 1, 1}, b384, nil)},
			want:    "gemm/96=[0]:code",
		},
		{
			name:    "another block is another kernel",
			profile: []row{{kinetoName, g96, b384, 0, 10}},
			kernels: []Kernel{counters(0, ncuName, g96, [3]int32{128, 1, 1}, nil)},
			want:    "?[0]",
		},
		{
			name:      "a file without shapes fits by name",
			profile:   []row{{kinetoName, g96, b384, 0, 10}},
			kernels:   []Kernel{counters(0, ncuName, none, none, nil)},
			want:      "gemm/96=[0]:name",
			matchedNs: 10,
		},
		{
			name:      "one kernel with two shared memory sizes",
			profile:   []row{{"k", g96, b384, 1, 10}, {"k", g96, b384, 2, 20}},
			kernels:   []Kernel{counters(0, "k", g96, b384, nil)},
			want:      "k/96=[0]:name k/96=[0]:name",
			matchedNs: 30,
		},
		{
			name:    "not in the profile",
			profile: []row{{"k", g96, b384, 0, 10}},
			kernels: []Kernel{counters(0, "absent", g96, b384, nil)},
			want:    "?[0]",
		},
		{
			name:      "a mangled name in the profile",
			profile:   []row{{"_ZN4vllm15rms_norm_kernelIN3c108BFloat16EEEvPT_", g96, b384, 0, 10}},
			kernels:   []Kernel{counters(0, "void vllm::rms_norm_kernel<c10::BFloat16>(T1 *)", g96, b384, nil)},
			want:      "rms_norm_kernel/96=[0]:base",
			matchedNs: 10,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := inline(c.profile...)
			j := Join(p, &File{Name: "f.csv", Kernels: c.kernels})
			if got := describe(p, j); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if j.MatchedNs != c.matchedNs {
				t.Errorf("matched %d ns, want %d", j.MatchedNs, c.matchedNs)
			}
		})
	}
}

func describe(p *profile.Profile, j *Joined) string {
	var parts []string
	for _, m := range j.Matches {
		s := fmt.Sprintf("%s/%d=%v:%s", p.Strings.At(p.Funcs[m.Func].Short), p.Configs[m.Config].Grid[0], m.Instances, m.Basis)
		if m.Ambiguous != "" {
			s += "!"
		}
		parts = append(parts, s)
	}
	if len(j.Unmatched) > 0 {
		parts = append(parts, fmt.Sprintf("?%v", j.Unmatched))
	}
	return strings.Join(parts, " ")
}

// TestJoinByOrder: two instances of a template with equal grids repeat in every layer; ncu prints their base name only
// and began in the middle of a layer. Order and durations tell them apart, unless the durations are alike.
func TestJoinByOrder(t *testing.T) {
	const first, second = "void gemm<1>(int)", "void gemm<2>(int)"
	layers := func(d1, d2 int64) *profile.Profile {
		var rows []row
		for range 10 {
			rows = append(rows, row{first, g96, b384, 0, d1}, row{"norm", g32, b384, 0, 2}, row{second, g96, b384, 0, d2})
		}
		return inline(rows...)
	}
	instances := func(ns ...float64) *File {
		f := &File{Name: "f.csv"}
		for i, v := range ns {
			f.Kernels = append(f.Kernels, counters(int64(i), "gemm", g96, b384, map[string]float64{durationMetric: v}))
		}
		return f
	}
	p := layers(10_000, 30_000)
	j := Join(p, instances(45_000, 15_100, 44_000, 14_900)) // clock 1.5 times slower, the longer one first
	if got, want := describe(p, j), "gemm/96=[0 2]:order gemm/96=[1 3]:order"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if m := j.Matches[0]; p.FuncName(firstOf(p, m.Func)) != second {
		t.Errorf("the longer kernel is %s", p.FuncName(firstOf(p, m.Func)))
	}
	for name, f := range map[string]*File{
		"too few instances": instances(45_000, 15_000, 44_000),
		"no durations":      {Name: "f.csv", Kernels: []Kernel{counters(0, "gemm", g96, b384, nil), counters(1, "gemm", g96, b384, nil), counters(2, "gemm", g96, b384, nil), counters(3, "gemm", g96, b384, nil)}},
		"no pattern fits":   instances(45_000, 15_000, 15_000, 15_000),
	} {
		for _, m := range Join(p, f).Matches {
			if m.Ambiguous == "" || m.Basis == ByOrder {
				t.Errorf("%s: %+v is told apart", name, m)
			}
		}
	}
	alike := layers(10_000, 10_100)
	for _, m := range Join(alike, instances(15_100, 15_000, 15_050, 15_020)).Matches {
		if m.Ambiguous == "" {
			t.Errorf("equal durations: %+v is told apart", m)
		}
	}
}

func firstOf(p *profile.Profile, fn int32) int {
	for i, f := range p.Kernels.Func {
		if f == fn {
			return i
		}
	}
	return -1
}

func TestValue(t *testing.T) {
	p := inline(row{"k", g96, b384, 0, 10})
	f := &File{Name: "f.csv", Kernels: []Kernel{
		counters(0, "k", g96, b384, map[string]float64{ipcMetric: 1}), counters(1, "k", g96, b384, map[string]float64{ipcMetric: 4}),
		counters(2, "k", g96, b384, map[string]float64{ipcMetric: 2}), counters(3, "k", g96, b384, nil),
	}}
	j := Join(p, f)
	for _, m := range Metrics {
		v, n, ok := j.Value(&j.Matches[0], m)
		if m.ID == "ipc" && (v != 2 || n != 3 || !ok) || m.ID != "ipc" && ok {
			t.Errorf("%s: %v of %d, %v", m.ID, v, n, ok)
		}
	}
}

// TestLooseName: each row is one kernel as Nsight Compute, Nsight Systems and Kineto print it.
func TestLooseName(t *testing.T) {
	for _, c := range [][]string{
		{
			"void at::vectorized_elementwise_kernel<4, at::FillFunctor<int>, std::array<char *, 1>>(int, T2, T3)",
			"void at::native::vectorized_elementwise_kernel<(int)4, at::native::FillFunctor<int>, std::array<char *, (unsigned long)1>>(int, T2, T3)",
			"void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<int>, std::array<char*, 1ul> >(int, at::native::FillFunctor<int>, std::array<char*, 1ul>)",
		},
		{
			"void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16, __nv_bfloat16, 0>(const T1 *, const T1 *, T2 *, T2 *, const long *)",
			"void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16, __nv_bfloat16, (vllm::Fp8KVCacheDataType)0>(const T1 *, const T1 *, T2 *)",
			"void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16, __nv_bfloat16, (vllm::Fp8KVCacheDataType)0>(__nv_bfloat16 const*, __nv_bfloat16*)",
		},
		{
			"void <unnamed>::elementwise_kernel_with_index<int, at::arange_cuda_out(const c10::Scalar &, at::Tensor &)::[lambda() (instance 1)]::operator ()() const::[lambda(long) (instance 1)]>(T1, T2, function_traits<T2>::result_type *)",
			"void <unnamed>::elementwise_kernel_with_index<int, at::native::arange_cuda_out(const c10::Scalar &, at::Tensor &)::[lambda() (instance 1)]::operator ()() const::[lambda(long) (instance 1)]>(T1, T2, function_traits<T2>::result_type *)",
			"void (anonymous namespace)::elementwise_kernel_with_index<int, at::native::arange_cuda_out(c10::Scalar const&, at::Tensor&)::{lambda()#1}::operator()() const::{lambda(long)#1}>(int, at::native::arange_cuda_out(c10::Scalar const&, at::Tensor&)::{lambda()#1}::operator()() const::{lambda(long)#1}, function_traits<int>::result_type*)",
		},
		{
			"void flash::prepare_varlen_num_blocks_kernel<2, 0>(int, const int *)",
			"void flash::prepare_varlen_num_blocks_kernel<(int)2, (bool)0>(int, const int *)",
			"void flash::prepare_varlen_num_blocks_kernel<2, false>(int, int const*)",
		},
		{
			"std::enable_if<T2>0&&vllm::_typeConvert<T1>::exists, void>::type vllm::fused_add_rms_norm_kernel<c10::BFloat16, 8, 1>(T1 *, long)",
			"std::enable_if<T2>(int)0&&vllm::_typeConvert<T1>::exists, void>::type vllm::fused_add_rms_norm_kernel<c10::BFloat16, (int)8, (bool)1>(T1 *, long)",
			"std::enable_if<(8>0)&&(vllm::_typeConvert<c10::BFloat16>::exists), void>::type vllm::fused_add_rms_norm_kernel<c10::BFloat16, 8, true>(c10::BFloat16*, long)",
		},
		{
			"void cutlass::device_kernel<flash::enable_sm90_or_later<flash::FlashAttnFwdSm90<flash::CollectiveMainloopFwdSm90<2, cute::tuple<cute::C<1>>, float, arch::Sm90, 1, 0>>>>(T1::Params)",
			"void cutlass::device_kernel<flash::enable_sm90_or_later<flash::FlashAttnFwdSm90<flash::CollectiveMainloopFwdSm90<(int)2, cute::tuple<cute::C<(int)1>>, float, cutlass::arch::Sm90, (bool)1, (bool)0>>>>(T1::Params)",
			"void cutlass::device_kernel<flash::enable_sm90_or_later<flash::FlashAttnFwdSm90<flash::CollectiveMainloopFwdSm90<2, cute::tuple<cute::C<1> >, float, cutlass::arch::Sm90, true, false> > > >(flash::enable_sm90_or_later<int>::Params)",
		},
		{"nvjet_sm90_tst_64x8_64x16_4x1_v_bz_TNT", "nvjet_sm90_tst_64x8_64x16_4x1_v_bz_TNT"},
	} {
		for _, other := range c[1:] {
			if a, b := looseName(c[0]), looseName(other); a != b {
				t.Errorf("%q\n and %q\n are %q\n and %q", c[0], other, a, b)
			}
		}
	}
	if looseName("void a<1>(int)") == looseName("void a<2>(int)") {
		t.Error("template arguments do not count")
	}
}

// TestJoinCapture lays kernels of a real trace, printed the way Nsight Compute prints them, beside the trace. Every one
// must find its own function and configuration, or be called ambiguous.
func TestJoinCapture(t *testing.T) {
	p := capture(t)
	var f File
	var truth []pair
	for i, tm := range pairTimes(p) {
		name := p.Strings.At(p.Funcs[tm.fn].Name)
		name = strings.ReplaceAll(name, "float const*", "const float *")
		k := counters(int64(i), name, tm.grid, tm.block, map[string]float64{registersMetric: float64(tm.registers)})
		f.Kernels = append(f.Kernels, k)
		truth = append(truth, tm.pair)
	}
	j := Join(p, &f)
	if len(j.Unmatched) > 0 {
		t.Errorf("unmatched: %v", j.Warnings)
	}
	found := make([]bool, len(truth))
	for _, m := range j.Matches {
		for _, i := range m.Instances {
			found[i] = found[i] || truth[i] == pair{m.Func, m.Config}
		}
	}
	for i, ok := range found {
		if !ok {
			t.Errorf("kernel %d (%s) is not beside itself", i, f.Kernels[i].Base)
		}
	}
	if share := float64(j.MatchedNs) / float64(j.TotalNs); math.Abs(share-1) > 1e-9 {
		t.Errorf("%.3f of the GPU time is matched for sure, want all of it", share)
	}
}

func capture(t *testing.T) *profile.Profile {
	t.Helper()
	p, err := kineto.Open(context.Background(), filepath.Join(proftest.SharedCapture(t, "base8b-kineto-A"), "trace.json.gz"), kineto.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPlan(t *testing.T) {
	p := inline(
		row{"void cutlass::device_kernel<A>(P)", g96, b384, 0, 500}, row{"void cutlass::device_kernel<A>(P)", g96, b384, 0, 500},
		row{"nvjet_tst_64x8", g96, b384, 0, 600}, row{"nvjet_tst_64x8", g32, b384, 0, 100},
		row{"ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)", g32, b384, 0, 900},
		row{"tiny", g32, b384, 0, 1},
	)
	plan, err := NewPlan(p, PlanOptions{Top: 3, Model: "/models/my model", Batch: 32})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "plan.golden", show(plan))
	if len(plan.Candidates) != 3 || plan.Candidates[0].GPUNs != 1000 || plan.Candidates[0].Launches != 2 {
		t.Errorf("candidates %+v", plan.Candidates)
	}
	if math.Abs(plan.Covered-1700.0/2601) > 1e-12 {
		t.Errorf("covered %v", plan.Covered)
	}
	if len(plan.Excluded) != 1 {
		t.Errorf("excluded %+v", plan.Excluded)
	}
	compiled, err := NewPlan(inline(row{"triton_red_fused_0", g32, b384, 0, 1}, row{"a'b$(c)", g32, b384, 0, 1}), PlanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "plan-compiled.golden", show(compiled))
	if strings.Contains(compiled.Command, "--enforce-eager") || !strings.Contains(compiled.Command, `"cudagraph_mode":"NONE"`) {
		t.Errorf("a compiled kernel does not exist in eager mode: %s", compiled.Command)
	}
}

func TestPlanErrors(t *testing.T) {
	if _, err := NewPlan(&profile.Profile{}, PlanOptions{}); err == nil {
		t.Error("no kernels: no error")
	}
	if _, err := NewPlan(inline(row{"ncclDevKernel_AllGather", g32, b384, 0, 1}), PlanOptions{}); err == nil {
		t.Error("collectives only: no error")
	}
}

// TestPlanCapture: the few kernels of a real decode trace cover nearly all of its GPU time.
func TestPlanCapture(t *testing.T) {
	plan, err := NewPlan(capture(t), PlanOptions{Batch: 32})
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Candidates) > 8 || plan.Covered < 0.9 {
		t.Errorf("%d candidates cover %.3f:\n%s", len(plan.Candidates), plan.Covered, show(plan))
	}
	for i := 1; i < len(plan.Candidates); i++ {
		if plan.Candidates[i].GPUNs > plan.Candidates[i-1].GPUNs {
			t.Errorf("candidate %d takes longer than the one before", i)
		}
	}
}

func show(p *Plan) string {
	var w strings.Builder
	for _, c := range p.Candidates {
		fmt.Fprintf(&w, "profile %s grid %v: %d launches, %d ns, %.4f\n", c.Base, c.Grid, c.Launches, c.GPUNs, c.Share)
	}
	for _, c := range p.Excluded {
		fmt.Fprintf(&w, "exclude %s grid %v: %d launches, %d ns, %.4f\n", c.Base, c.Grid, c.Launches, c.GPUNs, c.Share)
	}
	fmt.Fprintf(&w, "covered %.4f\n%s\n%s\n%s\n", p.Covered, p.Regex, p.Command, p.Export)
	for _, n := range p.Notes {
		fmt.Fprintf(&w, "note: %s\n", n)
	}
	for _, n := range p.Why {
		fmt.Fprintf(&w, "why: %s\n", n)
	}
	return w.String()
}
