package capture

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/stepscope/stepscope/ledger"
)

// incompleteName marks a folder as unfinished; it goes when the folder is whole.
const incompleteName = "INCOMPLETE"

// prepare makes OUT.partial. A leftover of an earlier run, told by its mark, is replaced; anything else is the user's and
// stays.
func (r *resolved) prepare() error {
	if _, err := os.Lstat(r.o.Out); err == nil {
		return &Failure{Stage: Checking, Kind: ErrExists, Text: fmt.Sprintf("%s is there already: choose another --out", r.o.Out)}
	}
	if _, err := os.Lstat(r.partial); err == nil {
		if _, err := os.Stat(filepath.Join(r.partial, incompleteName)); err != nil {
			return &Failure{Stage: Checking, Kind: ErrExists, Text: fmt.Sprintf("%s is in the way and was not made by a capture: move it", r.partial)}
		}
		if err := os.RemoveAll(r.partial); err != nil {
			return fmt.Errorf("removing what an earlier capture left: %w", err)
		}
	}
	if err := os.MkdirAll(r.partial, 0o755); err != nil {
		return fmt.Errorf("writing %s: %w", r.partial, cause(err))
	}
	return r.write(incompleteName, "This capture is not finished. Nothing in it should be taken for a result.\n")
}

func (r *resolved) path(name string) string { return filepath.Join(r.partial, name) }

func (r *resolved) write(name, text string) error {
	if err := os.WriteFile(r.path(name), []byte(text), 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", r.path(name), cause(err))
	}
	return nil
}

// commit turns OUT.partial into OUT.
func (r *resolved) commit(m *Manifest) error {
	if err := writeManifest(r.partial, m); err != nil {
		return err
	}
	if err := os.Remove(r.path(incompleteName)); err != nil {
		return fmt.Errorf("writing %s: %w", r.partial, cause(err))
	}
	// Rename would put the folder into an empty one of that name, or replace it: another run may have been faster.
	if _, err := os.Lstat(r.o.Out); err == nil {
		return &Failure{Stage: Writing, Kind: ErrExists, Text: fmt.Sprintf("%s appeared meanwhile; the capture is whole and lies in %s", r.o.Out, r.partial)}
	}
	if err := os.Rename(r.partial, r.o.Out); err != nil {
		return fmt.Errorf("renaming %s to %s: %w", r.partial, r.o.Out, cause(err))
	}
	return nil
}

// abandon ends a failed run: the folder keeps its mark and what may explain the failure, or goes when it explains nothing.
func (r *resolved) abandon(err error) error {
	info, serr := os.Stat(r.path(logName))
	var f *Failure
	if serr != nil || info.Size() == 0 {
		os.RemoveAll(r.partial)
		return err
	}
	_ = r.maskLog()
	_ = r.write(incompleteName, "This capture failed: "+ledger.MaskText(err.Error())+"\n")
	for _, pattern := range []string{"report*.nsys-rep", "report*.qdstrm", "profile.sqlite*"} { // they hold the environment
		found, _ := filepath.Glob(r.path(pattern))
		for _, p := range found {
			os.Remove(p)
		}
	}
	if errors.As(err, &f) {
		f.Folder = r.partial
		if f.Log == "" {
			f.Log = r.path(logName)
		}
		return err
	}
	return fmt.Errorf("%w (what was written until then is in %s)", err, r.partial)
}

// maskLog takes out of the server's log what must not travel, and makes it as readable as the folder's other files: until
// then it may hold secrets. The server has ended.
func (r *resolved) maskLog() error {
	path := r.path(logName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, cause(err))
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, []byte(MaskLog(string(b), append(os.Environ(), r.env...))), 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", path, cause(err))
	}
	return os.Rename(tmp, path)
}
