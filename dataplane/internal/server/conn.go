package server

import (
	"crypto/tls"
	"net"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/sluice-gateway/sluice/dataplane/internal/server/http1"
	"github.com/sluice-gateway/sluice/dataplane/internal/server/http2"
)

// introduction bounds what comes before the first request: PROXY header and handshake.
const introduction = 30 * time.Second

// serve finds out what a connection speaks and has it served.
func (s *Server) serve(l *listener, nc net.Conn) {
	if !l.TLS && !l.ProxyProtocol && !l.HTTP2 {
		s.http1.Serve(nc, info(nc))
		return
	}
	s.handshake.Store(nc, struct{}{})
	if s.closing.Load() {
		s.handshake.Delete(nc)
		_ = nc.Close()
		return
	}
	conn, i, h2, err := s.introduce(l, nc)
	s.handshake.Delete(nc)
	if err != nil {
		if s.log.IsDebug() {
			s.log.Debug("connection not taken", "peer", nc.RemoteAddr().String(), "error", err)
		}
		_ = nc.Close()
		return
	}
	_ = nc.SetDeadline(time.Time{})
	if h2 {
		s.http2.Serve(conn, http2.Info{Peer: i.Peer, Local: i.Local, TLS: i.TLS, SNI: i.SNI})
		return
	}
	s.http1.Serve(conn, i)
}

// introduce reads the PROXY header, does the handshake and looks at what follows.
func (s *Server) introduce(l *listener, nc net.Conn) (conn net.Conn, i http1.Info, h2 bool, err error) {
	_ = nc.SetDeadline(time.Now().Add(introduction))
	conn = nc
	if l.ProxyProtocol {
		pc := proxyproto.NewConn(nc, proxyproto.WithPolicy(proxyproto.REQUIRE))
		pc.RemoteAddr() // reads the header
		if pc.ProxyHeader() == nil {
			return nil, i, false, proxyproto.ErrNoProxyProtocol
		}
		conn = pc
	}
	i = info(conn)
	if l.TLS {
		config := s.tls.Load().Clone()
		config.NextProtos = []string{"http/1.1"}
		if l.HTTP2 {
			config.NextProtos = []string{"h2", "http/1.1"}
		}
		tc := tls.Server(conn, config)
		if err := tc.Handshake(); err != nil {
			return nil, i, false, err
		}
		state := tc.ConnectionState()
		i.TLS, i.SNI = true, state.ServerName
		return tc, i, state.NegotiatedProtocol == "h2", nil
	}
	if l.HTTP2 {
		p := &peeked{Conn: conn}
		h2, err := p.preface()
		return p, i, h2, err
	}
	return conn, i, false, nil
}

func info(nc net.Conn) http1.Info {
	return http1.Info{Peer: address(nc.RemoteAddr()), Local: address(nc.LocalAddr())}
}

// address is zero for what has none: the client of a unix socket counts as this machine.
func address(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		p := t.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
}

// peeked is a connection whose first bytes were looked at.
type peeked struct {
	net.Conn
	buf []byte
}

const prefaceStart = "PRI * HTTP/2.0\r\n"

// preface tells whether the connection starts with HTTP/2's preface.
func (p *peeked) preface() (bool, error) {
	b := make([]byte, len(prefaceStart))
	for n := 0; n < len(b); {
		m, err := p.Conn.Read(b[n:])
		if n += m; string(b[:n]) != prefaceStart[:n] {
			p.buf = b[:n]
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	p.buf = b
	return true, nil
}

// Read implements net.Conn.
func (p *peeked) Read(b []byte) (int, error) {
	if len(p.buf) > 0 {
		n := copy(b, p.buf)
		p.buf = p.buf[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// CloseWrite lets a lingering close work.
func (p *peeked) CloseWrite() error {
	if c, ok := p.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return p.Close()
}
