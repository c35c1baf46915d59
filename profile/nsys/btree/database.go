package btree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"zombiezen.com/go/sqlite"
)

// Errors of Open and Read, to be tested with errors.Is.
var (
	// ErrNotDatabase means that the input does not start like a SQLite database.
	ErrNotDatabase = errors.New("not a SQLite database")
	// ErrCorrupt means that the input is a SQLite database whose content contradicts itself, or that is cut short.
	ErrCorrupt = errors.New("corrupt SQLite database")
	// ErrChanged means that the file was modified between Open and the end of a Read.
	ErrChanged = errors.New("the file changed while it was read")
)

// Options of Open. The zero value is the ordinary choice.
type Options struct {
	// TempDir is where a private copy is made when the database has a write-ahead log; "" = the system's.
	TempDir string
	// LibraryOnly reads every table with the SQL engine.
	LibraryOnly bool
}

// Database is an open database file. Its methods may be called from several goroutines, except Close.
type Database struct {
	path   string // as given, for messages
	file   *os.File
	info   fs.FileInfo
	header header
	refuse string // why no table of this file can take the fast path, "" = it can
	copied *privateCopy
	dbPath string // what the library opens: the file or its private copy

	mu     sync.Mutex // guards conn and tables
	conn   *sqlite.Conn
	tables map[string]*Table
	names  []string
}

// Open opens the database at path for reading. The error wraps ErrNotDatabase or ErrCorrupt where the content is the
// reason.
func Open(ctx context.Context, path string, opts Options) (_ *Database, err error) {
	d := &Database{path: path}
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	// Side files lie beside the file itself, not beside a symbolic link to it.
	d.dbPath, err = filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, cause(err))
	}
	// Looked at before it is opened: opening a FIFO would wait for its writer.
	info, err := os.Stat(d.dbPath)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, cause(err))
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("reading %s: %w: it is %s", path, ErrNotDatabase, describeMode(info.Mode()))
	}
	if err := d.openFile(d.dbPath); err != nil {
		return nil, err
	}
	if err := d.settleSideFiles(ctx, opts.TempDir); err != nil {
		return nil, err
	}
	w := walker{file: d.file, header: d.header}
	if err := w.checkSchema(ctx); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if opts.LibraryOnly {
		d.refuse = "the library was asked for"
	}
	if err := d.openLibrary(ctx); err != nil {
		return nil, err
	}
	return d, nil
}

// openFile opens file and reads its header. It is called again when a private copy replaces the file.
func (d *Database) openFile(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("reading %s: %w", d.path, cause(err))
	}
	d.file = f
	if d.info, err = f.Stat(); err != nil {
		return fmt.Errorf("reading %s: %w", d.path, cause(err))
	}
	d.header, d.refuse, err = readHeader(f, d.info.Size())
	if err != nil {
		return fmt.Errorf("reading %s: %w", d.path, err)
	}
	return nil
}

// Close releases the file and removes a private copy.
func (d *Database) Close() error {
	var errs []error
	if d.conn != nil {
		errs = append(errs, d.conn.Close())
		d.conn = nil
	}
	if d.file != nil {
		errs = append(errs, d.file.Close())
		d.file = nil
	}
	if d.copied != nil {
		errs = append(errs, d.copied.remove())
		d.copied = nil
	}
	return errors.Join(errs...)
}

// unchanged returns ErrChanged if the file is not the one that was opened any more. A size and modification time that
// stay the same are taken as no change, as every tool that rebuilds by time does.
func (d *Database) unchanged() error {
	now, err := d.file.Stat()
	if err != nil {
		return fmt.Errorf("reading %s: %w", d.path, cause(err))
	}
	if now.Size() != d.info.Size() || !now.ModTime().Equal(d.info.ModTime()) {
		return fmt.Errorf("reading %s: %w", d.path, ErrChanged)
	}
	return nil
}

// cause strips the path and operation that package os repeats in its errors.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func describeMode(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a directory"
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "no regular file"
}
