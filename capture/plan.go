package capture

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/stepscope/stepscope/bench"
	"github.com/stepscope/stepscope/knob"
	"github.com/stepscope/stepscope/ledger"
)

// PlanSchema is the version of a plan's JSON.
const PlanSchema = "stepscope.capture-plan/1"

// A Plan is what a run would do.
type Plan struct {
	Schema string     `json:"schema"`
	Steps  []PlanStep `json:"steps"`
	Notes  []string   `json:"notes,omitempty"`
}

// A PlanStep is one thing that would happen. Command is a line for a shell, secrets masked, "" where no program is run.
type PlanStep struct {
	Stage   Stage  `json:"stage"`
	Text    string `json:"text"`
	Command string `json:"command,omitempty"`
}

// resolved is a run with every decision taken.
type resolved struct {
	o        Options
	url      string
	settings knob.Settings
	known    bool // settings were read from the command
	engine   knob.Engine
	argv     []string // the server's, with the hook's options
	env      []string // variables of the user's command and of the hook
	wrapper  []string
	hook     hook
	partial  string
	key      string // of the server's API
	notes    []string
	planning bool // nothing will be started: the program may be missing
}

// MakePlan takes every decision of a run without doing anything, except asking an installed engine for its version.
func MakePlan(ctx context.Context, o Options) (*Plan, error) {
	r, err := resolve(ctx, o, true)
	if err != nil {
		return nil, err
	}
	cfg, closeLoad, err := r.load()
	if err != nil {
		return nil, err
	}
	closeLoad()
	return r.plan(cfg), nil
}

// resolve takes the decisions.
func resolve(ctx context.Context, o Options, planning bool) (*resolved, error) {
	if o.Profiler == "" {
		o.Profiler = Nsys
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Load == nil {
		return nil, usage("no load was given")
	}
	if o.Out == "" {
		return nil, usage("no output folder was given")
	}
	out, err := filepath.Abs(o.Out)
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", o.Out, err)
	}
	r := &resolved{o: o, partial: out + ".partial", engine: o.Engine, planning: planning}
	r.o.Out = out
	if o.URL != "" {
		if len(o.Argv) > 0 {
			return nil, usage("give either a server's command or the URL of a running one")
		}
		u, err := url.Parse(o.URL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, usage("%q is no URL of a server; write http://HOST:PORT", o.URL)
		}
		r.o.Profiler = None
		r.url = strings.TrimSuffix(strings.TrimSuffix(o.URL, "/"), "/v1")
		return r, nil
	}
	if err := r.command(ctx); err != nil {
		return nil, err
	}
	return r, r.profiler()
}

func usage(format string, args ...any) error {
	return &Failure{Stage: Checking, Kind: ErrUsage, Text: fmt.Sprintf(format, args...)}
}

// command reads the server's command.
func (r *resolved) command(ctx context.Context) error {
	argv := r.o.Argv
	if len(argv) == 0 {
		return usage("no server command was given; write it behind --, for example: -- vllm serve MODEL")
	}
	r.env, argv = SplitEnv(argv)
	if len(argv) == 0 {
		return usage("the command holds variables only")
	}
	switch name := filepath.Base(argv[0]); {
	case name == "nsys" || name == "ncu":
		return usage("give the server's own command: %s is put in front of it here", name)
	case name == "docker" || name == "podman" || name == "kubectl" || name == "srun" || name == "ssh":
		return usage("%s starts the server elsewhere, where it cannot be profiled from here: run this program inside, or load a running server with --url", name)
	}
	switch _, err := exec.LookPath(argv[0]); {
	case err != nil && r.planning:
		r.notes = append(r.notes, fmt.Sprintf("%s is not to be found here (%v): the plan is for a machine that has it", argv[0], cause(err)))
	case err != nil:
		return usage("%s: %v", argv[0], cause(err))
	}
	s, err := ParseCommand(r.o.Argv, r.engine)
	if err == nil {
		r.settings, r.known = s, true
		r.notes = append(r.notes, s.Warnings...)
		if r.engine.Name == "" {
			r.engine = s.Engine
		}
	}
	if r.engine.Version == "" {
		r.engine.Version = EngineVersion(ctx, r.engine, argv, r.env)
	}
	r.argv = argv
	if r.known {
		r.settings.Engine = r.engine
		r.key = APIKey(r.settings)
	}
	r.url = ServerURL(r.settings)
	return nil
}

// APIKey returns a key that a server with these settings accepts, "" when it wants none.
func APIKey(s knob.Settings) string {
	v, _ := s.Value("--api-key")
	var keys []string
	if json.Unmarshal([]byte(v), &keys) == nil && len(keys) > 0 {
		return keys[0]
	}
	return v
}

// profiler adds what the profiler needs to command and environment.
func (r *resolved) profiler() error {
	if r.o.Profiler == None {
		return nil
	}
	if !r.known {
		return &Failure{Stage: Checking, Kind: ErrNoHook, Text: "the command starts no server whose profiler hook is known (vllm serve, SGLang): use --profiler none, or profile it by hand"}
	}
	h, err := hookFor(r.o.Profiler, r.engine, filepath.Join(r.partial, "torch"))
	if err != nil {
		return err
	}
	r.hook = h
	s, err := h.apply(r.settings)
	if err != nil {
		return err
	}
	_, r.argv = SplitEnv(s.Argv())
	for _, kv := range h.env {
		name, _, _ := strings.Cut(kv, "=")
		if slices.ContainsFunc(r.env, func(e string) bool { return strings.HasPrefix(e, name+"=") }) {
			continue // the user's own value stays
		}
		if v, ok := os.LookupEnv(name); ok && name == "VLLM_WORKER_MULTIPROC_METHOD" {
			r.notes = append(r.notes, name+"="+v+" is set already and stays")
			continue
		}
		r.env = append(r.env, kv)
	}
	if r.o.Scopes && r.engine.Name == knob.VLLM {
		r.env = append(r.env, "VLLM_NVTX_SCOPES_FOR_PROFILING=1")
	}
	if h.note != "" {
		r.notes = append(r.notes, h.note)
	}
	if r.o.Profiler == Nsys {
		if r.o.Nsys.Path == "" {
			return &Failure{Stage: Checking, Kind: ErrNoProfiler, Text: "Nsight Systems (nsys) is not installed here: install it, name it with --nsys, or use --profiler torch"}
		}
		r.wrapper = r.nsysCommand()
	}
	return nil
}

// nsysCommand is nsys with the options under which a serving engine can be understood; docs/capture.md has the reasons.
func (r *resolved) nsysCommand() []string {
	trace := "cuda,nvtx"
	if r.o.OSRuntime {
		trace += ",osrt"
	}
	graphs := "node"
	if r.o.GraphLevel {
		graphs = "graph"
	}
	cmd := []string{r.o.Nsys.Path, "profile", "-t", trace, "--sample=none", "--cpuctxsw=none", "--cuda-graph-trace=" + graphs,
		"--trace-fork-before-exec=true", "--capture-range=cudaProfilerApi", "--capture-range-end=repeat:1"}
	if r.o.GPUMetrics {
		cmd = append(cmd, "--gpu-metrics-devices=all")
	}
	if r.o.MemoryUsage {
		cmd = append(cmd, "--cuda-memory-usage=true")
	}
	cmd = append(cmd, r.o.NsysArgs...)
	return append(cmd, "-f", "true", "-o", filepath.Join(r.partial, "report"))
}

// load makes the configuration of a burst.
func (r *resolved) load() (bench.Config, func(), error) {
	cfg, closeLoad, err := r.o.Load(r.url)
	if closeLoad == nil {
		closeLoad = func() {}
	}
	if err != nil {
		closeLoad()
		return cfg, func() {}, err
	}
	cfg.URL = r.url
	if cfg.Key == "" && r.key != "" {
		cfg.Key = bench.Secret(r.key)
	}
	if cfg.Requests == 0 {
		cfg.Requests = bench.DefaultRequests
	}
	if cfg.Concurrency == 0 && cfg.Rate == 0 {
		cfg.Concurrency = bench.DefaultConcurrency
	}
	return cfg, closeLoad, nil
}

// plan tells the run in words.
func (r *resolved) plan(cfg bench.Config) *Plan {
	p := &Plan{Schema: PlanSchema, Notes: r.notes}
	add := func(s Stage, command, format string, args ...any) {
		p.Steps = append(p.Steps, PlanStep{s, fmt.Sprintf(format, args...), command})
	}
	if r.o.URL == "" {
		add(Checking, "", "check that %s is free and a GPU is visible", strings.TrimPrefix(r.url, "http://"))
		add(Starting, r.shownCommand(), "start the server and wait for GET %s/health", r.url)
	}
	load := fmt.Sprintf("%d clients", cfg.Concurrency)
	if cfg.Rate > 0 {
		load = fmt.Sprintf("%g requests/s", cfg.Rate)
	}
	if n := warmups(cfg); n > 0 {
		add(WarmingUp, "", "send %d requests to warm up", n)
	}
	add(Measuring, "", "read /metrics, send %d requests (%s), read /metrics: bench.json", cfg.Requests, load)
	if r.o.Profiler != None {
		window := "the time of about 80 decode steps"
		if r.o.Window > 0 {
			window = r.o.Window.String()
		}
		add(Profiling, "", "send the load again; POST /start_profile, wait %s, POST /stop_profile: bench_during_capture.json", window)
	}
	if r.o.URL == "" {
		add(Stopping, "", "end the server and everything it started")
	}
	switch r.o.Profiler {
	case Nsys:
		add(Exporting, ShellLine([]string{r.o.Nsys.Path, "export", "--type", "sqlite", "-o", filepath.Join(r.partial, "profile.sqlite"), "-f", "true", filepath.Join(r.partial, "report.nsys-rep")}),
			"export the report and take environment, host names and output out of it")
	case Torch:
		add(Exporting, "", "take the traces from %s", filepath.Join(r.partial, "torch"))
	}
	add(Writing, "", "write the manifest and rename %s to %s", r.partial, r.o.Out)
	return p
}

// shownCommand is the whole command line as it may be shown.
func (r *resolved) shownCommand() string {
	words := append(append([]string{}, r.env...), r.wrapper...)
	return ShellLine(append(words, r.argv...))
}

// warmups is how many requests are sent before anything is measured.
func warmups(cfg bench.Config) int {
	switch {
	case cfg.Warmup < 0:
		return 0
	case cfg.Warmup > 0:
		return cfg.Warmup
	case cfg.Concurrency > 0:
		return min(cfg.Concurrency, 32)
	}
	return 8
}

var envWord = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)

// SplitEnv parts the variables in front of a command from it.
func SplitEnv(argv []string) (env, rest []string) {
	for len(argv) > 0 && envWord.MatchString(argv[0]) {
		env, argv = append(env, argv[0]), argv[1:]
	}
	return env, argv
}

// ParseCommand reads the settings of a server's command that is given in words.
func ParseCommand(argv []string, eng knob.Engine) (knob.Settings, error) {
	return knob.ParseCommandFor(knobLine(argv), eng)
}

// knobLine is the command as one line, quoted for a shell, secrets included.
func knobLine(argv []string) string {
	quoted := make([]string, len(argv))
	for i, a := range argv {
		quoted[i] = quote(a)
	}
	return strings.Join(quoted, " ")
}

// ShellLine is a command as it may be shown.
func ShellLine(argv []string) string { return knobLine(ledger.Mask(argv)) }

var plain = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// quote quotes a word for a POSIX shell.
func quote(s string) string {
	if plain.MatchString(s) {
		return s
	}
	if name, value, ok := strings.Cut(s, "="); ok && envWord.MatchString(s) {
		return name + "=" + quote(value)
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
