package nsys

import (
	"context"

	"github.com/stepscope/stepscope/profile"
)

// The numbers of enumerations have been the same in every export seen, but an export also names them: where it does, the
// names decide.
const (
	tabEnumMem  = "ENUM_CUDA_MEM_KIND"
	tabEnumCopy = "ENUM_CUDA_MEMCPY_OPER"
	tabEnumSync = "ENUM_CUPTI_SYNC_TYPE"
)

var memKindNames = []string{ // by profile.MemKind
	"CUDA_MEMOPR_MEMORY_KIND_PAGEABLE", "CUDA_MEMOPR_MEMORY_KIND_PINNED", "CUDA_MEMOPR_MEMORY_KIND_DEVICE", "CUDA_MEMOPR_MEMORY_KIND_ARRAY",
	"CUDA_MEMOPR_MEMORY_KIND_MANAGED", "CUDA_MEMOPR_MEMORY_KIND_DEVICE_STATIC", "CUDA_MEMOPR_MEMORY_KIND_MANAGED_STATIC", "CUDA_MEMOPR_MEMORY_KIND_UNKNOWN",
}

var copyKindNames = []string{ // by profile.CopyKind
	"CUDA_MEMCPY_KIND_UNKNOWN", "CUDA_MEMCPY_KIND_HTOD", "CUDA_MEMCPY_KIND_DTOH", "CUDA_MEMCPY_KIND_HTOA", "CUDA_MEMCPY_KIND_ATOH", "CUDA_MEMCPY_KIND_ATOA",
	"CUDA_MEMCPY_KIND_ATOD", "CUDA_MEMCPY_KIND_DTOA", "CUDA_MEMCPY_KIND_DTOD", "CUDA_MEMCPY_KIND_HTOH", "CUDA_MEMCPY_KIND_PTOP", "CUDA_MEMCPY_KIND_UVM_HTOD",
	"CUDA_MEMCPY_KIND_UVM_DTOH", "CUDA_MEMCPY_KIND_UVM_DTOD",
}

var syncKindNames = []string{ // by profile.SyncKind
	"CUPTI_ACTIVITY_SYNCHRONIZATION_TYPE_UNKNOWN", "CUPTI_ACTIVITY_SYNCHRONIZATION_TYPE_EVENT_SYNCHRONIZE", "CUPTI_ACTIVITY_SYNCHRONIZATION_TYPE_STREAM_WAIT_EVENT",
	"CUPTI_ACTIVITY_SYNCHRONIZATION_TYPE_STREAM_SYNCHRONIZE", "CUPTI_ACTIVITY_SYNCHRONIZATION_TYPE_CONTEXT_SYNCHRONIZE",
}

// enum translates the numbers of one enumeration of a file into those of package profile.
type enum struct {
	known   int           // numbers of package profile, from 0
	unknown uint8         // what stands for the rest
	file    map[int64]int // numbers of the file that mean something else; nil where none does
}

func (e *enum) of(v int64) uint8 {
	if to, ok := e.file[v]; ok {
		v = int64(to)
	}
	if v < 0 || v >= int64(e.known) {
		return e.unknown
	}
	return uint8(v)
}

type enums struct{ mem, copies, syncs enum }

func (r *reader) readEnums(ctx context.Context) {
	read := func(table string, names []string, unknown uint8) enum {
		e := enum{known: len(names), unknown: unknown}
		r.each(ctx, table, []string{"id"}, []string{"name"}, func(n []int64, s []string) {
			for to, name := range names {
				if s[0] == name && n[0] != noValue && n[0] != int64(to) {
					if e.file == nil {
						e.file = map[int64]int{}
					}
					e.file[n[0]] = to
				}
			}
		})
		return e
	}
	r.enums = enums{
		mem:    read(tabEnumMem, memKindNames, uint8(profile.MemUnknown)),
		copies: read(tabEnumCopy, copyKindNames, uint8(profile.CopyUnknown)),
		syncs:  read(tabEnumSync, syncKindNames, uint8(profile.SyncUnknown)),
	}
}
