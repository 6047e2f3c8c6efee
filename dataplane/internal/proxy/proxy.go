package proxy

import (
	"context"
	"fmt"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/dataplane/internal/accesslog"
	"github.com/sluice-gateway/sluice/dataplane/internal/balancer"
	"github.com/sluice-gateway/sluice/dataplane/internal/clock"
	"github.com/sluice-gateway/sluice/dataplane/internal/counters"
	"github.com/sluice-gateway/sluice/dataplane/internal/plan"
	"github.com/sluice-gateway/sluice/dataplane/internal/router"
	"github.com/sluice-gateway/sluice/dataplane/internal/transport"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Options of a Proxy.
type Options struct {
	// Plan returns the plan that serves now.
	Plan func() *plan.Plan
	// Balancer for hosts that are no upstream.
	Balancer  *balancer.Balancer
	Transport *transport.Transport
	// Product goes into Server and Via, such as "sluice/0.1.0".
	Product string

	// TrustedIPs are peers whose X-Forwarded-* headers are believed. RealIPHeader names
	// the client behind one; RealIPRecursive takes the last address that is not trusted.
	// TrustUnix believes peers on unix sockets, too.
	TrustedIPs      []netip.Prefix
	TrustUnix       bool
	RealIPHeader    string
	RealIPRecursive bool
	// Ports leads from the ports that listen to those that clients use; others are the same.
	Ports map[uint16]uint16
	// Tracing are the instruments of all exchanges, TraceRate the part of traces that is
	// sampled.
	Tracing   pdk.Instrument
	TraceRate float64
	// Headers and HeadersUpstream are what the gateway adds.
	Headers    Headers
	UpstreamID bool // X-Kong-Request-Id to the upstream
	AllowDebug bool
	// RequestDebug answers clients on this machine that ask what their request spends its
	// time on, and others that know DebugToken; "" is none that they could know.
	RequestDebug bool
	DebugToken   string
	ErrorType    pdk.ErrorType
	Errors       *pdk.ErrorTemplates // nil replaces none
	MaxBody      int64               // bytes of a request body; 0 means any
	AccessLog    *accesslog.Log
	Counters     *counters.Set // nil counts nothing
	Logger       hclog.Logger
}

// Headers says which headers answers get.
type Headers struct {
	Server, Via, ProxyLatency, UpstreamLatency, ResponseLatency, UpstreamStatus, RequestID, Revision bool
}

// DefaultHeaders is what the setting headers says when it is not set.
var DefaultHeaders = Headers{Server: true, Via: true, ProxyLatency: true, UpstreamLatency: true, ResponseLatency: true, RequestID: true} //nolint:gochecknoglobals // a constant

// Proxy walks exchanges through the gateway. It is safe for concurrent use.
type Proxy struct {
	o      Options
	log    hclog.Logger
	via    string
	ids    *requestIDs
	legs   sync.WaitGroup
	Counts Counters
	// unmatched leads to what is counted of requests without route; workers numbers walks.
	unmatched counters.Ref
	workers   atomic.Uint32
}

// Counters are what the node has done since its start.
type Counters struct {
	Requests, Panics, Active atomic.Int64
}

// New makes a proxy.
func New(o Options) *Proxy {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	return &Proxy{o: o, log: o.Logger, via: "1.1 " + o.Product, ids: newRequestIDs()}
}

// walk is what one exchange needs on its way, beside itself. The memory of what is above
// errand serves the next exchange, too.
type walk struct {
	query router.Request
	match router.Match
	// chosen are the configs that the access phase picked.
	chosen []*plan.Instance
	// filter is bodyFilter, bound once.
	filter func(piece []byte, last bool) ([]byte, error)
	// worker is where exchanges are counted. A walk mostly stays with its processor.
	worker uint32

	errand
}

// errand is what a walk knows of one exchange.
type errand struct {
	p     *Proxy
	plan  *plan.Plan
	route *plan.Route
	x     *pdk.Exchange
	call  transport.Call
	skip  balancer.Skip
	// up is the upstream that the service's host names, nil when it names none; peer the
	// target that the request is at.
	up   *balancer.Upstream
	peer balancer.Peer
	held holds
	// timing is nil for exchanges that nobody asks about.
	timing *timing
	// faults counts phases that failed.
	faults int
	// logs tells that one of them has a log phase.
	logs bool
}

// Serve takes one exchange from the parsed request to the log phases. The engine owns x
// and resets it afterwards.
func (p *Proxy) Serve(x *pdk.Exchange, r Responder) {
	w, ok := x.Kept.(*walk)
	if !ok {
		w = &walk{worker: p.workers.Add(1)}
		x.Kept = w
	}
	w.p, w.plan, w.x = p, p.o.Plan(), x
	p.Counts.Active.Add(1)
	defer p.served(w) // a panic, which is the engine's to recover, must not leave anything counted
	p.serve(w, x, r)
}

// served ends what Serve began.
func (p *Proxy) served(w *walk) {
	w.leave()
	p.Counts.Active.Add(-1)
	p.Counts.Requests.Add(1)
	clear(w.chosen)
	w.chosen = w.chosen[:0]
	w.query.Reset()
	w.match.Reset()
	w.errand = errand{}
}

// Refuse answers what an engine could not read as a request: with the error page of
// status, where nginx's own, 494 to 496, are shown as 400.
func (p *Proxy) Refuse(x *pdk.Exchange, r Responder, status int) {
	if x.Start.IsZero() {
		x.Start = clock.Now()
	}
	if !x.Request.Client.IsValid() {
		x.Request.Client = x.Request.Peer
	}
	x.ID, x.Revision, x.Errors = p.ids.next(&x.Text), p.o.Plan().Position.Revision, p.o.Errors
	message := pdk.StatusMessage(status)
	if status >= 494 && status <= pdk.StatusNoCertificate {
		status = 400
	}
	_ = x.FailWithDefault(status, message, p.o.ErrorType)
	x.Source = pdk.SourceError
	x.AccessDone = clock.Now()
	p.responseHeaders(x)
	if err := r.Send(x, nil); err != nil && p.log.IsDebug() {
		p.log.Debug("response not sent whole", "request_id", strings.Clone(x.ID), "error", err)
	}
	x.Done = clock.Now()
	p.Counts.Requests.Add(1)
	if p.o.Counters != nil {
		p.count(nil, x)
	}
	if p.o.AccessLog != nil {
		p.o.AccessLog.Write(x)
	}
}

func (p *Proxy) serve(w *walk, x *pdk.Exchange, r Responder) {
	if x.Start.IsZero() {
		x.Start = clock.Now()
	}
	x.View, x.Revision = w.plan, w.plan.Position.Revision
	x.ID, x.Errors = p.ids.next(&x.Text), p.o.Errors
	p.client(x)
	if p.o.RequestDebug {
		w.asked(x)
	}
	if p.o.Tracing != 0 {
		x.Trace.Begin(p.o.Tracing, p.o.TraceRate, x.Start)
	}

	w.timing.enter("rewrite")
	for _, i := range w.plan.Rewrites {
		if i.Condition != nil {
			// It is before routing, which fills the query for all others.
			if w.query.Load(x); !i.Condition.Match(&w.query.Request) {
				continue
			}
		}
		if !w.phase(pdk.TraceRewrite, "kong.rewrite.plugin", i, i.Phases.Rewrite) {
			break
		}
	}
	w.timing.leave()
	w.timing.enter("access")
	if !x.Exited() {
		span := w.begin(pdk.TraceRouter, "kong.router", "", pdk.SpanInternal)
		w.timing.enter("router")
		found := p.route(w, x)
		w.timing.leave()
		w.end(span, !found)
		if found {
			w.access()
		} else {
			w.global()
		}
	}
	w.timing.leave()
	x.AccessDone = clock.Now()
	if !x.Exited() {
		w.forwarded(x)
		if p.upstream(w, x, r) {
			return // the connection was handed over
		}
		if x.Upstream.BufferResponse {
			w.buffer(x)
		}
	}
	p.answer(w, x, r)
}

// answer runs the response phases, sends, and logs.
func (p *Proxy) answer(w *walk, x *pdk.Exchange, r Responder) {
	p.responseHeaders(x)
	body, keeps := false, true
	w.timing.enter("header_filter")
	for _, i := range w.chosen {
		if i.Phases.HeaderFilter != nil && !w.filterHeader(i) {
			break
		}
		if i.Phases.BodyFilter != nil {
			body, keeps = true, keeps && i.Phases.KeepsBody
		}
	}
	w.timing.leave()
	w.timing.header(x)
	if x.Source != pdk.SourceError {
		charset(x)
	}
	var filter func(piece []byte, last bool) ([]byte, error)
	if body {
		if !keeps {
			x.Response.ContentLength = -1
			x.Response.Header.Del("Content-Length")
		}
		if w.filter == nil {
			w.filter = w.bodyFilter
		}
		filter = w.filter
	}
	if err := r.Send(x, filter); err != nil && p.log.IsDebug() {
		p.log.Debug("response not sent whole", "request_id", strings.Clone(x.ID), "error", err)
	}
	p.finish(w, x)
}

// finish runs the log phases.
func (p *Proxy) finish(w *walk, x *pdk.Exchange) {
	x.Done = clock.Now()
	w.timing.enter("log")
	for _, i := range w.chosen {
		if i.Phases.Log != nil {
			w.log(i)
		}
	}
	w.timing.leave()
	w.report(x)
	if p.o.Counters != nil {
		p.count(w, x)
	}
	if p.o.AccessLog != nil {
		p.o.AccessLog.Write(x)
	}
}

// global chooses the global configs, for a request without route.
func (w *walk) global() {
	for i := range w.plan.Global.Steps {
		if b := w.plan.Global.Steps[i].Base; b != nil && (b.Condition == nil || b.Condition.Match(&w.query.Request)) {
			w.choose(b)
		}
	}
	if w.plan.Global.Ordered {
		plan.ByPriority(w.chosen)
	}
}

// choose has the phases of a config run in the exchange.
func (w *walk) choose(i *plan.Instance) {
	w.chosen = append(w.chosen, i)
	w.logs = w.logs || i.Phases.Log != nil
}

// access chooses the config of each plugin of the route and runs its access phase. After
// an exit the rest is chosen for the response phases, but not run.
func (w *walk) access() {
	steps := w.route.Chain.Steps
	for i := range steps {
		inst := steps[i].For(w.x.Consumer, w.x.ConsumerGroups)
		if inst == nil || inst.Condition != nil && !inst.Condition.Match(&w.query.Request) {
			continue
		}
		w.choose(inst)
		if inst.Phases.Access != nil && !w.x.Exited() {
			w.phase(pdk.TraceAccess, "kong.access.plugin", inst, inst.Phases.Access)
		}
	}
	if w.route.Chain.Ordered {
		plan.ByPriority(w.chosen)
	}
}

// run runs a phase and turns a fault into a 500. It reports whether to go on.
func (w *walk) run(i *plan.Instance, phase func(*pdk.Exchange) error) (ok bool) {
	defer w.recovered(i, &ok)
	if err := phase(w.x); err != nil {
		w.fault(i, err)
		return false
	}
	return !w.x.Exited() || w.x.Response.HeadSent
}

// filterHeader runs a header filter and reports whether to go on, which an exit does not
// change: filters see the answers of the gateway, too.
func (w *walk) filterHeader(i *plan.Instance) (ok bool) {
	if w.timing != nil {
		w.timing.plugin(i)
		defer w.timing.leavePlugin()
	}
	span := w.begin(pdk.TraceHeaderFilter, "kong.header_filter.plugin", i.Plugin.Name, pdk.SpanInternal)
	if span >= 0 {
		defer func() { w.end(span, !ok) }()
	}
	defer w.recovered(i, &ok)
	if err := i.Phases.HeaderFilter(w.x); err != nil {
		w.fault(i, err)
		return false
	}
	return true
}

func (w *walk) recovered(i *plan.Instance, ok *bool) {
	if r := recover(); r != nil {
		w.p.Counts.Panics.Add(1)
		w.p.log.Error("plugin panicked", "plugin", i.Plugin.Name, "plugin_id", i.Entity.ID, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		w.failed()
		*ok = false
	}
}

func (w *walk) fault(i *plan.Instance, err error) {
	w.p.log.Error("plugin failed", "plugin", i.Plugin.Name, "plugin_id", i.Entity.ID, "request_id", strings.Clone(w.x.ID), "error", err)
	w.failed()
}

func (w *walk) failed() {
	w.faults++
	if w.x.Response.HeadSent {
		return
	}
	w.x.Response.Header.Reset()
	_ = w.x.Fail(500, "")
	w.x.Source = pdk.SourceError
}

func (w *walk) log(i *plan.Instance) {
	defer func() {
		if r := recover(); r != nil {
			w.p.Counts.Panics.Add(1)
			w.p.log.Error("plugin panicked while logging", "plugin", i.Plugin.Name, "plugin_id", i.Entity.ID, "panic", fmt.Sprint(r))
		}
	}()
	if w.timing != nil {
		w.timing.plugin(i)
		defer w.timing.leavePlugin()
	}
	i.Phases.Log(w.x)
}

// bodyFilter passes a piece of the body through all filters in turn.
func (w *walk) bodyFilter(piece []byte, last bool) (out []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			w.p.Counts.Panics.Add(1)
			w.p.log.Error("plugin panicked in a body filter", "panic", fmt.Sprint(r))
			err = fmt.Errorf("body filter panicked: %v", r)
		}
	}()
	for _, i := range w.chosen {
		if i.Phases.BodyFilter != nil {
			if piece, err = i.Phases.BodyFilter(w.x, piece, last); err != nil {
				return nil, err
			}
		}
	}
	return piece, nil
}

// context bounds the look-ups of an exchange. Connections have deadlines of their own.
func (w *walk) context() context.Context { return context.Background() }
