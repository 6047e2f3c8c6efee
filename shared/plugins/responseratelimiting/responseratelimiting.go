// Package responseratelimiting is the plugin response-ratelimiting: upstreams say in a
// header of the response what a request has used, such as "videos=2, images=1", and so
// much of each may be used in a second, minute, hour, day, month or year.
//
// What was used is known when the response is there, so that requests at the same time
// can go above a limit together; the next one is stopped. Counts of policy local live on
// the node and survive changes of configuration, those of policy redis are in Redis, and
// those of policy cluster at the control plane: each node tells what it has counted at
// once, and learns what others have within seconds.
package responseratelimiting

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/calendar"
	"github.com/sluice-gateway/sluice/shared/pdk/lease"
	"github.com/sluice-gateway/sluice/shared/pdk/redis"
)

// Policies.
const (
	policyLocal   = "local"
	policyCluster = "cluster"
	policyRedis   = "redis"
)

const (
	// sweepInterval is how often counts of passed windows are dropped.
	sweepInterval = 10 * time.Second
	// maxWriting bounds the counts that are on their way to Redis; more are lost.
	maxWriting = 1024
	noID       = "00000000-0000-0000-0000-000000000000"
)

// Plugin is response-ratelimiting.
var Plugin = &pdk.Plugin{
	Name:     "response-ratelimiting",
	Priority: 900,
	Schema:   pluginSchema,
	Build:    pdk.Build(build),
}

type config struct {
	HeaderName            string             `json:"header_name"`
	LimitBy               string             `json:"limit_by"`
	Policy                string             `json:"policy"`
	FaultTolerant         bool               `json:"fault_tolerant"`
	Redis                 redis.Config       `json:"redis"`
	BlockOnFirstViolation bool               `json:"block_on_first_violation"`
	HideClientHeaders     bool               `json:"hide_client_headers"`
	Limits                map[string]periods `json:"limits"`
}

type periods struct {
	Second float64 `json:"second"`
	Minute float64 `json:"minute"`
	Hour   float64 `json:"hour"`
	Day    float64 `json:"day"`
	Month  float64 `json:"month"`
	Year   float64 `json:"year"`
}

// limit is one limit in one period, with the words for it.
type limit struct {
	name   string
	period calendar.Period
	max    float64
	text   string // max in decimal
	limitHeader,
	remainingHeader string
	// nameHeader tells what was left of the name, in the period that has the least, before
	// this request; last tells that no other limit of the name follows.
	nameHeader string
	last       bool
}

func (l *limit) appendName(b []byte) []byte {
	return append(append(append(b, l.name...), ':'), calendar.Periods[l.period].Name...)
}

type plugin struct {
	config
	limits   []limit
	calendar bool
	slot     int
	counters counters
	// writes are counts on their way to Redis, nil for other policies.
	writes chan write
	log    hclog.Logger
}

// write is a count for Redis.
type write struct {
	identity   string
	windows    calendar.Windows
	increments []float64
}

func build(env pdk.Env, c config) (pdk.Phases, error) {
	p := &plugin{config: c, slot: env.Slot(), log: env.Logger().With("plugin_id", env.PluginID())}
	p.Policy, p.HeaderName = cmp.Or(p.Policy, policyLocal), cmp.Or(p.HeaderName, "x-kong-limit")
	names := make([]string, 0, len(c.Limits))
	for name := range c.Limits {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		l := c.Limits[name]
		for i, most := range []float64{l.Second, l.Minute, l.Hour, l.Day, l.Month, l.Year} {
			if most <= 0 {
				continue
			}
			period := calendar.Periods[i].Name
			p.limits = append(p.limits, limit{
				name: name, period: calendar.Period(i), max: most, text: strconv.FormatFloat(most, 'f', -1, 64),
				limitHeader: "X-RateLimit-Limit-" + name + "-" + period, remainingHeader: "X-RateLimit-Remaining-" + name + "-" + period,
				nameHeader: "X-RateLimit-Remaining-" + name,
			})
			p.calendar = p.calendar || calendar.Period(i) >= calendar.Month
		}
		if n := len(p.limits); n > 0 {
			p.limits[n-1].last = true
		}
	}
	if !env.Validating() {
		p.open(env)
	}
	return pdk.Phases{Access: p.access, HeaderFilter: p.headerFilter, Log: p.count}, nil
}

// open takes what the policy counts with from the node.
func (p *plugin) open(env pdk.Env) {
	switch p.Policy {
	case policyCluster:
		leases, _ := env.Shared("leases/"+env.PluginID(), func() any { return lease.New(env.Control()) }).(*lease.Table)
		env.Go(leases.Run)
		p.counters = &cluster{leases: leases, prefix: env.PluginID()}
	case policyRedis:
		route, service, _ := env.Scope()
		p.counters = &inRedis{
			client: redis.Shared(env, &p.Redis), tagged: len(p.Redis.ClusterNodes) > 0,
			prefix: "response-ratelimit:" + cmp.Or(route, noID) + ":" + cmp.Or(service, noID) + ":",
		}
		p.writes = make(chan write, maxWriting)
		env.Go(p.write)
	default:
		counts, _ := env.Shared("counters/"+env.PluginID(), func() any { return newLocal() }).(*local)
		env.Every(sweepInterval, counts.sweep)
		p.counters = counts
	}
}

// usage is what one exchange knows. It is pooled.
type usage struct {
	identity string
	windows  calendar.Windows
	// used of each limit before this request, and what the response adds.
	used, increments []float64
	// counting tells that the increments are to be counted.
	counting bool
}

var usages = sync.Pool{New: func() any { return new(usage) }}

func (p *plugin) access(x *pdk.Exchange) error {
	u, _ := usages.Get().(*usage)
	u.windows.Fill(x.Start, p.calendar)
	u.identity, u.counting = p.identity(x), false
	u.used = slices.Grow(u.used[:0], len(p.limits))[:len(p.limits)]
	u.increments = slices.Grow(u.increments[:0], len(p.limits))[:len(p.limits)]
	clear(u.increments)
	if err := p.counters.usage(u.identity, p.limits, &u.windows, u.used); err != nil {
		usages.Put(u)
		if !errors.Is(err, redis.ErrPaused) {
			p.log.Error("usage is not known", "error", err, "fault_tolerant", p.FaultTolerant)
		}
		if p.FaultTolerant {
			return nil
		}
		return x.Fail(500, "")
	}
	*x.Slot(p.slot) = u
	for i := range p.limits {
		if p.BlockOnFirstViolation && u.used[i] >= p.limits[i].max {
			*x.Slot(p.slot) = nil
			usages.Put(u)
			return x.Fail(429, "API rate limit exceeded for '"+p.limits[i].name+"'")
		}
	}
	return nil
}

// identity says whose request it is.
func (p *plugin) identity(x *pdk.Exchange) string {
	switch {
	case p.LimitBy == "consumer" && x.Consumer != nil:
		return x.Consumer.ID
	case p.LimitBy != "ip" && x.Credential.ID != "":
		return x.Credential.ID
	}
	return x.Text.Keep(x.Request.Client.Addr().Unmap().AppendTo(x.Text.Room(46)))
}

func (p *plugin) headerFilter(x *pdk.Exchange) error {
	u, _ := (*x.Slot(p.slot)).(*usage)
	if u == nil {
		return nil
	}
	h := &x.Response.Header
	p.read(h, u)
	stop, least := false, 0.0
	for i := range p.limits {
		l := &p.limits[i]
		left := l.max - u.used[i]
		if !p.HideClientHeaders {
			h.Set(l.limitHeader, l.text)
			h.Set(l.remainingHeader, decimal(x, max(0, left-u.increments[i])))
		}
		stop = stop || u.increments[i] > 0 && left <= 0
		if i == 0 || p.limits[i-1].last || left < least {
			least = left
		}
		if l.last && !p.HideClientHeaders {
			h.Set(l.nameHeader, decimal(x, least))
		}
	}
	h.Del(p.HeaderName)
	u.counting = !stop
	if stop {
		h.Del("Content-Length")
		h.Del("Content-Encoding")
		return x.ExitBody(429, "", nil)
	}
	return nil
}

// read takes the increments out of the upstream's header.
func (p *plugin) read(h *pdk.Header, u *usage) {
	fields := h.Fields()
	for i := range fields {
		if !pdk.EqualFold(fields[i].Name, p.HeaderName) {
			continue
		}
		for part := range strings.SplitSeq(fields[i].Value, ",") {
			name, value, ok := strings.Cut(part, "=")
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if !ok || err != nil || n != n || n < -1e15 || n > 1e15 { //nolint:gocritic // not a number
				continue
			}
			name = strings.TrimSpace(name)
			for j := range p.limits {
				if p.limits[j].name == name {
					u.increments[j] = n
				}
			}
		}
	}
}

// count is the log phase.
func (p *plugin) count(x *pdk.Exchange) {
	slot := x.Slot(p.slot)
	u, _ := (*slot).(*usage)
	if u == nil {
		return
	}
	*slot = nil
	defer usages.Put(u)
	if !u.counting || !slices.ContainsFunc(u.increments, func(n float64) bool { return n != 0 }) {
		return
	}
	if p.writes == nil {
		_ = p.counters.add(u.identity, p.limits, &u.windows, u.increments) // which does not fail
		return
	}
	select {
	case p.writes <- write{strings.Clone(u.identity), u.windows, slices.Clone(u.increments)}:
	default:
		p.log.Warn("a count is lost: redis is too slow")
	}
}

// write sends counts to Redis, until ctx ends.
func (p *plugin) write(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case w := <-p.writes:
			if err := p.counters.add(w.identity, p.limits, &w.windows, w.increments); err != nil && !errors.Is(err, redis.ErrPaused) {
				p.log.Error("a response is not counted", "error", err)
			}
		}
	}
}

func decimal(x *pdk.Exchange, f float64) string {
	return x.Text.Keep(strconv.AppendFloat(x.Text.Room(24), f, 'f', -1, 64))
}
