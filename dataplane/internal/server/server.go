// Package server owns the proxy's listeners: addresses and their flags, PROXY headers,
// TLS handshakes, which protocol a connection speaks, and how all of it ends. The engines
// in http1 and http2 speak the protocols. It refuses to look at requests.
package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
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
	// Handshake may refuse a connection before a certificate is chosen; may itself be nil. It
	// is not asked when a session is resumed.
	Handshake func(hello *tls.ClientHelloInfo) error
	// Certificate finds one by server name, nil for none; may itself be nil.
	Certificate func(hello *tls.ClientHelloInfo) *tls.Certificate
	// ClientAuth says whether clients are asked for certificates, and ClientCAs who has to
	// have signed them.
	ClientAuth tls.ClientAuthType
	ClientCAs  *x509.CertPool
	// MinTLS and MaxTLS are versions; 0 means TLS 1.2 and the newest.
	MinTLS, MaxTLS uint16
	// Suites are the cipher suites of TLS 1.2 and before; nil means crypto/tls's choice.
	Suites []uint16
	// NoTickets has every client make a whole handshake.
	NoTickets bool
	// TicketKey encrypts session tickets; nil makes keys that change every day. Sessions are
	// resumed within SessionTimeout; 0 means 24 hours.
	TicketKey      *[32]byte
	SessionTimeout time.Duration
	// ProxiesTrusted are peers whose PROXY header names the client, which is what
	// real_ip_header=proxy_protocol asks for. The header of others is read and ignored.
	ProxiesTrusted []netip.Prefix
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
	tls       atomic.Pointer[configs]

	ticketKeys   [][32]byte // the one that encrypts first, then one that is still taken
	certificates atomic.Pointer[[]tls.Certificate]
	accepted     atomic.Int64
	introduced   sync.Map // net.Conn -> nothing: connections before their first request
	introducing  atomic.Int64
	accepting    sync.WaitGroup
	conns        sync.WaitGroup
	starting     sync.Mutex // held where Serve begins and where Shutdown says closing
	closing      atomic.Bool
	stopped      chan struct{}
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
	s.tls.Store(s.configs())
	if o.TicketKey != nil {
		s.SetTicketKey(*o.TicketKey)
	}
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

// Connections are figures of the clients' connections.
type Connections struct {
	// Accepted since the start.
	Accepted int64
	// Active is the sum of the others: connections on which a request head or a handshake
	// comes, whose requests are being answered, or that wait for a request.
	Active, Reading, Writing, Waiting int64
}

// Connections returns the figures of now.
func (s *Server) Connections() Connections {
	one, two, introducing := s.http1.Connections(), s.http2.Connections(), s.introducing.Load()
	c := Connections{
		Accepted: s.accepted.Load(), Reading: introducing + int64(one.Reading),
		Writing: int64(one.Writing + two.Writing), Waiting: int64(one.Waiting + two.Waiting),
	}
	c.Active = c.Reading + c.Writing + c.Waiting
	return c
}

// Serve accepts until Shutdown.
func (s *Server) Serve() error {
	var wait sync.WaitGroup
	s.starting.Lock()
	if s.closing.Load() {
		s.starting.Unlock()
		return nil
	}
	s.accepting.Add(1)
	s.starting.Unlock()
	defer s.accepting.Done()
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

// Part ends connections that no request is on, so that clients go elsewhere, and keeps none
// behind an answer, until it is taken back. Requests that come all the same are served.
func (s *Server) Part(on bool) {
	s.http1.Part(on)
	s.http2.Part(on)
}

// Shutdown stops accepting and lets requests that are under way end. When ctx ends it cuts
// off the clients that are left and returns ctx's error; Wait waits for what is left then.
func (s *Server) Shutdown(ctx context.Context) error {
	s.starting.Lock()
	begun := s.closing.Swap(true)
	s.starting.Unlock()
	if begun {
		return nil
	}
	close(s.stopped)
	s.closeListeners()
	s.accepting.Wait()
	s.introduced.Range(func(c, _ any) bool {
		_ = c.(net.Conn).SetDeadline(time.Unix(1, 0)) //nolint:forcetypeassert // nothing else is stored
		return true
	})
	var errs [2]error
	var wait sync.WaitGroup
	wait.Go(func() { errs[0] = s.http1.Drain(ctx) })
	wait.Go(func() { errs[1] = s.http2.Drain(ctx) })
	wait.Wait()
	if err := errors.Join(errs[0], errs[1]); err != nil {
		return err
	}
	s.Wait()
	return nil
}

// Wait waits until nothing of any connection is left, after Shutdown. Handlers end when
// what they wait for does.
func (s *Server) Wait() {
	s.conns.Wait()
	s.http1.Wait()
	s.http2.Wait()
}
