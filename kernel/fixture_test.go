package kernel

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// loadStep reads a step of testdata: the format is in each file's head.
func loadStep(t testing.TB, path string) ([]Launch, map[uint32]string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	names := map[uint32]string{}
	classes := map[uint32]*Class{}
	var seq []Launch
	s := bufio.NewScanner(f)
	s.Buffer(make([]byte, 1<<16), 1<<20)
	for s.Scan() {
		line := s.Text()
		switch {
		case strings.HasPrefix(line, "n "):
			id, name, _ := strings.Cut(line[2:], " ")
			n, err := strconv.ParseUint(id, 10, 32)
			if err != nil {
				t.Fatalf("%s: %q: %v", path, line, err)
			}
			names[uint32(n)] = name
			c := Classify(name)
			classes[uint32(n)] = &c
		case strings.HasPrefix(line, "k "):
			var l Launch
			if _, err := fmt.Sscanf(line, "k %d %d,%d,%d %d,%d,%d %d", &l.Name, &l.Grid[0], &l.Grid[1], &l.Grid[2],
				&l.Block[0], &l.Block[1], &l.Block[2], &l.Dur); err != nil {
				t.Fatalf("%s: %q: %v", path, line, err)
			}
			l.Class = classes[l.Name]
			seq = append(seq, l)
		}
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return seq, names
}

// TestRealSteps checks one step of each profile. The models are Llamas, whose
// GEMMs of a layer differ in weights (8B: qkv 1.5, o 1, gate_up 7, down 3.5
// parts), so their durations are an independent witness of the roles.
func TestRealSteps(t *testing.T) {
	tests := []struct {
		file   string
		layers int
		aux    int // split-K reductions per step
	}{
		{"eager1b-decode", 16, 16},
		{"base1b-decode", 16, 16},
		{"base1b-prefill", 16, 16},
		{"base8b-decode", 32, 32},
		{"base8b-mixed", 32, 0},
		{"base8b-small-prefill", 32, 32},
		{"base8b-kineto-decode", 32, 32},
		{"seqs4-decode", 32, 64},
		{"seqs4-prefill", 32, 0},
		{"fp8-decode", 32, 0},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			seq, names := loadStep(t, filepath.Join("testdata", tt.file+".txt"))
			got := AssignRoles(seq)
			if p := got.Pattern; p.LayerCount != tt.layers || p.Confidence != High || p.Passes != 1 {
				t.Fatalf("pattern %+v, want %d layers, high", p, tt.layers)
			}
			order := make([][]Role, tt.layers)
			durs := map[Role][]int64{}
			aux, heads := 0, 0
			for i, k := range got.Kernels {
				if k.Stage == Other || k.Stage == Gemm {
					t.Errorf("kernel %d %.60s: stage %s", i, names[seq[i].Name], k.Stage)
				}
				if seq[i].Class.Op == "split-k-reduce" {
					aux++
					if k.Role != got.Kernels[i-1].Role || k.Role == NoRole {
						t.Errorf("split-K reduction %d: role %q, want that of its GEMM", i, k.Role)
					}
					continue
				}
				switch {
				case k.Role == RoleLMHead:
					heads++
					if k.Layer != -1 {
						t.Errorf("lm_head in layer %d", k.Layer)
					}
				case k.Role != NoRole:
					order[k.Layer] = append(order[k.Layer], k.Role)
					durs[k.Role] = append(durs[k.Role], seq[i].Dur)
				}
			}
			for l, roles := range order {
				if !slices.Equal(roles, []Role{RoleQKV, RoleO, RoleGateUp, RoleDown}) {
					t.Errorf("layer %d: %v", l, roles)
				}
			}
			if aux != tt.aux || heads != 1 {
				t.Errorf("%d split-K reductions and %d lm heads, want %d and 1", aux, heads, tt.aux)
			}
			mid := func(r Role) int64 { slices.Sort(durs[r]); return durs[r][len(durs[r])/2] }
			if !(mid(RoleGateUp) > mid(RoleDown) && mid(RoleDown) > mid(RoleQKV) && mid(RoleQKV) > mid(RoleO)) {
				t.Errorf("median durations gate_up %d, down %d, qkv %d, o %d ns: not in the order of their weights",
					mid(RoleGateUp), mid(RoleDown), mid(RoleQKV), mid(RoleO))
			}
		})
	}
}

func TestGraphLevelStep(t *testing.T) {
	seq, _ := loadStep(t, filepath.Join("testdata", "graphlevel1b-decode.txt"))
	got := AssignRoles(seq)
	if got.Pattern.LayerCount != 0 || got.Pattern.Confidence != None || got.Pattern.Why == "" {
		t.Errorf("pattern %+v, want none with a reason", got.Pattern)
	}
	var heads int
	for _, k := range got.Kernels {
		if k.Role == RoleLMHead {
			heads++
		}
		if k.Stage == Other || k.Stage == Embedding {
			t.Errorf("stage %s", k.Stage)
		}
	}
	if heads != 1 {
		t.Errorf("%d lm heads, want 1", heads)
	}
}

// TestKinetoNamesAgree checks that both tools' spelling of the same step gives
// the same result.
func TestKinetoNamesAgree(t *testing.T) {
	nsys, _ := loadStep(t, filepath.Join("testdata", "base8b-decode.txt"))
	kineto, _ := loadStep(t, filepath.Join("testdata", "base8b-kineto-decode.txt"))
	count := func(seq []Launch) map[string]int {
		m := map[string]int{}
		for i, k := range AssignRoles(seq).Kernels {
			if k.Layer >= 0 {
				c := *seq[i].Class
				m[fmt.Sprintf("%s %s %s %s %s %d", k.Stage, k.Role, c.Family, c.Op, c.DType, k.Layer)]++
			}
		}
		return m
	}
	a, b := count(nsys), count(kineto)
	for k, n := range a {
		if b[k] != n {
			t.Errorf("%s: %d in one, %d in the other", k, n, b[k])
		}
	}
	if len(a) != len(b) || len(a) < 100 {
		t.Errorf("%d and %d different places", len(a), len(b))
	}
}
