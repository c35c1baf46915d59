package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/alecthomas/kong"
)

// flags yields every flag of every verb.
func flags(t *testing.T) map[string][]*kong.Flag {
	t.Helper()
	parser, err := kong.New(&command{}, kong.Vars{"version": "test"})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]*kong.Flag{}
	for _, leaf := range parser.Model.Leaves(false) {
		out[strings.TrimPrefix(leaf.Path(), "stepscope ")] = leaf.Flags
	}
	return out
}

// TestShortFlags: a letter means the same in every verb, and what has a letter in one verb has it in all.
func TestShortFlags(t *testing.T) {
	letters := map[rune]string{}
	names := map[string]rune{}
	where := map[string]string{}
	all := flags(t)
	for verb, list := range all {
		for _, f := range list {
			name := f.Name
			if name == "out" {
				name = "output" // a folder, where nothing can go to stdout
			}
			if f.Short != 0 {
				if other, ok := letters[f.Short]; ok && other != name {
					t.Errorf("-%c is --%s in %s and --%s in %s", f.Short, name, verb, other, where[other])
				}
				letters[f.Short] = name
			}
			if short, ok := names[name]; ok && short != f.Short {
				t.Errorf("--%s has the letter %q in %s and %q in %s", name, f.Short, verb, short, where[name])
			}
			names[name], where[name] = f.Short, verb
		}
	}
	if letters['f'] != "format" || letters['o'] != "output" || len(all) < 12 {
		t.Errorf("%d verbs, -f is --%s, -o is --%s", len(all), letters['f'], letters['o'])
	}
}

// TestHelpFits: the help of every verb is complete sentences within 100 columns.
func TestHelpFits(t *testing.T) {
	verbs := [][]string{nil}
	for verb := range flags(t) {
		verbs = append(verbs, strings.Fields(verb)[:1], strings.Fields(verb))
	}
	for _, v := range verbs {
		args := append(append([]string{}, v...), "--help")
		code, out, errs := program(t, args...)
		if code != 0 || errs != "" || !strings.HasPrefix(out, "Usage: stepscope") {
			t.Errorf("%v: exit %d, %s%s", args, code, out, errs)
		}
		for _, l := range strings.Split(out, "\n") {
			if utf8.RuneCountInString(l) > 100 {
				t.Errorf("%v: %d columns: %s", args, utf8.RuneCountInString(l), l)
			}
		}
	}
	for verb, list := range flags(t) {
		for _, f := range list {
			if !strings.HasSuffix(f.Help, ".") {
				t.Errorf("%s --%s: %q does not end", verb, f.Name, f.Help)
			}
		}
	}
}
