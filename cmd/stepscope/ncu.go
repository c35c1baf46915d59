package main

import (
	"fmt"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/profile/ncu"
)

// addKernelMetrics joins Nsight Compute's counters to the kernels of the profile.
func (e *env) addKernelMetrics(r *result, path string) error {
	f, err := ncu.Open(e.ctx, path)
	if err != nil {
		return err
	}
	p := r.Analysis.P
	j := ncu.Join(p, f)
	for _, w := range j.Warnings {
		fmt.Fprintln(e.stderr, "stepscope:", w)
	}
	if len(j.Matches) == 0 {
		return fmt.Errorf("reading %s: none of its %d kernels is in the profile: is it of the same model and batch?", path, len(f.Kernels))
	}
	stages := map[[2]int32]map[string]int64{}
	for i, fn := range p.Kernels.Func {
		k := [2]int32{fn, p.Kernels.Config[i]}
		if stages[k] == nil {
			stages[k] = map[string]int64{}
		}
		stages[k][r.Analysis.Stage[i].String()] += p.Kernels.Dur[i]
	}
	for i := range j.Matches {
		m := &j.Matches[i]
		km := diagnose.KernelMetrics{Name: p.Strings.At(p.Funcs[m.Func].Name), Grid: p.Configs[m.Config].Grid, Launches: m.Launches, GPUNs: m.GPUNs,
			Instances: len(m.Instances), Basis: string(m.Basis), Ambiguous: m.Ambiguous}
		var most int64 = -1
		for s, ns := range stages[[2]int32{m.Func, m.Config}] {
			if ns > most || ns == most && s < km.Stage {
				km.Stage, most = s, ns
			}
		}
		if j.TotalNs > 0 {
			km.Share = float64(m.GPUNs) / float64(j.TotalNs)
		}
		for _, c := range []struct {
			to  **float64
			get func(*ncu.Kernel) (float64, bool)
		}{
			{&km.IPC, (*ncu.Kernel).IPC}, {&km.BranchEfficiency, (*ncu.Kernel).BranchEfficiency}, {&km.DivergentBranches, (*ncu.Kernel).DivergentBranches},
			{&km.WarpEfficiency, (*ncu.Kernel).WarpEfficiency}, {&km.Occupancy, (*ncu.Kernel).AchievedOccupancy}, {&km.L1, (*ncu.Kernel).L1Throughput},
			{&km.L2, (*ncu.Kernel).L2Throughput}, {&km.DRAM, (*ncu.Kernel).DRAMThroughput}, {&km.Tensor, (*ncu.Kernel).TensorPipe},
		} {
			if v, _, ok := j.Value(m, ncu.Metric{Of: c.get}); ok {
				*c.to = &v
			}
		}
		r.Diagnosis.KernelMetrics = append(r.Diagnosis.KernelMetrics, km)
	}
	return nil
}
