package capture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stepscope/stepscope/bench"
	"github.com/stepscope/stepscope/ledger"
)

// logName is the server's log in a capture folder.
const logName = "server.log"

// Bounds of what a profiler may take: opening a range pauses a server for seconds, closing one for minutes when traces are
// large.
const (
	startLimit  = 5 * time.Minute
	stopLimit   = 30 * time.Minute
	settleLimit = 2 * time.Minute
)

// Window bounds where none was asked for: as many decode steps as a diagnosis likes to have.
const (
	windowSteps = 80
	windowMin   = 600 * time.Millisecond
	windowMax   = 3 * time.Second
)

// Run takes a capture. When it returns, everything it started has ended. On failure the error is a *Failure or says what
// could not be written; OUT does not exist then.
func Run(ctx context.Context, o Options, progress Progress) (*Result, error) {
	progress.event(Checking, "reading the command")
	r, err := resolve(ctx, o, false)
	if err != nil {
		return nil, err
	}
	m := r.manifest()
	var smi string
	if r.o.URL == "" {
		if m.GPUs, smi, err = CheckGPU(ctx, r.o.NvidiaSMI, r.o.AnyGPU); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, &Failure{Stage: Checking, Kind: err, Text: "stopped before anything was started"}
	}
	if err := r.prepare(); err != nil {
		return nil, err
	}
	res, err := r.run(ctx, m, smi, progress)
	if err != nil {
		return nil, r.abandon(err)
	}
	return res, nil
}

func (r *resolved) manifest() *Manifest {
	m := &Manifest{Schema: ManifestSchema, Tool: r.o.Tool, Created: r.o.Now().UTC().Truncate(time.Second), Profiler: ProfilerInfo{Kind: r.o.Profiler},
		Host: hostInfo(), Warnings: append([]string{}, r.notes...), Files: []FileInfo{}, Stages: []StageTime{}, GPUs: []GPUInfo{}}
	if r.o.URL != "" {
		m.URL = ledger.MaskText(r.url)
		return m
	}
	m.Command, m.Wrapper, m.Env = ledger.Mask(r.argv), ledger.Mask(r.sharedWrapper()), maskedEnv(r.env)
	m.Engine = r.engine.String()
	if r.o.Profiler == Nsys {
		m.Profiler.Version = r.o.Nsys.Version
	}
	return m
}

// session is what a run holds while it runs.
type session struct {
	*resolved
	m        *Manifest
	server   *Server // nil with a URL
	sampler  *Sampler
	progress Progress
	apiKey   string // that the load sends, from the measured burst on
}

func (r *resolved) run(ctx context.Context, m *Manifest, smi string, progress Progress) (*Result, error) {
	s := &session{resolved: r, m: m, progress: progress}
	s.sampler = StartSampler(ctx, smi)
	stopped := false
	defer func() {
		if !stopped {
			s.server.abort()
			s.sampler.Finish()
		}
	}()
	if r.o.URL == "" {
		if err := r.write("command.txt", r.commandFile()); err != nil {
			return nil, err
		}
		s.sampler.Mark(Starting)
		progress.event(Starting, "starting the server")
		srv, err := StartServer(ctx, ServerSpec{Argv: r.argv, Env: r.env, Wrapper: r.wrapper, Log: r.path(logName), URL: r.url, Startup: r.o.Startup}, progress)
		if err != nil {
			return nil, err
		}
		s.server = srv
		m.StartupS = &srv.StartupS
		s.sampler.Follow(srv)
	}
	res := &Result{Folder: r.o.Out, Manifest: m}
	if err := s.loads(ctx, res); err != nil {
		return nil, err
	}
	s.sampler.Mark(Stopping)
	progress.event(Stopping, "ending the server")
	clean := s.server.Stop(ctx)
	samples := s.sampler.Finish()
	stopped = true
	if err := ctx.Err(); err != nil {
		return nil, &Failure{Stage: Stopping, Kind: err, Text: "stopped while the server was ended"}
	}
	if !clean {
		m.Warnings = append(m.Warnings, "the server did not end when it was asked to and was killed")
	}
	m.Stages = samples.Stages
	m.Warnings = append(m.Warnings, samples.Notes...)
	if err := writeJSON(r.path(SamplesName), samples); err != nil {
		return nil, err
	}
	var err error
	switch r.o.Profiler {
	case Nsys:
		err = r.export(ctx, m, progress)
	case Torch:
		err = r.traces(m)
	}
	if err != nil {
		return nil, err
	}
	progress.event(Writing, "digests and manifest")
	if err := r.maskLog(); err != nil {
		return nil, err
	}
	if err := r.commit(m); err != nil {
		return nil, err
	}
	return res, nil
}

// sharedWrapper is the profiler's command without the places that it and its report had on this machine.
func (r *resolved) sharedWrapper() []string {
	out := slices.Clone(r.wrapper)
	for i, w := range out {
		if i == 0 || filepath.Dir(w) == filepath.Clean(r.partial) {
			out[i] = filepath.Base(w)
		}
	}
	return out
}

// commandFile is the text of command.txt: the server's command first, as a diagnosis reads it.
func (r *resolved) commandFile() string {
	text := ShellLine(append(append([]string{}, r.env...), r.argv...)) + "\n"
	if len(r.wrapper) > 0 {
		text += "# behind: " + ShellLine(r.sharedWrapper()) + "\n"
	}
	return text
}

// loads sends the bursts. With a server of ours, its end stops a burst at once.
func (s *session) loads(ctx context.Context, res *Result) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if s.server != nil {
		go func() {
			select {
			case <-s.server.Done():
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	measured, err := s.measure(ctx)
	if err != nil {
		return err
	}
	res.Measured = measured
	if s.o.Profiler == None {
		return nil
	}
	res.Profiled, err = s.profile(ctx, measured)
	return err
}

// stage begins a stage for samples and progress.
func (s *session) stage(st Stage, text string) {
	s.sampler.Mark(st)
	s.progress.event(st, text)
}

// burst runs one load. began is called when preflight and warm-up are over, just before the first measured request.
func (s *session) burst(ctx context.Context, st Stage, edit func(*bench.Config), began func()) (*bench.Result, error) {
	cfg, closeLoad, err := s.load()
	if err != nil {
		return nil, err
	}
	defer closeLoad()
	edit(&cfg)
	res, err := bench.Run(ctx, cfg, func(e bench.Event) {
		if e.Phase == bench.Measuring && e.Done == 0 {
			began()
		}
		s.progress.count(st, string(e.Phase), int64(e.Done), int64(e.Total))
	})
	return res, s.burstError(ctx, st, res, err)
}

// burstError says why a burst is no result.
func (s *session) burstError(ctx context.Context, st Stage, res *bench.Result, err error) error {
	stopped := ctx.Err() // looked at first: the end of the server ends ctx too
	if s.server != nil {
		dead := s.server.Alive(st)
		if dead == nil && stopped == nil && (err != nil || res.Failed > 0) {
			dead = s.server.Failed(st)
		}
		if dead != nil {
			return dead
		}
	}
	switch {
	case stopped != nil:
		return &Failure{Stage: st, Kind: stopped, Text: "stopped during the load"}
	case err != nil:
		return &Failure{Stage: st, Kind: ErrLoad, Text: shown(err.Error(), 400)}
	case res.Completed == 0:
		return &Failure{Stage: st, Kind: ErrLoad, Text: "no request completed: " + firstError(res)}
	}
	return nil
}

func firstError(r *bench.Result) string {
	for i := range r.Requests {
		if r.Requests[i].Error != "" {
			return shown(r.Requests[i].Error, 300)
		}
	}
	return "no reason was given"
}

// measure sends the unprofiled burst between two readings of /metrics, which leave warm-up and probing out.
func (s *session) measure(ctx context.Context) (*bench.Result, error) {
	metrics := false
	res, err := s.burst(ctx, Measuring, func(c *bench.Config) {
		s.m.Load, s.apiKey = loadInfo(*c, warmups(*c)), string(c.Key)
		s.stage(WarmingUp, "warming up")
	}, func() {
		metrics = s.metrics(ctx, "metrics_before.txt")
		s.stage(Measuring, "the unprofiled burst")
	})
	if err != nil {
		return nil, err
	}
	s.sampler.Mark("")
	if metrics {
		s.metrics(ctx, "metrics_after.txt")
	}
	if s.m.Load.Model == "" {
		s.m.Load.Model = res.Model
	}
	return res, s.writeBench("bench.json", res)
}

// metrics reads /metrics into a file. A server without them is no failure.
func (s *session) metrics(ctx context.Context, name string) bool {
	if err := fetch(ctx, s.url+"/metrics", s.apiKey, s.path(name)); err != nil {
		s.m.Warnings = append(s.m.Warnings, "/metrics could not be read: "+shown(err.Error(), 200))
		os.Remove(s.path("metrics_before.txt")) // one reading alone says nothing
		return false
	}
	return true
}

func (s *session) writeBench(name string, res *bench.Result) error {
	f, err := os.Create(s.path(name))
	if err != nil {
		return fmt.Errorf("writing %s: %w", s.path(name), cause(err))
	}
	err = res.WriteJSON(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", s.path(name), err)
	}
	return nil
}

// windowFor is how long to record: what was asked for, or about windowSteps steps of the measured burst.
func windowFor(asked time.Duration, measured *bench.Result) time.Duration {
	if asked > 0 {
		return asked
	}
	w := windowMin
	if measured.ITL.N > 0 {
		w = time.Duration(windowSteps * measured.ITL.Median * float64(time.Millisecond))
	}
	return min(max(w, windowMin), windowMax)
}

// profile sends the load again and records a window in the middle of it.
func (s *session) profile(ctx context.Context, measured *bench.Result) (*bench.Result, error) {
	s.stage(Profiling, "the burst with the window")
	window := windowFor(s.o.Window, measured)
	length := time.Duration(measured.DurationNS)
	n := s.m.Load.Requests
	// The burst must outlast the window: 40 % before it, at least as much after it.
	if need := 2*window + window/2 + 500*time.Millisecond; length < need && length > 0 {
		n = max(n, int(float64(n)*float64(need)/float64(length))+1)
		length = need
	}
	s.m.Load.ProfiledN = n
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		res *bench.Result
		err error
	}
	done := make(chan outcome, 1)
	started := make(chan time.Time, 1)
	go func() {
		res, err := s.burst(ctx, Profiling, func(c *bench.Config) {
			c.Requests, c.Warmup = n, -1
			c.Seed += 1 << 32 // other prompts: none of these is in the prefix cache
			// The profiler holds the server while a range opens and closes.
			c.Stall, c.Timeout = max(c.Stall, stopLimit), max(c.Timeout, stopLimit)
		}, func() { started <- time.Now() })
		done <- outcome{res, err}
	}()
	var began time.Time
	select {
	case began = <-started:
	case out := <-done:
		if out.err != nil {
			return nil, out.err
		}
		began = <-started // the whole burst fitted in between
		done <- out
	}
	w, err := s.window(ctx, began, length*2/5, window)
	if err != nil {
		cancel()
		<-done
		return nil, err
	}
	out := <-done
	if out.err != nil {
		return nil, out.err
	}
	w.BurstMs = time.Since(began).Milliseconds()
	s.m.Window = w
	if w.ReadyMs > w.BurstMs || out.res.DurationNS/1e6 < w.StopMs {
		s.m.Warnings = append(s.m.Warnings, "the burst ended before the window did: send more requests")
	}
	if s.o.Profiler == Torch {
		s.progress.event(Profiling, "waiting for the traces")
		s.settled(ctx, settleLimit)
	}
	return out.res, s.writeBench("bench_during_capture.json", out.res)
}

// window opens the capture range after delay, keeps it open and closes it.
func (s *session) window(ctx context.Context, began time.Time, delay, window time.Duration) (*WindowInfo, error) {
	if err := pause(ctx, delay); err != nil {
		return nil, s.windowError(ctx, "before the window", err)
	}
	at := func() int64 { return time.Since(began).Milliseconds() }
	w := &WindowInfo{AskedMs: window.Milliseconds(), StartMs: at()}
	if err := post(ctx, s.url+"/start_profile", s.hook.startBody, s.apiKey, startLimit); err != nil {
		return nil, s.windowError(ctx, "POST /start_profile", err)
	}
	w.ReadyMs = at()
	if err := pause(ctx, window); err != nil {
		return nil, s.windowError(ctx, "in the window", err)
	}
	w.StopMs = at()
	if err := post(ctx, s.url+"/stop_profile", "", s.apiKey, stopLimit); err != nil {
		return nil, s.windowError(ctx, "POST /stop_profile", err)
	}
	w.DoneMs = at()
	return w, nil
}

func (s *session) windowError(ctx context.Context, where string, err error) error {
	stopped := ctx.Err()
	if s.server != nil {
		dead := s.server.Alive(Profiling)
		if dead == nil && stopped == nil {
			dead = s.server.Failed(Profiling)
		}
		if dead != nil {
			return dead
		}
	}
	if stopped != nil {
		return &Failure{Stage: Profiling, Kind: stopped, Text: "stopped " + strings.TrimPrefix(where, "POST ")}
	}
	return &Failure{Stage: Profiling, Kind: ErrNoHook, Text: fmt.Sprintf("%s failed: %v; the endpoint exists only where the engine was started with a profiler (see the log for `Route: /start_profile`)", where, err), Log: s.path(logName)}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// IsInterrupted reports whether a run was stopped from outside and did not fail by itself.
func IsInterrupted(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// kinds lists the failures that a caller may tell apart.
var kinds = []error{ErrServerExited, ErrOutOfMemory, ErrPortTaken, ErrNeverHealthy, ErrNoProfiler, ErrNoGPU, ErrNoHook, ErrNoReport, ErrLoad, ErrExists, ErrUsage}

// KindOf returns the Err value that err wraps, nil if none.
func KindOf(err error) error {
	if i := slices.IndexFunc(kinds, func(k error) bool { return errors.Is(err, k) }); i >= 0 {
		return kinds[i]
	}
	return nil
}
