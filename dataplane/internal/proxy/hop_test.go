package proxy_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// TestConnectionOptions holds that a client may name fields of its own as those of its
// connection, which do not go on, but not take away what plugins tell of it.
func TestConnectionOptions(t *testing.T) {
	seen := make(chan http.Header, 1)
	up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header }))
	defer up.Close()
	g := newGateway(t, nil)
	g.serve(
		g.change("services", schema.Object{"id": serviceID, "url": up.URL}),
		g.change("routes", schema.Object{"id": routeID, "paths": []any{"/"}, "service": schema.Object{"id": serviceID}}),
		g.change("plugins", schema.Object{"id": "00000003-0000-4000-8000-000000000001", "name": "request-transformer", "config": schema.Object{
			"add": schema.Object{"headers": []any{"X-Anonymous-Consumer:true", "X-Consumer-Username:nobody", "X-Credential-Identifier:none"}},
		}}),
	)
	r := g.do("POST / HTTP/1.1\r\nHost: h\r\nX-Mine: 1\r\nX-Other: 2\r\nContent-Length: 1\r\n" +
		"Connection: close, X-Mine, X-Anonymous-Consumer, x-consumer-username, Content-Length, Host, X-Forwarded-For, Via\r\nConnection: x-credential-identifier, X-Kong-Request-Id\r\n\r\nx")
	got := received(t, seen)
	for name, want := range map[string]string{
		"X-Mine": "", "X-Other": "2", "Content-Length": "1", "X-Anonymous-Consumer": "true", "X-Consumer-Username": "nobody", "X-Credential-Identifier": "none",
		"X-Forwarded-For": "127.0.0.1", "Via": "1.1 sluice/test", "X-Kong-Request-Id": r.Header.Get("X-Kong-Request-Id"),
	} {
		if got.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.Get(name), want)
		}
	}
}
