package e2e

import (
	"crypto/tls"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// Point 4: what goes to the upstream, what comes back, and what fails how.
func TestWalkProxy(t *testing.T) {
	c := newCluster(t, 1)
	n := c.nodes[0]
	bin := httpbin(t)
	up := newEcho(t, "echo")
	c.serve("example", bin, "/mock")
	c.serve("echo", up.URL, "/echo")

	anything := n.get("/mock/anything?a=1")
	if got := anything.text("url"); !strings.HasSuffix(got, "/anything?a=1") {
		t.Errorf("url at the upstream = %q, want one that ends in /anything?a=1", got)
	}
	answer := n.get("/echo/x?q=1", headers{"X-Mine", "yes", "Host", "shop.test"})
	for name, want := range map[string]string{
		"Via": `^1\.1 sluice/\d`, "X-Kong-Upstream-Latency": `^\d+$`, "X-Kong-Proxy-Latency": `^\d+$`, "X-Kong-Request-Id": `^[0-9a-f]{32}$`,
	} {
		if got := answer.header.Get(name); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("header %s = %q, want %s", name, got, want)
		}
	}
	port := n.base[strings.LastIndex(n.base, ":")+1:]
	got := answer.echoed(t)
	if got.URL != "/x?q=1" || got.Host != up.address() {
		t.Errorf("the upstream got %s for host %s", got.URL, got.Host)
	}
	for name, want := range map[string]string{
		"X-Mine": "yes", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "shop.test",
		"X-Forwarded-Port": port, "X-Forwarded-Path": "/echo/x", "X-Forwarded-Prefix": "/echo", "X-Real-Ip": "127.0.0.1",
		"Via": answer.header.Get("Via"), "X-Kong-Request-Id": answer.header.Get("X-Kong-Request-Id"),
	} {
		if values := got.Headers[name]; len(values) != 1 || values[0] != want {
			t.Errorf("the upstream got %s: %q, want %q once", name, values, want)
		}
	}
	body := strings.Repeat("sluice ", 100_000)
	if sent := n.must("POST", "/echo", body, 200).echoed(t); sent.Method != "POST" || sent.Body != body {
		t.Errorf("the upstream got %s with %d bytes, want POST with %d", sent.Method, len(sent.Body), len(body))
	}
	if r := n.try("HEAD", "/echo", nil); r.is(200) != nil || len(r.body) > 0 {
		t.Errorf("HEAD: %v, %d bytes", r.is(200), len(r.body))
	}
	none := n.must("GET", "/nothing", nil, 404)
	if none.text("message") != "no Route matched with those values" || none.text("request_id") != none.header.Get("X-Kong-Request-Id") {
		t.Errorf("no route: %s", none.body)
	}
	if none.header.Get("X-Kong-Response-Latency") == "" || !strings.HasPrefix(none.header.Get("Server"), "sluice/") || none.header.Get("Via") != "" {
		t.Errorf("headers of an answer of our own: %v", none.header)
	}

	c.must("POST", "/services", form("name", "dead", "url", "http://"+deadAddress(t), "retries", "1"), 201)
	c.must("POST", "/services/dead/routes", form("paths[]", "/dead"), 201)
	n.serves("/dead")
	if got := n.must("GET", "/dead", nil, 502, headers{"Accept", "application/json"}).text("message"); got != "An invalid response was received from the upstream server" {
		t.Errorf("refused: %q", got)
	}
	c.must("POST", "/services", form("name", "slow", "url", bin, "read_timeout", "100"), 201)
	c.must("POST", "/services/slow/routes", form("paths[]", "/slow"), 201)
	n.serves("/slow/get")
	if got := n.must("GET", "/slow/delay/2", nil, 504, headers{"Accept", "application/json"}).text("message"); got != "The upstream server is timing out" {
		t.Errorf("slow: %q", got)
	}
	c.must("POST", "/services", form("name", "nameless", "url", "http://no-such-host.invalid"), 201)
	c.must("POST", "/services/nameless/routes", form("paths[]", "/nameless"), 201)
	n.serves("/nameless")
	if got := n.must("GET", "/nameless", nil, 503).text("message"); got != "name resolution failed" {
		t.Errorf("unknown name: %q", got)
	}

	// Over TLS, with the certificate that the node made for itself, HTTP/1.1 and 2.
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		transport := &http.Transport{
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: protocol == "HTTP/2.0", DisableKeepAlives: true,
		}
		r, err := (&http.Client{Transport: transport}).Get("https://" + n.tls + "/echo/tls")
		if err != nil {
			t.Errorf("%s: %v", protocol, err)
			continue
		}
		data, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil || r.StatusCode != 200 || r.Proto != protocol || !strings.Contains(string(data), `"X-Forwarded-Proto":["https"]`) {
			t.Errorf("%s: status %d with %s, %v: %s", protocol, r.StatusCode, r.Proto, err, data)
		}
	}
}
