package http2

import (
	"bufio"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // as RFC 6455 says
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/message"
	_ "github.com/sluice-gateway/sluice/dataplane/internal/server/http2/connect" // before net/http
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// protocolField is where the standard library puts the pseudo-header :protocol.
const protocolField = ":protocol"

// extended tells whether a request is an extended CONNECT, and refuses those that are for
// another protocol than WebSocket.
func extended(r *http.Request) (bool, *message.Refusal) {
	protocol, ok := r.Header[protocolField]
	switch {
	case !ok:
		return false, nil
	case r.Method != http.MethodConnect || len(protocol) != 1 || protocol[0] != "websocket":
		return false, message.ErrMethodRefused
	}
	return true, nil
}

// opening makes an extended CONNECT what it is in HTTP/1.1: an upgrade of a GET, which is
// what routes, plugins and the upstream see. The key is ours: in HTTP/2 there is none, and
// the upstream's proof of it goes no further.
func opening(q *pdk.Request) (key string) {
	q.WebSocket, q.ContentLength, q.Body = true, 0, nil
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	key = base64.StdEncoding.EncodeToString(random[:])
	q.Header.Add("Upgrade", "websocket")
	q.Header.Set("Sec-WebSocket-Key", key)
	return key
}

// proof is what the upstream makes of the key (RFC 6455, 4.2.2).
func proof(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // as the RFC says
	return base64.StdEncoding.EncodeToString(sum[:])
}

var (
	errNoHijack = errors.New("a stream of HTTP/2 can not be handed over")
	errProof    = errors.New("upstream does not prove that it speaks WebSocket")
)

// Hijack implements proxy.Responder: the 101 becomes a 200, and the stream goes on as a
// connection.
func (r *responder) Hijack(x *pdk.Exchange) (_ net.Conn, _ *bufio.Reader, err error) {
	defer func() { r.broken = r.broken || err != nil }()
	switch {
	case r.body == nil:
		return nil, nil, errNoHijack
	case x.Response.Header.Get("Sec-WebSocket-Accept") != proof(r.key):
		return nil, nil, errProof
	}
	h := r.w.Header()
	h["Content-Type"] = nil
	for _, f := range x.Response.Header.Fields() {
		if hop(f.Name) || pdk.EqualFold(f.Name, "Sec-WebSocket-Accept") || pdk.EqualFold(f.Name, "Content-Length") {
			continue
		}
		add(h, &f)
	}
	r.deadline()
	r.w.WriteHeader(http.StatusOK)
	x.Response.HeadSent = true
	if err := r.control.Flush(); err != nil {
		return nil, nil, err
	}
	return &stream{r: r, peer: x.Request.Peer, local: x.Request.Local}, nil, nil
}

// stream is a stream as a connection. A read is not bounded in time: the other side of the
// tunnel finds out when nothing moves, and closes both.
type stream struct {
	r           *responder
	peer, local netip.AddrPort
	closing     sync.Once
}

var _ net.Conn = (*stream)(nil)

// Read implements net.Conn.
func (s *stream) Read(p []byte) (int, error) { return s.r.body.Read(p) }

// Write implements net.Conn.
func (s *stream) Write(p []byte) (int, error) {
	n, err := s.r.w.Write(p)
	if err == nil {
		err = s.r.control.Flush()
	}
	return n, err
}

// Close ends a Read that waits. The stream ends when the request's handler returns.
func (s *stream) Close() (err error) {
	s.closing.Do(func() { err = s.r.body.Close() })
	return err
}

// LocalAddr implements net.Conn.
func (s *stream) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(s.local) }

// RemoteAddr implements net.Conn.
func (s *stream) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(s.peer) }

// SetDeadline implements net.Conn.
func (s *stream) SetDeadline(t time.Time) error { return s.SetWriteDeadline(t) }

// SetReadDeadline implements net.Conn, and does nothing: the library's deadline would end
// reading for good.
func (s *stream) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (s *stream) SetWriteDeadline(t time.Time) error {
	if err := s.r.control.SetWriteDeadline(t); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}
