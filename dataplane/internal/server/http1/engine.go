// Package http1 speaks HTTP/1 with clients: one goroutine a connection, requests parsed
// in place, a small response written at once with its head. It owns framing, keep-alive,
// timeouts, and what is done with the part of a body that nobody wanted. It refuses to
// look at what requests ask for: a Handler does, and it answers through the connection,
// which is a proxy.Responder.
//
// A plain socket is served inside one wait of the runtime's poller (see rawio): the loop
// reads, handles and writes, and waits without asking first. What may block on the
// client's side (a body that is still coming, an upgrade) is handled outside of it.
package http1

import (
	"context"
	"crypto/x509"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/dataplane/internal/proxy"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Handler answers requests.
type Handler interface {
	// Serve answers a request with r, and returns when that is done.
	Serve(x *pdk.Exchange, r proxy.Responder)
	// Refuse answers what is no request, or too large to be one. x has little more than
	// the addresses.
	Refuse(x *pdk.Exchange, r proxy.Responder, status int)
}

// Options of an Engine.
type Options struct {
	Handler Handler
	// HeadTimeout bounds a request head, from its first byte; 0 means 60s. IdleTimeout
	// is how long a connection may wait for a request; 0 means 75s. BodyTimeout and
	// WriteTimeout are between two successive operations; 0 means 60s.
	HeadTimeout, IdleTimeout, BodyTimeout, WriteTimeout time.Duration
	// MaxRequests on one connection; 0 means 10000, less than 0 any number.
	MaxRequests int
	// Logger; nil logs nothing.
	Logger hclog.Logger
}

// Engine serves connections. It is safe for concurrent use.
type Engine struct {
	o        Options
	log      hclog.Logger
	states   sync.Pool
	draining atomic.Bool
	parting  atomic.Bool // no connection is kept: while draining, and see Part

	mu    sync.Mutex
	conns map[*conn]struct{}
	gone  sync.WaitGroup
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
	// First are bytes that were read from the connection already.
	First []byte
	// Refuse is the status of an answer to a connection that is not served, Deny of those to
	// the requests of one whose client must not ask, else 0.
	Refuse, Deny int
}

// New makes an engine.
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
	if o.MaxRequests == 0 {
		o.MaxRequests = 10000
	}
	e := &Engine{o: o, log: o.Logger, conns: map[*conn]struct{}{}}
	e.states.New = func() any { return newState() }
	return e
}

// Serve serves a connection until it ends, and closes it. It does not keep info.
func (e *Engine) Serve(nc net.Conn, info *Info) {
	c := newConn(e, nc, info)
	if !e.enter(c) {
		_ = nc.Close()
		return
	}
	defer e.leave(c)
	c.run()
}

func (e *Engine) enter(c *conn) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.draining.Load() {
		return false
	}
	e.conns[c] = struct{}{}
	e.gone.Add(1)
	return true
}

func (e *Engine) leave(c *conn) {
	e.mu.Lock()
	delete(e.conns, c)
	e.mu.Unlock()
	e.gone.Done()
}

// Connections are figures of the connections that there are.
type Connections struct {
	// All is the sum of the others: connections on which a request head comes, whose
	// request is being answered, or that wait for a request.
	All, Reading, Writing, Waiting int
}

// Connections returns the figures of now.
func (e *Engine) Connections() Connections {
	var n [phases]int
	e.mu.Lock()
	defer e.mu.Unlock()
	for c := range e.conns {
		n[c.phase.Load()]++
	}
	return Connections{len(e.conns), n[phaseReading], n[phaseWriting], n[phaseWaiting]}
}

// afterCut is how long handlers have to notice that their client was cut off.
const afterCut = 250 * time.Millisecond

var past = time.Unix(1, 0)

// Drain ends connections that wait for a request and lets the others answer the one that
// they have. When ctx ends it cuts off the clients that are left and returns ctx's error;
// handlers that wait for something else than their client end before Wait returns.
func (e *Engine) Drain(ctx context.Context) error {
	e.mu.Lock()
	e.draining.Store(true)
	e.parting.Store(true)
	for c := range e.conns {
		if c.phase.Load() == phaseWaiting {
			_ = c.nc.SetReadDeadline(past)
		}
	}
	e.mu.Unlock()
	done := make(chan struct{})
	go func() {
		e.gone.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	e.mu.Lock()
	for c := range e.conns {
		c.cut()
	}
	e.mu.Unlock()
	timer := time.NewTimer(afterCut)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
	return ctx.Err()
}

// Part ends connections that wait for a request, and has the others, and new ones, end
// with their answer, until it is taken back. Requests are served all the same.
func (e *Engine) Part(on bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.parting.Store(on || e.draining.Load())
	if !on {
		return
	}
	for c := range e.conns {
		if c.phase.Load() == phaseWaiting {
			_ = c.nc.SetReadDeadline(past)
		}
	}
}

// Wait waits until all connections have ended, after Drain.
func (e *Engine) Wait() { e.gone.Wait() }
