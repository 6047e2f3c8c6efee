package transport_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/dataplane/internal/transport"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// upstream is a server that does what a test says with each connection.
type upstream struct {
	t        *testing.T
	ln       net.Listener
	accepted atomic.Int32
	wait     sync.WaitGroup
	mu       sync.Mutex
	conns    []net.Conn
}

func listen(t *testing.T, handle func(c net.Conn, nth int)) *upstream {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, ln, handle)
}

func serve(t *testing.T, ln net.Listener, handle func(c net.Conn, nth int)) *upstream {
	u := &upstream{t: t, ln: ln}
	u.wait.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			nth := int(u.accepted.Add(1))
			u.mu.Lock()
			u.conns = append(u.conns, c)
			u.mu.Unlock()
			u.wait.Go(func() {
				defer func() { _ = c.Close() }()
				handle(c, nth)
			})
		}
	})
	t.Cleanup(u.close)
	return u
}

func (u *upstream) close() {
	_ = u.ln.Close()
	u.mu.Lock()
	for _, c := range u.conns {
		_ = c.Close()
	}
	u.mu.Unlock()
	u.wait.Wait()
}

func (u *upstream) address() string { return u.ln.Addr().String() }

// answering reads requests, with their bodies, and answers each with what respond gives.
// "" closes the connection.
func answering(respond func(r *http.Request, body []byte, nth int) string) func(net.Conn, int) {
	return func(c net.Conn, nth int) {
		br := bufio.NewReader(c)
		for {
			r, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			s := respond(r, body, nth)
			if s == "" {
				return
			}
			if _, err := io.WriteString(c, s); err != nil {
				return
			}
		}
	}
}

func always(response string) func(net.Conn, int) {
	return answering(func(*http.Request, []byte, int) string { return response })
}

// newTransport makes a transport that the test closes.
func newTransport(t testing.TB, o transport.Options) *transport.Transport {
	t.Helper()
	tr := transport.New(o)
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return tr
}

func plain(tr *transport.Transport, address string) *transport.Endpoint {
	return tr.Endpoint(transport.EndpointKey{Network: "tcp", Address: address, Protocol: transport.HTTP1}, nil)
}

// newExchange makes an exchange for GET /, or for POST / with a body.
func newExchange(body pdk.Body, length int64) *pdk.Exchange {
	x := new(pdk.Exchange)
	begin(x, body, length)
	return x
}

func begin(x *pdk.Exchange, body pdk.Body, length int64) {
	x.Request.Method, x.Request.Proto = "GET", 11
	if body != nil {
		x.Request.Method = "POST"
	}
	x.Request.Body, x.Request.ContentLength = body, length
	x.Upstream.Method, x.Upstream.Path, x.Upstream.HostHeader = x.Request.Method, "/", "example.test"
}

// reader is a body of which nothing is in memory.
type reader struct{ r io.Reader }

func (r *reader) Read(p []byte) (int, error) { return r.r.Read(p) }

func seconds() *transport.Call {
	return &transport.Call{Timeouts: transport.Timeouts{Connect: 5 * time.Second, Write: 5 * time.Second, Read: 5 * time.Second}}
}

// get sends a GET, and returns the body of the response and the error.
func get(t testing.TB, e *transport.Endpoint) (string, *transport.Error) {
	t.Helper()
	x := newExchange(nil, 0)
	defer x.Reset()
	if err := e.RoundTrip(x, seconds()); err != nil {
		return "", err
	}
	return readAll(t, x), nil
}

func readAll(t testing.TB, x *pdk.Exchange) string {
	t.Helper()
	if x.Response.Body == nil {
		return ""
	}
	b, err := io.ReadAll(x.Response.Body)
	if err != nil {
		t.Errorf("read response body: %v", err)
	}
	return string(b)
}
