package expression

import (
	"net/netip"
	"unsafe"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Request is what expressions look at. It is used by one goroutine at a time and may
// be used again for the next request.
type Request struct {
	// Protocol is http or https, or for streams tcp, tls or udp.
	Protocol string
	// SNI that a TLS client sent; "" is absent.
	SNI    string
	Method string
	// Host without port, in lower case, and HostHeader as it was sent.
	Host, HostHeader string
	// Path is normalised.
	Path string
	// RawQuery is the query string, still escaped.
	RawQuery string
	// Header without Host; nil has none.
	Header *pdk.Header
	// Source is the client, Destination our end; not valid is absent. Port is
	// net.dst.port: the Host header's, or else our end's; 0 is absent.
	Source, Destination netip.AddrPort
	Port                int

	// Texts made from the request's, overwritten by the next predicate.
	decoded, lowered []byte
}

// Load fills the request from an exchange. The fields that need a look at the Host
// header are host, without port and in lower case, and port.
func (q *Request) Load(x *pdk.Exchange, host string, port int) {
	r := &x.Request
	*q = Request{
		Protocol: r.Scheme, SNI: r.SNI, Method: r.Method, Host: host, HostHeader: r.Host, Path: r.Path,
		RawQuery: r.RawQuery, Header: &r.Header, Source: r.Client, Destination: r.Local, Port: port,
		decoded: q.decoded, lowered: q.lowered,
	}
}

// unescaped decodes an argument of a query.
func (q *Request) unescaped(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] == '%' || s[i] == '+' {
			q.decoded = pdk.AppendUnescaped(q.decoded[:0], s)
			return unsafe.String(unsafe.SliceData(q.decoded), len(q.decoded))
		}
	}
	return s
}

// lower returns s in lower case, ASCII only as in everything that requests are made of.
func (q *Request) lower(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] >= 'A' && s[i] <= 'Z' {
			b := append(q.lowered[:0], s...)
			for j := i; j < len(b); j++ {
				if b[j] >= 'A' && b[j] <= 'Z' {
					b[j] += 'a' - 'A'
				}
			}
			q.lowered = b
			return unsafe.String(unsafe.SliceData(b), len(b))
		}
	}
	return s
}
