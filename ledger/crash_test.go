package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// memFS is a filesystem in memory that forgets like a real one: file contents are
// durable after Sync, folder entries after SyncDir. It can be killed: every byte
// written and every other change costs one unit of budget, and when the budget is
// used up the change is cut short and everything fails from then on. It can also
// fail once and go on (failAt), like a full disk.
type memFS struct {
	names   map[string]*memNode // what a process sees
	durable map[string]*memNode // what a power cut leaves
	budget  int                 // negative: unlimited
	used    int
	failAt  int // fail the unit of this number, once; 0: never
	dead    bool
}

type memNode struct {
	dir           bool
	data, durable []byte
}

var (
	errKilled = errors.New("killed")
	errFull   = errors.New("no space left on device")
)

func newMemFS() *memFS {
	root := &memNode{dir: true}
	m := &memFS{names: map[string]*memNode{".": root}, durable: map[string]*memNode{".": root}, budget: -1}
	return m
}

// spend takes n units and returns how many may be applied.
func (m *memFS) spend(n int) (int, error) {
	if m.dead {
		return 0, errKilled
	}
	if m.failAt > 0 && m.used < m.failAt && m.used+n >= m.failAt {
		ok := m.failAt - m.used - 1
		m.used = m.failAt
		return ok, errFull
	}
	if m.budget >= 0 && m.used+n > m.budget {
		ok := m.budget - m.used
		m.used, m.dead = m.budget, true
		return ok, errKilled
	}
	m.used += n
	return n, nil
}

func clean(name string) string { return path.Clean(filepath.ToSlash(name)) }

func (m *memFS) OpenFile(name string, flag int, _ os.FileMode) (file, error) {
	if m.dead {
		return nil, errKilled
	}
	name = clean(name)
	n := m.names[name]
	switch {
	case n == nil && flag&os.O_CREATE == 0:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case n != nil && flag&os.O_EXCL != 0:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrExist}
	case n == nil:
		if p := m.names[path.Dir(name)]; p == nil || !p.dir {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		if _, err := m.spend(1); err != nil {
			return nil, err
		}
		n = &memNode{}
		m.names[name] = n
	case flag&os.O_TRUNC != 0:
		if _, err := m.spend(1); err != nil {
			return nil, err
		}
		n.data = nil
	}
	return &memFile{m, n}, nil
}

func (m *memFS) Rename(from, to string) error {
	if _, err := m.spend(1); err != nil {
		return err
	}
	from, to = clean(from), clean(to)
	m.names[to] = m.names[from]
	delete(m.names, from)
	return nil
}

func (m *memFS) Remove(name string) error {
	if _, err := m.spend(1); err != nil {
		return err
	}
	delete(m.names, clean(name))
	return nil
}

func (m *memFS) MkdirAll(dir string, perm os.FileMode) error {
	dir = clean(dir)
	if m.names[dir] != nil {
		return nil
	}
	if err := m.MkdirAll(path.Dir(dir), perm); err != nil {
		return err
	}
	if _, err := m.spend(1); err != nil {
		return err
	}
	m.names[dir] = &memNode{dir: true}
	return nil
}

func (m *memFS) SyncDir(dir string) error {
	if _, err := m.spend(1); err != nil {
		return err
	}
	dir = clean(dir)
	if m.names[dir] == nil {
		return &fs.PathError{Op: "sync", Path: dir, Err: fs.ErrNotExist}
	}
	for name := range m.durable {
		if name != "." && path.Dir(name) == dir {
			delete(m.durable, name)
		}
	}
	for name, n := range m.names {
		if name != "." && path.Dir(name) == dir {
			m.durable[name] = n
		}
	}
	return nil
}

type memFile struct {
	m *memFS
	n *memNode
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	if f.m.dead {
		return 0, errKilled
	}
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.n.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	ok, err := f.m.spend(len(p))
	if end := int(off) + ok; ok > 0 && end > len(f.n.data) {
		grown := make([]byte, end)
		copy(grown, f.n.data)
		f.n.data = grown
	}
	copy(f.n.data[min(int(off), len(f.n.data)):], p[:ok])
	return ok, err
}

func (f *memFile) Truncate(size int64) error {
	if _, err := f.m.spend(1); err != nil {
		return err
	}
	f.n.data = slices.Clone(f.n.data[:min(int(size), len(f.n.data))])
	return nil
}

func (f *memFile) Sync() error {
	if _, err := f.m.spend(1); err != nil {
		return err
	}
	f.n.durable = slices.Clone(f.n.data)
	return nil
}

func (f *memFile) Size() (int64, error) { return int64(len(f.n.data)), nil }
func (f *memFile) Close() error         { return nil }

// clone returns an independent, healthy copy.
func (m *memFS) clone() *memFS {
	c := newMemFS()
	seen := map[*memNode]*memNode{}
	cp := func(n *memNode) *memNode {
		if seen[n] == nil {
			seen[n] = &memNode{n.dir, slices.Clone(n.data), slices.Clone(n.durable)}
		}
		return seen[n]
	}
	for k, n := range m.names {
		c.names[k] = cp(n)
	}
	for k, n := range m.durable {
		c.durable[k] = cp(n)
	}
	return c
}

// crashes returns what a machine may find after the process was killed, and after
// the power was cut: unsynced names may be there or not, unsynced bytes too, as
// written, missing, as zeros, or with only the last page written.
func (m *memFS) crashes() map[string]*memFS {
	out := map[string]*memFS{"process killed": m.clone()}
	reachable := func(names map[string]*memNode, name string) bool {
		for d := path.Dir(name); d != "."; d = path.Dir(d) {
			if names[d] == nil {
				return false
			}
		}
		return true
	}
	for _, names := range []string{"old names", "new names"} {
		for _, bytesAre := range []string{"lost", "written", "zeros", "end only"} {
			c := m.clone()
			if names == "old names" {
				c.names = maps.Clone(c.durable)
				for k := range c.names {
					if !reachable(c.names, k) {
						delete(c.names, k)
					}
				}
			}
			for _, n := range c.names {
				d := slices.Clone(n.durable)
				if grown := len(n.data) - len(d); grown > 0 || !bytes.Equal(n.data, d) {
					switch bytesAre {
					case "written":
						d = slices.Clone(n.data)
					case "zeros":
						d = append(d, make([]byte, max(grown, 0))...)
					case "end only":
						d = append(d, make([]byte, max(grown, 0))...)
						if k := min(max(grown, 0), 10); k > 0 {
							copy(d[len(d)-k:], n.data[len(n.data)-k:])
						}
					}
				}
				n.data, n.durable = d, slices.Clone(d)
			}
			c.durable = maps.Clone(c.names)
			out["power cut, "+names+", bytes "+bytesAre] = c
		}
	}
	return out
}

// digest identifies what is on the disk.
func (m *memFS) digest() [32]byte {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(m.names)) {
		fmt.Fprintf(h, "%s %d\n%s", path.Dir(name)+tmpName.ReplaceAllString(path.Base(name), "tmp-"), len(m.names[name].data), m.names[name].data)
	}
	return [32]byte(h.Sum(nil))
}

var tmpName = regexp.MustCompile(`^tmp-[0-9a-f]+$`)

func memLedger(m *memFS) *Ledger {
	l := Open("work/.stepscope")
	l.fs = m
	l.Now = func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }
	l.lock = func(context.Context, string, bool, time.Duration) (func(), error) { return func() {}, nil }
	return l
}

func memWithWork() *memFS {
	m := newMemFS()
	if err := m.MkdirAll("work", 0o755); err != nil {
		panic(err)
	}
	if err := m.SyncDir("."); err != nil {
		panic(err)
	}
	return m
}

// scenario puts an artefact and appends two entries; acked receives each as it is
// acknowledged.
func scenario(l *Ledger, acked func(Entry)) error {
	ctx := context.Background()
	a, err := l.Put(ctx, "bench.json", strings.NewReader(`{"duration": 1}`))
	if err != nil {
		return err
	}
	for _, e := range []Entry{
		{Kind: KindBaseline, Engine: "vllm@0.24.0", Artefacts: []Artefact{a}},
		{Kind: KindNote, Text: strings.Repeat("a longer remark ", 4)},
	} {
		r, err := l.Append(ctx, e)
		if err != nil {
			return err
		}
		acked(r.Record.Entry)
	}
	return nil
}

// TestKilledAtEveryByte kills the writer at every byte of every write and every
// other change to the filesystem, lets the process or the machine die, and
// requires that the next writer finds every acknowledged entry, reports what it cut
// off, and goes on.
func TestKilledAtEveryByte(t *testing.T) {
	ctx := context.Background()
	for _, start := range []string{"nothing stored", "no ledger", "two records", "torn tail"} {
		base := memWithWork()
		var before []Entry
		scenario := scenario
		if start == "nothing stored" { // Append alone has to make its folders durable
			scenario = func(l *Ledger, acked func(Entry)) error {
				r, err := l.Append(ctx, Entry{Kind: KindBaseline})
				if err == nil {
					acked(r.Record.Entry)
				}
				return err
			}
		} else if start != "no ledger" {
			if err := scenario(memLedger(base), func(e Entry) { before = append(before, e) }); err != nil {
				t.Fatal(err)
			}
		}
		if start == "torn tail" {
			n := base.names["work/.stepscope/ledger.jsonl"]
			n.data = append(n.data, []byte(strings.Repeat(`{"seq":3,"prev":"torn `, 40))...)
			n.durable = slices.Clone(n.data)
		}
		whole := base.clone()
		if err := scenario(memLedger(whole), func(Entry) {}); err != nil {
			t.Fatal(err)
		}
		points, repairs := whole.used, 0
		seen := map[string]bool{} // many kill points leave the same disk
		stride := 1
		if testing.Short() {
			stride = 7
		}
		for budget := 0; budget < points; budget += stride {
			m := base.clone()
			m.budget = budget
			acked := slices.Clone(before)
			// Killed while the last head was being written, the last entry is
			// acknowledged all the same, with a warning.
			_ = scenario(memLedger(m), func(e Entry) { acked = append(acked, e) })
			if !m.dead {
				t.Fatalf("%s: survived being killed at %d of %d", start, budget, points)
			}
			for how, after := range m.crashes() {
				key := fmt.Sprintf("%x %d", after.digest(), len(acked))
				if seen[key] {
					continue
				}
				seen[key] = true
				where := fmt.Sprintf("%s, killed at %d of %d, %s", start, budget, points, how)
				l := memLedger(after)
				records, problems, err := l.List(ctx)
				if err != nil {
					t.Fatalf("%s: %v", where, err)
				}
				checkAcked(t, where, acked, records)
				for _, p := range problems {
					if p.Kind != TornTail {
						t.Fatalf("%s: problem %v", where, p)
					}
				}
				got, err := l.Append(ctx, Entry{Kind: KindNote, Text: "next"})
				if err != nil {
					t.Fatalf("%s: next append: %v", where, err)
				}
				if (len(problems) > 0) != (got.Repaired != nil) {
					t.Fatalf("%s: problems %v, repaired %v", where, problems, got.Repaired)
				}
				if got.Repaired != nil {
					repairs++
					if len(got.Repaired.Entry.Artefacts) != 1 || got.Repaired.Entry.Repair.Bytes == 0 {
						t.Fatalf("%s: repair %+v", where, got.Repaired.Entry)
					}
				}
				rep, err := l.Verify(ctx)
				if err != nil || !rep.OK() {
					t.Fatalf("%s: verify %+v %v", where, rep, err)
				}
				if start == "torn tail" && !hasRepair(t, l) {
					t.Fatalf("%s: the torn tail vanished in silence", where)
				}
			}
		}
		t.Logf("%s: %d kill points, %d different disks, %d repairs", start, points, len(seen), repairs)
		if repairs == 0 {
			t.Errorf("%s: nothing was ever torn: the test shows nothing", start)
		}
	}
}

func hasRepair(t *testing.T, l *Ledger) bool {
	t.Helper()
	records, _, err := l.List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(records, func(r Record) bool { return r.Entry.Kind == KindRepair })
}

// checkAcked requires every acknowledged entry, unchanged and in order.
func checkAcked(t *testing.T, where string, acked []Entry, records []Record) {
	t.Helper()
	i := 0
	for _, r := range records {
		if i < len(acked) && r.Entry.ID == acked[i].ID && r.Entry.Text == acked[i].Text && r.Entry.Kind == acked[i].Kind {
			i++
		}
	}
	if i < len(acked) {
		t.Fatalf("%s: acknowledged entry %s is lost; %d records left", where, acked[i].ID, len(records))
	}
}

// TestFullDiskAtEveryByte fails every single change once, as a full or broken disk
// does, with the process living on.
func TestFullDiskAtEveryByte(t *testing.T) {
	ctx := context.Background()
	base := memWithWork()
	var before []Entry
	if err := scenario(memLedger(base), func(e Entry) { before = append(before, e) }); err != nil {
		t.Fatal(err)
	}
	whole := base.clone()
	if _, err := memLedger(whole).Append(ctx, Entry{Kind: KindNote, Text: "full"}); err != nil {
		t.Fatal(err)
	}
	for at := 1; at <= whole.used; at++ {
		m := base.clone()
		m.failAt = at
		l := memLedger(m)
		acked := slices.Clone(before)
		got, err := l.Append(ctx, Entry{Kind: KindNote, Text: "full"})
		if err == nil {
			acked = append(acked, got.Record.Entry)
			if len(got.Warnings) == 0 {
				t.Errorf("failure at %d went unnoticed", at)
			}
		}
		again, err2 := l.Append(ctx, Entry{Kind: KindNote, Text: "again"})
		if err2 != nil {
			t.Fatalf("failure at %d: next append: %v", at, err2)
		}
		acked = append(acked, again.Record.Entry)
		records, problems, err3 := l.List(ctx)
		if err3 != nil || len(problems) > 0 {
			t.Fatalf("failure at %d: %v %v", at, problems, err3)
		}
		checkAcked(t, fmt.Sprintf("failure at %d", at), acked, records)
		if err != nil {
			for _, r := range records {
				if r.Entry.Text == "full" {
					t.Errorf("failure at %d: the entry was refused (%v) but is there", at, err)
				}
			}
		}
	}
}
