package h2

import (
	"strconv"
	"strings"

	"golang.org/x/net/http2/hpack"
)

// headerBlock is a head on its way in.
type headerBlock struct {
	limit int
	open  bool // CONTINUATION follows
	// selfish heads say that their stream depends on itself.
	selfish bool
	stream  uint32
	end     bool
	bytes   []byte // of several frames
	frames  int

	fields   []hpack.HeaderField
	size     int
	tooLarge bool
	// regular and malformed are about the fields so far.
	regular   bool
	malformed string
	pseudo    uint8 // which pseudo-headers came
	length    int64
}

// maxBlock bounds a compressed head, and maxContinuations its frames.
const maxBlock, maxContinuations = 128 << 10, 32

func (b *headerBlock) reset() {
	b.fields, b.size, b.tooLarge, b.regular, b.malformed, b.pseudo, b.length, b.selfish = nil, 0, false, false, "", 0, -1, false
}

// emit takes a field of the decoder.
func (b *headerBlock) emit(f hpack.HeaderField) {
	if b.size += int(f.Size()); b.size > b.limit {
		b.tooLarge = true
		return
	}
	if b.malformed == "" {
		b.check(&f)
	}
	if b.fields == nil {
		b.fields = make([]hpack.HeaderField, 0, 16)
	}
	b.fields = append(b.fields, f)
}

func (b *headerBlock) check(f *hpack.HeaderField) {
	switch {
	case f.Name == "":
		b.malformed = "field without a name"
	case f.Name[0] == ':':
		bit := pseudoBit(f.Name)
		switch {
		case b.regular:
			b.malformed = "pseudo-header behind a field"
		case bit == 0:
			b.malformed = "unknown pseudo-header"
		case b.pseudo&bit != 0:
			b.malformed = "pseudo-header twice"
		}
		b.pseudo |= bit
	default:
		b.regular = true
		if !lowerToken(f.Name) {
			b.malformed = "name of a field"
		} else if connectionField(f.Name) || f.Name == "te" && f.Value != "trailers" {
			b.malformed = "field of a connection"
		} else if f.Name == "content-length" {
			n, err := strconv.ParseUint(f.Value, 10, 63)
			if err != nil || b.length >= 0 && b.length != int64(n) { //nolint:gosec // 63 bits
				b.malformed = "content-length"
			} else {
				b.length = int64(n) //nolint:gosec // 63 bits
			}
		}
	}
	if b.malformed == "" && !plainValue(f.Value) {
		b.malformed = "value of a field"
	}
}

// Bits of pseudo-headers.
const (
	pseudoMethod = 1 << iota
	pseudoScheme
	pseudoAuthority
	pseudoPath
	pseudoProtocol
	pseudoStatus
)

func pseudoBit(name string) uint8 {
	switch name {
	case ":method":
		return pseudoMethod
	case ":scheme":
		return pseudoScheme
	case ":authority":
		return pseudoAuthority
	case ":path":
		return pseudoPath
	case ":protocol":
		return pseudoProtocol
	case ":status":
		return pseudoStatus
	}
	return 0
}

func connectionField(name string) bool {
	switch name {
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
		return true
	}
	return false
}

// lowerToken tells whether a name is a token without capitals.
func lowerToken(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
		case c <= ' ', c >= 0x7f, c >= 'A' && c <= 'Z':
			return false
		default:
			switch c {
			case '"', '(', ')', ',', '/', ':', ';', '<', '=', '>', '?', '@', '[', '\\', ']', '{', '}':
				return false
			}
		}
	}
	return true
}

// plainValue tells whether a value has no control bytes and no space around it.
func plainValue(s string) bool {
	if s == "" {
		return true
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	blank := func(c byte) bool { return c == ' ' || c == '\t' }
	return !blank(s[0]) && !blank(s[len(s)-1])
}

// requestMalformed tells why the head is no request's, "" when it is one.
func (b *headerBlock) requestMalformed() string {
	switch {
	case b.malformed != "":
		return b.malformed
	case b.pseudo&pseudoStatus != 0:
		return "pseudo-header of a response"
	case b.pseudo&pseudoMethod == 0:
		return "no :method"
	}
	var method, scheme, path string
	for i := range b.fields {
		switch f := &b.fields[i]; f.Name {
		case ":method":
			method = f.Value
		case ":scheme":
			scheme = f.Value
		case ":path":
			path = f.Value
		}
	}
	switch {
	case method == "CONNECT" && b.pseudo&pseudoProtocol == 0:
		if b.pseudo&(pseudoScheme|pseudoPath) != 0 || b.pseudo&pseudoAuthority == 0 {
			return "CONNECT with a target"
		}
		return ""
	case b.pseudo&pseudoProtocol != 0 && method != "CONNECT":
		return ":protocol without CONNECT"
	case path == "":
		return "no :path"
	case scheme != "http" && scheme != "https":
		return "no :scheme"
	}
	return ""
}

// responseMalformed tells why the head is no response's.
func (b *headerBlock) responseMalformed() (status int, why string) {
	switch {
	case b.malformed != "":
		return 0, b.malformed
	case b.pseudo != pseudoStatus:
		return 0, "pseudo-headers of a response"
	}
	for i := range b.fields {
		if b.fields[i].Name == ":status" {
			n, err := strconv.ParseUint(b.fields[i].Value, 10, 16)
			if err != nil || len(b.fields[i].Value) != 3 || n < 100 || n == 101 {
				return 0, ":status"
			}
			return int(n), ""
		}
	}
	return 0, "no :status"
}

// Lower returns a name in lower case, without allocation when it is so already or common.
func Lower(name string) string {
	for i := 0; i < len(name); i++ {
		if c := name[i]; c >= 'A' && c <= 'Z' {
			if known, ok := lowered[name]; ok {
				return known
			}
			return strings.ToLower(name)
		}
	}
	return name
}

// lowered are names as messages of HTTP/1 write them.
var lowered = func() map[string]string { //nolint:gochecknoglobals // a constant
	m := map[string]string{}
	for _, name := range []string{
		"Accept", "Accept-Encoding", "Accept-Language", "Accept-Ranges", "Access-Control-Allow-Credentials", "Access-Control-Allow-Origin",
		"Age", "Allow", "Authorization", "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Length",
		"Content-Type", "Cookie", "Date", "ETag", "Etag", "Expires", "Grpc-Message", "Grpc-Status", "If-None-Match", "Last-Modified", "Link",
		"Location", "Origin", "Referer", "Retry-After", "Server", "Set-Cookie", "Strict-Transport-Security", "TE", "Trailer", "User-Agent",
		"Vary", "Via", "WWW-Authenticate", "X-Cache-Key", "X-Cache-Status", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Path",
		"X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Proto", "X-Kong-Proxy-Latency", "X-Kong-Request-Id", "X-Kong-Response-Latency",
		"X-Kong-Upstream-Latency", "X-Kong-Upstream-Status", "X-Real-IP", "X-Request-Id", "X-RateLimit-Limit-Minute",
		"X-RateLimit-Remaining-Minute", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset",
	} {
		m[name] = strings.ToLower(name)
	}
	return m
}()
