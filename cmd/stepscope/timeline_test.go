package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestBrowserIsNotToldTheToken has a desktop that notes its command line, which every user of a machine can see, and what
// the file on it says.
func TestBrowserIsNotToldTheToken(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the desktop is a shell script here")
	}
	dir := t.TempDir()
	told := filepath.Join(dir, "told")
	script := "#!/bin/sh\necho \"$*\" > " + told + ".tmp\ncat \"$1\" >> " + told + ".tmp\nmv " + told + ".tmp " + told + "\n"
	for _, name := range []string{"xdg-open", "open"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("HOME", dir)
	t.Setenv("TMPDIR", dir)
	const url = "http://127.0.0.1:40001/SECRET-token-of-the-page/"
	opened := make(chan struct{})
	remove := openBrowser(url, opened)
	var lines []string
	within(t, "the desktop is asked", func() bool {
		text, err := os.ReadFile(told)
		lines = strings.SplitN(string(text), "\n", 2)
		return err == nil
	})
	if strings.Contains(lines[0], "SECRET") || !strings.HasPrefix(lines[0], dir) {
		t.Errorf("the command line says %q", lines[0])
	}
	if !strings.Contains(lines[1], url) {
		t.Errorf("the file says %q", lines[1])
	}
	gone := func() bool {
		_, err := os.Stat(lines[0])
		return errors.Is(err, fs.ErrNotExist)
	}
	if gone() {
		t.Error("the file is gone before the page was opened")
	}
	close(opened)
	within(t, "the file goes once the page was opened", gone)
	remove()

	// A page that is never opened leaves nothing either.
	if err := os.Remove(told); err != nil {
		t.Fatal(err)
	}
	remove = openBrowser(url, make(chan struct{}))
	within(t, "the desktop is asked", func() bool { _, err := os.Stat(told); return err == nil })
	remove()
	if left, err := filepath.Glob(filepath.Join(dir, "stepscope-*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func within(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what + ": it did not happen")
		}
	}
}
