package e2e

import (
	"fmt"
	"strconv"
	"testing"
	"time"
)

// inFreshMinute waits when the minute is about to end, so that a counter is not
// reset between two calls.
func inFreshMinute(t *testing.T) {
	t.Helper()
	left := 60 - time.Now().Second()
	if left > 10 {
		return
	}
	time.Sleep(time.Until(time.Now().Truncate(time.Minute).Add(time.Minute + 100*time.Millisecond)))
}

// spend calls until the answer is 429 and returns how many came through.
func spend(t *testing.T, n *node, path string, with ...headers) int {
	t.Helper()
	for calls := range 50 {
		r := n.try("GET", path, nil, with...)
		switch {
		case r.err != nil:
			t.Fatal(r.err)
		case r.status == 429:
			return calls
		case r.status != 200:
			t.Fatalf("GET %s: %d %s", path, r.status, r.body)
		}
	}
	t.Fatalf("GET %s is not limited", path)
	return 0
}

// applied waits until a header of the answer shows that a plugin works, or does
// not any more with want "".
func (n *node) applied(path, header, want string, with ...headers) {
	n.program.t.Helper()
	eventually(n.program.t, soon, func() error {
		r := n.try("HEAD", path, nil, with...)
		if r.err != nil {
			return r.err
		}
		if got := r.header.Get(header); got != want {
			return fmt.Errorf("%s of %s is %q, want %q", header, path, got, want)
		}
		return nil
	}, n.program)
}

// Point 5: rate-limiting globally, per service, per route and per consumer.
func TestWalkRateLimiting(t *testing.T) {
	c := newCluster(t, 1)
	n := c.nodes[0]
	up := newEcho(t, "up")
	for _, name := range []string{"one", "two"} {
		c.serve(name, up.URL, "/"+name)
	}
	limit := func(path, minute string) string {
		t.Helper()
		return c.must("POST", path, form("name", "rate-limiting", "config.minute", minute, "config.policy", "local", "config.limit_by", "ip"), 201).text("id")
	}
	inFreshMinute(t)
	// The config that a limit is counted for is told apart by its number, and the HEAD
	// that waits for it counts too.
	global := limit("/plugins", "5")
	n.applied("/two", "X-RateLimit-Limit-Minute", "5")
	limit("/services/one/plugins", "4")
	n.applied("/one", "X-RateLimit-Limit-Minute", "4")
	limit("/routes/one/plugins", "3")
	n.applied("/one", "X-RateLimit-Limit-Minute", "3")
	if got := spend(t, n, "/one"); got > 2 {
		t.Errorf("%d more calls came through on the route, want at most 2", got)
	}
	blocked := n.must("GET", "/one", nil, 429)
	if blocked.text("message") != "API rate limit exceeded" {
		t.Errorf("429: %s", blocked.body)
	}
	for name, want := range map[string]string{"RateLimit-Limit": "3", "RateLimit-Remaining": "0", "X-RateLimit-Remaining-Minute": "0"} {
		if got := blocked.header.Get(name); got != want {
			t.Errorf("429: header %s = %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"Retry-After", "RateLimit-Reset"} {
		if seconds, err := strconv.Atoi(blocked.header.Get(name)); err != nil || seconds < 1 || seconds > 60 {
			t.Errorf("429: header %s = %q", name, blocked.header.Get(name))
		}
	}
	// The service's own limit is untouched by what another scope counted.
	if got := spend(t, n, "/two"); got > 4 {
		t.Errorf("%d more calls came through globally, want at most 4", got)
	}
	// A consumer's limit wins over all of them.
	c.must("POST", "/consumers", form("username", "jo"), 201)
	c.must("POST", "/consumers/jo/key-auth", form("key", "jo-key"), 201)
	c.must("POST", "/services/two/plugins", form("name", "key-auth"), 201)
	c.must("POST", "/consumers/jo/plugins", form("name", "rate-limiting", "config.minute", "7"), 201)
	n.applied("/two", "X-RateLimit-Limit-Minute", "7", headers{"apikey", "jo-key"})
	c.must("PATCH", "/plugins/"+global, form("enabled", "false"), 200)
	for _, bad := range []any{
		form("name", "rate-limiting"), form("name", "rate-limiting", "config.minute", "x"),
		form("name", "rate-limiting", "config.minute", "1", "config.policy", "moon"), form("name", "no-such-plugin"),
	} {
		if got := c.must("POST", "/plugins", bad, 400); got.at("code") != 2.0 {
			t.Errorf("%v: %s", bad, got.body)
		}
	}
}

// Point 6: proxy-cache, and its Admin endpoints across the stream.
func TestWalkProxyCache(t *testing.T) {
	c := newCluster(t, 2)
	n, other := c.nodes[0], c.nodes[1]
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	plugin := c.must("POST", "/plugins", object{
		"name": "proxy-cache", "config": object{"strategy": "memory", "content_type": []string{"application/json"}, "cache_ttl": 300, "cache_control": true, "vary_headers": []string{"x-vary"}},
	}, 201).text("id")
	for _, n := range c.nodes {
		eventually(t, soon, func() error {
			if n.try("POST", "/one", "x").header.Get("X-Cache-Status") != "Bypass" {
				return fmt.Errorf("no proxy-cache yet")
			}
			return nil
		}, n.program)
	}
	status := func(r *response) string { return r.header.Get("X-Cache-Status") }
	fresh := headers{"X-Cache-Control", "max-age=300"} // with cache_control an answer must say how long it lives
	miss, hit := n.get("/one/a", fresh), n.get("/one/a", fresh)
	if status(miss) != "Miss" || status(hit) != "Hit" || string(miss.body) != string(hit.body) {
		t.Errorf("first %q, second %q, bodies\n%s\n%s", status(miss), status(hit), miss.body, hit.body)
	}
	key := hit.header.Get("X-Cache-Key")
	if len(key) != 64 || key != miss.header.Get("X-Cache-Key") {
		t.Errorf("X-Cache-Key = %q and %q", miss.header.Get("X-Cache-Key"), key)
	}
	if age, err := strconv.Atoi(hit.header.Get("Age")); err != nil || age < 0 || age > 60 {
		t.Errorf("Age = %q", hit.header.Get("Age"))
	}
	if got := status(n.get("/one/a", fresh, headers{"X-Vary", "2"})); got != "Miss" {
		t.Errorf("another value of a vary header: %q", got)
	}
	if got := status(n.get("/one/a", fresh, headers{"Cache-Control", "min-fresh=100000"})); got != "Refresh" {
		t.Errorf("min-fresh: %q", got)
	}
	if got := status(n.get("/one/private", headers{"X-Cache-Control", "private"})); got != "Bypass" {
		t.Errorf("a private answer: %q", got)
	}
	if got := status(n.get("/one/a", fresh)); got != "Hit" {
		t.Errorf("after the refresh: %q", got)
	}
	n.must("GET", "/one/unknown", nil, 504, headers{"Cache-Control", "only-if-cached"})

	// Another node has a cache of its own; the Admin API reaches all of them.
	c.get("/proxy-cache/" + key)
	c.get("/proxy-cache/" + plugin + "/caches/" + key)
	c.must("GET", "/proxy-cache/"+plugin+"/caches/0000", nil, 404)
	c.must("DELETE", "/proxy-cache/"+plugin+"/caches/"+key, nil, 204)
	c.must("GET", "/proxy-cache/"+key, nil, 404)
	if got := status(n.get("/one/a", fresh)); got != "Miss" {
		t.Errorf("after DELETE of the key: %q", got)
	}
	if got := status(other.get("/one/a", fresh)); got != "Miss" {
		t.Errorf("first call at the other node: %q", got)
	}
	c.must("DELETE", "/proxy-cache", nil, 204)
	for i, n := range c.nodes {
		if got := status(n.get("/one/a", fresh)); got != "Miss" {
			t.Errorf("node %d after DELETE of everything: %q", i+1, got)
		}
	}
}

// Point 7: consumers, credentials and key-auth.
func TestWalkKeyAuth(t *testing.T) {
	c := newCluster(t, 1)
	n := c.nodes[0]
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	consumer := c.must("POST", "/consumers", form("username", "luka", "custom_id", "l-1"), 201).text("id")
	credential := c.must("POST", "/consumers/luka/key-auth", form("key", "top-secret-key"), 201)
	if credential.text("consumer", "id") != consumer || credential.text("key") != "top-secret-key" {
		t.Errorf("credential: %s", credential.body)
	}
	if made := c.must("POST", "/consumers/luka/key-auth", object{}, 201).text("key"); len(made) < 32 {
		t.Errorf("a key that was made is %q", made)
	}
	plugin := c.must("POST", "/plugins", form("name", "key-auth", "config.key_names", "apikey", "config.key_in_body", "true"), 201).text("id")
	eventually(t, soon, func() error { return n.try("GET", "/one", nil).is(401) }, n.program)

	missing := n.must("GET", "/one", nil, 401)
	if missing.text("message") != "No API key found in request" || missing.header.Get("WWW-Authenticate") != "Key" {
		t.Errorf("no key: %v %s", missing.header, missing.body)
	}
	if got := n.must("GET", "/one", nil, 401, headers{"apikey", "wrong"}).text("message"); got != "Unauthorized" {
		t.Errorf("wrong key: %q", got)
	}
	if got := n.must("GET", "/one", nil, 401, headers{"apikey", "top-secret-key", "apikey", "other"}).text("message"); got != "Duplicate API key found" {
		t.Errorf("two keys: %q", got)
	}
	for name, r := range map[string]*response{
		"header": n.get("/one", headers{"apikey", "top-secret-key", "X-Consumer-Username", "forged"}),
		"query":  n.get("/one?apikey=top-secret-key", headers{"X-Consumer-Id", "forged"}),
		"body":   n.must("POST", "/one", form("apikey", "top-secret-key"), 200),
	} {
		got := r.echoed(t)
		for header, want := range map[string]string{
			"X-Consumer-Id": consumer, "X-Consumer-Username": "luka", "X-Consumer-Custom-Id": "l-1", "X-Credential-Identifier": credential.text("id"),
		} {
			if values := got.Headers[header]; len(values) != 1 || values[0] != want {
				t.Errorf("key in the %s: upstream got %s: %q, want %q once", name, header, values, want)
			}
		}
	}
	if seen := n.get("/one", headers{"apikey", "top-secret-key"}).echoed(t); len(seen.Headers["Apikey"]) != 1 {
		t.Errorf("the key is hidden without hide_credentials: %v", seen.Headers)
	}
	c.must("PATCH", "/plugins/"+plugin, form("config.hide_credentials", "true"), 200)
	eventually(t, soon, func() error {
		if seen := n.get("/one?apikey=top-secret-key&z=1").echoed(t); seen.URL != "/?z=1" {
			return fmt.Errorf("the upstream got %s", seen.URL)
		}
		return nil
	}, n.program)
	anonymous := c.must("POST", "/consumers", form("username", "nobody"), 201).text("id")
	c.must("PATCH", "/plugins/"+plugin, form("config.anonymous", anonymous), 200)
	eventually(t, soon, func() error { return n.try("GET", "/one", nil).is(200) }, n.program)
	if seen := n.get("/one").echoed(t); fmt.Sprint(seen.Headers["X-Anonymous-Consumer"]) != "[true]" || fmt.Sprint(seen.Headers["X-Consumer-Username"]) != "[nobody]" {
		t.Errorf("anonymous: %v", seen.Headers)
	}
	c.must("PATCH", "/plugins/"+plugin, object{"config": object{"anonymous": nil, "run_on_preflight": false}}, 200)
	eventually(t, soon, func() error { return n.try("GET", "/one", nil).is(401) }, n.program)
	n.must("OPTIONS", "/one", nil, 200)
	c.must("DELETE", "/consumers/luka", nil, 204)
	eventually(t, soon, func() error { return n.try("GET", "/one", nil, headers{"apikey", "top-secret-key"}).is(401) }, n.program)
	c.must("PATCH", "/plugins/"+plugin, form("enabled", "false"), 200)
	eventually(t, soon, func() error { return n.try("GET", "/one", nil).is(200) }, n.program)
}
