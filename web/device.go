package web

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/profile"
)

// deviceCurves makes the curves of one device: how busy it was, its memory, and the counters that were recorded.
func (m *Model) deviceCurves(d int32) []*lane {
	var out []*lane
	if busy, ok := m.a.Busy[d]; ok && d != profile.None {
		if c := newBusyCurve(busy); c != nil {
			out = append(out, &lane{key: fmt.Sprintf("busy%d", d), title: "GPU busy", hint: "share of time with any work on the GPU",
				set: setCurve, curve: c, count: len(busy), height: heightCurve, open: true})
		}
	}
	if l := m.memoryCurve(d); l != nil {
		out = append(out, l)
	}
	var counters []*lane
	for i := range m.p.Counters {
		n := &m.p.Counters[i]
		if n.Device != d || len(n.Times) == 0 {
			continue
		}
		unit := clean(n.Unit, maxLabel)
		if unit == "" {
			unit = "count"
		}
		counters = append(counters, &lane{key: fmt.Sprintf("counter%d", i), title: n.Name, hint: "sampled counter, " + unit, set: setCurve,
			curve: newCurve(unit, n.Times, func(k int) float64 { return float64(n.Values[k]) }), count: len(n.Times), height: heightCurve,
			open: counterRank(n.Name) < unranked})
	}
	slices.SortStableFunc(counters, func(x, y *lane) int { return cmp.Compare(counterRank(x.title), counterRank(y.title)) })
	return append(out, counters...)
}

// counterOrder lists the counters that tell most, by the beginning of their names; the others follow, closed.
var counterOrder = []string{"SMs Active", "SM Active", "SM Issue", "Tensor Active", "DRAM Read", "DRAM Write", "PCIe RX", "PCIe TX", "NVLink"}

var unranked = len(counterOrder)

func counterRank(name string) int {
	for i, p := range counterOrder {
		if strings.HasPrefix(name, p) {
			return i
		}
	}
	return unranked
}

// memoryCurve adds up the recorded allocations of device memory; what was allocated before the recording is not in it.
func (m *Model) memoryCurve(d int32) *lane {
	v := &m.p.MemEvents
	var times []int64
	var values []float64
	var sum float64
	for i, t := range v.Start {
		if v.Device[i] != d || d == profile.None || v.Mem[i] != profile.MemDevice && v.Mem[i] != profile.MemDeviceStatic && v.Mem[i] != profile.MemManaged {
			continue
		}
		if v.Free[i] {
			sum -= float64(v.Bytes[i])
		} else {
			sum += float64(v.Bytes[i])
		}
		times, values = append(times, t), append(values, sum)
	}
	if len(times) == 0 {
		return nil
	}
	// Releases of what was allocated before the recording lead below zero: the curve starts at what that proves.
	if low := slices.Min(values); low < 0 {
		for i := range values {
			values[i] -= low
		}
	}
	c := newCurve(unitBytes, times, func(i int) float64 { return values[i] })
	c.hold = true
	return &lane{key: fmt.Sprintf("memory%d", d), title: "GPU memory", hint: "allocations recorded, what came before the recording left out",
		set: setCurve, curve: c, count: len(times), height: heightCurve, open: true}
}
