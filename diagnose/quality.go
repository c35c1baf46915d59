package diagnose

import (
	"fmt"
	"strings"

	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

// Limits of the capture checks.
const (
	fewSteps     = 20   // fewer steps give no reliable median of a phase
	lowCoverage  = 0.98 // device rows with a launch row
	distortedBy  = 1.10 // step period over unprofiled inter-token latency
	profilerMost = 0.02 // profiler overhead inside the steps
)

// remedies for what a capture lacks, by id; readers may give their own.
const nodeRemedy = "nsys profile --cuda-graph-trace=node"

// quality checks what the capture may be believed for.
func (c *Context) quality() []Quality {
	q := []Quality{}
	add := func(id string, sev Severity, remedy, format string, args ...any) {
		q = append(q, Quality{id, sev.String(), fmt.Sprintf(format, args...), remedy})
	}
	p := c.P
	cut, where, cutNote := c.cutOff()
	empty := p.Kernels.Len() == 0 && p.GraphTraces.Len() == 0 && p.Copies.Len() == 0
	switch {
	case empty && p.Capture.Truncated:
		add("no-gpu-work", High, "the whole file as the profiler wrote it; if that ends early too, stop the profiler before the process ends",
			"The file is %s before any GPU work, so nothing can be said about the GPU: %s.", cut, where)
	case empty:
		add("no-gpu-work", High, "nsys profile -t cuda,nvtx --trace-fork-before-exec=true; profile the engine process while requests run",
			"The capture holds no GPU work at all: nothing can be said about the GPU.")
	case p.GraphTraces.Len() > 0:
		inside := c.All.Part(step.Graph)
		add("graph-granularity", Medium, nodeRemedy,
			"CUDA graphs are recorded as whole launches (%d): %s of the steps' wall has no kernels, so stages inside graphs are unknown.",
			p.GraphTraces.Len(), percent(inside))
	case p.Capture.GraphTrace == "graph" && graphLaunchCalls(c) > 0 && len(c.Typical.Steps) > 0:
		add("graph-granularity", High, nodeRemedy, "CUDA graphs were launched but neither they nor their kernels are recorded: the GPU looks idle and may not be.")
	}
	if lost, all := c.lostWork(); float64(lost) > lostMin*float64(all) {
		sev := Medium
		if 10*lost > all {
			sev = High
		}
		add("lost-work", sev, "a shorter window, fewer traces at once, or more profiler buffers (nsys profile --cuda-flush-interval)",
			"%d of %d launches in the steps have no device work in the capture: the profiler lost rows, and the GPU worked more than it seems.", lost, all)
	}
	if n, all := c.early(); float64(n) > earlyMost*float64(all) {
		add("clock-skew", Medium, "capture again; report it to the profiler's makers where it happens again",
			"%s of the device work starts before its launch call: the clocks of host and GPU do not agree, and why the GPU waits cannot be told.", percent(ratio(float64(n), float64(all))))
	}
	if v := c.uneven.speed; v.Times >= speedMin {
		add("gpu-speed", Medium, "watch clocks, power and other processes while measuring: nvidia-smi -q -d PERFORMANCE,CLOCK,POWER",
			"%s is %.2f times slower in the %s half of the steps: the weights' GEMMs of equal steps take %.2f ms there and %.2f ms in the other half.",
			c.gpu(v.Rank), v.Times, v.half(), ms(v.SlowNs), ms(v.FastNs))
	}
	if v := c.uneven.slow; v.over > 0 {
		add("slow-rank", Medium, "compare clocks, power and other processes of the GPUs (nvidia-smi), and how the work is split between them",
			"GPU %d takes %s longer for its own work than GPU %d of the same engine, which waits for it in collectives.", v.gpu, percent(v.over), v.fastest)
	}
	c.engineNotes(add)
	for _, o := range c.uneven.others {
		add("shared-gpu", Medium, "keep other processes off the GPU while measuring",
			"Process %d works on GPU %d as well, %s of the window: its kernels and the server's slow each other, and none of its work is in the steps.",
			o.pid, o.gpu, percent(o.share))
	}
	n := len(c.A.Primary)
	switch {
	case n == 0 && p.Kernels.Len()+p.GraphTraces.Len() > 0:
		add("no-steps", High, "vllm serve --profiler-config.profiler cuda and nsys profile -t cuda,nvtx --capture-range=cudaProfilerApi",
			"No steps were found: %s.", c.engineFacts().StepWhy)
	case n > 0 && n < fewSteps:
		add("few-steps", Low, "a longer window", "Only %s: medians of a phase rest on few samples.", count(n, "step"))
	}
	if s := c.A.Source(); n > 0 && s != step.ByMarker {
		add("steps-inferred", Low, "vllm serve --profiler-config.profiler cuda with nsys -t cuda,nvtx (step markers)",
			"Steps come from %s, not from the engine's markers: their edges and batches are estimates.", s)
	}
	if cov := c.coverage(); c.A.DeviceRows > 0 && cov < lowCoverage {
		sev := Low
		if cov < 0.5 {
			sev = Medium
		}
		add("launch-coverage", sev, "keep the whole window when cutting a report; trace the runtime and driver API",
			"%s of the device work has its launch call in the capture; the rest is placed by stream order.", percent(cov))
	}
	if c.Distortion > 0 {
		d := c.Distortion
		switch {
		case d >= distortedBy:
			add("distortion", Medium, "judge step times by the unprofiled benchmark; nsys --cuda-graph-trace=graph stretches less",
				"Tracing stretches decode steps %.2f times against the unprofiled benchmark (median inter-token latency %.2f ms). GPU work is not affected, host time is.",
				d, float64(c.Period(&c.Typical).Median)/d/1e6)
		case d < 0.9:
			add("distortion", Low, "repeat the benchmark", "Decode steps in the capture are %.2f times the unprofiled inter-token latency: the server is host-bound and its host speed varies between runs.", d)
		default:
			add("distortion", Info, "", "Decode steps in the capture are %.2f times the unprofiled median inter-token latency: the capture is representative.", d)
		}
	} else if v := c.slowerGPU(); v > 0 {
		g := &c.Typical
		of := ""
		if copies := c.perStep(g, copyParts...); 2*copies > c.Busy(g).Median {
			of = fmt.Sprintf(" (%.2f ms of it copies between host and device)", ms(copies))
		}
		add("gpu-slower", Medium, "judge step times by the unprofiled benchmark; capture again where nothing else uses the GPU, its link or the host's memory",
			"The GPU's own work took longer in this window than in the unprofiled benchmark: %.2f ms per step%s, where the benchmark's tokens came every %.2f ms. That is the speed of the GPU or its link, not tracing, and how far tracing stretched host time cannot be told from it.",
			ms(c.Busy(g).Median), of, ms(c.Period(g).Median)/v)
	} else if b := c.Bench(); n > 0 && b != nil && mergedChunks(b) {
		add("distortion", Info, "", "The benchmark's chunks held several tokens each (%.2f ms between chunks, %.2f ms per token), so how far tracing stretched host time cannot be told from it.",
			b.ITL.Percentile(50).Value, b.TPOT.Mean.Value)
	} else if gap, ok := c.slowerBench(); ok {
		add("distortion", Low, "repeat the benchmark and the capture on the same server",
			"The benchmark's tokens come every %.2f ms, and decode steps of as many requests take %.2f ms in the capture, of which the GPU works %.2f ms. Tracing shortens no step: contexts were longer in the benchmark, or the GPU slower.",
			gap, ms(c.Period(&c.Typical).Median), ms(c.Busy(&c.Typical).Median))
	} else if n > 0 && b == nil && c.benchWhy == "" {
		add("no-benchmark", Info, "--bench with the result of an unprofiled run of the same load",
			"No unprofiled benchmark is given: how far tracing stretched host time is not known.")
	}
	c.outsideSteps(add)
	if ov := c.All.Part(step.IdleProfiler); ov > profilerMost {
		add("profiler-overhead", Low, "fewer traced APIs, a shorter window", "The profiler itself held the host for %s of the steps' wall.", percent(ov))
	}
	if p.Capture.Truncated && !empty {
		add("truncated", Medium, "stop the profiler before the process ends", "The file ends early: what follows its last complete event is not recorded.")
	}
	if p.Capture.WithStack {
		add("stacks", Low, "torch_profiler_with_stack:false", "Python stacks were recorded: host times are inflated.")
	}
	if p.Capture.Derived != "" {
		add("derived", Info, "", "The file was cut out of a larger one (%s): launches outside the cut are missing.", p.Capture.Derived)
	}
	for _, d := range p.Diagnostics {
		if d.Severity < profile.Warning || empty && p.Capture.Truncated && d.Text == cutNote {
			continue
		}
		sev := Low
		if d.Severity == profile.Error {
			sev = Medium
		}
		// nsys says "might have" whenever a capture range ends; where every device row has its launch nothing is missing.
		if d.Source == "profiler" && strings.Contains(d.Text, "might have") && c.coverage() > 0.999 {
			sev = Info
		}
		// What threads did is not read from the profiler's own deductions.
		if d.Source == "profiler" && strings.HasPrefix(d.Text, "Scheduling information is absent") {
			sev = Info
		}
		text := d.Text
		if d.Count > 1 {
			text = fmt.Sprintf("%s (%d)", text, d.Count)
		}
		add(d.Source+"-message", sev, "", "%s", text)
	}
	if c.engineWhy == "" {
		q = append(q, c.LogNotes...)
	}
	q = append(q, c.Notes...)
	if c.Run == nil {
		return q
	}
	for _, f := range []struct{ what, are, why string }{{"server log and command line are", "they are", c.engineWhy}, {"metrics are", "they are", c.deltaWhy}, {"benchmark is", "it is", c.benchWhy}} {
		if f.why != "" {
			add("server-evidence", Medium, "give the evidence of the server and load that were captured",
				"The %s left out, as something shows that %s not of this capture: %s.", f.what, f.are, strings.TrimSuffix(f.why, "."))
		}
	}
	for _, w := range c.Run.AllWarnings() {
		if w.Text != c.deltaWhy && w.Text != c.benchWhy {
			add("server-evidence", Low, "", "%s", w.String())
		}
	}
	return q
}

// cutOff says what is wrong with a file that was not read to its end, and where, in the reader's words; note is its message.
func (c *Context) cutOff() (what, where, note string) {
	for _, d := range c.P.Diagnostics {
		for _, what := range []string{"cut off", "damaged"} {
			if lead := "the trace is " + what + ": "; d.Source == "reader" && strings.HasPrefix(d.Text, lead) {
				return what, strings.TrimPrefix(d.Text, lead), d.Text
			}
		}
	}
	return "cut off", "what follows its last complete event is not recorded", ""
}

// outsideSteps tells how much of the window lies outside the steps: opening a capture range pauses the server.
func (c *Context) outsideSteps(add func(string, Severity, string, string, ...any)) {
	if len(c.A.Primary) == 0 || c.P.Window.Dur() == 0 {
		return
	}
	for ri := range c.A.Ranks {
		r := &c.A.Ranks[ri]
		if !r.Engine0 {
			continue
		}
		out := c.P.Window.Dur() - r.Wall.Clip(c.P.Window).Dur()
		if share := ratio(out, c.P.Window.Dur()); share > 0.02 {
			add("window-edges", Info, "", "%.0f ms of the %.0f ms window lie before the first step or after the last one: the profiler pauses the server when it starts and stops, or no request ran. Shares refer to the steps.",
				ms(out), ms(c.P.Window.Dur()))
		}
		return
	}
}

func graphLaunchCalls(c *Context) int {
	n := 0
	for _, i := range c.A.Primary {
		n += int(c.A.Steps[i].GraphLaunches)
	}
	return n
}

var captureQuality = Rule{
	ID: CaptureQuality, Title: "What this capture can and cannot show",
	Measures: "Granularity of CUDA graphs, steps and how they were found, launch coverage, launches without device work, " +
		"clocks that do not agree, distortion against an unprofiled benchmark, profiler overhead, window edges, messages of the profiler, " +
		"truncated or cut files. And what makes medians mean less: a GPU that is slower in one half of the window for the same " +
		"work (from 1.1 on), another process on it (from 2 % of the window on), engines or ranks that differ.",
	Wrong:  "Rows that are lost together with their launches cannot be seen.",
	Fix:    "The remedy of each note.",
	Needs:  "Nothing.",
	Source: "docs/capture.md",
	Check: func(c *Context) ([]Finding, string) {
		var out []Finding
		worst := Info
		var texts []Evidence
		for _, q := range c.notes {
			s, _ := ParseSeverity(q.Severity)
			if s == Info {
				continue
			}
			worst = max(worst, s)
			texts = append(texts, Evidence{Text: q.Text, Unit: "", Rows: q.ID})
		}
		if len(texts) == 0 {
			return nil, ""
		}
		f := Finding{Severity: worst, Confidence: sure, Summary: fmt.Sprintf("%d notes limit what this capture can show; the first: %s", len(texts), texts[0].Text), Evidence: texts}
		if len(texts) == 1 {
			f.Summary = texts[0].Text
		}
		out = append(out, f)
		return out, ""
	},
}

// notRecorded lists what the capture and the server evidence lack.
func (c *Context) notRecorded() []Missing {
	out := []Missing{}
	for _, m := range c.P.NotRecorded {
		out = append(out, Missing{m.What, m.Text, m.Remedy})
	}
	if c.Bench() == nil {
		out = append(out, Missing{"benchmark", "client-side latency and throughput", "--bench RESULT.json (vllm bench serve --save-result)"})
	}
	if c.Delta() == nil {
		out = append(out, Missing{"metrics", "server metrics around a measured run: queue, cache, preemptions", "--metrics-before F --metrics-after F (curl URL/metrics)"})
	}
	if c.log() == nil {
		out = append(out, Missing{"server-log", "start-up phases and engine settings", "--server-log F"})
	}
	if !c.HasShape {
		out = append(out, Missing{"model-shape", c.ShapeNote, "--model-config config.json"})
	}
	return out
}

// otherMin is the share of the window from which another process on the server's GPU is told.
const otherMin = 0.02

type other struct {
	pid, gpu int64
	share    float64
}

// others lists processes without steps that work on a GPU of a rank with steps.
func (c *Context) others() []other {
	serves := map[int32]bool{}
	for i := range c.A.Ranks {
		if r := &c.A.Ranks[i]; len(r.Steps) > 0 {
			serves[r.Device] = true
		}
	}
	var out []other
	for i := range c.A.Ranks {
		r := &c.A.Ranks[i]
		if len(r.Steps) > 0 || !serves[r.Device] || r.Process == profile.None || r.Device == profile.None {
			continue
		}
		if share := ratio(r.Busy.Total(), c.P.Window.Dur()); share >= otherMin {
			out = append(out, other{c.P.Processes[r.Process].PID, c.P.Devices[r.Device].ID, share})
		}
	}
	return out
}
