package diagnose_test

import (
	"strings"
	"testing"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/internal/captest"
)

// One story for each capture: the first alarm, what it explains, and what the server is bound by.
func TestStories(t *testing.T) {
	for _, c := range []struct {
		capture, first, bound string
		explained             []string
		healthy               bool // the verdict says that nothing is wrong
	}{
		{"eager1b-G", diagnose.HostLaunchBound, "host", nil, false},
		{"kvsmall-A", diagnose.KVCacheLimited, "memory", []string{diagnose.MemoryBandwidth}, false},
		{"batched256-E", diagnose.PrefillChunkLimited, "host", []string{diagnose.HostLaunchBound}, false},
		{"base1b-H", diagnose.HostLaunchBound, "host", nil, false},
		{"graphs128_1b-H", diagnose.Underloaded, "requests", []string{diagnose.HostStepGap}, false},
		{"base8b-F", diagnose.AttentionKVBound, "memory", []string{diagnose.DominantKernel, diagnose.MemoryBandwidth}, true},
		{"base8b-P", diagnose.PrefillInterference, "memory", nil, false},
		{"base8b-C", diagnose.Underloaded, "requests", nil, false},
		{"moe30b-A", diagnose.MemoryBandwidth, "memory", []string{diagnose.DominantKernel}, true},
		{"prefetch8b-O", diagnose.MemoryBandwidth, "memory", nil, false},
		{"nosync1b-G", diagnose.HostLaunchBound, "host", nil, false},
		{"ngram8b-D", diagnose.HostLaunchBound, "host", nil, false},
		{"base1b-S", diagnose.HostLaunchBound, "host", nil, false},
		{"base1b-G", diagnose.HostLaunchBound, "host", nil, false},
		{"base8b-A", diagnose.MemoryBandwidth, "memory", nil, true},
		{"base8b-kineto-A", diagnose.MemoryBandwidth, "memory", nil, true},
		{"base8b-gpumetrics-A", diagnose.MemoryBandwidth, "memory", nil, true},
		{"fp8-A", diagnose.MemoryBandwidth, "memory", []string{diagnose.DominantKernel}, true},
		{"base8b-B", diagnose.ComputeBound, "compute", nil, false},
		{"base8b-E", diagnose.ComputeBound, "compute", nil, false},
		{"seqs4-B", diagnose.QueueLimited, "memory", []string{diagnose.MemoryBandwidth}, false},
		{"guard1b-J", diagnose.SyncStall, "host", []string{diagnose.HostLaunchBound, diagnose.HostStepGap}, false},
		{"guard8b-J", diagnose.SyncStall, "host", []string{diagnose.HostLaunchBound}, false},
		{"blocking1b-J", diagnose.SyncStall, "host", []string{diagnose.HostLaunchBound}, false},
		{"leak1b-J", diagnose.MemoryGrowth, "host", nil, false},
		{"runner1_1b-J", diagnose.HostLaunchBound, "host", nil, false},
		{"offload8b-K", diagnose.TransferBound, "bus", nil, false},
		{"uva8b-L", diagnose.TransferBound, "bus", nil, false},
		{"ship1b-J", diagnose.TransferBound, "bus", []string{diagnose.HostLaunchBound}, false},
		{"base8b-U", "", "unknown", nil, false},
		{"coldstart1b-W", "", "unknown", nil, false},
	} {
		t.Run(c.capture, func(t *testing.T) {
			r := captest.Diagnose(t, c.capture, captest.Options{})
			if r.First() != c.first || r.Limits.Bound != c.bound {
				t.Errorf("first %q, want %q; bound by %s, want %s", r.First(), c.first, r.Limits.Bound, c.bound)
			}
			for _, id := range c.explained {
				if f := r.Finding(id); f == nil || f.Caused != c.first {
					t.Errorf("%s is not explained by %s: %+v", id, c.first, f)
				}
			}
			if got := strings.Contains(r.Verdict, "not a fault"); got != c.healthy {
				t.Errorf("verdict %q", r.Verdict)
			}
			if c.healthy {
				for _, f := range r.Findings {
					if f.Severity == diagnose.High {
						t.Errorf("a healthy capture with a high alarm: %s", f.Summary)
					}
				}
			}
		})
	}
}
