package fakeopenai

import (
	"syscall"
	"time"
)

// pause sleeps for a short time. The runtime's timers are good for a millisecond; two
// thousand tokens a second need better.
func pause(d time.Duration) {
	ts := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&ts, nil)
}
