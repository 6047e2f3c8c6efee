package transport_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/transport"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func TestKeepAlive(t *testing.T) {
	const closes = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
	for _, tt := range []struct {
		name, response string
		options        transport.Options
		want           int32 // connections for 4 requests
	}{
		{"kept", ok, transport.Options{}, 1},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", transport.Options{}, 1},
		{"HTTP/1.0 that says so", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", transport.Options{}, 1},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", transport.Options{}, 4},
		{"Connection: close", closes, transport.Options{}, 4},
		{"bytes behind the body", ok + "x", transport.Options{}, 4},
		{"no pool", ok, transport.Options{PoolSize: -1}, 4},
		{"two requests each", ok, transport.Options{MaxRequests: 2}, 2},
		{"no limit", ok, transport.Options{MaxRequests: -1}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := listen(t, always(tt.response))
			e := plain(newTransport(t, tt.options), u.address())
			for range 4 {
				if body, err := get(t, e); err != nil || body != "ok" {
					t.Fatalf("RoundTrip = %q, %v", body, err)
				}
			}
			if n := u.accepted.Load(); n != tt.want {
				t.Errorf("connections = %d, want %d", n, tt.want)
			}
		})
	}
}

// many opens n connections at once, and releases their exchanges in order.
func many(t *testing.T, e *transport.Endpoint, n int) {
	t.Helper()
	var all []*pdk.Exchange
	for range n {
		x := newExchange(nil, 0)
		if err := e.RoundTrip(x, seconds()); err != nil {
			t.Fatal(err)
		}
		readAll(t, x)
		all = append(all, x)
	}
	for _, x := range all {
		x.Reset()
	}
}

func numbering() func(net.Conn, int) {
	return answering(func(_ *http.Request, _ []byte, nth int) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", nth)
	})
}

func TestPoolTakesTheLastOne(t *testing.T) {
	u := listen(t, numbering())
	e := plain(newTransport(t, transport.Options{}), u.address())
	many(t, e, 3)
	for range 3 {
		if body, err := get(t, e); err != nil || body != "3" {
			t.Errorf("connection = %q, %v, want 3", body, err)
		}
	}
}

func TestPoolDropsTheOldest(t *testing.T) {
	u := listen(t, numbering())
	e := plain(newTransport(t, transport.Options{PoolSize: 2}), u.address())
	many(t, e, 3)
	many(t, e, 3) // 3, 2, and a new one
	if n := u.accepted.Load(); n != 4 {
		t.Errorf("connections = %d, want 4", n)
	}
}

func TestUnreadBodyClosesTheConnection(t *testing.T) {
	u := listen(t, always(ok))
	e := plain(newTransport(t, transport.Options{}), u.address())
	x := newExchange(nil, 0)
	if err := e.RoundTrip(x, seconds()); err != nil {
		t.Fatal(err)
	}
	x.Reset()
	if _, err := get(t, e); err != nil {
		t.Fatal(err)
	}
	if n := u.accepted.Load(); n != 2 {
		t.Errorf("connections = %d, want 2", n)
	}
}

func TestStaleConnectionIsReplaced(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		t.Run(method, func(t *testing.T) {
			u := listen(t, func(c net.Conn, nth int) {
				buf := make([]byte, 4096)
				for range 2 {
					if _, err := c.Read(buf); err != nil {
						return
					}
					_, _ = io.WriteString(c, ok)
					if nth == 1 {
						return
					}
				}
			})
			e := plain(newTransport(t, transport.Options{}), u.address())
			if _, err := get(t, e); err != nil {
				t.Fatal(err)
			}
			// The close is seen before anything is sent, so that a POST goes through too.
			time.Sleep(20 * time.Millisecond)
			x := newExchange(nil, 0)
			x.Upstream.Method = method
			if err := e.RoundTrip(x, seconds()); err != nil {
				t.Errorf("RoundTrip = %v", err)
			}
			x.Reset()
			if n := u.accepted.Load(); n != 2 {
				t.Errorf("connections = %d, want 2", n)
			}
		})
	}
}

// An upstream that closes only once it has the second request may have acted on it.
func TestRequestThatWasSentIsRepeatedWhenThatIsSafe(t *testing.T) {
	for _, tt := range []struct {
		method   string
		repeated bool
	}{{"GET", true}, {"PUT", true}, {"DELETE", true}, {"POST", false}, {"PATCH", false}, {"LOCK", false}} {
		t.Run(tt.method, func(t *testing.T) {
			u := listen(t, answering(func(r *http.Request, _ []byte, nth int) string {
				if nth == 1 && r.Header.Get("Second") != "" {
					return ""
				}
				return ok
			}))
			e := plain(newTransport(t, transport.Options{}), u.address())
			if _, err := get(t, e); err != nil {
				t.Fatal(err)
			}
			x := newExchange(nil, 0)
			defer x.Reset()
			x.Upstream.Method = tt.method
			x.Request.Header.Add("Second", "yes")
			err := e.RoundTrip(x, seconds())
			switch {
			case tt.repeated && err != nil:
				t.Errorf("RoundTrip = %v", err)
			case !tt.repeated && (err == nil || err.Kind != transport.ErrRead || !err.Sent):
				t.Errorf("RoundTrip = %+v, want ErrRead with Sent", err)
			}
			if want := map[bool]int32{true: 2, false: 1}[tt.repeated]; u.accepted.Load() != want {
				t.Errorf("connections = %d, want %d", u.accepted.Load(), want)
			}
		})
	}
}

func TestNewConnectionIsNotReplaced(t *testing.T) {
	u := listen(t, answering(func(*http.Request, []byte, int) string { return "" }))
	e := plain(newTransport(t, transport.Options{}), u.address())
	if _, err := get(t, e); err == nil || err.Kind != transport.ErrRead {
		t.Errorf("RoundTrip = %v, want ErrRead", err)
	}
	if n := u.accepted.Load(); n != 1 {
		t.Errorf("connections = %d, want 1", n)
	}
}

func TestSweep(t *testing.T) {
	closed := make(chan struct{}, 1)
	u := listen(t, func(c net.Conn, nth int) {
		always(ok)(c, nth)
		closed <- struct{}{}
	})
	e := plain(newTransport(t, transport.Options{IdleTimeout: 20 * time.Millisecond}), u.address())
	if _, err := get(t, e); err != nil {
		t.Fatal(err)
	}
	select {
	case <-closed:
	case <-t.Context().Done():
	}
	if _, err := get(t, e); err != nil {
		t.Fatal(err)
	}
	if n := u.accepted.Load(); n != 2 {
		t.Errorf("connections = %d, want 2", n)
	}
}

func TestCloseLetsRoundTripsEnd(t *testing.T) {
	closed := make(chan struct{}, 1)
	u := listen(t, func(c net.Conn, nth int) {
		always(ok)(c, nth)
		closed <- struct{}{}
	})
	tr := transport.New(transport.Options{})
	e := plain(tr, u.address())
	x := newExchange(nil, 0)
	if err := e.RoundTrip(x, seconds()); err != nil {
		t.Fatal(err)
	}
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	if body := readAll(t, x); body != "ok" {
		t.Errorf("body = %q", body)
	}
	x.Reset()
	<-closed // not kept
	if tr.Endpoint(e.Key(), nil) == nil {
		t.Error("no endpoint after Close")
	}
}

func TestEndpointOfEqualKeys(t *testing.T) {
	tr := newTransport(t, transport.Options{})
	k := transport.EndpointKey{Network: "tcp", Address: "127.0.0.1:1", Protocol: transport.HTTP1}
	a := tr.Endpoint(k, nil)
	if tr.Endpoint(k, nil) != a {
		t.Error("equal keys give two endpoints")
	}
	k.TLS = true
	if tr.Endpoint(k, nil) == a {
		t.Error("different keys give the same endpoint")
	}
	if a.Key().TLS {
		t.Error("Key() is not what was asked for")
	}
}
