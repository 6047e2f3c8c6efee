package http2

import (
	"net"
	"sync"
	"sync/atomic"
)

// handoff is a listener whose connections were accepted elsewhere.
type handoff struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
	info  sync.Map // net.Conn -> Info
	n     atomic.Int64
}

func newHandoff() *handoff {
	return &handoff{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (h *handoff) give(nc net.Conn, info Info) {
	h.info.Store(nc, info)
	h.n.Add(1)
	select {
	case h.conns <- nc:
	case <-h.done:
		h.forget(nc)
		_ = nc.Close()
	}
}

func (h *handoff) forget(nc net.Conn) {
	if _, ok := h.info.LoadAndDelete(nc); ok {
		h.n.Add(-1)
	}
}

func (h *handoff) count() int { return int(h.n.Load()) }

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
