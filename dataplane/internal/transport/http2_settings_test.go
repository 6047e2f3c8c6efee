package transport_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/sluice-gateway/sluice/dataplane/internal/transport"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// framed is an upstream that speaks frames, a connection at a time to each call of serve.
func framed(t *testing.T, serve func(f *http2.Framer)) *transport.Endpoint {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			wait.Go(func() {
				defer func() { _ = nc.Close() }()
				_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
				hello := make([]byte, len(http2.ClientPreface))
				if _, err := io.ReadFull(nc, hello); err != nil || string(hello) != http2.ClientPreface {
					t.Errorf("preface %q, %v", hello, err)
					return
				}
				serve(http2.NewFramer(nc, nc))
			})
		}
	})
	tr := transport.New(transport.Options{})
	t.Cleanup(func() {
		_ = l.Close()
		_ = tr.Close()
		wait.Wait()
	})
	return tr.Endpoint(transport.EndpointKey{Network: "tcp", Address: l.Addr().String(), Protocol: transport.H2C}, nil)
}

// head is a header block.
func head(pairs ...string) []byte {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for i := 0; i < len(pairs); i += 2 {
		_ = enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return b.Bytes()
}

// TestSettingsAreAwaited holds that requests that come together do not take a new
// connection to allow more streams than it will say that it does.
func TestSettingsAreAwaited(t *testing.T) {
	e := framed(t, func(f *http2.Framer) {
		opened, settled := 0, false
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			h, ok := frame.(*http2.HeadersFrame)
			if !ok {
				continue
			}
			if opened++; opened > 1 && !settled {
				t.Error("a second stream before SETTINGS")
			}
			if !settled {
				time.Sleep(short) // others would have come by now
				settled = true
				_ = f.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 2})
			}
			if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: h.StreamID, BlockFragment: head(":status", "200"), EndStream: true, EndHeaders: true}); err != nil {
				return
			}
		}
	})
	var done sync.WaitGroup
	for range 20 {
		done.Go(func() {
			x := newExchange(nil, 0)
			defer x.Reset()
			if err := e.RoundTrip(x, seconds()); err != nil || x.Response.Status != 200 {
				t.Errorf("RoundTrip = %v, status %d", err, x.Response.Status)
			}
		})
	}
	done.Wait()
}

// TestRequestTrailers holds that what follows a request's body goes on to an upstream that
// speaks HTTP/2, whatever way the body goes, and not what may not stand there.
func TestRequestTrailers(t *testing.T) {
	type seen struct {
		body    int
		trailer []pdk.Field
		ended   bool
	}
	requests := make(chan seen, 1)
	e := framed(t, func(f *http2.Framer) {
		_ = f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
		_ = f.WriteWindowUpdate(0, 1<<20)
		decoder := hpack.NewDecoder(4096, nil)
		var s seen
		for heads := 0; ; {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			switch frame := frame.(type) {
			case *http2.DataFrame:
				s.body += len(frame.Data())
				s.ended = frame.StreamEnded()
			case *http2.HeadersFrame:
				fields, err := decoder.DecodeFull(frame.HeaderBlockFragment())
				if err != nil {
					t.Error(err)
				}
				if heads++; heads%2 == 0 {
					for _, f := range fields {
						s.trailer = append(s.trailer, pdk.Field{Name: f.Name, Value: f.Value})
					}
				}
				s.ended = frame.StreamEnded()
			default:
				continue
			}
			if s.ended {
				requests <- s
				s = seen{}
				_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: frame.Header().StreamID, BlockFragment: head(":status", "204"), EndStream: true, EndHeaders: true})
			}
		}
	})
	for name, tt := range map[string]struct {
		proto  int
		buffer bool
		body   string
	}{
		"streamed":              {20, false, strings.Repeat("x", 100_000)},
		"read whole, small":     {11, true, "abc"},
		"read whole, large":     {11, true, strings.Repeat("x", 50_000)},
		"read whole, in a file": {11, true, strings.Repeat("x", 200_000)},
		"nothing but trailers":  {11, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			x := newExchange(nil, 0)
			defer x.Reset()
			begin(x, &trailing{Reader: strings.NewReader(tt.body), to: &x.Request.Trailer}, -1)
			x.Request.Proto = tt.proto
			c := seconds()
			c.BufferRequest = tt.buffer
			if err := e.RoundTrip(x, c); err != nil {
				t.Fatal(err)
			}
			want := seen{len(tt.body), []pdk.Field{{Name: "x-checksum", Value: "abc"}}, true}
			if diff := cmp.Diff(want, <-requests, cmp.AllowUnexported(seen{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// trailing is a body with trailers.
type trailing struct {
	io.Reader

	to *pdk.Header
}

func (r *trailing) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF && r.to.Len() == 0 {
		r.to.Add("X-Checksum", "abc")
		r.to.Add("Content-Length", "7")
	}
	return n, err
}

// TestBodiesOfBodilessResponses holds that what an upstream sends behind a response that
// has no body is nobody's.
func TestBodiesOfBodilessResponses(t *testing.T) {
	var status string
	e := framed(t, func(f *http2.Framer) {
		_ = f.WriteSettings()
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			h, ok := frame.(*http2.HeadersFrame)
			if !ok {
				continue
			}
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: h.StreamID, BlockFragment: head(":status", status, "content-length", "3"), EndHeaders: true})
			_ = f.WriteData(h.StreamID, false, []byte("HTTP/1.1 200 OK\r\n\r\n"))
			_ = f.WriteData(h.StreamID, true, []byte("abc"))
		}
	})
	for _, tt := range []struct{ method, status string }{{"GET", "204"}, {"GET", "304"}, {"HEAD", "200"}} {
		status = tt.status
		for range 2 {
			x := newExchange(nil, 0)
			x.Upstream.Method = tt.method
			if err := e.RoundTrip(x, seconds()); err != nil {
				t.Fatalf("%s %s: %v", tt.method, tt.status, err)
			}
			if x.Response.Body != nil {
				t.Errorf("%s %s has a body", tt.method, tt.status)
			}
			x.Reset()
		}
	}
}
