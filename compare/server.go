package compare

import (
	"slices"

	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/stat"
)

const gib = 1 << 30

// minGiB is the smallest change of a memory size that counts.
const minGiB = 0.25

// compareServer compares what the server counted, its memory and its start.
func (c *comparer) compareServer() {
	c.counters()
	c.memory()
	c.startUp()
	c.cpu()
}

func (c *comparer) counters() {
	b, a := c.before.delta(), c.after.delta()
	if b == nil || a == nil {
		return
	}
	f := family{t: c.t}
	one := func(name, title, unit string, dir stat.Direction, min float64, neutral bool, x, y serving.Fact[float64], n1, n2 float64) {
		if x.Known && y.Known {
			f.single(spec{group: Server, name: name, title: title, unit: unit, dir: dir, min: min, factor: !neutral, neutral: neutral}, x.Value, y.Value, int(n1), int(n2), "mean")
		}
	}
	n1, n2 := b.Requests.Or(0), a.Requests.Or(0)
	if b.Preemptions.Known && a.Preemptions.Known && n1 > 0 && n2 > 0 {
		f.counts(spec{group: Server, name: "preemptions", title: "preemptions", unit: "preemptions"}, int64(b.Preemptions.Value), int64(a.Preemptions.Value), n1, n2)
	}
	one("queue_ms", "time in the queue", "ms", stat.LowerIsBetter, c.t.NoiseTTFT, false, scale(b.Queue.Mean(), 1e3), scale(a.Queue.Mean(), 1e3), n1, n2)
	one("tokens_per_step", "tokens per step", "tokens", stat.HigherIsBetter, c.t.NoiseBench, true, b.TokensPerStep.Mean(), a.TokensPerStep.Mean(), b.TokensPerStep.Count, a.TokensPerStep.Count)
	one("prefix_hit_share", "prefix cache hits", "share", stat.HigherIsBetter, c.t.NoiseBench, true, over(b.PrefixHits, b.PrefixQueries), over(a.PrefixHits, a.PrefixQueries), n1, n2)
	one("draft_accepted_share", "accepted draft tokens", "share", stat.HigherIsBetter, c.t.NoiseBench, false, over(b.AcceptedDraft, b.DraftTokens), over(a.AcceptedDraft, a.DraftTokens), b.Drafts.Or(0), a.Drafts.Or(0))
	if c.before.bench() == nil || c.after.bench() == nil {
		one("server_ttft_ms", "time to first token at the server", "ms", stat.LowerIsBetter, c.t.NoiseTTFT, false, scale(b.TTFT.Mean(), 1e3), scale(a.TTFT.Mean(), 1e3), b.TTFT.Count, a.TTFT.Count)
		one("server_itl_ms", "inter-token latency at the server", "ms", stat.LowerIsBetter, c.t.NoiseBench, false, scale(b.ITL.Mean(), 1e3), scale(a.ITL.Mean(), 1e3), b.ITL.Count, a.ITL.Count)
	}
	c.out.Metrics = append(c.out.Metrics, f.judge()...)
}

func scale(f serving.Fact[float64], by float64) serving.Fact[float64] {
	f.Value *= by
	return f
}

func over(a, b serving.Fact[float64]) serving.Fact[float64] {
	if !a.Known || !b.Known || b.Value == 0 {
		return serving.Fact[float64]{}
	}
	return serving.NewFact(a.Value/b.Value, a.Source)
}

// memory compares sizes that the engine printed, which are the same at every start up to rounding, and what was sampled.
func (c *comparer) memory() {
	f := family{t: c.t}
	if c.before.Run != nil && c.after.Run != nil {
		b, a := &c.before.Run.Engine, &c.after.Run.Engine
		size := func(name, title string, dir stat.Direction, x, y serving.Fact[float64]) {
			if x.Known && y.Known {
				f.exact(spec{group: Memory, name: name, title: title, unit: "GiB", dir: dir, min: c.t.Exact, abs: minGiB}, x.Value, y.Value)
			}
		}
		size("weights_gib", "weights per GPU", stat.LowerIsBetter, b.WeightsGiB, a.WeightsGiB)
		size("kv_cache_gib", "KV cache per GPU", stat.HigherIsBetter, b.KVCacheGiB, a.KVCacheGiB)
		size("graph_memory_gib", "CUDA graphs per GPU", stat.LowerIsBetter, b.GraphMemoryGiB, a.GraphMemoryGiB)
		if x, y := b.KVCacheTokens, a.KVCacheTokens; x.Known && y.Known {
			f.exact(spec{group: Memory, name: "kv_cache_tokens", title: "KV cache capacity", unit: "tokens", dir: stat.HigherIsBetter, min: c.t.Exact}, float64(x.Value), float64(y.Value))
		}
	}
	if b, a := c.before.Usage, c.after.Usage; b != nil && a != nil {
		peak := func(name, title string, x, y []float64, min float64) {
			if len(x) > 0 && len(y) > 0 {
				f.exact(spec{group: Memory, name: name, title: title, unit: "GiB", min: min, abs: minGiB}, slices.Max(x)/gib, slices.Max(y)/gib)
			}
		}
		peak("gpu_memory_peak_gib", "GPU memory, peak", b.GPUMemBytes, a.GPUMemBytes, c.t.Exact)
		peak("host_memory_peak_gib", "host memory, peak", b.HostBytes, a.HostBytes, c.t.NoiseBench)
		if x, y := b.MemGrowBytes, a.MemGrowBytes; x != nil && y != nil {
			f.exact(spec{group: Memory, name: "gpu_memory_growth_gib", title: "growth of GPU memory in the burst", unit: "GiB", min: c.t.Exact, abs: minGiB}, *x/gib, *y/gib)
		}
	}
	c.out.Metrics = append(c.out.Metrics, f.judge()...)
}

func abs(v float64) float64 { return max(v, -v) }

// minStart is the smallest change of a start-up time that counts, in seconds: logs print whole seconds.
const minStart = 3

// startUp compares the parts of the server's start. One start a side: only a large factor says something, and the parts
// say only where it went, as compilation depends on whether its cache was warm.
func (c *comparer) startUp() {
	f := family{t: c.t}
	one := func(name, title string, x, y float64, part bool) {
		f.single(spec{group: StartUp, name: name, title: title, unit: "s", min: c.t.NoiseHost, factor: abs(y-x) >= minStart, neutral: part}, x, y, 1, 1, "once")
	}
	if b, a := c.before.Usage, c.after.Usage; b != nil && a != nil && b.StartupS != nil && a.StartupS != nil {
		one("ready_s", "process start to the first answer", *b.StartupS, *a.StartupS, false)
	}
	if b, a := c.before.log(), c.after.log(); b != nil && a != nil {
		if x, y := b.Phase(serving.PhaseReady), a.Phase(serving.PhaseReady); x != nil && y != nil && x.AtNS > 0 && y.AtNS > 0 && len(f.rows) == 0 {
			one("ready_s", "first log line to ready", float64(x.AtNS)/1e9, float64(y.AtNS)/1e9, false)
		}
		for _, p := range []struct{ id, name, title string }{
			{serving.PhaseLoad, "load_s", "loading the model"}, {serving.PhaseCompile, "compile_s", "compilation"},
			{serving.PhaseGraphCapture, "graph_capture_s", "graph capture"}, {serving.PhaseEngineInit, "engine_init_s", "engine start"},
		} {
			x, y := b.Phase(p.id), a.Phase(p.id)
			if x != nil && y != nil && x.DurNS > 0 && y.DurNS > 0 {
				one(p.name, p.title, float64(x.DurNS)/1e9, float64(y.DurNS)/1e9, true)
			}
		}
	}
	c.out.Metrics = append(c.out.Metrics, f.judge()...)
}

// cpu compares what was sampled while the burst ran.
func (c *comparer) cpu() {
	b, a := c.before.Usage, c.after.Usage
	if b == nil || a == nil {
		return
	}
	f := family{t: c.t}
	series := func(s spec, x, y []float64) {
		if len(x) > 1 && len(y) > 1 {
			f.series(s, x, y, mean, "median")
		} else if len(x) == 1 && len(y) == 1 {
			f.single(s, x[0], y[0], 1, 1, "once")
		}
	}
	series(spec{group: CPU, name: "cpu_cores", title: "CPU cores in use", unit: "cores", min: c.t.NoiseHost, neutral: true}, b.CPUCores, a.CPUCores)
	series(spec{group: Utilisation, name: "gpu_util_driver", title: "GPU utilisation by the driver", unit: "share", dir: stat.HigherIsBetter, min: c.t.NoiseBench, abs: c.t.UtilisationMoved / 2}, b.GPUUtil, a.GPUUtil)
	series(spec{group: Utilisation, name: "gpu_power_w", title: "GPU power", unit: "W", min: c.t.NoiseBench, neutral: true}, b.PowerW, a.PowerW)
	series(spec{group: Utilisation, name: "gpu_clock_mhz", title: "SM clock", unit: "MHz", dir: stat.HigherIsBetter, min: c.t.NoiseGPU, neutral: true}, b.ClockMHz, a.ClockMHz)
	perToken := func(s *side, series []float64) float64 {
		v := s.bench()
		if v == nil || !v.OutputRate.Known || v.OutputRate.Value <= 0 || len(series) == 0 {
			return 0
		}
		return mean(series) / v.OutputRate.Value
	}
	if x, y := perToken(c.before, b.CPUCores), perToken(c.after, a.CPUCores); x > 0 && y > 0 {
		f.single(spec{group: CPU, name: "cpu_ms_per_output_token", title: "CPU time per output token", unit: "ms", min: c.t.NoiseHost, factor: true}, 1e3*x, 1e3*y, len(b.CPUCores), len(a.CPUCores), "mean")
	}
	if x, y := perToken(c.before, b.PowerW), perToken(c.after, a.PowerW); x > 0 && y > 0 {
		f.single(spec{group: Utilisation, name: "joules_per_output_token", title: "energy per output token", unit: "J", min: c.t.NoiseBench, factor: true}, x, y, len(b.PowerW), len(a.PowerW), "mean")
	}
	c.out.Metrics = append(c.out.Metrics, f.judge()...)
}
