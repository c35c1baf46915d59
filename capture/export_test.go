package capture

import (
	"context"
	"strings"
	"time"
)

// Shorten makes ending children quick, for tests.
func Shorten(server, profiler, rest time.Duration) (restore func()) {
	a, b, c, w := graceServer, graceProfiler, graceRest, watchEvery
	graceServer, graceProfiler, graceRest, watchEvery = server, profiler, rest, 50*time.Millisecond
	return func() { graceServer, graceProfiler, graceRest, watchEvery = a, b, c, w }
}

// Strip is strip.
func Strip(ctx context.Context, file string) (Stripped, error) { return strip(ctx, file) }

// Leak looks for values of secret variables in a file.
func Leak(file string, env []string) (string, error) { return leak(file, env) }

// Children lists the process ids of a server of a run.
func (s *Server) Children() (pids []int) {
	for _, p := range s.child.members() {
		pids = append(pids, p.pid)
	}
	return pids
}

// AddGPU feeds lines of nvidia-smi to a sampler and returns what it makes of them.
func GPULines(lines ...string) *Samples {
	s := &Sampler{byName: map[string]int{}}
	for i, l := range lines {
		s.addGPU(int64(i), l)
	}
	return &s.s
}

// SecretValues masks the values of secret variables in a text.
func SecretValues(env []string) *strings.Replacer { return secretReplacer(env) }
