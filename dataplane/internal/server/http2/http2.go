// Package http2 serves HTTP/2: it turns streams into exchanges and answers them. The
// protocol itself is h2's. It refuses HTTP/1.
package http2

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/dataplane/internal/clock"
	"github.com/sluice-gateway/sluice/dataplane/internal/h2"
	"github.com/sluice-gateway/sluice/dataplane/internal/proxy"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Handler answers requests.
type Handler interface {
	// Serve answers a request with r, and returns when that is done.
	Serve(x *pdk.Exchange, r proxy.Responder)
	// Refuse answers what can not be handled.
	Refuse(x *pdk.Exchange, r proxy.Responder, status int)
}

// Options of an Engine.
type Options struct {
	Handler Handler
	// HeadTimeout bounds the start of a connection, and a head or frame on its way; 0 means
	// 60s. IdleTimeout is how long a connection without streams stays; 0 means 75s.
	// BodyTimeout and WriteTimeout are between two successive operations on a stream; 0
	// means 60s.
	HeadTimeout, IdleTimeout, BodyTimeout, WriteTimeout time.Duration
	// Logger; nil logs nothing.
	Logger hclog.Logger
}

// Engine serves connections. It is safe for concurrent use.
type Engine struct {
	o         Options
	exchanges sync.Pool
	conns     sync.WaitGroup
	streams   sync.WaitGroup
	sweeping  sync.WaitGroup

	mu       sync.Mutex
	open     map[*h2.Conn]struct{}
	draining bool
	parting  bool // see Part
	stopped  chan struct{}
}

// Info is what is known of a connection besides its bytes.
type Info struct {
	// Peer and Local are the addresses of the socket.
	Peer, Local netip.AddrPort
	// Client is the one that a trusted PROXY header names; zero for the peer itself.
	Client netip.AddrPort
	// TLS is true for https; SNI is the server name then, Version and Cipher are
	// crypto/tls's numbers.
	TLS             bool
	SNI             string
	Version, Cipher uint16
	// ClientChain is what the client showed of itself, ClientVerified whether it is signed
	// by somebody trusted.
	ClientChain    []*x509.Certificate
	ClientVerified bool
	// Deny is the status of answers to a client that must not ask, else 0.
	Deny int
}

// Connections are figures of the connections that there are.
type Connections struct {
	// All is the sum of the others: connections with streams and without.
	All, Writing, Waiting int
}

// maxHead is as for HTTP/1; maxStreams is as nginx has it.
const maxHead, maxStreams = 32 << 10, 128

// New makes an engine; Drain ends it.
func New(o Options) *Engine {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	for _, d := range []struct {
		value *time.Duration
		or    time.Duration
	}{{&o.HeadTimeout, time.Minute}, {&o.IdleTimeout, 75 * time.Second}, {&o.BodyTimeout, time.Minute}, {&o.WriteTimeout, time.Minute}} {
		if *d.value == 0 {
			*d.value = d.or
		}
	}
	e := &Engine{o: o, open: map[*h2.Conn]struct{}{}, stopped: make(chan struct{})}
	e.exchanges.New = func() any { return new(pdk.Exchange) }
	e.sweeping.Go(e.sweep)
	return e
}

// Serve takes a connection whose client speaks HTTP/2, and closes it when it ends. It
// does not wait for that.
func (e *Engine) Serve(nc net.Conn, info Info) {
	c := h2.New(nc, h2.Options{
		Server: true, MaxStreams: maxStreams, MaxHead: maxHead, Connect: true, WriteTimeout: e.o.WriteTimeout,
		OnStream: func(s *h2.Stream) {
			e.streams.Add(1)
			go e.handle(s, &info)
		},
	})
	e.mu.Lock()
	if e.draining {
		e.mu.Unlock()
		_ = nc.Close()
		return
	}
	e.open[c] = struct{}{}
	e.conns.Add(1)
	e.mu.Unlock()
	go func() {
		defer e.conns.Done()
		if err := c.Serve(); err != nil && e.o.Logger.IsDebug() {
			e.o.Logger.Debug("connection ended", "peer", info.Peer.String(), "error", err)
		}
		e.mu.Lock()
		delete(e.open, c)
		e.mu.Unlock()
	}()
}

// all returns the connections that are open.
func (e *Engine) all() []*h2.Conn {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]*h2.Conn, 0, len(e.open))
	for c := range e.open {
		out = append(out, c)
	}
	return out
}

// Connections returns the figures of now.
func (e *Engine) Connections() (n Connections) {
	for _, c := range e.all() {
		n.All++
		if c.State().Running > 0 {
			n.Writing++
		} else {
			n.Waiting++
		}
	}
	return n
}

// sweep ends connections that do nothing for too long.
func (e *Engine) sweep() {
	l := h2.Limits{Idle: e.o.IdleTimeout, Partial: e.o.HeadTimeout, Start: e.o.HeadTimeout}
	ticker := time.NewTicker(min(time.Second, e.o.IdleTimeout/4, e.o.HeadTimeout/4))
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			for _, c := range e.all() {
				c.Sweep(now, l)
			}
			e.part()
		case <-e.stopped:
			return
		}
	}
}

// Part ends connections without streams, and the others when they have none left, until
// it is taken back. New ones are served all the same.
func (e *Engine) Part(on bool) {
	e.mu.Lock()
	e.parting = on
	e.mu.Unlock()
	e.part()
}

func (e *Engine) part() {
	e.mu.Lock()
	on := e.parting
	e.mu.Unlock()
	if !on {
		return
	}
	for _, c := range e.all() {
		if c.State().Running == 0 {
			c.GoAway()
		}
	}
}

// grace is how long clients may not know yet that a connection goes away.
const grace = time.Second

// Drain tells clients to go and waits for streams to end. When ctx ends it closes what is
// left and returns ctx's error; handlers end before Wait returns.
func (e *Engine) Drain(ctx context.Context) error {
	e.mu.Lock()
	if !e.draining {
		e.draining = true
		close(e.stopped)
	}
	e.mu.Unlock()
	e.sweeping.Wait()
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.conns.Wait()
	}()
	for _, c := range e.all() {
		c.GoAway()
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	for {
		select {
		case <-done:
			return nil
		case <-timer.C:
			for _, c := range e.all() {
				c.Final()
			}
		case <-ctx.Done():
			for _, c := range e.all() {
				c.Close()
			}
			<-done
			return ctx.Err()
		}
	}
}

// Wait waits until all handlers have returned, after Drain.
func (e *Engine) Wait() { e.streams.Wait() }

// handle answers one stream. A fault of a handler ends this stream and no other.
func (e *Engine) handle(s *h2.Stream, info *Info) {
	defer e.streams.Done()
	defer s.Close()
	r := &responder{e: e, s: s}
	var x *pdk.Exchange
	defer func() {
		if fault := recover(); fault != nil {
			e.o.Logger.Error("handler panicked", "panic", fmt.Sprint(fault), "stack", string(debug.Stack()))
			s.Reset(h2.InternalError)
			x.ResetAfterPanic() // and it is not used again
		}
	}()
	x = e.exchanges.Get().(*pdk.Exchange) //nolint:forcetypeassert // the pool holds nothing else
	x.Start = clock.Now()
	if status := e.fill(x, s, info, r); status != 0 {
		e.o.Handler.Refuse(x, r, status)
	} else {
		e.o.Handler.Serve(x, r)
	}
	r.finish()
	x.Reset()
	e.exchanges.Put(x)
}
