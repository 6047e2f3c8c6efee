package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/h2"
	"github.com/sluice-gateway/sluice/dataplane/internal/message"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// http2Client sends requests over HTTP/2. Connections are shared between requests: another
// one is opened when those that there are take no more streams.
type http2Client struct {
	e       *Endpoint
	serving sync.WaitGroup

	mu      sync.Mutex
	conns   []*h2.Conn
	dialing *dialing
}

// dialing is a connection on its way, for all who wait for one.
type dialing struct {
	done  chan struct{}
	fault *Error
}

func newHTTP2Client(e *Endpoint) *http2Client { return &http2Client{e: e} }

// take returns a connection with room for a stream, which is reserved. reused is true when it
// was there.
func (h *http2Client) take(ctx context.Context, timeout time.Duration) (cn *h2.Conn, reused bool, fault *Error) {
	var timer *time.Timer
	for waited := false; ; waited = true {
		h.mu.Lock()
		d := h.dialing
		if cn := h.spareLocked(d != nil); cn != nil && cn.Reserve() {
			h.mu.Unlock()
			return cn, !waited, nil
		}
		if d == nil {
			d = &dialing{done: make(chan struct{})}
			h.dialing = d
			h.mu.Unlock()
			cn, fault := h.dial(timeout) //nolint:contextcheck // others wait for it, too
			h.mu.Lock()
			if d.fault = fault; cn == nil {
				h.dialing = nil
				h.mu.Unlock()
				close(d.done)
				return nil, false, fault
			}
			cn.Reserve() // before others take it all
			h.conns = append(h.conns, cn)
			h.serving.Go(func() { h.settle(cn, d) })
			h.mu.Unlock()
			return cn, false, nil
		}
		h.mu.Unlock()
		if timer == nil && timeout > 0 {
			timer = time.NewTimer(timeout)
			defer timer.Stop()
		}
		var over <-chan time.Time
		var ended <-chan struct{}
		if ctx != nil {
			ended = ctx.Done()
		}
		if timer != nil {
			over = timer.C
		}
		select {
		case <-d.done:
			if d.fault != nil {
				same := *d.fault
				return nil, false, &same
			}
		case <-ended:
			return nil, false, &Error{Kind: ErrConnect, Err: ctx.Err()}
		case <-over:
			return nil, false, &Error{Kind: ErrConnectTimeout, Err: errors.New("no connection in time")}
		}
	}
}

// settling bounds the wait for the settings of an upstream, which are the first that it
// sends; without them it is taken to allow what most do.
const settling = 5 * time.Second

// settle lets those that wait for a new connection go on once it is known how many streams
// it takes. The one that has dialled does not wait: one is always allowed.
func (h *http2Client) settle(cn *h2.Conn, d *dialing) {
	timer := time.NewTimer(settling)
	defer timer.Stop()
	select {
	case <-cn.Settled():
	case <-cn.Ended():
	case <-timer.C:
	}
	h.mu.Lock()
	h.dialing = nil
	h.mu.Unlock()
	close(d.done)
}

// spareLocked returns the connection with the most room, and forgets those that have ended.
// One whose settings are awaited is left out.
func (h *http2Client) spareLocked(awaited bool) *h2.Conn {
	var best *h2.Conn
	room := 0
	h.conns = slices.DeleteFunc(h.conns, func(cn *h2.Conn) bool {
		n := cn.Spare()
		if n > room && (!awaited || cn.State().Settled) {
			best, room = cn, n
		}
		select {
		case <-cn.Ended(): // others are still looked after
			return true
		default:
			return false
		}
	})
	return best
}

// dial opens a connection and has it served.
func (h *http2Client) dial(timeout time.Duration) (*h2.Conn, *Error) {
	cn, fault := h.e.dial(nil, timeout) //nolint:staticcheck // nothing ends it
	if fault != nil {
		return nil, fault
	}
	if tc, ok := cn.Conn.(*tls.Conn); ok {
		if p := tc.ConnectionState().NegotiatedProtocol; p != "h2" {
			cn.close()
			return nil, &Error{Kind: ErrTLS, Err: fmt.Errorf("upstream does not speak HTTP/2 (ALPN %q)", p)}
		}
	}
	c := h2.New(cn.Conn, h2.Options{MaxHead: h.e.transport.options.MaxHead})
	h.serving.Go(func() {
		if err := c.Serve(); err != nil && h.e.transport.log.IsDebug() {
			h.e.transport.log.Debug("HTTP/2 connection ended", "address", h.e.key.Address, "error", err)
		}
	})
	return c, nil
}

// silent is how long an upstream may send nothing while there are streams before it is
// asked, and answer how long it has then.
const silent, answer = 30 * time.Second, 15 * time.Second

func (h *http2Client) sweep(now time.Time) {
	l := h2.Limits{Idle: h.e.transport.options.IdleTimeout, Partial: time.Minute, Silent: silent, Answer: answer}
	h.mu.Lock()
	h.spareLocked(false)
	conns := slices.Clone(h.conns)
	h.mu.Unlock()
	for _, cn := range conns {
		cn.Sweep(now, l)
	}
}

// close ends connections once their streams have ended.
func (h *http2Client) close() {
	h.mu.Lock()
	conns := h.conns
	h.conns = nil
	h.mu.Unlock()
	for _, cn := range conns {
		cn.GoAway()
	}
}

func (h *http2Client) roundTrip(x *pdk.Exchange, c *Call) *Error {
	fields, fault := h.request(x)
	if fault != nil {
		return fault
	}
	for try := 0; ; try++ {
		cn, reused, fault := h.take(c.Context, c.Timeouts.Connect)
		if fault != nil {
			return fault
		}
		s, ok, fault := h.send(cn, fields, x, c)
		if !ok && try < maxTries {
			continue // it was taken by others meanwhile
		}
		if !ok {
			return &Error{Kind: ErrConnect, Err: errors.New("upstream takes no streams")}
		}
		if fault == nil {
			x.OnRelease(s)
			if h.e.forgotten.Load() {
				h.close() // nobody else would
			}
			return nil
		}
		s.Release()
		stale := reused && errors.Is(fault.Err, errEnded) && repeatable(x.Upstream.Method)
		if c.Context != nil && c.Context.Err() != nil {
			return fault
		}
		if fault.BodyTaken || try >= maxTries || !errors.Is(fault.Err, h2.ErrUnsent) && !stale {
			return fault
		}
	}
}

// maxTries bounds how often a request is sent again that the upstream did not take.
const maxTries = 5

// request checks the head, and returns what writes it.
func (h *http2Client) request(x *pdk.Exchange) (h2.Fields, *Error) {
	u := &x.Upstream
	refuse := func(err error) (h2.Fields, *Error) { return nil, &Error{Kind: ErrRequest, Err: err} }
	path := u.Path
	if path == "" {
		path = "/"
	}
	switch {
	case !message.ValidMethod(u.Method):
		return refuse(errMethod)
	case path[0] != '/' || !message.ValidTarget(path) || u.HasQuery && u.RawQuery != "" && !message.ValidTarget(u.RawQuery):
		return refuse(errTarget)
	}
	if u.HasQuery {
		path = x.Text.Concat(path, "?", u.RawQuery)
	}
	host := u.HostHeader
	if host == "" {
		host = h.e.key.ServerName
	}
	if host == "" {
		host = h.e.key.Address
	}
	if !message.ValidValue(host) {
		return refuse(errField)
	}
	scheme := "http"
	if h.e.key.TLS {
		scheme = "https"
	}
	list := x.Request.Header.Fields()
	for i := range list {
		if f := &list[i]; theirs(f) && (!message.ValidName(f.Name) || !message.ValidValue(f.Value)) {
			return refuse(errField)
		}
	}
	return func(add func(name, value string, secret bool)) {
		add(":method", u.Method, false)
		add(":scheme", scheme, false)
		add(":authority", host, false)
		add(":path", path, false)
		for i := range list {
			if f := &list[i]; theirs(f) {
				add(h2.Lower(f.Name), f.Value, false)
			}
		}
		if length := bodyLength(x); length >= 0 {
			add("content-length", x.Text.Int(length), true)
		}
	}, nil
}

// theirs tells whether a field of the client goes to the upstream.
func theirs(f *pdk.Field) bool {
	if whose(f.Name) != fieldTheirs || message.HopByHop(f.Name) {
		return false
	}
	return len(f.Name) != 2 || !pdk.EqualFold(f.Name, "TE") || pdk.EqualFold(f.Value, "trailers")
}

// bodyLength is the length to announce, -1 for none.
func bodyLength(x *pdk.Exchange) int64 {
	inline, from, length := requestBody(x)
	if inline == nil && from == nil {
		return -1
	}
	return length
}
