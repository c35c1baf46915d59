package bench

import (
	"encoding/binary"
	"io"
	"math"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/stepscope/stepscope/stat"
)

// Overhead is what the client itself adds to the latencies, measured in this run.
//
// A token's time is taken right after the socket read returns. Two things lie
// between the token's arrival in the kernel and that moment. If the client is still
// busy with the chunk before, the read starts late: Handling is how long a chunk
// keeps it busy. And the waiting goroutine has to be woken: Wake is how long that
// takes on a loopback connection, sampled in the idle client and during the load. A
// constant Wake shifts TTFT and cancels out of ITL; its spread is noise in ITL.
type Overhead struct {
	Chunks       int     // chunks that Handling is over
	ClockNS      float64 // to take a timestamp
	Handling     Spread  // from the socket read to ready for the next
	WakeIdle     Spread  // from a loopback write to the stamp after the read
	WakeLoaded   Spread
	ShareOfITL   float64 // median Handling over mean ITL; NaN without ITL
	JitterOfITL  float64 // p95 - p50 of WakeLoaded over mean ITL; NaN without either
	ProbesLoaded int
}

// Spread is the distribution of a delay in nanoseconds, NaN when not recorded.
type Spread struct {
	P50NS, P95NS, P99NS float64
}

func spread(ns []float64) Spread {
	s := stat.NewSample(ns, stat.AssumeNothing)
	return Spread{s.Percentile(50, stat.NearestRank), s.Percentile(95, stat.NearestRank), s.Percentile(99, stat.NearestRank)}
}

const loadedProbePeriod = 5 * time.Millisecond

// overhead summarises; itlMS is the mean ITL in ms, NaN when there was none. It is the
// mean and not the median because tokens may come in bursts: then the median is the
// time within a burst, and the client has all the time between them.
func (l *loaded) overhead(idle, wake []float64, itlMS float64) Overhead {
	o := Overhead{Chunks: len(l.handling), ClockNS: clockCost(), Handling: spread(l.handling),
		WakeIdle: spread(idle), WakeLoaded: spread(wake), ProbesLoaded: len(wake), ShareOfITL: math.NaN(), JitterOfITL: math.NaN()}
	if itlMS > 0 {
		o.ShareOfITL = o.Handling.P50NS / (itlMS * 1e6)
		o.JitterOfITL = (o.WakeLoaded.P95NS - o.WakeLoaded.P50NS) / (itlMS * 1e6)
	}
	return o
}

// clockCost is the median time of taking a timestamp.
func clockCost() float64 {
	const batch = 64
	var costs []float64
	for range 32 {
		start := now()
		for range batch - 1 {
			now()
		}
		costs = append(costs, float64(now()-start)/batch)
	}
	slices.Sort(costs)
	return costs[len(costs)/2]
}

// A wakeProbe measures how late a goroutine that waits for a socket notices data.
type wakeProbe struct {
	quit    chan struct{}
	wg      sync.WaitGroup
	samples []float64
}

// maxWakeSamples keeps an hour-long run small.
const maxWakeSamples = 200_000

// startWakeProbe sends timestamps over a loopback connection. Where that cannot be
// had, the probe has no samples.
func startWakeProbe(period time.Duration) *wakeProbe {
	p := &wakeProbe{quit: make(chan struct{})}
	from, to, err := loopback()
	if err != nil {
		return p
	}
	p.wg.Go(func() {
		defer from.Close()
		t := time.NewTicker(period)
		defer t.Stop()
		var msg [8]byte
		for {
			select {
			case <-p.quit:
				return
			case <-t.C:
			}
			binary.LittleEndian.PutUint64(msg[:], uint64(now()))
			if _, err := from.Write(msg[:]); err != nil {
				return
			}
		}
	})
	p.wg.Go(func() {
		defer to.Close()
		c := &stampConn{Conn: to}
		var msg [8]byte
		for {
			if _, err := io.ReadFull(c, msg[:]); err != nil {
				return
			}
			if len(p.samples) < maxWakeSamples {
				p.samples = append(p.samples, float64(c.last.Load()-int64(binary.LittleEndian.Uint64(msg[:]))))
			}
		}
	})
	return p
}

// stop ends the probe and returns its samples in nanoseconds.
func (p *wakeProbe) stop() []float64 {
	close(p.quit)
	p.wg.Wait()
	return p.samples
}

// idleWake probes for a tenth of a second.
func idleWake() []float64 {
	p := startWakeProbe(time.Millisecond)
	time.Sleep(100 * time.Millisecond)
	return p.stop()
}

// loopback returns the two ends of a TCP connection within this process.
func loopback() (from, to net.Conn, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	if t, ok := l.(*net.TCPListener); ok {
		t.SetDeadline(time.Now().Add(2 * time.Second))
	}
	from, err = net.DialTimeout("tcp", l.Addr().String(), 2*time.Second)
	if err != nil {
		return nil, nil, err
	}
	to, err = l.Accept()
	if err != nil {
		from.Close()
		return nil, nil, err
	}
	if to.RemoteAddr().String() != from.LocalAddr().String() { // someone else connected
		from.Close()
		to.Close()
		return nil, nil, net.ErrClosed
	}
	return from, to, nil
}
