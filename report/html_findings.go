package report

import (
	"fmt"
	"html/template"
	"math"
	"strings"

	"github.com/stepscope/stepscope/diagnose"
)

// Bounds of the findings.
const (
	maxFindings = 20
	maxEvidence = 16
	maxAdvice   = 8
	maxText     = 1200
)

// findingView is a finding that is an alarm of its own.
type findingView struct {
	N                        int
	ID, Severity, Confidence string
	Return                   string // what fixing it could return, "" = no share
	Summary                  string
	Evidence                 []evidenceView
	Advice                   []adviceView
	Nothing                  string // said in place of advice, "" = there is some
	ReturnBar                template.HTML
}

type evidenceView struct{ Text, Value, Rows string }

// adviceView is one change to try.
type adviceView struct {
	Label             string // "Try first" or "Then"
	Name, Now         string
	Drop              bool
	Told              bool // the text names the option already
	Text              string
	Chart             template.HTML
	Predicted, Assume string
	Unpredicted       string
	Risk, Requires    string
	Command           []string // cut before each option, where a line may break
}

// contextView is a finding that is no alarm.
type contextView struct{ ID, Caused, Summary string }

func (h *htmlReport) findings() []findingView {
	var out []findingView
	for i := range h.d.Findings {
		f := &h.d.Findings[i]
		if f.ID == diagnose.CaptureQuality || f.Caused != "" || f.Severity == diagnose.Info || len(out) == maxFindings {
			continue
		}
		v := findingView{N: len(out) + 1, ID: Cut(clean(f.ID), 60), Severity: f.Severity.String(), Confidence: f.Confidence, Summary: Cut(clean(f.Summary), maxText)}
		if f.Share > 0 {
			v.Return = fmt.Sprintf("up to %.0f %% of the wall could return", 100*f.Share)
			v.ReturnBar = shareBar(f.Share)
		}
		for k, e := range f.Evidence {
			if k == maxEvidence {
				break
			}
			x := evidenceView{Text: Cut(clean(e.Text), 300), Rows: Cut(clean(e.Rows), 300)}
			if e.Unit != "" || e.Value != 0 {
				x.Value = Cut(clean(value(e.Value, e.Unit)), 60)
			}
			v.Evidence = append(v.Evidence, x)
		}
		for k := range f.Advice {
			if k == maxAdvice {
				break
			}
			v.Advice = append(v.Advice, h.advice(fmt.Sprintf("p%d-%d", v.N, k), k, &f.Advice[k]))
		}
		if len(f.Advice) == 0 {
			v.Nothing = noAdvice(f)
		}
		out = append(out, v)
	}
	return out
}

// context lists findings that explain nothing by themselves, and counts those that are left out.
func (h *htmlReport) context() (out []contextView, more int) {
	for i := range h.d.Findings {
		f := &h.d.Findings[i]
		if f.ID == diagnose.CaptureQuality || f.Caused == "" && f.Severity > diagnose.Info {
			continue
		}
		if len(out) == maxFindings {
			more++
			continue
		}
		out = append(out, contextView{Cut(clean(f.ID), 60), Cut(clean(f.Caused), 60), Cut(clean(f.Summary), maxText)})
	}
	return out, more
}

// next is the first advice once more, for the top of the page.
func (h *htmlReport) next() *adviceView {
	a := firstAdvice(h.d)
	if a == nil {
		return nil
	}
	v := h.advice("next", 0, a)
	return &v
}

func (h *htmlReport) advice(id string, k int, a *diagnose.Advice) adviceView {
	v := adviceView{Label: "Try first", Name: Cut(clean(a.Flag), 300), Text: Cut(clean(a.Text), maxText), Risk: Cut(clean(a.Risk), maxText), Requires: Cut(clean(a.Requires), maxText),
		Command: optionWords(Cut(clean(a.Command), 8000)), Unpredicted: Cut(clean(a.Unpredicted), maxText)}
	if k > 0 {
		v.Label = "Then"
	}
	switch {
	case a.Flag == "":
		v.Name = Cut(clean(a.Knob), 120)
	case a.To == "not set":
		v.Drop = true
		v.Told = strings.HasPrefix(a.Text, "Drop "+a.Flag)
	case a.From != "" && a.From != "not set":
		v.Now = Cut(clean(a.From), 120)
	}
	if p := a.Predicted; p != nil {
		v.Predicted, v.Assume = Cut(clean(predicted(p)), 200), Cut(clean(p.Assumption), maxText)
		v.Chart = h.predictionChart(id, p)
	}
	return v
}

// optionWords cuts a command before its options; joined with spaces it is the command again.
func optionWords(command string) []string {
	if command == "" {
		return nil
	}
	words := strings.Split(command, " --")
	for i := 1; i < len(words); i++ {
		words[i] = "--" + words[i]
	}
	return words
}

// predictionChart shows before and after as bars, with the predicted range on the second.
func (h *htmlReport) predictionChart(id string, p *diagnose.Prediction) template.HTML {
	top := max(p.Before, p.After, p.High)
	if !(top > 0) || math.IsInf(top, 0) {
		return ""
	}
	const w, left, right, barH = 520, 44, 380, 16
	metric := Cut(clean(p.Words()), 40)
	c := newCanvas(h.id(id), w, 66, "Prediction for "+metric,
		fmt.Sprintf("%s before %s, after %s, range %s to %s %s.", metric, number(p.Before), number(p.After), number(p.Low), number(p.High), p.Unit))
	x := scale{0, top, left, right, false}
	c.label(0, 12, metric, "start", "strong")
	c.label(left-8, 33, "now", "end", "tick")
	c.rect(left, 20, x.at(p.Before)-left, barH, paint{"before", ""}, "")
	c.label(x.at(p.Before)+8, 33, number(p.Before)+" "+Cut(clean(p.Unit), 16), "start", "lane")
	c.label(left-8, 56, "after", "end", "tick")
	c.rect(left, 43, x.at(p.After)-left, barH, paint{"after", ""}, "")
	y := 43.0 + barH/2
	c.line(x.at(p.Low), y, x.at(p.High), y, "whisker")
	c.line(x.at(p.Low), y-6, x.at(p.Low), y+6, "whisker")
	c.line(x.at(p.High), y-6, x.at(p.High), y+6, "whisker")
	change := ""
	if p.Before > 0 {
		change = fmt.Sprintf(", %+.0f %%", 100*(p.After/p.Before-1))
	}
	c.label(max(x.at(p.After), x.at(p.High))+8, 56, fmt.Sprintf("%s %s%s", number(p.After), Cut(clean(p.Unit), 16), change), "start", "strong")
	return c.done()
}
