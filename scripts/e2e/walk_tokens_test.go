package e2e

import (
	"strings"
	"sync"
	"testing"
)

// Tokens that one data plane issues are good on the others at once, a code is good for
// one of two that use it, and what was issued stays good while the control plane is away.
func TestWalkOAuth2(t *testing.T) {
	c := newCluster(t, 0)
	for range 3 {
		c.addNode("--trusted_ips", "127.0.0.1")
	}
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	c.must("POST", "/consumers", form("username", "bob"), 201)
	app := c.must("POST", "/consumers/bob/oauth2", object{"name": "app", "client_id": "app", "client_secret": "secret", "redirect_uris": []string{"http://cb.example/"}}, 201)
	c.must("POST", "/services/one/plugins", object{"name": "oauth2", "config": object{
		"enable_authorization_code": true, "enable_client_credentials": true, "enable_password_grant": true, "provision_key": "pk",
		"accept_http_if_already_terminated": true, "scopes": []string{"email"},
	}}, 201, headers{"X-Sluice-Wait", "all"})
	secure := headers{"X-Forwarded-Proto", "https"}
	token := func(n *node, pairs ...string) *response {
		return n.try("POST", "/one/oauth2/token", form(append([]string{"client_id", "app", "client_secret", "secret"}, pairs...)...), secure)
	}
	use := func(n *node, token string, status int) *response {
		t.Helper()
		return n.must("GET", "/one", nil, status, headers{"Authorization", "Bearer " + token})
	}
	for i := range 10 {
		issuer := c.nodes[i%3]
		r := token(issuer, "grant_type", "client_credentials", "scope", "email")
		if err := r.is(200); err != nil {
			t.Fatal(err)
		}
		for _, n := range c.nodes {
			if got := use(n, r.text("access_token"), 200).echoed(t).Headers["X-Authenticated-Scope"]; len(got) != 1 || got[0] != "email" {
				t.Errorf("the upstream is told of the scope %v", got)
			}
		}
	}
	if got := len(c.get("/oauth2/app/oauth2_tokens").list("data")); got != 10 {
		t.Errorf("%d tokens are listed", got)
	}
	// Whoever is faster gets the token of a refresh.
	first := token(c.nodes[0], "grant_type", "password", "provision_key", "pk", "authenticated_userid", "u", "scope", "email")
	var work sync.WaitGroup
	answers := make([]*response, len(c.nodes))
	for i, n := range c.nodes {
		work.Go(func() {
			answers[i] = token(n, "grant_type", "refresh_token", "refresh_token", first.text("refresh_token"))
		})
	}
	work.Wait()
	good := 0
	for _, r := range answers {
		switch r.status {
		case 200:
			good++
		case 400:
		default:
			t.Errorf("refreshing: %d %s", r.status, r.body)
		}
	}
	if good != 1 {
		t.Errorf("a refresh token was good for %d of 3", good)
	}
	last := token(c.nodes[1], "grant_type", "client_credentials").text("access_token")
	c.control.kill()
	for _, n := range c.nodes {
		eventually(t, soon, func() error { return token(n, "grant_type", "client_credentials").is(503) }, n.program)
		use(n, last, 200)
	}
	c.nodes[2].stop()
	c.nodes[2].start()
	c.nodes[2].ready()
	use(c.nodes[2], last, 200)
	c.control.start()
	c.up()
	eventually(t, soon, func() error { return token(c.nodes[2], "grant_type", "client_credentials").is(200) })
	// A token that is revoked at the Admin API is good nowhere.
	c.must("DELETE", "/oauth2_tokens/"+last, nil, 204)
	for _, n := range c.nodes {
		eventually(t, soon, func() error {
			return n.try("GET", "/one", nil, headers{"Authorization", "Bearer " + last}).is(401)
		}, n.program)
	}
	// So is every token of an application that goes.
	r := token(c.nodes[0], "grant_type", "client_credentials")
	c.must("DELETE", "/consumers/bob/oauth2/"+app.text("id"), nil, 204)
	eventually(t, soon, func() error {
		return c.nodes[1].try("GET", "/one", nil, headers{"Authorization", "Bearer " + r.text("access_token")}).is(401)
	}, c.nodes[1].program)
}

// A session of storage kong that begins on one data plane is known on the others, and
// ends on all of them.
func TestWalkSession(t *testing.T) {
	c := newCluster(t, 3)
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	c.must("POST", "/consumers", form("username", "bob"), 201)
	c.must("POST", "/consumers", form("username", "anon"), 201)
	c.must("POST", "/consumers/bob/key-auth", form("key", "bobkey"), 201)
	c.must("POST", "/services/one/plugins", object{"name": "key-auth", "config": object{"anonymous": "anon"}}, 201)
	c.must("POST", "/services/one/plugins", object{"name": "session", "config": object{"storage": "kong", "cookie_secure": false}}, 201, headers{"X-Sluice-Wait", "all"})
	who := func(n *node, with ...string) (string, *response) {
		t.Helper()
		r := n.get("/one", headers(with))
		names := r.echoed(t).Headers["X-Consumer-Username"]
		if len(names) != 1 {
			t.Fatalf("the upstream is told of %v", names)
		}
		return names[0], r
	}
	name, r := who(c.nodes[0], "apikey", "bobkey")
	cookie, _, _ := strings.Cut(r.header.Get("Set-Cookie"), ";")
	if name != "bob" || !strings.HasPrefix(cookie, "session=") {
		t.Fatalf("%s with the cookie %q", name, cookie)
	}
	for _, n := range c.nodes {
		if name, _ := who(n, "Cookie", cookie); name != "bob" {
			t.Errorf("with the cookie the caller is %s", name)
		}
		if name, _ := who(n); name != "anon" {
			t.Errorf("without it the caller is %s", name)
		}
	}
	if got := len(c.get("/sessions").list("data")); got != 1 {
		t.Errorf("%d sessions are listed", got)
	}
	c.nodes[1].must("POST", "/one?session_logout", nil, 200, headers{"Cookie", cookie})
	for _, n := range c.nodes {
		if name, _ := who(n, "Cookie", cookie); name != "anon" {
			t.Errorf("after logout the caller is %s", name)
		}
	}
}
