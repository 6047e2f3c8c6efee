//go:build !race

package http1_test

import (
	"crypto/tls"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/server/http1"
	"github.com/sluice-gateway/sluice/shared/tlsutil"
)

// TestIdleConnectionsAreSmall holds what a connection costs in the heap and on stacks that
// waits for its next request. Both of its sides are in this process, so that the client's
// is part of it.
func TestIdleConnectionsAreSmall(t *testing.T) {
	cert, key, err := tlsutil.Generate("h", time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		secure bool
		limit  uint64 // bytes
	}{{"plain", false, 8 << 10}, {"TLS, with both of its sides", true, 32 << 10}} {
		t.Run(test.name, func(t *testing.T) {
			const n = 200
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			if test.secure {
				l = tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}})
			}
			e := serve(t, l, http1.Options{Handler: handler(echo)})
			clients := make([]net.Conn, 0, n)
			buf := make([]byte, 4096)
			ask := func() {
				nc, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = nc.Close() })
				if test.secure {
					nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true, SessionTicketsDisabled: true}) //nolint:gosec // the test's own
				}
				if _, err := nc.Write([]byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n")); err != nil {
					t.Fatal(err)
				}
				if _, err := nc.Read(buf); err != nil {
					t.Fatal(err)
				}
				clients = append(clients, nc)
			}
			for range 10 {
				ask()
			}
			before := used(t, e, 10)
			for range n {
				ask()
			}
			each := (used(t, e, n+10) - before) / n
			t.Logf("%d bytes a connection", each)
			if each > test.limit {
				t.Errorf("%d bytes a connection, want at most %d", each, test.limit)
			}
			runtime.KeepAlive(clients)
		})
	}
}

// used is the memory in use once n connections wait.
func used(t *testing.T, e *http1.Engine, n int) uint64 {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); e.Connections().Waiting != n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("connections: %+v, want %d that wait", e.Connections(), n)
		}
	}
	for range 3 { // pools are emptied by the second
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
