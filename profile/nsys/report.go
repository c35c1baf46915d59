package nsys

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stepscope/stepscope/profile"
)

func isReport(path string) bool {
	ext := strings.ToLower(filepath.Ext(path))
	return ext == ".nsys-rep" || ext == ".qdrep"
}

// openReport exports a report with the user's own nsys into the cache, never beside the file, and reads the export. The
// cache is keyed by the report's content, so a report is exported once.
func openReport(ctx context.Context, path string, o Options) (*profile.Profile, error) {
	dir, done, err := cacheDir(o.CacheDir)
	if err != nil {
		return nil, err
	}
	defer done()
	key, err := digest(ctx, path)
	if err != nil {
		return nil, err
	}
	cached := filepath.Join(dir, key+".sqlite")
	if _, err := os.Stat(cached); err != nil {
		if err := export(ctx, path, cached, o); err != nil {
			return nil, err
		}
		prune(dir, cached, time.Now())
	} else {
		now := time.Now()
		_ = os.Chtimes(cached, now, now) // in use; where that fails it is exported again after cacheAge
	}
	p, err := openSQLite(ctx, cached, path, "nsys-rep", o)
	if errors.Is(err, profile.ErrMalformed) || errors.Is(err, profile.ErrUnrecognised) {
		os.Remove(cached) // a damaged export must not fail for ever
		err = fmt.Errorf("the export that nsys made: %w", err)
	}
	return p, err
}

func digest(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", path, cause(err))
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, &watched{ctx, f}); err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

// ErrNoNsys means that no nsys program was found.
var ErrNoNsys = errors.New("nsys is not installed here")

// export runs nsys export into a temporary file and renames it when it is whole.
func export(ctx context.Context, path, to string, o Options) error {
	bin, version, err := FindNsys(ctx, o.Nsys)
	if err != nil {
		return fmt.Errorf("reading %s: %w. Run this where Nsight Systems is installed, and give stepscope the result:\n  nsys export --type sqlite -o %s %s",
			path, err, shellQuote(strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))+".sqlite"), shellQuote(filepath.Base(path)))
	}
	tmp, err := os.MkdirTemp(filepath.Dir(to), "export-")
	if err != nil {
		return fmt.Errorf("making a temporary folder: %w", err)
	}
	defer os.RemoveAll(tmp)
	out := filepath.Join(tmp, "profile.sqlite")
	abs, err := filepath.Abs(path) // no file name may look like an option
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	cmd := exec.CommandContext(ctx, bin, "export", "--type", "sqlite", "-o", out, abs)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.WaitDelay = 5 * time.Second
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &limited{&log}, &limited{&log}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("running %s: %w", bin, err)
	}
	stop := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() { watchSize(stop, out, o.Progress) })
	err = cmd.Wait()
	close(stop)
	watch.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if _, serr := os.Stat(out); err != nil || serr != nil {
		why := lastLines(log.String(), 3)
		if v := reportVersion(path); compareVersions(v, version) > 0 {
			return fmt.Errorf("reading %s: it was made by Nsight Systems %s, and %s is version %s: use an nsys that is at least as new (--nsys PATH); it says: %s", path, v, bin, version, why)
		}
		return fmt.Errorf("reading %s: %w: %s (version %s) could not export it (a report needs an nsys that is at least as new as the one that made it, see --nsys): %s",
			path, profile.ErrMalformed, bin, version, why)
	}
	return os.Rename(out, to)
}

// limited keeps the first 64 KiB of a program's output.
type limited struct{ b *bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if room := 64<<10 - l.b.Len(); room > 0 {
		l.b.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func watchSize(stop chan struct{}, out string, progress func(string, int64, int64)) {
	if progress == nil {
		return
	}
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
			if info, err := os.Stat(out); err == nil {
				progress(fmt.Sprintf("nsys export: %d MB", info.Size()>>20), 0, 0)
			}
		}
	}
}

// reBuild is a full version of Nsight Systems as its files have it, with the number of the build.
var reBuild = regexp.MustCompile(`(20[2-9]\d\.\d{1,2}\.\d{1,2})\.\d{1,5}-[0-9a-f]{7,}`)

// reportVersion looks for the version of Nsight Systems that wrote a report, "" if it is not found. The format is not
// documented: the answer only serves to explain why an export failed.
func reportVersion(path string) string {
	b, err := prefix(path, 4<<20)
	if err != nil {
		return ""
	}
	if m := reBuild.FindSubmatch(b); m != nil {
		return string(m[1])
	}
	return ""
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	if len(lines) == 1 && lines[0] == "" {
		return "it printed nothing"
	}
	return strings.Join(lines, " | ")
}

// places are where nsys lives on real machines beside PATH, in order.
var places = []string{
	"/opt/nvidia/nsight-systems/*/bin/nsys", "/opt/nvidia/nsight-systems/*/target-linux-*/nsys",
	"/opt/nvidia/nsight-systems-cli/*/bin/nsys", "/opt/nvidia/nsight-systems-cli/*/target-linux-*/nsys",
	"/usr/local/cuda*/nsight-systems-*/bin/nsys", "/usr/lib/nsight-systems/*/bin/nsys", "/usr/lib/nsight-systems/bin/nsys",
	"/usr/local/cuda*/bin/nsys", "/opt/nvidia/nsight-compute/*/host/target-linux-*/nsys",
	`C:\Program Files\NVIDIA Corporation\Nsight Systems *\target-windows-x64\nsys.exe`,
}

// FindNsys returns a working nsys and its version: the given one, $NSYS_BIN, $NSYS_HOME, PATH, then the usual folders,
// newest first. A wrapper whose real program is missing is passed over.
func FindNsys(ctx context.Context, given string) (path, version string, err error) {
	if given != "" {
		v, err := nsysVersion(ctx, given)
		if err != nil {
			return "", "", fmt.Errorf("--nsys %s: %w", given, err)
		}
		return given, v, nil
	}
	var try []string
	if v := os.Getenv("NSYS_BIN"); v != "" {
		try = append(try, v)
	}
	if v := os.Getenv("NSYS_HOME"); v != "" {
		try = append(try, filepath.Join(v, "bin", "nsys"))
	}
	if v, err := exec.LookPath("nsys"); err == nil {
		try = append(try, v)
	}
	for _, pattern := range places {
		found, err := filepath.Glob(pattern)
		if err != nil {
			continue
		}
		slices.SortFunc(found, func(a, b string) int { return compareVersions(b, a) })
		try = append(try, found...)
	}
	for _, p := range try {
		if v, err := nsysVersion(ctx, p); err == nil {
			return p, v, nil
		}
		if ctx.Err() != nil {
			return "", "", ctx.Err()
		}
	}
	return "", "", ErrNoNsys
}

var reVersion = regexp.MustCompile(`\d{4}\.\d+(?:\.\d+)*`)

func nsysVersion(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("it does not run: %w", err)
	}
	if v := reVersion.Find(out); v != nil {
		return string(v), nil
	}
	return "", errors.New("it does not print a version of Nsight Systems")
}

// compareVersions orders paths by the numbers in them: 2025.10 is newer than 2025.3.
func compareVersions(a, b string) int {
	na, nb := numbers(a), numbers(b)
	return slices.Compare(na, nb)
}

func numbers(s string) []int {
	var out []int
	for _, f := range strings.FieldsFunc(s, func(r rune) bool { return r < '0' || r > '9' }) {
		n, err := strconv.Atoi(f)
		if err == nil {
			out = append(out, n)
		}
	}
	return out
}

func shellQuote(s string) string {
	if s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./+:=@%", r))
	}) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
