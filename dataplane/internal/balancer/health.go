package balancer

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/shared/entity"
)

// Outcome is what became of a request, or of a check, at an address.
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

// What changes the health of an address.
const (
	byTraffic  = "traffic"
	byChecks   = "checks"
	byHand     = "by hand"
	byOutliers = "outlier detection"
)

// health is what is known of an address's health, over all plans.
type health struct {
	mu                                   sync.Mutex
	successes, failures, refused, silent uint16
	marked                               int64     // when the last mark that was obeyed was made
	since                                time.Time // when it changed last
	why, detail                          string
}

// reached counts and tells whether a limit is reached; a limit of 0 switches it off.
func reached(n *uint16, limit int) bool {
	if limit <= 0 {
		return false
	}
	*n++
	return int(*n) >= limit
}

// note counts an outcome by a pair of rules, and returns whether the health has changed.
func (h *health) note(s *state, o Outcome, status int, good *entity.CheckHealthy, bad *entity.CheckUnhealthy, why string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if o == Answered && slices.Contains(good.HTTPStatuses, status) {
		if good.Successes <= 0 {
			return false
		}
		h.failures, h.refused, h.silent = 0, 0, 0
		if s.down.Load() && reached(&h.successes, good.Successes) {
			return h.turnLocked(s, false, why, fmt.Sprintf("%d successes", good.Successes))
		}
		return false
	}
	if o == Answered && !slices.Contains(bad.HTTPStatuses, status) {
		return false
	}
	h.successes = 0
	if s.down.Load() {
		return false
	}
	switch {
	case o == Failed && reached(&h.refused, bad.TCPFailures):
		return h.turnLocked(s, true, why, fmt.Sprintf("%d connection failures", bad.TCPFailures))
	case o == TimedOut && reached(&h.silent, bad.Timeouts):
		return h.turnLocked(s, true, why, fmt.Sprintf("%d timeouts", bad.Timeouts))
	case o == Answered && reached(&h.failures, bad.HTTPFailures):
		return h.turnLocked(s, true, why, fmt.Sprintf("%d bad statuses, the last one %d", bad.HTTPFailures, status))
	}
	return false
}

func (h *health) turnLocked(s *state, down bool, why, detail string) bool {
	h.successes, h.failures, h.refused, h.silent = 0, 0, 0, 0
	if s.down.Load() == down {
		return false
	}
	now := time.Now()
	h.since, h.why, h.detail = now, why, detail
	if !down {
		s.rampFrom.Store(now.UnixNano())
	}
	s.down.Store(down)
	return true
}

// obey sets the health as a mark says, unless it was obeyed before.
func (h *health) obey(s *state, m *entity.TargetMark) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if m.At <= h.marked {
		return
	}
	h.marked = m.At
	if h.turnLocked(s, !m.Healthy, byHand, "") {
		h.since = time.UnixMilli(m.At)
	}
	if m.Healthy {
		s.ejected.Store(0)
		s.outlier.reset()
	}
}

// Report tells what became of a request to the peer, for passive checks and outlier
// detection.
func (p *Peer) Report(o Outcome, status int) {
	if p.at == nil || !p.view.passive {
		return
	}
	u, s := p.view, p.at.state
	c := &u.Entity.HealthChecks.Passive
	if s.health.note(s, o, status, &c.Healthy, &c.Unhealthy, byTraffic) {
		u.changed(s)
	}
	if d := u.Entity.OutlierDetection; d != nil {
		u.judge(d, p.at, o != Answered || status >= 500)
	}
}

// changed makes new picks look at an address's new health, and logs it.
func (u *Upstream) changed(s *state) {
	u.group.changed()
	s.health.mu.Lock()
	why, detail := s.health.why, s.health.detail
	s.health.mu.Unlock()
	if s.down.Load() {
		u.group.b.log.Warn("target is unhealthy", "upstream", u.Entity.Name, "target", s.key.target, "address", s.address, "because_of", why, "detail", detail)
	} else {
		u.group.b.log.Info("target is healthy", "upstream", u.Entity.Name, "target", s.key.target, "address", s.address, "because_of", why, "detail", detail)
	}
}

// watches tells whether passive checks can change anything.
func watches(u *entity.Upstream) bool {
	c := &u.HealthChecks.Passive
	return c.Healthy.Successes > 0 || c.Unhealthy.HTTPFailures > 0 || c.Unhealthy.TCPFailures > 0 || c.Unhealthy.Timeouts > 0
}

// States of targets and addresses, as Kong names them.
const (
	Healthy   = "HEALTHY"
	Unhealthy = "UNHEALTHY"
	DNSError  = "DNS_ERROR"
	ChecksOff = "HEALTHCHECKS_OFF"
)

// AddressHealth is the health of one address of a target.
type AddressHealth struct {
	IP     string `json:"ip"`
	Port   int    `json:"port"`
	Health string `json:"health"`
	Weight int    `json:"weight"`
	// Since is when the health changed last, in seconds since 1970, 0 for never; Why is
	// what changed it: traffic, checks, outlier detection or by hand. Detail says more.
	Since  int64  `json:"since,omitempty"`
	Why    string `json:"why,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// TargetHealth is how this node sees a target.
type TargetHealth struct {
	// Health is HEALTHY, UNHEALTHY, DNS_ERROR or HEALTHCHECKS_OFF.
	Health    string          `json:"health"`
	Addresses []AddressHealth `json:"addresses"`
	// DNS is the type of the records that the addresses are of.
	DNS    string `json:"dns"`
	Since  int64  `json:"since,omitempty"`
	Why    string `json:"why,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// UpstreamHealth is how this node sees an upstream.
type UpstreamHealth struct {
	// Health of the whole: UNHEALTHY when requests have nowhere to go.
	Health string `json:"health"`
	// Available of Total weight can be used.
	Available int64 `json:"available"`
	Total     int64 `json:"total"`
	// Requests under way and Pending ones that wait for a connection.
	Requests int `json:"requests"`
	Pending  int `json:"pending"`
	// Targets by id.
	Targets map[string]TargetHealth `json:"targets"`
}

// Health returns how this node sees the upstream.
func (u *Upstream) Health() UpstreamHealth {
	l := u.live()
	checked := u.checked()
	out := UpstreamHealth{Health: ChecksOff, Available: int64(l.available), Total: int64(l.total), Targets: make(map[string]TargetHealth, len(u.Targets))} //nolint:gosec // sums of weights
	if checked {
		out.Health = Healthy
		if len(l.usable) == 0 {
			out.Health = Unhealthy
		}
	}
	out.Requests, out.Pending = u.group.limit.load()
	now := time.Now().UnixNano()
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, t := range u.Targets {
		out.Targets[t.Entity.ID] = t.health(checked, now)
	}
	return out
}

// checked tells whether anything but a mark can change the health of targets.
func (u *Upstream) checked() bool {
	return watches(u.Entity) || u.checks || u.Entity.OutlierDetection != nil
}

// health of a target; the view's mu is held.
func (t *Target) health(checked bool, now int64) TargetHealth {
	normal := ChecksOff
	if checked && t.Weight > 0 {
		normal = Healthy
	}
	h := TargetHealth{Health: normal, DNS: "A", Addresses: []AddressHealth{}}
	if t.answer != nil {
		h.DNS = t.answer.Type.String()
	}
	if t.literal && strings.Contains(t.Host, ":") {
		h.DNS = "AAAA"
	}
	if t.literal && len(t.addresses) == 0 {
		h.Addresses = append(h.Addresses, AddressHealth{IP: t.Host, Port: t.Port, Health: normal, Weight: t.Weight})
	}
	up := 0
	for _, a := range t.addresses {
		ah := a.state.shown(normal, now)
		ah.Port, ah.Weight = a.port, int(a.weight)
		if ah.IP = t.Host; !t.literal && !a.dynamic {
			ah.IP = a.state.key.at.Addr().String()
		}
		if ah.Health != Unhealthy {
			up++
		}
		if ah.Since > h.Since || h.Why == "" {
			h.Since, h.Why, h.Detail = ah.Since, ah.Why, ah.Detail
		}
		h.Addresses = append(h.Addresses, ah)
	}
	switch {
	case t.dnsError:
		h.Health, h.DNS = DNSError, ""
		h.Since, h.Why, h.Detail = t.answer.Until.Add(-t.answer.TTL).Unix(), "names", t.answer.Err.Error()
	case len(t.addresses) > 0 && up == 0:
		h.Health = Unhealthy
	}
	return h
}

// shown is the health of an address; normal is that of one with which nothing is wrong.
func (s *state) shown(normal string, now int64) AddressHealth {
	h := AddressHealth{Health: normal}
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	if !s.health.since.IsZero() {
		h.Since, h.Why, h.Detail = s.health.since.Unix(), s.health.why, s.health.detail
	}
	if s.down.Load() {
		h.Health = Unhealthy
	} else if until := s.ejected.Load(); until > now {
		h.Health = Unhealthy
		at, detail := s.outlier.last()
		h.Since, h.Why, h.Detail = at.Unix(), byOutliers, detail
	}
	return h
}
