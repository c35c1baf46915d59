package web

import (
	"fmt"
	"html"
	"os"
	"path/filepath"
	"runtime"
)

// Redirect is a page on disk that leads to a timeline. A desktop is asked to open it instead of the address: the command
// line that does so is seen by every user of the machine, and the token in the address is the secret.
type Redirect struct {
	Path string // of the page
	dir  string
}

const redirectPage = `<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url=%[1]s">
<title>stepscope timeline</title>
<p><a href="%[1]s">To the timeline</a></p>
`

// NewRedirect writes a page that leads to url, readable by this user only, in a folder of its own.
func NewRedirect(url string) (*Redirect, error) {
	dir, err := os.MkdirTemp(redirectParent(), "stepscope-*") // mode 0700
	if err != nil {
		return nil, fmt.Errorf("making a folder for the redirect: %w", err)
	}
	r := &Redirect{Path: filepath.Join(dir, "timeline.html"), dir: dir}
	if err := os.WriteFile(r.Path, fmt.Appendf(nil, redirectPage, html.EscapeString(url)), 0o600); err != nil {
		r.Remove()
		return nil, fmt.Errorf("writing the redirect: %w", err)
	}
	return r, nil
}

// Remove deletes the page and its folder. It may be called more than once.
func (r *Redirect) Remove() { _ = os.RemoveAll(r.dir) }

// redirectParent is the folder for the redirect's own one, "" for the usual one. Browsers packaged as snaps have a /tmp of
// their own and see no hidden folders: the home folder is what they share with us.
func redirectParent() string {
	home, err := os.UserHomeDir()
	if err != nil || runtime.GOOS != "linux" {
		return ""
	}
	if s, err := os.Stat(filepath.Join(home, "snap")); err != nil || !s.IsDir() {
		return ""
	}
	return home
}
