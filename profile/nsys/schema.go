package nsys

// Names of the tables that are read.
const (
	tabKernel     = "CUPTI_ACTIVITY_KIND_KERNEL"
	tabMemcpy     = "CUPTI_ACTIVITY_KIND_MEMCPY"
	tabMemset     = "CUPTI_ACTIVITY_KIND_MEMSET"
	tabRuntime    = "CUPTI_ACTIVITY_KIND_RUNTIME"
	tabSync       = "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION"
	tabGraph      = "CUPTI_ACTIVITY_KIND_GRAPH_TRACE"
	tabNodeEv     = "CUDA_GRAPH_NODE_EVENTS"
	tabGraphEv    = "CUDA_GRAPH_EVENTS"
	tabNVTX       = "NVTX_EVENTS"
	tabOSRT       = "OSRT_API"
	tabCublas     = "CUBLAS_EVENTS"
	tabCudnn      = "CUDNN_EVENTS"
	tabOverhead   = "PROFILER_OVERHEAD"
	tabCuptiOver  = "CUPTI_ACTIVITY_KIND_OVERHEAD"
	tabMetrics    = "GPU_METRICS"
	tabMetricIn   = "TARGET_INFO_GPU_METRICS"
	tabMemUse     = "CUDA_GPU_MEMORY_USAGE_EVENTS"
	tabGPU        = "TARGET_INFO_GPU"
	tabCudaDev    = "TARGET_INFO_CUDA_DEVICE"
	tabCudaDevOld = "TARGET_INFO_NVTX_CUDA_DEVICE"
	tabSystemEnv  = "TARGET_INFO_SYSTEM_ENV"
	tabSession    = "TARGET_INFO_SESSION_START_TIME"
	tabAnalysis   = "ANALYSIS_DETAILS"
	tabDiag       = "DIAGNOSTIC_EVENT"
	tabProcess    = "PROCESSES"
	tabThread     = "ThreadNames"
	tabStrings    = "StringIds"
	tabMetaOld    = "EXPORT_META_DATA"
	tabMetaExp    = "META_DATA_EXPORT"
	tabMetaCap    = "META_DATA_CAPTURE"
	tabCallchain  = "SAMPLING_CALLCHAINS"
	tabSched      = "SCHED_EVENTS"
)

// ColumnSpec describes one column that is read: since which schema version it exists, and what stands in where it does
// not. Required columns make the table unusable when they are missing.
type ColumnSpec struct {
	Table, Column string
	Since         string // schema version in which it was first seen; "2.9" = as long as known, "" = documented, not seen yet
	Required      bool
	Fallback      string // meaning of an absent column
}

// Schema lists every event column that the reader asks for.
var Schema = []ColumnSpec{
	{tabKernel, "start", "2.9", true, ""},
	{tabKernel, "end", "2.9", true, ""},
	{tabKernel, "deviceId", "2.9", false, "device 0"},
	{tabKernel, "contextId", "2.9", false, "context 0"},
	{tabKernel, "greenContextId", "3.11", false, "not recorded"},
	{tabKernel, "streamId", "2.9", false, "stream 0"},
	{tabKernel, "correlationId", "2.9", false, "no launch row"},
	{tabKernel, "globalPid", "2.9", false, "process 0"},
	{tabKernel, "demangledName", "2.9", false, "shortName"},
	{tabKernel, "shortName", "2.9", false, "demangledName"},
	{tabKernel, "mangledName", "2.9", false, "not recorded"},
	{tabKernel, "launchType", "2.9", false, "0"},
	{tabKernel, "registersPerThread", "2.9", false, "0"},
	{tabKernel, "gridX", "2.9", false, "0 = not recorded"},
	{tabKernel, "gridY", "2.9", false, "0 = not recorded"},
	{tabKernel, "gridZ", "2.9", false, "0 = not recorded"},
	{tabKernel, "blockX", "2.9", false, "0 = not recorded"},
	{tabKernel, "blockY", "2.9", false, "0 = not recorded"},
	{tabKernel, "blockZ", "2.9", false, "0 = not recorded"},
	{tabKernel, "staticSharedMemory", "2.9", false, "0"},
	{tabKernel, "dynamicSharedMemory", "2.9", false, "0"},
	{tabKernel, "localMemoryPerThread", "2.9", false, "0"},
	{tabKernel, "graphNodeId", "2.9", false, "outside a graph"},
	{tabKernel, "clusterX", "3.24", false, "0"},
	{tabKernel, "clusterY", "3.24", false, "0"},
	{tabKernel, "clusterZ", "3.24", false, "0"},

	{tabMemcpy, "start", "2.9", true, ""},
	{tabMemcpy, "end", "2.9", true, ""},
	{tabMemcpy, "deviceId", "2.9", false, "device 0"},
	{tabMemcpy, "contextId", "2.9", false, "context 0"},
	{tabMemcpy, "greenContextId", "3.11", false, "not recorded"},
	{tabMemcpy, "streamId", "2.9", false, "stream 0"},
	{tabMemcpy, "correlationId", "2.9", false, "no launch row"},
	{tabMemcpy, "globalPid", "2.9", false, "process 0"},
	{tabMemcpy, "bytes", "2.9", false, "0"},
	{tabMemcpy, "copyKind", "2.9", false, "unknown"},
	{tabMemcpy, "srcKind", "2.9", false, "not recorded"},
	{tabMemcpy, "dstKind", "2.9", false, "not recorded"},
	{tabMemcpy, "graphNodeId", "2.9", false, "outside a graph"},

	{tabMemset, "start", "2.9", true, ""},
	{tabMemset, "end", "2.9", true, ""},
	{tabMemset, "deviceId", "2.9", false, "device 0"},
	{tabMemset, "contextId", "2.9", false, "context 0"},
	{tabMemset, "greenContextId", "3.11", false, "not recorded"},
	{tabMemset, "streamId", "2.9", false, "stream 0"},
	{tabMemset, "correlationId", "2.9", false, "no launch row"},
	{tabMemset, "globalPid", "2.9", false, "process 0"},
	{tabMemset, "bytes", "2.9", false, "0"},
	{tabMemset, "memKind", "2.9", false, "not recorded"},
	{tabMemset, "graphNodeId", "2.9", false, "outside a graph"},

	{tabRuntime, "start", "2.9", true, ""},
	{tabRuntime, "end", "2.9", true, ""},
	{tabRuntime, "eventClass", "2.9", false, "runtime API"},
	{tabRuntime, "globalTid", "2.9", false, "thread 0"},
	{tabRuntime, "correlationId", "2.9", false, "joins nothing"},
	{tabRuntime, "nameId", "2.9", false, "nameless"},
	{tabRuntime, "returnValue", "2.9", false, "0"},

	{tabSync, "start", "2.9", true, ""},
	{tabSync, "end", "2.9", true, ""},
	{tabSync, "deviceId", "2.9", false, "device 0"},
	{tabSync, "contextId", "2.9", false, "context 0"},
	{tabSync, "greenContextId", "3.11", false, "not recorded"},
	{tabSync, "streamId", "2.9", false, "no stream"},
	{tabSync, "correlationId", "2.9", false, "no call"},
	{tabSync, "globalPid", "2.9", false, "process 0"},
	{tabSync, "syncType", "2.9", false, "unknown"},

	{tabGraph, "start", "2.9", true, ""},
	{tabGraph, "end", "2.9", true, ""},
	{tabGraph, "deviceId", "2.9", false, "device 0"},
	{tabGraph, "contextId", "2.9", false, "context 0"},
	{tabGraph, "greenContextId", "3.11", false, "not recorded"},
	{tabGraph, "streamId", "2.9", false, "stream 0"},
	{tabGraph, "correlationId", "2.9", false, "no launch row"},
	{tabGraph, "globalPid", "2.9", false, "process 0"},
	{tabGraph, "graphId", "2.9", false, "not recorded"},
	{tabGraph, "graphExecId", "2.9", false, "not recorded"},

	{tabNVTX, "start", "2.9", true, ""},
	{tabNVTX, "end", "2.9", false, "still open"},
	{tabNVTX, "eventType", "2.9", false, "push/pop"},
	{tabNVTX, "text", "2.9", false, "textId"},
	{tabNVTX, "textId", "2.9", false, "text"},
	{tabNVTX, "globalTid", "2.9", false, "thread 0"},
	{tabNVTX, "endGlobalTid", "2.9", false, "globalTid"},
	{tabNVTX, "domainId", "2.9", false, "default domain"},

	{tabOSRT, "start", "2.9", true, ""},
	{tabOSRT, "end", "2.9", true, ""},
	{tabOSRT, "globalTid", "2.9", false, "no thread"},
	{tabOSRT, "eventClass", "2.9", false, "OS runtime call"},
	{tabOSRT, "nameId", "2.9", false, "nameless"},

	{tabMetrics, "timestamp", "2.9", true, ""},
	{tabMetrics, "typeId", "2.9", true, ""},
	{tabMetrics, "metricId", "2.9", true, ""},
	{tabMetrics, "value", "2.9", true, ""},

	{tabMemUse, "start", "3.20", true, ""},
	{tabMemUse, "globalPid", "3.20", false, "process 0"},
	{tabMemUse, "deviceId", "3.20", false, "device 0"},
	{tabMemUse, "address", "3.20", false, "0"},
	{tabMemUse, "bytes", "3.20", true, ""},
	{tabMemUse, "memKind", "3.20", false, "not recorded"},
	{tabMemUse, "memoryOperationType", "3.20", true, ""},
	{tabMemUse, "name", "3.20", false, "nameless"},
	{tabMemUse, "localMemoryPoolSize", "3.20", false, "not recorded"},

	{tabNodeEv, "start", "3.20", true, ""},
	{tabNodeEv, "end", "3.20", false, "start"},
	{tabNodeEv, "globalTid", "3.20", false, "no thread"},
	{tabNodeEv, "graphNodeId", "3.20", false, "0"},
	{tabNodeEv, "originalGraphNodeId", "3.20", false, "0"},

	{tabGraphEv, "start", "2.9", true, ""},
	{tabGraphEv, "end", "2.9", false, "start"},
	{tabGraphEv, "eventClass", "2.9", false, "graph creation"},
	{tabGraphEv, "globalTid", "2.9", false, "no thread"},
	{tabGraphEv, "graphId", "3.20", false, "0"},
	{tabGraphEv, "graphExecId", "3.20", false, "0"},
	{tabGraphEv, "graphNodeId", "2.9", false, "0"},
	{tabGraphEv, "originalGraphNodeId", "2.9", false, "0"},

	{tabCublas, "start", "", true, ""},
	{tabCublas, "end", "", true, ""},
	{tabCublas, "globalTid", "", false, "no thread"},
	{tabCublas, "nameId", "", false, "nameless"},

	{tabCudnn, "start", "", true, ""},
	{tabCudnn, "end", "", true, ""},
	{tabCudnn, "globalTid", "", false, "no thread"},
	{tabCudnn, "nameId", "", false, "nameless"},

	{tabCuptiOver, "start", "3.24", true, ""},
	{tabCuptiOver, "end", "3.24", true, ""},
	{tabCuptiOver, "globalTid", "3.24", false, "no thread"},
	{tabCuptiOver, "nameId", "3.24", false, "nameless"},

	{tabOverhead, "start", "2.9", true, ""},
	{tabOverhead, "end", "2.9", true, ""},
	{tabOverhead, "globalTid", "2.9", false, "no thread"},
	{tabOverhead, "nameId", "2.9", false, "nameless"},
}

// specs returns the columns of a table in the order of Schema.
func specs(table string) []ColumnSpec {
	var out []ColumnSpec
	for _, c := range Schema {
		if c.Table == table {
			out = append(out, c)
		}
	}
	return out
}
