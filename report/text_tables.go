package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/profile"
)

// strip letters by part, for terminals without colour.
func letter(part string) string {
	switch strings.TrimPrefix(part, "gpu.") {
	case "qkv", "o-proj", "mlp", "moe", "lm-head", "gemm":
		return "M"
	case "attention", "linear-attn":
		return "A"
	case "graph":
		return "G"
	case "collective":
		return "C"
	case "sampling":
		return "S"
	}
	switch {
	case strings.HasPrefix(part, "gpu.copy"):
		return "c"
	case strings.HasPrefix(part, "gpu."):
		return "o"
	case part == "idle.launch":
		return "."
	case part == "idle.scheduler":
		return "-"
	case part == "idle.sync", part == "idle.copy":
		return "~"
	}
	return "_"
}

// typicalStep draws one step: each column is a slice of its wall, shown as what owns most of it.
func (t *text) typicalStep(d *diagnose.Diagnosis) {
	s := d.TypicalStep
	if s == nil || s.DurNs == 0 || len(s.Pieces) == 0 {
		return
	}
	const cols = Width - 4
	t.title(fmt.Sprintf("one typical step (%s, %s)", s.Phase, Dur(s.DurNs)))
	var b strings.Builder
	at := 0
	for c := range int64(cols) {
		lo, hi := s.DurNs*c/cols, s.DurNs*(c+1)/cols
		own := map[string]int64{}
		for at > 0 && s.Pieces[at].StartNs > lo {
			at--
		}
		for i := at; i < len(s.Pieces) && s.Pieces[i].StartNs < hi; i++ {
			p := s.Pieces[i]
			if n := min(hi, p.StartNs+p.DurNs) - max(lo, p.StartNs); n > 0 {
				own[letter(p.Part)] += n
			}
			if p.StartNs+p.DurNs <= lo {
				at = i
			}
		}
		best, most := "_", int64(-1)
		for k, v := range own {
			if v > most || (v == most && k < best) {
				best, most = k, v
			}
		}
		switch best {
		case ".", "-", "~", "_":
			b.WriteString(t.p.idle(best))
		default:
			b.WriteString(t.p.gpu(best))
		}
	}
	t.line("  %s", b.String())
	t.line("  %s", t.p.dim("M GEMM  A attention  o other GPU work  S sampling  C collective  c copy  G graph"))
	t.line("  %s", t.p.dim("GPU idle: . launches come too slowly  - between steps  ~ synchronising  _ other"))
}

func (t *text) limits(d *diagnose.Diagnosis) {
	l := d.Limits
	t.title("limits")
	t.line("  bound by: %s", t.p.bold(l.Bound))
	if s := peakText(&l); s != "" {
		t.para(2, s)
	}
	for _, p := range l.Phases {
		line := fmt.Sprintf("  %s %s tokens: GPU %s", pad(p.Phase, 8), left(fmt.Sprint(p.Tokens), 5), Dur(p.BusyNs))
		if p.IdealNs >= 0 {
			line += ", " + Dur(p.IdealNs) + " at peak"
		}
		line += fmt.Sprintf("; MBU %.1f %%", 100*p.MBU)
		if p.MFU >= 0 {
			line += fmt.Sprintf(", MFU %.1f %%", 100*p.MFU)
		}
		t.line("%s", line)
		if t.o.Verbose {
			for _, s := range p.Stages {
				t.line("      %s %s  %s  MBU %5.1f %%  MFU %s", pad(s.Stage, 14), left(Dur(s.Ns), 10),
					left(fmt.Sprintf("%.2f GB", s.Bytes/1e9), 9), 100*s.MBU, left(utilisation(s.MFU), 7))
			}
		}
	}
	if l.Checked != "" {
		t.para(2, l.Checked)
	}
	if l.Why != "" {
		t.para(2, "Not computed: "+l.Why+".")
	}
}

func (t *text) apis(d *diagnose.Diagnosis) {
	if len(d.APIs) == 0 {
		return
	}
	t.title("API calls by thread and library")
	t.line("  %s", t.p.dim(pad("function", 32)+pad("library", 9)+left("thread", 9)+left("calls", 8)+left("total", 10)+left("p50", 10)+left("p99", 10)+left("max", 10)))
	n := 8
	if t.o.Verbose {
		n = len(d.APIs)
	}
	for i, a := range d.APIs {
		if i >= n {
			t.line("  %s", t.p.dim(fmt.Sprintf("(%d more with -v)", len(d.APIs)-n)))
			break
		}
		t.line("  %s%s%s%s%s%s%s%s", pad(Cut(clean(a.Name), 31), 32), pad(a.Library, 9), left(fmt.Sprint(a.TID), 9), left(fmt.Sprint(a.Calls), 8),
			left(Dur(a.TotalNs), 10), left(Dur(a.P50Ns), 10), left(Dur(a.P99Ns), 10), left(Dur(a.MaxNs), 10))
	}
}

// kernelMetrics prints Nsight Compute's counters by stage, the most time first within each.
func (t *text) kernelMetrics(d *diagnose.Diagnosis) {
	if len(d.KernelMetrics) == 0 {
		return
	}
	t.title("kernel metrics (nsight compute)")
	t.line("  %s", t.p.dim(pad("stage", 11)+pad("kernel", 25)+left("GPU time", 9)+left("IPC", 6)+left("branch", 8)+left("warps", 7)+left("occup", 7)+left("L1", 6)+left("L2", 6)+left("DRAM", 6)+left("tensor", 7)))
	pct := func(v *float64, n int) string {
		if v == nil {
			return left("-", n)
		}
		return left(fmt.Sprintf("%.0f", *v), n)
	}
	rows := slices.Clone(d.KernelMetrics)
	slices.SortStableFunc(rows, func(x, y diagnose.KernelMetrics) int { return strings.Compare(x.Stage, y.Stage) })
	marked := false
	for i, k := range rows {
		if i >= 30 && !t.o.Verbose {
			t.line("  %s", t.p.dim(fmt.Sprintf("(%d more with -v)", len(rows)-i)))
			break
		}
		ipc := left("-", 6)
		if k.IPC != nil {
			ipc = left(fmt.Sprintf("%.2f", *k.IPC), 6)
		}
		name := profile.BaseName(k.Name)
		if k.Ambiguous != "" {
			name, marked = "~"+name, true
		}
		t.line("  %s%s%s%s%s%s%s%s%s%s%s", pad(Cut(k.Stage, 10), 11), pad(Cut(clean(name), 24), 25), left(Dur(k.GPUNs), 9), ipc, pct(k.BranchEfficiency, 8), pct(k.WarpEfficiency, 7),
			pct(k.Occupancy, 7), pct(k.L1, 6), pct(k.L2, 6), pct(k.DRAM, 6), pct(k.Tensor, 7))
	}
	note := "Per cent, medians over the profiled instances; GPU time is the profile's. - not collected."
	if marked {
		note += " ~ the match is ambiguous."
	}
	t.line("  %s", t.p.dim(note))
}

func (t *text) transfers(d *diagnose.Diagnosis) {
	if len(d.Transfers) == 0 {
		return
	}
	t.title("transfers")
	t.line("  %s", t.p.dim(pad("direction", 23)+left("copies", 8)+left("bytes", 12)+left("time", 10)+left("exposed", 10)+left("GB/s", 8)+"  carries"))
	for _, x := range d.Transfers {
		t.line("  %s%s%s%s%s%s  %s", pad(x.Part, 23), left(fmt.Sprint(x.Count), 8), left(Bytes(x.Bytes), 12), left(Dur(x.Ns), 10),
			left(Dur(x.ExposedNs), 10), left(fmt.Sprintf("%.2f", x.GBs), 8), x.Purpose)
	}
}

func (t *text) lifecycle(d *diagnose.Diagnosis) {
	if len(d.Lifecycle) == 0 {
		return
	}
	t.title("lifecycle")
	n := len(d.Lifecycle)
	if !t.o.Verbose {
		n = min(n, 10)
	}
	for _, l := range d.Lifecycle[:n] {
		t.line("  %s from %s for %s  %s", pad(l.Phase, 14), left(Dur(l.Start), 9), left(Dur(l.Dur), 9), t.p.dim(Cut(clean(l.Source), 50)))
	}
	if n < len(d.Lifecycle) {
		t.line("  %s", t.p.dim(fmt.Sprintf("(%d more with -v)", len(d.Lifecycle)-n)))
	}
}
