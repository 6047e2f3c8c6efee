package pdktest

import (
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Start is when exchanges start that do not say when.
var Start = time.Date(2026, 11, 23, 16, 15, 1, 0, time.UTC)

// Request is what a client sends.
type Request struct {
	// Method; "" means GET.
	Method string
	// Path with query; "" means "/".
	Path string
	// Header lines as name, value pairs. Host is not among them.
	Header [][2]string
	// Host; "" means proxy.test.
	Host string
	Body string
	// Chunked sends the body without Content-Length.
	Chunked bool
	// Proto is 10, 11 or 20; 0 means 11.
	Proto int
	// Client is the address of the client; "" means 127.0.0.1.
	Client string
	// At is when the request comes; zero means Start.
	At time.Time
}

// Response is what an upstream sends.
type Response struct {
	// Status; 0 means 200.
	Status int
	Header [][2]string
	Body   string
}

// Result is what came of an exchange.
type Result struct {
	// Status, Header and Body that the client gets.
	Status int
	Header [][2]string
	Body   string
	// Called tells whether the upstream was called, with Upstream.
	Called   bool
	Upstream Sent
	// Exchange after its log phase, not reset.
	Exchange *pdk.Exchange
	// Err is the first fault of a phase.
	Err error
}

// Sent is what the upstream gets.
type Sent struct {
	Method, URL string
	Header      [][2]string
	Body        string
}

// Get returns a line of the response header, or "".
func (r *Result) Get(name string) string { return get(r.Header, name) }

// Get returns a line of the request header that the upstream gets, or "".
func (s *Sent) Get(name string) string { return get(s.Header, name) }

// Has tells whether the upstream gets a header line of that name.
func (s *Sent) Has(name string) bool {
	return slices.ContainsFunc(s.Header, func(l [2]string) bool { return pdk.EqualFold(l[0], name) })
}

func get(lines [][2]string, name string) string {
	for _, l := range lines {
		if pdk.EqualFold(l[0], name) {
			return l[1]
		}
	}
	return ""
}

// NewExchange makes the exchange of a request, routed to the options' route.
func (p *Plugin) NewExchange(r Request) *pdk.Exchange {
	x := new(pdk.Exchange)
	Fill(x, r)
	x.View, x.Route, x.Service = p.o.View, p.o.Route, p.o.Service
	return x
}

// Fill makes an exchange that of a request. It reuses what the exchange has.
func Fill(x *pdk.Exchange, r Request) {
	or := func(s, otherwise string) string {
		if s == "" {
			return otherwise
		}
		return s
	}
	path, query, hasQuery := strings.Cut(or(r.Path, "/"), "?")
	q := &x.Request
	q.Method, q.Scheme, q.Host = or(r.Method, "GET"), "http", or(r.Host, "proxy.test")
	q.RawPath, q.Path, q.RawQuery, q.HasQuery = path, schema.NormalizePath(path), query, hasQuery
	q.Proto = 11
	if r.Proto != 0 {
		q.Proto = r.Proto
	}
	for _, l := range r.Header {
		q.Header.Add(l[0], l[1])
	}
	if r.Body != "" {
		q.Body, q.ContentLength = strings.NewReader(r.Body), int64(len(r.Body))
		if r.Chunked {
			q.ContentLength = -1
		}
	}
	q.Client = netip.AddrPortFrom(netip.MustParseAddr(or(r.Client, "127.0.0.1")), 40000)
	q.Peer, q.Local = q.Client, netip.MustParseAddrPort("127.0.0.1:8000")
	q.ForwardedProto, q.ForwardedHost, q.ForwardedPort = "http", q.Host, 8000
	x.Upstream = pdk.Upstream{Scheme: "http", Method: q.Method, Path: path, RawQuery: query, HasQuery: hasQuery}
	x.ID = "0123456789abcdef0123456789abcdef"
	x.Start = r.At
	if x.Start.IsZero() {
		x.Start = Start
	}
}

// Do sends a request to an upstream that answers 200 with "hello".
func (p *Plugin) Do(r Request) *Result {
	p.t.Helper()
	return p.DoWith(r, func(*pdk.Exchange) Response {
		return Response{Header: [][2]string{{"Content-Type", "text/plain"}}, Body: "hello"}
	})
}

// DoWith sends a request and lets upstream answer.
func (p *Plugin) DoWith(r Request, upstream func(x *pdk.Exchange) Response) *Result {
	p.t.Helper()
	return Run(p.t, p.NewExchange(r), []*Plugin{p}, upstream)
}

// Run runs a chain of configs over an exchange, by descending priority.
func Run(t testing.TB, x *pdk.Exchange, chain []*Plugin, upstream func(x *pdk.Exchange) Response) *Result {
	t.Helper()
	chain = slices.Clone(chain)
	slices.SortStableFunc(chain, func(a, b *Plugin) int { return b.Order - a.Order })
	r := &Result{Exchange: x}
	fault := func(err error) {
		if err == nil {
			return
		}
		if r.Err == nil {
			r.Err = err
		}
		_ = x.Fail(500, "")
	}
	for _, phase := range []func(p *Plugin) func(*pdk.Exchange) error{
		func(p *Plugin) func(*pdk.Exchange) error { return p.Phases.Rewrite },
		func(p *Plugin) func(*pdk.Exchange) error { return p.Phases.Access },
	} {
		for _, p := range chain {
			if fn := phase(p); fn != nil && !x.Exited() {
				fault(fn(x))
			}
		}
	}
	x.AccessDone = x.Start
	if !x.Exited() {
		r.Called, r.Upstream = true, sent(t, x)
		respond(x, upstream(x))
	}
	for _, p := range chain {
		if fn := p.Phases.HeaderFilter; fn != nil {
			fault(fn(x))
		}
	}
	r.Body = filter(t, x, chain)
	r.Status = x.Response.Status
	for _, f := range x.Response.Header.Fields() {
		r.Header = append(r.Header, [2]string{f.Name, f.Value})
	}
	for _, p := range chain {
		if p.Phases.Log != nil {
			p.Phases.Log(x)
		}
	}
	return r
}

func sent(t testing.TB, x *pdk.Exchange) Sent {
	t.Helper()
	s := Sent{Method: x.Upstream.Method, URL: x.Upstream.Path, Body: string(x.Request.Buffered)}
	if x.Upstream.HasQuery {
		s.URL += "?" + x.Upstream.RawQuery
	}
	for _, f := range x.Request.Header.Fields() {
		s.Header = append(s.Header, [2]string{f.Name, f.Value})
	}
	if x.Request.Body != nil {
		b, err := io.ReadAll(x.Request.Body)
		if err != nil {
			t.Errorf("read request body: %v", err)
		}
		s.Body = string(b)
	}
	return s
}

func respond(x *pdk.Exchange, r Response) {
	x.Source = pdk.SourceUpstream
	x.Response.Status = r.Status
	if r.Status == 0 {
		x.Response.Status = 200
	}
	x.Response.UpstreamStatus = x.Response.Status
	x.UpstreamSent, x.UpstreamFirst = x.Start, x.Start
	for _, l := range r.Header {
		x.Response.Header.Add(l[0], l[1])
	}
	x.Response.ContentLength = int64(len(r.Body))
	x.Response.Body = strings.NewReader(r.Body)
}

// filter sends the response body in small pieces through the body filters.
func filter(t testing.TB, x *pdk.Exchange, chain []*Plugin) string {
	t.Helper()
	all := x.Response.Buffered
	if x.Response.Body != nil {
		b, err := io.ReadAll(x.Response.Body)
		if err != nil {
			t.Errorf("read response body: %v", err)
		}
		all = b
	}
	if x.Request.Method == "HEAD" {
		return ""
	}
	var out []byte
	pass := func(piece []byte, last bool) {
		for _, p := range chain {
			if p.Phases.BodyFilter == nil {
				continue
			}
			was := string(piece)
			next, err := p.Phases.BodyFilter(x, piece, last)
			if err != nil {
				t.Errorf("%s: body filter: %v", p.Name, err)
			}
			if p.Phases.KeepsBody && string(next) != was {
				t.Errorf("%s: KeepsBody, but %q became %q", p.Name, was, next)
			}
			piece = next
		}
		out = append(out, piece...)
	}
	for len(all) > 0 {
		n := min(len(all), 100)
		piece := slices.Clone(all[:n])
		pass(piece, false)
		clear(piece) // a piece is valid during the call only
		all = all[n:]
	}
	pass(nil, true)
	return string(out)
}
