// Package transport owns upstream connections: endpoints, their pools, and the
// round trip of one exchange over HTTP/1.1 (own code, the hot path) or HTTP/2.
//
// A Transport keeps one Endpoint for each EndpointKey. Plans look their endpoints
// up when they are built and keep the pointers; connections survive from plan to
// plan because equal keys give the same endpoint.
//
// The package refuses to choose targets, to decide on retries and to add or
// remove end-to-end headers. It owns message framing: Host, Connection,
// Content-Length, Transfer-Encoding, Expect and the like are written by it,
// whatever the exchange's header says.
package transport

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// EndpointKey is the identity of a place that connections can be pooled for.
type EndpointKey struct {
	// Network is tcp or unix; Address is ip:port.
	Network, Address string
	// Protocol is "http/1.1", "h2" (over TLS) or "h2c".
	Protocol string
	// TLS is true for TLS; ServerName is sent as SNI; TLSID tells configurations apart
	// that differ in verification, CAs or client certificate.
	TLS        bool
	ServerName string
	TLSID      string
}

// Protocols of an endpoint.
const (
	HTTP1 = "http/1.1"
	H2    = "h2"
	H2C   = "h2c"
)

// Timeouts of a round trip, each between two successive operations. 0 means none.
type Timeouts struct {
	Connect, Write, Read time.Duration
	// Head bounds the wait for the head of the response instead of Read; 0 means Read.
	Head time.Duration
}

func (t *Timeouts) head() time.Duration {
	if t.Head > 0 {
		return t.Head
	}
	return t.Read
}

// TLSConfig makes the client config of an endpoint when its first connection is
// dialled. The transport sets ServerName from the key when the config has none.
type TLSConfig func() *tls.Config

// Options of a Transport.
type Options struct {
	// Logger; nil logs nothing.
	Logger hclog.Logger
	// PoolSize is the most idle connections kept for an endpoint; 0 means 512, less
	// than 0 keeps none.
	PoolSize int
	// MaxRequests closes a connection after that many requests; 0 means 10000, less
	// than 0 means no limit.
	MaxRequests int
	// IdleTimeout closes connections that were idle for so long; 0 means 60s.
	IdleTimeout time.Duration
	// MaxHead is the most bytes of a response head; 0 means 64 KiB.
	MaxHead int
	// MaxBuffered is the most bytes of a buffered request body that stay in memory;
	// more goes to a file in TempDir. 0 means 64 KiB.
	MaxBuffered int
	// TempDir for request bodies; "" means os.TempDir.
	TempDir string
	// Dial opens connections; nil means a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Transport owns the endpoints. It is safe for concurrent use.
type Transport struct {
	options Options
	log     hclog.Logger

	mu        sync.Mutex
	endpoints map[EndpointKey]*Endpoint
	swept     map[*Endpoint]struct{} // those of endpoints, and older ones that are still held
	closed    bool

	trips   sync.Pool
	context context.Context //nolint:containedctx // bounds dials, ended by Close
	stop    context.CancelFunc
	done    sync.WaitGroup
}

// New makes a transport and starts its sweeper; Close ends it.
func New(o Options) *Transport {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.PoolSize == 0 {
		o.PoolSize = 512
	}
	if o.MaxRequests == 0 {
		o.MaxRequests = 10000
	}
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = time.Minute
	}
	if o.MaxHead <= 0 {
		o.MaxHead = 64 << 10
	}
	if o.MaxBuffered <= 0 {
		o.MaxBuffered = 64 << 10
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	t := &Transport{options: o, log: o.Logger, endpoints: map[EndpointKey]*Endpoint{}, swept: map[*Endpoint]struct{}{}}
	t.trips.New = func() any { return newTrip(o.MaxHead) }
	t.context, t.stop = context.WithCancel(context.Background())
	t.done.Add(1)
	go t.sweep()
	return t
}

// Endpoint returns the endpoint of a key, making it when it is not known. It stays
// known while it is used, and for some minutes after. Keep the pointer: this takes a
// lock. tlsConfig is called for the first TLS connection only.
func (t *Transport) Endpoint(key EndpointKey, tlsConfig TLSConfig) *Endpoint {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.endpoints[key]; e != nil {
		e.touched.Store(true)
		return e
	}
	e := newEndpoint(t, key, tlsConfig)
	if t.closed {
		e.close()
		return e
	}
	t.endpoints[key] = e
	t.swept[e] = struct{}{}
	return e
}

// remember takes an endpoint back that was forgotten but is used again.
func (t *Transport) remember(e *Endpoint) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	if t.endpoints[e.key] == nil {
		t.endpoints[e.key] = e
	}
	t.swept[e] = struct{}{}
	e.open()
}

// forgetLocked closes an endpoint's idle connections until it is used again.
func (t *Transport) forgetLocked(e *Endpoint) {
	if t.endpoints[e.key] == e {
		delete(t.endpoints, e.key)
	}
	delete(t.swept, e)
	e.close()
}

// Close closes all idle connections and keeps no more. Round trips in flight go on.
func (t *Transport) Close() error {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.stop()
	t.done.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	for e := range t.swept {
		t.forgetLocked(e)
	}
	return nil
}

// forgetAfter is how many sweeps an endpoint that nobody uses is remembered for.
const forgetAfter = 60

// sweep closes connections that were idle for too long or that their peer has
// closed, and forgets endpoints that are not used.
func (t *Transport) sweep() {
	defer t.done.Done()
	interval := min(5*time.Second, t.options.IdleTimeout/4+time.Millisecond)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var all []*Endpoint
	for {
		select {
		case <-t.context.Done():
			return
		case now := <-ticker.C:
			all = all[:0]
			t.mu.Lock()
			for e := range t.swept {
				if e.unused() {
					t.forgetLocked(e)
					continue
				}
				all = append(all, e)
			}
			t.mu.Unlock()
			for _, e := range all {
				e.sweep(now, interval)
			}
			clear(all)
		}
	}
}
