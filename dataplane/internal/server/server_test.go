package server_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/dataplane/internal/proxy"
	"github.com/sluice-gateway/sluice/dataplane/internal/server"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/settings"
	"github.com/sluice-gateway/sluice/shared/tlsutil"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answers say what the request was, in a header.
type answers struct{}

func (answers) Serve(x *pdk.Exchange, r proxy.Responder) {
	q := &x.Request
	x.Response.Header.Add("Seen", fmt.Sprintf("%s %d %s %s%s sni=%s peer=%s client=%v", q.Method, q.Proto, q.Scheme, q.Host, q.RawPath, q.SNI, q.Peer.Addr(), q.Client.Addr()))
	var body []byte
	if q.Body != nil {
		var err error
		if body, err = io.ReadAll(q.Body); err != nil {
			body = []byte("body: " + err.Error())
		}
	}
	switch q.RawPath {
	case "/stream":
		x.Source = pdk.SourceUpstream
		x.Response.Status, x.Response.ContentLength, x.Response.Body = 200, -1, bytes.NewReader(body)
		x.Response.Trailer.Add("Grpc-Status", "0")
	case "/broken":
		x.Response.Status, x.Response.ContentLength, x.Response.Body = 200, -1, io.MultiReader(strings.NewReader("part"), broken{})
	default:
		_ = x.ExitBody(200, "", body)
	}
	_ = r.Send(x, nil)
}

func (answers) Refuse(x *pdk.Exchange, r proxy.Responder, status int) {
	_ = x.ExitBody(status, "", nil)
	_ = r.Send(x, nil)
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("upstream broke") }

func pair(t *testing.T, name string) tls.Certificate {
	t.Helper()
	cert, key, err := tlsutil.Generate(name, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func start(t *testing.T, listen string, change func(o *server.Options)) *server.Server {
	t.Helper()
	listeners, err := settings.ParseListeners(listen)
	if err != nil {
		t.Fatal(err)
	}
	o := server.Options{Listeners: listeners, Handler: answers{}, Certificates: []tls.Certificate{pair(t, "default")}}
	if change != nil {
		change(&o)
	}
	s, err := server.New(o)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s
}

// client speaks HTTP/2 or HTTP/1 only.
func client(t *testing.T, h2 bool) *http.Client {
	t.Helper()
	var p http.Protocols
	p.SetHTTP1(!h2)
	p.SetHTTP2(h2)
	p.SetUnencryptedHTTP2(h2)
	tr := &http.Transport{Protocols: &p, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // the test's own
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second}
}

func get(t *testing.T, c *http.Client, method, url string, body io.Reader) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func TestProtocols(t *testing.T) {
	s := start(t, "127.0.0.1:0, 127.0.0.1:0 ssl http2, 127.0.0.1:0 http2, 127.0.0.1:0 ssl", nil)
	large := strings.Repeat("sluice ", 200_000)
	for _, test := range []struct {
		name     string
		listener int
		scheme   string
		h2       bool
		seen     string
	}{
		{"plain", 0, "http", false, "11 http"},
		{"TLS, HTTP/1", 1, "https", false, "11 https"},
		{"TLS, HTTP/2", 1, "https", true, "20 https"},
		{"plain, HTTP/1 where HTTP/2 may be", 2, "http", false, "11 http"},
		{"plain, HTTP/2", 2, "http", true, "20 http"},
		{"TLS without HTTP/2", 3, "https", false, "11 https"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := client(t, test.h2)
			base := test.scheme + "://" + s.Addrs()[test.listener].String()
			for _, body := range []string{"", "hello", large} {
				resp, got := get(t, c, "POST", base+"/x", strings.NewReader(body))
				if got != body || !strings.HasPrefix(resp.Header.Get("Seen"), "POST "+test.seen) || !strings.HasSuffix(resp.Header.Get("Seen"), "peer=127.0.0.1 client=invalid IP") {
					t.Errorf("%d bytes came as %d; seen %q", len(body), len(got), resp.Header.Get("Seen"))
				}
				if resp, got := get(t, c, "POST", base+"/stream", io.MultiReader(strings.NewReader(body))); got != body || resp.Trailer.Get("Grpc-Status") != "0" {
					t.Errorf("streamed: %d bytes came as %d, trailer %v", len(body), len(got), resp.Trailer)
				}
			}
			if resp, body := get(t, c, "HEAD", base+"/x", nil); resp.StatusCode != 200 || body != "" {
				t.Errorf("HEAD: %d %q", resp.StatusCode, body)
			}
			resp, err := c.Get(base + "/broken")
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
			if err == nil {
				t.Error("a part of a body looks whole")
			}
		})
	}
}

// TestConnectionsAreCounted holds that a connection counts as what it does, and no more
// once it is gone.
func TestConnectionsAreCounted(t *testing.T) {
	gate := &gated{entered: make(chan struct{}), leave: make(chan struct{})}
	s := start(t, "127.0.0.1:0, 127.0.0.1:0 ssl http2", func(o *server.Options) { o.Handler = gate })
	until := func(want server.Connections) {
		t.Helper()
		for deadline := time.Now().Add(5 * time.Second); s.Connections() != want; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("got %+v, want %+v", s.Connections(), want)
			}
		}
	}
	accepted := int64(0)
	for _, test := range []struct {
		h2   bool
		base string
	}{{false, "http://" + s.Addrs()[0].String()}, {true, "https://" + s.Addrs()[1].String()}} {
		p := new(http.Protocols)
		p.SetHTTP1(!test.h2)
		p.SetHTTP2(test.h2)
		tr := &http.Transport{Protocols: p, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // the test's own
		c := &http.Client{Transport: tr, Timeout: 10 * time.Second}
		done := make(chan struct{})
		go func() {
			defer close(done)
			if resp, err := c.Get(test.base); err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		}()
		<-gate.entered
		accepted++
		until(server.Connections{Accepted: accepted, Active: 1, Writing: 1})
		gate.leave <- struct{}{}
		<-done
		until(server.Connections{Accepted: accepted, Active: 1, Waiting: 1})
		tr.CloseIdleConnections()
		until(server.Connections{Accepted: accepted})
	}
	hanging, err := net.Dial("tcp", s.Addrs()[1].String())
	if err != nil {
		t.Fatal(err)
	}
	until(server.Connections{Accepted: accepted + 1, Active: 1, Reading: 1})
	_ = hanging.Close()
	until(server.Connections{Accepted: accepted + 1})
}

// gated answers when it is told to.
type gated struct {
	answers
	entered, leave chan struct{}
}

func (g *gated) Serve(x *pdk.Exchange, r proxy.Responder) {
	g.entered <- struct{}{}
	<-g.leave
	g.answers.Serve(x, r)
}

func TestCertificates(t *testing.T) {
	named, fallback, later := pair(t, "named"), pair(t, "fallback"), pair(t, "later")
	s := start(t, "127.0.0.1:0 ssl", func(o *server.Options) {
		o.Certificates = []tls.Certificate{fallback}
		o.Certificate = func(hello *tls.ClientHelloInfo) *tls.Certificate {
			if hello.ServerName == "named.example" {
				return &named
			}
			return nil
		}
		o.MinTLS = tls.VersionTLS13
	})
	see := func(name string, newest uint16) (string, error) {
		var seen string
		c, err := tls.Dial("tcp", s.Addrs()[0].String(), &tls.Config{
			ServerName: name, MaxVersion: newest, InsecureSkipVerify: true, //nolint:gosec // looked at below
			VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
				c, err := x509.ParseCertificate(raw[0])
				if err == nil {
					seen = c.Subject.CommonName
				}
				return err
			},
		})
		if err == nil {
			_ = c.Close()
		}
		return seen, err
	}
	for name, want := range map[string]string{"named.example": "named", "other.example": "fallback"} {
		if got, err := see(name, 0); got != want {
			t.Errorf("%s gets %q, %v, want %q", name, got, err, want)
		}
	}
	s.SetCertificates([]tls.Certificate{later})
	if got, err := see("other.example", 0); got != "later" {
		t.Errorf("after a change: %q, %v", got, err)
	}
	if _, err := see("named.example", tls.VersionTLS12); err == nil {
		t.Error("a version below the lowest is spoken")
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s := start(t, "unix:"+path, nil)
	c := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) },
	}}
	if resp, _ := get(t, c, "GET", "http://h/x", nil); !strings.Contains(resp.Header.Get("Seen"), "GET 11 http h/x") {
		t.Errorf("seen %q on %v", resp.Header.Get("Seen"), s.Addrs())
	}
	if _, err := server.New(server.Options{Handler: answers{}, Listeners: []settings.Listener{{Network: "unix", Address: path}}}); err == nil {
		t.Error("a socket in use is taken")
	}
}

func TestTakenAddressIsNamed(t *testing.T) {
	s := start(t, "127.0.0.1:0 reuseport backlog=16", nil)
	taken := s.Addrs()[0].String()
	listeners, err := settings.ParseListeners("127.0.0.1:0, " + taken)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.New(server.Options{Handler: answers{}, Listeners: listeners}); err == nil || !strings.Contains(err.Error(), taken) || !strings.Contains(err.Error(), "proxy_listen") {
		t.Errorf("got %v", err)
	}
}

// TestShutdown ends handshakes that hang and connections that are idle at once.
func TestShutdown(t *testing.T) {
	s := start(t, "127.0.0.1:0, 127.0.0.1:0 ssl http2", nil)
	hanging, err := net.Dial("tcp", s.Addrs()[1].String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hanging.Close() }()
	get(t, client(t, false), "GET", "http://"+s.Addrs()[0].String()+"/", nil)
	get(t, client(t, true), "GET", "https://"+s.Addrs()[1].String()+"/", nil)
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("took %v", took)
	}
	if _, err := net.Dial("tcp", s.Addrs()[0].String()); err == nil {
		t.Error("still listening")
	}
}

// A node that is to have no more traffic ends idle connections and goes on serving.
func TestPart(t *testing.T) {
	s := start(t, "127.0.0.1:0", nil)
	address := s.Addrs()[0].String()
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	ask := func(c net.Conn) *http.Response {
		t.Helper()
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		r, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
		return r
	}
	idle := dial()
	if r := ask(idle); r.StatusCode != 200 || r.Close {
		t.Fatalf("before: %d, closes %v", r.StatusCode, r.Close)
	}
	for s.Connections().Waiting == 0 { // the answer is read before the server waits again
		runtime.Gosched()
	}
	s.Part(true)
	_ = idle.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := idle.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the idle connection: %d bytes, %v", n, err)
	}
	if r := ask(dial()); r.StatusCode != 200 || !r.Close {
		t.Errorf("a new connection: %d, closes %v", r.StatusCode, r.Close)
	}
	s.Part(false)
	kept := dial()
	for range 2 {
		if r := ask(kept); r.StatusCode != 200 || r.Close {
			t.Errorf("after: %d, closes %v", r.StatusCode, r.Close)
		}
	}
}

// resumes makes two connections, to servers one after the other, and tells whether the second
// went on with the first one's session.
func resumes(t *testing.T, version uint16, first, second *server.Server, between func()) bool {
	t.Helper()
	config := &tls.Config{ServerName: "a.test", InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(1), MaxVersion: version} //nolint:gosec // the certificate is our own
	resumed := false
	for i, s := range []*server.Server{first, second} {
		if i == 1 && between != nil {
			between()
		}
		c, err := tls.Dial("tcp", s.Addrs()[0].String(), config)
		if err != nil {
			t.Fatal(err)
		}
		// With TLS 1.3 tickets come after the handshake: before what is answered.
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
		if _, err := io.ReadAll(c); err != nil {
			t.Fatal(err)
		}
		resumed = c.ConnectionState().DidResume
		_ = c.Close()
	}
	return resumed
}

// TestTickets holds that sessions are resumed unless that is switched off, as long as they
// are not too old, and on every server that has the key, also while keys are changed.
func TestTickets(t *testing.T) {
	one, other, third := [32]byte{1}, [32]byte{2}, [32]byte{3}
	with := func(change func(o *server.Options)) *server.Server { return start(t, "127.0.0.1:0 ssl", change) }
	keyed := func() *server.Server { return with(func(o *server.Options) { o.TicketKey = &one }) }
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		plain, old := with(nil), with(func(o *server.Options) { o.SessionTimeout = time.Nanosecond })
		off := with(func(o *server.Options) { o.NoTickets = true })
		a, b := keyed(), keyed()
		for _, tt := range []struct {
			name          string
			first, second *server.Server
			between       func()
			want          bool
		}{
			{"the same server", plain, plain, nil, true},
			{"too old", old, old, nil, false},
			{"switched off", off, off, nil, false},
			{"keys of their own", plain, with(nil), nil, false},
			{"the same key", a, b, nil, true},
			{"the same key again", b, a, func() { a.SetTicketKey(one) }, true},
			{"a key that was changed", a, b, func() { b.SetTicketKey(other) }, true},
			{"a key that was changed twice", a, b, func() { b.SetTicketKey(third) }, false},
		} {
			if got := resumes(t, version, tt.first, tt.second, tt.between); got != tt.want {
				t.Errorf("%s, %s: resumed %v", tls.VersionName(version), tt.name, got)
			}
		}
	}
}

// TestAuthoritiesOfClients holds that clients are judged by the authorities of now, also
// those that go on with a session, which authorities that are the same do not end.
func TestAuthoritiesOfClients(t *testing.T) {
	one, other := pair(t, "one"), pair(t, "other")
	pool := func(c tls.Certificate) *x509.CertPool {
		p := x509.NewCertPool()
		p.AddCert(c.Leaf)
		return p
	}
	for _, key := range []*[32]byte{nil, {1}} {
		s := start(t, "127.0.0.1:0 ssl", func(o *server.Options) {
			o.ClientAuth, o.ClientCAs, o.TicketKey = tls.RequireAndVerifyClientCert, pool(one), key
		})
		sessions := tls.NewLRUClientSessionCache(4)
		for i, tt := range []struct {
			now, client tls.Certificate
			resumed, ok bool
		}{
			{one, one, false, true},
			{one, one, true, true},
			{other, one, false, false},
			{other, other, false, true},
			{one, other, false, false},
		} {
			s.SetClientCAs(pool(tt.now))
			// Each client has a name of its own for its sessions.
			config := &tls.Config{ServerName: tt.client.Leaf.SerialNumber.Text(36) + ".test", InsecureSkipVerify: true, ClientSessionCache: sessions, Certificates: []tls.Certificate{tt.client}} //nolint:gosec // the certificate is our own
			c, err := tls.Dial("tcp", s.Addrs()[0].String(), config)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\nGET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
			b, err := io.ReadAll(c)
			if resumed := c.ConnectionState().DidResume; resumed != tt.resumed && tt.ok {
				t.Errorf("%d: resumed %v", i, resumed)
			}
			_ = c.Close()
			// Who is refused is told once.
			answers, denied := strings.Count(string(b), "HTTP/1.1 "), strings.Count(string(b), "HTTP/1.1 495")
			if err != nil || tt.ok && (answers != 2 || denied != 0) || !tt.ok && (answers != 1 || denied != 1) {
				t.Errorf("%d, key %v: %v %s", i, key != nil, err, b)
			}
		}
	}
}
