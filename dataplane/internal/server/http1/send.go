package http1

import (
	"bytes"
	"errors"
	"os"
	"strconv"

	"github.com/sluice-gateway/sluice/dataplane/internal/clock"
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
	if c.e.parting.Load() {
		c.keep = false
	}
	if c.req.Length != 0 && !c.body.answered() {
		c.keep = false // what is not read stands in the way of the next request
	}
	if r.Buffered != nil && filter == nil && !bodiless {
		// The usual answer of the gateway itself.
		if c.chunked = r.Trailer.Len() > 0 && c.req.Proto >= 11; c.chunked {
			c.head(x, -1, false)
			c.chunk(r.Buffered)
			c.out = c.terminate(c.out, &r.Trailer)
			return c.flush(r, int64(len(r.Buffered)))
		}
		c.head(x, int64(len(r.Buffered)), false)
		n := min(len(r.Buffered), max(outSize-len(c.out), 0))
		c.out = append(c.out, r.Buffered[:n]...)
		if err := c.flush(r, int64(n)); err != nil {
			return err
		}
		return c.pass(r, r.Buffered[n:], len(r.Buffered)-n)
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
	b := message.AppendStatusLine(c.blank(), r.Status, reason)
	start := len(b)
	dated, announced, ends := false, "", 0
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
			if pdk.EqualFold(f.Name, "Connection") && !pdk.EqualFold(f.Value, "Upgrade") || pdk.EqualFold(f.Name, "Transfer-Encoding") || pdk.EqualFold(f.Name, "Keep-Alive") {
				continue
			}
		}
		b = append(b, f.Name...)
		b = append(b, ": "...)
		b = append(b, f.Value...)
		b = append(b, "\r\n"...)
		ends++
	}
	if bytes.Count(b[start:], lineFeed) != ends || bytes.Count(b[start:], carriageReturn) != ends {
		split(&r.Header) // a plugin wrote what somebody told it
		c.head(x, length, bodiless)
		return
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
			b = append(b, message.PlainValue(announced)...)
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
	r.KeepAlive = c.keep
	if c.req.Length < 0 {
		x.Request.Bytes += c.body.taken.Swap(0)
	}
	if c.keep {
		b = append(b, "Connection: keep-alive\r\n\r\n"...)
	} else {
		b = append(b, "Connection: close\r\n\r\n"...)
	}
	c.out = b
}

var lineFeed, carriageReturn = []byte{'\n'}, []byte{'\r'}

// split makes lines that would be several ones again: values are escaped, names that are
// none go.
func split(h *pdk.Header) {
	h.DelFunc(func(f *pdk.Field) bool {
		f.Value = message.PlainValue(f.Value)
		return !message.ValidName(f.Name)
	})
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

// write writes all of p. The timeout is between two successive writes: a client that
// takes a little at a time gets everything.
func (c *conn) write(p []byte) error {
	sent := &c.x.Response.Bytes
	if c.inside {
		n, err := rawio.Write(c.fd, p)
		*sent += int64(n)
		if err != nil && err != rawio.ErrAgain {
			c.over = true
			return err
		}
		p = p[n:]
	}
	for len(p) > 0 {
		if at, ok := c.writeBy.Due(clock.Now(), c.e.o.WriteTimeout); ok {
			_ = c.nc.SetWriteDeadline(at)
		}
		n, err := c.nc.Write(p[:min(len(p), streamSize)])
		*sent += int64(n)
		p = p[n:]
		if err == nil || n > 0 && c.raw != nil && errors.Is(err, os.ErrDeadlineExceeded) {
			continue // what TLS has half written can not be gone on with
		}
		c.over = true
		return err
	}
	return nil
}
