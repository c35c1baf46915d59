package capture

import (
	"time"

	"github.com/stepscope/stepscope/bench"
	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/knob"
)

// Profiler is what records the window.
type Profiler string

// Profilers.
const (
	Nsys  Profiler = "nsys"  // Nsight Systems around the server
	Torch Profiler = "torch" // the engine's own PyTorch profiler
	None  Profiler = "none"  // load, metrics and samples only
)

// Program is an external program that was found.
type Program struct {
	Path, Version string
}

// Options say what to capture. Argv or URL must be set.
type Options struct {
	// Argv is the server's command as the user would start it, variables in front allowed. URL is a running server in its
	// place: it is loaded and its metrics are read, and nothing else.
	Argv []string
	URL  string
	// Out is the folder to make. It must not exist.
	Out string

	Profiler Profiler // default Nsys; always None with a URL
	// Nsys is the program to use for Nsys; the caller has found it.
	Nsys Program
	// NvidiaSMI is the path of nvidia-smi; "" looks on PATH.
	NvidiaSMI string
	// AnyGPU goes on where no GPU is visible.
	AnyGPU bool
	// Engine is the server's engine; without a version the installation is asked.
	Engine knob.Engine

	// Load makes the load for a server; it is called once a burst, as prompts may come from a file, and once for a plan.
	// close may be nil.
	Load func(url string) (cfg bench.Config, close func(), err error)

	// Window is how long the profiler records; 0 = long enough for about 80 decode steps, 0.6 s to 3 s.
	Window time.Duration
	// Startup bounds the server's start; 0 = DefaultStartup.
	Startup time.Duration

	// GraphLevel records CUDA graphs as a whole: less overhead, no kernels inside.
	GraphLevel bool
	// GPUMetrics samples hardware counters, MemoryUsage follows allocations, OSRuntime records system calls. Each costs
	// overhead and size.
	GPUMetrics, MemoryUsage, OSRuntime bool
	// Scopes turns on the engine's scheduler ranges (VLLM_NVTX_SCOPES_FOR_PROFILING); it needs the nvtx Python package.
	Scopes bool
	// NsysArgs are passed to nsys profile as they are.
	NsysArgs []string
	// KeepReport keeps the .nsys-rep, which holds the server's environment and output: do not share it.
	KeepReport bool

	Tool diagnose.Tool
	Now  func() time.Time // default time.Now
}

// Result is a finished capture.
type Result struct {
	Folder   string
	Manifest *Manifest
	Measured *bench.Result // the unprofiled burst
	Profiled *bench.Result // the burst with the window, nil without a profiler
}
