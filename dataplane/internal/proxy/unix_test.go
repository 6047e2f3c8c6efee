package proxy_test

import (
	"bufio"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/sluice-gateway/sluice/dataplane/internal/proxy"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// nobody takes responses of exchanges that were not read from a connection.
type nobody struct{ status int }

func (n *nobody) Send(x *pdk.Exchange, _ func([]byte, bool) ([]byte, error)) error {
	n.status = x.Response.Status
	return nil
}
func (n *nobody) Informational(int, *pdk.Header) error { return nil }
func (n *nobody) Hijack(*pdk.Exchange) (net.Conn, *bufio.Reader, error) {
	return nil, nil, net.ErrClosed
}

// TestForwardedPort holds which port the upstream is told of: none for a client on a unix
// socket, and the one that clients use where it is another than the listener's.
func TestForwardedPort(t *testing.T) {
	seen := make(chan http.Header, 1)
	up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header }))
	defer up.Close()
	g := newGateway(t, func(o *proxy.Options) { o.Ports = map[uint16]uint16{8443: 443} })
	g.serve(
		g.change("services", schema.Object{"id": serviceID, "url": up.URL}),
		g.change("routes", schema.Object{"id": routeID, "paths": []any{"/"}, "service": schema.Object{"id": serviceID}}),
	)
	for port, want := range map[uint16]string{0: "", 8000: "8000", 8443: "443"} {
		var x pdk.Exchange
		local := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
		x.Request = pdk.Request{Method: "GET", Host: "h", RawPath: "/", Scheme: "http", Proto: 11, Peer: local, Local: local}
		x.Request.Header.Add("X-Forwarded-Port", "7")
		var r nobody
		g.proxy.Serve(&x, &r)
		x.Reset()
		if got := received(t, seen).Get("X-Forwarded-Port"); got != want || r.status != 200 {
			t.Errorf("status %d, X-Forwarded-Port %q, want %q", r.status, got, want)
		}
	}
}
