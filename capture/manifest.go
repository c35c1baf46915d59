package capture

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/stepscope/stepscope/bench"
	"github.com/stepscope/stepscope/compare"
	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/ledger"
)

// ManifestSchema is the version of manifest.json.
const ManifestSchema = "stepscope.capture/1"

// ManifestName is the file that makes a folder a capture: it is written last.
const ManifestName = "manifest.json"

// SamplesName is the file of samples in a capture folder.
const SamplesName = "samples.json"

// Manifest says how a capture was made and what belongs to it. Secrets are masked.
type Manifest struct {
	Schema   string        `json:"schema"`
	Tool     diagnose.Tool `json:"tool"`
	Created  time.Time     `json:"created"`
	Command  []string      `json:"command,omitempty"` // the server's, with the hook's options
	URL      string        `json:"url,omitempty"`     // of a server that was running already
	Wrapper  []string      `json:"wrapper,omitempty"`
	Env      []string      `json:"environment,omitempty"` // set for the server, and the engine's own variables that it inherited
	Engine   string        `json:"engine,omitempty"`      // "vllm@0.24.0"
	Profiler ProfilerInfo  `json:"profiler"`
	GPUs     []GPUInfo     `json:"gpus"`
	Host     HostInfo      `json:"host"`
	Load     LoadInfo      `json:"load"`
	StartupS *float64      `json:"startup_s,omitempty"`
	Window   *WindowInfo   `json:"window,omitempty"`
	Stages   []StageTime   `json:"stages"`
	Stripped *Stripped     `json:"stripped,omitempty"`
	Files    []FileInfo    `json:"files"`
	Warnings []string      `json:"warnings"`
}

// ProfilerInfo names the profiler.
type ProfilerInfo struct {
	Kind    Profiler `json:"kind"`
	Version string   `json:"version,omitempty"`
}

// HostInfo describes the machine without naming it.
type HostInfo struct {
	OS    string `json:"os"`
	Arch  string `json:"arch"`
	CPU   string `json:"cpu,omitempty"`
	Cores int    `json:"cores"`
}

// LoadInfo is the load of both bursts.
type LoadInfo struct {
	API         string  `json:"api"`
	Model       string  `json:"model,omitempty"`
	Requests    int     `json:"requests"`
	Concurrency int     `json:"concurrency"`
	Rate        float64 `json:"rate_per_s,omitempty"`
	InputLen    int     `json:"input_len,omitempty"`
	OutputLen   int     `json:"output_len,omitempty"`
	Prompts     string  `json:"prompts"`
	Warmup      int     `json:"warm_up_requests"`
	Seed        uint64  `json:"seed"`
	ProfiledN   int     `json:"profiled_requests,omitempty"`
}

// WindowInfo is the profiled window. Times are from the start of the profiled burst.
type WindowInfo struct {
	StartMs int64 `json:"start_ms"` // /start_profile was sent
	ReadyMs int64 `json:"ready_ms"` // it was answered
	StopMs  int64 `json:"stop_ms"`  // /stop_profile was sent
	DoneMs  int64 `json:"done_ms"`  // it was answered
	AskedMs int64 `json:"asked_ms"`
	BurstMs int64 `json:"burst_ms"` // length of the burst
}

// FileInfo is a file of the folder.
type FileInfo struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// ReadManifest reads manifest.json of a capture folder. A folder without one is fs.ErrNotExist.
func ReadManifest(fsys fs.FS) (*Manifest, error) {
	f, err := fsys.Open(ManifestName)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 16<<20))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", ManifestName, err)
	}
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("reading %s: %w", ManifestName, err)
	}
	if m.Schema != ManifestSchema {
		return nil, fmt.Errorf("reading %s: schema %q, want %s", ManifestName, m.Schema, ManifestSchema)
	}
	return &m, nil
}

// Verify holds the files of a capture folder against its manifest and returns what differs.
func (m *Manifest) Verify(fsys fs.FS) (problems []string) {
	for _, want := range m.Files {
		f, err := fsys.Open(want.Name)
		if err != nil {
			problems = append(problems, want.Name+": missing")
			continue
		}
		h := sha256.New()
		_, err = io.Copy(h, f)
		f.Close()
		switch {
		case err != nil:
			problems = append(problems, want.Name+": "+err.Error())
		case hex.EncodeToString(h.Sum(nil)) != want.SHA256:
			problems = append(problems, want.Name+": changed since the capture")
		}
	}
	return problems
}

// Facts are the circumstances of the capture for a comparison.
func (m *Manifest) Facts() []compare.Fact {
	var out []compare.Fact
	add := func(g compare.Circumstance, name, v string) {
		if v != "" {
			out = append(out, compare.Fact{Group: g, Name: name, Value: v})
		}
	}
	add(compare.OfSoftware, "engine", strings.ReplaceAll(m.Engine, "@", " "))
	if len(m.GPUs) > 0 {
		add(compare.OfSoftware, "NVIDIA driver", m.GPUs[0].Driver)
	}
	add(compare.OfHardware, "CPU", m.Host.CPU)
	add(compare.OfHardware, "CPU cores", fmt.Sprint(m.Host.Cores))
	add(compare.OfLoad, "prompts", m.Load.Prompts)
	add(compare.OfCapture, "profiler", strings.TrimSpace(string(m.Profiler.Kind)+" "+m.Profiler.Version))
	return out
}

// Sidecar reads what a capture folder holds beside profile and server evidence: the manifest and what was sampled while
// the unprofiled burst ran. Either may be nil: folders made by hand have none. The folder of a capture that did not finish
// is an error: nothing in it should be taken for a result.
func Sidecar(fsys fs.FS) (*Manifest, *compare.Usage, error) {
	if _, err := fs.Stat(fsys, incompleteName); err == nil {
		return nil, nil, fmt.Errorf("the capture was stopped or failed before it was whole (%s): take it again", incompleteName)
	}
	m, err := ReadManifest(fsys)
	if errors.Is(err, fs.ErrNotExist) {
		m, err = nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	f, err := fsys.Open(SamplesName)
	if errors.Is(err, fs.ErrNotExist) {
		return m, startupOnly(m), nil
	}
	if err != nil {
		return m, nil, fmt.Errorf("reading %s: %w", SamplesName, err)
	}
	defer f.Close()
	s, err := ReadSamples(f)
	if err != nil {
		return m, nil, fmt.Errorf("reading %s: %w", SamplesName, err)
	}
	u := s.Usage(Measuring)
	if u == nil {
		return m, startupOnly(m), nil
	}
	if m != nil {
		u.StartupS = m.StartupS
	}
	return m, u, nil
}

func startupOnly(m *Manifest) *compare.Usage {
	if m == nil || m.StartupS == nil {
		return nil
	}
	return &compare.Usage{StartupS: m.StartupS}
}

func loadInfo(cfg bench.Config, warm int) LoadInfo {
	l := LoadInfo{API: string(cfg.API), Model: cfg.Model, Requests: cfg.Requests, Concurrency: cfg.Concurrency, Rate: cfg.Rate, OutputLen: cfg.OutputLen,
		Warmup: warm, Seed: cfg.Seed, Prompts: "random"}
	if l.API == "" {
		l.API = string(bench.Completions)
	}
	if cfg.Prompts.Text != nil || cfg.Prompts.JSONL != nil {
		l.Prompts = "file " + filepath.Base(cfg.Prompts.Name)
	} else if l.InputLen = cfg.Prompts.InputLen; l.InputLen == 0 {
		l.InputLen = bench.DefaultInputLen
	}
	if l.OutputLen == 0 && cfg.Prompts.JSONL == nil { // only such a file brings lengths
		l.OutputLen = bench.DefaultOutputLen
	}
	return l
}

func hostInfo() HostInfo {
	h := HostInfo{OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.NumCPU()}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for l := range bytes.Lines(b) {
			if name, v, ok := strings.Cut(string(l), ":"); ok && strings.TrimSpace(name) == "model name" {
				h.CPU = strings.TrimSpace(v)
				break
			}
		}
	}
	return h
}

// maskedEnv are the variables that were set for the server and those of the engine that it inherited.
func maskedEnv(set []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, kv := range append(slices.Clone(set), os.Environ()...) {
		name, _, _ := strings.Cut(kv, "=")
		if seen[name] {
			continue
		}
		seen[name] = true
		own := slices.Contains(set, kv)
		if own || keepVariable(kv) {
			out = append(out, ledger.Mask([]string{kv})[0])
		}
	}
	slices.Sort(out)
	return out
}

// writeManifest digests the files of a folder and writes its manifest, last and whole.
func writeManifest(dir string, m *Manifest) error {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || name == incompleteName || name == ManifestName {
			return err
		}
		info, err := digestFile(path)
		info.Name = filepath.ToSlash(name)
		m.Files = append(m.Files, info)
		return err
	})
	if err != nil {
		return fmt.Errorf("reading %s: %w", dir, err)
	}
	slices.SortFunc(m.Files, func(a, b FileInfo) int { return strings.Compare(a.Name, b.Name) })
	return writeJSON(filepath.Join(dir, ManifestName), m)
}

func digestFile(path string) (FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return FileInfo{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return FileInfo{Bytes: n, SHA256: hex.EncodeToString(h.Sum(nil))}, err
}

// writeJSON writes a file at once: it is there whole or not at all.
func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", path, cause(err))
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
