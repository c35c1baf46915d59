package profile

// Rows leads from a table's index to the row of the input: nil means that index i is row i+1 of the file, as it is for
// tables that the file already holds in order of time. For JSON traces it is the ordinal of the event.
type Rows []uint32

// At returns the 1-based row of index i.
func (r Rows) At(i int) int64 {
	if r == nil {
		return int64(i) + 1
	}
	return int64(r[i])
}

// UnknownNode is the graph node of device work that a graph launch started in a trace without node ids.
const UnknownNode uint64 = 1<<32 - 1

// Kernels are executions of device functions.
type Kernels struct {
	Start, Dur  []int64
	Func        []int32  // index into Funcs
	Config      []int32  // index into Configs
	Queue       []int32  // index into Queues
	Correlation []uint32 // as recorded; unique only within a process
	Call        []int32  // index into Calls of the launch, None = no launch row
	GraphNode   []uint64 // executable graph id << 32 | node, 0 = launched outside a graph, or UnknownNode
	Row         Rows
}

// Len returns the number of kernels.
func (t *Kernels) Len() int { return len(t.Start) }

// End returns the end time of kernel i in ns.
func (t *Kernels) End(i int) int64 { return t.Start[i] + t.Dur[i] }

// MemKind is the kind of memory at one side of a copy or set.
type MemKind uint8

// Memory kinds, with nsys' numbering.
const (
	MemPageable MemKind = iota
	MemPinned
	MemDevice
	MemArray
	MemManaged
	MemDeviceStatic
	MemManagedStatic
	MemUnknown
)

// CopyKind is the direction of a copy.
type CopyKind uint8

// Copy kinds, with nsys' numbering.
const (
	CopyUnknown CopyKind = iota
	CopyHtoD
	CopyDtoH
	CopyHtoA
	CopyAtoH
	CopyAtoA
	CopyAtoD
	CopyDtoA
	CopyDtoD
	CopyHtoH
	CopyPtoP
	CopyUVMHtoD
	CopyUVMDtoH
	CopyUVMDtoD
)

// Copies are memory copies on the device's queues.
type Copies struct {
	Start, Dur  []int64
	Bytes       []int64
	Kind        []CopyKind
	Src, Dst    []MemKind // MemUnknown = not recorded
	Queue       []int32
	Correlation []uint32
	Call        []int32
	GraphNode   []uint64
	Row         Rows
}

// Len returns the number of copies.
func (t *Copies) Len() int { return len(t.Start) }

// Memsets are memory fills on the device's queues.
type Memsets struct {
	Start, Dur  []int64
	Bytes       []int64
	Mem         []MemKind
	Queue       []int32
	Correlation []uint32
	Call        []int32
	GraphNode   []uint64
	Row         Rows
}

// Len returns the number of memsets.
func (t *Memsets) Len() int { return len(t.Start) }

// CallClass tells the CUDA runtime API from the driver API.
type CallClass uint8

// Call classes.
const (
	RuntimeAPI CallClass = iota
	DriverAPI
	OtherAPI
)

// Calls are host calls into the CUDA runtime or driver API (HIP on AMD).
type Calls struct {
	Start, Dur  []int64
	Name        []StringID // as recorded, with the _v suffix that nsys keeps
	Thread      []int32
	Correlation []uint32
	Result      []int32
	Class       []CallClass
	External    []int64 // Ops.External of the operator that made the call, 0 = none; nil = the format has no such link
	Row         Rows
}

// Len returns the number of calls.
func (t *Calls) Len() int { return len(t.Start) }

// End returns the end time of call i in ns.
func (t *Calls) End(i int) int64 { return t.Start[i] + t.Dur[i] }

// SyncKind is what a synchronisation waited for.
type SyncKind uint8

// Sync kinds, with CUPTI's numbering. StreamWait happens on the GPU and does not block the host.
const (
	SyncUnknown SyncKind = iota
	SyncEvent
	SyncStreamWait
	SyncStream
	SyncContext
)

// Syncs are synchronisation activities.
type Syncs struct {
	Start, Dur  []int64
	Kind        []SyncKind
	Queue       []int32 // None when no stream is named
	Correlation []uint32
	Call        []int32
	Row         Rows
}

// Len returns the number of syncs.
func (t *Syncs) Len() int { return len(t.Start) }

// RangeKind is the style of an annotation.
type RangeKind uint8

// Range kinds. A Mark has no duration.
const (
	PushPop RangeKind = iota
	StartEnd
	Mark
)

// Ranges are annotations made by the program: NVTX ranges and marks, or record_function scopes.
type Ranges struct {
	Start, Dur []int64 // Dur is Open when the end was not recorded
	Text       []StringID
	Thread     []int32
	Domain     []int32 // index into Domains, None = the default domain
	Kind       []RangeKind
	EndThread  map[int32]int32 // by index, only where a start/end range ended on another thread
	Row        Rows
}

// Len returns the number of ranges.
func (t *Ranges) Len() int { return len(t.Start) }

// Ops are framework operators (PyTorch cpu_op) with their shapes.
type Ops struct {
	Start, Dur []int64
	Name       []StringID
	Thread     []int32
	External   []int64    // links to Calls through the trace's External id; 0 = none. Unique within a Profile
	Dims       []StringID // shapes of the inputs as compact JSON, "[[32,4096],[4096,6144]]"; "" = not recorded
	Types      []StringID // types of the inputs as compact JSON, `["c10::BFloat16","c10::BFloat16"]`
	Row        Rows
}

// Len returns the number of operators.
func (t *Ops) Len() int { return len(t.Start) }

// Spans are named host intervals: OS runtime calls, library calls, profiler overhead.
type Spans struct {
	Start, Dur []int64
	Name       []StringID
	Thread     []int32 // None = not tied to a thread
	Row        Rows
}

// Len returns the number of spans.
func (t *Spans) Len() int { return len(t.Start) }

// GraphTraces are whole CUDA graph executions, recorded instead of their kernels at graph granularity.
type GraphTraces struct {
	Start, Dur  []int64
	Queue       []int32
	Correlation []uint32
	Call        []int32
	Graph       []int64
	Exec        []int64
	Row         Rows
}

// Len returns the number of graph executions.
func (t *GraphTraces) Len() int { return len(t.Start) }

// GraphEventKind is what was made.
type GraphEventKind uint8

// Graph event kinds.
const (
	GraphCreated GraphEventKind = iota
	GraphInstantiated
	GraphNodeCreated
	GraphCloned
)

// GraphEvents are creations of graphs, executables and nodes; they show the capture phase and the creation order.
type GraphEvents struct {
	Start, Dur []int64
	Kind       []GraphEventKind
	Thread     []int32
	Graph      []int64  // graph or executable id, 0 = not recorded
	Node       []uint64 // node id, 0 = none
	Original   []uint64 // the captured node that an executable's node came from, 0 = none
	Row        Rows
}

// Len returns the number of graph events.
func (t *GraphEvents) Len() int { return len(t.Start) }

// Counter is one sampled hardware metric of one device.
type Counter struct {
	Device int32 // index into Devices, None = unknown
	Name   string
	Unit   string  // "percent", "hz", "mhz", "count"
	Times  []int64 // shared between the counters of one sample set
	Values []int64
}

// MemEvents are allocations and releases of device or host memory.
type MemEvents struct {
	Start     []int64
	Bytes     []int64
	Address   []uint64
	Mem       []MemKind
	Free      []bool // false = allocation
	Process   []int32
	Device    []int32
	Name      []StringID
	Row       Rows
	PoolBytes []int64 // size of the memory pool after the event, -1 = not recorded
}

// Len returns the number of memory events.
func (t *MemEvents) Len() int { return len(t.Start) }
