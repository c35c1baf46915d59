package main

import (
	"fmt"
	"os/exec"
	"runtime"

	"github.com/stepscope/stepscope/web"
)

type timelineCmd struct {
	Profile string   `arg:"" optional:"" help:"Profile file or capture folder."`
	NoOpen  bool     `help:"Do not open a browser."`
	Listen  string   `placeholder:"HOST:PORT" help:"Address to listen on (default: loopback, a random port)."`
	Remote  bool     `help:"Allow --listen on an address that other machines reach. The token in the URL is then all that protects the profile."`
	Host    []string `placeholder:"NAME" help:"Further names that the page may be reached by, for a proxy or tunnel."`
	servingFlags
	contextFlags
	readOptions
}

// Run executes the verb: it serves until interrupted.
func (c *timelineCmd) Run(e *env) error {
	in, err := e.openServed(c.Profile, c.readOptions, c.servingFlags)
	if err != nil {
		return err
	}
	e.label(in)
	res, err := e.diagnose(in, c.contextFlags)
	if err != nil {
		return err
	}
	opened := make(chan struct{})
	url, wait, err := web.Serve(e.ctx, web.NewModel(res.Analysis, res.Diagnosis, res.Run),
		web.Options{Listen: c.Listen, Remote: c.Remote, Hosts: c.Host, Opened: func() { close(opened) }})
	if err != nil {
		return err
	}
	fmt.Fprintln(e.stdout, url)
	fmt.Fprintln(e.stderr, "stepscope: serving the timeline; Ctrl-C ends it")
	if !c.NoOpen && terminal(e.stdout) {
		defer openBrowser(url, opened)()
	}
	if err := wait(); err != nil && e.ctx.Err() == nil {
		return err
	}
	return nil
}

// openBrowser asks the desktop to open the page, by a file that leads there, and returns what removes the file. Once opened
// is closed it is removed at once. Where there is no desktop the printed URL has to do.
func openBrowser(url string, opened <-chan struct{}) (remove func()) {
	r, err := web.NewRedirect(url)
	if err != nil {
		return func() {}
	}
	name, args := "xdg-open", []string{r.Path}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", r.Path}
	}
	cmd := exec.Command(name, args...)
	if cmd.Start() != nil {
		r.Remove()
		return r.Remove
	}
	go func() { _ = cmd.Wait() }()
	go func() {
		<-opened
		r.Remove()
	}()
	return r.Remove
}
