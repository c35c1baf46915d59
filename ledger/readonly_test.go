package ledger

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A readOnlyFS refuses everything but reading, and remembers what was tried.
type readOnlyFS struct {
	osFS
	tried []string
}

func (f *readOnlyFS) refuse(format string, args ...any) error {
	f.tried = append(f.tried, fmt.Sprintf(format, args...))
	return fs.ErrPermission
}

func (f *readOnlyFS) OpenFile(name string, flag int, perm os.FileMode) (file, error) {
	if flag != os.O_RDONLY {
		return nil, f.refuse("open %s with %#x", name, flag)
	}
	return f.osFS.OpenFile(name, flag, perm)
}

func (f *readOnlyFS) Rename(from, to string) error             { return f.refuse("rename %s", from) }
func (f *readOnlyFS) Remove(name string) error                 { return f.refuse("remove %s", name) }
func (f *readOnlyFS) MkdirAll(dir string, _ os.FileMode) error { return f.refuse("mkdir %s", dir) }

// A ledger that was checked in, or lies on a disk that nothing can be written to, has no lock file and gets none: reading
// it works, and leaves every name, time and byte as it was.
func TestReadOnlyLedger(t *testing.T) {
	ctx := context.Background()
	l := testLedger(t)
	a, err := l.Put(ctx, "bench.json", bytes.NewReader([]byte(`{"duration": 1}`)))
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, Entry{Kind: KindBaseline, Engine: "vllm@0.24.0", Artefacts: []Artefact{a}})
	mustAppend(t, l, Entry{Kind: KindChange, Ref: "e1", Knob: "quantization", From: "none", To: "fp8"})
	if err := os.Remove(l.path(lockName)); err != nil {
		t.Fatal(err)
	}
	for _, torn := range []bool{false, true} {
		if torn { // reading repairs nothing
			f, err := os.OpenFile(l.path(recordsName), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString(`{"seq":3,"prev`); err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
		modes(t, l.Dir(), 0o555, 0o444)
		before := snapshot(t, l.Dir())
		ro := &readOnlyFS{}
		reader := Open(l.Dir())
		reader.fs = ro
		records, problems, err := reader.List(ctx)
		if err != nil || len(records) != 2 || (len(problems) > 0) != torn {
			t.Errorf("list: %d records, %v, %v", len(records), problems, err)
		}
		rep, err := reader.Verify(ctx)
		if err != nil || rep.Records != 2 || rep.Artefacts != 1 || rep.OK() == torn {
			t.Errorf("verify: %+v, %v", rep, err)
		}
		if _, _, err := reader.Show(ctx, "e2"); err != nil {
			t.Errorf("show: %v", err)
		}
		if err := Story(io.Discard, records); err != nil {
			t.Errorf("story: %v", err)
		}
		if after := snapshot(t, l.Dir()); !slices.Equal(before, after) || len(ro.tried) > 0 {
			t.Errorf("reading changed the folder from\n%q to\n%q and tried %q", before, after, ro.tried)
		}
		if _, err := reader.Append(ctx, Entry{Kind: KindBaseline}); err == nil {
			t.Error("a record was written to it")
		}
		if after := snapshot(t, l.Dir()); !slices.Equal(before, after) {
			t.Errorf("a refused record changed the folder from\n%q to\n%q", before, after)
		}
		modes(t, l.Dir(), 0o755, 0o644)
	}
}

// modes sets the modes of all folders and files.
func modes(t *testing.T, dir string, folder, file os.FileMode) {
	t.Helper()
	var folders []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			folders = append(folders, path)
			return os.Chmod(path, 0o755)
		}
		if err == nil {
			return os.Chmod(path, file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range folders {
		if err := os.Chmod(f, folder); err != nil {
			t.Fatal(err)
		}
	}
	if folder&0o200 == 0 {
		t.Cleanup(func() { // the temporary folder has to go
			for _, f := range folders {
				os.Chmod(f, 0o755)
			}
		})
	}
}

// snapshot lists names, modes, times and contents.
func snapshot(t *testing.T, dir string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		var content []byte
		if !d.IsDir() {
			if content, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		name, err := filepath.Rel(dir, path)
		out = append(out, fmt.Sprintf("%s %v %d %s", filepath.ToSlash(name), info.Mode(), info.ModTime().UnixNano(), content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
