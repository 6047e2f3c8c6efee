package expression

import (
	"net/netip"
	"strconv"
	"strings"
	"unsafe"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
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
	// spent is set when a regular expression has taken too many steps.
	spent bool
}

// MatchRegex matches a regular expression for this request. Once one that backtracks was
// given up because it took too many steps, no other that does is tried: a request can not be
// held up longer than one match is.
func (q *Request) MatchRegex(r *schema.Regex, s string) bool {
	if r.Linear() != nil {
		return r.Match(s)
	}
	if q.spent {
		return false
	}
	ok, known := r.MatchBounded(s)
	q.spent = !known
	return ok
}

// Load fills the request from an exchange.
func (q *Request) Load(x *pdk.Exchange) {
	r := &x.Request
	host, port := SplitHost(r.Host)
	if port == 0 {
		port = int(r.Local.Port())
	}
	*q = Request{
		Protocol: r.Scheme, SNI: r.SNI, Method: r.Method, Host: LowerHost(&x.Text, host), HostHeader: r.Host, Path: r.Path,
		RawQuery: r.RawQuery, Header: &r.Header, Source: r.Client, Destination: r.Local, Port: port,
		decoded: q.decoded, lowered: q.lowered,
	}
}

// Reset empties the request and keeps its memory.
func (q *Request) Reset() { *q = Request{decoded: q.decoded, lowered: q.lowered} }

// SplitHost takes the port off a Host header; port is 0 when there is none.
func SplitHost(h string) (host string, port int) {
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

// LowerHost returns a host in lower case, allocating only when it is not.
func LowerHost(t *pdk.Text, h string) string {
	for i := 0; i < len(h); i++ {
		if h[i] >= 'A' && h[i] <= 'Z' {
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

// Lower returns s in lower case, ASCII only as in everything that requests are made of.
// The string is valid until the request makes the next one.
func (q *Request) Lower(s string) string {
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
