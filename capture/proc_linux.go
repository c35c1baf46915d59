package capture

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// processInfo is one process as /proc tells it.
type processInfo struct {
	pid, parent, group, session int
	start                       uint64 // clock ticks since boot: with the pid it names a process for good
	name                        string // the kernel's 15 bytes
	cpuTicks                    uint64 // user and system time of all threads
	rssPages                    int64
	zombie                      bool
}

// clockTicks is USER_HZ, which is 100 on every Linux that runs Go.
const clockTicks = 100

// processes lists all processes that can be read, nil where the system has no /proc.
func processes() []processInfo {
	d, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil
	}
	var out []processInfo
	for _, n := range names {
		pid, err := strconv.Atoi(n)
		if err != nil {
			continue
		}
		if p, ok := readProcess(pid); ok {
			out = append(out, p)
		}
	}
	return out
}

func readProcess(pid int) (processInfo, bool) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return processInfo{}, false
	}
	// pid (name) state ppid ...: the name may hold spaces and brackets, so fields count from the last bracket.
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return processInfo{}, false
	}
	f := strings.Fields(string(b[end+1:]))
	if len(f) < 22 {
		return processInfo{}, false
	}
	num := func(i int) int64 { v, _ := strconv.ParseInt(f[i], 10, 64); return v }
	return processInfo{
		pid: pid, name: string(b[open+1 : end]), zombie: f[0] == "Z" || f[0] == "X",
		parent: int(num(1)), group: int(num(2)), session: int(num(3)),
		cpuTicks: uint64(num(11) + num(12)), start: uint64(num(19)), rssPages: num(21),
	}, true
}

// marked reports whether the process was started with mark in its environment. Programs that write a title over their
// environment lose it, so a mark found is proof and none found is not.
func marked(pid int, mark string) bool {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	if err != nil {
		return false
	}
	for v := range bytes.SplitSeq(b, []byte{0}) {
		if string(v) == mark {
			return true
		}
	}
	return false
}

// arguments returns the command line of a process as it shows itself.
func arguments(pid int) []string {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err != nil || len(b) == 0 {
		return nil
	}
	return strings.Split(strings.TrimRight(string(b), "\x00"), "\x00")
}
