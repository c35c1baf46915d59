package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/stepscope/stepscope/knob"
)

// DefaultStartup is how long a server may take until it answers.
const DefaultStartup = 15 * time.Minute

// ServerSpec says how a server is started.
type ServerSpec struct {
	Argv    []string // the server's own command; nothing is added
	Env     []string // NAME=VALUE, on top of this program's environment
	Wrapper []string // a profiler with its options, in front of Argv
	Log     string   // file for its output; created, and never truncated by others
	URL     string   // base address where it will listen
	Startup time.Duration
}

// A Server is a running server that answers.
type Server struct {
	URL string
	// StartupS is the time from its start to the first answer of /health, in seconds.
	StartupS float64

	child   *child
	wrapped bool
	log     *os.File
	logPath string
}

// StartServer starts a server and waits until GET /health answers 200. When it fails, or ctx ends, everything that was
// started has been ended before it returns; the error is a *Failure.
func StartServer(ctx context.Context, spec ServerSpec, progress Progress) (*Server, error) {
	if spec.Startup == 0 {
		spec.Startup = DefaultStartup
	}
	if err := portFree(spec.URL); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(spec.Log, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", spec.Log, cause(err))
	}
	started := time.Now()
	c, err := startChild(append(append([]string{}, spec.Wrapper...), spec.Argv...), spec.Env, log)
	if err != nil {
		log.Close()
		os.Remove(spec.Log)
		return nil, &Failure{Stage: Starting, Kind: ErrUsage, Text: err.Error()}
	}
	s := &Server{URL: spec.URL, child: c, wrapped: len(spec.Wrapper) > 0, log: log, logPath: spec.Log}
	if err := s.waitHealthy(ctx, started, spec.Startup, progress); err != nil {
		s.abort()
		return nil, err
	}
	s.StartupS = time.Since(started).Seconds()
	return s, nil
}

// waitHealthy polls /health.
func (s *Server) waitHealthy(ctx context.Context, started time.Time, limit time.Duration, progress Progress) error {
	t := time.NewTicker(250 * time.Millisecond)
	defer t.Stop()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil}}
	for {
		if s.child.exited() {
			return s.exitFailure(Starting)
		}
		if healthy(ctx, client, s.URL) {
			if s.child.exited() { // someone else answers on that port
				return s.exitFailure(Starting)
			}
			return nil
		}
		waited := time.Since(started)
		if waited > limit {
			tail := logTail(s.logPath, 12)
			return &Failure{Stage: Starting, Kind: ErrNeverHealthy, Log: s.logPath, Tail: tail,
				Text: fmt.Sprintf("GET %s/health did not answer within %s; give it more time if it is still loading (a first start compiles for minutes)", s.URL, limit)}
		}
		progress.count(Starting, lastLine(s.logPath), waited.Milliseconds(), limit.Milliseconds())
		select {
		case <-ctx.Done():
			return &Failure{Stage: Starting, Kind: ctx.Err(), Text: "stopped while the server was starting"}
		case <-s.child.done:
		case <-t.C:
		}
	}
}

func healthy(ctx context.Context, client *http.Client, base string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/health", nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16))
	return resp.StatusCode == http.StatusOK
}

// Alive returns an error when the server has ended.
func (s *Server) Alive(stage Stage) error {
	if s.child.exited() {
		return s.exitFailure(stage)
	}
	return nil
}

// dying is how long a server that cut its connections may take to be gone.
const dying = 2 * time.Second

// Failed is Alive after a load that failed: connections are cut before the process is gone.
func (s *Server) Failed(stage Stage) error {
	t := time.NewTimer(dying)
	defer t.Stop()
	select {
	case <-s.child.done:
	case <-t.C:
	}
	return s.Alive(stage)
}

// Done is closed when the server's process has ended.
func (s *Server) Done() <-chan struct{} { return s.child.done }

// Stop ends the server and everything it started, and returns when nothing is left. It reports whether the server ended
// when it was asked to; otherwise it was killed, and a profiler in front of it may have left no report. When ctx ends, or
// has ended, the server gets seconds instead of a minute.
func (s *Server) Stop(ctx context.Context) (clean bool) {
	if s == nil || s.log == nil {
		return true
	}
	clean = s.child.end(ctx, s.wrapped)
	s.log.Close()
	s.log = nil
	return clean
}

// abort ends the server without waiting for a report.
func (s *Server) abort() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.Stop(ctx)
}

// exitFailure says why the server ended, as far as its log tells.
func (s *Server) exitFailure(stage Stage) error {
	text, kind := diagnoseExit(s.logPath)
	how := "it ended by itself"
	if s.child.err != nil {
		how = "it ended with " + s.child.err.Error()
	}
	if text != "" {
		how += ": " + text
	}
	return &Failure{Stage: stage, Kind: kind, Text: how, Log: s.logPath, Tail: logTail(s.logPath, 12)}
}

// portFree checks that nothing listens where the server will: another server there would answer for ours.
func portFree(base string) error {
	u, err := url.Parse(base)
	if err != nil || u.Port() == "" {
		return &Failure{Stage: Checking, Kind: ErrUsage, Text: fmt.Sprintf("%q is no address of a server", base)}
	}
	addr := u.Host
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err == nil {
		conn.Close()
		return portTaken(addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		if strings.Contains(err.Error(), "in use") {
			return portTaken(addr)
		}
		return nil // an address that is not of this machine: the server will say so
	}
	l.Close()
	return nil
}

func portTaken(addr string) error {
	return &Failure{Stage: Checking, Kind: ErrPortTaken, Text: fmt.Sprintf("something listens on %s already: end it, or give the server another --port", addr)}
}

// defaultPorts of engines that listen where nothing is said.
var defaultPorts = map[string]int{knob.VLLM: 8000, knob.SGLang: 30000, knob.TRTLLM: 8000}

// ServerURL returns the base address on which a server with these settings will answer on this machine.
func ServerURL(s knob.Settings) string {
	port := defaultPorts[s.Engine.Name]
	if port == 0 {
		port = 8000
	}
	if p, ok := s.Int("--port"); ok {
		port = int(p)
	}
	host := "127.0.0.1"
	if h, ok := s.Value("--host"); ok && h != "" && h != "0.0.0.0" && h != "::" && h != "*" {
		host = h
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(port))
}

// post sends a request without an answer worth reading.
func post(ctx context.Context, target, body, key string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(body))
	if err != nil {
		return err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return err
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 400))
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(text)))
	}
	return nil
}

// fetch reads an address into a file.
func fetch(ctx context.Context, target, key, file string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", target, resp.Status)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("GET %s: %w", target, err)
	}
	return os.WriteFile(file, b, 0o644)
}

// Metrics reads the server's /metrics into a file.
func (s *Server) Metrics(ctx context.Context, key, file string) error {
	return fetch(ctx, s.URL+"/metrics", key, file)
}
