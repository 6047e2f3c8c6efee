package http2

import (
	"errors"
	"io"
	"strconv"

	"github.com/sluice-gateway/sluice/dataplane/internal/h2"
	"github.com/sluice-gateway/sluice/dataplane/internal/message"
	"github.com/sluice-gateway/sluice/dataplane/internal/proxy"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// responder answers one stream.
type responder struct {
	e     *Engine
	s     *h2.Stream
	head  bool // the request's method is HEAD
	ended bool
	// body of a stream that opens a WebSocket, nil for others, and the key that its
	// upstream has to prove.
	body *requestBody
	key  string
}

var _ proxy.Responder = (*responder)(nil)

// hop tells whether a field is about an HTTP/1 connection.
func hop(name string) bool {
	switch len(name) {
	case len("Connection"), len("Proxy-Connection"), len("Transfer-Encoding"), len("Upgrade"):
		return pdk.EqualFold(name, "Connection") || pdk.EqualFold(name, "Keep-Alive") || pdk.EqualFold(name, "Proxy-Connection") ||
			pdk.EqualFold(name, "Transfer-Encoding") || pdk.EqualFold(name, "Upgrade")
	}
	return false
}

// fields writes a status and the lines of a header, but for those that skip is true for. To
// size it adds what they would take in HTTP/1.
func fields(status int, header *pdk.Header, length int64, skip func(name string) bool, size *int64) h2.Fields {
	return func(add func(name, value string, secret bool)) {
		var digits [20]byte
		add(":status", string(strconv.AppendInt(digits[:0], int64(status), 10)), false)
		list := header.Fields()
		for i := range list {
			if f := &list[i]; !hop(f.Name) && !skip(f.Name) {
				if !message.ValidName(f.Name) {
					continue
				}
				add(h2.Lower(f.Name), message.PlainValue(f.Value), false)
				*size += int64(len(f.Name) + len(f.Value) + len(": \r\n"))
			}
		}
		if length >= 0 {
			add("content-length", string(strconv.AppendInt(digits[:0], length, 10)), true)
		}
	}
}

func isLength(name string) bool {
	return len(name) == len("Content-Length") && pdk.EqualFold(name, "Content-Length")
}

// Send implements proxy.Responder.
func (r *responder) Send(x *pdk.Exchange, filter func(piece []byte, last bool) ([]byte, error)) error {
	resp := &x.Response
	bodiless := r.head || resp.Status == 204 || resp.Status == 304
	length := resp.ContentLength
	switch {
	case filter != nil:
	case resp.Buffered != nil:
		length = int64(len(resp.Buffered))
	case resp.Body == nil:
		length = 0
	}
	shown := int64(-1)
	if length >= 0 && (!bodiless || r.head && x.Source != pdk.SourceUpstream) && resp.Trailer.Len() == 0 && !(length == 0 && x.IsGRPC()) {
		shown = length
	}
	ends := bodiless || length == 0 && filter == nil && resp.Body == nil && resp.Trailer.Len() == 0
	skip := isLength
	if r.head && shown < 0 {
		skip = func(string) bool { return false } // what a GET would have
	}
	if err := r.s.WriteHead(fields(resp.Status, &resp.Header, shown, skip, &resp.Bytes), ends); err != nil {
		return &proxy.SendError{Err: err}
	}
	resp.HeadSent = true
	if r.ended = ends; ends {
		return nil
	}
	if err := r.send(resp, filter, length); err != nil {
		r.s.Reset(h2.InternalError) // the client must not take a part for the whole
		return err
	}
	r.ended = true
	var err error
	if resp.Trailer.Len() > 0 {
		err = r.s.WriteHead(func(add func(name, value string, secret bool)) {
			for _, f := range resp.Trailer.Fields() {
				if message.ValidName(f.Name) && !message.TrailerRefused(f.Name) {
					add(h2.Lower(f.Name), message.PlainValue(f.Value), false)
				}
			}
		}, true)
	} else {
		_, err = r.s.Write(nil, true, r.e.o.WriteTimeout)
	}
	if err != nil {
		return &proxy.SendError{Err: err}
	}
	return nil
}

const pieceSize = 32 << 10

var (
	errShort = errors.New("body is shorter than announced")
	errLong  = errors.New("body is longer than announced")
)

// ready is a body that knows whether its Read would wait.
type ready interface{ Ready() bool }

// send writes the body, of which left bytes are announced or -1. What there is is written
// before the upstream is waited for.
func (r *responder) send(resp *pdk.Response, filter func(piece []byte, last bool) ([]byte, error), left int64) error {
	write := func(p []byte, last bool) error {
		if filter != nil {
			var err error
			if p, err = filter(p, last); err != nil {
				return &proxy.SendError{Upstream: true, Err: err}
			}
		}
		if left >= 0 {
			if left -= int64(len(p)); left < 0 {
				return &proxy.SendError{Upstream: true, Err: errLong}
			}
		}
		if len(p) == 0 {
			return nil
		}
		n, err := r.s.Write(p, false, r.e.o.WriteTimeout)
		resp.Bytes += int64(n)
		if resp.Sent += int64(n); err != nil {
			return &proxy.SendError{Err: err}
		}
		return nil
	}
	if resp.Body == nil {
		if err := write(resp.Buffered, false); err != nil {
			return err
		}
	} else {
		buf := pieces.get()
		defer pieces.put(buf)
		knows, _ := resp.Body.(ready)
		for {
			if knows == nil || !knows.Ready() {
				r.s.Flush()
			}
			n, err := resp.Body.Read(*buf)
			if n > 0 {
				if err := write((*buf)[:n], false); err != nil {
					return err
				}
			}
			if err == io.EOF { //nolint:errorlint // readers return it bare
				break
			}
			if err != nil {
				return &proxy.SendError{Upstream: true, Err: err}
			}
		}
	}
	if filter != nil {
		if err := write(nil, true); err != nil {
			return err
		}
	}
	if left > 0 {
		return &proxy.SendError{Upstream: true, Err: errShort}
	}
	return nil
}

// Informational implements proxy.Responder.
func (r *responder) Informational(status int, header *pdk.Header) error {
	var size int64
	if err := r.s.WriteInterim(fields(status, header, -1, func(string) bool { return false }, &size)); err != nil {
		return err
	}
	r.s.Flush()
	return nil
}

// finish ends a stream that was not answered: that is a fault.
func (r *responder) finish() {
	if !r.ended {
		r.s.Reset(h2.InternalError)
	}
}
