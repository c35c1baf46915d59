//go:build unix

package nsys

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPrune(t *testing.T) {
	now := time.Now()
	name := func(c string) string { return strings.Repeat(c, 32) + ".sqlite" }
	const day = 24 * time.Hour
	for _, c := range []struct {
		what string
		have map[string]time.Duration // name, unused for
		size int64                    // of each, sparse
		want []string
	}{
		{"old ones go", map[string]time.Duration{name("a"): 31 * day, name("b"): 29 * day}, 1, []string{name("b")}},
		{"too many bytes: the longest unused go", map[string]time.Duration{name("a"): 3 * day, name("b"): 2 * day, name("c"): day}, 7 << 30, []string{name("c")}},
		{"just enough", map[string]time.Duration{name("a"): 2 * day, name("b"): day}, 6 << 30, []string{name("a"), name("b")}},
		{"what may be in use stays", map[string]time.Duration{name("a"): time.Minute, name("b"): 2 * time.Minute}, 15 << 30, []string{name("a"), name("b")}},
		{"what is not ours stays", map[string]time.Duration{"mine.sqlite": 90 * day, strings.ToUpper(name("a")): 90 * day, name("a") + ".bak": 90 * day}, 1,
			[]string{strings.ToUpper(name("a")), name("a") + ".bak", "mine.sqlite"}},
	} {
		dir := t.TempDir()
		keep := filepath.Join(dir, name("f"))
		c.have[name("f")] = 400 * day
		for n, unused := range c.have {
			path := filepath.Join(dir, n)
			write(t, path, []byte("x"))
			if err := os.Truncate(path, c.size); err != nil {
				t.Skip("no sparse files here:", err)
			}
			if err := os.Chtimes(path, now, now.Add(-unused)); err != nil {
				t.Fatal(err)
			}
		}
		prune(dir, keep, now)
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var left []string
		for _, e := range entries {
			left = append(left, e.Name())
		}
		want := append(slices.Clone(c.want), name("f"))
		slices.Sort(want)
		if !slices.Equal(left, want) {
			t.Errorf("%s: left %v, want %v", c.what, left, want)
		}
	}
	prune(filepath.Join(t.TempDir(), "missing"), "", now)
}

// A folder that a killed export left goes with the next export, one that may be at work does not, and neither does a link.
func TestPruneLeavings(t *testing.T) {
	now := time.Now()
	dir := t.TempDir()
	for n, unused := range map[string]time.Duration{"export-1": 40 * 24 * time.Hour, "export-2": time.Hour, "other": 90 * 24 * time.Hour} {
		path := filepath.Join(dir, n)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(path, "profile.sqlite"), []byte("x"))
		if err := os.Chtimes(path, now, now.Add(-unused)); err != nil {
			t.Fatal(err)
		}
	}
	target := write(t, filepath.Join(t.TempDir(), "users.sqlite"), []byte("x"))
	link := filepath.Join(dir, strings.Repeat("a", 32)+".sqlite")
	if err := os.Symlink(target, link); err != nil {
		t.Skip("no links here:", err)
	}
	prune(dir, "", now.Add(100*24*time.Hour))
	for n, want := range map[string]bool{filepath.Join(dir, "export-1"): false, filepath.Join(dir, "export-2"): false, filepath.Join(dir, "other"): true, target: true, link: true} {
		if _, err := os.Lstat(n); (err == nil) != want {
			t.Errorf("%s: %v", n, err)
		}
	}
}
