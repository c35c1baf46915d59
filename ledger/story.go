package ledger

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"
)

// storyWidth is the width of the story in columns.
const storyWidth = 100

// metricLabels are short headings for the metrics that stepscope itself writes.
var metricLabels = map[string]string{
	"ttft_ms": "TTFT ms", "tpot_ms": "TPOT ms", "itl_ms": "ITL ms", "e2el_ms": "E2E ms",
	"output_tokens_per_s": "out tok/s", "total_tokens_per_s": "tok/s", "request_throughput": "req/s",
	"output_tokens_per_s_per_gpu": "tok/s/GPU",
}

func metricLabel(name string) string {
	if l, ok := metricLabels[name]; ok {
		return l
	}
	return name
}

// storyRow is one line of the story.
type storyRow struct {
	id, date, what, metric, before, after, gain, verdict, predicted, off string
	notes                                                                []string
}

var storyHead = storyRow{"id", "date", "change", "metric", "before", "after", "gain", "verdict", "forecast", "off", nil}

func (r storyRow) cells() []string {
	return []string{r.id, r.date, r.what, r.metric, r.before, r.after, r.gain, r.verdict, r.predicted, r.off}
}

// Story writes the ledger as a text table of at most 100 columns, one line an
// experiment: what was changed, the goal metric before and after, the gain
// (positive is better, whichever way the metric is good), the verdict, the gain
// that was forecast and how far off the forecast was (measured against predicted
// value, as in Entry.PredictionError). Notes stand below what they speak of.
// A dash is something that was not recorded.
func Story(w io.Writer, records []Record) error {
	bw := bufio.NewWriter(w)
	if len(records) == 0 {
		fmt.Fprintln(bw, "The ledger is empty.")
		return bw.Flush()
	}
	rows := storyRows(records)
	width := make([]int, len(storyHead.cells()))
	limit := []int{8, 10, 0, 14, 9, 9, 9, 8, 9, 8}
	for _, r := range append([]storyRow{storyHead}, rows...) {
		for i, c := range r.cells() {
			width[i] = min(max(width[i], utf8.RuneCountInString(c)), limit[i])
		}
	}
	const change = 2
	left := storyWidth - len(width) + 1
	for i, n := range width {
		if i != change {
			left -= n
		}
	}
	longest := utf8.RuneCountInString(storyHead.what)
	for _, r := range rows {
		longest = max(longest, utf8.RuneCountInString(r.what))
	}
	width[change] = min(longest, left)

	line := func(r storyRow) {
		var b strings.Builder
		for i, c := range r.cells() {
			if i > 0 {
				b.WriteByte(' ')
			}
			pad := max(0, width[i]-utf8.RuneCountInString(clip(c, width[i])))
			if right := i >= 4 && i != 7; right {
				b.WriteString(strings.Repeat(" ", pad) + clip(c, width[i]))
			} else {
				b.WriteString(clip(c, width[i]) + strings.Repeat(" ", pad))
			}
		}
		fmt.Fprintln(bw, strings.TrimRight(b.String(), " "))
	}
	line(storyHead)
	for _, r := range rows {
		line(r)
		if utf8.RuneCountInString(r.what) > width[change] { // in full, as the cell is cut
			r.notes = append([]string{r.what}, r.notes...)
		}
		for _, n := range r.notes {
			for _, l := range wrap(n, storyWidth-4) {
				fmt.Fprintln(bw, "    "+l)
			}
		}
	}
	return bw.Flush()
}

// storyRows makes rows of experiments and hangs notes under them; a note on a note
// goes to the experiment.
func storyRows(records []Record) []storyRow {
	var rows []storyRow
	at := map[string]int{}
	for _, rec := range records {
		e := rec.Entry
		switch e.Kind {
		case KindNote:
			if i, ok := at[e.Ref]; ok {
				rows[i].notes = append(rows[i].notes, fmt.Sprintf("%s %s: %s", e.ID, e.Time.Format("2006-01-02"), oneLine(e.Text)))
				at[e.ID] = i
				continue
			}
			rows = append(rows, storyRow{id: e.ID, date: e.Time.Format("2006-01-02"), what: "note on " + e.Ref + ": " + oneLine(e.Text)})
		case KindRepair:
			r := storyRow{id: e.ID, date: e.Time.Format("2006-01-02"), what: "repair of the ledger"}
			if e.Repair != nil {
				r.notes = append([]string{fmt.Sprintf("%d damaged bytes were set aside", e.Repair.Bytes)}, e.Repair.Problems...)
			}
			rows = append(rows, r)
		default:
			rows = append(rows, experimentRow(e))
		}
		at[e.ID] = len(rows) - 1
	}
	return rows
}

func experimentRow(e Entry) storyRow {
	r := storyRow{id: e.ID, date: e.Time.Format("2006-01-02"), what: what(e), verdict: e.Verdict}
	m, ok := e.goal()
	if ok {
		r.metric = metricLabel(m.Name)
		r.before, r.after = center(m.Before), center(m.After)
		if r.verdict == "" {
			r.verdict = m.Verdict
		}
	}
	if e.Kind == KindBaseline {
		return r
	}
	r.gain, r.predicted, r.off = "-", "-", "-"
	if g, has := m.gain(); ok && has {
		r.gain = percent(g)
	}
	if r.verdict == "" {
		r.verdict = "-"
	}
	if p := e.Predicted; p != nil && positive(p.Before) && p.After != nil {
		g := *p.After / *p.Before - 1
		if dir, known := direction(e, p.Metric); known && dir != "higher" {
			g = -g
		}
		r.predicted = percent(g)
	}
	if e.PredictionError != nil {
		r.off = percent(*e.PredictionError)
	}
	if len(e.Also) > 0 {
		r.notes = append(r.notes, fmt.Sprintf("%d knobs were changed at once: the effect of each is not known", 1+len(e.Also)))
	}
	for _, s := range e.SideEffects {
		if s.Verdict == "worse" {
			r.notes = append(r.notes, "side effect: "+sideEffect(s))
		}
	}
	return r
}

// direction returns the Direction of the entry's metric of that name. Latencies
// and throughputs of the prediction's own vocabulary are known without.
func direction(e Entry, metric string) (string, bool) {
	for _, m := range e.Metrics {
		if m.Name == metric && m.Direction != "" {
			return m.Direction, true
		}
	}
	switch {
	case strings.HasSuffix(metric, "_per_s"):
		return "higher", true
	case strings.HasSuffix(metric, "_ms"):
		return "lower", true
	}
	return "", false
}

// what describes the change in words, or the baseline.
func what(e Entry) string {
	if e.Kind == KindBaseline {
		s := "baseline"
		sep := ": "
		for _, part := range []string{e.Engine, e.Model, e.GPU, e.Load} {
			if part != "" {
				s, sep = s+sep+part, ", "
			}
		}
		return oneLine(s)
	}
	s := change(e.Knob, e.From, e.To)
	for _, c := range e.Also {
		s += " + " + change(c.Knob, c.From, c.To)
	}
	return oneLine(s)
}

func change(knob, from, to string) string {
	switch {
	case knob == "":
		return "change"
	case from == "" && to == "":
		return knob
	case from == "":
		return knob + " = " + to
	case to == "":
		return knob + " " + from + " -> unset"
	}
	return knob + " " + from + " -> " + to
}

func sideEffect(s SideEffect) string {
	out := s.Name
	if s.Before != nil && s.After != nil {
		out += fmt.Sprintf(" %s -> %s", number(*s.Before), number(*s.After))
		if s.Unit != "" {
			out += " " + s.Unit
		}
	}
	if s.Text != "" {
		out += ": " + oneLine(s.Text)
	}
	return out
}

func center(s *Summary) string {
	if s == nil || s.Center == nil {
		return "-"
	}
	return number(*s.Center)
}

// number has three or four significant digits and no exponent in the usual range.
func number(v float64) string {
	a := math.Abs(v)
	switch {
	case v == 0 || v == math.Trunc(v) && a >= 100 && a < 1e6:
		return fmt.Sprintf("%.0f", v)
	case a >= 1e6 || a < 1e-3:
		return fmt.Sprintf("%.3g", v)
	case a >= 1000:
		return fmt.Sprintf("%.0f", v)
	case a >= 100:
		return fmt.Sprintf("%.1f", v)
	case a >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

func percent(f float64) string {
	s := fmt.Sprintf("%+.1f%%", 100*f)
	if s == "-0.0%" {
		s = "+0.0%"
	}
	return s
}

// oneLine makes control characters blanks and runs of blanks one.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 }), " ")
}

// clip cuts s to n characters and marks the cut.
func clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	if n <= 2 {
		return string(r[:max(n, 0)])
	}
	return string(r[:n-2]) + ".."
}

func wrap(s string, n int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		for utf8.RuneCountInString(word) > n { // a path or checksum longer than the line
			if line != "" {
				lines, line = append(lines, line), ""
			}
			r := []rune(word)
			lines, word = append(lines, string(r[:n])), string(r[n:])
		}
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > n:
			lines, line = append(lines, line), word
		default:
			line += " " + word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
