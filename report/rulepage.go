package report

import (
	"bufio"
	"fmt"
	"io"

	"github.com/stepscope/stepscope/diagnose"
)

// RulePage writes the page of one rule in Markdown: the same text that docs/findings holds.
func RulePage(w io.Writer, r diagnose.Rule) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "# %s\n\n%s.\n", r.ID, r.Title)
	for _, s := range []struct{ title, text string }{
		{"What it measures", r.Measures}, {"When it is wrong", r.Wrong}, {"What usually helps", r.Fix},
		{"What the capture must hold", r.Needs}, {"Source", r.Source},
	} {
		if s.text == "" {
			continue
		}
		fmt.Fprintf(b, "\n## %s\n\n", s.title)
		for _, l := range wrap(s.text, Width) {
			fmt.Fprintln(b, l)
		}
	}
	return b.Flush()
}
