package transport

import (
	"context"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/rawio"
)

// conn is one upstream connection. While it is idle no goroutine belongs to it.
type conn struct {
	net.Conn
	raw   syscall.RawConn // of a plain socket, else nil
	below syscall.RawConn // of the socket below TLS, else nil

	requests  int
	idleSince time.Time
	readBy    rawio.Deadline
	writeBy   rawio.Deadline

	// What exchange does, see there.
	loop   func(fd uintptr) bool
	phase  uint8
	reused bool
	out    []byte
	in     []byte
	n      int
	err    error
	shove  func(fd uintptr) bool
	peek   func(fd uintptr)
	gone   bool
}

// Phases of exchange.
const (
	phaseCheck = iota
	phaseWrite
	phaseRead
	phaseBlocked
)

func newConn(c, below net.Conn) *conn {
	cn := &conn{Conn: c, raw: rawio.Of(c)}
	if below != nil {
		cn.below = rawio.Of(below)
	}
	cn.loop = cn.step
	cn.shove = cn.once
	cn.peek = cn.look
	return cn
}

func (c *conn) close() { _ = c.Close() }

// endWith closes the connection when ctx ends, which may be nil, until the function that
// it returns is called; that returns false when it was closed.
func (c *conn) endWith(ctx context.Context) (stop func() bool) {
	if ctx == nil {
		return never
	}
	return context.AfterFunc(ctx, c.close)
}

func never() bool { return true }

// dead tells whether the peer has closed an idle connection, or sent what it was not
// asked for.
func (c *conn) dead() bool {
	raw := c.raw
	if raw == nil {
		raw = c.below
	}
	if raw == nil {
		return false
	}
	if raw.Control(c.peek) != nil {
		return true
	}
	return c.gone
}

func (c *conn) look(fd uintptr) {
	n, err := rawio.Peek(fd)
	// Below TLS there may be a record that is not for us, such as a session ticket.
	c.gone = err != rawio.ErrAgain && (err != nil || n == 0 || c.raw != nil) //nolint:errorlint // returned bare
}

// errGone says that the connection was closed while it was idle.
var errGone = &closedError{}

type closedError struct{}

func (*closedError) Error() string { return "connection was closed by the upstream while idle" }

// exchange writes out and waits for the first bytes of the answer. It returns how
// many bytes of out were written: fewer than all, without an error, when the socket
// did not take them, and then nothing was read. A connection that was used before is
// looked at first.
func (c *conn) exchange(out, in []byte, reused bool) (sent, n int, err error) {
	c.out, c.in, c.n, c.err = out, in, 0, nil
	c.phase = phaseWrite
	if c.reused = reused; reused {
		c.phase = phaseCheck
	}
	if err := c.raw.Read(c.loop); err != nil && c.err == nil {
		c.err = err
	}
	sent, n, err = len(out)-len(c.out), c.n, c.err
	c.out, c.in, c.err = nil, nil, nil
	return sent, n, err
}

// step runs inside the poller's read. It checks that nothing came unasked, writes,
// and then waits: the answer leaves an edge, so there is no need to look before.
func (c *conn) step(fd uintptr) bool {
	switch c.phase {
	case phaseCheck:
		if c.look(fd); c.gone {
			c.err = errGone
			return true
		}
		c.phase = phaseWrite
		fallthrough
	case phaseWrite:
		n, err := rawio.Write(fd, c.out)
		c.out = c.out[n:]
		switch {
		case err == rawio.ErrAgain: //nolint:errorlint // returned bare
			c.phase = phaseBlocked
			return true
		case err != nil:
			c.err = err
			return true
		case len(c.out) > 0:
			c.phase = phaseBlocked
			return true
		}
		if c.phase = phaseRead; c.reused {
			return false
		}
		// A new peer may have spoken first, and its edge is gone.
	}
	n, err := rawio.Read(fd, c.in)
	switch {
	case err == rawio.ErrAgain: //nolint:errorlint // returned bare
		return false
	case err != nil:
		c.err = err
	case n == 0:
		c.err = io.EOF
	}
	c.n = n
	return true
}

// push writes what the socket takes at once.
func (c *conn) push(p []byte) (int, error) {
	c.out, c.err = p, nil
	if err := c.raw.Write(c.shove); err != nil && c.err == nil {
		c.err = err
	}
	n, err := len(p)-len(c.out), c.err
	c.out, c.err = nil, nil
	return n, err
}

func (c *conn) once(fd uintptr) bool {
	for len(c.out) > 0 {
		n, err := rawio.Write(fd, c.out)
		c.out = c.out[n:]
		if err != nil {
			if err != rawio.ErrAgain { //nolint:errorlint // returned bare
				c.err = err
			}
			break
		}
	}
	return true
}

// lastLook is how long is looked once more for what was waited for. It is there already
// when the time ran out because this process did not run: on a machine that has too much to
// do, or one that was paused, timers and sockets come up at the same moment, and the
// upstream is not to blame.
const lastLook = 2 * time.Millisecond

// read reads, and once more when the time has run out.
func (c *conn) read(p []byte) (int, error) {
	n, err := c.Read(p)
	if n == 0 && err != nil && isTimeout(err) {
		return c.lookAgain(p)
	}
	return n, err
}

func (c *conn) lookAgain(p []byte) (int, error) {
	c.readBy = zeroDeadline
	c.armRead(time.Now(), lastLook)
	return c.Read(p)
}

func (c *conn) armRead(now time.Time, timeout time.Duration) {
	if at, ok := c.readBy.Due(now, timeout); ok {
		_ = c.SetReadDeadline(at)
	}
}

func (c *conn) armWrite(now time.Time, timeout time.Duration) {
	if at, ok := c.writeBy.Due(now, timeout); ok {
		_ = c.SetWriteDeadline(at)
	}
}
