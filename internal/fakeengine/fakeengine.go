//go:build unix

// Package fakeengine lets a test binary stand in for the programs that a capture or an experiment runs, by the name that
// it is started under: vllm, nsys and nvidia-smi. Variables say how they behave.
//
//	FAKE_SERVER      how the server fails: exit, oom, kv, argument, never, die-in-load, die-in-window, hang-in-window,
//	                 no-hook, stubborn, slow-start
//	FAKE_ITL         time between tokens
//	FAKE_FULL        number of requests from which on the server refuses all with 503
//	FAKE_MARK        file that tells the profiler that a window was opened
//	FAKE_ENGINE_PID  file for the process id of an engine process in a session of its own
//	FAKE_NSYS        no-report, qdstrm, no-export, slow-export
//	FAKE_SMI         none
//
// Of the server's options, --max-num-seqs 4 triples the time between tokens, --quantization fp8 leaves a third of it and
// gives other answers, --kv-cache-dtype fp8 ends at the start for lack of memory, and --scheduling-policy priority dies
// under load.
package fakeengine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/stepscope/stepscope/internal/fakeopenai"
)

// Main plays the program that the test binary was started as, and does not return then. Call it first in TestMain.
func Main() {
	switch filepath.Base(os.Args[0]) {
	case "vllm":
		server(os.Args[1:])
	case "nsys":
		nsys(os.Args[1:])
	case "nvidia-smi":
		smi(os.Args[1:])
	default:
		return
	}
	os.Exit(0)
}

// Install puts the programs into a folder of the test and returns it.
func Install(t testing.TB) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, n := range []string{"vllm", "nsys", "nvidia-smi"} {
		if err := os.Symlink(self, filepath.Join(dir, n)); err != nil {
			t.Skip("no symbolic links here")
		}
	}
	return dir
}

// Secret is a token that the fakes print, export and are given: it must turn up nowhere.
const Secret = "hf_abcdefghijklmnopqrstuvwxyz0123"

// server is `vllm serve MODEL --port N`. FAKE_SERVER says how it behaves.
func server(args []string) {
	mode := os.Getenv("FAKE_SERVER")
	if len(args) > 0 && args[0] == "engine" { // the engine process: alone in a session of its own, its environment written over
		if len(args) > 1 {
			os.WriteFile(args[1], []byte(strconv.Itoa(os.Getpid())), 0o600)
		}
		signal.Ignore(syscall.SIGTERM)
		time.Sleep(time.Minute)
		os.Exit(0)
	}
	port := "8000"
	if i := slices.Index(args, "--port"); i >= 0 {
		port = args[i+1]
	}
	fmt.Println("(APIServer pid=1) INFO 11-24 06:11:28 [api_server.py:1] vLLM API server version 0.24.0")
	fmt.Println("(APIServer pid=1) INFO 11-24 06:11:28 [utils.py:1] non-default args: {'model': '/m', 'hf_token': '" + Secret + "'}")
	switch mode {
	case "exit":
		fmt.Println("ModuleNotFoundError: No module named 'nothing'")
		os.Exit(1)
	case "oom":
		fmt.Println("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.")
		os.Exit(1)
	case "kv":
		fmt.Println("ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`.")
		os.Exit(1)
	case "argument":
		fmt.Println("vllm: error: unrecognized arguments: --no-such-option")
		os.Exit(2)
	case "never":
		time.Sleep(time.Minute)
		os.Exit(0)
	}
	if pid := os.Getenv("FAKE_ENGINE_PID"); pid != "" {
		c := exec.Command("/proc/self/exe", "engine", pid)
		c.Args[0] = os.Args[0]
		c.Env = []string{"A=B"}
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := c.Start(); err != nil {
			fmt.Println(err)
		}
	}
	itl := 2 * time.Millisecond
	if v, err := time.ParseDuration(os.Getenv("FAKE_ITL")); err == nil {
		itl = v
	}
	option := func(name, value string) bool {
		i := slices.Index(args, name)
		return i >= 0 && i+1 < len(args) && args[i+1] == value || slices.Contains(args, name+"="+value)
	}
	voice := "plain"
	switch {
	case option("--kv-cache-dtype", "fp8"):
		fmt.Println("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.")
		os.Exit(1)
	case option("--scheduling-policy", "priority"):
		mode = "die-in-load"
	case option("--max-num-seqs", "4"):
		itl *= 3
	case option("--quantization", "fp8"):
		itl, voice = itl/3, "fp8"
	}
	fmt.Println("INFO 11-24 06:11:40 [kv_cache_utils.py:1] GPU KV cache size: 450,336 tokens")
	full, err := strconv.Atoi(os.Getenv("FAKE_FULL"))
	if err != nil {
		full = math.MaxInt
	}
	fake := fakeopenai.Start(fakeopenai.Config{Model: "m", TTFT: 3 * time.Millisecond, ITL: itl, APIKey: os.Getenv("FAKE_KEY"),
		Fault: func(n int) fakeopenai.Fault {
			if n >= full {
				return fakeopenai.Fault{Kind: fakeopenai.FaultStatus, Status: 503}
			}
			return fakeopenai.Fault{}
		}})
	mux := http.NewServeMux()
	mux.Handle("/", fake.Config.Handler)
	generate := func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		var q struct {
			Stream bool   `json:"stream"`
			Prompt string `json:"prompt"`
		}
		if json.Unmarshal(b, &q) == nil && !q.Stream {
			json.NewEncoder(w).Encode(map[string]any{"choices": []any{map[string]any{"text": voice + " answer to " + q.Prompt}}})
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(b))
		fake.Config.Handler.ServeHTTP(w, r)
	}
	var n atomic.Int32
	mux.HandleFunc("POST /v1/completions", func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) > 4 && mode == "die-in-load" {
			fmt.Println("RuntimeError: CUDA error: out of memory")
			os.Exit(1)
		}
		generate(w, r)
	})
	hasHook := slices.ContainsFunc(args, func(a string) bool { return strings.Contains(a, "--profiler-config") }) || os.Getenv("VLLM_TORCH_PROFILER_DIR") != ""
	mux.HandleFunc("POST /start_profile", func(w http.ResponseWriter, r *http.Request) {
		if !hasHook || mode == "no-hook" {
			http.NotFound(w, r)
			return
		}
		fmt.Println("(APIServer pid=1) INFO 11-24 06:12:00 Starting profiler...")
		os.WriteFile(os.Getenv("FAKE_MARK"), nil, 0o600)
		if mode == "die-in-window" {
			time.AfterFunc(50*time.Millisecond, func() { os.Exit(3) })
		}
		if mode == "hang-in-window" {
			time.Sleep(30 * time.Second)
		}
	})
	mux.HandleFunc("POST /stop_profile", func(http.ResponseWriter, *http.Request) {
		for _, a := range args {
			var config struct {
				Dir string `json:"torch_profiler_dir"`
			}
			if json.Unmarshal([]byte(a), &config) == nil && config.Dir != "" {
				os.MkdirAll(config.Dir, 0o755)
				os.WriteFile(filepath.Join(config.Dir, "rank0.1.pt.trace.json.gz"), []byte("trace"), 0o600)
			}
		}
	})
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	if mode == "stubborn" {
		signal.Ignore(syscall.SIGTERM, os.Interrupt)
	}
	if mode == "slow-start" {
		time.Sleep(500 * time.Millisecond)
	}
	fmt.Println("INFO: Application startup complete.")
	err = http.Serve(l, mux)
	fmt.Println(err)
}

// nsys is `nsys profile ... -o OUT COMMAND` and `nsys export`.
func nsys(args []string) {
	switch {
	case len(args) == 0:
		os.Exit(1)
	case args[0] == "--version":
		fmt.Println("NVIDIA Nsight Systems version 2025.3.2.474-253236389321v0")
	case args[0] == "profile":
		i := slices.Index(args, "-o")
		out, command := args[i+1], args[i+2:]
		c := exec.Command(command[0], command[1:]...)
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		if err := c.Start(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, os.Interrupt)
		go func() {
			<-stop
			c.Process.Kill()
		}()
		err := c.Wait()
		if _, merr := os.Stat(os.Getenv("FAKE_MARK")); merr == nil && os.Getenv("FAKE_NSYS") != "no-report" {
			name := out + ".nsys-rep"
			if os.Getenv("FAKE_NSYS") == "qdstrm" {
				name = out + ".qdstrm"
			}
			os.WriteFile(name, []byte("report with "+Secret), 0o600)
		}
		if err != nil {
			os.Exit(1)
		}
	case args[0] == "export":
		if os.Getenv("FAKE_NSYS") == "no-export" {
			fmt.Println("ERROR: the importer lacks a library")
			os.Exit(1)
		}
		if os.Getenv("FAKE_NSYS") == "slow-export" {
			time.Sleep(20 * time.Second)
		}
		writeExport(args[slices.Index(args, "-o")+1])
	}
}

// writeExport makes a small export that holds what must not travel.
func writeExport(path string) {
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	defer conn.Close()
	err = sqlitex.ExecuteScript(conn, `
CREATE TABLE StringIds(id INTEGER NOT NULL PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO StringIds VALUES (1, 'gemm'), (2, 'cudaLaunchKernel_v7000'), (3, 'output of the server `+Secret+`'), (4, 'stdout.log'), (5, 'foreign-thread'), (6, 'VLLM::EngineCor'), (7, 'shared text');
CREATE TABLE META_DATA_CAPTURE(name TEXT NOT NULL, value TEXT);
INSERT INTO META_DATA_CAPTURE VALUES ('PROCESS_0:ENVIRONMENT_VARIABLE', 'HF_TOKEN=`+Secret+`'), ('PROCESS_0:ENVIRONMENT_VARIABLE', 'HOME=/home/somebody'),
 ('PROCESS_0:ENVIRONMENT_VARIABLE', 'VLLM_WORKER_MULTIPROC_METHOD=spawn'), ('PROCESS_0:ENVIRONMENT_VARIABLE', 'VLLM_API_KEY=abc'), ('PROCESS_0:COMMAND', 'vllm'),
 ('PROCESS_0:ARGUMENT_10', '--api-key'), ('PROCESS_0:ARGUMENT_11', 'topsecretvalue'), ('PROCESS_0:WORKING_DIR', '/home/somebody'), ('PROCESS_0:USER_NAME', 'somebody'),
 ('PROCESS_0:CUDA_GRAPH_TRACE_OPTIONS:MODE', 'Node'), ('CAPTURE_EVENT_TYPE', 'Cuda'), ('SOMETHING', 'Authorization: Bearer abcdefghijklmnop');
CREATE TABLE META_DATA_EXPORT(name TEXT NOT NULL, value TEXT);
INSERT INTO META_DATA_EXPORT VALUES ('EXPORT_PRODUCT_VERSION', '2025.3.2.0'), ('EXPORT_SCHEMA_VERSION', '3.20.3'), ('EXPORT_HOST', 'hostname-of-mine'), ('EXPORT_PARAM_INPUT_PATH_ABS', '/home/somebody/x');
CREATE TABLE TARGET_INFO_SYSTEM_ENV(globalVid INTEGER, devStateName TEXT NOT NULL, name TEXT NOT NULL, nameEnum INTEGER NOT NULL, value TEXT NOT NULL);
INSERT INTO TARGET_INFO_SYSTEM_ENV VALUES (1, 'x', 'NvDriverVersion', 205, '580.1'), (1, 'x', 'HostName', 9, 'hostname-of-mine'), (1, 'x', 'IpAddress', 9, '10.1.2.3');
CREATE TABLE ProcessStreams(globalPid INTEGER NOT NULL, filenameId INTEGER NOT NULL, contentId INTEGER NOT NULL);
INSERT INTO ProcessStreams VALUES (16777216, 4, 3), (16777216, 7, 3);
CREATE TABLE PROCESSES(globalPid INTEGER, pid INTEGER, name TEXT);
INSERT INTO PROCESSES VALUES (16777216, 1, 'VLLM::EngineCor'), (33554432, 2, 'somebodys-browser');
CREATE TABLE ThreadNames(nameId INTEGER NOT NULL, priority INTEGER, globalTid INTEGER);
INSERT INTO ThreadNames VALUES (6, 0, 16777217), (5, 0, 33554433);
CREATE TABLE CUPTI_ACTIVITY_KIND_RUNTIME(start INTEGER, end INTEGER, eventClass INTEGER, globalTid INTEGER, correlationId INTEGER, nameId INTEGER, returnValue INTEGER, callchainId INTEGER);
INSERT INTO CUPTI_ACTIVITY_KIND_RUNTIME VALUES (100, 200, 0, 16777217, 1, 2, 0, NULL);
CREATE TABLE NVTX_EVENTS(start INTEGER, end INTEGER, eventType INTEGER, text TEXT, globalTid INTEGER, textId INTEGER);
INSERT INTO NVTX_EVENTS VALUES (10, 20, 59, NULL, 16777217, 7);
CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL(start INTEGER, end INTEGER, deviceId INTEGER, contextId INTEGER, streamId INTEGER, correlationId INTEGER, globalPid INTEGER, demangledName INTEGER, shortName INTEGER, mangledName INTEGER, gridX INTEGER, gridY INTEGER, gridZ INTEGER, blockX INTEGER, blockY INTEGER, blockZ INTEGER);
INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (300, 900, 0, 1, 7, 1, 16777216, 1, 1, 1, 1, 1, 1, 32, 1, 1);
`, nil)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// smi is nvidia-smi with one GPU, whose memory grows once the server is there.
func smi(args []string) {
	if os.Getenv("FAKE_SMI") == "none" {
		fmt.Println("No devices were found")
		os.Exit(6)
	}
	if i := slices.Index(args, "-lms"); i >= 0 {
		for n := 0; ; n++ {
			fmt.Printf("0, %d, 40, %d, 512.25, 1980, 2619, [N/A]\n", 50+n%3, min(1000+n*300, 2000))
			time.Sleep(20 * time.Millisecond)
		}
	}
	fmt.Println("0, NVIDIA H100 80GB HBM3, 81559, 580.159.04")
}
