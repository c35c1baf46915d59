package report

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/stepscope/stepscope/align"
	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/step"
)

// StepsSchema is the version of the JSON form of a step table.
const StepsSchema = "stepscope.steps/1"

// StepRow is one step as a row: times in ns from the start of the capture, counts -1 where not recorded.
type StepRow struct {
	Step          int32            `json:"step"`
	Engine        int32            `json:"engine"`
	Process       int64            `json:"pid"`
	Device        int64            `json:"device"`
	Phase         string           `json:"phase"`
	PrefillReqs   int64            `json:"prefill_requests"`
	PrefillTokens int64            `json:"prefill_tokens"`
	DecodeReqs    int64            `json:"decode_requests"`
	DecodeTokens  int64            `json:"decode_tokens"`
	StartNs       int64            `json:"start_ns"`
	WallNs        int64            `json:"wall_ns"`
	PeriodNs      int64            `json:"period_ns"` // -1 for the last step
	BusyNs        int64            `json:"gpu_busy_ns"`
	IdleNs        int64            `json:"gpu_idle_ns"`
	Kernels       int32            `json:"kernels"`
	Launches      int32            `json:"launches"`
	GraphLaunches int32            `json:"graph_launches"`
	Copies        int32            `json:"copies"`
	Cold          bool             `json:"cold"`
	Source        string           `json:"source"`
	Parts         map[string]int64 `json:"parts"`

	// With the engine's trace beside the timeline.
	Requests    []string `json:"requests,omitempty"`     // ids of the requests that were running
	FirstTokens []string `json:"first_tokens,omitempty"` // of these, whose first token fell into the step
	Iteration   *int64   `json:"iteration,omitempty"`    // the engine's own number of the step
	IterationNs *int64   `json:"iteration_elapsed_ns,omitempty"`
}

// StepRows makes the rows of the steps that stand for the server's work, or of every rank.
func StepRows(a *step.Analysis, everyRank bool) []StepRow {
	idx := a.Primary
	if everyRank {
		idx = nil
		for r := range a.Ranks {
			idx = append(idx, a.Ranks[r].Steps...)
		}
	}
	rows := make([]StepRow, 0, len(idx))
	for _, i := range idx {
		s := &a.Steps[i]
		r := &a.Ranks[s.Rank]
		row := StepRow{Step: s.Index, Engine: r.Engine, Device: a.P.Devices[r.Device].ID, Phase: s.Phase.String(),
			PrefillReqs: s.Batch.PrefillRequests, PrefillTokens: s.Batch.PrefillTokens, DecodeReqs: s.Batch.DecodeRequests,
			DecodeTokens: s.Batch.DecodeTokens, StartNs: s.GPU.Start, WallNs: s.Wall(), PeriodNs: s.Period,
			BusyNs: s.Budget.Busy(), IdleNs: s.Budget.Idle(), Kernels: s.Kernels, Launches: s.Launches,
			GraphLaunches: s.GraphLaunches, Copies: s.Copies, Cold: s.Cold, Source: r.Source.String(), Parts: map[string]int64{}}
		if r.Process >= 0 {
			row.Process = a.P.Processes[r.Process].PID
		}
		for _, p := range step.Parts() {
			row.Parts[p.String()] = s.Budget[p]
		}
		rows = append(rows, row)
	}
	return rows
}

// AddRequests fills the columns of the engine's own trace. rows are those of a.Primary.
func AddRequests(rows []StepRow, a *step.Analysis, al *align.Alignment, log *serving.Log) {
	for k, i := range a.Primary {
		s := &a.Steps[i]
		for _, q := range al.At(s) {
			rows[k].Requests = append(rows[k].Requests, q.ID)
			if q.FirstTokenNs != nil && s.GPU.Contains(*q.FirstTokenNs) {
				rows[k].FirstTokens = append(rows[k].FirstTokens, q.ID)
			}
		}
		if n := al.Iteration[k]; n >= 0 {
			it := &log.Iterations[n]
			rows[k].Iteration = &it.Index
			if it.ElapsedNS >= 0 {
				rows[k].IterationNs = &it.ElapsedNS
			}
		}
	}
}

// Steps writes step rows as csv, json or an aligned table. The csv has one column per part of the budget, in ns; parts
// that no step has are left out of it.
func Steps(w io.Writer, rows []StepRow, format string) error {
	var parts []string
	for _, p := range step.Parts() {
		for _, r := range rows {
			if r.Parts[p.String()] != 0 {
				parts = append(parts, p.String())
				break
			}
		}
	}
	switch format {
	case "json":
		return JSON(w, struct {
			Schema string    `json:"schema"`
			Steps  []StepRow `json:"steps"`
		}{StepsSchema, rows})
	case "csv":
		return stepsCSV(w, rows, parts)
	}
	return stepsTable(w, rows)
}

func stepsCSV(w io.Writer, rows []StepRow, parts []string) error {
	c := csv.NewWriter(w)
	head := []string{"step", "engine", "pid", "device", "phase", "prefill_requests", "prefill_tokens", "decode_requests", "decode_tokens",
		"start_ns", "wall_ns", "period_ns", "gpu_busy_ns", "gpu_idle_ns", "kernels", "launches", "graph_launches", "copies", "cold", "source"}
	for _, p := range parts {
		head = append(head, p+"_ns")
	}
	traced := false
	for _, r := range rows {
		traced = traced || r.Requests != nil || r.Iteration != nil
	}
	if traced {
		head = append(head, "iteration", "iteration_elapsed_ns", "requests", "first_tokens")
	}
	if err := c.Write(head); err != nil {
		return err
	}
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	for _, r := range rows {
		rec := []string{n(int64(r.Step)), n(int64(r.Engine)), n(r.Process), n(r.Device), r.Phase, n(r.PrefillReqs), n(r.PrefillTokens), n(r.DecodeReqs),
			n(r.DecodeTokens), n(r.StartNs), n(r.WallNs), n(r.PeriodNs), n(r.BusyNs), n(r.IdleNs), n(int64(r.Kernels)), n(int64(r.Launches)),
			n(int64(r.GraphLaunches)), n(int64(r.Copies)), strconv.FormatBool(r.Cold), r.Source}
		for _, p := range parts {
			rec = append(rec, n(r.Parts[p]))
		}
		if traced {
			opt := func(v *int64) string {
				if v == nil {
					return ""
				}
				return n(*v)
			}
			rec = append(rec, opt(r.Iteration), opt(r.IterationNs), strings.Join(r.Requests, " "), strings.Join(r.FirstTokens, " "))
		}
		if err := c.Write(rec); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

func stepsTable(w io.Writer, rows []StepRow) error {
	b := bufio.NewWriter(w)
	// Where several engines ran, a column says on which GPU.
	several := slices.ContainsFunc(rows, func(r StepRow) bool { return r.Engine != rows[0].Engine })
	gpu := func(s string) string {
		if !several {
			return ""
		}
		return fmt.Sprintf("%-5s ", s)
	}
	fmt.Fprintf(b, "%s%5s %-7s %9s %8s %8s %8s %8s %5s %5s  %s\n", gpu("GPU"), "step", "phase", "prefill", "decode", "start", "period", "GPU busy", "busy", "calls", "largest idle")
	count := func(reqs, toks int64) string {
		switch {
		case reqs < 0:
			return "-"
		case reqs == 0:
			return "0"
		case toks < 0 || toks == reqs:
			return fmt.Sprint(reqs)
		}
		return fmt.Sprintf("%d/%d", reqs, toks)
	}
	for _, r := range rows {
		period := "-"
		if r.PeriodNs >= 0 {
			period = Dur(r.PeriodNs)
		}
		idle, most := "", int64(0)
		for _, p := range step.Parts() {
			if v := r.Parts[p.String()]; p.Idle() && v > most {
				idle, most = p.String(), v
			}
		}
		if idle != "" {
			idle += " " + Dur(most)
		}
		if r.Iteration != nil {
			idle += fmt.Sprintf("  iteration %d", *r.Iteration)
		}
		if len(r.Requests) > 0 {
			idle += fmt.Sprintf("  requests %s", clean(strings.Join(r.Requests, " ")))
		}
		fmt.Fprintf(b, "%s%5d %-7s %9s %8s %8s %8s %8s %5s %5d  %s\n", gpu(strconv.FormatInt(r.Device, 10)), r.Step, r.Phase, count(r.PrefillReqs, r.PrefillTokens),
			count(r.DecodeReqs, r.DecodeTokens), Dur(r.StartNs), period, Dur(r.BusyNs), fmt.Sprintf("%.0f %%", 100*ratio(r.BusyNs, r.WallNs)),
			r.Launches+r.GraphLaunches, idle)
	}
	fmt.Fprintln(b, "prefill and decode are requests, or requests/tokens; calls are launches; - is not recorded")
	return b.Flush()
}
