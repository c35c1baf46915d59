package diagnose

import (
	"fmt"
	"slices"

	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/serving"
)

// MemoryFacts is the device memory of one process on one device over the capture, from its allocation events. The capture
// does not know what was allocated before it began, so bytes count from there.
type MemoryFacts struct {
	PID         int64 `json:"pid"`
	Device      int64 `json:"device"`
	Allocations int   `json:"allocations"`
	Frees       int   `json:"frees"`
	PeakBytes   int64 `json:"peak_bytes"`       // above the level at the capture's start
	ServingFrom int64 `json:"serving_bytes"`    // level at the first step
	EndBytes    int64 `json:"end_bytes"`        // level at the last event
	GrowthBytes int64 `json:"growth_bytes"`     // from the first step to the end
	LargestAt   int64 `json:"largest_row"`      // row of the largest allocation in serving, 0 = none
	Largest     int64 `json:"largest_bytes"`    // its size
	InServing   int   `json:"in_serving_calls"` // allocations and frees during the steps
}

// memoryFacts follows allocations and frees of device memory.
func (c *Context) memoryFacts() []MemoryFacts {
	m := &c.P.MemEvents
	if m.Len() == 0 {
		return nil
	}
	first, last := int64(0), int64(0)
	for k, i := range c.A.Primary {
		s := c.A.Steps[i].GPU
		if k == 0 || s.Start < first {
			first = s.Start
		}
		last = max(last, s.End)
	}
	type key struct{ process, device int32 }
	at := map[key]int{}
	var out []MemoryFacts
	level := map[key]int64{}
	for i := range m.Start {
		if m.Mem[i] != profile.MemDevice && m.Mem[i] != profile.MemManaged {
			continue
		}
		k := key{m.Process[i], m.Device[i]}
		n, ok := at[k]
		if !ok {
			n = len(out)
			at[k] = n
			f := MemoryFacts{}
			if k.process != profile.None {
				f.PID = c.P.Processes[k.process].PID
			}
			if k.device != profile.None {
				f.Device = c.P.Devices[k.device].ID
			}
			out = append(out, f)
		}
		f := &out[n]
		serving := len(c.A.Primary) > 0 && m.Start[i] >= first && m.Start[i] <= last
		if serving {
			f.InServing++
		}
		if m.Free[i] {
			f.Frees++
			level[k] -= m.Bytes[i]
		} else {
			f.Allocations++
			level[k] += m.Bytes[i]
			if serving && m.Bytes[i] > f.Largest {
				f.Largest, f.LargestAt = m.Bytes[i], m.Row.At(i)
			}
		}
		if m.Start[i] < first {
			f.ServingFrom = level[k]
		}
		f.PeakBytes = max(f.PeakBytes, level[k])
		f.EndBytes = level[k]
		f.GrowthBytes = f.EndBytes - f.ServingFrom
	}
	return out
}

// growthMin is the growth of device memory during the steps that is told: a quarter of a GiB.
const growthMin = 256 << 20

var memoryGrowth = Rule{
	ID: MemoryGrowth, Title: "Device memory grows while the server serves, or ran out",
	Measures: "Device memory allocated and not freed between the first step and the end of the capture, from 256 MiB on, and " +
		"out-of-memory errors in the server log. It is a leak where steps like ones before, without first-use effects, keep " +
		"64 MiB or more in 8 or more allocations, spread over at least 5 of 8 equal parts of the time, the last one among them.",
	Wrong: "A window is short: memory that a later step frees looks like growth. The engine takes its cache at start; growth " +
		"after that is activations of new shapes, graphs, or a leak. Allocators that reserve ahead grow once and stop.",
	Fix: "For a leak: run without custom code in the engine and record again; a lower gpu-memory-utilization only buys time. " +
		"Else a lower gpu-memory-utilization to leave room, a smaller token budget, a warm-up with the largest shapes.",
	Needs: "Allocation events (--cuda-memory-usage=true) or a server log.", Source: "memory events; log",
	Check: func(c *Context) ([]Finding, string) {
		var out []Finding
		if c.log() != nil {
			for _, n := range c.log().Notices {
				if n.Category == serving.NoticeOOM {
					f := Finding{Severity: High, Confidence: sure, Summary: fmt.Sprintf("The server ran out of GPU memory: the log says so %d times.", n.N)}
					f.Evidence = []Evidence{{"out-of-memory lines in the log", float64(n.N), "lines", n.Source.String()}}
					out = append(out, f)
					break
				}
			}
		}
		leaks := c.Leaks()
		for _, l := range leaks {
			out = append(out, c.leakFinding(l))
		}
		for _, m := range c.memory {
			told := slices.ContainsFunc(leaks, func(l Leak) bool { return l.PID == m.PID && l.Device == m.Device })
			if m.GrowthBytes < growthMin || len(c.A.Primary) == 0 || told {
				continue
			}
			f := Finding{Severity: Medium, Confidence: perhaps, Summary: fmt.Sprintf("Device memory of process %d grows by %.2f GiB during the steps.", m.PID, float64(m.GrowthBytes)/(1<<30))}
			f.Evidence = []Evidence{{"growth from the first step to the end", float64(m.GrowthBytes) / (1 << 30), "GiB", fmt.Sprintf("%d allocations and frees in the steps", m.InServing)},
				{"largest allocation in the steps", float64(m.Largest) / (1 << 20), "MiB", fmt.Sprintf("memory event row %d", m.LargestAt)}}
			out = append(out, f)
		}
		if len(out) == 0 && c.P.MemEvents.Len() == 0 && c.log() == nil {
			return nil, "neither allocation events nor a server log"
		}
		return out, ""
	},
}
