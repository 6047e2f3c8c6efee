package proxy

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

var errHandshake = errors.New("a plugin refused the handshake")

// Handshake runs the certificate phases of the global configs, and returns an error when
// one of them fails or ends the exchange.
func (p *Proxy) Handshake(hello *tls.ClientHelloInfo) error {
	current := p.o.Plan()
	if len(current.Handshakes) == 0 {
		return nil
	}
	x := &pdk.Exchange{View: current, Start: time.Now()}
	defer x.Reset()
	q := &x.Request
	q.SNI, q.Scheme = strings.ToLower(hello.ServerName), "https"
	if hello.Conn != nil {
		q.Peer, q.Local = addrPort(hello.Conn.RemoteAddr()), addrPort(hello.Conn.LocalAddr())
	}
	q.Client = q.Peer
	x.ID = p.ids.next(&x.Text)
	w := &walk{errand: errand{p: p, plan: current, x: x}}
	for _, i := range current.Handshakes {
		if !w.run(i, i.Phases.Certificate) {
			return errHandshake
		}
	}
	return nil
}

// addrPort returns the zero value for what has no IP, such as a unix socket.
func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort()
	}
	return netip.AddrPort{}
}
