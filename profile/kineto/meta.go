package kineto

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/stepscope/stepscope/profile"
)

// meta is the head of a trace.
type meta struct {
	schema         string
	base           int64
	hasBase        bool
	devices        []deviceProperties
	rank           int32
	hasRank        bool
	world          int64
	stacks         bool
	shapes         bool
	cupti          int64
	cudaRuntime    int64
	cudaDriver     int64
	hipRuntime     int64
	vllm           string
	warnings       []string // what the profiler logged
	errors         []string
	badDevices     bool
	badDistributed bool
}

// deviceProperties is one element of the head's deviceProperties.
type deviceProperties struct {
	ID              int64   `json:"id"`
	Name            string  `json:"name"`
	TotalMemory     float64 `json:"totalGlobalMem"`
	Major           float64 `json:"computeMajor"`
	Minor           float64 `json:"computeMinor"`
	ThreadsPerSM    float64 `json:"maxThreadsPerMultiprocessor"`
	WarpSize        float64 `json:"warpSize"`
	SMs             float64 `json:"numSms"`
	RegistersPerSM  float64 `json:"regsPerMultiprocessor"`
	SharedOptin     float64 `json:"sharedMemPerBlockOptin"`
	SharedPerSM     float64 `json:"sharedMemPerMultiprocessor"`
	MultiProcessors float64 `json:"multiProcessorCount"`
}

// wants reports whether the value of a top-level key is of use.
func (m *meta) wants(key string) bool {
	switch key {
	case "schemaVersion", "deviceProperties", "distributedInfo", "record_shapes", "with_stack",
		"cuda_driver_version", "cuda_runtime_version", "hip_runtime_version", "cupti_version", "baseTimeNanoseconds",
		"vllm_version", "WARNING", "ERROR":
		return true
	}
	return false
}

// set takes the value of a top-level key.
func (m *meta) set(key string, v text) {
	n, isInt := v.int()
	switch key {
	case "schemaVersion":
		m.schema = string(v.plain())
	case "baseTimeNanoseconds":
		m.base, m.hasBase = n, isInt
	case "deviceProperties":
		m.devices = nil
		m.badDevices = json.Unmarshal(v.raw, &m.devices) != nil
	case "distributedInfo":
		var d struct {
			Rank  json.RawMessage `json:"rank"`
			World json.RawMessage `json:"world_size"`
		}
		m.badDistributed = json.Unmarshal(v.raw, &d) != nil
		// Kineto's on-demand path prints both quoted.
		rank, ok := looseInt(d.Rank)
		m.world, _ = looseInt(d.World)
		m.hasRank = ok && rank >= 0 && rank < 1<<24
		m.rank = 0
		if m.hasRank {
			m.rank = int32(rank)
		}
	case "record_shapes":
		m.shapes = truth(v)
	case "with_stack":
		m.stacks = truth(v)
	case "cupti_version":
		m.cupti = n
	case "cuda_runtime_version":
		m.cudaRuntime = n
	case "cuda_driver_version":
		m.cudaDriver = n
	case "hip_runtime_version":
		m.hipRuntime = n
	case "vllm_version":
		m.vllm = string(v.plain())
	case "WARNING":
		m.warnings = logLines(v)
	case "ERROR":
		m.errors = logLines(v)
	}
}

func looseInt(raw json.RawMessage) (int64, bool) {
	return integer([]byte(strings.Trim(string(raw), `"`)))
}

func truth(v text) bool {
	return len(v.raw) > 0 && string(v.raw) != "0" && string(v.raw) != "false" && string(v.raw) != "null"
}

// maxLogLines bounds how many of the profiler's own messages are passed on.
const maxLogLines = 20

// logLines reads the messages that Kineto appends to a trace.
func logLines(v text) []string {
	var lines []string
	if json.Unmarshal(v.raw, &lines) != nil {
		return nil
	}
	if len(lines) > maxLogLines {
		lines = lines[:maxLogLines]
	}
	for i, l := range lines {
		if len(l) > 300 {
			lines[i] = strings.ToValidUTF8(l[:300], "") + " ..."
		}
	}
	return lines
}

// producer names the profiler with the versions that the head holds.
func (m *meta) producer() string {
	parts := []string{"PyTorch profiler"}
	switch {
	case m.cupti >= 100000: // since CUDA 13: major*10000 + minor*100 + patch
		parts = append(parts, fmt.Sprintf("CUPTI %d.%d.%d", m.cupti/10000, m.cupti/100%100, m.cupti%100))
	case m.cupti > 0:
		parts = append(parts, fmt.Sprintf("CUPTI API %d", m.cupti))
	}
	if m.cudaRuntime > 0 {
		parts = append(parts, fmt.Sprintf("CUDA %d.%d", m.cudaRuntime/1000, m.cudaRuntime%1000/10))
	}
	if m.hipRuntime > 0 {
		parts = append(parts, fmt.Sprintf("HIP %d.%d", m.hipRuntime/10000000, m.hipRuntime/100000%100))
	}
	if m.vllm != "" {
		parts = append(parts, "vLLM "+m.vllm)
	}
	return strings.Join(parts, ", ")
}

// device turns the properties into a Device. A negative or fractional number is as good as none.
func (d *deviceProperties) device() profile.Device {
	whole := func(f float64) int64 {
		if f > 0 && f < 1<<53 {
			return int64(f)
		}
		return 0
	}
	small := func(f float64) int32 { return int32(min(whole(f), 1<<31-1)) }
	v := profile.Device{
		ID: d.ID, Name: d.Name,
		SMs:            max(small(d.SMs), small(d.MultiProcessors)),
		MemoryBytes:    whole(d.TotalMemory),
		ComputeMajor:   small(d.Major),
		ComputeMinor:   small(d.Minor),
		SharedMemPerSM: whole(d.SharedPerSM),
		RegistersPerSM: whole(d.RegistersPerSM),
		SharedMemOptin: whole(d.SharedOptin),
	}
	if w := whole(d.WarpSize); w > 0 {
		v.MaxWarpsPerSM = int32(min(whole(d.ThreadsPerSM)/w, 1<<16))
	}
	return v
}
