package http1

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/clock"
	"github.com/sluice-gateway/sluice/dataplane/internal/message"
	"github.com/sluice-gateway/sluice/dataplane/internal/rawio"
)

// conn is one client's connection. All but idle belongs to its goroutine.
type conn struct {
	e    *Engine
	nc   net.Conn
	raw  syscall.RawConn // of a plain socket, else nil
	info Info
	loop func(fd uintptr) bool // step, bound once

	phase    atomic.Uint32 // of the connection, for the figures and for Drain
	requests int
	readBy   rawio.Deadline
	writeBy  rawio.Deadline

	*state // nil while idle

	fd      uintptr
	inside  bool // the loop runs: the connection must not be read in another way
	outside bool // a request is there that the loop does not handle
	drained bool // the last read took all there was
	seen    int  // how much of the head was looked at
	over    bool
	taken   bool // by Hijack
	unread  bool // the client sends what nobody reads
	keep    bool
	chunked bool // the response
	began   time.Time
	ended   time.Time // of the exchange before; zero once it is not now any more
	first   [1]byte   // what wait reads into while idle
}

// Phases of a connection.
const (
	phaseReading = iota // a head
	phaseWaiting        // for a request
	phaseWriting        // from the end of a head to the end of the answer
	phases
)

func newConn(e *Engine, nc net.Conn, info *Info) *conn {
	c := &conn{e: e, nc: nc, raw: rawio.Of(nc), info: *info, began: clock.Now()}
	c.loop = c.step
	return c
}

func (c *conn) run() {
	defer c.end()
	if c.info.Refuse != 0 {
		c.state = c.e.take()
		c.refuse(c.info.Refuse)
		return
	}
	if first := c.info.First; len(first) > 0 {
		c.info.First = nil
		c.state = c.e.take()
		if len(first) > len(c.buf) {
			c.buf = make([]byte, len(first))
		}
		c.w = copy(c.buf, first)
	}
	for !c.over {
		c.outside = false
		if c.raw == nil {
			c.wait()
		} else {
			c.drained = false
			c.inside = true
			err := c.raw.Read(c.loop)
			c.inside = false
			if err != nil {
				c.failed(err)
			}
		}
		if c.outside && !c.over {
			c.exchange()
		}
	}
}

// end closes the connection. A fault of a handler ends this one and no other.
func (c *conn) end() {
	if fault := recover(); fault != nil {
		c.e.log.Error("handler panicked", "panic", fmt.Sprint(fault), "stack", string(debug.Stack()))
		_ = c.nc.Close() // ends whoever still reads the body
		if c.state != nil {
			c.x.ResetAfterPanic()
		}
		return // the state is not used again
	}
	if c.state != nil {
		c.release()
	}
	if c.unread {
		c.linger()
	}
	if !c.taken {
		_ = c.nc.Close()
	}
}

// cut ends the connection for the client. Unlike Close it does not wait for a handler
// that runs inside the loop.
func (c *conn) cut() {
	_ = c.nc.SetDeadline(past)
	if c.raw != nil {
		_ = c.raw.Control(func(fd uintptr) { _ = syscall.Shutdown(int(fd), syscall.SHUT_RDWR) })
		return
	}
	below := c.nc
	if t, ok := below.(interface{ NetConn() net.Conn }); ok {
		below = t.NetConn()
	}
	_ = below.Close()
}

// step runs inside the poller's read, at the start and whenever there may be bytes.
func (c *conn) step(fd uintptr) bool {
	c.fd = fd
	for {
		if c.state != nil && c.w > c.r && c.request() {
			if c.over || c.outside {
				return true
			}
			c.exchange()
			if c.over {
				return true
			}
			continue
		}
		if c.drained {
			c.park()
			c.drained = false
			return false
		}
		if !c.ready() {
			return true
		}
		s := c.state
		n, err := rawio.Read(fd, s.buf[s.w:])
		switch {
		case err == rawio.ErrAgain:
			c.park()
			return false
		case err != nil || n == 0:
			c.over = true
			return true
		}
		s.w += n
		// A client that closes its side right behind its first request leaves no edge of
		// its own: there the loop asks once more.
		c.drained = s.w < len(s.buf) && c.requests > 0
	}
}

// wait is step for connections that are not plain sockets: it returns with a request.
// While nothing is there it holds no buffers: it waits for one byte, and finds the others
// of the record behind it.
func (c *conn) wait() {
	for {
		if c.state != nil && c.w > c.r && c.request() {
			c.outside = true
			return
		}
		c.park()
		into := c.first[:]
		if c.state != nil {
			if !c.ready() {
				return
			}
			into = c.buf[c.w:]
		}
		n, err := c.nc.Read(into)
		if n > 0 {
			if c.state == nil {
				if !c.ready() {
					return
				}
				c.buf[0] = c.first[0]
			}
			c.w += n
			continue
		}
		if err != nil {
			c.failed(err)
			return
		}
	}
}

// ready makes room to read into. It reports false when the connection is over.
func (c *conn) ready() bool {
	if c.state == nil {
		if c.e.draining.Load() && c.requests > 0 {
			c.over = true
			return false
		}
		c.state = c.e.take()
	}
	s := c.state
	if s.r == s.w {
		s.r, s.w = 0, 0
	}
	if s.w == len(s.buf) {
		if s.r > 0 {
			s.w = copy(s.buf, s.buf[s.r:s.w])
			s.r = 0
		} else {
			next := make([]byte, 2*len(s.buf))
			copy(next, s.buf)
			s.buf = next
		}
	}
	return true
}

// unasked is how long a client may take for its first request while the engine drains.
const unasked = time.Second

// arm sets the deadline for what is waited for.
func (c *conn) arm() {
	now, timeout := c.ended, c.e.o.IdleTimeout
	if c.ended = (time.Time{}); now.IsZero() {
		now = clock.Now()
	}
	switch {
	case c.state != nil && c.w > c.r:
		timeout = max(c.e.o.HeadTimeout-now.Sub(c.began), time.Nanosecond)
	default:
		if c.requests == 0 {
			timeout = c.e.o.HeadTimeout
		}
		if c.phase.Load() != phaseWaiting {
			c.phase.Store(phaseWaiting)
		}
		if c.e.draining.Load() {
			if c.requests > 0 {
				_ = c.nc.SetReadDeadline(past)
				return
			}
			timeout = min(timeout, unasked)
		}
	}
	if at, ok := c.readBy.Due(now, timeout); ok {
		_ = c.nc.SetReadDeadline(at)
	}
}

// park prepares to wait for the client.
func (c *conn) park() {
	if s := c.state; s != nil && s.r == s.w {
		c.release()
	}
	c.arm()
}

// release gives the buffers back while nothing is there.
func (c *conn) release() {
	s := c.state
	c.state = nil
	c.e.give(s)
}

// failed ends the connection after an error of waiting.
func (c *conn) failed(err error) {
	c.over = true
	if s := c.state; s != nil && s.w > s.r && errors.Is(err, os.ErrDeadlineExceeded) {
		c.refuse(408) // a head that was begun and not finished
	}
}

// request looks for a whole head in the buffer and takes it. It reports false when more
// is needed. A head that is refused is answered, and the connection is over.
func (c *conn) request() bool {
	s := c.state
	if c.seen == 0 {
		// An empty line between requests is passed over, as RFC 9112 asks for.
		for s.w-s.r >= 2 && s.buf[s.r] == '\r' && s.buf[s.r+1] == '\n' {
			s.r += 2
		}
		if s.r == s.w {
			return false
		}
		if c.phase.Load() != phaseReading {
			c.phase.Store(phaseReading)
			c.began = clock.Now()
		}
		if s.w-s.r == 1 && s.buf[s.r] == '\r' {
			return false // perhaps half of an empty line
		}
	}
	n, err := message.EndOfHead(s.buf[s.r:s.w], c.seen)
	if err == nil && n == 0 {
		c.seen = s.w - s.r
		return false
	}
	c.seen = 0
	if err == nil {
		head := s.buf[s.r : s.r+n]
		s.r += n
		s.x.Request.Bytes = int64(n)
		if err = s.req.Parse(head, &s.x.Request.Header); err == nil {
			c.start()
			return true
		}
	}
	status := 400
	if refusal, ok := errors.AsType[*message.Refusal](err); ok {
		status = refusal.Status
	}
	c.refuse(status)
	return true
}

// start fills the exchange in and decides where it is handled.
func (c *conn) start() {
	s := c.state
	x, m := &s.x, &s.req
	x.Start = c.began
	c.requests++
	q := &x.Request
	q.Method, q.Host, q.RawPath, q.RawQuery, q.HasQuery, q.Proto = m.Method, m.Host, m.Path, m.Query, m.HasQuery, m.Proto
	c.addresses()
	c.keep = m.KeepAlive && !c.e.parting.Load() && (c.e.o.MaxRequests < 0 || c.requests < c.e.o.MaxRequests)
	q.ContentLength = m.Length
	q.Bytes += max(m.Length, 0)
	if m.Length == 0 {
		s.body.none()
		c.outside = m.Upgrade
		return
	}
	q.Body = &s.body
	// The head stays where it is: what plugins see points into it. The body is read into
	// the rest of the buffer, or into one of its own.
	rest := s.buf[s.r:]
	have := s.w - s.r
	if len(rest) < bufferSize/4 && int64(have) != m.Length {
		// Nobody else uses it: it may hold what follows the body while the answer is sent.
		if s.more == nil {
			s.more = make([]byte, bufferSize)
		}
		have = copy(s.more, rest[:have])
		rest = s.more
	}
	s.body.begin(c, rest, have, m.Length, m.Continue)
	c.outside = m.Upgrade || !s.body.Complete()
}

func (c *conn) addresses() {
	q := &c.x.Request
	q.Scheme = "http"
	if c.info.TLS {
		q.Scheme = "https"
	}
	q.SNI, q.Peer, q.Local, q.Client = c.info.SNI, c.info.Peer, c.info.Local, c.info.Client
	q.TLSVersion, q.TLSCipher = c.info.Version, c.info.Cipher
	q.ClientChain, q.ClientVerified = c.info.ClientChain, c.info.ClientVerified
}

// exchange has the request answered and makes the connection ready for the next one.
func (c *conn) exchange() {
	c.phase.Store(phaseWriting)
	if c.info.Deny != 0 {
		c.keep = false
		c.e.o.Handler.Refuse(&c.x, c, c.info.Deny)
	} else {
		c.e.o.Handler.Serve(&c.x, c)
	}
	c.finish()
}

// refuse answers what is no request.
func (c *conn) refuse(status int) {
	s := c.state
	s.x.Start = c.began
	c.addresses()
	s.req = message.Request{Proto: 11, Method: "GET"}
	s.x.Request.Header.Reset()
	s.x.Request.Proto = 11
	s.body.none()
	c.keep = false
	c.e.o.Handler.Refuse(&s.x, c, status)
	s.x.Reset()
	c.over, c.unread = true, true
}

// Read reads from the client for a body; the loop is not running then.
func (c *conn) Read(p []byte) (int, error) {
	if at, ok := c.readBy.Due(clock.Now(), c.e.o.BodyTimeout); ok {
		_ = c.nc.SetReadDeadline(at)
	}
	if c.body.closed.Load() {
		return 0, net.ErrClosed // the deadline that Close has set may be gone
	}
	return c.nc.Read(p)
}
