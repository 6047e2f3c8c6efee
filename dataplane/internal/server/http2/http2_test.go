package http2_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	wire "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/sluice-gateway/sluice/dataplane/internal/proxy"
	"github.com/sluice-gateway/sluice/dataplane/internal/server/http2"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type handler func(x *pdk.Exchange, r proxy.Responder)

func (h handler) Serve(x *pdk.Exchange, r proxy.Responder) { h(x, r) }

func (h handler) Refuse(x *pdk.Exchange, r proxy.Responder, status int) {
	_ = x.ExitBody(status, "text/plain", []byte("refused"))
	_ = r.Send(x, nil)
}

func start(t *testing.T, h handler, change func(o *http2.Options)) (address string, e *http2.Engine) {
	t.Helper()
	o := http2.Options{Handler: h}
	if change != nil {
		change(&o)
	}
	e = http2.New(o)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			e.Serve(nc, http2.Info{})
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
		e.Wait()
	})
	return l.Addr().String(), e
}

func client(t *testing.T) *http.Client {
	t.Helper()
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: &p}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second}
}

// request sends header fields as they are and returns the status, or "reset".
func request(t *testing.T, address string, fields ...string) string {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(nc, wire.ClientPreface)
	framer := wire.NewFramer(nc, nc)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		_ = enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	if err := framer.WriteHeaders(wire.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true}); err != nil {
		t.Fatal(err)
	}
	for {
		f, err := framer.ReadFrame()
		if err != nil {
			return "closed"
		}
		switch f := f.(type) {
		case *wire.MetaHeadersFrame:
			return f.PseudoValue("status")
		case *wire.RSTStreamFrame, *wire.GoAwayFrame:
			return "reset"
		}
	}
}

// TestRequestsThatHTTP1CouldNotSay holds that nothing gets by that would turn into another
// request where an upstream speaks HTTP/1.
func TestRequestsThatHTTP1CouldNotSay(t *testing.T) {
	address, _ := start(t, func(x *pdk.Exchange, r proxy.Responder) {
		if x.Request.Header.Has("Host") {
			t.Error("Host is among the fields")
		}
		_ = x.ExitBody(200, "", []byte("fine"))
		_ = r.Send(x, nil)
	}, nil)
	for _, test := range []struct {
		name, method, path, authority string
		extra                         []string
		want                          string
	}{
		{"plain", "GET", "/a?b=c", "h.example:80", nil, "200"},
		{"with the same Host", "GET", "/", "h", []string{"host", "h"}, "200"},
		{"with another Host", "GET", "/", "h", []string{"host", "other"}, "400"},
		{"with two Hosts", "GET", "/", "h", []string{"host", "h", "host", "h"}, "400"},
		{"no authority but Host", "GET", "/", "", []string{"host", "h"}, "200"},
		{"no host", "GET", "/", "", nil, "400"},
		{"method with a request line", "GET /admin HTTP/1.1", "/", "h", nil, "400"},
		{"lower-case method", "get", "/", "h", nil, "400"},
		{"TRACE", "TRACE", "/", "h", nil, "405"},
		{"path with a space", "GET", "/a HTTP/1.1", "h", nil, "400"},
		{"path with a fragment", "GET", "/a#b", "h", nil, "400"},
		{"path with a zero", "GET", "/%00", "h", nil, "400"},
		{"path above the root", "GET", "/a/%2e%2e/../b", "h", nil, "400"},
		{"path without a slash", "GET", "*", "h", nil, "400"},
		{"host with a path", "GET", "/", "h/admin", nil, "400"},
		{"host with a space", "GET", "/", "h x", nil, "400"},
		{"host with a user", "GET", "/", "u@h", nil, "400"},
		{"fields of a connection", "GET", "/", "h", []string{"connection", "close"}, "reset"},
		{"coding", "POST", "/", "h", []string{"transfer-encoding", "chunked"}, "reset"},
		{"line ends in a value", "GET", "/", "h", []string{"a", "b\r\nc: d"}, "reset"},
		{"line ends in the path", "GET", "/ HTTP/1.1\r\na: b", "h", nil, "reset"},
	} {
		t.Run(test.name, func(t *testing.T) {
			fields := []string{":method", test.method, ":scheme", "http", ":path", test.path}
			if test.authority != "" {
				fields = append(fields, ":authority", test.authority)
			}
			if got := request(t, address, append(fields, test.extra...)...); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// TestBadEndsShow holds that a client can tell a part from the whole, and that other
// streams of its connection go on.
func TestBadEndsShow(t *testing.T) {
	address, _ := start(t, func(x *pdk.Exchange, r proxy.Responder) {
		x.Response.Status, x.Response.ContentLength = 200, 10
		x.Source = pdk.SourceUpstream
		switch x.Request.RawPath {
		case "/panic":
			panic("fault")
		case "/short":
			x.Response.Body = strings.NewReader("part")
		case "/long":
			x.Response.Body = strings.NewReader("more than ten bytes")
		default:
			x.Response.Body = strings.NewReader("ten bytes!")
		}
		if err := r.Send(x, nil); (err != nil) != (x.Request.RawPath != "/") {
			fault, ok := errors.AsType[*proxy.SendError](err)
			t.Errorf("%s: send: %v, the upstream's %v", x.Request.RawPath, err, ok && fault.Upstream)
		}
	}, nil)
	c := client(t)
	for _, path := range []string{"/panic", "/short", "/long"} {
		resp, err := c.Get("http://" + address + path)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
		}
		if err == nil {
			t.Errorf("%s looks whole", path)
		}
		resp, err = c.Get("http://" + address + "/")
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); string(b) != "ten bytes!" || err != nil {
			t.Errorf("after %s: %q, %v", path, b, err)
		}
		_ = resp.Body.Close()
	}
}

// TestPiecesComeAtOnce holds that a body without a length is sent on as it comes, in both
// directions, as gRPC needs it.
func TestPiecesComeAtOnce(t *testing.T) {
	address, _ := start(t, func(x *pdk.Exchange, r proxy.Responder) {
		x.Source = pdk.SourceUpstream
		x.Response.Status, x.Response.ContentLength, x.Response.Body = 200, -1, x.Request.Body
		if err := r.Send(x, nil); err != nil {
			t.Error(err)
		}
	}, nil)
	in, out := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+address+"/", in)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client(t).Do(req) // the head comes before any piece
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 16)
	for range 3 {
		if _, err := io.WriteString(out, "piece"); err != nil {
			t.Fatal(err)
		}
		if n, err := io.ReadFull(resp.Body, b[:5]); err != nil || string(b[:n]) != "piece" {
			t.Fatalf("got %q, %v", b[:n], err)
		}
	}
	_ = out.Close()
	if rest, err := io.ReadAll(resp.Body); len(rest) > 0 || err != nil {
		t.Errorf("got %q, %v", rest, err)
	}
	_ = resp.Body.Close()
}

// TestSlowClientsGetLargeAnswers holds that the write timeout is between two successive
// writes.
func TestSlowClientsGetLargeAnswers(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<20) // 16 MiB
	address, _ := start(t, func(x *pdk.Exchange, r proxy.Responder) {
		_ = x.ExitBody(200, "", large)
		if err := r.Send(x, nil); err != nil {
			t.Errorf("send: %v", err)
		}
	}, func(o *http2.Options) { o.WriteTimeout = time.Second })
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	// A small window makes the server wait for the client.
	tr := &http.Transport{Protocols: &p, HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 256 << 10, MaxReceiveBufferPerConnection: 256 << 10}}
	t.Cleanup(tr.CloseIdleConnections)
	resp, err := (&http.Client{Transport: tr}).Get("http://" + address + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	got, piece := 0, make([]byte, 256<<10)
	for began := time.Now(); ; {
		n, err := io.ReadFull(resp.Body, piece)
		got += n
		if err != nil {
			break
		}
		if time.Since(began) < 3*time.Second {
			time.Sleep(60 * time.Millisecond) // the client is slow: that is the test
		}
	}
	if got != len(large) {
		t.Errorf("%d bytes of %d came", got, len(large))
	}
}

// TestSlowBodiesAreTold holds that a client which takes too long with its body is known as
// such, and that a reset is no such thing.
func TestSlowBodiesAreTold(t *testing.T) {
	faults := make(chan error, 1)
	address, _ := start(t, func(x *pdk.Exchange, r proxy.Responder) {
		_, err := io.ReadAll(x.Request.Body)
		faults <- err
		_ = x.ExitBody(408, "", nil)
		_ = r.Send(x, nil)
	}, func(o *http2.Options) { o.BodyTimeout = 30 * time.Millisecond })
	in, out := io.Pipe()
	defer func() { _ = out.Close() }()
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+address+"/", in)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if err := <-faults; !errors.Is(err, os.ErrDeadlineExceeded) || resp.StatusCode != 408 {
		t.Errorf("a slow client: %v, %d", err, resp.StatusCode)
	}
	ctx, cancel := context.WithCancel(t.Context())
	req, _ = http.NewRequestWithContext(ctx, "POST", "http://"+address+"/", in)
	cancel()
	if resp, err := client(t).Do(req); err == nil {
		_ = resp.Body.Close()
	}
	select {
	case err := <-faults:
		if err == nil {
			t.Error("a client that went away sent all")
		}
	default: // it went before it came
	}
}

// TestDrainIsBounded holds that Drain returns when its time is over.
func TestDrainIsBounded(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	e := http2.New(http2.Options{Handler: handler(func(x *pdk.Exchange, r proxy.Responder) {
		close(entered)
		<-leave
		_ = x.ExitBody(200, "", nil)
		_ = r.Send(x, nil)
	})})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if nc, err := l.Accept(); err == nil {
			e.Serve(nc, http2.Info{})
		}
	}()
	asked := make(chan error, 1)
	c := client(t)
	go func() {
		resp, err := c.Get("http://" + l.Addr().String() + "/")
		if err == nil {
			_ = resp.Body.Close()
		}
		asked <- err
	}()
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := e.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 3*time.Second {
		t.Errorf("drain: %v after %v", err, time.Since(began))
	}
	if err := <-asked; err == nil {
		t.Error("the client was not cut off")
	}
	close(leave)
	e.Wait()
	_ = l.Close()
}
