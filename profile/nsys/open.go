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
		return nil, rename(err, file, name)
	}
	src := newSQLiteSource(db)
	src.debug = o.Debug
	defer src.close()
	p, err := readSource(ctx, src, name, format, o)
	return p, rename(err, file, name)
}

// rename makes an error about a private copy speak of the user's file.
func rename(err error, file, name string) error {
	switch {
	case err == nil:
		return nil
	case file != name && strings.Contains(err.Error(), file):
		err = &renamed{strings.ReplaceAll(err.Error(), file, name), err}
	}
	switch {
	case errors.Is(err, btree.ErrCorrupt), errors.Is(err, btree.ErrChanged):
		return fmt.Errorf("%w: %w", err, profile.ErrMalformed)
	case errors.Is(err, btree.ErrNotDatabase):
		return fmt.Errorf("%w: %w", err, profile.ErrUnrecognised)
	}
	return err
}

type renamed struct {
	text string
	err  error
}

func (r *renamed) Error() string { return r.text }
func (r *renamed) Unwrap() error { return r.err }

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
	var in io.Reader
	if bytes.HasPrefix(head, zstdMagic) {
		z, err := zstd.NewReader(f, zstd.WithDecoderMaxMemory(1<<30))
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w: %w", path, profile.ErrMalformed, err)
		}
		defer z.Close()
		in = z
	} else {
		z, err := gzip.NewReader(f)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w: %w", path, profile.ErrMalformed, err)
		}
		defer z.Close()
		in = z
	}
	first := make([]byte, 16)
	if n, err := io.ReadFull(in, first); err != nil || !btree.IsDatabase(first[:n]) {
		return nil, fmt.Errorf("reading %s: %w", path, profile.ErrUnrecognised)
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
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case n > limit:
		return nil, fmt.Errorf("reading %s: %w: it unpacks to more than %d times its size", path, profile.ErrMalformed, maxRatio)
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w: unpacking stopped after %d bytes: %w", path, profile.ErrMalformed, n, err)
	}
	return openSQLite(ctx, tmp, path, "nsys-sqlite", o)
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
