package ledger

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// probeBytes is how much Probe writes: more than an experiment's records and logs take as a rule.
const probeBytes = 1 << 20

// Check returns the error that a writer would meet, as far as reading shows it: a folder that is a file, or damage. It changes nothing.
func (l *Ledger) Check(ctx context.Context) error {
	for dir := filepath.Clean(l.dir); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		switch {
		case err == nil && !info.IsDir():
			return fmt.Errorf("writing the ledger %s: %s is a file, and a ledger is a folder", l.dir, dir)
		case err != nil && !os.IsNotExist(err) && filepath.Dir(dir) == dir:
			return fmt.Errorf("writing the ledger %s: %w", l.dir, err)
		case err != nil && filepath.Dir(dir) != dir:
			continue // not there yet, or below a file: the folder above tells
		}
		break
	}
	s, err := l.scan(ctx)
	if err != nil {
		return err
	}
	if s.damaged() {
		return &DamageError{Path: l.path(recordsName), Problems: s.open()}
	}
	return nil
}

// Probe finds out whether entries and artefacts can be written, before work is done whose result is to be written down: what Check
// finds, a folder or file without the right to write, another writer that does not end, a full disk. It makes the folder and
// leaves no record.
func (l *Ledger) Probe(ctx context.Context) error {
	if err := l.Check(ctx); err != nil {
		return err
	}
	if err := l.probe(ctx); err != nil {
		return fmt.Errorf("writing the ledger %s: %w", l.dir, err)
	}
	return nil
}

func (l *Ledger) probe(ctx context.Context) error {
	if err := l.makeDir(); err != nil {
		return err
	}
	unlock, err := l.lock(ctx, l.path(lockName), true, l.LockTimeout)
	if err != nil {
		return err
	}
	defer unlock()
	switch f, err := l.fs.OpenFile(l.path(recordsName), os.O_RDWR, 0); {
	case err == nil:
		f.Close()
	case !errors.Is(err, fs.ErrNotExist): // made with the first record
		return err
	}
	objects := l.path(objectsName)
	if err := l.fs.MkdirAll(objects, 0o755); err != nil {
		return err
	}
	var id [8]byte
	rand.Read(id[:]) // never fails
	tmp := filepath.Join(objects, tmpPrefix+hex.EncodeToString(id[:]))
	f, err := l.fs.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(make([]byte, probeBytes), 0); err == nil {
		err = f.Sync() // some file systems find out only now that they are full
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if e := l.fs.Remove(tmp); err == nil {
		err = e
	}
	return err
}
