package bench

import (
	"net"
	"sync/atomic"
	"time"
)

// base is the zero of all times in this package. Times are monotonic nanoseconds.
var base = time.Now()

func now() int64 { return int64(time.Since(base)) }

// A stampConn notes when its last Read returned with data.
//
// net/http's HTTP/1.1 client reads the socket in the goroutine that reads the body,
// and only when its buffer is empty, so when a body Read returns, the newest byte it
// returned came with this very socket read. TLS keeps that property. HTTP/2 does not,
// and is switched off.
type stampConn struct {
	net.Conn
	last atomic.Int64
}

func (c *stampConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.last.Store(now())
	}
	return n, err
}

// stamped finds the stampConn below a connection, TLS or not.
func stamped(c net.Conn) *stampConn {
	for c != nil {
		if s, ok := c.(*stampConn); ok {
			return s
		}
		inner, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = inner.NetConn()
	}
	return nil
}
