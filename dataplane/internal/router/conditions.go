package router

import (
	"net/netip"
	"slices"
	"strings"
)

// holds tells whether everything but the plain path and the host's name matches.
func (e *entryPoint) holds(q *Request) (groups []int, ok bool) {
	c := e.route
	if e.port != 0 && e.port != q.Port {
		return nil, false
	}
	if len(c.methods) > 0 && !slices.Contains(c.methods, q.Method) {
		return nil, false
	}
	if len(c.snis) > 0 && q.TLS && !matchSNI(c.snis, q.SNI) {
		return nil, false
	}
	for i := range c.headers {
		if !c.headers[i].holds(q) {
			return nil, false
		}
	}
	if len(c.sources) > 0 && !matchEndpoint(c.sources, q.Source) {
		return nil, false
	}
	if len(c.destinations) > 0 && !matchEndpoint(c.destinations, q.Destination) {
		return nil, false
	}
	if e.regex != nil {
		groups = e.regex.Find(q.Path)
		return groups, groups != nil
	}
	return nil, true
}

func (h *headerCondition) holds(q *Request) bool {
	fields := q.Header.Fields()
	for i := range fields {
		if !equalHeaderName(fields[i].Name, h.name) {
			continue
		}
		if h.regex != nil {
			if h.regex.Match(fields[i].Value) {
				return true
			}
			continue
		}
		for _, want := range h.values {
			if equalLower(fields[i].Value, want) {
				return true
			}
		}
	}
	return false
}

// equalHeaderName compares names without case and takes "_" for "-", as the
// expressions of classic routes do.
func equalHeaderName(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		x, y := lower(a[i]), lower(b[i])
		if x == '_' {
			x = '-'
		}
		if y == '_' {
			y = '-'
		}
		if x != y {
			return false
		}
	}
	return true
}

// equalLower compares s without ASCII case to a string in lower case.
func equalLower(s, want string) bool {
	if len(s) != len(want) {
		return false
	}
	for i := 0; i < len(s); i++ {
		if lower(s[i]) != want[i] {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func matchSNI(snis []string, name string) bool {
	name = strings.TrimSuffix(name, ".")
	for _, s := range snis {
		switch {
		case s == "*":
			return true
		case strings.HasPrefix(s, "*."):
			if len(name) > len(s)-1 && equalLower(name[len(name)-len(s)+1:], s[1:]) {
				return true
			}
		case strings.HasSuffix(s, ".*"):
			if n := len(s) - 1; len(name) > n && equalLower(name[:n], s[:n]) {
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
