package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Endpoint is one place that requests are sent to, with its connections. It is safe
// for concurrent use.
type Endpoint struct {
	key       EndpointKey
	transport *Transport
	tlsConfig TLSConfig
	tls       atomic.Pointer[tls.Config]
	http2     *http2Client

	touched   atomic.Bool // used since the last sweep
	forgotten atomic.Bool // not swept any more
	unusedFor int         // sweeps without use; the sweeper's

	mu     sync.Mutex
	idle   []*conn // the one used last is at the end
	closed bool
}

func newEndpoint(t *Transport, key EndpointKey, tlsConfig TLSConfig) *Endpoint {
	e := &Endpoint{key: key, transport: t, tlsConfig: tlsConfig}
	e.touched.Store(true)
	if key.Protocol == H2 || key.Protocol == H2C {
		e.http2 = newHTTP2Client(e)
	}
	return e
}

// Key returns the identity.
func (e *Endpoint) Key() EndpointKey { return e.key }

// RoundTrip sends x.Request to the endpoint as x.Upstream says, and takes the
// response: Status, Reason, UpstreamStatus, ContentLength, Body, and the header
// lines, which are added to those that x.Response.Header has. A nil Body means
// that there is none. The body streams from the connection; reading it to its end
// gives the connection back, and releasing the exchange closes what is left.
//
// A connection that the upstream has closed while it was idle is replaced without an
// error, once, when the request can be sent again safely. With an error the response
// is as it was, and the same exchange may be sent to another endpoint unless
// BodyTaken.
func (e *Endpoint) RoundTrip(x *pdk.Exchange, c *Call) *Error {
	if !e.touched.Load() {
		e.touched.Store(true)
	}
	if e.forgotten.Load() {
		e.transport.remember(e)
	}
	// Over HTTP/2, messages of both sides go at the same time: a body is read while its
	// response is sent. A client that speaks HTTP/1 can't do that, and what has come whole
	// needs no goroutine.
	buffer := c.BufferRequest
	if e.http2 != nil {
		buffer = x.Request.Proto < 20 || came(x.Request.Body)
	}
	c.Upgraded = nil
	if err := prepareBody(x, c, buffer, &e.transport.options); err != nil {
		return err
	}
	if e.http2 != nil {
		return e.http2.roundTrip(x, c)
	}
	t := e.transport.trips.Get().(*trip) //nolint:forcetypeassert // the pool holds nothing else
	if err := t.prepare(e, x, c); err != nil {
		t.free()
		return err
	}
	for fresh := false; ; fresh = true {
		cn, reused, err := e.take(c.Context, c.Timeouts.Connect, fresh)
		if err != nil {
			t.free()
			return err
		}
		end := cn.endWith(c.Context)
		if err = t.run(cn, reused, x, c); err == nil {
			if !end() {
				t.resp.KeepAlive = false // it was closed
			}
			x.OnRelease(t)
			return nil
		}
		end()
		t.abandon(x)
		if c.Context != nil && c.Context.Err() != nil {
			t.free()
			return err
		}
		if !reused || !t.stale(err) || err.Sent && !repeatable(x.Upstream.Method) {
			t.free()
			return err
		}
	}
}

// came tells whether all of a body has come, so that reading it does not wait.
func came(b pdk.Body) bool {
	w, ok := b.(interface{ Came() bool })
	return ok && w.Came()
}

// repeatable tells whether a request that may have been received can be sent again.
func repeatable(method string) bool {
	switch method {
	case "POST", "PATCH", "LOCK":
		return false
	}
	return true
}

// take returns the connection that was used last, or a new one.
func (e *Endpoint) take(ctx context.Context, timeout time.Duration, fresh bool) (cn *conn, reused bool, err *Error) {
	if !fresh {
		e.mu.Lock()
		if n := len(e.idle); n > 0 {
			cn = e.idle[n-1]
			e.idle[n-1] = nil
			e.idle = e.idle[:n-1]
		}
		e.mu.Unlock()
		if cn != nil {
			return cn, true, nil
		}
	}
	cn, err = e.dial(ctx, timeout)
	return cn, false, err
}

// put keeps a connection for another request, or closes it.
func (e *Endpoint) put(cn *conn) {
	o := &e.transport.options
	cn.requests++
	if o.MaxRequests > 0 && cn.requests >= o.MaxRequests {
		cn.close()
		return
	}
	var drop *conn
	e.mu.Lock()
	switch {
	case e.closed || o.PoolSize < 0:
		drop = cn
	case len(e.idle) >= o.PoolSize:
		drop = e.idle[0] // the one that was idle for longest
		copy(e.idle, e.idle[1:])
		e.idle[len(e.idle)-1] = cn
	default:
		e.idle = append(e.idle, cn)
	}
	e.mu.Unlock()
	if drop != nil {
		drop.close()
	}
}

func (e *Endpoint) open() {
	e.mu.Lock()
	e.closed = false
	e.mu.Unlock()
	e.forgotten.Store(false)
}

func (e *Endpoint) close() {
	e.forgotten.Store(true)
	e.mu.Lock()
	idle := e.idle
	e.idle, e.closed = nil, true
	e.mu.Unlock()
	for _, cn := range idle {
		cn.close()
	}
	if e.http2 != nil {
		e.http2.close()
	}
}

// unused tells whether nobody has asked for the endpoint for a while.
func (e *Endpoint) unused() bool {
	if e.touched.Swap(false) {
		e.unusedFor = 0
		return false
	}
	e.unusedFor++
	return e.unusedFor > forgetAfter
}

// sweep closes what is too old, and what the peer has closed.
func (e *Endpoint) sweep(now time.Time, interval time.Duration) {
	limit, busy := now.Add(-e.transport.options.IdleTimeout), now.Add(-interval)
	var drop []*conn
	e.mu.Lock()
	kept := e.idle[:0]
	for _, cn := range e.idle {
		if cn.idleSince.Before(limit) || cn.idleSince.Before(busy) && cn.dead() {
			drop = append(drop, cn)
		} else {
			kept = append(kept, cn)
		}
	}
	clear(e.idle[len(kept):])
	e.idle = kept
	e.mu.Unlock()
	for _, cn := range drop {
		cn.close()
	}
	if e.http2 != nil {
		e.http2.sweep(now)
	}
}

// dial opens a connection, with its TLS handshake inside the same time.
func (e *Endpoint) dial(until context.Context, timeout time.Duration) (*conn, *Error) {
	ctx := e.transport.context
	if until != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(until, cancel)()
	}
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	nc, err := e.transport.options.Dial(ctx, e.key.Network, e.key.Address) //nolint:contextcheck // it ends with the transport, and with the call
	if err != nil {
		return nil, dialError(ErrConnect, err)
	}
	if !e.key.TLS {
		return newConn(nc, nil), nil
	}
	tc := tls.Client(nc, e.clientConfig())
	if err := tc.HandshakeContext(ctx); err != nil { //nolint:contextcheck // as above
		_ = nc.Close()
		return nil, dialError(ErrTLS, err)
	}
	return newConn(tc, nc), nil
}

// clientConfig makes the TLS config once.
func (e *Endpoint) clientConfig() *tls.Config {
	if c := e.tls.Load(); c != nil {
		return c
	}
	c := new(tls.Config)
	if e.tlsConfig != nil {
		c = e.tlsConfig().Clone()
	}
	if c.ServerName == "" {
		c.ServerName = e.key.ServerName
	}
	if c.ServerName == "" && !c.InsecureSkipVerify {
		host, _, err := net.SplitHostPort(e.key.Address)
		if err == nil {
			c.ServerName = host
		}
	}
	if c.ClientSessionCache == nil {
		c.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	}
	if e.key.Protocol == H2 {
		c.NextProtos = []string{"h2"}
	}
	e.tls.CompareAndSwap(nil, c)
	return e.tls.Load()
}

func dialError(kind ErrorKind, err error) *Error {
	if timedOut(err) || errors.Is(err, context.DeadlineExceeded) {
		kind = ErrConnectTimeout
	}
	return &Error{Kind: kind, Err: err}
}

func timedOut(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
