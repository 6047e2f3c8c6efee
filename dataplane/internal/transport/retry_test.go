package transport_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/sluice-gateway/sluice/dataplane/internal/transport"
)

// refusing is an HTTP/2 server that refuses the first stream after its body has begun,
// and answers the others with the length of their bodies.
func refusing(c net.Conn, _ int) {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c, preface); err != nil {
		return
	}
	f := http2.NewFramer(c, c)
	_ = f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
	_ = f.WriteWindowUpdate(0, 1<<20)
	sizes, streams := map[uint32]int{}, 0
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = f.WriteSettingsAck()
			}
		case *http2.HeadersFrame:
			streams++
			sizes[frame.StreamID] = 0
		case *http2.DataFrame:
			sizes[frame.StreamID] += len(frame.Data())
			if streams == 1 {
				_ = f.WriteRSTStream(frame.StreamID, http2.ErrCodeRefusedStream)
				streams++
				continue
			}
			if frame.StreamEnded() && frame.StreamID > 1 {
				var b bytes.Buffer
				e := hpack.NewEncoder(&b)
				_ = e.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
				_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: frame.StreamID, BlockFragment: b.Bytes(), EndHeaders: true})
				_ = f.WriteData(frame.StreamID, true, fmt.Append(nil, sizes[frame.StreamID]))
			}
		}
	}
}

// A body that is stored can be sent again when the upstream refused the stream.
func TestRefusedStreamIsRepeated(t *testing.T) {
	for _, size := range []int{100, 300 << 10} {
		u := listen(t, refusing)
		e := newTransport(t, transport.Options{TempDir: t.TempDir()}).Endpoint(
			transport.EndpointKey{Network: "tcp", Address: u.address(), Protocol: transport.H2C}, nil)
		x, c := newExchange(&pattern{n: size}, int64(size)), seconds()
		c.BufferRequest = true
		if err := e.RoundTrip(x, c); err != nil {
			t.Fatalf("RoundTrip = %v", err)
		}
		if got, want := readAll(t, x), fmt.Sprint(size); got != want {
			t.Errorf("upstream saw %s bytes, want %s", got, want)
		}
		x.Reset()
	}
}

func TestStreamedBodyIsNotRepeated(t *testing.T) {
	u := listen(t, refusing)
	e := newTransport(t, transport.Options{}).Endpoint(transport.EndpointKey{Network: "tcp", Address: u.address(), Protocol: transport.H2C}, nil)
	x := newExchange(&pattern{n: 100}, 100)
	x.Request.Proto = 20
	defer x.Reset()
	if err := e.RoundTrip(x, seconds()); err == nil || err.Kind != transport.ErrRead || !err.BodyTaken {
		t.Errorf("RoundTrip = %+v, want ErrRead with BodyTaken", err)
	}
}

// An upstream that says goodbye gets no more requests on that connection.
func TestHTTP2GoAway(t *testing.T) {
	over(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		_, _ = io.Copy(w, r.Body)
	}, transport.Options{}, func(t *testing.T, e *transport.Endpoint) {
		for range 3 {
			x := newExchange(&pattern{n: 100}, 100)
			if err := e.RoundTrip(x, seconds()); err != nil {
				t.Fatalf("RoundTrip = %v", err)
			}
			if n := len(readAll(t, x)); n != 100 {
				t.Errorf("body = %d bytes", n)
			}
			x.Reset()
		}
	})
}

// A body that is stored goes out again when the connection was stale; one that streams
// has not been touched then.
func TestStaleConnectionAndBodies(t *testing.T) {
	for _, buffer := range []bool{true, false} {
		for _, size := range []int{100, 300 << 10} {
			u := listen(t, func(c net.Conn, nth int) {
				if nth > 1 {
					summing()(c, nth)
					return
				}
				_, _ = c.Read(make([]byte, 4096))
				_, _ = io.WriteString(c, ok)
			})
			e := plain(newTransport(t, transport.Options{TempDir: t.TempDir()}), u.address())
			if _, err := get(t, e); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond) // for the close to arrive
			p := &pattern{n: size}
			x, c := newExchange(p, int64(size)), seconds()
			c.BufferRequest = buffer
			if err := e.RoundTrip(x, c); err != nil {
				t.Fatal(err)
			}
			if got, want := readAll(t, x), fmt.Sprintf("%d %d %d []", size, p.sum(), size); got != want {
				t.Errorf("upstream saw %q, want %q", got, want)
			}
			x.Reset()
		}
	}
}

func TestUnixSocket(t *testing.T) {
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	u := serve(t, ln, always(ok))
	e := newTransport(t, transport.Options{}).Endpoint(transport.EndpointKey{Network: "unix", Address: u.address(), Protocol: transport.HTTP1}, nil)
	for range 3 {
		if body, err := get(t, e); err != nil || body != "ok" {
			t.Errorf("RoundTrip = %q, %v", body, err)
		}
	}
	if n := u.accepted.Load(); n != 1 {
		t.Errorf("connections = %d, want 1", n)
	}
}

// An endpoint that nobody uses is forgotten, and still works for who holds it.
func TestEndpointIsForgotten(t *testing.T) {
	u := listen(t, always(ok))
	tr := newTransport(t, transport.Options{IdleTimeout: time.Millisecond})
	old := plain(tr, u.address())
	wait := 200 * time.Millisecond
	for plain(tr, u.address()) == old {
		if wait *= 2; wait > 10*time.Second {
			t.Fatal("the endpoint is not forgotten")
		}
		time.Sleep(wait)
	}
	for range 2 {
		if body, err := get(t, old); err != nil || body != "ok" {
			t.Errorf("RoundTrip = %q, %v", body, err)
		}
	}
}

// Many clients at once share the pool.
func TestConcurrentRoundTrips(t *testing.T) {
	u := listen(t, summing())
	e := plain(newTransport(t, transport.Options{PoolSize: 4, MaxRequests: 10}), u.address())
	done := make(chan error, 8)
	for n := range cap(done) {
		go func() {
			for i := range 50 {
				p := &pattern{n: 1 + n*1000 + i*100}
				length := int64(p.n)
				if i%2 == 0 {
					length = -1
				}
				x := newExchange(p, length)
				if err := e.RoundTrip(x, seconds()); err != nil {
					done <- err
					return
				}
				b, err := io.ReadAll(x.Response.Body)
				if want := fmt.Sprintf("%d %d ", p.n, p.sum()); err != nil || !bytes.HasPrefix(b, []byte(want)) {
					done <- fmt.Errorf("body = %q, %w, want %q", b, err, want)
					return
				}
				x.Reset()
			}
			done <- nil
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
