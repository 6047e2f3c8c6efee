// Package relay is a network that can be broken: it passes TCP connections on to an
// address, counts what goes each way, and stalls, slows, cuts or refuses them when a
// test says so. It owns its listener and connections; it refuses to know what is said.
package relay

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Mode is how a relay treats what passes.
type Mode int32

// Modes.
const (
	// Pass passes everything on at once.
	Pass Mode = iota
	// Stall keeps connections open and passes nothing: TCP lives, the stream does not.
	Stall
	// Trickle passes one byte a second to the side that dialled, and everything else.
	Trickle
	// Refuse cuts what is there and closes what comes at once.
	Refuse
)

// Relay is one listener.
type Relay struct {
	listener net.Listener
	mode     atomic.Int32
	// Up counts bytes from who dialled, Down those to it.
	Up, Down atomic.Int64
	work     sync.WaitGroup

	mu      sync.Mutex
	target  string
	pairs   map[*pair]bool
	changed chan struct{} // closed and replaced when the mode or the end changes
	closed  bool
}

type pair struct {
	near, far net.Conn
	mode      Mode // what it began with or was set to
}

// New makes a relay to an address on a free port of the loopback interface.
func New(target string) (*Relay, error) { return NewAt("127.0.0.1:0", target) }

// NewAt makes a relay at an address.
func NewAt(address, target string) (*Relay, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	r := &Relay{listener: l, target: target, pairs: map[*pair]bool{}, changed: make(chan struct{})}
	r.work.Go(r.accept)
	return r, nil
}

// Address is where to dial.
func (r *Relay) Address() string { return r.listener.Addr().String() }

// Bytes is what has passed both ways.
func (r *Relay) Bytes() int64 { return r.Up.Load() + r.Down.Load() }

// Set sets the mode of connections to come and of those that are there.
func (r *Relay) Set(m Mode) { r.set(m, true) }

// SetOld sets the mode of those connections only that are there.
func (r *Relay) SetOld(m Mode) { r.set(m, false) }

func (r *Relay) set(m Mode, also bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if also {
		r.mode.Store(int32(m))
	}
	for p := range r.pairs {
		p.mode = m
		if m == Refuse {
			_, _ = p.near.Close(), p.far.Close()
		}
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

// Cut resets the connections that are there.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.pairs {
		for _, c := range []net.Conn{p.near, p.far} {
			if t, ok := c.(*net.TCPConn); ok {
				_ = t.SetLinger(0)
			}
			_ = c.Close()
		}
	}
}

// Retarget sends connections to come elsewhere, and cuts those that are there.
func (r *Relay) Retarget(address string) {
	r.mu.Lock()
	r.target = address
	r.mu.Unlock()
	r.Cut()
}

// Close ends everything and waits for it.
func (r *Relay) Close() error {
	err := r.listener.Close()
	r.mu.Lock()
	r.closed = true
	close(r.changed)
	r.changed = make(chan struct{})
	r.mu.Unlock()
	r.Cut()
	r.work.Wait()
	return err
}

func (r *Relay) accept() {
	for {
		c, err := r.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		r.work.Go(func() { r.pass(c) })
	}
}

func (r *Relay) pass(near net.Conn) {
	defer func() { _ = near.Close() }()
	r.mu.Lock()
	target := r.target
	r.mu.Unlock()
	if Mode(r.mode.Load()) == Refuse {
		return
	}
	far, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer func() { _ = far.Close() }()
	p := &pair{near: near, far: far}
	r.mu.Lock()
	p.mode = Mode(r.mode.Load())
	if r.closed || p.mode == Refuse {
		r.mu.Unlock()
		return
	}
	r.pairs[p] = true
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.pairs, p)
		r.mu.Unlock()
	}()
	var both sync.WaitGroup
	both.Go(func() { r.pump(p, far, near, &r.Up, false) })
	both.Go(func() { r.pump(p, near, far, &r.Down, true) })
	both.Wait()
}

// state is the mode of a pair, and what tells when it changes.
func (r *Relay) state(p *pair) (m Mode, changed <-chan struct{}, closed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return p.mode, r.changed, r.closed
}

// pump passes on what one end says. What has come is treated by the mode that is set
// when it is passed on, whatever was set while it was waited for.
func (r *Relay) pump(p *pair, to, from net.Conn, count *atomic.Int64, down bool) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buf := make([]byte, 32<<10)
	for {
		// Nothing is read while nothing passes: the sender's buffers fill as they would.
		mode, changed, closed := r.state(p)
		if closed {
			return
		}
		if mode == Stall {
			<-changed
			continue
		}
		into := buf
		if mode == Trickle && down {
			into = buf[:1]
		}
		n, err := from.Read(into)
		if err != nil {
			return
		}
		for rest := into[:n]; len(rest) > 0; {
			mode, changed, closed := r.state(p)
			if closed {
				return
			}
			if mode == Stall {
				<-changed
				continue
			}
			some := rest
			if mode == Trickle && down {
				some = rest[:1]
			}
			count.Add(int64(len(some)))
			if _, err := to.Write(some); err != nil {
				return
			}
			rest = rest[len(some):]
			if mode == Trickle && down {
				wait(changed)
			}
		}
	}
}

// wait takes a second, or less when the mode changes.
func wait(changed <-chan struct{}) {
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	}
}
