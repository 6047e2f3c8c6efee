//go:build !race

package proxy_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// TestRequestsNeedLittleStack holds that a plain request is handled within 4 KiB: an idle
// connection keeps the stack that its largest request needed. A test that fails has met a
// function with a large frame, on the path of each request, which should keep what is rare
// in functions of their own.
func TestRequestsNeedLittleStack(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") }))
	defer up.Close()
	g := newGateway(t, nil)
	g.serve(
		g.change("services", schema.Object{"id": serviceID, "url": up.URL}),
		g.change("routes", schema.Object{"id": routeID, "paths": []any{"/"}, "service": schema.Object{"id": serviceID}}),
	)
	const count = 500
	// Stacks shrink when garbage is collected: what they were is looked for.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	stacks := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.StackInuse
	}
	before := stacks()
	buf := make([]byte, 4<<10)
	for range count {
		nc, err := net.Dial("tcp", g.address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = nc.Close() }()
		_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(nc, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if n, err := nc.Read(buf); err != nil || string(buf[:12]) != "HTTP/1.1 200" {
			t.Fatalf("got %q, %v", buf[:n], err)
		}
	}
	if each := (stacks() - before) / count; each > 5<<10 {
		t.Errorf("a connection has %d bytes of stack", each)
	} else {
		t.Logf("a connection has %d bytes of stack", each)
	}
}
