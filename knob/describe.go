package knob

import (
	"fmt"
	"strings"
)

// Width is the number of columns that [Describe] and [DescribeMatch] stay within.
const Width = 100

// Describe tells in words what an entry is in an engine's version: name, presence, what it does and trades, values,
// default, needs, risk, which findings it answers, and what to use instead. Lines fit in [Width] columns.
func Describe(e Entry, eng Engine) string {
	var b strings.Builder
	head := e.Name
	if len(e.Aliases) > 0 {
		head += " (" + strings.Join(e.Aliases, ", ") + ")"
	}
	fmt.Fprintf(&b, "%s\n", head)
	line := func(label, text string) {
		if text == "" {
			return
		}
		writeField(&b, label, text)
	}
	line("kind", kindText(e))
	line("present", presenceText(e, eng))
	line("does", e.Does)
	line("trades", e.Trades)
	line("takes", takesText(e))
	line("values", valuesText(e, eng))
	if Available(e, eng).Presence != Absent {
		line("default", defaultLine(e, eng))
	}
	needs := append([]string(nil), e.Requires...)
	if e.MinCC > 0 {
		needs = append(needs, fmt.Sprintf("compute capability %d.%d", e.MinCC/10, e.MinCC%10))
	}
	if e.MoE {
		needs = append(needs, "a mixture-of-experts model")
	}
	if e.MultiGPU {
		needs = append(needs, "more than one GPU")
	}
	line("needs", strings.Join(needs, "; "))
	line("risk", riskText(e.Risk))
	for i, a := range e.Answers {
		label := "answers"
		if i > 0 {
			label = ""
		}
		writeField(&b, label, answerText(a))
	}
	line("check", e.Check)
	for i, in := range presentFirst(e.Instead, []Engine{eng}) {
		label := "instead"
		if i > 0 {
			label = ""
		}
		writeField(&b, label, insteadText(in, eng))
	}
	if e.Confidence != "" {
		line("source", e.Confidence)
	}
	return b.String()
}

// DescribeMatch tells how a name was understood, and describes the real one when there is an entry.
func DescribeMatch(e Entry, m Match, eng Engine) string {
	var b strings.Builder
	switch m.Kind {
	case NoMatch:
		fmt.Fprintf(&b, "%s is not known.\n", Mask(clip(m.Asked)))
		return b.String()
	case NearMiss:
		fmt.Fprintf(&b, "%s is not known. Names that look like it:\n", Mask(clip(m.Asked)))
		for _, s := range m.Suggestions {
			fmt.Fprintf(&b, "  %s\n", s)
		}
		return b.String()
	case Exact, Alias:
		if m.Reason != "" {
			writeWrapped(&b, "", Mask(m.Reason))
		}
		if e.Does != "" {
			b.WriteString(Describe(e, eng))
			return b.String()
		}
		fmt.Fprintf(&b, "%s\n", e.Name)
		writeField(&b, "kind", kindText(e))
		writeField(&b, "present", presenceText(e, eng))
		return b.String()
	}
	verdict := map[MatchKind]string{WrongName: "not a name", WrongValue: "not a value", Removed: "gone", Misused: "real, but", OtherTool: "not this"}[m.Kind]
	writeWrapped(&b, "", fmt.Sprintf("%s (%s): %s", Mask(clip(m.Asked)), verdict, m.Reason))
	if len(m.Real) > 0 {
		b.WriteString("Use:\n")
		for _, r := range m.Real {
			writeWrapped(&b, "  ", insteadText(r, eng))
		}
	}
	if e.Does != "" {
		b.WriteString("\n" + Describe(e, eng))
	}
	return b.String()
}

func kindText(e Entry) string {
	what := map[Kind]string{Flag: "option of " + e.Engine, Env: "environment variable of " + e.Engine, Metric: "metric of " + e.Engine,
		Profiler: "option or report of " + e.Engine, Client: "option of the load generator, not of the server"}[e.Kind]
	if e.External {
		what = "environment variable"
	}
	return what
}

func presenceText(e Entry, eng Engine) string {
	a := Available(e, eng)
	if e.Engine != VLLM && e.SinceText != "" {
		return "since " + e.SinceText
	}
	text := ""
	if e.Engine == VLLM && inspectedIndex(e.Since) >= 0 {
		text = span{e.Since, e.Until}.text()
	}
	if eng.Version == "" || e.Engine != eng.Name {
		if text == "" {
			return a.Note
		}
		return text
	}
	state := map[Presence]string{Present: "yes", Absent: "no", Uncertain: "not certain"}[a.Presence] + " in " + eng.String()
	if text == "" {
		text = a.Note
	} else if a.Presence == Uncertain {
		text = a.Note
	}
	if text == "" {
		return state
	}
	return state + " (" + text + ")"
}

func takesText(e Entry) string {
	if e.Takes != "" {
		return e.Takes
	}
	if e.Kind == Flag && e.Switch() && e.Engine == VLLM {
		return "nothing; --no-" + strings.TrimPrefix(e.Name, "--") + " switches it off"
	}
	return ""
}

func valuesText(e Entry, eng Engine) string {
	var out []string
	for _, v := range e.Values {
		if eng.Version != "" && eng.Name == e.Engine && ValueAvailable(e, v.Value, eng).Presence == Absent {
			continue
		}
		t := v.Value
		var notes []string
		if v.Since != "" && eng.Version == "" {
			notes = append(notes, "since "+v.Since)
		}
		if v.MinCC > 0 {
			notes = append(notes, fmt.Sprintf("compute capability %d.%d", v.MinCC/10, v.MinCC%10))
		}
		if v.Note != "" {
			notes = append(notes, v.Note)
		}
		if len(notes) > 0 {
			t += " (" + strings.Join(notes, "; ") + ")"
		}
		out = append(out, t)
	}
	return strings.Join(out, ", ")
}

func defaultLine(e Entry, eng Engine) string {
	if eng.Version != "" && eng.Name == e.Engine {
		if t, ok := DefaultText(e, eng); ok {
			return t
		}
	}
	if e.DefaultText != "" {
		return e.DefaultText
	}
	var out []string
	for i, d := range e.Defaults {
		if i == 0 {
			out = append(out, d.Value)
			continue
		}
		out = append(out, d.Value+" since "+d.Since)
	}
	return strings.Join(out, "; ")
}

func answerText(a Answer) string {
	t := a.Finding + ": " + string(a.Action)
	switch {
	case a.To == "":
	case a.Action == Set:
		t += " " + a.To
	default:
		t += " to " + a.To
	}
	if a.When != "" {
		t += ", when " + a.When
	}
	return t
}

func insteadText(in Instead, eng Engine) string {
	if in.Name == "" {
		return in.Note
	}
	t := in.Name
	var notes []string
	if in.Since != "" && in.Since != Inspected[0] {
		notes = append(notes, "since "+in.Since)
	}
	if _, ok := names()[in.Name]; ok && eng.Name == VLLM && eng.Version != "" && AvailableName(in.Name, eng).Presence == Absent {
		notes = append(notes, "not in "+eng.String())
	}
	if len(notes) > 0 {
		t += " (" + strings.Join(notes, ", ") + ")"
	}
	if in.Note != "" {
		t += ": " + in.Note
	}
	return t
}

// writeField writes "  label  text" with the text wrapped and indented.
func writeField(b *strings.Builder, label, text string) {
	const indent = 11
	lines := wrap(text, Width-indent)
	for i, l := range lines {
		if i == 0 {
			fmt.Fprintf(b, "  %-8s %s\n", label, l)
		} else {
			fmt.Fprintf(b, "%s%s\n", strings.Repeat(" ", indent), l)
		}
	}
}

func writeWrapped(b *strings.Builder, indent, text string) {
	for i, l := range wrap(text, Width-len(indent)-2) {
		if i > 0 {
			b.WriteString("  ")
		}
		fmt.Fprintf(b, "%s%s\n", indent, l)
	}
}

// wrap breaks a text at spaces into lines of at most width columns; a word that is longer is cut.
func wrap(text string, width int) []string {
	var lines []string
	cur := ""
	for _, w := range strings.Fields(text) {
		for len([]rune(w)) > width {
			if cur != "" {
				lines = append(lines, cur)
				cur = ""
			}
			r := []rune(w)
			lines = append(lines, string(r[:width]))
			w = string(r[width:])
		}
		switch {
		case cur == "":
			cur = w
		case len([]rune(cur))+1+len([]rune(w)) <= width:
			cur += " " + w
		default:
			lines = append(lines, cur)
			cur = w
		}
	}
	if cur != "" {
		lines = append(lines, cur)
	}
	return lines
}
