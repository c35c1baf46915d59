package kineto

import (
	"errors"
	"fmt"
	"io"

	"github.com/stepscope/stepscope/profile"
)

// note adds a message of the reader.
func (b *builder) note(sev profile.Severity, n int64, format string, args ...any) {
	b.p.Diagnostics = append(b.p.Diagnostics, profile.Diagnostic{
		Severity: sev, Source: "reader", Text: fmt.Sprintf(format, args...), Count: n,
	})
}

// diagnose says what was dropped, repaired or missing.
func (d *document) diagnose() {
	b := d.b
	p, c := b.p, &b.count
	for _, l := range d.meta.errors {
		p.Diagnostics = append(p.Diagnostics, profile.Diagnostic{Severity: profile.Error, Source: "profiler", Text: l})
	}
	for _, l := range d.meta.warnings {
		p.Diagnostics = append(p.Diagnostics, profile.Diagnostic{Severity: profile.Warning, Source: "profiler", Text: l})
	}
	switch {
	case d.fault == nil:
	case errors.Is(d.fault, errTruncated) || !errors.Is(d.fault, errSyntax) && !errors.Is(d.fault, errDeep):
		b.note(profile.Warning, 0, "the trace is cut off: %v at byte %d, after %d complete events; what follows is not recorded",
			d.fault, d.where, b.ordinal)
	default:
		b.note(profile.Error, 0, "the trace is damaged: %v at byte %d, after %d complete events; what follows was not read",
			d.fault, d.where, b.ordinal)
	}
	switch {
	case d.tail == '{' || d.tail == '[':
		b.note(profile.Warning, 0, "a second document begins at byte %d and was not read; split the file to see it", d.tailA)
	case d.tail != 0:
		b.note(profile.Warning, 0, "text behind the end of the trace, from byte %d, was not read", d.tailA)
	}
	if err := d.src.err; d.fault == nil && d.tail == 0 && err != nil && !errors.Is(err, io.EOF) {
		b.note(profile.Warning, 0, "the trace is complete, but %v", d.readError(err))
	}
	if !d.found && d.fault == nil {
		b.note(profile.Error, 0, "the file has no traceEvents array")
	}
	for _, m := range []struct {
		n    int64
		sev  profile.Severity
		text string
	}{
		{c.noTime, profile.Warning, "events without a readable timestamp were dropped"},
		{c.hugeTime, profile.Warning, "events with a timestamp or duration beyond 70 years were dropped"},
		{c.negativeDur, profile.Warning, "negative durations were set to 0"},
		{c.noDur, profile.Warning, "events without a readable duration were given 0"},
		{c.clampedDur, profile.Warning, "durations longer than the recording were cut at its end"},
		{c.unpaired, profile.Warning, "begin or end events without a partner: annotations stay open, other events were dropped"},
		{c.notObjects, profile.Warning, "elements of traceEvents that are no events were skipped"},
		{c.oversized, profile.Warning, "events larger than 64 MiB were skipped"},
		{c.oddText, profile.Warning, "names with invalid UTF-8 or control characters were repaired"},
		{c.otherPhase, profile.Info, "events of other kinds (counters, async events) were skipped"},
		{c.deviceAnnotations, profile.Info, "copies of annotations on the device track were skipped: an annotation counts once, on the host"},
	} {
		if m.n > 0 {
			b.note(m.sev, m.n, "%s", m.text)
		}
	}
	if c.frames > 0 && !b.opt.Stacks {
		b.note(profile.Info, c.frames, "Python frames were skipped; recording them slows the host, so host times here are too long")
	} else if d.meta.stacks || c.frames > 0 {
		b.note(profile.Info, c.frames, "the profiler recorded Python frames, which slows the host: host times here are too long")
	}
	if len(c.unknown) > 0 {
		n := int64(0)
		for _, v := range c.unknown {
			n += v
		}
		b.note(profile.Info, n, "events of unknown categories were skipped: %s", list(sortedKeys(c.unknown), 8))
	}
	if d.meta.badDevices || d.meta.badDistributed {
		b.note(profile.Warning, 0, "deviceProperties or distributedInfo of the trace cannot be read")
	}
	d.checkLaunches()
}

// checkLaunches looks for launches whose device work is missing. A profiler records both or, during graph capture,
// only the call; where many are missing, a tool cut the file out of a larger one and dropped the neighbours' kernels.
func (d *document) checkLaunches() {
	b, p := d.b, d.b.p
	if p.Kernels.Len() == 0 {
		return
	}
	launch := make([]uint8, p.Strings.Len())
	for id := range launch {
		switch name := p.Strings.At(profile.StringID(id)); {
		case isLaunch(name):
			launch[id] = 1
		case name == "cudaStreamBeginCapture" || name == "hipStreamBeginCapture":
			launch[id] = 2
		case name == "cudaStreamEndCapture" || name == "hipStreamEndCapture":
			launch[id] = 3
		}
	}
	type callKey struct {
		process int32
		corr    uint32
	}
	used := make([]bool, p.Calls.Len())
	for _, call := range [][]int32{p.Kernels.Call, p.Copies.Call, p.Memsets.Call} {
		for _, c := range call {
			if c != profile.None {
				used[c] = true
			}
		}
	}
	done := map[callKey]bool{} // ids of launches with work, where a runtime and a driver call share one
	capturing := map[int32]bool{}
	var total, lost int64
	for pass := range 2 {
		for i, name := range p.Calls.Name {
			k := callKey{p.Threads[p.Calls.Thread[i]].Process, p.Calls.Correlation[i]}
			switch launch[name] {
			case 1:
				if pass == 0 {
					if used[i] {
						done[k] = true
					}
					continue
				}
				if capturing[p.Calls.Thread[i]] || k.corr == 0 {
					continue
				}
				total++
				if !used[i] && !done[k] {
					lost++
				}
			case 2, 3:
				if pass == 1 {
					capturing[p.Calls.Thread[i]] = launch[name] == 2
				}
			}
		}
	}
	if lost > 8 && lost*20 > total {
		why := fmt.Sprintf("%d of %d launches have no device work in the file", lost, total)
		b.note(profile.Warning, lost, "%s: the file was cut, so times without kernels are not recorded rather than idle", why)
		if d.fault == nil && p.Capture.Derived == "" {
			p.Capture.Derived = why
		}
	}
}

// listMissing says what the trace does not hold and what would record it.
func (d *document) listMissing() {
	p := d.b.p
	add := func(missing bool, what, text, remedy string) {
		if missing {
			p.NotRecorded = append(p.NotRecorded, profile.Missing{What: what, Text: text, Remedy: remedy})
		}
	}
	launches := false
	for id := range p.Strings.Len() {
		launches = launches || isGraphLaunch(p.Strings.At(profile.StringID(id)))
	}
	add(p.Kernels.Len() == 0, profile.WhatKernels, "the trace holds no kernels",
		"profile the process that runs the model, with activities CPU and CUDA (a front end's trace has host events only)")
	add(p.Kernels.Len() > 0 && launches && !hasGraphNodes(p), profile.WhatGraphNodes,
		"graph launches are recorded, the kernels inside them are not", "a newer CUPTI or ROCm records kernels of graphs one by one")
	add(p.Calls.Len() == 0, profile.WhatCalls, "the trace holds no runtime or driver calls", "record with activities CPU and CUDA")
	add(p.Ranges.Len() == 0, profile.WhatRanges, "the trace holds no annotations", "record with activities CPU and CUDA; vLLM and "+
		"SGLang annotate steps when their profiler is on")
	add(!p.Capture.RecordShape && !hasShapes(p), profile.WhatShapes, "operators have no shapes",
		"vLLM: --profiler-config with torch_profiler_record_shapes true; SGLang: record_shapes in /start_profile")
	add(p.Frames.Len() == 0, profile.WhatStacks, "Python frames are not here", "")
	add(p.Syncs.Len() == 0, profile.WhatSyncs, "synchronisations are recorded as host calls only",
		"torch.profiler's _ExperimentalConfig(enable_cuda_sync_events=True)")
	add(p.MemEvents.Len() == 0, profile.WhatMemEvents, "allocations are not recorded", "vLLM: torch_profiler_with_memory true")
	named := false
	for _, v := range p.Devices {
		named = named || v.Name != ""
	}
	add(!named, profile.WhatDeviceInfo, "the trace does not name the device", "say it: --gpu NAME")
	add(true, profile.WhatOSCalls, "the PyTorch profiler does not record OS calls", "nsys with -t osrt")
	add(true, profile.WhatLibCalls, "the PyTorch profiler does not record library calls", "nsys with -t cublas,cudnn")
	add(true, profile.WhatCounters, "the PyTorch profiler does not sample GPU metrics", "nsys with --gpu-metrics-devices")
	add(true, profile.WhatSchedEvents, "the PyTorch profiler does not record CPU scheduling", "nsys with --cpuctxsw=process-tree")
	kinds := 0
	for i := range p.Copies.Src {
		if p.Copies.Src[i] == profile.MemUnknown || p.Copies.Dst[i] == profile.MemUnknown {
			kinds++
		}
	}
	add(kinds > 0, profile.WhatCopyDetail, fmt.Sprintf("%d copies do not tell pageable from pinned memory", kinds), "")
	unnamed := len(p.Processes) > 0
	for _, pr := range p.Processes {
		unnamed = unnamed && pr.Name == ""
	}
	add(unnamed, profile.WhatProcessNames, "processes have no names in the trace", "")
}

func hasShapes(p *profile.Profile) bool {
	for _, d := range p.Ops.Dims {
		if d != 0 {
			return true
		}
	}
	return false
}
