package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/stepscope/stepscope/compare"
	"github.com/stepscope/stepscope/stat"
)

// CompareMarkdown writes a comparison for a pull request: verdict, what was changed, the metrics that say something; the
// rest is folded.
func CompareMarkdown(w io.Writer, c *compare.Comparison) error {
	m := &compareMarkdown{bufio.NewWriter(w)}
	m.line("## stepscope: %s", strings.ToUpper(string(c.Verdict)))
	m.line("")
	m.line("%s", prText(c.Summary))
	m.line("")
	m.line("`%s` → `%s`", prCode(c.Before.Name), prCode(c.After.Name))
	m.line("")
	if len(c.Regressions) > 0 {
		m.line("**Got worse:** %s", prText(compareWorse(c)))
		m.line("")
	}
	m.residue(c)
	m.table("Metrics", c.Metrics, func(x *compare.Metric) bool { return x.Supported() || prHeadline[x.Group] })
	for i := range c.Compositions {
		k := &c.Compositions[i]
		m.line("<details><summary>Step: %s (%d and %d steps)</summary>", prText(k.Label), k.Before, k.After)
		m.line("")
		m.table("", append(append([]compare.Metric{}, k.Metrics...), k.Parts...), func(x *compare.Metric) bool {
			return x.Group == compare.StepTime || x.Verdict != stat.Same
		})
		m.line("</details>")
		m.line("")
	}
	m.kernels(c)
	m.folded("Everything compared", c.Metrics)
	for _, n := range c.Warnings {
		m.line("- %s", prText(n.Text))
	}
	m.line("")
	m.line("`~` is a difference that no test supports, `=` one that is smaller than what counts; p is corrected for the number of metrics in its group.")
	return m.w.Flush()
}

// prHeadline are the groups whose metrics are shown even where they are unclear.
var prHeadline = map[compare.Group]bool{compare.Benchmark: true}

type compareMarkdown struct{ w *bufio.Writer }

func (m *compareMarkdown) line(format string, args ...any) { fmt.Fprintf(m.w, format+"\n", args...) }

func (m *compareMarkdown) residue(c *compare.Comparison) {
	n := 0
	for _, d := range c.Residue {
		if !d.Matters {
			continue
		}
		if n == 0 {
			m.line("| differs | before | after |")
			m.line("|---|---|---|")
		}
		n++
		m.line("| %s: `%s` | `%s` | `%s` |", d.Group, prCode(d.Name), prCode(Cut(d.Before, 80)), prCode(Cut(d.After, 80)))
	}
	if n > 0 {
		m.line("")
	}
}

func (m *compareMarkdown) table(title string, rows []compare.Metric, show func(*compare.Metric) bool) {
	n := 0
	for i := range rows {
		x := &rows[i]
		if !show(x) {
			continue
		}
		if n == 0 {
			if title != "" {
				m.line("### %s", title)
				m.line("")
			}
			m.line("| metric | before | after | change | verdict | evidence |")
			m.line("|---|--:|--:|--:|---|---|")
		}
		n++
		m.row(x)
	}
	if n > 0 {
		m.line("")
	}
}

func (m *compareMarkdown) row(x *compare.Metric) {
	title := compareTitle(x)
	verdict := string(compareVerdict(x))
	if x.Verdict == stat.Better || x.Verdict == stat.Worse {
		verdict = "**" + verdict + "**"
	}
	m.line("| %s | %s | %s | %s | %s | %s |", prText(title), compareValue(x, x.Before.Center), compareValue(x, x.After.Center), compareChange(x), verdict, prText(compareBasis(x)))
}

func (m *compareMarkdown) folded(title string, rows []compare.Metric) {
	if len(rows) == 0 {
		return
	}
	m.line("<details><summary>%s</summary>", prText(title))
	m.line("")
	m.line("| metric | before | after | verdict | why |")
	m.line("|---|--:|--:|---|---|")
	for i := range rows {
		x := &rows[i]
		m.line("| `%s.%s` | %s | %s | %s | %s |", x.Group, x.Name, compareValue(x, x.Before.Center), compareValue(x, x.After.Center), compareVerdict(x), prText(x.Reason))
	}
	m.line("")
	m.line("</details>")
	m.line("")
}

func (m *compareMarkdown) kernels(c *compare.Comparison) {
	if len(c.Kernels) == 0 {
		return
	}
	perStep, unit := compareKernelUnit(c)
	m.line("<details><summary>Kernels (%s)</summary>", prText(c.KernelsOf))
	m.line("")
	m.line("| function | stage | state | before, %s | after, %s | change |", unit, unit)
	m.line("|---|---|---|--:|--:|--:|")
	for i := range c.Kernels {
		if i == 25 {
			break
		}
		k := &c.Kernels[i]
		m.line("| `%s` | %s | %s | %s | %s | %s |", prCode(Cut(compareName(k.Name), 80)), k.Stage, k.State, compareKernelTime(k.Before, perStep), compareKernelTime(k.After, perStep), compareKernelChange(k))
	}
	m.line("")
	m.line("</details>")
	m.line("")
}

// prText makes text from a capture plain in GitHub's Markdown: no markup, no mention, no reference.
func prText(s string) string { return prEscapes.Replace(clean(s)) }

var prEscapes = strings.NewReplacer("\\", "\\\\", "|", "\\|", "<", "&lt;", ">", "&gt;", "&", "&amp;", "*", "\\*", "_", "\\_", "`", "\\`", "~", "\\~",
	"[", "\\[", "]", "\\]", "!", "\\!", "#", "\\#<!-- -->", "@", "@<!-- -->", "://", ":<!-- -->//", "www.", "www<!-- -->.")

// prCode makes text fit between backticks in a table.
func prCode(s string) string { return strings.NewReplacer("|", "\\|", "`", "'").Replace(clean(s)) }
