// Package profile is the one in-memory form of a recorded GPU profile, whatever tool wrote it.
//
// A Profile is columnar: each kind of event is a struct of equally long slices, times are int64 nanoseconds in the
// clock of the capture, names are ids into one string table. Readers (profile/nsys, profile/kineto) produce it and end in
// CheckValid; everything else only reads it. It guarantees:
//
//   - every table is sorted by Start (stable, so equal starts keep the file's order), and Row leads back to the
//     row or event of the input file;
//   - durations are >= 0, or Open for ranges that were still open when recording stopped;
//   - ids (strings, threads, processes, functions, configurations, queues, calls) are within their tables;
//   - correlation is joined once: Kernels.Call and its siblings index Calls, or hold None where the capture has no
//     launch row;
//   - what the capture does not hold is listed in NotRecorded and is never a zero.
//
// The package does no I/O and imports only interval.
package profile

import (
	"errors"

	"github.com/stepscope/stepscope/interval"
)

// None is the index that stands for "no such row".
const None int32 = -1

// Open is the duration of a range whose end was not recorded.
const Open int64 = -1

// Errors that readers wrap. ErrUnrecognised means the input is not of the reader's format, so another reader may try;
// ErrMalformed means it is, and is broken.
var (
	ErrUnrecognised = errors.New("not a format stepscope reads")
	ErrMalformed    = errors.New("malformed profile")
)

// Profile is one capture of one machine.
type Profile struct {
	Format   string // "nsys-sqlite", "nsys-rep", "nsys-parquet", "kineto-json"
	Producer string // the tool that recorded it with its version, e.g. "Nsight Systems 2025.3.2"; "" = not recorded
	Schema   string // version of the file's schema, e.g. "3.20.3"; "" = not recorded
	Source   string // base name of the input file, for messages

	// Window is the recorded time. It comes from the capture's own bounds, never from the first or last event, as
	// events made before a capture range was opened have earlier (negative) times.
	Window interval.Span
	// SessionStartUnixNs is the wall-clock time of capture time 0 in ns since the Unix epoch; 0 = not recorded.
	SessionStartUnixNs int64

	Capture CaptureOptions
	Strings Strings

	Processes []Process
	Threads   []Thread
	Devices   []Device
	Queues    []Queue
	Funcs     []Func
	Configs   []LaunchConfig
	Domains   []Domain

	Kernels     Kernels
	Copies      Copies
	Memsets     Memsets
	Calls       Calls
	Syncs       Syncs
	Ranges      Ranges
	Ops         Ops
	OSCalls     Spans
	LibCalls    Spans // cuBLAS and cuDNN calls
	GraphTraces GraphTraces
	GraphEvents GraphEvents
	Counters    []Counter
	MemEvents   MemEvents
	Overheads   Spans // time the profiler itself took
	Frames      Spans // Python frames (with_stack), only when asked for

	Diagnostics []Diagnostic
	NotRecorded []Missing
}

// CaptureOptions is what the capture says about how it was taken. Empty strings mean "not recorded".
type CaptureOptions struct {
	GraphTrace  string // "node", "graph" or ""
	Trace       string // the traced APIs as the tool printed them, e.g. "cuda,nvtx"
	Range       string // the capture range kind, e.g. "cudaProfilerApi"
	Derived     string // a third party cut this file out of a larger one
	WithStack   bool   // PyTorch profiler with_stack (host times are inflated)
	RecordShape bool   // PyTorch profiler record_shapes
	Truncated   bool   // the file ends early; what was read is a prefix
}

// Process is an operating-system process of the capture.
type Process struct {
	PID  int64
	Name string // as recorded: nsys keeps 15 bytes, Kineto the full title; "" = not recorded
	Rank int32  // position in a distributed job, None if not recorded
}

// Thread is a thread of a process.
type Thread struct {
	Process int32
	TID     int64
	Name    string // "" = not recorded
	// Priority is the scheduling priority as the tool recorded it; it means something only with HasPriority.
	Priority    int64
	HasPriority bool
}

// Device is a GPU. A field that the capture does not record is 0 or "".
type Device struct {
	ID              int64 // device number in the event tables (the CUDA ordinal of the traced process)
	Name            string
	UUID            string // never shown; to tell equal cards apart
	Chip            string
	SMs             int32
	ClockHz         int64
	MemoryBytes     int64
	BandwidthBps    int64 // theoretical, bytes per second
	L2Bytes         int64
	ComputeMajor    int32
	ComputeMinor    int32
	MaxWarpsPerSM   int32
	SharedMemPerSM  int64
	RegistersPerSM  int64
	SharedMemOptin  int64
	NotInDeviceList bool // only seen in events, no row describes it
}

// Queue is where device work runs in order: one stream of one context.
type Queue struct {
	Process  int32
	Device   int32 // index into Devices
	Context  int64
	GreenCtx int64 // -1 = not recorded
	Stream   int64
}

// Func is a device function.
type Func struct {
	Name    StringID // demangled, for matching
	Short   StringID // base name
	Mangled StringID
}

// LaunchConfig is the shape of a kernel launch, interned: a capture has few distinct ones.
type LaunchConfig struct {
	Grid, Block   [3]int32
	Registers     int32 // per thread
	StaticShared  int32 // bytes
	DynamicShared int32 // bytes
	LocalPerThr   int32 // bytes
	Cluster       [3]int32
	LaunchType    int32
}

// Domain is an NVTX domain.
type Domain struct {
	Process int32
	ID      int64
	Name    string
}

// Diagnostic is a message about the capture: from the profiler itself or from the reader (dropped rows, fallbacks).
type Diagnostic struct {
	Severity Severity
	Source   string // "profiler" or "reader"
	Text     string
	Count    int64 // events concerned, 0 = not counted
}

// Severity orders diagnostics.
type Severity uint8

// Severities of a Diagnostic.
const (
	Info Severity = iota
	Warning
	Error
)

// String returns the lower-case name of s.
func (s Severity) String() string {
	switch s {
	case Info:
		return "info"
	case Warning:
		return "warning"
	}
	return "error"
}

// Missing names something that the capture does not hold and the option that would record it.
type Missing struct {
	What   string // stable id, see the What constants
	Text   string // one line for people
	Remedy string // the option that would record it; "" where nothing can
}

// Ids of Missing.What.
const (
	WhatKernels      = "kernels"
	WhatGraphNodes   = "graph-nodes" // kernels inside CUDA graphs
	WhatCalls        = "api-calls"
	WhatRanges       = "nvtx"
	WhatOSCalls      = "os-runtime"
	WhatLibCalls     = "library-calls"
	WhatCounters     = "gpu-metrics"
	WhatMemEvents    = "memory-usage"
	WhatSyncs        = "sync-events"
	WhatDeviceInfo   = "device-info"
	WhatWindow       = "window"
	WhatWallClock    = "wall-clock"
	WhatShapes       = "op-shapes"
	WhatStacks       = "stacks"
	WhatCopyDetail   = "copy-memory-kind"
	WhatSchedEvents  = "cpu-scheduling"
	WhatProcessNames = "process-names"
)

// Lacks reports whether what is listed as not recorded.
func (p *Profile) Lacks(what string) bool {
	for _, m := range p.NotRecorded {
		if m.What == what {
			return true
		}
	}
	return false
}
