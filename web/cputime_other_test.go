//go:build !linux

package web

import (
	"testing"
	"time"
)

var started = time.Now()

// threadTime is wall time where a thread's own is not available.
func threadTime(testing.TB) time.Duration { return time.Since(started) }
