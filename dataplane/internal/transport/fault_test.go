package transport_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/transport"
)

const short = 30 * time.Millisecond

// hold keeps connections open without reading until the test ends.
func hold(t *testing.T) func(net.Conn, int) {
	return func(net.Conn, int) { <-t.Context().Done() }
}

func TestTimeouts(t *testing.T) {
	silent := func(c net.Conn, _ int) { _, _ = io.Copy(io.Discard, c) }
	for _, tt := range []struct {
		name    string
		serve   func(t *testing.T) func(net.Conn, int)
		body    int
		buffer  bool
		calls   transport.Timeouts
		options transport.Options
		want    transport.ErrorKind
		sent    bool
	}{
		{name: "connect", calls: transport.Timeouts{Connect: short}, want: transport.ErrConnectTimeout, options: transport.Options{
			Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
		}},
		{name: "read", calls: transport.Timeouts{Read: short}, want: transport.ErrReadTimeout, sent: true},
		{name: "read after a body", body: 100 << 10, calls: transport.Timeouts{Read: short}, want: transport.ErrReadTimeout, sent: true},
		{name: "read after a buffered body", body: 100 << 10, buffer: true, calls: transport.Timeouts{Read: short}, want: transport.ErrReadTimeout, sent: true},
		{name: "read after half a head", calls: transport.Timeouts{Read: short}, want: transport.ErrReadTimeout, sent: true, serve: func(*testing.T) func(net.Conn, int) {
			return func(c net.Conn, _ int) {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nA: ")
				silent(c, 0)
			}
		}},
		{name: "write", body: 64 << 20, calls: transport.Timeouts{Write: short, Read: time.Minute}, want: transport.ErrWriteTimeout, sent: true, serve: hold},
		{name: "write of a buffered body", body: 64 << 20, buffer: true, calls: transport.Timeouts{Write: short, Read: time.Minute}, want: transport.ErrWriteTimeout, sent: true, serve: hold},
	} {
		t.Run(tt.name, func(t *testing.T) {
			handle := silent
			if tt.serve != nil {
				handle = tt.serve(t)
			}
			u := listen(t, handle)
			tt.options.TempDir = t.TempDir()
			e := plain(newTransport(t, tt.options), u.address())
			x := newExchange(nil, 0)
			if tt.body > 0 {
				x = newExchange(&pattern{n: tt.body}, int64(tt.body))
			}
			defer x.Reset()
			began := time.Now()
			err := e.RoundTrip(x, &transport.Call{Timeouts: tt.calls, BufferRequest: tt.buffer})
			if err == nil || err.Kind != tt.want || err.Sent != tt.sent {
				t.Errorf("RoundTrip = %+v, want kind %d, sent %v", err, tt.want, tt.sent)
			}
			if took := time.Since(began); took < short {
				t.Errorf("took %v, want at least %v", took, short)
			}
		})
	}
}

// The time that a client needs for its body, or for a response, is not the upstream's.
func TestSlowClientIsNotATimeout(t *testing.T) {
	u := listen(t, summing())
	e := plain(newTransport(t, transport.Options{}), u.address())
	pr, pw := io.Pipe()
	go func() {
		for range 3 {
			time.Sleep(short)
			_, _ = pw.Write([]byte("abc"))
		}
		_ = pw.Close()
	}()
	x := newExchange(&reader{r: pr}, 9)
	defer x.Reset()
	c := &transport.Call{Timeouts: transport.Timeouts{Connect: short, Write: short, Read: short}}
	if err := e.RoundTrip(x, c); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * short)
	if body := readAll(t, x); !strings.HasPrefix(body, "9 ") {
		t.Errorf("upstream saw %q", body)
	}
}

func TestBodyTimeout(t *testing.T) {
	u := listen(t, func(c net.Conn, _ int) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
		_, _ = io.Copy(io.Discard, c)
	})
	x := newExchange(nil, 0)
	defer x.Reset()
	if err := plain(newTransport(t, transport.Options{}), u.address()).RoundTrip(x, &transport.Call{Timeouts: transport.Timeouts{Read: short}}); err != nil {
		t.Fatal(err)
	}
	_, err := io.ReadAll(x.Response.Body)
	var ne net.Error
	if !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("read = %v, want a timeout", err)
	}
}

// An idle connection's old deadline is not the next request's.
func TestDeadlineOfEachRequest(t *testing.T) {
	u := listen(t, always(ok))
	e := plain(newTransport(t, transport.Options{}), u.address())
	for _, timeout := range []time.Duration{short, 0, short, time.Minute} {
		x := newExchange(nil, 0)
		if err := e.RoundTrip(x, &transport.Call{Timeouts: transport.Timeouts{Read: timeout, Write: timeout}}); err != nil {
			t.Fatal(err)
		}
		readAll(t, x)
		x.Reset()
		time.Sleep(2 * short)
	}
	if n := u.accepted.Load(); n != 1 {
		t.Errorf("connections = %d, want 1", n)
	}
}

func TestConnectRefused(t *testing.T) {
	u := listen(t, always(ok))
	u.close()
	for _, protocol := range []string{transport.HTTP1, transport.H2C} {
		e := newTransport(t, transport.Options{}).Endpoint(transport.EndpointKey{Network: "tcp", Address: u.address(), Protocol: protocol}, nil)
		x := newExchange(nil, 0)
		if err := e.RoundTrip(x, seconds()); err == nil || err.Kind != transport.ErrConnect || err.Sent || err.BodyTaken {
			t.Errorf("%s: RoundTrip = %+v, want ErrConnect", protocol, err)
		}
		x.Reset()
	}
}

func TestResetIsAReadError(t *testing.T) {
	u := listen(t, func(c net.Conn, _ int) {
		_, _ = c.Read(make([]byte, 4096))
		_ = c.(*net.TCPConn).SetLinger(0)
	})
	if _, err := get(t, plain(newTransport(t, transport.Options{}), u.address())); err == nil || err.Kind != transport.ErrRead || !err.Sent {
		t.Errorf("RoundTrip = %+v, want ErrRead", err)
	}
}

func TestEarlyAnswers(t *testing.T) {
	const refusal = "HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge"
	for _, tt := range []struct {
		name   string
		handle func(t *testing.T) func(net.Conn, int)
	}{
		{"does not read", func(t *testing.T) func(net.Conn, int) {
			return func(c net.Conn, _ int) {
				_, _ = io.WriteString(c, refusal)
				<-t.Context().Done()
			}
		}},
		{"interim response first", func(t *testing.T) func(net.Conn, int) {
			return func(c net.Conn, _ int) {
				_, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
				time.Sleep(short)
				_, _ = io.WriteString(c, refusal)
				<-t.Context().Done()
			}
		}},
		{"stops reading in the middle", func(t *testing.T) func(net.Conn, int) {
			return func(c net.Conn, _ int) {
				_, _ = io.CopyN(io.Discard, c, 1<<20)
				_, _ = io.WriteString(c, refusal)
				<-t.Context().Done()
			}
		}},
		{"half-closes", func(t *testing.T) func(net.Conn, int) {
			return func(c net.Conn, _ int) {
				_, _ = io.WriteString(c, refusal)
				_ = c.(*net.TCPConn).CloseWrite()
				_, _ = io.Copy(io.Discard, c)
			}
		}},
	} {
		for _, buffer := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				u := listen(t, tt.handle(t))
				e := plain(newTransport(t, transport.Options{TempDir: t.TempDir()}), u.address())
				x, c := newExchange(&pattern{n: 64 << 20}, 64<<20), seconds()
				c.BufferRequest = buffer
				if err := e.RoundTrip(x, c); err != nil {
					t.Fatal(err)
				}
				if body := readAll(t, x); x.Response.Status != 413 || body != "large" {
					t.Errorf("response = %d %q", x.Response.Status, body)
				}
				x.Reset()
			})
		}
	}
}

// closable is a client's body that sends nothing more until it is closed.
type closable struct {
	first  string
	closed chan struct{}
}

func (c *closable) Read(p []byte) (int, error) {
	if c.first != "" {
		n := copy(p, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	<-c.closed
	return 0, net.ErrClosed
}

func (c *closable) Close() error {
	close(c.closed)
	return nil
}

func TestEarlyAnswerEndsAWaitForTheClient(t *testing.T) {
	u := listen(t, func(c net.Conn, _ int) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
		_, _ = io.Copy(io.Discard, c)
	})
	for _, length := range []int64{1000, -1} {
		x := newExchange(&closable{"abc", make(chan struct{})}, length)
		if err := plain(newTransport(t, transport.Options{}), u.address()).RoundTrip(x, seconds()); err != nil {
			t.Fatal(err)
		}
		if x.Response.Status != 401 {
			t.Errorf("status = %d, want 401", x.Response.Status)
		}
		x.Reset()
	}
}

// An upstream that reads all of a body before it answers keeps the connection.
func TestWatchingDoesNotCostTheConnection(t *testing.T) {
	u := listen(t, answering(func(_ *http.Request, _ []byte, _ int) string {
		return "HTTP/1.1 100 Continue\r\n\r\n" + ok
	}))
	e := plain(newTransport(t, transport.Options{}), u.address())
	for range 5 {
		x := newExchange(&pattern{n: 3 << 20}, -1)
		if err := e.RoundTrip(x, seconds()); err != nil {
			t.Fatal(err)
		}
		readAll(t, x)
		x.Reset()
	}
	if n := u.accepted.Load(); n != 1 {
		t.Errorf("connections = %d, want 1", n)
	}
}

func TestUpstreamClosesWhileTheBodyIsSent(t *testing.T) {
	u := listen(t, func(c net.Conn, _ int) { _, _ = io.CopyN(io.Discard, c, 1<<20) })
	x := newExchange(&pattern{n: 64 << 20}, 64<<20)
	defer x.Reset()
	err := plain(newTransport(t, transport.Options{}), u.address()).RoundTrip(x, seconds())
	if err == nil || err.Kind != transport.ErrRead && err.Kind != transport.ErrWrite || !err.Sent || !err.BodyTaken {
		t.Errorf("RoundTrip = %+v, want ErrRead or ErrWrite", err)
	}
}
