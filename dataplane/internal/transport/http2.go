package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/message"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// http2Client sends requests over HTTP/2 with the standard library's client, which is
// made for it; connections are shared between requests, so there is no pool here.
type http2Client struct {
	e  *Endpoint
	rt *http.Transport
}

func newHTTP2Client(e *Endpoint) *http2Client {
	o := &e.transport.options
	var p http.Protocols
	if e.key.TLS {
		p.SetHTTP2(true)
	} else {
		p.SetUnencryptedHTTP2(true)
	}
	h := &http2Client{e: e}
	h.rt = &http.Transport{
		Protocols: &p, DisableCompression: true, IdleConnTimeout: o.IdleTimeout,
		HTTP2: &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return o.Dial(ctx, e.key.Network, e.key.Address)
		},
	}
	if e.key.TLS {
		h.rt.DialTLSContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			nc, err := o.Dial(ctx, e.key.Network, e.key.Address)
			if err != nil {
				return nil, err
			}
			tc := tls.Client(nc, e.clientConfig())
			if err := tc.HandshakeContext(ctx); err != nil {
				_ = nc.Close()
				return nil, &handshakeError{err}
			}
			if tc.ConnectionState().NegotiatedProtocol != "h2" {
				_ = nc.Close()
				return nil, &handshakeError{errors.New("upstream does not speak HTTP/2")}
			}
			return tc, nil
		}
	}
	return h
}

type handshakeError struct{ err error }

func (h *handshakeError) Error() string { return h.err.Error() }

// Unwrap returns the cause.
func (h *handshakeError) Unwrap() error { return h.err }

func (h *http2Client) close() { h.rt.CloseIdleConnections() }

// call is one request on its way.
type call2 struct {
	cancel  context.CancelCauseFunc
	body    *body2
	in      io.ReadCloser
	resp    *http.Response
	trailer *pdk.Header
	idle    *time.Timer
	read    time.Duration
	done    bool
}

var errSilence = errors.New("upstream is silent")

func (h *http2Client) roundTrip(x *pdk.Exchange, c *Call) *Error {
	ctx, cancel := context.WithCancelCause(h.e.transport.context)
	call := &call2{cancel: cancel, read: c.Timeouts.Read, trailer: &x.Response.Trailer}
	req, err := h.request(ctx, x, call)
	if err != nil {
		cancel(nil)
		return &Error{Kind: ErrRequest, Err: err}
	}
	limit := c.Timeouts.Connect + c.Timeouts.Read
	if c.Timeouts.Read > 0 {
		call.idle = time.AfterFunc(limit, func() { cancel(errSilence) })
	}
	resp, err := h.rt.RoundTrip(req)
	if err != nil {
		cause := context.Cause(ctx)
		call.Release()
		return h.fault(err, cause, call)
	}
	if call.idle != nil {
		call.idle.Reset(call.read)
	}
	call.resp, call.in = resp, resp.Body
	x.OnRelease(call)
	r := &x.Response
	r.Status, r.UpstreamStatus, r.Reason = resp.StatusCode, resp.StatusCode, ""
	r.ContentLength, r.Body, r.Buffered = resp.ContentLength, nil, nil
	for name, values := range resp.Header {
		for _, v := range values {
			r.Header.Add(name, v)
		}
	}
	if resp.Body != http.NoBody && x.Upstream.Method != http.MethodHead {
		r.Body = call
	}
	return nil
}

func (h *http2Client) request(ctx context.Context, x *pdk.Exchange, call *call2) (*http.Request, error) {
	u := &x.Upstream
	if !message.ValidMethod(u.Method) {
		return nil, errMethod
	}
	if !message.ValidTarget(u.Path) || u.HasQuery && u.RawQuery != "" && !message.ValidTarget(u.RawQuery) {
		return nil, errTarget
	}
	host := u.HostHeader
	if host == "" {
		host = h.e.key.Address
	}
	scheme := "http"
	if h.e.key.TLS {
		scheme = "https"
	}
	target := &url.URL{Scheme: scheme, Host: strings.Clone(host), Opaque: "//" + host + u.Path, RawQuery: strings.Clone(u.RawQuery), ForceQuery: u.HasQuery && u.RawQuery == ""}
	req := &http.Request{
		Method: strings.Clone(u.Method), URL: target, Host: strings.Clone(host), Header: http.Header{},
		Proto: "HTTP/2.0", ProtoMajor: 2,
	}
	for _, f := range x.Request.Header.Fields() {
		if kind := whose(f.Name); kind != fieldTheirs || message.HopByHop(f.Name) && !pdk.EqualFold(f.Name, "TE") {
			continue
		}
		if !message.ValidName(f.Name) || !message.ValidValue(f.Value) {
			return nil, errField
		}
		name := http.CanonicalHeaderKey(strings.Clone(f.Name))
		req.Header[name] = append(req.Header[name], strings.Clone(f.Value))
	}
	if _, ok := req.Header["User-Agent"]; !ok {
		req.Header["User-Agent"] = nil // the client's default is not ours
	}
	inline, stream, length := requestBody(x)
	switch {
	case inline != nil:
		stream = &inlineReader{p: inline}
	case stream == nil:
		return req.WithContext(ctx), nil
	}
	if s, ok := stream.(*stored); ok {
		s.read = 0
	}
	call.body = &body2{from: stream, source: x.Request.Body}
	req.Body, req.ContentLength = call.body, length
	return req.WithContext(ctx), nil
}

func (h *http2Client) fault(err, cause error, call *call2) *Error {
	var hs *handshakeError
	var op *net.OpError
	e := &Error{Kind: ErrRead, Sent: true, BodyTaken: call.body != nil && call.body.read.Load(), Err: err}
	switch {
	case errors.As(err, &hs):
		e.Kind, e.Sent = ErrTLS, false
	case errors.As(err, &op) && op.Op == "dial":
		*e = *dialError(ErrConnect, err)
	case errors.Is(cause, errSilence):
		e.Kind, e.Err = ErrReadTimeout, errSilence
	case call.body != nil && call.body.failed() != nil:
		e = bodyError(call.body.failed())
	}
	return e
}

// Read implements pdk.Body for the response.
func (c *call2) Read(p []byte) (int, error) {
	if c.idle != nil {
		c.idle.Reset(c.read)
	}
	n, err := c.in.Read(p)
	if err == io.EOF && !c.done {
		c.done = true
		for name, values := range c.resp.Trailer {
			for _, v := range values {
				c.trailer.Add(name, v)
			}
		}
	}
	return n, err
}

// Done tells that the body has ended.
func (c *call2) Done() bool { return c.done }

// Release implements pdk.Releaser. The client's body is not read any more after it.
func (c *call2) Release() {
	if c.idle != nil {
		c.idle.Stop()
	}
	c.cancel(context.Canceled)
	if c.in != nil {
		_ = c.in.Close()
	}
	if c.body != nil {
		c.body.end()
	}
}

// inlineReader reads what is in memory.
type inlineReader struct {
	p []byte
}

func (r *inlineReader) Read(p []byte) (int, error) {
	if len(r.p) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.p)
	r.p = r.p[n:]
	return n, nil
}

// body2 is a request body that the client's goroutine reads, until end.
type body2 struct {
	from   pdk.Body
	source pdk.Body // closed to end a read that waits
	read   atomic.Bool

	mu    sync.Mutex
	ended bool
	err   error
}

var errEnded = errors.New("exchange has ended")

// Read implements io.Reader.
func (b *body2) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return 0, errEnded
	}
	n, err := b.from.Read(p)
	if _, again := b.from.(*stored); n > 0 && !again {
		b.read.Store(true)
	}
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// Close implements io.Closer; the exchange owns the body.
func (b *body2) Close() error { return nil }

func (b *body2) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// end waits for a read that is under way, and makes it return.
func (b *body2) end() {
	if b.mu.TryLock() {
		b.ended = true
		b.mu.Unlock()
		return
	}
	if c, ok := b.source.(io.Closer); ok {
		_ = c.Close()
	}
	b.mu.Lock()
	b.ended = true
	b.mu.Unlock()
}
