package kineto

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/stepscope/stepscope/profile"
)

// DefaultMaxEvents bounds the rows of a Profile when Options does not; they take some 15 GB.
const DefaultMaxEvents = 1 << 28

// Options of a reader. The zero value is ready.
type Options struct {
	// Stacks keeps Python frames (with_stack) in Profile.Frames. They are the larger part of traces that have them.
	Stacks bool
	// MaxEvents is the most events to keep; 0 means DefaultMaxEvents. A file with more is refused.
	MaxEvents int
}

func (o Options) withDefaults() Options {
	if o.MaxEvents <= 0 {
		o.MaxEvents = DefaultMaxEvents
	}
	o.MaxEvents = min(o.MaxEvents, 1<<31-2) // rows are counted in int32
	return o
}

// sniffLen is how much of the text must show that it is a trace.
const sniffLen = 64 << 10

// Sniff reports whether text, the start of a file after decompression, looks like a PyTorch profiler trace.
func Sniff(text []byte) bool {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	text = bytes.TrimLeft(text[:min(len(text), sniffLen)], " \t\r\n")
	if len(text) == 0 {
		return false
	}
	has := func(key string) bool { return bytes.Contains(text, []byte(key)) }
	switch text[0] {
	case '{':
		return has(`"traceEvents"`) || has(`"schemaVersion"`) && has(`"deviceProperties"`)
	case '[':
		return has(`"ph"`)
	}
	return false
}

// Open reads the trace at path. Errors wrap profile.ErrUnrecognised when it is no trace, profile.ErrMalformed when it
// is one of which nothing can be read.
func Open(ctx context.Context, path string, opt Options) (*profile.Profile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", filepath.Base(path), err)
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.IsDir() {
		return nil, fmt.Errorf("reading %s: %w: it is a directory; its traces can be opened together", filepath.Base(path), profile.ErrUnrecognised)
	}
	return read(ctx, filepath.Base(path), f, opt)
}

// Read reads a trace from r, plain or gzipped; name is for messages.
func Read(name string, r io.Reader, opt Options) (*profile.Profile, error) {
	return read(context.Background(), name, r, opt)
}

func read(ctx context.Context, name string, r io.Reader, opt Options) (*profile.Profile, error) {
	d, err := readWindow(ctx, name, r, opt, windowSize, maxToken)
	if err != nil {
		return nil, err
	}
	return d.b.p, nil
}

// readWindow reads a trace through a window of at first window and at most limit bytes.
func readWindow(ctx context.Context, name string, r io.Reader, opt Options, window, limit int) (*document, error) {
	src, err := newSource(ctx, r, window, limit)
	var d *document
	if err == nil {
		if d, err = readDocument(name, src, opt); err == nil {
			err = d.finish()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return d, nil
}

// document is a trace as read: its columns, what its head says, and where it broke off.
type document struct {
	b     *builder
	src   *source
	meta  meta
	fault error // why the events end early
	where int64 // offset in the text of the fault
	tail  byte  // first byte behind the document, 0 = none
	tailA int64 // its offset
	found bool  // traceEvents was there
}

// readDocument reads the whole text. Its error says that nothing of it is of use.
func readDocument(name string, src *source, opt Options) (*document, error) {
	opt = opt.withDefaults()
	d := &document{b: newBuilder(name, opt), src: src}
	first := src.peek()
	if !Sniff(src.rest()) {
		if src.err != nil && !errors.Is(src.err, io.EOF) {
			return nil, d.readError(src.err)
		}
		if first == 0 && src.at() == 0 {
			return nil, fmt.Errorf("%w: the file is empty", profile.ErrUnrecognised)
		}
		return nil, fmt.Errorf("%w: no PyTorch profiler trace (neither \"traceEvents\" nor an array of events)", profile.ErrUnrecognised)
	}
	src.pos++
	var err error
	if first == '[' {
		d.found = true
		err = d.events()
	} else {
		err = d.object(opt)
	}
	if err != nil {
		if stop := d.stops(err); stop != nil {
			return nil, stop
		}
		return d, nil
	}
	if c := src.peek(); c != 0 {
		d.tail, d.tailA = c, src.at()
	}
	return d, nil
}

// stops decides whether a fault makes the whole file useless; if not, what came before it stands.
func (d *document) stops(err error) error {
	src := d.src
	switch {
	case errors.Is(err, errTooMany):
		return fmt.Errorf("more than %d events to keep; record a shorter window or raise the limit", d.b.opt.MaxEvents)
	case src.ctx.Err() != nil:
		return src.ctx.Err()
	case errors.Is(src.err, errBomb):
		return fmt.Errorf("%w: %w, at byte %d of the text", profile.ErrMalformed, errBomb, src.base+int64(src.end))
	}
	if errors.Is(err, errTruncated) && src.err != nil && !errors.Is(src.err, io.EOF) {
		if err = d.readError(src.err); isIOError(src.err) {
			return err
		}
	}
	if d.b.ordinal == 0 {
		return fmt.Errorf("%w: %w, at byte %d of the text, before the first event", profile.ErrMalformed, err, src.at())
	}
	d.fault, d.where = err, src.at()
	return nil
}

// readError says what an error of the input means.
func (d *document) readError(err error) error {
	switch {
	case d.src.ctx.Err() != nil:
		return d.src.ctx.Err()
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the gzip stream is cut off")
	case isIOError(err):
		return err
	}
	return fmt.Errorf("the gzip stream is damaged: %w", err)
}

func isIOError(err error) bool {
	var pe *os.PathError
	return errors.As(err, &pe)
}

// object reads a document with a head: any keys around traceEvents.
func (d *document) object(opt Options) error {
	s := d.src
	for {
		switch s.peek() {
		case '"':
		case ',':
			s.pos++
			continue
		case '}':
			s.pos++
			return nil
		case 0:
			return d.endOr(errSyntax)
		default:
			return errSyntax
		}
		t, ok, err := s.value()
		if err != nil {
			return err
		}
		if !ok {
			return errSyntax
		}
		key := string(t.plain())
		if c := s.peek(); c == 0 {
			return d.endOr(errSyntax)
		} else if c != ':' {
			return errSyntax
		}
		s.pos++
		c := s.peek()
		switch {
		case key == "traceEvents" && c == '[':
			if d.found { // of a repeated key the last one counts
				d.b = newBuilder(d.b.p.Source, opt)
			}
			d.found = true
			s.pos++
			if err := d.events(); err != nil {
				return err
			}
		case d.meta.wants(key):
			v, ok, err := s.value()
			if err != nil {
				return err
			}
			if ok {
				d.meta.set(key, v)
			}
		default:
			if err := s.skip(); err != nil {
				return err
			}
		}
	}
}

// endOr tells the end of the text from a 0 byte in it.
func (d *document) endOr(err error) error {
	if d.src.pos < d.src.end {
		return err
	}
	return errTruncated
}

// events reads the elements of an array of events, behind its bracket.
func (d *document) events() error {
	s := d.src
	var ev event
	for {
		switch s.peek() {
		case '{':
		case ',':
			s.pos++
			continue
		case ']':
			s.pos++
			return nil
		case 0:
			return d.endOr(errSyntax)
		case '}', ':':
			return errSyntax
		default:
			if err := s.skip(); err != nil {
				return err
			}
			d.b.count.notObjects++
			d.b.ordinal++
			continue
		}
		if err := d.event(&ev); err != nil {
			return err
		}
	}
}

// event reads one event, moving the window on until it holds it whole.
func (d *document) event(ev *event) error {
	s := d.src
	for {
		n, st := scanEvent(s.window(), 0, ev)
		switch st {
		case scanOK:
			if err := d.b.add(ev); err != nil {
				return err
			}
			s.pos += n
			return nil
		case short:
			if s.more() {
				continue
			}
			if s.full() && s.err == nil {
				d.b.count.oversized++
				d.b.ordinal++
				return s.skip()
			}
			return errTruncated
		case deep:
			return errDeep
		default:
			return errSyntax
		}
	}
}
