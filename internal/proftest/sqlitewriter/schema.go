package sqlitewriter

import "strings"

// layout lists the columns of a table in their order. "name>=3.24" exists from that schema version on, "name<3.20" up to
// before it. The versions are those in which a change was first seen in a real file, see the facts in the documentation
// of profile/nsys.
var layout = map[string]string{
	"CUPTI_ACTIVITY_KIND_KERNEL": `start end deviceId contextId greenContextId>=3.11 streamId correlationId globalPid
		demangledName shortName mangledName launchType cacheConfig registersPerThread gridX gridY gridZ blockX blockY blockZ
		staticSharedMemory dynamicSharedMemory localMemoryPerThread localMemoryTotal gridId sharedMemoryExecuted graphNodeId
		sharedMemoryLimitConfig qmdBulkReleaseDone>=3.24 qmdPreexitDone>=3.24 qmdLastCtaDone>=3.24 graphId>=3.24
		clusterX>=3.24 clusterY>=3.24 clusterZ>=3.24 clusterSchedulingPolicy>=3.24 maxPotentialClusterSize>=3.24
		maxActiveClusters>=3.24 sharedMemoryRequestedPercentage>=3.24.14 tensorSizeMinusOneElements>=3.25`,
	"CUPTI_ACTIVITY_KIND_MEMCPY": `start end deviceId contextId greenContextId>=3.11 streamId correlationId globalPid bytes
		copyKind deprecatedSrcId srcKind dstKind srcDeviceId srcContextId dstDeviceId dstContextId migrationCause graphNodeId
		virtualAddress copyCount>=3.20`,
	"CUPTI_ACTIVITY_KIND_MEMSET": `start end deviceId contextId greenContextId>=3.11 streamId correlationId globalPid value
		bytes graphNodeId memKind`,
	"CUPTI_ACTIVITY_KIND_RUNTIME": `start end eventClass globalTid correlationId nameId returnValue callchainId`,
	"CUPTI_ACTIVITY_KIND_SYNCHRONIZATION": `start end deviceId contextId greenContextId>=3.11 streamId correlationId
		globalPid deprecatedSyncType>=3.20 syncType eventId eventSyncId>=3.20`,
	"CUPTI_ACTIVITY_KIND_CUDA_EVENT": `deviceId contextId greenContextId>=3.20 streamId correlationId globalPid eventId
		eventSyncId>=3.20 timestamp>=3.24.14`,
	"CUPTI_ACTIVITY_KIND_GRAPH_TRACE": `start end deviceId contextId greenContextId>=3.11 streamId correlationId globalPid
		graphId graphExecId`,
	"CUPTI_ACTIVITY_KIND_OVERHEAD": `start end eventClass globalTid correlationId nameId overheadType`,
	"PROFILER_OVERHEAD":            `start end globalTid nameId returnValue<3.24 overheadType>=3.24`,
	"NVTX_EVENTS": `start end eventType rangeId category color text:TEXT globalTid endGlobalTid textId domainId uint64Value
		int64Value doubleValue:REAL uint32Value int32Value floatValue:REAL jsonTextId jsonText:TEXT binaryData:TEXT>=3.0`,
	"OSRT_API":               `start end eventClass globalTid nameId returnValue nestingLevel callchainId`,
	"CUBLAS_EVENTS":          `start end eventClass globalTid nameId`,
	"CUDNN_EVENTS":           `start end eventClass globalTid nameId`,
	"SCHED_EVENTS":           `start cpu isSchedIn globalTid threadState threadBlock`,
	"CUDA_GRAPH_NODE_EVENTS": `start end eventClass globalTid nameId graphNodeId originalGraphNodeId`,
	"CUDA_GRAPH_EVENTS": `start end eventClass globalTid nameId graphNodeId<3.20 originalGraphNodeId<3.20 graphId>=3.20
		originalGraphId>=3.20 graphExecId>=3.20`,
	"CUDA_GPU_MEMORY_USAGE_EVENTS": `start globalPid deviceId contextId address pc bytes memKind memoryOperationType
		name:TEXT correlationId streamId localMemoryPoolAddress localMemoryPoolReleaseThreshold localMemoryPoolSize
		localMemoryPoolUtilizedSize importedMemoryPoolAddress importedMemoryPoolProcessId`,
	"GPU_METRICS":             `rawTimestamp>=3.20 timestamp typeId metricId value`,
	"TARGET_INFO_GPU_METRICS": `typeId sourceId typeName:TEXT metricId metricName:TEXT`,
	"TARGET_INFO_GPU": `vmId id name:TEXT busLocation:TEXT isDiscrete l2CacheSize totalMemory memoryBandwidth clockRate
		smCount pwGpuId uuid:TEXT luid chipName:TEXT cuDevice ctxswDevPath:TEXT ctrlDevPath:TEXT revision nodeMask
		constantMemory maxIPC maxRegistersPerBlock maxShmemPerBlock maxShmemPerBlockOptin maxShmemPerSm maxRegistersPerSm
		threadsPerWarp asyncEngines maxWarpsPerSm maxBlocksPerSm maxThreadsPerBlock maxBlockDimX maxBlockDimY maxBlockDimZ
		maxGridDimX maxGridDimY maxGridDimZ computeMajor computeMinor smMajor smMinor`,
	"TARGET_INFO_CUDA_DEVICE":        `gpuId cudaId pid uuid:TEXT>=3.24.14 numMultiprocessors>=3.24.14`,
	"TARGET_INFO_NVTX_CUDA_DEVICE":   `name:TEXT hwId vmId deviceId`,
	"TARGET_INFO_SYSTEM_ENV":         `globalVid devStateName:TEXT name:TEXT nameEnum value:TEXT`,
	"TARGET_INFO_SESSION_START_TIME": `utcEpochNs utcTime:TEXT localTime:TEXT systemClockNs>=3.24.14`,
	"ANALYSIS_DETAILS":               `globalVid duration startTime stopTime`,
	"DIAGNOSTIC_EVENT":               `timestamp timestampType source severity text:TEXT globalPid`,
	"PROCESSES":                      `globalPid pid name:TEXT`,
	"ThreadNames":                    `nameId priority globalTid`,
	"StringIds":                      `id:INTEGER_PRIMARY_KEY value:TEXT`,
	"ProcessStreams":                 `globalPid filenameId contentId`,
	"ANALYSIS_FILE":                  `id:INTEGER_PRIMARY_KEY filename:TEXT contentId globalPid`,
	"EXPORT_META_DATA":               `name:TEXT value:TEXT`,
	"META_DATA_EXPORT":               `name:TEXT value:TEXT`,
	"META_DATA_CAPTURE":              `name:TEXT value:TEXT`,
}

// columns returns the declarations of a table's columns in the file's version, nil for a table that is not known.
func (f *File) columns(table string) []string {
	var out []string
	for _, c := range strings.Fields(layout[table]) {
		if name, since, ok := strings.Cut(c, ">="); ok {
			if f.before(since) {
				continue
			}
			c = name
		} else if name, until, ok := strings.Cut(c, "<"); ok {
			if !f.before(until) {
				continue
			}
			c = name
		}
		name, kind, ok := strings.Cut(c, ":")
		if !ok {
			kind = "INTEGER"
		}
		out = append(out, name+" "+strings.ReplaceAll(kind, "_", " "))
	}
	return out
}

// Columns returns the names of a table's columns in the file's version.
func (f *File) Columns(table string) []string {
	var out []string
	for _, c := range f.columns(table) {
		name, _, _ := strings.Cut(c, " ")
		out = append(out, name)
	}
	return out
}
