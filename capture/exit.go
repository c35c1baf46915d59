package capture

import (
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/stepscope/stepscope/ledger"
)

// exits are lines of a server's log that tell why it ended, the most telling first.
var exits = []struct {
	re   *regexp.Regexp
	kind error
	text string
}{
	{regexp.MustCompile(`(?i)torch\.(?:cuda\.)?OutOfMemoryError|CUDA out of memory|cudaErrorMemoryAllocation|CUDA error: out of memory|HIP out of memory`), ErrOutOfMemory,
		"the GPU's memory is too small, or another process holds it: lower --gpu-memory-utilization or --max-model-len, use a smaller or quantised model, or free the GPU"},
	{regexp.MustCompile(`(?i)No available memory for the cache blocks|larger than the (?:available KV cache memory|maximum number of tokens that can be stored in KV cache)|KV cache is needed, which is larger`), ErrOutOfMemory,
		"no memory is left for the KV cache: raise --gpu-memory-utilization, lower --max-model-len, or use a smaller or quantised model"},
	{regexp.MustCompile(`(?i)Free memory on device .* is less than desired GPU memory utilization`), ErrOutOfMemory,
		"another process holds the GPU's memory: end it, or lower --gpu-memory-utilization"},
	{regexp.MustCompile(`(?i)address already in use|errno 98|EADDRINUSE`), ErrPortTaken, "another program took the port: give the server another --port"},
	{regexp.MustCompile(`(?i)error: unrecognized arguments: (.*)|error: argument .*|No such option`), ErrUsage, "the server does not know an option of the command"},
	{regexp.MustCompile(`(?i)No CUDA GPUs are available|no CUDA-capable device|Found no NVIDIA driver|Failed to infer device type|libcuda\.so`), ErrNoGPU, "the server sees no GPU"},
	{regexp.MustCompile(`(?i)ModuleNotFoundError: No module named '([^']+)'`), ErrServerExited, "a Python module is missing"},
	{regexp.MustCompile(`(?i)is not a local folder and is not a valid model identifier|Repository Not Found|401 Client Error|GatedRepoError|OSError: .*config\.json`), ErrServerExited, "the model could not be loaded: check its name and the access to it"},
	{regexp.MustCompile(`(?i)\bKilled\b|signal: killed|exit code -9`), ErrServerExited, "the system killed it, probably for lack of host memory"},
}

// diagnoseExit reads the end of a log for the reason of an exit.
func diagnoseExit(log string) (text string, kind error) {
	tail := readTail(log, 1<<20)
	for _, e := range exits {
		if e.re.MatchString(tail) {
			return e.text, e.kind
		}
	}
	return "", ErrServerExited
}

var (
	ansi     = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)
	controls = regexp.MustCompile(`[\x00-\x08\x0b-\x1f\x7f]`)
)

// readTail returns the last n bytes of a file as lines without colours, carriage returns taken as line ends.
func readTail(file string, n int64) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > n {
		if _, err := f.Seek(-n, io.SeekEnd); err != nil {
			return ""
		}
	}
	b, err := io.ReadAll(io.LimitReader(f, n))
	if err != nil {
		return ""
	}
	s := strings.ToValidUTF8(strings.ReplaceAll(string(b), "\r", "\n"), "?")
	return controls.ReplaceAllString(ansi.ReplaceAllString(s, ""), "?")
}

// logTail returns the last n lines of a log as they may be shown.
func logTail(file string, n int) []string {
	var lines []string
	for _, l := range strings.Split(readTail(file, 64<<10), "\n") {
		if l = strings.TrimSpace(l); l != "" {
			lines = append(lines, l)
		}
	}
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	for i, l := range lines {
		lines[i] = shown(l, 300)
	}
	return lines
}

func lastLine(file string) string {
	if t := logTail(file, 1); len(t) == 1 {
		return t[0]
	}
	return ""
}

// shown masks secrets in a text and bounds its length.
func shown(s string, n int) string {
	s = ledger.MaskText(s)
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
