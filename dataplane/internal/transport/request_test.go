package transport_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/dataplane/internal/transport"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

func TestRequestHead(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(x *pdk.Exchange, c *transport.Call)
		want   string
	}{
		{"plain", func(*pdk.Exchange, *transport.Call) {}, "GET / HTTP/1.1\r\nHost: example.test\r\nConnection: keep-alive\r\n\r\n"},
		{"query", func(x *pdk.Exchange, _ *transport.Call) {
			x.Upstream.Path, x.Upstream.RawQuery, x.Upstream.HasQuery = "/a%20b", "c=d?e", true
		}, "GET /a%20b?c=d?e HTTP/1.1\r\nHost: example.test\r\nConnection: keep-alive\r\n\r\n"},
		{
			"empty query", func(x *pdk.Exchange, _ *transport.Call) { x.Upstream.HasQuery = true },
			"GET /? HTTP/1.1\r\nHost: example.test\r\nConnection: keep-alive\r\n\r\n",
		},
		{"fields in order, without ours", func(x *pdk.Exchange, _ *transport.Call) {
			for _, f := range []string{"b: 1", "Connection: close", "A: 2", "keep-alive: 3", "Expect: 100-continue", "Upgrade: x", "Host: other", "transfer-encoding: gzip", "Proxy-Connection: y", "Content-Length: 77", "b: 4"} {
				name, value, _ := strings.Cut(f, ": ")
				x.Request.Header.Add(name, value)
			}
		}, "GET / HTTP/1.1\r\nHost: example.test\r\nConnection: keep-alive\r\nb: 1\r\nA: 2\r\nContent-Length: 0\r\nb: 4\r\n\r\n"},
		{"upgrade", func(x *pdk.Exchange, c *transport.Call) {
			c.Upgrade = true
			x.Request.Header.Add("Upgrade", "websocket")
		}, "GET / HTTP/1.1\r\nHost: example.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"},
		{"body in memory", func(x *pdk.Exchange, _ *transport.Call) {
			x.Upstream.Method = "PUT"
			x.SetBody([]byte("abc"))
		}, "PUT / HTTP/1.1\r\nHost: example.test\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc"},
		{
			"empty path", func(x *pdk.Exchange, _ *transport.Call) { x.Upstream.Path = "" },
			"GET / HTTP/1.1\r\nHost: example.test\r\nConnection: keep-alive\r\n\r\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := make(chan string, 1)
			u := listen(t, func(c net.Conn, _ int) {
				buf := make([]byte, 4096)
				n, _ := c.Read(buf) // head and body come at once
				got <- string(buf[:n])
				_, _ = io.WriteString(c, ok)
			})
			x, c := newExchange(nil, 0), seconds()
			tt.change(x, c)
			if err := plain(newTransport(t, transport.Options{}), u.address()).RoundTrip(x, c); err != nil {
				t.Fatal(err)
			}
			x.Reset()
			if diff := cmp.Diff(tt.want, <-got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRequestsThatCanNotBeWritten(t *testing.T) {
	for name, change := range map[string]func(x *pdk.Exchange){
		"method":       func(x *pdk.Exchange) { x.Upstream.Method = "GE T" },
		"path":         func(x *pdk.Exchange) { x.Upstream.Path = "/a b" },
		"path with LF": func(x *pdk.Exchange) { x.Upstream.Path = "/a\nb" },
		"query":        func(x *pdk.Exchange) { x.Upstream.RawQuery, x.Upstream.HasQuery = "a#b", true },
		"host":         func(x *pdk.Exchange) { x.Upstream.HostHeader = "a\r\nb: c" },
		"name":         func(x *pdk.Exchange) { x.Request.Header.Add("a b", "c") },
		"value":        func(x *pdk.Exchange) { x.Request.Header.Add("a", "b\r\nc: d") },
	} {
		t.Run(name, func(t *testing.T) {
			u := listen(t, always(ok))
			tr := newTransport(t, transport.Options{})
			for _, protocol := range []string{transport.HTTP1, transport.H2C} {
				e := tr.Endpoint(transport.EndpointKey{Network: "tcp", Address: u.address(), Protocol: protocol}, nil)
				x := newExchange(nil, 0)
				change(x)
				if err := e.RoundTrip(x, seconds()); err == nil || err.Kind != transport.ErrRequest || err.Sent {
					t.Errorf("%s: RoundTrip = %+v, want ErrRequest", protocol, err)
				}
				x.Reset()
			}
			if n := u.accepted.Load(); n != 0 {
				t.Errorf("connections = %d, want 0", n)
			}
		})
	}
}

// summing answers with the length of a body and the sum of its bytes, and how it came.
func summing() func(net.Conn, int) {
	return func(c net.Conn, _ int) {
		br := bufio.NewReader(c)
		for {
			r, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			n, sum, buf := 0, 0, make([]byte, 32<<10)
			for {
				m, err := r.Body.Read(buf)
				for _, b := range buf[:m] {
					sum += int(b)
				}
				n += m
				if err == io.EOF {
					break
				}
				if err != nil {
					return
				}
			}
			s := fmt.Sprintf("%d %d %d %v", n, sum, r.ContentLength, r.TransferEncoding)
			_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(s), s)
		}
	}
}

// pattern is a body of n bytes that is never in memory.
type pattern struct{ n, at int }

func (p *pattern) Read(b []byte) (int, error) {
	if p.at == p.n {
		return 0, io.EOF
	}
	b = b[:min(len(b), p.n-p.at, 5000)]
	for i := range b {
		b[i] = byte(p.at + i)
	}
	p.at += len(b)
	return len(b), nil
}

func (p *pattern) sum() int {
	s := 0
	for i := range p.n {
		s += int(byte(i))
	}
	return s
}

func TestRequestBodies(t *testing.T) {
	for _, size := range []int{1, 100, 16 << 10, 16<<10 + 1, 200 << 10, 3 << 20} {
		for _, known := range []bool{true, false} {
			for _, buffered := range []string{"no", "call", "plugin"} {
				if buffered == "plugin" && !known {
					continue
				}
				t.Run(fmt.Sprintf("%d bytes, length known %v, buffered %s", size, known, buffered), func(t *testing.T) {
					u := listen(t, summing())
					e := plain(newTransport(t, transport.Options{TempDir: t.TempDir()}), u.address())
					x := newExchange(nil, 0)
					for range 2 {
						p := &pattern{n: size}
						length, coding := int64(size), "[]"
						if !known {
							length, coding = -1, "[chunked]"
						}
						begin(x, p, length)
						c := seconds()
						switch buffered {
						case "call":
							c.BufferRequest = true
							length, coding = int64(size), "[]"
						case "plugin":
							if _, err := x.BufferBody(0); err != nil {
								t.Fatal(err)
							}
						}
						want := fmt.Sprintf("%d %d %d %s", size, p.sum(), length, coding)
						if err := e.RoundTrip(x, c); err != nil {
							t.Fatal(err)
						}
						if got := readAll(t, x); got != want {
							t.Errorf("upstream saw %q, want %q", got, want)
						}
						x.Reset()
					}
					if n := u.accepted.Load(); n != 1 {
						t.Errorf("connections = %d, want 1", n)
					}
				})
			}
		}
	}
}

// A stored body goes to the next endpoint too, a stream does not.
func TestBodyForAnotherTry(t *testing.T) {
	dead := listen(t, answering(func(*http.Request, []byte, int) string { return "" }))
	alive := listen(t, summing())
	tr := newTransport(t, transport.Options{TempDir: t.TempDir()})
	for _, size := range []int{100, 300 << 10} {
		for _, buffer := range []bool{true, false} {
			p := &pattern{n: size}
			x, c := newExchange(p, int64(size)), seconds()
			c.BufferRequest = buffer
			err := plain(tr, dead.address()).RoundTrip(x, c)
			if err == nil || err.BodyTaken == buffer {
				t.Errorf("size %d, buffer %v: RoundTrip = %+v", size, buffer, err)
			}
			if buffer {
				if err := plain(tr, alive.address()).RoundTrip(x, c); err != nil {
					t.Error(err)
				} else if got, want := readAll(t, x), fmt.Sprintf("%d %d", size, p.sum()); !strings.HasPrefix(got, want) {
					t.Errorf("upstream saw %q, want %q", got, want)
				}
			}
			x.Reset()
		}
	}
}

func TestBodyLimits(t *testing.T) {
	u := listen(t, summing())
	tr := newTransport(t, transport.Options{TempDir: t.TempDir()})
	for _, protocol := range []string{transport.HTTP1, transport.H2C} {
		e := tr.Endpoint(transport.EndpointKey{Network: "tcp", Address: u.address(), Protocol: protocol}, nil)
		for _, buffer := range []bool{true, false} {
			for _, length := range []int64{100 << 10, -1} {
				if protocol == transport.H2C && !buffer {
					continue // the upstream here speaks HTTP/1 only
				}
				x, c := newExchange(&pattern{n: 100 << 10}, length), seconds()
				c.BufferRequest, c.MaxBody = buffer, 99<<10
				if err := e.RoundTrip(x, c); err == nil || err.Kind != transport.ErrBodyTooLarge {
					t.Errorf("%s, buffer %v, length %d: RoundTrip = %v, want ErrBodyTooLarge", protocol, buffer, length, err)
				}
				x.Reset()
			}
		}
	}
	x, c := newExchange(nil, 0), seconds()
	x.SetBody(make([]byte, 10))
	c.MaxBody = 9
	if err := plain(tr, u.address()).RoundTrip(x, c); err == nil || err.Kind != transport.ErrBodyTooLarge {
		t.Errorf("RoundTrip = %v, want ErrBodyTooLarge", err)
	}
}

type failing struct {
	n   int
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	if f.n == 0 {
		return 0, f.err
	}
	n := min(f.n, len(p))
	f.n -= n
	return n, nil
}

func TestClientsBodyFails(t *testing.T) {
	u := listen(t, summing())
	tr := newTransport(t, transport.Options{})
	for _, buffer := range []bool{true, false} {
		for _, cause := range []error{os.ErrDeadlineExceeded, io.EOF} {
			x, c := newExchange(&failing{n: 40000, err: cause}, 50000), seconds()
			c.BufferRequest = buffer && !errors.Is(cause, io.EOF)
			err := plain(tr, u.address()).RoundTrip(x, c)
			if err == nil || err.Kind != transport.ErrRequestBody || !err.BodyTaken || !errors.Is(cause, io.EOF) && !errors.Is(err, cause) {
				t.Errorf("buffer %v, %v: RoundTrip = %+v, want ErrRequestBody", buffer, cause, err)
			}
			x.Reset()
		}
	}
}

func TestNoPlaceForTheBody(t *testing.T) {
	u := listen(t, summing())
	tr := newTransport(t, transport.Options{TempDir: t.TempDir() + "/none"})
	x, c := newExchange(&pattern{n: 1 << 20}, 1<<20), seconds()
	c.BufferRequest = true
	defer x.Reset()
	if err := plain(tr, u.address()).RoundTrip(x, c); err == nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("RoundTrip = %v, want an error of the directory", err)
	}
}

// TestRequestTrailersOverHTTP1 holds that trailers follow a body in chunks, whatever way the
// body goes, without those that an upstream could take for something that the gateway said.
func TestRequestTrailersOverHTTP1(t *testing.T) {
	const head = "POST / HTTP/1.1\r\nHost: example.test\r\nConnection: keep-alive\r\nX-Here: 1\r\n"
	chunk := func(n int) string {
		if n == 0 {
			return ""
		}
		return fmt.Sprintf("%x\r\n%s\r\n", n, strings.Repeat("x", n))
	}
	for name, tt := range map[string]struct {
		size    int
		length  int64
		buffer  bool
		trailer []string
		want    string
	}{
		"streamed":              {3, -1, false, []string{"X-Sum: 7"}, "Transfer-Encoding: chunked\r\n\r\n" + chunk(3) + "0\r\nX-Sum: 7\r\n\r\n"},
		"streamed, none":        {3, -1, false, nil, "Transfer-Encoding: chunked\r\n\r\n" + chunk(3) + "0\r\n\r\n"},
		"streamed, announced":   {3, 3, false, []string{"X-Sum: 7"}, "Content-Length: 3\r\n\r\nxxx"},
		"read whole":            {3, -1, true, []string{"X-Sum: 7", "x-two: b c"}, "Transfer-Encoding: chunked\r\n\r\n" + chunk(3) + "0\r\nX-Sum: 7\r\nx-two: b c\r\n\r\n"},
		"read whole, none":      {3, -1, true, nil, "Content-Length: 3\r\n\r\nxxx"},
		"read whole, no body":   {0, -1, true, []string{"X-Sum: 7"}, "Transfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 7\r\n\r\n"},
		"read whole, in a file": {20_000, -1, true, []string{"X-Sum: 7"}, "Transfer-Encoding: chunked\r\n\r\n" + chunk(10_000) + chunk(10_000) + "0\r\nX-Sum: 7\r\n\r\n"},
		"none that may stand there": {
			3, -1, true,
			[]string{
				"Content-Length: 7", "Transfer-Encoding: chunked", "Host: b", "Authorization: x", "Cookie: a=b", "If-Match: x", "Trailer: x", "x-here: 2",
				"X-Consumer-Username: admin", "x_consumer_id: 1", "X-Forwarded-For: 1.1.1.1", "X-Real-IP: 1.1.1.1", "Forwarded: for=x", "Via: x", "X-Kong-Request-Id: x",
				"X-Credential-Identifier: x", "X-Anonymous-Consumer: true", "X-Authenticated-Groups: admin",
			},
			"Content-Length: 3\r\n\r\nxxx",
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := head + tt.want
			got := make(chan string, 1)
			u := listen(t, func(c net.Conn, _ int) {
				buf := make([]byte, len(want))
				n, _ := io.ReadFull(c, buf)
				got <- string(buf[:n])
				_, _ = io.WriteString(c, ok)
			})
			x, c := newExchange(nil, 0), seconds()
			c.BufferRequest = tt.buffer
			begin(x, &followed{strings.NewReader(strings.Repeat("x", tt.size)), x, tt.trailer}, tt.length)
			x.Request.Header.Add("X-Here", "1")
			if err := plain(newTransport(t, transport.Options{MaxBuffered: 10_000, TempDir: t.TempDir()}), u.address()).RoundTrip(x, c); err != nil {
				t.Fatal(err)
			}
			x.Reset()
			if diff := cmp.Diff(want, <-got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}

// followed is a body with trailers, which are there once it has ended.
type followed struct {
	io.Reader

	x     *pdk.Exchange
	lines []string
}

func (r *followed) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF {
		for _, l := range r.lines {
			name, value, _ := strings.Cut(l, ": ")
			r.x.Request.Trailer.Add(name, value)
		}
		r.lines = nil
	}
	return n, err
}
