//go:build !unix

package capture

import (
	"os"
	"os/exec"
)

func ownSession(*exec.Cmd) {}

var (
	signalEnd  os.Signal = os.Kill
	signalStop os.Signal = os.Kill
	signalKill os.Signal = os.Kill
)

func signalProcess(pid int, s os.Signal) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Signal(s)
}

func signalGroup(pid int, s os.Signal) { _ = signalProcess(pid, s) }

func groupAlive(int) bool { return false }
