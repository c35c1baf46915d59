package diagnose_test

import (
	"fmt"
	"testing"

	"github.com/stepscope/stepscope/internal/captest"
	"github.com/stepscope/stepscope/internal/proftest"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/serving"
)

const (
	us = int64(1000)
	ms = 1000 * us
)

// Kernel names of the stages that the tests need.
const (
	attentionKernel  = "void flash_fwd_splitkv_kernel<Flash_fwd_kernel_traits<128, 64, 64, 4>>(Flash_fwd_params)"
	gemmKernel       = "nvjet_sm90_tst_64x8_64x16_4x1_v_bz_TNT"
	samplingKernel   = "_gumbel_sample_kernel"
	collectiveKernel = "ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<(unsigned long)4096>)"
	moeKernel        = "fused_moe_kernel"
	otherKernel      = "vectorized_elementwise_kernel"
)

// op is one kernel or copy of a step.
type op struct {
	name  string
	dur   int64
	bytes int64 // a copy from pageable host memory when set
	sync  bool  // a copy that the host waits for
}

// turn is one step of the simulated engine.
type turn struct {
	marker string
	ops    []op
	launch int64 // host time per launch, 5 us when 0
	graph  bool  // all kernels under one graph launch
	gap    int64 // host time between the steps: scheduling with some API call every 0.2 ms
	quiet  int64 // the same without any call: no request
	wait   int64 // time in a synchronising call inside the step after the first kernel has ended
	slow   int64 // duration of an attribute query before the last launch
	reads  int   // values read on the host before the last launch, see read
	late   bool  // they are read after the last launch instead
	block  bool  // launches wait for their work
	alloc  int64 // duration of each of two allocations before the last launch
}

// engine simulates a server: one host thread that launches, waits for the GPU and then goes on, one process, one stream.
type engine struct {
	b         *proftest.Builder
	host, gpu int64
	driver    bool // driver calls within the runtime's are recorded too
}

func newEngine() *engine { return &engine{b: proftest.NewBuilder(0)} }

func (e *engine) run(n int, t turn) *engine {
	for range n {
		e.step(t)
	}
	return e
}

func (e *engine) step(t turn) {
	for end := e.host + t.gap; e.host < end; e.host = min(e.host+200*us, end) {
		e.b.Call("cudaEventQuery_v3020", e.host, e.host+2*us)
	}
	e.host += t.quiet
	start := e.host
	launch := max(t.launch, 5*us)
	var corr uint32
	if t.graph {
		corr = e.b.Call("cudaGraphLaunch_v10000", e.host, e.host+launch)
		e.host += launch
	}
	for i, o := range t.ops {
		if i == len(t.ops)-1 && t.slow > 0 {
			e.b.Call("cuKernelGetAttribute", e.host, e.host+t.slow)
			e.host += t.slow
		}
		if i == len(t.ops)-1 {
			for n := int64(0); n < 2 && t.alloc > 0; n++ {
				e.b.Call("cudaMalloc_v3020", e.host, e.host+t.alloc)
				e.host += t.alloc
			}
			if !t.late {
				e.read(t.reads)
			}
		}
		if i == 1 && t.wait > 0 {
			from := e.host
			e.host = max(e.host, e.gpu) + t.wait
			e.b.Call("cudaStreamSynchronize_v3020", from, e.host)
		}
		switch {
		case o.bytes > 0:
			at := max(e.gpu, e.host+4*us)
			call := e.host + 5*us
			if o.sync {
				call = at + o.dur
			}
			e.b.Copy(profile.CopyHtoD, profile.MemPageable, profile.MemDevice, o.bytes, at, at+o.dur, e.b.Call("cudaMemcpyAsync_v3020", e.host, call))
			e.host, e.gpu = call, at+o.dur
			continue
		case t.block:
			at := max(e.gpu, e.host+5*us)
			corr = e.b.Call("cudaLaunchKernel_v7000", e.host, at+o.dur+3*us)
			e.kernel(o.name, at, o.dur, corr, 0)
			e.host = at + o.dur + 3*us
			continue
		case !t.graph:
			corr = e.b.Call("cudaLaunchKernel_v7000", e.host, e.host+5*us)
			e.host += launch
		}
		node := uint64(0)
		if t.graph {
			node = uint64(i + 1)
		}
		// Back to back where the work is enqueued already, else right behind the launch call.
		at := max(e.gpu, e.host-launch+5*us)
		e.kernel(o.name, at, o.dur, corr, node)
	}
	if t.late {
		e.read(t.reads)
	}
	if t.marker != "" {
		e.b.Range(t.marker, start, start+10*us)
	}
	end := max(e.host+2*us, e.gpu)
	e.b.Call("cudaEventSynchronize_v3020", e.host, end)
	e.host = end
}

// kernel runs a kernel from at on.
func (e *engine) kernel(name string, at, dur int64, corr uint32, node uint64) {
	e.b.KernelConfig(name, at, at+dur, corr, profile.LaunchConfig{Grid: [3]int32{1, 1, 1}, Block: [3]int32{128, 1, 1}}, node)
	e.gpu = at + dur
}

// read reads n values on the host as .item() does: a reduction, a copy of its result, a wait for the stream, and 20 us of
// looking at the value.
func (e *engine) read(n int) {
	for range n {
		at := max(e.gpu, e.host+5*us)
		e.kernel(otherKernel, at, 10*us, e.b.Call("cudaLaunchKernel_v7000", e.host, e.host+5*us), 0)
		e.host += 8 * us
		at = max(e.gpu, e.host+5*us)
		e.b.Copy(profile.CopyDtoH, profile.MemDevice, profile.MemPinned, 4, at, at+us, e.b.Call("cudaMemcpyAsync_v3020", e.host, e.host+5*us))
		e.gpu = at + us
		e.host += 6 * us
		from := e.host
		e.host = max(e.host, e.gpu) + 2*us
		e.b.Call("cudaStreamSynchronize_v3020", from, e.host)
		if e.driver {
			e.b.Call("cuStreamSynchronize", from+us/2, e.host-us/2)
		}
		e.host += 20 * us
	}
}

func (e *engine) profile(t *testing.T) *profile.Profile {
	t.Helper()
	e.b.P.Window.End = max(e.host, e.gpu) + ms
	return e.b.Build(t)
}

// diagnose runs the chain on what the engine did so far, on an H100.
func (e *engine) diagnose(t *testing.T, run *serving.Run) *captest.Result {
	t.Helper()
	return captest.DiagnoseProfile(t, e.profile(t), run, captest.Options{GPU: "H100 SXM"})
}

func decode(n int) string { return fmt.Sprintf("execute_context_0(0)_generation_%d(%d)", n, n) }

func mixed(prefills, tokens, decodes int) string {
	return fmt.Sprintf("execute_context_%d(%d)_generation_%d(%d)", prefills, tokens, decodes, decodes)
}

// fact marks a value as read from a benchmark.
func fact[T any](v T) serving.Fact[T] {
	return serving.NewFact(v, serving.Source{File: "bench.json", Field: "test"})
}

// bench is a closed loop of n clients with these token gaps, ms.
func bench(n int64, p50, p99, mean float64) *serving.Bench {
	b := &serving.Bench{Kind: serving.VLLMServe, Source: serving.Source{File: "bench.json"}, MaxConcurrency: fact(n), OutputRate: fact(1000.0),
		Completed: fact(n * 4), DurationS: fact(10.0), InputTokens: fact(n * 4 * 512), OutputTokens: fact(n * 4 * 128)}
	b.ITL = serving.Distribution{Mean: fact(mean), Median: fact(p50), Percentiles: []serving.Percentile{{P: 99, Value: p99, Source: b.Source}}}
	b.TPOT.Mean, b.TTFT.Mean = fact(mean), fact(200.0)
	return b
}

// threshold runs a sweep of cases, from far below to far above, and checks that the finding is there exactly from the
// limit on; near must have seen a case within slack of it on either side.
type threshold struct {
	t            *testing.T
	id           string
	limit, slack float64
	below, above bool
}

func (s *threshold) check(r *captest.Result, value float64) {
	s.t.Helper()
	f := r.Finding(s.id)
	if found := f != nil; found != (value >= s.limit) {
		s.t.Errorf("%s at %.4f (limit %g): found %v, why %q", s.id, value, s.limit, found, r.Why(s.id))
	}
	if value < s.limit && value > s.limit-s.slack {
		s.below = true
	}
	if value >= s.limit && value < s.limit+s.slack {
		s.above = true
	}
}

func (s *threshold) done() {
	s.t.Helper()
	if !s.below || !s.above {
		s.t.Errorf("%s: no near miss within %g of %g: below %v, above %v", s.id, s.slack, s.limit, s.below, s.above)
	}
}

// diagnoseOn runs the chain on a profile, on an H100.
func diagnoseOn(t *testing.T, p *profile.Profile, run *serving.Run) *captest.Result {
	t.Helper()
	return captest.DiagnoseProfile(t, p, run, captest.Options{GPU: "H100 SXM"})
}
