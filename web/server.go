package web

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// Options say where a timeline is published.
type Options struct {
	// Listen is the address, "host:port"; "" means loopback and a random port. A port of 0 is random.
	Listen string
	// Remote allows an address of Listen that other machines reach. Without it such an address is an error.
	Remote bool
	// Hosts are further names that the server may be reached by, without port: for a remote address with a name, or a
	// proxy. Loopback names and, where Remote is set, literal IP addresses are always accepted.
	Hosts []string
	// Token is the secret that every path begins with; "" makes one of 192 random bits.
	Token string
	// Opened is called once, when a page has asked for the model; nil = nobody wants to know.
	Opened func()
}

// Limits of the server.
const (
	maxURL        = 8 << 10
	maxHeader     = 16 << 10
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	writeTimeout  = 60 * time.Second
	idleTimeout   = 2 * time.Minute
	stopTimeout   = 2 * time.Second
	maxConns      = 128
	maxParallel   = 8 // answers being computed at once
	minToken      = 16
)

// ErrNotLoopback is returned for an address that other machines reach when Options.Remote is not set.
var ErrNotLoopback = errors.New("other machines could read the profile there")

// Serve publishes m until ctx ends. It returns the URL to open, token included, and a function that waits until the
// server has stopped. The error of wait is nil when ctx ended.
func Serve(ctx context.Context, m *Model, opt Options) (url string, wait func() error, err error) {
	if opt.Listen == "" {
		opt.Listen = "127.0.0.1:0"
	}
	host, _, err := net.SplitHostPort(opt.Listen)
	if err != nil {
		return "", nil, fmt.Errorf("listening on %s: %w", opt.Listen, err)
	}
	if !opt.Remote && !loopback(host) {
		return "", nil, fmt.Errorf("listening on %s: %w", opt.Listen, ErrNotLoopback)
	}
	if opt.Token == "" {
		if opt.Token, err = newToken(); err != nil {
			return "", nil, err
		}
	}
	if !validToken(opt.Token) {
		return "", nil, fmt.Errorf("token: at least %d letters, digits, - and _", minToken)
	}
	h, err := newHandler(m, opt, host)
	if err != nil {
		return "", nil, err
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", opt.Listen)
	if err != nil {
		return "", nil, fmt.Errorf("listening on %s: %w", opt.Listen, err)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(&limitedListener{Listener: ln, slots: make(chan struct{}, maxConns)}) }()
	stopped := make(chan error, 1)
	go func() {
		select {
		case err := <-done:
			stopped <- err
		case <-ctx.Done():
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
			defer cancel()
			if srv.Shutdown(stop) != nil {
				srv.Close()
			}
			<-done
			stopped <- nil
		}
		close(stopped)
	}()
	return "http://" + shownAddress(ln.Addr(), host) + "/" + opt.Token + "/", func() error { return <-stopped }, nil
}

// shownAddress is the address for the URL: the listener's port with the host that was asked for.
func shownAddress(a net.Addr, host string) string {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return a.String()
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, fmt.Sprint(t.Port))
}

// loopback reports whether only this machine reaches host.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func newToken() (string, error) {
	b := make([]byte, 24)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("making a token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

func validToken(t string) bool {
	for i := range len(t) {
		if c := t[i]; c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return len(t) >= minToken && len(t) <= 256
}

// limitedListener accepts a bounded number of connections at a time; the others wait in the kernel's queue.
type limitedListener struct {
	net.Listener
	slots chan struct{}
}

func (l *limitedListener) Accept() (net.Conn, error) {
	l.slots <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitedConn{Conn: c, slots: l.slots}, nil
}

type limitedConn struct {
	net.Conn
	slots chan struct{}
	once  sync.Once
}

func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { <-c.slots })
	return err
}
