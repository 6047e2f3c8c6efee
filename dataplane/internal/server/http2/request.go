package http2

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/sluice-gateway/sluice/dataplane/internal/h2"
	"github.com/sluice-gateway/sluice/dataplane/internal/message"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// fill takes the request over. What HTTP/1 could not say is refused as there: the upstream
// may speak it. status is 0 when all is well.
func (e *Engine) fill(x *pdk.Exchange, s *h2.Stream, info *Info, r *responder) (status int) {
	q := &x.Request
	q.Proto, q.Scheme = 20, "http"
	q.Peer, q.Local, q.Client, q.SNI = info.Peer, info.Local, info.Client, info.SNI
	q.TLSVersion, q.TLSCipher = info.Version, info.Cipher
	q.ClientChain, q.ClientVerified = info.ClientChain, info.ClientVerified
	if info.TLS {
		q.Scheme = "https"
	}
	fields, ended, err := s.Head(e.o.HeadTimeout)
	if err != nil {
		return 400
	}
	var p pseudo
	for i := range fields {
		if f := &fields[i]; f.Name[0] == ':' {
			p.set(f)
		}
	}
	r.head = p.method == "HEAD"
	if s.TooLarge() {
		return 494
	}
	socket := p.protocol == "websocket" && p.method == "CONNECT"
	if socket {
		p.method = "GET"
	} else if p.protocol != "" {
		return message.ErrMethodRefused.Status
	}
	host, refusal := p.host(fields)
	if refusal != nil {
		return refusal.Status
	}
	var m message.Request
	if refusal := m.Pseudo(p.method, p.path, host); refusal != nil {
		return refusal.Status
	}
	q.Method, q.Host, q.RawPath, q.RawQuery, q.HasQuery = m.Method, m.Host, m.Path, m.Query, m.HasQuery
	// As large as HTTP/1 would have it: what came was compressed.
	q.Bytes = int64(len(p.method) + len(p.path) + len(" HTTP/2\r\nHost: \r\n\r\n") + len(host))
	expects, length := e.fields(x, fields)
	if info.Deny != 0 {
		return info.Deny
	}
	switch {
	case socket:
		r.body = &requestBody{s: s, trailer: &q.Trailer}
		r.key = opening(q)
	case !ended:
		q.ContentLength = length
		q.Bytes += max(length, 0)
		q.Body = &requestBody{s: s, trailer: &q.Trailer, timeout: e.o.BodyTimeout, expects: expects}
	}
	return 0
}

// pseudo are the fields that stand for a request line.
type pseudo struct {
	method, path, authority, protocol string
}

func (p *pseudo) set(f *hpack.HeaderField) {
	switch f.Name {
	case ":method":
		p.method = f.Value
	case ":path":
		p.path = f.Value
	case ":authority":
		p.authority = f.Value
	case ":protocol":
		p.protocol = f.Value
	}
}

// host is :authority, or the Host in its place, which has to be the same.
func (p *pseudo) host(fields []hpack.HeaderField) (string, *message.Refusal) {
	host, seen := p.authority, false
	for i := range fields {
		f := &fields[i]
		if f.Name != "host" {
			continue
		}
		if seen || p.authority != "" && !strings.EqualFold(f.Value, p.authority) {
			return "", message.ErrHostMismatch
		}
		seen = true
		if p.authority == "" {
			host = f.Value
		}
	}
	return host, nil
}

// fields adds the lines. Cookies that came apart are one line again (RFC 9113, 8.2.3).
func (e *Engine) fields(x *pdk.Exchange, fields []hpack.HeaderField) (expects bool, length int64) {
	h, cookie := &x.Request.Header, cookies(x, fields)
	length = -1
	for i := range fields {
		f := &fields[i]
		switch f.Name {
		case "host":
			continue
		case "cookie":
			if cookie != "" {
				h.Add(f.Name, cookie)
				x.Request.Bytes += int64(len(f.Name) + len(cookie) + len(": \r\n"))
				cookie = ""
			}
			continue
		case "content-length":
			length = digits(f.Value)
		case "expect":
			if strings.EqualFold(f.Value, "100-continue") {
				expects = true
				continue
			}
		}
		if f.Name[0] != ':' {
			h.Add(f.Name, f.Value)
			x.Request.Bytes += int64(len(f.Name) + len(f.Value) + len(": \r\n"))
		}
	}
	return expects, length
}

// cookies are all cookies in one line.
func cookies(x *pdk.Exchange, fields []hpack.HeaderField) (line string) {
	n, size := 0, 0
	for i := range fields {
		if f := &fields[i]; f.Name == "cookie" && f.Value != "" {
			line = f.Value
			n, size = n+1, size+len(f.Value)+len("; ")
		}
	}
	if n < 2 {
		return line
	}
	b := x.Text.Room(size)
	for i := range fields {
		if f := &fields[i]; f.Name == "cookie" && f.Value != "" {
			if len(b) > 0 {
				b = append(b, "; "...)
			}
			b = append(b, f.Value...)
		}
	}
	return x.Text.Keep(b)
}

// digits reads what h2 has checked.
func digits(s string) (n int64) {
	for i := 0; i < len(s); i++ {
		n = n*10 + int64(s[i]-'0')
	}
	return n
}

// errSlow is as for HTTP/1: the client takes too long with its body.
var errSlow = fmt.Errorf("client is too slow with the request body: %w", os.ErrDeadlineExceeded)

// requestBody is the body of a stream.
type requestBody struct {
	s       *h2.Stream
	trailer *pdk.Header
	timeout time.Duration
	expects bool // the client waits for leave to send it
	ended   bool
}

// Read implements pdk.Body.
func (b *requestBody) Read(p []byte) (int, error) {
	if b.expects {
		b.expects = false
		_ = b.s.WriteInterim(func(add func(name, value string, secret bool)) { add(":status", "100", false) })
	}
	n, err := b.s.Read(p, b.timeout)
	if err == io.EOF && !b.ended { //nolint:errorlint // h2 returns it bare
		b.end()
	}
	if errors.Is(err, h2.ErrTimeout) {
		err = errSlow
	}
	return n, err
}

// Ready tells whether Read would not wait.
func (b *requestBody) Ready() bool { return !b.expects && b.s.Ready() }

// Came tells whether all of the body has come.
func (b *requestBody) Came() bool { return !b.expects && b.s.Came() }

// Whole returns the rest of the body when all of it is there.
func (b *requestBody) Whole() ([]byte, bool) {
	if b.expects {
		return nil, false
	}
	p, ok := b.s.Whole()
	if ok && !b.ended {
		b.end()
	}
	return p, ok
}

func (b *requestBody) end() {
	b.ended = true
	for _, f := range b.s.Trailer() {
		if !message.TrailerRefused(f.Name) {
			b.trailer.Add(f.Name, f.Value)
		}
	}
}

// Close ends a Read that waits.
func (b *requestBody) Close() error {
	b.s.CloseRead()
	return nil
}
