package proxy_test

import (
	"testing"

	"github.com/sluice-gateway/sluice/dataplane/internal/proxy"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// TestErrorTemplates holds that templates of errors are for what could not be read as a
// request, for what has no route and for what an upstream does not answer.
func TestErrorTemplates(t *testing.T) {
	var templates pdk.ErrorTemplates
	if err := templates.Set(pdk.ErrorHTML, "<p>%s</p><i>%s</i>"); err != nil {
		t.Fatal(err)
	}
	g := newGateway(t, func(o *proxy.Options) { o.Errors, o.ErrorType = &templates, pdk.ErrorHTML })
	dead := newFailing(t, "ok")
	dead.kill()
	g.serve(
		g.change("services", schema.Object{"id": serviceID, "url": "http://" + dead.address(), "retries": 0}),
		g.change("routes", schema.Object{"id": routeID, "paths": []any{"/dead"}, "service": schema.Object{"id": serviceID}}),
	)
	for _, tt := range []struct {
		text, message string
		status        int
	}{
		{"GET / HTTP/1.1\r\nHost : h\r\n\r\n", "Bad request", 400},
		{"GET /none HTTP/1.1\r\nHost: h\r\nAccept: text/html\r\nConnection: close\r\n\r\n", "no Route matched with those values", 404},
		{"GET /dead HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "An invalid response was received from the upstream server", 502},
	} {
		r := g.do(tt.text)
		if want := "<p>" + tt.message + "</p><i>" + r.Header.Get("X-Kong-Request-Id") + "</i>"; r.StatusCode != tt.status || r.body != want {
			t.Errorf("%q: %d %q, want %d %q", tt.text, r.StatusCode, r.body, tt.status, want)
		}
	}
}
