package ncu

import (
	"strings"
)

// labels turn what the details page calls a metric into its raw name: by section where one label means two things.
// They agree with both pages of a report of 2025.3; the labels before 2021 begin with "SOL". Labels whose metric
// changed between versions ("SM Frequency", "SM Busy", "Issue Slots Busy") are left as they are.
var labels = []struct{ section, label, unit, raw string }{
	{"", "Duration", "", durationMetric},
	{"", "Elapsed Cycles", "", "gpc__cycles_elapsed.max"},
	{"", "SM Active Cycles", "", "sm__cycles_active.avg"},
	{"", "DRAM Frequency", "", "dram__cycles_elapsed.avg.per_second"},
	{"", "Compute (SM) Throughput", "", computeMetric},
	{"", "Compute (SM) [%]", "", computeMetric},
	{"", "SOL SM", "", computeMetric},
	{"GPU Speed Of Light", "Memory Throughput", "%", memoryMetric},
	{"Memory Workload Analysis", "Memory Throughput", "", "dram__bytes.sum.per_second"},
	{"", "Memory Throughput", "%", memoryMetric},
	{"", "Memory [%]", "", memoryMetric},
	{"", "SOL Memory", "", memoryMetric},
	{"", "DRAM Throughput", "%", dramMetric},
	{"", "SOL DRAM", "", dramMetric},
	{"", "L1/TEX Cache Throughput", "%", l1Metric},
	{"", "SOL L1/TEX Cache", "", l1Metric},
	{"", "L2 Cache Throughput", "%", l2Metric},
	{"", "SOL L2 Cache", "", l2Metric},
	{"", "Executed Ipc Active", "", ipcMetric},
	{"", "Executed Ipc Elapsed", "", "sm__inst_executed.avg.per_cycle_elapsed"},
	{"", "Issued Ipc Active", "", "sm__inst_issued.avg.per_cycle_active"},
	{"", "L1/TEX Hit Rate", "", "l1tex__t_sector_hit_rate.pct"},
	{"", "L2 Hit Rate", "", "lts__t_sector_hit_rate.pct"},
	{"", "Mem Busy", "", "gpu__compute_memory_access_throughput.avg.pct_of_peak_sustained_elapsed"},
	{"", "Max Bandwidth", "", "gpu__compute_memory_request_throughput.avg.pct_of_peak_sustained_elapsed"},
	{"", "No Eligible", "", "smsp__issue_inst0.avg.pct_of_peak_sustained_active"},
	{"", "One or More Eligible", "", "smsp__issue_active.avg.pct_of_peak_sustained_active"},
	{"", "Active Warps Per Scheduler", "", "smsp__warps_active.avg.per_cycle_active"},
	{"", "Eligible Warps Per Scheduler", "", "smsp__warps_eligible.avg.per_cycle_active"},
	{"", "Avg. Active Threads Per Warp", "", threadsMetric},
	{"", "Avg. Not Predicated Off Threads Per Warp", "", "smsp__thread_inst_executed_pred_on_per_inst_executed.ratio"},
	{"", "Warp Cycles Per Issued Instruction", "", "smsp__average_warp_latency_per_inst_issued.ratio"},
	{"", "Warp Cycles Per Executed Instruction", "", "smsp__average_warps_active_per_inst_executed.ratio"},
	{"", "Theoretical Occupancy", "", theoreticalMetric},
	{"", "Achieved Occupancy", "", occupancyMetric},
	{"", "Achieved Active Warps Per SM", "", "sm__warps_active.avg.per_cycle_active"},
	{"", "Branch Efficiency", "", branchMetric},
	{"", "Branch Instructions", "", "smsp__inst_executed_op_branch.sum"},
	{"", "Avg. Divergent Branches", "", divergentMetric},
	{"", "Registers Per Thread", "", registersMetric},
	{"", "Dynamic Shared Memory Per Block", "", "launch__shared_mem_per_block_dynamic"},
	{"", "Static Shared Memory Per Block", "", "launch__shared_mem_per_block_static"},
	{"", "Driver Shared Memory Per Block", "", "launch__shared_mem_per_block_driver"},
	{"", "Block Size", "", "launch__block_size"},
	{"", "Grid Size", "", "launch__grid_size"},
	{"", "Threads", "", "launch__thread_count"},
	{"", "Waves Per SM", "", "launch__waves_per_multiprocessor"},
	{"", "Cluster Size", "", "launch__cluster_size"},
	{"", "# SMs", "", "launch__sm_count"},
	{"", "Shared Memory Configuration Size", "", "launch__shared_mem_config_size"},
	{"", "Block Limit Barriers", "", "launch__occupancy_limit_barriers"},
	{"", "Block Limit Registers", "", "launch__occupancy_limit_registers"},
	{"", "Block Limit SM", "", "launch__occupancy_limit_blocks"},
	{"", "Block Limit Shared Mem", "", "launch__occupancy_limit_shared_mem"},
	{"", "Block Limit Warps", "", "launch__occupancy_limit_warps"},
	{"", "Theoretical Active Warps per SM", "", "sm__maximum_warps_avg_per_active_cycle"},
	{"", "Executed Instructions", "", "smsp__inst_executed.sum"},
	{"", "Issued Instructions", "", "smsp__inst_issued.sum"},
	{"", "Avg. Executed Instructions Per Scheduler", "", "smsp__inst_executed.avg"},
	{"", "Avg. Issued Instructions Per Scheduler", "", "smsp__inst_issued.avg"},
	{"", "Issued Warp Per Scheduler", "", "smsp__issue_active.avg.per_cycle_active"},
	{"", "Mem Pipes Busy", "", "sm__memory_throughput.avg.pct_of_peak_sustained_elapsed"},
	{"", "Branch Instructions Ratio", "", "derived__smsp__inst_executed_op_branch_pct"},
}

// Raw names of the metrics that have an accessor.
const (
	durationMetric    = "gpu__time_duration.sum"
	ipcMetric         = "sm__inst_executed.avg.per_cycle_active"
	branchMetric      = "smsp__sass_average_branch_targets_threads_uniform.pct"
	divergentMetric   = "smsp__sass_branch_targets_threads_divergent.avg"
	threadsMetric     = "smsp__thread_inst_executed_per_inst_executed.ratio"
	occupancyMetric   = "sm__warps_active.avg.pct_of_peak_sustained_active"
	theoreticalMetric = "sm__maximum_warps_per_active_cycle_pct"
	l1Metric          = "l1tex__throughput.avg.pct_of_peak_sustained_active"
	l2Metric          = "lts__throughput.avg.pct_of_peak_sustained_elapsed"
	dramMetric        = "gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed"
	memoryMetric      = "gpu__compute_memory_throughput.avg.pct_of_peak_sustained_elapsed"
	computeMetric     = "sm__throughput.avg.pct_of_peak_sustained_elapsed"
	registersMetric   = "launch__registers_per_thread"
)

// canonical returns the raw name for a label of the details page. A raw name (--metrics prints those) and an unknown
// label stay as they are.
func canonical(section, label, unit string) string {
	label = strings.TrimSpace(label)
	for _, l := range labels {
		if l.label == label && (l.unit == "" || l.unit == unit) && (l.section == "" || strings.HasPrefix(section, l.section)) {
			return l.raw
		}
	}
	return label
}

// tensorMetrics are the names under which architectures report the tensor pipe, best first: share of active cycles of
// the whole pipe, of its instructions, of one kind of operation.
var tensorMetrics = []string{
	"sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_active",
	"sm__inst_executed_pipe_tensor.avg.pct_of_peak_sustained_active",
	"sm__pipe_tensor_op_gmma_cycles_active.avg.pct_of_peak_sustained_active",
	"sm__pipe_tensor_op_hmma_cycles_active.avg.pct_of_peak_sustained_active",
	"sm__inst_executed_pipe_tensor_op_gmma.avg.pct_of_peak_sustained_active",
	"sm__inst_executed_pipe_tensor_op_hmma.avg.pct_of_peak_sustained_active",
	"sm__inst_executed_pipe_tensor_op_imma.avg.pct_of_peak_sustained_active",
	"sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_elapsed",
	"sm__inst_executed_pipe_tensor.avg.pct_of_peak_sustained_elapsed",
}

// Get returns a metric by its raw name. ok is false when it was not recorded.
func (k *Kernel) Get(raw string) (v float64, ok bool) {
	x, ok := k.Metrics[raw]
	return x.Value, ok
}

// first returns the first recorded one of several metrics.
func (k *Kernel) first(raw ...string) (float64, bool) {
	for _, r := range raw {
		if v, ok := k.Get(r); ok {
			return v, true
		}
	}
	return 0, false
}

// Duration returns the kernel's time under Nsight Compute in ns: at a fixed clock, with cold caches.
func (k *Kernel) Duration() (ns int64, ok bool) {
	v, ok := k.first(durationMetric, "gpu__time_duration.avg", "gpu__time_duration.max")
	if !ok || v < 0 || v > 1e18 {
		return 0, false
	}
	return int64(v + 0.5), true
}

// IPC returns executed instructions per cycle and SM while it was active.
func (k *Kernel) IPC() (float64, bool) { return k.Get(ipcMetric) }

// BranchEfficiency returns the percentage of branch targets that all active threads of a warp took together.
func (k *Kernel) BranchEfficiency() (percent float64, ok bool) {
	if v, ok := k.Get(branchMetric); ok {
		return v, true
	}
	uniform, ok := k.Get("smsp__sass_branch_targets_threads_uniform.sum")
	if !ok {
		return 0, false
	}
	all, ok := k.Get("smsp__sass_branch_targets.sum")
	if !ok || all <= 0 {
		return 0, false
	}
	return 100 * uniform / all, true
}

// DivergentBranches returns how many branch targets per scheduler diverged.
func (k *Kernel) DivergentBranches() (float64, bool) { return k.Get(divergentMetric) }

// WarpEfficiency returns the mean percentage of a warp's 32 threads that execute an instruction.
func (k *Kernel) WarpEfficiency() (percent float64, ok bool) {
	if v, ok := k.Get(threadsMetric); ok {
		return 100 * v / 32, true
	}
	return k.first("smsp__thread_inst_executed_per_inst_executed.pct")
}

// AchievedOccupancy returns resident warps while active, in percent of the maximum of an SM.
func (k *Kernel) AchievedOccupancy() (percent float64, ok bool) { return k.Get(occupancyMetric) }

// TheoreticalOccupancy returns the occupancy that the launch allows, in percent.
func (k *Kernel) TheoreticalOccupancy() (percent float64, ok bool) { return k.Get(theoreticalMetric) }

// L1Throughput returns the L1/TEX cache's throughput in percent of its peak while active.
func (k *Kernel) L1Throughput() (percent float64, ok bool) { return k.Get(l1Metric) }

// L2Throughput returns the L2 cache's throughput in percent of its peak.
func (k *Kernel) L2Throughput() (percent float64, ok bool) { return k.Get(l2Metric) }

// DRAMThroughput returns the memory's throughput in percent of its peak.
func (k *Kernel) DRAMThroughput() (percent float64, ok bool) {
	return k.first(dramMetric, "dram__throughput.avg.pct_of_peak_sustained_elapsed")
}

// MemoryThroughput returns the throughput of the busiest part of the memory system in percent of that part's peak.
func (k *Kernel) MemoryThroughput() (percent float64, ok bool) { return k.Get(memoryMetric) }

// ComputeThroughput returns the throughput of the busiest pipe of the SMs in percent of that pipe's peak.
func (k *Kernel) ComputeThroughput() (percent float64, ok bool) { return k.Get(computeMetric) }

// TensorPipe returns the use of the tensor cores in percent of their peak.
func (k *Kernel) TensorPipe() (percent float64, ok bool) { return k.first(tensorMetrics...) }

// L2HitRate returns the share of L2 sector reads and writes that hit, in percent.
func (k *Kernel) L2HitRate() (percent float64, ok bool) { return k.Get("lts__t_sector_hit_rate.pct") }

// DRAMBytesPerSecond returns the memory traffic.
func (k *Kernel) DRAMBytesPerSecond() (float64, bool) { return k.Get("dram__bytes.sum.per_second") }

// Registers returns the registers per thread.
func (k *Kernel) Registers() (int64, bool) {
	v, ok := k.Get(registersMetric)
	return int64(v), ok
}

// Metric is one column of a report on kernels.
type Metric struct {
	ID   string // stable, with the unit: "achieved_occupancy_pct"
	Name string
	Unit string
	Of   func(*Kernel) (float64, bool)
}

// Metrics are the columns that a report shows, in order. A new one is a new row.
var Metrics = []Metric{
	{"ncu_dur_ns", "duration under ncu", "ns", func(k *Kernel) (float64, bool) {
		v, ok := k.Duration()
		return float64(v), ok
	}},
	{"ipc", "instructions per cycle", "inst/cycle", (*Kernel).IPC},
	{"branch_efficiency_pct", "branch efficiency", "%", (*Kernel).BranchEfficiency},
	{"divergent_branches", "divergent branches", "", (*Kernel).DivergentBranches},
	{"warp_efficiency_pct", "warp execution efficiency", "%", (*Kernel).WarpEfficiency},
	{"achieved_occupancy_pct", "achieved occupancy", "%", (*Kernel).AchievedOccupancy},
	{"theoretical_occupancy_pct", "theoretical occupancy", "%", (*Kernel).TheoreticalOccupancy},
	{"compute_throughput_pct", "SM throughput", "%", (*Kernel).ComputeThroughput},
	{"memory_throughput_pct", "memory throughput", "%", (*Kernel).MemoryThroughput},
	{"l1_throughput_pct", "L1 throughput", "%", (*Kernel).L1Throughput},
	{"l2_throughput_pct", "L2 throughput", "%", (*Kernel).L2Throughput},
	{"dram_throughput_pct", "DRAM throughput", "%", (*Kernel).DRAMThroughput},
	{"l2_hit_rate_pct", "L2 hit rate", "%", (*Kernel).L2HitRate},
	{"tensor_pipe_pct", "tensor pipe", "%", (*Kernel).TensorPipe},
	{"registers", "registers per thread", "", func(k *Kernel) (float64, bool) {
		v, ok := k.Registers()
		return float64(v), ok
	}},
}
