package kineto

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/stepscope/stepscope/profile"
)

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func pack(t testing.TB, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestGzip(t *testing.T) {
	text := sample(t, "eager.json")
	packed := pack(t, text)
	plain, err := Read("t.json", bytes.NewReader(text), Options{})
	if err != nil {
		t.Fatal(err)
	}
	half := len(text) / 2
	for _, c := range []struct {
		name    string
		data    []byte
		err     string // "" = a Profile comes out
		kernels int
		says    string
	}{
		{name: "whole", data: packed, kernels: 1},
		{name: "two members", data: append(pack(t, text[:half]), pack(t, text[half:])...), kernels: 1},
		{name: "wrong checksum", data: flip(packed, len(packed)-8), kernels: 1, says: "the trace is complete, but the gzip stream is damaged"},
		{name: "garbage behind the stream", data: append(bytes.Clone(packed), "garbage that is no gzip"...), kernels: 1, says: "the trace is complete, but the gzip stream is damaged"},
		{name: "trailer cut off", data: packed[:len(packed)-4], kernels: 1, says: "the trace is complete, but the gzip stream is cut off"},
		{name: "header only", data: packed[:10], err: "the gzip stream is cut off"},
		{name: "half a header", data: packed[:5], err: "gzip header"},
		{name: "damaged at the start", data: append(bytes.Clone(packed[:10]), bytes.Repeat([]byte{0xff}, 100)...), err: "gzip stream is damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := Read("t.json", bytes.NewReader(c.data), Options{})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if p.Kernels.Len() != c.kernels {
				t.Errorf("%d kernels, want %d", p.Kernels.Len(), c.kernels)
			}
			if c.says != "" && !says(p, c.says) {
				t.Errorf("nothing says %q: %v", c.says, p.Diagnostics)
			}
			if c.says == "" && dump(p) != dump(plain) {
				t.Errorf("differs from the plain text:\n%s", diff(dump(plain), dump(p)))
			}
		})
	}
}

func flip(b []byte, i int) []byte {
	b = bytes.Clone(b)
	b[i] ^= 0xff
	return b
}

// TestGzipCutAnywhere cuts a gzipped trace at a hundred places: what was unpacked is read, and the cut is said.
func TestGzipCutAnywhere(t *testing.T) {
	text := synthetic(400)
	packed := pack(t, text)
	most := 0
	for cut := 20; cut < len(packed)-8; cut += len(packed) / 100 {
		p, err := Read("t.json", bytes.NewReader(packed[:cut]), Options{})
		if err != nil {
			if !errors.Is(err, profile.ErrMalformed) && !errors.Is(err, profile.ErrUnrecognised) && !strings.Contains(err.Error(), "cut off") {
				t.Fatalf("cut at %d: %v", cut, err)
			}
			continue
		}
		if !p.Capture.Truncated || !says(p, "the gzip stream is cut off at byte") {
			t.Fatalf("cut at %d is not said: %v", cut, p.Diagnostics)
		}
		if p.Kernels.Len() < most {
			t.Fatalf("cut at %d: %d kernels, fewer than with less of the file", cut, p.Kernels.Len())
		}
		most = p.Kernels.Len()
	}
	if most < 350 {
		t.Errorf("the largest prefix gave %d of 400 kernels", most)
	}
}

// endless repeats a text without end.
type endless struct {
	text []byte
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		c := copy(p[n:], e.text[e.at:])
		n += c
		e.at = (e.at + c) % len(e.text)
	}
	return n, nil
}

// TestBomb reads 400 MB of events that are packed 500-fold, and a string and white space of that size: refused with
// one clear error, after bounded work.
func TestBomb(t *testing.T) {
	for name, fill := range map[string]string{
		"events": `{"ph":"X","cat":"kernel","name":"k","pid":0,"tid":7,"ts":1,"dur":1},`,
		"string": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"space":  "                                                        ",
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
			if err != nil {
				t.Fatal(err)
			}
			head := `{"traceEvents": [`
			if name == "string" {
				head += `{"ph":"X","name":"`
			}
			if _, err := io.WriteString(z, head); err != nil {
				t.Fatal(err)
			}
			if _, err := io.CopyN(z, &endless{text: []byte(fill)}, 400<<20); err != nil {
				t.Fatal(err)
			}
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			ratio := (400 << 20) / b.Len()
			_, err = Read("bomb.json.gz", &b, Options{MaxEvents: 10_000_000})
			if ratio > maxRatio {
				if !errors.Is(err, profile.ErrMalformed) || !strings.Contains(err.Error(), "250-fold") {
					t.Errorf("packed %d-fold: error %v", ratio, err)
				}
			} else {
				t.Errorf("packed only %d-fold: no bomb", ratio)
			}
		})
	}
}

func TestMaxEvents(t *testing.T) {
	text := synthetic(100)
	if _, err := Read("t.json", bytes.NewReader(text), Options{MaxEvents: 50}); err == nil || !strings.Contains(err.Error(), "more than 50 events") {
		t.Errorf("error %v", err)
	}
}

// TestNesting: 10^6 nested arrays are refused where they stand, without a stack that grows with them; a depth that
// encoding/json takes is taken.
func TestNesting(t *testing.T) {
	nest := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	event := `{"ph": "X", "cat": "kernel", "name": "k", "pid": 0, "tid": 7, "ts": 1, "dur": 1, "args": {"device": 0, "x": `
	for _, c := range []struct {
		name, text string
		kernels    int
		err, says  string
	}{
		{name: "deep in an argument", text: `{"traceEvents": [` + event + nest(9000) + `}}]}`, kernels: 1},
		{name: "too deep in an argument", text: `{"traceEvents": [` + event + `1}}, ` + event + nest(1_000_000) + `}}]}`, kernels: 1,
			says: "nested deeper than 10000 at byte"},
		{name: "too deep before the first event", text: `{"traceEvents": [], "x": ` + nest(1_000_000) + `}`, err: "nested deeper than 10000"},
		{name: "too deep as an element", text: `{"traceEvents": [` + nest(1_000_000) + `]}`, err: "nested deeper than 10000"},
		{name: "nothing but brackets", text: nest(1_000_000), err: "not a format"},
		{name: "open for ever", text: `{"traceEvents": [` + event + strings.Repeat(`{"a":`, 1_000_000), err: "nested deeper than 10000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := Read("t.json", strings.NewReader(c.text), Options{})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if p.Kernels.Len() != c.kernels || c.says != "" && !says(p, c.says) {
				t.Errorf("%d kernels, %v", p.Kernels.Len(), p.Diagnostics)
			}
		})
	}
}

// TestOversized: an event and a head value larger than the window are skipped, what stands behind them is read.
func TestOversized(t *testing.T) {
	big := strings.Repeat(`x\"`, 200_000)
	event := `{"ph": "X", "cat": "kernel", "name": "k", "pid": 0, "tid": 7, "ts": 1, "dur": 1}`
	text := `{"schemaVersion": 1, "deviceProperties": [], "other": ["` + big + `"], "deviceProperties": "` + big + `", "traceEvents": [` + event +
		`, {"ph": "X", "cat": "kernel", "name": "` + big + `", "ts": 2, "dur": 1, "args": {"a": [1, {"b": 2}]}}, "` + big + `", ` + event + `], "traceName": "t"}`
	d, err := readWindow(context.Background(), "t.json", strings.NewReader(text), Options{}, 4096, 64<<10)
	if err != nil {
		t.Fatal(err)
	}
	if d.fault != nil || d.b.p.Kernels.Len() != 2 || d.b.count.oversized != 1 || d.b.count.notObjects != 1 {
		t.Errorf("fault %v, %d kernels, %d oversized, %d no events", d.fault, d.b.p.Kernels.Len(), d.b.count.oversized, d.b.count.notObjects)
	}
	if r := d.b.p.Kernels.Row; r.At(0) != 1 || r.At(1) != 4 {
		t.Errorf("rows %v", r)
	}
	if len(d.src.buf) > 64<<10+1 {
		t.Errorf("the window grew to %d bytes", len(d.src.buf))
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := read(ctx, "t.json", bytes.NewReader(sample(t, "eager.json")), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// failing gives its text and then an error.
type failing struct {
	text io.Reader
	err  error
}

func (f failing) Read(p []byte) (int, error) {
	n, err := f.text.Read(p)
	if errors.Is(err, io.EOF) {
		err = f.err
	}
	return n, err
}

// TestReadError: an error of the disk is an error of the call, not a truncated trace.
func TestReadError(t *testing.T) {
	text := synthetic(20)
	disk := &os.PathError{Op: "read", Path: "t.json", Err: errors.New("input/output error")}
	if _, err := Read("t.json", failing{bytes.NewReader(text[:len(text)/2]), disk}, Options{}); !errors.Is(err, disk) {
		t.Errorf("error %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	ctx := context.Background()
	if _, err := Open(ctx, "testdata/absent.json", Options{}); !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "reading absent.json: ") {
		t.Errorf("absent file: %v", err)
	}
	if _, err := Open(ctx, t.TempDir(), Options{}); !errors.Is(err, profile.ErrUnrecognised) {
		t.Errorf("directory: %v", err)
	}
	empty := filepath.Join(t.TempDir(), "empty.json")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(ctx, empty, Options{}); !errors.Is(err, profile.ErrUnrecognised) || !strings.Contains(err.Error(), "empty") {
		t.Errorf("empty file: %v", err)
	}
	if _, err := Read("x", strings.NewReader("SQLite format 3\x00"), Options{}); !errors.Is(err, profile.ErrUnrecognised) {
		t.Errorf("SQLite: %v", err)
	}
	if _, err := Read("x", strings.NewReader(`{"traceEvents": 5}`), Options{}); err != nil {
		t.Errorf("traceEvents that is no array: %v", err)
	}
}

func TestStacks(t *testing.T) {
	p, err := Read("t.json", bytes.NewReader(sample(t, "python-stacks.json")), Options{Stacks: true})
	if err != nil {
		t.Fatal(err)
	}
	if p.Frames.Len() != 1 || p.Strings.At(p.Frames.Name[0]) != "vllm/v1/worker.py(312): execute_model" || p.Frames.Dur[0] != 31000 || p.Lacks(profile.WhatStacks) {
		t.Errorf("%d frames, not recorded %v", p.Frames.Len(), p.NotRecorded)
	}
	if !p.Capture.WithStack {
		t.Error("WithStack is not set")
	}
}
