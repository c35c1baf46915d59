// Package synth makes large profiles in memory: an engine that launches kernel by kernel, with nested annotations, so
// that tests and benchmarks of the timeline meet the sizes that real recordings of minutes have.
package synth

import (
	"fmt"
	"math/rand/v2"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
)

// Size is how much to make. Totals are met to within one step.
type Size struct{ Kernels, Calls, Ranges int }

// Big is the size that the timeline is designed for: 15 million events.
var Big = Size{Kernels: 2_000_000, Calls: 3_400_000, Ranges: 9_750_000}

const (
	layers  = 32
	perStep = 12*layers + 6 // kernels
)

// layerKernels are the kernels of one decoder layer in order, with their duration in ns.
var layerKernels = [12]struct {
	name string
	ns   int64
}{
	{"void vllm::fused_add_rms_norm_kernel<c10::BFloat16, 8>(T1 *, T1 *, const T1 *, float, int, int)", 2600},
	{"nvjet_tst_64x8_64x16_4x1_v_bz_TNT", 9800},
	{"void vllm::rotary_embedding_kernel<c10::BFloat16, true>(const long *, T1 *, T1 *)", 2100},
	{"void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16, __nv_bfloat16, (vllm::Fp8KVCacheDataType)0>(const T1 *)", 2300},
	{"void cutlass::device_kernel<flash::enable_sm90<flash::FlashAttnFwdSm90<flash::CollectiveMainloopFwdSm90>>>(T1::Params)", 14200},
	{"void flash::flash_fwd_splitkv_combine_kernel<flash::Flash_fwd_kernel_traits>(flash::Flash_fwd_params)", 3000},
	{"nvjet_tst_64x8_64x16_2x1_v_bz_splitK_TNT", 7700},
	{"void cublasLt::splitKreduce_kernel<32, 16, int, float, __nv_bfloat16>(cublasLt::cublasSplitKParams<float>)", 2500},
	{"void vllm::fused_add_rms_norm_kernel<c10::BFloat16, 8>(T1 *, T1 *, const T1 *, float, int, int)", 2600},
	{"nvjet_tst_128x8_64x12_2x1_v_bz_TNT", 31500},
	{"void vllm::act_and_mul_kernel<c10::BFloat16, &vllm::silu_kernel, true>(T1 *, const T1 *, int)", 2900},
	{"nvjet_tst_64x8_64x16_1x4_h_bz_TNN", 17400},
}

var tailKernels = [6]struct {
	name string
	ns   int64
}{
	{"void at::native::vectorized_gather_kernel<16, long>(char *, char *, long *, int)", 3100},
	{"void vllm::rms_norm_kernel<c10::BFloat16, 8, 2>(T1 *, const T1 *, const T1 *, float, int, int)", 2500},
	{"nvjet_tst_192x8_64x8_2x1_v_bz_TNT", 171000},
	{"void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float, at::native::ArgMaxOps<float>>>(T3)", 23800},
	{"_prepare_pos_seq_lens_kernel", 2200},
	{"_post_update_kernel", 2100},
}

var modules = [8]string{"self_attn", "self_attn.qkv_proj", "self_attn.rotary_emb", "self_attn.attn", "self_attn.o_proj", "mlp", "mlp.gate_up_proj", "mlp.down_proj"}

// Profile makes a profile of about the given size: one process, one GPU, two streams, three threads.
func Profile(size Size) *profile.Profile {
	steps := max(3, size.Kernels/perStep)
	p := &profile.Profile{Format: "built", Source: "generated"}
	b := profile.NewBuilder(p)
	pr := b.Process(4100)
	p.Processes[pr].Name = "VLLM::EngineCore"
	worker, helper := b.Thread(4100, 4100), b.Thread(4100, 4177)
	b.AddDevice(profile.Device{ID: 0, Name: "NVIDIA H100 80GB HBM3", SMs: 132, MemoryBytes: 80 << 30})
	main := b.Queue(profile.Queue{Process: pr, Context: 1, GreenCtx: -1, Stream: 7})
	side := b.Queue(profile.Queue{Process: pr, Context: 1, GreenCtx: -1, Stream: 23})
	config := b.Config(profile.LaunchConfig{Grid: [3]int32{132, 1, 1}, Block: [3]int32{384, 1, 1}, Registers: 168})
	fn := func(name string) int32 {
		id := p.Strings.ID(name)
		return b.Func(profile.Func{Name: id, Short: p.Strings.ID(profile.BaseName(name)), Mangled: id})
	}
	var layer [12]int32
	for i, k := range layerKernels {
		layer[i] = fn(k.name)
	}
	var tail [6]int32
	for i, k := range tailKernels {
		tail[i] = fn(k.name)
	}
	g := &generator{p: p, r: rand.New(rand.NewPCG(7, 9)), worker: worker, helper: helper, queue: main, side: side, config: config}
	g.reserve(steps*perStep, max(size.Calls, steps*(perStep+2)), max(size.Ranges, steps))
	g.launch, g.query, g.sync, g.copy = p.Strings.ID("cudaLaunchKernel_v7000"), p.Strings.ID("cudaEventQuery_v3020"), p.Strings.ID("cudaEventSynchronize_v3020"), p.Strings.ID("cudaMemcpyAsync_v3020")
	for l := range layers {
		for _, m := range modules {
			g.texts = append(g.texts, p.Strings.ID(fmt.Sprintf("model.layers.%d.%s", l, m)))
		}
	}
	calls, ranges := max(0, size.Calls/steps-perStep-2), max(0, size.Ranges/steps-1)
	host, gpu := int64(1_000_000), int64(1_100_000)
	for s := range steps {
		host, gpu = g.step(s, host, gpu, layer, tail, calls, ranges)
	}
	p.Window = interval.Span{Start: 0, End: gpu + 1_000_000}
	p.Sort()
	p.Join()
	return p
}

type generator struct {
	p                         *profile.Profile
	r                         *rand.Rand
	worker, helper            int32
	queue, side               int32
	config                    int32
	launch, query, sync, copy profile.StringID
	texts                     []profile.StringID
	corr                      uint32
}

func (g *generator) reserve(kernels, calls, ranges int) {
	k, c, r := &g.p.Kernels, &g.p.Calls, &g.p.Ranges
	k.Start, k.Dur = make([]int64, 0, kernels), make([]int64, 0, kernels)
	c.Start, c.Dur = make([]int64, 0, calls), make([]int64, 0, calls)
	r.Start, r.Dur = make([]int64, 0, ranges), make([]int64, 0, ranges)
	r.Text = make([]profile.StringID, 0, ranges)
}

func (g *generator) call(name profile.StringID, thread int32, start, dur int64) uint32 {
	g.corr++
	c := &g.p.Calls
	c.Start, c.Dur, c.Name, c.Thread = append(c.Start, start), append(c.Dur, dur), append(c.Name, name), append(c.Thread, thread)
	c.Correlation, c.Result, c.Class = append(c.Correlation, g.corr), append(c.Result, 0), append(c.Class, profile.RuntimeAPI)
	return g.corr
}

func (g *generator) kernel(f, queue int32, start, dur int64, corr uint32) {
	k := &g.p.Kernels
	k.Start, k.Dur, k.Func, k.Config = append(k.Start, start), append(k.Dur, dur), append(k.Func, f), append(k.Config, g.config)
	k.Queue, k.Correlation, k.Call, k.GraphNode = append(k.Queue, queue), append(k.Correlation, corr), append(k.Call, profile.None), append(k.GraphNode, 0)
}

func (g *generator) rng(text profile.StringID, thread int32, start, dur int64) {
	r := &g.p.Ranges
	r.Start, r.Dur, r.Text, r.Thread = append(r.Start, start), append(r.Dur, dur), append(r.Text, text), append(r.Thread, thread)
	r.Domain, r.Kind = append(r.Domain, profile.None), append(r.Kind, profile.PushPop)
}

// step adds one step and returns when host and GPU are done with it.
func (g *generator) step(n int, host, gpu int64, layer [12]int32, tail [6]int32, calls, ranges int) (int64, int64) {
	p := g.p
	marker := "execute_context_0(0)_generation_32(32)"
	scale := int64(1)
	if n%41 == 17 {
		marker, scale = "execute_context_2(1024)_generation_30(30)", 4
	}
	begin := host
	mark := p.Ranges.Len()
	g.rng(p.Strings.ID(marker), g.worker, begin, 0)
	jitter := func(ns int64) int64 { return ns - ns/16 + g.r.Int64N(ns/8+1) }
	one := func(f int32, ns int64) {
		d := jitter(5200)
		corr := g.call(g.launch, g.worker, host, d)
		start := max(gpu+jitter(1100), host+d+2000)
		q := g.queue
		dur := jitter(ns * scale)
		g.kernel(f, q, start, dur, corr)
		host += d + jitter(2600)
		gpu = start + dur
	}
	one(tail[0], tailKernels[0].ns)
	first := host
	for range layers {
		for i := range layer {
			one(layer[i], layerKernels[i].ns)
		}
	}
	last := host
	for i := 1; i < len(tail); i++ {
		one(tail[i], tailKernels[i].ns)
	}
	// A copy of the sampled tokens on its own stream, which the host then waits for.
	m := &p.Copies
	corr := g.call(g.copy, g.worker, host, 6000)
	host += 7000
	m.Start, m.Dur, m.Bytes, m.Kind = append(m.Start, gpu+500), append(m.Dur, 1800), append(m.Bytes, 256), append(m.Kind, profile.CopyDtoH)
	m.Src, m.Dst, m.Queue = append(m.Src, profile.MemDevice), append(m.Dst, profile.MemPinned), append(m.Queue, g.side)
	m.Correlation, m.Call, m.GraphNode = append(m.Correlation, corr), append(m.Call, profile.None), append(m.GraphNode, 0)
	gpu += 2300
	wait := max(3000, gpu-host)
	g.call(g.sync, g.worker, host, wait)
	host += wait
	p.Ranges.Dur[mark] = host - begin
	// Queries and module annotations spread over the step: the latter nest two deep around the layers.
	for i := range calls {
		g.call(g.query, g.helper, begin+int64(i)*(host-begin)/int64(calls+1), 700)
	}
	groups := ranges / 4
	if groups > 0 {
		slot := (last - first) / int64(groups)
		for i := range groups {
			at := first + int64(i)*slot
			text := g.texts[i*len(g.texts)/groups]
			g.rng(text, g.worker, at, slot*9/10)
			g.rng(g.texts[(i*7)%len(g.texts)], g.worker, at+slot/20, slot/4)
			g.rng(g.texts[(i*11)%len(g.texts)], g.worker, at+slot*2/5, slot/4)
			g.rng(g.texts[(i*3)%len(g.texts)], g.helper, at, slot/2)
		}
	}
	// The scheduler's time between steps.
	return host + jitter(900_000), gpu
}
