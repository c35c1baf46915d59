package btree

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// Magic numbers of the two kinds of side file, https://sqlite.org/fileformat2.html sections 3 and 4.1.
const (
	walMagic       = 0x377f0682 // the last bit says in which byte order checksums are
	walHeaderSize  = 32
	journalMagic   = "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
	journalMinimum = 512 // a journal's header fills one sector
)

// privateCopy is a copy of the database with its side file applied.
type privateCopy struct{ dir string }

func (p *privateCopy) remove() error { return os.RemoveAll(p.dir) }

// settleSideFiles looks for transactions that are not in the database file itself. If there are none, the file alone
// is the database and is opened as immutable, which takes no lock and makes no file. If there are, database and side
// file are copied and SQLite applies them in the copy: opening the original would let SQLite do it there.
func (d *Database) settleSideFiles(ctx context.Context, tempDir string) error {
	suffix, err := pendingSideFile(d.dbPath)
	if err != nil {
		return fmt.Errorf("reading %s: %w", d.path, err)
	}
	if suffix == "" {
		return nil
	}
	dir, err := os.MkdirTemp(tempDir, "stepscope-db-")
	if err != nil {
		return fmt.Errorf("reading %s: a private copy is needed for its %s file: %w", d.path, suffix, err)
	}
	d.copied = &privateCopy{dir}
	db := filepath.Join(dir, "copy.sqlite")
	if err := copyFile(ctx, db, io.NewSectionReader(d.file, 0, d.info.Size())); err != nil {
		return fmt.Errorf("reading %s: making a private copy for its %s file: %w", d.path, suffix, cause(err))
	}
	side, err := os.Open(d.dbPath + suffix)
	if err != nil {
		return fmt.Errorf("reading %s: its %s file: %w", d.path, suffix, cause(err))
	}
	defer side.Close()
	if err := copyFile(ctx, db+suffix, side); err != nil {
		return fmt.Errorf("reading %s: making a private copy of its %s file: %w", d.path, suffix, cause(err))
	}
	if err := d.unchanged(); err != nil {
		return err
	}
	if err := settle(ctx, db); err != nil {
		return fmt.Errorf("reading %s: applying its %s file to a private copy: %w", d.path, suffix, libraryError(err))
	}
	d.file.Close()
	d.dbPath = db
	return d.openFile(db)
}

// settle makes the copy a database without side files.
func settle(ctx context.Context, db string) error {
	conn, err := sqlite.OpenConn(db, sqlite.OpenReadWrite)
	if err != nil {
		return err
	}
	conn.SetInterrupt(ctx.Done())
	if err := sqlitex.ExecuteTransient(conn, "SELECT count(*) FROM sqlite_schema", nil); err != nil {
		conn.Close()
		return err
	}
	if err := sqlitex.ExecuteTransient(conn, "PRAGMA journal_mode = delete", nil); err != nil {
		conn.Close()
		return err
	}
	return conn.Close()
}

// pendingSideFile returns "-wal" or "-journal" if that file beside db holds something that SQLite would apply, and ""
// if neither does.
func pendingSideFile(db string) (string, error) {
	wal, err := sideFileHead(db+"-wal", walHeaderSize)
	if err != nil {
		return "", err
	}
	if len(wal) == walHeaderSize && binary.BigEndian.Uint32(wal)&^1 == walMagic {
		return "-wal", nil
	}
	journal, err := sideFileHead(db+"-journal", journalMinimum)
	if err != nil {
		return "", err
	}
	// A journal whose header was zeroed or never written belongs to a finished transaction.
	if !bytes.HasPrefix(journal, []byte(journalMagic)) {
		return "", nil
	}
	named, err := namesSuperJournal(db + "-journal")
	if err != nil {
		return "", err
	}
	if named {
		// Rolling it back could make SQLite delete the file that it names.
		return "", fmt.Errorf("%w: its -journal file belongs to a transaction over several databases (export it again)", ErrCorrupt)
	}
	return "-journal", nil
}

// sideFileHead returns up to n leading bytes of a regular file, nil if there is no such file or it holds nothing more.
func sideFileHead(path string, n int64) ([]byte, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("its side file %s: %w", filepath.Base(path), cause(err))
	}
	if !info.Mode().IsRegular() || info.Size() <= n {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("its side file %s: %w", filepath.Base(path), cause(err))
	}
	defer f.Close()
	b := make([]byte, n)
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, fmt.Errorf("its side file %s: %w", filepath.Base(path), cause(err))
	}
	return b, nil
}

// namesSuperJournal reports whether the journal ends with the name of a super-journal, which always ends in the magic.
func namesSuperJournal(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, cause(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, cause(err)
	}
	tail := make([]byte, len(journalMagic))
	if _, err := f.ReadAt(tail, info.Size()-int64(len(tail))); err != nil {
		return false, cause(err)
	}
	return string(tail) == journalMagic, nil
}

func copyFile(ctx context.Context, to string, from io.Reader) error {
	w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, &contextReader{ctx, from})
	return errors.Join(err, w.Close())
}

// contextReader ends a copy when the context ends.
type contextReader struct {
	ctx  context.Context
	from io.Reader
}

func (r *contextReader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.from.Read(b)
}
