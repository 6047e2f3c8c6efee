package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/proxy"
	"github.com/sluice-gateway/sluice/dataplane/internal/server/http1"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// TestResponsesLeaveWhatFollowsAlone holds that a response that streams never touches
// bytes of the client that wait for their turn: a response that became the next request
// would let one client speak for another.
func TestResponsesLeaveWhatFollowsAlone(t *testing.T) {
	large := strings.Repeat("GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n", 6000)
	address, _ := start(t, func(x *pdk.Exchange, r proxy.Responder) {
		if x.Request.RawPath != "/large" {
			echo(x, r)
			return
		}
		if x.Request.Body != nil {
			if _, err := io.Copy(io.Discard, x.Request.Body); err != nil {
				t.Error(err)
			}
		}
		upstream(x, 200, int64(len(large)), strings.NewReader(large))
		if err := r.Send(x, nil); err != nil {
			t.Error(err)
		}
	}, nil)
	c := dial(t, address)
	c.send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n")
	c.says("GET", 200, large)
	for range 3 {
		// The head fills the buffer, so that the body needs another one.
		c.send("POST /large HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nA: " + strings.Repeat("a", 7500) + "\r\n\r\n" +
			"5\r\nhello\r\n0\r\n\r\n" + "GET /next HTTP/1.1\r\nHost: h\r\n\r\n")
		c.says("POST", 200, large)
		c.says("GET", 200, `GET h /next ""`)
	}
}

// TestPanicsEndOneConnection holds that a fault in the gateway costs one client its
// answer, and not everybody theirs.
func TestPanicsEndOneConnection(t *testing.T) {
	var released atomic.Int64
	address, _ := start(t, func(x *pdk.Exchange, r proxy.Responder) {
		if x.Request.RawPath == "/panic" {
			x.OnRelease(counted{&released})
			panic("fault")
		}
		echo(x, r)
	}, nil)
	for _, text := range []string{
		"GET /panic HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST /panic HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		c := dial(t, address)
		c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		c.says("GET", 200, `GET h / ""`)
		c.send(text)
		c.ends()
	}
	c := dial(t, address)
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	c.says("GET", 200, `GET h / ""`)
	for by := time.Now().Add(5 * time.Second); released.Load() != 2; runtime.Gosched() {
		if time.Now().After(by) {
			t.Fatalf("what 2 exchanges held was released %d times", released.Load())
		}
	}
}

// counted counts releases.
type counted struct{ n *atomic.Int64 }

func (c counted) Release() { c.n.Add(1) }

// TestDrainIsBounded holds that Drain returns when its time is over, whatever a handler
// waits for, and that figures can be asked for meanwhile.
func TestDrainIsBounded(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	address, e := start(t, func(x *pdk.Exchange, r proxy.Responder) {
		close(entered)
		<-leave
		echo(x, r)
	}, nil)
	c := dial(t, address)
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	drained := make(chan error, 1)
	go func() { drained <- e.Drain(ctx) }()
	timer := time.NewTimer(3 * time.Second)
	defer timer.Stop()
	select {
	case err := <-drained:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("drain: %v", err)
		}
		if got := e.Connections(); got.All != 1 || got.Writing != 1 {
			t.Errorf("connections: %+v, want 1 whose handler goes on", got)
		}
		c.ends() // the client is told at once
	case <-timer.C:
		t.Error("drain waits for a handler beyond its time")
	}
	close(leave)
}

// narrow accepts connections that hold little on their way.
type narrow struct{ net.Listener }

func (n narrow) Accept() (net.Conn, error) {
	nc, err := n.Listener.Accept()
	if err == nil {
		err = nc.(*net.TCPConn).SetWriteBuffer(32 << 10)
	}
	return nc, err
}

// TestSlowClientsGetLargeAnswers holds that the write timeout is between two successive
// writes, and not for a whole answer.
func TestSlowClientsGetLargeAnswers(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<17) // 2 MiB
	const timeout = 400 * time.Millisecond
	for name, fill := range map[string]func(x *pdk.Exchange){
		"buffered": func(x *pdk.Exchange) { _ = x.ExitBody(200, "", large) },
		"streamed": func(x *pdk.Exchange) { upstream(x, 200, int64(len(large)), bytes.NewReader(large)) },
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			serve(t, narrow{l}, http1.Options{WriteTimeout: timeout, Handler: handler(func(x *pdk.Exchange, r proxy.Responder) {
				fill(x)
				if err := r.Send(x, nil); err != nil {
					t.Errorf("send: %v", err)
				}
			})})
			// The window of a client is settled when it connects.
			d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
				return raw.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 32<<10) })
			}}
			nc, err := d.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = nc.Close() }()
			_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
			if _, err := io.WriteString(nc, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
			if err != nil {
				t.Fatal(err)
			}
			began, got, piece := time.Now(), 0, make([]byte, 32<<10)
			for err == nil {
				var n int
				n, err = io.ReadFull(resp.Body, piece)
				if got += n; time.Since(began) < 2*timeout {
					time.Sleep(15 * time.Millisecond) // the client is slow: that is the test
				}
			}
			if got != len(large) || time.Since(began) < timeout {
				t.Errorf("%d bytes of %d came in %v", got, len(large), time.Since(began))
			}
		})
	}
}

// TestBodiesLongerThanAnnounced holds that a body can not run into the next response.
func TestBodiesLongerThanAnnounced(t *testing.T) {
	address, _ := start(t, func(x *pdk.Exchange, r proxy.Responder) {
		upstream(x, 200, 4, &pieces{[]string{"part", "HTTP/1.1 200 OK\r\n\r\n"}, io.EOF})
		if x.Request.RawPath == "/once" {
			x.Response.Body = strings.NewReader("partHTTP/1.1 200 OK\r\n\r\n")
		}
		_ = r.Send(x, nil)
	}, nil)
	for _, path := range []string{"/", "/once"} {
		c := dial(t, address)
		c.send("GET " + path + " HTTP/1.1\r\nHost: h\r\n\r\nGET " + path + " HTTP/1.1\r\nHost: h\r\n\r\n")
		c.says("GET", 200, "part")
		if resp, err := http.ReadResponse(c.r, nil); err == nil {
			if b, _ := io.ReadAll(resp.Body); string(b) != "part" {
				t.Errorf("%s: next response %q", path, b)
			}
		} else if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: next response: %v", path, err)
		}
	}
}

// reader reads a body beside the answer until it is released, as a call of an upstream
// that speaks HTTP/2 does.
type reader struct {
	body pdk.Body
	done chan struct{}
}

func (r *reader) run() {
	defer close(r.done)
	_, _ = io.Copy(io.Discard, r.body)
}

func (r *reader) Release() {
	_ = r.body.(io.Closer).Close()
	<-r.done
}

// TestBodiesAreReadBesideTheAnswer is for the race detector too.
func TestBodiesAreReadBesideTheAnswer(t *testing.T) {
	address, _ := start(t, func(x *pdk.Exchange, r proxy.Responder) {
		if x.Request.Body != nil {
			beside := &reader{x.Request.Body, make(chan struct{})}
			go beside.run()
			x.OnRelease(beside)
		}
		upstream(x, 200, -1, &pieces{[]string{"he", "llo"}, io.EOF})
		if err := r.Send(x, nil); err != nil {
			t.Error(err)
		}
	}, nil)
	for _, rest := range []string{
		"Content-Length: 100000\r\n\r\n" + strings.Repeat("x", 100000),
		"Content-Length: 100000\r\n\r\n" + strings.Repeat("x", 10),
		"Content-Length: 10\r\nExpect: 100-continue\r\n\r\n",
		"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
	} {
		c := dial(t, address)
		c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		c.says("GET", 200, "hello")
		c.send("POST / HTTP/1.1\r\nHost: h\r\n" + rest)
		status, _, body := c.answer("POST")
		if status == 100 {
			status, _, body = c.answer("POST")
		}
		if status != 200 || body != "hello" {
			t.Errorf("%.30q: got %d %q", rest, status, body)
		}
		_ = c.Close()
	}
}

// TestNothingSaid holds that a client does not wait for an answer that nobody gives.
func TestNothingSaid(t *testing.T) {
	address, _ := start(t, func(*pdk.Exchange, proxy.Responder) {}, nil)
	c := dial(t, address)
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	c.ends()
}

// TestHijackLeavesTheBodyOut holds that bytes of a request's body do not come a second
// time through the tunnel.
func TestHijackLeavesTheBodyOut(t *testing.T) {
	address, _ := start(t, func(x *pdk.Exchange, r proxy.Responder) {
		if x.Request.RawPath == "/read" {
			if b, err := io.ReadAll(x.Request.Body); string(b) != "hello" || err != nil {
				t.Errorf("body %q, %v", b, err)
			}
		}
		x.Response.Status = 101
		nc, buffered, err := r.Hijack(x)
		if err != nil {
			_ = x.ExitBody(400, "", []byte(err.Error()))
			_ = r.Send(x, nil)
			return
		}
		defer func() { _ = nc.Close() }()
		line, _ := buffered.ReadString('\n')
		_, _ = io.WriteString(nc, line)
	}, nil)
	const rest = " HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\nContent-Length: 5\r\n\r\nhello"
	c := dial(t, address)
	c.send("GET /read" + rest + "tunnel\n")
	if status, _, _ := c.answer("GET"); status != 101 {
		t.Fatalf("got %d", status)
	}
	if line, err := c.r.ReadString('\n'); line != "tunnel\n" {
		t.Errorf("got %q, %v", line, err)
	}
	c = dial(t, address)
	c.send("GET /unread" + rest)
	if status, _, _ := c.answer("GET"); status != 400 {
		t.Errorf("a body that nobody has read: got %d", status)
	}
}

// TestBodiesClosedAtTheirEnd holds that a connection goes on when a body is closed that has
// been read, as an upstream's answer has it closed that comes with the body's last byte.
func TestBodiesClosedAtTheirEnd(t *testing.T) {
	address, _ := start(t, func(x *pdk.Exchange, r proxy.Responder) {
		body, err := io.ReadAll(x.Request.Body)
		if err != nil {
			t.Error(err)
		}
		if c, ok := x.Request.Body.(io.Closer); !ok || c.Close() != nil {
			t.Error("the body is not closed")
		}
		_ = x.ExitBody(200, "", body)
		_ = r.Send(x, nil)
	}, nil)
	c := dial(t, address)
	for range 3 {
		c.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
		if status, _, body := c.answer("POST"); status != 200 || body != "abc" {
			t.Fatalf("%d %q", status, body)
		}
		c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n")
		c.send("abc")
		if status, _, body := c.answer("POST"); status != 200 || body != "abc" {
			t.Fatalf("%d %q", status, body)
		}
	}
}
