package nsys

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stepscope/stepscope/internal/proftest"
	"github.com/stepscope/stepscope/internal/proftest/scale"
	"github.com/stepscope/stepscope/interval"
	"github.com/stepscope/stepscope/profile"
)

var captures = []string{"base1b-G", "base1b-graphlevel-G", "base8b-A", "base8b-B", "base8b-E", "base8b-gpumetrics-A", "eager1b-G", "fp8-A", "seqs4-B"}

type oracle struct {
	Kernels    int   `json:"kernel_count"`
	KernelSum  int64 `json:"kernel_sum_ns"`
	InGraph    int   `json:"kernels_in_graph_nodes"`
	Runtime    int   `json:"runtime_api_rows"`
	Joined     int   `json:"kernels_with_matching_runtime_row"`
	GraphTrace int   `json:"graph_trace_rows"`
	Devices    map[string]struct {
		KernelBusy int64 `json:"union_kernel_busy_ns"`
		FirstStart int64 `json:"first_gpu_start"`
		LastEnd    int64 `json:"last_gpu_end"`
	} `json:"devices"`
	Window struct {
		Duration int64 `json:"duration_ns"`
	} `json:"profile_window"`
	Memcpy map[string]struct {
		Count, Bytes, Ns int64
	} `json:"memcpy_by_kind"`
	Memset struct {
		Count, Bytes, Ns int64
	} `json:"memset"`
	Top []struct {
		Name  string `json:"name"`
		Count int64  `json:"count"`
		Total int64  `json:"total_ns"`
	} `json:"runtime_api_top8_by_time"`
	Other map[string]int `json:"other_annotations"`
	Texts []struct {
		Text  string `json:"text"`
		Count int    `json:"count"`
	} `json:"step_annotations_by_text"`
}

func open(t testing.TB, capture string, o Options) *profile.Profile {
	t.Helper()
	p, err := Open(context.Background(), filepath.Join(proftest.SharedCapture(t, capture), "profile.sqlite.zst"), o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestCapturesEqualOracles compares every total with plain SQL's, to the nanosecond.
func TestCapturesEqualOracles(t *testing.T) {
	for _, name := range captures {
		t.Run(name, func(t *testing.T) {
			p := open(t, name, Options{})
			var o oracle
			proftest.Oracle(t, name, &o)
			k := &p.Kernels
			var sum int64
			inGraph, joined := 0, 0
			spans := make([]interval.Span, k.Len())
			for i := range k.Start {
				sum += k.Dur[i]
				if k.GraphNode[i] != 0 {
					inGraph++
				}
				if k.Call[i] != profile.None {
					joined++
				}
				spans[i] = interval.Span{Start: k.Start[i], End: k.End(i)}
			}
			got := []int64{int64(k.Len()), sum, int64(inGraph), int64(p.Calls.Len()), int64(joined), int64(p.GraphTraces.Len()),
				interval.Union(spans).Total(), p.Window.Dur()}
			want := []int64{int64(o.Kernels), o.KernelSum, int64(o.InGraph), int64(o.Runtime), int64(o.Joined), int64(o.GraphTrace),
				o.Devices["0"].KernelBusy, o.Window.Duration}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("kernels, sum, in graph, calls, joined, graph traces, busy, window (-want +got):\n%s", diff)
			}
			copies := map[string][3]int64{}
			for i, kind := range p.Copies.Kind {
				c := copies[string(rune('0'+kind))]
				copies[string(rune('0'+kind))] = [3]int64{c[0] + 1, c[1] + p.Copies.Bytes[i], c[2] + p.Copies.Dur[i]}
			}
			for key, m := range o.Memcpy {
				id, _, _ := strings.Cut(key, ":")
				if c := copies[id]; c != [3]int64{m.Count, m.Bytes, m.Ns} {
					t.Errorf("copies of kind %s: %v, want %v", key, c, m)
				}
			}
			var set [3]int64
			for i, b := range p.Memsets.Bytes {
				set = [3]int64{set[0] + 1, set[1] + b, set[2] + p.Memsets.Dur[i]}
			}
			if set != [3]int64{o.Memset.Count, o.Memset.Bytes, o.Memset.Ns} {
				t.Errorf("memsets %v, want %v", set, o.Memset)
			}
			calls := map[string][2]int64{}
			for i := range p.Calls.Start {
				c := calls[p.CallName(i)]
				calls[p.CallName(i)] = [2]int64{c[0] + 1, c[1] + p.Calls.Dur[i]}
			}
			for _, c := range o.Top {
				if calls[c.Name] != [2]int64{c.Count, c.Total} {
					t.Errorf("%s: %v, want %d calls of %d ns", c.Name, calls[c.Name], c.Count, c.Total)
				}
			}
			texts := map[string]int{}
			for _, id := range p.Ranges.Text {
				texts[p.Strings.At(id)]++
			}
			for _, a := range o.Texts {
				if texts[a.Text] != a.Count {
					t.Errorf("%s: %d ranges, want %d", a.Text, texts[a.Text], a.Count)
				}
			}
			for text, n := range o.Other {
				if texts[text] != n {
					t.Errorf("%s: %d ranges, want %d", text, texts[text], n)
				}
			}
			if p.Producer != "Nsight Systems 2025.3.2" || p.Schema != "3.20.3" || p.SessionStartUnixNs == 0 {
				t.Errorf("producer %q, schema %q, session start %d", p.Producer, p.Schema, p.SessionStartUnixNs)
			}
		})
	}
}

// TestFastPathAndLibraryAgree reads captures both ways.
func TestFastPathAndLibraryAgree(t *testing.T) {
	for _, name := range captures {
		t.Run(name, func(t *testing.T) {
			if scale.Race && name != "base1b-graphlevel-G" {
				t.Skip("one is enough for a slow run")
			}
			fast := open(t, name, Options{Debug: func(s string) { t.Error(s) }})
			slow := open(t, name, Options{LibraryOnly: true})
			for _, c := range []struct {
				what       string
				fast, slow any
			}{
				{"kernels", fast.Kernels, slow.Kernels}, {"calls", fast.Calls, slow.Calls}, {"ranges", fast.Ranges, slow.Ranges},
				{"copies", fast.Copies, slow.Copies}, {"memsets", fast.Memsets, slow.Memsets}, {"syncs", fast.Syncs, slow.Syncs},
				{"graphs", fast.GraphTraces, slow.GraphTraces}, {"graph events", fast.GraphEvents, slow.GraphEvents},
				{"os calls", fast.OSCalls, slow.OSCalls}, {"library calls", fast.LibCalls, slow.LibCalls}, {"overheads", fast.Overheads, slow.Overheads},
				{"counters", fast.Counters, slow.Counters}, {"memory", fast.MemEvents, slow.MemEvents}, {"missing", fast.NotRecorded, slow.NotRecorded},
				{"devices", fast.Devices, slow.Devices}, {"threads", fast.Threads, slow.Threads}, {"queues", fast.Queues, slow.Queues},
			} {
				if diff := cmp.Diff(c.slow, c.fast); diff != "" {
					t.Errorf("%s differ (-library +fast):\n%.2000s", c.what, diff)
				}
			}
		})
	}
}

func TestGPUMetricsCapture(t *testing.T) {
	p := open(t, "base8b-gpumetrics-A", Options{})
	if len(p.Counters) != 22 || len(p.Counters[0].Times) != 6925 {
		t.Fatalf("%d counters, %d samples", len(p.Counters), len(p.Counters[0].Times))
	}
	if &p.Counters[0].Times[0] != &p.Counters[21].Times[0] {
		t.Error("sample times are kept more than once")
	}
	if p.OSCalls.Len() == 0 || p.MemEvents.Len() == 0 {
		t.Errorf("%d OS calls, %d memory events", p.OSCalls.Len(), p.MemEvents.Len())
	}
	for _, m := range p.NotRecorded {
		if m.What == profile.WhatCounters || m.What == profile.WhatOSCalls || m.What == profile.WhatMemEvents {
			t.Errorf("%s is recorded but listed as missing", m.What)
		}
	}
}

// A scaled capture is its source over and over: the counts and the GPU time multiply, every kernel keeps its launch, and
// reading it in two parts or with other tables at the same time changes nothing.
func TestScaledCapture(t *testing.T) {
	if testing.Short() || scale.Race {
		t.Skip("reads half a million rows")
	}
	const kernels = 7495
	one := open(t, "eager1b-G", Options{})
	path, made := scale.Capture(t, "eager1b-G", scale.Target{Kernels: 5 * kernels, Calls: 150_000, Ranges: 200_000})
	p, err := Open(t.Context(), path, Options{Debug: func(s string) { t.Error(s) }})
	if err != nil {
		t.Fatal(err)
	}
	sum := func(dur []int64) (ns int64) {
		for _, d := range dur {
			ns += d
		}
		return ns
	}
	joined := 0
	for i, c := range p.Kernels.Call {
		if c != profile.None && p.Calls.Correlation[c] == p.Kernels.Correlation[i] {
			joined++
		}
	}
	got := []int64{made.Repeats, int64(p.Kernels.Len()), sum(p.Kernels.Dur), int64(joined), sum(p.Copies.Dur), int64(p.Calls.Len()), int64(p.Ranges.Len())}
	want := []int64{5, 5 * kernels, 5 * sum(one.Kernels.Dur), 5 * kernels, 5 * sum(one.Copies.Dur), 150_000, made.Ranges - 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("repeats, kernels, kernel time, joined, copy time, calls, ranges (-want +got):\n%s", diff)
	}
}
