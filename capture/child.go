package capture

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// markVariable is set in the environment of children to a value of this run, so that they are found again.
const markVariable = "STEPSCOPE_RUN"

// How long a child may take at each step of being ended.
var (
	graceServer   = 60 * time.Second // the server after SIGTERM, and the profiler writing its report
	graceProfiler = 60 * time.Second // the profiler after SIGINT
	graceRest     = 5 * time.Second  // what is left after SIGTERM
	watchEvery    = 500 * time.Millisecond
)

// child is a started program with everything that it starts.
type child struct {
	cmd  *exec.Cmd
	mark string
	done chan struct{} // closed when the program itself has ended
	err  error         // valid after done: how it ended

	mu    sync.Mutex
	known map[int]uint64 // pid -> start of processes seen to be ours
	stop  chan struct{}
	wg    sync.WaitGroup
}

// startChild starts argv with output into log. env is added to this program's own environment.
func startChild(argv, env []string, log *os.File) (*child, error) {
	var id [12]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, fmt.Errorf("starting %s: %w", argv[0], err)
	}
	mark := markVariable + "=" + hex.EncodeToString(id[:])
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(append(os.Environ(), env...), mark)
	cmd.Stdout, cmd.Stderr = log, log
	ownSession(cmd)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", argv[0], cause(err))
	}
	c := &child{cmd: cmd, mark: mark, done: make(chan struct{}), known: map[int]uint64{}, stop: make(chan struct{})}
	if p, ok := readProcess(cmd.Process.Pid); ok {
		c.known[p.pid] = p.start
	}
	c.wg.Add(2)
	go func() {
		defer c.wg.Done()
		c.err = cmd.Wait()
		close(c.done)
	}()
	go func() {
		defer c.wg.Done()
		c.watch()
	}()
	return c, nil
}

// watch keeps the set of known processes up to date, so that one whose parent is gone is still known as ours.
func (c *child) watch() {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-t.C:
			c.members()
		}
	}
}

// members are the living processes that are the child's: of its session or group, descendants of one that is known, or
// carrying its mark. The child itself is among them.
func (c *child) members() []processInfo {
	all := processes()
	c.mu.Lock()
	defer c.mu.Unlock()
	root := c.cmd.Process.Pid
	self := os.Getpid()
	ours := map[int]bool{}
	reused := false // the child's number, once free, may have gone to a stranger with a session of its own
	for _, p := range all {
		reused = reused || p.pid == root && p.start != c.known[root]
	}
	for _, p := range all {
		if start, ok := c.known[p.pid]; ok && start == p.start || !reused && (p.session == root || p.group == root) {
			ours[p.pid] = true
		}
	}
	for grown := true; grown; { // descendants, whatever the order of the list
		grown = false
		for _, p := range all {
			if !ours[p.pid] && ours[p.parent] {
				ours[p.pid], grown = true, true
			}
		}
	}
	delete(ours, self)
	var out []processInfo
	for _, p := range all {
		if p.pid == self || p.zombie {
			continue
		}
		if !ours[p.pid] && p.parent == 1 && marked(p.pid, c.mark) { // its parent ended between two looks
			ours[p.pid] = true
		}
		if ours[p.pid] {
			c.known[p.pid] = p.start
			out = append(out, p)
		}
	}
	return out
}

// exited reports whether the program itself has ended.
func (c *child) exited() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// signal sends s to every process for which keep holds, after looking again that it is still the same one.
func (c *child) signal(s os.Signal, keep func(processInfo) bool) (sent int) {
	for _, p := range c.members() {
		if !keep(p) {
			continue
		}
		if now, ok := readProcess(p.pid); !ok || now.start != p.start {
			continue
		}
		if signalProcess(p.pid, s) == nil {
			sent++
		}
	}
	return sent
}

// wait waits until the program has ended, at most d and no longer than ctx; it reports whether it has.
func (c *child) wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c.done:
		return true
	case <-ctx.Done():
	case <-t.C:
	}
	return c.exited()
}

// end ends the child and everything it started, and returns when nothing is left. With a profiler in front the server is
// ended first, so that the profiler can write its report. Once ctx has ended there is no time for that: the child is asked
// to end and then killed. It reports whether the child ended without being killed.
func (c *child) end(ctx context.Context, profiler bool) (clean bool) {
	defer c.release()
	clean = c.exited()
	if !clean {
		c.signalTree(signalEnd, profiler)
		clean = c.wait(ctx, graceServer)
	}
	if !clean && profiler && ctx.Err() == nil {
		_ = signalProcess(c.cmd.Process.Pid, signalStop)
		clean = c.wait(ctx, graceProfiler)
	}
	if !clean && ctx.Err() != nil {
		clean = c.wait(context.WithoutCancel(ctx), graceRest)
	}
	c.kill()
	return clean
}

// signalTree signals the server: the first processes below the profiler that are not its own, or the child itself. The
// server passes the signal on as it sees fit; what it leaves behind is ended afterwards.
func (c *child) signalTree(s os.Signal, profiler bool) {
	root := c.cmd.Process.Pid
	if !profiler {
		if signalProcess(root, s) != nil {
			signalGroup(root, s)
		}
		return
	}
	members := c.members()
	byPID := map[int]processInfo{}
	for _, p := range members {
		byPID[p.pid] = p
	}
	tool := map[int]bool{root: true}
	for grown := true; grown; {
		grown = false
		for _, p := range members {
			if !tool[p.pid] && tool[p.parent] && isProfiler(p.pid) {
				tool[p.pid], grown = true, true
			}
		}
	}
	sent := 0
	for _, p := range members {
		if !tool[p.pid] && tool[p.parent] && signalProcess(p.pid, s) == nil {
			sent++
		}
	}
	if sent == 0 { // the server is gone, or its parent is: everything that is not the profiler
		sent = c.signal(s, func(p processInfo) bool { return !tool[p.pid] && !isProfiler(p.pid) })
	}
	if sent == 0 {
		_ = signalProcess(root, signalStop)
	}
}

// isProfiler reports whether a process is part of Nsight Systems.
func isProfiler(pid int) bool {
	args := arguments(pid)
	if len(args) == 0 {
		return false
	}
	name := strings.ToLower(filepath.Base(args[0]))
	return strings.HasPrefix(name, "nsys") || strings.HasPrefix(name, "nsight") || strings.HasPrefix(name, "qdstrm")
}

// kill ends what is left: asked first, then forced.
func (c *child) kill() {
	for _, try := range []struct {
		s os.Signal
		d time.Duration
	}{{signalEnd, graceRest}, {signalKill, graceRest}} {
		if c.gone() {
			return
		}
		c.signal(try.s, func(processInfo) bool { return true })
		if len(processes()) == 0 {
			signalGroup(c.cmd.Process.Pid, try.s)
		}
		for deadline := time.Now().Add(try.d); time.Now().Before(deadline) && !c.gone(); {
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// gone reports whether nothing of the child is left.
func (c *child) gone() bool {
	return c.exited() && len(c.members()) == 0 && (len(processes()) > 0 || !groupAlive(c.cmd.Process.Pid))
}

// release stops the watching; the child has ended.
func (c *child) release() {
	close(c.stop)
	c.wg.Wait()
}

// run runs a short program to its end and returns what it printed, at most 1 MiB. It is ended with ctx.
func run(ctx context.Context, env []string, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(append(os.Environ(), "LC_ALL=C"), env...)
	cmd.WaitDelay = 2 * time.Second
	out := &limited{max: 1 << 20}
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	if ctx.Err() != nil {
		return out.String(), ctx.Err()
	}
	if err != nil {
		return out.String(), cause(err)
	}
	return out.String(), nil
}

// limited keeps the first max bytes of an output.
type limited struct {
	strings.Builder
	max int
}

func (l *limited) Write(p []byte) (int, error) {
	if room := l.max - l.Len(); room > 0 {
		l.Builder.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
