package nsys

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stepscope/stepscope/internal/proftest/sqlitewriter"
	"github.com/stepscope/stepscope/profile"
)

// FuzzOpen feeds damaged exports. Whatever comes in, the reader gives a valid profile or an error that says what kind of
// error it is; Open checks the profile itself.
func FuzzOpen(f *testing.F) {
	for _, v := range sqlitewriter.Versions {
		b, err := os.ReadFile(decode(v.Schema).Write(f))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	path := filepath.Join(f.TempDir(), "fuzz.sqlite")
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 256<<10 {
			t.Skip()
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		var told [2]string
		for i, libraryOnly := range []bool{false, true} {
			begun := time.Now()
			p, err := Open(t.Context(), path, Options{LibraryOnly: libraryOnly})
			if took := time.Since(begun); took > 10*time.Second {
				t.Fatalf("%d bytes took %v", len(b), took)
			}
			switch {
			case err == nil:
				if err := p.CheckValid(); err != nil {
					t.Fatal(err)
				}
				told[i] = fmt.Sprintf("%+v", p)
			case !errors.Is(err, profile.ErrMalformed) && !errors.Is(err, profile.ErrUnrecognised):
				t.Fatalf("an error of no kind: %v", err)
			}
		}
		if told[0] != told[1] {
			t.Fatalf("fast path and SQL engine tell different stories:\n%.2000s\n%.2000s", told[0], told[1])
		}
	})
}

// FuzzValues keeps the file intact and makes its values up: the input is cut into rows of odd times, ids and kinds.
func FuzzValues(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add([]byte{255, 254, 253, 252, 251, 250, 128, 127, 126, 3, 3, 3, 3, 3})
	odd := []any{nil, 0, 1, -1, 2, 59, 60, 75, 77, 1 << 31, -1 << 31, int64(math.MaxInt64), int64(math.MinInt64), int64(1) << 40, global(5, 6), "text", []byte{0}, 1.5, 2.0, 1e300}
	tables := []string{tabKernel, tabMemcpy, tabMemset, tabRuntime, tabSync, tabGraph, tabNVTX, tabOSRT, tabMetrics, tabMemUse, tabNodeEv, tabGraphEv, tabOverhead,
		tabAnalysis, tabGPU, tabCudaDev, tabSession, tabDiag, tabProcess, tabThread, tabMetricIn, tabCublas, tabCuptiOver}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 2000 {
			t.Skip()
		}
		w := sqlitewriter.New("3.25.0").Strings("a", "b")
		at := 0
		next := func() int {
			if at >= len(b) {
				at++
				return at * 7
			}
			at++
			return int(b[at-1])
		}
		for range 6 {
			table := tables[next()%len(tables)]
			values := row{}
			for _, c := range w.Columns(table) {
				values[c] = odd[next()%len(odd)]
			}
			w.Insert(table, values)
		}
		p, err := Open(t.Context(), w.Write(t), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.CheckValid(); err != nil {
			t.Fatal(err)
		}
	})
}
