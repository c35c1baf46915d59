//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package ledger

import (
	"errors"
	"os"
)

// tryLock refuses: without a lock two writers could interleave.
func tryLock(*os.File, bool) error { return errors.ErrUnsupported }
