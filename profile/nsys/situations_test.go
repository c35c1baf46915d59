package nsys

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stepscope/stepscope/internal/proftest/scale"
	"github.com/stepscope/stepscope/internal/proftest/sqlitewriter"
	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
)

type row = sqlitewriter.Row

// Tables of the situations, short.
const (
	kernels  = tabKernel
	runtimes = tabRuntime
	nvtx     = tabNVTX
)

// global returns nsys' id of a thread; thread 0 is the process.
func global(pid, tid int64) int64 { return 1<<48 | pid<<24 | tid }

// read opens an export that was written for the test.
func read(t *testing.T, f *sqlitewriter.File) *profile.Profile {
	t.Helper()
	p, err := Open(t.Context(), f.Write(t), Options{Debug: func(s string) { t.Error(s) }})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// diagnostics lists what the reader says of the capture, as "count text".
func diagnostics(p *profile.Profile, source string) []string {
	var out []string
	for _, d := range p.Diagnostics {
		if d.Source == source {
			out = append(out, fmt.Sprintf("%s %d %s", d.Severity, d.Count, d.Text))
		}
	}
	return out
}

func missing(p *profile.Profile) []string {
	var out []string
	for _, m := range p.NotRecorded {
		out = append(out, m.What)
	}
	return out
}

func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// decode writes the same small capture in the layout of any version: two processes that use the same correlation ids, a
// kernel in a graph, a copy, a set, a sync, ranges of every style.
func decode(version string) *sqlitewriter.File {
	f := sqlitewriter.New(version).
		Strings("", "void gemm<(int)4>(float *)", "gemm", "_Z4gemmILi4EEvPf", "cudaLaunchKernel_v7000", "cuLaunchKernelEx", "registered range", "worker").
		Insert(kernels,
			row{"start": 1100, "end": 1400, "deviceId": 0, "contextId": 1, "streamId": 7, "correlationId": 5, "globalPid": global(100, 0), "demangledName": 1, "shortName": 2,
				"mangledName": 3, "launchType": 1, "registersPerThread": 64, "gridX": 8, "gridY": 2, "gridZ": 1, "blockX": 128, "blockY": 1, "blockZ": 1,
				"staticSharedMemory": 1024, "dynamicSharedMemory": 2048},
			row{"start": 1500, "end": 1600, "deviceId": 1, "contextId": 1, "streamId": 7, "correlationId": 5, "globalPid": global(200, 0), "demangledName": 1, "shortName": 2,
				"mangledName": 3, "launchType": 1, "gridX": 8, "gridY": 2, "gridZ": 1, "blockX": 128, "blockY": 1, "blockZ": 1, "graphNodeId": int64(9)<<32 | 3}).
		Insert(tabMemcpy, row{"start": 900, "end": 950, "deviceId": 0, "contextId": 1, "streamId": 7, "correlationId": 6, "globalPid": global(100, 0), "bytes": 4096, "copyKind": 1, "srcKind": 1, "dstKind": 2}).
		Insert(tabMemset, row{"start": 960, "end": 970, "deviceId": 0, "contextId": 1, "streamId": 7, "correlationId": 7, "globalPid": global(100, 0), "bytes": 256, "memKind": 2}).
		Insert(runtimes,
			row{"start": 1000, "end": 1010, "eventClass": 0, "globalTid": global(100, 101), "correlationId": 5, "nameId": 4, "returnValue": 0},
			row{"start": 1200, "end": 1220, "eventClass": 1, "globalTid": global(200, 201), "correlationId": 5, "nameId": 5, "returnValue": 700}).
		Insert(tabSync, row{"start": 1300, "end": 1450, "deviceId": 0, "contextId": 1, "streamId": 7, "correlationId": 8, "globalPid": global(100, 0), "syncType": 3}).
		Insert(nvtx,
			row{"start": -500, "eventType": 75, "text": "CCCL", "globalTid": global(100, 101), "domainId": 1},
			row{"start": 980, "end": 1500, "eventType": 59, "text": "inline range", "globalTid": global(100, 101), "domainId": 0},
			row{"start": 990, "end": 1020, "eventType": 59, "textId": 6, "globalTid": global(100, 101), "domainId": 1},
			row{"start": 1000, "end": 1700, "eventType": 60, "text": "request", "globalTid": global(100, 101), "endGlobalTid": global(100, 102)},
			row{"start": 1100, "eventType": 34, "text": "a mark", "globalTid": global(100, 101)},
			row{"start": 1150, "eventType": 59, "text": "still open", "globalTid": global(200, 201)},
			row{"start": 1160, "eventType": 33, "text": "a category", "globalTid": global(200, 201), "category": 4},
			row{"start": 1170, "eventType": 39, "text": "scheduler", "globalTid": global(200, 201)},
			row{"start": 1180, "eventType": 76, "globalTid": global(100, 101), "domainId": 1}).
		Insert("PROCESSES", row{"globalPid": global(100, 0), "pid": 100, "name": "VLLM::EngineCor"}, row{"globalPid": global(200, 0), "pid": 200, "name": "VLLM::Worker_TP"},
			row{"globalPid": global(300, 0), "pid": 300, "name": "bystander"}).
		Insert("ThreadNames", row{"nameId": 7, "priority": 20, "globalTid": global(100, 101)}, row{"nameId": 7, "priority": 20, "globalTid": global(300, 301)}).
		Insert(tabSession, row{"utcEpochNs": 1795505853510315999}).
		Insert(tabAnalysis, row{"globalVid": int64(1) << 48, "duration": 2000, "startTime": 107791920299, "stopTime": 107791922299}).
		Insert(tabGPU, row{"vmId": int64(1) << 48, "id": 0, "name": "NVIDIA H100 80GB HBM3", "smCount": 132, "memoryBandwidth": 3352320000000, "chipName": "GH100", "computeMajor": 9},
			row{"vmId": int64(1) << 48, "id": 1, "name": "NVIDIA H100 80GB HBM3", "smCount": 132, "memoryBandwidth": 3352320000000, "chipName": "GH100", "computeMajor": 9}).
		Insert(tabCudaDev, row{"gpuId": 0, "cudaId": 0, "pid": 100}, row{"gpuId": 1, "cudaId": 1, "pid": 200})
	return f
}

// Every version tells the same story.
func TestEveryVersion(t *testing.T) {
	for _, v := range sqlitewriter.Versions {
		t.Run(v.Schema, func(t *testing.T) {
			p := read(t, decode(v.Schema))
			same(t, "producer", "Nsight Systems "+v.Nsys, p.Producer)
			same(t, "schema", v.Schema, p.Schema)
			same(t, "window", interval.Span{Start: 0, End: 2000}, p.Window)
			same(t, "wall clock", int64(1795505853510315999), p.SessionStartUnixNs)
			same(t, "devices", []string{"0 NVIDIA H100 80GB HBM3 132 3352320000000", "1 NVIDIA H100 80GB HBM3 132 3352320000000"}, deviceLines(p))
			same(t, "processes", "100 VLLM::EngineCor, 200 VLLM::Worker_TP", processLine(p))
			same(t, "threads", []string{"100/101 worker", "100/102 ", "200/201 scheduler"}, threadLines(p))

			k := &p.Kernels
			same(t, "kernel times", [][]int64{{1100, 1500}, {300, 100}}, [][]int64{k.Start, k.Dur})
			same(t, "kernel name", "void gemm<(int)4>(float *)", p.FuncName(0))
			f := p.Funcs[k.Func[0]]
			same(t, "other names", []string{"gemm", "_Z4gemmILi4EEvPf"}, []string{p.Strings.At(f.Short), p.Strings.At(f.Mangled)})
			same(t, "shape", profile.LaunchConfig{Grid: [3]int32{8, 2, 1}, Block: [3]int32{128, 1, 1}, Registers: 64, StaticShared: 1024, DynamicShared: 2048, LaunchType: 1},
				p.Configs[k.Config[0]])
			same(t, "graph nodes", []uint64{0, 9<<32 | 3}, k.GraphNode)
			same(t, "launches", []string{"cudaLaunchKernel_v7000", "cuLaunchKernelEx"}, []string{p.CallName(int(k.Call[0])), p.CallName(int(k.Call[1]))})
			q := p.Queues[k.Queue[0]]
			same(t, "queue", [3]int64{1, 7, -1}, [3]int64{q.Context, q.Stream, q.GreenCtx})

			c := &p.Copies
			same(t, "copies", []any{[]int64{4096}, []profile.CopyKind{profile.CopyHtoD}, []profile.MemKind{profile.MemPinned}, []profile.MemKind{profile.MemDevice}},
				[]any{c.Bytes, c.Kind, c.Src, c.Dst})
			same(t, "sets", []any{[]int64{256}, []profile.MemKind{profile.MemDevice}}, []any{p.Memsets.Bytes, p.Memsets.Mem})
			same(t, "calls", []any{[]profile.CallClass{profile.RuntimeAPI, profile.DriverAPI}, []int32{0, 700}}, []any{p.Calls.Class, p.Calls.Result})
			same(t, "syncs", []profile.SyncKind{profile.SyncStream}, p.Syncs.Kind)
			same(t, "ranges", []string{
				"980+520 pushpop inline range", "990+30 pushpop CCCL:registered range", "1000+700 startend request ends on 100/102",
				"1100+0 mark a mark", "1150+-1 pushpop still open",
			}, rangeLines(p))
			same(t, "rows of ranges", profile.Rows{2, 3, 4, 5, 6}, p.Ranges.Row)
			same(t, "reader", []string(nil), diagnostics(p, "reader"))
		})
	}
}

func deviceLines(p *profile.Profile) (out []string) {
	for _, d := range p.Devices {
		out = append(out, fmt.Sprint(d.ID, " ", d.Name, " ", d.SMs, " ", d.BandwidthBps))
	}
	return out
}

func processLine(p *profile.Profile) string {
	var out []string
	for _, x := range p.Processes {
		out = append(out, fmt.Sprint(x.PID, " ", x.Name))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func threadLines(p *profile.Profile) (out []string) {
	for i := range p.Threads {
		out = append(out, threadName(p, int32(i))+" "+p.Threads[i].Name)
	}
	slices.Sort(out)
	return out
}

func threadName(p *profile.Profile, i int32) string {
	return fmt.Sprintf("%d/%d", p.Processes[p.Threads[i].Process].PID, p.Threads[i].TID)
}

func rangeLines(p *profile.Profile) (out []string) {
	for i := range p.Ranges.Start {
		kind := [...]string{"pushpop", "startend", "mark"}[p.Ranges.Kind[i]]
		text := p.Strings.At(p.Ranges.Text[i])
		if d := p.Ranges.Domain[i]; d != profile.None {
			text = p.Domains[d].Name + ":" + text
		}
		if e, ok := p.Ranges.EndThread[int32(i)]; ok {
			text += " ends on " + threadName(p, e)
		}
		out = append(out, fmt.Sprintf("%d+%d %s %s", p.Ranges.Start[i], p.Ranges.Dur[i], kind, text))
	}
	return out
}

// Rows come in any order; where they came from stays on record.
func TestUnsortedRows(t *testing.T) {
	f := sqlitewriter.New("3.20.3").Strings("k", "call").Insert(kernels,
		row{"start": 300, "end": 310, "demangledName": 0, "correlationId": 3, "globalPid": global(1, 0)}, row{"start": 100, "end": 120, "demangledName": 0, "correlationId": 1, "globalPid": global(1, 0)},
		row{"start": 200, "end": 230, "demangledName": 0, "correlationId": 2, "globalPid": global(1, 0)}).
		Insert(runtimes, row{"start": 30, "end": 31, "nameId": 1, "correlationId": 3, "globalTid": global(1, 2)}, row{"start": 20, "end": 21, "nameId": 1, "correlationId": 2, "globalTid": global(1, 2)},
			row{"start": 10, "end": 11, "nameId": 1, "correlationId": 1, "globalTid": global(1, 2)}).
		Insert(nvtx, row{"start": 9, "end": 19, "eventType": 60, "text": "late", "globalTid": global(1, 2), "endGlobalTid": global(1, 3)},
			row{"start": 2, "end": 3, "eventType": 59, "text": "early", "globalTid": global(1, 2)}, row{"start": 5, "end": 6, "eventType": 60, "text": "middle", "globalTid": global(1, 2), "endGlobalTid": global(1, 4)})
	p := read(t, f)
	same(t, "kernels", []any{[]int64{100, 200, 300}, []int64{20, 30, 10}, []uint32{1, 2, 3}, profile.Rows{2, 3, 1}, []int32{0, 1, 2}},
		[]any{p.Kernels.Start, p.Kernels.Dur, p.Kernels.Correlation, p.Kernels.Row, p.Kernels.Call})
	same(t, "calls", profile.Rows{3, 2, 1}, p.Calls.Row)
	same(t, "ranges", []string{"2+1 pushpop early", "5+1 startend middle ends on 1/4", "9+10 startend late ends on 1/3"}, rangeLines(p))
}

// Rows that contradict themselves are left out and counted; the others stay, with their place in the file.
func TestDroppedRows(t *testing.T) {
	f := sqlitewriter.New("3.20.3").Strings("k").Insert(kernels,
		row{"start": 100, "end": 90, "demangledName": 0},
		row{"start": nil, "end": 90, "demangledName": 0},
		row{"start": 100, "end": nil, "demangledName": 0},
		row{"start": "soon", "end": 90, "demangledName": 0},
		row{"start": []byte{1}, "end": 90, "demangledName": 0},
		row{"start": 100.5, "end": 190, "demangledName": 0},
		row{"start": int64(math.MinInt64), "end": 90, "demangledName": 0},
		row{"start": 0, "end": int64(math.MaxInt64), "demangledName": 0},
		row{"start": int64(math.MinInt64), "end": int64(math.MaxInt64), "demangledName": 0},
		row{"start": 200.0, "end": 250, "demangledName": 0},
		row{"start": 300, "end": 300, "demangledName": 0},
		row{"start": 100, "end": 110, "demangledName": "k", "gridX": "wide", "correlationId": int64(1) << 40, "streamId": nil, "deviceId": "x", "gridY": int64(1) << 40},
	).Insert(tabMetrics, row{"timestamp": 5, "typeId": 1, "metricId": 1, "value": "high"}, row{"timestamp": 6, "typeId": 1, "metricId": 1, "value": 7})
	p := read(t, f)
	same(t, "starts", []int64{100, 200, 300}, p.Kernels.Start)
	same(t, "rows", profile.Rows{12, 10, 11}, p.Kernels.Row)
	same(t, "correlation", uint32(0), p.Kernels.Correlation[0])
	same(t, "grid", [3]int32{}, p.Configs[p.Kernels.Config[0]].Grid)
	same(t, "name of a row that has none", "", p.FuncName(0))
	same(t, "reader", []string{
		"warning 1 table CUPTI_ACTIVITY_KIND_KERNEL: left out rows that end before they start",
		"warning 3 table CUPTI_ACTIVITY_KIND_KERNEL: left out rows with a time out of range",
		"warning 3 table CUPTI_ACTIVITY_KIND_KERNEL: left out rows with a time that is no integer",
		"warning 2 table CUPTI_ACTIVITY_KIND_KERNEL: left out rows without a time",
		"warning 1 table GPU_METRICS: left out rows with a value that is no integer",
	}, diagnostics(p, "reader"))
}

// Fixtures of other tools hold a few tables of a few columns.
func TestTrimmedFile(t *testing.T) {
	f := sqlitewriter.New("2.9.1").Strings("gemm", "cudaLaunchKernel_v7000").
		Table(kernels, "start", "end", "shortName", "correlationId").
		Table(runtimes, "start", "end", "nameId", "correlationId", "globalTid").
		Table(nvtx, "start", "end", "text").
		Insert(kernels, row{"start": 10, "end": 30, "shortName": 0, "correlationId": 1}, row{"start": 40, "end": 50, "shortName": 0, "correlationId": 2}).
		Insert(runtimes, row{"start": 5, "end": 6, "nameId": 1, "correlationId": 1, "globalTid": global(77, 78)}).
		Insert(nvtx, row{"start": 1, "end": 60, "text": "step"})
	p := read(t, f)
	same(t, "name", "gemm", p.FuncName(0))
	same(t, "launches: one is missing, which is ordinary", []int32{0, profile.None}, p.Kernels.Call)
	same(t, "processes", "77 ", processLine(p))
	same(t, "ranges", []string{"1+59 pushpop step"}, rangeLines(p))
	same(t, "window", interval.Span{Start: 1, End: 60}, p.Window)
	same(t, "missing", []string{"cpu-scheduling", "device-info", "gpu-metrics", "library-calls", "memory-usage", "os-runtime", "process-names", "wall-clock", "window"}, missing(p))
	same(t, "devices", []string{"0  0 0"}, deviceLines(p))
	if !p.Devices[0].NotInDeviceList {
		t.Error("a device that nothing describes should say so")
	}
}

func TestMissingColumnLeavesTableOut(t *testing.T) {
	f := sqlitewriter.New("3.20.3").Table(kernels, "start", "demangledName").Insert(kernels, row{"start": 10}).
		Table(tabMetrics, "timestamp", "value").Insert(tabMetrics, row{"timestamp": 1, "value": 2})
	p := read(t, f)
	same(t, "reader", []string{"warning 0 table CUPTI_ACTIVITY_KIND_KERNEL has no column end and is left out",
		"warning 0 table GPU_METRICS has no column typeId and is left out"}, diagnostics(p, "reader"))
	same(t, "kernels", 0, p.Kernels.Len())
}

// Lazy exports leave tables without data out, so next to nothing may be there.
func TestLittleData(t *testing.T) {
	for name, f := range map[string]*sqlitewriter.File{
		"versions only": sqlitewriter.New("3.20.3"),
		"empty tables":  sqlitewriter.New("3.20.3").Table(kernels).Table(runtimes).Table(nvtx).Table(tabMetrics).Table("StringIds").Table(tabGPU),
		"NVTX only":     sqlitewriter.New("3.20.3").Insert(nvtx, row{"start": 5, "end": 9, "eventType": 59, "text": "x", "globalTid": global(1, 2)}),
		"CPU only":      sqlitewriter.New("3.20.3").Strings("read").Insert(tabOSRT, row{"start": 5, "end": 9, "globalTid": global(1, 2), "nameId": 0}),
	} {
		t.Run(name, func(t *testing.T) {
			p := read(t, f)
			if !p.Lacks(profile.WhatKernels) || !p.Lacks(profile.WhatCalls) {
				t.Errorf("kernels and calls must be listed as not recorded: %v", missing(p))
			}
			if got := p.Lacks(profile.WhatRanges); got != (name != "NVTX only") {
				t.Errorf("ranges listed as not recorded: %v", got)
			}
			if got := p.Lacks(profile.WhatOSCalls); got != (name != "CPU only") {
				t.Errorf("OS calls listed as not recorded: %v", got)
			}
		})
	}
}

// CUDA ordinals are a process's own: CUDA_VISIBLE_DEVICES changes them.
func TestVisibleDevices(t *testing.T) {
	gpus := func() *sqlitewriter.File {
		f := sqlitewriter.New("3.20.3").Strings("k")
		for id := range 8 {
			f.Insert(tabGPU, row{"id": id, "name": fmt.Sprint("card ", id), "smCount": 100 + id})
		}
		return f
	}
	at := func(pid int64, device int) row {
		return row{"start": 10, "end": 20, "deviceId": device, "globalPid": global(pid, 0), "demangledName": 0}
	}
	for _, c := range []struct {
		name string
		file *sqlitewriter.File
		want []string
	}{
		{"one process, one card of eight", gpus().Insert(kernels, at(1, 0)).Insert(tabCudaDev, row{"gpuId": 3, "cudaId": 0, "pid": 1}), []string{"0 card 3 103 0"}},
		{"two processes call two cards 0", gpus().Insert(kernels, at(1, 0), at(2, 0)).Insert(tabCudaDev,
			row{"gpuId": 5, "cudaId": 0, "pid": 1}, row{"gpuId": 3, "cudaId": 0, "pid": 2}), []string{"3 card 3 103 0", "5 card 5 105 0"}},
		{"two processes call one card differently", gpus().Insert(kernels, at(1, 0), at(2, 3)).Insert(tabCudaDev,
			row{"gpuId": 3, "cudaId": 0, "pid": 1}, row{"gpuId": 3, "cudaId": 3, "pid": 2}), []string{"3 card 3 103 0"}},
		{"no mapping", gpus().Insert(kernels, at(1, 2), at(1, 1)), []string{"1 card 1 101 0", "2 card 2 102 0"}},
		{"a mapping without a card", gpus().Insert(kernels, at(1, 2)).Insert(tabCudaDev, row{"gpuId": nil, "cudaId": 2, "pid": 1}), []string{"2 card 2 102 0"}},
		{"no device work", gpus(), []string{"0 card 0 100 0", "1 card 1 101 0", "2 card 2 102 0", "3 card 3 103 0", "4 card 4 104 0", "5 card 5 105 0", "6 card 6 106 0", "7 card 7 107 0"}},
	} {
		t.Run(c.name, func(t *testing.T) { same(t, "devices", c.want, deviceLines(read(t, c.file))) })
	}
}

// Where TARGET_INFO_GPU is absent, newer exports still describe the GPUs as JSON among the system's properties.
func TestGPUInfo(t *testing.T) {
	info := `{"Gpus":[{"Id":0,"Name":"NVIDIA L4","ChipName":"AD104","L2CacheSize":50331648,"TotalMemory":"23609475072",
		"MemoryBandwidth":"300096000000","ClockRate":2040000000,"SmCount":58,"ComputeMajor":8,"ComputeMinor":9,"Uuid":"x"}]}`
	f := sqlitewriter.New("3.25.0").Strings("k").Insert(kernels, row{"start": 1, "end": 2, "deviceId": 0, "globalPid": global(1, 0), "demangledName": 0}).
		Insert(tabSystemEnv, row{"name": "HostName", "value": "secret-host"}, row{"name": "GpuInfo", "value": info})
	p := read(t, f)
	same(t, "device", profile.Device{Name: "NVIDIA L4", UUID: "x", Chip: "AD104", SMs: 58, ClockHz: 2040000000, MemoryBytes: 23609475072,
		BandwidthBps: 300096000000, L2Bytes: 50331648, ComputeMajor: 8, ComputeMinor: 9}, p.Devices[0])
	if p.Lacks(profile.WhatDeviceInfo) {
		t.Error("the device is described")
	}
}

// Nothing that may be secret reaches the profile: not the environment, not the command line, not what the server printed.
func TestSecretsStayOut(t *testing.T) {
	const secret = "hf_notforyoureyes"
	f := decode("3.20.3").
		Strings("/streams/pid_100_stdout.log", "Authorization: Bearer "+secret, "key="+secret).
		Insert("ProcessStreams", row{"globalPid": global(100, 0), "filenameId": 8, "contentId": 9}).
		Insert("ANALYSIS_FILE", row{"id": 1, "filename": "/home/" + secret, "contentId": 10, "globalPid": global(100, 0)}).
		Insert(tabMetaCap, row{"name": "PROCESS_0:ENVIRONMENT_VARIABLE", "value": "HF_TOKEN=" + secret},
			row{"name": "PROCESS_0:COMMAND", "value": secret}, row{"name": "PROCESS_0:ARGUMENT_3", "value": "--api-key=" + secret},
			row{"name": "PROCESS_0:WORKING_DIR", "value": "/home/" + secret}, row{"name": "CAPTURE_EVENT_TYPE", "value": secret},
			row{"name": "PROCESS_0:CUDA_GRAPH_TRACE_OPTIONS:MODE", "value": secret}).
		Insert(tabSystemEnv, row{"name": "HostName", "value": secret}).
		Insert(tabMetaExp, row{"name": "EXPORT_HOST", "value": secret}, row{"name": "EXPORT_USER", "value": secret}, row{"name": "DERIVED_FROM", "value": "/" + secret})
	p := read(t, f)
	if dump := fmt.Sprintf("%+v", p); strings.Contains(dump, secret) {
		at := strings.Index(dump, secret)
		t.Errorf("the profile holds a secret: ...%s...", dump[max(0, at-80):at+20])
	}
	if p.Capture.Derived == "" {
		t.Error("a file that was cut out of another must say so")
	}
}

func TestCaptureOptions(t *testing.T) {
	for _, prefix := range []string{"", "PROCESS_0:"} {
		f := sqlitewriter.New("3.20.3").Insert(tabMetaCap, row{"name": prefix + "CUDA_GRAPH_TRACE_OPTIONS:MODE", "value": "Node"},
			row{"name": "CAPTURE_EVENT_TYPE", "value": "OSRuntime"}, row{"name": "CAPTURE_EVENT_TYPE", "value": "NvtxEvents"}, row{"name": "CAPTURE_EVENT_TYPE", "value": "Cuda"}).
			Insert(tabDiag, row{"timestamp": 0, "severity": 1, "text": "Profiling started due to cudaProfilerStart API invoked in the application."},
				row{"timestamp": 0, "severity": 2, "text": "Not all CUDA events might have been collected."}, row{"timestamp": 0, "severity": 2, "text": "Not all CUDA events might have been collected."},
				row{"timestamp": 0, "severity": 3, "text": strings.Repeat("long ", 500)}, row{"timestamp": 0, "severity": 4, "text": "verbose"})
		p := read(t, f)
		same(t, "options", profile.CaptureOptions{GraphTrace: "node", Trace: "cuda,nvtx,osrt", Range: "cudaProfilerApi"}, p.Capture)
		if p.Lacks(profile.WhatOSCalls) {
			t.Error("OS calls were traced; that there are none is a result")
		}
		got := diagnostics(p, "profiler")
		if len(got) != 2 || got[0] != "warning 2 Not all CUDA events might have been collected." || !strings.HasPrefix(got[1], "error 1 long long") || len(got[1]) > 450 {
			t.Errorf("diagnostics: %q", got)
		}
	}
}

// At graph granularity a launch is one row, and kernels inside graphs are not recorded.
func TestGraphTraces(t *testing.T) {
	f := sqlitewriter.New("3.20.3").Strings("cudaGraphLaunch_v10000").
		Insert(tabGraph, row{"start": 20, "end": 90, "deviceId": 0, "streamId": 7, "correlationId": 4, "globalPid": global(1, 0), "graphId": 421, "graphExecId": 422}).
		Insert(runtimes, row{"start": 5, "end": 10, "globalTid": global(1, 2), "correlationId": 4, "nameId": 0}).
		Insert(tabGraphEv, row{"start": -300, "end": -299, "eventClass": 95, "globalTid": global(1, 2), "graphId": 421},
			row{"start": -200, "end": -190, "eventClass": 94, "globalTid": global(1, 2), "graphId": 421, "graphExecId": 422},
			row{"start": -100, "end": nil, "eventClass": 96, "graphId": 423})
	p := read(t, f)
	g, e := &p.GraphTraces, &p.GraphEvents
	same(t, "traces", []any{[]int64{421}, []int64{422}, []int32{0}}, []any{g.Graph, g.Exec, g.Call})
	same(t, "events", []any{[]int64{-300, -200, -100}, []int64{1, 10, 0}, []profile.GraphEventKind{profile.GraphCreated, profile.GraphInstantiated, profile.GraphCloned},
		[]int64{421, 422, 423}, []int32{0, 0, profile.None}}, []any{e.Start, e.Dur, e.Kind, e.Graph, e.Thread})
	if !p.Lacks(profile.WhatGraphNodes) || p.Lacks(profile.WhatKernels) {
		t.Errorf("not recorded: %v", missing(p))
	}
}

// Node events lead from an executable's node to the captured one; older exports keep them among the graph events.
func TestGraphNodeEvents(t *testing.T) {
	exec, captured := int64(422)<<32|5, int64(421)<<32|5
	for version, table := range map[string]string{"3.20.3": tabNodeEv, "3.6.0": tabGraphEv} {
		f := sqlitewriter.New(version).Insert(table,
			row{"start": -100, "end": -100, "eventClass": 77, "globalTid": global(1, 2), "graphNodeId": captured},
			row{"start": -50, "end": -50, "eventClass": 77, "globalTid": global(1, 2), "graphNodeId": exec, "originalGraphNodeId": captured})
		e := &read(t, f).GraphEvents
		same(t, version, []any{[]profile.GraphEventKind{profile.GraphNodeCreated, profile.GraphNodeCreated}, []uint64{uint64(captured), uint64(exec)}, []uint64{0, uint64(captured)}},
			[]any{e.Kind, e.Node, e.Original})
	}
}

// Metrics of one type share their sample times; ids are unique only together with the type, whose low byte is the GPU.
func TestMetrics(t *testing.T) {
	typ := func(gpu int64) int64 { return 281479271677952 + gpu }
	f := sqlitewriter.New("3.20.3").
		Insert(tabGPU, row{"id": 0, "name": "card 0"}, row{"id": 1, "name": "card 1"}).
		Insert(tabMetricIn, row{"typeId": typ(1), "metricId": 0, "metricName": "GPC Clock Frequency [MHz]"}, row{"typeId": typ(1), "metricId": 1, "metricName": "DRAM Read Bandwidth [Throughput %]"},
			row{"typeId": typ(0), "metricId": 1, "metricName": "Compute Warps in Flight [Avg]"})
	for i, at := range []int64{-41000, 59000, 159000} {
		f.Insert(tabMetrics, row{"timestamp": at, "typeId": typ(1), "metricId": 0, "value": 1979740000}, row{"timestamp": at, "typeId": typ(1), "metricId": 1, "value": 10 * i})
	}
	f.Insert(tabMetrics, row{"timestamp": 70, "typeId": typ(0), "metricId": 1, "value": 5}, row{"timestamp": 30, "typeId": typ(0), "metricId": 1, "value": 4},
		row{"timestamp": 159001, "typeId": typ(1), "metricId": 7, "value": 3})
	p := read(t, f)
	var got []string
	for _, c := range p.Counters {
		got = append(got, fmt.Sprint(p.Devices[c.Device].Name, " ", c.Name, " ", c.Unit, " ", c.Times, " ", c.Values))
	}
	same(t, "counters", []string{
		"card 0 Compute Warps in Flight [Avg] count [30 70] [4 5]",
		"card 1 GPC Clock Frequency [MHz] hz [-41000 59000 159000] [1979740000 1979740000 1979740000]",
		"card 1 DRAM Read Bandwidth [Throughput %] percent [-41000 59000 159000] [0 10 20]",
		"card 1  count [159001] [3]",
	}, got)
	if &p.Counters[1].Times[0] != &p.Counters[2].Times[0] {
		t.Error("sample times are kept twice")
	}
}

// The numbers of enumerations are the file's own where it names them.
func TestEnumerations(t *testing.T) {
	f := sqlitewriter.New("3.20.3").
		Table(tabEnumMem, "id INTEGER PRIMARY KEY", "name TEXT").Table(tabEnumCopy, "id INTEGER PRIMARY KEY", "name TEXT").
		Insert(tabEnumMem, row{"id": 2, "name": "CUDA_MEMOPR_MEMORY_KIND_PINNED"}, row{"id": 1, "name": "CUDA_MEMOPR_MEMORY_KIND_PAGEABLE"}, row{"id": 12, "name": "CUDA_MEMOPR_MEMORY_KIND_DEVICE"}).
		Insert(tabEnumCopy, row{"id": 1, "name": "CUDA_MEMCPY_KIND_HTOD"}, row{"id": 77, "name": "CUDA_MEMCPY_KIND_NEW"}).
		Insert(tabMemcpy, row{"start": 1, "end": 2, "copyKind": 1, "srcKind": 2, "dstKind": 12}, row{"start": 2, "end": 3, "copyKind": 77, "srcKind": 1, "dstKind": nil})
	c := &read(t, f).Copies
	same(t, "kinds", []any{[]profile.CopyKind{profile.CopyHtoD, profile.CopyUnknown}, []profile.MemKind{profile.MemPinned, profile.MemPageable},
		[]profile.MemKind{profile.MemDevice, profile.MemUnknown}}, []any{c.Kind, c.Src, c.Dst})
}

func TestMemoryAndHostSpans(t *testing.T) {
	f := sqlitewriter.New("3.24.14").Strings("Buffer flush", "read", "cublasGemmEx", "cudnnConvolutionForward").
		Insert(tabMemUse, row{"start": 5, "globalPid": global(1, 0), "deviceId": 0, "address": 4096, "bytes": 100, "memKind": 2, "memoryOperationType": 0},
			row{"start": 9, "globalPid": global(1, 0), "deviceId": 0, "address": 4096, "bytes": 100, "memKind": 2, "memoryOperationType": 1, "name": "weights", "localMemoryPoolSize": 7}).
		Insert(tabOverhead, row{"start": 7, "end": 9, "globalTid": global(1, 2), "nameId": 0}).
		Insert(tabCuptiOver, row{"start": 3, "end": 4, "nameId": 0}).
		Insert(tabOSRT, row{"start": 1, "end": 2, "globalTid": global(1, 2), "nameId": 1}).
		Insert(tabCublas, row{"start": 20, "end": 30, "globalTid": global(1, 2), "nameId": 2}).
		Insert(tabCudnn, row{"start": 10, "end": 15, "globalTid": global(1, 2), "nameId": 3})
	p := read(t, f)
	m := &p.MemEvents
	same(t, "memory", []any{[]bool{false, true}, []int64{-1, 7}, []string{"", "weights"}}, []any{m.Free, m.PoolBytes, []string{p.Strings.At(m.Name[0]), p.Strings.At(m.Name[1])}})
	lines := func(s *profile.Spans) (out []string) {
		for i := range s.Start {
			out = append(out, fmt.Sprint(s.Start[i], "+", s.Dur[i], " ", p.Strings.At(s.Name[i]), " ", s.Thread[i], " row ", s.Row.At(i)))
		}
		return out
	}
	same(t, "overhead", []string{"3+1 Buffer flush -1 row 1", "7+2 Buffer flush 0 row 1"}, lines(&p.Overheads))
	same(t, "OS", []string{"1+1 read 0 row 1"}, lines(&p.OSCalls))
	same(t, "library", []string{"10+5 cudnnConvolutionForward 0 row 1", "20+10 cublasGemmEx 0 row 1"}, lines(&p.LibCalls))
}

// Bounds that nothing lies in describe another clock; events made before the recording have negative times and do not
// extend it.
func TestWindow(t *testing.T) {
	kernel := func(start int64) row { return row{"start": start, "end": start + 10} }
	for _, c := range []struct {
		name     string
		file     *sqlitewriter.File
		want     interval.Span
		recorded bool
	}{
		{"bounds", sqlitewriter.New("3.20.3").Insert(kernels, kernel(-900), kernel(50)).Insert(tabAnalysis, row{"duration": 400}), interval.Span{Start: 0, End: 400}, true},
		{"none", sqlitewriter.New("3.20.3").Insert(kernels, kernel(-900), kernel(50)), interval.Span{Start: 50, End: 60}, false},
		{"elsewhere", sqlitewriter.New("3.20.3").Insert(kernels, kernel(5000)).Insert(tabAnalysis, row{"duration": 400}), interval.Span{Start: 5000, End: 5010}, false},
		{"negative", sqlitewriter.New("3.20.3").Insert(kernels, kernel(50)).Insert(tabAnalysis, row{"duration": -4}), interval.Span{Start: 50, End: 60}, false},
		{"cut out of another file", sqlitewriter.New("3.20.3").Insert(kernels, kernel(1050)).Insert(tabAnalysis, row{"duration": 9000}).
			Insert(tabMetaExp, row{"name": "DERIVED_WINDOW_NS", "value": "1000..1200"}), interval.Span{Start: 1000, End: 1200}, true},
		{"wall clock", sqlitewriter.New("3.20.3").Insert(kernels, kernel(1795505853510315999+50)).Insert(tabAnalysis, row{"duration": 400}).
			Insert(tabSession, row{"utcEpochNs": 1795505853510315999}).Insert(tabMetaExp, row{"name": "EXPORT_PARAM_TIME_NORMALIZE", "value": "true"}),
			interval.Span{Start: 1795505853510315999, End: 1795505853510315999 + 400}, true},
		{"shifted", sqlitewriter.New("3.20.3").Insert(kernels, kernel(1050)).Insert(tabAnalysis, row{"duration": 400}).
			Insert(tabMetaExp, row{"name": "EXPORT_PARAM_TIME_SHIFT", "value": "1000"}), interval.Span{Start: 1000, End: 1400}, true},
	} {
		p := read(t, c.file)
		if p.Window != c.want || p.Lacks(profile.WhatWindow) == c.recorded {
			t.Errorf("%s: window %v, recorded %v", c.name, p.Window, !p.Lacks(profile.WhatWindow))
		}
	}
}

// Names come from the program: the reader keeps them as they are, whatever they hold.
func TestStrangeNames(t *testing.T) {
	names := []string{"<script>alert(1)</script>", "bell\x07 and\x1b[31m red", "bad \xff\xfe bytes", strings.Repeat("long", 20000), "null\x00inside"}
	f := sqlitewriter.New("3.20.3").Strings(names...)
	for i := range names {
		f.Insert(kernels, row{"start": i, "end": i + 1, "demangledName": i})
		f.Insert(nvtx, row{"start": i, "end": i + 1, "eventType": 59, "text": names[i], "globalTid": global(1, 2)})
	}
	f.Insert(nvtx, row{"start": 9, "end": 10, "eventType": 59, "textId": 4711, "globalTid": global(1, 2)}, row{"start": 9, "end": 10, "eventType": 59, "textId": -7, "globalTid": global(1, 2)})
	p := read(t, f)
	for i, n := range names {
		if p.FuncName(i) != n || p.Strings.At(p.Ranges.Text[i]) != n {
			t.Errorf("name %q came as %q and %q", n, p.FuncName(i), p.Strings.At(p.Ranges.Text[i]))
		}
	}
	same(t, "names of ids that do not exist", "", p.Strings.At(p.Ranges.Text[5])+p.Strings.At(p.Ranges.Text[6]))
}

// A file can claim any number of processes, devices, streams and threads.
func TestManyProcesses(t *testing.T) {
	n := 100_000
	if scale.Race {
		n = 2000
	}
	f := sqlitewriter.New("3.20.3")
	for i := range int64(n) {
		f.Insert(kernels, row{"start": i, "end": i + 1, "deviceId": i, "streamId": -i, "globalPid": i << 24, "correlationId": i, "demangledName": i * i})
		f.Insert(runtimes, row{"start": i, "end": i + 1, "globalTid": i<<24 | 5, "correlationId": i, "nameId": -i})
	}
	p := read(t, f)
	if p.Kernels.Len() != n || len(p.Devices) != n || len(p.Threads) != n {
		t.Errorf("%d kernels, %d devices, %d threads", p.Kernels.Len(), len(p.Devices), len(p.Threads))
	}
	same(t, "launch", int32(n-1), p.Kernels.Call[n-1])
}
