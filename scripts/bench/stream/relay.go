package main

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// relay passes connections on and counts what goes each way, as it is on the wire.
type relay struct {
	listener net.Listener
	to       string
	up, down atomic.Int64
	work     sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool // nil when closed
}

func newRelay(to string) (*relay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{listener: l, to: to, conns: map[net.Conn]bool{}}
	r.work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.work.Go(func() { r.pass(c) })
		}
	})
	return r, nil
}

func (r *relay) address() string { return r.listener.Addr().String() }

func (r *relay) keep(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conns == nil {
		return false
	}
	r.conns[c] = true
	return true
}

func (r *relay) pass(node net.Conn) {
	defer func() { _ = node.Close() }()
	control, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer func() { _ = control.Close() }()
	if !r.keep(node) || !r.keep(control) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { pump(control, node, &r.up) })
	both.Go(func() { pump(node, control, &r.down) })
	both.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, node)
	delete(r.conns, control)
}

func pump(to, from net.Conn, count *atomic.Int64) {
	_, _ = io.Copy(counter{to, count}, from)
	_, _ = to.Close(), from.Close()
}

type counter struct {
	io.Writer
	count *atomic.Int64
}

func (c counter) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.count.Add(int64(n))
	return n, err
}

func (r *relay) bytes() int64 { return r.up.Load() + r.down.Load() }

func (r *relay) close() {
	_ = r.listener.Close()
	r.mu.Lock()
	for c := range r.conns {
		_ = c.Close()
	}
	r.conns = nil
	r.mu.Unlock()
	r.work.Wait()
}
