package diagnose

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

// States of a checklist item.
const (
	done        = "done"         // looked, nothing to report
	found       = "found"        // looked, a finding tells what
	notRecorded = "not recorded" // the capture cannot show it; the text names the option that would record it
)

// checklist answers the workflow's items one by one.
func (c *Context) checklist(d *Diagnosis) []CheckItem {
	var out []CheckItem
	has := func(ids ...string) (string, bool) {
		for _, f := range d.Findings {
			for _, id := range ids {
				if f.ID == id && f.Severity > Info {
					return f.Summary, true
				}
			}
		}
		return "", false
	}
	whyNot := func(ids ...string) string {
		for _, a := range d.Abstained {
			for _, id := range ids {
				if a.Rule == id {
					return a.Why
				}
			}
		}
		return ""
	}
	item := func(name, fine string, ids ...string) {
		if s, ok := has(ids...); ok {
			out = append(out, CheckItem{name, found, s})
			return
		}
		for _, f := range d.Findings {
			// Context is no alarm, but what it says holds.
			if slices.Contains(ids, f.ID) && f.Caused != "" {
				out = append(out, CheckItem{name, done, fmt.Sprintf("explained by %s: %s", f.Caused, f.Summary)})
				return
			} else if slices.Contains(ids, f.ID) {
				out = append(out, CheckItem{name, done, "too little to matter: " + f.Summary})
				return
			}
		}
		if why := whyNot(ids...); why != "" {
			out = append(out, CheckItem{name, notRecorded, why + remedyFor(why)})
			return
		}
		out = append(out, CheckItem{name, done, fine})
	}
	if len(d.Lifecycle) > 0 {
		var p []string
		for _, l := range d.Lifecycle {
			if len(p) == 0 || p[len(p)-1] != l.Phase {
				p = append(p, l.Phase)
			}
		}
		out = append(out, CheckItem{"Serve lifecycle", done, strings.Join(p, ", ")})
	} else {
		out = append(out, CheckItem{"Serve lifecycle", notRecorded, "no phase can be told from this capture"})
	}
	item("Capture can be trusted", "no note limits the capture", CaptureQuality)
	item("CPU-GPU synchronisation", "no synchronising call holds up the GPU", SyncStall)
	item("Launches inside steps", fmt.Sprintf("the GPU waits for launches %s of the time", percent(c.All.Part(step.IdleLaunch))), HostLaunchBound)
	item("Gaps between steps", fmt.Sprintf("the GPU waits between steps %s of the time", percent(c.All.Part(step.IdleScheduler))), HostStepGap)
	item("Dominant kernel", "no kernel takes half of the GPU time", DominantKernel)
	item("Memory bandwidth (weights)", "decode is not limited by reading weights", MemoryBandwidth)
	item("Memory bandwidth (KV cache)", "attention does not dominate decode", AttentionKVBound)
	item("Arithmetic (prefill)", "no step is limited by arithmetic", ComputeBound)
	item("Host-device transfers", fmt.Sprintf("exposed copies take %s of the time", percent(c.All.Part(append([]step.Part{step.IdleCopy}, copyParts...)...))), TransferBound)
	item("API latency", "no slow API call holds up the GPU", APILatency)
	if c.Delta() == nil && c.Bench() == nil && c.log() == nil {
		out = append(out, CheckItem{"Queueing", notRecorded, "give --metrics-before and --metrics-after, --server-log or --bench"})
	} else {
		item("Queueing", c.queueText(), QueueLimited, KVCacheLimited, Underloaded)
	}
	item("Prefill against decode", "decode does not wait behind prefill in this window", PrefillInterference, PrefillChunkLimited)
	if c.Budget[step.Part(kernel.Collective)] == 0 && len(c.A.Primary) > 0 {
		out = append(out, CheckItem{"Communication between GPUs", done, "no collective in the steps"})
	} else {
		item("Communication between GPUs", fmt.Sprintf("exposed collectives take %s of the time", percent(c.All.Part(step.Part(kernel.Collective)))), CollectiveBound)
	}
	item("Sampling", "sampling is a small part of the step", SamplingBound)
	item("First tokens cold or warm", "no first-use effect in the steps", ColdStart)
	if c.P.Lacks(profile.WhatCounters) {
		out = append(out, CheckItem{"Hardware counters", notRecorded, "nsys profile --gpu-metrics-devices=all"})
	} else if len(c.P.Counters) > 0 {
		out = append(out, CheckItem{"Hardware counters", done, fmt.Sprintf("%d counters", len(c.P.Counters))})
	}
	if c.P.Lacks(profile.WhatMemEvents) {
		out = append(out, CheckItem{"Memory over time", notRecorded, "nsys profile --cuda-memory-usage=true"})
	} else if c.P.MemEvents.Len() > 0 {
		out = append(out, CheckItem{"Memory over time", done, fmt.Sprintf("%d allocation events", c.P.MemEvents.Len())})
	}
	return out
}

// queueText says what is known of waiting requests where no finding is about them.
func (c *Context) queueText() string {
	switch w := c.waiting(); {
	case !w.known:
		return "the batch is not held at a cap"
	case w.mean >= 1:
		return fmt.Sprintf("%.0f requests wait on average, but no cap on the batch or the cache holds them", w.mean)
	}
	return "no request waits for a place in the batch"
}

// remedies name the option that would record what a rule lacks, by the words that it abstains with.
var remedies = []struct{ words, option string }{
	{"API calls are not recorded", "nsys profile -t cuda"},
	{"inside CUDA graphs are not recorded", nodeRemedy},
	{"kernels are not recorded", "nsys profile -t cuda while requests run"},
	{"has its launch call in the capture", "do not cut the report"},
	{"fewer than", "a longer window"},
	{"too few", "a longer window"},
	{"no step is in the capture", "a window with requests, with vllm serve --profiler-config.profiler cuda"},
	{"nothing tells decode steps from others", "vllm serve --profiler-config.profiler cuda with nsys -t cuda,nvtx"},
	{"is not recorded", "vllm serve --profiler-config.profiler cuda with nsys -t cuda,nvtx"},
}

func remedyFor(why string) string {
	for _, r := range remedies {
		if strings.Contains(why, r.words) {
			return ": " + r.option
		}
	}
	return ""
}

// batches returns the least and the most requests of steady decode steps, 0 where they are not recorded.
func (c *Context) batches() (lo, hi int64) {
	for _, i := range c.Decode.Steps {
		n := c.A.Steps[i].Batch.DecodeRequests
		if n <= 0 {
			return 0, 0
		}
		if lo == 0 || n < lo {
			lo = n
		}
		hi = max(hi, n)
	}
	return lo, hi
}

// verdict tells the story: what a step is, what makes that number mean less, and what limits it.
func (c *Context) verdict(d *Diagnosis) string {
	if len(c.A.Primary) == 0 {
		if c.P.Capture.Truncated {
			what, where, _ := c.cutOff()
			return fmt.Sprintf("The file is %s, and what could be read holds no engine step, so there is no verdict: use the whole file, or capture again. In detail: %s.", what, where)
		}
		if c.P.Kernels.Len() == 0 && c.P.GraphTraces.Len() == 0 {
			return "No GPU work is recorded, so nothing can be said about the server: capture again while requests run."
		}
		return "No engine steps were found, so there is no verdict; kernel, API and copy tables still hold."
	}
	if c.Period(&c.All).N == 0 {
		return fmt.Sprintf("Only %d step is recorded, and nothing shows where it ends: too little for a verdict.", len(c.A.Primary))
	}
	var b strings.Builder
	if g := &c.Typical; len(g.Steps) > 0 && c.A.Steps[g.Steps[0]].Phase == step.Decode {
		q := c.Period(g)
		b.WriteString("A decode step")
		if n := c.Batch(); n > 0 {
			b.WriteString(" of " + requests(n))
			if lo, hi := c.batches(); 2*len(g.Steps) < len(c.Decode.Steps) && lo < hi {
				fmt.Fprintf(&b, " (the most frequent batch of %d to %d)", lo, hi)
			}
		}
		fmt.Fprintf(&b, " takes %.2f ms", ms(q.Median))
		switch v := c.slowerGPU(); {
		case c.Distortion >= distortedBy:
			fmt.Fprintf(&b, " under the profiler (%.2f ms without)", ms(q.Median)/c.Distortion)
		case v > 0:
			fmt.Fprintf(&b, " in this window (%.2f ms in the unprofiled benchmark)", ms(q.Median)/v)
		}
		fmt.Fprintf(&b, ", of which the GPU works %.2f ms", ms(c.Busy(g).Median))
	} else {
		q := c.Period(&c.All)
		fmt.Fprintf(&b, "A step takes %.2f ms (median of %d), of which the GPU works %.2f ms", ms(q.Median), q.N, ms(c.Busy(&c.All).Median))
	}
	b.WriteString(". ")
	if v := c.uneven.speed; v.Times >= speedMin {
		fmt.Fprintf(&b, "%s is %.2f times slower in the %s half of the steps, at the same work. ", c.gpu(v.Rank), v.Times, v.half())
	}
	if v := c.uneven.slow; v.over > 0 {
		fmt.Fprintf(&b, "GPU %d takes %s longer for its own work than GPU %d, which waits for it. ", v.gpu, percent(v.over), v.fastest)
	}
	if v := c.uneven.waiting; v.share > 0 && c.uneven.slow.over == 0 {
		b.WriteString(v.String() + " ")
	}
	if c.uneven.engines != "" {
		b.WriteString(c.uneven.engines + " ")
	}
	for _, o := range c.uneven.others {
		fmt.Fprintf(&b, "Process %d works on the same GPU, %s of the time. ", o.pid, percent(o.share))
	}
	top := -1
	fault := false
	for i, f := range d.Findings {
		if f.Severity < Low || f.Caused != "" || f.ID == CaptureQuality {
			continue
		}
		if top < 0 {
			top = i
		}
		fault = fault || f.Severity >= Medium && !hardware[f.ID]
	}
	idle := ratio(c.Budget.Idle(), c.Wall)
	switch {
	case top >= 0:
		b.WriteString(d.Findings[top].Summary)
		if !fault && hardware[d.Findings[top].ID] && idle < 0.10 && c.atLimit() {
			fmt.Fprintf(&b, " The GPU is busy %s of the time", percent(1-idle))
			switch {
			case abstained(d, QueueLimited) || abstained(d, KVCacheLimited):
				b.WriteString("; whether requests wait for a place in the batch is not recorded.")
			default:
				b.WriteString(" and nothing else holds the server up: this is the hardware's limit, not a fault.")
			}
		}
	case c.All.Part(step.Graph) > graphMost && idle < 0.10:
		fmt.Fprintf(&b, "The GPU is busy %s of the time, and what it does inside CUDA graphs is not recorded: capture again with %s.", percent(1-idle), nodeRemedy)
	case c.hostEvidence() != "" && idle >= 0.10:
		fmt.Fprintf(&b, "The GPU is idle %s of the time, and why cannot be told: %s.", percent(idle), c.hostEvidence())
	case c.Budget[step.IdleUnknown]*10 >= c.Wall:
		fmt.Fprintf(&b, "The GPU is idle %s of the time, and for %s nothing recorded tells why.", percent(idle), percent(ratio(c.Budget[step.IdleUnknown], c.Wall)))
	default:
		b.WriteString("No limit worth fixing was found in what this capture records.")
	}
	return b.String()
}

func abstained(d *Diagnosis, rule string) bool {
	for _, a := range d.Abstained {
		if a.Rule == rule {
			return true
		}
	}
	return false
}

// hardware are the findings that name a limit of the hardware at work: advice can move it, and nothing is wrong.
var hardware = map[string]bool{MemoryBandwidth: true, ComputeBound: true, AttentionKVBound: true}
