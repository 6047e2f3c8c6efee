package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/shared/referencetest"
)

// expressionAnswers are what the recorded calls to the proxy must lead to, as Kong's
// router works them out: the route by its name, and the path that the upstream gets; ""
// is no route. Their answers were not recorded.
var expressionAnswers = map[int][2]string{
	27: {"x1", "/a"}, 28: {"x2", "/1"}, 29: {"x3", "/zzz"}, 30: {}, 31: {"x4", "/"}, 32: {}, 33: {"x5", "/q?q=1"}, 34: {}, 35: {},
	36: {"x5", "/q"}, 37: {"x5", "/q"}, 38: {"x6", "/x"}, 39: {"x7", "/"}, 40: {"x8", "/seg/x"}, 41: {},
	42: {"x9", "/end"}, // a suffix is what strip_path takes off the start
	43: {},
}

// TestExpressionsReplay sends what was recorded with router_flavor expressions.
func TestExpressionsReplay(t *testing.T) {
	exchanges := referencetest.Exchanges(t, "expressions.jsonl")
	flavor := []string{"--router_flavor", "expressions"}
	c := newCluster(t, 0, flavor...)
	n := c.addNode(append(flavor, "--allow_debug_header", "on")...)
	up := referencetest.NewUpstream(t, 28900)
	port := port(n.base)
	ours := strings.NewReplacer("127.0.0.1:28900", up.Address(), "28000", port)
	for i := range exchanges {
		e := &exchanges[i]
		var with headers
		for _, h := range e.Request.Headers {
			if h[0] != "Content-Length" {
				with = append(with, h[0], ours.Replace(h[1]))
			}
		}
		body := any(ours.Replace(e.Request.Body))
		if body == "" {
			body = nil
		}
		if e.Target == "admin" {
			with = append(with, "X-Sluice-Wait", "all")
			got := c.try(e.Request.Method, e.Request.Path, body, with)
			if got.status != e.Response.Status {
				t.Errorf("%d %s %s: %d %s, recorded %d", e.N, e.Request.Method, e.Request.Path, got.status, got.body, e.Response.Status)
			}
			continue
		}
		want, known := expressionAnswers[e.N]
		if !known {
			t.Fatalf("nobody says what %d must lead to", e.N)
		}
		c.explains(e, with, want)
		got := n.try(e.Request.Method, e.Request.Path, body, append(with, "Kong-Debug", "1"))
		if want[0] == "" {
			if got.status != 404 || got.text("message") != "no Route matched with those values" {
				t.Errorf("%d %s: %d %s, want no route", e.N, e.Request.Path, got.status, got.body)
			}
			continue
		}
		var echo struct {
			URL     string
			Headers [][2]string
		}
		if err := json.Unmarshal(got.body, &echo); err != nil || got.header.Get("Kong-Route-Name") != want[0] || echo.URL != want[1] {
			t.Errorf("%d %s: %d %s, want %s with %s", e.N, e.Request.Path, got.status, got.body, want[0], want[1])
		}
		if e.N == 42 && !slices.Contains(echo.Headers, [2]string{"X-Forwarded-Prefix", "/end"}) {
			t.Errorf("%d: %v", e.N, echo.Headers)
		}
	}
}

// explains holds that the Admin API explains what the node does.
func (c *cluster) explains(e *referencetest.Exchange, with headers, want [2]string) {
	c.t.Helper()
	lines := map[string][]string{}
	for i := 0; i < len(with); i += 2 {
		lines[with[i]] = append(lines[with[i]], with[i+1])
	}
	got := c.must("POST", "/routes/explain", object{"method": e.Request.Method, "path": e.Request.Path, "headers": lines}, 200)
	var told struct {
		Route    *struct{ Name string }
		Upstream *struct{ Path string }
		Node     struct{ ID string }
	}
	if err := json.Unmarshal(got.body, &told); err != nil {
		c.t.Fatal(err)
	}
	if want[0] == "" {
		if told.Route != nil {
			c.t.Errorf("%d: explained as %s", e.N, got.body)
		}
		return
	}
	if told.Route == nil || told.Route.Name != want[0] || told.Upstream == nil || told.Upstream.Path != want[1] || told.Node.ID == "" {
		c.t.Errorf("%d: explained as %s, want %v", e.N, got.body, want)
	}
}
