package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/shared/schema"
	"github.com/sluice-gateway/sluice/shared/settings"
)

// TestTrailers holds what becomes of trailers between HTTP/1.1 and HTTP/2 clients and an
// HTTP/1.1 upstream: both ways they go through, announced to those who ask for them, and
// nothing that belongs to a head or tells who the client is goes behind a body.
func TestTrailers(t *testing.T) {
	requests := make(chan string, 8)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go answerWithTrailers(nc, requests)
		}
	}()
	g := newGatewayOn(t, settings.Listener{Network: "tcp", Address: "127.0.0.1:0", IP: "127.0.0.1", HTTP2: true}, nil)
	for _, buffering := range []bool{true, false} {
		g.serve(
			g.change("services", schema.Object{"id": serviceID, "url": "http://" + ln.Addr().String()}),
			g.change("routes", schema.Object{"id": routeID, "paths": []any{"/"}, "service": schema.Object{"id": serviceID}, "request_buffering": buffering, "response_buffering": buffering}),
		)
		for _, te := range []string{"", "TE: trailers\r\n", "TE: gzip, Trailers;q=0.5\r\nConnection: TE\r\n"} {
			t.Run(fmt.Sprintf("HTTP/1.1, buffering %v, %q", buffering, te), func(t *testing.T) {
				got := g.raw("POST / HTTP/1.1\r\nHost: h\r\n" + te + "Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n" +
					"3\r\nabc\r\n0\r\nX-Sum: 7\r\nX-Consumer-Username: admin\r\nContent-Length: 5\r\nHost: evil\r\n\r\n" +
					"GET / HTTP/1.0\r\nHost: h\r\n\r\n")
				up := received(t, requests)
				if !strings.HasSuffix(up, "\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n") || !strings.Contains(up, "\r\nTrailer: X-Sum\r\n") ||
					strings.Contains(up, "\r\nTE: trailers\r\n") != (te != "") {
					t.Errorf("the upstream got %q", up)
				}
				received(t, requests)
				first, second, _ := strings.Cut(strings.TrimPrefix(got, "HTTP/1.1 200 OK\r\n"), "HTTP/1.1 200 OK\r\n")
				if !strings.HasSuffix(first, "\r\n\r\n2\r\nhi\r\n0\r\nX-Md5: 9\r\n\r\n") || strings.Contains(first, "Trailer: X-Md5\r\n") != (te != "") {
					t.Errorf("the client got %q", first)
				}
				// HTTP/1.0 has none.
				if !strings.HasSuffix(second, "\r\n\r\nhi") || strings.Contains(second, "Trailer") {
					t.Errorf("the client of HTTP/1.0 got %q", second)
				}
			})
		}
		t.Run(fmt.Sprintf("HTTP/2, buffering %v", buffering), func(t *testing.T) {
			var p http.Protocols
			p.SetUnencryptedHTTP2(true)
			tr := &http.Transport{Protocols: &p}
			defer tr.CloseIdleConnections()
			q, err := http.NewRequest(http.MethodPost, "http://"+g.address+"/", struct{ io.Reader }{strings.NewReader("abc")})
			if err != nil {
				t.Fatal(err)
			}
			q.Trailer = http.Header{"X-Sum": {"7"}, "X-Forwarded-For": {"1.1.1.1"}}
			resp, err := (&http.Client{Transport: tr, Timeout: 30 * time.Second}).Do(q)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "hi" || len(resp.Trailer) != 1 || resp.Trailer.Get("X-Md5") != "9" {
				t.Errorf("the client got %q, %v, trailer %v", b, err, resp.Trailer)
			}
			if up := received(t, requests); !strings.HasSuffix(up, "\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n") {
				t.Errorf("the upstream got %q", up)
			}
		})
	}
}

// received takes what an upstream got; a request that never came fails the test.
func received[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	timer := time.NewTimer(30 * time.Second)
	defer timer.Stop()
	select {
	case v := <-from:
		return v
	case <-timer.C:
		t.Fatal("no request came to the upstream")
	}
	panic("unreachable")
}

// answerWithTrailers reads requests as they come over the wire.
func answerWithTrailers(nc net.Conn, requests chan<- string) {
	defer func() { _ = nc.Close() }()
	r := bufio.NewReader(nc)
	for {
		head := ""
		for !strings.HasSuffix(head, "\r\n\r\n") {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			head += line
		}
		if strings.Contains(head, "chunked") {
			end := len(head)
			for !strings.HasSuffix(head[end:], "\r\n\r\n") {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				head += line
			}
		}
		requests <- head
		_, _ = io.WriteString(nc, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Md5\r\n\r\n2\r\nhi\r\n0\r\nX-Md5: 9\r\nSet-Cookie: a=b\r\nContent-Length: 3\r\n\r\n")
	}
}

// raw sends text and returns all that comes back until the gateway closes.
func (g *gateway) raw(text string) string {
	g.t.Helper()
	nc := g.sent(text, 30*time.Second)
	defer func() { _ = nc.Close() }()
	b, err := io.ReadAll(nc)
	if err != nil {
		g.t.Errorf("after %q: %v", b, err)
	}
	return string(b)
}
