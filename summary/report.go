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
	Needs       []Need // the data without which it is skipped; the first that is missing is named

	run func(p *profile.Profile, o options) *Table
}

// Need is the data that a report is made of, in nsys' words.
type Need string

// Needs of reports.
const (
	NeedKernels         Need = "CUDA kernel data"
	NeedMemory          Need = "GPU memory data"
	NeedKernelsOrMemory Need = "GPU kernel/memory operations data"
	NeedGPUTrace        Need = "GPU trace data"
	NeedOperations      Need = "GPU operation data"
	NeedCalls           Need = "CUDA trace data"
	NeedAPI             Need = "CUDA API data"
	NeedCallsOrGPU      Need = "CUDA API, GPU kernel, nor memory operations data"
	NeedRanges          Need = "NV Tools Extension (NVTX) data"
	NeedOSCalls         Need = "OS Runtime trace data"
)

// met reports whether p holds the data.
func (n Need) met(p *profile.Profile) bool {
	kernels, calls := p.Kernels.Len() > 0, p.Calls.Len() > 0
	memory := p.Copies.Len() > 0 || p.Memsets.Len() > 0
	switch n {
	case NeedKernels:
		return kernels
	case NeedMemory:
		return memory
	case NeedKernelsOrMemory, NeedGPUTrace, NeedOperations:
		return kernels || memory
	case NeedCalls, NeedAPI:
		return calls
	case NeedCallsOrGPU:
		return calls || kernels || memory
	case NeedRanges:
		return p.Ranges.Len() > 0
	case NeedOSCalls:
		return p.OSCalls.Len() > 0
	}
	return false
}

// SkippedError says that the profile does not hold the data of a report. It is no fault of the input: nsys prints the
// same line after SKIPPED and goes on with the next report.
type SkippedError struct {
	Report string
	Source string // base name of the input
	Lacks  Need
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
		{Name: "cuda_api_gpu_sum", Title: "CUDA Summary (API/Kernels/MemOps)", Options: nameOptions, Needs: []Need{NeedCallsOrGPU},
			Aliases: []string{"apigpusum"}, Description: "time of CUDA API calls, kernels and memory operations", run: apiGPUSum},
		{Name: "cuda_api_sum", Title: "CUDA API Summary", Needs: []Need{NeedCalls},
			Aliases: []string{"cudaapisum"}, Description: "time of CUDA API calls by function", run: apiSum},
		{Name: "cuda_api_trace", Title: "CUDA API Trace", Needs: []Need{NeedCalls},
			Aliases: []string{"cudaapitrace"}, Description: "every CUDA API call", run: apiTrace},
		{Name: "cuda_gpu_kern_gb_sum", Title: "CUDA GPU Kernel/Grid/Block Summary", Options: nameOptions, Needs: []Need{NeedKernels},
			Description: "time of kernels by name, grid and block", run: kernelGridSum},
		{Name: "cuda_gpu_kern_sum", Title: "CUDA GPU Kernel Summary", Options: nameOptions, Needs: []Need{NeedKernels},
			Aliases: []string{"gpukernsum"}, Description: "time of kernels by name", run: kernelSum},
		{Name: "cuda_gpu_mem_size_sum", Title: "CUDA GPU MemOps Summary (by Size)", Needs: []Need{NeedMemory},
			Aliases: []string{"gpumemsizesum"}, Description: "bytes of copies and memsets by kind", run: memSizeSum},
		{Name: "cuda_gpu_mem_time_sum", Title: "CUDA GPU MemOps Summary (by Time)", Needs: []Need{NeedMemory},
			Aliases: []string{"gpumemtimesum"}, Description: "time of copies and memsets by kind", run: memTimeSum},
		{Name: "cuda_gpu_sum", Title: "CUDA GPU Summary (Kernels/MemOps)", Options: nameOptions, Needs: []Need{NeedKernelsOrMemory},
			Aliases: []string{"gpusum"}, Description: "time of kernels, copies and memsets", run: gpuSum},
		{Name: "cuda_gpu_trace", Title: "CUDA GPU Trace", Options: nameOptions, Needs: []Need{NeedGPUTrace},
			Aliases: []string{"gputrace"}, Description: "every kernel, copy and memset", run: gpuTrace},
		{Name: "cuda_kern_exec_sum", Title: "CUDA Kernel Launch & Exec Time Summary", Options: nameOptions, Needs: []Need{NeedKernels, NeedAPI},
			Aliases: []string{"kernexecsum"}, Description: "launch call, queue and execution time of kernels by name", run: kernExecSum},
		{Name: "cuda_kern_exec_trace", Title: "CUDA Kernel Launch & Exec Time Trace", Options: nameOptions, Needs: []Need{NeedKernels, NeedAPI},
			Aliases: []string{"kernexectrace"}, Description: "launch call, queue and execution time of every kernel", run: kernExecTrace},
		{Name: "nvtx_gpu_proj_sum", Title: "NVTX GPU Projection Summary", Needs: []Need{NeedRanges, NeedAPI, NeedOperations},
			Aliases: []string{"nvtxgpuproj"}, Description: "NVTX ranges projected on the GPU work launched in them, by name", run: projectionSum},
		{Name: "nvtx_gpu_proj_trace", Title: "NVTX GPU Projection Trace", Needs: []Need{NeedRanges, NeedAPI, NeedOperations},
			Description: "every NVTX range projected on the GPU work launched in it", run: projectionTrace},
		{Name: "nvtx_kern_sum", Title: "NVTX Range Kernel Summary", Options: plainOptions, Needs: []Need{NeedRanges, NeedKernels, NeedAPI},
			Aliases: []string{"nvtxkernsum"}, Description: "kernels by the NVTX ranges that launched them", run: rangeKernelSum},
		{Name: "nvtx_pushpop_sum", Title: "NVTX Push/Pop Range Summary", Needs: []Need{NeedRanges},
			Aliases: []string{"nvtxppsum", "pushpopsum"}, Description: "time of push/pop ranges by name", run: pushPopSum},
		{Name: "nvtx_pushpop_trace", Title: "NVTX Push/Pop Range Trace", Needs: []Need{NeedRanges},
			Aliases: []string{"nvtxpptrace", "pushpoptrace"}, Description: "every push/pop range and its place in the stack", run: pushPopTrace},
		{Name: "nvtx_startend_sum", Title: "NVTX Start/End Range Summary", Needs: []Need{NeedRanges},
			Aliases: []string{"nvtxsesum", "startendsum"}, Description: "time of start/end ranges by name", run: startEndSum},
		{Name: "nvtx_sum", Title: "NVTX Range Summary", Needs: []Need{NeedRanges},
			Aliases: []string{"nvtxsum"}, Description: "time of NVTX ranges by name and style", run: rangeSum},
		{Name: "osrt_sum", Title: "OS Runtime Summary", Needs: []Need{NeedOSCalls},
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
	for _, n := range r.Needs {
		if !n.met(p) {
			return nil, &SkippedError{Report: r.Name, Source: p.Source, Lacks: n}
		}
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
