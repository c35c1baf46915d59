package kernel

import "strings"

// APIKind is what a host call does, as far as a step's timeline cares.
type APIKind uint8

// The kinds. APIOther is the zero value.
const (
	APIOther       APIKind = iota // none of the below
	APILaunch                     // enqueues one kernel
	APIGraphLaunch                // enqueues a graph
	APIMemcpy                     // copies, either way, blocking or not
	APIMemset                     // fills
	APISyncEvent                  // waits for an event on the host
	APISyncStream                 // waits for a stream on the host
	APISyncDevice                 // waits for a device or context on the host
	APIAlloc                      // allocates device or pinned host memory
	APIFree                       // frees it
	APIQuery                      // asks, without waiting: event and stream queries, attributes
	APIEvent                      // creates, records or destroys an event, or makes a stream wait for it
	APIModuleLoad                 // loads device code
	APIHostFunc                   // enqueues a host function
	APIGraphBuild                 // captures, instantiates or updates a graph
	APIProfiler                   // starts or stops the profiler
	APICollective                 // a collective of a communication library
	APILibrary                    // a call of a math library (cuBLAS, cuDNN, ...)

	numAPIKinds = int(iota)
)

var apiKindNames = [numAPIKinds]string{
	APIOther: "other", APILaunch: "launch", APIGraphLaunch: "graph-launch", APIMemcpy: "memcpy",
	APIMemset: "memset", APISyncEvent: "sync-event", APISyncStream: "sync-stream",
	APISyncDevice: "sync-device", APIAlloc: "alloc", APIFree: "free", APIQuery: "query",
	APIEvent: "event", APIModuleLoad: "module-load", APIHostFunc: "host-func",
	APIGraphBuild: "graph-build", APIProfiler: "profiler", APICollective: "collective", APILibrary: "library",
}

// String returns the id, for example "graph-launch".
func (k APIKind) String() string { return enumName(apiKindNames[:], uint8(k), "api kind") }

// MarshalText returns the same text as String.
func (k APIKind) MarshalText() ([]byte, error) {
	return marshalEnum(apiKindNames[:], uint8(k), "api kind")
}

// UnmarshalText accepts the ids of String.
func (k *APIKind) UnmarshalText(text []byte) error {
	return unmarshalEnum(apiKindNames[:], text, "api kind", (*uint8)(k))
}

// Sync reports whether the call makes the host wait for the device.
func (k APIKind) Sync() bool { return k == APISyncEvent || k == APISyncStream || k == APISyncDevice }

// StripAPIVersion drops what the runtime API appends to a function's name in
// traces: cudaLaunchKernel_v7000 and cudaLaunchKernel_ptsz_v7000 (per-thread
// default stream) become cudaLaunchKernel, cuMemcpyHtoDAsync_v2 becomes
// cuMemcpyHtoDAsync.
func StripAPIVersion(name string) string {
	for {
		base := name
		if i := strings.LastIndex(base, "_v"); i > 0 && i+2 < len(base) && digits(base[i+2:]) {
			base = base[:i]
		}
		base = strings.TrimSuffix(base, "_ptsz")
		base = strings.TrimSuffix(base, "_ptds")
		if base == name || base == "" {
			return name
		}
		name = base
	}
}

func digits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// Library names the library that a host call belongs to: runtime (CUDA), driver (CUDA),
// hip, hsa, cublas, cudnn, cusparse, cusolver, cufft, cutensor, nccl, nvshmem,
// nvrtc or other.
func Library(api string) string {
	for _, l := range apiLibraries {
		if rest, ok := strings.CutPrefix(api, l.prefix); ok && (!l.hump || rest != "" && rest[0] >= 'A' && rest[0] <= 'Z') {
			return l.library
		}
	}
	return "other"
}

// apiLibraries: longer prefixes first. hump wants a capital after the prefix,
// so that "cu" does not claim "cublasCreate" or "custom".
var apiLibraries = []struct {
	prefix, library string
	hump            bool
}{
	{"cublas", "cublas", false}, {"hipblas", "cublas", false}, {"rocblas", "cublas", false},
	{"cudnn", "cudnn", false}, {"miopen", "cudnn", false},
	{"cusparse", "cusparse", false}, {"cusolver", "cusolver", false}, {"cufft", "cufft", false},
	{"cutensor", "cutensor", false},
	{"nccl", "nccl", true}, {"pnccl", "nccl", true}, {"rccl", "nccl", true},
	{"nvshmem", "nvshmem", false}, {"nvrtc", "nvrtc", true}, {"hiprtc", "nvrtc", true},
	{"cuda", "runtime", true}, {"__cuda", "runtime", true},
	{"hsa_", "hsa", false}, {"hip", "hip", true}, {"__hip", "hip", true},
	{"cu", "driver", true},
}

// KindOf says what a host call does, by its name with or without version:
// CUDA runtime and driver, HIP and the usual libraries.
func KindOf(api string) APIKind {
	name := StripAPIVersion(api)
	switch Library(name) {
	case "runtime":
		name = strings.TrimPrefix(strings.TrimPrefix(name, "__cuda"), "cuda")
	case "driver":
		name = strings.TrimPrefix(name, "cu")
	case "hip":
		name = strings.TrimPrefix(strings.TrimPrefix(name, "__hip"), "hip")
	case "nccl", "nvshmem":
		return collectiveKind(name)
	case "other", "hsa":
		return APIOther
	default:
		return APILibrary
	}
	for _, k := range apiKinds {
		if strings.HasPrefix(name, k.prefix) {
			return k.kind
		}
	}
	return APIOther
}

func collectiveKind(name string) APIKind {
	for _, op := range []string{"Reduce", "Gather", "Broadcast", "Bcast", "Send", "Recv", "AlltoAll", "AllToAll", "Scatter", "barrier", "alltoall"} {
		if strings.Contains(name, op) {
			return APICollective
		}
	}
	return APIOther
}

// apiKinds maps the beginning of a name, its library prefix taken off, to a
// kind. The first match wins: exceptions stand before the rule.
var apiKinds = []struct {
	prefix string
	kind   APIKind
}{
	{"LaunchHostFunc", APIHostFunc},
	{"StreamAddCallback", APIHostFunc},
	{"LaunchKernel", APILaunch},
	{"LaunchCooperativeKernel", APILaunch},
	{"Launch", APILaunch}, // cuLaunch, cuLaunchGrid, cudaLaunch
	{"ModuleLaunchKernel", APILaunch},
	{"ModuleLaunchCooperativeKernel", APILaunch},
	{"ExtModuleLaunchKernel", APILaunch},
	{"ExtLaunchKernel", APILaunch},
	{"ExtLaunchMultiKernel", APILaunch},
	{"HccModuleLaunchKernel", APILaunch},
	{"GraphLaunch", APIGraphLaunch},
	{"GraphMem", APIQuery},
	{"Graph", APIGraphBuild},
	{"StreamIsCapturing", APIQuery},
	{"StreamGetCaptureInfo", APIQuery},
	{"StreamBeginCapture", APIGraphBuild},
	{"StreamEndCapture", APIGraphBuild},
	{"StreamUpdateCaptureDependencies", APIGraphBuild},
	{"ThreadExchangeStreamCaptureMode", APIGraphBuild},
	{"MemcpyBatch", APIMemcpy},
	{"MemcpyToSymbol", APIMemcpy},
	{"Memcpy", APIMemcpy},
	{"MemPrefetch", APIMemcpy},
	{"Memset", APIMemset},
	{"EventSynchronize", APISyncEvent},
	{"StreamSynchronize", APISyncStream},
	{"DeviceSynchronize", APISyncDevice},
	{"CtxSynchronize", APISyncDevice},
	{"ThreadSynchronize", APISyncDevice},
	{"EventQuery", APIQuery},
	{"StreamQuery", APIQuery},
	{"Event", APIEvent},
	{"StreamWaitEvent", APIEvent},
	{"StreamWaitValue", APIEvent},
	{"StreamWriteValue", APIEvent},
	{"StreamBatchMemOp", APIEvent},
	{"MallocHost", APIAlloc},
	{"Malloc", APIAlloc},
	{"HostAlloc", APIAlloc},
	{"HostMalloc", APIAlloc},
	{"HostRegister", APIAlloc},
	{"MemHostAlloc", APIAlloc},
	{"MemHostRegister", APIAlloc},
	{"MemAlloc", APIAlloc},
	{"MemCreate", APIAlloc},
	{"MemAddressReserve", APIAlloc},
	{"MemMap", APIAlloc},
	{"MemSetAccess", APIAlloc},
	{"MemPoolCreate", APIAlloc},
	{"ArrayCreate", APIAlloc},
	{"ExtMalloc", APIAlloc},
	{"HostFree", APIFree},
	{"HostUnregister", APIFree},
	{"Free", APIFree},
	{"MemFree", APIFree},
	{"MemHostUnregister", APIFree},
	{"MemUnmap", APIFree},
	{"MemRelease", APIFree},
	{"MemAddressFree", APIFree},
	{"MemPoolDestroy", APIFree},
	{"MemPoolTrimTo", APIFree},
	{"ModuleLoad", APIModuleLoad},
	{"ModuleUnload", APIModuleLoad},
	{"LibraryLoad", APIModuleLoad},
	{"LibraryUnload", APIModuleLoad},
	{"LinkCreate", APIModuleLoad},
	{"LinkAdd", APIModuleLoad},
	{"LinkComplete", APIModuleLoad},
	{"RegisterFatBinary", APIModuleLoad},
	{"ProfilerStart", APIProfiler},
	{"ProfilerStop", APIProfiler},
	{"ModuleGet", APIQuery},
	{"LibraryGet", APIQuery},
	{"KernelGet", APIQuery},
	{"FuncGet", APIQuery},
	{"Get", APIQuery},
	{"DeviceGet", APIQuery},
	{"DeviceCanAccess", APIQuery},
	{"PointerGet", APIQuery},
	{"StreamGet", APIQuery},
	{"CtxGet", APIQuery},
	{"MemGet", APIQuery},
	{"Occupancy", APIQuery},
	{"DriverGet", APIQuery},
	{"RuntimeGet", APIQuery},
	{"PeekAtLastError", APIQuery},
	{"ChooseDevice", APIQuery},
}
