package kineto

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"

	"github.com/stepscope/stepscope/profile"
)

const (
	windowSize = 4 << 20
	// maxToken bounds one event or one top-level value that must be seen whole. What is larger is skipped.
	maxToken = 64 << 20
	// A gzipped trace is some 16 times smaller than its text, 60 times at most. Deflate's limit is 1032.
	maxRatio   = 250
	ratioAfter = 64 << 20 // bytes of text before the ratio is judged
)

// errBomb is returned when the input expands far beyond what a trace can.
var errBomb = errors.New("gzip data expands more than 250-fold, which no trace does")

// source is a sliding window over the text of a trace. buf[pos:end] is unread and buf[end] is 0.
type source struct {
	ctx      context.Context
	r        io.Reader
	buf      []byte
	pos, end int
	base     int64        // offset of buf[0] in the text
	limit    int          // most bytes the window may hold
	err      error        // why no more can be read; io.EOF at the regular end
	packed   *countReader // nil unless the text is gzipped
}

// countReader counts the compressed bytes.
type countReader struct {
	r io.Reader
	n int64
}

func (c *countReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// newSource returns a source over r, unpacking gzip if r starts with its magic.
func newSource(ctx context.Context, r io.Reader, window, limit int) (*source, error) {
	s := &source{ctx: ctx, limit: limit, buf: make([]byte, window+1)}
	count := &countReader{r: r}
	br := bufio.NewReaderSize(count, min(window, 256<<10))
	magic, err := br.Peek(3)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	s.r = br
	if len(magic) >= 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		s.packed = count
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, fmt.Errorf("%w: gzip header: %w", profile.ErrMalformed, err)
		}
		s.r = z
	}
	s.more()
	if bytes.HasPrefix(s.rest(), []byte("\xef\xbb\xbf")) {
		s.pos += 3
	}
	return s, nil
}

// rest returns the unread bytes in the window.
func (s *source) rest() []byte { return s.buf[s.pos:s.end] }

// at returns the offset in the text of the next unread byte.
func (s *source) at() int64 { return s.base + int64(s.pos) }

// window returns the unread bytes with the 0 behind them.
func (s *source) window() []byte { return s.buf[s.pos : s.end+1] }

// more reads on and keeps what is unread. It reports false when nothing came: at the end of the input, on an error,
// or when the window has reached its limit.
func (s *source) more() bool {
	if s.err != nil {
		return false
	}
	if s.pos > 0 {
		copy(s.buf, s.buf[s.pos:s.end])
		s.base += int64(s.pos)
		s.end -= s.pos
		s.pos = 0
	}
	if s.end == len(s.buf)-1 {
		if s.end >= s.limit {
			return false
		}
		grown := make([]byte, min(2*(len(s.buf)-1), s.limit)+1)
		copy(grown, s.buf[:s.end])
		s.buf = grown
	}
	if err := s.ctx.Err(); err != nil {
		s.err = err
		return false
	}
	from := s.end
	for empty := 0; s.end < len(s.buf)-1 && s.err == nil && empty < 100; empty++ {
		n, err := s.r.Read(s.buf[s.end : len(s.buf)-1])
		s.end += n
		if n > 0 {
			empty = 0
		}
		if err != nil {
			s.err = err
		}
	}
	s.buf[s.end] = 0
	if s.packed != nil {
		if text := s.base + int64(s.end); text > ratioAfter && text/maxRatio > s.packed.n {
			s.err, s.end = errBomb, from
			s.buf[s.end] = 0
			return false
		}
	}
	return s.end > from
}

// full reports whether the window is as large as it may get.
func (s *source) full() bool { return s.end-s.pos >= s.limit }

// peek returns the next byte that is no white space without consuming it, 0 at the end of the input.
func (s *source) peek() byte {
	for {
		for s.pos < s.end {
			switch c := s.buf[s.pos]; c {
			case ' ', '\n', '\r', '\t':
				s.pos++
			default:
				return c
			}
		}
		if !s.more() {
			return 0
		}
	}
}

// value reads one value that fits the window. A larger one is skipped and ok is false.
func (s *source) value() (t text, ok bool, err error) {
	s.peek()
	for {
		v, n, st := scanValue(s.window(), 0)
		switch st {
		case scanOK:
			s.pos += n
			return v, true, nil
		case short:
			if s.more() {
				continue
			}
			if c := s.buf[s.pos]; s.full() && s.err == nil && (c == '"' || c == '{' || c == '[') {
				return text{}, false, s.skip()
			}
			// A number or word may end where the text does.
			return text{}, false, errTruncated
		case deep:
			return text{}, false, errDeep
		default:
			return text{}, false, errSyntax
		}
	}
}

// skip steps over one value of any length, a piece of the window at a time.
func (s *source) skip() error {
	switch s.peek() {
	case '"', '{', '[':
	default:
		_, _, err := s.value()
		return err
	}
	var open brackets
	inString := false
	for first := true; ; first = false {
		if !first && !s.more() {
			return errTruncated
		}
		for s.pos < s.end {
			if inString {
				closed := false
				for s.pos < s.end && !closed {
					switch s.buf[s.pos] {
					case '"':
						closed = true
					case '\\':
						if s.pos+1 >= s.end && !s.more() {
							return errTruncated
						}
						s.pos++
					}
					s.pos++
				}
				if closed {
					inString = false
					if open.n == 0 {
						return nil
					}
				}
				continue
			}
			c := s.buf[s.pos]
			switch c {
			case '"':
				inString = true
			case '{', '[':
				if !open.push(c == '{') {
					return errDeep
				}
			case '}', ']':
				if !open.pop(c == '}') {
					return errSyntax
				}
				if open.n == 0 {
					s.pos++
					return nil
				}
			}
			s.pos++
		}
	}
}

// Faults of the text. The reader turns them into an error or, behind the first event, into a Diagnostic.
var (
	errTruncated = errors.New("the text ends early")
	errSyntax    = errors.New("no valid JSON")
	errDeep      = fmt.Errorf("nested deeper than %d", maxDepth)
)
