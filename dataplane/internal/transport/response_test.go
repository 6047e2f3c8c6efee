package transport_test

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/dataplane/internal/transport"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// piecemeal answers every request with s, written in pieces of n bytes.
func piecemeal(s string, n int) func(net.Conn, int) {
	return func(c net.Conn, _ int) {
		buf := make([]byte, 64<<10)
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
			for rest := s; rest != ""; {
				p := rest[:min(n, len(rest))]
				if _, err := io.WriteString(c, p); err != nil {
					return
				}
				rest = rest[len(p):]
			}
			if !strings.Contains(s, "Content-Length") && !strings.Contains(s, "chunked") && !strings.Contains(s, "204") {
				return
			}
		}
	}
}

func TestResponses(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 10<<10)
	large := strings.Repeat("v", 6<<10)
	for _, tt := range []struct {
		name, method, response string
		status                 int
		reason                 string
		length                 int64
		body                   string
		noBody                 bool
		header, trailer        []pdk.Field
	}{
		{
			name: "length", response: "HTTP/1.1 200 Fine\r\nContent-Length: 3\r\nX-A: 1\r\nx-a:  2 \r\n\r\nabc", status: 200, reason: "Fine", length: 3, body: "abc",
			header: []pdk.Field{{Name: "Content-Length", Value: "3"}, {Name: "X-A", Value: "1"}, {Name: "x-a", Value: "2"}},
		},
		{name: "long", response: "HTTP/1.1 200 OK\r\nContent-Length: 163840\r\n\r\n" + long, status: 200, reason: "OK", length: 163840, body: long},
		{name: "no reason", response: "HTTP/1.1 201\r\nContent-Length: 1\r\n\r\na", status: 201, length: 1, body: "a"},
		{name: "empty", response: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", status: 200, reason: "OK", noBody: true},
		{name: "204", response: "HTTP/1.1 204 No Content\r\n\r\n", status: 204, reason: "No Content", noBody: true},
		{name: "304 with the length of what it stands for", response: "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", status: 304, reason: "Not Modified", length: 9, noBody: true},
		{name: "HEAD", method: "HEAD", response: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", status: 200, reason: "OK", length: 9, noBody: true},
		{name: "HEAD of a chunked one", method: "HEAD", response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", status: 200, reason: "OK", noBody: true},
		{name: "chunked", response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", status: 200, reason: "OK", length: -1, body: "abc0123456789"},
		{
			name: "chunked with trailers", response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n1\r\na\r\n0\r\nX-Sum: 7\r\nContent-Length: 4\r\n\r\n",
			status: 200, reason: "OK", length: -1, body: "a", trailer: []pdk.Field{{Name: "X-Sum", Value: "7"}},
		},
		{name: "until close", response: "HTTP/1.1 200 OK\r\n\r\nabc", status: 200, reason: "OK", length: -1, body: "abc"},
		{name: "until close, empty", response: "HTTP/1.0 200 OK\r\n\r\n", status: 200, reason: "OK", length: -1},
		{name: "100 first", response: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", status: 200, reason: "OK", length: 1, body: "a"},
		{
			name: "large head", response: "HTTP/1.1 200 OK\r\nA: " + large + "\r\nB: " + large + "\r\nC: " + large + "\r\nContent-Length: 1\r\n\r\na", status: 200, reason: "OK", length: 1, body: "a",
			header: []pdk.Field{{Name: "A", Value: large}, {Name: "B", Value: large}, {Name: "C", Value: large}, {Name: "Content-Length", Value: "1"}},
		},
		{name: "head that leaves little room", response: "HTTP/1.1 200 OK\r\nA: " + large + "\r\nB: " + large[:1900] + "\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", status: 200, reason: "OK", length: -1, body: "abc"},
	} {
		for _, size := range []int{1 << 20, 7} {
			if size == 7 && len(tt.response) > 1000 {
				size = 1000
			}
			t.Run(tt.name, func(t *testing.T) {
				u := listen(t, piecemeal(tt.response, size))
				e := plain(newTransport(t, transport.Options{}), u.address())
				x := newExchange(nil, 0)
				for range 2 { // twice, for a kept connection and used memory
					begin(x, nil, 0)
					if tt.method != "" {
						x.Upstream.Method = tt.method
					}
					if err := e.RoundTrip(x, seconds()); err != nil {
						t.Fatalf("RoundTrip = %v", err)
					}
					r := &x.Response
					if r.Status != tt.status || r.UpstreamStatus != tt.status || r.Reason != tt.reason {
						t.Errorf("status = %d %d %q, want %d %q", r.Status, r.UpstreamStatus, r.Reason, tt.status, tt.reason)
					}
					if r.ContentLength != tt.length {
						t.Errorf("ContentLength = %d, want %d", r.ContentLength, tt.length)
					}
					if (r.Body == nil) != tt.noBody {
						t.Errorf("Body = %v, want none: %v", r.Body, tt.noBody)
					}
					if body := readAll(t, x); body != tt.body {
						t.Errorf("body = %d bytes %.40q, want %d", len(body), body, len(tt.body))
					}
					if tt.header != nil {
						if diff := cmp.Diff(tt.header, r.Header.Fields()); diff != "" {
							t.Errorf("header (-want +got):\n%s", diff)
						}
					}
					if diff := cmp.Diff(tt.trailer, r.Trailer.Fields(), cmp.Transformer("nil", func(f []pdk.Field) []pdk.Field {
						return append([]pdk.Field{}, f...)
					})); diff != "" {
						t.Errorf("trailer (-want +got):\n%s", diff)
					}
					x.Reset()
				}
			})
		}
	}
}

func TestMalformedResponses(t *testing.T) {
	for name, response := range map[string]string{
		"not HTTP":               "SSH-2.0-OpenSSH_9.2\r\n",
		"HTTP/2":                 "HTTP/2.0 200 OK\r\n\r\n",
		"status of two digits":   "HTTP/1.1 20 OK\r\n\r\n",
		"status of four digits":  "HTTP/1.1 2000 OK\r\n\r\n",
		"status 0xx":             "HTTP/1.1 099 OK\r\n\r\n",
		"bare LF":                "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
		"folded line":            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
		"space before colon":     "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
		"no name":                "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
		"NUL in a value":         "HTTP/1.1 200 OK\r\nA: b\x00\r\n\r\n",
		"bare CR in a value":     "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
		"two lengths":            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
		"length with a sign":     "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na",
		"length list":            "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\na",
		"length and chunked":     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"chunked in HTTP/1.0":    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"gzip coding":            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"101 that nobody wanted": "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
		"interim that is broken": "HTTP/1.1 1xx\r\n\r\n",
		"interims without end":   strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 17),
		"head without end":       "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 20000),
	} {
		t.Run(name, func(t *testing.T) {
			u := listen(t, piecemeal(response, 1<<20))
			e := plain(newTransport(t, transport.Options{}), u.address())
			x := newExchange(nil, 0)
			x.Response.Header.Add("Mine", "stays")
			err := e.RoundTrip(x, seconds())
			if err == nil || err.Kind != transport.ErrBadResponse || !err.Sent || err.Error() == "" {
				t.Fatalf("RoundTrip = %+v, want ErrBadResponse", err)
			}
			want := []pdk.Field{{Name: "Mine", Value: "stays"}}
			if diff := cmp.Diff(want, x.Response.Header.Fields()); diff != "" {
				t.Errorf("header after an error (-want +got):\n%s", diff)
			}
			x.Reset()
		})
	}
}

func TestBrokenBodies(t *testing.T) {
	for name, response := range map[string]string{
		"short":              "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
		"no last chunk":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
		"bad chunk size":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n",
		"chunk without end":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
		"unfinished trailer": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			u := listen(t, func(c net.Conn, _ int) {
				buf := make([]byte, 4096)
				_, _ = c.Read(buf)
				_, _ = io.WriteString(c, response)
			})
			e := plain(newTransport(t, transport.Options{}), u.address())
			x := newExchange(nil, 0)
			if err := e.RoundTrip(x, seconds()); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(x.Response.Body); err == nil {
				t.Error("body was read without an error")
			}
			x.Reset()
			begin(x, nil, 0)
			if err := e.RoundTrip(x, seconds()); err != nil {
				t.Error(err)
			}
			x.Reset()
			if n := u.accepted.Load(); n != 2 {
				t.Errorf("connections = %d, want 2", n)
			}
		})
	}
}

// informer notes interim responses.
type informer struct{ got []string }

func (i *informer) Informational(status int, h *pdk.Header) error {
	i.got = append(i.got, strings.Repeat("i", status-100)+strings.Clone(h.Get("Link")))
	return nil
}

func TestInterimResponses(t *testing.T) {
	u := listen(t, always("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"+ok))
	e := plain(newTransport(t, transport.Options{}), u.address())
	x := newExchange(nil, 0)
	defer x.Reset()
	c, i := seconds(), &informer{}
	c.Informational = i
	if err := e.RoundTrip(x, c); err != nil {
		t.Fatal(err)
	}
	if body := readAll(t, x); body != "ok" || x.Response.Header.Len() != 1 {
		t.Errorf("body = %q, header = %v", body, x.Response.Header.Fields())
	}
	if diff := cmp.Diff([]string{"iii</a>", "ii"}, i.got); diff != "" {
		t.Errorf("interim responses (-want +got):\n%s", diff)
	}
}

// A small body is in memory with the head: it can be taken without copying.
func TestSmallBodyIsWhole(t *testing.T) {
	u := listen(t, always(ok))
	e := plain(newTransport(t, transport.Options{}), u.address())
	for range 2 {
		x := newExchange(nil, 0)
		if err := e.RoundTrip(x, seconds()); err != nil {
			t.Fatal(err)
		}
		w, isWhole := x.Response.Body.(interface {
			Whole() ([]byte, bool)
			Done() bool
		})
		if !isWhole {
			t.Fatal("body does not say whether it is in memory")
		}
		if b, whole := w.Whole(); !whole || string(b) != "ok" || !w.Done() {
			t.Errorf("Whole() = %q, %v", b, whole)
		}
		x.Reset()
	}
	if n := u.accepted.Load(); n != 1 {
		t.Errorf("connections = %d, want 1", n)
	}
}
