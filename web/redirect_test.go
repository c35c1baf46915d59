package web

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestRedirectIsPrivate(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("TMPDIR", t.TempDir())
	r, err := NewRedirect(`http://127.0.0.1:1/to"ken/`)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(r.Path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(page), "http://127.0.0.1:1/to&#34;ken/"); n != 2 || strings.Contains(string(page), `to"ken`) {
		t.Errorf("the page does not lead there: %s", page)
	}
	if runtime.GOOS != "windows" {
		for path, want := range map[string]fs.FileMode{r.Path: 0o600, filepath.Dir(r.Path): 0o700 | fs.ModeDir} {
			if s, err := os.Stat(path); err != nil || s.Mode() != want {
				t.Errorf("%s: mode %v, %v", path, s.Mode(), err)
			}
		}
		if got := filepath.Dir(filepath.Dir(r.Path)); got != os.Getenv("TMPDIR") {
			t.Errorf("the redirect lies in %s", got)
		}
	}
	for range 2 {
		r.Remove()
		if _, err := os.Stat(filepath.Dir(r.Path)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after removing: %v", err)
		}
	}
	if runtime.GOOS != "linux" {
		return
	}
	if err := os.Mkdir(filepath.Join(home, "snap"), 0o755); err != nil {
		t.Fatal(err)
	}
	if r, err = NewRedirect("http://127.0.0.1:1/"); err != nil || filepath.Dir(filepath.Dir(r.Path)) != home {
		t.Errorf("where browsers may be snaps: %+v, %v", r, err)
	}
	r.Remove()
}

// TestOpenedOnce is told by the page itself, not by whoever knocks.
func TestOpenedOnce(t *testing.T) {
	n := 0
	h := handlerOf(t, small(t), Options{Opened: func() { n++ }})
	for _, path := range []string{"/", "/wrong/api/model", "/" + testToken + "/app.css"} {
		if ask(h, http.MethodGet, path, nil); n != 0 {
			t.Errorf("%s counts as opened", path)
		}
	}
	for range 3 {
		if w := ask(h, http.MethodGet, "/"+testToken+"/api/model", nil); w.Code != http.StatusOK || n != 1 {
			t.Errorf("status %d, told %d times", w.Code, n)
		}
	}
}
