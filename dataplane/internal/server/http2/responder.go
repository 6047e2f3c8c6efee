package http2

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/proxy"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// responder answers one stream.
type responder struct {
	e       *Engine
	w       http.ResponseWriter
	control *http.ResponseController
	head    bool
	broken  bool
	// body of a stream that opens a WebSocket, nil for others, and the key that its
	// upstream has to prove.
	body io.ReadCloser
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

// add adds a line that outlives the exchange.
func add(h http.Header, f *pdk.Field) {
	name := http.CanonicalHeaderKey(strings.Clone(f.Name))
	h[name] = append(h[name], strings.Clone(f.Value))
}

// Send implements proxy.Responder.
func (r *responder) Send(x *pdk.Exchange, filter func(piece []byte, last bool) ([]byte, error)) error {
	resp := &x.Response
	h := r.w.Header()
	h["Content-Type"] = nil // nothing is guessed
	for _, f := range resp.Header.Fields() {
		if hop(f.Name) || pdk.EqualFold(f.Name, "Content-Length") && !r.head {
			continue
		}
		add(h, &f)
		resp.Bytes += int64(len(f.Name) + len(f.Value) + len(": \r\n"))
	}
	bodiless := r.head || resp.Status == 204 || resp.Status == 304
	length := resp.ContentLength
	switch {
	case filter != nil:
	case resp.Buffered != nil:
		length = int64(len(resp.Buffered))
	case resp.Body == nil:
		length = 0
	}
	if length >= 0 && (!bodiless || r.head && x.Source != pdk.SourceUpstream) && resp.Trailer.Len() == 0 && !(length == 0 && x.IsGRPC()) {
		h.Set("Content-Length", strconv.FormatInt(length, 10))
	}
	r.deadline()
	r.w.WriteHeader(resp.Status)
	resp.HeadSent = true
	if bodiless {
		return nil
	}
	if err := r.sendBody(resp, filter, length); err != nil {
		r.broken = true
		return err
	}
	for _, f := range resp.Trailer.Fields() {
		h.Add(http.TrailerPrefix+strings.Clone(f.Name), strings.Clone(f.Value))
	}
	return nil
}

const pieceSize = 32 << 10

var (
	errShort = errors.New("body is shorter than announced")
	errLong  = errors.New("body is longer than announced")
)

// sendBody writes the body, of which left bytes are announced or -1. Without a length each
// piece is sent on its way at once.
func (r *responder) sendBody(resp *pdk.Response, filter func(piece []byte, last bool) ([]byte, error), left int64) error {
	flush := left < 0
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
		if err := r.write(resp, p); err != nil {
			return &proxy.SendError{Err: err}
		}
		if flush && !last {
			if err := r.control.Flush(); err != nil {
				return &proxy.SendError{Err: err}
			}
		}
		return nil
	}
	if resp.Body == nil {
		if err := write(resp.Buffered, false); err != nil {
			return err
		}
	} else {
		buf := make([]byte, pieceSize)
		if flush {
			if err := r.control.Flush(); err != nil {
				return &proxy.SendError{Err: err}
			}
		}
		for {
			n, err := resp.Body.Read(buf)
			if n > 0 {
				if err := write(buf[:n], false); err != nil {
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

// write writes p in pieces with a deadline each: a slow client gets everything.
func (r *responder) write(resp *pdk.Response, p []byte) error {
	for len(p) > 0 {
		r.deadline()
		n, err := r.w.Write(p[:min(len(p), pieceSize)])
		resp.Sent += int64(n)
		resp.Bytes += int64(n)
		if p = p[n:]; err != nil {
			return err
		}
	}
	return nil
}

func (r *responder) deadline() { _ = r.control.SetWriteDeadline(time.Now().Add(r.e.o.WriteTimeout)) }

// Informational implements proxy.Responder.
func (r *responder) Informational(status int, header *pdk.Header) error {
	h := r.w.Header()
	for _, f := range header.Fields() {
		if !hop(f.Name) {
			h.Add(strings.Clone(f.Name), strings.Clone(f.Value))
		}
	}
	r.w.WriteHeader(status)
	clear(h)
	return nil
}
