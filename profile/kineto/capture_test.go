package kineto

import (
	"context"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/internal/proftest"
	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
)

// kinetoOracle holds the totals that were computed from the trace without code of this module.
type kinetoOracle struct {
	KernelCount int   `json:"kernel_count"`
	KernelSum   int64 `json:"kernel_sum_ns"`
	Devices     map[string]struct {
		KernelBusy  int64 `json:"union_kernel_busy_ns"`
		Busy        int64 `json:"union_kernel_memcpy_memset_busy_ns"`
		FirstKernel int64 `json:"first_kernel_start"`
		LastKernel  int64 `json:"last_kernel_end"`
		FirstGPU    int64 `json:"first_gpu_start"`
		LastGPU     int64 `json:"last_gpu_end"`
	} `json:"devices"`
	Window struct {
		Start    int64 `json:"start"`
		End      int64 `json:"end"`
		Duration int64 `json:"duration_ns"`
	} `json:"profile_window"`
	Memcpy map[string]struct {
		Count int   `json:"count"`
		Bytes int64 `json:"bytes"`
		Ns    int64 `json:"ns"`
	} `json:"memcpy_by_kind"`
	Calls int `json:"runtime_api_rows"`
	Top8  []struct {
		Name  string `json:"name"`
		Count int    `json:"count"`
		Total int64  `json:"total_ns"`
	} `json:"runtime_api_top8_by_time"`
	Joined      int `json:"kernels_with_matching_runtime_row"`
	GraphCalls  int `json:"cuda_graph_launch_calls"`
	FromGraphs  int `json:"kernels_from_graph_launches"`
	Annotations int `json:"step_annotations"`
	ByText      []struct {
		Text  string `json:"text"`
		Count int    `json:"count"`
	} `json:"step_annotations_by_text"`
	GPUAnnotations int64            `json:"gpu_user_annotations"`
	Categories     map[string]int   `json:"event_categories"`
	Flows          map[string]int64 `json:"ac2g_flow_events"`
}

// TestCapture compares a real vLLM trace of an H100 with independent totals, to the nanosecond.
// Source: shared/captures/base8b-kineto-A, see README.md there.
func TestCapture(t *testing.T) {
	dir := proftest.SharedCapture(t, "base8b-kineto-A")
	var want kinetoOracle
	proftest.Oracle(t, "base8b-kineto-A", &want)
	d := openDocument(t, filepath.Join(dir, "trace.json.gz"), Options{})
	p := d.b.p
	equal := func(what string, got, want int64) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	if p.Window.Start != 0 {
		t.Errorf("window starts at %d", p.Window.Start)
	}
	equal("window", p.Window.Dur(), want.Window.Duration)
	equal("session start", p.SessionStartUnixNs, 1790857026000000000+want.Window.Start)
	equal("kernels", int64(p.Kernels.Len()), int64(want.KernelCount))
	equal("kernel sum", sum(p.Kernels.Dur), want.KernelSum)

	kernels := spans(p.Kernels.Start, p.Kernels.Dur)
	all := append(append(spans(p.Copies.Start, p.Copies.Dur), spans(p.Memsets.Start, p.Memsets.Dur)...), kernels...)
	dev := want.Devices["0"]
	ku, gu := interval.Union(kernels), interval.Union(all)
	equal("kernel busy", ku.Total(), dev.KernelBusy)
	equal("GPU busy", gu.Total(), dev.Busy)
	equal("first kernel", ku.Bounds().Start, dev.FirstKernel-want.Window.Start)
	equal("last kernel", ku.Bounds().End, dev.LastKernel-want.Window.Start)
	equal("first device work", gu.Bounds().Start, dev.FirstGPU-want.Window.Start)
	equal("last device work", gu.Bounds().End, dev.LastGPU-want.Window.Start)

	kinds := map[string]profile.CopyKind{"DtoD": profile.CopyDtoD, "DtoH": profile.CopyDtoH, "HtoD": profile.CopyHtoD}
	mem := map[string]profile.MemKind{"Device": profile.MemDevice, "Pinned": profile.MemPinned}
	copies := 0
	for name, w := range want.Memcpy {
		kind := kinds[name[:4]]
		src, dst, _ := strings.Cut(strings.Trim(name[5:], "()"), " -> ")
		var n int
		var bytes, ns int64
		for i, k := range p.Copies.Kind {
			if k == kind && p.Copies.Src[i] == mem[src] && p.Copies.Dst[i] == mem[dst] {
				n++
				bytes += p.Copies.Bytes[i]
				ns += p.Copies.Dur[i]
			}
		}
		equal(name+" count", int64(n), int64(w.Count))
		equal(name+" bytes", bytes, w.Bytes)
		equal(name+" ns", ns, w.Ns)
		copies += w.Count
	}
	equal("copies", int64(p.Copies.Len()), int64(copies))

	equal("calls", int64(p.Calls.Len()), int64(want.Calls))
	byName := map[string][2]int64{}
	for i := range p.Calls.Start {
		v := byName[p.CallName(i)]
		byName[p.CallName(i)] = [2]int64{v[0] + 1, v[1] + p.Calls.Dur[i]}
	}
	for _, w := range want.Top8 {
		equal(w.Name+" count", byName[w.Name][0], int64(w.Count))
		equal(w.Name+" ns", byName[w.Name][1], w.Total)
	}
	equal("graph launches", byName["cudaGraphLaunch"][0], int64(want.GraphCalls))

	joined, graph := 0, 0
	for i, c := range p.Kernels.Call {
		if c == profile.None {
			continue
		}
		joined++
		if p.CallName(int(c)) == "cudaGraphLaunch" {
			graph++
			if p.Kernels.GraphNode[i] != profile.UnknownNode {
				t.Fatalf("kernel %d of a graph launch has node %d", i, p.Kernels.GraphNode[i])
			}
		} else if p.Kernels.GraphNode[i] != 0 {
			t.Fatalf("kernel %d of an eager launch has node %d", i, p.Kernels.GraphNode[i])
		}
	}
	equal("joined kernels", int64(joined), int64(want.Joined))
	equal("kernels of graphs", int64(graph), int64(want.FromGraphs))

	equal("annotations", int64(p.Ranges.Len()), int64(want.Annotations))
	texts := map[string]int{}
	for _, id := range p.Ranges.Text {
		texts[p.Strings.At(id)]++
	}
	for _, w := range want.ByText {
		equal(w.Text, int64(texts[w.Text]), int64(w.Count))
	}
	equal("operators", int64(p.Ops.Len()), int64(want.Categories["cpu_op"]))
	equal("overheads", int64(p.Overheads.Len()), int64(want.Categories["overhead"]))
	equal("device annotations", d.b.count.deviceAnnotations, want.GPUAnnotations)
	equal("flows", d.b.count.flows, want.Flows["s"]+want.Flows["f"])
	total := want.Categories["ac2g"] - int(want.Flows["s"]+want.Flows["f"])
	for _, n := range want.Categories {
		total += n
	}
	equal("elements of traceEvents", int64(d.b.ordinal), int64(total))

	if len(p.Devices) != 1 || p.Devices[0].Name != "NVIDIA H100 80GB HBM3" || p.Devices[0].SMs != 132 || p.Devices[0].MaxWarpsPerSM != 64 {
		t.Errorf("devices: %+v", p.Devices)
	}
	if len(p.Processes) != 1 || p.Processes[0].Name != "VLLM::EngineCore" || p.Processes[0].Rank != 0 {
		t.Errorf("processes: %+v", p.Processes)
	}
	if len(p.Threads) != 1 || p.Threads[0].Name != "VLLM::EngineCor" || p.Threads[0].TID != 8630 {
		t.Errorf("threads: %+v", p.Threads)
	}
	for _, q := range p.Queues {
		if q.Process != 0 || q.Device != 0 || q.Context != 1 {
			t.Errorf("queue %+v", q)
		}
	}
	if p.Capture.Truncated || p.Capture.WithStack || !p.Capture.RecordShape || p.Capture.Derived != "" || p.Capture.GraphTrace != "node" {
		t.Errorf("capture: %+v", p.Capture)
	}
	for _, dg := range p.Diagnostics {
		if dg.Severity > profile.Info {
			t.Errorf("a clean trace has a %s: %s", dg.Severity, dg.Text)
		}
	}
}

// TestCaptureShapes follows an eager GEMM from its kernel to the operator with the shapes: kernel -> call -> operator.
func TestCaptureShapes(t *testing.T) {
	dir := proftest.SharedCapture(t, "base8b-kineto-A")
	p, err := Open(context.Background(), filepath.Join(dir, "trace.json.gz"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	ops := map[int64]int{}
	for i, e := range p.Ops.External {
		if e != 0 {
			if _, twice := ops[e]; twice {
				t.Fatalf("External id %d of two operators", e)
			}
			ops[e] = i
		}
	}
	// The LM head runs outside the graph: [32, 4096] x [4096, 128256].
	found := map[string]int{}
	for i, c := range p.Kernels.Call {
		if c == profile.None || p.Kernels.GraphNode[i] != 0 || p.Calls.External[c] == 0 {
			continue
		}
		o, ok := ops[p.Calls.External[c]]
		if !ok {
			continue // launched by an annotation itself
		}
		found[p.Strings.At(p.Ops.Name[o])+" "+p.Strings.At(p.Ops.Dims[o])+" "+p.Strings.At(p.Ops.Types[o])]++
	}
	keys := sortedKeys(found)
	sort.Strings(keys)
	const want = `aten::mm [[32,4096],[4096,128256]] ["c10::BFloat16","c10::BFloat16"]`
	if found[want] != 81 {
		t.Errorf("%d kernels of the LM head found, want one a step; operators with kernels:\n%s", found[want], strings.Join(keys, "\n"))
	}
}

func sum(v []int64) (n int64) {
	for _, x := range v {
		n += x
	}
	return n
}

func spans(start, dur []int64) []interval.Span {
	out := make([]interval.Span, len(start))
	for i, s := range start {
		out[i] = interval.Span{Start: s, End: s + dur[i]}
	}
	return out
}
