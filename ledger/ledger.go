// Package ledger keeps experiments: what was changed, from what to what, what it
// did, how sure that is and how far the prediction was off. Nothing that was
// acknowledged is ever lost or changed.
//
// A ledger is a folder, by convention .stepscope, with one append-only file of
// JSON lines, a head file, and artefacts named by their SHA-256. Every record
// carries the checksum of the one before, so that a changed, dropped or reordered
// record is found; the head file finds a cut-off end. docs/ledger-format.md
// describes every byte.
//
// Guarantees:
//
//   - Append returns without error only after the record, the head and the folder
//     entries are on disk (fsync).
//   - A writer killed at any byte leaves at most an unacknowledged tail. The next
//     Append saves these bytes as an artefact, cuts them off, and writes a record
//     of kind repair that says so. Reading reports them and changes nothing.
//   - Writers of several processes and goroutines take turns (an advisory file
//     lock, which the kernel releases when its holder dies; nothing goes stale).
//   - Damage anywhere but in an unacknowledged tail stops Append with a
//     DamageError until Accept; List and Verify still show everything that is whole.
//   - Command lines are masked before they are written (Mask).
//
// The storage layer imports nothing of stepscope's: records hold plain numbers.
package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// DefaultDir is the conventional folder of a ledger, beside the user's work.
const DefaultDir = ".stepscope"

// Names within the folder.
const (
	recordsName = "ledger.jsonl"
	headName    = "ledger.head"
	lockName    = "ledger.lock"
	objectsName = "objects"
)

// maxPayload bounds one record. What is larger belongs into an artefact.
const maxPayload = 4 << 20

// A Ledger is a folder of experiments. The zero value is not usable; see Open. It
// may be used by several goroutines.
type Ledger struct {
	// Now is the clock for entries without a time.
	Now func() time.Time
	// LockTimeout bounds the wait for other writers.
	LockTimeout time.Duration

	dir  string
	fs   filesystem
	lock func(ctx context.Context, path string, exclusive bool, timeout time.Duration) (unlock func(), err error)
}

// Open returns the ledger in dir. It creates nothing and reads nothing: the folder
// appears with the first Append or Put, and reading a missing ledger gives no records.
func Open(dir string) *Ledger {
	return &Ledger{Now: time.Now, LockTimeout: 10 * time.Second, dir: dir, fs: osFS{}, lock: lockFile}
}

// Dir is the ledger's folder.
func (l *Ledger) Dir() string { return l.dir }

func (l *Ledger) path(name string) string { return filepath.Join(l.dir, name) }

// A DamageError says that the ledger is damaged where no interrupted write explains it.
type DamageError struct {
	Path     string
	Problems []Problem
}

func (e *DamageError) Error() string {
	var texts []string
	for _, p := range e.Problems {
		texts = append(texts, p.String())
	}
	dir := filepath.Dir(e.Path)
	return fmt.Sprintf("%s is damaged: %s; nothing was written; `stepscope ledger verify --dir %s` says what is whole, and with --accept-damage it keeps the damaged bytes as an artefact and lets the ledger go on",
		e.Path, strings.Join(texts, "; "), shell([]string{dir}))
}

// ErrNoLedger says that a folder holds no ledger, or is not there.
var ErrNoLedger = errors.New("no ledger")

// Exists returns an error that wraps ErrNoLedger for a folder to which no ledger was ever written. One whose records are gone still has its head.
func (l *Ledger) Exists() error {
	info, err := os.Stat(l.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("reading %s: %w: the folder does not exist", l.dir, ErrNoLedger)
	case err != nil:
		return fmt.Errorf("reading the ledger: %w", err)
	case !info.IsDir():
		return fmt.Errorf("reading %s: %w: it is a file, and a ledger is a folder", l.dir, ErrNoLedger)
	}
	for _, name := range []string{recordsName, headName} {
		if _, err := os.Stat(l.path(name)); !errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	return fmt.Errorf("reading %s: %w: the folder has no %s", l.dir, ErrNoLedger, recordsName)
}

// ErrNotFound says that no record has the id asked for.
var ErrNotFound = errors.New("no such ledger entry")

// An Appended is an acknowledged record.
type Appended struct {
	Record Record
	// Repaired is the repair that had to come first, nil as a rule. Show it.
	Repaired *Record
	// Warnings are about the record's surroundings; the record itself is safe.
	Warnings []string
}

// Append writes an entry and returns it with its id once it is safe on disk. An
// error means that the entry is not acknowledged: it is not in the ledger, or, when
// even undoing the write failed, may be.
func (l *Ledger) Append(ctx context.Context, e Entry) (Appended, error) {
	f, s, done, err := l.openRecords(ctx)
	if err != nil {
		return Appended{}, err
	}
	defer done()

	var out Appended
	if open := s.open(); len(open) > 0 {
		if s.damaged() {
			return out, &DamageError{Path: l.path(recordsName), Problems: open}
		}
		rec, err := l.repair(f, s)
		if err != nil {
			return out, fmt.Errorf("repairing %s: %w", l.path(recordsName), err)
		}
		out.Repaired = &rec
	}
	if e.Ref != "" {
		if _, ok := find(s.records, e.Ref); !ok {
			return out, fmt.Errorf("entry %q refers to: %w", e.Ref, ErrNotFound)
		}
	}
	out.Record, out.Warnings, err = l.write(f, s, e)
	return out, err
}

// openRecords makes the folder, takes the writers' lock and reads the records. done gives up both.
func (l *Ledger) openRecords(ctx context.Context) (f file, s *scan, done func(), err error) {
	if err := l.makeDir(); err != nil {
		return nil, nil, nil, err
	}
	unlock, err := l.lock(ctx, l.path(lockName), true, l.LockTimeout)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("locking %s: %w", l.dir, err)
	}
	if f, err = l.fs.OpenFile(l.path(recordsName), os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		unlock()
		return nil, nil, nil, fmt.Errorf("opening the ledger: %w", err)
	}
	done = func() { f.Close(); unlock() }
	if s, err = scanFile(f, l.path(recordsName)); err != nil {
		done()
		return nil, nil, nil, err
	}
	s.addHead(l.readHead())
	return f, s, done, nil
}

// Accept goes on after damage that Verify has shown: the damaged bytes are kept as an artefact, and a repair record, which is
// returned, lists what is wrong. A torn end is repaired likewise. It returns nil where the records need none, and ErrNoLedger where
// there is no ledger. Missing artefacts stop no writer, and are left as they are.
func (l *Ledger) Accept(ctx context.Context) (*Record, error) {
	if err := l.Exists(); err != nil {
		return nil, err
	}
	f, s, done, err := l.openRecords(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if len(s.open()) == 0 {
		return nil, nil
	}
	rec, err := l.repair(f, s)
	if err != nil {
		return nil, fmt.Errorf("repairing %s: %w", l.path(recordsName), err)
	}
	return &rec, nil
}

// Note appends a remark on an earlier entry.
func (l *Ledger) Note(ctx context.Context, ref, text string) (Appended, error) {
	if strings.TrimSpace(text) == "" {
		return Appended{}, errors.New("an empty note was not written")
	}
	s, err := l.scan(ctx)
	if err != nil {
		return Appended{}, err
	}
	r, ok := find(s.records, ref)
	if !ok {
		return Appended{}, fmt.Errorf("%s %q: %w", l.path(recordsName), ref, ErrNotFound)
	}
	return l.Append(ctx, Entry{Kind: KindNote, Ref: r.Entry.ID, Text: text})
}

// List returns all whole records in order. Problems are what a reader has to know:
// a torn tail, damage. They do not stop it.
func (l *Ledger) List(ctx context.Context) ([]Record, []Problem, error) {
	s, err := l.scan(ctx)
	if err != nil {
		return nil, nil, err
	}
	return s.records, s.problems, nil
}

// Show returns the record with the given id (or unique prefix of its checksum, six
// digits or more) and the notes on it.
func (l *Ledger) Show(ctx context.Context, id string) (Record, []Record, error) {
	s, err := l.scan(ctx)
	if err != nil {
		return Record{}, nil, err
	}
	r, ok := find(s.records, id)
	if !ok {
		return Record{}, nil, fmt.Errorf("%s %q: %w", l.path(recordsName), id, ErrNotFound)
	}
	var notes []Record
	for _, n := range s.records {
		if n.Entry.Kind == KindNote && n.Entry.Ref == r.Entry.ID {
			notes = append(notes, n)
		}
	}
	return r, notes, nil
}

func find(records []Record, id string) (Record, bool) {
	var hit Record
	hits := 0
	for _, r := range records {
		if r.Entry.ID == id {
			return r, true
		}
		if len(id) >= 6 && strings.HasPrefix(r.Sum, id) {
			hit, hits = r, hits+1
		}
	}
	return hit, hits == 1
}

// scan reads the ledger under a shared lock, so that a record being written by
// another process is not taken for a torn one.
func (l *Ledger) scan(ctx context.Context) (*scan, error) {
	if _, err := os.Stat(l.path(lockName)); err == nil {
		unlock, err := l.lock(ctx, l.path(lockName), false, l.LockTimeout)
		switch {
		case err == nil:
			defer unlock()
		case errors.Is(err, fs.ErrPermission): // someone else's ledger: read it unlocked
		default:
			return nil, fmt.Errorf("locking %s: %w", l.dir, err)
		}
	}
	f, err := l.fs.OpenFile(l.path(recordsName), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		s := &scan{last: zeroSum}
		s.addHead(l.readHead())
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening the ledger: %w", err)
	}
	defer f.Close()
	s, err := scanFile(f, l.path(recordsName))
	if err != nil {
		return nil, err
	}
	s.addHead(l.readHead())
	return s, nil
}

// write appends e to f, of which s.good bytes are whole and nothing follows.
func (l *Ledger) write(f file, s *scan, e Entry) (Record, []string, error) {
	seq := s.seq + 1
	e.prepare(seq, l.Now)
	payload, err := marshal(e)
	if err != nil {
		return Record{}, nil, fmt.Errorf("encoding ledger entry: %w", err)
	}
	if len(payload) > maxPayload {
		return Record{}, nil, fmt.Errorf("ledger entry of %d bytes is over the limit of %d: store the bulk as an artefact", len(payload), maxPayload)
	}
	line, sum := encodeLine(seq, s.last, payload)
	if err := writeRecord(f, line, s.good, s.size); err != nil {
		return Record{}, nil, fmt.Errorf("appending to %s: %w", l.path(recordsName), err)
	}
	rec := Record{Seq: seq, Prev: s.last, Sum: sum, Entry: e, Raw: payload}
	// The file may have been created by an earlier writer who died before making
	// its folder entry durable, so this happens every time, first record or not.
	if err := l.syncDirs(); err != nil {
		if s.size <= s.good {
			err = undo(f, s.good, err)
		}
		return Record{}, nil, fmt.Errorf("appending to %s: %w", l.path(recordsName), err)
	}
	var warnings []string
	if err := l.writeHead(head{Seq: seq, Sum: sum}); err != nil {
		warnings = append(warnings, fmt.Sprintf("entry %s is safe, but the head file is not up to date: %v", e.ID, err))
	}
	s.good += int64(len(line))
	s.size = s.good
	s.seq, s.last = seq, sum
	s.records = append(s.records, rec)
	return rec, warnings, nil
}

// writeRecord writes line at off and makes it durable, or takes it back. Bytes up
// to size that a torn record left are overwritten and the rest of them cut off
// afterwards: cutting first and dying then would repair in silence.
func writeRecord(f file, line []byte, off, size int64) error {
	torn := size > off
	_, err := f.WriteAt(line, off)
	if err == nil {
		err = f.Sync()
	}
	if end := off + int64(len(line)); err == nil && size > end {
		if err = f.Truncate(end); err == nil {
			err = f.Sync()
		}
	}
	if err != nil && !torn {
		err = undo(f, off, err)
	}
	return err
}

// undo cuts an unacknowledged record off again. If that fails too, the next Append
// finds either a torn tail, which it repairs, or a whole record, which it keeps.
func undo(f file, off int64, cause error) error {
	if err := f.Truncate(off); err != nil {
		return fmt.Errorf("%w (and taking the write back: %w)", cause, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("%w (and taking the write back: %w)", cause, err)
	}
	return cause
}

// repair keeps the bytes behind the last whole record as an artefact and puts a
// record that says so in their place. With damage in the middle of the file, which the user
// has accepted, the whole file is kept as an artefact and the whole records are left
// where they are: the chain goes on from the last of them.
func (l *Ledger) repair(f file, s *scan) (Record, error) {
	from := s.good
	if s.inner {
		from = 0
	}
	info := Repair{Offset: s.good, Bytes: s.size - s.good}
	for _, p := range s.problems {
		if p.Repaired == "" {
			info.Problems = append(info.Problems, p.String())
		}
	}
	e := Entry{Kind: KindRepair, Repair: &info}
	if s.size > from {
		a, err := l.put(io.NewSectionReader(f, from, s.size-from), "damaged-ledger-bytes")
		if err != nil {
			return Record{}, fmt.Errorf("keeping the damaged bytes: %w", err)
		}
		e.Artefacts = []Artefact{a}
	}
	rec, _, err := l.write(f, s, e)
	return rec, err
}

// syncDirs makes the ledger's folder and the entries in it durable.
func (l *Ledger) syncDirs() error {
	if err := l.fs.SyncDir(l.dir); err != nil {
		return err
	}
	return l.fs.SyncDir(filepath.Dir(filepath.Clean(l.dir)))
}

func (l *Ledger) makeDir() error {
	if err := l.fs.MkdirAll(l.dir, 0o755); err != nil {
		return fmt.Errorf("creating the ledger folder: %w", err)
	}
	return nil
}

// A head names the last acknowledged record. It lets Verify notice that the end of
// the ledger is missing, which a chain of checksums cannot.
type head struct {
	Seq int64  `json:"seq"`
	Sum string `json:"sum"`
}

// readHead returns the head; ok is false when there is none that makes sense.
func (l *Ledger) readHead() (h head, ok bool) {
	f, err := l.fs.OpenFile(l.path(headName), os.O_RDONLY, 0)
	if err != nil {
		return head{}, false
	}
	defer f.Close()
	buf := make([]byte, 256)
	n, _ := f.ReadAt(buf, 0)
	if json.Unmarshal(buf[:n], &h) != nil || h.Seq < 1 || !isSum(h.Sum) {
		return head{}, false
	}
	return h, true
}

func (l *Ledger) writeHead(h head) error {
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	// Writers hold the lock, so one name for the temporary file is enough.
	return l.replace(l.path(headName), l.path(headName+".tmp"), append(b, '\n'))
}

// replace writes a small file by temporary file, fsync, rename and folder fsync.
func (l *Ledger) replace(name, tmp string, content []byte) error {
	f, err := l.fs.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(content, 0)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = l.fs.Rename(tmp, name)
	}
	if err != nil {
		return err
	}
	return l.fs.SyncDir(filepath.Dir(name))
}
