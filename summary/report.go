package summary

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/profile"
)

// Report describes one report.
type Report struct {
	Name        string   // nsys' name, e.g. "cuda_gpu_kern_sum"
	Aliases     []string // names of older releases
	Title       string   // heading that nsys prints above the columns
	Options     []string // accepted after the name, separated by colons
	Description string
	Needs       Need // the data without which it is skipped

	run func(p *profile.Profile, o options) *Table
}

// Need names the data that a report is made of.
type Need uint8

// Needs of reports, in nsys' words.
const (
	NeedKernels   Need = iota // kernel executions
	NeedMemoryOps             // copies or memsets
	NeedGPU                   // kernels, copies or memsets
	NeedCalls                 // CUDA API calls
	NeedCallsOrGPU
	NeedLaunches // kernels and CUDA API calls
	NeedRanges   // NVTX ranges
	NeedProjection
	NeedOSCalls
)

// String returns what a profile without the data lacks, as nsys names it.
func (n Need) String() string {
	switch n {
	case NeedKernels:
		return "CUDA kernel data"
	case NeedMemoryOps:
		return "GPU memory data"
	case NeedGPU:
		return "GPU trace data"
	case NeedCalls:
		return "CUDA trace data"
	case NeedCallsOrGPU, NeedLaunches:
		return "CUDA trace data"
	case NeedRanges, NeedProjection:
		return "NV Tools Extension (NVTX) data"
	}
	return "OS Runtime trace data"
}

// missing returns what p lacks for n, "" if nothing.
func (n Need) missing(p *profile.Profile) string {
	kernels, calls := p.Kernels.Len() > 0, p.Calls.Len() > 0
	memory := p.Copies.Len() > 0 || p.Memsets.Len() > 0
	ok := true
	switch n {
	case NeedKernels:
		ok = kernels
	case NeedMemoryOps:
		ok = memory
	case NeedGPU:
		ok = kernels || memory
	case NeedCalls:
		ok = calls
	case NeedCallsOrGPU:
		ok = calls || kernels || memory
	case NeedLaunches:
		if !kernels {
			return NeedKernels.String()
		}
		ok = calls
	case NeedRanges:
		ok = p.Ranges.Len() > 0
	case NeedProjection:
		if p.Ranges.Len() == 0 {
			return n.String()
		}
		if !calls {
			return NeedCalls.String()
		}
		if !kernels {
			return NeedKernels.String()
		}
	case NeedOSCalls:
		ok = p.OSCalls.Len() > 0
	}
	if ok {
		return ""
	}
	return n.String()
}

// SkippedError says that the profile does not hold the data of a report. It is no fault of the input: nsys prints the
// same line after SKIPPED and goes on with the next report.
type SkippedError struct {
	Report string
	Source string // base name of the input
	Lacks  string // e.g. "CUDA kernel data"
}

func (e *SkippedError) Error() string {
	source := e.Source
	if source == "" {
		source = "the profile"
	}
	return fmt.Sprintf("%s does not contain %s.", source, e.Lacks)
}

// ErrUnknownReport is wrapped when the name of a report or one of its options is not known.
var ErrUnknownReport = errors.New("unknown report")

// options are the parsed options of a report.
type options struct {
	nvtxName bool
	base     bool
	mangled  bool
}

var (
	nameOptions  = []string{"nvtx-name", "base", "mangled"}
	plainOptions = []string{"base", "mangled"}
)

// Reports returns all reports in alphabetical order.
func Reports() []Report {
	return []Report{
		{Name: "cuda_api_gpu_sum", Title: "CUDA Summary (API/Kernels/MemOps)", Options: nameOptions, Needs: NeedCallsOrGPU,
			Aliases: []string{"apigpusum"}, Description: "time of CUDA API calls, kernels and memory operations", run: apiGPUSum},
		{Name: "cuda_api_sum", Title: "CUDA API Summary", Needs: NeedCalls,
			Aliases: []string{"cudaapisum"}, Description: "time of CUDA API calls by function", run: apiSum},
		{Name: "cuda_api_trace", Title: "CUDA API Trace", Needs: NeedCalls,
			Aliases: []string{"cudaapitrace"}, Description: "every CUDA API call", run: apiTrace},
		{Name: "cuda_gpu_kern_gb_sum", Title: "CUDA GPU Kernel/Grid/Block Summary", Options: nameOptions, Needs: NeedKernels,
			Description: "time of kernels by name, grid and block", run: kernelGridSum},
		{Name: "cuda_gpu_kern_sum", Title: "CUDA GPU Kernel Summary", Options: nameOptions, Needs: NeedKernels,
			Aliases: []string{"gpukernsum"}, Description: "time of kernels by name", run: kernelSum},
		{Name: "cuda_gpu_mem_size_sum", Title: "CUDA GPU MemOps Summary (by Size)", Needs: NeedMemoryOps,
			Aliases: []string{"gpumemsizesum"}, Description: "bytes of copies and memsets by kind", run: memSizeSum},
		{Name: "cuda_gpu_mem_time_sum", Title: "CUDA GPU MemOps Summary (by Time)", Needs: NeedMemoryOps,
			Aliases: []string{"gpumemtimesum"}, Description: "time of copies and memsets by kind", run: memTimeSum},
		{Name: "cuda_gpu_sum", Title: "CUDA GPU Summary (Kernels/MemOps)", Options: nameOptions, Needs: NeedGPU,
			Aliases: []string{"gpusum"}, Description: "time of kernels, copies and memsets", run: gpuSum},
		{Name: "cuda_gpu_trace", Title: "CUDA GPU Trace", Options: nameOptions, Needs: NeedGPU,
			Aliases: []string{"gputrace"}, Description: "every kernel, copy and memset", run: gpuTrace},
		{Name: "cuda_kern_exec_sum", Title: "CUDA Kernel Launch & Exec Time Summary", Options: nameOptions, Needs: NeedLaunches,
			Aliases: []string{"kernexecsum"}, Description: "launch call, queue and execution time of kernels by name", run: kernExecSum},
		{Name: "cuda_kern_exec_trace", Title: "CUDA Kernel Launch & Exec Time Trace", Options: nameOptions, Needs: NeedLaunches,
			Aliases: []string{"kernexectrace"}, Description: "launch call, queue and execution time of every kernel", run: kernExecTrace},
		{Name: "nvtx_gpu_proj_sum", Title: "NVTX GPU Projection Summary", Needs: NeedProjection,
			Aliases: []string{"nvtxgpuproj"}, Description: "NVTX ranges projected on the GPU work launched in them, by name", run: projectionSum},
		{Name: "nvtx_gpu_proj_trace", Title: "NVTX GPU Projection Trace", Needs: NeedProjection,
			Description: "every NVTX range projected on the GPU work launched in it", run: projectionTrace},
		{Name: "nvtx_kern_sum", Title: "NVTX Range Kernel Summary", Options: plainOptions, Needs: NeedProjection,
			Aliases: []string{"nvtxkernsum"}, Description: "kernels by the NVTX ranges that launched them", run: rangeKernelSum},
		{Name: "nvtx_pushpop_sum", Title: "NVTX Push/Pop Range Summary", Needs: NeedRanges,
			Aliases: []string{"nvtxppsum", "pushpopsum"}, Description: "time of push/pop ranges by name", run: pushPopSum},
		{Name: "nvtx_pushpop_trace", Title: "NVTX Push/Pop Range Trace", Needs: NeedRanges,
			Aliases: []string{"nvtxpptrace", "pushpoptrace"}, Description: "every push/pop range and its place in the stack", run: pushPopTrace},
		{Name: "nvtx_startend_sum", Title: "NVTX Start/End Range Summary", Needs: NeedRanges,
			Aliases: []string{"nvtxsesum", "startendsum"}, Description: "time of start/end ranges by name", run: startEndSum},
		{Name: "nvtx_sum", Title: "NVTX Range Summary", Needs: NeedRanges,
			Aliases: []string{"nvtxsum"}, Description: "time of NVTX ranges by name and style", run: rangeSum},
		{Name: "osrt_sum", Title: "OS Runtime Summary", Needs: NeedOSCalls,
			Aliases: []string{"osrtsum"}, Description: "time of OS runtime calls by function", run: osCallSum},
	}
}

// Default returns the reports that nsys makes when none is named, in its order.
func Default() []string {
	return []string{"nvtx_sum", "osrt_sum", "cuda_api_sum", "cuda_gpu_kern_sum", "cuda_gpu_mem_time_sum", "cuda_gpu_mem_size_sum"}
}

// Find returns the report of a name or an older release's name.
func Find(name string) (Report, bool) {
	for _, r := range Reports() {
		if r.Name == name || slices.Contains(r.Aliases, name) {
			return r, true
		}
	}
	return Report{}, false
}

// Run makes the report of a spec, which is a name with options after colons as nsys takes it
// ("cuda_gpu_kern_sum:nvtx-name:base"). The error wraps ErrUnknownReport for a bad spec and is a *SkippedError when the
// profile lacks the report's data.
func Run(p *profile.Profile, spec string) (*Table, error) {
	name, rest, _ := strings.Cut(spec, ":")
	r, ok := Find(name)
	if !ok {
		return nil, fmt.Errorf("%w %q (known: %s)", ErrUnknownReport, name, strings.Join(names(), ", "))
	}
	var o options
	for opt := range strings.SplitSeq(rest, ":") {
		if opt == "" {
			continue
		}
		if !slices.Contains(r.Options, opt) {
			known := "it takes none"
			if len(r.Options) > 0 {
				known = "it takes " + strings.Join(r.Options, ", ")
			}
			return nil, fmt.Errorf("%w: %s has no option %q (%s)", ErrUnknownReport, r.Name, opt, known)
		}
		switch opt {
		case "nvtx-name":
			o.nvtxName = true
		case "base":
			o.base = true
		case "mangled":
			o.mangled = true
		}
	}
	if o.base && o.mangled {
		return nil, fmt.Errorf("%w: %s takes base or mangled, not both", ErrUnknownReport, r.Name)
	}
	if lacks := r.Needs.missing(p); lacks != "" {
		return nil, &SkippedError{Report: r.Name, Source: p.Source, Lacks: lacks}
	}
	t := r.run(p, o)
	t.Report, t.Title = r.Name, r.Title
	if rest != "" {
		t.Report += ":" + rest
	}
	return t, nil
}

func names() []string {
	var out []string
	for _, r := range Reports() {
		out = append(out, r.Name)
	}
	return out
}
