package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stepscope/stepscope/ledger"
	"github.com/stepscope/stepscope/report"
)

type ledgerCmd struct {
	Dir string `default:".stepscope" placeholder:"DIR" help:"The ledger's folder (default: .stepscope)."`

	List   ledgerListCmd   `cmd:"" default:"withargs" help:"The default. The story: baseline, each change, its gain and verdict, and how far the prediction was off."`
	Show   ledgerShowCmd   `cmd:"" help:"One entry with its notes, as JSON."`
	Note   ledgerNoteCmd   `cmd:"" help:"Add a note to an entry."`
	Verify ledgerVerifyCmd `cmd:"" help:"Check every record and artefact."`
	Export ledgerExportCmd `cmd:"" help:"Write the ledger as Markdown or CSV."`
}

type ledgerListCmd struct {
	Format string `short:"f" enum:"text,json" default:"text" help:"text or json."`
}

// Run executes the verb.
func (c *ledgerListCmd) Run(e *env, l *ledgerCmd) error {
	records, problems, err := ledger.Open(l.Dir).List(e.ctx)
	if err != nil {
		return err
	}
	for _, p := range problems {
		fmt.Fprintf(e.stderr, "stepscope: %s: %s\n", l.Dir, p)
	}
	if c.Format == "json" {
		return report.JSON(e.stdout, struct {
			Schema  string       `json:"schema"`
			Records []recordView `json:"records"`
		}{ledger.Schema, views(records)})
	}
	if len(records) == 0 {
		fmt.Fprintf(e.stdout, "No experiment in %s yet: stepscope try KNOB=VALUE -- vllm serve MODEL writes the first.\n", l.Dir)
		return nil
	}
	return ledger.Story(e.stdout, records)
}

// recordView is a record in JSON: the payload exactly as it is stored.
type recordView struct {
	Seq   int64           `json:"seq"`
	Sum   string          `json:"sum"`
	Entry json.RawMessage `json:"entry"`
}

func views(records []ledger.Record) []recordView {
	out := make([]recordView, len(records))
	for i, r := range records {
		out[i] = recordView{r.Seq, r.Sum, json.RawMessage(r.Raw)}
	}
	return out
}

type ledgerShowCmd struct {
	ID string `arg:"" help:"The entry."`
}

// Run executes the verb.
func (c *ledgerShowCmd) Run(e *env, l *ledgerCmd) error {
	rec, notes, err := ledger.Open(l.Dir).Show(e.ctx, c.ID)
	if err != nil {
		return err
	}
	return report.JSON(e.stdout, struct {
		Schema string       `json:"schema"`
		Record recordView   `json:"record"`
		Notes  []recordView `json:"notes"`
	}{ledger.Schema, views([]ledger.Record{rec})[0], views(notes)})
}

type ledgerNoteCmd struct {
	ID   string   `arg:"" help:"The entry."`
	Text []string `arg:"" help:"The note."`
}

// Run executes the verb.
func (c *ledgerNoteCmd) Run(e *env, l *ledgerCmd) error {
	a, err := ledger.Open(l.Dir).Note(e.ctx, c.ID, strings.Join(c.Text, " "))
	if err != nil {
		return err
	}
	e.acknowledge(a)
	return nil
}

// acknowledge prints a written record, and the repair that had to come first.
func (e *env) acknowledge(a ledger.Appended) {
	if a.Repaired != nil {
		fmt.Fprintf(e.stderr, "stepscope: the ledger had a torn end, which was repaired: record %s says what it was\n", a.Repaired.Entry.ID)
	}
	for _, w := range a.Warnings {
		fmt.Fprintf(e.stderr, "stepscope: %s\n", w)
	}
	fmt.Fprintf(e.stdout, "%s\n", a.Record.Entry.ID)
}

type ledgerVerifyCmd struct {
	Format string `short:"f" enum:"text,json" default:"text" help:"text or json."`
	Accept bool   `name:"accept-damage" help:"Go on after damage to the records: keep the damaged bytes as an artefact, and write a record that says what is gone."`
}

// Run executes the verb; damage exits with 2, and so does a folder without a ledger: nothing was verified there.
func (c *ledgerVerifyCmd) Run(e *env, l *ledgerCmd) error {
	book := ledger.Open(l.Dir)
	if err := book.Exists(); err != nil {
		return err
	}
	if c.Accept {
		rec, err := book.Accept(e.ctx)
		if err != nil {
			return err
		}
		e.accepted(rec)
	}
	r, err := book.Verify(e.ctx)
	if err != nil {
		return err
	}
	if c.Format == "json" {
		err = report.JSON(e.stdout, r)
	} else {
		fmt.Fprintf(e.stdout, "%d records, %d bytes, %d artefacts, last checksum %s\n", r.Records, r.Bytes, r.Artefacts, r.LastSum)
		for _, p := range r.Problems {
			text := p.String()
			if p.Repaired != "" {
				text += "; accepted, see " + p.Repaired
			}
			fmt.Fprintf(e.stdout, "  %s: %s\n", p.Kind, text)
		}
		for _, rep := range r.Repairs {
			text := strings.Join(rep.Problems, "; ")
			for _, a := range rep.Kept {
				text += fmt.Sprintf("; artefact %s has the %d bytes that were there", a.SHA256, a.Bytes)
			}
			fmt.Fprintf(e.stdout, "  repaired by %s: %s\n", rep.ID, text)
		}
	}
	if err == nil && !r.OK() {
		err = errors.New("the ledger is damaged")
		if slices.ContainsFunc(r.Problems, func(p ledger.Problem) bool { return p.Blocks() }) {
			err = errors.New("the ledger is damaged; --accept-damage keeps the damaged bytes as an artefact and lets the ledger go on")
		}
	}
	return err
}

// accepted says what accepting the damage did.
func (e *env) accepted(rec *ledger.Record) {
	if rec == nil {
		fmt.Fprintln(e.stderr, "stepscope: no record is damaged: nothing was accepted")
		return
	}
	fmt.Fprintf(e.stderr, "stepscope: the damage was accepted: record %s says what it was, and the ledger goes on\n", rec.Entry.ID)
}

type ledgerExportCmd struct {
	Format string `short:"f" enum:"md,csv" default:"md" help:"md or csv."`
	Output string `short:"o" placeholder:"F" help:"Write to a file."`
}

// Run executes the verb.
func (c *ledgerExportCmd) Run(e *env, l *ledgerCmd) error {
	records, problems, err := ledger.Open(l.Dir).List(e.ctx)
	if err != nil {
		return err
	}
	for _, p := range problems {
		fmt.Fprintf(e.stderr, "stepscope: %s: %s\n", l.Dir, p)
	}
	out, err := e.output(c.Output)
	if err != nil {
		return err
	}
	if c.Format == "csv" {
		return out.close(ledger.CSV(out, records))
	}
	return out.close(ledger.Markdown(out, records))
}
