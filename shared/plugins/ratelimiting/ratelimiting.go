// Package ratelimiting is the plugin rate-limiting: so many requests of one consumer,
// credential, address, service, header value or path in a second, minute, hour, day,
// month or year, by the UTC calendar.
//
// A request is counted in all of its windows or, when one of them is full, in none.
// Counts of policy local live on the node under the plugin's id and survive changes of
// configuration. Their number is bounded: when it is reached, those that were not asked
// for the longest go. Policy redis asks Redis for each request or, with a sync_rate,
// counts on the node and exchanges counts with Redis: until an exchange, a node knows
// nothing of what others have let pass. Policy cluster shares counters through the
// control plane, see the package lease; while that is away each node lets its part of the
// limit pass, whatever fault_tolerant says. A Redis that fails is asked again after a second;
// meanwhile fault_tolerant decides.
package ratelimiting

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/lease"
	"github.com/sluice-gateway/sluice/shared/pdk/redis"
)

// Policies.
const (
	policyLocal   = "local"
	policyCluster = "cluster"
	policyRedis   = "redis"
)

// syncAlways is the sync_rate that asks the store for every request.
const syncAlways = -1

// sweepInterval is how often counters of passed windows are dropped.
const sweepInterval = 10 * time.Second

// Plugin is rate-limiting.
var Plugin = &pdk.Plugin{
	Name:     "rate-limiting",
	Priority: 910,
	Schema:   pluginSchema,
	Build:    pdk.Build(build),
}

type config struct {
	Second            float64      `json:"second"`
	Minute            float64      `json:"minute"`
	Hour              float64      `json:"hour"`
	Day               float64      `json:"day"`
	Month             float64      `json:"month"`
	Year              float64      `json:"year"`
	LimitBy           string       `json:"limit_by"`
	HeaderName        string       `json:"header_name"`
	Path              string       `json:"path"`
	Policy            string       `json:"policy"`
	FaultTolerant     bool         `json:"fault_tolerant"`
	Redis             redis.Config `json:"redis"`
	HideClientHeaders bool         `json:"hide_client_headers"`
	ErrorCode         float64      `json:"error_code"`
	ErrorMessage      string       `json:"error_message"`
	SyncRate          float64      `json:"sync_rate"`
}

// limit is the limit of one period, with the words for it.
type limit struct {
	period          period
	max             float64
	text            string // max in decimal
	limitHeader     string
	remainingHeader string
}

type plugin struct {
	config
	id       string
	limits   []limit
	calendar bool // months or years are counted
	slot     int
	// table counts on the node; store in Redis. With a sync_rate both are used.
	table     *table
	store     *redis.Client
	keyPrefix string
	leases    *lease.Table // of policy cluster
	log       hclog.Logger
}

func build(env pdk.Env, c config) (pdk.Phases, error) {
	if c.Policy == "" {
		c.Policy = policyLocal
	}
	p := &plugin{config: c, id: env.PluginID(), slot: env.Slot(), log: env.Logger().With("plugin_id", env.PluginID())}
	for i, most := range []float64{c.Second, c.Minute, c.Hour, c.Day, c.Month, c.Year} {
		if most <= 0 {
			continue
		}
		n := &periods[i]
		p.limits = append(p.limits, limit{
			period: period(i), max: most, text: strconv.FormatFloat(most, 'f', -1, 64),
			limitHeader: "X-RateLimit-Limit-" + n.Label, remainingHeader: "X-RateLimit-Remaining-" + n.Label,
		})
		p.calendar = p.calendar || period(i) >= month
	}
	if p.ErrorCode == 0 {
		p.ErrorCode = 429
	}
	if !env.Validating() {
		p.open(env)
	}
	return pdk.Phases{Access: p.access, HeaderFilter: p.headerFilter}, nil
}

// open takes the counters that the policy needs from the node.
func (p *plugin) open(env pdk.Env) {
	if p.Policy == policyCluster {
		p.openCluster(env)
		return
	}
	if p.Policy == policyRedis {
		p.store = redis.Shared(env, &p.Redis)
		route, service, _ := env.Scope()
		p.keyPrefix = "ratelimit:" + cmp.Or(route, noID) + ":" + cmp.Or(service, noID) + ":"
		if p.SyncRate == syncAlways {
			return
		}
		env.Every(time.Duration(p.SyncRate*float64(time.Second)), p.sync)
	}
	p.table, _ = env.Shared("counters/"+env.PluginID(), func() any { return newTable(maxCounters) }).(*table)
	env.Every(sweepInterval, p.sweep)
}

func (p *plugin) sweep(context.Context) {
	var w windows
	w.Fill(time.Now(), true)
	p.table.sweep(&w)
}

// usage is what one exchange found. It is pooled.
type usage struct {
	windows windows
	// before is the count of each of the plugin's limits without this request.
	before [periodCount]uint64
	// full is the index of the limit that is reached, -1 for none.
	full int
}

var usages = sync.Pool{New: func() any { return new(usage) }}

func (p *plugin) access(x *pdk.Exchange) error {
	u := usages.Get().(*usage)
	u.windows.Fill(x.Start, p.calendar)
	k, key := p.identity(x)
	if p.leases != nil {
		p.countInCluster(x, u, k, key)
	} else if p.table != nil {
		p.count(u, p.table.get(k, key, &u.windows))
	} else if err := p.countInRedis(u, key); err != nil {
		usages.Put(u)
		if !errors.Is(err, redis.ErrPaused) {
			p.log.Error("requests are not counted", "error", err, "fault_tolerant", p.FaultTolerant)
		}
		if p.FaultTolerant {
			return nil
		}
		return x.Fail(500, "")
	}
	*x.Slot(p.slot) = u
	if u.full >= 0 {
		return x.Fail(int(p.ErrorCode), p.ErrorMessage)
	}
	return nil
}

// count adds the request to all windows, or to none when one is full. Of several full
// ones the longest counts, which takes the longest to pass.
func (p *plugin) count(u *usage, c *counter) {
	u.full = -1
	for i := range p.limits {
		l := &p.limits[i]
		u.before[i] = c.count(l.period, u.windows.ID[l.period])
		if float64(u.before[i]) >= l.max {
			u.full = i
		}
	}
	for i := 0; i < len(p.limits) && u.full < 0; i++ {
		l := &p.limits[i]
		var ok bool
		if u.before[i], ok = c.add(l.period, u.windows.ID[l.period], l.max); ok {
			continue
		}
		u.full = i // another request was faster
		for j := range i {
			c.take(p.limits[j].period, u.windows.ID[p.limits[j].period])
		}
	}
}

func (p *plugin) headerFilter(x *pdk.Exchange) error {
	slot := x.Slot(p.slot)
	u, _ := (*slot).(*usage)
	if u == nil {
		return nil
	}
	if !p.HideClientHeaders {
		p.tell(x, u)
	}
	*slot = nil
	usages.Put(u)
	return nil
}

// tell sets the headers. Those without a period are about the window that has the
// least left, of equals the longest.
func (p *plugin) tell(x *pdk.Exchange, u *usage) {
	h := &x.Response.Header
	tightest, least := -1, 0.0
	for i := range p.limits {
		l := &p.limits[i]
		left := l.max - float64(u.before[i])
		if u.full < 0 || u.full == i {
			left--
		}
		left = max(0, left)
		if tightest < 0 || left <= least {
			tightest, least = i, left
		}
		h.Set(l.limitHeader, l.text)
		h.Set(l.remainingHeader, decimal(x, left))
	}
	l := &p.limits[tightest]
	reset := x.Text.Int(u.windows.Reset(l.period))
	h.Set("RateLimit-Limit", l.text)
	h.Set("RateLimit-Remaining", decimal(x, least))
	h.Set("RateLimit-Reset", reset)
	if u.full >= 0 {
		h.Set("Retry-After", reset)
	}
}

func decimal(x *pdk.Exchange, f float64) string {
	return x.Text.Keep(strconv.AppendFloat(x.Text.Room(24), f, 'f', -1, 64))
}
