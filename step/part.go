package step

import (
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
)

// Part is one exclusive share of a step's wall time: GPU work of a stage, or GPU idleness of a cause. Ids are stable.
type Part uint8

// Parts that are no kernel stage. The stages come first, numbered as kernel.Stage.
const (
	// Graph is a whole CUDA graph recorded as one interval: its kernels are not recorded.
	Graph Part = Part(kernel.NumStages) + iota
	CopyHtoDPinned
	CopyHtoDPageable
	CopyDtoHPinned
	CopyDtoHPageable
	CopyDtoD
	CopyPeer
	CopyOther
	Memset

	// IdleLaunch: inside a step, the host had not yet launched the next work.
	IdleLaunch
	// IdleSync: inside a step, the launching thread was blocked in a synchronising call.
	IdleSync
	// IdleScheduler: between the last work of a step and the first of the next: scheduling, output handling, input
	// preparation.
	IdleScheduler
	// IdleCopy: the launching thread was blocked in a synchronous copy.
	IdleCopy
	// IdlePeer: between steps, while another rank of the pipeline ran its part of the layers.
	IdlePeer
	// IdleRequests: no request was running.
	IdleRequests
	// IdleDispatch: the work was already enqueued and the GPU was switching to it.
	IdleDispatch
	// IdleProfiler: the profiler itself held the host (buffer flush).
	IdleProfiler
	// IdleUnknown: no recorded evidence tells the cause.
	IdleUnknown

	// NumParts is the number of parts.
	NumParts = int(iota) + kernel.NumStages
)

var partNames = [NumParts]string{
	Graph: "gpu.graph", CopyHtoDPinned: "gpu.copy-htod-pinned", CopyHtoDPageable: "gpu.copy-htod-pageable",
	CopyDtoHPinned: "gpu.copy-dtoh-pinned", CopyDtoHPageable: "gpu.copy-dtoh-pageable", CopyDtoD: "gpu.copy-dtod",
	CopyPeer: "gpu.copy-peer", CopyOther: "gpu.copy-other", Memset: "gpu.memset",
	IdleLaunch: "idle.launch", IdleSync: "idle.sync", IdleScheduler: "idle.scheduler", IdleCopy: "idle.copy",
	IdlePeer: "idle.peer", IdleRequests: "idle.requests", IdleDispatch: "idle.dispatch",
	IdleProfiler: "idle.profiler", IdleUnknown: "idle.unknown",
}

// String returns the stable id, e.g. "gpu.attention" or "idle.launch".
func (p Part) String() string {
	if int(p) < kernel.NumStages {
		return "gpu." + kernel.Stage(p).String()
	}
	return partNames[p]
}

// Idle reports whether p is GPU idleness.
func (p Part) Idle() bool { return p >= IdleLaunch }

// Parts lists every part in display order: stages in the order of a step, copies, idle causes.
func Parts() []Part {
	out := make([]Part, 0, NumParts)
	for _, s := range kernel.Stages() {
		if s != kernel.Other {
			out = append(out, Part(s))
		}
	}
	for p := Graph; p < IdleLaunch; p++ {
		out = append(out, p)
	}
	out = append(out, Part(kernel.Other))
	for p := IdleLaunch; int(p) < NumParts; p++ {
		out = append(out, p)
	}
	return out
}

// Budget is wall time split into exclusive parts, in ns. The parts of a step sum to its wall exactly.
type Budget [NumParts]int64

// Total returns the sum of all parts: the wall time in ns.
func (b *Budget) Total() int64 {
	var n int64
	for _, v := range b {
		n += v
	}
	return n
}

// Busy returns the GPU time in ns.
func (b *Budget) Busy() int64 {
	var n int64
	for p, v := range b {
		if !Part(p).Idle() {
			n += v
		}
	}
	return n
}

// Idle returns the GPU idle time in ns.
func (b *Budget) Idle() int64 { return b.Total() - b.Busy() }

// Add adds o to b.
func (b *Budget) Add(o *Budget) {
	for i, v := range o {
		b[i] += v
	}
}

// copyPart names a copy by direction and host memory kind.
func copyPart(kind profile.CopyKind, src, dst profile.MemKind) Part {
	switch kind {
	case profile.CopyHtoD, profile.CopyHtoA, profile.CopyUVMHtoD:
		if src == profile.MemPageable {
			return CopyHtoDPageable
		}
		return CopyHtoDPinned
	case profile.CopyDtoH, profile.CopyAtoH, profile.CopyUVMDtoH:
		if dst == profile.MemPageable {
			return CopyDtoHPageable
		}
		return CopyDtoHPinned
	case profile.CopyDtoD, profile.CopyAtoA, profile.CopyAtoD, profile.CopyDtoA, profile.CopyUVMDtoD:
		return CopyDtoD
	case profile.CopyPtoP:
		return CopyPeer
	}
	return CopyOther
}

// rank is the precedence of a part where several run at once: compute owns the instant before communication, and
// communication before copies and fills, so that collectives and copies count only where they are exposed. Within one
// rank the work that started first owns it.
func (p Part) rank() int32 {
	switch {
	case p == Part(kernel.Collective):
		return 2
	case p == Part(kernel.Copy):
		return 3
	case p < Part(kernel.NumStages):
		return 4
	case p == Graph:
		return 3
	case p == CopyPeer:
		return 2
	}
	return 1
}
