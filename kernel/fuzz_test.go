package kernel

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func FuzzClassify(f *testing.F) {
	for _, n := range kernelNames(f) {
		f.Add(n)
	}
	f.Add("_ZN")
	f.Add("_Z1")
	f.Add("void <(int)>")
	f.Add("triton_poi_")
	f.Add("triton_red_fused")
	f.Add("<script>alert(1)</script>\x00\xff")
	f.Add(strings.Repeat("A<", 3000))
	f.Fuzz(func(t *testing.T, name string) {
		c := Classify(name)
		if c != Classify(name) {
			t.Fatal("two answers for one name")
		}
		if int(c.Stage) >= NumStages || c.Confidence > High || c.Family == "" {
			t.Fatalf("%+v", c)
		}
		if c.Gemm && c.Stage != Gemm && c.Stage != MoE {
			t.Fatalf("a GEMM of stage %s", c.Stage)
		}
		norm := Normalise(name)
		for _, r := range norm {
			if r < 0x20 || r == 0x7f {
				t.Fatalf("control character %q left in %q", r, norm)
			}
		}
		if s := StripAPIVersion(name); len(s) > len(name) {
			t.Fatalf("StripAPIVersion grew the name to %q", s)
		}
		if k := KindOf(name); int(k) >= numAPIKinds {
			t.Fatalf("kind %d", k)
		}
		BoundaryOf(name)
	})
}

// FuzzAssignRoles builds sequences of arbitrary kernels from bytes: whatever
// the order, every kernel gets a valid place and layers are numbered in order.
func FuzzAssignRoles(f *testing.F) {
	var classes []*Class
	names := kernelNames(f)
	for _, n := range sorted(names) {
		c := Classify(names[n])
		classes = append(classes, &c)
	}
	classes = append(classes, nil)
	index := map[string]byte{}
	for i, n := range sorted(names) {
		index[n] = byte(i)
	}
	for _, m := range loadModels(f) {
		_, _, kernels := m.expand(f)
		var data []byte
		for _, k := range kernels {
			data = append(data, index[k])
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4096 {
			return
		}
		seq := make([]Launch, len(data))
		for i, b := range data {
			k := int(b) % len(classes)
			seq[i] = Launch{Name: uint32(k), Class: classes[k], Dur: int64(b) * 100}
		}
		checkRoles(t, seq)
	})
}

func checkRoles(t *testing.T, seq []Launch) {
	t.Helper()
	got := AssignRoles(seq)
	if len(got.Kernels) != len(seq) {
		t.Fatalf("%d places for %d kernels", len(got.Kernels), len(seq))
	}
	pass, layer, most := int16(0), int32(-1), int32(0)
	for i, k := range got.Kernels {
		if int(k.Stage) >= NumStages || int(k.Role) >= numRoles || k.Confidence > High {
			t.Fatalf("kernel %d: %+v", i, k)
		}
		if k.Pass < pass || k.Pass > pass+1 {
			t.Fatalf("kernel %d: pass %d after %d", i, k.Pass, pass)
		}
		if k.Pass > pass {
			pass, layer = k.Pass, -1
		}
		if k.Layer >= 0 {
			if k.Layer < layer {
				t.Fatalf("kernel %d: layer %d after %d", i, k.Layer, layer)
			}
			layer = k.Layer
			most = max(most, layer+1)
		} else if k.Layer != -1 {
			t.Fatalf("kernel %d: layer %d", i, k.Layer)
		}
		if k.Role != NoRole && k.Stage != k.Role.Stage() {
			t.Fatalf("kernel %d: role %s but stage %s", i, k.Role, k.Stage)
		}
		if c := seq[i].Class; k.Role != NoRole && (c == nil || !c.Gemm && c.Op != "split-k-reduce" && c.Op != "lora") {
			t.Fatalf("kernel %d: role %s for no GEMM: %+v", i, k.Role, c)
		}
	}
	p := got.Pattern
	if p.Passes < 1 || p.LayerCount < int(most) || (p.LayerCount == 0) != (p.Confidence == None) || p.Why == "" {
		t.Fatalf("pattern %+v with %d layers seen", p, most)
	}
}

func TestAssignRolesEmpty(t *testing.T) {
	checkRoles(t, nil)
	checkRoles(t, make([]Launch, 3))
}

// TestAssignRolesLinear: a step cut wrongly may hold a whole capture. The work
// per kernel must not grow with the length.
func TestAssignRolesLinear(t *testing.T) {
	if testing.Short() {
		t.Skip("times a long sequence")
	}
	step, _ := loadStep(t, filepath.Join("testdata", "base8b-decode.txt"))
	perKernel := func(repeat int) float64 {
		var seq []Launch
		for range repeat {
			seq = append(seq, step...)
		}
		best := time.Duration(1 << 62)
		for range 3 {
			start := time.Now()
			got := AssignRoles(seq)
			best = min(best, time.Since(start))
			if got.Pattern.LayerCount != 32 || got.Pattern.Passes != repeat {
				t.Fatalf("%d steps: %+v", repeat, got.Pattern)
			}
		}
		return float64(best) / float64(len(seq))
	}
	one, many := perKernel(16), perKernel(256)
	if many > 8*one {
		t.Errorf("%.0f ns a kernel in 16 steps, %.0f in 256", one, many)
	}
}

func BenchmarkClassify(b *testing.B) {
	seq, byID := loadStep(b, filepath.Join("testdata", "base8b-decode.txt"))
	if len(seq) == 0 {
		b.Fatal("no kernels")
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, n := range byID {
			Classify(n)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(byID)), "ns/name")
}

func BenchmarkClassifyHostile(b *testing.B) {
	name := strings.Repeat("x_gemm_fused<", 400)
	b.ReportAllocs()
	for b.Loop() {
		Classify(name)
	}
}

func BenchmarkAssignRoles(b *testing.B) {
	seq, _ := loadStep(b, filepath.Join("testdata", "base8b-decode.txt"))
	b.ReportAllocs()
	for b.Loop() {
		AssignRoles(seq)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(seq)), "ns/kernel")
}
