package ledger

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// tmpPrefix marks unfinished artefacts.
const tmpPrefix = "tmp-"

// Put stores the bytes of r and returns their name for Entry.Artefacts. The same
// bytes are stored once. When it returns without error they are on disk. Put does
// not look into the bytes: whoever stores a log removes its secrets first.
func (l *Ledger) Put(ctx context.Context, name string, r io.Reader) (Artefact, error) {
	if err := l.makeDir(); err != nil {
		return Artefact{}, err
	}
	a, err := l.put(contextReader{ctx, r}, filepath.Base(filepath.ToSlash(name)))
	if err != nil {
		return Artefact{}, fmt.Errorf("storing artefact %s: %w", name, err)
	}
	return a, nil
}

// put writes to a temporary file of a random name, so writers need no lock, and
// renames it to its checksum: whatever has such a name is complete.
func (l *Ledger) put(r io.Reader, name string) (Artefact, error) {
	objects := l.path(objectsName)
	if err := l.fs.MkdirAll(objects, 0o755); err != nil {
		return Artefact{}, err
	}
	var id [8]byte
	rand.Read(id[:]) // never fails
	tmp := filepath.Join(objects, tmpPrefix+hex.EncodeToString(id[:]))
	f, err := l.fs.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return Artefact{}, err
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(io.NewOffsetWriter(f, 0), h), r)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	sum := hex.EncodeToString(h.Sum(nil))
	object := l.objectPath(sum)
	folder := filepath.Dir(object)
	if err == nil {
		err = l.fs.MkdirAll(folder, 0o755)
	}
	if err == nil {
		// Over an existing object this replaces equal bytes by equal bytes, and
		// heals one that was damaged.
		err = l.fs.Rename(tmp, object)
	}
	if err != nil {
		l.fs.Remove(tmp)
		return Artefact{}, err
	}
	for _, d := range []string{folder, objects} {
		if err := l.fs.SyncDir(d); err != nil {
			return Artefact{}, err
		}
	}
	if err := l.syncDirs(); err != nil {
		return Artefact{}, err
	}
	return Artefact{Name: name, SHA256: sum, Bytes: n}, nil
}

func (l *Ledger) objectPath(sum string) string {
	return filepath.Join(l.path(objectsName), sum[:2], sum)
}

// Artefact opens stored bytes. Reading to the end checks them: the last Read
// returns an error instead of io.EOF when they are not what was stored.
func (l *Ledger) Artefact(a Artefact) (io.ReadCloser, error) {
	if !isSum(a.SHA256) {
		return nil, fmt.Errorf("artefact %s: %q is not a checksum", a.Name, a.SHA256)
	}
	f, err := l.fs.OpenFile(l.objectPath(a.SHA256), os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("opening artefact %s: %w", a.Name, err)
	}
	size, err := f.Size()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("opening artefact %s: %w", a.Name, err)
	}
	h := sha256.New()
	return &checkedReader{Reader: io.TeeReader(io.NewSectionReader(f, 0, size), h), Closer: f,
		check: func() error {
			if hex.EncodeToString(h.Sum(nil)) != a.SHA256 {
				return fmt.Errorf("artefact %s (%s): bytes do not match their checksum", a.Name, a.SHA256)
			}
			return nil
		}}, nil
}

type checkedReader struct {
	io.Reader
	io.Closer
	check func() error
}

func (r *checkedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		if e := r.check(); e != nil {
			return n, e
		}
	}
	return n, err
}

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// checkArtefacts reads every artefact that a record names and looks for leftovers.
func (l *Ledger) checkArtefacts(ctx context.Context, records []Record) (checked int, problems []Problem, err error) {
	done := map[string]bool{}
	for _, rec := range records {
		for _, a := range rec.Entry.Artefacts {
			if done[a.SHA256] {
				continue
			}
			done[a.SHA256] = true
			if err := ctx.Err(); err != nil {
				return checked, problems, err
			}
			r, err := l.Artefact(a)
			if err != nil {
				text := err.Error()
				if errors.Is(err, fs.ErrNotExist) {
					text = fmt.Sprintf("artefact %s (%s) is not there", a.Name, a.SHA256)
				}
				problems = append(problems, Problem{Kind: ArtefactMissing, Text: fmt.Sprintf("entry %s: %s", rec.Entry.ID, text)})
				continue
			}
			_, err = io.Copy(io.Discard, contextReader{ctx, r})
			r.Close()
			if ctx.Err() != nil {
				return checked, problems, ctx.Err()
			}
			if err != nil {
				problems = append(problems, Problem{Kind: ArtefactChanged, Text: fmt.Sprintf("entry %s: %v", rec.Entry.ID, err)})
				continue
			}
			checked++
		}
	}
	names, err := os.ReadDir(l.path(objectsName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return checked, problems, err
	}
	for _, d := range names {
		if strings.HasPrefix(d.Name(), tmpPrefix) {
			problems = append(problems, Problem{Kind: ArtefactPartial,
				Text: fmt.Sprintf("%s/%s was left by a writer that did not finish, unless one is at work now; it can be deleted", objectsName, d.Name())})
		}
	}
	return checked, problems, nil
}

// A Report is the result of Verify.
type Report struct {
	Records   int       `json:"records"`
	Bytes     int64     `json:"bytes"`
	LastSum   string    `json:"last_sum"` // 64 zeros for an empty ledger; write it down elsewhere to prove the ledger later
	Artefacts int       `json:"artefacts"`
	Problems  []Problem `json:"problems,omitempty"`
	// Repairs are what the ledger did about earlier damage. Damage at its end is only there: the repair record took its place.
	Repairs []Repaired `json:"repairs,omitempty"`
}

// Repaired is a repair record in a Report.
type Repaired struct {
	ID       string     `json:"id"`
	Problems []string   `json:"problems"`
	Kept     []Artefact `json:"kept,omitempty"` // the bytes that were there
}

// OK reports whether the ledger is whole. Leftovers of a killed writer are no
// damage; damage that was accepted stays listed, but no longer counts.
func (r Report) OK() bool {
	for _, p := range r.Problems {
		if p.Kind != ArtefactPartial && p.Repaired == "" {
			return false
		}
	}
	return true
}

// Verify checks every record, the chain, the head and every artefact. It changes
// nothing; its error means that it could not look, not that something is wrong. A ledger to which
// nothing was written yet is whole; Exists tells it from a wrong folder.
func (l *Ledger) Verify(ctx context.Context) (Report, error) {
	s, err := l.scan(ctx)
	if err != nil {
		return Report{}, err
	}
	r := Report{Records: len(s.records), Bytes: s.size, LastSum: s.last, Problems: s.problems}
	for _, rec := range s.records {
		if e := rec.Entry; e.Kind == KindRepair && e.Repair != nil {
			r.Repairs = append(r.Repairs, Repaired{e.ID, e.Repair.Problems, e.Artefacts})
		}
	}
	n, problems, err := l.checkArtefacts(ctx, s.records)
	r.Artefacts, r.Problems = n, append(r.Problems, problems...)
	return r, err
}
