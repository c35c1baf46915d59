//go:build unix

package capture

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// ownSession puts the child and all it starts into a session of its own: a Ctrl-C in the terminal reaches this program
// only, which then ends the children in order.
func ownSession(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

var (
	signalEnd  os.Signal = syscall.SIGTERM
	signalStop os.Signal = os.Interrupt
	signalKill os.Signal = syscall.SIGKILL
)

func signalProcess(pid int, s os.Signal) error { return syscall.Kill(pid, s.(syscall.Signal)) }

// signalGroup signals every process of the child's group.
func signalGroup(pid int, s os.Signal) {
	if err := syscall.Kill(-pid, s.(syscall.Signal)); err != nil && !errors.Is(err, syscall.ESRCH) {
		_ = signalProcess(pid, s)
	}
}

// groupAlive reports whether the child's process group has members left.
func groupAlive(pid int) bool { return syscall.Kill(-pid, 0) == nil }
