// Package server owns the proxy's listeners: addresses and their flags, PROXY headers,
// TLS handshakes, which protocol a connection speaks, and how all of it ends. The engines
// in http1 and http2 speak the protocols. It refuses to look at requests.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/dataplane/internal/proxy"
	"github.com/sluice-gateway/sluice/dataplane/internal/server/http1"
	"github.com/sluice-gateway/sluice/dataplane/internal/server/http2"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/settings"
)

// Handler answers requests.
type Handler interface {
	Serve(x *pdk.Exchange, r proxy.Responder)
	Refuse(x *pdk.Exchange, r proxy.Responder, status int)
}

// Options of a Server.
type Options struct {
	Listeners []settings.Listener
	Handler   Handler
	// Certificates serve where Certificate has none for a handshake.
	Certificates []tls.Certificate
	// Certificate finds one by server name, nil for none; may itself be nil.
	Certificate func(hello *tls.ClientHelloInfo) *tls.Certificate
	// MinTLS and MaxTLS are versions; 0 means TLS 1.2 and the newest.
	MinTLS, MaxTLS uint16
	// MaxRequests on one connection of HTTP/1; see http1.Options.
	MaxRequests int
	// Logger; nil logs nothing.
	Logger hclog.Logger
}

// Server is the listeners with their engines. New opens, Serve serves.
type Server struct {
	o         Options
	log       hclog.Logger
	listeners []*listener
	http1     *http1.Engine
	http2     *http2.Engine
	tls       atomic.Pointer[tls.Config]

	accepted  atomic.Int64
	handshake sync.Map // net.Conn -> nothing: connections before their first byte
	conns     sync.WaitGroup
	closing   atomic.Bool
	stopped   chan struct{}
}

type listener struct {
	settings.Listener

	on net.Listener
}

// New opens the listeners.
func New(o Options) (*Server, error) {
	if o.Handler == nil {
		return nil, errors.New("server needs a handler")
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	s := &Server{o: o, log: o.Logger, stopped: make(chan struct{})}
	s.SetCertificates(o.Certificates)
	for _, l := range o.Listeners {
		nl, err := open(l)
		if err != nil {
			for _, other := range s.listeners {
				_ = other.on.Close()
			}
			return nil, fmt.Errorf("proxy_listen: %w", err)
		}
		s.listeners = append(s.listeners, &listener{l, nl})
	}
	s.http1 = http1.New(http1.Options{Handler: o.Handler, MaxRequests: o.MaxRequests, Logger: o.Logger})
	s.http2 = http2.New(http2.Options{Handler: o.Handler, Logger: o.Logger})
	return s, nil
}

// Addrs are the listeners' addresses, in their order.
func (s *Server) Addrs() []net.Addr {
	out := make([]net.Addr, len(s.listeners))
	for i, l := range s.listeners {
		out[i] = l.on.Addr()
	}
	return out
}

// Connections returns how many clients are connected.
func (s *Server) Connections() int64 {
	all := s.http1.Connections().All
	return int64(all + s.http2.Connections())
}

// SetCertificates replaces the certificates for names that Certificate has none for.
func (s *Server) SetCertificates(list []tls.Certificate) {
	base := &tls.Config{
		MinVersion: s.o.MinTLS, MaxVersion: s.o.MaxTLS, Certificates: list,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if s.o.Certificate != nil {
				if c := s.o.Certificate(hello); c != nil {
					return c, nil
				}
			}
			for i := range list {
				if hello.SupportsCertificate(&list[i]) == nil {
					return &list[i], nil
				}
			}
			if len(list) > 0 {
				return &list[0], nil
			}
			return nil, errors.New("no certificate for the name")
		},
	}
	if base.MinVersion == 0 {
		base.MinVersion = tls.VersionTLS12
	}
	s.tls.Store(base)
}

// Serve accepts until Shutdown.
func (s *Server) Serve() error {
	var wait sync.WaitGroup
	errs := make([]error, len(s.listeners))
	for i, l := range s.listeners {
		wait.Go(func() {
			if errs[i] = s.accept(l); errs[i] != nil {
				s.closeListeners()
			}
		})
	}
	wait.Wait()
	if len(s.listeners) == 0 {
		<-s.stopped
	}
	return errors.Join(errs...)
}

func (s *Server) closeListeners() {
	for _, l := range s.listeners {
		_ = l.on.Close()
	}
}

func (s *Server) accept(l *listener) error {
	wait := time.Duration(0)
	for {
		nc, err := l.on.Accept()
		switch {
		case err == nil:
			wait = 0
		case s.closing.Load():
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("listen on %s: %w", l.on.Addr(), err)
		default:
			// Such as too many open files: connections that end make room.
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			s.log.Warn("connection not accepted", "address", l.on.Addr().String(), "error", err, "retry_in", wait.String())
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-s.stopped:
				timer.Stop()
				return nil
			}
			continue
		}
		s.accepted.Add(1)
		s.conns.Go(func() { s.serve(l, nc) })
	}
}

// Shutdown stops accepting, lets requests that are under way end, and closes what is
// left when ctx ends, which it then returns.
func (s *Server) Shutdown(ctx context.Context) error {
	if s.closing.Swap(true) {
		return nil
	}
	close(s.stopped)
	s.closeListeners()
	s.handshake.Range(func(c, _ any) bool {
		_ = c.(net.Conn).SetDeadline(time.Unix(1, 0)) //nolint:forcetypeassert // nothing else is stored
		return true
	})
	var errs [2]error
	var wait sync.WaitGroup
	wait.Go(func() { errs[0] = s.http1.Drain(ctx) })
	wait.Go(func() { errs[1] = s.http2.Drain(ctx) })
	wait.Wait()
	s.conns.Wait()
	return errors.Join(errs[0], errs[1])
}
