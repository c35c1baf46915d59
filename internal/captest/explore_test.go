package captest

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/profile"
)

func TestExplore(t *testing.T) {
	v := os.Getenv("EXPLORE")
	if v == "" {
		t.Skip()
	}
	names := strings.Split(v, ",")
	if v == "all" {
		names = Names(t)
	}
	for _, n := range names {
		name, variant, _ := strings.Cut(n, ":")
		o := Options{}
		for _, x := range strings.Split(os.Getenv("VARIANT")+"+"+variant, "+") {
			k, val, _ := strings.Cut(x, "=")
			switch k {
			case "nolog":
				o.Without |= Log
			case "nobench":
				o.Without |= Bench
			case "nometrics":
				o.Without |= Metrics
			case "none":
				o.Without = Everything
			case "gpu":
				o.GPU = val
			case "engine":
				o.Engine = val
			case "nonvtx":
				o.Edit = func(p *profile.Profile) { p.Ranges = profile.Ranges{} }
			}
		}
		r := Diagnose(t, name, o)
		fmt.Println("===", n, "| bound", r.Limits.Bound, "|", r.Limits.Why)
		fmt.Println("  V:", r.Verdict)
		for _, q := range r.Diagnosis.Profile.Quality {
			if q.Severity != "info" {
				fmt.Printf("  Q %s %s %.200s\n", q.Severity, q.ID, q.Text)
			}
		}
		for _, f := range r.Findings {
			fmt.Printf("  F %-6s %-22s %-6s %.3f %s %s\n", f.Severity, f.ID, f.Confidence, f.Share, f.Caused, f.Summary)
			for _, a := range f.Advice {
				num := "no number: " + a.Unpredicted
				if p := a.Predicted; p != nil {
					num = fmt.Sprintf("%s %g->%g [%g,%g] %s", p.Metric, p.Before, p.After, p.Low, p.High, p.Assumption)
				}
				flag := a.Flag
				if flag == "" {
					flag = a.Knob
				}
				fmt.Printf("       -> %s | from %s to %s | %s\n", flag, a.From, a.To, num)
				if os.Getenv("LONG") != "" {
					fmt.Printf("          %s | needs %s | risk %s\n", a.Text, a.Requires, a.Risk)
				}
			}
			if os.Getenv("EVIDENCE") != "" {
				for _, e := range f.Evidence {
					fmt.Printf("        . %s = %g %s [%s]\n", e.Text, e.Value, e.Unit, e.Rows)
				}
			}
		}
		for _, a := range r.Diagnosis.Abstained {
			fmt.Println("  A", a.Rule, ":", a.Why)
		}
	}
}
