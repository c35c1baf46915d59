package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// ErrorKind says how a request failed.
type ErrorKind string

// Kinds of failure. HTTP errors are "http-" and the status, such as http-429.
const (
	ErrConnect     ErrorKind = "connect"     // no connection
	ErrTimeout     ErrorKind = "timeout"     // over Config.Timeout
	ErrStalled     ErrorKind = "stalled"     // over Config.Stall between chunks
	ErrCut         ErrorKind = "cut"         // the connection ended before the answer did
	ErrBadStream   ErrorKind = "bad-stream"  // something that is not a stream of chunks
	ErrServer      ErrorKind = "server"      // an error within the stream
	ErrEmpty       ErrorKind = "empty"       // an answer without a token
	ErrTooLarge    ErrorKind = "too-large"   // over Config.MaxResponse
	ErrInterrupted ErrorKind = "interrupted" // the run was stopped; not a failure of the server
)

const (
	maxErrorBody = 8 << 10
	maxErrorText = 300
	maxEvent     = 8 << 20
	afterDone    = time.Second // to wait for the end of the body after [DONE]
)

// newTransport returns a transport whose connections are stampConns.
func newTransport(conns int) *http.Transport {
	d := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := d.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &stampConn{Conn: c}, nil
		},
		// A non-nil empty map keeps HTTP/2 off, see stampConn.
		TLSNextProto:        map[string]func(string, *tls.Conn) http.RoundTripper{},
		TLSHandshakeTimeout: 10 * time.Second,
		DisableCompression:  true, // a compressor holds tokens back
		MaxIdleConns:        conns,
		MaxIdleConnsPerHost: conns,
		IdleConnTimeout:     5 * time.Minute,
		ReadBufferSize:      16 << 10,
	}
}

// send makes one request and records its answer. It never fails: what went wrong is
// in the recording.
func (r *runner) send(ctx context.Context, body []byte, scheduled int64, chunks *atomic.Int64) *recording {
	rec := &recording{}
	parent := ctx
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	var stalled atomic.Bool
	idle := time.AfterFunc(r.cfg.Stall, func() { stalled.Store(true); cancel() })
	defer idle.Stop()

	var conn atomic.Pointer[stampConn]
	trace := &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		rec.newConn = !i.Reused
		conn.Store(stamped(i.Conn))
	}}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), http.MethodPost, r.endpoint, bytes.NewReader(body))
	if err != nil {
		rec.fail(ErrBadStream, err.Error())
		return rec
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "text/event-stream")
	r.authorize(req)

	rec.start = now()
	rec.scheduled = rec.start
	if scheduled > 0 {
		rec.scheduled = scheduled
	}
	resp, err := r.http.Do(req)
	if err != nil {
		rec.fail(r.kind(parent, ctx, err, stalled.Load(), ErrConnect), r.clean(err.Error()))
		return rec
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
		rec.fail(ErrorKind(fmt.Sprintf("http-%d", resp.StatusCode)), r.clean(fmt.Sprintf("%s: %s", resp.Status, errorText(b))))
		return rec
	}
	if t := resp.Header.Get("Content-Type"); strings.HasPrefix(t, "application/json") {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
		if text := errorText(b); text != string(bytes.TrimSpace(b)) {
			rec.fail(ErrServer, r.clean(text))
		} else {
			rec.fail(ErrBadStream, "the server answered with JSON instead of a stream")
		}
		return rec
	}

	stamp := now // without a stampConn (a test's transport): when the body was read
	if c := conn.Load(); c != nil {
		stamp = c.last.Load
	}
	// More than maxEvent without an event's end is not a stream of chunks.
	events := newEventReader(io.LimitReader(resp.Body, r.cfg.MaxResponse+1), stamp, int(min(maxEvent, r.cfg.MaxResponse)))
	for {
		data, at, err := events.next()
		if err != nil {
			switch {
			case errors.Is(err, errEventTooLong) || events.total > r.cfg.MaxResponse:
				rec.fail(ErrTooLarge, fmt.Sprintf("the answer is over %d bytes", min(events.total, r.cfg.MaxResponse)))
			case rec.done || errors.Is(err, io.EOF): // whether it is whole, parsing tells
			default:
				rec.fail(r.kind(parent, ctx, err, stalled.Load(), ErrCut), r.clean(err.Error()))
			}
			return rec
		}
		if rec.done {
			continue
		}
		if string(data) == "[DONE]" {
			rec.done = true
			idle.Reset(afterDone)
			continue
		}
		rec.add(data, at)
		chunks.Add(1)
		idle.Reset(r.cfg.Stall)
	}
}

func (rec *recording) fail(kind ErrorKind, text string) {
	rec.kind, rec.err = kind, text
}

// kind tells the ways to fail apart; other is for what is left.
func (r *runner) kind(parent, ctx context.Context, err error, stalled bool, other ErrorKind) ErrorKind {
	var op *net.OpError
	switch {
	case parent.Err() != nil:
		return ErrInterrupted
	case stalled:
		return ErrStalled
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return ErrTimeout
	case errors.As(err, &op) && op.Op == "dial":
		return ErrConnect
	case other == ErrConnect && (errors.Is(err, io.EOF) || errors.As(err, &op)):
		return ErrCut // a connection there was, and it broke before the answer began
	}
	return other
}

// clean makes a text safe to show: without the key, on one line, and short.
func (r *runner) clean(s string) string {
	if r.cfg.Key != "" {
		s = strings.ReplaceAll(s, string(r.cfg.Key), "***")
	}
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "?"), func(c rune) bool { return c <= ' ' || c == 0x7f }), " ")
	if len(s) > maxErrorText {
		cut := maxErrorText
		for !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "..."
	}
	return s
}

// cleanError is clean for an error that keeps its chain.
func (r *runner) cleanError(err error) error {
	if r.cfg.Key == "" || !strings.Contains(err.Error(), string(r.cfg.Key)) {
		return err
	}
	return errors.New(r.clean(err.Error()))
}

func (r *runner) authorize(req *http.Request) {
	if r.cfg.Key != "" {
		req.Header.Set("Authorization", "Bearer "+string(r.cfg.Key))
	}
}
