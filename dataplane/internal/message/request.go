package message

import (
	"bytes"
	"errors"
	"strings"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Limits of a request head, as nginx has them with four buffers of 8 KiB.
const (
	MaxLine = 8 << 10
	MaxHead = 32 << 10
)

// Request is the head of a request.
type Request struct {
	Method string
	// Host is the Host line or the authority of an absolute target.
	Host string
	// Path and Query of the target; HasQuery tells "/p?" from "/p".
	Path, Query string
	HasQuery    bool
	// Proto is 10 or 11.
	Proto int
	// Length of the body: -1 when chunked, 0 when there is none.
	Length  int64
	Chunked bool
	// KeepAlive is true when the client expects the connection to go on.
	KeepAlive bool
	// Upgrade is true when Connection lists an Upgrade that is there.
	Upgrade bool
	// Continue is true when the client waits for 100 before it sends the body.
	Continue bool
	// Trailers is true when the client takes a trailer section.
	Trailers bool
}

// EndOfHead returns the length of the head at the start of b, 0 when it is not
// complete, or the reason why it can not become one. from is how much of b an
// earlier call has seen.
func EndOfHead(b []byte, from int) (int, error) {
	i := max(0, from-3)
	if end := bytes.Index(b[i:], crlfcrlf); end >= 0 {
		end += i + 4
		if end > MaxHead {
			return 0, ErrHeadTooLarge
		}
		return end, nil
	}
	return 0, incomplete(b)
}

var crlfcrlf = []byte("\r\n\r\n")

// incomplete refuses the start of a head early that can not be completed.
func incomplete(b []byte) error {
	if len(b) > 0 && !is(b[0], classMethod) && b[0] != '\r' {
		return ErrMethod
	}
	for line := 0; ; line++ {
		i := bytes.IndexByte(b, '\n')
		switch {
		case i < 0 && len(b) > MaxLine, i > MaxLine:
			if line == 0 {
				return ErrTargetTooLong
			}
			return ErrHeadTooLarge
		case i < 0:
			return nil
		case i == 0 || b[i-1] != '\r':
			return ErrLineEnd
		}
		b = b[i+1:]
	}
}

// Parse reads the head that is all of b and appends its fields but Host to h.
// Errors are of type *Refusal.
func (r *Request) Parse(b []byte, h *pdk.Header) error {
	i := bytes.IndexByte(b, '\n')
	if i > MaxLine {
		return ErrTargetTooLong
	}
	if i < 1 || b[i-1] != '\r' {
		return ErrLineEnd
	}
	target, err := r.line(view(b[:i-1]))
	if err != nil {
		return err
	}
	var f framing
	if err := f.fields(b[i+1:], h, false); err != nil {
		return err
	}
	r.Host = f.host
	if err := r.target(target, f.hosts > 0); err != nil {
		return err
	}
	return r.frame(&f)
}

// Pseudo fills the request from what HTTP/2 has in the place of a request line and Host,
// and refuses what these could not say.
func (r *Request) Pseudo(method, target, authority string) *Refusal {
	*r = Request{Method: method, Host: authority, Proto: 20}
	switch {
	case method == "" || !all(method, classMethod):
		return ErrMethod
	case method == "CONNECT" || method == "TRACE":
		return ErrMethodRefused
	case target == "" || target[0] != '/':
		return ErrTarget
	}
	if refusal, ok := errors.AsType[*Refusal](r.target(target, authority != "")); ok {
		return refusal
	}
	return nil
}

// line parses the request line and returns the target.
func (r *Request) line(s string) (target string, err error) {
	i := 0
	for i < len(s) && is(s[i], classMethod) {
		i++
	}
	if i == 0 || i == len(s) || s[i] != ' ' {
		return "", ErrMethod
	}
	r.Method, s = s[:i], s[i+1:]
	i = strings.IndexByte(s, ' ')
	if i <= 0 {
		return "", ErrRequestLine
	}
	target, s = s[:i], s[i+1:]
	switch s {
	case "HTTP/1.1":
		r.Proto = 11
	case "HTTP/1.0":
		r.Proto = 10
	case "HTTP/2.0":
		if r.Method == "PRI" && target == "*" {
			return "", ErrPreface
		}
		return "", ErrVersion
	default:
		if len(s) != 8 || s[:5] != "HTTP/" || !is(s[5], classDigit) || s[6] != '.' || !is(s[7], classDigit) {
			return "", ErrRequestLine
		}
		if s[5] != '1' {
			return "", ErrVersion
		}
		r.Proto = 11 // a later one, which is read as the latest that is known (RFC 9110, 2.5)
	}
	if r.Method == "CONNECT" || r.Method == "TRACE" {
		return "", ErrMethodRefused
	}
	return target, nil
}

// target splits the target, which is in origin form or an absolute URL.
func (r *Request) target(s string, hasHost bool) error {
	if !hasHost && r.Proto >= 11 {
		return ErrHostMissing
	}
	if s[0] != '/' {
		i := strings.Index(s, "://")
		if i < 0 || !pdk.EqualFold(s[:i], "http") && !pdk.EqualFold(s[:i], "https") {
			return ErrTarget
		}
		s = s[i+3:]
		i = strings.IndexAny(s, "/?")
		if i < 0 {
			i = len(s)
		}
		authority := s[:i]
		// Some decode a host in a URL, and nginx takes no percent sign there.
		if !validHost(authority) || strings.IndexByte(authority, '%') >= 0 {
			return ErrHost
		}
		if hasHost && !pdk.EqualFold(authority, r.Host) {
			return ErrHostMismatch
		}
		r.Host, hasHost = authority, true
		if s = s[i:]; s == "" || s[0] == '?' {
			r.Path = "/"
			r.Query, r.HasQuery = strings.CutPrefix(s, "?")
			if !all(r.Query, classTarget) {
				return ErrTarget
			}
			return nil
		}
	}
	i := 0
	for i < len(s) && s[i] != '?' {
		c := s[i]
		if !is(c, classTarget) {
			return ErrTarget
		}
		if c == '%' && (i+2 >= len(s) || !is(s[i+1], classHex) || !is(s[i+2], classHex) || s[i+1] == '0' && s[i+2] == '0') {
			return ErrEscape
		}
		i++
	}
	r.Path, r.Query, r.HasQuery = s[:i], "", false
	if (strings.Contains(r.Path, "..") || strings.IndexByte(r.Path, '%') >= 0) && climbs(r.Path) {
		return ErrAbove
	}
	if i < len(s) {
		r.Query, r.HasQuery = s[i+1:], true
		if !all(r.Query, classTarget) {
			return ErrTarget
		}
	}
	return r.checkHost(hasHost)
}

// climbs tells whether the dots of a path lead above its root at any point. One parser may
// stop at the root then, and another may not. An encoded slash counts as one, since there
// are those that decode first.
func climbs(path string) bool {
	depth, length, dots := 0, 0, 0
	for i := 0; i <= len(path); i++ {
		c := byte('/')
		if i < len(path) {
			if c = path[i]; c == '%' {
				c = unhex(path[i+1])<<4 | unhex(path[i+2])
				i += 2
			}
		}
		switch c {
		case '/':
			switch {
			case length == 2 && dots == 2:
				if depth--; depth < 0 {
					return true
				}
			case length > 1 || length == 1 && dots == 0:
				depth++
			}
			length, dots = 0, 0
			continue
		case '.':
			dots++
		}
		length++
	}
	return false
}

// checkHost looks at the host, which HTTP/1.0 may leave out.
func (r *Request) checkHost(hasHost bool) error {
	if hasHost && !validHost(r.Host) {
		return ErrHost
	}
	return nil
}

// frame decides on the length of the body and the fate of the connection.
func (r *Request) frame(f *framing) error {
	r.Chunked, r.Length = f.chunked, max(f.length, 0)
	if f.chunked {
		if f.lengths > 0 {
			return ErrLengthAndCoded
		}
		if r.Proto < 11 {
			return ErrCodingHTTP10
		}
		r.Length = -1
	}
	r.KeepAlive = !f.close && (r.Proto >= 11 || f.keepAlive)
	r.Upgrade = f.upgradeListed && f.upgrade != "" && r.Proto >= 11
	r.Continue = f.expect != "" && r.Proto >= 11 && pdk.EqualFold(f.expect, "100-continue")
	r.Trailers = f.trailers && r.Proto >= 11
	return nil
}

// validHost accepts a name, an IPv4 or a bracketed IPv6 address, with an optional port.
func validHost(s string) bool {
	if s == "" || !all(s, classHost) {
		return false
	}
	if s[0] == '[' {
		i := strings.IndexByte(s, ']')
		if i < 3 {
			return false
		}
		for _, c := range []byte(s[1:i]) {
			if !is(c, classHex) && c != ':' && c != '.' {
				return false
			}
		}
		s = s[i+1:]
		return s == "" || s[0] == ':' && validPort(s[1:])
	}
	i := strings.IndexByte(s, ':')
	name := s
	if i >= 0 {
		name = s[:i]
		if !validPort(s[i+1:]) {
			return false
		}
	}
	return name != "" && !strings.Contains(name, "..") && strings.IndexByte(name, '[') < 0 && strings.IndexByte(name, ']') < 0
}

// validPort accepts an empty port too, which RFC 3986 allows.
func validPort(s string) bool {
	if len(s) > 5 || !all(s, classDigit) {
		return false
	}
	n := 0
	for i := range len(s) {
		n = n*10 + int(s[i]-'0')
	}
	return n <= 65535
}
