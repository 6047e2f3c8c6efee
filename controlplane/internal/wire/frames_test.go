package wire_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/credentials"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-gateway/sluice/controlplane/internal/wire"
)

// player is a peer that says frames as it likes.
type player struct {
	*http2.Framer

	conn    net.Conn
	headers bytes.Buffer
	encoder *hpack.Encoder
}

// tlsPeer begins HTTP/2.
func tlsPeer(ctx context.Context, c net.Conn, config *tls.Config) (*player, error) {
	secure := tls.Client(c, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	p := &player{Framer: http2.NewFramer(secure, secure), conn: secure}
	p.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	p.encoder = hpack.NewEncoder(&p.headers)
	if _, err := io.WriteString(secure, http2.ClientPreface); err != nil {
		return nil, err
	}
	return p, p.WriteSettings()
}

func (s *server) peer(t *testing.T) *player {
	t.Helper()
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	p, err := tlsPeer(within(t), c, s.client)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What can't be written shows in what is read.

func (p *player) ask(id uint32, end bool, fields ...string) {
	p.headers.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = p.encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.headers.Bytes(), EndHeaders: true, EndStream: end})
}

func (p *player) call(id uint32, method string) {
	p.ask(id, false, ":method", "POST", ":scheme", "https", ":path", method, ":authority", "x", "content-type", "application/grpc", "te", "trailers")
}

func (p *player) message(id uint32, b []byte) {
	_ = p.WriteData(id, false, append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(b))), b...)) //nolint:gosec // short
}

// answered begins a request that is refused before its end, and reads that.
func (p *player) answered(id uint32) {
	p.ask(id, false, ":method", "GET", ":scheme", "https", ":path", "/", ":authority", "x")
	_, _ = p.until(id) // the answer
	_, _ = p.until(id) // that the rest is not wanted
}

// until reads until a stream has something: the headers and data of it, as text, up to a
// frame that ends it, the connection's end, or an echo.
func (p *player) until(id uint32) (string, error) {
	var b strings.Builder
	for {
		f, err := p.ReadFrame()
		if err != nil {
			return b.String(), err
		}
		switch f := f.(type) {
		case *http2.GoAwayFrame:
			fmt.Fprintf(&b, "GOAWAY %v;", f.ErrCode)
			return b.String(), nil
		case *http2.RSTStreamFrame:
			if f.StreamID == id {
				fmt.Fprintf(&b, "RST %v;", f.ErrCode)
				return b.String(), nil
			}
		case *http2.MetaHeadersFrame:
			if f.StreamID != id {
				continue
			}
			for _, h := range f.Fields {
				fmt.Fprintf(&b, "%s=%s;", h.Name, h.Value)
			}
			if f.StreamEnded() {
				return b.String(), nil
			}
		case *http2.DataFrame:
			if f.StreamID == id {
				fmt.Fprintf(&b, "%d bytes;", len(f.Data()))
				return b.String(), nil
			}
		}
	}
}

// TestWhatIsNoCall holds what becomes of requests that are no gRPC.
func TestWhatIsNoCall(t *testing.T) {
	s := start(t)
	for name, one := range map[string]struct {
		do   func(p *player)
		want string
	}{
		"GET": {func(p *player) { p.ask(1, true, ":method", "GET", ":scheme", "https", ":path", "/", ":authority", "x") }, ":status=405;"},
		"content type": {func(p *player) {
			p.ask(1, true, ":method", "POST", ":scheme", "https", ":path", echo, "content-type", "application/json")
		}, ":status=415;"},
		"almost gRPC": {
			func(p *player) {
				p.ask(1, true, ":method", "POST", ":scheme", "https", ":path", echo, "content-type", "application/grpc-web")
			}, ":status=415;",
		},
		"long header": {func(p *player) {
			p.ask(1, true, ":method", "POST", ":scheme", "https", ":path", echo, "content-type", "application/grpc", "long", strings.Repeat("x", 16300))
		}, ":status=431;"},
		"timeout": {func(p *player) {
			p.ask(1, true, ":method", "POST", ":scheme", "https", ":path", echo, "content-type", "application/grpc", "grpc-timeout", "soon")
		}, "grpc-status=13;"},
		"compressed": {func(p *player) {
			p.call(1, echo)
			_ = p.WriteData(1, false, []byte{1, 0, 0, 0, 0})
		}, "grpc-status=12;"},
		"half a message": {func(p *player) {
			p.call(1, echo)
			_ = p.WriteData(1, true, []byte{0, 0, 0, 0, 9, 1})
		}, "grpc-status=13;"},
		"no message": {func(p *player) {
			p.call(1, pb.TestService_UnaryCall_FullMethodName)
			_ = p.WriteData(1, true, nil)
		}, "grpc-status=13;"},
		"two messages": {func(p *player) {
			p.call(1, pb.TestService_UnaryCall_FullMethodName)
			p.message(1, nil)
			p.message(1, nil)
		}, "grpc-status=13;"},
		"no protobuf": {func(p *player) {
			p.call(1, pb.TestService_UnaryCall_FullMethodName)
			_ = p.WriteData(1, true, []byte{0, 0, 0, 0, 2, 0xff, 0xff})
		}, "grpc-status=13;"},
		"all in trailers": {func(p *player) {
			p.call(1, echo)
			p.ask(1, true, "x-trailer", "a")
		}, "grpc-status=0;"},
	} {
		t.Run(name, func(t *testing.T) {
			p := s.peer(t)
			one.do(p)
			if got, err := p.until(1); err != nil || !strings.Contains(got, one.want) {
				t.Errorf("got %s %v, want %s", got, err, one.want)
			}
			// The connection serves on.
			p.call(3, echo)
			p.message(3, nil)
			if got, err := p.until(3); err != nil || !strings.Contains(got, "bytes") {
				t.Errorf("the next call got %s %v", got, err)
			}
		})
	}
}

// TestPeersThatBreakHTTP2 holds what ends a stream and what a connection.
func TestPeersThatBreakHTTP2(t *testing.T) {
	s := start(t)
	s.slow = make(chan struct{})
	for name, one := range map[string]struct {
		do   func(p *player)
		want string
	}{
		"data after a reset of what was answered": {func(p *player) {
			p.answered(1)
			_ = p.WriteRSTStream(1, http2.ErrCodeCancel)
			_ = p.WriteData(1, true, []byte("x"))
		}, "GOAWAY STREAM_CLOSED"},
		"data after the end of what was answered": {func(p *player) {
			p.answered(1)
			_ = p.WriteData(1, true, []byte("x"))
			_ = p.WriteData(1, true, []byte("x"))
		}, "GOAWAY STREAM_CLOSED"},
		"data after the trailers of what was answered": {func(p *player) {
			p.answered(1)
			p.ask(1, true, "x-trailer", "a")
			_ = p.WriteData(1, true, []byte("x"))
		}, "GOAWAY STREAM_CLOSED"},
		"data on no stream":     {func(p *player) { _ = p.WriteData(1, false, []byte("x")) }, "GOAWAY PROTOCOL_ERROR"},
		"data on stream 0":      {func(p *player) { _ = p.WriteRawFrame(http2.FrameData, 0, 0, []byte("x")) }, "GOAWAY PROTOCOL_ERROR"},
		"an even stream":        {func(p *player) { p.call(2, echo) }, "GOAWAY PROTOCOL_ERROR"},
		"a stream again":        {func(p *player) { p.call(3, echo); p.call(1, echo) }, "GOAWAY STREAM_CLOSED"},
		"reset of no stream":    {func(p *player) { _ = p.WriteRSTStream(1, http2.ErrCodeCancel) }, "GOAWAY PROTOCOL_ERROR"},
		"window of no stream":   {func(p *player) { _ = p.WriteWindowUpdate(1, 5) }, "GOAWAY PROTOCOL_ERROR"},
		"window of nothing":     {func(p *player) { _ = p.WriteRawFrame(http2.FrameWindowUpdate, 0, 0, make([]byte, 4)) }, "GOAWAY PROTOCOL_ERROR"},
		"window too large":      {func(p *player) { _ = p.WriteWindowUpdate(0, 1<<31-1) }, "GOAWAY FLOW_CONTROL_ERROR"},
		"window too large on 1": {func(p *player) { p.call(1, echo); _ = p.WriteWindowUpdate(1, 1<<31-1) }, "RST FLOW_CONTROL_ERROR"},
		"initial window":        {func(p *player) { _ = p.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31}) }, "GOAWAY FLOW_CONTROL_ERROR"},
		"frame size":            {func(p *player) { _ = p.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1}) }, "GOAWAY PROTOCOL_ERROR"},
		"settings of 5 bytes":   {func(p *player) { _ = p.WriteRawFrame(http2.FrameSettings, 0, 0, make([]byte, 5)) }, "GOAWAY FRAME_SIZE_ERROR"},
		"ping of 5 bytes":       {func(p *player) { _ = p.WriteRawFrame(http2.FramePing, 0, 0, make([]byte, 5)) }, "GOAWAY FRAME_SIZE_ERROR"},
		"push": {func(p *player) {
			_ = p.WriteRawFrame(http2.FramePushPromise, http2.FlagPushPromiseEndHeaders, 1, make([]byte, 4))
		}, "GOAWAY PROTOCOL_ERROR"},
		"a large frame": {func(p *player) { p.call(1, echo); _ = p.WriteRawFrame(http2.FrameData, 0, 1, make([]byte, 16<<10+1)) }, "GOAWAY FRAME_SIZE_ERROR"},
		"bad compression": {func(p *player) {
			_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, EndHeaders: true})
		}, "GOAWAY COMPRESSION_ERROR"},
		"a lonely continuation": {func(p *player) { _ = p.WriteContinuation(1, true, nil) }, "GOAWAY PROTOCOL_ERROR"},
		"broken continuation": {func(p *player) {
			_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}})
			_ = p.WritePing(false, [8]byte{})
		}, "GOAWAY PROTOCOL_ERROR"},
		"continuation without end": {func(p *player) {
			_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}})
			for range 1000 {
				if p.WriteContinuation(1, false, bytes.Repeat([]byte{0x82}, 1000)) != nil {
					return
				}
			}
		}, "GOAWAY PROTOCOL_ERROR"},
		"upper case": {func(p *player) {
			p.ask(1, false, ":method", "POST", ":scheme", "https", ":path", echo, "Content-Type", "application/grpc")
		}, "RST PROTOCOL_ERROR"},
		"late pseudo":   {func(p *player) { p.ask(1, false, "content-type", "application/grpc", ":method", "POST") }, "RST PROTOCOL_ERROR"},
		"headers twice": {func(p *player) { p.call(1, echo); p.call(1, echo) }, "RST PROTOCOL_ERROR"},
		"data after the end": {func(p *player) {
			p.call(1, pb.TestService_UnaryCall_FullMethodName) // which waits
			_ = p.WriteData(1, true, make([]byte, 5))
			_ = p.WriteData(1, false, []byte("x"))
		}, "RST STREAM_CLOSED"},
		"more than the window": {func(p *player) {
			for range 5 { // one message, of which nothing can be heard
				p.call(1, echo)
				_ = p.WriteData(1, false, []byte{0, 0, 0x10, 0, 0})
				for range 400 {
					if p.WriteRawFrame(http2.FrameData, http2.FlagDataPadded, 1, append([]byte{255}, make([]byte, 255)...)) != nil {
						return
					}
				}
			}
		}, ""},
		"too many streams": {func(p *player) {
			for i := range uint32(5) {
				p.call(1+2*i, echo)
			}
		}, ""},
		"pings":    {func(p *player) { flood(p, func() error { return p.WritePing(false, [8]byte{}) }) }, "GOAWAY ENHANCE_YOUR_CALM"},
		"settings": {func(p *player) { flood(p, func() error { return p.WriteSettings() }) }, "GOAWAY ENHANCE_YOUR_CALM"},
		"empty data": {func(p *player) {
			p.call(1, echo)
			flood(p, func() error { return p.WriteData(1, false, nil) })
		}, "GOAWAY ENHANCE_YOUR_CALM"},
		"single bytes": {func(p *player) {
			p.call(1, echo)
			_ = p.WriteData(1, false, []byte{0, 0, 0x10, 0, 0})
			flood(p, func() error { return p.WriteData(1, false, []byte{1}) })
		}, "GOAWAY ENHANCE_YOUR_CALM"},
		"rapid resets": {func(p *player) {
			id := uint32(1)
			flood(p, func() error {
				p.call(id, echo)
				id += 2
				return p.WriteRSTStream(id-2, http2.ErrCodeCancel)
			})
		}, "GOAWAY ENHANCE_YOUR_CALM"},
	} {
		t.Run(name, func(t *testing.T) {
			p := s.peer(t)
			one.do(p)
			if one.want == "" {
				return
			}
			for {
				got, err := p.until(1)
				if strings.Contains(got, one.want) {
					return
				}
				if err != nil || strings.Contains(got, "GOAWAY") {
					t.Fatalf("got %s %v, want %s", got, err, one.want)
				}
			}
		})
	}
}

// flood says something until the server ends the connection.
func flood(p *player, say func() error) {
	for range 10_000 {
		if say() != nil {
			return
		}
	}
}

// TestLimitOfStreams holds that a fifth stream is refused, and that one that was reset
// counts as long as its handler runs.
func TestLimitOfStreams(t *testing.T) {
	s := start(t)
	p := s.peer(t)
	for i := range uint32(5) {
		p.call(1+2*i, echo)
		p.message(1+2*i, nil)
	}
	if got, err := p.until(9); err != nil || !strings.Contains(got, "RST REFUSED_STREAM") {
		t.Errorf("a fifth stream: %s %v", got, err)
	}
	_ = p.WriteRSTStream(1, http2.ErrCodeCancel)
	if why := <-s.gone; why == nil {
		t.Error("a reset was not told")
	}
	time.Sleep(100 * time.Millisecond)
	p.call(11, echo)
	p.message(11, nil)
	if got, err := p.until(11); err != nil || !strings.Contains(got, "bytes") {
		t.Errorf("a stream after one has ended: %s %v", got, err)
	}
}

// TestWindowsAreKept holds that no more is sent than the peer's windows hold.
func TestWindowsAreKept(t *testing.T) {
	s := start(t)
	p := s.peer(t)
	_ = p.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10}, http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 15})
	p.call(1, echo)
	m, err := proto.Marshal(&pb.StreamingOutputCallRequest{Payload: &pb.Payload{Body: make([]byte, 50_000)}})
	if err != nil {
		t.Fatal(err)
	}
	whole := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m))), m...) //nolint:gosec // short
	for len(whole) > 0 {
		n := min(len(whole), 16<<10)
		_ = p.WriteData(1, false, whole[:n])
		whole = whole[n:]
	}
	got, total := 0, 5+len(m) // the answer is as long
	for allowed := 10; got < total; {
		f, err := p.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		d, ok := f.(*http2.DataFrame)
		if !ok {
			continue
		}
		if got += len(d.Data()); got > allowed {
			t.Fatalf("%d bytes came, %d were allowed", got, allowed)
		}
		if got == allowed && got < total {
			more := min(total-got, 7000)
			allowed += more
			_ = p.WriteWindowUpdate(1, uint32(more)) //nolint:gosec // short
		}
	}
	if got != total {
		t.Errorf("%d bytes came of %d", got, total)
	}
}

// TestNoHTTP2 holds that other protocols are ended.
func TestNoHTTP2(t *testing.T) {
	s := start(t)
	for _, text := range []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + strings.Repeat("x", 100), http2.ClientPreface + strings.Repeat("x", 100)} {
		c, err := tls.Dial("tcp", s.address, s.client)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, text)
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.Copy(io.Discard, c); isTimeout(err) {
			t.Errorf("%.10q is waited for", text)
		}
		_ = c.Close()
	}
	// TLS without ALPN is no HTTP/2 either.
	config := s.client.Clone()
	config.NextProtos = nil
	c, err := tls.Dial("tcp", s.address, config)
	if err == nil {
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err == nil || isTimeout(err) {
			t.Errorf("no ALPN: %v", err)
		}
		_ = c.Close()
	}
}

// FuzzFrames holds that no frames of a peer stop the server, and that it serves others on.
func FuzzFrames(f *testing.F) {
	frame := func(kind http2.FrameType, flags http2.Flags, id uint32, payload string) string {
		var b bytes.Buffer
		if err := http2.NewFramer(&b, nil).WriteRawFrame(kind, flags, id, []byte(payload)); err != nil {
			f.Fatal(err)
		}
		return b.String()
	}
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for _, h := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":path", echo}, {"content-type", "application/grpc"}} {
		if err := e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}); err != nil {
			f.Fatal(err)
		}
	}
	call := frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 1, block.String())
	f.Add([]byte(call + frame(http2.FrameData, 0, 1, "\x00\x00\x00\x00\x00") + frame(http2.FrameData, 1, 1, "\x00\x00\x00\x00\x03abc")))
	f.Add([]byte(call + frame(http2.FrameData, http2.FlagDataPadded, 1, "\x02\x00\x00\x00\x00\x00xx") + frame(http2.FrameRSTStream, 0, 1, "\x00\x00\x00\x08")))
	f.Add([]byte(call + frame(http2.FrameSettings, 0, 0, "\x00\x04\x00\x00\x00\x00") + frame(http2.FrameWindowUpdate, 0, 1, "\x00\x00\x00\x08")))
	f.Add([]byte(frame(http2.FrameHeaders, 0, 1, "\x82") + frame(http2.FrameContinuation, 4, 1, "\x84") + frame(http2.FramePing, 0, 0, "12345678")))
	s := &server{gone: make(chan error), done: make(chan error, 1)}
	w, err := wire.New(wire.Options{
		Credentials: plain{}, MaxMessage: 1 << 20, MaxStreams: 4, MaxHeader: 16 << 10, Window: 64 << 10,
		Handshake: time.Second, Idle: time.Second, Stall: time.Second,
	})
	if err != nil {
		f.Fatal(err)
	}
	w.Stream(echo, func(st *wire.Stream) wire.Handler { return &echoing{s: s, st: st, end: make(chan error, 1)} })
	l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	go func() { s.done <- w.Serve(l) }()
	f.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		w.Stop(ctx)
		if err := <-s.done; !errors.Is(err, wire.ErrStopped) {
			f.Errorf("Serve: %v", err)
		}
	})
	f.Fuzz(func(t *testing.T, b []byte) {
		ours, theirs := net.Pipe()
		l.conns <- theirs
		_ = ours.SetDeadline(time.Now().Add(5 * time.Second))
		go func() {
			_, _ = io.WriteString(ours, http2.ClientPreface+frame(http2.FrameSettings, 0, 0, ""))
			_, _ = ours.Write(b)
			_, _ = ours.Write(make([]byte, 40<<10)) // which ends what has begun, and breaks the rules
		}()
		framer := http2.NewFramer(nil, ours)
		for {
			f, err := framer.ReadFrame()
			if isTimeout(err) {
				t.Error("the server waits")
			}
			if _, ok := f.(*http2.GoAwayFrame); ok || err != nil {
				break
			}
		}
		_ = ours.Close()
	})
}

// pipes is a listener of connections inside of the process.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.closed)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{} }

// plain are credentials without TLS.
type plain struct {
	credentials.TransportCredentials
}

func (plain) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) { return c, nil, nil }
