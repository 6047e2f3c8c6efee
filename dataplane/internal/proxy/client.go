package proxy

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/sluice-gateway/sluice/shared/expression"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// client fills what follows from the connection and from trusted proxies.
func (p *Proxy) client(x *pdk.Exchange) {
	q := &x.Request
	if !q.Client.IsValid() {
		q.Client = q.Peer
	}
	// A peer on a unix socket has no port.
	q.Trusted = p.trusted(q.Peer.Addr()) || p.o.TrustUnix && q.Peer.Port() == 0
	q.Path = normalPath(q.RawPath)
	host, _ := expression.SplitHost(q.Host)
	q.ForwardedProto, q.ForwardedHost, q.ForwardedPort = q.Scheme, expression.LowerHost(&x.Text, host), p.port(q.Local.Port())
	if !q.Trusted {
		return
	}
	if p.o.RealIPHeader != "" && !strings.EqualFold(p.o.RealIPHeader, "proxy_protocol") {
		p.realIP(q)
	}
	if v := firstOf(q.Header.Get("X-Forwarded-Proto")); v != "" {
		q.ForwardedProto = v
	}
	if v := firstOf(q.Header.Get("X-Forwarded-Host")); v != "" {
		q.ForwardedHost, _ = expression.SplitHost(v)
	}
	if v := firstOf(q.Header.Get("X-Forwarded-Port")); v != "" {
		if n, err := strconv.Atoi(v); err == nil && n > 0 && n < 65536 {
			q.ForwardedPort = n
		}
	}
}

// port is the one that a client used to reach a port here.
func (p *Proxy) port(local uint16) int {
	if outside, ok := p.o.Ports[local]; ok {
		return int(outside)
	}
	return int(local)
}

func (p *Proxy) trusted(a netip.Addr) bool {
	if len(p.o.TrustedIPs) == 0 {
		return false
	}
	a = a.Unmap()
	for _, t := range p.o.TrustedIPs {
		if t.Contains(a) {
			return true
		}
	}
	return false
}

// realIP takes the client's address from the header that a trusted peer sent.
func (p *Proxy) realIP(q *pdk.Request) {
	var values [8]string
	list := strings.Join(q.Header.Values(values[:0], p.o.RealIPHeader), ",")
	for list != "" {
		var last string
		if i := strings.LastIndexByte(list, ','); i >= 0 {
			list, last = list[:i], list[i+1:]
		} else {
			list, last = "", list
		}
		a, ok := parseAddr(strings.TrimSpace(last))
		if !ok {
			return
		}
		q.Client = a
		if !p.o.RealIPRecursive || !p.trusted(a.Addr()) {
			return
		}
	}
}

func parseAddr(s string) (netip.AddrPort, bool) {
	if a, err := netip.ParseAddrPort(s); err == nil {
		return a, true
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return netip.AddrPortFrom(a, 0), err == nil
}

func firstOf(list string) string {
	if i := strings.IndexByte(list, ','); i >= 0 {
		list = list[:i]
	}
	return strings.TrimSpace(list)
}

// normalPath normalises a path; one that is normal already costs one look at each byte.
func normalPath(s string) string {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '%', c <= ' ', c >= 0x7f:
			return schema.NormalizePath(s)
		case c == '/' && i+1 < len(s) && (s[i+1] == '/' || s[i+1] == '.'):
			return schema.NormalizePath(s)
		}
	}
	return s
}
