package schema

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// HostKind says what a host is.
type HostKind uint8

// Kinds of hosts.
const (
	HostName HostKind = iota + 1
	HostIPv4
	HostIPv6
)

// HostPort is a parsed host with its port; Port is -1 when there is none.
type HostPort struct {
	Kind HostKind
	// Host is canonical: an IPv4 address without leading zeros, an IPv6 address in
	// full, lower case and without brackets, or the name as given.
	Host string
	Port int
}

// String joins host and port again, IPv6 addresses in brackets.
func (h HostPort) String() string {
	host := h.Host
	if h.Kind == HostIPv6 {
		host = "[" + host + "]"
	}
	if h.Port < 0 {
		return host
	}
	return host + ":" + strconv.Itoa(h.Port)
}

// ErrPortNumber is what ParseHostPort returns for a port above 65535.
var ErrPortNumber = errors.New("invalid port number")

// ParseHostPort takes apart "name", "name:80", "1.2.3.4:80", "::1" and "[::1]:80".
func ParseHostPort(s string) (HostPort, error) {
	colons := strings.Count(s, ":")
	switch {
	case colons > 1:
		return parseIPv6(s)
	case isAll(strings.Replace(s, ":", "", 1), func(c byte) bool { return isDigit(c) || c == '.' }):
		return parseIPv4(s)
	}
	return parseName(s)
}

func parseIPv4(s string) (HostPort, error) {
	host, rest, hasPort := strings.Cut(s, ":")
	parts := strings.Split(host, ".")
	if len(parts) != 4 {
		return HostPort{}, fmt.Errorf("invalid ipv4 address: %s", s)
	}
	for i, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil || len(p) > 3 || n > 255 {
			return HostPort{}, fmt.Errorf("invalid ipv4 address: %s", s)
		}
		parts[i] = strconv.Itoa(n)
	}
	h := HostPort{Kind: HostIPv4, Host: strings.Join(parts, "."), Port: -1}
	if !hasPort {
		return h, nil
	}
	if rest == "" {
		return HostPort{}, fmt.Errorf("invalid ipv4 address: %s", s)
	}
	var err error
	h.Port, err = parsePort(rest)
	return h, err
}

func parseIPv6(s string) (HostPort, error) {
	address, port := s, -1
	if strings.HasPrefix(s, "[") {
		inside, rest, ok := strings.Cut(s[1:], "]")
		if !ok {
			return HostPort{}, fmt.Errorf("invalid ipv6 address: %s", s)
		}
		address = inside
		if rest != "" {
			if rest[0] != ':' || len(rest) < 2 || !isAll(rest[1:], isDigit) {
				return HostPort{}, fmt.Errorf("invalid ipv6 address: %s", s)
			}
			var err error
			if port, err = parsePort(rest[1:]); err != nil {
				return HostPort{}, err
			}
		}
	}
	a, err := netip.ParseAddr(address)
	if err != nil || !a.Is6() || a.Zone() != "" || strings.Contains(address, ".") {
		return HostPort{}, fmt.Errorf("invalid ipv6 address: %s", s)
	}
	return HostPort{Kind: HostIPv6, Host: a.StringExpanded(), Port: port}, nil
}

func parseName(s string) (HostPort, error) {
	name, port := s, -1
	if i := strings.LastIndexByte(s, ':'); i >= 0 && i+1 < len(s) && isAll(s[i+1:], isDigit) {
		var err error
		if port, err = parsePort(s[i+1:]); err != nil {
			return HostPort{}, err
		}
		name = s[:i]
	}
	if name == "" || !isAll(name, func(c byte) bool { return isAlnum(c) || c == '-' || c == '.' || c == '_' }) {
		return HostPort{}, fmt.Errorf("invalid hostname: %s", s)
	}
	labels := strings.Split(name, ".")
	for i, label := range labels {
		last := i == len(labels)-1
		if label == "" && (!last || i == 0) || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return HostPort{}, fmt.Errorf("invalid hostname: %s", s)
		}
	}
	return HostPort{Kind: HostName, Host: name, Port: port}, nil
}

func parsePort(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n > 65535 {
		return -1, ErrPortNumber
	}
	return n, nil
}

func checkHost(s string) error {
	h, err := ParseHostPort(s)
	switch {
	case errors.Is(err, ErrPortNumber), err == nil && h.Port >= 0:
		return errors.New("must not have a port")
	case err != nil:
		return errors.New("invalid value: " + s)
	}
	return nil
}

func checkHostPort(s string) error {
	_, err := ParseHostPort(s)
	return err
}

// checkWildcardHost runs after the wildcard's place was checked.
func checkWildcardHost(s string) error {
	if !strings.Contains(s, "*") {
		return checkHostPort(s)
	}
	if _, err := ParseHostPort(strings.Replace(s, "*", "wildcard", 1)); err != nil {
		if errors.Is(err, ErrPortNumber) {
			return err
		}
		return errors.New("invalid hostname: " + s)
	}
	return nil
}

func checkSNI(s string) error {
	h, err := ParseHostPort(s)
	switch {
	case err != nil && !errors.Is(err, ErrPortNumber):
		return errors.New("invalid value: " + s)
	case err == nil && h.Kind != HostName:
		return errors.New("must not be an IP")
	case err != nil || h.Port >= 0:
		return errors.New("must not have a port")
	}
	return nil
}

func checkWildcardSNI(s string) error {
	if i := strings.IndexByte(s, '*'); i >= 0 {
		if i != 0 && i != len(s)-1 {
			return errors.New("wildcard must be leftmost or rightmost character")
		}
		if strings.Count(s, "*") > 1 {
			return errors.New("only one wildcard must be specified")
		}
		if s == "*" {
			return nil
		}
		s = strings.Replace(s, "*", "wildcard", 1)
	}
	return checkSNI(s)
}

func checkIP(s string) error {
	if _, err := netip.ParseAddr(s); err != nil || strings.Contains(s, "%") {
		return errors.New("not an ip address: " + s)
	}
	return nil
}

func checkIPOrCIDR(s string) error {
	if checkIP(s) == nil {
		return nil
	}
	if _, err := netip.ParsePrefix(s); err != nil {
		return errors.New("invalid ip or cidr range: '" + s + "'")
	}
	return nil
}

func checkCIDR(s string) error {
	if _, err := netip.ParsePrefix(s); err != nil {
		return errors.New("invalid cidr range: " + s)
	}
	return nil
}

func isDigit(c byte) bool { return c-'0' < 10 }

func isAlnum(c byte) bool { return isDigit(c) || c|0x20-'a' < 26 }

func isHex(c byte) bool { return isDigit(c) || c|0x20-'a' < 6 }

func isAll(s string, is func(byte) bool) bool {
	for i := 0; i < len(s); i++ {
		if !is(s[i]) {
			return false
		}
	}
	return s != ""
}
