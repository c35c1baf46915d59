package btree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"

	"github.com/stepscope/stepscope/internal/proftest/scale"
)

// collected is one table as a Sink saw it.
type collected struct {
	parts  [][]string
	rows   int64
	begins int
}

func (c *collected) Begin(parts int, rows int64) {
	c.parts = make([][]string, parts)
	c.rows = rows
	c.begins++
}

func (c *collected) Batch(part int, b *Batch) error {
	for r := range b.Len {
		var line bytes.Buffer
		fmt.Fprintf(&line, "%d", b.Rowid[r])
		for i := range b.Cols {
			v := &b.Cols[i]
			if v.Seen&(1<<v.Kinds[r]) == 0 {
				return fmt.Errorf("column %d row %d: kind %d is not in Seen %b", i, r, v.Kinds[r], v.Seen)
			}
			fmt.Fprintf(&line, "|%d:%d", v.Kinds[r], v.Ints[r])
			if v.Text != nil && (v.Kinds[r] == Text || v.Kinds[r] == Blob) {
				fmt.Fprintf(&line, ":%q", v.Text[r])
			}
		}
		c.parts[part] = append(c.parts[part], line.String())
	}
	return nil
}

func (c *collected) lines() []string {
	var all []string
	for _, p := range c.parts {
		all = append(all, p...)
	}
	return all
}

// wantAll wants every column, texts included.
func wantAll(t *Table) []Want {
	var w []Want
	for _, c := range t.Columns {
		w = append(w, Want{c.Name, true})
	}
	return w
}

// wantSome wants every third column, without texts.
func wantSome(t *Table) []Want {
	var w []Want
	for i := 0; i < len(t.Columns); i += 3 {
		w = append(w, Want{Name: t.Columns[len(t.Columns)-1-i].Name})
	}
	return w
}

// sameAsLibrary reads every table of the database both ways. They must agree, or the fast path must give up. It returns
// how each table was read.
func sameAsLibrary(t testing.TB, path string) map[string]Info {
	t.Helper()
	ctx := context.Background()
	fast, fastErr := Open(ctx, path, Options{})
	slow, slowErr := Open(ctx, path, Options{LibraryOnly: true})
	if (fastErr == nil) != (slowErr == nil) {
		t.Fatalf("%s: open fast: %v, library: %v", path, fastErr, slowErr)
	}
	if fastErr != nil {
		return nil
	}
	defer fast.Close()
	defer slow.Close()
	infos := map[string]Info{}
	for _, name := range slow.Tables() {
		table, err := slow.Table(name)
		if err != nil {
			if _, ferr := fast.Table(name); ferr == nil {
				t.Fatalf("table %s: library: %v, fast: no error", name, err)
			}
			continue
		}
		for _, want := range [][]Want{wantAll(table), wantSome(table)} {
			if len(want) == 0 {
				continue
			}
			var f, s collected
			info, ferr := fast.Read(ctx, name, want, 4, &f)
			_, serr := slow.Read(ctx, name, want, 4, &s)
			if (ferr == nil) != (serr == nil) {
				t.Fatalf("table %s: fast (%+v): %v, library: %v", name, info, ferr, serr)
			}
			infos[name] = info
			if ferr != nil {
				if !errors.Is(ferr, ErrCorrupt) {
					t.Logf("table %s: %v", name, ferr)
				}
				continue
			}
			got, wants := f.lines(), s.lines()
			for i := range min(len(got), len(wants)) {
				if got[i] != wants[i] {
					t.Fatalf("table %s row %d: fast %s, library %s", name, i, got[i], wants[i])
				}
			}
			if len(got) != len(wants) {
				t.Fatalf("table %s: fast path gave %d rows, library %d", name, len(got), len(wants))
			}
			if info.Fast && f.rows < int64(len(got)) {
				info.Reason = fmt.Sprintf("expected %d rows, %d came", f.rows, len(got))
				infos[name] = info
			}
		}
	}
	return infos
}

// Every table of every real capture reads the same both ways, and the fast path takes all of them.
func TestCaptures(t *testing.T) {
	for _, name := range []string{
		"base1b-G", "base1b-graphlevel-G", "base8b-A", "base8b-B", "base8b-E", "base8b-gpumetrics-A", "eager1b-G", "fp8-A", "seqs4-B",
	} {
		t.Run(name, func(t *testing.T) {
			if (testing.Short() || scale.Race) && name != "base1b-graphlevel-G" {
				t.Skip("one is enough for a short run")
			}
			for table, info := range sameAsLibrary(t, scale.Unpack(t, name)) {
				if !info.Fast || info.Reason != "" {
					t.Errorf("%s: %+v", table, info)
				}
			}
		})
	}
}

// A table that is large enough is read in parts, which together are the table.
func TestParts(t *testing.T) {
	rows := 200_000
	if scale.Race {
		rows = 40_000
	}
	path := build(t, "CREATE TABLE t(a INTEGER, b TEXT, c INTEGER); INSERT INTO t SELECT n, 'row ' || n, n*n*n FROM "+numbers(rows))
	d, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var one, two collected
	for workers, c := range map[int]*collected{1: &one, 2: &two} {
		if _, err := d.Read(t.Context(), "t", []Want{{"a", false}, {"b", true}}, workers, c); err != nil {
			t.Fatal(err)
		}
	}
	if len(one.parts) != 1 || len(one.lines()) != rows {
		t.Errorf("one worker: %d parts, %d rows", len(one.parts), len(one.lines()))
	}
	if want := min(2, runtime.GOMAXPROCS(0)); len(two.parts) != want {
		t.Errorf("two workers: %d parts, want %d", len(two.parts), want)
	}
	if !slices.Equal(one.lines(), two.lines()) {
		t.Error("parts differ from the whole")
	}
}
