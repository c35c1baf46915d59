package nsys

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/profile/nsys/btree"
)

// reader turns the tables of one export into a profile.
type reader struct {
	src      source
	p        *profile.Profile
	b        *profile.Builder
	name     string // for messages
	progress func(stage string, done, total int64)

	mu      sync.Mutex
	dropped map[string]int64 // reason -> rows
	strings stringIDs
	gpuOf   map[[2]int64]int64 // (pid, CUDA ordinal) -> GPU id
}

// loader reads one table and returns what adds it to the profile. Loaders run concurrently, the returned functions one
// after the other in the order of the list.
type loader struct {
	table string
	load  func(context.Context, *reader) (merge func(), err error)
}

var loaders = []loader{
	{tabNVTX, loadRanges}, {tabRuntime, loadCalls}, {tabKernel, loadKernels}, {tabOSRT, loadOSCalls},
	{tabMemcpy, loadCopies}, {tabMemset, loadMemsets}, {tabSync, loadSyncs}, {tabGraph, loadGraphTraces},
	{tabMetrics, loadMetrics}, {tabNodeEv, loadNodeEvents}, {tabGraphEv, loadGraphEvents}, {tabMemUse, loadMemEvents},
	{tabOverhead, loadOverheads}, {tabCublas, loadLibrary(tabCublas)}, {tabCudnn, loadLibrary(tabCudnn)},
}

// read fills the profile.
func (r *reader) read(ctx context.Context) error {
	if err := r.readMeta(ctx); err != nil {
		return err
	}
	var jobs []loader
	for _, l := range loaders {
		if r.src.has(l.table) {
			jobs = append(jobs, l)
		}
	}
	merges := make([]func(), len(jobs))
	errs := make([]error, len(jobs))
	next := make(chan int, len(jobs))
	for i := range jobs {
		next <- i
	}
	close(next)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var done int64
	for range min(len(jobs), runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := range next {
				if ctx.Err() != nil {
					errs[i] = ctx.Err()
					continue
				}
				merges[i], errs[i] = jobs[i].load(ctx, r)
				if errs[i] != nil {
					cancel()
				}
				r.mu.Lock()
				done++
				if r.progress != nil {
					r.progress("reading "+r.name, done, int64(len(jobs)))
				}
				r.mu.Unlock()
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, m := range merges {
		m()
	}
	return r.finish(ctx)
}

// finish names what the rows referred to and checks the result.
func (r *reader) finish(ctx context.Context) error {
	if err := r.readNames(ctx); err != nil {
		return err
	}
	if err := r.readDiagnostics(ctx); err != nil {
		return err
	}
	r.p.Sort()
	r.p.Join()
	r.window()
	r.listMissing()
	reasons := make([]string, 0, len(r.dropped))
	for why := range r.dropped {
		reasons = append(reasons, why)
	}
	slices.Sort(reasons)
	for _, why := range reasons {
		r.p.Diagnostics = append(r.p.Diagnostics, profile.Diagnostic{Severity: profile.Warning, Source: "reader", Text: "rows dropped: " + why, Count: r.dropped[why]})
	}
	if err := r.p.CheckValid(); err != nil {
		return fmt.Errorf("reading %s: %w: %w", r.name, profile.ErrMalformed, err)
	}
	return nil
}

func (r *reader) drop(table, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropped[table+": "+why]++
}

// span checks a row's times. Rows that contradict themselves are dropped: nothing can be concluded from them.
func (r *reader) span(table string, start, end int64, kindStart, kindEnd btree.Kind) (dur int64, ok bool) {
	switch {
	case kindStart != btree.Int || kindEnd != btree.Int:
		r.drop(table, "the time is no integer")
	case start > profile.MaxTime || start < -profile.MaxTime || end > profile.MaxTime || end < -profile.MaxTime:
		r.drop(table, "the time is out of range")
	case end < start:
		r.drop(table, "it ends before it starts")
	default:
		return end - start, true
	}
	return 0, false
}

// pid and tid take nsys' global ids apart.
func pidOf(global int64) int64 { return global >> 24 & 0xffffff }
func tidOf(global int64) int64 { return global & 0xffffff }

// queueKey is a queue as rows name it.
type queueKey struct{ globalPid, device, context, green, stream int64 }

func (r *reader) queue(k queueKey) int32 {
	pid := pidOf(k.globalPid)
	return r.b.Queue(profile.Queue{Process: r.b.Process(pid), Device: r.b.Device(r.gpu(pid, k.device)), Context: k.context, GreenCtx: k.green, Stream: k.stream})
}

// gpu translates a process's CUDA ordinal, which CUDA_VISIBLE_DEVICES changes, into the GPU's id on the machine.
func (r *reader) gpu(pid, ordinal int64) int64 {
	if id, ok := r.gpuOf[[2]int64{pid, ordinal}]; ok {
		return id
	}
	return ordinal
}

func (r *reader) thread(globalTid int64) int32 { return r.b.Thread(pidOf(globalTid), tidOf(globalTid)) }

// window takes the bounds of the recording from the capture; where it has none, from the events after time 0.
func (r *reader) window() {
	p := r.p
	if !p.Window.Empty() {
		return
	}
	w := interval.Span{}
	grow := func(start, dur []int64) {
		for i, s := range start {
			if s < 0 {
				continue
			}
			if w.Empty() {
				w = interval.Span{Start: s, End: s + max(1, dur[i])}
			}
			w.Start, w.End = min(w.Start, s), max(w.End, s+max(0, dur[i]))
		}
	}
	grow(p.Kernels.Start, p.Kernels.Dur)
	grow(p.Copies.Start, p.Copies.Dur)
	grow(p.Memsets.Start, p.Memsets.Dur)
	grow(p.GraphTraces.Start, p.GraphTraces.Dur)
	grow(p.Calls.Start, p.Calls.Dur)
	grow(p.Ranges.Start, p.Ranges.Dur)
	p.Window = w
	p.NotRecorded = append(p.NotRecorded, profile.Missing{What: profile.WhatWindow, Text: "the bounds of the recording; the first and last event stand in"})
}

// listMissing names what the export lacks with the option that would record it.
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
	if p.OSCalls.Len() == 0 {
		add(profile.WhatOSCalls, "OS runtime calls", "nsys profile -t osrt")
	}
	if p.LibCalls.Len() == 0 {
		add(profile.WhatLibCalls, "cuBLAS and cuDNN calls", "nsys profile -t cublas,cudnn")
	}
	if len(p.Counters) == 0 {
		add(profile.WhatCounters, "GPU metrics (SM, tensor and DRAM activity)", "nsys profile --gpu-metrics-devices=all")
	}
	if p.MemEvents.Len() == 0 {
		add(profile.WhatMemEvents, "device memory allocations", "nsys profile --cuda-memory-usage=true")
	}
	if !r.src.has(tabSched) && !r.src.has(tabCallchain) {
		add(profile.WhatSchedEvents, "CPU scheduling and samples", "nsys profile --sample=process-tree --cpuctxsw=process-tree")
	}
	if !r.src.has(tabGPU) {
		add(profile.WhatDeviceInfo, "the GPU's properties", "--gpu NAME")
	}
	if p.SessionStartUnixNs == 0 {
		add(profile.WhatWallClock, "the wall-clock time of the capture's start", "")
	}
	slices.SortStableFunc(p.NotRecorded, func(x, y profile.Missing) int { return cmp.Compare(x.What, y.What) })
}
