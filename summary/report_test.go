package summary

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stepscope/stepscope/profile"
)

// allSpecs are all reports with every option each takes.
func allSpecs() []string {
	var out []string
	for _, r := range Reports() {
		out = append(out, r.Name)
		for _, o := range r.Options {
			out = append(out, r.Name+":"+o)
		}
	}
	return out
}

func TestReportTable(t *testing.T) {
	seen := map[string]bool{}
	var list []string
	for _, r := range Reports() {
		list = append(list, r.Name)
		for _, n := range append([]string{r.Name}, r.Aliases...) {
			if seen[n] {
				t.Errorf("name %s twice", n)
			}
			seen[n] = true
			if f, ok := Find(n); !ok || f.Name != r.Name {
				t.Errorf("%s leads to %q", n, f.Name)
			}
		}
		if r.Title == "" || r.Description == "" {
			t.Errorf("%s: no title or description", r.Name)
		}
	}
	if !slices.IsSorted(list) {
		t.Error("reports are not in order")
	}
	for _, n := range Default() {
		if _, ok := Find(n); !ok {
			t.Errorf("default report %s is unknown", n)
		}
	}
}

func TestBadSpecs(t *testing.T) {
	p := random(t, 1)
	for _, spec := range []string{"", "nope", "cuda_api_sum:base", "cuda_gpu_kern_sum:bse", "cuda_gpu_kern_sum:base:mangled"} {
		if _, err := Run(p, spec); !errors.Is(err, ErrUnknownReport) {
			t.Errorf("%q: %v", spec, err)
		}
	}
	if _, err := Run(p, "cuda_gpu_kern_sum:nvtx-name:base"); err != nil {
		t.Error(err)
	}
}

func TestSkipped(t *testing.T) {
	empty := &profile.Profile{Source: "x.sqlite"}
	for _, r := range Reports() {
		_, err := Run(empty, r.Name)
		var skip *SkippedError
		if !errors.As(err, &skip) || skip.Report != r.Name {
			t.Errorf("%s: %v", r.Name, err)
		}
	}
	_, err := Run(empty, "nvtx_sum")
	if got := err.Error(); got != "x.sqlite does not contain NV Tools Extension (NVTX) data." {
		t.Error(got)
	}
	b := newBuilder()
	b.osCall(1, 1, 0, 5, "poll")
	if _, err := Run(b.done(t), "osrt_sum"); err != nil {
		t.Error(err)
	}
}

// TestLacks holds the named gap to what nsys names for the same combination of data.
func TestLacks(t *testing.T) {
	all := situations(t)
	none := &profile.Profile{}
	only := func(f func(p *profile.Profile)) *profile.Profile {
		p := *none
		f(&p)
		return &p
	}
	ranges := func(p *profile.Profile) { p.Ranges = all.Ranges }
	calls := func(p *profile.Profile) { p.Calls = all.Calls }
	kernels := func(p *profile.Profile) { p.Kernels = all.Kernels }
	for _, tt := range []struct {
		p     *profile.Profile
		spec  string
		lacks Need
	}{
		{none, "cuda_gpu_kern_sum", "CUDA kernel data"}, {none, "cuda_gpu_mem_size_sum", "GPU memory data"},
		{none, "cuda_gpu_sum", "GPU kernel/memory operations data"}, {none, "cuda_gpu_trace", "GPU trace data"},
		{none, "cuda_api_sum", "CUDA trace data"}, {none, "cuda_kern_exec_sum", "CUDA kernel data"},
		{none, "cuda_api_gpu_sum", "CUDA API, GPU kernel, nor memory operations data"},
		{none, "nvtx_gpu_proj_sum", "NV Tools Extension (NVTX) data"}, {none, "osrt_sum", "OS Runtime trace data"},
		{only(ranges), "nvtx_gpu_proj_sum", "CUDA API data"}, {only(ranges), "nvtx_kern_sum", "CUDA kernel data"},
		{only(kernels), "cuda_kern_exec_trace", "CUDA API data"}, {only(kernels), "cuda_gpu_mem_time_sum", "GPU memory data"},
		{only(func(p *profile.Profile) { ranges(p); calls(p) }), "nvtx_gpu_proj_trace", "GPU operation data"},
	} {
		_, err := Run(tt.p, tt.spec)
		var skip *SkippedError
		if !errors.As(err, &skip) || skip.Lacks != tt.lacks {
			t.Errorf("%s: %v, want %s", tt.spec, err, tt.lacks)
		}
	}
}

// TestUnknownFigures: a share of nothing and the length of ranges without any end are empty, as with nsys.
func TestUnknownFigures(t *testing.T) {
	b := newBuilder()
	b.osCall(1, 1, 5, 0, "poll")
	b.rng(1, 1, 900, profile.Open, profile.PushPop, "", "o1")
	b.rng(1, 1, 950, profile.Open, profile.StartEnd, "", "o2")
	p := b.done(t)
	for spec, want := range map[string]string{
		"osrt_sum":           "Time (%),Total Time (ns),Num Calls,Avg (ns),Med (ns),Min (ns),Max (ns),StdDev (ns),Name\n,0,1,0.0,0.0,0,0,0.0,poll\n",
		"nvtx_sum":           "Time (%),Total Time (ns),Instances,Avg (ns),Med (ns),Min (ns),Max (ns),StdDev (ns),Style,Range\n,,1,,,,,0.0,PushPop,:o1\n,,1,,,,,0.0,StartEnd,:o2\n",
		"nvtx_pushpop_trace": "Start (ns),End (ns),Duration (ns),DurChild (ns),DurNonChild (ns),Name,PID,TID,Lvl,NumChild,RangeId,ParentId,RangeStack,NameTree\n900,,,0,,:o1,1,1,0,0,1,,:1,:o1\n",
	} {
		if got, err := output(p, spec, "csv"); err != nil || got != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", spec, err, got, want)
		}
	}
}

// TestTinyReports fixes the layout of every report on a profile that fits on a screen.
func TestTinyReports(t *testing.T) {
	b := newBuilder()
	b.AddDevice(profile.Device{ID: 0, Name: "GPU"})
	b.rng(7, 8, 0, 100, profile.PushPop, "", "step")
	b.rng(7, 8, 10, 50, profile.PushPop, "", "layer, 0")
	b.rng(7, 8, 300, 10, profile.StartEnd, "lib", "req")
	a := b.call(7, 8, 20, 5, "cudaLaunchKernel_v7000")
	c := b.call(7, 8, 70, 10, "cuLaunchKernelEx")
	m := b.call(7, 8, 200, 4, "cudaMemcpyAsync_v3020")
	f := profile.Func{Name: b.P.Strings.ID("void k<int, 4>(T1)"), Short: b.P.Strings.ID("k"), Mangled: b.P.Strings.ID("_Z1k")}
	b.kernelOf(7, 0, 24, 30, f, [3]int32{148, 1, 1}, a)
	b.kernelOf(7, 0, 90, 11, f, [3]int32{2, 3, 1}, c)
	b.copy(7, 0, 210, 400, 4_000_000, profile.CopyHtoD, m)
	b.memset(7, 0, 230, 0, 12, 99)
	b.osCall(7, 8, 1, 3, "poll")
	p := b.done(t)
	for spec, want := range map[string]string{
		"cuda_gpu_kern_sum": `Time (%),Total Time (ns),Instances,Avg (ns),Med (ns),Min (ns),Max (ns),StdDev (ns),Name
100.0,41,2,20.5,20.5,11,30,13.4,"void k<int, 4>(T1)"
`,
		"cuda_gpu_kern_sum:base:nvtx-name": `Time (%),Total Time (ns),Instances,Avg (ns),Med (ns),Min (ns),Max (ns),StdDev (ns),Name
73.2,30,1,30.0,30.0,30,30,0.0,"layer, 0/k"
26.8,11,1,11.0,11.0,11,11,0.0,step/k
`,
		"cuda_gpu_kern_gb_sum:mangled": `Time (%),Total Time (ns),Instances,Avg (ns),Med (ns),Min (ns),Max (ns),StdDev (ns),GridXYZ,BlockXYZ,Name
73.2,30,1,30.0,30.0,30,30,0.0, 148    1    1,  32    1    1,_Z1k
26.8,11,1,11.0,11.0,11,11,0.0,   2    3    1,  32    1    1,_Z1k
`,
		"cuda_gpu_mem_time_sum": `Time (%),Total Time (ns),Count,Avg (ns),Med (ns),Min (ns),Max (ns),StdDev (ns),Operation
100.0,400,1,400.0,400.0,400,400,0.0,[CUDA memcpy Host-to-Device]
0.0,0,1,0.0,0.0,0,0,0.0,[CUDA memset]
`,
		"cuda_gpu_mem_size_sum": `Total (MB),Count,Avg (MB),Med (MB),Min (MB),Max (MB),StdDev (MB),Operation
4.000,1,4.000,4.000,4.000,4.000,0.000,[CUDA memcpy Host-to-Device]
0.000,1,0.000,0.000,0.000,0.000,0.000,[CUDA memset]
`,
		"cuda_api_sum": `Time (%),Total Time (ns),Num Calls,Avg (ns),Med (ns),Min (ns),Max (ns),StdDev (ns),Name
52.6,10,1,10.0,10.0,10,10,0.0,cuLaunchKernelEx
26.3,5,1,5.0,5.0,5,5,0.0,cudaLaunchKernel
21.1,4,1,4.0,4.0,4,4,0.0,cudaMemcpyAsync
`,
		"osrt_sum": `Time (%),Total Time (ns),Num Calls,Avg (ns),Med (ns),Min (ns),Max (ns),StdDev (ns),Name
100.0,3,1,3.0,3.0,3,3,0.0,poll
`,
		"nvtx_pushpop_sum": `Time (%),Total Time (ns),Instances,Avg (ns),Med (ns),Min (ns),Max (ns),StdDev (ns),Range
66.7,100,1,100.0,100.0,100,100,0.0,:step
33.3,50,1,50.0,50.0,50,50,0.0,":layer, 0"
`,
		"nvtx_startend_sum": `Time (%),Total Time (ns),Instances,Avg (ns),Med (ns),Min (ns),Max (ns),StdDev (ns),Range
100.0,10,1,10.0,10.0,10,10,0.0,lib:req
`,
	} {
		tab, err := Run(p, spec)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := tab.WriteCSV(&out); err != nil {
			t.Fatal(err)
		}
		if out.String() != want {
			t.Errorf("%s:\n%s\nwant\n%s", spec, out.String(), want)
		}
	}
}

// TestWriters reads back what every report writes: as many fields as columns, valid JSON, lines within the width, and
// the same bytes again.
func TestWriters(t *testing.T) {
	p := random(t, 5)
	p.Funcs[0].Name = p.Strings.ID("evil \"name\",\x1b[31m\nwith\ttabs \xff and a \u202e mark")
	p.OSCalls = profile.Spans{Start: []int64{1}, Dur: []int64{2}, Name: []profile.StringID{1}, Thread: []int32{0}}
	for _, spec := range allSpecs() {
		tab, err := Run(p, spec)
		if err != nil {
			t.Fatalf("%s: %v", spec, err)
		}
		var c, c2, j, x bytes.Buffer
		for _, err := range []error{tab.WriteCSV(&c), tab.WriteCSV(&c2), tab.WriteJSON(&j), tab.WriteText(&x, 100)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(c.Bytes(), c2.Bytes()) {
			t.Errorf("%s: two runs differ", spec)
		}
		rec, err := csv.NewReader(&c).ReadAll()
		if err != nil || len(rec) != tab.Len()+1 {
			t.Errorf("%s: %d records, %v", spec, len(rec), err)
		}
		var objs []map[string]any
		if err := json.Unmarshal(j.Bytes(), &objs); err != nil || len(objs) != tab.Len() {
			t.Errorf("%s: %d objects, %v", spec, len(objs), err)
		}
		for i, o := range objs {
			for k, col := range tab.Columns {
				v, ok := o[col.Header()]
				if !ok {
					t.Fatalf("%s: no key %q", spec, col.Header())
				}
				if _, num := v.(float64); v != nil && num != (col.Kind != Text) {
					t.Fatalf("%s row %d: %q is a %T", spec, i, col.Header(), v)
				}
				if s, ok := v.(string); ok && utf8.ValidString(rec[i+1][k]) && s != rec[i+1][k] {
					t.Fatalf("%s: JSON has %q, CSV %q", spec, s, rec[i+1][k])
				}
			}
		}
		for line := range strings.Lines(x.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 100 {
				t.Errorf("%s: %d columns: %s", spec, n, line)
			}
		}
		if title := tab.Title + " (" + spec + ")"; !strings.HasPrefix(x.String(), title) {
			t.Errorf("%s: no title %q in %.100q", spec, title, x.String())
		}
		for _, r := range x.String() {
			if r != '\n' && (r < ' ' || r == 0x202e) {
				t.Fatalf("%s: control character %q in the table", spec, r)
			}
		}
	}
}

func TestTextFitsWidth(t *testing.T) {
	b := newBuilder()
	b.kernel(1, 0, 0, 1234567, "void "+strings.Repeat("long_name<int>::", 40)+"end(T1)", 0)
	tab, err := Run(b.done(t), "cuda_gpu_kern_sum")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := tab.WriteText(&out, 100); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 100 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, want := range []string{"1.23 ms", "end(T1)", "…"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

// TestTextKeepsNamesApart: GEMM kernels differ in the middle or the end of long names.
func TestTextKeepsNamesApart(t *testing.T) {
	b := newBuilder()
	names := []string{"nvjet_sm90_tst_192x192_64x4_2x1_v_bz_coopB_TNN", "nvjet_sm90_tst_192x192_64x4_1x2_h_bz_coopB_TNN", "nvjet_sm90_tst_256x128_64x4_2x1_v_bz_coopB_TNN",
		"nvjet_sm90_tst_256x128_64x4_2x1_v_bz_coopA_TNT", "nvjet_sm90_tst_256x128_64x4_2x1_v_bz_coopA_TNN"}
	at := int64(0)
	for i, n := range names {
		for k := range 5 { // durations with a standard deviation of many digits
			b.kernel(int64(10*i+k+1), at, 0, 200_000_000+int64(7*k*k+i), n, 0)
			at += 300_000_000
		}
	}
	tab, err := Run(b.done(t), "cuda_gpu_kern_sum")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := tab.WriteText(&out, 100); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	seen := map[string]bool{}
	for _, l := range lines[3:] {
		name := l[strings.Index(l, "nvjet"):]
		if n := utf8.RuneCountInString(name); n < 40 {
			t.Errorf("the name has %d columns: %s", n, l)
		}
		seen[name] = true
	}
	if len(seen) != len(names) {
		t.Errorf("%d names of %d kernels:\n%s", len(seen), len(names), out.String())
	}
	if !strings.Contains(lines[0], "not shown: StdDev, Min") || strings.Contains(lines[1], "StdDev") {
		t.Errorf("what was left out is not said:\n%s", out.String())
	}
}

func TestScaled(t *testing.T) {
	for _, c := range []struct {
		ns    float64
		point bool
		want  string
	}{
		{0, false, "0 ns"}, {999, false, "999 ns"}, {1500, false, "1.50 us"}, {2.5e6, false, "2.50 ms"}, {-3e9, false, "-3.00 s"}, {476.24136592888146, false, "476 ns"}, {12345, false, "12.3 us"}, {208.3e6, false, "208 ms"}, {999_999, false, "1.00 ms"}, {1234.5e9, false, "1,234 s"},
		{1234567, true, "1.235 ms"}, {1234567890123, true, "1,234,567.890 ms"},
	} {
		if got := scaled(c.ns, c.point); got != c.want {
			t.Errorf("%v: %s, want %s", c.ns, got, c.want)
		}
	}
}

func TestGroupDigits(t *testing.T) {
	for in, want := range map[string]string{"1": "1", "123": "123", "1234": "1,234", "-1234567.25": "-1,234,567.25", "-123": "-123", "": ""} {
		if got := groupDigits(in); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

func TestAPIName(t *testing.T) {
	for in, want := range map[string]string{
		"cudaLaunchKernel_v7000": "cudaLaunchKernel", "cudaGraphLaunch_v10000": "cudaGraphLaunch_v10000", "_v7000": "_v7000",
		"cuLaunchKernelEx": "cuLaunchKernelEx", "x_v": "x_v", "x_v1a": "x_v1a",
		"cudaMemcpy_v2_ptds": "cudaMemcpy_v2_ptds", "a_v2_v3020": "a_v2",
	} {
		if got := apiName(in); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

// TestSummariesAddUp holds every summary to the total of the table that it is made of.
func TestSummariesAddUp(t *testing.T) {
	sum := func(v ...[]int64) (n int64) {
		for _, c := range v {
			for _, x := range c {
				n += x
			}
		}
		return n
	}
	for seed := range uint64(10) {
		p := random(t, seed)
		k, m, s, a := p.Kernels.Dur, p.Copies.Dur, p.Memsets.Dur, p.Calls.Dur
		for spec, want := range map[string]int64{
			"cuda_gpu_kern_sum": sum(k), "cuda_gpu_kern_sum:nvtx-name": sum(k), "cuda_gpu_kern_gb_sum": sum(k),
			"cuda_gpu_mem_time_sum": sum(m, s), "cuda_gpu_sum": sum(k, m, s), "cuda_api_sum": sum(a), "cuda_api_gpu_sum": sum(a, k, m, s),
		} {
			tab, err := Run(p, spec)
			if err != nil {
				t.Fatal(err)
			}
			var got, count int64
			for row := range tab.Rows() {
				v, _ := row[1].Int64()
				n, _ := row[2].Int64()
				got += v
				count += n
			}
			if got != want {
				t.Errorf("seed %d %s: total %d, want %d", seed, spec, got, want)
			}
		}
	}
}

func TestTraceIsSorted(t *testing.T) {
	p := random(t, 3)
	last := int64(-1 << 62)
	n := 0
	for _, row := range rows(t, p, "cuda_gpu_trace") {
		start := int64(0)
		for _, c := range row[0] {
			start = start*10 + int64(c-'0')
		}
		if start < last {
			t.Fatal("not sorted by start")
		}
		last = start
		n++
	}
	if n != p.Kernels.Len()+p.Copies.Len()+p.Memsets.Len() {
		t.Errorf("%d rows", n)
	}
}
