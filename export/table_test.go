package export

import (
	"bytes"
	"encoding/csv"
	"io"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/stepscope/stepscope/step"
)

type memory struct{ bytes.Buffer }

func (*memory) Close() error { return nil }

func files(t *testing.T, write func(*step.Analysis, Create) error, a *step.Analysis) map[string]*memory {
	t.Helper()
	out := map[string]*memory{}
	err := write(a, func(name string) (io.WriteCloser, error) {
		out[name] = &memory{}
		return out[name], nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestTablesHoldTheProfile(t *testing.T) {
	a := sample(t)
	p := a.P
	counts := map[string]int{"kernels": p.Kernels.Len(), "copies": p.Copies.Len() + p.Memsets.Len(), "calls": p.Calls.Len(), "ranges": p.Ranges.Len()}
	var wall int64
	for i := range a.Steps {
		wall += a.Steps[i].Wall()
	}
	text := files(t, CSV, a)
	for name, want := range counts {
		rows, err := csv.NewReader(&text[name+".csv"].Buffer).ReadAll()
		if err != nil || len(rows)-1 != want {
			t.Errorf("%s.csv: %d rows, want %d (%v)", name, len(rows)-1, want, err)
		}
	}
	pq := files(t, Parquet, a)
	kernels, err := parquet.Read[Kernel](bytes.NewReader(pq["kernels.parquet"].Bytes()), int64(pq["kernels.parquet"].Len()))
	if err != nil || len(kernels) != counts["kernels"] {
		t.Fatalf("kernels.parquet: %d rows (%v)", len(kernels), err)
	}
	for i, k := range kernels {
		if k.StartNs != p.Kernels.Start[i] || k.DurNs != p.Kernels.Dur[i] || k.Name != p.FuncName(i) || k.Stage != a.Stage[i].String() {
			t.Fatalf("row %d: %+v", i, k)
		}
	}
	steps, err := parquet.Read[Step](bytes.NewReader(pq["steps.parquet"].Bytes()), int64(pq["steps.parquet"].Len()))
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	for _, s := range steps {
		sum += s.PartNs
	}
	if sum != wall {
		t.Errorf("parts of the steps table sum to %d, walls to %d", sum, wall)
	}
	for name, f := range files(t, Parquet, a) {
		if !bytes.Equal(f.Bytes(), pq[name].Bytes()) {
			t.Errorf("%s differs between two exports", name)
		}
	}
}
