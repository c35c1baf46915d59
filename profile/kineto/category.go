package kineto

import (
	"strings"

	"github.com/stepscope/stepscope/profile"
)

// category is what an event is about.
type category uint8

const (
	unknownCategory category = iota
	kernelEvent
	copyEvent
	memsetEvent
	runtimeCall
	driverCall
	operator
	annotation
	deviceAnnotation
	pythonFrame
	syncEvent
	overhead
	traceSpan
	instantEvent
	flow
	// ignored is for what Kineto writes and serving does not need.
	ignored
)

// categories are the names of the field "cat": of today's Kineto, then of the traces of 2021.
var categories = map[string]category{
	"kernel":              kernelEvent,
	"gpu_memcpy":          copyEvent,
	"gpu_memset":          memsetEvent,
	"cuda_runtime":        runtimeCall,
	"cuda_driver":         driverCall,
	"cpu_op":              operator,
	"user_annotation":     annotation,
	"gpu_user_annotation": deviceAnnotation,
	"python_function":     pythonFrame,
	"cuda_sync":           syncEvent,
	"overhead":            overhead,
	"Trace":               traceSpan,
	"cpu_instant_event":   instantEvent,
	"ac2g":                flow,
	"fwdbwd":              flow,
	"cuda_event":          ignored,
	"collective_comm":     ignored,

	"Kernel":              kernelEvent,
	"Memcpy":              copyEvent,
	"Memset":              memsetEvent,
	"Runtime":             runtimeCall,
	"Operator":            operator,
	"async":               flow,
	"async_cpu_to_gpu":    flow,
	"async_gpu":           flow,
	"forward_backward":    flow,
	"cuda_profiler_range": ignored,
}

// categoryOf looks name up. Backends other than CUDA add runtimes and drivers of their own (hip_runtime,
// xpu_runtime, privateuse1_driver).
func categoryOf(name string) category {
	if c, ok := categories[name]; ok {
		return c
	}
	switch {
	case strings.HasSuffix(name, "_runtime"):
		return runtimeCall
	case strings.HasSuffix(name, "_driver"):
		return driverCall
	}
	return unknownCategory
}

// copyName is what the name of a copy says: "Memcpy HtoD (Pinned -> Device)".
type copyName struct {
	kind     profile.CopyKind
	src, dst profile.MemKind
	read     bool
}

var copyKinds = []struct {
	text string
	kind profile.CopyKind
}{
	{"HtoD", profile.CopyHtoD}, {"DtoH", profile.CopyDtoH}, {"HtoA", profile.CopyHtoA}, {"AtoH", profile.CopyAtoH},
	{"AtoA", profile.CopyAtoA}, {"AtoD", profile.CopyAtoD}, {"DtoA", profile.CopyDtoA}, {"DtoD", profile.CopyDtoD},
	{"HtoH", profile.CopyHtoH}, {"PtoP", profile.CopyPtoP},
	{"HostToDevice", profile.CopyHtoD}, {"DeviceToHost", profile.CopyDtoH}, {"DeviceToDevice", profile.CopyDtoD},
	{"HostToHost", profile.CopyHtoH}, {"PeerToPeer", profile.CopyPtoP},
	{"HOST_TO_DEVICE", profile.CopyHtoD}, {"DEVICE_TO_HOST", profile.CopyDtoH}, {"DEVICE_TO_DEVICE", profile.CopyDtoD},
	{"M2D", profile.CopyHtoD}, {"D2M", profile.CopyDtoH}, {"D2D", profile.CopyDtoD},
}

var memKinds = map[string]profile.MemKind{
	"Pageable":       profile.MemPageable,
	"Pinned":         profile.MemPinned,
	"Device":         profile.MemDevice,
	"Array":          profile.MemArray,
	"Managed":        profile.MemManaged,
	"Device Static":  profile.MemDeviceStatic,
	"Managed Static": profile.MemManagedStatic,
}

func memKind(s string) profile.MemKind {
	if k, ok := memKinds[strings.TrimSpace(s)]; ok {
		return k
	}
	return profile.MemUnknown // "Host" of ROCm may be pinned or not
}

func parseCopyName(name string) copyName {
	c := copyName{src: profile.MemUnknown, dst: profile.MemUnknown, read: true}
	for _, k := range copyKinds {
		if strings.Contains(name, k.text) {
			c.kind = k.kind
			break
		}
	}
	if src, dst, ok := strings.Cut(parenthesised(name), "->"); ok {
		c.src, c.dst = memKind(src), memKind(dst)
	}
	return c
}

func parenthesised(name string) string {
	_, s, ok := strings.Cut(name, "(")
	if !ok {
		return ""
	}
	s, _, _ = strings.Cut(s, ")")
	return s
}

// syncKind reads the name of a synchronisation: "Event Synchronize", "Stream Wait Event", "Stream Sync",
// "Context Synchronize".
func syncKind(name string) profile.SyncKind {
	n := strings.ToLower(name)
	switch {
	case strings.Contains(n, "wait"):
		return profile.SyncStreamWait
	case strings.Contains(n, "event"):
		return profile.SyncEvent
	case strings.Contains(n, "stream"):
		return profile.SyncStream
	case strings.Contains(n, "context"), strings.Contains(n, "device"):
		return profile.SyncContext
	}
	return profile.SyncUnknown
}

// isLaunch reports whether a host call of this name starts kernels: cudaLaunchKernel and its variants,
// cuLaunchKernelEx, hipExtModuleLaunchKernel, graph launches.
func isLaunch(name string) bool {
	return strings.Contains(name, "LaunchKernel") || strings.Contains(name, "LaunchCooperative") || isGraphLaunch(name)
}

func isGraphLaunch(name string) bool { return strings.Contains(name, "GraphLaunch") }
