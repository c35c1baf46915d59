package capture

import (
	"context"
	"encoding/csv"
	"os"
	"os/exec"
	"strings"
	"time"
)

// GPUInfo is a GPU of the machine.
type GPUInfo struct {
	Index     string `json:"index"`
	Name      string `json:"name"`
	MemoryMiB string `json:"memory_mib,omitempty"`
	Driver    string `json:"driver,omitempty"`
}

// gpuFiles exist where a kernel driver has made GPUs visible: NVIDIA's, WSL's, AMD's.
var gpuFiles = []string{"/dev/nvidiactl", "/dev/dxg", "/dev/kfd"}

// CheckGPU lists the GPUs of the machine through nvidia-smi, whose path it returns ("" = it is not there). Where none is
// visible the error is a *Failure of kind ErrNoGPU, unless any is set.
func CheckGPU(ctx context.Context, smi string, any bool) (gpus []GPUInfo, program string, err error) {
	gpus, program = listGPUs(ctx, smi)
	if len(gpus) == 0 && !any && !gpuVisible() {
		return nil, program, &Failure{Stage: Checking, Kind: ErrNoGPU, Text: "nvidia-smi lists none and no driver is loaded: check `nvidia-smi -L`, or in a container its --gpus option"}
	}
	if gpus == nil {
		gpus = []GPUInfo{}
	}
	return gpus, program, nil
}

// listGPUs asks nvidia-smi; smi is its path, "" = on PATH. An empty list with an empty program means that it is not there.
func listGPUs(ctx context.Context, smi string) (gpus []GPUInfo, program string) {
	if smi == "" {
		p, err := exec.LookPath("nvidia-smi")
		if err != nil {
			return nil, ""
		}
		smi = p
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	out, err := run(ctx, nil, smi, "--query-gpu=index,name,memory.total,driver_version", "--format=csv,noheader,nounits")
	if err != nil {
		return nil, smi
	}
	r := csv.NewReader(strings.NewReader(out))
	r.TrimLeadingSpace = true
	rows, err := r.ReadAll()
	if err != nil {
		return nil, smi
	}
	for _, f := range rows {
		if len(f) == 4 {
			gpus = append(gpus, GPUInfo{f[0], f[1], f[2], f[3]})
		}
	}
	return gpus, smi
}

// gpuVisible reports whether a driver has made a GPU visible, where nvidia-smi cannot tell.
func gpuVisible() bool {
	for _, f := range gpuFiles {
		if _, err := os.Stat(f); err == nil {
			return true
		}
	}
	return false
}
