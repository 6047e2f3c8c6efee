// Package http2 serves HTTP/2 with the standard library's server, which is made for it:
// it turns its requests into exchanges and a Responder into its writer. It owns nothing
// of the protocol itself, and refuses HTTP/1.
package http2

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/dataplane/internal/message"
	"github.com/sluice-gateway/sluice/dataplane/internal/proxy"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Handler answers requests.
type Handler interface {
	// Serve answers a request with r, and returns when that is done.
	Serve(x *pdk.Exchange, r proxy.Responder)
	// Refuse answers what can not be handled.
	Refuse(x *pdk.Exchange, r proxy.Responder, status int)
}

// Options of an Engine.
type Options struct {
	Handler Handler
	// HeadTimeout bounds the start of a connection; 0 means 60s. IdleTimeout is how long
	// one without streams stays; 0 means 75s. BodyTimeout and WriteTimeout are between
	// two successive operations on a stream; 0 means 60s.
	HeadTimeout, IdleTimeout, BodyTimeout, WriteTimeout time.Duration
	// Logger; nil logs nothing.
	Logger hclog.Logger
}

// Engine serves connections. It is safe for concurrent use.
type Engine struct {
	o         Options
	server    *http.Server
	in        *handoff
	exchanges sync.Pool
	done      sync.WaitGroup
	streams   sync.WaitGroup
}

// Info is what is known of a connection besides its bytes.
type Info struct {
	// Peer and Local are the addresses of the socket.
	Peer, Local netip.AddrPort
	// Client is the one that a trusted PROXY header names; zero for the peer itself.
	Client netip.AddrPort
	// TLS is true for https; SNI is the server name then, Version and Cipher are
	// crypto/tls's numbers.
	TLS             bool
	SNI             string
	Version, Cipher uint16
}

// Connections are figures of the connections that there are.
type Connections struct {
	// All is the sum of the others: connections with streams and without.
	All, Writing, Waiting int
}

type infoKey struct{}

// maxHead is as for HTTP/1.
const maxHead = 32 << 10

// maxFrame is what a client may send in one frame: the least that the protocol allows.
const maxFrame = 16 << 10

// New makes an engine; Drain ends it.
func New(o Options) *Engine {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	for _, d := range []struct {
		value *time.Duration
		or    time.Duration
	}{{&o.HeadTimeout, time.Minute}, {&o.IdleTimeout, 75 * time.Second}, {&o.BodyTimeout, time.Minute}, {&o.WriteTimeout, time.Minute}} {
		if *d.value == 0 {
			*d.value = d.or
		}
	}
	e := &Engine{o: o, in: newHandoff()}
	e.exchanges.New = func() any { return new(pdk.Exchange) }
	var p http.Protocols
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	e.server = &http.Server{
		Handler: http.HandlerFunc(e.handle), Protocols: &p, ReadHeaderTimeout: o.HeadTimeout, IdleTimeout: o.IdleTimeout,
		MaxHeaderBytes: maxHead, ErrorLog: o.Logger.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 128, MaxReadFrameSize: maxFrame, WriteByteTimeout: o.WriteTimeout},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if t := e.in.find(c); t != nil {
				return context.WithValue(ctx, infoKey{}, t.info)
			}
			return ctx
		},
		ConnState: e.in.state,
	}
	e.done.Go(func() { _ = e.server.Serve(e.in) })
	return e
}

// Serve takes a connection whose client speaks HTTP/2, and closes it when it ends. It
// does not wait for that.
func (e *Engine) Serve(nc net.Conn, info Info) { e.in.give(nc, info) }

// Connections returns the figures of now.
func (e *Engine) Connections() Connections { return e.in.count() }

// Drain tells clients to go and waits for streams to end. When ctx ends it closes what is
// left and returns ctx's error; handlers end before Wait returns.
func (e *Engine) Drain(ctx context.Context) error {
	err := e.server.Shutdown(ctx)
	if err != nil {
		_ = e.server.Close()
	}
	e.done.Wait()
	return err
}

// Wait waits until all handlers have returned, after Drain.
func (e *Engine) Wait() { e.streams.Wait() }

func (e *Engine) handle(w http.ResponseWriter, r *http.Request) {
	e.streams.Add(1)
	defer e.streams.Done()
	answer := &responder{e: e, w: w, head: r.Method == http.MethodHead, control: http.NewResponseController(w)}
	e.exchange(r, answer)
	if answer.broken {
		// The stream is reset, so that the client does not take a part for the whole.
		panic(http.ErrAbortHandler)
	}
}

// exchange has the request answered. A fault of a handler ends this stream and no other.
func (e *Engine) exchange(r *http.Request, answer *responder) {
	defer func() {
		if fault := recover(); fault != nil {
			e.o.Logger.Error("handler panicked", "panic", fmt.Sprint(fault), "stack", string(debug.Stack()))
			answer.broken = true
		}
	}()
	x := e.exchanges.Get().(*pdk.Exchange) //nolint:forcetypeassert // the pool holds nothing else
	x.Start = time.Now()
	if err := e.fill(x, r, answer); err != nil {
		e.o.Handler.Refuse(x, answer, err.Status)
	} else {
		e.o.Handler.Serve(x, answer)
	}
	x.Reset()
	e.exchanges.Put(x)
}

// fill takes the request over. What HTTP/1 could not say is refused as there: the upstream
// may speak it.
func (e *Engine) fill(x *pdk.Exchange, r *http.Request, answer *responder) *message.Refusal {
	q := &x.Request
	q.Proto, q.Scheme = 20, "http"
	if info, ok := r.Context().Value(infoKey{}).(Info); ok {
		q.Peer, q.Local, q.Client, q.SNI = info.Peer, info.Local, info.Client, info.SNI
		q.TLSVersion, q.TLSCipher = info.Version, info.Cipher
		if info.TLS {
			q.Scheme = "https"
		}
	}
	socket, refusal := extended(r)
	if refusal != nil {
		return refusal
	}
	method := r.Method
	if socket {
		method = http.MethodGet
	}
	var m message.Request
	if err := m.Pseudo(method, r.RequestURI, r.Host); err != nil {
		return err
	}
	q.Method, q.Host, q.RawPath, q.RawQuery, q.HasQuery = m.Method, m.Host, m.Path, m.Query, m.HasQuery
	// As large as HTTP/1 would have it: what came was compressed.
	q.Bytes = int64(len(r.Method)+len(r.RequestURI)+len(" HTTP/2\r\nHost: \r\n\r\n")+len(r.Host)) + max(r.ContentLength, 0)
	for name, values := range r.Header {
		switch name {
		case protocolField:
			continue
		case "Host":
			// It is in the place of :authority, or has to be the same.
			if len(values) != 1 || !strings.EqualFold(values[0], r.Host) {
				return message.ErrHostMismatch
			}
			continue
		}
		for _, v := range values {
			q.Header.Add(name, v)
			q.Bytes += int64(len(name) + len(v) + len(": \r\n"))
		}
	}
	if socket {
		answer.body, answer.key = r.Body, opening(q)
		return nil
	}
	if r.Body != nil && r.Body != http.NoBody {
		q.ContentLength = r.ContentLength
		if r.ContentLength != 0 {
			q.Body = &requestBody{r: r, trailer: &q.Trailer, control: answer.control, timeout: e.o.BodyTimeout}
		}
	}
	return nil
}

// requestBody is the body of a stream.
type requestBody struct {
	r       *http.Request
	trailer *pdk.Header
	control *http.ResponseController
	timeout time.Duration
	ended   bool
}

// Read implements pdk.Body.
func (b *requestBody) Read(p []byte) (int, error) {
	_ = b.control.SetReadDeadline(time.Now().Add(b.timeout))
	n, err := b.r.Body.Read(p)
	if err == io.EOF && !b.ended {
		b.ended = true
		for name, values := range b.r.Trailer {
			for _, v := range values {
				b.trailer.Add(name, v)
			}
		}
	}
	return n, err
}

// Close ends a Read that waits.
func (b *requestBody) Close() error { return b.r.Body.Close() }
