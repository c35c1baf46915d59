package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/profile"
)

// TestFlagsDoNotOverruleTheCapture: what the capture says of itself is believed, and a flag that says another thing is
// named in every format.
func TestFlagsDoNotOverruleTheCapture(t *testing.T) {
	read := func(args ...string) (d diagnose.Diagnosis, text string) {
		t.Helper()
		for _, format := range []string{"json", "text"} {
			code, out, errs := program(t, append([]string{"diagnose", "--format", format}, args...)...)
			if code != 0 {
				t.Fatalf("%v: exit %d: %s", args, code, errs)
			}
			text = out
			if format == "json" {
				var j struct {
					Profile diagnose.ProfileInfo
					Engine  diagnose.EngineFacts
					Limits  diagnose.Limits
				}
				if err := json.Unmarshal([]byte(out), &j); err != nil {
					t.Fatal(err)
				}
				d.Profile, d.Engine, d.Limits = j.Profile, j.Engine, j.Limits
			}
		}
		return d, strings.Join(strings.Fields(text), " ")
	}
	plain, _ := read()
	for _, c := range []struct {
		name string
		args []string
		want []string // in the notes; none = no note
	}{
		{"another GPU", []string{"--gpu", "A100"}, []string{"--gpu A100 was given, but the capture says NVIDIA H100 80GB HBM3"}},
		{"another form factor", []string{"--gpu", "H100 PCIe"}, []string{"--gpu H100 PCIe was given, but the capture says NVIDIA H100 80GB HBM3"}},
		{"the same GPU", []string{"--gpu", "H100"}, nil},
		{"another version", []string{"--engine", "vllm@0.9.0"}, []string{"--engine vllm@0.9.0 was given, but the capture says vllm@0.24.0 (server.log)"}},
		{"another engine", []string{"--engine", "sglang"}, []string{"--engine sglang was given, but the capture says vllm@0.24.0"}},
		{"the same engine", []string{"--engine", "vllm@0.24"}, nil},
		{"the engine without a version", []string{"--engine", "vllm"}, nil},
		{"both", []string{"--engine", "vllm@0.9.0", "--gpu", "L4"}, []string{"--engine vllm@0.9.0 was given", "--gpu L4 was given"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, text := read(c.args...)
			if d.Limits.GPU != plain.Limits.GPU || d.Engine.Version != plain.Engine.Version {
				t.Errorf("the flag changed %s, %s to %s, %s", plain.Limits.GPU, plain.Engine.Version, d.Limits.GPU, d.Engine.Version)
			}
			var notes []string
			for _, q := range d.Profile.Quality {
				if q.ID == "flag-contradicted" {
					notes = append(notes, q.Text)
				}
			}
			if len(notes) != len(c.want) {
				t.Fatalf("notes %q, want %q", notes, c.want)
			}
			for i, w := range c.want {
				if !strings.Contains(notes[i], w) || !strings.Contains(text, w) {
					t.Errorf("note %q lacks %q, or the text does", notes[i], w)
				}
			}
		})
	}
}

// TestEngineFlagBesideAnotherServersLog: a log that the capture contradicts says nothing against --engine.
func TestEngineFlagBesideAnotherServersLog(t *testing.T) {
	log := filepath.Join(t.TempDir(), "server.log")
	line := `INFO 01-01 00:00:00 [core.py:93] Initializing a V1 LLM engine (v0.11.0) with config: model='/models/m', enforce_eager=False` + "\n"
	if err := os.WriteFile(log, []byte(line), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, errs := program(t, "diagnose", "-f", "json", "--server-log", log, "--engine", "vllm@0.24.0")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	if !strings.Contains(out, "left out") || strings.Contains(out, "flag-contradicted") {
		t.Error("the log is not set aside, or the flag is measured against it")
	}
}

// TestFlagsFillWhatIsMissing: without a name in the capture, the flag's is taken and there is nothing to contradict.
func TestFlagsFillWhatIsMissing(t *testing.T) {
	for _, c := range []struct {
		name    string
		devices []profile.Device
	}{
		{"no devices", nil},
		{"no name", []profile.Device{{SMs: 132}}},
		{"unknown name", []profile.Device{{Name: "Vendor X 9000"}}},
		{"device not in the list", []profile.Device{{Name: "NVIDIA H100 80GB HBM3", NotInDeviceList: true}}},
	} {
		s, m, notes, err := sheet(&profile.Profile{Devices: c.devices}, "A100 40GB")
		if err != nil || !m.OK || !strings.Contains(s.Name, "A100") || notes != nil {
			t.Errorf("%s: %s, %v, %v, %v", c.name, s.Name, m.OK, notes, err)
		}
	}
}

// What the README shows is what the program prints.
func TestReadmeShowsTheDemo(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, block, ok := strings.Cut(string(b), "```\nVERDICT\n")
	block, _, end := strings.Cut(block, "```")
	if !ok || !end {
		t.Fatal("the README shows no verdict")
	}
	code, stdout, stderr := program(t, "diagnose")
	if code != exitOK {
		t.Fatalf("code %d\n%s", code, stderr)
	}
	for line := range strings.Lines(block) {
		if s := strings.TrimSpace(line); s != "..." && !strings.Contains(stdout, "\n"+line) {
			t.Errorf("not in the output: %q", strings.TrimRight(line, "\n"))
		}
	}
}
