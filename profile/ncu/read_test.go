package ncu

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/profile"
)

var update = flag.Bool("update", false, "rewrite golden files")

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
		t.Errorf("%s differs (run with -update and look at the difference):\n%s", path, got)
	}
}

// dump prints a file as text.
func dump(f *File) string {
	var w strings.Builder
	fmt.Fprintf(&w, "pages %v\n", f.Pages)
	for _, k := range f.Kernels {
		fmt.Fprintf(&w, "kernel %d of %d %q: %s\n  base %s grid %v block %v context %d stream %d device %d %q cc %s invocations %d line %d\n",
			k.ID, k.PID, k.Process, k.Name, k.Base, k.Grid, k.Block, k.Context, k.Stream, k.Device, k.GPU, k.CC, k.Invocations, k.Line)
		for _, m := range Metrics {
			if v, ok := m.Of(&k); ok {
				fmt.Fprintf(&w, "  %s %.10g\n", m.ID, v)
			} else {
				fmt.Fprintf(&w, "  %s not recorded\n", m.ID)
			}
		}
		for _, name := range sortedKeys(k.Metrics) {
			fmt.Fprintf(&w, "  %s = %.10g %s\n", name, k.Metrics[name].Value, k.Metrics[name].Unit)
		}
	}
	for _, m := range f.Messages {
		fmt.Fprintf(&w, "message %s\n", m)
	}
	for _, m := range f.Warnings {
		fmt.Fprintf(&w, "warning %v\n", m)
	}
	return w.String()
}

var samples = []struct {
	name    string
	what    string
	kernels int
	err     error
	says    string // of the error or a warning
}{
	{name: "raw.csv", what: "the raw page behind banner lines and output of the application, units scaled", kernels: 4},
	{name: "raw-german.csv", what: "decimal commas, points that group", kernels: 4},
	{name: "raw-french.csv", what: "decimal commas, narrow spaces that group", kernels: 4},
	{name: "raw-crlf-bom.csv", what: "a byte order mark and Windows line ends", kernels: 4},
	{name: "raw-unquoted.csv", what: "rewritten by another tool: unquoted, units behind the names", kernels: 4},
	{name: "details.csv", what: "the details page: labels become raw names, remarks of rules are passed over, processes stay apart", kernels: 2},
	{name: "details-2020.csv", what: "labels of 2020, no shapes", kernels: 1},
	{name: "metrics.csv", what: "--metrics: raw names in the details layout, a device name, trailing commas", kernels: 1},
	{name: "summary.csv", what: "--print-summary: averages over invocations", kernels: 1},
	{name: "two-reports.csv", what: "two reports behind each other repeat ids", kernels: 6, says: "1 lines that are no records"},
	{name: "two-pages.csv", what: "two pages of one report are the same launches", kernels: 4},
	{name: "cut.csv", what: "the last row is cut: what it holds is read", kernels: 4},
	{name: "no-permission.csv", what: "no counters for this user", err: profile.ErrMalformed, says: "NVreg_RestrictProfilingToAdminUsers"},
	{name: "no-kernels.csv", what: "nothing was profiled", err: profile.ErrMalformed, says: "the filter matched none"},
	{name: "header-only.csv", what: "a table without rows", err: profile.ErrMalformed, says: "a table without kernels"},
	{name: "no-table.csv", what: "other text", err: profile.ErrUnrecognised, says: "--csv"},
	{name: "report.ncu-rep", what: "the binary report", err: profile.ErrUnrecognised, says: "ncu --import FILE --page raw --csv"},
}

func TestSamples(t *testing.T) {
	listed := map[string]bool{}
	for _, s := range samples {
		listed[s.name] = true
		t.Run(s.name, func(t *testing.T) {
			f, err := Open(context.Background(), filepath.Join("testdata", s.name))
			if s.err != nil {
				if !errors.Is(err, s.err) || !strings.Contains(err.Error(), s.says) {
					t.Fatalf("error %v, want %v with %q", err, s.err, s.says)
				}
				golden(t, s.name+".golden", s.what+"\nerror: "+err.Error()+"\n")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(f.Kernels) != s.kernels {
				t.Errorf("%d kernels, want %d", len(f.Kernels), s.kernels)
			}
			if s.says != "" && !strings.Contains(fmt.Sprint(f.Warnings), s.says) {
				t.Errorf("no warning says %q: %v", s.says, f.Warnings)
			}
			if s.says == "" && len(f.Warnings) > 0 {
				t.Errorf("warnings: %v", f.Warnings)
			}
			golden(t, s.name+".golden", s.what+"\n"+dump(f))
		})
	}
	files, err := filepath.Glob("testdata/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if base := filepath.Base(f); !listed[base] && !strings.HasSuffix(base, ".golden") && base != "fuzz" && !strings.HasPrefix(base, "real-") {
			t.Errorf("%s has no test", f)
		}
	}
}

// TestLocales: one table in three locales, with and without quotes, has the same values.
func TestLocales(t *testing.T) {
	want, err := Open(context.Background(), "testdata/raw.csv")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"raw-german.csv", "raw-french.csv", "raw-crlf-bom.csv", "raw-unquoted.csv"} {
		got, err := Open(context.Background(), filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		for i := range want.Kernels {
			w, g := want.Kernels[i], got.Kernels[i]
			w.Line, g.Line = 0, 0
			if fmt.Sprint(w) != fmt.Sprint(g) {
				t.Errorf("%s, kernel %d:\n%v\nwant\n%v", name, i, g, w)
			}
		}
	}
}

// TestPagesAgree: the details page and the raw page of one launch give the same metrics.
func TestPagesAgree(t *testing.T) {
	raw, err := Open(context.Background(), "testdata/raw.csv")
	if err != nil {
		t.Fatal(err)
	}
	details, err := Open(context.Background(), "testdata/details.csv")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range Metrics {
		w, wok := m.Of(&raw.Kernels[0])
		g, gok := m.Of(&details.Kernels[0])
		if m.ID == "tensor_pipe_pct" { // not on the details page
			if gok || !wok {
				t.Errorf("tensor pipe: raw %v, details %v", wok, gok)
			}
			continue
		}
		if w != g || wok != gok {
			t.Errorf("%s: raw %v %v, details %v %v", m.ID, w, wok, g, gok)
		}
	}
}

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		in    string
		comma bool
		want  float64
		ok    bool
	}{
		{"1,215,000,000.50", false, 1215000000.5, true}, {"1.215.000,50", true, 1215000.5, true}, {"48,97", true, 48.97, true},
		{"1 263 456", true, 1263456, true}, {"1\u202f263,5", true, 1263.5, true}, {"1'263.5", false, 1263.5, true},
		{"12,500", false, 12500, true}, {"12,500", true, 12.5, true}, {"0", false, 0, true}, {"-3.5", false, -3.5, true},
		{"1.5e+09", false, 1.5e9, true}, {"12 (3; 4; 5)", false, 12, true},
		{"n/a", false, 0, false}, {"", false, 0, false}, {"nan", false, 0, false}, {"inf", false, 0, false}, {"-nan", false, 0, false},
		{"-inf", false, 0, false}, {"no data", false, 0, false}, {"CachePreferNone", false, 0, false}, {"0x10", false, 0, false}, {"1e999", false, 0, false},
	} {
		got, ok := number(c.in, c.comma)
		if got != c.want || ok != c.ok {
			t.Errorf("number(%q, %v) = %v, %v; want %v, %v", c.in, c.comma, got, ok, c.want, c.ok)
		}
	}
}

func TestMark(t *testing.T) {
	for in, want := range map[string]byte{
		"1,215.5": '.', "1.215,5": ',', "1,215,000": '.', "1.215.000": ',', "48,97": ',', "48.97": '.', "0,123": ',', "0.123": '.',
		"1,215": 0, "1.215": 0, "1234,567": ',', "12": 0, "n/a": 0, "": 0, "a,b": 0,
	} {
		if got := mark(in); got != want {
			t.Errorf("mark(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestBaseUnit(t *testing.T) {
	for _, c := range []struct {
		in, want Value
	}{
		{Value{21.41, "us"}, Value{21410, "ns"}}, {Value{1, "usecond"}, Value{1000, "ns"}}, {Value{2, "msecond"}, Value{2e6, "ns"}},
		{Value{3, "second"}, Value{3e9, "ns"}}, {Value{5, "nsecond"}, Value{5, "ns"}},
		{Value{2.34, "Tbyte/second"}, Value{2.34e12, "byte/s"}}, {Value{2, "Gbyte/s"}, Value{2e9, "byte/s"}},
		{Value{1.5, "Mbyte"}, Value{1.5e6, "byte"}}, {Value{7, "byte"}, Value{7, "byte"}}, {Value{2, "Kbyte/block"}, Value{2000, "byte/block"}},
		{Value{1.59, "Ghz"}, Value{1.59e9, "hz"}}, {Value{800, "Mhz"}, Value{8e8, "hz"}},
		{Value{1.59, "cycle/nsecond"}, Value{1.59e9, "cycle/s"}}, {Value{6, "cycle/usecond"}, Value{6e6, "cycle/s"}},
		{Value{5, "%"}, Value{5, "%"}}, {Value{5, "inst/cycle"}, Value{5, "inst/cycle"}}, {Value{5, ""}, Value{5, ""}}, {Value{5, "register/thread"}, Value{5, "register/thread"}},
	} {
		got := baseUnit(c.in)
		if got.Unit != c.want.Unit || got.Value < c.want.Value*0.999999 || got.Value > c.want.Value*1.000001 {
			t.Errorf("baseUnit(%v) = %v, want %v", c.in, got, c.want)
		}
	}
}

func TestSniff(t *testing.T) {
	for name, want := range map[string]bool{"raw.csv": true, "details.csv": true, "summary.csv": true, "raw-unquoted.csv": true, "raw-crlf-bom.csv": true, "no-table.csv": false, "no-permission.csv": false, "report.ncu-rep": false} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if Sniff(text) != want {
			t.Errorf("Sniff(%s) = %v", name, !want)
		}
	}
}

// FuzzRead: no input breaks the reader, and a value that is read is finite and has a kernel with a name.
func FuzzRead(f *testing.F) {
	for _, s := range samples {
		text, err := os.ReadFile(filepath.Join("testdata", s.name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<16 {
			return
		}
		out, err := Read("f.csv", strings.NewReader(string(text)))
		if err != nil {
			if !errors.Is(err, profile.ErrUnrecognised) && !errors.Is(err, profile.ErrMalformed) {
				t.Fatalf("unexpected error %v", err)
			}
			return
		}
		if len(out.Kernels) == 0 {
			t.Fatal("no kernels and no error")
		}
		for i := range out.Kernels {
			k := &out.Kernels[i]
			if k.Name == "" || k.Invocations < 1 {
				t.Fatalf("kernel %+v", k)
			}
			for name, v := range k.Metrics {
				if v.Value != v.Value || name == "" {
					t.Fatalf("metric %q = %v", name, v)
				}
			}
			for _, m := range Metrics {
				m.Of(k)
			}
		}
		Join(&profile.Profile{}, out)
	})
}
