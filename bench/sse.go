package bench

import (
	"bytes"
	"errors"
	"io"
)

// errEventTooLong is returned for an event over the reader's limit.
var errEventTooLong = errors.New("event over the size limit")

// An eventReader splits a stream of server-sent events (WHATWG HTML, 9.2) and says
// when the last byte of each was read from the socket. It does as little as
// possible per event: fields other than data are skipped, data is not looked into.
type eventReader struct {
	r     io.Reader
	stamp func() int64 // when the newest byte was read
	limit int          // bytes of one event, and of one line

	buf    []byte
	lo, hi int
	at     int64 // stamp of the newest byte in buf
	err    error // of the last Read

	data    []byte
	hasData bool
	skipLF  bool // the last line ended in CR
	started bool // the byte order mark has been dealt with
	total   int64
}

func newEventReader(r io.Reader, stamp func() int64, limit int) *eventReader {
	return &eventReader{r: r, stamp: stamp, limit: limit, buf: make([]byte, 16<<10)}
}

// next returns the data of the next event that has any, and its time. The data is
// valid until the next call. At the end it returns io.EOF, or io.ErrUnexpectedEOF
// when the stream stopped within an event: such an event is incomplete by the
// standard and is not returned.
func (e *eventReader) next() ([]byte, int64, error) {
	e.data, e.hasData = e.data[:0], false
	for {
		line, err := e.line()
		if err != nil {
			if errors.Is(err, io.EOF) && (e.hasData || len(line) > 0) {
				err = io.ErrUnexpectedEOF
			}
			return nil, e.at, err
		}
		if len(line) == 0 {
			if !e.hasData {
				continue
			}
			return e.data, e.at, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":")) // a comment has an empty name
		if string(name) != "data" {
			continue
		}
		value = bytes.TrimPrefix(value, []byte(" "))
		if e.hasData {
			e.data = append(e.data, '\n')
		}
		e.data, e.hasData = append(e.data, value...), true
		if len(e.data) > e.limit {
			return nil, e.at, errEventTooLong
		}
	}
}

// line returns the next line without its end (LF, CR LF or CR). On an error it
// returns what there is of an unfinished line. The line is valid until the next call.
func (e *eventReader) line() ([]byte, error) {
	scanned := 0
	for {
		if e.skipLF && e.lo < e.hi {
			if e.buf[e.lo] == '\n' {
				e.lo++
			}
			e.skipLF = false
		}
		if !e.started && e.hi-e.lo >= 3 || e.err != nil {
			e.started = true
			if e.total == int64(e.hi-e.lo) { // nothing consumed yet
				if rest, ok := bytes.CutPrefix(e.buf[e.lo:e.hi], []byte("\ufeff")); ok {
					e.lo = e.hi - len(rest)
				}
			}
		}
		if e.started {
			if i := lineEnd(e.buf[e.lo+scanned : e.hi]); i >= 0 {
				end := e.lo + scanned + i
				line := e.buf[e.lo:end]
				e.skipLF = e.buf[end] == '\r'
				e.lo = end + 1
				return line, nil
			}
			scanned = e.hi - e.lo
		}
		if scanned > e.limit {
			return nil, errEventTooLong
		}
		if e.err != nil {
			line := e.buf[e.lo:e.hi]
			e.lo = e.hi
			return line, e.err
		}
		e.fill()
	}
}

// fill reads once.
func (e *eventReader) fill() {
	if e.lo > 0 {
		copy(e.buf, e.buf[e.lo:e.hi])
		e.lo, e.hi = 0, e.hi-e.lo
	}
	if e.hi == len(e.buf) {
		e.buf = append(e.buf, make([]byte, len(e.buf))...)
	}
	n, err := e.r.Read(e.buf[e.hi:])
	if n > 0 {
		e.at = e.stamp()
		e.hi += n
		e.total += int64(n)
	}
	e.err = err
}

// lineEnd returns the index of the first CR or LF, -1 without one.
func lineEnd(b []byte) int {
	lf := bytes.IndexByte(b, '\n')
	if lf >= 0 {
		b = b[:lf]
	}
	if cr := bytes.IndexByte(b, '\r'); cr >= 0 {
		return cr
	}
	return lf
}
