package http1_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/dataplane/internal/proxy"
	"github.com/sluice-gateway/sluice/dataplane/internal/server/http1"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// handler answers with a function.
type handler func(x *pdk.Exchange, r proxy.Responder)

func (h handler) Serve(x *pdk.Exchange, r proxy.Responder) { h(x, r) }

func (h handler) Refuse(x *pdk.Exchange, r proxy.Responder, status int) {
	_ = x.ExitBody(status, "text/plain", []byte("refused"))
	_ = r.Send(x, nil)
}

// echo answers with what it was asked, and the body.
func echo(x *pdk.Exchange, r proxy.Responder) {
	body := ""
	if x.Request.Body != nil {
		b, err := io.ReadAll(x.Request.Body)
		if err != nil {
			_ = x.ExitBody(400, "text/plain", []byte("body: "+err.Error()))
			_ = r.Send(x, nil)
			return
		}
		body = string(b)
	}
	q := &x.Request
	_ = x.ExitBody(200, "text/plain", fmt.Appendf(nil, "%s %s %s %q", q.Method, q.Host, q.RawPath, body))
	_ = r.Send(x, nil)
}

// start serves on a port of its own, and drains at the end of the test.
func start(t *testing.T, h handler, change func(o *http1.Options)) (address string, e *http1.Engine) {
	t.Helper()
	o := http1.Options{Handler: h}
	if change != nil {
		change(&o)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l.Addr().String(), serve(t, l, o)
}

func serve(t *testing.T, l net.Listener, o http1.Options) *http1.Engine {
	t.Helper()
	e := http1.New(o)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go e.Serve(nc, &http1.Info{})
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := e.Drain(ctx); err != nil {
			t.Errorf("drain: %v", err)
		}
	})
	return e
}

// client is a connection that speaks in bytes.
type client struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func dial(t *testing.T, address string) *client {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
	t.Cleanup(func() { _ = nc.Close() })
	return &client{nc, t, bufio.NewReader(nc)}
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, text); err != nil {
		c.t.Fatal(err)
	}
}

// answer reads one response.
func (c *client) answer(method string) (status int, header http.Header, body string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("no response: %v", err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("body: %v", err)
	}
	header = resp.Header
	if resp.Close {
		header.Set("Connection", "close")
	}
	return resp.StatusCode, header, string(b)
}

func (c *client) says(method string, wantStatus int, wantBody string) {
	c.t.Helper()
	if status, _, body := c.answer(method); status != wantStatus || body != wantBody {
		c.t.Errorf("got %d %q, want %d %q", status, body, wantStatus, wantBody)
	}
}

// ends holds that the server has closed the connection.
func (c *client) ends() {
	c.t.Helper()
	if b, err := c.r.ReadByte(); err == nil {
		c.t.Errorf("connection goes on with %q", b)
	} else if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		c.t.Error("connection stays open")
	}
}

func TestRequests(t *testing.T) {
	address, _ := start(t, echo, nil)
	for _, test := range []struct{ name, text, want string }{
		{"no body", "GET /a?b HTTP/1.1\r\nHost: h\r\n\r\n", `GET h /a ""`},
		{"length", "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", `POST h /a "hello"`},
		{"chunks", "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", `POST h /a "hello"`},
		{"empty line before", "\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n", `GET h /a ""`},
		{"large head", "GET /a HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("A: "+strings.Repeat("a", 1000)+"\r\n", 20) + "\r\n", `GET h /a ""`},
		{
			"large head and body", "POST /a HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("A: "+strings.Repeat("a", 1000)+"\r\n", 8) + "Content-Length: 9000\r\n\r\n" + strings.Repeat("x", 9000),
			`POST h /a "` + strings.Repeat("x", 9000) + `"`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := dial(t, address)
			for range 3 { // one connection
				c.send(test.text)
				c.says("GET", 200, test.want)
			}
			c.send(test.text + test.text) // without waiting
			c.says("GET", 200, test.want)
			c.says("GET", 200, test.want)
			if len(test.text) < 500 {
				for i := range len(test.text) { // byte by byte
					c.send(test.text[i : i+1])
				}
				c.says("GET", 200, test.want)
			}
		})
	}
}

// TestEmptyLineInHalves sends an empty line so slowly that its halves are read apart.
func TestEmptyLineInHalves(t *testing.T) {
	address, e := start(t, echo, nil)
	c := dial(t, address)
	until := func(what string, is func(http1.Connections) bool) {
		t.Helper()
		for deadline := time.Now().Add(5 * time.Second); !is(e.Connections()); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("not %s: %+v", what, e.Connections())
			}
		}
	}
	for range 2 {
		until("waiting", func(n http1.Connections) bool { return n.Waiting == 1 })
		c.send("\r")
		until("reading", func(n http1.Connections) bool { return n.Reading == 1 })
		c.send("\n")
		until("waiting", func(n http1.Connections) bool { return n.Waiting == 1 })
		c.send("\r")
		until("reading", func(n http1.Connections) bool { return n.Reading == 1 })
		c.send("\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n")
		c.says("GET", 200, `GET h /a ""`)
	}
}

func TestKeepAlive(t *testing.T) {
	address, _ := start(t, echo, func(o *http1.Options) { o.MaxRequests = 3 })
	for _, test := range []struct {
		name, text string
		keep       bool
	}{
		{"1.1", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", true},
		{"1.1 close", "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", false},
		{"1.0", "GET / HTTP/1.0\r\nHost: h\r\n\r\n", false},
		{"1.0 keep-alive", "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := dial(t, address)
			c.send(test.text)
			_, header, _ := c.answer("GET")
			if got := header.Get("Connection") == "keep-alive"; got != test.keep {
				t.Errorf("Connection: %q", header.Get("Connection"))
			}
			if !test.keep {
				c.ends()
			}
		})
	}
	c := dial(t, address)
	for i := range 3 {
		c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		if _, header, _ := c.answer("GET"); (header.Get("Connection") == "close") != (i == 2) {
			t.Errorf("request %d of 3: Connection: %q", i+1, header.Get("Connection"))
		}
	}
	c.ends()
}

func TestHalfClosedClientIsAnswered(t *testing.T) {
	address, _ := start(t, echo, nil)
	c := dial(t, address)
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	c.says("GET", 200, `GET h / ""`)
	c.ends()
}

func TestContinue(t *testing.T) {
	address, _ := start(t, func(x *pdk.Exchange, r proxy.Responder) {
		if x.Request.RawPath == "/never" {
			_ = x.ExitBody(401, "", []byte("no"))
			_ = r.Send(x, nil)
			return
		}
		echo(x, r)
	}, nil)
	const headers = " HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
	c := dial(t, address)
	c.send("POST /" + headers)
	if status, _, _ := c.answer("POST"); status != 100 {
		t.Fatalf("got %d, want 100", status)
	}
	c.send("hello")
	c.says("POST", 200, `POST h / "hello"`)
	c.send("POST /" + headers + "hello") // a client that does not wait
	c.says("POST", 200, `POST h / "hello"`)
	c.send("POST /never" + headers)
	status, header, _ := c.answer("POST")
	if status != 401 || header.Get("Connection") != "close" {
		t.Errorf("unwanted body: %d, Connection %q", status, header.Get("Connection"))
	}
	c.ends()
}

func TestUnreadBodies(t *testing.T) {
	address, _ := start(t, func(x *pdk.Exchange, r proxy.Responder) {
		_ = x.ExitBody(200, "", []byte("ignored"))
		_ = r.Send(x, nil)
	}, nil)
	small := "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100000)
	c := dial(t, address)
	for range 3 {
		c.send(small)
		c.says("POST", 200, "ignored")
	}
	c.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")
	c.says("POST", 200, "ignored")
	c.says("GET", 200, "ignored")
	// A large one is not read to its end; the answer must not be lost by a reset.
	c = dial(t, address)
	c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n" + strings.Repeat("x", 600_000))
	status, header, body := c.answer("POST")
	if status != 200 || body != "ignored" || header.Get("Connection") != "close" {
		t.Errorf("got %d %q, Connection %q", status, body, header.Get("Connection"))
	}
}

func TestRefusals(t *testing.T) {
	address, _ := start(t, echo, func(o *http1.Options) { o.HeadTimeout = 200 * time.Millisecond })
	for _, test := range []struct {
		name, text string
		status     int
	}{
		{"no request", "nonsense\r\n\r\n", 400},
		{"TLS", "\x16\x03\x01\x02\x00", 400},
		{"both lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"long target", "GET /" + strings.Repeat("a", 9000) + " HTTP/1.1\r\nHost: h\r\n\r\n", 414},
		{"long head", "GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("A: "+strings.Repeat("a", 4000)+"\r\n", 12) + "\r\n", 494},
		{"slow head", "GET / HTTP/1.1\r\nHost", 408},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := dial(t, address)
			c.send("GET /first HTTP/1.1\r\nHost: h\r\n\r\n")
			c.says("GET", 200, `GET h /first ""`)
			c.send(test.text)
			status, header, body := c.answer("GET")
			if status != test.status || body != "refused" || header.Get("Connection") != "close" {
				t.Errorf("got %d %q, Connection %q, want %d", status, body, header.Get("Connection"), test.status)
			}
			c.ends()
		})
	}
	c := dial(t, address)
	c.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
	if status, _, body := c.answer("POST"); status != 400 || !strings.Contains(body, "chunk size") {
		t.Errorf("bad chunk: %d %q", status, body)
	}
	c.ends()
}

func TestIdleConnectionsEnd(t *testing.T) {
	address, e := start(t, echo, func(o *http1.Options) { o.IdleTimeout = 150 * time.Millisecond })
	c := dial(t, address)
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	c.says("GET", 200, `GET h / ""`)
	c.ends()
	deadline := time.Now().Add(5 * time.Second)
	for {
		if e.Connections().All == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("connection is still counted")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestDrain(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	var ran atomic.Int32
	address, e := start(t, func(x *pdk.Exchange, r proxy.Responder) {
		if x.Request.RawPath == "/slow" {
			close(entered)
			<-leave
		}
		ran.Add(1)
		echo(x, r)
	}, nil)
	idle, busy := dial(t, address), dial(t, address)
	idle.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	idle.says("GET", 200, `GET h / ""`)
	busy.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
	<-entered
	drained := make(chan error, 1)
	go func() { drained <- e.Drain(context.Background()) }()
	idle.ends()
	timer := time.NewTimer(20 * time.Millisecond)
	defer timer.Stop()
	select {
	case err := <-drained:
		t.Fatalf("drained with a request under way: %v", err)
	case <-timer.C:
	}
	close(leave)
	status, header, _ := busy.answer("GET")
	if status != 200 || header.Get("Connection") != "close" {
		t.Errorf("got %d, Connection %q", status, header.Get("Connection"))
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if ran.Load() != 2 {
		t.Errorf("%d requests ran", ran.Load())
	}
}
