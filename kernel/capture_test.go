package kernel_test

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/stepscope/stepscope/internal/packed"
	"github.com/stepscope/stepscope/internal/proftest"
	"github.com/stepscope/stepscope/kernel"
)

// run is one kernel of a capture.
type run struct {
	start, dur, launched int64
	name                 string
	grid                 [3]int32
}

// capture is what the test needs of a profile: kernels and the starts of the
// engine's step markers.
type capture struct {
	kernels []run
	steps   []int64
}

// TestCaptures runs over whole captures: nearly nothing may be left as other,
// and every GEMM of every layer of every step must have its role.
func TestCaptures(t *testing.T) {
	tests := []struct {
		name   string
		layers int
		steps  int // with kernels
	}{
		{"base8b-A", 32, 82},
		{"base8b-B", 32, 26},
		{"base8b-E", 32, 17},
		{"eager1b-G", 16, 35},
		{"base1b-G", 16, 101},
		{"seqs4-B", 32, 84},
		{"fp8-A", 32, 112},
		{"base8b-gpumetrics-A", 32, 83},
		{"base8b-kineto-A", 32, 81},
		{"base1b-graphlevel-G", 0, 98},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := proftest.SharedCapture(t, tt.name)
			c := readCapture(t, dir)
			var oracle struct {
				Count int   `json:"kernel_count"`
				Sum   int64 `json:"kernel_sum_ns"`
			}
			proftest.Oracle(t, tt.name, &oracle)
			checkCapture(t, c, tt.layers, tt.steps, oracle.Count, oracle.Sum)
		})
	}
}

func checkCapture(t *testing.T, c capture, layers, steps, count int, sum int64) {
	classes := map[string]*kernel.Class{}
	ids := map[string]uint32{}
	seqs := make([][]kernel.Launch, len(c.steps)+1)
	for _, k := range c.kernels {
		if classes[k.name] == nil {
			cl := kernel.Classify(k.name)
			classes[k.name] = &cl
			ids[k.name] = uint32(len(ids))
		}
		i := sort.Search(len(c.steps), func(i int) bool { return c.steps[i] > k.launched })
		seqs[i] = append(seqs[i], kernel.Launch{Name: ids[k.name], Class: classes[k.name], Grid: k.grid, Dur: k.dur})
	}
	var total int64
	stage := map[kernel.Stage]int64{}
	want := []kernel.Role{kernel.RoleQKV, kernel.RoleO, kernel.RoleGateUp, kernel.RoleDown}
	found := 0
	for n, seq := range seqs {
		if len(seq) == 0 {
			continue
		}
		found++
		got := kernel.AssignRoles(seq)
		order := make([][]kernel.Role, layers)
		heads := 0
		for i, k := range got.Kernels {
			total += seq[i].Dur
			stage[k.Stage] += seq[i].Dur
			if !seq[i].Class.Gemm {
				continue
			}
			switch {
			case k.Role == kernel.RoleLMHead && k.Layer == -1:
				heads++
			case k.Layer >= 0 && int(k.Layer) < layers:
				order[k.Layer] = append(order[k.Layer], k.Role)
			default:
				t.Errorf("step %d, kernel %d: role %q in layer %d", n, i, k.Role, k.Layer)
			}
		}
		for l, roles := range order {
			if !slices.Equal(roles, want) {
				t.Errorf("step %d, layer %d: %v", n, l, roles)
			}
		}
		if heads != 1 || got.Pattern.LayerCount != layers {
			t.Errorf("step %d: %d lm heads, pattern %+v", n, heads, got.Pattern)
		}
	}
	if found != steps {
		t.Errorf("%d steps with kernels, want %d", found, steps)
	}
	if len(c.kernels) != count || total != sum {
		t.Errorf("%d kernels of %d ns, the oracle has %d of %d ns", len(c.kernels), total, count, sum)
	}
	if share := float64(stage[kernel.Other]) / float64(total); share > 0.01 {
		t.Errorf("%.2f %% of GPU time is %s", 100*share, kernel.Other)
	}
	if stage[kernel.Gemm] != 0 {
		t.Errorf("%d ns of GEMMs without role", stage[kernel.Gemm])
	}
	var line []string
	for _, s := range kernel.Stages() {
		if stage[s] > 0 {
			line = append(line, s.String()+" "+percent(stage[s], total))
		}
	}
	t.Log(strings.Join(line, ", "))
}

func percent(part, whole int64) string {
	b, err := json.Marshal(math.Round(float64(part)/float64(whole)*1e4) / 100)
	if err != nil {
		return "?"
	}
	return string(b) + "%"
}

func readCapture(t *testing.T, dir string) capture {
	t.Helper()
	if f, err := os.Open(filepath.Join(dir, "trace.json.gz")); err == nil {
		defer f.Close()
		return readKineto(t, f)
	}
	return readSQLite(t, packed.Unzstd(t, filepath.Join(dir, "profile.sqlite.zst")))
}

func readSQLite(t *testing.T, path string) capture {
	t.Helper()
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var c capture
	query := func(sql string, row func(*sqlite.Stmt) error) {
		if err := sqlitex.ExecuteTransient(conn, sql, &sqlitex.ExecOptions{ResultFunc: row}); err != nil {
			t.Fatal(err)
		}
	}
	query(`SELECT start FROM NVTX_EVENTS WHERE text LIKE 'execute_%' ORDER BY start`, func(s *sqlite.Stmt) error {
		c.steps = append(c.steps, s.ColumnInt64(0))
		return nil
	})
	query(`SELECT k.start, k.end - k.start, r.start, s.value, k.gridX, k.gridY, k.gridZ
		FROM CUPTI_ACTIVITY_KIND_KERNEL k
		JOIN StringIds s ON s.id = k.demangledName
		JOIN CUPTI_ACTIVITY_KIND_RUNTIME r ON r.correlationId = k.correlationId AND r.globalTid / 0x1000000 = k.globalPid / 0x1000000
		ORDER BY k.start`, func(s *sqlite.Stmt) error {
		c.kernels = append(c.kernels, run{
			start: s.ColumnInt64(0), dur: s.ColumnInt64(1), launched: s.ColumnInt64(2), name: s.ColumnText(3),
			grid: [3]int32{s.ColumnInt32(4), s.ColumnInt32(5), s.ColumnInt32(6)},
		})
		return nil
	})
	return c
}

func readKineto(t *testing.T, r io.Reader) capture {
	t.Helper()
	z, err := gzip.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	var trace struct {
		TraceEvents []struct {
			Cat, Name string
			Ts, Dur   float64
			Args      struct {
				Correlation int64
				Grid        []int32
			}
		}
	}
	if err := json.NewDecoder(z).Decode(&trace); err != nil {
		t.Fatal(err)
	}
	var c capture
	launched := map[int64]int64{}
	for _, e := range trace.TraceEvents {
		switch {
		case e.Cat == "cuda_runtime" || e.Cat == "cuda_driver":
			launched[e.Args.Correlation] = int64(e.Ts * 1000)
		case e.Cat == "user_annotation" && strings.HasPrefix(e.Name, "execute_"):
			c.steps = append(c.steps, int64(e.Ts*1000))
		}
	}
	for _, e := range trace.TraceEvents {
		if e.Cat != "kernel" {
			continue
		}
		k := run{start: int64(e.Ts * 1000), dur: int64(math.Round(e.Dur * 1000)), launched: launched[e.Args.Correlation], name: e.Name}
		copy(k.grid[:], e.Args.Grid)
		c.kernels = append(c.kernels, k)
	}
	slices.Sort(c.steps)
	slices.SortFunc(c.kernels, func(a, b run) int { return int(a.start - b.start) })
	return c
}
