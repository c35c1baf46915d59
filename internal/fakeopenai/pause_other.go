//go:build !linux

package fakeopenai

import "time"

func pause(d time.Duration) { time.Sleep(d) }
