package export

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/stepscope/stepscope/internal/captest"
	"github.com/stepscope/stepscope/step"
)

type memory struct{ bytes.Buffer }

func (*memory) Close() error { return nil }

func files(t testing.TB, write func(*step.Analysis, Create) error, a *step.Analysis) map[string]*memory {
	t.Helper()
	out := map[string]*memory{}
	err := write(a, func(name string) (io.WriteCloser, error) {
		if out[name] != nil {
			t.Errorf("%s twice", name)
		}
		out[name] = &memory{}
		return out[name], nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// readParquet reads a file back as texts, "" for null, in the order of its columns.
func readParquet(t testing.TB, data []byte) (head []string, rows [][]string) {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range f.Root().Columns() {
		head = append(head, c.Name())
	}
	for _, g := range f.RowGroups() {
		r := g.Rows()
		buf := make([]parquet.Row, 64)
		for {
			n, err := r.ReadRows(buf)
			for _, row := range buf[:n] {
				rec := make([]string, len(head))
				for _, v := range row {
					if !v.IsNull() {
						rec[v.Column()] = v.String()
					}
				}
				rows = append(rows, rec)
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		r.Close()
	}
	return head, rows
}

func TestTablesHoldTheProfile(t *testing.T) {
	analyses := map[string]*step.Analysis{"sample": sample(t)}
	for _, name := range names(t) {
		p, _ := captest.Load(t, name)
		if p.Kernels.Len() < 20_000 {
			analyses[name] = step.Analyze(p, step.Options{})
		}
	}
	for name, a := range analyses {
		p := a.P
		counts := map[string]int{"kernels": p.Kernels.Len(), "copies": p.Copies.Len(), "memsets": p.Memsets.Len(), "graphs": len(p.GraphTraces.Start), "calls": p.Calls.Len(),
			"syncs": p.Syncs.Len(), "ranges": p.Ranges.Len(), "operators": p.Ops.Len(), "library_calls": p.LibCalls.Len(), "os_calls": p.OSCalls.Len(),
			"profiler_overhead": p.Overheads.Len(), "memory_events": p.MemEvents.Len(), "steps": len(a.Steps)}
		for i := range p.Counters {
			counts["counters"] += len(p.Counters[i].Times)
		}
		texts, columns := files(t, CSV, a), files(t, Parquet, a)
		written := 0
		for table, want := range counts {
			if want == 0 {
				if texts[table+".csv"] != nil || columns[table+".parquet"] != nil {
					t.Errorf("%s: table %s has no rows and is written", name, table)
				}
				continue
			}
			written++
			records, err := csv.NewReader(bytes.NewReader(texts[table+".csv"].Bytes())).ReadAll()
			if err != nil || len(records)-1 != want {
				t.Errorf("%s: %s.csv has %d rows, want %d (%v)", name, table, len(records)-1, want, err)
				continue
			}
			head, rows := readParquet(t, columns[table+".parquet"].Bytes())
			if fmt.Sprint(head) != fmt.Sprint(records[0]) || len(rows) != want {
				t.Errorf("%s: %s.parquet has columns %v and %d rows, want %v and %d", name, table, head, len(rows), records[0], want)
				continue
			}
			for i := range rows {
				if fmt.Sprint(rows[i]) != fmt.Sprint(records[i+1]) {
					t.Errorf("%s: %s row %d: %v as Parquet, %v as CSV", name, table, i, rows[i], records[i+1])
					break
				}
			}
		}
		if written != len(texts) || written != len(columns) || written != len(TableNames(a)) {
			t.Errorf("%s: %d tables, %d CSV and %d Parquet files", name, written, len(texts), len(columns))
		}
		checkSums(t, name, a, texts)
		for f, x := range files(t, Parquet, a) {
			if !bytes.Equal(x.Bytes(), columns[f].Bytes()) {
				t.Errorf("%s: %s differs between two exports", name, f)
			}
		}
	}
}

// checkSums adds up columns of the CSV files and compares them with the analysis.
func checkSums(t *testing.T, name string, a *step.Analysis, texts map[string]*memory) {
	t.Helper()
	sum := func(table string, columns func(string) bool) (total int64) {
		records, err := csv.NewReader(bytes.NewReader(texts[table+".csv"].Bytes())).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for c, h := range records[0] {
			if !columns(h) {
				continue
			}
			for _, r := range records[1:] {
				n, err := strconv.ParseInt(r[c], 10, 64)
				if err != nil {
					t.Fatalf("%s.%s: %v", table, h, err)
				}
				total += n
			}
		}
		return total
	}
	if len(a.Steps) > 0 {
		var wall int64
		for i := range a.Steps {
			wall += a.Steps[i].Wall()
		}
		parts := sum("steps", func(h string) bool {
			return (strings.HasPrefix(h, "gpu_") || strings.HasPrefix(h, "idle_")) && h != "gpu_busy_ns" && h != "gpu_idle_ns"
		})
		if got := sum("steps", func(h string) bool { return h == "wall_ns" }); got != wall || parts != wall {
			t.Errorf("%s: walls sum to %d in the table and %d in the analysis, parts to %d", name, got, wall, parts)
		}
	}
	if a.P.Kernels.Len() > 0 {
		var want int64
		for _, d := range a.P.Kernels.Dur {
			want += d
		}
		if got := sum("kernels", func(h string) bool { return h == "dur_ns" }); got != want {
			t.Errorf("%s: kernel time %d, want %d", name, got, want)
		}
	}
}

func TestTablesNull(t *testing.T) {
	a := sample(t)
	records, err := csv.NewReader(&files(t, CSV, a)["kernels.csv"].Buffer).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	at := func(column string) int {
		for i, h := range records[0] {
			if h == column {
				return i
			}
		}
		t.Fatalf("no column %s in %v", column, records[0])
		return 0
	}
	inGraph, launched := 0, 0
	for _, r := range records[1:] {
		if r[at("in_graph")] == "true" {
			inGraph++
			if r[at("graph")] != "1" {
				t.Errorf("kernel of a graph: %v", r)
			}
		} else if r[at("graph")] != "" || r[at("graph_node")] != "" {
			t.Errorf("kernel outside graphs: %v", r)
		}
		if r[at("call_row")] != "" {
			launched++
		}
		if strings.Contains(r[at("name")], "script") && r[at("name")] != "<script>alert(1)</script>\ufffd\ufffd" {
			t.Errorf("name %q", r[at("name")])
		}
	}
	if inGraph != 20 || launched != 24 {
		t.Errorf("%d kernels in graphs, %d with a launch", inGraph, launched)
	}
	ranges, err := csv.NewReader(&files(t, CSV, a)["ranges.csv"].Buffer).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	open := 0
	for _, r := range ranges[1:] {
		if r[2] == "" {
			open++
		}
	}
	if open != 1 {
		t.Errorf("%d ranges without an end, want 1", open)
	}
}

func TestTablesFailing(t *testing.T) {
	for _, write := range []func(*step.Analysis, Create) error{CSV, Parquet} {
		err := write(sample(t), func(string) (io.WriteCloser, error) { return failing{}, nil })
		if err == nil || !strings.Contains(err.Error(), "writing steps.") || !strings.Contains(err.Error(), "no space") {
			t.Errorf("error %v", err)
		}
	}
}

type failing struct{ full }

func (failing) Close() error { return nil }

func BenchmarkTables(b *testing.B) {
	p, _ := captest.Load(b, "eager1b-G")
	a := step.Analyze(p, step.Options{})
	for name, write := range map[string]func(*step.Analysis, Create) error{"csv": CSV, "parquet": Parquet} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := write(a, func(string) (io.WriteCloser, error) { return nowhere{}, nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

type nowhere struct{ io.Writer }

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) Close() error                { return nil }
