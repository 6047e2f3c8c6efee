package http2

import (
	"bufio"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // as RFC 6455 says
	"encoding/base64"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/h2"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

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
func (r *responder) Hijack(x *pdk.Exchange) (net.Conn, *bufio.Reader, error) {
	switch {
	case r.body == nil:
		return nil, nil, errNoHijack
	case x.Response.Header.Get("Sec-WebSocket-Accept") != proof(r.key):
		return nil, nil, errProof
	}
	skip := func(name string) bool { return isLength(name) || pdk.EqualFold(name, "Sec-WebSocket-Accept") }
	if err := r.s.WriteHead(fields(200, &x.Response.Header, -1, skip, &x.Response.Bytes), false); err != nil {
		return nil, nil, err
	}
	x.Response.HeadSent = true
	r.s.Flush()
	return &stream{r: r, peer: x.Request.Peer, local: x.Request.Local}, nil, nil
}

// stream is a stream as a connection.
type stream struct {
	r           *responder
	peer, local netip.AddrPort
	// until and by are when reading and writing gives up, nanoseconds since the epoch.
	until, by atomic.Int64
}

var _ net.Conn = (*stream)(nil)

// left is the time to a deadline, 0 for none; ok is false when it is over.
func left(deadline int64) (d time.Duration, ok bool) {
	if deadline == 0 {
		return 0, true
	}
	d = time.Until(time.Unix(0, deadline))
	return d, d > 0
}

// Read implements net.Conn.
func (s *stream) Read(p []byte) (int, error) {
	limit, ok := left(s.until.Load())
	if !ok {
		return 0, os.ErrDeadlineExceeded
	}
	n, err := s.r.body.s.Read(p, limit)
	if errors.Is(err, h2.ErrTimeout) {
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

// Write implements net.Conn.
func (s *stream) Write(p []byte) (int, error) {
	limit, ok := left(s.by.Load())
	if !ok {
		return 0, os.ErrDeadlineExceeded
	}
	n, err := s.r.s.Write(p, false, limit)
	if errors.Is(err, h2.ErrStalled) {
		err = os.ErrDeadlineExceeded
	}
	s.r.s.Flush()
	return n, err
}

// CloseWrite ends our side.
func (s *stream) CloseWrite() error {
	s.r.ended = true
	_, err := s.r.s.Write(nil, true, 0)
	return err
}

// Close ends both sides: what waits returns.
func (s *stream) Close() error {
	err := s.CloseWrite()
	s.r.s.CloseRead()
	if errors.Is(err, h2.ErrEnded) {
		err = nil
	}
	return err
}

// LocalAddr implements net.Conn.
func (s *stream) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(s.local) }

// RemoteAddr implements net.Conn.
func (s *stream) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(s.peer) }

// SetDeadline implements net.Conn.
func (s *stream) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn. It counts for the next Read.
func (s *stream) SetReadDeadline(t time.Time) error {
	s.until.Store(nanos(t))
	return nil
}

// SetWriteDeadline implements net.Conn. It counts for the next Write.
func (s *stream) SetWriteDeadline(t time.Time) error {
	s.by.Store(nanos(t))
	return nil
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}
