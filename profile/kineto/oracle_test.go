package kineto

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/internal/packed"
	"github.com/stepscope/stepscope/internal/proftest"
)

// oracleRead reads a trace with encoding/json, which is strict and slow, and feeds the same builder. It refuses what is
// no valid JSON; what it accepts, the tokenizer must read alike.
func oracleRead(name string, data []byte, opt Options) (*document, error) {
	if !Sniff(data) {
		return nil, fmt.Errorf("no trace")
	}
	opt = opt.withDefaults()
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if !json.Valid(data) {
		return nil, fmt.Errorf("no valid JSON")
	}
	src, err := newSource(context.Background(), strings.NewReader(""), 1, 1)
	if err != nil {
		return nil, err
	}
	d := &document{b: newBuilder(name, opt), src: src}
	if bytes.TrimSpace(data)[0] == '[' {
		d.found = true
		return d, d.oracleEvents(data)
	}
	err = members(data, func(key string, value json.RawMessage) error {
		switch {
		case key == "traceEvents" && value[0] == '[':
			d.b = newBuilder(name, opt)
			d.found = true
			return d.oracleEvents(value)
		case d.meta.wants(key):
			d.meta.set(key, oracleText(value))
		}
		return nil
	})
	return d, err
}

func (d *document) oracleEvents(array []byte) error {
	var elements []json.RawMessage
	if err := json.Unmarshal(array, &elements); err != nil {
		return err
	}
	for _, e := range elements {
		e = bytes.TrimSpace(e)
		if e[0] != '{' {
			d.b.count.notObjects++
			d.b.ordinal++
			continue
		}
		var ev event
		err := members(e, func(key string, value json.RawMessage) error {
			t := oracleText(value)
			switch key {
			case "ph":
				ev.ph = 0
				if s := string(t.plain()); t.kind == kindString && len(s) == 1 {
					ev.ph = s[0]
				}
			case "cat":
				ev.cat = t
			case "name":
				ev.name = t
			case "pid":
				ev.pid = t
			case "tid":
				ev.tid = t
			case "ts":
				ev.ts = t
			case "dur":
				ev.dur = t
			case "args":
				ev.clearArgs()
				ev.hasArgs = t.kind == kindObject
				if !ev.hasArgs {
					return nil
				}
				return members(value, func(key string, value json.RawMessage) error {
					if f := ev.arg([]byte(key)); f != nil {
						*f = oracleText(value)
					}
					return nil
				})
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := d.b.add(&ev); err != nil {
			return err
		}
	}
	return nil
}

// members calls f for each member of an object, in order.
func members(object []byte, f func(key string, value json.RawMessage) error) error {
	dec := json.NewDecoder(bytes.NewReader(object))
	if _, err := dec.Token(); err != nil {
		return err
	}
	for dec.More() {
		k, err := dec.Token()
		if err != nil {
			return err
		}
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			return err
		}
		if err := f(k.(string), v); err != nil {
			return err
		}
	}
	return nil
}

// oracleText turns a value into the tokenizer's form, with every string decoded and encoded anew.
func oracleText(v json.RawMessage) text {
	switch c := v[0]; {
	case c == '"':
		var s string
		if err := json.Unmarshal(v, &s); err != nil {
			panic(err)
		}
		var w strings.Builder
		for _, r := range s {
			switch {
			case r == '"' || r == '\\':
				w.WriteByte('\\')
				w.WriteRune(r)
			case r < 0x20:
				fmt.Fprintf(&w, `\u%04x`, r)
			default:
				w.WriteRune(r)
			}
		}
		return text{[]byte(w.String()), kindString}
	case c == '[' || c == '{':
		var b bytes.Buffer
		if err := json.Compact(&b, v); err != nil {
			panic(err)
		}
		k := kindArray
		if c == '{' {
			k = kindObject
		}
		return text{b.Bytes(), k}
	case c == '-' || c >= '0' && c <= '9':
		return text{v, kindNumber}
	}
	return text{v, kindWord}
}

// columns is dump without the reader's remarks, which tell of repairs that the oracle does not see.
func columns(d *document) string {
	var lines []string
	for _, l := range strings.Split(dump(d.b.p), "\n") {
		if !strings.Contains(l, " of reader: ") {
			lines = append(lines, l)
		}
	}
	return strings.Join(lines, "\n")
}

// agree compares the tokenizer with the oracle. It reports whether the oracle took the text.
func agree(t *testing.T, data []byte, opt Options) bool {
	t.Helper()
	want, err := oracleRead("t.json", data, opt)
	if err == nil {
		err = want.finish()
	}
	got, gotErr := readWindow(context.Background(), "t.json", bytes.NewReader(data), opt, 128<<10, maxToken)
	if err != nil {
		return false
	}
	if gotErr != nil {
		t.Fatalf("encoding/json reads it, the tokenizer does not: %v", gotErr)
	}
	if got.fault != nil || got.tail != 0 {
		t.Fatalf("encoding/json reads all of it, the tokenizer stops at %d: %v", got.where, got.fault)
	}
	if w, g := columns(want), columns(got); w != g {
		t.Fatalf("columns differ (- encoding/json, + tokenizer):\n%s", diff(w, g))
	}
	return true
}

func TestOracleAgreesOnSamples(t *testing.T) {
	taken := 0
	for _, s := range samples {
		data, err := os.ReadFile(filepath.Join("testdata", s.name))
		if err != nil {
			t.Fatal(err)
		}
		t.Run(s.name, func(t *testing.T) {
			if agree(t, data, Options{Stacks: true}) {
				taken++
			}
		})
	}
	if taken < 25 {
		t.Errorf("encoding/json took %d samples only", taken)
	}
}

func TestOracleAgreesOnCapture(t *testing.T) {
	data := packed.Gunzip(t, filepath.Join(proftest.SharedCapture(t, "base8b-kineto-A"), "trace.json.gz"))
	if !agree(t, data, Options{}) {
		t.Error("encoding/json does not take the capture")
	}
}

// FuzzReader holds three things: no input breaks the reader, the size of the window changes nothing, and what
// encoding/json accepts comes out alike.
func FuzzReader(f *testing.F) {
	for _, s := range samples {
		data, err := os.ReadFile(filepath.Join("testdata", s.name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		opt := Options{Stacks: true, MaxEvents: 1 << 16}
		large, err := readWindow(context.Background(), "t.json", bytes.NewReader(data), opt, 128<<10, maxToken)
		if len(data) > 2 && data[0] == 0x1f && data[1] == 0x8b {
			return
		}
		if n := min(len(data), 512); Sniff(data[:n]) {
			small, err2 := readWindow(context.Background(), "t.json", bytes.NewReader(data), opt, 512, maxToken)
			if (err == nil) != (err2 == nil) {
				t.Fatalf("window of 128 KiB: %v, of 512 bytes: %v", err, err2)
			}
			if err == nil {
				if w, g := dump(large.b.p), dump(small.b.p); w != g {
					t.Fatalf("columns differ (- large window, + small):\n%s", diff(w, g))
				}
			}
		}
		agree(t, data, opt)
	})
}

// FuzzUnquote compares the resolving of escapes with encoding/json.
func FuzzUnquote(f *testing.F) {
	for _, s := range []string{`a`, `\n\u0041`, `\ud83d\ude00`, `\ud800`, `\ud800\u0041`, "\xff", `\"\\\/`, "é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var want string
		if json.Unmarshal([]byte(`"`+s+`"`), &want) != nil {
			unquote([]byte(s))
			return
		}
		if got, _ := unquote([]byte(s)); string(got) != want {
			t.Fatalf("unquote(%q) = %q, want %q", s, got, want)
		}
	})
}
