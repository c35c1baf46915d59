package diagnose_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/stepscope/stepscope/internal/captest"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/serving"
)

// The laws of captest.Check hold for any engine: random steps, random evidence, and copies with parts missing.
func TestLawsOnRandomEngines(t *testing.T) {
	names := []string{attentionKernel, gemmKernel, samplingKernel, collectiveKernel, moeKernel, otherKernel}
	rapid.Check(t, func(rt *rapid.T) {
		e := newEngine()
		for range rapid.IntRange(0, 6).Draw(rt, "kinds of steps") {
			batch := rapid.IntRange(1, 300).Draw(rt, "batch")
			marker := rapid.SampledFrom([]string{"", decode(batch), mixed(1, 600, batch), mixed(2, 16, batch), "execute_context_1(64)_generation_0(0)",
				fmt.Sprintf("execute_context_0(0)_generation_%d(%d)", batch, batch*4), "execute_new_1_cached_3", "step[DECODE bs=8]"}).Draw(rt, "marker")
			var ops []op
			for range rapid.IntRange(1, 12).Draw(rt, "operations") {
				o := op{name: rapid.SampledFrom(names).Draw(rt, "kernel"), dur: rapid.Int64Range(1, 3000).Draw(rt, "us") * us}
				if rapid.IntRange(0, 9).Draw(rt, "copy") == 0 {
					o.bytes, o.sync = rapid.Int64Range(1, 1<<30).Draw(rt, "bytes"), rapid.Bool().Draw(rt, "sync")
				}
				ops = append(ops, o)
			}
			small := func(what string, most int64) int64 {
				if rapid.Bool().Draw(rt, what) {
					return 0
				}
				return rapid.Int64Range(0, most).Draw(rt, what+" us") * us
			}
			e.run(rapid.IntRange(1, 30).Draw(rt, "repeats"), turn{marker: marker, ops: ops, launch: small("launch", 500), graph: rapid.Bool().Draw(rt, "graph"),
				gap: small("gap", 5000), quiet: small("quiet", 50000), wait: small("wait", 3000), slow: small("slow", 20000)})
		}
		p := e.profile(t)
		switch rapid.IntRange(0, 4).Draw(rt, "missing") {
		case 1:
			captest.WithoutRanges(p)
		case 2:
			captest.WithoutCalls(p)
		case 3:
			captest.KeepCalls(p, func(i int) bool { return i%3 == 0 })
		case 4:
			p.Devices = []profile.Device{{}}
		}
		r := captest.DiagnoseProfile(t, p, evidence(rt), captest.Options{
			GPU:    rapid.SampledFrom([]string{"H100 SXM", "V100", "A100 80GB", "MI300X", ""}).Draw(rt, "gpu"),
			Engine: rapid.SampledFrom([]string{"", "vllm@0.8.5", "vllm@0.24.0", "vllm@0.33.0", "sglang"}).Draw(rt, "engine")})
		rec := &recorder{TB: t}
		captest.Check(rec, "random", r)
		if len(rec.errs) > 0 {
			rt.Fatalf("%d laws broken, the first: %s", len(rec.errs), rec.errs[0])
		}
	})
}

// recorder collects failures, so that a failing case can be made smaller.
type recorder struct {
	testing.TB
	errs []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.errs = append(r.errs, fmt.Sprintf(format, args...))
}

// evidence draws what a server may say of itself, contradictions included.
func evidence(rt *rapid.T) *serving.Run {
	if rapid.Bool().Draw(rt, "no evidence") {
		return nil
	}
	r := &serving.Run{}
	src := serving.Source{File: "server.log", Line: 1}
	if rapid.Bool().Draw(rt, "benchmark") {
		p50 := rapid.Float64Range(0, 50).Draw(rt, "p50")
		r.Bench = bench(rapid.Int64Range(1, 400).Draw(rt, "clients"), p50, p50*rapid.Float64Range(1, 30).Draw(rt, "tail"), p50*rapid.Float64Range(0.5, 4).Draw(rt, "mean"))
		if rapid.Bool().Draw(rt, "open loop") {
			openLoop(r.Bench, rapid.Float64Range(0, 50).Draw(rt, "rate"))
		}
	}
	if rapid.Bool().Draw(rt, "metrics") {
		e2e := rapid.Float64Range(0, 20).Draw(rt, "e2e")
		r.Delta = queued(rapid.Float64Range(0, 2000).Draw(rt, "requests"), e2e*rapid.Float64Range(0, 1).Draw(rt, "queue"), e2e)
		if rapid.Bool().Draw(rt, "preempted") {
			preempted(r, rapid.Float64Range(0, 100).Draw(rt, "preemptions"))
		}
	}
	if rapid.Bool().Draw(rt, "log") {
		r.Log = &serving.Log{File: "server.log", Stats: []serving.StatLine{{Running: rapid.Int64Range(-1, 300).Draw(rt, "running"),
			Waiting: rapid.Int64Range(-1, 300).Draw(rt, "waiting"), KVUsage: rapid.Float64Range(-1, 1).Draw(rt, "usage")}}}
	}
	for _, set := range []func(){
		func() { r.Engine.MaxNumSeqs = serving.NewFact(rapid.Int64Range(0, 1024).Draw(rt, "seqs"), src) },
		func() {
			r.Engine.MaxNumBatchedTokens = serving.NewFact(rapid.Int64Range(0, 16384).Draw(rt, "tokens"), src)
		},
		func() { r.Engine.KVCacheTokens = serving.NewFact(rapid.Int64Range(0, 1<<20).Draw(rt, "cache"), src) },
		func() { r.Engine.CaptureSizes = serving.NewFact([]int64{1, 2, 4, 8}, src) },
		func() { r.Engine.AsyncScheduling = serving.NewFact(rapid.Bool().Draw(rt, "async"), src) },
		func() { r.Engine.Model = serving.NewFact("meta-llama/Llama-3.1-8B", src) },
		func() { r.Engine.EnforceEager = serving.NewFact(true, src) },
		func() { r.Engine.SpecDecode = serving.NewFact("ngram", src) },
		func() { r.Engine.Quantization = serving.NewFact("fp8", src) },
		func() { r.Engine.GPUMemoryUtilization = serving.NewFact(0.5, src) },
	} {
		if rapid.Bool().Draw(rt, "setting") {
			set()
		}
	}
	return r
}
