package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/message"
	"github.com/sluice-gateway/sluice/dataplane/internal/proxy"
	"github.com/sluice-gateway/sluice/dataplane/internal/rawio"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

var _ proxy.Responder = (*conn)(nil)

// streamSize is how much of a body is moved at once.
const streamSize = 64 << 10

// Send implements proxy.Responder.
func (c *conn) Send(x *pdk.Exchange, filter func(piece []byte, last bool) ([]byte, error)) error {
	r := &x.Response
	bodiless := c.req.Method == "HEAD" || r.Status < 200 || r.Status == 204 || r.Status == 304
	if c.e.draining.Load() {
		c.keep = false
	}
	if c.req.Length != 0 && (c.body.wait || c.body.Left() > maxUnread) {
		c.keep = false // what is not read stands in the way of the next request
	}
	if r.Buffered != nil && filter == nil && !bodiless {
		// The usual answer of the gateway itself.
		c.head(x, int64(len(r.Buffered)), false)
		c.out = append(c.out, r.Buffered...)
		return c.flush(r, int64(len(r.Buffered)))
	}
	if bodiless {
		c.head(x, -1, true)
		return c.flush(r, 0)
	}
	// With a filter it is -1, unless the filter changes nothing.
	length := r.ContentLength
	if r.Buffered == nil && r.Body == nil && filter == nil {
		length = 0
	}
	c.chunked = length < 0 && c.req.Proto >= 11
	if length < 0 && !c.chunked {
		c.keep = false
	}
	c.head(x, length, false)
	if filter != nil {
		return c.filtered(x, filter, length)
	}
	if length == 0 {
		return c.flush(r, 0)
	}
	return c.stream(x, length)
}

// head appends the status line and the fields. length is that of the body, -1 when it is
// not known; bodiless keeps the length that the fields say.
func (c *conn) head(x *pdk.Exchange, length int64, bodiless bool) {
	r := &x.Response
	reason := ""
	if r.Status == r.UpstreamStatus {
		reason = r.Reason
	}
	b := message.AppendStatusLine(c.out[:0], r.Status, reason)
	dated, announced := false, ""
	fields := r.Header.Fields()
	for i := range fields {
		f := &fields[i]
		switch len(f.Name) {
		case len("Date"):
			dated = dated || pdk.EqualFold(f.Name, "Date")
		case len("Connection"), len("Content-Length"), len("Transfer-Encoding"):
			if pdk.EqualFold(f.Name, "Content-Length") {
				announced = f.Value
				continue
			}
			if pdk.EqualFold(f.Name, "Connection") || pdk.EqualFold(f.Name, "Transfer-Encoding") || pdk.EqualFold(f.Name, "Keep-Alive") {
				continue
			}
		}
		b = append(b, f.Name...)
		b = append(b, ": "...)
		b = append(b, f.Value...)
		b = append(b, "\r\n"...)
	}
	if !dated {
		b = append(b, "Date: "...)
		b = appendDate(b, x.Start)
		b = append(b, "\r\n"...)
	}
	switch {
	case bodiless:
		if announced != "" && r.Status != 204 && r.Status >= 200 {
			b = append(b, "Content-Length: "...)
			b = append(b, announced...)
			b = append(b, "\r\n"...)
		} else if c.req.Method == "HEAD" && r.ContentLength >= 0 && r.Status != 204 && r.Status != 304 && (r.ContentLength > 0 || x.Source != pdk.SourceUpstream) {
			b = append(b, "Content-Length: "...)
			b = strconv.AppendInt(b, r.ContentLength, 10)
			b = append(b, "\r\n"...)
		}
	case length >= 0:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, length, 10)
		b = append(b, "\r\n"...)
	case c.chunked:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	if c.keep {
		b = append(b, "Connection: keep-alive\r\n\r\n"...)
	} else {
		b = append(b, "Connection: close\r\n\r\n"...)
	}
	c.out = b
}

// flush writes what is prepared.
func (c *conn) flush(r *pdk.Response, bodyBytes int64) error {
	err := c.write(c.out)
	c.out = c.out[:0]
	if err != nil {
		return &proxy.SendError{Err: err}
	}
	r.HeadSent = true
	r.Sent += bodyBytes
	return nil
}

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
			left -= int64(n)
		}
		out := buf[:at]
		switch {
		case length >= 0 && left == 0:
		case err == io.EOF && length >= 0:
			return c.broken(r, out, n, errShort)
		case err != nil && err != io.EOF:
			return c.broken(r, out, n, err)
		case err == io.EOF || end != nil && end.Done():
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
	if cap(c.more) < streamSize {
		c.more = make([]byte, streamSize)
	}
	return c.more[:streamSize]
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

// Informational implements proxy.Responder. HTTP/1.0 does not know interim responses.
func (c *conn) Informational(status int, header *pdk.Header) error {
	if c.req.Proto < 11 || status == 101 {
		return nil
	}
	b := message.AppendStatusLine(c.out[:0], status, "")
	for _, f := range header.Fields() {
		b = append(b, f.Name...)
		b = append(b, ": "...)
		b = append(b, f.Value...)
		b = append(b, "\r\n"...)
	}
	c.out = append(b, "\r\n"...)
	err := c.write(c.out)
	c.out = c.out[:0]
	return err
}

var errInside = errors.New("request does not ask for an upgrade")

// Hijack implements proxy.Responder.
func (c *conn) Hijack(x *pdk.Exchange) (net.Conn, *bufio.Reader, error) {
	if c.inside {
		return nil, nil, errInside
	}
	r := &x.Response
	b := message.AppendStatusLine(c.out[:0], r.Status, "")
	for _, f := range r.Header.Fields() {
		if pdk.EqualFold(f.Name, "Connection") || pdk.EqualFold(f.Name, "Content-Length") || pdk.EqualFold(f.Name, "Transfer-Encoding") {
			continue
		}
		b = append(b, f.Name...)
		b = append(b, ": "...)
		b = append(b, f.Value...)
		b = append(b, "\r\n"...)
	}
	c.out = append(b, "Connection: upgrade\r\n\r\n"...)
	if err := c.flush(r, 0); err != nil {
		return nil, nil, err
	}
	left := append([]byte(nil), c.buf[c.r:c.w]...)
	c.taken = true
	_ = c.nc.SetDeadline(time.Time{})
	return c.nc, bufio.NewReader(io.MultiReader(bytes.NewReader(left), c.nc)), nil
}

// write writes all of p.
func (c *conn) write(p []byte) error {
	if c.inside {
		n, err := rawio.Write(c.fd, p)
		if err != nil && err != rawio.ErrAgain {
			c.over = true
			return err
		}
		if p = p[n:]; len(p) == 0 {
			return nil
		}
	}
	if at, ok := c.writeBy.Due(time.Now(), c.e.o.WriteTimeout); ok {
		_ = c.nc.SetWriteDeadline(at)
	}
	if _, err := c.nc.Write(p); err != nil {
		c.over = true
		return err
	}
	return nil
}
