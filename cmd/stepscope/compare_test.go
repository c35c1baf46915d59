package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func capturePath(parts ...string) string {
	return filepath.Join(append([]string{"..", "..", "testdata", "captures"}, parts...)...)
}

func TestCompareFailsOnlyForWhatCanBeCompared(t *testing.T) {
	for _, c := range []struct {
		before, after string
		code          int
		verdict       string
		summary       string
	}{
		{capturePath("kvsmall-A"), capturePath("batched256-E"), exitOK, "not comparable", "The loads differ (clients "},
		{capturePath("kvsmall-A", "profile.sqlite.zst"), capturePath("leak1b-J", "profile.sqlite.zst"), exitOK, "", "The batches differ (decode steps of "},
		{capturePath("leak1b-J"), capturePath("guard8b-J"), exitOK, "not comparable", "A different model (llama1b and llama8b): nothing about the server"},
		{capturePath("ship1b-J"), capturePath("guard8b-J"), exitOK, "not comparable", "A different model"},
		{capturePath("runner1_1b-J"), capturePath("ship1b-J"), exitFinding, "worse", "Worse: "},
	} {
		code, stdout, stderr := program(t, "compare", c.before, c.after, "--format", "json", "--fail-on", "regression")
		var got struct {
			Verdict, Summary string
			Regressions      []string
			Before, After    struct{ Name string }
		}
		if err := json.Unmarshal([]byte(stdout), &got); err != nil {
			t.Fatalf("%v\n%s", err, stderr)
		}
		if code != c.code || c.verdict != "" && got.Verdict != c.verdict || !strings.HasPrefix(got.Summary, c.summary) {
			t.Errorf("%s and %s: code %d, %s: %s (worse: %v)", c.before, c.after, code, got.Verdict, got.Summary, got.Regressions)
		}
		if got.Before.Name == got.After.Name || strings.Contains(got.Before.Name, "profile") {
			t.Errorf("sides are called %s and %s", got.Before.Name, got.After.Name)
		}
	}
}

func TestCompareNamesTheVerdictInWords(t *testing.T) {
	_, stdout, _ := program(t, "compare", capturePath("runner1_1b-J"), capturePath("ship1b-J"))
	verdict, _, _ := strings.Cut(stdout, "WHAT DIFFERS")
	if !strings.Contains(verdict, "Got worse: ") || strings.Contains(verdict, "_per_") || strings.Contains(verdict, "_ms") || strings.Contains(verdict, "benchmark.") {
		t.Errorf("verdict:\n%s", verdict)
	}
}

// A profile that cannot be read is an error, as it is for diagnose; a folder without any is a side of its own.
func TestCompareOfABrokenProfile(t *testing.T) {
	good := capturePath("leak1b-J")
	folder := func(profile string, content []byte) string {
		dir := t.TempDir()
		bench, err := os.ReadFile(filepath.Join(good, "bench.json"))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "bench.json"), bench, 0o666)
		}
		if err == nil && profile != "" {
			err = os.WriteFile(filepath.Join(dir, profile), content, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
	header := append([]byte("SQLite format 3\x00\x10\x00\x01\x01\x00\x40\x20\x20\x00\x00\x00\x01\x00\x00\x10\x00"), make([]byte, 5000)...)
	for _, c := range []struct {
		profile string
		content []byte
	}{
		{"profile.sqlite", nil}, {"profile.sqlite", header}, {"profile.sqlite.zst", []byte("\x28\xb5\x2f\xfd")}, {"mine.sqlite", []byte("no")}, {"profile.nsys-rep", nil}, {"trace.json.gz", nil},
	} {
		dir := folder(c.profile, c.content)
		_, _, want := program(t, "diagnose", dir)
		for _, args := range [][]string{{dir, good}, {good, dir}} {
			code, stdout, stderr := program(t, "compare", args[0], args[1])
			if code != exitInput || stdout != "" || stderr != want || !strings.Contains(stderr, c.profile) {
				t.Errorf("%s: code %d\n%sdiagnose says\n%s%s", c.profile, code, stderr, want, stdout)
			}
		}
	}
	code, stdout, stderr := program(t, "compare", folder("", nil), good)
	if code != exitOK || !strings.Contains(stdout, "only one side has a profile") {
		t.Errorf("no profile: code %d\n%s%s", code, stdout, stderr)
	}
}

func TestSideNames(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"a/x", "b/x"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	at := func(p string) string { return filepath.Join(dir, filepath.FromSlash(p)) }
	for _, c := range [][4]string{
		{at("a"), at("b"), "a", "b"},
		{at("a/profile.sqlite"), at("b/profile.sqlite"), "a", "b"},
		{at("a/x/profile.sqlite"), at("b/x/profile.sqlite"), "a/x", "b/x"},
		{at("a/x"), at("b/x") + "/", "a/x", "b/x"},
		{at("a/one.sqlite"), at("a/two.sqlite"), "one.sqlite", "two.sqlite"},
		{at("a/profile.sqlite"), at("a/profile.sqlite"), "profile.sqlite", "profile.sqlite"},
		{"profile.sqlite", "x/profile.sqlite", "stepscope", "x"},
		{".", at("a"), ".", "a"},
	} {
		if b, a := sideNames(c[0], c[1]); b != c[2] || a != c[3] {
			t.Errorf("%s and %s are called %s and %s", c[0], c[1], b, a)
		}
	}
}
