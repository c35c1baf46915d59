package serving

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

// Caps that bound memory and time whatever the input is. A reader that meets
// one keeps what it has and adds a Warning "truncated", except for the total
// size, which is an error.
const (
	maxLogBytes     = 16 << 30
	maxJSONBytes    = 8 << 30
	maxMetricsBytes = 64 << 20
	maxSpanBytes    = 8 << 30
	maxProtoBytes   = 512 << 20 // protobuf is read whole
	maxCommandBytes = 1 << 20

	maxLineBytes = 1 << 20 // of one log line; the rest of the line is skipped
	maxJSONToken = 1 << 20 // of one JSON string; the rest of the string is skipped
	maxSamples   = 8 << 20 // per distribution
	maxRequests  = 500_000
	maxRows      = 1 << 20 // per log series
	maxSpecRows  = 1 << 17
	maxNotices   = 1000 // distinct
	maxText      = 400  // bytes of a text that is kept
	maxArgs      = 64 << 10
)

// malformed is the error for broken input: file, line (0: none), reason.
func malformed(file string, line int, format string, args ...any) error {
	return place(file, line, ErrMalformed, fmt.Sprintf(format, args...))
}

// unrecognised is the error for input of another format.
func unrecognised(file string, line int, format string, args ...any) error {
	return place(file, line, ErrUnrecognised, fmt.Sprintf(format, args...))
}

func place(file string, line int, kind error, reason string) error {
	if line > 0 {
		return fmt.Errorf("reading %s:%d: %w: %s", file, line, kind, reason)
	}
	return fmt.Errorf("reading %s: %w: %s", file, kind, reason)
}

var errTooLarge = errors.New("larger than this reader accepts")

// limited fails with errTooLarge after n bytes, unlike io.LimitReader, which
// pretends that the input ended.
type limited struct {
	r io.Reader
	n int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.n <= 0 {
		var one [1]byte
		if n, err := l.r.Read(one[:]); n == 0 {
			return 0, err
		}
		return 0, errTooLarge
	}
	if int64(len(p)) > l.n {
		p = p[:l.n]
	}
	n, err := l.r.Read(p)
	l.n -= int64(n)
	return n, err
}

var (
	bomUTF8    = []byte{0xef, 0xbb, 0xbf}
	bomUTF16LE = []byte{0xff, 0xfe}
	bomUTF16BE = []byte{0xfe, 0xff}
	gzipMagic  = []byte{0x1f, 0x8b}
)

// openText prepares an input: gzip is opened, a byte order mark is dropped,
// UTF-16 is refused by name, and the total size is capped at max.
func openText(file string, r io.Reader, max int64) (*bufio.Reader, error) {
	br := bufio.NewReaderSize(r, 256<<10)
	head, err := br.Peek(3)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	if bytes.HasPrefix(head, gzipMagic) {
		zr, err := gzip.NewReader(br)
		if err != nil {
			return nil, malformed(file, 0, "gzip: %v", err)
		}
		br = bufio.NewReaderSize(&limited{zr, max}, 256<<10)
		if head, err = br.Peek(3); err != nil && !errors.Is(err, io.EOF) {
			return nil, malformed(file, 0, "gzip: %v", err)
		}
	} else {
		br = bufio.NewReaderSize(&limited{br, max}, 256<<10)
		head, _ = br.Peek(3)
	}
	switch {
	case bytes.HasPrefix(head, bomUTF8):
		_, _ = br.Discard(len(bomUTF8))
	case bytes.HasPrefix(head, bomUTF16LE), bytes.HasPrefix(head, bomUTF16BE):
		return nil, unrecognised(file, 1, "text is UTF-16: convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)")
	}
	return br, nil
}

// clip cuts a text to max bytes at a rune border and marks the cut.
func clip(s string, max int) string {
	if len(s) <= max {
		return s
	}
	cut := max
	for cut > 0 && s[cut]&0xc0 == 0x80 {
		cut--
	}
	return s[:cut] + "..."
}
