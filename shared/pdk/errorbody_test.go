package pdk_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/referencetest"
)

func TestFailAsRecorded(t *testing.T) {
	n := 0
	for _, e := range referencetest.Exchanges(t, "proxy.jsonl") {
		if e.Group != "errors" || e.Response == nil || e.Response.Status < 400 || header(e.Response.Headers, "X-Kong-Request-Id") == "" {
			continue
		}
		text, form := "", pdk.ErrorJSON
		switch status := e.Response.Status; {
		case status == 404:
			text = "no Route matched with those values"
		case status == 502 || status == 504:
			form = pdk.ErrorText
		case strings.Contains(e.Request.Path, "dnsfail"):
			text = "name resolution failed"
		case strings.Contains(e.Request.Path, "emptyup"):
			text = "failure to get a peer from the ring-balancer"
		}
		if up := header(e.Request.Headers, "x-up"); strings.Contains(up, "status") {
			continue // the upstream's own error
		}
		x := &pdk.Exchange{ID: header(e.Response.Headers, "X-Kong-Request-Id")}
		x.Request.Method, x.Request.Proto = e.Request.Method, 11
		for _, h := range e.Request.Headers {
			x.Request.Header.Add(h[0], h[1])
		}
		if err := x.FailWithDefault(e.Response.Status, text, form); err != nil {
			t.Fatal(err)
		}
		n++
		if got, want := x.Response.Header.Get("Content-Type"), header(e.Response.Headers, "Content-Type"); got != want {
			t.Errorf("%d: got content type %q, want %q", e.N, got, want)
		}
		if diff := cmp.Diff(e.Response.Body, string(x.Response.Buffered)); diff != "" && e.Request.Method != "HEAD" {
			t.Errorf("%d: body (-recorded +got):\n%s", e.N, diff)
		}
	}
	if n < 30 {
		t.Errorf("compared %d exchanges only", n)
	}
}

func header(lines [][2]string, name string) string {
	for _, l := range lines {
		if pdk.EqualFold(l[0], name) {
			return l[1]
		}
	}
	return ""
}

func TestFailOfGRPC(t *testing.T) {
	for _, test := range []struct {
		name         string
		end          func(x *pdk.Exchange) error
		status, text string
	}{
		{"fail", func(x *pdk.Exchange) error { return x.Fail(429, "") }, "8", "Too many requests"},
		{"exit", func(x *pdk.Exchange) error { return x.Exit(401, "50% é") }, "16", "50%25 %C3%A9"},
		{"unknown", func(x *pdk.Exchange) error { return x.Fail(418, "") }, "2", "The upstream server responded with 418"},
	} {
		t.Run(test.name, func(t *testing.T) {
			x := new(pdk.Exchange)
			x.Request.Proto = 20
			x.Request.Header.Add("Content-Type", "application/grpc+proto")
			if err := test.end(x); err != nil {
				t.Fatal(err)
			}
			got := []string{x.Response.Header.Get("grpc-status"), x.Response.Header.Get("grpc-message")}
			if diff := cmp.Diff([]string{test.status, test.text}, got); diff != "" || x.Response.Status != 200 || !x.Exited() {
				t.Errorf("status %d, exited %v: %s", x.Response.Status, x.Exited(), diff)
			}
		})
	}
}

func TestErrorsEscape(t *testing.T) {
	for accept, want := range map[string]string{
		"application/json":          "{\n  \"message\":\"<a> & \\\"b\\\"\\n\\u0001\",\n  \"request_id\":\"id\"\n}",
		"application/xml;q=0.5":     "&lt;a&gt; &amp; \"b\"",
		"text/html; charset=u; q=1": "&lt;a&gt; &amp; \"b\"",
		"text/html;q=x":             "{\n",
	} {
		x := &pdk.Exchange{ID: "id"}
		x.Request.Header.Add("Accept", accept)
		if err := x.Fail(400, "<a> & \"b\"\n\x01"); err != nil {
			t.Fatal(err)
		}
		if got := string(x.Response.Buffered); !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q in it", accept, got, want)
		}
	}
	for media, ok := range map[string]bool{"text/plain": true, "text/html": true, "application/json": true, "application/xml": true, "application/grpc": true, "image/png": false} {
		if _, got := pdk.ParseErrorType(media); got != ok {
			t.Errorf("%s: got %v", media, got)
		}
	}
}

func TestFailDoesNotAllocate(t *testing.T) {
	x := new(pdk.Exchange)
	n := testing.AllocsPerRun(100, func() {
		_ = x.Fail(429, "API rate limit exceeded")
		x.Reset()
		_ = x.Exit(404, "Not found")
		x.Reset()
	})
	if n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}
