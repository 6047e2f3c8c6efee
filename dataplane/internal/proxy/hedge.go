package proxy

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/balancer"
	"github.com/sluice-gateway/sluice/dataplane/internal/plan"
	"github.com/sluice-gateway/sluice/dataplane/internal/transport"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// leg is one of two tries that are under way at the same time. It has an exchange of its
// own that shares no memory with the client's, which may be answered before it ends.
type leg struct {
	x      pdk.Exchange
	call   transport.Call
	cancel context.CancelFunc
	peer   balancer.Peer
	index  int // of its Try
	fault  *transport.Error
	first  time.Time
}

// hedges tells whether a request may be sent to two targets: it has no body, may be
// repeated and is no upgrade, and there are targets to choose from.
func (r *rules) hedges(w *walk, x *pdk.Exchange) bool {
	if r.policy == nil || r.policy.Hedge <= 0 || w.up == nil || w.call.Upgrade || !r.repeatable(x.Request.Method) {
		return false
	}
	return x.Request.Body == nil && len(x.Request.Buffered) == 0 && strings.HasPrefix(x.Upstream.Scheme, "http")
}

// hedged sends the request to one target, and after a while to another one as well. The
// first answer counts; the other try is ended. err says that there is no target.
func (p *Proxy) hedged(w *walk, x *pdk.Exchange, s *plan.Service, named bool, policy *pdk.RetryPolicy) (fault *transport.Error, err error) {
	ended := make(chan *leg, 2)
	var legs []*leg
	start := func() error {
		l, err := p.leg(w, x, s, named)
		if err != nil {
			return err
		}
		legs = append(legs, l)
		endpoint := w.endpoint(s, &l.x.Upstream, l.peer)
		p.legs.Go(func() {
			l.fault = endpoint.RoundTrip(&l.x, &l.call)
			l.first = time.Now()
			ended <- l
		})
		return nil
	}
	if err := start(); err != nil {
		return nil, err
	}
	timer := time.NewTimer(policy.Hedge)
	defer timer.Stop()
	for done := 0; done < len(legs); {
		select {
		case <-timer.C:
			w.skip.Add(legs[0].peer)
			if policy.Allow == nil || policy.Allow() {
				_ = start() // without another target the first one is waited for
			}
		case l := <-ended:
			done++
			w.peer, w.held.peer, x.UpstreamSent, x.UpstreamFirst = l.peer, true, l.x.UpstreamSent, l.first
			if l.fault == nil {
				p.wins(x, l)
				p.drop(legs, l, ended, len(legs)-done)
				return nil, nil
			}
			fault = l.fault
			p.failed(x, l)
			if done < len(legs) {
				w.done()
			}
		}
	}
	return fault, nil
}

// leg chooses a target and makes the exchange for it.
func (p *Proxy) leg(w *walk, x *pdk.Exchange, s *plan.Service, named bool) (*leg, error) {
	began := time.Now()
	peer, hostHeader, err := p.pick(w, x)
	if err != nil {
		return nil, err
	}
	if named {
		hostHeader = x.Upstream.HostHeader
	}
	l := &leg{peer: peer, call: w.call, index: len(x.Tries)}
	l.call.Informational, l.call.Upgraded = nil, nil
	l.call.Context, l.cancel = context.WithCancel(w.context())
	l.x.Request.Method, l.x.Request.Proto = strings.Clone(x.Request.Method), x.Request.Proto
	for _, f := range x.Request.Header.Fields() {
		l.x.Request.Header.Add(strings.Clone(f.Name), strings.Clone(f.Value))
	}
	up := x.Upstream
	up.Scheme, up.Host, up.HostHeader = strings.Clone(up.Scheme), strings.Clone(up.Host), strings.Clone(hostHeader)
	up.Method, up.Path, up.RawQuery = strings.Clone(up.Method), strings.Clone(up.Path), strings.Clone(up.RawQuery)
	l.x.Upstream = up
	l.x.UpstreamSent = time.Now()
	x.Tries = append(x.Tries, pdk.Try{Address: peer.Address, Start: l.x.UpstreamSent, Latency: l.x.UpstreamSent.Sub(began)})
	l.peer.Start()
	return l, nil
}

// wins makes a leg's answer the exchange's.
func (p *Proxy) wins(x *pdk.Exchange, l *leg) {
	from, to := &l.x.Response, &x.Response
	for _, f := range from.Header.Fields() {
		to.Header.Add(f.Name, f.Value)
	}
	to.Status, to.UpstreamStatus, to.Reason, to.ContentLength = from.Status, from.UpstreamStatus, from.Reason, from.ContentLength
	to.Body, to.Buffered = nil, from.Buffered
	if from.Body != nil {
		to.Body = &legBody{leg: l, trailer: &to.Trailer}
	}
	x.OnRelease(l)
	x.Source = pdk.SourceUpstream
	x.Tries[l.index].Code = from.Status
	l.peer.Observe(l.first.Sub(l.x.UpstreamSent), l.first)
	l.peer.Report(balancer.Answered, from.Status)
}

// failed notes what became of a leg.
func (p *Proxy) failed(x *pdk.Exchange, l *leg) {
	t := &x.Tries[l.index]
	t.Err, t.Code = kindText(l.fault.Kind), statusOf(l.fault.Kind)
	report(&l.peer, l.fault, t.Code)
	l.cancel()
}

// drop ends the legs that are still under way; they end by themselves after that.
func (p *Proxy) drop(legs []*leg, winner *leg, ended <-chan *leg, left int) {
	for _, l := range legs {
		if l != winner {
			l.cancel()
		}
	}
	if left == 0 {
		return
	}
	p.legs.Go(func() {
		for range left {
			l := <-ended
			l.peer.Done()
			l.Release()
		}
	})
}

// Release implements pdk.Releaser.
func (l *leg) Release() {
	l.cancel()
	l.x.Reset()
}

// legBody is the body of a leg's answer. Its trailer is the exchange's once it has ended.
type legBody struct {
	leg     *leg
	trailer *pdk.Header
}

// Read implements pdk.Body.
func (b *legBody) Read(p []byte) (int, error) {
	n, err := b.leg.x.Response.Body.Read(p)
	if errors.Is(err, io.EOF) {
		for _, f := range b.leg.x.Response.Trailer.Fields() {
			b.trailer.Add(f.Name, f.Value)
		}
		b.leg.x.Response.Trailer.Reset()
	}
	return n, err
}

// Close waits for tries that nobody needs any more; they have been ended.
func (p *Proxy) Close() error {
	p.legs.Wait()
	return nil
}
