package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/demo"
	"github.com/stepscope/stepscope/knob"
)

// TestServingEvidence: flags replace files of the folder; a broken file is an error where it was named, and a warning
// where it only lies there.
func TestServingEvidence(t *testing.T) {
	folder, other := t.TempDir(), t.TempDir()
	if err := os.CopyFS(folder, demo.FS()); err != nil {
		t.Fatal(err)
	}
	write := func(dir, name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	bench, err := os.ReadFile(filepath.Join(folder, "bench.json"))
	if err != nil {
		t.Fatal(err)
	}
	whole, broken := write(other, "whole.json", string(bench)), write(other, "broken.json", "{")
	fine := t.TempDir()
	if err := os.CopyFS(fine, demo.FS()); err != nil {
		t.Fatal(err)
	}
	write(folder, "bench.json", "{")
	for _, c := range []struct {
		name    string
		folder  string
		flags   servingFlags
		bench   string // base name of the benchmark that was read, "" = none
		log     bool
		warned  string
		errText string
	}{
		{"folder", fine, servingFlags{}, "bench.json", true, "", ""},
		{"demo", "", servingFlags{}, "bench.json", true, "", ""},
		{"flag before folder", fine, servingFlags{Bench: whole}, "whole.json", true, "", ""},
		{"flag before a broken file", folder, servingFlags{Bench: whole}, "whole.json", true, "", ""},
		{"broken file in the folder", folder, servingFlags{}, "", true, "bench.json", ""},
		{"broken file in the folder, another named", folder, servingFlags{ServerLog: filepath.Join(fine, "server.log")}, "", true, "bench.json", ""},
		{"broken file named", fine, servingFlags{Bench: broken}, "", false, "", "broken.json"},
		{"missing file named", fine, servingFlags{Bench: filepath.Join(other, "none.json")}, "", false, "", "none.json"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := &input{folder: c.folder, demo: c.folder == ""}
			err := in.loadServing(c.flags)
			if c.errText != "" {
				if err == nil || !strings.Contains(err.Error(), c.errText) {
					t.Errorf("error %v, want one of %s", err, c.errText)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if in.run.Bench != nil {
				got = filepath.Base(in.run.Bench.Source.File)
			}
			if got != c.bench || (in.run.Log != nil) != c.log {
				t.Errorf("benchmark %q, log %v; want %q, %v", got, in.run.Log != nil, c.bench, c.log)
			}
			warned := ""
			for _, w := range in.run.Warnings {
				if w.ID == "unreadable" {
					warned = filepath.Base(w.Source.File)
				}
			}
			if warned != c.warned {
				t.Errorf("warned of %q, want %q", warned, c.warned)
			}
		})
	}
}

// TestNoOptionsAreKnownSettings: a server that runs without options is not one whose options are unknown.
func TestNoOptionsAreKnownSettings(t *testing.T) {
	set, err := knob.ParseCommand("vllm serve some/model")
	if err != nil {
		t.Fatal(err)
	}
	if got := shownSettings(set); got == nil || len(got) != 0 {
		t.Errorf("%#v for a command without options, want an empty list", got)
	}
	if got := shownSettings(knob.Settings{}); got != nil {
		t.Errorf("%#v where nothing is known, want nil", got)
	}
}
