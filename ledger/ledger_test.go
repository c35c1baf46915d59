package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func testLedger(t *testing.T) *Ledger {
	t.Helper()
	l := Open(filepath.Join(t.TempDir(), DefaultDir))
	l.Now = func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }
	return l
}

func mustAppend(t *testing.T, l *Ledger, e Entry) Appended {
	t.Helper()
	a, err := l.Append(context.Background(), e)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAppendListShowNote(t *testing.T) {
	ctx := context.Background()
	l := testLedger(t)
	if records, problems, err := l.List(ctx); err != nil || len(records)+len(problems) > 0 {
		t.Fatalf("a ledger that is not there: %v %v %v", records, problems, err)
	}
	if _, err := os.Stat(l.Dir()); !os.IsNotExist(err) {
		t.Fatal("reading created the folder")
	}
	b := mustAppend(t, l, Entry{Kind: KindBaseline, Engine: "vllm@0.24.0"})
	c := mustAppend(t, l, Entry{Kind: KindChange, Ref: b.Record.Entry.ID, Knob: "quantization", From: "none", To: "fp8"})
	n, err := l.Note(ctx, "e2", "looks right")
	if err != nil {
		t.Fatal(err)
	}
	if b.Record.Entry.ID != "e1" || c.Record.Prev != b.Record.Sum || n.Record.Entry.Ref != "e2" {
		t.Errorf("%+v %+v %+v", b.Record, c.Record, n.Record)
	}
	r, notes, err := l.Show(ctx, c.Record.Sum[:8])
	if err != nil || r.Entry.Knob != "quantization" || len(notes) != 1 || notes[0].Entry.Text != "looks right" {
		t.Errorf("show: %+v %v %v", r, notes, err)
	}
	if _, _, err := l.Show(ctx, "e9"); !errors.Is(err, ErrNotFound) {
		t.Errorf("show e9: %v", err)
	}
	if _, err := l.Note(ctx, "e9", "x"); !errors.Is(err, ErrNotFound) {
		t.Errorf("note on e9: %v", err)
	}
	if _, err := l.Note(ctx, "e1", "  "); err == nil {
		t.Error("an empty note was taken")
	}
	if _, err := l.Append(ctx, Entry{Kind: KindNote, Ref: "e77"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("ref e77: %v", err)
	}
	if _, err := l.Append(ctx, Entry{Text: strings.Repeat("x", maxPayload)}); err == nil || !strings.Contains(err.Error(), "artefact") {
		t.Errorf("a huge entry: %v", err)
	}
	rep, err := l.Verify(ctx)
	if err != nil || !rep.OK() || rep.Records != 3 || rep.LastSum != n.Record.Sum {
		t.Errorf("verify: %+v %v", rep, err)
	}
}

func TestFormatIsFixedToTheByte(t *testing.T) {
	l := testLedger(t)
	mustAppend(t, l, Entry{Kind: KindNote, Text: "a < b"})
	got, err := os.ReadFile(l.path(recordsName))
	if err != nil {
		t.Fatal(err)
	}
	// Computed by hand from docs/ledger-format.md:
	//   printf 'stepscope.ledger/1\n1\n%064d\n%s' 0 "$PAYLOAD" | sha256sum
	want := `{"seq":1,"prev":"` + strings.Repeat("0", 64) + `","sum":"` + goldenSum + `","payload":` + goldenPayload + "}\n"
	if string(got) != want {
		t.Errorf("got  %swant %s", got, want)
	}
	h, err := os.ReadFile(l.path(headName))
	if err != nil || string(h) != `{"seq":1,"sum":"`+goldenSum+"\"}\n" {
		t.Errorf("head %s %v", h, err)
	}
}

const (
	goldenPayload = `{"schema":"stepscope.ledger/1","id":"e1","time":"2026-01-02T03:04:05Z","kind":"note","text":"a < b"}`
	goldenSum     = "4c2d25332099e15c51494f02f3dec0458773678d846d3722d2191705d2a84a45"
)

// TestDamage changes the file in every way that is no torn tail, and requires that
// Append refuses, reading goes on, Verify says so, and accepting goes on.
func TestDamage(t *testing.T) {
	ctx := context.Background()
	fill := func(t *testing.T) *Ledger {
		l := testLedger(t)
		for i := range 4 {
			mustAppend(t, l, Entry{Kind: KindNote, Text: fmt.Sprintf("entry number %d", i+1)})
		}
		return l
	}
	lines := func(b []byte) [][]byte { return bytes.SplitAfter(b, []byte("\n")) }
	for _, c := range []struct {
		name   string
		change func([]byte) []byte
		kind   ProblemKind
		whole  int
	}{
		{"a byte changed", func(b []byte) []byte { return bytes.Replace(b, []byte("number 2"), []byte("number 7"), 1) }, BadChecksum, 3},
		{"the last acknowledged record changed", func(b []byte) []byte { return bytes.Replace(b, []byte("number 4"), []byte("number 7"), 1) }, BadChecksum, 3},
		{"a record dropped", func(b []byte) []byte { l := lines(b); return bytes.Join(slices.Delete(l, 1, 2), nil) }, BrokenChain, 3},
		{"records swapped", func(b []byte) []byte { l := lines(b); l[1], l[2] = l[2], l[1]; return bytes.Join(l, nil) }, BrokenChain, 4},
		{"the end cut off", func(b []byte) []byte { return bytes.Join(lines(b)[:2], nil) }, MissingTail, 2},
		{"the end cut off within a record", func(b []byte) []byte { return b[:len(b)-20] }, MissingTail, 3},
		{"emptied", func([]byte) []byte { return nil }, MissingTail, 0},
		{"a foreign line", func(b []byte) []byte { l := lines(b); l[1] = []byte("hello\n"); return bytes.Join(l, nil) }, BadLine, 3},
		{"a re-encoded line", func(b []byte) []byte { return bytes.Replace(b, []byte(`{"seq":2,`), []byte(`{ "seq": 2,`), 1) }, BadLine, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := fill(t)
			b, err := os.ReadFile(l.path(recordsName))
			if err != nil {
				t.Fatal(err)
			}
			changed := c.change(b)
			if err := os.WriteFile(l.path(recordsName), changed, 0o644); err != nil {
				t.Fatal(err)
			}
			records, problems, err := l.List(ctx)
			if err != nil || len(records) != c.whole {
				t.Errorf("list: %d records, %v", len(records), err)
			}
			if !slices.ContainsFunc(problems, func(p Problem) bool { return p.Kind == c.kind }) {
				t.Errorf("problems %v, want %s", problems, c.kind)
			}
			if rep, err := l.Verify(ctx); err != nil || rep.OK() {
				t.Errorf("verify: %+v %v", rep, err)
			}
			var damage *DamageError
			_, err = l.Append(ctx, Entry{Kind: KindNote, Text: "more"})
			if !errors.As(err, &damage) || !strings.Contains(err.Error(), "nothing was written") || !strings.Contains(err.Error(), "--accept-damage") {
				t.Errorf("append: %v", err)
			}
			if now, _ := os.ReadFile(l.path(recordsName)); !bytes.Equal(now, changed) {
				t.Error("the refused append changed the file")
			}
			repaired, err := l.Accept(ctx)
			if err != nil || repaired == nil || len(repaired.Entry.Repair.Problems) == 0 {
				t.Fatalf("no repair: %+v %v", repaired, err)
			}
			if len(changed) > 0 && c.kind != MissingTail {
				r, err := l.Artefact(repaired.Entry.Artefacts[0])
				if err != nil {
					t.Fatal(err)
				}
				kept, err := io.ReadAll(r)
				r.Close()
				if err != nil || !bytes.HasSuffix(changed, kept) || len(kept) == 0 {
					t.Errorf("the artefact is not what was there: %q %v", kept, err)
				}
			}
			if again, err := l.Accept(ctx); again != nil || err != nil {
				t.Errorf("accepted twice: %+v %v", again, err)
			}
			if got := mustAppend(t, l, Entry{Kind: KindNote, Text: "more"}); got.Repaired != nil {
				t.Error("repaired twice")
			}
			if rep, err := l.Verify(ctx); err != nil || !rep.OK() {
				t.Errorf("verify after accepting: %+v %v", rep, err)
			}
		})
	}
}

// TestEveryCut cuts an unacknowledged record short at every byte on a real disk.
func TestEveryCut(t *testing.T) {
	ctx := context.Background()
	l := testLedger(t)
	mustAppend(t, l, Entry{Kind: KindBaseline})
	headBefore, _ := os.ReadFile(l.path(headName))
	before, _ := os.ReadFile(l.path(recordsName))
	mustAppend(t, l, Entry{Kind: KindNote, Text: "unacknowledged"})
	after, err := os.ReadFile(l.path(recordsName))
	if err != nil {
		t.Fatal(err)
	}
	for cut := len(before); cut <= len(after); cut++ {
		l := testLedger(t)
		if err := os.MkdirAll(l.Dir(), 0o755); err != nil {
			t.Fatal(err)
		}
		os.WriteFile(l.path(recordsName), after[:cut], 0o644)
		os.WriteFile(l.path(headName), headBefore, 0o644)
		got := mustAppend(t, l, Entry{Kind: KindNote, Text: "next"})
		records, problems, err := l.List(ctx)
		if err != nil || len(problems) > 0 || records[0].Entry.Kind != KindBaseline {
			t.Fatalf("cut at %d: %v %v", cut, problems, err)
		}
		torn := cut > len(before) && cut < len(after)
		if (got.Repaired != nil) != torn {
			t.Fatalf("cut at %d of %d..%d: repaired %v", cut, len(before), len(after), got.Repaired)
		}
		if torn && got.Repaired.Entry.Repair.Bytes != int64(cut-len(before)) {
			t.Fatalf("cut at %d: repair of %d bytes", cut, got.Repaired.Entry.Repair.Bytes)
		}
	}
}

func TestArtefacts(t *testing.T) {
	ctx := context.Background()
	l := testLedger(t)
	a, err := l.Put(ctx, "../../etc/bench.json", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if a.Name != "bench.json" || a.Bytes != 5 || a.SHA256 != "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" {
		t.Errorf("%+v", a)
	}
	if b, err := l.Put(ctx, "again.json", strings.NewReader("hello")); err != nil || b.SHA256 != a.SHA256 {
		t.Errorf("%+v %v", b, err)
	}
	mustAppend(t, l, Entry{Kind: KindBaseline, Artefacts: []Artefact{a}})
	if rep, err := l.Verify(ctx); err != nil || !rep.OK() || rep.Artefacts != 1 {
		t.Errorf("%+v %v", rep, err)
	}
	os.WriteFile(filepath.Join(l.path(objectsName), tmpPrefix+"left"), []byte("x"), 0o644)
	if rep, _ := l.Verify(ctx); !rep.OK() || len(rep.Problems) != 1 || rep.Problems[0].Kind != ArtefactPartial {
		t.Errorf("leftover: %+v", rep)
	}
	os.WriteFile(l.objectPath(a.SHA256), []byte("jello"), 0o644)
	r, err := l.Artefact(a)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("changed artefact read without complaint: %v", err)
	}
	r.Close()
	if rep, _ := l.Verify(ctx); rep.OK() {
		t.Errorf("changed: %+v", rep)
	}
	os.Remove(l.objectPath(a.SHA256))
	if rep, _ := l.Verify(ctx); rep.OK() || rep.Problems[0].Kind != ArtefactMissing {
		t.Errorf("missing: %+v", rep)
	}
	if _, err := l.Artefact(Artefact{SHA256: "../../../etc/passwd"}); err == nil {
		t.Error("a path was taken for a checksum")
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := l.Put(cancelled, "x", strings.NewReader("y")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled put: %v", err)
	}
}

func TestConcurrentGoroutines(t *testing.T) {
	l := testLedger(t)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			h := Open(l.Dir()) // its own handle
			for i := range 10 {
				if _, err := h.Append(context.Background(), Entry{Kind: KindNote, Text: fmt.Sprintf("%d/%d", w, i)}); err != nil {
					t.Error(err)
				}
				if _, problems, err := h.List(context.Background()); err != nil || len(problems) > 0 {
					t.Errorf("a reader saw a half record: %v %v", problems, err)
				}
			}
		})
	}
	wg.Wait()
	rep, err := l.Verify(context.Background())
	if err != nil || !rep.OK() || rep.Records != 40 {
		t.Errorf("%+v %v", rep, err)
	}
}

func TestLockTimesOut(t *testing.T) {
	l := testLedger(t)
	mustAppend(t, l, Entry{Kind: KindBaseline})
	unlock, err := lockFile(context.Background(), l.path(lockName), true, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	l.LockTimeout = 30 * time.Millisecond
	if _, err := l.Append(context.Background(), Entry{Kind: KindNote}); err == nil || !strings.Contains(err.Error(), "another process is writing") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	l.LockTimeout = time.Hour
	if _, err := l.Append(ctx, Entry{Kind: KindNote}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	unlock()
	mustAppend(t, l, Entry{Kind: KindNote})
}

func TestPredictionError(t *testing.T) {
	f := func(v float64) *float64 { return &v }
	for _, c := range []struct {
		name string
		p    *Prediction
		m    *Measurement
		want *float64
		in   *bool
	}{
		{"exact", &Prediction{Metric: "tpot_ms", Before: f(10), After: f(8), Low: f(7), High: f(9)}, &Measurement{Metric: "tpot_ms", Before: f(10), After: f(8)}, f(0), new(true)},
		{"slower than promised", &Prediction{Metric: "tpot_ms", Before: f(10), After: f(8), Low: f(7), High: f(8.5)}, &Measurement{Metric: "tpot_ms", Before: f(10), After: f(9)}, f(0.125), new(false)},
		{"the server has wandered", &Prediction{Metric: "tpot_ms", Before: f(10), After: f(8), Low: f(9), High: f(7)}, &Measurement{Metric: "tpot_ms", Before: f(20), After: f(16)}, f(0), new(true)},
		{"no before", &Prediction{Metric: "tpot_ms", After: f(8)}, &Measurement{Metric: "tpot_ms", Before: f(20), After: f(16)}, f(1), nil},
		{"another metric", &Prediction{Metric: "tpot_ms", After: f(8)}, &Measurement{Metric: "ttft_ms", After: f(16)}, nil, nil},
		{"not measured", &Prediction{Metric: "tpot_ms", After: f(8)}, &Measurement{Metric: "tpot_ms"}, nil, nil},
		{"no prediction", nil, &Measurement{Metric: "tpot_ms", After: f(1)}, nil, nil},
	} {
		e := Entry{Predicted: c.p, Measured: c.m}
		got, in := PredictionError(e.Predicted, e.Measured)
		if (got == nil) != (c.want == nil) || got != nil && (*got-*c.want > 1e-12 || *c.want-*got > 1e-12) {
			t.Errorf("%s: error %v, want %v", c.name, got, c.want)
		}
		if (in == nil) != (c.in == nil) || in != nil && *in != *c.in {
			t.Errorf("%s: in range %v, want %v", c.name, in, c.in)
		}
	}
}

func TestMask(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"vllm serve M --api-key sk1 sk2 --port 80", "vllm serve M --api-key *** *** --port 80"},
		{"vllm serve M --api-key=abc", "vllm serve M --api-key=***"},
		{"HF_TOKEN=abc vllm serve --hf-token def M", "HF_TOKEN=*** vllm serve --hf-token *** M"},
		{"vllm serve M --max-num-batched-tokens 256 --tokenizer T --tokenizer-mode=auto", "vllm serve M --max-num-batched-tokens 256 --tokenizer T --tokenizer-mode=auto"},
		{"serve --password -x", "serve --password ***"},
		{"curl https://me:pw@host/v1?api_key=abc&x=1", "curl https://***@host/v1?api_key=***&x=1"},
		{"serve hf_abcdefghijklmnopqrstuvwx", "serve ***"},
		{`serve --hf-overrides {"token":"abc","n":3}`, `serve --hf-overrides {"token":"***","n":3}`},
		{"serve --ssl-keyfile a.pem --block-size 16", "serve --ssl-keyfile a.pem --block-size 16"},
		{"serve --kv-transfer-config {\"kv_connector\":\"X\"}", "serve --kv-transfer-config {\"kv_connector\":\"X\"}"},
	} {
		if got := strings.Join(Mask(strings.Fields(c.in)), " "); got != c.want {
			t.Errorf("Mask(%s)\n got %s\nwant %s", c.in, got, c.want)
		}
	}
	for _, c := range []struct{ in, want string }{
		{"see http://user:pass@host/x", "see http://***@host/x"},
		{"http://user:p@ss@host", "http://***@host"},
		{"redis://:p#ss?w@host:6379", "redis://***@host:6379"},
		{"https://ghtoken@github.com/a", "https://***@github.com/a"},
		{`"http://user:pass@host"`, `"http://***@host"`},
		{"a http://u:p@h and b http://v:q@i", "a http://***@h and b http://***@i"},
		{`=HYPERLINK("http://x")|@a`, `=HYPERLINK("http://x")|@a`},
		{"href='http://x'@a", "href='http://x'@a"},
		{"http://x mail me@host", "http://x mail me@host"},
		{"http://x/me@host", "http://x/me@host"},
		{"a `http://x`@a", "a `http://x`@a"},
	} {
		if got := MaskText(c.in); got != c.want {
			t.Errorf("MaskText(%s)\n got %s\nwant %s", c.in, got, c.want)
		}
	}
	if got := MaskText("sent Authorization: Bearer abcdef123456 and\nWANDB_API_KEY=zzz"); strings.Contains(got, "abcdef") || strings.Contains(got, "zzz") {
		t.Errorf("%s", got)
	}
	if Mask(nil) != nil {
		t.Error("nil became a command")
	}
	l := testLedger(t)
	const bearer = "Authorization: Bearer verysecret"
	also, effects, warnings := []Change{{"hf_token", "verysecret", ""}}, []SideEffect{{Text: bearer}}, []string{bearer}
	mustAppend(t, l, Entry{Kind: KindBaseline, Command: []string{"vllm", "serve", "M", "--api-key", "verysecret"}, Knob: "api-key", To: "verysecret",
		Also: also, SideEffects: effects, Warnings: warnings, Text: bearer, Load: bearer, Reason: bearer})
	if also[0].From != "verysecret" || effects[0].Text != bearer || warnings[0] != bearer {
		t.Error("the caller's values were changed")
	}
	if b, _ := os.ReadFile(l.path(recordsName)); bytes.Contains(b, []byte("verysecret")) {
		t.Error("a secret was written")
	}
}

func TestLineRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := Entry{Kind: Kind(rapid.String().Draw(t, "kind")), Text: rapid.String().Draw(t, "text"),
			Knob: rapid.String().Draw(t, "knob"), Command: rapid.SliceOfN(rapid.String(), 0, 4).Draw(t, "command"),
			PredictionError: Float(rapid.Float64().Draw(t, "error"))}
		payload, err := marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		seq := rapid.Int64Min(1).Draw(t, "seq")
		line, sum := encodeLine(seq, zeroSum, payload)
		if bytes.Count(line, []byte("\n")) != 1 {
			t.Fatalf("%d newlines", bytes.Count(line, []byte("\n")))
		}
		r, err := decodeLine(line[:len(line)-1])
		if err != nil || r.Seq != seq || r.Sum != sum || !bytes.Equal(r.Raw, payload) {
			t.Fatalf("%v %+v", err, r)
		}
		// Any one changed byte is noticed.
		i := rapid.IntRange(0, len(line)-2).Draw(t, "at")
		bad := bytes.Clone(line[:len(line)-1])
		bad[i] ^= byte(1 << rapid.IntRange(0, 7).Draw(t, "bit"))
		if _, err := decodeLine(bad); err == nil {
			t.Fatalf("byte %d of %d changed unnoticed", i, len(line))
		}
	})
}

func FuzzScan(f *testing.F) {
	l1, s1 := encodeLine(1, zeroSum, []byte(`{"kind":"note"}`))
	l2, _ := encodeLine(2, s1, []byte(`{"kind":"repair"}`))
	f.Add(append(bytes.Clone(l1), l2...))
	f.Add(append(bytes.Clone(l1), l2[:40]...))
	f.Add([]byte("\n\n\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := scanFile(&memFile{newMemFS(), &memNode{data: b}}, "fuzz")
		if err != nil {
			t.Fatal(err)
		}
		if s.good < 0 || s.good > s.size || (s.tail != (s.good < s.size)) {
			t.Fatalf("good %d of %d, tail %v", s.good, s.size, s.tail)
		}
		// What may be cut off is never part of a whole record.
		again, err := scanFile(&memFile{newMemFS(), &memNode{data: b[:s.good]}}, "fuzz")
		if err != nil || len(again.records) != len(s.records) {
			t.Fatalf("cutting the tail loses records: %d of %d, %v", len(again.records), len(s.records), err)
		}
	})
}
