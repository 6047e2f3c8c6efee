package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// selfSigned makes a certificate for a name.
func selfSigned(t *testing.T, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	private8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private8}))
}

// servedName is whose certificate a listener hands out for a server name, or an error.
func servedName(address, serverName string) string {
	dialer := &tls.Dialer{Config: &tls.Config{ServerName: serverName, InsecureSkipVerify: true}} //nolint:gosec // the name is what is tested
	conn, err := dialer.DialContext(context.Background(), "tcp", address)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = conn.Close() }()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName
}

// function makes a pre-function on a route and returns its id.
func (c *cluster) function(route string, config object) string {
	c.t.Helper()
	return c.must("POST", "/routes/"+route+"/plugins", object{"name": "pre-function", "config": config}, 201).text("id")
}

// answers waits until a path is answered with a status and a body that holds a text.
func (n *node) answers(path string, status int, text string, with ...headers) {
	n.program.t.Helper()
	eventually(n.program.t, soon, func() error {
		r := n.try("GET", path, nil, with...)
		switch {
		case r.err != nil:
			return r.err
		case r.status != status || !strings.Contains(string(r.body), text):
			return fmt.Errorf("GET %s: %d %s, want %d %s", path, r.status, r.body, status, text)
		}
		return nil
	}, n.program)
}

// Functions in Lua: answers, what they keep, what stops them, and what the Admin API refuses.
func TestWalkFunctions(t *testing.T) {
	c := newCluster(t, 1)
	n := c.nodes[0]
	up := newEcho(t, "up")
	for _, name := range []string{"exit", "count", "loop", "memory", "edit", "body"} {
		c.serve(name, up.URL, "/"+name)
	}
	refused := c.must("POST", "/plugins", object{"name": "pre-function", "config": object{"access": []string{"syntax error here"}}}, 400)
	if got := refused.text("message"); !strings.Contains(got, `'=' expected near 'error'`) {
		t.Errorf("refused with %q", got)
	}

	c.function("exit", object{"access": []string{"kong.response.exit(418, {who = kong.request.get_header('X-Who')}, {['X-Lua'] = 'yes'})"}})
	n.answers("/exit", 418, `{"who":"joe"}`, headers{"X-Who", "joe"})

	c.function("count", object{"access": []string{"local n = 0 return function() n = n + 1 kong.response.exit(200, 'call ' .. n) end"}})
	n.answers("/count", 200, "call ")
	for range 5 {
		n.get("/count")
	}
	if got := string(n.get("/count").body); got == "call 1" {
		t.Errorf("a function forgets its upvalues: %s", got)
	}

	c.function("loop", object{"access": []string{"while true do pcall(function() while true do end end) end"}})
	n.answers("/loop", 500, "An unexpected error occurred")
	c.function("memory", object{"access": []string{"local t = {} while true do t[#t + 1] = ('x'):rep(100000) end"}})
	n.answers("/memory", 500, "An unexpected error occurred")
	n.answers("/count", 200, "call ") // others go on
	if out := n.proc.Output(); !strings.Contains(out, "more instructions than a run may have") || !strings.Contains(out, "more memory than its machine may have") {
		t.Error("the log does not say why functions were stopped")
	}

	c.function("edit", object{
		"access":        []string{"kong.service.request.set_header('X-Added', 'by-lua') kong.service.request.set_query({a = 'b c'})"},
		"header_filter": []string{"kong.response.set_header('X-Out', kong.response.get_status())"},
		"log":           []string{"kong.log.err('seen ', kong.response.get_status())"},
	})
	n.applied("/edit", "X-Out", "200")
	if got := string(n.get("/edit").body); !strings.Contains(got, "by-lua") || !strings.Contains(got, "a=b%20c") {
		t.Errorf("the upstream got %s", got)
	}
	eventually(t, soon, func() error {
		if !strings.Contains(n.proc.Output(), "seen 200") {
			return errors.New("what a function logs is not in the log")
		}
		return nil
	}, n.program)

	c.function("body", object{"body_filter": []string{"local b = kong.response.get_raw_body() if b then kong.response.set_raw_body('<' .. #b .. '>') end"}})
	n.answers("/body", 200, "<")

	// A handshake that a function refuses. A client that has a session of before is let in.
	if got := servedName(n.tls, "bad.test"); strings.Contains(got, "remote error") {
		t.Errorf("before the function: %s", got)
	}
	c.must("POST", "/plugins", object{"name": "pre-function", "config": object{"certificate": []string{
		"if ngx.var.ssl_server_name == 'bad.test' and kong.client.get_ip() == '127.0.0.1' then error('not for you') end",
	}}}, 201)
	eventually(t, soon, func() error {
		if got := servedName(n.tls, "bad.test"); !strings.Contains(got, "internal error") {
			return fmt.Errorf("bad.test: %s", got)
		}
		return nil
	}, n.program)
	if got := servedName(n.tls, "good.test"); strings.Contains(got, "remote error") {
		t.Errorf("good.test: %s", got)
	}
	if out := n.proc.Output(); !strings.Contains(out, "not for you") {
		t.Error("the log does not say why a handshake was refused")
	}
	n.answers("/count", 200, "call ")
}

// Functions that look at the upstream's body before the response begins.
func TestWalkBufferedResponses(t *testing.T) {
	c := newCluster(t, 1)
	n := c.nodes[0]
	big := strings.Repeat("0123456789abcdef", 17<<16)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/big":
			_, _ = io.WriteString(w, big)
		case "/short":
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "abc")
			panic(http.ErrAbortHandler)
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"n":`)
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, `41}`)
		}
	}))
	t.Cleanup(up.Close)
	for _, name := range []string{"buffered", "streamed"} {
		c.serve(name, up.URL, "/"+name)
	}
	look := "local ok, b = pcall(kong.service.response.get_raw_body) kong.response.set_header('X-Body', ok and #b or b:match('only available'))"
	c.function("streamed", object{"header_filter": []string{look}})
	c.function("buffered", object{
		"access":        []string{"kong.service.request.enable_buffering()"},
		"header_filter": []string{look, "local b = kong.response.get_status() == 200 and kong.request.get_path() == '/buffered' and kong.service.response.get_body() or {} kong.response.set_header('X-N', (b.n or 0) + 1)"},
	})
	n.applied("/buffered", "X-Body", "0") // it asks with HEAD
	n.applied("/streamed", "X-Body", "only available")
	if r := n.get("/buffered"); string(r.body) != `{"n":41}` || r.header.Get("X-Body") != "8" || r.header.Get("X-N") != "42" || r.header.Get("Content-Length") != "8" {
		t.Errorf("buffered: %v %s", r.header, r.body)
	}
	if r := n.get("/buffered/big"); string(r.body) != big || !strings.Contains(r.header.Get("X-Body"), "only available") {
		t.Errorf("too long to be buffered: %v, %d bytes", r.header, len(r.body))
	}
	if r := n.try("GET", "/buffered/none", nil); r.status != 204 || r.header.Get("X-Body") != "0" {
		t.Errorf("without body: %d %v", r.status, r.header)
	}
	if r := n.try("GET", "/buffered/short", nil); r.status != 502 || !strings.Contains(string(r.body), "invalid response was received") {
		t.Errorf("cut short: %d %s", r.status, r.body)
	}
}

// Secrets: from the environment and from files, through a vault of its own, rotated, gone.
func TestWalkSecrets(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("token", "first\n")
	c := newCluster(t, 0)
	n := c.newNode("--vault_file_path", dir, "--vault_env_prefix", "E2E_")
	n.env = append(n.env, "E2E_SECRET=from-env", "MINE_SECRET=from-mine")
	n.start()
	n.ready()
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	lua := func(reference string) string {
		return c.function("one", object{"access": []string{"local v, err = kong.vault.get('" + reference + "') kong.response.exit(200, 'got ' .. tostring(v or err))"}})
	}
	for _, step := range [][2]string{
		{"{vault://env/secret}", "got from-env"}, {"{vault://file/token?ttl=1}", "got first"}, {"{vault://env/none}", "got no value found"},
	} {
		id := lua(step[0])
		n.answers("/one", 200, step[1])
		c.must("DELETE", "/plugins/"+id, nil, 204)
	}
	c.must("POST", "/vaults", object{"name": "env", "prefix": "mine", "config": object{"prefix": "MINE_"}}, 201)
	id := lua("{vault://mine/secret}")
	n.answers("/one", 200, "got from-mine")
	c.must("DELETE", "/plugins/"+id, nil, 204)

	// The password of Redis is a field that may hold a reference.
	bad := c.must("POST", "/plugins", object{"name": "rate-limiting", "config": object{"minute": 5, "policy": "redis", "redis": object{"host": "127.0.0.1", "password": "{vault://}"}}}, 400)
	if got := bad.text("message"); !strings.Contains(got, "reference url is missing host") {
		t.Errorf("refused with %q", got)
	}

	// A certificate whose key is in files: handed out, rotated, kept when it is gone.
	cert, key := selfSigned(t, "first.test")
	write("tls.crt", cert)
	write("tls.key", key)
	made := c.must("POST", "/certificates", object{
		"cert": "{vault://file/tls.crt?ttl=1&resurrect_ttl=1}", "key": "{vault://file/tls.key?ttl=1&resurrect_ttl=1}", "snis": []string{"a.test"},
	}, 201)
	if got := made.text("key"); !strings.HasPrefix(got, "{vault://") {
		t.Errorf("the Admin API shows %q", got)
	}
	served := func(want string) {
		t.Helper()
		eventually(t, soon, func() error {
			if got := servedName(n.tls, "a.test"); got != want {
				return fmt.Errorf("the certificate of %q, want %q", got, want)
			}
			return nil
		}, n.program)
	}
	served("first.test")
	cert, key = selfSigned(t, "second.test")
	write("tls.crt", cert)
	write("tls.key", key)
	served("second.test")
	for _, name := range []string{"tls.crt", "tls.key"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, soon, func() error {
		if got := servedName(n.tls, "a.test"); got == "second.test" {
			return errors.New("a certificate without its secret is served for longer than resurrect_ttl")
		}
		return nil
	}, n.program)
	n.answers("/one", 200, "") // all else goes on

	// Nothing of it is on disk, nor in the control plane.
	for _, prefix := range []string{n.prefix, c.prefix} {
		err := filepath.WalkDir(prefix, func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || strings.HasSuffix(path, "node_id") {
				return err
			}
			b, err := os.ReadFile(path)
			if err == nil && (strings.Contains(string(b), "from-env") || strings.Contains(string(b), "from-mine")) {
				t.Errorf("%s holds a secret", path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Ordering and conditions of plugins.
func TestWalkOrderingAndCondition(t *testing.T) {
	c := newCluster(t, 1)
	n := c.nodes[0]
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	c.must("POST", "/routes/one/plugins", object{"name": "key-auth"}, 201)
	n.answers("/one", 401, "No API key found")
	// The termination has the lowest priority; before key-auth it answers instead.
	id := c.must("POST", "/routes/one/plugins", object{
		"name": "request-termination", "config": object{"status_code": 403, "message": "closed"},
		"ordering": object{"before": object{"access": []string{"key-auth"}}},
	}, 201).text("id")
	n.answers("/one", 403, "closed")
	circle := c.must("PATCH", "/plugins/"+id, object{"ordering": object{"before": object{"access": []string{"request-termination"}}}}, 400)
	if got := circle.text("message"); !strings.Contains(got, "ordering: plugins would wait for each other: request-termination before request-termination") {
		t.Errorf("refused with %q", got)
	}
	c.must("PATCH", "/plugins/"+id, object{"condition": `http.headers.x_closed == "1"`}, 200)
	n.answers("/one", 401, "No API key found")
	n.answers("/one", 403, "closed", headers{"X-Closed", "1"})
	wrong := c.must("PATCH", "/plugins/"+id, object{"condition": "http.path =="}, 400)
	if got := wrong.text("message"); !strings.Contains(got, "condition") {
		t.Errorf("refused with %q", got)
	}
	// Unset, both are in no answer.
	plain := c.must("PATCH", "/plugins/"+id, object{"condition": nil, "ordering": nil}, 200)
	if body := string(plain.body); strings.Contains(body, "condition") || strings.Contains(body, "ordering") {
		t.Errorf("the answer has unset fields: %s", body)
	}
	n.answers("/one", 401, "No API key found", headers{"X-Closed", "1"})
}
