package bench

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// readEvents reads a stream to its end; stamps are the numbers of the Reads.
func readEvents(r io.Reader, limit int) (events []string, at []int64, err error) {
	c := &countingReader{r: r}
	e := newEventReader(c, func() int64 { return c.n }, limit)
	for {
		data, when, err := e.next()
		if err != nil {
			return events, at, err
		}
		events, at = append(events, string(data)), append(at, when)
	}
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if n > 0 {
		c.n++
	}
	return n, err
}

func TestEvents(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []string
		err      error
	}{
		{"two events", "data: a\n\ndata: b\n\n", []string{"a", "b"}, io.EOF},
		{"carriage returns", "data: a\r\n\r\ndata: b\r\rdata: c\n\n", []string{"a", "b", "c"}, io.EOF},
		{"several data lines", "data: a\ndata: b\ndata\n\n", []string{"a\nb\n"}, io.EOF},
		{"comments and other fields", ": ping\n\nevent: x\nid: 1\ndata: a\nretry: 5\n\n", []string{"a"}, io.EOF},
		{"no blank after the colon", "data:a\n\ndata:  b\n\n", []string{"a", " b"}, io.EOF},
		{"byte order mark", "\ufeffdata: a\n\n", []string{"a"}, io.EOF},
		{"empty data is an event", "data:\n\n", []string{""}, io.EOF},
		{"no data is none", "event: x\n\n\n\n", nil, io.EOF},
		{"cut within a line", "data: a\n\ndata: b", []string{"a"}, io.ErrUnexpectedEOF},
		{"cut before the blank line", "data: a\n\ndata: b\n", []string{"a"}, io.ErrUnexpectedEOF},
		{"empty", "", nil, io.EOF},
		{"too long", "data: " + strings.Repeat("x", 200) + "\n\n", nil, errEventTooLong},
		{"too long in many lines", strings.Repeat("data: xxxxxxxxx\n", 20) + "\n", nil, errEventTooLong},
		{"endless line", strings.Repeat("x", 1000), nil, errEventTooLong},
	} {
		for how, r := range map[string]io.Reader{"whole": strings.NewReader(c.in), "byte by byte": iotest.OneByteReader(strings.NewReader(c.in)),
			"with the error": iotest.DataErrReader(strings.NewReader(c.in))} {
			got, _, err := readEvents(r, 100)
			if !slices.Equal(got, c.want) || !errors.Is(err, c.err) {
				t.Errorf("%s, %s: %q %v, want %q %v", c.name, how, got, err, c.want, c.err)
			}
		}
	}
}

// chunkReader returns one part per Read, like a socket.
type chunkReader [][]byte

func (c *chunkReader) Read(p []byte) (int, error) {
	if len(*c) == 0 {
		return 0, io.EOF
	}
	n := copy(p, (*c)[0])
	if (*c)[0] = (*c)[0][n:]; len((*c)[0]) == 0 {
		*c = (*c)[1:]
	}
	return n, nil
}

func TestEventsGetTheReadThatEndedThem(t *testing.T) {
	r := chunkReader{[]byte("data: a\n\ndata: b\n\nda"), []byte("ta: c\n"), []byte("\ndata: d\n\n")}
	events, at, err := readEvents(&r, 100)
	if !errors.Is(err, io.EOF) || !slices.Equal(events, []string{"a", "b", "c", "d"}) || !slices.Equal(at, []int64{1, 1, 3, 3}) {
		t.Errorf("%q at %v, %v", events, at, err)
	}
}

func TestEventsDoNotDependOnTheReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`([\r\n:d ]|data|data: x|\n\n|é){0,40}`).Draw(t, "text")
		want, _, wantErr := readEvents(strings.NewReader(text), 1000)
		var parts chunkReader
		rest := []byte(text)
		for len(rest) > 0 {
			n := rapid.IntRange(1, len(rest)).Draw(t, "n")
			parts, rest = append(parts, rest[:n]), rest[n:]
		}
		got, _, err := readEvents(&parts, 1000)
		if !slices.Equal(got, want) || !errors.Is(err, wantErr) {
			t.Fatalf("%q %v, in one read %q %v", got, err, want, wantErr)
		}
	})
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte("data: a\r\n\r\ndata: b\n\n"), 3)
	f.Add([]byte("\ufeff: x\ndata\rdata:"), 1)
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		events, _, err := readEvents(bytes.NewReader(b), 1<<20)
		if err == nil {
			t.Fatal("no end")
		}
		total := 0
		for _, e := range events {
			total += len(e)
		}
		if total > len(b) {
			t.Fatalf("%d bytes of data out of %d", total, len(b))
		}
		if size = size%16 + 1; size < 1 {
			size = 1
		}
		var parts chunkReader
		for p := range slices.Chunk(b, size) {
			parts = append(parts, p)
		}
		again, _, err2 := readEvents(&parts, 1<<20)
		if !slices.Equal(events, again) || !errors.Is(err2, err) {
			t.Fatalf("%q %v in one read, %q %v in reads of %d", events, err, again, err2, size)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"choices":[{"text":"a","finish_reason":"length"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}`), []byte(`{"error":{"message":"x"}}`))
	f.Add([]byte(`{"choices":[{"delta":{"role":"assistant","content":""}}]}`), []byte(`[DONE]`))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		r := &recording{}
		for i, e := range [][]byte{a, b, a} {
			r.add(e, int64(i))
		}
		q := r.request(2, true)
		if q.OK() && (q.TTFTNS < 0 || q.E2ENS < q.TTFTNS) {
			t.Fatalf("%+v", q)
		}
	})
}
