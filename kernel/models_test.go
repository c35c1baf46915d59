package kernel

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// model is a step written as kernels and the place each must get. See
// testdata/models.txt.
type model struct {
	name           string
	layers, passes int
	step           string
}

// kernelNames reads the short names of testdata/names.txt.
func kernelNames(t testing.TB) map[string]string {
	t.Helper()
	data, err := os.ReadFile("testdata/names.txt")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for line := range strings.Lines(string(data)) {
		short, full, ok := strings.Cut(strings.TrimSpace(line), " ")
		if ok && short != "#" {
			names[short] = strings.TrimSpace(full)
		}
	}
	return names
}

// loadModels reads testdata/models.txt.
func loadModels(t testing.TB) []model {
	t.Helper()
	data, err := os.ReadFile("testdata/models.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out []model
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
		case strings.HasPrefix(line, "model "):
			var m model
			if _, err := fmt.Sscanf(line, "model %d %d", &m.layers, &m.passes); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			m.name = strings.SplitN(line, " ", 4)[3]
			out = append(out, m)
		case len(out) == 0:
			t.Fatalf("%q before the first model", line)
		default:
			out[len(out)-1].step += line + "\n"
		}
	}
	return out
}

// expand turns a model's step into launches and the places wanted.
func (m model) expand(t testing.TB) ([]Launch, []string, []string) {
	t.Helper()
	var lines, block []string
	count := 0
	for _, l := range strings.Split(strings.TrimSpace(m.step), "\n") {
		l = strings.TrimSpace(l)
		switch {
		case strings.HasPrefix(l, "repeat "):
			if _, err := fmt.Sscanf(l, "repeat %d", &count); err != nil {
				t.Fatalf("%s: %q: %v", m.name, l, err)
			}
			block = nil
		case l == "end":
			for range count {
				lines = append(lines, block...)
			}
			count = 0
		case count > 0:
			block = append(block, l)
		default:
			lines = append(lines, l)
		}
	}
	names := kernelNames(t)
	ids := map[string]uint32{}
	classes := map[string]*Class{}
	var seq []Launch
	var want, kernels []string
	for _, l := range lines {
		short, place, ok := strings.Cut(l, " ")
		full := names[short]
		if !ok || full == "" {
			t.Fatalf("%s: no kernel %q", m.name, l)
		}
		if classes[short] == nil {
			c := Classify(full)
			classes[short] = &c
			ids[short] = uint32(len(ids) + 1)
		}
		seq = append(seq, Launch{Name: ids[short], Class: classes[short], Grid: [3]int32{1, 1, 1}, Block: [3]int32{128, 1, 1}, Dur: 1000})
		want = append(want, place)
		kernels = append(kernels, short)
	}
	return seq, want, kernels
}

func TestModels(t *testing.T) {
	for _, m := range loadModels(t) {
		t.Run(m.name, func(t *testing.T) {
			seq, want, kernels := m.expand(t)
			got := AssignRoles(seq)
			for i, k := range got.Kernels {
				place := k.Stage.String()
				if k.Role != NoRole {
					place += "/" + k.Role.String()
				}
				if place != want[i] {
					t.Errorf("kernel %d %s (layer %d, %s): %s, want %s", i, kernels[i], k.Layer, k.Confidence, place, want[i])
				}
			}
			if got.Pattern.LayerCount != m.layers {
				t.Errorf("%d layers, want %d (%s)", got.Pattern.LayerCount, m.layers, got.Pattern.Why)
			}
			if p := m.passes; got.Pattern.Passes != p {
				t.Errorf("%d passes, want %d", got.Pattern.Passes, p)
			}
		})
	}
}

// TestLayers checks where layers begin and end: the norm that closes a block
// belongs to it, the norm that opens the next one to the next.
func TestLayers(t *testing.T) {
	tests := []struct{ step, want string }{
		{"embed embedding\nrepeat 2\nrms x\nnvjet x\nrope x\nkv x\nfa3 x\nnvjet x\nar x\naddrms x\nnvjet x\nsilu x\nnvjetk x\nsplitk x\nar x\nend\naddrms x\ngather x\nnvjet x\nargmax x",
			"-" + "0000000000000" + "1111111111111" + "----"},
		// sandwich norms: the second of two is the next layer's
		{"embed embedding\nrepeat 2\nrms x\nnvjet x\nrope x\nkv x\nfa3 x\nnvjet x\nrms x\naddrms x\nnvjet x\ngelu x\nnvjet x\nrms x\nend\naddrms x\nnvjet x\nargmax x",
			"-" + "000000000000" + "111111111111" + "---"},
		// two attentions in one decoder layer
		{"embed embedding\nrepeat 3\nln x\nampere x\nfa2 x\nampere x\nln x\nampere x\nfa2 x\nampere x\nln x\nampere x\ngelu x\nampere x\nend\nln x\nampere x\nargmax x",
			"-" + "000000000000" + "111111111111" + "222222222222" + "---"},
	}
	for _, tt := range tests {
		seq, _, _ := model{name: "layers", step: tt.step}.expand(t)
		var b strings.Builder
		for _, k := range AssignRoles(seq).Kernels {
			if k.Layer < 0 {
				b.WriteByte('-')
			} else {
				fmt.Fprint(&b, k.Layer)
			}
		}
		if b.String() != tt.want {
			t.Errorf("layers\n got %s\nwant %s", b.String(), tt.want)
		}
	}
}

// step builds launches from "kernel" or "kernel:duration" words.
func step(t *testing.T, words string) []Launch {
	t.Helper()
	var lines []string
	var durs []int64
	for _, w := range strings.Fields(words) {
		name, dur, ok := strings.Cut(w, ":")
		d := int64(1000)
		if ok {
			if _, err := fmt.Sscan(dur, &d); err != nil {
				t.Fatal(err)
			}
		}
		lines = append(lines, name+" x")
		durs = append(durs, d)
	}
	seq, _, _ := model{name: words, step: strings.Join(lines, "\n")}.expand(t)
	for i := range seq {
		seq[i].Dur = durs[i]
	}
	return seq
}

func TestDurationsChoose(t *testing.T) {
	layer := "rms nvjet rope kv fa3 nvjet rms nvjet silu nvjet "
	moe := "rms nvjet rope kv fa3 nvjet rms nvjetk:9000 nvjet:2000 topksm align silu fusedmoe nvjet silu fusedmoe moesum "
	tests := []struct {
		name, step string
		at         int
		want       Role
	}{
		{"the longest GEMM after the final norm is the vocabulary projection", layer + layer + "rms ampere:100 nvjet:9000 marlin:50 argmax", 22, RoleLMHead},
		{"the others are not", layer + layer + "rms ampere:100 nvjet:9000 marlin:50 argmax", 21, NoRole},
		{"unless they are the same kernel: prompt logits", layer + layer + "rms nvjet:100 nvjet:9000 argmax", 21, RoleLMHead},
		{"of two GEMMs side by side the shorter is the router", moe + moe + "rms nvjet argmax", 8, RoleRouter},
		{"and the longer the shared expert", moe + moe + "rms nvjet argmax", 7, RoleSharedGateUp},
	}
	for _, tt := range tests {
		if got := AssignRoles(step(t, tt.step)).Kernels[tt.at].Role; got != tt.want {
			t.Errorf("%s: role %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestOddLayer: a layer that looks like no other is trusted less.
func TestOddLayer(t *testing.T) {
	layer := "rms nvjet rope kv fa3 nvjet rms nvjet silu nvjet "
	odd := "rms nvjet rope kv fa3 nvjet rms nvjet nvjet nvjet silu nvjet "
	got := AssignRoles(step(t, layer+layer+layer+odd+layer+"rms nvjet argmax"))
	for i, k := range got.Kernels {
		if k.Role == NoRole || k.Layer < 0 {
			continue
		}
		want := High
		if k.Layer == 3 {
			want = Medium
		}
		if k.Confidence != want {
			t.Errorf("kernel %d, layer %d, %s: confidence %s, want %s", i, k.Layer, k.Role, k.Confidence, want)
		}
	}
	if p := got.Pattern; p.LayerCount != 5 || p.Confidence != Medium {
		t.Errorf("pattern %+v", p)
	}
}

func TestModelCount(t *testing.T) {
	if n := len(loadModels(t)); n < 35 {
		t.Errorf("only %d models", n)
	}
}

func sorted(names map[string]string) []string { return slices.Sorted(maps.Keys(names)) }
