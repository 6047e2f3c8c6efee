package proxy

import (
	"crypto/tls"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/balancer"
	"github.com/sluice-gateway/sluice/dataplane/internal/clock"
	"github.com/sluice-gateway/sluice/dataplane/internal/plan"
	"github.com/sluice-gateway/sluice/dataplane/internal/transport"
	"github.com/sluice-gateway/sluice/shared/expression"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// upstream calls the service, on another target when one fails and the rules allow it.
// It returns true when the client's connection was handed over to a tunnel.
func (p *Proxy) upstream(w *walk, x *pdk.Exchange, r Responder) (handedOver bool) {
	s := w.route.Service
	if s == nil {
		_ = x.Fail(503, "no Service found with those values")
		x.Source = pdk.SourceError
		return false
	}
	e := s.Entity
	w.call.Timeouts = transport.Timeouts{
		Connect: time.Duration(e.ConnectTimeout) * time.Millisecond,
		Write:   time.Duration(e.WriteTimeout) * time.Millisecond,
		Read:    time.Duration(e.ReadTimeout) * time.Millisecond,
	}
	retries := w.override(x, e.Retries)
	w.call.BufferRequest = w.route.BufferRequest
	w.call.MaxBody = p.o.MaxBody
	w.call.Informational = r
	w.up, _ = w.plan.UpstreamIn(x.Workspace, x.Upstream.Host)
	if !w.admit(x) {
		return false
	}
	rules := w.rules(x, retries)
	named := x.Upstream.HostHeader != ""
	for try := 0; ; try++ {
		var fault *transport.Error
		var err error
		if rules.hedges(w, x) {
			fault, err = p.hedged(w, x, s, named, rules.policy)
		} else {
			fault, err = p.try(w, x, s, named)
		}
		if err != nil {
			_ = x.Fail(503, err.Error())
			x.Source = pdk.SourceError
			return false
		}
		if fault == nil {
			if w.call.Upgraded != nil {
				p.tunnel(w, x, r)
				return true
			}
			if rules.unwanted(x) && rules.again(try) && transport.Replayable(x) {
				x.Tries[len(x.Tries)-1].Err = "status"
				w.done()
				transport.Discard(x)
				x.Source = pdk.SourceNone
				w.skip.Add(w.peer)
				rules.pause(try)
				continue
			}
			return false
		}
		w.done()
		if rules.repeats(x.Request.Method, fault) && rules.again(try) {
			w.skip.Add(w.peer)
			rules.pause(try)
			continue
		}
		last := &x.Tries[len(x.Tries)-1]
		p.log.Warn("upstream failed", "request_id", strings.Clone(x.ID), "service", e.Name, "address", w.peer.Address, "step", last.Err,
			"tries", try+1, "error", fault)
		x.Response.Header.Reset()
		status := last.Code
		if fault.Kind == transport.ErrRequestBody {
			status = 400
			if errors.Is(fault, os.ErrDeadlineExceeded) {
				status = 408 // the client was too slow
			}
		}
		_ = x.FailWithDefault(status, "", p.o.ErrorType)
		x.Source = pdk.SourceError
		return false
	}
}

// override takes the timeouts and retries that plugins chose.
func (w *walk) override(x *pdk.Exchange, retries int) int {
	up := &x.Upstream
	if up.ConnectTimeout > 0 {
		w.call.Timeouts.Connect = up.ConnectTimeout
	}
	if up.WriteTimeout > 0 {
		w.call.Timeouts.Write = up.WriteTimeout
	}
	if up.ReadTimeout > 0 {
		w.call.Timeouts.Read = up.ReadTimeout
	}
	if up.HasRetries {
		return up.Retries
	}
	return retries
}

// try sends the request to one target. err says that there is none.
func (p *Proxy) try(w *walk, x *pdk.Exchange, s *plan.Service, named bool) (fault *transport.Error, err error) {
	began := x.AccessDone
	if len(x.Tries) > 0 {
		began = clock.Now()
	}
	w.timing.enter("balancer")
	peer, hostHeader, err := p.pick(w, x)
	w.timing.leave()
	if err != nil {
		return nil, err
	}
	w.peer = peer
	if !named {
		x.Upstream.HostHeader = hostHeader
	}
	endpoint := w.endpoint(s, &x.Upstream, peer)
	x.UpstreamSent = clock.Now()
	x.Tries = append(x.Tries, pdk.Try{Address: peer.Address, Host: peer.Host, Start: x.UpstreamSent, Latency: x.UpstreamSent.Sub(began)})
	w.peer.Start()
	w.held.peer = true
	fault = endpoint.RoundTrip(x, &w.call)
	x.UpstreamFirst = clock.Now()
	last := &x.Tries[len(x.Tries)-1]
	if fault == nil {
		peer.Observe(x.UpstreamFirst.Sub(x.UpstreamSent), x.UpstreamFirst)
		peer.Report(balancer.Answered, x.Response.Status)
		x.Source = pdk.SourceUpstream
		last.Code = x.Response.Status
		return nil, nil
	}
	last.Err, last.Code = kindText(fault.Kind), statusOf(fault.Kind)
	if last.Code == 502 && pdk.GRPCTimeOver(x, x.UpstreamFirst) {
		last.Code = 504 // the upstream gave up because the client's time is over
	}
	report(&peer, fault, last.Code)
	return fault, nil
}

// report tells the balancer of a failed try, unless it was the client's fault.
func report(peer *balancer.Peer, fault *transport.Error, status int) {
	switch {
	case fault.Kind == transport.ErrRequestBody || fault.Kind == transport.ErrBodyTooLarge || fault.Kind == transport.ErrRequest:
	case status == 504:
		peer.Report(balancer.TimedOut, 0)
	default:
		peer.Report(balancer.Failed, 0)
	}
}

// pick chooses a peer, and the Host that it gets unless the route preserves the client's.
func (p *Proxy) pick(w *walk, x *pdk.Exchange) (balancer.Peer, string, error) {
	up := &x.Upstream
	if u := w.up; u != nil {
		peer, err := u.Pick(w.context(), x, &w.skip)
		if err != nil {
			return peer, "", err
		}
		if u.Entity.HostHeader != "" {
			return peer, hostHeader(&x.Text, up.Scheme, u.Entity.HostHeader, peer.Port), nil
		}
		return peer, hostHeader(&x.Text, up.Scheme, peer.Host, peer.Port), nil
	}
	span := -1
	if x.Trace.On&pdk.TraceDNS != 0 {
		span = w.lookup(up)
	}
	peer, err := p.o.Balancer.Direct(w.context(), up.Host, up.Port)
	if span >= 0 {
		x.Trace.Spans[span].Address, _ = expression.SplitHost(peer.Address)
		w.end(span, err != nil)
	}
	if err != nil {
		return peer, "", err
	}
	return peer, hostHeader(&x.Text, up.Scheme, up.Host, up.Port), nil
}

// endpoint finds the connections to a peer.
func (w *walk) endpoint(s *plan.Service, up *pdk.Upstream, peer balancer.Peer) *transport.Endpoint {
	key := peer.Address
	server := ""
	if s.TLS != nil {
		server, _ = expression.SplitHost(up.HostHeader)
		key = w.x.Text.Concat(peer.Address, " ", server)
	}
	if e := s.Endpoints.Find(key); e != nil {
		return e
	}
	return s.Endpoints.Get(key, func() *transport.Endpoint { return w.dial(s, up.Scheme, peer.Address, strings.Clone(server)) })
}

func (w *walk) dial(s *plan.Service, scheme, address, server string) *transport.Endpoint {
	k := transport.EndpointKey{Network: "tcp", Address: strings.Clone(address), Protocol: transport.HTTP1}
	switch scheme {
	case "grpc":
		k.Protocol = transport.H2C
	case "grpcs":
		k.Protocol = transport.H2
	}
	if s.TLS == nil {
		return w.p.o.Transport.Endpoint(k, nil)
	}
	k.TLS, k.ServerName, k.TLSID = true, server, s.TLS.ID
	settings := s.TLS
	return w.p.o.Transport.Endpoint(k, func() *tls.Config { return settings.Config(server) })
}

func statusOf(k transport.ErrorKind) int {
	switch k {
	case transport.ErrConnectTimeout, transport.ErrWriteTimeout, transport.ErrReadTimeout:
		return 504
	case transport.ErrBodyTooLarge:
		return 413
	}
	return 502
}

func kindText(k transport.ErrorKind) string {
	switch k {
	case transport.ErrConnect:
		return "connect"
	case transport.ErrConnectTimeout, transport.ErrReadTimeout, transport.ErrWriteTimeout:
		return "timeout"
	case transport.ErrTLS:
		return "tls"
	case transport.ErrWrite:
		return "write"
	case transport.ErrRequestBody, transport.ErrBodyTooLarge:
		return "request"
	}
	return "read"
}

// tunnel joins the client's connection with the upgraded one until one of them ends.
func (p *Proxy) tunnel(w *walk, x *pdk.Exchange, r Responder) {
	p.responseHeaders(x)
	for _, i := range w.chosen {
		if i.Phases.HeaderFilter != nil && !w.filterHeader(i) {
			break
		}
	}
	conn, buffered, err := r.Hijack(x)
	if err != nil {
		p.log.Warn("no tunnel", "request_id", strings.Clone(x.ID), "error", errors.Join(err, w.call.Upgraded.Close()))
		p.finish(w, x)
		return
	}
	if err := transport.Tunnel(conn, buffered, w.call.Upgraded, w.call.Timeouts); err != nil && p.log.IsDebug() {
		p.log.Debug("tunnel ended", "request_id", strings.Clone(x.ID), "error", err)
	}
	p.finish(w, x)
}
