// Package wire serves gRPC over TLS to very many peers that are at rest most of the time.
// The general server of grpc-go keeps five goroutines with their stacks for each stream
// and hands each message from one to the next: 88 KiB a node and 82 us a delivery with
// its two acknowledgements, where the goals are 64 KiB and 45 us. Here one goroutine a
// connection reads and hears, and whoever has something to say writes it. Messages,
// status codes and generated code are grpc-go's, frames and header compression those of
// golang.org/x/net/http2.
//
// It owns HTTP/2 on the side of the server: windows, limits of what a peer may do, and
// ending. It refuses to know what is said, and what gRPC has besides: compression (our
// payloads bring their own), metadata and calls of one side only.
package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// Options of a Server.
type Options struct {
	// Credentials make of what was accepted a connection whose peer is known.
	Credentials credentials.TransportCredentials
	// MaxMessage bounds a message of a peer in bytes, MaxStreams how many streams a
	// connection has at a time, and MaxHeader a list of headers in bytes.
	MaxMessage, MaxStreams, MaxHeader int
	// Window is what a peer may send ahead of being heard, in bytes; at least 65,535.
	Window int
	// Handshake bounds how long a connection may take to begin, and a unary call to come
	// whole, for these are anybody's; Idle how long a connection stays without a stream, and
	// Stall how long a peer may take to read what it is sent.
	Handshake, Idle, Stall time.Duration
}

// Handler is one stream's side of a call. Hear and Gone are never called at the same time.
type Handler interface {
	// Serve runs in a goroutine of its own. What it returns ends the stream: nil is OK,
	// other errors have a status or are Unknown.
	Serve() error
	// Hear takes a message, whose bytes are not its own after it returns. The connection
	// reads nothing meanwhile, so Hear must not wait for what the peer does. After an
	// error nothing more is heard.
	Hear(message []byte) error
	// Gone is called once: with io.EOF when the peer has said all, with Hear's error after
	// one, with the peer's reason when it has ended the call or its connection is lost, and
	// after Serve otherwise. Serve should return soon.
	Gone(why error)
}

// Open makes the handler of a stream that begins. It runs on the connection's reader.
type Open func(st *Stream) Handler

// Server serves connections.
type Server struct {
	o     Options
	calls map[string]Open // by path

	mu        sync.Mutex // guards below
	listeners map[net.Listener]bool
	conns     map[*conn]bool
	pending   map[net.Conn]bool // in their handshake
	draining  bool
	work      sync.WaitGroup // of connections
}

// New makes a server that knows no calls.
func New(o Options) (*Server, error) {
	if o.Credentials == nil {
		return nil, errors.New("wire server needs credentials")
	}
	if o.MaxMessage <= 0 || o.MaxStreams <= 0 || o.MaxHeader <= 0 || o.Window < defaultWindow || o.Handshake <= 0 || o.Idle <= 0 || o.Stall <= 0 {
		return nil, fmt.Errorf("wire server: limits are missing: %+v", o)
	}
	return &Server{o: o, calls: map[string]Open{}, listeners: map[net.Listener]bool{}, conns: map[*conn]bool{}, pending: map[net.Conn]bool{}}, nil
}

// Stream serves the calls of a method, such as "/package.Service/Method", with streams. It
// must not be called after Serve.
func (s *Server) Stream(method string, open Open) { s.calls[method] = open }

// RegisterService serves the unary methods of a service. It implements
// grpc.ServiceRegistrar, and must not be called after Serve.
func (s *Server) RegisterService(d *grpc.ServiceDesc, service any) {
	for i := range d.Methods {
		m := &d.Methods[i]
		s.calls["/"+d.ServiceName+"/"+m.MethodName] = func(st *Stream) Handler {
			return &unary{stream: st, method: m, service: service, heard: make(chan struct{})}
		}
	}
}

// ErrStopped is Serve's after Stop.
var ErrStopped = errors.New("the server has stopped")

// Serve accepts connections until Stop, and closes the listener.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		return errors.Join(ErrStopped, l.Close())
	}
	s.listeners[l] = true
	s.mu.Unlock()
	ctx, stop := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { s.watch(ctx) })
	defer work.Wait()
	defer stop()
	var wait time.Duration
	for {
		raw, err := l.Accept()
		if err == nil {
			wait = 0
			s.accept(raw)
			continue
		}
		s.mu.Lock()
		draining := s.draining
		s.mu.Unlock()
		if draining {
			return ErrStopped
		}
		// As net/http does: descriptors may be short for a while.
		if temporary, ok := errors.AsType[net.Error](err); !ok || !temporary.Temporary() { //nolint:staticcheck // there is no other way to tell
			_ = l.Close()
			return fmt.Errorf("accept: %w", err)
		}
		wait = min(max(2*wait, 5*time.Millisecond), time.Second)
		time.Sleep(wait)
	}
}

// accept begins a connection.
func (s *Server) accept(raw net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		_ = raw.Close()
		return
	}
	s.pending[raw] = true
	s.work.Go(func() {
		c := s.shake(raw)
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.pending, raw)
		switch {
		case c == nil:
		case s.draining:
			_ = raw.Close()
		default:
			s.conns[c] = true
			// The handshake needs a large stack, and a connection at rest does not.
			s.work.Go(c.run)
		}
	})
}

// shake does the handshake; nil is for what failed.
func (s *Server) shake(raw net.Conn) *conn {
	_ = raw.SetDeadline(time.Now().Add(s.o.Handshake)) // what fails here fails below
	secure, auth, err := s.o.Credentials.ServerHandshake(raw)
	if err != nil {
		_ = raw.Close()
		return nil
	}
	return newConn(s, raw, secure, auth)
}

// watchInterval is how often connections are looked at that do nothing.
const watchInterval = 5 * time.Second

// watch ends connections that are of no use, and those whose peer does not read. One
// goroutine does it for all: a writer that is stuck can't look itself.
func (s *Server) watch(ctx context.Context) {
	ticker := time.NewTicker(min(watchInterval, s.o.Idle, s.o.Stall))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			for _, c := range s.list() {
				c.look(now)
			}
		}
	}
}

func (s *Server) list() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		list = append(list, c)
	}
	return list
}

// Stop accepts nothing more and lets the streams that there are end by themselves, until
// ctx ends; then it ends them.
func (s *Server) Stop(ctx context.Context) {
	s.mu.Lock()
	s.draining = true
	for l := range s.listeners {
		_ = l.Close()
	}
	for raw := range s.pending {
		_ = raw.Close()
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		// In parallel, for each may have to wait for a peer that does not read.
		for _, c := range s.list() {
			s.work.Go(c.drain)
		}
		s.work.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		for _, c := range s.list() {
			c.cut()
		}
		<-done
	}
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}
