package summary

import (
	"cmp"

	"github.com/stepscope/stepscope/profile"
)

// copyNames are the labels of copy kinds as nsys prints them.
var copyNames = [...]string{
	profile.CopyUnknown: "Unknown",
	profile.CopyHtoD:    "Host-to-Device",
	profile.CopyDtoH:    "Device-to-Host",
	profile.CopyHtoA:    "Host-to-Array",
	profile.CopyAtoH:    "Array-to-Host",
	profile.CopyAtoA:    "Array-to-Array",
	profile.CopyAtoD:    "Array-to-Device",
	profile.CopyDtoA:    "Device-to-Array",
	profile.CopyDtoD:    "Device-to-Device",
	profile.CopyHtoH:    "Host-to-Host",
	profile.CopyPtoP:    "Peer-to-Peer",
	profile.CopyUVMHtoD: "Unified Host-to-Device",
	profile.CopyUVMDtoH: "Unified Device-to-Host",
	profile.CopyUVMDtoD: "Unified Device-to-Device",
}

// memNames are the labels of memory kinds as nsys prints them.
var memNames = [...]string{
	profile.MemPageable:      "Pageable",
	profile.MemPinned:        "Pinned",
	profile.MemDevice:        "Device",
	profile.MemArray:         "Array",
	profile.MemManaged:       "Managed",
	profile.MemDeviceStatic:  "Device Static",
	profile.MemManagedStatic: "Managed Static",
	profile.MemUnknown:       "Unknown",
}

const memsetName = "[CUDA memset]"

func copyName(k profile.CopyKind) string {
	if int(k) >= len(copyNames) {
		k = profile.CopyUnknown
	}
	return "[CUDA memcpy " + copyNames[k] + "]"
}

func memName(k profile.MemKind) string {
	if int(k) >= len(memNames) {
		k = profile.MemUnknown
	}
	return memNames[k]
}

// memoryOps groups the values of copies by kind, and those of memsets after them.
func memoryOps(p *profile.Profile, copies, memsets []int64) (values [][]int64, labels []string) {
	ids := make([]int32, len(copies))
	for i, k := range p.Copies.Kind {
		ids[i] = int32(min(int(k), len(copyNames)))
		if int(k) >= len(copyNames) {
			ids[i] = int32(profile.CopyUnknown)
		}
	}
	values = partition(ids, len(copyNames), func(i int) int64 { return copies[i] })
	for k := range copyNames {
		labels = append(labels, copyName(profile.CopyKind(k)))
	}
	return append(values, append([]int64(nil), memsets...)), append(labels, memsetName)
}

func memTimeSum(p *profile.Profile, _ options) *Table {
	values, labels := memoryOps(p, p.Copies.Dur, p.Memsets.Dur)
	groups := summarise(values, func(a, b int32) int { return cmp.Compare(labels[a], labels[b]) })
	return timeTable("Count", groups, []Column{{Name: "Operation"}}, func(k int32, v []Value) []Value {
		return append(v, Str(labels[k]))
	})
}

func memSizeSum(p *profile.Profile, _ options) *Table {
	values, labels := memoryOps(p, p.Copies.Bytes, p.Memsets.Bytes)
	groups := summarise(values, func(a, b int32) int { return cmp.Compare(labels[a], labels[b]) })
	mb := func(name string) Column { return megabytes(name, "MB") }
	t := &Table{Columns: []Column{
		mb("Total"), {Name: "Count", Kind: Integer}, mb("Avg"), mb("Med"), mb("Min"), mb("Max"), mb("StdDev"), {Name: "Operation"},
	}}
	return t.fill(len(groups), func(i int, v []Value) []Value {
		g := &groups[i]
		return append(v, inMegabytes(float64(g.sum)), Int(int64(g.n)), inMegabytes(g.avg), inMegabytes(g.med),
			inMegabytes(float64(g.min)), inMegabytes(float64(g.max)), inMegabytes(g.std), Str(labels[g.key]))
	})
}
