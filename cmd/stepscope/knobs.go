package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/stepscope/stepscope/knob"
	"github.com/stepscope/stepscope/report"
)

type knobsCmd struct {
	Name   []string `arg:"" optional:"" help:"A knob, or a name from a guide that may be wrong; several words are one name."`
	Engine string   `default:"vllm" placeholder:"NAME@VERSION" help:"The engine (vllm@0.24.0)."`
	Format string   `short:"f" enum:"text,json" default:"text" help:"text or json."`
}

// knobAnswer is the JSON form of a look-up.
type knobAnswer struct {
	Schema string      `json:"schema"`
	Engine string      `json:"engine"`
	Match  knob.Match  `json:"match"`
	Entry  *knob.Entry `json:"entry,omitempty"`
}

// Run executes the verb. An unknown name prints near misses and exits with 2, so that scripts notice.
func (c *knobsCmd) Run(e *env) error {
	eng, err := parseEngine(c.Engine)
	if err != nil {
		return err
	}
	if len(c.Name) == 0 {
		if c.Format == "json" {
			return report.JSON(e.stdout, struct {
				Schema string       `json:"schema"`
				Knobs  []knob.Entry `json:"knobs"`
			}{"stepscope.knobs/1", knob.Entries()})
		}
		for _, k := range knob.Entries() {
			if k.Engine == eng.Name && (k.Kind == knob.Flag || k.Kind == knob.Env) && knob.Available(k, eng).Safe() {
				fmt.Fprintf(e.stdout, "%-46s %s\n", k.Name, report.Cut(k.Does, report.Width-47))
			}
		}
		return nil
	}
	asked := strings.Join(c.Name, " ")
	entry, m := knob.Lookup(asked, eng)
	if c.Format == "json" {
		a := knobAnswer{Schema: "stepscope.knob/1", Engine: eng.String(), Match: m}
		if entry.Name != "" {
			a.Entry = &entry
		}
		if err := report.JSON(e.stdout, a); err != nil {
			return err
		}
	} else {
		fmt.Fprint(e.stdout, knob.DescribeMatch(entry, m, eng))
	}
	if !m.Known() {
		return fmt.Errorf("no knob is called %q", asked)
	}
	return nil
}

// knobNames lets "stepscope knobs --max-num-seqs" ask for an option by its name: what is no option of the verb itself, before
// or behind it, is the name that is asked for.
func knobNames(args []string) []string {
	if len(args) < 2 || args[0] != "knobs" {
		return args
	}
	own, name := []string{"knobs"}, []string{}
	for i := 1; i < len(args); i++ {
		switch option, _, valued := strings.Cut(args[i], "="); option {
		case "--":
			name = append(name, args[i+1:]...)
			i = len(args)
		case "--engine", "--format", "-f":
			own = append(own, args[i])
			if !valued && i+1 < len(args) {
				i++
				own = append(own, args[i])
			}
		case "--help", "-h":
			own = append(own, args[i])
		default:
			name = append(name, args[i])
		}
	}
	if len(name) > 0 {
		own = append(append(own, "--"), name...)
	}
	return own
}

// tryKnobs lets "stepscope try --max-num-seqs=64" name a knob as the server's command line does: an option that try has not, and the
// catalogue has, becomes KNOB=VALUE. What neither has is left to the parser's complaint.
func tryKnobs(app *kong.Application, args []string) []string {
	if len(args) < 2 || args[0] != "try" {
		return args
	}
	valued := map[string]bool{"--help": false} // try's own options, and whether a value follows
	for _, leaf := range app.Leaves(false) {
		if leaf.Name == "try" {
			for _, f := range slices.Concat(app.Flags, leaf.Flags) {
				valued["--"+f.Name] = !f.IsBool()
				if f.Short != 0 {
					valued["-"+string(f.Short)] = !f.IsBool()
				}
			}
		}
	}
	out := []string{"try"}
	for i := 1; i < len(args); i++ {
		name, _, joined := strings.Cut(args[i], "=")
		if follows, own := valued[name]; own || !strings.HasPrefix(name, "--") {
			out = append(out, args[i])
			if follows && !joined && i+1 < len(args) {
				i++
				out = append(out, args[i])
			}
			continue
		}
		e, m := knob.Lookup(name, knob.Engine{Name: knob.VLLM})
		switch {
		case !m.Known():
			out = append(out, args[i])
		case !joined && !e.Switch() && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-"):
			out = append(out, name[2:]+"="+args[i+1])
			i++
		default:
			out = append(out, args[i][2:])
		}
	}
	return out
}
