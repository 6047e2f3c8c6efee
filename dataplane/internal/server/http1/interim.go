package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/message"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Informational implements proxy.Responder. HTTP/1.0 does not know interim responses.
func (c *conn) Informational(status int, header *pdk.Header) error {
	if c.req.Proto < 11 || status == 101 {
		return nil
	}
	b := message.AppendStatusLine(c.blank(), status, "")
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

var (
	errInside = errors.New("request does not ask for an upgrade")
	errUnread = errors.New("request has a body that was not read to its end")
)

// Hijack implements proxy.Responder.
func (c *conn) Hijack(x *pdk.Exchange) (net.Conn, *bufio.Reader, error) {
	if c.inside {
		return nil, nil, errInside
	}
	following := c.buf[c.r:c.w]
	if c.req.Length != 0 {
		if !c.body.Done() {
			return nil, nil, errUnread
		}
		following = c.body.Following()
	}
	r := &x.Response
	b := message.AppendStatusLine(c.blank(), r.Status, "")
	for _, f := range r.Header.Fields() {
		if pdk.EqualFold(f.Name, "Connection") || pdk.EqualFold(f.Name, "Content-Length") || pdk.EqualFold(f.Name, "Transfer-Encoding") {
			continue
		}
		b = append(b, f.Name...)
		b = append(b, ": "...)
		b = append(b, f.Value...)
		b = append(b, "\r\n"...)
	}
	if !r.Header.Has("Date") {
		b = append(b, "Date: "...)
		b = appendDate(b, x.Start)
		b = append(b, "\r\n"...)
	}
	c.out = append(b, "Connection: upgrade\r\n\r\n"...)
	if err := c.flush(r, 0); err != nil {
		return nil, nil, err
	}
	left := bytes.Clone(following)
	c.taken = true
	_ = c.nc.SetDeadline(time.Time{})
	return c.nc, bufio.NewReader(io.MultiReader(bytes.NewReader(left), c.nc)), nil
}
