package summary

import (
	"cmp"
	"fmt"

	"github.com/stepscope/stepscope/profile"
)

// category is a part of a mixed summary.
type category struct {
	name   string
	values [][]int64
	labels []string
}

// mixed is the summary of several categories in one table.
func mixed(cats ...category) *Table {
	type key struct {
		category string
		label    string
	}
	var keys []key
	var values [][]int64
	for _, c := range cats {
		values = append(values, c.values...)
		for _, l := range c.labels {
			keys = append(keys, key{c.name, l})
		}
	}
	groups := summarise(values, func(a, b int32) int {
		return cmp.Or(cmp.Compare(keys[a].label, keys[b].label), cmp.Compare(keys[a].category, keys[b].category))
	})
	return timeTable("Instances", groups, []Column{{Name: "Category"}, {Name: "Operation"}}, func(k int32, v []Value) []Value {
		return append(v, Str(keys[k].category), Str(keys[k].label))
	})
}

func kernelCategory(p *profile.Profile, o options) category {
	names := nameKernels(p, o)
	return category{"CUDA_KERNEL", partition(names.ids, len(names.labels), func(i int) int64 { return p.Kernels.Dur[i] }),
		names.labels}
}

func memoryCategory(p *profile.Profile) category {
	values, labels := memoryOps(p, p.Copies.Dur, p.Memsets.Dur)
	return category{"MEMORY_OPER", values, labels}
}

func gpuSum(p *profile.Profile, o options) *Table {
	return mixed(kernelCategory(p, o), memoryCategory(p))
}

func apiGPUSum(p *profile.Profile, o options) *Table {
	ids, labels := named(p, p.Calls.Name, apiName)
	api := category{"CUDA_API", partition(ids, len(labels), func(i int) int64 { return p.Calls.Dur[i] }), labels}
	return mixed(api, kernelCategory(p, o), memoryCategory(p))
}

// gpuTrace lists kernels, copies and memsets by start.
func gpuTrace(p *profile.Profile, o options) *Table {
	names := nameKernels(p, o)
	integer := func(name, unit string) Column { return Column{Name: name, Unit: unit, Kind: Integer} }
	t := &Table{Columns: []Column{
		integer("Start", "ns"), integer("Duration", "ns"), integer("CorrId", ""), integer("GrdX", ""), integer("GrdY", ""),
		integer("GrdZ", ""), integer("BlkX", ""), integer("BlkY", ""), integer("BlkZ", ""), integer("Reg/Trd", ""),
		megabytes("StcSMem", "MB"), megabytes("DymSMem", "MB"), megabytes("Bytes", "MB"), megabytes("Throughput", "MB/s"), {Name: "SrcMemKd"},
		{Name: "DstMemKd"}, {Name: "Device"}, integer("Ctx", ""), integer("GreenCtx", ""), integer("Strm", ""), {Name: "Name"},
	}}
	devices := make([]Value, len(p.Devices))
	for i, d := range p.Devices {
		devices[i] = Str(fmt.Sprintf("%s (%d)", d.Name, d.ID))
	}
	queue := func(q int32, v []Value) []Value {
		x := &p.Queues[q]
		green := Null
		if x.GreenCtx > 0 {
			green = Int(x.GreenCtx)
		}
		return append(v, devices[x.Device], Int(x.Context), green, Int(x.Stream))
	}
	k, m, s := &p.Kernels, &p.Copies, &p.Memsets
	kernel := func(i int, v []Value) []Value {
		c := &p.Configs[k.Config[i]]
		v = append(v, Int(k.Start[i]), Int(k.Dur[i]), Int(int64(k.Correlation[i])), Int(int64(c.Grid[0])),
			Int(int64(c.Grid[1])), Int(int64(c.Grid[2])), Int(int64(c.Block[0])), Int(int64(c.Block[1])),
			Int(int64(c.Block[2])), Int(int64(c.Registers)), inMegabytes(float64(c.StaticShared)),
			inMegabytes(float64(c.DynamicShared)), Null, Null, Null, Null)
		return append(queue(k.Queue[i], v), Str(names.labels[names.ids[i]]))
	}
	memory := func(v []Value, start, dur, bytes int64, corr uint32, src, dst Value, q int32, name string) []Value {
		v = append(v, Int(start), Int(dur), Int(int64(corr)), Null, Null, Null, Null, Null, Null, Null, Null, Null,
			inMegabytes(float64(bytes)), throughput(bytes, dur), src, dst)
		return append(queue(q, v), Str(name))
	}
	kindless := p.Lacks(profile.WhatCopyDetail)
	kind := func(k profile.MemKind) Value {
		if kindless && k == profile.MemUnknown {
			return Null
		}
		return Str(memName(k))
	}
	copied := func(i int, v []Value) []Value {
		return memory(v, m.Start[i], m.Dur[i], m.Bytes[i], m.Correlation[i], kind(m.Src[i]), kind(m.Dst[i]),
			m.Queue[i], copyName(m.Kind[i]))
	}
	set := func(i int, v []Value) []Value {
		return memory(v, s.Start[i], s.Dur[i], s.Bytes[i], s.Correlation[i], kind(s.Mem[i]), Null, s.Queue[i],
			memsetName)
	}
	t.n = k.Len() + m.Len() + s.Len()
	t.rows = func(yield func([]Value) bool) {
		buf := make([]Value, 0, len(t.Columns))
		for i, j, l := 0, 0, 0; i < k.Len() || j < m.Len() || l < s.Len(); {
			at := min(startAt(k.Start, i), startAt(m.Start, j), startAt(s.Start, l))
			var row []Value
			switch {
			case startAt(k.Start, i) == at && i < k.Len():
				row = kernel(i, buf)
				i++
			case startAt(m.Start, j) == at && j < m.Len():
				row = copied(j, buf)
				j++
			default:
				row = set(l, buf)
				l++
			}
			if !yield(row) {
				return
			}
		}
	}
	return t
}

func startAt(start []int64, i int) int64 {
	if i >= len(start) {
		return int64(^uint64(0) >> 1)
	}
	return start[i]
}

// throughput is bytes per second in MB/s as nsys computes it: the whole operations of this length that fit in a second,
// times their bytes.
func throughput(bytes, dur int64) Value {
	if dur <= 0 {
		return Null
	}
	return inMegabytes(float64(bytes) * float64(1_000_000_000/dur))
}
