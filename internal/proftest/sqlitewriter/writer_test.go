package sqlitewriter_test

import (
	"testing"

	"github.com/stepscope/stepscope/internal/proftest/sqlitewriter"
)

// The number of columns is the one thing about old versions that real files have left on record.
func TestColumnCounts(t *testing.T) {
	for _, c := range []struct {
		version, table string
		columns        int
	}{
		{"2.9.1", "CUPTI_ACTIVITY_KIND_KERNEL", 27}, {"3.4.0", "CUPTI_ACTIVITY_KIND_KERNEL", 27}, {"3.11.3", "CUPTI_ACTIVITY_KIND_KERNEL", 28},
		{"3.20.3", "CUPTI_ACTIVITY_KIND_KERNEL", 28}, {"3.24.0", "CUPTI_ACTIVITY_KIND_KERNEL", 38},
		{"3.24.14", "CUPTI_ACTIVITY_KIND_KERNEL", 39}, {"3.25.0", "CUPTI_ACTIVITY_KIND_KERNEL", 40},
		{"2.9.1", "CUPTI_ACTIVITY_KIND_MEMCPY", 19}, {"3.11.3", "CUPTI_ACTIVITY_KIND_MEMCPY", 20}, {"3.20.3", "CUPTI_ACTIVITY_KIND_MEMCPY", 21},
		{"2.9.1", "CUPTI_ACTIVITY_KIND_MEMSET", 11}, {"3.11.3", "CUPTI_ACTIVITY_KIND_MEMSET", 12},
		{"2.9.1", "CUPTI_ACTIVITY_KIND_RUNTIME", 8}, {"2.9.1", "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION", 9}, {"3.11.3", "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION", 10},
		{"3.20.3", "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION", 12}, {"2.9.1", "CUPTI_ACTIVITY_KIND_CUDA_EVENT", 6}, {"3.20.3", "CUPTI_ACTIVITY_KIND_CUDA_EVENT", 8},
		{"3.24.14", "CUPTI_ACTIVITY_KIND_CUDA_EVENT", 9}, {"2.9.1", "NVTX_EVENTS", 19}, {"3.0.0", "NVTX_EVENTS", 20}, {"3.20.3", "TARGET_INFO_GPU", 41},
	} {
		if got := len(sqlitewriter.New(c.version).Columns(c.table)); got != c.columns {
			t.Errorf("%s of schema %s has %d columns, want %d", c.table, c.version, got, c.columns)
		}
	}
}
