//go:build unix

package nsys

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stepscope/stepscope/profile"
)

// fakeNsys is a program that answers like nsys: --version, and export by running a script with $out and $in set. It logs
// its calls.
func fakeNsys(t *testing.T, version, script string) (bin, log string) {
	t.Helper()
	dir := t.TempDir()
	bin, log = filepath.Join(dir, "nsys"), filepath.Join(dir, "calls")
	text := fmt.Sprintf(`#!/bin/sh
echo "$@" >> %s
if [ "$1" = --version ]; then echo "NVIDIA Nsight Systems version %s.474-253236389321v0"; exit 0; fi
[ "$1 $2 $3 $4" = "export --type sqlite -o" ] || { echo "unknown options: $@"; exit 2; }
[ $# = 6 ] || { echo "too many positional options"; exit 2; }
out=$5 in=$6
%s
`, shellQuote(log), version, script)
	if err := os.WriteFile(bin, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return bin, log
}

func exports(t *testing.T, log string) int {
	t.Helper()
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(b), "export --type")
}

func TestReport(t *testing.T) {
	db := decode("3.20.3").Write(t)
	dir := t.TempDir()
	rep := write(t, filepath.Join(dir, "-a report.nsys-rep"), []byte("report"))
	bin, log := fakeNsys(t, "2025.3.2", "cp "+db+" $out; [ -s \"$in\" ]")
	o := Options{Nsys: bin, CacheDir: filepath.Join(t.TempDir(), "cache")}
	before := folder(t, dir)
	for range 2 {
		p, err := Open(t.Context(), rep, o)
		if err != nil {
			t.Fatal(err)
		}
		if p.Format != "nsys-rep" || p.Source != "-a report.nsys-rep" || p.Kernels.Len() != 2 {
			t.Errorf("%s %s: %d kernels", p.Format, p.Source, p.Kernels.Len())
		}
	}
	if n := exports(t, log); n != 1 {
		t.Errorf("a report was exported %d times", n)
	}
	if after := folder(t, dir); after != before {
		t.Errorf("something was written beside the report:\n%s", after)
	}
	if left, err := os.ReadDir(o.CacheDir); err != nil || len(left) != 1 || !strings.HasSuffix(left[0].Name(), ".sqlite") {
		t.Errorf("cache: %v, %v", left, err)
	}
	// Another report of the same name is another report.
	write(t, rep, []byte("another report"))
	if _, err := Open(t.Context(), rep, o); err != nil || exports(t, log) != 2 {
		t.Errorf("a changed report: %v, %d exports", err, exports(t, log))
	}
}

func TestReportFails(t *testing.T) {
	rep := write(t, filepath.Join(t.TempDir(), "new.nsys-rep"), []byte("QDSTRM\x00 2026.2.1.42-262137389321v0 \x00"))
	for _, c := range []struct {
		name, script string
		says         []string
	}{
		{"newer report", "echo 'Importer error status: Importation failed.'; exit 1",
			[]string{"made by Nsight Systems 2026.2.1", "is version 2025.3.2", "--nsys PATH", "Importation failed"}},
		{"success without a file", "exit 0", []string{"made by Nsight Systems 2026.2.1", "it printed nothing"}},
		{"half a file", "printf 'SQLite format 3' > $out; exit 1", []string{"could not export"}},
		{"no database", "echo hello > $out", []string{"not a SQLite database"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := rep
			if !strings.Contains(strings.Join(c.says, ""), "2026.2.1") {
				in = write(t, filepath.Join(t.TempDir(), "odd.nsys-rep"), []byte(c.name))
			}
			bin, _ := fakeNsys(t, "2025.3.2", c.script)
			cache := t.TempDir()
			_, err := Open(t.Context(), in, Options{Nsys: bin, CacheDir: cache})
			if err == nil {
				t.Fatal("no error")
			}
			for _, s := range append(c.says, in) {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("error %q does not say %q", err, s)
				}
			}
			if left, _ := os.ReadDir(cache); len(left) != 0 {
				t.Errorf("left in the cache: %v", left)
			}
		})
	}
}

func TestReportWithoutNsys(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("NSYS_BIN", "")
	t.Setenv("NSYS_HOME", "")
	if _, _, err := FindNsys(t.Context(), ""); !errors.Is(err, ErrNoNsys) {
		t.Skip("nsys is installed here")
	}
	rep := write(t, filepath.Join(t.TempDir(), "my run.nsys-rep"), []byte("report"))
	_, err := Open(t.Context(), rep, Options{CacheDir: t.TempDir()})
	if !errors.Is(err, ErrNoNsys) || !strings.Contains(err.Error(), "nsys export --type sqlite -o 'my run.sqlite' 'my run.nsys-rep'") {
		t.Errorf("got %v", err)
	}
	if _, err := Open(t.Context(), rep, Options{Nsys: "/nowhere/nsys", CacheDir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "/nowhere/nsys") {
		t.Errorf("a given program that is missing: %v", err)
	}
}

func TestReportProgress(t *testing.T) {
	db := decode("3.20.3").Write(t)
	rep := write(t, filepath.Join(t.TempDir(), "slow.nsys-rep"), []byte("report"))
	bin, _ := fakeNsys(t, "2025.3.2", "cp "+db+" $out; sleep 0.5")
	var stages []string
	_, err := Open(t.Context(), rep, Options{Nsys: bin, CacheDir: t.TempDir(), Progress: func(stage string, _, _ int64) {
		if stage, _, _ := strings.Cut(stage, ":"); !slices.Contains(stages, stage) {
			stages = append(stages, stage)
		}
	}})
	if err != nil || !slices.Contains(stages, "nsys export") {
		t.Errorf("%v, stages %q", err, stages)
	}
}

func TestFindNsys(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "nsys")
	write(t, broken, []byte("#!/bin/sh\necho 'the real nsys is not installed' >&2\nexit 1\n"))
	if err := os.Chmod(broken, 0o700); err != nil {
		t.Fatal(err)
	}
	good, _ := fakeNsys(t, "2024.6.2", "")
	t.Setenv("NSYS_BIN", broken)
	t.Setenv("NSYS_HOME", "")
	t.Setenv("PATH", filepath.Dir(good)+":/bin:/usr/bin")
	if path, version, err := FindNsys(t.Context(), ""); err != nil || path != good || !strings.HasPrefix(version, "2024.6.2") {
		t.Errorf("a wrapper without its program must be passed over: %s %s %v", path, version, err)
	}
	paths := []string{"/opt/nvidia/nsight-systems/2025.3.2/bin/nsys", "/opt/nvidia/nsight-systems/2025.10.1/bin/nsys", "/opt/nvidia/nsight-systems/2024.6.2/bin/nsys"}
	slices.SortFunc(paths, func(a, b string) int { return compareVersions(b, a) })
	same(t, "newest first", []string{"/opt/nvidia/nsight-systems/2025.10.1/bin/nsys", "/opt/nvidia/nsight-systems/2025.3.2/bin/nsys", "/opt/nvidia/nsight-systems/2024.6.2/bin/nsys"}, paths)
}

// Without a home there is no cache, and nothing is left behind.
func TestReportWithoutHome(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("HOME", "")
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("TMPDIR", tmp)
	db := decode("3.20.3").Write(t)
	rep := write(t, filepath.Join(t.TempDir(), "r.nsys-rep"), []byte("report"))
	bin, _ := fakeNsys(t, "2025.3.2", "cp "+db+" $out")
	if _, err := Open(t.Context(), rep, Options{Nsys: bin}); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(tmp, "stepscope-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// An export that hangs ends with its context.
func TestReportCancelled(t *testing.T) {
	rep := write(t, filepath.Join(t.TempDir(), "r.nsys-rep"), []byte("report"))
	bin, _ := fakeNsys(t, "2025.3.2", "exec sleep 60")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := Open(ctx, rep, Options{Nsys: bin, CacheDir: t.TempDir()}); err == nil || errors.Is(err, profile.ErrMalformed) || time.Since(start) > 20*time.Second {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
}
