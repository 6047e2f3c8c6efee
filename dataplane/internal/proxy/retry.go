package proxy

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/transport"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// rules say when a try that failed is followed by another one.
type rules struct {
	retries int
	policy  *pdk.RetryPolicy // nil for Kong's rules
}

// rules returns those of an exchange, and sets the timeouts that they have.
func (w *walk) rules(x *pdk.Exchange, retries int) rules {
	p := x.Retry
	if p == nil {
		return rules{retries: retries}
	}
	if p.PerTry > 0 {
		t := &w.call.Timeouts
		if t.Connect <= 0 || t.Connect > p.PerTry {
			t.Connect = p.PerTry
		}
		t.Head = p.PerTry
		if t.Read > 0 {
			t.Head = min(t.Head, t.Read)
		}
	}
	return rules{retries: p.Retries, policy: p}
}

// repeats tells whether a fault may be followed by another try. Kong's rule: connection
// faults and timeouts before an answer; POST, PATCH and LOCK only while nothing was sent;
// never without the body.
func (r *rules) repeats(method string, e *transport.Error) bool {
	if e.BodyTaken {
		return false
	}
	f := faultOf(e.Kind)
	if f == 0 || r.policy == nil && f == pdk.FaultInvalid || r.policy != nil && r.policy.On&f == 0 {
		return false
	}
	return !e.Sent || r.repeatable(method)
}

// repeatable tells whether a request that a target may have received can be sent again.
func (r *rules) repeatable(method string) bool {
	if r.policy != nil && r.policy.Methods != nil {
		return slices.Contains(r.policy.Methods, method)
	}
	switch method {
	case "POST", "PATCH", "LOCK":
		return false
	}
	return true
}

// unwanted tells whether the answer has a status that counts as a failed try.
func (r *rules) unwanted(x *pdk.Exchange) bool {
	return r.policy != nil && r.policy.On&pdk.FaultStatus != 0 && slices.Contains(r.policy.Statuses, x.Response.Status) && r.repeatable(x.Request.Method)
}

// again tells whether there may be one more try after so many.
func (r *rules) again(try int) bool {
	return try < r.retries && (r.policy == nil || r.policy.Allow == nil || r.policy.Allow())
}

// pause waits before another try.
func (r *rules) pause(try int) {
	if r.policy == nil || r.policy.Backoff <= 0 {
		return
	}
	longest := max(r.policy.MaxBackoff, r.policy.Backoff)
	d := longest
	if try < 30 {
		d = min(r.policy.Backoff<<try, longest)
	}
	time.Sleep(d/2 + rand.N(d/2+1))
}

// faultOf is what a failed round trip is to a policy, 0 for what no other target can
// help with.
func faultOf(k transport.ErrorKind) pdk.Fault {
	switch k {
	case transport.ErrConnect, transport.ErrTLS:
		return pdk.FaultConnect
	case transport.ErrConnectTimeout, transport.ErrReadTimeout, transport.ErrWriteTimeout:
		return pdk.FaultTimeout
	case transport.ErrRead, transport.ErrWrite:
		return pdk.FaultReset
	case transport.ErrBadResponse:
		return pdk.FaultInvalid
	}
	return 0
}
