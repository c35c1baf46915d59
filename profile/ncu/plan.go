package ncu

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/profile"
)

// PlanOptions choose the kernels and fill in the command. The zero value prints placeholders.
type PlanOptions struct {
	Top    int    // most kernels to profile; 0 means 8
	Count  int    // launches of each kernel and grid; 0 means 3
	Model  string // "" prints MODEL
	Batch  int    // requests in the batch, so that grids agree with the profile's; 0 prints BATCH
	Input  int    // prompt tokens; 0 means 512
	Output int    // generated tokens; 0 means 16
	Report string // name of the report; "" means "kernels"
}

// Candidate is one kernel with one grid that is worth profiling.
type Candidate struct {
	Base     string   `json:"base"` // plain function name, as -k matches it
	Name     string   `json:"name"` // full name
	Grid     [3]int32 `json:"grid"`
	Block    [3]int32 `json:"block"`
	Launches int64    `json:"launches"`
	GPUNs    int64    `json:"gpu_ns"`
	Share    float64  `json:"share"` // of the GPU time of all kernels
}

// PlanSchema is the version of a plan's JSON.
const PlanSchema = "stepscope.ncu-plan/1"

// Plan says which kernels to give to Nsight Compute, and how.
type Plan struct {
	Schema     string      `json:"schema"`
	Candidates []Candidate `json:"candidates"`
	// Excluded are kernels that would be worth it and cannot be replayed: collectives wait for peers that do not.
	Excluded []Candidate `json:"excluded,omitempty"`
	Covered  float64     `json:"covered"` // share of the GPU time that the candidates take
	Regex    string      `json:"regex"`   // for -k
	Command  string      `json:"command"` // profiles them
	Export   string      `json:"export"`  // prints the report as CSV for Join
	Notes    []string    `json:"notes,omitempty"`
	Why      []string    `json:"why,omitempty"` // why "ncu vllm serve" is no way
}

// whyNotServe explains the detour over an offline run.
var whyNotServe = []string{
	"ncu runs every profiled kernel tens of times (about 40 passes with --set full), saving and restoring memory in between: " +
		"a server profiled from its start spends hours in loading, compiling and warming up",
	"a server under ncu answers so slowly that clients, health checks and the engine's own watchdogs time out",
	"collectives hang: a rank whose kernel is replayed waits for peers that do not run theirs again",
	"an offline batch of the same model, batch size and context runs the same kernels with the same grids; counters belong to a kernel, not to a server",
}

// collective matches kernels that wait for another GPU.
var collective = regexp.MustCompile(`(?i)nccl|rccl|all_?reduce|cross_device_reduce|all_?gather|reduce_?scatter|all_?to_?all|multimem|nvshmem|deep_?ep`)

// inductor matches kernels that exist only in a compiled model.
var inductor = regexp.MustCompile(`^triton_(poi|red|per|tem|for|mm)_`)

// NewPlan chooses the few kernels that take most GPU time, distinct by name and grid.
func NewPlan(p *profile.Profile, opt PlanOptions) (*Plan, error) {
	if p.Kernels.Len() == 0 {
		return nil, errors.New("the profile holds no kernels, so there is nothing to plan")
	}
	top := cmp.Or(max(opt.Top, 0), 8)
	all, total := candidatesOf(p)
	plan := &Plan{Schema: PlanSchema, Why: whyNotServe}
	for _, c := range all {
		if total > 0 {
			c.Share = float64(c.GPUNs) / float64(total)
		}
		switch {
		case collective.MatchString(c.Base):
			if len(plan.Excluded) < top {
				plan.Excluded = append(plan.Excluded, c)
			}
		case len(plan.Candidates) < top:
			plan.Candidates = append(plan.Candidates, c)
			plan.Covered += c.Share
		}
	}
	if len(plan.Candidates) == 0 {
		return nil, errors.New("all kernels of the profile are collectives, which cannot be replayed")
	}
	plan.write(opt)
	return plan, nil
}

// candidatesOf sums kernels by name and grid, the longest first.
func candidatesOf(p *profile.Profile) (out []Candidate, total int64) {
	type key struct {
		name profile.StringID
		grid [3]int32
	}
	at := map[key]int{}
	for _, t := range pairTimes(p) {
		total += t.ns
		k := key{p.Funcs[t.fn].Name, t.grid}
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k] = i
			out = append(out, Candidate{Base: t.base, Name: p.Strings.At(k.name), Grid: t.grid, Block: t.block})
		}
		out[i].Launches += t.launches
		out[i].GPUNs += t.ns
	}
	slices.SortStableFunc(out, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(b.GPUNs, a.GPUNs), cmp.Compare(a.Name, b.Name), slices.Compare(a.Grid[:], b.Grid[:]))
	})
	return out, total
}

// write fills in the command and the notes.
func (plan *Plan) write(opt PlanOptions) {
	var bases []string
	compiled := false
	for _, c := range plan.Candidates {
		if b := regexp.QuoteMeta(c.Base); !slices.Contains(bases, b) {
			bases = append(bases, b)
		}
		compiled = compiled || inductor.MatchString(c.Base)
	}
	plan.Regex = "regex:^(" + strings.Join(bases, "|") + ")$"
	report := cmp.Or(opt.Report, "kernels")
	batch, model := "BATCH", cmp.Or(opt.Model, "MODEL")
	if opt.Batch > 0 {
		batch = fmt.Sprint(opt.Batch)
	}
	args := []string{
		"VLLM_ENABLE_V1_MULTIPROCESSING=0", "ncu", "--profile-from-start", "off", "--target-processes", "all",
		"--kernel-name-base", "function", "-k", plan.Regex, "--filter-mode", "per-launch-config", "--launch-skip", "1",
		"-c", fmt.Sprint(cmp.Or(max(opt.Count, 0), 3)), "--set", "full", "-f", "-o", report,
		"vllm", "bench", "latency", "--model", model, "--batch-size", batch,
		"--input-len", fmt.Sprint(cmp.Or(max(opt.Input, 0), 512)), "--output-len", fmt.Sprint(cmp.Or(max(opt.Output, 0), 16)),
		"--num-iters-warmup", "2", "--profile", "--profiler-config", `{"profiler":"cuda"}`,
	}
	if compiled {
		args = append(args, "--compilation-config", `{"cudagraph_mode":"NONE"}`)
		plan.Notes = append(plan.Notes, "some of the kernels are made by torch.compile, so the run keeps it and turns CUDA graphs off only; "+
			"--enforce-eager would run other kernels in their place")
	} else {
		args = append(args, "--enforce-eager")
	}
	for i, a := range args {
		args[i] = quote(a)
	}
	plan.Command = strings.Join(args, " ")
	plan.Export = quote("ncu") + " --import " + quote(report+".ncu-rep") + " --page raw --csv > " + quote(report+".csv")
	plan.Notes = append(plan.Notes,
		"batch and context must be those of the profile, or grids differ and only the code can be compared",
		"--filter-mode per-launch-config needs Nsight Compute 2023.2 or newer; it takes the first launches of every kernel and grid. "+
			"Without it, leave it out and use -c 20",
		"add the server's own options that change kernels (quantization, attention backend, KV cache type); leave parallelism at 1",
		"ncu keeps copies of what a kernel writes: where memory runs out, lower --gpu-memory-utilization",
		"fewer layers give the same kernels sooner: --load-format dummy --hf-overrides '{\"num_hidden_layers\": 2}'",
	)
	if len(plan.Excluded) > 0 {
		plan.Notes = append(plan.Notes, fmt.Sprintf("%d kernels are collectives and were left out: replaying them hangs", len(plan.Excluded)))
	}
}

var plainArg = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// quote makes a an argument for a POSIX shell.
func quote(a string) string {
	if plainArg.MatchString(a) {
		return a
	}
	return "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
}
