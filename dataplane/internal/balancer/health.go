package balancer

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/shared/entity"
)

// Outcome is what became of a request, or of a check, at a target.
type Outcome uint8

// Outcomes.
const (
	// Answered means that there was an answer; its status decides.
	Answered Outcome = iota + 1
	// Failed means that the connection could not be made or broke.
	Failed
	// TimedOut means that an answer did not come in time.
	TimedOut
)

// health is what is known of a target's health, over all plans.
type health struct {
	down atomic.Bool

	mu                                   sync.Mutex
	successes, failures, refused, silent int
	since                                time.Time // when down changed last
	why                                  string
}

// threshold of a rule; 0 switches the counter off.
func reached(n *int, limit int) bool {
	if limit <= 0 {
		return false
	}
	*n++
	return *n >= limit
}

// note counts an outcome by a pair of rules, and returns whether the health has changed.
func (h *health) note(o Outcome, status int, good *entity.CheckHealthy, bad *entity.CheckUnhealthy, source string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	healthy := o == Answered && slices.Contains(good.HTTPStatuses, status)
	unhealthy := o != Answered || slices.Contains(bad.HTTPStatuses, status)
	if healthy && good.Successes > 0 {
		h.failures, h.refused, h.silent = 0, 0, 0
		if reached(&h.successes, good.Successes) {
			return h.turnLocked(false, source)
		}
		return false
	}
	if !unhealthy {
		return false
	}
	h.successes = 0
	down := false
	switch o {
	case Failed:
		down = reached(&h.refused, bad.TCPFailures)
	case TimedOut:
		down = reached(&h.silent, bad.Timeouts)
	default:
		down = reached(&h.failures, bad.HTTPFailures)
	}
	return down && h.turnLocked(true, source)
}

func (h *health) turnLocked(down bool, why string) bool {
	if h.down.Load() == down {
		return false
	}
	h.down.Store(down)
	h.since, h.why = time.Now(), why
	h.successes, h.failures, h.refused, h.silent = 0, 0, 0, 0
	return true
}

// mark sets the health by hand.
func (h *health) mark(down bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.turnLocked(down, "by hand")
	h.successes, h.failures, h.refused, h.silent = 0, 0, 0, 0
}

// Report tells what became of a request to the peer, for passive checks.
func (p *Peer) Report(o Outcome, status int) {
	t := p.target
	if t == nil || !t.passive {
		return
	}
	c := &t.upstream.Entity.HealthChecks.Passive
	if t.state.health.note(o, status, &c.Healthy, &c.Unhealthy, "traffic") {
		t.upstream.changed(t)
	}
}

// changed logs a target's new health.
func (u *Upstream) changed(t *Target) {
	h := &t.state.health
	h.mu.Lock()
	why := h.why
	h.mu.Unlock()
	if h.down.Load() {
		u.balance.log.Warn("target is unhealthy", "upstream", u.Entity.Name, "target", t.Entity.Target, "because_of", why)
	} else {
		u.balance.log.Info("target is healthy", "upstream", u.Entity.Name, "target", t.Entity.Target, "because_of", why)
	}
}

// watches tells whether passive checks can change anything.
func watches(u *entity.Upstream) bool {
	c := &u.HealthChecks.Passive
	return c.Healthy.Successes > 0 || c.Unhealthy.HTTPFailures > 0 || c.Unhealthy.TCPFailures > 0 || c.Unhealthy.Timeouts > 0
}

// usable tells whether enough of the upstream is healthy, by weight.
func (u *Upstream) usable() bool {
	limit := u.Entity.HealthChecks.Threshold
	if limit <= 0 {
		return true
	}
	all, healthy := 0, 0
	for _, t := range u.Targets {
		all += t.Weight
		if !t.state.health.down.Load() {
			healthy += t.Weight
		}
	}
	return all == 0 || float64(healthy)*100/float64(all) >= limit
}

// AddressHealth is the health of one address of a target.
type AddressHealth struct {
	IP     string `json:"ip"`
	Port   int    `json:"port"`
	Health string `json:"health"`
	Weight int    `json:"weight"`
}

// TargetHealth is how this node sees a target.
type TargetHealth struct {
	// Health is HEALTHY, UNHEALTHY, DNS_ERROR or HEALTHCHECKS_OFF.
	Health    string          `json:"health"`
	Addresses []AddressHealth `json:"addresses"`
	// Since is when the health changed last, in seconds since 1970, 0 for never; Why
	// is what changed it: traffic, checks or by hand.
	Since int64  `json:"since,omitempty"`
	Why   string `json:"why,omitempty"`
}

// Health returns how this node sees the targets, by id.
func (u *Upstream) Health() map[string]TargetHealth {
	out := make(map[string]TargetHealth, len(u.Targets))
	checked := watches(u.Entity) || probes(u.Entity)
	for _, t := range u.Targets {
		h := &t.state.health
		state := "HEALTHCHECKS_OFF"
		switch {
		case h.down.Load():
			state = "UNHEALTHY"
		case checked:
			state = "HEALTHY"
		}
		th := TargetHealth{Health: state, Addresses: []AddressHealth{}}
		h.mu.Lock()
		if !h.since.IsZero() {
			th.Since, th.Why = h.since.Unix(), h.why
		}
		h.mu.Unlock()
		for _, a := range u.balance.known(t) {
			th.Addresses = append(th.Addresses, AddressHealth{IP: a.Addr().String(), Port: int(a.Port()), Health: state, Weight: t.Weight})
		}
		if len(th.Addresses) == 0 {
			th.Health = "DNS_ERROR"
		}
		out[t.Entity.ID] = th
	}
	return out
}

// Mark sets the health of a target by hand; false when there is none with the id.
func (u *Upstream) Mark(target string, healthy bool) bool {
	for _, t := range u.Targets {
		if t.Entity.ID == target || t.Entity.Target == target {
			t.state.health.mark(!healthy)
			u.changed(t)
			return true
		}
	}
	return false
}
