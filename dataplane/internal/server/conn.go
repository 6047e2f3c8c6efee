package server

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/sluice-gateway/sluice/dataplane/internal/server/http1"
	"github.com/sluice-gateway/sluice/dataplane/internal/server/http2"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// introduction bounds what comes before the first request: PROXY header and handshake.
const introduction = 30 * time.Second

// serve finds out what a connection speaks and has it served.
func (s *Server) serve(l *listener, nc net.Conn) {
	if !l.TLS && !l.ProxyProtocol && !l.HTTP2 {
		i := info(nc)
		s.http1.Serve(nc, &i)
		return
	}
	s.serveIntroduced(l, nc)
}

// serveIntroduced is for what has to be looked at first. Its frame is large, and frames
// below a connection's loop are memory that each connection takes.
func (s *Server) serveIntroduced(l *listener, nc net.Conn) {
	// The deadline comes first: Shutdown moves those that it finds.
	_ = nc.SetDeadline(time.Now().Add(introduction))
	s.introduced.Store(nc, struct{}{})
	s.introducing.Add(1)
	if s.closing.Load() {
		s.known(nc)
		_ = nc.Close()
		return
	}
	conn, i, h2, err := s.introduce(l, nc)
	s.known(nc)
	if err != nil {
		if s.log.IsDebug() {
			s.log.Debug("connection not taken", "peer", nc.RemoteAddr().String(), "error", err)
		}
		_ = nc.Close()
		return
	}
	_ = nc.SetDeadline(time.Time{})
	if h2 {
		s.http2.Serve(conn, http2.Info{Peer: i.Peer, Local: i.Local, Client: i.Client, TLS: i.TLS, SNI: i.SNI, Version: i.Version, Cipher: i.Cipher, ClientChain: i.ClientChain, ClientVerified: i.ClientVerified, Deny: i.Deny})
		return
	}
	s.http1.Serve(conn, &i)
}

func (s *Server) known(nc net.Conn) {
	s.introduced.Delete(nc)
	s.introducing.Add(-1)
}

// introduce reads the PROXY header, does the handshake and looks at what follows. What it
// read too much goes into i.First, or comes again from conn.
func (s *Server) introduce(l *listener, nc net.Conn) (conn net.Conn, i http1.Info, h2 bool, err error) {
	i = info(nc)
	var read []byte
	if l.ProxyProtocol {
		if i.Client, read, err = s.proxyHeader(nc, i.Peer.Addr()); err != nil {
			return nil, i, false, err
		}
	}
	switch {
	case l.TLS:
		return s.secure(l, nc, read, i)
	case l.HTTP2:
		if read, h2, err = preface(nc, read); h2 {
			return &prefixed{nc, read}, i, true, err
		}
	}
	i.First = read
	return nc, i, false, err
}

// proxyHeader reads the PROXY header. The client that it names is believed when a trusted
// peer says so; what else was read is returned.
func (s *Server) proxyHeader(nc net.Conn, peer netip.Addr) (client netip.AddrPort, read []byte, err error) {
	r := bufio.NewReader(nc)
	header, err := proxyproto.Read(r)
	if err != nil {
		return client, nil, fmt.Errorf("read PROXY header: %w", err)
	}
	if n := r.Buffered(); n > 0 {
		read, _ = r.Peek(n)
	}
	source, ok := header.SourceAddr.(*net.TCPAddr)
	if !ok || header.Command.IsLocal() {
		return client, read, nil // the peer speaks for itself, or for what has no address
	}
	for _, p := range s.o.ProxiesTrusted {
		if p.Contains(peer) {
			return address(source), read, nil
		}
	}
	return client, read, nil
}

// secure does the handshake. A client that speaks plain HTTP is told so in plain HTTP.
func (s *Server) secure(l *listener, nc net.Conn, read []byte, i http1.Info) (conn net.Conn, _ http1.Info, h2 bool, err error) {
	below := nc
	if len(read) > 0 {
		below = &prefixed{nc, read}
	}
	config := (*s.tls.Load())[l.HTTP2]
	tc := tls.Server(below, config)
	if err := tc.Handshake(); err != nil {
		if wrong, ok := errors.AsType[tls.RecordHeaderError](err); ok && wrong.Conn != nil && plainHTTP(wrong.RecordHeader) {
			i.Refuse = 400
			return nc, i, false, nil
		}
		return nil, i, false, fmt.Errorf("handshake: %w", err)
	}
	state := tc.ConnectionState()
	i.TLS, i.SNI = true, state.ServerName
	i.Version, i.Cipher = state.Version, state.CipherSuite
	i.ClientChain = state.PeerCertificates
	i.ClientVerified = signed(i.ClientChain, config.ClientCAs)
	switch auth := s.o.ClientAuth; {
	case len(i.ClientChain) == 0 && auth == tls.RequireAndVerifyClientCert:
		i.Deny = pdk.StatusNoCertificate
	case len(i.ClientChain) > 0 && !i.ClientVerified && auth >= tls.VerifyClientCertIfGiven:
		i.Deny = pdk.StatusBadCertificate
	}
	return tc, i, state.NegotiatedProtocol == "h2", nil
}

// signed tells whether one of the authorities has signed a client's certificate.
func signed(chain []*x509.Certificate, authorities *x509.CertPool) bool {
	if len(chain) == 0 || authorities == nil {
		return false
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: authorities, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err == nil
}

// plainHTTP tells whether what came in place of a TLS record starts like a request.
func plainHTTP(record [5]byte) bool {
	switch string(record[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "PATCH", "DELET", "OPTIO", "PRI *":
		return true
	}
	return false
}

func info(nc net.Conn) http1.Info {
	return http1.Info{Peer: address(nc.RemoteAddr()), Local: address(nc.LocalAddr())}
}

// address is that of this machine for what has none: the client of a unix socket.
func address(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		p := t.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
}

const prefaceStart = "PRI * HTTP/2.0\r\n"

// preface tells whether the connection starts with HTTP/2's preface, and returns what was
// read of it.
func preface(nc net.Conn, read []byte) ([]byte, bool, error) {
	for {
		n := min(len(read), len(prefaceStart))
		if string(read[:n]) != prefaceStart[:n] {
			return read, false, nil
		}
		if n == len(prefaceStart) {
			return read, true, nil
		}
		space := make([]byte, len(prefaceStart)-n)
		m, err := nc.Read(space)
		if read = append(read, space[:m]...); err != nil {
			return read, false, err
		}
	}
}

// prefixed is a connection of which something was read already.
type prefixed struct {
	net.Conn
	read []byte
}

// Read implements net.Conn.
func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.read) > 0 {
		n := copy(b, p.read)
		p.read = p.read[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}
