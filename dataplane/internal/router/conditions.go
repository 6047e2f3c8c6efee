package router

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/shared/expression"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// conditions are what a route asks besides host and path.
type conditions struct {
	methods []string
	headers []headerCondition
	snis    []string // in lower case, without a dot at the end
	// plainSNIs is set when none of them has a wildcard.
	plainSNIs    bool
	sources      []endpoint
	destinations []endpoint
	// protocols that match, of the expressions flavor; 0 is any.
	protocols protocolSet
	// explicitPort compares a host's port with what the Host header says.
	explicitPort bool
}

// protocolSet is protocols of a connection.
type protocolSet uint8

const (
	overHTTP protocolSet = 1 << iota
	overHTTPS
)

type headerCondition struct {
	name    expression.HeaderName
	values  []string // in lower case
	regexes []*schema.Regex
}

type endpoint struct {
	prefix netip.Prefix
	port   int
}

// fileable tells whether an index may file by a header: it has nothing but values.
func (h *headerCondition) fileable() bool { return len(h.regexes) == 0 && len(h.values) > 0 }

// hold tells whether a request meets all conditions, and the port of the entry's host.
func (c *conditions) hold(q *Request, e *entry) bool {
	secure := q.Protocol == "https"
	if e.port != 0 && !c.portHolds(q, e, secure) {
		return false
	}
	if c.protocols != 0 && c.protocols&protocolOf(secure) == 0 {
		return false
	}
	if len(c.methods) > 0 && !slices.Contains(c.methods, q.Method) {
		return false
	}
	if len(c.snis) > 0 && secure && !matchSNI(c.snis, q.SNI) {
		return false
	}
	for i := range c.headers {
		if !c.headers[i].hold(q) {
			return false
		}
	}
	if len(c.sources) > 0 && !matchEndpoint(c.sources, q.Source) {
		return false
	}
	return len(c.destinations) == 0 || matchEndpoint(c.destinations, q.Destination)
}

func protocolOf(secure bool) protocolSet {
	if secure {
		return overHTTPS
	}
	return overHTTP
}

// portHolds compares the port of a host. Where the Host header has none, a host with a
// wildcard takes the scheme's own (traditional).
func (c *conditions) portHolds(q *Request, e *entry, secure bool) bool {
	port := q.Port
	if c.explicitPort {
		port = q.HostPort
		if port == 0 && e.hostKind != hostExact {
			port = 80
			if secure {
				port = 443
			}
		}
	}
	return port == int(e.port)
}

func (h *headerCondition) hold(q *Request) bool {
	if q.Header == nil {
		return false
	}
	name := h.name.In(q.Header)
	fields := q.Header.Fields()
	for i := range fields {
		if !pdk.EqualFold(fields[i].Name, name) {
			continue
		}
		for _, want := range h.values {
			if equalLower(fields[i].Value, want) {
				return true
			}
		}
		for _, regex := range h.regexes {
			if q.MatchRegex(regex, q.Lower(fields[i].Value)) {
				return true
			}
		}
	}
	return false
}

// equalLower compares s without ASCII case to a string in lower case.
func equalLower(s, want string) bool {
	if len(s) != len(want) {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != want[i] {
			return false
		}
	}
	return true
}

func withoutDot(name string) string { return strings.TrimSuffix(name, ".") }

func matchSNI(snis []string, name string) bool {
	name = withoutDot(name)
	if name == "" {
		return false
	}
	for _, s := range snis {
		switch {
		case s[0] == '*':
			if n := len(s) - 1; len(name) >= n && equalLower(name[len(name)-n:], s[1:]) {
				return true
			}
		case s[len(s)-1] == '*':
			if n := len(s) - 1; len(name) >= n && equalLower(name[:n], s[:n]) {
				return true
			}
		case equalLower(name, s):
			return true
		}
	}
	return false
}

func matchEndpoint(list []endpoint, a netip.AddrPort) bool {
	for i := range list {
		if list[i].port != 0 && list[i].port != int(a.Port()) {
			continue
		}
		if list[i].prefix.IsValid() && !list[i].prefix.Contains(a.Addr().Unmap()) {
			continue
		}
		return true
	}
	return false
}
