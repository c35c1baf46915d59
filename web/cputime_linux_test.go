package web

import (
	"syscall"
	"testing"
	"time"
)

// threadTime returns the processor time of the calling thread, which other programs on a busy machine do not lengthen.
func threadTime(t testing.TB) time.Duration {
	t.Helper()
	const thread = 1 // RUSAGE_THREAD
	var u syscall.Rusage
	if err := syscall.Getrusage(thread, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
