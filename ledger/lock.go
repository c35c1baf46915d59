package ledger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// errBusy is returned by tryLock when another holder has the lock.
var errBusy = errors.New("another process is writing")

// lockFile takes the advisory lock on path, exclusive or shared, and waits for it.
// The kernel gives the lock up when the holder dies, so it never goes stale; the
// file stays, empty.
func lockFile(ctx context.Context, path string, exclusive bool, timeout time.Duration) (func(), error) {
	flag := os.O_RDONLY
	if exclusive {
		flag = os.O_RDWR | os.O_CREATE
	}
	f, err := os.OpenFile(path, flag, 0o644)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(timeout)
	for wait := time.Millisecond; ; wait = min(2*wait, 20*time.Millisecond) {
		err := tryLock(f, exclusive)
		if err == nil {
			return func() { f.Close() }, nil // closing unlocks
		}
		if !errors.Is(err, errBusy) {
			f.Close()
			return nil, err
		}
		if time.Now().After(deadline) {
			f.Close()
			return nil, fmt.Errorf("%w, and has been for %v", err, timeout)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}
