package export

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"

	"github.com/parquet-go/parquet-go"

	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/step"
)

// Create opens the file of one table for writing; the caller decides where it lies.
type Create func(name string) (io.WriteCloser, error)

// Kernel is a row of the kernels table. Times are ns in the capture's clock; -1 and "" are not recorded.
type Kernel struct {
	Row         int64  `parquet:"row"`
	StartNs     int64  `parquet:"start_ns"`
	DurNs       int64  `parquet:"dur_ns"`
	PID         int64  `parquet:"pid"`
	Device      int64  `parquet:"device"`
	Stream      int64  `parquet:"stream"`
	Name        string `parquet:"name,dict"`
	Stage       string `parquet:"stage,dict"`
	Role        string `parquet:"role,dict"`
	Layer       int64  `parquet:"layer"`
	Step        int64  `parquet:"step"`
	GridX       int64  `parquet:"grid_x"`
	GridY       int64  `parquet:"grid_y"`
	GridZ       int64  `parquet:"grid_z"`
	BlockX      int64  `parquet:"block_x"`
	BlockY      int64  `parquet:"block_y"`
	BlockZ      int64  `parquet:"block_z"`
	Correlation int64  `parquet:"correlation"`
	CallRow     int64  `parquet:"call_row"`
	GraphNode   int64  `parquet:"graph_node"`
}

// Copy is a row of the copies table; sets of memory are in it with kind "memset".
type Copy struct {
	Row     int64  `parquet:"row"`
	StartNs int64  `parquet:"start_ns"`
	DurNs   int64  `parquet:"dur_ns"`
	PID     int64  `parquet:"pid"`
	Device  int64  `parquet:"device"`
	Stream  int64  `parquet:"stream"`
	Kind    string `parquet:"kind,dict"`
	Bytes   int64  `parquet:"bytes"`
	CallRow int64  `parquet:"call_row"`
}

// Call is a row of the API calls table.
type Call struct {
	Row         int64  `parquet:"row"`
	StartNs     int64  `parquet:"start_ns"`
	DurNs       int64  `parquet:"dur_ns"`
	PID         int64  `parquet:"pid"`
	TID         int64  `parquet:"tid"`
	Name        string `parquet:"name,dict"`
	Correlation int64  `parquet:"correlation"`
	Result      int64  `parquet:"result"`
}

// Range is a row of the annotations table; dur_ns is -1 for one that was still open.
type Range struct {
	Row     int64  `parquet:"row"`
	StartNs int64  `parquet:"start_ns"`
	DurNs   int64  `parquet:"dur_ns"`
	PID     int64  `parquet:"pid"`
	TID     int64  `parquet:"tid"`
	Domain  string `parquet:"domain,dict"`
	Text    string `parquet:"text,dict"`
}

// Step is a row of the steps table: one per part of the budget, so that the table has the same columns for every capture.
type Step struct {
	Step          int64  `parquet:"step"`
	Rank          int64  `parquet:"rank"`
	Phase         string `parquet:"phase,dict"`
	StartNs       int64  `parquet:"start_ns"`
	WallNs        int64  `parquet:"wall_ns"`
	PeriodNs      int64  `parquet:"period_ns"`
	Prefill       int64  `parquet:"prefill_requests"`
	PrefillTokens int64  `parquet:"prefill_tokens"`
	Decode        int64  `parquet:"decode_requests"`
	DecodeTokens  int64  `parquet:"decode_tokens"`
	Part          string `parquet:"part,dict"`
	PartNs        int64  `parquet:"part_ns"`
}

// Parquet writes one file per table: kernels, copies, calls, ranges, steps.
func Parquet(a *step.Analysis, create Create) error {
	return tables(a, func(name string, t table) error { return t.parquet(create, name+".parquet") })
}

// CSV writes the same tables as CSV with a header line.
func CSV(a *step.Analysis, create Create) error {
	return tables(a, func(name string, t table) error { return t.csv(create, name+".csv") })
}

// table is rows of one type with their two encodings.
type table interface {
	parquet(create Create, name string) error
	csv(create Create, name string) error
}

// rowsOf is a table of n rows that are made one at a time.
type rowsOf[T any] struct {
	n      int
	header []string
	row    func(i int) T
	record func(v *T, rec []string) []string
}

// batch bounds the rows that are in memory at once.
const batch = 4096

func (t rowsOf[T]) parquet(create Create, name string) error {
	f, err := create(name)
	if err != nil {
		return err
	}
	w := parquet.NewGenericWriter[T](f, parquet.Compression(&parquet.Snappy), parquet.MaxRowsPerRowGroup(1<<20))
	buf := make([]T, 0, min(batch, t.n))
	for i := range t.n {
		buf = append(buf, t.row(i))
		if len(buf) == batch || i == t.n-1 {
			if _, err := w.Write(buf); err != nil {
				f.Close()
				return fmt.Errorf("writing %s: %w", name, err)
			}
			buf = buf[:0]
		}
	}
	if err := w.Close(); err != nil {
		f.Close()
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return f.Close()
}

func (t rowsOf[T]) csv(create Create, name string) error {
	f, err := create(name)
	if err != nil {
		return err
	}
	b := bufio.NewWriterSize(f, 1<<18)
	w := csv.NewWriter(b)
	err = w.Write(t.header)
	var rec []string
	for i := 0; i < t.n && err == nil; i++ {
		v := t.row(i)
		rec = t.record(&v, rec[:0])
		err = w.Write(rec)
	}
	w.Flush()
	if err == nil {
		err = w.Error()
	}
	if err == nil {
		err = b.Flush()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

func tables(a *step.Analysis, write func(name string, t table) error) error {
	for _, t := range []struct {
		name string
		t    table
	}{{"kernels", kernels(a)}, {"copies", copies(a)}, {"calls", calls(a)}, {"ranges", ranges(a)}, {"steps", stepRows(a)}} {
		if err := write(t.name, t.t); err != nil {
			return err
		}
	}
	return nil
}

func num(rec []string, v ...int64) []string {
	for _, n := range v {
		rec = append(rec, strconv.FormatInt(n, 10))
	}
	return rec
}

// place returns the process, device and stream of a queue.
func place(p *profile.Profile, q int32) (pid, device, stream int64) {
	x := p.Queues[q]
	pid = -1
	if x.Process != profile.None {
		pid = p.Processes[x.Process].PID
	}
	return pid, p.Devices[x.Device].ID, x.Stream
}

func callRow(p *profile.Profile, c int32) int64 {
	if c == profile.None {
		return -1
	}
	return p.Calls.Row.At(int(c))
}

func kernels(a *step.Analysis) table {
	p, k := a.P, &a.P.Kernels
	steps := a.StepOfKernel()
	return rowsOf[Kernel]{k.Len(),
		[]string{"row", "start_ns", "dur_ns", "pid", "device", "stream", "name", "stage", "role", "layer", "step", "grid_x", "grid_y", "grid_z", "block_x", "block_y", "block_z",
			"correlation", "call_row", "graph_node"},
		func(i int) Kernel {
			c := &p.Configs[k.Config[i]]
			v := Kernel{Row: k.Row.At(i), StartNs: k.Start[i], DurNs: k.Dur[i], Name: p.FuncName(i), Stage: a.Stage[i].String(), Role: a.Role[i].String(),
				Layer: int64(a.Layer[i]), Step: -1, GridX: int64(c.Grid[0]), GridY: int64(c.Grid[1]), GridZ: int64(c.Grid[2]),
				BlockX: int64(c.Block[0]), BlockY: int64(c.Block[1]), BlockZ: int64(c.Block[2]), Correlation: int64(k.Correlation[i]), CallRow: callRow(p, k.Call[i]),
				GraphNode: int64(k.GraphNode[i])}
			v.PID, v.Device, v.Stream = place(p, k.Queue[i])
			if s := steps[i]; s != profile.None {
				v.Step = int64(a.Steps[s].Index)
			}
			return v
		},
		func(v *Kernel, rec []string) []string {
			rec = num(rec, v.Row, v.StartNs, v.DurNs, v.PID, v.Device, v.Stream)
			rec = append(rec, v.Name, v.Stage, v.Role)
			return num(rec, v.Layer, v.Step, v.GridX, v.GridY, v.GridZ, v.BlockX, v.BlockY, v.BlockZ, v.Correlation, v.CallRow, v.GraphNode)
		}}
}

func copies(a *step.Analysis) table {
	p := a.P
	m, s := &p.Copies, &p.Memsets
	return rowsOf[Copy]{m.Len() + s.Len(), []string{"row", "start_ns", "dur_ns", "pid", "device", "stream", "kind", "bytes", "call_row"},
		func(i int) Copy {
			var v Copy
			if i < m.Len() {
				v = Copy{Row: m.Row.At(i), StartNs: m.Start[i], DurNs: m.Dur[i], Kind: a.PartOf(step.NewOp(step.OpCopy, i)).String()[len("gpu."):], Bytes: m.Bytes[i], CallRow: callRow(p, m.Call[i])}
				v.PID, v.Device, v.Stream = place(p, m.Queue[i])
				return v
			}
			i -= m.Len()
			v = Copy{Row: s.Row.At(i), StartNs: s.Start[i], DurNs: s.Dur[i], Kind: "memset", Bytes: s.Bytes[i], CallRow: callRow(p, s.Call[i])}
			v.PID, v.Device, v.Stream = place(p, s.Queue[i])
			return v
		},
		func(v *Copy, rec []string) []string {
			rec = append(num(rec, v.Row, v.StartNs, v.DurNs, v.PID, v.Device, v.Stream), v.Kind)
			return num(rec, v.Bytes, v.CallRow)
		}}
}

func calls(a *step.Analysis) table {
	p, c := a.P, &a.P.Calls
	return rowsOf[Call]{c.Len(), []string{"row", "start_ns", "dur_ns", "pid", "tid", "name", "correlation", "result"},
		func(i int) Call {
			t := p.Threads[c.Thread[i]]
			return Call{c.Row.At(i), c.Start[i], c.Dur[i], p.Processes[t.Process].PID, t.TID, p.CallName(i), int64(c.Correlation[i]), int64(c.Result[i])}
		},
		func(v *Call, rec []string) []string {
			return num(append(num(rec, v.Row, v.StartNs, v.DurNs, v.PID, v.TID), v.Name), v.Correlation, v.Result)
		}}
}

func ranges(a *step.Analysis) table {
	p, r := a.P, &a.P.Ranges
	return rowsOf[Range]{r.Len(), []string{"row", "start_ns", "dur_ns", "pid", "tid", "domain", "text"},
		func(i int) Range {
			t := p.Threads[r.Thread[i]]
			v := Range{r.Row.At(i), r.Start[i], r.Dur[i], p.Processes[t.Process].PID, t.TID, "", p.Strings.At(r.Text[i])}
			if d := r.Domain[i]; d != profile.None {
				v.Domain = p.Domains[d].Name
			}
			return v
		},
		func(v *Range, rec []string) []string {
			return append(num(rec, v.Row, v.StartNs, v.DurNs, v.PID, v.TID), v.Domain, v.Text)
		}}
}

func stepRows(a *step.Analysis) table {
	type cell struct {
		step int32
		part step.Part
	}
	var cells []cell
	for i := range a.Steps {
		for part, ns := range a.Steps[i].Budget {
			if ns != 0 {
				cells = append(cells, cell{int32(i), step.Part(part)})
			}
		}
	}
	return rowsOf[Step]{len(cells), []string{"step", "rank", "phase", "start_ns", "wall_ns", "period_ns", "prefill_requests", "prefill_tokens", "decode_requests", "decode_tokens", "part", "part_ns"},
		func(i int) Step {
			s := &a.Steps[cells[i].step]
			return Step{int64(s.Index), int64(s.Rank), s.Phase.String(), s.GPU.Start, s.Wall(), s.Period, s.Batch.PrefillRequests, s.Batch.PrefillTokens,
				s.Batch.DecodeRequests, s.Batch.DecodeTokens, cells[i].part.String(), s.Budget[cells[i].part]}
		},
		func(v *Step, rec []string) []string {
			rec = append(num(rec, v.Step, v.Rank), v.Phase)
			rec = num(rec, v.StartNs, v.WallNs, v.PeriodNs, v.Prefill, v.PrefillTokens, v.Decode, v.DecodeTokens)
			return num(append(rec, v.Part), v.PartNs)
		}}
}
