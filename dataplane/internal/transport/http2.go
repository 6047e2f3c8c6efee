package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
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
		MaxResponseHeaderBytes: int64(o.MaxHead),
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return h.dial(ctx)
		},
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return h.dialTLS(ctx)
		},
	}
	return h
}

// connectTimeout is the key of a request's timeout in its context: the client dials
// in a goroutine of its own.
type connectTimeout struct{}

// dialFault is an Error on its way through the client.
type dialFault struct{ fault *Error }

func (d *dialFault) Error() string { return d.fault.Error() }

// Unwrap returns the cause.
func (d *dialFault) Unwrap() error { return d.fault.Err }

func (h *http2Client) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	nc, err := h.e.transport.options.Dial(ctx, h.e.key.Network, h.e.key.Address)
	if err != nil {
		return nil, &dialFault{dialError(ErrConnect, err)}
	}
	return nc, nil
}

func (h *http2Client) dialTLS(ctx context.Context) (net.Conn, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	nc, err := h.e.transport.options.Dial(ctx, h.e.key.Network, h.e.key.Address)
	if err != nil {
		return nil, &dialFault{dialError(ErrConnect, err)}
	}
	tc := tls.Client(nc, h.e.clientConfig())
	if err := tc.HandshakeContext(ctx); err != nil {
		_ = nc.Close()
		return nil, &dialFault{dialError(ErrTLS, err)}
	}
	if p := tc.ConnectionState().NegotiatedProtocol; p != "h2" {
		_ = nc.Close()
		return nil, &dialFault{&Error{Kind: ErrTLS, Err: fmt.Errorf("upstream does not speak HTTP/2 (ALPN %q)", p)}}
	}
	return tc, nil
}

// bounded gives a dial its request's connect timeout.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if d, ok := ctx.Value(connectTimeout{}).(time.Duration); ok && d > 0 {
		return context.WithTimeout(ctx, d)
	}
	return ctx, func() {}
}

func (h *http2Client) close() { h.rt.CloseIdleConnections() }

func (h *http2Client) roundTrip(x *pdk.Exchange, c *Call) *Error {
	s := newStream(h, x, c)
	ctx := context.WithValue(context.Background(), connectTimeout{}, c.Timeouts.Connect)
	ctx, s.cancel = context.WithCancelCause(ctx)
	req, err := h.request(x)
	if err != nil {
		s.cancel(nil)
		return &Error{Kind: ErrRequest, Err: err}
	}
	s.attach(req, c)
	req = req.WithContext(s.trace(ctx, c))
	resp, err := h.rt.RoundTrip(req) //nolint:bodyclose // by stream.Release
	if err != nil {
		cause := context.Cause(ctx)
		s.Release()
		return s.fault(err, cause)
	}
	s.answered(resp, x)
	x.OnRelease(s)
	return nil
}

func (h *http2Client) request(x *pdk.Exchange) (*http.Request, error) {
	u := &x.Upstream
	path := u.Path
	if path == "" {
		path = "/"
	}
	if !message.ValidMethod(u.Method) {
		return nil, errMethod
	}
	if path[0] != '/' || !message.ValidTarget(path) || u.HasQuery && u.RawQuery != "" && !message.ValidTarget(u.RawQuery) {
		return nil, errTarget
	}
	host := strings.Clone(u.HostHeader)
	if host == "" {
		host = h.e.key.ServerName
	}
	if host == "" {
		host = h.e.key.Address
	}
	if !message.ValidValue(host) {
		return nil, errField
	}
	target := &url.URL{Scheme: "http", Host: h.e.key.Address, RawQuery: strings.Clone(u.RawQuery), ForceQuery: u.HasQuery && u.RawQuery == ""}
	if h.e.key.TLS {
		target.Scheme = "https"
	}
	// Opaque is sent as it is, but one with two slashes needs the host in front.
	if strings.HasPrefix(path, "//") {
		target.Opaque = "//" + host + path
	} else {
		target.Opaque = strings.Clone(path)
	}
	req := &http.Request{Method: strings.Clone(u.Method), URL: target, Host: host, Header: http.Header{}, Proto: "HTTP/2.0", ProtoMajor: 2}
	for _, f := range x.Request.Header.Fields() {
		if whose(f.Name) != fieldTheirs || message.HopByHop(f.Name) {
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
	return req, nil
}

var (
	errSilence = errors.New("upstream is silent")
	errStalled = errors.New("upstream does not take the request")
)

// fault turns the client's error into ours.
func (s *stream) fault(err, cause error) *Error {
	var dialled *dialFault
	e := &Error{Kind: ErrRead, Sent: s.sent.Load(), BodyTaken: s.body != nil && s.body.taken.Load(), Err: err}
	switch {
	case errors.As(err, &dialled):
		*e = *dialled.fault
	case errors.Is(cause, errSilence):
		e.Kind, e.Err = ErrReadTimeout, errSilence
	case errors.Is(cause, errStalled):
		e.Kind, e.Err = ErrWriteTimeout, errStalled
	case s.body != nil && s.body.err != nil:
		e = bodyError(s.body.err)
		e.Sent = true
	}
	return e
}
