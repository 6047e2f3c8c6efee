//go:build !race

// Under the race detector pools forget on purpose.

package transport_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"

	"github.com/sluice-gateway/sluice/dataplane/internal/transport"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// flat answers requests without allocating, so that a test can count.
func flat(response string) func(net.Conn, int) {
	b := []byte(response)
	return func(c net.Conn, _ int) {
		buf := make([]byte, 64<<10)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			// A body of a test ends with an end of line.
			if !bytes.HasSuffix(buf[:n], []byte("\r\n")) {
				continue
			}
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	}
}

// repeated is a body that can be read again and again.
type repeated struct {
	p  []byte
	at int
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.at == len(r.p) {
		return 0, io.EOF
	}
	n := copy(p, r.p[r.at:])
	r.at += n
	return n, nil
}

// whole is a body that is in memory.
type whole struct{ repeated }

func (w *whole) Whole() ([]byte, bool) { return w.p, true }

func TestAllocations(t *testing.T) {
	chunked := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
	body := append(bytes.Repeat([]byte("a"), 998), "\r\n"...)
	streamed, inMemory := &repeated{p: body}, &whole{repeated{p: body}}
	for _, tt := range []struct {
		name, response string
		begin          func(x *pdk.Exchange, c *transport.Call)
	}{
		{"GET", ok, func(x *pdk.Exchange, _ *transport.Call) { begin(x, nil, 0) }},
		{"GET of a chunked body", chunked, func(x *pdk.Exchange, _ *transport.Call) { begin(x, nil, 0) }},
		{"POST of what is in memory", ok, func(x *pdk.Exchange, c *transport.Call) {
			begin(x, inMemory, int64(len(body)))
			c.BufferRequest = true
		}},
		{"POST of a stream", ok, func(x *pdk.Exchange, _ *transport.Call) {
			streamed.at = 0
			begin(x, streamed, int64(len(body)))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := listen(t, flat(tt.response))
			e := plain(newTransport(t, transport.Options{}), u.address())
			x, c, buf := newExchange(nil, 0), seconds(), make([]byte, 4096)
			x.Reset()
			once := func() {
				tt.begin(x, c)
				x.Request.Header.Add("Accept", "*/*")
				if err := e.RoundTrip(x, c); err != nil {
					t.Fatal(err)
				}
				for {
					if _, err := x.Response.Body.Read(buf); errors.Is(err, io.EOF) {
						break
					} else if err != nil {
						t.Fatal(err)
					}
				}
				x.Reset()
			}
			once()
			if n := testing.AllocsPerRun(500, once); n > 0 {
				t.Errorf("allocations = %v, want 0", n)
			}
		})
	}
}

// Bodies of any size take the same memory.
func TestLargeBodiesTakeNoMemory(t *testing.T) {
	const size = 256 << 20
	u := listen(t, func(c net.Conn, _ int) {
		buf := make([]byte, 64<<10)
		n, _ := c.Read(buf)
		if bytes.HasPrefix(buf[:n], []byte("POST")) {
			if _, err := io.CopyN(io.Discard, c, size-int64(n-bytes.Index(buf[:n], []byte("\r\n\r\n"))-4)); err != nil {
				return
			}
			_, _ = io.WriteString(c, ok)
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 268435456\r\n\r\n")
		for range size / len(buf) {
			if _, err := c.Write(buf); err != nil {
				return
			}
		}
	})
	e := plain(newTransport(t, transport.Options{}), u.address())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	x := newExchange(&repeatedSize{left: size}, size)
	if err := e.RoundTrip(x, seconds()); err != nil {
		t.Fatal(err)
	}
	readAll(t, x)
	x.Reset()
	begin(x, nil, 0)
	if err := e.RoundTrip(x, seconds()); err != nil {
		t.Fatal(err)
	}
	if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, x.Response.Body, make([]byte, 64<<10)); n != size || err != nil {
		t.Errorf("body = %d bytes, %v", n, err)
	}
	x.Reset()
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 2<<20 {
		t.Errorf("allocated %d bytes for two bodies of %d", n, size)
	}
}

// repeatedSize gives bytes that it does not set.
type repeatedSize struct{ left int }

func (r *repeatedSize) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), r.left)
	r.left -= n
	return n, nil
}

func BenchmarkRoundTrip(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go flat("HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Tue, 24 Nov 2026 04:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello")(c, 0)
		}
	}()
	e := plain(newTransport(b, transport.Options{}), ln.Addr().String())
	x, c, buf := new(pdk.Exchange), seconds(), make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		begin(x, nil, 0)
		x.Request.Header.Add("Accept", "*/*")
		x.Request.Header.Add("User-Agent", "bench")
		x.Request.Header.Add("X-Forwarded-For", "127.0.0.1")
		if err := e.RoundTrip(x, c); err != nil {
			b.Fatal(err)
		}
		if _, err := x.Response.Body.Read(buf); err != nil {
			b.Fatal(err)
		}
		x.Reset()
	}
}
