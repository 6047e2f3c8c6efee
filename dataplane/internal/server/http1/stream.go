package http1

import (
	"errors"
	"io"
	"strconv"

	"github.com/sluice-gateway/sluice/dataplane/internal/message"
	"github.com/sluice-gateway/sluice/dataplane/internal/proxy"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// finisher is a body that can tell that it has ended before it is asked.
type finisher interface{ Done() bool }

var (
	errShort = errors.New("body is shorter than announced")
	errLong  = errors.New("body is longer than announced")
)

// stream copies a body that nobody filters.
func (c *conn) stream(x *pdk.Exchange, length int64) error {
	r := &x.Response
	end, _ := r.Body.(finisher)
	left := length
	buf, at := c.out[:cap(c.out)], len(c.out)
	for {
		if len(buf)-at < 1024 || at == 0 && len(buf) < streamSize && r.Sent > outSize {
			// The head is large, or so is the body: go on with a larger buffer.
			if at > 0 {
				if err := c.pass(r, buf[:at], 0); err != nil {
					return err
				}
			}
			buf, at = c.large(), 0
		}
		n, err := c.piece(r, buf, &at)
		if length >= 0 {
			if over := int64(n) - left; over > 0 {
				return c.broken(r, buf[:at-int(over)], int(left), errLong)
			}
			left -= int64(n)
		}
		out := buf[:at]
		ended := err == io.EOF || err == nil && end != nil && end.Done()
		switch {
		case length >= 0 && left == 0:
		case err != nil && err != io.EOF:
			return c.broken(r, out, n, err)
		case ended && length >= 0:
			return c.broken(r, out, n, errShort)
		case ended:
			if c.chunked {
				out = c.terminate(out, &r.Trailer)
			}
			c.out = c.out[:0]
			return c.pass(r, out, n)
		}
		if err := c.pass(r, out, n); err != nil {
			return err
		}
		if at = 0; length >= 0 && left == 0 {
			c.out = c.out[:0]
			return nil
		}
	}
}

// large returns the buffer for bodies that stream.
func (c *conn) large() []byte {
	if c.down == nil {
		c.down = make([]byte, streamSize)
	}
	return c.down
}

// pass writes p, which has n bytes of the body.
func (c *conn) pass(r *pdk.Response, p []byte, n int) error {
	if len(p) > 0 {
		if err := c.write(p); err != nil {
			return &proxy.SendError{Err: err}
		}
		r.HeadSent = true
	}
	r.Sent += int64(n)
	return nil
}

// piece reads once into buf behind at, as a chunk when the response is chunked.
func (c *conn) piece(r *pdk.Response, buf []byte, at *int) (int, error) {
	if !c.chunked {
		n, err := r.Body.Read(buf[*at:])
		*at += n
		return n, err
	}
	const before, after = 6, 2
	n, err := r.Body.Read(buf[*at+before : min(len(buf)-after, *at+before+0xffff)])
	if n > 0 {
		var hex [4]byte
		size := strconv.AppendUint(hex[:0], uint64(n), 16)
		copy(buf[*at:], size)
		copy(buf[*at+len(size):], "\r\n")
		if gap := before - len(size) - 2; gap > 0 {
			copy(buf[*at+len(size)+2:], buf[*at+before:*at+before+n])
		}
		*at += len(size) + 2 + n
		*at += copy(buf[*at:], "\r\n")
	}
	return n, err
}

// broken sends what there is of a body that ended badly, and gives the connection up, so
// that the client can tell.
func (c *conn) broken(r *pdk.Response, p []byte, n int, cause error) error {
	c.keep = false
	err := c.pass(r, p, n)
	c.over = true
	c.out = c.out[:0]
	if err != nil {
		return err
	}
	return &proxy.SendError{Upstream: true, Err: cause}
}

// terminate appends the last chunk and the trailer section.
func (c *conn) terminate(b []byte, trailer *pdk.Header) []byte {
	b = append(b, "0\r\n"...)
	for _, f := range trailer.Fields() {
		if !message.ValidName(f.Name) || !message.ValidValue(f.Value) || message.TrailerRefused(f.Name) {
			continue
		}
		b = append(b, f.Name...)
		b = append(b, ": "...)
		b = append(b, f.Value...)
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}

// filtered passes a body through a filter, piece by piece. length is -1 unless the filter
// keeps it.
func (c *conn) filtered(x *pdk.Exchange, filter func(piece []byte, last bool) ([]byte, error), length int64) error {
	r := &x.Response
	end, _ := r.Body.(finisher)
	left, buf := length, []byte(nil)
	pass := func(p []byte, last bool) error {
		out, err := filter(p, last)
		if err == nil && length >= 0 && int64(len(out)) > left {
			err = errLong
		}
		if err != nil {
			return c.broken(r, c.out, 0, err)
		}
		left -= int64(len(out))
		c.chunk(out)
		r.Sent += int64(len(out))
		return nil
	}
	switch {
	case r.Body != nil:
		buf = c.large()
	case len(r.Buffered) > 0:
		if err := pass(r.Buffered, false); err != nil {
			return err
		}
	}
	for done := r.Body == nil; !done; {
		n, readErr := r.Body.Read(buf)
		if n > 0 {
			if err := pass(buf[:n], false); err != nil {
				return err
			}
		}
		switch done = readErr == io.EOF || readErr == nil && end != nil && end.Done(); {
		case done:
		case readErr != nil:
			return c.broken(r, c.out, 0, readErr)
		default:
			if err := c.flush(r, 0); err != nil {
				return err
			}
		}
	}
	if err := pass(nil, true); err != nil {
		return err
	}
	if length >= 0 && left != 0 {
		return c.broken(r, c.out, 0, errShort)
	}
	if c.chunked {
		c.out = c.terminate(c.out, &r.Trailer)
	}
	return c.flush(r, 0)
}

// chunk appends a piece of a body whose length is not known.
func (c *conn) chunk(p []byte) {
	if len(p) == 0 {
		return
	}
	if !c.chunked {
		c.out = append(c.out, p...)
		return
	}
	c.out = strconv.AppendUint(c.out, uint64(len(p)), 16)
	c.out = append(c.out, "\r\n"...)
	c.out = append(c.out, p...)
	c.out = append(c.out, "\r\n"...)
}
