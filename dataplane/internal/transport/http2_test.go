package transport_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/dataplane/internal/transport"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// over runs a test over h2c and over TLS.
func over(t *testing.T, handler http.HandlerFunc, o transport.Options, test func(t *testing.T, e *transport.Endpoint)) {
	t.Helper()
	for _, protocol := range []string{transport.H2C, transport.H2} {
		t.Run(protocol, func(t *testing.T) {
			s := httptest.NewUnstartedServer(handler)
			s.Config.ErrorLog = hclog.NewNullLogger().StandardLogger(nil)
			s.Config.Protocols = new(http.Protocols)
			s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 100}
			key := transport.EndpointKey{Network: "tcp", Protocol: protocol}
			if protocol == transport.H2 {
				key.TLS, key.ServerName = true, "example.com"
				s.EnableHTTP2 = true
				s.Config.Protocols.SetHTTP2(true)
				s.StartTLS()
			} else {
				s.Config.Protocols.SetUnencryptedHTTP2(true)
				s.Start()
			}
			tr := transport.New(o)
			key.Address = s.Listener.Addr().String()
			e := tr.Endpoint(key, func() *tls.Config { return s.Client().Transport.(*http.Transport).TLSClientConfig.Clone() })
			t.Cleanup(func() {
				_ = tr.Close()
				s.Close()
			})
			test(t, e)
		})
	}
}

func TestHTTP2(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "Grpc-Status")
		w.Header().Add("X-Many", "1")
		w.Header().Add("X-Many", "2")
		_, _ = fmt.Fprintf(w, "%s %s %s %s %d %s TE=%s UA=%s", r.Proto, r.Method, r.Host, r.RequestURI, r.ContentLength, b, r.Header.Get("Te"), r.UserAgent())
		w.Header().Set("Grpc-Status", "0")
	}
	over(t, handler, transport.Options{}, func(t *testing.T, e *transport.Endpoint) {
		for _, tt := range []struct {
			path string
			body string
			want string
		}{
			{"/a%2fb?c=d", "", "HTTP/2.0 GET example.test /a%2fb?c=d 0  TE=trailers UA="},
			{"//two/slashes", "", "HTTP/2.0 GET example.test //two/slashes 0  TE=trailers UA="},
			{"/?", "", "HTTP/2.0 GET example.test /? 0  TE=trailers UA="},
			{"/", "abc", "HTTP/2.0 POST example.test / 3 abc TE=trailers UA="},
		} {
			x := newExchange(nil, 0)
			if tt.body != "" {
				begin(x, &reader{r: strings.NewReader(tt.body)}, int64(len(tt.body)))
			}
			x.Upstream.Path, x.Upstream.RawQuery, x.Upstream.HasQuery = strings.Cut(tt.path, "?")
			x.Request.Header.Add("te", "trailers")
			x.Request.Header.Add("Connection", "close")
			if err := e.RoundTrip(x, seconds()); err != nil {
				t.Fatalf("RoundTrip = %v", err)
			}
			r := &x.Response
			if body := readAll(t, x); body != tt.want || r.Status != 200 || r.UpstreamStatus != 200 {
				t.Errorf("response = %d %q, want %q", r.Status, body, tt.want)
			}
			if got := r.Header.Values(nil, "x-many"); cmp.Diff([]string{"1", "2"}, got) != "" {
				t.Errorf("X-Many = %q", got)
			}
			if diff := cmp.Diff([]pdk.Field{{Name: "grpc-status", Value: "0"}}, r.Trailer.Fields()); diff != "" {
				t.Errorf("trailer (-want +got):\n%s", diff)
			}
			x.Reset()
		}
	})
}

func TestHTTP2WithoutBody(t *testing.T) {
	over(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Grpc-Status", "12") // gRPC's answer without a message
		w.WriteHeader(200)
	}, transport.Options{}, func(t *testing.T, e *transport.Endpoint) {
		for _, method := range []string{"GET", "HEAD"} {
			x := newExchange(nil, 0)
			x.Upstream.Method = method
			if err := e.RoundTrip(x, seconds()); err != nil {
				t.Fatal(err)
			}
			if x.Response.Header.Get("Grpc-Status") != "12" || readAll(t, x) != "" {
				t.Errorf("response = %+v", &x.Response)
			}
			x.Reset()
		}
	})
}

// Messages go both ways at the same time, as gRPC's do.
func TestHTTP2Streams(t *testing.T) {
	over(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		_ = http.NewResponseController(w).Flush()
		buf := make([]byte, 100)
		for {
			n, err := r.Body.Read(buf)
			if err != nil {
				break
			}
			_, _ = w.Write([]byte(strings.ToUpper(string(buf[:n]))))
			_ = http.NewResponseController(w).Flush()
		}
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "3")
	}, transport.Options{}, func(t *testing.T, e *transport.Endpoint) {
		pr, pw := io.Pipe()
		x := newExchange(pr, -1)
		x.Request.Proto = 20
		defer x.Reset()
		if err := e.RoundTrip(x, &transport.Call{BufferRequest: true}); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		for range 5 {
			_, _ = io.WriteString(pw, "ping")
			if n, err := io.ReadAtLeast(x.Response.Body, buf, 4); err != nil || string(buf[:n]) != "PING" {
				t.Fatalf("read = %q, %v", buf[:n], err)
			}
		}
		_ = pw.Close()
		if body := readAll(t, x); body != "" || x.Response.Trailer.Get("grpc-status") != "3" {
			t.Errorf("end = %q, trailer %v", body, x.Response.Trailer.Fields())
		}
	})
}

func TestHTTP2Cancel(t *testing.T) {
	gone := make(chan struct{}, 2)
	over(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		gone <- struct{}{}
	}, transport.Options{}, func(t *testing.T, e *transport.Endpoint) {
		pr, pw := io.Pipe() // the client sends nothing, and does not end either
		defer func() { _ = pw.Close() }()
		x := newExchange(pr, -1)
		x.Request.Proto = 20
		if err := e.RoundTrip(x, seconds()); err != nil {
			t.Fatal(err)
		}
		x.Reset()
		<-gone
	})
}

func TestHTTP2Timeouts(t *testing.T) {
	over(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			_ = http.NewResponseController(w).Flush()
		}
		if r.URL.Path != "/write" {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		<-r.Context().Done()
	}, transport.Options{TempDir: t.TempDir()}, func(t *testing.T, e *transport.Endpoint) {
		x := newExchange(nil, 0)
		if err := e.RoundTrip(x, &transport.Call{Timeouts: transport.Timeouts{Read: short}}); err == nil || err.Kind != transport.ErrReadTimeout || !err.Sent {
			t.Errorf("head: RoundTrip = %+v, want ErrReadTimeout", err)
		}
		begin(x, &pattern{n: 10000}, -1)
		if err := e.RoundTrip(x, &transport.Call{Timeouts: transport.Timeouts{Read: short}}); err == nil || err.Kind != transport.ErrReadTimeout {
			t.Errorf("head after a body: RoundTrip = %+v, want ErrReadTimeout", err)
		}
		x.Reset()
		for _, proto := range []int{11, 20} {
			begin(x, &pattern{n: 64 << 20}, 64<<20)
			x.Request.Proto, x.Upstream.Path = proto, "/write"
			if err := e.RoundTrip(x, &transport.Call{Timeouts: transport.Timeouts{Write: short, Read: time.Minute}}); err == nil || err.Kind != transport.ErrWriteTimeout || err.BodyTaken != (proto == 20) {
				t.Errorf("write: RoundTrip = %+v, want ErrWriteTimeout", err)
			}
			x.Reset()
		}
		begin(x, nil, 0)
		x.Upstream.Path = "/body"
		if err := e.RoundTrip(x, &transport.Call{Timeouts: transport.Timeouts{Read: short}}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(x.Response.Body); err == nil {
			t.Error("body was read without an error")
		}
		x.Reset()
	})
}

// Neither a client that reads slowly nor one that sends slowly is the upstream's fault.
func TestHTTP2SlowClient(t *testing.T) {
	over(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }, transport.Options{}, func(t *testing.T, e *transport.Endpoint) {
		pr, pw := io.Pipe()
		go func() {
			time.Sleep(2 * short)
			_, _ = io.WriteString(pw, "abc")
			time.Sleep(2 * short)
			_ = pw.Close()
		}()
		x := newExchange(pr, 3)
		x.Request.Proto = 20
		defer x.Reset()
		if err := e.RoundTrip(x, &transport.Call{Timeouts: transport.Timeouts{Connect: time.Second, Write: short, Read: short}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * short)
		if body := readAll(t, x); body != "abc" {
			t.Errorf("body = %q", body)
		}
	})
}

func TestHTTP2BodyTooLarge(t *testing.T) {
	over(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }, transport.Options{}, func(t *testing.T, e *transport.Endpoint) {
		x, c := newExchange(&pattern{n: 1 << 20}, -1), seconds()
		x.Request.Proto, c.MaxBody = 20, 1000
		defer x.Reset()
		if err := e.RoundTrip(x, c); err == nil || err.Kind != transport.ErrBodyTooLarge || !err.BodyTaken {
			t.Errorf("RoundTrip = %+v, want ErrBodyTooLarge", err)
		}
	})
}

func TestHTTP2ClientsBodyFails(t *testing.T) {
	over(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }, transport.Options{}, func(t *testing.T, e *transport.Endpoint) {
		x := newExchange(&failing{n: 10000, err: context.DeadlineExceeded}, -1)
		x.Request.Proto = 20
		defer x.Reset()
		if err := e.RoundTrip(x, seconds()); err == nil || err.Kind != transport.ErrRequestBody {
			t.Errorf("RoundTrip = %+v, want ErrRequestBody", err)
		}
	})
}

func TestHTTP2Reset(t *testing.T) {
	over(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, transport.Options{}, func(t *testing.T, e *transport.Endpoint) {
		x := newExchange(nil, 0)
		defer x.Reset()
		if err := e.RoundTrip(x, seconds()); err == nil || err.Kind != transport.ErrRead || !err.Sent {
			t.Errorf("RoundTrip = %+v, want ErrRead", err)
		}
	})
}

func TestHTTP2InterimResponses(t *testing.T) {
	over(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a>")
		w.WriteHeader(103)
		w.WriteHeader(204)
	}, transport.Options{}, func(t *testing.T, e *transport.Endpoint) {
		x, c, i := newExchange(nil, 0), seconds(), &informer{}
		c.Informational = i
		defer x.Reset()
		if err := e.RoundTrip(x, c); err != nil || x.Response.Status != 204 {
			t.Fatalf("RoundTrip = %d, %v", x.Response.Status, err)
		}
		if diff := cmp.Diff([]string{"iii</a>"}, i.got); diff != "" {
			t.Errorf("interim responses (-want +got):\n%s", diff)
		}
	})
}

func TestUpstreamWithoutHTTP2(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = hclog.NewNullLogger().StandardLogger(nil)
	s.StartTLS()
	defer s.Close()
	e := newTransport(t, transport.Options{}).Endpoint(
		transport.EndpointKey{Network: "tcp", Address: s.Listener.Addr().String(), Protocol: transport.H2, TLS: true, ServerName: "example.com"},
		func() *tls.Config { return s.Client().Transport.(*http.Transport).TLSClientConfig.Clone() })
	x := newExchange(nil, 0)
	defer x.Reset()
	if err := e.RoundTrip(x, seconds()); err == nil || err.Kind != transport.ErrTLS {
		t.Errorf("RoundTrip = %+v, want ErrTLS", err)
	}
}

// TestHTTP2Burst holds that requests which come at once, many times what a connection takes,
// find connections.
func TestHTTP2Burst(t *testing.T) {
	const n = 750
	var came atomic.Int64
	var all atomic.Pointer[chan struct{}]
	over(t, func(http.ResponseWriter, *http.Request) {
		if came.Add(1) == n {
			close(*all.Load())
		}
		<-*all.Load()
	}, transport.Options{}, func(t *testing.T, e *transport.Endpoint) {
		var done sync.WaitGroup
		came.Store(0)
		together := make(chan struct{})
		all.Store(&together)
		start := make(chan struct{})
		for range n {
			done.Go(func() {
				<-start
				x := newExchange(nil, 0)
				c := seconds()
				c.Timeouts.Connect, c.Timeouts.Read = 20*time.Second, 20*time.Second
				if err := e.RoundTrip(x, c); err != nil {
					t.Errorf("RoundTrip = %v", err)
				}
				x.Reset()
			})
		}
		close(start)
		done.Wait()
	})
}

// TestHTTP2Context holds that a round trip ends with its context.
func TestHTTP2Context(t *testing.T) {
	over(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, transport.Options{}, func(t *testing.T, e *transport.Endpoint) {
		x, c := newExchange(nil, 0), seconds()
		defer x.Reset()
		ctx, cancel := context.WithCancel(context.Background())
		c.Context = ctx
		time.AfterFunc(short, cancel)
		began := time.Now()
		if err := e.RoundTrip(x, c); err == nil || err.Kind == transport.ErrReadTimeout {
			t.Errorf("RoundTrip = %v after %v", err, time.Since(began))
		}
	})
}

// TestHTTP2Trailers holds that a trailer section carries nothing that belongs to a head: a
// client of HTTP/1 may take it for that.
func TestHTTP2Trailers(t *testing.T) {
	over(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "abc")
		w.Header().Set(http.TrailerPrefix+"Set-Cookie", "a=b")
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	}, transport.Options{}, func(t *testing.T, e *transport.Endpoint) {
		x := newExchange(nil, 0)
		defer x.Reset()
		if err := e.RoundTrip(x, seconds()); err != nil {
			t.Fatal(err)
		}
		_ = readAll(t, x)
		if diff := cmp.Diff([]pdk.Field{{Name: "grpc-status", Value: "0"}}, x.Response.Trailer.Fields()); diff != "" {
			t.Errorf("trailer (-want +got):\n%s", diff)
		}
	})
}
