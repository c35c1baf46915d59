// Command gendocs writes docs/findings from the table of rules: go run ./internal/gendocs
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/report"
)

func main() {
	pages, err := pages()
	if err == nil {
		for name, text := range pages {
			if err = os.WriteFile(filepath.Join("docs", "findings", name), text, 0o644); err != nil {
				break
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gendocs:", err)
		os.Exit(1)
	}
}

// pages renders every page by file name.
func pages() (map[string][]byte, error) {
	out := map[string][]byte{}
	var index bytes.Buffer
	fmt.Fprint(&index, "# Findings\n\nGenerated from the table of rules by `go run ./internal/gendocs`; `stepscope diagnose --explain ID` prints a page.\n\n| id | what it says |\n|---|---|\n")
	for _, r := range diagnose.Rules() {
		var b bytes.Buffer
		if err := report.RulePage(&b, r); err != nil {
			return nil, err
		}
		out[r.ID+".md"] = b.Bytes()
		fmt.Fprintf(&index, "| [%s](%s.md) | %s |\n", r.ID, r.ID, r.Title)
	}
	out["README.md"] = index.Bytes()
	return out, nil
}
