package http1

import (
	"errors"
	"io"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/rawio"
)

// finish cleans up after an exchange.
func (c *conn) finish() {
	s := c.state
	answered := s.x.Response.HeadSent
	c.ended = s.x.Done
	s.x.Reset() // from here on nobody else reads the body
	if c.taken {
		c.over = true
		return
	}
	if !answered || !c.consume() {
		c.keep = false
	}
	s.x.Request.Trailer.Reset()
	if s.req.Length != 0 && !c.over {
		// What follows the body moves to where the next head is looked for.
		s.w = copy(s.buf, s.body.Following())
		s.r = 0
	}
	if !c.keep {
		c.unread = !c.over && (!s.body.Done() || s.w > s.r)
		c.over = true
	}
}

// maxUnread is how much of a body that nobody wanted is read to keep a connection.
const maxUnread = 256 << 10

// consume reads the rest of the request's body, when that is not much.
func (c *conn) consume() bool {
	b := &c.body
	if b.Done() {
		if b.closed.Swap(false) {
			// Close came when all had been read: the next request is not concerned.
			c.readBy = rawio.Deadline{}
			_ = c.nc.SetReadDeadline(time.Time{})
		}
		return true
	}
	if c.over || !c.keep || b.Err() != nil || b.closed.Load() {
		return false
	}
	if _, ok := b.Whole(); ok {
		return true
	}
	if b.Left() > maxUnread {
		return false
	}
	var space [4 << 10]byte
	for total := 0; total < maxUnread; {
		n, err := b.Read(space[:])
		total += n
		if err != nil {
			return errors.Is(err, io.EOF)
		}
	}
	return false
}

// How long the rest of what a client sends is taken for, as nginx does.
const (
	lingerAll  = 30 * time.Second
	lingerNext = 5 * time.Second
)

// linger takes what the client still sends for a while, because closing a socket with
// unread bytes resets it, and the client would lose the answer. Drain ends it.
func (c *conn) linger() {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.phase.Store(phaseWaiting)
	var space [4 << 10]byte
	for last := time.Now().Add(lingerAll); ; {
		by := time.Now().Add(lingerNext)
		if by.After(last) {
			by = last
		}
		_ = c.nc.SetReadDeadline(by)
		if c.e.draining.Load() {
			return
		}
		if _, err := c.nc.Read(space[:]); err != nil {
			return
		}
	}
}
