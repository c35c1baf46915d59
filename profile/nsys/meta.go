package nsys

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
)

// eventTypes translates CAPTURE_EVENT_TYPE into the names of nsys' own -t option.
var eventTypes = map[string]string{
	"Cuda": "cuda", "NvtxEvents": "nvtx", "OSRuntime": "osrt", "CuBLAS": "cublas", "CuDNN": "cudnn", "CuSparse": "cusparse",
	"CuSolver": "cusolver", "MPI": "mpi", "UCX": "ucx", "OpenACC": "openacc", "OpenMP": "openmp", "Vulkan": "vulkan",
	"OpenGL": "opengl", "NvVideo": "nvvideo", "Python": "python-gil", "Syscall": "syscall",
}

// readMeta reads what describes the capture as a whole: versions, options, devices, bounds. Of the capture's metadata only
// the keys named here are looked at: the same table holds the environment and the command line.
func (r *reader) readMeta(ctx context.Context) error {
	p := r.p
	r.readEnums(ctx)
	shift, normalised := int64(0), false
	var derived interval.Span
	for _, table := range []string{tabMetaOld, tabMetaExp} {
		r.each(ctx, table, nil, []string{"name", "value"}, func(_ []int64, s []string) {
			switch s[0] {
			case "EXPORT_PRODUCT_VERSION":
				p.Producer = "Nsight Systems " + trimVersion(shorten(s[1], 40))
			case "EXPORT_SCHEMA_VERSION":
				p.Schema = shorten(s[1], 40)
			case "EXPORT_PARAM_TIME_SHIFT":
				shift, _ = strconv.ParseInt(s[1], 10, 64)
			case "EXPORT_PARAM_TIME_NORMALIZE":
				normalised = s[1] == "true"
			case "DERIVED_FROM":
				p.Capture.Derived = "a third party"
			case "DERIVED_WINDOW_NS":
				p.Capture.Derived = "a third party"
				derived = twoNumbers(s[1])
			}
		})
	}
	r.each(ctx, tabMetaCap, nil, []string{"name", "value"}, func(_ []int64, s []string) {
		switch {
		case strings.HasSuffix(s[0], "CUDA_GRAPH_TRACE_OPTIONS:MODE"):
			if mode := strings.ToLower(s[1]); mode == "node" || mode == "graph" {
				p.Capture.GraphTrace = mode
			}
		case s[0] == "CAPTURE_EVENT_TYPE":
			if r.traced == nil {
				r.traced = map[string]bool{}
			}
			if t := eventTypes[s[1]]; t != "" {
				r.traced[t] = true
			}
		}
	})
	var traced []string
	for t := range r.traced {
		traced = append(traced, t)
	}
	slices.Sort(traced)
	p.Capture.Trace = strings.Join(traced, ",")
	r.readDevices(ctx)
	r.each(ctx, tabSession, []string{"utcEpochNs"}, nil, func(n []int64, _ []string) { p.SessionStartUnixNs = positive(n[0]) })
	if normalised && p.SessionStartUnixNs > 0 {
		// nsys export --ts-normalize: times are wall-clock times. 0 would say that the wall clock is not recorded.
		shift += p.SessionStartUnixNs
		p.SessionStartUnixNs = 1
	}
	if shift < -profile.MaxTime/2 || shift > profile.MaxTime/2 {
		shift = 0
	}
	// The bounds start at 0: what was made before a capture range was opened has negative times.
	r.each(ctx, tabAnalysis, []string{"duration"}, nil, func(n []int64, _ []string) {
		if n[0] > 0 && n[0] <= profile.MaxTime/2 {
			p.Window = interval.Span{Start: shift, End: max(p.Window.End, shift+n[0])}
		}
	})
	if !derived.Empty() {
		// Outside of the cut nothing is left, which does not mean that nothing happened.
		p.Window = derived
	}
	return ctx.Err()
}

// twoNumbers returns the span between the first two numbers of a text, an empty one if there is none.
func twoNumbers(s string) interval.Span {
	var n []int64
	for _, f := range strings.FieldsFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '-' }) {
		if v, err := strconv.ParseInt(f, 10, 64); err == nil && v > -profile.MaxTime && v < profile.MaxTime {
			n = append(n, v)
		}
	}
	if len(n) != 2 || n[1] <= n[0] {
		return interval.Span{}
	}
	return interval.Span{Start: n[0], End: n[1]}
}

// trimVersion drops a trailing zero part: 2025.3.2.0 is known as 2025.3.2.
func trimVersion(v string) string {
	if f := strings.Split(v, "."); len(f) == 4 && f[3] == "0" {
		return strings.Join(f[:3], ".")
	}
	return v
}

// settleWindow makes sure that there are bounds: where the capture has none, or bounds that none of its device work or
// calls lies in, the first and last event stand in, which is noted.
func (r *reader) settleWindow() {
	p := r.p
	tables := []struct{ start, dur []int64 }{
		{p.Kernels.Start, p.Kernels.Dur}, {p.Copies.Start, p.Copies.Dur}, {p.Memsets.Start, p.Memsets.Dur},
		{p.GraphTraces.Start, p.GraphTraces.Dur}, {p.Calls.Start, p.Calls.Dur}, {p.Ranges.Start, p.Ranges.Dur},
	}
	events := 0
	for _, t := range tables {
		events += len(t.start)
		for i, s := range t.start {
			if s < p.Window.End && s+t.dur[i] >= p.Window.Start {
				return
			}
		}
	}
	if events == 0 && !p.Window.Empty() {
		return
	}
	var all interval.Span
	for _, t := range tables {
		for i, s := range t.start {
			e := s + max(1, t.dur[i])
			switch {
			case s < 0: // made before the recording began
			case all.Empty():
				all = interval.Span{Start: s, End: e}
			default:
				all.Start, all.End = min(all.Start, s), max(all.End, e)
			}
		}
	}
	p.Window = all
	p.NotRecorded = append(p.NotRecorded, profile.Missing{What: profile.WhatWindow, Text: "the bounds of the recording; the first and last event stand in"})
}

// listMissing names what the export lacks with the option that would record it. What was traced and did not happen is not
// missing.
func (r *reader) listMissing() {
	p := r.p
	add := func(what, text, remedy string) {
		p.NotRecorded = append(p.NotRecorded, profile.Missing{What: what, Text: text, Remedy: remedy})
	}
	if p.Kernels.Len() == 0 && p.GraphTraces.Len() == 0 {
		add(profile.WhatKernels, "GPU kernels", "nsys profile -t cuda --trace-fork-before-exec=true, and requests during the capture")
	}
	if p.GraphTraces.Len() > 0 {
		add(profile.WhatGraphNodes, "kernels inside CUDA graphs", "nsys profile --cuda-graph-trace=node")
	}
	if p.Calls.Len() == 0 {
		add(profile.WhatCalls, "CUDA API calls", "nsys profile -t cuda")
	}
	if p.Ranges.Len() == 0 {
		add(profile.WhatRanges, "NVTX ranges (the engine's step markers)", "nsys profile -t cuda,nvtx and vllm serve --profiler-config.profiler cuda")
	}
	if p.OSCalls.Len() == 0 && !r.traced["osrt"] {
		add(profile.WhatOSCalls, "OS runtime calls", "nsys profile -t osrt")
	}
	if p.LibCalls.Len() == 0 && !r.traced["cublas"] && !r.traced["cudnn"] {
		add(profile.WhatLibCalls, "cuBLAS and cuDNN calls", "nsys profile -t cublas,cudnn")
	}
	if len(p.Counters) == 0 {
		add(profile.WhatCounters, "GPU metrics (SM, tensor and DRAM activity)", "nsys profile --gpu-metrics-devices=all")
	}
	if p.MemEvents.Len() == 0 {
		add(profile.WhatMemEvents, "device memory allocations", "nsys profile --cuda-memory-usage=true")
	}
	if p.Copies.Len() > 0 && !r.src.hasColumn(tabMemcpy, "srcKind") {
		add(profile.WhatCopyDetail, "the kind of memory that copies read and wrote", "export the report again with a current nsys")
	}
	if !r.src.has(tabSched) && !r.src.has(tabCallchain) {
		add(profile.WhatSchedEvents, "CPU scheduling and samples", "nsys profile --sample=process-tree --cpuctxsw=process-tree")
	}
	if !r.devices.described {
		add(profile.WhatDeviceInfo, "the GPU's properties", "--gpu NAME")
	}
	if !r.src.has(tabProcess) {
		add(profile.WhatProcessNames, "the names of processes", "")
	}
	if p.SessionStartUnixNs == 0 {
		add(profile.WhatWallClock, "the wall-clock time of the capture's start", "")
	}
	sortMissing(p.NotRecorded)
}
