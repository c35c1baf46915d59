package main

import (
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/stepscope/stepscope/report"
)

// output opens where a result goes: stdout, or a file that replaces an older one only when it is complete.
type output struct {
	io.Writer
	file *os.File
	path string
}

func (e *env) output(path string) (*output, error) {
	if path == "" || path == "-" {
		return &output{Writer: e.stdout}, nil
	}
	f, err := os.CreateTemp(dirOf(path), ".stepscope-*")
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", path, err)
	}
	return &output{Writer: f, file: f, path: path}, nil
}

// close finishes the file if err is nil and removes it otherwise.
func (o *output) close(err error) error {
	if o.file == nil {
		return err
	}
	if cerr := o.file.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Chmod(o.file.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(o.file.Name(), o.path)
	}
	if err != nil {
		os.Remove(o.file.Name())
		return fmt.Errorf("writing %s: %w", o.path, err)
	}
	return nil
}

func dirOf(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if os.IsPathSeparator(path[i]) {
			return path[:i+1]
		}
	}
	return "."
}

// paragraph prints a text under a head, wrapped at spaces to the usual width; further lines stand under the first one's text. A
// word that is longer, a path for one, is left whole.
func paragraph(w io.Writer, head, text string) {
	indent := strings.Repeat(" ", utf8.RuneCountInString(head))
	line, empty := head, true
	for _, word := range strings.Fields(text) {
		if !empty && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > report.Width {
			fmt.Fprintln(w, line)
			line, empty = indent, true
		}
		if !empty {
			line += " "
		}
		line += word
		empty = false
	}
	fmt.Fprintln(w, line)
}

// terminal reports whether w is a terminal that wants colour and progress.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// columns is how wide tables may be: as a terminal that is wider than the usual width, else that width.
func columns(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			return max(width, report.Width)
		}
	}
	return report.Width
}

// colour reports whether w wants colour: a terminal, and NO_COLOR is not set.
func colour(w io.Writer) bool { return terminal(w) && os.Getenv("NO_COLOR") == "" }

// sortedCounts yields a map of counts in the order of its keys, so that output is the same every time.
func sortedCounts[K ~string](m map[K]int) iter.Seq2[K, int] {
	return func(yield func(K, int) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}
