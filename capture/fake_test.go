//go:build unix

package capture_test

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stepscope/stepscope/bench"
	"github.com/stepscope/stepscope/capture"
	"github.com/stepscope/stepscope/internal/fakeengine"
)

func TestMain(m *testing.M) {
	fakeengine.Main()
	os.Exit(m.Run())
}

const secret = fakeengine.Secret

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// options are those of a quick capture of the fake server.
func options(t *testing.T, mode string) capture.Options {
	t.Helper()
	t.Cleanup(capture.Shorten(5*time.Second, 2*time.Second, 500*time.Millisecond))
	bin := fakeengine.Install(t)
	t.Setenv("FAKE_SERVER", mode)
	t.Setenv("FAKE_MARK", filepath.Join(t.TempDir(), "mark"))
	port := freePort(t)
	return capture.Options{
		Argv: []string{filepath.Join(bin, "vllm"), "serve", "/m", "--port", strconv.Itoa(port), "--hf-token", secret},
		Out:  filepath.Join(t.TempDir(), "out"), Nsys: capture.Program{Path: filepath.Join(bin, "nsys"), Version: "2025.3.2"},
		NvidiaSMI: filepath.Join(bin, "nvidia-smi"), Window: 100 * time.Millisecond, Startup: 20 * time.Second,
		Load: func(string) (bench.Config, func(), error) {
			return bench.Config{Requests: 6, Concurrency: 3, OutputLen: 20, Prompts: bench.Prompts{InputLen: 8}, Seed: 1}, nil, nil
		},
	}
}
