package h2

import (
	"runtime"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/sluice-gateway/sluice/dataplane/internal/clock"
)

// maxPending bounds what is appended and not written, in bytes, beyond one frame.
const maxPending = 256 << 10

// small is how much has to wait for others for a moment before it is written.
const small = 1 << 10

// flushLocked writes what was appended, and what others append meanwhile. When somebody
// writes already it leaves it to them. It gives the lock up while it writes.
func (c *Conn) flushLocked() {
	if c.flushing || len(c.out) == 0 {
		return
	}
	c.flushing = true
	if len(c.out) < small && len(c.streams) > 1 {
		c.mu.Unlock()
		runtime.Gosched() // others may have something for the same call
		c.mu.Lock()
	}
	for len(c.out) > 0 {
		b := c.out
		c.out, c.spare = c.spare[:0], nil
		c.mu.Unlock()
		err := c.put(b)
		c.mu.Lock()
		if cap(b) <= maxPending {
			c.spare = b[:0]
		}
		c.drained.Broadcast()
		if err != nil {
			c.out = nil
			if c.err == nil {
				c.mu.Unlock()
				c.end(err)
				_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // whoever reads ends, too
				c.mu.Lock()
			}
			break
		}
	}
	c.flushing = false
	c.drained.Broadcast()
	c.maybeEndLocked()
}

// onePut is how much a peer has to take within the time for a write.
const onePut = 64 << 10

// put writes to the connection.
func (c *Conn) put(b []byte) error {
	for len(b) > 0 {
		part := b[:min(len(b), onePut)]
		if at, ok := c.writeBy.Due(clock.Now(), c.o.WriteTimeout); ok {
			_ = c.nc.SetWriteDeadline(at)
		}
		if _, err := c.nc.Write(part); err != nil {
			return err
		}
		b = b[len(part):]
	}
	return nil
}

// flushSoonLocked has what was appended written by somebody who may wait: the goroutine that
// reads must not, since the peer may wait for it to read.
func (c *Conn) flushSoonLocked() {
	if c.flushing || len(c.out) == 0 || c.err != nil {
		return
	}
	go func() {
		c.mu.Lock()
		c.flushLocked()
		c.mu.Unlock()
	}()
}

// writtenLocked waits until all that was appended is written, by whomever, for a second at
// most: what comes next is the end of the connection.
func (c *Conn) writtenLocked() {
	_ = c.nc.SetWriteDeadline(time.Now().Add(time.Second))
	for (c.flushing || len(c.out) > 0) && c.err == nil {
		if c.flushing {
			c.drained.Wait()
		} else {
			c.flushLocked()
		}
	}
}

// roomLocked waits until there is room for another frame.
func (c *Conn) roomLocked() error {
	for len(c.out) > maxPending && c.err == nil {
		if !c.flushing {
			c.flushLocked()
			continue
		}
		c.drained.Wait()
	}
	return c.err
}

// Fields is a list of header fields to be written. add takes one; secret keeps its value
// out of the compression's memory. Names are in lower case.
type Fields func(add func(name, value string, secret bool))

// headLocked appends a header block.
func (c *Conn) headLocked(id uint32, fields Fields, end bool) {
	c.encoded.Reset()
	fields(c.encodeLocked)
	b := c.encoded.Bytes()
	flags := uint8(0)
	if end {
		flags = flagEndStream
	}
	kind := frameHeaders
	for {
		part := b[:min(len(b), c.peer.maxFrame)]
		if b = b[len(part):]; len(b) == 0 {
			flags |= flagEndHeaders
		}
		c.out = append(appendFrameHead(c.out, len(part), kind, flags, id), part...)
		if len(b) == 0 {
			return
		}
		kind, flags = frameContinuation, 0
	}
}

// worth is how long a value may be for the compression to remember it, and knownFields how
// many fields a connection remembers: the table has 4 KiB.
const worth, knownFields = 64, 128

// encodeLocked appends one field to the block. What the compression remembers must not be a
// view of something that goes away.
func (c *Conn) encodeLocked(name, value string, secret bool) {
	f := hpack.HeaderField{Name: name, Value: value, Sensitive: secret || len(value) > worth || volatile(name)}
	if !f.Sensitive {
		kept, ok := c.known[f]
		if !ok {
			if len(c.known) >= knownFields {
				clear(c.known)
			}
			kept = hpack.HeaderField{Name: clone(name), Value: clone(value)}
			c.known[kept] = kept
		}
		f = kept
	}
	_ = c.encoder.WriteField(f) // a buffer takes everything
}

func clone(s string) string { return string([]byte(s)) }

// volatile names have another value each time.
func volatile(name string) bool {
	switch name {
	case "x-kong-request-id", "x-kong-proxy-latency", "x-kong-upstream-latency", "content-length", "date", "etag", "traceparent",
		"x-forwarded-for", "x-real-ip", "cookie", "set-cookie", "authorization", ":path", "grpc-message":
		return true
	}
	return false
}
