package ledger

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A fullFS takes names, and no bytes.
type fullFS struct{ osFS }

type fullFile struct{ file }

func (fullFile) WriteAt([]byte, int64) (int, error) { return 0, syscall.ENOSPC }

func (f fullFS) OpenFile(name string, flag int, perm os.FileMode) (file, error) {
	g, err := f.osFS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return fullFile{g}, nil
}

func TestProbe(t *testing.T) {
	ctx := context.Background()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "sub", "led")} {
		for name, probe := range map[string]func(context.Context) error{"check": Open(dir).Check, "probe": Open(dir).Probe} {
			if err := probe(ctx); err == nil || !strings.Contains(err.Error(), file+" is a file") {
				t.Errorf("%s of %s: %v", name, dir, err)
			}
		}
	}

	l := testLedger(t)
	if err := l.Check(ctx); err != nil {
		t.Errorf("a folder that is not there yet: %v", err)
	}
	if _, err := os.Stat(l.Dir()); !os.IsNotExist(err) {
		t.Error("Check made the folder")
	}
	full := testLedger(t)
	full.fs = fullFS{}
	if err := full.Probe(ctx); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk: %v", err)
	}
	for range 2 { // before the first record, and after it
		if err := l.Probe(ctx); err != nil {
			t.Fatal(err)
		}
		if left, err := filepath.Glob(filepath.Join(l.Dir(), objectsName, "*")); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v %v", left, err)
		}
		mustAppend(t, l, Entry{Kind: KindBaseline})
	}
	if rep, err := l.Verify(ctx); err != nil || !rep.OK() || rep.Records != 2 {
		t.Errorf("verify: %+v %v", rep, err)
	}
	if err := os.Truncate(l.path(recordsName), 100); err != nil {
		t.Fatal(err)
	}
	var damage *DamageError
	if err := l.Probe(ctx); !errors.As(err, &damage) {
		t.Errorf("damage: %v", err)
	}
	if _, err := l.Accept(ctx); err != nil {
		t.Fatal(err)
	}
	if err := l.Probe(ctx); err != nil {
		t.Errorf("accepted damage: %v", err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")).Accept(ctx); !errors.Is(err, ErrNoLedger) {
		t.Errorf("accepting where there is nothing: %v", err)
	}
}
