package kineto

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/profile"
)

var update = flag.Bool("update", false, "rewrite golden files")

func openDocument(t testing.TB, path string, opt Options) *document {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d, err := readWindow(context.Background(), filepath.Base(path), f, opt, windowSize, maxToken)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// golden compares got with testdata/name, or writes it there with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (run with -update and look at the difference):\n%s", path, diff(string(want), got))
	}
}

func diff(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	var out strings.Builder
	for i := range max(len(w), len(g)) {
		var a, b string
		if i < len(w) {
			a = w[i]
		}
		if i < len(g) {
			b = g[i]
		}
		if a != b {
			fmt.Fprintf(&out, "-%s\n+%s\n", a, b)
		}
	}
	return out.String()
}

// dump prints every column of p as text, a row a line.
func dump(p *profile.Profile) string {
	var w strings.Builder
	str := p.Strings.At
	pf := func(format string, args ...any) { fmt.Fprintf(&w, format+"\n", args...) }
	pf("%s %s schema %q window %d..%d session %d", p.Source, p.Producer, p.Schema, p.Window.Start, p.Window.End, p.SessionStartUnixNs)
	pf("capture %+v", p.Capture)
	for i, v := range p.Processes {
		pf("process %d: pid %d %q rank %d", i, v.PID, v.Name, v.Rank)
	}
	for i, v := range p.Threads {
		pf("thread %d: process %d tid %d %q", i, v.Process, v.TID, v.Name)
	}
	for i, v := range p.Devices {
		pf("device %d: id %d %q SMs %d memory %d cc %d.%d", i, v.ID, v.Name, v.SMs, v.MemoryBytes, v.ComputeMajor, v.ComputeMinor)
	}
	for i, v := range p.Queues {
		pf("queue %d: process %d device %d context %d stream %d", i, v.Process, v.Device, v.Context, v.Stream)
	}
	k := &p.Kernels
	for i := range k.Start {
		c := p.Configs[k.Config[i]]
		pf("kernel %d+%d %q (%s) grid %v block %v regs %d smem %d queue %d corr %d call %d node %#x row %d", k.Start[i], k.Dur[i],
			p.FuncName(i), str(p.Funcs[k.Func[i]].Short), c.Grid, c.Block, c.Registers, c.DynamicShared, k.Queue[i], k.Correlation[i], k.Call[i], k.GraphNode[i], k.Row.At(i))
	}
	m := &p.Copies
	for i := range m.Start {
		pf("copy %d+%d kind %d %d->%d bytes %d queue %d corr %d call %d node %#x row %d", m.Start[i], m.Dur[i], m.Kind[i], m.Src[i], m.Dst[i],
			m.Bytes[i], m.Queue[i], m.Correlation[i], m.Call[i], m.GraphNode[i], m.Row.At(i))
	}
	s := &p.Memsets
	for i := range s.Start {
		pf("memset %d+%d mem %d bytes %d queue %d corr %d call %d node %#x row %d", s.Start[i], s.Dur[i], s.Mem[i], s.Bytes[i], s.Queue[i],
			s.Correlation[i], s.Call[i], s.GraphNode[i], s.Row.At(i))
	}
	a := &p.Calls
	for i := range a.Start {
		pf("call %d+%d %q thread %d class %d corr %d external %d row %d", a.Start[i], a.Dur[i], str(a.Name[i]), a.Thread[i], a.Class[i],
			a.Correlation[i], a.External[i], a.Row.At(i))
	}
	y := &p.Syncs
	for i := range y.Start {
		pf("sync %d+%d kind %d queue %d corr %d call %d row %d", y.Start[i], y.Dur[i], y.Kind[i], y.Queue[i], y.Correlation[i], y.Call[i], y.Row.At(i))
	}
	r := &p.Ranges
	for i := range r.Start {
		pf("range %d+%d %q thread %d row %d", r.Start[i], r.Dur[i], str(r.Text[i]), r.Thread[i], r.Row.At(i))
	}
	o := &p.Ops
	for i := range o.Start {
		pf("op %d+%d %q thread %d external %d dims %s types %s row %d", o.Start[i], o.Dur[i], str(o.Name[i]), o.Thread[i], o.External[i],
			str(o.Dims[i]), str(o.Types[i]), o.Row.At(i))
	}
	v := &p.MemEvents
	for i := range v.Start {
		pf("memory %d bytes %d free %v address %#x mem %d process %d device %d pool %d row %d", v.Start[i], v.Bytes[i], v.Free[i], v.Address[i],
			v.Mem[i], v.Process[i], v.Device[i], v.PoolBytes[i], v.Row.At(i))
	}
	for _, t := range []struct {
		name string
		s    *profile.Spans
	}{{"overhead", &p.Overheads}, {"frame", &p.Frames}} {
		for i := range t.s.Start {
			pf("%s %d+%d %q thread %d row %d", t.name, t.s.Start[i], t.s.Dur[i], str(t.s.Name[i]), t.s.Thread[i], t.s.Row.At(i))
		}
	}
	for _, d := range p.Diagnostics {
		pf("%s of %s: %s (%d)", d.Severity, d.Source, d.Text, d.Count)
	}
	missing := []string{}
	for _, n := range p.NotRecorded {
		missing = append(missing, n.What)
	}
	slices.Sort(missing)
	pf("not recorded: %s", strings.Join(missing, " "))
	return w.String()
}
