package transport

import (
	"context"
	"errors"
	"io"
	"strconv"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/sluice-gateway/sluice/dataplane/internal/h2"
	"github.com/sluice-gateway/sluice/dataplane/internal/message"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// stream is one request and its response over HTTP/2. It is held by the exchange.
type stream struct {
	s       *h2.Stream
	body    *outgoing // nil when it was sent at once
	trailer *pdk.Header
	read    time.Duration
	done    bool
}

var (
	errSilence = errors.New("upstream is silent")
	errStalled = errors.New("upstream does not take the request")
	errEnded   = errors.New("upstream closed the connection")
)

// atOnce is how much of a body is sent without a goroutine of its own: less than every
// window has room for.
const atOnce = 16 << 10

// send opens a stream on a connection and waits for the response's head. ok is false when
// the connection takes no more.
func (h *http2Client) send(cn *h2.Conn, fields h2.Fields, x *pdk.Exchange, c *Call) (s *stream, ok bool, fault *Error) {
	inline, from, _ := requestBody(x)
	bodiless := inline == nil && from == nil && !trails(&x.Request)
	opened, ok, err := cn.Open(fields, bodiless, x.Upstream.Method == "HEAD")
	if !ok {
		return nil, false, nil
	}
	s = &stream{s: opened, trailer: &x.Response.Trailer, read: c.Timeouts.Read}
	if c.Context != nil {
		defer context.AfterFunc(c.Context, func() { opened.Reset(h2.Cancel) })()
	}
	switch {
	case err != nil || bodiless:
	case from == nil && len(inline) <= atOnce:
		err = sendPiece(opened, inline, true, &x.Request, c.Timeouts.Write)
	default:
		s.body = newOutgoing(opened, inline, from, &x.Request, c)
		go s.body.run()
	}
	if err != nil && !errors.Is(err, h2.ErrStalled) {
		err = nil // the head tells why, or is there all the same
	}
	if err == nil {
		err = s.head(x, c)
	}
	if err != nil {
		return s, true, s.fault(cn, err)
	}
	return s, true, nil
}

// head waits for the response's head, passing interim ones on. The time begins when the
// request was sent.
func (s *stream) head(x *pdk.Exchange, c *Call) error {
	for {
		fields, ended, err := s.s.Head(c.Timeouts.head())
		if errors.Is(err, h2.ErrTimeout) && s.body != nil && s.body.busy(c.Timeouts.head()) {
			continue
		}
		if errors.Is(err, h2.ErrTimeout) {
			fields, ended, err = s.s.Head(lastLook)
		}
		if err != nil {
			return err
		}
		status, _ := strconv.Atoi(statusOf(fields))
		if status >= 200 {
			s.answered(x, status, fields, ended)
			return nil
		}
		if status != 100 && c.Informational != nil {
			var header pdk.Header
			addAll(&header, fields)
			_ = c.Informational.Informational(status, &header)
		}
	}
}

func statusOf(fields []hpack.HeaderField) string {
	for i := range fields {
		if fields[i].Name == ":status" {
			return fields[i].Value
		}
	}
	return ""
}

// answered takes the response's head.
func (s *stream) answered(x *pdk.Exchange, status int, fields []hpack.HeaderField, ended bool) {
	r := &x.Response
	r.Status, r.UpstreamStatus, r.Reason = status, status, ""
	r.ContentLength, r.Body, r.Buffered = -1, nil, nil
	for i := range fields {
		if fields[i].Name == "content-length" {
			if n, err := strconv.ParseInt(fields[i].Value, 10, 64); err == nil {
				r.ContentLength = n
			}
		}
	}
	addAll(&r.Header, fields)
	if bodiless := x.Upstream.Method == "HEAD" || status == 204 || status == 304; !ended && !bodiless {
		r.Body = s
		return
	}
	if !ended {
		return // what comes all the same is nobody's: Release resets the stream
	}
	if r.ContentLength < 0 || x.Upstream.Method != "HEAD" {
		r.ContentLength = 0
	}
	s.end()
}

// addAll adds the lines of a head.
func addAll(to *pdk.Header, fields []hpack.HeaderField) {
	for i := range fields {
		if f := &fields[i]; f.Name[0] != ':' {
			to.Add(f.Name, f.Value)
		}
	}
}

// Read implements pdk.Body for the response.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.s.Read(p, s.read)
	if errors.Is(err, h2.ErrTimeout) {
		n, err = s.s.Read(p, lastLook)
	}
	switch {
	case err == nil:
	case err == io.EOF: //nolint:errorlint // h2 returns it bare
		if !s.done {
			s.end()
		}
	case errors.Is(err, h2.ErrTimeout):
		err = errSilence
	}
	return n, err
}

// Ready tells whether Read would not wait.
func (s *stream) Ready() bool { return s.s.Ready() }

// end takes the trailers, which come with the end of the body.
func (s *stream) end() {
	s.done = true
	for _, f := range s.s.Trailer() {
		if !message.TrailerRefused(f.Name) {
			s.trailer.Add(f.Name, f.Value)
		}
	}
}

// Done tells that the body has ended.
func (s *stream) Done() bool { return s.done }

// Release implements pdk.Releaser. The client's body is not read any more after it.
func (s *stream) Release() {
	s.s.Close()
	if s.body != nil {
		s.body.end()
	}
}

// fault turns the connection's error into ours.
func (s *stream) fault(cn *h2.Conn, err error) *Error {
	e := &Error{Kind: ErrRead, Sent: !errors.Is(err, h2.ErrUnsent), Err: err}
	if s.body != nil {
		s.s.Close()
		s.body.end()
		e.BodyTaken = s.body.taken
		switch {
		case s.body.err != nil:
			e = bodyError(s.body.err)
			e.Sent = true
			return e
		case s.body.stalled:
			err = h2.ErrStalled
		}
	}
	switch {
	case errors.Is(err, h2.ErrTimeout):
		e.Kind, e.Err = ErrReadTimeout, errSilence
	case errors.Is(err, h2.ErrStalled):
		e.Kind, e.Err = ErrWriteTimeout, errStalled
	case errors.Is(err, h2.ErrTooLarge):
		e.Kind = ErrBadResponse
	case errors.Is(err, h2.ErrUnsent):
	default:
		select {
		case <-cn.Ended():
			e.Err = errors.Join(errEnded, err)
		default:
		}
	}
	return e
}
