package settings

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// Listener is one address to listen on, as Kong writes it: "0.0.0.0:8443 http2 ssl
// reuseport backlog=16384".
type Listener struct {
	// Network is tcp or unix; Address is ip:port, or a path.
	Network, Address string
	// IP has no brackets; Port is 0 for a unix socket, and for a free port.
	IP   string
	Port int
	// What the flags say.
	TLS, HTTP2, ProxyProtocol, ReusePort bool
	// Backlog is the length of the accept queue, 0 for the system's.
	Backlog int
	// IPv6Only is nil unless ipv6only=on or off was given.
	IPv6Only *bool
	// KeepAlive is "", "on", "off" or idle:interval:count as given to so_keepalive.
	KeepAlive string
	// Flags are as written, in that order.
	Flags []string
}

// String writes the listener as it was read.
func (l Listener) String() string {
	address := l.Address
	if l.Network == "unix" {
		address = "unix:" + address
	}
	return strings.Join(append([]string{address}, l.Flags...), " ")
}

// ParseListeners reads addresses separated by commas; "off" alone is none.
func ParseListeners(text string) ([]Listener, error) {
	if strings.TrimSpace(text) == "off" {
		return nil, nil
	}
	var out []Listener
	for part := range strings.SplitSeq(text, ",") {
		l, err := parseListener(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		for _, other := range out {
			if other.Network == l.Network && other.Address == l.Address && (l.Port != 0 || l.Network == "unix") {
				return nil, fmt.Errorf("%s is given twice", l.Address)
			}
		}
		out = append(out, l)
	}
	return out, nil
}

func parseListener(text string) (Listener, error) {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return Listener{}, errors.New("must be of the form off or ip:port with flags, such as 0.0.0.0:8000 or 0.0.0.0:8443 ssl http2")
	}
	l := Listener{Network: "tcp", Address: fields[0], Flags: fields[1:]}
	if path, ok := strings.CutPrefix(l.Address, "unix:"); ok {
		if !strings.HasPrefix(path, "/") {
			return Listener{}, fmt.Errorf("%s: the path of a unix socket must be absolute", l.Address)
		}
		l.Network, l.Address = "unix", path
	} else {
		host, port, err := net.SplitHostPort(l.Address)
		if err != nil {
			return Listener{}, fmt.Errorf("%s is not of the form ip:port", l.Address)
		}
		if host == "*" || host == "" {
			host = "0.0.0.0"
		}
		if net.ParseIP(host) == nil && host != "localhost" {
			return Listener{}, fmt.Errorf("%s: %q is not an IP address", l.Address, host)
		}
		l.Port, err = strconv.Atoi(port)
		if err != nil || l.Port < 0 || l.Port > 65535 {
			return Listener{}, fmt.Errorf("%s: %q is not a port", l.Address, port)
		}
		l.IP = host
		l.Address = net.JoinHostPort(host, port)
	}
	for i, flag := range l.Flags {
		if slices.Contains(l.Flags[:i], flag) {
			return Listener{}, fmt.Errorf("%s: %s is given twice", l.Address, flag)
		}
		if err := l.flag(flag); err != nil {
			return Listener{}, fmt.Errorf("%s: %w", l.Address, err)
		}
	}
	return l, nil
}

func (l *Listener) flag(flag string) error {
	switch flag {
	case "ssl":
		l.TLS = true
	case "http2":
		l.HTTP2 = true
	case "proxy_protocol":
		l.ProxyProtocol = true
	case "reuseport":
		l.ReusePort = true
	case "bind", "deferred":
		// Nothing to do: every address is bound on its own, and a request is read when
		// it comes.
	case "ipv6only=on", "ipv6only=off":
		only := flag == "ipv6only=on"
		l.IPv6Only = &only
	default:
		if n, ok := strings.CutPrefix(flag, "backlog="); ok {
			backlog, err := strconv.Atoi(n)
			if err != nil || backlog < 1 {
				return fmt.Errorf("%q is not a backlog", n)
			}
			l.Backlog = backlog
			return nil
		}
		if v, ok := strings.CutPrefix(flag, "so_keepalive="); ok && isKeepAlive(v) {
			l.KeepAlive = v
			return nil
		}
		return fmt.Errorf("unknown flag %q; known are ssl, http2, proxy_protocol, reuseport, bind, deferred, backlog=N, ipv6only=on|off, so_keepalive=on|off|idle:interval:count", flag)
	}
	return nil
}

func isKeepAlive(v string) bool {
	if v == "on" || v == "off" {
		return true
	}
	parts := strings.Split(v, ":")
	if len(parts) != 3 {
		return false
	}
	for i, part := range parts {
		part = strings.TrimSpace(part)
		if i < 2 {
			part = strings.TrimRight(part, "smh")
		}
		if _, err := strconv.ParseUint(part, 10, 31); part != "" && err != nil {
			return false
		}
	}
	return v != "::"
}
