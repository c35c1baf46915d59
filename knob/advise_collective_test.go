package knob_test

import (
	"strings"
	"testing"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/internal/captest"
	"github.com/stepscope/stepscope/internal/proftest"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/serving"
)

// tensorParallel is a decode of 16 requests on some of two ranks: 12 layers with two all-reduces each, of so many us.
func tensorParallel(t *testing.T, reduce int64, ranks int) *profile.Profile {
	t.Helper()
	const us = 1000
	b := proftest.NewBuilder(0)
	at := int64(0)
	for i := range 20 * ranks {
		if i%20 == 0 {
			b.PID, b.TID, b.Device = int64(100+i), int64(100+i), int64(i/20)
			at = 0
		}
		begin := at
		corr := b.Call("cudaGraphLaunch_v10000", at, at+10*us)
		node := uint64(1)
		run := func(name string, dur int64) {
			b.KernelConfig(name, at, at+dur, corr, profile.LaunchConfig{Grid: [3]int32{1, 1, 1}, Block: [3]int32{128, 1, 1}}, node)
			at += dur
			node++
		}
		at += 12 * us
		all := func() {
			if reduce > 0 {
				run("void vllm::cross_device_reduce_1stage<__nv_bfloat16, (int)2>(vllm::RankData *, vllm::RankSignals, vllm::Signal *, T1 *, int, int)", reduce*us)
			}
		}
		for range 12 {
			run("triton_red_fused_fused_add_rms_norm_0", 2*us)
			run("nvjet_sm90_tst_64x16_64x16_2x1_h_bz_TNT", 20*us)
			run("void flash_fwd_splitkv_kernel<Flash_fwd_kernel_traits<128, 64, 64, 4>>(Flash_fwd_params)", 10*us)
			run("nvjet_sm90_tst_64x16_64x16_2x1_h_bz_TNT", 20*us)
			all()
			run("triton_red_fused_fused_add_rms_norm_1", 2*us)
			run("nvjet_sm90_tst_128x16_64x11_2x1_h_bz_TNT", 30*us)
			run("triton_poi_fused_mul_silu_1", 2*us)
			run("nvjet_sm90_tst_64x16_64x16_2x1_h_bz_TNT", 20*us)
			all()
		}
		run("_gumbel_sample_kernel", 20*us)
		b.Range("execute_context_0(0)_generation_16(16)", begin, begin+10*us)
		b.Call("cudaEventSynchronize_v3020", begin+11*us, at)
	}
	b.P.Window.End = at + 1000*us
	return b.Build(t)
}

// Replicas in place of ranks where the model fits one GPU and the exchange costs more than reading all weights.
func TestCollectiveAdvice(t *testing.T) {
	src := serving.Source{File: "server.log"}
	for _, c := range []struct {
		name    string
		ranks   int
		reduce  int64 // us
		weights float64
		command string
		first   string
		after   float64 // tokens/s, 0 = no number
	}{
		// 12 layers of 106 us, 90 of them GEMMs, sampling and launch 32 us; 16 requests in 5.104 ms, then in 2.384 ms.
		{"slow exchange", 2, 160, 7.5, "--tensor-parallel-size 2", "tensor-parallel-size", 16 / 0.002384},
		{"slow exchange or waiting for a rank that is not recorded", 1, 160, 7.5, "--tensor-parallel-size 2", "compilation-config.pass_config.fuse_allreduce_rms", 0},
		{"fast exchange", 2, 15, 7.5, "--tensor-parallel-size 2", "compilation-config.pass_config.fuse_allreduce_rms", 0},
		{"too large for one GPU", 2, 160, 60, "--tensor-parallel-size 2", "compilation-config.pass_config.fuse_allreduce_rms", 0},
		{"the engine's own all-reduce is off", 2, 160, 7.5, "--tensor-parallel-size 2 --disable-custom-all-reduce", "disable-custom-all-reduce", 0},
	} {
		run := &serving.Run{}
		run.Engine.Name, run.Engine.Version = serving.NewFact("vllm", src), serving.NewFact("0.24.0", src)
		run.Engine.TensorParallel = serving.NewFact(int64(2), src)
		run.Engine.WeightsGiB, run.Engine.KVCacheGiB = serving.NewFact(c.weights, src), serving.NewFact(70-c.weights, src)
		run.Engine.KVCacheTokens, run.Engine.MaxModelLen = serving.NewFact(int64(1_000_000), src), serving.NewFact(int64(4096), src)
		run.Command = serving.NewFact("vllm serve /models/some "+c.command, src)
		r := captest.DiagnoseProfile(t, tensorParallel(t, c.reduce, c.ranks), run, captest.Options{GPU: "H100 SXM"})
		f := r.Finding(diagnose.CollectiveBound)
		if f == nil || len(f.Advice) == 0 {
			t.Errorf("%s: %+v, why %q", c.name, f, r.Why(diagnose.CollectiveBound))
			continue
		}
		v := f.Advice[0]
		if v.Knob != c.first || (v.Predicted != nil) != (c.after > 0) {
			t.Errorf("%s: %+v", c.name, v)
			continue
		}
		if c.after == 0 {
			continue
		}
		if p := v.Predicted; p.After < 0.999*c.after || p.After > 1.001*c.after || p.Low < p.Before {
			t.Errorf("%s: %+v, want %.0f", c.name, p, c.after)
		}
		if !strings.Contains(v.Command, "--tensor-parallel-size 1") || !strings.Contains(v.Command, "--data-parallel-size 2") || !strings.Contains(v.Requires, "KV cache shrinks") {
			t.Errorf("%s: %s; %s", c.name, v.Command, v.Requires)
		}
	}
}

// A pipeline whose stages wait for one another gets more requests, or all GPUs for every layer.
func TestPipelineAdvice(t *testing.T) {
	const us = 1000
	b := proftest.NewBuilder(0)
	for rank := range int64(2) {
		b.PID, b.TID, b.Device = 100+rank, 100+rank, rank
		for i := range int64(20) {
			at := 3000*us*i + 1500*us*rank
			b.Range("execute_context_0(0)_generation_16(16)", at, at+20*us)
			corr := b.Call("cudaGraphLaunch_v10000", at, at+10*us)
			at += 12 * us
			node := uint64(1)
			run := func(name string, dur int64) {
				b.KernelConfig(name, at, at+dur, corr, profile.LaunchConfig{Grid: [3]int32{1, 1, 1}, Block: [3]int32{128, 1, 1}}, node)
				at += dur
				node++
			}
			for range 12 {
				run("triton_red_fused_fused_add_rms_norm_0", 2*us)
				run("nvjet_sm90_tst_64x16_64x16_2x1_h_bz_TNT", 20*us)
				run("void flash_fwd_splitkv_kernel<Flash_fwd_kernel_traits<128, 64, 64, 4>>(Flash_fwd_params)", 10*us)
				run("nvjet_sm90_tst_64x16_64x16_2x1_h_bz_TNT", 20*us)
				run("triton_red_fused_fused_add_rms_norm_1", 2*us)
				run("nvjet_sm90_tst_128x16_64x11_2x1_h_bz_TNT", 30*us)
				run("triton_poi_fused_mul_silu_1", 2*us)
				run("nvjet_sm90_tst_64x16_64x16_2x1_h_bz_TNT", 20*us)
			}
			run("ncclDevKernel_SendRecv(ncclDevKernelArgsStorage<4096ul>)", 10*us)
		}
	}
	b.P.Window.End = 70_000 * us
	src := serving.Source{File: "server.log"}
	run := &serving.Run{}
	run.Engine.Name, run.Engine.Version = serving.NewFact("vllm", src), serving.NewFact("0.24.0", src)
	run.Engine.PipelineParallel = serving.NewFact(int64(2), src)
	run.Command = serving.NewFact("vllm serve /models/some --pipeline-parallel-size 2", src)
	r := captest.DiagnoseProfile(t, b.Build(t), run, captest.Options{GPU: "H100 SXM"})
	captest.Check(t, "pipeline", r)
	f := r.Finding(diagnose.CollectiveBound)
	if r.First() != diagnose.CollectiveBound || !strings.Contains(f.Summary, "for the other stages of the pipeline") || f.Share < 0.35 || f.Share > 0.45 {
		t.Fatalf("%s: %+v", r.Verdict, f)
	}
	if len(f.Advice) < 2 || f.Advice[0].Knob != "client concurrency" || f.Advice[1].Knob != "tensor-parallel-size" ||
		!strings.Contains(f.Advice[1].Command, "--tensor-parallel-size 2") || !strings.Contains(f.Advice[1].Command, "--pipeline-parallel-size 1") {
		t.Errorf("%+v", f.Advice)
	}
	for _, x := range r.Findings {
		for _, v := range x.Advice {
			if v.Predicted != nil && strings.HasSuffix(v.Predicted.Metric, "tl_ms") {
				t.Errorf("%s: a token takes several steps, how many is not told: %+v", x.ID, v.Predicted)
			}
		}
	}
}
