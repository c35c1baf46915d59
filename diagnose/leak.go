package diagnose

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

// Leak is device memory that steady steps of one process take and do not give back.
type Leak struct {
	PID, Device int64
	Bytes       int64   // kept by the steps that count, see Steps
	Blocks      int     // allocations that they are in
	Steps       int     // steps of compositions seen before, without first-use effects
	Parts       int     // of leakParts equal parts of the steps' time: those with such allocations
	PerStep     float64 // bytes, over Steps
	PerSecond   float64 // bytes, over the wall of Steps
	Row         int64   // of the last such allocation

	// Left is what of the device's memory was neither for the server to take nor taken by growth in this window, in bytes;
	// -1 = not recorded. What leaked before the window is not known, so it is the most that may be left.
	Left int64
}

// What tells a leak from warm-up.
const (
	leakParts     = 8        // equal parts of the steps' time
	leakPartsMin  = 5        // that must see allocations, the last one among them
	leakMin       = 64 << 20 // bytes; an allocator takes blocks of 2 to 20 MiB from the driver
	leakBlocksMin = 8
	leakStepsMin  = 16
	// leakSlowing is the share of the first half's growth that the second must reach: growth that fades ends by itself.
	leakSlowing = 1.0 / 3
)

// memoryOf identifies the memory of a process on a device.
type memoryOf struct{ process, device int32 }

// Leaks returns the leaks of device memory, by process and device. It finds none without allocation events.
func (c *Context) Leaks() []Leak {
	m := &c.P.MemEvents
	var out []Leak
	var seen []memoryOf
	for i := range m.Start {
		if k := (memoryOf{m.Process[i], m.Device[i]}); !slices.Contains(seen, k) {
			seen = append(seen, k)
			if l, ok := c.leak(k); ok {
				out = append(out, l)
			}
		}
	}
	slices.SortFunc(out, func(x, y Leak) int { return cmp.Or(cmp.Compare(x.PID, y.PID), cmp.Compare(x.Device, y.Device)) })
	return out
}

// stepsOf lists the steps that a process took part in, in order of the host's time: its own, or the engine's where another
// process of the engine stands for them.
func (c *Context) stepsOf(process int32) []int32 {
	own := slices.DeleteFunc(slices.Clone(c.A.Primary), func(i int32) bool { return c.A.Ranks[c.A.Steps[i].Rank].Process != process })
	if len(own) == 0 {
		own = slices.Clone(c.A.Primary)
	}
	own = slices.DeleteFunc(own, func(i int32) bool { return c.A.Steps[i].Host.Empty() })
	slices.SortStableFunc(own, func(x, y int32) int { return cmp.Compare(c.A.Steps[x].Host.Start, c.A.Steps[y].Host.Start) })
	return own
}

// leak follows what steady steps allocate and nobody frees. Allocations belong to the step during whose host time they were
// made: the host runs ahead of the GPU.
func (c *Context) leak(k memoryOf) (l Leak, ok bool) {
	steps := c.stepsOf(k.process)
	if len(steps) < leakStepsMin {
		return l, false
	}
	first, last := c.A.Steps[steps[0]].Host.Start, c.A.Steps[steps[len(steps)-1]].Host.End
	var wall int64
	steady := make([]bool, len(steps))
	known := map[step.Batch]bool{}
	for n, i := range steps {
		s := &c.A.Steps[i]
		b := s.Batch
		b.PrefillKV, b.DecodeKV = 0, 0 // contexts grow with every step and change no buffer
		if steady[n] = known[b] && !s.Cold; steady[n] {
			l.Steps++
			wall += s.Host.Dur()
		}
		known[b] = true
	}
	if l.Steps < leakStepsMin || wall <= 0 || last <= first {
		return l, false
	}
	m := &c.P.MemEvents
	live := map[uint64]int{} // allocations of the capture that nobody freed in it, by address
	var returned int64       // frees, during the steps, of what was allocated before the capture
	for i := range m.Start {
		if (memoryOf{m.Process[i], m.Device[i]}) != k || m.Mem[i] != profile.MemDevice && m.Mem[i] != profile.MemManaged {
			continue
		}
		if !m.Free[i] {
			live[m.Address[i]] = i
			continue
		}
		if _, ours := live[m.Address[i]]; !ours && m.Start[i] >= first {
			returned += m.Bytes[i]
		}
		delete(live, m.Address[i])
	}
	var parts [leakParts]int64
	var grown int64
	lastAt := -1
	for _, i := range live {
		t := m.Start[i]
		if t < first || t > last {
			continue
		}
		grown += m.Bytes[i]
		n, in := slices.BinarySearchFunc(steps, t, func(s int32, t int64) int { return cmp.Compare(c.A.Steps[s].Host.Start, t) })
		if !in {
			n--
		}
		if n < 0 || t > c.A.Steps[steps[n]].Host.End || !steady[n] {
			continue
		}
		parts[min(leakParts-1, int(float64(t-first)/float64(last-first)*leakParts))] += m.Bytes[i]
		l.Bytes += m.Bytes[i]
		l.Blocks++
		lastAt = max(lastAt, i)
	}
	var half [2]int64
	for n, b := range parts {
		half[n*2/leakParts] += b
		if b > 0 {
			l.Parts++
		}
	}
	if l.Bytes < leakMin || l.Blocks < leakBlocksMin || l.Parts < leakPartsMin || parts[leakParts-1] == 0 ||
		float64(half[1]) < leakSlowing*float64(half[0]) || 2*returned > l.Bytes {
		return l, false
	}
	l.PerStep, l.PerSecond = float64(l.Bytes)/float64(l.Steps), float64(l.Bytes)/(float64(wall)*1e-9)
	l.Row, l.Left = m.Row.At(lastAt), -1
	if k.process != profile.None {
		l.PID = c.P.Processes[k.process].PID
	}
	if k.device != profile.None {
		d := &c.P.Devices[k.device]
		l.Device = d.ID
		if u := c.Engine.GPUMemoryUtilization; u.Known && u.Value > 0 && u.Value <= 1 && d.MemoryBytes > 0 {
			l.Left = max(0, int64((1-u.Value)*float64(d.MemoryBytes))-grown)
		}
	}
	return l, true
}

// leakFinding words a leak. It has no share of the wall: it slows nothing until the server ends.
func (c *Context) leakFinding(l Leak) Finding {
	const mib = 1 << 20
	f := Finding{Severity: High, Confidence: likely, Summary: fmt.Sprintf(
		"Device memory of process %d leaks: steps like ones before keep %.1f MiB each, %.0f MiB/s, and nothing frees it. It ends in an out-of-memory error",
		l.PID, l.PerStep/mib, l.PerSecond/mib)}
	if l.Parts >= leakParts-1 && c.Batch() > 0 {
		f.Confidence = sure
	}
	f.Evidence = []Evidence{
		{fmt.Sprintf("kept by %d steady steps, in %d allocations", l.Steps, l.Blocks), float64(l.Bytes) / (1 << 30), "GiB", fmt.Sprintf("last in memory event row %d", l.Row)},
		{"kept per step", l.PerStep / mib, "MiB", c.rowsOf(&c.All)},
		{fmt.Sprintf("of %d equal parts of the time, those with such allocations", leakParts), float64(l.Parts), "parts", c.rowsOf(&c.All)},
	}
	if l.Left >= 0 {
		f.Summary += fmt.Sprintf(" after at most %.0f more steps, %.1f s at this pace", float64(l.Left)/l.PerStep, float64(l.Left)/l.PerSecond)
		f.Evidence = append(f.Evidence, Evidence{"memory that may be left at the end of the capture, at most", float64(l.Left) / (1 << 30), "GiB",
			"device table, gpu-memory-utilization " + c.Engine.GPUMemoryUtilization.Source.String()})
	}
	f.Summary += "; leaving more memory free only buys time."
	return f
}
