package nsys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/profile/nsys/btree"
)

// Options of Open. The zero value is the ordinary choice.
type Options struct {
	Nsys        string // the nsys program for .nsys-rep files; "" = looked for
	CacheDir    string // where exports of .nsys-rep files are kept; "" = stepscope's folder in the user's cache
	LibraryOnly bool   // read SQLite tables with the SQL engine only
	// Progress is told what is being done; total 0 means unknown. It is called from any goroutine.
	Progress func(stage string, done, total int64)
	// Debug is told about detours, such as a table that the fast path refused.
	Debug func(string)
}

// Open reads the capture at path: a SQLite export (plain, .zst, .gz), a report (.nsys-rep) or a folder of Parquet files.
// The error wraps profile.ErrUnrecognised where path is none of them.
func Open(ctx context.Context, path string, o Options) (*profile.Profile, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, cause(err))
	}
	switch {
	case info.IsDir():
		return openParquet(ctx, path, o)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("reading %s: %w: not a regular file", path, profile.ErrUnrecognised)
	}
	head, err := prefix(path, 64)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, cause(err))
	}
	switch {
	case btree.IsDatabase(head):
		return openSQLite(ctx, path, path, "nsys-sqlite", o)
	case isReport(path):
		return openReport(ctx, path, o)
	case bytes.HasPrefix(head, zstdMagic), bytes.HasPrefix(head, gzipMagic):
		return openCompressed(ctx, path, head, o)
	}
	return nil, fmt.Errorf("reading %s: %w", path, profile.ErrUnrecognised)
}

var (
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
	gzipMagic = []byte{0x1f, 0x8b}
)

// prefix returns the first n bytes of a file, fewer if it is shorter.
func prefix(path string, n int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, n)
	k, err := io.ReadFull(f, b)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b[:k], nil
}

func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// openSQLite reads the database file; name is what messages call it.
func openSQLite(ctx context.Context, file, name, format string, o Options) (*profile.Profile, error) {
	db, err := btree.Open(ctx, file, btree.Options{LibraryOnly: o.LibraryOnly})
	if err != nil {
		return nil, explain(err, file, name)
	}
	src := newSQLiteSource(db)
	src.debug = o.Debug
	defer src.close()
	p, err := readSource(ctx, src, name, format, o)
	return p, explain(err, file, name)
}

// explain makes an error about a private copy speak of the user's file, and says in the terms of package profile what
// kind of error it is.
func explain(err error, file, name string) error {
	if err == nil {
		return nil
	}
	e := &explained{text: err.Error(), causes: []error{err}}
	if file != name {
		e.text = strings.ReplaceAll(e.text, file, name)
	}
	switch {
	case errors.Is(err, btree.ErrChanged):
		e.text += ": wait until it is written"
		e.causes = append(e.causes, profile.ErrMalformed)
	case errors.Is(err, btree.ErrCorrupt):
		if !strings.Contains(e.text, "again") {
			e.text += ": export or copy it again"
		}
		e.causes = append(e.causes, profile.ErrMalformed)
	case errors.Is(err, btree.ErrNotDatabase):
		e.causes = append(e.causes, profile.ErrUnrecognised)
	}
	return e
}

// explained is an error in other words.
type explained struct {
	text   string
	causes []error
}

func (e *explained) Error() string   { return e.text }
func (e *explained) Unwrap() []error { return e.causes }

// readSource reads an opened export.
func readSource(ctx context.Context, src source, name, format string, o Options) (*profile.Profile, error) {
	if !src.has(tabStrings) && !src.has(tabMetaExp) && !src.has(tabMetaOld) && !src.has(tabKernel) && !src.has(tabRuntime) && !src.has(tabNVTX) {
		return nil, fmt.Errorf("reading %s: %w: none of Nsight Systems' tables is in it", name, profile.ErrUnrecognised)
	}
	p := &profile.Profile{Format: format, Source: filepath.Base(name)}
	r := &reader{src: src, p: p, b: profile.NewBuilder(p), name: name, progress: o.Progress}
	if err := r.read(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// Limits of decompression: a compressed export is 5 to 20 times smaller than the database. What grows more than
// maxRatio times, beyond a small file's worth, is no capture but an attack or an accident.
const (
	maxRatio    = 200
	ratioExempt = 64 << 20
	maxWindow   = 256 << 20 // memory that a frame may ask for; zstd --ultra asks for half of it
)

// openCompressed unpacks a .zst or .gz export into a private temporary file, reads it and removes it. What does not
// unpack to a database is left to other readers.
func openCompressed(ctx context.Context, path string, head []byte, o Options) (*profile.Profile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, cause(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, cause(err))
	}
	in, err := decompress(f, head)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w: %w", path, notExport(path), err)
	}
	defer in.Close()
	first := make([]byte, 16)
	if n, err := io.ReadFull(in, first); err != nil {
		return nil, fmt.Errorf("reading %s: %w: it ends after %d bytes: %w", path, notExport(path), n, err)
	} else if !btree.IsDatabase(first) {
		return nil, fmt.Errorf("reading %s: %w: it holds no SQLite database", path, profile.ErrUnrecognised)
	}
	dir, err := os.MkdirTemp("", "stepscope-")
	if err != nil {
		return nil, fmt.Errorf("unpacking %s: %w", path, err)
	}
	defer os.RemoveAll(dir)
	tmp := filepath.Join(dir, "profile.sqlite")
	out, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("unpacking %s: %w", path, err)
	}
	limit := max(ratioExempt, info.Size()*maxRatio)
	n, err := io.Copy(out, &watched{ctx, io.LimitReader(io.MultiReader(bytes.NewReader(first), in), limit+1)})
	closed := out.Close()
	var written *fs.PathError // a full disk is not the file's fault
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.As(err, &written), closed != nil:
		return nil, fmt.Errorf("unpacking %s: %w", path, errors.Join(err, closed))
	case n > limit:
		return nil, fmt.Errorf("reading %s: %w: it unpacks to more than %d times its size", path, profile.ErrMalformed, maxRatio)
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w: unpacking stopped after %d bytes: %w: copy it again", path, profile.ErrMalformed, n, err)
	}
	return openSQLite(ctx, tmp, path, "nsys-sqlite", o)
}

func decompress(f io.Reader, head []byte) (io.ReadCloser, error) {
	if !bytes.HasPrefix(head, zstdMagic) {
		return gzip.NewReader(f)
	}
	z, err := zstd.NewReader(f, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(2))
	if err != nil {
		return nil, err
	}
	return z.IOReadCloser(), nil
}

// notExport is what a file that cannot be unpacked is: a broken export if its name says that it is one, else something
// for another reader.
func notExport(path string) error {
	if strings.Contains(strings.ToLower(filepath.Base(path)), ".sqlite") {
		return profile.ErrMalformed
	}
	return profile.ErrUnrecognised
}

// watched stops a copy when the context ends.
type watched struct {
	ctx context.Context
	r   io.Reader
}

func (w *watched) Read(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.r.Read(b)
}
