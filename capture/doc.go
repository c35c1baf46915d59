// Package capture takes a capture: it starts a server under a profiler, loads it, measures it without the profiler and
// records a window of a second, equal load, and leaves one folder that every verb reads.
//
// Opinions:
//
//   - A profiled server is not a measured server. The burst that counts (bench.json) runs before the capture range is
//     opened; the profiled one is kept apart (bench_during_capture.json).
//   - A folder is whole or it is not there. Everything is written into OUT.partial, which holds a file named INCOMPLETE;
//     the manifest is written last and the folder takes its name after that. A failed run leaves OUT.partial with the
//     server's log, and says so.
//   - Children are ended, whatever happens: the server, the profiler and all they started, told by their session, their
//     ancestry and a mark in their environment. Nothing else is.
//   - Secrets do not travel: command lines are masked, the exported profile loses its environment variables, host names
//     and the server's output, and the report that holds them all is removed unless it is asked for.
//
// The package prints nothing; it reports progress to a callback. External programs are reached through their paths, so
// that a test, or a user, may put others in their place.
package capture
