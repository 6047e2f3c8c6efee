package http1_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/dataplane/internal/proxy"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// pieces is a body that comes in pieces and ends with err.
type pieces struct {
	list []string
	err  error
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.list) == 0 {
		return 0, p.err
	}
	n := copy(b, p.list[0])
	if p.list[0] = p.list[0][n:]; p.list[0] == "" {
		p.list = p.list[1:]
	}
	return n, nil
}

func upstream(x *pdk.Exchange, status int, length int64, body pdk.Body) {
	x.Source = pdk.SourceUpstream
	r := &x.Response
	r.Status, r.UpstreamStatus, r.ContentLength, r.Body = status, status, length, body
}

func TestResponses(t *testing.T) {
	large := strings.Repeat("0123456789", 50_000)
	upper := func(p []byte, last bool) ([]byte, error) {
		if last {
			return []byte("!"), nil
		}
		return bytes.ToUpper(p), nil
	}
	for _, test := range []struct {
		name, method string
		fill         func(x *pdk.Exchange)
		filter       func([]byte, bool) ([]byte, error)
		status       int
		body         string
		chunked      bool
		length       string // header
	}{
		{name: "length", fill: func(x *pdk.Exchange) { upstream(x, 200, 5, &pieces{[]string{"he", "llo"}, io.EOF}) }, status: 200, body: "hello", length: "5"},
		{name: "no length", fill: func(x *pdk.Exchange) { upstream(x, 200, -1, &pieces{[]string{"he", "llo"}, io.EOF}) }, status: 200, body: "hello", chunked: true},
		{name: "large", fill: func(x *pdk.Exchange) { upstream(x, 200, int64(len(large)), &pieces{[]string{large}, io.EOF}) }, status: 200, body: large, length: "500000"},
		{name: "large chunks", fill: func(x *pdk.Exchange) { upstream(x, 200, -1, &pieces{[]string{large, "x"}, io.EOF}) }, status: 200, body: large + "x", chunked: true},
		{name: "large header", fill: func(x *pdk.Exchange) {
			for range 30 {
				x.Response.Header.Add("A", large[:1000])
			}
			upstream(x, 200, -1, &pieces{[]string{"x"}, io.EOF})
		}, status: 200, body: "x", chunked: true},
		{name: "empty", fill: func(x *pdk.Exchange) { upstream(x, 200, 0, nil) }, status: 200, length: "0"},
		{name: "buffered", fill: func(x *pdk.Exchange) { _ = x.ExitBody(418, "", []byte("tea")) }, status: 418, body: "tea", length: "3"},
		{name: "filtered", fill: func(x *pdk.Exchange) { upstream(x, 200, -1, &pieces{[]string{"he", "llo"}, io.EOF}) }, filter: upper, status: 200, body: "HELLO!", chunked: true},
		{name: "buffered and filtered", fill: func(x *pdk.Exchange) { _ = x.ExitBody(200, "", []byte("tea")); x.Response.ContentLength = -1 }, filter: upper, status: 200, body: "TEA!", chunked: true},
		{name: "kept by the filter", fill: func(x *pdk.Exchange) { upstream(x, 200, 5, &pieces{[]string{"he", "llo"}, io.EOF}) }, filter: func(p []byte, _ bool) ([]byte, error) { return p, nil }, status: 200, body: "hello", length: "5"},
		{name: "HEAD", method: "HEAD", fill: func(x *pdk.Exchange) {
			x.Response.Header.Add("Content-Length", "77")
			upstream(x, 200, 77, nil)
		}, status: 200, length: "77"},
		{name: "HEAD of our own", method: "HEAD", fill: func(x *pdk.Exchange) { _ = x.ExitBody(404, "", []byte("none")) }, status: 404, length: "4"},
		{name: "204", fill: func(x *pdk.Exchange) { upstream(x, 204, 0, nil) }, status: 204},
		{name: "304", fill: func(x *pdk.Exchange) { upstream(x, 304, 0, nil) }, status: 304},
		{name: "no reason phrase", fill: func(x *pdk.Exchange) { upstream(x, 799, 1, &pieces{[]string{"x"}, io.EOF}) }, status: 799, body: "x", length: "1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			address, _ := start(t, func(x *pdk.Exchange, r proxy.Responder) {
				test.fill(x)
				if err := r.Send(x, test.filter); err != nil {
					t.Errorf("send: %v", err)
				}
			}, nil)
			method := test.method
			if method == "" {
				method = "GET"
			}
			c := dial(t, address)
			for range 2 { // framing must hold on one connection
				c.send(method + " / HTTP/1.1\r\nHost: h\r\n\r\n")
				resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				if resp.StatusCode != test.status || string(body) != test.body {
					t.Errorf("got %d %.60q, want %d %.60q", resp.StatusCode, body, test.status, test.body)
				}
				if got := len(resp.TransferEncoding) > 0; got != test.chunked || resp.Header.Get("Content-Length") != test.length {
					t.Errorf("chunked %v, Content-Length %q", got, resp.Header.Get("Content-Length"))
				}
				if _, err := http.ParseTime(resp.Header.Get("Date")); err != nil {
					t.Errorf("Date: %v", err)
				}
			}
			// HTTP/1.0 knows no chunks: the body ends with the connection.
			c = dial(t, address)
			c.send(method + " / HTTP/1.0\r\nHost: h\r\n\r\n")
			resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil || string(body) != test.body || len(resp.TransferEncoding) > 0 {
				t.Errorf("HTTP/1.0: %.60q, %v, coding %v", body, err, resp.TransferEncoding)
			}
		})
	}
}

func TestTrailersFollowChunks(t *testing.T) {
	address, _ := start(t, func(x *pdk.Exchange, r proxy.Responder) {
		upstream(x, 200, -1, &pieces{[]string{"x"}, io.EOF})
		x.Response.Trailer.Add("Grpc-Status", "0")
		_ = r.Send(x, nil)
	}, nil)
	c := dial(t, address)
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(resp.Body); err != nil || resp.Trailer.Get("Grpc-Status") != "0" {
		t.Errorf("trailer %v, %v", resp.Trailer, err)
	}
}

var errBroken = errors.New("upstream broke")

// TestBrokenBodiesShow holds that a client can tell a part from the whole.
func TestBrokenBodiesShow(t *testing.T) {
	for name, test := range map[string]struct {
		length int64
		err    error
		filter func([]byte, bool) ([]byte, error)
	}{
		"length, error":   {10, errBroken, nil},
		"length, too few": {10, io.EOF, nil},
		"chunks, error":   {-1, errBroken, nil},
		"filter, error":   {-1, errBroken, func(p []byte, _ bool) ([]byte, error) { return p, nil }},
		"filter fails":    {-1, io.EOF, func(_ []byte, _ bool) ([]byte, error) { return nil, errBroken }},
	} {
		t.Run(name, func(t *testing.T) {
			address, _ := start(t, func(x *pdk.Exchange, r proxy.Responder) {
				upstream(x, 200, test.length, &pieces{[]string{"part"}, test.err})
				fault, ok := errors.AsType[*proxy.SendError](r.Send(x, test.filter))
				if !ok || !fault.Upstream {
					t.Errorf("send: %v, want an upstream's fault", fault)
				}
			}, nil)
			c := dial(t, address)
			c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
			resp, err := http.ReadResponse(c.r, nil)
			if err != nil {
				return // not even a head is fine
			}
			if body, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("%q looks whole", body)
			}
		})
	}
}

func TestInformational(t *testing.T) {
	address, _ := start(t, func(x *pdk.Exchange, r proxy.Responder) {
		var hints pdk.Header
		hints.Add("Link", "</a.css>")
		if err := r.Informational(103, &hints); err != nil {
			t.Error(err)
		}
		echo(x, r)
	}, nil)
	c := dial(t, address)
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	if status, header, _ := c.answer("GET"); status != 103 || header.Get("Link") == "" {
		t.Errorf("got %d %v", status, header)
	}
	c.says("GET", 200, `GET h / ""`)
	c = dial(t, address)
	c.send("GET / HTTP/1.0\r\nHost: h\r\n\r\n")
	c.says("GET", 200, `GET h / ""`)
}

func TestHijack(t *testing.T) {
	address, _ := start(t, func(x *pdk.Exchange, r proxy.Responder) {
		upstream(x, 101, 0, nil)
		x.Response.Header.Add("Upgrade", "echo")
		nc, buffered, err := r.Hijack(x)
		if err != nil {
			_ = x.ExitBody(400, "", []byte(err.Error()))
			_ = r.Send(x, nil)
			return
		}
		defer func() { _ = nc.Close() }()
		line, err := buffered.ReadString('\n')
		if err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(nc, strings.ToUpper(line))
	}, nil)
	c := dial(t, address)
	c.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhel")
	status, header, _ := c.answer("GET")
	if status != 101 || header.Get("Upgrade") != "echo" || !strings.EqualFold(header.Get("Connection"), "upgrade") {
		t.Errorf("got %d %v", status, header)
	}
	c.send("lo\n")
	if line, err := c.r.ReadString('\n'); line != "HELLO\n" {
		t.Errorf("got %q, %v", line, err)
	}
	c = dial(t, address)
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	if status, _, _ := c.answer("GET"); status != 400 {
		t.Errorf("without an upgrade: %d", status)
	}
}

// TestNoTrailerSplitsAnAnswer holds what may follow a body that the gateway holds whole, and
// that no field that a plugin sets makes another one, before or behind the body.
func TestNoTrailerSplitsAnAnswer(t *testing.T) {
	address, _ := start(t, func(x *pdk.Exchange, r proxy.Responder) {
		_ = x.ExitBody(200, "text/plain", []byte("body"))
		x.Response.Header.Add("X-Said", "a\r\nSet-Cookie: b=c\r\n\r\nd\x00")
		x.Response.Header.Add("X-Fine", "a\tb")
		x.Response.Header.Add("X\r\nSet-Cookie", "b=c")
		for _, f := range [][2]string{{"X-Sum", "7"}, {"Set-Cookie", "a=b"}, {"Content-Length", "1"}, {"X-Bad", "a\r\nb: c"}, {"X Bad", "a"}} {
			x.Response.Trailer.Add(f[0], f[1])
		}
		_ = r.Send(x, nil)
	}, nil)
	for _, method := range []string{"GET", "HEAD"} {
		c := dial(t, address)
		c.send(method + " / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		b, err := io.ReadAll(c.r)
		if err != nil {
			t.Fatal(err)
		}
		got := regexp.MustCompile("Date: [^\r]*\r\n").ReplaceAllString(string(b), "")
		want := "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Said: a%0D%0ASet-Cookie: b=c%0D%0A%0D%0Ad%00\r\nX-Fine: a\tb\r\n"
		if method == "GET" {
			want += "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 7\r\n\r\n"
		} else {
			want += "Content-Length: 4\r\nConnection: close\r\n\r\n"
		}
		if got != want {
			t.Errorf("%s: got\n%q, want\n%q", method, got, want)
		}
	}
}
