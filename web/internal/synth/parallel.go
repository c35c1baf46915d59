package synth

import (
	"fmt"
	"math/rand/v2"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/serving"
)

// allReduce is the kernel with which ranks exchange what each has computed.
const allReduce = "ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)"

// Parallel makes a tensor-parallel engine: one process and one GPU per rank, which run the same steps and wait for each
// other in two all-reduces per layer. The last rank's GPU is a little slower, so that the others wait for it. The requests
// that the steps serve are in the run.
func Parallel(ranks, steps int) (*profile.Profile, *serving.Run) {
	const (
		depth = 8 // layers
		unix  = 1_700_000_000_000_000_000
	)
	p := &profile.Profile{Format: "built", Source: "parallel", SessionStartUnixNs: unix}
	b := profile.NewBuilder(p)
	g := &generator{p: p, r: rand.New(rand.NewPCG(5, 6)), config: b.Config(profile.LaunchConfig{Grid: [3]int32{132, 1, 1}, Block: [3]int32{384, 1, 1}, Registers: 168})}
	g.launch, g.copy, g.sync = p.Strings.ID("cudaLaunchKernel_v7000"), p.Strings.ID("cudaMemcpyAsync_v3020"), p.Strings.ID("cudaEventSynchronize_v3020")
	fn := func(name string) int32 {
		id := p.Strings.ID(name)
		return b.Func(profile.Func{Name: id, Short: p.Strings.ID(profile.BaseName(name)), Mangled: id})
	}
	scheduler := b.Process(4000)
	p.Processes[scheduler].Name = "VLLM::EngineCore"
	core := b.Thread(4000, 4000)
	p.Threads[core].Name = "EngineCore"
	worker, queue, host := make([]int32, ranks), make([]int32, ranks), make([]int64, ranks)
	for r := range ranks {
		pid := int64(4100 + r)
		pr := b.Process(pid)
		p.Processes[pr].Name, p.Processes[pr].Rank = fmt.Sprintf("VLLM::Worker_TP%d", r), int32(r)
		worker[r] = b.Thread(pid, pid)
		p.Threads[worker[r]].Name = p.Processes[pr].Name
		b.AddDevice(profile.Device{ID: int64(r), Name: "NVIDIA H100 80GB HBM3", SMs: 132, MemoryBytes: 80 << 30, BandwidthBps: 3352e9})
		queue[r] = b.Queue(profile.Queue{Process: pr, Device: b.Device(int64(r)), Context: 1, GreenCtx: -1, Stream: 7})
	}
	compute := make([]int32, len(layerKernels))
	for i, k := range layerKernels {
		compute[i] = fn(k.name)
	}
	reduce, sample := fn(allReduce), fn(tailKernels[3].name)
	gpu := make([]int64, ranks)
	at := int64(2_000_000)
	ends := make([]int64, steps)
	for s := range steps {
		decode, prefill, scale := 16, 0, int64(1)
		if s%9 == 4 {
			prefill, scale = 2, 3
		}
		g.rng(p.Strings.ID("schedule: allocate_slots"), core, at, 180_000)
		marker := p.Strings.ID(fmt.Sprintf("execute_context_%d(%d)_generation_%d(%d)", prefill, prefill*512, decode, decode))
		mark := p.Ranges.Len()
		for r := range ranks {
			host[r] = at + 220_000 + int64(r)*25_000
			gpu[r] = max(gpu[r], host[r])
			g.rng(marker, worker[r], host[r], 0)
		}
		for range depth {
			for i, k := range layerKernels {
				for r := range ranks {
					corr := g.call(g.launch, worker[r], host[r], 3800+g.r.Int64N(900))
					ns := k.ns*scale + g.r.Int64N(k.ns/8+1)
					if r == ranks-1 {
						ns += ns / 6
					}
					start := max(gpu[r]+700, host[r]+6000)
					g.kernel(compute[i], queue[r], start, ns, corr)
					host[r], gpu[r] = host[r]+5200, start+ns
				}
				if i == 7 || i == 11 {
					// An all-reduce begins when its rank comes and ends for all when the last has come.
					var end int64
					start := make([]int64, ranks)
					corr := make([]uint32, ranks)
					for r := range ranks {
						corr[r] = g.call(g.launch, worker[r], host[r], 4200)
						host[r] += 5600
						start[r] = max(gpu[r]+700, host[r]+2000)
						end = max(end, start[r]+8_000*scale)
					}
					for r := range ranks {
						gpu[r] = end + g.r.Int64N(300)
						g.kernel(reduce, queue[r], start[r], gpu[r]-start[r], corr[r])
					}
				}
			}
		}
		var last int64
		for r := range ranks {
			corr := g.call(g.launch, worker[r], host[r], 4000)
			g.kernel(sample, queue[r], gpu[r]+700, 24_000, corr)
			gpu[r] += 24_700
			host[r] += 5000
			if r == 0 {
				m := &p.Copies
				corr := g.call(g.copy, worker[r], host[r], 5000)
				m.Start, m.Dur, m.Bytes, m.Kind = append(m.Start, gpu[r]+500), append(m.Dur, 1800), append(m.Bytes, 64), append(m.Kind, profile.CopyDtoH)
				m.Src, m.Dst, m.Queue = append(m.Src, profile.MemDevice), append(m.Dst, profile.MemPinned), append(m.Queue, queue[r])
				m.Correlation, m.Call, m.GraphNode = append(m.Correlation, corr), append(m.Call, profile.None), append(m.GraphNode, 0)
				host[r] += 6000
				wait := max(3000, gpu[r]+2300-host[r])
				g.call(g.sync, worker[r], host[r], wait)
				host[r] += wait
				gpu[r] += 2300
			}
			p.Ranges.Dur[mark+r] = host[r] - p.Ranges.Start[mark+r]
			last = max(last, host[r])
		}
		g.rng(p.Strings.ID("schedule: update_from_output"), core, last+30_000, 90_000)
		at, ends[s] = last+150_000, last
	}
	p.Window = interval.Span{End: at + 1_000_000}
	for r := range ranks {
		c := profile.Counter{Device: b.Device(int64(r)), Name: "SMs Active [Throughput %]", Unit: "percent"}
		for t := int64(0); t < at; t += 100_000 {
			c.Times, c.Values = append(c.Times, t), append(c.Values, int64(40+g.r.IntN(50)-r))
		}
		p.Counters = append(p.Counters, c)
	}
	p.Sort()
	p.Join()
	run := &serving.Run{Trace: &serving.Trace{}}
	for i := range 3 * steps {
		first := i * steps / (3 * steps)
		end := min(steps-1, first+4+i%7)
		start := ends[first] - 1_500_000 - int64(i%5)*400_000
		q := serving.Request{ID: fmt.Sprintf("chatcmpl-%d", i), Clock: serving.ClockUnix, StartNS: unix + start, E2ENS: ends[end] - start, QueueNS: 300_000 + int64(i%4)*500_000,
			TTFTNS: 2_500_000 + int64(i%6)*300_000, PromptTokens: 512, OutputTokens: int64(end - first)}
		if i%11 == 3 {
			q.QueueNS, q.TTFTNS = -1, -1 // a span without the engine's attributes
		}
		run.Trace.Requests = append(run.Trace.Requests, q)
	}
	return p, run
}
