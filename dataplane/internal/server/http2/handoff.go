package http2

import (
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// handoff is a listener whose connections were accepted elsewhere.
type handoff struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
	known sync.Map // net.Conn -> *taken
}

// taken is a connection that is being served.
type taken struct {
	info Info
	busy atomic.Bool // it has streams
}

func newHandoff() *handoff {
	return &handoff{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (h *handoff) give(nc net.Conn, info Info) {
	h.known.Store(nc, &taken{info: info})
	select {
	case h.conns <- nc:
	case <-h.done:
		h.known.Delete(nc)
		_ = nc.Close()
	}
}

func (h *handoff) find(nc net.Conn) *taken {
	if t, ok := h.known.Load(nc); ok {
		return t.(*taken) //nolint:forcetypeassert // nothing else is stored
	}
	return nil
}

// state follows a connection as the server sees it.
func (h *handoff) state(nc net.Conn, s http.ConnState) {
	switch s {
	case http.StateClosed, http.StateHijacked:
		h.known.Delete(nc)
	case http.StateNew, http.StateActive, http.StateIdle:
		if t := h.find(nc); t != nil {
			t.busy.Store(s == http.StateActive)
		}
	}
}

func (h *handoff) count() (c Connections) {
	h.known.Range(func(_, t any) bool {
		c.All++
		if t.(*taken).busy.Load() { //nolint:forcetypeassert // nothing else is stored
			c.Writing++
		} else {
			c.Waiting++
		}
		return true
	})
	return c
}

// Accept implements net.Listener.
func (h *handoff) Accept() (net.Conn, error) {
	select {
	case nc := <-h.conns:
		return nc, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handoff) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

// Addr implements net.Listener.
func (h *handoff) Addr() net.Addr { return &net.TCPAddr{} }
