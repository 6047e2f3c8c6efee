package proxy

import (
	"net/netip"
	"strconv"
	"strings"

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
	host, port := splitHost(q.Host)
	q.ForwardedProto, q.ForwardedHost, q.ForwardedPort = q.Scheme, lowerHost(&x.Text, host), int(q.Local.Port())
	_ = port
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
		q.ForwardedHost, _ = splitHost(v)
	}
	if v := firstOf(q.Header.Get("X-Forwarded-Port")); v != "" {
		if n, err := strconv.Atoi(v); err == nil && n > 0 && n < 65536 {
			q.ForwardedPort = n
		}
	}
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

// splitHost takes the port off a host; port is 0 when there is none.
func splitHost(h string) (host string, port int) {
	i := strings.LastIndexByte(h, ':')
	if i < 0 || strings.HasSuffix(h, "]") {
		return h, 0
	}
	n, err := strconv.Atoi(h[i+1:])
	if err != nil {
		return h, 0
	}
	return h[:i], n
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

// lowerHost returns the host in lower case, allocating only when it is not.
func lowerHost(t *pdk.Text, h string) string {
	for i := 0; i < len(h); i++ {
		if c := h[i]; c >= 'A' && c <= 'Z' {
			b := append(t.Room(len(h)), h...)
			for j := i; j < len(b); j++ {
				if b[j] >= 'A' && b[j] <= 'Z' {
					b[j] += 'a' - 'A'
				}
			}
			return t.Keep(b)
		}
	}
	return h
}
