package h2_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	wire "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/sluice-gateway/sluice/dataplane/internal/h2"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pipe is two ends of a TCP connection.
func pipe(t *testing.T) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			close(accepted)
			return
		}
		accepted <- c
	}()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b = <-accepted; b == nil {
		t.Fatal("not accepted")
	}
	return a, b
}

// serve runs a server whose streams handle answers, until the test ends, and returns the
// client's end of the connection.
func serve(t *testing.T, o h2.Options, handle func(s *h2.Stream)) (client net.Conn, c *h2.Conn, ended <-chan error) {
	t.Helper()
	client, server := pipe(t)
	var streams sync.WaitGroup
	o.Server = true
	o.OnStream = func(s *h2.Stream) {
		streams.Go(func() {
			defer s.Close()
			handle(s)
		})
	}
	c = h2.New(server, o)
	result := make(chan error, 1)
	go func() { result <- c.Serve() }()
	t.Cleanup(func() {
		_ = client.Close()
		c.Close()
		<-c.Ended()
		streams.Wait()
	})
	return client, c, result
}

// pair is a client of ours to a server of ours.
func pair(t *testing.T, o h2.Options, handle func(s *h2.Stream)) (client, server *h2.Conn) {
	t.Helper()
	nc, server, ended := serve(t, o, handle)
	client = h2.New(nc, h2.Options{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = client.Serve()
	}()
	t.Cleanup(func() {
		client.Close()
		<-done
		if err := <-ended; err != nil {
			t.Logf("server: %v", err)
		}
	})
	return client, server
}

func get(add func(name, value string, secret bool)) {
	add(":method", "GET", false)
	add(":scheme", "http", false)
	add(":authority", "h", false)
	add(":path", "/", false)
}

func status(code string) h2.Fields {
	return func(add func(name, value string, secret bool)) { add(":status", code, false) }
}

const long = 10 * time.Second

// respond reads the whole request and sends it back, with its length in a trailer.
func respond(s *h2.Stream) {
	if _, _, err := s.Head(long); err != nil {
		return
	}
	var all bytes.Buffer
	buf := make([]byte, 1000)
	for {
		n, err := s.Read(buf, long)
		all.Write(buf[:n])
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return
		}
	}
	if s.WriteHead(status("200"), false) != nil {
		return
	}
	if _, err := s.Write(all.Bytes(), false, long); err != nil {
		return
	}
	_ = s.WriteHead(func(add func(name, value string, secret bool)) { add("length", fmt.Sprint(all.Len()), false) }, true)
}

func readAll(t *testing.T, s *h2.Stream) []byte {
	t.Helper()
	var all bytes.Buffer
	buf := make([]byte, 4096)
	for {
		n, err := s.Read(buf, long)
		all.Write(buf[:n])
		if errors.Is(err, io.EOF) {
			return all.Bytes()
		}
		if err != nil {
			t.Fatalf("after %d bytes: %v", all.Len(), err)
		}
	}
}

// TestBodies holds that bodies of all sizes come whole in both directions, beyond every
// window, on many streams at once.
func TestBodies(t *testing.T) {
	client, server := pair(t, h2.Options{}, respond)
	var wait sync.WaitGroup
	for _, size := range []int{0, 1, 16383, 16384, 16385, 65535, 65536, 300_000, 3 << 20} {
		wait.Go(func() {
			body := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
			s, ok, err := client.Open(get, false, false)
			if !ok || err != nil {
				t.Errorf("open: %v, %v", ok, err)
				return
			}
			defer s.Close()
			if n, err := s.Write(body, true, long); n != size || err != nil {
				t.Errorf("%d bytes: wrote %d, %v", size, n, err)
				return
			}
			fields, ended, err := s.Head(long)
			if err != nil || ended && size > 0 || fields[0].Value != "200" {
				t.Errorf("%d bytes: head %v, %v, %v", size, fields, ended, err)
				return
			}
			if got := readAll(t, s); !bytes.Equal(got, body) {
				t.Errorf("%d bytes came back as %d", size, len(got))
			}
			if tr := s.Trailer(); len(tr) != 1 || tr[0].Value != fmt.Sprint(size) {
				t.Errorf("%d bytes: trailer %v", size, tr)
			}
		})
	}
	wait.Wait()
	eventually(t, func() bool {
		return client.State() == h2.State{Settled: true} && server.State() == h2.State{Settled: true}
	})
}

func eventually(t *testing.T, check func() bool) {
	t.Helper()
	for began := time.Now(); !check(); time.Sleep(time.Millisecond) {
		if time.Since(began) > long {
			t.Fatal("it does not become so")
		}
	}
}

// TestHeads holds that large heads come in pieces, and that too large ones are marked.
func TestHeads(t *testing.T) {
	var mu sync.Mutex
	got := map[string]string{}
	client, _ := pair(t, h2.Options{MaxHead: 64 << 10}, func(s *h2.Stream) {
		fields, _, err := s.Head(long)
		mu.Lock()
		defer mu.Unlock()
		for _, f := range fields {
			got[f.Name] = f.Value
		}
		got["large"] = fmt.Sprint(s.TooLarge(), err)
		_ = s.WriteHead(status("204"), true)
	})
	for _, size := range []int{10, 40_000, 100_000} {
		value := strings.Repeat("v", size)
		s, ok, err := client.Open(func(add func(name, value string, secret bool)) {
			get(add)
			add("x-large", value, false)
		}, true, false)
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		if fields, ended, err := s.Head(long); err != nil || !ended || fields[0].Value != "204" {
			t.Errorf("%v, %v, %v", fields, ended, err)
		}
		s.Close()
		mu.Lock()
		if size < 64<<10 && (got["x-large"] != value || got["large"] != "false <nil>") || size > 64<<10 && got["large"] != "true <nil>" {
			t.Errorf("%d bytes: %q, %d came", size, got["large"], len(got["x-large"]))
		}
		clear(got)
		mu.Unlock()
	}
}

// TestLimits holds what ends waiting: time, a reset by either side, the end of the connection.
func TestLimits(t *testing.T) {
	release := make(chan struct{})
	client, server := pair(t, h2.Options{MaxStreams: 2}, func(s *h2.Stream) {
		fields, _, _ := s.Head(long)
		switch {
		case len(fields) > 4:
			s.Reset(h2.RefusedStream)
		default:
			<-release
		}
	})
	s, _, _ := client.Open(get, false, false)
	if _, _, err := s.Head(time.Millisecond); !errors.Is(err, h2.ErrTimeout) {
		t.Errorf("head: %v", err)
	}
	if n, err := s.Write(make([]byte, 1<<20), true, 10*time.Millisecond); !errors.Is(err, h2.ErrStalled) || n != 64<<10 {
		t.Errorf("nobody reads: wrote %d, %v", n, err)
	}
	if _, err := s.Read(make([]byte, 1), time.Millisecond); !errors.Is(err, h2.ErrTimeout) {
		t.Errorf("read: %v", err)
	}
	refused, _, _ := client.Open(func(add func(name, value string, secret bool)) {
		get(add)
		add("refuse", "1", false)
	}, true, false)
	if _, _, err := refused.Head(long); !errors.Is(err, h2.ErrUnsent) {
		t.Errorf("refused: %v", err)
	}
	refused.Close()
	eventually(t, func() bool { return client.Spare() == 1 })
	other, ok, _ := client.Open(get, true, false)
	if _, more, _ := client.Open(get, true, false); !ok || more || client.Spare() != 0 {
		t.Errorf("of two streams allowed, %v and %v are open", ok, more)
	}
	waited := make(chan error, 1)
	go func() {
		_, _, err := other.Head(0)
		waited <- err
	}()
	server.Close()
	if err := <-waited; err == nil {
		t.Error("the connection's end was not told")
	}
	s.Close()
	other.Close()
	close(release)
}

// TestGoAway holds that streams that are open end well, that new ones are taken as long as
// the client can't know, and that the connection ends then.
func TestGoAway(t *testing.T) {
	entered, leave := make(chan struct{}, 2), make(chan struct{})
	client, server := pair(t, h2.Options{}, func(s *h2.Stream) {
		_, _, _ = s.Head(long)
		entered <- struct{}{}
		<-leave
		_ = s.WriteHead(status("204"), true)
	})
	s, _, _ := client.Open(get, true, false)
	<-entered
	server.GoAway()
	eventually(t, func() bool { return client.Spare() < 0 })
	server.Final()
	close(leave)
	if fields, _, err := s.Head(long); err != nil || fields[0].Value != "204" {
		t.Errorf("%v, %v", fields, err)
	}
	s.Close()
	select {
	case <-server.Ended():
	case <-time.After(long): //nolint:forbidigo // bounds the test
		t.Error("the connection goes on")
	}
}

// raw speaks frame by frame, against the rules if it likes.
type raw struct {
	*wire.Framer

	t     *testing.T
	nc    net.Conn
	enc   *hpack.Encoder
	block bytes.Buffer
}

func newRaw(t *testing.T, nc net.Conn) *raw {
	t.Helper()
	_ = nc.SetDeadline(time.Now().Add(long))
	if _, err := io.WriteString(nc, wire.ClientPreface); err != nil {
		t.Fatal(err)
	}
	r := &raw{Framer: wire.NewFramer(nc, nc), t: t, nc: nc}
	r.AllowIllegalWrites, r.AllowIllegalReads = true, true
	r.enc = hpack.NewEncoder(&r.block)
	if err := r.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *raw) headers(id uint32, end bool, pairs ...string) {
	r.t.Helper()
	r.block.Reset()
	for i := 0; i < len(pairs); i += 2 {
		_ = r.enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	_ = r.WriteHeaders(wire.HeadersFrameParam{StreamID: id, BlockFragment: r.block.Bytes(), EndHeaders: true, EndStream: end})
}

// ends reads until the server ends a stream or the connection, and returns how.
func (r *raw) ends() string {
	for {
		f, err := r.ReadFrame()
		if err != nil {
			return "closed"
		}
		switch f := f.(type) {
		case *wire.GoAwayFrame:
			return "goaway " + f.ErrCode.String()
		case *wire.RSTStreamFrame:
			return "reset " + f.ErrCode.String()
		case *wire.HeadersFrame:
			return "headers"
		}
	}
}

var plain = []string{":method", "GET", ":scheme", "http", ":path", "/", ":authority", "h"}

// TestHostilePeers holds what a client may not do beyond what h2spec asks for.
func TestHostilePeers(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(r *raw)
		want string
	}{
		"continuations without end": {func(r *raw) {
			_ = r.WriteHeaders(wire.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}})
			for range 40 {
				_ = r.WriteContinuation(1, false, nil)
			}
		}, "goaway ENHANCE_YOUR_CALM"},
		"streams that are opened and reset": {func(r *raw) {
			for i := range uint32(40) {
				r.headers(2*i+1, true, plain...)
				_ = r.WriteRSTStream(2*i+1, wire.ErrCodeCancel)
			}
		}, "goaway ENHANCE_YOUR_CALM"},
		"more streams than allowed": {func(r *raw) {
			for i := range uint32(5) {
				r.headers(2*i+1, true, plain...)
			}
		}, "reset REFUSED_STREAM"},
		"a body longer than the window": {func(r *raw) {
			r.headers(1, false, plain...)
			for range 17 {
				_ = r.WriteData(1, false, make([]byte, 16<<10))
			}
		}, "reset FLOW_CONTROL_ERROR"},
		"a bad block": {func(r *raw) {
			_ = r.WriteHeaders(wire.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0xff, 0xff, 0xff, 0xff, 0xff}, EndHeaders: true})
		}, "goaway COMPRESSION_ERROR"},
		"two lengths": {func(r *raw) {
			r.headers(1, false, append(plain[:8:8], "content-length", "1", "content-length", "2")...)
		}, "reset PROTOCOL_ERROR"},
		"a length with a sign":   {func(r *raw) { r.headers(1, false, append(plain[:8:8], "content-length", "+1")...) }, "reset PROTOCOL_ERROR"},
		"a length without body":  {func(r *raw) { r.headers(1, true, append(plain[:8:8], "content-length", "1")...) }, "reset PROTOCOL_ERROR"},
		"a line end in a value":  {func(r *raw) { r.headers(1, true, append(plain[:8:8], "a", "b\r\nc: d")...) }, "reset PROTOCOL_ERROR"},
		"a space before a value": {func(r *raw) { r.headers(1, true, append(plain[:8:8], "a", " b")...) }, "reset PROTOCOL_ERROR"},
		"a colon in a name":      {func(r *raw) { r.headers(1, true, append(plain[:8:8], "a:b", "c")...) }, "reset PROTOCOL_ERROR"},
		"a space in a name":      {func(r *raw) { r.headers(1, true, append(plain[:8:8], "a b", "c")...) }, "reset PROTOCOL_ERROR"},
		"a response's head":      {func(r *raw) { r.headers(1, true, append(plain[:8:8], ":status", "200")...) }, "reset PROTOCOL_ERROR"},
		"pseudo-header in trailers": {func(r *raw) {
			r.headers(1, false, plain...)
			r.headers(1, true, ":path", "/admin")
		}, "reset PROTOCOL_ERROR"},
		"trailers that do not end": {func(r *raw) {
			r.headers(1, false, plain...)
			r.headers(1, false, "a", "b")
		}, "reset PROTOCOL_ERROR"},
		"a push":      {func(r *raw) { _ = r.WriteRawFrame(wire.FramePushPromise, 4, 1, []byte{0, 0, 0, 2}) }, "goaway PROTOCOL_ERROR"},
		"HTTP/1":      {func(r *raw) { _, _ = io.WriteString(r.nc, "GET / HTTP/1.1\r\nHost: h\r\n\r\n") }, "goaway FRAME_SIZE_ERROR"},
		"even stream": {func(r *raw) { r.headers(2, true, plain...) }, "goaway PROTOCOL_ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			nc, c, _ := serve(t, h2.Options{MaxStreams: 4}, func(s *h2.Stream) { <-release })
			r := newRaw(t, nc)
			test.do(r)
			if got := r.ends(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			close(release)
			_ = c
		})
	}
}

// TestPingsThatNobodyReads holds that a client can't make us keep answers without end.
func TestPingsThatNobodyReads(t *testing.T) {
	nc, c, ended := serve(t, h2.Options{WriteTimeout: 100 * time.Millisecond}, func(*h2.Stream) {})
	r := newRaw(t, nc)
	go func() {
		for range 2_000_000 {
			if r.WritePing(false, [8]byte{}) != nil {
				return
			}
		}
	}()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("the connection ended without a reason")
		}
	case <-time.After(long): //nolint:forbidigo // bounds the test
		t.Error("the connection goes on")
	}
	<-c.Ended()
}

// TestSweep holds the limits of connections that do nothing.
func TestSweep(t *testing.T) {
	now := time.Now()
	limits := h2.Limits{Idle: time.Minute, Partial: time.Minute, Start: time.Minute, Silent: time.Minute, Answer: time.Minute}
	for name, test := range map[string]struct {
		do    func(r *raw)
		waits bool // for a stream
		want  string
	}{
		"idle":           {func(*raw) {}, false, "goaway NO_ERROR"},
		"half a frame":   {func(r *raw) { _, _ = r.nc.Write([]byte{0, 0, 8, 6, 0}) }, false, "closed"},
		"half a head":    {func(r *raw) { _ = r.WriteHeaders(wire.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}}) }, false, "closed"},
		"silent streams": {func(r *raw) { r.headers(1, false, plain...) }, true, "closed"},
	} {
		t.Run(name, func(t *testing.T) {
			entered, release := make(chan struct{}, 1), make(chan struct{})
			nc, c, _ := serve(t, h2.Options{}, func(*h2.Stream) {
				entered <- struct{}{}
				<-release
			})
			r := newRaw(t, nc)
			test.do(r)
			eventually(t, func() bool { return c.State().Settled })
			if test.waits {
				<-entered
			} else if name != "idle" {
				time.Sleep(20 * time.Millisecond) // the half has to have come
			}
			c.Sweep(now.Add(30*time.Second), limits) // nothing yet
			c.Sweep(now.Add(2*time.Minute), limits)
			c.Sweep(now.Add(4*time.Minute), limits)
			if got := r.ends(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			close(release)
		})
	}
}

// FuzzServer feeds a server frames, and holds that it neither panics nor hangs.
func FuzzServer(f *testing.F) {
	var seed bytes.Buffer
	fr := wire.NewFramer(&seed, nil)
	_ = fr.WriteSettings()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for i := 0; i < len(plain); i += 2 {
		_ = enc.WriteField(hpack.HeaderField{Name: plain[i], Value: plain[i+1]})
	}
	_ = fr.WriteHeaders(wire.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
	_ = fr.WriteDataPadded(1, false, []byte("abc"), []byte{0, 0})
	_ = fr.WriteWindowUpdate(1, 100)
	_ = fr.WriteData(1, true, []byte("d"))
	_ = fr.WriteRSTStream(1, wire.ErrCodeCancel)
	_ = fr.WritePing(false, [8]byte{})
	_ = fr.WriteGoAway(0, wire.ErrCodeNo, nil)
	f.Add(seed.Bytes())
	f.Fuzz(func(t *testing.T, frames []byte) {
		client, server := net.Pipe()
		var streams sync.WaitGroup
		c := h2.New(server, h2.Options{Server: true, Connect: true, OnStream: func(s *h2.Stream) {
			streams.Go(func() {
				defer s.Close()
				respond(s)
			})
		}})
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = c.Serve()
		}()
		go func() { _, _ = io.Copy(io.Discard, client) }()
		_ = client.SetDeadline(time.Now().Add(long))
		_, _ = io.WriteString(client, wire.ClientPreface)
		_, _ = client.Write(frames)
		_ = client.Close()
		<-done
		streams.Wait()
	})
}
