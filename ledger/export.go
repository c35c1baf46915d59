package ledger

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Markdown writes the ledger as a document: the story as a table, then one section
// an experiment with every metric, the forecast and its assumption, side effects,
// notes, the (masked) command and the checksums of the artefacts.
func Markdown(w io.Writer, records []Record) error {
	bw := bufio.NewWriter(w)
	fmt.Fprintf(bw, "# Experiments\n\n")
	if len(records) == 0 {
		fmt.Fprintf(bw, "The ledger is empty.\n")
		return bw.Flush()
	}
	fmt.Fprintf(bw, "Gain is the goal metric's relative improvement, positive for better. Forecast is the predicted gain; off is how far the\nmeasured value lay from the predicted one.\n\n")
	fmt.Fprintf(bw, "| id | date | change | metric | before | after | gain | verdict | forecast | off |\n|---|---|---|---|--:|--:|--:|---|--:|--:|\n")
	for _, r := range storyRows(records) {
		cells := r.cells()
		for i := range cells {
			cells[i] = cell(cells[i])
		}
		fmt.Fprintf(bw, "| %s |\n", strings.Join(cells, " | "))
	}
	notes := map[string][]Record{}
	for _, rec := range records {
		if rec.Entry.Kind == KindNote {
			notes[rec.Entry.Ref] = append(notes[rec.Entry.Ref], rec)
		}
	}
	for _, rec := range records {
		if rec.Entry.Kind != KindNote {
			section(bw, rec, notes[rec.Entry.ID])
		}
	}
	fmt.Fprintf(bw, "\nLast record %d, checksum `%s`.\n", records[len(records)-1].Seq, records[len(records)-1].Sum)
	return bw.Flush()
}

func section(w io.Writer, rec Record, notes []Record) {
	e := rec.Entry
	title := what(e)
	if e.Kind == KindRepair {
		title = "repair of the ledger"
	}
	fmt.Fprintf(w, "\n## %s: %s\n\n", e.ID, cell(title))
	fmt.Fprintf(w, "%s", e.Time.Format(time.RFC3339))
	facts := [][2]string{{"engine", e.Engine}, {"model", e.Model}, {"GPU", e.GPU}, {"load", e.Load}, {"against", e.Ref}}
	if e.Kind == KindBaseline { // they are in the title
		facts = nil
	}
	for _, f := range facts {
		if f[1] != "" {
			fmt.Fprintf(w, "; %s %s", f[0], cell(f[1]))
		}
	}
	fmt.Fprintf(w, "\n")
	if e.Text != "" {
		fmt.Fprintf(w, "\n%s\n", cell(e.Text))
	}
	if e.Verdict != "" {
		fmt.Fprintf(w, "\n**%s**", cell(e.Verdict))
		if e.Reason != "" {
			fmt.Fprintf(w, ": %s", cell(e.Reason))
		}
		fmt.Fprintf(w, "\n")
	}
	if len(e.Also) > 0 {
		fmt.Fprintf(w, "\n%d knobs were changed at once: the effect of each is not known.\n", 1+len(e.Also))
	}
	if len(e.Metrics) > 0 {
		fmt.Fprintf(w, "\n| metric | before | after | change | p | verdict |\n|---|--:|--:|--:|--:|---|\n")
		for _, m := range e.Metrics {
			change, p := "-", "-"
			if m.Change != nil {
				change = percent(*m.Change)
				if m.ChangeLo != nil && m.ChangeHi != nil {
					change += fmt.Sprintf(" (%s to %s)", percent(*m.ChangeLo), percent(*m.ChangeHi))
				}
			}
			if m.P != nil {
				p = strconv.FormatFloat(*m.P, 'g', 2, 64)
			}
			fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s |\n", cell(m.Name), interval(m.Before), interval(m.After), change, p, cell(m.Verdict))
		}
		var warnings []string
		for _, m := range e.Metrics {
			for _, t := range m.Warnings {
				warnings = append(warnings, m.Name+": "+t)
			}
		}
		list(w, "About the metrics", warnings, func(s string) string { return s })
	}
	if p := e.Predicted; p != nil {
		fmt.Fprintf(w, "\nForecast: %s %s -> %s", cell(p.Metric), optional(p.Before), optional(p.After))
		if p.Low != nil && p.High != nil {
			fmt.Fprintf(w, " (%s to %s)", number(*p.Low), number(*p.High))
		}
		if p.Assumption != "" {
			fmt.Fprintf(w, ", assuming %s", cell(p.Assumption))
		}
		if m := e.Measured; m != nil {
			fmt.Fprintf(w, ". Measured: %s -> %s", optional(m.Before), optional(m.After))
		}
		if e.PredictionError != nil {
			fmt.Fprintf(w, ", off by %s", percent(*e.PredictionError))
		}
		if e.InRange != nil {
			fmt.Fprintf(w, ", %s the range", map[bool]string{true: "inside", false: "outside"}[*e.InRange])
		}
		fmt.Fprintf(w, ".\n")
	}
	list(w, "Side effects", e.SideEffects, func(s SideEffect) string {
		if s.Verdict != "" {
			return sideEffect(s) + " (" + s.Verdict + ")"
		}
		return sideEffect(s)
	})
	list(w, "Warnings", e.Warnings, func(s string) string { return s })
	if e.Repair != nil {
		list(w, fmt.Sprintf("%d bytes were set aside", e.Repair.Bytes), e.Repair.Problems, func(s string) string { return s })
	}
	list(w, "Notes", notes, func(n Record) string {
		return fmt.Sprintf("%s %s: %s", n.Entry.ID, n.Entry.Time.Format(time.RFC3339), n.Entry.Text)
	})
	if len(e.Command) > 0 {
		fmt.Fprintf(w, "\n```\n%s\n```\n", strings.ReplaceAll(oneLine(shell(e.Command)), "```", "'''"))
	}
	list(w, "Artefacts", e.Artefacts, func(a Artefact) string {
		return fmt.Sprintf("%s, %d bytes, sha256 %s", a.Name, a.Bytes, a.SHA256)
	})
}

func list[T any](w io.Writer, title string, items []T, text func(T) string) {
	if len(items) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s:\n\n", title)
	for _, it := range items {
		fmt.Fprintf(w, "- %s\n", cell(text(it)))
	}
}

func interval(s *Summary) string {
	c := center(s)
	if s == nil {
		return c
	}
	if s.Center != nil && s.Lo != nil && s.Hi != nil && (*s.Lo != *s.Center || *s.Hi != *s.Center) {
		c += fmt.Sprintf(" [%s, %s]", number(*s.Lo), number(*s.Hi))
	}
	return c + fmt.Sprintf(" n=%d", s.N)
}

func optional(v *float64) string {
	if v == nil {
		return "-"
	}
	return number(*v)
}

// cell makes text safe inside a table cell or line of Markdown.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "`", "'").Replace(oneLine(s))
}

// shell joins a command line so that a shell would split it again the same way.
func shell(args []string) string {
	out := make([]string, len(args))
	for i, a := range args {
		if a != "" && strings.Trim(a, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:,@%+*") == "" {
			out[i] = a
			continue
		}
		out[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
	}
	return strings.Join(out, " ")
}

// csvHead are the columns of CSV, in order.
var csvHead = []string{"id", "time", "kind", "ref", "knob", "from", "to", "also_changed", "engine", "model", "gpu", "load", "command",
	"metric", "unit", "direction", "before", "before_lo", "before_hi", "before_n", "after", "after_lo", "after_hi", "after_n",
	"change", "change_lo", "change_hi", "p", "verdict", "entry_verdict",
	"predicted_metric", "predicted_before", "predicted_after", "predicted_low", "predicted_high", "measured_before", "measured_after",
	"prediction_error", "text", "sum"}

// optionName is an option as the knob column has it: it begins with a dash, and no spreadsheet can make anything of it.
var optionName = regexp.MustCompile(`^--?[A-Za-z][A-Za-z0-9._-]*$`)

// text is a text that others filled, for a cell: one that a spreadsheet would take for a formula gets a single quote before it, which
// spreadsheets read as "this is text". Names of options and numbers stay as they are.
func text(s string) string {
	if s == "" || !strings.ContainsRune("=+-@\t\r\n", rune(s[0])) || optionName.MatchString(s) {
		return s
	}
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return s
	}
	return "'" + s
}

// CSV writes one row a metric of every entry, and one row for an entry without
// metrics. Empty cells were not recorded. A text that a spreadsheet would run as a formula has a single quote before it.
func CSV(w io.Writer, records []Record) error {
	cw := csv.NewWriter(w)
	if err := cw.Write(csvHead); err != nil {
		return err
	}
	for _, rec := range records {
		e := rec.Entry
		metrics := e.Metrics
		if len(metrics) == 0 {
			metrics = []Metric{{}}
		}
		var also []string
		for _, c := range e.Also {
			also = append(also, change(c.Knob, c.From, c.To))
		}
		p, m := Prediction{}, Measurement{}
		if e.Predicted != nil {
			p = *e.Predicted
		}
		if e.Measured != nil {
			m = *e.Measured
		}
		for _, x := range metrics {
			row := []string{text(e.ID), e.Time.Format(time.RFC3339Nano), text(string(e.Kind)), text(e.Ref), text(e.Knob), text(e.From), text(e.To),
				text(strings.Join(also, "; ")), text(e.Engine), text(e.Model), text(e.GPU), text(e.Load), text(shellOrEmpty(e.Command)),
				text(x.Name), text(x.Unit), text(x.Direction)}
			row = append(row, summaryCells(x.Before)...)
			row = append(row, summaryCells(x.After)...)
			row = append(row, exact(x.Change), exact(x.ChangeLo), exact(x.ChangeHi), exact(x.P), text(x.Verdict), text(e.Verdict),
				text(p.Metric), exact(p.Before), exact(p.After), exact(p.Low), exact(p.High), exact(m.Before), exact(m.After),
				exact(e.PredictionError), text(e.Text), rec.Sum)
			if err := cw.Write(row); err != nil {
				return err
			}
		}
	}
	cw.Flush()
	return cw.Error()
}

func shellOrEmpty(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return shell(args)
}

func summaryCells(s *Summary) []string {
	if s == nil {
		return []string{"", "", "", ""}
	}
	return []string{exact(s.Center), exact(s.Lo), exact(s.Hi), strconv.Itoa(s.N)}
}

func exact(v *float64) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(*v, 'g', -1, 64)
}
